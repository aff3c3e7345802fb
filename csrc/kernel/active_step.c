/* Coordinate descent on a working set: see active.h. */
#include "active_state.h"

#include "threshold.h"

#include <math.h>
#include <string.h>

/* Sweeps between two jumps, and more than twice as many before the first one; SOON where a factor makes jumps of few
 * turns. Without an l1 there are no signs to find first: a jump after each sweep. */
enum { SWEEPS = 10, SOON = 4 };
/* Of the curvature that a column would have if the loss were flat for none of its rows: the least it is given. */
#define LEAST_SHARE 0.001

EPACT_CLONES static void shift_dense(int64_t n, double step, const double *restrict x, const double *restrict d,
                                     double *restrict z)
{
  for (int64_t i = 0; i < n; i++) z[i] += step * x[i] * d[i];
}

static inline void shift(epact_active *active, int64_t k, double change)
{
  const column c = entries_of(active, k);
  const double step = active->scale[k] * change, *d = active->d;
  double *z = active->z;
  if (!c.index)
    shift_dense(c.count, step, c.value, d, z);
  else if (active->flat)
    for (int64_t e = 0; e < c.count; e++) z[c.index[e]] += step * d[c.index[e]];
  else
    for (int64_t e = 0; e < c.count; e++) z[c.index[e]] += step * c.value[e] * d[c.index[e]];
  if (active->total > 0) active->offset -= change * active->weighted[k] / active->total;
}

EPACT_CLONES static double bend_dense(int64_t n, const double *restrict x, const double *restrict d)
{
  double sum[8] = { 0 };
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int lane = 0; lane < 8; lane++) sum[lane] += x[i + lane] * x[i + lane] * d[i + lane];
  for (; i < n; i++) sum[0] += x[i] * x[i] * d[i];
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* x_k'diag(d)x_k without its scale. */
static double bend_of(const epact_active *active, int64_t k)
{
  const column c = entries_of(active, k);
  if (!c.index) return bend_dense(c.count, c.value, active->d);
  if (active->flat) return indexed_sum(c.count, c.index, active->d);
  double sum = 0;
  for (int64_t e = 0; e < c.count; e++) sum += c.value[e] * c.value[e] * active->d[c.index[e]];
  return sum;
}

/* Where the loss is flat for nearly all rows of a column, a little of the curvature it has elsewhere: the model would
 * have no minimum, or one far away. It is felt by the step only, not by where the steps lead. */
static double damping_of(const epact_active *active, int64_t k, double curvature)
{
  const column c = entries_of(active, k);
  double norm2 = 0;
  for (int64_t e = 0; e < c.count; e++) norm2 += c.value[e] * c.value[e];
  norm2 *= active->scale[k] * active->scale[k];
  return curvature < LEAST_SHARE * norm2 ? LEAST_SHARE * norm2 - curvature : 0;
}

/* The model at the step 0, but for the intercept, which is put at its minimum. */
static void prepare(epact_active *active, const epact_active_options *options, const uint32_t *list, int64_t count,
                    const double *u, const double *d)
{
  double slope = 0, total = 0;
  for (int64_t i = 0; i < active->x.rows; i++) {
    const double flat = common_entry(active, i);
    active->z[i] = flat * u[i];
    active->d[i] = flat * flat * d[i];
    active->scaled[i] = flat * d[i];
    slope += u[i];
    total += d[i];
  }
  active->total = options->intercept ? total : 0;
  active->offset = active->total > 0 ? -slope / total : 0;
  for (int64_t at = 0; at < count; at++) {
    const int64_t k = place_of(active, list[at]);
    const double scale = active->scale[k], sum = scale * scale * bend_of(active, k);
    active->weighted[k] = options->intercept ? scale * product_of(active, k, active->scaled) : 0;
    active->damping[k] = active->has_flats && options->l1 > 0 ? damping_of(active, k, sum) : 0;
    const double common = active->total > 0 ? active->weighted[k] * active->weighted[k] / total : 0;
    const double own = sum - common > 1e-12 * sum ? sum - common : 0; /* a constant column has nothing of its own */
    active->curvature[k] = own + options->l2 + active->damping[k];
    active->change[k] = 0;
    active->sweep[at] = (uint32_t)k;
  }
}

