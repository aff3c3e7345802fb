/* Which bytes of UTF-8 text are parts of words. */
#ifndef EPACT_DATA_LETTERS_H
#define EPACT_DATA_LETTERS_H

#include <stdbool.h>

static inline bool epact_is_continuation(unsigned char c)
{
  return (c & 0xc0) == 0x80;
}

/** The length of the punctuation mark or symbol at `c`, a byte above 127; 0 when it is (part of) a letter. Bytes that
 * are not UTF-8 count as letters: text in another 8-bit encoding keeps its words. */
static inline int epact_symbol_length(const unsigned char *c)
{
  if (!epact_is_continuation(c[1])) return 0;
  switch (c[0]) {
  case 0xc2:
    return c[1] == 0xaa || c[1] == 0xb5 || c[1] == 0xba ? 0 : 2; /* Latin-1 signs, but not a, mu, o */
  case 0xc3:
    return c[1] == 0x97 || c[1] == 0xb7 ? 2 : 0; /* times and division signs */
  case 0xe2:
    return c[1] < 0xb0 && epact_is_continuation(c[2]) ? 3 : 0; /* U+2000 .. U+2BFF */
  case 0xe3:
    return c[1] == 0x80 && epact_is_continuation(c[2]) ? 3 : 0; /* U+3000 .. U+303F */
  case 0xef: /* byte order mark; full-width punctuation U+FF00 .. U+FF0F */
    if (c[1] == 0xbb && c[2] == 0xbf) return 3;
    return c[1] == 0xbc && c[2] >= 0x80 && c[2] <= 0x8f ? 3 : 0;
  case 0xf0: /* U+1F000 .. U+1FFFF: pictures */
    return c[1] == 0x9f && epact_is_continuation(c[2]) && epact_is_continuation(c[3]) ? 4 : 0;
  default:
    return 0;
  }
}

#endif
