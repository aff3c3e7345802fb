/* Files under faults: the old content or the new one, never a mix; and when the process is killed at a call, too. */
#ifndef EPACT_SPEC_FAULTS_FILES_H
#define EPACT_SPEC_FAULTS_FILES_H

#include "sweep.h"

#include "base/file.h"

#include <sys/wait.h>
#include <unistd.h>

enum { OLD_BYTES = 20000, NEW_BYTES = 21000 };

static char old_content[OLD_BYTES], new_content[NEW_BYTES];

static bool file_holds(const char *path, const char *content, size_t bytes)
{
  char *data;
  size_t got;
  if (epact_file_read(path, &data, &got)) return false;
  bool same = got == bytes && !memcmp(data, content, bytes);
  free(data);
  return same;
}

/* Without the library, which may be about to fail. */
static void put(const char *path, const char *content, size_t bytes)
{
  FILE *file = fopen(path, "wb");
  bool written = file && fwrite(content, 1, bytes, file) == bytes;
  EXPECT(file && !fclose(file) && written, "%s can be made", path);
}

static int replace(void)
{
  put("whole", old_content, OLD_BYTES);
  return epact_file_write_atomic("whole", new_content, NEW_BYTES);
}

static void check_replaced(int code)
{
  bool is_new = file_holds("whole", new_content, NEW_BYTES);
  EXPECT(is_new || (code && file_holds("whole", old_content, OLD_BYTES)), "the file is a mix");
  EXPECT(access("whole.tmp", F_OK), "the temporary file is left");
}

static int read_back(void)
{
  char *data = NULL;
  size_t bytes = 0;
  int code = epact_file_read("whole", &data, &bytes);
  if (!code) EXPECT(bytes == NEW_BYTES && !memcmp(data, new_content, bytes), "what was written is read");
  free(data);
  return code;
}

/* A journal: two records, a sync after each. */
static int64_t appended, synced;

static int append_records(void)
{
  epact_file_log *file = NULL;
  unlink("journal");
  appended = synced = 0;
  int code = epact_file_append_open(&file, "journal");
  for (int record = 0; record < 2 && !code; record++) {
    if ((code = epact_file_append(file, new_content + appended, 3000))) break;
    appended += 3000;
    if (!(code = epact_file_sync(file))) synced = appended;
  }
  if (code && file && synced < appended) { /* a file whose sync failed is given up */
    char sentence[256];
    snprintf(sentence, sizeof sentence, "%s", epact_error_message());
    EXPECT(epact_file_append(file, "x", 1) == EPACT_E_DISK && epact_file_sync(file) == EPACT_E_DISK, "given up");
    epact_fail(code, "%s", sentence);
  }
  epact_file_close(file);
  return code;
}

static void check_appended(int code)
{
  EXPECT(file_holds("journal", new_content, (size_t)appended) || (code && !appended), "records are whole");
  EXPECT(code || synced == 6000, "all of them are there");
}

static int cut(void)
{
  put("journal", new_content, 6000);
  return epact_file_truncate("journal", 3000);
}

static void check_cut(int code)
{
  EXPECT(file_holds("journal", new_content, 3000) || (code && file_holds("journal", new_content, 6000)), "cut, or not");
}

/* The n-th call of a kind is never made: the process is killed there. */
static void kill_while_replacing(epact_fault_kind kind)
{
  bool killed = true;
  int64_t n = 1;
  for (; killed; n++) {
    int status = 0;
    pid_t child = fork();
    if (!child) {
      epact_fault_kill_at(kind, n);
      _exit(replace() ? 1 : 0);
    }
    EXPECT(child > 0 && waitpid(child, &status, 0) == child, "a child process");
    killed = child > 0 && WIFSIGNALED(status);
    EXPECT(killed || !WEXITSTATUS(status), "the child ends well, or is killed");
    EXPECT(file_holds("whole", old_content, OLD_BYTES) || file_holds("whole", new_content, NEW_BYTES),
           "killed at %s %" PRId64 ": the file is a mix", epact_fault_name(kind), n);
    EXPECT(!replace(), "the next write succeeds: %s", epact_error_message());
    check_replaced(EPACT_OK);
  }
  EXPECT(n > 2, "a write has a call of kind %s to be killed at", epact_fault_name(kind));
}

static void play_files(void)
{
  static const epact_fault_kind writing[] = { EPACT_FAULT_MALLOC, EPACT_FAULT_OPEN, EPACT_FAULT_WRITE,
                                              EPACT_FAULT_SHORT, EPACT_FAULT_FSYNC };
  static const scene replaced = { "replace a file", replace, check_replaced, 1, false },
                     appending = { "append to a file", append_records, check_appended, 1, false },
                     reading = { "read a file", read_back, NULL, 1, false },
                     cutting = { "cut a file", cut, check_cut, 1, false };
  for (int i = 0; i < OLD_BYTES; i++) old_content[i] = (char)(i % 199);
  for (int i = 0; i < NEW_BYTES; i++) new_content[i] = (char)(i % 251);
  for (size_t i = 0; i < sizeof writing / sizeof *writing; i++) {
    sweep(&replaced, writing[i]);
    sweep(&appending, writing[i]);
  }
  sweep(&replaced, EPACT_FAULT_RENAME);
  for (int kind = EPACT_FAULT_WRITE; kind <= EPACT_FAULT_OPEN; kind++) {
    if (kind != EPACT_FAULT_SHORT) kill_while_replacing((epact_fault_kind)kind);
  }
  EXPECT(!replace(), "a file to read");
  for (int kind = EPACT_FAULT_READ; kind <= EPACT_FAULT_OPEN; kind++) {
    if (kind == EPACT_FAULT_READ || kind == EPACT_FAULT_SHORT || kind == EPACT_FAULT_OPEN)
      sweep(&reading, (epact_fault_kind)kind);
  }
  sweep(&reading, EPACT_FAULT_MALLOC);
  sweep(&cutting, EPACT_FAULT_OPEN);
  sweep(&cutting, EPACT_FAULT_FSYNC);
}

#endif
