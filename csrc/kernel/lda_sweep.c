/* The Gibbs pass of lda.h by the SparseLDA decomposition (Yao, Mimno, McCallum, KDD 2009):
 *
 *   (n_dk + alpha)(n_wk + beta) / N_k  =  n_wk (n_dk + alpha) / N_k   word bucket: only the word's own topics
 *                                       + beta n_dk / N_k             document bucket: only the document's topics
 *                                       + beta alpha / N_k            smoothing bucket: all topics, rarely drawn
 *
 * with N_k = n_k + words beta. The three masses are known before the draw: the last two are kept as sums,
 * the first is summed over the word's row, eight entries at a time.
 *
 * The token's own topic is taken out on paper first: its row entry counts one less and its coefficient is
 * replaced, both in registers. Memory changes only when the new topic is another one.
 */
#include "lda_state.h"

typedef float lanes __attribute__((vector_size(4 * ROW_BLOCK), may_alias));
typedef int32_t integer_lanes __attribute__((vector_size(4 * ROW_BLOCK), may_alias));
typedef uint32_t entry_lanes __attribute__((vector_size(4 * ROW_BLOCK), may_alias));

/** The document being sampled: copies of what the loop needs, so that they live in registers. */
typedef struct {
  uint32_t *in_document;
  uint16_t *present, *place;
  float *inverse, *inverse_less, *coefficient, *cumulative;
  int64_t *total;
  double alpha, beta_sum;
  double inverse_sum;  /* sum_k 1 / N_k */
  double document_sum; /* sum_k n_dk / N_k */
  uint32_t present_count, mask;
  int bits;
} sampler;

/** Sums over the lanes of a cumulative row, halved again and again: a tree to descend. */
typedef struct {
  float four[4], two[2];
  uint32_t removed_at;
} lane_sums;

/** The word bucket's mass with one token of topic `removed` out, whose coefficient is then `replaced`.
 * Lane l of cumulative block b becomes the sum of entries l, l+8, ..., l+8b. */
ALWAYS_INLINE float weigh_row(const sampler *s, const uint32_t *entry, uint32_t blocks, uint32_t removed,
                              float replaced, lane_sums *sums)
{
  const float *restrict coefficient = s->coefficient;
  lanes sum = { 0 };
  integer_lanes place = { 0, 1, 2, 3, 4, 5, 6, 7 }, found = { 0 };
  for (uint32_t b = 0; b < blocks; b++) {
    entry_lanes packed = *(const entry_lanes *)(entry + b * ROW_BLOCK);
    entry_lanes topic = packed & s->mask;
    integer_lanes is_removed = (topic == removed) & (packed != 0); /* an empty slot looks like topic 0 */
    found |= place & is_removed;
    place += ROW_BLOCK;
    integer_lanes count = (integer_lanes)(packed >> s->bits) + is_removed;
    lanes weight = { coefficient[topic[0]], coefficient[topic[1]], coefficient[topic[2]], coefficient[topic[3]],
                     coefficient[topic[4]], coefficient[topic[5]], coefficient[topic[6]], coefficient[topic[7]] };
    lanes other = (lanes){ 0 } + replaced;
    weight = (lanes)(((integer_lanes)weight & ~is_removed) | ((integer_lanes)other & is_removed));
    sum += weight * __builtin_convertvector(count, lanes);
    *(lanes *)(s->cumulative + b * ROW_BLOCK) = sum;
  }
  int32_t half[4];
  for (int l = 0; l < 4; l++) half[l] = found[l] | found[l + 4];
  sums->removed_at = (uint32_t)((half[0] | half[2]) | (half[1] | half[3]));
  for (int l = 0; l < 4; l++) sums->four[l] = sum[l] + sum[l + 4];
  for (int l = 0; l < 2; l++) sums->two[l] = sums->four[l] + sums->four[l + 2];
  return sums->two[0] + sums->two[1];
}

