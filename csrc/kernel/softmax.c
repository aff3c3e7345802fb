/* Softmax regression: see softmax.h for the model. */
#include "softmax.h"

#include "../base/internal.h"
#include "rows.h"

#include <math.h>
#include <string.h>

#define BLOCK 16 /* dense rows whose residuals are kept while all are read: few, so that the rows stay in the cache */

#define LANES 2
#define NAME(base) base##_narrow
#define TARGET
#include "softmax_rows.h"

#ifdef __x86_64__
#define LANES 4
#define NAME(base) base##_wide
#define TARGET __attribute__((target("avx2")))
#include "softmax_rows.h"
#endif

typedef struct {
  void (*scores)(const row_view *x, const double *weights, int64_t stride, double *out);
  void (*update)(const row_view *x, double a, const double *residual, double *weights, int64_t stride);
  void (*four_scores)(const double *const *x, int64_t columns, const double *weights, int64_t stride, double *out);
  void (*four_update)(const double *const *x, int64_t columns, double a, const double *residual, double *weights,
                      int64_t stride);
  void (*exponentials)(int64_t stride, double largest, double *score);
} loops;

static const loops *fastest(void)
{
  static const loops narrow = { scores_narrow, update_narrow, four_scores_narrow, four_update_narrow,
                                exponentials_narrow };
#ifdef __x86_64__
  static const loops wide = { scores_wide, update_wide, four_scores_wide, four_update_wide, exponentials_wide };
  if (__builtin_cpu_supports("avx2")) return &wide;
#endif
  return &narrow;
}

int64_t epact_softmax_stride(int32_t classes)
{
  return ((int64_t)classes + 3) / 4 * 4;
}

static bool is_dense(const epact_softmax_data *x)
{
  return x->rows.start == NULL;
}

int epact_softmax_check(const epact_softmax_data *x)
{
  const int code = epact_rows_check(&x->rows, NULL);
  if (code) return code;
  if (x->classes < 2) return epact_fail(EPACT_E_MISUSE, "there must be two classes or more, not %d", x->classes);
  for (int64_t i = 0; x->label && i < x->rows.rows; i++)
    if (x->label[i] < 0 || x->label[i] >= x->classes)
      return epact_fail(EPACT_E_MISUSE, "row %lld: class %d is not below %d", (long long)i, x->label[i], x->classes);
  return EPACT_OK;
}

int64_t epact_softmax_scratch(const epact_softmax_data *x, int64_t batch)
{
  const int64_t stride = epact_softmax_stride(x->classes);
  return (batch > BLOCK ? batch : BLOCK) * stride;
}

/* The scores, `classes` of `stride` places, become probabilities, and 0 in the spare places. Returns log sum exp of the
 * scores. */
static double softmax(const loops *do_, int32_t classes, int64_t stride, double *score)
{
  double largest = score[0], sum = 0;
  for (int32_t c = 1; c < classes; c++)
    if (score[c] > largest) largest = score[c];
  do_->exponentials(stride, largest, score);
  for (int32_t c = 0; c < classes; c++) sum += score[c];
  const double inverse = 1 / sum;
  for (int32_t c = 0; c < classes; c++) score[c] *= inverse;
  for (int64_t c = classes; c < stride; c++) score[c] = 0;
  return largest + log(sum);
}

/* The scores scale * W'x + b become the residual of a row of class `label`; returns its loss. */
static double residual_of(const loops *do_, const epact_softmax_data *x, int64_t stride, int32_t label, double scale,
                          const double *intercept, double *score)
{
  if (scale != 1)
    for (int32_t c = 0; c < x->classes; c++) score[c] *= scale;
  if (intercept)
    for (int32_t c = 0; c < x->classes; c++) score[c] += intercept[c];
  const double own = score[label], loss = softmax(do_, x->classes, stride, score) - own;
  score[label] -= 1;
  return loss;
}

static void add(int64_t n, double a, const double *x, double *y)
{
  for (int64_t c = 0; c < n; c++) y[c] += a * x[c];
}

static int check_range(const epact_softmax_data *x, int64_t first, int64_t end)
{
  if (first < 0 || end < first || end > x->rows.rows)
    return epact_fail(EPACT_E_MISUSE, "positions %lld to %lld are not a range of %lld rows", (long long)first,
                      (long long)end, (long long)x->rows.rows);
  return EPACT_OK;
}

static int check_order(const epact_softmax_data *x, const uint32_t *order, int64_t first, int64_t end)
{
  for (int64_t t = first; order && t < end; t++)
    if (order[t] >= x->rows.rows)
      return epact_fail(EPACT_E_MISUSE, "position %lld of the order names row %u of %lld rows", (long long)t, order[t],
                        (long long)x->rows.rows);
  return EPACT_OK;
}

/* Rows at positions first .. first + count - 1 of an order (NULL: the rows themselves). */
typedef struct {
  const uint32_t *order;
  int64_t first, count;
} batch;

static int64_t row_at(const batch *rows, int64_t t)
{
  return rows->order ? (int64_t)rows->order[rows->first + t] : rows->first + t;
}

/* The rows that go in fours: all dense ones but the last few. */
static int64_t in_fours(const epact_softmax_data *x, const batch *rows)
{
  return is_dense(x) ? rows->count / FOUR * FOUR : 0;
}

static void point_to_four(const epact_softmax_data *x, const batch *rows, int64_t t, const double **four)
{
  for (int64_t r = 0; r < FOUR; r++) four[r] = x->rows.value + row_at(rows, t + r) * x->rows.columns;
}

