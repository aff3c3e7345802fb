/* Penalties of weights: see penalty.h. */
#include "penalty.h"

#include "../base/internal.h"
#include "threshold.h"

#include <math.h>
#include <stdlib.h>

static bool is_weight(double number)
{
  return number >= 0 && number < INFINITY;
}

static int check_groups(const epact_penalty *p, int64_t count)
{
  if ((p->low != 0 && p->low > -INFINITY) || p->high < INFINITY) {
    return epact_fail(EPACT_E_MISUSE, "groups go with no bounds but low = 0");
  }
  unsigned char *seen = epact_calloc((size_t)count + 1, 1);
  if (!seen) return EPACT_E_NOMEM;
  int code = EPACT_OK;
  for (int64_t g = 0; g < p->groups && !code; g++) {
    if (p->start[g + 1] <= p->start[g])
      code = epact_fail(EPACT_E_MISUSE, "group %lld is empty", (long long)g);
    else if (p->weight && !is_weight(p->weight[g]))
      code = epact_fail(EPACT_E_MISUSE, "group %lld has the weight %g", (long long)g, p->weight[g]);
    for (int64_t k = p->start[g]; k < p->start[g + 1] && !code; k++) {
      const uint32_t j = p->member[k];
      if (j >= count)
        code = epact_fail(EPACT_E_MISUSE, "group %lld has the member %u of %lld", (long long)g, j, (long long)count);
      else if (seen[j]++)
        code = epact_fail(EPACT_E_MISUSE, "coordinate %u is twice in the groups", j);
    }
  }
  free(seen);
  return code;
}

int epact_penalty_check(const epact_penalty *p, int64_t count)
{
  if (!is_weight(p->l1) || !is_weight(p->l2) || !is_weight(p->group)) {
    return epact_fail(EPACT_E_MISUSE, "penalties must not be negative, got l1 = %g, l2 = %g, group = %g", p->l1, p->l2,
                      p->group);
  }
  if (!(p->low <= p->high)) return epact_fail(EPACT_E_MISUSE, "no weight is within %g .. %g", p->low, p->high);
  return p->groups > 0 ? check_groups(p, count) : EPACT_OK;
}

static double group_weight(const epact_penalty *p, int64_t g)
{
  return p->group * (p->weight ? p->weight[g] : sqrt((double)(p->start[g + 1] - p->start[g])));
}

static double group_norm(const epact_penalty *p, int64_t g, const double *w)
{
  double sum = 0;
  for (int64_t k = p->start[g]; k < p->start[g + 1]; k++) sum += w[p->member[k]] * w[p->member[k]];
  return sqrt(sum);
}

double epact_penalty_value(const epact_penalty *p, int64_t count, const double *w)
{
  double norm1 = 0, norm2 = 0, groups = 0;
  for (int64_t j = 0; j < count; j++) {
    if (w[j] < p->low || w[j] > p->high) return INFINITY;
    norm1 += fabs(w[j]);
    norm2 += w[j] * w[j];
  }
  for (int64_t g = 0; g < p->groups; g++) groups += group_weight(p, g) * group_norm(p, g, w);
  return (p->l1 > 0 ? p->l1 * norm1 : 0) + (p->l2 > 0 ? p->l2 / 2 * norm2 : 0) + groups; /* 0 times infinity is 0 */
}

void epact_penalty_prox(const epact_penalty *p, int64_t count, double t, double *w)
{
  if (p->l1 > 0) {
    for (int64_t j = 0; j < count; j++) w[j] = soft_threshold(w[j], t * p->l1);
  }
  if (p->groups > 0 && p->low == 0) {
    for (int64_t j = 0; j < count; j++) w[j] = w[j] < 0 ? 0 : w[j];
  }
  for (int64_t g = 0; g < p->groups; g++) {
    const double norm = group_norm(p, g, w), due = t * group_weight(p, g);
    const double factor = norm > due ? 1 - due / norm : 0;
    for (int64_t k = p->start[g]; k < p->start[g + 1]; k++) w[p->member[k]] *= factor;
  }
  const double shrink = 1 / (1 + t * p->l2);
  for (int64_t j = 0; j < count; j++) { /* comparisons that leave a NaN as it is */
    const double v = w[j] * shrink;
    w[j] = v < p->low ? p->low : v > p->high ? p->high : v;
  }
}
