/* The rows of a mirror: found by hash, bounded by the clock algorithm, filled by answers and pushes. */
#include "mirror.h"

#include "../base/internal.h"
#include "client.h"

#include <stdlib.h>
#include <string.h>

#define MOST_DROPPED (UINT32_C(1) << 16) /* remembered; a row that is pushed again is dropped again */

int epact_mirror_init(epact_mirror *mirror, int shards, int first_slot, int slots, int64_t most_rows, size_t most_bytes)
{
  memset(mirror, 0, sizeof *mirror);
  mirror->shards = shards;
  mirror->first_slot = first_slot;
  mirror->slots = slots;
  mirror->most_rows = most_rows;
  mirror->most_bytes = most_bytes;
  mirror->buckets = 64;
  mirror->bucket = epact_calloc(mirror->buckets, sizeof(epact_mirror_row *));
  return mirror->bucket ? EPACT_OK : EPACT_E_NOMEM;
}

epact_mirror_table *epact_mirror_find_table(const epact_mirror *mirror, uint32_t id)
{
  for (int i = 0; i < mirror->tables; i++) {
    if (mirror->table[i]->schema.id == id) return mirror->table[i];
  }
  return NULL;
}

static void free_table(const epact_mirror *mirror, epact_mirror_table *table)
{
  for (int s = 0; s < mirror->shards && table->link; s++) {
    epact_release(table->link[s].state);
    free(table->link[s].dropped);
  }
  free(table->link);
  free(table);
}

int epact_mirror_add_table(epact_mirror *mirror, const epact_schema *schema)
{
  if (epact_mirror_find_table(mirror, schema->id)) return EPACT_OK;
  int code = epact_grow(&mirror->table, (size_t)mirror->tables + 1, sizeof *mirror->table);
  if (code) return code;
  epact_mirror_table *table = epact_calloc(1, sizeof *table);
  if (!table) return EPACT_E_NOMEM;
  table->schema = *schema;
  table->row_bytes = schema->sparse ? 0 : (size_t)schema->cols * epact_type_bytes(schema->type);
  table->link = epact_calloc((size_t)mirror->shards, sizeof *table->link);
  if (!table->link) {
    free_table(mirror, table);
    return EPACT_E_NOMEM;
  }
  mirror->table[mirror->tables++] = table;
  return EPACT_OK;
}

/* ---- rows ---- */

static uint64_t hash_of(const epact_mirror_table *table, int64_t id)
{
  return epact_mix64((uint64_t)id ^ (uint64_t)table->schema.id << 21);
}

static epact_mirror_row **place_of(const epact_mirror *mirror, const epact_mirror_table *table, int64_t id)
{
  epact_mirror_row **place = &mirror->bucket[hash_of(table, id) & (mirror->buckets - 1)];
  while (*place && ((*place)->id != id || (*place)->table != table)) place = &(*place)->next;
  return place;
}

epact_mirror_row *epact_mirror_find(const epact_mirror *mirror, const epact_mirror_table *table, int64_t id)
{
  return *place_of(mirror, table, id);
}

static void free_row(epact_mirror_row *row)
{
  epact_sparse_row_free(&row->cells);
  epact_release(row->state);
  free(row);
}

void epact_mirror_free(epact_mirror *mirror)
{
  for (uint64_t i = 0; i < mirror->buckets && mirror->bucket; i++) {
    for (epact_mirror_row *next, *row = mirror->bucket[i]; row; row = next) {
      next = row->next;
      free_row(row);
    }
  }
  for (int i = 0; i < mirror->tables; i++) free_table(mirror, mirror->table[i]);
  free(mirror->table);
  free(mirror->bucket);
  memset(mirror, 0, sizeof *mirror);
}

static int32_t shard_of(const epact_mirror *mirror, const epact_mirror_table *table, int64_t id)
{
  return epact_row_shard(&table->schema, id, mirror->shards);
}

/* The shard sends a row nobody here holds. Forgotten ones are dropped when they are pushed again. */
static void drop_subscription(epact_mirror *mirror, epact_mirror_table *table, int64_t id)
{
  epact_mirror_link *link = &table->link[shard_of(mirror, table, id)];
  if (link->dropped_count == link->dropped_capacity) {
    uint32_t capacity = link->dropped_capacity ? link->dropped_capacity * 2 : 64;
    if (capacity > MOST_DROPPED || epact_grow(&link->dropped, capacity, sizeof *link->dropped)) return;
    link->dropped_capacity = capacity;
  }
  link->dropped[link->dropped_count++] = id;
  mirror->dropped++;
}

