/* A document a line, tokenised and counted.
 *
 * One pass gives every word an id in the order of first use and counts it in each document; then the vocabulary is
 * cut and sorted, and the counts are renumbered in place. */
#include "dictionary.h"
#include "letters.h"
#include "source.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST_WORD 64 /* characters; UTF-8 has at most four bytes each */

typedef struct {
  char text[4 * LONGEST_WORD];
  int64_t bytes, characters; /* characters > LONGEST_WORD: too long to be a word */
  uint64_t hash;
} token;

typedef struct {
  epact_source source;
  epact_dictionary dictionary;
  epact_corpus *corpus;
  epact_text_options options;
  int64_t stop_words;  /* ids below this are stop words */
  int64_t *place;      /* [word_capacity] the last pair of each word, or -1 */
  uint32_t *documents; /* [word_capacity] how many documents have the word */
  uint32_t *new_id;    /* [words] in the vocabulary at the end, or DROPPED */
  int64_t document_capacity, pair_capacity, word_capacity;
} reader;

#define DROPPED UINT32_MAX

static inline void append(token *t, unsigned char byte)
{
  if (EPACT_UNLIKELY(t->bytes == sizeof t->text)) {
    t->characters = LONGEST_WORD + 1;
    return;
  }
  t->text[t->bytes++] = (char)byte;
  t->hash = epact_hash_byte(t->hash, byte);
}

/* The letters from `c` on, lower-cased; returns the character behind them. */
static const char *scan_word(const char *text, token *t)
{
  const unsigned char *c = (const unsigned char *)text;
  t->bytes = t->characters = 0;
  t->hash = EPACT_HASH_START;
  for (;; c++) {
    unsigned char lower = *c | 0x20;
    if (EPACT_LIKELY((unsigned char)(lower - 'a') < 26)) {
      append(t, lower);
      t->characters++;
    } else if (*c > 127 && !epact_symbol_length(c)) {
      append(t, *c);
      t->characters += !epact_is_continuation(*c);
    } else {
      return (const char *)c;
    }
  }
}

/* From something that is no letter to the next character. */
static const char *skip_symbol(const char *c)
{
  return c + ((unsigned char)*c > 127 ? epact_symbol_length((const unsigned char *)c) : 1);
}

static int grow_words(reader *r, int64_t id)
{
  if (id < r->word_capacity) return EPACT_OK;
  int64_t capacity = epact_next_capacity(id + 1);
  int code = epact_grow(&r->place, (size_t)capacity, sizeof *r->place);
  if (!code) code = epact_grow(&r->documents, (size_t)capacity, sizeof *r->documents);
  if (code) return code;
  for (int64_t i = r->word_capacity; i < capacity; i++) {
    r->place[i] = -1;
    r->documents[i] = 0;
  }
  r->word_capacity = capacity;
  return EPACT_OK;
}

static int add_pair(reader *r, int64_t id)
{
  epact_corpus *corpus = r->corpus;
  if (corpus->pairs == r->pair_capacity) {
    r->pair_capacity = epact_next_capacity(r->pair_capacity);
    int code = epact_grow(&corpus->word, (size_t)r->pair_capacity, sizeof(uint32_t));
    if (!code) code = epact_grow(&corpus->count, (size_t)r->pair_capacity, sizeof(uint32_t));
    if (code) return code;
  }
  r->place[id] = corpus->pairs;
  r->documents[id]++;
  corpus->word[corpus->pairs] = (uint32_t)id;
  corpus->count[corpus->pairs++] = 1;
  return EPACT_OK;
}

