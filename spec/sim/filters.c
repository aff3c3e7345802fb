/* Filters of increments: scenes of one worker, and the promises to all of them (staleness, read-my-writes, nothing lost)
 * as a property of random programs, for every kind of table and filter.
 *
 * Each worker has a column of its own in every row, in which it adds whole numbers: what a view holds of a worker can be
 * told from it alone. */
#include "stage.h"

#include <inttypes.h>

enum { WORKERS = 4, MOST_SHARDS = 3, ROWS = 6, COLS = 24, CLOCKS = 24 };

typedef struct world world;
typedef struct {
  world *world;
  epact_client client;
  epact_table *table;
  int64_t staleness, floor, done; /* done: clocks */
  bool reading, finished;
  double before[CLOCKS + 2][ROWS]; /* what it has added at clocks < t; t = done + 1: at all */
} worker;

struct world {
  epact_shard shard[MOST_SHARDS];
  worker worker[WORKERS];
  epact_table_options options;
  int shards;
  double rounding; /* the part of a number that may be missing */
  epact_rng rng;
  int64_t bytes, reads, waits;
  const char *violated;
};

static void to_client(void *context, const epact_message *message)
{
  world *w = context;
  EXPECT(!epact_client_step(&w->worker[message->slot].client, message), "a client: %s", epact_error_message());
}

static void to_shard(void *context, const epact_message *message)
{
  worker *from = context;
  epact_outbox outbox = { to_client, from->world };
  EXPECT(!epact_shard_step(&from->world->shard[message->shard], message, &outbox), "a shard: %s",
         epact_error_message());
}

static void open_world(world *w)
{
  const epact_table_options *o = &w->options;
  epact_schema schema = { .type = o->type,
                          .rows = o->rows,
                          .cols = o->cols,
                          .sparse = o->sparse,
                          .sparse_updates = o->sparse || o->sparse_updates,
                          .hold = epact_filter_check(o) };
  EXPECT(schema.hold >= 0, "%s", epact_error_message());
  for (int s = 0; s < w->shards; s++) EXPECT(!epact_shard_init(&w->shard[s], s, w->shards, WORKERS, false), "opens");
  for (int q = 0; q < WORKERS; q++) {
    worker *p = &w->worker[q];
    p->world = w;
    EXPECT(!epact_client_init(&p->client, q, WORKERS, w->shards, -1, (epact_outbox){ to_shard, p }), "opens");
    p->table = epact_client_open(&p->client, o->name, &schema, p->staleness, false);
    EXPECT(p->table && !p->client.refused_code, "opens: %s", p->client.refused_text);
    epact_filter_init(&p->table->filter, o);
  }
}

static void close_world(world *w)
{
  for (int q = 0; q < WORKERS; q++) {
    w->bytes += (int64_t)w->worker[q].table->stats.bytes;
    epact_client_free(&w->worker[q].client);
  }
  for (int s = 0; s < w->shards; s++) epact_shard_free(&w->shard[s]);
}

static bool is_waiting(const worker *p)
{
  for (int s = 0; s < p->client.shards; s++) {
    if (epact_client_waits(&p->client, s)) return true;
  }
  return false;
}

/* ---- what workers do ---- */

static void violate(world *w, const char *promise)
{
  if (!w->violated) w->violated = promise;
}

static void add(worker *p)
{
  world *w = p->world;
  for (int64_t n = epact_rng_below(&w->rng, 4); n > 0; n--) {
    int64_t row = epact_rng_below(&w->rng, ROWS);
    double delta = 1 + (double)epact_rng_below(&w->rng, epact_rng_below(&w->rng, 4) ? 3 : 4000);
    EXPECT(!epact_table_inc(p->table, row, p->client.slot, delta), "%s", epact_error_message());
    p->before[p->done + 1][row] += delta;
  }
}

static void ask(worker *p)
{
  world *w = p->world;
  for (int s = 0; s < w->shards; s++) {
    int64_t ids[ROWS], count = 0;
    for (int64_t row = 0; row < ROWS; row++) {
      if (epact_row_shard(&p->table->schema, row, w->shards) == s && !epact_table_get(p->table, row))
        ids[count++] = row;
    }
    epact_section rows = { p->table->schema.id, p->table->schema.type, COLS, count, ids, NULL, NULL, NULL, 0 };
    if (count && epact_client_ask(&p->client, s, EPACT_M_READ, p->table, epact_table_need(p->table), &rows))
      EXPECT(false, "asks: %s", epact_error_message());
  }
  p->reading = true;
}

