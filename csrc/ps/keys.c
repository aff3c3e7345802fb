/* Key files: making, reading, and the checks that keep a secret key secret. */
#include "keys.h"

#include "../base/fault.h"
#include "../base/internal.h"
#include "ps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define LINE_BYTES 512

static int fail_io(const char *what, const char *path)
{
  return epact_fail(EPACT_E_IO, "cannot %s %s: %s", what, path, strerror(errno));
}

static int join(char *path, const char *folder, const char *file)
{
  if (snprintf(path, PATH_MAX, "%s/%s", folder, file) < PATH_MAX) return EPACT_OK;
  return epact_fail(EPACT_E_IO, "the path is too long: %s/%s", folder, file);
}

static int need_curve(void)
{
  if (zmq_has("curve")) return EPACT_OK;
  return epact_fail(EPACT_E_AUTH, "this libzmq was built without CURVE: keys need one that has it (with libsodium)");
}

/* ---- reading ---- */

/* The next line that is not a comment, without the space around it; 0 at the end of the file. */
static int next_line(FILE *file, char *line, int *number, char **text)
{
  while (fgets(line, LINE_BYTES, file)) {
    ++*number;
    char *begin = line + strspn(line, " \t\r\n"), *end = begin + strlen(begin);
    while (end > begin && strchr(" \t\r\n", end[-1])) *--end = 0;
    if (!*begin || *begin == '#') continue;
    *text = begin;
    return 1;
  }
  return 0;
}

static bool is_key(const char *text)
{
  uint8_t binary[32];
  bool good = strlen(text) == EPACT_KEY_BYTES - 1 && zmq_z85_decode(binary, text);
  explicit_bzero(binary, sizeof binary);
  return good;
}

static int add_allowed(epact_keys *keys, const char *key)
{
  if (epact_keys_allow(keys, key)) return EPACT_OK;
  int code = epact_grow(&keys->allowed, (size_t)keys->count + 1, sizeof *keys->allowed);
  if (!code) memcpy(keys->allowed[keys->count++], key, EPACT_KEY_BYTES);
  return code;
}

/* Every key of a file; the last one goes to `last` where that is wanted. */
static int read_public(epact_keys *keys, const char *path, char *last)
{
  char line[LINE_BYTES], *text;
  int number = 0, code = EPACT_OK, found = 0;
  FILE *file = fopen(path, "re");
  if (!file) return fail_io("read", path);
  while (!code && next_line(file, line, &number, &text)) {
    if (!is_key(text)) {
      code = epact_fail(EPACT_E_PARSE, "%s:%d: a public key is 40 characters of Z85", path, number);
    } else {
      found++;
      if (last) memcpy(last, text, EPACT_KEY_BYTES);
      code = add_allowed(keys, text);
    }
  }
  if (!code && ferror(file)) code = fail_io("read", path);
  fclose(file);
  if (!code && !found) code = epact_fail(EPACT_E_PARSE, "%s has no key", path);
  return code;
}

static int read_allowed(epact_keys *keys, const char *folder)
{
  char path[PATH_MAX], file[PATH_MAX];
  int code = join(path, folder, "allowed");
  if (code) return code;
  DIR *directory = opendir(path);
  if (!directory) return errno == ENOENT ? EPACT_OK : fail_io("read", path);
  for (struct dirent *entry; !code && (entry = readdir(directory));) {
    size_t length = strlen(entry->d_name);
    if (length <= 4 || entry->d_name[0] == '.' || strcmp(entry->d_name + length - 4, ".pub")) continue;
    if (!(code = join(file, path, entry->d_name))) code = read_public(keys, file, NULL);
  }
  closedir(directory);
  return code;
}

static int check_private(FILE *file, const char *path)
{
  struct stat status;
  if (fstat(fileno(file), &status)) return fail_io("read", path);
  if (!S_ISREG(status.st_mode)) return epact_fail(EPACT_E_AUTH, "%s is no file", path);
  if (!(status.st_mode & 077)) return EPACT_OK;
  return epact_fail(EPACT_E_AUTH, "%s is secret, but its mode %04o lets others at it: chmod 600 %s", path,
                    (unsigned)status.st_mode & 07777, path);
}

