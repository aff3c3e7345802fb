/* SGD with lazily paid penalties, and SVRG: see sgd.h for the equations. */
#include "sgd.h"

#include "../base/internal.h"
#include "loss.h"
#include "rows.h"
#include "threshold.h"

#include <string.h>

#define SMALLEST_SCALE 1e-6   /* below, the direction would lose digits to its own growth */
#define LARGEST_THRESHOLD 1e9 /* above, what a coordinate has left to pay would lose them */
#define AHEAD 3               /* rows that are asked for before they are needed */

int epact_sgd_check(const epact_sgd_rule *r)
{
  int code = epact_loss_check(&r->loss);
  if (code) return code;
  if (!(r->step > 0 && r->step < INFINITY))
    return epact_fail(EPACT_E_MISUSE, "the step must be positive, got %g", r->step);
  if (!(r->decay >= 0 && r->power >= 0 && r->decay < INFINITY && r->power < INFINITY)) {
    return epact_fail(EPACT_E_MISUSE, "decay and power must not be negative, got %g and %g", r->decay, r->power);
  }
  if (!(r->l1 >= 0 && r->l2 >= 0 && r->l1 < INFINITY && r->l2 < INFINITY)) {
    return epact_fail(EPACT_E_MISUSE, "l1 and l2 must not be negative, got %g and %g", r->l1, r->l2);
  }
  if (!(r->low <= r->high)) return epact_fail(EPACT_E_MISUSE, "no weight is within %g .. %g", r->low, r->high);
  if ((r->low > 0 || r->high < 0) && (r->l1 > 0 || r->l2 > 0)) {
    return epact_fail(EPACT_E_MISUSE, "penalties pull weights to 0, which is not within %g .. %g", r->low, r->high);
  }
  if (r->batch < 1 || r->batch > EPACT_LARGEST_BATCH) {
    return epact_fail(EPACT_E_MISUSE, "a batch has 1 to %d rows, got %d", EPACT_LARGEST_BATCH, r->batch);
  }
  return EPACT_OK;
}

static int check_range(const epact_rows *x, const uint32_t *order, int64_t first, int64_t end)
{
  if (first < 0 || end < first || (!order && end > x->rows)) {
    return epact_fail(EPACT_E_MISUSE, "positions %lld to %lld are not a range of %lld rows", (long long)first,
                      (long long)end, (long long)x->rows);
  }
  for (int64_t p = first; order && p < end; p++) {
    if (order[p] < x->rows) continue;
    return epact_fail(EPACT_E_MISUSE, "position %lld of the order names row %u of %lld rows", (long long)p, order[p],
                      (long long)x->rows);
  }
  return EPACT_OK;
}

__attribute__((cold, noinline)) static int fail_diverged(int64_t row)
{
  return epact_fail(EPACT_E_DIVERGED, "the weights diverged: the prediction of row %lld is not finite", (long long)row);
}

static inline double step_at(const epact_sgd_rule *r, int64_t t)
{
  const double age = 1 + r->decay * (double)t;
  if (r->power == 0 || r->decay == 0) return r->step;
  return r->power == 1 ? r->step / age : r->power == 0.5 ? r->step / sqrt(age) : r->step / pow(age, r->power);
}

static inline bool is_bounded(const epact_sgd_rule *r)
{
  return r->low > -INFINITY || r->high < INFINITY;
}

/* What of v is left after the threshold that it has not paid yet: S(v, due) without a branch. */
static inline double paid(double v, double due)
{
  const double left = fabs(v) - due;
  return copysign(left > 0 ? left : 0, v);
}

static void fold(epact_sgd_state *s, int64_t columns)
{
  for (int64_t j = 0; j < columns; j++) {
    const double v = s->settled ? paid(s->direction[j], s->threshold - s->settled[j]) : s->direction[j];
    if (s->lag) s->lag[j] -= s->mass * v; /* minus the sum so far: goes on from a mass of 0 */
    if (s->settled) s->settled[j] = 0;
    s->direction[j] = s->scale * v;
  }
  s->scale = 1;
  s->threshold = s->mass = 0;
}

