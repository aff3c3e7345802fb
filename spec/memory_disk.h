/* A folder in memory, for the specs of snapshots: files as they were written, to be looked at and spoilt. */
#ifndef EPACT_SPEC_MEMORY_DISK_H
#define EPACT_SPEC_MEMORY_DISK_H

#include "ps/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY_FILES = 128 };

typedef struct {
  char name[64];
  char *data;
  size_t bytes;
} memory_file;

typedef struct {
  epact_disk disk;
  memory_file file[MEMORY_FILES];
  int files;
  bool full; /* writes and appends fail */
} memory_disk;

static memory_file *memory_find(memory_disk *m, const char *name)
{
  for (int i = 0; i < m->files; i++) {
    if (!strcmp(m->file[i].name, name)) return &m->file[i];
  }
  return NULL;
}

static memory_file *memory_make(memory_disk *m, const char *name)
{
  memory_file *file = memory_find(m, name);
  if (file) return file;
  if (m->files == MEMORY_FILES) {
    fprintf(stderr, "more than %d files\n", MEMORY_FILES);
    exit(1);
  }
  file = &m->file[m->files++];
  snprintf(file->name, sizeof file->name, "%s", name);
  file->data = NULL;
  file->bytes = 0;
  return file;
}

static int memory_append(void *context, const char *name, const void *data, size_t bytes)
{
  memory_disk *m = context;
  if (m->full) return epact_fail(EPACT_E_DISK, "cannot write %s: the disk is full", name);
  memory_file *file = memory_make(m, name);
  char *grown = realloc(file->data, file->bytes + bytes + 1);
  if (!grown) exit(1);
  file->data = grown;
  if (bytes) memcpy(file->data + file->bytes, data, bytes);
  file->bytes += bytes;
  return EPACT_OK;
}

static int memory_write(void *context, const char *name, const void *data, size_t bytes)
{
  memory_disk *m = context;
  memory_file *file = m->full ? NULL : memory_find(m, name);
  if (file) file->bytes = 0;
  return memory_append(context, name, data, bytes);
}

static int memory_read(void *context, const char *name, char **data, size_t *bytes)
{
  memory_file *file = memory_find(context, name);
  if (!file) return epact_fail(EPACT_E_NO_FILE, "there is no file %s", name);
  *data = malloc(file->bytes ? file->bytes : 1); /* exactly, for the sanitizer */
  if (!*data) exit(1);
  memcpy(*data, file->data, file->bytes);
  *bytes = file->bytes;
  return EPACT_OK;
}

static int memory_sync(void *context, const char *name)
{
  memory_disk *m = context;
  return m->full ? epact_fail(EPACT_E_DISK, "cannot sync %s: the disk is full", name) : EPACT_OK;
}

static int memory_remove(void *context, const char *name)
{
  memory_disk *m = context;
  memory_file *file = memory_find(m, name);
  if (!file) return EPACT_OK;
  free(file->data);
  *file = m->file[--m->files];
  return EPACT_OK;
}

/* From the last to the first, so that `each` may remove the file it is shown. */
static int memory_list(void *context, int (*each)(void *argument, const char *name), void *argument)
{
  memory_disk *m = context;
  for (int i = m->files - 1; i >= 0; i--) {
    char name[64];
    snprintf(name, sizeof name, "%s", m->file[i].name);
    int code = each(argument, name);
    if (code < 0) return code;
  }
  return EPACT_OK;
}

static void memory_open(memory_disk *m)
{
  memset(m, 0, sizeof *m);
  m->disk = (epact_disk){ memory_write, memory_read, memory_append, memory_sync, memory_remove, memory_list, m };
}

static void memory_close(memory_disk *m)
{
  while (m->files) memory_remove(m, m->file[0].name);
}

#endif
