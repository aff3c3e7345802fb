/* A worker's clock, batches and requests; the answers of the shards. The cache is in cache.c. */
#include "client.h"

#include "../base/internal.h"
#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_KEPT 16 /* clocks; what is older in the mirror is asked for anew */

int epact_client_init(epact_client *client, int slot, int slots, int shards, int local, epact_outbox outbox)
{
  memset(client, 0, sizeof *client);
  client->slot = slot;
  client->slots = slots;
  client->shards = shards;
  client->local = local;
  client->outbox = outbox;
  client->link = epact_calloc((size_t)shards, sizeof *client->link);
  for (int s = 0; s < shards && client->link; s++) client->link[s].last_long = -1;
  client->spares = epact_spares_new();
  return client->link && client->spares ? EPACT_OK : EPACT_E_NOMEM;
}

/* What is short may overtake what is long, but not this worker's own batches: rows would be read as they were before,
 * and asked for again. */
static void emit(epact_client *client, epact_message *message, int shard)
{
  message->shard = shard;
  message->behind = client->link[shard].acknowledged <= client->link[shard].last_long;
  message->slot = client->slot;
  message->incarnation = client->incarnation;
  client->outbox.emit(client->outbox.context, message);
}

/* `travels`: it goes to another process; the message becomes that of the copy. */
static int keep_until_acknowledged(epact_client *client, epact_link *link, epact_message *message, bool travels)
{
  if (link->batches == link->capacity) {
    int32_t capacity = link->capacity ? link->capacity * 2 : 4;
    int code = epact_grow(&link->batch, (size_t)capacity, sizeof *link->batch);
    if (code) return code;
    link->capacity = capacity;
  }
  epact_batch *batch = travels ? epact_wire_batch(message->sections, message->section, client->spares)
                               : epact_batch_copy(message->sections, message->section);
  if (!batch) return EPACT_E_NOMEM;
  message->section = batch->section;
  message->batch = travels ? batch : NULL;
  if (travels && batch->payload_bytes > EPACT_LONG_BYTES) link->last_long = message->clock;
  link->bytes += batch->bytes;
  link->batch[link->batches++] = (epact_unacknowledged){ message->clock, message->final, batch };
  return EPACT_OK;
}

void epact_client_begin(epact_client *client, int64_t clock)
{
  client->clock = clock;
  for (int s = 0; s < client->shards; s++) client->link[s].acknowledged = clock;
}

int epact_client_join(epact_client *client, const int64_t *minimum)
{
  int64_t clock = 0;
  int code = EPACT_OK;
  for (int s = 0; s < client->shards; s++) clock = minimum[s] > clock ? minimum[s] : clock;
  client->clock = clock;
  for (int s = 0; s < client->shards; s++) {
    client->link[s].acknowledged = minimum[s];
    for (int64_t c = minimum[s]; c < clock && !code; c++) {
      epact_message nothing = { .kind = EPACT_M_BATCH, .clock = c, .text = "" };
      code = keep_until_acknowledged(client, &client->link[s], &nothing, true);
      if (!code) emit(client, &nothing, s);
    }
  }
  return code;
}

static void free_table(epact_table *table)
{
  epact_table_drop_changes(table);
  epact_store_free(&table->cache);
  epact_log_free(&table->log);
  epact_filter_free(&table->filter);
  free(table->cached);
  free(table->cursor);
  free(table->held);
  free(table->changed);
  free(table);
}

void epact_client_free(epact_client *client)
{
  for (int s = 0; s < client->shards && client->link; s++) {
    epact_link *link = &client->link[s];
    for (int i = 0; i < link->batches; i++) epact_release(link->batch[i].batch);
    epact_release(link->asked_ids);
    free(link->batch);
  }
  for (int i = 0; i < client->tables; i++) free_table(client->table[i]);
  epact_spares_free(client->spares);
  free(client->link);
  free(client->table);
  free(client->split);
  free(client->sections);
  memset(client, 0, sizeof *client);
}

uint32_t epact_table_id(const char *name)
{
  return epact_crc32c(0, name, strlen(name));
}

/* A request is open until its answer has come; one per shard at a time. The ids are copied for remote
 * shards only, where the request may have to be sent again. */
static int ask(epact_client *client, int shard, epact_message *message)
{
  epact_link *link = &client->link[shard];
  epact_release(link->asked_ids);
  link->asked_ids = NULL;
  message->request = ++client->request;
  if (message->sections) {
    link->asked_ids = epact_batch_copy(message->sections, message->section);
    if (!link->asked_ids) return EPACT_E_NOMEM;
    message->section = link->asked_ids->section;
  }
  link->asked = *message;
  link->waiting = true;
  emit(client, message, shard);
  return EPACT_OK;
}

