/* UCI bag of words, read and written. */
#include "object.h"
#include "source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct {
  epact_source source;
  epact_corpus *corpus;
  int64_t announced, capacity; /* pairs */
  int64_t document;            /* whose pairs are being read; -1 before the first */
  int64_t previous;            /* its largest word, while they increase; after that, no word is larger */
  uint32_t *seen;              /* [words] the last document of disordered words that had it, plus 1 */
} reader;

/* The next line that is not blank. */
static int next_line(epact_source *source, const char **line)
{
  for (;;) {
    int code = epact_source_line(source, line);
    if (code <= 0) return code;
    *line = epact_skip_blanks(*line);
    if (EPACT_LIKELY(!epact_at_line_end(*line))) return 1;
    epact_source_advance(source, *line);
  }
}

static int read_size(epact_source *source, const char *what, int64_t most, int64_t *size)
{
  const char *c;
  int code = next_line(source, &c);
  if (code < 0) return code;
  const char *behind = code ? epact_scan_integer(c, size) : NULL;
  if (!behind || *size > most)
    return epact_source_expected(source, code ? c : NULL, "the number of %s (at most %lld)", what, (long long)most);
  return epact_source_finish_line(source, behind);
}

static int read_header(reader *r)
{
  epact_corpus *corpus = r->corpus;
  int code = read_size(&r->source, "documents", UINT32_MAX - 1, &corpus->documents);
  if (!code) code = read_size(&r->source, "words", UINT32_MAX, &corpus->words);
  if (!code) code = read_size(&r->source, "pairs", INT64_MAX, &r->announced);
  if (code) return code;
  corpus->start = epact_calloc((size_t)corpus->documents + 1, sizeof *corpus->start);
  return corpus->start ? EPACT_OK : EPACT_E_NOMEM;
}

/* Grows with what the file has, not with what it announces. */
static int grow(reader *r)
{
  r->capacity = epact_next_capacity(r->capacity);
  if (r->capacity > r->announced) r->capacity = r->announced;
  int code = epact_grow(&r->corpus->word, (size_t)r->capacity, sizeof(uint32_t));
  return code ? code : epact_grow(&r->corpus->count, (size_t)r->capacity, sizeof(uint32_t));
}

/* A word not above its predecessor: from here on, the words of this document are marked. */
static int check_disordered(reader *r, const char *at, int64_t word)
{
  epact_corpus *corpus = r->corpus;
  uint32_t mark = (uint32_t)r->document + 1;
  if (!r->seen && !(r->seen = epact_calloc((size_t)corpus->words, sizeof *r->seen))) return EPACT_E_NOMEM;
  if (r->previous < corpus->words) {
    for (int64_t k = corpus->start[r->document]; k < corpus->pairs; k++) r->seen[corpus->word[k]] = mark;
    r->previous = corpus->words;
  }
  if (r->seen[word] == mark)
    return epact_source_expected(&r->source, at, "a word that document %lld does not have yet",
                                 (long long)r->document + 1);
  r->seen[word] = mark;
  return EPACT_OK;
}

static int refuse_document(const reader *r, const char *at)
{
  return epact_source_expected(&r->source, at, "a document in %lld .. %lld (documents are in order)",
                               (long long)(r->document < 0 ? 1 : r->document + 1), (long long)r->corpus->documents);
}

