/* A simulated job: shards, workers and the network between them in one thread, all drawn from seeds.
 *
 * Two seeds: the program's (what the workers do) and the network's (shards, delays, losses). A
 * deterministic job must compute the same bits for one program over any network. */
#ifndef EPACT_SPEC_SIM_JOB_H
#define EPACT_SPEC_SIM_JOB_H

#include "ps/client.h"
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
  PAIRS = 4,   /* rows that are always incremented two together, on one shard */
  MIRROR = 12, /* from a row to its twin: a multiple of every number of shards */
  SHARED = 2,  /* columns that all workers increment, behind one column a worker */
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
  PLANTS
} plant_kind;
static const char *const plant_name[PLANTS] = { "none",      "need",      "stamp",       "early-ack",    "forget",
                                                "twice",     "gap",       "no-overlay",  "overlay-more", "old-answer",
                                                "floor",     "feed-skip", "feed-repeat", "torn",         "final",
                                                "unordered", "order",     "cut",         "join",         "evict" };

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
  EVENT_JOIN
} event_kind;
typedef struct {
  int64_t time, order;
  event_kind kind;
  int32_t shard, slot;
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
  int32_t acts_left;                               /* before the clock ends */
  uint32_t counted[MAX_TABLES];                    /* bit k: pair k has the count of this clock */
  uint64_t digest;                                 /* of all it has read */
  double changed[MAX_TABLES][2 * PAIRS][MAX_COLS]; /* summed changes of others */
} sim_worker;

typedef struct {
  int64_t steps, messages, lost, repeated, reads, rows, changes, barriers, mutated, refused, cuts, joined, evicted;
} job_counts;

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
  event *heap;
  int64_t events, event_capacity, now, order;
  int64_t last_arrival[MAX_SHARDS][MAX_WORKERS][2];
  int64_t cut_until[MAX_SHARDS][MAX_WORKERS]; /* a partition */
  struct model *model;
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
