/* Distance metric learning: pairs of rows that should be near each other, and pairs that should not.
 *
 *   minimise over L   sum over similar pairs ||L e||^2 + lambda sum over dissimilar pairs max(0, c - ||L e||^2),
 *   e = x_i - x_j of a pair (i, j)
 *
 * (after Xing, Ng, Jordan, Russell, NIPS 2002, and Weinberger, Blitzer, Saul, NIPS 2005). The gradient of a similar
 * pair is 2 (L e) e', that of a dissimilar one -2 lambda (L e) e' as long as ||L e||^2 < c, and 0 from there on.
 *
 * The gradient comes twice: for double, and with `_f` for float. Ids of rows are not checked here. */
#ifndef EPACT_KERNEL_METRIC_H
#define EPACT_KERNEL_METRIC_H

#include "../base/base.h"

/** Pairs at once: what scratch memory is measured by. */
enum { EPACT_METRIC_BLOCK = 128 };

/** What a sum over pairs needs to know. */
typedef struct {
  int64_t outputs, columns; /* L is outputs x columns */
  const double *x;          /* rows of `columns` numbers */
  double margin;            /* c of a dissimilar pair; 0: the pairs are similar ones */
} epact_metric;

/** gradient += scale * the gradient of the terms ||L e||^2 (similar) or max(0, c - ||L e||^2) (dissimilar) of `pairs`
 * pairs (first[t], second[t]); NULL: without. Returns the sum of the terms, without the scale. `scratch`:
 * EPACT_METRIC_BLOCK * (outputs + columns) numbers. A sum that is not finite says that L is not. */
EPACT_API double epact_metric_gradient(const epact_metric *metric, const double *L, int64_t pairs,
                                       const uint32_t *first, const uint32_t *second, double scale, double *gradient,
                                       double *scratch);
EPACT_API double epact_metric_gradient_f(const epact_metric *metric, const float *L, int64_t pairs,
                                         const uint32_t *first, const uint32_t *second, double scale, float *gradient,
                                         float *scratch);

/** For a diagonal metric d^2 = sum_j a_j e_j^2: adds the derivative by a of the sum of d over the pairs, sum of
 * e_j^2 / (2 d), to `sum` (a pair at distance 0 adds nothing), and returns the sum of d. NULL for a: adds e_j^2 and
 * returns 0. */
EPACT_API double epact_metric_diagonal(const epact_metric *metric, const double *a, int64_t pairs,
                                       const uint32_t *first, const uint32_t *second, double *sum);

/** to = x L': rows x outputs. */
EPACT_API void epact_metric_transform(const epact_metric *metric, const double *L, int64_t rows, double *to);

/** The labels that the `neighbours` nearest of `count` reference rows (Euclidean, `columns` numbers a row) have most
 * often, for each of `rows` rows; of labels that are equally often there, the one that is nearest. With `x` the reference
 * itself (`leave_out` not 0) no row is its own neighbour. EPACT_E_NOMEM; EPACT_E_MISUSE when there are too
 * few references, or the numbers are too many for OpenBLAS. */
EPACT_API int epact_metric_vote(int64_t columns, int64_t count, const double *reference, const double *label,
                                int64_t rows, const double *x, int64_t neighbours, int leave_out, double *vote);

#endif
