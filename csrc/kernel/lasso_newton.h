/* Between lasso_newton.c and lasso_reduce.c. Private. */
#ifndef EPACT_KERNEL_LASSO_NEWTON_H
#define EPACT_KERNEL_LASSO_NEWTON_H

#include "lasso_set.h"

/* Changes the coefficients of the support, of that size and factored with so many rejected pivots, without changing the
 * fit or raising the penalty, so that `rejected` of them become 0. Returns how many did, or EPACT_E_NOMEM. */
int64_t lasso_reduce(epact_lasso_set *set, int64_t size, int64_t rejected);

#endif
