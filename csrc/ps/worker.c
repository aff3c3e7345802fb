/* What a worker thread calls: its clock, and reads that wait as long as the SSP rule demands. */
#include "keep.h"
#include "read.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLICE_SECONDS 0.1    /* a wait looks up this often */
#define PATIENCE_SECONDS 2.0 /* without an answer, before what was sent is sent again the first time */
#define MOST_PATIENCE_SECONDS 16.0

epact_worker_place epact_worker_where(const epact_worker *worker)
{
  const epact_process *process = worker->process;
  return (epact_worker_place){ worker->client.slot, process->slots, process->rank,
                               process->size,       worker->local,  process->deterministic };
}

int epact_worker_joined(const epact_worker *worker)
{
  return worker->process->joins;
}

int64_t epact_worker_now(const epact_worker *worker)
{
  return worker->client.clock;
}

int epact_worker_stopped(const epact_worker *worker)
{
  return atomic_load(&worker->process->stopped);
}

/* ---- answers of other processes ---- */

static epact_letter *next_letter(epact_worker *worker, double end)
{
  pthread_mutex_lock(&worker->inbox_lock);
  while (!worker->inbox && !atomic_load(&worker->process->stopped) && epact_now() < end) {
    struct timespec deadline = epact_deadline_after(SLICE_SECONDS);
    pthread_cond_timedwait(&worker->inbox_filled, &worker->inbox_lock, &deadline);
  }
  epact_letter *letter = worker->inbox;
  if (letter) {
    worker->inbox = letter->next;
    if (!worker->inbox) worker->inbox_end = &worker->inbox;
  }
  pthread_mutex_unlock(&worker->inbox_lock);
  return letter;
}

static int take_letter(epact_worker *worker, epact_letter *letter)
{
  int code = epact_client_step(&worker->client, &letter->decoded.message);
  epact_letter_free(letter);
  return code;
}

/* The first failure since the last look: of a step inside emit, of a shard, of the job. */
static int check(epact_worker *worker)
{
  epact_client *client = &worker->client;
  if (EPACT_UNLIKELY(worker->failure)) return epact_fail(worker->failure, "%s", worker->failure_text);
  if (EPACT_UNLIKELY(client->refused_code)) {
    int code = epact_fail(client->refused_code, "%s", client->refused_text);
    if (client->refused_request) client->refused_code = 0; /* of a request, which has failed now */
    return code;
  }
  return epact_process_check(worker->process);
}

static int waiting_shard(const epact_client *client)
{
  for (int s = 0; s < client->shards; s++) {
    if (epact_client_waits(client, s)) return s;
  }
  return -1;
}

/* Waits for one letter and takes it. What was sent may have been lost with a connection: when nothing comes, it is
 * sent again, ever more seldom. Whoever has it already says so. */
static int take_next_letter(epact_worker *worker, double end, double *patience)
{
  double now = epact_now(), until = now + *patience < end ? now + *patience : end;
  epact_letter *letter = next_letter(worker, until);
  if (letter) return take_letter(worker, letter);
  if (epact_now() < until || until >= end || !worker->process->net) return EPACT_OK;
  if (*patience < MOST_PATIENCE_SECONDS) *patience *= 2;
  return epact_client_resend(&worker->client);
}

/* Until no shard owes an answer. */
static int await_answers(epact_worker *worker, const char *table)
{
  double end = epact_now() + worker->process->timeout, patience = PATIENCE_SECONDS;
  int code, shard;
  while (!(code = check(worker)) && (shard = waiting_shard(&worker->client)) >= 0) {
    if (epact_now() >= end) {
      return epact_fail(EPACT_E_TIMEOUT, "%s%s%swaited %g s for the shard of rank %d", table ? "table '" : "",
                        table ? table : "", table ? "': " : "", worker->process->timeout, shard);
    }
    if ((code = take_next_letter(worker, end, &patience))) return code;
  }
  shard = waiting_shard(&worker->client);
  if (code == EPACT_E_STOPPED && shard >= 0) return epact_fail_waiting(code, table, "the shard of rank", shard);
  return code;
}

/* Acknowledgements that have come in, without waiting. */
static int take_letters(epact_worker *worker)
{
  epact_letter *letter;
  int code = EPACT_OK;
  if (!epact_client_unacknowledged(&worker->client)) return EPACT_OK;
  while (!code && (letter = next_letter(worker, 0))) code = take_letter(worker, letter);
  return code;
}

