/* Proximal Newton steps on a working set of columns, for linear models with an l1 and many columns.
 *
 *   minimise  F(w, b) = sum_i phi(x_i'w + b, y_i) + l1 ||w||_1 + l2/2 ||w||^2
 *
 * A step minimises the quadratic model of newton.h by coordinate descent over the working set, without its Hessian: each
 * row keeps z_i = u_i + d_i (X s)_i, the model's slope there, next to d_i, so that a coordinate costs a pass over its
 * entries to read x_j'z and, when it moves, one to write. Where the entries of each row are equal, values are not read;
 * a scale for each column is applied on the way.
 *
 * The intercept is always at its minimum: with a_j = x_j'd and D = sum_i d_i, a step of x_j by c moves it by -c a_j / D,
 * which is felt as an offset o of all predictions, x_j'(z + o d) = x_j'z + o a_j. So the columns are centred by the
 * weights d, and no row is touched for it.
 *
 * Yuan, Ho, Lin, JMLR 13, 2012 (newGLMNET); Massias, Gramfort, Salmon, ICML 2018 (working sets). */
#ifndef EPACT_KERNEL_ACTIVE_H
#define EPACT_KERNEL_ACTIVE_H

#include "columns.h"
#include "losses.h"

typedef struct epact_active epact_active;

/** Over the columns of x, which outlive it (means and scales are not read), of those that can become active: where
 * |phi'| <= 1 (or a Huber width) and sum_i |x_ij| falls short of l1, w_j is 0 at the minimum. `scale`: what each column
 * is multiplied by, 0 or more (0: it never becomes active); NULL: 1. Memory: 24 bytes a row (32 where rows are flat),
 * 124 a column, and what steps add when sweeps are slow: 4 for each pair of the support's columns, at most 64 MiB.
 * Released with epact_release. NULL with a sentence: MISUSE, NOMEM, RANGE (squares would overflow). */
EPACT_API epact_active *epact_active_new(const epact_columns *x, const epact_loss *loss, double l1,
                                         const double *scale);
/** How many columns can become active. */
EPACT_API int64_t epact_active_columns(const epact_active *active);

/** c_j = x_j'u for the columns of the list, all of which can become active; list = NULL: for all that can (those of the
 * others are left alone). */
EPACT_API void epact_active_gradient(epact_active *active, const uint32_t *list, int64_t count, const double *u,
                                     double *c);
/** Entries of the columns of the list: what a sweep over them costs. NULL: of all that can become active. */
EPACT_API int64_t epact_active_entries(const epact_active *active, const uint32_t *list, int64_t count);

/** The working set: columns with w_j != 0, and those with |c_j| > l1, but of these at most `most`, the largest; in
 * `list` (room for all columns). Returns its size; *violation: the largest |c_j| - l1 of those with w_j = 0. */
EPACT_API int64_t epact_active_choose(epact_active *active, const double *c, const double *w, double l1, int64_t most,
                                      uint32_t *list, double *violation);

typedef struct {
  double l1, l2;
  int32_t intercept; /* w[columns] and step[columns] are its */
  int64_t most;      /* sweeps at most */
  double share;      /* the violations are to fall to this share of what they were (1-norm) */
} epact_active_options;

/** step[j] for the columns of the list (and the intercept) from the derivatives u and curvatures d of each row, 0 or
 * more; move = X step. Returns the sweeps made; *slope: the model's slope along the step, below 0; *settled: whether
 * the violations fell to their share. EPACT_E_DIVERGED. */
EPACT_API int64_t epact_active_step(epact_active *active, const epact_active_options *options, const uint32_t *list,
                                    int64_t count, const double *u, const double *d, const double *w, double *step,
                                    double *move, double *slope, int *settled);

#endif
