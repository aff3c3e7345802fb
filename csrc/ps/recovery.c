/* Reading the files of a run that is resumed. */
#include "keeper.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int newest_of(void *argument, const char *name)
{
  int64_t *newest = argument, clock;
  char kind[9];
  int rank;
  if (epact_file_name_parse(name, &clock, kind, &rank) && !strcmp(kind, "manifest") && clock > *newest) *newest = clock;
  return EPACT_OK;
}

int epact_recovery_newest(epact_disk *disk, int64_t *clock)
{
  *clock = -1;
  return disk->list(disk->context, newest_of, clock);
}

/* Puts the file's name before the sentence. */
static int fail_file(int code, const char *name)
{
  char reason[512];
  snprintf(reason, sizeof reason, "%s", epact_error_message());
  return epact_fail(code, "%s: %s", name, reason);
}

static int read_manifest(epact_disk *disk, int64_t clock, epact_manifest *manifest)
{
  char name[EPACT_FILE_NAME_BYTES], *text;
  size_t bytes;
  epact_file_name(name, clock, "manifest", -1);
  int code = disk->read(disk->context, name, &text, &bytes);
  if (code == EPACT_E_NO_FILE) return epact_fail(EPACT_E_SNAPSHOT, "there is no snapshot at clock %" PRId64, clock);
  if (code) return code;
  code = epact_manifest_parse(text, bytes, manifest);
  free(text);
  if (!code && manifest->clock != clock) {
    free(manifest->part);
    manifest->part = NULL;
    code = epact_fail(EPACT_E_CORRUPT, "the manifest is of clock %" PRId64, manifest->clock);
  }
  return code ? fail_file(code, name) : EPACT_OK;
}

/* ---- journals ---- */

typedef struct {
  const epact_manifest *manifest;
  char (*name)[EPACT_FILE_NAME_BYTES];
  int32_t names;
} journal_names;

static int note_journal(void *argument, const char *name)
{
  journal_names *found = argument;
  int64_t clock;
  char kind[9];
  int rank;
  if (!epact_file_name_parse(name, &clock, kind, &rank) || strcmp(kind, "journal") || clock < found->manifest->clock)
    return EPACT_OK;
  int code = epact_grow(&found->name, (size_t)found->names + 1, sizeof *found->name);
  if (!code) snprintf(found->name[found->names++], EPACT_FILE_NAME_BYTES, "%s", name);
  return code;
}

static int read_journals(epact_disk *disk, epact_recovery *r)
{
  journal_names found = { &r->manifest, NULL, 0 };
  int code = disk->list(disk->context, note_journal, &found);
  for (int i = 0; i < found.names && !code; i++) {
    char *data, kind[9];
    size_t bytes, whole;
    int64_t clock;
    int rank;
    epact_file_name_parse(found.name[i], &clock, kind, &rank);
    code = disk->read(disk->context, found.name[i], &data, &bytes);
    if (!code && (code = epact_journal_add(&r->journal, data, bytes, clock, rank, &whole)))
      fail_file(code, found.name[i]);
  }
  free(found.name);
  return code;
}

static int note_state(void *context, const epact_message *state)
{
  bool *keeps = ((void **)context)[0];
  const epact_manifest *manifest = ((const void **)context)[1];
  if (state->slot >= 0 && state->slot < manifest->slots) keeps[state->slot] = true;
  return EPACT_OK;
}

/* ---- parts ---- */

static int read_part(epact_disk *disk, const epact_manifest *manifest, int rank, const epact_part_reader *reader)
{
  char name[EPACT_FILE_NAME_BYTES], *data;
  size_t bytes;
  if (!manifest->part[rank].bytes) return EPACT_OK;
  epact_file_name(name, manifest->clock, "part", rank);
  int code = disk->read(disk->context, name, &data, &bytes);
  if (code == EPACT_E_NO_FILE)
    return epact_fail(EPACT_E_SNAPSHOT, "%s is missing, which the snapshot at clock %" PRId64 " names", name,
                      manifest->clock);
  if (code) return code;
  if (bytes != manifest->part[rank].bytes) {
    code =
        epact_fail(EPACT_E_CORRUPT, "it has %zu bytes, the manifest says %" PRIu64, bytes, manifest->part[rank].bytes);
  } else if (epact_crc32c(0, data, bytes) != manifest->part[rank].crc)
    code = epact_fail(EPACT_E_CORRUPT, "it does not match the checksum in the manifest");
  if (!code) code = epact_part_read(data, bytes, manifest->run, manifest->clock, rank, reader);
  free(data);
  return code ? fail_file(code, name) : EPACT_OK;
}

