/* Edge lists: `source target [weight]`. */
#include "fields.h"
#include "object.h"

typedef struct {
  epact_source source;
  epact_edges *edges;
  epact_edges_options options;
  epact_separator separator;
  int64_t capacity;
  bool weighted;     /* decided by the first edge */
  uint64_t previous; /* source and target of the last line */
  bool increasing;   /* none can occur twice, as in ratings.c */
} reader;

static int grow(reader *r)
{
  epact_edges *edges = r->edges;
  r->capacity = epact_next_capacity(r->capacity);
  int code = epact_grow(&edges->source, (size_t)r->capacity, sizeof(uint32_t));
  if (!code) code = epact_grow(&edges->target, (size_t)r->capacity, sizeof(uint32_t));
  if (!code && r->weighted) code = epact_grow(&edges->weight, (size_t)r->capacity, sizeof(double));
  return code;
}

/* A vertex at `c`: the character behind it, or NULL and the sentence left. */
static inline const char *read_vertex(const reader *r, const char *c, int64_t *vertex)
{
  int64_t limit = r->options.vertices ? r->options.vertices : UINT32_MAX;
  const char *behind = epact_scan_integer(c, vertex);
  *vertex -= r->options.base;
  if (EPACT_LIKELY(behind && *vertex >= 0 && *vertex < limit)) return behind;
  epact_source_expected(&r->source, c, "a vertex in %lld .. %lld", (long long)r->options.base,
                        (long long)(limit - 1 + r->options.base));
  return NULL;
}

/* The first edge tells what separates the fields and whether there is a weight. */
static int learn_format(reader *r, const char *c)
{
  int64_t target;
  r->separator = epact_fields_separator(c);
  const char *next = epact_fields_next(r->separator, c);
  if (!next) return epact_source_expected(&r->source, c, "%s", epact_fields_separator_name(r->separator));
  c = read_vertex(r, next, &target);
  if (!c) return EPACT_E_PARSE;
  next = epact_fields_next(r->separator, c);
  r->weighted = next && !epact_at_line_end(next);
  return EPACT_OK;
}

static int add(reader *r, int64_t source, int64_t target, double weight)
{
  epact_edges *edges = r->edges;
  uint64_t key = (uint64_t)source << 32 | (uint64_t)target;
  if (EPACT_UNLIKELY(edges->count == r->capacity)) {
    int code = grow(r);
    if (code) return code;
  }
  int64_t larger = source > target ? source : target;
  if (larger >= edges->vertices) edges->vertices = larger + 1;
  r->increasing &= key > r->previous || !edges->count;
  r->previous = key;
  edges->source[edges->count] = (uint32_t)source;
  edges->target[edges->count] = (uint32_t)target;
  if (r->weighted) edges->weight[edges->count] = weight;
  edges->count++;
  return EPACT_OK;
}

static int read_edge(reader *r, const char *c)
{
  int64_t source, target;
  double weight = 0;
  int code = EPACT_OK;
  const char *behind = read_vertex(r, c, &source);
  if (EPACT_UNLIKELY(!behind)) return EPACT_E_PARSE;
  if (EPACT_UNLIKELY(!r->separator)) code = learn_format(r, behind);
  if (EPACT_UNLIKELY(code)) return code;
  c = epact_fields_next(r->separator, behind);
  if (EPACT_UNLIKELY(!c))
    return epact_source_expected(&r->source, behind, "%s", epact_fields_separator_name(r->separator));
  behind = read_vertex(r, c, &target);
  if (EPACT_UNLIKELY(!behind)) return EPACT_E_PARSE;
  if (r->weighted) {
    c = epact_fields_next(r->separator, behind);
    if (EPACT_UNLIKELY(!c)) return epact_source_expected(&r->source, behind, "a weight, as the first edge has");
    behind = epact_scan_number(c, &weight);
    if (EPACT_UNLIKELY(!behind)) return epact_source_expected(&r->source, c, "a weight (a finite number)");
  }
  code = add(r, source, target, weight);
  return code ? code : epact_source_finish_line(&r->source, behind);
}

static int read_lines(reader *r)
{
  const char *c;
  int code;
  while ((code = epact_source_line(&r->source, &c)) > 0) {
    c = epact_skip_blanks(c);
    if (EPACT_UNLIKELY(epact_at_line_end(c))) {
      epact_source_advance(&r->source, c);
    } else if (EPACT_UNLIKELY(*c == '#' || *c == '%')) {
      epact_source_skip_line(&r->source, c);
    } else {
      code = read_edge(r, c);
      if (EPACT_UNLIKELY(code)) return code;
    }
  }
  if (!code && !r->edges->count) return epact_source_expected(&r->source, NULL, "`source target [weight]`");
  return code;
}

static int check_duplicates(const reader *r)
{
  const epact_edges *edges = r->edges;
  int64_t k;
  if (r->options.keep_duplicates || r->increasing) return EPACT_OK;
  int found = epact_fields_duplicate(edges->source, edges->target, edges->count, edges->vertices, edges->vertices, &k);
  if (found <= 0) return found;
  return epact_fail(EPACT_E_PARSE, "%s:%lld: expected each edge once, found %lld to %lld again", r->source.path,
                    (long long)epact_source_line_of(r->source.path, k, 0, "#%"),
                    (long long)(edges->source[k] + r->options.base), (long long)(edges->target[k] + r->options.base));
}

static int finish(reader *r)
{
  epact_edges *edges = r->edges;
  int code = check_duplicates(r);
  if (!code) code = epact_grow(&edges->source, (size_t)edges->count, sizeof(uint32_t));
  if (!code) code = epact_grow(&edges->target, (size_t)edges->count, sizeof(uint32_t));
  if (!code && r->weighted) code = epact_grow(&edges->weight, (size_t)edges->count, sizeof(double));
  if (r->options.vertices) edges->vertices = r->options.vertices;
  return code;
}

int epact_edges_read(const char *path, const epact_edges_options *options, epact_edges **edges)
{
  reader r = { .increasing = true };
  if (options) r.options = *options;
  if (r.options.base < 0 || r.options.base > 1) return epact_fail(EPACT_E_MISUSE, "base must be 0 or 1");
  if (r.options.vertices < 0 || r.options.vertices > UINT32_MAX)
    return epact_fail(EPACT_E_MISUSE, "vertices must be in 0 .. %lld", (long long)UINT32_MAX);
  int code = epact_source_open(&r.source, path, EPACT_SHORT_LINE);
  if (code) return code;
  r.edges = epact_edges_empty();
  code = r.edges ? read_lines(&r) : EPACT_E_NOMEM;
  epact_source_close(&r.source);
  if (!code) code = finish(&r);
  if (code)
    epact_release(r.edges);
  else
    *edges = r.edges;
  return code;
}
