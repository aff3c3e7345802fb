/* Conjugate gradients on the support of a working set: see active.h. */
#include "active_state.h"

#include <math.h>
#include <string.h>

/* The turns of a jump, which end where the error has fallen to a share of its square. */
enum { MOST_TURNS = 20, SMOOTH_TURNS = 100, FEW_TURNS = 4 };
#define ENOUGH_TURNS 1e-4

/* The columns that are not 0, as places. */
typedef struct {
  int64_t size;
  const uint32_t *which; /* [size] */
  double l2;
} support;

/* scaled = X p, by the rows' own entries; the part of it that the intercept takes away, which is not subtracted. */
static double look_along(epact_active *active, const support *s, const double *p)
{
  double *image = active->scaled, weight = 0;
  memset(image, 0, (size_t)active->x.rows * sizeof *image);
  for (int64_t at = 0; at < s->size; at++) {
    if (p[at] == 0) continue;
    weight += active->weighted[s->which[at]] * p[at];
    add_column(active, s->which[at], p[at], image);
  }
  return active->total > 0 ? weight / active->total : 0;
}

/* bent = H_SS p, the intercept following. */
static void bend(epact_active *active, const support *s, const double *p, double *bent)
{
  double *image = active->scaled;
  const double common = look_along(active, s, p);
  for (int64_t i = 0; i < active->x.rows; i++) image[i] *= active->d[i];
  for (int64_t at = 0; at < s->size; at++) {
    const int64_t k = s->which[at];
    bent[at] = active->scale[k] * product_of(active, k, image) - common * active->weighted[k] +
               (s->l2 + active->damping[k]) * p[at];
  }
}

/* Nanoseconds of a turn, roughly: two passes over the support's entries, and the factor. */
static double turn_cost(const epact_active *active, const support *s)
{
  double entries = 0;
  for (int64_t at = 0; at < s->size; at++) entries += (double)entries_of(active, s->which[at]).count;
  const double pairs = (double)active->factor.size * (double)active->factor.size;
  return entries * (active->x.start ? 3 : 0.5) + 3 * (double)active->x.rows + 0.3 * pairs;
}

/* Preconditioned conjugate gradients for H_SS step = residual (overwritten). Returns the turns. */
static int conjugate_gradients(epact_active *active, const support *s, int most, double *residual, double *step)
{
  double *p = active->scratch, *bent = p + s->size, *solved = bent + s->size, before = 0, weight = 0, first = 0;
  int turn = 0;
  for (int64_t at = 0; at < s->size; at++) step[at] = p[at] = 0;
  for (; turn < most; turn++) {
    double size = 0, after = 0;
    active_factor_apply(active, s->which, s->size, residual, solved);
    for (int64_t at = 0; at < s->size; at++) after += residual[at] * solved[at];
    if (turn == 0) first = after;
    if (!(after > ENOUGH_TURNS * first)) break;
    weight = turn > 0 ? after / before : 0;
    before = after;
    for (int64_t at = 0; at < s->size; at++) p[at] = solved[at] + weight * p[at];
    bend(active, s, p, bent);
    for (int64_t at = 0; at < s->size; at++) size += p[at] * bent[at];
    if (!(size > 0)) break;
    for (int64_t at = 0; at < s->size; at++) {
      step[at] += before / size * p[at];
      residual[at] -= before / size * bent[at];
    }
  }
  return turn;
}

/* The factor is made, or made anew, when what was spent for the lack of it would have paid for it. */
static void consider_factor(epact_active *active, const support *s)
{
  const double cost = active_factor_cost(active, s->size);
  if (!s->size || active->factor.spent < cost) return;
  active->factor.spent = active_factor_make(active, s->which, s->size) ? -INFINITY : 0; /* no memory: never again */
}

/* The columns that are not 0, with what the model's slope there wants to be taken away. */
static support find_support(epact_active *active, const epact_active_options *options, const double *w,
                            const uint32_t *list, int64_t listed)
{
  uint32_t *which = active->support;
  int64_t count = 0;
  for (int64_t at = 0; at < listed; at++) {
    const int64_t k = place_of(active, list[at]);
    const double now = w[list[at]] + active->change[k];
    if (now == 0 || !(active->curvature[k] > 0)) continue;
    active->coefficient[count] = now;
    const double slope = slope_of(active, k) + options->l2 * now + active->damping[k] * active->change[k];
    active->gradient[count] = -slope - (now > 0 ? options->l1 : -options->l1);
    which[count++] = (uint32_t)k;
  }
  return (support){ .size = count, .which = which, .l2 = options->l2 };
}

/* By how much the model falls by a move of the support; leaves X move, and what the intercept takes away. */
static double fall_of(epact_active *active, const support *s, const double *move, double *common)
{
  double fall = 0;
  for (int64_t at = 0; at < s->size; at++)
    fall += move[at] * (active->gradient[at] - (s->l2 + active->damping[s->which[at]]) / 2 * move[at]);
  *common = look_along(active, s, move);
  for (int64_t i = 0; i < active->x.rows; i++) {
    const double along = active->scaled[i] - *common / common_entry(active, i);
    fall -= active->d[i] * along * along / 2;
  }
  return fall;
}

/* Coefficients that would change their sign become 0; where that does not lower the model, it goes only as far as the
 * first of them. */
int active_jump(epact_active *active, const epact_active_options *options, const double *w, const uint32_t *list,
                int64_t listed)
{
  const support s = find_support(active, options, w, list, listed);
  double *move = active->residual, *step = active->direction, reach = 1, common;
  int64_t first = -1;
  memcpy(move, active->gradient, (size_t)s.size * sizeof *move);
  consider_factor(active, &s);
  const int turns = conjugate_gradients(active, &s, options->l1 > 0 ? MOST_TURNS : SMOOTH_TURNS, move, step);
  active->factor.spent += (turns > FEW_TURNS ? turns - FEW_TURNS : 0) * turn_cost(active, &s);
  memcpy(move, step, (size_t)s.size * sizeof *move);
  for (int64_t at = 0; at < s.size; at++) {
    const double limit = -active->coefficient[at] / step[at];
    if (options->l1 > 0 && limit > 0 && limit < 1) {
      move[at] = -active->coefficient[at];
      if (limit < reach) {
        reach = limit;
        first = at;
      }
    }
  }
  active->blocked = first >= 0;
  if (!(fall_of(active, &s, move, &common) > 0)) {
    for (int64_t at = 0; at < s.size; at++) move[at] = at == first ? -active->coefficient[at] : reach * step[at];
    common = look_along(active, &s, move);
  }
  for (int64_t at = 0; at < s.size; at++) {
    const uint32_t k = s.which[at];
    active->change[k] = move[at] == -active->coefficient[at] ? -w[active->column[k]] : active->change[k] + move[at];
  }
  active->offset -= common;
  for (int64_t i = 0; i < active->x.rows; i++) active->z[i] += active->d[i] * active->scaled[i];
  return turns;
}
