/* Scenes of a shard that pushes and a mirror that follows: a push that is lost or comes in parts, a row that is let
 * go and read again, bounds, a shard that lies. What happens by chance is in simulator.c. */
#include "stage.h"

#include "ps/mirror.h"

enum { ROWS = 10, COLS = 12 };

/* Worker 1 lives with the mirror, worker 0 elsewhere. */
typedef struct {
  epact_shard shard;
  epact_mirror mirror;
  epact_schema schema;
  int pushes, skip, parts; /* the push with number `skip` gets lost */
  int64_t whole, cells;    /* rows of the last push; cells */
} scene;

static void hear(void *context, const epact_message *message)
{
  scene *t = context;
  if (message->kind == EPACT_M_PUSH) {
    t->whole = message->section[1].rows;
    t->cells = epact_section_cells(&message->section[2]);
    t->parts += message->request > 0;
    if (t->pushes++ == t->skip) return;
  }
  EXPECT(!epact_mirror_step(&t->mirror, message), "the mirror fails: %s", epact_error_message());
}

static void tell(scene *t, epact_message message)
{
  epact_outbox outbox = { hear, t };
  message.table = t->schema.id;
  if (!message.text) message.text = "";
  EXPECT(!epact_shard_step(&t->shard, &message, &outbox), "the shard fails: %s", epact_error_message());
}

static epact_section ids_of(const scene *t, int64_t n, const int64_t *row)
{
  return (epact_section){ t->schema.id, EPACT_I64, COLS, n, row, NULL, NULL, NULL, 0 };
}

static void read_rows(scene *t, int64_t n, const int64_t *row)
{
  epact_section ids = ids_of(t, n, row);
  tell(t, (epact_message){ .kind = EPACT_M_READ, .slot = 1, .sections = 1, .section = &ids });
}

static void read_row(scene *t, int64_t row)
{
  read_rows(t, 1, &row);
}

/* Worker 0 adds `delta` to the first `cols` columns of a row, worker 1 nothing: the minimum advances. */
static void advance_with(scene *t, int64_t clock, int64_t row, uint32_t cols, int64_t delta)
{
  uint32_t start[] = { 0, cols }, col[COLS];
  int64_t value[COLS];
  for (uint32_t i = 0; i < COLS; i++) {
    col[i] = i;
    value[i] = delta;
  }
  epact_section section = { t->schema.id, EPACT_I64, COLS, 1, &row, start, col, value, 0 };
  tell(t, (epact_message){ .kind = EPACT_M_BATCH, .slot = 0, .clock = clock, .sections = 1, .section = &section });
  tell(t, (epact_message){ .kind = EPACT_M_BATCH, .slot = 1, .clock = clock });
}

static void open_scene(scene *t, int64_t most_rows, size_t most_bytes)
{
  static const int32_t home[] = { 0, 1 };
  memset(t, 0, sizeof *t);
  t->skip = -1;
  t->schema = (epact_schema){
    .id = epact_table_id("pushed"), .type = EPACT_I64, .rows = ROWS, .cols = COLS, .sparse_updates = true, .push = true
  };
  EXPECT(!epact_shard_init(&t->shard, 0, 1, 2, false) && !epact_shard_settle(&t->shard, home), "a shard opens");
  EXPECT(!epact_mirror_init(&t->mirror, 1, 1, 1, most_rows, most_bytes), "a mirror opens");
  EXPECT(!epact_mirror_add_table(&t->mirror, &t->schema), "and keeps a table");
  tell(t, (epact_message){ .kind = EPACT_M_CREATE, .schema = &t->schema, .text = "pushed" });
}

static void close_scene(scene *t)
{
  epact_shard_free(&t->shard);
  epact_mirror_free(&t->mirror);
}

static epact_mirror_row *row_of(const scene *t, int64_t id)
{
  return epact_mirror_find(&t->mirror, t->mirror.table[0], id);
}

/* A cell and the minimum clock of a row, and whether it follows. */
static void expect_row(const scene *t, int64_t id, int64_t value, int64_t minimum, bool follows, const char *what)
{
  const epact_mirror_row *row = row_of(t, id);
  EXPECT(row, "%s: row %d is there", what, (int)id);
  if (!row) return;
  int64_t have = (int64_t)row->values[0], at = epact_mirror_state_of(&t->mirror, row)->minimum;
  EXPECT(have == value && at == minimum && epact_mirror_follows(&t->mirror, row) == follows,
         "%s: row %d is %d at clock %d, expected %d at clock %d", what, (int)id, (int)have, (int)at, (int)value,
         (int)minimum);
}

