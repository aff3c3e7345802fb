/* Vocabularies that grow word by word. */
#ifndef EPACT_DATA_VOCABULARY_H
#define EPACT_DATA_VOCABULARY_H

#include "object.h"

typedef struct {
  epact_vocabulary *vocabulary;
  int64_t word_capacity, text_capacity;
} epact_vocabulary_builder;

/** An empty vocabulary, which the caller owns. */
int epact_vocabulary_start(epact_vocabulary_builder *builder);
int epact_vocabulary_add(epact_vocabulary_builder *builder, const char *word, int64_t bytes);

#endif
