/* A process's part in a job: its shard behind a lock, its workers, its link to other processes.
 *
 * Locks, in the order they may be taken: one of shard_lock and mirror_lock (the state of each; readers of rows share
 * them), then one of advance_lock (waiting for the minimum clock), an inbox's lock, the net's send lock. */
#ifndef EPACT_PS_PROCESS_H
#define EPACT_PS_PROCESS_H

#include "client.h"
#include "shard.h"
#include "wire.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct epact_net epact_net;
typedef struct epact_keep epact_keep;
struct epact_beginning;

/* An answer from another process: decoded, with the frame it points into. */
typedef struct epact_letter {
  struct epact_letter *next;
  epact_decoded decoded;
  const char *frame;
  void *memory; /* that holds the frame, until `release` of it */
  void (*release)(void *memory);
  char user[41]; /* the public key of the connection; "" without keys */
} epact_letter;

struct epact_worker {
  epact_process *process;
  int local;
  epact_client client;
  int failure;      /* of a step that was made inside emit */
  double wait_room; /* seconds */
  bool keeps_state, must_save;
  char *last_state; /* handed in for when it finishes */
  size_t last_state_bytes;
  char *restored; /* its state in the snapshot this job began with */
  size_t restored_bytes;
  char failure_text[256];
  pthread_mutex_t inbox_lock;
  pthread_cond_t inbox_filled;
  epact_letter *inbox, **inbox_end;
};

typedef struct epact_shared_block {
  struct epact_shared_block *next;
  char *name;
  size_t bytes;
  void *memory;
} epact_shared_block;

struct epact_process {
  int32_t rank, size, workers, first_slot;
  bool has_cores;         /* one for each worker */
  int32_t servers;        /* shards are on ranks 0 .. servers - 1 */
  bool serves;            /* this one holds a shard */
  bool go_on, elastic;    /* without a process that is lost; processes may join */
  bool joins;             /* this one came while the job ran */
  _Atomic int32_t slots;  /* grows when a process joins */
  int32_t *slot_rank;     /* the process of each slot */
  _Atomic int32_t active; /* own workers that have not finished */
  int64_t *admitted;      /* joining, by shard: the clock it takes batches from; -1 not heard yet */
  double timeout;
  int (*interrupted)(void); /* asked while the process is opened; NULL: never */
  bool deterministic;
  epact_worker *worker;
  epact_net *net;   /* NULL when size is 1 */
  epact_keep *keep; /* NULL without snapshots */

  pthread_rwlock_t shard_lock;
  epact_shard shard;

  pthread_rwlock_t mirror_lock;
  epact_mirror mirror; /* of other processes' rows; unused when size is 1 */

  pthread_mutex_t advance_lock;
  pthread_cond_t advanced;
  _Atomic int64_t minimum; /* of the shard, for waiting without its lock */

  atomic_int stopped;
  char *reason;           /* set before `stopped` */
  char short_reason[128]; /* what is kept of it when memory is short */
  pthread_mutex_t stop_lock;

  pthread_mutex_t shared_lock;
  epact_shared_block *shared;
};

/** A condition whose deadlines are of epact_deadline_after. */
void epact_condition_init(pthread_cond_t *condition);
/** One step of this process's shard. Answers go to `caller` at once, to other workers by their inbox,
 * to other processes by the net. */
int epact_process_step(epact_process *process, epact_worker *caller, const epact_message *message);
/** Takes the cut that has waited for room among the parts to be written, and those it leads to. */
void epact_process_pass_cuts(epact_process *process);
/** Copies a piece of the tables as they were at the last cut. */
void epact_process_copy_cut(epact_process *process);
/** One step of this process's mirror. */
int epact_process_mirror(epact_process *process, const epact_message *message);
/** Waits until the shard's minimum clock is at least `need`. `table`: its name for errors, or NULL. */
int epact_process_wait(epact_process *process, int64_t need, const char *table);
/** The processes that hold the slots of a lost one go on without them. */
void epact_process_give_up(epact_process *process, int rank);
/** Rank `rank` has joined with `workers` from slot `first` on; *clock: from where this shard takes their batches. */
int epact_process_admit(epact_process *process, int rank, int first, int workers, int64_t *clock);
/** Whether all workers of the job have finished, as this process's shard knows. */
static inline bool epact_process_is_over(const epact_process *process)
{
  return atomic_load(&process->minimum) == EPACT_FOREVER;
}
/** Whoever waits for something of the whole job looks up. */
void epact_process_wake(epact_process *process);
/** A shard has admitted this process. */
void epact_process_admitted(epact_process *process, int shard, int64_t clock);
/** Adds to the sentence of `code` what was being waited for when it came. `table`: a name or NULL. */
int epact_fail_waiting(int code, const char *table, const char *what, int64_t number);
/** EPACT_OK, or E_STOPPED with the reason as the sentence. */
int epact_process_check(epact_process *process);
/** The same while the process is opened: Ctrl-C ends that, too. */
int epact_process_check_opening(epact_process *process);
/** As epact_process_stop; `tell`: the other processes too. */
void epact_process_stop_here(epact_process *process, const char *reason, bool tell);
/** The first failure since the last look: of a step inside emit, of a shard, of the job. */
int epact_worker_check(epact_worker *worker);
/** Until no shard owes an answer. `table`: its name for errors, or NULL. */
int epact_worker_await_answers(epact_worker *worker, const char *table);
/** Until other processes have acknowledged all batches of a worker that has finished, or `end`. */
int epact_worker_settle(epact_worker *worker, double end);
/** Puts an answer into a local worker's inbox; takes over decoded and frame. */
void epact_worker_post(epact_worker *worker, epact_letter *letter);

/* net.c */
/** Registers with rank 0 and learns every process's endpoint and number of workers, which go to
 * workers[0 .. size-1]. */
int epact_net_open(epact_net **result, const epact_process_options *options, int32_t *workers,
                   struct epact_beginning *begin);
/** Starts the thread that moves frames. lease: seconds without a sign of life after which a process is lost. */
int epact_net_start(epact_net *net, epact_process *process, double lease);
void epact_letter_free(epact_letter *letter);
/** Sends a message to a process; may be called by any thread. */
int epact_net_send(epact_net *net, int rank, const epact_message *message);
/** Tells rank 0 again that this process wants to join. */
int epact_net_ask_to_join(epact_net *net, int workers);
/** Tells all other processes that the job has stopped. */
void epact_net_tell_stop(epact_net *net, const char *reason);
/** Tells the others, once, that this process needs nothing more of them. */
void epact_net_part(epact_net *net);
/** Every other process has said so, or is not there any more. */
bool epact_net_all_parted(const epact_net *net);
/** Where this process is among those of the job, once it is registered. */
void epact_net_place(const epact_net *net, int32_t *rank, int32_t *size, int32_t *servers);
/** Tells the processes that are known why this one cannot begin: the last error, which stays. */
void epact_net_call_off(epact_net *net);
/** Sends what is queued, ends the thread, closes the sockets. NULL is ignored. */
void epact_net_close(epact_net *net);

#endif
