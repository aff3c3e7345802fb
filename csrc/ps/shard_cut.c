/* Copying the tables of a shard while it goes on. */
#include "shard_cut.h"

#include "../base/internal.h"
#include "client.h"
#include "shard_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPARSE_ROWS 16          /* of a piece: they may be long */
#define ROWS_AT_ONCE (1u << 16) /* that are looked at before the shard's next step */

struct epact_shard_cut {
  epact_shard *shard;
  uint64_t run;
  epact_records part;
  epact_records finished; /* workers that had finished: they come last */
  epact_records gathered;
  size_t piece_bytes;
  int64_t *row; /* of a piece */
  int32_t tables, at;
  epact_table_cut *table; /* as in the shard; those without rows have none to copy */
  int code; /* why a piece could not be copied; it may have been in another thread than the one that is told */
  char reason[256];
};

/* ---- pieces ---- */

static int64_t row_id(const epact_store *store, uint32_t index)
{
  return store->identity ? (int64_t)index : store->id[index];
}

/* The contents of a dense store that lie one after another need not be gathered. */
static bool in_one_run(const epact_store *store, const int64_t *row, int64_t n)
{
  return store->identity && row[n - 1] - row[0] == n - 1;
}

static int add_rows(epact_shard_cut *cut, const epact_shard_table *table, const int64_t *row, int64_t n)
{
  epact_section section = {
    .table = table->schema.id, .type = table->schema.type, .cols = table->schema.cols, .rows = n, .row = row
  };
  if (in_one_run(&table->store, row, n) && !table->schema.sparse)
    section.value = epact_store_values(&table->store, (uint32_t)row[0]);
  else {
    epact_records *gathered = &cut->gathered;
    int code = epact_shard_table_gather(table, n, row, &gathered->data, &gathered->capacity, &section);
    if (code) return code;
  }
  epact_message rows = { .kind = EPACT_M_ROWS, .sections = 1, .section = &section, .text = "" };
  return epact_records_add(&cut->part, &rows, cut->run);
}

static size_t row_bytes(const epact_store *store, uint32_t index)
{
  if (!store->schema.sparse) return store->row_bytes;
  return store->cells[index].count * (epact_type_bytes(store->schema.type) + sizeof(uint32_t));
}

static void flush_rows(epact_shard_cut *cut, const epact_shard_table *table, int64_t n)
{
  if (!n || cut->code || !(cut->code = add_rows(cut, table, cut->row, n))) return;
  snprintf(cut->reason, sizeof cut->reason, "%s", epact_error_message());
}

/* Rows that were never incremented are zero and are left out. */
static void copy_piece(epact_table_cut *t, uint32_t piece)
{
  epact_shard_cut *cut = t->cut;
  const epact_shard_table *table = cut->shard->table[t - cut->table];
  uint32_t first = piece * t->stride, end = t->rows - first < t->stride ? t->rows : first + t->stride;
  int64_t n = 0;
  size_t bytes = 0;
  t->copied[piece] = true;
  for (uint32_t index = first; index < end; index++) {
    if (!table->version[index]) continue;
    cut->row[n++] = row_id(&table->store, index);
    bytes += row_bytes(&table->store, index);
    if (bytes < cut->piece_bytes) continue;
    flush_rows(cut, table, n);
    n = 0;
    bytes = 0;
  }
  flush_rows(cut, table, n);
}

void epact_shard_cut_save(epact_table_cut *table, uint32_t index)
{
  copy_piece(table, index / table->stride);
}

bool epact_shard_cut_copy(epact_shard_cut *cut)
{
  const size_t before = cut->part.bytes;
  uint32_t looked_at = 0;
  for (; cut->at < cut->tables; cut->at++) {
    epact_table_cut *t = &cut->table[cut->at];
    uint32_t pieces = t->rows / t->stride + (t->rows % t->stride > 0);
    for (; t->next < pieces; t->next++) {
      if (t->copied[t->next]) continue;
      if (cut->part.bytes - before >= cut->piece_bytes || looked_at >= ROWS_AT_ONCE) return true;
      copy_piece(t, t->next);
      looked_at += t->stride;
    }
  }
  return looked_at > 0;
}

/* ---- beginning and ending ---- */

