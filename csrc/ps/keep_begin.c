/* How a process's snapshots begin: what the folder has, the shard and the states out of it, the first part. */
#include "keep_inside.h"

#include "../base/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SLICE_SECONDS 0.1 /* a wait looks up this often */

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
                                 .put = epact_keep_put,
                                 .context = keep,
                                 .piece_bytes = EPACT_CUT_PIECE_BYTES };
  if ((code = epact_binder_open(&keep->binder, begin->clock))) return code;
  keep->keeper = (epact_keeper){ .disk = keep->disk,
                                 .outbox = { epact_keep_emit, keep },
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
    process->shard.keep = epact_keep_record;
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
  epact_keep_put(keep, &(epact_piece){ .kind = EPACT_PIECE_PART, .clock = keep->begins, .records = part });
  pthread_mutex_unlock(&keep->lock);
  return EPACT_OK;
}

static int await_beginning(epact_keep *keep)
{
  epact_process *process = keep->process;
  double end = epact_now() + process->timeout;
  int code = EPACT_OK;
  pthread_mutex_lock(&keep->lock);
  while (!(code = epact_process_check_opening(process)) && atomic_load(&keep->durable) < keep->begins &&
         epact_now() < end) {
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
  int error = epact_thread_create(&keep->thread, epact_keep_write_files, keep);
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
