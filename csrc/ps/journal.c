/* Journals: what was applied after a cut, so that a run goes on from its last whole clock. */
#include "../base/internal.h"
#include "client.h"
#include "shard_table.h"
#include "snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SHARDS 65536

/* ---- reading in ---- */

static int add_entry(epact_journal *journal, epact_journal_entry entry)
{
  if (journal->entries == journal->capacity) {
    int64_t capacity = journal->capacity ? journal->capacity * 2 : 64;
    int code = epact_grow(&journal->entry, (size_t)capacity, sizeof *journal->entry);
    if (code) return code;
    journal->capacity = capacity;
  }
  journal->entry[journal->entries++] = entry;
  return EPACT_OK;
}

/* The largest "all before was synced" mark anywhere in the bytes from `from` on: frames begin at multiples of 8. */
static size_t synced_later(const char *data, size_t bytes, size_t from, uint64_t run)
{
  size_t most = 0;
  for (size_t at = from; at + 24 <= bytes; at += 8) {
    uint64_t length;
    memcpy(&length, data + at, sizeof length);
    if (length > bytes - at - sizeof length || length < 16 || memcmp(data + at + sizeof length, "EPAC", 4)) continue;
    epact_decoded decoded;
    if (epact_wire_decode(data + at + sizeof length, (size_t)length, run, &decoded)) continue;
    if (decoded.message.kind == EPACT_M_SYNCED && decoded.message.cursor > (int64_t)most)
      most = (size_t)decoded.message.cursor;
    epact_decoded_free(&decoded);
  }
  return most;
}

static int take_over(epact_journal *journal, char *data, size_t bytes)
{
  size_t files = (size_t)journal->files + 1;
  int code = epact_grow(&journal->data, files, sizeof *journal->data);
  if (!code) code = epact_grow(&journal->bytes, files, sizeof *journal->bytes);
  if (code) {
    free(data);
    return code;
  }
  journal->data[journal->files] = data;
  journal->bytes[journal->files++] = bytes;
  return EPACT_OK;
}

/* The files of a later life make those before it void. */
static int begin_life(epact_journal *journal, const epact_message *mark)
{
  bool same = journal->shards == (int32_t)mark->request && journal->slots == mark->slot;
  if (journal->shards && mark->incarnation == journal->life)
    return same ? EPACT_OK : epact_fail(EPACT_E_CORRUPT, "it is of another number of processes or workers");
  for (int f = 0; f < journal->files - 1; f++) journal->bytes[f] = 0;
  journal->entries = 0;
  journal->life = mark->incarnation;
  journal->shards = (int32_t)mark->request;
  journal->slots = mark->slot;
  return EPACT_OK;
}

/* Every file begins with a mark that says whose it is. *old: of a life before that of the snapshot, or of the files read
 * so far. */
static int take_first_mark(epact_journal *journal, const char *data, size_t bytes, int64_t clock, int rank, bool *old)
{
  epact_record_reader reader = epact_record_reader_of(data, bytes, journal->run);
  const epact_message *m = &reader.decoded.message;
  int code = EPACT_OK;
  *old = false;
  if (epact_record_next(&reader) == 1) { /* else there is nothing in it, or damage, which is looked at later */
    *old = m->kind == EPACT_M_SYNCED && m->incarnation < journal->life;
    if (m->kind != EPACT_M_SYNCED || m->clock != clock || m->shard != rank || m->slot < 1 ||
        m->slot > EPACT_MAX_SLOTS || m->request < 1 || m->request > MOST_SHARDS) {
      code =
          epact_fail(EPACT_E_CORRUPT, "it does not begin as the journal of rank %d from clock %" PRId64, rank, clock);
    } else if (!*old)
      code = begin_life(journal, m);
  }
  epact_record_reader_close(&reader);
  return code;
}

