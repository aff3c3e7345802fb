/* Filters of a log of dense updates. What stays does so in its accumulator: an accumulator that is sent becomes what
 * rounding has left of it (marked EPACT_LOGGED_REST), and is let go when that is nothing. */
#include "client.h"

#include "../base/internal.h"

#include <string.h>

static char *accumulator(const epact_log *log, int64_t number)
{
  return log->slab + (size_t)number * log->row_bytes;
}

static epact_cached *cached_row(const epact_table *table, int64_t number)
{
  return &table->cached[epact_store_find(&table->cache, table->log.row[number])];
}

static bool is_significant(const epact_table *table, int64_t number, const epact_cached *cached)
{
  const epact_log *log = &table->log;
  int type = table->schema.type;
  double change = epact_values_largest(type, accumulator(log, number), table->schema.cols);
  if (change == 0) return false;
  if (!cached->valid_before || epact_filter_has_turn(table, log->row[number])) return true;
  const void *copy = epact_store_values(&table->cache, (uint32_t)(cached - table->cached));
  return !(change <= table->filter.significance * epact_values_largest(type, copy, table->schema.cols));
}

/* Notes which accumulators go out; returns how many, and in *cells how many cells of them are not zero. */
static int64_t choose(epact_table *table, bool flush, int64_t *cells)
{
  epact_filter *filter = &table->filter;
  const epact_log *log = &table->log;
  int64_t rows = 0, nonzero = 0;
  *cells = 0;
  for (int64_t r = 0; r < log->rows; r++) {
    if (!flush && (filter->encoding != EPACT_AS_TYPE || filter->significance > 0)) {
      const epact_cached *cached = cached_row(table, r);
      if (cached->logged & EPACT_LOGGED_REST) continue;
      if (filter->significance > 0 && !is_significant(table, r, cached)) continue;
    }
    if (filter->zero) {
      nonzero = epact_values_nonzero(log->schema.type, accumulator(log, r), log->schema.cols);
      if (!nonzero) continue;
    }
    filter->number[rows++] = r;
    *cells += nonzero;
  }
  return rows;
}

/* The cells that are not zero of the chosen accumulators. */
static void gather_cells(epact_table *table, int64_t rows)
{
  epact_filter *filter = &table->filter;
  const epact_log *log = &table->log;
  size_t bytes = epact_type_bytes(log->schema.type);
  uint32_t cell = 0;
  for (int64_t k = 0; k < rows; k++) {
    const char *value = accumulator(log, filter->number[k]);
    filter->start[k] = cell;
    for (int64_t col = 0; col < log->schema.cols; col++, value += bytes) {
      if (!epact_values_nonzero(log->schema.type, value, 1)) continue;
      filter->col[cell] = (uint32_t)col;
      memcpy(filter->value + cell++ * bytes, value, bytes);
    }
  }
  filter->start[rows] = cell;
}

/* The chosen accumulators one after the other, rounded. False when a value is too large for that. */
static bool encode_rows(epact_table *table, int64_t rows, int encoding)
{
  epact_filter *filter = &table->filter;
  const epact_schema *schema = &table->schema;
  size_t row_bytes = (size_t)schema->cols * epact_encoded_bytes(schema->type, encoding);
  char *target = encoding == EPACT_AS_TYPE ? filter->value : filter->encoded;
  bool fits = true;
  if (rows == table->log.rows)
    return epact_encode(schema->type, encoding, table->log.slab, target, rows * schema->cols);
  for (int64_t k = 0; k < rows && fits; k++, target += row_bytes) {
    fits = epact_encode(schema->type, encoding, accumulator(&table->log, filter->number[k]), target, schema->cols);
  }
  return fits;
}

static bool fewer_as_cells(const epact_schema *schema, int encoding, int64_t rows, int64_t cells)
{
  int64_t bytes = (int64_t)epact_encoded_bytes(schema->type, encoding);
  return cells < (int64_t)UINT32_MAX &&
         (rows + 1) * (int64_t)sizeof(uint32_t) + cells * ((int64_t)sizeof(uint32_t) + bytes) <
             rows * schema->cols * bytes;
}

