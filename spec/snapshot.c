/* Snapshots on a disk in memory: tables come back bit for bit on any number of shards, and what is damaged, missing or
 * of another run is refused with its place. Journals are in spec/journal.c. */
#include "memory_disk.h"
#include "ps/client.h"
#include "ps/keeper.h"
#include "ps/shard_table.h"

#include "base/internal.h"

#include <float.h>
#include <math.h>

static int failures;

#define EXPECT(held, ...)                                                                                              \
  do {                                                                                                                 \
    if (!(held)) {                                                                                                     \
      fprintf(stderr, "snapshot:%d: ", __LINE__);                                                                      \
      fprintf(stderr, __VA_ARGS__);                                                                                    \
      fprintf(stderr, " (%s)\n", epact_error_message());                                                               \
      failures++;                                                                                                      \
    }                                                                                                                  \
  } while (0)

enum { RUN = 77, CLOCK = 40, SLOTS = 5, MOST_SHARDS = 4, TABLES = 8, STATE_BYTES = 24 };

/* ---- what is saved: the contents are a function of table, row and column ---- */

typedef struct {
  const char *name;
  epact_schema schema;
  int64_t filled; /* rows that were incremented */
} sample;

static sample samples[TABLES] = {
  { "f32", { .type = EPACT_F32, .rows = 9, .cols = 5 }, 9 },
  { "f64 in chunks", { .type = EPACT_F64, .rows = 400, .cols = 400 }, 350 },
  { "i32 hashed", { .type = EPACT_I32, .rows = 0, .cols = 3 }, 40 },
  { "i64 by cells", { .type = EPACT_I64, .rows = 11, .cols = 4, .sparse_updates = true }, 6 },
  { "f32 sparse", { .type = EPACT_F32, .rows = 0, .cols = 50, .sparse = true, .sparse_updates = true }, 30 },
  { "i64 changes",
    { .type = EPACT_I64, .rows = 3000, .cols = 300, .sparse = true, .sparse_updates = true, .changes = true },
    1500 },
  { "empty", { .type = EPACT_F64, .rows = 100, .cols = 100 }, 0 },
  { "empty sparse", { .type = EPACT_I32, .rows = 0, .cols = 7, .sparse = true, .sparse_updates = true }, 0 },
};

static int64_t row_of(const sample *s, int64_t i)
{
  return s->schema.rows ? i : (int64_t)(epact_mix64((uint64_t)i + s->schema.id) >> 12);
}

/* A cell's bytes: zeros of both signs, the least and greatest numbers, infinities, and numbers with all their bits. */
static void cell_of(const sample *s, int64_t row, int64_t col, void *cell)
{
  static const double odd[] = { 0.0, -0.0, DBL_TRUE_MIN, -DBL_MAX, INFINITY, -1.0 / 3.0 };
  static const float odd_f[] = { 0.0f, -0.0f, FLT_TRUE_MIN, -FLT_MAX, INFINITY, -1.0f / 3.0f };
  uint64_t bits = epact_mix64((uint64_t)row * 1000003 + (uint64_t)col + s->schema.id);
  double number = ((double)bits - 0x1p63) * 1e-9;
  float single = (float)number;
  int32_t low = (int32_t)bits;
  size_t pick = bits % 12;
  switch (s->schema.type) {
  case EPACT_F32:
    memcpy(cell, pick < 6 ? &odd_f[pick] : &single, 4);
    break;
  case EPACT_F64:
    memcpy(cell, pick < 6 ? &odd[pick] : &number, 8);
    break;
  case EPACT_I32:
    memcpy(cell, &low, 4);
    break;
  default:
    memcpy(cell, &bits, 8);
  }
}

static bool has_cell(const sample *s, int64_t row, int64_t col)
{
  return !s->schema.sparse || epact_mix64((uint64_t)(row ^ col)) % 3 == 0;
}

static void fill_row(epact_shard_table *table, const sample *s, int64_t row)
{
  size_t bytes = epact_type_bytes(s->schema.type);
  uint32_t start[2] = { 0, 0 }, *col = calloc((size_t)s->schema.cols, sizeof *col);
  char *value = calloc((size_t)s->schema.cols, bytes);
  if (!col || !value) exit(1);
  for (int64_t c = 0; c < s->schema.cols; c++) {
    if (!has_cell(s, row, c)) continue;
    col[start[1]] = (uint32_t)c;
    cell_of(s, row, c, value + start[1]++ * bytes);
  }
  epact_section section = {
    .table = s->schema.id, .type = s->schema.type, .cols = s->schema.cols, .rows = 1, .row = &row, .value = value
  };
  if (s->schema.sparse) {
    section.start = start;
    section.col = col;
  }
  EXPECT(!epact_shard_table_put(table, &section), "a row is put");
  free(col);
  free(value);
}

