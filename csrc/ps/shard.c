/* A shard as a pure state machine: requests answered, or parked until the minimum clock lets them be; tables. Batches,
 * cuts, and workers that go and come are in shard_batch.c. */
#include "shard_inside.h"

#include "../base/internal.h"
#include "shard_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FEED_BYTES ((size_t)8 << 20) /* of one answer */
#define PUSH_BYTES ((size_t)8 << 20) /* of one part */

int epact_shard_grow_homes(epact_shard *shard, int slots)
{
  int code = epact_grow(&shard->home, (size_t)slots, sizeof *shard->home);
  if (!code) code = epact_grow(&shard->home_workers, (size_t)slots, sizeof *shard->home_workers);
  if (!code) code = epact_grow(&shard->home_slot, (size_t)slots, sizeof *shard->home_slot);
  if (!code) code = epact_grow(&shard->home_applied, (size_t)slots, sizeof *shard->home_applied);
  return code;
}

int epact_shard_init(epact_shard *shard, int rank, int shards, int slots, bool deterministic)
{
  memset(shard, 0, sizeof *shard);
  shard->rank = rank;
  shard->shards = shards;
  shard->slots = slots;
  shard->deterministic = deterministic;
  shard->push_bytes = PUSH_BYTES;
  shard->slot = epact_calloc((size_t)slots, sizeof *shard->slot);
  if (!shard->slot || epact_shard_grow_homes(shard, slots)) {
    epact_shard_free(shard);
    return EPACT_E_NOMEM;
  }
  epact_shard_begin(shard, 0, 0);
  return epact_shard_settle(shard, NULL);
}

int epact_shard_settle(epact_shard *shard, const int32_t *home)
{
  shard->homes = 0;
  memset(shard->home_workers, 0, (size_t)shard->slots * sizeof *shard->home_workers);
  for (int i = 0; i < shard->slots; i++) {
    int32_t h = home ? home[i] : i;
    if (h < 0 || h >= shard->slots) return epact_fail(EPACT_E_MISUSE, "worker %d cannot live in process %d", i, h);
    shard->home[i] = h;
    shard->home_workers[h]++;
    if (h >= shard->homes) shard->homes = h + 1;
  }
  return EPACT_OK;
}

void epact_shard_forget_home(epact_shard *shard, int home)
{
  for (int i = 0; i < shard->tables; i++) {
    if (shard->table[i]->subscribed) epact_subscriptions_forget(shard->table[i]->subscribed, home);
  }
}

void epact_shard_begin(epact_shard *shard, int64_t clock, int64_t cut_every)
{
  for (int i = 0; i < shard->slots; i++) {
    shard->slot[i].applied = shard->slot[i].received = shard->slot[i].told = clock - 1;
  }
  shard->minimum = clock;
  shard->cut_every = cut_every;
  shard->cut = epact_shard_cut_after(clock, cut_every);
}

void epact_shard_free(epact_shard *shard)
{
  for (int i = 0; i < shard->slots && shard->slot; i++) {
    epact_slot *slot = &shard->slot[i];
    for (int k = 0; k < slot->staged_count; k++) epact_release(slot->staged[k].batch);
    free(slot->staged);
  }
  for (int i = 0; i < shard->tables; i++) epact_shard_table_free(shard->table[i]);
  for (int i = 0; i < shard->parked_count; i++) epact_release(shard->parked[i].ids);
  free(shard->slot);
  free(shard->table);
  free(shard->parked);
  free(shard->gathered);
  free(shard->home);
  free(shard->home_workers);
  free(shard->home_slot);
  free(shard->home_applied);
  memset(shard, 0, sizeof *shard);
}

epact_shard_table *epact_shard_find_table(const epact_shard *shard, uint32_t id)
{
  for (int i = 0; i < shard->tables; i++) {
    if (shard->table[i]->schema.id == id) return shard->table[i];
  }
  return NULL;
}

