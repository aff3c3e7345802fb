/* Files from anywhere, plain or gzip: each reader of data takes any bytes, and what it accepts is consistent.
 *
 * The first byte of an input chooses the reader and its options; the rest is the file. */
#include "harness.h"

#include "data/data.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

const char *const epact_fuzz_name = "readers";

enum { READERS = 7 };

static void check_starts(const int64_t *start, int64_t rows, int64_t count)
{
  HOLDS(start[0] == 0 && start[rows] == count);
  for (int64_t i = 0; i < rows; i++) HOLDS(start[i] <= start[i + 1]);
}

static void check_sparse(const epact_sparse *x, const epact_dense *labels)
{
  check_starts(x->start, x->rows, x->count);
  HOLDS(labels->rows == x->rows && labels->cols == 1);
  for (int64_t i = 0; i < x->rows; i++) {
    HOLDS(isfinite(labels->value[i]));
    for (int64_t k = x->start[i]; k < x->start[i + 1]; k++) {
      HOLDS(isfinite(x->value[k]) && (int64_t)x->index[k] < x->cols);
      HOLDS(k == x->start[i] || x->index[k - 1] < x->index[k]);
    }
  }
}

static void check_corpus(const epact_corpus *corpus)
{
  int64_t tokens = 0;
  check_starts(corpus->start, corpus->documents, corpus->pairs);
  for (int64_t k = 0; k < corpus->pairs; k++) {
    HOLDS((int64_t)corpus->word[k] < corpus->words && corpus->count[k] >= 1);
    tokens += corpus->count[k];
  }
  HOLDS(tokens == corpus->tokens);
}

static void check_vocabulary(const epact_vocabulary *words)
{
  check_starts(words->start, words->words, words->start[words->words]);
  HOLDS(!words->start[words->words] || !memchr(words->text, 0, (size_t)words->start[words->words]));
}

static int read_libsvm(const char *path, uint8_t how)
{
  epact_libsvm_options options = { how & 1, how & 2 ? 10 : 0 };
  epact_sparse *features = NULL;
  epact_dense *labels = NULL;
  int code = epact_libsvm_read(path, &options, &features, &labels);
  HOLDS(!code == (features != NULL) && !code == (labels != NULL));
  if (!code) check_sparse(features, labels);
  epact_release(features);
  epact_release(labels);
  return code;
}

static int read_corpus(const char *path)
{
  epact_corpus *corpus = NULL;
  int code = epact_corpus_read(path, &corpus);
  HOLDS(!code == (corpus != NULL));
  if (!code) check_corpus(corpus);
  epact_release(corpus);
  return code;
}

static int read_vocabulary(const char *path)
{
  epact_vocabulary *words = NULL;
  int code = epact_vocabulary_read(path, &words);
  HOLDS(!code == (words != NULL));
  if (!code) check_vocabulary(words);
  epact_release(words);
  return code;
}

static int read_ratings(const char *path, uint8_t how)
{
  epact_ratings_options options = {
    .base = how & 1, .users = how & 2 ? 10 : 0, .header = how % 3, .keep_duplicates = how & 4
  };
  epact_ratings *ratings = NULL;
  int code = epact_ratings_read(path, &options, &ratings);
  HOLDS(!code == (ratings != NULL));
  for (int64_t i = 0; !code && i < ratings->count; i++) {
    HOLDS((int64_t)ratings->user[i] < ratings->users && (int64_t)ratings->item[i] < ratings->items);
    HOLDS(isfinite(ratings->value[i]));
  }
  epact_release(ratings);
  return code;
}

static int read_edges(const char *path, uint8_t how)
{
  epact_edges_options options = { how & 1, how & 2 ? 10 : 0, how & 4 };
  epact_edges *edges = NULL;
  int code = epact_edges_read(path, &options, &edges);
  HOLDS(!code == (edges != NULL));
  for (int64_t i = 0; !code && i < edges->count; i++) {
    HOLDS((int64_t)edges->source[i] < edges->vertices && (int64_t)edges->target[i] < edges->vertices);
    HOLDS(!edges->weight || isfinite(edges->weight[i]));
  }
  epact_release(edges);
  return code;
}

static int read_csv(const char *path, uint8_t how)
{
  epact_csv_options options = { how & 1 ? ',' : 0, how % 3 };
  epact_dense *table = NULL;
  epact_vocabulary *names = NULL;
  int code = epact_csv_read(path, &options, &table, &names);
  HOLDS(!code == (table != NULL) && !code == (names != NULL));
  for (int64_t i = 0; !code && i < table->rows * table->cols; i++) HOLDS(isfinite(table->value[i]));
  if (!code) check_vocabulary(names);
  epact_release(table);
  epact_release(names);
  return code;
}

static int read_text(const char *path, uint8_t how)
{
  epact_text_options options = { how & 1, how & 2 ? 0.5 : 1, how & 4 ? 3 : 1, how & 8 ? "the and" : NULL };
  epact_corpus *corpus = NULL;
  epact_vocabulary *words = NULL;
  int code = epact_text_read(path, &options, &corpus, &words);
  HOLDS(!code == (corpus != NULL) && !code == (words != NULL));
  if (!code) {
    check_corpus(corpus);
    check_vocabulary(words);
    HOLDS(corpus->words == words->words);
  }
  epact_release(corpus);
  epact_release(words);
  return code;
}

static int read_any(const char *path, uint8_t choice)
{
  uint8_t how = choice / READERS;
  switch (choice % READERS) {
  case 0:
    return read_libsvm(path, how);
  case 1:
    return read_corpus(path);
  case 2:
    return read_vocabulary(path);
  case 3:
    return read_ratings(path, how);
  case 4:
    return read_edges(path, how);
  case 5:
    return read_csv(path, how);
  default:
    return read_text(path, how);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
  char path[64];
  if (!bytes) return 0;
  int file = memfd_create("epact-fuzz", MFD_CLOEXEC);
  HOLDS(file >= 0 && write(file, data + 1, bytes - 1) == (ssize_t)(bytes - 1));
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  int code = read_any(path, data[0]);
  HOLDS(code <= 0 && (!code || *epact_error_message()));
  close(file);
  return 0;
}

void epact_fuzz_seed(const char *folder)
{
  static const struct {
    const char *name, *text;
  } files[] = {
    { "libsvm", "\007+1 1:0.5 3:1e-3 # two\n-1 2:1\n\n+1 3:2.5\n" },
    { "corpus", "\0012\n3\n3\n1 1 2\n1 3 1\n2 2 3\n" },
    { "vocabulary", "\002one\ntwo\nthree\n" },
    { "ratings", "\003user::item::rating::time\n0::1::3.5::978300760\n2::0::1::9\n" },
    { "edges", "\004# weighted\n0 1 0.5\n1\t2\t1.5\n2 0 -2.5e1\n" },
    { "csv", "\005\"a\",b,c\r\n1,2,3\r\n4,5.5,-6e-7\r\n" },
    { "text", "\006The cat and the hat\n\xc3\xa9t\xc3\xa9 hat, hat cat\n\nhouse\n" },
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    epact_fuzz_write(folder, files[i].name, files[i].text, strlen(files[i].text));
  unsigned char packed[256] = { 2 }; /* the reader of words */
  z_stream stream = {
    .next_in = (unsigned char *)"one\ntwo\n", .avail_in = 8, .next_out = packed + 1, .avail_out = 255
  };
  HOLDS(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  HOLDS(deflate(&stream, Z_FINISH) == Z_STREAM_END && deflateEnd(&stream) == Z_OK);
  epact_fuzz_write(folder, "gzip", packed, 256 - stream.avail_out);
}
