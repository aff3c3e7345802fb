/* The tables of a shard: checking and applying increments, gathering rows, the feed of changes. */
#include "shard_table.h"

#include "../base/internal.h"
#include "shard_cut.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

epact_shard_table *epact_shard_table_new(const char *name, const epact_schema *schema, int slots, int homes, bool whole)
{
  epact_shard_table *table = epact_calloc(1, sizeof *table);
  if (!table) return NULL;
  snprintf(table->name, sizeof table->name, "%s", name);
  table->schema = *schema;
  table->cursor = epact_calloc((size_t)slots, sizeof *table->cursor);
  if (!table->cursor || epact_store_init(&table->store, schema, whole)) {
    epact_shard_table_free(table);
    return NULL;
  }
  if (!schema->push) return table;
  table->subscribed = epact_calloc(1, sizeof *table->subscribed);
  if (!table->subscribed || epact_subscriptions_init(table->subscribed, homes)) {
    epact_shard_table_free(table);
    return NULL;
  }
  return table;
}

int epact_shard_table_admit(epact_shard_table *table, int first, int slots, int homes)
{
  int code = epact_grow(&table->cursor, (size_t)slots, sizeof *table->cursor);
  for (int s = first; s < slots && !code; s++) table->cursor[s] = EPACT_FOREVER;
  if (!code && table->subscribed) code = epact_subscriptions_admit(table->subscribed, homes);
  return code;
}

void epact_shard_table_free(epact_shard_table *table)
{
  if (!table) return;
  for (int64_t i = 0; i < table->feed_count; i++) epact_release(table->feed[i].batch);
  epact_store_free(&table->store);
  if (table->subscribed) epact_subscriptions_free(table->subscribed);
  free(table->subscribed);
  free(table->feed);
  free(table->version);
  free(table->cursor);
  free(table);
}

static int check_sparse(const epact_shard_table *table, const epact_section *s)
{
  if (s->start[0] != 0) return epact_fail(EPACT_E_PROTO, "table '%s': cells must start at 0", table->name);
  for (int64_t i = 0; i < s->rows; i++) {
    if (table->schema.sparse_updates && i && s->row[i] <= s->row[i - 1]) {
      return epact_fail(EPACT_E_PROTO, "table '%s': rows must increase, %" PRId64 " follows %" PRId64, table->name,
                        s->row[i], s->row[i - 1]);
    }
    if (s->start[i + 1] < s->start[i]) return epact_fail(EPACT_E_PROTO, "table '%s': cells overlap", table->name);
    for (uint32_t k = s->start[i]; k < s->start[i + 1]; k++) {
      if ((int64_t)s->col[k] >= table->schema.cols) {
        return epact_fail(EPACT_E_RANGE, "table '%s': column %" PRIu32 " is outside [0, %" PRId64 ")", table->name,
                          s->col[k], table->schema.cols);
      }
      if (k > s->start[i] && s->col[k] <= s->col[k - 1]) {
        return epact_fail(EPACT_E_PROTO, "table '%s': columns of row %" PRId64 " must increase", table->name,
                          s->row[i]);
      }
    }
  }
  return EPACT_OK;
}

static int fail_nonfinite(const epact_shard_table *table, const epact_section *s, int64_t cell)
{
  int64_t row = s->row[s->start ? 0 : cell / s->cols], col = s->start ? s->col[cell] : cell % s->cols;
  for (int64_t i = 0; s->start && i < s->rows; i++) {
    if ((int64_t)s->start[i] <= cell) row = s->row[i];
  }
  double value;
  if (s->encoding == EPACT_AS_TYPE)
    value = epact_value_at(s->type, s->value, cell);
  else
    epact_decode(EPACT_F64, s->encoding, s->value, cell, &value, 1);
  return epact_fail(EPACT_E_NONFINITE, "table '%s': the increment of row %" PRId64 ", column %" PRId64 " is %g",
                    table->name, row, col, value);
}

