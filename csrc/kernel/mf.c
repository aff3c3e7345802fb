/* SGD for matrix factorisation: see mf.h for the model. */
#include "mf.h"

#include "../base/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int epact_mf_check(const epact_mf_ratings *ratings, int64_t users, int64_t items, double *mean)
{
  double sum = 0;
  if (ratings->count < 1) return epact_fail(EPACT_E_MISUSE, "there are no ratings");
  for (int64_t t = 0; t < ratings->count; t++) {
    if (ratings->user[t] >= users)
      return epact_fail(EPACT_E_MISUSE, "rating %lld: user %u is not below %lld", (long long)t, ratings->user[t],
                        (long long)users);
    if (ratings->item[t] >= items)
      return epact_fail(EPACT_E_MISUSE, "rating %lld: item %u is not below %lld", (long long)t, ratings->item[t],
                        (long long)items);
    if (!isfinite(ratings->value[t]))
      return epact_fail(EPACT_E_MISUSE, "rating %lld: the value is not finite", (long long)t);
    sum += (double)ratings->value[t];
  }
  if (mean) *mean = sum / (double)ratings->count;
  return EPACT_OK;
}

int epact_mf_init(float *row, int64_t first, int64_t end, int64_t stride, int32_t factors, int side, double deviation,
                  uint64_t seed)
{
  if (factors < 0 || stride <= factors)
    return epact_fail(EPACT_E_MISUSE, "a row of %d factors and a bias needs a longer stride than %lld", factors,
                      (long long)stride);
  for (int64_t i = first; i < end; i++) {
    epact_rng rng = epact_rng_stream(seed, (uint64_t)side + 1, (uint64_t)i);
    for (int32_t f = 0; f < factors; f++) row[i * stride + f] = (float)(deviation * epact_rng_normal(&rng));
    row[i * stride + factors] = 0;
  }
  return EPACT_OK;
}

/* Stable counting sort by key[t] / width, of which there are `keys`. `start` has keys + 1 zeros on entry and
 * the first position of each key on return. */
static void sort_by(const uint32_t *key, uint32_t width, int64_t keys, const epact_mf_ratings *in, uint32_t *user,
                    uint32_t *item, float *value, int64_t *start)
{
  for (int64_t t = 0; t < in->count; t++) start[key[t] / width + 1]++;
  for (int64_t k = 0; k < keys; k++) start[k + 1] += start[k];
  for (int64_t t = 0; t < in->count; t++) {
    const int64_t to = start[key[t] / width]++;
    user[to] = in->user[t];
    item[to] = in->item[t];
    value[to] = in->value[t];
  }
  memmove(start + 1, start, (size_t)keys * sizeof *start);
  start[0] = 0;
}

int epact_mf_sort(const epact_mf_ratings *ratings, int64_t users, int64_t items, int64_t block_items, uint32_t *user,
                  uint32_t *item, float *value, int64_t *block_start)
{
  if (users < 1 || items < 1 || block_items < 1 || block_items > UINT32_MAX)
    return epact_fail(EPACT_E_MISUSE, "users, items and block_items must be positive");
  const int64_t blocks = (items + block_items - 1) / block_items;
  const size_t count = (size_t)ratings->count;
  int64_t *start = epact_calloc((size_t)(users > blocks ? users : blocks) + 1, sizeof *start);
  uint32_t *scratch = epact_malloc(count * 3 * sizeof *scratch);
  int code = start && scratch ? EPACT_OK : EPACT_E_NOMEM;
  if (!code) {
    float *scratch_value = (float *)(void *)(scratch + 2 * count);
    const epact_mf_ratings by_user = { ratings->count, scratch, scratch + count, scratch_value };
    sort_by(ratings->user, 1, users, ratings, scratch, scratch + count, scratch_value, start);
    memset(start, 0, (size_t)(blocks + 1) * sizeof *start);
    sort_by(by_user.item, (uint32_t)block_items, blocks, &by_user, user, item, value, start);
    if (block_start) memcpy(block_start, start, (size_t)(blocks + 1) * sizeof *start);
  }
  free(scratch);
  free(start);
  return code;
}

