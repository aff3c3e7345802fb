/* Non-negative matrix factorisation: see nmf.h for the equations. */
#include "nmf.h"

#include "../base/internal.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_AT_A_TIME 128 /* of a product that is used at once, and then forgotten */
#define GRAM_PIECE 1024    /* rows whose products are summed in float */

#define NAME(base) base##_narrow
#define TARGET
#define MULTIPLY_ADD(sum, a, x) ((sum) += (a) * (x))
#include "nmf_lanes.h"

#ifdef __x86_64__
#include <immintrin.h>
#define NAME(base) base##_wide
#define TARGET __attribute__((target("avx2,fma")))
#define MULTIPLY_ADD(sum, a, x) ((sum) = (eights)_mm256_fmadd_ps(_mm256_set1_ps(a), (__m256)(x), (__m256)(sum)))
#include "nmf_lanes.h"
#endif

static bool is_wide(void)
{
#ifdef __x86_64__
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

/* One entry into the summary; false when it is no entry of a V. */
static bool add_entry(double x, epact_nmf_summary *s)
{
  s->sum += x;
  s->squared_norm += x * x;
  if (x > s->largest) s->largest = x;
  return x >= 0 && x < HUGE_VAL;
}

static int refuse(int64_t row, int64_t col, double x)
{
  return epact_fail(EPACT_E_MISUSE, "V[%lld][%lld] is %g: an entry must be finite and not negative", (long long)row,
                    (long long)col, x);
}

int epact_nmf_check(const epact_nmf_matrix *v, epact_nmf_summary *summary)
{
  epact_nmf_summary all = { 0 };
  if (v->rows < 1 || v->cols < 1) return epact_fail(EPACT_E_MISUSE, "V has no rows or no columns");
  for (int64_t i = 0; i < v->rows; i++) {
    epact_nmf_summary row = { 0 }; /* sums of sums: of many entries, less is lost */
    const int64_t first = v->start ? v->start[i] : 0, count = v->start ? v->start[i + 1] - first : v->cols;
    for (int64_t e = 0; e < count; e++) {
      const int64_t col = v->start ? (int64_t)v->index[first + e] : e;
      const double x = v->start ? v->value[first + e] : v->value[i * v->row_step + e * v->col_step];
      if (col >= v->cols)
        return epact_fail(EPACT_E_MISUSE, "row %lld of V has an entry in column %lld of %lld", (long long)i,
                          (long long)col, (long long)v->cols);
      if (v->start && e > 0 && v->index[first + e] <= v->index[first + e - 1])
        return epact_fail(EPACT_E_MISUSE, "the columns of row %lld of V do not rise: %lld", (long long)i,
                          (long long)col);
      if (!add_entry(x, &row)) return refuse(i, col, x);
    }
    all.sum += row.sum;
    all.squared_norm += row.squared_norm;
    if (row.largest > all.largest) all.largest = row.largest;
  }
  if (summary) *summary = all;
  return EPACT_OK;
}

void epact_nmf_init(float *factor, int64_t first, int64_t end, int32_t factors, int64_t stride, int side,
                    double deviation, uint64_t seed)
{
  for (int64_t i = first; i < end; i++) {
    epact_rng rng = epact_rng_stream(seed, (uint64_t)side + 1, (uint64_t)i);
    float *const row = factor + (i - first) * stride;
    for (int32_t t = 0; t < factors; t++) row[t] = (float)(deviation * fabs(epact_rng_normal(&rng)));
  }
}

void epact_nmf_multiply(const epact_nmf_matrix *v, const float *factor, int64_t stride, int64_t first, int64_t end,
                        float *product)
{
#ifdef __x86_64__
  if (is_wide()) {
    (v->start ? sparse_rows_wide : dense_wide)(v, factor, stride, first, end, product);
    return;
  }
#endif
  (v->start ? sparse_rows_narrow : dense_narrow)(v, factor, stride, first, end, product);
}

void epact_nmf_gram(const float *factor, int64_t rows, int32_t factors, int64_t stride, double *gram)
{
  const int64_t k = factors;
  float piece[64 * 64];
  memset(gram, 0, (size_t)(k * k) * sizeof *gram);
  for (int64_t first = 0; first < rows; first += GRAM_PIECE) {
    const int count = (int)(rows - first < GRAM_PIECE ? rows - first : GRAM_PIECE);
    for (int64_t a = 0; a < k; a += 64) {
      for (int64_t b = 0; b <= a; b += 64) {
        const int m = (int)(k - a < 64 ? k - a : 64), n = (int)(k - b < 64 ? k - b : 64);
        const float *const from = factor + first * stride;
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, count, 1, from + a, (int)stride, from + b,
                    (int)stride, 0, piece, n);
        for (int64_t i = 0; i < m; i++)
          for (int64_t j = 0; j < n; j++) gram[(a + i) * k + b + j] += (double)piece[i * n + j];
      }
    }
  }
  for (int64_t i = 0; i < k; i++)
    for (int64_t j = 0; j < i; j++) gram[j * k + i] = gram[i * k + j];
}

