/* Floor 1, for C files of this library only: failing, allocating, inlined random numbers. */
#ifndef EPACT_BASE_INTERNAL_H
#define EPACT_BASE_INTERNAL_H

#include "base.h"

#include <stdbool.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__) || !defined(__GLIBC__) ||    \
    defined(__clang__)
#define EPACT_CLONES /* ifunc resolvers and sanitizers do not mix */
#else
#define EPACT_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#endif

#define EPACT_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define EPACT_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/** Leaves the sentence for this thread and returns `code`. */
int epact_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
/** epact_fail with the sentence for a failed allocation of `what`. */
int epact_fail_memory(const char *what, size_t bytes) __attribute__((cold));

/** A zeroed shared object of `bytes`, released with epact_release, which first calls `destroy`
 * (may be NULL) on it. 64-byte aligned. NULL when memory is short, with the sentence left. */
void *epact_object_new(size_t bytes, void (*destroy)(void *object));

/** As epact_object_new, with whatever was in that memory. */
void *epact_object_raw(size_t bytes);

/* Long objects that were released last, for those that are made next: to have the memory of a new one zeroed by the
 * system takes longer than to fill it. May be used by any thread. */
typedef struct epact_spares epact_spares;
/** NULL when memory is short. */
epact_spares *epact_spares_new(void);
/** As epact_object_raw; NULL for `spares`: that. */
void *epact_spares_object(epact_spares *spares, size_t bytes);
/** Frees what is kept; objects that are still held free it with the last of them. NULL is ignored. */
void epact_spares_free(epact_spares *spares);

/** The CRC32C of two pieces from that of each; the second has `bytes`. */
uint32_t epact_crc32c_join(uint32_t first, uint32_t second, size_t bytes);
/** Copies, and goes on with the CRC32C of what is copied. */
uint32_t epact_crc32c_copy(uint32_t crc, void *target, const void *source, size_t bytes);

/* malloc's family behind one door, so that a fault build can fail the n-th call (fault.h). All leave a
 * sentence when they return NULL. Free with free(). */
void *epact_malloc(size_t bytes);
void *epact_calloc(size_t count, size_t bytes);
char *epact_strdup(const char *text);
/** *pointer grows to `count` elements of `bytes`; on failure it is left as it was. */
int epact_grow(void *pointer, size_t count, size_t bytes);
/** Zeroed and 64-byte aligned. */
void *epact_aligned_calloc(size_t bytes);

/** When `wait` seconds from now are over, by the monotonic clock. */
struct timespec epact_deadline_after(double wait);

static inline uint64_t epact_mix64(uint64_t x)
{
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static inline uint64_t epact_rng_inline(epact_rng *rng)
{
  return epact_mix64(rng->counter += UINT64_C(0x9e3779b97f4a7c15));
}

static inline double epact_uniform_inline(epact_rng *rng)
{
  return (double)(epact_rng_inline(rng) >> 11) * 0x1p-53;
}

#endif
