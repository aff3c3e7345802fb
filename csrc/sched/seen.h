/* A set of ids that is emptied in no time: for telling what a batch holds already. Private. */
#ifndef EPACT_SCHED_SEEN_H
#define EPACT_SCHED_SEEN_H

#include "../base/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  uint32_t id, round; /* is in the set when round is the set's */
} seen_place;

/* Open addressing, at most half full. All zero: an empty set without room. */
typedef struct {
  seen_place *place;
  size_t places; /* a power of two */
  uint32_t round;
} seen_set;

/* Empties the set and makes room for `count` ids. EPACT_E_NOMEM leaves it as it was. */
static inline int seen_begin(seen_set *seen, size_t count)
{
  size_t places = 64;
  while (places < 2 * count) places *= 2;
  if (places > seen->places) {
    seen_place *fresh = epact_calloc(places, sizeof *fresh);
    if (!fresh) return EPACT_E_NOMEM;
    free(seen->place);
    *seen = (seen_set){ .place = fresh, .places = places };
  }
  if (++seen->round == 0) {
    memset(seen->place, 0, seen->places * sizeof *seen->place);
    seen->round = 1;
  }
  return EPACT_OK;
}

static inline seen_place *seen_find(const seen_set *seen, uint32_t id)
{
  size_t at = (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (seen->places - 1);
  while (seen->place[at].round == seen->round && seen->place[at].id != id) at = (at + 1) & (seen->places - 1);
  return seen->place + at;
}

static inline bool seen_has(const seen_set *seen, uint32_t id)
{
  return seen_find(seen, id)->round == seen->round;
}

/* Adds an id; false when it was there. */
static inline bool seen_add(seen_set *seen, uint32_t id)
{
  seen_place *place = seen_find(seen, id);
  if (place->round == seen->round) return false;
  *place = (seen_place){ id, seen->round };
  return true;
}

#endif
