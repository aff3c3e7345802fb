/* Journals: how far they go, against a search through everything; what they replay, against plain sums; a torn end is
 * cut, damage before what was synced is refused. */
#include "memory_disk.h"
#include "ps/client.h"
#include "ps/keeper.h"
#include "ps/shard_table.h"

#include "base/internal.h"

static int failures;

#define EXPECT(held, ...)                                                                                              \
  do {                                                                                                                 \
    if (!(held)) {                                                                                                     \
      fprintf(stderr, "journal:%d: ", __LINE__);                                                                       \
      fprintf(stderr, __VA_ARGS__);                                                                                    \
      fprintf(stderr, " (%s)\n", epact_error_message());                                                               \
      failures++;                                                                                                      \
    }                                                                                                                  \
  } while (0)

enum { RUN = 5, LIFE = 9, FROM = 10, MOST_SHARDS = 3, MOST_SLOTS = 4, MOST_CLOCKS = 8, ROWS = 12 };

static void batch(epact_records *records, int slot, int64_t clock, bool final, int sections,
                  const epact_section *section)
{
  epact_message m = { .kind = EPACT_M_BATCH,
                      .slot = slot,
                      .clock = clock,
                      .final = final,
                      .sections = sections,
                      .section = section,
                      .text = "" };
  if (epact_records_add(records, &m, RUN)) exit(1);
}

/* final: that of a worker which has finished, good at every later clock. */
static void state(epact_records *records, int slot, int64_t clock, bool final)
{
  epact_message m = { .kind = EPACT_M_STATE,
                      .slot = slot,
                      .clock = clock,
                      .final = final,
                      .blob = &clock,
                      .blob_bytes = sizeof clock,
                      .text = "" };
  if (epact_records_add(records, &m, RUN)) exit(1);
}

/* What a keeper puts before all that it writes: whose it is. */
static void mark(epact_records *records, int64_t clock, int rank, int shards, int slots, uint64_t run)
{
  epact_message m = { .kind = EPACT_M_SYNCED,
                      .shard = rank,
                      .slot = slots,
                      .incarnation = LIFE,
                      .request = (uint32_t)shards,
                      .clock = clock,
                      .text = "" };
  if (epact_records_add(records, &m, run)) exit(1);
}

/* ---- how far they go ---- */

/* Who did what, and what of it reached the disk; clocks count from FROM. */
typedef struct {
  int shards, slots;
  int clocks[MOST_SLOTS]; /* each slot's */
  bool finished[MOST_SLOTS], keeps[MOST_SLOTS];
  bool batch[MOST_SHARDS][MOST_SLOTS][MOST_CLOCKS], state[MOST_SLOTS][MOST_CLOCKS + 1];
} history;

static bool is_whole(const history *h, int clocks)
{
  for (int slot = 0; slot < h->slots; slot++) {
    bool ended = h->finished[slot] && clocks >= h->clocks[slot];
    int most = ended ? h->clocks[slot] : clocks;
    for (int c = 0; c < most; c++) {
      for (int s = 0; s < h->shards; s++) {
        if (c >= h->clocks[slot] || !h->batch[s][slot][c]) return false;
      }
    }
    if (h->keeps[slot] && clocks > 0 && !h->state[slot][most]) return false;
  }
  return true;
}

static int search(const history *h)
{
  int most = 0;
  for (int slot = 0; slot < h->slots; slot++) most = h->clocks[slot] > most ? h->clocks[slot] : most;
  while (most > 0 && !is_whole(h, most)) most--;
  return most;
}

/* A random history into the journals of its shards, each torn at a random record. Slots take turns at random, as
 * workers that wait for nobody do; slot s belongs to shard s % shards, where its states go. */
