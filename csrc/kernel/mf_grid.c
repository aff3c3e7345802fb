/* Ratings before training: checked, counted, and dealt into a grid of cells. See mf.h. */
#include "mf.h"

#include "../base/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int refuse(int64_t t, const char *what, uint32_t id, int64_t size)
{
  return epact_fail(EPACT_E_MISUSE, "rating %lld: %s %u is not below %lld", (long long)t, what, id, (long long)size);
}

int epact_mf_check(const epact_mf_ratings *ratings, int64_t users, int64_t items, int64_t *user_count,
                   int64_t *item_count, epact_mf_summary *summary)
{
  if (ratings->count < 1) return epact_fail(EPACT_E_MISUSE, "there are no ratings");
  const float origin = ratings->value[0]; /* sums of what values differ from it by: exact when there is one value */
  float low = origin, high = origin;
  double sum = 0, squares = 0;
  for (int64_t t = 0; t < ratings->count; t++) {
    const uint32_t user = ratings->user[t], item = ratings->item[t];
    const float value = ratings->value[t];
    if (user >= users) return refuse(t, "user", user, users);
    if (item >= items) return refuse(t, "item", item, items);
    if (!isfinite(value)) return epact_fail(EPACT_E_MISUSE, "rating %lld: the value is not finite", (long long)t);
    if (user_count) user_count[user]++;
    if (item_count) item_count[item]++;
    const double apart = (double)value - (double)origin;
    low = value < low ? value : low;
    high = value > high ? value : high;
    sum += apart;
    squares += apart * apart;
  }
  if (summary) {
    const double count = (double)ratings->count, mean = sum / count, variance = squares / count - mean * mean;
    *summary = (epact_mf_summary){ .mean = (double)origin + mean,
                                   .deviation = sqrt(variance > 0 ? variance : 0),
                                   .low = (double)low,
                                   .high = (double)high };
  }
  return EPACT_OK;
}

/* One side's ids: their numbers (NULL: themselves), and their blocks. */
typedef struct {
  const uint32_t *label;
  const int64_t *cut;
  int32_t blocks;
} side;

