/* A simulated folder: what was not synced may be lost, cut off, or turned into something else when the power fails;
 * whole files are there or not; removals last when the folder was synced after them. It can be full for a while, a sync
 * can fail, and it can stop in the middle of a piece of work. */
#ifndef EPACT_SPEC_SIM_DISK_H
#define EPACT_SPEC_SIM_DISK_H

#include "checksum.h"

#include "ps/keeper.h"

#include "base/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 256 };

typedef struct {
  char name[EPACT_FILE_NAME_BYTES];
  char *data;
  size_t bytes, synced;
  bool removed; /* and the folder was not synced since */
} sim_file;

typedef struct {
  epact_disk disk;
  epact_rng rng;
  sim_file file[MAX_FILES];
  int files;
  bool full;
  bool sync_lies, believed;       /* planted: sync does nothing; what is torn has a good checksum */
  double sync_fails, write_fails; /* probabilities */
  int64_t stops_after;            /* as many more calls; < 0: it goes on */
  bool stopped;                   /* until the next start */
  int64_t torn, failed;           /* counted */
} sim_disk;

static int fail_disk(sim_disk *d, const char *name, const char *reason)
{
  d->failed++;
  return epact_fail(EPACT_E_DISK, "%s: %s", name, reason);
}

/* Every call that changes something may be the last one. */
static bool stops(sim_disk *d)
{
  if (!d->stopped && d->stops_after == 0) d->stopped = true;
  if (d->stops_after > 0) d->stops_after--;
  return d->stopped;
}

static sim_file *find_file(sim_disk *d, const char *name)
{
  for (int i = 0; i < d->files; i++) {
    if (!d->file[i].removed && !strcmp(d->file[i].name, name)) return &d->file[i];
  }
  return NULL;
}

static void forget_file(sim_disk *d, int i)
{
  free(d->file[i].data);
  d->file[i] = d->file[--d->files];
}

static void sync_folder(sim_disk *d)
{
  for (int i = d->files; i-- > 0;) {
    if (d->file[i].removed) forget_file(d, i);
  }
}

static sim_file *make_file(sim_disk *d, const char *name)
{
  sim_file *file = find_file(d, name);
  if (file) return file;
  sync_folder(d);
  if (d->files == MAX_FILES) return NULL;
  file = &d->file[d->files++];
  *file = (sim_file){ .data = NULL };
  snprintf(file->name, sizeof file->name, "%s", name);
  return file;
}

static int disk_write(void *context, const char *name, const void *data, size_t bytes)
{
  sim_disk *d = context;
  bool was_stopped = d->stopped, last = stops(d);
  if (was_stopped || (last && epact_rng_below(&d->rng, 2))) return fail_disk(d, name, "the disk is gone");
  if (d->full || epact_uniform_inline(&d->rng) < d->write_fails) return fail_disk(d, name, "the disk is full");
  char *copy = epact_malloc(bytes + 16);
  sim_file *file = copy ? make_file(d, name) : NULL;
  if (!file) {
    free(copy);
    return fail_disk(d, name, "there are too many files");
  }
  memcpy(copy, data, bytes);
  free(file->data);
  file->data = copy;
  file->bytes = file->synced = bytes;
  sync_folder(d);
  return last ? fail_disk(d, name, "the disk is gone") : EPACT_OK;
}

static int disk_read(void *context, const char *name, char **data, size_t *bytes)
{
  sim_disk *d = context;
  const sim_file *file = find_file(d, name);
  if (!file) return epact_fail(EPACT_E_NO_FILE, "%s is not there", name);
  *data = epact_malloc(file->bytes + 1);
  if (!*data) return EPACT_E_NOMEM;
  if (file->bytes) memcpy(*data, file->data, file->bytes);
  *bytes = file->bytes;
  return EPACT_OK;
}

static int disk_append(void *context, const char *name, const void *data, size_t bytes)
{
  sim_disk *d = context;
  bool was_stopped = d->stopped, last = stops(d);
  size_t written = bytes;
  if (was_stopped) return fail_disk(d, name, "the disk is gone");
  if (d->full) return fail_disk(d, name, "the disk is full");
  if (last) written = (size_t)epact_rng_below(&d->rng, (int64_t)bytes + 1);
  sim_file *file = make_file(d, name);
  if (!file || epact_grow(&file->data, file->bytes + written + 16, 1)) return fail_disk(d, name, "no more room");
  memcpy(file->data + file->bytes, data, written);
  file->bytes += written;
  return last ? fail_disk(d, name, "the disk is gone") : EPACT_OK;
}

