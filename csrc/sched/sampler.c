/* Distinct variables by chance: see sampler.h.
 *
 * eta is not in the sums: a draw is, with probability n eta / (total + n eta), uniform, and else by the sums. So eta may
 * change at any time, and a variable that did not move has no weight. Draws without replacement are draws with, in
 * which one that is there already is refused: that is the same distribution. So that refusals stay few, one that the
 * sums gave twice is taken out of them until the batch is complete. */
#include "sampler.h"

#include "order.h"
#include "seen.h"
#include "sums.h"

#include <math.h>

static const double FRESH = 1e200, LARGEST = 1e180; /* weights: a fresh one is above the sum of all others */

struct epact_sampler {
  int64_t variables, fresh;
  bool weighted;
  double power, eta, largest;
  sums_tree sums;
  seen_set seen;
  int64_t room;                /* of each array below */
  double *at, *kept;           /* of a proposal: its place in the sums; the weights of those taken out */
  uint32_t *proposed, *out;    /* proposals; those taken out */
  uint32_t *scratch, *ordered; /* for sums_refresh and for sorting */
};

static void destroy(void *object)
{
  epact_sampler *s = object;
  sums_free(&s->sums);
  free(s->seen.place);
  free(s->at);
  free(s->kept);
  free(s->proposed);
  free(s->out);
  free(s->scratch);
  free(s->ordered);
}

static int new_sampler(int64_t variables, epact_sampler **sampler)
{
  if (variables < 1 || variables > UINT32_MAX)
    return epact_fail(EPACT_E_MISUSE, "1 .. 2^32 - 1 variables can be drawn, got %lld", (long long)variables);
  epact_sampler *s = epact_object_new(sizeof *s, destroy);
  if (!s) return EPACT_E_NOMEM;
  s->variables = variables;
  *sampler = s;
  return EPACT_OK;
}

int epact_sampler_uniform(int64_t variables, epact_sampler **sampler)
{
  return new_sampler(variables, sampler);
}

int epact_sampler_new(int64_t variables, double power, double eta, epact_sampler **sampler)
{
  if (!(power > 0 && power < INFINITY) || !(eta < INFINITY))
    return epact_fail(EPACT_E_MISUSE, "power must be a positive number and eta a number, got %g and %g", power, eta);
  epact_sampler *s = NULL;
  const int code = new_sampler(variables, &s);
  if (code) return code;
  s->weighted = true;
  s->power = power;
  s->eta = eta;
  s->fresh = variables;
  if (sums_init(&s->sums, variables, FRESH)) {
    epact_release(s);
    return EPACT_E_NOMEM;
  }
  *sampler = s;
  return EPACT_OK;
}

static int reserve(epact_sampler *s, int64_t count)
{
  if (count <= s->room) return EPACT_OK;
  const size_t room = (size_t)count + (size_t)count / 2;
  if (epact_grow(&s->at, room, sizeof *s->at) || epact_grow(&s->kept, room, sizeof *s->kept) ||
      epact_grow(&s->proposed, room, sizeof *s->proposed) || epact_grow(&s->out, room, sizeof *s->out) ||
      epact_grow(&s->scratch, room, sizeof *s->scratch) || epact_grow(&s->ordered, room, sizeof *s->ordered))
    return EPACT_E_NOMEM;
  s->room = (int64_t)room;
  return EPACT_OK;
}

/* ---- drawing ---- */

static double eta_now(const epact_sampler *s)
{
  if (s->eta >= 0) return s->eta;
  const double share = s->sums.total / (double)s->variables;
  return fmin(0.01 * s->largest, share);
}

/* n proposals: those that the sums give come first. Returns their number. */
static int64_t propose(epact_sampler *s, epact_rng *rng, double eta, int64_t n)
{
  const double total = s->weighted ? s->sums.total : 0, mass = total + (double)s->variables * eta;
  int64_t by_sums = 0, uniform = n;
  for (int64_t i = 0; total > 0 && i < n; i++) {
    const double at = epact_uniform_inline(rng) * mass;
    if (at < total) s->at[by_sums++] = at;
  }
  if (by_sums) sums_find(&s->sums, by_sums, s->at, s->proposed);
  while (uniform-- > by_sums) s->proposed[uniform] = (uint32_t)(epact_uniform_inline(rng) * (double)s->variables);
  return by_sums;
}

/* Sets the weight of those taken out from `first` on to 0. */
static void take_out(epact_sampler *s, int64_t first, int64_t end)
{
  if (first == end) return;
  sums_refresh(&s->sums, end - first, s->out + first, s->scratch);
}

static void put_back(epact_sampler *s, int64_t count)
{
  for (int64_t i = 0; i < count; i++) s->sums.level[0][s->out[i]] = s->kept[i];
  if (count) sums_refresh(&s->sums, count, s->out, s->scratch);
}

static void order(epact_sampler *s, int64_t count, uint32_t *drawn)
{
  for (int64_t i = 0; i < count; i++) s->at[i] = s->sums.level[0][drawn[i]];
  order_by_key(count, drawn, s->at, s->ordered, s->kept);
}

