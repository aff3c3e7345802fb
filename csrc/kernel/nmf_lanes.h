/* The loops of nmf.c, eight floats at a time. Private, and a template: define NAME(base), TARGET (the attribute of the
 * functions made) and MULTIPLY_ADD(a, b, c) (a + b c of eights) before including it, once for each; it undefines
 * them. */

#ifndef EPACT_KERNEL_NMF_LANES_H
#define EPACT_KERNEL_NMF_LANES_H
#define LANES 8
#define INLINED TARGET static inline __attribute__((always_inline))
#define DENSE_PIECE 256 /* columns whose rows of the factor stay in the nearest cache */
#define TINY 1e-12F
#define SMALLEST 1e-30F /* below, arithmetic would soon slow down by a factor of ten */
typedef float eights __attribute__((vector_size(32)));
typedef int32_t eights_mask __attribute__((vector_size(32)));
#endif

/* Through pointers: vectors by value have no common calling convention. */
INLINED void NAME(load)(eights *to, const float *from)
{
  memcpy(to, from, sizeof *to);
}

INLINED void NAME(store)(float *to, const eights *from)
{
  memcpy(to, from, sizeof *from);
}

/* out = scale sum_e value[e] F[index[e]], `vectors` eights of it: sums in registers, two of each, because an addition
 * takes four cycles. */
INLINED void NAME(sparse_row)(const int vectors, int64_t count, const uint32_t *restrict index,
                              const double *restrict value, const float *restrict factor, int64_t stride, double scale,
                              float *restrict out)
{
  eights even[4] = { { 0 } }, odd[4] = { { 0 } }, f;
  int64_t e = 0;
  for (; e + 2 <= count; e += 2) {
    const float a = (float)(scale * value[e]), b = (float)(scale * value[e + 1]);
    const float *const first = factor + index[e] * stride, *const second = factor + index[e + 1] * stride;
    for (int v = 0; v < vectors; v++) {
      NAME(load)(&f, first + v * LANES);
      MULTIPLY_ADD(even[v], a, f);
      NAME(load)(&f, second + v * LANES);
      MULTIPLY_ADD(odd[v], b, f);
    }
  }
  for (; e < count; e++) {
    for (int v = 0; v < vectors; v++) {
      NAME(load)(&f, factor + index[e] * stride + v * LANES);
      MULTIPLY_ADD(even[v], (float)(scale * value[e]), f);
    }
  }
  for (int v = 0; v < vectors; v++) {
    f = even[v] + odd[v];
    NAME(store)(out + v * LANES, &f);
  }
}

/* All eights of one width, four in a pass; the row's entries are near by then. */
TARGET static void NAME(sparse_rows)(const epact_nmf_matrix *m, const float *factor, int64_t stride, int64_t first,
                                     int64_t end, float *product)
{
  const int64_t vectors = stride / LANES;
  const double scale = m->scale;
  for (int64_t i = first; i < end; i++, product += stride) {
    const int64_t from = m->start[i], count = m->start[i + 1] - from;
    const uint32_t *const index = m->index + from;
    const double *const value = m->value + from;
    for (int64_t v = 0; v < vectors; v += 4) {
      const float *const f = factor + v * LANES;
      float *const out = product + v * LANES;
      switch (vectors - v) {
      case 1:
        NAME(sparse_row)(1, count, index, value, f, stride, scale, out);
        break;
      case 2:
        NAME(sparse_row)(2, count, index, value, f, stride, scale, out);
        break;
      case 3:
        NAME(sparse_row)(3, count, index, value, f, stride, scale, out);
        break;
      default:
        NAME(sparse_row)(4, count, index, value, f, stride, scale, out);
      }
    }
  }
}

/* out += scale V_ij F_j for four rows of V and one eight of each F_j, or for one row. */
INLINED void NAME(dense_rows)(const int rows, const double *value, int64_t row_step, int64_t col_step, int64_t cols,
                              const float *factor, int64_t stride, double scale, float *out)
{
  eights sum[4] = { { 0 } }, f;
  for (int64_t j = 0; j < cols; j++) {
    NAME(load)(&f, factor + j * stride);
    for (int r = 0; r < rows; r++) MULTIPLY_ADD(sum[r], (float)(scale * value[r * row_step + j * col_step]), f);
  }
  for (int r = 0; r < rows; r++) {
    NAME(load)(&f, out + r * stride);
    f += sum[r];
    NAME(store)(out + r * stride, &f);
  }
}

