/* Penalties and their proximal operators prox_t(v) = argmin_w penalty(w) + 1/(2t) ||w - v||^2, applied in place.
 *
 *   penalty(w) = l1 ||w||_1 + l2/2 ||w||^2 + group sum_g weight_g ||w_g||_2,   low <= w_j <= high
 *
 * In this order, which is the exact operator of the sum: S(v, t l1), cut at 0 from below when low = 0, each group times
 * max(0, 1 - t group weight_g / ||v_g||), all over 1 + t l2, cut to low .. high. With groups, low is 0 or
 * -infinity and high infinity. (Yuan and Lin 2006; Simon et al. 2013 for l1 with groups.) */
#ifndef EPACT_KERNEL_PENALTY_H
#define EPACT_KERNEL_PENALTY_H

#include "../base/base.h"

/** Groups do not overlap: group g has the members member[start[g]] .. member[start[g + 1] - 1]; a coordinate in no
 * group is not penalised by them. */
typedef struct {
  double l1, l2, low, high, group;
  int64_t groups;
  const int64_t *start;   /* [groups + 1] */
  const uint32_t *member; /* [start[groups]], below the number of coordinates, each once */
  const double *weight;   /* [groups]; NULL: the square root of the group's size */
} epact_penalty;

/** E_MISUSE when a number is negative or not finite, no w is allowed, a group is empty, a member is not below `count`
 * or in two groups, or bounds and groups do not go together; E_NOMEM. */
EPACT_API int epact_penalty_check(const epact_penalty *penalty, int64_t count);
/** penalty(w) of `count` coordinates; infinity outside of the bounds. */
EPACT_API double epact_penalty_value(const epact_penalty *penalty, int64_t count, const double *w);
/** w <- prox_t(w), t >= 0. */
EPACT_API void epact_penalty_prox(const epact_penalty *penalty, int64_t count, double t, double *w);

#endif
