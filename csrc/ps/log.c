/* A worker's private update log: accumulator rows or sorted (row, col, delta) entries. */
#include "log.h"

#include "../base/internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ENTRIES 256
#define RADIX_BITS 11
#define RADIX_SIZE (1 << RADIX_BITS)
#define RADIX_DIGITS 6 /* of 11 bits: 64 */
#define MAX_ENTRIES ((int64_t)UINT32_MAX - 1)
#define INSERTION_LIMIT 48

int epact_log_init(epact_log *log, const epact_schema *schema)
{
  memset(log, 0, sizeof *log);
  log->schema = *schema;
  log->row_bytes = (size_t)schema->cols * epact_type_bytes(schema->type);
  while (log->col_bits < 31 && (INT64_C(1) << log->col_bits) < schema->cols) log->col_bits++;
  return EPACT_OK;
}

void epact_log_free(epact_log *log)
{
  free(log->row);
  free(log->slab);
  free(log->entry);
  free(log->spare);
  free(log->start);
  free(log->col);
  free(log->value);
  memset(log, 0, sizeof *log);
}

int64_t epact_log_touch(epact_log *log, int64_t row, bool zeroed)
{
  if (log->rows == log->row_capacity) {
    int64_t capacity = log->row_capacity ? log->row_capacity * 2 : 4;
    if (log->schema.rows && capacity > log->schema.rows) capacity = log->schema.rows;
    if (capacity > INT32_MAX) { /* the number of an accumulator has 31 bits */
      epact_fail(EPACT_E_LIMIT, "more than 2^30 rows of one table incremented in one clock");
      return -1;
    }
    if (epact_grow(&log->row, (size_t)capacity, sizeof *log->row)) return -1;
    if (epact_grow(&log->slab, (size_t)capacity, log->row_bytes)) return -1;
    log->row_capacity = capacity;
  }
  if (zeroed) memset(log->slab + (size_t)log->rows * log->row_bytes, 0, log->row_bytes);
  log->row[log->rows] = row;
  return log->rows++;
}

bool epact_log_is_finite(const epact_log *log)
{
  if (log->schema.type == EPACT_I32 || log->schema.type == EPACT_I64) return true;
  return log->bound <= (log->schema.type == EPACT_F32 ? 0x1p120 : 0x1p1000);
}

/* Sorts the entries by key: insertion for a few, else least-significant-digit radix. The sort is
 * stable, so the order in which deltas of one cell are summed is the order of the calls. */
static void sort_entries(epact_log *log)
{
  epact_log_entry *from = log->entry, *to = log->spare;
  int64_t n = log->entries;
  if (n <= INSERTION_LIMIT) {
    for (int64_t i = 1; i < n; i++) {
      epact_log_entry moved = from[i];
      int64_t j = i;
      for (; j > 0 && from[j - 1].key > moved.key; j--) from[j] = from[j - 1];
      from[j] = moved;
    }
    return;
  }
  uint32_t place[RADIX_DIGITS][RADIX_SIZE];
  uint64_t all_ones = ~UINT64_C(0), any_one = 0;
  for (int64_t i = 0; i < n; i++) {
    all_ones &= from[i].key;
    any_one |= from[i].key;
  }
  uint64_t differ = all_ones ^ any_one;
  int digits = 0;
  while (digits < RADIX_DIGITS && differ >> (digits * RADIX_BITS)) digits++;
  memset(place, 0, (size_t)digits * sizeof place[0]);
  for (int64_t i = 0; i < n; i++) { /* all digits are counted in one pass */
    for (int d = 0; d < digits; d++) place[d][from[i].key >> (d * RADIX_BITS) & (RADIX_SIZE - 1)]++;
  }
  for (int d = 0; d < digits; d++) {
    if (!(differ >> (d * RADIX_BITS) & (RADIX_SIZE - 1))) continue; /* all entries share this digit */
    uint32_t sum = 0;
    for (int digit = 0; digit < RADIX_SIZE; digit++) {
      uint32_t count = place[d][digit];
      place[d][digit] = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; i++) to[place[d][from[i].key >> (d * RADIX_BITS) & (RADIX_SIZE - 1)]++] = from[i];
    epact_log_entry *swapped = from;
    from = to;
    to = swapped;
  }
  if (from != log->entry) { /* the two buffers trade places */
    int64_t capacity = log->entry_capacity;
    log->spare = log->entry;
    log->entry = from;
    log->entry_capacity = log->spare_capacity;
    log->spare_capacity = capacity;
  }
}

void epact_log_sum(int type, epact_log_entry *sum, const epact_log_entry *more)
{
  switch (type) {
  case EPACT_F32:
    sum->delta.f32 += more->delta.f32;
    break;
  case EPACT_F64:
    sum->delta.f64 += more->delta.f64;
    break;
  case EPACT_I32:
    sum->delta.bits = (uint32_t)sum->delta.bits + (uint32_t)more->delta.bits;
    break;
  default:
    sum->delta.bits += more->delta.bits;
    break;
  }
}

static bool entry_is_zero(int type, const epact_log_entry *entry)
{
  return epact_type_bytes(type) == 4 ? entry->delta.i32 == 0 : entry->delta.i64 == 0;
}

