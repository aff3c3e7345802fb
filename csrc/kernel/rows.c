/* Whole passes over the rows of a matrix: see linear.h. */
#include "rows.h"

#include "../base/internal.h"

#include <math.h>

static int check_start(const epact_rows *x)
{
  for (int64_t i = 0; i < x->rows; i++) {
    if (x->start[i] < 0 || x->start[i + 1] < x->start[i]) {
      return epact_fail(EPACT_E_MISUSE, "row %lld: its start falls", (long long)i);
    }
  }
  return EPACT_OK;
}

int epact_rows_check(const epact_rows *x)
{
  int code = x->index ? check_start(x) : EPACT_OK;
  if (code) return code;
  for (int64_t i = 0; i < x->rows; i++) {
    const row_view row = row_of(x, i);
    for (int64_t k = 0; k < row.count; k++) {
      const int64_t j = row.index ? (int64_t)row.index[k] : k;
      if (j >= x->columns) {
        return epact_fail(EPACT_E_MISUSE, "row %lld: column %lld is not below %lld", (long long)i, (long long)j,
                          (long long)x->columns);
      }
      if (row.index && k > 0 && row.index[k] <= row.index[k - 1]) {
        return epact_fail(EPACT_E_MISUSE, "row %lld: column %u follows column %u", (long long)i, row.index[k],
                          row.index[k - 1]);
      }
      if (!isfinite(row.value[k])) {
        return epact_fail(EPACT_E_MISUSE, "row %lld, column %lld: the value is not finite", (long long)i, (long long)j);
      }
    }
  }
  return EPACT_OK;
}

int epact_labels_check(int64_t count, const double *label, int signs)
{
  for (int64_t i = 0; i < count; i++) {
    if (signs && label[i] != 1 && label[i] != -1) {
      return epact_fail(EPACT_E_MISUSE, "row %lld: the label must be -1 or 1, got %g", (long long)i, label[i]);
    }
    if (!isfinite(label[i])) return epact_fail(EPACT_E_MISUSE, "row %lld: the label is not finite", (long long)i);
  }
  return EPACT_OK;
}

void epact_rows_predict(const epact_rows *x, const double *w, double bias, double *t)
{
  for (int64_t i = 0; i < x->rows; i++) {
    const row_view row = row_of(x, i);
    t[i] = row_dot(&row, w) + bias;
  }
}

void epact_rows_combine(const epact_rows *x, double a, const double *c, double *g)
{
  for (int64_t i = 0; i < x->rows; i++) {
    const row_view row = row_of(x, i);
    if (c[i] != 0) row_axpy(&row, a * c[i], g);
  }
}

double epact_rows_largest_norm2(const epact_rows *x)
{
  double largest = 0;
  for (int64_t i = 0; i < x->rows; i++) {
    const row_view row = row_of(x, i);
    largest = fmax(largest, row_norm2(&row));
  }
  return largest;
}
