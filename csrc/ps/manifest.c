/* The manifest of a snapshot: a text that a person can read, with a checksum in its last line. */
#include "../base/internal.h"
#include "snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 128
#define MOST_NUMBER 65536

char *epact_manifest_text(const epact_manifest *m, size_t *bytes)
{
  size_t capacity = LINE_BYTES * ((size_t)m->processes + 10), length;
  char *text = epact_malloc(capacity);
  if (!text) return NULL;
  length = (size_t)snprintf(text, capacity,
                            "epact snapshot 1\nrun %016" PRIx64 "\nlife %" PRIu32 "\nclock %" PRId64 "\nevery %" PRId64
                            "\nshards %d\nprocesses %d\nslots %d\ndeterministic %d\n",
                            m->run, m->life, m->clock, m->every, m->shards, m->processes, m->slots, m->deterministic);
  for (int rank = 0; rank < m->processes; rank++) {
    length +=
        (size_t)snprintf(text + length, capacity - length, "part %d %" PRIu64 " %08" PRIx32 " workers %d %d\n", rank,
                         m->part[rank].bytes, m->part[rank].crc, m->part[rank].first_slot, m->part[rank].slots);
  }
  uint32_t crc = epact_crc32c(0, text, length);
  length += (size_t)snprintf(text + length, capacity - length, "end %08" PRIx32 "\n", crc);
  *bytes = length;
  return text;
}

/* The line at *at into `line`; false at the end or when it is too long. */
static bool next_line(const char **at, const char *end, char *line)
{
  const char *newline = memchr(*at, '\n', (size_t)(end - *at));
  size_t length = newline ? (size_t)(newline - *at) : 0;
  if (!newline || length >= LINE_BYTES || memchr(*at, 0, length)) return false;
  memcpy(line, *at, length);
  line[length] = 0;
  *at = newline + 1;
  return true;
}

static int fail_line(int number)
{
  return epact_fail(EPACT_E_CORRUPT, "line %d of the manifest is not what it should be", number);
}

static int parse_parts(const char **at, const char *end, int *number, epact_manifest *m)
{
  char line[LINE_BYTES];
  m->part = epact_calloc((size_t)m->processes, sizeof *m->part);
  if (!m->part) return EPACT_E_NOMEM;
  for (int rank = 0; rank < m->processes; rank++) {
    int named;
    ++*number;
    if (!next_line(at, end, line) ||
        sscanf(line, "part %d %" SCNu64 " %" SCNx32 " workers %d %d", &named, &m->part[rank].bytes, &m->part[rank].crc,
               &m->part[rank].first_slot, &m->part[rank].slots) != 5 ||
        named != rank) {
      return fail_line(*number);
    }
    const epact_part_file *part = &m->part[rank];
    if (part->first_slot < 0 || part->slots < 0 || part->first_slot > m->slots - part->slots)
      return epact_fail(EPACT_E_CORRUPT, "line %d of the manifest has a number out of range", *number);
  }
  return EPACT_OK;
}

static int parse_lines(const char *text, size_t bytes, epact_manifest *m)
{
  const char *at = text, *end = text + bytes;
  char line[LINE_BYTES];
  int number = 0, deterministic, version;
  uint32_t crc;
#define LINE(format, ...)                                                                                              \
  number++;                                                                                                            \
  if (!next_line(&at, end, line) || sscanf(line, format, __VA_ARGS__) != 1) return fail_line(number)
  LINE("epact snapshot %d", &version);
  if (version != 1) return epact_fail(EPACT_E_VERSION, "the snapshot has format %d, this Epact reads 1", version);
  LINE("run %" SCNx64, &m->run);
  LINE("life %" SCNu32, &m->life);
  LINE("clock %" SCNd64, &m->clock);
  LINE("every %" SCNd64, &m->every);
  LINE("shards %d", &m->shards);
  LINE("processes %d", &m->processes);
  LINE("slots %d", &m->slots);
  LINE("deterministic %d", &deterministic);
  if (m->clock < 0 || m->clock > INT64_C(1) << 53 || m->every < 0 || m->shards < 1 || m->shards > m->processes ||
      m->processes > MOST_NUMBER || m->slots < 1 || m->slots > MOST_NUMBER) {
    return epact_fail(EPACT_E_CORRUPT, "the manifest has a number out of range");
  }
  m->deterministic = deterministic != 0;
  int code = parse_parts(&at, end, &number, m);
  if (code) return code;
  size_t before = (size_t)(at - text);
  LINE("end %" SCNx32, &crc);
#undef LINE
  if (at != end) return epact_fail(EPACT_E_CORRUPT, "the manifest goes on after its end");
  if (crc != epact_crc32c(0, text, before))
    return epact_fail(EPACT_E_CORRUPT, "the manifest does not match its checksum");
  return EPACT_OK;
}

/* Scanning is lenient about blanks, signs and letters; a manifest is refused unless it is what would be written. */
static int check_text(const char *text, size_t bytes, const epact_manifest *m)
{
  size_t length;
  char *written = epact_manifest_text(m, &length);
  if (!written) return EPACT_E_NOMEM;
  bool same = length == bytes && !memcmp(text, written, bytes);
  int line = 1;
  for (size_t i = 0; !same && i < bytes && i < length && text[i] == written[i]; i++) line += text[i] == '\n';
  free(written);
  return same ? EPACT_OK : fail_line(line);
}

int epact_manifest_parse(const char *text, size_t bytes, epact_manifest *manifest)
{
  memset(manifest, 0, sizeof *manifest);
  int code = parse_lines(text, bytes, manifest);
  if (!code) code = check_text(text, bytes, manifest);
  if (!code) return EPACT_OK;
  free(manifest->part);
  manifest->part = NULL;
  return code;
}
