/* A working set of columns: the lasso and the elastic net on one core.
 *
 *   minimise  1/2 ||y - b0 - X b||^2 + l1 ||b||_1 + l2/2 ||b||^2      (b >= 0 where that is asked for)
 *
 * with the columns of columns.h, centred and scaled without a copy (see lasso.h for why the residual of the stored
 * entries is enough). All columns are looked at by one pass (lasso_screen.c); those that can matter are taken into the
 * set, where coordinate descent visits nothing else, and where Newton steps on the support end it:
 *
 *   epact_lasso_set_refresh   the residual, and what it is correlated with, anew: rounding does not pile up
 *   epact_lasso_set_screen    the columns outside that break the optimality conditions; the numbers of the duality gap
 *   epact_lasso_set_take      those become members
 *   epact_lasso_set_sweep     coordinate descent on the members, by the residual or by their covariances
 *   epact_lasso_set_newton    a step to the minimum on the support, with its signs
 *
 * Memory, in bytes: 37 a column of X, 24 a row, 80 a member; where covariances of members are kept (for sweeps, and for
 * Newton steps by factors), 8 for each two, and for a sparse X 16 a row and at most 64 an entry of theirs.
 *
 * Friedman, Hastie, Tibshirani, J. Stat. Softw. 33, 2010 (coordinate descent, covariance updates); Massias, Gramfort,
 * Salmon, ICML 2018 (working sets); Ndiaye et al., JMLR 18, 2017 (gap, safe bounds). */
#ifndef EPACT_KERNEL_LASSO_SET_H
#define EPACT_KERNEL_LASSO_SET_H

#include "lasso.h"

typedef struct epact_lasso_set epact_lasso_set;

typedef struct {
  double l1, l2;
  int32_t non_negative; /* b >= 0 */
} epact_lasso_penalty;

/** An empty set over x, whose arrays must outlive it, as must `squared_norm` (one for each column) and y (one for each
 * row). Released with epact_release. A column whose squared norm is 0 never becomes a member. NULL with a sentence:
 * NOMEM, LIMIT. */
EPACT_API epact_lasso_set *epact_lasso_set_new(const epact_columns *x, const double *squared_norm, const double *y);

/** The members: their number, their columns and coefficients (of the centred and scaled columns). The pointers hold
 * until the next epact_lasso_set_take. */
typedef struct {
  int64_t count;
  const uint32_t *column;
  double *b;
} epact_lasso_members;
EPACT_API epact_lasso_members epact_lasso_set_members(const epact_lasso_set *set);

/** residual = y - b0 - X b of the stored entries (length x->rows), and the correlations of the members with it. Returns
 * the intercept b0 for which the residual's mean is 0; 0 where the view has no means. */
EPACT_API double epact_lasso_set_refresh(epact_lasso_set *set, double *residual);

typedef struct {
  int64_t violators; /* columns outside whose correlation is above the threshold */
  double violation;  /* the largest distance of 0 from a column's subdifferential */
} epact_lasso_screened;

/** Looks at the columns outside of the set: those with |x_j'rho| > threshold (x_j'rho where b >= 0), a threshold of at
 * most l1, violate it; at most `most` of these, the most promising, are remembered for epact_lasso_set_take. The
 * certificate gets its numbers, of members and others. Columns that can be shown to be below the threshold, by their
 * correlations with two earlier residuals and the distance from those, are not read, and count as if they were at l1.
 * `partial`: only those are looked at that violated when they were last read, so that the certificate is none. The
 * first look is epact_lasso_set_largest. */
EPACT_API int epact_lasso_set_screen(epact_lasso_set *set, const epact_lasso_penalty *penalty, double threshold,
                                     int partial, const double *residual, int64_t most,
                                     epact_lasso_certificate *certificate, epact_lasso_screened *screened);

/** The largest |x_j'rho| (x_j'rho where b >= 0, at least 0) of all columns, by a pass over all of them. */
EPACT_API double epact_lasso_set_largest(epact_lasso_set *set, const epact_lasso_penalty *penalty,
                                         const double *residual);

/** The columns that the last screen remembered become members with b_j = 0. Returns their number, or EPACT_E_NOMEM. */
EPACT_API int64_t epact_lasso_set_take(epact_lasso_set *set);

/** Decides, after members were taken, whether sweeps go by covariances, and computes those that are missing. Call
 * epact_lasso_set_refresh before the next sweep where the answer may have changed. EPACT_E_NOMEM. */
EPACT_API int epact_lasso_set_prepare(epact_lasso_set *set);

typedef struct {
  int64_t sweeps;   /* made */
  int64_t turned;   /* coefficients whose sign the last of them changed, to or from 0 too */
  double violation; /* the largest distance of 0 from a member's subdifferential, as the last whole sweep found it */
} epact_lasso_swept;

/** Coordinate descent on the members: at most `most` sweeps, until the violation is at most `enough`, or the signs have
 * settled (not before a quarter of them). With covariances the correlations are kept and not the residual; otherwise
 * the residual. */
EPACT_API int epact_lasso_set_sweep(epact_lasso_set *set, const epact_lasso_penalty *penalty, int64_t most,
                                    double enough, double *residual, epact_lasso_swept *swept);

typedef struct {
  int64_t support, crossed; /* coefficients that were not 0, and of these those that became 0 */
  double fall;              /* of the objective; 0: the step was not taken */
  int32_t factored;         /* by a Cholesky factor, not by conjugate gradients */
} epact_lasso_step;

/** How many sweeps, about, take as long as a Newton step. */
EPACT_API int64_t epact_lasso_set_patience(epact_lasso_set *set, const epact_lasso_penalty *penalty);

/** A step to the minimum on the support, as far as that lowers the objective. Whether by a Cholesky factor or by
 * conjugate gradients the predicted cost decides. With a factor, coefficients of columns that depend on others become 0
 * first, in a way that leaves the fit alone. EPACT_E_NOMEM. */
EPACT_API int epact_lasso_set_newton(epact_lasso_set *set, const epact_lasso_penalty *penalty, double *residual,
                                     epact_lasso_step *step);

#endif
