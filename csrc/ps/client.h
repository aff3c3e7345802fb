/* A worker's side of the protocol as a pure state machine: its clock, its update logs, its cache, the
 * batches and requests that no shard has answered yet. No socket, thread or clock inside: messages go
 * out through an outbox, answers come in through epact_client_step.
 *
 * A cached row is the shard's row when it was fetched, plus the worker's own increments that were not
 * in it, each once: read-my-writes. */
#ifndef EPACT_PS_CLIENT_H
#define EPACT_PS_CLIENT_H

#include "filter.h"
#include "log.h"
#include "message.h"
#include "mirror.h"

#define EPACT_ASYNC INT64_MAX
/* Clocks a pushed copy may be behind in an Async read before the shard is asked, which answers at once: pushes come
 * when the slowest worker advances, and who is ahead of it wants to see the others who are. */
#define EPACT_ASYNC_LAG 1

typedef struct epact_client epact_client;

/* Beside each row of a cache. All zero: never fetched, nothing logged. */
typedef struct {
  int64_t valid_before; /* the copy serves reads at clocks < this; 0: there is no copy */
  int64_t stamp;        /* the copy holds every increment tagged < stamp */
  uint64_t version;     /* the shard's version of the row */
  uint32_t logged;      /* 1 + its accumulator in a dense log (see EPACT_LOGGED_REST); 0 none */
  uint32_t answered;    /* the request that brought the copy */
} epact_cached;

/* In `logged`: the accumulator holds only what rounding has left, and waits for the row's next increment. */
#define EPACT_LOGGED_REST (UINT32_C(1) << 31)

struct epact_table {
  epact_client *client;
  void *worker; /* the epact_worker around the client, for the public functions */
  char name[EPACT_MAX_NAME + 1];
  epact_schema schema;
  int64_t staleness; /* as declared */
  int64_t slack;     /* ... less the clocks that increments are held: how old batches may be that reads lack */
  epact_store cache;
  epact_cached *cached; /* by index of the cache */
  uint32_t cached_capacity;
  epact_log log;
  epact_filter filter;
  int64_t *cursor;    /* by shard: changes read up to here */
  epact_batch **held; /* what the sections handed out point into */
  int64_t held_count, held_capacity;
  epact_section *changed; /* handed out */
  int64_t changed_count, changed_capacity;
  epact_table_stats stats;
};

typedef struct {
  int64_t clock;
  bool final;
  epact_batch *batch;
} epact_unacknowledged;

/* What this worker and one shard have open between them. Batches that are applied stay for a while: a copy of a row
 * in the mirror may be older, and needs them on top. */
typedef struct {
  epact_unacknowledged *batch; /* in clock order, without a gap up to the last one */
  int32_t batches, capacity;
  int32_t kept;         /* the first of them are applied */
  int64_t acknowledged; /* batches of clocks < this are applied there */
  int64_t minimum;      /* as it said last */
  int64_t last_long;    /* clock of the last batch that was long; -1: none */
  size_t bytes;         /* of the batches */
  bool waiting;         /* for the answer to `asked` */
  bool parked;          /* the last answer had to wait for the minimum clock */
  epact_message asked;
  epact_batch *asked_ids;
} epact_link;

struct epact_client {
  int32_t slot, slots, shards;
  int32_t local; /* the shard in this process, which takes a batch within the call; -1 none */
  uint32_t incarnation;
  int64_t clock;
  int64_t floor; /* reads must hold every increment tagged < floor (barriers) */
  bool finished;
  bool flush;        /* the next clock publishes what filters keep, too */
  int64_t cut_every; /* ... and so does the last before each multiple of this (shard.h, cuts); 0 never */
  uint32_t request;
  epact_link *link; /* by shard */
  epact_table **table;
  int32_t tables;
  epact_mirror *mirror; /* of the process; NULL: none */
  int64_t keep;         /* clocks for which applied batches are kept: as old as a copy may be */
  epact_outbox outbox;
  struct epact_spares *spares; /* memory of batches that travel */
  int refused_code;            /* a shard's refusal; of a batch (request 0) it stays */
  uint32_t refused_request;
  char refused_text[512];
  char *split; /* a batch dealt to several shards */
  size_t split_bytes;
  epact_section *sections; /* shards x tables */
};

/* Batches a worker may have sent that are not applied yet: fewer than a shard stages. */
#define EPACT_MOST_UNACKNOWLEDGED (EPACT_STAGING_WINDOW - 16)
/* ... and their bytes, once there are two. */
#define EPACT_MOST_UNACKNOWLEDGED_BYTES ((size_t)48 << 20)

int epact_client_init(epact_client *client, int slot, int slots, int shards, int local, epact_outbox outbox);
void epact_client_free(epact_client *client);
/** Before the first table: the worker begins at this clock. */
void epact_client_begin(epact_client *client, int64_t clock);
/** Instead: the worker was admitted by each shard at the minimum it had then. It begins at the largest of them, and
 * tells the others that there is nothing of it before. */
