/* The parts of a snapshot: a shard as the messages that would make it. */
#include "../base/internal.h"
#include "client.h"
#include "shard_table.h"
#include "snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_BYTES ((size_t)1 << 20) /* of one record, about */
#define SPARSE_ROWS 1024

/* ---- writing ---- */

static int64_t row_id(const epact_store *store, uint32_t index)
{
  return store->identity ? (int64_t)index : store->id[index];
}

/* The contents of a dense store that lie one after another need not be gathered. */
static bool in_one_run(const epact_store *store, const int64_t *row, int64_t n)
{
  return store->identity && row[n - 1] - row[0] == n - 1;
}

static int add_rows(epact_records *part, const epact_shard_table *table, const int64_t *row, int64_t n,
                    epact_records *gathered, uint64_t run)
{
  epact_section section = {
    .table = table->schema.id, .type = table->schema.type, .cols = table->schema.cols, .rows = n, .row = row
  };
  if (in_one_run(&table->store, row, n) && !table->schema.sparse)
    section.value = epact_store_values(&table->store, (uint32_t)row[0]);
  else {
    int code = epact_shard_table_gather(table, n, row, &gathered->data, &gathered->capacity, &section);
    if (code) return code;
  }
  epact_message rows = { .kind = EPACT_M_ROWS, .sections = 1, .section = &section, .text = "" };
  return epact_records_add(part, &rows, run);
}

/* Of a row in a record, about. */
static size_t row_bytes(const epact_store *store, uint32_t index)
{
  if (!store->schema.sparse) return store->row_bytes;
  return store->cells[index].count * (epact_type_bytes(store->schema.type) + sizeof(uint32_t));
}

/* Rows that were never incremented are zero and are left out. */
static int add_table(epact_records *part, const epact_shard_table *table, uint64_t run)
{
  const epact_store *store = &table->store;
  epact_message create = { .kind = EPACT_M_CREATE, .schema = &table->schema, .text = table->name };
  int code = epact_records_add(part, &create, run);
  int64_t most = table->schema.sparse ? SPARSE_ROWS : (int64_t)(ROWS_BYTES / store->row_bytes) + 1, n = 0;
  size_t bytes = 0;
  int64_t *row = epact_malloc((size_t)most * sizeof *row);
  epact_records gathered = { NULL, 0, 0, 0 };
  if (!row) return EPACT_E_NOMEM;
  uint32_t end = store->count < table->version_capacity ? store->count : table->version_capacity;
  for (uint32_t index = 0; index < end && !code; index++) {
    if (!table->version[index]) continue;
    row[n++] = row_id(store, index);
    bytes += row_bytes(store, index);
    if (n < most && bytes < ROWS_BYTES) continue;
    code = add_rows(part, table, row, n, &gathered, run);
    n = 0;
    bytes = 0;
  }
  if (!code && n) code = add_rows(part, table, row, n, &gathered, run);
  free(row);
  epact_records_free(&gathered);
  return code;
}

/* About what the rows will take, so that the buffer grows once. */
static size_t expected_bytes(const epact_shard *shard)
{
  size_t bytes = 0;
  for (int i = 0; i < shard->tables; i++) {
    const epact_store *store = &shard->table[i]->store;
    if (!shard->table[i]->schema.sparse && shard->table[i]->version) bytes += store->count * (store->row_bytes + 8);
  }
  return bytes;
}

int epact_part_begin(epact_records *part, const epact_shard *shard, int64_t clock, uint64_t run)
{
  epact_message begin = { .kind = EPACT_M_PART,
                          .shard = shard->rank,
                          .slot = shard->slots,
                          .request = (uint32_t)shard->shards,
                          .clock = clock,
                          .text = "" };
  int code = epact_records_reserve(part, expected_bytes(shard));
  if (!code) code = epact_records_add(part, &begin, run);
  for (int i = 0; i < shard->tables && !code; i++) code = add_table(part, shard->table[i], run);
  for (int s = 0; s < shard->slots && !code; s++) {
    epact_message finished = { .kind = EPACT_M_BATCH, .slot = s, .clock = clock, .final = true, .text = "" };
    if (shard->slot[s].applied == EPACT_FOREVER) code = epact_records_add(part, &finished, run);
  }
  return code;
}

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
