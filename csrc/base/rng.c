/* Random streams: SplitMix64 (Steele, Lea, Flood 2014). The state is a counter: output i is
 * mix(seed + i gamma), so jumping is one multiplication and streams are split by hashing. */
#include "internal.h"

#include <math.h>

#define GAMMA UINT64_C(0x9e3779b97f4a7c15)

epact_rng epact_rng_stream(uint64_t seed, uint64_t stream, uint64_t substream)
{
  epact_rng rng = { seed };
  if (stream || substream) {
    rng.counter = epact_mix64(epact_mix64(seed + GAMMA) + stream * GAMMA);
    rng.counter = epact_mix64(rng.counter + (substream + 1) * UINT64_C(0xd1342543de82ef95));
  }
  return rng;
}

void epact_rng_jump(epact_rng *rng, uint64_t draws)
{
  rng->counter += draws * GAMMA;
}

uint64_t epact_rng_next(epact_rng *rng)
{
  return epact_rng_inline(rng);
}

double epact_rng_uniform(epact_rng *rng)
{
  return epact_uniform_inline(rng);
}

int64_t epact_rng_below(epact_rng *rng, int64_t bound)
{
  if (bound < 1) return 0;
  int64_t draw = (int64_t)(epact_uniform_inline(rng) * (double)bound);
  return draw < bound ? draw : bound - 1; /* rounding, for bounds above 2^53 */
}

double epact_rng_normal(epact_rng *rng)
{
  double u1 = epact_uniform_inline(rng), u2 = epact_uniform_inline(rng);
  return sqrt(-2.0 * log1p(-u1)) * cos(6.283185307179586476925 * u2);
}

void epact_rng_shuffle(epact_rng *rng, uint32_t *item, int64_t n)
{
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t j = epact_rng_below(rng, i + 1);
    uint32_t swapped = item[i];
    item[i] = item[j];
    item[j] = swapped;
  }
}
