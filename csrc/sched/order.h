/* Ids in the order of their weights. Private. */
#ifndef EPACT_SCHED_ORDER_H
#define EPACT_SCHED_ORDER_H

#include <stdint.h>
#include <string.h>

/* Sorts ids and their keys, the largest key first, equal ones as they were: a merge sort from below. The scratch has
 * room for `count`, too; what the keys are afterwards is not said. */
static inline void order_by_key(int64_t count, uint32_t *id, double *key, uint32_t *id_scratch, double *key_scratch)
{
  uint32_t *from = id, *to = id_scratch;
  for (int64_t width = 1; width < count; width *= 2) {
    for (int64_t first = 0; first < count; first += 2 * width) {
      const int64_t middle = first + width < count ? first + width : count;
      const int64_t end = first + 2 * width < count ? first + 2 * width : count;
      int64_t a = first, b = middle;
      for (int64_t i = first; i < end; i++) {
        const int64_t taken = b >= end || (a < middle && key[a] >= key[b]) ? a++ : b++;
        to[i] = from[taken];
        key_scratch[i] = key[taken];
      }
    }
    uint32_t *swapped = from;
    double *swapped_key = key;
    from = to;
    to = swapped;
    key = key_scratch;
    key_scratch = swapped_key;
  }
  if (from != id) memcpy(id, from, (size_t)count * sizeof *id);
}

#endif
