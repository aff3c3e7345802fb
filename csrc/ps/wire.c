/* Messages as bytes: encoding, and decoding with every length checked before it is used. */
#include "wire.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rows travel little-endian and are used in place: this port needs byte swapping"
#endif

#define PREFIX 16
#define FIELDS 17
#define HEADER_LIMIT 192 /* 3 bytes of array head and 17 integers of at most 9 */
#define DESCRIPTOR_WORDS 6

enum {
  F_JOB,
  F_KIND,
  F_SENDER,
  F_SHARD,
  F_SLOT,
  F_INCARNATION,
  F_TABLE,
  F_REQUEST,
  F_CLOCK,
  F_APPLIED,
  F_CURSOR,
  F_CODE,
  F_FINAL,
  F_CHUNK,
  F_CHUNKS,
  F_SECTIONS,
  F_LENGTH
};

static const uint32_t magic = UINT32_C(0x43415045); /* EPAC */

static size_t payload_size(const epact_message *message)
{
  size_t bytes = 0;
  for (int i = 0; i < message->sections; i++) {
    bytes += DESCRIPTOR_WORDS * sizeof(int64_t) + epact_section_bytes(&message->section[i]);
  }
  if (message->schema) bytes += DESCRIPTOR_WORDS * sizeof(int64_t);
  if (message->kind == EPACT_M_STATE) return message->blob_bytes;
  if (!message->sections && message->text) bytes += strlen(message->text);
  return bytes;
}

size_t epact_wire_size(const epact_message *message)
{
  return PREFIX + HEADER_LIMIT + payload_size(message);
}

static char *put_schema(const epact_schema *schema, char *target)
{
  int64_t word[DESCRIPTOR_WORDS] = { schema->id,
                                     schema->type,
                                     schema->rows,
                                     schema->cols,
                                     schema->sparse | schema->sparse_updates << 1 | schema->changes << 2 |
                                         schema->push << 3,
                                     schema->hold };
  memcpy(target, word, sizeof word);
  return target + sizeof word;
}

static char *put_section(const epact_section *section, char *target, epact_section *copy, uint32_t *crc)
{
  int64_t word[DESCRIPTOR_WORDS] = { section->table,
                                     section->type,
                                     section->cols,
                                     section->rows,
                                     epact_section_cells(section),
                                     section->encoding * INT64_C(256) + (section->start   ? 2
                                                                         : section->value ? 1
                                                                                          : 0) };
  *crc = epact_crc32c_copy(*crc, target, word, sizeof word);
  return epact_section_copy_crc(section, target + sizeof word, copy, crc);
}

static void pack_header(const epact_message *m, uint64_t job, size_t length, msgpack_sbuffer *buffer)
{
  msgpack_packer packer;
  int64_t field[FIELDS] = { 0,        m->kind,    m->sender, m->shard,    m->slot,        m->incarnation,
                            m->table, m->request, m->clock,  m->applied,  m->cursor,      m->code,
                            m->final, 0,          1,         m->sections, (int64_t)length };
  msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
  msgpack_pack_array(&packer, FIELDS);
  msgpack_pack_uint64(&packer, job);
  for (int i = 1; i < FIELDS; i++) msgpack_pack_int64(&packer, field[i]);
}

/* Writes the head of a frame to `head` (EPACT_WIRE_HEAD bytes), without its CRC32C, which goes on to *crc. Returns its
 * bytes, 0 when memory is short. */
static size_t put_head(const epact_message *message, uint64_t job, size_t length, char *head, uint32_t *crc)
{
  msgpack_sbuffer header;
  msgpack_sbuffer_init(&header);
  pack_header(message, job, length, &header);
  if (!header.data) {
    epact_fail_memory("a message header", HEADER_LIMIT);
    return 0;
  }
  const struct {
    uint32_t magic;
    uint16_t version, header_length;
    uint32_t crc, zero;
  } prefix = { magic, EPACT_WIRE_VERSION, (uint16_t)header.size, 0, 0 };
  size_t bytes = epact_padded(PREFIX + header.size);
  memset(head, 0, bytes);
  memcpy(head, &prefix, sizeof prefix);
  memcpy(head + PREFIX, header.data, header.size);
  msgpack_sbuffer_destroy(&header);
  *crc = epact_wire_crc_part(0, head, bytes, 0);
  return bytes;
}

