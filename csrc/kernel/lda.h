/* Latent Dirichlet allocation: the exact collapsed Gibbs sampler, for one worker's documents.
 *
 *   p(z = k | rest)  ~  (n_dk + alpha) (n_wk + beta) / (n_k + words beta)
 *
 * with the token itself taken out of the document-topic counts n_dk, the word-topic counts n_wk and the
 * topic totals n_k. The worker owns its documents and a replica of n_wk; what other workers did to
 * n_wk arrives through epact_lda_apply, what this one did leaves through epact_lda_changes. One
 * thread at a time may use a sampler. Documents, words and topics are numbered from 0; a document is
 * given by its place in this worker's part.
 *
 * Or the words are dealt to blocks, and samplers of one process share n_wk: those that work on different blocks at the
 * same time never touch the same row, and only n_k is each one's own (epact_lda_set_totals), as in the model-parallel
 * schedule of Lee et al. (STRADS, 2014). Then tokens stand by block within their document.
 */
#ifndef EPACT_KERNEL_LDA_H
#define EPACT_KERNEL_LDA_H

#include "../base/base.h"

enum {
  EPACT_LDA_MAX_TOPICS = 65535,
  EPACT_LDA_NO_TOPIC = 65535 /* the topic of a token that was never sampled */
};

typedef struct epact_lda epact_lda;

typedef struct {
  int64_t documents;
  const int64_t *start;       /* [documents + 1]: where a document's pairs begin */
  const uint32_t *word;       /* [start[documents]]: word of a pair, < words */
  const uint32_t *count;      /* [start[documents]]: tokens of a pair; NULL: one each */
  int64_t words;              /* size of the vocabulary, >= 1 */
  int64_t topics;             /* 1 .. EPACT_LDA_MAX_TOPICS */
  double alpha;               /* prior of each topic in a document, > 0: one topic's share, not the sum */
  double beta;                /* prior of each word in a topic, > 0 */
  const int64_t *word_tokens; /* [words]: tokens in the whole corpus of all workers; NULL: this worker's own */
  int64_t first_document;     /* global number of document 0 */
  uint64_t seed;
  int32_t record;        /* not 0: keep the changes of n_wk for epact_lda_changes */
  int32_t blocks;        /* 0 or 1: all words are of block 0; at most 65535 */
  const uint16_t *block; /* [words]: the block of each, < blocks; copied */
  void *shared;          /* epact_lda_shared_bytes of memory, 64-byte aligned, zeros at first: n_wk lives there, and
                          * must stay until the sampler is released; NULL: the sampler has its own */
  int32_t lay_out;       /* not 0: this sampler lays out `shared`, before others with the same words use it */
} epact_lda_options;

/** A sampler over copies of the documents, every token without a topic and every count 0; released
 * with epact_release. Random numbers come from stream (seed, global document, sweep), so that they do not
 * depend on who holds a document. NULL with a sentence: MISUSE and RANGE for bad options, NOMEM, LIMIT for
 * a word with more than 2^(32 - b) - 1 tokens (b bits hold a topic; 4.2 million tokens at 1000 topics). */
EPACT_API epact_lda *epact_lda_new(const epact_lda_options *options);

/** Bytes of n_wk for `shared`, from words, topics and word_tokens (not NULL). Negative: MISUSE, LIMIT. */
EPACT_API int64_t epact_lda_shared_bytes(const epact_lda_options *options);

/** Gives the tokens of documents [first, end) independent uniform topics, for tokens that have none. Without
 * this call the first sweep gives each token a topic given those drawn before it (a sequential start), which
 * reaches the typical set sooner, but makes workers that never exchanged a change name topics differently. */
EPACT_API int epact_lda_start(epact_lda *lda, int64_t first, int64_t end);

/** One Gibbs pass over documents [first, end): exact up to the rounding of single precision weights.
 * `sweep` >= 0 numbers the pass and with it the random streams; do not use a number twice for a document.
 * Errors: RANGE, NOMEM (the documents before the one that failed are done, counts are consistent). */
