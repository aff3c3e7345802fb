/* Snapshots of a process: what is handed in, and the thread that writes it. How it begins is in keep_begin.c. */
#include "keep_inside.h"

#include "../base/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define JOURNAL_LIMIT ((size_t)256 << 20) /* bytes that may wait to be written */
#define PARTS_LIMIT 2                     /* copies of the tables that may */
#define LONGEST_PAUSE 1e-3                /* seconds between two pieces of a copy */
#define SLICE_SECONDS 0.1
#define SETTLE_SECONDS 30.0 /* rank 0 waits for the last parts of the others, at most */

/* ---- the queue ---- */

/* The lock is held. */
static void enqueue(epact_keep *keep, epact_task *given)
{
  epact_task *t = epact_malloc(sizeof *t);
  if (!t) {
    epact_process_stop(keep->process, epact_error_message());
    epact_records_free(&given->piece.records);
    return;
  }
  *t = *given;
  t->next = NULL;
  *keep->queue_end = t;
  keep->queue_end = &t->next;
  pthread_cond_broadcast(&keep->filled);
}

static void say_not_made(const epact_keep *keep, int64_t clock)
{
  fprintf(stderr, "epact: rank %d: no snapshot at clock %" PRId64 ": %s\n", keep->keeper.rank, clock,
          epact_error_message());
}

/* The lock is held. */
void epact_keep_put(void *context, const epact_piece *piece)
{
  epact_keep *keep = context;
  epact_task t = { .piece = *piece };
  if (piece->kind == EPACT_PIECE_JOURNAL) keep->log_writing += piece->records.bytes;
  if (piece->kind == EPACT_PIECE_PART && !piece->records.bytes) say_not_made(keep, piece->clock);
  if (piece->kind == EPACT_PIECE_PART && !keep->process->serves) keep->parts++; /* else its cut was counted */
  enqueue(keep, &t);
}

/* ---- what the shard and the workers hand in ---- */

void epact_keep_cut(epact_keep *keep, epact_shard *shard)
{
  pthread_mutex_lock(&keep->lock);
  keep->parts++;
  if (epact_binder_cut(&keep->binder, shard)) epact_process_stop(keep->process, epact_error_message());
  pthread_cond_broadcast(&keep->filled);
  pthread_mutex_unlock(&keep->lock);
}

void epact_keep_copy(epact_keep *keep)
{
  pthread_mutex_lock(&keep->lock);
  epact_binder_copy(&keep->binder);
  pthread_mutex_unlock(&keep->lock);
}

bool epact_keep_has_room(epact_keep *keep)
{
  pthread_mutex_lock(&keep->lock);
  bool room = keep->parts < PARTS_LIMIT;
  pthread_mutex_unlock(&keep->lock);
  return room;
}

void epact_keep_expect(epact_keep *keep, int local)
{
  pthread_mutex_lock(&keep->lock);
  if (epact_binder_expect(&keep->binder, local)) epact_process_stop(keep->process, epact_error_message());
  pthread_cond_broadcast(&keep->filled);
  pthread_mutex_unlock(&keep->lock);
}

int epact_keep_pass(epact_keep *keep, int local, int64_t clock, const void *state, size_t bytes)
{
  pthread_mutex_lock(&keep->lock);
  int code = epact_binder_pass(&keep->binder, local, clock, state, bytes);
  pthread_cond_broadcast(&keep->filled);
  pthread_mutex_unlock(&keep->lock);
  return code;
}

int epact_keep_finish_worker(epact_keep *keep, int local, int64_t clock, const void *state, size_t bytes)
{
  pthread_mutex_lock(&keep->lock);
  int code = epact_binder_finish(&keep->binder, local, clock, state, bytes);
  pthread_cond_broadcast(&keep->filled);
  pthread_mutex_unlock(&keep->lock);
  return code;
}

/* ---- the journal ---- */

/* The shard's lock is held. */
void epact_keep_record(void *context, const epact_message *message)
{
  epact_keep *keep = context;
  const epact_shard *shard = &keep->process->shard;
  pthread_mutex_lock(&keep->lock);
  if (epact_binder_record(&keep->binder, message, shard->minimum))
    epact_process_stop(keep->process, epact_error_message());
  pthread_cond_broadcast(&keep->filled);
  pthread_mutex_unlock(&keep->lock);
}

