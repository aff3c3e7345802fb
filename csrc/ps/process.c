/* A process's part in a job: stepping the shard under its lock, waiting, stopping, shared memory. Opening and closing
 * it is in process_open.c. */
#include "process.h"

#include "keep.h"

#include "../base/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLICE_SECONDS 0.1   /* a wait looks up this often */
#define WATCH_SECONDS 50e-6 /* before a wait sleeps */

void epact_condition_init(pthread_cond_t *condition)
{
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
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

void epact_process_wake(epact_process *process)
{
  pthread_mutex_lock(&process->advance_lock);
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

/* A reader would wait for as long as steps come one after another: writers go first. */
void epact_process_copy_cut(epact_process *process)
{
  pthread_rwlock_wrlock(&process->shard_lock);
  epact_keep_copy(process->keep);
  pthread_rwlock_unlock(&process->shard_lock);
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

int epact_process_check_opening(epact_process *process)
{
  int code = process->interrupted ? process->interrupted() : EPACT_OK;
  return code ? code : epact_process_check(process);
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

/* The clock that is waited for is often only microseconds away, and to be put to sleep and woken takes longer than that:
 * where the workers have a core each, the minimum is watched for a while first. */
static bool watch_minimum(const epact_process *process, int64_t need)
{
  if (!process->has_cores) return false;
  const double end = epact_now() + WATCH_SECONDS;
  do {
    for (int i = 0; i < 64; i++) {
      if (atomic_load(&process->minimum) >= need) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  } while (epact_now() < end);
  return false;
}

int epact_process_wait(epact_process *process, int64_t need, const char *table)
{
  if (atomic_load(&process->minimum) >= need || watch_minimum(process, need)) return EPACT_OK;
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

static bool all_have_parted(const epact_process *process)
{
  return !process->net || epact_net_all_parted(process->net);
}

static int await(epact_process *process, bool (*reached)(const epact_process *), double end)
{
  int code = EPACT_OK;
  bool done;
  pthread_mutex_lock(&process->advance_lock);
  while (!(done = reached(process)) && !(code = epact_process_check(process)) && epact_now() < end) {
    double left = end - epact_now();
    struct timespec deadline = epact_deadline_after(left < SLICE_SECONDS ? (left > 0 ? left : 0) : SLICE_SECONDS);
    pthread_cond_timedwait(&process->advanced, &process->advance_lock, &deadline);
  }
  pthread_mutex_unlock(&process->advance_lock);
  if (code) return code;
  return done ? EPACT_OK : EPACT_E_AGAIN;
}

/* Who leaves has been acknowledged by all, so that nobody is left with frames for a process that is gone. And who
 * holds a shard stays until the others have heard all that they need of it: its last words may wait for a lost packet
 * when the end of another of its connections has long come. */
int epact_process_drain(epact_process *process, double seconds)
{
  double end = epact_now() + seconds;
  int code = settle_workers(process, 0); /* a last batch may have been refused */
  if (code && code != EPACT_E_AGAIN) return code;
  if (process->serves && (code = await(process, epact_process_is_over, end))) return code;
  if ((code = settle_workers(process, end))) return code;
  if (process->keep && !epact_keep_is_settled(process->keep)) {
    epact_keep_await_room(process->keep, epact_now() + 1); /* a slice, or until something was written */
    return EPACT_E_AGAIN;
  }
  if (process->net) epact_net_part(process->net);
  return process->serves ? await(process, all_have_parted, end) : EPACT_OK;
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
