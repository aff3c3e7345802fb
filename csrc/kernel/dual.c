/* Dual coordinate descent: see dual.h. */
#include "dual.h"

#include "../base/internal.h"
#include "rows.h"
#include "newton.h"
#include "vector_math.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* Rows that are visited in a row: what is next to each other comes from memory faster. */
enum { BLOCK = 8 };

typedef struct {
  double a, y;       /* v_i times the label's sign; the label */
  float q;           /* ||x_i||^2 / l2 */
  float flat;        /* the entry, when they are all equal */
  uint64_t left_out; /* whether it is */
} dual_row;

struct epact_dual {
  epact_rows x;
  const double *y;
  epact_loss loss;
  double l2;
  int intercept;
  epact_rng rng;
  double threshold, next;             /* how firmly a row sits at its bound to be left out; that of the next sweep */
  double proximal, multiplier, share; /* b = multiplier + share, share = 1'v / proximal */
  int64_t visited;
  uint32_t *number; /* number[j]: what column j of x is called here */
  uint32_t *place;  /* place[k]: which row of x is number k here */
  uint32_t *block;  /* order of the blocks */
  int64_t *start;
  dual_row *row;
  float *single;   /* w, by the columns' new numbers */
  double *precise; /* or this one: w in double precision */
  uint32_t *index; /* new numbers */
  float *value;    /* NULL: the entries of each row are equal */
};

static void destroy(void *object)
{
  epact_dual *dual = object;
  free(dual->number);
  free(dual->place);
  free(dual->block);
  free(dual->start);
  free(dual->row);
  free(dual->single);
  free(dual->precise);
  free(dual->index);
  free(dual->value);
}

/* number[j]: the place of column j when they are sorted by falling frequency (counting sort of the counts, cut at
 * `columns` buckets). */
static int number_columns(const epact_rows *x, uint32_t *number)
{
  const size_t columns = (size_t)x->columns;
  int64_t *count = epact_calloc(columns, sizeof *count), *bucket = epact_calloc(columns + 1, sizeof *bucket);
  const int code = count && bucket ? EPACT_OK : EPACT_E_NOMEM;
  if (!code) {
    for (int64_t e = x->start[0]; e < x->start[x->rows]; e++) count[x->index[e]]++;
    for (int64_t j = 0; j < x->columns; j++) {
      if (count[j] >= x->columns) count[j] = x->columns - 1;
      bucket[x->columns - count[j]]++;
    }
    for (int64_t k = 1; k <= x->columns; k++) bucket[k] += bucket[k - 1];
    for (int64_t j = 0; j < x->columns; j++) number[j] = (uint32_t)bucket[x->columns - count[j] - 1]++;
  }
  free(count);
  free(bucket);
  return code;
}

static int allocate(epact_dual *dual, bool flat, bool precise)
{
  const size_t rows = (size_t)dual->x.rows, entries = (size_t)epact_rows_entries(&dual->x);
  dual->number = epact_malloc((size_t)dual->x.columns * sizeof *dual->number);
  dual->place = epact_malloc(rows * sizeof *dual->place);
  dual->block = epact_malloc((rows / BLOCK + 1) * sizeof *dual->block);
  dual->start = epact_malloc((rows + 1) * sizeof *dual->start);
  dual->row = epact_malloc(rows * sizeof *dual->row);
  if (precise)
    dual->precise = epact_calloc((size_t)dual->x.columns, sizeof *dual->precise);
  else
    dual->single = epact_calloc((size_t)dual->x.columns, sizeof *dual->single);
  dual->index = epact_malloc((entries + 1) * sizeof *dual->index);
  if (!flat) dual->value = epact_malloc((entries + 1) * sizeof *dual->value);
  return dual->number && dual->place && dual->block && dual->start && dual->row && (dual->single || dual->precise) &&
                 dual->index && (flat || dual->value)
             ? EPACT_OK
             : EPACT_E_NOMEM;
}

/* Row i of x, as number k from place `to` on. */
static int take_row(epact_dual *dual, int64_t i, int64_t k, int64_t to)
{
  const epact_rows *x = &dual->x;
  const int64_t begin = x->start[i], count = x->start[i + 1] - begin;
  const double flat = count > 0 ? rows_entry(x, begin) : 0;
  double norm2 = dual->value ? 0 : flat * flat * (double)count;
  for (int64_t e = 0; e < count; e++) dual->index[to + e] = dual->number[x->index[begin + e]];
  for (int64_t e = 0; e < count && dual->value; e++) {
    dual->value[to + e] = (float)x->value[begin + e];
    norm2 += x->value[begin + e] * x->value[begin + e];
  }
  dual->start[k + 1] = to + count;
  dual->row[k] = (dual_row){ .y = dual->y[i], .q = (float)(norm2 / dual->l2), .flat = (float)flat };
  if (norm2 / dual->l2 < (double)FLT_MAX && norm2 < (double)FLT_MAX) return EPACT_OK;
  return epact_fail(EPACT_E_RANGE, "row %lld: its squared norm %g, over l2 = %g, is beyond single precision: scale it",
                    (long long)i, norm2, dual->l2);
}

