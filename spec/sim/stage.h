/* A shard to be spoken to by hand, and what it answers: for the scripted scenes. */
#ifndef EPACT_SPEC_SIM_STAGE_H
#define EPACT_SPEC_SIM_STAGE_H

#include "ps/client.h"
#include "ps/shard.h"

#include "base/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define EXPECT(held, ...)                                                                                              \
  do {                                                                                                                 \
    if (!(held)) {                                                                                                     \
      fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                                                  \
      fprintf(stderr, __VA_ARGS__);                                                                                    \
      fputc('\n', stderr);                                                                                             \
      failures++;                                                                                                      \
    }                                                                                                                  \
  } while (0)

/* The last message that was emitted, and how many were. */
typedef struct {
  epact_message last;
  epact_batch *sections;
  char text[512];
  int count, refused, rows;
} listener;

static inline void listen(void *context, const epact_message *message)
{
  listener *l = context;
  epact_release(l->sections);
  l->last = *message;
  l->sections = epact_batch_copy(message->sections, message->section);
  l->last.section = l->sections->section;
  l->count++;
  l->refused += message->kind == EPACT_M_REFUSED;
  l->rows += message->kind == EPACT_M_ROWS;
  snprintf(l->text, sizeof l->text, "%s", message->text ? message->text : "");
  l->last.text = l->text;
}

typedef struct {
  epact_shard shard;
  listener heard;
  epact_outbox outbox;
} stage;

static inline void open_stage(stage *t, int slots, bool deterministic)
{
  memset(t, 0, sizeof *t);
  t->outbox = (epact_outbox){ listen, &t->heard };
  EXPECT(!epact_shard_init(&t->shard, 0, 1, slots, deterministic), "a shard opens");
}

static inline void close_stage(stage *t)
{
  epact_release(t->heard.sections);
  epact_shard_free(&t->shard);
}

static inline const epact_message *say(stage *t, epact_message message)
{
  if (!message.text) message.text = "";
  EXPECT(!epact_shard_step(&t->shard, &message, &t->outbox), "a step fails: %s", epact_error_message());
  return &t->heard.last;
}

/* A dense and a sparse table, i64. */
static epact_schema dense = { .type = EPACT_I64, .rows = 10, .cols = 2 };
static epact_schema sparse = {
  .type = EPACT_I64, .cols = 100, .sparse = true, .sparse_updates = true, .changes = true
};

static inline void create_tables(stage *t)
{
  say(t, (epact_message){ .kind = EPACT_M_CREATE, .schema = &dense, .text = "dense" });
  say(t, (epact_message){ .kind = EPACT_M_CREATE, .schema = &sparse, .text = "sparse" });
  EXPECT(t->heard.last.kind == EPACT_M_CREATED && t->shard.tables == 2, "tables are made");
}

static const int64_t row_4[] = { 4 };
static const int64_t one_two[] = { 1, 2 };

static inline epact_section dense_row(void)
{
  return (epact_section){ dense.id, EPACT_I64, 2, 1, row_4, NULL, NULL, one_two, 0 };
}

static inline const epact_message *publish(stage *t, int slot, int64_t clock, int sections,
                                           const epact_section *section)
{
  return say(t, (epact_message){
                    .kind = EPACT_M_BATCH, .slot = slot, .clock = clock, .sections = sections, .section = section });
}

static inline int64_t cell(const stage *t, const char *name, int64_t row, int64_t col)
{
  const epact_shard_table *table = epact_shard_find_table(&t->shard, epact_table_id(name));
  uint32_t index = epact_store_find(&table->store, row);
  return index == EPACT_NO_INDEX ? 0 : ((const int64_t *)epact_store_values(&table->store, index))[col];
}

/* The ids of the two tables, before the first scene. */
static inline void name_tables(void)
{
  dense.id = epact_table_id("dense");
  sparse.id = epact_table_id("sparse");
}

#endif