static int count_word(reader *r, const token *t)
{
  epact_corpus *corpus = r->corpus;
  if (t->characters < r->options.min_length || t->characters > LONGEST_WORD) return EPACT_OK;
  int64_t id = epact_dictionary_id(&r->dictionary, t->text, t->bytes, t->hash);
  if (id < 0) return (int)id;
  if (id < r->stop_words) return EPACT_OK;
  int code = grow_words(r, id);
  if (code) return code;
  if (r->place[id] < corpus->start[corpus->documents]) return add_pair(r, id);
  if (corpus->count[r->place[id]] == UINT32_MAX)
    return epact_fail(EPACT_E_LIMIT, "%s:%lld: a word occurs more than 2^32 - 1 times", r->source.path,
                      (long long)r->source.line);
  corpus->count[r->place[id]]++;
  return EPACT_OK;
}

static int read_document(reader *r, const char *c)
{
  epact_corpus *corpus = r->corpus;
  token t;
  if (corpus->documents == UINT32_MAX - 1) return epact_fail(EPACT_E_LIMIT, "a corpus has at most 2^32 - 2 documents");
  if (corpus->documents == r->document_capacity) {
    r->document_capacity = epact_next_capacity(r->document_capacity);
    int code = epact_grow(&corpus->start, (size_t)r->document_capacity + 1, sizeof(int64_t));
    if (code) return code;
  }
  corpus->start[corpus->documents] = corpus->pairs;
  while (*c != '\n') {
    const char *behind = scan_word(c, &t);
    int code = behind > c ? count_word(r, &t) : EPACT_OK;
    if (code) return code;
    c = *behind == '\n' ? behind : skip_symbol(behind);
  }
  corpus->documents++;
  epact_source_advance(&r->source, c);
  return EPACT_OK;
}

/* Stop words get the first ids. */
static int add_stop_words(reader *r)
{
  const char *c = r->options.stop_words ? r->options.stop_words : "";
  token t;
  while (*c) {
    const char *behind = scan_word(c, &t);
    if (behind > c) {
      int64_t id = epact_dictionary_id(&r->dictionary, t.text, t.bytes, t.hash);
      if (id < 0) return (int)id;
    }
    c = *behind ? skip_symbol(behind) : behind;
  }
  r->stop_words = r->dictionary.words.vocabulary->words;
  return EPACT_OK;
}

static int read_documents(reader *r)
{
  const char *c;
  int code = add_stop_words(r);
  if (code) return code;
  while ((code = epact_source_line(&r->source, &c)) > 0)
    if ((code = read_document(r, c))) return code;
  if (code) return code;
  if (!r->corpus->documents) return epact_source_expected(&r->source, NULL, "a document a line");
  r->corpus->start[r->corpus->documents] = r->corpus->pairs;
  return EPACT_OK;
}

typedef struct {
  const char *text;
  uint32_t bytes, id;
} entry;

