/* What an LDA sampler is made from: its options, the rows' places, the tokens. */
#include "lda_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int lda_check_options(const epact_lda_options *o)
{
  static const char where[] = "epact_lda_new";
  if (!o) return epact_fail(EPACT_E_MISUSE, "%s: no options", where);
  if (o->documents < 0) return epact_fail(EPACT_E_MISUSE, "%s: %lld documents", where, (long long)o->documents);
  if (o->words < 1 || o->words > UINT32_MAX)
    return epact_fail(EPACT_E_MISUSE, "%s: words must be in 1 .. %u, got %lld", where, UINT32_MAX, (long long)o->words);
  if (o->topics < 1 || o->topics > EPACT_LDA_MAX_TOPICS)
    return epact_fail(EPACT_E_MISUSE, "%s: topics must be in 1 .. %d, got %lld", where, EPACT_LDA_MAX_TOPICS,
                      (long long)o->topics);
  if (!(o->alpha > 0 && isfinite(o->alpha)) || !(o->beta > 0 && isfinite(o->beta)))
    return epact_fail(EPACT_E_MISUSE, "%s: alpha and beta must be positive, got %g and %g", where, o->alpha, o->beta);
  if (o->blocks < 0 || o->blocks > UINT16_MAX || (o->blocks > 1 && !o->block))
    return epact_fail(EPACT_E_MISUSE, "%s: blocks must be in 0 .. %d, with the block of each word, got %d", where,
                      UINT16_MAX, o->blocks);
  for (int64_t w = 0; o->blocks > 1 && w < o->words; w++)
    if (o->block[w] >= o->blocks)
      return epact_fail(EPACT_E_RANGE, "%s: word %lld is of block %u of %d", where, (long long)w, o->block[w],
                        o->blocks);
  if (o->shared && !o->word_tokens) return epact_fail(EPACT_E_MISUSE, "%s: shared counts need word_tokens", where);
  if ((uintptr_t)o->shared % 64) return epact_fail(EPACT_E_MISUSE, "%s: shared memory must be 64-byte aligned", where);
  if (o->documents > 0 && !o->start) return epact_fail(EPACT_E_MISUSE, "%s: start is missing", where);
  for (int64_t d = 0; d < o->documents; d++)
    if (o->start[d] > o->start[d + 1] || o->start[0] != 0)
      return epact_fail(EPACT_E_MISUSE, "%s: start must begin at 0 and not fall (document %lld)", where, (long long)d);
  if (o->documents > 0 && o->start[o->documents] > 0 && !o->word)
    return epact_fail(EPACT_E_MISUSE, "%s: word is missing", where);
  return EPACT_OK;
}

/** token_start, and in `own` each word's tokens; the pairs' words must be in range. */
static int count_tokens(epact_lda *lda, const epact_lda_options *o, int64_t *own)
{
  for (int64_t d = 0; d < o->documents; d++) {
    int64_t length = 0;
    for (int64_t i = o->start[d]; i < o->start[d + 1]; i++) {
      if (o->word[i] >= o->words)
        return epact_fail(EPACT_E_RANGE, "epact_lda_new: word %u of document %lld is outside 0 .. %lld", o->word[i],
                          (long long)d, (long long)o->words - 1);
      int64_t n = o->count ? o->count[i] : 1;
      own[o->word[i]] += n;
      length += n;
    }
    lda->token_start[d + 1] = lda->token_start[d] + length;
  }
  lda->tokens = lda->token_start[o->documents];
  return EPACT_OK;
}

/** Entries that a word of `tokens` may need. */
static int64_t capacity_of(int64_t tokens, int64_t topics)
{
  const int64_t most = tokens < topics ? tokens : topics;
  return (most + ROW_BLOCK - 1) / ROW_BLOCK * ROW_BLOCK;
}

int lda_bits_of(int64_t topics, uint32_t *limit)
{
  int bits = 0;
  while ((INT64_C(1) << bits) < topics) bits++;
  const uint32_t most = UINT32_MAX >> bits;
  *limit = most < INT32_MAX ? most : INT32_MAX;
  return bits;
}

static int refuse_tokens(int64_t word, int64_t tokens, int64_t topics, uint32_t limit)
{
  return epact_fail(EPACT_E_LIMIT, "epact_lda_new: word %lld has %lld tokens, the limit for %lld topics is %u",
                    (long long)word, (long long)tokens, (long long)topics, limit);
}

static size_t bytes_of_rows(int64_t words)
{
  return ((size_t)words * sizeof(lda_row) + 63) / 64 * 64; /* entries begin with a line of the cache */
}

