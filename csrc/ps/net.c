/* Frames between the processes of a job, over ZeroMQ: each process binds one ROUTER, to receive, and
 * connects one DEALER to every other, to send. One thread owns the sockets; others queue frames and
 * wake it through a pipe. Routing ids are not used: a frame says who sent it. */
#include "process.h"

#include "../base/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define REGISTER_EVERY 0.2   /* seconds between registrations, until the members are known */
#define REGISTER_WITHIN 60.0 /* seconds a process waits for the others to come, at most */
#define LINGER_MILLISECONDS 5000
#define STOPPED_LINGER_MILLISECONDS 200 /* only the reason is left to be told, maybe to a dead process */
#define ENDPOINT_BYTES 256

typedef struct frame {
  struct frame *next;
  int rank;
  size_t bytes;
  char *data;
} frame;

struct epact_net {
  epact_process *process;
  int32_t rank, size;
  double patience; /* seconds this process waits for the others to register */
  uint64_t job;
  void *context, *router, **dealer; /* dealer[rank]; NULL for this process */
  char (*endpoint)[ENDPOINT_BYTES]; /* by rank */
  epact_letter *early, **early_end; /* came before this process knew the members */
  bool started;
  pthread_t thread;
  int wake[2];
  pthread_mutex_t queue_lock;
  frame *queue, **queue_end;
  bool closing;
  uint64_t refused; /* frames that were not accepted */
};

static int fail_zmq(const char *what, const char *endpoint)
{
  return epact_fail(EPACT_E_SYSTEM, "%s %s: %s", what, endpoint, zmq_strerror(zmq_errno()));
}

static bool is_local(const char *endpoint)
{
  return !strncmp(endpoint, "ipc://", 6) || !strncmp(endpoint, "tcp://127.", 10) ||
         !strncmp(endpoint, "tcp://localhost:", 16);
}

/* ---- sockets ---- */

static void *new_socket(epact_net *net, int type)
{
  void *socket = zmq_socket(net->context, type);
  int linger = LINGER_MILLISECONDS, unlimited = 0;
  int64_t largest = (int64_t)EPACT_WIRE_LIMIT;
  if (!socket) return NULL;
  zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
  zmq_setsockopt(socket, ZMQ_SNDHWM, &unlimited, sizeof unlimited);
  zmq_setsockopt(socket, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
  zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest);
  return socket;
}

/* An endpoint of an earlier job of this process may take a moment to be free again. */
static int bind_endpoint(epact_net *net, const char *endpoint, double end)
{
  while (zmq_bind(net->router, endpoint)) {
    if (zmq_errno() != EADDRINUSE || epact_now() > end) return fail_zmq("cannot bind", endpoint);
    zmq_poll(NULL, 0, 20);
  }
  size_t bytes = ENDPOINT_BYTES;
  if (zmq_getsockopt(net->router, ZMQ_LAST_ENDPOINT, net->endpoint[net->rank], &bytes)) {
    return fail_zmq("cannot name", endpoint);
  }
  return EPACT_OK;
}

static int connect_to(epact_net *net, int rank)
{
  net->dealer[rank] = new_socket(net, ZMQ_DEALER);
  if (!net->dealer[rank] || zmq_connect(net->dealer[rank], net->endpoint[rank])) {
    return fail_zmq("cannot connect to", net->endpoint[rank]);
  }
  return EPACT_OK;
}

static void free_data(void *data, void *hint)
{
  (void)hint;
  free(data);
}

/* Hands the bytes over to ZeroMQ. */
static int send_bytes(epact_net *net, int rank, char *data, size_t bytes)
{
  zmq_msg_t message;
  if (zmq_msg_init_data(&message, data, bytes, free_data, NULL)) {
    free(data);
    return EPACT_E_NOMEM;
  }
  while (zmq_msg_send(&message, net->dealer[rank], ZMQ_DONTWAIT) < 0) {
    if (zmq_errno() == EINTR) continue;
    zmq_msg_close(&message);
    return fail_zmq("cannot send to", net->endpoint[rank]);
  }
  return EPACT_OK;
}

static int send_now(epact_net *net, int rank, const epact_message *message)
{
  size_t bytes;
  epact_message stamped = *message;
  stamped.sender = net->rank;
  char *data = epact_malloc(epact_wire_size(message));
  if (!data) return EPACT_E_NOMEM;
  int code = epact_wire_encode(&stamped, net->job, data, &bytes);
  if (code) {
    free(data);
    return code;
  }
  return send_bytes(net, rank, data, bytes);
}

/* The next frame, decoded, in memory of its own (which is aligned; ZeroMQ's need not be). A letter that
 * is refused is counted and said on stderr. NULL when none is there. */
