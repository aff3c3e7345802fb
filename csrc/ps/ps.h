#ifndef EPACT_PS_H
#define EPACT_PS_H
#include "../base/base.h"
#endif
