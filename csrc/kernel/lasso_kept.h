/* Two residuals rho_0 and rho_1 at which all columns were read, and a bound that spares reading them at a third:
 *
 *   |x_j'rho - a_0 x_j'rho_0 - a_1 x_j'rho_1| <= ||x_j||_2 ||d||_2  and  <= ||s_j x_j||_1 ||d||_inf,
 *   d = rho - a_0 rho_0 - a_1 rho_1.
 *
 * On a path rho goes along straight lines from kink to kink and mostly shrinks, so that such a combination of the last
 * two is nearer than the last one. Private. */
#ifndef EPACT_KERNEL_LASSO_KEPT_H
#define EPACT_KERNEL_LASSO_KEPT_H

#include "lasso_state.h"

/* The present residual becomes rho_0, slope_there, which is of it, its correlations, and rho_0 rho_1. */
void lasso_keep(epact_lasso_set *set, const double *residual);

/* The bound by this combination; by the one that is nearest. */
lasso_bound lasso_kept_bound(const epact_lasso_set *set, const double *residual, const double *a);
lasso_bound lasso_kept_nearest(const epact_lasso_set *set, const double *residual);

/* Whether the bound shows that column j is below the threshold. */
static inline bool lasso_is_below(const epact_lasso_set *set, const epact_lasso_penalty *penalty, int64_t j,
                                  double threshold, lasso_bound bound)
{
  const double slope = bound.a[0] * set->kept_slope[0][j] + bound.a[1] * set->kept_slope[1][j];
  const double left = threshold - size_of(penalty, slope), left2 = left * left;
  if (!(left > 0)) return false;
  if (left2 > set->squared_norm[j] * bound.norm2) return true;
  if (!set->x.start) return false;
  const double shift = scale_of(&set->x, j) * mean_of(&set->x, j);
  const double stored2 = set->squared_norm[j] + (double)set->x.rows * shift * shift; /* s_j^2 ||x_j||^2 */
  return left2 > (double)entries_of(&set->x, j) * stored2 * bound.largest2;
}

#endif
