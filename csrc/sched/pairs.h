/* What is known of pairs of variables, in bounded memory. Private.
 *
 * A line of 64 bytes holds five pairs whose hashes agree; a sixth takes the place of the one that has been there
 * longest. Sizes are kept as float, rounded up, so that none seems smaller than it is. */
#ifndef EPACT_SCHED_PAIRS_H
#define EPACT_SCHED_PAIRS_H

#include "../base/internal.h"

enum { PAIRS_WAYS = 5 };

typedef struct {
  uint64_t key[PAIRS_WAYS]; /* the larger id and the smaller; 0: none */
  float size[PAIRS_WAYS];
  uint32_t next; /* whose place is taken next */
} pairs_line;

typedef struct {
  pairs_line *line;
  size_t lines; /* a power of two, or 0: nothing is kept */
  int64_t hits, misses, kept, evicted;
} pairs_cache;

/* As many lines as `bytes` have room for. EPACT_E_NOMEM. */
int pairs_init(pairs_cache *cache, size_t bytes);
void pairs_free(pairs_cache *cache);
/* The size of j and k, which differ; -1 when it is not known. Counts it. */
double pairs_find(pairs_cache *cache, uint32_t j, uint32_t k);
void pairs_keep(pairs_cache *cache, uint32_t j, uint32_t k, double size);

#endif
