/* Scenes of a client and a shard that chance seldom plays: answers in several parts, older than they may
 * be, to other requests, or from a shard that lies. What happens by chance is in simulator.c. */
#include "stage.h"

typedef struct {
  stage *stage;
  epact_client client;
  bool late; /* answers are kept back */
} actor;

static void to_client(void *context, const epact_message *message)
{
  actor *a = context;
  listen(&a->stage->heard, message);
  if (message->slot == a->client.slot && !a->late) {
    EXPECT(!epact_client_step(&a->client, message), "the client fails: %s", epact_error_message());
  }
}

static void to_shard(void *context, const epact_message *message)
{
  actor *a = context;
  epact_outbox outbox = { to_client, a };
  EXPECT(!epact_shard_step(&a->stage->shard, message, &outbox), "the shard fails: %s", epact_error_message());
}

static epact_table *open_actor(actor *a, stage *t, int slots, const epact_schema *schema, const char *name)
{
  memset(a, 0, sizeof *a);
  a->stage = t;
  open_stage(t, slots, false);
  EXPECT(!epact_client_init(&a->client, 0, slots, 1, -1, (epact_outbox){ to_shard, a }), "a client opens");
  epact_table *table = epact_client_open(&a->client, name, schema, 2, false);
  EXPECT(table && !a->client.refused_code && !epact_client_waits(&a->client, 0), "opens a table");
  return table;
}

/* More changes than one answer holds: the client asks again until it has them all. */
static void many_changes(void)
{
  enum { CLOCKS = EPACT_MAX_SECTIONS * 2 + 7 };
  stage t;
  actor a;
  int64_t one = 1, sum = 0;
  static const uint32_t start[] = { 0, 1 }, col[] = { 3 };
  epact_table *table = open_actor(&a, &t, 2, &sparse, "sparse");
  epact_section section = { epact_table_id("sparse"), EPACT_I64, 100, 1, row_4, start, col, &one, 0 };
  for (int64_t clock = 0; clock < CLOCKS; clock++) publish(&t, 1, clock, 1, &section);
  epact_shard_table *master = epact_shard_find_table(&t.shard, section.table);
  EXPECT(master->feed_count == CLOCKS, "the feed is kept");
  for (int round = 0; round < 2; round++) {
    epact_table_drop_changes(table);
    EXPECT(!epact_client_ask(&a.client, 0, EPACT_M_CHANGES, table, 0, NULL), "asks");
    EXPECT(!epact_client_waits(&a.client, 0), "and is answered");
    for (int64_t i = 0; i < table->changed_count; i++) sum += *(const int64_t *)table->changed[i].value;
    EXPECT(sum == CLOCKS, "%d changes of %d", (int)sum, CLOCKS);
  }
  say(&t, (epact_message){ .kind = EPACT_M_BATCH, .slot = 1, .clock = CLOCKS, .final = true });
  EXPECT(master->feed_count == 0, "what all have read is freed");
  epact_client_free(&a.client);
  close_stage(&t);
}

/* An answer from before a batch that is acknowledged by now would lack the worker's own increments. */
static void answer_older_than_acknowledged(void)
{
  stage t;
  actor a;
  epact_table *table = open_actor(&a, &t, 1, &dense, "dense");
  static const int64_t zero[] = { 0, 0 };
  epact_section ids = { table->schema.id, EPACT_I64, 2, 1, row_4, NULL, NULL, NULL, 0 }, old = ids;
  old.value = zero;
  EXPECT(!epact_table_inc(table, 4, 0, 5) && !epact_client_clock(&a.client, false), "publishes");
  EXPECT(!epact_client_unacknowledged(&a.client), "and is acknowledged");
  a.late = true;
  EXPECT(!epact_client_ask(&a.client, 0, EPACT_M_READ, table, 0, &ids), "asks");
  a.late = false;
  epact_message stale = { .kind = EPACT_M_ROWS,
                          .table = ids.table,
                          .request = a.client.request,
                          .applied = -1,
                          .sections = 1,
                          .section = &old,
                          .text = "" };
  EXPECT(!epact_client_step(&a.client, &stale), "takes an old answer");
  EXPECT(epact_table_cell(table, 4, 0) == 5, "and asks for another: %g", epact_table_cell(table, 4, 0));
  epact_client_free(&a.client);
  close_stage(&t);
}