static int check_size(const epact_message *message, size_t length)
{
  if (message->sections > EPACT_MAX_SECTIONS) {
    return epact_fail(EPACT_E_LIMIT, "a batch of %d tables exceeds the limit of %d", message->sections,
                      EPACT_MAX_SECTIONS);
  }
  if (length > EPACT_WIRE_LIMIT - PREFIX - HEADER_LIMIT) {
    return epact_fail(EPACT_E_LIMIT, "a message of %zu bytes exceeds the limit of %zu", length, EPACT_WIRE_LIMIT);
  }
  return EPACT_OK;
}

int epact_wire_encode(const epact_message *message, uint64_t job, char *frame, size_t *written)
{
  size_t length = payload_size(message);
  uint32_t crc;
  epact_section copy;
  int code = check_size(message, length);
  if (code) return code;
  size_t head = put_head(message, job, length, frame, &crc);
  if (!head) return EPACT_E_NOMEM;
  char *target = frame + head, *rest;
  if (message->schema) target = put_schema(message->schema, target);
  crc = epact_crc32c(crc, frame + head, (size_t)(target - frame) - head);
  for (int i = 0; i < message->sections; i++) target = put_section(&message->section[i], target, &copy, &crc);
  rest = target;
  size_t left = (size_t)(frame + head + length - target); /* what follows a schema, or is alone: text or a blob */
  if (left) memcpy(target, message->kind == EPACT_M_STATE ? message->blob : message->text, left);
  *written = head + length;
  crc = epact_crc32c(crc, rest, *written - (size_t)(rest - frame));
  memcpy(frame + 8, &crc, 4);
  return EPACT_OK;
}

epact_batch *epact_wire_batch(int sections, const epact_section *section, epact_spares *spares)
{
  size_t descriptors = epact_padded(sizeof(epact_batch)) + epact_padded((size_t)sections * sizeof *section);
  epact_message message = { .kind = EPACT_M_BATCH, .sections = sections, .section = section };
  size_t payload = payload_size(&message);
  epact_batch *batch = epact_spares_object(spares, descriptors + EPACT_WIRE_HEAD + payload);
  if (!batch) return NULL;
  epact_section *copies = (epact_section *)((char *)batch + epact_padded(sizeof(epact_batch)));
  char *target = (char *)batch + descriptors + EPACT_WIRE_HEAD;
  *batch = (epact_batch){ .sections = sections, .section = copies, .payload = target, .payload_bytes = payload };
  for (int i = 0; i < sections; i++) target = put_section(&section[i], target, &copies[i], &batch->payload_crc);
  batch->bytes = payload - (size_t)sections * DESCRIPTOR_WORDS * sizeof(int64_t);
  return batch;
}

int epact_wire_seal(const epact_message *message, uint64_t job, char **frame, size_t *bytes)
{
  epact_batch *batch = message->batch;
  char head[EPACT_WIRE_HEAD];
  uint32_t crc;
  int code = check_size(message, batch->payload_bytes);
  if (code) return code;
  size_t length = put_head(message, job, batch->payload_bytes, head, &crc);
  if (!length) return EPACT_E_NOMEM;
  crc = epact_crc32c_join(crc, batch->payload_crc, batch->payload_bytes);
  memcpy(head + 8, &crc, 4);
  *frame = batch->payload - length;
  *bytes = length + batch->payload_bytes;
  if (batch->head) return batch->head == length && !memcmp(*frame, head, length) ? EPACT_OK : EPACT_E_AGAIN;
  memcpy(*frame, head, length);
  batch->head = length;
  return EPACT_OK;
}

uint32_t epact_wire_crc_part(uint32_t crc, const char *piece, size_t bytes, size_t offset)
{
  size_t before = offset < 8 ? 8 - offset : 0, after = offset < 12 ? 12 - offset : 0;
  if (before) crc = epact_crc32c(crc, piece, before < bytes ? before : bytes);
  return after < bytes ? epact_crc32c(crc, piece + after, bytes - after) : crc;
}