static void write_history(epact_rng *rng, history *h, epact_records *records)
{
  int next[MOST_SLOTS] = { 0 }, left = 0;
  int64_t room[MOST_SHARDS];
  memset(h, 0, sizeof *h);
  h->shards = 1 + (int)epact_rng_below(rng, MOST_SHARDS);
  h->slots = 1 + (int)epact_rng_below(rng, MOST_SLOTS);
  for (int s = 0; s < h->shards; s++) {
    room[s] = epact_rng_below(rng, 3) ? 1000 : 1 + epact_rng_below(rng, 20);
    mark(&records[s], FROM, s, h->shards, h->slots, RUN);
  }
  for (int slot = 0; slot < h->slots; slot++) {
    h->clocks[slot] = (int)epact_rng_below(rng, MOST_CLOCKS + 1);
    h->finished[slot] = h->clocks[slot] && epact_rng_below(rng, 2);
    h->keeps[slot] = epact_rng_below(rng, 3) == 0;
    left += h->clocks[slot];
    if (h->keeps[slot]) state(&records[slot % h->shards], slot, FROM, false);
  }
  while (left) {
    int slot = (int)epact_rng_below(rng, h->slots);
    int c = next[slot];
    if (c == h->clocks[slot]) continue;
    bool final = h->finished[slot] && c == h->clocks[slot] - 1;
    next[slot]++;
    left--;
    for (int s = 0; s < h->shards; s++) {
      if (room[s]-- <= 0) continue;
      h->batch[s][slot][c] = true;
      batch(&records[s], slot, FROM + c, final, 0, NULL);
    }
    if (h->keeps[slot] && room[slot % h->shards]-- > 0) {
      h->state[slot][c + 1] = true;
      state(&records[slot % h->shards], slot, FROM + c + 1, final);
    }
  }
}

static char *copy_of(const char *data, size_t bytes)
{
  char *copy = malloc(bytes ? bytes : 1);
  if (!copy) exit(1);
  if (bytes) memcpy(copy, data, bytes);
  return copy;
}

static void random_histories(void)
{
  int further = 0;
  for (uint64_t seed = 1; seed <= 3000; seed++) {
    epact_rng rng = epact_rng_stream(seed, 0, 0);
    epact_records records[MOST_SHARDS] = { { NULL, 0, 0, 0 } };
    epact_journal journal = { .run = RUN };
    bool keeps[MOST_SLOTS] = { false };
    history h;
    write_history(&rng, &h, records);
    for (int s = h.shards - 1; s >= 0; s--) {
      size_t whole;
      char *copy = copy_of(records[s].data, records[s].bytes);
      EXPECT(!epact_journal_add(&journal, copy, records[s].bytes, FROM, s, &whole), "a journal is read");
      EXPECT(whole == records[s].bytes, "all of it");
      epact_records_free(&records[s]);
    }
    int64_t clock = epact_journal_clock(&journal, FROM, keeps);
    EXPECT(clock == FROM + search(&h), "seed %d: clock %d, not %d", (int)seed, (int)clock, FROM + search(&h));
    further += clock > FROM;
    epact_journal_free(&journal);
  }
  EXPECT(further > 500, "%d histories go further", further);
}

/* ---- on a disk: a run of one process or more, whose rows count ---- */

typedef struct {
  epact_keeper keeper[MOST_SHARDS];
  epact_shard shard[MOST_SHARDS];
  epact_records log[MOST_SHARDS];
  int shards, slots;
  int64_t durable;
} run;

static const epact_schema counts = { .type = EPACT_I64, .rows = ROWS, .cols = 2 };

static void route(void *context, const epact_message *message)
{
  run *r = context;
  EXPECT(!epact_keeper_step(&r->keeper[message->shard], message), "a keeper takes a message");
}

static void record(void *keeper, const epact_message *message)
{
  if (epact_records_add(keeper, message, RUN)) exit(1);
}

static void nowhere(void *context, const epact_message *message)
{
  (void)context;
  EXPECT(message->kind != EPACT_M_REFUSED, "%s", message->text);
}

