/* A snapshot: what every shard held when its tables had exactly the increments tagged < clock, and what the workers
 * kept for themselves at that clock. Each process writes one part, rank 0 a manifest that names all parts; only a
 * snapshot with its manifest counts. Journals hold the batches applied after a cut. Everything here is a function of
 * bytes: which files there are, and when they are written, is the keeper's. */
#ifndef EPACT_PS_SNAPSHOT_H
#define EPACT_PS_SNAPSHOT_H

#include "records.h"
#include "shard.h"

/** Makes the table of a CREATE record unless it is there; E_CORRUPT when it is another. */
int epact_shard_recreate(epact_shard *shard, const epact_message *create);

/* ---- parts ---- */

/** *part, which is empty, gets what the shard, at a cut at `clock`, holds: the begin of the part, tables, rows, who has
 * finished. A process without a shard has an empty one. No other cut of that shard is being copied. */
int epact_part_begin(epact_records *part, epact_shard *shard, int64_t clock, uint64_t run);
/** Adds a worker's own state. */
int epact_part_state(epact_records *part, int slot, int64_t clock, const void *blob, size_t bytes, uint64_t run);
/** ... that of a worker which has finished, its clock then being `clock`: good for every later clock, too. */
int epact_part_last_state(epact_records *part, int slot, int64_t clock, const void *blob, size_t bytes, uint64_t run);
/** Adds the end, without which a part is refused. */
int epact_part_end(epact_records *part, uint64_t run);

/* What a part or journal is read for. */
typedef struct {
  epact_shard *shard; /* gets the tables, and the rows it owns; NULL: only checked */
  /* told of the states of workers first_slot .. first_slot + slots - 1; a negative code ends the reading. NULL: not
   * wanted */
  int (*state)(void *context, const epact_message *state);
  void *context;
  int32_t first_slot, slots;
  bool *finished; /* by slot: set where the worker finished before the cut. NULL: not wanted */
  int (*look)(void *context, const epact_message *record); /* told of every record of the parts; NULL: not wanted */
} epact_part_reader;

/** Hands out a STATE record if the reader wants it. */
int epact_part_hand_out(const epact_message *state, const epact_part_reader *reader);
/** Reads a part. E_CORRUPT, E_JOB or E_VERSION with the place when it is refused; the shard is of no use then. */
int epact_part_read(const void *data, size_t bytes, uint64_t run, int64_t clock, int rank,
                    const epact_part_reader *reader);

/* ---- manifests ---- */

typedef struct {
  uint64_t bytes;
  uint32_t crc;
  int32_t first_slot, slots; /* workers whose states are in it */
} epact_part_file;

typedef struct {
  uint64_t run;
  uint32_t life; /* in which it was taken */
  int64_t clock, every;
  int32_t shards, processes, slots; /* shards are on ranks 0 .. shards - 1 */
  bool deterministic;
  epact_part_file *part; /* by rank; of 0 bytes where the process was lost before */
} epact_manifest;

/** The text of a manifest, epact_malloc'ed; NULL when memory is short. */
char *epact_manifest_text(const epact_manifest *manifest, size_t *bytes);
/** Reads one; E_CORRUPT with the line that is wrong. manifest->part is to be freed. */
int epact_manifest_parse(const char *text, size_t bytes, epact_manifest *manifest);

/* ---- journals ---- */

/* One batch or state in a journal. */
typedef struct {
  int64_t clock;
  int32_t slot;
  bool final;
  bool state; /* else a batch */
  int32_t file;
  size_t offset; /* of its record in the file */
} epact_journal_entry;

/* The journals of a run after a snapshot, in memory. */
typedef struct {
  uint64_t run;
  uint32_t life;         /* of the newest file, at least the snapshot's; files of earlier lives are void */
  int32_t shards, slots; /* ... and what it had of them, which may be other than the snapshot's; 0: there is no file */
  const bool *finished;  /* by slot: the worker had finished before; NULL: none had */
  int32_t files;
  char **data;
  size_t *bytes;
  epact_journal_entry *entry;
  int64_t entries, capacity;
} epact_journal;

/** Takes over the content of the file of `rank` that begins at `clock` (freed with the journal). A torn end is cut off:
 * *whole is what is good. What was synced must be good, and of that file: E_CORRUPT otherwise. */
int epact_journal_add(epact_journal *journal, char *data, size_t bytes, int64_t clock, int rank, size_t *whole);
/** The last clock c such that every batch tagged < c of all slots (of all shards' journals) is here, and the states at c
 * of those workers that keep any: keeps[slot], to which those in the journals are added. At least `from`, the
 * snapshot's clock. */
int64_t epact_journal_clock(epact_journal *journal, int64_t from, bool *keeps);
/** Applies the batches tagged < clock, in the order of clocks and slots, to the rows that the shard owns, and hands out
 * the states at `clock`. */
int epact_journal_replay(epact_journal *journal, int64_t clock, const epact_part_reader *reader);
void epact_journal_free(epact_journal *journal);

#endif
