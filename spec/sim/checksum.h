/* Makes a frame that was tampered with pass its checksum, so that what comes after that check is tested too. */
#ifndef EPACT_SPEC_SIM_CHECKSUM_H
#define EPACT_SPEC_SIM_CHECKSUM_H

#include "base/base.h"

#include <string.h>

static inline void checksum(char *frame, size_t bytes)
{
  if (bytes < 16) return;
  uint32_t crc = epact_crc32c(epact_crc32c(0, frame, 8), frame + 12, bytes - 12);
  memcpy(frame + 8, &crc, sizeof crc);
}

#endif
