/* Parts of equal work: see balance.h. */
#include "balance.h"

#include "order.h"
#include "seen.h"

#include <math.h>

enum { HELD = -1 };

struct epact_balance {
  int64_t parts, count, room;
  double bound;
  uint32_t *item, *order, *scratch;
  double *work, *key, *key_scratch;
  int32_t *part, *saved; /* of each item; HELD: not in the batch */
  double *load;          /* of each part */
  int64_t dealt, wanted,
      pinned; /* pinned: 1 when the first item waits from a former batch: it is not held back again */
  seen_set seen;
};

static void destroy(void *object)
{
  epact_balance *b = object;
  free(b->seen.place);
  free(b->item);
  free(b->order);
  free(b->scratch);
  free(b->work);
  free(b->key);
  free(b->key_scratch);
  free(b->part);
  free(b->saved);
  free(b->load);
}

int epact_balance_new(int64_t parts, double bound, epact_balance **balance)
{
  if (parts < 1 || parts > INT32_MAX || !(bound >= 1))
    return epact_fail(EPACT_E_MISUSE, "work is dealt to 1 .. 2^31 - 1 parts with a bound >= 1, got %lld and %g",
                      (long long)parts, bound);
  epact_balance *b = epact_object_new(sizeof *b, destroy);
  if (!b) return EPACT_E_NOMEM;
  b->parts = parts;
  b->bound = bound;
  b->load = epact_calloc((size_t)parts, sizeof *b->load);
  if (!b->load) {
    epact_release(b);
    return EPACT_E_NOMEM;
  }
  *balance = b;
  return EPACT_OK;
}

static int reserve(epact_balance *b, int64_t count)
{
  if (count <= b->room) return EPACT_OK;
  const size_t room = (size_t)count + (size_t)count / 2;
  if (epact_grow(&b->item, room, sizeof *b->item) || epact_grow(&b->order, room, sizeof *b->order) ||
      epact_grow(&b->scratch, room, sizeof *b->scratch) || epact_grow(&b->work, room, sizeof *b->work) ||
      epact_grow(&b->key, room, sizeof *b->key) || epact_grow(&b->key_scratch, room, sizeof *b->key_scratch) ||
      epact_grow(&b->part, room, sizeof *b->part) || epact_grow(&b->saved, room, sizeof *b->saved))
    return EPACT_E_NOMEM;
  b->room = (int64_t)room;
  return EPACT_OK;
}

int64_t epact_balance_offer(epact_balance *b, int64_t count, const uint32_t *item, const double *work)
{
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(work[i]) || work[i] < 0)
      return epact_fail(EPACT_E_MISUSE, "the work of variable %u is %g", item[i], work[i]);
  if (reserve(b, b->count + count) || seen_begin(&b->seen, (size_t)(b->count + count))) return EPACT_E_NOMEM;
  for (int64_t i = 0; i < b->count; i++) seen_add(&b->seen, b->item[i]);
  for (int64_t i = 0; i < count; i++) {
    if (!seen_add(&b->seen, item[i])) continue;
    b->item[b->count] = item[i];
    b->work[b->count] = work[i];
    b->part[b->count++] = HELD;
  }
  return b->count;
}

/* ---- loads ---- */

static int32_t least(const epact_balance *b)
{
  int32_t found = 0;
  for (int32_t p = 1; p < b->parts; p++)
    if (b->load[p] < b->load[found]) found = p;
  return found;
}

static int32_t most(const epact_balance *b)
{
  int32_t found = 0;
  for (int32_t p = 1; p < b->parts; p++)
    if (b->load[p] > b->load[found]) found = p;
  return found;
}

static double mean_load(const epact_balance *b)
{
  double sum = 0;
  for (int64_t p = 0; p < b->parts; p++) sum += b->load[p];
  return sum / (double)b->parts;
}

static double ratio(const epact_balance *b)
{
  const double mean = mean_load(b);
  return mean > 0 ? b->load[most(b)] / mean : 1;
}

static void put(epact_balance *b, int64_t i, int32_t part)
{
  if (b->part[i] != HELD) b->load[b->part[i]] -= b->work[i];
  if (part != HELD) b->load[part] += b->work[i];
  b->dealt += (part != HELD) - (b->part[i] != HELD);
  b->part[i] = part;
}

/* Sums anew, after many differences. */
static void sum_loads(epact_balance *b)
{
  for (int64_t p = 0; p < b->parts; p++) b->load[p] = 0;
  b->dealt = 0;
  for (int64_t i = 0; i < b->count; i++) {
    if (b->part[i] == HELD) continue;
    b->load[b->part[i]] += b->work[i];
    b->dealt++;
  }
}

/* The largest first, each to the part with the least load. */
static void deal_largest_first(epact_balance *b)
{
  const int64_t count = b->wanted < b->count ? b->wanted : b->count;
  for (int64_t i = 0; i < b->count; i++) b->part[i] = HELD;
  sum_loads(b);
  for (int64_t i = 0; i < count; i++) {
    b->order[i] = (uint32_t)i;
    b->key[i] = b->work[i];
  }
  order_by_key(count, b->order, b->key, b->scratch, b->key_scratch);
  for (int64_t i = 0; i < count; i++) put(b, b->order[i], least(b));
}

