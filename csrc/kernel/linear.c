/* Dense primitives through OpenBLAS, sparse ones by hand. */
#include "linear.h"

#include "../base/internal.h"
#include "threshold.h"

#include <cblas.h>
#include <math.h>

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

#define REAL double
#define NAME(base) base
#include "sparse.h"
#undef REAL
#undef NAME

#define REAL float
#define NAME(base) base##_f
#include "sparse.h"
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
