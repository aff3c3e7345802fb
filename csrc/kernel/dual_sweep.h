/* The sweeps of dual.c. Private, and a template: FLAT says whether the entries of a row are equal, NAME(base) names the
 * functions (both are undefined at the end); the weights are REAL, in the member WEIGHTS. */

static inline double NAME(row_dot)(const epact_dual *dual, int64_t begin, int64_t end, double flat)
{
  const uint32_t *index = dual->index;
  const REAL *w = dual->WEIGHTS;
  REAL sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
  int64_t e = begin;
#if FLAT
  for (; e + 4 <= end; e += 4) {
    sum0 += w[index[e]];
    sum1 += w[index[e + 1]];
    sum2 += w[index[e + 2]];
    sum3 += w[index[e + 3]];
  }
  for (; e < end; e++) sum0 += w[index[e]];
  return flat * (double)((sum0 + sum1) + (sum2 + sum3));
#else
  const float *value = dual->value;
  (void)flat;
  for (; e + 4 <= end; e += 4) {
    sum0 += (REAL)value[e] * w[index[e]];
    sum1 += (REAL)value[e + 1] * w[index[e + 1]];
    sum2 += (REAL)value[e + 2] * w[index[e + 2]];
    sum3 += (REAL)value[e + 3] * w[index[e + 3]];
  }
  for (; e < end; e++) sum0 += (REAL)value[e] * w[index[e]];
  return (double)((sum0 + sum1) + (sum2 + sum3));
#endif
}

/* w += change x_i / l2 and the intercept's share of it. */
static inline void NAME(row_add)(epact_dual *dual, int64_t begin, int64_t end, double change, double flat)
{
  const uint32_t *index = dual->index;
  REAL *w = dual->WEIGHTS;
#if FLAT
  const REAL step = (REAL)(change * flat / dual->l2);
  for (int64_t e = begin; e < end; e++) w[index[e]] += step;
#else
  const float *value = dual->value;
  const REAL step = (REAL)(change / dual->l2);
  (void)flat;
  for (int64_t e = begin; e < end; e++) w[index[e]] += step * (REAL)value[e];
#endif
  if (dual->intercept) dual->share += change / dual->proximal;
}

static double NAME(sweep_logistic)(epact_dual *dual, int64_t first, int64_t last)
{
  const double bend = dual->intercept ? 1 / dual->proximal : 0;
  double gap = 0;
  for (int64_t k = first; k < last; k++) {
    dual_row *row = dual->row + k;
    const int64_t begin = dual->start[k], end = dual->start[k + 1];
    const double flat = (double)row->flat, a = row->a;
    const double m = row->y * (NAME(row_dot)(dual, begin, end, flat) + dual->multiplier + dual->share);
    const double share = wrong_share(m), error = share - a;
    gap += error * error / (2 * share * (1 - share) + 1e-300);
    dual->visited++;
    const double z = logistic_root(m, (double)row->q + bend, a, share);
    row->a = z;
    if (z != a) NAME(row_add)(dual, begin, end, row->y * (z - a), flat);
  }
  return gap;
}

static double NAME(sweep_box)(epact_dual *dual, int64_t first, int64_t last)
{
  const box b = box_of(&dual->loss);
  const bool classifies = epact_loss_classifies(&dual->loss);
  const double bend = dual->intercept ? 1 / dual->proximal : 0;
  double gap = 0;
  for (int64_t k = first; k < last; k++) {
    dual_row *row = dual->row + k;
    if (row->left_out) continue;
    const int64_t begin = dual->start[k], end = dual->start[k + 1];
    const double flat = (double)row->flat, sign = classifies ? row->y : 1, a = row->a;
    const double t = NAME(row_dot)(dual, begin, end, flat) + dual->multiplier + dual->share;
    const double rest = (classifies ? 1 : row->y) - sign * t;
    const double slope = rest - b.curvature * a;
    if ((a == b.low && slope < -dual->threshold) || (a == b.high && slope > dual->threshold)) {
      row->left_out = 1;
      continue;
    }
    const double violation = a == b.low ? fmax(slope, 0) : a == b.high ? fmax(-slope, 0) : fabs(slope);
    if (violation > dual->next) dual->next = violation;
    dual->visited++;
    const double best = b.curvature > 0 ? clip(rest / b.curvature, b.low, b.high) : rest > 0 ? b.high : b.low;
    gap += (best - a) * (rest - b.curvature / 2 * (best + a));
    const double stiffness = b.curvature + (double)row->q + bend;
    const double z = stiffness > 0 ? clip(a + slope / stiffness, b.low, b.high) : best;
    if (z == a) continue;
    row->a = z;
    NAME(row_add)(dual, begin, end, sign * (z - a), flat);
  }
  return gap;
}

#undef FLAT
#undef NAME