/* Four floats at a time are what every machine has; eight pay from 32 factors on, where the processor has them
 * (asked at run time, in epact_mf_sgd). Neither fuses multiplications with additions. */
#define LANES 4
#define NAME(base) base##_narrow
#define TARGET
#include "mf_sweep.h"

#ifdef __x86_64__
#define LANES 8
#define NAME(base) base##_wide
#define TARGET __attribute__((target("avx2")))
#include "mf_sweep.h"
#endif

/* Any number of factors: the equations as they stand in mf.h. */
static double sweep_any(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                        float step, float lambda)
{
  const int32_t factors = model->factors;
  const float keep = 1 - step * lambda;
  double squared_error = 0;
  for (int64_t t = first; t < end; t++) {
    float *const restrict p = model->user + ratings->user[t] * model->stride;
    float *const restrict q = model->item + ratings->item[t] * model->stride;
    float sum = 0;
    for (int32_t f = 0; f < factors; f++) sum += p[f] * q[f];
    const float error = ratings->value[t] - model->mean - q[factors] - p[factors] - sum;
    const float pull = step * error;
    squared_error += (double)(error * error);
    for (int32_t f = 0; f < factors; f++) {
      const float old = p[f];
      p[f] = keep * old + pull * q[f];
      q[f] = keep * q[f] + pull * old;
    }
    p[factors] = keep * p[factors] + pull;
    q[factors] = keep * q[factors] + pull;
  }
  return squared_error;
}

typedef double sweep_function(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                              float step, float lambda);

static sweep_function *sweep_of(int32_t factors)
{
#ifdef __x86_64__
  const bool wide = __builtin_cpu_supports("avx2");
  if (wide && factors == 32) return sweep_32_wide;
  if (wide && factors == 64) return sweep_64_wide;
#endif
  switch (factors) {
  case 8:
    return sweep_8_narrow;
  case 16:
    return sweep_16_narrow;
  case 32:
    return sweep_32_narrow;
  case 64:
    return sweep_64_narrow;
  default:
    return sweep_any;
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

int epact_mf_sgd(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end, float step,
                 float lambda, double *squared_error)
{
  double sum;
  const int code = check_range(model, ratings, first, end);
  if (code) return code;
  if (!(step > 0) || !(lambda >= 0)) return epact_fail(EPACT_E_MISUSE, "step must be positive, lambda not negative");
  sum = sweep_of(model->factors)(model, ratings, first, end, step, lambda);
  if (squared_error) *squared_error = sum;
  if (!isfinite(sum))
    return epact_fail(EPACT_E_DIVERGED, "the factors diverged: an error is not finite (take a smaller step than %g)",
                      (double)step);
  return EPACT_OK;
}

double epact_mf_predict(const epact_mf_model *model, int64_t user, int64_t item)
{
  const bool known_user = user >= 0 && user < model->users, known_item = item >= 0 && item < model->items;
  const float *p = model->user + (known_user ? user : 0) * model->stride;
  const float *q = model->item + (known_item ? item : 0) * model->stride;
  double sum = (double)model->mean;
  if (known_user) sum += (double)p[model->factors];
  if (known_item) sum += (double)q[model->factors];
  if (known_user && known_item)
    for (int32_t f = 0; f < model->factors; f++) sum += (double)p[f] * (double)q[f];
  return sum;
}

double epact_mf_rmse(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                     double low, double high)
{
  double sum = 0;
  for (int64_t t = first; t < end; t++) {
    double prediction = epact_mf_predict(model, ratings->user[t], ratings->item[t]);
    if (prediction < low) prediction = low;
    if (prediction > high) prediction = high;
    sum += ((double)ratings->value[t] - prediction) * ((double)ratings->value[t] - prediction);
  }
  return end > first ? sqrt(sum / (double)(end - first)) : 0;
}
