/* Whole passes over the rows of a matrix: see linear.h. */
#include "rows.h"

#include "../base/internal.h"

#include <math.h>

#define BLOCK_BYTES 131072

static int check_start(const epact_rows *x)
{
  for (int64_t i = 0; i < x->rows; i++) {
    if (x->start[i] < 0 || x->start[i + 1] < x->start[i]) {
      return epact_fail(EPACT_E_MISUSE, "row %lld: its start falls", (long long)i);
    }
  }
  return EPACT_OK;
}

static int check_columns(const epact_rows *x)
{
  for (int64_t i = 0; i < x->rows; i++) {
    for (int64_t e = x->start[i]; e < x->start[i + 1]; e++) {
      if (x->index[e] >= x->columns) {
        return epact_fail(EPACT_E_MISUSE, "row %lld: column %u is not below %lld", (long long)i, x->index[e],
                          (long long)x->columns);
      }
      if (e > x->start[i] && x->index[e] <= x->index[e - 1]) {
        return epact_fail(EPACT_E_MISUSE, "row %lld: column %u follows column %u", (long long)i, x->index[e],
                          x->index[e - 1]);
      }
    }
  }
  return EPACT_OK;
}

static int check_values(const epact_rows *x, int *ones)
{
  for (int64_t i = 0; i < x->rows; i++) {
    const row_view row = row_of(x, i);
    for (int64_t k = 0; k < row.count; k++) {
      if (!isfinite(row.value[k])) {
        return epact_fail(EPACT_E_MISUSE, "row %lld, column %lld: the value is not finite", (long long)i,
                          (long long)(row.index ? (int64_t)row.index[k] : k));
      }
      *ones &= row.value[k] == 1;
    }
  }
  return EPACT_OK;
}

int epact_rows_check(const epact_rows *x, int *ones)
{
  int code = EPACT_OK, all_ones = x->start != NULL;
  if (x->start) code = check_start(x);
  if (!code && x->start) code = check_columns(x);
  if (!code && x->value) code = check_values(x, &all_ones);
  if (ones) *ones = all_ones;
  return code;
}

bool rows_are_flat(const epact_rows *x)
{
  for (int64_t i = 0; x->value && i < x->rows; i++) {
    const row_view row = row_of(x, i);
    for (int64_t k = 0; k < row.count; k++) {
      if (row.value[k] != row.value[0] || row.value[k] == 0) return false;
    }
  }
  return true;
}

int64_t epact_rows_entries(const epact_rows *x)
{
  return x->start ? x->start[x->rows] - x->start[0] : x->rows * x->columns;
}

int epact_labels_check(int64_t count, const double *label, int signs)
{
  for (int64_t i = 0; i < count; i++) {
    if (signs && label[i] != 1 && label[i] != -1) {
      return epact_fail(EPACT_E_MISUSE, "row %lld: the label must be -1 or 1, got %g", (long long)i, label[i]);
    }
    if (!isfinite(label[i])) return epact_fail(EPACT_E_MISUSE, "row %lld: the label is not finite", (long long)i);
  }
  return EPACT_OK;
}

/* OpenBLAS counts in int: a dense matrix goes by pieces of rows, which stay in the cache. */
static int64_t dense_piece(const epact_rows *x)
{
  const int64_t rows = BLOCK_BYTES / (int64_t)sizeof(double) / (x->columns > 0 ? x->columns : 1);
  return rows < 1 ? 1 : rows;
}

static int rows_left(const epact_rows *x, int64_t i, int64_t piece)
{
  return (int)(x->rows - i < piece ? x->rows - i : piece);
}

static double sparse_dot(const epact_rows *x, int64_t i, const double *w)
{
  if (!x->value) return ones_dot(x->start[i + 1] - x->start[i], x->index + x->start[i], w);
  const row_view row = row_of(x, i);
  return row_dot(&row, w);
}

static void sparse_axpy(const epact_rows *x, int64_t i, double a, double *g)
{
  if (x->value) {
    const row_view row = row_of(x, i);
    row_axpy(&row, a, g);
    return;
  }
  for (int64_t e = x->start[i]; e < x->start[i + 1]; e++) g[x->index[e]] += a;
}

void epact_rows_predict(const epact_rows *x, const double *w, double bias, double *t)
{
  if (x->start) {
    for (int64_t i = 0; i < x->rows; i++) t[i] = bias + sparse_dot(x, i, w);
    return;
  }
  const int64_t piece = dense_piece(x);
  for (int64_t i = 0; i < x->rows; i++) t[i] = bias;
  for (int64_t i = 0; i < x->rows; i += piece) {
    cblas_dgemv(CblasRowMajor, CblasNoTrans, rows_left(x, i, piece), (int)x->columns, 1, x->value + i * x->columns,
                (int)x->columns, w, 1, 1, t + i, 1);
  }
}

void epact_rows_combine(const epact_rows *x, double a, const double *c, double *g)
{
  if (x->start) {
    for (int64_t i = 0; i < x->rows; i++) {
      if (c[i] != 0) sparse_axpy(x, i, a * c[i], g);
    }
    return;
  }
  const int64_t piece = dense_piece(x);
  for (int64_t i = 0; i < x->rows; i += piece) {
    cblas_dgemv(CblasRowMajor, CblasTrans, rows_left(x, i, piece), (int)x->columns, a, x->value + i * x->columns,
                (int)x->columns, c + i, 1, 1, g, 1);
  }
}

double epact_rows_largest_norm2(const epact_rows *x)
{
  double largest = 0;
  for (int64_t i = 0; i < x->rows; i++) {
    const row_view row = row_of(x, i);
    largest = fmax(largest, row_norm2(&row));
  }
  return largest;
}
