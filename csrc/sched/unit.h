/* Dense columns in single precision, centred and of unit norm: their inner products are correlations. Private.
 *
 * They lie one after the other, where the cache has them, and four are multiplied at a time. */
#ifndef EPACT_SCHED_UNIT_H
#define EPACT_SCHED_UNIT_H

#include "correlation.h"

enum { UNIT_ROWS = 4096 }; /* of longer columns products are remembered instead */

/* How far a product of unit columns of UNIT_ROWS numbers may be from the exact one: sums of 512 terms. */
#define UNIT_ERROR 1e-4

typedef struct {
  int64_t stride; /* floats of a column; 0: x is not made for it */
  float *column;
  size_t room;     /* columns */
  float *kept;     /* those used last, one at each place: column j at j mod places */
  uint32_t *owner; /* which, + 1 */
  int64_t places;
} unit_columns;

/* Whether columns of this correlation are worth it: then a column takes 4 bytes for a row, and `bytes` are spent on those
 * that are kept. EPACT_E_NOMEM. */
int unit_init(unit_columns *unit, const correlation *of, size_t bytes);
void unit_free(unit_columns *unit);
int unit_reserve(unit_columns *unit, size_t count);
/* Makes column `at` from one of x. */
void unit_set(unit_columns *unit, int64_t at, const correlated *from);
/* product[i]: of the columns first + i and `with`, for four columns. */
void unit_products(const unit_columns *unit, int64_t first, int64_t with, float *product);

#endif
