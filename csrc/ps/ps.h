/* Floor 3: the parameter server as the Lua core and C programs call it.
 *
 * A process holds one shard of every table and some workers (threads). Worker p has a clock c_p,
 * from 0. epact_worker_clock() publishes its increments tagged c_p, then c_p += 1. A read at clock
 * c of a table with staleness s contains every increment tagged <= c-s-1 of all workers and all of
 * the reader's own; it may contain newer ones (Ho et al., NIPS 2013).
 *
 * A worker and its tables belong to one thread. A process may be used by any thread.
 */
#ifndef EPACT_PS_H
#define EPACT_PS_H

#include "../base/base.h"

/* Types of a table's cells. */
enum { EPACT_F32 = 0, EPACT_F64 = 1, EPACT_I32 = 2, EPACT_I64 = 3 };

/* How values travel: as they are, or rounded to fewer bytes. */
enum { EPACT_AS_TYPE = 0, EPACT_AS_F16 = 1, EPACT_AS_BF16 = 2, EPACT_AS_F32 = 3 };

/* Rows of one table: contents or increments. Dense (start == NULL): `rows` x cols values.
 * Sparse: row i has the cells start[i] .. start[i+1]-1 of col and value. */
typedef struct {
  uint32_t table; /* id: a hash of the name */
  int32_t type;
  int64_t cols; /* of the table */
  int64_t rows; /* in this section */
  const int64_t *row;
  const uint32_t *start;
  const uint32_t *col;
  const void *value;
  int32_t encoding; /* of value: EPACT_AS_...; contents and changes are as their type says */
} epact_section;

typedef struct epact_process epact_process;
typedef struct epact_worker epact_worker;
typedef struct epact_table epact_table;

enum { EPACT_RESUME = 1, EPACT_RESUME_IF_ANY = 2 };

typedef struct {
  int32_t rank, size;    /* this process among the job's processes */
  int32_t workers;       /* of this process */
  int32_t deterministic; /* increments are applied clock by clock, in worker order */
  uint64_t job;          /* must be the same in all processes, and differ from other jobs' */
  double timeout;        /* seconds a wait may last before it is an error; <= 0: 300 */
  double lease;          /* seconds after which a process that gives no sign of life is lost; <= 0: 10 */
  const char *root;      /* endpoint of rank 0 (tcp:// or ipc://); unused when size is 1 */
  /* Snapshots: every `snapshot_every` clocks into the folder `snapshots` (NULL: none), which all processes reach.
   * journal: what is applied between them is kept there, too. resume: 0 begins anew, in a folder without a snapshot;
   * EPACT_RESUME goes on from the snapshot at `resume_clock` (< 0: the newest); EPACT_RESUME_IF_ANY begins anew when
   * there is none. */
  const char *snapshots;
  int64_t snapshot_every;
  int32_t journal, resume;
  int64_t resume_clock;
  /* Shards are on ranks 0 .. servers-1 (0: on all). go_on: a lost process that holds none leaves the clock, and the
   * others go on. elastic: processes may join while the job runs; join: this one does (rank and size are told it). */
  int32_t servers, go_on, elastic, join;
  int64_t cache_rows;       /* most rows of other processes the workers share copies of; <= 0: no limit */
  int64_t cache_bytes;      /* ... and most bytes; <= 0: 1 GiB */
  int (*interrupted)(void); /* asked while waiting for other processes to come: a negative code, with its
                               sentence, gives up. NULL: never */
  const char *address;      /* HOST or HOST:PORT at which the others reach this process; NULL: as the system routes */
  const char *keys;         /* folder of keys (see epact_keys_create); NULL: none */
  int32_t insecure;         /* an address others can reach may be used without keys */
} epact_process_options;

/** Makes a folder of keys: `folder`/job.key (secret) and `folder`/job.pub. public_key: 41 bytes.
 * E_IO when there are some already. */