static bool too_large_an_item(const epact_balance *b, double mean)
{
  for (int64_t i = 0; i < b->count; i++)
    if (b->part[i] != HELD && b->work[i] > mean) return true;
  return false;
}

/* ---- bringing the largest load down ---- */

/* Item `out` of part `from` goes, item `in` comes (-1: none) of part `to` (HELD: of those held). */
typedef struct {
  int64_t out, in;
  int32_t from, to;
  double gain; /* by how much the squared distances of the loads from the mean fall */
} exchange;

static double off(double load, double mean)
{
  return (load - mean) * (load - mean);
}

/* The items of a part (HELD: those held), of which `list` gets the numbers. */
static int64_t members(const epact_balance *b, int32_t part, uint32_t *list)
{
  int64_t count = 0;
  for (int64_t i = 0; i < b->count; i++)
    if (b->part[i] == part) list[count++] = (uint32_t)i;
  return count;
}

/* The best exchange of part `from` with part `to`. Index -1 stands for no item. With those held (to is HELD) it must
 * neither shorten the batch nor make it longer than wanted, nor hold back what waits longest. */
static exchange best_exchange(const epact_balance *b, int32_t from, int32_t to, double mean)
{
  exchange best = { -1, -1, from, to, 0 };
  const bool held = to == HELD;
  const int64_t outs = members(b, from, b->order), ins = members(b, to, b->scratch);
  const double before = off(b->load[from], mean) + (held ? 0 : off(b->load[to], mean));
  for (int64_t o = -1; o < outs; o++) {
    const int64_t out = o < 0 ? -1 : (int64_t)b->order[o];
    if (held && (out < 0 ? b->dealt >= b->wanted : out < b->pinned)) continue;
    for (int64_t i = held ? 0 : -1; i < ins; i++) {
      const int64_t in = i < 0 ? -1 : (int64_t)b->scratch[i];
      const double change = (in < 0 ? 0 : b->work[in]) - (out < 0 ? 0 : b->work[out]);
      const double after = off(b->load[from] + change, mean) + (held ? 0 : off(b->load[to] - change, mean));
      if (before - after > best.gain) best = (exchange){ out, in, from, to, before - after };
    }
  }
  return best;
}

/* The best one for the part with the largest load, or for that with the least. */
static exchange best_of_all(const epact_balance *b, double mean)
{
  const int32_t ends[2] = { most(b), least(b) };
  exchange best = { -1, -1, 0, 0, 0 };
  for (int end = 0; end < 2; end++) {
    for (int32_t to = HELD; to < b->parts; to++) {
      const exchange e = to == ends[end] ? best : best_exchange(b, ends[end], to, mean);
      if (e.gain > best.gain) best = e;
    }
  }
  return best;
}

static void exchange_items(epact_balance *b)
{
  for (int64_t step = 0; step < 4 * b->wanted && ratio(b) > b->bound; step++) {
    const double mean = mean_load(b);
    const exchange e = best_of_all(b, mean);
    if (e.gain <= 1e-9 * mean * mean) return;
    if (e.out >= 0) put(b, e.out, e.to);
    if (e.in >= 0) put(b, e.in, e.from);
  }
}

/* Holds the smallest item of the largest load back, again and again; whether that ends within the bound. */
static bool hold_back(epact_balance *b)
{
  while (b->dealt > b->parts) {
    const int32_t high = most(b);
    int64_t smallest = -1;
    for (int64_t i = b->pinned; i < b->count; i++)
      if (b->part[i] == high && (smallest < 0 || b->work[i] <= b->work[smallest])) smallest = i;
    if (smallest < 0) return false;
    put(b, smallest, HELD);
    if (ratio(b) <= b->bound) return true;
  }
  return false;
}

void epact_balance_deal(epact_balance *b, int64_t wanted, epact_balance_loads *loads)
{
  b->wanted = wanted;
  deal_largest_first(b);
  if (ratio(b) > b->bound && !too_large_an_item(b, mean_load(b))) {
    exchange_items(b);
    sum_loads(b);
    if (b->count) memcpy(b->saved, b->part, (size_t)b->count * sizeof *b->part);
    if (ratio(b) > b->bound && !hold_back(b)) {
      memcpy(b->part, b->saved, (size_t)b->count * sizeof *b->part);
      sum_loads(b);
    }
  }
  *loads = (epact_balance_loads){ .items = b->dealt, .mean = mean_load(b), .largest = b->load[most(b)] };
  for (int64_t i = 0; i < b->count; i++)
    if (b->part[i] != HELD && b->work[i] > loads->item) loads->item = b->work[i];
}

int64_t epact_balance_end(epact_balance *b, uint32_t *item, uint32_t *part)
{
  int64_t dealt = 0, kept = 0;
  for (int64_t i = 0; i < b->count; i++) {
    if (b->part[i] != HELD) {
      item[dealt] = b->item[i];
      part[dealt++] = (uint32_t)b->part[i];
    } else {
      b->item[kept] = b->item[i];
      b->work[kept] = b->work[i];
      b->part[kept++] = HELD;
    }
  }
  b->count = kept;
  b->pinned = kept > 0;
  return kept;
}

const uint32_t *epact_balance_held(const epact_balance *b, int64_t *count)
{
  *count = b->count;
  return b->item;
}