/* out (count x stride) = X W. */
static void multiply(const loops *do_, const epact_softmax_data *x, const batch *rows, const double *weights,
                     int64_t stride, double *out)
{
  const int64_t columns = x->rows.columns;
  const double *four[FOUR];
  int64_t t = 0;
  for (; t < in_fours(x, rows); t += FOUR) {
    point_to_four(x, rows, t, four);
    do_->four_scores(four, columns, weights, stride, out + t * stride);
  }
  for (; t < rows->count; t++) {
    const row_view row = row_of(&x->rows, row_at(rows, t));
    do_->scores(&row, weights, stride, out + t * stride);
  }
}

/* W += a X'R. */
static void multiply_back(const loops *do_, const epact_softmax_data *x, const batch *rows, double a,
                          const double *residual, int64_t stride, double *weights)
{
  const int64_t columns = x->rows.columns;
  const double *four[FOUR];
  int64_t t = 0;
  for (; t < in_fours(x, rows); t += FOUR) {
    point_to_four(x, rows, t, four);
    do_->four_update(four, columns, a, residual + t * stride, weights, stride);
  }
  for (; t < rows->count; t++) {
    const row_view row = row_of(&x->rows, row_at(rows, t));
    do_->update(&row, a, residual + t * stride, weights, stride);
  }
}

/* One batch of sgd. All residuals first, then all updates. */
static double step(const loops *do_, const epact_softmax_data *x, const batch *rows,
                   const epact_softmax_options *options, epact_softmax_weights *w, double *scratch)
{
  const int64_t stride = epact_softmax_stride(x->classes);
  const double pull = -options->step / (double)rows->count;
  double *const residual = scratch, loss = 0;
  multiply(do_, x, rows, w->direction, stride, residual);
  for (int64_t t = 0; t < rows->count; t++)
    loss += residual_of(do_, x, stride, x->label[row_at(rows, t)], w->scale, w->intercept, residual + t * stride);
  multiply_back(do_, x, rows, pull / w->scale, residual, stride, w->direction);
  for (int64_t t = 0; w->intercept && t < rows->count; t++) add(x->classes, pull, residual + t * stride, w->intercept);
  w->scale /= 1 + options->step * options->l2;
  return loss;
}

int epact_softmax_sgd(const epact_softmax_data *x, const uint32_t *order, int64_t first, int64_t end,
                      const epact_softmax_options *options, epact_softmax_weights *w, double *scratch, double *loss)
{
  const loops *const do_ = fastest();
  double sum = 0;
  int code = check_range(x, first, end);
  if (!code) code = check_order(x, order, first, end);
  if (code) return code;
  if (!(options->step > 0) || !(options->l2 >= 0) || options->batch < 1)
    return epact_fail(EPACT_E_MISUSE, "step and batch must be positive, l2 not negative");
  for (int64_t at = first; at < end; at += options->batch) {
    const batch rows = { order, at, end - at < options->batch ? end - at : options->batch };
    const double losses = step(do_, x, &rows, options, w, scratch);
    if (EPACT_UNLIKELY(!isfinite(losses)))
      return epact_fail(EPACT_E_DIVERGED, "the weights diverged: a score is not finite (take a smaller step than %g)",
                        options->step);
    sum += losses;
  }
  if (loss) *loss = sum;
  return EPACT_OK;
}

int epact_softmax_gradient(const epact_softmax_data *x, int64_t first, int64_t end, const double *weights,
                           const double *intercept, double *gradient, double *intercept_gradient, double *scratch,
                           double *loss)
{
  const loops *const do_ = fastest();
  const int64_t stride = epact_softmax_stride(x->classes), most = is_dense(x) ? BLOCK : 1;
  const int code = check_range(x, first, end);
  if (code) return code;
  for (int64_t at = first; at < end; at += most) {
    const batch rows = { NULL, at, end - at < most ? end - at : most };
    multiply(do_, x, &rows, weights, stride, scratch);
    for (int64_t t = 0; t < rows.count; t++) {
      *loss += residual_of(do_, x, stride, x->label[at + t], 1, intercept, scratch + t * stride);
      if (intercept_gradient) add(x->classes, 1, scratch + t * stride, intercept_gradient);
    }
    if (gradient) multiply_back(do_, x, &rows, 1, scratch, stride, gradient);
  }
  return EPACT_OK;
}

int epact_softmax_probabilities(const epact_softmax_data *x, int64_t first, int64_t end, const double *weights,
                                const double *intercept, double *scratch, double *out)
{
  const loops *const do_ = fastest();
  const int64_t stride = epact_softmax_stride(x->classes);
  const int code = check_range(x, first, end);
  if (code) return code;
  for (int64_t i = first; i < end; i++) {
    const row_view row = row_of(&x->rows, i);
    do_->scores(&row, weights, stride, scratch);
    if (intercept) add(x->classes, 1, intercept, scratch);
    softmax(do_, x->classes, stride, scratch);
    memcpy(out + (i - first) * x->classes, scratch, (size_t)x->classes * sizeof *out);
  }
  return EPACT_OK;
}

int64_t epact_softmax_touched(const epact_softmax_data *x, const uint32_t *order, int64_t first, int64_t end,
                              int32_t shift, uint32_t mark, uint32_t *seen, uint32_t *list)
{
  int64_t count = 0;
  if (is_dense(x)) {
    for (int64_t block = 0; block << shift < x->rows.columns; block++) list[count++] = (uint32_t)block;
    return count;
  }
  for (int64_t t = first; t < end; t++) {
    const row_view row = row_of(&x->rows, order ? order[t] : t);
    for (int64_t e = 0; e < row.count; e++) {
      const uint32_t block = row.index[e] >> shift;
      if (seen[block] == mark) continue;
      seen[block] = mark;
      list[count++] = block;
    }
  }
  return count;
}
