/* Floor 1: errors, shared objects, random streams, time. Public part: plain enough for ffi.cdef.
 *
 * Every function that can fail returns EPACT_OK or a negative code and leaves a sentence for
 * epact_error_message() of the calling thread. Nothing here aborts, exits or longjmps.
 */
#ifndef EPACT_BASE_H
#define EPACT_BASE_H

#ifdef EPACT_CDEF
#define EPACT_API
#else
#include <stddef.h>
#include <stdint.h>
#define EPACT_API __attribute__((visibility("default")))
#endif

/* Codes. MISUSE is the caller's mistake (an argument); all others are conditions of the world. */
enum {
  EPACT_OK = 0,
  EPACT_E_MISUSE = -1,
  EPACT_E_NOMEM = -2,
  EPACT_E_IO = -3,          /* a file could not be opened, read or written */
  EPACT_E_PARSE = -4,       /* a file's content is malformed: the sentence names file and line */
  EPACT_E_AGAIN = -5,       /* not yet: call again (a bounded wait ended without its condition) */
  EPACT_E_STOPPED = -6,     /* the job was stopped by an error elsewhere */
  EPACT_E_INTERRUPTED = -7, /* SIGINT or SIGTERM */
  EPACT_E_TIMEOUT = -8,     /* a wait outlived its deadline: the sentence names whom it waited for */
  EPACT_E_SCHEMA = -9,      /* same table name, another shape */
  EPACT_E_RANGE = -10,      /* row or column outside the table */
  EPACT_E_NONFINITE = -11,  /* NaN or infinity in an increment */
  EPACT_E_CLOCK = -12,      /* a clock that goes back or jumps */
  EPACT_E_FENCED = -13,     /* an incarnation that was given up */
  EPACT_E_CORRUPT = -14,    /* a checksum does not match */
  EPACT_E_PROTO = -15,      /* a frame that is not ours, or malformed */
  EPACT_E_VERSION = -16,    /* another protocol version */
  EPACT_E_JOB = -17,        /* another job's frame */
  EPACT_E_LIMIT = -18,      /* a documented limit was exceeded */
  EPACT_E_DIVERGED = -19,   /* an algorithm left the finite numbers */
  EPACT_E_LOST = -21,       /* a process of the job gives no sign of life */
  EPACT_E_SYSTEM = -20,     /* a call of the operating system failed */
  EPACT_E_DISK = -22,       /* what must last could not be written, synced or read back */
  EPACT_E_NO_FILE = -23,    /* a file of ours that should be there is not */
  EPACT_E_SNAPSHOT = -24,   /* a snapshot that is missing, of another run, or in the way */
  EPACT_E_AUTH = -25        /* keys are missing, wrong, or not secret; or the other side refuses them */
};

/** The sentence of this thread's last failure ("" when there was none). */
EPACT_API const char *epact_error_message(void);
/** Its code (EPACT_OK when there was none). */
EPACT_API int epact_error_code(void);
/** "E_PARSE" for EPACT_E_PARSE, and so on; "E_UNKNOWN" for any other number. */
EPACT_API const char *epact_error_name(int code);
/** The text for ffi.cdef: every public header of this library. */
EPACT_API const char *epact_cdef(void);
/** "0.1.0" */
EPACT_API const char *epact_version(void);

/* Objects shared by several Lua states: plain structs behind a hidden reference count. */
/** One more owner. NULL is ignored. Thread-safe. */
EPACT_API void epact_retain(void *object);
/** One owner less; the last one frees. NULL is ignored. Thread-safe. */
EPACT_API void epact_release(void *object);
/** A zeroed shared block of `bytes` (64-byte aligned, released with epact_release); NULL when
 * memory is short. */
EPACT_API void *epact_block_new(size_t bytes);

/* Random streams: SplitMix64, whose state is a counter, so that a stream can be split by
 * (seed, stream, substream) and jumped. Source: Steele, Lea, Flood, OOPSLA 2014. */
typedef struct {
  uint64_t counter;
} epact_rng;

/** Stream (seed, stream, substream); (seed, 0, 0) is SplitMix64 seeded with `seed` itself. */
EPACT_API epact_rng epact_rng_stream(uint64_t seed, uint64_t stream, uint64_t substream);
/** As if `draws` 64-bit numbers had been drawn. */
EPACT_API void epact_rng_jump(epact_rng *rng, uint64_t draws);
EPACT_API uint64_t epact_rng_next(epact_rng *rng);
/** Uniform on [0, 1): (u64 >> 11) 2^-53. */
EPACT_API double epact_rng_uniform(epact_rng *rng);
/** Uniform integer on 0 .. bound-1: floor(uniform * bound); 0 when bound < 1. */
EPACT_API int64_t epact_rng_below(epact_rng *rng, int64_t bound);
/** Standard normal by Box-Muller, two uniforms a draw. */
EPACT_API double epact_rng_normal(epact_rng *rng);
/** Fisher-Yates from n-1 down, in place. */
EPACT_API void epact_rng_shuffle(epact_rng *rng, uint32_t *item, int64_t n);

/** Seconds of a monotonic clock. */
EPACT_API double epact_now(void);
/** CPU seconds used by the calling thread. */
EPACT_API double epact_thread_cpu(void);
/** Peak resident memory of this process in bytes. */
EPACT_API double epact_peak_memory(void);
/** Whether a file descriptor (2: stderr) is a terminal. */
EPACT_API int epact_is_terminal(int descriptor);
/** "PARENT/epact-UID" into path: a folder that this user alone can look into, made when it is missing. E_AUTH when it
 * is somebody else's, or open to others. */
EPACT_API int epact_private_folder(const char *parent, char *path, size_t bytes);
/** Cores this process may run on. */
EPACT_API int epact_cores(void);

/** CRC32C (Castagnoli) of `bytes` bytes, going on from `crc` (0 at first). */
EPACT_API uint32_t epact_crc32c(uint32_t crc, const void *data, size_t bytes);

/** Makes `bytes` bytes the content of `path`: they go to PATH.tmp, are synced, renamed and the folder is synced, so that
 * after a crash or a failure at any point `path` holds all of the old content or all of the new. When this returns
 * EPACT_OK the new content survives a loss of power. On failure PATH.tmp is removed; the content is the old one, or,
 * where the sentence says that it is the folder that could not be synced, the new one that may not last.
 * One writer at a time of a path: two would share PATH.tmp. */
EPACT_API int epact_file_write_atomic(const char *path, const void *data, size_t bytes);

#endif
