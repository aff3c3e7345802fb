/* The parts of the parameter server one by one, against plain references: sparse rows, stores, logs,
 * batches, frames. The protocol is in spec/sim. */
#include "ps/client.h"
#include "ps/log.h"
#include "ps/message.h"
#include "ps/wire.h"

#include "base/internal.h"
#include "sim/checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define EXPECT(held, ...)                                                                                              \
  do {                                                                                                                 \
    if (!(held)) {                                                                                                     \
      fprintf(stderr, "ps_units:%d: ", __LINE__);                                                                      \
      fprintf(stderr, __VA_ARGS__);                                                                                    \
      fputc('\n', stderr);                                                                                             \
      failures++;                                                                                                      \
    }                                                                                                                  \
  } while (0)

static const int all_types[] = { EPACT_F32, EPACT_F64, EPACT_I32, EPACT_I64 };

/* `number` as a value of the type. */
static const void *typed(int type, double number, void *room)
{
  memset(room, 0, 8);
  epact_value_add(type, room, number);
  return room;
}

/* ---- sparse rows ---- */

enum { COLS = 300 };

static double row_at(const epact_sparse_row *row, int type, uint32_t col)
{
  uint32_t slot = epact_sparse_row_find(row, col);
  return slot == EPACT_NO_INDEX ? 0 : epact_value_at(type, row->value, slot);
}

static void expect_row(const epact_sparse_row *row, int type, const double *reference, const char *what)
{
  uint32_t used = 0;
  for (uint32_t i = 0; i < row->capacity; i++) used += row->col[i] >= 0;
  EXPECT(used == row->count && (!row->capacity || used < row->capacity), "%s: %u of %u slots, count %u", what, used,
         row->capacity, row->count);
  for (uint32_t col = 0; col < COLS; col++) {
    EXPECT(row_at(row, type, col) == reference[col], "%s: type %d column %u is %g, not %g", what, type, col,
           row_at(row, type, col), reference[col]);
  }
}

/* Increments, many of which bring a cell back to zero; clears, after which the old values must be gone. */
static void sparse_rows(int type)
{
  epact_rng rng = epact_rng_stream(1, (uint64_t)type, 0);
  epact_sparse_row row = { 0, 0, NULL, NULL }, copy = row;
  double reference[COLS] = { 0 };
  uint64_t room;
  EXPECT(epact_sparse_row_find(&row, 3) == EPACT_NO_INDEX, "an empty row has no cells");
  for (int step = 0; step < 20000; step++) {
    uint32_t col = (uint32_t)epact_rng_below(&rng, COLS);
    double delta = epact_rng_below(&rng, 3) ? (double)epact_rng_below(&rng, 9) - 4 : -reference[col];
    EXPECT(!epact_sparse_row_reserve(&row, type, 1), "reserves");
    epact_sparse_row_add(&row, type, col, typed(type, delta, &room));
    reference[col] += delta;
    if (step % 1000 == 999) {
      expect_row(&row, type, reference, "a row");
      EXPECT(!epact_sparse_row_copy(&copy, &row, type), "copies");
      expect_row(&copy, type, reference, "a copy");
    }
    if (step % 3000 == 2999) {
      epact_sparse_row_clear(&row);
      memset(reference, 0, sizeof reference);
      expect_row(&row, type, reference, "a cleared row");
    }
  }
  epact_sparse_row_free(&row);
  epact_sparse_row_free(&copy);
}

/* Cells that come and go must not make a row grow. */
static void sparse_rows_stay_small(void)
{
  epact_sparse_row row = { 0, 0, NULL, NULL };
  for (uint32_t col = 0; col < 100000; col++) {
    int64_t delta = 1;
    for (int i = 0; i < 2; i++, delta = -delta) {
      EXPECT(!epact_sparse_row_reserve(&row, EPACT_I64, 1), "reserves");
      epact_sparse_row_add(&row, EPACT_I64, col, &delta);
    }
  }
  EXPECT(row.capacity <= 16, "a row of no cells has %u slots", row.capacity);
  epact_sparse_row_free(&row);
}

