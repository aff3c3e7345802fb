/* What one worker does for scheduled coordinate descent on a linear model whose rows are dealt to workers.
 *
 *   minimise  sum_i phi(x_i'b + b0, y_i) + l1 ||b||_1 + l2/2 ||b||^2
 *
 * A worker has its rows of all columns, their predictions t and derivatives u_i = phi'(t_i, y_i). For the columns of a
 * phase it gives its part of the gradients x_j'u (epact_coordinate_products); once the changes of b are known it moves
 * t along these columns (epact_coordinate_move). Columns are centred and scaled as the view says; its means must be
 * those over all workers. Centred columns have gradients to which a constant added to all u makes no difference: for
 * the squared loss, whose u moves as t does, a move visits the stored entries alone. For other losses it visits all
 * rows. */
#ifndef EPACT_KERNEL_COORDINATE_H
#define EPACT_KERNEL_COORDINATE_H

#include "columns.h"
#include "losses.h"

typedef struct {
  epact_columns x;          /* this worker's rows */
  epact_loss loss;          /* not the hinge loss */
  const double *y;          /* one for each row */
  double *t, *u;            /* one for each row */
  const double *column_sum; /* of this worker's stored entries; with means and the squared loss, else NULL */
  double u_sum;             /* of u; kept up to date with means */
} epact_coordinate;

/** product[k] = s_j (x_j'u - m_j 1'u), j = id[k], over this worker's rows. EPACT_E_MISUSE: an id that is no column. */
EPACT_API int epact_coordinate_products(const epact_coordinate *c, const uint32_t *id, int64_t count, double *product);

/** t += sum_k change[k] s_j (x_j - m_j 1), j = id[k], and u with it; of the squared loss u alone, and without the
 * means. EPACT_E_MISUSE: an id that is no column. */
EPACT_API int epact_coordinate_move(epact_coordinate *c, const uint32_t *id, int64_t count, const double *change);

/** t = offset + sum_j s_j b_j x_j for all columns, and u; returns the sum of phi. What rounding made of many moves is
 * gone. */
EPACT_API double epact_coordinate_predict(epact_coordinate *c, const double *b, double offset);

/** gradient[j] = s_j (x_j'u - m_j 1'u) for all columns. */
EPACT_API void epact_coordinate_gradient(const epact_coordinate *c, double *gradient);

#endif
