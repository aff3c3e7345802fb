/* Blocks of columns that correlate. */
#ifndef EPACT_SCHED_CLUSTER_H
#define EPACT_SCHED_CLUSTER_H

#include "../kernel/columns.h"

/** Puts the columns into `blocks` (1 .. x->columns) blocks of equal size, but for one: `block[j]` is that of column j.
 * Each begins with the next column that has none, the one with most entries first, and takes those that correlate most
 * with it. Costs a pass over the entries of all columns that are left for each block, and 24 bytes a column while it
 * runs. Source: Scherrer, Tewari, Halappanavar, Haglin 2012. EPACT_E_MISUSE, EPACT_E_NOMEM. */
EPACT_API int epact_cluster_columns(const epact_columns *x, const double *squared_norm, int64_t blocks,
                                    uint32_t *block);

#endif
