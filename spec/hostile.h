/* A good job of two processes, each a thread of this program, and what strangers do beside it. The workers
 * count clocks in a table until they are told to end; then every count must be there, exactly once. */
#ifndef EPACT_SPEC_HOSTILE_H
#define EPACT_SPEC_HOSTILE_H

#include "ps/net.h"

#include "base/internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

static int violations;

#define EXPECT(held, ...)                                                                                              \
  do {                                                                                                                 \
    if (!(held)) {                                                                                                     \
      printf("%s:%d: ", __FILE__, __LINE__);                                                                           \
      printf(__VA_ARGS__);                                                                                             \
      putchar('\n');                                                                                                   \
      violations++;                                                                                                    \
    }                                                                                                                  \
  } while (0)

#define PATIENCE 20.0 /* seconds; a sanitizer is slow */

/* Until `condition` holds or PATIENCE is over: for what another thread does. */
#define AWAIT(condition)                                                                                               \
  for (double await_end = epact_now() + PATIENCE; !(condition) && epact_now() < await_end;) zmq_poll(NULL, 0, 2)

typedef struct {
  char root[64];
  int port;
  const char *keys[2]; /* by rank; NULL: none */
  uint64_t number;
  epact_process *process[2];
  int code[2];
  char message[2][512];
  int64_t sum[2][2]; /* read at the end: by rank, by row */
  pthread_t thread[2];
  pthread_mutex_t lock;
  bool end;
  int64_t begun, last; /* clocks; last: -1 while they go on */
} good_job;

typedef struct {
  good_job *job;
  int rank;
} good_rank;

static int free_port(void)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t length = sizeof address;
  int s = socket(AF_INET, SOCK_STREAM, 0);
  bool got =
      s >= 0 && !bind(s, (struct sockaddr *)&address, length) && !getsockname(s, (struct sockaddr *)&address, &length);
  if (s >= 0) close(s);
  return got ? ntohs(address.sin_port) : 0;
}

/* Whether a worker goes on with this clock: both end at the same one. */
static bool goes_on(good_job *job, int64_t clock)
{
  pthread_mutex_lock(&job->lock);
  if (job->end && job->last < 0) job->last = job->begun;
  bool go = job->last < 0 || clock < job->last;
  if (go && clock + 1 > job->begun) job->begun = clock + 1;
  pthread_mutex_unlock(&job->lock);
  return go;
}

static int64_t clocks_begun(good_job *job)
{
  pthread_mutex_lock(&job->lock);
  int64_t begun = job->begun;
  pthread_mutex_unlock(&job->lock);
  return begun;
}

enum { WIDE = 300000 }; /* 2.4 MB: rows that travel in three parts, to the other shard and back */

/* Both ranks add 1 + column to both rows; every cell must be there at the end. */
static int add_wide(epact_worker *worker, epact_table **table)
{
  epact_table_options options = { .name = "wide", .rows = 2, .cols = WIDE, .type = EPACT_F64, .staleness = 1 };
  double *delta = epact_malloc(WIDE * sizeof *delta);
  int code = delta ? epact_table_open(worker, &options, table) : EPACT_E_NOMEM;
  for (int i = 0; i < WIDE && delta; i++) delta[i] = 1 + i;
  for (int row = 0; row < 2 && !code; row++) code = epact_table_inc_row(*table, row, delta);
  free(delta);
  return code;
}

static int check_wide(epact_table *table)
{
  int code = epact_table_fetch(table, 2, NULL);
  for (int row = 0; row < 2 && !code; row++) {
    const double *values = epact_table_get_f64(table, row);
    for (int i = 0; i < WIDE; i++) {
      if (values[i] != 2.0 * (1 + i))
        return epact_fail(EPACT_E_CORRUPT, "wide row %d, column %d is %g", row, i, values[i]);
    }
  }
  return code;
}

static int count_clocks(good_job *job, int rank, epact_worker *worker)
{
  epact_table *table, *wide = NULL;
  epact_table_options options = { .name = "clocks", .rows = 2, .cols = 1, .type = EPACT_I64, .staleness = 1 };
  int code = epact_table_open(worker, &options, &table);
  if (!code) code = add_wide(worker, &wide);
  for (int64_t clock = 0; !code && goes_on(job, clock); clock++) {
    code = epact_table_inc(table, rank, 0, 1);
    if (!code) code = epact_worker_clock(worker);
    if (!code) code = epact_table_fetch(table, 2, NULL);
  }
  if (!code) code = epact_worker_barrier(worker);
  if (!code) code = check_wide(wide);
  if (!code) code = epact_table_fetch(table, 2, NULL);
  for (int row = 0; row < 2 && !code; row++) job->sum[rank][row] = *epact_table_get_i64(table, row);
  return code ? code : epact_worker_finish(worker);
}

