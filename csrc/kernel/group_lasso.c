/* Block coordinate descent: see group_lasso.h. The groups' matrices are in group_spectrum.c. */
#include "group_state.h"

#include "../base/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void destroy(void *object)
{
  epact_group_lasso *state = object;
  for (int64_t g = 0; state->spectrum && g < state->groups.groups; g++) group_spectrum_clear(&state->spectrum[g]);
  free(state->spectrum);
  free(state->old);
  free(state->level);
  free(state->image);
  free(state->kept_b);
  free(state->kept_residual);
}

epact_group_lasso *epact_group_lasso_new(const epact_columns *x, const epact_column_groups *groups)
{
  epact_group_lasso *state = epact_object_new(sizeof *state, destroy);
  if (!state) return NULL;
  int64_t widest = 1;
  for (int64_t g = 0; g < groups->groups; g++)
    if (size_of_group(groups, g) > widest) widest = size_of_group(groups, g);
  state->x = *x;
  state->groups = *groups;
  state->spectrum = epact_calloc((size_t)groups->groups + 1, sizeof *state->spectrum);
  state->old = epact_malloc((size_t)widest * 4 * sizeof *state->old);
  state->level = epact_malloc(((size_t)groups->groups + 1) * sizeof *state->level);
  state->image = epact_malloc((size_t)x->rows * sizeof *state->image);
  if (!state->spectrum || !state->old || !state->level || !state->image) {
    epact_release(state);
    return NULL;
  }
  state->pull = state->old + widest;
  state->beta = state->pull + widest;
  state->z = state->beta + widest;
  return state;
}

/* t = ||beta||: the root of 1 / ||z / (s t + l2 t + due)|| = 1. The left side is concave in t, and below 1 at t = 0. */
static double find_norm(int64_t size, const double *z, const double *s, double l2, double due)
{
  double t = 0;
  for (int turn = 0; turn < 100; turn++) {
    double norm2 = 0, slope = 0;
    for (int64_t k = 0; k < size; k++) {
      const double below = (s[k] + l2) * t + due, term = z[k] / below;
      norm2 += term * term;
      slope += term * term * (s[k] + l2) / below;
    }
    const double step = (sqrt(norm2) - 1) * norm2 / slope;
    if (!(step > 1e-16 * t) || !isfinite(step)) break;
    t += step;
  }
  return t;
}

/* beta for z: see group_lasso.h. */
static void shrink(int64_t size, const double *z, const double *s, double l2, double due, double *beta)
{
  double norm2 = 0, largest = 0;
  for (int64_t k = 0; k < size; k++) {
    norm2 += z[k] * z[k];
    largest = s[k] > largest ? s[k] : largest;
  }
  if (sqrt(norm2) <= due) {
    memset(beta, 0, (size_t)size * sizeof *beta);
    return;
  }
  const double t = due > 0 ? find_norm(size, z, s, l2, due) : 1;
  for (int64_t k = 0; k < size; k++) { /* without a penalty, a direction that X does not see is left at 0 */
    const double below = s[k] + l2 + due / t;
    beta[k] = below > 1e-14 * largest ? z[k] / below : 0;
  }
}

/* ||X_g d||^2 of the centred columns; X_g d, not centred, is left in state->image. */
static double look_along(epact_group_lasso *state, int64_t g, const double *d)
{
  const epact_columns *x = &state->x;
  const uint32_t *member = state->groups.member + state->groups.start[g];
  const int64_t size = size_of_group(&state->groups, g);
  memset(state->image, 0, (size_t)x->rows * sizeof *state->image);
  for (int64_t k = 0; k < size; k++)
    if (d[k] != 0) column_axpy(scale_of(x, member[k]) * d[k], column_of(x, member[k]), state->image);
  const double mean = x->mean ? sum_of(x->rows, state->image) / (double)x->rows : 0;
  double norm2 = 0;
  for (int64_t i = 0; i < x->rows; i++) norm2 += (state->image[i] - mean) * (state->image[i] - mean);
  return norm2;
}

