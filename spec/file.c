/* Files that survive a crash: whole or not at all, under limits and kills of the real system. spec/faults.c fails each
 * single call of them. */
#include "base/file.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LARGE = 300000, LIMIT = 5000, KILLS = 12 };

static int failures;
static char folder[] = "/tmp/epact-file-XXXXXX";

static void expect(bool held, const char *what)
{
  if (held) return;
  fprintf(stderr, "file: %s (%s)\n", what, epact_error_message());
  failures++;
}

static bool says(const char *words)
{
  return strstr(epact_error_message(), words) != NULL;
}

static bool exists(const char *path)
{
  struct stat status;
  return !lstat(path, &status);
}

static bool holds(const char *path, const void *content, size_t bytes)
{
  char *data;
  size_t got;
  if (epact_file_read(path, &data, &got)) return false;
  bool same = got == bytes && !memcmp(data, content, bytes) && !data[bytes] && (uintptr_t)data % 8 == 0;
  free(data);
  return same;
}

/* Below this size files can be written, for this process and its children; a write beyond is cut short first. */
static void limit_files(rlim_t bytes)
{
  struct rlimit limit = { bytes, RLIM_INFINITY };
  expect(!setrlimit(RLIMIT_FSIZE, &limit), "the limit of file sizes can be set");
}

static void written_whole(const char *large)
{
  expect(!epact_file_write_atomic("a", "one", 3) && holds("a", "one", 3), "a new file");
  expect(!epact_file_write_atomic("a", large, LARGE) && holds("a", large, LARGE), "a large one over it");
  expect(!epact_file_write_atomic("a.tmp", large, LARGE), "what a crash may have left");
  expect(!epact_file_write_atomic("a", "", 0) && holds("a", "", 0), "an empty one over that");
  expect(!exists("a.tmp"), "nothing is left beside it");
  char path[64];
  snprintf(path, sizeof path, "%s/b", folder);
  expect(!epact_file_write_atomic(path, "two", 3) && holds("b", "two", 3), "a path with folders");
}

static void writes_that_fail(const char *large)
{
  expect(!epact_file_write_atomic("old", "the old text", 12), "a file to keep");
  limit_files(LIMIT);
  expect(epact_file_write_atomic("old", large, LARGE) == EPACT_E_DISK, "a file beyond the limit is refused");
  limit_files(RLIM_INFINITY);
  expect(says("cannot write old.tmp: File too large"), "with the name and the reason");
  expect(holds("old", "the old text", 12) && !exists("old.tmp"), "the old one stays, alone");

  expect(!mkdir("folder", 0777) && !mkdir("folder/in", 0777), "a folder");
  expect(epact_file_write_atomic("folder", "x", 1) == EPACT_E_DISK, "a folder is not replaced");
  expect(says("cannot rename to folder: "), "and named");
  expect(!exists("folder.tmp"), "nothing is left beside it");
  expect(epact_file_write_atomic("no/such", "x", 1) == EPACT_E_DISK, "a missing folder is no missing file");
  expect(says("cannot open no/such.tmp: No such file or directory"), "and named");
}

static void reads_that_fail(void)
{
  char *data = NULL;
  size_t bytes = 7;
  expect(epact_file_read("none", &data, &bytes) == EPACT_E_NO_FILE && says("there is no file none"), "no file");
  expect(epact_file_read("folder", &data, &bytes) == EPACT_E_DISK && says("no regular file"), "a folder");
  expect(!mkfifo("pipe", 0600), "a pipe");
  expect(epact_file_read("pipe", &data, &bytes) == EPACT_E_DISK && says("pipe: it is no regular file"), "a pipe");
  expect(epact_file_read("old/x", &data, &bytes) == EPACT_E_DISK && says("Not a directory"), "a file as a folder");
  expect(!data && bytes == 7, "the results are left alone");
}

static void appended(const char *large)
{
  epact_file_log *file = NULL;
  expect(!epact_file_append_open(&file, "log") && epact_file_length(file) == 0, "a new file");
  if (!file) return;
  expect(!epact_file_append(file, "abc", 3) && !epact_file_append(file, "", 0), "appended");
  expect(!epact_file_sync(file) && epact_file_length(file) == 3, "synced");
  epact_file_close(file);
  expect(!epact_file_append_open(&file, "log") && epact_file_length(file) == 3, "opened again");
  limit_files(LIMIT);
  expect(epact_file_append(file, large, LARGE) == EPACT_E_DISK && says("append to log: File too large"), "too much");
  expect(epact_file_length(file) == 3 && holds("log", "abc", 3), "none of it is there");
  limit_files(RLIM_INFINITY);
  expect(!epact_file_append(file, "def", 3) && !epact_file_sync(file) && holds("log", "abcdef", 6), "and it goes on");
  epact_file_close(file);

  expect(!epact_file_truncate("log", 4) && holds("log", "abcd", 4), "cut");
  expect(epact_file_truncate("none", 0) == EPACT_E_NO_FILE && !exists("none"), "nothing to cut");
  expect(epact_file_append_open(&file, "folder") == EPACT_E_DISK && says("folder"), "no log in place of a folder");
  expect(epact_file_append_open(&file, "no/such") == EPACT_E_DISK && says("no/such"), "nor in a missing folder");
  expect(epact_file_append_open(&file, "pipe") == EPACT_E_DISK && says("pipe"), "nor in a pipe");
  epact_file_close(NULL);
}

/* A child writes the file again and again, all of one letter each time, until it is killed. */
static void write_until_killed(int ready, char *content)
{
  for (int round = 0;; round++) {
    memset(content, 'a' + round % 26, LARGE);
    if (epact_file_write_atomic("killed", content, LARGE)) _exit(1);
    if (round < 2 && write(ready, "", 1) != 1) _exit(1);
  }
}

static void survives_a_kill(char *content)
{
  int ready[2], status;
  char byte;
  if (pipe(ready)) {
    expect(false, "a pipe");
    return;
  }
  pid_t child = fork();
  if (!child) write_until_killed(ready[1], content);
  expect(child > 0 && read(ready[0], &byte, 1) == 1 && read(ready[0], &byte, 1) == 1, "the child writes");
  kill(child, SIGKILL);
  expect(waitpid(child, &status, 0) == child && WIFSIGNALED(status), "until it is killed");
  close(ready[0]);
  close(ready[1]);

  char *data = NULL;
  size_t bytes = 0;
  expect(!epact_file_read("killed", &data, &bytes) && bytes == LARGE, "the file is whole");
  for (size_t i = 1; i < bytes; i++) {
    if (data[i] == data[0]) continue;
    expect(false, "it is no mix of two");
    break;
  }
  free(data);
}

static void remove_all(void)
{
  static const char *const left[] = { "a", "b", "old", "pipe", "log", "killed", "killed.tmp" };
  for (size_t i = 0; i < sizeof left / sizeof *left; i++) unlink(left[i]);
  rmdir("folder/in");
  rmdir("folder");
  expect(!rmdir(folder), "no other file was left");
}

int main(void)
{
  char *large = malloc(LARGE);
  if (!large || !mkdtemp(folder) || chdir(folder)) {
    perror("file: no temporary folder");
    return 1;
  }
  for (size_t i = 0; i < LARGE; i++) large[i] = (char)(i % 251);
  signal(SIGXFSZ, SIG_IGN);
  written_whole(large);
  writes_that_fail(large);
  reads_that_fail();
  appended(large);
  for (int kill = 0; kill < KILLS; kill++) survives_a_kill(large);
  remove_all();
  free(large);
  return failures != 0;
}
