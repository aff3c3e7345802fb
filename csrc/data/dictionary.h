/* A hash table from words to ids, in the order in which the words came. */
#ifndef EPACT_DATA_DICTIONARY_H
#define EPACT_DATA_DICTIONARY_H

#include "vocabulary.h"

typedef struct {
  epact_vocabulary_builder words;
  uint64_t *hash;   /* [capacity] of each word */
  uint32_t *slot;   /* [mask + 1] id + 1, or 0 */
  uint64_t mask;    /* a power of two minus one; at most half of the slots are taken */
  int64_t capacity; /* of hash */
} epact_dictionary;

#define EPACT_HASH_START UINT64_C(0xcbf29ce484222325)

/* Fowler, Noll, Vo (FNV-1a); the dictionary mixes the sum once more. */
static inline uint64_t epact_hash_byte(uint64_t hash, unsigned char byte)
{
  return (hash ^ byte) * UINT64_C(0x100000001b3);
}

int epact_dictionary_start(epact_dictionary *dictionary);
void epact_dictionary_end(epact_dictionary *dictionary);
/** The id of a word whose bytes hash to `hash`, new or not; or a negative code. At most 2^32 - 2 words. */
int64_t epact_dictionary_id(epact_dictionary *dictionary, const char *word, int64_t bytes, uint64_t hash);

#endif