/* The rows in random order, so that neighbours, which are visited together, have nothing in common. */
static int take_rows(epact_dual *dual, bool precise)
{
  const epact_rows *x = &dual->x;
  int code = allocate(dual, rows_are_flat(x), precise);
  if (!code) code = number_columns(x, dual->number);
  if (!code) {
    for (int64_t i = 0; i < x->rows; i++) dual->place[i] = (uint32_t)i;
    epact_rng_shuffle(&dual->rng, dual->place, x->rows);
    for (int64_t k = 0; k <= x->rows / BLOCK; k++) dual->block[k] = (uint32_t)k;
    dual->start[0] = 0;
  }
  for (int64_t k = 0; k < x->rows && !code; k++) {
    if (k + 16 < x->rows) {
      const int64_t near = dual->place[k + 8], begin = x->start[near], end = x->start[near + 1];
      __builtin_prefetch(x->start + dual->place[k + 16]);
      for (int64_t e = begin; e < end; e += 16) __builtin_prefetch(x->index + e);
      for (int64_t e = begin; e < (dual->value ? end : begin + 1); e += 8) __builtin_prefetch(x->value + e);
    }
    code = take_row(dual, dual->place[k], k, dual->start[k]);
  }
  return code;
}

epact_dual *epact_dual_new(const epact_rows *x, const double *y, const epact_loss *loss, double l2, int intercept,
                           int precise, uint64_t seed)
{
  if (!(l2 > 0) || !x->start || x->rows > UINT32_MAX) {
    epact_fail(EPACT_E_MISUSE, "dual coordinate descent needs sparse rows, fewer than 2^32, and l2 > 0");
    return NULL;
  }
  /* How stiff a row's subproblem is on the mean: the intercept should not make it much stiffer. */
  double stiffness = loss->kind == EPACT_HINGE ? 0 : 1;
  epact_dual *dual = epact_object_new(sizeof *dual, destroy);
  if (!dual) return NULL;
  dual->x = *x;
  dual->y = y;
  dual->loss = *loss;
  dual->l2 = l2;
  dual->intercept = intercept;
  dual->rng = epact_rng_stream(seed, 0x6475616c, 0);
  if (take_rows(dual, precise)) {
    epact_release(dual);
    return NULL;
  }
  for (int64_t k = 0; k < x->rows; k++) stiffness += (double)dual->row[k].q / (double)x->rows;
  dual->proximal = 10 / stiffness;
  epact_dual_recall(dual);
  return dual;
}

void epact_dual_recall(epact_dual *dual)
{
  for (int64_t k = 0; k < dual->x.rows; k++) dual->row[k].left_out = 0;
  dual->threshold = INFINITY;
}

/* A row's subproblem: a z - curvature z^2 / 2 over low <= z <= high has its phi*; target - m is its slope at 0. */
typedef struct {
  double curvature, low, high;
} box;

static box box_of(const epact_loss *loss)
{
  switch (loss->kind) {
  case EPACT_SQUARED:
    return (box){ 1, -INFINITY, INFINITY };
  case EPACT_HUBER:
    return (box){ 1, -loss->width, loss->width };
  case EPACT_HINGE:
    return (box){ 0, 0, 1 };
  case EPACT_SQUARED_HINGE:
    return (box){ 1, 0, INFINITY };
  default:
    return (box){ loss->width, 0, 1 };
  }
}

static inline double clip(double z, double low, double high)
{
  return z < low ? low : z > high ? high : z;
}

/* 1 / (1 + exp(m)) */
static inline double wrong_share(double m)
{
  const double e = exp_of_negative(-fabs(m));
  return (m > 0 ? e : 1) / (1 + e);
}

/* z = sigma(-(m + q (z - a))), by Newton's method in a bracket. */
static inline double logistic_root(double m, double q, double a, double share)
{
  double low = 0, high = 1, z = a, s = share;
  for (int turn = 0; turn < 40; turn++) {
    const double error = z - s, change = error / (1 + q * s * (1 - s));
    if (error > 0)
      high = z;
    else
      low = z;
    double next = z - change;
    if (!(next > low && next < high)) next = (low + high) / 2;
    const double moved = fabs(next - z);
    z = next;
    if (moved * q * q < 0.1 || moved < 1e-9) break;
    s = wrong_share(m + q * (z - a));
  }
  return z;
}

#define REAL float
#define WEIGHTS single
#define FLAT 1
#define NAME(base) base##_flat
#include "dual_sweep.h"
#define FLAT 0
#define NAME(base) base##_full
#include "dual_sweep.h"
#undef REAL
#undef WEIGHTS

