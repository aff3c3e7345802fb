/* The gradient of metric.c. Private, and a template: define REAL, API(base), NAME(base) and GEMM (OpenBLAS's product)
 * before including it, once for each. */

/* The terms of some pairs, of which y = L e are the rows; each row then becomes the derivative of its term by it. */
EPACT_CLONES static double NAME(terms)(int64_t n, double margin, int64_t pairs, REAL *restrict y)
{
  double sum = 0;
  for (int64_t t = 0; t < pairs; t++, y += n) {
    double squares = 0;
    for (int64_t j = 0; j < n; j++) squares += (double)y[j] * (double)y[j];
    const bool beyond = margin > 0 && squares >= margin;
    const REAL factor = margin > 0 ? (beyond ? 0 : -2) : 2;
    sum += margin > 0 ? (beyond ? 0 : margin - squares) : squares;
    for (int64_t j = 0; j < n; j++) y[j] *= factor;
  }
  return sum;
}

double API(epact_metric_gradient)(const epact_metric *metric, const REAL *L, int64_t pairs, const uint32_t *first,
                                  const uint32_t *second, double scale, REAL *gradient, REAL *scratch)
{
  const int64_t p = metric->columns, q = metric->outputs;
  REAL *e = scratch, *y = scratch + EPACT_METRIC_BLOCK * p;
  double sum = 0;
  for (int64_t begin = 0; begin < pairs; begin += EPACT_METRIC_BLOCK) {
    const int64_t count = pairs - begin < EPACT_METRIC_BLOCK ? pairs - begin : EPACT_METRIC_BLOCK;
    for (int64_t t = 0; t < count; t++) {
      const double *a = metric->x + first[begin + t] * p, *b = metric->x + second[begin + t] * p;
      for (int64_t j = 0; j < p; j++) e[t * p + j] = (REAL)(a[j] - b[j]);
    }
    GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)count, (int)q, (int)p, 1, e, (int)p, L, (int)p, 0, y, (int)q);
    sum += NAME(terms)(q, metric->margin, count, y);
    if (gradient)
      GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, (int)q, (int)p, (int)count, (REAL)scale, y, (int)q, e, (int)p, 1,
           gradient, (int)p);
  }
  return sum;
}
