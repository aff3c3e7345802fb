/* Forward and backward over the layers of a network: see network.h. Private, and a template: define REAL, NAME(base),
 * API(base), GEMM (OpenBLAS's product) and BATCH (the type of a batch) before including it, once for each. */

void API(epact_network_draw)(const epact_network *network, int32_t layer, int64_t first, int64_t end, uint64_t seed,
                             REAL *weights)
{
  const int64_t inputs = network->units[layer - 1], units = network->units[layer];
  const bool rectified = layer < network->layers && network->activation == EPACT_NETWORK_RELU;
  const double deviation = sqrt((rectified ? 2.0 : 1.0) / (double)inputs);
  for (int64_t i = first; i < end; i++, weights += units) {
    epact_rng rng = epact_rng_stream(seed, (uint64_t)layer, (uint64_t)i);
    for (int64_t j = 0; j < units; j++) weights[j] = i < inputs ? (REAL)(deviation * epact_rng_normal(&rng)) : 0;
  }
}

/* Output = the sums that reach `layer`, before bias and activation. */
static void NAME(product)(const epact_network *network, int32_t layer, int64_t rows, const REAL *input,
                          const REAL *weights, REAL *output)
{
  const int inputs = (int)network->units[layer - 1], units = (int)network->units[layer];
  GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, units, inputs, 1, input, inputs, weights, units, 0, output,
       units);
}

/* The hidden layers: returns the last one's outputs, which follow those of the others in `a`. `batch` names the
 * rows for dropout, NULL: without. */
static REAL *NAME(hidden)(const epact_network *network, const REAL *const *weights, const BATCH *batch, bool dropping,
                          REAL *a)
{
  const uint32_t kept = epact_network_kept(network);
  const REAL *input = batch->input;
  for (int32_t l = 1; l < network->layers; l++) {
    const int64_t units = network->units[l];
    NAME(product)(network, l, batch->rows, input, weights[l - 1], a);
    for (int64_t i = 0; i < batch->rows; i++) {
      NAME(activate)(network->activation, units, weights[l - 1] + network->units[l - 1] * units, a + i * units);
      if (dropping) NAME(drop)(epact_network_mask(network, batch->step, batch->id[i], l), kept, units, a + i * units);
    }
    input = a;
    a += batch->rows * units;
  }
  return a;
}

static const REAL *NAME(input_of)(const epact_network *network, int32_t layer, const BATCH *batch, const REAL *after)
{
  return layer == 1 ? batch->input : after - batch->rows * network->units[layer - 1];
}

/* From sums to the outputs, then to the derivative of the loss by the sums when `deriving`. Returns the sum of the
 * losses; counts the rows whose label is the most probable. */
static double NAME(losses)(const epact_network *network, const REAL *bias, const BATCH *batch, bool deriving, REAL *z,
                           int64_t *correct)
{
  const int64_t n = network->units[network->layers];
  double loss = 0;
  for (int64_t i = 0; i < batch->rows; i++, z += n) {
    if (network->loss == EPACT_NETWORK_SQUARED) {
      const REAL *y = batch->target + i * n;
      double squares = 0;
      for (int64_t j = 0; j < n; j++) {
        z[j] += bias[j] - y[j];
        squares += (double)z[j] * (double)z[j];
      }
      loss += squares / 2;
    } else {
      const int64_t label = (int64_t)batch->target[i];
      const REAL sum = z[label] + bias[label];
      loss += NAME(softmax)(n, bias, z) - (double)sum;
      int64_t above = 0;
      for (int64_t j = 0; j < n && !deriving; j++) above += !(z[j] < z[label] || (z[j] == z[label] && j >= label));
      *correct += above == 0;
      if (deriving) z[label] -= 1;
    }
  }
  return loss;
}

/* The way back from `layer`, whose sums' derivatives are `d`: the layer's gradient, but for that of its bias, which is
 * there already. Returns the derivatives of the layer below, in place of its outputs. */
