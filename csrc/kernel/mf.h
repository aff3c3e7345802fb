/* Matrix factorisation with biases by stochastic gradient descent.
 *
 *   minimise  sum over ratings (u, i, r) of
 *             e^2 + lambda (b_u^2 + c_i^2 + ||p_u||^2 + ||q_i||^2),   e = r - mu - b_u - c_i - p_u'q_i
 *
 * (Koren, Bell, Volinsky, IEEE Computer 42, 2009). The penalty is inside the sum: a user is
 * penalised once for each of their ratings. A step moves by half the gradient of one term, as is
 * customary, with the old p_u in the update of q_i; biases may have a step and a lambda of their own:
 *   b_u += bias_step (e - bias_lambda b_u)    c_i += bias_step (e - bias_lambda c_i)
 *   p_u += step (e q_i - lambda p_u)          q_i += step (e p_u - lambda q_i)
 *
 * Users (P and b) are the side a worker owns; items (Q and c) are shared: one row each, the bias
 * after the factors, so that a row of a table is all there is to send. Ids are 0-based and not
 * checked here on every call: epact_mf_check, once, when ratings are read. */
#ifndef EPACT_KERNEL_MF_H
#define EPACT_KERNEL_MF_H

#include "../base/base.h"

/** Ratings as three arrays of `count`. A view: it owns nothing. */
typedef struct {
  int64_t count;
  const uint32_t *user, *item;
  const float *value;
} epact_mf_ratings;

/** A model over caller-owned arrays: user[u * stride ..] has the `factors` numbers of p_u, then b_u; item[]
 * likewise q_i and c_i. stride > factors; the numbers from there to the stride are not touched. */
typedef struct {
  int64_t users, items, stride;
  int32_t factors;
  float mean; /* mu, the mean of the training ratings, fixed beforehand */
  float *user, *item;
} epact_mf_model;

/** What a step multiplies with: the equations above. */
typedef struct {
  float step, lambda, bias_step, bias_lambda;
} epact_mf_rates;

/** Of the values: deviation is the population's. */
typedef struct {
  double mean, deviation, low, high;
} epact_mf_summary;

/** EPACT_OK when there is a rating, each user id is below `users`, each item id below `items` and each value is
 * finite; *summary (may be NULL) is then about the values, and user_count[users], item_count[items] (NULL, or zeros
 * on entry) have the number of ratings of each. Otherwise EPACT_E_MISUSE, and the sentence names the position. */
EPACT_API int epact_mf_check(const epact_mf_ratings *ratings, int64_t users, int64_t items, int64_t *user_count,
                             int64_t *item_count, epact_mf_summary *summary);

/** Factors of rows first .. end - 1 of one side (`row` is that side's array, `side` 0 for users and 1 for items)
 * from N(0, deviation^2), to the 24 bits of a float, and biases 0. Row i draws from the stream (seed, side + 1, i): the
 * same numbers however the rows are divided among workers. EPACT_E_MISUSE when stride <= factors. */
EPACT_API int epact_mf_init(float *row, int64_t first, int64_t end, int64_t stride, int32_t factors, int side,
                            double deviation, uint64_t seed);

/** Users and items divided into blocks: user u is number user_label[u] (NULL: u), and user block b has the numbers
 * user_cut[b] .. user_cut[b + 1] - 1; items likewise. Labels are a permutation, cuts rise from 0 to the number of
 * users (items). */
typedef struct {
  int32_t user_blocks, item_blocks; /* 1 .. 65535 */
  const uint32_t *user_label, *item_label;
  const int64_t *user_cut, *item_cut;
} epact_mf_cuts;

/** The ratings of user blocks first .. end - 1 as a grid of cells: cell (b, c) has the ratings of user block b and item
 * block c, at cell_start[n] .. cell_start[n + 1] - 1 for n = (b - first) * item_blocks + c. In a cell they stand by
 * user (so that p_u stays in registers), otherwise in the given order. Ids are numbers, users' less user_cut[first].
 * user, item and value have room for these blocks' ratings; cell_start for (end - first) * item_blocks + 1.
 * O(ratings + blocks^2 + item_blocks * users of the blocks) time; meanwhile 12 bytes a rating of the largest cell and
 * 8 a user and item. EPACT_E_NOMEM; EPACT_E_LIMIT: a cell of 2^32 ratings, or 2^31 cells. */
EPACT_API int epact_mf_grid(const epact_mf_ratings *ratings, const epact_mf_cuts *cuts, int32_t first, int32_t end,
                            uint32_t *user, uint32_t *item, float *value, int64_t *cell_start);

/** The ratings in a random order, which the seed decides: its positions first .. end - 1, into user, item and value (room
 * for ratings->count), so that several threads make one order. No memory, O(end - first) time. EPACT_E_MISUSE: a bad
 * range. */
EPACT_API int epact_mf_shuffle(const epact_mf_ratings *ratings, uint64_t seed, int64_t first, int64_t end,
                               uint32_t *user, uint32_t *item, float *value);

/** One SGD step for each rating first .. end - 1, in this order. *squared_error (may be NULL): the sum of
 * e^2, each before its step. Fastest when consecutive ratings share their user, and for 8, 16, 32 or 64
 * factors. EPACT_E_MISUSE: a bad range, stride or rate. EPACT_E_DIVERGED: an error was no
 * longer finite; the model is then lost. Different users and items may be updated by several
 * threads at the same time. */
EPACT_API int epact_mf_sgd(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                           const epact_mf_rates *rates, double *squared_error);

/** The same for ratings in random order, which several threads may do on the same rows at the same time (Hogwild!: Niu,
 * Recht, Re, Wright 2011). Nothing is locked or atomic: plain loads and stores of whole floats, so that a step now and
 * then overwrites another's. That race is intended. Alone it takes the steps of epact_mf_sgd, up to rounding. */
EPACT_API int epact_mf_hogwild(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                               const epact_mf_rates *rates, double *squared_error);

/** The penalty of one side: sum over its rows of count[i] (lambda ||factors||^2 + bias_lambda bias^2). */
EPACT_API double epact_mf_penalty(const float *row, int64_t rows, int64_t stride, int32_t factors, const int64_t *count,
                                  double lambda, double bias_lambda);

/** mu + b_u + c_i + p_u'q_i. A user or item outside of the model counts as 0 (its mean). */
EPACT_API double epact_mf_predict(const epact_mf_model *model, int64_t user, int64_t item);

/** The sum of squared errors over the ratings first .. end - 1, predictions clipped to low .. high (for
 * none: -HUGE_VAL .. HUGE_VAL). NaN when the model is not finite. */
EPACT_API double epact_mf_squared_error(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first,
                                        int64_t end, double low, double high);

#endif
