/* Frames in a row, with their lengths: the inside of snapshots and journals. */
#include "records.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_CAPACITY ((size_t)4096)

int epact_records_reserve(epact_records *records, size_t bytes)
{
  if (records->capacity - records->bytes >= bytes) return EPACT_OK;
  size_t capacity = records->capacity ? records->capacity : LEAST_CAPACITY;
  while (capacity - records->bytes < bytes) capacity *= 2;
  int code = epact_grow(&records->data, capacity, 1);
  if (!code) records->capacity = capacity;
  return code;
}

int epact_records_add(epact_records *records, const epact_message *message, uint64_t run)
{
  size_t written;
  int code = epact_records_reserve(records, sizeof(uint64_t) + epact_wire_size(message) + 8);
  if (code) return code;
  char *target = records->data + records->bytes;
  code = epact_wire_encode(message, run, target + sizeof(uint64_t), &written);
  if (code) return code;
  uint64_t length = written;
  memcpy(target, &length, sizeof length);
  size_t whole = epact_padded(written);
  memset(target + sizeof length + written, 0, whole - written);
  records->bytes += sizeof length + whole;
  records->count++;
  return EPACT_OK;
}

int epact_records_append(epact_records *records, const epact_records *more)
{
  int code = epact_records_reserve(records, more->bytes);
  if (code) return code;
  if (more->bytes) memcpy(records->data + records->bytes, more->data, more->bytes);
  records->bytes += more->bytes;
  records->count += more->count;
  return EPACT_OK;
}

void epact_records_free(epact_records *records)
{
  free(records->data);
  *records = (epact_records){ NULL, 0, 0, 0 };
}

epact_record_reader epact_record_reader_of(const void *data, size_t bytes, uint64_t run)
{
  return (epact_record_reader){ .data = data, .bytes = bytes, .run = run };
}

void epact_record_reader_close(epact_record_reader *reader)
{
  epact_decoded_free(&reader->decoded);
}

/* Another version is one when the frame is whole; else it is damage like any other. */
static int kind_of_refusal(int code, const char *frame, size_t bytes)
{
  uint32_t crc = 0;
  if (code == EPACT_E_JOB || code == EPACT_E_NOMEM) return code;
  if (code != EPACT_E_VERSION || bytes < 12) return EPACT_E_CORRUPT;
  memcpy(&crc, frame + 8, sizeof crc);
  return crc == epact_crc32c(epact_crc32c(0, frame, 8), frame + 12, bytes - 12) ? code : EPACT_E_CORRUPT;
}

static bool is_zero(const char *data, size_t bytes)
{
  for (size_t i = 0; i < bytes; i++) {
    if (data[i]) return false;
  }
  return true;
}

int epact_record_next(epact_record_reader *reader)
{
  uint64_t length;
  epact_decoded_free(&reader->decoded);
  reader->offset = reader->next;
  if (reader->next == reader->bytes) return 0;
  if (reader->bytes - reader->next < sizeof length)
    return epact_fail(EPACT_E_CORRUPT, "it ends inside a record at byte %zu", reader->offset);
  memcpy(&length, reader->data + reader->next, sizeof length);
  size_t left = reader->bytes - reader->next - sizeof length;
  if (length > left || epact_padded((size_t)length) > left) {
    return epact_fail(EPACT_E_CORRUPT, "the record at byte %zu claims %" PRIu64 " bytes, %zu are left", reader->offset,
                      length, left);
  }
  if (!is_zero(reader->data + reader->next + sizeof length + length, epact_padded((size_t)length) - (size_t)length))
    return epact_fail(EPACT_E_CORRUPT, "the record at byte %zu does not end in zeros", reader->offset);
  int code =
      epact_wire_decode(reader->data + reader->next + sizeof length, (size_t)length, reader->run, &reader->decoded);
  if (code) {
    memset(&reader->decoded, 0, sizeof reader->decoded);
    char reason[512];
    snprintf(reason, sizeof reason, "%s", epact_error_message());
    code = kind_of_refusal(code, reader->data + reader->next + sizeof length, (size_t)length);
    return epact_fail(code, "the record at byte %zu: %s", reader->offset, reason);
  }
  reader->next += sizeof length + epact_padded((size_t)length);
  reader->count++;
  return 1;
}
