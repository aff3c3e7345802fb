/* The Hessian of a linear model: what Newton's method is made of.
 *
 * With an intercept the model has columns + 1 coefficients: a last column of ones that is not stored.
 * Functions trust the rows (check them once) and take sparse ones without values. All arrays are the caller's. */
#ifndef EPACT_KERNEL_HESSIAN_H
#define EPACT_KERNEL_HESSIAN_H

#include "linear.h"

/** The multiplications that one Hessian takes, half a square of each row's entries. */
EPACT_API double epact_rows_hessian_cost(const epact_rows *x);

/** The lower triangle of H = (X 1)' diag(d) (X 1), row-major with p = columns + intercept rows of p numbers, p at most
 * 16,384; d >= 0. Rows with d = 0 cost nothing. What is above the diagonal becomes 0. */
EPACT_API void epact_rows_hessian(const epact_rows *x, int intercept, const double *d, double *h);

#endif
