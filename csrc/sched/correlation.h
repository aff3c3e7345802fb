/* How much two columns correlate, with a memory of long ones. Private. */
#ifndef EPACT_SCHED_CORRELATION_H
#define EPACT_SCHED_CORRELATION_H

#include "pairs.h"

#include "../kernel/column.h"

enum { LONG_COLUMN = 512 }; /* entries from which on a product is worth to be remembered */

typedef struct {
  epact_columns x;
  const double *squared_norm;
  bool normalise;
  pairs_cache pairs;
} correlation;

/* The size of j and k is |factor_j factor_k (x_j'x_k - n mean_j mean_k)|, in which x are stored columns. */
typedef struct {
  column entries;
  uint32_t id;
  bool is_long;
  double factor, mean; /* factor is 0 of a column without direction */
} correlated;

correlated correlated_column(const correlation *c, uint32_t id);
/* Of two columns that are not the same. */
double correlation_size(correlation *c, const correlated *a, const correlated *b);

#endif
