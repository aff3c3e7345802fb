/* Hinge loss over sparse rows. Private, and a template like sparse.h: once for each REAL. The
 * mathematics is in linear.h, at the declarations. */

#define ROWS NAME(epact_rows)
#define WEIGHTS NAME(epact_scaled_weights)

int NAME(epact_rows_check)(const ROWS *x, const REAL *label)
{
  for (int64_t i = 0; i < x->rows; i++)
    if (x->start[i] < 0 || x->start[i + 1] < x->start[i])
      return epact_fail(EPACT_E_MISUSE, "row %lld: its start falls", (long long)i);
  for (int64_t i = 0; i < x->rows; i++) {
    const int64_t begin = x->start[i], end = x->start[i + 1];
    for (int64_t e = begin; e < end; e++) {
      if (x->index[e] >= x->columns)
        return epact_fail(EPACT_E_MISUSE, "row %lld: column %u is not below %lld", (long long)i, x->index[e],
                          (long long)x->columns);
      if (e > begin && x->index[e] <= x->index[e - 1])
        return epact_fail(EPACT_E_MISUSE, "row %lld: column %u follows column %u", (long long)i, x->index[e],
                          x->index[e - 1]);
      if (!isfinite(x->value[e]))
        return epact_fail(EPACT_E_MISUSE, "row %lld, column %u: the value is not finite", (long long)i, x->index[e]);
    }
    if (label && label[i] != 1 && label[i] != -1)
      return epact_fail(EPACT_E_MISUSE, "row %lld: the label must be -1 or 1, got %g", (long long)i, (double)label[i]);
  }
  return EPACT_OK;
}

void NAME(epact_scaled_weights_fold)(WEIGHTS *w, int64_t columns)
{
  const REAL scale = (REAL)w->scale;
  for (int64_t j = 0; j < columns; j++) w->direction[j] *= scale;
  w->scale = 1;
}

int64_t NAME(epact_hinge_sgd)(const ROWS *x, const REAL *label, const uint32_t *order, int64_t first, int64_t end,
                              const epact_sgd_options *options, WEIGHTS *w)
{
  int64_t violations = 0;
  int code = check_sgd(x->rows, first, end, options, w->updates);
  if (code) return code;
  for (int64_t position = first; position < end; position++) {
    const int64_t i = order ? (int64_t)order[position] : position;
    if (EPACT_UNLIKELY(i >= x->rows)) return fail_order(position, i, x->rows);
    const int64_t begin = x->start[i], count = x->start[i + 1] - begin;
    const double step = options->step / (1 + options->decay * (double)w->updates++);
    const double margin =
        (double)label[i] * w->scale * NAME(sparse_dot)(count, x->index + begin, x->value + begin, w->direction);
    w->scale *= 1 - step * options->l2;
    if (EPACT_UNLIKELY(w->scale < SMALLEST_SCALE)) NAME(epact_scaled_weights_fold)(w, x->columns);
    if (margin >= 1) continue;
    if (EPACT_UNLIKELY(!isfinite(margin))) return fail_diverged(i);
    violations++;
    NAME(sparse_axpy)
    (count, (REAL)(step * (double)label[i] / w->scale), x->index + begin, x->value + begin, w->direction);
  }
  return violations;
}

double NAME(epact_hinge_objective)(const ROWS *x, const REAL *label, const REAL *w, double l2)
{
  double loss = 0, squared_norm = 0;
  for (int64_t i = 0; i < x->rows; i++) {
    const int64_t begin = x->start[i], count = x->start[i + 1] - begin;
    const double margin = (double)label[i] * NAME(sparse_dot)(count, x->index + begin, x->value + begin, w);
    loss += margin < 1 ? 1 - margin : 0;
  }
  for (int64_t j = 0; j < x->columns; j++) squared_norm += (double)w[j] * (double)w[j];
  return (x->rows > 0 ? loss / (double)x->rows : 0) + l2 / 2 * squared_norm;
}

#undef ROWS
#undef WEIGHTS
