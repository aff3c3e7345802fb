/* Dense loops, wide where the processor is: see dense.h. */
#include "dense.h"

#include <cblas.h>
#include <string.h>

#if defined(__x86_64__)
#define TARGET __attribute__((target("avx2,fma")))

typedef double lanes __attribute__((vector_size(32)));

static int is_wide(void)
{
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

TARGET static inline lanes load(const double *from)
{
  lanes x;
  memcpy(&x, from, sizeof x);
  return x;
}

TARGET static inline void store(double *to, lanes x)
{
  memcpy(to, &x, sizeof x);
}

TARGET static double wide_dot(int64_t n, const double *x, const double *y)
{
  lanes sum0 = { 0 }, sum1 = { 0 }, sum2 = { 0 }, sum3 = { 0 };
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    sum0 += load(x + i) * load(y + i);
    sum1 += load(x + i + 4) * load(y + i + 4);
    sum2 += load(x + i + 8) * load(y + i + 8);
    sum3 += load(x + i + 12) * load(y + i + 12);
  }
  for (; i + 4 <= n; i += 4) sum0 += load(x + i) * load(y + i);
  const lanes sum = (sum0 + sum1) + (sum2 + sum3);
  double rest = 0;
  for (; i < n; i++) rest += x[i] * y[i];
  return ((sum[0] + sum[2]) + (sum[1] + sum[3])) + rest;
}

TARGET static void wide_axpy(int64_t n, double a, const double *x, double *y)
{
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    store(y + i, load(y + i) + a * load(x + i));
    store(y + i + 4, load(y + i + 4) + a * load(x + i + 4));
  }
  for (; i < n; i++) y[i] += a * x[i];
}
#endif

double dense_dot(int64_t n, const double *x, const double *y)
{
#if defined(__x86_64__)
  if (is_wide()) return wide_dot(n, x, y);
#endif
  return cblas_ddot((int)n, x, 1, y, 1);
}

void dense_axpy(int64_t n, double a, const double *x, double *y)
{
#if defined(__x86_64__)
  if (is_wide()) {
    wide_axpy(n, a, x, y);
    return;
  }
#endif
  cblas_daxpy((int)n, a, x, 1, y, 1);
}
