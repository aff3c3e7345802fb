/* A factor of the model's matrix on the support of a working set, as a preconditioner. Private. */
#ifndef EPACT_KERNEL_ACTIVE_FACTOR_H
#define EPACT_KERNEL_ACTIVE_FACTOR_H

#include <stdint.h>

struct epact_active;

/* Of the support as it was, in single precision: 4 size^2 bytes. */
typedef struct {
  int64_t size;    /* 0: there is none */
  float *triangle; /* [size * size] */
  float *scratch;  /* [size] */
  uint32_t *which; /* [size]: places */
  uint32_t *where; /* [able]: the number of a place in `which`, or NOWHERE */
  double spent;    /* what was spent without it, or with it growing old, in the nanoseconds of `active_factor_cost` */
} active_factor;

void active_factor_clear(active_factor *factor);

/* Nanoseconds that the factor of a support of this size would take, roughly; infinity when it is too large. */
double active_factor_cost(const struct epact_active *active, int64_t size);
/* Makes it for the places which[0 .. size - 1]. EPACT_E_NOMEM: there is none, and one can go on without. */
int active_factor_make(struct epact_active *active, const uint32_t *which, int64_t size);
/* to = M^-1 from, M the matrix as it was and, for places that the factor does not know, its diagonal now. */
void active_factor_apply(const struct epact_active *active, const uint32_t *which, int64_t size, const double *from,
                         double *to);

#endif
