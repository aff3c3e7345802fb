/* Newton steps on the support of a working set: see lasso_set.h.
 *
 * Where no coefficient changes its sign the objective is a parabola on the support S, with its minimum at b_S + d,
 *   (X_S'X_S + l2 I) d = X_S'rho - l2 b_S - l1 sign(b_S).
 * Coefficients that would cross 0 on the way stop there; where that does not lower the objective, the way is shortened,
 * at last to the first of them, up to where the parabola falls for sure. */
#include "../base/internal.h"
#include "cholesky.h"
#include "lasso_gram.h"
#include "lasso_newton.h"
#include "lasso_state.h"

#include <stdlib.h>
#include <string.h>

/* Nanoseconds of a multiplication in products of matrices, of one with columns or rows that come from a cache, and of a
 * sparse entry read or written. */
#define BLOCK_COST 0.08
#define VECTOR_COST 0.4
#define ROW_COST 0.2
#define ENTRY_COST 1.2
/* Turns of conjugate gradients at most, and where they end: when the error has fallen to this share of its square. */
enum { MOST_TURNS = 100 };
/* Sweeps that are made for a step. */
enum { LEAST_PATIENCE = 8, MOST_PATIENCE = 100 };
#define ENOUGH_TURNS 1e-8

/* Those that are in the factor at hand come first, in its order: as far as none is missing, its rows are good. */
static int64_t find_support(epact_lasso_set *set, const epact_lasso_penalty *penalty)
{
  const int smooth = penalty->l1 == 0 && !penalty->non_negative;
  double *left = set->move; /* scratch: whether a member is yet to be listed */
  int64_t count = 0;
  for (int64_t at = 0; at < set->count; at++) left[at] = (set->b[at] != 0 || smooth) && set->curvature[at] > 0;
  for (int64_t s = 0; s < set->factored; s++) {
    const uint32_t at = set->factored_support[s];
    if (left[at] != 0) set->support[count++] = at;
    left[at] = 0;
  }
  for (int64_t at = 0; at < set->count; at++)
    if (left[at] != 0) set->support[count++] = (uint32_t)at;
  return count;
}

/* Rows of the factor that are those of this support. */
static int64_t known_rows(const epact_lasso_set *set, double l2, int64_t size)
{
  const int64_t most = size < set->factored ? size : set->factored;
  int64_t known = 0;
  if (l2 != set->factored_l2) return 0;
  while (known < most && set->support[known] == set->factored_support[known]) known++;
  return known;
}

/* Rows `from` numbers apart are put `to` apart, in place. */
static void spread_rows(double *factor, int64_t rows, int64_t from, int64_t to)
{
  for (int64_t s = 0; s < rows && to != from; s++) {
    const int64_t row = to > from ? rows - 1 - s : s;
    memmove(factor + row * to, factor + row * from, (size_t)(row + 1) * sizeof *factor);
  }
}

/* The right-hand side above. */
static void find_gradient(epact_lasso_set *set, const epact_lasso_penalty *penalty, int64_t size,
                          const double *residual)
{
  const double sum = set->by_covariance ? 0 : residual_sum_of(&set->x, residual);
  for (int64_t s = 0; s < size; s++) {
    const uint32_t at = set->support[s];
    const double b = set->b[at];
    if (!set->by_covariance) set->slope[at] = slope_of(&set->x, set->column[at], residual, sum);
    set->gradient[s] = set->slope[at] - penalty->l2 * b - (b > 0 ? penalty->l1 : b < 0 ? -penalty->l1 : 0);
  }
}

/* The factor of the support's part of the Gram matrix. Returns how many columns depend on others, or EPACT_E_NOMEM. */
static int64_t factor_support(epact_lasso_set *set, double l2, int64_t size)
{
  const int64_t known = known_rows(set, l2, size), before = set->factored;
  if (known == size && before == size) return 0;
  set->factored = 0;
  if (size * size > set->factor_room) {
    if (epact_grow(&set->factor, (size_t)(2 * size * size), sizeof *set->factor)) return EPACT_E_NOMEM;
    set->factor_room = 2 * size * size;
  }
  if (lasso_gram_extend(set, set->support, size)) return EPACT_E_NOMEM;
  spread_rows(set->factor, known, before, size);
  for (int64_t s = known; s < size; s++) {
    const double *row = set->gram.value + set->known_at[set->support[s]] * set->gram.room;
    for (int64_t k = 0; k <= s; k++) set->factor[s * size + k] = row[set->known_at[set->support[k]]];
    set->factor[s * size + s] += l2;
    set->scratch[s] = set->factor[s * size + s];
  }
  const int64_t rejected = cholesky_factor(size, known, set->factor, set->scratch);
  if (rejected == 0) { /* the next penalty of a path begins with the support that this one ends with, and adds to it */
    memcpy(set->factored_support, set->support, (size_t)size * sizeof *set->support);
    set->factored_l2 = l2;
    set->factored = size;
  }
  return rejected;
}

