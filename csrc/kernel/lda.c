/* The LDA sampler's life: options, memory, first topics, the record of changes, small views. The pass itself is in
 * lda_sweep.c, the counts in lda_counts.c, log p(w, z) in lda_likelihood.c. */
#include "lda_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void destroy(void *object)
{
  epact_lda *lda = object;
  free(lda->token_start);
  free(lda->token_word);
  free(lda->token_topic);
  free(lda->rows);
  free(lda->entries);
  free(lda->total);
  free(lda->changes.word);
  free(lda->changes.topic);
  free(lda->changes.delta);
  free(lda->in_document);
  free(lda->present);
  free(lda->place);
  free(lda->inverse);
  free(lda->inverse_less);
  free(lda->coefficient);
  free(lda->cumulative);
}

/** The numbers among the options, and the shape of the arrays. */
static int check_options(const epact_lda_options *o)
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

/** Rows with room for the topics a word can have; `own` are this worker's tokens of each word. */
static int lay_out_rows(epact_lda *lda, const int64_t *word_tokens, const int64_t *own)
{
  int64_t slots = 0;
  for (int64_t w = 0; w < lda->words; w++) {
    int64_t tokens = word_tokens ? word_tokens[w] : own[w];
    if (tokens < own[w])
      return epact_fail(EPACT_E_MISUSE, "epact_lda_new: word_tokens of word %lld is %lld, the documents have %lld",
                        (long long)w, (long long)tokens, (long long)own[w]);
    if (tokens > (int64_t)lda->count_limit)
      return epact_fail(EPACT_E_LIMIT, "epact_lda_new: word %lld has %lld tokens, the limit for %lld topics is %u",
                        (long long)w, (long long)tokens, (long long)lda->topics, lda->count_limit);
    int64_t capacity = tokens < lda->topics ? tokens : lda->topics;
    capacity = (capacity + ROW_BLOCK - 1) / ROW_BLOCK * ROW_BLOCK;
    lda->rows[w].start = slots;
    lda->rows[w].capacity = (uint32_t)capacity;
    slots += capacity;
  }
  lda->entries_capacity = slots;
  lda->entries = epact_aligned_calloc((size_t)slots * sizeof *lda->entries);
  return lda->entries ? EPACT_OK : EPACT_E_NOMEM;
}

static int expand_tokens(epact_lda *lda, const epact_lda_options *o)
{
  lda->token_word = epact_calloc((size_t)lda->tokens + TOKEN_PADDING, sizeof *lda->token_word);
  lda->token_topic = epact_malloc((size_t)lda->tokens * sizeof *lda->token_topic);
  if (!lda->token_word || !lda->token_topic) return EPACT_E_NOMEM;
  int64_t at = 0, pairs = o->documents > 0 ? o->start[o->documents] : 0;
  for (int64_t i = 0; i < pairs; i++)
    for (uint32_t n = o->count ? o->count[i] : 1; n > 0; n--) lda->token_word[at++] = o->word[i];
  for (int64_t i = 0; i < lda->tokens; i++) lda->token_topic[i] = EPACT_LDA_NO_TOPIC;
  return EPACT_OK;
}

static int allocate_scratch(epact_lda *lda)
{
  size_t topics = (size_t)lda->topics;
  lda->total = epact_calloc(topics, sizeof *lda->total);
  lda->in_document = epact_calloc(topics, sizeof *lda->in_document);
  lda->present = epact_calloc(topics, sizeof *lda->present);
  lda->place = epact_calloc(topics, sizeof *lda->place);
  lda->inverse = epact_calloc(topics, sizeof *lda->inverse);
  lda->inverse_less = epact_calloc(topics, sizeof *lda->inverse_less);
  lda->coefficient = epact_calloc(topics, sizeof *lda->coefficient);
  lda->cumulative = epact_aligned_calloc((topics + ROW_BLOCK) * sizeof *lda->cumulative);
  bool all = lda->total && lda->in_document && lda->present && lda->place && lda->inverse && lda->inverse_less &&
             lda->coefficient && lda->cumulative;
  return all ? EPACT_OK : EPACT_E_NOMEM;
}

