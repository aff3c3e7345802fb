/* What a worker sends of a table's increments when its clock ends, and what it keeps for later.
 *
 * A filter chooses what goes into the batch (seal), and once the batch is on its way takes that, and no more, off the
 * log (settle). What is left stays in the log, or among the `rest`s: reads put it on top (read-my-writes), and later
 * batches carry it. At a barrier, before a cut of the shards (where there is a journal, at every clock) and at finish
 * everything goes out exactly as it is.
 *
 * zero          Zero rows are not sent; rows that take dense updates travel cell by cell when that is fewer bytes.
 * significance  A cell that takes sparse updates, or a row that takes dense ones, waits while its increment is at most
 *               `significance` times its value in the worker's copy (of a row: the largest magnitudes of both). A row
 *               has its turn once in every hold + 1 clocks, at which all of it goes out.
 * precision     Values are rounded to 2 or 4 bytes. What rounding leaves is sent with the next increment of that row
 *               (of that cell, where updates are sparse). A batch in which a value is too large goes out as it is.
 *
 * SSP holds with `significance` as without it. Reads at clock c of a table with staleness s must see all that workers
 * added at clocks t <= c-s-1. Every hold + 1 clocks in a row have one that is the row's turn, so what was added at t is
 * in a batch tagged <= t + hold. Reads here ask for the batches tagged <= c-(s-hold)-1 >= t + hold, that is, they are
 * as those of a table with staleness s - hold (epact_table.slack). So hold <= s, and with s = 0 nothing can wait. All
 * workers must know how long the others hold: it is part of the schema. What does not hold any more: that a clock's
 * increments become visible together.
 *
 * With `precision` a read may lack, of each cell, what rounding has left: half a unit in the last place of the values
 * sent (bf16 2^-8, f16 2^-11 or 2^-25 absolute, f32 2^-24 of them), until the cell is sent again or all is sent.
 *
 * Filters work alike for shards of this process and of others, so that results do not depend on where workers are. */
#ifndef EPACT_PS_FILTER_H
#define EPACT_PS_FILTER_H

#include "log.h"
#include "message.h"

typedef struct {
  bool active;
  int encoding;
  double significance; /* 0: everything is */
  /* the section sealed last, where it is not the log's own memory */
  epact_section sealed;
  int64_t *row;
  uint32_t *start, *col;
  char *value, *encoded;
  int64_t row_capacity;
  size_t col_bytes, value_bytes, encoded_bytes; /* there is room for */
  bool zero;
  int64_t *number; /* dense updates: the accumulators that are sent, in their order */
  /* sparse updates: what rounding has left of cells, by key; a spare of the same kind */
  epact_log_entry *rest, *spare;
  int64_t rests, spare_capacity;
} epact_filter;

/** The clocks that increments of such a table may wait: 0 without significance; negative, with the sentence left,
 * when the options do not fit each other. */
int64_t epact_filter_check(const epact_table_options *options);
void epact_filter_init(epact_filter *filter, const epact_table_options *options);
/** Whether the filter does what these options (that were checked) say. */
bool epact_filter_equal(const epact_filter *filter, const epact_table_options *options);
void epact_filter_free(epact_filter *filter);

/** What goes out now of the table's log (all of it when `flush`), as *section, valid until epact_filter_settle. The
 * log may be sorted, but says the same as before. */
int epact_filter_seal(epact_table *table, bool flush, epact_section *section);
/** Takes what was sealed off the log. Cannot fail. */
void epact_filter_settle(epact_table *table);

/* ---- between filter.c, filter_rows.c (dense updates) and filter_cells.c (sparse ones) ---- */

/** Room for the ids and starts of that many rows. */
int epact_filter_reserve_rows(epact_filter *filter, int64_t rows);
/** Room for that many columns, values of the type, and values in the filter's
 * encoding. */
int epact_filter_reserve_cells(epact_filter *filter, int type, int64_t cols, int64_t values, int64_t encoded);
/** Encodes n values into the filter's memory and makes them the section's; where they do not fit, `value` itself. */
void epact_filter_encode(epact_filter *filter, epact_section *section, const void *value, int64_t n);
/** At this clock all of the row goes out. */
bool epact_filter_has_turn(const epact_table *table, int64_t row);

int epact_filter_seal_rows(epact_table *table, bool flush, epact_section *section);
void epact_filter_settle_rows(epact_table *table);
int epact_filter_seal_cells(epact_table *table, bool flush, epact_section *section);
void epact_filter_settle_cells(epact_table *table);

#endif
