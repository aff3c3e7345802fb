/* What the files of the working set share. Private. */
#ifndef EPACT_KERNEL_ACTIVE_STATE_H
#define EPACT_KERNEL_ACTIVE_STATE_H

#include "../base/internal.h"
#include "active.h"
#include "active_factor.h"
#include "column.h"

struct epact_active {
  epact_columns x;  /* of the caller */
  int64_t able;     /* columns that can become active: their places are 0 .. able - 1 */
  uint32_t *column; /* [able]: their numbers in x */
  uint32_t *place;  /* [columns]: the place of a column, or NOWHERE */
  double *flat;     /* [rows]: what all entries of a row are; NULL where they are not equal */
  double *scale;    /* [able] */
  bool has_flats;   /* whether the loss is flat somewhere */
  /* The model. Where rows are flat z is times flat and d times its square: then no entry is read. */
  double *z;         /* [rows]: the slope u + d X step, without the intercept's step */
  double *d;         /* [rows] */
  double *scaled;    /* [rows]: scratch */
  double *curvature; /* [able]: along a column, the intercept following */
  double *damping;   /* [able]: the part of it that is not the loss's */
  double *weighted;  /* [able]: x_j'd */
  double total;      /* sum of d; 0 without an intercept */
  double offset;     /* the intercept's step */
  bool blocked;      /* whether the last jump made a coefficient 0 on its way */
  double *change;    /* [able]: the step */
  uint32_t *sweep;   /* [able]: what is swept over, as places */
  epact_rng order;   /* of the sweeps */
  double *excess;    /* [able]: scratch of choose */
  uint32_t *support; /* [able]: what a jump moves; the next four are by its places there */
  double *coefficient, *gradient, *residual, *direction;
  double *scratch; /* [3 able] */
  active_factor factor;
};

enum { NOWHERE = -1 };

static inline int64_t place_of(const epact_active *active, uint32_t j)
{
  return active->place[j];
}

static inline column entries_of(const epact_active *active, int64_t k)
{
  return column_of(&active->x, active->column[k]);
}

/* The entry that all of row i are, where they are equal. */
static inline double common_entry(const epact_active *active, int64_t i)
{
  return active->flat ? active->flat[i] : 1;
}

static inline double indexed_sum(int64_t count, const uint32_t *index, const double *v)
{
  double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
  int64_t e = 0;
  for (; e + 4 <= count; e += 4) {
    sum0 += v[index[e]];
    sum1 += v[index[e + 1]];
    sum2 += v[index[e + 2]];
    sum3 += v[index[e + 3]];
  }
  for (; e < count; e++) sum0 += v[index[e]];
  return (sum0 + sum1) + (sum2 + sum3);
}

/* x_k'v without its scale, v times the rows' common entries where there are such. */
static inline double product_of(const epact_active *active, int64_t k, const double *v)
{
  const column c = entries_of(active, k);
  return c.index && active->flat ? indexed_sum(c.count, c.index, v) : column_dot(c, v);
}

/* v += step x_k, where rows are flat over their entries. */
static inline void add_column(const epact_active *active, int64_t k, double step, double *v)
{
  const column c = entries_of(active, k);
  const double scaled = active->scale[k] * step;
  if (!c.index || !active->flat)
    column_axpy(scaled, c, v);
  else
    for (int64_t e = 0; e < c.count; e++) v[c.index[e]] += scaled;
}

/* The model's slope along a column, without l2 and damping. */
static inline double slope_of(const epact_active *active, int64_t k)
{
  return active->scale[k] * product_of(active, k, active->z) + active->offset * active->weighted[k];
}

/* From the columns that are not 0, with their signs, towards the minimum of the parabola that the model is there
 * (active_jump.c). Returns the turns that it took. */
int active_jump(epact_active *active, const epact_active_options *options, const double *w, const uint32_t *list,
                int64_t listed);

#endif