/* A worker far ahead of the others' clocks, of a cut or of the disk waits. */
static int await_room(epact_worker *worker)
{
  epact_process *process = worker->process;
  double begin = epact_now(), end = begin + process->timeout, patience = PATIENCE_SECONDS;
  int code = EPACT_OK, shard;
  while (!code && (shard = epact_client_congested(&worker->client)) >= 0 && !(code = check(worker))) {
    if (epact_now() >= end) {
      return epact_fail(EPACT_E_TIMEOUT, "waited %g s for the shard of rank %d to apply clock %" PRId64,
                        process->timeout, shard, worker->client.link[shard].acknowledged);
    }
    code = take_next_letter(worker, end, &patience);
  }
  while (!code && process->keep && epact_keep_is_full(process->keep) && !(code = check(worker))) {
    code = epact_keep_await_room(process->keep, end);
  }
  worker->wait_room += epact_now() - begin;
  return code;
}

double epact_worker_wait_room(const epact_worker *worker)
{
  return worker->wait_room;
}

int epact_worker_settle(epact_worker *worker, double end)
{
  double patience = PATIENCE_SECONDS;
  int code = take_letters(worker);
  while (!code && epact_client_unacknowledged(&worker->client) > 0 && !(code = check(worker))) {
    if (epact_now() >= end) return EPACT_E_AGAIN;
    code = take_next_letter(worker, end, &patience);
  }
  return code;
}

/* ---- clock ---- */

/* Told to the snapshots that wait for this worker; one with a state of its own says it with epact_worker_save. */
static int pass_cut(epact_worker *worker)
{
  epact_keep *keep = worker->process->keep;
  int64_t clock = worker->client.clock;
  if (!keep || !epact_keep_wants(keep, clock, worker->keeps_state)) return EPACT_OK;
  worker->must_save = worker->keeps_state;
  return worker->keeps_state ? EPACT_OK : epact_keep_pass(keep, worker->local, clock, NULL, 0);
}

int epact_worker_clock(epact_worker *worker)
{
  int code = check(worker);
  if (!code && worker->must_save)
    code = epact_fail(EPACT_E_MISUSE, "the worker's state at clock %" PRId64 " was not saved", worker->client.clock);
  if (!code && worker->client.finished) code = epact_fail(EPACT_E_MISUSE, "the worker has finished");
  if (!code) code = take_letters(worker);
  if (!code) code = await_room(worker);
  if (!code) code = epact_client_clock(&worker->client, false);
  if (!code) code = pass_cut(worker);
  return code ? code : check(worker);
}

const void *epact_worker_keep_state(epact_worker *worker, size_t *bytes)
{
  if (worker->process->keep && !worker->keeps_state) epact_keep_expect(worker->process->keep, worker->local);
  worker->keeps_state = true;
  *bytes = worker->restored_bytes;
  return worker->restored;
}

int epact_worker_saves(const epact_worker *worker)
{
  return worker->must_save;
}

int epact_worker_save(epact_worker *worker, const void *state, size_t bytes)
{
  if (!worker->must_save) { /* its last, for when it finishes */
    char *copy = epact_malloc(bytes + 1);
    if (!copy) return EPACT_E_NOMEM;
    if (bytes) memcpy(copy, state, bytes);
    free(worker->last_state);
    worker->last_state = copy;
    worker->last_state_bytes = bytes;
    return EPACT_OK;
  }
  worker->must_save = false;
  return epact_keep_pass(worker->process->keep, worker->local, worker->client.clock, state ? state : "", bytes);
}

int epact_worker_barrier(epact_worker *worker)
{
  epact_client *client = &worker->client;
  client->flush = true;
  int code = epact_worker_clock(worker);
  if (code) return code;
  client->floor = client->clock;
  for (int s = 0; s < client->shards; s++) {
    if (s == client->local) continue;
    if ((code = epact_client_ask(client, s, EPACT_M_WAIT, NULL, client->clock, NULL))) return code;
  }
  if ((code = await_answers(worker, NULL)) || !worker->process->serves) return code;
  return epact_process_wait(worker->process, client->clock, NULL);
}

int epact_worker_finish(epact_worker *worker)
{
  if (worker->client.finished) return EPACT_OK;
  int code = check(worker);
  if (!code) code = epact_client_clock(&worker->client, true);
  if (!code && worker->process->keep)
    code = epact_keep_finish_worker(worker->process->keep, worker->local, worker->client.clock, worker->last_state,
                                    worker->last_state_bytes);
  if (!code) worker->process->active--;
  return code ? code : check(worker);
}

/* ---- tables ---- */

