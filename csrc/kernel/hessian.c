/* X'DX: see hessian.h. */
#include "hessian.h"

#include "../base/internal.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

/* Rows of a dense matrix that are scaled together before they go to the BLAS. */
#define BLOCK_BYTES 131072

double epact_rows_hessian_cost(const epact_rows *x)
{
  double cost = 0;
  if (!x->start) return (double)x->rows * (double)x->columns * (double)x->columns / 2;
  for (int64_t i = 0; i < x->rows; i++) {
    const double count = (double)(x->start[i + 1] - x->start[i]);
    cost += count * count / 2;
  }
  return cost;
}

static void hessian_sparse(const epact_rows *x, int intercept, const double *d, double *h, int64_t p)
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
static void hessian_dense(const epact_rows *x, int intercept, const double *d, double *h, int64_t p)
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

void epact_rows_hessian(const epact_rows *x, int intercept, const double *d, double *h)
{
  const int64_t p = x->columns + intercept;
  memset(h, 0, (size_t)(p * p) * sizeof *h);
  if (x->start)
    hessian_sparse(x, intercept, d, h, p);
  else
    hessian_dense(x, intercept, d, h, p);
}
