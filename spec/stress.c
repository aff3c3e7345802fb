/* The server in one process under real threads, through its public functions alone: what a read may
 * see while others publish. In some rounds the process plays several, which reach each other over ipc. Meant for the
 * thread and address sanitizers. No sleeping: a worker that is slow counts. Orders between threads must come from the
 * server, so all of this file's own shared numbers are relaxed atomics.
 *
 *   stress [ROUNDS [SEED]]     default 300 rounds */
#include "ps/ps.h"

#include "base/internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_WORKERS = 8, MAX_PROCESSES = 3, CLOCKS = 40, COLS = 4, FORMS = 3 };

static const char *const form_name[FORMS] = { "dense", "sparse updates", "sparse" };

typedef struct {
  int workers, form, type;
  bool deterministic, changes, push;
  int processes; /* worker i lives in process i * processes / workers */
  int64_t staleness, cache_rows;
  uint64_t seed;
} setting;

typedef struct {
  setting set;
  epact_process *process; /* the only one, or the first */
  epact_process *all[MAX_PROCESSES];
  _Atomic int64_t published[MAX_WORKERS]; /* clocks begun to be published */
  _Atomic int64_t reads, rows, changes, violations;
} round_state;

typedef struct {
  round_state *round;
  int local;
  epact_worker *worker;
  epact_table *table;
  epact_rng rng;
  int64_t changed[MAX_WORKERS];
} actor;

static int64_t load(_Atomic int64_t *number)
{
  return atomic_load_explicit(number, memory_order_relaxed);
}

static void count(_Atomic int64_t *number, int64_t more)
{
  atomic_fetch_add_explicit(number, more, memory_order_relaxed);
}

#define EXPECT(round, held, ...)                                                                                       \
  do {                                                                                                                 \
    if (!(held)) {                                                                                                     \
      fprintf(stderr, "stress:%d: %d workers, %s, staleness %lld%s: ", __LINE__, (round)->set.workers,                 \
              form_name[(round)->set.form], (long long)(round)->set.staleness,                                         \
              (round)->set.deterministic ? ", deterministic" : "");                                                    \
      fprintf(stderr, __VA_ARGS__);                                                                                    \
      fputc('\n', stderr);                                                                                             \
      count(&(round)->violations, 1);                                                                                  \
    }                                                                                                                  \
  } while (0)

#define EXPECT_OK(round, call) EXPECT(round, (call) == EPACT_OK, "%s", epact_error_message())

static void be_busy(actor *a)
{
  volatile int64_t spun = 0;
  int64_t turns = epact_rng_below(&a->rng, a->local == 0 && epact_rng_below(&a->rng, 4) == 0 ? 60000 : 3000);
  while (spun < turns) spun++;
}

/* ---- the table: row q counts worker q's clocks; two more rows are always incremented together ---- */

static int open_counts(epact_worker *worker, const setting *set, const char *name, epact_table **table)
{
  epact_table_options options = { .name = name,
                                  .rows = set->workers + 2,
                                  .cols = COLS,
                                  .type = set->type,
                                  .sparse = set->form == 2,
                                  .sparse_updates = set->form == 1,
                                  .changes = set->changes,
                                  .push = set->push,
                                  .staleness = set->staleness };
  return epact_table_open(worker, &options, table);
}

static void count_clock(actor *a)
{
  round_state *round = a->round;
  int twins = round->set.workers;
  int64_t col = epact_rng_below(&a->rng, COLS);
  EXPECT_OK(round, epact_table_inc(a->table, a->local, 1, 1));
  for (int twin = 0; twin < 2; twin++) {
    EXPECT_OK(round, epact_table_inc(a->table, twins + twin, 0, 1));
    EXPECT_OK(round, epact_table_inc(a->table, twins + twin, col, 3));
    EXPECT_OK(round, epact_table_inc(a->table, twins + twin, col, -3));
  }
}

static int64_t need_of(const round_state *round, int64_t clock)
{
  return round->set.staleness == INT64_MAX || round->set.staleness > clock ? 0 : clock - round->set.staleness;
}

/* One fetch of all rows: the bound, read-my-writes, nothing unpublished, the twins equal. `own`: this
 * worker's increments so far. */