int epact_shard_table_check(const epact_shard_table *table, const epact_section *s, bool finite)
{
  if (s->type != table->schema.type || s->cols != table->schema.cols ||
      (!s->start && (table->schema.sparse_updates || (!s->value && s->rows)))) {
    char text[96];
    return epact_fail(EPACT_E_SCHEMA, "table '%s' is %s, the increments are %" PRId64 " columns of %s, %s", table->name,
                      epact_schema_text(&table->schema, text, sizeof text), s->cols, epact_type_name(s->type),
                      s->start ? "sparse" : "dense");
  }
  if (!epact_encoding_fits(s->type, s->encoding)) {
    return epact_fail(EPACT_E_PROTO, "table '%s': increments of %s in the unknown encoding %" PRId32, table->name,
                      epact_type_name(s->type), s->encoding);
  }
  for (int64_t i = 0; i < s->rows; i++) {
    if (!epact_schema_has_row(&table->schema, s->row[i])) {
      return epact_fail(EPACT_E_RANGE, "table '%s': row %" PRId64 " is outside [0, %" PRId64 ")", table->name,
                        s->row[i], table->schema.rows);
    }
  }
  int code = s->start ? check_sparse(table, s) : EPACT_OK;
  if (code || finite) return code;
  int64_t bad = epact_encoded_first_nonfinite(s->type, s->encoding, s->value, epact_section_cells(s));
  return bad < 0 ? EPACT_OK : fail_nonfinite(table, s, bad);
}

static int reserve_versions(epact_shard_table *table)
{
  if (table->version_capacity < table->store.capacity) {
    uint32_t capacity = table->store.capacity;
    if (!table->version) { /* calloc: pages of rows never touched cost nothing */
      table->version = epact_calloc(capacity, sizeof *table->version);
      if (!table->version) return EPACT_E_NOMEM;
      table->version_capacity = capacity;
    }
    int code = epact_grow(&table->version, capacity, sizeof *table->version);
    if (code) return code;
    memset(table->version + table->version_capacity, 0, (capacity - table->version_capacity) * sizeof *table->version);
    table->version_capacity = capacity;
  }
  return EPACT_OK;
}

int epact_shard_table_prepare(epact_shard_table *table, const epact_section *s)
{
  for (int64_t i = 0; i < s->rows; i++) {
    uint32_t index = epact_store_make(&table->store, s->row[i]);
    if (index == EPACT_NO_INDEX) return EPACT_E_NOMEM;
    if (table->schema.sparse) {
      uint32_t cells = s->start[i + 1] - s->start[i];
      int reserved = epact_sparse_row_reserve(&table->store.cells[index], s->type, cells);
      if (reserved) return reserved;
    }
  }
  int code = reserve_versions(table);
  if (code) return code;
  if (table->schema.changes && table->feed_count == table->feed_capacity) {
    int64_t capacity = table->feed_capacity ? table->feed_capacity * 2 : 16;
    code = epact_grow(&table->feed, (size_t)capacity, sizeof *table->feed);
    if (code) return code;
    table->feed_capacity = capacity;
  }
  if (table->schema.changes && s->rows) {
    table->pending = epact_batch_copy_decoded(s);
    if (!table->pending) return EPACT_E_NOMEM;
  }
  return EPACT_OK;
}

void epact_shard_table_forget(epact_shard_table *table)
{
  epact_release(table->pending);
  table->pending = NULL;
}

/* n cells of a row. */
static void add_cells(epact_shard_table *table, uint32_t index, int64_t n, const uint32_t *col, const void *value)
{
  int type = table->schema.type;
  if (table->schema.sparse) {
    epact_sparse_row *row = &table->store.cells[index];
    size_t bytes = epact_type_bytes(type);
    for (int64_t k = 0; k < n; k++) epact_sparse_row_add(row, type, col[k], (const char *)value + (size_t)k * bytes);
    return;
  }
  char *target = epact_store_values(&table->store, index);
  switch (type) {
  case EPACT_F32:
    for (int64_t k = 0; k < n; k++) ((float *)target)[col[k]] += ((const float *)value)[k];
    break;
  case EPACT_F64:
    for (int64_t k = 0; k < n; k++) ((double *)target)[col[k]] += ((const double *)value)[k];
    break;
  case EPACT_I32:
    for (int64_t k = 0; k < n; k++) ((uint32_t *)target)[col[k]] += ((const uint32_t *)value)[k];
    break;
  default:
    for (int64_t k = 0; k < n; k++) ((uint64_t *)target)[col[k]] += ((const uint64_t *)value)[k];
  }
}

