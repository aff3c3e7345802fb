/* What the files of lasso_set.h share. Private. */
#ifndef EPACT_KERNEL_LASSO_STATE_H
#define EPACT_KERNEL_LASSO_STATE_H

#include "column.h"
#include "lasso_set.h"

#include <math.h>

enum { NOWHERE = -1 };

/* How far a residual is from a combination of the kept ones: squares, with a little for rounding. */
typedef struct {
  double a[2], norm2, largest2;
} lasso_bound;

/* A column outside of the set that breaks the optimality conditions. */
typedef struct {
  double score, slope;
  uint32_t column;
} candidate;

/* One stored entry of a member, in the list of its row. */
typedef struct {
  double value; /* scaled */
  uint32_t at;  /* of the Gram matrix */
} row_entry;

typedef struct {
  int64_t first;
  uint32_t count, room;
} row_list;

/* The Gram matrix of some members, in the order in which they came (lasso_gram.c). */
typedef struct {
  int64_t known, room; /* rows filled, rows there is room for */
  double *value;       /* room x room, symmetric */
  uint32_t *member;    /* [known] */
  row_list *row;       /* [rows] sparse x: the entries of each row that belong to these members */
  row_entry *entry;
  int64_t entries, entry_room;
  double *packed; /* dense x: some rows of them */
  int64_t packed_room;
} gram_matrix;

struct epact_lasso_set {
  epact_columns x;
  const double *squared_norm, *y; /* the caller's */
  int32_t *place;                 /* [columns] the member, or NOWHERE */

  /* The screen (lasso_screen.c). */
  double *kept[2];       /* [rows] residuals at which all columns were read: the last, and the one before */
  double *kept_slope[2]; /* [columns] the correlations with them */
  double kept_norm2[2];
  double *slope_there; /* [columns] the correlation with the residual at which it was read last */
  uint8_t *hot;        /* [columns] */
  int64_t hot_entries, hot_at_first, read_in_vain;
  uint32_t *watch, *wanted; /* [columns] those that need a look at all, and those that were read by the last one */
  int64_t watch_count, wanted_count;
  double watch_threshold; /* the list holds down to that, and as long as the residual is no farther than that */
  lasso_bound watch_bound, last_bound;
  candidate *candidate;
  int64_t candidates, candidate_room;

  /* The members, [room] each. */
  int64_t count, room, entries;
  uint32_t *column;
  double *b, *slope, *curvature; /* x_j'rho, x_j'x_j */
  int32_t *known_at;             /* where in the Gram matrix, or NOWHERE */
  uint32_t *support;             /* and for Newton steps: */
  double *gradient, *direction, *move, *bend, *scratch;

  int by_covariance; /* sweeps keep `slope` and not the residual */
  gram_matrix gram;
  double *factor; /* factor_room numbers: of this support and l2, where `factored` is not 0 */
  int64_t factor_room, factored;
  uint32_t *factored_support;
  double factored_l2;
  double *image; /* [rows] */
};

static inline double mean_of(const epact_columns *x, int64_t j)
{
  return x->mean ? x->mean[j] : 0;
}

static inline int64_t entries_of(const epact_columns *x, int64_t j)
{
  return x->start ? x->start[j + 1] - x->start[j] : x->rows;
}

/* The sum that slope_of wants. */
static inline double residual_sum_of(const epact_columns *x, const double *residual)
{
  return x->mean ? sum_of(x->rows, residual) : 0;
}

/* x_j'rho, from the residual of the stored entries and its sum. */
static inline double slope_of(const epact_columns *x, int64_t j, const double *residual, double residual_sum)
{
  return scale_of(x, j) * (column_dot(column_of(x, j), residual) - mean_of(x, j) * residual_sum);
}

/* S(z, l1), or max(z - l1, 0). */
static inline double shrink(const epact_lasso_penalty *penalty, double z)
{
  if (z > penalty->l1) return z - penalty->l1;
  if (z < -penalty->l1 && !penalty->non_negative) return z + penalty->l1;
  return z == z ? 0 : z;
}

/* |slope|, or what of it counts where b >= 0. */
static inline double size_of(const epact_lasso_penalty *penalty, double slope)
{
  return penalty->non_negative ? fmax(slope, 0) : fabs(slope);
}

/* By how much 0 is outside of the subdifferential, where `slope` is x_j'rho - l2 b_j. */
static inline double violation_of(const epact_lasso_penalty *penalty, double slope, double b)
{
  if (b > 0) return fabs(slope - penalty->l1);
  if (b < 0) return fabs(slope + penalty->l1);
  return fmax(size_of(penalty, slope) - penalty->l1, 0);
}

/* residual -= change * the column, without the part of it that is constant. */
static inline void take_from(const epact_columns *x, int64_t j, double change, double *residual)
{
  column_axpy(-change * scale_of(x, j), column_of(x, j), residual);
}

#endif
