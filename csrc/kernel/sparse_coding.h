/* Sparse coding and dictionary learning, made for several workers.
 *
 *   minimise  1/2 ||X - A D||_F^2 + l1 ||A||_1,   ||d_k|| <= 1,      X n x p, A n x K, D K x p
 *
 * A row of X is a signal x, of D an atom d_k, of A the code a of a signal. Given D each code is a lasso of its own:
 * coordinate descent on its active atoms with the Gram matrix G = D D', where q = D (x - D'a) is kept up to date,
 *   a_k <- S(q_k + G_kk a_k, l1) / G_kk,      q <- q - (change of a_k) G_k,
 * and as soon as the signs are right the exact solution of G_AA a_A = (D x)_A - l1 sign(a_A); a duality gap then says
 * how far the code is from the best one. Given the codes, D needs but the sums A'A and A'X, and an atom is at its best,
 * given the others, at
 *   u = d_k + (B_k - sum_l S_kl d_l) / S_kk,  d_k <- u / max(1, ||u||),      S = A'A, B = A'X.
 *
 * Friedman, Hastie, Tibshirani, J. Stat. Softw. 33, 2010 (coordinate descent, covariance updates); Mairal, Bach, Ponce,
 * Sapiro, ICML 2009 (dictionary). */
#ifndef EPACT_KERNEL_SPARSE_CODING_H
#define EPACT_KERNEL_SPARSE_CODING_H

#include "../base/base.h"

/** A dictionary to encode with, in floats. A view. `stride`: the next multiple of 8 of `atoms`; a row of `gram` and of
 * codes has that many floats, zeros from `atoms` on. */
typedef struct {
  int64_t atoms, dims, stride;
  float *atom; /* atoms x dims */
  float *gram; /* atoms x stride: D D' */
} epact_dictionary;

/** Fills both arrays from `value`, atoms x dims doubles. */
EPACT_API void epact_dictionary_set(const epact_dictionary *dictionary, const double *value);

/** EPACT_OK when all `rows` x `cols` entries are finite and between -1e30 and 1e30; otherwise EPACT_E_MISUSE, and the
 * sentence names row and column of `name`. */
EPACT_API int epact_sparse_coding_check(const char *name, int64_t rows, int64_t cols, const double *value);

/** What encoding some signals came to. */
typedef struct {
  double objective;   /* the sum of 1/2 ||x - D'a||^2 + l1 ||a||_1 */
  double largest_gap; /* of any signal, in units of its 1/2 ||x||^2 */
  int64_t nonzeros;   /* of all codes */
  int64_t changes;    /* of a coefficient */
  int64_t open;       /* signals whose gap is still above the tolerance */
} epact_sparse_coding_result;

/** Codes of `signals` signals (dims doubles each), from the ones that are in `code` (stride floats each) at first: zeros,
 * or better ones. A signal is done when its duality gap is at most `tolerance` (1e-7 is about what floats allow) times
 * 1/2 ||x||^2, or after `rounds` looks at it. Adds to *result. EPACT_E_MISUSE: l1 or tolerance not positive.
 * EPACT_E_NOMEM. */
EPACT_API int epact_sparse_coding_encode(const epact_dictionary *dictionary, const double *signal, int64_t signals,
                                         double l1, double tolerance, int32_t rounds, float *code,
                                         epact_sparse_coding_result *result);

/** S += A'A (atoms x atoms), B += A'X (atoms x dims). EPACT_E_NOMEM. */
EPACT_API int epact_sparse_coding_sums(int64_t atoms, int64_t dims, int64_t stride, const float *code,
                                       const double *signal, int64_t signals, double *s, double *b);

/** `passes` over all atoms of `value` (atoms x dims), each moved to its best place given the others. An atom with S_kk
 * at most 1e-7 of the mean is left alone, and its dead[k] is 1 (of others 0). Returns the number of these, or
 * EPACT_E_NOMEM. */
EPACT_API int64_t epact_sparse_coding_update(int64_t atoms, int64_t dims, const double *s, const double *b,
                                             int32_t passes, double *value, int32_t *dead);

#endif