int epact_client_join(epact_client *client, const int64_t *minimum);

/** The id of the table of that name: every process computes the same. */
uint32_t epact_table_id(const char *name);
/** The shard that owns a row. */
static inline int32_t epact_row_shard(const epact_schema *schema, int64_t row, int32_t shards)
{
  return shards == 1 ? 0 : (int32_t)(((uint64_t)row + schema->id) % (uint64_t)shards);
}

/* deal.c */
/** Bytes the arrays of `section` may take when dealt to all shards: each shard's rows, starts (one more a
 * shard) and cells are padded. */
size_t epact_deal_bytes(const epact_section *section, int shards);
/** Deals the rows of a section to their owners, in the order they had: out[s * stride] for shard s, in
 * memory carved from *arena. */
void epact_deal(const epact_section *section, const epact_schema *schema, int shards, char **arena, epact_section *out,
                int stride);

/** Opens a table: asks every shard to make it. mirrored: the mirror keeps its rows. NULL with the sentence left. */
epact_table *epact_client_open(epact_client *client, const char *name, const epact_schema *schema, int64_t staleness,
                               bool mirrored);
/** Forgets the table opened last, which the shards refused. */
void epact_client_forget_last(epact_client *client);
/** Publishes the logs tagged with the clock to every shard, then clock += 1. */
int epact_client_clock(epact_client *client, bool final);
/** Asks a shard: READ (section has the ids), CHANGES or WAIT, for the minimum clock `need`. */
int epact_client_ask(epact_client *client, int shard, epact_message_kind kind, const epact_table *table, int64_t need,
                     const epact_section *ids);
/** An answer of `shard` is awaited. */
static inline bool epact_client_waits(const epact_client *client, int shard)
{
  return client->link[shard].waiting;
}
/* client.c, for client_answers.c */
/** The open request once more, as a new one. */
int epact_client_ask_again(epact_client *client, int shard);
/** The shard has applied what is tagged <= clock. */
void epact_client_take_ack(const epact_client *client, epact_link *link, int64_t clock);

/** Takes one message from a shard. Unexpected ones (late, repeated) are ignored. */
int epact_client_step(epact_client *client, const epact_message *message);
/** Sends again what was not answered: after a reconnection, or on a lossy network. */
int epact_client_resend(epact_client *client);
/** Batches no shard has acknowledged. */
int64_t epact_client_unacknowledged(const epact_client *client);
/** The least minimum that the shards have said. */
int64_t epact_client_minimum(const epact_client *client);
/** The shard that has not acknowledged EPACT_MOST_UNACKNOWLEDGED batches, or bytes, so that no more may be published;
 * -1 none. */
int epact_client_congested(const epact_client *client);
/** Puts the worker's batches that `shard` had not applied at clock `applied` on top of a copy of its row. */
int epact_client_overlay(epact_table *table, int shard, int64_t applied, uint32_t index, int64_t row);

/** The minimum clock a read of this table at the worker's clock needs (the SSP rule). */
static inline int64_t epact_table_need(const epact_table *table)
{
  int64_t need = table->slack == EPACT_ASYNC ? 0 : table->client->clock - table->slack;
  return need > table->client->floor ? need : table->client->floor;
}

/** The oldest clock of the worker's batches that can still be put on top of a copy of `shard`'s rows. */
static inline int64_t epact_link_oldest(const epact_link *link)
{
  return link->batches ? link->batch[0].clock : link->acknowledged;
}

/** The copy of a row serves reads at the worker's clock. */
bool epact_table_is_fresh(const epact_table *table, int64_t row);
/** Puts batches on top of copies from the mirror. Those numbered first .. first+count-1 (`answered`) hold the worker's
 * batches up to clock applied[number - first]. */
int epact_client_overlay_many(epact_table *table, int shard, uint32_t first, uint32_t count, const int64_t *applied);
/** Tells the shards which rows of theirs this process is sent and does not hold. Steps the mirror. */
int epact_client_unsubscribe(epact_client *client);

/** Index of a row in the cache, made if new; EPACT_NO_INDEX when memory is short. */
uint32_t epact_table_index(epact_table *table, int64_t row);
/** Starts the copy of a row anew from the shard's contents (dense: values; sparse: cells), and puts the
 * log's increments on top. `stamp`: the shard's minimum. */
int epact_table_install(epact_table *table, uint32_t index, int64_t row, const void *values,
                        const epact_sparse_row *cells, int64_t stamp, uint64_t version);
/** The copy is known to be current: only its stamp moves. */
void epact_table_renew(epact_table *table, uint32_t index, int64_t stamp);
/** Releases what the last changes pointed into. */
void epact_table_drop_changes(epact_table *table);
/** Adds a batch to the changes handed out. Takes over the caller's reference. */
int epact_table_hold_changes(epact_table *table, epact_batch *batch);

#endif