/** The row position at which the weights, summed lane by lane, pass u; NOT_FOUND when rounding let none. */
ALWAYS_INLINE uint32_t pick_in_row(const float *cumulative, uint32_t blocks, const lane_sums *sums, float u)
{
  const float *lane_sum = cumulative + (blocks - 1) * ROW_BLOCK;
  uint32_t lane = u >= sums->two[0];
  u -= lane ? sums->two[0] : 0.0f;
  uint32_t right = u >= sums->four[lane];
  u -= right ? sums->four[lane] : 0.0f;
  lane += 2 * right;
  right = u >= lane_sum[lane];
  u -= right ? lane_sum[lane] : 0.0f;
  lane += 4 * right;
  uint32_t block = 0;
  for (uint32_t b = 0; b < blocks; b++) block += cumulative[b * ROW_BLOCK + lane] <= u;
  return block < blocks ? block * ROW_BLOCK + lane : NOT_FOUND;
}

/** Draws from the document bucket: the topic at which sum_k n_dk / N_k passes u. */
static uint32_t pick_in_document(const epact_lda *lda, uint32_t present_count, double u)
{
  for (uint32_t i = 0; i + 1 < present_count; i++) {
    uint32_t topic = lda->present[i];
    u -= (double)lda->in_document[topic] * (double)lda->inverse[topic];
    if (u < 0) return topic;
  }
  return lda->present[present_count - 1];
}

/** Draws from the smoothing bucket: the topic at which sum_k 1 / N_k passes u. Skips whole blocks first. */
static uint32_t pick_in_smoothing(const epact_lda *lda, double u)
{
  enum { BLOCK = 32, PARTS = 4 };
  int64_t topic = 0;
  for (; topic + BLOCK < lda->topics; topic += BLOCK) {
    double part[PARTS] = { 0 };
    for (int i = 0; i < BLOCK; i += PARTS)
      for (int p = 0; p < PARTS; p++) part[p] += (double)lda->inverse[topic + i + p];
    double sum = (part[0] + part[2]) + (part[1] + part[3]);
    if (u < sum) break;
    u -= sum;
  }
  for (; topic + 1 < lda->topics; topic++) {
    u -= (double)lda->inverse[topic];
    if (u < 0) break;
  }
  return (uint32_t)topic;
}

/** A draw outside the word bucket, where u counts from. Rare: the removed token is really taken out meanwhile. */
static __attribute__((noinline)) uint32_t pick_outside_row(epact_lda *lda, uint32_t present_count, uint32_t removed,
                                                           double u, double document_mass)
{
  float inverse = 0;
  if (removed != EPACT_LDA_NO_TOPIC) {
    inverse = lda->inverse[removed];
    lda->inverse[removed] = lda->inverse_less[removed];
    lda->in_document[removed]--;
  }
  uint32_t topic = u < document_mass ? pick_in_document(lda, present_count, u / lda->beta)
                                     : pick_in_smoothing(lda, (u - document_mass) / (lda->alpha * lda->beta));
  if (removed != EPACT_LDA_NO_TOPIC) {
    lda->inverse[removed] = inverse;
    lda->in_document[removed]++;
  }
  return topic;
}

ALWAYS_INLINE float inverse_of(const sampler *s, int64_t total)
{
  return 1.0f / (float)((double)total + s->beta_sum);
}

/** A token of this document leaves `topic`. */
ALWAYS_INLINE void leave_topic(sampler *s, uint32_t topic)
{
  uint32_t left = --s->in_document[topic];
  double before = (double)s->inverse[topic], after = (double)s->inverse_less[topic];
  int64_t total = --s->total[topic];
  s->inverse_sum += after - before;
  s->document_sum += left * after - (left + 1.0) * before;
  s->inverse[topic] = (float)after;
  s->inverse_less[topic] = inverse_of(s, total - (total > 0));
  s->coefficient[topic] = (float)((left + s->alpha) * after);
  if (left == 0) {
    uint16_t last = s->present[--s->present_count], hole = s->place[topic];
    s->present[hole] = last;
    s->place[last] = hole;
  }
}