/* The refusal of an earlier request, repeated by the network, is not that of the present one. */
static void refusal_repeated(void)
{
  stage t;
  actor a;
  open_actor(&a, &t, 2, &dense, "dense");
  epact_message refusal = { .kind = EPACT_M_REFUSED, .request = a.client.request, .code = EPACT_E_RANGE, .text = "no" };
  EXPECT(!epact_client_ask(&a.client, 0, EPACT_M_WAIT, NULL, 1, NULL), "waits");
  EXPECT(!epact_client_step(&a.client, &refusal), "takes the refusal");
  EXPECT(epact_client_waits(&a.client, 0) && !a.client.refused_code, "which is of another request");
  refusal.request = a.client.request;
  EXPECT(!epact_client_step(&a.client, &refusal) && a.client.refused_code == EPACT_E_RANGE, "one of this ends it");
  epact_client_free(&a.client);
  close_stage(&t);
}

/* A table whose opening failed may be forgotten with its request open. */
static void forgotten_table(void)
{
  stage t;
  actor a;
  open_actor(&a, &t, 1, &dense, "dense");
  a.late = true;
  EXPECT(epact_client_open(&a.client, "other", &dense, 0, false) != NULL, "opens");
  epact_client_forget_last(&a.client);
  EXPECT(!epact_client_resend(&a.client), "resends nothing of it");
  epact_client_free(&a.client);
  close_stage(&t);
}

/* Answers that only a liar gives: refused, and nothing is touched. */
static void lying_shard(void)
{
  stage t;
  actor a;
  epact_table *table = open_actor(&a, &t, 1, &sparse, "sparse");
  static const uint32_t start[] = { 0, 1 }, col[] = { 100 };
  static const int64_t far[] = { INT64_C(1) << 53 };
  epact_section rows = { table->schema.id, EPACT_I64, 100, 1, row_4, start, col, one_two, 0 }, bad[6];
  for (int i = 0; i < 6; i++) bad[i] = rows;
  bad[1].type = EPACT_F64;
  bad[2].cols = 99;
  bad[3].start = NULL;
  bad[4].row = far;
  bad[5].encoding = EPACT_AS_F16;
  for (int i = 0; i < 12; i++) {
    bool feed = i >= 6;
    a.late = true;
    EXPECT(!epact_client_ask(&a.client, 0, feed ? EPACT_M_CHANGES : EPACT_M_READ, table, 0, feed ? NULL : &rows),
           "asks");
    epact_message lie = { .kind = feed ? EPACT_M_FEED : EPACT_M_ROWS,
                          .table = rows.table,
                          .request = a.client.request,
                          .sections = 1,
                          .section = &bad[i % 6],
                          .text = "" };
    EXPECT(epact_client_step(&a.client, &lie) == EPACT_E_PROTO && !table->changed_count, "lie %d is refused", i);
  }
  epact_client_free(&a.client);
  close_stage(&t);
}

/* Changes of a table whose changes nobody asked for. */
static void answer_about_another_table(void)
{
  stage t;
  actor a;
  epact_table *table = open_actor(&a, &t, 1, &sparse, "sparse"),
              *other = epact_client_open(&a.client, "dense", &dense, 0, false);
  epact_section section = dense_row();
  a.late = true;
  EXPECT(other && !epact_client_ask(&a.client, 0, EPACT_M_CHANGES, table, 0, NULL), "asks");
  epact_message lie = { .kind = EPACT_M_FEED,
                        .table = dense.id,
                        .request = a.client.request,
                        .cursor = 9,
                        .sections = 1,
                        .section = &section,
                        .text = "" };
  EXPECT(epact_client_step(&a.client, &lie) == EPACT_E_PROTO, "an answer about another table is refused");
  EXPECT(!other->changed_count && !other->cursor[0], "and touches nothing");
  epact_client_free(&a.client);
  close_stage(&t);
}

/* An answer without rows, when the table's cache was never used. */
static void empty_answer(void)
{
  stage t;
  actor a;
  epact_schema schema = { .type = EPACT_I64, .rows = 10, .cols = 2, .sparse_updates = true };
  epact_table *table = open_actor(&a, &t, 2, &schema, "updates");
  a.late = true;
  EXPECT(!epact_table_inc(table, 4, 0, 5) && !epact_client_clock(&a.client, false), "publishes");
  epact_section none = { table->schema.id, EPACT_I64, 2, 0, NULL, NULL, NULL, NULL, 0 };
  EXPECT(!epact_client_ask(&a.client, 0, EPACT_M_READ, table, 0, &none), "asks for nothing");
  epact_message empty = { .kind = EPACT_M_ROWS,
                          .table = none.table,
                          .request = a.client.request,
                          .applied = -1,
                          .sections = 1,
                          .section = &none,
                          .text = "" };
  EXPECT(!epact_client_step(&a.client, &empty), "and gets it");
  epact_client_free(&a.client);
  close_stage(&t);
}

int main(void)
{
  name_tables();
  many_changes();
  answer_older_than_acknowledged();
  refusal_repeated();
  forgotten_table();
  lying_shard();
  answer_about_another_table();
  empty_answer();
  return failures != 0;
}
