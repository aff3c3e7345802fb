/* Coordinate descent on a working set: see active.h. */
#include "active_state.h"

#include "../base/internal.h"
#include "threshold.h"

#include <math.h>
#include <string.h>

/* Sweeps between two jumps, and twice as many before the first one; the turns of a jump, which end where the error has fallen to a share of its square. Without an l1 there are no signs to find first: a jump
 * after each sweep. */
enum { SWEEPS = 10, MOST_TURNS = 20, SMOOTH_TURNS = 100 };
#define ENOUGH_TURNS 1e-4
/* Of the curvature that a column would have if the loss were flat for none of its rows: the least it is given. */
#define LEAST_SHARE 0.001

static inline void shift(epact_active *active, int64_t k, double change)
{
  active_row *pair = active->pair;
  const double step = change;
  const int64_t end = active->start[k + 1];
  if (active->flat)
    for (int64_t e = active->start[k]; e < end; e++) pair[active->row[e]].z += step * pair[active->row[e]].d;
  else
    for (int64_t e = active->start[k]; e < end; e++)
      pair[active->row[e]].z += step * active->value[e] * pair[active->row[e]].d;
}

/* Where the loss is flat for nearly all rows of a column, a little of the curvature it has elsewhere: the model would
 * have no minimum, or one far away. It is felt by the step only, not by where the steps lead. */
static double damping_of(const epact_active *active, int64_t place, double curvature)
{
  double norm2 = 0;
  for (int64_t e = active->start[place]; e < active->start[place + 1]; e++) {
    const double value = active->value ? active->value[e] : active->flat[active->row[e]];
    norm2 += value * value;
  }
  return curvature < LEAST_SHARE * norm2 ? LEAST_SHARE * norm2 - curvature : 0;
}

static void prepare(epact_active *active, const epact_active_options *options, const uint32_t *list, int64_t count,
                    const double *u, const double *d)
{
  for (int64_t i = 0; i < active->rows; i++) {
    const double flat = common_entry(active, i);
    active->pair[i] = (active_row){ flat * u[i], flat * flat * d[i] };
  }
  for (int64_t k = 0; k < count; k++) {
    const uint32_t place = active->place[list[k]];
    double sum = 0;
    for (int64_t e = active->start[place]; e < active->start[place + 1]; e++) {
      const double value = active->value ? active->value[e] : 1;
      sum += (value * value * active->pair[active->row[e]].d);
    }
    active->damping[place] = active->has_flats && options->l1 > 0 ? damping_of(active, place, sum) : 0;
    active->curvature[place] = sum + options->l2 + active->damping[place];
    active->change[place] = 0;
    active->sweep[k] = place;
  }
}

/* By how much 0 is outside of the subdifferential. */
static double violation_of(double slope, double coefficient, double l1)
{
  if (coefficient > 0) return fabs(slope + l1);
  if (coefficient < 0) return fabs(slope - l1);
  return fabs(slope) > l1 ? fabs(slope) - l1 : 0;
}