static epact_letter *receive(epact_net *net)
{
  for (;;) {
    zmq_msg_t identity, body;
    zmq_msg_init(&identity);
    zmq_msg_init(&body);
    bool got = zmq_msg_recv(&identity, net->router, ZMQ_DONTWAIT) >= 0;
    bool whole = got && zmq_msg_more(&identity) && zmq_msg_recv(&body, net->router, ZMQ_DONTWAIT) >= 0;
    bool more = whole ? zmq_msg_more(&body) : false;
    size_t bytes = whole ? zmq_msg_size(&body) : 0;
    epact_letter *letter = whole && !more ? epact_calloc(1, sizeof *letter) : NULL;
    char *copy = letter ? epact_malloc(bytes) : NULL;
    if (copy) memcpy(copy, zmq_msg_data(&body), bytes);
    while (more) { /* parts nobody of us sends */
      zmq_msg_close(&body);
      zmq_msg_init(&body);
      if (zmq_msg_recv(&body, net->router, ZMQ_DONTWAIT) < 0) break;
      more = zmq_msg_more(&body);
    }
    zmq_msg_close(&identity);
    zmq_msg_close(&body);
    if (copy && !epact_wire_decode(copy, bytes, net->job, &letter->decoded)) {
      letter->frame = copy;
      return letter;
    }
    free(copy);
    free(letter);
    if (!got) return NULL;
    net->refused++;
    fprintf(stderr, "epact: rank %d refused a frame: %s\n", net->rank, epact_error_message());
  }
}

static void free_letter(epact_letter *letter)
{
  epact_decoded_free(&letter->decoded);
  free(letter->frame);
  free(letter);
}

/* ---- registration ---- */

static int missing_ranks(const epact_net *net, char *text, size_t bytes)
{
  int missing = 0;
  size_t length = 0;
  text[0] = 0;
  for (int rank = 0; rank < net->size; rank++) {
    if (*net->endpoint[rank]) continue;
    missing++;
    if (length + 16 < bytes)
      length += (size_t)snprintf(text + length, bytes - length, "%s%d", missing > 1 ? ", " : "", rank);
  }
  return missing;
}

/* 1: a frame is there, 0: not yet; negative: a signal came, or the socket failed. */
static int wait_readable(epact_net *net, double seconds)
{
  zmq_pollitem_t item = { net->router, 0, ZMQ_POLLIN, 0 };
  int ready = zmq_poll(&item, 1, (long)(seconds * 1000));
  if (ready >= 0) return ready;
  if (zmq_errno() != EINTR) return fail_zmq("cannot wait at", net->endpoint[net->rank]);
  return epact_fail(EPACT_E_INTERRUPTED, "interrupted while waiting for other processes to register");
}

static int take_registration(epact_net *net, const epact_message *m, int32_t *workers)
{
  if (m->kind != EPACT_M_REGISTER || m->shard < 1 || m->shard >= net->size || m->slot < 1 || !is_local(m->text) ||
      strlen(m->text) >= ENDPOINT_BYTES) {
    return EPACT_OK;
  }
  workers[m->shard] = m->slot;
  if (*net->endpoint[m->shard]) return EPACT_OK;
  snprintf(net->endpoint[m->shard], ENDPOINT_BYTES, "%s", m->text);
  return connect_to(net, m->shard);
}

static int announce_members(epact_net *net, const int32_t *workers)
{
  size_t bytes = (size_t)net->size * (ENDPOINT_BYTES + 16), length = 0;
  char *text = epact_malloc(bytes);
  if (!text) return EPACT_E_NOMEM;
  for (int rank = 0; rank < net->size; rank++) {
    length += (size_t)snprintf(text + length, bytes - length, "%d %s\n", workers[rank], net->endpoint[rank]);
  }
  int code = EPACT_OK;
  for (int rank = 1; rank < net->size && !code; rank++) {
    epact_message members = { .kind = EPACT_M_MEMBERS, .shard = net->rank, .slot = -1, .text = text };
    code = send_now(net, rank, &members);
  }
  free(text);
  return code;
}

static int gather_members(epact_net *net, int32_t *workers, double end)
{
  char missing[256];
  while (missing_ranks(net, missing, sizeof missing)) {
    if (epact_now() > end) {
      return epact_fail(EPACT_E_TIMEOUT, "waited %g s at %s for rank %s to register", net->patience, net->endpoint[0],
                        missing);
    }
    int ready = wait_readable(net, REGISTER_EVERY);
    if (ready < 0) return ready;
    if (!ready) continue;
    epact_letter *letter = receive(net);
    if (!letter) continue;
    int code = take_registration(net, &letter->decoded.message, workers);
    free_letter(letter);
    if (code) return code;
  }
  return announce_members(net, workers);
}

