/* Decimal to double, correctly rounded: almost always from an integer and one exact power of ten. */
#include "source.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

#define EXACT_DIGITS 19 /* a 64-bit integer holds any number of so many digits */
#define EXACT_TEN 22    /* the largest power of ten that is a double */
#define EXACT_FIVE 27   /* the largest power of five that is a 64-bit integer */

__extension__ typedef unsigned __int128 wide;

static const double power_of_ten[EXACT_TEN + 1] = {
  1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

/* clang-format off */
static const uint64_t power_of_five[EXACT_FIVE + 1] = {
  1, 5, 25, 125, 625, 3125, 15625, 78125, 390625, 1953125, 9765625, 48828125, 244140625, 1220703125, 6103515625,
  30517578125, 152587890625, 762939453125, 3814697265625, 19073486328125, 95367431640625, 476837158203125,
  2384185791015625, 11920928955078125, 59604644775390625, 298023223876953125, 1490116119384765625,
  7450580596923828125,
};
/* clang-format on */

/* mantissa * 5^exponent in integers, cut to 64 bits whose last one says whether anything was cut off: the
 * conversion to double then rounds as if it had seen everything. The power of two that is left is exact. */
static double scale_wide(uint64_t mantissa, int exponent)
{
  int shift = __builtin_clzll(mantissa);
  int binary = exponent - shift;
  wide product, rest = 0;
  if (exponent < 0) {
    wide dividend = (wide)(mantissa << shift) << 64;
    product = dividend / power_of_five[-exponent]; /* at least 65 bits */
    rest = dividend % power_of_five[-exponent];
    binary -= 64;
  } else {
    product = (wide)(mantissa << shift) * power_of_five[exponent];
  }
  uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
  int leading = high ? __builtin_clzll(high) : 64 + __builtin_clzll(low);
  product <<= leading;
  high = (uint64_t)(product >> 64);
  low = (uint64_t)product;
  return ldexp((double)(high | (low || rest)), binary + 64 - leading);
}

/* mantissa * 10^exponent, correctly rounded; false outside the range of exact arithmetic. */
static inline bool scale(uint64_t mantissa, int exponent, double *value)
{
  if (EPACT_LIKELY(mantissa <= UINT64_C(1) << 53 && exponent >= -EXACT_TEN && exponent <= EXACT_TEN)) {
    /* two exact doubles, one rounding (Clinger 1990) */
    *value = exponent < 0 ? (double)mantissa / power_of_ten[-exponent] : (double)mantissa * power_of_ten[exponent];
    return true;
  }
  if (!mantissa || exponent < -EXACT_FIVE || exponent > EXACT_FIVE) return false;
  *value = scale_wide(mantissa, exponent);
  return true;
}

/* The C library's answer, whatever the program has set as its locale. */
static double convert_slowly(const char *c)
{
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  double value = plain ? strtod_l(c, NULL, plain) : NAN;
  if (plain) freelocale(plain);
  return value;
}

/* The exponent behind an 'e', cut off where it only means zero or infinity. */
static const char *scan_exponent(const char *c, int *exponent)
{
  bool negative = *c == '-';
  int sum = 0;
  if (*c == '-' || *c == '+') c++;
  if (!epact_is_digit(*c)) return NULL;
  while (epact_is_digit(*c)) {
    if (sum < 100000) sum = 10 * sum + (*c - '0');
    c++;
  }
  *exponent += negative ? -sum : sum;
  return c;
}

const char *epact_scan_number(const char *c, double *value)
{
  const char *first = c;
  bool negative = *c == '-';
  uint64_t mantissa = 0; /* wraps round for long numbers, which do not use it */
  int exponent = 0;
  c += *c == '-' || *c == '+';
  const char *digits = c;
  c = epact_scan_digits(c, &mantissa);
  int64_t digit_count = c - digits;
  if (*c == '.') {
    const char *fraction = ++c;
    c = epact_scan_digits(c, &mantissa);
    digit_count += c - fraction;
    exponent = c - fraction > EXACT_DIGITS ? 0 : (int)(fraction - c);
  }
  if (!digit_count) return NULL;
  if ((*c | 0x20) == 'e') c = scan_exponent(c + 1, &exponent);
  if (!c) return NULL;
  if (EPACT_LIKELY(digit_count <= EXACT_DIGITS && scale(mantissa, exponent, value))) {
    if (negative) *value = -*value;
    return c;
  }
  *value = convert_slowly(first);
  return isfinite(*value) ? c : NULL;
}
