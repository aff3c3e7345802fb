/* Cholesky factors: of whole matrices, of ones whose first rows are factored already, of singular ones; double and
 * single precision. The factor is multiplied out, so that nothing is compared with itself. */
#include "kernel/cholesky.h"

#include "base/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 200 };

static int failures;
static epact_rng rng;

static void expect(bool held, const char *what, int64_t p, int64_t known)
{
  if (held) return;
  fprintf(stderr, "cholesky: %s (%lld rows, %lld known)\n", what, (long long)p, (long long)known);
  failures++;
}

/* p x p of full rank. */
static void draw(int64_t p, double *h)
{
  static double a[MOST * MOST];
  for (int64_t i = 0; i < p * p; i++) a[i] = epact_rng_normal(&rng);
  for (int64_t i = 0; i < p; i++)
    for (int64_t j = 0; j < p; j++) {
      double sum = i == j;
      for (int64_t k = 0; k < p; k++) sum += a[i * p + k] * a[j * p + k];
      h[i * p + j] = sum;
    }
}

/* The same, where each row beyond the first `rank` belongs to the sum of two of those. */
static void draw_singular(int64_t p, int64_t rank, double *h)
{
  static double g[MOST * MOST];
  draw(rank, g);
  for (int64_t i = 0; i < p; i++)
    for (int64_t j = 0; j < p; j++) {
      const int64_t of_i[2] = { i % rank, (i * 7 + 1) % rank }, of_j[2] = { j % rank, (j * 7 + 1) % rank };
      h[i * p + j] = 0;
      for (int a = 0; a < (i < rank ? 1 : 2); a++)
        for (int b = 0; b < (j < rank ? 1 : 2); b++) h[i * p + j] += g[of_i[a] * rank + of_j[b]];
    }
}

/* The largest entry of L L' - H, in units of the largest of H. */
static double error_of(int64_t p, const double *l, const double *h)
{
  double worst = 0, largest = 0;
  for (int64_t i = 0; i < p; i++)
    for (int64_t j = 0; j <= i; j++) {
      double sum = 0;
      for (int64_t k = 0; k <= j; k++) sum += l[i * p + k] * l[j * p + k];
      worst = fmax(worst, fabs(sum - h[i * p + j]));
      largest = fmax(largest, fabs(h[i * p + j]));
    }
  return worst / largest;
}

static void check(int64_t p)
{
  static double h[MOST * MOST], l[MOST * MOST], diagonal[MOST], right[MOST];
  static float single[MOST * MOST], single_diagonal[MOST];
  draw(p, h);
  for (int64_t i = 0; i < p; i++) diagonal[i] = h[i * p + i];
  const int64_t starts[] = { 0, 1, p / 2, p - 1, p };
  memcpy(l, h, sizeof l);
  expect(cholesky_factor(p, 0, l, diagonal) == 0, "rejects", p, 0);
  expect(error_of(p, l, h) < 1e-14 * (double)p, "is no factor", p, 0);
  for (size_t at = 0; at < sizeof starts / sizeof *starts; at++) {
    const int64_t known = starts[at];
    for (int64_t i = known * p; i < p * p; i++) l[i] = h[i]; /* the rows below are those of H again */
    expect(cholesky_factor(p, known, l, diagonal) == 0, "rejects", p, known);
    expect(error_of(p, l, h) < 1e-14 * (double)p, "is no factor", p, known);
  }
  for (int64_t i = 0; i < p; i++) {
    right[i] = 0;
    for (int64_t j = 0; j < p; j++) right[i] += h[i * p + j] * (double)(j % 3 - 1);
  }
  cholesky_solve(p, l, right);
  for (int64_t i = 0; i < p; i++) expect(fabs(right[i] - (double)(i % 3 - 1)) < 1e-9, "solves wrongly", p, 0);

  for (int64_t i = 0; i < p * p; i++) single[i] = (float)h[i];
  for (int64_t i = 0; i < p; i++) single_diagonal[i] = (float)diagonal[i];
  expect(cholesky_factor_f(p, 0, single, single_diagonal) == 0, "rejects in single precision", p, 0);
  for (int64_t i = 0; i < p * p; i++) l[i] = single[i];
  expect(error_of(p, l, h) < 1e-6 * (double)p, "is no factor in single precision", p, 0);
}

/* Rank `rank`: the first `rank` pivots are accepted and no other, and what is solved is a solution. */
static void check_singular(int64_t p, int64_t rank, int64_t known)
{
  static double h[MOST * MOST], l[MOST * MOST], diagonal[MOST], right[MOST], solved[MOST];
  draw_singular(p, rank, h);
  for (int64_t i = 0; i < p; i++) diagonal[i] = h[i * p + i];
  memcpy(l, h, sizeof l);
  expect(cholesky_factor(p, 0, l, diagonal) == p - rank, "accepts what depends on others", p, 0);
  for (int64_t i = known * p; i < p * p; i++) l[i] = h[i];
  expect(cholesky_factor(p, known, l, diagonal) == p - rank, "accepts what depends on others", p, known);
  for (int64_t j = 0; j < p; j++) expect(cholesky_accepts(p, l, j) == (j < rank), "accepts the wrong pivots", p, known);
  for (int64_t i = 0; i < p; i++) right[i] = h[i * p] + h[i * p + rank - 1];
  memcpy(solved, right, sizeof solved);
  cholesky_solve(p, l, solved);
  for (int64_t i = 0; i < p; i++) {
    double sum = -right[i];
    for (int64_t j = 0; j < p; j++) sum += h[i * p + j] * solved[j];
    expect(fabs(sum) < 1e-6 * fabs(h[0]), "solves a singular system wrongly", p, known);
  }
}

int main(void)
{
  rng = epact_rng_stream(7, 0, 0);
  const int64_t sizes[] = { 1, 2, 5, 63, 64, 65, 128, 150, 200 };
  for (size_t at = 0; at < sizeof sizes / sizeof *sizes; at++) check(sizes[at]);
  check_singular(20, 12, 5);
  check_singular(100, 70, 66);
  return failures > 0;
}
