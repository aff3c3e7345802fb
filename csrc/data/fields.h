/* Lines of a few fields, `id id number`: what ratings and edge lists share. */
#ifndef EPACT_DATA_FIELDS_H
#define EPACT_DATA_FIELDS_H

#include "source.h"

typedef enum { EPACT_FIELDS_UNKNOWN, EPACT_FIELDS_BLANK, EPACT_FIELDS_COMMA, EPACT_FIELDS_COLONS } epact_separator;

/** The separator at `c`, behind the first field of a file; EPACT_FIELDS_UNKNOWN when there is none. */
epact_separator epact_fields_separator(const char *c);

/** From behind a field to the next one; NULL when the separator is not there. */
static inline const char *epact_fields_next(epact_separator separator, const char *c)
{
  const char *next = epact_skip_blanks(c);
  switch (separator) {
  case EPACT_FIELDS_COMMA:
    return *next == ',' ? epact_skip_blanks(next + 1) : NULL;
  case EPACT_FIELDS_COLONS:
    return c[0] == ':' && c[1] == ':' ? c + 2 : NULL;
  default:
    return next > c ? next : NULL;
  }
}

/** What a message calls it. */
const char *epact_fields_separator_name(epact_separator separator);

/** Whether some pair (first[k], second[k]) of `count` occurs twice: 1 and the position of its second occurrence, or 0,
 * or EPACT_E_NOMEM. first[] is below `firsts`, second[] below `seconds`. */
int epact_fields_duplicate(const uint32_t *first, const uint32_t *second, int64_t count, int64_t firsts,
                           int64_t seconds, int64_t *position);

#endif
