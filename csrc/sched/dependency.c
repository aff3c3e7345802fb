/* The dependency check: see dependency.h.
 *
 * Those that are in the batch or in flight have slots. The entries of a short column hang in lists at their rows, so
 * that all products of a candidate with all slots are sums along the rows of the candidate: most pairs of sparse
 * columns have no row in common, and are never looked at. */
#include "dependency.h"

#include "correlation.h"
#include "seen.h"
#include "unit.h"

#include <math.h>

typedef struct {
  double value;
  uint32_t slot, next; /* next: place in `entry` + 1; 0: the last */
} row_entry;

typedef struct {
  correlated is;
  bool touched;
  double product;
} slot;

typedef struct {
  uint32_t *id;
  int64_t count;
  size_t room;
} id_list;

struct epact_dependency {
  correlation of;
  double rho;
  seen_set seen;
  id_list waiting, put_off, flight; /* put_off: those of this batch */
  int64_t wanted, left, missed;     /* missed: of put_off, those that were waiting before */
  slot *slot;
  unit_columns unit; /* one for each slot, and the candidate's after the last */
  int64_t slots, longs;
  size_t slot_room;
  double largest_mean; /* of factor |mean| of the slots */
  uint32_t *head;      /* for each row the place of its first entry + 1; NULL when x is dense */
  row_entry *entry;
  size_t entries, entry_room;
  uint32_t *touched; /* slots */
  int64_t scheduled, dropped, repeated;
};

static void destroy(void *object)
{
  epact_dependency *d = object;
  pairs_free(&d->of.pairs);
  free(d->seen.place);
  free(d->waiting.id);
  free(d->put_off.id);
  free(d->flight.id);
  free(d->slot);
  unit_free(&d->unit);
  free(d->head);
  free(d->entry);
  free(d->touched);
}

int epact_dependency_new(const epact_columns *x, const double *squared_norm, double rho, int normalise,
                         int64_t cache_bytes, epact_dependency **dependency)
{
  if (!(rho > 0) || cache_bytes < 0 || x->columns > UINT32_MAX)
    return epact_fail(EPACT_E_MISUSE, "rho must be positive, the cache not negative, and columns below 2^32");
  epact_dependency *d = epact_object_new(sizeof *d, destroy);
  if (!d) return EPACT_E_NOMEM;
  d->rho = rho;
  d->of = (correlation){ .x = *x, .squared_norm = squared_norm, .normalise = normalise };
  int code = unit_init(&d->unit, &d->of, (size_t)cache_bytes);
  if (x->start) d->head = epact_calloc((size_t)x->rows, sizeof *d->head);
  if (!code && x->start && !d->head) code = EPACT_E_NOMEM;
  if (!code) code = pairs_init(&d->of.pairs, d->unit.stride ? 0 : (size_t)cache_bytes);
  if (code) {
    epact_release(d);
    return EPACT_E_NOMEM;
  }
  *dependency = d;
  return EPACT_OK;
}

/* ---- lists of ids ---- */

static int check_ids(const epact_dependency *d, int64_t count, const uint32_t *id)
{
  for (int64_t i = 0; i < count; i++)
    if (id[i] >= d->of.x.columns)
      return epact_fail(EPACT_E_RANGE, "variable %u is not below %lld", id[i], (long long)d->of.x.columns);
  return EPACT_OK;
}

static int list_reserve(id_list *list, int64_t count)
{
  if ((size_t)count <= list->room) return EPACT_OK;
  const size_t room = (size_t)count + (size_t)count / 2;
  if (epact_grow(&list->id, room, sizeof *list->id)) return EPACT_E_NOMEM;
  list->room = room;
  return EPACT_OK;
}

static void list_push(id_list *list, uint32_t id)
{
  list->id[list->count++] = id;
}

static int list_set(id_list *list, int64_t count, const uint32_t *id)
{
  if (list_reserve(list, count)) return EPACT_E_NOMEM;
  if (count) memcpy(list->id, id, (size_t)count * sizeof *id);
  list->count = count;
  return EPACT_OK;
}

/* ---- who meets whom ---- */

/* Whether a short candidate is too close to a short slot. */
static bool meets_short(epact_dependency *d, const correlated *candidate)
{
  const column c = candidate->entries;
  const double n = (double)d->of.x.rows;
  int64_t count = 0;
  bool meets = false;
  for (int64_t e = 0; e < c.count; e++) {
    for (uint32_t at = d->head[c.index[e]]; at; at = d->entry[at - 1].next) {
      const row_entry *entry = d->entry + at - 1;
      slot *s = d->slot + entry->slot;
      if (!s->touched) d->touched[count++] = entry->slot;
      s->touched = true;
      s->product += entry->value * c.value[e];
    }
  }
  for (int64_t i = 0; i < count; i++) {
    slot *s = d->slot + d->touched[i];
    meets |= fabs(candidate->factor * s->is.factor * (s->product - n * candidate->mean * s->is.mean)) >= d->rho;
    s->product = 0;
    s->touched = false;
  }
  /* Centred columns without a row in common correlate a little, too: by their means alone. */
  const double mean = n * fabs(candidate->factor * candidate->mean);
  if (meets || !(mean * d->largest_mean >= d->rho)) return meets;
  for (int64_t i = 0; i < d->slots && !meets; i++) {
    const correlated *s = &d->slot[i].is;
    meets = !s->is_long && correlation_size(&d->of, candidate, s) >= d->rho;
  }
  return meets;
}