static void start(run *r, memory_disk *m, int shards, int slots, int64_t clock, int64_t snapshot, uint32_t life)
{
  memset(r, 0, sizeof *r);
  r->shards = shards;
  r->slots = slots;
  for (int rank = 0; rank < shards; rank++) {
    epact_shard *shard = &r->shard[rank];
    if (epact_shard_init(shard, rank, shards, slots, false)) exit(1);
    epact_shard_begin(shard, clock, 0);
    shard->keep = record;
    shard->keeper = &r->log[rank];
    r->keeper[rank] = (epact_keeper){ .disk = &m->disk,
                                      .outbox = { route, r },
                                      .run = RUN,
                                      .life = life,
                                      .rank = rank,
                                      .shards = shards,
                                      .processes = shards,
                                      .slots = slots,
                                      .first_slot = 0,
                                      .workers = rank ? 0 : slots,
                                      .every = 10,
                                      .journal = true };
    if (epact_keeper_open(&r->keeper[rank], snapshot, clock)) exit(1);
  }
  for (int rank = 0; rank < shards; rank++) EXPECT(!epact_keeper_turn(&r->keeper[rank], clock), "a journal begins");
}

static void stop(run *r)
{
  for (int rank = 0; rank < r->shards; rank++) {
    epact_keeper_close(&r->keeper[rank]);
    epact_shard_free(&r->shard[rank]);
    epact_records_free(&r->log[rank]);
  }
}

static void flush(run *r, int rank)
{
  EXPECT(!epact_keeper_append(&r->keeper[rank], &r->log[rank], r->shard[rank].minimum), "a journal is written");
  epact_records_free(&r->log[rank]);
}

static void make_table(run *r, int rank)
{
  epact_schema schema = counts;
  epact_outbox outbox = { nowhere, NULL };
  schema.id = epact_table_id("counts");
  epact_message create = { .kind = EPACT_M_CREATE, .schema = &schema, .text = "counts" };
  EXPECT(!epact_shard_step(&r->shard[rank], &create, &outbox), "a table is made");
}

/* What slot adds to a row at a clock: no two sums of these are equal by chance. */
static int64_t amount(int slot, int64_t clock, int64_t row)
{
  return (int64_t)(epact_mix64((uint64_t)(slot * 1000 + clock) * 1000 + (uint64_t)row) >> 30);
}

static void step(run *r, int rank, int slot, int64_t clock)
{
  epact_schema schema = counts;
  int64_t row[ROWS], value[ROWS * 2];
  epact_outbox outbox = { nowhere, NULL };
  schema.id = epact_table_id("counts");
  epact_section section = { .table = schema.id, .type = EPACT_I64, .cols = 2, .row = row, .value = value };
  for (int64_t i = 0; i < ROWS; i++) {
    if (epact_row_shard(&schema, i, r->shards) != rank) continue;
    row[section.rows] = i;
    value[section.rows * 2] = amount(slot, clock, i);
    value[section.rows++ * 2 + 1] = 1;
  }
  epact_message m = {
    .kind = EPACT_M_BATCH, .slot = slot, .clock = clock, .sections = 1, .section = &section, .text = ""
  };
  EXPECT(!epact_shard_step(&r->shard[rank], &m, &outbox), "a batch is taken");
}

static void save(run *r, int64_t clock)
{
  for (int rank = 0; rank < r->shards; rank++) {
    epact_records part = { NULL, 0, 0, 0 };
    bool made = !epact_part_begin(&part, &r->shard[rank], clock, RUN) && !epact_part_end(&part, RUN);
    EXPECT(made && !epact_keeper_save(&r->keeper[rank], clock, &part), "a part is saved");
    epact_records_free(&part);
  }
}