static void read_counts(actor *a, int64_t need, int64_t own)
{
  round_state *round = a->round;
  int workers = round->set.workers;
  int64_t clock = epact_worker_now(a->worker);
  int code = epact_table_fetch(a->table, workers + 2, NULL);
  EXPECT_OK(round, code);
  if (code) return;
  for (int q = 0; q < workers; q++) {
    int64_t seen = (int64_t)epact_table_cell(a->table, q, 1), published = load(&round->published[q]);
    if (q == a->local)
      EXPECT(round, seen == own, "worker %d sees %lld of its own %lld", q, (long long)seen, (long long)own);
    else
      EXPECT(round, seen >= need && seen <= published && (!round->set.deterministic || seen == clock),
             "worker %d at clock %lld sees %lld of worker %d, needs %lld, published %lld", a->local, (long long)clock,
             (long long)seen, q, (long long)need, (long long)published);
  }
  for (int col = 0; col < COLS && round->set.processes < 2; col++) { /* else they are on two shards */
    double one = epact_table_cell(a->table, workers, col), other = epact_table_cell(a->table, workers + 1, col);
    EXPECT(round, one == other, "the twins are %g and %g in column %d", one, other, col);
  }
  count(&round->reads, 1);
  count(&round->rows, workers + 2);
}

/* What others have changed sums to their counts: each increment once. */
static void read_changes(actor *a, int64_t need)
{
  round_state *round = a->round;
  int64_t sections;
  const epact_section *section;
  if (!round->set.changes) return;
  EXPECT_OK(round, epact_table_changes(a->table, &sections, &section));
  for (int64_t i = 0; i < sections; i++) {
    for (int64_t r = 0; r < section[i].rows; r++) {
      if (section[i].row[r] >= round->set.workers) continue;
      a->changed[section[i].row[r]] += ((const int64_t *)section[i].value)[section[i].start[r]];
    }
  }
  for (int q = 0; q < round->set.workers; q++) {
    int64_t low = q == a->local ? 0 : need, high = q == a->local ? 0 : load(&round->published[q]);
    EXPECT(round, a->changed[q] >= low && a->changed[q] <= high,
           "worker %d has changes up to %lld of worker %d, not %lld .. %lld", a->local, (long long)a->changed[q], q,
           (long long)low, (long long)high);
  }
  count(&round->changes, 1);
}

static void publish(actor *a, bool barrier)
{
  count(&a->round->published[a->local], 1);
  EXPECT_OK(a->round, barrier ? epact_worker_barrier(a->worker) : epact_worker_clock(a->worker));
}

static void *work(void *argument)
{
  actor *a = argument;
  round_state *round = a->round;
  EXPECT_OK(round, open_counts(a->worker, &round->set, "counts", &a->table));
  for (int64_t clock = 0; a->table && clock < CLOCKS; clock++) {
    int64_t floor = clock / 8 * 8, need = need_of(round, clock);
    if (need < floor) need = floor;
    be_busy(a);
    read_counts(a, need, clock);
    count_clock(a);
    if (epact_rng_below(&a->rng, 2)) read_counts(a, need, clock + 1);
    if (epact_rng_below(&a->rng, 2)) read_changes(a, need);
    be_busy(a);
    publish(a, clock % 8 == 7);
  }
  /* The last clock ended with a barrier: everything is there. */
  if (a->table) {
    read_counts(a, CLOCKS, CLOCKS);
    read_changes(a, CLOCKS);
    double twins = epact_table_cell(a->table, round->set.workers, 0);
    EXPECT(round, twins == (double)CLOCKS * round->set.workers, "the twins end as %g", twins);
  }
  EXPECT_OK(round, epact_worker_finish(a->worker));
  return NULL;
}

static epact_worker *worker_of(const round_state *round, int i)
{
  int processes = round->set.processes, workers = round->set.workers;
  if (processes < 2) return epact_process_worker(round->process, i);
  int rank = i * processes / workers, first = (rank * workers + processes - 1) / processes;
  return epact_process_worker(round->all[rank], i - first);
}

static void run_threads(round_state *round, void *(*function)(void *), actor *actors)
{
  pthread_t thread[MAX_WORKERS];
  for (int i = 0; i < round->set.workers; i++) {
    actors[i].round = round;
    actors[i].local = i;
    actors[i].worker = worker_of(round, i);
    actors[i].rng = epact_rng_stream(round->set.seed, 1, (uint64_t)i);
    EXPECT(round, !pthread_create(&thread[i], NULL, function, &actors[i]), "a thread starts");
  }
  for (int i = 0; i < round->set.workers; i++) pthread_join(thread[i], NULL);
}

static bool open_process(round_state *round, double timeout)
{
  epact_process_options options = {
    .size = 1, .workers = round->set.workers, .deterministic = round->set.deterministic, .timeout = timeout
  };
  round->process = epact_process_open(&options);
  EXPECT(round, round->process, "%s", epact_error_message());
  return round->process != NULL;
}

/* ---- several processes ---- */

typedef struct {
  round_state *round;
  int rank;
  char root[64];
} opening;

