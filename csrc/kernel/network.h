/* Networks of dense layers, trained by mini-batches: forward and backward (the rules that make steps: adaptive.h).
 *
 *   a_0 = x,   a_l = act(a_{l-1} W_l + b_l) for the hidden layers,   output = a_{L-1} W_L + b_L,
 *   loss of a row:  softmax   -log softmax(output)_y          (labels 0 .. outputs-1)
 *                   squared   1/2 ||output - y||^2
 *
 * Layer l is one array of (units[l-1] + 1) x units[l] numbers, row by row: row i holds the weights from unit i to every
 * unit of the layer, and the last row is the bias. That is also the layout of a table, whose view goes in as it is. The
 * matrix products are OpenBLAS's; between two of them one pass over a layer's numbers adds the bias, applies the
 * activation and drops units, and one on the way back does the reverse and sums the bias's gradient.
 *
 * Dropout is inverted (Srivastava et al., JMLR 2014): in training a hidden unit is left out with probability p and
 * otherwise divided by 1 - p (p is rounded to a multiple of 2^-16), so that prediction needs no correction. Which
 * units are dropped depends on (seed, step, id of the row, layer) alone, not on how the rows of a
 * batch are divided among workers; it is drawn again on the way back and takes no memory.
 *
 * Every function comes twice: for double, and with `_f` for float. No function keeps or frees an array. */
#ifndef EPACT_KERNEL_NETWORK_H
#define EPACT_KERNEL_NETWORK_H

#include "../base/base.h"

enum { EPACT_NETWORK_RELU, EPACT_NETWORK_TANH, EPACT_NETWORK_SIGMOID };
enum { EPACT_NETWORK_SOFTMAX, EPACT_NETWORK_SQUARED };

typedef struct {
  int32_t layers;       /* of weights, L: one more than there are hidden layers */
  int32_t activation;   /* of the hidden layers */
  int32_t loss;         /* and with it what the output is */
  const int64_t *units; /* layers + 1: inputs, hidden layers, outputs */
  double dropout;       /* p, in [0, 1) */
  uint64_t seed;        /* of what is dropped */
} epact_network;

/** Rows to learn from. */
typedef struct {
  int64_t rows;
  const double *input;  /* rows x units[0] */
  const double *target; /* softmax: a label for each row; squared: rows x units[layers] */
  const uint32_t *id;   /* of each row, for dropout; may be NULL when there is none */
  uint64_t step;        /* which step of the training this is */
} epact_network_batch;

typedef struct {
  int64_t rows;
  const float *input;
  const float *target;
  const uint32_t *id;
  uint64_t step;
} epact_network_batch_f;

/** EPACT_OK when the description is one of a network whose products OpenBLAS can count; otherwise EPACT_E_MISUSE. */
EPACT_API int epact_network_check(const epact_network *network);

/** How many numbers of scratch memory a batch of `rows` needs: the layers' outputs, and one layer more. */
EPACT_API int64_t epact_network_scratch(const epact_network *network, int64_t rows);

/** Rows first .. end - 1 of `layer` (1 .. layers) as they are before training, into `weights` (row `first` comes
 * first): N(0, 2 / units[layer - 1]) for a layer of ReLUs and N(0, 1 / units[layer - 1]) for others; biases 0. Row i
 * draws from the stream (seed, layer, i): the same numbers however rows are divided among workers. */
EPACT_API void epact_network_draw(const epact_network *network, int32_t layer, int64_t first, int64_t end,
                                  uint64_t seed, double *weights);
EPACT_API void epact_network_draw_f(const epact_network *network, int32_t layer, int64_t first, int64_t end,
                                    uint64_t seed, float *weights);

/** gradient[l] = scale * (sum of the gradients of the batch's losses) + l2 * weights[l], the latter not for biases; for
 * l = 0 .. layers - 1 (layer l + 1). *loss: the sum of the losses. Units are dropped. EPACT_E_DIVERGED when the
 * loss is not finite; the gradient is then of no use. */
EPACT_API int epact_network_gradient(const epact_network *network, const double *const *weights,
                                     const epact_network_batch *batch, double scale, double l2, double *const *gradient,
                                     double *scratch, double *loss);
EPACT_API int epact_network_gradient_f(const epact_network *network, const float *const *weights,
                                       const epact_network_batch_f *batch, double scale, double l2,
                                       float *const *gradient, float *scratch, double *loss);

/** The output for `rows` rows of input, of which no unit is dropped: rows x units[layers], the probabilities of the
 * classes (softmax) or the values (squared). */
EPACT_API void epact_network_forward(const epact_network *network, const double *const *weights, int64_t rows,
                                     const double *input, double *scratch, double *output);
EPACT_API void epact_network_forward_f(const epact_network *network, const float *const *weights, int64_t rows,
                                       const float *input, float *scratch, float *output);

/** The sum of the losses of a batch of which no unit is dropped, and (softmax) how many rows' labels are the most
 * probable ones. */
EPACT_API double epact_network_evaluate(const epact_network *network, const double *const *weights,
                                        const epact_network_batch *batch, double *scratch, int64_t *correct);
EPACT_API double epact_network_evaluate_f(const epact_network *network, const float *const *weights,
                                          const epact_network_batch_f *batch, float *scratch, int64_t *correct);

/** Rows row[0] .. row[count - 1] of `from` (any number of rows of `columns` numbers), one after another. */
EPACT_API void epact_network_gather(const double *from, int64_t columns, const uint32_t *row, int64_t count,
                                    double *to);
EPACT_API void epact_network_gather_f(const double *from, int64_t columns, const uint32_t *row, int64_t count,
                                      float *to);

#endif
