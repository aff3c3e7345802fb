/* Putting parts and journals together. */
#include "binder.h"

#include <stdlib.h>
#include <string.h>

int epact_binder_open(epact_binder *b, int64_t clock)
{
  b->passed = epact_calloc((size_t)b->workers + 1, sizeof *b->passed);
  b->keeps = epact_calloc((size_t)b->workers + 1, sizeof *b->keeps);
  b->last = epact_calloc((size_t)b->workers + 1, sizeof *b->last);
  if (!b->passed || !b->keeps || !b->last) return EPACT_E_NOMEM;
  for (int i = 0; i < b->workers; i++) b->passed[i] = clock;
  b->cut = (clock / b->every + 1) * b->every;
  b->begins = b->log_clock = clock;
  return EPACT_OK;
}

static void free_assembly(epact_assembly *a)
{
  epact_records_free(&a->tables);
  epact_records_free(&a->states);
  free(a);
}

void epact_binder_close(epact_binder *b)
{
  epact_shard_cut_drop(b->copying);
  b->copying = NULL;
  while (b->assemblies) {
    epact_assembly *a = b->assemblies;
    b->assemblies = a->next;
    free_assembly(a);
  }
  while (b->early) {
    epact_early_state *early = b->early;
    b->early = early->next;
    epact_records_free(&early->records);
    free(early);
  }
  epact_records_free(&b->log);
  epact_records_free(&b->spare);
  for (int i = 0; b->last && i < b->workers; i++) free(b->last[i].data);
  free(b->passed);
  free(b->keeps);
  free(b->last);
  b->last = NULL;
  b->passed = NULL;
  b->keeps = NULL;
}

/* An empty state at the clock where it begins, which nobody is handed, goes before the worker's first batch: whoever
 * reads the journal must know that a state belongs to that batch. */
int epact_binder_expect(epact_binder *b, int local)
{
  b->keeps[local] = true;
  if (!b->journal) return EPACT_OK;
  return epact_part_state(&b->log, b->first_slot + local, b->passed[local], "", 0, b->run);
}

/* ---- the journal ---- */

/* A clock is held by the journal when its batches and the states that belong to it are. */
static int64_t held_clock(const epact_binder *b)
{
  int64_t clock = b->log_clock;
  for (int i = 0; i < b->workers; i++) {
    if (b->keeps[i] && b->passed[i] < clock) clock = b->passed[i];
  }
  return clock;
}

void epact_binder_flush(epact_binder *b, int64_t minimum)
{
  if (minimum > b->log_clock) b->log_clock = minimum;
  if (!b->log.count || !b->started) return;
  epact_piece piece = { .kind = EPACT_PIECE_JOURNAL, .clock = held_clock(b), .records = b->log };
  b->log = (epact_records){ NULL, 0, 0, 0 };
  b->put(b->context, &piece);
}

static void turn(epact_binder *b, int64_t clock)
{
  epact_piece piece = { .kind = EPACT_PIECE_TURN, .clock = clock };
  b->put(b->context, &piece);
}

void epact_binder_start(epact_binder *b)
{
  if (b->started || !b->journal) return;
  b->started = true;
  turn(b, b->begins);
}

int epact_binder_record(epact_binder *b, const epact_message *message, int64_t minimum)
{
  if (minimum > b->log_clock) b->log_clock = minimum;
  return epact_records_add(&b->log, message, b->run);
}

/* Whoever goes on from the snapshot at the cut reads no journal from before it: a state of a later clock must not be
 * written there. */
static int record_state(epact_binder *b, int slot, int64_t clock, const void *state, size_t bytes)
{
  if (clock <= b->cut) return epact_part_state(&b->log, slot, clock, state, bytes, b->run);
  epact_early_state *early = epact_calloc(1, sizeof *early);
  int code = early ? epact_part_state(&early->records, slot, clock, state, bytes, b->run) : EPACT_E_NOMEM;
  if (code) {
    free(early);
    return code;
  }
  early->clock = clock;
  early->next = b->early;
  b->early = early;
  return EPACT_OK;
}

/* Into the journal that has just begun, or into a part; those of workers that finish later are not of that clock. */
static int add_last_states(epact_binder *b, epact_records *records, int64_t clock)
{
  int code = EPACT_OK;
  for (int i = 0; i < b->workers && !code; i++) {
    const epact_last_state *last = &b->last[i];
    if (last->given && last->clock <= clock)
      code = epact_part_last_state(records, b->first_slot + i, last->clock, last->data, last->bytes, b->run);
  }
  return code;
}

