/* Codes and dictionaries: see sparse_coding.h for the equations. */
#include "sparse_coding.h"

#include "../base/internal.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST 1e30 /* floats hold the correlations of entries up to that */
#define DEAD 1e-7

void epact_dictionary_set(const epact_dictionary *dictionary, const double *value)
{
  const int atoms = (int)dictionary->atoms, dims = (int)dictionary->dims, stride = (int)dictionary->stride;
  for (int64_t e = 0; e < dictionary->atoms * dictionary->dims; e++) dictionary->atom[e] = (float)value[e];
  memset(dictionary->gram, 0, (size_t)(dictionary->atoms * dictionary->stride) * sizeof(float));
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, atoms, atoms, dims, 1, dictionary->atom, dims, dictionary->atom,
              dims, 0, dictionary->gram, stride);
}

int epact_sparse_coding_check(const char *name, int64_t rows, int64_t cols, const double *value)
{
  for (int64_t e = 0; e < rows * cols; e++)
    if (!(fabs(value[e]) <= LARGEST))
      return epact_fail(EPACT_E_MISUSE, "%s[%lld][%lld] is %g: an entry must be finite, and at most %g", name,
                        (long long)(e / cols), (long long)(e % cols), value[e], LARGEST);
  return EPACT_OK;
}

int epact_sparse_coding_sums(int64_t atoms, int64_t dims, int64_t stride, const float *code, const double *signal,
                             int64_t signals, double *s, double *b)
{
  int32_t *const used = epact_malloc((size_t)atoms * sizeof *used);
  if (!used) return EPACT_E_NOMEM;
  for (int64_t i = 0; i < signals; i++) {
    const float *const a = code + i * stride;
    int64_t count = 0;
    for (int32_t k = 0; k < atoms; k++)
      if (a[k] != 0) used[count++] = k;
    for (int64_t u = 0; u < count; u++) {
      const double weight = (double)a[used[u]];
      double *const row = s + used[u] * atoms;
      for (int64_t v = 0; v < count; v++) row[used[v]] += weight * (double)a[used[v]];
      cblas_daxpy((int)dims, weight, signal + i * dims, 1, b + used[u] * dims, 1);
    }
  }
  free(used);
  return EPACT_OK;
}

int64_t epact_sparse_coding_update(int64_t atoms, int64_t dims, const double *s, const double *b, int32_t passes,
                                   double *value, int32_t *dead)
{
  double *const move = epact_malloc((size_t)dims * sizeof *move), mean = 0;
  int64_t found = 0;
  if (!move) return EPACT_E_NOMEM;
  for (int64_t k = 0; k < atoms; k++) mean += s[k * atoms + k] / (double)atoms;
  for (int64_t k = 0; k < atoms; k++) found += dead[k] = s[k * atoms + k] <= DEAD * mean;
  for (int32_t pass = 0; pass < passes; pass++) {
    for (int64_t k = 0; k < atoms; k++) {
      if (dead[k]) continue;
      double *const atom = value + k * dims;
      memcpy(move, b + k * dims, (size_t)dims * sizeof *move);
      cblas_dgemv(CblasRowMajor, CblasTrans, (int)atoms, (int)dims, -1, value, (int)dims, s + k * atoms, 1, 1, move, 1);
      cblas_daxpy((int)dims, 1 / s[k * atoms + k], move, 1, atom, 1);
      const double norm = cblas_dnrm2((int)dims, atom, 1);
      if (norm > 1) cblas_dscal((int)dims, 1 / norm, atom, 1);
    }
  }
  free(move);
  return found;
}