static int64_t subscribed(const scene *t)
{
  return t->shard.table[0]->subscribed->held[1];
}

static void rows_follow(void)
{
  scene t;
  open_scene(&t, 100, 1 << 20);
  read_row(&t, 3);
  read_row(&t, 4);
  advance_with(&t, 0, 3, 2, 7);
  EXPECT(t.pushes == 1 && t.whole == 0 && t.cells == 2, "two cells are pushed");
  expect_row(&t, 3, 7, 1, true, "pushed");
  expect_row(&t, 4, 0, 1, true, "not changed");
  advance_with(&t, 1, 4, COLS, 5);
  EXPECT(t.whole == 1 && t.cells == 0, "a row of which most changed is pushed whole");
  advance_with(&t, 2, 9, 1, 1);
  EXPECT(t.pushes == 3 && t.whole + t.cells == 0, "nothing of what was read has changed: only the clock is told");
  expect_row(&t, 4, 5, 3, true, "three clocks on");
  EXPECT(epact_mirror_state_of(&t.mirror, row_of(&t, 3))->applied[0] == 2, "with the reader's own batches");
  close_scene(&t);
}

static void lost_push(void)
{
  scene t;
  open_scene(&t, 100, 1 << 20);
  read_row(&t, 3);
  read_row(&t, 4);
  t.skip = 1;
  advance_with(&t, 0, 3, 1, 1);
  advance_with(&t, 1, 3, 1, 10); /* is lost */
  expect_row(&t, 3, 1, 1, true, "nobody knows yet");
  advance_with(&t, 2, 4, 1, 1);
  expect_row(&t, 3, 1, 1, false, "as it was");
  expect_row(&t, 4, 0, 0, false, "no cells on top of what may lack others");
  read_row(&t, 3);
  advance_with(&t, 3, 3, 1, 100);
  expect_row(&t, 3, 111, 4, true, "read again");
  advance_with(&t, 4, 4, COLS, 1000);
  expect_row(&t, 4, 1001, 5, true, "pushed whole");
  close_scene(&t);
}

static void push_in_parts(void)
{
  static const int64_t both[] = { 3, 4 };
  scene t;
  open_scene(&t, 100, 1 << 20);
  t.shard.push_bytes = 1;
  read_rows(&t, 2, both);
  read_row(&t, 5);
  int64_t row[] = { 3, 4 }, value[] = { 8, 9 };
  static const uint32_t start[] = { 0, 1, 2 }, col[] = { 0, 0 };
  epact_section section = { t.schema.id, EPACT_I64, COLS, 2, row, start, col, value, 0 };
  for (int clock = 0; clock < 2; clock++) {
    t.pushes = 0;
    t.skip = clock ? 0 : -1;
    tell(&t, (epact_message){ .kind = EPACT_M_BATCH, .clock = clock, .sections = 1, .section = &section });
    tell(&t, (epact_message){ .kind = EPACT_M_BATCH, .slot = 1, .clock = clock });
    EXPECT(t.pushes == 2, "a row a part");
    bool first = clock == 0;
    expect_row(&t, 3, 8, 1, first, "the first part came once");
    expect_row(&t, 4, first ? 9 : 18, clock + 1, true, "the last part came");
    expect_row(&t, 5, 0, first, first, "unchanged, for all it knows");
  }
  close_scene(&t);
}

static void unsubscribe(scene *t, int64_t row, int64_t version)
{
  epact_section ids = ids_of(t, 1, &row);
  tell(t, (epact_message){ .kind = EPACT_M_UNSUBSCRIBE, .slot = 1, .cursor = version, .sections = 1, .section = &ids });
}