TARGET static void NAME(dense)(const epact_nmf_matrix *m, const float *factor, int64_t stride, int64_t first,
                               int64_t end, float *product)
{
  const double scale = m->scale;
  memset(product, 0, (size_t)((end - first) * stride) * sizeof *product);
  for (int64_t j = 0; j < m->cols; j += DENSE_PIECE) {
    const int64_t cols = m->cols - j < DENSE_PIECE ? m->cols - j : DENSE_PIECE;
    for (int64_t i = first; i < end;) {
      const double *const value = m->value + i * m->row_step + j * m->col_step;
      const bool four = end - i >= 4;
      for (int64_t v = 0; v < stride; v += LANES) {
        const float *const f = factor + j * stride + v;
        float *const out = product + (i - first) * stride + v;
        if (four)
          NAME(dense_rows)(4, value, m->row_step, m->col_step, cols, f, stride, scale, out);
        else
          NAME(dense_rows)(1, value, m->row_step, m->col_step, cols, f, stride, scale, out);
      }
      i += four ? 4 : 1;
    }
  }
}

/* G_t'x of eight rows at once: four sums, for the same reason as above. */
INLINED void NAME(gram_dot)(const float *gram_row, int32_t factors, const eights *x, eights *dot)
{
  eights sum[4] = { { 0 } };
  int32_t r = 0;
  for (; r + 4 <= factors; r += 4)
    for (int s = 0; s < 4; s++) MULTIPLY_ADD(sum[s], gram_row[r + s], x[r + s]);
  for (; r < factors; r++) MULTIPLY_ADD(sum[0], gram_row[r], x[r]);
  *dot = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* The squared projected gradient: where x is at its bound 0, only a gradient that would take it away counts. */
INLINED void NAME(projected)(const eights *gradient, const eights *x, eights *squares)
{
  const eights_mask counts = (*x > 0) | (*gradient < 0);
  *squares += (eights)((eights_mask)(*gradient * *gradient) & counts);
}

INLINED void NAME(hals_sweep)(const float *gram, const float *inverse, int32_t factors, const eights *b, eights *x,
                              eights *squares)
{
  for (int32_t t = 0; t < factors; t++) {
    eights gradient;
    NAME(gram_dot)(gram + t * factors, factors, x, &gradient);
    gradient -= b[t];
    NAME(projected)(&gradient, &x[t], squares);
    const eights next = x[t] - gradient * inverse[t];
    x[t] = (eights)((eights_mask)next & (next > 0));
  }
}

INLINED void NAME(multiplicative_sweep)(const float *gram, int32_t factors, const eights *b, eights *x, eights *old,
                                        eights *squares)
{
  memcpy(old, x, (size_t)factors * sizeof *x);
  for (int32_t t = 0; t < factors; t++) {
    eights dot;
    NAME(gram_dot)(gram + t * factors, factors, old, &dot);
    const eights gradient = dot - b[t];
    NAME(projected)(&gradient, &old[t], squares);
    const eights next = old[t] * b[t] / (dot + TINY);
    x[t] = (eights)((eights_mask)next & (next > SMALLEST));
  }
}

/* Up to eight rows of x: each is a lane. `work` has room for 3 x factors eights. */
INLINED double NAME(eight_rows)(const float *gram, const float *inverse, int32_t factors, int64_t stride, int rows,
                                const float *product, int32_t sweeps, float *row, eights *work)
{
  eights *const b = work, *const x = work + factors, *const old = x + factors;
  eights squares = { 0 };
  eights_mask some = { 0 };
  if (rows < LANES) memset(work, 0, 2 * (size_t)factors * sizeof *work);
  for (int r = 0; r < rows; r++) {
    for (int32_t t = 0; t < factors; t++) {
      ((float *)&b[t])[r] = product[r * stride + t];
      ((float *)&x[t])[r] = row[r * stride + t];
    }
  }
  for (int32_t t = 0; t < factors; t++) some |= b[t] > 0;
  for (int32_t s = 0; s < sweeps; s++) {
    squares = (eights){ 0 };
    if (inverse)
      NAME(hals_sweep)(gram, inverse, factors, b, x, &squares);
    else
      NAME(multiplicative_sweep)(gram, factors, b, x, old, &squares);
  }
  for (int32_t t = 0; t < factors; t++) {
    x[t] = (eights)((eights_mask)x[t] & some);
    if (!(gram[t * factors + t] > 0)) x[t] = (eights){ 0 };
  }
  for (int r = 0; r < rows; r++)
    for (int32_t t = 0; t < factors; t++) row[r * stride + t] = ((const float *)&x[t])[r];
  double violation = 0;
  for (int r = 0; r < rows; r++) violation += (double)((const float *)&squares)[r];
  return violation;
}

/* `inverse` of the diagonal of G: HALS; NULL: multiplicative. */
TARGET static double NAME(sweep_rows)(const float *gram, const float *inverse, int32_t factors, int64_t stride,
                                      int64_t rows, const float *product, int32_t sweeps, float *x, eights *work)
{
  double violation = 0;
  for (int64_t i = 0; i < rows; i += LANES)
    violation += NAME(eight_rows)(gram, inverse, factors, stride, rows - i < LANES ? (int)(rows - i) : LANES,
                                  product + i * stride, sweeps, x + i * stride, work);
  return violation;
}

#undef NAME
#undef TARGET
#undef MULTIPLY_ADD
