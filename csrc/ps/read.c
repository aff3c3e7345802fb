/* Reads of rows of other processes' shards: the mirror first. */
#include "read.h"

#include "../base/internal.h"

#include <stdlib.h>

#define READ_BYTES ((int64_t)4 << 20) /* of one request */
#define READ_SPARSE_ROWS 4096

typedef enum {
  DONE,    /* the worker's copy is fresh */
  AWAITED, /* the row is here, and its changes will be with the shard's next answer */
  MISSING
} outcome;

int epact_read_begin(epact_read *read, epact_table *table, int64_t need, int64_t n, const int64_t *row)
{
  const epact_client *client = table->client;
  int64_t most = table->schema.sparse ? READ_SPARSE_ROWS : READ_BYTES / (int64_t)table->cache.row_bytes + 1;
  *read = (epact_read){ .table = table, .need = need, .n = n, .row = row, .most = most < n ? most : n };
  if (client->mirror) read->mirrored = epact_mirror_find_table(client->mirror, table->schema.id);
  read->ids = epact_malloc((size_t)(read->most + 1) * sizeof *read->ids);
  read->from = epact_calloc((size_t)client->shards, sizeof *read->from);
  read->asked = epact_calloc((size_t)client->shards, sizeof *read->asked);
  return read->ids && read->from && read->asked ? EPACT_OK : EPACT_E_NOMEM;
}

void epact_read_end(epact_read *read)
{
  free(read->ids);
  free(read->from);
  free(read->asked);
  free(read->applied);
}

/* The number of copies at `state`: rows of one state that are read together are one view. */
static int number_of(epact_read *read, const epact_mirror_state *state, uint32_t *number)
{
  epact_client *client = read->table->client;
  if (!read->numbers || read->state != state) {
    if (read->numbers == read->capacity) {
      uint32_t capacity = read->capacity ? read->capacity * 2 : 16;
      int code = epact_grow(&read->applied, capacity, sizeof *read->applied);
      if (code) return code;
      read->capacity = capacity;
    }
    uint32_t next = ++client->request;
    if (!read->numbers) read->first = next;
    read->state = state;
    read->applied[read->numbers++] = state->applied[client->slot - client->mirror->first_slot];
  }
  *number = read->first + read->numbers - 1;
  return EPACT_OK;
}

/* The oldest state a copy from the mirror may be of. */
static int64_t oldest_of(const epact_read *read)
{
  const epact_table *table = read->table;
  if (table->slack != EPACT_ASYNC) return read->need;
  int64_t lag = table->schema.push ? table->client->clock - EPACT_ASYNC_LAG : EPACT_FOREVER;
  return lag > read->need ? lag : read->need;
}

static int copy_row(epact_read *read, epact_mirror_row *row, const epact_mirror_state *state)
{
  epact_table *table = read->table;
  bool sparse = table->schema.sparse;
  uint32_t number, index = epact_table_index(table, row->id);
  if (index == EPACT_NO_INDEX) return EPACT_E_NOMEM;
  int code = number_of(read, state, &number);
  if (code) return code;
  code = epact_table_install(table, index, row->id, sparse ? NULL : row->values, sparse ? &row->cells : NULL,
                             state->minimum, row->changed + 1);
  table->cached[index].answered = number;
  table->stats.fetches++;
  table->stats.hits++;
  if (code) table->cached[index].valid_before = 0; /* it is not whole */
  return code;
}

/* Copies of this step that lack batches: they must be made anew. */
static void forget_copies(epact_read *read)
{
  epact_table *table = read->table;
  for (int64_t i = 0; i < read->n; i++) {
    uint32_t index = epact_store_find(&table->cache, read->row ? read->row[i] : i);
    if (index >= table->cached_capacity) continue; /* NO_INDEX too */
    if (table->cached[index].answered - read->first < read->numbers) table->cached[index].valid_before = 0;
  }
}

/* One row that is not fresh. A copy the worker has may do, when there is no newer one. */
static int look(epact_read *read, int shard, int64_t id, outcome *found)
{
  epact_table *table = read->table;
  const epact_client *client = table->client;
  int64_t oldest = oldest_of(read);
  uint32_t index = epact_store_find(&table->cache, id);
  epact_cached *copy =
      index < table->cached_capacity && table->cached[index].valid_before ? &table->cached[index] : NULL;
  bool does = copy && table->schema.push && copy->stamp >= oldest;
  epact_mirror_row *row = read->mirrored ? epact_mirror_find(client->mirror, read->mirrored, id) : NULL;
  const epact_mirror_state *state = row ? epact_mirror_state_of(client->mirror, row) : NULL;
  *found = DONE;
  if (row) atomic_store_explicit(&row->used, 1, memory_order_relaxed);
  int64_t last = row ? state->applied[client->slot - client->mirror->first_slot] : -1;
  /* A worker that reads has not finished: it was given up where it seems to, and is told so when it asks. */
  bool usable =
      row && state->minimum >= oldest && last != EPACT_FOREVER && last >= epact_link_oldest(&client->link[shard]) - 1;
  if (usable && (!copy || state->minimum > copy->stamp)) {
    bool same = copy && copy->version == row->changed + 1 && !copy->logged && !table->filter.active;
    if (!same) return copy_row(read, row, state);
    epact_table_renew(table, index, state->minimum); /* nothing has changed */
    table->stats.hits++;
  } else if (does)
    epact_table_renew(table, index, copy->stamp);
  else if (row && !usable && state->minimum < oldest && table->slack != EPACT_ASYNC && !read->asked[shard] &&
           epact_mirror_follows(client->mirror, row))
    *found = AWAITED;
  else
    *found = MISSING;
  return EPACT_OK;
}

static int ask_shard(epact_read *read, int shard, bool *asks)
{
  epact_table *table = read->table;
  epact_client *client = table->client;
  int64_t count = 0, left = -1, i = read->from[shard];
  int code = EPACT_OK;
  bool awaited = false;
  read->numbers = 0;
  for (; i < read->n && count < read->most && !code; i++) {
    int64_t id = read->row ? read->row[i] : i;
    outcome found;
    if (epact_row_shard(&table->schema, id, client->shards) != shard || epact_table_is_fresh(table, id)) continue;
    code = look(read, shard, id, &found);
    if (found == MISSING) read->ids[count++] = id;
    if (found != AWAITED) continue;
    if (left < 0) left = i;
    awaited = true;
  }
  if (!code && read->numbers) code = epact_client_overlay_many(table, shard, read->first, read->numbers, read->applied);
  if (code && read->numbers) forget_copies(read);
  read->from[shard] = left < 0 ? i : left;
  if (code || (!count && !awaited)) return code;
  *asks = read->asked[shard] = true;
  if (!count) return epact_client_ask(client, shard, EPACT_M_WAIT, NULL, read->need, NULL);
  epact_section section = {
    .table = table->schema.id, .type = table->schema.type, .cols = table->schema.cols, .rows = count, .row = read->ids
  };
  return epact_client_ask(client, shard, EPACT_M_READ, table, read->need, &section);
}

int epact_read_step(epact_read *read, bool *asks)
{
  const epact_client *client = read->table->client;
  int code = EPACT_OK;
  *asks = false;
  for (int s = 0; s < client->shards && !code; s++) {
    if (s != client->local) code = ask_shard(read, s, asks);
  }
  return code;
}
