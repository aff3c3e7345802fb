/* Where the readers' bytes come from: a plain or gzip file as a sequence of whole lines, and the scanning of numbers.
 *
 * A line lies in the buffer and ends with '\n', the last one too; a scanner stops there at the latest, so that none
 * needs to know where the buffer ends; EPACT_PADDING bytes more may be looked at. No NUL byte ever reaches a reader.
 */
#ifndef EPACT_DATA_SOURCE_H
#define EPACT_DATA_SOURCE_H

#include "data.h"
#include "../base/internal.h"

#include <string.h>

/* Lines of a fixed number of fields are short, comments too: a longer one is no such file. */
#define EPACT_SHORT_LINE ((size_t)1 << 16)
#define EPACT_LONG_LINE ((size_t)1 << 30)
#define EPACT_PADDING ((size_t)8)

typedef struct epact_source {
  const char *path;
  const char *cursor; /* the line to read next */
  const char *end;    /* of the whole lines in the buffer */
  int64_t line;       /* its number, from 1 */
  size_t longest_line;
  char *buffer;
  size_t capacity, filled; /* of the buffer; filled - (end - buffer) bytes of a partial line follow `end` */
  struct epact_gunzip *gunzip;
  int descriptor;
  bool exhausted;
} epact_source;

/** Opens `path` (which must outlive the source). A line longer than `longest_line` bytes will be refused. */
int epact_source_open(epact_source *source, const char *path, size_t longest_line);
void epact_source_close(epact_source *source);
/** Brings more whole lines: 1, or 0 at the end of the file, or a negative code. */
int epact_source_fill(epact_source *source);
/** Fails with "FILE:LINE: expected ..., found WHAT IS AT `at` (character N)". `at` NULL: found the end of the file. */
int epact_source_expected(const epact_source *source, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
/** The line of record `record` (from 0), counting only lines that are neither blank nor begin with a character of
 * `comments`, after `skip` of them. For error messages: reads the file again. Negative code, or the line. */
int64_t epact_source_line_of(const char *path, int64_t record, int64_t skip, const char *comments);

/** The next line, blank or not: 1 and *line, or 0 at the end of the file, or a negative code. */
static inline int epact_source_line(epact_source *source, const char **line)
{
  if (EPACT_UNLIKELY(source->cursor == source->end)) {
    int code = epact_source_fill(source);
    if (code <= 0) return code;
  }
  *line = source->cursor;
  return 1;
}

static inline bool epact_is_digit(char c)
{
  return (unsigned char)(c - '0') < 10;
}

static inline const char *epact_skip_blanks(const char *c)
{
  while (*c == ' ' || *c == '\t') c++;
  return c;
}

static inline bool epact_at_line_end(const char *c)
{
  return *c == '\n' || (*c == '\r' && c[1] == '\n');
}

/** Goes on to the line after the one whose end is at `c`. */
static inline void epact_source_advance(epact_source *source, const char *c)
{
  source->cursor = c + (*c == '\r') + 1;
  source->line++;
}

/** Goes on to the line after the one that `c` is in. */
void epact_source_skip_line(epact_source *source, const char *c);

/** Goes on to the next line if only blanks are left in this one. */
static inline int epact_source_finish_line(epact_source *source, const char *c)
{
  c = epact_skip_blanks(c);
  if (EPACT_UNLIKELY(!epact_at_line_end(c))) return epact_source_expected(source, c, "the end of the line");
  epact_source_advance(source, c);
  return EPACT_OK;
}

/** The decimal digits at `c`, behind those of *sum, which wraps round; returns the character behind them. Eight at a
 * time and without a branch for their number, which no processor could predict. */
static inline const char *epact_scan_digits(const char *c, uint64_t *sum)
{
  static const uint64_t power_of_ten[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000 };
  for (;;) {
    uint64_t bytes;
    memcpy(&bytes, c, sizeof bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    bytes = __builtin_bswap64(bytes);
#endif
    bytes ^= UINT64_C(0x3030303030303030); /* a digit becomes its value, anything else more than 9 */
    uint64_t other = ((bytes + UINT64_C(0x7676767676767676)) | bytes) & UINT64_C(0x8080808080808080);
    int digits = other ? __builtin_ctzll(other) / 8 : 8;
    if (!digits) return c;
    bytes <<= 64 - 8 * digits;         /* zeros in front */
    bytes = bytes * 10 + (bytes >> 8); /* pairs of digits in every other byte, then fours, then all eight */
    bytes = ((bytes & UINT64_C(0x00ff00ff00ff00ff)) * (1 + (UINT64_C(100) << 16))) >> 16;
    bytes = ((bytes & UINT64_C(0x0000ffff0000ffff)) * (1 + (UINT64_C(10000) << 32))) >> 32;
    *sum = *sum * power_of_ten[digits] + bytes;
    c += digits;
    if (EPACT_LIKELY(digits < 8)) return c;
  }
}

/** A decimal integer at `c`: the character behind it; NULL when there is none or it has more than 18 digits. */
static inline const char *epact_scan_integer(const char *c, int64_t *value)
{
  const char *first = c;
  uint64_t sum = 0;
  while (epact_is_digit(*c) && c - first < 19) sum = 10 * sum + (uint64_t)(*c++ - '0');
  bool whole = c > first && c - first <= 18;
  *value = whole ? (int64_t)sum : 0;
  return whole ? c : NULL;
}

/** A finite decimal number at `c`, correctly rounded: the character behind it; NULL when there is none. */
const char *epact_scan_number(const char *c, double *value);

/** Room for element `count` (from 0) in arrays of `*capacity`: the next capacity, half as large again at least. */
static inline int64_t epact_next_capacity(int64_t capacity)
{
  return capacity < 1024 ? 1024 : capacity + capacity / 2;
}

#endif
