/* Who is sent which rows of a pushed table, and what has changed in them since the last push.
 *
 * A process subscribes to a row by reading it. Which of its columns changed is kept up to about half a row's cells;
 * beyond, the whole row is sent. Used by the shard alone. */
#ifndef EPACT_PS_SUBSCRIPTION_H
#define EPACT_PS_SUBSCRIPTION_H

#include "message.h"

typedef struct {
  uint64_t read_at;        /* the shard's version when a process last read the row */
  uint32_t *col;           /* changed since the last push, maybe repeatedly */
  uint32_t cols, capacity; /* of `col` */
  bool dirty;              /* among the dirty ones */
  bool whole;              /* too many columns to tell */
} epact_subscribed;

typedef struct {
  epact_store ids;          /* row id -> index; holds no values */
  epact_subscribed *row;    /* by index */
  uint64_t *process;        /* by index: `words` words of bits, one a process */
  uint32_t words, capacity; /* capacity: of row, process and dirty */
  uint32_t *dirty;          /* indices of rows changed since the last push */
  uint32_t dirty_count;
  int32_t processes;
  int64_t *held; /* by process: the rows it is subscribed to */
} epact_subscriptions;

int epact_subscriptions_init(epact_subscriptions *s, int processes);
void epact_subscriptions_free(epact_subscriptions *s);
/** There are so many processes now: not fewer than before. */
int epact_subscriptions_admit(epact_subscriptions *s, int processes);
/** A process reads n rows of a shard that is at `version`. */
int epact_subscriptions_add(epact_subscriptions *s, int process, int64_t n, const int64_t *row, uint64_t version);
/** A process does not hold n rows any more that it read before `version`: one that was read since stays, for the
 * message may have been overtaken by a later read. */
void epact_subscriptions_drop(epact_subscriptions *s, int process, int64_t n, const int64_t *row, uint64_t version);
/** A process is gone. */
void epact_subscriptions_forget(epact_subscriptions *s, int process);
/** Row i of a section was added to the master copy, which has `cells` cells. Cannot fail: where memory is short the
 * whole row counts as changed. */
void epact_subscriptions_note(epact_subscriptions *s, const epact_section *section, int64_t i, int64_t cells);
/** Nothing has changed since the push. */
void epact_subscriptions_clean(epact_subscriptions *s);

static inline bool epact_is_subscribed(const epact_subscriptions *s, int process, uint32_t index)
{
  return s->process[(size_t)index * s->words + (uint32_t)process / 64] >> (process % 64) & 1;
}
/** Sorts a row's changed columns, each once. */
void epact_subscribed_sort(epact_subscribed *row);

#endif