/** A token of this document enters `topic`. */
ALWAYS_INLINE void enter_topic(sampler *s, uint32_t topic)
{
  uint32_t now = ++s->in_document[topic];
  float after_float = inverse_of(s, ++s->total[topic]);
  double before = (double)s->inverse[topic], after = (double)after_float;
  s->inverse_sum += after - before;
  s->document_sum += now * after - (now - 1.0) * before;
  s->inverse_less[topic] = s->inverse[topic];
  s->inverse[topic] = after_float;
  s->coefficient[topic] = (float)((now + s->alpha) * after);
  if (now == 1) {
    s->place[topic] = (uint16_t)s->present_count;
    s->present[s->present_count++] = (uint16_t)topic;
  }
}

/** Moves one count of the row from topic `from` (maybe none) to topic `to`, which stands at `position`
 * (maybe not known). */
ALWAYS_INLINE void move_in_row(const sampler *s, lda_row *row, uint32_t *entry, uint32_t from, uint32_t to,
                               uint32_t position, uint32_t hole)
{
  if (position == NOT_FOUND) position = lda_row_find(entry, row->length, s->mask, to);
  if (from != EPACT_LDA_NO_TOPIC) {
    lda_row_subtract(row, entry, s->bits, hole, 1);
    if (position == row->length) position = hole; /* the last entry filled the hole */
  }
  if (position == NOT_FOUND) {
    position = row->length++;
    entry[position] = to;
  }
  entry[position] += 1u << s->bits;
}

/** The document's counts, and its topics' coefficients. */
ALWAYS_INLINE void open_document(sampler *s, const uint16_t *token_topic, int64_t first, int64_t end)
{
  for (int64_t i = first; i < end; i++) {
    uint32_t topic = token_topic[i];
    if (topic == EPACT_LDA_NO_TOPIC || s->in_document[topic]++) continue;
    s->place[topic] = (uint16_t)s->present_count;
    s->present[s->present_count++] = (uint16_t)topic;
  }
  for (uint32_t i = 0; i < s->present_count; i++) {
    uint32_t topic = s->present[i];
    double count = s->in_document[topic], inverse = (double)s->inverse[topic];
    s->document_sum += count * inverse;
    s->coefficient[topic] = (float)((count + s->alpha) * inverse);
  }
}

ALWAYS_INLINE void close_document(sampler *s)
{
  for (uint32_t i = 0; i < s->present_count; i++) {
    uint32_t topic = s->present[i];
    s->in_document[topic] = 0;
    s->coefficient[topic] = (float)(s->alpha * (double)s->inverse[topic]);
  }
}

