/* Codes of signals: see sparse_coding.h for the equations. */
#include "sparse_coding.h"

#include "../base/internal.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIGNALS_AT_A_TIME 64 /* whose correlations with all atoms are one matrix product */
#define SWEEPS 50            /* over the active atoms, between two looks at all of them */
#define DEPENDENT 1e-4F      /* part of an atom that is not in the span of others, squared */
#define EVERY 2              /* sweeps there is an attempt at the exact solution */
#define REFINE 12            /* looks, after which rounding may be why it is not over yet */
#define STILL 1e-6F          /* changes, in units of the largest correlation, that are none */
#define BAR 0.8F             /* part of the largest correlation an atom needs to become active */
#define INLINED static inline __attribute__((always_inline))

/* One signal while it is encoded. `count` atoms are active: those in `active`, for which is_active is 1. */
typedef struct {
  const epact_dictionary *dictionary;
  float *signals, *correlations; /* of a block of signals */
  float *q, *residual;
  double *precise;
  float *near; /* room for (2 atoms + 4) rows of `stride` */
  int32_t *active, *used;
  uint8_t *is_active;
  int64_t count, changes;
  float l1;
} encoder;

/* These small loops are inlined into one function that is compiled for several processors. */
#define INLINED static inline __attribute__((always_inline))

INLINED void subtract(int64_t n, float a, const float *restrict x, float *restrict y)
{
  for (int64_t i = 0; i < n; i++) y[i] -= a * x[i];
}

INLINED float largest_magnitude(int64_t n, const float *x)
{
  float largest[8] = { 0 };
  for (int64_t i = 0; i < n; i += 8)
    for (int s = 0; s < 8; s++) largest[s] = fabsf(x[i + s]) > largest[s] ? fabsf(x[i + s]) : largest[s];
  for (int s = 1; s < 8; s++) largest[0] = largest[s] > largest[0] ? largest[s] : largest[0];
  return largest[0];
}

/* x'y in double, in lanes. */
INLINED double dot(int64_t n, const float *x, const float *y)
{
  double sum[8] = { 0 };
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int s = 0; s < 8; s++) sum[s] += (double)x[i + s] * (double)y[i + s];
  for (; i < n; i++) sum[0] += (double)x[i] * (double)y[i];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* Drops the atoms whose coefficient is 0, and computes q anew from the others: without what rounding has added up. */
INLINED void refresh(encoder *e, const float *correlation, const float *a)
{
  const epact_dictionary *const d = e->dictionary;
  int64_t kept = 0;
  memcpy(e->q, correlation, (size_t)d->stride * sizeof(float));
  for (int64_t i = 0; i < e->count; i++) {
    const int32_t k = e->active[i];
    e->is_active[k] = a[k] != 0;
    if (a[k] == 0) continue;
    e->active[kept++] = k;
    subtract(d->stride, a[k], d->gram + k * d->stride, e->q);
  }
  e->count = kept;
}

/* q from the residual in double: a small q is not the difference of large numbers then. */
INLINED void refine(encoder *e, const float *x, const float *a)
{
  const epact_dictionary *const d = e->dictionary;
  for (int64_t j = 0; j < d->dims; j++) e->precise[j] = (double)x[j];
  for (int64_t i = 0; i < e->count; i++) {
    const int32_t k = e->active[i];
    for (int64_t j = 0; j < d->dims; j++) e->precise[j] -= (double)a[k] * (double)d->atom[k * d->dims + j];
  }
  for (int64_t j = 0; j < d->dims; j++) e->residual[j] = (float)e->precise[j];
  for (int64_t k = 0; k < d->atoms; k++) e->q[k] = (float)dot(d->dims, d->atom + k * d->dims, e->residual);
}

/* The objective at a, and by how much it is at most above the best one: the dual point is r scaled into |D r| <= l1,
 * with r = x - D'a itself and |D r| from q. */
