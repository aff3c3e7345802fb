/* Dense primitives through OpenBLAS, sparse ones by hand, and the hinge loss for both precisions. */
#include "linear.h"

#include "../base/internal.h"
#include "threshold.h"

#include <cblas.h>
#include <math.h>

/* Below this the direction of scaled weights would lose digits to its own growth: fold. */
#define SMALLEST_SCALE 1e-6

/* OpenBLAS counts in int: longer vectors go piece by piece. */
#define LONGEST_PIECE (INT64_C(1) << 30)

static int piece(int64_t rest)
{
  return (int)(rest < LONGEST_PIECE ? rest : LONGEST_PIECE);
}

void epact_blas_single_thread(void)
{
  openblas_set_num_threads(1);
}

double epact_dot(int64_t n, const double *x, const double *y)
{
  double sum = 0;
  for (int64_t i = 0; i < n; i += LONGEST_PIECE) sum += cblas_ddot(piece(n - i), x + i, 1, y + i, 1);
  return sum;
}

double epact_dot_f(int64_t n, const float *x, const float *y)
{
  double sum = 0;
  for (int64_t i = 0; i < n; i += LONGEST_PIECE) sum += cblas_dsdot(piece(n - i), x + i, 1, y + i, 1);
  return sum;
}

void epact_axpy(int64_t n, double a, const double *x, double *y)
{
  for (int64_t i = 0; i < n; i += LONGEST_PIECE) cblas_daxpy(piece(n - i), a, x + i, 1, y + i, 1);
}

void epact_axpy_f(int64_t n, float a, const float *x, float *y)
{
  for (int64_t i = 0; i < n; i += LONGEST_PIECE) cblas_saxpy(piece(n - i), a, x + i, 1, y + i, 1);
}

double epact_norm(int64_t n, const double *x)
{
  double norm = 0;
  for (int64_t i = 0; i < n; i += LONGEST_PIECE) norm = hypot(norm, cblas_dnrm2(piece(n - i), x + i, 1));
  return norm;
}

double epact_norm_f(int64_t n, const float *x)
{
  double norm = 0;
  for (int64_t i = 0; i < n; i += LONGEST_PIECE) norm = hypot(norm, (double)cblas_snrm2(piece(n - i), x + i, 1));
  return norm;
}

double epact_soft_threshold(double z, double threshold)
{
  return soft_threshold(z, threshold);
}

static int check_sgd(int64_t rows, int64_t first, int64_t end, const epact_sgd_options *options, int64_t updates)
{
  if (first < 0 || end < first || end > rows)
    return epact_fail(EPACT_E_MISUSE, "positions %lld to %lld are not a range of %lld rows", (long long)first,
                      (long long)end, (long long)rows);
  if (!(options->step > 0) || !(options->decay >= 0) || !(options->l2 >= 0) || updates < 0)
    return epact_fail(EPACT_E_MISUSE, "step must be positive and decay, l2 and updates not negative");
  if (options->step / (1 + options->decay * (double)updates) * options->l2 > 1 + 1e-12)
    return epact_fail(EPACT_E_MISUSE, "step * l2 must not exceed 1, or the weights change sign as they shrink");
  return EPACT_OK;
}

static int fail_order(int64_t position, int64_t row, int64_t rows)
{
  return epact_fail(EPACT_E_MISUSE, "position %lld of the order names row %lld of %lld rows", (long long)position,
                    (long long)row, (long long)rows);
}

static int fail_diverged(int64_t row)
{
  return epact_fail(EPACT_E_DIVERGED,
                    "the weights diverged: the margin of row %lld is not finite (take a smaller step)", (long long)row);
}

#define REAL double
#define NAME(base) base
#include "sparse.h"
#include "hinge.h"
#undef REAL
#undef NAME

#define REAL float
#define NAME(base) base##_f
#include "sparse.h"
#include "hinge.h"
#undef REAL
#undef NAME

double epact_sparse_dot(int64_t count, const uint32_t *index, const double *value, const double *y)
{
  return sparse_dot(count, index, value, y);
}

double epact_sparse_dot_f(int64_t count, const uint32_t *index, const float *value, const float *y)
{
  return sparse_dot_f(count, index, value, y);
}

void epact_sparse_axpy(int64_t count, double a, const uint32_t *index, const double *value, double *y)
{
  sparse_axpy(count, a, index, value, y);
}

void epact_sparse_axpy_f(int64_t count, float a, const uint32_t *index, const float *value, float *y)
{
  sparse_axpy_f(count, a, index, value, y);
}
