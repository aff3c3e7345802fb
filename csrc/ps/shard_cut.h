/* A cut of a shard: what its tables hold at that moment goes into a part of a snapshot, a piece at a time, while the
 * shard goes on. A piece that is about to change is copied first. Nothing here locks: whoever steps the shard, and
 * whoever copies, must exclude each other. */
#ifndef EPACT_PS_SHARD_CUT_H
#define EPACT_PS_SHARD_CUT_H

#include "records.h"
#include "shard.h"

#define EPACT_CUT_PIECE_BYTES ((size_t)256 << 10)

typedef struct epact_shard_cut epact_shard_cut;

/* A table that is being copied. */
typedef struct epact_table_cut {
  epact_shard_cut *cut;
  uint32_t rows;   /* those of an index from this on came later */
  uint32_t stride; /* rows of a piece */
  uint32_t next;   /* pieces before it are copied */
  uint8_t *copied; /* by piece */
} epact_table_cut;

/** The shard is at a cut at `clock`. `memory` (records without content, taken over) is written to; pieces have about
 * `piece_bytes`, or are one row. NULL when memory is short: the shard goes on all the same. */
epact_shard_cut *epact_shard_cut_begin(epact_shard *shard, int64_t clock, uint64_t run, epact_records *memory,
                                       size_t piece_bytes);
/** Copies about `piece_bytes`; false: there was nothing left. */
bool epact_shard_cut_copy(epact_shard_cut *cut);
/** Copies what is left, and frees the cut: *part begins with the shard's part, and lacks states and the end.
 * Negative, with the reason, when a piece could not be copied: there is no part then. */
int epact_shard_cut_end(epact_shard_cut *cut, epact_records *part);
/** Frees the cut, before its shard is. */
void epact_shard_cut_drop(epact_shard_cut *cut);

/** Row `index` of the table is about to change. */
void epact_shard_cut_save(epact_table_cut *table, uint32_t index);
static inline void epact_shard_cut_before_change(epact_table_cut *table, uint32_t index)
{
  if (table && index < table->rows && !table->copied[index / table->stride]) epact_shard_cut_save(table, index);
}

#endif