/* What the rules need beside their arguments, in one piece of memory. */
typedef struct {
  float *gram, *inverse, *product;
  eights *work;
} workspace;

static int check_shape(int32_t factors, int64_t stride)
{
  if (factors < 1 || factors > EPACT_NMF_MOST_FACTORS || stride < factors || stride % LANES)
    return epact_fail(EPACT_E_MISUSE, "%d factors in rows of %lld floats: 1 to %d are possible, in a multiple of %d",
                      factors, (long long)stride, EPACT_NMF_MOST_FACTORS, LANES);
  return EPACT_OK;
}

static int open_workspace(workspace *w, const double *gram, int32_t factors, int64_t stride, int rule)
{
  const size_t k = (size_t)factors, product = ROWS_AT_A_TIME * (size_t)stride;
  w->work = epact_aligned_calloc(3 * k * sizeof *w->work + (product + k * k + k) * sizeof *w->product);
  if (!w->work) return EPACT_E_NOMEM;
  w->product = (float *)(w->work + 3 * k);
  w->gram = w->product + product;
  w->inverse = w->gram + k * k;
  for (size_t i = 0; i < k * k; i++) w->gram[i] = (float)gram[i];
  for (size_t t = 0; t < k; t++) w->inverse[t] = w->gram[t * k + t] > 0 ? 1 / w->gram[t * k + t] : 0;
  if (rule) w->inverse = NULL;
  return EPACT_OK;
}

static double sweep_rows(const workspace *w, int32_t factors, int64_t stride, int64_t rows, const float *product,
                         int32_t sweeps, float *x)
{
#ifdef __x86_64__
  if (is_wide()) return sweep_rows_wide(w->gram, w->inverse, factors, stride, rows, product, sweeps, x, w->work);
#endif
  return sweep_rows_narrow(w->gram, w->inverse, factors, stride, rows, product, sweeps, x, w->work);
}

static int sweep_all(const double *gram, int32_t factors, int64_t stride, int64_t rows, const float *product, int rule,
                     int32_t sweeps, float *x, double *violation)
{
  workspace w;
  const int code = check_shape(factors, stride);
  if (code) return code;
  if (open_workspace(&w, gram, factors, stride, rule)) return EPACT_E_NOMEM;
  const double sum = sweep_rows(&w, factors, stride, rows, product, sweeps, x);
  if (violation) *violation = sum;
  free(w.work);
  return EPACT_OK;
}

int epact_nmf_hals(const double *gram, int32_t factors, int64_t stride, int64_t rows, const float *product,
                   int32_t sweeps, float *x, double *violation)
{
  return sweep_all(gram, factors, stride, rows, product, 0, sweeps, x, violation);
}

int epact_nmf_multiplicative(const double *gram, int32_t factors, int64_t stride, int64_t rows, const float *product,
                             int32_t sweeps, float *x, double *violation)
{
  return sweep_all(gram, factors, stride, rows, product, 1, sweeps, x, violation);
}

int epact_nmf_update(const epact_nmf_matrix *v, const float *factor, const double *gram, int32_t factors,
                     int64_t stride, int rule, int32_t sweeps, float *x, double *violation)
{
  workspace w;
  const int code = check_shape(factors, stride);
  if (code) return code;
  if (open_workspace(&w, gram, factors, stride, rule)) return EPACT_E_NOMEM;
  double sum = 0;
  for (int64_t i = 0; i < v->rows; i += ROWS_AT_A_TIME) {
    const int64_t end = v->rows - i < ROWS_AT_A_TIME ? v->rows : i + ROWS_AT_A_TIME;
    epact_nmf_multiply(v, factor, stride, i, end, w.product);
    sum += sweep_rows(&w, factors, stride, end - i, w.product, sweeps, x + i * stride);
  }
  if (violation) *violation = sum;
  free(w.work);
  return EPACT_OK;
}

double epact_nmf_inner(int64_t count, const float *a, const float *b)
{
  double sum[8] = { 0 };
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int s = 0; s < 8; s++) sum[s] += (double)a[i + s] * (double)b[i + s];
  for (; i < count; i++) sum[0] += (double)a[i] * (double)b[i];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}
