/* Ratings: `user item value [timestamp]`. */
#include "fields.h"
#include "object.h"

#include <math.h>

typedef struct {
  epact_source source;
  epact_ratings *ratings;
  epact_ratings_options options;
  epact_separator separator;
  int64_t capacity, header_lines;
  uint64_t previous; /* user and item of the last line */
  bool increasing;   /* each line's user and item lie above those of the line before: none can occur twice */
} reader;

static int grow(reader *r)
{
  epact_ratings *ratings = r->ratings;
  r->capacity = epact_next_capacity(r->capacity);
  int code = epact_grow(&ratings->user, (size_t)r->capacity, sizeof(uint32_t));
  if (!code) code = epact_grow(&ratings->item, (size_t)r->capacity, sizeof(uint32_t));
  return code ? code : epact_grow(&ratings->value, (size_t)r->capacity, sizeof(float));
}

static int refuse_id(const reader *r, const char *at, const char *what, int64_t size)
{
  return epact_source_expected(&r->source, at, "%s in %lld .. %lld", what, (long long)r->options.base,
                               (long long)(size - 1 + r->options.base));
}

static int refuse_separator(const reader *r, const char *at)
{
  return epact_source_expected(&r->source, at, "%s", epact_fields_separator_name(r->separator));
}

/* `size`: what the options say, or 0. */
static inline const char *read_id(const reader *r, const char *c, int64_t size, int64_t *id)
{
  const char *behind = epact_scan_integer(c, id);
  *id -= r->options.base;
  return behind && *id >= 0 && *id < (size ? size : UINT32_MAX) ? behind : NULL;
}

/* A timestamp at most. */
static int read_rest(reader *r, const char *c)
{
  double timestamp;
  const char *next = epact_fields_next(r->separator, c);
  if (next && !epact_at_line_end(next)) {
    c = epact_scan_number(next, &timestamp);
    if (!c) return epact_source_expected(&r->source, next, "a timestamp or the end of the line");
  }
  return epact_source_finish_line(&r->source, c);
}

static int add(reader *r, int64_t user, int64_t item, double value)
{
  epact_ratings *ratings = r->ratings;
  uint64_t key = (uint64_t)user << 32 | (uint64_t)item;
  if (EPACT_UNLIKELY(ratings->count == r->capacity)) {
    int code = grow(r);
    if (code) return code;
  }
  if (user >= ratings->users) ratings->users = user + 1;
  if (item >= ratings->items) ratings->items = item + 1;
  r->increasing &= key > r->previous || !ratings->count;
  r->previous = key;
  ratings->user[ratings->count] = (uint32_t)user;
  ratings->item[ratings->count] = (uint32_t)item;
  ratings->value[ratings->count++] = (float)value;
  return EPACT_OK;
}

static inline bool goes_on(char c)
{
  return epact_is_digit(c) || c == '.' || (c | 0x20) == 'e';
}

/* Most ratings are a digit, or two around a point. */
static inline const char *read_value(const char *c, double *value)
{
  if (epact_is_digit(c[0])) {
    *value = c[0] - '0';
    if (!goes_on(c[1])) return c + 1;
    if (c[1] == '.' && epact_is_digit(c[2]) && !goes_on(c[3])) {
      *value = (10 * (c[0] - '0') + (c[2] - '0')) / 10.0;
      return c + 3;
    }
  }
  return epact_scan_number(c, value);
}

static int read_rating(reader *r, const char *c)
{
  int64_t user, item, users = r->options.users, items = r->options.items;
  double value;
  const char *behind = read_id(r, c, users, &user);
  if (EPACT_UNLIKELY(!behind)) return refuse_id(r, c, "a user", users ? users : UINT32_MAX);
  if (EPACT_UNLIKELY(!r->separator)) r->separator = epact_fields_separator(behind);
  c = epact_fields_next(r->separator, behind);
  if (EPACT_UNLIKELY(!c)) return refuse_separator(r, behind);
  behind = read_id(r, c, items, &item);
  if (EPACT_UNLIKELY(!behind)) return refuse_id(r, c, "an item", items ? items : UINT32_MAX);
  c = epact_fields_next(r->separator, behind);
  if (EPACT_UNLIKELY(!c)) return refuse_separator(r, behind);
  behind = read_value(c, &value);
  if (EPACT_UNLIKELY(!behind || !isfinite((float)value)))
    return epact_source_expected(&r->source, c, "a rating (a finite number)");
  int code = add(r, user, item, value);
  if (EPACT_UNLIKELY(code)) return code;
  return EPACT_LIKELY(*behind == '\n') ? epact_source_finish_line(&r->source, behind) : read_rest(r, behind);
}