static int disk_sync(void *context, const char *name)
{
  sim_disk *d = context;
  sim_file *file = find_file(d, name);
  if (stops(d) || !file) return fail_disk(d, name, "the disk is gone");
  if (epact_uniform_inline(&d->rng) < d->sync_fails) return fail_disk(d, name, "cannot sync");
  if (!d->sync_lies) file->synced = file->bytes;
  return EPACT_OK;
}

static int disk_remove(void *context, const char *name)
{
  sim_disk *d = context;
  sim_file *file = find_file(d, name);
  if (stops(d)) return fail_disk(d, name, "the disk is gone");
  if (file) file->removed = true;
  return EPACT_OK;
}

static int disk_list(void *context, int (*each)(void *argument, const char *name), void *argument)
{
  sim_disk *d = context;
  char name[MAX_FILES][EPACT_FILE_NAME_BYTES];
  int count = 0, code = EPACT_OK;
  for (int i = 0; i < d->files; i++) {
    if (!d->file[i].removed) memcpy(name[count++], d->file[i].name, EPACT_FILE_NAME_BYTES);
  }
  for (int i = 0; i < count && code >= 0; i++) code = each(argument, name[i]);
  return code < 0 ? code : EPACT_OK;
}

/* ---- the power fails ---- */

/* What becomes of the bytes from `synced` on. */
static void tear_file(sim_disk *d, sim_file *file)
{
  size_t loose = file->bytes - file->synced;
  char *from = file->data + file->synced;
  d->torn++;
  switch (epact_rng_below(&d->rng, 6)) {
  case 0:
    file->bytes = file->synced;
    break;
  case 1: /* all of it came through */
    break;
  case 2:
    file->bytes = file->synced + (size_t)epact_rng_below(&d->rng, (int64_t)loose + 1);
    break;
  case 3: /* the length was written, the end was not */
    for (size_t at = (size_t)epact_rng_below(&d->rng, (int64_t)loose); at < loose; at++) from[at] = 0;
    break;
  case 4: /* some blocks were written, in no order */
    for (size_t at = 0; at < loose; at += 64) {
      if (epact_rng_below(&d->rng, 2)) memset(from + at, 0, loose - at < 64 ? loose - at : 64);
    }
    break;
  default:
    for (int n = 0; n < 3; n++)
      from[epact_rng_below(&d->rng, (int64_t)loose)] ^= (char)(1 + epact_rng_below(&d->rng, 255));
  }
}

/* As if nobody looked at checksums: every record has the one that fits what is in it. */
static void repair_records(sim_file *file)
{
  uint64_t length;
  for (size_t at = 0; at + 24 <= file->bytes; at += sizeof length + ((length + 7) & ~UINT64_C(7))) {
    memcpy(&length, file->data + at, sizeof length);
    if (length < 16 || length > file->bytes - at - sizeof length) return;
    checksum(file->data + at + sizeof length, (size_t)length);
  }
}

static void disk_loses_power(sim_disk *d)
{
  for (int i = d->files; i-- > 0;) {
    sim_file *file = &d->file[i];
    if (file->removed && find_file(d, file->name)) continue;
    if (file->removed && epact_rng_below(&d->rng, 2)) file->removed = false; /* the folder was not synced */
    if (!file->removed && file->synced < file->bytes) {
      tear_file(d, file);
      if (d->believed) repair_records(file);
    }
    file->synced = file->bytes;
  }
  sync_folder(d);
}

/* ---- opening ---- */

static void disk_open(sim_disk *d, epact_rng rng)
{
  memset(d, 0, sizeof *d);
  d->disk = (epact_disk){ disk_write, disk_read, disk_append, disk_sync, disk_remove, disk_list, d };
  d->rng = rng;
  d->stops_after = -1;
}

static void disk_close(sim_disk *d)
{
  while (d->files) forget_file(d, 0);
}

#endif
