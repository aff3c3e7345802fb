/* Writing the files of a run. */
#include "keeper.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMPORARY ".tmp"

void epact_file_name(char *name, int64_t clock, const char *kind, int rank)
{
  int length = snprintf(name, EPACT_FILE_NAME_BYTES, "clock-%" PRId64 ".%s", clock, kind);
  if (rank >= 0) snprintf(name + length, (size_t)(EPACT_FILE_NAME_BYTES - length), "-%d", rank);
}

bool epact_file_name_parse(const char *name, int64_t *clock, char *kind, int *rank)
{
  char made[EPACT_FILE_NAME_BYTES];
  *rank = -1;
  if (sscanf(name, "clock-%" SCNd64 ".%8[a-z]-%d", clock, kind, rank) < 2) return false;
  epact_file_name(made, *clock, kind, *rank);
  return !strcmp(made, name);
}

static void tell(epact_keeper *k, int rank, epact_message message)
{
  message.sender = k->rank;
  message.shard = rank;
  message.slot = -1;
  if (!message.text) message.text = "";
  k->outbox.emit(k->outbox.context, &message);
}

/* ---- old files ---- */

typedef struct {
  epact_keeper *keeper;
  int64_t before;        /* removes what is of clocks before this ... */
  int64_t journals_from; /* ... and journals of clocks from this on */
} sweep;

static int sweep_file(void *argument, const char *name)
{
  const sweep *s = argument;
  epact_keeper *k = s->keeper;
  int64_t clock;
  int rank;
  char kind[9];
  if (!epact_file_name_parse(name, &clock, kind, &rank)) return EPACT_OK;
  bool manifest = !strcmp(kind, "manifest"), journal = !strcmp(kind, "journal");
  bool mine = manifest ? k->rank == 0 : rank == k->rank || (k->rank == 0 && (rank >= k->processes || k->ending));
  bool old = clock < s->before || (journal && clock >= s->journals_from);
  return mine && old ? k->disk->remove(k->disk->context, name) : EPACT_OK;
}

/* The name a file has while it is written; see base/file.h. */
static bool is_temporary(const char *name, char *whole)
{
  size_t length = strlen(name), suffix = sizeof TEMPORARY - 1;
  if (length < suffix || length >= EPACT_FILE_NAME_BYTES || strcmp(name + length - suffix, TEMPORARY) != 0)
    return false;
  memcpy(whole, name, length - suffix);
  whole[length - suffix] = 0;
  return true;
}

static int sweep_beginning(void *argument, const char *name)
{
  const sweep *s = argument;
  epact_keeper *k = s->keeper;
  char kind[9], whole[EPACT_FILE_NAME_BYTES];
  int64_t clock;
  int rank;
  bool half = is_temporary(name, whole);
  if (!epact_file_name_parse(half ? whole : name, &clock, kind, &rank)) return EPACT_OK;
  bool manifest = !strcmp(kind, "manifest");
  bool mine = manifest ? k->rank == 0 : rank == k->rank || (k->rank == 0 && rank >= k->processes);
  return mine && (half || (manifest && clock > s->before)) ? k->disk->remove(k->disk->context, name) : EPACT_OK;
}

int epact_keeper_sweep(epact_keeper *k, int64_t snapshot)
{
  sweep s = { k, snapshot, EPACT_FOREVER };
  return k->disk->list(k->disk->context, sweep_beginning, &s);
}

static int remove_old(epact_keeper *k, int64_t before, int64_t journals_from)
{
  sweep s = { k, before, journals_from };
  return k->disk->list(k->disk->context, sweep_file, &s);
}

/* The journals may have told that a clock is durable before the last part of its snapshot came: nothing was told when
 * that was complete, and nobody has removed what was older. */
int epact_keeper_finish(epact_keeper *k)
{
  if (k->rank != 0 || k->before < 0) return EPACT_OK;
  k->ending = true;
  return remove_old(k, k->before, EPACT_FOREVER);
}

/* ---- opening ---- */

int epact_keeper_open(epact_keeper *k, int64_t newest, int64_t clock)
{
  k->newest = newest;
  k->before = -1;
  k->begins = clock;
  k->durable = newest == clock ? clock : clock - 1;
  if (k->rank == 0) {
    k->journaled = epact_calloc((size_t)k->processes, sizeof *k->journaled);
    k->gone = epact_calloc((size_t)k->processes, sizeof *k->gone);
    if (!k->journaled || !k->gone) return EPACT_E_NOMEM;
  }
  return EPACT_OK;
}