/* The message is overtaken by a later read. */
static void let_go_and_read_again(void)
{
  scene t;
  open_scene(&t, 1, 1 << 20);
  read_row(&t, 3);
  read_row(&t, 4);
  EXPECT(!row_of(&t, 3) && row_of(&t, 4) && t.mirror.dropped == 1, "there is room for one");
  advance_with(&t, 0, 3, 1, 1);
  const int64_t *row;
  uint64_t version;
  int64_t count = epact_mirror_take_dropped(&t.mirror, t.mirror.table[0], 0, &row, &version);
  EXPECT(count == 2 && row[0] == 3 && row[1] == 3 && version == 2, "it was let go, and pushed all the same");
  read_row(&t, 3);
  unsubscribe(&t, 3, (int64_t)version);
  EXPECT(subscribed(&t) == 2, "what was read since stays");
  unsubscribe(&t, 4, (int64_t)version);
  EXPECT(subscribed(&t) == 1, "what was not is let go");
  advance_with(&t, 1, 3, 1, 1);
  expect_row(&t, 3, 2, 2, true, "it still follows");
  tell(&t, (epact_message){ .kind = EPACT_M_BATCH, .slot = 1, .clock = 2, .final = true });
  EXPECT(subscribed(&t) == 0, "nobody is left to be told");
  read_row(&t, 3);
  EXPECT(subscribed(&t) == 0, "nor comes again");
  close_scene(&t);
}

static void too_large(void)
{
  scene t;
  open_scene(&t, 100, 50);
  read_row(&t, 3);
  EXPECT(!row_of(&t, 3) && t.mirror.rows == 0 && t.mirror.bytes == 0 && t.mirror.dropped == 1, "no row has room");
  close_scene(&t);
}

/* Processes beyond the first 64 have their bits in another word. */
static void many_processes(void)
{
  scene t;
  open_scene(&t, 100, 1 << 20);
  read_row(&t, 3);
  for (int first = 2; first < 140; first++) EXPECT(!epact_shard_admit(&t.shard, first, 1), "one more comes");
  const int64_t row[] = { 3 };
  epact_section ids = ids_of(&t, 1, row);
  tell(&t, (epact_message){ .kind = EPACT_M_READ, .slot = 130, .sections = 1, .section = &ids });
  epact_subscriptions *s = t.shard.table[0]->subscribed;
  EXPECT(s->words == 3 && s->held[1] == 1 && s->held[130] == 1, "both are subscribed");
  EXPECT(epact_is_subscribed(s, 1, 0) && epact_is_subscribed(s, 130, 0) && !epact_is_subscribed(s, 66, 0),
         "and nobody else");
  close_scene(&t);
}

static void lies(void)
{
  scene t;
  open_scene(&t, 100, 1 << 20);
  static const int64_t slot[] = { 1 }, applied[] = { 0 }, bad_row[] = { ROWS }, value[] = { 5 }, row[] = { 3 };
  static const uint32_t start[] = { 0, 1 }, bad_col[] = { COLS };
  epact_section section[3] = { { 0, EPACT_I64, 1, 1, slot, NULL, NULL, applied, 0 },
                               ids_of(&t, 0, NULL),
                               { t.schema.id, EPACT_I64, COLS, 1, row, start, bad_col, value, 0 } };
  epact_message push = {
    .kind = EPACT_M_PUSH, .table = t.schema.id, .cursor = 9, .final = true, .sections = 3, .section = section
  };
  EXPECT(epact_mirror_step(&t.mirror, &push) == EPACT_E_PROTO, "a column out of range");
  section[2] = ids_of(&t, 1, bad_row);
  EXPECT(epact_mirror_step(&t.mirror, &push) == EPACT_E_PROTO, "a row out of range");
  section[2] = ids_of(&t, 1, row);
  EXPECT(epact_mirror_step(&t.mirror, &push) == EPACT_E_PROTO, "a row without values");
  section[2] = (epact_section){ t.schema.id, EPACT_I64, COLS, 1, row, start, start, value, EPACT_AS_F32 };
  EXPECT(epact_mirror_step(&t.mirror, &push) == EPACT_E_PROTO, "values that are rounded");
  push.sections = 2;
  EXPECT(epact_mirror_step(&t.mirror, &push) == EPACT_E_PROTO, "too few sections");
  push.sections = 3;
  section[2] = ids_of(&t, 0, NULL);
  section[0].type = EPACT_F32;
  EXPECT(epact_mirror_step(&t.mirror, &push) == EPACT_E_PROTO, "clocks that are no integers");
  push.table++;
  EXPECT(!epact_mirror_step(&t.mirror, &push), "a table nobody keeps is nobody's business");
  close_scene(&t);
}

int main(void)
{
  rows_follow();
  lost_push();
  push_in_parts();
  let_go_and_read_again();
  too_large();
  many_processes();
  lies();
  return failures != 0;
}
