/* Multinomial logistic regression: the softmax of K linear scores.
 *
 *   F(W, b) = sum_i [ log sum_c exp(s_ic) - s_i,y_i ] + l2/2 ||W||^2,      s_i = W'x_i + b
 *
 * W is columns x classes, row by row: a non-zero of column j touches the K numbers W_j, which are neighbours. A row
 * of W has `stride` places, the classes rounded up to a multiple of 4 (epact_softmax_stride), so that no loop has a
 * rest; what is in the spare places is 0 and stays so. The intercepts b, never penalised, are one more such row.
 *
 * The gradient of row i's term is x_i r_i' for W and r_i for b, with the residual r_i = softmax(s_i) - e_(y_i). Its
 * sum over the classes is 0: columns of W that sum to 0 over the classes stay so.
 *
 * Sparse rows go one by one; dense ones four at a time, which at these shapes (few classes) is 1.5 to 2 times as fast as
 * OpenBLAS. exp is ours, four at a time, exact to 2 units in the last place. The same bits with and without wide
 * registers.
 *
 * Source: Boehning, Ann. Inst. Stat. Math. 44, 1992 (curvature in s at most 1/2). */
#ifndef EPACT_KERNEL_SOFTMAX_H
#define EPACT_KERNEL_SOFTMAX_H

#include "linear.h"

/** The rows of X, with the class (0 .. classes - 1) of each. A view: it owns nothing. */
typedef struct {
  epact_rows rows;
  const int32_t *label;
  int32_t classes;
} epact_softmax_data;

/** Places in a row of W for so many classes. */
EPACT_API int64_t epact_softmax_stride(int32_t classes);

/** EPACT_OK when the matrix is well formed (epact_rows_check), there are at least two classes, and each label (unless
 * `label` is NULL) is one. Otherwise EPACT_E_MISUSE, and the sentence names the row. To be called once: the functions
 * below trust the view. */
EPACT_API int epact_softmax_check(const epact_softmax_data *x);

/** W = scale * direction and the intercepts (NULL: none). Begin with scale = 1. */
typedef struct {
  double *direction; /* columns x stride */
  double *intercept; /* stride */
  double scale;
} epact_softmax_weights;

typedef struct {
  double step; /* eta */
  double l2;   /* a row's share of the penalty: l2 / n for the F above */
  int64_t batch;
} epact_softmax_options;

/** Doubles of scratch memory that the functions below need for rows first .. end - 1 in batches of `batch`. */
EPACT_API int64_t epact_softmax_scratch(const epact_softmax_data *x, int64_t batch);

/** Steps of SGD, one for each batch of `batch` positions of first .. end - 1 (the last may be shorter), where position
 * t is row order[t] (or t itself when `order` is NULL):
 *   W <- (W - eta/|B| sum_(i in B) x_i r_i') / (1 + eta l2),      b <- b - eta/|B| sum r_i,
 * with all r_i at the old W, b. Cost: K times the non-zeros (the penalty is in w->scale, which is never folded
 * here: the caller does when it is small). *loss (may be NULL): the sum
 * over the rows of their terms, each before its step. EPACT_E_MISUSE: a bad range, order, step, l2 or batch.
 * EPACT_E_DIVERGED: a score is no longer finite; the weights are then lost. */
EPACT_API int epact_softmax_sgd(const epact_softmax_data *x, const uint32_t *order, int64_t first, int64_t end,
                                const epact_softmax_options *options, epact_softmax_weights *w, double *scratch,
                                double *loss);

/** gradient += sum_(i in first .. end - 1) x_i r_i' (columns x stride), intercept_gradient += sum r_i (stride; may be
 * NULL, as `intercept`), *loss += the sum of the rows' terms. Without the penalty. `gradient` may be NULL: the loss
 * alone. EPACT_E_MISUSE: a bad range. */
EPACT_API int epact_softmax_gradient(const epact_softmax_data *x, int64_t first, int64_t end, const double *weights,
                                     const double *intercept, double *gradient, double *intercept_gradient,
                                     double *scratch, double *loss);

/** out (rows x classes): the probabilities softmax(W'x_i + b) of each row first .. end - 1. Labels are not read. */
EPACT_API int epact_softmax_probabilities(const epact_softmax_data *x, int64_t first, int64_t end,
                                          const double *weights, const double *intercept, double *scratch, double *out);

/** The blocks of 2^shift columns that the rows at positions first .. end - 1 have non-zeros in, each once, in the order
 * of their first: their number (list has room for all). seen[block] is `mark` for those afterwards, and must not be for
 * any before. Dense rows have them all. */
EPACT_API int64_t epact_softmax_touched(const epact_softmax_data *x, const uint32_t *order, int64_t first, int64_t end,
                                        int32_t shift, uint32_t mark, uint32_t *seen, uint32_t *list);

#endif
