/* Bytes of a file, inflated when they are gzip's, cut into chunks of whole lines. */
#include "source.h"

#include "../base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK ((size_t)1 << 18)        /* stays in the second-level cache between read() and the parser */
#define PACKED_CHUNK ((size_t)1 << 16) /* compressed bytes read at a time */
#define QUOTED 24                      /* bytes of the file that a message repeats */

struct epact_gunzip {
  z_stream stream;
  bool between_members; /* at a place where the file may end */
  unsigned char packed[PACKED_CHUNK];
};

static int fail_system(const epact_source *source, const char *what)
{
  return epact_fail(EPACT_E_IO, "cannot %s %s: %s", what, source->path, strerror(errno));
}

/* Bytes read, 0 at the end of the file, or a negative code. */
static ssize_t read_raw(const epact_source *source, void *memory, size_t bytes)
{
  ssize_t got;
  do {
    got = epact_read(source->descriptor, memory, bytes);
  } while (got < 0 && errno == EINTR);
  return got < 0 ? fail_system(source, "read") : got;
}

static int fail_gunzip(const epact_source *source, int result)
{
  const char *reason = source->gunzip->stream.msg;
  if (result == Z_MEM_ERROR) return epact_fail_memory("the gzip reader", sizeof(struct epact_gunzip));
  return epact_fail(EPACT_E_IO, "cannot read %s: damaged gzip data after line %lld (%s)", source->path,
                    (long long)source->line, reason ? reason : "no gzip header where one should be");
}

/* Like read_raw, of inflated bytes. A file may hold several gzip members one after the other. */
static ssize_t read_gunzip(epact_source *source, char *memory, size_t bytes)
{
  struct epact_gunzip *gunzip = source->gunzip;
  z_stream *stream = &gunzip->stream;
  stream->next_out = (unsigned char *)memory;
  stream->avail_out = (unsigned)bytes;
  while (stream->avail_out == (unsigned)bytes) {
    if (!stream->avail_in) {
      ssize_t got = read_raw(source, gunzip->packed, PACKED_CHUNK);
      if (got < 0) return got;
      if (!got && gunzip->between_members) return 0;
      if (!got)
        return epact_fail(EPACT_E_IO, "cannot read %s: the gzip data ends too early, after line %lld", source->path,
                          (long long)source->line);
      stream->next_in = gunzip->packed;
      stream->avail_in = (unsigned)got;
    }
    if (gunzip->between_members && inflateReset(stream) != Z_OK) return fail_gunzip(source, Z_DATA_ERROR);
    gunzip->between_members = false;
    int result = inflate(stream, Z_NO_FLUSH);
    if (result == Z_STREAM_END)
      gunzip->between_members = true;
    else if (result != Z_OK && result != Z_BUF_ERROR)
      return fail_gunzip(source, result);
  }
  return (ssize_t)(bytes - stream->avail_out);
}

static ssize_t read_bytes(epact_source *source, char *memory, size_t bytes)
{
  if (bytes > CHUNK) bytes = CHUNK;
  return source->gunzip ? read_gunzip(source, memory, bytes) : read_raw(source, memory, bytes);
}

static void *allocate(void *opaque, unsigned count, unsigned bytes)
{
  (void)opaque;
  return epact_malloc((size_t)count * bytes);
}

static void deallocate(void *opaque, void *memory)
{
  (void)opaque;
  free(memory);
}

/* The first bytes tell: gzip's magic number is no text. */
static int start_gunzip(epact_source *source, const char *bytes, size_t count)
{
  struct epact_gunzip *gunzip = epact_calloc(1, sizeof *gunzip);
  if (!gunzip) return EPACT_E_NOMEM;
  source->gunzip = gunzip;
  memcpy(gunzip->packed, bytes, count);
  gunzip->stream.next_in = gunzip->packed;
  gunzip->stream.avail_in = (unsigned)count;
  gunzip->stream.zalloc = allocate;
  gunzip->stream.zfree = deallocate;
  int result = inflateInit2(&gunzip->stream, 15 + 16); /* the largest window; gzip headers only */
  return result == Z_OK ? EPACT_OK : fail_gunzip(source, result);
}

static int start(epact_source *source)
{
  size_t first = 0;
  source->capacity = CHUNK;
  source->buffer = epact_malloc(source->capacity + 1 + EPACT_PADDING); /* 1: a last line end */
  if (!source->buffer) return EPACT_E_NOMEM;
  while (first < 3 && !source->exhausted) {
    ssize_t got = read_raw(source, source->buffer + first, PACKED_CHUNK - first);
    if (got < 0) return (int)got;
    source->exhausted = !got;
    first += (size_t)got;
  }
  if (first >= 2 && !memcmp(source->buffer, "\x1f\x8b", 2)) {
    source->exhausted = false;
    int code = start_gunzip(source, source->buffer, first);
    if (code) return code;
    first = 0;
  }
  if (first >= 3 && !memcmp(source->buffer, "\xef\xbb\xbf", 3)) memset(source->buffer, ' ', 3); /* byte order mark */
  source->filled = first;
  source->cursor = source->end = source->buffer;
  return EPACT_OK;
}

