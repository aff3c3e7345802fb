/* A live shard and a live client for frames of strangers to be stepped into, and what must hold of them after each.
 *
 * The shard has four tables and three workers; the client, worker 0 of two shards, has the same tables, a batch that
 * nobody acknowledged and a request open at each shard. What the shard says travels as a frame, as to another process. */
#ifndef EPACT_SPEC_FUZZ_PEERS_H
#define EPACT_SPEC_FUZZ_PEERS_H

#include "harness.h"

#include "../sim/checksum.h"
#include "ps/client.h"
#include "ps/shard.h"
#include "ps/wire.h"

#include <math.h>

enum { JOB = 1, SLOTS = 3, SHARDS = 2, TABLES = 4, MOST_COLS = 64, MOST_ROWS = 1 << 16 };

static const struct {
  const char *name;
  epact_schema schema;
} plan[TABLES] = {
  { "dense", { .type = EPACT_F64, .rows = 10, .cols = 3 } },
  { "hashed", { .type = EPACT_F32, .cols = 4 } },
  { "sparse", { .type = EPACT_I64, .cols = 50, .sparse = true, .sparse_updates = true } },
  { "cells", { .type = EPACT_I32, .rows = 20, .cols = 8, .sparse_updates = true, .changes = true } },
};

typedef struct {
  epact_shard shard;
  epact_client client;
  epact_outbox outbox; /* of the shard */
  int64_t minimum, applied[SLOTS];
} peers;

/* Memory that starts on 8 bytes and ends where the frame does, so that a read beyond it is seen. */
static char *exact_copy(const void *frame, size_t bytes)
{
  char *copy = malloc(bytes ? bytes : 1);
  HOLDS(copy);
  return memcpy(copy, frame, bytes);
}

static char *encoded(const epact_message *message, size_t *bytes)
{
  char *frame = malloc(epact_wire_size(message));
  HOLDS(frame && !epact_wire_encode(message, JOB, frame, bytes) && *bytes <= epact_wire_size(message));
  return frame;
}

/* What a step says is a frame that the other side accepts; a client that is meant takes it. */
static void hear(void *context, const epact_message *message)
{
  peers *p = context;
  size_t bytes;
  epact_decoded decoded;
  char *frame = encoded(message, &bytes);
  HOLDS(!epact_wire_decode(frame, bytes, JOB, &decoded));
  HOLDS(decoded.message.kind == message->kind && decoded.message.sections == message->sections);
  if (message->kind >= EPACT_M_CREATED && message->slot == p->client.slot)
    epact_client_step(&p->client, &decoded.message);
  epact_decoded_free(&decoded);
  free(frame);
}

static void drop(void *context, const epact_message *message)
{
  (void)context;
  (void)message;
}

/* The client asks again as soon as it has its answer: a fetch, changes, a wait, by turns. */
static void ask_something(peers *p)
{
  static const int64_t ids[] = { 3, 4, 9 };
  epact_client *client = &p->client;
  for (int s = 0; s < SHARDS; s++) {
    if (epact_client_waits(client, s)) continue;
    int turn = (int)(client->request % (TABLES + 2));
    const epact_table *table = turn < TABLES ? client->table[turn] : turn == TABLES ? client->table[3] : NULL;
    epact_section rows = { 0 };
    if (turn < TABLES)
      rows = (epact_section){ table->schema.id, table->schema.type, table->schema.cols, 3, ids, NULL, NULL, NULL,
                              EPACT_AS_TYPE };
    HOLDS(!epact_client_ask(client, s,
                            turn < TABLES ? EPACT_M_READ
                            : table       ? EPACT_M_CHANGES
                                          : EPACT_M_WAIT,
                            table, 1, turn < TABLES ? &rows : NULL));
  }
}

static void open_client(peers *p)
{
  epact_client *client = &p->client;
  HOLDS(!epact_client_init(client, 0, SLOTS, SHARDS, -1, (epact_outbox){ drop, NULL }));
  for (int i = 0; i < TABLES; i++) {
    epact_table *table = epact_client_open(client, plan[i].name, &plan[i].schema, 1, false);
    HOLDS(table);
    for (int s = 0; s < SHARDS; s++) {
      epact_message created = { .kind = EPACT_M_CREATED,
                                .shard = s,
                                .table = table->schema.id,
                                .request = client->link[s].asked.request,
                                .text = "" };
      HOLDS(!epact_client_step(client, &created) && !epact_client_waits(client, s));
    }
  }
  epact_log *log = &client->table[2]->log;
  HOLDS(!epact_log_reserve(log, 1));
  log->entry[log->entries] = (epact_log_entry){ .key = epact_log_key(log, 3, 7) };
  epact_value_add(EPACT_I64, &log->entry[log->entries++].delta, 5);
  HOLDS(!epact_client_clock(client, false));
  ask_something(p);
}

