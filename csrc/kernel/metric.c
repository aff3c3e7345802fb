/* Distance metric learning: see metric.h. */
#include "metric.h"

#include "../base/internal.h"

#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#define REAL float
#define API(base) base##_f
#define NAME(base) base##_f
#define GEMM cblas_sgemm
#include "metric_pass.h"
#undef REAL
#undef API
#undef NAME
#undef GEMM

#define REAL double
#define API(base) base
#define NAME(base) base##_d
#define GEMM cblas_dgemm
#include "metric_pass.h"

EPACT_CLONES double epact_metric_diagonal(const epact_metric *metric, const double *a, int64_t pairs,
                                          const uint32_t *first, const uint32_t *second, double *restrict sum)
{
  const int64_t p = metric->columns;
  double distances = 0;
  for (int64_t t = 0; t < pairs; t++) {
    const double *x = metric->x + first[t] * p, *y = metric->x + second[t] * p;
    double squares = 0;
    for (int64_t j = 0; j < p && a; j++) squares += a[j] * (x[j] - y[j]) * (x[j] - y[j]);
    const double distance = sqrt(squares), weight = a ? (squares > 0 ? 0.5 / distance : 0) : 1;
    distances += distance;
    for (int64_t j = 0; j < p; j++) sum[j] += weight * (x[j] - y[j]) * (x[j] - y[j]);
  }
  return distances;
}

/* OpenBLAS counts in int: so many rows at once. */
#define MOST_ROWS (INT64_C(1) << 20)

void epact_metric_transform(const epact_metric *metric, const double *L, int64_t rows, double *to)
{
  const int64_t p = metric->columns, q = metric->outputs;
  for (int64_t i = 0; i < rows; i += MOST_ROWS) {
    const int count = (int)(rows - i < MOST_ROWS ? rows - i : MOST_ROWS);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, (int)q, (int)p, 1, metric->x + i * p, (int)p, L, (int)p,
                0, to + i * q, (int)q);
  }
}

typedef struct {
  double distance;
  int64_t row;
} near_row;

/* The `most` nearest rows, nearest first: `distance` has one for each of `count`; row `own` (-1: none) is left out. */
static void find_nearest(int64_t count, const double *distance, int64_t own, int64_t most, near_row *nearest)
{
  int64_t found = 0;
  for (int64_t i = 0; i < count; i++) {
    if (i == own || (found == most && !(distance[i] < nearest[most - 1].distance))) continue;
    int64_t at = found < most ? found++ : most - 1;
    for (; at > 0 && distance[i] < nearest[at - 1].distance; at--) nearest[at] = nearest[at - 1];
    nearest[at] = (near_row){ distance[i], i };
  }
}

static double most_frequent(int64_t count, const near_row *nearest, const double *label)
{
  double best = label[nearest[0].row];
  int64_t most = 0;
  for (int64_t i = 0; i < count; i++) {
    int64_t same = 0;
    for (int64_t j = 0; j < count; j++) same += label[nearest[j].row] == label[nearest[i].row];
    if (same > most) {
      most = same;
      best = label[nearest[i].row];
    }
  }
  return best;
}

/* ||r - x||^2 but for ||x||^2, which is the same for all r: rows x count. */
static void find_distances(int64_t columns, int64_t count, const double *reference, const double *norm, int64_t rows,
                           const double *x, double *distance)
{
  for (int64_t i = 0; i < rows; i++)
    for (int64_t r = 0; r < count; r++) distance[i * count + r] = norm[r];
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)count, (int)columns, -2, x, (int)columns,
              reference, (int)columns, 1, distance, (int)count);
}

int epact_metric_vote(int64_t columns, int64_t count, const double *reference, const double *label, int64_t rows,
                      const double *x, int64_t neighbours, int leave_out, double *vote)
{
  enum { AT_ONCE = 32 };
  if (neighbours < 1 || neighbours > count - (leave_out != 0))
    return epact_fail(EPACT_E_MISUSE, "%lld neighbours of %lld rows", (long long)neighbours,
                      (long long)(count - (leave_out != 0)));
  if (count > INT_MAX || columns > INT_MAX)
    return epact_fail(EPACT_E_MISUSE, "%lld x %lld references are too many", (long long)count, (long long)columns);
  double *norm = epact_malloc((size_t)count * sizeof *norm);
  double *distance = epact_malloc((size_t)count * AT_ONCE * sizeof *distance);
  near_row *nearest = epact_malloc((size_t)neighbours * sizeof *nearest);
  const int code = norm && distance && nearest ? EPACT_OK : EPACT_E_NOMEM;
  for (int64_t r = 0; r < count && !code; r++) {
    const double *row = reference + r * columns;
    norm[r] = cblas_ddot((int)columns, row, 1, row, 1);
  }
  for (int64_t begin = 0; begin < rows && !code; begin += AT_ONCE) {
    const int64_t some = rows - begin < AT_ONCE ? rows - begin : AT_ONCE;
    find_distances(columns, count, reference, norm, some, x + begin * columns, distance);
    for (int64_t i = 0; i < some; i++) {
      find_nearest(count, distance + i * count, leave_out ? begin + i : -1, neighbours, nearest);
      vote[begin + i] = most_frequent(neighbours, nearest, label);
    }
  }
  free(norm);
  free(distance);
  free(nearest);
  return code;
}
