/* Stochastic gradient descent for linear predictions, over rows sparse or dense.
 *
 *   minimise over w, b   mean_i phi(x_i'w + b, y_i) + l1 ||w||_1 + l2/2 ||w||^2,   low <= w_j <= high
 *
 * (the sum form divided by its number of rows). Update t = 0, 1, ... takes the next rows B of the order:
 *
 *   eta = step / (1 + decay t)^power
 *   w <- cut(S(w - eta/|B| sum_{i in B} phi'(x_i'w + b, y_i) x_i, eta l1) / (1 + eta l2))
 *   b <- b - eta/|B| sum phi'
 *
 * The penalty is never paid coordinate by coordinate: w = scale S(direction, threshold), so that an update
 * costs the non-zeros of its rows, and is exact (to rounding) for every schedule:
 *
 *   direction -= eta phi'/(|B| scale) x_i;   threshold += eta l1 / scale;   scale /= 1 + eta l2
 *
 * where coordinate j has paid settled[j] of the threshold so far. 0 must be within low .. high, or l1 = l2 = 0: then
 * only coordinates that a row moves have to be cut.
 *
 * No function keeps or frees an array, or checks ids: epact_rows_check does, once. Rows of a dense matrix have `start`
 * and `index` NULL; row i is value[i * columns ..]. */
#ifndef EPACT_KERNEL_SGD_H
#define EPACT_KERNEL_SGD_H

#include "linear.h"
#include "losses.h"

typedef struct {
  epact_loss loss;
  double step, decay, power;
  double l1, l2;
  double low, high;
  int32_t batch;     /* rows an update, 1 .. EPACT_LARGEST_BATCH */
  int32_t intercept; /* whether b moves */
  int32_t watched;   /* whether `loss` of the state adds up phi of each row before its update */
} epact_sgd_rule;

enum { EPACT_LARGEST_BATCH = 1024 };

/** Where the descent is. To begin at w: direction = w, scale = 1, everything else 0. */
typedef struct {
  double *direction; /* [columns] */
  double *settled;   /* [columns]; NULL allowed while l1 = 0 */
  double *lag;       /* [columns]: for the sum of the iterates; NULL: not wanted (and then l1 may be positive) */
  double scale, threshold;
  double mass;     /* the sum of the scales */
  double bias;     /* b */
  double bias_sum; /* of all updates so far */
  double loss;
  int64_t updates; /* t: the clock of the step */
} epact_sgd_state;

/** E_MISUSE, and the sentence says which, when a number of the rule is outside of what is said above. */
EPACT_API int epact_sgd_check(const epact_sgd_rule *rule);

/** The updates of the rows order[first] .. order[end - 1] (or first .. end - 1 when order is NULL). E_MISUSE: a
 * bad range, or a position that names no row. E_DIVERGED: a prediction was no longer finite; the sentence
 * names the row, and the state is lost. */
EPACT_API int epact_sgd(const epact_rows *x, const double *label, const uint32_t *order, int64_t first, int64_t end,
                        const epact_sgd_rule *rule, epact_sgd_state *state);

/** Settles every coordinate: `direction` is w itself then. The sum of the iterates goes on. */
EPACT_API void epact_sgd_settle(const epact_sgd_rule *rule, epact_sgd_state *state, int64_t columns);

/** Adds the sum of the iterates since the last call (w after each update) to sum[columns]; the settled state's. */
EPACT_API void epact_sgd_take_sum(epact_sgd_state *state, int64_t columns, double *sum);

/** The same descent without a scale: each row pays its share of the penalty of the columns that it has,
 *
 *   for j in row i:  w_j <- S(w_j - eta_j phi' x_ij, eta_j l1 share_j) / (1 + eta_j l2 share_j),
 *
 * share[j] = (rows) / (rows that have column j): the exact split of the objective above (Niu et al. 2011).
 * Weights may be shared by threads that do not wait for each other (Hogwild!): they are read and written as relaxed
 * atomics, so that a change may be lost but no number is torn; `exact`: changes are added by compare and swap and none
 * is lost. `squares` (may be NULL) makes the step AdaGrad's: eta_j = step / sqrt(1 + sum of (phi' x_ij)^2), with
 * decay = 0. The batch is 1. *updates is the caller's own. The bias is weight[columns]; squares[columns] is its. */
EPACT_API int epact_sgd_shared(const epact_rows *x, const double *label, const uint32_t *order, int64_t first,
                               int64_t end, const epact_sgd_rule *rule, const double *share, double *weight,
                               double *squares, int exact, int64_t *updates);

/** share[j] of epact_sgd_shared: rows / (rows that have column j); 0 where none has. */
EPACT_API void epact_sgd_shares(const epact_rows *x, double *share);

/** SVRG's inner loop (Johnson and Zhang, NIPS 2013), for l1 = 0 and no bounds. With w' the anchor, m = mean_i
 * phi'(x_i'w', y_i) x_i its gradient[columns], slope[i] = phi'(x_i'w' + b', y_i) and along[i] = x_i'm:
 *
 *   w <- (w - eta ((phi'(x_i'w + b, y_i) - slope[i]) x_i + m)) / (1 + eta l2),
 *
 * w = scale * direction + drift * m, so that an update costs the row's non-zeros. *drift begins at 0;
 * bias_gradient is the mean of slope. Otherwise as epact_sgd with a batch of 1. */
EPACT_API int epact_svrg(const epact_rows *x, const double *label, const uint32_t *order, int64_t first, int64_t end,
                         const epact_sgd_rule *rule, const double *slope, const double *along, double bias_gradient,
                         double *drift, epact_sgd_state *state);

/** slope[i] = phi'(t[i], y[i]); their sum is returned. */
EPACT_API double epact_loss_slopes(const epact_loss *loss, int64_t count, const double *t, const double *y,
                                   double *slope);
/** sum_i phi(x_i'w + bias, y_i), without memory of its own. */
EPACT_API double epact_rows_loss(const epact_rows *x, const double *label, const epact_loss *loss, const double *w,
                                 double bias);

#endif
