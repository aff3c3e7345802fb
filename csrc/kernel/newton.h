/* Newton's method for linear models with few columns, piece by piece (the loop is in lua/epact/optim/exact.lua).
 *
 *   minimise  F(w, b) = sum_i phi(x_i'w + b, y_i) + l1 ||w||_1 + l2/2 ||w||^2,      b is optional
 *
 * With u_i = phi'(t_i) and d_i = phi''(t_i), each iteration minimises the quadratic model
 *
 *   g's + s'Hs/2 + l1 ||w + s||_1,      g = X'u + l2 w,  H = X'diag(d)X + l2 I,
 *
 * by a Cholesky factor when l1 = 0, else by coordinate descent whose last part is exact on the support (Lee, Sun,
 * Saunders, SIAM J. Optim. 24, 2014: proximal Newton). The certificate is Fenchel's dual at -u: with f* the conjugate
 * of f, F(w, b) - min F <= F(w, b) + sum_i phi*(u_i) + R*(-X'u), R the penalty (Fercoq, Gramfort, Salmon, ICML 2015). */
#ifndef EPACT_KERNEL_NEWTON_H
#define EPACT_KERNEL_NEWTON_H

#include "losses.h"

/** The sum of phi(t_i, y_i) over `rows` rows; u[i] = phi'(t_i), d[i] = phi''(t_i), each unless NULL. Where a loss that
 * is not flat has no curvature (Huber's and the smoothed hinge loss far out) d is a thousandth of that of the parabola
 * that touches there and bounds the loss, so that a singular H is no dead end; of the logistic loss at y t < -1 it is at
 * least a hundredth. NaN for the hinge loss. */
EPACT_API double epact_newton_terms(const epact_loss *loss, int64_t rows, const double *t, const double *y, double *u,
                                    double *d);

/** Moves the intercept to where the loss is least: t_i += change for all rows until |1'u| <= 1e-11 sum |u_i|, by Newton
 * steps within a bracket. u, d as epact_newton_terms leaves them. Returns the new sum of phi; *change may be 0. When
 * there is no such place (one class, logistic loss) the bracket gives up at 1e3. */
EPACT_API double epact_newton_centre(const epact_loss *loss, int64_t rows, double *t, const double *y, double *u,
                                     double *d, double *change);

/** sum_i phi*(scale u_i, y_i), phi* the conjugate in t. Infinity where it is not finite; u_i of epact_newton_terms and
 * 0 <= scale <= 1 are within the domain. */
EPACT_API double epact_newton_conjugate(const epact_loss *loss, int64_t rows, const double *u, const double *y,
                                        double scale);

/** What the penalty adds to the gap for correlations c = X'u of `columns` columns (without l2 w):
 *   gap = sum phi + R(w) + sum phi*(u) + R*(-c), or, where that is less, the same at scale u with scale =
 *   min(1, l1 / max |c_j|), which makes R* 0.
 * loss_sum: the sum of phi at the point. With an intercept it must be the best for these w (1'u = 0). Infinity without
 * a penalty. *objective: F. */
EPACT_API double epact_newton_gap(const epact_loss *loss, int64_t rows, const double *u, const double *y,
                                  double loss_sum, int64_t columns, const double *c, const double *w, double l1,
                                  double l2, double *objective);

/** step = the minimiser of gradient's + s'Hs/2 + l1 sum_j |w_j + s_j| (j < penalised); h is the lower triangle of H,
 * p x p and row-major, gradient of length p; both already with l2. h is overwritten. A column that depends on those
 * before it (pivot below 1e-12 of its diagonal) takes no step. With l1 > 0 coordinate descent stops where a sweep
 * lowers the model by less than `enough`. Returns the number of sweeps (0 when l1 = 0), EPACT_E_NOMEM, EPACT_E_RANGE (a
 * diagonal that is not finite) or EPACT_E_DIVERGED (a step that is not). */
EPACT_API int64_t epact_newton_step(int64_t p, int64_t penalised, double *h, const double *gradient, const double *w,
                                    double l1, double enough, double *step);

#endif