static void open_shard(epact_shard *shard, int rank, int shards)
{
  if (epact_shard_init(shard, rank, shards, SLOTS, false)) exit(1);
  epact_shard_begin(shard, CLOCK, 0);
}

static void fill_shard(epact_shard *shard, int rank, int shards)
{
  open_shard(shard, rank, shards);
  for (int t = 0; t < TABLES; t++) {
    sample *s = &samples[t];
    s->schema.id = epact_table_id(s->name);
    epact_shard_table *table = epact_shard_make_table(shard, s->name, &s->schema);
    for (int64_t i = 0; table && i < s->filled; i++) {
      int64_t row = row_of(s, i);
      if (epact_row_shard(&s->schema, row, shards) == rank) fill_row(table, s, row);
    }
  }
}

static bool same_row(const epact_shard_table *table, const sample *s, uint32_t index, int64_t row)
{
  size_t bytes = epact_type_bytes(s->schema.type);
  uint32_t cells = 0;
  char want[8];
  for (int64_t c = 0; c < s->schema.cols; c++) {
    if (!has_cell(s, row, c)) continue;
    cell_of(s, row, c, want);
    const char *have = s->schema.sparse ? table->store.cells[index].value : epact_store_values(&table->store, index);
    uint32_t at = s->schema.sparse ? epact_sparse_row_find(&table->store.cells[index], (uint32_t)c) : (uint32_t)c;
    if (at == EPACT_NO_INDEX || memcmp(have + at * bytes, want, bytes) != 0) return false;
    cells++;
  }
  return !s->schema.sparse || table->store.cells[index].count == cells;
}

/* The shard has all rows it owns, as they were, and no others. */
static void expect_shard(const epact_shard *shard, int saved_by)
{
  EXPECT(shard->tables == TABLES, "%d tables", shard->tables);
  for (int t = 0; t < TABLES; t++) {
    const sample *s = &samples[t];
    const epact_shard_table *table = epact_shard_find_table(shard, s->schema.id);
    uint32_t owned = 0, held = 0;
    EXPECT(table && !strcmp(table->name, s->name) && epact_schema_equal(&table->schema, &s->schema), "%s", s->name);
    if (!table) continue;
    for (int64_t i = 0; i < s->filled; i++) {
      int64_t row = row_of(s, i);
      if (epact_row_shard(&s->schema, row, shard->shards) != shard->rank) continue;
      uint32_t index = epact_store_find(&table->store, row);
      bool found = index != EPACT_NO_INDEX && index < table->version_capacity && table->version[index];
      EXPECT(found && same_row(table, s, index, row), "%s: row %lld, %d shards -> %d of %d", s->name, (long long)row,
             saved_by, shard->rank, shard->shards);
      owned++;
    }
    for (uint32_t i = 0; i < table->store.count && i < table->version_capacity; i++) held += table->version[i] != 0;
    EXPECT(held == owned, "%s: %u rows, not %u", s->name, held, owned);
  }
}

/* ---- saving and loading ---- */

typedef struct {
  epact_keeper keeper[MOST_SHARDS];
  int shards;
} run;

/* Every message of a keeper goes where it belongs at once. */
static void route(void *context, const epact_message *message)
{
  run *r = context;
  EXPECT(!epact_keeper_step(&r->keeper[message->shard], message), "a keeper takes a message");
}

static void open_run(run *r, memory_disk *m, int shards, uint64_t number)
{
  memset(r, 0, sizeof *r);
  r->shards = shards;
  for (int rank = 0; rank < shards; rank++) {
    int first = rank * SLOTS / shards;
    r->keeper[rank] = (epact_keeper){ .disk = &m->disk,
                                      .outbox = { route, r },
                                      .run = number,
                                      .rank = rank,
                                      .shards = shards,
                                      .processes = shards,
                                      .slots = SLOTS,
                                      .first_slot = first,
                                      .workers = (rank + 1) * SLOTS / shards - first,
                                      .every = 10 };
    if (epact_keeper_open(&r->keeper[rank], -1, 0)) exit(1);
  }
}

