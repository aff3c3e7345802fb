/* Linear algebra in the shapes of the BLAS, and the linear classifier that is the smallest use of it.
 *
 * Every function comes twice: for double, and with `_f` for float. Dense ones go to OpenBLAS, sparse
 * ones visit the stored entries only. Ids are 0-based and are not checked here on every call: check
 * a matrix once, with epact_rows_check, when it is made. No function keeps or frees an array.
 * Thread-safe as far as the caller's arrays are not shared. */
#ifndef EPACT_KERNEL_LINEAR_H
#define EPACT_KERNEL_LINEAR_H

#include "../base/base.h"

/** OpenBLAS makes no threads of its own from now on, in the whole process: here the workers are the
 * threads, and two levels of them fight for the cores. Call once, before the first worker starts. */
EPACT_API void epact_blas_single_thread(void);

/** x'y, both of length n. 0 when n < 1. */
EPACT_API double epact_dot(int64_t n, const double *x, const double *y);
EPACT_API double epact_dot_f(int64_t n, const float *x, const float *y);
/** y += a x, both of length n. */
EPACT_API void epact_axpy(int64_t n, double a, const double *x, double *y);
EPACT_API void epact_axpy_f(int64_t n, float a, const float *x, float *y);
/** The Euclidean norm of x, safe against overflow. 0 when n < 1. */
EPACT_API double epact_norm(int64_t n, const double *x);
EPACT_API double epact_norm_f(int64_t n, const float *x);

/** x'y for a sparse x of `count` entries (index[i], value[i]) and a dense y. */
EPACT_API double epact_sparse_dot(int64_t count, const uint32_t *index, const double *value, const double *y);
EPACT_API double epact_sparse_dot_f(int64_t count, const uint32_t *index, const float *value, const float *y);
/** y += a x for a sparse x of `count` entries and a dense y. */
EPACT_API void epact_sparse_axpy(int64_t count, double a, const uint32_t *index, const double *value, double *y);
EPACT_API void epact_sparse_axpy_f(int64_t count, float a, const uint32_t *index, const float *value, float *y);

/** S(z, t) = sign(z) max(|z| - t, 0): the proximal operator of t |.|, for t >= 0. NaN stays NaN. */
EPACT_API double epact_soft_threshold(double z, double threshold);

/** Sparse rows (CSR): row i has the entries start[i] .. start[i + 1] - 1 of `index` and `value`. A
 * view: start may point into the middle of a larger matrix's, to select a range of its rows. */
typedef struct {
  int64_t rows, columns;
  const int64_t *start;  /* rows + 1 */
  const uint32_t *index; /* one for each entry, below `columns` */
  const double *value;   /* one for each entry */
} epact_rows;

typedef struct {
  int64_t rows, columns;
  const int64_t *start;
  const uint32_t *index;
  const float *value;
} epact_rows_f;

/** EPACT_OK when x is well formed (start never falls, columns of a row rise strictly, below
 * `columns`; values finite) and each label, unless `label` is NULL, is -1 or +1. Otherwise
 * EPACT_E_MISUSE, and the sentence names the row. */
EPACT_API int epact_rows_check(const epact_rows *x, const double *label);
EPACT_API int epact_rows_check_f(const epact_rows_f *x, const float *label);

/** Weights w = scale * direction, so that shrinking all of them costs one multiplication. Begin with
 * scale = 1 and updates = 0. */
typedef struct {
  double *direction; /* one for each column */
  double scale;
  int64_t updates; /* made so far: the clock of the step */
} epact_scaled_weights;

typedef struct {
  float *direction;
  double scale;
  int64_t updates;
} epact_scaled_weights_f;

/** How the step falls and what pulls the weights to 0: update t = 0, 1, ... takes
 * eta_t = step / (1 + decay t). decay = 0 is a constant step; step = 1 / l2, decay = 1 is Pegasos
 * (Shalev-Shwartz, Singer, Srebro, ICML 2007, without the projection); decay = step l2 is Bottou's. */
typedef struct {
  double step, decay, l2;
} epact_sgd_options;

/** Stochastic subgradient steps on mean_i max(0, 1 - y_i x_i'w) + l2/2 ||w||^2. For position = first
 * .. end - 1, with i = order[position] (or the position itself when order is NULL), in this order:
 *   margin = y_i x_i'w;  w *= 1 - eta_t l2;  if margin < 1 then w += eta_t y_i x_i.
 * `label` has one of -1, +1 for each row. Cost: the entries visited; the shrinking is lazy (in
 * w->scale) and exact. Returns the number of violations (margin < 1), EPACT_E_MISUSE for a bad range
 * or when not 0 <= eta_t l2 <= 1, or EPACT_E_DIVERGED when a margin is no longer finite. */
EPACT_API int64_t epact_hinge_sgd(const epact_rows *x, const double *label, const uint32_t *order, int64_t first,
                                  int64_t end, const epact_sgd_options *options, epact_scaled_weights *w);
EPACT_API int64_t epact_hinge_sgd_f(const epact_rows_f *x, const float *label, const uint32_t *order, int64_t first,
                                    int64_t end, const epact_sgd_options *options, epact_scaled_weights_f *w);

/** Folds the scale into the direction, which then holds w itself (scale = 1). */
EPACT_API void epact_scaled_weights_fold(epact_scaled_weights *w, int64_t columns);
EPACT_API void epact_scaled_weights_fold_f(epact_scaled_weights_f *w, int64_t columns);

/** mean_i max(0, 1 - y_i x_i'w) + l2/2 ||w||^2 over all rows of x, for plain weights (one for each
 * column). Of no rows: the penalty alone. Objectives of shards combine by their row counts. */
EPACT_API double epact_hinge_objective(const epact_rows *x, const double *label, const double *w, double l2);
EPACT_API double epact_hinge_objective_f(const epact_rows_f *x, const float *label, const float *w, double l2);

#endif
