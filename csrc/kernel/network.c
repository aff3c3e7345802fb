/* Networks of dense layers: see network.h. The passes and the way through the layers are templates. */
#include "network.h"

#include "../base/internal.h"

#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <string.h>

int epact_network_check(const epact_network *network)
{
  if (network->layers < 1) return epact_fail(EPACT_E_MISUSE, "a network has at least one layer of weights");
  for (int32_t l = 0; l <= network->layers; l++)
    if (network->units[l] < 1 || network->units[l] >= INT_MAX)
      return epact_fail(EPACT_E_MISUSE, "layer %d has %lld units", l, (long long)network->units[l]);
  if (network->activation < EPACT_NETWORK_RELU || network->activation > EPACT_NETWORK_SIGMOID)
    return epact_fail(EPACT_E_MISUSE, "no activation has the number %d", network->activation);
  if (network->loss != EPACT_NETWORK_SOFTMAX && network->loss != EPACT_NETWORK_SQUARED)
    return epact_fail(EPACT_E_MISUSE, "no loss has the number %d", network->loss);
  if (!(network->dropout >= 0 && network->dropout <= 0.999))
    return epact_fail(EPACT_E_MISUSE, "dropout must be in [0, 0.999], got %g", network->dropout);
  return EPACT_OK;
}

int64_t epact_network_scratch(const epact_network *network, int64_t rows)
{
  int64_t sum = network->units[network->layers], most = 0;
  for (int32_t l = 1; l < network->layers; l++) {
    sum += network->units[l];
    if (network->units[l] > most) most = network->units[l];
  }
  return rows * (sum + most);
}

/* Of 65536 units, how many are kept. */
static uint32_t epact_network_kept(const epact_network *network)
{
  return (uint32_t)lround(65536 * (1 - network->dropout));
}

/* Where the random numbers of a row's units begin. */
static uint64_t epact_network_mask(const epact_network *network, uint64_t step, uint32_t id, int32_t layer)
{
  return epact_rng_stream(network->seed ^ epact_mix64((uint64_t)layer), step + 1, id).counter;
}

/* e^x by a polynomial for the rest after n log 2 (Cephes, S. Moshier): to 2 units in the last place for x from -87 to 88,
 * between which others are taken to be; NaN stays. Adding and subtracting 1.5 2^23 rounds, and leaves n in the low bits
 * of the sum. */
static inline __attribute__((always_inline)) float exp_f(float x)
{
  const float magic = 12582912.0F;
  uint32_t bits;
  float power;
  x = x > 88.0F ? 88.0F : x;
  x = x < -87.0F ? -87.0F : x;
  const float shifted = x * 1.44269504088896341F + magic, n = shifted - magic;
  const float r = x - n * 0.693359375F + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + 0x3f800000U;
  memcpy(&power, &bits, sizeof power);
  return (p * r * r + r + 1) * power;
}

/* Small arguments by a polynomial, whose relative error is small too; others by e^x. */
static inline __attribute__((always_inline)) float tanh_f(float x)
{
  const float size = x < 0 ? -x : x, z = x * x;
  float p = -5.70498872745e-3F;
  p = p * z + 2.06390887954e-2F;
  p = p * z - 5.37397155531e-2F;
  p = p * z + 1.33314422036e-1F;
  p = p * z - 3.33332819422e-1F;
  const float large = 1 - 2 / (exp_f(2 * size) + 1);
  return size < 0.625F ? p * z * x + x : x < 0 ? -large : large;
}

#define REAL float
#define NAME(base) base##_f
#define API(base) base##_f
#define BATCH epact_network_batch_f
#define GEMM cblas_sgemm
#define EXP(x) exp_f(x)
#define TANH(x) tanh_f(x)
#include "network_layer.h"
#include "network_pass.h"
#undef REAL
#undef NAME
#undef API
#undef BATCH
#undef GEMM
#undef EXP
#undef TANH

#define REAL double
#define NAME(base) base##_d
#define API(base) base
#define BATCH epact_network_batch
#define GEMM cblas_dgemm
#define EXP(x) exp(x)
#define TANH(x) tanh(x)
#include "network_layer.h"
#include "network_pass.h"
