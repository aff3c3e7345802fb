/* Soft-thresholding, inlined into the kernels. Private; the public twin is in linear.h. */
#ifndef EPACT_KERNEL_THRESHOLD_H
#define EPACT_KERNEL_THRESHOLD_H

static inline double soft_threshold(double z, double threshold)
{
  if (z > threshold) return z - threshold;
  if (z < -threshold) return z + threshold;
  return z == z ? 0 : z;
}

#endif