/* Of dense columns: exactly only where the product in single precision is near to rho. */
static bool meets_unit(epact_dependency *d, const correlated *candidate)
{
  unit_set(&d->unit, d->slots, candidate);
  for (int64_t first = 0; first < d->slots; first += 4) {
    float product[4];
    unit_products(&d->unit, first, d->slots, product);
    for (int64_t i = first; i < first + 4 && i < d->slots; i++) {
      const double size = fabs((double)product[i - first]);
      if (size >= d->rho + UNIT_ERROR) return true;
      if (!(size < d->rho - UNIT_ERROR) && correlation_size(&d->of, candidate, &d->slot[i].is) >= d->rho) return true;
    }
  }
  return false;
}

static bool meets_any(epact_dependency *d, const correlated *candidate)
{
  if (candidate->factor == 0) return false;
  if (d->unit.stride) return meets_unit(d, candidate);
  if (!candidate->is_long && meets_short(d, candidate)) return true;
  if (!candidate->is_long && d->longs == 0) return false;
  for (int64_t i = d->slots - 1; i >= 0; i--) {
    const correlated *s = &d->slot[i].is;
    if (!candidate->is_long && !s->is_long) continue;
    if (s->factor != 0 && correlation_size(&d->of, candidate, s) >= d->rho) return true;
  }
  return false;
}

/* ---- slots ---- */

/* What hangs in the rows' lists. */
static column listed(const correlated *c)
{
  column entries = c->entries;
  if (c->is_long || !entries.index) entries.count = 0;
  return entries;
}

static void clear_slots(epact_dependency *d)
{
  for (int64_t i = 0; i < d->slots; i++) {
    const column c = listed(&d->slot[i].is);
    for (int64_t e = 0; e < c.count; e++) d->head[c.index[e]] = 0;
  }
  d->slots = d->longs = 0;
  d->entries = 0;
  d->largest_mean = 0;
}

static int reserve_slots(epact_dependency *d, size_t count)
{
  if (unit_reserve(&d->unit, count + 1)) return EPACT_E_NOMEM;
  if (count <= d->slot_room) return EPACT_OK;
  const size_t room = count + count / 2;
  if (epact_grow(&d->slot, room, sizeof *d->slot) || epact_grow(&d->touched, room, sizeof *d->touched))
    return EPACT_E_NOMEM;
  d->slot_room = room;
  return EPACT_OK;
}

static int add_slot(epact_dependency *d, const correlated *added)
{
  const column c = listed(added);
  const double mean = fabs(added->factor * added->mean);
  if (d->entries + (size_t)c.count > d->entry_room) {
    const size_t room = 2 * (d->entries + (size_t)c.count);
    if (room > UINT32_MAX) return epact_fail(EPACT_E_LIMIT, "a batch and all in flight have at most 2^31 entries");
    if (epact_grow(&d->entry, room, sizeof *d->entry)) return EPACT_E_NOMEM;
    d->entry_room = room;
  }
  for (int64_t e = 0; e < c.count; e++) {
    d->entry[d->entries++] = (row_entry){ c.value[e], (uint32_t)d->slots, d->head[c.index[e]] };
    d->head[c.index[e]] = (uint32_t)d->entries;
  }
  if (d->unit.stride) unit_set(&d->unit, d->slots, added);
  if (mean > d->largest_mean) d->largest_mean = mean;
  d->longs += added->is_long;
  d->slot[d->slots++] = (slot){ .is = *added };
  return EPACT_OK;
}

/* ---- a batch ---- */

static int64_t batch_count(const epact_dependency *d)
{
  return d->slots - d->flight.count;
}

/* EPACT_OK also when it may not join. */
static int consider(epact_dependency *d, uint32_t id, uint32_t *batch)
{
  if (!seen_add(&d->seen, id)) {
    d->repeated++;
    return EPACT_OK;
  }
  const correlated candidate = correlated_column(&d->of, id);
  if (meets_any(d, &candidate)) {
    list_push(&d->put_off, id);
    return EPACT_OK;
  }
  batch[batch_count(d)] = id;
  return add_slot(d, &candidate);
}

/* Asks memory for the columns of what is considered soon: they lie anywhere, and to wait for one after the other takes
 * longer than all else. */
static void prefetch(const epact_dependency *d, int64_t count, const uint32_t *candidate)
{
  const epact_columns *x = &d->of.x;
  if (!x->start || count < 5) return;
  const uint32_t soon = candidate[count < 9 ? count - 1 : 8], next = candidate[4];
  __builtin_prefetch(x->start + soon);
  __builtin_prefetch(d->of.squared_norm + soon);
  if (x->mean) __builtin_prefetch(x->mean + soon);
  if (x->inverse_scale) __builtin_prefetch(x->inverse_scale + soon);
  const int64_t first = x->start[next], end = x->start[next + 1] - first < LONG_COLUMN ? x->start[next + 1] : first;
  for (int64_t e = first; e < end; e += 16) __builtin_prefetch(x->index + e);
  for (int64_t e = first; e < end; e += 8) __builtin_prefetch(x->value + e);
}