static void evict(epact_mirror *mirror, epact_mirror_row *row)
{
  epact_mirror_row **place = place_of(mirror, row->table, row->id);
  *place = row->next;
  if (row->after == row)
    mirror->hand = NULL;
  else {
    row->before->after = row->after;
    row->after->before = row->before;
    if (mirror->hand == row) mirror->hand = row->after;
  }
  mirror->rows--;
  mirror->bytes -= row->bytes;
  row->table->evicted++;
  if (row->table->schema.push) drop_subscription(mirror, row->table, row->id);
  free_row(row);
}

static void keep_within_bounds(epact_mirror *mirror)
{
  while (mirror->hand && (mirror->rows > mirror->most_rows || mirror->bytes > mirror->most_bytes)) {
    epact_mirror_row *row = mirror->hand;
    mirror->hand = row->after;
    if (!atomic_exchange_explicit(&row->used, 0, memory_order_relaxed)) evict(mirror, row);
  }
}

/* More buckets, as many as rows; with what there is, when memory is short. */
static void grow_buckets(epact_mirror *mirror)
{
  uint64_t buckets = mirror->buckets * 2;
  epact_mirror_row **grown = epact_calloc(buckets, sizeof(epact_mirror_row *));
  if (!grown) return;
  for (uint64_t i = 0; i < mirror->buckets; i++) {
    for (epact_mirror_row *next, *row = mirror->bucket[i]; row; row = next) {
      epact_mirror_row **head = &grown[hash_of(row->table, row->id) & (buckets - 1)];
      next = row->next;
      row->next = *head;
      *head = row;
    }
  }
  free(mirror->bucket);
  mirror->bucket = grown;
  mirror->buckets = buckets;
}

/* A new row without values, behind the hand; NULL when memory is short. */
static epact_mirror_row *add_row(epact_mirror *mirror, epact_mirror_table *table, int64_t id)
{
  if ((uint64_t)mirror->rows >= mirror->buckets) grow_buckets(mirror);
  epact_mirror_row *row = epact_calloc(1, sizeof *row + table->row_bytes);
  if (!row) return NULL;
  epact_mirror_row **place = place_of(mirror, table, id);
  row->table = table;
  row->id = id;
  row->bytes = sizeof *row + table->row_bytes;
  row->next = *place;
  *place = row;
  if (mirror->hand) {
    row->after = mirror->hand;
    row->before = mirror->hand->before;
    row->before->after = row->after->before = row;
  } else
    mirror->hand = row->before = row->after = row;
  mirror->rows++;
  mirror->bytes += row->bytes;
  return row;
}

/* ---- states ---- */

static uint64_t version_of(const epact_mirror_link *link)
{
  return link->state ? link->state->version : 0;
}

static const epact_mirror_link *link_of(const epact_mirror *mirror, const epact_mirror_row *row)
{
  return &row->table->link[shard_of(mirror, row->table, row->id)];
}

bool epact_mirror_follows(const epact_mirror *mirror, const epact_mirror_row *row)
{
  return row->follows && row->state->version >= link_of(mirror, row)->base;
}

const epact_mirror_state *epact_mirror_state_of(const epact_mirror *mirror, const epact_mirror_row *row)
{
  const epact_mirror_link *link = link_of(mirror, row);
  bool moved = epact_mirror_follows(mirror, row) && version_of(link) > row->state->version;
  return moved ? link->state : row->state;
}

static void set_state(epact_mirror_state **holder, epact_mirror_state *state)
{
  epact_retain(state);
  epact_release(*holder);
  *holder = state;
}

/* The state a message's rows are of; NULL when memory is short. Workers the section does not name: nothing of theirs
 * is known to be in the rows. */