/* ---- stores ---- */

static void stores(bool sparse, int64_t rows, bool whole)
{
  enum { ROWS = 3000 };
  epact_schema schema = {
    .type = EPACT_I64, .rows = rows, .cols = 50, .sparse = sparse, .sparse_updates = sparse, .id = 7
  };
  epact_store store;
  static void *where[ROWS];
  EXPECT(!epact_store_init(&store, &schema, whole), "a store opens");
  EXPECT(store.identity == (whole && !sparse && rows), "dense tables with rows are kept in one piece");
  for (int64_t i = 0; i < ROWS; i++) {
    int64_t row = rows ? i : (int64_t)(epact_mix64((uint64_t)i + 1) >> 11);
    if (!store.identity) EXPECT(epact_store_find(&store, row) == EPACT_NO_INDEX, "row %d is new", (int)i);
    uint32_t index = epact_store_make(&store, row);
    EXPECT(index == (uint32_t)i && index < store.capacity, "row %d has index %u", (int)i, index);
    if (sparse) continue;
    where[i] = epact_store_values(&store, index);
    EXPECT(((int64_t *)where[i])[49] == 0, "a new row is zero");
    ((int64_t *)where[i])[49] = i;
  }
  for (int64_t i = 0; i < ROWS; i++) {
    int64_t row = rows ? i : (int64_t)(epact_mix64((uint64_t)i + 1) >> 11);
    uint32_t index = epact_store_find(&store, row);
    EXPECT(index == (uint32_t)i && epact_store_make(&store, row) == index, "row %d is found again", (int)i);
    if (!sparse) EXPECT(epact_store_values(&store, index) == where[i] && *((int64_t *)where[i] + 49) == i, "and stays");
  }
  epact_store_free(&store);
}

static void schemas(void)
{
  epact_schema a = { .id = 1, .type = EPACT_F64, .rows = 100, .cols = 50 }, b = a;
  char text[96];
  EXPECT(epact_schema_equal(&a, &b), "a schema equals itself");
  b.changes = true;
  EXPECT(!epact_schema_equal(&a, &b), "but for the changes");
  EXPECT(!strcmp(epact_schema_text(&a, text, sizeof text), "100 x 50 f64 dense"), "reads %s", text);
  EXPECT(epact_schema_has_row(&a, 99) && !epact_schema_has_row(&a, 100) && !epact_schema_has_row(&a, -1), "its rows");
  a.rows = 0;
  EXPECT(epact_schema_has_row(&a, (INT64_C(1) << 53) - 1) && !epact_schema_has_row(&a, INT64_C(1) << 53), "any rows");
}

/* ---- logs ---- */

enum { LOG_ROWS = 40 };

static void append(epact_log *log, int64_t row, int64_t col, double delta)
{
  EXPECT(!epact_log_reserve(log, 1), "reserves");
  epact_log_entry *entry = &log->entry[log->entries++];
  entry->key = epact_log_key(log, row, col);
  typed(log->schema.type, delta, &entry->delta);
}

/* Sealed: rows and columns increase, no cell is twice or zero, and each has the sum of its deltas in
 * the order they came (so that fractions, too, sum to the same bits as here). */
