/* Making and transposing data sets. */
#include "object.h"

#include "../base/internal.h"

#include <stdlib.h>
#include <string.h>

#define MOST_IDS ((int64_t)1 << 32)

static void free_sparse(void *object)
{
  epact_sparse *sparse = object;
  free(sparse->start);
  free(sparse->index);
  free(sparse->value);
}

static void free_dense(void *object)
{
  epact_dense *dense = object;
  free(dense->value);
}

static void free_corpus(void *object)
{
  epact_corpus *corpus = object;
  free(corpus->start);
  free(corpus->word);
  free(corpus->count);
}

static void free_ratings(void *object)
{
  epact_ratings *ratings = object;
  free(ratings->user);
  free(ratings->item);
  free(ratings->value);
}

static void free_edges(void *object)
{
  epact_edges *edges = object;
  free(edges->source);
  free(edges->target);
  free(edges->weight);
}

static void free_vocabulary(void *object)
{
  epact_vocabulary *vocabulary = object;
  free(vocabulary->start);
  free(vocabulary->text);
}

epact_sparse *epact_sparse_empty(void)
{
  return epact_object_new(sizeof(epact_sparse), free_sparse);
}

epact_dense *epact_dense_empty(void)
{
  return epact_object_new(sizeof(epact_dense), free_dense);
}

epact_corpus *epact_corpus_empty(void)
{
  return epact_object_new(sizeof(epact_corpus), free_corpus);
}

epact_ratings *epact_ratings_empty(void)
{
  return epact_object_new(sizeof(epact_ratings), free_ratings);
}

epact_edges *epact_edges_empty(void)
{
  return epact_object_new(sizeof(epact_edges), free_edges);
}

epact_vocabulary *epact_vocabulary_empty(void)
{
  return epact_object_new(sizeof(epact_vocabulary), free_vocabulary);
}

static int check_size(const char *what, int64_t size, int64_t most)
{
  if (size >= 0 && size <= most) return EPACT_OK;
  return epact_fail(EPACT_E_MISUSE, "%s must be in 0 .. %lld, not %lld", what, (long long)most, (long long)size);
}

/* calloc(3) also refuses a product that does not fit. */
static void *zeros(int64_t count, size_t bytes)
{
  return epact_calloc((size_t)count, bytes);
}

/* Hands `object` out if `complete`, and gives it up if not. */
static int deliver(void *object, bool complete, void *output)
{
  if (!complete) {
    epact_release(object);
    return EPACT_E_NOMEM;
  }
  memcpy(output, &object, sizeof object);
  return EPACT_OK;
}

int epact_sparse_new(int64_t rows, int64_t cols, int64_t count, epact_sparse **sparse)
{
  int code = check_size("rows", rows, INT64_MAX - 1);
  if (!code) code = check_size("cols", cols, MOST_IDS);
  if (!code) code = check_size("count", count, INT64_MAX);
  if (code) return code;
  epact_sparse *new = epact_sparse_empty();
  if (!new) return EPACT_E_NOMEM;
  new->rows = rows;
  new->cols = cols;
  new->count = count;
  bool complete = (new->start = zeros(rows + 1, sizeof *new->start)) &&
                  (new->index = zeros(count, sizeof *new->index)) && (new->value = zeros(count, sizeof *new->value));
  return deliver(new, complete, sparse);
}

int epact_dense_new(int64_t rows, int64_t cols, epact_dense **dense)
{
  int64_t count = 0;
  int code = check_size("rows", rows, INT64_MAX);
  if (!code) code = check_size("cols", cols, INT64_MAX);
  if (code) return code;
  if (__builtin_mul_overflow(rows, cols, &count)) return epact_fail_memory("a dense matrix", SIZE_MAX);
  epact_dense *new = epact_dense_empty();
  if (!new) return EPACT_E_NOMEM;
  new->rows = rows;
  new->cols = cols;
  new->value = zeros(count, sizeof *new->value);
  return deliver(new, new->value, dense);
}

int epact_corpus_new(int64_t documents, int64_t words, int64_t pairs, epact_corpus **corpus)
{
  int code = check_size("documents", documents, INT64_MAX - 1);
  if (!code) code = check_size("words", words, MOST_IDS);
  if (!code) code = check_size("pairs", pairs, INT64_MAX);
  if (code) return code;
  epact_corpus *new = epact_corpus_empty();
  if (!new) return EPACT_E_NOMEM;
  new->documents = documents;
  new->words = words;
  new->pairs = pairs;
  bool complete = (new->start = zeros(documents + 1, sizeof *new->start)) &&
                  (new->word = zeros(pairs, sizeof *new->word)) && (new->count = zeros(pairs, sizeof *new->count));
  return deliver(new, complete, corpus);
}

int epact_ratings_new(int64_t users, int64_t items, int64_t count, epact_ratings **ratings)
{
  int code = check_size("users", users, MOST_IDS);
  if (!code) code = check_size("items", items, MOST_IDS);
  if (!code) code = check_size("count", count, INT64_MAX);
  if (code) return code;
  epact_ratings *new = epact_ratings_empty();
  if (!new) return EPACT_E_NOMEM;
  new->users = users;
  new->items = items;
  new->count = count;
  bool complete = (new->user = zeros(count, sizeof *new->user)) && (new->item = zeros(count, sizeof *new->item)) &&
                  (new->value = zeros(count, sizeof *new->value));
  return deliver(new, complete, ratings);
}