static int sort_log(epact_log *log)
{
  if (log->sorted == log->entries) return EPACT_OK;
  if (log->entries > INSERTION_LIMIT && log->spare_capacity < log->entry_capacity) {
    int code = epact_grow(&log->spare, (size_t)log->entry_capacity, sizeof *log->spare);
    if (code) return code;
    log->spare_capacity = log->entry_capacity;
  }
  sort_entries(log);
  return EPACT_OK;
}

/* The sum of the entries of one cell, from *i on in a sorted log; *i moves past them. */
static inline epact_log_entry next_sum(const epact_log *log, int64_t *i)
{
  epact_log_entry sum = log->entry[(*i)++];
  while (*i < log->entries && log->entry[*i].key == sum.key) epact_log_sum(log->schema.type, &sum, &log->entry[(*i)++]);
  return sum;
}

int epact_log_compact(epact_log *log)
{
  if (log->sorted == log->entries) return EPACT_OK;
  int code = sort_log(log);
  if (code) return code;
  int64_t kept = 0;
  for (int64_t i = 0; i < log->entries;) {
    epact_log_entry sum = next_sum(log, &i);
    if (!entry_is_zero(log->schema.type, &sum)) log->entry[kept++] = sum;
  }
  log->entries = log->sorted = kept;
  return EPACT_OK;
}

int epact_log_reserve(epact_log *log, int64_t more)
{
  if (log->entries + more <= log->entry_capacity) return EPACT_OK;
  /* A log that keeps hitting the same cells shrinks here instead of growing. */
  if (log->entries >= FIRST_ENTRIES && log->sorted < log->entries / 2) {
    int code = epact_log_compact(log);
    if (code) return code;
    if (log->entries + more <= log->entry_capacity / 2) return EPACT_OK;
  }
  if (log->entries + more > MAX_ENTRIES) {
    return epact_fail(EPACT_E_LIMIT, "more than 2^32 cells of one table incremented in one clock");
  }
  int64_t capacity = log->entry_capacity ? log->entry_capacity * 2 : FIRST_ENTRIES;
  while (capacity < log->entries + more) capacity *= 2;
  int code = epact_grow(&log->entry, (size_t)capacity, sizeof *log->entry);
  if (!code) log->entry_capacity = capacity;
  return code;
}

int64_t epact_log_lower_bound(const epact_log_entry *entry, int64_t n, uint64_t key)
{
  int64_t low = 0, high = n;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (entry[middle].key < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int reserve_sealed(epact_log *log, int64_t rows)
{
  int code;
  if (log->sealed_capacity < log->entries) {
    int64_t capacity = log->entry_capacity;
    if ((code = epact_grow(&log->col, (size_t)capacity, sizeof *log->col))) return code;
    if ((code = epact_grow(&log->value, (size_t)capacity, epact_type_bytes(log->schema.type)))) return code;
    log->sealed_capacity = capacity;
  }
  if (log->sealed_rows_capacity < rows + 1) {
    int64_t capacity = rows + 1;
    if ((code = epact_grow(&log->start, (size_t)capacity, sizeof *log->start))) return code;
    if ((code = epact_grow(&log->row, (size_t)capacity, sizeof *log->row))) return code;
    log->sealed_rows_capacity = capacity;
  }
  return EPACT_OK;
}

/* Sums on the way into the section's arrays; the log keeps its entries, sorted. */
static int seal_sparse(epact_log *log, epact_section *section)
{
  bool bounded = log->schema.rows && log->schema.rows < log->entries;
  int code = sort_log(log);
  if (code || (code = reserve_sealed(log, bounded ? log->schema.rows : log->entries))) return code;
  uint64_t col_mask = (UINT64_C(1) << log->col_bits) - 1;
  bool narrow = epact_type_bytes(log->schema.type) == 4;
  int64_t rows = 0, cells = 0;
  for (int64_t i = 0; i < log->entries;) {
    epact_log_entry sum = next_sum(log, &i);
    if (entry_is_zero(log->schema.type, &sum)) continue;
    int64_t row = (int64_t)(sum.key >> log->col_bits);
    if (rows == 0 || log->row[rows - 1] != row) {
      log->start[rows] = (uint32_t)cells;
      log->row[rows++] = row;
    }
    log->col[cells] = (uint32_t)(sum.key & col_mask);
    if (narrow)
      ((int32_t *)log->value)[cells++] = sum.delta.i32;
    else
      ((int64_t *)log->value)[cells++] = sum.delta.i64;
  }
  log->start[rows] = (uint32_t)cells;
  *section = (epact_section){ log->schema.id, log->schema.type, log->schema.cols, rows,         log->row,
                              log->start,     log->col,         log->value,       EPACT_AS_TYPE };
  return EPACT_OK;
}

int epact_log_seal(epact_log *log, epact_section *section)
{
  if (log->schema.sparse_updates) {
    if (log->entries) return seal_sparse(log, section);
    *section = (epact_section){ .table = log->schema.id, .type = log->schema.type, .cols = log->schema.cols };
    return EPACT_OK;
  }
  *section = (epact_section){ .table = log->schema.id,
                              .type = log->schema.type,
                              .cols = log->schema.cols,
                              .rows = log->rows,
                              .row = log->row,
                              .value = log->slab };
  return EPACT_OK;
}

void epact_log_reset(epact_log *log)
{
  log->rows = 0;
  log->bound = 0;
  log->entries = log->sorted = 0;
}
