/* Messages that are well formed and mean anything: what the decoder lets through of a peer that is wrong or hostile.
 *
 * The bytes of an input choose kind, worker, clock, table, rows, columns and values from few, so that most of them
 * concern something; the message is encoded and decoded, and stepped into a live shard and a live client. */
#include "peers.h"

const char *const epact_fuzz_name = "messages";

enum { MOST_MESSAGES = 64, MOST_SECTIONS = 3, MOST_SECTION_ROWS = 6, MOST_CELLS = 24 };

typedef struct {
  int64_t row[MOST_SECTION_ROWS];
  uint32_t start[MOST_SECTION_ROWS + 1], col[MOST_CELLS];
  int64_t value[MOST_SECTION_ROWS * MOST_COLS];
} arrays;

/* Mostly a small number, now and then an extreme one. */
static int64_t number(fuzz_input *input)
{
  static const int64_t extreme[] = {
    -1, INT64_MAX, INT64_MIN, INT64_C(1) << 53, (INT64_C(1) << 53) - 1, INT32_MAX, INT64_C(1) << 32, INT64_MAX - 1
  };
  uint8_t byte = fuzz_byte(input);
  return byte < 240 ? byte % 16 : extreme[byte % 8];
}

/* Small whole numbers, halves, infinities and NaN by the table's type. */
static void fill_values(fuzz_input *input, int type, int64_t *value, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    uint8_t byte = fuzz_byte(input);
    double real = byte == 255 ? INFINITY : byte == 254 ? NAN : byte == 253 ? 1e308 : (double)byte / 2 - 60;
    switch (type) {
    case EPACT_F32:
      ((float *)value)[i] = (float)real;
      break;
    case EPACT_F64:
      memcpy(&value[i], &real, 8);
      break;
    case EPACT_I32:
      ((int32_t *)value)[i] = byte == 255 ? INT32_MAX : byte;
      break;
    default:
      value[i] = byte == 255 ? INT64_MAX : byte;
    }
  }
}

static uint32_t table_id(fuzz_input *input, int *table)
{
  uint8_t byte = fuzz_byte(input);
  *table = byte % TABLES;
  return epact_table_id(byte < 250 ? plan[*table].name : "none");
}

/* Of the shape that the table has, but for one byte in 32. */
static epact_section make_section(fuzz_input *input, bool ids, bool contents, arrays *a)
{
  int table;
  epact_section s = { .table = table_id(input, &table) };
  const epact_schema *schema = &plan[table].schema;
  uint8_t odd = fuzz_byte(input);
  s.type = odd < 248 ? schema->type : odd % 4;
  s.cols = odd < 240 || odd >= 248 ? schema->cols : 1 + odd % 7;
  s.rows = fuzz_byte(input) % (MOST_SECTION_ROWS + 1);
  bool cells = contents ? schema->sparse : schema->sparse_updates;
  if (odd >= 236 && odd < 240) cells = !cells;
  int64_t last = -1;
  for (int64_t i = 0; i < s.rows; i++) {
    int64_t n = number(input);
    a->row[i] = n < 0 || n > 15 ? n : last + 1 + n % 4; /* mostly increasing */
    last = a->row[i] < 1000 ? a->row[i] : last;
  }
  s.row = s.rows ? a->row : NULL;
  if (ids) return s;
  size_t count = (size_t)(s.rows * s.cols);
  if (cells) {
    uint32_t next = 0, col = 0;
    for (int64_t i = 0; i < s.rows; i++) {
      a->start[i] = next;
      for (uint8_t n = fuzz_byte(input) % 5; n && next < MOST_CELLS; n--) {
        uint8_t step = fuzz_byte(input);
        col += step % 4 + (col > 0); /* mostly increasing */
        a->col[next++] = step < 250 ? col : UINT32_MAX - step;
      }
      col = 0;
    }
    if (odd == 235 && s.rows > 1) a->start[1] = next + 3; /* cells that overlap */
    a->start[s.rows] = next;
    s.start = a->start;
    s.col = a->col;
    count = next;
  }
  fill_values(input, s.type, a->value, count);
  s.value = count ? a->value : NULL;
  return s;
}

static bool has_sections(epact_message_kind kind)
{
  return kind == EPACT_M_BATCH || kind == EPACT_M_READ || kind == EPACT_M_ROWS || kind == EPACT_M_FEED;
}

