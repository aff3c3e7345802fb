/* A process's copies of rows of other processes' shards, shared by its workers, as a pure state machine: answers to
 * its workers' reads and pushes go in through epact_mirror_step; workers copy rows out of it. No socket, thread or
 * clock inside; the caller brings the lock.
 *
 * A row holds the values of its shard at one state: a version of the shard, the minimum clock there, and the last
 * batch of each of this process's workers that is in it, so that a worker can put its own later ones on top.
 *
 * A row of a pushed table follows its shard while no push between its state and the newest one is missing: then it is
 * at the state of the last push without being touched. Every push says from which version it leads to which. When one
 * was lost, rows older than its beginning stop following. They remain what they were, copies of an older state.
 *
 * The rows are bounded in number and bytes. Which one goes is found by the clock algorithm (second chance). */
#ifndef EPACT_PS_MIRROR_H
#define EPACT_PS_MIRROR_H

#include "message.h"

#include <stdatomic.h>

/* Of a shard; refcounted. */
typedef struct {
  uint64_t version;
  int64_t minimum;   /* every increment tagged < minimum is there */
  int64_t applied[]; /* by worker of this process: its last batch */
} epact_mirror_state;

typedef struct epact_mirror_table epact_mirror_table;

typedef struct epact_mirror_row {
  struct epact_mirror_row *next;           /* of the same bucket */
  struct epact_mirror_row *before, *after; /* around the clock */
  epact_mirror_table *table;
  int64_t id;
  epact_mirror_state *state;
  uint64_t changed;           /* version at which the values last changed here */
  bool follows;               /* as far as this row can tell: see epact_mirror_follows */
  _Atomic unsigned char used; /* since the hand went by; readers set it */
  size_t bytes;
  epact_sparse_row cells; /* of a sparse table; else */
  uint64_t values[];      /* cols values of the table's type */
} epact_mirror_row;

/* What is known of one shard's part of a pushed table. */
typedef struct {
  uint64_t base;             /* rows at least as new have missed no push since */
  epact_mirror_state *state; /* after the last whole push; NULL: none yet */
  uint64_t part_version;     /* the push whose parts are coming in */
  uint32_t parts;            /* ... of which so many have come, one after the other */
  bool torn;                 /* ... but for some */
  int64_t *dropped;          /* rows to unsubscribe from */
  uint32_t dropped_count, dropped_capacity;
} epact_mirror_link;

struct epact_mirror_table {
  epact_schema schema;
  size_t row_bytes;
  epact_mirror_link *link; /* by shard */
  double evicted, pushed;  /* rows; bytes of pushes that came in */
};

typedef struct {
  int32_t shards, first_slot, slots; /* slots of this process */
  int64_t most_rows;
  size_t most_bytes;
  epact_mirror_table **table;
  int32_t tables;
  epact_mirror_row **bucket;
  uint64_t buckets;
  int64_t rows;
  size_t bytes;
  epact_mirror_row *hand;
  int64_t dropped; /* rows waiting to be unsubscribed from, over all tables and shards */
} epact_mirror;

int epact_mirror_init(epact_mirror *mirror, int shards, int first_slot, int slots, int64_t most_rows,
                      size_t most_bytes);
void epact_mirror_free(epact_mirror *mirror);
/** From now on rows of that table are kept. */
int epact_mirror_add_table(epact_mirror *mirror, const epact_schema *schema);
/** NULL when its rows are not kept. */
epact_mirror_table *epact_mirror_find_table(const epact_mirror *mirror, uint32_t id);
/** Takes a ROWS or PUSH; others are ignored. */
int epact_mirror_step(epact_mirror *mirror, const epact_message *message);

/** NULL when it is not here. */
epact_mirror_row *epact_mirror_find(const epact_mirror *mirror, const epact_mirror_table *table, int64_t id);
/** The row is sent its changes, and has missed none. */
bool epact_mirror_follows(const epact_mirror *mirror, const epact_mirror_row *row);
/** The newest state the row's values are known to be of. */
const epact_mirror_state *epact_mirror_state_of(const epact_mirror *mirror, const epact_mirror_row *row);

/** Rows of `shard` this process is sent and does not hold: they are the caller's to unsubscribe from, as of *version,
 * until the next step. Returns how many. */
int64_t epact_mirror_take_dropped(epact_mirror *mirror, epact_mirror_table *table, int shard, const int64_t **row,
                                  uint64_t *version);

#endif