static void open_peers(peers *p)
{
  memset(p, 0, sizeof *p);
  p->outbox = (epact_outbox){ hear, p };
  HOLDS(!epact_shard_init(&p->shard, 0, SHARDS, SLOTS, false));
  open_client(p);
  for (int i = 0; i < TABLES; i++) {
    epact_schema schema = plan[i].schema;
    schema.id = epact_table_id(plan[i].name);
    epact_message create = {
      .kind = EPACT_M_CREATE, .slot = 1, .table = schema.id, .schema = &schema, .text = plan[i].name
    };
    HOLDS(!epact_shard_step(&p->shard, &create, &p->outbox));
  }
  HOLDS(p->shard.tables == TABLES);
  for (int s = 0; s < SLOTS; s++) p->applied[s] = -1;
}

static void close_peers(peers *p)
{
  epact_shard_free(&p->shard);
  epact_client_free(&p->client);
}

/* A table that this test could not pay for; a peer that is let in may make it. */
static bool is_too_large(const epact_message *m)
{
  return m->kind == EPACT_M_CREATE && (m->schema->cols > MOST_COLS || m->schema->rows > MOST_ROWS);
}

/* Whoever reads changes or rows uses their ids as they are. */
static void check_section(const epact_section *section, const epact_schema *schema)
{
  HOLDS(section->table == schema->id && section->cols == schema->cols && section->type == schema->type);
  for (int64_t r = 0; r < section->rows; r++) {
    HOLDS(epact_schema_has_row(schema, section->row[r]));
    HOLDS(section->start[r] <= section->start[r + 1]);
  }
  for (int64_t c = 0; c < epact_section_cells(section); c++) HOLDS((int64_t)section->col[c] < schema->cols);
}

static void check_store(const epact_store *store)
{
  for (uint32_t i = 0; i < store->count && store->schema.sparse; i++) {
    const epact_sparse_row *row = &store->cells[i];
    for (uint32_t k = 0; k < row->capacity; k++) HOLDS((int64_t)row->col[k] < store->schema.cols);
  }
  for (uint32_t i = 0; i < store->count && !store->identity; i++)
    HOLDS(epact_schema_has_row(&store->schema, store->id[i]));
}

/* Batches are applied in order, each once, and the minimum never goes back. */
static void check_shard(peers *p)
{
  int64_t least = EPACT_FOREVER;
  for (int s = 0; s < SLOTS; s++) {
    const epact_slot *slot = &p->shard.slot[s];
    HOLDS(slot->applied >= p->applied[s]);
    HOLDS(slot->applied == EPACT_FOREVER || slot->applied <= slot->received);
    for (int k = 1; k < slot->staged_count; k++) HOLDS(slot->staged[k - 1].clock < slot->staged[k].clock);
    p->applied[s] = slot->applied;
    if (slot->applied < least) least = slot->applied;
  }
  HOLDS(p->shard.minimum == (least == EPACT_FOREVER ? least : least + 1) && p->shard.minimum >= p->minimum);
  p->minimum = p->shard.minimum;
  for (int i = 0; i < p->shard.tables; i++) {
    const epact_shard_table *table = p->shard.table[i];
    check_store(&table->store);
    for (int64_t k = 0; k < table->feed_count; k++) check_section(table->feed[k].batch->section, &table->schema);
  }
}

static void check_client(peers *p)
{
  for (int i = 0; i < p->client.tables; i++) {
    epact_table *table = p->client.table[i];
    for (int64_t k = 0; k < table->changed_count; k++) {
      check_section(&table->changed[k], &table->schema);
    }
    check_store(&table->cache);
    if (table->held_count > 16) epact_table_drop_changes(table);
  }
  p->client.refused_code = 0;
  ask_something(p);
}

/* Takes a message that was decoded; a failure of a step needs no more than a sentence, for memory is not short. */
static void step_peers(peers *p, const epact_message *m)
{
  if (is_too_large(m)) return;
  if (m->kind >= EPACT_M_CREATED) {
    HOLDS(!epact_client_step(&p->client, m) || *epact_error_message());
    check_client(p);
  } else {
    HOLDS(!epact_shard_step(&p->shard, m, &p->outbox));
    check_shard(p);
  }
}

#endif
