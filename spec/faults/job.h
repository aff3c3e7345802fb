/* Jobs under faults: one process whose two workers take turns, and two processes that talk. Whoever fails stops the
 * job, as the Lua side does; the other must end too, in seconds. */
#ifndef EPACT_SPEC_FAULTS_JOB_H
#define EPACT_SPEC_FAULTS_JOB_H

#include "sweep.h"

#include <pthread.h>

enum { CLOCKS = 3, ROWS = 10, WORKERS = 2, MORE_CELLS = 100 };

/* An increment or a fetch that memory failed for has done nothing: the caller may free some and try again. */
static bool try_again;
#define TRY(call) (code = (call), code = try_again && code == EPACT_E_NOMEM ? (call) : code)

typedef struct {
  epact_worker *worker;
  epact_table *dense, *sparse, *cells;
} player;

static int open_tables(player *p)
{
  static const epact_table_options
      dense = { .name = "dense", .rows = ROWS, .cols = 3, .type = EPACT_F64 },
      sparse = { .name = "sparse", .cols = 1000, .type = EPACT_I64, .sparse = true, .sparse_updates = true },
      cells = { .name = "cells", .rows = 50, .cols = 4, .type = EPACT_I32, .sparse_updates = true, .changes = true };
  int code = epact_table_open(p->worker, &dense, &p->dense);
  if (!code) code = epact_table_open(p->worker, &sparse, &p->sparse);
  if (!code) code = epact_table_open(p->worker, &cells, &p->cells);
  return code;
}

/* A clock's increments: 1 in two rows of each table and, in `sparse`, in a row of its own. */
static int increment(player *p, int64_t clock)
{
  static const double ones[3] = { 1, 1, 1 };
  static const uint32_t row[] = { 0, 9 }, col[] = { 1, 3 };
  static const int32_t delta[] = { 1, 1 };
  int code = EPACT_OK;
  TRY(epact_table_inc(p->dense, 0, 0, 1));
  if (!code) TRY(epact_table_inc_row(p->dense, ROWS - 1, ones));
  for (int i = 0; i < 20 && !code; i++) TRY(epact_table_inc(p->sparse, 7, i, 1));
  if (!code) TRY(epact_table_inc(p->sparse, 1000000 + clock, 5, 1));
  if (!code) TRY(epact_table_inc_many(p->cells, 2, row, col, delta));
  return code;
}

/* After `clocks` clocks of all workers. An increment that was just made is read as well; the other worker's may be,
 * too. */
static int read_all(player *p, double clocks)
{
  static const int64_t rows[] = { 7, 1000000, 5 };
  int code = EPACT_OK;
  for (int i = 0; i < MORE_CELLS && !code; i++) TRY(epact_table_inc(p->sparse, 7, 200 + i, 1));
  if (!code) TRY(epact_table_fetch(p->dense, ROWS, NULL));
  if (!code) TRY(epact_table_fetch(p->sparse, 3, rows));
  if (code) return code;
  const double *first = epact_table_get_f64(p->dense, 0), *last = epact_table_get_f64(p->dense, ROWS - 1);
  EXPECT(first && *first == WORKERS * clocks, "row 0 has %g at clock %g", first ? *first : -1, clocks);
  EXPECT(last && last[2] == WORKERS * clocks, "row 9 has %g at clock %g", last ? last[2] : -1, clocks);
  for (int64_t i = 0; i < 20; i++) {
    double cell = epact_table_cell(p->sparse, 7, i);
    EXPECT(cell == WORKERS * clocks, "cell %d has %g at clock %g", (int)i, cell, clocks);
  }
  for (int i = 0; i < MORE_CELLS; i++) {
    double own = epact_table_cell(p->sparse, 7, 200 + i);
    EXPECT(own >= 2 * clocks - 1 && own <= 2 * clocks, "its own increments are %g at clock %g", own, clocks);
  }
  return EPACT_OK;
}

static int read_changes(player *p, int64_t *seen)
{
  int64_t count;
  const epact_section *section;
  int code = epact_table_changes(p->cells, &count, &section);
  for (int64_t i = 0; i < count && !code; i++) *seen += section[i].start[section[i].rows];
  return code;
}

/* ---- one process ---- */

