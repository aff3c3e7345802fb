/* Opening and closing a process's part in a job. */
#include "process.h"

#include "keep.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_TIMEOUT 300.0
#define SLICE_SECONDS 0.1 /* a wait looks up this often */
#define ASK_SECONDS 0.5   /* between two requests to join */
#define CACHE_BYTES ((int64_t)1 << 30)

/* Workers that read without pause must not keep a batch, or a push, out. */
static void init_lock_for_readers(pthread_rwlock_t *lock)
{
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
#ifdef __GLIBC__
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
  pthread_rwlock_init(lock, &attributes);
  pthread_rwlockattr_destroy(&attributes);
}

static void worker_emit(void *context, const epact_message *message)
{
  epact_worker *worker = context;
  epact_process *process = worker->process;
  int code = message->shard == process->rank ? epact_process_step(process, worker, message)
                                             : epact_net_send(process->net, message->shard, message);
  if (!code || worker->failure) return;
  worker->failure = code;
  snprintf(worker->failure_text, sizeof worker->failure_text, "%s", epact_error_message());
}

/* ---- opening and closing ---- */

static int check_options(const epact_process_options *o)
{
  if (o->servers < 0 || (!o->join && o->servers > o->size)) {
    return epact_fail(EPACT_E_MISUSE, "%d servers of %d processes are not possible", o->servers, o->size);
  }
  if (o->deterministic && (o->go_on || o->elastic || o->join)) {
    return epact_fail(EPACT_E_MISUSE, "the workers of a deterministic job neither come nor go");
  }
  if (o->journal && o->elastic)
    return epact_fail(EPACT_E_MISUSE,
                      "a job with a journal is not elastic: what a process that joins has published may "
                      "be in one shard's journal only");
  if (o->journal && o->servers && o->servers < o->size) {
    return epact_fail(EPACT_E_MISUSE, "a journal needs a shard in every process");
  }
  if (o->size < 1 || o->rank < 0 || o->rank >= o->size) {
    return epact_fail(EPACT_E_MISUSE, "rank %d of %d processes is not possible", o->rank, o->size);
  }
  if (o->workers < 1 || o->workers > EPACT_MAX_SLOTS) {
    return epact_fail(EPACT_E_MISUSE, "workers must be 1 .. %d, got %d", EPACT_MAX_SLOTS, o->workers);
  }
  if (o->snapshots && (o->snapshot_every < 1 || o->snapshot_every > INT32_MAX)) {
    return epact_fail(EPACT_E_MISUSE, "snapshots are taken every 1 .. 2^31-1 clocks, got %" PRId64, o->snapshot_every);
  }
  if ((o->size > 1 || o->elastic || o->join) && (!o->root || !*o->root)) {
    return epact_fail(EPACT_E_MISUSE, "%s job of %d processes needs the address of rank 0 (EPACT_ROOT)",
                      o->elastic ? "an elastic" : "a", o->size);
  }
  return EPACT_OK;
}

static int lay_out_slots(epact_process *process, const int32_t *workers)
{
  int64_t slots = 0;
  for (int rank = 0; rank < process->size; rank++) {
    if (rank == process->rank) process->first_slot = (int32_t)slots;
    slots += workers[rank];
  }
  if (slots > EPACT_MAX_SLOTS)
    return epact_fail(EPACT_E_LIMIT, "%" PRId64 " workers exceed the limit of %d", slots, EPACT_MAX_SLOTS);
  process->slots = (int32_t)slots;
  process->slot_rank = epact_calloc(EPACT_MAX_SLOTS, sizeof *process->slot_rank);
  if (!process->slot_rank) return EPACT_E_NOMEM;
  for (int rank = 0, slot = 0; rank < process->size; rank++) {
    for (int i = 0; i < workers[rank]; i++) process->slot_rank[slot++] = rank;
  }
  return EPACT_OK;
}

