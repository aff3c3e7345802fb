/* Values in fewer bytes and back: loops the compiler vectorises. */
#include "encoding.h"

#include "../base/internal.h"
#include "half.h"

const char *epact_encoding_name(int encoding)
{
  static const char *const name[] = { "its type", "f16", "bf16", "f32" };
  return encoding >= EPACT_AS_TYPE && encoding <= EPACT_AS_F32 ? name[encoding] : NULL;
}

bool epact_encoding_fits(int type, int encoding)
{
  switch (encoding) {
  case EPACT_AS_TYPE:
    return true;
  case EPACT_AS_F16:
  case EPACT_AS_BF16:
    return type == EPACT_F32 || type == EPACT_F64;
  case EPACT_AS_F32:
    return type == EPACT_F64;
  default:
    return false;
  }
}

/* ---- encoding: each loop also finds the largest magnitude, to tell infinities ---- */

static inline uint32_t larger(uint32_t a, uint32_t b)
{
  return a > b ? a : b;
}

EPACT_CLONES static bool f32_to_f16(const float *restrict value, uint16_t *restrict half, int64_t n)
{
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; i++) {
    half[i] = epact_f16_of(value[i]);
    largest = larger(largest, half[i] & 0x7fff);
  }
  return largest < 0x7c00;
}

EPACT_CLONES static bool f64_to_f16(const double *restrict value, uint16_t *restrict half, int64_t n)
{
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; i++) {
    half[i] = epact_f16_of(epact_float_to_odd(value[i]));
    largest = larger(largest, half[i] & 0x7fff);
  }
  return largest < 0x7c00;
}

EPACT_CLONES static bool f32_to_bf16(const float *restrict value, uint16_t *restrict half, int64_t n)
{
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; i++) {
    half[i] = epact_bf16_of(value[i]);
    largest = larger(largest, half[i] & 0x7fff);
  }
  return largest < 0x7f80;
}

EPACT_CLONES static bool f64_to_bf16(const double *restrict value, uint16_t *restrict half, int64_t n)
{
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; i++) {
    half[i] = epact_bf16_of(epact_float_to_odd(value[i]));
    largest = larger(largest, half[i] & 0x7fff);
  }
  return largest < 0x7f80;
}

EPACT_CLONES static bool f64_to_f32(const double *restrict value, float *restrict single, int64_t n)
{
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; i++) {
    single[i] = (float)value[i];
    largest = larger(largest, epact_bits_of(single[i]) & 0x7fffffff);
  }
  return largest < 0x7f800000;
}

bool epact_encode(int type, int encoding, const void *value, void *encoded, int64_t n)
{
  switch (encoding) {
  case EPACT_AS_F16:
    return type == EPACT_F32 ? f32_to_f16(value, encoded, n) : f64_to_f16(value, encoded, n);
  case EPACT_AS_BF16:
    return type == EPACT_F32 ? f32_to_bf16(value, encoded, n) : f64_to_bf16(value, encoded, n);
  case EPACT_AS_F32:
    return f64_to_f32(value, encoded, n);
  default:
    memcpy(encoded, value, (size_t)n * epact_type_bytes(type));
    return true;
  }
}

/* ---- decoding ---- */

EPACT_CLONES static void f16_to_f32(const uint16_t *restrict half, float *restrict value, int64_t n)
{
  for (int64_t i = 0; i < n; i++) value[i] = epact_f16_value(half[i]);
}

EPACT_CLONES static void f16_to_f64(const uint16_t *restrict half, double *restrict value, int64_t n)
{
  for (int64_t i = 0; i < n; i++) value[i] = epact_f16_value(half[i]);
}

EPACT_CLONES static void bf16_to_f32(const uint16_t *restrict half, float *restrict value, int64_t n)
{
  for (int64_t i = 0; i < n; i++) value[i] = epact_bf16_value(half[i]);
}

EPACT_CLONES static void bf16_to_f64(const uint16_t *restrict half, double *restrict value, int64_t n)
{
  for (int64_t i = 0; i < n; i++) value[i] = epact_bf16_value(half[i]);
}

