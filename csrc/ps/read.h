/* A read of rows of other processes' shards, step by step: from the mirror what is fresh enough there, the rest by
 * asking the shards. Pure: between steps the caller waits for the answers. */
#ifndef EPACT_PS_READ_H
#define EPACT_PS_READ_H

#include "client.h"

typedef struct {
  epact_table *table;
  epact_mirror_table *mirrored; /* NULL: its rows are not kept */
  int64_t need, n, most;        /* minimum clock; rows; of one request */
  const int64_t *row;           /* NULL: 0 .. n-1 */
  int64_t *ids;
  int64_t *from; /* by shard: rows before it are done */
  bool *asked;   /* by shard: it is at `need`, and what it has pushed is here */
  /* copies from the mirror of this step: answered = first, first + 1, ... */
  uint32_t first, numbers, capacity;
  int64_t *applied; /* by number: the worker's last batch in them */
  const epact_mirror_state *state;
} epact_read;

/** Rows ids of `row` (or 0 .. n-1; checked), for the minimum clock `need`. */
int epact_read_begin(epact_read *read, epact_table *table, int64_t need, int64_t n, const int64_t *row);
/** Asks for what is missing; *asks: some shard has to answer before the next step. Else all rows are fresh. The
 * mirror must not be stepped meanwhile. */
int epact_read_step(epact_read *read, bool *asks);
void epact_read_end(epact_read *read);

#endif
