/* Floor 2: pure functions over caller-owned arrays. Knows base only. */
#ifndef EPACT_KERNEL_H
#define EPACT_KERNEL_H
#include "losses.h"
#include "penalty.h"
#include "hessian.h"
#include "newton.h"
#include "dual.h"
#include "active.h"
#include "linear.h"
#include "sgd.h"
#include "columns.h"
#include "coordinate.h"
#include "lasso.h"
#include "mf.h"
#include "adaptive.h"
#include "graph_cut.h"
#include "metric.h"
#include "network.h"
#include "lda.h"
#include "nmf.h"
#include "sparse_coding.h"
#include "softmax.h"
#endif
