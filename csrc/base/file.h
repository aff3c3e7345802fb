/* Whole files that survive a crash: written beside and renamed, read at once, or appended to and synced.
 *
 * A failure is EPACT_E_DISK with a sentence that names the file, the call and the system's reason, EPACT_E_NOMEM when
 * memory is short; a file to be read or cut that does not exist is EPACT_E_NO_FILE. No function leaves a descriptor
 * open or memory allocated when it fails.
 */
#ifndef EPACT_BASE_FILE_H
#define EPACT_BASE_FILE_H

#include "internal.h"

/** All of a regular file into new memory (*data, aligned for any type, freed with free(); one zero byte follows). */
int epact_file_read(const char *path, char **data, size_t *bytes);

/** A file that grows at its end. */
typedef struct epact_file_log epact_file_log;

/** Opens `path` for appending and makes it (synced into its folder) if it is missing. */
int epact_file_append_open(epact_file_log **file, const char *path);
/** Adds `bytes` bytes at the end, all of them or, after a failure, none: what was written of them is cut off. If even
 * that fails, this and every later call of the handle fails. */
int epact_file_append(epact_file_log *file, const void *data, size_t bytes);
/** Waits until all that was appended survives a loss of power. After a failure nobody knows what the disk holds (the
 * kernel may have dropped the pages), so every later call of the handle fails too. */
int epact_file_sync(epact_file_log *file);
/** Its length in bytes. */
int64_t epact_file_length(const epact_file_log *file);
/** Closes and frees; does not sync. NULL is ignored. */
void epact_file_close(epact_file_log *file);

/** Cuts a file to `bytes` and syncs it: a journal whose last record is torn. */
int epact_file_truncate(const char *path, int64_t bytes);

#endif
