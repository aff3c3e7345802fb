/* SGD on weights that other threads change at the same time, and the loss of all rows: see sgd.h. */
#include "sgd.h"

#include "../base/internal.h"
#include "loss.h"
#include "rows.h"
#include "threshold.h"

#include <string.h>

#define AHEAD 3

static inline double load(const double *from)
{
  double value;
  __atomic_load(from, &value, __ATOMIC_RELAXED);
  return value;
}

static inline void store(double *to, double value)
{
  __atomic_store(to, &value, __ATOMIC_RELAXED);
}

/* Puts `value` where *seen was; `exact`: only if it still is there, otherwise *seen is what was found. */
static inline bool replace(double *at, double *seen, double value, bool exact)
{
  if (exact) return __atomic_compare_exchange(at, seen, &value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  store(at, value);
  return true;
}

/* What one row does to one of its weights. */
typedef struct {
  double eta, slope, l1, l2, low, high;
} pull;

static inline double pulled(const pull *p, double w, double x, double share, double eta)
{
  const double z = soft_threshold(w - eta * p->slope * x, eta * p->l1 * share) / (1 + eta * p->l2 * share);
  return z < p->low ? p->low : z > p->high ? p->high : z;
}

/* A lost change is no harm to the descent (it is a smaller step); `exact` makes sure that there is none. */
static inline void change(double *weight, double *squares, const pull *p, double x, double share, bool exact)
{
  double eta = p->eta;
  if (squares) {
    const double square = p->slope * x * (p->slope * x);
    double sum = load(squares), raised = sum + square;
    while (!replace(squares, &sum, raised, exact)) raised = sum + square;
    eta /= sqrt(1 + raised);
  }
  double w = load(weight), moved = pulled(p, w, x, share, eta);
  while (!replace(weight, &w, moved, exact)) moved = pulled(p, w, x, share, eta);
}

static inline double shared_dot(const row_view *row, const double *weight)
{
  double even = 0, odd = 0;
  int64_t k = 0;
  for (; k + 2 <= row->count; k += 2) {
    even += row->value[k] * load(weight + (row->index ? (int64_t)row->index[k] : k));
    odd += row->value[k + 1] * load(weight + (row->index ? (int64_t)row->index[k + 1] : k + 1));
  }
  if (k < row->count) even += row->value[k] * load(weight + (row->index ? (int64_t)row->index[k] : k));
  return even + odd;
}

/* The common case: no l1, no bounds. */
static inline void change_plainly(const row_view *row, const pull *p, const double *share, double *weight)
{
  const double a = p->eta * p->slope, shrink = p->eta * p->l2;
  for (int64_t k = 0; k < row->count; k++) {
    const int64_t j = row->index ? (int64_t)row->index[k] : k;
    store(weight + j, (load(weight + j) - a * row->value[k]) / (1 + shrink * share[j]));
  }
}

int epact_sgd_shared(const epact_rows *x, const double *label, const uint32_t *order, int64_t first, int64_t end,
                     const epact_sgd_rule *rule, const double *share, double *weight, double *squares, int exact,
                     int64_t *updates)
{
  int code = epact_sgd_check(rule);
  if (code) return code;
  const bool bounded = rule->low > -INFINITY || rule->high < INFINITY;
  for (int64_t position = first; position < end; position++) {
    const int64_t i = order ? (int64_t)order[position] : position;
    if (i >= x->rows || i < 0) {
      return epact_fail(EPACT_E_MISUSE, "position %lld names row %lld of %lld rows", (long long)position, (long long)i,
                        (long long)x->rows);
    }
    if (order && position + AHEAD < end && order[position + AHEAD] < x->rows) row_prefetch(x, order[position + AHEAD]);
    const row_view row = row_of(x, i);
    const double age = 1 + rule->decay * (double)(*updates)++;
    const double eta = rule->decay == 0 || rule->power == 0 ? rule->step : rule->step / pow(age, rule->power);
    const double t = shared_dot(&row, weight) + load(weight + x->columns);
    if (EPACT_UNLIKELY(!(fabs(t) < INFINITY))) {
      return epact_fail(EPACT_E_DIVERGED, "the weights diverged: the prediction of row %lld is not finite",
                        (long long)i);
    }
    const pull p = { eta,       loss_derivative(rule->loss.kind, rule->loss.width, t, label[i]),
                     rule->l1,  rule->l2,
                     rule->low, rule->high };
    if (p.slope == 0 && p.l1 == 0 && p.l2 == 0) continue;
    if (!squares && !exact && !bounded && p.l1 == 0) {
      change_plainly(&row, &p, share, weight);
    } else {
      for (int64_t k = 0; k < row.count; k++) {
        const int64_t j = row.index ? (int64_t)row.index[k] : k;
        change(weight + j, squares ? squares + j : NULL, &p, row.value[k], share[j], exact);
      }
    }
    const pull free_pull = { eta, p.slope, 0, 0, -INFINITY, INFINITY };
    if (rule->intercept) change(weight + x->columns, squares ? squares + x->columns : NULL, &free_pull, 1, 0, exact);
  }
  return EPACT_OK;
}

void epact_sgd_shares(const epact_rows *x, double *share)
{
  memset(share, 0, (size_t)x->columns * sizeof *share);
  for (int64_t i = 0; i < x->rows; i++) {
    const row_view row = row_of(x, i);
    for (int64_t k = 0; k < row.count; k++) share[row.index ? (int64_t)row.index[k] : k]++;
  }
  for (int64_t j = 0; j < x->columns; j++) {
    if (share[j] > 0) share[j] = (double)x->rows / share[j];
  }
}

double epact_loss_slopes(const epact_loss *loss, int64_t count, const double *t, const double *y, double *slope)
{
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += slope[i] = loss_derivative(loss->kind, loss->width, t[i], y[i]);
  return sum;
}

double epact_rows_loss(const epact_rows *x, const double *label, const epact_loss *loss, const double *w, double bias)
{
  double sum = 0;
  for (int64_t i = 0; i < x->rows; i++) {
    const row_view row = row_of(x, i);
    sum += loss_value(loss->kind, loss->width, row_dot(&row, w) + bias, label[i]);
  }
  return sum;
}
