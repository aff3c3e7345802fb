/* The rules of adaptive.h, at the declarations of which the mathematics is. Private, and a template: define REAL (float
 * or double), SQRT and NAME(base) before including it, once for each; it undefines them. */

static inline void NAME(adagrad)(const epact_adagrad_rule *rule, REAL g, REAL *restrict x, REAL *restrict z)
{
  *z += g * g;
  if (*z == 0) return; /* no gradient so far: 0 / 0 */
  const REAL eta = (REAL)rule->step / SQRT(*z), moved = *x - eta * g;
  *x = (REAL)soft_threshold((double)moved, (double)eta * rule->l1) / (1 + eta * (REAL)rule->l2);
}

int NAME(epact_adagrad)(int64_t n, const epact_adagrad_rule *rule, const REAL *g, REAL *x, REAL *z)
{
  const int code = check_adagrad(rule);
  for (int64_t j = 0; !code && j < n; j++) NAME(adagrad)(rule, g[j], &x[j], &z[j]);
  return code;
}

int NAME(epact_adagrad_sparse)(int64_t count, const epact_adagrad_rule *rule, const uint32_t *index, const REAL *g,
                               REAL *x, REAL *z)
{
  const int code = check_adagrad(rule);
  for (int64_t e = 0; !code && e < count; e++) NAME(adagrad)(rule, g[e], &x[index[e]], &z[index[e]]);
  return code;
}

int NAME(epact_adarevision)(int64_t n, double step, const REAL *restrict g, const REAL *restrict read, REAL *restrict x,
                            REAL *restrict gbar, REAL *restrict z, REAL *restrict largest)
{
  const REAL a = (REAL)step;
  if (!(step > 0)) return epact_fail(EPACT_E_MISUSE, "step must be positive, got %g", step);
  for (int64_t j = 0; j < n; j++) {
    const REAL since = gbar[j] - read[j], eta_old = a / SQRT(largest[j]);
    z[j] += g[j] * g[j] + 2 * g[j] * since;
    if (z[j] > largest[j]) largest[j] = z[j];
    const REAL eta = a / SQRT(largest[j]);
    x[j] += (eta_old - eta) * since - eta * g[j];
    gbar[j] += g[j];
  }
  return EPACT_OK;
}

int NAME(epact_adam)(int64_t n, int64_t t, const epact_adam_rule *rule, const REAL *restrict g, REAL *restrict x,
                     REAL *restrict m, REAL *restrict v)
{
  const int code = check_adam(t, rule);
  const REAL beta1 = (REAL)rule->beta1, beta2 = (REAL)rule->beta2, epsilon = (REAL)rule->epsilon;
  const REAL step = (REAL)(rule->step / (1 - pow(rule->beta1, (double)t)));
  const REAL whole = (REAL)(1 / (1 - pow(rule->beta2, (double)t)));
  for (int64_t j = 0; !code && j < n; j++) {
    m[j] = beta1 * m[j] + (1 - beta1) * g[j];
    v[j] = beta2 * v[j] + (1 - beta2) * g[j] * g[j];
    x[j] -= step * m[j] / (SQRT(v[j] * whole) + epsilon);
  }
  return code;
}

#undef REAL
#undef SQRT
#undef NAME
