/* Blocks of columns that correlate: see cluster.h. */
#include "cluster.h"

#include "order.h"

#include "../base/internal.h"
#include "../kernel/column.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
  const epact_columns *x;
  const double *squared_norm;
  uint32_t *block;
  uint32_t *left; /* columns without a block, those with most entries first */
  int64_t lefts;
  double *seed;   /* of each row: the block's first column; 0 in between */
  double *key;    /* a heap of the columns that correlate most, the least of them first */
  uint32_t *heap; /* places in `left` */
  int64_t heaped;
} clustering;

/* Whether heap entry a goes before b on the way out: it correlates less, or as much and comes later. */
static bool weaker(const clustering *c, int64_t a, int64_t b)
{
  return c->key[a] < c->key[b] || (c->key[a] == c->key[b] && c->heap[a] > c->heap[b]);
}

static void swap(clustering *c, int64_t a, int64_t b)
{
  const double key = c->key[a];
  const uint32_t place = c->heap[a];
  c->key[a] = c->key[b];
  c->heap[a] = c->heap[b];
  c->key[b] = key;
  c->heap[b] = place;
}

static void sink(clustering *c)
{
  for (int64_t at = 0;;) {
    int64_t next = 2 * at + 1;
    if (next >= c->heaped) return;
    if (next + 1 < c->heaped && weaker(c, next + 1, next)) next++;
    if (!weaker(c, next, at)) return;
    swap(c, next, at);
    at = next;
  }
}

/* Keeps the `most` strongest. */
static void heap_offer(clustering *c, int64_t most, double key, uint32_t place)
{
  if (c->heaped < most) {
    int64_t at = c->heaped++;
    c->key[at] = key;
    c->heap[at] = place;
    for (; at > 0 && weaker(c, at, (at - 1) / 2); at = (at - 1) / 2) swap(c, at, (at - 1) / 2);
  } else if (most > 0 && key > c->key[0]) { /* places only rise: an equal one is weaker */
    c->key[0] = key;
    c->heap[0] = place;
    sink(c);
  }
}

static double factor_of(const clustering *c, uint32_t j)
{
  return c->squared_norm[j] > 0 ? scale_of(c->x, j) / sqrt(c->squared_norm[j]) : 0;
}

/* The columns left that correlate most with `first`, into the heap. */
static void find_nearest(clustering *c, uint32_t first, int64_t most)
{
  const column chosen = column_of(c->x, first);
  const double factor = factor_of(c, first), mean = c->x->mean ? c->x->mean[first] : 0;
  c->heaped = 0;
  if (factor == 0 || most == 0) return;
  column_axpy(1, chosen, c->seed);
  for (int64_t i = 1; i < c->lefts; i++) {
    const uint32_t j = c->left[i];
    const double means = c->x->mean ? (double)c->x->rows * c->x->mean[j] * mean : 0;
    const double size = fabs(factor * factor_of(c, j) * (column_dot(column_of(c->x, j), c->seed) - means));
    if (size > 0) heap_offer(c, most, size, (uint32_t)i);
  }
  for (int64_t e = 0; e < chosen.count; e++) c->seed[chosen.index ? chosen.index[e] : e] = 0;
}

#define NO_BLOCK UINT32_MAX

/* Takes the next column, its nearest, and, where those do not fill the block, those that come next. */
static void fill_block(clustering *c, uint32_t number, int64_t size)
{
  find_nearest(c, c->left[0], size - 1);
  c->block[c->left[0]] = number;
  for (int64_t i = 0; i < c->heaped; i++) c->block[c->left[c->heap[i]]] = number;
  int64_t lacking = size - 1 - c->heaped, kept = 0;
  for (int64_t i = 1; i < c->lefts; i++) {
    const uint32_t j = c->left[i];
    if (c->block[j] == NO_BLOCK && lacking > 0) {
      c->block[j] = number;
      lacking--;
    }
    if (c->block[j] == NO_BLOCK) c->left[kept++] = j;
  }
  c->lefts = kept;
}

static void order_left(clustering *c)
{
  const epact_columns *x = c->x;
  for (int64_t j = 0; j < x->columns; j++) {
    c->left[j] = (uint32_t)j;
    c->block[j] = NO_BLOCK;
    c->key[j] = x->start ? (double)(x->start[j + 1] - x->start[j]) : 0;
  }
  c->lefts = x->columns;
}

int epact_cluster_columns(const epact_columns *x, const double *squared_norm, int64_t blocks, uint32_t *block)
{
  if (blocks < 1 || blocks > x->columns || x->columns >= UINT32_MAX)
    return epact_fail(EPACT_E_MISUSE, "%lld columns cannot be put into %lld blocks", (long long)x->columns,
                      (long long)blocks);
  const size_t p = (size_t)x->columns;
  clustering c = { .x = x, .squared_norm = squared_norm, .block = block };
  c.left = epact_malloc(p * sizeof *c.left);
  c.heap = epact_malloc(p * sizeof *c.heap);
  c.key = epact_malloc(p * sizeof *c.key);
  c.seed = epact_calloc((size_t)x->rows, sizeof *c.seed);
  double *scratch = epact_malloc(p * sizeof *scratch);
  int code = EPACT_E_NOMEM;
  if (c.left && c.heap && c.key && c.seed && scratch) {
    order_left(&c);
    order_by_key(x->columns, c.left, c.key, c.heap, scratch);
    for (int64_t b = 0; b < blocks; b++) fill_block(&c, (uint32_t)b, x->columns / blocks + (b < x->columns % blocks));
    code = EPACT_OK;
  }
  free(c.left);
  free(c.heap);
  free(c.key);
  free(c.seed);
  free(scratch);
  return code;
}
