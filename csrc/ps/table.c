/* The calls of a worker's inner loop: inc into its own log, get from its own cache. */
#include "process.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- misuse, told out of line ---- */

__attribute__((cold, noinline)) static int fail_place(const epact_table *table, int64_t row, int64_t col)
{
  if (!epact_schema_has_row(&table->schema, row)) {
    return epact_fail(EPACT_E_RANGE, "table '%s': row %" PRId64 " is outside [0, %" PRId64 ")", table->name, row,
                      epact_schema_row_limit(&table->schema));
  }
  return epact_fail(EPACT_E_RANGE, "table '%s': column %" PRId64 " is outside [0, %" PRId64 ")", table->name, col,
                    table->schema.cols);
}

__attribute__((cold, noinline)) static int fail_delta(const epact_table *table, int64_t row, int64_t col, double delta)
{
  if (!isfinite(delta) || table->schema.type == EPACT_F32) {
    return epact_fail(EPACT_E_NONFINITE, "table '%s': the increment of row %" PRId64 ", column %" PRId64 " is %g%s",
                      table->name, row, col, isnan(delta) ? fabs(delta) : delta,
                      isfinite(delta) ? ", too large for f32" : "");
  }
  return epact_fail(EPACT_E_RANGE,
                    "table '%s': the increment of row %" PRId64 ", column %" PRId64
                    " is %.17g, not a number of type %s",
                    table->name, row, col, delta, epact_type_name(table->schema.type));
}

__attribute__((cold, noinline)) static char *fail_finished(const epact_table *table)
{
  epact_fail(EPACT_E_MISUSE, "table '%s': the worker has finished: nobody would get its increments", table->name);
  return NULL;
}

static inline bool delta_fits(int type, double delta)
{
  switch (type) {
  case EPACT_F64:
    return delta - delta == 0;
  case EPACT_F32:
    return (float)delta - (float)delta == 0;
  case EPACT_I32:
    return delta >= -2147483648.0 && delta <= 2147483647.0 && delta == (double)(int32_t)delta;
  default:
    return fabs(delta) <= 0x1p53 && delta == (double)(int64_t)delta;
  }
}

static inline bool has_place(const epact_table *table, int64_t row, int64_t col)
{
  return epact_schema_has_row(&table->schema, row) && (uint64_t)col < (uint64_t)table->schema.cols;
}

/* ---- increments ---- */

/* The first increment of a row this clock. */
static bool log_row(epact_table *table, int64_t row, epact_cached *cached, bool zeroed)
{
  if (cached->logged) { /* what rounding has left is there already */
    cached->logged &= ~EPACT_LOGGED_REST;
    return true;
  }
  if (table->client->finished) {
    fail_finished(table);
    return false;
  }
  int64_t number = epact_log_touch(&table->log, row, zeroed);
  if (number < 0) return false;
  cached->logged = (uint32_t)number + 1;
  return true;
}

/* The accumulator of a row in a dense log. */
static inline char *accumulator(epact_table *table, int64_t row, uint32_t *index)
{
  bool known = table->cache.identity && table->cached;
  *index = known ? (uint32_t)row : epact_table_index(table, row);
  if (EPACT_UNLIKELY(*index == EPACT_NO_INDEX)) return NULL;
  epact_cached *cached = &table->cached[*index];
  /* 0 or, negative here, EPACT_LOGGED_REST */
  if (EPACT_UNLIKELY((int32_t)cached->logged <= 0) && !log_row(table, row, cached, true)) return NULL;
  return table->log.slab + (size_t)(cached->logged - 1) * table->log.row_bytes;
}

static int append(epact_table *table, int64_t row, int64_t col, const void *delta, size_t bytes)
{
  epact_log *log = &table->log;
  if (EPACT_UNLIKELY(table->client->finished)) {
    fail_finished(table);
    return EPACT_E_MISUSE;
  }
  if (EPACT_UNLIKELY(log->entries == log->entry_capacity)) {
    int code = epact_log_reserve(log, 1);
    if (code) return code;
  }
  epact_log_entry *entry = &log->entry[log->entries++];
  entry->key = epact_log_key(log, row, col);
  entry->delta.bits = 0;
  memcpy(&entry->delta, delta, bytes);
  /* Read-my-writes: the copy, where there is one, is incremented too. */
  uint32_t index = epact_store_find(&table->cache, row);
  if (index == EPACT_NO_INDEX || index >= table->cached_capacity || !table->cached[index].valid_before) return EPACT_OK;
  int type = table->schema.type;
  table->cached[index].version = 0; /* x + a - a need not be x: fetch it anew even if the sums cancel */
  if (!table->schema.sparse) {
    epact_values_add(type, (char *)epact_store_values(&table->cache, index) + (size_t)col * bytes, delta, 1);
    return EPACT_OK;
  }
  epact_sparse_row *cells = &table->cache.cells[index];
  int code = epact_sparse_row_reserve(cells, type, 1);
  if (!code) epact_sparse_row_add(cells, type, (uint32_t)col, delta);
  return code;
}

