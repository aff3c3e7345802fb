/* Messages as bytes. A frame is untrusted until epact_wire_decode has accepted it.
 *
 *   0  "EPAC"   4  version u16   6  header length u16   8  CRC32C u32 of all but these 4 bytes   12  zero u32
 *  16  header: a msgpack array of WIRE_FIELDS integers (job, kind, sender, shard, slot, incarnation, table,
 *      request, clock, applied, cursor, code, final, chunk, chunks, sections, payload length)
 *      zero padding to 8 bytes, then the payload: per section a descriptor of six i64 (table,
 *      type, columns, rows, cells, and form: 0 ids, 1 dense, 2 sparse, plus 256 times the encoding) and its arrays
 *      padded to 8 bytes; or a schema descriptor and text; or text.
 * All integers outside the msgpack header are little-endian. */
#ifndef EPACT_PS_WIRE_H
#define EPACT_PS_WIRE_H

#include "message.h"

#include "../base/internal.h"

#define EPACT_WIRE_VERSION 2
#define EPACT_WIRE_LIMIT ((size_t)1 << 30) /* bytes of one frame */

#define EPACT_WIRE_HEAD ((size_t)208) /* bytes a payload begins after, at most */

/** Bytes of the frame of `message`. */
size_t epact_wire_size(const epact_message *message);
/** Writes the frame to `frame` (at least epact_wire_size + 8 bytes); *written is its length. */
int epact_wire_encode(const epact_message *message, uint64_t job, char *frame, size_t *written);

/** A batch whose memory is the payload of a frame, with room for the head before it: what is kept to be sent again
 * is what is sent. NULL when memory is short. */
epact_batch *epact_wire_batch(int sections, const epact_section *section, epact_spares *spares);
/** The frame of a message with such a batch, in the batch's memory: once made it stays as it is, and may be read by
 * other threads. E_AGAIN: another head is there already. */
int epact_wire_seal(const epact_message *message, uint64_t job, char **frame, size_t *bytes);

/* A decoded message: its pointers lead into the frame and this struct. */
typedef struct {
  epact_message message;
  epact_schema schema;
  epact_section *section; /* owned */
  char *text;             /* owned */
  uint64_t job;           /* as the frame says; known also when it is refused for that (E_JOB) */
} epact_decoded;

/** Decodes a frame (8-byte aligned, of `bytes`), which must outlive *decoded. E_PROTO, E_VERSION,
 * E_JOB, E_CORRUPT or E_LIMIT with the sentence left when it is refused; then there is nothing to
 * free. */
int epact_wire_decode(const char *frame, size_t bytes, uint64_t job, epact_decoded *decoded);
/** The same for a frame with that CRC32C (epact_wire_crc_part over all of it). */
int epact_wire_decode_summed(const char *frame, size_t bytes, uint32_t sum, uint64_t job, epact_decoded *decoded);
/** Goes on with the CRC32C of a frame (0 at first), all but its own place, by the bytes from `offset` on. */
uint32_t epact_wire_crc_part(uint32_t crc, const char *piece, size_t bytes, size_t offset);
void epact_decoded_free(epact_decoded *decoded);

#endif
