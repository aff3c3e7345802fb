/* Losses one at a time: for Lua, objectives and tests. Loops take them from loss.h. */
#include "loss.h"

#include "../base/internal.h"

int epact_loss_check(const epact_loss *loss)
{
  if (loss->kind < 0 || loss->kind >= EPACT_LOSSES) {
    return epact_fail(EPACT_E_MISUSE, "there is no loss number %d", loss->kind);
  }
  const bool wide = loss->kind == EPACT_HUBER || loss->kind == EPACT_SMOOTHED_HINGE;
  if (wide && !(loss->width > 0 && loss->width < INFINITY)) {
    return epact_fail(EPACT_E_MISUSE, "the width of a loss must be positive, got %g", loss->width);
  }
  return EPACT_OK;
}

int epact_loss_classifies(const epact_loss *loss)
{
  return loss->kind >= EPACT_LOGISTIC;
}

double epact_loss_value(const epact_loss *loss, double t, double y)
{
  return loss_value(loss->kind, loss->width, t, y);
}

double epact_loss_derivative(const epact_loss *loss, double t, double y)
{
  return loss_derivative(loss->kind, loss->width, t, y);
}

double epact_loss_curvature(const epact_loss *loss)
{
  switch (loss->kind) {
  case EPACT_LOGISTIC:
    return 0.25;
  case EPACT_HINGE:
    return INFINITY;
  case EPACT_SMOOTHED_HINGE:
    return 1 / loss->width;
  default:
    return 1;
  }
}

double epact_loss_sum(const epact_loss *loss, int64_t count, const double *t, const double *y)
{
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += loss_value(loss->kind, loss->width, t[i], y[i]);
  return sum;
}
