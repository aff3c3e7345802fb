/* Cholesky factors of matrices that may be singular. Private. */
#ifndef EPACT_KERNEL_CHOLESKY_H
#define EPACT_KERNEL_CHOLESKY_H

#include <stdbool.h>
#include <stdint.h>

/* The lower triangle of h, p x p by rows, becomes its factor L, H = L L'; its first `known` rows are rows of L already.
 * A pivot that is nothing but rounding, at most 1e-12 of its entry of `diagonal`, is put so high that its row takes no
 * part: what remains is a solution for the independent columns. Returns how many pivots were. */
int64_t cholesky_factor(int64_t p, int64_t known, double *h, const double *diagonal);

/* Whether the pivot of row j was accepted. */
bool cholesky_accepts(int64_t p, const double *l, int64_t j);

/* right = H^-1 right. */
void cholesky_solve(int64_t p, const double *l, double *right);

/* The same in single precision, to precondition with: a pivot that is at most 1e-5 of its diagonal becomes the root of
 * that, because there no direction may be lost. */
int64_t cholesky_factor_f(int64_t p, int64_t known, float *h, const float *diagonal);
void cholesky_solve_f(int64_t p, const float *l, float *right);

#endif