static void apply_cells(epact_shard_table *table, uint32_t index, const epact_section *s, int64_t i)
{
  int64_t first = s->start[i], end = s->start[i + 1];
  if (first == end) return; /* without cells there may be no arrays of them */
  if (s->encoding == EPACT_AS_TYPE) {
    const char *value = (const char *)s->value + (size_t)first * epact_type_bytes(s->type);
    add_cells(table, index, end - first, s->col + first, value);
    return;
  }
  union {
    float f32[EPACT_DECODED_CELLS];
    double f64[EPACT_DECODED_CELLS];
  } part;
  for (; first < end; first += EPACT_DECODED_CELLS) {
    int64_t n = end - first < EPACT_DECODED_CELLS ? end - first : EPACT_DECODED_CELLS;
    epact_decode(s->type, s->encoding, s->value, first, &part, n);
    add_cells(table, index, n, s->col + first, &part);
  }
}

void epact_shard_table_apply(epact_shard_table *table, const epact_section *s, int slot, int64_t clock,
                             uint64_t version)
{
  if (table->pending) {
    table->feed[table->feed_count++] = (epact_feed_entry){ slot, clock, table->pending };
    table->pending = NULL;
  }
  for (int64_t i = 0; i < s->rows; i++) {
    uint32_t index = epact_store_find(&table->store, s->row[i]);
    epact_shard_cut_before_change(table->cut, index);
    if (s->start)
      apply_cells(table, index, s, i);
    else {
      epact_decode_add(s->type, s->encoding, epact_store_values(&table->store, index), s->value, i * s->cols, s->cols);
    }
    table->version[index] = version;
    if (table->subscribed) {
      int64_t cells = table->schema.sparse ? table->store.cells[index].count : s->cols;
      epact_subscriptions_note(table->subscribed, s, i, cells);
    }
  }
}

const epact_feed_entry *epact_shard_feed_next(const epact_shard_table *table, int slot, int64_t *cursor)
{
  int64_t end = table->feed_first + table->feed_count;
  if (*cursor < table->feed_first) *cursor = table->feed_first;
  while (*cursor < end) {
    const epact_feed_entry *entry = &table->feed[(*cursor)++ - table->feed_first];
    if (entry->slot != slot) return entry;
  }
  return NULL;
}

void epact_shard_feed_consumed(epact_shard_table *table, int slots, int slot, int64_t cursor)
{
  if (cursor <= table->cursor[slot]) return;
  table->cursor[slot] = cursor;
  int64_t least = EPACT_FOREVER, drop;
  for (int i = 0; i < slots; i++) {
    if (table->cursor[i] < least) least = table->cursor[i];
  }
  drop = least - table->feed_first;
  if (drop > table->feed_count) drop = table->feed_count;
  if (drop <= 0) return;
  for (int64_t i = 0; i < drop; i++) epact_release(table->feed[i].batch);
  memmove(table->feed, table->feed + drop, (size_t)(table->feed_count - drop) * sizeof *table->feed);
  table->feed_first += drop;
  table->feed_count -= drop;
}

static int check_rows(const epact_shard_table *table, const epact_section *s)
{
  bool good = s->table == table->schema.id && s->type == table->schema.type && s->cols == table->schema.cols &&
              s->encoding == EPACT_AS_TYPE && (s->start != NULL) == table->schema.sparse &&
              (s->start || s->value || !s->rows);
  for (int64_t i = 0; good && i < s->rows; i++) good = epact_schema_has_row(&table->schema, s->row[i]);
  for (int64_t k = 0; good && s->start && k < epact_section_cells(s); k++) good = (int64_t)s->col[k] < s->cols;
  return good ? EPACT_OK : epact_fail(EPACT_E_PROTO, "rows that do not fit table '%s'", table->name);
}

