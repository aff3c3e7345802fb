/* Dense columns of unit norm: see unit.h. */
#include "unit.h"

#include "../base/internal.h"

#include <stdlib.h>
#include <string.h>

enum { LANES = 8, COLUMNS = 4 };

typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef float lanes_anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

int unit_init(unit_columns *unit, const correlation *of, size_t bytes)
{
  const bool fits = !of->x.start && of->normalise && of->x.rows <= UNIT_ROWS;
  *unit = (unit_columns){ .stride = fits ? (of->x.rows + LANES - 1) / LANES * LANES : 0 };
  if (!fits) return EPACT_OK;
  const size_t size = (size_t)unit->stride * sizeof *unit->kept, most = bytes / (size + sizeof *unit->owner);
  const size_t places = most < (size_t)of->x.columns ? most : (size_t)of->x.columns;
  if (places == 0) return EPACT_OK;
  unit->kept = epact_malloc(places * size);
  unit->owner = epact_calloc(places, sizeof *unit->owner);
  if (!unit->kept || !unit->owner) return EPACT_E_NOMEM;
  unit->places = (int64_t)places;
  return EPACT_OK;
}

void unit_free(unit_columns *unit)
{
  free(unit->column);
  free(unit->kept);
  free(unit->owner);
}

int unit_reserve(unit_columns *unit, size_t count)
{
  if (unit->stride == 0 || count + COLUMNS <= unit->room) return EPACT_OK;
  const size_t room = count + count / 2 + COLUMNS;
  if (epact_grow(&unit->column, room * (size_t)unit->stride, sizeof *unit->column)) return EPACT_E_NOMEM;
  memset(unit->column, 0, room * (size_t)unit->stride * sizeof *unit->column);
  unit->room = room;
  return EPACT_OK;
}

static void convert(int64_t stride, const correlated *from, float *to)
{
  const double *value = from->entries.value, factor = from->factor, mean = from->mean;
  for (int64_t i = 0; i < from->entries.count; i++) to[i] = (float)(factor * (value[i] - mean));
  for (int64_t i = from->entries.count; i < stride; i++) to[i] = 0;
}

void unit_set(unit_columns *unit, int64_t at, const correlated *from)
{
  float *to = unit->column + at * unit->stride;
  const size_t bytes = (size_t)unit->stride * sizeof *to;
  if (!unit->places) {
    convert(unit->stride, from, to);
    return;
  }
  const int64_t place = from->id % unit->places;
  float *kept = unit->kept + place * unit->stride;
  if (unit->owner[place] != from->id + 1) {
    convert(unit->stride, from, kept);
    unit->owner[place] = from->id + 1;
  }
  memcpy(to, kept, bytes);
}

static inline __attribute__((always_inline)) void multiply(int64_t n, const float *first, const float *with,
                                                           float *product)
{
  lanes sum[COLUMNS] = { { 0 } };
  for (int64_t i = 0; i < n; i += LANES) {
    const lanes other = *(const lanes_anywhere *)(with + i);
    for (int c = 0; c < COLUMNS; c++) sum[c] += *(const lanes_anywhere *)(first + c * n + i) * other;
  }
  for (int c = 0; c < COLUMNS; c++)
    product[c] =
        ((sum[c][0] + sum[c][4]) + (sum[c][1] + sum[c][5])) + ((sum[c][2] + sum[c][6]) + (sum[c][3] + sum[c][7]));
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void multiply_wide(int64_t n, const float *first, const float *with,
                                                              float *product)
{
  multiply(n, first, with, product);
}
#endif

void unit_products(const unit_columns *unit, int64_t first, int64_t with, float *product)
{
  const float *from = unit->column + first * unit->stride, *other = unit->column + with * unit->stride;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    multiply_wide(unit->stride, from, other, product);
    return;
  }
#endif
  multiply(unit->stride, from, other, product);
}
