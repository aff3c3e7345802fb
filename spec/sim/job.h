/* A simulated job: shards, workers and the network between them in one thread, all drawn from seeds.
 *
 * Two seeds: the program's (what the workers do) and the network's (shards, delays, losses). A
 * deterministic job must compute the same bits for one program over any network. */
#ifndef EPACT_SPEC_SIM_JOB_H
#define EPACT_SPEC_SIM_JOB_H

#include "disk.h"

#include "ps/binder.h"
#include "ps/client.h"
#include "ps/mirror.h"
#include "ps/read.h"
#include "ps/shard.h"
#include "ps/wire.h"

#include "base/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  MAX_WORKERS = 7, /* the last one may be hostile */
  MAX_SHARDS = 4,
  MAX_TABLES = 4,
  MAX_CLOCKS = 20,
  MAX_LIVES = 8, /* of a job that is resumed again and again: the last ones without trouble */
  PAIRS = 4,     /* rows that are always incremented two together, on one shard */
  MIRROR = 12,   /* from a row to its twin: a multiple of every number of shards */
  SHARED = 2,    /* columns that all workers increment, behind one column a worker */
  MAX_COLS = MAX_WORKERS + SHARED
};
static const uint64_t JOB = UINT64_C(0x0123456789abcdef);

/* Bugs put in from outside, to see that they are found. */
typedef enum {
  PLANT_NONE,
  PLANT_NEED,         /* reads ask for a minimum clock one too low */
  PLANT_STAMP,        /* rows claim to be one clock newer than they are */
  PLANT_EARLY_ACK,    /* a batch that was lost is acknowledged */
  PLANT_FORGET,       /* a client drops a batch nobody has acknowledged */
  PLANT_TWICE,        /* a repeated batch gets past the shard's check as if it were the next */
  PLANT_GAP,          /* a batch is applied although the one before it is missing */
  PLANT_NO_OVERLAY,   /* a client believes all its batches are in the rows it got */
  PLANT_OVERLAY_MORE, /* ... none of them */
  PLANT_OLD_ANSWER,   /* an answer to an earlier request passes for one to the present request */
  PLANT_FLOOR,        /* reads after a barrier may be as stale as before it */
  PLANT_FEED_SKIP,    /* a cursor of the changes goes one entry too far */
  PLANT_FEED_REPEAT,  /* ... stays one entry behind */
  PLANT_TORN,         /* a batch loses a row */
  PLANT_FINAL,        /* a batch claims to be a worker's last one */
  PLANT_UNORDERED,    /* a deterministic shard applies batches as they come */
  PLANT_ORDER,        /* ... clock by clock, but not always in the workers' order */
  PLANT_CUT,          /* a cut is taken when the first batch beyond it comes */
  PLANT_JOIN,         /* a worker that joins begins at the smallest minimum, not at the largest */
  PLANT_EVICT,        /* a worker is given up as if it had published one clock more */
  PLANT_SYNC,         /* what was not synced is promised to last */
  PLANT_PART,         /* a part is told to be there before it is written */
  PLANT_FAILED,       /* a part that could not be written counts */
  PLANT_TURN,         /* the journal turns into a file of a clock too early */
  PLANT_LATE_TURN,    /* ... after the first batch beyond the cut */
  PLANT_CRC,          /* what the power failure left of a journal is believed */
  PLANT_CLOCK,        /* a resumed run begins one clock too far */
  PLANT_REPLAY,       /* ... with its journal applied twice */
  PLANT_STATE,        /* a worker hands in the state of the clock before */
  PLANT_REMOVE,       /* the files of the newest snapshot are removed */
  PLANT_FENCE,        /* frames of an earlier life are taken for present ones */
  PLANT_LIFE,         /* journals do not tell which life they are of */
  PLANT_NO_STATE,     /* a clock is promised when its batches are in the journal, without the states */
  PLANT_EARLY_STATE,  /* states of clocks beyond a cut go into the journal before it */
  PLANT_FINISHED,     /* a part does not tell who has finished */
  PLANT_LAST_STATE,   /* a worker that has finished leaves no state */
  PLANT_LATE_COPY,    /* a cut copies rows that have changed since */
  PLANT_HALF_COPY,    /* ... and leaves out pieces that it has not come to */
  PLANT_PUSH_GAP,     /* a mirror does not notice that a push is missing */
  PLANT_PUSH_EARLY,   /* the first part of a push tells the minimum that all of it leads to */
  PLANT_PUSH_CELLS,   /* the last of the cells that changed is not pushed */
  PLANT_UNSUBSCRIBED, /* a row is unsubscribed from that was read again since */
  PLANT_MIRROR_OLD,   /* a row that was read before the last push follows as if it had got it */
  PLANT_BARE_COPY,    /* a mirror believes all its workers' batches are in its rows */
  PLANTS
} plant_kind;
static const char *const plant_name[PLANTS] = {
  "none",         "need",         "stamp",      "early-ack",  "forget",      "twice",     "gap",      "no-overlay",
  "overlay-more", "old-answer",   "floor",      "feed-skip",  "feed-repeat", "torn",      "final",    "unordered",
  "order",        "cut",          "join",       "evict",      "sync",        "part",      "failed",   "turn",
  "late-turn",    "crc",          "clock",      "replay",     "state",       "remove",    "fence",    "life",
  "no-state",     "early-state",  "finished",   "last-state", "late-copy",   "half-copy", "push-gap", "push-early",
  "push-cells",   "unsubscribed", "mirror-old", "bare-copy"
};

