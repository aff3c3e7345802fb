/* What the correlations with two earlier residuals say of those with a later one: see lasso_kept.h. */
#include "../base/internal.h"
#include "lasso_kept.h"

#include <string.h>

/* What rounding may add to a distance, in units of the residuals' norms. */
#define ROUNDING 1e-13
/* Residuals whose angle is smaller are taken for one. */
#define LEAST_ANGLE2 1e-10

enum { LANES = 8 };

static inline double add_lanes(const double *sum)
{
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* Inner products around the means: of the residual with itself, with the kept ones, and of those. */
typedef struct {
  double rr, r0, r1, k00, k01, k11;
} products;

EPACT_CLONES
static products products_of(int64_t n, const double *restrict r, const double *restrict k0, const double *restrict k1,
                            const double *mean)
{
  double rr[LANES] = { 0 }, r0[LANES] = { 0 }, r1[LANES] = { 0 };
  double k00[LANES] = { 0 }, k01[LANES] = { 0 }, k11[LANES] = { 0 };
  for (int64_t i = 0; i < n; i += LANES) {
    const int64_t some = n - i < LANES ? n - i : LANES;
    for (int64_t lane = 0; lane < some; lane++) {
      const double c = r[i + lane] - mean[2], c0 = k0[i + lane] - mean[0], c1 = k1[i + lane] - mean[1];
      rr[lane] += c * c;
      r0[lane] += c * c0;
      r1[lane] += c * c1;
      k00[lane] += c0 * c0;
      k01[lane] += c0 * c1;
      k11[lane] += c1 * c1;
    }
  }
  return (products){ add_lanes(rr), add_lanes(r0), add_lanes(r1), add_lanes(k00), add_lanes(k01), add_lanes(k11) };
}

/* The squared norm of r - a0 k0 - a1 k1 around its mean, and its largest entry. */
EPACT_CLONES
static void measure(int64_t n, const double *restrict r, const double *restrict k0, const double *restrict k1,
                    const double *a, double mean, double *norm2, double *largest)
{
  double sum[LANES] = { 0 }, most[LANES] = { 0 };
  for (int64_t i = 0; i < n; i += LANES) {
    const int64_t some = n - i < LANES ? n - i : LANES;
    for (int64_t lane = 0; lane < some; lane++) {
      const double d = fabs(r[i + lane] - a[0] * k0[i + lane] - a[1] * k1[i + lane] - mean);
      sum[lane] += d * d;
      most[lane] = d > most[lane] ? d : most[lane];
    }
  }
  *norm2 = add_lanes(sum);
  *largest = 0;
  for (int lane = 0; lane < LANES; lane++) *largest = fmax(*largest, most[lane]);
}

static void find_means(const epact_lasso_set *set, const double *residual, double *mean)
{
  const epact_columns *x = &set->x;
  const double n = (double)x->rows;
  mean[0] = residual_sum_of(x, set->kept[0]) / n;
  mean[1] = residual_sum_of(x, set->kept[1]) / n;
  mean[2] = residual_sum_of(x, residual) / n;
}

lasso_bound lasso_kept_bound(const epact_lasso_set *set, const double *residual, const double *a)
{
  const int64_t n = set->x.rows;
  const double *k0 = set->kept[0], *k1 = set->kept[1];
  double mean[3], norm2, largest;
  find_means(set, residual, mean);
  measure(n, residual, k0, k1, a, mean[2] - a[0] * mean[0] - a[1] * mean[1], &norm2, &largest);
  const double noise = ROUNDING * (sqrt(set->kept_norm2[0]) * (1 + fabs(a[0])) + sqrt(set->kept_norm2[1]) * fabs(a[1]));
  const double norm = sqrt(norm2) + noise;
  return (lasso_bound){ { a[0], a[1] }, norm * norm, (largest + noise) * (largest + noise) };
}

lasso_bound lasso_kept_nearest(const epact_lasso_set *set, const double *residual)
{
  double mean[3], a[2] = { 0, 0 };
  find_means(set, residual, mean);
  const products p = products_of(set->x.rows, residual, set->kept[0], set->kept[1], mean);
  const double determinant = p.k00 * p.k11 - p.k01 * p.k01;
  if (determinant > LEAST_ANGLE2 * p.k00 * p.k11) {
    a[0] = (p.r0 * p.k11 - p.r1 * p.k01) / determinant;
    a[1] = (p.r1 * p.k00 - p.r0 * p.k01) / determinant;
  } else if (p.k00 > 0)
    a[0] = p.r0 / p.k00;
  return lasso_kept_bound(set, residual, a);
}

void lasso_keep(epact_lasso_set *set, const double *residual)
{
  const epact_columns *x = &set->x;
  double *oldest = set->kept[1], *oldest_slope = set->kept_slope[1], norm2 = 0;
  for (int64_t i = 0; i < x->rows; i++) norm2 += residual[i] * residual[i];
  set->kept[1] = set->kept[0];
  set->kept_slope[1] = set->kept_slope[0];
  set->kept_norm2[1] = set->kept_norm2[0];
  set->kept[0] = memcpy(oldest, residual, (size_t)x->rows * sizeof *residual);
  set->kept_slope[0] = memcpy(oldest_slope, set->slope_there, (size_t)x->columns * sizeof *oldest_slope);
  set->kept_norm2[0] = norm2;
}
