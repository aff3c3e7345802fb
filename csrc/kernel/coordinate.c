/* Scheduled coordinate descent on a worker's rows: see coordinate.h. */
#include "coordinate.h"

#include "../base/internal.h"
#include "column.h"
#include "loss.h"
#include "newton.h"

static double product_of(const epact_coordinate *c, int64_t j)
{
  const double mean = c->x.mean ? c->x.mean[j] : 0;
  return scale_of(&c->x, j) * (column_dot(column_of(&c->x, j), c->u) - mean * c->u_sum);
}

static int check_id(const epact_coordinate *c, uint32_t j)
{
  if ((int64_t)j < c->x.columns) return EPACT_OK;
  return epact_fail(EPACT_E_MISUSE, "column %u of %lld columns", j, (long long)c->x.columns);
}

int epact_coordinate_products(const epact_coordinate *c, const uint32_t *id, int64_t count, double *product)
{
  for (int64_t k = 0; k < count; k++) {
    const int code = check_id(c, id[k]);
    if (code) return code;
    product[k] = product_of(c, id[k]);
  }
  return EPACT_OK;
}

/* u after t has changed in the rows of a column. */
static void refresh(epact_coordinate *c, column x)
{
  for (int64_t e = 0; e < x.count; e++) {
    const int64_t i = x.index ? (int64_t)x.index[e] : e;
    c->u[i] = loss_derivative(c->loss.kind, c->loss.width, c->t[i], c->y[i]);
  }
}

static void refresh_all(epact_coordinate *c, double shift)
{
  double sum = 0;
  for (int64_t i = 0; i < c->x.rows; i++) {
    c->t[i] += shift;
    sum += c->u[i] = loss_derivative(c->loss.kind, c->loss.width, c->t[i], c->y[i]);
  }
  c->u_sum = sum;
}

int epact_coordinate_move(epact_coordinate *c, const uint32_t *id, int64_t count, const double *change)
{
  const bool squared = c->loss.kind == EPACT_SQUARED;
  double shift = 0;
  bool moved = false;
  for (int64_t k = 0; k < count; k++) {
    const int code = check_id(c, id[k]);
    if (code) return code;
  }
  for (int64_t k = 0; k < count; k++) {
    const uint32_t j = id[k];
    const double step = scale_of(&c->x, j) * change[k];
    if (step == 0) continue;
    moved = true;
    column_axpy(step, column_of(&c->x, j), squared ? c->u : c->t);
    if (c->x.mean) shift -= step * c->x.mean[j];
    if (c->column_sum) c->u_sum += step * c->column_sum[j];
  }
  if (squared || !moved) return EPACT_OK;
  if (c->x.mean || !c->x.start) {
    refresh_all(c, shift);
    return EPACT_OK;
  }
  for (int64_t k = 0; k < count; k++)
    if (change[k] != 0) refresh(c, column_of(&c->x, id[k]));
  return EPACT_OK;
}

double epact_coordinate_predict(epact_coordinate *c, const double *b, double offset)
{
  for (int64_t i = 0; i < c->x.rows; i++) c->t[i] = offset;
  for (int64_t j = 0; j < c->x.columns; j++)
    if (b[j] != 0) column_axpy(scale_of(&c->x, j) * b[j], column_of(&c->x, j), c->t);
  const double sum = epact_newton_terms(&c->loss, c->x.rows, c->t, c->y, c->u, NULL);
  c->u_sum = sum_of(c->x.rows, c->u);
  return sum;
}

void epact_coordinate_gradient(const epact_coordinate *c, double *gradient)
{
  for (int64_t j = 0; j < c->x.columns; j++) gradient[j] = product_of(c, j);
}