typedef struct {
  int32_t workers, tables, shards;
  bool deterministic;
  bool hostile;  /* a finished worker's slot sends mutated frames */
  bool anarchy;  /* mutated frames come from everywhere: only crashes count */
  bool in_order; /* links keep the order of what they carry */
  bool resend;   /* clients repeat themselves; always when frames get lost */
  double lose, repeat, linger;
  int64_t delay, patience, heal; /* ticks: usual delay, between resends, end of all trouble */
  int64_t cut_every;             /* clocks; 0: no cuts */
  bool joins;                    /* the last worker comes late */
  int32_t lost;                  /* a worker that is given up; -1 none */
  bool snapshots, journal;
  int32_t crashes; /* to come */
  bool disk_fails; /* now and then, before the end of all trouble */
  int32_t processes;
  int32_t home[MAX_WORKERS]; /* the process of each worker */
  int64_t mirror_rows;
  size_t mirror_bytes, push_bytes;
} job_settings;

typedef struct {
  char name[24];
  epact_schema schema;
  epact_table_options filter; /* what all workers do with their increments */
} table_plan;

typedef enum {
  EVENT_TO_SHARD,
  EVENT_TO_CLIENT,
  EVENT_RUN,
  EVENT_RESEND,
  EVENT_EVICT,
  EVENT_ADMIT,
  EVENT_JOIN,
  EVENT_TO_KEEPER,
  EVENT_DISK,
  EVENT_CRASH,
  EVENT_START
} event_kind;
typedef struct {
  int64_t time, order;
  event_kind kind;
  int32_t shard, slot, life;
  char *frame;
  size_t bytes;
} event;

typedef enum { ACT_OPEN, ACT_INCREMENT, ACT_READ, ACT_CHANGES, ACT_CLOCK, ACT_BARRIER, ACT_FINISH } act_kind;
typedef struct {
  act_kind kind;
  int32_t table;
  uint32_t pairs; /* bit k: pair k */
} act;

typedef struct job job;
typedef struct {
  job *job;
  epact_client client;
  epact_rng program;
  int32_t clocks; /* it finishes after as many */
  int64_t staleness[MAX_TABLES];
  int64_t floor; /* of the last barrier */
  epact_table *table[MAX_TABLES];
  act present;
  bool blocked, done;
  epact_read reading;
  int64_t asked[2 * PAIRS];
  epact_mirror *mirror;                            /* of its process */
  int32_t acts_left;                               /* before the clock ends */
  uint32_t counted[MAX_TABLES];                    /* bit k: pair k has the count of this clock */
  uint64_t digest;                                 /* of all it has read */
  double changed[MAX_TABLES][2 * PAIRS][MAX_COLS]; /* summed changes of others */
  bool keeps_state, must_save, restored;
  uint32_t reopen; /* bit t: table t was open when the state was saved */
} sim_worker;

