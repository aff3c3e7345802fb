/* Cholesky factors: see cholesky.h. */
#include "cholesky.h"

#include "block_product.h"

#include <cblas.h>
#include <math.h>

enum { PANEL = 64 };
#define NO_PIVOT 1e100

static int64_t factor_panel(int64_t p, int64_t size, double *h, const double *diagonal)
{
  int64_t rejected = 0;
  for (int64_t j = 0; j < size; j++) {
    double *row = h + j * p;
    for (int64_t k = 0; k < j; k++) {
      const double *other = h + k * p;
      double sum = row[k];
      for (int64_t l = 0; l < k; l++) sum -= row[l] * other[l];
      row[k] = sum / other[k];
    }
    double pivot = row[j];
    for (int64_t l = 0; l < j; l++) pivot -= row[l] * row[l];
    const int accepted = pivot > 1e-12 * diagonal[j];
    row[j] = accepted ? sqrt(pivot) : NO_PIVOT;
    rejected += !accepted;
  }
  return rejected;
}

int64_t cholesky_factor(int64_t p, double *h, const double *diagonal)
{
  int64_t rejected = 0;
  for (int64_t j = 0; j < p; j += PANEL) {
    const int64_t size = p - j < PANEL ? p - j : PANEL, rest = p - j - size;
    double *block = h + j * p + j, *below = block + size * p;
    rejected += factor_panel(p, size, block, diagonal + j);
    if (!rest) break;
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, (int)rest, (int)size, 1, block, (int)p,
                below, (int)p);
    const row_block rows = { below, rest, p };
    block_product(rows, rows, size, -1, 0, below + size, p);
  }
  return rejected;
}

bool cholesky_accepts(int64_t p, const double *l, int64_t j)
{
  return l[j * p + j] < NO_PIVOT;
}

void cholesky_solve(int64_t p, const double *l, double *right)
{
  cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, (int)p, l, (int)p, right, 1);
  cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, (int)p, l, (int)p, right, 1);
}
