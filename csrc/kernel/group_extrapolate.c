/* Anderson's extrapolation of sweeps: see group_lasso.h. */
#include "group_state.h"

#include "../base/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is added to the diagonal of the normal equations, as a share of it. */
#define RIDGE 1e-10

static int64_t members_of(const epact_column_groups *groups, const uint32_t *active, int64_t count)
{
  int64_t members = 0;
  for (int64_t at = 0; at < count; at++) members += size_of_group(groups, active[at]);
  return members;
}

static int make_room(epact_group_lasso *state, int64_t members)
{
  if (!state->kept_residual) {
    state->kept_residual = epact_malloc((size_t)state->x.rows * KEPT * sizeof *state->kept_residual);
    if (!state->kept_residual) return EPACT_E_NOMEM;
  }
  if (members <= state->room) return EPACT_OK;
  double *kept = epact_malloc((size_t)members * KEPT * sizeof *kept);
  if (!kept) return EPACT_E_NOMEM;
  free(state->kept_b);
  state->kept_b = kept;
  state->room = members;
  return EPACT_OK;
}

int epact_group_lasso_keep(epact_group_lasso *state, const uint32_t *active, int64_t count, int first, const double *b,
                           const double *residual)
{
  const epact_column_groups *groups = &state->groups;
  if (first) {
    state->kept = 0;
    const int code = make_room(state, members_of(groups, active, count));
    if (code) return code;
  }
  if (state->kept == KEPT) return epact_fail(EPACT_E_MISUSE, "at most %d points are kept", KEPT);
  double *to = state->kept_b + state->kept * state->room;
  for (int64_t at = 0; at < count; at++)
    for (int64_t m = groups->start[active[at]]; m < groups->start[active[at] + 1]; m++) *to++ = b[groups->member[m]];
  memcpy(state->kept_residual + state->kept++ * state->x.rows, residual, (size_t)state->x.rows * sizeof *residual);
  return EPACT_OK;
}

/* Weights of sum 1 for which the differences of the points, so weighted, are shortest: in `weight`, of points 1 .. */
static bool find_weights(const epact_group_lasso *state, int64_t members, double *weight)
{
  const int64_t turns = state->kept - 1;
  double gram[KEPT - 1][KEPT - 1], sum = 0, trace = 0;
  for (int64_t a = 0; a < turns; a++) {
    for (int64_t c = 0; c <= a; c++) {
      const double *x = state->kept_b + a * state->room, *y = state->kept_b + c * state->room;
      double product = 0;
      for (int64_t m = 0; m < members; m++) product += (x[m + state->room] - x[m]) * (y[m + state->room] - y[m]);
      gram[a][c] = gram[c][a] = product;
    }
    trace += gram[a][a];
    weight[a] = 1;
  }
  for (int64_t a = 0; a < turns; a++) gram[a][a] += RIDGE * trace;
  for (int64_t a = 0; a < turns; a++) { /* elimination: it is positive definite */
    if (!(gram[a][a] > 0)) return false;
    for (int64_t c = a + 1; c < turns; c++) {
      const double factor = gram[c][a] / gram[a][a];
      for (int64_t k = a; k < turns; k++) gram[c][k] -= factor * gram[a][k];
      weight[c] -= factor * weight[a];
    }
  }
  for (int64_t a = turns - 1; a >= 0; a--) {
    for (int64_t k = a + 1; k < turns; k++) weight[a] -= gram[a][k] * weight[k];
    weight[a] /= gram[a][a];
    sum += weight[a];
  }
  for (int64_t a = 0; a < turns; a++) weight[a] /= sum;
  return isfinite(sum) && sum != 0;
}

/* to = sum of the weighted points. */
static void combine(const double *points, int64_t stride, int64_t size, int64_t turns, const double *weight, double *to)
{
  memset(to, 0, (size_t)size * sizeof *to);
  for (int64_t a = 0; a < turns; a++) cblas_daxpy((int)size, weight[a], points + (a + 1) * stride, 1, to, 1);
}

/* The objective of coefficients in the order of the groups. */
static double objective_of(const epact_group_lasso *state, const uint32_t *active, int64_t count, double lambda,
                           double l2, const double *b, const double *residual)
{
  const int64_t n = state->x.rows;
  const double mean = state->x.mean ? sum_of(n, residual) / (double)n : 0;
  double squares = 0, penalty = 0;
  for (int64_t i = 0; i < n; i++) squares += (residual[i] - mean) * (residual[i] - mean);
  for (int64_t at = 0; at < count; at++) {
    const int64_t size = size_of_group(&state->groups, active[at]);
    double norm2 = 0;
    for (int64_t k = 0; k < size; k++) norm2 += b[k] * b[k];
    b += size;
    penalty += lambda * state->groups.weight[active[at]] * sqrt(norm2) + l2 / 2 * norm2;
  }
  return squares / 2 + penalty;
}

int epact_group_lasso_extrapolate(epact_group_lasso *state, const uint32_t *active, int64_t count, double lambda,
                                  double l2, double *b, double *residual)
{
  const epact_column_groups *groups = &state->groups;
  const int64_t members = members_of(groups, active, count), n = state->x.rows, turns = state->kept - 1;
  double weight[KEPT];
  if (turns < 2 || members > state->room || !find_weights(state, members, weight)) return 0;
  const double *last = state->kept_b + turns * state->room;
  const double now = objective_of(state, active, count, lambda, l2, last, residual);
  double *point = state->kept_b; /* of point 0, which is not among those combined */
  combine(state->kept_b, state->room, members, turns, weight, point);
  combine(state->kept_residual, n, n, turns, weight, state->image);
  if (!(objective_of(state, active, count, lambda, l2, point, state->image) < now)) return 0;
  for (int64_t at = 0; at < count; at++)
    for (int64_t m = groups->start[active[at]]; m < groups->start[active[at] + 1]; m++) b[groups->member[m]] = *point++;
  memcpy(residual, state->image, (size_t)n * sizeof *residual);
  return 1;
}