/* One sweep over sweep[0 .. *count - 1]; columns that stay at 0 with nothing to gain leave it. */
static double sweep_columns(epact_active *active, const epact_active_options *options, const double *w, int64_t *count)
{
  double violations = 0;
  int64_t kept = 0;
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

/* Directions of the support: those of its columns, and behind them that of the intercept where there is one. */
typedef struct {
  int64_t columns, size;
  const uint32_t *which; /* [size]: places; that of the intercept is active->able */
  double l2;
} support;

/* scaled = X p, by the rows' own scale. */
static void look_along(epact_active *active, const support *s, const double *p)
{
  double *image = active->scaled;
  const double constant = s->size > s->columns ? p[s->columns] : 0;
  for (int64_t i = 0; i < active->rows; i++) image[i] = constant / common_entry(active, i);
  for (int64_t at = 0; at < s->columns; at++) {
    const int64_t k = s->which[at], end = active->start[k + 1];
    if (p[at] == 0) continue;
    for (int64_t e = active->start[k]; e < end; e++)
      image[active->row[e]] += active->value ? p[at] * active->value[e] : p[at];
  }
}

/* bent = H_SS p. */
static void bend(epact_active *active, const support *s, const double *p, double *bent)
{
  double *image = active->scaled, sum = 0;
  look_along(active, s, p);
  for (int64_t i = 0; i < active->rows; i++) image[i] *= active->pair[i].d;
  for (int64_t at = 0; at < s->columns; at++) {
    const int64_t k = s->which[at], end = active->start[k + 1];
    double sum0 = 0, sum1 = 0;
    int64_t e = active->start[k];
    if (active->value) {
      for (; e < end; e++) sum0 += active->value[e] * image[active->row[e]];
    } else {
      for (; e + 2 <= end; e += 2) {
        sum0 += image[active->row[e]];
        sum1 += image[active->row[e + 1]];
      }
      if (e < end) sum0 += image[active->row[e]];
    }
    bent[at] = sum0 + sum1 + (s->l2 + active->damping[k]) * p[at];
  }
  if (s->size == s->columns) return;
  for (int64_t i = 0; i < active->rows; i++) sum += image[i] / common_entry(active, i);
  bent[s->columns] = sum;
}

/* Conjugate gradients for H_SS step = residual (overwritten), with the diagonal as preconditioner. */
static void conjugate_gradients(epact_active *active, const support *s, int most, double *residual, double *step)
{
  double *p = active->scratch, *bent = p + s->size, before = 0, weight = 0;
  for (int64_t at = 0; at < s->size; at++) {
    step[at] = p[at] = 0;
    before += residual[at] * residual[at] / active->curvature[s->which[at]];
  }
  const double first = before;
  for (int turn = 0; turn < most && before > ENOUGH_TURNS * first; turn++) {
    double size = 0, after = 0;
    for (int64_t at = 0; at < s->size; at++) p[at] = residual[at] / active->curvature[s->which[at]] + weight * p[at];
    bend(active, s, p, bent);
    for (int64_t at = 0; at < s->size; at++) size += p[at] * bent[at];
    if (!(size > 0)) break;
    for (int64_t at = 0; at < s->size; at++) {
      step[at] += before / size * p[at];
      residual[at] -= before / size * bent[at];
      after += residual[at] * residual[at] / active->curvature[s->which[at]];
    }
    weight = after / before;
    before = after;
  }
}

/* The columns that are not 0, with what the model's slope there wants to be taken away. */
static support find_support(epact_active *active, const epact_active_options *options, const double *w,
                            const uint32_t *list, int64_t listed)
{
  uint32_t *which = active->support;
  int64_t count = 0;
  for (int64_t at = 0; at < listed; at++) {
    const uint32_t k = active->place[list[at]];
    const double now = w[list[at]] + active->change[k];
    if (now == 0 || !(active->curvature[k] > 0)) continue;
    active->coefficient[count] = now;
    const double slope = slope_of(active, k) + options->l2 * now + active->damping[k] * active->change[k];
    active->gradient[count] = -slope - (now > 0 ? options->l1 : -options->l1);
    which[count++] = k;
  }
  support s = { .columns = count, .size = count, .which = which, .l2 = options->l2 };
  if (options->intercept && active->curvature[active->able] > 0) {
    double slope = 0;
    for (int64_t i = 0; i < active->rows; i++) slope += active->pair[i].z / common_entry(active, i);
    active->gradient[count] = -slope;
    which[count] = (uint32_t)active->able;
    s.size++;
  }
  return s;
}

/* On the columns that are not 0, with their signs, the model is a parabola: goes towards its minimum. Coefficients that
 * would change their sign become 0; where that does not lower the model, one goes only as far as the first of them. */
static void jump(epact_active *active, const epact_active_options *options, const double *w, const uint32_t *list,
                 int64_t listed, double *intercept)
{
  const support s = find_support(active, options, w, list, listed);
  double *move = active->residual, *step = active->direction, fall = 0, reach = 1;
  memcpy(move, active->gradient, (size_t)s.size * sizeof *move);
  conjugate_gradients(active, &s, options->l1 > 0 ? MOST_TURNS : SMOOTH_TURNS, move, step);
  memcpy(move, step, (size_t)s.size * sizeof *move);
  for (int64_t at = 0; at < s.columns; at++) {
    const double limit = -active->coefficient[at] / step[at];
    if (options->l1 > 0 && limit > 0 && limit < 1) {
      move[at] = -active->coefficient[at];
      if (limit < reach) reach = limit;
    }
    fall -= (options->l2 + active->damping[s.which[at]]) / 2 * move[at] * move[at];
  }
  for (int64_t at = 0; at < s.size; at++) fall += move[at] * active->gradient[at];
  look_along(active, &s, move);
  for (int64_t i = 0; i < active->rows; i++) fall -= active->pair[i].d * active->scaled[i] * active->scaled[i] / 2;
  if (!(fall > 0)) {
    for (int64_t at = 0; at < s.size; at++) move[at] = reach * step[at];
    look_along(active, &s, move);
  }
  for (int64_t at = 0; at < s.columns; at++) {
    const uint32_t k = s.which[at];
    active->change[k] = move[at] == -active->coefficient[at] ? -w[active->column[k]] : active->change[k] + move[at];
  }
  if (s.size > s.columns) *intercept += move[s.columns];
  for (int64_t i = 0; i < active->rows; i++) active->pair[i].z += active->pair[i].d * active->scaled[i];
}

/* The intercept put at its minimum. */
static double centre(epact_active *active, double *total)
{
  const double curvature = active->curvature[active->able];
  double slope = 0;
  for (int64_t i = 0; i < active->rows; i++) slope += active->pair[i].z / common_entry(active, i);
  if (!(curvature > 0)) return 0;
  const double change = -slope / curvature;
  *total += change;
  for (int64_t i = 0; i < active->rows; i++) active->pair[i].z += change * active->pair[i].d / common_entry(active, i);
  return fabs(slope);
}

static void finish(epact_active *active, const epact_active_options *options, const uint32_t *list, int64_t count,
                   const double *u, const double *w, double intercept, double *step, double *move, double *slope)
{
  double sum = 0;
  for (int64_t i = 0; i < active->rows; i++) move[i] = 0;
  for (int64_t at = 0; at < count; at++) {
    const uint32_t j = list[at], k = active->place[j];
    const double change = step[j] = active->change[k];
    if (change == 0) continue;
    for (int64_t e = active->start[k]; e < active->start[k + 1]; e++)
      move[active->row[e]] += active->value ? change * active->value[e] : change;
    sum += options->l1 * (fabs(w[j] + change) - fabs(w[j])) + options->l2 * w[j] * change;
  }
  for (int64_t i = 0; i < active->rows; i++) {
    if (active->flat) move[i] *= active->flat[i];
    move[i] += intercept;
    sum += u[i] * move[i];
  }
  if (options->intercept) step[active->columns] = intercept;
  *slope = sum;
}

int64_t epact_active_step(epact_active *active, const epact_active_options *options, const uint32_t *list,
                          int64_t count, const double *u, const double *d, const double *w, double *step, double *move,
                          double *slope, int *settled)
{
  double intercept = 0, first = 0;
  int64_t sweeps = 0, rest = count;
  bool whole = true;
  *settled = 0;
  prepare(active, options, list, count, u, d);
  active->curvature[active->able] = 0;
  for (int64_t i = 0; i < active->rows; i++) active->curvature[active->able] += d[i];
  while (sweeps < options->most) {
    double violations = options->intercept ? centre(active, &intercept) : 0;
    violations += sweep_columns(active, options, w, &rest);
    if (sweeps++ == 0) first = violations;
    if (violations <= options->share * first) {
      if (whole) {
        *settled = 1;
        break;
      }
      for (int64_t k = 0; k < count; k++) active->sweep[k] = active->place[list[k]];
      rest = count;
      whole = true;
    } else {
      whole = false;
      if (options->l1 == 0 || (sweeps > SWEEPS && sweeps % SWEEPS == 0))
        jump(active, options, w, list, count, &intercept);
    }
  }
  finish(active, options, list, count, u, w, intercept, step, move, slope);
  if (!isfinite(*slope)) return epact_fail(EPACT_E_DIVERGED, "the step is not finite");
  return sweeps;
}