static void close_run(run *r)
{
  for (int rank = 0; rank < r->shards; rank++) epact_keeper_close(&r->keeper[rank]);
}

static void state_of(int slot, char *state)
{
  for (int i = 0; i < STATE_BYTES; i++) state[i] = (char)(slot * 31 + i);
}

static int save_part(epact_keeper *k, epact_shard *shard, int64_t clock)
{
  epact_records part = { NULL, 0, 0, 0 };
  char state[STATE_BYTES];
  int code = epact_part_begin(&part, shard, clock, k->run);
  for (int slot = k->first_slot; slot < k->first_slot + k->workers && !code; slot++) {
    state_of(slot, state);
    code = epact_part_state(&part, slot, clock, state, slot ? STATE_BYTES : 0, k->run);
  }
  if (!code) code = epact_part_end(&part, k->run);
  if (!code) code = epact_keeper_save(k, clock, &part);
  epact_records_free(&part);
  return code;
}

static void save(memory_disk *m, int shards, uint64_t number)
{
  run r;
  open_run(&r, m, shards, number);
  for (int rank = 0; rank < shards; rank++) {
    epact_shard shard;
    fill_shard(&shard, rank, shards);
    EXPECT(!save_part(&r.keeper[rank], &shard, CLOCK), "a part is saved");
    epact_shard_free(&shard);
  }
  EXPECT(r.keeper[shards - 1].durable == CLOCK, "all parts make a snapshot");
  close_run(&r);
}

static int take_state(void *context, const epact_message *m)
{
  char want[STATE_BYTES];
  int *seen = context;
  state_of(m->slot, want);
  EXPECT(m->blob_bytes == (m->slot ? STATE_BYTES : 0) && !memcmp(m->blob, want, m->blob_bytes), "state %d", m->slot);
  *seen |= 1 << m->slot;
  return EPACT_OK;
}

/* Loads one of `shards` shards and two workers' states. */
static int load(memory_disk *m, epact_shard *shard, int rank, int shards, int *seen)
{
  epact_recovery recovery;
  epact_part_reader reader = { .shard = shard, .state = take_state, .context = seen, .first_slot = 2, .slots = 2 };
  *seen = 0;
  open_shard(shard, rank, shards);
  int code = epact_recovery_find(&m->disk, -1, &recovery);
  if (code) return code;
  EXPECT(recovery.clock == CLOCK && recovery.slots == SLOTS, "clock %lld", (long long)recovery.clock);
  code = epact_recovery_load(&m->disk, &recovery, &reader);
  epact_recovery_free(&recovery);
  return code;
}

static void any_number_of_shards(void)
{
  for (int from = 1; from <= MOST_SHARDS; from++) {
    memory_disk m;
    memory_open(&m);
    save(&m, from, RUN);
    for (int to = 1; to <= MOST_SHARDS; to++) {
      for (int rank = 0; rank < to; rank++) {
        epact_shard shard;
        int seen;
        EXPECT(!load(&m, &shard, rank, to, &seen), "%d shards -> %d of %d", from, rank, to);
        expect_shard(&shard, from);
        EXPECT(seen == 3 << 2, "the states of workers 2 and 3, not %x", (unsigned)seen);
        EXPECT(shard.version > 0, "rows that were loaded have a version of their own");
        epact_shard_free(&shard);
      }
    }
    memory_close(&m);
  }
}

/* ---- damage ---- */

/* A small snapshot: every byte of it counts. */
static void save_small(memory_disk *m, int64_t clock, uint64_t number, double value)
{
  run r;
  epact_shard shard;
  epact_schema schema = { .type = EPACT_F64, .rows = 3, .cols = 3, .id = epact_table_id("t") };
  int64_t row = 1;
  double values[3] = { value, 2, 3 };
  epact_section section = { .table = schema.id, .type = EPACT_F64, .cols = 3, .rows = 1, .row = &row, .value = values };
  open_run(&r, m, 1, number);
  if (epact_shard_init(&shard, 0, 1, SLOTS, false)) exit(1);
  epact_shard_begin(&shard, clock, 0);
  EXPECT(!epact_shard_table_put(epact_shard_make_table(&shard, "t", &schema), &section), "a row is put");
  EXPECT(!save_part(&r.keeper[0], &shard, clock), "a small part is saved");
  epact_shard_free(&shard);
  close_run(&r);
}

