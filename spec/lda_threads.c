/* Two threads whose samplers share the counts of an LDA, on different blocks of words in each round. They share no
 * memory that one of them changes meanwhile, which is the thread sanitizer's to say; and the topics are those of one
 * thread that does the work of both. */
#include "kernel/kernel.h"

#include "base/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 2, BLOCKS = 3, WORDS = 90, TOPICS = 12, DOCUMENTS = 40, LENGTH = 60, ROUNDS = 15 };
enum { TOKENS = DOCUMENTS * LENGTH };

typedef struct {
  epact_lda *lda;
  int64_t round;
  int number, code;
} job;

static uint32_t word[THREADS][TOKENS];
static int64_t start[DOCUMENTS + 1], word_tokens[WORDS];
static uint16_t block[WORDS];
static int failures;

static void expect(bool held, const char *what)
{
  if (held) return;
  failures++;
  fprintf(stderr, "lda_threads: %s (%s)\n", what, epact_error_message());
}

static void make_corpus(void)
{
  epact_rng rng = epact_rng_stream(3, 0, 0);
  for (int d = 0; d <= DOCUMENTS; d++) start[d] = (int64_t)d * LENGTH;
  for (int w = 0; w < WORDS; w++) block[w] = (uint16_t)(w / 4 % BLOCKS); /* rows of four share a line of the cache */
  for (int t = 0; t < THREADS; t++)
    for (int i = 0; i < TOKENS; i++) {
      word[t][i] = (uint32_t)epact_rng_below(&rng, WORDS);
      word_tokens[word[t][i]]++;
    }
}

static epact_lda_options options_of(int number, void *shared)
{
  return (epact_lda_options){ .documents = DOCUMENTS,
                              .start = start,
                              .word = word[number],
                              .words = WORDS,
                              .topics = TOPICS,
                              .alpha = 0.5,
                              .beta = 0.1,
                              .word_tokens = word_tokens,
                              .first_document = (int64_t)number * DOCUMENTS,
                              .seed = 5,
                              .blocks = BLOCKS,
                              .block = block,
                              .shared = shared,
                              .lay_out = number == 0 };
}

/* A round: the first topics, then passes, always of another block than the other thread's. */
static void *sample(void *context)
{
  job *j = context;
  const int64_t own = (j->number + j->round) % BLOCKS, sweep = j->round / BLOCKS - 1;
  j->code = sweep < 0 ? epact_lda_start_block(j->lda, 0, DOCUMENTS, own)
                      : epact_lda_sweep_block(j->lda, 0, DOCUMENTS, own, sweep);
  return NULL;
}

/* After a round each knows what both have changed. */
static void sum_totals(job *jobs, int64_t *total)
{
  int64_t sum[TOPICS];
  for (int k = 0; k < TOPICS; k++) {
    sum[k] = total[k];
    for (int t = 0; t < THREADS; t++) sum[k] += epact_lda_totals(jobs[t].lda)[k] - total[k];
  }
  memcpy(total, sum, sizeof sum);
  for (int t = 0; t < THREADS; t++) expect(epact_lda_set_totals(jobs[t].lda, total) == EPACT_OK, "totals");
}

static void run(bool together, uint16_t topics[THREADS][TOKENS])
{
  epact_lda_options options = options_of(0, NULL);
  const int64_t bytes = epact_lda_shared_bytes(&options);
  void *shared = epact_block_new((size_t)bytes);
  job jobs[THREADS];
  int64_t total[TOPICS] = { 0 };
  expect(bytes > 0 && shared, "shared counts");
  for (int t = 0; t < THREADS; t++) {
    options = options_of(t, shared);
    jobs[t] = (job){ .lda = epact_lda_new(&options), .number = t };
    expect(jobs[t].lda != NULL, "sampler");
    if (!jobs[t].lda) exit(1);
  }
  for (int64_t round = 0; round < ROUNDS; round++) {
    pthread_t thread[THREADS];
    for (int t = 0; t < THREADS; t++) {
      jobs[t].round = round;
      if (together)
        expect(!pthread_create(&thread[t], NULL, sample, &jobs[t]), "thread");
      else
        sample(&jobs[t]);
    }
    for (int t = 0; t < THREADS; t++) {
      if (together) pthread_join(thread[t], NULL);
      expect(jobs[t].code == EPACT_OK, "round");
    }
    sum_totals(jobs, total);
  }
  for (int t = 0; t < THREADS; t++) {
    expect(epact_lda_check(jobs[t].lda) == EPACT_OK, "counts and topics agree");
    memcpy(topics[t], epact_lda_topics(jobs[t].lda), sizeof topics[t]);
    epact_release(jobs[t].lda);
  }
  epact_release(shared);
}

int main(void)
{
  static uint16_t alone[THREADS][TOKENS], together[THREADS][TOKENS];
  make_corpus();
  run(false, alone);
  run(true, together);
  expect(!memcmp(alone, together, sizeof alone), "the topics of two threads are those of one");
  if (!failures) printf("lda_threads: %d tokens, %d rounds of two threads\n", THREADS * TOKENS, ROUNDS);
  return failures > 0;
}
