/* The Gram matrix of the members of a working set. Private; the set is in lasso_set.h. */
#ifndef EPACT_KERNEL_LASSO_GRAM_H
#define EPACT_KERNEL_LASSO_GRAM_H

#include "lasso_set.h"

#include <stdbool.h>

/* Adds the members of the list that are not in it yet. EPACT_E_NOMEM. */
int lasso_gram_extend(epact_lasso_set *set, const uint32_t *list, int64_t count);

/* Whether it may have that many. */
bool lasso_gram_has_room(double known);

#endif