static int load_small(memory_disk *m)
{
  epact_shard shard;
  int seen;
  int code = load(m, &shard, 0, 1, &seen);
  epact_shard_free(&shard);
  return code;
}

static bool says(const char *words)
{
  return strstr(epact_error_message(), words) != NULL;
}

static void expect_refused(memory_disk *m, const char *name, const char *what, size_t at)
{
  int code = load_small(m);
  EXPECT(code == EPACT_E_CORRUPT || code == EPACT_E_VERSION, "%s, %s at %zu: %s", name, what, at,
         epact_error_name(code));
  EXPECT(says(name), "%s, %s at %zu: the file is named", name, what, at);
}

/* Each byte flipped in two ways, the file cut at every length, and made longer. */
static void damage(memory_disk *m, const char *name)
{
  memory_file *file = memory_find(m, name);
  size_t bytes = file->bytes;
  for (size_t i = 0; i < bytes; i++) {
    char good = file->data[i];
    file->data[i] = (char)(good ^ 1 << i % 8);
    expect_refused(m, name, "a bit flipped", i);
    file->data[i] = (char)~good;
    expect_refused(m, name, "a byte inverted", i);
    file->data[i] = good;
  }
  for (file->bytes = 0; file->bytes < bytes; file->bytes++) expect_refused(m, name, "cut", file->bytes);
  for (int more = 1; more <= 16; more++) {
    memory_append(m, name, more % 2 ? "\0" : "\n", 1);
    expect_refused(m, name, "longer", file->bytes);
  }
  file->bytes = bytes;
  EXPECT(!load_small(m), "as it was, it is read");
}

/* The same with a manifest that has the right checksum: the records must tell by themselves, or mean the same. */
static void damage_inside(memory_disk *m)
{
  char name[EPACT_FILE_NAME_BYTES];
  epact_file_name(name, CLOCK, "part", 0);
  memory_file *file = memory_find(m, name);
  const epact_part_reader reader = { .shard = NULL };
  for (size_t i = 0; i < file->bytes; i++) {
    for (int bit = 0; bit < 8; bit++) {
      file->data[i] = (char)(file->data[i] ^ 1 << bit);
      int code = epact_part_read(file->data, file->bytes, RUN, CLOCK, 0, &reader);
      EXPECT(code == EPACT_E_CORRUPT || code == EPACT_E_VERSION, "bit %d of byte %zu: %s", bit, i,
             epact_error_name(code));
      EXPECT(says(" at byte "), "bit %d of byte %zu: the place is told", bit, i);
      file->data[i] = (char)(file->data[i] ^ 1 << bit);
    }
  }
}

/* Records cut out, or put behind the end. */
static void damage_order(memory_disk *m)
{
  memory_file *file = memory_find(m, "clock-40.part-0");
  const epact_part_reader reader = { .shard = NULL };
  epact_record_reader records = epact_record_reader_of(file->data, file->bytes, RUN);
  char *cut = malloc(file->bytes * 2);
  if (!cut) exit(1);
  while (epact_record_next(&records) == 1) {
    size_t rest = file->bytes - records.next, whole = records.next - records.offset;
    memcpy(cut, file->data, records.offset);
    if (rest) memcpy(cut + records.offset, file->data + records.next, rest);
    EXPECT(epact_part_read(cut, file->bytes - whole, RUN, CLOCK, 0, &reader) == EPACT_E_CORRUPT,
           "without the record at %zu", records.offset);
    memcpy(cut, file->data, file->bytes);
    memcpy(cut + file->bytes, file->data + records.offset, whole);
    EXPECT(epact_part_read(cut, file->bytes + whole, RUN, CLOCK, 0, &reader) == EPACT_E_CORRUPT,
           "with the record at %zu behind the end", records.offset);
  }
  epact_record_reader_close(&records);
  free(cut);
}

static void damaged(void)
{
  memory_disk m;
  memory_open(&m);
  save_small(&m, CLOCK, RUN, 1);
  damage(&m, "clock-40.part-0");
  damage(&m, "clock-40.manifest");
  damage_inside(&m);
  damage_order(&m);
  memory_close(&m);
}

/* ---- files that are not there, or not those ---- */

static void swap_files(memory_disk *m, const char *a, const char *b)
{
  memory_file *x = memory_find(m, a), *y = memory_find(m, b), z = *x;
  x->data = y->data;
  x->bytes = y->bytes;
  y->data = z.data;
  y->bytes = z.bytes;
}

