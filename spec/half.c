/* f16 and bf16, exhaustively: what each pattern stands for, and every place between two patterns where rounding
 * changes its mind. The reference computes with ldexp, from the definition of the formats. */
#include "ps/half.h"

#include "ps/encoding.h"

#include "base/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATTERNS = 65536 };
static int failures;

#define EXPECT(held, ...)                                                                                              \
  do {                                                                                                                 \
    if (!(held) && failures++ < 20) {                                                                                  \
      fprintf(stderr, "half:%d: ", __LINE__);                                                                          \
      fprintf(stderr, __VA_ARGS__);                                                                                    \
      fputc('\n', stderr);                                                                                             \
    }                                                                                                                  \
  } while (0)

typedef struct {
  const char *name;
  int encoding, fraction_bits, least_exponent; /* of a normal number */
  uint16_t infinity;
} format;

static const format formats[] = { { "f16", EPACT_AS_F16, 10, -14, 0x7c00 },
                                  { "bf16", EPACT_AS_BF16, 7, -126, 0x7f80 } };

static double value_of(const format *f, uint16_t pattern)
{
  int exponent = (pattern & 0x7fff) >> f->fraction_bits;
  int fraction = pattern & ((1 << f->fraction_bits) - 1);
  double sign = pattern & 0x8000 ? -1 : 1;
  if ((pattern & 0x7fff) > f->infinity) return NAN;
  if ((pattern & 0x7fff) == f->infinity) return sign * INFINITY;
  if (exponent) fraction += 1 << f->fraction_bits;
  return sign * ldexp(fraction, f->least_exponent - f->fraction_bits + (exponent ? exponent - 1 : 0));
}

static uint16_t from_f32(const format *f, float x)
{
  uint16_t pattern;
  epact_encode(EPACT_F32, f->encoding, &x, &pattern, 1);
  return pattern;
}

static uint16_t from_f64(const format *f, double x)
{
  uint16_t pattern;
  epact_encode(EPACT_F64, f->encoding, &x, &pattern, 1);
  return pattern;
}

static bool same(double a, double b)
{
  return isnan(a) ? isnan(b) : a == b && !signbit(a) == !signbit(b);
}

/* Every pattern, by the loops over arrays: of all lengths near those of vectors, too. */
static void patterns(const format *f)
{
  static uint16_t pattern[PATTERNS], back[PATTERNS];
  static float f32[PATTERNS];
  static double f64[PATTERNS];
  for (int i = 0; i < PATTERNS; i++) pattern[i] = (uint16_t)i;
  epact_decode(EPACT_F32, f->encoding, pattern, 0, f32, PATTERNS);
  epact_decode(EPACT_F64, f->encoding, pattern, 0, f64, PATTERNS);
  for (int i = 0; i < PATTERNS; i++) {
    double want = value_of(f, pattern[i]);
    EXPECT(same(f32[i], want) && same(f64[i], want), "%s %04x is %g and %g, not %g", f->name, i, f32[i], f64[i], want);
  }
  for (int type = EPACT_F32; type <= EPACT_F64; type++) {
    bool fits = epact_encode(type, f->encoding, type == EPACT_F32 ? (void *)f32 : (void *)f64, back, PATTERNS);
    EXPECT(!fits, "%s: infinities do not fit", f->name);
    for (int i = 0; i < PATTERNS; i++) {
      uint16_t magnitude = pattern[i] & 0x7fff;
      bool nan = magnitude > f->infinity && (back[i] & 0x7fff) > f->infinity;
      EXPECT(back[i] == pattern[i] || nan, "%s %04x comes back as %04x", f->name, i, back[i]);
      double value = f64[i];
      EXPECT(epact_encode(EPACT_F64, f->encoding, &value, &back[i], 1) == (magnitude < f->infinity),
             "%s %04x fits or not", f->name, i);
      EXPECT((epact_encoded_first_nonfinite(EPACT_F32, f->encoding, pattern + i, 1) < 0) == (magnitude < f->infinity),
             "%s %04x is finite or not", f->name, i);
    }
  }
  for (int n = 0; n < 70; n++) {
    memset(back, 0xa5, sizeof back);
    epact_encode(EPACT_F32, f->encoding, f32 + 15000, back, n);
    EXPECT(!memcmp(back, pattern + 15000, (size_t)n * 2) && back[n] == 0xa5a5, "%s: %d values", f->name, n);
    int64_t bad = epact_encoded_first_nonfinite(EPACT_F32, f->encoding, pattern + f->infinity - n, n + 5);
    EXPECT(bad == n, "%s: the first infinity is at %d, not %d", f->name, n, (int)bad);
  }
}

/* Between each finite pattern and the next: halfway goes to the even one, the rest to the nearer. The next of the
 * largest is infinity, as if it were one more step. */
