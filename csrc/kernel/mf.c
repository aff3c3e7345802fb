/* SGD for matrix factorisation: see mf.h for the model. */
#include "mf.h"

#include "../base/internal.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

/* Two normal numbers by Box-Muller from one draw, in floats: a start needs no more, and there are many. */
static void draw_pair(epact_rng *rng, float deviation, float pair[2])
{
  const uint64_t bits = epact_rng_next(rng);
  const float above_0 = ((float)(bits >> 40) + 1) * 0x1p-24F, turn = (float)(bits << 24 >> 40) * 0x1p-24F;
  const float radius = deviation * sqrtf(-2 * logf(above_0)), angle = 6.28318531F * turn;
  pair[0] = radius * cosf(angle);
  pair[1] = radius * sinf(angle);
}

int epact_mf_init(float *row, int64_t first, int64_t end, int64_t stride, int32_t factors, int side, double deviation,
                  uint64_t seed)
{
  if (factors < 0 || stride <= factors)
    return epact_fail(EPACT_E_MISUSE, "a row of %d factors and a bias needs a longer stride than %lld", factors,
                      (long long)stride);
  for (int64_t i = first; i < end; i++) {
    epact_rng rng = epact_rng_stream(seed, (uint64_t)side + 1, (uint64_t)i);
    float pair[2] = { 0 };
    for (int32_t f = 0; f < factors; f++) {
      if (f % 2 == 0) draw_pair(&rng, (float)deviation, pair);
      row[i * stride + f] = pair[f % 2];
    }
    row[i * stride + factors] = 0;
  }
  return EPACT_OK;
}

/* Four floats at a time are what every machine has; eight, and multiplications fused with additions, pay from 32
 * factors on, where the processor has them (asked at run time, in sweep_of). */
#define LANES 4
#define FUSED(a, b, c) ((a) * (b) + (c))
#define NAME(base) base##_narrow
#define TARGET
#include "mf_sweep.h"

#ifdef __x86_64__
#define LANES 8
#define FUSED(a, b, c) (_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define NAME(base) base##_wide
#define TARGET __attribute__((target("avx2,fma")))
#include "mf_sweep.h"
#endif

/* Any number of factors: the equations as they stand in mf.h. */
static double sweep_any(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                        const epact_mf_rates *rates)
{
  const int32_t factors = model->factors;
  const float keep = 1 - rates->step * rates->lambda, keep_bias = 1 - rates->bias_step * rates->bias_lambda;
  double squared_error = 0;
  for (int64_t t = first; t < end; t++) {
    float *const restrict p = model->user + ratings->user[t] * model->stride;
    float *const restrict q = model->item + ratings->item[t] * model->stride;
    float sum = 0;
    for (int32_t f = 0; f < factors; f++) sum += p[f] * q[f];
    const float error = ratings->value[t] - model->mean - q[factors] - p[factors] - sum;
    const float pull = rates->step * error, pull_bias = rates->bias_step * error;
    squared_error += (double)(error * error);
    for (int32_t f = 0; f < factors; f++) {
      const float old = p[f];
      p[f] = keep * old + pull * q[f];
      q[f] = keep * q[f] + pull * old;
    }
    p[factors] = keep_bias * p[factors] + pull_bias;
    q[factors] = keep_bias * q[factors] + pull_bias;
  }
  return squared_error;
}

typedef double sweep_function(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                              const epact_mf_rates *rates);

/* For runs of one user [0], and for ratings in random order [1]. */
static sweep_function *const *sweep_of(int32_t factors)
{
#ifdef __x86_64__
  static sweep_function *const wide[2][2] = { { sweep_32_wide, scatter_32_wide }, { sweep_64_wide, scatter_64_wide } };
  if (factors >= 32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    if (factors == 32) return wide[0];
    if (factors == 64) return wide[1];
  }
#endif
  static sweep_function *const narrow[5][2] = { { sweep_any, sweep_any },
                                                { sweep_8_narrow, scatter_8_narrow },
                                                { sweep_16_narrow, scatter_16_narrow },
                                                { sweep_32_narrow, scatter_32_narrow },
                                                { sweep_64_narrow, scatter_64_narrow } };
  switch (factors) {
  case 8:
    return narrow[1];
  case 16:
    return narrow[2];
  case 32:
    return narrow[3];
  case 64:
    return narrow[4];
  default:
    return narrow[0];
  }
}

