/* Non-negative matrix factorisation, made for several workers.
 *
 *   minimise  1/2 ||V - W H||_F^2,   W, H >= 0,      V n x m, W n x k, H k x m
 *
 * Both factors are kept by rows of k floats (W as it is, H transposed), so that an update of W given H and one of H
 * given W are the same two steps, each row by itself: with F the other factor, x a row of the one that changes,
 *   b = V_i F (epact_nmf_multiply), G = F'F (epact_nmf_gram), and for t = 0 .. k - 1, `sweeps` times over,
 *   x_t <- max(0, x_t - (G_t'x - b_t) / G_tt)                          (HALS, epact_nmf_hals)
 *   x_t <- x_t b_t / (G_t'x + 1e-12)     with the old x for all t      (multiplicative, epact_nmf_multiplicative)
 * Neither lets the objective rise. Rows of V on several workers: b for a row of H, and W'W, are sums over them.
 *
 * A factor has `stride` floats a row, the next multiple of 8 of k; those from k on are and stay 0. All entries of V are
 * multiplied by `scale`: a power of two near the inverse of the largest one, so that floats hold any V.
 *
 * Cichocki, Phan, IEICE Trans. E92-A, 2009 (HALS); Lee, Seung, NIPS 2000 (multiplicative). */
#ifndef EPACT_KERNEL_NMF_H
#define EPACT_KERNEL_NMF_H

#include "../base/base.h"

enum { EPACT_NMF_MOST_FACTORS = 1024 };

/** V, or its transpose; sparse (CSR) or dense. A view: it owns nothing. */
typedef struct {
  int64_t rows, cols;
  const int64_t *start;       /* sparse: rows + 1; NULL: dense */
  const uint32_t *index;      /* sparse: the column of each entry, below `cols` */
  const double *value;        /* sparse: the entries; dense: V_ij is value[i * row_step + j * col_step] */
  int64_t row_step, col_step; /* dense only: (cols, 1) for rows in order, (1, rows) for the transpose of those */
  double scale;
} epact_nmf_matrix;

/** What V is like, before it is scaled. */
typedef struct {
  double sum, squared_norm, largest;
} epact_nmf_summary;

/** EPACT_OK when V has rows and columns, in each row rising columns that are there, and no entry that is negative or
 * not finite; otherwise EPACT_E_MISUSE, and the sentence names row and column. *summary may be NULL. */
EPACT_API int epact_nmf_check(const epact_nmf_matrix *v, epact_nmf_summary *summary);

/** Rows first .. end - 1 of a factor: deviation |N(0, 1)|. Row i draws from the stream (seed, side + 1, i): the same
 * numbers however the rows are divided among workers. */
EPACT_API void epact_nmf_init(float *factor, int64_t first, int64_t end, int32_t factors, int64_t stride, int side,
                              double deviation, uint64_t seed);

/** product[(i - first) * stride ..] = scale V_i F for rows i = first .. end - 1 of V; F has v->cols rows. */
EPACT_API void epact_nmf_multiply(const epact_nmf_matrix *v, const float *factor, int64_t stride, int64_t first,
                                  int64_t end, float *product);

/** gram = F'F, k x k, of `rows` rows; sums in double. */
EPACT_API void epact_nmf_gram(const float *factor, int64_t rows, int32_t factors, int64_t stride, double *gram);

/** `sweeps` of HALS over `rows` rows of x (stride floats each, as `product`, the b of each row). A row whose b is 0
 * becomes 0, so does a component t with G_tt = 0. *violation (may be NULL): the sum of the squared projected
 * gradients, each as the last sweep found it; 0 means that x is optimal for this F. EPACT_E_MISUSE: more factors than
 * EPACT_NMF_MOST_FACTORS. EPACT_E_NOMEM. */
EPACT_API int epact_nmf_hals(const double *gram, int32_t factors, int64_t stride, int64_t rows, const float *product,
                             int32_t sweeps, float *x, double *violation);
/** The same of multiplicative updates. A 0 in x stays 0; what falls below 1e-30 becomes 0. */
EPACT_API int epact_nmf_multiplicative(const double *gram, int32_t factors, int64_t stride, int64_t rows,
                                       const float *product, int32_t sweeps, float *x, double *violation);

/** epact_nmf_multiply and one of the rules (0: HALS, 1: multiplicative), some rows of V after others: what is needed of
 * the product stays in the cache. x has v->rows rows. */
EPACT_API int epact_nmf_update(const epact_nmf_matrix *v, const float *factor, const double *gram, int32_t factors,
                               int64_t stride, int rule, int32_t sweeps, float *x, double *violation);

/** The sum of a_ij b_ij over `count` numbers, in double. With b = H and a = V'W it is the middle term of
 *   1/2 ||V - W H||^2 = 1/2 ||V||^2 - <V'W, H> + 1/2 <W'W, HH'>. */
EPACT_API double epact_nmf_inner(int64_t count, const float *a, const float *b);

#endif
