/* The columns outside of the working set: see lasso_set.h.
 *
 * A full pass keeps its residual rho_0 and the correlations there. Later ones need not read a column with
 *   |x_j'rho_0| + ||x_j|| ||rho - rho_0|| <= threshold,
 * since by Cauchy and Schwarz |x_j'rho| is not above it either. When too many must be read, there is a new full pass. */
#include "../base/internal.h"
#include "lasso_state.h"

#include <stdlib.h>
#include <string.h>

/* What rounding may add to a correlation, in units of ||x_j|| times the largest residual's norm. */
#define ROUNDING 1e-13
/* Columns that a dense pass multiplies at once; the part of the entries from where on all are read. */
enum { TOGETHER = 1024, FULL_PASS_SHARE = 4 };

static void pass_dense(const epact_columns *x, const double *residual, double *slope)
{
  for (int64_t j = 0; j < x->columns; j += TOGETHER) {
    const int64_t some = x->columns - j < TOGETHER ? x->columns - j : TOGETHER;
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)some, (int)x->rows, 1, x->value + j * x->rows, (int)x->rows, residual,
                1, 0, slope + j, 1);
  }
}

/* All correlations, which become the reference. */
static void full_pass(epact_lasso_set *set, const double *residual)
{
  const epact_columns *x = &set->x;
  const double sum = residual_sum_of(x, residual);
  if (!x->start) pass_dense(x, residual, set->slope_there);
  for (int64_t j = 0; j < x->columns; j++) {
    if (x->start)
      set->slope_there[j] = slope_of(x, j, residual, sum);
    else
      set->slope_there[j] = scale_of(x, j) * (set->slope_there[j] - mean_of(x, j) * sum);
  }
  memcpy(set->reference, residual, (size_t)x->rows * sizeof *residual);
  set->reference_norm = sqrt(cblas_ddot((int)x->rows, residual, 1, residual, 1));
  set->has_reference = 1;
}

double epact_lasso_set_largest(epact_lasso_set *set, const epact_lasso_penalty *penalty, const double *residual)
{
  double largest = 0;
  full_pass(set, residual);
  for (int64_t j = 0; j < set->x.columns; j++) {
    const double size = size_of(penalty, set->slope_there[j]);
    if (!(set->squared_norm[j] > 0)) continue;
    if (!(size <= largest)) largest = size;
  }
  return largest;
}

/* ||rho - rho_0||^2, with the constant part taken out where the columns are centred. */
static double distance2(const epact_lasso_set *set, const double *residual)
{
  const int64_t n = set->x.rows;
  double sum = 0, norm2 = 0;
  for (int64_t i = 0; i < n; i++) set->image[i] = residual[i] - set->reference[i];
  if (set->x.mean) sum = sum_of(n, set->image) / (double)n;
  for (int64_t i = 0; i < n; i++) norm2 += (set->image[i] - sum) * (set->image[i] - sum);
  return norm2;
}

/* Whether the reference shows that column j is below the threshold. */
static inline bool is_below(const epact_lasso_set *set, const epact_lasso_penalty *penalty, int64_t j, double threshold,
                            double reach2)
{
  const double left = threshold - size_of(penalty, set->slope_there[j]);
  return left > 0 && left * left > set->squared_norm[j] * reach2;
}

/* How many entries must be read. */
static int64_t count_entries(const epact_lasso_set *set, const epact_lasso_penalty *penalty, double threshold,
                             double reach2)
{
  int64_t entries = 0;
  for (int64_t j = 0; j < set->x.columns; j++)
    if (!is_below(set, penalty, j, threshold, reach2) && set->place[j] == NOWHERE) entries += entries_of(&set->x, j);
  return entries;
}

static int by_score(const void *a, const void *b)
{
  const candidate *first = a, *second = b;
  if (first->score != second->score) return first->score < second->score ? 1 : -1;
  return first->column < second->column ? -1 : first->column > second->column;
}

/* Remembers a candidate; of more than twice `most` the better half stays. */
static int remember(epact_lasso_set *set, int64_t most, candidate new, double *least)
{
  if (new.score < *least) return EPACT_OK;
  if (set->candidates == set->candidate_room) {
    const int64_t room = 2 * set->candidate_room + 128;
    if (epact_grow(&set->candidate, (size_t)room, sizeof new)) return EPACT_E_NOMEM;
    set->candidate_room = room;
  }
  set->candidate[set->candidates++] = new;
  if (set->candidates < 2 * most + 64) return EPACT_OK;
  qsort(set->candidate, (size_t)set->candidates, sizeof new, by_score);
  set->candidates = most;
  *least = most > 0 ? set->candidate[most - 1].score : INFINITY;
  return EPACT_OK;
}

static void certify(double slope, double b, const epact_lasso_penalty *penalty, epact_lasso_certificate *certificate,
                    epact_lasso_screened *screened)
{
  const double correlation = size_of(penalty, slope - penalty->l2 * b);
  const double excess = size_of(penalty, slope) - penalty->l1;
  const double violation = violation_of(penalty, slope - penalty->l2 * b, b);
  if (!(correlation <= certificate->largest_correlation)) certificate->largest_correlation = correlation;
  if (excess > 0) certificate->excess2 += excess * excess;
  certificate->norm1 += fabs(b);
  certificate->norm2 += b * b;
  if (!(violation <= screened->violation)) screened->violation = violation;
}

/* The square of the distance to the reference, and a little for rounding; 0 where the reference is new, because too much
 * would have to be read. */
static double find_reach2(epact_lasso_set *set, const epact_lasso_penalty *penalty, double threshold,
                          const double *residual)
{
  const epact_columns *x = &set->x;
  const int64_t all = x->start ? x->start[x->columns] - x->start[0] : x->rows * x->columns;
  if (set->has_reference) {
    const double reach = sqrt(distance2(set, residual)) + ROUNDING * set->reference_norm;
    if (count_entries(set, penalty, threshold, reach * reach) <= all / FULL_PASS_SHARE) return reach * reach;
  }
  full_pass(set, residual);
  return 0;
}

int epact_lasso_set_screen(epact_lasso_set *set, const epact_lasso_penalty *penalty, double threshold,
                           const double *residual, int64_t most, epact_lasso_certificate *certificate,
                           epact_lasso_screened *screened)
{
  const epact_columns *x = &set->x;
  const double reach2 = find_reach2(set, penalty, threshold, residual), sum = residual_sum_of(x, residual);
  double least = 0;
  *certificate = (epact_lasso_certificate){ 0 };
  *screened = (epact_lasso_screened){ 0 };
  epact_lasso_residual(x->rows, set->y, residual, x->mean != NULL, certificate);
  for (int64_t at = 0; at < set->count; at++) certify(set->slope[at], set->b[at], penalty, certificate, screened);
  set->candidates = 0;
  for (int64_t j = 0; j < x->columns; j++) {
    if (is_below(set, penalty, j, threshold, reach2) || set->place[j] != NOWHERE || !(set->squared_norm[j] > 0))
      continue;
    const double slope = reach2 > 0 ? slope_of(x, j, residual, sum) : set->slope_there[j];
    const double past = size_of(penalty, slope) - threshold;
    certify(slope, 0, penalty, certificate, screened);
    if (!(past > 0)) continue;
    screened->violators++;
    if (remember(set, most, (candidate){ past * past / set->squared_norm[j], slope, (uint32_t)j }, &least))
      return EPACT_E_NOMEM;
  }
  qsort(set->candidate, (size_t)set->candidates, sizeof *set->candidate, by_score);
  if (set->candidates > most) set->candidates = most;
  return EPACT_OK;
}