static int check_range(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end)
{
  if (first < 0 || end < first || end > ratings->count)
    return epact_fail(EPACT_E_MISUSE, "%lld to %lld is not a range of %lld ratings", (long long)first, (long long)end,
                      (long long)ratings->count);
  if (model->factors < 0 || model->stride <= model->factors)
    return epact_fail(EPACT_E_MISUSE, "a row of %d factors and a bias needs a longer stride than %lld", model->factors,
                      (long long)model->stride);
  return EPACT_OK;
}

static int check_arguments(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                           const epact_mf_rates *rates)
{
  const int code = check_range(model, ratings, first, end);
  if (code) return code;
  if (!(rates->step > 0) || !(rates->lambda >= 0) || !(rates->bias_step > 0) || !(rates->bias_lambda >= 0))
    return epact_fail(EPACT_E_MISUSE, "steps must be positive, lambdas not negative");
  return EPACT_OK;
}

static int judge(double sum, const epact_mf_rates *rates, double *squared_error)
{
  if (squared_error) *squared_error = sum;
  if (isfinite(sum)) return EPACT_OK;
  return epact_fail(EPACT_E_DIVERGED, "the factors diverged: an error is not finite (take a smaller step than %g)",
                    (double)rates->step);
}

int epact_mf_sgd(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                 const epact_mf_rates *rates, double *squared_error)
{
  const int code = check_arguments(model, ratings, first, end, rates);
  return code ? code : judge(sweep_of(model->factors)[0](model, ratings, first, end, rates), rates, squared_error);
}

/* Known by its name to .ci/tsan.supp: the races below it are intended. */
int epact_mf_hogwild(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                     const epact_mf_rates *rates, double *squared_error)
{
  const int code = check_arguments(model, ratings, first, end, rates);
  return code ? code : judge(sweep_of(model->factors)[1](model, ratings, first, end, rates), rates, squared_error);
}

double epact_mf_penalty(const float *row, int64_t rows, int64_t stride, int32_t factors, const int64_t *count,
                        double lambda, double bias_lambda)
{
  double sum = 0;
  for (int64_t i = 0; i < rows; i++, row += stride) {
    const double bias = (double)row[factors];
    double norm2 = 0;
    for (int32_t f = 0; f < factors; f++) norm2 += (double)row[f] * (double)row[f];
    sum += (double)count[i] * (lambda * norm2 + bias_lambda * bias * bias);
  }
  return sum;
}

double epact_mf_predict(const epact_mf_model *model, int64_t user, int64_t item)
{
  const bool known_user = user >= 0 && user < model->users, known_item = item >= 0 && item < model->items;
  const float *p = model->user + (known_user ? user : 0) * model->stride;
  const float *q = model->item + (known_item ? item : 0) * model->stride;
  double sum[4] = { (double)model->mean }; /* additions need not wait for each other */
  if (known_user) sum[1] += (double)p[model->factors];
  if (known_item) sum[2] += (double)q[model->factors];
  if (known_user && known_item)
    for (int32_t f = 0; f < model->factors; f++) sum[f & 3] += (double)p[f] * (double)q[f];
  return sum[0] + sum[1] + (sum[2] + sum[3]);
}

double epact_mf_squared_error(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                              double low, double high)
{
  double sum = 0;
  for (int64_t t = first; t < end; t++) {
    double prediction = epact_mf_predict(model, ratings->user[t], ratings->item[t]);
    if (prediction < low) prediction = low;
    if (prediction > high) prediction = high;
    sum += ((double)ratings->value[t] - prediction) * ((double)ratings->value[t] - prediction);
  }
  return sum;
}
