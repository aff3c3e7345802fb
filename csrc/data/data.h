#ifndef EPACT_DATA_H
#define EPACT_DATA_H
#include "../base/base.h"
#endif