static void *open_one(void *argument)
{
  opening *o = argument;
  const setting *set = &o->round->set;
  int workers = 0;
  for (int i = 0; i < set->workers; i++) workers += i * set->processes / set->workers == o->rank;
  epact_process_options options = { .rank = o->rank,
                                    .size = set->processes,
                                    .workers = workers,
                                    .deterministic = set->deterministic,
                                    .job = set->seed,
                                    .timeout = 60,
                                    .lease = 60,
                                    .root = o->root,
                                    .cache_rows = set->cache_rows };
  o->round->all[o->rank] = epact_process_open(&options);
  EXPECT(o->round, o->round->all[o->rank], "%s", epact_error_message());
  return NULL;
}

/* Each waits for all: they are opened at once. */
static bool open_processes(round_state *round, const char *folder)
{
  pthread_t thread[MAX_PROCESSES];
  opening one[MAX_PROCESSES];
  bool all = true;
  for (int rank = 0; rank < round->set.processes; rank++) {
    one[rank] = (opening){ .round = round, .rank = rank };
    snprintf(one[rank].root, sizeof one[rank].root, "ipc://%.48s/root", folder);
    EXPECT(round, !pthread_create(&thread[rank], NULL, open_one, &one[rank]), "a thread starts");
  }
  for (int rank = 0; rank < round->set.processes; rank++) {
    pthread_join(thread[rank], NULL);
    all = all && round->all[rank];
  }
  return all;
}

static void close_processes(round_state *round)
{
  double end = epact_now() + 60;
  for (int rank = 0, left = round->set.processes; left && epact_now() < end; rank = (rank + 1) % round->set.processes) {
    int code = epact_process_drain(round->all[rank], 0.01);
    if (code != EPACT_E_AGAIN) EXPECT_OK(round, code);
    left = code ? round->set.processes : left - 1; /* all of them, one after another */
    EXPECT(round, left == 0 || epact_now() < end, "the processes do not part");
  }
  for (int rank = 0; rank < round->set.processes; rank++) epact_process_close(round->all[rank]);
}

static void counting_apart(round_state *round)
{
  actor actors[MAX_WORKERS];
  char folder[] = "/tmp/epact-stress-XXXXXX";
  memset(actors, 0, sizeof actors);
  EXPECT(round, mkdtemp(folder), "a folder for sockets");
  if (open_processes(round, folder)) {
    run_threads(round, work, actors);
    close_processes(round);
  }
  char path[96];
  for (int rank = 0; rank < round->set.processes; rank++) {
    snprintf(path, sizeof path, rank ? "%s/root.%d" : "%s/root", folder, rank);
    unlink(path);
  }
  EXPECT(round, !rmdir(folder), "the folder is empty again");
}

static setting draw_setting(uint64_t seed, int number)
{
  static const int64_t staleness[] = { 0, 1, 2, 3, 4, INT64_MAX };
  epact_rng rng = epact_rng_stream(seed, 0, (uint64_t)number);
  setting set = { .workers = 2 + (int)epact_rng_below(&rng, 7), .form = number % FORMS, .seed = epact_rng_next(&rng) };
  set.deterministic = epact_rng_below(&rng, 5) == 0;
  set.staleness = set.deterministic ? 0 : staleness[number / FORMS % 6];
  set.changes = set.form && epact_rng_below(&rng, 2);
  set.type = set.changes ? EPACT_I64 : (int)epact_rng_below(&rng, 4);
  set.push = epact_rng_below(&rng, 3) > 0;
  /* Few: every race in libzmq costs the thread sanitizer a look at its suppressions. */
  set.processes = number % 30 == 4 ? 2 + (int)epact_rng_below(&rng, 2) : 1;
  if (set.workers < set.processes) set.processes = set.workers;
  set.cache_rows = epact_rng_below(&rng, 3) ? 0 : 1 + epact_rng_below(&rng, 4);
  return set;
}

static void counting(round_state *round)
{
  actor actors[MAX_WORKERS];
  memset(actors, 0, sizeof actors);
  if (round->set.processes > 1) {
    counting_apart(round);
    return;
  }
  if (!open_process(round, 60)) return;
  run_threads(round, work, actors);
  EXPECT_OK(round, epact_process_drain(round->process, 0));
  epact_process_close(round->process);
}

/* ---- stopping ---- */