static int open_workers(epact_process *process)
{
  process->worker = epact_calloc((size_t)process->workers, sizeof *process->worker);
  if (!process->worker) return EPACT_E_NOMEM;
  for (int i = 0; i < process->workers; i++) {
    epact_worker *worker = &process->worker[i];
    worker->process = process;
    worker->local = i;
    worker->inbox_end = &worker->inbox;
    pthread_mutex_init(&worker->inbox_lock, NULL);
    epact_condition_init(&worker->inbox_filled);
    epact_outbox outbox = { worker_emit, worker };
    int code = epact_client_init(&worker->client, process->first_slot + i, process->slots, process->servers,
                                 process->serves ? process->rank : -1, outbox);
    if (code) return code;
    epact_client_begin(&worker->client, atomic_load(&process->minimum));
    if (process->net) worker->client.mirror = &process->mirror;
  }
  return EPACT_OK;
}

static int open_mirror(epact_process *process, const epact_process_options *o)
{
  return epact_mirror_init(&process->mirror, process->servers, process->first_slot, process->workers,
                           o->cache_rows > 0 ? o->cache_rows : INT64_MAX,
                           (size_t)(o->cache_bytes > 0 ? o->cache_bytes : CACHE_BYTES));
}

static int prepare_to_join(epact_process *process)
{
  process->admitted = epact_calloc((size_t)process->servers, sizeof *process->admitted);
  if (!process->admitted) return EPACT_E_NOMEM;
  for (int s = 0; s < process->servers; s++) process->admitted[s] = -1;
  return EPACT_OK;
}

/* Until every shard has let this process in; its workers then begin where none of them has gone on. */
static int await_admission(epact_process *process)
{
  double end = epact_now() + process->timeout, ask = epact_now() + ASK_SECONDS;
  int code = EPACT_OK, missing = 0;
  pthread_mutex_lock(&process->advance_lock);
  for (;;) {
    while (missing < process->servers && process->admitted[missing] >= 0) missing++;
    if (missing == process->servers || (code = epact_process_check_opening(process)) || epact_now() > end) break;
    struct timespec deadline = epact_deadline_after(SLICE_SECONDS);
    pthread_cond_timedwait(&process->advanced, &process->advance_lock, &deadline);
    if (epact_now() < ask) continue;
    ask = epact_now() + ASK_SECONDS;
    if ((code = epact_net_ask_to_join(process->net, process->workers))) break;
  }
  pthread_mutex_unlock(&process->advance_lock);
  if (!code && missing < process->servers)
    code = epact_fail(EPACT_E_TIMEOUT, "waited %g s for rank %d to let this process join", process->timeout, missing);
  for (int i = 0; i < process->workers && !code; i++)
    code = epact_client_join(&process->worker[i].client, process->admitted);
  return code;
}

/* Who cannot keep snapshots comes to the others all the same, to tell them: they would wait for it. */
static int meet(epact_process *process, const epact_process_options *options, int32_t *workers, epact_beginning *begin)
{
  char reason[512], told[544];
  int code = options->snapshots && !process->joins ? epact_keep_open(&process->keep, options, begin) : EPACT_OK;
  if (process->size == 1 && !options->elastic && !process->joins) return code;
  snprintf(reason, sizeof reason, "%s", epact_error_message());
  snprintf(told, sizeof told, "%s [%s]", reason, epact_error_name(code));
  if (code && process->rank == 0) begin->refused = told;
  int met = epact_net_open(&process->net, options, workers, begin);
  begin->refused = NULL;
  return code ? epact_fail(code, "%s", reason) : met;
}