/* A manifest that fits the parts as they are now. */
static void forge_manifest(memory_disk *m, int shards)
{
  epact_manifest manifest;
  memory_file *file = memory_find(m, "clock-40.manifest");
  EXPECT(!epact_manifest_parse(file->data, file->bytes, &manifest), "the manifest is read");
  for (int rank = 0; rank < shards; rank++) {
    char name[EPACT_FILE_NAME_BYTES];
    epact_file_name(name, CLOCK, "part", rank);
    const memory_file *part = memory_find(m, name);
    manifest.part[rank].bytes = part->bytes;
    manifest.part[rank].crc = epact_crc32c(0, part->data, part->bytes);
  }
  size_t bytes;
  char *text = epact_manifest_text(&manifest, &bytes);
  if (text) memory_write(m, "clock-40.manifest", text, bytes);
  free(text);
  free(manifest.part);
}

static void expect_load(memory_disk *m, int code, const char *words)
{
  int have = load_small(m);
  EXPECT(have == code && says(words), "%s with '%s' comes as %s", epact_error_name(code), words,
         epact_error_name(have));
}

static void missing(void)
{
  memory_disk m;
  memory_open(&m);
  expect_load(&m, EPACT_E_SNAPSHOT, "the folder has no snapshot");
  save(&m, 3, RUN);
  memory_remove(&m, "clock-40.part-1");
  expect_load(&m, EPACT_E_SNAPSHOT, "clock-40.part-1 is missing, which the snapshot at clock 40 names");
  memory_close(&m);

  save(&m, 2, RUN);
  memory_remove(&m, "clock-40.manifest");
  expect_load(&m, EPACT_E_SNAPSHOT, "the folder has no snapshot");
  epact_recovery recovery;
  EXPECT(epact_recovery_find(&m.disk, 30, &recovery) == EPACT_E_SNAPSHOT && says("there is no snapshot at clock 30"),
         "a clock without a snapshot is named");
  memory_close(&m);
}

static void of_another(void)
{
  memory_disk m, other;
  memory_open(&m);
  memory_open(&other);
  save(&m, 2, RUN);
  swap_files(&m, "clock-40.part-0", "clock-40.part-1");
  expect_load(&m, EPACT_E_CORRUPT, "clock-40.part-0: it has ");
  forge_manifest(&m, 2);
  expect_load(&m, EPACT_E_CORRUPT, "clock-40.part-0: it does not begin as the part of rank 0 at clock 40");
  swap_files(&m, "clock-40.part-0", "clock-40.part-1");
  forge_manifest(&m, 2);
  EXPECT(!load_small(&m), "as they were, they are read");
  memory_close(&m);

  save_small(&m, CLOCK, RUN, 1);
  save_small(&other, CLOCK, RUN, 5);
  memory_file *foreign = memory_find(&other, "clock-40.part-0");
  memory_write(&m, "clock-40.part-0", foreign->data, foreign->bytes);
  expect_load(&m, EPACT_E_CORRUPT, "clock-40.part-0: it does not match the checksum in the manifest");
  memory_close(&other);

  save_small(&other, CLOCK, RUN + 1, 1);
  foreign = memory_find(&other, "clock-40.part-0");
  memory_write(&m, "clock-40.part-0", foreign->data, foreign->bytes);
  forge_manifest(&m, 1);
  expect_load(&m, EPACT_E_JOB, "clock-40.part-0: the record at byte 0: ");
  memory_close(&other);

  save_small(&other, 50, RUN, 1);
  foreign = memory_find(&other, "clock-50.part-0");
  memory_write(&m, "clock-40.part-0", foreign->data, foreign->bytes);
  forge_manifest(&m, 1);
  expect_load(&m, EPACT_E_CORRUPT, "clock-40.part-0: it does not begin as the part of rank 0 at clock 40");
  memory_write(&m, "clock-50.manifest", memory_find(&m, "clock-40.manifest")->data,
               memory_find(&m, "clock-40.manifest")->bytes);
  expect_load(&m, EPACT_E_CORRUPT, "clock-50.manifest: the manifest is of clock 40");
  memory_close(&other);
  memory_close(&m);
}

/* ---- which files a run keeps ---- */

static bool has(memory_disk *m, const char *name)
{
  return memory_find(m, name) != NULL;
}