INLINED double objective(encoder *e, const float *x, const float *a, float largest, double *gap)
{
  const epact_dictionary *const d = e->dictionary;
  double norm1 = 0;
  memcpy(e->residual, x, (size_t)d->dims * sizeof(float));
  for (int64_t i = 0; i < e->count; i++) {
    const int32_t k = e->active[i];
    norm1 += fabs((double)a[k]);
    subtract(d->dims, a[k], d->atom + k * d->dims, e->residual);
  }
  const double rr = dot(d->dims, e->residual, e->residual), xr = dot(d->dims, x, e->residual);
  const double scale = largest > e->l1 ? (double)(e->l1 / largest) : 1;
  const double primal = rr / 2 + (double)e->l1 * norm1;
  *gap = primal - scale * xr + scale * scale * rr / 2;
  return primal;
}

/* All atoms that are not active and whose correlation with the residual is above the bar. */
INLINED void enter(encoder *e, float bar)
{
  for (int32_t k = 0; k < e->dictionary->atoms; k++) {
    if (fabsf(e->q[k]) > bar && !e->is_active[k]) {
      e->is_active[k] = 1;
      e->active[e->count++] = k;
    }
  }
}

/* What belongs to the active atoms, copied together: rows of `width` floats. */
typedef struct {
  int64_t count, width;
  float *q, *x, *inverse, *gram, *step, *factor;
  int32_t *used;
} nearby;

INLINED void gather(const encoder *e, const float *a, nearby *n)
{
  const epact_dictionary *const d = e->dictionary;
  const int64_t count = e->count, width = (count + 7) / 8 * 8;
  float *const at = e->near;
  *n =
      (nearby){ count,  width, at, at + width, at + 2 * width, at + 4 * width, at + 3 * width, at + (4 + count) * width,
                e->used };
  memset(at, 0, (size_t)(width * (4 + count)) * sizeof *at);
  for (int64_t i = 0; i < count; i++) {
    const int32_t k = e->active[i];
    const float *const row = d->gram + k * d->stride;
    n->q[i] = e->q[k];
    n->x[i] = a[k];
    n->inverse[i] = 1 / row[k];
    for (int64_t j = 0; j < count; j++) n->gram[i * width + j] = row[e->active[j]];
  }
}

/* One sweep of coordinate descent; the largest change. */
INLINED float sweep(encoder *e, nearby *n)
{
  float largest = 0;
  for (int64_t i = 0; i < n->count; i++) {
    const float *const row = n->gram + i * n->width;
    const float z = n->q[i] + row[i] * n->x[i], size = fabsf(z) - e->l1;
    const float next = size > 0 ? copysignf(size, z) * n->inverse[i] : 0, change = next - n->x[i];
    if (change == 0) continue;
    n->x[i] = next;
    subtract(n->width, change, row, n->q);
    e->changes++;
    if (fabsf(change) > largest) largest = fabsf(change);
  }
  return largest;
}

/* How far along n->step, of the atoms that are used, the first coefficient becomes 0: which it is, in *first (-1: none
 * before `share`). */
INLINED float first_zero(const nearby *n, int64_t used, float share, int64_t *first)
{
  *first = -1;
  for (int64_t i = 0; i < used; i++) {
    const float limit = -n->x[n->used[i]] / n->step[i];
    if (limit >= 0 && limit < share) {
      share = limit;
      *first = i;
    }
  }
  return share;
}

/* x += share step; x becomes 0, exactly, for `zero`. */
INLINED void move(nearby *n, int64_t used, float share, int64_t zero)
{
  for (int64_t i = 0; i < used; i++) {
    const float change = i == zero ? -n->x[n->used[i]] : share * n->step[i];
    n->x[n->used[i]] += change;
    subtract(n->width, change, n->gram + n->used[i] * n->width, n->q);
  }
}