epact_process *epact_process_open(const epact_process_options *options)
{
  if (check_options(options)) return NULL;
  epact_process *process = epact_calloc(1, sizeof *process);
  int32_t *workers = epact_calloc(EPACT_MAX_SLOTS, sizeof *workers);
  if (!process || !workers) {
    free(process);
    free(workers);
    return NULL;
  }
  process->rank = options->rank;
  process->size = options->size;
  process->servers = options->servers > 0 ? options->servers : options->size;
  process->go_on = options->go_on != 0;
  process->elastic = options->elastic != 0;
  process->joins = options->join != 0;
  process->active = options->workers;
  process->workers = options->workers;
  process->has_cores = options->workers <= epact_cores();
  process->interrupted = options->interrupted;
  process->timeout = options->timeout > 0 ? options->timeout : DEFAULT_TIMEOUT;
  process->deterministic = options->deterministic != 0;
  init_lock_for_readers(&process->shard_lock);
  init_lock_for_readers(&process->mirror_lock);
  pthread_mutex_init(&process->advance_lock, NULL);
  pthread_mutex_init(&process->stop_lock, NULL);
  pthread_mutex_init(&process->shared_lock, NULL);
  epact_condition_init(&process->advanced);
  workers[process->joins ? 0 : process->rank] = process->workers;
  epact_beginning begin = { .snapshot = -1 };
  int code = meet(process, options, workers, &begin);
  if (!code && process->net) epact_net_place(process->net, &process->rank, &process->size, &process->servers);
  process->serves = process->rank < process->servers;
  if (!code && process->joins) code = prepare_to_join(process);
  if (!code) code = lay_out_slots(process, workers);
  if (!code)
    code = epact_shard_init(&process->shard, process->rank, process->servers, process->slots, process->deterministic);
  if (!code) code = epact_shard_settle(&process->shard, process->slot_rank);
  if (!code) code = open_mirror(process, options);
  if (!code) {
    epact_shard_begin(&process->shard, begin.clock, process->keep ? options->snapshot_every : 0);
    atomic_store(&process->minimum, begin.clock);
    code = open_workers(process);
  }
  for (int i = 0; i < process->workers && !code; i++) { /* of what is to survive workers keep nothing back */
    process->worker[i].client.cut_every = !process->keep ? 0 : options->journal ? 1 : options->snapshot_every;
  }
  if (!code && process->keep) code = epact_keep_load(process->keep, process, &begin);
  if (!code && process->net) code = epact_net_start(process->net, process, options->lease);
  if (!code && process->keep) code = epact_keep_start(process->keep);
  if (!code && process->joins) code = await_admission(process);
  free(workers);
  if (code) { /* the others must not wait for a process that cannot begin */
    if (process->net) epact_net_call_off(process->net);
    epact_process_close(process);
    return NULL;
  }
  return process;
}

static void close_worker(epact_worker *worker)
{
  while (worker->inbox) {
    epact_letter *letter = worker->inbox;
    worker->inbox = letter->next;
    epact_letter_free(letter);
  }
  epact_client_free(&worker->client);
  free(worker->restored);
  free(worker->last_state);
  pthread_mutex_destroy(&worker->inbox_lock);
  pthread_cond_destroy(&worker->inbox_filled);
}

void epact_process_close(epact_process *process)
{
  if (!process) return;
  if (process->keep) epact_keep_finish(process->keep);
  epact_net_close(process->net);
  for (int i = 0; process->worker && i < process->workers; i++) {
    if (process->worker[i].process) close_worker(&process->worker[i]);
  }
  epact_keep_close(process->keep);
  if (process->shard.slot) epact_shard_free(&process->shard);
  epact_mirror_free(&process->mirror);
  while (process->shared) {
    epact_shared_block *block = process->shared;
    process->shared = block->next;
    epact_release(block->memory);
    free(block->name);
    free(block);
  }
  pthread_rwlock_destroy(&process->shard_lock);
  pthread_rwlock_destroy(&process->mirror_lock);
  pthread_mutex_destroy(&process->advance_lock);
  pthread_mutex_destroy(&process->stop_lock);
  pthread_mutex_destroy(&process->shared_lock);
  pthread_cond_destroy(&process->advanced);
  if (process->reason != process->short_reason) free(process->reason);
  free(process->slot_rank);
  free(process->admitted);
  free(process->worker);
  free(process);
}