static void make_table(fuzz_input *input, epact_schema *schema, char *name)
{
  uint8_t byte = fuzz_byte(input), form = fuzz_byte(input) % 5;
  snprintf(name, 16, "%s", byte % 8 < TABLES ? plan[byte % TABLES].name : "another");
  *schema = plan[byte % TABLES].schema;
  schema->id = epact_table_id(name);
  if (byte < 128) return;
  schema->type = byte % 4;
  schema->rows = fuzz_byte(input);
  schema->cols = 1 + fuzz_byte(input) % MOST_COLS;
  schema->sparse = form == 0;
  schema->sparse_updates = form < 3;
  schema->changes = form % 2;
}

/* Fields near those that the peers expect. */
static void make_fields(fuzz_input *input, const peers *p, epact_message *m)
{
  int table;
  m->slot = fuzz_byte(input) % (SLOTS + 1) - (m->kind % 2);
  m->shard = fuzz_byte(input) % SHARDS;
  m->table = table_id(input, &table);
  m->final = fuzz_byte(input) > 224;
  m->incarnation = fuzz_byte(input) > 240;
  int64_t by = number(input);
  const epact_slot *slot = m->slot >= 0 && m->slot < SLOTS ? &p->shard.slot[m->slot] : NULL;
  bool near = m->kind == EPACT_M_BATCH && slot && by >= 0 && by < 4 && slot->received < 1000;
  m->clock = near ? slot->received + by : by;
  m->applied = number(input);
  m->cursor = number(input);
  uint8_t late = fuzz_byte(input);
  const epact_message *asked = &p->client.link[m->shard].asked;
  m->request = asked->request - (late > 224);
  if (m->kind >= EPACT_M_CREATED && late < 200) m->table = asked->table;
  m->code = -(int32_t)(late % 24);
}

static void take_message(peers *p, fuzz_input *input)
{
  static const epact_message_kind answer_of[] = { [EPACT_M_CREATE] = EPACT_M_CREATED,
                                                  [EPACT_M_READ] = EPACT_M_ROWS,
                                                  [EPACT_M_CHANGES] = EPACT_M_FEED,
                                                  [EPACT_M_WAIT] = EPACT_M_REACHED };
  arrays a[MOST_SECTIONS];
  epact_section section[MOST_SECTIONS];
  epact_schema schema;
  char name[16];
  uint8_t byte = fuzz_byte(input);
  epact_message m = { .kind = (epact_message_kind)(1 + byte % (EPACT_M_REFUSED)), .text = "" };
  make_fields(input, p, &m);
  const epact_message *asked = &p->client.link[m.shard].asked;
  if (byte >= 128) m.kind = answer_of[asked->kind];
  if (m.kind == EPACT_M_CREATE) {
    make_table(input, &schema, name);
    m.schema = &schema;
    m.text = name;
  }
  if (m.kind == EPACT_M_REFUSED) m.text = "no";
  if (has_sections(m.kind)) m.sections = fuzz_byte(input) % (MOST_SECTIONS + 1);
  if (m.kind == EPACT_M_ROWS && fuzz_byte(input) < 240) m.sections = 1;
  for (int i = 0; i < m.sections; i++) {
    section[i] = make_section(input, m.kind == EPACT_M_READ, m.kind == EPACT_M_ROWS, &a[i]);
    if (m.kind >= EPACT_M_CREATED && byte < 248) section[i].table = m.table;
  }
  m.section = section;

  size_t bytes;
  epact_decoded decoded;
  char *frame = encoded(&m, &bytes), *exact = exact_copy(frame, bytes);
  free(frame);
  if (!epact_wire_decode(exact, bytes, JOB, &decoded)) {
    step_peers(p, &decoded.message);
    epact_decoded_free(&decoded);
  }
  free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
  peers p;
  fuzz_input input = { data, bytes };
  open_peers(&p);
  for (int i = 0; i < MOST_MESSAGES && input.left; i++) take_message(&p, &input);
  close_peers(&p);
  return 0;
}

/* Any bytes are messages: the fuzzer finds better ones soon. */
void epact_fuzz_seed(const char *folder)
{
  epact_rng rng = epact_rng_stream(1, 0, 0);
  for (int i = 0; i < 4; i++) {
    uint8_t bytes[400];
    char name[32];
    for (size_t k = 0; k < sizeof bytes; k++) bytes[k] = (uint8_t)epact_rng_below(&rng, 256);
    snprintf(name, sizeof name, "random-%d", i);
    epact_fuzz_write(folder, name, bytes, sizeof bytes);
  }
}