/* l1 sign(x) - q of an atom: the objective's slope where x is not 0. */
INLINED float slope(const encoder *e, const nearby *n, int64_t i)
{
  return copysignf(e->l1, n->x[i]) - n->q[i];
}

/* Atom j depends on those before it: along a direction in which the fit does not change, the one of them that is first 0
 * becomes 0, where that does not harm. False when it would: then the atom is left where it is. */
INLINED bool drop_dependent(const encoder *e, nearby *n, int64_t used, int64_t j, int64_t width)
{
  float *const step = n->step;
  float down = 0;
  int64_t zero;
  step[j] = 1;
  for (int64_t i = j - 1; i >= 0; i--) {
    float sum = 0;
    for (int64_t l = i + 1; l <= j; l++) sum -= n->factor[i * width + l] * step[l];
    step[i] = sum / n->factor[i * width + i];
  }
  for (int64_t i = 0; i <= j; i++) down -= slope(e, n, n->used[i]) * step[i];
  if (down < 0)
    for (int64_t i = 0; i <= j; i++) step[i] = -step[i];
  for (int64_t i = j + 1; i < used; i++) step[i] = 0;
  const float pivot = n->factor[j * width + j], best = pivot > 0 ? fabsf(down) / pivot : HUGE_VALF;
  const float share = first_zero(n, used, best, &zero);
  if (zero < 0) return false;
  move(n, used, share, zero);
  return true;
}

/* step = G^-1 (q - l1 sign(x)) of the atoms that are used, by elimination: with it q is l1 sign(x). False when an atom
 * that depended on others was dropped instead. */
INLINED bool solve(const encoder *e, nearby *n, int64_t used)
{
  const int64_t width = (used + 7) / 8 * 8;
  float *const b = n->step, *const u = n->factor;
  for (int64_t i = 0; i < used; i++)
    for (int64_t j = 0; j < width; j++) u[i * width + j] = j < used ? n->gram[n->used[i] * n->width + n->used[j]] : 0;
  for (int64_t j = 0; j < used; j++) {
    float *const pivot = u + j * width;
    if (!(pivot[j] * n->inverse[n->used[j]] > DEPENDENT)) {
      if (drop_dependent(e, n, used, j, width)) return false;
      pivot[j] = HUGE_VALF;
    }
    const float inverse = 1 / pivot[j];
    for (int64_t i = j + 1; i < used; i++) {
      const int64_t from = i / 8 * 8; /* what is left of the diagonal is never read */
      subtract(width - from, pivot[i] * inverse, pivot + from, u + i * width + from);
    }
  }
  for (int64_t j = 0; j < used; j++) b[j] = -slope(e, n, n->used[j]);
  for (int64_t j = 0; j < used; j++) {
    const float share = b[j] / u[j * width + j];
    for (int64_t i = j + 1; i < used; i++) b[i] -= share * u[j * width + i];
  }
  for (int64_t j = used - 1; j >= 0; j--) {
    float sum = b[j];
    for (int64_t i = j + 1; i < used; i++) sum -= u[j * width + i] * b[i];
    b[j] = sum / u[j * width + j];
  }
  return true;
}

/* To the exact minimum of the coefficients that are not 0, as far as none of them changes its sign: one that would
 * becomes 0, and the others go as far as they are by then. Returns whether the minimum was reached. */
INLINED bool polish(const encoder *e, nearby *n)
{
  int64_t used = 0, zero;
  for (int64_t i = 0; i < n->count; i++)
    if (n->x[i] != 0) n->used[used++] = (int32_t)i;
  if (!solve(e, n, used)) return false;
  const float share = first_zero(n, used, 1, &zero);
  move(n, used, share, zero);
  return zero < 0;
}

/* The best coefficients of the active atoms: sweeps until the signs are right, then the exact solution. */
INLINED void descend(encoder *e, float still, float *a)
{
  nearby n;
  gather(e, a, &n);
  for (int s = 0; s < SWEEPS; s++) {
    const float largest = sweep(e, &n);
    if (largest <= still || (s % EVERY + 1 == EVERY && polish(e, &n))) break;
  }
  for (int64_t i = 0; i < n.count; i++) a[e->active[i]] = n.x[i];
}