int epact_shard_slowest(const epact_shard *shard)
{
  int slowest = 0;
  for (int i = 1; i < shard->slots; i++) {
    if (shard->slot[i].applied < shard->slot[slowest].applied) slowest = i;
  }
  return slowest;
}

/* ---- answers ---- */

static epact_message answer_to(const epact_shard *shard, const epact_message *asked, epact_message_kind kind)
{
  epact_message answer = { .kind = kind,
                           .shard = shard->rank,
                           .slot = asked->slot,
                           .incarnation = asked->incarnation,
                           .table = asked->table,
                           .request = asked->request,
                           .clock = shard->minimum,
                           .text = "" };
  return answer;
}

/* The last error's sentence travels back; a refusal leaves the state as it was. */
int epact_shard_refuse(epact_shard *shard, const epact_message *asked, int code, const epact_outbox *outbox)
{
  epact_message answer = answer_to(shard, asked, EPACT_M_REFUSED);
  answer.code = code;
  answer.text = epact_error_message();
  shard->refused++;
  outbox->emit(outbox->context, &answer);
  return EPACT_OK;
}

static int answer_read(epact_shard *shard, const epact_message *asked, bool waited, const epact_outbox *outbox)
{
  const epact_shard_table *table = epact_shard_find_table(shard, asked->table);
  const epact_section *ids = asked->section;
  int home = shard->home[asked->slot];
  epact_section section[2];
  int code =
      epact_shard_table_gather(table, ids->rows, ids->row, &shard->gathered, &shard->gathered_bytes, &section[0]);
  if (!code && table->subscribed && shard->home_workers[home]) {
    code = epact_subscriptions_add(table->subscribed, home, ids->rows, ids->row, shard->version);
  }
  if (code) return code;
  section[1] = epact_shard_home_applied(shard, home);
  epact_message answer = answer_to(shard, asked, EPACT_M_ROWS);
  answer.applied = shard->slot[asked->slot].applied;
  answer.cursor = (int64_t)shard->version;
  answer.sections = 2;
  answer.section = section;
  answer.final = waited;
  answer.behind = table->subscribed != NULL; /* rows and pushes in the order of their versions */
  outbox->emit(outbox->context, &answer);
  return EPACT_OK;
}

/* One answer carries whole batches, so a reader sees a batch whole or not at all. When it had to be
 * cut short it says a minimum below what was asked, and the reader asks again from the new cursor. */
static int answer_changes(epact_shard *shard, const epact_message *asked, bool waited, const epact_outbox *outbox)
{
  epact_shard_table *table = epact_shard_find_table(shard, asked->table);
  const epact_feed_entry *entry;
  int64_t cursor = asked->cursor;
  size_t bytes = 0;
  int32_t sections = 0;
  epact_section *section = epact_malloc(EPACT_MAX_SECTIONS * sizeof *section);
  if (!section) return EPACT_E_NOMEM;
  epact_shard_feed_consumed(table, shard->slots, asked->slot, asked->cursor);
  while (bytes < FEED_BYTES && sections < EPACT_MAX_SECTIONS &&
         (entry = epact_shard_feed_next(table, asked->slot, &cursor))) {
    section[sections++] = entry->batch->section[0];
    bytes += entry->batch->bytes;
  }
  int64_t rest = cursor;
  bool cut = epact_shard_feed_next(table, asked->slot, &rest) != NULL;
  epact_message answer = answer_to(shard, asked, EPACT_M_FEED);
  answer.cursor = cursor;
  answer.sections = sections;
  answer.section = section;
  answer.final = waited;
  if (cut) answer.clock = asked->clock - 1;
  outbox->emit(outbox->context, &answer);
  free(section);
  return EPACT_OK;
}

static bool pushes(const epact_shard *shard)
{
  bool any = false;
  for (int i = 0; i < shard->tables && !any; i++) any = shard->table[i]->subscribed != NULL;
  return any;
}