EPACT_API int epact_lda_sweep(epact_lda *lda, int64_t first, int64_t end, int64_t sweep);

/** The same for the tokens of one block of words. The random numbers are those of the whole pass when there is one
 * block. */
EPACT_API int epact_lda_start_block(epact_lda *lda, int64_t first, int64_t end, int64_t block);
EPACT_API int epact_lda_sweep_block(epact_lda *lda, int64_t first, int64_t end, int64_t block, int64_t sweep);

/** The changes of n_wk since the last clear, in the order made: parallel arrays of the returned length, which
 * live until the next call of start, sweep, restore or clear_changes. A pair may occur many times. */
EPACT_API int64_t epact_lda_changes(const epact_lda *lda, const uint32_t **word, const uint32_t **topic,
                                    const int32_t **delta);
EPACT_API void epact_lda_clear_changes(epact_lda *lda);

/** Adds changes others made: entries start[i] .. start[i+1]-1 of `col` (topics) and `value` belong to word row[i].
 * All or nothing; errors: RANGE (word or topic), CORRUPT (a count would fall below 0), LIMIT (a word would have
 * more topics than word_tokens allows, or a count that does not fit its bits). */
EPACT_API int epact_lda_apply(epact_lda *lda, int64_t rows, const int64_t *row, const uint32_t *start,
                              const uint32_t *col, const int32_t *value);

/** Puts the rows into an order that depends on the counts only. Sampling reads rows in their order, so two
 * samplers with equal counts and topics go on with equal bits after both were tidied (snapshots need it). */
EPACT_API void epact_lda_tidy(epact_lda *lda);

/** Compares replica, totals and own topics; CORRUPT with a sentence on the first mismatch. O(tokens + words). */
EPACT_API int epact_lda_check(epact_lda *lda);

/** The halves of the exact collapsed log p(w, z), in nats: the words' over the whole replica ... */
EPACT_API double epact_lda_log_likelihood_words(const epact_lda *lda);
/** ... and the topics' over this worker's documents (tokens without a topic are left out). */
EPACT_API double epact_lda_log_likelihood_documents(epact_lda *lda);

/** Number of own tokens. */
EPACT_API int64_t epact_lda_tokens(const epact_lda *lda);
/** n_k, [topics], a view: tokens of each topic in the replica. */
EPACT_API const int64_t *epact_lda_totals(const epact_lda *lda);
/** Sets n_k, [topics], to what all samplers that share n_wk have. Errors: RANGE (a negative number). */
EPACT_API int epact_lda_set_totals(epact_lda *lda, const int64_t *total);
/** Topics of own tokens, [tokens], a view: documents in order, blocks and in them pairs in order, EPACT_LDA_NO_TOPIC
 * where none. */
EPACT_API const uint16_t *epact_lda_topics(const epact_lda *lda);
/** Takes over topics saved from epact_lda_topics. enter != 0: own counts move along and are recorded; 0: the
 * counts come by other ways (apply, from tables that already hold them). Errors: MISUSE (length), RANGE; NOMEM. */
EPACT_API int epact_lda_restore(epact_lda *lda, const uint16_t *topic, int64_t tokens, int enter);

/** One word's counts, largest first (ties: smaller topic first): returns their number; `topic` and `count` must
 * have room for min(topics, tokens of the word). Errors: RANGE. */
EPACT_API int64_t epact_lda_row(const epact_lda *lda, int64_t word, uint32_t *topic, uint32_t *count);
/** theta[k] = (n_dk + alpha) / (n_d + topics alpha), [topics]. Errors: RANGE. */
EPACT_API int epact_lda_theta(const epact_lda *lda, int64_t document, double *theta);
/** The n words with the largest n_wk of a topic, largest first (ties: smaller word first): returns how many
 * there are, at most n. Errors: RANGE, MISUSE (n < 0). */
EPACT_API int64_t epact_lda_top_words(const epact_lda *lda, int64_t topic, int64_t n, uint32_t *word, uint32_t *count);
/** Bytes of memory of this sampler, changes included, `shared` not. */
EPACT_API double epact_lda_state_bytes(const epact_lda *lda);

#endif