typedef struct {
  int64_t steps, messages, lost, repeated, reads, rows, changes, barriers, mutated, refused, cuts, joined, evicted;
  int64_t crashes, resumed, journaled, torn, failures, fenced;
  int64_t pushes, hits, dropped, unsubscribed; /* of mirrors */
} job_counts;

/* What a process has to write, or (a message of some kind) its keeper to hear. */
typedef struct sim_task {
  struct sim_task *next;
  epact_piece piece;
  epact_message message;
} sim_task;

/* As epact_keep, in one thread. */
typedef struct {
  job *job;
  int32_t rank;
  epact_keeper keeper;
  epact_binder binder;
  sim_task *queue;
  bool scheduled, started;
  int64_t late_turn; /* planted */
} sim_keep;

struct job {
  job_settings settings;
  table_plan plan[MAX_TABLES];
  plant_kind plant;
  bool verbose;
  epact_rng network;
  epact_shard shard[MAX_SHARDS];
  int64_t minimum[MAX_SHARDS];  /* as seen last */
  int64_t admitted[MAX_SHARDS]; /* the minimum at which the late worker was let in; -1 not yet */
  sim_worker worker[MAX_WORKERS];
  epact_mirror mirror[MAX_WORKERS]; /* by process */
  event *heap;
  int64_t events, event_capacity, now, order;
  int64_t last_arrival[MAX_SHARDS][MAX_WORKERS][2];
  int64_t cut_until[MAX_SHARDS][MAX_WORKERS]; /* a partition */
  struct model *model;
  sim_disk disk;
  sim_keep keep[MAX_SHARDS];
  uint64_t seed;
  epact_rng fate; /* crashes, and what they do */
  int32_t life;
  bool down; /* nobody is alive */
  int64_t full_until;
  uint64_t run;
  int64_t begins;   /* the clock at which this life began */
  int64_t promised; /* clocks < this survive everything */
  job_counts counts;
  char failure[400]; /* the first invariant that did not hold */
};

static bool failed(const job *j)
{
  return *j->failure != 0;
}

__attribute__((format(printf, 2, 3))) static void violate(job *j, const char *format, ...)
{
  if (failed(j) || j->settings.anarchy) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(j->failure, sizeof j->failure, format, arguments);
  va_end(arguments);
}

#define TRACE(j, ...)                                                                                                  \
  do {                                                                                                                 \
    if ((j)->verbose) {                                                                                                \
      printf("%7" PRId64 "  ", (j)->now);                                                                              \
      printf(__VA_ARGS__);                                                                                             \
      putchar('\n');                                                                                                   \
    }                                                                                                                  \
  } while (0)

static inline bool chance(epact_rng *rng, double probability)
{
  return epact_uniform_inline(rng) < probability;
}

static inline int64_t between(epact_rng *rng, int64_t low, int64_t high)
{
  return low + epact_rng_below(rng, high - low + 1);
}

/* Frames of another life are another job's. */
static inline uint64_t job_id(const job *j)
{
  return j->plant == PLANT_FENCE ? JOB : JOB + (uint64_t)j->life;
}

static inline int32_t first_slot(const job *j, int rank)
{
  return rank * j->settings.workers / j->settings.shards;
}

static inline int32_t rank_of(const job *j, int slot)
{
  int rank = 0;
  while (first_slot(j, rank + 1) <= slot) rank++;
  return rank;
}

/* The row of pair k (or its twin): small ids where the table has a number of rows, else far apart. */
static inline int64_t pair_row(const epact_schema *schema, int pair, bool twin)
{
  if (schema->rows) return pair + (twin ? MIRROR : 0);
  return pair + MIRROR * ((int64_t)(epact_mix64((uint64_t)pair + 1) & 0xffffff) + (twin ? 7919 : 0));
}

static inline int pair_shard(const job *j, int table, int pair)
{
  const epact_schema *schema = &j->plan[table].schema;
  return epact_row_shard(schema, pair_row(schema, pair, false), j->settings.shards);
}

#endif
