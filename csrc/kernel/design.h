/* The matrix of a linear model, and the sums over its rows that second-order methods are made of.
 *
 * With an intercept the model has columns + 1 coefficients: a last column of ones that is not stored.
 * Functions trust the design: check it once. All arrays are the caller's. */
#ifndef EPACT_KERNEL_DESIGN_H
#define EPACT_KERNEL_DESIGN_H

#include "../base/base.h"

/** Rows of X, sparse (CSR) or dense (row-major). A view: it owns nothing. */
typedef struct {
  int64_t rows, columns;
  const int64_t *start;  /* rows + 1; NULL: dense */
  const uint32_t *index; /* sparse only: the column of each entry, rising in a row, below `columns` */
  const double *value;   /* the entries; NULL (sparse only): all are 1 */
} epact_design;

/** EPACT_OK when x is well formed, has a row and a column and only finite values; otherwise EPACT_E_MISUSE, and the
 * sentence names the row. *ones (may be NULL): whether every stored value is 1, so that `value` may be dropped. */
EPACT_API int epact_design_check(const epact_design *x, int *ones);

/** Entries stored; rows * columns when dense. */
EPACT_API int64_t epact_design_entries(const epact_design *x);
/** The multiplications that one Hessian takes, half a square of each row's entries. */
EPACT_API double epact_design_hessian_cost(const epact_design *x);

/** t = X w + w[columns] (the last term with an intercept only). */
EPACT_API void epact_design_times(const epact_design *x, int intercept, const double *w, double *t);
/** g = X'u, and g[columns] = 1'u with an intercept. */
EPACT_API void epact_design_gradient(const epact_design *x, int intercept, const double *u, double *g);
/** The lower triangle of H = (X 1)' diag(d) (X 1), row-major with p = columns + intercept rows of p numbers; d >= 0.
 * Rows with d = 0 cost nothing. What is above the diagonal becomes 0. */
EPACT_API void epact_design_hessian(const epact_design *x, int intercept, const double *d, double *h);

#endif
