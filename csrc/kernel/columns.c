/* The columns of a matrix: see columns.h. */
#include "column.h"

#include "../base/internal.h"

#include <math.h>

epact_columns epact_columns_slice(const epact_columns *x, int64_t first, int64_t end)
{
  epact_columns slice = *x;
  slice.columns = end - first;
  if (x->start)
    slice.start += first;
  else
    slice.value += first * x->rows;
  if (x->mean) slice.mean += first;
  if (x->inverse_scale) slice.inverse_scale += first;
  return slice;
}

static int check_column(const epact_columns *x, int64_t j, int64_t name)
{
  const column c = column_of(x, j);
  for (int64_t e = 0; e < c.count; e++) {
    const long long row = c.index ? (long long)c.index[e] : (long long)e;
    if (row >= x->rows)
      return epact_fail(EPACT_E_MISUSE, "column %lld: row %lld is not below %lld", (long long)name, row,
                        (long long)x->rows);
    if (c.index && e > 0 && c.index[e] <= c.index[e - 1])
      return epact_fail(EPACT_E_MISUSE, "column %lld: row %lld follows row %u", (long long)name, row, c.index[e - 1]);
    if (!isfinite(c.value[e]))
      return epact_fail(EPACT_E_MISUSE, "X[%lld][%lld] is %g", row, (long long)name,
                        isnan(c.value[e]) ? NAN : c.value[e]); /* a NaN's sign means nothing */
  }
  return EPACT_OK;
}

int epact_columns_check(const epact_columns *x, int64_t first)
{
  if (x->rows < 1 || x->columns < 1)
    return epact_fail(EPACT_E_MISUSE, "a matrix needs rows and columns, got %lld x %lld", (long long)x->rows,
                      (long long)x->columns);
  if (x->rows > INT32_MAX) return epact_fail(EPACT_E_LIMIT, "at most %d rows, got %lld", INT32_MAX, (long long)x->rows);
  for (int64_t j = 0; x->start && j < x->columns; j++)
    if (x->start[j] < 0 || x->start[j + 1] < x->start[j])
      return epact_fail(EPACT_E_MISUSE, "column %lld: its start falls", (long long)(first + j));
  for (int64_t j = 0; j < x->columns; j++) {
    const int code = check_column(x, j, first + j);
    if (code) return code;
  }
  return EPACT_OK;
}

/* ||x_j - m 1||^2 in units of *unit^2, from the deviations themselves: ||x_j||^2 - n m^2 would cancel. */
static double sum_deviations(const epact_columns *x, int64_t j, double mean, double unit)
{
  const column c = column_of(x, j);
  const double constant = mean / unit;
  double sum = 0;
  for (int64_t e = 0; e < c.count; e++) {
    const double deviation = (c.value[e] - mean) / unit;
    sum += deviation * deviation;
  }
  return sum + (double)(x->rows - c.count) * constant * constant;
}

/* The unit is 1 unless squares would leave double precision. */
static double deviation2(const epact_columns *x, int64_t j, double mean, double *unit)
{
  const double plain = sum_deviations(x, j, mean, *unit = 1);
  if (plain > 1e-250 && plain < 1e250) return plain;
  const column c = column_of(x, j);
  double largest = c.count < x->rows ? fabs(mean) : 0;
  for (int64_t e = 0; e < c.count; e++) largest = fmax(largest, fabs(c.value[e] - mean));
  if (!(largest > 0)) return plain;
  return sum_deviations(x, j, mean, *unit = largest);
}

/* Exactly: a deviation computed from a rounded mean is never quite 0. */
static bool is_constant(column c, int64_t rows)
{
  const double first = c.count == rows ? c.value[0] : 0;
  for (int64_t e = 0; e < c.count; e++)
    if (c.value[e] != first) return false;
  return true;
}

void epact_columns_moments(const epact_columns *x, double *mean, double *inverse_deviation)
{
  const double n = (double)x->rows;
  for (int64_t j = 0; j < x->columns; j++) {
    const column c = column_of(x, j);
    const double m = sum_of(c.count, c.value) / n;
    if (mean) mean[j] = m;
    if (!inverse_deviation) continue;
    double unit = 1;
    const double norm2 = deviation2(x, j, m, &unit);
    inverse_deviation[j] = is_constant(c, x->rows) ? 0 : sqrt(n / norm2) / unit;
  }
}

void epact_columns_squared_norm(const epact_columns *x, double *squared_norm)
{
  for (int64_t j = 0; j < x->columns; j++) {
    double unit = 1;
    const double norm2 = deviation2(x, j, x->mean ? x->mean[j] : 0, &unit), s = scale_of(x, j) * unit;
    squared_norm[j] = s * s * norm2;
  }
}

double column_product(int64_t rows, column a, double mean_a, column b, double mean_b)
{
  double sum = 0;
  if (!a.index && mean_a == 0 && mean_b == 0) return dense_dot(rows, a.value, b.value);
  if (!a.index) { /* x_j'x_k - n m_j m_k would cancel */
    double part[4] = { 0 };
    for (int64_t i = 0; i < rows; i++) part[i & 3] += (a.value[i] - mean_a) * (b.value[i] - mean_b);
    return (part[0] + part[1]) + (part[2] + part[3]);
  }
  for (int64_t i = 0, k = 0; i < a.count && k < b.count;) {
    const uint32_t row_a = a.index[i], row_b = b.index[k];
    if (row_a == row_b) sum += a.value[i] * b.value[k];
    i += row_a <= row_b;
    k += row_b <= row_a;
  }
  return sum - (double)rows * mean_a * mean_b;
}

double epact_columns_product(const epact_columns *x, int64_t j, int64_t k)
{
  const double mean_j = x->mean ? x->mean[j] : 0, mean_k = x->mean ? x->mean[k] : 0;
  return scale_of(x, j) * scale_of(x, k) * column_product(x->rows, column_of(x, j), mean_j, column_of(x, k), mean_k);
}
