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

#define EPACT_WIRE_VERSION 2
#define EPACT_WIRE_LIMIT ((size_t)1 << 30) /* bytes of one frame */

/** Bytes of the frame of `message`. */
size_t epact_wire_size(const epact_message *message);
/** Writes the frame to `frame` (at least epact_wire_size + 8 bytes); *written is its length. */
int epact_wire_encode(const epact_message *message, uint64_t job, char *frame, size_t *written);

/* A decoded message: its pointers lead into the frame and this struct. */
typedef struct {
  epact_message message;
  epact_schema schema;
  epact_section *section; /* owned */
  char *text;             /* owned */
} epact_decoded;

/** Decodes a frame (8-byte aligned, of `bytes`), which must outlive *decoded. E_PROTO, E_VERSION,
 * E_JOB, E_CORRUPT or E_LIMIT with the sentence left when it is refused; then there is nothing to
 * free. */
int epact_wire_decode(const char *frame, size_t bytes, uint64_t job, epact_decoded *decoded);
void epact_decoded_free(epact_decoded *decoded);

#endif
