/* Coordinate descent on columns: see lasso.h for the mathematics. */
#include "lasso.h"

#include "../base/internal.h"
#include "column.h"
#include "threshold.h"

#include <math.h>

int epact_lasso_sweep(const epact_columns *x, const uint32_t *active, int64_t active_count, double damping, double l1,
                      double l2, const double *squared_norm, double *b, double *residual, double *largest_change)
{
  if (!(l1 >= 0) || !(l2 >= 0)) return epact_fail(EPACT_E_MISUSE, "l1 and l2 must not be negative");
  if (!(damping >= 1)) return epact_fail(EPACT_E_MISUSE, "damping must be at least 1, got %g", damping);
  const int64_t count = active ? active_count : x->columns;
  double largest = 0, total = 0, residual_sum = x->mean ? sum_of(x->rows, residual) : 0;
  for (int64_t position = 0; position < count; position++) {
    const int64_t j = active ? (int64_t)active[position] : position;
    if (EPACT_UNLIKELY(j >= x->columns))
      return epact_fail(EPACT_E_MISUSE, "active column %lld of %lld columns", (long long)j, (long long)x->columns);
    const column c = column_of(x, j);
    const double s = scale_of(x, j), mean = x->mean ? x->mean[j] : 0;
    const double curvature = damping * squared_norm[j];
    if (!(curvature > 0)) {
      b[j] = 0;
      continue;
    }
    const double correlation = s * (column_dot(c, residual) - mean * residual_sum);
    const double z = correlation + curvature * b[j];
    const double updated = soft_threshold(z, l1) / (curvature + l2);
    const double change = updated - b[j];
    if (change == 0) continue;
    column_axpy(-damping * s * change, c, residual);
    residual_sum -= damping * s * change * mean * (double)x->rows;
    b[j] = updated;
    const double moved = curvature * change * change;
    total += moved;
    if (moved > largest) largest = moved;
  }
  *largest_change = largest;
  if (!isfinite(total)) return epact_fail(EPACT_E_DIVERGED, "the coefficients diverged: one is not finite");
  return EPACT_OK;
}

void epact_lasso_increment(int64_t n, double damping, const double *before, double *residual, double *increment)
{
  for (int64_t i = 0; i < n; i++) {
    const double change = (residual[i] - before[i]) / damping;
    residual[i] = before[i] + change;
    increment[i] = change;
  }
}

void epact_lasso_residual(int64_t n, const double *y, const double *residual, int centred,
                          epact_lasso_certificate *certificate)
{
  const double mean = centred && n > 0 ? sum_of(n, residual) / (double)n : 0;
  double norm2 = 0, product = 0;
  for (int64_t i = 0; i < n; i++) {
    const double rho = residual[i] - mean;
    norm2 += rho * rho;
    product += y[i] * rho;
  }
  certificate->residual_norm2 = norm2;
  certificate->response_residual = product;
}

void epact_lasso_correlations(const epact_columns *x, double l1, double l2, const double *b, const double *residual,
                              double *correlation, epact_lasso_certificate *certificate)
{
  const double residual_sum = x->mean ? sum_of(x->rows, residual) : 0;
  double largest = 0, excess2 = 0, norm1 = 0, norm2 = 0;
  for (int64_t j = 0; j < x->columns; j++) {
    const double product = column_dot(column_of(x, j), residual) - (x->mean ? x->mean[j] * residual_sum : 0);
    const double full = scale_of(x, j) * product, excess = fabs(full) - l1;
    correlation[j] = full - l2 * b[j];
    if (fabs(correlation[j]) > largest) largest = fabs(correlation[j]);
    if (excess > 0) excess2 += excess * excess;
    norm1 += fabs(b[j]);
    norm2 += b[j] * b[j];
  }
  certificate->largest_correlation = largest;
  certificate->excess2 = excess2;
  certificate->norm1 = norm1;
  certificate->norm2 = norm2;
}

void epact_lasso_join(epact_lasso_certificate *certificate, const epact_lasso_certificate *other)
{
  certificate->largest_correlation = fmax(certificate->largest_correlation, other->largest_correlation);
  certificate->excess2 += other->excess2;
  certificate->norm1 += other->norm1;
  certificate->norm2 += other->norm2;
}

void epact_lasso_gap(const epact_lasso_certificate *certificate, double l1, double l2, double *primal, double *gap)
{
  const epact_lasso_certificate *c = certificate;
  const double p = c->residual_norm2 / 2 + l1 * c->norm1 + l2 / 2 * c->norm2;
  /* The residual, scaled by a until it is feasible for the dual of the lasso on [X; sqrt(l2) I]. */
  const double a = c->largest_correlation > l1 ? l1 / c->largest_correlation : 1;
  double best = p + a * a / 2 * (c->residual_norm2 + l2 * c->norm2) - a * c->response_residual;
  if (l1 == 0 && l2 == 0) best = p;
  if (l2 > 0) {
    /* The elastic net's own dual is feasible everywhere: no scaling. */
    const double direct = p + c->residual_norm2 / 2 - c->response_residual + c->excess2 / (2 * l2);
    if (direct < best) best = direct;
  }
  *primal = p;
  *gap = best < 0 ? 0 : best; /* not a number stays one: it certifies nothing */
}

int64_t epact_lasso_active(int64_t columns, double l1, double slack, const double *b, const double *correlation,
                           uint32_t *active)
{
  int64_t count = 0;
  for (int64_t j = 0; j < columns; j++)
    if (b[j] != 0 || fabs(correlation[j]) > l1 + slack) active[count++] = (uint32_t)j;
  return count;
}

void epact_lasso_coefficients(const epact_columns *x, const double *b, double *original)
{
  for (int64_t j = 0; j < x->columns; j++) original[j] = scale_of(x, j) * b[j];
}
