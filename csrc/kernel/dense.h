/* The two loops that dense columns are made of. Private.
 *
 * Level 1 of the BLAS by our own hand, because OpenBLAS chooses its loops by the name of the processor: on one that it
 * does not know they are half as wide. */
#ifndef EPACT_KERNEL_DENSE_H
#define EPACT_KERNEL_DENSE_H

#include <stdint.h>

/* x'y. */
double dense_dot(int64_t n, const double *x, const double *y);
/* y += a x. */
void dense_axpy(int64_t n, double a, const double *x, double *y);

#endif
