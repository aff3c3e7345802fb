/* The passes of network.c over one row of a layer. Private, and a template: define REAL, WORD (an unsigned integer of
 * the same size), NAME(base), EXP(x) and TANH(x) before including it, once for each; it undefines none of them.
 *
 * The loops have no branch in them, so that compilers turn them into vector instructions; EPACT_CLONES chooses the
 * widest that the processor has. */

/* a = act(z + b), in place. */
EPACT_CLONES static void NAME(activate)(int activation, int64_t n, const REAL *restrict bias, REAL *restrict a)
{
  switch (activation) {
  case EPACT_NETWORK_RELU:
    for (int64_t j = 0; j < n; j++) {
      const REAL z = a[j] + bias[j];
      a[j] = z < 0 ? 0 : z; /* NaN stays */
    }
    break;
  case EPACT_NETWORK_TANH:
    for (int64_t j = 0; j < n; j++) a[j] = TANH(a[j] + bias[j]);
    break;
  default:
    for (int64_t j = 0; j < n; j++) {
      const REAL z = a[j] + bias[j], e = EXP(z < 0 ? z : -z);
      a[j] = (z < 0 ? e : 1) / (1 + e);
    }
  }
}

/* d = act'(a) d for a = act(z) = keep a', and its sum over the rows so far, the bias's gradient. d goes where a'
 * was. */
EPACT_CLONES static void NAME(derive)(int activation, int64_t n, REAL keep, const REAL *restrict d, REAL *restrict a,
                                      REAL *restrict sum)
{
  switch (activation) {
  case EPACT_NETWORK_RELU:
    for (int64_t j = 0; j < n; j++) {
      a[j] = a[j] > 0 ? d[j] : 0;
      sum[j] += a[j];
    }
    break;
  case EPACT_NETWORK_TANH:
    for (int64_t j = 0; j < n; j++) {
      const REAL value = keep * a[j];
      a[j] = (1 - value * value) * d[j];
      sum[j] += a[j];
    }
    break;
  default:
    for (int64_t j = 0; j < n; j++) {
      const REAL value = keep * a[j];
      a[j] = value * (1 - value) * d[j];
      sum[j] += a[j];
    }
  }
}

/* Leaves units out, and divides the others by the share that is kept: four units a random number. */
EPACT_CLONES static void NAME(drop)(uint64_t counter, uint32_t kept, int64_t n, REAL *restrict a)
{
  const REAL scale = (REAL)65536 / (REAL)kept;
  uint64_t word[16];
  uint16_t draw[64];
  for (int64_t first = 0; first < n; first += 64) {
    const int64_t count = n - first < 64 ? n - first : 64;
    for (int j = 0; j < 16; j++)
      word[j] = epact_mix64(counter + UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(first / 4 + j + 1));
    memcpy(draw, word, sizeof draw);
    for (int64_t j = 0; j < count; j++) a[first + j] *= draw[j] < kept ? scale : 0;
  }
}

EPACT_CLONES static void NAME(add)(int64_t n, const REAL *restrict x, REAL *restrict y)
{
  for (int64_t j = 0; j < n; j++) y[j] += x[j];
}

/* softmax(z + b), in place. Returns the log of the sum of exponentials of z + b. */
EPACT_CLONES static double NAME(softmax)(int64_t n, const REAL *restrict bias, REAL *restrict z)
{
  REAL most[8], inverse;
  double sum = 0;
  NAME(add)(n, bias, z);
  for (int j = 0; j < 8; j++) most[j] = z[j < n ? j : 0];
  for (int64_t j = 8; j < n; j++) most[j % 8] = z[j] > most[j % 8] ? z[j] : most[j % 8];
  for (int j = 1; j < 8; j++) most[0] = most[j] > most[0] ? most[j] : most[0];
  for (int64_t j = 0; j < n; j++) z[j] = EXP(z[j] - most[0]);
  for (int64_t j = 0; j < n; j++) sum += (double)z[j];
  inverse = (REAL)(1 / sum);
  for (int64_t j = 0; j < n; j++) z[j] *= inverse;
  return (double)most[0] + log(sum);
}