/* The promise, in words of its own: all that workers added at clocks < need. */
static void check_view(worker *p)
{
  world *w = p->world;
  int64_t need = p->staleness == EPACT_ASYNC ? 0 : p->done - p->staleness;
  if (need < p->floor) need = p->floor;
  for (int64_t row = 0; row < ROWS; row++) {
    for (int q = 0; q < WORKERS; q++) {
      const worker *writer = &w->worker[q];
      double seen = epact_table_cell(p->table, row, q), all = writer->before[writer->done + 1][row];
      int64_t published = need < writer->done + 1 ? need : writer->done + 1;
      double least = published > 0 ? writer->before[published][row] : 0;
      double missing = published == p->floor && p->floor ? 0 : w->rounding * all;
      if (writer == p && seen != all) violate(w, "read-my-writes");
      if (seen < least - missing) violate(w, "staleness");
      if (seen > all + w->rounding * all) violate(w, "more than there is");
    }
  }
  w->reads++;
  p->reading = false;
}

static void end_clock(worker *p, bool barrier)
{
  bool last = p->done + 1 == CLOCKS;
  p->client.flush = barrier;
  EXPECT(!epact_client_clock(&p->client, last), "%s", epact_error_message());
  p->done++;
  memcpy(p->before[p->done + 1], p->before[p->done], sizeof p->before[0]);
  p->finished = last;
  if (!barrier || last) return;
  p->floor = p->client.floor = p->done;
  for (int s = 0; s < p->client.shards; s++) {
    EXPECT(!epact_client_ask(&p->client, s, EPACT_M_WAIT, NULL, p->client.clock, NULL), "waits");
  }
}

static void act(worker *p)
{
  world *w = p->world;
  if (p->reading) {
    check_view(p);
    return;
  }
  switch (epact_rng_below(&w->rng, 5)) {
  case 0:
  case 1:
    add(p);
    break;
  case 2:
    ask(p);
    w->waits += is_waiting(p);
    break;
  default:
    end_clock(p, p->done % 9 == 8);
  }
}

/* Whether all have finished. */
static bool run_world(world *w)
{
  int running = WORKERS;
  for (int64_t turn = 0; running && turn < 100000; turn++) {
    worker *p = &w->worker[epact_rng_below(&w->rng, WORKERS)];
    if (p->finished || is_waiting(p)) continue;
    act(p);
    running -= p->finished;
  }
  return !running;
}

/* What everybody has added is there, once; nobody keeps anything. */
static void check_end(world *w)
{
  for (int q = 0; q < WORKERS; q++) {
    const worker *p = &w->worker[q];
    if (!epact_log_empty(&p->table->log) || p->table->filter.rests) violate(w, "nothing kept at the end");
    for (int64_t row = 0; row < ROWS; row++) {
      const epact_shard *shard = &w->shard[epact_row_shard(&p->table->schema, row, w->shards)];
      const epact_store *store = &epact_shard_find_table(shard, p->table->schema.id)->store;
      uint32_t index = epact_store_find(store, row), slot = (uint32_t)q;
      const void *value = NULL;
      if (index != EPACT_NO_INDEX && w->options.sparse) {
        slot = epact_sparse_row_find(&store->cells[index], (uint32_t)q);
        value = slot == EPACT_NO_INDEX ? NULL : store->cells[index].value;
      } else if (index != EPACT_NO_INDEX) {
        value = epact_store_values(store, index);
      }
      if ((value ? epact_value_at(w->options.type, value, slot) : 0) != p->before[CLOCKS][row])
        violate(w, "conservation");
    }
  }
}

/* ---- the property ---- */

typedef enum { HONEST, DEAF_TO_HOLD, FORGETFUL } kind;