static int read_secret(epact_keys *keys, const char *folder)
{
  char path[PATH_MAX], line[LINE_BYTES], *text;
  int number = 0, code = join(path, folder, "job.key");
  if (code) return code;
  FILE *file = fopen(path, "re");
  if (!file) {
    return epact_fail(EPACT_E_IO, "cannot read %s: %s (`epact keygen %s` makes keys)", path, strerror(errno), folder);
  }
  setvbuf(file, NULL, _IONBF, 0); /* no copy of the secret is left in a buffer */
  code = check_private(file, path);
  if (!code) {
    bool good = next_line(file, line, &number, &text) && is_key(text);
    if (good) memcpy(keys->secret_key, text, EPACT_KEY_BYTES);
    good = good && !next_line(file, line, &number, &text) && !zmq_curve_public(keys->public_key, keys->secret_key);
    if (!good) code = epact_fail(EPACT_E_PARSE, "%s must hold one secret key: 40 characters of Z85", path);
  }
  explicit_bzero(line, sizeof line);
  fclose(file);
  return code;
}

static int read_root(epact_keys *keys, const char *folder)
{
  char path[PATH_MAX];
  memcpy(keys->root, keys->public_key, EPACT_KEY_BYTES);
  int code = join(path, folder, "root.pub");
  if (code) return code;
  return access(path, F_OK) ? EPACT_OK : read_public(keys, path, keys->root);
}

int epact_keys_read(const char *folder, epact_keys **result)
{
  int code = need_curve();
  if (code) return code;
  epact_keys *keys = epact_calloc(1, sizeof *keys);
  if (!keys) return EPACT_E_NOMEM;
  code = read_secret(keys, folder);
  if (!code) code = add_allowed(keys, keys->public_key);
  if (!code) code = read_root(keys, folder);
  if (!code) code = read_allowed(keys, folder);
  if (code)
    epact_keys_free(keys);
  else
    *result = keys;
  return code;
}

bool epact_keys_allow(const epact_keys *keys, const char *public_key)
{
  for (int i = 0; i < keys->count; i++) {
    if (!strcmp(keys->allowed[i], public_key)) return true;
  }
  return false;
}

void epact_keys_free(epact_keys *keys)
{
  if (!keys) return;
  free(keys->allowed);
  explicit_bzero(keys, sizeof *keys);
  free(keys);
}

/* ---- making ---- */

/* A file that must not be there yet. */
static int write_new(const char *path, mode_t mode, const char *about, const char *key)
{
  int descriptor = epact_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (descriptor < 0) {
    if (errno == EEXIST) return epact_fail(EPACT_E_IO, "%s is there already and is not overwritten", path);
    return fail_io("write", path);
  }
  char text[LINE_BYTES];
  int length = snprintf(text, sizeof text, "# %s\n%s\n", about, key);
  bool written = epact_write(descriptor, text, (size_t)length) == length && !epact_fsync(descriptor);
  explicit_bzero(text, sizeof text);
  int code = written ? EPACT_OK : fail_io("write", path);
  close(descriptor);
  if (code) unlink(path);
  return code;
}

int epact_keys_create(const char *folder, char *public_key)
{
  char secret[EPACT_KEY_BYTES], path[PATH_MAX], other[PATH_MAX];
  int code = need_curve();
  if (!code) code = join(path, folder, "job.key");
  if (!code) code = join(other, folder, "job.pub");
  if (code) return code;
  if (mkdir(folder, 0700) && errno != EEXIST) return fail_io("make", folder);
  if (zmq_curve_keypair(public_key, secret)) {
    return epact_fail(EPACT_E_SYSTEM, "cannot make a key: %s", zmq_strerror(zmq_errno()));
  }
  code = write_new(path, 0600, "Secret key of an Epact job. Who has it can take part in the job.", secret);
  explicit_bzero(secret, sizeof secret);
  if (code) return code;
  code = write_new(other, 0644, "Public key of an Epact job.", public_key);
  if (code) unlink(path);
  return code;
}