static void save_empty(run *r, int64_t clock)
{
  for (int rank = r->shards - 1; rank >= 0; rank--) {
    epact_shard shard;
    if (epact_shard_init(&shard, rank, r->shards, SLOTS, false)) exit(1);
    epact_shard_begin(&shard, clock, 0);
    save_part(&r->keeper[rank], &shard, clock);
    epact_shard_free(&shard);
  }
}

static void keeps_two(void)
{
  memory_disk m;
  run r;
  memory_open(&m);
  open_run(&r, &m, 2, RUN);
  for (int64_t clock = 10; clock <= 30; clock += 10) save_empty(&r, clock);
  EXPECT(m.files == 6 && has(&m, "clock-20.manifest") && has(&m, "clock-30.part-1"), "%d files", m.files);
  m.full = true;
  save_empty(&r, 40);
  EXPECT(r.keeper[0].failures == 1 && r.keeper[1].failures == 1, "a full disk is counted");
  EXPECT(m.files == 6 && r.keeper[0].newest == 30 && !epact_keeper_collects(&r.keeper[0]), "and changes nothing");
  m.full = false;
  save_empty(&r, 50);
  EXPECT(m.files == 6 && has(&m, "clock-30.manifest") && has(&m, "clock-50.manifest"), "the run goes on");
  close_run(&r);
  memory_close(&m);
}

/* The journals tell that a clock is durable before its snapshot is complete. */
static void ends_with_two(void)
{
  memory_disk m;
  run r;
  memory_open(&m);
  open_run(&r, &m, 2, RUN);
  for (int64_t clock = 10; clock <= 20; clock += 10) save_empty(&r, clock);
  for (int rank = 0; rank < 2; rank++) {
    const epact_message journaled = { .kind = EPACT_M_SAVED, .sender = rank, .clock = 31, .final = true, .text = "" };
    EXPECT(!epact_keeper_step(&r.keeper[0], &journaled), "a journal is written");
  }
  EXPECT(r.keeper[1].durable == 31 && m.files == 6, "durable %d, %d files", (int)r.keeper[1].durable, m.files);
  save_empty(&r, 30);
  EXPECT(r.keeper[0].newest == 30 && m.files == 9, "newest %d, %d files", (int)r.keeper[0].newest, m.files);
  EXPECT(!epact_keeper_finish(&r.keeper[1]) && m.files == 9, "rank 0 clears up for all");
  EXPECT(!epact_keeper_finish(&r.keeper[0]) && m.files == 6, "%d files at the end", m.files);
  EXPECT(has(&m, "clock-20.manifest") && has(&m, "clock-20.part-1") && has(&m, "clock-30.part-0"), "the last two");
  close_run(&r);
  memory_close(&m);
}

/* What a crash left, and what a run that goes on from an older snapshot must not find later. */
static void sweeps(void)
{
  memory_disk m;
  run r;
  memory_open(&m);
  open_run(&r, &m, 2, RUN);
  for (int64_t clock = 10; clock <= 20; clock += 10) save_empty(&r, clock);
  static const char *const left[] = {
    "clock-30.part-0.tmp", "clock-30.manifest.tmp", "clock-30.part-7.tmp", "clock-30.part-1.tmp", "mine.tmp",
    "clock-30.part-1.txt"
  };
  for (size_t i = 0; i < sizeof left / sizeof *left; i++) memory_write(&m, left[i], "x", 1);
  EXPECT(!epact_keeper_sweep(&r.keeper[0], 20), "rank 0 sweeps");
  EXPECT(m.files == 9 && !has(&m, left[0]) && !has(&m, left[1]) && !has(&m, left[2]), "its own, and nobody's");
  EXPECT(!epact_keeper_sweep(&r.keeper[1], 20) && m.files == 8 && !has(&m, left[3]), "rank 1 sweeps its own");
  EXPECT(has(&m, "mine.tmp") && has(&m, "clock-20.manifest"), "what is not ours stays");
  EXPECT(!epact_keeper_sweep(&r.keeper[1], 10) && has(&m, "clock-20.manifest"), "manifests are rank 0's");
  EXPECT(!epact_keeper_sweep(&r.keeper[0], 10) && !has(&m, "clock-20.manifest") && has(&m, "clock-10.manifest"),
         "a later snapshot goes");
  close_run(&r);
  memory_close(&m);
}

int main(void)
{
  any_number_of_shards();
  damaged();
  missing();
  of_another();
  keeps_two();
  ends_with_two();
  sweeps();
  return failures != 0;
}