static int inc_sparse_cell(epact_table *table, int64_t row, int64_t col, double delta)
{
  union {
    float f32;
    double f64;
    int32_t i32;
    int64_t i64;
  } value = { .f64 = delta };
  switch (table->schema.type) {
  case EPACT_F32:
    value.f32 = (float)delta;
    break;
  case EPACT_I32:
    value.i32 = (int32_t)delta;
    break;
  case EPACT_I64:
    value.i64 = (int64_t)delta;
    break;
  default:
    break;
  }
  return append(table, row, col, &value, epact_type_bytes(table->schema.type));
}

int epact_table_inc(epact_table *table, int64_t row, int64_t col, double delta)
{
  if (EPACT_UNLIKELY(!has_place(table, row, col))) return fail_place(table, row, col);
  if (EPACT_UNLIKELY(!delta_fits(table->schema.type, delta))) return fail_delta(table, row, col, delta);
  if (table->schema.sparse_updates) return inc_sparse_cell(table, row, col, delta);
  uint32_t index;
  char *sum = accumulator(table, row, &index);
  if (EPACT_UNLIKELY(!sum)) return epact_error_code();
  size_t at = (size_t)col * epact_type_bytes(table->schema.type);
  table->log.bound += fabs(delta);
  epact_value_add(table->schema.type, sum + at, delta);
  if (table->cached[index].valid_before) {
    epact_value_add(table->schema.type, (char *)epact_store_values(&table->cache, index) + at, delta);
  }
  return EPACT_OK;
}

static int fail_cells(const epact_table *table, int64_t row, const void *delta)
{
  int64_t bad = epact_values_first_nonfinite(table->schema.type, delta, table->schema.cols);
  return fail_delta(table, row, bad, epact_value_at(table->schema.type, delta, bad));
}

/* The first increment of a row this clock, when it is one of all its columns, need not be added to zeros. */
static int log_whole_row(epact_table *table, int64_t row, const void *delta)
{
  uint32_t index = epact_table_index(table, row);
  if (index == EPACT_NO_INDEX) return EPACT_E_NOMEM;
  epact_cached *cached = &table->cached[index];
  bool first = !cached->logged;
  if ((int32_t)cached->logged <= 0 && !log_row(table, row, cached, false)) return epact_error_code();
  char *sum = table->log.slab + (size_t)(cached->logged - 1) * table->log.row_bytes;
  if (first)
    memcpy(sum, delta, table->log.row_bytes);
  else
    epact_values_add(table->schema.type, sum, delta, table->schema.cols);
  if (cached->valid_before) {
    epact_values_add(table->schema.type, epact_store_values(&table->cache, index), delta, table->schema.cols);
  }
  return EPACT_OK;
}

int epact_table_inc_row(epact_table *table, int64_t row, const void *delta)
{
  int type = table->schema.type;
  bool real = type == EPACT_F32 || type == EPACT_F64;
  if (!epact_schema_has_row(&table->schema, row)) return fail_place(table, row, 0);
  double largest = real ? epact_values_largest(type, delta, table->schema.cols) : 0;
  if (!isfinite(largest)) return fail_cells(table, row, delta);
  if (table->schema.sparse_updates) {
    size_t bytes = epact_type_bytes(type);
    for (int64_t col = 0; col < table->schema.cols; col++) {
      if (epact_value_at(type, delta, col) == 0) continue;
      int code = append(table, row, col, (const char *)delta + (size_t)col * bytes, bytes);
      if (code) return code;
    }
    return EPACT_OK;
  }
  table->log.bound += largest;
  return log_whole_row(table, row, delta);
}