#define REAL double
#define WEIGHTS precise
#define FLAT 1
#define NAME(base) base##_precise_flat
#include "dual_sweep.h"
#define FLAT 0
#define NAME(base) base##_precise_full
#include "dual_sweep.h"
#undef REAL
#undef WEIGHTS

typedef double sweep_function(epact_dual *dual, int64_t first, int64_t last);

static sweep_function *sweep_of(const epact_dual *dual)
{
  const bool flat = !dual->value;
  if (dual->loss.kind == EPACT_LOGISTIC) {
    if (dual->single) return flat ? sweep_logistic_flat : sweep_logistic_full;
    return flat ? sweep_logistic_precise_flat : sweep_logistic_precise_full;
  }
  if (dual->single) return flat ? sweep_box_flat : sweep_box_full;
  return flat ? sweep_box_precise_flat : sweep_box_precise_full;
}

double epact_dual_sweep(epact_dual *dual, int *whole)
{
  const int64_t blocks = (dual->x.rows + BLOCK - 1) / BLOCK;
  sweep_function *sweep = sweep_of(dual);
  double gap = 0;
  epact_rng_shuffle(&dual->rng, dual->block, blocks);
  dual->next = 0;
  dual->visited = 0;
  for (int64_t k = 0; k < blocks; k++) {
    const int64_t first = (int64_t)dual->block[k] * BLOCK;
    const int64_t last = first + BLOCK < dual->x.rows ? first + BLOCK : dual->x.rows;
    gap += sweep(dual, first, last);
  }
  *whole = dual->visited == dual->x.rows;
  if (dual->intercept) dual->multiplier += dual->share;
  dual->threshold = dual->next > 0 ? dual->next : INFINITY;
  if (!isfinite(gap)) return epact_fail(EPACT_E_DIVERGED, "the dual diverged: a margin is not finite");
  return gap;
}

/* v, scaled where its sum must be 0, and w = X'v / l2, in double. */
static void weights_of(const epact_dual *dual, double *v, double *w)
{
  const bool classifies = epact_loss_classifies(&dual->loss);
  double positive = 0, negative = 0;
  for (int64_t i = 0; i < dual->x.rows; i++) {
    const dual_row *row = dual->row + i;
    const double value = classifies ? row->y * row->a : row->a;
    v[dual->place[i]] = value;
    if (value > 0)
      positive += value;
    else
      negative -= value;
  }
  if (dual->intercept && positive != negative) {
    const double up = positive > negative ? negative / positive : 1,
                 down = positive > negative ? 1 : positive / negative;
    for (int64_t i = 0; i < dual->x.rows; i++) v[i] *= v[i] > 0 ? up : down;
  }
  memset(w, 0, (size_t)dual->x.columns * sizeof *w);
  epact_rows_combine(&dual->x, 1, v, w);
  for (int64_t j = 0; j < dual->x.columns; j++) w[j] /= dual->l2;
}

/* What rounding has done to the weights meanwhile is undone. */
static void refresh(epact_dual *dual, const double *w)
{
  for (int64_t j = 0; j < dual->x.columns; j++)
    if (dual->single)
      dual->single[dual->number[j]] = (float)w[j];
    else
      dual->precise[dual->number[j]] = w[j];
}

int epact_dual_certify(epact_dual *dual, double *w, double *objective, double *gap)
{
  const int64_t rows = dual->x.rows, columns = dual->x.columns;
  double *t = epact_malloc((size_t)rows * 4 * sizeof *t), *v = t + rows, *u = v + rows, *d = u + rows;
  if (!t) return EPACT_E_NOMEM;
  double norm2 = 0, sum = 0, change = 0;
  weights_of(dual, v, w);
  for (int64_t j = 0; j < columns; j++) norm2 += w[j] * w[j];
  refresh(dual, w);
  epact_rows_predict(&dual->x, w, 0, t);
  if (dual->intercept) {
    w[columns] = dual->multiplier + dual->share;
    for (int64_t i = 0; i < rows; i++) t[i] += w[columns];
    if (dual->loss.kind != EPACT_HINGE) {
      sum = epact_newton_centre(&dual->loss, rows, t, dual->y, u, d, &change);
      w[columns] += change;
    } else {
      sum = epact_loss_sum(&dual->loss, rows, t, dual->y);
    }
  } else {
    sum = dual->loss.kind == EPACT_HINGE ? epact_loss_sum(&dual->loss, rows, t, dual->y)
                                         : epact_newton_terms(&dual->loss, rows, t, dual->y, NULL, NULL);
  }
  *objective = sum + dual->l2 / 2 * norm2;
  *gap = *objective + epact_newton_conjugate(&dual->loss, rows, v, dual->y, -1) + dual->l2 / 2 * norm2;
  if (*gap < 0) *gap = 0;
  free(t);
  return EPACT_OK;
}
