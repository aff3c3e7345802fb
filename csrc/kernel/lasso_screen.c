/* The columns outside of the working set: see lasso_set.h.
 *
 * Now and then all correlations are computed, and kept with the residual (lasso_kept.h). A later look need not read a
 * column when these show that it is below the threshold. Otherwise it is hot: read at each look, until all columns are
 * read again, which is when what has been read beyond what was hot at once is as much as that. */
#include "../base/internal.h"
#include "lasso_kept.h"

#include <stdlib.h>
#include <string.h>

/* Neighbouring dense columns that are multiplied at once; so few that it is not worth while. */
enum { TOGETHER = 1024, FEW = 16 };
/* Of all entries, those that may be hot: where so many are, all may as well be read. */
#define MOST_HOT 0.8

/* By how much the threshold may fall, and the squared distance grow, until columns must be listed anew. */
#define WATCH_LOWER 0.7
#define WATCH_FARTHER 16

/* The correlations of columns first .. end - 1. */
static void read_columns(epact_lasso_set *set, int64_t first, int64_t end, const double *residual, double sum)
{
  const epact_columns *x = &set->x;
  if (x->start || end - first < FEW) {
    for (int64_t j = first; j < end; j++) set->slope_there[j] = slope_of(x, j, residual, sum);
    return;
  }
  for (int64_t j = first; j < end; j += TOGETHER) {
    const int64_t some = end - j < TOGETHER ? end - j : TOGETHER;
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)some, (int)x->rows, 1, x->value + j * x->rows, (int)x->rows, residual,
                1, 0, set->slope_there + j, 1);
  }
  for (int64_t j = first; j < end; j++)
    set->slope_there[j] = scale_of(x, j) * (set->slope_there[j] - mean_of(x, j) * sum);
}

/* All columns are read, and nothing is hot; all that could become members are listed. */
static void read_all(epact_lasso_set *set, const double *residual)
{
  const epact_columns *x = &set->x;
  read_columns(set, 0, x->columns, residual, residual_sum_of(x, residual));
  lasso_keep(set, residual);
  memset(set->hot, 0, (size_t)x->columns);
  set->hot_entries = set->wanted_count = set->read_in_vain = 0;
  set->hot_at_first = -1;
  set->watch_threshold = INFINITY;
  for (int64_t j = 0; j < x->columns; j++)
    if (set->place[j] == NOWHERE && set->squared_norm[j] > 0) set->wanted[set->wanted_count++] = (uint32_t)j;
}

double epact_lasso_set_largest(epact_lasso_set *set, const epact_lasso_penalty *penalty, const double *residual)
{
  const epact_columns *x = &set->x;
  double largest = 0;
  read_all(set, residual);
  for (int64_t j = 0; j < x->columns; j++) {
    const double size = size_of(penalty, set->slope_there[j]);
    if (set->squared_norm[j] > 0 && !(size <= largest)) largest = size;
  }
  return largest;
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

/* Looks will be at fewer columns: those that are hot, or could be as long as the threshold is not much lower and the
 * residual not much farther from this combination of the kept ones, or than it was when all columns were read last. */
static void make_watch(epact_lasso_set *set, const epact_lasso_penalty *penalty, double threshold, lasso_bound bound)
{
  set->watch_threshold = WATCH_LOWER * threshold;
  set->watch_bound = bound;
  set->watch_bound.norm2 = fmax(WATCH_FARTHER * bound.norm2, set->last_bound.norm2);
  set->watch_bound.largest2 = fmax(WATCH_FARTHER * bound.largest2, set->last_bound.largest2);
  set->watch_count = 0;
  for (int64_t j = 0; j < set->x.columns; j++)
    if (set->place[j] == NOWHERE && set->squared_norm[j] > 0 &&
        (set->hot[j] || !lasso_is_below(set, penalty, j, set->watch_threshold, set->watch_bound)))
      set->watch[set->watch_count++] = (uint32_t)j;
}

static bool watch_holds(const epact_lasso_set *set, double threshold, const double *residual)
{
  if (!(threshold >= set->watch_threshold)) return false;
  const lasso_bound now = lasso_kept_bound(set, residual, set->watch_bound.a);
  return now.norm2 <= set->watch_bound.norm2 && now.largest2 <= set->watch_bound.largest2;
}

/* Reads what must be read, and lists it. */
static void look(epact_lasso_set *set, const epact_lasso_penalty *penalty, double threshold, int partial,
                 const double *residual)
{
  const epact_columns *x = &set->x;
  const int64_t all = x->start ? x->start[x->columns] - x->start[0] : x->rows * x->columns;
  const lasso_bound bound = lasso_kept_nearest(set, residual);
  if (!partial && ((double)set->hot_entries > MOST_HOT * (double)all || set->read_in_vain > all)) {
    read_all(set, residual);
    set->last_bound = bound;
    return;
  }
  if (!watch_holds(set, threshold, residual)) make_watch(set, penalty, threshold, bound);
  set->wanted_count = 0;
  for (int64_t k = 0; k < set->watch_count; k++) {
    const uint32_t j = set->watch[k];
    if (set->place[j] != NOWHERE) continue;
    if (partial ? size_of(penalty, set->slope_there[j]) <= threshold
                : !set->hot[j] && lasso_is_below(set, penalty, j, threshold, bound))
      continue;
    set->wanted[set->wanted_count++] = j;
    set->hot_entries += set->hot[j] ? 0 : entries_of(x, j);
    set->hot[j] = 1;
  }
  if (set->hot_at_first < 0) set->hot_at_first = set->hot_entries;
  set->read_in_vain += set->hot_entries - set->hot_at_first;
  const double sum = residual_sum_of(x, residual);
  for (int64_t k = 0, end; k < set->wanted_count; k = end) { /* runs of neighbours */
    for (end = k + 1; end < set->wanted_count && set->wanted[end] == set->wanted[end - 1] + 1;) end++;
    read_columns(set, set->wanted[k], set->wanted[end - 1] + 1, residual, sum);
  }
}

int epact_lasso_set_screen(epact_lasso_set *set, const epact_lasso_penalty *penalty, double threshold, int partial,
                           const double *residual, int64_t most, epact_lasso_certificate *certificate,
                           epact_lasso_screened *screened)
{
  const epact_columns *x = &set->x;
  double least = 0;
  *certificate = (epact_lasso_certificate){ 0 };
  *screened = (epact_lasso_screened){ 0 };
  look(set, penalty, threshold, partial, residual);
  epact_lasso_residual(x->rows, set->y, residual, x->mean != NULL, certificate);
  for (int64_t at = 0; at < set->count; at++) certify(set->slope[at], set->b[at], penalty, certificate, screened);
  set->candidates = 0;
  for (int64_t k = 0; k < set->wanted_count; k++) {
    const uint32_t j = set->wanted[k];
    const double slope = set->slope_there[j], past = size_of(penalty, slope) - threshold;
    if (!(past > 0)) continue;
    certify(slope, 0, penalty, certificate, screened);
    screened->violators++;
    if (remember(set, most, (candidate){ past * past / set->squared_norm[j], slope, j }, &least)) return EPACT_E_NOMEM;
  }
  if (set->candidates > 0) qsort(set->candidate, (size_t)set->candidates, sizeof *set->candidate, by_score);
  if (set->candidates > most) set->candidates = most;
  return EPACT_OK;
}
