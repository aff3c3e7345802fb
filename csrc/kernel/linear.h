/* Linear algebra in the shapes of the BLAS, and the rows of a matrix.
 *
 * Functions of vectors come twice: for double, and with `_f` for float. Dense ones go to OpenBLAS, sparse
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

/** The rows of a matrix. Sparse (CSR): row i has the entries start[i] .. start[i + 1] - 1 of `index` and `value`;
 * start may point into the middle of a larger matrix's, to select a range of its rows. Dense: `start` and `index`
 * are NULL, and row i is value[i * columns ..]. A view: it owns nothing. */
typedef struct {
  int64_t rows, columns;
  const int64_t *start;  /* rows + 1, or NULL */
  const uint32_t *index; /* one for each entry, below `columns`; or NULL */
  const double *value;   /* one for each entry; NULL, where a function says so and x is sparse: all are 1 */
} epact_rows;

/** EPACT_OK when x is well formed: start never falls, columns of a row rise strictly, below `columns`, and values (if
 * there are any) are finite. Otherwise EPACT_E_MISUSE, and the sentence names the row and column. *ones (may be NULL):
 * whether x is sparse and each of its values 1, so that `value` may be dropped. */
EPACT_API int epact_rows_check(const epact_rows *x, int *ones);
/** Entries stored; rows * columns when dense. */
EPACT_API int64_t epact_rows_entries(const epact_rows *x);
/** EPACT_OK when each of the numbers is finite and, with `signs`, -1 or +1. EPACT_E_MISUSE: names the row. */
EPACT_API int epact_labels_check(int64_t count, const double *label, int signs);

/** t[i] = x_i'w + bias for all rows. `value` may be NULL, in the next one, too. */
EPACT_API void epact_rows_predict(const epact_rows *x, const double *w, double bias, double *t);
/** g += a sum_i c[i] x_i over all rows. */
EPACT_API void epact_rows_combine(const epact_rows *x, double a, const double *c, double *g);
/** The largest ||x_i||^2; 0 of no rows. */
EPACT_API double epact_rows_largest_norm2(const epact_rows *x);

#endif
