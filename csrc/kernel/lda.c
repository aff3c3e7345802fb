/* The LDA sampler's life: memory, first topics, the record of changes, small views. What it is made from is in
 * lda_layout.c, the pass itself in lda_sweep.c, the counts in lda_counts.c, log p(w, z) in lda_likelihood.c. */
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
  free(lda->block);
  if (!lda->shares) {
    free(lda->rows);
    free(lda->entries);
  }
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
  const int code = lda_lay_out(lda, o);
  return code ? code : allocate_scratch(lda);
}

epact_lda *epact_lda_new(const epact_lda_options *options)
{
  if (lda_check_options(options)) return NULL;
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
  lda->topic_bits = lda_bits_of(lda->topics, &lda->count_limit);
  lda->topic_mask = (UINT32_C(1) << lda->topic_bits) - 1;
  lda->shares = options->shared != NULL;
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

int lda_check_block(const epact_lda *lda, const char *where, int64_t block)
{
  if (block >= 0 && block < lda->blocks) return EPACT_OK;
  return epact_fail(EPACT_E_RANGE, "%s: block %lld is outside 0 .. %d", where, (long long)block, lda->blocks - 1);
}

int64_t lda_block_start(const epact_lda *lda, int64_t document, int64_t block)
{
  int64_t low = lda->token_start[document], high = lda->token_start[document + 1];
  if (block == 0) return low;
  if (block == lda->blocks) return high;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (lda->block[lda->token_word[middle]] < block) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static int start_block(epact_lda *lda, const char *where, int64_t first, int64_t end, int64_t block)
{
  int code = lda_check_documents(lda, where, first, end);
  if (!code) code = lda_check_block(lda, where, block);
  for (int64_t d = first; !code && d < end; d++) {
    const int64_t from = lda_block_start(lda, d, block), to = lda_block_start(lda, d, block + 1);
    code = lda_reserve_changes(lda, to - from);
    epact_rng rng = epact_rng_stream(lda->seed, (uint64_t)(lda->first_document + d), (uint64_t)block);
    for (int64_t i = from; !code && i < to; i++)
      if (lda->token_topic[i] == EPACT_LDA_NO_TOPIC)
        code = enter_token(lda, i, (uint32_t)epact_rng_below(&rng, lda->topics));
  }
  return code;
}

int epact_lda_start_block(epact_lda *lda, int64_t first, int64_t end, int64_t block)
{
  return start_block(lda, "epact_lda_start_block", first, end, block);
}

int epact_lda_start(epact_lda *lda, int64_t first, int64_t end)
{
  int code = EPACT_OK;
  for (int64_t block = 0; !code && block < lda->blocks; block++)
    code = start_block(lda, "epact_lda_start", first, end, block);
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

int epact_lda_set_totals(epact_lda *lda, const int64_t *total)
{
  for (int64_t k = 0; k < lda->topics; k++)
    if (total[k] < 0)
      return epact_fail(EPACT_E_RANGE, "epact_lda_set_totals: topic %lld has %lld tokens", (long long)k,
                        (long long)total[k]);
  memcpy(lda->total, total, (size_t)lda->topics * sizeof *total);
  return EPACT_OK;
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
         tokens * (sizeof *lda->token_word + sizeof *lda->token_topic) +
         (lda->shares ? 0
                      : (double)lda->words * sizeof *lda->rows + (double)lda->entries_capacity * sizeof *lda->entries) +
         (lda->block ? (double)lda->words * sizeof *lda->block : 0) +
         topics *
             (sizeof *lda->total + sizeof *lda->in_document + 2 * sizeof *lda->present + 4 * sizeof *lda->inverse) +
         (double)lda->changes.capacity * (2 * sizeof *lda->changes.word + sizeof *lda->changes.delta);
}
