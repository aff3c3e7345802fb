/* A disk that takes its time: workers wait for it, with two parts of a snapshot in memory at the most, and nothing is
 * lost; and so they do when it is the disk of another process. The disk is this program's fsync, which waits at a gate
 * with the parts of rank 0. */
#include "ps/ps.h"

#include "base/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CLOCKS = 12, MANY_CLOCKS = 200, FEW_CLOCKS = 100, ROWS = 4 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static bool shut;
static int waiting, clocks; /* syncs at the gate; clocks that have ended */
static int failures;

static void expect(bool held, const char *what)
{
  if (held) return;
  fprintf(stderr, "slow_disk: %s (%d clocks, %s)\n", what, clocks, epact_error_message());
  failures++;
}

static bool is_at_gate(int descriptor)
{
  char link[64], path[512];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = 0;
  return strstr(path, ".part-0") != NULL;
}

/* In place of the system's, for the whole program. */
int fsync(int descriptor)
{
  if (!is_at_gate(descriptor)) return fdatasync(descriptor);
  pthread_mutex_lock(&lock);
  waiting++;
  pthread_cond_broadcast(&moved);
  while (shut) pthread_cond_wait(&moved, &lock);
  waiting--;
  pthread_mutex_unlock(&lock);
  return fdatasync(descriptor);
}

static void set_gate(bool closed)
{
  pthread_mutex_lock(&lock);
  shut = closed;
  pthread_cond_broadcast(&moved);
  pthread_mutex_unlock(&lock);
}

/* A snapshot at every clock. */
static void count_to(epact_worker *worker, int end)
{
  epact_table_options options = { .name = "t", .rows = ROWS, .cols = 1, .type = EPACT_I64 };
  epact_table *table;
  expect(!epact_table_open(worker, &options, &table), "a table opens");
  for (int clock = 0; clock < end; clock++) {
    for (int64_t row = 0; row < ROWS; row++) expect(!epact_table_inc(table, row, 0, 1), "a row counts");
    expect(!epact_worker_clock(worker), "a clock ends");
    pthread_mutex_lock(&lock);
    clocks++;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
  }
  expect(!epact_worker_finish(worker), "the worker finishes");
}

static void *work(void *argument)
{
  count_to(argument, CLOCKS);
  return NULL;
}

/* The worker gets as far as two parts let it, and, watched for a while, no further. */
static void watch(int most)
{
  struct timespec deadline;
  pthread_mutex_lock(&lock);
  while (clocks < most || !waiting) pthread_cond_wait(&moved, &lock);
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += 1;
  int late = 0;
  while (clocks <= most && !late) late = pthread_cond_timedwait(&moved, &lock, &deadline);
  expect(clocks == most, "the worker waits for the disk");
  pthread_mutex_unlock(&lock);
}

static epact_process *open_job(const char *folder, int resume)
{
  epact_process_options options = {
    .size = 1, .workers = 1, .snapshots = folder, .snapshot_every = 1, .resume = resume, .resume_clock = -1
  };
  epact_process *process = epact_process_open(&options);
  if (process) return process;
  fprintf(stderr, "slow_disk: %s\n", epact_error_message());
  exit(1);
}

static void expect_counts(epact_worker *worker)
{
  epact_table_options options = { .name = "t", .rows = ROWS, .cols = 1, .type = EPACT_I64 };
  epact_table *table;
  int64_t row[ROWS] = { 0, 1, 2, 3 };
  expect(epact_worker_now(worker) == CLOCKS, "the last clock is in a snapshot");
  expect(!epact_table_open(worker, &options, &table) && !epact_table_fetch(table, ROWS, row), "the table is there");
  for (int i = 0; i < ROWS; i++) expect(epact_table_get_i64(table, i)[0] == CLOCKS, "and has every count");
}

static void drain(epact_process *process)
{
  int code;
  while ((code = epact_process_drain(process, 0.1)) == EPACT_E_AGAIN) continue;
  expect(!code, "all is written");
}

static void one_process(const char *folder)
{
  pthread_t thread;
  epact_process *process = open_job(folder, 0);
  set_gate(true);
  if (pthread_create(&thread, NULL, work, epact_process_worker(process, 0))) exit(1);
  watch(2);
  set_gate(false);
  pthread_join(thread, NULL);
  drain(process);
  epact_process_close(process);
  process = open_job(folder, EPACT_RESUME);
  expect_counts(epact_process_worker(process, 0));
  epact_process_close(process);
}

/* ---- the disk of another process ---- */

static const char *two_folder;
static char two_root[128];

static epact_process *open_rank(int rank)
{
  epact_process_options options = { .rank = rank,
                                    .size = 2,
                                    .workers = 1,
                                    .job = 3,
                                    .root = two_root,
                                    .snapshots = two_folder,
                                    .snapshot_every = 1,
                                    .resume_clock = -1 };
  epact_process *process = epact_process_open(&options);
  if (process) return process;
  fprintf(stderr, "slow_disk: rank %d: %s\n", rank, epact_error_message());
  exit(1);
}

static void *run_rank_1(void *argument)
{
  epact_process *process = open_rank(1);
  (void)argument;
  pthread_mutex_lock(&lock);
  while (!shut) pthread_cond_wait(&moved, &lock);
  pthread_mutex_unlock(&lock);
  count_to(epact_process_worker(process, 0), MANY_CLOCKS);
  drain(process);
  epact_process_close(process);
  return NULL;
}

/* Its own worker, which would wait for it, has finished. */
static void two_processes(const char *folder)
{
  pthread_t thread;
  struct timespec deadline;
  two_folder = folder;
  snprintf(two_root, sizeof two_root, "ipc://%s/root", folder);
  clocks = 0;
  if (pthread_create(&thread, NULL, run_rank_1, NULL)) exit(1);
  epact_process *process = open_rank(0);
  set_gate(true);
  expect(!epact_worker_finish(epact_process_worker(process, 0)), "a worker finishes");
  pthread_mutex_lock(&lock);
  for (int seen = -1; clocks < FEW_CLOCKS && (!waiting || seen != clocks);) { /* until nothing moves for a second */
    seen = clocks;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 1;
    while (clocks == seen && !pthread_cond_timedwait(&moved, &lock, &deadline)) continue;
  }
  expect(clocks < FEW_CLOCKS, "the worker waits for the disk of rank 0");
  pthread_mutex_unlock(&lock);
  set_gate(false);
  drain(process);
  expect(epact_process_durable(process) >= MANY_CLOCKS, "all is durable");
  epact_process_close(process);
  pthread_join(thread, NULL);
}

int main(void)
{
  char folder[] = "/tmp/epact-slow-XXXXXX", part[2][64], command[64];
  alarm(60); /* what hangs has failed */
  if (!mkdtemp(folder)) return 1;
  for (int i = 0; i < 2; i++) snprintf(part[i], sizeof part[i], "%s/%d", folder, i);
  one_process(part[0]);
  two_processes(part[1]);
  snprintf(command, sizeof command, "rm -rf %s", folder);
  expect(!system(command), "the folder goes");
  return failures != 0;
}