static void sparse_logs(int type, int64_t n, int64_t cols)
{
  epact_rng rng = epact_rng_stream(2, (uint64_t)type, (uint64_t)n);
  epact_schema schema = { .id = 9, .type = type, .cols = cols, .sparse_updates = true };
  epact_log log;
  bool fractions = type == EPACT_F64;
  double *reference = epact_calloc(LOG_ROWS * COLS, sizeof *reference);
  epact_log_init(&log, &schema);
  for (int64_t i = 0; i < n; i++) {
    int64_t row = epact_rng_below(&rng, LOG_ROWS), col = epact_rng_below(&rng, COLS);
    double delta = fractions ? epact_rng_normal(&rng) : (double)epact_rng_below(&rng, 5) - 2;
    append(&log, row * 1000003, col, delta);
    reference[row * COLS + col] += delta;
    if (i % 500 == 250) EXPECT(!epact_log_compact(&log), "compacts");
  }
  epact_section section;
  EXPECT(!epact_log_seal(&log, &section), "seals");
  int64_t cells = 0, last_row = -1;
  for (int64_t r = 0; r < section.rows; r++) {
    EXPECT(section.row[r] > last_row && section.start[r] < section.start[r + 1], "rows increase and have cells");
    last_row = section.row[r];
    for (uint32_t k = section.start[r]; k < section.start[r + 1]; k++) {
      double have = epact_value_at(type, section.value, k),
             *sum = &reference[last_row / 1000003 * COLS + section.col[k]];
      EXPECT(k == section.start[r] || section.col[k] > section.col[k - 1], "columns increase");
      EXPECT(have == *sum && have != 0, "type %d: a cell is %.17g, not %.17g", type, have, *sum);
      *sum = 0;
      cells++;
    }
  }
  EXPECT(cells == epact_section_cells(&section), "the cells add up");
  for (int i = 0; i < LOG_ROWS * COLS; i++) EXPECT(reference[i] == 0, "no cell is missing");
  epact_log_reset(&log);
  EXPECT(epact_log_empty(&log) && !epact_log_seal(&log, &section) && section.rows == 0,
         "a log that was reset is empty");
  epact_log_free(&log);
  free(reference);
}

static void dense_logs(void)
{
  epact_schema schema = { .id = 9, .type = EPACT_F32, .rows = 10, .cols = 33 };
  epact_log log;
  epact_section section;
  epact_log_init(&log, &schema);
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 10; i++) {
      EXPECT(epact_log_touch(&log, 9 - i, true) == i, "accumulators are numbered");
      float *sum = (float *)(log.slab + (size_t)i * log.row_bytes);
      for (int col = 0; col < 33; col++) EXPECT(sum[col] == 0, "an accumulator starts at zero");
      for (int col = 0; col < 33; col++) sum[col] = (float)(i + col);
    }
    EXPECT(!epact_log_seal(&log, &section) && section.rows == 10 && section.row[3] == 6, "seals");
    EXPECT(((const float *)section.value)[3 * 33 + 7] == 10, "the values follow their rows");
    epact_log_reset(&log);
  }
  epact_log_free(&log);
}

/* ---- batches and frames ---- */

static const int64_t rows[] = { 3, 5, 1 << 20 };
static const uint32_t starts[] = { 0, 2, 2, 3 }, cols[] = { 1, 4, 0 };
static const double values[] = { 1.5, -2, 3, 4, 5, 6 };
static const epact_section sections[] = { { 1, EPACT_F64, 2, 3, rows, NULL, NULL, values, EPACT_AS_TYPE },
                                          { 2, EPACT_F32, 5, 3, rows, starts, cols, values, EPACT_AS_TYPE },
                                          { 3, EPACT_I64, 9, 2, rows, NULL, NULL, NULL, EPACT_AS_TYPE },
                                          { 4, EPACT_F32, 3, 3, rows, NULL, NULL, values, EPACT_AS_F16 },
                                          { 5, EPACT_F64, 5, 3, rows, starts, cols, values, EPACT_AS_BF16 },
                                          { 6, EPACT_F64, 1, 3, rows, NULL, NULL, values, EPACT_AS_F32 } };
enum { SECTIONS = sizeof sections / sizeof *sections };

