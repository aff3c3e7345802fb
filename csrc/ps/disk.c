/* Snapshots in a folder of the file system. */
#include "disk.h"

#include "../base/file.h"

#include <dirent.h>
#include <errno.h>
#include <sys/file.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096

typedef struct {
  epact_disk disk;
  char *folder;
  int lock;            /* a descriptor, -1: the folder is not locked */
  epact_file_log *log; /* the file appended to last */
  char log_name[256];
} folder_disk;

static int path_of(const folder_disk *f, const char *name, char *path)
{
  if (snprintf(path, PATH_BYTES, "%s/%s", f->folder, name) < PATH_BYTES) return EPACT_OK;
  return epact_fail(EPACT_E_DISK, "the path of %s in %s is too long", name, f->folder);
}

static int write_whole(void *context, const char *name, const void *data, size_t bytes)
{
  char path[PATH_BYTES];
  int code = path_of(context, name, path);
  return code ? code : epact_file_write_atomic(path, data, bytes);
}

static int read_whole(void *context, const char *name, char **data, size_t *bytes)
{
  char path[PATH_BYTES];
  int code = path_of(context, name, path);
  return code ? code : epact_file_read(path, data, bytes);
}

static int open_log(folder_disk *f, const char *name)
{
  char path[PATH_BYTES];
  if (f->log && !strcmp(f->log_name, name)) return EPACT_OK;
  epact_file_close(f->log);
  f->log = NULL;
  snprintf(f->log_name, sizeof f->log_name, "%s", name);
  int code = path_of(f, name, path);
  return code ? code : epact_file_append_open(&f->log, path);
}

static int append(void *context, const char *name, const void *data, size_t bytes)
{
  folder_disk *f = context;
  int code = open_log(f, name);
  return code ? code : epact_file_append(f->log, data, bytes);
}

static int sync_log(void *context, const char *name)
{
  folder_disk *f = context;
  int code = open_log(f, name);
  return code ? code : epact_file_sync(f->log);
}

static int remove_file(void *context, const char *name)
{
  folder_disk *f = context;
  char path[PATH_BYTES];
  int code = path_of(f, name, path);
  if (code) return code;
  if (f->log && !strcmp(f->log_name, name)) {
    epact_file_close(f->log);
    f->log = NULL;
  }
  if (!unlink(path) || errno == ENOENT) return EPACT_OK;
  return epact_fail(EPACT_E_DISK, "cannot remove %s: %s", path, strerror(errno));
}

static int list(void *context, int (*each)(void *argument, const char *name), void *argument)
{
  folder_disk *f = context;
  DIR *folder = opendir(f->folder);
  struct dirent *entry;
  int code = EPACT_OK;
  if (!folder) return epact_fail(EPACT_E_DISK, "cannot list %s: %s", f->folder, strerror(errno));
  while (code >= 0 && (entry = readdir(folder))) code = each(argument, entry->d_name);
  closedir(folder);
  return code < 0 ? code : EPACT_OK;
}

/* As mkdir -p. */
static int make_folder(const char *folder)
{
  char path[PATH_BYTES];
  struct stat status;
  if (snprintf(path, sizeof path, "%s", folder) >= PATH_BYTES)
    return epact_fail(EPACT_E_DISK, "the name of the folder %s is too long", folder);
  for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    mkdir(path, 0777);
    *slash = '/';
  }
  if (mkdir(path, 0777) && errno != EEXIST)
    return epact_fail(EPACT_E_DISK, "cannot make the folder %s: %s", folder, strerror(errno));
  if (!stat(path, &status) && S_ISDIR(status.st_mode)) return EPACT_OK;
  return epact_fail(EPACT_E_DISK, "%s is not a folder", folder);
}

epact_disk *epact_disk_open(const char *folder)
{
  if (make_folder(folder)) return NULL;
  folder_disk *f = epact_calloc(1, sizeof *f);
  if (!f || !(f->folder = epact_malloc(strlen(folder) + 1))) {
    free(f);
    return NULL;
  }
  memcpy(f->folder, folder, strlen(folder) + 1);
  f->lock = -1;
  f->disk = (epact_disk){ write_whole, read_whole, append, sync_log, remove_file, list, f };
  return &f->disk;
}

int epact_disk_lock(epact_disk *disk)
{
  folder_disk *f = disk->context;
  char path[PATH_BYTES];
  int code = path_of(f, ".lock", path);
  if (code) return code;
  f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (f->lock < 0) return epact_fail(EPACT_E_DISK, "cannot open %s: %s", path, strerror(errno));
  if (!flock(f->lock, LOCK_EX | LOCK_NB) || (errno != EWOULDBLOCK && errno != EINTR)) return EPACT_OK;
  return epact_fail(EPACT_E_SNAPSHOT, "another job keeps its snapshots there now");
}

void epact_disk_close(epact_disk *disk)
{
  if (!disk) return;
  folder_disk *f = disk->context;
  epact_file_close(f->log);
  if (f->lock >= 0) close(f->lock);
  free(f->folder);
  free(f);
}
