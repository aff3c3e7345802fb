/* What a worker makes of the shards' answers: rows with its own batches on top, changes, refusals. */
#include "client.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static epact_table *find_table(const epact_client *client, uint32_t id)
{
  for (int i = 0; i < client->tables; i++) {
    if (client->table[i]->schema.id == id) return client->table[i];
  }
  return NULL;
}

/* Row r of a batch's section on top of the copy with that index. */
static int overlay_row(epact_table *table, const epact_section *section, int64_t r, uint32_t index)
{
  size_t bytes = epact_type_bytes(section->type);
  if (!section->start) {
    epact_decode_add(section->type, section->encoding, epact_store_values(&table->cache, index), section->value,
                     r * section->cols, section->cols);
    return EPACT_OK;
  }
  uint32_t first = section->start[r], end = section->start[r + 1];
  epact_sparse_row *cells = table->schema.sparse ? &table->cache.cells[index] : NULL;
  if (cells && epact_sparse_row_reserve(cells, section->type, end - first)) return EPACT_E_NOMEM;
  for (uint32_t k = first; k < end; k++) {
    epact_log_entry one;
    epact_decode(section->type, section->encoding, section->value, k, &one.delta, 1);
    if (cells)
      epact_sparse_row_add(cells, section->type, section->col[k], &one.delta);
    else {
      epact_values_add(section->type, (char *)epact_store_values(&table->cache, index) + section->col[k] * bytes,
                       &one.delta, 1);
    }
  }
  return EPACT_OK;
}

/* Increments of a batch the shard had not applied when it read the rows of this answer. */
static int overlay_batch(epact_table *table, const epact_batch *batch, uint32_t request)
{
  int code = EPACT_OK;
  for (int i = 0; i < batch->sections && !code; i++) {
    const epact_section *section = &batch->section[i];
    for (int64_t r = 0; section->table == table->schema.id && r < section->rows && !code; r++) {
      uint32_t index = epact_store_find(&table->cache, section->row[r]);
      if (index >= table->cached_capacity || table->cached[index].answered != request) continue; /* NO_INDEX too */
      code = overlay_row(table, section, r, index);
    }
  }
  return code;
}

int epact_client_overlay(epact_table *table, int shard, int64_t applied, uint32_t index, int64_t row)
{
  const epact_link *link = &table->client->link[shard];
  int code = EPACT_OK;
  for (int i = 0; i < link->batches; i++) {
    const epact_batch *batch = link->batch[i].batch;
    if (link->batch[i].clock <= applied) continue;
    for (int k = 0; k < batch->sections; k++) {
      const epact_section *section = &batch->section[k];
      for (int64_t r = 0; section->table == table->schema.id && r < section->rows && !code; r++) {
        if (section->row[r] == row) code = overlay_row(table, section, r, index);
      }
    }
  }
  return code;
}

int epact_client_overlay_many(epact_table *table, int shard, uint32_t first, uint32_t count, const int64_t *applied)
{
  const epact_link *link = &table->client->link[shard];
  int code = EPACT_OK;
  for (int b = 0; b < link->batches; b++) {
    const epact_batch *batch = link->batch[b].batch;
    for (int i = 0; i < batch->sections; i++) {
      const epact_section *section = &batch->section[i];
      for (int64_t r = 0; section->table == table->schema.id && r < section->rows && !code; r++) {
        uint32_t index = epact_store_find(&table->cache, section->row[r]);
        if (index >= table->cached_capacity) continue; /* NO_INDEX too */
        epact_cached *copy = &table->cached[index];
        uint32_t number = copy->answered - first; /* numbers may wrap */
        if (number >= count || link->batch[b].clock <= applied[number]) continue;
        code = overlay_row(table, section, r, index);
        copy->version = 0; /* the copy is a sum */
      }
    }
  }
  return code;
}

/* Copies that are not whole: they must be fetched again. */
static void forget_copies(epact_table *table, const epact_section *rows)
{
  for (int64_t i = 0; i < rows->rows; i++) {
    uint32_t index = epact_store_find(&table->cache, rows->row[i]);
    if (index < table->cached_capacity) table->cached[index].valid_before = 0; /* NO_INDEX is more */
  }
}

static int take_rows(epact_client *client, epact_link *link, const epact_message *message)
{
  epact_table *table = find_table(client, message->table);
  if (!table || message->sections < 1) return epact_fail(EPACT_E_PROTO, "an answer with rows nobody asked for");
  const epact_section *rows = message->section;
  if (rows->type != table->schema.type || rows->cols != table->schema.cols || rows->encoding != EPACT_AS_TYPE ||
      (rows->start != NULL) != table->schema.sparse || (!rows->start && !rows->value && rows->rows)) {
    return epact_fail(EPACT_E_PROTO, "an answer with rows of another shape than table '%s'", table->name);
  }
  size_t bytes = epact_type_bytes(rows->type);
  table->stats.bytes_rows += (double)epact_section_bytes(rows);
  for (int64_t i = 0; i < rows->rows; i++) {
    if (!epact_schema_has_row(&table->schema, rows->row[i]))
      return epact_fail(EPACT_E_PROTO, "an answer with a row out of range");
    uint32_t index = epact_table_index(table, rows->row[i]);
    if (index == EPACT_NO_INDEX) return EPACT_E_NOMEM;
    int code;
    if (rows->start) {
      epact_sparse_row *cells = &table->cache.cells[index];
      epact_sparse_row_clear(cells);
      if ((code = epact_sparse_row_reserve(cells, rows->type, rows->start[i + 1] - rows->start[i]))) return code;
      for (uint32_t k = rows->start[i]; k < rows->start[i + 1]; k++) {
        if ((int64_t)rows->col[k] >= rows->cols)
          return epact_fail(EPACT_E_PROTO, "an answer with a column out of range");
        epact_sparse_row_add(cells, rows->type, rows->col[k], (const char *)rows->value + k * bytes);
      }
      code = epact_table_install(table, index, rows->row[i], NULL, NULL, message->clock, 0);
    } else {
      const char *values = (const char *)rows->value + (size_t)i * table->cache.row_bytes;
      code = epact_table_install(table, index, rows->row[i], values, NULL, message->clock, 0);
    }
    if (code) return code;
    table->cached[index].answered = message->request;
    table->stats.fetches++;
  }
  for (int i = 0; i < link->batches; i++) {
    if (link->batch[i].clock <= message->applied) continue;
    int code = overlay_batch(table, link->batch[i].batch, message->request);
    if (code) {
      forget_copies(table, rows);
      return code;
    }
  }
  return EPACT_OK;
}

