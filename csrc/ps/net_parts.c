/* Frames that are longer than a message may be travel in parts. A connection so takes no more than a small
 * message from anybody; room for a whole frame is made only for a member, which knows the number that frames
 * to this process carry. Each part that comes is a sign of life, however long the whole takes.
 *
 * A part is two messages that belong together: an epact_part, and its piece of the frame, which so is sent from where
 * it is. The frame has a checksum of its own. */
#include "net.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char magic[4] = { 'E', 'P', 'A', 'P' };

static uint32_t checksum(const epact_part *part)
{
  epact_part copy = *part;
  copy.crc = 0;
  return epact_crc32c(0, &copy, sizeof copy);
}

size_t epact_part_head(epact_part *part, int sender, uint64_t number, size_t total, size_t offset)
{
  size_t left = total - offset;
  *part = (epact_part){ .version = EPACT_WIRE_VERSION,
                        .bytes = sizeof *part,
                        .sender = sender,
                        .number = number,
                        .total = total,
                        .offset = offset };
  memcpy(part->magic, magic, sizeof magic);
  part->crc = checksum(part);
  return left < EPACT_PART_BYTES ? left : EPACT_PART_BYTES;
}

bool epact_part_is(const char *data, size_t bytes)
{
  return bytes >= sizeof magic && !memcmp(data, magic, sizeof magic);
}

/* Nothing of it is believed before all of this. */
static int check_part(const epact_net *net, const epact_part *part, size_t piece)
{
  if (part->version != EPACT_WIRE_VERSION) {
    return epact_fail(EPACT_E_VERSION, "protocol version %u came to version %u", part->version, EPACT_WIRE_VERSION);
  }
  if (part->bytes != sizeof *part || part->crc != checksum(part))
    return epact_fail(EPACT_E_CORRUPT, "the head of a part does not match its checksum");
  if (part->number != net->number[net->rank] || part->sender < 0 || part->sender >= net->size)
    return epact_fail(EPACT_E_JOB, "a part of a process that is no member of the job");
  if (part->total > EPACT_WIRE_LIMIT)
    return epact_fail(EPACT_E_LIMIT, "a frame of %" PRIu64 " bytes is too large", part->total);
  if (!piece || part->offset > part->total || piece > part->total - part->offset)
    return epact_fail(EPACT_E_PROTO, "a part that does not fit its frame");
  return EPACT_OK;
}

static void drop(epact_assembly *assembly)
{
  epact_release(assembly->data);
  *assembly = (epact_assembly){ 0 };
}

int epact_part_take(epact_net *net, const char *head, size_t head_bytes, const char *piece, size_t bytes,
                    const char *user, epact_assembly *frame)
{
  epact_part part;
  if (head_bytes != sizeof part) return epact_fail(EPACT_E_PROTO, "the head of a part has %zu bytes", head_bytes);
  memcpy(&part, head, sizeof part);
  int code = check_part(net, &part, bytes);
  if (code) return code;
  if (net->keys && strcmp(user, net->key[part.sender]) != 0)
    return epact_fail(EPACT_E_JOB, "a part that claims to come from rank %d", part.sender);
  epact_assembly *assembly = &net->assembly[part.sender];
  if (!part.offset) { /* what was begun before was cut off with its connection */
    drop(assembly);
    if (!(assembly->data = epact_spares_object(net->spares, part.total))) return EPACT_E_NOMEM;
    assembly->total = part.total;
  } else if (!assembly->data || part.total != assembly->total || part.offset != assembly->got) {
    drop(assembly);
    return epact_fail(EPACT_E_PROTO, "a part that does not follow the one before");
  }
  char *target = assembly->data + part.offset;
  if (part.offset)
    assembly->crc = epact_crc32c_copy(assembly->crc, target, piece, bytes);
  else {
    memcpy(target, piece, bytes);
    assembly->crc = epact_wire_crc_part(0, target, bytes, 0);
  }
  assembly->got += bytes;
  epact_liveness_heard(net, part.sender);
  if (assembly->got < assembly->total) return EPACT_E_AGAIN;
  *frame = *assembly;
  *assembly = (epact_assembly){ 0 };
  return EPACT_OK;
}

void epact_parts_close(epact_net *net)
{
  for (int rank = 0; net->assembly && rank < net->capacity; rank++) drop(&net->assembly[rank]);
  free(net->assembly);
}
