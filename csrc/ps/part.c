/* The parts of a snapshot: a shard as the messages that would make it. */
#include "../base/internal.h"
#include "client.h"
#include "shard_table.h"
#include "snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing: tables are written by shard_cut.c ---- */

static int add_state(epact_records *part, int slot, int64_t clock, bool final, const void *blob, size_t bytes,
                     uint64_t run)
{
  epact_message state = {
    .kind = EPACT_M_STATE, .slot = slot, .clock = clock, .final = final, .blob = blob, .blob_bytes = bytes, .text = ""
  };
  return epact_records_add(part, &state, run);
}

int epact_part_state(epact_records *part, int slot, int64_t clock, const void *blob, size_t bytes, uint64_t run)
{
  return add_state(part, slot, clock, false, blob, bytes, run);
}

int epact_part_last_state(epact_records *part, int slot, int64_t clock, const void *blob, size_t bytes, uint64_t run)
{
  return add_state(part, slot, clock, true, blob, bytes, run);
}

int epact_part_end(epact_records *part, uint64_t run)
{
  epact_message end = { .kind = EPACT_M_END, .cursor = part->count, .text = "" };
  return epact_records_add(part, &end, run);
}

/* ---- reading ---- */

/* The rows of a section that the shard owns. */
static int put_own_rows(epact_shard *shard, epact_shard_table *table, const epact_section *section)
{
  int code = EPACT_OK;
  for (int64_t i = 0; i < section->rows && !code; i++) {
    if (epact_row_shard(&table->schema, section->row[i], shard->shards) != shard->rank) continue;
    epact_section one = *section;
    uint32_t start[2] = { 0, 0 };
    one.rows = 1;
    one.row = section->row + i;
    if (section->start) {
      uint32_t first = section->start[i];
      start[1] = section->start[i + 1] - first;
      one.start = start;
      one.col = section->col + first;
      if (start[1]) one.value = (const char *)section->value + (size_t)first * epact_type_bytes(section->type);
    } else
      one.value = (const char *)section->value + (size_t)i * table->store.row_bytes;
    code = epact_shard_table_put(table, &one);
  }
  return code;
}

static int take_rows(epact_shard *shard, const epact_message *rows)
{
  epact_shard_table *table = rows->sections == 1 ? epact_shard_find_table(shard, rows->section->table) : NULL;
  if (!table) return epact_fail(EPACT_E_CORRUPT, "rows of a table that was not made");
  if (rows->section->type != table->schema.type || rows->section->cols != table->schema.cols ||
      rows->section->encoding != EPACT_AS_TYPE ||
      (!rows->section->start && !rows->section->value && rows->section->rows)) {
    return epact_fail(EPACT_E_CORRUPT, "rows that do not fit table '%s'", table->name);
  }
  if (!shard->version) shard->version = 1; /* that of the rows: the next batch's must be another */
  if (shard->shards == 1) return epact_shard_table_put(table, rows->section);
  return put_own_rows(shard, table, rows->section);
}

int epact_shard_recreate(epact_shard *shard, const epact_message *create)
{
  const epact_shard_table *table = epact_shard_find_table(shard, create->schema->id);
  if (table && (strcmp(table->name, create->text) || !epact_schema_equal(&table->schema, create->schema)))
    return epact_fail(EPACT_E_CORRUPT, "table '%s' is in it twice, with different shapes", create->text);
  return table || epact_shard_make_table(shard, create->text, create->schema) ? EPACT_OK : EPACT_E_NOMEM;
}

int epact_part_hand_out(const epact_message *state, const epact_part_reader *reader)
{
  bool wanted = reader->state && state->slot >= reader->first_slot && state->slot - reader->first_slot < reader->slots;
  return wanted ? reader->state(reader->context, state) : EPACT_OK;
}

static int take_record(const epact_message *m, const epact_part_reader *reader)
{
  int code = reader->look ? reader->look(reader->context, m) : EPACT_OK;
  if (code) return code;
  if (m->kind == EPACT_M_STATE) return epact_part_hand_out(m, reader);
  if (m->kind == EPACT_M_BATCH && m->final && !m->sections) { /* a worker that has finished before */
    bool known = reader->finished && m->slot >= 0 && m->slot < reader->first_slot + reader->slots;
    if (known) reader->finished[m->slot] = true;
    return EPACT_OK;
  }
  if (m->kind != EPACT_M_CREATE && m->kind != EPACT_M_ROWS)
    return epact_fail(EPACT_E_CORRUPT, "a record that does not belong there");
  if (!reader->shard) return EPACT_OK;
  return m->kind == EPACT_M_CREATE ? epact_shard_recreate(reader->shard, m) : take_rows(reader->shard, m);
}

int epact_part_read(const void *data, size_t bytes, uint64_t run, int64_t clock, int rank,
                    const epact_part_reader *reader)
{
  epact_record_reader records = epact_record_reader_of(data, bytes, run);
  const epact_message *m = &records.decoded.message;
  int code = epact_record_next(&records);
  bool ended = false;
  if (code == 1 && (m->kind != EPACT_M_PART || m->clock != clock || m->shard != rank)) {
    code = epact_fail(EPACT_E_CORRUPT, "it does not begin as the part of rank %d at clock %" PRId64, rank, clock);
  }
  while (code == 1 && (code = epact_record_next(&records)) == 1) {
    if (m->kind == EPACT_M_END) {
      ended = m->cursor == records.count - 1 && records.next == bytes;
      break;
    }
    int taken = take_record(m, reader);
    if (taken) code = taken;
  }
  epact_record_reader_close(&records);
  if (code < 0) return code;
  return ended ? EPACT_OK : epact_fail(EPACT_E_CORRUPT, "it ends early, at byte %zu of %zu", records.next, bytes);
}