/* Of all shards: does the row hold what `slots` slots added at clocks before `clock`? */
static void expect_sums(memory_disk *m, int shards, int slots, int64_t clock, const char *what)
{
  epact_schema schema = counts;
  schema.id = epact_table_id("counts");
  for (int rank = 0; rank < shards; rank++) {
    epact_recovery recovery;
    epact_shard shard;
    if (epact_shard_init(&shard, rank, shards, slots, false)) exit(1);
    const epact_part_reader reader = { .shard = &shard };
    int code = epact_recovery_find(&m->disk, -1, &recovery);
    EXPECT(!code, "%s: found", what);
    if (!code) {
      EXPECT(recovery.clock == clock && recovery.slots == slots, "%s: clock %d of %d slots, not %d of %d", what,
             (int)recovery.clock, recovery.slots, (int)clock, slots);
      EXPECT(!epact_recovery_load(&m->disk, &recovery, &reader), "%s: loaded", what);
      epact_recovery_free(&recovery);
      const epact_shard_table *table = epact_shard_find_table(&shard, schema.id);
      EXPECT((table != NULL) == (clock > 0), "%s: a table is there if it is to be", what);
      for (int64_t row = 0; row < ROWS && clock; row++) {
        int64_t want[2] = { 0, slots * clock }, have[2] = { 0, 0 };
        if (epact_row_shard(&schema, row, shards) != rank) continue;
        for (int slot = 0; slot < slots; slot++) {
          for (int64_t c = 0; c < clock; c++) want[0] += amount(slot, c, row);
        }
        uint32_t index = table ? epact_store_find(&table->store, row) : EPACT_NO_INDEX;
        if (index != EPACT_NO_INDEX) memcpy(have, epact_store_values(&table->store, index), sizeof have);
        EXPECT(have[0] == want[0] && have[1] == want[1], "%s: row %d on %d of %d counts %d, not %d", what, (int)row,
               rank, shards, (int)have[1], (int)want[1]);
      }
    }
    epact_shard_free(&shard);
  }
}

static void replays_on_any_number_of_shards(void)
{
  for (int from = 1; from <= MOST_SHARDS; from++) {
    memory_disk m;
    run r;
    memory_open(&m);
    start(&r, &m, from, 2, 0, -1, LIFE);
    save(&r, 0);
    for (int rank = 0; rank < from; rank++) make_table(&r, rank);
    for (int64_t clock = 0; clock < 5; clock++) {
      for (int rank = 0; rank < from; rank++) {
        for (int slot = 0; slot < 2; slot++) step(&r, rank, slot, clock);
        if (clock < 4 || rank) flush(&r, rank); /* rank 0 dies before its last */
      }
    }
    EXPECT(r.keeper[0].durable == 4, "durable %d", (int)r.keeper[0].durable);
    for (int to = 1; to <= MOST_SHARDS; to++) expect_sums(&m, to, 2, 4, "a journal");
    stop(&r);
    memory_close(&m);
  }
}

/* ---- damage ---- */

/* Where the record that byte `at` belongs to begins, and where the last mark does. */
static size_t record_at(const memory_file *file, size_t at, size_t *last_mark)
{
  epact_record_reader reader = epact_record_reader_of(file->data, file->bytes, RUN);
  size_t found = 0;
  while (epact_record_next(&reader) == 1) {
    if (reader.offset <= at) found = reader.offset;
    if (reader.decoded.message.kind == EPACT_M_SYNCED) *last_mark = reader.offset;
  }
  epact_record_reader_close(&reader);
  return found;
}

/* Batches in whole records before `bytes`. */
static int64_t batches_before(const memory_file *file, size_t bytes)
{
  epact_record_reader reader = epact_record_reader_of(file->data, file->bytes, RUN);
  int64_t batches = 0;
  while (epact_record_next(&reader) == 1)
    batches += reader.decoded.message.kind == EPACT_M_BATCH && reader.next <= bytes;
  epact_record_reader_close(&reader);
  return batches;
}

static memory_file *write_journal(memory_disk *m, int groups)
{
  run r;
  start(&r, m, 1, 1, 0, -1, LIFE);
  save(&r, 0);
  make_table(&r, 0);
  for (int64_t clock = 0; clock < groups; clock++) {
    step(&r, 0, 0, clock);
    flush(&r, 0);
  }
  stop(&r);
  return memory_find(m, "clock-0.journal-0");
}

