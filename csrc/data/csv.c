/* Numbers in columns, maybe below a line of names. */
#include "source.h"
#include "vocabulary.h"

#include <string.h>
#include <strings.h>

typedef struct {
  epact_source source;
  epact_dense *table;
  epact_vocabulary_builder names;
  char separator;
  int64_t count, capacity; /* numbers */
  int64_t model_line;      /* the line that all others must be as wide as */
} reader;

/* Blanks around fields mean nothing, unless they are the separator. */
static inline const char *skip_padding(char separator, const char *c)
{
  while (*c == ' ' || (*c == '\t' && separator != '\t')) c++;
  return c;
}

static char detect_separator(const char *c)
{
  static const char candidates[] = ",;\t";
  size_t length = strcspn(c, "\n");
  for (const char *candidate = candidates; *candidate; candidate++)
    if (memchr(c, *candidate, length)) return *candidate;
  return ' ';
}

/* The bytes of the field at `c`, without quotes and padding; returns the character behind it. */
static const char *scan_field(char separator, const char *c, const char **text, int64_t *bytes)
{
  const char *end;
  if (*c == '"') {
    *text = ++c;
    while (*c != '\n' && (*c != '"' || c[1] == '"')) c += *c == '"' ? 2 : 1;
    *bytes = c - *text;
    return skip_padding(separator, c + (*c == '"'));
  }
  *text = c;
  while (!epact_at_line_end(c) && *c != separator && !(separator == ' ' && *c == '\t')) c++;
  for (end = c; end > *text && (end[-1] == ' ' || end[-1] == '\t'); end--) continue;
  *bytes = end - *text;
  return skip_padding(separator, c);
}

/* A name is no number, and not how a program writes that it has none. */
static bool is_name(const char *text, int64_t bytes)
{
  static const char *const missing[] = { "nan", "na", "inf", "infinity", "null", "" };
  double value;
  const char *behind = epact_scan_number(text, &value);
  if (behind && behind >= text + bytes) return false;
  if (*text == '-' || *text == '+') text++, bytes--;
  for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
    if ((int64_t)strlen(missing[i]) == bytes && !strncasecmp(text, missing[i], (size_t)bytes)) return false;
  return true;
}

static bool is_header(char separator, const char *c)
{
  bool named = false;
  for (;;) {
    const char *text;
    int64_t bytes;
    bool quoted = *c == '"';
    c = scan_field(separator, c, &text, &bytes);
    if (is_name(text, bytes) || (quoted && !bytes))
      named = true; /* R leaves the name of row names empty */
    else
      return false;
    if (epact_at_line_end(c)) return named;
    if (*c == separator) c = skip_padding(separator, c + 1);
  }
}

static int read_header(reader *r, const char *c)
{
  for (;;) {
    const char *text;
    int64_t bytes;
    c = scan_field(r->separator, c, &text, &bytes);
    int code = epact_vocabulary_add(&r->names, text, bytes);
    if (code) return code;
    if (epact_at_line_end(c)) break;
    if (*c == r->separator)
      c = skip_padding(r->separator, c + 1);
    else if (r->separator != ' ')
      return epact_source_expected(&r->source, c, "'%c'", r->separator);
  }
  r->model_line = r->source.line;
  r->table->cols = r->names.vocabulary->words;
  epact_source_advance(&r->source, c);
  return EPACT_OK;
}

static int grow(reader *r)
{
  r->capacity = epact_next_capacity(r->capacity);
  return epact_grow(&r->table->value, (size_t)r->capacity, sizeof(double));
}

/* From behind a number to the next one, or NULL at the end of the line. */
static int next_field(const reader *r, const char *behind, const char **next)
{
  const char *c = skip_padding(r->separator, behind);
  *next = c;
  if (epact_at_line_end(c)) return 0;
  if (r->separator == ' ') return c > behind ? 1 : epact_source_expected(&r->source, c, "a blank");
  if (EPACT_UNLIKELY(*c != r->separator))
    return epact_source_expected(&r->source, c, r->separator == '\t' ? "a tab" : "'%c'", r->separator);
  *next = skip_padding(r->separator, c + 1);
  return 1;
}

static int check_width(reader *r, int64_t width)
{
  if (EPACT_LIKELY(width == r->table->cols)) return EPACT_OK;
  if (r->model_line)
    return epact_fail(EPACT_E_PARSE, "%s:%lld: expected %lld fields as in line %lld, found %lld", r->source.path,
                      (long long)r->source.line, (long long)r->table->cols, (long long)r->model_line, (long long)width);
  r->table->cols = width;
  r->model_line = r->source.line;
  return EPACT_OK;
}

static int read_row(reader *r, const char *c)
{
  int64_t first = r->count;
  int code;
  do {
    if (EPACT_UNLIKELY(r->count == r->capacity) && (code = grow(r))) return code;
    const char *behind = epact_scan_number(c, &r->table->value[r->count]);
    if (EPACT_UNLIKELY(!behind))
      return epact_source_expected(&r->source, c, "a finite number in column %lld", (long long)(r->count - first));
    r->count++;
    code = next_field(r, behind, &c);
  } while (code > 0);
  if (!code) code = check_width(r, r->count - first);
  if (code) return code;
  r->table->rows++;
  epact_source_advance(&r->source, c);
  return EPACT_OK;
}

static int read_lines(reader *r, int header)
{
  const char *c;
  int code;
  bool first = true;
  while ((code = epact_source_line(&r->source, &c)) > 0) {
    const char *text = epact_skip_blanks(c);
    if (epact_at_line_end(text)) {
      epact_source_advance(&r->source, text);
      continue;
    }
    if (*text == '#') {
      epact_source_skip_line(&r->source, text);
      continue;
    }
    if (first && !r->separator) r->separator = detect_separator(text);
    c = skip_padding(r->separator, c);
    if (first && header == EPACT_HEADER_DETECT)
      header = is_header(r->separator, c) ? EPACT_HEADER_PRESENT : EPACT_HEADER_NONE;
    code = first && header == EPACT_HEADER_PRESENT ? read_header(r, c) : read_row(r, c);
    if (code) return code;
    first = false;
  }
  if (!code && !r->table->rows) return epact_source_expected(&r->source, NULL, "a row of numbers");
  return code;
}

int epact_csv_read(const char *path, const epact_csv_options *options, epact_dense **table, epact_vocabulary **names)
{
  reader r = { .separator = options ? (char)options->separator : 0 };
  if (r.separator && !strchr(",;\t ", r.separator))
    return epact_fail(EPACT_E_MISUSE, "the separator must be a comma, semicolon, tab or blank");
  int code = epact_source_open(&r.source, path, EPACT_LONG_LINE);
  if (code) return code;
  code = epact_vocabulary_start(&r.names);
  r.table = code ? NULL : epact_dense_empty();
  if (!code) code = r.table ? read_lines(&r, options ? options->header : EPACT_HEADER_DETECT) : EPACT_E_NOMEM;
  if (!code) code = epact_grow(&r.table->value, (size_t)r.count, sizeof(double));
  epact_source_close(&r.source);
  if (!code) {
    *table = r.table;
    if (names) *names = r.names.vocabulary;
  } else {
    epact_release(r.table);
  }
  if (code || !names) epact_release(r.names.vocabulary);
  return code;
}