static int check_table_options(const epact_table_options *o)
{
  if (!o->name || !*o->name || strlen(o->name) > EPACT_MAX_NAME) {
    return epact_fail(EPACT_E_MISUSE, "a table's name must have 1 to %d bytes", EPACT_MAX_NAME);
  }
  if (o->rows < 0 || o->rows > INT64_C(1) << 53)
    return epact_fail(EPACT_E_MISUSE, "table '%s': rows is out of range", o->name);
  if (o->cols < 1 || o->cols > INT32_MAX) {
    return epact_fail(EPACT_E_MISUSE, "table '%s': cols must be 1 .. 2^31-1, got %" PRId64, o->name, o->cols);
  }
  if (o->type < EPACT_F32 || o->type > EPACT_I64)
    return epact_fail(EPACT_E_MISUSE, "table '%s': unknown type", o->name);
  if (o->staleness < 0) return epact_fail(EPACT_E_MISUSE, "table '%s': staleness must be >= 0", o->name);
  int row_bits = 0, col_bits = 0;
  for (int64_t rows = o->rows ? o->rows : INT64_C(1) << 53; INT64_C(1) << row_bits < rows;) row_bits++;
  for (; INT64_C(1) << col_bits < o->cols;) col_bits++;
  if ((o->sparse || o->sparse_updates) && o->rows && row_bits + col_bits > 63) {
    return epact_fail(EPACT_E_LIMIT, "table '%s': rows x cols exceeds 2^63 cells", o->name);
  }
  if (o->changes && !o->sparse && !o->sparse_updates) {
    return epact_fail(EPACT_E_MISUSE, "table '%s': changes needs sparse updates", o->name);
  }
  return EPACT_OK;
}

/* Rows of other processes are kept for all workers of this one: to be followed, or to be read once. */
static int mirror_table(epact_worker *worker, const epact_schema *schema, bool *mirrored)
{
  epact_process *process = worker->process;
  *mirrored = worker->client.mirror && (schema->push || process->workers > 1);
  if (!*mirrored) return EPACT_OK;
  pthread_rwlock_wrlock(&process->mirror_lock);
  int code = epact_mirror_add_table(&process->mirror, schema);
  pthread_rwlock_unlock(&process->mirror_lock);
  return code;
}

int epact_table_open(epact_worker *worker, const epact_table_options *options, epact_table **result)
{
  epact_client *client = &worker->client;
  int64_t hold = 0;
  int code = check_table_options(options);
  if (!code && (hold = epact_filter_check(options)) < 0) code = (int)hold;
  if (!code && worker->process->deterministic && options->staleness) {
    code = epact_fail(EPACT_E_MISUSE, "table '%s': a deterministic job needs staleness 0", options->name);
  }
  if (!code) code = check(worker);
  if (code) return code;
  epact_schema schema = { .type = options->type,
                          .rows = options->rows,
                          .cols = options->cols,
                          .sparse = options->sparse,
                          .sparse_updates = options->sparse || options->sparse_updates,
                          .changes = options->changes,
                          .hold = hold,
                          .push = options->push };
  for (int i = 0; i < client->tables; i++) {
    epact_table *table = client->table[i];
    if (strcmp(table->name, options->name)) continue;
    schema.id = table->schema.id;
    if (!epact_schema_equal(&schema, &table->schema)) {
      char have[96], want[96];
      return epact_fail(EPACT_E_SCHEMA, "table '%s' is %s, not %s", table->name,
                        epact_schema_text(&table->schema, have, sizeof have),
                        epact_schema_text(&schema, want, sizeof want));
    }
    if (table->staleness != options->staleness) {
      return epact_fail(EPACT_E_SCHEMA, "table '%s' was opened with another staleness by this worker", table->name);
    }
    if (!epact_filter_equal(&table->filter, options)) {
      return epact_fail(EPACT_E_SCHEMA, "table '%s' was opened with another filter by this worker", table->name);
    }
    *result = table;
    return EPACT_OK;
  }
  schema.id = epact_table_id(options->name);
  bool mirrored;
  if ((code = mirror_table(worker, &schema, &mirrored))) return code;
  epact_table *table = epact_client_open(client, options->name, &schema, options->staleness, mirrored);
  if (!table) return EPACT_E_NOMEM;
  table->worker = worker;
  epact_filter_init(&table->filter, options);
  code = await_answers(worker, options->name);
  if (code)
    epact_client_forget_last(client);
  else
    *result = table;
  return code;
}

/* ---- reads ---- */

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
  int code = await_answers(worker, table->name);
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
  if (!code) code = check(worker);
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
  int code = check(worker);
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
