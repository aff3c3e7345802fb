/* A worker's private update log of one table: what inc adds to, what clock() publishes.
 *
 * Dense updates: an accumulator row per touched row, in a slab, which is zeroed when a row is touched. Sparse updates:
 * (row, col, delta) entries appended, sorted and summed when the log is sealed or has doubled. */
#ifndef EPACT_PS_LOG_H
#define EPACT_PS_LOG_H

#include "store.h"

typedef struct {
  uint64_t key; /* row << column bits | col */
  union {
    float f32;
    double f64;
    int32_t i32;
    int64_t i64;
    uint64_t bits;
  } delta;
} epact_log_entry;

typedef struct {
  epact_schema schema;
  size_t row_bytes;
  /* dense updates: touched row i is row[i], its accumulator at slab + i row_bytes */
  int64_t *row;
  char *slab;
  int64_t rows, row_capacity;
  double bound; /* no sum in the slab has a larger magnitude: those of all increments together */
  /* sparse updates */
  unsigned col_bits;
  epact_log_entry *entry, *spare;
  int64_t entries, entry_capacity, spare_capacity, sorted; /* the first `sorted` are sorted and summed */
  /* sealed sparse arrays */
  uint32_t *start, *col;
  char *value;
  int64_t sealed_capacity, sealed_rows_capacity;
} epact_log;

int epact_log_init(epact_log *log, const epact_schema *schema);
void epact_log_free(epact_log *log);
/** A new accumulator for `row`, zeroed unless the caller writes all of it; its number, or -1. May move the slab. */
int64_t epact_log_touch(epact_log *log, int64_t row, bool zeroed);
/** Whether no sum of a log of dense updates can be infinite. */
bool epact_log_is_finite(const epact_log *log);
/** Room for `more` entries (compacting first); entries may move. */
int epact_log_reserve(epact_log *log, int64_t more);
/** Sorts the entries by (row, col) and sums those of one cell. */
int epact_log_compact(epact_log *log);
/** The first of n sorted entries with at least that key; n when there is none. */
int64_t epact_log_lower_bound(const epact_log_entry *entry, int64_t n, uint64_t key);
/** All increments as one section pointing into the log; rows == 0 when there are none. */
int epact_log_seal(epact_log *log, epact_section *section);
/** *sum += *more, of that type. */
void epact_log_sum(int type, epact_log_entry *sum, const epact_log_entry *more);
/** Forgets what was logged. */
void epact_log_reset(epact_log *log);

static inline bool epact_log_empty(const epact_log *log)
{
  return log->rows == 0 && log->entries == 0;
}

static inline uint64_t epact_log_key(const epact_log *log, int64_t row, int64_t col)
{
  return (uint64_t)row << log->col_bits | (uint64_t)col;
}

#endif
