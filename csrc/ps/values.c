/* Arithmetic on arrays of a table's cell type: loops the compiler vectorises. */
#include "values.h"

#include "../base/internal.h"

#include <math.h>
#include <string.h>

const char *epact_type_name(int type)
{
  static const char *const name[] = { "f32", "f64", "i32", "i64" };
  return type >= EPACT_F32 && type <= EPACT_I64 ? name[type] : "unknown";
}

EPACT_CLONES static void add_f32(float *restrict target, const float *restrict delta, int64_t n)
{
  for (int64_t i = 0; i < n; i++) target[i] += delta[i];
}

EPACT_CLONES static void add_f64(double *restrict target, const double *restrict delta, int64_t n)
{
  for (int64_t i = 0; i < n; i++) target[i] += delta[i];
}

/* Unsigned, so that overflow wraps instead of being undefined. */
EPACT_CLONES static void add_i32(uint32_t *restrict target, const uint32_t *restrict delta, int64_t n)
{
  for (int64_t i = 0; i < n; i++) target[i] += delta[i];
}

EPACT_CLONES static void add_i64(uint64_t *restrict target, const uint64_t *restrict delta, int64_t n)
{
  for (int64_t i = 0; i < n; i++) target[i] += delta[i];
}

void epact_values_add(int type, void *target, const void *delta, int64_t n)
{
  switch (type) {
  case EPACT_F32:
    add_f32(target, delta, n);
    break;
  case EPACT_F64:
    add_f64(target, delta, n);
    break;
  case EPACT_I32:
    add_i32(target, delta, n);
    break;
  default:
    add_i64(target, delta, n);
    break;
  }
}

/* x - x is 0 for finite x and NaN otherwise; four sums hide the latency of addition. */
EPACT_CLONES static int all_finite_f32(const float *value, int64_t n)
{
  float sum[16] = { 0 };
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int lane = 0; lane < 16; lane++) sum[lane] += value[i + lane] - value[i + lane];
  }
  float total = 0;
  for (int lane = 0; lane < 16; lane++) total += sum[lane];
  for (; i < n; i++) total += value[i] - value[i];
  return total == 0;
}

EPACT_CLONES static int all_finite_f64(const double *value, int64_t n)
{
  double sum[8] = { 0 };
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int lane = 0; lane < 8; lane++) sum[lane] += value[i + lane] - value[i + lane];
  }
  double total = 0;
  for (int lane = 0; lane < 8; lane++) total += sum[lane];
  for (; i < n; i++) total += value[i] - value[i];
  return total == 0;
}

int64_t epact_values_first_nonfinite(int type, const void *value, int64_t n)
{
  if (type == EPACT_F32 && !all_finite_f32(value, n)) {
    for (int64_t i = 0; i < n; i++) {
      if (!isfinite(((const float *)value)[i])) return i;
    }
  }
  if (type == EPACT_F64 && !all_finite_f64(value, n)) {
    for (int64_t i = 0; i < n; i++) {
      if (!isfinite(((const double *)value)[i])) return i;
    }
  }
  return -1;
}

/* Counted in as many bits as a value has. */
EPACT_CLONES static uint32_t nonzero_32(const uint32_t *value, uint32_t mask, int64_t n)
{
  uint32_t count = 0;
  for (int64_t i = 0; i < n; i++) count += (value[i] & mask) != 0;
  return count;
}

EPACT_CLONES static int64_t nonzero_64(const uint64_t *value, uint64_t mask, int64_t n)
{
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) count += (value[i] & mask) != 0;
  return count;
}

int64_t epact_values_nonzero(int type, const void *value, int64_t n)
{
  bool real = type == EPACT_F32 || type == EPACT_F64; /* the sign of a zero does not count */
  if (epact_type_bytes(type) == 4) return nonzero_32(value, real ? 0x7fffffff : UINT32_MAX, n);
  return nonzero_64(value, real ? INT64_MAX : UINT64_MAX, n);
}

/* Magnitudes compare as their bits do. */
EPACT_CLONES static float largest_f32(const float *value, int64_t n)
{
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, &value[i], sizeof bits);
    bits &= 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  float magnitude;
  memcpy(&magnitude, &largest, sizeof magnitude);
  return magnitude;
}

EPACT_CLONES static double largest_f64(const double *value, int64_t n)
{
  uint64_t largest = 0;
  for (int64_t i = 0; i < n; i++) {
    uint64_t bits;
    memcpy(&bits, &value[i], sizeof bits);
    bits &= INT64_MAX;
    largest = bits > largest ? bits : largest;
  }
  double magnitude;
  memcpy(&magnitude, &largest, sizeof magnitude);
  return magnitude;
}

double epact_values_largest(int type, const void *value, int64_t n)
{
  return type == EPACT_F32 ? (double)largest_f32(value, n) : largest_f64(value, n);
}

double epact_value_at(int type, const void *value, int64_t i)
{
  switch (type) {
  case EPACT_F32:
    return ((const float *)value)[i];
  case EPACT_F64:
    return ((const double *)value)[i];
  case EPACT_I32:
    return ((const int32_t *)value)[i];
  default:
    return (double)((const int64_t *)value)[i];
  }
}
