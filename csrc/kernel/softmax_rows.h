/* The loops of softmax.c over the classes, with vectors. Private, and a template: define LANES (doubles in a vector:
 * 2 or 4), NAME(base) and TARGET (the attribute of the functions made) before including it, once for each; it
 * undefines them. No sum runs over lanes and nothing is fused: the same bits for any number of lanes. */

#ifndef EPACT_KERNEL_SOFTMAX_ROWS_H
#define EPACT_KERNEL_SOFTMAX_ROWS_H
#define AHEAD 6      /* how many non-zeros ahead a row of W is fetched */
#define REGISTERS 16 /* classes that are summed up at a time: a multiple of all LANES, few enough for registers */
#define FOUR 4
#define TWELVE 12 /* classes that four rows' sums have registers for */
#define INLINED TARGET static inline __attribute__((always_inline))
#endif

typedef double NAME(lanes) __attribute__((vector_size(LANES * sizeof(double))));
typedef int64_t NAME(bits) __attribute__((vector_size(LANES * sizeof(int64_t))));
#define LANE_TYPE NAME(lanes)
#define BITS_TYPE NAME(bits)

/* Rows are not aligned: a copy is the portable way to say so. Through pointers, as vectors by value have no common
 * calling convention. */
INLINED void NAME(load)(LANE_TYPE *to, const double *row, int v)
{
  memcpy(to, row + v * LANES, sizeof *to);
}

INLINED void NAME(store)(double *row, int v, const LANE_TYPE *from)
{
  memcpy(row + v * LANES, from, sizeof *from);
}

INLINED void NAME(scores_part)(const int vectors, const row_view *x, const double *weights, int64_t stride, double *out)
{
  LANE_TYPE sum[REGISTERS / LANES] = { { 0 } }, w;
  for (int64_t e = 0; e < x->count; e++) {
    const double *row = weights + (x->index ? x->index[e] : e) * stride;
    if (x->index && e + AHEAD < x->count) __builtin_prefetch(weights + x->index[e + AHEAD] * stride);
    for (int v = 0; v < vectors; v++) {
      NAME(load)(&w, row, v);
      sum[v] += x->value[e] * w;
    }
  }
  for (int v = 0; v < vectors; v++) NAME(store)(out, v, &sum[v]);
}

/* out = W'x. */
TARGET static void NAME(scores)(const row_view *x, const double *weights, int64_t stride, double *out)
{
  int64_t first = 0;
  for (; first + REGISTERS <= stride; first += REGISTERS)
    NAME(scores_part)(REGISTERS / LANES, x, weights + first, stride, out + first);
  if (stride - first == 12) NAME(scores_part)(12 / LANES, x, weights + first, stride, out + first);
  if (stride - first == 8) NAME(scores_part)(8 / LANES, x, weights + first, stride, out + first);
  if (stride - first == 4) NAME(scores_part)(4 / LANES, x, weights + first, stride, out + first);
}

INLINED void NAME(update_part)(const int vectors, const row_view *x, double a, const double *residual, double *weights,
                               int64_t stride)
{
  LANE_TYPE r[REGISTERS / LANES], w;
  for (int v = 0; v < vectors; v++) {
    NAME(load)(&r[v], residual, v);
    r[v] *= a;
  }
  for (int64_t e = 0; e < x->count; e++) {
    double *row = weights + (x->index ? x->index[e] : e) * stride;
    for (int v = 0; v < vectors; v++) {
      NAME(load)(&w, row, v);
      w += x->value[e] * r[v];
      NAME(store)(row, v, &w);
    }
  }
}

/* W += a x r'. */
TARGET static void NAME(update)(const row_view *x, double a, const double *residual, double *weights, int64_t stride)
{
  int64_t first = 0;
  for (; first + REGISTERS <= stride; first += REGISTERS)
    NAME(update_part)(REGISTERS / LANES, x, a, residual + first, weights + first, stride);
  if (stride - first == 12) NAME(update_part)(12 / LANES, x, a, residual + first, weights + first, stride);
  if (stride - first == 8) NAME(update_part)(8 / LANES, x, a, residual + first, weights + first, stride);
  if (stride - first == 4) NAME(update_part)(4 / LANES, x, a, residual + first, weights + first, stride);
}

/* Four dense rows at a time: a row of W, once loaded, serves them all. The sums are those of a row at a time. */

