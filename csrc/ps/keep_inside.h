/* The inside of keep.c and keep_begin.c. */
#ifndef EPACT_PS_KEEP_INSIDE_H
#define EPACT_PS_KEEP_INSIDE_H

#include "binder.h"
#include "keep.h"

/* Something to be written, or (a message of some kind) for the keeper to hear. */
typedef struct epact_task {
  struct epact_task *next;
  epact_piece piece;
  epact_message message;
} epact_task;

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
  epact_task *queue, **queue_end;
  bool closing, busy;
  epact_binder binder;
  size_t log_writing; /* bytes of the journal that the thread has in hand */
  int32_t parts;      /* being put together, waiting to be written, or being written */
  double settling;    /* since when rank 0 waits for the last parts; 0 not yet */
  _Atomic int64_t durable;
};

/** Queues a piece to be written; the lock is held. */
void epact_keep_put(void *context, const epact_piece *piece);
/** What the shard applies goes into the journal; the shard's lock is held. */
void epact_keep_record(void *context, const epact_message *message);
/** The keeper's messages: to this process they come back as tasks, to others they go over the net. */
void epact_keep_emit(void *context, const epact_message *message);
/** The thread. */
void *epact_keep_write_files(void *argument);

#endif