EPACT_API int epact_keys_create(const char *folder, char *public_key);
/** Whether only processes of this machine can reach an endpoint: ipc, or tcp on the loopback. */
EPACT_API int epact_endpoint_is_local(const char *endpoint);

/** Joins the job: with size > 1 waits until every process has registered with rank 0.
 * @return NULL on failure, with the sentence left. */
EPACT_API epact_process *epact_process_open(const epact_process_options *options);
/** Worker `index` of this process (0 .. workers-1), owned by the process. */
EPACT_API epact_worker *epact_process_worker(epact_process *process, int index);
/** Stops the job everywhere: every wait returns EPACT_E_STOPPED. The first reason is kept. */
EPACT_API void epact_process_stop(epact_process *process, const char *reason);
/** The reason given to epact_process_stop, here or by another process; NULL while running. */
EPACT_API const char *epact_process_stopped(epact_process *process);
/** Goes on serving this shard until every worker of the job has finished, and no other process needs anything more of
 * this one (or the job stops); its own workers must have finished. Waits at most `seconds`: the processes of a job
 * must drain at the same time.
 * @return EPACT_OK, EPACT_E_AGAIN, or EPACT_E_STOPPED */
EPACT_API int epact_process_drain(epact_process *process, double seconds);
/** Frees the process and its workers; none of them may be in use. */
EPACT_API void epact_process_close(epact_process *process);
/* Why frames and connections are refused. */
enum {
  EPACT_REFUSED_MALFORMED, /* not ours, cut short, of unknown kind, in several parts */
  EPACT_REFUSED_VERSION,
  EPACT_REFUSED_JOB, /* another job's, or of a process that is no member */
  EPACT_REFUSED_CORRUPT,
  EPACT_REFUSED_SIZE,
  EPACT_REFUSED_SENDER,    /* for a worker that is not the sender's, or under a key that is not */
  EPACT_REFUSED_KEY,       /* a connection whose key is not listed */
  EPACT_REFUSED_HANDSHAKE, /* a connection that did not come that far */
  EPACT_REFUSALS
};
typedef struct {
  double count[EPACT_REFUSALS];
  double repeated;  /* batches that came again, and were dropped */
  double unprinted; /* refusals that were not said on stderr because there were so many */
} epact_refusals;
/** What this process has refused so far. */
EPACT_API void epact_process_refusals(epact_process *process, epact_refusals *refusals);
/** "malformed" for EPACT_REFUSED_MALFORMED, and so on. */
EPACT_API const char *epact_refusal_name(int reason);
/** Plain memory of this process by name, for lock-free (Hogwild!) use: `bytes` zeroed bytes, the
 * same for every caller, alive as long as the process. NULL (E_SCHEMA) when made with another size. */
EPACT_API void *epact_process_shared(epact_process *process, const char *name, size_t bytes);

typedef struct {
  int32_t id, count;  /* this worker among all workers of the job */
  int32_t rank, size; /* its process */
  int32_t local;      /* its index in its process */
  int32_t deterministic;
} epact_worker_place;

EPACT_API epact_worker_place epact_worker_where(const epact_worker *worker);
/** The worker's clock c. */
EPACT_API int64_t epact_worker_now(const epact_worker *worker);
/** The least clock of all workers, as this process's part of the server has heard of it: some may be ahead of what it
 * says, none behind. No message, no wait. -1 where the process has no part of the server. */
EPACT_API int64_t epact_worker_slowest(const epact_worker *worker);
/** Publishes the increments tagged c, then c += 1. Never waits for other workers. */
EPACT_API int epact_worker_clock(epact_worker *worker);
/** clock(), then waits until every worker has come as far; later reads see all of it. Every worker
 * must call it at the same clock. */
EPACT_API int epact_worker_barrier(epact_worker *worker);
/** This worker keeps a state of its own, which is saved with the snapshots: to be said before its first clock. The
 * state it had in the snapshot this job began with, or NULL (*bytes = 0) when there is none; lent as long as the
 * worker. */