/* Whoever reads the changes may use rows and columns as they are. */
static int check_changes(const epact_table *table, const epact_section *section)
{
  bool good = section->table == table->schema.id && section->type == table->schema.type &&
              section->cols == table->schema.cols && section->encoding == EPACT_AS_TYPE &&
              (section->start != NULL) == table->schema.sparse_updates &&
              (section->start || section->value || !section->rows);
  for (int64_t i = 0; good && i < section->rows; i++) good = epact_schema_has_row(&table->schema, section->row[i]);
  for (int64_t i = 0; good && section->start && i < epact_section_cells(section); i++) {
    good = (int64_t)section->col[i] < section->cols;
  }
  return good ? EPACT_OK : epact_fail(EPACT_E_PROTO, "changes that do not fit table '%s'", table->name);
}

static int take_feed(epact_client *client, int shard, const epact_message *message)
{
  epact_table *table = find_table(client, message->table);
  if (!table) return epact_fail(EPACT_E_PROTO, "an answer with changes nobody asked for");
  for (int i = 0; i < message->sections; i++) {
    int code = check_changes(table, &message->section[i]);
    if (code) return code;
    table->stats.bytes_changes += (double)epact_section_bytes(&message->section[i]);
  }
  if (message->sections) {
    epact_batch *copy = epact_batch_copy(message->sections, message->section);
    if (!copy) return EPACT_E_NOMEM;
    int code = epact_table_hold_changes(table, copy);
    if (code) return code;
  }
  table->cursor[shard] = message->cursor;
  return EPACT_OK;
}

/* Of a batch (request 0), or of the open request; one of an earlier request was repeated by the network. */
static void take_refusal(epact_client *client, const epact_message *message)
{
  const epact_link *link = &client->link[message->shard];
  if (message->request && (!link->waiting || message->request != link->asked.request)) return;
  if (!client->refused_code) {
    client->refused_code = message->code ? message->code : EPACT_E_PROTO;
    client->refused_request = message->request;
    snprintf(client->refused_text, sizeof client->refused_text, "%s", message->text);
  }
  for (int s = 0; s < client->shards; s++) client->link[s].waiting = false;
}

int epact_client_step(epact_client *client, const epact_message *message)
{
  if (message->shard < 0 || message->shard >= client->shards) {
    return epact_fail(EPACT_E_PROTO, "a message from shard %d of %d", message->shard, client->shards);
  }
  epact_link *link = &client->link[message->shard];
  if (message->kind == EPACT_M_ACK) {
    epact_client_take_ack(client, link, message->clock);
    return EPACT_OK;
  }
  if (message->kind == EPACT_M_REFUSED) {
    take_refusal(client, message);
    return EPACT_OK;
  }
  if (!link->waiting || message->request != link->asked.request) return EPACT_OK; /* late or repeated */
  static const epact_message_kind answer_of[EPACT_M_KINDS] = { [EPACT_M_CREATE] = EPACT_M_CREATED,
                                                               [EPACT_M_READ] = EPACT_M_ROWS,
                                                               [EPACT_M_CHANGES] = EPACT_M_FEED,
                                                               [EPACT_M_WAIT] = EPACT_M_REACHED };
  if (message->kind != answer_of[link->asked.kind]) return epact_fail(EPACT_E_PROTO, "an answer of the wrong kind");
  if (message->table != link->asked.table) return epact_fail(EPACT_E_PROTO, "an answer about another table");
  /* Rows from before batches that are applied by now, and no longer here to be put on top. */
  if (message->kind == EPACT_M_ROWS && message->applied < epact_link_oldest(link) - 1)
    return epact_client_ask_again(client, message->shard);
  int code = EPACT_OK;
  if (message->clock > link->minimum) link->minimum = message->clock;
  if (message->kind == EPACT_M_ROWS) code = take_rows(client, link, message);
  if (message->kind == EPACT_M_FEED) code = take_feed(client, message->shard, message);
  if (code) return code;
  if (message->kind == EPACT_M_FEED && message->clock < link->asked.clock) { /* cut short: the rest */
    link->asked.cursor = message->cursor;
    return epact_client_ask_again(client, message->shard);
  }
  link->waiting = false;
  link->parked = message->final;
  return EPACT_OK;
}
