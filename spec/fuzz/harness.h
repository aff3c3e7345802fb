/* What a fuzz harness is: a function that takes any bytes, and aborts when something does not hold.
 *
 * With clang's libFuzzer (-DEPACT_FUZZ, `make fuzz`) the fuzzer brings the main function. Without it the harness is a
 * program like the other test programs, which plays the inputs kept in spec/fuzz/corpus (or those named), so that what
 * was found once stays found: `make test`, `make asan`. `HARNESS --seed FOLDER` writes the inputs to begin with.
 *
 * A new harness is a file spec/fuzz/NAME.c with epact_fuzz_name, LLVMFuzzerTestOneInput and epact_fuzz_seed; its inputs
 * are in spec/fuzz/corpus/NAME.
 */
#ifndef EPACT_SPEC_FUZZ_HARNESS_H
#define EPACT_SPEC_FUZZ_HARNESS_H

#include "base/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
/** The harness's name: that of its folder of inputs. */
extern const char *const epact_fuzz_name;
/** Calls epact_fuzz_write for each input to begin with. */
void epact_fuzz_seed(const char *folder);

#define HOLDS(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s does not hold (%s)\n", __FILE__, __LINE__, #condition, epact_error_message());        \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

/* Bytes taken off an input one after the other; zeros when it is used up. */
typedef struct {
  const uint8_t *at;
  size_t left;
} fuzz_input;

static inline const uint8_t *fuzz_take(fuzz_input *input, size_t bytes)
{
  const uint8_t *taken = input->at;
  input->at += bytes;
  input->left -= bytes;
  return taken;
}

static inline uint8_t fuzz_byte(fuzz_input *input)
{
  return input->left ? *fuzz_take(input, 1) : 0;
}

static inline void epact_fuzz_write(const char *folder, const char *name, const void *data, size_t bytes)
{
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "wb");
  HOLDS(file && fwrite(data, 1, bytes, file) == bytes && !fclose(file));
}

#ifndef EPACT_FUZZ
#include <dirent.h>

/* Plays one file from memory that ends where it does. */
static inline int fuzz_replay(const char *path)
{
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) {
    perror(path);
    return 1;
  }
  size_t bytes = (size_t)ftell(file);
  uint8_t *data = malloc(bytes ? bytes : 1);
  rewind(file);
  bool whole = data && fread(data, 1, bytes, file) == bytes;
  fclose(file);
  if (whole) LLVMFuzzerTestOneInput(data, bytes);
  free(data);
  return !whole;
}

static inline int fuzz_replay_corpus(void)
{
  char folder[256], path[768];
  int played = 0, failed = 0;
  snprintf(folder, sizeof folder, "spec/fuzz/corpus/%s", epact_fuzz_name);
  DIR *directory = opendir(folder);
  for (struct dirent *entry; directory && (entry = readdir(directory));) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    failed += fuzz_replay(path);
    played++;
  }
  if (directory) closedir(directory);
  if (!played) fprintf(stderr, "%s: no inputs\n", folder);
  return failed || !played;
}

int main(int count, char **argument)
{
  int failed = 0;
  if (count == 3 && !strcmp(argument[1], "--seed"))
    epact_fuzz_seed(argument[2]);
  else if (count == 1)
    failed = fuzz_replay_corpus();
  for (int i = 1; i < count && strcmp(argument[1], "--seed") != 0; i++) failed += fuzz_replay(argument[i]);
  return failed != 0;
}
#endif

#endif