static void boundaries(const format *f)
{
  double end = ldexp(1, f->encoding == EPACT_AS_F16 ? 16 : 128);
  for (uint16_t low = 0; low < f->infinity; low++) {
    uint16_t high = (uint16_t)(low + 1), even = low & 1 ? high : low;
    double a = value_of(f, low), b = high == f->infinity ? end : value_of(f, high), middle = (a + b) / 2;
    for (int sign = 0; sign < 2; sign++) {
      double s = sign ? -1 : 1;
      uint16_t bit = sign ? 0x8000 : 0;
      EXPECT(from_f64(f, s * middle) == (even | bit), "%s: f64 halfway from %04x", f->name, low);
      EXPECT(from_f64(f, s * nextafter(middle, 0)) == (low | bit), "%s: f64 below halfway from %04x", f->name, low);
      EXPECT(from_f64(f, s * nextafter(middle, INFINITY)) == (high | bit), "%s: f64 above halfway from %04x", f->name,
             low);
      EXPECT(from_f64(f, s * nextafter(b, 0)) == (high | bit), "%s: f64 below %04x", f->name, high);
      float single = (float)middle;
      if ((double)single != middle) continue; /* half of the least bf16 is an f32, too: this is never so */
      EXPECT(from_f32(f, (float)s * single) == (even | bit), "%s: f32 halfway from %04x", f->name, low);
      EXPECT(from_f32(f, (float)s * nextafterf(single, 0)) == (low | bit), "%s: f32 below halfway from %04x", f->name,
             low);
      EXPECT(from_f32(f, (float)s * nextafterf(single, INFINITY)) == (high | bit), "%s: f32 above halfway from %04x",
             f->name, low);
    }
  }
  EXPECT(from_f32(f, NAN) > f->infinity && from_f64(f, NAN) > f->infinity, "%s: not a number", f->name);
  EXPECT(from_f64(f, 1e300) == f->infinity && from_f64(f, -INFINITY) == (f->infinity | 0x8000), "%s: too large",
         f->name);
  EXPECT(from_f64(f, 4e-324) == 0 && from_f64(f, -4e-324) == 0x8000, "%s: too small", f->name);
}

/* What is left after subtracting is exact, and what is left of the sum of many is never lost. */
static void rests(const format *f)
{
  epact_rng rng = epact_rng_stream(5, (uint64_t)f->encoding, 0);
  float kept[1000] = { 0 };
  double sum = 0, sent = 0;
  uint16_t encoded[1000];
  for (int round = 0; round < 50; round++) {
    for (int i = 0; i < 1000; i++) {
      float delta = (float)epact_rng_below(&rng, 1 << 12) / 4096 - 0.5F;
      kept[i] += delta;
      sum += delta;
    }
    EXPECT(epact_encode(EPACT_F32, f->encoding, kept, encoded, 1000), "encodes");
    for (int i = 0; i < 1000; i++) sent += value_of(f, encoded[i]);
    epact_decode_subtract(EPACT_F32, f->encoding, kept, encoded, 0, 1000);
  }
  for (int i = 0; i < 1000; i++) {
    sent += kept[i];
    EXPECT(fabsf(kept[i]) <= ldexpf(1, -f->fraction_bits - 1), "%s: %g is kept", f->name, kept[i]);
  }
  EXPECT(sent == sum, "%s: %.17g was sent and kept of %.17g", f->name, sent, sum);
}

static void singles(void)
{
  double value[] = { 1, 1 + 0x1p-24, -3e38, 0.1 }, back[4], target[4] = { 1, 1, 1, 1 };
  float encoded[4];
  EXPECT(epact_encode(EPACT_F64, EPACT_AS_F32, value, encoded, 4), "encodes");
  epact_decode(EPACT_F64, EPACT_AS_F32, encoded, 0, back, 4);
  for (int i = 0; i < 4; i++) EXPECT(back[i] == (double)(float)value[i], "f32: %.17g", back[i]);
  epact_decode_add(EPACT_F64, EPACT_AS_F32, target, encoded, 1, 2);
  EXPECT(target[0] == 2 && target[1] == 1 - (double)3e38F && target[2] == 1, "added from the second on");
  value[1] = 1e39;
  EXPECT(!epact_encode(EPACT_F64, EPACT_AS_F32, value, encoded, 4), "too large for f32");
  EXPECT(epact_encoded_first_nonfinite(EPACT_F64, EPACT_AS_F32, encoded, 4) == 1, "and found");
}

int main(void)
{
  for (int i = 0; i < 2; i++) {
    patterns(&formats[i]);
    boundaries(&formats[i]);
    rests(&formats[i]);
  }
  singles();
  return failures != 0;
}