int64_t epact_sampler_draw(epact_sampler *s, epact_rng *rng, int64_t count, uint32_t *drawn)
{
  const int64_t wanted = count < s->variables ? count : s->variables;
  if (wanted < 1) return 0;
  if (reserve(s, wanted) || seen_begin(&s->seen, (size_t)wanted)) return EPACT_E_NOMEM;
  const double eta = s->weighted ? eta_now(s) : 0;
  int64_t have = 0, out = 0, most = wanted;
  while (have < wanted) {
    const int64_t n = most < wanted - have ? most : wanted - have, had = have, were_out = out;
    const int64_t by_sums = propose(s, rng, eta, n);
    for (int64_t i = 0; i < n; i++) {
      const uint32_t j = s->proposed[i];
      if (seen_add(&s->seen, j)) {
        drawn[have++] = j;
      } else if (i < by_sums && s->sums.level[0][j] > 0) {
        s->out[out] = j;
        s->kept[out++] = s->sums.level[0][j];
        s->sums.level[0][j] = 0;
      }
    }
    take_out(s, were_out, out);
    most = 4 * (have - had) > 8 ? 4 * (have - had) : 8; /* where few are left, most proposals are refused */
  }
  put_back(s, out);
  if (s->weighted) order(s, wanted, drawn);
  return wanted;
}

/* ---- telling ---- */

static double weight_of(const epact_sampler *s, double delta)
{
  const double size = fabs(delta);
  const double weight = s->power == 1 ? size : s->power == 2 ? size * size : pow(size, s->power);
  return weight < LARGEST ? weight : LARGEST;
}

static int check_fed(const epact_sampler *s, int64_t count, const uint32_t *variable, const double *delta)
{
  for (int64_t i = 0; i < count; i++) {
    if (variable[i] >= s->variables)
      return epact_fail(EPACT_E_RANGE, "variable %u is not below %lld", variable[i], (long long)s->variables);
    if (!isfinite(delta[i]))
      return epact_fail(EPACT_E_NONFINITE, "the step of variable %u is %g", variable[i], delta[i]);
  }
  return EPACT_OK;
}

int epact_sampler_feed(epact_sampler *s, int64_t count, const uint32_t *variable, const double *delta)
{
  const int code = check_fed(s, count, variable, delta);
  if (code || count < 1 || !s->weighted) return code;
  if (reserve(s, count)) return EPACT_E_NOMEM;
  double *weight = s->sums.level[0];
  for (int64_t i = 0; i < count; i++) {
    const double now = weight_of(s, delta[i]);
    if (s->fresh > 0 && now > s->largest) s->largest = now;
    s->fresh -= weight[variable[i]] == FRESH;
    weight[variable[i]] = now;
  }
  sums_refresh(&s->sums, count, variable, s->scratch);
  return EPACT_OK;
}

/* ---- looking ---- */

epact_sampler_status epact_sampler_look(const epact_sampler *s)
{
  epact_sampler_status status = { .fresh = s->fresh, .largest = s->largest };
  if (!s->weighted) return status;
  status.total = s->sums.total;
  status.eta = eta_now(s);
  status.bytes = (int64_t)(s->sums.numbers * sizeof(double));
  return status;
}

const double *epact_sampler_weights(const epact_sampler *s)
{
  return s->weighted ? s->sums.level[0] : NULL;
}

int epact_sampler_restore(epact_sampler *s, const double *weight, double largest)
{
  if (!s->weighted) return epact_fail(EPACT_E_MISUSE, "a uniform sampler has no weights");
  for (int64_t j = 0; j < s->variables; j++)
    if (!((weight[j] >= 0 && weight[j] <= LARGEST) || weight[j] == FRESH))
      return epact_fail(EPACT_E_CORRUPT, "the weight of variable %lld is %g", (long long)j, weight[j]);
  if (!(largest >= 0 && largest <= LARGEST)) return epact_fail(EPACT_E_CORRUPT, "the largest weight is %g", largest);
  s->fresh = 0;
  s->largest = largest;
  for (int64_t j = 0; j < s->variables; j++) {
    s->sums.level[0][j] = weight[j];
    s->fresh += weight[j] == FRESH;
  }
  sums_build(&s->sums, s->variables);
  return EPACT_OK;
}

int epact_sampler_check(epact_sampler *s, int64_t count, const uint32_t *variable)
{
  if (seen_begin(&s->seen, (size_t)(count > 0 ? count : 0))) return EPACT_E_NOMEM;
  for (int64_t i = 0; i < count; i++) {
    if (variable[i] >= s->variables)
      return epact_fail(EPACT_E_MISUSE, "variable %u is not below %lld", variable[i], (long long)s->variables);
    if (!seen_add(&s->seen, variable[i])) return epact_fail(EPACT_E_MISUSE, "variable %u twice", variable[i]);
  }
  return EPACT_OK;
}
