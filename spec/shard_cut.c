/* Cuts that are copied while the shard goes on: a part has the tables as they were at the cut, whatever changed since,
 * and in whatever order pieces were copied. */
#include "ps/client.h"
#include "ps/shard_cut.h"
#include "ps/shard_table.h"
#include "ps/snapshot.h"

#include "base/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define EXPECT(held, ...)                                                                                              \
  do {                                                                                                                 \
    if (!(held)) {                                                                                                     \
      fprintf(stderr, "shard_cut:%d: ", __LINE__);                                                                     \
      fprintf(stderr, __VA_ARGS__);                                                                                    \
      fprintf(stderr, " (%s)\n", epact_error_message());                                                               \
      failures++;                                                                                                      \
    }                                                                                                                  \
  } while (0)

enum { RUN = 5, CLOCK = 20, SLOTS = 3, TABLES = 4, ROWS = 90, COLS = 6, LATE_ROWS = 10 };

static epact_schema schemas[TABLES] = {
  { .type = EPACT_I64, .rows = ROWS + LATE_ROWS, .cols = COLS },
  { .type = EPACT_I64, .rows = 0, .cols = COLS },
  { .type = EPACT_I64, .rows = 0, .cols = COLS, .sparse = true, .sparse_updates = true },
  { .type = EPACT_I64, .rows = 3, .cols = COLS, .sparse_updates = true }, /* of the last one there is nothing yet */
};
static const char *const names[TABLES] = { "dense", "hashed", "sparse", "untouched" };

typedef int64_t contents[TABLES][ROWS + LATE_ROWS][COLS];

/* Row `at` of the model. */
static int64_t id_of(int t, int64_t at)
{
  return schemas[t].rows ? at : (int64_t)(epact_mix64((uint64_t)at + 17) >> 20);
}

/* Adds to some cells of a row, in the shard and in the model. */
static void change(epact_shard *shard, contents model, epact_rng *rng, int t, int64_t at)
{
  epact_shard_table *table = shard->table[t];
  int64_t row = id_of(t, at), value[COLS];
  uint32_t start[2] = { 0, 0 }, col[COLS];
  for (uint32_t c = 0; c < COLS; c++) {
    bool touched = !schemas[t].sparse_updates || epact_rng_below(rng, 2);
    if (!touched) continue;
    value[start[1]] = epact_rng_below(rng, 1000) - 500;
    col[start[1]] = c;
    model[t][at][c] += value[start[1]++];
  }
  epact_section section = {
    .table = schemas[t].id, .type = EPACT_I64, .cols = COLS, .rows = 1, .row = &row, .value = value
  };
  if (schemas[t].sparse_updates) {
    section.start = start;
    section.col = col;
  }
  EXPECT(!epact_shard_table_check(table, &section, false) && !epact_shard_table_prepare(table, &section), "prepared");
  epact_shard_table_apply(table, &section, 0, CLOCK, ++shard->version);
}

static void change_any(epact_shard *shard, contents model, epact_rng *rng, int64_t rows)
{
  change(shard, model, rng, (int)epact_rng_below(rng, TABLES - 1), epact_rng_below(rng, rows));
}

static void open_shard(epact_shard *shard)
{
  if (epact_shard_init(shard, 0, 1, SLOTS, false)) exit(1);
  epact_shard_begin(shard, CLOCK, 0);
}

static void make_tables(epact_shard *shard)
{
  for (int t = 0; t < TABLES; t++) {
    schemas[t].id = epact_table_id(names[t]);
    if (!epact_shard_make_table(shard, names[t], &schemas[t])) exit(1);
  }
}

static int64_t cell(const epact_shard_table *table, int64_t row, uint32_t c)
{
  uint32_t index = epact_store_find(&table->store, row);
  if (index == EPACT_NO_INDEX) return 0;
  if (!table->schema.sparse) return ((const int64_t *)epact_store_values(&table->store, index))[c];
  uint32_t at = epact_sparse_row_find(&table->store.cells[index], c);
  return at == EPACT_NO_INDEX ? 0 : ((const int64_t *)table->store.cells[index].value)[at];
}

/* A shard that reads the part has what the model has. */
static void expect_part(const epact_records *part, contents model, const char *when)
{
  epact_shard shard;
  bool finished[SLOTS] = { false };
  open_shard(&shard);
  const epact_part_reader reader = { .shard = &shard, .slots = SLOTS, .finished = finished };
  EXPECT(!epact_part_read(part->data, part->bytes, RUN, CLOCK, 0, &reader), "%s: the part is read", when);
  EXPECT(shard.tables == TABLES, "%s: %d tables", when, shard.tables);
  EXPECT(!finished[0] && finished[1] && !finished[2], "%s: who had finished", when);
  for (int t = 0; t < TABLES && shard.tables == TABLES; t++) {
    int wrong = 0;
    const epact_shard_table *table = epact_shard_find_table(&shard, schemas[t].id);
    for (int64_t at = 0; at < ROWS + LATE_ROWS && at < (schemas[t].rows ? schemas[t].rows : INT64_MAX); at++) {
      for (uint32_t c = 0; c < COLS; c++) wrong += cell(table, id_of(t, at), c) != model[t][at][c];
    }
    EXPECT(!wrong, "%s: table '%s' has %d wrong cells", when, names[t], wrong);
    EXPECT(table->store.count <= (uint32_t)(schemas[t].rows ? schemas[t].rows : ROWS), "%s: rows of '%s' came later",
           when, names[t]);
  }
  epact_shard_free(&shard);
}