/* direction = the solution by a Cholesky factor, after the support has been made independent where that lowers its
 * penalty. Returns the size of the support, or EPACT_E_NOMEM. */
static int64_t solve_exactly(epact_lasso_set *set, const epact_lasso_penalty *penalty, int64_t size, double *residual)
{
  int64_t rejected = factor_support(set, penalty->l2, size);
  if (rejected > 0 && (penalty->l1 > 0 || penalty->non_negative)) {
    const int64_t gone = lasso_reduce(set, size, rejected);
    if (gone < 0) return gone;
    size = find_support(set, penalty);
    find_gradient(set, penalty, size, residual);
    rejected = factor_support(set, penalty->l2, size);
  }
  if (rejected < 0) return rejected;
  memcpy(set->direction, set->gradient, (size_t)size * sizeof *set->direction);
  cholesky_solve(size, set->factor, set->direction);
  return size;
}

/* image = X_S v, of the stored entries. */
static void look_along(epact_lasso_set *set, int64_t size, const double *v)
{
  memset(set->image, 0, (size_t)set->x.rows * sizeof *set->image);
  for (int64_t s = 0; s < size; s++)
    if (v[s] != 0) take_from(&set->x, set->column[set->support[s]], -v[s], set->image);
}

/* bend = X_S'X_S v. */
static void multiply(epact_lasso_set *set, int64_t size, const double *v)
{
  look_along(set, size, v);
  const double sum = residual_sum_of(&set->x, set->image);
  for (int64_t s = 0; s < size; s++) set->bend[s] = slope_of(&set->x, set->column[set->support[s]], set->image, sum);
}

/* direction by conjugate gradients, with the diagonal as preconditioner. */
static void solve_by_turns(epact_lasso_set *set, double l2, int64_t size)
{
  double *left = set->move, *p = set->scratch, before = 0, weight = 0;
  for (int64_t s = 0; s < size; s++) {
    left[s] = set->gradient[s];
    set->direction[s] = p[s] = 0;
    before += left[s] * left[s] / (set->curvature[set->support[s]] + l2);
  }
  const double first = before;
  for (int turn = 0; turn < MOST_TURNS && before > ENOUGH_TURNS * first; turn++) {
    double size2 = 0, after = 0;
    for (int64_t s = 0; s < size; s++) p[s] = left[s] / (set->curvature[set->support[s]] + l2) + weight * p[s];
    multiply(set, size, p);
    for (int64_t s = 0; s < size; s++) size2 += p[s] * (set->bend[s] += l2 * p[s]);
    if (!(size2 > 0)) break;
    for (int64_t s = 0; s < size; s++) {
      set->direction[s] += before / size2 * p[s];
      left[s] -= before / size2 * set->bend[s];
      after += left[s] * left[s] / (set->curvature[set->support[s]] + l2);
    }
    weight = after / before;
    before = after;
  }
}

/* move = reach times the direction, cut where a coefficient would cross 0; by how much the objective falls by it.
 * Leaves in `bend` (of all members) what the slopes lose, or in `image` what the residual does. */
static double fall_of(epact_lasso_set *set, const epact_lasso_penalty *penalty, int64_t size, double reach)
{
  double fall = 0, curved = 0;
  for (int64_t s = 0; s < size; s++) {
    const double b = set->b[set->support[s]];
    double step = reach * set->direction[s];
    if ((penalty->l1 > 0 || penalty->non_negative) && b * (b + step) <= 0) step = -b;
    set->move[s] = step;
    fall += step * set->gradient[s] - penalty->l2 / 2 * step * step;
  }
  if (set->by_covariance) {
    memset(set->bend, 0, (size_t)set->count * sizeof *set->bend);
    for (int64_t s = 0; s < size; s++)
      if (set->move[s] != 0)
        cblas_daxpy((int)set->count, set->move[s], set->gram.value + set->support[s] * set->gram.room, 1, set->bend, 1);
    for (int64_t s = 0; s < size; s++) curved += set->move[s] * set->bend[set->support[s]];
  } else {
    const double n = (double)set->x.rows;
    look_along(set, size, set->move);
    const double mean = residual_sum_of(&set->x, set->image) / n;
    for (int64_t i = 0; i < set->x.rows; i++) curved += (set->image[i] - mean) * (set->image[i] - mean);
  }
  return fall - curved / 2;
}

