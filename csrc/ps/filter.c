/* The filter of a table's increments: its options, and what rows and cells have in common. */
#include "filter.h"

#include "../base/internal.h"
#include "client.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#define ASYNC_HOLD 8

static int64_t check_significance(const epact_table_options *o)
{
  if (o->significance == 0) {
    if (!o->hold) return 0;
    return epact_fail(EPACT_E_MISUSE, "table '%s': hold is of increments that are not significant: give significance",
                      o->name);
  }
  if (o->staleness == 0) {
    return epact_fail(EPACT_E_MISUSE,
                      "table '%s': with staleness 0 no increment may wait: significance needs staleness >= 1", o->name);
  }
  if (o->staleness == EPACT_ASYNC) return o->hold ? o->hold : ASYNC_HOLD;
  int64_t hold = o->hold ? o->hold : o->staleness - o->staleness / 2;
  if (hold <= o->staleness) return hold;
  return epact_fail(EPACT_E_MISUSE,
                    "table '%s': increments held for %" PRId64 " clocks would be older than the staleness %" PRId64,
                    o->name, hold, o->staleness);
}

int64_t epact_filter_check(const epact_table_options *o)
{
  bool real = o->type == EPACT_F32 || o->type == EPACT_F64;
  if (!(o->significance >= 0 && o->significance < INFINITY)) {
    return epact_fail(EPACT_E_MISUSE, "table '%s': significance must be a number >= 0, got %g", o->name,
                      o->significance);
  }
  if (o->hold < 0 || o->hold > INT32_MAX) {
    return epact_fail(EPACT_E_MISUSE, "table '%s': hold must be 0 .. 2^31-1 clocks, got %" PRId64, o->name, o->hold);
  }
  if (!real && (o->significance > 0 || o->precision != EPACT_AS_TYPE)) {
    return epact_fail(EPACT_E_MISUSE, "table '%s' is %s: its increments can be filtered by 'zero' only", o->name,
                      epact_type_name(o->type));
  }
  if (!epact_encoding_fits(o->type, o->precision)) {
    const char *name = epact_encoding_name(o->precision);
    return epact_fail(EPACT_E_MISUSE, "table '%s' is %s: its increments cannot travel as %s", o->name,
                      epact_type_name(o->type), name ? name : "that");
  }
  return check_significance(o);
}

void epact_filter_init(epact_filter *filter, const epact_table_options *options)
{
  bool cells = options->sparse || options->sparse_updates; /* of which zeros are never sent */
  filter->zero = options->zero != 0 && !cells;
  filter->encoding = options->precision;
  filter->significance = options->significance;
  filter->active = filter->zero || filter->encoding != EPACT_AS_TYPE || filter->significance > 0;
}

bool epact_filter_equal(const epact_filter *filter, const epact_table_options *options)
{
  epact_filter other = { .active = false };
  epact_filter_init(&other, options);
  return filter->zero == other.zero && filter->encoding == other.encoding && filter->significance == other.significance;
}

void epact_filter_free(epact_filter *filter)
{
  free(filter->row);
  free(filter->start);
  free(filter->col);
  free(filter->value);
  free(filter->encoded);
  free(filter->number);
  free(filter->rest);
  free(filter->spare);
  *filter = (epact_filter){ .active = false };
}

int epact_filter_reserve_rows(epact_filter *filter, int64_t rows)
{
  int code;
  if (filter->row_capacity >= rows && filter->start) return EPACT_OK;
  if ((code = epact_grow(&filter->row, (size_t)rows + 1, sizeof *filter->row))) return code;
  if ((code = epact_grow(&filter->start, (size_t)rows + 1, sizeof *filter->start))) return code;
  filter->row_capacity = rows;
  return EPACT_OK;
}

static int reserve(void *array, size_t *have, size_t want)
{
  if (*have >= want) return EPACT_OK;
  int code = epact_grow(array, want, 1);
  if (!code) *have = want;
  return code;
}

int epact_filter_reserve_cells(epact_filter *filter, int type, int64_t cols, int64_t values, int64_t encoded)
{
  size_t bytes = filter->encoding == EPACT_AS_TYPE ? 0 : epact_encoded_bytes(type, filter->encoding);
  int code = EPACT_OK;
  if (cols >= (int64_t)UINT32_MAX) {
    return epact_fail(EPACT_E_LIMIT, "more than 2^32 cells of one table to be published in one clock");
  }
  if (cols) code = reserve(&filter->col, &filter->col_bytes, (size_t)cols * sizeof *filter->col);
  if (!code && values) code = reserve(&filter->value, &filter->value_bytes, (size_t)values * epact_type_bytes(type));
  if (!code && encoded) code = reserve(&filter->encoded, &filter->encoded_bytes, (size_t)encoded * bytes);
  return code;
}

void epact_filter_encode(epact_filter *filter, epact_section *section, const void *value, int64_t n)
{
  section->encoding = EPACT_AS_TYPE;
  section->value = value;
  if (filter->encoding == EPACT_AS_TYPE || !epact_encode(section->type, filter->encoding, value, filter->encoded, n))
    return;
  section->encoding = filter->encoding;
  section->value = filter->encoded;
}

bool epact_filter_has_turn(const epact_table *table, int64_t row)
{
  uint64_t period = (uint64_t)table->schema.hold + 1; /* rows are spread over the clocks */
  return ((uint64_t)table->client->clock + epact_mix64((uint64_t)row) % period) % period == 0;
}

int epact_filter_seal(epact_table *table, bool flush, epact_section *section)
{
  int code = table->schema.sparse_updates ? epact_filter_seal_cells(table, flush, section)
                                          : epact_filter_seal_rows(table, flush, section);
  if (!code) table->filter.sealed = *section;
  return code;
}

void epact_filter_settle(epact_table *table)
{
  if (table->schema.sparse_updates)
    epact_filter_settle_cells(table);
  else
    epact_filter_settle_rows(table);
}