static int take_members(epact_net *net, const char *text, int32_t *workers)
{
  for (int rank = 0; rank < net->size; rank++) {
    int used = 0;
    char endpoint[ENDPOINT_BYTES];
    if (sscanf(text, "%d %255s\n%n", &workers[rank], endpoint, &used) != 2 || !used || workers[rank] < 1) {
      return epact_fail(EPACT_E_PROTO, "the list of members is malformed");
    }
    text += used;
    if (rank == net->rank || rank == 0) continue;
    snprintf(net->endpoint[rank], ENDPOINT_BYTES, "%s", endpoint);
    int code = connect_to(net, rank);
    if (code) return code;
  }
  return EPACT_OK;
}

static int register_self(epact_net *net, int32_t *workers, double end)
{
  int own_workers = workers[net->rank];
  double next = 0;
  for (;;) {
    if (epact_now() > end) {
      return epact_fail(EPACT_E_TIMEOUT, "rank %d waited %g s for rank 0 at %s", net->rank, net->patience,
                        net->endpoint[0]);
    }
    if (epact_now() >= next) {
      epact_message self = {
        .kind = EPACT_M_REGISTER, .shard = net->rank, .slot = own_workers, .text = net->endpoint[net->rank]
      };
      int code = send_now(net, 0, &self);
      if (code) return code;
      next = epact_now() + REGISTER_EVERY;
    }
    int ready = wait_readable(net, REGISTER_EVERY);
    if (ready < 0) return ready;
    if (!ready) continue;
    epact_letter *letter = receive(net);
    if (!letter) continue;
    if (letter->decoded.message.kind != EPACT_M_MEMBERS) { /* of a process that has heard them before this one */
      letter->next = NULL;
      *net->early_end = letter;
      net->early_end = &letter->next;
      continue;
    }
    int code = take_members(net, letter->decoded.message.text, workers);
    free_letter(letter);
    return code;
  }
}

int epact_net_open(epact_net **result, const epact_process_options *options, int32_t *workers)
{
  if (!is_local(options->root)) {
    return epact_fail(EPACT_E_MISUSE, "the root address must be ipc:// or tcp:// on the loopback, got %s",
                      options->root);
  }
  epact_net *net = epact_calloc(1, sizeof *net);
  if (!net) return EPACT_E_NOMEM;
  *result = net;
  net->rank = options->rank;
  net->size = options->size;
  net->job = options->job;
  net->wake[0] = net->wake[1] = -1;
  net->queue_end = &net->queue;
  net->early_end = &net->early;
  pthread_mutex_init(&net->queue_lock, NULL);
  net->context = zmq_ctx_new();
  net->dealer = epact_calloc((size_t)net->size, sizeof *net->dealer);
  net->endpoint = epact_calloc((size_t)net->size, ENDPOINT_BYTES);
  if (!net->context || !net->dealer || !net->endpoint) return EPACT_E_NOMEM;
  if (!(net->router = new_socket(net, ZMQ_ROUTER))) return fail_zmq("cannot open a socket for", options->root);
  if (pipe(net->wake)) return epact_fail(EPACT_E_SYSTEM, "cannot open a pipe: %s", strerror(errno));
  for (int i = 0; i < 2; i++) fcntl(net->wake[i], F_SETFL, fcntl(net->wake[i], F_GETFL) | O_NONBLOCK);

  bool impatient = options->timeout > 0 && options->timeout < REGISTER_WITHIN;
  net->patience = impatient ? options->timeout : REGISTER_WITHIN;
  double end = epact_now() + net->patience;
  if (net->rank == 0) {
    int code = bind_endpoint(net, options->root, end);
    return code ? code : gather_members(net, workers, end);
  }
  char endpoint[ENDPOINT_BYTES];
  bool ipc = !strncmp(options->root, "ipc://", 6);
  snprintf(net->endpoint[0], ENDPOINT_BYTES, "%s", options->root);
  if (ipc) snprintf(endpoint, sizeof endpoint, "%.200s.%d", options->root, net->rank);
  int code = bind_endpoint(net, ipc ? endpoint : "tcp://127.0.0.1:*", end);
  if (!code) code = connect_to(net, 0);
  return code ? code : register_self(net, workers, end);
}

/* ---- the thread ---- */

/* Frames a process must not believe: of a slot that is not the sender's, an answer to somebody else's worker. */
static bool belongs(const epact_process *process, const epact_message *m)
{
  bool to_shard = m->kind >= EPACT_M_CREATE && m->kind <= EPACT_M_WAIT;
  bool to_worker = m->kind >= EPACT_M_CREATED && m->kind <= EPACT_M_REFUSED;
  if (to_shard) return m->slot >= 0 && m->slot < process->slots && process->slot_rank[m->slot] == m->sender;
  return to_worker && m->slot >= process->first_slot && m->slot < process->first_slot + process->workers &&
         m->shard >= 0 && m->shard < process->size && m->shard == m->sender;
}

