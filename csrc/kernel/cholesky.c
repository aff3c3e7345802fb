/* Cholesky factors: see cholesky.h. */
#include "cholesky.h"

#include "block_product.h"

#include <cblas.h>
#include <math.h>

enum { PANEL = 64 };
#define NO_PIVOT 1e100

/* What a panel of `size` columns takes from the rows below it: the lower triangle, of which those above may change. */
static void update_rest(int64_t p, int64_t rest, int64_t size, double *below)
{
  const row_block rows = { below, rest, p };
  block_product(rows, rows, size, -1, 0, below + size, p);
}

static void update_rest_f(int64_t p, int64_t rest, int64_t size, float *below)
{
  cblas_ssyrk(CblasRowMajor, CblasLower, CblasNoTrans, (int)rest, (int)size, -1, below, (int)p, 1, below + size,
              (int)p);
}

#define REAL double
#define NAME(base) base
#define BLAS(base) cblas_d##base
#define LEAST_PIVOT 1e-12
#define LOST_PIVOT(diagonal) NO_PIVOT
#include "cholesky_panels.h"

#define REAL float
#define NAME(base) base##_f
#define BLAS(base) cblas_s##base
#define LEAST_PIVOT 1e-5f
#define LOST_PIVOT(diagonal) sqrtf(diagonal)
#include "cholesky_panels.h"

bool cholesky_accepts(int64_t p, const double *l, int64_t j)
{
  return l[j * p + j] < NO_PIVOT;
}