/* Until the batch is full; returns how many were looked at. */
static int64_t consider_all(epact_dependency *d, int64_t count, const uint32_t *candidate, uint32_t *batch)
{
  int64_t i = 0;
  for (; i < count && batch_count(d) < d->wanted; i++) {
    prefetch(d, count - i, candidate + i);
    const int code = consider(d, candidate[i], batch);
    if (code) return code;
  }
  return i;
}

int64_t epact_dependency_begin(epact_dependency *d, int64_t wanted, int64_t most, uint32_t *batch)
{
  const int64_t flight = d->flight.count, waiting = d->waiting.count;
  clear_slots(d);
  d->put_off.count = 0;
  if (seen_begin(&d->seen, (size_t)(flight + waiting + most)) || reserve_slots(d, (size_t)(flight + wanted)) ||
      list_reserve(&d->put_off, waiting + most) || list_reserve(&d->flight, flight + wanted))
    return EPACT_E_NOMEM;
  d->wanted = wanted;
  d->left = most;
  for (int64_t i = 0; i < flight; i++) {
    seen_add(&d->seen, d->flight.id[i]);
    const correlated flying = correlated_column(&d->of, d->flight.id[i]);
    const int code = add_slot(d, &flying);
    if (code) return code;
  }
  const int64_t i = consider_all(d, waiting, d->waiting.id, batch);
  if (i < 0) return i;
  d->missed = d->put_off.count;
  for (int64_t k = i; k < waiting; k++) list_push(&d->put_off, d->waiting.id[k]); /* their second chance comes yet */
  return batch_count(d);
}

int64_t epact_dependency_offer(epact_dependency *d, int64_t count, const uint32_t *candidate, uint32_t *batch)
{
  if (count > d->left) return epact_fail(EPACT_E_MISUSE, "more is offered than was said");
  d->left -= count;
  const int64_t code = check_ids(d, count, candidate);
  if (code) return code;
  const int64_t considered = consider_all(d, count, candidate, batch);
  return considered < 0 ? considered : batch_count(d);
}

void epact_dependency_end(epact_dependency *d, const uint32_t *batch, int once)
{
  const int64_t count = batch_count(d), passed = once ? d->missed : 0;
  clear_slots(d);
  for (int64_t i = 0; i < count; i++) list_push(&d->flight, batch[i]);
  const id_list offered = d->waiting;
  d->waiting = d->put_off;
  d->put_off = offered;
  d->waiting.count -= passed;
  if (passed) memmove(d->waiting.id, d->waiting.id + passed, (size_t)d->waiting.count * sizeof *d->waiting.id);
  d->scheduled += count;
  d->dropped += d->waiting.count + passed;
}

int epact_dependency_land(epact_dependency *d, int64_t count, const uint32_t *variable)
{
  if (seen_begin(&d->seen, (size_t)(count > 0 ? count : 0))) return EPACT_E_NOMEM;
  for (int64_t i = 0; i < count; i++) seen_add(&d->seen, variable[i]);
  int64_t kept = 0;
  for (int64_t i = 0; i < d->flight.count; i++) {
    d->flight.id[kept] = d->flight.id[i];
    kept += !seen_has(&d->seen, d->flight.id[i]);
  }
  d->flight.count = kept;
  return EPACT_OK;
}

/* ---- looking ---- */

const uint32_t *epact_dependency_waiting(const epact_dependency *d, int64_t *count)
{
  *count = d->waiting.count;
  return d->waiting.id;
}

const uint32_t *epact_dependency_flight(const epact_dependency *d, int64_t *count)
{
  *count = d->flight.count;
  return d->flight.id;
}

int epact_dependency_restore(epact_dependency *d, int64_t waiting_count, const uint32_t *waiting, int64_t flight_count,
                             const uint32_t *flight)
{
  int code = check_ids(d, waiting_count, waiting);
  if (!code) code = check_ids(d, flight_count, flight);
  if (!code) code = list_reserve(&d->waiting, waiting_count);
  if (!code) code = list_set(&d->flight, flight_count, flight);
  if (!code) code = list_set(&d->waiting, waiting_count, waiting);
  return code;
}

void epact_dependency_count(const epact_dependency *d, epact_dependency_counts *counts)
{
  *counts = (epact_dependency_counts){
    .scheduled = d->scheduled,
    .dropped = d->dropped,
    .repeated = d->repeated,
    .hits = d->of.pairs.hits,
    .misses = d->of.pairs.misses,
    .pairs = d->of.pairs.kept,
    .evicted = d->of.pairs.evicted,
    .bytes = (int64_t)(d->of.pairs.lines * sizeof(pairs_line)),
  };
}
