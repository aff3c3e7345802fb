/* Losses, curvatures and the certificate of linear models: see newton.h. */
#include "newton.h"

#include "../base/internal.h"
#include "vector_math.h"

#include <math.h>

/* Terms that are summed together: what one addition loses does not grow with the rows. */
#define BLOCK 256
/* Share of the bounding parabola's curvature where there is none. */
#define LEAST_CURVATURE 1e-3
/* The logistic loss is nearly straight far on the wrong side: there a hundredth of the bounding parabola's tanh(m / 2) /
 * (2 m). Rows that steps have thrown there would else throw them back as far as the curvature is small. */
#define WRONG_SIDE 5e-3

/* One loss a function, known to the compiler: the loop becomes vector code. */
#define PARAMETERS                                                                                                     \
  double width, int64_t count, const double *restrict t, const double *restrict y, double *restrict value,             \
      double *restrict u, double *restrict d

EPACT_CLONES static void logistic_terms(PARAMETERS)
{
  (void)width;
  for (int64_t i = 0; i < count; i++) {
    const double m = y[i] * t[i], e = exp_of_negative(-fabs(m)), inverse = 1 / (1 + e);
    const double wrong = m > 0 ? e * inverse : inverse; /* sigma(-m) */
    value[i] = (m < 0 ? -m : 0) + log1p_of_unit(e);
    u[i] = -y[i] * wrong;
    const double least = m < -1 ? WRONG_SIDE / -m : 0, curvature = e * inverse * inverse;
    d[i] = curvature > least ? curvature : least;
  }
}

EPACT_CLONES static void squared_hinge_terms(PARAMETERS)
{
  (void)width;
  for (int64_t i = 0; i < count; i++) {
    const double missing = 1 - y[i] * t[i], positive = missing > 0 ? missing : 0;
    value[i] = positive * positive / 2;
    u[i] = -y[i] * positive;
    d[i] = missing > 0 ? 1 : 0;
  }
}

EPACT_CLONES static void squared_terms(PARAMETERS)
{
  (void)width;
  for (int64_t i = 0; i < count; i++) {
    const double error = t[i] - y[i];
    value[i] = error * error / 2;
    u[i] = error;
    d[i] = 1;
  }
}

EPACT_CLONES static void huber_terms(PARAMETERS)
{
  for (int64_t i = 0; i < count; i++) {
    const double error = t[i] - y[i], size = fabs(error);
    value[i] = size <= width ? error * error / 2 : width * (size - width / 2);
    u[i] = size <= width ? error : error > 0 ? width : -width;
    d[i] = size <= width ? 1 : LEAST_CURVATURE * width / size;
  }
}

EPACT_CLONES static void smoothed_hinge_terms(PARAMETERS)
{
  for (int64_t i = 0; i < count; i++) {
    const double missing = 1 - y[i] * t[i];
    const int flat = missing <= 0, far = missing >= width;
    value[i] = flat ? 0 : far ? missing - width / 2 : missing * missing / (2 * width);
    u[i] = flat ? 0 : far ? -y[i] : -y[i] * missing / width;
    d[i] = flat ? 0 : far ? LEAST_CURVATURE / missing : 1 / width;
  }
}

typedef void terms_function(PARAMETERS);

static terms_function *terms_of(int kind)
{
  switch (kind) {
  case EPACT_LOGISTIC:
    return logistic_terms;
  case EPACT_SQUARED_HINGE:
    return squared_hinge_terms;
  case EPACT_HUBER:
    return huber_terms;
  case EPACT_SMOOTHED_HINGE:
    return smoothed_hinge_terms;
  default:
    return squared_terms;
  }
}