int epact_edges_new(int64_t vertices, int64_t count, int weighted, epact_edges **edges)
{
  int code = check_size("vertices", vertices, MOST_IDS);
  if (!code) code = check_size("count", count, INT64_MAX);
  if (code) return code;
  epact_edges *new = epact_edges_empty();
  if (!new) return EPACT_E_NOMEM;
  new->vertices = vertices;
  new->count = count;
  bool complete = (new->source = zeros(count, sizeof *new->source)) &&
                  (new->target = zeros(count, sizeof *new->target)) &&
                  (!weighted || (new->weight = zeros(count, sizeof *new->weight)));
  return deliver(new, complete, edges);
}

static int check_columns(int64_t cols, int64_t first, int64_t end)
{
  if (0 <= first && first <= end && end <= cols) return EPACT_OK;
  return epact_fail(EPACT_E_MISUSE, "columns %lld .. %lld are no range in 0 .. %lld", (long long)first, (long long)end,
                    (long long)cols);
}

static int check_entry(const epact_sparse *sparse, int64_t k)
{
  if (EPACT_LIKELY((int64_t)sparse->index[k] < sparse->cols)) return EPACT_OK;
  return epact_fail(EPACT_E_MISUSE, "entry %lld has column %u of %lld", (long long)k, sparse->index[k],
                    (long long)sparse->cols);
}

int epact_sparse_column_entries(const epact_sparse *sparse, int64_t step, int64_t *entries)
{
  if (step < 1) return epact_fail(EPACT_E_MISUSE, "step must be at least 1, got %lld", (long long)step);
  memset(entries, 0, (size_t)sparse->cols * sizeof *entries);
  for (int64_t row = 0; row < sparse->rows; row += step)
    for (int64_t k = sparse->start[row]; k < sparse->start[row + 1]; k++) {
      const int code = check_entry(sparse, k);
      if (code) return code;
      entries[sparse->index[k]]++;
    }
  return EPACT_OK;
}

/* start[c + 1] becomes the entries of column first + c. */
static int count_within(const epact_sparse *sparse, int64_t first, int64_t end, int64_t *start)
{
  const uint32_t from = (uint32_t)first, width = (uint32_t)(end - first);
  for (int64_t k = sparse->start[0]; k < sparse->start[sparse->rows]; k++) {
    const uint32_t column = sparse->index[k] - from;
    if (column < width) start[column + 1]++;
    const int code = check_entry(sparse, k);
    if (code) return code;
  }
  return EPACT_OK;
}

int epact_sparse_transpose(const epact_sparse *sparse, int64_t first, int64_t end, epact_sparse **transpose)
{
  epact_sparse *new = NULL;
  int code = check_size("rows to transpose", sparse->rows, MOST_IDS);
  if (!code) code = check_columns(sparse->cols, first, end);
  if (code) return code;
  const int64_t columns = end - first;
  int64_t *start = epact_calloc((size_t)columns + 1, sizeof *start);
  if (!start) return EPACT_E_NOMEM;
  code = count_within(sparse, first, end, start);
  for (int64_t column = 0; column < columns; column++) start[column + 1] += start[column];
  if (!code) code = epact_sparse_new(columns, sparse->rows, start[columns], &new);
  if (code) {
    free(start);
    return code;
  }
  memcpy(new->start, start, ((size_t)columns + 1) * sizeof *start);
  const uint32_t from = (uint32_t)first, width = (uint32_t)columns;
  /* start[column] runs on to where the next column begins. */
  for (int64_t row = 0; row < sparse->rows; row++)
    for (int64_t k = sparse->start[row]; k < sparse->start[row + 1]; k++) {
      const uint32_t column = sparse->index[k] - from;
      if (column >= width) continue;
      const int64_t place = start[column]++;
      new->index[place] = (uint32_t)row;
      new->value[place] = sparse->value[k];
    }
  free(start);
  *transpose = new;
  return EPACT_OK;
}

#define TILE 32

int epact_dense_transpose(const epact_dense *dense, int64_t first, int64_t end, epact_dense **transpose)
{
  epact_dense *new;
  const int64_t rows = dense->rows, cols = dense->cols;
  int code = check_columns(cols, first, end);
  if (!code) code = epact_dense_new(end - first, rows, &new);
  if (code) return code;
  double *to = new->value; // NOLINT: a failure's code is not 0
  for (int64_t top = 0; top < rows; top += TILE)
    for (int64_t left = first; left < end; left += TILE)
      for (int64_t row = top; row < rows && row < top + TILE; row++)
        for (int64_t column = left; column < end && column < left + TILE; column++)
          to[(column - first) * rows + row] = dense->value[row * cols + column];
  *transpose = new;
  return EPACT_OK;
}

int epact_dense_split(epact_dense *dense, int64_t column, epact_dense **split)
{
  int64_t rows = dense->rows, cols = dense->cols;
  if (column < 0 || column >= cols)
    return epact_fail(EPACT_E_MISUSE, "column %lld is outside 0 .. %lld", (long long)column, (long long)cols - 1);
  if (dense->owner) return epact_fail(EPACT_E_MISUSE, "a view cannot be split");
  epact_dense *new;
  int code = epact_dense_new(rows, 1, &new);
  if (code) return code;
  double *kept = dense->value;
  for (int64_t row = 0; row < rows; row++) {
    const double *from = dense->value + row * cols;
    double taken = from[column];
    memmove(kept, from, (size_t)column * sizeof *kept);
    memmove(kept + column, from + column + 1, (size_t)(cols - column - 1) * sizeof *kept);
    kept += cols - 1;
    new->value[row] = taken; // NOLINT: a failure's code is not 0
  }
  dense->cols--;
  epact_grow(&dense->value, (size_t)(kept - dense->value), sizeof *kept); /* shrinks; if not, no harm */
  *split = new;                                                           // NOLINT
  return EPACT_OK;
}