int epact_shard_table_put(epact_shard_table *table, const epact_section *s)
{
  size_t bytes = epact_type_bytes(s->type);
  int code = check_rows(table, s);
  for (int64_t i = 0; i < s->rows && !code; i++) {
    uint32_t index = epact_store_make(&table->store, s->row[i]);
    if (index == EPACT_NO_INDEX || (code = reserve_versions(table))) return EPACT_E_NOMEM;
    table->version[index] = 1;
    const char *value = s->value;
    if (!table->schema.sparse) {
      memcpy(epact_store_values(&table->store, index), value + (size_t)i * table->store.row_bytes,
             table->store.row_bytes);
      continue;
    }
    epact_sparse_row *cells = &table->store.cells[index];
    epact_sparse_row_clear(cells);
    if ((code = epact_sparse_row_reserve(cells, s->type, s->start[i + 1] - s->start[i]))) return code;
    for (uint32_t k = s->start[i]; k < s->start[i + 1]; k++) { /* a sum with 0 would turn -0.0 into 0.0 */
      epact_sparse_row_add(cells, s->type, s->col[k], value + k * bytes);
      memcpy((char *)cells->value + epact_sparse_row_find(cells, s->col[k]) * bytes, value + k * bytes, bytes);
    }
  }
  return code;
}

static size_t row_cells(const epact_shard_table *table, int64_t row)
{
  uint32_t index = epact_store_find(&table->store, row);
  return index == EPACT_NO_INDEX ? 0 : table->store.cells[index].count;
}

static int gather_sparse(const epact_shard_table *table, int64_t n, const int64_t *row, char **buffer, size_t *capacity,
                         epact_section *out)
{
  size_t cells = 0, bytes = epact_type_bytes(table->schema.type);
  for (int64_t i = 0; i < n; i++) cells += row_cells(table, row[i]);
  if (cells >= UINT32_MAX) return epact_fail(EPACT_E_LIMIT, "more than 2^32 cells in one read");
  size_t start_bytes = epact_padded((size_t)(n + 1) * sizeof(uint32_t)),
         col_bytes = epact_padded(cells * sizeof(uint32_t));
  size_t total = start_bytes + col_bytes + cells * bytes;
  if (*capacity < total) {
    int code = epact_grow(buffer, total, 1);
    if (code) return code;
    *capacity = total;
  }
  uint32_t *start = (uint32_t *)*buffer, *col = (uint32_t *)(*buffer + start_bytes), next = 0;
  char *value = *buffer + start_bytes + col_bytes;
  for (int64_t i = 0; i < n; i++) {
    start[i] = next;
    uint32_t index = epact_store_find(&table->store, row[i]);
    if (index == EPACT_NO_INDEX) continue;
    const epact_sparse_row *cell = &table->store.cells[index];
    for (uint32_t k = 0; k < cell->capacity; k++) {
      if (cell->col[k] < 0) continue;
      col[next] = (uint32_t)cell->col[k];
      memcpy(value + next++ * bytes, (const char *)cell->value + k * bytes, bytes);
    }
  }
  start[n] = next;
  *out = (epact_section){ table->schema.id, table->schema.type, table->schema.cols, n, row, start, col, value,
                          EPACT_AS_TYPE };
  return EPACT_OK;
}

/* Rows that are one after another in the store are read from there; NULL: they are not. */
static const void *rows_together(const epact_shard_table *table, int64_t n, const int64_t *row)
{
  uint32_t first = n ? epact_store_find(&table->store, row[0]) : EPACT_NO_INDEX;
  if (first == EPACT_NO_INDEX || (n > 1 && !table->store.identity)) return NULL;
  for (int64_t i = 1; i < n; i++) {
    if (row[i] != row[0] + i) return NULL;
  }
  return epact_store_values(&table->store, first);
}

int epact_shard_table_gather(const epact_shard_table *table, int64_t n, const int64_t *row, char **buffer,
                             size_t *capacity, epact_section *out)
{
  if (table->schema.sparse) return gather_sparse(table, n, row, buffer, capacity, out);
  size_t row_bytes = table->store.row_bytes, total = (size_t)n * row_bytes;
  const void *together = rows_together(table, n, row);
  if (!together && *capacity < total) {
    int code = epact_grow(buffer, total, 1);
    if (code) return code;
    *capacity = total;
  }
  for (int64_t i = 0; i < n && !together; i++) {
    uint32_t index = epact_store_find(&table->store, row[i]);
    char *target = *buffer + (size_t)i * row_bytes;
    if (index == EPACT_NO_INDEX)
      memset(target, 0, row_bytes);
    else
      memcpy(target, epact_store_values(&table->store, index), row_bytes);
  }
  *out = (epact_section){ .table = table->schema.id,
                          .type = table->schema.type,
                          .cols = table->schema.cols,
                          .rows = n,
                          .row = row,
                          .value = together ? together : *buffer };
  return EPACT_OK;
}