EPACT_CLONES static void f32_to_f64(const float *restrict single, double *restrict value, int64_t n)
{
  for (int64_t i = 0; i < n; i++) value[i] = single[i];
}

void epact_decode(int type, int encoding, const void *encoded, int64_t i, void *value, int64_t n)
{
  const void *from = (const char *)encoded + (size_t)i * epact_encoded_bytes(type, encoding);
  switch (encoding) {
  case EPACT_AS_F16:
    if (type == EPACT_F32)
      f16_to_f32(from, value, n);
    else
      f16_to_f64(from, value, n);
    break;
  case EPACT_AS_BF16:
    if (type == EPACT_F32)
      bf16_to_f32(from, value, n);
    else
      bf16_to_f64(from, value, n);
    break;
  case EPACT_AS_F32:
    f32_to_f64(from, value, n);
    break;
  default:
    memcpy(value, from, (size_t)n * epact_type_bytes(type));
  }
}

typedef union {
  float f32[EPACT_DECODED_CELLS];
  double f64[EPACT_DECODED_CELLS];
} decoded_part;

void epact_decode_add(int type, int encoding, void *target, const void *encoded, int64_t i, int64_t n)
{
  size_t bytes = epact_type_bytes(type);
  if (encoding == EPACT_AS_TYPE) {
    epact_values_add(type, target, (const char *)encoded + (size_t)i * bytes, n);
    return;
  }
  decoded_part part;
  for (int64_t at = 0; at < n; at += EPACT_DECODED_CELLS) {
    int64_t count = n - at < EPACT_DECODED_CELLS ? n - at : EPACT_DECODED_CELLS;
    epact_decode(type, encoding, encoded, i + at, &part, count);
    epact_values_add(type, (char *)target + (size_t)at * bytes, &part, count);
  }
}

EPACT_CLONES static bool subtract_f32(float *restrict target, const float *restrict value, int64_t n)
{
  int left = 0;
  for (int64_t i = 0; i < n; i++) {
    target[i] -= value[i]; // NOLINT: the caller has decoded as many
    left |= target[i] != 0;
  }
  return left != 0;
}

EPACT_CLONES static bool subtract_f64(double *restrict target, const double *restrict value, int64_t n)
{
  int left = 0;
  for (int64_t i = 0; i < n; i++) {
    target[i] -= value[i]; // NOLINT: the caller has decoded as many
    left |= target[i] != 0;
  }
  return left != 0;
}

bool epact_decode_subtract(int type, int encoding, void *target, const void *encoded, int64_t i, int64_t n)
{
  bool left = false;
  decoded_part part;
  for (int64_t at = 0; at < n; at += EPACT_DECODED_CELLS) {
    int64_t count = n - at < EPACT_DECODED_CELLS ? n - at : EPACT_DECODED_CELLS;
    epact_decode(type, encoding, encoded, i + at, &part, count);
    bool more = type == EPACT_F32 ? subtract_f32((float *)target + at, part.f32, count)
                                  : subtract_f64((double *)target + at, part.f64, count);
    left = left || more;
  }
  return left;
}

/* ---- checking ---- */

EPACT_CLONES static uint32_t largest_half(const uint16_t *half, int64_t n)
{
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; i++) largest = larger(largest, half[i] & 0x7fff);
  return largest;
}

int64_t epact_encoded_first_nonfinite(int type, int encoding, const void *encoded, int64_t n)
{
  if (encoding == EPACT_AS_TYPE) return epact_values_first_nonfinite(type, encoded, n);
  if (encoding == EPACT_AS_F32) return epact_values_first_nonfinite(EPACT_F32, encoded, n);
  const uint16_t *half = encoded;
  uint32_t infinity = encoding == EPACT_AS_F16 ? 0x7c00 : 0x7f80;
  if (largest_half(half, n) < infinity) return -1;
  for (int64_t i = 0; i < n; i++) {
    if ((half[i] & UINT32_C(0x7fff)) >= infinity) return i;
  }
  return -1;
}
