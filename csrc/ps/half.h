/* Numbers of two bytes, as they travel: f16 (IEEE 754 binary16: 11 significant bits, up to 65504) and bf16
 * (the upper half of an f32: 8 significant bits, its range). To nearest, ties to even; what is too large
 * becomes infinity, subnormals are kept, any NaN becomes one quiet NaN. */
#ifndef EPACT_PS_HALF_H
#define EPACT_PS_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t epact_bits_of(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float epact_float_of(uint32_t bits)
{
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Selections instead of branches, so that loops over these vectorise. */

static inline uint16_t epact_f16_of(float x)
{
  uint32_t bits = epact_bits_of(x), a = bits & 0x7fffffff;
  uint32_t normal = (a + 0xfff + (a >> 13 & 1) - (UINT32_C(112) << 23)) >> 13;
  /* Below 2^-14 the units are 2^-24, which are also those of the floats from 0.5 to 1: the sum is rounded there. */
  uint32_t subnormal = epact_bits_of(epact_float_of(a) + 0.5F) - epact_bits_of(0.5F);
  uint32_t half = a < (UINT32_C(113) << 23) ? subnormal : normal;
  half = a >= 0x477ff000 ? 0x7c00 : half; /* 65520, halfway from the largest to the next */
  half = a > 0x7f800000 ? 0x7e00 : half;
  return (uint16_t)(half | (bits >> 16 & 0x8000));
}

static inline float epact_f16_value(uint16_t half)
{
  uint32_t a = (half & UINT32_C(0x7fff)) << 13, sign = (half & UINT32_C(0x8000)) << 16;
  uint32_t normal = a + (UINT32_C(112) << 23);
  uint32_t subnormal = epact_bits_of(epact_float_of(a + (UINT32_C(113) << 23)) - 0x1p-14F);
  uint32_t bits = a < (UINT32_C(1) << 23) ? subnormal : normal;
  bits = a >= (UINT32_C(31) << 23) ? a + (UINT32_C(224) << 23) : bits;
  return epact_float_of(bits | sign);
}

static inline uint16_t epact_bf16_of(float x)
{
  uint32_t bits = epact_bits_of(x);
  uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16 & 0x8000) | 0x7fc0 : rounded);
}

static inline float epact_bf16_value(uint16_t half)
{
  return epact_float_of((uint32_t)half << 16);
}

/* To odd: cut towards zero, with the last bit set when anything was cut off. A second rounding, to fewer bits, then
 * gives what one rounding of x would have given. */
static inline float epact_float_to_odd(double x)
{
  float nearest = (float)x;
  uint32_t bits = epact_bits_of(nearest);
  double back = nearest;
  uint32_t away = (back < 0 ? -back : back) > (x < 0 ? -x : x);
  return epact_float_of(back == x || x != x ? bits : (bits - away) | 1);
}

#endif
