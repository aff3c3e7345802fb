/* Filters of a log of sparse updates. Entries that wait stay in the log; what rounding has left of those that were sent
 * is kept apart, by key, and goes out with the next increment of its cell. */
#include "client.h"

#include "../base/internal.h"

#include <math.h>
#include <string.h>

/* The log and what rounding has left, walked together in the order of keys. */
typedef struct {
  const epact_table *table;
  int64_t entry, rest;
  bool has_entry, has_rest; /* the cell it is at */
  epact_log_entry sum;      /* of both */
} walk;

static bool next_cell(walk *w)
{
  const epact_log *log = &w->table->log;
  const epact_filter *filter = &w->table->filter;
  w->entry += w->has_entry;
  w->rest += w->has_rest;
  w->has_entry = w->entry < log->entries;
  w->has_rest = w->rest < filter->rests;
  if (!w->has_entry && !w->has_rest) return false;
  if (w->has_entry && w->has_rest) {
    uint64_t entry_key = log->entry[w->entry].key, rest_key = filter->rest[w->rest].key;
    w->has_entry = entry_key <= rest_key;
    w->has_rest = rest_key <= entry_key;
  }
  w->sum = w->has_entry ? log->entry[w->entry] : filter->rest[w->rest];
  if (w->has_entry && w->has_rest) epact_log_sum(log->schema.type, &w->sum, &filter->rest[w->rest]);
  return true;
}

/* What its cells have in common. */
typedef struct {
  int64_t row;
  bool turn, copied;
  uint32_t index;
} place;

static void look_at_row(const epact_table *table, int64_t row, place *at)
{
  if (at->row == row) return;
  at->row = row;
  at->turn = epact_filter_has_turn(table, row);
  at->index = epact_store_find(&table->cache, row);
  at->copied = at->index < table->cached_capacity && table->cached[at->index].valid_before; /* NO_INDEX: not */
}

static bool is_significant(const epact_table *table, const epact_log_entry *entry, place *at)
{
  const epact_log *log = &table->log;
  int type = table->schema.type;
  uint32_t col = (uint32_t)(entry->key & ((UINT64_C(1) << log->col_bits) - 1));
  look_at_row(table, (int64_t)(entry->key >> log->col_bits), at);
  if (at->turn || !at->copied) return true;
  double value = 0;
  if (table->schema.sparse) {
    const epact_sparse_row *cells = &table->cache.cells[at->index];
    uint32_t slot = epact_sparse_row_find(cells, col);
    if (slot != EPACT_NO_INDEX) value = epact_value_at(type, cells->value, slot);
  } else {
    value = epact_value_at(type, epact_store_values(&table->cache, at->index), col);
  }
  return !(fabs(epact_value_at(type, &entry->delta, 0)) <= table->filter.significance * fabs(value));
}

static bool is_zero(int type, const epact_log_entry *entry)
{
  return !epact_values_nonzero(type, &entry->delta, 1);
}

static int reserve(epact_table *table)
{
  epact_filter *filter = &table->filter;
  int64_t cells = table->log.entries + filter->rests;
  if (filter->encoding != EPACT_AS_TYPE && filter->spare_capacity < cells) { /* for what is left after this clock */
    int code = epact_grow(&filter->spare, (size_t)cells * 2, sizeof *filter->spare);
    if (!code) code = epact_grow(&filter->rest, (size_t)cells * 2, sizeof *filter->rest);
    if (code) return code;
    filter->spare_capacity = cells * 2;
  }
  int64_t rows = table->schema.rows && table->schema.rows < cells ? table->schema.rows : cells;
  int code = epact_filter_reserve_rows(filter, rows);
  return code ? code : epact_filter_reserve_cells(filter, table->schema.type, cells, cells, cells);
}

int epact_filter_seal_cells(epact_table *table, bool flush, epact_section *section)
{
  epact_filter *filter = &table->filter;
  epact_log *log = &table->log;
  const epact_schema *schema = &table->schema;
  size_t bytes = epact_type_bytes(schema->type);
  int code = epact_log_compact(log);
  if (code || (code = reserve(table))) return code;
  int64_t rows = 0, cells = 0;
  place at = { .row = -1 };
  for (walk w = { .table = table }; next_cell(&w);) {
    if (!flush && (!w.has_entry || is_zero(schema->type, &w.sum))) continue;
    if (!flush && filter->significance > 0 && !is_significant(table, &log->entry[w.entry], &at)) continue;
    if (is_zero(schema->type, &w.sum)) continue;
    int64_t row = (int64_t)(w.sum.key >> log->col_bits);
    if (rows == 0 || filter->row[rows - 1] != row) {
      filter->start[rows] = (uint32_t)cells;
      filter->row[rows++] = row;
    }
    filter->col[cells] = (uint32_t)(w.sum.key & ((UINT64_C(1) << log->col_bits) - 1));
    memcpy(filter->value + (size_t)cells++ * bytes, &w.sum.delta, bytes);
  }
  filter->start[rows] = (uint32_t)cells;
  *section = (epact_section){ schema->id,    schema->type, schema->cols,  rows,         filter->row,
                              filter->start, filter->col,  filter->value, EPACT_AS_TYPE };
  if (!flush) epact_filter_encode(filter, section, filter->value, cells);
  return EPACT_OK;
}

void epact_filter_settle_cells(epact_table *table)
{
  epact_filter *filter = &table->filter;
  epact_log *log = &table->log;
  const epact_section *sent = &filter->sealed;
  int64_t kept = 0, left = 0, row = 0, cell = 0, cells = epact_section_cells(sent);
  for (walk w = { .table = table }; next_cell(&w);) {
    while (cell < cells && (int64_t)sent->start[row + 1] <= cell) row++;
    if (cell < cells && epact_log_key(log, sent->row[row], sent->col[cell]) == w.sum.key) {
      epact_log_entry rest = w.sum;
      bool some = sent->encoding != EPACT_AS_TYPE &&
                  epact_decode_subtract(sent->type, sent->encoding, &rest.delta, sent->value, cell, 1);
      if (some) filter->spare[left++] = rest;
      cell++;
    } else if (!is_zero(log->schema.type, &w.sum)) { /* else they cancel out */
      if (w.has_rest) filter->spare[left++] = filter->rest[w.rest];
      if (w.has_entry) log->entry[kept++] = log->entry[w.entry];
    }
  }
  epact_log_entry *rest = filter->rest;
  filter->rest = filter->spare;
  filter->spare = rest;
  filter->rests = left;
  log->entries = log->sorted = kept;
}
