/* Subscriptions of processes to rows of a pushed table, and the columns changed since the last push. */
#include "subscription.h"

#include "../base/internal.h"

#include <stdlib.h>
#include <string.h>

#define FEWEST_COLUMNS 8 /* a record of changed columns may always have so many */

int epact_subscriptions_init(epact_subscriptions *s, int processes)
{
  /* A store of sparse rows that never get a cell is a map from ids to indices. */
  static const epact_schema no_values = { .type = EPACT_F64, .cols = 1, .sparse = true, .sparse_updates = true };
  memset(s, 0, sizeof *s);
  s->processes = processes;
  s->words = ((uint32_t)processes + 63) / 64;
  s->held = epact_calloc((size_t)processes, sizeof *s->held);
  return s->held ? epact_store_init(&s->ids, &no_values, false) : EPACT_E_NOMEM;
}

void epact_subscriptions_free(epact_subscriptions *s)
{
  for (uint32_t i = 0; i < s->capacity; i++) free(s->row[i].col);
  epact_store_free(&s->ids);
  free(s->row);
  free(s->process);
  free(s->dirty);
  free(s->held);
  memset(s, 0, sizeof *s);
}

int epact_subscriptions_admit(epact_subscriptions *s, int processes)
{
  uint32_t words = ((uint32_t)processes + 63) / 64;
  int code = epact_grow(&s->held, (size_t)processes, sizeof *s->held);
  if (code) return code;
  for (int p = s->processes; p < processes; p++) s->held[p] = 0;
  if (words > s->words && s->capacity) {
    uint64_t *wider = epact_calloc((size_t)s->capacity * words, sizeof *wider);
    if (!wider) return EPACT_E_NOMEM;
    for (uint32_t index = 0; index < s->capacity; index++) {
      memcpy(wider + (size_t)index * words, s->process + (size_t)index * s->words, s->words * sizeof *wider);
    }
    free(s->process);
    s->process = wider;
  }
  s->words = words;
  s->processes = processes;
  return EPACT_OK;
}

/* The arrays beside the store are as long as it may become before it grows again. */
static int follow_capacity(epact_subscriptions *s)
{
  uint32_t capacity = s->ids.capacity;
  int code = EPACT_OK;
  if (s->capacity >= capacity) return code;
  if ((code = epact_grow(&s->row, capacity, sizeof *s->row))) return code;
  if ((code = epact_grow(&s->process, (size_t)capacity * s->words, sizeof *s->process))) return code;
  if ((code = epact_grow(&s->dirty, capacity, sizeof *s->dirty))) return code;
  memset(s->row + s->capacity, 0, (capacity - s->capacity) * sizeof *s->row);
  memset(s->process + (size_t)s->capacity * s->words, 0,
         (size_t)(capacity - s->capacity) * s->words * sizeof *s->process);
  s->capacity = capacity;
  return EPACT_OK;
}

static uint64_t *word_of(epact_subscriptions *s, int process, uint32_t index)
{
  return &s->process[(size_t)index * s->words + (uint32_t)process / 64];
}

static uint64_t bit_of(int process)
{
  return UINT64_C(1) << (process % 64);
}

int epact_subscriptions_add(epact_subscriptions *s, int process, int64_t n, const int64_t *row, uint64_t version)
{
  for (int64_t i = 0; i < n; i++) {
    uint32_t index = epact_store_make(&s->ids, row[i]);
    if (index == EPACT_NO_INDEX) return EPACT_E_NOMEM;
    int code = index < s->capacity ? EPACT_OK : follow_capacity(s);
    if (code) return code;
    s->row[index].read_at = version;
    s->held[process] += !epact_is_subscribed(s, process, index);
    *word_of(s, process, index) |= bit_of(process);
  }
  return EPACT_OK;
}

static void drop(epact_subscriptions *s, int process, uint32_t index)
{
  s->held[process] -= epact_is_subscribed(s, process, index);
  *word_of(s, process, index) &= ~bit_of(process);
}

