/* The preconditioner of a working set's jumps: see active_factor.h. */
#include "active_state.h"
#include "cholesky.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* 64 MiB. */
enum { LARGEST_FACTOR = 4096 };

void active_factor_clear(active_factor *factor)
{
  free(factor->triangle);
  free(factor->scratch);
  free(factor->which);
  factor->triangle = factor->scratch = NULL;
  factor->which = NULL;
  factor->size = 0;
}

double active_factor_cost(const epact_active *active, int64_t size)
{
  if (size > LARGEST_FACTOR) return INFINITY;
  const double s = (double)size, filled = s * (double)active->x.rows;
  const double dense = active->x.start ? 0 : filled * s * 0.1;
  return s * s * s / 3 * 0.02 + s * s + dense;
}

/* The support by rows: entries of row i are start[i] .. start[i + 1] - 1. */
typedef struct {
  int64_t *start;
  uint32_t *index;
  float *value;
} by_rows;

static void count_rows(const epact_active *active, const uint32_t *which, int64_t size, int64_t *start)
{
  for (int64_t at = 0; at < size; at++) {
    const column c = entries_of(active, which[at]);
    for (int64_t e = 0; e < c.count; e++) start[c.index[e] + 1]++;
  }
  for (int64_t i = 0; i < active->x.rows; i++) start[i + 1] += start[i];
}

static void fill_rows(const epact_active *active, const uint32_t *which, int64_t size, const by_rows *rows)
{
  int64_t *at_row = rows->start;
  for (int64_t at = 0; at < size; at++) {
    const column c = entries_of(active, which[at]);
    for (int64_t e = 0; e < c.count; e++) {
      const int64_t to = at_row[c.index[e]]++;
      const double value = active->flat ? 1 : c.value[e];
      rows->index[to] = (uint32_t)at;
      rows->value[to] = (float)(active->scale[which[at]] * value);
    }
  }
  memmove(at_row + 1, at_row, (size_t)active->x.rows * sizeof *at_row);
  at_row[0] = 0;
}

/* triangle = X_S' diag(d) X_S, row by row. */
static void add_rows(const epact_active *active, const by_rows *rows, int64_t size, float *triangle)
{
  for (int64_t i = 0; i < active->x.rows; i++) {
    const int64_t first = rows->start[i];
    for (int64_t a = first; a < rows->start[i + 1]; a++) {
      const float weight = (float)active->d[i] * rows->value[a];
      float *row = triangle + (int64_t)rows->index[a] * size;
      for (int64_t b = first; b <= a; b++) row[rows->index[b]] += weight * rows->value[b];
    }
  }
}

static int gram_sparse(const epact_active *active, const uint32_t *which, int64_t size, float *triangle)
{
  by_rows rows = { .start = epact_calloc((size_t)active->x.rows + 1, sizeof *rows.start) };
  if (!rows.start) return EPACT_E_NOMEM;
  count_rows(active, which, size, rows.start);
  const size_t entries = (size_t)rows.start[active->x.rows] + 1;
  rows.index = epact_malloc(entries * sizeof *rows.index);
  rows.value = epact_malloc(entries * sizeof *rows.value);
  const int code = rows.index && rows.value ? EPACT_OK : EPACT_E_NOMEM;
  if (!code) {
    fill_rows(active, which, size, &rows);
    add_rows(active, &rows, size, triangle);
  }
  free(rows.start);
  free(rows.index);
  free(rows.value);
  return code;
}

static int gram_dense(const epact_active *active, const uint32_t *which, int64_t size, float *triangle)
{
  const int64_t n = active->x.rows;
  float *half = epact_malloc((size_t)(size * n) * sizeof *half); /* rows: columns of the support times sqrt(d) */
  if (!half) return EPACT_E_NOMEM;
  for (int64_t at = 0; at < size; at++) {
    const column c = entries_of(active, which[at]);
    for (int64_t i = 0; i < n; i++)
      half[at * n + i] = (float)(active->scale[which[at]] * c.value[i] * sqrt(active->d[i]));
  }
  cblas_ssyrk(CblasRowMajor, CblasLower, CblasNoTrans, (int)size, (int)n, 1, half, (int)n, 0, triangle, (int)size);
  free(half);
  return EPACT_OK;
}

/* What the intercept takes away; then the factor. */
static void finish(epact_active *active, int64_t size)
{
  active_factor *factor = &active->factor;
  for (int64_t a = 0; a < size; a++) {
    const uint32_t k = factor->which[a];
    float *row = factor->triangle + a * size;
    const double common = active->total > 0 ? active->weighted[k] / active->total : 0;
    for (int64_t b = 0; b < a; b++) row[b] -= (float)(common * active->weighted[factor->which[b]]);
    row[a] = (float)active->curvature[k]; /* exact where single precision would cancel */
    factor->scratch[a] = row[a];
  }
  cholesky_factor_f(size, 0, factor->triangle, factor->scratch);
}

int active_factor_make(epact_active *active, const uint32_t *which, int64_t size)
{
  active_factor *factor = &active->factor;
  const size_t count = (size_t)size;
  active_factor_clear(factor);
  factor->triangle = epact_calloc(count * count + 1, sizeof *factor->triangle);
  factor->scratch = epact_malloc((count + 1) * sizeof *factor->scratch);
  factor->which = epact_malloc((count + 1) * sizeof *factor->which);
  int code = factor->triangle && factor->scratch && factor->which ? EPACT_OK : EPACT_E_NOMEM;
  if (!code)
    code = active->x.start ? gram_sparse(active, which, size, factor->triangle)
                           : gram_dense(active, which, size, factor->triangle);
  if (code) {
    active_factor_clear(factor);
    return code;
  }
  memset(factor->where, 0xff, (size_t)active->able * sizeof *factor->where);
  for (int64_t at = 0; at < size; at++) {
    factor->which[at] = which[at];
    factor->where[which[at]] = (uint32_t)at;
  }
  factor->size = size;
  finish(active, size);
  return EPACT_OK;
}

void active_factor_apply(const epact_active *active, const uint32_t *which, int64_t size, const double *from,
                         double *to)
{
  const active_factor *factor = &active->factor;
  if (factor->size) memset(factor->scratch, 0, (size_t)factor->size * sizeof *factor->scratch);
  for (int64_t at = 0; factor->size && at < size; at++)
    if (factor->where[which[at]] != (uint32_t)NOWHERE) factor->scratch[factor->where[which[at]]] = (float)from[at];
  if (factor->size) cholesky_solve_f(factor->size, factor->triangle, factor->scratch);
  for (int64_t at = 0; at < size; at++) {
    const uint32_t known = factor->size ? factor->where[which[at]] : (uint32_t)NOWHERE;
    to[at] = known != (uint32_t)NOWHERE ? (double)factor->scratch[known] : from[at] / active->curvature[which[at]];
  }
}
