/* Files that survive a crash; see file.h for what each call promises. */
#include "file.h"

#include "fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TEMPORARY ".tmp"

struct epact_file_log {
  int descriptor;
  bool broken; /* its content is not known any more */
  int64_t length;
  char path[];
};

static int fail_disk(const char *what, const char *path)
{
  return epact_fail(EPACT_E_DISK, "cannot %s %s: %s", what, path, strerror(errno));
}

/* Of a file that must be there already. */
static int fail_open(const char *path)
{
  return errno == ENOENT ? epact_fail(EPACT_E_NO_FILE, "there is no file %s", path) : fail_disk("open", path);
}

/* A copy of `path` with `suffix` behind it, in memory of its own. */
static char *path_with(const char *path, const char *suffix)
{
  size_t bytes = strlen(path) + strlen(suffix) + 1;
  char *joined = epact_malloc(bytes);
  if (joined) snprintf(joined, bytes, "%s%s", path, suffix);
  return joined;
}

static int open_patiently(const char *path, int flags)
{
  int descriptor;
  do {
    descriptor = epact_open(path, flags | O_CLOEXEC, 0666);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

/* write(2) may be interrupted and may write less than it was given. False: errno tells. */
static bool write_all(int descriptor, const char *data, size_t bytes)
{
  while (bytes) {
    ssize_t written = epact_write(descriptor, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    data += written;
    bytes -= (size_t)written;
  }
  return true;
}

/* A new name in a folder lasts once the folder is synced. `folder` is the path of any file in it, and is cut. */
static int sync_folder(char *folder, const char *path)
{
  char *slash = strrchr(folder, '/');
  if (slash) slash[slash == folder] = '\0';
  int descriptor = open_patiently(slash ? folder : ".", O_RDONLY | O_DIRECTORY);
  /* Some network file systems cannot sync a folder and say so; they need no sync either. */
  bool synced = descriptor >= 0 && (!epact_fsync(descriptor) || errno == EINVAL);
  int code = synced ? EPACT_OK
                    : epact_fail(EPACT_E_DISK, "cannot sync the folder of %s, the file may not last: %s", path,
                                 strerror(errno));
  if (descriptor >= 0) close(descriptor);
  return code;
}

static int write_synced(const char *path, const void *data, size_t bytes)
{
  int descriptor = open_patiently(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (descriptor < 0) return fail_disk("open", path);
  int code = EPACT_OK;
  if (!write_all(descriptor, data, bytes))
    code = fail_disk("write", path);
  else if (epact_fsync(descriptor))
    code = fail_disk("sync", path);
  close(descriptor); /* what it could report, the sync has reported */
  return code;
}

int epact_file_write_atomic(const char *path, const void *data, size_t bytes)
{
  char *temporary = path_with(path, TEMPORARY);
  if (!temporary) return EPACT_E_NOMEM;
  int code = write_synced(temporary, data, bytes);
  if (!code && epact_rename(temporary, path)) code = fail_disk("rename to", path);
  if (code)
    unlink(temporary); /* may not exist */
  else
    code = sync_folder(temporary, path);
  free(temporary);
  return code;
}

/* Reads up to `bytes` bytes; fewer when the file ends before. Negative: errno tells. */
static ssize_t read_all(int descriptor, char *data, size_t bytes)
{
  size_t filled = 0;
  while (filled < bytes) {
    ssize_t got = epact_read(descriptor, data + filled, bytes - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (!got) break;
    filled += (size_t)got;
  }
  return (ssize_t)filled;
}

static int read_open(int descriptor, const char *path, char **data, size_t *bytes)
{
  struct stat status;
  if (fstat(descriptor, &status)) return fail_disk("look at", path);
  if (!S_ISREG(status.st_mode)) return epact_fail(EPACT_E_DISK, "cannot read %s: it is no regular file", path);
  char *memory = epact_malloc((size_t)status.st_size + 1);
  if (!memory) return EPACT_E_NOMEM;
  ssize_t got = read_all(descriptor, memory, (size_t)status.st_size);
  if (got < 0) {
    int code = fail_disk("read", path);
    free(memory);
    return code;
  }
  memory[got] = '\0';
  *data = memory;
  *bytes = (size_t)got;
  return EPACT_OK;
}

int epact_file_read(const char *path, char **data, size_t *bytes)
{
  int descriptor = open_patiently(path, O_RDONLY | O_NONBLOCK); /* a pipe would wait for its writer */
  if (descriptor < 0) return fail_open(path);
  int code = read_open(descriptor, path, data, bytes);
  close(descriptor);
  return code;
}

static int sync_folder_of(const char *path)
{
  char *folder = path_with(path, "");
  if (!folder) return EPACT_E_NOMEM;
  int code = sync_folder(folder, path);
  free(folder);
  return code;
}

static int open_log(epact_file_log *file)
{
  struct stat status;
  file->descriptor = open_patiently(file->path, O_WRONLY | O_APPEND | O_NONBLOCK);
  bool made = file->descriptor < 0 && errno == ENOENT;
  if (made) file->descriptor = open_patiently(file->path, O_WRONLY | O_APPEND | O_CREAT);
  if (file->descriptor < 0) return fail_disk("open", file->path);
  if (fstat(file->descriptor, &status)) return fail_disk("look at", file->path);
  if (!S_ISREG(status.st_mode))
    return epact_fail(EPACT_E_DISK, "cannot append to %s: it is no regular file", file->path);
  file->length = status.st_size;
  return made ? sync_folder_of(file->path) : EPACT_OK;
}

int epact_file_append_open(epact_file_log **file, const char *path)
{
  size_t length = strlen(path) + 1;
  epact_file_log *opened = epact_calloc(1, sizeof *opened + length);
  if (!opened) return EPACT_E_NOMEM;
  memcpy(opened->path, path, length);
  int code = open_log(opened);
  if (code) {
    epact_file_close(opened);
    return code;
  }
  *file = opened;
  return EPACT_OK;
}

static int refuse_broken(const epact_file_log *file)
{
  return epact_fail(EPACT_E_DISK, "%s is given up: an earlier write or sync of it failed", file->path);
}

int epact_file_append(epact_file_log *file, const void *data, size_t bytes)
{
  if (file->broken) return refuse_broken(file);
  if (write_all(file->descriptor, data, bytes)) {
    file->length += (int64_t)bytes;
    return EPACT_OK;
  }
  int code = fail_disk("append to", file->path);
  file->broken = ftruncate(file->descriptor, file->length) != 0;
  return code;
}

int epact_file_sync(epact_file_log *file)
{
  if (file->broken) return refuse_broken(file);
  if (!epact_fdatasync(file->descriptor)) return EPACT_OK;
  file->broken = true;
  return fail_disk("sync", file->path);
}

int64_t epact_file_length(const epact_file_log *file)
{
  return file->length;
}

void epact_file_close(epact_file_log *file)
{
  if (!file) return;
  if (file->descriptor >= 0) close(file->descriptor);
  free(file);
}

int epact_file_truncate(const char *path, int64_t bytes)
{
  int descriptor = open_patiently(path, O_WRONLY | O_NONBLOCK);
  if (descriptor < 0) return fail_open(path);
  int code = EPACT_OK;
  if (ftruncate(descriptor, bytes))
    code = fail_disk("cut", path);
  else if (epact_fsync(descriptor))
    code = fail_disk("sync", path);
  close(descriptor);
  return code;
}
