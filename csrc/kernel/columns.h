/* The columns of a matrix, as coordinate descent and schedulers see them: centred and scaled without a dense copy.
 *
 * Where the view has means m_j and inverse scales s_j, the model's column is s_j (x_j - m_j 1); its entries are never
 * made. Ids are 0-based and are not checked on every call: check a matrix once, with epact_columns_check. */
#ifndef EPACT_KERNEL_COLUMNS_H
#define EPACT_KERNEL_COLUMNS_H

#include "../base/base.h"

/** Columns of X, sparse (CSC) or dense (column-major). A view: it owns nothing. */
typedef struct {
  int64_t rows, columns;
  const int64_t *start;        /* columns + 1; NULL: dense, `rows` values for each column */
  const uint32_t *index;       /* sparse only: the row of each entry, below `rows` */
  const double *value;         /* the entries */
  const double *mean;          /* one for each column, its exact mean; NULL: no intercept */
  const double *inverse_scale; /* one for each column, 0 drops the column; NULL: all 1 */
} epact_columns;

/** The columns first .. end - 1 of x as a view of their own: column `first` becomes column 0. */
EPACT_API epact_columns epact_columns_slice(const epact_columns *x, int64_t first, int64_t end);

/** EPACT_OK when x is well formed: at least one row and one column, start never falls, the rows of a
 * column rise strictly and are below `rows`, values are finite. Otherwise EPACT_E_MISUSE, and the
 * sentence names the column, of a slice that begins with column `first`. To be called once: the functions below trust
 * the view. */
EPACT_API int epact_columns_check(const epact_columns *x, int64_t first);

/** The mean of each column and the inverse of its population standard deviation (0 for a constant
 * column). Either array (one for each column) may be NULL. x->mean and x->inverse_scale are not read. */
EPACT_API void epact_columns_moments(const epact_columns *x, double *mean, double *inverse_deviation);

/** The squared norm of each column as the model sees it: s_j^2 ||x_j - m_j 1||^2. */
EPACT_API void epact_columns_squared_norm(const epact_columns *x, double *squared_norm);

/** The inner product of columns j and k, as the model sees them: s_j s_k (x_j'x_k - n m_j m_k). Sparse ones are merged:
 * the cost is their entries. */
EPACT_API double epact_columns_product(const epact_columns *x, int64_t j, int64_t k);

#endif