int epact_table_inc_all(epact_table *table, const void *delta)
{
  if (!table->schema.rows || table->schema.sparse_updates) {
    return epact_fail(EPACT_E_MISUSE, "table '%s': inc_all needs a declared number of rows and dense updates",
                      table->name);
  }
  int64_t cells = table->schema.rows * table->schema.cols;
  int64_t bad = epact_values_first_nonfinite(table->schema.type, delta, cells);
  if (bad >= 0) {
    return fail_delta(table, bad / table->schema.cols, bad % table->schema.cols,
                      epact_value_at(table->schema.type, delta, bad));
  }
  for (int64_t row = 0; row < table->schema.rows; row++) {
    int code = epact_table_inc_row(table, row, (const char *)delta + (size_t)row * table->cache.row_bytes);
    if (code) return code;
  }
  return EPACT_OK;
}

int epact_table_inc_sparse(epact_table *table, int64_t row, int64_t n, const uint32_t *col, const double *value,
                           double scale)
{
  int type = table->schema.type;
  if (type != EPACT_F32 && type != EPACT_F64) {
    return epact_fail(EPACT_E_MISUSE, "table '%s' is %s: inc_sparse needs f32 or f64", table->name,
                      epact_type_name(type));
  }
  for (int64_t i = 0; i < n; i++) {
    if (!has_place(table, row, col[i])) return fail_place(table, row, col[i]);
    if (!delta_fits(type, scale * value[i])) return fail_delta(table, row, col[i], scale * value[i]);
  }
  if (!n) return EPACT_OK;
  if (table->schema.sparse_updates) {
    for (int64_t i = 0; i < n; i++) {
      int code = inc_sparse_cell(table, row, col[i], scale * value[i]);
      if (code) return code;
    }
    return EPACT_OK;
  }
  uint32_t index;
  char *sum = accumulator(table, row, &index);
  if (!sum) return epact_error_code();
  for (int64_t i = 0; i < n; i++) table->log.bound += fabs(scale * value[i]);
  char *copy = table->cached[index].valid_before ? epact_store_values(&table->cache, index) : NULL;
  if (type == EPACT_F64) {
    for (int64_t i = 0; i < n; i++) ((double *)sum)[col[i]] += scale * value[i];
    for (int64_t i = 0; copy && i < n; i++) ((double *)copy)[col[i]] += scale * value[i];
  } else {
    for (int64_t i = 0; i < n; i++) ((float *)sum)[col[i]] += (float)(scale * value[i]);
    for (int64_t i = 0; copy && i < n; i++) ((float *)copy)[col[i]] += (float)(scale * value[i]);
  }
  return EPACT_OK;
}

/* Room must have been reserved. */
static void append_many(epact_log *log, int64_t n, const uint32_t *row, const uint32_t *col, const void *delta,
                        size_t bytes)
{
  epact_log_entry *entry = log->entry + log->entries;
  for (int64_t i = 0; i < n; i++) {
    entry[i].key = epact_log_key(log, row[i], col[i]);
    entry[i].delta.bits = bytes == 4 ? ((const uint32_t *)delta)[i] : ((const uint64_t *)delta)[i];
  }
  log->entries += n;
}

int epact_table_inc_many(epact_table *table, int64_t n, const uint32_t *row, const uint32_t *col, const void *delta)
{
  size_t bytes = epact_type_bytes(table->schema.type);
  for (int64_t i = 0; i < n; i++) {
    if (!has_place(table, row[i], col[i])) return fail_place(table, row[i], col[i]);
  }
  int64_t bad = epact_values_first_nonfinite(table->schema.type, delta, n);
  if (bad >= 0) return fail_delta(table, row[bad], col[bad], epact_value_at(table->schema.type, delta, bad));
  if (table->schema.sparse_updates) {
    int code = epact_log_reserve(&table->log, n);
    if (!code && !table->cached_capacity && !table->client->finished) { /* no copies to increment */
      append_many(&table->log, n, row, col, delta, bytes);
      return EPACT_OK;
    }
    for (int64_t i = 0; i < n && !code; i++)
      code = append(table, row[i], col[i], (const char *)delta + (size_t)i * bytes, bytes);
    return code;
  }
  table->log.bound += (double)n * epact_values_largest(table->schema.type, delta, n);
  for (int64_t i = 0; i < n; i++) {
    uint32_t index;
    char *sum = accumulator(table, row[i], &index);
    if (!sum) return epact_error_code();
    const char *value = (const char *)delta + (size_t)i * bytes;
    epact_values_add(table->schema.type, sum + (size_t)col[i] * bytes, value, 1);
    if (table->cached[index].valid_before) {
      epact_values_add(table->schema.type, (char *)epact_store_values(&table->cache, index) + (size_t)col[i] * bytes,
                       value, 1);
    }
  }
  return EPACT_OK;
}

