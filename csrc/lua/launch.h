/* Starting the processes of a job on behalf of `epact launch`: their output is passed on line by line
 * with the rank in front, signals are passed on to all, and the worst exit status is returned. */
#ifndef EPACT_LAUNCH_H
#define EPACT_LAUNCH_H

#include "../base/base.h"

typedef struct {
  int32_t count;            /* processes */
  const char *const *words; /* their command lines one after another, each ended by a NULL */
  double grace;             /* seconds the others get to end by themselves once one has failed; then they are ended */
} epact_launch_options;

/** Runs the processes to their end. *status: 0 when all ended with 0, else the largest of their exit
 * statuses (128 + signal for one that was killed). */
EPACT_API int epact_launch(const epact_launch_options *options, int32_t *status);
/** The number of this process, for names of its own. */
EPACT_API int64_t epact_process_id(void);

#endif
