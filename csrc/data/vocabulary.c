/* Vocabularies, built and read. */
#include "vocabulary.h"
#include "source.h"

#include <string.h>

int epact_vocabulary_start(epact_vocabulary_builder *builder)
{
  *builder = (epact_vocabulary_builder){ .vocabulary = epact_vocabulary_empty() };
  if (!builder->vocabulary) return EPACT_E_NOMEM;
  builder->vocabulary->start = epact_calloc(1, sizeof(int64_t));
  if (builder->vocabulary->start) return EPACT_OK;
  epact_release(builder->vocabulary);
  builder->vocabulary = NULL;
  return EPACT_E_NOMEM;
}

int epact_vocabulary_add(epact_vocabulary_builder *builder, const char *word, int64_t bytes)
{
  epact_vocabulary *vocabulary = builder->vocabulary;
  int64_t first = vocabulary->start[vocabulary->words];
  int code = EPACT_OK;
  if (vocabulary->words == builder->word_capacity) {
    builder->word_capacity = epact_next_capacity(builder->word_capacity);
    code = epact_grow(&vocabulary->start, (size_t)builder->word_capacity + 1, sizeof(int64_t));
  }
  if (!code && first + bytes > builder->text_capacity) {
    builder->text_capacity = epact_next_capacity(first + bytes);
    code = epact_grow(&vocabulary->text, (size_t)builder->text_capacity, 1);
  }
  if (code) return code;
  if (bytes) memcpy(vocabulary->text + first, word, (size_t)bytes);
  vocabulary->start[++vocabulary->words] = first + bytes;
  return EPACT_OK;
}

static int read_words(epact_source *source, epact_vocabulary_builder *builder)
{
  const char *c;
  int code;
  while ((code = epact_source_line(source, &c)) > 0) {
    c = epact_skip_blanks(c);
    const char *line_end = memchr(c, '\n', (size_t)(source->end - c)), *end = line_end;
    while (end > c && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t')) end--;
    if (end == c) return epact_source_expected(source, c, "a word");
    code = epact_vocabulary_add(builder, c, end - c);
    if (code) return code;
    epact_source_advance(source, line_end);
  }
  if (!code && !builder->vocabulary->words) return epact_source_expected(source, NULL, "a word a line");
  return code;
}

int epact_vocabulary_read(const char *path, epact_vocabulary **vocabulary)
{
  epact_source source;
  epact_vocabulary_builder builder;
  int code = epact_source_open(&source, path, EPACT_SHORT_LINE);
  if (code) return code;
  code = epact_vocabulary_start(&builder);
  if (!code) {
    code = read_words(&source, &builder);
    if (code)
      epact_release(builder.vocabulary);
    else
      *vocabulary = builder.vocabulary;
  }
  epact_source_close(&source);
  return code;
}