bool epact_keep_wants(epact_keep *keep, int64_t clock, bool keeps_state)
{
  return epact_binder_is_cut(&keep->binder, clock) || (keep->journal && keeps_state);
}

int epact_keep_await_room(epact_keep *keep, double end)
{
  struct timespec deadline = epact_deadline_after(SLICE_SECONDS);
  pthread_mutex_lock(&keep->lock);
  pthread_cond_timedwait(&keep->changed, &keep->lock, &deadline);
  pthread_mutex_unlock(&keep->lock);
  if (epact_now() < end) return EPACT_OK;
  return epact_fail(EPACT_E_TIMEOUT, "waited too long for the journal to be written");
}

bool epact_keep_is_full(epact_keep *keep)
{
  pthread_mutex_lock(&keep->lock);
  bool full = keep->binder.log.bytes + keep->log_writing > JOURNAL_LIMIT || keep->parts >= PARTS_LIMIT;
  pthread_mutex_unlock(&keep->lock);
  return full;
}

/* ---- the thread ---- */

/* Messages of the keeper to this process come back as tasks, to others they go over the net. */
void epact_keep_emit(void *context, const epact_message *message)
{
  epact_keep *keep = context;
  bool over = epact_process_is_over(keep->process);
  if (message->shard != keep->keeper.rank) {
    if (over && message->kind == EPACT_M_SAVED && message->final) return; /* rank 0 waits for parts only, or has left */
    if (epact_net_send(keep->process->net, message->shard, message))
      epact_process_stop(keep->process, epact_error_message());
    return;
  }
  epact_keep_take(keep, message);
}

void epact_keep_take(epact_keep *keep, const epact_message *message)
{
  epact_task t = { .message = *message };
  t.message.text = "";
  pthread_mutex_lock(&keep->lock);
  enqueue(keep, &t);
  pthread_mutex_unlock(&keep->lock);
}

void epact_keep_lose(epact_keep *keep, int rank)
{
  epact_task lost = { .message = { .kind = EPACT_M_GONE, .cursor = rank, .text = "" } };
  pthread_mutex_lock(&keep->lock);
  enqueue(keep, &lost);
  pthread_mutex_unlock(&keep->lock);
}

static int hear(epact_keep *keep, const epact_message *message)
{
  keep->keeper.ending = epact_process_is_over(keep->process);
  int code = epact_keeper_step(&keep->keeper, message);
  atomic_store(&keep->durable, keep->keeper.durable);
  if (code != EPACT_E_PROTO) return code;
  fprintf(stderr, "epact: rank %d refused a message: %s\n", keep->keeper.rank, epact_error_message());
  return EPACT_OK;
}

/* Without its journal, or its first snapshot, a job would promise what it cannot hold. */
static void run_task(epact_keep *keep, const epact_task *t)
{
  int64_t failures = keep->keeper.failures;
  bool heard = t->message.kind, journal = !heard && t->piece.kind != EPACT_PIECE_PART;
  int code = heard ? hear(keep, &t->message) : epact_keeper_write(&keep->keeper, &t->piece);
  if (!code) {
    bool said = !heard && !t->piece.records.bytes; /* when it could not be put together */
    if (keep->keeper.failures > failures && !said) say_not_made(keep, heard ? t->message.clock : t->piece.clock);
    return;
  }
  char reason[512];
  snprintf(reason, sizeof reason, "rank %d cannot keep its %s: %s [%s]", keep->keeper.rank,
           journal ? "journal" : "snapshots", epact_error_message(), epact_error_name(code));
  epact_process_stop(keep->process, reason);
}

/* The lock is held. */
static void finish_task(epact_keep *keep, epact_task *t)
{
  bool part = !t->message.kind && t->piece.kind == EPACT_PIECE_PART;
  if (!t->message.kind && t->piece.kind == EPACT_PIECE_JOURNAL) keep->log_writing -= t->piece.records.bytes;
  if (part) epact_binder_reuse(&keep->binder, &t->piece.records);
  keep->parts -= part;
  epact_records_free(&t->piece.records);
  free(t);
  pthread_cond_broadcast(&keep->changed);
  if (!part) return;
  pthread_mutex_unlock(&keep->lock);
  epact_process_pass_cuts(keep->process); /* one may have waited for the room */
  pthread_mutex_lock(&keep->lock);
}

