/* The losses phi(t, y) of a linear prediction t, their derivatives in t and the bounds of their curvature.
 *
 *   squared         (t - y)^2 / 2                                         t - y                           1
 *   Huber, width d  a^2 / 2 where |a| <= d, else d |a| - d^2 / 2          a cut to -d .. d; a = t - y     1
 *   logistic        log(1 + exp(-y t))                                    -y / (1 + exp(y t))             1/4
 *   hinge           max(0, 1 - y t)                                       -y where y t < 1                none
 *   squared hinge   max(0, 1 - y t)^2 / 2                                 -y max(0, 1 - y t)              1
 *   smoothed hinge, 0, or 1 - m - g/2 where m <= 1 - g,                   0, -y,                          1/g
 *     width g         or (1 - m)^2 / (2 g); m = y t                         -y (1 - m) / g
 *
 * y is -1 or +1 from the logistic loss on, any number before it. */
#ifndef EPACT_KERNEL_LOSSES_H
#define EPACT_KERNEL_LOSSES_H

#include "../base/base.h"

enum {
  EPACT_SQUARED = 0,
  EPACT_HUBER = 1,
  EPACT_LOGISTIC = 2,
  EPACT_HINGE = 3,
  EPACT_SQUARED_HINGE = 4,
  EPACT_SMOOTHED_HINGE = 5,
  EPACT_LOSSES = 6
};

/** Which of them, and its width (of Huber's and the smoothed hinge loss; > 0). */
typedef struct {
  int32_t kind;
  double width;
} epact_loss;

/** EPACT_OK, or E_MISUSE when there is no such loss or its width is not positive. */
EPACT_API int epact_loss_check(const epact_loss *loss);
/** Whether its labels are -1 and +1. */
EPACT_API int epact_loss_classifies(const epact_loss *loss);
/** phi(t, y). */
EPACT_API double epact_loss_value(const epact_loss *loss, double t, double y);
/** d phi / dt; at a kink a subgradient. */
EPACT_API double epact_loss_derivative(const epact_loss *loss, double t, double y);
/** The least c with |phi'(s) - phi'(t)| <= c |s - t|; infinity of the hinge loss. */
EPACT_API double epact_loss_curvature(const epact_loss *loss);
/** The sum of phi(t[i], y[i]) over `count` rows. */
EPACT_API double epact_loss_sum(const epact_loss *loss, int64_t count, const double *t, const double *y);

#endif
