/* Sums over the rows of a linear model: see design.h. */
#include "design.h"

#include "../base/internal.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

/* Rows of a dense design that are scaled together before they go to the BLAS. */
#define BLOCK_BYTES 131072

static int check_sparse(const epact_design *x, int *ones)
{
  int all_ones = 1;
  for (int64_t i = 0; i < x->rows; i++) {
    const int64_t begin = x->start[i], end = x->start[i + 1];
    if (begin < 0 || end < begin) return epact_fail(EPACT_E_MISUSE, "row %lld: its start falls", (long long)i);
    for (int64_t e = begin; e < end; e++) {
      if (x->index[e] >= x->columns)
        return epact_fail(EPACT_E_MISUSE, "row %lld: column %u is not below %lld", (long long)i, x->index[e],
                          (long long)x->columns);
      if (e > begin && x->index[e] <= x->index[e - 1])
        return epact_fail(EPACT_E_MISUSE, "row %lld: column %u follows column %u", (long long)i, x->index[e],
                          x->index[e - 1]);
      if (!x->value) continue;
      if (!isfinite(x->value[e]))
        return epact_fail(EPACT_E_MISUSE, "row %lld, column %u: the value is %g", (long long)i, x->index[e],
                          x->value[e]);
      all_ones &= x->value[e] == 1;
    }
  }
  if (ones) *ones = all_ones;
  return EPACT_OK;
}

int epact_design_check(const epact_design *x, int *ones)
{
  if (x->rows < 1 || x->columns < 1)
    return epact_fail(EPACT_E_MISUSE, "a design needs a row and a column, this one has %lld x %lld", (long long)x->rows,
                      (long long)x->columns);
  if (x->start) return check_sparse(x, ones);
  for (int64_t i = 0; i < x->rows; i++)
    for (int64_t j = 0; j < x->columns; j++)
      if (!isfinite(x->value[i * x->columns + j]))
        return epact_fail(EPACT_E_MISUSE, "row %lld, column %lld: the value is %g", (long long)i, (long long)j,
                          x->value[i * x->columns + j]);
  if (ones) *ones = 0;
  return EPACT_OK;
}

int64_t epact_design_entries(const epact_design *x)
{
  return x->start ? x->start[x->rows] - x->start[0] : x->rows * x->columns;
}

double epact_design_hessian_cost(const epact_design *x)
{
  double cost = 0;
  if (!x->start) return (double)x->rows * (double)x->columns * (double)x->columns / 2;
  for (int64_t i = 0; i < x->rows; i++) {
    const double count = (double)(x->start[i + 1] - x->start[i]);
    cost += count * count / 2;
  }
  return cost;
}

/* Four sums, because one would wait for itself. */
static double row_dot(int64_t count, const uint32_t *index, const double *value, const double *w)
{
  double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
  int64_t e = 0;
  for (; e + 4 <= count; e += 4) {
    sum0 += value[e] * w[index[e]];
    sum1 += value[e + 1] * w[index[e + 1]];
    sum2 += value[e + 2] * w[index[e + 2]];
    sum3 += value[e + 3] * w[index[e + 3]];
  }
  for (; e < count; e++) sum0 += value[e] * w[index[e]];
  return (sum0 + sum1) + (sum2 + sum3);
}

static double row_sum(int64_t count, const uint32_t *index, const double *w)
{
  double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
  int64_t e = 0;
  for (; e + 4 <= count; e += 4) {
    sum0 += w[index[e]];
    sum1 += w[index[e + 1]];
    sum2 += w[index[e + 2]];
    sum3 += w[index[e + 3]];
  }
  for (; e < count; e++) sum0 += w[index[e]];
  return (sum0 + sum1) + (sum2 + sum3);
}

/* OpenBLAS counts in int: a dense design goes by pieces of rows. */
static int64_t dense_piece(const epact_design *x)
{
  const int64_t rows = BLOCK_BYTES / (int64_t)sizeof(double) / x->columns;
  return rows < 1 ? 1 : rows;
}

