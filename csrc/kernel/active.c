/* The columns of a working set: see active.h. The steps are in active_step.c. */
#include "active_state.h"

#include "../base/internal.h"
#include "rows.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void destroy(void *object)
{
  epact_active *active = object;
  free(active->column);
  free(active->place);
  free(active->start);
  free(active->row);
  free(active->value);
  free(active->flat);
  free(active->scaled);
  free(active->pair);
  free(active->curvature);
  free(active->damping);
  free(active->change);
  free(active->sweep);
  free(active->excess);
  free(active->support);
  free(active->coefficient);
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

/* Which columns can become active, and where their entries will begin. */
static int find_able(epact_active *active, const epact_rows *x, double least)
{
  const size_t columns = (size_t)x->columns;
  double *sum = epact_calloc(columns, sizeof *sum);
  int64_t *count = epact_calloc(columns, sizeof *count);
  active->place = epact_malloc(columns * sizeof *active->place);
  int code = sum && count && active->place ? EPACT_OK : EPACT_E_NOMEM;
  for (int64_t e = code ? x->start[x->rows] : x->start[0]; e < x->start[x->rows]; e++) {
    sum[x->index[e]] += fabs(rows_entry(x, e));
    count[x->index[e]]++;
  }
  for (int64_t j = 0; j < x->columns && !code; j++) {
    active->place[j] = sum[j] >= least && sum[j] > 0 ? (uint32_t)active->able++ : (uint32_t)NOWHERE;
    if (!(sum[j] < (double)FLT_MAX))
      code = epact_fail(EPACT_E_RANGE, "column %lld: its sum %g is beyond single precision: scale it", (long long)j,
                        sum[j]);
  }
  const size_t able = (size_t)active->able + 1;
  if (!code) {
    active->column = epact_malloc(able * sizeof *active->column);
    active->start = epact_malloc(able * sizeof *active->start);
    if (!active->column || !active->start) code = EPACT_E_NOMEM;
  }
  if (!code) active->start[0] = 0;
  for (int64_t j = 0; j < x->columns && !code; j++) {
    const uint32_t place = active->place[j];
    if (place == (uint32_t)NOWHERE) continue;
    active->column[place] = (uint32_t)j;
    active->start[place + 1] = active->start[place] + count[j];
  }
  free(sum);
  free(count);
  return code;
}

static int allocate(epact_active *active, bool flat)
{
  const size_t rows = (size_t)active->rows, able = (size_t)active->able + 1;
  const size_t entries = (size_t)active->start[active->able] + 1;
  active->row = epact_malloc(entries * sizeof *active->row);
  if (flat)
    active->flat = epact_calloc(rows, sizeof *active->flat);
  else
    active->value = epact_malloc(entries * sizeof *active->value);
  active->scaled = epact_malloc(rows * sizeof *active->scaled);
  active->pair = epact_malloc(rows * sizeof *active->pair);
  active->curvature = epact_malloc(able * sizeof *active->curvature);
  active->damping = epact_malloc(able * sizeof *active->damping);
  active->change = epact_malloc(able * sizeof *active->change);
  active->sweep = epact_malloc(able * sizeof *active->sweep);
  active->excess = epact_malloc(able * sizeof *active->excess);
  active->support = epact_malloc(able * sizeof *active->support);
  active->coefficient = epact_malloc(6 * able * sizeof *active->coefficient);
  if (active->coefficient) {
    active->gradient = active->coefficient + able;
    active->residual = active->gradient + able;
    active->direction = active->residual + able;
    active->scratch = active->direction + able;
  }
  return active->support && active->coefficient && active->row && (active->flat || active->value) && active->scaled &&
                 active->pair && active->curvature && active->damping && active->change && active->sweep &&
                 active->excess
             ? EPACT_OK
             : EPACT_E_NOMEM;
}

static void take_entries(epact_active *active, const epact_rows *x)
{
  int64_t *at = active->start;
  for (int64_t i = 0; i < x->rows; i++) {
    if (active->flat) active->flat[i] = x->start[i + 1] > x->start[i] ? rows_entry(x, x->start[i]) : 1;
    for (int64_t e = x->start[i]; e < x->start[i + 1]; e++) {
      const uint32_t place = active->place[x->index[e]];
      if (place == (uint32_t)NOWHERE) continue;
      const int64_t to = at[place]++;
      active->row[to] = (uint32_t)i;
      if (active->value) active->value[to] = rows_entry(x, e);
    }
  }
  memmove(at + 1, at, (size_t)active->able * sizeof *at);
  at[0] = 0;
}

epact_active *epact_active_new(const epact_rows *x, const epact_loss *loss, double l1)
{
  if (!x->start || x->rows > UINT32_MAX || !(l1 >= 0)) {
    epact_fail(EPACT_E_MISUSE, "a working set needs sparse rows, fewer than 2^32, and an l1 that is not negative");
    return NULL;
  }
  epact_active *active = epact_object_new(sizeof *active, destroy);
  if (!active) return NULL;
  active->has_flats = loss->kind == EPACT_SQUARED_HINGE || loss->kind == EPACT_SMOOTHED_HINGE;
  active->rows = x->rows;
  active->columns = x->columns;
  int code = find_able(active, x, l1 * (1 - 1e-9) / largest_derivative(loss));
  if (!code) code = allocate(active, rows_are_flat(x));
  if (code) {
    epact_release(active);
    return NULL;
  }
  take_entries(active, x);
  return active;
}

int64_t epact_active_columns(const epact_active *active)
{
  return active->able;
}

void epact_active_gradient(epact_active *active, const double *u, double *c)
{
  const double *source = u;
  if (active->flat) {
    for (int64_t i = 0; i < active->rows; i++) active->scaled[i] = active->flat[i] * u[i];
    source = active->scaled;
  }
  for (int64_t k = 0; k < active->able; k++) {
    double sum0 = 0, sum1 = 0;
    int64_t e = active->start[k];
    const int64_t end = active->start[k + 1];
    if (active->flat) {
      for (; e + 2 <= end; e += 2) {
        sum0 += source[active->row[e]];
        sum1 += source[active->row[e + 1]];
      }
      if (e < end) sum0 += source[active->row[e]];
    } else {
      for (; e + 2 <= end; e += 2) {
        sum0 += active->value[e] * source[active->row[e]];
        sum1 += active->value[e + 1] * source[active->row[e + 1]];
      }
      if (e < end) sum0 += active->value[e] * source[active->row[e]];
    }
    c[active->column[k]] = sum0 + sum1;
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