static void free_collection(epact_collection *c)
{
  free(c->saved);
  free(c->part);
}

void epact_keeper_close(epact_keeper *k)
{
  for (int i = 0; i < k->pendings; i++) free_collection(&k->pending[i]);
  free(k->pending);
  free(k->journaled);
  free(k->gone);
  k->gone = NULL;
  k->pending = NULL;
  k->pendings = 0;
  k->journaled = NULL;
}

/* ---- what each process writes ---- */

int epact_keeper_save(epact_keeper *k, int64_t clock, const epact_records *part)
{
  char name[EPACT_FILE_NAME_BYTES];
  epact_file_name(name, clock, "part", k->rank);
  int code = part->bytes ? k->disk->write(k->disk->context, name, part->data, part->bytes)
                         : epact_fail(EPACT_E_NOMEM, "the part could not be put together");
  epact_message saved = { .kind = EPACT_M_SAVED,
                          .clock = clock,
                          .applied = k->first_slot,
                          .request = (uint32_t)k->workers,
                          .cursor = (int64_t)part->bytes,
                          .code = code };
  if (code) {
    k->failures++;
    saved.text = epact_error_message();
  } else
    saved.table = epact_crc32c(0, part->data, part->bytes);
  tell(k, 0, saved);
  return code;
}

/* The first time, what is there is of a run that got further and whose clocks are run again. */
int epact_keeper_turn(epact_keeper *k, int64_t clock)
{
  int code = *k->journal_name ? EPACT_OK : remove_old(k, 0, clock);
  if (code) return code;
  epact_file_name(k->journal_name, clock, "journal", k->rank);
  k->journal_clock = clock;
  k->journal_bytes = 0;
  return EPACT_OK;
}

/* First says who writes it, and what was synced before, so that a reader can tell a torn end from damage. */
int epact_keeper_append(epact_keeper *k, const epact_records *records, int64_t clock)
{
  epact_records mark = { NULL, 0, 0, 0 };
  epact_message synced = { .kind = EPACT_M_SYNCED,
                           .shard = k->rank,
                           .slot = k->slots,
                           .clock = k->journal_clock,
                           .incarnation = k->life,
                           .request = (uint32_t)k->shards,
                           .cursor = (int64_t)k->journal_bytes,
                           .text = "" };
  int code = epact_records_add(&mark, &synced, k->run);
  if (!code) code = k->disk->append(k->disk->context, k->journal_name, mark.data, mark.bytes);
  if (!code) code = k->disk->append(k->disk->context, k->journal_name, records->data, records->bytes);
  if (!code) code = k->disk->sync(k->disk->context, k->journal_name);
  if (!code) k->journal_bytes += mark.bytes + records->bytes;
  epact_records_free(&mark);
  if (code) return code;
  tell(k, 0, (epact_message){ .kind = EPACT_M_SAVED, .clock = clock, .final = true });
  return EPACT_OK;
}

int epact_keeper_write(epact_keeper *k, const epact_piece *piece)
{
  if (piece->kind == EPACT_PIECE_TURN) return epact_keeper_turn(k, piece->clock);
  if (piece->kind == EPACT_PIECE_JOURNAL) return epact_keeper_append(k, &piece->records, piece->clock);
  int code = epact_keeper_save(k, piece->clock, &piece->records);
  return k->durable < k->begins ? code : EPACT_OK;
}

/* ---- rank 0 ---- */

static epact_collection *collection_of(epact_keeper *k, int64_t clock)
{
  for (int i = 0; i < k->pendings; i++) {
    if (k->pending[i].clock == clock) return &k->pending[i];
  }
  if (epact_grow(&k->pending, (size_t)k->pendings + 1, sizeof *k->pending)) return NULL;
  epact_collection *c = &k->pending[k->pendings];
  *c = (epact_collection){ .clock = clock };
  for (int rank = 0; rank < k->processes; rank++) c->missing += !k->gone[rank];
  c->saved = epact_calloc((size_t)k->processes, sizeof *c->saved);
  c->part = epact_calloc((size_t)k->processes, sizeof *c->part);
  if (!c->saved || !c->part) {
    free_collection(c);
    return NULL;
  }
  k->pendings++;
  return c;
}

