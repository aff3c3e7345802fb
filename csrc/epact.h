/* Everything public of the C library, floor by floor. The same text, preprocessed, is what the Lua
 * side hands to ffi.cdef (epact_cdef()), so that declarations exist once. */
#ifndef EPACT_H
#define EPACT_H
#include "base/base.h"
#include "data/data.h"
#include "kernel/kernel.h"
#include "sched/sched.h"
#include "ps/ps.h"
#include "lua/pool.h"
#include "lua/launch.h"
#endif
