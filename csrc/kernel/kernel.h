/* Floor 2: pure functions over caller-owned arrays. Knows base only. */
#ifndef EPACT_KERNEL_H
#define EPACT_KERNEL_H
#include "losses.h"
#include "linear.h"
#include "lasso.h"
#include "mf.h"
#include "lda.h"
#endif