/* `document word count` at `c`, of which all but the first is left to read. */
static int read_pair(reader *r, const char *c, const char *behind)
{
  epact_corpus *corpus = r->corpus;
  int64_t word, count;
  c = epact_skip_blanks(behind);
  behind = epact_scan_integer(c, &word);
  word--;
  if (EPACT_UNLIKELY(!behind || word < 0 || word >= corpus->words))
    return epact_source_expected(&r->source, c, "a word in 1 .. %lld", (long long)corpus->words);
  if (EPACT_LIKELY(word > r->previous)) {
    r->previous = word;
  } else {
    int code = check_disordered(r, c, word);
    if (code) return code;
  }
  c = epact_skip_blanks(behind);
  behind = epact_scan_integer(c, &count);
  if (EPACT_UNLIKELY(!behind || count < 1 || count > UINT32_MAX))
    return epact_source_expected(&r->source, c, "a count in 1 .. %lld", (long long)UINT32_MAX);
  if (EPACT_UNLIKELY(corpus->pairs == r->capacity)) {
    int code = grow(r);
    if (code) return code;
  }
  corpus->word[corpus->pairs] = (uint32_t)word;
  corpus->count[corpus->pairs++] = (uint32_t)count;
  corpus->tokens += count;
  return epact_source_finish_line(&r->source, behind);
}

static int read_pairs(reader *r)
{
  epact_corpus *corpus = r->corpus;
  const char *c;
  int code;
  r->document = -1;
  while ((code = next_line(&r->source, &c)) > 0) {
    int64_t document;
    const char *behind = epact_scan_integer(c, &document);
    if (EPACT_UNLIKELY(corpus->pairs == r->announced))
      return epact_source_expected(&r->source, c, "the end of the file after %lld pairs", (long long)r->announced);
    document--;
    if (EPACT_UNLIKELY(!behind || document < 0 || document < r->document || document >= corpus->documents))
      return refuse_document(r, c);
    if (document > r->document) {
      while (r->document < document) corpus->start[++r->document] = corpus->pairs;
      r->previous = -1;
    }
    code = read_pair(r, c, behind);
    if (EPACT_UNLIKELY(code)) return code;
  }
  if (code) return code;
  if (corpus->pairs < r->announced)
    return epact_source_expected(&r->source, NULL, "%lld pairs (there are %lld)", (long long)r->announced,
                                 (long long)corpus->pairs);
  while (r->document < corpus->documents) corpus->start[++r->document] = corpus->pairs;
  return EPACT_OK;
}

int epact_corpus_read(const char *path, epact_corpus **corpus)
{
  reader r = { 0 };
  int code = epact_source_open(&r.source, path, EPACT_SHORT_LINE);
  if (code) return code;
  r.corpus = epact_corpus_empty();
  code = r.corpus ? read_header(&r) : EPACT_E_NOMEM;
  if (!code) code = read_pairs(&r);
  epact_source_close(&r.source);
  free(r.seen);
  if (code)
    epact_release(r.corpus);
  else
    *corpus = r.corpus;
  return code;
}

static int write_pairs(const epact_corpus *corpus, gzFile file)
{
  int wrote = gzprintf(file, "%lld\n%lld\n%lld\n", (long long)corpus->documents, (long long)corpus->words,
                       (long long)(corpus->start[corpus->documents] - corpus->start[0]));
  for (int64_t document = 0; document < corpus->documents && wrote > 0; document++)
    for (int64_t k = corpus->start[document]; k < corpus->start[document + 1] && wrote > 0; k++)
      wrote =
          gzprintf(file, "%lld %lld %u\n", (long long)document + 1, (long long)corpus->word[k] + 1, corpus->count[k]);
  return wrote > 0 ? EPACT_OK : EPACT_E_IO;
}

int epact_corpus_write(const epact_corpus *corpus, const char *path)
{
  size_t length = strlen(path);
  bool packed = length > 3 && !strcmp(path + length - 3, ".gz");
  errno = 0;
  gzFile file = gzopen(path, packed ? "wb" : "wbT");
  if (!file) return epact_fail(EPACT_E_IO, "cannot open %s: %s", path, strerror(errno ? errno : ENOMEM));
  gzbuffer(file, 1 << 17);
  int code = write_pairs(corpus, file);
  int error = errno;
  if (gzclose(file) != Z_OK && !code) {
    code = EPACT_E_IO;
    error = errno;
  }
  if (!code) return EPACT_OK;
  return epact_fail(EPACT_E_IO, "cannot write %s: %s", path, strerror(error));
}
