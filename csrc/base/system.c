/* What the machine tells: time, cores, memory. */
#include "internal.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double seconds(clockid_t id)
{
  struct timespec t = { 0, 0 };
  clock_gettime(id, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double epact_now(void)
{
  return seconds(CLOCK_MONOTONIC);
}

struct timespec epact_deadline_after(double wait)
{
  struct timespec deadline;
  clock_gettime(CLOCK_MONOTONIC, &deadline);
  deadline.tv_sec += (time_t)wait;
  deadline.tv_nsec += (long)((wait - (double)(time_t)wait) * 1e9);
  deadline.tv_sec += deadline.tv_nsec / 1000000000;
  deadline.tv_nsec %= 1000000000;
  return deadline;
}

double epact_thread_cpu(void)
{
  return seconds(CLOCK_THREAD_CPUTIME_ID);
}

double epact_peak_memory(void)
{
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) ? 0 : (double)usage.ru_maxrss * 1024;
}

int epact_is_terminal(int descriptor)
{
  return isatty(descriptor) == 1;
}

int epact_cores(void)
{
  cpu_set_t set;
  if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}
