/* Snapshots of a process: putting the parts together, the thread that writes them. */
#include "keep.h"

#include "../base/fault.h"
#include "binder.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define JOURNAL_LIMIT ((size_t)256 << 20) /* bytes that may wait to be written */
#define PARTS_LIMIT 2                     /* copies of the tables that may */
#define SLICE_SECONDS 0.1
#define SETTLE_SECONDS 30.0 /* rank 0 waits for the last parts of the others, at most */

/* Something to be written, or (a message of some kind) for the keeper to hear. */
typedef struct task {
  struct task *next;
  epact_piece piece;
  epact_message message;
} task;

struct epact_keep {
  epact_process *process;
  epact_disk *disk;
  char folder[256]; /* as it was given, for messages */
  epact_recovery recovery;
  epact_keeper keeper; /* the thread's, once it runs */
  bool journal;
  int64_t every, begins; /* begins: the clock of the first part */
  pthread_t thread;
  bool started;
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t filled, changed;
  task *queue, **queue_end;
  bool closing, busy;
  epact_binder binder;
  size_t log_writing; /* bytes of the journal that the thread has in hand */
  int32_t parts;      /* being put together, waiting to be written, or being written */
  double settling;    /* since when rank 0 waits for the last parts; 0 not yet */
  _Atomic int64_t durable;
};

/* ---- the queue ---- */