static void set_options(world *w, uint64_t seed)
{
  static const double unit[] = { 0, 0x1p-11, 0x1p-8, 0x1p-24 };
  epact_rng *rng = &w->rng;
  epact_table_options *o = &w->options;
  *o = (epact_table_options){ .name = "t", .rows = epact_rng_below(rng, 2) ? ROWS : 0, .cols = COLS };
  o->type = epact_rng_below(rng, 2) ? EPACT_F32 : EPACT_F64;
  o->sparse = seed % 3 == 2;
  o->sparse_updates = seed % 3 == 1;
  o->zero = epact_rng_below(rng, 2) == 0;
  o->precision = (int32_t)epact_rng_below(rng, o->type == EPACT_F64 ? 4 : 3);
  o->significance = epact_rng_below(rng, 3) ? 0.5 : 0;
  o->hold = o->significance > 0 ? 1 + epact_rng_below(rng, 4) : 0;
  for (int q = 0; q < WORKERS; q++) {
    int64_t slack = epact_rng_below(rng, 4);
    w->worker[q].staleness = slack == 3 ? EPACT_ASYNC : o->hold + slack;
  }
  o->staleness = EPACT_ASYNC; /* what hold is checked against; readers have their own */
  w->rounding = unit[o->precision];
  w->shards = 1 + (int)epact_rng_below(rng, MOST_SHARDS);
}

static const char *try_world(world *w, uint64_t seed, kind planted)
{
  memset(w, 0, sizeof *w);
  w->rng = epact_rng_stream(seed, 0, 0);
  set_options(w, seed);
  open_world(w);
  for (int q = 0; q < WORKERS; q++) {
    epact_table *table = w->worker[q].table;
    if (planted == DEAF_TO_HOLD) table->slack = table->staleness;
    if (planted == FORGETFUL) table->schema.hold = table->schema.hold ? 1000 : 0; /* the turn never comes */
  }
  if (!run_world(w)) violate(w, "liveness");
  check_end(w);
  close_world(w);
  return w->violated;
}

static void promises(void)
{
  static world w;
  int64_t reads = 0, waits = 0;
  for (uint64_t seed = 1; seed <= 400; seed++) {
    const char *violated = try_world(&w, seed, HONEST);
    EXPECT(!violated, "seed %d: %s; type %d precision %d significance %g hold %d", (int)seed, violated, w.options.type,
           w.options.precision, w.options.significance, (int)w.options.hold);
    reads += w.reads;
    waits += w.waits;
  }
  EXPECT(reads > 10000 && waits > 1000, "%d reads, %d waits", (int)reads, (int)waits);
  for (kind planted = DEAF_TO_HOLD; planted <= FORGETFUL; planted++) {
    const char *found = NULL;
    for (uint64_t seed = 1; seed <= 400 && !found; seed++) found = try_world(&w, seed, planted);
    EXPECT(found && !strcmp(found, "staleness"), "planted bug %d: %s", planted, found);
  }
}

/* ---- scenes of one worker, who sees what it has sealed ---- */

typedef struct {
  stage stage;
  epact_client client;
  epact_table *table;
  epact_section sent; /* of the last batch; rows == 0: none */
} solo;

static void to_stage(void *context, const epact_message *message)
{
  solo *a = context;
  if (message->kind == EPACT_M_BATCH) {
    a->sent = (epact_section){ .rows = 0 };
    if (message->sections) a->sent = message->section[0];
  }
  say(&a->stage, *message);
  EXPECT(a->stage.heard.last.kind != EPACT_M_REFUSED, "refused: %s", a->stage.heard.text);
  EXPECT(!epact_client_step(&a->client, &a->stage.heard.last), "the client: %s", epact_error_message());
}

/* The shard counts as this process's: what was sent stays readable after the clock. */
static epact_table *open_solo(solo *a, epact_table_options o)
{
  memset(a, 0, sizeof *a);
  open_stage(&a->stage, 1, false);
  EXPECT(!epact_client_init(&a->client, 0, 1, 1, 0, (epact_outbox){ to_stage, a }), "opens");
  epact_schema schema = { .type = o.type, .rows = o.rows, .cols = o.cols, .hold = epact_filter_check(&o) };
  schema.sparse_updates = o.sparse_updates;
  EXPECT(schema.hold >= 0, "%s", epact_error_message());
  a->table = epact_client_open(&a->client, "t", &schema, o.staleness, false);
  epact_filter_init(&a->table->filter, &o);
  return a->table;
}

static void close_solo(solo *a)
{
  epact_client_free(&a->client);
  close_stage(&a->stage);
}