void epact_design_times(const epact_design *x, int intercept, const double *w, double *t)
{
  const double constant = intercept ? w[x->columns] : 0;
  if (!x->start) {
    const int64_t piece = dense_piece(x);
    for (int64_t i = 0; i < x->rows; i++) t[i] = constant;
    for (int64_t i = 0; i < x->rows; i += piece) {
      const int rows = (int)(x->rows - i < piece ? x->rows - i : piece);
      cblas_dgemv(CblasRowMajor, CblasNoTrans, rows, (int)x->columns, 1, x->value + i * x->columns, (int)x->columns, w,
                  1, 1, t + i, 1);
    }
    return;
  }
  for (int64_t i = 0; i < x->rows; i++) {
    const int64_t begin = x->start[i], count = x->start[i + 1] - begin;
    t[i] = constant +
           (x->value ? row_dot(count, x->index + begin, x->value + begin, w) : row_sum(count, x->index + begin, w));
  }
}

void epact_design_gradient(const epact_design *x, int intercept, const double *u, double *g)
{
  double sum = 0;
  memset(g, 0, (size_t)(x->columns + intercept) * sizeof *g);
  for (int64_t i = 0; i < x->rows; i++) sum += u[i];
  if (intercept) g[x->columns] = sum;
  if (!x->start) {
    const int64_t piece = dense_piece(x);
    for (int64_t i = 0; i < x->rows; i += piece) {
      const int rows = (int)(x->rows - i < piece ? x->rows - i : piece);
      cblas_dgemv(CblasRowMajor, CblasTrans, rows, (int)x->columns, 1, x->value + i * x->columns, (int)x->columns,
                  u + i, 1, 1, g, 1);
    }
    return;
  }
  for (int64_t i = 0; i < x->rows; i++) {
    const double scale = u[i];
    if (scale == 0) continue;
    if (x->value)
      for (int64_t e = x->start[i]; e < x->start[i + 1]; e++) g[x->index[e]] += scale * x->value[e];
    else
      for (int64_t e = x->start[i]; e < x->start[i + 1]; e++) g[x->index[e]] += scale;
  }
}

static void hessian_sparse(const epact_design *x, int intercept, const double *d, double *h, int64_t p)
{
  double *last = h + x->columns * p;
  for (int64_t i = 0; i < x->rows; i++) {
    const int64_t begin = x->start[i], count = x->start[i + 1] - begin;
    const uint32_t *index = x->index + begin;
    const double scale = d[i];
    if (scale == 0) continue;
    if (x->value) {
      const double *value = x->value + begin;
      for (int64_t a = 0; a < count; a++) {
        double *row = h + index[a] * p;
        const double factor = scale * value[a];
        for (int64_t b = 0; b <= a; b++) row[index[b]] += factor * value[b];
        if (intercept) last[index[a]] += factor;
      }
    } else {
      for (int64_t a = 0; a < count; a++) {
        double *row = h + index[a] * p;
        for (int64_t b = 0; b <= a; b++) row[index[b]] += scale;
        if (intercept) last[index[a]] += scale;
      }
    }
    if (intercept) last[x->columns] += scale;
  }
}

/* H += Z'Z, Z a few rows of X, each times sqrt(d); ones are put in the last column. */
static void hessian_dense(const epact_design *x, int intercept, const double *d, double *h, int64_t p)
{
  double scaled[BLOCK_BYTES / sizeof(double)];
  const int64_t most = (int64_t)(sizeof scaled / sizeof *scaled) / p;
  for (int64_t i = 0; i < x->rows;) {
    int filled = 0;
    for (; i < x->rows && filled < most; i++) {
      const double root = sqrt(d[i]);
      double *row = scaled + filled * p;
      if (root == 0) continue;
      for (int64_t j = 0; j < x->columns; j++) row[j] = root * x->value[i * x->columns + j];
      if (intercept) row[x->columns] = root;
      filled++;
    }
    if (filled) cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)p, filled, 1, scaled, (int)p, 1, h, (int)p);
  }
}

void epact_design_hessian(const epact_design *x, int intercept, const double *d, double *h)
{
  const int64_t p = x->columns + intercept;
  memset(h, 0, (size_t)(p * p) * sizeof *h);
  if (x->start)
    hessian_sparse(x, intercept, d, h, p);
  else
    hessian_dense(x, intercept, d, h, p);
}