/* `eager`: how many of 10 times a piece is copied before the next change. */
static void changes_since(uint64_t seed, size_t piece_bytes, int eager)
{
  char when[64];
  static contents model, at_cut;
  epact_rng rng = epact_rng_stream(seed, 0, 0);
  epact_shard shard;
  epact_records memory = { NULL, 0, 0, 0 }, part = memory;
  snprintf(when, sizeof when, "seed %d, pieces of %zu, %d of 10", (int)seed, piece_bytes, eager);
  memset(model, 0, sizeof model);
  open_shard(&shard);
  make_tables(&shard);
  for (int i = 0; i < 200; i++) change_any(&shard, model, &rng, ROWS);
  shard.slot[1].applied = EPACT_FOREVER;
  memcpy(at_cut, model, sizeof model);
  epact_shard_cut *cut = epact_shard_cut_begin(&shard, CLOCK, RUN, &memory, piece_bytes);
  EXPECT(cut, "%s: begun", when);
  if (!cut) return;
  shard.slot[2].applied = EPACT_FOREVER; /* later */
  int changes = 0;
  for (bool more = true; more && changes < 300; changes++) {
    while (more && epact_rng_below(&rng, 10) < eager) more = epact_shard_cut_copy(cut);
    change_any(&shard, model, &rng, ROWS + LATE_ROWS);
  }
  EXPECT(!epact_shard_cut_end(cut, &part) && !epact_part_end(&part, RUN), "%s: ended", when);
  for (int t = 0; t < TABLES; t++) EXPECT(!shard.table[t]->cut, "%s: nothing is copied any more", when);
  change_any(&shard, model, &rng, ROWS);
  expect_part(&part, at_cut, when);
  epact_records_free(&part);
  epact_shard_free(&shard);
}

static int look_at_rows(void *context, const epact_message *record)
{
  int64_t *seen = context;
  if (record->kind != EPACT_M_ROWS) return EPACT_OK;
  EXPECT(record->section->rows <= 2, "a record of %d long rows", (int)record->section->rows);
  *seen += record->section->rows;
  return EPACT_OK;
}

/* A frame has a limit, and who waits for the shard has, too: long rows of a sparse table come a few at a time. */
static void long_rows(void)
{
  enum { CELLS = 20000, LONG_ROWS = 50 };
  epact_schema schema = { .type = EPACT_F64, .cols = CELLS, .sparse = true, .sparse_updates = true };
  epact_shard shard;
  epact_records memory = { NULL, 0, 0, 0 }, part = memory;
  uint32_t start[2] = { 0, CELLS }, *col = malloc(CELLS * sizeof *col);
  double *value = calloc(CELLS, sizeof *value);
  if (!col || !value) exit(1);
  for (uint32_t c = 0; c < CELLS; c++) value[col[c] = c] = 1;
  open_shard(&shard);
  schema.id = epact_table_id("long");
  epact_shard_table *table = epact_shard_make_table(&shard, "long", &schema);
  for (int64_t row = 0; table && row < LONG_ROWS; row++) {
    epact_section section = { .table = schema.id,
                              .type = EPACT_F64,
                              .cols = CELLS,
                              .rows = 1,
                              .row = &row,
                              .start = start,
                              .col = col,
                              .value = value };
    EXPECT(!epact_shard_table_put(table, &section), "a long row is put");
  }
  epact_shard_cut *cut = epact_shard_cut_begin(&shard, CLOCK, RUN, &memory, 256 << 10);
  int calls = 0;
  while (cut && epact_shard_cut_copy(cut)) calls++;
  EXPECT(calls >= LONG_ROWS / 16, "%d calls", calls);
  EXPECT(cut && !epact_shard_cut_end(cut, &part) && !epact_part_end(&part, RUN), "copied");
  int64_t seen = 0;
  const epact_part_reader reader = { .look = look_at_rows, .context = &seen };
  EXPECT(!epact_part_read(part.data, part.bytes, RUN, CLOCK, 0, &reader) && seen == LONG_ROWS, "%d rows", (int)seen);
  epact_records_free(&part);
  epact_shard_free(&shard);
  free(col);
  free(value);
}

/* Its memory goes, and the shard goes on without it. */
static void dropped(void)
{
  static contents model;
  epact_rng rng = epact_rng_stream(1, 0, 0);
  epact_shard shard;
  epact_records memory = { NULL, 0, 0, 0 };
  open_shard(&shard);
  make_tables(&shard);
  for (int i = 0; i < 50; i++) change_any(&shard, model, &rng, ROWS);
  epact_shard_cut *cut = epact_shard_cut_begin(&shard, CLOCK, RUN, &memory, 1);
  EXPECT(cut && epact_shard_cut_copy(cut) && shard.table[0]->cut, "it copies");
  epact_shard_cut_drop(cut);
  EXPECT(!shard.table[0]->cut, "dropped");
  for (int i = 0; i < 50; i++) change_any(&shard, model, &rng, ROWS);
  epact_shard_free(&shard);
}

int main(void)
{
  static const size_t pieces[] = { 1, 64, 500, 1 << 20 };
  for (uint64_t seed = 1; seed <= 25; seed++) {
    for (int p = 0; p < 4; p++) {
      for (int eager = 0; eager <= 8; eager += 4) changes_since(seed, pieces[p], eager);
    }
  }
  dropped();
  long_rows();
  if (failures) fprintf(stderr, "shard_cut: %d failures\n", failures);
  return failures ? 1 : 0;
}
