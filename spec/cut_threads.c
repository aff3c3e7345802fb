/* Cuts that are copied while workers go on, by real threads: every snapshot has the increments of the clocks before it,
 * all of them and no others. The table takes many pieces, and clocks do not wait for one another's copies. */
#include "ps/ps.h"

#include "base/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 2, ROWS = 40, COLS = 16384, EVERY = 3, MOST_CUTS = 6, CHANGES = 5 };

typedef struct {
  epact_worker *worker;
  int id;
} task;

static int failures, last_clock;

static void expect(bool held, const char *what)
{
  if (held) return;
  fprintf(stderr, "cut_threads: %s (%s)\n", what, epact_error_message());
  failures++;
}

/* The row that change `i` of a worker's clock is of. */
static int64_t changed_row(int worker, int64_t clock, int i)
{
  return (int64_t)(epact_mix64((uint64_t)((worker * 1000 + clock) * CHANGES + i)) % ROWS);
}

static epact_table *open_table(epact_worker *worker)
{
  epact_table_options options = { .name = "t", .rows = ROWS, .cols = COLS, .type = EPACT_I64, .staleness = 1 };
  epact_table *table;
  if (epact_table_open(worker, &options, &table)) exit(1);
  return table;
}

static void *work(void *argument)
{
  const task *own = argument;
  epact_worker *worker = own->worker;
  epact_table *table = open_table(worker);
  int64_t *ones = epact_malloc(COLS * sizeof *ones);
  for (int c = 0; c < COLS; c++) ones[c] = 1;
  for (int clock = 0; clock < last_clock; clock++) {
    for (int i = 0; i < CHANGES; i++)
      expect(!epact_table_inc_row(table, changed_row(own->id, clock, i), ones), "a row counts");
    expect(!epact_worker_clock(worker), "a clock ends");
  }
  expect(!epact_worker_finish(worker), "the worker finishes");
  free(ones);
  return NULL;
}

static epact_process *open_job(const char *folder, int resume)
{
  epact_process_options options = {
    .size = 1, .workers = WORKERS, .snapshots = folder, .snapshot_every = EVERY, .resume = resume, .resume_clock = -1
  };
  epact_process *process = epact_process_open(&options);
  if (process) return process;
  fprintf(stderr, "cut_threads: %s\n", epact_error_message());
  exit(1);
}

static void run(const char *folder)
{
  pthread_t thread[WORKERS];
  task own[WORKERS];
  int code;
  epact_process *process = open_job(folder, 0);
  for (int i = 0; i < WORKERS; i++) {
    own[i] = (task){ epact_process_worker(process, i), i };
    if (pthread_create(&thread[i], NULL, work, &own[i])) exit(1);
  }
  for (int i = 0; i < WORKERS; i++) pthread_join(thread[i], NULL);
  while ((code = epact_process_drain(process, 0.1)) == EPACT_E_AGAIN) continue;
  expect(!code, "all is written");
  epact_process_close(process);
}

static void expect_snapshot(const char *folder)
{
  int64_t count[ROWS] = { 0 }, row[ROWS];
  epact_process *process = open_job(folder, EPACT_RESUME);
  epact_worker *worker = epact_process_worker(process, 0);
  int64_t clock = epact_worker_now(worker);
  expect(clock == last_clock - 2, "the last cut is a snapshot");
  for (int w = 0; w < WORKERS; w++) {
    for (int64_t c = 0; c < clock; c++) {
      for (int i = 0; i < CHANGES; i++) count[changed_row(w, c, i)]++;
    }
  }
  epact_table *table = open_table(worker);
  for (int i = 0; i < ROWS; i++) row[i] = i;
  expect(!epact_table_fetch(table, ROWS, row), "the rows are there");
  for (int i = 0; i < ROWS; i++) {
    const int64_t *cell = epact_table_get_i64(table, i);
    int wrong = 0;
    for (int c = 0; cell && c < COLS; c++) wrong += cell[c] != count[i];
    expect(cell && !wrong, "a row has its counts at the cut");
  }
  epact_process_close(process);
}

int main(void)
{
  alarm(120); /* what hangs has failed */
  for (int cuts = 1; cuts <= MOST_CUTS; cuts++) {
    char folder[] = "/tmp/epact-cut-XXXXXX", command[64];
    if (!mkdtemp(folder)) return 1;
    last_clock = cuts * EVERY + 2; /* changes follow while the tables are copied */
    run(folder);
    expect_snapshot(folder);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command)) return 1;
  }
  return failures ? 1 : 0;
}