static REAL *NAME(back)(const epact_network *network, int32_t layer, const REAL *weights, const BATCH *batch,
                        double scale, double l2, REAL *d, REAL *scratch, REAL *gradient, REAL *below)
{
  const int rows = (int)batch->rows, inputs = (int)network->units[layer - 1], units = (int)network->units[layer];
  const REAL *input = NAME(input_of)(network, layer, batch, d);
  REAL *bias = gradient + (int64_t)inputs * units, *a = d - (int64_t)rows * inputs;
  if (l2 != 0) memcpy(gradient, weights, sizeof *gradient * (size_t)inputs * (size_t)units);
  GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, inputs, units, rows, (REAL)scale, input, inputs, d, units, (REAL)l2,
       gradient, units);
  for (int j = 0; j < units; j++) bias[j] *= (REAL)scale;
  if (layer == 1) return NULL;
  GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, rows, inputs, units, 1, d, units, weights, units, 0, scratch, inputs);
  memset(below, 0, sizeof *below * (size_t)inputs);
  for (int64_t i = 0; i < rows; i++) {
    REAL *row = scratch + i * inputs;
    if (network->dropout > 0) NAME(drop)
    (epact_network_mask(network, batch->step, batch->id[i], layer - 1), epact_network_kept(network), inputs, row);
    NAME(derive)(network->activation, inputs, (REAL)epact_network_kept(network) / 65536, row, a + i * inputs, below);
  }
  return a;
}

int API(epact_network_gradient)(const epact_network *network, const REAL *const *weights, const BATCH *batch,
                                double scale, double l2, REAL *const *gradient, REAL *scratch, double *loss)
{
  const int32_t last = network->layers;
  const int64_t *units = network->units, rows = batch->rows;
  REAL *d = NAME(hidden)(network, weights, batch, network->dropout > 0, scratch);
  REAL *free_space = d + rows * units[last], *bias = gradient[last - 1] + units[last - 1] * units[last];
  int64_t correct = 0;
  NAME(product)(network, last, rows, NAME(input_of)(network, last, batch, d), weights[last - 1], d);
  *loss = NAME(losses)(network, weights[last - 1] + units[last - 1] * units[last], batch, true, d, &correct);
  if (!isfinite(*loss)) return epact_fail(EPACT_E_DIVERGED, "the network diverged: its loss is not finite");
  memset(bias, 0, sizeof *bias * (size_t)units[last]);
  for (int64_t i = 0; i < rows; i++) NAME(add)(units[last], d + i * units[last], bias);
  for (int32_t l = last; l > 0; l--)
    d = NAME(back)(network, l, weights[l - 1], batch, scale, l2, d, free_space, gradient[l - 1],
                   l > 1 ? gradient[l - 2] + units[l - 2] * units[l - 1] : NULL);
  return EPACT_OK;
}

void API(epact_network_forward)(const epact_network *network, const REAL *const *weights, int64_t rows,
                                const REAL *input, REAL *scratch, REAL *output)
{
  const int32_t last = network->layers;
  const int64_t n = network->units[last];
  const REAL *bias = weights[last - 1] + network->units[last - 1] * n;
  const BATCH batch = { .rows = rows, .input = input };
  const REAL *end = NAME(hidden)(network, weights, &batch, false, scratch);
  NAME(product)(network, last, rows, NAME(input_of)(network, last, &batch, end), weights[last - 1], output);
  for (int64_t i = 0; i < rows; i++)
    if (network->loss == EPACT_NETWORK_SOFTMAX)
      NAME(softmax)(n, bias, output + i * n);
    else
      NAME(add)(n, bias, output + i * n);
}

double API(epact_network_evaluate)(const epact_network *network, const REAL *const *weights, const BATCH *batch,
                                   REAL *scratch, int64_t *correct)
{
  const int32_t last = network->layers;
  REAL *z = NAME(hidden)(network, weights, batch, false, scratch);
  *correct = 0;
  NAME(product)(network, last, batch->rows, NAME(input_of)(network, last, batch, z), weights[last - 1], z);
  return NAME(losses)(network, weights[last - 1] + network->units[last - 1] * network->units[last], batch, false, z,
                      correct);
}

void API(epact_network_gather)(const double *from, int64_t columns, const uint32_t *row, int64_t count, REAL *to)
{
  for (int64_t i = 0; i < count; i++)
    for (int64_t j = 0; j < columns; j++) to[i * columns + j] = (REAL)from[row[i] * columns + j];
}