static epact_mirror_state *state_of(const epact_mirror *mirror, const epact_message *message)
{
  const epact_section *applied = &message->section[message->kind == EPACT_M_PUSH ? 0 : 1];
  size_t bytes = sizeof(epact_mirror_state) + (size_t)mirror->slots * sizeof(int64_t);
  epact_mirror_state *state = epact_object_new(bytes, NULL);
  if (!state) return NULL;
  state->version = (uint64_t)message->cursor;
  state->minimum = message->clock;
  for (int i = 0; i < mirror->slots; i++) state->applied[i] = -1;
  for (int64_t i = 0; i < applied->rows; i++) {
    int64_t local = applied->row[i] - mirror->first_slot;
    if (local >= 0 && local < mirror->slots) state->applied[local] = ((const int64_t *)applied->value)[i];
  }
  return state;
}

/* ---- answers and pushes ---- */

static int check_sections(const epact_mirror *mirror, const epact_mirror_table *table, const epact_message *message)
{
  bool push = message->kind == EPACT_M_PUSH;
  if (message->sections != (push ? 3 : 2) || message->shard < 0 || message->shard >= mirror->shards ||
      message->cursor < 0) {
    return epact_fail(EPACT_E_PROTO, "rows for a mirror in %d sections", message->sections);
  }
  const epact_section *applied = &message->section[push ? 0 : 1];
  bool good = applied->type == EPACT_I64 && applied->encoding == EPACT_AS_TYPE && applied->cols == 1 &&
              !applied->start && (applied->value || !applied->rows);
  for (int i = push ? 1 : 0; i < (push ? 3 : 1) && good; i++) {
    const epact_section *s = &message->section[i];
    bool cells = table->schema.sparse || i == 2;
    good = s->type == table->schema.type && s->encoding == EPACT_AS_TYPE && s->cols == table->schema.cols &&
           (s->rows == 0 || ((s->start != NULL) == cells && (cells || s->value)));
    for (int64_t r = 0; good && r < s->rows; r++) {
      good = epact_schema_has_row(&table->schema, s->row[r]) && shard_of(mirror, table, s->row[r]) == message->shard;
    }
    for (int64_t k = 0; good && s->start && k < epact_section_cells(s); k++) good = (int64_t)s->col[k] < s->cols;
  }
  return good ? EPACT_OK : epact_fail(EPACT_E_PROTO, "rows that do not fit the table they are of");
}

/* Sets cells of a row; false when memory is short. */
static bool set_cells(epact_mirror_row *row, const epact_section *s, int64_t r)
{
  size_t bytes = epact_type_bytes(s->type);
  const char *value = (const char *)s->value;
  uint32_t first = s->start[r], end = s->start[r + 1];
  bool sparse = row->table->schema.sparse;
  if (sparse && epact_sparse_row_reserve(&row->cells, s->type, end - first)) return false;
  for (uint32_t k = first; k < end; k++) {
    if (!sparse) {
      memcpy((char *)row->values + s->col[k] * bytes, value + k * bytes, bytes);
      continue;
    }
    uint32_t slot = epact_sparse_row_find(&row->cells, s->col[k]);
    if (slot == EPACT_NO_INDEX)
      epact_sparse_row_add(&row->cells, s->type, s->col[k], value + k * bytes);
    else
      memcpy((char *)row->cells.value + slot * bytes, value + k * bytes, bytes);
  }
  return true;
}

static bool set_values(epact_mirror_row *row, const epact_section *s, int64_t r)
{
  if (!row->table->schema.sparse) {
    memcpy(row->values, (const char *)s->value + (size_t)r * row->table->row_bytes, row->table->row_bytes);
    return true;
  }
  epact_sparse_row_clear(&row->cells);
  return set_cells(row, s, r);
}

/* The row has new values, of `state`. */
static void settle(epact_mirror *mirror, epact_mirror_row *row, epact_mirror_state *state, bool follows)
{
  size_t bytes = sizeof *row + row->table->row_bytes +
                 row->cells.capacity * (sizeof(int32_t) + epact_type_bytes(row->table->schema.type));
  mirror->bytes += bytes - row->bytes;
  row->bytes = bytes;
  row->changed = state->version;
  row->follows = follows;
  set_state(&row->state, state);
}