void epact_subscriptions_drop(epact_subscriptions *s, int process, int64_t n, const int64_t *row, uint64_t version)
{
  for (int64_t i = 0; i < n; i++) {
    uint32_t index = epact_store_find(&s->ids, row[i]);
    if (index < s->capacity && s->row[index].read_at < version) drop(s, process, index); /* NO_INDEX is greater */
  }
}

void epact_subscriptions_forget(epact_subscriptions *s, int process)
{
  uint32_t count = s->ids.count < s->capacity ? s->ids.count : s->capacity;
  for (uint32_t index = 0; index < count; index++) drop(s, process, index);
}

/* ---- what has changed ---- */

static int compare_columns(const void *a, const void *b)
{
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

void epact_subscribed_sort(epact_subscribed *row)
{
  uint32_t kept = 0;
  if (!row->cols) return;
  qsort(row->col, row->cols, sizeof *row->col, compare_columns);
  for (uint32_t i = 1; i < row->cols; i++) {
    if (row->col[i] != row->col[kept]) row->col[++kept] = row->col[i];
  }
  row->cols = kept + 1;
}

/* Room for one more column, of at most `limit`; false: the whole row has to be sent. */
static bool has_room(epact_subscribed *row, uint32_t limit)
{
  if (row->cols < row->capacity) return true;
  if (row->capacity < limit) {
    uint32_t capacity = row->capacity ? row->capacity * 2 : FEWEST_COLUMNS;
    if (capacity > limit) capacity = limit;
    if (epact_grow(&row->col, capacity, sizeof *row->col)) return false;
    row->capacity = capacity;
    return true;
  }
  epact_subscribed_sort(row);
  return (uint64_t)row->cols * 4 <= (uint64_t)row->capacity * 3; /* else it would soon be sorted again */
}

static void note_column(epact_subscribed *row, uint32_t col, uint32_t limit)
{
  if (row->cols && row->col[row->cols - 1] == col) return;
  if (has_room(row, limit))
    row->col[row->cols++] = col;
  else
    row->whole = true;
}

static bool has_readers(const epact_subscriptions *s, uint32_t index)
{
  uint64_t any = 0;
  for (uint32_t word = 0; word < s->words; word++) any |= s->process[(size_t)index * s->words + word];
  return any != 0;
}

void epact_subscriptions_note(epact_subscriptions *s, const epact_section *section, int64_t i, int64_t cells)
{
  uint32_t index = epact_store_find(&s->ids, section->row[i]);
  if (index >= s->capacity || !has_readers(s, index)) return; /* NO_INDEX is greater */
  epact_subscribed *row = &s->row[index];
  if (!row->dirty) s->dirty[s->dirty_count++] = index;
  row->dirty = true;
  uint32_t limit = cells / 2 > FEWEST_COLUMNS ? (uint32_t)(cells / 2) : FEWEST_COLUMNS;
  if (section->start) {
    for (uint32_t k = section->start[i]; k < section->start[i + 1] && !row->whole; k++) {
      note_column(row, section->col[k], limit);
    }
    return;
  }
  size_t bytes = epact_encoded_bytes(section->type, section->encoding); /* 0 is all bits 0 in each */
  const char *value = (const char *)section->value + (size_t)i * (size_t)section->cols * bytes;
  static const char zero[8] = { 0 };
  for (int64_t col = 0; col < section->cols && !row->whole; col++) {
    if (memcmp(value + (size_t)col * bytes, zero, bytes) != 0) note_column(row, (uint32_t)col, limit);
  }
}

void epact_subscriptions_clean(epact_subscriptions *s)
{
  for (uint32_t i = 0; i < s->dirty_count; i++) {
    epact_subscribed *row = &s->row[s->dirty[i]];
    row->dirty = row->whole = false;
    row->cols = 0;
  }
  s->dirty_count = 0;
}
