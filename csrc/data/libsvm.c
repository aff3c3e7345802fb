/* libsvm: `label index:value index:value ... # comment`. */
#include "object.h"
#include "source.h"

#define MOST_INDEX ((int64_t)UINT32_MAX)

typedef struct {
  epact_source source;
  epact_sparse *features;
  epact_dense *labels;
  int64_t base, cols, widest; /* cols: as asked for, or 0; widest: the largest column so far plus 1 */
  int64_t row_capacity, entry_capacity;
} reader;

static int grow_rows(reader *r)
{
  r->row_capacity = epact_next_capacity(r->row_capacity);
  int code = epact_grow(&r->features->start, (size_t)r->row_capacity + 1, sizeof(int64_t));
  return code ? code : epact_grow(&r->labels->value, (size_t)r->row_capacity, sizeof(double));
}

static int grow_entries(reader *r)
{
  r->entry_capacity = epact_next_capacity(r->entry_capacity);
  int code = epact_grow(&r->features->index, (size_t)r->entry_capacity, sizeof(uint32_t));
  return code ? code : epact_grow(&r->features->value, (size_t)r->entry_capacity, sizeof(double));
}

static int refuse_index(const reader *r, const char *at, int64_t previous)
{
  if (r->cols)
    return epact_source_expected(&r->source, at, "`index:value` with an index in %lld .. %lld",
                                 (long long)(previous + 1 + r->base), (long long)(r->cols - 1 + r->base));
  return epact_source_expected(&r->source, at, "`index:value` with an index of at least %lld (indices increase)",
                               (long long)(previous + 1 + r->base));
}

/* The entries from `c` to the end of the line or a comment: sets *end there. */
static int read_entries(reader *r, const char *c, const char **end)
{
  epact_sparse *features = r->features;
  int64_t limit = r->cols ? r->cols : MOST_INDEX, previous = -1;
  for (;;) {
    const char *blank = c;
    int64_t index;
    c = epact_skip_blanks(c);
    if (epact_at_line_end(c) || *c == '#') break;
    if (c == blank) return epact_source_expected(&r->source, c, "a blank");
    const char *behind = epact_scan_integer(c, &index);
    index -= r->base;
    if (EPACT_UNLIKELY(!behind || *behind != ':' || index <= previous || index >= limit))
      return refuse_index(r, c, previous);
    if (EPACT_UNLIKELY(features->count == r->entry_capacity)) {
      int code = grow_entries(r);
      if (code) return code;
    }
    c = epact_scan_number(behind + 1, &features->value[features->count]);
    if (EPACT_UNLIKELY(!c)) return epact_source_expected(&r->source, behind + 1, "a finite number");
    features->index[features->count++] = (uint32_t)index;
    previous = index;
  }
  if (previous >= r->widest) r->widest = previous + 1;
  *end = c;
  return EPACT_OK;
}

static int read_row(reader *r, const char *c)
{
  epact_sparse *features = r->features;
  int code = features->rows == r->row_capacity ? grow_rows(r) : EPACT_OK;
  if (code) return code;
  features->start[features->rows] = features->count;
  const char *behind = epact_scan_number(c, &r->labels->value[features->rows]);
  if (!behind) return epact_source_expected(&r->source, c, "a label (a finite number)");
  code = read_entries(r, behind, &c);
  if (code) return code;
  features->rows++;
  if (*c == '#')
    epact_source_skip_line(&r->source, c);
  else
    epact_source_advance(&r->source, c);
  return EPACT_OK;
}

static int read_rows(reader *r)
{
  const char *c;
  int code;
  while ((code = epact_source_line(&r->source, &c)) > 0) {
    c = epact_skip_blanks(c);
    if (epact_at_line_end(c))
      epact_source_advance(&r->source, c);
    else if (*c == '#')
      epact_source_skip_line(&r->source, c);
    else if ((code = read_row(r, c)))
      return code;
  }
  if (code) return code;
  if (!r->features->rows) return epact_source_expected(&r->source, NULL, "`label index:value ...`");
  return EPACT_OK;
}

static int finish(reader *r)
{
  epact_sparse *features = r->features;
  features->cols = r->cols ? r->cols : r->widest;
  features->start[features->rows] = features->count;
  r->labels->rows = features->rows;
  r->labels->cols = 1;
  r->row_capacity = features->rows;
  int code = epact_grow(&features->start, (size_t)features->rows + 1, sizeof(int64_t));
  if (!code) code = epact_grow(&features->index, (size_t)features->count, sizeof(uint32_t));
  if (!code) code = epact_grow(&features->value, (size_t)features->count, sizeof(double));
  return code ? code : epact_grow(&r->labels->value, (size_t)features->rows, sizeof(double));
}

int epact_libsvm_read(const char *path, const epact_libsvm_options *options, epact_sparse **features,
                      epact_dense **labels)
{
  reader r = { .base = options ? options->base : 1, .cols = options ? options->cols : 0 };
  if (r.base < 0 || r.base > 1) return epact_fail(EPACT_E_MISUSE, "base must be 0 or 1");
  if (r.cols < 0 || r.cols > MOST_INDEX)
    return epact_fail(EPACT_E_MISUSE, "cols must be in 0 .. %lld", (long long)MOST_INDEX);
  int code = epact_source_open(&r.source, path, EPACT_LONG_LINE);
  if (code) return code;
  r.features = epact_sparse_empty();
  r.labels = epact_dense_empty();
  code = r.features && r.labels ? read_rows(&r) : EPACT_E_NOMEM;
  if (!code) code = finish(&r);
  epact_source_close(&r.source);
  if (code) {
    epact_release(r.features);
    epact_release(r.labels);
    return code;
  }
  *features = r.features;
  *labels = r.labels;
  return EPACT_OK;
}
