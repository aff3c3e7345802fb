/* A worker's reads: rows of its own process's shard, of others', and what others have changed. */
#include "process.h"
#include "read.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <string.h>

/* ---- rows ---- */

static int install_local(epact_table *table, const epact_shard *shard, const epact_shard_table *master, int64_t row)
{
  uint32_t index = epact_table_index(table, row);
  if (index == EPACT_NO_INDEX) return EPACT_E_NOMEM;
  uint32_t at = epact_store_find(&master->store, row);
  bool present = at != EPACT_NO_INDEX && at < master->version_capacity;
  uint64_t version = present ? master->version[at] + 1 : 1; /* 0: the copy is no copy */
  epact_cached *copy = &table->cached[index];
  bool staged = table->client->link[shard->rank].batches > 0; /* own batches that are not in the master copy */
  bool logged = copy->logged || table->log.entries || table->filter.rests;
  if (copy->valid_before && copy->version == version && !logged && !staged) {
    epact_table_renew(table, index, shard->minimum);
    return EPACT_OK;
  }
  static const epact_sparse_row no_cells = { 0, 0, NULL, NULL };
  const epact_sparse_row *cells = table->schema.sparse ? (present ? &master->store.cells[at] : &no_cells) : NULL;
  const void *values = !cells && present ? epact_store_values(&master->store, at) : NULL;
  if (!cells && !present) memset(epact_store_values(&table->cache, index), 0, table->cache.row_bytes);
  table->stats.fetches++;
  int code = epact_table_install(table, index, row, values, cells, shard->minimum, version);
  if (!code && staged) {
    code = epact_client_overlay(table, shard->rank, shard->slot[table->client->slot].applied, index, row);
    copy->version = 0; /* the sum is not the master's */
    if (code) copy->valid_before = 0;
  }
  return code;
}

static int check_rows(const epact_table *table, int64_t n, const int64_t *row)
{
  if (n < 0 || (!row && n > (table->schema.rows ? table->schema.rows : 0))) {
    return epact_fail(EPACT_E_RANGE, "table '%s': %" PRId64 " rows asked of %" PRId64, table->name, n,
                      table->schema.rows);
  }
  for (int64_t i = 0; row && i < n; i++) {
    if (epact_schema_has_row(&table->schema, row[i])) continue;
    return epact_fail(EPACT_E_RANGE, "table '%s': row %" PRId64 " is outside [0, %" PRId64 ")", table->name, row[i],
                      epact_schema_row_limit(&table->schema));
  }
  return EPACT_OK;
}

/* Seconds since `begin` were spent waiting: for slower workers when some request had to wait for the minimum clock. */
static void count_wait(epact_table *table, double begin, bool parked)
{
  double seconds = epact_now() - begin;
  table->stats.wait_seconds += seconds;
  *(parked ? &table->stats.wait_clock : &table->stats.wait_net) += seconds;
}

/* Until this process's shard is at `need`. */
static int wait_for_clock(epact_worker *worker, epact_table *table, int64_t need)
{
  if (atomic_load(&worker->process->minimum) >= need) return EPACT_OK;
  double begin = epact_now();
  int code = epact_process_wait(worker->process, need, table->name);
  count_wait(table, begin, true);
  return code;
}

static int fetch_local(epact_worker *worker, epact_table *table, int64_t need, int64_t n, const int64_t *row)
{
  epact_process *process = worker->process;
  int code = wait_for_clock(worker, table, need);
  if (code) return code;
  pthread_rwlock_rdlock(&process->shard_lock);
  const epact_shard_table *master = epact_shard_find_table(&process->shard, table->schema.id);
  for (int64_t i = 0; i < n && !code; i++) {
    int64_t id = row ? row[i] : i;
    if (epact_row_shard(&table->schema, id, process->servers) == process->rank && !epact_table_is_fresh(table, id)) {
      code = install_local(table, &process->shard, master, id);
    }
  }
  pthread_rwlock_unlock(&process->shard_lock);
  return code;
}

static bool was_parked(epact_client *client)
{
  bool parked = false;
  for (int s = 0; s < client->shards; s++) {
    parked = parked || client->link[s].parked;
    client->link[s].parked = false;
  }
  return parked;
}