static void fetch(solo *a, int64_t row)
{
  epact_section ids = {
    a->table->schema.id, a->table->schema.type, a->table->schema.cols, 1, &row, NULL, NULL, NULL, 0
  };
  EXPECT(!epact_client_ask(&a->client, 0, EPACT_M_READ, a->table, 0, &ids), "asks");
}

static void inc(solo *a, int64_t row, int64_t col, double delta)
{
  EXPECT(!epact_table_inc(a->table, row, col, delta), "%s", epact_error_message());
}

static int64_t end(solo *a, bool flush)
{
  a->client.flush = flush;
  EXPECT(!epact_client_clock(&a->client, false), "%s", epact_error_message());
  return a->sent.rows;
}

static double master(const solo *a, int64_t row, int64_t col)
{
  const epact_store *store = &epact_shard_find_table(&a->stage.shard, a->table->schema.id)->store;
  return epact_value_at(store->schema.type, epact_store_values(store, epact_store_find(store, row)), col);
}

static void zeros(int type)
{
  solo a;
  open_solo(&a, (epact_table_options){ .rows = 10, .cols = 100, .type = type, .zero = 1 });
  for (int64_t row = 0; row < 10; row++) inc(&a, row, 3, 0);
  EXPECT(end(&a, false) == 0 && epact_log_empty(&a.table->log), "zero rows are not sent, nor kept");
  for (int64_t row = 0; row < 10; row++) inc(&a, row, 99, row == 7 ? 5 : 0);
  EXPECT(end(&a, false) == 1 && a.sent.row[0] == 7 && a.sent.start && a.sent.start[1] == 1 && a.sent.col[0] == 99,
         "one cell travels alone");
  for (int64_t col = 0; col < 60; col++) inc(&a, 7, col, 1);
  EXPECT(end(&a, false) == 1 && !a.sent.start == (type == EPACT_F32), "cells or rows, by bytes: type %d", type);
  EXPECT(master(&a, 7, 99) == 5 && master(&a, 7, 59) == 1, "all arrive");
  close_solo(&a);
}

static void rounded(bool cells)
{
  solo a;
  open_solo(&a, (epact_table_options){
                    .rows = 10, .cols = 4, .type = EPACT_F32, .precision = EPACT_AS_BF16, .sparse_updates = cells });
  inc(&a, 4, 1, 257);
  EXPECT(end(&a, false) == 1 && a.sent.encoding == EPACT_AS_BF16 && master(&a, 4, 1) == 256, "257 goes as 256");
  fetch(&a, 4);
  EXPECT(epact_table_cell(a.table, 4, 1) == 257, "but reads as 257 here: %g", epact_table_cell(a.table, 4, 1));
  EXPECT(end(&a, false) == 0, "the rest waits for the next increment");
  inc(&a, 4, 1, 255);
  EXPECT(end(&a, false) == 1 && master(&a, 4, 1) == 512, "and goes with it: %g", master(&a, 4, 1));
  EXPECT(epact_log_empty(&a.table->log) && !a.table->filter.rests, "nothing is left then");
  inc(&a, 4, 1, 1025);
  inc(&a, 5, 1, 1);
  end(&a, false);
  inc(&a, 5, 2, 3);
  EXPECT(end(&a, true) == 2 && a.sent.encoding == EPACT_AS_TYPE && master(&a, 4, 1) == 1537, "all goes, exactly: %g",
         master(&a, 4, 1));
  EXPECT(master(&a, 5, 1) == 1 && master(&a, 5, 2) == 3, "of all rows");
  EXPECT(epact_log_empty(&a.table->log) && !a.table->filter.rests, "and nothing is left");
  inc(&a, 4, 1, 257);
  end(&a, false);
  inc(&a, 4, 1, -1);
  EXPECT(end(&a, false) == cells ? 0 : 1, "what cancels the rest");
  EXPECT(epact_log_empty(&a.table->log) && !a.table->filter.rests, "leaves none");
  close_solo(&a);
}

static void too_large(void)
{
  solo a;
  open_solo(&a, (epact_table_options){ .rows = 10, .cols = 4, .type = EPACT_F64, .precision = EPACT_AS_F16 });
  inc(&a, 1, 1, 65519);
  EXPECT(end(&a, false) == 1 && a.sent.encoding == EPACT_AS_F16 && master(&a, 1, 1) == 65504, "the largest f16");
  inc(&a, 1, 1, 65520);
  EXPECT(end(&a, false) == 1 && a.sent.encoding == EPACT_AS_TYPE && master(&a, 1, 1) == 65519 + 65520,
         "what does not fit goes as it is: %g", master(&a, 1, 1));
  close_solo(&a);
}

