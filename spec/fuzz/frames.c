/* Frames of strangers: bytes to the decoder, and what it accepts to a shard and a client.
 *
 * An input is a row of frames, each behind three bytes: how it is tampered with (bit 0: leave its checksum as it is;
 * bit 1: leave the request's number), and its length (u16). */
#include "peers.h"

const char *const epact_fuzz_name = "frames";

enum { LEAVE_CHECKSUM = 1, LEAVE_REQUEST = 2, MOST_FRAMES = 64 };

/* What was decoded says the same when it is sent on. */
static void send_on(const epact_message *m)
{
  size_t bytes;
  epact_decoded again;
  char *frame = encoded(m, &bytes);
  HOLDS(!epact_wire_decode(frame, bytes, JOB, &again));
  const epact_message *n = &again.message;
  HOLDS(n->kind == m->kind && n->sender == m->sender && n->shard == m->shard && n->slot == m->slot &&
        n->incarnation == m->incarnation && n->table == m->table && n->request == m->request && n->clock == m->clock &&
        n->applied == m->applied && n->cursor == m->cursor && n->code == m->code && n->final == m->final &&
        n->sections == m->sections && !n->schema == !m->schema && !strcmp(n->text, m->text));
  for (int i = 0; i < m->sections; i++)
    HOLDS(epact_section_bytes(&n->section[i]) == epact_section_bytes(&m->section[i]));
  epact_decoded_free(&again);
  free(frame);
}

static void take_frame(peers *p, const uint8_t *data, size_t bytes, int tampering)
{
  epact_decoded decoded;
  char *frame = exact_copy(data, bytes);
  if (!(tampering & LEAVE_CHECKSUM)) checksum(frame, bytes);
  int code = epact_wire_decode(frame, bytes, JOB, &decoded);
  HOLDS(code <= 0 && (!code || *epact_error_message()));
  if (!code) {
    epact_message *m = &decoded.message;
    send_on(m);
    if (!(tampering & LEAVE_REQUEST) && m->shard >= 0 && m->shard < SHARDS)
      m->request = p->client.link[m->shard].asked.request;
    step_peers(p, m);
    epact_decoded_free(&decoded);
  }
  free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
  peers p;
  fuzz_input input = { data, bytes };
  open_peers(&p);
  for (int i = 0; i < MOST_FRAMES && input.left >= 3; i++) {
    const uint8_t *head = fuzz_take(&input, 3);
    size_t length = head[1] | (size_t)head[2] << 8;
    if (length > input.left) length = input.left;
    take_frame(&p, fuzz_take(&input, length), length, head[0]);
  }
  close_peers(&p);
  return 0;
}

/* ---- the inputs to begin with ---- */

typedef struct {
  unsigned char bytes[4096];
  size_t length;
} row_of_frames;

static void add_frame(row_of_frames *row, const epact_message *m)
{
  size_t bytes;
  char *frame = encoded(m, &bytes);
  HOLDS(row->length + 3 + bytes <= sizeof row->bytes);
  row->bytes[row->length] = 0;
  row->bytes[row->length + 1] = (unsigned char)(bytes & 255);
  row->bytes[row->length + 2] = (unsigned char)(bytes >> 8);
  memcpy(row->bytes + row->length + 3, frame, bytes);
  row->length += 3 + bytes;
  free(frame);
}

static const int64_t seed_rows[] = { 3, 4 };
static const uint32_t seed_start[] = { 0, 1, 2 }, seed_col[] = { 2, 5 };
static const double seed_value[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

static epact_section seed_section(int table, bool contents)
{
  const epact_schema *schema = &plan[table].schema;
  bool cells = contents && schema->sparse_updates;
  return (epact_section){ epact_table_id(plan[table].name),
                          schema->type,
                          schema->cols,
                          2,
                          seed_rows,
                          cells ? seed_start : NULL,
                          cells ? seed_col : NULL,
                          contents ? seed_value : NULL,
                          EPACT_AS_TYPE };
}

static void seed_batches(const char *folder)
{
  row_of_frames row = { .length = 0 };
  static const int order[] = { 0, 2, 1, 3 };
  for (int i = 0; i < 4; i++) {
    epact_section section[2] = { seed_section(i % 2, true), seed_section(2 + i % 2, true) };
    epact_message batch = { .kind = EPACT_M_BATCH,
                            .slot = i % 2,
                            .clock = order[i] / 2,
                            .final = i == 3,
                            .sections = 2,
                            .section = section,
                            .text = "" };
    add_frame(&row, &batch);
  }
  epact_fuzz_write(folder, "batches", row.bytes, row.length);
}

static void seed_requests(const char *folder)
{
  for (int i = 0; i < TABLES; i++) {
    row_of_frames row = { .length = 0 };
    epact_section ids = seed_section(i, false), rows = seed_section(i, true);
    if (i == 3) rows.start = NULL, rows.col = NULL;
    epact_message
        read = { .kind = EPACT_M_READ, .table = ids.table, .request = 9, .sections = 1, .section = &ids, .text = "" },
        answer = { .kind = EPACT_M_ROWS, .shard = 1, .table = ids.table, .sections = 1, .section = &rows, .text = "" },
        changes = { .kind = EPACT_M_CHANGES, .slot = 1, .table = ids.table, .clock = i, .text = "" };
    char name[32];
    add_frame(&row, &read);
    add_frame(&row, &answer);
    add_frame(&row, &changes);
    snprintf(name, sizeof name, "requests-%s", plan[i].name);
    epact_fuzz_write(folder, name, row.bytes, row.length);
  }
}

static void seed_answers(const char *folder)
{
  static const epact_message_kind kinds[] = { EPACT_M_CREATED,  EPACT_M_ACK,     EPACT_M_REACHED, EPACT_M_REFUSED,
                                              EPACT_M_REGISTER, EPACT_M_MEMBERS, EPACT_M_STOP,    EPACT_M_HEARTBEAT };
  row_of_frames row = { .length = 0 };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    epact_message m = {
      .kind = kinds[i], .shard = (int)i % 2, .clock = 1, .request = 2, .text = "1 tcp://127.0.0.1:1\n"
    };
    add_frame(&row, &m);
  }
  epact_fuzz_write(folder, "answers", row.bytes, row.length);
  epact_section changes = seed_section(3, true);
  epact_message feed = { .kind = EPACT_M_FEED,
                         .table = changes.table,
                         .clock = 1,
                         .cursor = 1,
                         .sections = 1,
                         .section = &changes,
                         .text = "" };
  row.length = 0;
  add_frame(&row, &feed);
  epact_fuzz_write(folder, "feed", row.bytes, row.length);
}

static void seed_tables(const char *folder)
{
  row_of_frames row = { .length = 0 };
  for (int i = 0; i < TABLES; i++) {
    epact_schema schema = plan[i].schema;
    char name[16];
    snprintf(name, sizeof name, "new %s", plan[i].name);
    schema.id = epact_table_id(i ? name : plan[i].name);
    epact_message create = {
      .kind = EPACT_M_CREATE, .slot = 1, .table = schema.id, .schema = &schema, .text = i ? name : plan[i].name
    };
    add_frame(&row, &create);
  }
  epact_fuzz_write(folder, "tables", row.bytes, row.length);
}

void epact_fuzz_seed(const char *folder)
{
  seed_batches(folder);
  seed_requests(folder);
  seed_answers(folder);
  seed_tables(folder);
}
