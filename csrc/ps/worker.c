/* What a worker thread calls: its clock, and tables. Reading them is in fetch.c. */
#include "keep.h"

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

int64_t epact_worker_slowest(const epact_worker *worker)
{
  return worker->process->serves ? atomic_load(&worker->process->minimum) : -1;
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
int epact_worker_check(epact_worker *worker)
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
int epact_worker_await_answers(epact_worker *worker, const char *table)
{
  double end = epact_now() + worker->process->timeout, patience = PATIENCE_SECONDS;
  int code, shard;
  while (!(code = epact_worker_check(worker)) && (shard = waiting_shard(&worker->client)) >= 0) {
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
  while (!code && (shard = epact_client_congested(&worker->client)) >= 0 && !(code = epact_worker_check(worker))) {
    if (epact_now() >= end) {
      return epact_fail(EPACT_E_TIMEOUT, "waited %g s for the shard of rank %d to apply clock %" PRId64,
                        process->timeout, shard, worker->client.link[shard].acknowledged);
    }
    code = take_next_letter(worker, end, &patience);
  }
  while (!code && process->keep && epact_keep_is_full(process->keep) && !(code = epact_worker_check(worker))) {
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
  while (!code && epact_client_unacknowledged(&worker->client) > 0 && !(code = epact_worker_check(worker))) {
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
  int code = epact_worker_check(worker);
  if (!code && worker->must_save)
    code = epact_fail(EPACT_E_MISUSE, "the worker's state at clock %" PRId64 " was not saved", worker->client.clock);
  if (!code && worker->client.finished) code = epact_fail(EPACT_E_MISUSE, "the worker has finished");
  if (!code) code = take_letters(worker);
  if (!code) code = await_room(worker);
  if (!code) code = epact_client_clock(&worker->client, false);
  if (!code) code = pass_cut(worker);
  return code ? code : epact_worker_check(worker);
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
  if ((code = epact_worker_await_answers(worker, NULL)) || !worker->process->serves) return code;
  return epact_process_wait(worker->process, client->clock, NULL);
}

int epact_worker_finish(epact_worker *worker)
{
  if (worker->client.finished) return EPACT_OK;
  int code = epact_worker_check(worker);
  if (!code) code = epact_client_clock(&worker->client, true);
  if (!code && worker->process->keep)
    code = epact_keep_finish_worker(worker->process->keep, worker->local, worker->client.clock, worker->last_state,
                                    worker->last_state_bytes);
  if (!code) worker->process->active--;
  return code ? code : epact_worker_check(worker);
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
static int mirror_table(epact_process *process, const epact_schema *schema)
{
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
  if (!code) code = epact_worker_check(worker);
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
  bool mirrored = client->mirror && (schema.push || worker->process->workers > 1);
  epact_table *table = epact_client_open(client, options->name, &schema, options->staleness, mirrored);
  if (!table) return EPACT_E_NOMEM;
  table->worker = worker;
  epact_filter_init(&table->filter, options);
  code = epact_worker_await_answers(worker, options->name);
  if (!code && mirrored) code = mirror_table(worker->process, &schema); /* of a shape that the shards have accepted */
  if (code)
    epact_client_forget_last(client);
  else
    *result = table;
  return code;
}
