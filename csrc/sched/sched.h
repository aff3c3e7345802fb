/* Floor 3: the scheduler. Which variables are updated next, and which may be at the same time. Knows base and the
 * columns of a matrix. Public part: plain enough for ffi.cdef. */
#ifndef EPACT_SCHED_H
#define EPACT_SCHED_H
#include "sampler.h"
#include "dependency.h"
#include "balance.h"
#include "spectrum.h"
#include "cluster.h"
#endif
