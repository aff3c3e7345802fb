/* The replica of the word-topic counts: single counts, other workers' changes, views and the self-check. */
#include "lda_state.h"

#include <stdlib.h>
#include <string.h>

ALWAYS_INLINE int add(epact_lda *lda, int64_t word, uint32_t topic, int64_t delta)
{
  lda_row *row = &lda->rows[word];
  uint32_t *entry = lda->entries + row->start;
  uint32_t position = lda_row_find(entry, row->length, lda->topic_mask, topic);
  int64_t before = position == NOT_FOUND ? 0 : entry[position] >> lda->topic_bits, after = before + delta;
  if (after < 0)
    return epact_fail(EPACT_E_CORRUPT, "the count of word %lld in topic %u would fall below 0: %lld%+lld",
                      (long long)word, topic, (long long)before, (long long)delta);
  if (after > (int64_t)lda->count_limit)
    return epact_fail(EPACT_E_LIMIT,
                      "the count of word %lld in topic %u would be %lld, the limit for %lld topics is %u",
                      (long long)word, topic, (long long)after, (long long)lda->topics, lda->count_limit);
  if (position == NOT_FOUND) {
    if (delta == 0) return EPACT_OK;
    if (row->length == row->capacity)
      return epact_fail(EPACT_E_LIMIT, "word %lld would have more than %u topics: word_tokens is too small for it",
                        (long long)word, row->capacity);
    position = row->length++;
    entry[position] = topic;
  }
  if (delta >= 0)
    entry[position] += (uint32_t)delta << lda->topic_bits;
  else
    lda_row_subtract(row, entry, lda->topic_bits, position, (uint32_t)-delta);
  lda->total[topic] += delta;
  return EPACT_OK;
}

int lda_add(epact_lda *lda, int64_t word, uint32_t topic, int64_t delta)
{
  return add(lda, word, topic, delta);
}

/** One word's changes, times `sign`; decreases first, so that a full row makes room before it needs it.
 * After a failure the row is as it was. */
EPACT_CLONES static int apply_row(epact_lda *lda, int64_t word, const uint32_t *topic, const int32_t *value, uint32_t n,
                                  int sign)
{
  for (int increases = 0; increases < 2; increases++) {
    for (uint32_t i = 0; i < n; i++) {
      int64_t delta = sign * (int64_t)value[i];
      if ((delta > 0) != increases) continue;
      int code = add(lda, word, topic[i], delta);
      if (!code) continue;
      for (int undone = increases; undone >= 0; undone--) /* increases, then decreases: the way back */
        for (uint32_t j = undone == increases ? i : n; j-- > 0;) {
          int64_t done = sign * (int64_t)value[j];
          if ((done > 0) == undone) lda_add(lda, word, topic[j], -done);
        }
      return code;
    }
  }
  return EPACT_OK;
}

static int check_changes(const epact_lda *lda, int64_t rows, const int64_t *row, const uint32_t *start,
                         const uint32_t *col)
{
  if (rows < 0) return epact_fail(EPACT_E_MISUSE, "epact_lda_apply: %lld rows", (long long)rows);
  for (int64_t i = 0; i < rows; i++) {
    if (row[i] < 0 || row[i] >= lda->words)
      return epact_fail(EPACT_E_RANGE, "epact_lda_apply: word %lld is outside 0 .. %lld", (long long)row[i],
                        (long long)lda->words - 1);
    if (start[i] > start[i + 1])
      return epact_fail(EPACT_E_RANGE, "epact_lda_apply: start falls from %u to %u at row %lld", start[i], start[i + 1],
                        (long long)i);
    for (uint32_t j = start[i]; j < start[i + 1]; j++)
      if (col[j] >= lda->topics)
        return epact_fail(EPACT_E_RANGE, "epact_lda_apply: topic %u of word %lld is outside 0 .. %lld", col[j],
                          (long long)row[i], (long long)lda->topics - 1);
  }
  return EPACT_OK;
}

#define AHEAD 8 /* rows fetched before they are needed: they lie far apart */

static void prefetch_row(const epact_lda *lda, int64_t word)
{
  const lda_row *row = &lda->rows[word];
  const uint32_t *entry = lda->entries + row->start;
  for (uint32_t i = 0; i < row->length; i += 16) __builtin_prefetch(entry + i, 1); /* a cache line each */
}