int epact_journal_add(epact_journal *journal, char *data, size_t bytes, int64_t clock, int rank, size_t *whole)
{
  bool old;
  int code = take_over(journal, data, bytes), next;
  *whole = 0;
  if (!code) code = take_first_mark(journal, data, bytes, clock, rank, &old);
  if (code) return code;
  if (old) {
    *whole = bytes;
    journal->bytes[journal->files - 1] = 0;
    return EPACT_OK;
  }
  epact_record_reader reader = epact_record_reader_of(data, bytes, journal->run);
  const epact_message *m = &reader.decoded.message;
  while (!code && (next = epact_record_next(&reader)) != 0) {
    if (next == EPACT_E_CORRUPT) {
      if (synced_later(data, bytes, reader.offset + 8, journal->run) > reader.offset) {
        code = epact_fail(EPACT_E_CORRUPT, "it is damaged at byte %zu, before what was synced", reader.offset);
      }
      break; /* the end of what reached the disk */
    }
    if (next < 0) {
      code = next;
      break;
    }
    if (m->kind == EPACT_M_BATCH || m->kind == EPACT_M_STATE) {
      bool state = m->kind == EPACT_M_STATE;
      code = add_entry(journal,
                       (epact_journal_entry){ m->clock, m->slot, m->final, state, journal->files - 1, reader.offset });
    } else if (m->kind != EPACT_M_CREATE && m->kind != EPACT_M_SYNCED)
      code = epact_fail(EPACT_E_CORRUPT, "the record at byte %zu does not belong there", reader.offset);
  }
  *whole = journal->bytes[journal->files - 1] = reader.offset;
  epact_record_reader_close(&reader);
  return code;
}

/* ---- how far it goes ---- */

static int by_clock_and_slot(const void *a, const void *b)
{
  const epact_journal_entry *x = a, *y = b;
  if (x->clock != y->clock) return x->clock < y->clock ? -1 : 1;
  if (x->slot != y->slot) return x->slot < y->slot ? -1 : 1;
  if (x->state != y->state) return x->state ? 1 : -1;
  return x->file < y->file ? -1 : x->file > y->file;
}

static void sort_entries(epact_journal *journal)
{
  if (journal->entries) qsort(journal->entry, (size_t)journal->entries, sizeof *journal->entry, by_clock_and_slot);
}

/* Every slot sends its batches in the order of clocks, to every shard. last[slot]: the batches tagged < last are in
 * the journals of all shards; EPACT_FOREVER where they end with the slot's final one. Returns the least of them. */
static int64_t last_batches(const epact_journal *journal, int64_t from, int64_t *last)
{
  int slots = journal->slots;
  int64_t least = EPACT_FOREVER, most = from;
  for (int slot = 0; slot < slots; slot++) {
    last[slot] = journal->finished && journal->finished[slot] ? EPACT_FOREVER : from;
  }
  for (int64_t i = 0, next; i < journal->entries; i = next) {
    const epact_journal_entry *e = &journal->entry[i];
    int found = 0;
    for (next = i; next < journal->entries && journal->entry[next].clock == e->clock &&
                   journal->entry[next].slot == e->slot && journal->entry[next].state == e->state;)
      next++, found++;
    if (e->state || e->slot < 0 || e->slot >= slots || e->clock != last[e->slot] || found != journal->shards) continue;
    last[e->slot] = e->final ? EPACT_FOREVER : e->clock + 1;
    if (e->clock + 1 > most) most = e->clock + 1;
  }
  for (int slot = 0; slot < slots; slot++) least = last[slot] < least ? last[slot] : least;
  return least == EPACT_FOREVER ? most : least;
}

/* A worker's last state is that of all later clocks. */
static bool is_state_at(const epact_journal_entry *e, int64_t clock)
{
  return e->state && (e->final ? e->clock <= clock : e->clock == clock);
}

static bool has_states(const epact_journal *journal, int64_t clock, const bool *keeps, bool *seen)
{
  for (int slot = 0; slot < journal->slots; slot++) seen[slot] = !keeps[slot];
  for (int64_t i = 0; i < journal->entries; i++) {
    const epact_journal_entry *e = &journal->entry[i];
    if (is_state_at(e, clock) && e->slot >= 0 && e->slot < journal->slots) seen[e->slot] = true;
  }
  for (int slot = 0; slot < journal->slots; slot++) {
    if (!seen[slot]) return false;
  }
  return true;
}