/* Worker 0 never publishes; the others wait for it until the job is stopped from here. */
static void *wait_for_stop(void *argument)
{
  actor *a = argument;
  round_state *round = a->round;
  EXPECT_OK(round, open_counts(a->worker, &round->set, "counts", &a->table));
  if (a->local == 0) { /* stops the job when all others are about to wait */
    for (int q = 1; q < round->set.workers; q++) {
      while (!load(&round->published[q])) be_busy(a);
    }
    be_busy(a);
    epact_process_stop(round->process, "enough");
    epact_process_stop(round->process, "a later reason");
    return NULL;
  }
  EXPECT_OK(round, epact_worker_clock(a->worker));
  count(&round->published[a->local], 1);
  int code = a->local % 2 ? epact_table_fetch(a->table, 1, NULL) : epact_worker_barrier(a->worker);
  EXPECT(round, code == EPACT_E_STOPPED && !strncmp(epact_error_message(), "enough", 6), "waiting ends with %s: %s",
         epact_error_name(code), epact_error_message());
  EXPECT(round, epact_worker_stopped(a->worker), "a worker can ask");
  EXPECT(round, epact_worker_clock(a->worker) == EPACT_E_STOPPED, "and can do no more");
  return NULL;
}

static void stopping(round_state *round)
{
  actor actors[MAX_WORKERS];
  memset(actors, 0, sizeof actors);
  if (!open_process(round, 60)) return;
  run_threads(round, wait_for_stop, actors);
  EXPECT(round, epact_process_drain(round->process, 10) == EPACT_E_STOPPED, "draining ends, too");
  EXPECT(round, !strcmp(epact_process_stopped(round->process), "enough"), "the first reason is kept");
  epact_process_close(round->process);
}

static void *time_out(void *argument)
{
  actor *a = argument;
  round_state *round = a->round;
  EXPECT_OK(round, open_counts(a->worker, &round->set, "counts", &a->table));
  if (a->local == 0) return NULL;
  EXPECT_OK(round, epact_worker_clock(a->worker));
  EXPECT(round, epact_table_fetch(a->table, 1, NULL) == EPACT_E_TIMEOUT, "a wait ends in time");
  EXPECT(round, strstr(epact_error_message(), "worker 0 (rank 0), which is at clock 0 of 1"), "and says for whom: %s",
         epact_error_message());
  return NULL;
}

static void timing_out(round_state *round)
{
  actor actors[MAX_WORKERS];
  memset(actors, 0, sizeof actors);
  if (!open_process(round, 0.02)) return;
  run_threads(round, time_out, actors);
  EXPECT(round, epact_process_drain(round->process, 0) == EPACT_E_AGAIN, "draining looks once");
  epact_process_close(round->process);
}

/* ---- memory of the process ---- */

static void *share(void *argument)
{
  actor *a = argument;
  round_state *round = a->round;
  for (int i = 0; i < 50; i++) {
    char name[24];
    snprintf(name, sizeof name, "block %d", i);
    int64_t *block = epact_process_shared(round->process, name, MAX_WORKERS * sizeof *block);
    EXPECT(round, block && block[a->local] == 0, "a block is zero at first");
    if (block) block[a->local] = a->local + 1;
  }
  EXPECT(round, !epact_process_shared(round->process, "block 0", 8) && epact_error_code() == EPACT_E_SCHEMA,
         "another size is refused");
  return NULL;
}

static void sharing(round_state *round)
{
  actor actors[MAX_WORKERS];
  memset(actors, 0, sizeof actors);
  if (!open_process(round, 60)) return;
  run_threads(round, share, actors);
  int64_t *block = epact_process_shared(round->process, "block 49", MAX_WORKERS * sizeof *block);
  for (int i = 0; i < round->set.workers; i++) EXPECT(round, block[i] == i + 1, "all write to one block");
  epact_process_close(round->process);
}

int main(int arguments, char **argument)
{
  int rounds = arguments > 1 ? atoi(argument[1]) : 300;
  uint64_t seed = arguments > 2 ? strtoull(argument[2], NULL, 0) : 1;
  int64_t reads = 0, rows = 0, changes = 0, violations = 0;
  for (int i = 0; i < rounds + 3; i++) {
    round_state round;
    memset(&round, 0, sizeof round);
    round.set = draw_setting(seed, i);
    if (i < rounds)
      counting(&round);
    else {
      round.set = (setting){ .workers = 4, .type = EPACT_I64, .seed = seed };
      (i == rounds ? stopping : i == rounds + 1 ? timing_out : sharing)(&round);
    }
    reads += round.reads;
    rows += round.rows;
    changes += round.changes;
    violations += round.violations;
  }
  printf("stress: %d rounds, %lld reads of %lld rows, %lld reads of changes, %lld violations\n", rounds,
         (long long)reads, (long long)rows, (long long)changes, (long long)violations);
  return violations != 0;
}
