/* How many columns may be moved at the same time: the spectral radius of the correlations. */
#ifndef EPACT_SCHED_SPECTRUM_H
#define EPACT_SCHED_SPECTRUM_H

#include "../kernel/columns.h"

typedef struct {
  double radius; /* the Rayleigh quotient of the last vector: a lower bound that rises with each iteration */
  int64_t iterations;
  int converged; /* its relative change was at most the tolerance */
} epact_radius;

/** The largest eigenvalue of X'X, in which the columns have norm 1 (those of norm 0 stay 0), by power iteration from a
 * random vector; of the columns `id[0 .. count - 1]`, or of all where `id` is NULL (then count is x->columns). An
 * iteration costs two passes over their entries, and nothing for rows without any. `v` and `w` are scratch memory of
 * count numbers, `u` of x->rows, which are 0 before and after. */
EPACT_API epact_radius epact_spectral_radius(const epact_columns *x, const double *squared_norm, int64_t count,
                                             const uint32_t *id, double tolerance, int64_t most_iterations,
                                             epact_rng *rng, double *v, double *w, double *u);

#endif