int epact_source_open(epact_source *source, const char *path, size_t longest_line)
{
  memset(source, 0, sizeof *source);
  source->path = path;
  source->line = 1;
  source->longest_line = longest_line;
  source->descriptor = epact_open(path, O_RDONLY | O_CLOEXEC, 0);
  if (source->descriptor < 0) return fail_system(source, "open");
  int code = start(source);
  if (code) epact_source_close(source);
  return code;
}

void epact_source_close(epact_source *source)
{
  if (source->descriptor >= 0) close(source->descriptor);
  if (source->gunzip) inflateEnd(&source->gunzip->stream);
  free(source->gunzip);
  free(source->buffer);
  source->descriptor = -1;
  source->gunzip = NULL;
  source->buffer = NULL;
  source->cursor = source->end = NULL;
}

static int refuse_nul(epact_source *source, const char *nul)
{
  for (const char *c = source->cursor; c < nul; c++) source->line += *c == '\n';
  return epact_fail(EPACT_E_PARSE, "%s:%lld: expected text, found a NUL byte (a binary file, or UTF-16?)", source->path,
                    (long long)source->line);
}

/* Reads until a line end is among the `filled` bytes; the last line of the file is given one. */
static int read_to_line_end(epact_source *source, char **last_line_end)
{
  size_t searched = 0;
  for (;;) {
    char *found = memrchr(source->buffer + searched, '\n', source->filled - searched);
    *last_line_end = found;
    if (found) return EPACT_OK;
    searched = source->filled;
    if (source->exhausted) break;
    if (source->filled > source->longest_line)
      return epact_fail(EPACT_E_PARSE, "%s:%lld: expected a line of at most %zu bytes, found a longer one",
                        source->path, (long long)source->line, source->longest_line);
    if (source->filled + PACKED_CHUNK > source->capacity) {
      int code = epact_grow(&source->buffer, 2 * source->capacity + 1 + EPACT_PADDING, 1);
      if (code) return code;
      source->capacity *= 2;
    }
    ssize_t got = read_bytes(source, source->buffer + source->filled, source->capacity - source->filled);
    if (got < 0) return (int)got;
    source->exhausted = !got;
    source->filled += (size_t)got;
  }
  if (source->filled) {
    *last_line_end = source->buffer + source->filled;
    source->buffer[source->filled++] = '\n';
  }
  return EPACT_OK;
}

int epact_source_fill(epact_source *source)
{
  char *last_line_end;
  source->filled -= (size_t)(source->end - source->buffer);
  memmove(source->buffer, source->end, source->filled); // NOLINT: an open source has a buffer
  source->cursor = source->end = source->buffer;        /* for the message of a failure */
  int code = read_to_line_end(source, &last_line_end);
  source->cursor = source->end = source->buffer; /* it may have moved */
  if (code || !last_line_end) return code;
  const char *nul = memchr(source->buffer, 0, (size_t)(last_line_end - source->buffer));
  if (nul) return refuse_nul(source, nul);
  memset(source->buffer + source->filled, 0, EPACT_PADDING);
  source->end = last_line_end + 1;
  return 1;
}

void epact_source_skip_line(epact_source *source, const char *c)
{
  c = memchr(c, '\n', (size_t)(source->end - c));
  epact_source_advance(source, c);
}

/* What the file has at `at`, in words: the text up to white space, in quotes. */
static void describe(const char *at, char *text, size_t bytes)
{
  size_t used = 0, taken = 0;
  if (epact_at_line_end(at)) {
    snprintf(text, bytes, "the end of the line");
    return;
  }
  text[used++] = '"';
  do {
    unsigned char c = (unsigned char)at[taken];
    if (c < 32 || c == 127)
      used += (size_t)snprintf(text + used, bytes - used, "\\x%02x", c);
    else
      text[used++] = (char)c;
    taken++;
  } while (taken < QUOTED && at[taken] != ' ' && at[taken] != '\t' && !epact_at_line_end(at + taken));
  snprintf(text + used, bytes - used, "%s\"", taken == QUOTED ? "..." : "");
}

int epact_source_expected(const epact_source *source, const char *at, const char *format, ...)
{
  char expected[256], found[4 * QUOTED + 8];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(expected, sizeof expected, format, arguments);
  va_end(arguments);
  if (!at)
    return epact_fail(EPACT_E_PARSE, "%s:%lld: expected %s, found the end of the file", source->path,
                      (long long)source->line, expected);
  const char *line = at;
  while (line > source->buffer && line[-1] != '\n') line--;
  describe(at, found, sizeof found);
  return epact_fail(EPACT_E_PARSE, "%s:%lld: expected %s, found %s (character %lld)", source->path,
                    (long long)source->line, expected, found, (long long)(at - line + 1));
}

int64_t epact_source_line_of(const char *path, int64_t record, int64_t skip, const char *comments)
{
  epact_source source;
  const char *c;
  int64_t line = 0, before = skip + record;
  int code = epact_source_open(&source, path, EPACT_LONG_LINE);
  if (code) return code;
  while ((code = epact_source_line(&source, &c)) > 0) {
    const char *first = epact_skip_blanks(c);
    line = source.line;
    if (!epact_at_line_end(first) && !strchr(comments, *first) && before-- == 0) break;
    epact_source_skip_line(&source, c);
  }
  epact_source_close(&source);
  return code < 0 ? code : line;
}
