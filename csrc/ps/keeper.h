/* Which files a run keeps, and when: each process writes its parts and its journal; when all parts of a clock are on
 * disk rank 0 writes the manifest, tells everybody that this clock is durable, and what is older than the last two
 * snapshots goes. Not thread-safe; calls the disk, which may take its time. Files, in one folder:
 *
 *   clock-C.part-R      the part of rank R of the snapshot at clock C
 *   clock-C.manifest    all parts are there: the snapshot counts
 *   clock-C.journal-R   batches tagged >= C that rank R has applied */
#ifndef EPACT_PS_KEEPER_H
#define EPACT_PS_KEEPER_H

#include "disk.h"
#include "snapshot.h"

#define EPACT_FILE_NAME_BYTES 64

/* What is to be written. */
typedef enum { EPACT_PIECE_PART, EPACT_PIECE_JOURNAL, EPACT_PIECE_TURN } epact_piece_kind;
typedef struct {
  epact_piece_kind kind;
  int64_t clock;         /* of the part; what the journal holds then; at which it turns */
  epact_records records; /* a part without any could not be made */
} epact_piece;

typedef struct {
  int64_t clock;
  int32_t missing; /* parts */
  bool failed;
  bool *saved; /* by rank */
  epact_part_file *part;
} epact_collection;

typedef struct {
  epact_disk *disk;
  epact_outbox outbox; /* SAVED to rank 0, DURABLE to all (shard = whereto) */
  uint64_t run;
  int32_t rank, shards, processes, slots; /* shards are on ranks 0 .. shards - 1 */
  int32_t first_slot, workers;            /* of this process */
  int64_t every;
  bool deterministic, journal;
  bool ending;   /* all workers of the job have finished: the other processes are leaving, rank 0 clears up for them */
  uint32_t life; /* grows each time the run is resumed: journals of an earlier one are not mixed with this one's */
  char journal_name[EPACT_FILE_NAME_BYTES];
  int64_t journal_clock; /* in its name */
  size_t journal_bytes;
  int64_t begins;            /* the clock of the first snapshot, which must not fail */
  int64_t durable;           /* as rank 0 told */
  int64_t failures;          /* snapshots that were not made */
  epact_collection *pending; /* rank 0: snapshots whose parts are coming in */
  int32_t pendings;
  bool *gone;             /* rank 0: by rank, processes that were lost */
  int64_t *journaled;     /* rank 0: by rank, its journal holds what is tagged < this */
  int64_t newest, before; /* rank 0: clocks of the last two snapshots, -1 none */
} epact_keeper;

/** The run begins at `clock`, after the snapshot at `newest` (-1 none). Where they differ nothing is durable before the
 * first snapshot, at `clock`, is. Fields disk .. life are the caller's to set before. */
int epact_keeper_open(epact_keeper *keeper, int64_t newest, int64_t clock);
void epact_keeper_close(epact_keeper *keeper);

/** Removes what a crash left half-written, and (rank 0) snapshots of later clocks than `snapshot`, which a run that goes
 * on from there takes again. To be called before any part is written. */
int epact_keeper_sweep(epact_keeper *keeper, int64_t snapshot);
/** Writes the part of this process and tells rank 0; so it does when that fails (a part without records was not even
 * made), and the run goes on. */
int epact_keeper_save(epact_keeper *keeper, int64_t clock, const epact_records *part);
/** The journal goes on in a file of its own: of batches tagged >= clock. */
int epact_keeper_turn(epact_keeper *keeper, int64_t clock);
/** Adds to the journal and syncs it: it then holds what is tagged < clock. A failure is one of the run. */
int epact_keeper_append(epact_keeper *keeper, const epact_records *records, int64_t clock);
/** One of the three; a failure of a part is counted only, but for the first snapshot of a run. */
int epact_keeper_write(epact_keeper *keeper, const epact_piece *piece);
/** Takes SAVED (rank 0), DURABLE or GONE; E_PROTO when it makes no sense. */
int epact_keeper_step(epact_keeper *keeper, const epact_message *message);
/** Rank 0: nobody writes any more; what is older than the last two snapshots goes, whoever wrote it. */
int epact_keeper_finish(epact_keeper *keeper);
/** Rank 0: the process is lost; snapshots are complete without it. */
void epact_keeper_lose(epact_keeper *keeper, int rank);
/** Rank 0: snapshots are being put together. */
static inline bool epact_keeper_collects(const epact_keeper *keeper)
{
  return keeper->pendings > 0;
}

/* ---- coming back: recovery.c ---- */

/* What a run that is resumed begins with. */
typedef struct {
  epact_manifest manifest;
  epact_journal journal;
  int64_t clock; /* >= manifest.clock: where the workers begin */
  int32_t slots; /* workers of the run that came as far */
} epact_recovery;

/** The clock of the newest snapshot in the folder, -1 when there is none. */
int epact_recovery_newest(epact_disk *disk, int64_t *clock);
/** Reads the manifest of the snapshot at `clock` (-1: the newest), and no journal. */
int epact_recovery_open(epact_disk *disk, int64_t clock, epact_recovery *recovery);
/** Finds the snapshot at `clock` (-1: the newest) and how far the journals after it go. E_SNAPSHOT when there is none,
 * E_CORRUPT with the file that is. */
int epact_recovery_find(epact_disk *disk, int64_t clock, epact_recovery *recovery);
/** Fills an empty shard (of any number of shards) with what it owns, and hands out the workers' states. */
int epact_recovery_load(epact_disk *disk, epact_recovery *recovery, const epact_part_reader *reader);
void epact_recovery_free(epact_recovery *recovery);

/** "clock-40.part-2" into name (EPACT_FILE_NAME_BYTES); rank < 0: no number. */
void epact_file_name(char *name, int64_t clock, const char *kind, int rank);
/** Takes such a name apart; false for any other name. */
bool epact_file_name_parse(const char *name, int64_t *clock, char *kind, int *rank);

#endif
