/* The members of a working set, and coordinate descent on them: see lasso_set.h. */
#include "lasso_set.h"

#include "../base/internal.h"
#include "lasso_state.h"

#include <stdlib.h>
#include <string.h>

static void destroy(void *object)
{
  epact_lasso_set *set = object;
  void *const own[] = {
    set->place,      set->kept[0],     set->kept[1],     set->kept_slope[0], set->kept_slope[1],    set->hot,
    set->watch,      set->wanted,      set->slope_there, set->candidate,     set->column,           set->b,
    set->slope,      set->curvature,   set->known_at,    set->support,       set->gradient,         set->direction,
    set->move,       set->bend,        set->scratch,     set->factor,        set->factored_support, set->image,
    set->gram.value, set->gram.member, set->gram.row,    set->gram.entry,    set->gram.packed
  };
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) free(own[i]);
}

epact_lasso_set *epact_lasso_set_new(const epact_columns *x, const double *squared_norm, const double *y)
{
  if (x->columns > INT32_MAX) {
    epact_fail(EPACT_E_LIMIT, "at most %d columns, got %lld", INT32_MAX, (long long)x->columns);
    return NULL;
  }
  epact_lasso_set *set = epact_object_new(sizeof *set, destroy);
  if (!set) return NULL;
  set->x = *x;
  set->squared_norm = squared_norm;
  set->y = y;
  set->place = epact_malloc((size_t)x->columns * sizeof *set->place);
  set->slope_there = epact_malloc((size_t)x->columns * sizeof *set->slope_there);
  set->hot = epact_calloc((size_t)x->columns, sizeof *set->hot);
  set->watch = epact_malloc((size_t)x->columns * sizeof *set->watch);
  set->wanted = epact_malloc((size_t)x->columns * sizeof *set->wanted);
  for (int at = 0; at < 2; at++) {
    set->kept[at] = epact_calloc((size_t)x->rows, sizeof *set->kept[at]);
    set->kept_slope[at] = epact_calloc((size_t)x->columns, sizeof *set->kept_slope[at]);
  }
  set->image = epact_malloc((size_t)x->rows * sizeof *set->image);
  if (!set->place || !set->slope_there || !set->kept[0] || !set->kept[1] || !set->kept_slope[0] ||
      !set->kept_slope[1] || !set->hot || !set->watch || !set->wanted || !set->image) {
    epact_release(set);
    return NULL;
  }
  for (int64_t j = 0; j < x->columns; j++) set->place[j] = NOWHERE;
  return set;
}

epact_lasso_members epact_lasso_set_members(const epact_lasso_set *set)
{
  return (epact_lasso_members){ set->count, set->column, set->b };
}

static int make_room(epact_lasso_set *set, int64_t count)
{
  if (count <= set->room) return EPACT_OK;
  const size_t room = (size_t)(count > 2 * set->room ? count : 2 * set->room);
  double **const numbers[] = { &set->b,         &set->slope, &set->curvature, &set->gradient,
                               &set->direction, &set->move,  &set->bend,      &set->scratch };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (epact_grow(numbers[i], room, sizeof **numbers[i])) return EPACT_E_NOMEM;
  if (epact_grow(&set->column, room, sizeof *set->column) || epact_grow(&set->support, room, sizeof *set->support) ||
      epact_grow(&set->factored_support, room, sizeof *set->support) ||
      epact_grow(&set->known_at, room, sizeof *set->known_at))
    return EPACT_E_NOMEM;
  set->room = (int64_t)room;
  return EPACT_OK;
}

int64_t epact_lasso_set_take(epact_lasso_set *set)
{
  const int64_t taken = set->candidates;
  if (make_room(set, set->count + taken)) return EPACT_E_NOMEM;
  for (int64_t i = 0; i < taken; i++) {
    const candidate c = set->candidate[i];
    const int64_t at = set->count++;
    set->column[at] = c.column;
    set->place[c.column] = (int32_t)at;
    set->b[at] = 0;
    set->slope[at] = c.slope;
    set->curvature[at] = set->squared_norm[c.column];
    set->known_at[at] = NOWHERE;
    set->entries += entries_of(&set->x, c.column);
  }
  set->candidates = 0;
  return taken;
}

