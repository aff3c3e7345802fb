/* Steps to the minimum of a quadratic model: see newton.h. The terms it is made of are in newton_terms.c. */
#include "newton.h"

#include "../base/internal.h"
#include "cholesky.h"
#include "threshold.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The model while coordinate descent minimises it. */
typedef struct {
  int64_t p, penalised;
  const double *h, *w;
  double l1;
  double *step, *slope; /* slope = gradient + H step */
  int64_t *support;
  double *part, *pivot, *direction, *straight, *bend; /* of the support: scratch */
} model;

static double threshold_of(const model *m, int64_t j)
{
  return j < m->penalised ? m->l1 : 0;
}

static void move(model *m, int64_t j, double change)
{
  m->step[j] += change;
  cblas_daxpy((int)m->p, change, m->h + j * m->p, 1, m->slope, 1);
}

/* One coordinate put at its minimum; by how much that lowers the model. */
static double descend(model *m, int64_t j)
{
  const double curvature = m->h[j * m->p + j], old = m->w[j] + m->step[j], threshold = threshold_of(m, j);
  if (!(curvature > 0)) {
    if (threshold > fabs(m->slope[j])) m->step[j] = -m->w[j]; /* a column of zeros: only the penalty is left */
    return 0;
  }
  const double change = soft_threshold(old - m->slope[j] / curvature, threshold / curvature) - old;
  if (change == 0) return 0;
  move(m, j, old + change == 0 ? -old : change);
  return curvature * change * change / 2;
}

static int64_t find_support(model *m)
{
  int64_t count = 0;
  for (int64_t j = 0; j < m->p; j++)
    if (j >= m->penalised || m->w[j] + m->step[j] != 0) m->support[count++] = j;
  return count;
}

/* Where the minimum of the parabola that the model is on the support with its signs lies, from here. A little is
 * added to the diagonal: columns that depend on each other are then told apart by the penalty, as they should be. */
static void aim_on_support(model *m, int64_t count)
{
  for (int64_t a = 0; a < count; a++) {
    const int64_t j = m->support[a];
    const double sign = m->w[j] + m->step[j] > 0 ? 1 : -1, diagonal = m->h[j * m->p + j];
    for (int64_t b = 0; b < a; b++) m->part[a * count + b] = m->h[j * m->p + m->support[b]];
    m->part[a * count + a] = diagonal * (1 + 1e-9);
    m->direction[a] = -m->slope[j] - threshold_of(m, j) * sign;
    m->pivot[a] = diagonal;
  }
  cholesky_factor(count, 0, m->part, m->pivot);
  cholesky_solve(count, m->part, m->direction);
}

/* By how much the model falls by direction, where coefficients that would change their sign become 0 instead; that
 * direction is left, and H times it in `bend`. */
static double fall_of_clipped(model *m, int64_t count)
{
  double change = 0;
  memset(m->bend, 0, (size_t)m->p * sizeof *m->bend);
  for (int64_t a = 0; a < count; a++) {
    const int64_t j = m->support[a];
    const double now = m->w[j] + m->step[j];
    if (j < m->penalised && now * (now + m->direction[a]) < 0) m->direction[a] = -now;
    change += threshold_of(m, j) * (fabs(now + m->direction[a]) - fabs(now));
    cblas_daxpy((int)m->p, m->direction[a], m->h + j * m->p, 1, m->bend, 1);
  }
  for (int64_t a = 0; a < count; a++)
    change += m->direction[a] * (m->slope[m->support[a]] + m->bend[m->support[a]] / 2);
  return -change;
}

/* Goes to the minimum on the support, or else to the first coefficient that becomes 0 on the way. Returns whether one
 * became 0. */
