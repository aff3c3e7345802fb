/* The two loops everything sparse is made of. Private, and a template: define REAL (float or double)
 * and NAME(base) before including it; it may be included once for each type. */

/* Four sums, because one would wait for itself: a floating-point addition takes four cycles. */
static inline double NAME(sparse_dot)(int64_t count, const uint32_t *restrict index, const REAL *restrict value,
                                      const REAL *restrict y)
{
  double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    sum0 += (double)(value[i] * y[index[i]]);
    sum1 += (double)(value[i + 1] * y[index[i + 1]]);
    sum2 += (double)(value[i + 2] * y[index[i + 2]]);
    sum3 += (double)(value[i + 3] * y[index[i + 3]]);
  }
  for (; i < count; i++) sum0 += (double)(value[i] * y[index[i]]);
  return (sum0 + sum1) + (sum2 + sum3);
}

static inline void NAME(sparse_axpy)(int64_t count, REAL a, const uint32_t *restrict index, const REAL *restrict value,
                                     REAL *restrict y)
{
  for (int64_t i = 0; i < count; i++) y[index[i]] += a * value[i];
}
