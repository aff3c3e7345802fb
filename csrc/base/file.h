/* Whole files that survive a crash: written beside and renamed, read at once, or appended to and synced.
 *
 * A failure is EPACT_E_DISK with a sentence that names the file, the call and the system's reason, EPACT_E_NOMEM when
 * memory is short; a file to be read or cut that does not exist is EPACT_E_NO_FILE. No function leaves a descriptor open or memory allocated when it fails.
 */
#ifndef EPACT_BASE_FILE_H
#define EPACT_BASE_FILE_H

#include "internal.h"

/** Makes `bytes` bytes the content of `path`: they go to PATH.tmp, are synced, renamed and the folder is synced, so that
 * after a crash or a failure at any point `path` holds all of the old content or all of the new. When this returns
 * EPACT_OK the new content survives a loss of power. On failure PATH.tmp is removed; the content is the old one, or,
 * where the sentence says that it is the folder that could not be synced, the new one that may not last.
 * One writer at a time of a path: two would share PATH.tmp. */
int epact_file_write_atomic(const char *path, const void *data, size_t bytes);

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
