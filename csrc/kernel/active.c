/* The columns of a working set: see active.h. The steps are in active_step.c. */
#include "active_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What squares and sums of squares of this size fit in. */
#define LARGEST_SUM 1e150

static void destroy(void *object)
{
  epact_active *active = object;
  free(active->column);
  free(active->place);
  free(active->flat);
  free(active->scale);
  free(active->z);
  free(active->curvature);
  free(active->sweep);
  free(active->support);
  free(active->factor.where);
  active_factor_clear(&active->factor);
}

/* The largest |phi'|. */
static double largest_derivative(const epact_loss *loss)
{
  switch (loss->kind) {
  case EPACT_LOGISTIC:
  case EPACT_SMOOTHED_HINGE:
    return 1;
  case EPACT_HUBER:
    return loss->width;
  default:
    return INFINITY;
  }
}

/* Which columns can become active. */
static int find_able(epact_active *active, double least, const double *scale)
{
  const size_t columns = (size_t)active->x.columns;
  active->column = epact_malloc(columns * sizeof *active->column);
  active->place = epact_malloc(columns * sizeof *active->place);
  active->scale = epact_malloc(columns * sizeof *active->scale);
  if (!active->column || !active->place || !active->scale) return EPACT_E_NOMEM;
  for (int64_t j = 0; j < active->x.columns; j++) {
    const column c = column_of(&active->x, j);
    double sum = 0;
    for (int64_t e = 0; e < c.count; e++) sum += fabs(c.value[e]);
    active->place[j] = (uint32_t)NOWHERE;
    if (!(sum < LARGEST_SUM) || (scale && scale[j] > LARGEST_SUM))
      return epact_fail(EPACT_E_RANGE, "column %lld: its sum %g is beyond double precision: scale it", (long long)j,
                        sum);
    if (scale) sum *= scale[j];
    if (!(sum >= least && sum > 0)) continue;
    active->place[j] = (uint32_t)active->able;
    active->scale[active->able] = scale ? scale[j] : 1;
    active->column[active->able++] = (uint32_t)j;
  }
  return EPACT_OK;
}

/* What the entries of each row are, if that is one number, and not 0. */
static int find_flat(epact_active *active)
{
  const epact_columns *x = &active->x;
  if (!x->start) return EPACT_OK;
  active->flat = epact_calloc((size_t)x->rows, sizeof *active->flat);
  if (!active->flat) return EPACT_E_NOMEM;
  for (int64_t e = x->start[0]; e < x->start[x->columns]; e++) {
    double *known = &active->flat[x->index[e]];
    if (*known == 0) *known = x->value[e];
    if (*known != x->value[e] || *known == 0) {
      free(active->flat);
      active->flat = NULL;
      return EPACT_OK;
    }
  }
  for (int64_t i = 0; i < x->rows; i++)
    if (active->flat[i] == 0) active->flat[i] = 1;
  return EPACT_OK;
}

static int allocate(epact_active *active)
{
  const size_t rows = (size_t)active->x.rows, able = (size_t)active->able + 1;
  active->z = epact_malloc(3 * rows * sizeof *active->z);
  active->curvature = epact_malloc(12 * able * sizeof *active->curvature);
  active->sweep = epact_malloc(able * sizeof *active->sweep);
  active->support = epact_malloc(able * sizeof *active->support);
  active->factor.where = epact_malloc(able * sizeof *active->factor.where);
  if (!active->z || !active->curvature || !active->sweep || !active->support || !active->factor.where)
    return EPACT_E_NOMEM;
  active->d = active->z + rows;
  active->scaled = active->d + rows;
  double **arrays[] = { &active->damping,  &active->weighted, &active->change,    &active->excess, &active->coefficient,
                        &active->gradient, &active->residual, &active->direction, &active->scratch };
  for (size_t at = 0; at < sizeof arrays / sizeof *arrays; at++) *arrays[at] = active->curvature + (at + 1) * able;
  return EPACT_OK;
}

epact_active *epact_active_new(const epact_columns *x, const epact_loss *loss, double l1, const double *scale)
{
  if (x->rows > INT32_MAX || x->columns > UINT32_MAX - 1 || !(l1 >= 0)) {
    epact_fail(EPACT_E_MISUSE, "a working set needs fewer than 2^31 rows, and an l1 that is not negative");
    return NULL;
  }
  epact_active *active = epact_object_new(sizeof *active, destroy);
  if (!active) return NULL;
  active->x = *x;
  active->order = epact_rng_stream(0, 0x61637476, 0);
  active->has_flats = loss->kind == EPACT_SQUARED_HINGE || loss->kind == EPACT_SMOOTHED_HINGE;
  if (find_able(active, l1 * (1 - 1e-9) / largest_derivative(loss), scale) || find_flat(active) || allocate(active)) {
    epact_release(active);
    return NULL;
  }
  return active;
}

int64_t epact_active_columns(const epact_active *active)
{
  return active->able;
}

int64_t epact_active_entries(const epact_active *active, const uint32_t *list, int64_t count)
{
  int64_t entries = 0;
  for (int64_t at = 0; at < (list ? count : active->able); at++)
    entries += entries_of(active, list ? place_of(active, list[at]) : at).count;
  return entries;
}

void epact_active_gradient(epact_active *active, const uint32_t *list, int64_t count, const double *u, double *c)
{
  const double *source = u;
  if (active->flat) {
    for (int64_t i = 0; i < active->x.rows; i++) active->scaled[i] = active->flat[i] * u[i];
    source = active->scaled;
  }
  for (int64_t at = 0; at < (list ? count : active->able); at++) {
    const int64_t k = list ? place_of(active, list[at]) : at;
    c[active->column[k]] = active->scale[k] * product_of(active, k, source);
  }
}

static int falling(const void *first, const void *second)
{
  const double a = *(const double *)first, b = *(const double *)second;
  return a < b ? 1 : a > b ? -1 : 0;
}

int64_t epact_active_choose(epact_active *active, const double *c, const double *w, double l1, int64_t most,
                            uint32_t *list, double *violation)
{
  int64_t count = 0, violators = 0;
  double least = 0;
  *violation = 0;
  for (int64_t k = 0; k < active->able; k++) {
    const uint32_t j = active->column[k];
    if (w[j] == 0 && fabs(c[j]) > l1) active->excess[violators++] = fabs(c[j]) - l1;
  }
  for (int64_t k = 0; k < violators; k++)
    if (active->excess[k] > *violation) *violation = active->excess[k];
  if (violators > most) {
    qsort(active->excess, (size_t)violators, sizeof *active->excess, falling);
    least = active->excess[most - 1];
  }
  for (int64_t k = 0; k < active->able; k++) {
    const uint32_t j = active->column[k];
    if (w[j] != 0 || (fabs(c[j]) > l1 && fabs(c[j]) - l1 >= least)) list[count++] = j;
  }
  return count;
}