/* ---- reads ---- */

static inline void count_read(epact_table *table, const epact_cached *copy)
{
  int64_t stale = table->client->clock - copy->stamp;
  table->stats.reads++;
  table->stats.staleness[stale < EPACT_STALENESS_BINS ? (stale < 0 ? 0 : stale) : EPACT_STALENESS_BINS - 1]++;
}

const void *epact_table_get(epact_table *table, int64_t row)
{
  if (EPACT_UNLIKELY(!epact_schema_has_row(&table->schema, row))) return NULL;
  uint32_t index = epact_store_find(&table->cache, row);
  if (EPACT_UNLIKELY(index >= table->cached_capacity)) return NULL; /* EPACT_NO_INDEX too */
  const epact_cached *copy = &table->cached[index];
  int64_t clock = table->client->clock;
  if (clock >= copy->valid_before || copy->stamp < table->client->floor) return NULL;
  count_read(table, copy);
  return table->schema.sparse ? (const void *)&table->cache.cells[index] : epact_store_values(&table->cache, index);
}

const float *epact_table_get_f32(epact_table *table, int64_t row)
{
  return epact_table_get(table, row);
}

const double *epact_table_get_f64(epact_table *table, int64_t row)
{
  return epact_table_get(table, row);
}

const int32_t *epact_table_get_i32(epact_table *table, int64_t row)
{
  return epact_table_get(table, row);
}

const int64_t *epact_table_get_i64(epact_table *table, int64_t row)
{
  return epact_table_get(table, row);
}

const void *epact_table_all(epact_table *table)
{
  if (table->cache.identity) {
    for (uint32_t i = 0; i < table->cached_capacity; i++) count_read(table, &table->cached[i]);
    return table->cache.chunk[0];
  }
  epact_fail(EPACT_E_MISUSE, "table '%s' is not kept in one piece", table->name);
  return NULL;
}

int epact_table_cells(epact_table *table, int64_t row, epact_row_cells *cells)
{
  if (!table->schema.sparse) return epact_fail(EPACT_E_MISUSE, "table '%s' has dense rows", table->name);
  const epact_sparse_row *found = epact_table_get(table, row);
  if (!found) return EPACT_E_AGAIN;
  *cells = (epact_row_cells){ found->capacity, found->count, found->col, found->value };
  return EPACT_OK;
}

double epact_table_cell(epact_table *table, int64_t row, int64_t col)
{
  const void *values = epact_table_get(table, row);
  if (!values || (uint64_t)col >= (uint64_t)table->schema.cols) return NAN;
  if (!table->schema.sparse) return epact_value_at(table->schema.type, values, col);
  const epact_sparse_row *cells = values;
  uint32_t slot = epact_sparse_row_find(cells, (uint32_t)col);
  return slot == EPACT_NO_INDEX ? 0 : epact_value_at(table->schema.type, cells->value, slot);
}

int epact_table_statistics(const epact_table *table, epact_table_stats *stats)
{
  epact_worker *worker = table->worker;
  epact_process *process = worker ? worker->process : NULL;
  *stats = table->stats;
  if (!process || worker->local) return EPACT_OK;
  pthread_rwlock_rdlock(&process->mirror_lock);
  const epact_mirror_table *mirrored = epact_mirror_find_table(&process->mirror, table->schema.id);
  if (mirrored) {
    stats->bytes_pushed = mirrored->pushed;
    stats->evictions = mirrored->evicted;
  }
  pthread_rwlock_unlock(&process->mirror_lock);
  pthread_rwlock_rdlock(&process->shard_lock);
  const epact_shard_table *master = epact_shard_find_table(&process->shard, table->schema.id);
  for (int p = 0; master && master->subscribed && p < master->subscribed->processes; p++) {
    stats->subscribed += (double)master->subscribed->held[p];
  }
  pthread_rwlock_unlock(&process->shard_lock);
  return EPACT_OK;
}