EPACT_CLONES void lda_sample_document(epact_lda *lda, int64_t document, int64_t from, int64_t to, epact_rng rng)
{
  sampler s = { lda->in_document,
                lda->present,
                lda->place,
                lda->inverse,
                lda->inverse_less,
                lda->coefficient,
                lda->cumulative,
                lda->total,
                lda->alpha,
                lda->beta_sum,
                lda->inverse_sum,
                0,
                0,
                lda->topic_mask,
                lda->topic_bits };
  const double beta = lda->beta, smoothing = lda->alpha * lda->beta;
  const uint32_t *token_word = lda->token_word;
  uint16_t *token_topic = lda->token_topic;
  lda_row *rows = lda->rows;
  uint32_t *entries = lda->entries;
  const int64_t first = lda->token_start[document], end = lda->token_start[document + 1];
  const bool record = lda->record;
  open_document(&s, token_topic, first, end);
  for (int64_t i = from; i < to; i++) {
    __builtin_prefetch(&rows[token_word[i + 15]]);
    const uint32_t *ahead = entries + rows[token_word[i + 6]].start;
    __builtin_prefetch(ahead, 1);
    __builtin_prefetch(ahead + 16, 1);
    __builtin_prefetch(ahead + 32, 1);
    __builtin_prefetch(ahead + 48, 1);

    const uint32_t word = token_word[i], old = token_topic[i];
    lda_row *row = &rows[word];
    uint32_t *entry = entries + row->start;
    double inverse_sum = s.inverse_sum, document_sum = s.document_sum;
    float replaced = 0;
    if (EPACT_LIKELY(old != EPACT_LDA_NO_TOPIC)) {
      double before = (double)s.inverse[old], after = (double)s.inverse_less[old], left = s.in_document[old] - 1.0;
      inverse_sum += after - before;
      document_sum += left * after - (left + 1.0) * before;
      replaced = (float)((left + s.alpha) * after);
    }
    const uint32_t blocks = (row->length + ROW_BLOCK - 1) / ROW_BLOCK;
    lane_sums sums;
    const double row_mass = (double)weigh_row(&s, entry, blocks, old, replaced, &sums);
    const double document_mass = s.present_count ? beta * document_sum : 0, smoothing_mass = smoothing * inverse_sum;

    uint32_t position = NOT_FOUND, topic = EPACT_LDA_NO_TOPIC;
    while (topic == EPACT_LDA_NO_TOPIC) { /* once, unless rounding left u beyond the last weight */
      double u = epact_uniform_inline(&rng) * (row_mass + document_mass + smoothing_mass);
      if (EPACT_UNLIKELY(u >= row_mass)) {
        topic = pick_outside_row(lda, s.present_count, old, u - row_mass, document_mass);
      } else {
        position = pick_in_row(s.cumulative, blocks, &sums, (float)u);
        if (EPACT_LIKELY(position != NOT_FOUND)) topic = entry[position] & s.mask;
      }
    }
    if (topic == old) continue;
    move_in_row(&s, row, entry, old, topic, position, sums.removed_at);
    if (EPACT_LIKELY(old != EPACT_LDA_NO_TOPIC)) leave_topic(&s, old);
    enter_topic(&s, topic);
    token_topic[i] = (uint16_t)topic;
    if (record) {
      if (old != EPACT_LDA_NO_TOPIC) lda_record(&lda->changes, word, old, -1);
      lda_record(&lda->changes, word, topic, 1);
    }
  }
  close_document(&s);
  lda->inverse_sum = s.inverse_sum;
}

/** What depends on n_k, freshly computed: sums kept up to date by additions drift. */
static void refresh_inverses(epact_lda *lda)
{
  lda->inverse_sum = 0;
  for (int64_t k = 0; k < lda->topics; k++) {
    int64_t total = lda->total[k];
    lda->inverse[k] = 1.0f / (float)((double)total + lda->beta_sum);
    lda->inverse_less[k] = 1.0f / (float)((double)(total - (total > 0)) + lda->beta_sum);
    lda->coefficient[k] = (float)(lda->alpha * (double)lda->inverse[k]);
    lda->inverse_sum += (double)lda->inverse[k];
  }
}

static int sweep_block(epact_lda *lda, const char *where, int64_t first, int64_t end, int64_t block, int64_t sweep)
{
  int code = lda_check_documents(lda, where, first, end);
  if (!code) code = lda_check_block(lda, where, block);
  if (code) return code;
  if (sweep < 0) return epact_fail(EPACT_E_RANGE, "%s: sweep %lld is negative", where, (long long)sweep);
  refresh_inverses(lda);
  const uint64_t pass = (uint64_t)((sweep + 1) * lda->blocks + block);
  for (int64_t d = first; d < end; d++) {
    const int64_t from = lda_block_start(lda, d, block), to = lda_block_start(lda, d, block + 1);
    if (from == to) continue;
    code = lda_reserve_changes(lda, 2 * (to - from));
    if (code) return code;
    lda_sample_document(lda, d, from, to, epact_rng_stream(lda->seed, (uint64_t)(lda->first_document + d), pass));
  }
  return EPACT_OK;
}

int epact_lda_sweep_block(epact_lda *lda, int64_t first, int64_t end, int64_t block, int64_t sweep)
{
  return sweep_block(lda, "epact_lda_sweep_block", first, end, block, sweep);
}

int epact_lda_sweep(epact_lda *lda, int64_t first, int64_t end, int64_t sweep)
{
  int code = EPACT_OK;
  for (int64_t block = 0; !code && block < lda->blocks; block++)
    code = sweep_block(lda, "epact_lda_sweep", first, end, block, sweep);
  return code;
}