static int seal_as_cells(epact_table *table, int encoding, int64_t cells, epact_section *section)
{
  epact_filter *filter = &table->filter;
  int code = epact_filter_reserve_cells(filter, section->type, cells, cells, cells);
  if (code) return code;
  gather_cells(table, section->rows);
  section->start = filter->start;
  section->col = filter->col;
  section->value = filter->value;
  if (encoding != EPACT_AS_TYPE) epact_filter_encode(filter, section, filter->value, cells);
  return EPACT_OK;
}

static int seal_as_rows(epact_table *table, int encoding, epact_section *section)
{
  epact_filter *filter = &table->filter;
  int64_t rows = section->rows, cells = rows * section->cols;
  int code;
  if (encoding != EPACT_AS_TYPE) {
    if ((code = epact_filter_reserve_cells(filter, section->type, 0, 0, cells))) return code;
    section->encoding = encoding;
    section->value = filter->encoded;
    if (encode_rows(table, rows, encoding)) return EPACT_OK;
  }
  section->encoding = EPACT_AS_TYPE;
  section->value = table->log.slab;
  if (rows == table->log.rows) return EPACT_OK; /* all of the log, where it is */
  if ((code = epact_filter_reserve_cells(filter, section->type, 0, cells, 0))) return code;
  section->value = filter->value;
  encode_rows(table, rows, EPACT_AS_TYPE);
  return EPACT_OK;
}

int epact_filter_seal_rows(epact_table *table, bool flush, epact_section *section)
{
  epact_filter *filter = &table->filter;
  const epact_log *log = &table->log;
  const epact_schema *schema = &table->schema;
  int encoding = flush ? EPACT_AS_TYPE : filter->encoding, code;
  int64_t cells;
  *section = (epact_section){ .table = schema->id, .type = schema->type, .cols = schema->cols };
  if (filter->row_capacity < log->rows || !filter->number) {
    if ((code = epact_grow(&filter->number, (size_t)log->rows + 1, sizeof *filter->number))) return code;
  }
  if ((code = epact_filter_reserve_rows(filter, log->rows))) return code;
  section->rows = choose(table, flush, &cells);
  for (int64_t k = 0; k < section->rows; k++) filter->row[k] = log->row[filter->number[k]];
  section->row = filter->row;
  if (filter->zero && fewer_as_cells(schema, encoding, section->rows, cells))
    return seal_as_cells(table, encoding, cells, section);
  return seal_as_rows(table, encoding, section);
}

/* Takes row k of what was sent off its accumulator. Whether anything is left. */
static bool take_off(const epact_table *table, int64_t k, char *sum)
{
  const epact_section *sent = &table->filter.sealed;
  if (sent->encoding == EPACT_AS_TYPE) {
    memset(sum, 0, table->log.row_bytes);
    return false;
  }
  if (!sent->start)
    return epact_decode_subtract(sent->type, sent->encoding, sum, sent->value, k * sent->cols, sent->cols);
  size_t bytes = epact_type_bytes(sent->type);
  bool left = false;
  for (uint32_t cell = sent->start[k]; cell < sent->start[k + 1]; cell++) {
    char *place = sum + sent->col[cell] * bytes;
    left = epact_decode_subtract(sent->type, sent->encoding, place, sent->value, cell, 1) || left;
  }
  return left;
}

void epact_filter_settle_rows(epact_table *table)
{
  epact_log *log = &table->log;
  const epact_filter *filter = &table->filter;
  int64_t kept = 0, k = 0;
  for (int64_t r = 0; r < log->rows; r++) {
    epact_cached *cached = cached_row(table, r);
    char *sum = accumulator(log, r);
    uint32_t mark = cached->logged & EPACT_LOGGED_REST;
    bool left;
    if (k < filter->sealed.rows && filter->number[k] == r) {
      left = take_off(table, k++, sum);
      mark = EPACT_LOGGED_REST;
    } else {
      left = mark || epact_values_nonzero(log->schema.type, sum, log->schema.cols) > 0;
    }
    cached->logged = 0;
    if (!left) continue;
    if (kept != r) memcpy(accumulator(log, kept), sum, log->row_bytes);
    log->row[kept++] = log->row[r];
    cached->logged = (uint32_t)kept | mark;
  }
  log->rows = kept;
}
