/* The loops of cholesky.c. Private, and a template: define REAL (float or double), NAME(base), BLAS(base), LEAST_PIVOT
 * and LOST_PIVOT(diagonal) before including it. */

static int64_t NAME(factor_panel)(int64_t p, int64_t size, REAL *h, const REAL *diagonal)
{
  int64_t rejected = 0;
  for (int64_t j = 0; j < size; j++) {
    REAL *row = h + j * p;
    for (int64_t k = 0; k < j; k++) {
      const REAL *other = h + k * p;
      REAL sum = row[k];
      for (int64_t l = 0; l < k; l++) sum -= row[l] * other[l];
      row[k] = sum / other[k];
    }
    REAL pivot = row[j];
    for (int64_t l = 0; l < j; l++) pivot -= row[l] * row[l];
    const int accepted = pivot > LEAST_PIVOT * diagonal[j];
    row[j] = accepted ? (REAL)sqrt((double)pivot) : LOST_PIVOT(diagonal[j]);
    rejected += !accepted;
  }
  return rejected;
}

/* The rows below a factored block of `size` columns: their part of L, and what is left of H beyond. */
static void NAME(go_below)(int64_t p, int64_t rest, int64_t size, REAL *block)
{
  REAL *below = block + size * p;
  if (!size || !rest) return;
  BLAS(trsm)
  (CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, (int)rest, (int)size, 1, block, (int)p, below,
   (int)p);
  NAME(update_rest)(p, rest, size, below);
}

int64_t NAME(cholesky_factor)(int64_t p, int64_t known, REAL *h, const REAL *diagonal)
{
  int64_t rejected = 0;
  NAME(go_below)(p, p - known, known, h);
  for (int64_t j = known; j < p; j += PANEL) {
    const int64_t size = p - j < PANEL ? p - j : PANEL;
    REAL *block = h + j * p + j;
    rejected += NAME(factor_panel)(p, size, block, diagonal + j);
    NAME(go_below)(p, p - j - size, size, block);
  }
  return rejected;
}

void NAME(cholesky_solve)(int64_t p, const REAL *l, REAL *right)
{
  if (p == 0) return; /* BLAS complains */
  BLAS(trsv)(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, (int)p, l, (int)p, right, 1);
  BLAS(trsv)(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, (int)p, l, (int)p, right, 1);
}

#undef REAL
#undef NAME
#undef BLAS
#undef LEAST_PIVOT
#undef LOST_PIVOT