void epact_sgd_settle(const epact_sgd_rule *rule, epact_sgd_state *state, int64_t columns)
{
  fold(state, columns);
  if (!is_bounded(rule)) return;
  for (int64_t j = 0; j < columns; j++) { /* but for rounding they keep to the bounds already */
    const double w = state->direction[j];
    state->direction[j] = w < rule->low ? rule->low : w > rule->high ? rule->high : w;
  }
}

void epact_sgd_take_sum(epact_sgd_state *state, int64_t columns, double *sum)
{
  fold(state, columns);
  for (int64_t j = 0; state->lag && j < columns; j++) {
    sum[j] -= state->lag[j];
    state->lag[j] = 0;
  }
}

/* The coordinates of a row pay what is due, before they are read. */
static void settle_row(const row_view *row, epact_sgd_state *s)
{
  for (int64_t k = 0; k < row->count; k++) {
    const int64_t j = row->index ? (int64_t)row->index[k] : k;
    s->direction[j] = paid(s->direction[j], s->threshold - s->settled[j]);
    s->settled[j] = s->threshold;
  }
}

/* direction += a x_i, with what the sum of the iterates wants to know. */
static void move_row(const row_view *row, double a, epact_sgd_state *s)
{
  row_axpy(row, a, s->direction);
  for (int64_t k = 0; s->lag && k < row->count; k++) {
    s->lag[row->index ? (int64_t)row->index[k] : k] += s->mass * a * row->value[k];
  }
}

/* The coordinates of a row back within their bounds: as far from 0 as the penalties of this update bring them back. */
static void cut_row(const row_view *row, double eta, const epact_sgd_rule *r, epact_sgd_state *s)
{
  const double shrink = 1 + eta * r->l2, threshold = eta * r->l1;
  const double low = (r->low * shrink - threshold) / s->scale, high = (r->high * shrink + threshold) / s->scale;
  for (int64_t k = 0; k < row->count; k++) {
    const int64_t j = row->index ? (int64_t)row->index[k] : k;
    const double v = s->direction[j], cut = v < low ? low : v > high ? high : v;
    if (s->lag) s->lag[j] += s->mass * (cut - v);
    s->direction[j] = cut;
  }
}

/* The updates with a loss and a manner known to the compiler. `plain`: no l1, no bounds, no sum of iterates. */
static inline __attribute__((always_inline)) int descend(const int kind, const bool plain, const epact_rows *x,
                                                         const double *label, const uint32_t *order, int64_t first,
                                                         int64_t end, const epact_sgd_rule *r, epact_sgd_state *s)
{
  double slope[EPACT_LARGEST_BATCH];
  const double width = r->loss.width;
  const bool lazy = r->l1 > 0, bounded = is_bounded(r);
  for (int64_t position = first; position < end; position += r->batch) {
    const int64_t rows = end - position < r->batch ? end - position : r->batch;
    const double eta = step_at(r, s->updates++) / (double)rows;
    double sum = 0;
    for (int64_t k = 0; k < rows; k++) {
      const int64_t i = order ? (int64_t)order[position + k] : position + k;
      if (order && position + k + AHEAD < end) row_prefetch(x, order[position + k + AHEAD]);
      const row_view row = row_of(x, i);
      if (!plain && lazy) settle_row(&row, s);
      const double t = s->scale * row_dot(&row, s->direction) + s->bias;
      if (EPACT_UNLIKELY(!(fabs(t) < INFINITY))) return fail_diverged(i);
      if (r->watched) s->loss += loss_value(kind, width, t, label[i]);
      slope[k] = loss_derivative(kind, width, t, label[i]);
      sum += slope[k];
    }
    for (int64_t k = 0; k < rows; k++) {
      if (slope[k] == 0) continue;
      const row_view row = row_of(x, order ? (int64_t)order[position + k] : position + k);
      if (plain)
        row_axpy(&row, -eta * slope[k] / s->scale, s->direction);
      else
        move_row(&row, -eta * slope[k] / s->scale, s);
    }
    for (int64_t k = 0; !plain && bounded && k < rows; k++) {
      const row_view row = row_of(x, order ? (int64_t)order[position + k] : position + k);
      cut_row(&row, eta * (double)rows, r, s);
    }
    if (r->intercept) s->bias -= eta * sum;
    if (!plain) s->threshold += eta * (double)rows * r->l1 / s->scale;
    s->scale /= 1 + eta * (double)rows * r->l2;
    if (!plain) s->mass += s->scale;
    s->bias_sum += s->bias;
    if (EPACT_UNLIKELY(s->scale < SMALLEST_SCALE || s->threshold > LARGEST_THRESHOLD)) fold(s, x->columns);
  }
  return EPACT_OK;
}

