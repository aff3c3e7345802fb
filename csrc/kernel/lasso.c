/* Coordinate descent on columns: see lasso.h for the mathematics. */
#include "lasso.h"

#include "../base/internal.h"
#include "threshold.h"

#include <cblas.h>
#include <math.h>

#define REAL double
#define NAME(base) base
#include "sparse.h"
#undef REAL
#undef NAME

/* The entries of one column; `index` is NULL for a dense one. */
typedef struct {
  const uint32_t *index;
  const double *value;
  int64_t count;
} column;

static inline column column_of(const epact_columns *x, int64_t j)
{
  if (!x->start) return (column){ NULL, x->value + j * x->rows, x->rows };
  return (column){ x->index + x->start[j], x->value + x->start[j], x->start[j + 1] - x->start[j] };
}

static inline double dot(column c, const double *r)
{
  if (c.index) return sparse_dot(c.count, c.index, c.value, r);
  return cblas_ddot((int)c.count, c.value, 1, r, 1);
}

static inline void axpy(double a, column c, double *r)
{
  if (c.index)
    sparse_axpy(c.count, a, c.index, c.value, r);
  else
    cblas_daxpy((int)c.count, a, c.value, 1, r, 1);
}

static inline double scale_of(const epact_columns *x, int64_t j)
{
  return x->inverse_scale ? x->inverse_scale[j] : 1;
}

/* Eight sums, added pairwise at the end: fast, and more exact than one. */
static double sum_of(int64_t n, const double *x)
{
  double sum[8] = { 0 };
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int lane = 0; lane < 8; lane++) sum[lane] += x[i + lane];
  for (; i < n; i++) sum[0] += x[i];
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

epact_columns epact_columns_slice(const epact_columns *x, int64_t first, int64_t end)
{
  epact_columns slice = *x;
  slice.columns = end - first;
  if (x->start)
    slice.start += first;
  else
    slice.value += first * x->rows;
  if (x->mean) slice.mean += first;
  if (x->inverse_scale) slice.inverse_scale += first;
  return slice;
}

static int check_column(const epact_columns *x, int64_t j)
{
  const column c = column_of(x, j);
  for (int64_t e = 0; e < c.count; e++) {
    const long long row = c.index ? (long long)c.index[e] : (long long)e;
    if (row >= x->rows)
      return epact_fail(EPACT_E_MISUSE, "column %lld: row %lld is not below %lld", (long long)j, row,
                        (long long)x->rows);
    if (c.index && e > 0 && c.index[e] <= c.index[e - 1])
      return epact_fail(EPACT_E_MISUSE, "column %lld: row %lld follows row %u", (long long)j, row, c.index[e - 1]);
    if (!isfinite(c.value[e]))
      return epact_fail(EPACT_E_MISUSE, "column %lld, row %lld: the value is not finite", (long long)j, row);
  }
  return EPACT_OK;
}

int epact_columns_check(const epact_columns *x)
{
  if (x->rows < 1 || x->columns < 1)
    return epact_fail(EPACT_E_MISUSE, "a matrix needs rows and columns, got %lld x %lld", (long long)x->rows,
                      (long long)x->columns);
  if (x->rows > INT32_MAX) return epact_fail(EPACT_E_LIMIT, "at most %d rows, got %lld", INT32_MAX, (long long)x->rows);
  for (int64_t j = 0; x->start && j < x->columns; j++)
    if (x->start[j] < 0 || x->start[j + 1] < x->start[j])
      return epact_fail(EPACT_E_MISUSE, "column %lld: its start falls", (long long)j);
  for (int64_t j = 0; j < x->columns; j++) {
    const int code = check_column(x, j);
    if (code) return code;
  }
  return EPACT_OK;
}

/* ||x_j - m 1||^2 from the deviations themselves: ||x_j||^2 - n m^2 would cancel. */
static double deviation2(const epact_columns *x, int64_t j, double mean)
{
  const column c = column_of(x, j);
  double sum = 0;
  for (int64_t e = 0; e < c.count; e++) sum += (c.value[e] - mean) * (c.value[e] - mean);
  return sum + (double)(x->rows - c.count) * mean * mean;
}

/* Exactly: a deviation computed from a rounded mean is never quite 0. */
static bool is_constant(column c, int64_t rows)
{
  const double first = c.count == rows ? c.value[0] : 0;
  for (int64_t e = 0; e < c.count; e++)
    if (c.value[e] != first) return false;
  return true;
}

void epact_columns_moments(const epact_columns *x, double *mean, double *inverse_deviation)
{
  const double n = (double)x->rows;
  for (int64_t j = 0; j < x->columns; j++) {
    const column c = column_of(x, j);
    const double m = sum_of(c.count, c.value) / n;
    if (mean) mean[j] = m;
    if (inverse_deviation) inverse_deviation[j] = is_constant(c, x->rows) ? 0 : sqrt(n / deviation2(x, j, m));
  }
}

void epact_columns_squared_norm(const epact_columns *x, double *squared_norm)
{
  for (int64_t j = 0; j < x->columns; j++) {
    const double s = scale_of(x, j);
    squared_norm[j] = s * s * deviation2(x, j, x->mean ? x->mean[j] : 0);
  }
}

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
    const double correlation = s * (dot(c, residual) - mean * residual_sum);
    const double z = correlation + curvature * b[j];
    const double updated = soft_threshold(z, l1) / (curvature + l2);
    const double change = updated - b[j];
    if (change == 0) continue;
    axpy(-damping * s * change, c, residual);
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
    const double product = dot(column_of(x, j), residual) - (x->mean ? x->mean[j] * residual_sum : 0);
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
