/* The bound that spares reading columns (lasso_kept.h), where it is tight: residuals that differ from a combination of
 * the kept ones along a column, or, for the second bound, along the signs of one of few equal entries. */
#include "kernel/lasso_kept.h"

#include "base/internal.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 60, COLUMNS = 40, FEW = 6 };
#define MARGIN 1e-6

static int failures;
static epact_rng rng;
static double value[ROWS * COLUMNS], mean[COLUMNS], scale[COLUMNS], norm2[COLUMNS], y[ROWS];
static uint32_t row_of[ROWS * COLUMNS];
static int64_t start[COLUMNS + 1];

static void expect(bool held, const char *what, int sparse, int centred, int64_t j)
{
  if (held) return;
  fprintf(stderr, "lasso_bound: %s (sparse %d, centred %d, column %lld)\n", what, sparse, centred, (long long)j);
  failures++;
}

/* Dense columns far from 0, or FEW equal entries in each. */
static epact_columns draw(int sparse, int centred)
{
  int64_t at = 0;
  for (int64_t j = 0; j < COLUMNS; j++) {
    const double entry = 1 + epact_rng_uniform(&rng);
    start[j] = at;
    scale[j] = 0.5 + epact_rng_uniform(&rng);
    for (uint32_t i = 0; i < ROWS; i++) {
      if (sparse && (i * 7 + (uint32_t)j * 13) % ROWS >= FEW) continue;
      row_of[at] = i;
      value[at++] = sparse ? entry : 3 + epact_rng_normal(&rng);
    }
  }
  start[COLUMNS] = at;
  epact_columns x = { .rows = ROWS, .columns = COLUMNS, .value = value, .inverse_scale = scale };
  if (sparse) {
    x.start = start;
    x.index = row_of;
  }
  epact_columns_moments(&x, mean, NULL);
  if (centred) x.mean = mean;
  epact_columns_squared_norm(&x, norm2);
  return x;
}

/* Column j as the model sees it. */
static void column_as_seen(const epact_columns *x, int64_t j, double *out)
{
  const column c = column_of(x, j);
  for (int64_t i = 0; i < ROWS; i++) out[i] = x->mean ? -scale[j] * mean[j] : 0;
  for (int64_t e = 0; e < c.count; e++) out[c.index ? c.index[e] : e] += scale[j] * c.value[e];
}

/* |x_j'rho|, by hand. */
static double correlation(const epact_columns *x, int64_t j, const double *rho)
{
  double seen[ROWS], sum = 0;
  column_as_seen(x, j, seen);
  for (int64_t i = 0; i < ROWS; i++) sum += seen[i] * rho[i];
  return fabs(sum);
}

static void check_columns(const epact_lasso_set *set, const double *rho, lasso_bound bound, int sparse)
{
  const epact_lasso_penalty penalty = { .l1 = 1 };
  for (int64_t k = 0; k < COLUMNS; k++) {
    const double true_size = correlation(&set->x, k, rho);
    expect(!lasso_is_below(set, &penalty, k, true_size * (1 - MARGIN), bound), "shows what is not so", sparse,
           set->x.mean != NULL, k);
  }
}

static void check(int sparse, int centred)
{
  static double kept[2][ROWS], rho[ROWS], along[ROWS];
  const epact_lasso_penalty penalty = { .l1 = 1 };
  const epact_columns x = draw(sparse, centred);
  epact_lasso_set *set = epact_lasso_set_new(&x, norm2, y);
  expect(set != NULL, "no set", sparse, centred, 0);
  if (!set) return;
  for (int at = 1; at >= 0; at--) {
    for (int64_t i = 0; i < ROWS; i++) kept[at][i] = 2 + epact_rng_normal(&rng);
    epact_lasso_set_largest(set, &penalty, kept[at]);
  }
  for (int64_t j = 0; j < COLUMNS; j++) {
    const double a[2] = { 1.5 * epact_rng_uniform(&rng), -0.5 * epact_rng_uniform(&rng) };
    double combined = 0, seen[ROWS];
    column_as_seen(&x, j, seen);
    for (int64_t i = 0; i < ROWS; i++) combined += seen[i] * (a[0] * kept[0][i] + a[1] * kept[1][i]);
    /* on the side on which the two add up */
    for (int64_t i = 0; i < ROWS; i++) {
      const bool entry = sparse && (i * 7 + j * 13) % ROWS < FEW;
      along[i] = (combined < 0 ? -0.1 : 0.1) * (!sparse   ? seen[i]
                                                : entry   ? 1
                                                : centred ? -(double)FEW / (ROWS - FEW)
                                                          : 0);
      rho[i] = a[0] * kept[0][i] + a[1] * kept[1][i] + along[i];
    }
    const lasso_bound bound = lasso_kept_bound(set, rho, a);
    check_columns(set, rho, bound, sparse);
    check_columns(set, rho, lasso_kept_nearest(set, rho), sparse);
    expect(lasso_kept_nearest(set, rho).norm2 <= bound.norm2 * (1 + MARGIN), "is not the nearest", sparse, centred, j);
    expect(lasso_is_below(set, &penalty, j, correlation(&x, j, rho) * (1 + MARGIN), bound), "is not tight", sparse,
           centred, j);
  }
  epact_release(set);
}

int main(void)
{
  rng = epact_rng_stream(11, 0, 0);
  for (int round = 0; round < 20; round++)
    for (int kind = 0; kind < 4; kind++) check(kind % 2, kind / 2);
  return failures > 0;
}