int64_t epact_lda_shared_bytes(const epact_lda_options *o)
{
  if (lda_check_options(o)) return EPACT_E_MISUSE;
  if (!o->word_tokens) return epact_fail(EPACT_E_MISUSE, "epact_lda_shared_bytes: word_tokens is missing");
  uint32_t limit;
  lda_bits_of(o->topics, &limit);
  int64_t slots = 0;
  for (int64_t w = 0; w < o->words; w++) {
    if (o->word_tokens[w] > (int64_t)limit) return refuse_tokens(w, o->word_tokens[w], o->topics, limit);
    slots += capacity_of(o->word_tokens[w], o->topics);
  }
  return (int64_t)bytes_of_rows(o->words) + slots * (int64_t)sizeof(uint32_t);
}

/** Rows with room for the topics a word can have; `own` are this worker's tokens of each word. */
static int lay_out_rows(epact_lda *lda, const epact_lda_options *o, const int64_t *own)
{
  int64_t slots = 0;
  for (int64_t w = 0; w < lda->words; w++) {
    const int64_t tokens = o->word_tokens ? o->word_tokens[w] : own[w];
    if (tokens < own[w])
      return epact_fail(EPACT_E_MISUSE, "epact_lda_new: word_tokens of word %lld is %lld, the documents have %lld",
                        (long long)w, (long long)tokens, (long long)own[w]);
    if (tokens > (int64_t)lda->count_limit) return refuse_tokens(w, tokens, lda->topics, lda->count_limit);
    const int64_t capacity = capacity_of(tokens, lda->topics);
    if (!lda->shares || o->lay_out) lda->rows[w] = (lda_row){ .start = slots, .capacity = (uint32_t)capacity };
    slots += capacity;
  }
  lda->entries_capacity = slots;
  if (!lda->shares) lda->entries = epact_aligned_calloc((size_t)slots * sizeof *lda->entries);
  return lda->entries ? EPACT_OK : EPACT_E_NOMEM;
}

/** The tokens of one document, from `at` on, by block and otherwise in the order of their pairs; `next` is [blocks]. */
static void place_tokens(epact_lda *lda, const epact_lda_options *o, int64_t document, int64_t *next)
{
  const int64_t first = o->start[document], end = o->start[document + 1];
  memset(next, 0, (size_t)lda->blocks * sizeof *next);
  for (int64_t i = first; i < end; i++)
    next[lda->block ? lda->block[o->word[i]] : 0] += o->count ? (int64_t)o->count[i] : 1;
  for (int64_t b = 0, at = lda->token_start[document]; b < lda->blocks; b++) {
    const int64_t count = next[b];
    next[b] = at;
    at += count;
  }
  for (int64_t i = first; i < end; i++) {
    int64_t *const at = &next[lda->block ? lda->block[o->word[i]] : 0];
    for (uint32_t n = o->count ? o->count[i] : 1; n > 0; n--) lda->token_word[(*at)++] = o->word[i];
  }
}

static int expand_tokens(epact_lda *lda, const epact_lda_options *o)
{
  int64_t *const next = epact_malloc((size_t)lda->blocks * sizeof *next);
  lda->token_word = epact_calloc((size_t)lda->tokens + TOKEN_PADDING, sizeof *lda->token_word);
  lda->token_topic = epact_malloc((size_t)lda->tokens * sizeof *lda->token_topic);
  const bool ready = next && lda->token_word && lda->token_topic;
  for (int64_t d = 0; ready && d < o->documents; d++) place_tokens(lda, o, d, next);
  for (int64_t i = 0; ready && i < lda->tokens; i++) lda->token_topic[i] = EPACT_LDA_NO_TOPIC;
  free(next);
  return ready ? EPACT_OK : EPACT_E_NOMEM;
}

static int copy_blocks(epact_lda *lda, const epact_lda_options *o)
{
  lda->blocks = o->blocks > 1 ? o->blocks : 1;
  if (lda->blocks == 1) return EPACT_OK;
  lda->block = epact_malloc((size_t)o->words * sizeof *lda->block);
  if (!lda->block) return EPACT_E_NOMEM;
  memcpy(lda->block, o->block, (size_t)o->words * sizeof *lda->block);
  return EPACT_OK;
}

int lda_lay_out(epact_lda *lda, const epact_lda_options *o)
{
  int64_t *own = epact_calloc((size_t)o->words, sizeof *own);
  lda->token_start = epact_calloc((size_t)o->documents + 1, sizeof *lda->token_start);
  if (lda->shares) {
    lda->rows = o->shared;
    lda->entries = (uint32_t *)(void *)((char *)o->shared + bytes_of_rows(o->words));
  } else {
    lda->rows = epact_calloc((size_t)o->words, sizeof *lda->rows);
  }
  int code = own && lda->token_start && lda->rows ? copy_blocks(lda, o) : EPACT_E_NOMEM;
  if (!code) code = count_tokens(lda, o, own);
  if (!code) code = lay_out_rows(lda, o, own);
  if (!code) code = expand_tokens(lda, o);
  free(own);
  return code;
}
