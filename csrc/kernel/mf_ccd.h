/* Matrix factorisation with biases by cyclic coordinate descent, one factor at a time (CCD++: Yu, Hsieh, Si, Dhillon,
 * ICDM 2012). The objective is that of mf.h. Of a factor f, with the others fixed, the best u is known,
 *
 *   u_r = sum e v_c / (sum v_c^2 + lambda n_r)      over the n_r ratings (r, c) of row r,
 *
 * where e is the residual with u v' of this factor added back; then the best v, and so on. Users and items are alike
 * here: a "side" has ratings by row, and `id` says which row of the other side. One of them is a worker's users, the
 * other its items, each with a residual of its own: 8 bytes a rating and side. A bias is a factor whose other side is
 * ones.
 *
 * Factors are kept by column: one vector of floats for each factor and side. */
#ifndef EPACT_KERNEL_MF_CCD_H
#define EPACT_KERNEL_MF_CCD_H

#include "mf.h"

/** Ratings by row: those of row r are start[r] .. start[r + 1] - 1. A view. */
typedef struct {
  int64_t rows;
  const int64_t *start;
  const uint32_t *id; /* below `others` of the calls below */
  float *residual;
} epact_mf_side;

/** scale own[row] other[id]; NULL: ones. */
typedef struct {
  const float *own, *other;
  float scale;
} epact_mf_term;

enum { EPACT_MF_PRODUCTS = 2 /* terms of a call in which neither is NULL */ };

/** The ratings of rows first .. end - 1 (users: side 0; items: side 1), by row and otherwise in the given order:
 * start[end - first + 1] from 0, and for each the id of the other side and value - mean (room for the ratings of these
 * rows). O(ratings) time, no memory. EPACT_E_MISUSE: a bad side or range. */
EPACT_API int epact_mf_ccd_sort(const epact_mf_ratings *ratings, int side, int64_t first, int64_t end, float mean,
                                int64_t *start, uint32_t *id, float *residual);

/** Adds the terms to the residual; *squares (may be NULL): the sum of its squares then. scratch[4 * others] is used.
 * EPACT_E_MISUSE: too many products. */
EPACT_API int epact_mf_ccd_add(const epact_mf_side *side, int64_t others, const epact_mf_term *term, int32_t terms,
                               float *scratch, double *squares);

/** Adds the terms to the residual, then next[r] = the best u_r for v = other (NULL: ones); a row on which nothing
 * depends keeps before[r]. *gain (may be NULL): by how much the objective is lower with next than with before.
 * EPACT_E_MISUSE: too many products, lambda < 0. EPACT_E_DIVERGED: a number left the range of floats. */
EPACT_API int epact_mf_ccd_solve(const epact_mf_side *side, int64_t others, const epact_mf_term *term, int32_t terms,
                                 const float *other, double lambda, const float *before, float *next, float *scratch,
                                 double *gain);

#endif
