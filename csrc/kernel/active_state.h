/* What the files of the working set share. Private. */
#ifndef EPACT_KERNEL_ACTIVE_STATE_H
#define EPACT_KERNEL_ACTIVE_STATE_H

#include "active.h"

/* A row as the sweeps see it, both numbers times its common entry when there is one (z once, d twice). */
typedef struct {
  double z, d;
} active_row;

struct epact_active {
  int64_t rows, columns, able; /* able: columns that can become active */
  uint32_t *column;            /* [able]: their numbers in x */
  uint32_t *place;             /* [columns]: which of them a column is, or NOWHERE */
  int64_t *start;              /* [able + 1] */
  uint32_t *row;
  double *value;     /* NULL: the entries of each row are equal */
  double *flat;      /* [rows]: the common entry; NULL with value */
  double *scaled;    /* [rows]: scratch */
  active_row *pair;  /* [rows] */
  double *curvature; /* [able + 1]: the last is the intercept's */
  double *damping;   /* [able]: the part of it that is not the loss\'s */
  int has_flats;     /* whether the loss is flat somewhere */
  double *change;    /* [able]: the step */
  uint32_t *sweep;   /* [able]: what is swept over, as places */
  double *excess;    /* [able]: scratch of choose */
  uint32_t *support; /* [able]: what a jump moves; the next five are by its places there */
  double *coefficient, *gradient, *residual, *direction, *scratch; /* [able], scratch [2 able] */
};

enum { NOWHERE = -1 };

/* The entry that all of row i are, where they are equal. */
static inline double common_entry(const epact_active *active, int64_t i)
{
  return active->flat ? active->flat[i] : 1;
}

/* x_j'z and x_j'diag(d)x_j by the rows' pairs. */
static inline double slope_of(const epact_active *active, int64_t k)
{
  const active_row *pair = active->pair;
  const uint32_t *row = active->row;
  const int64_t end = active->start[k + 1];
  double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
  int64_t e = active->start[k];
  if (active->flat) {
    for (; e + 4 <= end; e += 4) {
      sum0 += pair[row[e]].z;
      sum1 += pair[row[e + 1]].z;
      sum2 += pair[row[e + 2]].z;
      sum3 += pair[row[e + 3]].z;
    }
    for (; e < end; e++) sum0 += pair[row[e]].z;
  } else {
    const double *value = active->value;
    for (; e + 4 <= end; e += 4) {
      sum0 += value[e] * pair[row[e]].z;
      sum1 += value[e + 1] * pair[row[e + 1]].z;
      sum2 += value[e + 2] * pair[row[e + 2]].z;
      sum3 += value[e + 3] * pair[row[e + 3]].z;
    }
    for (; e < end; e++) sum0 += value[e] * pair[row[e]].z;
  }
  return ((sum0 + sum1) + (sum2 + sum3));
}

#endif