INLINED void NAME(four_scores_part)(const int vectors, const double *const *x, int64_t columns, const double *weights,
                                    int64_t stride, double *out)
{
  LANE_TYPE sum[FOUR][TWELVE / LANES] = { { { 0 } } }, w;
  for (int64_t j = 0; j < columns; j++)
    for (int v = 0; v < vectors; v++) {
      NAME(load)(&w, weights + j * stride, v);
      for (int r = 0; r < FOUR; r++) sum[r][v] += x[r][j] * w;
    }
  for (int r = 0; r < FOUR; r++)
    for (int v = 0; v < vectors; v++) NAME(store)(out + r * stride, v, &sum[r][v]);
}

/* out (4 x stride) = W'x of each. */
TARGET static void NAME(four_scores)(const double *const *x, int64_t columns, const double *weights, int64_t stride,
                                     double *out)
{
  int64_t first = 0;
  for (; first + TWELVE <= stride; first += TWELVE)
    NAME(four_scores_part)(TWELVE / LANES, x, columns, weights + first, stride, out + first);
  if (stride - first == 8) NAME(four_scores_part)(8 / LANES, x, columns, weights + first, stride, out + first);
  if (stride - first == 4) NAME(four_scores_part)(4 / LANES, x, columns, weights + first, stride, out + first);
}

INLINED void NAME(four_update_part)(const int vectors, const double *const *x, int64_t columns, double a,
                                    const double *residual, double *weights, int64_t stride)
{
  LANE_TYPE r[FOUR][TWELVE / LANES], w;
  for (int i = 0; i < FOUR; i++)
    for (int v = 0; v < vectors; v++) {
      NAME(load)(&r[i][v], residual + i * stride, v);
      r[i][v] *= a;
    }
  for (int64_t j = 0; j < columns; j++)
    for (int v = 0; v < vectors; v++) {
      NAME(load)(&w, weights + j * stride, v);
      for (int i = 0; i < FOUR; i++) w += x[i][j] * r[i][v];
      NAME(store)(weights + j * stride, v, &w);
    }
}

/* W += a sum of x r'. */
TARGET static void NAME(four_update)(const double *const *x, int64_t columns, double a, const double *residual,
                                     double *weights, int64_t stride)
{
  int64_t first = 0;
  for (; first + TWELVE <= stride; first += TWELVE)
    NAME(four_update_part)(TWELVE / LANES, x, columns, a, residual + first, weights + first, stride);
  if (stride - first == 8) NAME(four_update_part)(8 / LANES, x, columns, a, residual + first, weights + first, stride);
  if (stride - first == 4) NAME(four_update_part)(4 / LANES, x, columns, a, residual + first, weights + first, stride);
}

/* t = exp(t - largest) for t - largest <= 0, whatever above counting as 0; below -600 as that: products with
 * probabilities of 1e-308 would be slow, for they are denormal. exp(t) = 2^n exp(r),
 * n = round(t / ln 2), |r| <= ln 2 / 2; there the terms of exp's series beyond r^13 / 13! are below 5e-18. Adding and
 * taking away 1.5 2^52 rounds, and leaves n in the lowest bits of the sum. */
TARGET static void NAME(exponentials)(int64_t stride, double largest, double *score)
{
  static const double inverse_factorial[] = {
    1.0 / 6227020800.0, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
    1.0 / 720,          1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1.0,         1.0
  };
  const double rounder = 0x1.8p52, lowest = -600;
  for (int v = 0; v < stride / LANES; v++) {
    LANE_TYPE t, low = { 0 }, n, power, sum = { 0 };
    BITS_TYPE bits, below;
    NAME(load)(&t, score, v);
    t -= largest;
    low += lowest;
    bits = (BITS_TYPE)t & ~(t > 0); /* NaN stays */
    memcpy(&t, &bits, sizeof t);
    below = t < lowest;
    bits = ((BITS_TYPE)t & ~below) | ((BITS_TYPE)low & below);
    memcpy(&t, &bits, sizeof t);
    power = t * 0x1.71547652b82fep+0 + rounder;
    n = power - rounder;
    t = (t - n * 0x1.62e42fefa38p-1) - n * 0x1.ef35793c7673p-45; /* ln 2 in two parts: n times the first is exact */
    for (unsigned k = 0; k < sizeof inverse_factorial / sizeof *inverse_factorial; k++)
      sum = sum * t + inverse_factorial[k];
    bits = ((BITS_TYPE)power + 1023) << 52;
    memcpy(&power, &bits, sizeof power);
    sum *= power;
    NAME(store)(score, v, &sum);
  }
}

#undef LANE_TYPE
#undef BITS_TYPE
#undef LANES
#undef NAME
#undef TARGET
