/* Open addressing with linear steps. */
#include "dictionary.h"

#include "../base/internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 4096

int epact_dictionary_start(epact_dictionary *dictionary)
{
  memset(dictionary, 0, sizeof *dictionary);
  int code = epact_vocabulary_start(&dictionary->words);
  if (code) return code;
  dictionary->slot = epact_calloc(FIRST_SLOTS, sizeof *dictionary->slot);
  dictionary->mask = FIRST_SLOTS - 1;
  if (dictionary->slot) return EPACT_OK;
  epact_dictionary_end(dictionary);
  return EPACT_E_NOMEM;
}

void epact_dictionary_end(epact_dictionary *dictionary)
{
  epact_release(dictionary->words.vocabulary);
  free(dictionary->hash);
  free(dictionary->slot);
  memset(dictionary, 0, sizeof *dictionary);
}

static int double_slots(epact_dictionary *dictionary)
{
  uint64_t mask = 2 * dictionary->mask + 1;
  uint32_t *slot = epact_calloc(mask + 1, sizeof *slot);
  if (!slot) return EPACT_E_NOMEM;
  for (int64_t id = 0; id < dictionary->words.vocabulary->words; id++) {
    uint64_t place = dictionary->hash[id] & mask;
    while (slot[place]) place = (place + 1) & mask;
    slot[place] = (uint32_t)id + 1;
  }
  free(dictionary->slot);
  dictionary->slot = slot;
  dictionary->mask = mask;
  return EPACT_OK;
}

static int64_t add(epact_dictionary *dictionary, const char *word, int64_t bytes, uint64_t hash, uint64_t place)
{
  int64_t id = dictionary->words.vocabulary->words;
  int code = EPACT_OK;
  if (id >= UINT32_MAX - 1) return epact_fail(EPACT_E_LIMIT, "a vocabulary has at most 2^32 - 2 words");
  if (id == dictionary->capacity) {
    dictionary->capacity = 2 * id + FIRST_SLOTS;
    code = epact_grow(&dictionary->hash, (size_t)dictionary->capacity, sizeof *dictionary->hash);
  }
  if (!code) code = epact_vocabulary_add(&dictionary->words, word, bytes);
  if (code) return code;
  dictionary->hash[id] = hash;
  dictionary->slot[place] = (uint32_t)id + 1;
  if ((uint64_t)(2 * id) > dictionary->mask) code = double_slots(dictionary);
  return code ? code : id;
}

int64_t epact_dictionary_id(epact_dictionary *dictionary, const char *word, int64_t bytes, uint64_t hash)
{
  const epact_vocabulary *words = dictionary->words.vocabulary;
  hash = epact_mix64(hash);
  uint64_t place = hash & dictionary->mask;
  while (dictionary->slot[place]) {
    int64_t id = dictionary->slot[place] - 1;
    if (dictionary->hash[id] == hash && words->start[id + 1] - words->start[id] == bytes &&
        !memcmp(words->text + words->start[id], word, (size_t)bytes))
      return id;
    place = (place + 1) & dictionary->mask;
  }
  return add(dictionary, word, bytes, hash, place);
}