int epact_lda_apply(epact_lda *lda, int64_t rows, const int64_t *row, const uint32_t *start, const uint32_t *col,
                    const int32_t *value)
{
  int code = check_changes(lda, rows, row, start, col);
  for (int64_t i = 0; !code && i < rows; i++) {
    if (i + AHEAD < rows) prefetch_row(lda, row[i + AHEAD]);
    code = apply_row(lda, row[i], col + start[i], value + start[i], start[i + 1] - start[i], 1);
    if (!code) continue;
    while (i-- > 0) apply_row(lda, row[i], col + start[i], value + start[i], start[i + 1] - start[i], -1);
    break;
  }
  return code;
}

/** Descending: the largest count first. */
static int compare_entries(const void *left, const void *right)
{
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a < b) - (a > b);
}

void epact_lda_tidy(epact_lda *lda)
{
  for (int64_t w = 0; w < lda->words; w++)
    qsort(lda->entries + lda->rows[w].start, lda->rows[w].length, sizeof *lda->entries, compare_entries);
}

int64_t epact_lda_row(const epact_lda *lda, int64_t word, uint32_t *topic, uint32_t *count)
{
  if (word < 0 || word >= lda->words)
    return epact_fail(EPACT_E_RANGE, "epact_lda_row: word %lld is outside 0 .. %lld", (long long)word,
                      (long long)lda->words - 1);
  const lda_row *row = &lda->rows[word];
  /* With the topic's bits inverted, descending order is "count down, topic up": sort in the caller's array. */
  for (uint32_t i = 0; i < row->length; i++) count[i] = lda->entries[row->start + i] ^ lda->topic_mask;
  qsort(count, row->length, sizeof *count, compare_entries);
  for (uint32_t i = 0; i < row->length; i++) {
    topic[i] = (count[i] & lda->topic_mask) ^ lda->topic_mask;
    count[i] >>= lda->topic_bits;
  }
  return row->length;
}

/** Whether (word_a, count_a) stands behind (word_b, count_b) among the top words. */
static bool is_behind(uint32_t word_a, uint32_t count_a, uint32_t word_b, uint32_t count_b)
{
  return count_a != count_b ? count_a < count_b : word_a > word_b;
}

/** Restores the heap below `hole`, whose root is the hindmost, when (w, c) fills the hole. */
static void sift_down(uint32_t *word, uint32_t *count, int64_t length, int64_t hole, uint32_t w, uint32_t c)
{
  for (int64_t child; (child = 2 * hole + 1) < length; hole = child) {
    if (child + 1 < length && is_behind(word[child + 1], count[child + 1], word[child], count[child])) child++;
    if (is_behind(w, c, word[child], count[child])) break;
    word[hole] = word[child];
    count[hole] = count[child];
  }
  word[hole] = w;
  count[hole] = c;
}

int64_t epact_lda_top_words(const epact_lda *lda, int64_t topic, int64_t n, uint32_t *word, uint32_t *count)
{
  if (topic < 0 || topic >= lda->topics)
    return epact_fail(EPACT_E_RANGE, "epact_lda_top_words: topic %lld is outside 0 .. %lld", (long long)topic,
                      (long long)lda->topics - 1);
  if (n < 0) return epact_fail(EPACT_E_MISUSE, "epact_lda_top_words: n is %lld", (long long)n);
  int64_t length = 0;
  for (int64_t w = 0; w < lda->words && n > 0; w++) {
    const uint32_t *entry = lda->entries + lda->rows[w].start;
    uint32_t position = lda_row_find(entry, lda->rows[w].length, lda->topic_mask, (uint32_t)topic);
    if (position == NOT_FOUND) continue;
    uint32_t c = entry[position] >> lda->topic_bits;
    if (length < n) {
      int64_t hole = length++;
      while (hole > 0) {
        int64_t up = (hole - 1) / 2;
        if (!is_behind((uint32_t)w, c, word[up], count[up])) break;
        word[hole] = word[up];
        count[hole] = count[up];
        hole = up;
      }
      word[hole] = (uint32_t)w;
      count[hole] = c;
    } else if (is_behind(word[0], count[0], (uint32_t)w, c)) {
      sift_down(word, count, length, 0, (uint32_t)w, c);
    }
  }
  for (int64_t last = length - 1; last > 0; last--) {
    uint32_t w = word[last], c = count[last];
    word[last] = word[0];
    count[last] = count[0];
    sift_down(word, count, last, 0, w, c);
  }
  return length;
}

