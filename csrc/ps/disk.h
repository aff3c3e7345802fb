/* Where snapshots live: a folder of named files, behind a table of functions, so that the simulator can lose what was
 * not synced. All return a code; E_NO_FILE is a file that is not there, E_DISK one that cannot be written or read. */
#ifndef EPACT_PS_DISK_H
#define EPACT_PS_DISK_H

#include "../base/internal.h"

typedef struct {
  /* makes the file hold exactly this, for good, or leaves it as it was */
  int (*write)(void *context, const char *name, const void *data, size_t bytes);
  /* all of it, in memory to be freed with free() */
  int (*read)(void *context, const char *name, char **data, size_t *bytes);
  /* at the end of a file, which is made when it is missing; for good only after a sync */
  int (*append)(void *context, const char *name, const void *data, size_t bytes);
  int (*sync)(void *context, const char *name);
  /* a file that is not there is removed already */
  int (*remove)(void *context, const char *name);
  /* every file's name, in no order; a negative answer of `each` ends it */
  int (*list)(void *context, int (*each)(void *argument, const char *name), void *argument);
  void *context;
} epact_disk;

/** A folder of the file system, made when it is missing. NULL: E_DISK. */
epact_disk *epact_disk_open(const char *folder);
/** Keeps other jobs out of the folder until it is closed: E_SNAPSHOT when one has it. */
int epact_disk_lock(epact_disk *disk);
void epact_disk_close(epact_disk *disk);

#endif
