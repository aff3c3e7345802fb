/* A process's part in a job: stepping the shard under its lock, waiting, stopping, shared memory. */
#include "process.h"

#include "keep.h"

#include "../base/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_TIMEOUT 300.0
#define SLICE_SECONDS 0.1 /* a wait looks up this often */
#define ASK_SECONDS 0.5   /* between two requests to join */
#define CACHE_BYTES ((int64_t)1 << 30)

void epact_condition_init(pthread_cond_t *condition)
{
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

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

/* ---- steps of the shard ---- */

typedef struct {
  epact_process *process;
  epact_worker *caller;
} step_context;

/* An answer to another worker of this process outlives the step: it travels as a frame. */
static int post_copy(epact_worker *worker, const epact_message *message)
{
  epact_letter *letter = epact_calloc(1, sizeof *letter);
  char *frame = letter ? epact_malloc(epact_wire_size(message)) : NULL;
  size_t bytes;
  int code = frame ? epact_wire_encode(message, 0, frame, &bytes) : EPACT_E_NOMEM;
  if (!code) code = epact_wire_decode(frame, bytes, 0, &letter->decoded);
  if (code) {
    free(frame);
    free(letter);
    return code;
  }
  letter->frame = letter->memory = frame;
  letter->release = free;
  epact_worker_post(worker, letter);
  return EPACT_OK;
}

static void deliver(void *context, const epact_message *message)
{
  step_context *step = context;
  epact_process *process = step->process;
  int code, rank = process->slot_rank[message->slot];
  if (step->caller && step->caller->client.slot == message->slot) {
    code = epact_client_step(&step->caller->client, message);
  } else if (rank == process->rank) {
    code = post_copy(&process->worker[message->slot - process->first_slot], message);
  } else {
    code = epact_net_send(process->net, rank, message);
  }
  if (code) epact_process_stop(process, epact_error_message());
}

static void publish_minimum(epact_process *process, int64_t minimum)
{
  pthread_mutex_lock(&process->advance_lock);
  if (minimum > atomic_load(&process->minimum)) atomic_store(&process->minimum, minimum);
  pthread_cond_broadcast(&process->advanced);
  pthread_mutex_unlock(&process->advance_lock);
}

/* The shard's lock is held. */
static int pass_cuts(epact_process *process, const epact_outbox *outbox)
{
  int code = EPACT_OK;
  while (!code && epact_shard_at_cut(&process->shard) && epact_keep_has_room(process->keep)) {
    epact_keep_cut(process->keep, &process->shard);
    code = epact_shard_pass_cut(&process->shard, outbox);
  }
  return code;
}

/* After a step of the shard, with its lock held, which is given back. */
static int end_step(epact_process *process, int code, int64_t before, const epact_outbox *outbox)
{
  if (!code) code = pass_cuts(process, outbox);
  int64_t after = process->shard.minimum;
  pthread_rwlock_unlock(&process->shard_lock);
  if (after > before) publish_minimum(process, after);
  return code;
}

int epact_process_step(epact_process *process, epact_worker *caller, const epact_message *message)
{
  step_context context = { process, caller };
  epact_outbox outbox = { deliver, &context };
  pthread_rwlock_wrlock(&process->shard_lock);
  int64_t before = process->shard.minimum;
  return end_step(process, epact_shard_step(&process->shard, message, &outbox), before, &outbox);
}

void epact_process_pass_cuts(epact_process *process)
{
  step_context context = { process, NULL };
  epact_outbox outbox = { deliver, &context };
  if (!process->serves) return;
  pthread_rwlock_wrlock(&process->shard_lock);
  if (end_step(process, EPACT_OK, process->shard.minimum, &outbox)) epact_process_stop(process, epact_error_message());
}

/* ---- processes that go and come ---- */

void epact_process_give_up(epact_process *process, int rank)
{
  step_context context = { process, NULL };
  epact_outbox outbox = { deliver, &context };
  int code = EPACT_OK;
  if (process->keep) epact_keep_lose(process->keep, rank);
  if (!process->serves) return;
  pthread_rwlock_wrlock(&process->shard_lock);
  int64_t before = process->shard.minimum;
  for (int slot = 0; slot < process->shard.slots && !code; slot++) {
    if (process->slot_rank[slot] == rank) code = epact_shard_evict(&process->shard, slot, &outbox);
  }
  if (end_step(process, code, before, &outbox)) epact_process_stop(process, epact_error_message());
}

int epact_process_admit(epact_process *process, int rank, int first, int workers, int64_t *clock)
{
  int code = EPACT_OK;
  *clock = 0;
  if (first + workers > EPACT_MAX_SLOTS) return epact_fail(EPACT_E_PROTO, "a slot out of range");
  pthread_rwlock_wrlock(&process->shard_lock);
  for (int slot = first; slot < first + workers; slot++) process->slot_rank[slot] = rank;
  if (process->serves) {
    code = epact_shard_admit(&process->shard, first, workers);
    *clock = process->shard.minimum;
  }
  pthread_rwlock_unlock(&process->shard_lock);
  if (!code && first + workers > process->slots) process->slots = first + workers;
  return code;
}

void epact_process_admitted(epact_process *process, int shard, int64_t clock)
{
  pthread_mutex_lock(&process->advance_lock);
  process->admitted[shard] = clock;
  pthread_cond_broadcast(&process->advanced);
  pthread_mutex_unlock(&process->advance_lock);
}

int epact_process_mirror(epact_process *process, const epact_message *message)
{
  pthread_rwlock_wrlock(&process->mirror_lock);
  int code = epact_mirror_step(&process->mirror, message);
  pthread_rwlock_unlock(&process->mirror_lock);
  return code;
}

/* ---- waiting and stopping ---- */

int epact_process_check(epact_process *process)
{
  if (EPACT_LIKELY(!atomic_load_explicit(&process->stopped, memory_order_acquire))) return EPACT_OK;
  return epact_fail(EPACT_E_STOPPED, "%s", process->reason);
}

int epact_fail_waiting(int code, const char *table, const char *what, int64_t number)
{
  return epact_fail(code, "%s (while waiting for %s%s%s%s %" PRId64 ")", epact_error_message(), table ? "table '" : "",
                    table ? table : "", table ? "' at " : "", what, number);
}

static int fail_timeout(epact_process *process, int64_t need, const char *table)
{
  pthread_rwlock_rdlock(&process->shard_lock);
  int slowest = epact_shard_slowest(&process->shard);
  int64_t applied = process->shard.slot[slowest].applied;
  pthread_rwlock_unlock(&process->shard_lock);
  return epact_fail(EPACT_E_TIMEOUT,
                    "%s%s%swaited %g s for worker %d (rank %d), which is at clock %" PRId64 " of %" PRId64,
                    table ? "table '" : "", table ? table : "", table ? "': " : "", process->timeout, slowest,
                    process->slot_rank[slowest], applied + 1, need);
}

int epact_process_wait(epact_process *process, int64_t need, const char *table)
{
  if (atomic_load(&process->minimum) >= need) return EPACT_OK;
  double end = epact_now() + process->timeout;
  int code = EPACT_OK;
  pthread_mutex_lock(&process->advance_lock);
  while (atomic_load(&process->minimum) < need && !(code = epact_process_check(process)) && epact_now() < end) {
    struct timespec deadline = epact_deadline_after(SLICE_SECONDS);
    pthread_cond_timedwait(&process->advanced, &process->advance_lock, &deadline);
  }
  pthread_mutex_unlock(&process->advance_lock);
  if (code) return epact_fail_waiting(code, table, "clock", need);
  if (atomic_load(&process->minimum) >= need) return EPACT_OK;
  return fail_timeout(process, need, table);
}

void epact_process_stop_here(epact_process *process, const char *reason, bool tell)
{
  pthread_mutex_lock(&process->stop_lock);
  bool first = !atomic_load(&process->stopped);
  if (first) {
    reason = reason && *reason ? reason : "the job was stopped";
    snprintf(process->short_reason, sizeof process->short_reason, "%s", reason);
    process->reason = epact_strdup(reason);
    if (!process->reason) process->reason = process->short_reason;
    atomic_store_explicit(&process->stopped, 1, memory_order_release);
  }
  pthread_mutex_unlock(&process->stop_lock);
  if (!first) return;
  if (tell && process->net) epact_net_tell_stop(process->net, process->reason);
  publish_minimum(process, INT64_MIN); /* wakes who waits */
  for (int i = 0; i < process->workers; i++) {
    epact_worker *worker = &process->worker[i];
    pthread_mutex_lock(&worker->inbox_lock);
    pthread_cond_broadcast(&worker->inbox_filled);
    pthread_mutex_unlock(&worker->inbox_lock);
  }
}

void epact_process_stop(epact_process *process, const char *reason)
{
  epact_process_stop_here(process, reason, true);
}

const char *epact_process_stopped(epact_process *process)
{
  return atomic_load(&process->stopped) ? process->reason : NULL;
}

int64_t epact_process_durable(epact_process *process)
{
  return process->keep ? epact_keep_durable(process->keep) : 0;
}

static int settle_workers(epact_process *process, double end)
{
  int code = EPACT_OK;
  for (int i = 0; i < process->workers && !code; i++) code = epact_worker_settle(&process->worker[i], end);
  return code;
}

/* Who leaves has been acknowledged by all, so that nobody is left with frames for a process that is gone. */
int epact_process_drain(epact_process *process, double seconds)
{
  double end = epact_now() + seconds;
  int code = settle_workers(process, 0); /* a last batch may have been refused */
  if (code && code != EPACT_E_AGAIN) return code;
  code = EPACT_OK;
  pthread_mutex_lock(&process->advance_lock);
  while (process->serves && atomic_load(&process->minimum) < EPACT_FOREVER && !(code = epact_process_check(process)) &&
         epact_now() < end) {
    double left = end - epact_now();
    struct timespec deadline = epact_deadline_after(left < SLICE_SECONDS ? (left > 0 ? left : 0) : SLICE_SECONDS);
    pthread_cond_timedwait(&process->advanced, &process->advance_lock, &deadline);
  }
  pthread_mutex_unlock(&process->advance_lock);
  if (code) return code;
  if (process->serves && atomic_load(&process->minimum) < EPACT_FOREVER) return EPACT_E_AGAIN;
  if ((code = settle_workers(process, end))) return code;
  if (!process->keep || epact_keep_is_settled(process->keep)) return EPACT_OK;
  epact_keep_await_room(process->keep, epact_now() + 1); /* a slice, or until something was written */
  return EPACT_E_AGAIN;
}

/* ---- a worker's side ---- */

void epact_worker_post(epact_worker *worker, epact_letter *letter)
{
  letter->next = NULL;
  pthread_mutex_lock(&worker->inbox_lock);
  *worker->inbox_end = letter;
  worker->inbox_end = &letter->next;
  pthread_cond_signal(&worker->inbox_filled);
  pthread_mutex_unlock(&worker->inbox_lock);
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
    if (missing == process->servers || (code = epact_process_check(process)) || epact_now() > end) break;
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

epact_worker *epact_process_worker(epact_process *process, int index)
{
  if (index < 0 || index >= process->workers) {
    epact_fail(EPACT_E_MISUSE, "worker %d of %d", index, process->workers);
    return NULL;
  }
  return &process->worker[index];
}

static epact_shared_block *new_shared(const char *name, size_t bytes)
{
  epact_shared_block *block = epact_calloc(1, sizeof *block);
  if (!block) return NULL;
  block->name = epact_strdup(name);
  block->bytes = bytes;
  block->memory = epact_block_new(bytes);
  if (block->name && block->memory) return block;
  free(block->name);
  epact_release(block->memory);
  free(block);
  return NULL;
}

void *epact_process_shared(epact_process *process, const char *name, size_t bytes)
{
  pthread_mutex_lock(&process->shared_lock);
  epact_shared_block *block = process->shared;
  while (block && strcmp(block->name, name)) block = block->next;
  if (!block && (block = new_shared(name, bytes))) {
    block->next = process->shared;
    process->shared = block;
  }
  pthread_mutex_unlock(&process->shared_lock);
  if (!block) return NULL;
  if (block->bytes == bytes) return block->memory;
  epact_fail(EPACT_E_SCHEMA, "shared '%s' has %zu bytes, not %zu", name, block->bytes, bytes);
  return NULL;
}
