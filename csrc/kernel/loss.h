/* The losses of losses.h for loops: private, inlined; `kind` should be known to the compiler. */
#ifndef EPACT_KERNEL_LOSS_H
#define EPACT_KERNEL_LOSS_H

#include "losses.h"

#include <math.h>

/* log(1 + exp(t)), without overflow and with all digits. */
static inline double log1p_exp(double t)
{
  return fmax(t, 0) + log1p(exp(-fabs(t)));
}

/* 1 / (1 + exp(-t)), without overflow. */
static inline double sigmoid(double t)
{
  const double e = exp(-fabs(t));
  return (t >= 0 ? 1 : e) / (1 + e);
}

static inline double loss_value(int kind, double width, double t, double y)
{
  const double error = t - y, missing = 1 - y * t;
  switch (kind) {
  case EPACT_SQUARED:
    return error * error / 2;
  case EPACT_HUBER:
    return fabs(error) <= width ? error * error / 2 : width * (fabs(error) - width / 2);
  case EPACT_LOGISTIC:
    return log1p_exp(-y * t);
  case EPACT_HINGE:
    return missing <= 0 ? 0 : missing;
  case EPACT_SQUARED_HINGE:
    return missing <= 0 ? 0 : missing * missing / 2;
  default:
    return missing <= 0 ? 0 : missing >= width ? missing - width / 2 : missing * missing / (2 * width);
  }
}

static inline double loss_derivative(int kind, double width, double t, double y)
{
  const double error = t - y, missing = 1 - y * t;
  switch (kind) {
  case EPACT_SQUARED:
    return error;
  case EPACT_HUBER:
    return error > width ? width : error < -width ? -width : error;
  case EPACT_LOGISTIC:
    return -y * sigmoid(-y * t);
  case EPACT_HINGE:
    return missing <= 0 ? 0 : -y;
  case EPACT_SQUARED_HINGE:
    return missing <= 0 ? 0 : -y * missing;
  default:
    return missing <= 0 ? 0 : missing >= width ? -y : -y * missing / width;
  }
}

#endif
