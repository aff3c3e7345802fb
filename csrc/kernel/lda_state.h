/* The sampler's memory, for the lda_*.c files only.
 *
 * A word's row holds its non-zero counts, each `count << topic_bits | topic` in 32 bits, in any order,
 * without gaps. Slots from `length` to the capacity (a multiple of ROW_BLOCK) are 0: the sampler reads
 * whole blocks, and a zero entry weighs nothing.
 *
 * Rows are not kept sorted: a sort by count lets a scalar scan stop early, but here every entry is weighed
 * eight at a time before the draw, and swaps at each change would cost more than they save.
 */
#ifndef EPACT_KERNEL_LDA_STATE_H
#define EPACT_KERNEL_LDA_STATE_H

#include "../base/internal.h"
#include "lda.h"

#define ROW_BLOCK 8
#define NOT_FOUND UINT32_MAX
#define SMALL_COUNTS 1024

#define ALWAYS_INLINE static inline __attribute__((always_inline)) /* gcc inlines nothing less into clones */

typedef struct {
  int64_t start; /* in lda->entries */
  uint32_t length;
  uint32_t capacity;
} lda_row;

typedef struct {
  uint32_t *word, *topic;
  int32_t *delta;
  int64_t length, capacity;
} lda_changes;

struct epact_lda {
  int64_t documents, words, topics, tokens;
  double alpha, beta, beta_sum; /* beta_sum = words beta */
  int64_t first_document;
  uint64_t seed;
  bool record;
  int topic_bits;
  uint32_t topic_mask, count_limit;

  int32_t blocks;
  uint16_t *block; /* [words] of each word; NULL with one block */
  bool shares;     /* rows and entries are in the caller's memory */

  int64_t *token_start;  /* [documents + 1] */
  uint32_t *token_word;  /* [tokens + TOKEN_PADDING] */
  uint16_t *token_topic; /* [tokens] */

  lda_row *rows;     /* [words] */
  uint32_t *entries; /* all rows, each beginning at a multiple of ROW_BLOCK */
  int64_t entries_capacity;
  int64_t *total; /* [topics]: n_k */
  lda_changes changes;

  /* Scratch of the document being sampled, [topics] unless said; in_document is 0 between documents. */
  uint32_t *in_document;               /* n_dk */
  uint16_t *present, *place;           /* topics with n_dk > 0, and where each stands in that list */
  float *inverse, *inverse_less;       /* 1 / (n_k + beta_sum), and the same for n_k - 1 */
  float *coefficient;                  /* (n_dk + alpha) / (n_k + beta_sum) */
  float *cumulative;                   /* [topics up to a multiple of ROW_BLOCK] */
  double inverse_sum;                  /* sum of `inverse` */
  double log_rise_alpha[SMALL_COUNTS]; /* log Gamma(alpha + n) - log Gamma(alpha) */
  double log_rise_beta[SMALL_COUNTS];
};

#define TOKEN_PADDING 16 /* tokens that may be looked ahead at */

#define FIND_BLOCK 16

/** Where `topic` stands in the row, or NOT_FOUND. */
ALWAYS_INLINE uint32_t lda_row_find(const uint32_t *entry, uint32_t length, uint32_t mask, uint32_t topic)
{
  uint32_t i = 0;
  for (; i + FIND_BLOCK <= length; i += FIND_BLOCK) { /* whole blocks vectorise */
    uint32_t hit = 0;
    for (uint32_t lane = 0; lane < FIND_BLOCK; lane++) hit |= (entry[i + lane] & mask) == topic;
    if (hit) break;
  }
  for (; i < length; i++)
    if ((entry[i] & mask) == topic) return i;
  return NOT_FOUND;
}

/** Adds `amount` to the count at `position`; an entry whose count falls to 0 gives its place to the last. */
ALWAYS_INLINE void lda_row_subtract(lda_row *row, uint32_t *entry, int bits, uint32_t position, uint32_t amount)
{
  entry[position] -= amount << bits;
  if (entry[position] >> bits) return;
  uint32_t last = --row->length;
  entry[position] = entry[last];
  entry[last] = 0;
}

/** MISUSE, RANGE: the numbers among the options, and the shape of the arrays. */
int lda_check_options(const epact_lda_options *options);

/** Bits that hold a topic; *limit: the largest count in those left of 32. */
int lda_bits_of(int64_t topics, uint32_t *limit);

/** The arrays for tokens, rows and blocks, by options that were checked. */
int lda_lay_out(epact_lda *lda, const epact_lda_options *options);

/** Room for `extra` more changes. */
int lda_reserve_changes(epact_lda *lda, int64_t extra);

ALWAYS_INLINE void lda_record(lda_changes *changes, uint32_t word, uint32_t topic, int32_t delta)
{
  int64_t at = changes->length++;
  changes->word[at] = word;
  changes->topic[at] = topic;
  changes->delta[at] = delta;
}

/** n_wk += delta and n_k += delta, checked: CORRUPT, LIMIT. Word and topic are in range. */
int lda_add(epact_lda *lda, int64_t word, uint32_t topic, int64_t delta);

/** RANGE unless 0 <= first <= end <= documents. */
int lda_check_documents(const epact_lda *lda, const char *where, int64_t first, int64_t end);

/** table[n] = log Gamma(prior + n) - log Gamma(prior), [SMALL_COUNTS]. */
void lda_fill_log_rise(double *table, double prior);

/** MISUSE unless 0 <= block < blocks. */
int lda_check_block(const epact_lda *lda, const char *where, int64_t block);

/** Where the tokens of a block begin in a document; those of block + 1 begin where they end. */
int64_t lda_block_start(const epact_lda *lda, int64_t document, int64_t block);

/** One Gibbs pass over tokens from .. to - 1 of one document; the changes have room for two a token. */
void lda_sample_document(epact_lda *lda, int64_t document, int64_t from, int64_t to, epact_rng rng);

#endif
