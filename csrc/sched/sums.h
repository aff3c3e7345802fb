/* A tree of sums over weights, for drawing items in proportion to them. Private.
 *
 * Eight weights lie in one cache line; each line's sum is a number of the level above, eight of which lie in one line
 * again. A draw walks down, an update recomputes sums up: O(log n) both, a cache line a level, a third of the levels of
 * a binary (Fenwick) tree. A sum is always computed from what is below and never from its own past: there is no drift,
 * and a weight that was taken out and put back leaves the very bits that were there; a Fenwick tree adds differences,
 * and what is left of 1e200 - 1e200 + 1 in it is noise. 9.2 bytes an item. */
#ifndef EPACT_SCHED_SUMS_H
#define EPACT_SCHED_SUMS_H

#include "../base/internal.h"

enum { SUMS_WIDTH = 8, SUMS_LEVELS = 12 };

typedef struct {
  int levels;
  double *level[SUMS_LEVELS]; /* level[0]: the weights; level[levels - 1]: one line */
  double *memory;             /* a shared object */
  size_t numbers;             /* in it */
  double total;
} sums_tree;

/* A tree of `count` equal weights. EPACT_E_NOMEM. */
int sums_init(sums_tree *tree, int64_t count, double weight);
void sums_free(sums_tree *tree);
/* All sums anew, after weights were written. */
void sums_build(sums_tree *tree, int64_t count);
/* The sums above `n` items whose weights were written, in `n` numbers of scratch memory. */
void sums_refresh(sums_tree *tree, int64_t n, const uint32_t *item, uint32_t *scratch);
/* For each of n numbers 0 <= at < total: the item within whose share of [0, total) it falls. Never one of weight 0
 * while total > 0. Overwrites `at`. */
void sums_find(const sums_tree *tree, int64_t n, double *at, uint32_t *item);

#endif
