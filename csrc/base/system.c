/* What the machine tells: time, cores, memory. */
#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

int epact_private_folder(const char *parent, char *path, size_t bytes)
{
  struct stat status;
  if (snprintf(path, bytes, "%s/epact-%u", parent, (unsigned)geteuid()) >= (int)bytes)
    return epact_fail(EPACT_E_LIMIT, "the name of the folder %s is too long", parent);
  if (mkdir(path, 0700) && errno != EEXIST)
    return epact_fail(EPACT_E_SYSTEM, "cannot make the folder %s: %s", path, strerror(errno));
  if (lstat(path, &status)) return epact_fail(EPACT_E_SYSTEM, "cannot look at %s: %s", path, strerror(errno));
  if (S_ISDIR(status.st_mode) && status.st_uid == geteuid() && !(status.st_mode & 077)) return EPACT_OK;
  return epact_fail(EPACT_E_AUTH, "%s must be a folder of this user that is closed to others (mode 0700)", path);
}

int epact_cores(void)
{
  cpu_set_t set;
  if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}