static int begin_table(epact_shard_cut *cut, int i)
{
  const epact_shard_table *table = cut->shard->table[i];
  const epact_store *store = &table->store;
  epact_message create = { .kind = EPACT_M_CREATE, .schema = &table->schema, .text = table->name };
  size_t stride = table->schema.sparse ? SPARSE_ROWS : cut->piece_bytes / store->row_bytes + 1;
  epact_table_cut *t = &cut->table[i];
  t->cut = cut;
  t->rows = store->count < table->version_capacity ? store->count : table->version_capacity;
  t->stride = stride < t->rows ? (uint32_t)stride : t->rows ? t->rows : 1;
  t->copied = epact_calloc(t->rows / t->stride + 1, sizeof *t->copied);
  return t->copied ? epact_records_add(&cut->part, &create, cut->run) : EPACT_E_NOMEM;
}

/* About what the rows will take, so that the buffer grows once. */
static size_t expected_bytes(const epact_shard *shard)
{
  size_t bytes = 0;
  for (int i = 0; i < shard->tables; i++) {
    const epact_store *store = &shard->table[i]->store;
    if (!shard->table[i]->schema.sparse && shard->table[i]->version) bytes += store->count * (store->row_bytes + 8);
  }
  return bytes;
}

static int begin(epact_shard_cut *cut, int64_t clock)
{
  epact_shard *shard = cut->shard;
  uint32_t longest = 1;
  epact_message head = { .kind = EPACT_M_PART,
                         .shard = shard->rank,
                         .slot = shard->slots,
                         .request = (uint32_t)shard->shards,
                         .clock = clock,
                         .text = "" };
  cut->table = epact_calloc((size_t)shard->tables + 1, sizeof *cut->table);
  if (!cut->table) return EPACT_E_NOMEM;
  cut->tables = shard->tables;
  int code = epact_records_reserve(&cut->part, expected_bytes(shard));
  if (!code) code = epact_records_add(&cut->part, &head, cut->run);
  for (int i = 0; i < cut->tables && !code; i++) {
    code = begin_table(cut, i);
    if (cut->table[i].stride > longest) longest = cut->table[i].stride;
  }
  if (!code && !(cut->row = epact_malloc(longest * sizeof *cut->row))) code = EPACT_E_NOMEM;
  for (int s = 0; s < shard->slots && !code; s++) {
    epact_message finished = { .kind = EPACT_M_BATCH, .slot = s, .clock = clock, .final = true, .text = "" };
    if (shard->slot[s].applied == EPACT_FOREVER) code = epact_records_add(&cut->finished, &finished, cut->run);
  }
  return code;
}

epact_shard_cut *epact_shard_cut_begin(epact_shard *shard, int64_t clock, uint64_t run, epact_records *memory,
                                       size_t piece_bytes)
{
  epact_shard_cut *cut = epact_calloc(1, sizeof *cut);
  if (!cut) return NULL;
  cut->shard = shard;
  cut->run = run;
  cut->piece_bytes = piece_bytes;
  cut->part = (epact_records){ memory->data, 0, memory->capacity, 0 };
  *memory = (epact_records){ NULL, 0, 0, 0 };
  if (begin(cut, clock)) {
    epact_shard_cut_drop(cut);
    return NULL;
  }
  for (int i = 0; i < cut->tables; i++) shard->table[i]->cut = &cut->table[i];
  return cut;
}

int epact_shard_cut_end(epact_shard_cut *cut, epact_records *part)
{
  while (epact_shard_cut_copy(cut)) {
  }
  int code = cut->code ? epact_fail(cut->code, "%s", cut->reason) : epact_records_append(&cut->part, &cut->finished);
  if (!code) {
    *part = cut->part;
    cut->part = (epact_records){ NULL, 0, 0, 0 };
  }
  epact_shard_cut_drop(cut);
  return code;
}

void epact_shard_cut_drop(epact_shard_cut *cut)
{
  if (!cut) return;
  for (int i = 0; i < cut->tables; i++) {
    if (cut->shard->table[i]->cut == &cut->table[i]) cut->shard->table[i]->cut = NULL;
    free(cut->table[i].copied);
  }
  epact_records_free(&cut->part);
  epact_records_free(&cut->finished);
  epact_records_free(&cut->gathered);
  free(cut->row);
  free(cut->table);
  free(cut);
}

int epact_part_begin(epact_records *part, epact_shard *shard, int64_t clock, uint64_t run)
{
  epact_shard_cut *cut = epact_shard_cut_begin(shard, clock, run, part, EPACT_CUT_PIECE_BYTES);
  return cut ? epact_shard_cut_end(cut, part) : EPACT_E_NOMEM;
}
