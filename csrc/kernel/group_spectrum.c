/* Eigenvalues of a group's matrix: see group_spectrum.h. */
#include "group_spectrum.h"

#include "../base/internal.h"
#include "column.h"
#include "group_lasso.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void group_spectrum_clear(group_spectrum *spectrum)
{
  free(spectrum->value);
  spectrum->value = NULL;
}

void group_spectrum_turn(const group_spectrum *spectrum, int64_t size, const double *from, double *to)
{
  const double *vector = spectrum->value + size;
  for (int64_t k = 0; k < size; k++) {
    double sum = 0;
    for (int64_t m = 0; m < size; m++) sum += vector[k * size + m] * from[m];
    to[k] = sum;
  }
}

void group_spectrum_turn_back(const group_spectrum *spectrum, int64_t size, const double *from, double *to)
{
  const double *vector = spectrum->value + size;
  memset(to, 0, (size_t)size * sizeof *to);
  for (int64_t k = 0; k < size; k++)
    for (int64_t m = 0; m < size; m++) to[m] += vector[k * size + m] * from[k];
}

static void rotate(double *a, double *b, int64_t count, int64_t stride, double cosine, double sine)
{
  for (int64_t k = 0; k < count; k++) {
    const double left = a[k * stride], right = b[k * stride];
    a[k * stride] = cosine * left - sine * right;
    b[k * stride] = sine * left + cosine * right;
  }
}

/* Jacobi's method: plane rotations that make one pair after the other orthogonal, until the rest is nothing but
 * rounding. h (size x size, symmetric) becomes diagonal, the rows of `vector` its eigenvectors. */
static void diagonalise(int64_t size, double *h, double *vector)
{
  memset(vector, 0, (size_t)(size * size) * sizeof *vector);
  for (int64_t k = 0; k < size; k++) vector[k * size + k] = 1;
  for (int sweep = 0; sweep < 30; sweep++) {
    bool still = true;
    for (int64_t p = 0; p < size; p++) {
      for (int64_t q = p + 1; q < size; q++) {
        const double off = h[p * size + q], first = h[p * size + p], second = h[q * size + q];
        if (!(fabs(off) > 1e-16 * (fabs(first) + fabs(second)))) continue;
        still = false;
        const double theta = (second - first) / (2 * off);
        const double tangent = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
        const double cosine = 1 / sqrt(tangent * tangent + 1), sine = tangent * cosine;
        rotate(h + p * size, h + q * size, size, 1, cosine, sine);
        rotate(h + p, h + q, size, size, cosine, sine);
        rotate(vector + p * size, vector + q * size, size, 1, cosine, sine);
      }
    }
    if (still) break;
  }
}

/* image = s_j (x_j - m_j 1). */
static void spread(const epact_columns *x, int64_t j, double *image)
{
  const double scale = scale_of(x, j), rest = x->mean ? -scale * x->mean[j] : 0;
  for (int64_t i = 0; i < x->rows; i++) image[i] = rest;
  column_axpy(scale, column_of(x, j), image);
}

static int fill_exact(group_spectrum *spectrum, const epact_columns *x, int64_t size, const uint32_t *member,
                      double *image)
{
  const size_t entries = (size_t)(size * size);
  double *value = epact_malloc((entries + (size_t)size) * sizeof *value);
  double *h = epact_malloc(entries * sizeof *h);
  if (!value || !h) {
    free(value);
    free(h);
    return EPACT_E_NOMEM;
  }
  for (int64_t k = 0; k < size; k++) { /* from deviations: x_k'x_m - n m_k m_m would cancel */
    spread(x, member[k], image);
    const double sum = sum_of(x->rows, image);
    for (int64_t m = 0; m <= k; m++) h[k * size + m] = h[m * size + k] = correlation_of(x, member[m], image, sum);
  }
  diagonalise(size, h, value + size);
  double largest = 0;
  for (int64_t k = 0; k < size; k++) largest = h[k * size + k] > largest ? h[k * size + k] : largest;
  for (int64_t k = 0; k < size; k++) value[k] = h[k * size + k] > 1e-11 * largest ? h[k * size + k] : 0;
  free(h);
  spectrum->value = value;
  spectrum->bound = 1;
  return EPACT_OK;
}

/* A few turns of the power method: only a beginning, the steps raise it where it is too low. */
static int fill_wide(group_spectrum *spectrum, const epact_columns *x, int64_t size, const uint32_t *member,
                     double *image)
{
  double *direction = epact_malloc((size_t)size * sizeof *direction), bound = DBL_MIN;
  if (!direction) return EPACT_E_NOMEM;
  for (int64_t k = 0; k < size; k++) {
    spread(x, member[k], image);
    direction[k] = cblas_ddot((int)x->rows, image, 1, image, 1);
    bound = direction[k] > bound ? direction[k] : bound; /* that of one column: never above */
  }
  for (int turn = 0; turn < 4; turn++) {
    double norm2 = 0;
    memset(image, 0, (size_t)x->rows * sizeof *image);
    for (int64_t k = 0; k < size; k++)
      column_axpy(scale_of(x, member[k]) * direction[k], column_of(x, member[k]), image);
    const double sum = sum_of(x->rows, image);
    for (int64_t k = 0; k < size; k++) {
      direction[k] = correlation_of(x, member[k], image, sum);
      norm2 += direction[k] * direction[k];
    }
    const double norm = sqrt(norm2);
    if (!(norm > 0) || !isfinite(norm)) break;
    if (turn > 0 && norm > bound) bound = norm; /* the first direction is not of length 1 */
    for (int64_t k = 0; k < size; k++) direction[k] /= norm;
  }
  free(direction);
  spectrum->bound = 1.02 * bound;
  return EPACT_OK;
}

int group_spectrum_fill(group_spectrum *spectrum, const epact_columns *x, int64_t size, const uint32_t *member,
                        double *scratch)
{
  if (spectrum->bound > 0) return EPACT_OK;
  return size > EPACT_GROUP_EXACT ? fill_wide(spectrum, x, size, member, scratch)
                                  : fill_exact(spectrum, x, size, member, scratch);
}