/* The open request once more, as a new one. */
int epact_client_ask_again(epact_client *client, int shard)
{
  epact_link *link = &client->link[shard];
  link->asked.request = ++client->request;
  epact_message message = link->asked;
  emit(client, &message, shard);
  return EPACT_OK;
}

int epact_client_ask(epact_client *client, int shard, epact_message_kind kind, const epact_table *table, int64_t need,
                     const epact_section *ids)
{
  epact_message message = { .kind = kind,
                            .table = table ? table->schema.id : 0,
                            .clock = need,
                            .cursor = table ? table->cursor[shard] : 0,
                            .sections = ids ? 1 : 0,
                            .section = ids,
                            .text = "" };
  return ask(client, shard, &message);
}

epact_table *epact_client_open(epact_client *client, const char *name, const epact_schema *schema, int64_t staleness,
                               bool mirrored)
{
  epact_table *table = epact_calloc(1, sizeof *table);
  if (!table) return NULL;
  table->client = client;
  table->schema = *schema;
  table->schema.id = epact_table_id(name);
  table->staleness = staleness;
  table->slack = staleness == EPACT_ASYNC ? EPACT_ASYNC : staleness - schema->hold;
  snprintf(table->name, sizeof table->name, "%s", name);
  table->cursor = epact_calloc((size_t)client->shards, sizeof *table->cursor);
  if (!table->cursor || epact_store_init(&table->cache, &table->schema, true) ||
      epact_log_init(&table->log, &table->schema) ||
      epact_grow(&client->table, (size_t)client->tables + 1, sizeof *client->table) ||
      epact_grow(&client->sections, ((size_t)client->tables + 1) * (size_t)client->shards, sizeof *client->sections)) {
    free_table(table);
    return NULL;
  }
  client->table[client->tables++] = table;
  int64_t slack = table->slack;
  int64_t oldest = slack == EPACT_ASYNC ? EPACT_ASYNC_LAG : slack < MOST_KEPT ? slack : MOST_KEPT;
  if (mirrored && oldest > client->keep) client->keep = oldest;
  for (int s = 0; s < client->shards; s++) {
    epact_message create = {
      .kind = EPACT_M_CREATE, .table = table->schema.id, .schema = &table->schema, .text = table->name
    };
    if (ask(client, s, &create)) return NULL;
  }
  return table;
}

void epact_client_forget_last(epact_client *client)
{
  for (int s = 0; s < client->shards; s++) { /* what asks for it points into it */
    if (client->link[s].asked.kind == EPACT_M_CREATE) client->link[s].waiting = false;
  }
  free_table(client->table[--client->tables]);
}

/* ---- publishing ---- */

/* sections[s * tables + i]: what table i sends to shard s; empty ones have rows == 0. */
static int seal_all(epact_client *client, bool flush)
{
  size_t total = 0;
  for (int i = 0; i < client->tables; i++) {
    epact_table *table = client->table[i];
    epact_section *section = &client->sections[i];
    int code = table->filter.active ? epact_filter_seal(table, flush, section) : epact_log_seal(&table->log, section);
    if (code) return code;
    table->stats.increments += (double)epact_section_cells(section);
    table->stats.bytes += (double)epact_section_bytes(section);
    if (client->shards > 1) total += epact_deal_bytes(section, client->shards);
  }
  if (client->shards == 1) return EPACT_OK;
  if (client->split_bytes < total) {
    int code = epact_grow(&client->split, total, 1);
    if (code) return code;
    client->split_bytes = total;
  }
  char *arena = client->split;
  for (int i = 0; i < client->tables; i++) {
    epact_section whole = client->sections[i];
    epact_deal(&whole, &client->table[i]->schema, client->shards, &arena, &client->sections[i], client->tables);
  }
  return EPACT_OK;
}

/* Batches that are applied, and older than any copy they may be needed on top of. */
static void let_go(const epact_client *client, epact_link *link)
{
  int done = 0;
  while (done < link->kept && link->batch[done].clock < client->clock - client->keep) {
    epact_release(link->batch[done++].batch);
  }
  if (!done) return;
  memmove(link->batch, link->batch + done, (size_t)(link->batches - done) * sizeof *link->batch);
  link->batches -= done;
  link->kept -= done;
}

void epact_client_take_ack(const epact_client *client, epact_link *link, int64_t clock)
{
  int64_t next = clock == EPACT_FOREVER ? EPACT_FOREVER : clock + 1;
  if (next > link->acknowledged) link->acknowledged = next;
  while (link->kept < link->batches && link->batch[link->kept].clock <= clock) {
    link->bytes -= link->batch[link->kept++].batch->bytes;
  }
  let_go(client, link);
}