static int play_turns(epact_process *process)
{
  player p[WORKERS];
  int64_t seen[WORKERS] = { 0 };
  int code = EPACT_OK;
  for (int i = 0; i < WORKERS && !code; i++) {
    p[i].worker = epact_process_worker(process, i);
    code = p[i].worker ? open_tables(&p[i]) : epact_error_code();
  }
  if (!code && !epact_process_shared(process, "shared", 100)) code = epact_error_code();
  for (int64_t clock = 0; clock < CLOCKS && !code; clock++) {
    for (int i = 0; i < WORKERS && !code; i++) {
      code = increment(&p[i], clock);
      if (!code) code = epact_worker_clock(p[i].worker);
    }
    for (int i = 0; i < WORKERS && !code; i++) {
      code = read_all(&p[i], (double)clock + 1);
      if (!code) code = read_changes(&p[i], &seen[i]);
    }
  }
  for (int i = 0; i < WORKERS && !code; i++) {
    EXPECT(seen[i] == 2 * CLOCKS, "worker %d saw %d changes", i, (int)seen[i]);
    code = epact_worker_finish(p[i].worker);
  }
  return code ? code : epact_process_drain(process, 1);
}

static int one_process(bool deterministic)
{
  epact_process_options options = { .size = 1, .workers = WORKERS, .timeout = 1, .deterministic = deterministic };
  epact_process *process = epact_process_open(&options);
  int code = process ? play_turns(process) : epact_error_code();
  epact_process_close(process);
  return code;
}

static int in_any_order(void)
{
  return one_process(false);
}

static int again(void)
{
  try_again = true;
  int code = one_process(false);
  try_again = false;
  return code;
}

static int in_order(void)
{
  return one_process(true);
}

/* ---- two processes, as two threads ---- */

typedef struct {
  int rank, code;
  char sentence[1024];
} side;

static int play_side(epact_process *process)
{
  player p = { .worker = epact_process_worker(process, 0) };
  int64_t seen = 0;
  int code = p.worker ? open_tables(&p) : epact_error_code();
  for (int64_t clock = 0; clock < 2 && !code; clock++) {
    code = increment(&p, clock);
    if (!code) code = epact_worker_barrier(p.worker);
    if (!code) code = read_all(&p, (double)clock + 1);
    if (!code) code = epact_worker_barrier(p.worker); /* nobody increments while another reads */
    if (!code) code = read_changes(&p, &seen);
  }
  if (!code) EXPECT(seen == 4, "%d changes were seen", (int)seen);
  if (!code) code = epact_worker_finish(p.worker);
  if (!code) code = epact_process_drain(process, 2);
  return code == EPACT_E_AGAIN ? epact_fail(code, "the other process does not finish") : code;
}

static void *run_side(void *argument)
{
  side *s = argument;
  epact_process_options options = {
    .rank = s->rank, .size = 2, .workers = 1, .job = 7, .timeout = 1.5, .lease = 1, .root = "ipc://two"
  };
  epact_process *process = epact_process_open(&options);
  s->code = process ? play_side(process) : epact_error_code();
  snprintf(s->sentence, sizeof s->sentence, "%s", epact_error_message());
  if (s->code && process) epact_process_stop(process, s->sentence);
  epact_process_close(process);
  return NULL;
}

static bool is_consequence(int code)
{
  return code == EPACT_E_STOPPED || code == EPACT_E_AGAIN;
}

/* The code of the one that failed first, not that of the one it stopped. */
static int two_processes(void)
{
  side s[2] = { { .rank = 0 }, { .rank = 1 } };
  pthread_t thread;
  double start = epact_now();
  EXPECT(!pthread_create(&thread, NULL, run_side, &s[1]), "a thread starts");
  run_side(&s[0]);
  pthread_join(thread, NULL);
  EXPECT(epact_now() - start < 6, "a job that fails takes %.1f s (rank 0: %s; rank 1: %s)", epact_now() - start,
         s[0].sentence, s[1].sentence);
  const side *worst = !s[0].code || (is_consequence(s[0].code) && s[1].code) ? &s[1] : &s[0];
  return worst->code ? epact_fail(worst->code, "%s", worst->sentence) : EPACT_OK;
}

static void play_jobs(void)
{
  static const scene any_order = { "one process", in_any_order, NULL, 1, false },
                     deterministic = { "deterministic", in_order, NULL, 1, false },
                     trying_again = { "one process tries again", again, NULL, 1, true },
                     registering = { "two processes begin", two_processes, NULL, 1, true },
                     two = { "two processes", two_processes, NULL, 13, true };
  sweep(&any_order, EPACT_FAULT_MALLOC);
  sweep(&deterministic, EPACT_FAULT_MALLOC);
  sweep(&trying_again, EPACT_FAULT_MALLOC);
  sweep(&registering, EPACT_FAULT_THREAD);
  sweep(&registering, EPACT_FAULT_OPEN);
  sweep(&two, EPACT_FAULT_SEND);
  sweep(&two, EPACT_FAULT_MALLOC);
}

#endif