/* Who keeps a state, and who had finished: what the parts say counts for the journals of the same life only. In another
 * one all workers began anew, and its journals say who keeps a state. */
static int read_workers(epact_disk *disk, const epact_recovery *r, bool *keeps, bool *finished)
{
  const epact_manifest *m = &r->manifest;
  const void *context[2] = { keeps, m };
  const epact_part_reader reader = { .state = note_state, .context = context, .slots = m->slots, .finished = finished };
  int code = EPACT_OK;
  for (int rank = 0; rank < m->processes && !code && m->life == r->journal.life; rank++)
    code = read_part(disk, m, rank, &reader);
  return code;
}

static int find_clock(epact_disk *disk, epact_recovery *r)
{
  int code = read_journals(disk, r);
  if (code || !r->journal.entries) return code;
  int32_t slots = r->manifest.slots > r->journal.slots ? r->manifest.slots : r->journal.slots;
  bool *keeps = epact_calloc((size_t)slots, sizeof *keeps), *finished = epact_calloc((size_t)slots, sizeof *keeps);
  code = keeps && finished ? read_workers(disk, r, keeps, finished) : EPACT_E_NOMEM;
  if (!code) {
    r->journal.finished = finished;
    r->clock = epact_journal_clock(&r->journal, r->manifest.clock, keeps);
    r->journal.finished = NULL;
    if (r->clock > r->manifest.clock) r->slots = r->journal.slots;
  }
  free(keeps);
  free(finished);
  return code;
}

/* ---- both ---- */

int epact_recovery_open(epact_disk *disk, int64_t clock, epact_recovery *r)
{
  int code = EPACT_OK;
  memset(r, 0, sizeof *r);
  if (clock < 0) code = epact_recovery_newest(disk, &clock);
  if (!code && clock < 0) code = epact_fail(EPACT_E_SNAPSHOT, "the folder has no snapshot");
  if (!code) code = read_manifest(disk, clock, &r->manifest);
  r->clock = r->manifest.clock;
  r->slots = r->manifest.slots;
  r->journal.run = r->manifest.run;
  r->journal.life = r->manifest.life; /* a life that took a snapshot runs again what journals before it had more */
  return code;
}

int epact_recovery_find(epact_disk *disk, int64_t clock, epact_recovery *r)
{
  int code = epact_recovery_open(disk, clock, r);
  if (!code) code = find_clock(disk, r);
  if (code) epact_recovery_free(r);
  return code;
}

int epact_recovery_load(epact_disk *disk, epact_recovery *r, const epact_part_reader *reader)
{
  /* States of the snapshot's clock are of no use when the journals go further. */
  bool states = reader->state && r->clock == r->manifest.clock;
  int code = EPACT_OK;
  for (int rank = 0; rank < r->manifest.processes && !code; rank++) {
    const epact_part_file *part = &r->manifest.part[rank];
    epact_part_reader wanted = *reader;
    if (!states || part->first_slot >= reader->first_slot + reader->slots ||
        part->first_slot + part->slots <= reader->first_slot) {
      wanted.state = NULL;
    }
    if (reader->shard && reader->shard->shards == r->manifest.shards && rank != reader->shard->rank)
      wanted.shard = NULL;
    if (wanted.state || wanted.shard || wanted.look) code = read_part(disk, &r->manifest, rank, &wanted);
  }
  /* Where they go no further they are begun anew: what they alone have, as a table, would be lost the next time. */
  if (!code && r->clock > r->manifest.clock) code = epact_journal_replay(&r->journal, r->clock, reader);
  return code;
}

void epact_recovery_free(epact_recovery *r)
{
  free(r->manifest.part);
  epact_journal_free(&r->journal);
  memset(r, 0, sizeof *r);
}
