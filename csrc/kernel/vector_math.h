/* exp and log1p where the losses need them, without branches, so that loops over them become vector code. Private. */
#ifndef EPACT_KERNEL_VECTOR_MATH_H
#define EPACT_KERNEL_VECTOR_MATH_H

#include <stdint.h>
#include <string.h>

/* exp(x) for x <= 0, relative error below 3e-16; exp(-708) below that. exp(x) = 2^k exp(r), |r| <= ln(2) / 2, and the
 * Taylor series of exp(r). */
static inline double exp_of_negative(double x)
{
  const double magic = 0x1.8p52; /* adding it rounds to an integer, which is left in the low bits */
  x = x < -708 ? -708 : x;
  const double shifted = x * 0x1.71547652b82fep0 + magic;
  const double k = shifted - magic;
  const double r = (x - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
  double sum = 1.0 / 6227020800;
  sum = sum * r + 1.0 / 479001600;
  sum = sum * r + 1.0 / 39916800;
  sum = sum * r + 1.0 / 3628800;
  sum = sum * r + 1.0 / 362880;
  sum = sum * r + 1.0 / 40320;
  sum = sum * r + 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 0.5;
  sum = sum * r + 1;
  sum = sum * r + 1;
  uint64_t bits;
  double power;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52;
  memcpy(&power, &bits, sizeof power);
  return sum * power;
}

/* log(1 + e) for 0 <= e <= 1: 2 artanh(z), z = e / (2 + e); above sqrt(2) - 1 of (1 + e) / 2, whose z is
 * (e - 1) / (e + 3). Then |z| <= 0.172 and ten terms of the series do. */
static inline double log1p_of_unit(double e)
{
  const int large = e > 0.41421356237309503;
  const double z = (large ? e - 1 : e) / (large ? e + 3 : e + 2), z2 = z * z;
  double sum = 1.0 / 21;
  sum = sum * z2 + 1.0 / 19;
  sum = sum * z2 + 1.0 / 17;
  sum = sum * z2 + 1.0 / 15;
  sum = sum * z2 + 1.0 / 13;
  sum = sum * z2 + 1.0 / 11;
  sum = sum * z2 + 1.0 / 9;
  sum = sum * z2 + 1.0 / 7;
  sum = sum * z2 + 1.0 / 5;
  sum = sum * z2 + 1.0 / 3;
  sum = sum * z2 + 1;
  return 2 * z * sum + (large ? 0.69314718055994531 : 0);
}

#endif
