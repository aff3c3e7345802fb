/* What a process writes, put together and in order: the parts of snapshots out of the tables of a cut and the states of
 * the workers that have come as far; the journal out of what the shard applies and what the workers hand in. Nothing
 * here waits or writes: finished pieces go to `put`, which has them written one after the other. Not thread-safe. */
#ifndef EPACT_PS_BINDER_H
#define EPACT_PS_BINDER_H

#include "keeper.h"
#include "shard_cut.h"

/* A part that waits for its tables (the cut) or for the states of workers that have not come as far. */
typedef struct epact_assembly {
  struct epact_assembly *next;
  int64_t clock;
  bool cut, failed; /* cut: the tables are copied */
  epact_records tables, states;
} epact_assembly;

/* A state of a clock beyond the next cut: it belongs into the journal that begins there. */
typedef struct epact_early_state {
  struct epact_early_state *next;
  int64_t clock;
  epact_records records;
} epact_early_state;

/* What a worker that has finished kept for itself: it goes into all parts and journals from then on. */
typedef struct {
  bool given;
  int64_t clock; /* the worker's, then */
  char *data;
  size_t bytes;
} epact_last_state;

typedef struct {
  uint64_t run;
  int32_t first_slot, workers; /* of this process */
  int64_t every;
  bool journal;
  epact_shard *none; /* of a process that serves no rows: parts without waiting for a cut; else NULL */
  void (*put)(void *context, const epact_piece *piece); /* takes over the records */
  void *context;
  size_t piece_bytes; /* of a cut's copy */
  int64_t begins;
  bool started; /* there is a file for the log */
  epact_assembly *assemblies;
  epact_shard_cut *copying; /* the cut of ... */
  epact_assembly *copied;   /* ... this one */
  epact_records spare;      /* the memory of a part that was written, for the next: new pages cost more than the copy */
  epact_early_state *early;
  int64_t cut;            /* the next one */
  int64_t *passed;        /* by local worker: it has come as far, its states up to there are here */
  epact_last_state *last; /* by local worker */
  bool *keeps;            /* by local worker: it has a state, which belongs to every clock of the journal */
  epact_records log;
  int64_t log_clock; /* batches tagged < this are in the log, or were before */
} epact_binder;

/** The workers begin at `clock`. Fields run .. context are the caller's to set before. */
int epact_binder_open(epact_binder *binder, int64_t clock);
void epact_binder_close(epact_binder *binder);

/** The worker keeps a state; before its first clock. */
int epact_binder_expect(epact_binder *binder, int local);
/** The clock at which the run begins is durable: the journal begins. */
void epact_binder_start(epact_binder *binder);
/** The shard is at a cut: it may go on, and its tables are copied by epact_binder_copy, those of an earlier cut now. A
 * failure of the snapshot is told to rank 0 with an empty part; the code is one of the run. */
int epact_binder_cut(epact_binder *binder, epact_shard *shard);
/** Copies a piece of the tables. The shard must not be stepped meanwhile. */
void epact_binder_copy(epact_binder *binder);
/** Takes over the memory of a part that was written, if there is none yet. */
void epact_binder_reuse(epact_binder *binder, epact_records *written);
/** The worker has passed `clock`, with its state where it keeps one. */
int epact_binder_pass(epact_binder *binder, int local, int64_t clock, const void *state, size_t bytes);
/** The worker has finished, with its last state where it keeps one: its clock is `clock` now. */
int epact_binder_finish(epact_binder *binder, int local, int64_t clock, const void *state, size_t bytes);
/** A batch or table for the journal; all before `minimum` was applied before. */
int epact_binder_record(epact_binder *binder, const epact_message *message, int64_t minimum);
/** What is in the log becomes a piece. */
void epact_binder_flush(epact_binder *binder, int64_t minimum);

static inline bool epact_binder_is_cut(const epact_binder *binder, int64_t clock)
{
  return clock != EPACT_FOREVER && clock % binder->every == 0;
}

#endif