/** Rows: shape, no topic twice, zeros behind; their column sums against the totals (`sum` is [topics], zeroed). */
static int check_rows(const epact_lda *lda, int64_t *sum, uint8_t *seen)
{
  for (int64_t w = 0; w < lda->words; w++) {
    const lda_row *row = &lda->rows[w];
    const uint32_t *entry = lda->entries + row->start;
    if (row->length > row->capacity)
      return epact_fail(EPACT_E_CORRUPT, "word %lld has %u topics in %u slots", (long long)w, row->length,
                        row->capacity);
    for (uint32_t i = 0; i < row->capacity; i++) {
      uint32_t topic = entry[i] & lda->topic_mask, count = entry[i] >> lda->topic_bits;
      if (i >= row->length ? entry[i] != 0 : count == 0 || topic >= lda->topics || seen[topic])
        return epact_fail(EPACT_E_CORRUPT, "word %lld: slot %u of %u in use holds topic %u, count %u", (long long)w, i,
                          row->length, topic, count);
      if (i >= row->length) continue;
      seen[topic] = 1;
      sum[topic] += count;
    }
    for (uint32_t i = 0; i < row->length; i++) seen[entry[i] & lda->topic_mask] = 0;
  }
  for (int64_t k = 0; k < lda->topics; k++)
    if (sum[k] != lda->total[k])
      return epact_fail(EPACT_E_CORRUPT, "topic %lld has a total of %lld, its rows sum to %lld", (long long)k,
                        (long long)lda->total[k], (long long)sum[k]);
  return EPACT_OK;
}

/** Own tokens by word, against the replica's rows; `next` is [words + 1], zeroed, `topic` [tokens], `own` [topics]. */
static int check_own(const epact_lda *lda, int64_t *next, uint16_t *topic, int64_t *own)
{
  for (int64_t i = 0; i < lda->tokens; i++) next[lda->token_word[i] + 1]++;
  for (int64_t w = 0; w < lda->words; w++) next[w + 1] += next[w];
  for (int64_t i = 0; i < lda->tokens; i++) topic[next[lda->token_word[i]]++] = lda->token_topic[i];
  for (int64_t w = 0, i = 0; w < lda->words; w++) { /* next[w] is now where word w ends */
    const lda_row *row = &lda->rows[w];
    for (uint32_t j = 0; j < row->length; j++) {
      uint32_t entry = lda->entries[row->start + j];
      own[entry & lda->topic_mask] = entry >> lda->topic_bits;
    }
    for (; i < next[w]; i++) {
      if (topic[i] == EPACT_LDA_NO_TOPIC) continue;
      if (topic[i] >= lda->topics || own[topic[i]]-- <= 0)
        return epact_fail(EPACT_E_CORRUPT, "word %lld has fewer tokens in topic %u than this worker's documents alone",
                          (long long)w, topic[i]);
    }
    for (uint32_t j = 0; j < row->length; j++) own[lda->entries[row->start + j] & lda->topic_mask] = 0;
  }
  return EPACT_OK;
}

int epact_lda_check(epact_lda *lda)
{
  int64_t *sum = epact_calloc((size_t)lda->topics, sizeof *sum);
  int64_t *own = epact_calloc((size_t)lda->topics, sizeof *own);
  uint8_t *seen = epact_calloc((size_t)lda->topics, sizeof *seen);
  int64_t *next = epact_calloc((size_t)lda->words + 1, sizeof *next);
  uint16_t *topic = epact_malloc((size_t)lda->tokens * sizeof *topic);
  int code = EPACT_E_NOMEM;
  if (sum && own && seen && next && topic) {
    code = check_rows(lda, sum, seen);
    if (!code) code = check_own(lda, next, topic, own);
  }
  free(sum);
  free(own);
  free(seen);
  free(next);
  free(topic);
  return code;
}