/* The new coefficients of a wide group to state->beta, X_g times their change to state->image: L is raised until it is a
 * bound along that change. */
static void step_wide(epact_group_lasso *state, int64_t g, double due, double l2)
{
  const int64_t size = size_of_group(&state->groups, g);
  group_spectrum *spectrum = &state->spectrum[g];
  for (int turn = 0; turn < 60; turn++) {
    double norm2 = 0;
    for (int64_t k = 0; k < size; k++) state->z[k] = state->pull[k] + spectrum->bound * state->old[k];
    for (int64_t k = 0; k < size; k++) norm2 += state->z[k] * state->z[k];
    const double left = sqrt(norm2) > due ? 1 - due / sqrt(norm2) : 0;
    for (int64_t k = 0; k < size; k++) state->beta[k] = left * state->z[k] / (spectrum->bound + l2);
    norm2 = 0;
    for (int64_t k = 0; k < size; k++) {
      state->z[k] = state->beta[k] - state->old[k];
      norm2 += state->z[k] * state->z[k];
    }
    const double bent = look_along(state, g, state->z);
    if (!(bent > spectrum->bound * norm2 * (1 + 1e-12))) return;
    spectrum->bound = 1.05 * bent / norm2;
  }
}

/* The same for a group whose spectrum is known, but for state->image. */
static void step_exactly(epact_group_lasso *state, int64_t g, double due, double l2)
{
  const int64_t size = size_of_group(&state->groups, g);
  const group_spectrum *spectrum = &state->spectrum[g];
  group_spectrum_turn(spectrum, size, state->pull, state->z);
  group_spectrum_turn(spectrum, size, state->old, state->beta);
  for (int64_t k = 0; k < size; k++)
    state->z[k] = spectrum->value[k] > 0 ? state->z[k] + spectrum->value[k] * state->beta[k] : 0;
  shrink(size, state->z, spectrum->value, l2, due, state->pull);
  group_spectrum_turn_back(spectrum, size, state->pull, state->beta);
}

/* Puts group g at its minimum (a wide one: nearer). Returns a number that is not finite when its coefficients are not. */
static double visit(epact_group_lasso *state, int64_t g, double due, double l2, double *b, double *residual,
                    double *residual_sum)
{
  const epact_columns *x = &state->x;
  const uint32_t *member = state->groups.member + state->groups.start[g];
  const int64_t size = size_of_group(&state->groups, g);
  const bool wide = size > EPACT_GROUP_EXACT;
  double pull2 = 0, moved = 0;
  bool was_zero = true;
  for (int64_t k = 0; k < size; k++) {
    state->old[k] = b[member[k]];
    was_zero = was_zero && state->old[k] == 0;
    state->pull[k] = correlation_of(x, member[k], residual, *residual_sum);
    pull2 += state->pull[k] * state->pull[k];
  }
  if (was_zero && pull2 <= due * due) return 0;
  if (wide)
    step_wide(state, g, due, l2);
  else
    step_exactly(state, g, due, l2);
  for (int64_t k = 0; k < size; k++) {
    const double change = state->beta[k] - state->old[k], scale = scale_of(x, member[k]);
    b[member[k]] = state->beta[k];
    if (change == 0) continue;
    if (!wide) column_axpy(-scale * change, column_of(x, member[k]), residual);
    if (x->mean) *residual_sum -= scale * change * x->mean[member[k]] * (double)x->rows;
    moved += fabs(change);
  }
  if (wide) cblas_daxpy((int)x->rows, -1, state->image, 1, residual, 1);
  return moved;
}

