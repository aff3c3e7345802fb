/* Block coordinate descent for the group lasso.
 *
 *   minimise  1/2 ||y - b0 - X b||^2 + lambda sum_g w_g ||b_g||_2 + l2/2 ||b||^2      (sum form)
 *
 * The groups partition the columns. Columns are centred and scaled implicitly, and the residual r is that of lasso.h; b
 * is on the scale of the scaled columns. A visit to a group puts its coefficients at their minimum, the others held:
 * with X_g'X_g = V diag(s) V' and z = V'X_g'r + s V'b_g, they are
 *
 *   b_g = 0 where ||z|| <= lambda w_g,    else V beta with beta_k = z_k / (s_k + l2 + lambda w_g / t),  t = ||beta||,
 *
 * one equation for t, whose left side 1 / ||z / (s t + l2 t + lambda w_g)|| is concave: Newton's method rises to t. V
 * and s are found once, when the group first becomes active, by Jacobi's rotations. Groups of more than
 * EPACT_GROUP_EXACT columns take a step for s_k = L, V = I instead, where L is raised until ||X_g d||^2 <= L ||d||^2
 * for the step d it makes: so the objective never rises. A group may have no columns.
 *
 * Yuan, Lin, JRSS B 68, 2006; Qin, Scheinberg, Goldfarb, Math. Prog. Comp. 5, 2013 (exact blocks); Tibshirani et al.,
 * JRSS B 74, 2012 (strong rules). */
#ifndef EPACT_KERNEL_GROUP_LASSO_H
#define EPACT_KERNEL_GROUP_LASSO_H

#include "lasso.h"

/** Groups of columns: group g has the columns member[start[g]] .. member[start[g + 1] - 1], each in one group. */
typedef struct {
  int64_t groups;
  const int64_t *start;   /* groups + 1 */
  const uint32_t *member; /* start[groups] */
  const double *weight;   /* w_g > 0, one a group */
} epact_column_groups;

enum { EPACT_GROUP_EXACT = 96 };

/** What is known of the groups' matrices: 16 bytes a group, 8 |g| (|g| + 1) more for one that was active, 56 n and 48
 * bytes a column of those that are not 0. Not to be shared by threads. */
typedef struct epact_group_lasso epact_group_lasso;

/** Over columns and groups that outlive it, and are not checked. Released with epact_release. NULL: memory is short. */
EPACT_API epact_group_lasso *epact_group_lasso_new(const epact_columns *x, const epact_column_groups *groups);

/** One visit to each of the groups active[0 .. count - 1]. EPACT_E_NOMEM (b and residual still belong together),
 * EPACT_E_DIVERGED (a number is not finite). */
EPACT_API int epact_group_lasso_sweep(epact_group_lasso *state, const uint32_t *active, int64_t count, double lambda,
                                      double l2, double *b, double *residual);

/** correlation[g] = ||X_g'rho - l2 b_g|| / w_g of the groups active[0 .. count - 1], or of all when `active` is NULL, and
 * the numbers of lasso.h's certificate that belong to them: largest_correlation is the largest of these, excess2
 * sum_g max(||X_g'rho|| - lambda w_g, 0)^2, norm1 sum_g w_g ||b_g||. epact_lasso_gap makes the duality gap of them. */
EPACT_API void epact_group_lasso_correlations(epact_group_lasso *state, const uint32_t *active, int64_t count,
                                              double lambda, double l2, const double *b, const double *residual,
                                              double *correlation, epact_lasso_certificate *certificate);

/** The groups that matter, of list[0 .. listed - 1] or of all when `list` is NULL: b_g is not 0, or correlation[g] >
 * level and among the `most` largest such. Writes them to `active` (room for all; may be `list`), rising, and returns
 * how many. */
EPACT_API int64_t epact_group_lasso_choose(epact_group_lasso *state, const uint32_t *list, int64_t listed, double level,
                                           int64_t most, const double *b, const double *correlation, uint32_t *active);

/** Remembers b of the active groups and the residual, as the first point or as the next one, at most 6; all of the same
 * groups, of which b is 0 outside. EPACT_E_NOMEM. */
EPACT_API int epact_group_lasso_keep(epact_group_lasso *state, const uint32_t *active, int64_t count, int first,
                                     const double *b, const double *residual);
/** Where sweeps from the points kept would lead if they were linear (Anderson's extrapolation; Bertrand, Massias, AISTATS
 * 2021): goes there when the objective is lower than at the last point, where b and residual are. Returns whether. Only
 * once after the points were kept. */
EPACT_API int epact_group_lasso_extrapolate(epact_group_lasso *state, const uint32_t *active, int64_t count,
                                            double lambda, double l2, double *b, double *residual);

/** residual = y - sum_j s_j b_j x_j, afresh. */
EPACT_API void epact_group_lasso_residual(const epact_group_lasso *state, const double *y, const double *b,
                                          double *residual);

#endif