/* `waited`: the minimum clock had to come to what was asked for. */
static int answer(epact_shard *shard, const epact_message *asked, bool waited, const epact_outbox *outbox)
{
  if (asked->kind == EPACT_M_READ) return answer_read(shard, asked, waited, outbox);
  if (asked->kind == EPACT_M_CHANGES) return answer_changes(shard, asked, waited, outbox);
  epact_message reached = answer_to(shard, asked, EPACT_M_REACHED);
  reached.final = waited;
  reached.behind = pushes(shard); /* who waits for a push is told after it, and else would read the rows anew */
  outbox->emit(outbox->context, &reached);
  return EPACT_OK;
}

/* ---- requests that wait for the minimum clock ---- */

static bool is_older(const epact_message *a, const epact_message *b)
{
  return a->incarnation == b->incarnation && (int32_t)(a->request - b->request) < 0; /* numbers may wrap */
}

static int park(epact_shard *shard, const epact_message *asked)
{
  epact_parked *place = NULL;
  for (int i = 0; i < shard->parked_count && !place; i++) { /* asked again: the newer one replaces it */
    if (shard->parked[i].message.slot == asked->slot) place = &shard->parked[i];
  }
  if (place && is_older(asked, &place->message)) return EPACT_OK; /* repeated by the network */
  epact_batch *ids = NULL;
  if (asked->sections && !(ids = epact_batch_copy(asked->sections, asked->section))) return EPACT_E_NOMEM;
  if (place)
    epact_release(place->ids);
  else {
    if (shard->parked_count == shard->parked_capacity) {
      int32_t capacity = shard->parked_capacity ? shard->parked_capacity * 2 : 8;
      int code = epact_grow(&shard->parked, (size_t)capacity, sizeof *shard->parked);
      if (code) {
        epact_release(ids);
        return code;
      }
      shard->parked_capacity = capacity;
    }
    place = &shard->parked[shard->parked_count++];
  }
  *place = (epact_parked){ *asked, ids };
  place->message.text = "";
  place->message.schema = NULL;
  place->message.section = ids ? ids->section : NULL;
  return EPACT_OK;
}

/* The minimum has advanced: pushes first, so that who was waiting finds them. */
int epact_shard_release_parked(epact_shard *shard, const epact_outbox *outbox)
{
  int kept = 0, first_code = epact_shard_push(shard, outbox);
  for (int i = 0; i < shard->parked_count; i++) {
    epact_parked waiting = shard->parked[i];
    if (waiting.message.clock > shard->minimum) {
      shard->parked[kept++] = waiting;
      continue;
    }
    int code = answer(shard, &waiting.message, true, outbox);
    if (code && !first_code) first_code = code;
    epact_release(waiting.ids);
  }
  shard->parked_count = kept;
  return first_code;
}

static int take_request(epact_shard *shard, const epact_message *asked, const epact_outbox *outbox)
{
  if (asked->kind != EPACT_M_WAIT) {
    const epact_shard_table *table = epact_shard_find_table(shard, asked->table);
    if (!table) {
      int code = epact_fail(EPACT_E_SCHEMA, "shard %d has no table with id %08" PRIx32, shard->rank, asked->table);
      return epact_shard_refuse(shard, asked, code, outbox);
    }
    if (asked->kind == EPACT_M_CHANGES && !table->schema.changes) {
      int code = epact_fail(EPACT_E_SCHEMA, "table '%s' does not keep changes", table->name);
      return epact_shard_refuse(shard, asked, code, outbox);
    }
    if (asked->kind == EPACT_M_READ && asked->sections != 1) {
      return epact_shard_refuse(shard, asked, epact_fail(EPACT_E_PROTO, "a read names rows of one table"), outbox);
    }
    for (int64_t i = 0; asked->kind == EPACT_M_READ && i < asked->section->rows; i++) {
      if (epact_schema_has_row(&table->schema, asked->section->row[i])) continue;
      int code = epact_fail(EPACT_E_RANGE, "table '%s': row %" PRId64 " is outside [0, %" PRId64 ")", table->name,
                            asked->section->row[i], table->schema.rows);
      return epact_shard_refuse(shard, asked, code, outbox);
    }
  }
  return asked->clock > shard->minimum ? park(shard, asked) : answer(shard, asked, false, outbox);
}

