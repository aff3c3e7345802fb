/* Proximal Newton steps on a working set of columns, for linear models with an l1 and many columns.
 *
 *   minimise  F(w, b) = sum_i phi(x_i'w + b, y_i) + l1 ||w||_1 + l2/2 ||w||^2
 *
 * A step minimises the quadratic model of newton.h by coordinate descent over the working set, without its Hessian: each
 * row keeps z_i = u_i + d_i (X s)_i, the model's slope there, next to d_i, so that a coordinate costs a pass over its
 * entries to read x_j'z and, when it moves, one to write. Columns take 12 bytes for an entry, 4
 * where the entries of each row are equal.
 *
 * Yuan, Ho, Lin, JMLR 13, 2012 (newGLMNET); Massias, Gramfort, Salmon, ICML 2018 (working sets). */
#ifndef EPACT_KERNEL_ACTIVE_H
#define EPACT_KERNEL_ACTIVE_H

#include "hessian.h"
#include "losses.h"

typedef struct epact_active epact_active;

/** A copy of x by columns, of those columns that can become active: where |phi'| <= 1 (or a Huber width) and
 * sum_i |x_ij| falls short of l1, w_j is 0 at the minimum. Released with epact_release. Sparse designs only. NULL with a
 * sentence: MISUSE, NOMEM, RANGE (a value beyond single precision). */
EPACT_API epact_active *epact_active_new(const epact_rows *x, const epact_loss *loss, double l1);
/** How many columns can become active. */
EPACT_API int64_t epact_active_columns(const epact_active *active);

/** c_j = x_j'u for the columns that can become active (those of the others are left alone). */
EPACT_API void epact_active_gradient(epact_active *active, const double *u, double *c);

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

/** step[j] for the columns of the list (and the intercept) from the derivatives u and curvatures d of each row, 0 or more;
 * move = X step. Returns the sweeps made; *slope: the model's slope along the step, below 0; *settled: whether the violations fell to
 * their share. EPACT_E_DIVERGED. */
EPACT_API int64_t epact_active_step(epact_active *active, const epact_active_options *options, const uint32_t *list,
                                    int64_t count, const double *u, const double *d, const double *w, double *step,
                                    double *move, double *slope, int *settled);

#endif