static int jump(model *m, int64_t count)
{
  double reach = 1;
  int64_t first = -1;
  aim_on_support(m, count);
  memcpy(m->straight, m->direction, (size_t)count * sizeof *m->direction);
  for (int64_t a = 0; a < count; a++) {
    const int64_t j = m->support[a];
    const double limit = -(m->w[j] + m->step[j]) / m->direction[a];
    if (j < m->penalised && limit > 0 && limit < reach) {
      reach = limit;
      first = a;
    }
  }
  if (fall_of_clipped(m, count) > 0) {
    for (int64_t a = 0; a < count; a++) m->step[m->support[a]] += m->direction[a];
    cblas_daxpy((int)m->p, 1, m->bend, 1, m->slope, 1);
    for (int64_t a = 0; a < count; a++)
      if (m->direction[a] != m->straight[a]) m->step[m->support[a]] = -m->w[m->support[a]];
  } else {
    for (int64_t a = 0; a < count; a++) {
      const int64_t j = m->support[a];
      move(m, j, a == first ? -(m->w[j] + m->step[j]) : reach * m->straight[a]);
      if (a == first) m->step[j] = -m->w[j];
    }
  }
  return first >= 0;
}

/* Sweeps over everything, then over the support while that pays, then jumps until no coefficient becomes 0. */
static int64_t sweep_model(model *m, double enough)
{
  int64_t sweeps = 0;
  for (int64_t round = 0; round < 200; round++) {
    double fall = 0;
    for (int64_t j = 0; j < m->p; j++) fall += descend(m, j);
    sweeps++;
    if (!(fall > enough)) break;
    int64_t count = find_support(m);
    const int64_t patience = 3 + count * count / (24 * m->p);
    for (int64_t pass = 0; pass < patience && fall > enough / 4; pass++, sweeps++) {
      fall = 0;
      for (int64_t a = 0; a < count; a++) fall += descend(m, m->support[a]);
    }
    if (!(fall > enough / 4)) continue;
    count = find_support(m);
    for (int64_t left = count; left > 0 && jump(m, count); left--, sweeps++) count = find_support(m);
  }
  return sweeps;
}

static int64_t minimise_with_l1(model *m, double *h, const double *gradient, double enough)
{
  const size_t p = (size_t)m->p;
  double *memory = epact_malloc((p * p + 5 * p) * sizeof *memory + p * sizeof *m->support);
  if (!memory) return EPACT_E_NOMEM;
  m->slope = memory;
  m->direction = memory + p;
  m->straight = memory + 2 * p;
  m->pivot = memory + 3 * p;
  m->bend = memory + 4 * p;
  m->part = memory + 5 * p;
  m->support = (int64_t *)(void *)(memory + 5 * p + p * p);
  for (int64_t a = 0; a < m->p; a++)
    for (int64_t b = 0; b < a; b++) h[b * m->p + a] = h[a * m->p + b];
  memcpy(m->slope, gradient, p * sizeof *gradient);
  memset(m->step, 0, p * sizeof *m->step);
  const int64_t sweeps = sweep_model(m, enough);
  free(memory);
  return sweeps;
}

int64_t epact_newton_step(int64_t p, int64_t penalised, double *h, const double *gradient, const double *w, double l1,
                          double enough, double *step)
{
  int64_t sweeps = 0;
  for (int64_t j = 0; j < p; j++)
    if (!isfinite(h[j * p + j]))
      return epact_fail(EPACT_E_RANGE, "the curvature of column %lld is beyond double precision: scale it",
                        (long long)j);
  if (l1 > 0) {
    model m = { .p = p, .penalised = penalised, .h = h, .w = w, .l1 = l1, .step = step };
    sweeps = minimise_with_l1(&m, h, gradient, enough);
    if (sweeps < 0) return sweeps;
  } else {
    double *diagonal = epact_malloc((size_t)p * sizeof *diagonal);
    if (!diagonal) return EPACT_E_NOMEM;
    for (int64_t j = 0; j < p; j++) {
      diagonal[j] = h[j * p + j];
      step[j] = -gradient[j];
    }
    cholesky_factor(p, 0, h, diagonal);
    cholesky_solve(p, h, step);
    free(diagonal);
  }
  for (int64_t j = 0; j < p; j++)
    if (!isfinite(step[j])) return epact_fail(EPACT_E_DIVERGED, "the step of column %lld is not finite", (long long)j);
  return sweeps;
}
