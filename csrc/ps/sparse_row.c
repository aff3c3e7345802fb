/* A sparse row: column -> value by open addressing with linear probing. */
#include "store.h"

#include "../base/internal.h"

#include <stdlib.h>
#include <string.h>

static uint32_t first_probe(const epact_sparse_row *row, uint32_t col)
{
  return (col * UINT32_C(0x9e3779b1)) >> 7 & (row->capacity - 1);
}

uint32_t epact_sparse_row_find(const epact_sparse_row *row, uint32_t col)
{
  if (!row->capacity) return EPACT_NO_INDEX;
  for (uint32_t i = first_probe(row, col);; i = (i + 1) & (row->capacity - 1)) {
    if (row->col[i] == (int32_t)col) return i;
    if (row->col[i] < 0) return EPACT_NO_INDEX;
  }
}

/* The slot of `col`, taken (zero) if it is new: the row must have an empty slot. */
static uint32_t take(epact_sparse_row *row, size_t bytes, uint32_t col)
{
  uint32_t i = first_probe(row, col);
  while (row->col[i] >= 0 && row->col[i] != (int32_t)col) i = (i + 1) & (row->capacity - 1);
  if (row->col[i] < 0) {
    row->col[i] = (int32_t)col;
    memset((char *)row->value + i * bytes, 0, bytes); /* a cleared row keeps its old values */
    row->count++;
  }
  return i;
}

static bool is_zero(int type, const void *value)
{
  uint64_t wide = 0;
  memcpy(&wide, value, epact_type_bytes(type));
  return wide == 0;
}

static int allocate(epact_sparse_row *row, int type, uint32_t capacity)
{
  row->capacity = capacity;
  row->count = 0;
  row->col = epact_malloc(capacity * sizeof *row->col);
  row->value = epact_calloc(capacity, epact_type_bytes(type));
  if (!row->col || !row->value) {
    epact_sparse_row_free(row);
    return EPACT_E_NOMEM;
  }
  memset(row->col, 0xff, capacity * sizeof *row->col);
  return EPACT_OK;
}

int epact_sparse_row_reserve(epact_sparse_row *row, int type, uint32_t more)
{
  uint64_t wanted = (uint64_t)row->count + more;
  if (wanted * 4 <= (uint64_t)row->capacity * 3) return EPACT_OK;
  /* Cells that came back to zero leave here, so count what stays. */
  size_t bytes = epact_type_bytes(type);
  uint64_t kept = 0;
  for (uint32_t i = 0; i < row->capacity; i++) {
    kept += row->col[i] >= 0 && !is_zero(type, (char *)row->value + i * bytes);
  }
  uint64_t capacity = 4;
  while (capacity * 3 < (kept + more) * 4 + kept) capacity *= 2;
  if (capacity > UINT32_C(1) << 30) return epact_fail(EPACT_E_LIMIT, "a sparse row would exceed 2^30 cells");
  epact_sparse_row grown;
  int code = allocate(&grown, type, (uint32_t)capacity);
  if (code) return code;
  for (uint32_t i = 0; i < row->capacity; i++) {
    const char *value = (char *)row->value + i * bytes;
    if (row->col[i] >= 0 && !is_zero(type, value)) {
      memcpy((char *)grown.value + take(&grown, bytes, (uint32_t)row->col[i]) * bytes, value, bytes);
    }
  }
  epact_sparse_row_free(row);
  *row = grown;
  return EPACT_OK;
}

void epact_sparse_row_add(epact_sparse_row *row, int type, uint32_t col, const void *delta)
{
  uint32_t i = take(row, epact_type_bytes(type), col);
  switch (type) {
  case EPACT_F32:
    ((float *)row->value)[i] += *(const float *)delta;
    break;
  case EPACT_F64:
    ((double *)row->value)[i] += *(const double *)delta;
    break;
  case EPACT_I32:
    ((uint32_t *)row->value)[i] += *(const uint32_t *)delta;
    break;
  default:
    ((uint64_t *)row->value)[i] += *(const uint64_t *)delta;
    break;
  }
}

void epact_sparse_row_clear(epact_sparse_row *row)
{
  if (row->capacity) memset(row->col, 0xff, row->capacity * sizeof *row->col);
  row->count = 0;
}

int epact_sparse_row_copy(epact_sparse_row *target, const epact_sparse_row *source, int type)
{
  size_t bytes = epact_type_bytes(type);
  if (target->capacity != source->capacity) {
    epact_sparse_row made = { 0, 0, NULL, NULL };
    if (source->capacity) {
      int code = allocate(&made, type, source->capacity);
      if (code) return code;
    }
    epact_sparse_row_free(target);
    *target = made;
  }
  target->count = source->count;
  if (source->capacity) {
    memcpy(target->col, source->col, source->capacity * sizeof *source->col); // NOLINT: not source's that was freed
    memcpy(target->value, source->value, source->capacity * bytes);
  }
  return EPACT_OK;
}

void epact_sparse_row_free(epact_sparse_row *row)
{
  free(row->col);
  free(row->value);
  *row = (epact_sparse_row){ 0, 0, NULL, NULL };
}
