/* Matrix factorisation with biases by stochastic gradient descent.
 *
 *   minimise  sum over ratings (u, i, r) of
 *             e^2 + lambda (b_u^2 + c_i^2 + ||p_u||^2 + ||q_i||^2),   e = r - mu - b_u - c_i - p_u'q_i
 *
 * (Koren, Bell, Volinsky, IEEE Computer 42, 2009). The penalty is inside the sum: a user is
 * penalised once for each of their ratings. A step moves by half the gradient of one term, as is
 * customary, with the old p_u in the update of q_i:
 *   b_u += step (e - lambda b_u)        c_i += step (e - lambda c_i)
 *   p_u += step (e q_i - lambda p_u)    q_i += step (e p_u - lambda q_i)
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

/** EPACT_OK when there is a rating, each user id is below `users`, each item id below `items` and each value is
 * finite; *mean (may be NULL) is then the mean value. Otherwise EPACT_E_MISUSE, and the sentence
 * names the position. */
EPACT_API int epact_mf_check(const epact_mf_ratings *ratings, int64_t users, int64_t items, double *mean);

/** Factors first .. end - 1 of one side (`row` is that side's array, `side` 0 for users and 1 for items)
 * from N(0, deviation^2) and biases 0. Row i draws from the stream (seed, side + 1, i): the same numbers however
 * the rows are divided among workers. EPACT_E_MISUSE when stride <= factors. */
EPACT_API int epact_mf_init(float *row, int64_t first, int64_t end, int64_t stride, int32_t factors, int side,
                            double deviation, uint64_t seed);

/** Puts ratings in the order the sweep likes: by block of `block_items` items (so that a block of Q stays in the
 * cache), in it by user (so that p_u stays in registers), otherwise in the given order. Writes
 * `user`, `item`, `value` (room for ratings->count, not overlapping the input) and, unless NULL, block_start
 * (blocks + 1, blocks = ceil(items / block_items)): block b is block_start[b] .. block_start[b + 1] - 1.
 * O(ratings + users + items) time, 12 bytes a rating of memory meanwhile. EPACT_E_NOMEM. */
EPACT_API int epact_mf_sort(const epact_mf_ratings *ratings, int64_t users, int64_t items, int64_t block_items,
                            uint32_t *user, uint32_t *item, float *value, int64_t *block_start);

/** One SGD step for each rating first .. end - 1, in this order. *squared_error (may be NULL): the sum of
 * e^2, each before its step. Fastest when consecutive ratings share their user, and for 8, 16, 32 or 64
 * factors. EPACT_E_MISUSE: a bad range, stride, step or lambda. EPACT_E_DIVERGED: an error was no
 * longer finite; the model is then lost. Different users and items may be updated by several
 * threads at the same time. */
EPACT_API int epact_mf_sgd(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                           float step, float lambda, double *squared_error);

/** mu + b_u + c_i + p_u'q_i. A user or item outside of the model counts as 0 (its mean). */
EPACT_API double epact_mf_predict(const epact_mf_model *model, int64_t user, int64_t item);

/** The root mean squared error over the ratings first .. end - 1, predictions clipped to low .. high (for
 * none: -HUGE_VAL .. HUGE_VAL); 0 of no ratings. NaN when the model is not finite. */
EPACT_API double epact_mf_rmse(const epact_mf_model *model, const epact_mf_ratings *ratings, int64_t first, int64_t end,
                               double low, double high);

#endif
