/* The matrix X_g'X_g of a group of columns: its eigenvectors and eigenvalues, or a bound of a wide one's. Private. */
#ifndef EPACT_KERNEL_GROUP_SPECTRUM_H
#define EPACT_KERNEL_GROUP_SPECTRUM_H

#include "column.h"

/* Empty when all is 0. */
typedef struct {
  double *value; /* [size], then the eigenvectors, size x size, one a row; NULL: wide, or empty */
  double bound;  /* of a wide group: about its largest eigenvalue; else 1 */
} group_spectrum;

/* x_j'rho as the model sees column j, rho = v - mean(v) 1 for a centred one. */
static inline double correlation_of(const epact_columns *x, int64_t j, const double *v, double sum)
{
  return scale_of(x, j) * (column_dot(column_of(x, j), v) - (x->mean ? x->mean[j] * sum : 0));
}

/* Fills an empty one, of the columns member[0 .. size - 1]. `scratch`: x->rows. EPACT_E_NOMEM. */
int group_spectrum_fill(group_spectrum *spectrum, const epact_columns *x, int64_t size, const uint32_t *member,
                        double *scratch);
void group_spectrum_clear(group_spectrum *spectrum);
/* to = V'from. */
void group_spectrum_turn(const group_spectrum *spectrum, int64_t size, const double *from, double *to);
/* to = V from. */
void group_spectrum_turn_back(const group_spectrum *spectrum, int64_t size, const double *from, double *to);

#endif