/* An answer to a worker's read. Rows that are newer here stay. */
static void take_rows(epact_mirror *mirror, epact_mirror_table *table, const epact_message *message,
                      epact_mirror_state *state)
{
  const epact_section *s = &message->section[0];
  const epact_mirror_link *link = &table->link[message->shard];
  bool follows = table->schema.push && state->version >= link->part_version; /* else it has missed a push */
  for (int64_t r = 0; r < s->rows; r++) {
    epact_mirror_row *row = epact_mirror_find(mirror, table, s->row[r]);
    if (row && epact_mirror_state_of(mirror, row)->version >= state->version) continue;
    if (!row && (sizeof *row + table->row_bytes > mirror->most_bytes || mirror->most_rows < 1)) {
      table->evicted++;
      if (table->schema.push) drop_subscription(mirror, table, s->row[r]);
      continue;
    }
    if (!row) row = add_row(mirror, table, s->row[r]);
    if (!row) continue;
    if (!row->state) set_state(&row->state, state);
    if (set_values(row, s, r))
      settle(mirror, row, state, follows);
    else
      evict(mirror, row);
    keep_within_bounds(mirror);
  }
}

/* Rows in section i of a push: [1] whole, [2] the cells that changed since the push before. */
static void take_pushed(epact_mirror *mirror, epact_mirror_table *table, const epact_message *message, int i,
                        epact_mirror_state *state)
{
  const epact_section *s = &message->section[i];
  for (int64_t r = 0; r < s->rows; r++) {
    epact_mirror_row *row = epact_mirror_find(mirror, table, s->row[r]);
    if (!row) drop_subscription(mirror, table, s->row[r]);
    if (!row || row->state->version >= state->version) continue;
    if (i == 2 && !epact_mirror_follows(mirror, row)) continue; /* earlier changes are missing */
    if (i == 1 ? set_values(row, s, r) : set_cells(row, s, r))
      settle(mirror, row, state, true);
    else
      evict(mirror, row);
    keep_within_bounds(mirror);
  }
}

static void take_push(epact_mirror *mirror, epact_mirror_table *table, const epact_message *message,
                      epact_mirror_state *state)
{
  epact_mirror_link *link = &table->link[message->shard];
  uint64_t from = (uint64_t)message->applied;
  for (int i = 0; i < 3; i++) table->pushed += (double)epact_section_bytes(&message->section[i]);
  if (state->version <= version_of(link)) return; /* repeated, or overtaken by a later one */
  if (link->part_version != state->version) {
    link->part_version = state->version;
    link->parts = 0;
    link->torn = false;
    if (from > version_of(link) && from > link->base) link->base = from; /* one was lost */
  }
  if (message->request < link->parts) return; /* repeated */
  if (message->request > link->parts) link->torn = true;
  link->parts = message->request + 1;
  take_pushed(mirror, table, message, 1, state);
  take_pushed(mirror, table, message, 2, state);
  if (!message->final) return;
  if (link->torn && state->version > link->base) link->base = state->version;
  set_state(&link->state, state); /* after the rows: what follows is as new as this says */
}

int epact_mirror_step(epact_mirror *mirror, const epact_message *message)
{
  if (message->kind != EPACT_M_ROWS && message->kind != EPACT_M_PUSH) return EPACT_OK;
  epact_mirror_table *table = epact_mirror_find_table(mirror, message->table);
  if (!table || (message->kind == EPACT_M_PUSH && !table->schema.push)) return EPACT_OK;
  int code = check_sections(mirror, table, message);
  if (code) return code;
  epact_mirror_state *state = state_of(mirror, message);
  if (!state) return EPACT_E_NOMEM;
  if (message->kind == EPACT_M_ROWS)
    take_rows(mirror, table, message, state);
  else
    take_push(mirror, table, message, state);
  epact_release(state);
  return EPACT_OK;
}

int64_t epact_mirror_take_dropped(epact_mirror *mirror, epact_mirror_table *table, int shard, const int64_t **row,
                                  uint64_t *version)
{
  epact_mirror_link *link = &table->link[shard];
  int64_t kept = 0;
  for (uint32_t i = 0; i < link->dropped_count; i++) { /* but for those that were read again since */
    if (!epact_mirror_find(mirror, table, link->dropped[i])) link->dropped[kept++] = link->dropped[i];
  }
  mirror->dropped -= link->dropped_count;
  link->dropped_count = 0;
  *row = link->dropped;
  *version = version_of(link);
  return kept;
}