/* By how much 0 is outside of the subdifferential. */
static double violation_of(double slope, double coefficient, double l1)
{
  if (coefficient > 0) return fabs(slope + l1);
  if (coefficient < 0) return fabs(slope - l1);
  return fabs(slope) > l1 ? fabs(slope) - l1 : 0;
}

/* One sweep over sweep[0 .. *count - 1] in a random order, which takes half the sweeps that a fixed one takes on text;
 * columns that stay at 0 with nothing to gain leave it. */
static double sweep_columns(epact_active *active, const epact_active_options *options, const double *w, int64_t *count)
{
  double violations = 0;
  int64_t kept = 0;
  epact_rng_shuffle(&active->order, active->sweep, *count);
  for (int64_t at = 0; at < *count; at++) {
    const uint32_t k = active->sweep[at];
    const double old = w[active->column[k]] + active->change[k], curvature = active->curvature[k];
    const double slope = slope_of(active, k) + options->l2 * old + active->damping[k] * active->change[k];
    const double violation = violation_of(slope, old, options->l1);
    violations += violation;
    if (old == 0 && violation == 0) continue;
    active->sweep[kept++] = k;
    if (!(curvature > 0)) continue;
    const double now = soft_threshold(old - slope / curvature, options->l1 / curvature);
    if (now == old) continue;
    active->change[k] = now == 0 ? -w[active->column[k]] : active->change[k] + (now - old);
    shift(active, k, now - old);
  }
  *count = kept;
  return violations;
}

static void finish(const epact_active *active, const epact_active_options *options, const uint32_t *list, int64_t count,
                   const double *u, const double *w, double *step, double *move, double *slope)
{
  double sum = 0;
  memset(move, 0, (size_t)active->x.rows * sizeof *move);
  for (int64_t at = 0; at < count; at++) {
    const uint32_t j = list[at];
    const int64_t k = place_of(active, j);
    const double change = step[j] = active->change[k];
    if (change == 0) continue;
    add_column(active, k, change, move);
    sum += options->l1 * (fabs(w[j] + change) - fabs(w[j])) + options->l2 * w[j] * change;
  }
  for (int64_t i = 0; i < active->x.rows; i++) {
    if (active->flat) move[i] *= active->flat[i];
    move[i] += active->offset;
    sum += u[i] * move[i];
  }
  if (options->intercept) step[active->x.columns] = active->offset;
  *slope = sum;
}

/* Sweeps from a jump to the next one. */
static int rest_after(const epact_active *active, const epact_active_options *options, int turns)
{
  if (options->l1 == 0) return 1;
  if (!active->factor.size || turns >= 2 * SOON) return SWEEPS;
  return active->blocked && turns < SOON ? 1 : SOON;
}

int64_t epact_active_step(epact_active *active, const epact_active_options *options, const uint32_t *list,
                          int64_t count, const double *u, const double *d, const double *w, double *step, double *move,
                          double *slope, int *settled)
{
  double first = 0;
  int64_t sweeps = 0, rest = count;
  int64_t next = options->l1 == 0 ? 1 : active->factor.size ? SOON : 2 * SWEEPS + SOON; /* sweep after which to jump */
  bool whole = true;
  *settled = 0;
  prepare(active, options, list, count, u, d);
  while (sweeps < options->most) {
    const double violations = sweep_columns(active, options, w, &rest);
    if (sweeps++ == 0) first = violations;
    if (violations <= options->share * first) {
      if (whole) {
        *settled = 1;
        break;
      }
      for (int64_t at = 0; at < count; at++) active->sweep[at] = (uint32_t)place_of(active, list[at]);
      rest = count;
      whole = true;
    } else {
      whole = false;
      if (sweeps >= next) {
        const int turns = active_jump(active, options, w, list, count);
        next = sweeps + rest_after(active, options, turns);
      }
    }
  }
  finish(active, options, list, count, u, w, step, move, slope);
  if (!isfinite(*slope)) return epact_fail(EPACT_E_DIVERGED, "the step is not finite");
  return sweeps;
}
