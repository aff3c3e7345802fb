/* Steps that each coordinate sizes by its own past gradients. For arrays of n: x the weights, g a gradient.
 *
 * AdaGrad (Duchi, Hazan, Singer, JMLR 12, 2011), with the penalty l1 ||x||_1 + l2/2 ||x||^2 by its proximal operator in
 * the same metric:
 *   z_j += g_j^2;   eta_j = step / sqrt(z_j);   x_j <- S(x_j - eta_j g_j, eta_j l1) / (1 + eta_j l2)
 * z begins at what the caller chose: 1 is usual; from 0, the first step of a coordinate is `step` long whatever
 * its gradient, and one without a gradient so far is left alone.
 *
 * AdaRevision (McMahan, Streeter, NIPS 2014), for gradients that arrive late. The server keeps x, gbar = the sum of all
 * gradients so far (from 0), z and its running maximum z' (both from 1). A client reads x and gbar; when the gradient g
 * at that x arrives with the gbar that was read, b = gbar - gbar_read is what was applied meanwhile:
 *   eta_old = step / sqrt(z');   z += g^2 + 2 g b;   z' = max(z', z);   eta = step / sqrt(z')
 *   x += (eta_old - eta) b - eta g;   gbar += g
 * With b = 0 it is AdaGrad from z = 1.
 *
 * Adam (Kingma, Ba, ICLR 2015), update t = 1, 2, ...; m and v begin at 0:
 *   m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) g^2
 *   x -= step (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
 *
 * Each comes for double, and with `_f` for float. Memory beside x: 8 (4) bytes a weight for AdaGrad, 24 (12) for
 * AdaRevision, 16 (8) for Adam. No function checks that numbers are finite. Arrays must not overlap. */
#ifndef EPACT_KERNEL_ADAPTIVE_H
#define EPACT_KERNEL_ADAPTIVE_H

#include "../base/base.h"

typedef struct {
  double step, l1, l2;
} epact_adagrad_rule;

typedef struct {
  double step, beta1, beta2, epsilon;
} epact_adam_rule;

/** One step. E_MISUSE: step not positive, l1 or l2 negative. */
EPACT_API int epact_adagrad(int64_t n, const epact_adagrad_rule *rule, const double *g, double *x, double *z);
EPACT_API int epact_adagrad_f(int64_t n, const epact_adagrad_rule *rule, const float *g, float *x, float *z);
/** One step of the coordinates index[0 .. count - 1], of which g has the gradients: cost by the non-zeros. A coordinate
 * named twice makes two steps. The penalty is paid by the coordinates that are named. */
EPACT_API int epact_adagrad_sparse(int64_t count, const epact_adagrad_rule *rule, const uint32_t *index,
                                   const double *g, double *x, double *z);
EPACT_API int epact_adagrad_sparse_f(int64_t count, const epact_adagrad_rule *rule, const uint32_t *index,
                                     const float *g, float *x, float *z);

/** One gradient arrives. `read` is gbar as it was when the client read x. E_MISUSE: step not positive. */
EPACT_API int epact_adarevision(int64_t n, double step, const double *g, const double *read, double *x, double *gbar,
                                double *z, double *largest);
EPACT_API int epact_adarevision_f(int64_t n, double step, const float *g, const float *read, float *x, float *gbar,
                                  float *z, float *largest);

/** Update number t (from 1). E_MISUSE: t below 1, step not positive, betas not in [0, 1), epsilon negative. */
EPACT_API int epact_adam(int64_t n, int64_t t, const epact_adam_rule *rule, const double *g, double *x, double *m,
                         double *v);
EPACT_API int epact_adam_f(int64_t n, int64_t t, const epact_adam_rule *rule, const float *g, float *x, float *m,
                           float *v);

#endif