static void take_frame(epact_net *net, epact_letter *letter)
{
  epact_process *process = net->process;
  const epact_message *m = &letter->decoded.message;
  if (m->kind == EPACT_M_STOP) {
    epact_process_stop_here(process, m->text, false);
  } else if (m->kind == EPACT_M_REGISTER || m->kind == EPACT_M_MEMBERS) {
    /* a registration sent twice */
  } else if (!belongs(process, m)) {
    net->refused++;
    fprintf(stderr, "epact: rank %d refused a frame for worker %d\n", net->rank, m->slot);
  } else if (m->kind >= EPACT_M_CREATED) {
    epact_worker_post(&process->worker[m->slot - process->first_slot], letter);
    return;
  } else if (epact_process_step(process, NULL, m)) {
    epact_process_stop(process, epact_error_message());
  }
  free_letter(letter);
}

static frame *take_queue(epact_net *net, bool *closing)
{
  char drained[256];
  while (read(net->wake[0], drained, sizeof drained) > 0) continue;
  pthread_mutex_lock(&net->queue_lock);
  frame *queue = net->queue;
  net->queue = NULL;
  net->queue_end = &net->queue;
  *closing = net->closing;
  pthread_mutex_unlock(&net->queue_lock);
  return queue;
}

static epact_letter *take_early(epact_net *net)
{
  epact_letter *letter = net->early;
  if (letter) net->early = letter->next;
  return letter;
}

static void *move_frames(void *argument)
{
  epact_net *net = argument;
  for (epact_letter *letter; (letter = take_early(net));) take_frame(net, letter);
  for (bool closing = false; !closing;) {
    zmq_pollitem_t item[2] = { { net->router, 0, ZMQ_POLLIN, 0 }, { NULL, net->wake[0], ZMQ_POLLIN, 0 } };
    if (zmq_poll(item, 2, -1) < 0 && zmq_errno() != EINTR) break;
    for (frame *next, *f = take_queue(net, &closing); f; f = next) {
      next = f->next;
      if (send_bytes(net, f->rank, f->data, f->bytes))
        epact_process_stop_here(net->process, epact_error_message(), false);
      free(f);
    }
    epact_letter *letter;
    for (int i = 0; i < 64 && (letter = receive(net)); i++) take_frame(net, letter);
  }
  return NULL;
}

int epact_net_start(epact_net *net, epact_process *process)
{
  net->process = process;
  if (pthread_create(&net->thread, NULL, move_frames, net)) {
    return epact_fail(EPACT_E_SYSTEM, "cannot start the network thread: %s", strerror(errno));
  }
  net->started = true;
  return EPACT_OK;
}

static void wake_up(epact_net *net)
{
  ssize_t written = write(net->wake[1], "", 1);
  (void)written; /* a full pipe wakes as well */
}

int epact_net_send(epact_net *net, int rank, const epact_message *message)
{
  frame *f = epact_calloc(1, sizeof *f);
  if (!f) return EPACT_E_NOMEM;
  epact_message stamped = *message;
  stamped.sender = net->rank;
  f->rank = rank;
  f->data = epact_malloc(epact_wire_size(message));
  int code = f->data ? epact_wire_encode(&stamped, net->job, f->data, &f->bytes) : EPACT_E_NOMEM;
  if (code) {
    free(f->data);
    free(f);
    return code;
  }
  pthread_mutex_lock(&net->queue_lock);
  *net->queue_end = f;
  net->queue_end = &f->next;
  pthread_mutex_unlock(&net->queue_lock);
  wake_up(net);
  return EPACT_OK;
}

void epact_net_close(epact_net *net)
{
  if (!net) return;
  if (net->started) {
    pthread_mutex_lock(&net->queue_lock);
    net->closing = true;
    pthread_mutex_unlock(&net->queue_lock);
    wake_up(net);
    pthread_join(net->thread, NULL);
  }
  bool stopped = net->started && atomic_load(&net->process->stopped);
  int linger = !net->started ? 0 : stopped ? STOPPED_LINGER_MILLISECONDS : LINGER_MILLISECONDS;
  for (int rank = 0; net->dealer && rank < net->size; rank++) {
    if (!net->dealer[rank]) continue;
    zmq_setsockopt(net->dealer[rank], ZMQ_LINGER, &linger, sizeof linger);
    zmq_close(net->dealer[rank]);
  }
  if (net->router) zmq_close(net->router);
  if (net->context) zmq_ctx_term(net->context); /* sends what is queued, for at most the linger time */
  for (int i = 0; i < 2; i++) {
    if (net->wake[i] >= 0) close(net->wake[i]);
  }
  for (epact_letter *letter; (letter = take_early(net));) free_letter(letter);
  pthread_mutex_destroy(&net->queue_lock);
  free(net->dealer);
  free(net->endpoint);
  free(net);
}
