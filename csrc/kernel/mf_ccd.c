/* CCD++ for matrix factorisation: see mf_ccd.h. */
#include "mf_ccd.h"

#include "../base/internal.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

#define LANES 4
#define FUSED(a, b, c) ((a) * (b) + (c))
#define NAME(base) base##_narrow
#define TARGET
#include "mf_ccd_pass.h"

#ifdef __x86_64__
#define LANES 8
#define FUSED(a, b, c) (_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define NAME(base) base##_wide
#define TARGET __attribute__((target("avx2,fma")))
#include "mf_ccd_pass.h"
#endif

typedef sums_of_row pass_function(const factors_of_row *row, const float *scratch, const uint32_t *id, float *residual,
                                  int64_t count);

static pass_function *choose_pass(void)
{
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return pass_row_wide;
#endif
  return pass_row_narrow;
}

int epact_mf_ccd_sort(const epact_mf_ratings *ratings, int side, int64_t first, int64_t end, float mean, int64_t *start,
                      uint32_t *id, float *residual)
{
  if (side < 0 || side > 1) return epact_fail(EPACT_E_MISUSE, "side %d is neither 0, users, nor 1, items", side);
  if (first < 0 || end < first)
    return epact_fail(EPACT_E_MISUSE, "%lld to %lld is no range of rows", (long long)first, (long long)end);
  const uint32_t *const own = side ? ratings->item : ratings->user, *const other = side ? ratings->user : ratings->item;
  const int64_t rows = end - first;
  memset(start, 0, (size_t)(rows + 1) * sizeof *start);
  for (int64_t t = 0; t < ratings->count; t++)
    if (own[t] >= first && own[t] < end) start[own[t] - first]++;
  for (int64_t r = 0, sum = 0; r <= rows; r++) { /* start[r] becomes where row r begins ... */
    const int64_t count = start[r];
    start[r] = sum;
    sum += count;
  }
  for (int64_t t = 0; t < ratings->count; t++) {
    if (own[t] < first || own[t] >= end) continue;
    const int64_t at = start[own[t] - first]++; /* ... where it ends, and where row r + 1 begins */
    id[at] = other[t];
    residual[at] = ratings->value[t] - mean;
  }
  for (int64_t r = rows; r > 0; r--) start[r] = start[r - 1];
  start[0] = 0;
  return EPACT_OK;
}

/* A pass: terms by what they depend on. */
typedef struct {
  const epact_mf_side *side;
  const epact_mf_term *term;
  int32_t terms;
  const epact_mf_term *product[EPACT_MF_PRODUCTS]; /* NULL: none */
  pass_function *pass_row;
  float *scratch;
} pass;

/* Sorts the terms, and puts what belongs to an id of the other side together, for one access a rating. */
static int prepare(pass *p, int64_t others, const float *other)
{
  int products = 0;
  for (int32_t i = 0; i < p->terms; i++) {
    if (!p->term[i].own || !p->term[i].other) continue;
    if (products == EPACT_MF_PRODUCTS)
      return epact_fail(EPACT_E_MISUSE, "at most %d products of vectors at a time", EPACT_MF_PRODUCTS);
    p->product[products++] = &p->term[i];
  }
  for (int64_t c = 0; c < others; c++) {
    float *const to = p->scratch + 4 * c;
    float sum = 0;
    for (int32_t i = 0; i < p->terms; i++)
      if (!p->term[i].own) sum += p->term[i].scale * (p->term[i].other ? p->term[i].other[c] : 1);
    to[W] = sum;
    to[X] = p->product[0] ? p->product[0]->other[c] : 0;
    to[Y] = p->product[1] ? p->product[1]->other[c] : 0;
    to[V] = other ? other[c] : 1;
  }
  return EPACT_OK;
}

static sums_of_row pass_row(const pass *p, int64_t r)
{
  const epact_mf_side *const side = p->side;
  factors_of_row row = { 0 };
  for (int32_t i = 0; i < p->terms; i++)
    if (p->term[i].own && !p->term[i].other) row.shift += p->term[i].scale * p->term[i].own[r];
  if (p->product[0]) row.s = p->product[0]->scale * p->product[0]->own[r];
  if (p->product[1]) row.t = p->product[1]->scale * p->product[1]->own[r];
  const int64_t at = side->start[r];
  return p->pass_row(&row, p->scratch, side->id + at, side->residual + at, side->start[r + 1] - at);
}

int epact_mf_ccd_add(const epact_mf_side *side, int64_t others, const epact_mf_term *term, int32_t terms,
                     float *scratch, double *squares)
{
  pass p = { .side = side, .term = term, .terms = terms, .pass_row = choose_pass(), .scratch = scratch };
  const int code = prepare(&p, others, NULL);
  if (code) return code;
  double sum = 0;
  for (int64_t r = 0; r < side->rows; r++) sum += pass_row(&p, r).squares;
  if (squares) *squares = sum;
  return EPACT_OK;
}

int epact_mf_ccd_solve(const epact_mf_side *side, int64_t others, const epact_mf_term *term, int32_t terms,
                       const float *other, double lambda, const float *before, float *next, float *scratch,
                       double *gain)
{
  if (!(lambda >= 0)) return epact_fail(EPACT_E_MISUSE, "lambda must not be negative, got %g", lambda);
  pass p = { .side = side, .term = term, .terms = terms, .pass_row = choose_pass(), .scratch = scratch };
  const int code = prepare(&p, others, other);
  if (code) return code;
  double sum = 0;
  for (int64_t r = 0; r < side->rows; r++) {
    const sums_of_row sums = pass_row(&p, r);
    const double curvature = sums.norm2 + lambda * (double)(side->start[r + 1] - side->start[r]);
    const double best = curvature > 0 ? sums.product / curvature : (double)before[r], moved = best - (double)before[r];
    next[r] = (float)best;
    sum += curvature * moved * moved;
  }
  if (gain) *gain = sum;
  return isfinite(sum) ? EPACT_OK : epact_fail(EPACT_E_DIVERGED, "a number left the range of floats");
}
