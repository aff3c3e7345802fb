/* Floor 1 as only C sees it: both ways to a CRC32C, reference counts across threads, growing buffers. */
#define epact_crc32c crc32c_of_this_file
#define epact_crc32c_join crc32c_join_of_this_file
#define epact_crc32c_copy crc32c_copy_of_this_file
#include "../csrc/base/crc32c.c"
#undef epact_crc32c
#undef epact_crc32c_join
#undef epact_crc32c_copy

#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, ROUNDS = 20000 };

static int failures;

static void expect(bool held, const char *what)
{
  if (held) return;
  fprintf(stderr, "base: %s\n", what);
  failures++;
}

static void crc_both_ways(void)
{
  enum { SIZE = 300 };
  unsigned char data[SIZE];
  epact_rng rng = epact_rng_stream(1, 0, 0);
  for (int i = 0; i < SIZE; i++) data[i] = (unsigned char)epact_rng_below(&rng, 256);
  expect(~crc_portable(~0U, (const unsigned char *)"123456789", 9) == UINT32_C(0xe3069283), "portable check value");
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("sse4.2")) return;
  for (size_t start = 0; start < 8; start++) {
    for (size_t bytes = 0; bytes <= SIZE - 8; bytes++) {
      uint32_t crc = (uint32_t)epact_rng_inline(&rng);
      expect(crc_portable(crc, data + start, bytes) == crc_sse42(crc, data + start, bytes), "portable = SSE 4.2");
    }
  }
#endif
}

/* Long data goes through three lanes, and copies through blocks. */
static void crc_of_long_data(void)
{
  enum { LONG = 7 * 8192 + 77 };
  static unsigned char data[LONG], copy[LONG];
  epact_rng rng = epact_rng_stream(2, 0, 0);
  for (int i = 0; i < LONG; i++) data[i] = (unsigned char)epact_rng_below(&rng, 256);
  for (size_t bytes = LONG - 20; bytes <= LONG; bytes++) {
    uint32_t whole = ~crc_portable(~0U, data, bytes);
    size_t first = (size_t)epact_rng_below(&rng, (int64_t)bytes);
    expect(crc32c_of_this_file(0, data, bytes) == whole, "the CRC of long data");
    uint32_t joined = crc32c_join_of_this_file(crc32c_of_this_file(0, data, first),
                                               crc32c_of_this_file(0, data + first, bytes - first), bytes - first);
    expect(joined == whole, "the CRC of two pieces");
    memset(copy, 0, sizeof copy);
    uint32_t begun = crc32c_copy_of_this_file(0, copy, data, first);
    expect(crc32c_copy_of_this_file(begun, copy + first, data + first, bytes - first) == whole, "the CRC of a copy");
    expect(!memcmp(copy, data, bytes), "the copy");
  }
}

typedef struct {
  int *destroyed;
} counted;

static void count_destroyed(void *object)
{
  ++*((counted *)object)->destroyed;
}

static void *retain_and_release(void *object)
{
  for (int i = 0; i < ROUNDS; i++) {
    epact_retain(object);
    epact_release(object);
  }
  epact_release(object);
  return NULL;
}

/* Each thread owns the object once and gives it up; whoever is last destroys it, once. */
static void references_across_threads(void)
{
  int destroyed = 0;
  counted *object = epact_object_new(sizeof *object, count_destroyed);
  pthread_t thread[THREADS];
  if (!object) {
    expect(false, epact_error_message());
    return;
  }
  object->destroyed = &destroyed;
  for (int i = 0; i < THREADS; i++) {
    epact_retain(object);
    expect(!pthread_create(&thread[i], NULL, retain_and_release, object), "a thread starts");
  }
  epact_release(object);
  for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
  expect(destroyed == 1, "destroyed once");
}

/* The memory of a long object is the next one's of about its size; objects may outlive the spares. */
static void spares(void)
{
  enum { LONG = 1 << 20, MANY = 9 };
  epact_spares *kept = epact_spares_new();
  void *object[MANY], *first = epact_spares_object(kept, LONG);
  memset(first, 1, LONG);
  epact_retain(first);
  epact_release(first);
  void *second = epact_spares_object(kept, LONG);
  expect(second != first, "what is held is nobody else's");
  epact_release(first);
  void *little = epact_spares_object(kept, LONG / 3), *much = epact_spares_object(kept, 2 * LONG);
  expect(little != first, "much memory is not for a short object");
  expect(much != first, "nor little for a long one");
  epact_release(little);
  epact_release(much);
  void *third = epact_spares_object(kept, LONG - LONG / 4);
  expect(third == first, "released memory is used again");
  epact_release(second);
  for (int i = 0; i < MANY; i++) object[i] = epact_spares_object(kept, LONG);
  for (int i = 0; i < MANY; i++) epact_release(object[i]);
  epact_spares_free(kept);
  memset(third, 2, LONG / 2);
  epact_release(third);
}

static void growing(void)
{
  int *item = NULL;
  for (size_t count = 1; count <= 1000; count *= 10) {
    expect(epact_grow(&item, count, sizeof *item) == EPACT_OK, "grows");
    item[count - 1] = (int)count;
  }
  expect(item[0] == 1 && item[9] == 10 && item[99] == 100, "keeps what it held");
  int *before = item;
  expect(epact_grow(&item, SIZE_MAX / sizeof *item + 2, sizeof *item) == EPACT_E_NOMEM, "an overflow is refused");
  expect(item == before, "and leaves the buffer");
  expect(strstr(epact_error_message(), "out of memory") != NULL, "with a sentence");
  free(item);
}

static void messages(void)
{
  expect(epact_fail(EPACT_E_PARSE, "%s:%d", "a.svm", 3) == EPACT_E_PARSE, "returns its code");
  expect(!strcmp(epact_error_message(), "a.svm:3"), "leaves the sentence");
  epact_fail(EPACT_E_IO, "shard 2: %s", epact_error_message());
  expect(!strcmp(epact_error_message(), "shard 2: a.svm:3"), "a sentence may quote the last one");
}

int main(void)
{
  crc_both_ways();
  crc_of_long_data();
  references_across_threads();
  spares();
  growing();
  messages();
  return failures != 0;
}