static int32_t block_of(const side *s, int64_t number)
{
  int32_t low = 0, high = s->blocks - 1; /* the last block that begins at or before it */
  while (low < high) {
    const int32_t middle = (low + high + 1) / 2;
    if (s->cut[middle] <= number) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

typedef struct {
  uint32_t user, item;
  float value;
} record;

/* Where a user's or item's ratings go: the cell is the sum of both sides' parts. */
typedef struct {
  uint32_t part, number;
} place;

/* Everything a grid is made with. Users of no block of ours have cells, too, which are counted and not kept. */
typedef struct {
  side users, items;
  int32_t first, end;
  int64_t cells;            /* ours */
  place *of_user, *of_item; /* by id */
  int64_t *next;            /* [cells + item_blocks]: where the next rating of a cell goes */
  record *scratch;          /* [largest cell] */
  uint32_t *from;           /* [users of the largest block + 1]: where those of a user go in a cell */
} maker;

static int prepare(maker *m)
{
  const int64_t users = m->users.cut[m->users.blocks], items = m->items.cut[m->items.blocks];
  int64_t most = 0;
  for (int32_t b = m->first; b < m->end; b++) {
    const int64_t size = m->users.cut[b + 1] - m->users.cut[b];
    most = size > most ? size : most;
  }
  m->cells = (int64_t)(m->end - m->first) * m->items.blocks;
  m->of_user = epact_malloc((size_t)(users + 1) * sizeof *m->of_user);
  m->of_item = epact_malloc((size_t)(items + 1) * sizeof *m->of_item);
  m->next = epact_calloc((size_t)(m->cells + m->items.blocks), sizeof *m->next);
  m->from = epact_malloc((size_t)(most + 1) * sizeof *m->from);
  if (!m->of_user || !m->of_item || !m->next || !m->from) return EPACT_E_NOMEM;
  for (uint32_t id = 0; id < users; id++) {
    const uint32_t number = m->users.label ? m->users.label[id] : id;
    const int32_t block = block_of(&m->users, number);
    const bool own = block >= m->first && block < m->end;
    m->of_user[id] = (place){ (uint32_t)(own ? (int64_t)(block - m->first) * m->items.blocks : m->cells), number };
  }
  for (uint32_t id = 0; id < items; id++) {
    const uint32_t number = m->items.label ? m->items.label[id] : id;
    m->of_item[id] = (place){ (uint32_t)block_of(&m->items, number), number };
  }
  return EPACT_OK;
}

/* Where each cell begins. */
static void count_cells(const maker *m, const epact_mf_ratings *in, int64_t *start)
{
  const uint32_t *const restrict user = in->user, *const restrict item = in->item;
  const place *const restrict of_user = m->of_user, *const restrict of_item = m->of_item;
  int64_t *const restrict next = m->next, sum = 0;
  for (int64_t t = 0; t < in->count; t++) next[of_user[user[t]].part + of_item[item[t]].part]++;
  for (int64_t c = 0; c < m->cells; c++) {
    const int64_t count = next[c];
    start[c] = next[c] = sum;
    sum += count;
  }
  start[m->cells] = sum;
}

static void fill_cells(const maker *m, const epact_mf_ratings *in, uint32_t *restrict user, uint32_t *restrict item,
                       float *restrict value)
{
  const uint32_t *const restrict from_user = in->user, *const restrict from_item = in->item;
  const place *const restrict of_user = m->of_user, *const restrict of_item = m->of_item;
  const float *const restrict from_value = in->value;
  int64_t *const restrict next = m->next;
  const uint32_t cells = (uint32_t)m->cells;
  for (int64_t t = 0; t < in->count; t++) {
    const place u = of_user[from_user[t]];
    if (u.part >= cells) continue;
    const place i = of_item[from_item[t]];
    const int64_t to = next[u.part + i.part]++;
    user[to] = u.number;
    item[to] = i.number;
    value[to] = from_value[t];
  }
}

/* Stable counting sort of a cell's ratings by user; there are `users`, from number `origin` on. To the scratch and back:
 * one line of the cache a rating out of order instead of three. */
static void sort_cell(const maker *m, int64_t count, uint32_t origin, int64_t users, uint32_t *restrict user,
                      uint32_t *restrict item, float *restrict value)
{
  const uint32_t shift = (uint32_t)m->users.cut[m->first];
  uint32_t *const restrict from = m->from;
  record *const restrict sorted = m->scratch;
  memset(from, 0, (size_t)(users + 1) * sizeof *from);
  for (int64_t t = 0; t < count; t++) from[user[t] - origin + 1]++;
  for (int64_t u = 0; u < users; u++) from[u + 1] += from[u];
  for (int64_t t = 0; t < count; t++) {
    const uint32_t u = user[t];
    sorted[from[u - origin]++] = (record){ u - shift, item[t], value[t] };
  }
  for (int64_t t = 0; t < count; t++) {
    user[t] = sorted[t].user;
    item[t] = sorted[t].item;
    value[t] = sorted[t].value;
  }
}

static int sort_cells(maker *m, const int64_t *start, uint32_t *user, uint32_t *item, float *value)
{
  int64_t largest = 0;
  for (int64_t c = 0; c < m->cells; c++)
    largest = start[c + 1] - start[c] > largest ? start[c + 1] - start[c] : largest;
  if (largest > UINT32_MAX) return epact_fail(EPACT_E_LIMIT, "a cell of more than 2^32 - 1 ratings");
  m->scratch = epact_malloc((size_t)(largest + 1) * sizeof *m->scratch);
  if (!m->scratch) return EPACT_E_NOMEM;
  for (int64_t c = 0; c < m->cells; c++) {
    const int64_t *cut = m->users.cut + m->first + c / m->items.blocks, at = start[c];
    sort_cell(m, start[c + 1] - at, (uint32_t)cut[0], cut[1] - cut[0], user + at, item + at, value + at);
  }
  return EPACT_OK;
}

static int make(maker *m, const epact_mf_ratings *in, uint32_t *user, uint32_t *item, float *value, int64_t *start)
{
  const int code = prepare(m);
  if (code) return code;
  count_cells(m, in, start);
  fill_cells(m, in, user, item, value);
  return sort_cells(m, start, user, item, value);
}

static int check_cuts(const epact_mf_cuts *cuts, int32_t first, int32_t end)
{
  if (cuts->user_blocks < 1 || cuts->user_blocks > UINT16_MAX || cuts->item_blocks < 1 ||
      cuts->item_blocks > UINT16_MAX)
    return epact_fail(EPACT_E_MISUSE, "there must be 1 to %d blocks of users and of items", UINT16_MAX);
  if ((int64_t)cuts->user_blocks * cuts->item_blocks >= INT32_MAX)
    return epact_fail(EPACT_E_LIMIT, "%d x %d blocks are too many", cuts->user_blocks, cuts->item_blocks);
  if (first < 0 || end < first || end > cuts->user_blocks)
    return epact_fail(EPACT_E_MISUSE, "%d to %d is not a range of %d blocks of users", first, end, cuts->user_blocks);
  return EPACT_OK;
}

int epact_mf_grid(const epact_mf_ratings *ratings, const epact_mf_cuts *cuts, int32_t first, int32_t end,
                  uint32_t *user, uint32_t *item, float *value, int64_t *cell_start)
{
  int code = check_cuts(cuts, first, end);
  if (code) return code;
  maker m = { .users = { cuts->user_label, cuts->user_cut, cuts->user_blocks },
              .items = { cuts->item_label, cuts->item_cut, cuts->item_blocks },
              .first = first,
              .end = end };
  code = make(&m, ratings, user, item, value, cell_start);
  free(m.of_user);
  free(m.of_item);
  free(m.scratch);
  free(m.next);
  free(m.from);
  return code;
}

enum { ROUNDS = 4, BATCH = 64 };

/* A permutation of 0 .. 4^half - 1: a Feistel network, whose halves have `half` bits. */
typedef struct {
  uint64_t key[ROUNDS], mask;
  int half;
} permutation;

static permutation make_permutation(uint64_t seed, uint64_t count)
{
  permutation p = { .half = 1 };
  epact_rng rng = epact_rng_stream(seed, 0, 4);
  for (int r = 0; r < ROUNDS; r++) p.key[r] = epact_rng_next(&rng);
  while (p.half < 31 && UINT64_C(1) << 2 * p.half < count) p.half++;
  p.mask = (UINT64_C(1) << p.half) - 1;
  return p;
}

static uint64_t permute(const permutation *p, uint64_t number)
{
  uint64_t left = number >> p->half, right = number & p->mask;
  for (int r = 0; r < ROUNDS; r++) {
    const uint64_t mixed = (right ^ p->key[r]) * UINT64_C(0x9e3779b97f4a7c15);
    const uint64_t next = left ^ ((mixed ^ mixed >> 29) >> 32 & p->mask);
    left = right;
    right = next;
  }
  return left << p->half | right;
}

int epact_mf_shuffle(const epact_mf_ratings *ratings, uint64_t seed, int64_t first, int64_t end, uint32_t *user,
                     uint32_t *item, float *value)
{
  const uint64_t count = (uint64_t)ratings->count;
  if (first < 0 || end < first || end > ratings->count)
    return epact_fail(EPACT_E_MISUSE, "%lld to %lld is not a range of %lld ratings", (long long)first, (long long)end,
                      (long long)ratings->count);
  const permutation p = make_permutation(seed, count);
  for (int64_t begin = first; begin < end; begin += BATCH) {
    const int64_t size = end - begin < BATCH ? end - begin : BATCH;
    uint64_t from[BATCH];
    for (int64_t t = 0; t < size; t++) {
      from[t] = permute(&p, (uint64_t)(begin + t));
      while (from[t] >= count) from[t] = permute(&p, from[t]); /* walks its cycle until it is back in range */
      __builtin_prefetch(&ratings->user[from[t]]);
      __builtin_prefetch(&ratings->item[from[t]]);
      __builtin_prefetch(&ratings->value[from[t]]);
    }
    for (int64_t t = 0; t < size; t++) {
      user[begin + t] = ratings->user[from[t]];
      item[begin + t] = ratings->item[from[t]];
      value[begin + t] = ratings->value[from[t]];
    }
  }
  return EPACT_OK;
}