/* 1 beside 1000 waits for the row's turn, once in hold + 1 clocks; 600 does not, nor what has no copy. */
static void insignificant(bool cells)
{
  enum { HOLD = 3 };
  solo a;
  epact_table_options o = { .rows = 10, .cols = 4, .type = EPACT_F64, .significance = 0.5, .staleness = 5 };
  o.hold = HOLD;
  o.sparse_updates = cells;
  open_solo(&a, o);
  EXPECT(a.table->slack == 2, "reads lack batches of %d clocks", (int)a.table->slack);
  inc(&a, 4, 1, 1000);
  EXPECT(end(&a, false) == 1, "without a copy it goes out");
  int waited = 0;
  for (int clock = 0; clock < 4 * (HOLD + 1); clock++) {
    fetch(&a, 4);
    inc(&a, 4, 1, 1);
    bool sent = end(&a, false) == 1;
    fetch(&a, 4);
    EXPECT(epact_table_cell(a.table, 4, 1) == 1001 + clock, "is read here at once");
    EXPECT(!sent || master(&a, 4, 1) == 1001 + clock, "all of it goes");
    waited = sent ? 0 : waited + 1;
    EXPECT(waited <= HOLD, "waits %d clocks", waited);
    EXPECT((clock < 4 * HOLD) || master(&a, 4, 1) > 1000, "it has gone");
  }
  double before = master(&a, 4, 1);
  inc(&a, 4, 1, 3000);
  EXPECT(end(&a, false) == 1 && master(&a, 4, 1) >= before + 3000, "what is large goes at once");
  while (end(&a, false)) continue;
  inc(&a, 4, 1, 1);
  end(&a, true);
  EXPECT(master(&a, 4, 1) == 1000 + 16 + 3000 + 1, "all at a barrier: %g", master(&a, 4, 1));
  a.client.cut_every = a.client.clock + 1;
  fetch(&a, 4);
  inc(&a, 4, 1, 1);
  EXPECT(end(&a, false) == 1 && master(&a, 4, 1) == 1000 + 16 + 3000 + 2, "and before a cut");
  close_solo(&a);
}

static void refused(const char *what, epact_table_options o, const char *sentence)
{
  o.name = "t";
  o.cols = 1;
  EXPECT(epact_filter_check(&o) == EPACT_E_MISUSE && strstr(epact_error_message(), sentence), "%s: %s", what,
         epact_error_message());
}

static void options(void)
{
  refused("nothing may wait", (epact_table_options){ .significance = 0.1 }, "with staleness 0 no increment may wait");
  refused("hold beyond staleness", (epact_table_options){ .significance = 0.1, .hold = 3, .staleness = 2 },
          "held for 3 clocks would be older than the staleness 2");
  refused("hold alone", (epact_table_options){ .hold = 3, .staleness = 4 }, "give significance");
  refused("integers", (epact_table_options){ .type = EPACT_I64, .precision = EPACT_AS_F16 }, "by 'zero' only");
  refused("f32 as f32", (epact_table_options){ .precision = EPACT_AS_F32 },
          "is f32: its increments cannot travel as f32");
  refused("an encoding", (epact_table_options){ .precision = 77 }, "cannot travel as that");
  refused("a number", (epact_table_options){ .significance = NAN, .staleness = 1 }, "must be a number >= 0");
  static const int64_t staleness[] = { 1, 2, 3, 7, EPACT_ASYNC }, hold[] = { 1, 1, 2, 4, 8 };
  for (int i = 0; i < 5; i++) {
    epact_table_options o = { .name = "t", .cols = 1, .significance = 0.1, .staleness = staleness[i] };
    EXPECT(epact_filter_check(&o) == hold[i], "the default hold of staleness %d is %d", (int)staleness[i],
           (int)epact_filter_check(&o));
  }
}

int main(void)
{
  zeros(EPACT_F32);
  zeros(EPACT_I64);
  for (int cells = 0; cells < 2; cells++) {
    rounded(cells);
    insignificant(cells);
  }
  too_large();
  options();
  promises();
  return failures != 0;
}