int epact_group_lasso_sweep(epact_group_lasso *state, const uint32_t *active, int64_t count, double lambda, double l2,
                            double *b, double *residual)
{
  const epact_columns *x = &state->x;
  double residual_sum = x->mean ? sum_of(x->rows, residual) : 0, total = 0;
  for (int64_t at = 0; at < count; at++) {
    const int64_t g = active[at];
    const int code = group_spectrum_fill(&state->spectrum[g], x, size_of_group(&state->groups, g),
                                         state->groups.member + state->groups.start[g], state->image);
    if (code) return code;
    total += visit(state, g, lambda * state->groups.weight[g], l2, b, residual, &residual_sum);
  }
  if (!isfinite(total)) return epact_fail(EPACT_E_DIVERGED, "the coefficients diverged: one is not finite");
  return EPACT_OK;
}

void epact_group_lasso_correlations(epact_group_lasso *state, const uint32_t *active, int64_t count, double lambda,
                                    double l2, const double *b, const double *residual, double *correlation,
                                    epact_lasso_certificate *certificate)
{
  const epact_columns *x = &state->x;
  const epact_column_groups *groups = &state->groups;
  const double residual_sum = x->mean ? sum_of(x->rows, residual) : 0;
  double largest = 0, excess2 = 0, norm1 = 0, norm2 = 0;
  for (int64_t at = 0; at < (active ? count : groups->groups); at++) {
    const int64_t g = active ? (int64_t)active[at] : at;
    double full2 = 0, rest2 = 0, size2 = 0;
    for (int64_t m = groups->start[g]; m < groups->start[g + 1]; m++) {
      const uint32_t j = groups->member[m];
      const double full = correlation_of(x, j, residual, residual_sum), rest = full - l2 * b[j];
      full2 += full * full;
      rest2 += rest * rest;
      size2 += b[j] * b[j];
    }
    const double excess = sqrt(full2) - lambda * groups->weight[g];
    correlation[g] = sqrt(rest2) / groups->weight[g];
    if (!(correlation[g] <= largest)) largest = correlation[g];
    if (excess > 0) excess2 += excess * excess;
    norm1 += groups->weight[g] * sqrt(size2);
    norm2 += size2;
  }
  certificate->largest_correlation = largest;
  certificate->excess2 = excess2;
  certificate->norm1 = norm1;
  certificate->norm2 = norm2;
}

static int falling(const void *first, const void *second)
{
  const double a = *(const double *)first, b = *(const double *)second;
  return a < b ? 1 : a > b ? -1 : 0;
}

static bool is_zero(const epact_column_groups *groups, int64_t g, const double *b)
{
  for (int64_t m = groups->start[g]; m < groups->start[g + 1]; m++)
    if (b[groups->member[m]] != 0) return false;
  return true;
}

int64_t epact_group_lasso_choose(epact_group_lasso *state, const uint32_t *list, int64_t listed, double level,
                                 int64_t most, const double *b, const double *correlation, uint32_t *active)
{
  const epact_column_groups *groups = &state->groups;
  int64_t count = 0, violators = 0;
  if (!list) listed = groups->groups;
  for (int64_t at = 0; at < listed; at++) {
    const int64_t g = list ? (int64_t)list[at] : at;
    if (correlation[g] > level && is_zero(groups, g, b)) state->level[violators++] = correlation[g];
  }
  if (violators > most) {
    qsort(state->level, (size_t)violators, sizeof *state->level, falling);
    level = nextafter(state->level[most - 1], 0);
  }
  for (int64_t at = 0; at < listed; at++) {
    const int64_t g = list ? (int64_t)list[at] : at;
    if (correlation[g] > level || !is_zero(groups, g, b)) active[count++] = (uint32_t)g;
  }
  return count;
}

void epact_group_lasso_residual(const epact_group_lasso *state, const double *y, const double *b, double *residual)
{
  const epact_columns *x = &state->x;
  memcpy(residual, y, (size_t)x->rows * sizeof *residual);
  for (int64_t m = 0; m < state->groups.start[state->groups.groups]; m++) {
    const uint32_t j = state->groups.member[m];
    if (b[j] != 0) column_axpy(-scale_of(x, j) * b[j], column_of(x, j), residual);
  }
}
