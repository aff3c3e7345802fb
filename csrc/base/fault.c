/* The orders of a fault build: which calls of which kind are to fail. Empty in all others. */
#include "fault.h"

#ifdef EPACT_FAULT
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  int error;
} kinds[EPACT_FAULT_KINDS] = {
  [EPACT_FAULT_MALLOC] = { "malloc", ENOMEM }, [EPACT_FAULT_SEND] = { "send", ENOMEM },
  [EPACT_FAULT_READ] = { "read", EIO },        [EPACT_FAULT_WRITE] = { "write", ENOSPC },
  [EPACT_FAULT_SHORT] = { "short", 0 },        [EPACT_FAULT_FSYNC] = { "fsync", EIO },
  [EPACT_FAULT_RENAME] = { "rename", EACCES }, [EPACT_FAULT_OPEN] = { "open", EMFILE },
  [EPACT_FAULT_THREAD] = { "thread", EAGAIN },
};

/* Threads race for the n-th call, as they do for memory; an order is given while no other thread runs. */
static _Atomic int64_t counted[EPACT_FAULT_KINDS], from[EPACT_FAULT_KINDS], until[EPACT_FAULT_KINDS];
static atomic_bool deadly;

/* "KIND:N" or "KIND:N+"; anything else is told and orders nothing. */
static void read_environment(void)
{
  const char *order = getenv("EPACT_FAULT");
  const char *colon = order ? strchr(order, ':') : NULL;
  char *end = NULL;
  if (!order || !*order) return;
  long long first = colon ? strtoll(colon + 1, &end, 10) : 0;
  bool onward = end && *end == '+';
  for (int kind = 0; kind < EPACT_FAULT_KINDS && first > 0 && !end[onward]; kind++) {
    size_t length = strlen(kinds[kind].name);
    if (length != (size_t)(colon - order) || memcmp(order, kinds[kind].name, length) != 0) continue;
    atomic_store(&from[kind], first);
    atomic_store(&until[kind], onward ? INT64_MAX : first);
    return;
  }
  fprintf(stderr, "epact: EPACT_FAULT=%s is no order such as malloc:17 or write:3+\n", order);
}

void epact_fault_at(epact_fault_kind kind, int64_t first, int64_t last)
{
  atomic_store(&counted[kind], 0);
  atomic_store(&from[kind], first);
  atomic_store(&until[kind], last);
}

void epact_fault_kill_at(epact_fault_kind kind, int64_t n)
{
  atomic_store(&deadly, true);
  epact_fault_at(kind, n, n);
}

int64_t epact_fault_count(epact_fault_kind kind)
{
  return atomic_load(&counted[kind]);
}

const char *epact_fault_name(epact_fault_kind kind)
{
  return kinds[kind].name;
}

bool epact_fault(epact_fault_kind kind)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, read_environment);
  int64_t call = atomic_fetch_add(&counted[kind], 1) + 1;
  int64_t first = atomic_load(&from[kind]);
  if (!first || call < first || call > atomic_load(&until[kind])) return false;
  if (atomic_load(&deadly)) raise(SIGKILL);
  if (kinds[kind].error) errno = kinds[kind].error;
  return true;
}
#else
typedef int epact_no_faults_here; /* ISO C wants a declaration in every file */
#endif
