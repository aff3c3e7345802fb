/* Jobs that keep snapshots, or a journal as well, on a disk that fails: the job ends with a sentence or goes on, and
 * what it said was durable is there when it is resumed. */
#ifndef EPACT_SPEC_FAULTS_SNAPSHOTS_H
#define EPACT_SPEC_FAULTS_SNAPSHOTS_H

#include "sweep.h"

#include <unistd.h>

#define SNAPSHOTS "snapshots"

enum { KEPT_CLOCKS = 4, KEPT_ROWS = 3 };

static int64_t kept_durable; /* as the job said last */
static bool keep_journal;

/* Without the library, which may be about to fail. */
static void remove_snapshots(void)
{
  char path[512];
  DIR *folder = opendir(SNAPSHOTS);
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    snprintf(path, sizeof path, SNAPSHOTS "/%s", entry->d_name);
    if (entry->d_name[0] != '.') unlink(path);
  }
  if (folder) closedir(folder);
}

static epact_process *open_kept(int resume)
{
  epact_process_options options = { .size = 1,
                                    .workers = 1,
                                    .timeout = 5,
                                    .snapshots = SNAPSHOTS,
                                    .snapshot_every = 2,
                                    .journal = keep_journal,
                                    .resume = resume,
                                    .resume_clock = -1 };
  return epact_process_open(&options);
}

static int open_kept_table(epact_worker *worker, epact_table **table)
{
  static const epact_table_options counts = { .name = "counts", .rows = KEPT_ROWS, .cols = 1, .type = EPACT_I64 };
  return epact_table_open(worker, &counts, table);
}

static int end_kept_clock(epact_worker *worker)
{
  int code = epact_worker_clock(worker);
  int64_t clock = epact_worker_now(worker);
  return !code && epact_worker_saves(worker) ? epact_worker_save(worker, &clock, sizeof clock) : code;
}

/* To the end, from where it begins. */
static int work_kept(epact_process *process, int64_t clocks)
{
  epact_worker *worker = epact_process_worker(process, 0);
  epact_table *table;
  size_t bytes;
  if (!worker) return epact_error_code();
  epact_worker_keep_state(worker, &bytes);
  int code = open_kept_table(worker, &table);
  for (int64_t clock = epact_worker_now(worker); clock < clocks && !code; clock++) {
    for (int64_t row = 0; row < KEPT_ROWS && !code; row++) code = epact_table_inc(table, row, 0, 1);
    if (!code) code = end_kept_clock(worker);
    kept_durable = epact_process_durable(process);
  }
  if (!code) code = epact_worker_save(worker, &clocks, sizeof clocks);
  if (!code) code = epact_worker_finish(worker);
  if (!code) code = epact_process_drain(process, 1);
  while (code == EPACT_E_AGAIN) code = epact_process_drain(process, 1);
  kept_durable = epact_process_durable(process);
  return code;
}

static int play_kept(void)
{
  remove_snapshots();
  kept_durable = -1;
  epact_process *process = open_kept(0);
  int code = process ? work_kept(process, KEPT_CLOCKS) : epact_error_code();
  if (!code && epact_process_stopped(process)) code = epact_fail(EPACT_E_STOPPED, "%s", epact_process_stopped(process));
  epact_process_close(process);
  return code;
}

/* The tables and the state are those of the clock at which it begins again, which is as far as was promised. */
static void check_kept(int code)
{
  char sentence[512];
  snprintf(sentence, sizeof sentence, "%s", epact_error_message());
  epact_process *process = open_kept(EPACT_RESUME_IF_ANY);
  EXPECT(process, "it is resumed: %s", epact_error_message());
  epact_worker *worker = process ? epact_process_worker(process, 0) : NULL;
  if (worker) {
    epact_table *table;
    size_t bytes;
    int64_t begun = epact_worker_now(worker), promised = kept_durable == INT64_MAX ? KEPT_CLOCKS : kept_durable;
    const void *state = epact_worker_keep_state(worker, &bytes);
    int64_t done = begun < KEPT_CLOCKS ? begun : KEPT_CLOCKS; /* to finish is a clock as well */
    EXPECT(begun >= promised, "durable was clock %d, it begins at %d", (int)promised, (int)begun);
    EXPECT(begun ? bytes == sizeof done && !memcmp(state, &done, bytes) : !state,
           "the state of clock %d is there: %d bytes, %d", (int)begun, (int)bytes,
           bytes == sizeof done ? *(const int *)state : -1);
    EXPECT(!open_kept_table(worker, &table) && !epact_table_fetch(table, KEPT_ROWS, NULL), "the table is there");
    for (int64_t row = 0; row < KEPT_ROWS; row++)
      EXPECT(epact_table_get_i64(table, row)[0] == done, "row %d is of clock %d", (int)row, (int)begun);
    EXPECT(!work_kept(process, begun + 3), "it goes on: %s", epact_error_message());
  }
  epact_process_close(process);
  epact_fail(code, "%s", sentence);
}

static void play_snapshots(void)
{
  static const epact_fault_kind kinds[] = { EPACT_FAULT_WRITE, EPACT_FAULT_SHORT, EPACT_FAULT_FSYNC, EPACT_FAULT_RENAME,
                                            EPACT_FAULT_OPEN };
  static const scene snapshots = { "snapshots", play_kept, check_kept, 1, true },
                     journal = { "journal", play_kept, check_kept, 1, true },
                     memory = { "snapshots and a journal", play_kept, check_kept, 3, true };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    keep_journal = false;
    EXPECT(!play_kept() && kept_durable >= KEPT_CLOCKS, "durable is clock %d", (int)kept_durable);
    sweep(&snapshots, kinds[i]);
    keep_journal = true;
    sweep(&journal, kinds[i]);
  }
  sweep(&journal, EPACT_FAULT_THREAD);
  sweep(&memory, EPACT_FAULT_MALLOC);
}

#endif
