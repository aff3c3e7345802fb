/* Supports whose columns depend on each other: see lasso_newton.c.
 *
 * A column that depends on the others of the support gives a direction v with X_S v = 0. Along it the fit stays what it
 * is and the penalty changes linearly: one goes to where the first coefficient becomes 0, in the direction in which the
 * penalty does not rise. One coefficient less, and one direction; the others are made 0 at that coefficient, as in
 * Gauss's elimination, so that they may be gone in turn. What remains is independent. */
#include "../base/internal.h"
#include "cholesky.h"
#include "lasso_newton.h"
#include "lasso_state.h"

#include <stdlib.h>
#include <string.h>

/* v = e_s - the combination of accepted columns that is column s, from the factor of the Gram matrix. */
static void find_direction(const epact_lasso_set *set, int64_t size, int64_t s, double *v)
{
  const double *row = set->gram.value + set->known_at[set->support[s]] * set->gram.room;
  for (int64_t k = 0; k < size; k++) v[k] = row[set->known_at[set->support[k]]];
  cholesky_solve(size, set->factor, v);
  for (int64_t k = 0; k < size; k++) v[k] = cholesky_accepts(size, set->factor, k) ? -v[k] : 0;
  v[s] = 1;
}

/* Goes along v to the first coefficient that becomes 0, which is returned; NOWHERE when none does. */
static int64_t go_along(epact_lasso_set *set, int64_t size, double *v)
{
  double slope = 0, reach = INFINITY;
  int64_t first = NOWHERE;
  for (int64_t k = 0; k < size; k++) slope += set->b[set->support[k]] > 0 ? v[k] : -v[k];
  for (int64_t k = 0; k < size && slope > 0; k++) v[k] = -v[k];
  for (int64_t k = 0; k < size; k++) {
    const double limit = -set->b[set->support[k]] / v[k];
    if (limit > 0 && limit < reach) {
      reach = limit;
      first = k;
    }
  }
  if (first == NOWHERE) return NOWHERE;
  for (int64_t k = 0; k < size; k++) {
    double *b = &set->b[set->support[k]];
    const double updated = *b + reach * v[k];
    *b = k == first || *b * updated < 0 ? 0 : updated;
  }
  return first;
}

int64_t lasso_reduce(epact_lasso_set *set, int64_t size, int64_t rejected)
{
  double *directions = epact_malloc((size_t)(size * rejected) * sizeof *directions);
  int64_t found = 0, gone = 0;
  if (!directions) return EPACT_E_NOMEM;
  for (int64_t s = 0; s < size; s++)
    if (!cholesky_accepts(size, set->factor, s)) find_direction(set, size, s, directions + size * found++);
  for (int64_t d = 0; d < found; d++) {
    double *v = directions + size * d;
    const int64_t at = go_along(set, size, v);
    if (at == NOWHERE) continue;
    gone++;
    for (int64_t other = d + 1; other < found; other++) {
      double *w = directions + size * other;
      const double share = w[at] / v[at];
      for (int64_t k = 0; k < size; k++) w[k] -= share * v[k];
      w[at] = 0;
    }
  }
  free(directions);
  return gone;
}