double epact_newton_terms(const epact_loss *loss, int64_t rows, const double *t, const double *y, double *u, double *d)
{
  terms_function *terms = terms_of(loss->kind);
  double value[BLOCK], no_u[BLOCK], no_d[BLOCK], sum = 0;
  if (loss->kind == EPACT_HINGE) return NAN;
  for (int64_t i = 0; i < rows; i += BLOCK) {
    const int64_t count = rows - i < BLOCK ? rows - i : BLOCK;
    double part[4] = { 0, 0, 0, 0 };
    terms(loss->width, count, t + i, y + i, value, u ? u + i : no_u, d ? d + i : no_d);
    for (int64_t k = 0; k < count; k++) part[k & 3] += value[k];
    sum += (part[0] + part[1]) + (part[2] + part[3]);
  }
  return sum;
}

static void sums(int64_t rows, const double *u, const double *d, double *slope, double *size, double *curvature)
{
  *slope = *size = *curvature = 0;
  for (int64_t i = 0; i < rows; i++) {
    *slope += u[i];
    *size += fabs(u[i]);
    *curvature += d[i];
  }
}

double epact_newton_centre(const epact_loss *loss, int64_t rows, double *t, const double *y, double *u, double *d,
                           double *change)
{
  double slope, size, curvature, low = -1e3, high = 1e3, at = 0;
  double sum = epact_newton_terms(loss, rows, t, y, u, d);
  for (int turn = 0; turn < 200; turn++) {
    sums(rows, u, d, &slope, &size, &curvature);
    if (fabs(slope) <= 1e-11 * size) break;
    if (slope > 0)
      high = at;
    else
      low = at;
    double next = at - slope / curvature;
    if (!(next > low && next < high)) next = (low + high) / 2;
    if (next == at) break;
    for (int64_t i = 0; i < rows; i++) t[i] += next - at;
    at = next;
    sum = epact_newton_terms(loss, rows, t, y, u, d);
  }
  *change = at;
  return sum;
}

/* a log(a), 0 at 0. */
static double entropy_term(double a)
{
  return a > 0 ? a * log(a) : 0;
}

static double conjugate(int kind, double width, double u, double y)
{
  const double a = -y * u, slack = 1e-12;
  switch (kind) {
  case EPACT_SQUARED:
    return u * u / 2 + u * y;
  case EPACT_HUBER:
    return fabs(u) <= width * (1 + slack) ? u * u / 2 + u * y : INFINITY;
  case EPACT_LOGISTIC:
    return a >= -slack && a <= 1 + slack ? entropy_term(a) + entropy_term(1 - a) : INFINITY;
  case EPACT_HINGE:
    return a >= -slack && a <= 1 + slack ? -a : INFINITY;
  case EPACT_SQUARED_HINGE:
    return a >= -slack ? a * a / 2 - a : INFINITY;
  default:
    return a >= -slack && a <= 1 + slack ? width * a * a / 2 - a : INFINITY;
  }
}

double epact_newton_conjugate(const epact_loss *loss, int64_t rows, const double *u, const double *y, double scale)
{
  double sum = 0;
  for (int64_t i = 0; i < rows; i++) sum += conjugate(loss->kind, loss->width, scale * u[i], y[i]);
  return sum;
}

double epact_newton_gap(const epact_loss *loss, int64_t rows, const double *u, const double *y, double loss_sum,
                        int64_t columns, const double *c, const double *w, double l1, double l2, double *objective)
{
  double norm1 = 0, norm2 = 0, largest = 0, excess2 = 0, gap = INFINITY;
  for (int64_t j = 0; j < columns; j++) {
    const double size = fabs(c[j]), excess = size > l1 ? size - l1 : 0;
    norm1 += fabs(w[j]);
    norm2 += w[j] * w[j];
    largest = size > largest ? size : largest;
    excess2 += excess * excess;
  }
  const double primal = loss_sum + l1 * norm1 + l2 / 2 * norm2;
  *objective = primal;
  if (l2 > 0) gap = primal + epact_newton_conjugate(loss, rows, u, y, 1) + excess2 / (2 * l2);
  if (l1 > 0) {
    const double scale = largest > l1 ? l1 / largest : 1;
    const double scaled = primal + epact_newton_conjugate(loss, rows, u, y, scale);
    gap = scaled < gap ? scaled : gap;
  }
  return gap > 0 ? gap : 0;
}