static void expect_damage(memory_disk *m, const memory_file *good, const memory_file *file, size_t at)
{
  size_t mark = 0, place = record_at(good, at, &mark);
  char what[64], where[64];
  snprintf(what, sizeof what, "byte %zu", at);
  if (place >= mark) { /* nothing says that it ever was on the disk */
    expect_sums(m, 1, 1, batches_before(good, place), what);
    return;
  }
  epact_recovery recovery;
  int code = epact_recovery_find(&m->disk, -1, &recovery);
  snprintf(where, sizeof where, " at byte %zu", place);
  EXPECT(code == EPACT_E_CORRUPT || code == EPACT_E_VERSION, "byte %zu of %s: %s", at, file->name,
         epact_error_name(code));
  EXPECT(strstr(epact_error_message(), "clock-0.journal-0: ") && strstr(epact_error_message(), where),
         "byte %zu: the file and the record at %zu are named", at, place);
}

/* Every byte, in two ways: cut when it is in what was written last, refused before. */
static void damaged(void)
{
  memory_disk m;
  memory_open(&m);
  memory_file *file = write_journal(&m, 3);
  memory_file good = { .bytes = file->bytes, .data = copy_of(file->data, file->bytes) };
  size_t mark = 0;
  record_at(&good, 0, &mark);
  EXPECT(mark > 400 && mark + 300 < good.bytes, "the journal has a part of each kind: %zu of %zu", mark, good.bytes);
  for (size_t at = 0; at < good.bytes; at++) {
    file->data[at] = (char)(good.data[at] ^ 1 << at % 8);
    expect_damage(&m, &good, file, at);
    file->data[at] = (char)~good.data[at];
    expect_damage(&m, &good, file, at);
    file->data[at] = good.data[at];
  }
  for (file->bytes = 0; file->bytes < good.bytes; file->bytes++)
    expect_sums(&m, 1, 1, batches_before(&good, file->bytes), "a torn journal");
  memory_append(&m, "clock-0.journal-0", "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
  expect_sums(&m, 1, 1, 3, "zeros behind a journal");
  free(good.data);
  memory_close(&m);
}

static void expect_find(memory_disk *m, int code, const char *words)
{
  epact_recovery recovery;
  int have = epact_recovery_find(&m->disk, -1, &recovery);
  EXPECT(have == code && strstr(epact_error_message(), words), "%s comes as %s", words, epact_error_name(have));
  if (!have) epact_recovery_free(&recovery);
}

static void of_another(void)
{
  memory_disk m;
  memory_open(&m);
  epact_records records = { NULL, 0, 0, 0 };
  memory_file *file = write_journal(&m, 2);
  mark(&records, 0, 0, 2, 1, RUN);
  memory_append(&m, "clock-0.journal-1", records.data, records.bytes);
  expect_find(&m, EPACT_E_CORRUPT, "clock-0.journal-1: it does not begin as the journal of rank 1 from clock 0");
  memory_remove(&m, "clock-0.journal-1");
  file = memory_find(&m, "clock-0.journal-0");
  memory_append(&m, "clock-1.journal-0", file->data, file->bytes);
  expect_find(&m, EPACT_E_CORRUPT, "clock-1.journal-0: it does not begin as the journal of rank 0 from clock 1");
  memory_remove(&m, "clock-1.journal-0");
  epact_records_free(&records);
  mark(&records, 0, 0, 1, 1, RUN + 1);
  memory_write(&m, "clock-0.journal-0", records.data, records.bytes);
  expect_find(&m, EPACT_E_JOB, "clock-0.journal-0: the record at byte 0: ");
  epact_records_free(&records);
  memory_close(&m);
}

/* ---- a run that is resumed at its snapshot's clock ---- */

/* It may have other shards and workers than the snapshot: its journals say so. */
static void resumed_on_other_shards(void)
{
  for (int to = 1; to <= MOST_SHARDS; to++) {
    memory_disk m;
    run r;
    memory_open(&m);
    start(&r, &m, 2, 1, 0, -1, LIFE);
    save(&r, 0);
    stop(&r);
    start(&r, &m, to, 3, 0, 0, LIFE + 1);
    for (int rank = 0; rank < to; rank++) {
      make_table(&r, rank);
      for (int64_t clock = 0; clock < 4; clock++) {
        for (int slot = 0; slot < 3; slot++) step(&r, rank, slot, clock);
      }
      flush(&r, rank);
    }
    expect_sums(&m, 2, 3, 4, "other shards");
    stop(&r);
    memory_close(&m);
  }
}

/* Journals of two starts, the second of which was killed before all its processes had begun anew. */
static void two_starts(void)
{
  memory_disk m;
  run r;
  memory_open(&m);
  start(&r, &m, 2, 1, 0, -1, LIFE);
  save(&r, 0);
  for (int rank = 0; rank < 2; rank++) make_table(&r, rank);
  step(&r, 1, 0, 0);
  flush(&r, 1);
  stop(&r);
  memory_file *left = memory_find(&m, "clock-0.journal-1"), old = { .bytes = left->bytes };
  old.data = copy_of(left->data, left->bytes);
  start(&r, &m, 2, 1, 0, 0, LIFE + 1);
  make_table(&r, 0);
  step(&r, 0, 0, 0);
  flush(&r, 0);
  memory_write(&m, "clock-0.journal-1", old.data, old.bytes);
  expect_sums(&m, 2, 1, 0, "two starts");
  free(old.data);
  stop(&r);
  memory_close(&m);
}

/* What the snapshot says of its workers holds for the life that took it: in the next one those that had finished work
 * again, and nobody need keep a state. */
static void workers_of_an_earlier_life(void)
{
  memory_disk m;
  run r;
  epact_records part = { NULL, 0, 0, 0 };
  memory_open(&m);
  start(&r, &m, 1, 2, 0, -1, LIFE);
  r.shard[0].slot[1].applied = EPACT_FOREVER;
  bool made = !epact_part_begin(&part, &r.shard[0], 0, RUN) && !epact_part_state(&part, 0, 0, "mine", 4, RUN) &&
              !epact_part_end(&part, RUN);
  EXPECT(made && !epact_keeper_save(&r.keeper[0], 0, &part), "a part is saved");
  epact_records_free(&part);
  stop(&r);
  start(&r, &m, 1, 2, 0, 0, LIFE + 1);
  make_table(&r, 0);
  for (int64_t clock = 0; clock < 4; clock++) step(&r, 0, 0, clock);
  for (int64_t clock = 0; clock < 2; clock++) step(&r, 0, 1, clock);
  flush(&r, 0);
  expect_sums(&m, 1, 2, 2, "another life");
  stop(&r);
  memory_close(&m);
}

/* A life that took a snapshot was killed before its journals began: what those of the life before have beyond it is run
 * again. They may lack what belongs to it. */
static void journals_of_an_earlier_life(void)
{
  memory_disk m;
  run r;
  memory_open(&m);
  start(&r, &m, 1, 1, 0, -1, LIFE);
  make_table(&r, 0);
  for (int64_t clock = 0; clock < 3; clock++) step(&r, 0, 0, clock);
  flush(&r, 0);
  stop(&r);
  memory_file *left = memory_find(&m, "clock-0.journal-0"), old = { .bytes = left->bytes };
  old.data = copy_of(left->data, left->bytes);
  start(&r, &m, 1, 1, 0, -1, LIFE + 1);
  save(&r, 0);
  stop(&r);
  memory_write(&m, "clock-0.journal-0", old.data, old.bytes);
  free(old.data);
  expect_sums(&m, 1, 1, 0, "an earlier life");
  memory_close(&m);
}

int main(void)
{
  random_histories();
  replays_on_any_number_of_shards();
  damaged();
  of_another();
  resumed_on_other_shards();
  two_starts();
  workers_of_an_earlier_life();
  journals_of_an_earlier_life();
  return failures != 0;
}
