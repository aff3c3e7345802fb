/* Faults on order: in a build with -DEPACT_FAULT (`make faults`) chosen calls of a kind fail as the system would let
 * them fail. Other builds have none of it: epact_fault() is `false` and the wrappers are the calls they name.
 *
 *   EPACT_FAULT=malloc:17 prog      the 17th allocation fails; write:3+ the third write and all after it
 *
 * Whatever allocates, sends or touches a file in this library goes through a door that asks here first.
 */
#ifndef EPACT_BASE_FAULT_H
#define EPACT_BASE_FAULT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

typedef enum {
  EPACT_FAULT_MALLOC, /* ENOMEM; of every function of malloc's family */
  EPACT_FAULT_SEND,   /* ENOMEM; of a message to another process */
  EPACT_FAULT_READ,   /* EIO */
  EPACT_FAULT_WRITE,  /* ENOSPC */
  EPACT_FAULT_SHORT,  /* no error: a read or a write of about half of its bytes */
  EPACT_FAULT_FSYNC,  /* EIO; fdatasync and the fsync of a folder count too */
  EPACT_FAULT_RENAME, /* EACCES */
  EPACT_FAULT_OPEN,   /* EMFILE; pipes count too */
  EPACT_FAULT_THREAD, /* EAGAIN */
  EPACT_FAULT_KINDS
} epact_fault_kind;

#ifdef EPACT_FAULT
/** From now on, calls number `first` .. `last` of this kind fail, counted from 1; 0, 0 ends it. */
void epact_fault_at(epact_fault_kind kind, int64_t first, int64_t last);
/** As epact_fault_at, but the process is killed (SIGKILL) instead of call number `n`: a crash, or the power. */
void epact_fault_kill_at(epact_fault_kind kind, int64_t n);
/** Calls of this kind since the last epact_fault_at of it (or since the start). */
int64_t epact_fault_count(epact_fault_kind kind);
/** "malloc" for EPACT_FAULT_MALLOC, and so on. */
const char *epact_fault_name(epact_fault_kind kind);
/** Counts a call, and tells whether it shall fail; if so errno is set. */
bool epact_fault(epact_fault_kind kind);
#else
static inline bool epact_fault(epact_fault_kind kind)
{
  (void)kind;
  return false;
}
#endif

/* A call of 0 or 1 byte cannot be cut short. */
static inline size_t epact_fault_cut(size_t bytes)
{
  return bytes > 1 && epact_fault(EPACT_FAULT_SHORT) ? bytes / 2 : bytes;
}

/* open(2), read(2) and so on; the result is -1 and errno is set when they fail. */
static inline int epact_open(const char *path, int flags, mode_t mode)
{
  return epact_fault(EPACT_FAULT_OPEN) ? -1 : open(path, flags, mode);
}

static inline ssize_t epact_read(int descriptor, void *memory, size_t bytes)
{
  return epact_fault(EPACT_FAULT_READ) ? -1 : read(descriptor, memory, epact_fault_cut(bytes));
}

static inline ssize_t epact_write(int descriptor, const void *memory, size_t bytes)
{
  return epact_fault(EPACT_FAULT_WRITE) ? -1 : write(descriptor, memory, epact_fault_cut(bytes));
}

static inline int epact_fsync(int descriptor)
{
  return epact_fault(EPACT_FAULT_FSYNC) ? -1 : fsync(descriptor);
}

static inline int epact_fdatasync(int descriptor)
{
  return epact_fault(EPACT_FAULT_FSYNC) ? -1 : fdatasync(descriptor);
}

static inline int epact_rename(const char *from, const char *to)
{
  return epact_fault(EPACT_FAULT_RENAME) ? -1 : rename(from, to);
}

/* 0, or the number of an error. */
static inline int epact_thread_create(pthread_t *thread, void *(*run)(void *), void *argument)
{
  return epact_fault(EPACT_FAULT_THREAD) ? EAGAIN : pthread_create(thread, NULL, run, argument);
}

#endif
