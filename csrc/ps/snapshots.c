/* Looking at a folder of snapshots from outside a job: which there are, what is in them, whether they are good. */
#include "../base/internal.h"
#include "keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A disk makes its folder; who looks must not. */
static epact_disk *open_folder(const char *folder)
{
  struct stat status;
  if (stat(folder, &status)) {
    epact_fail(errno == ENOENT ? EPACT_E_NO_FILE : EPACT_E_DISK, "cannot look at %s: %s", folder, strerror(errno));
    return NULL;
  }
  return epact_disk_open(folder);
}

/* ---- which there are ---- */

typedef struct {
  int64_t *clock;
  int32_t most, found;
} clock_list;

static int note_clock(void *argument, const char *name)
{
  clock_list *list = argument;
  int64_t clock;
  char kind[9];
  int rank;
  if (!epact_file_name_parse(name, &clock, kind, &rank) || strcmp(kind, "manifest") != 0) return EPACT_OK;
  if (list->found < list->most) list->clock[list->found] = clock;
  list->found++;
  return EPACT_OK;
}

static int ascending(const void *a, const void *b)
{
  const int64_t *x = a, *y = b;
  return *x < *y ? -1 : *x > *y;
}

int epact_snapshots_list(const char *folder, int64_t *clock, int32_t most)
{
  epact_disk *disk = open_folder(folder);
  if (!disk) return epact_error_code();
  clock_list list = { clock, most, 0 };
  int code = disk->list(disk->context, note_clock, &list);
  epact_disk_close(disk);
  if (code) return code;
  int32_t kept = list.found < most ? list.found : most;
  if (kept) qsort(clock, (size_t)kept, sizeof *clock, ascending);
  return list.found;
}

/* ---- what is in one ---- */

static int add_table(epact_snapshot *s, const epact_message *create)
{
  for (int32_t i = 0; i < s->tables; i++) {
    if (s->table[i].id == create->schema->id) return EPACT_OK; /* each part has all tables */
  }
  int code = epact_grow(&s->table, (size_t)s->tables + 1, sizeof *s->table);
  if (code) return code;
  epact_snapshot_table *table = &s->table[s->tables++];
  *table = (epact_snapshot_table){ .id = create->schema->id };
  snprintf(table->name, sizeof table->name, "%s", create->text);
  epact_schema_text(create->schema, table->shape, sizeof table->shape);
  return EPACT_OK;
}

static int look_at(void *context, const epact_message *m)
{
  epact_snapshot *s = context;
  if (m->kind == EPACT_M_STATE) s->states++;
  if (m->kind == EPACT_M_CREATE) return add_table(s, m);
  for (int32_t i = 0; m->kind == EPACT_M_ROWS && m->sections && i < s->tables; i++) {
    if (s->table[i].id == m->section->table) s->table[i].rows += m->section->rows;
  }
  return EPACT_OK;
}

static int look(epact_disk *disk, int64_t clock, epact_snapshot *s)
{
  epact_recovery r;
  int code = epact_recovery_find(disk, clock, &r);
  if (code) return code;
  s->run = r.manifest.run;
  s->clock = r.manifest.clock;
  s->reaches = r.clock;
  s->every = r.manifest.every;
  s->shards = r.manifest.shards;
  s->workers = r.manifest.slots;
  s->deterministic = r.manifest.deterministic;
  for (int rank = 0; rank < r.manifest.processes; rank++) s->bytes += (int64_t)r.manifest.part[rank].bytes;
  for (int32_t f = 0; f < r.journal.files; f++) s->journal_bytes += (int64_t)r.journal.bytes[f];
  const epact_part_reader reader = { .look = look_at, .context = s };
  code = epact_recovery_load(disk, &r, &reader);
  epact_recovery_free(&r);
  return code;
}

int epact_snapshot_look(const char *folder, int64_t clock, epact_snapshot *snapshot)
{
  memset(snapshot, 0, sizeof *snapshot);
  epact_disk *disk = open_folder(folder);
  if (!disk) return epact_error_code();
  int code = look(disk, clock, snapshot);
  epact_disk_close(disk);
  return code;
}

void epact_snapshot_free(epact_snapshot *snapshot)
{
  free(snapshot->table);
  memset(snapshot, 0, sizeof *snapshot);
}