/* What cannot be infinite need not be looked at by the shard of this process. */
static bool is_finite(const epact_client *client)
{
  bool finite = true;
  for (int i = 0; i < client->tables && finite; i++) {
    const epact_table *table = client->table[i];
    if (table->schema.sparse_updates || table->filter.active)
      finite = epact_log_empty(&table->log) && !table->filter.active;
    else
      finite = epact_log_is_finite(&table->log);
  }
  return finite;
}

int epact_client_clock(epact_client *client, bool final)
{
  bool flush = final || client->flush || (client->cut_every && (client->clock + 1) % client->cut_every == 0);
  int code = seal_all(client, flush);
  if (code) return code;
  for (int s = 0; s < client->shards; s++) {
    epact_section *section = &client->sections[(size_t)s * (size_t)client->tables];
    int count = 0;
    for (int i = 0; i < client->tables; i++) {
      if (section[i].rows) section[count++] = section[i];
    }
    epact_message batch = {
      .kind = EPACT_M_BATCH, .clock = client->clock, .final = final, .sections = count, .section = section, .text = ""
    };
    epact_link *link = &client->link[s];
    if (s == client->local) {
      batch.finite = is_finite(client);
      emit(client, &batch, s);
      /* It waits for a cut, or for the other workers: until it is applied, reads put it on top. */
      if (link->acknowledged <= client->clock && (code = keep_until_acknowledged(client, link, &batch, false)))
        return code;
      continue;
    }
    if ((code = keep_until_acknowledged(client, link, &batch, true))) return code;
    emit(client, &batch, s);
  }
  for (int i = 0; i < client->tables; i++) {
    epact_table *table = client->table[i];
    if (table->filter.active) {
      epact_filter_settle(table);
      continue;
    }
    for (int64_t r = 0; r < table->log.rows; r++) {
      epact_cached *copy = &table->cached[epact_store_find(&table->cache, table->log.row[r])];
      copy->logged = 0;
      copy->version = 0; /* the copy is a sum */
    }
    epact_log_reset(&table->log);
  }
  client->clock++;
  client->flush = false;
  for (int s = 0; s < client->shards; s++) let_go(client, &client->link[s]);
  client->finished = final;
  return EPACT_OK;
}

int64_t epact_client_unacknowledged(const epact_client *client)
{
  int64_t count = 0;
  for (int s = 0; s < client->shards; s++) count += client->link[s].batches - client->link[s].kept;
  return count;
}

int64_t epact_client_minimum(const epact_client *client)
{
  int64_t least = EPACT_FOREVER;
  for (int s = 0; s < client->shards; s++) least = client->link[s].minimum < least ? client->link[s].minimum : least;
  return least;
}

int epact_client_congested(const epact_client *client)
{
  for (int s = 0; s < client->shards; s++) {
    const epact_link *link = &client->link[s];
    int32_t open = link->batches - link->kept;
    if (open >= EPACT_MOST_UNACKNOWLEDGED || (open > 1 && link->bytes > EPACT_MOST_UNACKNOWLEDGED_BYTES)) return s;
  }
  return -1;
}

int epact_client_resend(epact_client *client)
{
  for (int s = 0; s < client->shards; s++) {
    epact_link *link = &client->link[s];
    /* The oldest: the shard may have all that follow staged, and when not they come one after the other. Whoever is
     * only slow is not sent everything once more. */
    if (link->kept < link->batches) {
      const epact_unacknowledged *oldest = &link->batch[link->kept];
      epact_message again = { .kind = EPACT_M_BATCH,
                              .clock = oldest->clock,
                              .final = oldest->final,
                              .sections = oldest->batch->sections,
                              .section = oldest->batch->section,
                              .text = "",
                              .batch = s == client->local ? NULL : oldest->batch };
      emit(client, &again, s);
    }
    if (link->waiting) {
      epact_message again = link->asked;
      emit(client, &again, s);
    }
  }
  return EPACT_OK;
}

int epact_client_unsubscribe(epact_client *client)
{
  epact_mirror *mirror = client->mirror;
  for (int i = 0; i < mirror->tables && mirror->dropped; i++) {
    epact_mirror_table *table = mirror->table[i];
    for (int s = 0; s < client->shards; s++) {
      uint64_t version;
      epact_section ids = { .table = table->schema.id, .type = table->schema.type, .cols = table->schema.cols };
      ids.rows = epact_mirror_take_dropped(mirror, table, s, &ids.row, &version);
      epact_message message = { .kind = EPACT_M_UNSUBSCRIBE,
                                .table = table->schema.id,
                                .cursor = (int64_t)version,
                                .sections = 1,
                                .section = &ids,
                                .text = "" };
      if (ids.rows) emit(client, &message, s);
    }
  }
  return EPACT_OK;
}