/* The header must be a flat array of FIELDS integers: checked before msgpack-c, which allocates what
 * an array claims to hold, sees it. */
static bool header_is_flat(const unsigned char *header, size_t length)
{
  static const unsigned char integer_bytes[] = { 1, 2, 4, 8 };
  size_t at = 3;
  if (length < 3 || header[0] != 0xdc || header[1] != 0 || header[2] != FIELDS) return false;
  for (int i = 0; i < FIELDS; i++) {
    if (at >= length) return false;
    unsigned char tag = header[at++];
    if (tag <= 0x7f || tag >= 0xe0) continue;
    if (tag < 0xcc || tag > 0xd3) return false;
    at += integer_bytes[(tag - 0xcc) & 3];
  }
  return at == length;
}

static int unpack_header(const char *header, size_t length, uint64_t job, int64_t *field, uint64_t *frame_job)
{
  if (!header_is_flat((const unsigned char *)header, length)) {
    return epact_fail(EPACT_E_PROTO, "a frame's header is malformed");
  }
  msgpack_unpacked unpacked;
  msgpack_unpacked_init(&unpacked);
  size_t offset = 0;
  msgpack_unpack_return unpacking = msgpack_unpack_next(&unpacked, header, length, &offset);
  bool good = unpacking == MSGPACK_UNPACK_SUCCESS && unpacked.data.type == MSGPACK_OBJECT_ARRAY &&
              unpacked.data.via.array.size == FIELDS;
  for (int i = 0; good && i < FIELDS; i++) {
    const msgpack_object *object = &unpacked.data.via.array.ptr[i];
    if (i == F_JOB && object->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
      *frame_job = object->via.u64;
    else if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
      field[i] = object->via.i64;
    else if (object->via.u64 <= INT64_MAX)
      field[i] = (int64_t)object->via.u64;
    else
      good = false;
  }
  msgpack_unpacked_destroy(&unpacked);
  if (unpacking == MSGPACK_UNPACK_NOMEM_ERROR) return epact_fail_memory("a frame's header", length);
  if (!good) return epact_fail(EPACT_E_PROTO, "a frame's header is malformed");
  if (*frame_job != job) {
    return epact_fail(EPACT_E_JOB, "a frame of job %016" PRIx64 " came to another", *frame_job);
  }
  return EPACT_OK;
}

/* Takes `bytes` (padded) off the payload; false when it is shorter. */
static bool take(const char **at, const char *end, uint64_t bytes, const void **array)
{
  uint64_t whole = (bytes + 7) & ~UINT64_C(7);
  if (whole < bytes || whole > (uint64_t)(end - *at)) return false;
  *array = bytes ? *at : NULL;
  *at += whole;
  return true;
}

static int get_section(const char **at, const char *end, epact_section *section)
{
  int64_t word[DESCRIPTOR_WORDS];
  const void *row, *start = NULL, *col = NULL, *value = NULL;
  if ((size_t)(end - *at) < sizeof word) return epact_fail(EPACT_E_PROTO, "a frame ends inside a section");
  memcpy(word, *at, sizeof word);
  *at += sizeof word;
  int64_t type = word[1], cols = word[2], rows = word[3], cells = word[4], form = word[5] & 0xff,
          encoding = word[5] >> 8, limit = (int64_t)EPACT_WIRE_LIMIT;
  if (word[0] < 0 || word[0] > UINT32_MAX || type < EPACT_F32 || type > EPACT_I64 || cols < 1 || cols > INT32_MAX ||
      rows < 0 || rows > limit || cells < 0 || cells > limit || form > 2 || encoding < 0 || encoding > INT32_MAX ||
      !epact_encoding_fits((int)type, (int)encoding) ||
      (form == 1 && (rows ? cells / rows != cols || cells % rows : cells != 0)) || (form == 0 && (cells || encoding))) {
    return epact_fail(EPACT_E_PROTO, "a section's descriptor is malformed");
  }
  bool whole = take(at, end, (uint64_t)rows * sizeof(int64_t), &row) &&
               (form != 2 || (take(at, end, (uint64_t)(rows + 1) * sizeof(uint32_t), &start) &&
                              take(at, end, (uint64_t)cells * sizeof(uint32_t), &col))) &&
               take(at, end, (uint64_t)cells * epact_encoded_bytes((int)type, (int)encoding), &value);
  if (!whole) return epact_fail(EPACT_E_PROTO, "a frame ends inside a section");
  *section = (epact_section){ (uint32_t)word[0], (int32_t)type, cols, rows, row, start, col, value, (int32_t)encoding };
  for (int64_t i = 0; start && i < rows; i++) {
    if (section->start[i] > section->start[i + 1]) return epact_fail(EPACT_E_PROTO, "a section's cells overlap");
  }
  if (start && (section->start[0] != 0 || (int64_t)section->start[rows] != cells)) {
    return epact_fail(EPACT_E_PROTO, "a section's cells do not add up");
  }
  return EPACT_OK;
}

static int get_schema(const char **at, const char *end, epact_schema *schema)
{
  int64_t word[DESCRIPTOR_WORDS];
  if ((size_t)(end - *at) < sizeof word) return epact_fail(EPACT_E_PROTO, "a frame ends inside a schema");
  memcpy(word, *at, sizeof word);
  *at += sizeof word;
  if (word[0] < 0 || word[0] > UINT32_MAX || word[1] < EPACT_F32 || word[1] > EPACT_I64 || word[2] < 0 ||
      word[2] > INT64_C(1) << 53 || word[3] < 1 || word[3] > INT32_MAX || word[4] < 0 || word[4] > 15 || word[5] < 0 ||
      (word[4] & 3) == 1) { /* sparse rows take sparse updates only */
    return epact_fail(EPACT_E_PROTO, "a schema is malformed");
  }
  *schema = (epact_schema){ (uint32_t)word[0], (int)word[1], word[2], word[3],    word[4] & 1,
                            word[4] & 2,       word[4] & 4,  word[5], word[4] & 8 };
  return EPACT_OK;
}

static int get_payload(const char *at, const char *end, epact_decoded *decoded)
{
  epact_message *m = &decoded->message;
  int code = EPACT_OK;
  if (m->kind == EPACT_M_CREATE) {
    if ((code = get_schema(&at, end, &decoded->schema))) return code;
    m->schema = &decoded->schema;
  }
  if (m->sections) {
    decoded->section = epact_calloc((size_t)m->sections, sizeof *decoded->section);
    if (!decoded->section) return EPACT_E_NOMEM;
    for (int i = 0; i < m->sections && !code; i++) code = get_section(&at, end, &decoded->section[i]);
    m->section = decoded->section;
    return code ? code : at == end ? EPACT_OK : epact_fail(EPACT_E_PROTO, "a frame goes on after its last section");
  }
  size_t length = (size_t)(end - at);
  if (m->kind == EPACT_M_STATE) {
    m->blob = at;
    m->blob_bytes = length;
    return EPACT_OK;
  }
  if (memchr(at, 0, length) || (m->kind == EPACT_M_CREATE && (length < 1 || length > EPACT_MAX_NAME))) {
    return epact_fail(EPACT_E_PROTO, "a frame's text is malformed");
  }
  if (m->kind == EPACT_M_CREATE && decoded->schema.id != epact_crc32c(0, at, length)) {
    return epact_fail(EPACT_E_PROTO, "a table's id does not belong to its name");
  }
  decoded->text = epact_malloc(length + 1);
  if (!decoded->text) return EPACT_E_NOMEM;
  memcpy(decoded->text, at, length);
  decoded->text[length] = 0;
  m->text = decoded->text;
  return EPACT_OK;
}

static bool has_sections(int64_t kind)
{
  return kind == EPACT_M_BATCH || kind == EPACT_M_READ || kind == EPACT_M_UNSUBSCRIBE || kind == EPACT_M_ROWS ||
         kind == EPACT_M_FEED || kind == EPACT_M_PUSH;
}

static int check_fields(const int64_t *field, size_t payload)
{
  if (field[F_KIND] < EPACT_M_CREATE || field[F_KIND] >= EPACT_M_KINDS) {
    return epact_fail(EPACT_E_PROTO, "a frame of unknown kind %" PRId64, field[F_KIND]);
  }
  bool good = field[F_SENDER] >= 0 && field[F_SENDER] <= INT32_MAX && field[F_SHARD] >= -1 &&
              field[F_SHARD] <= INT32_MAX && field[F_SLOT] >= -1 && field[F_SLOT] <= INT32_MAX &&
              field[F_INCARNATION] >= 0 && field[F_INCARNATION] <= UINT32_MAX && field[F_TABLE] >= 0 &&
              field[F_TABLE] <= UINT32_MAX && field[F_REQUEST] >= 0 && field[F_REQUEST] <= UINT32_MAX &&
              field[F_CODE] <= 0 && field[F_CODE] > -100 && field[F_FINAL] >= 0 && field[F_FINAL] <= 1 &&
              field[F_CHUNK] == 0 && field[F_CHUNKS] == 1 && field[F_SECTIONS] >= 0 &&
              field[F_SECTIONS] <= (has_sections(field[F_KIND]) ? EPACT_MAX_SECTIONS : 0) &&
              field[F_LENGTH] == (int64_t)payload;
  return good ? EPACT_OK : epact_fail(EPACT_E_PROTO, "a frame's header has a field out of range");
}

int epact_wire_decode(const char *frame, size_t bytes, uint64_t job, epact_decoded *decoded)
{
  return epact_wire_decode_summed(frame, bytes, epact_wire_crc_part(0, frame, bytes, 0), job, decoded);
}

int epact_wire_decode_summed(const char *frame, size_t bytes, uint32_t sum, uint64_t job, epact_decoded *decoded)
{
  uint16_t version, header_length;
  uint32_t crc;
  int64_t field[FIELDS] = { 0 };
  memset(decoded, 0, sizeof *decoded);
  if (bytes < PREFIX || memcmp(frame, &magic, sizeof magic)) {
    return epact_fail(EPACT_E_PROTO, "a frame of %zu bytes is not ours", bytes);
  }
  memcpy(&version, frame + 4, 2);
  memcpy(&header_length, frame + 6, 2);
  memcpy(&crc, frame + 8, 4);
  if (version != EPACT_WIRE_VERSION) {
    return epact_fail(EPACT_E_VERSION, "protocol version %u came to version %u", version, EPACT_WIRE_VERSION);
  }
  size_t head = epact_padded(PREFIX + (size_t)header_length);
  if (bytes > EPACT_WIRE_LIMIT) return epact_fail(EPACT_E_LIMIT, "a frame of %zu bytes is too large", bytes);
  if (header_length > HEADER_LIMIT || head > bytes) return epact_fail(EPACT_E_PROTO, "a frame is cut short");
  if (crc != sum) {
    return epact_fail(EPACT_E_CORRUPT, "a frame of %zu bytes does not match its checksum", bytes);
  }
  int code = unpack_header(frame + PREFIX, header_length, job, field, &decoded->job);
  if (code || (code = check_fields(field, bytes - head))) return code;
  decoded->message = (epact_message){ .kind = (epact_message_kind)field[F_KIND],
                                      .sender = (int32_t)field[F_SENDER],
                                      .shard = (int32_t)field[F_SHARD],
                                      .slot = (int32_t)field[F_SLOT],
                                      .incarnation = (uint32_t)field[F_INCARNATION],
                                      .table = (uint32_t)field[F_TABLE],
                                      .request = (uint32_t)field[F_REQUEST],
                                      .clock = field[F_CLOCK],
                                      .applied = field[F_APPLIED],
                                      .cursor = field[F_CURSOR],
                                      .code = (int32_t)field[F_CODE],
                                      .final = field[F_FINAL] != 0,
                                      .sections = (int32_t)field[F_SECTIONS],
                                      .text = "" };
  code = get_payload(frame + head, frame + bytes, decoded);
  if (code) epact_decoded_free(decoded);
  return code;
}

void epact_decoded_free(epact_decoded *decoded)
{
  free(decoded->section);
  free(decoded->text);
  memset(decoded, 0, sizeof *decoded);
}
