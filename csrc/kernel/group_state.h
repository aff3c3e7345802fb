/* What the files of the group lasso share. Private. */
#ifndef EPACT_KERNEL_GROUP_STATE_H
#define EPACT_KERNEL_GROUP_STATE_H

#include "group_lasso.h"
#include "group_spectrum.h"

/* Points that an extrapolation is made of. */
enum { KEPT = 6 };

struct epact_group_lasso {
  epact_columns x;
  epact_column_groups groups;
  group_spectrum *spectrum;                      /* [groups]; empty before the group is active */
  double *old, *pull, *beta, *z, *image, *level; /* [widest] each; image [rows]; level [groups] */
  int64_t kept, room;                            /* points kept, coefficients that one has room for */
  double *kept_b, *kept_residual;                /* [KEPT][room], [KEPT][rows] */
};

static inline int64_t size_of_group(const epact_column_groups *groups, int64_t g)
{
  return groups->start[g + 1] - groups->start[g];
}

#endif