/* ---- tables ---- */

epact_shard_table *epact_shard_make_table(epact_shard *shard, const char *name, const epact_schema *schema)
{
  if (epact_grow(&shard->table, (size_t)shard->tables + 1, sizeof *shard->table)) return NULL;
  /* A store in one piece wastes pages when the rows are dealt to several shards. */
  epact_shard_table *table = epact_shard_table_new(name, schema, shard->slots, shard->homes, shard->shards == 1);
  if (!table) return NULL;
  for (int s = 0; s < shard->slots; s++) {
    if (shard->slot[s].applied == EPACT_FOREVER) table->cursor[s] = EPACT_FOREVER;
  }
  shard->table[shard->tables++] = table;
  return table;
}

static int take_create(epact_shard *shard, const epact_message *message, const epact_outbox *outbox)
{
  epact_shard_table *table = epact_shard_find_table(shard, message->schema->id);
  if (table && strcmp(table->name, message->text)) {
    int code = epact_fail(EPACT_E_SCHEMA, "tables '%s' and '%s' share an id: rename one", table->name, message->text);
    return epact_shard_refuse(shard, message, code, outbox);
  }
  if (table && !epact_schema_equal(&table->schema, message->schema)) {
    char have[96], want[96];
    int code = epact_fail(EPACT_E_SCHEMA, "table '%s' is %s, not %s", table->name,
                          epact_schema_text(&table->schema, have, sizeof have),
                          epact_schema_text(message->schema, want, sizeof want));
    return epact_shard_refuse(shard, message, code, outbox);
  }
  if (!table) {
    table = epact_shard_make_table(shard, message->text, message->schema);
    if (!table) return epact_error_code();
    if (shard->keep) shard->keep(shard->keeper, message);
  }
  epact_message created = answer_to(shard, message, EPACT_M_CREATED);
  outbox->emit(outbox->context, &created);
  return EPACT_OK;
}

/* Harmless when lost or late: who is sent rows it does not hold says so again. */
static int take_unsubscribe(epact_shard *shard, const epact_message *message)
{
  const epact_shard_table *table = epact_shard_find_table(shard, message->table);
  if (table && table->subscribed && message->sections == 1) {
    epact_subscriptions_drop(table->subscribed, shard->home[message->slot], message->section->rows,
                             message->section->row, (uint64_t)message->cursor);
  }
  return EPACT_OK;
}

int epact_shard_step(epact_shard *shard, const epact_message *message, const epact_outbox *outbox)
{
  if (message->slot < 0 || message->slot >= shard->slots) {
    shard->refused++; /* nobody to answer to */
    return EPACT_OK;
  }
  epact_slot *slot = &shard->slot[message->slot];
  if (message->incarnation < slot->incarnation) {
    int code = epact_fail(EPACT_E_FENCED, "worker %d was given up: incarnation %" PRIu32 " is in its place",
                          message->slot, slot->incarnation);
    return epact_shard_refuse(shard, message, code, outbox);
  }
  slot->incarnation = message->incarnation;
  switch (message->kind) {
  case EPACT_M_CREATE:
    return take_create(shard, message, outbox);
  case EPACT_M_BATCH:
    return epact_shard_take_batch(shard, message, outbox);
  case EPACT_M_READ:
  case EPACT_M_CHANGES:
  case EPACT_M_WAIT:
    return take_request(shard, message, outbox);
  case EPACT_M_UNSUBSCRIBE:
    return take_unsubscribe(shard, message);
  default:
    shard->refused++;
    return EPACT_OK;
  }
}