#define DESCEND(name, kind)                                                                                            \
  static int plain_##name(const epact_rows *x, const double *label, const uint32_t *order, int64_t first, int64_t end, \
                          const epact_sgd_rule *r, epact_sgd_state *s)                                                 \
  {                                                                                                                    \
    return descend(kind, true, x, label, order, first, end, r, s);                                                     \
  }                                                                                                                    \
  static int full_##name(const epact_rows *x, const double *label, const uint32_t *order, int64_t first, int64_t end,  \
                         const epact_sgd_rule *r, epact_sgd_state *s)                                                  \
  {                                                                                                                    \
    return descend(kind, false, x, label, order, first, end, r, s);                                                    \
  }
DESCEND(squared, EPACT_SQUARED)
DESCEND(huber, EPACT_HUBER)
DESCEND(logistic, EPACT_LOGISTIC)
DESCEND(hinge, EPACT_HINGE)
DESCEND(squared_hinge, EPACT_SQUARED_HINGE)
DESCEND(smoothed_hinge, EPACT_SMOOTHED_HINGE)

typedef int descend_function(const epact_rows *x, const double *label, const uint32_t *order, int64_t first,
                             int64_t end, const epact_sgd_rule *r, epact_sgd_state *s);

int epact_sgd(const epact_rows *x, const double *label, const uint32_t *order, int64_t first, int64_t end,
              const epact_sgd_rule *rule, epact_sgd_state *state)
{
  static descend_function *const functions[EPACT_LOSSES][2] = {
    { full_squared, plain_squared },
    { full_huber, plain_huber },
    { full_logistic, plain_logistic },
    { full_hinge, plain_hinge },
    { full_squared_hinge, plain_squared_hinge },
    { full_smoothed_hinge, plain_smoothed_hinge },
  };
  int code = epact_sgd_check(rule);
  if (!code) code = check_range(x, order, first, end);
  if (code) return code;
  if (rule->l1 > 0 && (!state->settled || state->lag)) {
    return epact_fail(EPACT_E_MISUSE, state->lag ? "the sum of iterates with an l1 penalty is not known lazily"
                                                 : "an l1 penalty needs the array `settled`");
  }
  const bool plain = rule->l1 == 0 && !is_bounded(rule) && !state->lag;
  return functions[rule->loss.kind][plain](x, label, order, first, end, rule, state);
}

int epact_svrg(const epact_rows *x, const double *label, const uint32_t *order, int64_t first, int64_t end,
               const epact_sgd_rule *rule, const double *slope, const double *along, double bias_gradient,
               double *drift, epact_sgd_state *state)
{
  int code = epact_sgd_check(rule);
  if (!code) code = check_range(x, order, first, end);
  if (code) return code;
  if (rule->l1 > 0 || is_bounded(rule) || state->lag) {
    return epact_fail(EPACT_E_MISUSE, "SVRG takes l2 penalties only, no l1, no bounds, no sum of iterates");
  }
  for (int64_t position = first; position < end; position++) {
    const int64_t i = order ? (int64_t)order[position] : position;
    if (order && position + AHEAD < end) row_prefetch(x, order[position + AHEAD]);
    const row_view row = row_of(x, i);
    const double eta = step_at(rule, state->updates++);
    const double t = state->scale * row_dot(&row, state->direction) + *drift * along[i] + state->bias;
    if (EPACT_UNLIKELY(!(fabs(t) < INFINITY))) return fail_diverged(i);
    const double change = loss_derivative(rule->loss.kind, rule->loss.width, t, label[i]) - slope[i];
    if (change != 0) row_axpy(&row, -eta * change / state->scale, state->direction);
    const double shrink = 1 / (1 + eta * rule->l2);
    state->scale *= shrink;
    *drift = (*drift - eta) * shrink;
    if (rule->intercept) state->bias -= eta * (change + bias_gradient);
    if (EPACT_UNLIKELY(state->scale < SMALLEST_SCALE)) fold(state, x->columns);
  }
  return EPACT_OK;
}
