/* A process's part in snapshots: what its shard and its workers hand in is put together, and written by a thread of its
 * own, so that nobody waits for a disk. */
#ifndef EPACT_PS_KEEP_H
#define EPACT_PS_KEEP_H

#include "keeper.h"
#include "process.h"

/* With what a job begins: rank 0 decides, all know. */
typedef struct epact_beginning {
  uint64_t run;
  int64_t snapshot;    /* the clock of the snapshot it goes on from; -1 none */
  int64_t clock;       /* at which the workers begin */
  uint32_t life;       /* grows each time the run is resumed */
  const char *refused; /* rank 0: why there is no beginning, which it tells those who come; else NULL */
} epact_beginning;

/** Opens the folder; rank 0 also looks what it has, into *begin. */
int epact_keep_open(epact_keep **result, const epact_process_options *options, epact_beginning *begin);
/** Fills the shard of the process and the states of its workers. */
int epact_keep_load(epact_keep *keep, epact_process *process, const epact_beginning *begin);
/** Starts the thread; returns when the clock at which the job begins is durable. */
int epact_keep_start(epact_keep *keep);
/** Ends the thread, when all it has was written; before the net is closed. */
void epact_keep_finish(epact_keep *keep);
void epact_keep_close(epact_keep *keep);

/** The shard is at a cut (its lock is held). */
void epact_keep_cut(epact_keep *keep, epact_shard *shard);
/** Copies a piece of the tables as they were at the cut (the shard's lock is held). */
void epact_keep_copy(epact_keep *keep);
/** There is room for one more part. At a cut where there is none the shard waits, until epact_process_pass_cuts. */
bool epact_keep_has_room(epact_keep *keep);
/** The worker keeps a state; before its first clock. */
void epact_keep_expect(epact_keep *keep, int local);
/** The worker has passed `clock`, with its state where it keeps one. */
int epact_keep_pass(epact_keep *keep, int local, int64_t clock, const void *state, size_t bytes);
/** The worker has finished, with its last state where it keeps one; its clock is `clock` now. */
int epact_keep_finish_worker(epact_keep *keep, int local, int64_t clock, const void *state, size_t bytes);
/** Snapshots are complete without this process. */
void epact_keep_lose(epact_keep *keep, int rank);
/** A SAVED or DURABLE of another process. */
void epact_keep_take(epact_keep *keep, const epact_message *message);
/** A snapshot, or the journal for a worker that keeps a state, wants to hear of this clock. */
bool epact_keep_wants(epact_keep *keep, int64_t clock, bool keeps_state);
/** The disk has fallen so far behind the workers that they must wait. */
bool epact_keep_is_full(epact_keep *keep);
/** Waits a little for that; E_TIMEOUT after `end`. */
int epact_keep_await_room(epact_keep *keep, double end);
/** Nothing is left to be written here, or (rank 0) to come from others; or it took too long. */
bool epact_keep_is_settled(epact_keep *keep);
int64_t epact_keep_durable(epact_keep *keep);

#endif
