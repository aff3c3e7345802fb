/* One row, sparse or dense, for the loops over rows: private, inlined. */
#ifndef EPACT_KERNEL_ROWS_H
#define EPACT_KERNEL_ROWS_H

#include "linear.h"

#include <cblas.h>
#include <stdbool.h>

typedef struct {
  const uint32_t *index; /* NULL: dense */
  const double *value;
  int64_t count;
} row_view;

/* Of rows that have values. */
static inline row_view row_of(const epact_rows *x, int64_t i)
{
  if (!x->start) return (row_view){ NULL, x->value + i * x->columns, x->columns };
  const int64_t begin = x->start[i];
  return (row_view){ x->index + begin, x->value + begin, x->start[i + 1] - begin };
}

/* Asks for the first lines of a row that is needed soon. */
static inline void row_prefetch(const epact_rows *x, int64_t i)
{
  const row_view row = row_of(x, i);
  if (row.index) {
    __builtin_prefetch(row.index);
    __builtin_prefetch(row.index + 16);
  }
  __builtin_prefetch(row.value);
  __builtin_prefetch(row.value + 8);
  __builtin_prefetch(row.value + 16);
}

/* Four sums, because one would wait for itself: a floating-point addition takes four cycles. */
static inline double row_dot(const row_view *row, const double *restrict w)
{
  const uint32_t *restrict index = row->index;
  const double *restrict value = row->value;
  if (!index) return cblas_ddot((int)row->count, value, 1, w, 1);
  double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
  int64_t k = 0;
  for (; k + 4 <= row->count; k += 4) {
    sum0 += value[k] * w[index[k]];
    sum1 += value[k + 1] * w[index[k + 1]];
    sum2 += value[k + 2] * w[index[k + 2]];
    sum3 += value[k + 3] * w[index[k + 3]];
  }
  for (; k < row->count; k++) sum0 += value[k] * w[index[k]];
  return (sum0 + sum1) + (sum2 + sum3);
}

/* The same where every entry is 1. */
static inline double ones_dot(int64_t count, const uint32_t *restrict index, const double *restrict w)
{
  double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
  int64_t k = 0;
  for (; k + 4 <= count; k += 4) {
    sum0 += w[index[k]];
    sum1 += w[index[k + 1]];
    sum2 += w[index[k + 2]];
    sum3 += w[index[k + 3]];
  }
  for (; k < count; k++) sum0 += w[index[k]];
  return (sum0 + sum1) + (sum2 + sum3);
}

/* w += a x_i */
static inline void row_axpy(const row_view *row, double a, double *restrict w)
{
  const uint32_t *restrict index = row->index;
  const double *restrict value = row->value;
  if (!index) {
    cblas_daxpy((int)row->count, a, value, 1, w, 1);
    return;
  }
  for (int64_t k = 0; k < row->count; k++) w[index[k]] += a * value[k];
}

/* Entry e of a sparse matrix. */
static inline double rows_entry(const epact_rows *x, int64_t e)
{
  return x->value ? x->value[e] : 1;
}

/* Whether the entries of each row of a sparse matrix are equal, and not 0 (rows.c). */
bool rows_are_flat(const epact_rows *x);

static inline double row_norm2(const row_view *row)
{
  double sum = 0;
  for (int64_t k = 0; k < row->count; k++) sum += row->value[k] * row->value[k];
  return sum;
}

#endif
