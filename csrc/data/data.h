/* Floor 1: data sets in memory and the readers that make them. Public part: plain enough for ffi.cdef.
 *
 * A data set is a shared object (epact_retain, epact_release): plain arrays that nobody writes once the
 * reader has returned, so that any number of threads and Lua states may read them. Ids count from 0.
 *
 * `owner` is NULL in every object made here. A caller may copy the struct, move its pointers to a range of
 * rows and note in `owner` whom it has retained: a view. Hence one rule for users of the compressed rows:
 * start[0] need not be 0; row i is the entries start[i] .. start[i + 1] - 1, always.
 *
 * Readers take plain or gzip files of any size, with LF or CRLF line ends; blank lines are skipped. They hold
 * the result and one chunk of lines in memory. A failure leaves the outputs alone and says
 * "FILE:LINE: expected this, found that" (EPACT_E_PARSE), or why the file cannot be read (EPACT_E_IO).
 */
#ifndef EPACT_DATA_H
#define EPACT_DATA_H
#include "../base/base.h"

/* Lua would see a 64-bit size as a boxed integer, which is no limit for a `for`. In the text that Lua reads, sizes are
 * called `rows_`, and so on; the methods of the data sets make plain numbers of them under their right names. */
#ifdef EPACT_CDEF
#define EPACT_SIZE(name) name##_
#else
#define EPACT_SIZE(name) name
#endif

/* A sparse matrix by compressed rows. */
typedef struct {
  int64_t EPACT_SIZE(rows);
  int64_t EPACT_SIZE(cols);
  int64_t EPACT_SIZE(count); /* start[rows] - start[0] */
  int64_t *start;            /* [rows + 1], into index and value */
  uint32_t *index;           /* columns, increasing within a row */
  double *value;
  void *owner;
} epact_sparse;

/* A dense matrix, row-major. */
typedef struct {
  int64_t EPACT_SIZE(rows);
  int64_t EPACT_SIZE(cols);
  double *value; /* [rows][cols] */
  void *owner;
} epact_dense;

/* A bag of words by document. */
typedef struct {
  int64_t EPACT_SIZE(documents);
  int64_t EPACT_SIZE(words);
  int64_t EPACT_SIZE(pairs);  /* start[documents] - start[0] */
  int64_t EPACT_SIZE(tokens); /* the sum of the counts */
  int64_t *start;             /* [documents + 1], into word and count */
  uint32_t *word;             /* once in a document */
  uint32_t *count;            /* >= 1 */
  void *owner;
} epact_corpus;

/* Ratings in the order of the file. */
typedef struct {
  int64_t EPACT_SIZE(users);
  int64_t EPACT_SIZE(items);
  int64_t EPACT_SIZE(count);
  uint32_t *user, *item; /* [count] */
  float *value;          /* [count] */
  void *owner;
} epact_ratings;

/* Directed edges in the order of the file. */
typedef struct {
  int64_t EPACT_SIZE(vertices);
  int64_t EPACT_SIZE(count);
  uint32_t *source, *target; /* [count] */
  double *weight;            /* [count], or NULL: the file had none */
  void *owner;
} epact_edges;

/* Words by id: word i is the bytes start[i] .. start[i + 1] - 1 of text. */
typedef struct {
  int64_t words;
  int64_t *start; /* [words + 1] */
  char *text;     /* [start[words]] */
} epact_vocabulary;

/* Zeroed data sets for the caller to fill. EPACT_E_MISUSE for a negative size or more than 2^32 columns, words,
 * users, items or vertices (ids are 32 bits wide); EPACT_E_NOMEM. */
EPACT_API int epact_sparse_new(int64_t rows, int64_t cols, int64_t count, epact_sparse **sparse);
EPACT_API int epact_dense_new(int64_t rows, int64_t cols, epact_dense **dense);
EPACT_API int epact_corpus_new(int64_t documents, int64_t words, int64_t pairs, epact_corpus **corpus);
EPACT_API int epact_ratings_new(int64_t users, int64_t items, int64_t count, epact_ratings **ratings);
EPACT_API int epact_edges_new(int64_t vertices, int64_t count, int weighted, epact_edges **edges);

/** How many entries each of the columns has in the rows 0, step, 2 step, ...: cols numbers. EPACT_E_MISUSE: an entry's
 * column is not below cols. */