static void expect_sections(int count, const epact_section *have, const char *what)
{
  static const size_t value_bytes[SECTIONS] = { 6 * 8, 3 * 4, 0, 9 * 2, 3 * 2, 3 * 4 };
  EXPECT(count == SECTIONS, "%s has %d sections", what, count);
  for (int i = 0; i < count && i < SECTIONS; i++) {
    const epact_section *want = &sections[i];
    size_t bytes = value_bytes[i];
    EXPECT(have[i].table == want->table && have[i].type == want->type && have[i].cols == want->cols &&
               have[i].rows == want->rows && have[i].encoding == want->encoding && !have[i].start == !want->start &&
               !have[i].value == !want->value,
           "%s: section %d", what, i);
    EXPECT(!memcmp(have[i].row, want->row, (size_t)want->rows * sizeof *rows), "%s: row ids", what);
    EXPECT(!bytes || !memcmp(have[i].value, want->value, bytes), "%s: values", what);
    EXPECT((uintptr_t)have[i].row % 8 == 0 && (uintptr_t)have[i].value % 8 == 0, "%s: arrays are aligned", what);
    if (want->start)
      EXPECT(!memcmp(have[i].start, starts, sizeof starts) && !memcmp(have[i].col, cols, sizeof cols), "%s: cells",
             what);
  }
}

static void batches(void)
{
  epact_batch *batch = epact_batch_copy(SECTIONS, sections);
  expect_sections(batch->sections, batch->section, "a copied batch");
  epact_batch *again = epact_batch_copy(batch->sections, batch->section);
  epact_release(batch);
  expect_sections(again->sections, again->section, "the copy of a copy");
  epact_release(again);
  epact_batch *empty = epact_batch_copy(0, NULL);
  EXPECT(empty && empty->sections == 0, "an empty batch");
  epact_release(empty);
}

static char *encode(const epact_message *message, uint64_t job, size_t *bytes)
{
  char *frame = epact_malloc(epact_wire_size(message) + 8);
  EXPECT(!epact_wire_encode(message, job, frame, bytes), "encodes");
  EXPECT(*bytes <= epact_wire_size(message), "a frame of %zu bytes was announced as %zu", *bytes,
         epact_wire_size(message));
  return frame;
}

/* The code that a frame is refused with, from memory that ends where the frame does. */
static int decode_code(const char *frame, size_t bytes)
{
  epact_decoded decoded;
  char *exact = epact_malloc(bytes);
  memcpy(exact, frame, bytes);
  int code = epact_wire_decode(exact, bytes, 1, &decoded);
  if (!code) epact_decoded_free(&decoded);
  free(exact);
  return code;
}

static const epact_message a_batch = { .kind = EPACT_M_BATCH,
                                       .shard = 2,
                                       .slot = 3,
                                       .incarnation = UINT32_MAX,
                                       .table = 5,
                                       .request = 6,
                                       .clock = INT64_MAX,
                                       .applied = -1,
                                       .cursor = INT64_MIN,
                                       .final = true,
                                       .sections = SECTIONS,
                                       .section = sections,
                                       .text = "" };

static void frames(void)
{
  size_t bytes;
  epact_decoded decoded;
  char *frame = encode(&a_batch, UINT64_MAX, &bytes);
  EXPECT(!epact_wire_decode(frame, bytes, UINT64_MAX, &decoded), "decodes: %s", epact_error_message());
  const epact_message *m = &decoded.message;
  EXPECT(m->kind == EPACT_M_BATCH && m->shard == 2 && m->slot == 3 && m->incarnation == UINT32_MAX && m->table == 5 &&
             m->request == 6 && m->clock == INT64_MAX && m->applied == -1 && m->cursor == INT64_MIN && m->final &&
             m->code == 0 && !*m->text,
         "all fields come through");
  expect_sections(m->sections, m->section, "a frame");
  epact_decoded_free(&decoded);
  EXPECT(decode_code(frame, bytes) == EPACT_E_JOB, "another job's frame is refused");
  free(frame);
  epact_schema schema = { .type = EPACT_I32, .rows = 7, .cols = 8, .sparse = true, .sparse_updates = true };
  schema.id = epact_crc32c(0, "words", 5);
  epact_message create = { .kind = EPACT_M_CREATE, .table = schema.id, .schema = &schema, .text = "words" };
  frame = encode(&create, 1, &bytes);
  EXPECT(!epact_wire_decode(frame, bytes, 1, &decoded), "decodes: %s", epact_error_message());
  EXPECT(epact_schema_equal(decoded.message.schema, &schema) && !strcmp(decoded.message.text, "words"), "a schema");
  epact_decoded_free(&decoded);
  free(frame);
}

