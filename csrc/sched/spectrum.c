/* Power iteration: see spectrum.h.
 *
 * A column is f_j (x_j - m_j 1), f_j = s_j / ||s_j (x_j - m_j 1)||. With o = -sum_j f_j m_j v_j the product X v is
 * u + o 1, u being the sum over stored entries alone. Means are exact, so that (X v)'1 = 0 and
 * (X'X v)_j = f_j (x_j'u + n m_j o): rows without an entry are never touched. */
#include "spectrum.h"

#include "../base/internal.h"
#include "../kernel/column.h"

#include <math.h>

typedef struct {
  const epact_columns *x;
  const double *squared_norm;
  const uint32_t *id;
  int64_t count;
} selection;

static int64_t column_id(const selection *s, int64_t i)
{
  return s->id ? (int64_t)s->id[i] : i;
}

static double factor_of(const selection *s, int64_t j)
{
  const double norm2 = s->squared_norm[j];
  return norm2 > 0 ? scale_of(s->x, j) / sqrt(norm2) : 0;
}

/* w = X'X v; leaves u as it was, 0. */
static void multiply(const selection *s, const double *v, double *w, double *u)
{
  const double *mean = s->x->mean;
  double offset = 0;
  for (int64_t i = 0; i < s->count; i++) {
    const int64_t j = column_id(s, i);
    const double a = factor_of(s, j) * v[i];
    column_axpy(a, column_of(s->x, j), u);
    if (mean) offset -= a * mean[j];
  }
  for (int64_t i = 0; i < s->count; i++) {
    const int64_t j = column_id(s, i);
    const double means = mean ? (double)s->x->rows * mean[j] * offset : 0;
    w[i] = factor_of(s, j) * (column_dot(column_of(s->x, j), u) + means);
  }
  for (int64_t i = 0; i < s->count; i++) {
    const column c = column_of(s->x, column_id(s, i));
    for (int64_t e = 0; e < c.count; e++) u[c.index ? c.index[e] : e] = 0;
    if (!c.index) break; /* the first dense column has every row */
  }
}

static double norm_of(int64_t n, const double *v)
{
  return sqrt(cblas_ddot((int)n, v, 1, v, 1));
}

epact_radius epact_spectral_radius(const epact_columns *x, const double *squared_norm, int64_t count,
                                   const uint32_t *id, double tolerance, int64_t most_iterations, epact_rng *rng,
                                   double *v, double *w, double *u)
{
  const selection s = { x, squared_norm, id, count };
  epact_radius result = { 0, 0, 0 };
  for (int64_t i = 0; i < count; i++) w[i] = 2 * epact_uniform_inline(rng) - 1;
  double norm = norm_of(count, w);
  while (norm > 0 && !result.converged && result.iterations < most_iterations) {
    const double before = result.radius;
    for (int64_t i = 0; i < count; i++) v[i] = w[i] / norm;
    multiply(&s, v, w, u);
    result.radius = cblas_ddot((int)count, v, 1, w, 1);
    result.iterations++;
    result.converged = fabs(result.radius - before) <= tolerance * result.radius;
    norm = norm_of(count, w);
  }
  if (!(norm > 0)) result.converged = 1; /* nothing correlates: all columns are 0 */
  return result;
}
