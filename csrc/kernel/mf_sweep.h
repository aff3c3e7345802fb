/* The sweep of mf.c over ratings, for a number of factors known to the compiler. Private, and a template: define
 * LANES (floats in a vector: 4 or 8), FUSED(a, b, c) (a b + c), NAME(base) and TARGET (the attribute of the functions
 * made) before including it, once for each; it undefines them. */

#ifndef EPACT_KERNEL_MF_SWEEP_H
#define EPACT_KERNEL_MF_SWEEP_H
#define AHEAD 8      /* how many ratings ahead q_i is fetched */
#define FAR_AHEAD 16 /* and both rows of ratings in random order, which another core may have */
#define MOST (64 / LANES)
#define INLINED TARGET static inline __attribute__((always_inline))
typedef float fours __attribute__((vector_size(16)));
#endif

typedef float NAME(lanes) __attribute__((vector_size(LANES * sizeof(float))));
#define LANE_TYPE NAME(lanes)

/* Rows are not aligned: a copy is the portable way to say so. Through pointers, as vectors by value have no
 * common calling convention. */
INLINED void NAME(load)(LANE_TYPE *to, const float *row, int v)
{
  memcpy(to, row + v * LANES, sizeof *to);
}

INLINED void NAME(store)(float *row, int v, const LANE_TYPE *from)
{
  memcpy(row + v * LANES, from, sizeof *from);
}

/* p'next and q'next for vectors of `count` parts: their last additions share the lanes. */
INLINED void NAME(dots)(int count, const LANE_TYPE *p, const float *q_row, const float *next_row, float *p_next,
                        float *q_next)
{
  LANE_TYPE x[2] = { { 0 } }, y[2] = { { 0 } }, q, next;
  for (int v = 0; v < count; v++) {
    NAME(load)(&q, q_row, v);
    NAME(load)(&next, next_row, v);
    if (v < 2) {
      x[v] = p[v] * next;
      y[v] = q * next;
    } else {
      x[v % 2] = FUSED(p[v], next, x[v % 2]);
      y[v % 2] = FUSED(q, next, y[v % 2]);
    }
  }
  const LANE_TYPE x0 = x[0] + x[1], y0 = y[0] + y[1];
#if LANES == 8
  const fours x4 = __builtin_shufflevector(x0, x0, 0, 1, 2, 3) + __builtin_shufflevector(x0, x0, 4, 5, 6, 7);
  const fours y4 = __builtin_shufflevector(y0, y0, 0, 1, 2, 3) + __builtin_shufflevector(y0, y0, 4, 5, 6, 7);
#else
  const fours x4 = x0, y4 = y0;
#endif
  const fours both = __builtin_shufflevector(x4, y4, 0, 1, 4, 5) + __builtin_shufflevector(x4, y4, 2, 3, 6, 7);
  *p_next = both[0] + both[1];
  *q_next = both[2] + both[3];
}

/* One sweep with the number of factors known to the compiler. p_u lives in registers during a run: consecutive
 * ratings of one user and different items. Inside a run the error of the next rating is known without its
 * p_u, from two dot products that need not wait for this rating's error:
 *   (keep p + pull q)'q_next = keep p'q_next + pull q'q_next;
 * the bias is ahead of the factors by that step. */
INLINED double NAME(sweep)(const int factors, const epact_mf_model *model, const epact_mf_ratings *ratings,
                           int64_t first, int64_t end, const epact_mf_rates *rates)
{
  const uint32_t *const restrict item = ratings->item, *const restrict user = ratings->user;
  const float *const restrict value = ratings->value;
  float *const items = model->item;
  const int64_t stride = model->stride;
  const int count = factors / LANES;
  const float step = rates->step, bias_step = rates->bias_step, mean = model->mean;
  const float keep = 1 - step * rates->lambda, keep_bias = 1 - bias_step * rates->bias_lambda;
  double squared_error = 0;
  for (int64_t t = first; t < end;) {
    const uint32_t u = user[t];
    float *const p_row = model->user + u * stride, *q_row = items + item[t] * stride;
    LANE_TYPE p[MOST], q;
    for (int v = 0; v < count; v++) NAME(load)(&p[v], p_row, v);
    float bias = p_row[factors], p_next, q_next;
    NAME(dots)(count, p, q_row, q_row, &p_next, &q_next);
    float error = value[t] - mean - q_row[factors] - bias - p_next;
    for (;;) {
      const float pull = step * error, pull_bias = bias_step * error;
      const LANE_TYPE pulls = (LANE_TYPE){ 0 } + pull;
      const bool run = ++t < end && user[t] == u && item[t] != item[t - 1];
      float *const next_row = run ? items + item[t] * stride : q_row;
      const float *const ahead = items + item[t + AHEAD < end ? t + AHEAD : first] * stride;
      for (int f = 0; f <= factors; f += 16) __builtin_prefetch(ahead + f, 1);
      NAME(dots)(count, p, q_row, next_row, &p_next, &q_next);
      squared_error += (double)(error * error);
      bias = keep_bias * bias + pull_bias;
      if (run) error = (value[t] - mean - next_row[factors]) - bias - keep * p_next - pull * q_next;
      for (int v = 0; v < count; v++) {
        NAME(load)(&q, q_row, v);
        const LANE_TYPE moved = FUSED(pulls, p[v], keep * q);
        NAME(store)(q_row, v, &moved);
        p[v] = FUSED(pulls, q, keep * p[v]);
      }
      q_row[factors] = keep_bias * q_row[factors] + pull_bias;
      if (!run) break;
      q_row = next_row;
    }
    for (int v = 0; v < count; v++) NAME(store)(p_row, v, &p[v]);
    p_row[factors] = bias;
  }
  return squared_error;
}

