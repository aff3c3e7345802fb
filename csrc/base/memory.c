/* Allocation behind one door, and reference-counted objects that several Lua states may hold. */
#include "internal.h"

#include "fault.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

typedef struct {
  _Alignas(ALIGNMENT) atomic_int references;
  void (*destroy)(void *object);
} header;

void *epact_malloc(size_t bytes)
{
  void *memory = epact_fault(EPACT_FAULT_MALLOC) ? NULL : malloc(bytes ? bytes : 1);
  if (!memory) epact_fail_memory("a buffer", bytes);
  return memory;
}

void *epact_calloc(size_t count, size_t bytes)
{
  void *memory = epact_fault(EPACT_FAULT_MALLOC) ? NULL : calloc(count ? count : 1, bytes ? bytes : 1);
  if (!memory) epact_fail_memory("a buffer", count * bytes);
  return memory;
}

char *epact_strdup(const char *text)
{
  size_t bytes = strlen(text) + 1;
  char *copy = epact_malloc(bytes);
  return copy ? memcpy(copy, text, bytes) : NULL;
}

int epact_grow(void *pointer, size_t count, size_t bytes)
{
  void *old, *grown;
  size_t total;
  memcpy(&old, pointer, sizeof old);
  if (__builtin_mul_overflow(count, bytes, &total)) return epact_fail_memory("a buffer", SIZE_MAX);
  grown = epact_fault(EPACT_FAULT_MALLOC) ? NULL : realloc(old, total ? total : 1);
  if (!grown) return epact_fail_memory("a buffer", total);
  memcpy(pointer, &grown, sizeof grown);
  return EPACT_OK;
}

void *epact_aligned_calloc(size_t bytes)
{
  void *memory;
  size_t padded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (padded < bytes || epact_fault(EPACT_FAULT_MALLOC) ||
      posix_memalign(&memory, ALIGNMENT, padded ? padded : ALIGNMENT)) {
    epact_fail_memory("a buffer", bytes);
    return NULL;
  }
  return memset(memory, 0, padded);
}

void *epact_object_new(size_t bytes, void (*destroy)(void *object))
{
  header *h = bytes > SIZE_MAX / 2 ? NULL : epact_aligned_calloc(sizeof(header) + bytes);
  if (!h) {
    epact_fail_memory("an object", bytes);
    return NULL;
  }
  atomic_init(&h->references, 1);
  h->destroy = destroy;
  return h + 1;
}

void *epact_block_new(size_t bytes)
{
  return epact_object_new(bytes, NULL);
}

void epact_retain(void *object)
{
  if (object) atomic_fetch_add_explicit(&((header *)object - 1)->references, 1, memory_order_relaxed);
}

void epact_release(void *object)
{
  if (!object) return;
  header *h = (header *)object - 1;
  if (atomic_fetch_sub_explicit(&h->references, 1, memory_order_acq_rel) != 1) return;
  if (h->destroy) h->destroy(object);
  free(h);
}