static void announce(epact_keeper *k, int64_t durable)
{
  if (durable <= k->durable) return;
  int64_t keep_from = k->before >= 0 ? k->before : k->newest;
  k->durable = durable;
  for (int rank = 0; rank < (k->ending ? 1 : k->processes); rank++)
    tell(k, rank, (epact_message){ .kind = EPACT_M_DURABLE, .clock = durable, .cursor = keep_from });
}

static int write_manifest(epact_keeper *k, const epact_collection *c)
{
  char name[EPACT_FILE_NAME_BYTES];
  size_t bytes;
  epact_manifest manifest = { k->run,       k->life,  c->clock,         k->every, k->shards,
                              k->processes, k->slots, k->deterministic, c->part };
  char *text = epact_manifest_text(&manifest, &bytes);
  if (!text) return EPACT_E_NOMEM;
  epact_file_name(name, c->clock, "manifest", -1);
  int code = k->disk->write(k->disk->context, name, text, bytes);
  free(text);
  return code;
}

/* A failure is one of the run where nobody begins before this snapshot. */
static int complete(epact_keeper *k, epact_collection *c)
{
  int code = EPACT_OK;
  if (!c->failed && c->clock > k->newest) {
    if ((code = write_manifest(k, c)))
      k->failures++;
    else {
      k->before = k->newest;
      k->newest = c->clock;
      announce(k, c->clock);
    }
  }
  int64_t clock = c->clock;
  for (int i = k->pendings; i-- > 0;) { /* an earlier one that lacks a part is not waited for any more */
    if (k->pending[i].clock > clock) continue;
    free_collection(&k->pending[i]);
    k->pending[i] = k->pending[--k->pendings];
  }
  return clock == k->begins ? code : EPACT_OK;
}

static void take_journaled(epact_keeper *k, int rank, int64_t clock)
{
  int64_t least = EPACT_FOREVER;
  if (clock > k->journaled[rank]) k->journaled[rank] = clock;
  for (int i = 0; i < k->shards; i++) least = k->journaled[i] < least ? k->journaled[i] : least;
  announce(k, least);
}

static int take_saved(epact_keeper *k, const epact_message *m)
{
  if (k->rank != 0 || m->sender < 0 || m->sender >= k->processes || m->cursor < 0 || m->clock < 0 || m->applied < 0 ||
      m->applied > k->slots || m->request > (uint32_t)k->slots) {
    return epact_fail(EPACT_E_PROTO, "a part of a snapshot at clock %" PRId64 " from rank %d of %d", m->clock,
                      m->sender, k->processes);
  }
  if (m->final) {
    take_journaled(k, m->sender, m->clock);
    return EPACT_OK;
  }
  if (m->clock <= k->newest) return EPACT_OK;
  epact_collection *c = collection_of(k, m->clock);
  if (!c) return EPACT_E_NOMEM;
  if (c->saved[m->sender] || k->gone[m->sender]) return EPACT_OK;
  c->saved[m->sender] = true;
  c->part[m->sender] = (epact_part_file){ (uint64_t)m->cursor, m->table, (int32_t)m->applied, (int32_t)m->request };
  c->failed = c->failed || m->code;
  return --c->missing == 0 ? complete(k, c) : EPACT_OK;
}

void epact_keeper_lose(epact_keeper *k, int rank)
{
  if (k->rank != 0 || rank >= k->processes || k->gone[rank]) return;
  k->gone[rank] = true;
  for (int i = 0; i < k->pendings;) {
    epact_collection *c = &k->pending[i++];
    if (c->saved[rank]) continue;
    c->saved[rank] = true;
    if (--c->missing) continue;
    complete(k, c);
    i = 0; /* others went with it */
  }
}

int epact_keeper_step(epact_keeper *k, const epact_message *m)
{
  if (m->kind == EPACT_M_SAVED) return take_saved(k, m);
  if (m->kind == EPACT_M_GONE) {
    epact_keeper_lose(k, (int)m->cursor);
    return EPACT_OK;
  }
  if (m->sender != 0) return epact_fail(EPACT_E_PROTO, "rank %d says what is durable", m->sender);
  if (m->clock > k->durable) k->durable = m->clock;
  remove_old(k, m->cursor, EPACT_FOREVER); /* rubbish that cannot be removed harms nobody but the disk */
  return EPACT_OK;
}
