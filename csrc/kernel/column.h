/* One column of a matrix, inlined into the kernels. Private; the view is in columns.h. */
#ifndef EPACT_KERNEL_COLUMN_H
#define EPACT_KERNEL_COLUMN_H

#include "columns.h"
#include "dense.h"

#include <cblas.h>

#include <stdbool.h>

#define REAL double
#define NAME(base) base
#include "sparse.h"
#undef REAL
#undef NAME

/* The entries of one column; `index` is NULL for a dense one. */
typedef struct {
  const uint32_t *index;
  const double *value;
  int64_t count;
} column;

static inline column column_of(const epact_columns *x, int64_t j)
{
  if (!x->start) return (column){ NULL, x->value + j * x->rows, x->rows };
  return (column){ x->index + x->start[j], x->value + x->start[j], x->start[j + 1] - x->start[j] };
}

static inline double column_dot(column c, const double *r)
{
  if (c.index) return sparse_dot(c.count, c.index, c.value, r);
  return dense_dot(c.count, c.value, r);
}

static inline void column_axpy(double a, column c, double *r)
{
  if (c.index)
    sparse_axpy(c.count, a, c.index, c.value, r);
  else
    dense_axpy(c.count, a, c.value, r);
}

/* (a - mean_a 1)'(b - mean_b 1), both sparse or both dense; sparse ones are merged. In columns.c. */
double column_product(int64_t rows, column a, double mean_a, column b, double mean_b);

static inline double scale_of(const epact_columns *x, int64_t j)
{
  return x->inverse_scale ? x->inverse_scale[j] : 1;
}

/* Eight sums, added pairwise at the end: fast, and more exact than one. */
static inline double sum_of(int64_t n, const double *x)
{
  double sum[8] = { 0 };
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int lane = 0; lane < 8; lane++) sum[lane] += x[i + lane];
  for (; i < n; i++) sum[0] += x[i];
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

#endif