/* What is kept of a batch is its frame, byte for byte, and stays so when it is sent again. */
static void sealed_batches(void)
{
  size_t bytes, sealed, again;
  char *frame, *same, *whole = encode(&a_batch, 77, &bytes);
  epact_spares *spares = epact_spares_new();
  epact_batch *batch = epact_wire_batch(SECTIONS, sections, spares);
  expect_sections(batch->sections, batch->section, "a batch with room for a head");
  epact_message message = a_batch;
  message.section = batch->section;
  message.batch = batch;
  EXPECT(!epact_wire_seal(&message, 77, &frame, &sealed), "seals: %s", epact_error_message());
  EXPECT(sealed == bytes && !memcmp(frame, whole, bytes), "the frame is the encoded message");
  EXPECT(!epact_wire_seal(&message, 77, &same, &again) && same == frame && again == bytes, "it is sealed once");
  message.incarnation--;
  EXPECT(epact_wire_seal(&message, 77, &same, &again) == EPACT_E_AGAIN, "and not for another message");
  EXPECT(!memcmp(frame, whole, bytes), "which leaves it as it was");
  free(whole);
  epact_release(batch);
  epact_spares_free(spares);
}

static bool stays_behind;

static void note_behind(void *context, const epact_message *message)
{
  (void)context;
  stays_behind = message->behind;
}

/* What follows a worker's long batch stays behind it, until it is acknowledged; what is short does not matter. */
static void lanes(void)
{
  enum { WIDE = 10000 };
  static double delta[WIDE];
  epact_client client;
  epact_schema schema = { .type = EPACT_F64, .rows = 1, .cols = WIDE };
  epact_message answer = { .kind = EPACT_M_CREATED, .request = 1, .table = epact_table_id("wide"), .text = "" };
  epact_message ack = { .kind = EPACT_M_ACK, .text = "" };
  EXPECT(!epact_client_init(&client, 0, 1, 1, -1, (epact_outbox){ note_behind, NULL }), "a client");
  epact_table *table = epact_client_open(&client, "wide", &schema, 3, false);
  EXPECT(table && !epact_client_step(&client, &answer), "a table");
  for (int64_t clock = 0; clock < 4; clock++) {
    bool is_long = clock == 1;
    if (is_long) EXPECT(!epact_table_inc_row(table, 0, delta), "an increment");
    EXPECT(!epact_client_clock(&client, false), "a clock");
    EXPECT(!epact_client_ask(&client, 0, EPACT_M_WAIT, NULL, 0, NULL), "a request");
    EXPECT(stays_behind == (clock == 1 || clock == 2), "at clock %d a request %s", (int)clock,
           stays_behind ? "stays behind" : "overtakes");
    if (clock != 2) continue;
    ack.clock = 1;
    EXPECT(!epact_client_step(&client, &ack), "an acknowledgement");
  }
  epact_client_free(&client);
}

/* A worker does not run ahead of a slow link without end: two batches, and then so many bytes. */
static void congestion(void)
{
  enum { WIDE = 1 << 20 };
  double *delta = epact_calloc(WIDE, sizeof *delta);
  epact_client client;
  epact_schema schema = { .type = EPACT_F64, .rows = 1, .cols = WIDE };
  epact_message answer = { .kind = EPACT_M_CREATED, .request = 1, .table = epact_table_id("wide"), .text = "" };
  epact_message ack = { .kind = EPACT_M_ACK, .text = "" };
  EXPECT(!epact_client_init(&client, 0, 1, 1, -1, (epact_outbox){ note_behind, NULL }), "a client");
  epact_table *table = epact_client_open(&client, "wide", &schema, 3, false);
  EXPECT(table && !epact_client_step(&client, &answer), "a table");
  int64_t sent = 0;
  for (; sent < 20 && epact_client_congested(&client) < 0; sent++) {
    EXPECT(!epact_table_inc_row(table, 0, delta) && !epact_client_clock(&client, false), "a clock");
  }
  EXPECT(sent == (int64_t)(EPACT_MOST_UNACKNOWLEDGED_BYTES / (WIDE * sizeof *delta)), "%d clocks of 8 MiB ahead",
         (int)sent);
  ack.clock = sent - 2;
  EXPECT(!epact_client_step(&client, &ack) && epact_client_congested(&client) < 0, "acknowledged, it goes on");
  epact_client_free(&client);
  free(delta);
}