/* The lock is held. */
static void enqueue(epact_keep *keep, task *given)
{
  task *t = epact_malloc(sizeof *t);
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
static void put(void *context, const epact_piece *piece)
{
  epact_keep *keep = context;
  task t = { .piece = *piece };
  if (piece->kind == EPACT_PIECE_JOURNAL) keep->log_writing += piece->records.bytes;
  if (piece->kind == EPACT_PIECE_PART && !piece->records.bytes) say_not_made(keep, piece->clock);
  if (piece->kind == EPACT_PIECE_PART && !keep->process->serves) keep->parts++; /* else its cut was counted */
  enqueue(keep, &t);
}

/* ---- what the shard and the workers hand in ---- */

void epact_keep_cut(epact_keep *keep, const epact_shard *shard)
{
  pthread_mutex_lock(&keep->lock);
  keep->parts++;
  if (epact_binder_cut(&keep->binder, shard)) epact_process_stop(keep->process, epact_error_message());
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
static void record(void *context, const epact_message *message)
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
static void emit(void *context, const epact_message *message)
{
  epact_keep *keep = context;
  bool over = atomic_load(&keep->process->minimum) == EPACT_FOREVER;
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
  task t = { .message = *message };
  t.message.text = "";
  pthread_mutex_lock(&keep->lock);
  enqueue(keep, &t);
  pthread_mutex_unlock(&keep->lock);
}

void epact_keep_lose(epact_keep *keep, int rank)
{
  task lost = { .message = { .kind = EPACT_M_GONE, .cursor = rank, .text = "" } };
  pthread_mutex_lock(&keep->lock);
  enqueue(keep, &lost);
  pthread_mutex_unlock(&keep->lock);
}

static int hear(epact_keep *keep, const epact_message *message)
{
  keep->keeper.ending = atomic_load(&keep->process->minimum) == EPACT_FOREVER;
  int code = epact_keeper_step(&keep->keeper, message);
  atomic_store(&keep->durable, keep->keeper.durable);
  if (code != EPACT_E_PROTO) return code;
  fprintf(stderr, "epact: rank %d refused a message: %s\n", keep->keeper.rank, epact_error_message());
  return EPACT_OK;
}

/* Without its journal, or its first snapshot, a job would promise what it cannot hold. */
static void run_task(epact_keep *keep, const task *t)
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
static void finish_task(epact_keep *keep, task *t)
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

static void *write_files(void *argument)
{
  epact_keep *keep = argument;
  pthread_mutex_lock(&keep->lock);
  for (;;) {
    while (!keep->queue && !(keep->binder.log.count && keep->binder.started) && !keep->closing)
      pthread_cond_wait(&keep->filled, &keep->lock);
    if (!keep->queue) flush_log(keep);
    task *t = keep->queue;
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
  bool idle = !keep->queue && !keep->busy && !keep->binder.log.count;
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

/* ---- opening ---- */

static uint64_t new_run(void)
{
  uint64_t run = 0;
  if (getrandom(&run, sizeof run, 0) != (ssize_t)sizeof run) run = (uint64_t)(epact_now() * 1e9);
  return run & INT64_MAX; /* it travels in a signed field */
}

static int look(epact_keep *keep, const epact_process_options *o, epact_beginning *begin)
{
  int64_t newest;
  int code = epact_recovery_newest(keep->disk, &newest);
  if (code) return code;
  if (!o->resume && newest >= 0) {
    return epact_fail(EPACT_E_SNAPSHOT,
                      "%s has a snapshot at clock %" PRId64
                      ": resume = true goes on from it; to begin anew, take another folder or remove it",
                      o->snapshots, newest);
  }
  uint32_t now = (uint32_t)time(NULL);
  *begin = (epact_beginning){ .run = new_run(), .snapshot = -1, .life = now };
  if (!o->resume || (newest < 0 && o->resume == EPACT_RESUME_IF_ANY)) return EPACT_OK;
  if ((code = epact_recovery_find(keep->disk, o->resume_clock, &keep->recovery))) return code;
  uint32_t life = keep->recovery.journal.life;
  if (keep->recovery.manifest.life > life) life = keep->recovery.manifest.life;
  if (o->resume_clock >= 0) { /* from that clock, and not from where the journals after it lead */
    epact_recovery_free(&keep->recovery);
    if ((code = epact_recovery_open(keep->disk, o->resume_clock, &keep->recovery))) return code;
  }
  begin->run = keep->recovery.manifest.run;
  begin->snapshot = keep->recovery.manifest.clock;
  begin->clock = keep->recovery.clock;
  begin->life = now > life ? now : life + 1;
  return EPACT_OK;
}

static int fail_folder(const epact_keep *keep, int code)
{
  char reason[512];
  snprintf(reason, sizeof reason, "%s", epact_error_message());
  return epact_fail(code, "snapshots in %s: %s", keep->folder, reason);
}

int epact_keep_open(epact_keep **result, const epact_process_options *o, epact_beginning *begin)
{
  epact_keep *keep = epact_calloc(1, sizeof *keep);
  if (!keep) return EPACT_E_NOMEM;
  *result = keep;
  snprintf(keep->folder, sizeof keep->folder, "%s", o->snapshots);
  keep->every = o->snapshot_every;
  keep->journal = o->journal != 0;
  keep->queue_end = &keep->queue;
  pthread_mutex_init(&keep->lock, NULL);
  pthread_cond_init(&keep->filled, NULL);
  epact_condition_init(&keep->changed);
  keep->disk = epact_disk_open(o->snapshots);
  if (!keep->disk) return EPACT_E_DISK;
  int code = o->rank == 0 ? epact_disk_lock(keep->disk) : EPACT_OK;
  if (!code && o->rank == 0) code = look(keep, o, begin);
  return code ? fail_folder(keep, code) : EPACT_OK;
}

static int take_state(void *context, const epact_message *state)
{
  epact_process *process = context;
  epact_worker *worker = &process->worker[state->slot - process->first_slot];
  free(worker->restored);
  worker->restored = epact_malloc(state->blob_bytes + 1);
  if (!worker->restored) return EPACT_E_NOMEM;
  if (state->blob_bytes) memcpy(worker->restored, state->blob, state->blob_bytes);
  worker->restored_bytes = state->blob_bytes;
  return EPACT_OK;
}

static int count_states(void *context, const epact_message *state)
{
  (void)state;
  ++*(int *)context;
  return EPACT_OK;
}

/* Tables fit any number of workers; what a worker kept for itself belongs to a worker of that number. */
static int check_workers(epact_keep *keep, const epact_process *process)
{
  int states = 0;
  const epact_manifest *m = &keep->recovery.manifest;
  int32_t slots = keep->recovery.slots;
  bool whole = true; /* a process that was lost is not in it */
  for (int rank = 0; rank < m->processes; rank++) whole = whole && m->part[rank].bytes;
  if (slots == process->slots && whole) return EPACT_OK;
  const epact_part_reader reader = { .state = count_states, .context = &states, .slots = slots };
  int code = epact_recovery_load(keep->disk, &keep->recovery, &reader);
  if (code || !states) return code;
  if (slots == process->slots)
    return epact_fail(EPACT_E_SNAPSHOT,
                      "a process was lost before this snapshot, which lacks the states of its workers");
  return epact_fail(EPACT_E_SNAPSHOT, "the snapshot has the states of %d workers, this job has %d workers", slots,
                    process->slots);
}

/* What rank 0 has found. It needs no journal where the run goes on from the snapshot itself: others may be beginning
 * theirs already. */
static int find_again(epact_keep *keep, const epact_beginning *begin)
{
  if (begin->clock == begin->snapshot) return epact_recovery_open(keep->disk, begin->snapshot, &keep->recovery);
  return epact_recovery_find(keep->disk, begin->snapshot, &keep->recovery);
}

int epact_keep_load(epact_keep *keep, epact_process *process, const epact_beginning *begin)
{
  int code = EPACT_OK;
  keep->process = process;
  keep->begins = begin->clock;
  keep->binder = (epact_binder){ .run = begin->run,
                                 .first_slot = process->first_slot,
                                 .workers = process->workers,
                                 .every = keep->every,
                                 .journal = keep->journal,
                                 .none = process->serves ? NULL : &process->shard,
                                 .put = put,
                                 .context = keep };
  if ((code = epact_binder_open(&keep->binder, begin->clock))) return code;
  keep->keeper = (epact_keeper){ .disk = keep->disk,
                                 .outbox = { emit, keep },
                                 .run = begin->run,
                                 .rank = process->rank,
                                 .shards = process->servers,
                                 .processes = process->size,
                                 .slots = process->slots,
                                 .first_slot = process->first_slot,
                                 .workers = process->workers,
                                 .every = keep->every,
                                 .deterministic = process->deterministic,
                                 .journal = keep->journal,
                                 .life = begin->life };
  if (begin->snapshot >= 0) {
    if (process->rank != 0) code = find_again(keep, begin);
    if (!code && begin->clock > begin->snapshot) keep->recovery.slots = keep->recovery.journal.slots;
    if (!code && keep->recovery.manifest.run != begin->run)
      code = epact_fail(EPACT_E_JOB, "the snapshots of rank %d are of another run than those of rank 0", process->rank);
    keep->recovery.clock = begin->clock;
    if (!code) code = check_workers(keep, process);
    const epact_part_reader reader = { .shard = &process->shard,
                                       .state = take_state,
                                       .context = process,
                                       .first_slot = process->first_slot,
                                       .slots = process->workers };
    if (!code) code = epact_recovery_load(keep->disk, &keep->recovery, &reader);
  }
  epact_recovery_free(&keep->recovery);
  if (keep->journal) { /* before the first message of another process can come */
    process->shard.keep = record;
    process->shard.keeper = keep;
  }
  if (code) return fail_folder(keep, code);
  return epact_keeper_open(&keep->keeper, begin->snapshot, begin->clock);
}

/* The first part: of the clock at which the job begins, unless that is a snapshot's. */
static int save_beginning(epact_keep *keep)
{
  epact_process *process = keep->process;
  epact_records part = { NULL, 0, 0, 0 };
  int code = epact_part_begin(&part, &process->shard, keep->begins, keep->keeper.run);
  for (int i = 0; i < process->workers && !code; i++) {
    const epact_worker *w = &process->worker[i];
    if (w->restored)
      code = epact_part_state(&part, process->first_slot + i, keep->begins, w->restored, w->restored_bytes,
                              keep->keeper.run);
  }
  if (!code) code = epact_part_end(&part, keep->keeper.run);
  if (code) {
    epact_records_free(&part);
    return code;
  }
  pthread_mutex_lock(&keep->lock);
  keep->parts += process->serves;
  put(keep, &(epact_piece){ .kind = EPACT_PIECE_PART, .clock = keep->begins, .records = part });
  pthread_mutex_unlock(&keep->lock);
  return EPACT_OK;
}

static int await_beginning(epact_keep *keep)
{
  epact_process *process = keep->process;
  double end = epact_now() + process->timeout;
  int code = EPACT_OK;
  pthread_mutex_lock(&keep->lock);
  while (!(code = epact_process_check(process)) && atomic_load(&keep->durable) < keep->begins && epact_now() < end) {
    struct timespec deadline = epact_deadline_after(SLICE_SECONDS);
    pthread_cond_timedwait(&keep->changed, &keep->lock, &deadline);
  }
  pthread_mutex_unlock(&keep->lock);
  if (!code && atomic_load(&keep->durable) < keep->begins)
    code = epact_fail(EPACT_E_TIMEOUT, "waited %g s for the first snapshot, at clock %" PRId64, process->timeout,
                      keep->begins);
  return code;
}

/* Every process must see what rank 0 has written: of folders that are not one nothing can be resumed. */
static int check_shared(const epact_keep *keep)
{
  epact_recovery found;
  if (keep->keeper.rank == 0) return EPACT_OK;
  memset(&found, 0, sizeof found);
  bool ours = !epact_recovery_open(keep->disk, keep->begins, &found) && found.manifest.run == keep->keeper.run;
  epact_recovery_free(&found);
  if (ours) return EPACT_OK;
  return epact_fail(EPACT_E_SNAPSHOT,
                    "rank %d does not see in %s what rank 0 has written there: all processes must share the folder",
                    keep->keeper.rank, keep->folder);
}

int epact_keep_start(epact_keep *keep)
{
  bool is_new = keep->keeper.newest != keep->begins;
  atomic_store(&keep->durable, is_new ? -1 : keep->begins);
  int swept = epact_keeper_sweep(&keep->keeper, keep->keeper.newest);
  if (swept) return fail_folder(keep, swept);
  int error = epact_thread_create(&keep->thread, write_files, keep);
  if (error) return epact_fail(EPACT_E_SYSTEM, "cannot start the thread that writes snapshots: %s", strerror(error));
  keep->started = true;
  int code = is_new ? save_beginning(keep) : EPACT_OK;
  if (!code && is_new) code = await_beginning(keep);
  if (!code) code = check_shared(keep);
  if (code || !keep->journal) return code;
  pthread_mutex_lock(&keep->lock);
  epact_binder_start(&keep->binder);
  pthread_mutex_unlock(&keep->lock);
  return EPACT_OK;
}

void epact_keep_finish(epact_keep *keep)
{
  if (!keep->started) return;
  pthread_mutex_lock(&keep->lock);
  keep->closing = true;
  pthread_cond_broadcast(&keep->filled);
  pthread_mutex_unlock(&keep->lock);
  pthread_join(keep->thread, NULL);
  keep->started = false;
}

void epact_keep_close(epact_keep *keep)
{
  if (!keep) return;
  while (keep->queue) {
    task *t = keep->queue;
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