/* One step after another for ratings in random order: the rows of ratings ahead are fetched, nothing is kept. */
INLINED double NAME(scatter)(const int factors, const epact_mf_model *model, const epact_mf_ratings *ratings,
                             int64_t first, int64_t end, const epact_mf_rates *rates)
{
  const uint32_t *const restrict item = ratings->item, *const restrict user = ratings->user;
  const float *const restrict value = ratings->value;
  const int64_t stride = model->stride;
  const int count = factors / LANES;
  const float step = rates->step, bias_step = rates->bias_step, mean = model->mean;
  const float keep = 1 - step * rates->lambda, keep_bias = 1 - bias_step * rates->bias_lambda;
  double squared_error = 0;
  for (int64_t t = first; t < end; t++) {
    const int64_t later = t + FAR_AHEAD < end ? t + FAR_AHEAD : first;
    const float *const p_ahead = model->user + user[later] * stride, *const q_ahead =
                                                                         model->item + item[later] * stride;
    for (int f = 0; f <= factors; f += 16) {
      __builtin_prefetch(p_ahead + f, 1);
      __builtin_prefetch(q_ahead + f, 1);
    }
    float *const p_row = model->user + user[t] * stride, *const q_row = model->item + item[t] * stride;
    LANE_TYPE p, q, sum = { 0 };
    for (int v = 0; v < count; v++) {
      NAME(load)(&p, p_row, v);
      NAME(load)(&q, q_row, v);
      sum = FUSED(p, q, sum);
    }
    float product = 0;
    for (int lane = 0; lane < LANES; lane++) product += sum[lane];
    const float error = value[t] - mean - q_row[factors] - p_row[factors] - product;
    const float pull = step * error, pull_bias = bias_step * error;
    const LANE_TYPE pulls = (LANE_TYPE){ 0 } + pull;
    squared_error += (double)(error * error);
    for (int v = 0; v < count; v++) { /* read again: the registers would not hold both rows */
      NAME(load)(&p, p_row, v);
      NAME(load)(&q, q_row, v);
      const LANE_TYPE p_moved = FUSED(pulls, q, keep * p), q_moved = FUSED(pulls, p, keep * q);
      NAME(store)(p_row, v, &p_moved);
      NAME(store)(q_row, v, &q_moved);
    }
    p_row[factors] = keep_bias * p_row[factors] + pull_bias;
    q_row[factors] = keep_bias * q_row[factors] + pull_bias;
  }
  return squared_error;
}

#define SWEEP(factors)                                                                                                 \
  TARGET static double NAME(sweep_##factors)(const epact_mf_model *model, const epact_mf_ratings *ratings,             \
                                             int64_t first, int64_t end, const epact_mf_rates *rates)                  \
  {                                                                                                                    \
    return NAME(sweep)(factors, model, ratings, first, end, rates);                                                    \
  }                                                                                                                    \
  TARGET static double NAME(scatter_##factors)(const epact_mf_model *model, const epact_mf_ratings *ratings,           \
                                               int64_t first, int64_t end, const epact_mf_rates *rates)                \
  {                                                                                                                    \
    return NAME(scatter)(factors, model, ratings, first, end, rates);                                                  \
  }
#if LANES == 4
SWEEP(8)
SWEEP(16)
#endif
SWEEP(32)
SWEEP(64)

#undef SWEEP
#undef LANE_TYPE
#undef FUSED
#undef LANES
#undef NAME
#undef TARGET