static void *run_rank(void *argument)
{
  good_job *job = ((good_rank *)argument)->job;
  int rank = ((good_rank *)argument)->rank;
  epact_process_options options = { .rank = rank,
                                    .size = 2,
                                    .workers = 1,
                                    .job = job->number,
                                    .timeout = PATIENCE,
                                    .lease = PATIENCE,
                                    .elastic = 1,
                                    .root = job->root,
                                    .keys = job->keys[rank] };
  epact_process *process = epact_process_open(&options);
  pthread_mutex_lock(&job->lock);
  job->process[rank] = process;
  pthread_mutex_unlock(&job->lock);
  int code = process ? count_clocks(job, rank, epact_process_worker(process, 0)) : epact_error_code();
  if (!code) code = epact_process_drain(process, PATIENCE);
  job->code[rank] = code;
  snprintf(job->message[rank], sizeof job->message[rank], "%s", code ? epact_error_message() : "");
  if (code && process) epact_process_stop(process, epact_error_message());
  return NULL;
}

/* Starts it and waits until it is at work. */
static void good_job_start(good_job *job, const char *keys0, const char *keys1)
{
  static good_rank rank[2];
  memset(job, 0, sizeof *job);
  job->port = free_port();
  job->number = 77;
  job->last = -1;
  job->keys[0] = keys0;
  job->keys[1] = keys1;
  snprintf(job->root, sizeof job->root, "tcp://127.0.0.1:%d", job->port);
  pthread_mutex_init(&job->lock, NULL);
  for (int i = 0; i < 2; i++) {
    rank[i] = (good_rank){ job, i };
    EXPECT(!pthread_create(&job->thread[i], NULL, run_rank, &rank[i]), "a thread starts");
  }
  AWAIT(clocks_begun(job) > 5);
  EXPECT(clocks_begun(job) > 5, "the good job is at work");
}

/* Still alive: it gets on by so many clocks. */
static void good_job_gets_on(good_job *job, const char *beside)
{
  int64_t goal = clocks_begun(job) + 20;
  AWAIT(clocks_begun(job) >= goal);
  EXPECT(clocks_begun(job) >= goal, "the good job gets on beside %s", beside);
}

/* Its workers finish; its processes are still there. */
static void good_job_finish(good_job *job)
{
  pthread_mutex_lock(&job->lock);
  job->end = true;
  pthread_mutex_unlock(&job->lock);
  for (int rank = 0; rank < 2; rank++) {
    pthread_join(job->thread[rank], NULL);
    EXPECT(!job->code[rank], "rank %d ended with %s: %s", rank, epact_error_name(job->code[rank]), job->message[rank]);
    for (int row = 0; row < 2; row++) {
      EXPECT(job->sum[rank][row] == job->last, "rank %d reads %" PRId64 " clocks of rank %d, not %" PRId64, rank,
             job->sum[rank][row], row, job->last);
    }
  }
}

static void good_job_close(good_job *job)
{
  for (int rank = 0; rank < 2; rank++) epact_process_close(job->process[rank]);
  pthread_mutex_destroy(&job->lock);
}

static inline void good_job_end(good_job *job)
{
  good_job_finish(job);
  good_job_close(job);
}

static double refused(good_job *job, int reason)
{
  epact_refusals refusals;
  epact_process_refusals(job->process[0], &refusals);
  return refusals.count[reason];
}

/* Rank 0 comes to count `more` refusals of that reason than `before`. */
static void expect_refused(good_job *job, int reason, double before, double more, const char *what)
{
  AWAIT(refused(job, reason) >= before + more);
  double now = refused(job, reason);
  EXPECT(now == before + more, "%s: %g refusals of '%s', not %g", what, now - before, epact_refusal_name(reason), more);
}

/* ---- a stranger's socket ---- */

typedef struct {
  void *context, *socket;
} stranger;

/* server: the server's public key; NULL: a connection without keys. */
static stranger stranger_open(const good_job *job, const char *server, const char *public_key, const char *secret)
{
  int linger = 0;
  stranger s = { zmq_ctx_new(), NULL };
  s.socket = zmq_socket(s.context, ZMQ_DEALER);
  zmq_setsockopt(s.socket, ZMQ_LINGER, &linger, sizeof linger);
  if (server) {
    zmq_setsockopt(s.socket, ZMQ_CURVE_SERVERKEY, server, EPACT_KEY_BYTES);
    zmq_setsockopt(s.socket, ZMQ_CURVE_PUBLICKEY, public_key, EPACT_KEY_BYTES);
    zmq_setsockopt(s.socket, ZMQ_CURVE_SECRETKEY, secret, EPACT_KEY_BYTES);
  }
  EXPECT(!zmq_connect(s.socket, job->root), "a stranger connects");
  return s;
}

static void stranger_close(stranger *s)
{
  zmq_close(s->socket);
  zmq_ctx_term(s->context);
}

static size_t encode(const epact_message *message, uint64_t number, char *frame)
{
  size_t bytes = 0;
  EXPECT(!epact_wire_encode(message, number, frame, &bytes), "a frame: %s", epact_error_message());
  return bytes;
}

#endif