/* Whether the first line holds names. */
static bool is_header(const reader *r, const char *c)
{
  if (r->options.header == EPACT_HEADER_DETECT) return *c == '"' || (unsigned char)((*c | 0x20) - 'a') < 26;
  return r->options.header == EPACT_HEADER_PRESENT;
}

static int read_lines(reader *r)
{
  const char *c;
  int code;
  bool first = true;
  while ((code = epact_source_line(&r->source, &c)) > 0) {
    c = epact_skip_blanks(c);
    if (EPACT_UNLIKELY(epact_at_line_end(c))) {
      epact_source_advance(&r->source, c);
    } else if (EPACT_UNLIKELY(*c == '#')) {
      epact_source_skip_line(&r->source, c);
    } else if (EPACT_UNLIKELY(first && is_header(r, c))) {
      r->header_lines = 1;
      first = false;
      epact_source_skip_line(&r->source, c);
    } else {
      first = false;
      code = read_rating(r, c);
      if (EPACT_UNLIKELY(code)) return code;
    }
  }
  if (!code && !r->ratings->count) return epact_source_expected(&r->source, NULL, "`user item value`");
  return code;
}

static int check_duplicates(const reader *r)
{
  const epact_ratings *ratings = r->ratings;
  int64_t k;
  if (r->options.keep_duplicates || r->increasing) return EPACT_OK;
  int found = epact_fields_duplicate(ratings->user, ratings->item, ratings->count, ratings->users, ratings->items, &k);
  if (found <= 0) return found;
  return epact_fail(EPACT_E_PARSE, "%s:%lld: expected each pair once, found user %lld and item %lld again",
                    r->source.path, (long long)epact_source_line_of(r->source.path, k, r->header_lines, "#"),
                    (long long)(ratings->user[k] + r->options.base), (long long)(ratings->item[k] + r->options.base));
}

static int finish(reader *r)
{
  epact_ratings *ratings = r->ratings;
  int code = check_duplicates(r);
  if (!code) code = epact_grow(&ratings->user, (size_t)ratings->count, sizeof(uint32_t));
  if (!code) code = epact_grow(&ratings->item, (size_t)ratings->count, sizeof(uint32_t));
  if (!code) code = epact_grow(&ratings->value, (size_t)ratings->count, sizeof(float));
  if (r->options.users) ratings->users = r->options.users;
  if (r->options.items) ratings->items = r->options.items;
  return code;
}

int epact_ratings_read(const char *path, const epact_ratings_options *options, epact_ratings **ratings)
{
  reader r = { .increasing = true };
  if (options) r.options = *options;
  if (r.options.base < 0 || r.options.base > 1) return epact_fail(EPACT_E_MISUSE, "base must be 0 or 1");
  if (r.options.users < 0 || r.options.users > UINT32_MAX || r.options.items < 0 || r.options.items > UINT32_MAX)
    return epact_fail(EPACT_E_MISUSE, "users and items must be in 0 .. %lld", (long long)UINT32_MAX);
  int code = epact_source_open(&r.source, path, EPACT_SHORT_LINE);
  if (code) return code;
  r.ratings = epact_ratings_empty();
  code = r.ratings ? read_lines(&r) : EPACT_E_NOMEM;
  epact_source_close(&r.source);
  if (!code) code = finish(&r);
  if (code)
    epact_release(r.ratings);
  else
    *ratings = r.ratings;
  return code;
}