static void damaged_frames(void)
{
  size_t bytes;
  char *frame = encode(&a_batch, 1, &bytes);
  for (size_t length = 0; length < bytes; length++) EXPECT(decode_code(frame, length), "cut to %zu bytes", length);
  for (size_t bit = 0; bit < bytes * 8; bit++) {
    frame[bit / 8] ^= (char)(1 << bit % 8);
    EXPECT(decode_code(frame, bytes), "bit %zu flipped", bit);
    frame[bit / 8] ^= (char)(1 << bit % 8);
  }
  for (size_t length = 16; length < bytes; length++) { /* cut, with a checksum that fits */
    char kept[4];
    memcpy(kept, frame + 8, 4);
    checksum(frame, length);
    EXPECT(decode_code(frame, length), "cut to %zu bytes with a checksum", length);
    memcpy(frame + 8, kept, 4);
  }
  frame[4]++;
  checksum(frame, bytes);
  EXPECT(decode_code(frame, bytes) == EPACT_E_VERSION, "another version");
  free(frame);
}

/* What a frame says of itself that this library never says: the decoder is the door. */
static void lying_frames(void)
{
  size_t bytes;
  epact_schema schema = { .id = 1, .type = EPACT_F64, .rows = 7, .cols = 8 };
  epact_message create = { .kind = EPACT_M_CREATE, .schema = &schema, .text = "words" };
  char *frame = encode(&create, 1, &bytes);
  EXPECT(decode_code(frame, bytes) == EPACT_E_PROTO, "an id that is not the name's");
  free(frame);
  schema.id = epact_crc32c(0, "words", 5);
  schema.sparse = true;
  frame = encode(&create, 1, &bytes);
  EXPECT(decode_code(frame, bytes) == EPACT_E_PROTO, "sparse rows with dense updates");
  free(frame);
  static const struct {
    int type, encoding;
  } lie[] = { { EPACT_F32, 4 },
              { EPACT_F32, -1 },
              { EPACT_F32, EPACT_AS_F32 },
              { EPACT_I32, EPACT_AS_F16 },
              { EPACT_F64, 1 << 20 } };
  for (int i = 0; i < 5; i++) {
    epact_section section = { 1, lie[i].type, 2, 1, rows, NULL, NULL, values, lie[i].encoding };
    epact_message batch = { .kind = EPACT_M_BATCH, .sections = 1, .section = &section, .text = "" };
    frame = encode(&batch, 1, &bytes);
    EXPECT(decode_code(frame, bytes) == EPACT_E_PROTO, "encoding %d of type %d", lie[i].encoding, lie[i].type);
    free(frame);
  }
  epact_message ack = { .kind = EPACT_M_ACK, .sections = 1, .section = sections, .text = "" };
  frame = encode(&ack, 1, &bytes);
  EXPECT(decode_code(frame, bytes) == EPACT_E_PROTO, "an acknowledgement with rows");
  free(frame);
}

int main(void)
{
  for (int i = 0; i < 4; i++) {
    sparse_rows(all_types[i]);
    sparse_logs(all_types[i], 30, COLS);
    sparse_logs(all_types[i], 5000, COLS);
    sparse_logs(all_types[i], 5000, INT64_C(1) << 31);
  }
  sparse_rows_stay_small();
  for (int form = 0; form < 8; form++) stores(form & 1, form & 2 ? 3000 : 0, form & 4);
  schemas();
  dense_logs();
  batches();
  frames();
  sealed_batches();
  lanes();
  congestion();
  damaged_frames();
  lying_frames();
  return failures != 0;
}