double epact_lasso_set_refresh(epact_lasso_set *set, double *residual)
{
  const epact_columns *x = &set->x;
  memcpy(residual, set->y, (size_t)x->rows * sizeof *residual);
  for (int64_t at = 0; at < set->count; at++)
    if (set->b[at] != 0) take_from(x, set->column[at], set->b[at], residual);
  const double mean = residual_sum_of(x, residual) / (double)x->rows;
  for (int64_t i = 0; i < x->rows && mean != 0; i++) residual[i] -= mean;
  const double sum = residual_sum_of(x, residual); /* 0 up to rounding, which columns far from 0 would feel */
  for (int64_t at = 0; at < set->count; at++) set->slope[at] = slope_of(x, set->column[at], residual, sum);
  return mean;
}

/* The new value of a coefficient from its slope; true when it moves. */
static inline bool descend(const epact_lasso_set *set, const epact_lasso_penalty *penalty, int64_t at, double slope,
                           epact_lasso_swept *swept, double *change)
{
  const double old = set->b[at], curvature = set->curvature[at];
  if (!(curvature > 0)) return false;
  const double violation = violation_of(penalty, slope - penalty->l2 * old, old);
  if (violation > swept->violation) swept->violation = violation;
  if (old == 0 && violation == 0) return false;
  const double updated = shrink(penalty, slope + curvature * old) / (curvature + penalty->l2);
  *change = updated - old;
  if (*change == 0) return false;
  if ((updated > 0) != (old > 0) || (updated < 0) != (old < 0)) swept->turned++;
  set->b[at] = updated;
  return true;
}

/* One sweep with the residual; over the support alone when `whole` is 0. */
static void sweep_residual(epact_lasso_set *set, const epact_lasso_penalty *penalty, int whole, double *residual,
                           epact_lasso_swept *swept)
{
  const epact_columns *x = &set->x;
  double sum = residual_sum_of(x, residual), change;
  for (int64_t at = 0; at < set->count; at++) {
    if (!whole && set->b[at] == 0) continue;
    const int64_t j = set->column[at];
    if (!descend(set, penalty, at, slope_of(x, j, residual, sum), swept, &change)) continue;
    take_from(x, j, change, residual);
    sum -= change * scale_of(x, j) * mean_of(x, j) * (double)x->rows;
  }
}

/* One sweep with the slopes: a coefficient that moves changes all of them, by its row of the Gram matrix, whose order
 * is that of the members. */
EPACT_CLONES
static void sweep_covariance(epact_lasso_set *set, const epact_lasso_penalty *penalty, epact_lasso_swept *swept)
{
  const int64_t count = set->count;
  double *restrict slope = set->slope, change;
  for (int64_t at = 0; at < count; at++) {
    if (!descend(set, penalty, at, slope[at], swept, &change)) continue;
    const double *restrict row = set->gram.value + at * set->gram.room;
    for (int64_t k = 0; k < count; k++) slope[k] -= change * row[k];
  }
}

/* Sweeps over the support between two over all members. */
enum { SUPPORT_SWEEPS = 4, LEAST_SWEEPS = 3 };

int epact_lasso_set_sweep(epact_lasso_set *set, const epact_lasso_penalty *penalty, int64_t most, double enough,
                          double *residual, epact_lasso_swept *swept)
{
  const int64_t settled = most / 4 > LEAST_SWEEPS ? most / 4 : LEAST_SWEEPS;
  *swept = (epact_lasso_swept){ 0 };
  for (int64_t partial = 0; swept->sweeps < most;) {
    const int whole = set->by_covariance || partial == 0;
    const double before = swept->violation;
    swept->violation = 0;
    swept->turned = 0;
    if (set->by_covariance)
      sweep_covariance(set, penalty, swept);
    else
      sweep_residual(set, penalty, whole, residual, swept);
    swept->sweeps++;
    if (!isfinite(swept->violation)) return epact_fail(EPACT_E_DIVERGED, "a coefficient is no longer finite");
    if (whole) {
      if (swept->violation <= enough || (swept->sweeps >= settled && swept->turned == 0)) break;
      partial = SUPPORT_SWEEPS;
    } else {
      partial = swept->violation <= enough ? 0 : partial - 1;
      swept->violation = before;
    }
  }
  return EPACT_OK;
}