static int admit_early_states(epact_binder *b)
{
  int code = EPACT_OK;
  for (epact_early_state **at = &b->early, *early; (early = *at) && !code;) {
    if (early->clock > b->cut) {
      at = &early->next;
      continue;
    }
    code = epact_records_append(&b->log, &early->records);
    *at = early->next;
    epact_records_free(&early->records);
    free(early);
  }
  return code;
}

/* ---- parts ---- */

static epact_assembly *assembly_of(epact_binder *b, int64_t clock)
{
  epact_assembly **at = &b->assemblies;
  while (*at && (*at)->clock < clock) at = &(*at)->next;
  if (*at && (*at)->clock == clock) return *at;
  epact_assembly *a = epact_calloc(1, sizeof *a);
  if (!a) return NULL;
  a->clock = clock;
  a->next = *at;
  *at = a;
  return a;
}

/* Tables, then states, then the end. */
static void finish_part(epact_binder *b, epact_assembly *a)
{
  a->failed = a->failed || epact_records_append(&a->tables, &a->states) || add_last_states(b, &a->tables, a->clock) ||
              epact_part_end(&a->tables, b->run);
  if (a->failed) epact_records_free(&a->tables); /* an empty part is not written, but rank 0 must know */
  epact_piece piece = { .kind = EPACT_PIECE_PART, .clock = a->clock, .records = a->tables };
  a->tables = (epact_records){ NULL, 0, 0, 0 };
  b->put(b->context, &piece);
}

/* Parts whose cut is taken and whose workers have all come as far, in the order of clocks. */
static void hand_over(epact_binder *b)
{
  while (b->assemblies && (b->assemblies->cut || b->none)) {
    epact_assembly *a = b->assemblies;
    for (int i = 0; i < b->workers; i++) {
      if (b->passed[i] < a->clock) return;
    }
    b->assemblies = a->next;
    if (b->none) a->failed = epact_part_begin(&a->tables, b->none, a->clock, b->run) != 0;
    finish_part(b, a);
    free_assembly(a);
  }
}

static void end_copy(epact_binder *b)
{
  epact_assembly *a = b->copied;
  a->failed = epact_shard_cut_end(b->copying, &a->tables) != 0;
  a->cut = true;
  b->copying = NULL;
  hand_over(b);
}

void epact_binder_copy(epact_binder *b)
{
  if (b->copying && !epact_shard_cut_copy(b->copying)) end_copy(b);
}

int epact_binder_cut(epact_binder *b, epact_shard *shard)
{
  int code = EPACT_OK;
  if (b->copying) end_copy(b);
  epact_assembly *a = assembly_of(b, shard->minimum);
  if (!a) return EPACT_E_NOMEM;
  b->copied = a;
  b->copying = epact_shard_cut_begin(shard, shard->minimum, b->run, &b->spare, b->piece_bytes);
  if (!b->copying) a->failed = a->cut = true;
  b->cut = shard->minimum + b->every;
  if (b->journal) {
    epact_binder_start(b); /* where all the others have begun this process may as well */
    epact_binder_flush(b, shard->minimum);
    turn(b, shard->minimum);
    code = add_last_states(b, &b->log, EPACT_FOREVER);
    if (!code) code = admit_early_states(b);
  }
  hand_over(b);
  return code;
}

void epact_binder_reuse(epact_binder *b, epact_records *written)
{
  if (b->spare.data) return;
  b->spare = (epact_records){ written->data, 0, written->capacity, 0 };
  *written = (epact_records){ NULL, 0, 0, 0 };
}

int epact_binder_pass(epact_binder *b, int local, int64_t clock, const void *state, size_t bytes)
{
  int slot = b->first_slot + local, code = EPACT_OK;
  if (epact_binder_is_cut(b, clock)) {
    epact_assembly *a = assembly_of(b, clock);
    code = a ? EPACT_OK : EPACT_E_NOMEM;
    if (a && state) code = epact_part_state(&a->states, slot, clock, state, bytes, b->run);
  }
  if (state && b->journal && !code) code = record_state(b, slot, clock, state, bytes);
  if (code) return code; /* no part may be finished without its state */
  b->passed[local] = clock;
  hand_over(b);
  return code;
}

int epact_binder_finish(epact_binder *b, int local, int64_t clock, const void *state, size_t bytes)
{
  epact_last_state *last = &b->last[local];
  int code = EPACT_OK;
  if (state && !last->given) {
    last->data = epact_malloc(bytes + 1);
    if (!last->data) return EPACT_E_NOMEM;
    memcpy(last->data, state, bytes);
    last->bytes = bytes;
    last->clock = clock;
    last->given = true;
    if (b->journal) code = epact_part_last_state(&b->log, b->first_slot + local, clock, state, bytes, b->run);
  }
  if (code) return code;
  b->passed[local] = EPACT_FOREVER;
  hand_over(b);
  return code;
}
