/* Which variables next, by chance: batches of distinct ones, uniform or in proportion to what their last step did. */
#ifndef EPACT_SCHED_SAMPLER_H
#define EPACT_SCHED_SAMPLER_H

#include "../base/base.h"

/* Draws j with probability in proportion to |delta_j|^power + eta, delta_j being what `feed` told last; a variable of
 * which nothing was told yet is fresh, and goes before all that are not. One thread at a time. */
typedef struct epact_sampler epact_sampler;

/** A sampler of `variables` (at most 2^32 - 1), all fresh: 9.2 bytes each. `eta` < 0: it is 0.01 of the largest
 * |delta|^power of the first sweep, but never so large that more than half of the draws are its. EPACT_E_MISUSE,
 * EPACT_E_NOMEM. Released by epact_release. */
EPACT_API int epact_sampler_new(int64_t variables, double power, double eta, epact_sampler **sampler);
/** One that draws uniformly, and takes no memory for variables. */
EPACT_API int epact_sampler_uniform(int64_t variables, epact_sampler **sampler);

/** Draws `count` distinct variables (all, when there are fewer), each in proportion to its weight among those not yet
 * drawn, and puts them in `drawn` in the order of their weights, the largest first; equal ones in the order of the
 * draw. O(count log variables). Returns their number, or EPACT_E_NOMEM. */
EPACT_API int64_t epact_sampler_draw(epact_sampler *sampler, epact_rng *rng, int64_t count, uint32_t *drawn);

/** Tells the last steps of some variables. All or nothing: EPACT_E_RANGE for a variable that does not exist and
 * EPACT_E_NONFINITE for a step that is no number leave everything as it was. O(count log variables). */
EPACT_API int epact_sampler_feed(epact_sampler *sampler, int64_t count, const uint32_t *variable, const double *delta);

/* What the draws depend on, besides the weights. */
typedef struct {
  int64_t fresh;  /* variables of which nothing was told yet */
  double largest; /* |delta|^power told so far; from the end of the first sweep on, until then */
  double total;   /* sum of |delta|^power, with 1e200 for a fresh one */
  double eta;     /* as the next draw has it */
  int64_t bytes;  /* of the weights and their sums */
} epact_sampler_status;
EPACT_API epact_sampler_status epact_sampler_look(const epact_sampler *sampler);

/** The weights without eta, one for each variable; NULL for a uniform sampler. */
EPACT_API const double *epact_sampler_weights(const epact_sampler *sampler);
/** Puts weights and `largest` where they were when these were read. EPACT_E_CORRUPT when one cannot have been read. */
EPACT_API int epact_sampler_restore(epact_sampler *sampler, const double *weight, double largest);

/** EPACT_OK when the `count` ids of a batch are below `variables` and distinct; otherwise EPACT_E_MISUSE and a
 * sentence that names the first that is not. EPACT_E_NOMEM. */
EPACT_API int epact_sampler_check(epact_sampler *sampler, int64_t count, const uint32_t *variable);

#endif
