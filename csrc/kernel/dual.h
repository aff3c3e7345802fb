/* Dual coordinate descent for linear models with many columns and an l2 > 0.
 *
 *   minimise  F(w, b) = sum_i phi(x_i'w + b, y_i) + l2/2 ||w||^2,
 *   dual:  maximise  -sum_i phi*(-v_i) - ||X'v||^2 / (2 l2)
 *
 * with w = X'v / l2 and, where there is an intercept, 1'v = 0. A sweep visits the rows in random order and puts each v_i
 * where the dual is highest, which costs two passes over the row:
 *
 *   squared, Huber, (squared, smoothed) hinge: a quadratic between bounds, in one step;
 *   logistic: Newton steps on z = sigma(-(m + q (z - a))), a the present value, m the margin, q = ||x_i||^2 / l2.
 *
 * Rows that sit firmly at a bound are left out until the rest has converged (shrinking). The intercept is the multiplier
 * of 1'v = 0 and moves after each sweep (augmented Lagrangian). Entries are in single precision, 8 bytes each with their
 * column, 4 where all of a row are equal. Rows are put in random order and visited by small blocks in random order, so
 * that they come from memory one after another; columns are numbered anew by frequency, so that the frequent ones share
 * cache lines. The certificate is computed in double from v and the values as they were given.
 *
 * Hsieh, Chang, Lin, Keerthi, Sundararajan, ICML 2008; Yu, Huang, Lin, Mach. Learn. 85, 2011 (logistic). */
#ifndef EPACT_KERNEL_DUAL_H
#define EPACT_KERNEL_DUAL_H

#include "hessian.h"
#include "losses.h"

typedef struct epact_dual epact_dual;

/** A solver at v = 0 with its copy of x, to which it also goes back to certify; x and y must live as long. precise: its
 * weights are in double precision (for gaps below 1e-7 of the objective, and for the hinge loss). Released with
 * epact_release. l2 > 0. NULL with a sentence: NOMEM, RANGE (a value or squared norm beyond single precision). */
EPACT_API epact_dual *epact_dual_new(const epact_rows *x, const double *y, const epact_loss *loss, double l2,
                                     int intercept, int precise, uint64_t seed);

/** One sweep over the rows that are not left out. Returns what it saw of the gap: the sum of the rows' own gaps, each as
 * it was before its step (over all rows when *whole is not 0). EPACT_E_DIVERGED as a negative number. */
EPACT_API double epact_dual_sweep(epact_dual *dual, int *whole);
/** All rows take part again. */
EPACT_API void epact_dual_recall(epact_dual *dual);

/** w (and w[columns] with an intercept, the best for these w), F there, and an upper bound of F - min F. With an
 * intercept v is first scaled so that 1'v = 0. EPACT_E_NOMEM. */
EPACT_API int epact_dual_certify(epact_dual *dual, double *w, double *objective, double *gap);

#endif
