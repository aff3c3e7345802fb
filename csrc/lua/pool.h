/* Floor 4: threads with a Lua state each. A pool hands each thread tasks (strings that Lua code in the
 * thread's state understands: module epact.thread) and gives their outcomes back one by one. */
#ifndef EPACT_POOL_H
#define EPACT_POOL_H

#include "../base/base.h"

typedef struct epact_pool epact_pool;

/** `workers` threads; `path` and `cpath` become package.path and package.cpath of their states.
 * NULL on failure, with the sentence left. */
EPACT_API epact_pool *epact_pool_open(int workers, const char *path, const char *cpath);
/** Gives an idle worker a task, which is copied. E_MISUSE when it has one. */
EPACT_API int epact_pool_submit(epact_pool *pool, int worker, const char *task, size_t bytes);

typedef struct {
  int32_t worker;
  int32_t failed;   /* the task raised an error: `data` is its message and traceback */
  const char *data; /* what the task returned; valid until the worker's next task */
  size_t bytes;
} epact_outcome;

/** The next outcome. Waits at most `seconds`. @return EPACT_OK, EPACT_E_AGAIN, or
 * EPACT_E_INTERRUPTED once for each SIGINT or SIGTERM while epact_signals_watch is on. */
EPACT_API int epact_pool_wait(epact_pool *pool, double seconds, epact_outcome *outcome);
/** Ends the threads and frees the pool. Threads still busy after `grace` seconds are left behind
 * with all they use: then EPACT_E_AGAIN is returned and nothing is freed. */
EPACT_API int epact_pool_close(epact_pool *pool, double grace);

/** On: SIGINT and SIGTERM are noted for epact_pool_wait instead of ending the process. Off: what
 * was there before is put back. Calls nest. */
EPACT_API void epact_signals_watch(int on);
/** EPACT_E_INTERRUPTED when a signal was noted since the last look, else EPACT_OK. */
EPACT_API int epact_signals_pending(void);

#endif
