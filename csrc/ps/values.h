/* Arithmetic on arrays of a table's cell type. */
#ifndef EPACT_PS_VALUES_H
#define EPACT_PS_VALUES_H

#include "ps.h"

static inline size_t epact_type_bytes(int type)
{
  return type == EPACT_F32 || type == EPACT_I32 ? 4 : 8;
}
/** "f32", "f64", "i32", "i64" */
const char *epact_type_name(int type);
/** target[i] += delta[i]; integers wrap. */
void epact_values_add(int type, void *target, const void *delta, int64_t n);
/** Index of the first NaN or infinity, or -1. Integers are always finite. */
int64_t epact_values_first_nonfinite(int type, const void *value, int64_t n);
/** How many of n < 2^31 are not 0. */
int64_t epact_values_nonzero(int type, const void *value, int64_t n);
/** The largest magnitude of f32 or f64 values; 0 when there are none. */
double epact_values_largest(int type, const void *value, int64_t n);
/** value[i] as a double. */
double epact_value_at(int type, const void *value, int64_t i);
/** *cell += delta (a double; exact for the integers below 2^53). */
static inline void epact_value_add(int type, void *cell, double delta)
{
  switch (type) {
  case EPACT_F32:
    *(float *)cell += (float)delta;
    break;
  case EPACT_F64:
    *(double *)cell += delta;
    break;
  case EPACT_I32:
    *(uint32_t *)cell += (uint32_t)(int32_t)delta;
    break;
  default:
    *(uint64_t *)cell += (uint64_t)(int64_t)delta;
    break;
  }
}

#endif
