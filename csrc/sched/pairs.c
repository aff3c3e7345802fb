/* A bounded cache of pairs: see pairs.h. */
#include "pairs.h"

#include <math.h>
#include <stdlib.h>

_Static_assert(sizeof(pairs_line) == 64, "a line of pairs is a cache line");

int pairs_init(pairs_cache *cache, size_t bytes)
{
  *cache = (pairs_cache){ 0 };
  size_t lines = bytes / sizeof(pairs_line);
  while (lines & (lines - 1)) lines &= lines - 1;
  if (!lines) return EPACT_OK;
  /* calloc's pages are touched when they are used: a cache that stays empty costs nothing */
  cache->line = epact_calloc(lines, sizeof(pairs_line));
  if (!cache->line) return EPACT_E_NOMEM;
  cache->lines = lines;
  return EPACT_OK;
}

void pairs_free(pairs_cache *cache)
{
  free(cache->line);
  *cache = (pairs_cache){ 0 };
}

static uint64_t key_of(uint32_t j, uint32_t k)
{
  return j > k ? (uint64_t)j << 32 | k : (uint64_t)k << 32 | j;
}

static pairs_line *line_of(const pairs_cache *cache, uint64_t key)
{
  return cache->line + ((epact_mix64(key) >> 20) & (cache->lines - 1));
}

double pairs_find(pairs_cache *cache, uint32_t j, uint32_t k)
{
  const uint64_t key = key_of(j, k);
  if (cache->lines) {
    const pairs_line *line = line_of(cache, key);
    for (int i = 0; i < PAIRS_WAYS; i++) {
      if (line->key[i] != key) continue;
      cache->hits++;
      return (double)line->size[i];
    }
  }
  cache->misses++;
  return -1;
}

void pairs_keep(pairs_cache *cache, uint32_t j, uint32_t k, double size)
{
  if (!cache->lines) return;
  const uint64_t key = key_of(j, k);
  pairs_line *line = line_of(cache, key);
  const uint32_t at = line->next;
  float rounded = (float)size;
  if ((double)rounded < size) rounded = nextafterf(rounded, INFINITY);
  if (line->key[at])
    cache->evicted++;
  else
    cache->kept++;
  line->key[at] = key;
  line->size[at] = rounded;
  line->next = (at + 1) % PAIRS_WAYS;
}
