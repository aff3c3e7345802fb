/* Messages one after another, as snapshots and journals hold them: each is a record of its frame's length (u64,
 * little-endian) and the frame, padded to 8 bytes. What is read is untrusted, as a frame from the network is. */
#ifndef EPACT_PS_RECORDS_H
#define EPACT_PS_RECORDS_H

#include "wire.h"

typedef struct {
  char *data;
  size_t bytes, capacity;
  int64_t count;
} epact_records;

/** Adds a message of the run; on failure nothing was added. */
int epact_records_add(epact_records *records, const epact_message *message, uint64_t run);
/** Adds all of `more`; on failure nothing was added. */
int epact_records_append(epact_records *records, const epact_records *more);
/** Room for `bytes` more. */
int epact_records_reserve(epact_records *records, size_t bytes);
void epact_records_free(epact_records *records);

/* Reads records from the beginning: `offset` is that of the record `decoded` points into. */
typedef struct {
  const char *data; /* 8-byte aligned */
  size_t bytes, next, offset;
  uint64_t run;
  int64_t count; /* records read */
  epact_decoded decoded;
} epact_record_reader;

epact_record_reader epact_record_reader_of(const void *data, size_t bytes, uint64_t run);
/** 1: decoded holds the next record, until the next call; 0: the end; negative: the record at `offset` is refused. */
int epact_record_next(epact_record_reader *reader);
/** Frees what the last record holds; a reader that came to the end holds nothing. */
void epact_record_reader_close(epact_record_reader *reader);

#endif
