/* A shard of the server as a pure state machine: epact_shard_step(state, message) -> messages.
 * No socket, thread or clock inside; the caller brings the lock.
 *
 * Invariants. For each slot, batches are applied in clock order, each once, whole or not at all.
 * minimum = 1 + the least clock applied over all slots: everything tagged < minimum is in the
 * tables. It never goes back. In deterministic mode the batches of a clock are applied together, in
 * slot order, when all have come.
 *
 * Cuts. Batches tagged >= cut wait, staged, until the minimum is there: the tables then hold exactly the
 * increments tagged < cut, as those of every other shard will at its own time, with no talk between them.
 * The caller begins to copy them (shard_cut.h), or does, and lets the shard go on (epact_shard_pass_cut).
 *
 * Pushed tables. Who reads a row is sent its changes whenever the minimum advances (push.c), before the requests that
 * waited for it are answered. A push says from which version of the shard to which it leads, so that a lost one is
 * noticed. Versions therefore never go back in a job: a shard that is restored begins above all it had. */
#ifndef EPACT_PS_SHARD_H
#define EPACT_PS_SHARD_H

#include "subscription.h"

typedef struct {
  int32_t slot;
  int64_t clock;
  epact_batch *batch;
} epact_feed_entry;

struct epact_table_cut;

typedef struct {
  char name[EPACT_MAX_NAME + 1];
  epact_schema schema;
  epact_store store;
  uint64_t *version; /* by index: the shard's version when the row last changed */
  uint32_t version_capacity;
  /* changes: entries feed_first .. feed_first + feed_count - 1 */
  epact_feed_entry *feed;
  int64_t feed_first, feed_count, feed_capacity;
  int64_t *cursor;                 /* by slot: entries before it were read */
  epact_batch *pending;            /* copy for the feed of the batch being applied */
  uint64_t seen;                   /* serial of the last batch that named this table */
  epact_subscriptions *subscribed; /* to a pushed table; else NULL */
  struct epact_table_cut *cut;     /* a cut that is being copied; else NULL */
} epact_shard_table;

typedef struct {
  int64_t clock;
  bool final;
  epact_batch *batch;
} epact_staged;

typedef struct {
  uint32_t incarnation;
  int64_t applied;  /* clock of the last batch applied; -1 none; EPACT_FOREVER finished */
  int64_t told;     /* ... as acknowledged last */
  int64_t received; /* ... of the last one of an unbroken run, applied or staged */
  bool finishing;   /* the final batch is among those received */
  epact_staged *staged;
  int32_t staged_count, staged_capacity;
} epact_slot;

typedef struct {
  epact_message message;
  epact_batch *ids;
} epact_parked;

typedef struct {
  int32_t rank, shards, slots;
  bool deterministic;
  int64_t minimum;
  int64_t cut, cut_every; /* the next cut, EPACT_FOREVER: none; clocks from one to the next */
  uint64_t version;       /* grows with every batch applied */
  uint64_t serial;        /* grows with every batch checked */
  epact_slot *slot;
  epact_shard_table **table;
  int32_t tables;
  epact_parked *parked;
  int32_t parked_count, parked_capacity;
  /* Told of every table made and every batch, before it is applied; NULL: nobody. Must not fail: what it cannot
   * keep it reports elsewhere. */
  void (*keep)(void *keeper, const epact_message *message);
  void *keeper;
  int64_t duplicates, refused; /* counted: batches seen again, messages refused */
  char *gathered;              /* an answer being put together */
  size_t gathered_bytes;
  /* pushes */
  int32_t *home; /* by slot: the process its worker lives in; each in one of its own unless told */
  int32_t homes;
  int32_t *home_workers; /* by process: those that have not finished */
  int64_t *home_slot;    /* the slots of a process being answered, and the last batches applied of each */
  int64_t *home_applied;
  uint64_t pushed;   /* the version the last push led to */
  size_t push_bytes; /* of one part of a push */
} epact_shard;

int epact_shard_init(epact_shard *shard, int rank, int shards, int slots, bool deterministic);
void epact_shard_free(epact_shard *shard);

/** Before the first message: every slot begins at `clock`, and the tables are cut after every `cut_every`
 * clocks (0: never). */
void epact_shard_begin(epact_shard *shard, int64_t clock, int64_t cut_every);
/** Before the first message: slot i belongs to a worker of process home[i]. */
int epact_shard_settle(epact_shard *shard, const int32_t *home);
/** Process `home` is lost: it is sent nothing more. */
void epact_shard_forget_home(epact_shard *shard, int home);
/** The tables are at a cut: nothing is applied until epact_shard_pass_cut. */
static inline bool epact_shard_at_cut(const epact_shard *shard)
{
  return shard->minimum == shard->cut && shard->cut != EPACT_FOREVER;
}
/** Goes on beyond the cut: what was staged is applied and acknowledged, requests are answered. May come to the
 * next cut. */
int epact_shard_pass_cut(epact_shard *shard, const epact_outbox *outbox);

/** The worker in the slot is lost, or was given up: what has come from it without a gap is its last. Its messages are
 * refused from now on (E_FENCED); nobody waits for it any more. */
int epact_shard_evict(epact_shard *shard, int slot, const epact_outbox *outbox);
/** `count` workers more, from slot `first` on, of one more process, which begin at the minimum clock. They read no
 * changes. Told again, it does nothing. */
int epact_shard_admit(epact_shard *shard, int first, int count);

/** Takes one message, emits the answers. A negative code is a failure of this process (memory);
 * what is wrong with a message is answered with REFUSED and counted. */
int epact_shard_step(epact_shard *shard, const epact_message *message, const epact_outbox *outbox);

/** A new table; NULL when memory is short. */
epact_shard_table *epact_shard_make_table(epact_shard *shard, const char *name, const epact_schema *schema);
/** NULL when there is none of that id. */
epact_shard_table *epact_shard_find_table(const epact_shard *shard, uint32_t id);
/** The slot that holds the minimum back (the first of them). */
int epact_shard_slowest(const epact_shard *shard);

/* push.c */
/** Sends every process the changes of the rows it is subscribed to, since the last push. */
int epact_shard_push(epact_shard *shard, const epact_outbox *outbox);
/** The last batches applied of the workers of process `home`, as a section: row = slot. Valid until the next. */
epact_section epact_shard_home_applied(epact_shard *shard, int home);

/** The first entry of a table's feed after *cursor that another slot made; *cursor moves to it (or to
 * the end, and NULL is returned). Changes nothing. */
const epact_feed_entry *epact_shard_feed_next(const epact_shard_table *table, int slot, int64_t *cursor);
/** The slot has read the feed up to `cursor`: what all have read is freed. */
void epact_shard_feed_consumed(epact_shard_table *table, int slots, int slot, int64_t cursor);

#endif