static int compare_entries(const void *left, const void *right)
{
  const entry *a = left, *b = right;
  int order = memcmp(a->text, b->text, a->bytes < b->bytes ? a->bytes : b->bytes);
  return order ? order : a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

static bool is_kept(const reader *r, int64_t id)
{
  double documents = r->documents[id], most = r->options.max_share * (double)r->corpus->documents;
  return documents >= (double)r->options.min_documents && documents <= most * (1 + 1e-12); /* 0.29 * 100 < 29 */
}

/* The words that stay, in byte order; r->new_id tells where each went. */
static int cut_vocabulary(reader *r, epact_vocabulary_builder *kept)
{
  const epact_vocabulary *words = r->dictionary.words.vocabulary;
  int64_t count = 0;
  int code = EPACT_OK;
  entry *sorted = epact_calloc((size_t)words->words, sizeof *sorted);
  r->new_id = epact_malloc((size_t)words->words * sizeof *r->new_id);
  if (!sorted || !r->new_id) code = EPACT_E_NOMEM;
  for (int64_t id = 0; id < words->words && !code; id++) {
    r->new_id[id] = DROPPED;
    if (id < r->stop_words || !is_kept(r, id)) continue;
    sorted[count++] =
        (entry){ words->text + words->start[id], (uint32_t)(words->start[id + 1] - words->start[id]), (uint32_t)id };
  }
  if (!code && count) qsort(sorted, (size_t)count, sizeof *sorted, compare_entries);
  for (int64_t i = 0; i < count && !code; i++) {
    r->new_id[sorted[i].id] = (uint32_t)i;
    code = epact_vocabulary_add(kept, sorted[i].text, sorted[i].bytes);
  }
  free(sorted);
  r->corpus->words = count;
  return code;
}

static int compare_numbers(const void *left, const void *right)
{
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

/* Drops and renumbers the words of each document, in place, in increasing order. */
static int renumber(reader *r)
{
  epact_corpus *corpus = r->corpus;
  int64_t longest = 0, pairs = 0, first = 0;
  for (int64_t document = 0; document < corpus->documents; document++) {
    int64_t length = corpus->start[document + 1] - corpus->start[document];
    if (length > longest) longest = length;
  }
  uint64_t *packed = epact_malloc((size_t)longest * sizeof *packed); /* word, then count */
  if (!packed) return EPACT_E_NOMEM;
  for (int64_t document = 0; document < corpus->documents; document++) {
    int64_t end = corpus->start[document + 1], length = 0;
    for (int64_t k = first; k < end; k++) {
      uint32_t word = r->new_id[corpus->word[k]];
      if (word != DROPPED) packed[length++] = (uint64_t)word << 32 | corpus->count[k];
    }
    qsort(packed, (size_t)length, sizeof *packed, compare_numbers);
    corpus->start[document] = pairs;
    for (int64_t i = 0; i < length; i++, pairs++) {
      corpus->word[pairs] = (uint32_t)(packed[i] >> 32);
      corpus->count[pairs] = (uint32_t)packed[i];
      corpus->tokens += corpus->count[pairs];
    }
    first = end;
  }
  corpus->start[corpus->documents] = corpus->pairs = pairs;
  free(packed);
  return EPACT_OK;
}

static int finish(reader *r, epact_vocabulary_builder *kept)
{
  epact_corpus *corpus = r->corpus;
  int64_t found = r->dictionary.words.vocabulary->words - r->stop_words;
  int code = cut_vocabulary(r, kept);
  if (code) return code;
  if (!corpus->words)
    return epact_fail(EPACT_E_PARSE, "%s: expected words of %lld to %.0f of the %lld documents, found none among %lld",
                      r->source.path, (long long)r->options.min_documents,
                      r->options.max_share * (double)corpus->documents, (long long)corpus->documents, (long long)found);
  code = renumber(r);
  if (!code) code = epact_grow(&corpus->start, (size_t)corpus->documents + 1, sizeof(int64_t));
  if (!code) code = epact_grow(&corpus->word, (size_t)corpus->pairs, sizeof(uint32_t));
  return code ? code : epact_grow(&corpus->count, (size_t)corpus->pairs, sizeof(uint32_t));
}

static int read_text(reader *r, epact_vocabulary_builder *kept)
{
  int code = epact_dictionary_start(&r->dictionary);
  if (code) return code;
  r->corpus = epact_corpus_empty();
  code = r->corpus ? read_documents(r) : EPACT_E_NOMEM;
  if (!code) code = finish(r, kept);
  epact_dictionary_end(&r->dictionary);
  free(r->place);
  free(r->documents);
  free(r->new_id);
  return code;
}

int epact_text_read(const char *path, const epact_text_options *options, epact_corpus **corpus,
                    epact_vocabulary **vocabulary)
{
  static const epact_text_options defaults = { .min_documents = 2, .max_share = 0.5, .min_length = 3 };
  reader r = { .options = options ? *options : defaults };
  epact_vocabulary_builder kept;
  int code = epact_source_open(&r.source, path, EPACT_LONG_LINE);
  if (code) return code;
  code = epact_vocabulary_start(&kept);
  if (!code) code = read_text(&r, &kept);
  epact_source_close(&r.source);
  if (!code) {
    *corpus = r.corpus;
    *vocabulary = kept.vocabulary;
  } else {
    epact_release(r.corpus);
    epact_release(kept.vocabulary);
  }
  return code;
}