static void flush_log(epact_keep *keep)
{
  epact_binder_flush(&keep->binder, atomic_load(&keep->process->minimum));
}

/* The lock is held. A part of a job that was stopped is not written. */
static bool has_to_copy(const epact_keep *keep)
{
  return keep->binder.copying && !epact_process_stopped(keep->process);
}

/* Gives way to the shard's steps for as long as the piece took. The lock is held. */
static void copy_piece(epact_keep *keep)
{
  pthread_mutex_unlock(&keep->lock);
  double begin = epact_now();
  epact_process_copy_cut(keep->process);
  struct timespec pause = { .tv_nsec = (long)(fmin(epact_now() - begin, LONGEST_PAUSE) * 1e9) };
  nanosleep(&pause, NULL);
  pthread_mutex_lock(&keep->lock);
}

void *epact_keep_write_files(void *argument)
{
  epact_keep *keep = argument;
  pthread_mutex_lock(&keep->lock);
  for (;;) {
    while (!keep->queue && !(keep->binder.log.count && keep->binder.started) && !has_to_copy(keep) && !keep->closing)
      pthread_cond_wait(&keep->filled, &keep->lock);
    if (has_to_copy(keep)) {
      copy_piece(keep);
      continue;
    }
    if (!keep->queue) flush_log(keep);
    epact_task *t = keep->queue;
    if (!t) break;
    keep->queue = t->next;
    if (!keep->queue) keep->queue_end = &keep->queue;
    keep->busy = true;
    pthread_mutex_unlock(&keep->lock);
    bool stopped = epact_process_stopped(keep->process) != NULL; /* what is left is not promised to anybody */
    if (!stopped) run_task(keep, t);
    pthread_mutex_lock(&keep->lock);
    finish_task(keep, t);
    keep->busy = false;
  }
  pthread_mutex_unlock(&keep->lock);
  return NULL;
}

bool epact_keep_is_settled(epact_keep *keep)
{
  pthread_mutex_lock(&keep->lock);
  if (!(keep->settling > 0)) keep->settling = epact_now();
  bool idle = !keep->queue && !keep->busy && !keep->binder.log.count && !has_to_copy(keep);
  bool settled = idle && !epact_keeper_collects(&keep->keeper);
  if (!settled && epact_now() - keep->settling > SETTLE_SECONDS) {
    fprintf(stderr, "epact: rank %d: the last snapshot stays incomplete\n", keep->keeper.rank);
    settled = true;
  }
  pthread_mutex_unlock(&keep->lock);
  return settled;
}

int64_t epact_keep_durable(epact_keep *keep)
{
  return atomic_load(&keep->durable);
}

/* ---- closing ---- */

void epact_keep_finish(epact_keep *keep)
{
  if (!keep->started) return;
  pthread_mutex_lock(&keep->lock);
  keep->closing = true;
  pthread_cond_broadcast(&keep->filled);
  pthread_mutex_unlock(&keep->lock);
  pthread_join(keep->thread, NULL);
  keep->started = false;
  if (!epact_process_stopped(keep->process) && epact_process_is_over(keep->process))
    epact_keeper_finish(&keep->keeper); /* rubbish that cannot be removed harms nobody but the disk */
}

void epact_keep_close(epact_keep *keep)
{
  if (!keep) return;
  while (keep->queue) {
    epact_task *t = keep->queue;
    keep->queue = t->next;
    epact_records_free(&t->piece.records);
    free(t);
  }
  epact_binder_close(&keep->binder);
  epact_recovery_free(&keep->recovery);
  if (keep->process) epact_keeper_close(&keep->keeper);
  epact_disk_close(keep->disk);
  pthread_mutex_destroy(&keep->lock);
  pthread_cond_destroy(&keep->filled);
  pthread_cond_destroy(&keep->changed);
  free(keep);
}
