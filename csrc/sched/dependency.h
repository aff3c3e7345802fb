/* Which variables may be updated at the same time: those whose columns hardly correlate.
 *
 * Kept together are variables with |x_j'x_k| / (|x_j| |x_k|) < rho, against each other and against all that is in
 * flight: given out and not yet landed. Correlations are computed when they are asked for. Short sparse columns are
 * summed along the rows that the batch touches; dense ones of a few thousand rows are kept in single precision, of
 * others, and of long ones, the sizes of pairs: in bounded memory. */
#ifndef EPACT_SCHED_DEPENDENCY_H
#define EPACT_SCHED_DEPENDENCY_H

#include "../kernel/columns.h"

/* One thread at a time. */
typedef struct epact_dependency epact_dependency;

/** `x` and `squared_norm` (one for each column, as the model sees it; 0: it correlates with nothing) are not copied
 * and must outlive it. `normalise` 0: |x_j'x_k| itself is compared. At most `cache_bytes` are spent on pairs, or on
 * dense columns in single precision; 4 bytes for each row if x is sparse. EPACT_E_MISUSE, EPACT_E_NOMEM. Released by
 * epact_release. */
EPACT_API int epact_dependency_new(const epact_columns *x, const double *squared_norm, double rho, int normalise,
                                   int64_t cache_bytes, epact_dependency **dependency);

/* A batch: begin, offer any number of times, end. All but `end` return the number of variables in `batch`, which has
 * room for `wanted`, or a negative code; then nothing has changed, and begin may be called again. */

/** Begins a batch of up to `wanted` variables with those that wait for a second chance. At most `most` may be offered
 * after. */
EPACT_API int64_t epact_dependency_begin(epact_dependency *dependency, int64_t wanted, int64_t most, uint32_t *batch);
/** Takes what may join the batch, in this order, until it is full. What may not waits for a second chance; what is in
 * flight, or was offered before, is passed over. The ids must be below x's columns. */
EPACT_API int64_t epact_dependency_offer(epact_dependency *dependency, int64_t count, const uint32_t *candidate,
                                         uint32_t *batch);
/** The batch is in flight from now on. `once`: what has missed its second chance waits no longer. */
EPACT_API void epact_dependency_end(epact_dependency *dependency, const uint32_t *batch, int once);

/** These are in flight no longer. Those that were not are passed over. EPACT_E_NOMEM. */
EPACT_API int epact_dependency_land(epact_dependency *dependency, int64_t count, const uint32_t *variable);

/** Those that wait for a second chance, the first first, and their number. */
EPACT_API const uint32_t *epact_dependency_waiting(const epact_dependency *dependency, int64_t *count);
/** Those in flight, and their number. */
EPACT_API const uint32_t *epact_dependency_flight(const epact_dependency *dependency, int64_t *count);
/** Puts both back. EPACT_E_RANGE when one is no column; EPACT_E_NOMEM. */
EPACT_API int epact_dependency_restore(epact_dependency *dependency, int64_t waiting_count, const uint32_t *waiting,
                                       int64_t flight_count, const uint32_t *flight);

/* What was done so far. */
typedef struct {
  int64_t scheduled, dropped, repeated; /* variables given out; put off; passed over */
  int64_t hits, misses;                 /* of the memory of pairs */
  int64_t pairs, evicted;               /* pairs it holds, and has given up */
  int64_t bytes;                        /* what it may take */
} epact_dependency_counts;
EPACT_API void epact_dependency_count(const epact_dependency *dependency, epact_dependency_counts *counts);

#endif
