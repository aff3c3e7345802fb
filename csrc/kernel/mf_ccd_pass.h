/* The pass of mf_ccd.c over one row's ratings. Private, and a template: define LANES (4 or 8 floats in a vector),
 * FUSED(a, b, c) (a b + c), NAME(base) and TARGET (the attribute of the functions made) before including it, once for
 * each; it undefines them. */

#ifndef EPACT_KERNEL_MF_CCD_PASS_H
#define EPACT_KERNEL_MF_CCD_PASS_H
#define INLINED TARGET static inline __attribute__((always_inline))
#define CHUNK 256 /* ratings whose sums are floats */
typedef float quad __attribute__((vector_size(16)));

/* By id of the other side: what is added to the residual as it is (w), times `s` and times `t` of the row (x, y), and
 * the vector that is solved against. */
enum { W, X, Y, V };

/* Of one row. */
typedef struct {
  float shift, s, t;
} factors_of_row;

typedef struct {
  double squares, product, norm2; /* e^2, e v, v^2 */
} sums_of_row;
#endif

typedef float NAME(lanes) __attribute__((vector_size(LANES * sizeof(float))));
#define LANE_TYPE NAME(lanes)

/* w, x, y and v of LANES ratings, from the scratch. */
INLINED void NAME(gather)(LANE_TYPE to[4], const float *scratch, const uint32_t *id)
{
  quad q[LANES];
  for (int l = 0; l < LANES; l++) memcpy(&q[l], scratch + 4 * (size_t)id[l], sizeof q[l]);
#if LANES == 8
  LANE_TYPE pair[4];
  for (int l = 0; l < 4; l++) pair[l] = __builtin_shufflevector(q[l], q[l + 4], 0, 1, 2, 3, 4, 5, 6, 7);
  const LANE_TYPE low0 = __builtin_shufflevector(pair[0], pair[1], 0, 8, 1, 9, 4, 12, 5, 13);
  const LANE_TYPE low1 = __builtin_shufflevector(pair[2], pair[3], 0, 8, 1, 9, 4, 12, 5, 13);
  const LANE_TYPE high0 = __builtin_shufflevector(pair[0], pair[1], 2, 10, 3, 11, 6, 14, 7, 15);
  const LANE_TYPE high1 = __builtin_shufflevector(pair[2], pair[3], 2, 10, 3, 11, 6, 14, 7, 15);
  to[W] = __builtin_shufflevector(low0, low1, 0, 1, 8, 9, 4, 5, 12, 13);
  to[X] = __builtin_shufflevector(low0, low1, 2, 3, 10, 11, 6, 7, 14, 15);
  to[Y] = __builtin_shufflevector(high0, high1, 0, 1, 8, 9, 4, 5, 12, 13);
  to[V] = __builtin_shufflevector(high0, high1, 2, 3, 10, 11, 6, 7, 14, 15);
#else
  const LANE_TYPE low0 = __builtin_shufflevector(q[0], q[1], 0, 4, 1, 5);
  const LANE_TYPE low1 = __builtin_shufflevector(q[2], q[3], 0, 4, 1, 5);
  const LANE_TYPE high0 = __builtin_shufflevector(q[0], q[1], 2, 6, 3, 7);
  const LANE_TYPE high1 = __builtin_shufflevector(q[2], q[3], 2, 6, 3, 7);
  to[W] = __builtin_shufflevector(low0, low1, 0, 1, 4, 5);
  to[X] = __builtin_shufflevector(low0, low1, 2, 3, 6, 7);
  to[Y] = __builtin_shufflevector(high0, high1, 0, 1, 4, 5);
  to[V] = __builtin_shufflevector(high0, high1, 2, 3, 6, 7);
#endif
}

INLINED double NAME(total)(const LANE_TYPE *sum)
{
  double total = 0;
  for (int l = 0; l < LANES; l++) total += (double)(*sum)[l];
  return total;
}

/* At most CHUNK ratings. */
INLINED void NAME(chunk)(const factors_of_row *row, const float *scratch, const uint32_t *id, float *residual,
                         int64_t count, sums_of_row *sums)
{
  LANE_TYPE squares = { 0 }, product = { 0 }, norm2 = { 0 };
  int64_t j = 0;
  for (; j + LANES <= count; j += LANES) {
    LANE_TYPE e, of[4];
    NAME(gather)(of, scratch, id + j);
    memcpy(&e, residual + j, sizeof e);
    e += row->shift + of[W];
    e = FUSED((LANE_TYPE){ 0 } + row->s, of[X], e);
    e = FUSED((LANE_TYPE){ 0 } + row->t, of[Y], e);
    memcpy(residual + j, &e, sizeof e);
    squares = FUSED(e, e, squares);
    product = FUSED(e, of[V], product);
    norm2 = FUSED(of[V], of[V], norm2);
  }
  sums->squares += NAME(total)(&squares);
  sums->product += NAME(total)(&product);
  sums->norm2 += NAME(total)(&norm2);
  for (; j < count; j++) {
    const float *const of = scratch + 4 * (size_t)id[j];
    const float e = residual[j] + (row->shift + of[W]) + row->s * of[X] + row->t * of[Y];
    residual[j] = e;
    sums->squares += (double)(e * e);
    sums->product += (double)(e * of[V]);
    sums->norm2 += (double)(of[V] * of[V]);
  }
}

TARGET static sums_of_row NAME(pass_row)(const factors_of_row *row, const float *scratch, const uint32_t *id,
                                         float *residual, int64_t count)
{
  sums_of_row sums = { 0 };
  for (int64_t j = 0; j < count; j += CHUNK)
    NAME(chunk)(row, scratch, id + j, residual + j, count - j < CHUNK ? count - j : CHUNK, &sums);
  return sums;
}

#undef LANE_TYPE
#undef FUSED
#undef LANES
#undef NAME
#undef TARGET