EPACT_CLONES static void encode(encoder *e, const float *x, const float *correlation, double tolerance, int32_t rounds,
                                float *a, epact_sparse_coding_result *result)
{
  const epact_dictionary *const d = e->dictionary;
  const double half_norm = dot(d->dims, x, x) / 2;
  double value = 0, gap = 0;
  e->count = 0;
  for (int32_t k = 0; k < d->atoms; k++)
    if (a[k] != 0) e->active[e->count++] = k;
  for (int32_t round = 0;; round++) {
    refresh(e, correlation, a);
    if (round >= REFINE) refine(e, x, a);
    const float largest = largest_magnitude(d->stride, e->q);
    value = objective(e, x, a, largest, &gap);
    if (gap <= tolerance * half_norm || round == rounds) break;
    enter(e, fmaxf(e->l1, BAR * largest));
    descend(e, STILL * largest, a);
  }
  for (int64_t i = 0; i < e->count; i++) e->is_active[e->active[i]] = 0;
  result->objective += value;
  result->nonzeros += e->count;
  if (gap > tolerance * half_norm) result->open++;
  if (gap > result->largest_gap * half_norm) result->largest_gap = gap / half_norm;
}

static int open_encoder(encoder *e)
{
  const size_t atoms = (size_t)e->dictionary->atoms, dims = (size_t)e->dictionary->dims;
  const size_t stride = (size_t)e->dictionary->stride;
  const size_t floats = SIGNALS_AT_A_TIME * (dims + stride) + stride + dims + (2 * atoms + 4) * stride;
  e->precise = epact_aligned_calloc(dims * sizeof(double) + floats * sizeof(float) + atoms * (2 * sizeof(int32_t) + 1));
  if (!e->precise) return EPACT_E_NOMEM;
  e->correlations = (float *)(void *)(e->precise + dims);
  e->q = e->correlations + SIGNALS_AT_A_TIME * stride;
  e->signals = e->q + stride;
  e->residual = e->signals + SIGNALS_AT_A_TIME * dims;
  e->near = e->residual + dims;
  e->active = (int32_t *)(void *)(e->near + (2 * atoms + 4) * stride);
  e->used = e->active + atoms;
  e->is_active = (uint8_t *)(e->used + atoms);
  return EPACT_OK;
}

int epact_sparse_coding_encode(const epact_dictionary *dictionary, const double *signal, int64_t signals, double l1,
                               double tolerance, int32_t rounds, float *code, epact_sparse_coding_result *result)
{
  encoder e = { .dictionary = dictionary, .l1 = (float)l1 };
  const int64_t dims = dictionary->dims, stride = dictionary->stride;
  if (!(l1 > 0) || !(tolerance > 0) || rounds < 1)
    return epact_fail(EPACT_E_MISUSE, "l1, tolerance and rounds must be positive");
  const int code_of = open_encoder(&e);
  if (code_of) return code_of;
  for (int64_t first = 0; first < signals; first += SIGNALS_AT_A_TIME) {
    const int64_t count = signals - first < SIGNALS_AT_A_TIME ? signals - first : SIGNALS_AT_A_TIME;
    for (int64_t i = 0; i < count * dims; i++) e.signals[i] = (float)signal[first * dims + i];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)count, (int)dictionary->atoms, (int)dims, 1, e.signals,
                (int)dims, dictionary->atom, (int)dims, 0, e.correlations, (int)stride);
    for (int64_t i = 0; i < count; i++)
      encode(&e, e.signals + i * dims, e.correlations + i * stride, tolerance, rounds, code + (first + i) * stride,
             result);
  }
  result->changes += e.changes;
  free(e.precise);
  return EPACT_OK;
}
