/* How much two columns correlate: see correlation.h. */
#include "correlation.h"

#include <math.h>

correlated correlated_column(const correlation *c, uint32_t id)
{
  const double norm2 = c->squared_norm[id], scale = scale_of(&c->x, id);
  const column entries = column_of(&c->x, id);
  return (correlated){
    .entries = entries,
    .id = id,
    .is_long = !entries.index || entries.count > LONG_COLUMN,
    .factor = !c->normalise ? scale
              : norm2 > 0   ? scale / sqrt(norm2)
                            : 0,
    .mean = c->x.mean ? c->x.mean[id] : 0,
  };
}

/* Where `row` is, or would be, among the entries from `first` on: steps that double, then halves. */
static int64_t find_row(column c, int64_t first, uint32_t row)
{
  int64_t low = first, step = 1;
  while (low + step < c.count && c.index[low + step] < row) {
    low += step;
    step *= 2;
  }
  int64_t high = low + step < c.count ? low + step : c.count;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (c.index[middle] < row)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Of a short and a much longer column. */
static double product_by_search(column few, column many)
{
  double sum = 0;
  int64_t at = 0;
  for (int64_t e = 0; e < few.count && at < many.count; e++) {
    at = find_row(many, at, few.index[e]);
    if (at < many.count && many.index[at] == few.index[e]) sum += few.value[e] * many.value[at];
  }
  return sum;
}

static double compute(const correlation *c, const correlated *a, const correlated *b)
{
  const column one = a->entries, other = b->entries;
  const double rows = (double)c->x.rows;
  double product;
  if (one.index && one.count > 16 * other.count)
    product = product_by_search(other, one) - rows * a->mean * b->mean;
  else if (one.index && other.count > 16 * one.count)
    product = product_by_search(one, other) - rows * a->mean * b->mean;
  else
    product = column_product(c->x.rows, one, a->mean, other, b->mean);
  return fabs(a->factor * b->factor * product);
}

double correlation_size(correlation *c, const correlated *a, const correlated *b)
{
  double size = pairs_find(&c->pairs, a->id, b->id);
  if (size >= 0) return size;
  size = compute(c, a, b);
  pairs_keep(&c->pairs, a->id, b->id, size);
  return size;
}