EPACT_API const void *epact_worker_keep_state(epact_worker *worker, size_t *bytes);
/** Nonzero after a clock whose end is in a snapshot (or journal) that this worker's state belongs to: it must then call
 * epact_worker_save before its next clock. */
EPACT_API int epact_worker_saves(const epact_worker *worker);
/** Its state now, which is copied; also right before epact_worker_finish, since a resumed job hands a worker that has
 * finished its last state. */
EPACT_API int epact_worker_save(epact_worker *worker, const void *state, size_t bytes);
/** What is tagged < this would survive the loss of all processes now. 0 without snapshots. */
EPACT_API int64_t epact_process_durable(epact_process *process);
/** Publishes what is left; from then on nobody waits for this worker. Idempotent. */
EPACT_API int epact_worker_finish(epact_worker *worker);
/** Nonzero when the worker has joined a job that was running. */
EPACT_API int epact_worker_joined(const epact_worker *worker);
/** Nonzero once the job is stopped or interrupted: a long computation may ask now and then. */
EPACT_API int epact_worker_stopped(const epact_worker *worker);

typedef struct {
  const char *name;
  int64_t rows;           /* ids 0 .. rows-1; 0: any id below 2^53 (sparse tables and hashed ids) */
  int64_t cols;           /* 1 .. 2^31 */
  int32_t type;           /* EPACT_F32 ... */
  int32_t sparse;         /* rows are stored by their non-zero cells */
  int32_t sparse_updates; /* increments are logged cell by cell; implied by sparse */
  int32_t changes;        /* increments are kept until every worker has read them as changes */
  int32_t push;           /* processes are sent the changes of rows they have read (ESSP) */
  int64_t staleness;      /* >= 0; INT64_MAX: Async. Of this worker's reads. */
  /* What this worker sends of its increments at a clock; what it does not, it keeps and adds to later ones, so that
   * nothing is lost. All of it goes out, exact, at a barrier and at finish. See filter.h. */
  int32_t zero;        /* rows and cells that are zero are not sent */
  int32_t precision;   /* EPACT_AS_...: values are rounded; f32 and f64 tables */
  double significance; /* > 0: what is at most this fraction of the worker's copy waits; f32 and f64 tables */
  int64_t hold;        /* clocks that it may wait: 1 .. staleness, the same for all workers; 0: half the staleness
                          (rounded up), Async: 8 */
} epact_table_options;

/** Opens (or makes) the table of that name on every shard. Another shape under the same name is
 * EPACT_E_SCHEMA with both shapes. The table lives as long as its worker. */
EPACT_API int epact_table_open(epact_worker *worker, const epact_table_options *options, epact_table **table);

/** cell += delta. Refuses ids out of range, NaN and infinity, and fractions in integer tables. */
EPACT_API int epact_table_inc(epact_table *table, int64_t row, int64_t col, double delta);
/** row += delta (cols values of the table's type). */
EPACT_API int epact_table_inc_row(epact_table *table, int64_t row, const void *delta);
/** The whole table += delta (rows x cols values of its type). Needs dense updates and rows > 0. */
EPACT_API int epact_table_inc_all(epact_table *table, const void *delta);
/** row[col[i]] += scale * value[i] for i < n (f32 and f64 tables). */
EPACT_API int epact_table_inc_sparse(epact_table *table, int64_t row, int64_t n, const uint32_t *col,
                                     const double *value, double scale);
/** table[row[i]][col[i]] += delta[i] for i < n; delta has the table's type. All or nothing. */
EPACT_API int epact_table_inc_many(epact_table *table, int64_t n, const uint32_t *row, const uint32_t *col,
                                   const void *delta);

/** The cached row, when it is fresh enough for the worker's clock; NULL: call epact_table_fetch.
 * cols values of the table's type; the pointer stays valid (and the same) as long as the table. */