int64_t epact_journal_clock(epact_journal *journal, int64_t from, bool *keeps)
{
  if (!journal->shards) return from;
  int64_t *last = epact_calloc((size_t)journal->slots, sizeof *last), clock = from;
  bool *seen = epact_calloc((size_t)journal->slots, sizeof *seen);
  for (int64_t i = 0; i < journal->entries; i++) {
    const epact_journal_entry *e = &journal->entry[i];
    if (e->state && e->slot >= 0 && e->slot < journal->slots) keeps[e->slot] = true;
  }
  if (last && seen) {
    sort_entries(journal);
    clock = last_batches(journal, from, last);
    while (clock > from && !has_states(journal, clock, keeps, seen)) clock--;
  }
  free(last);
  free(seen);
  return clock;
}

/* ---- replaying ---- */

/* The increments of one section to the rows that the shard owns. */
static int apply_own_rows(epact_shard *shard, epact_shard_table *table, const epact_section *section)
{
  size_t bytes = epact_deal_bytes(section, shard->shards);
  char *arena = epact_malloc(bytes), *at = arena;
  epact_section *dealt = epact_calloc((size_t)shard->shards, sizeof *dealt);
  int code = arena && dealt ? epact_shard_table_check(table, section, false) : EPACT_E_NOMEM;
  if (!code) {
    epact_deal(section, &table->schema, shard->shards, &at, dealt, 1);
    code = epact_shard_table_prepare(table, &dealt[shard->rank]);
    epact_shard_table_forget(table); /* a feed begins anew */
  }
  if (!code) epact_shard_table_apply(table, &dealt[shard->rank], 0, 0, ++shard->version);
  free(arena);
  free(dealt);
  return code;
}

static int replay_batch(epact_shard *shard, const epact_message *m)
{
  int code = EPACT_OK;
  for (int i = 0; i < m->sections && !code; i++) {
    epact_shard_table *table = epact_shard_find_table(shard, m->section[i].table);
    code = table ? apply_own_rows(shard, table, &m->section[i])
                 : epact_fail(EPACT_E_CORRUPT, "increments of a table that was not made");
  }
  return code;
}

static int replay_creates(const epact_journal *journal, epact_shard *shard)
{
  int code = EPACT_OK;
  for (int f = 0; f < journal->files && !code; f++) {
    epact_record_reader reader = epact_record_reader_of(journal->data[f], journal->bytes[f], journal->run);
    while (!code && (code = epact_record_next(&reader)) == 1) {
      const epact_message *m = &reader.decoded.message;
      code = m->kind == EPACT_M_CREATE ? epact_shard_recreate(shard, m) : EPACT_OK;
    }
    epact_record_reader_close(&reader);
  }
  return code;
}

int epact_journal_replay(epact_journal *journal, int64_t clock, const epact_part_reader *reader)
{
  int code = reader->shard ? replay_creates(journal, reader->shard) : EPACT_OK;
  sort_entries(journal);
  for (int64_t i = 0; i < journal->entries && !code; i++) {
    const epact_journal_entry *e = &journal->entry[i];
    if (e->state ? !is_state_at(e, clock) || !reader->state : e->clock >= clock || !reader->shard) continue;
    epact_record_reader record = epact_record_reader_of(journal->data[e->file], journal->bytes[e->file], journal->run);
    record.next = e->offset;
    if ((code = epact_record_next(&record)) == 1) {
      const epact_message *m = &record.decoded.message;
      code = e->state ? epact_part_hand_out(m, reader) : replay_batch(reader->shard, m);
    }
    epact_record_reader_close(&record);
  }
  return code;
}

void epact_journal_free(epact_journal *journal)
{
  for (int f = 0; f < journal->files; f++) free(journal->data[f]);
  free(journal->data);
  free(journal->bytes);
  free(journal->entry);
  memset(journal, 0, sizeof *journal);
}
