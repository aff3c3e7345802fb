/* Allocation behind one door, and reference-counted objects that several Lua states may hold. */
#include "internal.h"

#include "fault.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 64
#define HUGE_PAGE ((size_t)2 << 20)

typedef struct {
  _Alignas(ALIGNMENT) atomic_int references;
  void (*destroy)(void *object);
  epact_spares *home; /* where it goes when it is released; NULL: it is freed */
  size_t bytes;
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

/* Pages of 2 MiB for what is long: the first touch of small ones takes several times as long as the copy that
 * touches them. */
void *epact_object_raw(size_t bytes)
{
  void *memory = NULL;
  size_t alignment = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : ALIGNMENT, total = sizeof(header) + bytes;
  if (bytes > SIZE_MAX / 2 || epact_fault(EPACT_FAULT_MALLOC) || posix_memalign(&memory, alignment, total)) {
    epact_fail_memory("an object", bytes);
    return NULL;
  }
  if (alignment == HUGE_PAGE) madvise(memory, total, MADV_HUGEPAGE);
  header *h = memory;
  atomic_init(&h->references, 1);
  h->destroy = NULL;
  h->home = NULL;
  h->bytes = bytes;
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

/* ---- spares ---- */

#define SPARES 4
#define LEAST_SPARE ((size_t)256 << 10) /* what is shorter comes from malloc as fast */
#define MOST_SPARE ((size_t)512 << 20)  /* of all together */

struct epact_spares {
  pthread_mutex_t lock;
  header *kept[SPARES];
  size_t bytes; /* of those that are kept */
  bool closed;
  size_t holders; /* its owner, and the objects that come back */
};

epact_spares *epact_spares_new(void)
{
  epact_spares *spares = epact_calloc(1, sizeof *spares);
  if (!spares) return NULL;
  pthread_mutex_init(&spares->lock, NULL);
  spares->holders = 1;
  return spares;
}

/* One that is not much longer than what is wanted. */
static header *take_spare(epact_spares *spares, size_t bytes)
{
  header *found = NULL;
  pthread_mutex_lock(&spares->lock);
  for (int i = 0; i < SPARES && !found; i++) {
    header *h = spares->kept[i];
    if (!h || h->bytes < bytes || h->bytes / 2 > bytes) continue;
    found = h;
    spares->kept[i] = NULL;
    spares->bytes -= h->bytes;
  }
  spares->holders++;
  pthread_mutex_unlock(&spares->lock);
  return found;
}

/* Keeps one in an empty place, or in that of the shortest; returns what is to be freed. */
static header *keep_spare(epact_spares *spares, header *released)
{
  int place = 0;
  for (int i = 1; i < SPARES && spares->kept[place]; i++) {
    if (!spares->kept[i] || spares->kept[i]->bytes < spares->kept[place]->bytes) place = i;
  }
  header *old = spares->kept[place];
  size_t bytes = spares->bytes + released->bytes - (old ? old->bytes : 0);
  if ((old && old->bytes >= released->bytes) || bytes > MOST_SPARE) return released;
  spares->kept[place] = released;
  spares->bytes = bytes;
  return old;
}

/* One holder less. `released`: NULL, or what came back. */
static void leave(epact_spares *spares, header *released)
{
  pthread_mutex_lock(&spares->lock);
  header *freed = released && !spares->closed ? keep_spare(spares, released) : released;
  bool last = --spares->holders == 0;
  pthread_mutex_unlock(&spares->lock);
  free(freed);
  if (!last) return;
  pthread_mutex_destroy(&spares->lock);
  free(spares);
}

void *epact_spares_object(epact_spares *spares, size_t bytes)
{
  if (!spares || bytes < LEAST_SPARE) return epact_object_raw(bytes);
  header *h = take_spare(spares, bytes);
  void *object = h ? h + 1 : epact_object_raw(bytes);
  if (!object) {
    leave(spares, NULL);
    return NULL;
  }
  h = (header *)object - 1;
  atomic_init(&h->references, 1);
  h->home = spares;
  return object;
}

void epact_spares_free(epact_spares *spares)
{
  if (!spares) return;
  pthread_mutex_lock(&spares->lock);
  spares->closed = true;
  for (int i = 0; i < SPARES; i++) {
    free(spares->kept[i]);
    spares->kept[i] = NULL;
  }
  pthread_mutex_unlock(&spares->lock);
  leave(spares, NULL);
}

void epact_release(void *object)
{
  if (!object) return;
  header *h = (header *)object - 1;
  if (atomic_fetch_sub_explicit(&h->references, 1, memory_order_acq_rel) != 1) return;
  if (h->destroy) h->destroy(object);
  if (h->home)
    leave(h->home, h);
  else
    free(h);
}