static int fill(epact_lda *lda, const epact_lda_options *o)
{
  int64_t *own = epact_calloc((size_t)o->words, sizeof *own);
  lda->token_start = epact_calloc((size_t)o->documents + 1, sizeof *lda->token_start);
  lda->rows = epact_calloc((size_t)o->words, sizeof *lda->rows);
  int code = own && lda->token_start && lda->rows ? count_tokens(lda, o, own) : EPACT_E_NOMEM;
  if (!code) code = lay_out_rows(lda, o->word_tokens, own);
  if (!code) code = expand_tokens(lda, o);
  if (!code) code = allocate_scratch(lda);
  free(own);
  return code;
}

epact_lda *epact_lda_new(const epact_lda_options *options)
{
  if (check_options(options)) return NULL;
  epact_lda *lda = epact_object_new(sizeof *lda, destroy);
  if (!lda) return NULL;
  lda->documents = options->documents;
  lda->words = options->words;
  lda->topics = options->topics;
  lda->alpha = options->alpha;
  lda->beta = options->beta;
  lda->beta_sum = (double)options->words * options->beta;
  lda->first_document = options->first_document;
  lda->seed = options->seed;
  lda->record = options->record != 0;
  while ((INT64_C(1) << lda->topic_bits) < lda->topics) lda->topic_bits++;
  lda->topic_mask = (UINT32_C(1) << lda->topic_bits) - 1;
  uint32_t limit = UINT32_MAX >> lda->topic_bits;
  lda->count_limit = limit < INT32_MAX ? limit : INT32_MAX;
  lda_fill_log_rise(lda->log_rise_alpha, lda->alpha);
  lda_fill_log_rise(lda->log_rise_beta, lda->beta);
  if (fill(lda, options)) {
    epact_release(lda);
    return NULL;
  }
  return lda;
}

int lda_check_documents(const epact_lda *lda, const char *where, int64_t first, int64_t end)
{
  if (first >= 0 && first <= end && end <= lda->documents) return EPACT_OK;
  return epact_fail(EPACT_E_RANGE, "%s: documents [%lld, %lld) are outside [0, %lld)", where, (long long)first,
                    (long long)end, (long long)lda->documents);
}

int lda_reserve_changes(epact_lda *lda, int64_t extra)
{
  lda_changes *changes = &lda->changes;
  if (!lda->record || changes->length + extra <= changes->capacity) return EPACT_OK;
  int64_t capacity = 2 * (changes->length + extra);
  if (epact_grow(&changes->word, (size_t)capacity, sizeof *changes->word) ||
      epact_grow(&changes->topic, (size_t)capacity, sizeof *changes->topic) ||
      epact_grow(&changes->delta, (size_t)capacity, sizeof *changes->delta))
    return EPACT_E_NOMEM;
  changes->capacity = capacity;
  return EPACT_OK;
}

/** Gives token i a topic it does not have yet; the changes have room for one. */
static int enter_token(epact_lda *lda, int64_t i, uint32_t topic)
{
  uint32_t word = lda->token_word[i];
  int code = lda_add(lda, word, topic, 1);
  if (code) return code;
  lda->token_topic[i] = (uint16_t)topic;
  if (lda->record) lda_record(&lda->changes, word, topic, 1);
  return EPACT_OK;
}

int epact_lda_start(epact_lda *lda, int64_t first, int64_t end)
{
  int code = lda_check_documents(lda, "epact_lda_start", first, end);
  for (int64_t d = first; !code && d < end; d++) {
    code = lda_reserve_changes(lda, lda->token_start[d + 1] - lda->token_start[d]);
    epact_rng rng = epact_rng_stream(lda->seed, (uint64_t)(lda->first_document + d), 0);
    for (int64_t i = lda->token_start[d]; !code && i < lda->token_start[d + 1]; i++)
      if (lda->token_topic[i] == EPACT_LDA_NO_TOPIC)
        code = enter_token(lda, i, (uint32_t)epact_rng_below(&rng, lda->topics));
  }
  return code;
}

