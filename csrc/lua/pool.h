#ifndef EPACT_POOL_H
#define EPACT_POOL_H
#include "../base/base.h"
#endif
