/* AdaGrad, AdaRevision, Adam: see adaptive.h. */
#include "adaptive.h"

#include "../base/internal.h"
#include "threshold.h"

#include <math.h>

static int check_adagrad(const epact_adagrad_rule *rule)
{
  if (rule->step > 0 && rule->l1 >= 0 && rule->l2 >= 0) return EPACT_OK;
  return epact_fail(EPACT_E_MISUSE, "step must be positive, l1 and l2 not negative: got %g, %g, %g", rule->step,
                    rule->l1, rule->l2);
}

static int check_adam(int64_t t, const epact_adam_rule *rule)
{
  if (t < 1) return epact_fail(EPACT_E_MISUSE, "updates count from 1, got %lld", (long long)t);
  if (rule->step > 0 && rule->beta1 >= 0 && rule->beta1 < 1 && rule->beta2 >= 0 && rule->beta2 < 1 &&
      rule->epsilon >= 0)
    return EPACT_OK;
  return epact_fail(EPACT_E_MISUSE, "step must be positive, beta1 and beta2 in [0, 1), epsilon not negative");
}

#define REAL double
#define SQRT sqrt
#define NAME(base) base
#include "adaptive_rules.h"

#define REAL float
#define SQRT sqrtf
#define NAME(base) base##_f
#include "adaptive_rules.h"
