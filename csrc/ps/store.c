/* The rows of one table by id: an index per row, and dense chunks or sparse rows behind it. */
#include "store.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)1 << 18)   /* of a store that is not in one piece */
#define WHOLE_LIMIT ((uint64_t)1 << 36) /* address space one piece may take; pages come on touch */
#define MAX_INDICES (UINT32_C(1) << 31)

bool epact_schema_equal(const epact_schema *a, const epact_schema *b)
{
  return a->type == b->type && a->rows == b->rows && a->cols == b->cols && a->sparse == b->sparse &&
         a->sparse_updates == b->sparse_updates && a->changes == b->changes && a->hold == b->hold && a->push == b->push;
}

const char *epact_schema_text(const epact_schema *schema, char *text, size_t bytes)
{
  char rows[32], hold[48] = "";
  snprintf(rows, sizeof rows, "%" PRId64, schema->rows);
  if (schema->hold) snprintf(hold, sizeof hold, ", hold %" PRId64, schema->hold);
  snprintf(text, bytes, "%s x %" PRId64 " %s %s%s%s%s", schema->rows ? rows : "any", schema->cols,
           epact_type_name(schema->type),
           schema->sparse           ? "sparse"
           : schema->sparse_updates ? "dense with sparse updates"
                                    : "dense",
           schema->changes ? ", changes kept" : "", schema->push ? ", pushed" : "", hold);
  return text;
}

static bool one_piece(const epact_schema *schema, size_t row_bytes)
{
  return !schema->sparse && schema->rows > 0 && (uint64_t)schema->rows < MAX_INDICES &&
         (uint64_t)schema->rows <= WHOLE_LIMIT / row_bytes;
}

int epact_store_init(epact_store *store, const epact_schema *schema, bool whole)
{
  memset(store, 0, sizeof *store);
  store->schema = *schema;
  store->row_bytes = (size_t)schema->cols * epact_type_bytes(schema->type);
  if (whole && one_piece(schema, store->row_bytes)) {
    store->chunk = epact_calloc(1, sizeof *store->chunk);
    if (!store->chunk) return EPACT_E_NOMEM;
    store->chunk[0] = epact_calloc((size_t)schema->rows, store->row_bytes);
    if (!store->chunk[0]) return EPACT_E_NOMEM;
    store->chunks = 1;
    store->identity = true;
    store->count = store->capacity = (uint32_t)schema->rows;
    return EPACT_OK;
  }
  while (store->shift < 16 && (store->row_bytes << (store->shift + 1)) <= CHUNK_BYTES) store->shift++;
  return EPACT_OK;
}

void epact_store_free(epact_store *store)
{
  for (uint32_t i = 0; i < store->chunks; i++) free(store->chunk[i]);
  free(store->chunk);
  if (store->cells) {
    for (uint32_t i = 0; i < store->count; i++) epact_sparse_row_free(&store->cells[i]);
  }
  free(store->cells);
  free(store->key);
  free(store->slot);
  free(store->id);
  memset(store, 0, sizeof *store);
}

static uint64_t bucket_of(const epact_store *store, int64_t row)
{
  return epact_mix64((uint64_t)row) & (store->buckets - 1);
}

uint32_t epact_store_find_hashed(const epact_store *store, int64_t row)
{
  if (!store->buckets) return EPACT_NO_INDEX;
  for (uint64_t i = bucket_of(store, row);; i = (i + 1) & (store->buckets - 1)) {
    if (store->slot[i] == EPACT_NO_INDEX) return EPACT_NO_INDEX;
    if (store->key[i] == row) return store->slot[i];
  }
}

static void bucket_put(epact_store *store, int64_t row, uint32_t index)
{
  uint64_t i = bucket_of(store, row);
  while (store->slot[i] != EPACT_NO_INDEX) i = (i + 1) & (store->buckets - 1);
  store->key[i] = row;
  store->slot[i] = index;
}

static int rehash(epact_store *store)
{
  uint64_t buckets = store->buckets ? store->buckets * 2 : 16;
  int64_t *key = epact_malloc(buckets * sizeof *key);
  uint32_t *slot = epact_malloc(buckets * sizeof *slot);
  if (!key || !slot) {
    free(key);
    free(slot);
    return EPACT_E_NOMEM;
  }
  memset(slot, 0xff, buckets * sizeof *slot);
  free(store->key);
  free(store->slot);
  store->key = key;
  store->slot = slot;
  store->buckets = buckets;
  for (uint32_t index = 0; index < store->count; index++) bucket_put(store, store->id[index], index);
  return EPACT_OK;
}

/* Room for one more index; dense chunks and sparse rows already made stay where they are. */
static int grow(epact_store *store)
{
  if (store->count >= MAX_INDICES) return epact_fail(EPACT_E_LIMIT, "a shard of a table holds at most 2^31 rows");
  uint32_t capacity = store->capacity ? store->capacity * 2 : 16;
  int code = epact_grow(&store->id, capacity, sizeof *store->id);
  if (code) return code;
  if (store->schema.sparse) {
    if ((code = epact_grow(&store->cells, capacity, sizeof *store->cells))) return code;
    memset(store->cells + store->capacity, 0, (capacity - store->capacity) * sizeof *store->cells);
  } else {
    size_t chunks = ((size_t)capacity >> store->shift) + 1;
    if ((code = epact_grow(&store->chunk, chunks, sizeof *store->chunk))) return code;
  }
  store->capacity = capacity;
  return EPACT_OK;
}

uint32_t epact_store_make(epact_store *store, int64_t row)
{
  uint32_t index = epact_store_find(store, row);
  if (index != EPACT_NO_INDEX) return index;
  if (store->count == store->capacity && grow(store)) return EPACT_NO_INDEX;
  if ((uint64_t)store->count * 4 >= store->buckets * 3 && rehash(store)) return EPACT_NO_INDEX;
  index = store->count;
  if (!store->schema.sparse && (index >> store->shift) >= store->chunks) {
    char *chunk = epact_aligned_calloc(store->row_bytes << store->shift);
    if (!chunk) return EPACT_NO_INDEX;
    store->chunk[store->chunks++] = chunk;
  }
  store->id[index] = row;
  store->count++;
  bucket_put(store, row, index);
  return index;
}