/* Goes the move of the last fall_of. */
static int64_t go(epact_lasso_set *set, int64_t size, double *residual)
{
  int64_t crossed = 0;
  for (int64_t s = 0; s < size; s++) {
    const uint32_t at = set->support[s];
    const int stops = set->b[at] != 0 && set->move[s] == -set->b[at];
    set->b[at] = stops ? 0 : set->b[at] + set->move[s];
    crossed += stops;
  }
  if (set->by_covariance)
    cblas_daxpy((int)set->count, -1, set->bend, 1, set->slope, 1);
  else
    cblas_daxpy((int)set->x.rows, -1, set->image, 1, residual, 1);
  return crossed;
}

/* The reach at which the first coefficient becomes 0; 1 when none does. */
static double first_crossing(const epact_lasso_set *set, int64_t size)
{
  double reach = 1;
  for (int64_t s = 0; s < size; s++) {
    const double limit = -set->b[set->support[s]] / set->direction[s];
    if (limit > 0 && limit < reach) reach = limit;
  }
  return reach;
}

/* What the next step will cost, and 100 turns, and a sweep. */
typedef struct {
  double factor, turns, sweep;
} costs;

static costs predict(const epact_lasso_set *set, double l2, int64_t size)
{
  const double s = (double)size, has = (double)known_rows(set, l2, size), count = (double)set->count,
               known = (double)set->gram.known, n = (double)set->x.rows;
  const double entry = set->x.start ? ENTRY_COST : VECTOR_COST;
  double entries = 0, new = 0;
  for (int64_t k = 0; k < size; k++) {
    entries += (double)entries_of(&set->x, set->column[set->support[k]]);
    new += set->known_at[set->support[k]] == NOWHERE;
  }
  const double growth =
      set->x.start ? new *entries / n *entries / s *ENTRY_COST : n *new *(known + new / 2) * BLOCK_COST;
  costs c = { .factor = growth + (s * s * s - has * has * has) / 6 * BLOCK_COST,
              .turns = MOST_TURNS * 2 * entries * entry };
  if (set->by_covariance) {
    c.turns = INFINITY;
    c.sweep = s * count * ROW_COST + 2 * count;
  } else {
    c.sweep = (2 * entries + ((double)set->entries - entries) / 5) * entry;
    if (!lasso_gram_has_room(known + new)) c.factor = INFINITY;
  }
  return c;
}

int64_t epact_lasso_set_patience(epact_lasso_set *set, const epact_lasso_penalty *penalty)
{
  const int64_t size = find_support(set, penalty);
  if (size == 0) return LEAST_PATIENCE;
  const costs c = predict(set, penalty->l2, size);
  const double sweeps = (c.factor < c.turns ? c.factor : c.turns) / c.sweep;
  return sweeps < LEAST_PATIENCE ? LEAST_PATIENCE : sweeps > MOST_PATIENCE ? MOST_PATIENCE : (int64_t)sweeps;
}

int epact_lasso_set_newton(epact_lasso_set *set, const epact_lasso_penalty *penalty, double *residual,
                           epact_lasso_step *step)
{
  int64_t size = find_support(set, penalty);
  *step = (epact_lasso_step){ .support = size };
  if (size == 0) return EPACT_OK;
  find_gradient(set, penalty, size, residual);
  const costs c = predict(set, penalty->l2, size);
  step->factored = c.factor <= c.turns;
  if (step->factored)
    size = solve_exactly(set, penalty, size, residual);
  else
    solve_by_turns(set, penalty->l2, size);
  if (size < 0) return (int)size;
  step->crossed = step->support - size;
  const double least = first_crossing(set, size);
  for (double reach = 1;; reach = reach / 4 > least ? reach / 4 : least) {
    step->fall = fall_of(set, penalty, size, reach);
    if (step->fall > 0) {
      step->crossed += go(set, size, residual);
      return EPACT_OK;
    }
    if (reach <= least || !isfinite(step->fall)) break;
  }
  step->fall = 0;
  return EPACT_OK;
}
