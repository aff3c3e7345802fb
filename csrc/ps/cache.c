/* A worker's copies of rows: fetching them anew with its own increments on top; changes handed out. */
#include "client.h"

#include "../base/internal.h"

#include <string.h>

uint32_t epact_table_index(epact_table *table, int64_t row)
{
  uint32_t index = epact_store_make(&table->cache, row);
  if (index != EPACT_NO_INDEX && table->cached_capacity < table->cache.capacity) {
    uint32_t capacity = table->cache.capacity;
    if (!table->cached) { /* calloc: pages of rows never used are never touched */
      table->cached = epact_calloc(capacity, sizeof *table->cached);
      if (!table->cached) return EPACT_NO_INDEX;
      table->cached_capacity = capacity;
      return index;
    }
    if (epact_grow(&table->cached, capacity, sizeof *table->cached)) return EPACT_NO_INDEX;
    memset(table->cached + table->cached_capacity, 0, (capacity - table->cached_capacity) * sizeof *table->cached);
    table->cached_capacity = capacity;
  }
  return index;
}

void epact_table_renew(epact_table *table, uint32_t index, int64_t stamp)
{
  epact_cached *copy = &table->cached[index];
  const epact_client *client = table->client;
  /* A row of this process costs a comparison to look at again, so it is looked at once a clock. A
   * remote copy serves as long as the SSP rule lets it: at clocks <= stamp + slack. A pushed one may be newer in
   * the mirror at the next clock. */
  bool once_a_clock = (client->local >= 0 && client->shards == 1) || (table->schema.push && client->mirror);
  copy->stamp = stamp;
  if (once_a_clock || table->slack == EPACT_ASYNC)
    copy->valid_before = client->clock + 1;
  else
    copy->valid_before = stamp > INT64_MAX - table->slack - 1 ? INT64_MAX : stamp + table->slack + 1;
}

bool epact_table_is_fresh(const epact_table *table, int64_t row)
{
  uint32_t index = epact_store_find(&table->cache, row);
  return index != EPACT_NO_INDEX && index < table->cached_capacity &&
         table->client->clock < table->cached[index].valid_before && table->cached[index].stamp >= table->client->floor;
}

/* Entries of a row in a sorted array on top of its copy. */
static int overlay_entries(epact_table *table, uint32_t index, int64_t row, const epact_log_entry *entry, int64_t n)
{
  const epact_log *log = &table->log;
  int type = table->schema.type, code;
  uint64_t end = epact_log_key(log, row + 1, 0), col_mask = (UINT64_C(1) << log->col_bits) - 1;
  for (int64_t i = epact_log_lower_bound(entry, n, epact_log_key(log, row, 0)); i < n && entry[i].key < end; i++) {
    uint32_t col = (uint32_t)(entry[i].key & col_mask);
    if (table->schema.sparse) {
      epact_sparse_row *cells = &table->cache.cells[index];
      if ((code = epact_sparse_row_reserve(cells, type, 1))) return code;
      epact_sparse_row_add(cells, type, col, &entry[i].delta);
    } else {
      char *values = epact_store_values(&table->cache, index);
      epact_values_add(type, values + col * epact_type_bytes(type), &entry[i].delta, 1);
    }
  }
  return EPACT_OK;
}

/* The increments not yet published: of this clock, and what a filter keeps. */
static int overlay_log(epact_table *table, uint32_t index, int64_t row)
{
  epact_log *log = &table->log;
  int type = table->schema.type;
  if (!table->schema.sparse_updates) {
    uint32_t logged = table->cached[index].logged & ~EPACT_LOGGED_REST;
    if (logged) {
      epact_values_add(type, epact_store_values(&table->cache, index),
                       log->slab + (size_t)(logged - 1) * log->row_bytes, table->schema.cols);
    }
    return EPACT_OK;
  }
  int code = epact_log_compact(log);
  if (!code && log->entries) code = overlay_entries(table, index, row, log->entry, log->entries);
  if (!code && table->filter.rests) code = overlay_entries(table, index, row, table->filter.rest, table->filter.rests);
  return code;
}

int epact_table_install(epact_table *table, uint32_t index, int64_t row, const void *values,
                        const epact_sparse_row *cells, int64_t stamp, uint64_t version)
{
  table->cached[index].valid_before = 0; /* until it is whole */
  if (values) memcpy(epact_store_values(&table->cache, index), values, table->cache.row_bytes);
  int code = cells ? epact_sparse_row_copy(&table->cache.cells[index], cells, table->schema.type) : EPACT_OK;
  if (!code) code = overlay_log(table, index, row);
  if (code) return code;
  table->cached[index].version = version;
  epact_table_renew(table, index, stamp);
  return EPACT_OK;
}

void epact_table_drop_changes(epact_table *table)
{
  for (int64_t i = 0; i < table->held_count; i++) epact_release(table->held[i]);
  table->held_count = 0;
  table->changed_count = 0;
}

int epact_table_hold_changes(epact_table *table, epact_batch *batch)
{
  int code = EPACT_OK;
  if (table->held_count == table->held_capacity) {
    int64_t capacity = table->held_capacity ? table->held_capacity * 2 : 16;
    if (!(code = epact_grow(&table->held, (size_t)capacity, sizeof *table->held))) table->held_capacity = capacity;
  }
  if (!code && table->changed_count + batch->sections > table->changed_capacity) {
    int64_t capacity = (table->changed_count + batch->sections) * 2;
    if (!(code = epact_grow(&table->changed, (size_t)capacity, sizeof *table->changed)))
      table->changed_capacity = capacity;
  }
  if (code) {
    epact_release(batch);
    return code;
  }
  table->held[table->held_count++] = batch;
  for (int i = 0; i < batch->sections; i++) table->changed[table->changed_count++] = batch->section[i];
  return EPACT_OK;
}