int64_t epact_lda_changes(const epact_lda *lda, const uint32_t **word, const uint32_t **topic, const int32_t **delta)
{
  *word = lda->changes.word;
  *topic = lda->changes.topic;
  *delta = lda->changes.delta;
  return lda->changes.length;
}

void epact_lda_clear_changes(epact_lda *lda)
{
  lda->changes.length = 0;
}

int epact_lda_restore(epact_lda *lda, const uint16_t *topic, int64_t tokens, int enter)
{
  if (tokens != lda->tokens)
    return epact_fail(EPACT_E_MISUSE, "epact_lda_restore: %lld topics for %lld tokens", (long long)tokens,
                      (long long)lda->tokens);
  for (int64_t i = 0; i < tokens; i++)
    if (topic[i] >= lda->topics && topic[i] != EPACT_LDA_NO_TOPIC)
      return epact_fail(EPACT_E_RANGE, "epact_lda_restore: topic %u of token %lld is outside 0 .. %lld", topic[i],
                        (long long)i, (long long)lda->topics - 1);
  if (!enter) {
    if (tokens) memcpy(lda->token_topic, topic, (size_t)tokens * sizeof *topic);
    return EPACT_OK;
  }
  int code = lda_reserve_changes(lda, 2 * tokens);
  for (int64_t i = 0; !code && i < tokens; i++) {
    uint32_t old = lda->token_topic[i];
    if (old == topic[i]) continue;
    if (old != EPACT_LDA_NO_TOPIC) {
      code = lda_add(lda, lda->token_word[i], old, -1);
      if (code) break;
      lda->token_topic[i] = EPACT_LDA_NO_TOPIC;
      if (lda->record) lda_record(&lda->changes, lda->token_word[i], old, -1);
    }
    if (topic[i] != EPACT_LDA_NO_TOPIC) code = enter_token(lda, i, topic[i]);
  }
  return code;
}

int64_t epact_lda_tokens(const epact_lda *lda)
{
  return lda->tokens;
}

const int64_t *epact_lda_totals(const epact_lda *lda)
{
  return lda->total;
}

const uint16_t *epact_lda_topics(const epact_lda *lda)
{
  return lda->token_topic;
}

int epact_lda_theta(const epact_lda *lda, int64_t document, double *theta)
{
  int code = lda_check_documents(lda, "epact_lda_theta", document, document + 1);
  if (code) return code;
  int64_t assigned = 0;
  for (int64_t k = 0; k < lda->topics; k++) theta[k] = lda->alpha;
  for (int64_t i = lda->token_start[document]; i < lda->token_start[document + 1]; i++) {
    if (lda->token_topic[i] == EPACT_LDA_NO_TOPIC) continue;
    theta[lda->token_topic[i]]++;
    assigned++;
  }
  const double sum = (double)assigned + (double)lda->topics * lda->alpha;
  for (int64_t k = 0; k < lda->topics; k++) theta[k] /= sum;
  return EPACT_OK;
}

double epact_lda_state_bytes(const epact_lda *lda)
{
  double topics = (double)lda->topics, tokens = (double)lda->tokens;
  return (double)sizeof *lda + (double)(lda->documents + 1) * sizeof *lda->token_start +
         tokens * (sizeof *lda->token_word + sizeof *lda->token_topic) + (double)lda->words * sizeof *lda->rows +
         (double)lda->entries_capacity * sizeof *lda->entries +
         topics *
             (sizeof *lda->total + sizeof *lda->in_document + 2 * sizeof *lda->present + 4 * sizeof *lda->inverse) +
         (double)lda->changes.capacity * (2 * sizeof *lda->changes.word + sizeof *lda->changes.delta);
}