EPACT_API int epact_sparse_column_entries(const epact_sparse *sparse, int64_t step, int64_t *entries);
/** The transpose of the columns first .. end - 1, by a counting sort: (end - first) x rows, columns increasing within
 * each row; EPACT_E_MISUSE where an entry's column is not below cols. So the compressed columns of a matrix are the
 * compressed rows of its transpose. */
EPACT_API int epact_sparse_transpose(const epact_sparse *sparse, int64_t first, int64_t end, epact_sparse **transpose);
/** The transpose of the columns first .. end - 1: (end - first) x rows. */
EPACT_API int epact_dense_transpose(const epact_dense *dense, int64_t first, int64_t end, epact_dense **transpose);
/** Moves column `column` of `dense` (an object of its own, not yet shared) into a new rows x 1 object; `dense` keeps
 * the other columns. */
EPACT_API int epact_dense_split(epact_dense *dense, int64_t column, epact_dense **split);

/* libsvm (svmlight): `label index:value index:value ...`, indices increasing; `#` begins a comment. */
typedef struct {
  int64_t base; /* the first index: 1 (default) or 0 */
  int64_t cols; /* columns of the result; 0 (default): up to the largest index */
} epact_libsvm_options;
/** `features` rows x cols and `labels` rows x 1. NULL options: the defaults. */
EPACT_API int epact_libsvm_read(const char *path, const epact_libsvm_options *options, epact_sparse **features,
                                epact_dense **labels);

/** UCI bag of words: three lines with the numbers of documents, words and pairs, then `document word count` from 1,
 * documents in order. All three announced numbers are checked. */
EPACT_API int epact_corpus_read(const char *path, epact_corpus **corpus);
/** The same format written, compressed when the name ends in ".gz". EPACT_E_IO. */
EPACT_API int epact_corpus_write(const epact_corpus *corpus, const char *path);
/** One word a line. */
EPACT_API int epact_vocabulary_read(const char *path, epact_vocabulary **vocabulary);

/* Whether a first line of column names is there. */
enum { EPACT_HEADER_DETECT = 0, EPACT_HEADER_NONE = 1, EPACT_HEADER_PRESENT = 2 };

/* Ratings: `user item value`, separated by a comma, tab, `::` or blanks (the first line decides), and maybe a
 * timestamp, which is ignored; `#` begins a comment line. */
typedef struct {
  int64_t base;         /* the first id in the file: 0 (default) or 1 */
  int64_t users, items; /* sizes of the result; 0 (default): up to the largest id */
  int header;           /* EPACT_HEADER_*; detected when the first line begins with a letter or quote */
  int keep_duplicates;  /* 0 (default): a pair rated twice is refused */
} epact_ratings_options;
EPACT_API int epact_ratings_read(const char *path, const epact_ratings_options *options, epact_ratings **ratings);

/* Edge lists: `source target` or `source target weight`, separated like ratings; `#` and `%` begin comment lines. */
typedef struct {
  int64_t base;        /* the first vertex in the file: 0 (default) or 1 */
  int64_t vertices;    /* size of the result; 0 (default): up to the largest id */
  int keep_duplicates; /* 0 (default): an edge listed twice is refused */
} epact_edges_options;
EPACT_API int epact_edges_read(const char *path, const epact_edges_options *options, epact_edges **edges);

/* Numbers in columns. */
typedef struct {
  int separator; /* ',', ';', '\t', ' ' (any run of blanks); 0 (default): the first of these in the first line */
  int header;    /* EPACT_HEADER_*; detected when no field of the first line is a number */
} epact_csv_options;
/** A row a line, all of one width; `#` begins a comment line. `names` gets the header's fields (may be NULL; no
 * words when the file has no header). */
EPACT_API int epact_csv_read(const char *path, const epact_csv_options *options, epact_dense **table,
                             epact_vocabulary **names);

/* Plain text, a document a line. A word is a run of letters (a-z after lower-casing, and UTF-8 sequences other than
 * punctuation and symbols) of min_length .. 64 characters. */
typedef struct {
  int64_t min_documents;  /* words of fewer documents are dropped */
  double max_share;       /* words of more than this share of the documents are dropped */
  int64_t min_length;     /* in characters */
  const char *stop_words; /* words to drop, separated by anything but letters; NULL: none */
} epact_text_options;
/** Counts the words of each document; the vocabulary is in byte order. Every line is a document, an empty one too.
 * NULL options: 2, 0.5, 3, none. */
EPACT_API int epact_text_read(const char *path, const epact_text_options *options, epact_corpus **corpus,
                              epact_vocabulary **vocabulary);

#endif
