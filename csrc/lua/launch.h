/* Starting the processes of a job on behalf of `epact launch`: their output is passed on line by line
 * with the rank in front, signals are passed on to all, and how the job ended is returned. */
#ifndef EPACT_LAUNCH_H
#define EPACT_LAUNCH_H

#include "../base/base.h"

typedef struct {
  int32_t count;            /* processes */
  const char *const *words; /* their command lines one after another, each ended by a NULL */
  const uint8_t *remote;    /* by rank: not 0 where the command line is of a process on another machine */
  double grace;             /* seconds the others get to end by themselves once one has failed; then they are ended */
  int32_t again;            /* not 0: a process that is lost ends the others at once, as they would be started again */
} epact_launch_options;

typedef struct {
  int32_t status; /* 0 when all ended with 0, else the largest exit status (128 + signal for one that was killed) */
  int32_t rank;   /* who ended badly: the first that was lost, else the first that failed; -1: nobody */
  int32_t signal; /* the signal that ended it, or 0 */
  int32_t exit_status; /* what it ended with, where no signal ended it */
  int32_t lost;        /* a signal that is not of the launcher's sending ended it, or it asks for a new start */
  int32_t interrupted; /* the launcher was told to end */
} epact_launch_end;

/** Runs the processes to their end. Each has a socket as its standard input: words on it, a line each, are the
 * signals the launcher sends to one that is `remote` (INT, TERM, KILL); its end tells that the launcher is gone.
 * The exit status 75 asks for a new start; a remote one's 255 says that the machine was not reached. */
EPACT_API int epact_launch(const epact_launch_options *options, epact_launch_end *end);
/** The number of this process, for names of its own. */
EPACT_API int64_t epact_process_id(void);
/** NAME=value of the environment by its place from 0; NULL behind the last. */
EPACT_API const char *epact_environment(int32_t index);

#endif
