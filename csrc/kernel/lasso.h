/* Coordinate descent for the lasso and the elastic net, made for several workers.
 *
 *   minimise  1/2 ||y - b0 - X b||^2 + l1 ||b||_1 + l2/2 ||b||^2      (sum form: glmnet's lambda is l1 / n)
 *
 * The only state that workers share is the residual r = y - X b, of length n. A worker owns some
 * columns and their coefficients; it sweeps over them with a private copy of r and publishes what
 * it added to it (epact_lasso_increment).
 *
 * Standardising and the intercept need no dense copy and no further shared state. Where the view
 * has means m_j and inverse scales s_j, the model's column is s_j (x_j - m_j 1), and b is on that
 * scale. Such a column is orthogonal to the constant vector, hence
 *   - its correlation with the residual of the centred problem is s_j (x_j'r - m_j 1'r),
 *   - the centred problem's residual is r - mean(r) 1, and the intercept is mean(r) itself,
 * where r = y - sum_j s_j b_j x_j takes changes of the stored entries alone.
 *
 * Friedman, Hastie, Tibshirani, J. Stat. Softw. 33, 2010 (coordinate descent); Ma et al., ICML
 * 2015 (damping, there sigma'); Ndiaye et al., JMLR 18, 2017 (duality gap). */
#ifndef EPACT_KERNEL_LASSO_H
#define EPACT_KERNEL_LASSO_H

#include "columns.h"

/** One sweep of coordinate descent, in this order, over the columns active[0 .. active_count - 1], or
 * over all of them when `active` is NULL. For column j, with q_j its squared norm, c_j its correlation
 * with the residual and d the damping:
 *   b_j <- S(c_j + d q_j b_j, l1) / (d q_j + l2),      r <- r - d (change of b_j) s_j x_j.
 * damping = 1 is exact coordinate descent on this worker's columns. When several workers sweep at
 * the same time from the same residual, damping = their number makes the sum of what they do a
 * descent step, whatever the columns (smaller ones are faster while columns of different workers
 * are little correlated). Then r moves `damping` times too far: epact_lasso_increment undoes that.
 * `b`, `squared_norm`: one for each column of the view; `residual`: x->rows.
 * *largest_change: the largest d q_j (change of b_j)^2. A column with q_j = 0 gets b_j = 0.
 * EPACT_E_MISUSE: l1, l2 negative, damping below 1, an active column that is not there.
 * EPACT_E_DIVERGED: a number is no longer finite. */
EPACT_API int epact_lasso_sweep(const epact_columns *x, const uint32_t *active, int64_t active_count, double damping,
                                double l1, double l2, const double *squared_norm, double *b, double *residual,
                                double *largest_change);

/** What a worker publishes after a sweep that began at the residual `before`: increment =
 * (residual - before) / damping, which is -X (change of b). `residual` becomes before + increment:
 * the worker's own view. All arrays have length n; `increment` may be `before`. */
EPACT_API void epact_lasso_increment(int64_t n, double damping, const double *before, double *residual,
                                     double *increment);

/** The numbers the duality gap is made of. The first two belong to the residual, the others to the
 * columns; those of several workers are joined by epact_lasso_join. */
typedef struct {
  double residual_norm2;      /* ||rho||^2, rho the (centred) residual */
  double response_residual;   /* y'rho */
  double largest_correlation; /* max_j |x_j'rho - l2 b_j| */
  double excess2;             /* sum_j max(|x_j'rho| - l1, 0)^2 */
  double norm1, norm2;        /* ||b||_1 and ||b||^2 */
} epact_lasso_certificate;

/** Fills residual_norm2 and response_residual from y and r, both of length n. `centred`: whether the
 * view has means, that is, whether rho = r - mean(r) 1. */
EPACT_API void epact_lasso_residual(int64_t n, const double *y, const double *residual, int centred,
                                    epact_lasso_certificate *certificate);

/** correlation[j] = x_j'rho - l2 b_j for each column of the view, and the other four numbers of the
 * certificate for these columns. */
EPACT_API void epact_lasso_correlations(const epact_columns *x, double l1, double l2, const double *b,
                                        const double *residual, double *correlation,
                                        epact_lasso_certificate *certificate);

/** Joins the columns of another worker into the certificate; the residual's numbers stay. */
EPACT_API void epact_lasso_join(epact_lasso_certificate *certificate, const epact_lasso_certificate *other);

/** The objective at b, and an upper bound on how far it is above its minimum: the smaller of
 *   P + a^2 (||rho||^2 + l2 ||b||^2) / 2 - a y'rho,   a = min(1, l1 / max_j |x_j'rho - l2 b_j|),
 *   P + ||rho||^2 / 2 - y'rho + sum_j max(|x_j'rho| - l1, 0)^2 / (2 l2)      (l2 > 0 only).
 * Both are 0 at the minimum, up to rounding. Without a penalty (l1 = l2 = 0) there is no such
 * bound and the gap is P: watch largest_change instead. */
EPACT_API void epact_lasso_gap(const epact_lasso_certificate *certificate, double l1, double l2, double *primal,
                               double *gap);

/** The columns that matter: b_j is not 0, or |correlation_j| > l1 + slack. Writes them to `active` (room
 * for `columns`), rising, and returns how many. `correlation` comes from epact_lasso_correlations. */
EPACT_API int64_t epact_lasso_active(int64_t columns, double l1, double slack, const double *b,
                                     const double *correlation, uint32_t *active);

/** original[j] = s_j b_j: the coefficients for the columns as they are stored. May be in place. The
 * intercept that goes with them is the mean of the residual. */
EPACT_API void epact_lasso_coefficients(const epact_columns *x, const double *b, double *original);

#endif
