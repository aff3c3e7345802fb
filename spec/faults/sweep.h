/* The n-th call fails, n = 1, 2, ... until the scene is played to its end: every run before must end with a code and a
 * sentence, leak nothing, and leave the process able to play the scene again. */
#ifndef EPACT_SPEC_FAULTS_SWEEP_H
#define EPACT_SPEC_FAULTS_SWEEP_H

#include "epact.h"

#include "base/fault.h"
#include "base/internal.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#define UNSAID "nothing was said"

static int failures;
static bool verbose, every;
static int64_t faults_played;

#define EXPECT(held, ...)                                                                                              \
  do {                                                                                                                 \
    if (!(held)) {                                                                                                     \
      fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                                                  \
      fprintf(stderr, __VA_ARGS__);                                                                                    \
      fputc('\n', stderr);                                                                                             \
      failures++;                                                                                                      \
    }                                                                                                                  \
  } while (0)

typedef struct {
  const char *name;
  int (*play)(void);       /* returns the first code that is not EPACT_OK */
  void (*check)(int code); /* looks at what it left, when faults are over; may be NULL */
  int stride;              /* plays calls 1, 1 + stride, ... */
  bool may_survive;        /* a fault may be made good: play then ends well, with the right results */
} scene;

static inline int open_descriptors(void)
{
  int count = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (folder && readdir(folder)) count++;
  if (folder) closedir(folder);
  return count;
}

static inline void expect_no_leak(const scene *s, const char *kind)
{
#ifdef __SANITIZE_ADDRESS__
  EXPECT(!__lsan_do_recoverable_leak_check(), "%s: a failing %s leaks memory", s->name, kind);
#else
  (void)s;
  (void)kind;
#endif
}

/* Plays the scene with calls number n and, if `onward`, all after it failing; false when it makes no n calls. */
static inline bool play_fault(const scene *s, epact_fault_kind kind, int64_t n, bool onward)
{
  char sentence[1024];
  const char *what = epact_fault_name(kind);
  epact_fail(EPACT_OK, UNSAID);
  epact_fault_at(kind, n, onward ? INT64_MAX : n);
  double start = epact_now();
  int code = s->play(), said = epact_error_code();
  bool failed = epact_fault_count(kind) >= n;
  epact_fault_at(kind, 0, 0);
  snprintf(sentence, sizeof sentence, "%s", epact_error_message());
  if (s->check) s->check(code);
  if (verbose)
    printf("  %s %" PRId64 "%s: %s [%s] %.2f s\n", what, n, onward ? "+" : "", sentence, epact_error_name(code),
           epact_now() - start);
  faults_played += failed;
  if (!failed || (s->may_survive && !code) || kind == EPACT_FAULT_SHORT) {
    EXPECT(!code, "%s: %s %" PRId64 ": %s [%s]", s->name, what, n, sentence, epact_error_name(code));
    return failed;
  }
  EXPECT(code < 0, "%s: %s %" PRId64 " failed, and nobody noticed", s->name, what, n);
  EXPECT(strcmp(sentence, UNSAID) && *sentence, "%s: %s %" PRId64 ": no sentence", s->name, what, n);
  EXPECT(!code || said == code, "%s: %s %" PRId64 ": the code is %s, the sentence of %s", s->name, what, n,
         epact_error_name(code), epact_error_name(said));
  return true;
}

/* Plays a scene without a fault, then with each fault of one kind. At least one must be possible. */
static inline void sweep(const scene *s, epact_fault_kind kind)
{
  const char *what = epact_fault_name(kind);
  int code = s->play();
  EXPECT(!code, "%s: %s [%s]", s->name, epact_error_message(), epact_error_name(code));
  if (s->check) s->check(code);
  int before = open_descriptors();
  double start = epact_now();
  int64_t n = 1;
  int64_t stride = every ? 1 : s->stride;
  while (play_fault(s, kind, n, (n - 1) / stride % 2 == 1 && kind != EPACT_FAULT_SHORT)) n += stride;
  EXPECT(n > 1, "%s makes no call of kind %s", s->name, what);
  EXPECT(open_descriptors() == before, "%s: a failing %s leaks descriptors", s->name, what);
  expect_no_leak(s, what);
  if (verbose) printf("%s: %" PRId64 " calls of kind %s, %.2f s\n", s->name, n - 1, what, epact_now() - start);
}

#endif
