/* The rows of one table: by id, dense or sparse. A shard's master copy and a worker's cache are both
 * stores. Not thread-safe. */
#ifndef EPACT_PS_STORE_H
#define EPACT_PS_STORE_H

#include "values.h"

#include <stdbool.h>

#define EPACT_NO_INDEX UINT32_MAX

/* What a table is; the same on every shard and worker. */
typedef struct {
  uint32_t id;
  int type;
  int64_t rows; /* 0: any id below 2^53 */
  int64_t cols;
  bool sparse;         /* rows are hash rows */
  bool sparse_updates; /* increments travel cell by cell */
  bool changes;
  int64_t hold; /* clocks that a worker may keep increments to itself (filter.h); 0: all are published at once */
  bool push;    /* who has read a row is sent its changes */
} epact_schema;

bool epact_schema_equal(const epact_schema *a, const epact_schema *b);
/** "100 x 50 f64 dense", into `text`; returns it. */
const char *epact_schema_text(const epact_schema *schema, char *text, size_t bytes);

/* A sparse row: open addressing, `capacity` a power of two or 0, empty slots have col -1. */
typedef struct {
  uint32_t capacity, count;
  int32_t *col;
  void *value;
} epact_sparse_row;

/** Makes room for `more` cells, so that that many adds cannot fail. */
int epact_sparse_row_reserve(epact_sparse_row *row, int type, uint32_t more);
/** cell(col) += *delta (of the table's type). Room must have been reserved. */
void epact_sparse_row_add(epact_sparse_row *row, int type, uint32_t col, const void *delta);
/** Slot of `col`, or EPACT_NO_INDEX. */
uint32_t epact_sparse_row_find(const epact_sparse_row *row, uint32_t col);
void epact_sparse_row_clear(epact_sparse_row *row);
int epact_sparse_row_copy(epact_sparse_row *target, const epact_sparse_row *source, int type);
void epact_sparse_row_free(epact_sparse_row *row);

/* Row id -> index 0, 1, 2, ... in order of first use; the identity for tables kept in one piece. */
typedef struct {
  epact_schema schema;
  bool identity;     /* index == row id */
  uint32_t count;    /* indices in use (identity: rows) */
  uint32_t capacity; /* indices there is room for: the length of arrays kept beside a store */
  size_t row_bytes;  /* dense: bytes of a row */
  /* hash of ids: open addressing */
  int64_t *key;
  uint32_t *slot;
  uint64_t buckets;
  int64_t *id; /* by index, when not identity */
  /* dense: chunks of 2^shift rows that never move; identity: one chunk */
  unsigned shift;
  char **chunk;
  uint32_t chunks;
  epact_sparse_row *cells; /* sparse: by index */
} epact_store;

/** `whole`: keep a dense table with declared rows in one piece (pages untouched cost nothing). */
int epact_store_init(epact_store *store, const epact_schema *schema, bool whole);
void epact_store_free(epact_store *store);
/** Index of a row, or EPACT_NO_INDEX when it was never made. */
static inline uint32_t epact_store_find(const epact_store *store, int64_t row);
/** Index of a row, made (zero) when it is new; EPACT_NO_INDEX when memory is short. May raise
 * store->capacity. */
uint32_t epact_store_make(epact_store *store, int64_t row);
uint32_t epact_store_find_hashed(const epact_store *store, int64_t row);

static inline uint32_t epact_store_find(const epact_store *store, int64_t row)
{
  return store->identity ? (uint32_t)row : epact_store_find_hashed(store, row);
}

static inline void *epact_store_values(const epact_store *store, uint32_t index)
{
  if (store->identity) return store->chunk[0] + (size_t)index * store->row_bytes;
  size_t within = index & ((UINT32_C(1) << store->shift) - 1);
  return store->chunk[index >> store->shift] + within * store->row_bytes;
}

/** One more than the largest row id. Without declared rows: 2^53, or less where a log packs row and column
 * into 63 bits. */
static inline int64_t epact_schema_row_limit(const epact_schema *schema)
{
  if (schema->rows) return schema->rows;
  int col_bits = schema->cols > 1 ? 64 - __builtin_clzll((unsigned long long)schema->cols - 1) : 0;
  return INT64_C(1) << (schema->sparse_updates && col_bits > 10 ? 63 - col_bits : 53);
}

static inline bool epact_schema_has_row(const epact_schema *schema, int64_t row)
{
  return (uint64_t)row < (uint64_t)epact_schema_row_limit(schema);
}

#endif
