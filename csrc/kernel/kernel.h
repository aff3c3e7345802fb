/* Floor 2: pure functions over caller-owned arrays. Knows base only. */
#ifndef EPACT_KERNEL_H
#define EPACT_KERNEL_H
#endif
