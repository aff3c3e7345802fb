/* The forms in which the values of a section travel: as they are, or with fewer bytes. */
#ifndef EPACT_PS_ENCODING_H
#define EPACT_PS_ENCODING_H

#include "values.h"

#include <stdbool.h>

enum { EPACT_DECODED_CELLS = 512 }; /* that are decoded at a time, on the stack */

/** "f16" ...; NULL for what is no encoding. */
const char *epact_encoding_name(int encoding);
/** Whether values of a table's type may travel so: integers only as they are, f32 not as f32. */
bool epact_encoding_fits(int type, int encoding);
/** Bytes of a value of the type in that encoding (which fits). */
static inline size_t epact_encoded_bytes(int type, int encoding)
{
  if (encoding == EPACT_AS_TYPE) return epact_type_bytes(type);
  return encoding == EPACT_AS_F32 ? 4 : 2;
}

/** Encodes n values of the type, each to the nearest. False when one is too large: it would be infinite. */
bool epact_encode(int type, int encoding, const void *value, void *encoded, int64_t n);
/** Decodes n values from the i-th on into `value`, of the type. */
void epact_decode(int type, int encoding, const void *encoded, int64_t i, void *value, int64_t n);
/** target[k] += what encoded[i + k] stands for, k < n. */
void epact_decode_add(int type, int encoding, void *target, const void *encoded, int64_t i, int64_t n);
/** target[k] -= what encoded[i + k] stands for, of f32 or f64. Whether anything is left that is not 0. */
bool epact_decode_subtract(int type, int encoding, void *target, const void *encoded, int64_t i, int64_t n);
/** Index of the first NaN or infinity, or -1. */
int64_t epact_encoded_first_nonfinite(int type, int encoding, const void *encoded, int64_t n);

#endif