EPACT_API const void *epact_table_get(epact_table *table, int64_t row);
EPACT_API const float *epact_table_get_f32(epact_table *table, int64_t row);
EPACT_API const double *epact_table_get_f64(epact_table *table, int64_t row);
EPACT_API const int32_t *epact_table_get_i32(epact_table *table, int64_t row);
EPACT_API const int64_t *epact_table_get_i64(epact_table *table, int64_t row);
/** Makes n rows (NULL: all rows 0 .. n-1) fresh enough, waiting for slower workers if it must. */
EPACT_API int epact_table_fetch(epact_table *table, int64_t n, const int64_t *row);
/** After a fetch of all rows: the rows x cols values in one piece; NULL for sparse tables and
 * tables without a declared number of rows. */
EPACT_API const void *epact_table_all(epact_table *table);

/* A fetched sparse row: `capacity` slots, of which those with col != EPACT_ROW_SLOT_EMPTY are in use. */
enum { EPACT_ROW_SLOT_EMPTY = -1 };
typedef struct {
  uint32_t capacity, count;
  const int32_t *col; /* EPACT_ROW_SLOT_EMPTY: slot not in use */
  const void *value;
} epact_row_cells;
/** The cells of a fetched row of a sparse table. */
EPACT_API int epact_table_cells(epact_table *table, int64_t row, epact_row_cells *cells);
/** One cell of a fetched row, as a double (0 where there is none). */
EPACT_API double epact_table_cell(epact_table *table, int64_t row, int64_t col);

/** The increments of all *other* workers not seen by earlier calls, at least all tagged
 * <= c-s-1 (table option `changes`). *section has *count entries, valid until the next call. */
EPACT_API int epact_table_changes(epact_table *table, int64_t *count, const epact_section **section);

/* ---- snapshots in a folder, looked at from outside a job ---- */

typedef struct {
  uint32_t id;
  char name[256], shape[96];
  int64_t rows; /* that are in it */
} epact_snapshot_table;

typedef struct {
  uint64_t run;
  int64_t clock, reaches; /* the journals after it lead to this clock */
  int64_t every;
  int32_t shards, workers;
  int32_t states; /* workers with a state of their own */
  int32_t deterministic;
  int64_t bytes, journal_bytes;
  int32_t tables;
  epact_snapshot_table *table;
} epact_snapshot;

/** The clocks of the snapshots in a folder, ascending; at most `most` of them are written. Returns how many there are. */
EPACT_API int epact_snapshots_list(const char *folder, int64_t *clock, int32_t most);
/** Reads all of one, and the journals after it, and checks it: the error is the one a job would have. To be freed in any
 * case. */
EPACT_API int epact_snapshot_look(const char *folder, int64_t clock, epact_snapshot *snapshot);
EPACT_API void epact_snapshot_free(epact_snapshot *snapshot);

enum { EPACT_STALENESS_BINS = 64 };
typedef struct {
  double reads;                     /* get calls served */
  double fetches;                   /* rows brought to the cache */
  double hits;                      /* ... from rows the process had */
  double increments;                /* cells published */
  double bytes;                     /* published */
  double bytes_rows, bytes_changes; /* of answers that came in */
  double wait_seconds;              /* spent in reads that had to ask: */
  double wait_clock, wait_net;      /* ... for slower workers; else for other processes to answer */
  /* of the process, so in the statistics of its first worker only: pushes that came in, rows of others it let go, and
   * rows of its shard that other processes are sent the changes of (counted once for each) */
  double bytes_pushed, evictions, subscribed;
  double staleness[EPACT_STALENESS_BINS]; /* reads by (clock - clock of the copy); last bin: or more */
} epact_table_stats;
/** Seconds the worker waited until no more than a window of its batches was under way. */
EPACT_API double epact_worker_wait_room(const epact_worker *worker);
EPACT_API int epact_table_statistics(const epact_table *table, epact_table_stats *stats);

#endif
