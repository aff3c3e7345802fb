/* The readers of data and what kernels allocate, under faults. */
#ifndef EPACT_SPEC_FAULTS_READERS_H
#define EPACT_SPEC_FAULTS_READERS_H

#include "sweep.h"

#include <zlib.h>

static void put_text(const char *path, const char *text)
{
  gzFile file = gzopen(path, strstr(path, ".gz") ? "wb" : "wbT");
  EXPECT(file && gzputs(file, text) > 0 && gzclose(file) == Z_OK, "%s can be made", path);
}

static int read_libsvm(void)
{
  epact_sparse *features = NULL, *columns = NULL;
  epact_dense *labels = NULL;
  int code = epact_libsvm_read("data.svm", NULL, &features, &labels);
  if (!code) EXPECT(features->rows == 3 && features->count == 4 && labels->value[1] < 0, "three rows");
  if (!code) code = epact_sparse_transpose(features, 0, features->cols, &columns);
  epact_release(columns);
  epact_release(features);
  epact_release(labels);
  return code;
}

/* Splitting a column off gives memory back, which may fail without harm. */
static int read_csv(void)
{
  epact_dense *table = NULL, *transpose = NULL, *last = NULL;
  epact_vocabulary *names = NULL;
  int code = epact_csv_read("data.csv.gz", NULL, &table, &names);
  if (!code) EXPECT(table->rows == 2 && table->cols == 3 && names->words == 3, "two rows of three");
  if (!code) code = epact_dense_transpose(table, 0, table->cols, &transpose);
  if (!code) code = epact_dense_split(table, 2, &last);
  epact_release(table);
  epact_release(names);
  epact_release(transpose);
  epact_release(last);
  return code;
}

static int read_corpus(void)
{
  epact_corpus *corpus = NULL;
  epact_vocabulary *words = NULL;
  int code = epact_corpus_read("docword.txt.gz", &corpus);
  if (!code) EXPECT(corpus->documents == 2 && corpus->tokens == 6, "two documents");
  if (!code) code = epact_vocabulary_read("vocab.txt", &words);
  epact_release(corpus);
  epact_release(words);
  return code;
}

static int read_ratings(void)
{
  epact_ratings *ratings = NULL;
  int code = epact_ratings_read("ratings.tsv", NULL, &ratings);
  if (!code) EXPECT(ratings->count == 3 && ratings->users == 3, "three ratings");
  epact_release(ratings);
  return code;
}

static int read_edges(void)
{
  epact_edges *edges = NULL;
  int code = epact_edges_read("edges.txt", NULL, &edges);
  if (!code) EXPECT(edges->count == 3 && edges->weight[2] > 2, "three edges");
  epact_release(edges);
  return code;
}

static int read_text(void)
{
  static const epact_text_options options = { 1, 1, 3, "the and" };
  epact_corpus *corpus = NULL;
  epact_vocabulary *words = NULL;
  int code = epact_text_read("text.txt", &options, &corpus, &words);
  if (!code) EXPECT(corpus->documents == 3 && words->words == 4, "three documents of four words");
  epact_release(corpus);
  epact_release(words);
  return code;
}

/* A library of topics over the corpus; what it allocates as it goes, too. */
static int sample_topics(void)
{
  epact_corpus *corpus = NULL;
  int code = epact_corpus_new(4, 5, 12, &corpus);
  if (code) return code;
  for (int64_t i = 0; i < 12; i++) {
    corpus->word[i] = (uint32_t)(i % 3 + i / 3 % 2);
    corpus->count[i] = 20;
    corpus->start[i / 3 + 1] = i + 1;
  }
  corpus->tokens = 240;
  const epact_lda_options options = { .documents = 4,
                                      .words = 5,
                                      .topics = 3,
                                      .start = corpus->start,
                                      .word = corpus->word,
                                      .count = corpus->count,
                                      .alpha = 0.5,
                                      .beta = 0.5,
                                      .seed = 1,
                                      .record = 1 };
  epact_lda *lda = epact_lda_new(&options);
  code = lda ? epact_lda_start(lda, 0, 4) : epact_error_code();
  for (int sweeps = 0; sweeps < 2 && !code; sweeps++) code = epact_lda_sweep(lda, 0, 4, sweeps);
  if (!code) code = epact_lda_check(lda);
  epact_release(lda);
  epact_release(corpus);
  return code;
}

static void play_readers(void)
{
  static const scene files[] = {
    { "libsvm", read_libsvm, NULL, 1, false },       { "csv, gzip", read_csv, NULL, 1, true },
    { "bag of words", read_corpus, NULL, 1, false }, { "ratings", read_ratings, NULL, 1, false },
    { "edges", read_edges, NULL, 1, false },         { "text", read_text, NULL, 1, false }
  };
  static const scene topics = { "topics", sample_topics, NULL, 1, false };
  put_text("data.svm", "+1 1:0.5 3:1\n-1 2:1\n+1 3:2.5\n");
  put_text("data.csv.gz", "a,b,c\n1,2,3\n4,5,6\n");
  put_text("docword.txt.gz", "2\n3\n3\n1 1 2\n1 3 1\n2 2 3\n");
  put_text("vocab.txt", "one\ntwo\nthree\n");
  put_text("ratings.tsv", "0\t1\t3.5\n2\t0\t1\n1\t1\t4\n");
  put_text("edges.txt", "# weighted\n0 1 0.5\n1 2 1.5\n2 0 2.5\n");
  put_text("text.txt", "the cat and the hat\nhat hat cat mouse\nhouse of the mouse\n");
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    sweep(&files[i], EPACT_FAULT_MALLOC);
    sweep(&files[i], EPACT_FAULT_READ);
    sweep(&files[i], EPACT_FAULT_SHORT);
    sweep(&files[i], EPACT_FAULT_OPEN);
  }
  sweep(&topics, EPACT_FAULT_MALLOC);
}

#endif