/* Waits for the shards that were asked. */
static int await_counted(epact_worker *worker, epact_table *table)
{
  double begin = epact_now();
  int code = epact_worker_await_answers(worker, table->name);
  count_wait(table, begin, was_parked(&worker->client));
  return code;
}

static int unsubscribe(epact_worker *worker)
{
  epact_process *process = worker->process;
  pthread_rwlock_wrlock(&process->mirror_lock);
  int code = epact_client_unsubscribe(&worker->client);
  pthread_rwlock_unlock(&process->mirror_lock);
  return code;
}

/* Rows of other shards, some at a time from each of them at once. */
static int fetch_remote(epact_worker *worker, epact_table *table, int64_t need, int64_t n, const int64_t *row)
{
  epact_process *process = worker->process;
  epact_read read;
  bool asks = true;
  pthread_rwlock_rdlock(&process->mirror_lock); /* another worker may open a table */
  int code = epact_read_begin(&read, table, need, n, row);
  pthread_rwlock_unlock(&process->mirror_lock);
  while (!code && asks) {
    pthread_rwlock_rdlock(&process->mirror_lock);
    code = epact_read_step(&read, &asks);
    bool dropped = process->mirror.dropped > 0;
    pthread_rwlock_unlock(&process->mirror_lock);
    if (!code && dropped) code = unsubscribe(worker);
    if (!code && asks) code = await_counted(worker, table);
  }
  epact_read_end(&read);
  return code;
}

int epact_table_fetch(epact_table *table, int64_t n, const int64_t *row)
{
  epact_worker *worker = table->worker;
  int64_t need = epact_table_need(table);
  int code = check_rows(table, n, row);
  if (!code) code = epact_worker_check(worker);
  if (code) return code;
  bool serves = worker->process->serves;
  if (worker->client.shards > 1 || !serves) code = fetch_remote(worker, table, need, n, row);
  return code || !serves ? code : fetch_local(worker, table, need, n, row);
}

/* ---- changes ---- */

static int changes_local(epact_worker *worker, epact_table *table)
{
  epact_process *process = worker->process;
  int64_t *cursor = &table->cursor[process->rank];
  const epact_feed_entry *entry;
  int code = EPACT_OK;
  pthread_rwlock_wrlock(&process->shard_lock);
  epact_shard_table *master = epact_shard_find_table(&process->shard, table->schema.id);
  while (!code && (entry = epact_shard_feed_next(master, worker->client.slot, cursor))) {
    epact_retain(entry->batch);
    code = epact_table_hold_changes(table, entry->batch);
  }
  epact_shard_feed_consumed(master, process->slots, worker->client.slot, *cursor);
  pthread_rwlock_unlock(&process->shard_lock);
  return code;
}

int epact_table_changes(epact_table *table, int64_t *count, const epact_section **section)
{
  epact_worker *worker = table->worker;
  epact_client *client = &worker->client;
  int64_t need = epact_table_need(table);
  int code = epact_worker_check(worker);
  if (!code && client->finished) code = epact_fail(EPACT_E_MISUSE, "the worker has finished");
  if (!code && worker->process->joins) {
    code = epact_fail(EPACT_E_MISUSE, "table '%s': a worker that joined a running job reads no changes", table->name);
  }
  if (!code && !table->schema.changes) {
    code = epact_fail(EPACT_E_MISUSE, "table '%s' was not made with changes = true", table->name);
  }
  if (code) return code;
  epact_table_drop_changes(table);
  for (int s = 0; s < client->shards && !code; s++) {
    if (s != client->local) code = epact_client_ask(client, s, EPACT_M_CHANGES, table, need, NULL);
  }
  if (!code && (client->shards > 1 || client->local < 0)) code = await_counted(worker, table);
  int64_t minimum = epact_client_minimum(client);
  if (worker->process->serves) {
    if (!code) code = wait_for_clock(worker, table, need);
    if (!code) code = changes_local(worker, table);
    minimum = atomic_load(&worker->process->minimum);
  }
  if (code) return code;
  int64_t stale = client->clock - minimum;
  table->stats.reads++;
  table->stats.staleness[stale < 0 ? 0 : stale < EPACT_STALENESS_BINS ? stale : EPACT_STALENESS_BINS - 1]++;
  *count = table->changed_count;
  *section = table->changed;
  return EPACT_OK;
}
