/* Frames between the processes of a job, over ZeroMQ: each process binds one ROUTER, to receive, and
 * connects one DEALER to every other, to send. One thread owns the sockets; others queue frames and
 * wake it through a pipe. Routing ids are not used: a frame says who sent it. */
#include "net.h"

#include "keep.h"

#include "../base/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define REGISTER_WITHIN 60.0 /* seconds a process waits for the others to come, at most */
#define LINGER_MILLISECONDS 5000
#define STOPPED_LINGER_MILLISECONDS 200 /* only the reason is left to be told, maybe to a dead process */

int epact_net_fail(const char *what, const char *endpoint)
{
  return epact_fail(EPACT_E_SYSTEM, "%s %s: %s", what, endpoint, zmq_strerror(zmq_errno()));
}

bool epact_endpoint_is_local(const char *endpoint)
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
int epact_net_bind(epact_net *net, const char *endpoint, double end)
{
  while (zmq_bind(net->router, endpoint)) {
    if (zmq_errno() != EADDRINUSE || epact_now() > end) return epact_net_fail("cannot bind", endpoint);
    int code = net->interrupted ? net->interrupted() : EPACT_OK;
    if (code) return code;
    zmq_poll(NULL, 0, 20);
  }
  size_t bytes = EPACT_ENDPOINT_BYTES;
  if (zmq_getsockopt(net->router, ZMQ_LAST_ENDPOINT, net->endpoint[net->rank], &bytes)) {
    return epact_net_fail("cannot name", endpoint);
  }
  return EPACT_OK;
}

int epact_net_connect(epact_net *net, int rank)
{
  net->dealer[rank] = new_socket(net, ZMQ_DEALER);
  if (!net->dealer[rank] || zmq_connect(net->dealer[rank], net->endpoint[rank])) {
    return epact_net_fail("cannot connect to", net->endpoint[rank]);
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
    return epact_net_fail("cannot send to", net->endpoint[rank]);
  }
  return EPACT_OK;
}

int epact_net_send_now(epact_net *net, int rank, const epact_message *message)
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
 * is refused is counted and said on stderr, but for one of another job: who runs job after job at one
 * address may hear of the last one, or of the next. NULL when none is there. */
epact_letter *epact_net_receive(epact_net *net)
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
    bool of_another_job = copy && epact_error_code() == EPACT_E_JOB;
    free(copy);
    free(letter);
    if (!got) return NULL;
    net->refused++;
    if (of_another_job)
      net->strangers++;
    else
      fprintf(stderr, "epact: rank %d refused a frame: %s\n", net->rank, epact_error_message());
  }
}

void epact_letter_free(epact_letter *letter)
{
  epact_decoded_free(&letter->decoded);
  free(letter->frame);
  free(letter);
}

/* ---- opening ---- */

int epact_net_open(epact_net **result, const epact_process_options *options, int32_t *workers,
                   struct epact_beginning *begin)
{
  if (!epact_endpoint_is_local(options->root)) {
    return epact_fail(EPACT_E_MISUSE, "the root address must be ipc:// or tcp:// on the loopback, got %s",
                      options->root);
  }
  epact_net *net = epact_calloc(1, sizeof *net);
  if (!net) return EPACT_E_NOMEM;
  *result = net;
  net->rank = options->rank;
  net->size = options->size;
  net->job = options->job;
  net->deterministic = options->deterministic != 0;
  net->snapshot_every = options->snapshots ? options->snapshot_every : 0;
  net->begin = begin;
  net->interrupted = options->interrupted;
  net->wake[0] = net->wake[1] = -1;
  net->queue_end = &net->queue;
  net->early_end = &net->early;
  pthread_mutex_init(&net->queue_lock, NULL);
  net->context = zmq_ctx_new();
  net->dealer = epact_calloc((size_t)net->size, sizeof *net->dealer);
  net->endpoint = epact_calloc((size_t)net->size, EPACT_ENDPOINT_BYTES);
  if (!net->context || !net->dealer || !net->endpoint) return EPACT_E_NOMEM;
  if (!(net->router = new_socket(net, ZMQ_ROUTER))) return epact_net_fail("cannot open a socket for", options->root);
  if (pipe(net->wake)) return epact_fail(EPACT_E_SYSTEM, "cannot open a pipe: %s", strerror(errno));
  for (int i = 0; i < 2; i++) fcntl(net->wake[i], F_SETFL, fcntl(net->wake[i], F_GETFL) | O_NONBLOCK);

  bool impatient = options->timeout > 0 && options->timeout < REGISTER_WITHIN;
  net->patience = impatient ? options->timeout : REGISTER_WITHIN;
  double end = epact_now() + net->patience;
  if (net->rank == 0) {
    int code = epact_net_bind(net, options->root, end);
    return code ? code : epact_net_register(net, workers, end);
  }
  char endpoint[EPACT_ENDPOINT_BYTES];
  bool ipc = !strncmp(options->root, "ipc://", 6);
  snprintf(net->endpoint[0], EPACT_ENDPOINT_BYTES, "%s", options->root);
  if (ipc) snprintf(endpoint, sizeof endpoint, "%.200s.%d", options->root, net->rank);
  int code = epact_net_bind(net, ipc ? endpoint : "tcp://127.0.0.1:*", end);
  if (!code) code = epact_net_connect(net, 0);
  return code ? code : epact_net_register(net, workers, end);
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
  epact_liveness_heard(net, m->sender);
  if (m->kind == EPACT_M_STOP) {
    epact_process_stop_here(process, m->text, false);
  } else if (m->kind == EPACT_M_SAVED || m->kind == EPACT_M_DURABLE) {
    if (process->keep) epact_keep_take(process->keep, m);
  } else if (m->kind == EPACT_M_REGISTER || m->kind == EPACT_M_MEMBERS || m->kind == EPACT_M_HEARTBEAT) {
    /* a registration sent twice, or a sign of life */
  } else if (!belongs(process, m)) {
    net->refused++;
    fprintf(stderr, "epact: rank %d refused a frame for worker %d\n", net->rank, m->slot);
  } else if (m->kind >= EPACT_M_CREATED) {
    epact_worker_post(&process->worker[m->slot - process->first_slot], letter);
    return;
  } else if (epact_process_step(process, NULL, m)) {
    epact_process_stop(process, epact_error_message());
  }
  epact_letter_free(letter);
}

static epact_frame *take_queue(epact_net *net, bool *closing)
{
  char drained[256];
  while (read(net->wake[0], drained, sizeof drained) > 0) continue;
  pthread_mutex_lock(&net->queue_lock);
  epact_frame *queue = net->queue;
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
    if (zmq_poll(item, 2, epact_liveness_tick(net)) < 0 && zmq_errno() != EINTR) break;
    for (epact_frame *next, *f = take_queue(net, &closing); f; f = next) {
      next = f->next;
      if (send_bytes(net, f->rank, f->data, f->bytes))
        epact_process_stop_here(net->process, epact_error_message(), false);
      free(f);
    }
    epact_letter *letter;
    for (int i = 0; i < 64 && (letter = epact_net_receive(net)); i++) take_frame(net, letter);
  }
  return NULL;
}

int epact_net_start(epact_net *net, epact_process *process, double lease)
{
  net->process = process;
  int code = epact_liveness_open(net, lease);
  if (code) return code;
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
  epact_frame *f = epact_calloc(1, sizeof *f);
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
  epact_liveness_close(net);
  bool stopped = net->started && atomic_load(&net->process->stopped);
  int linger = !net->started || stopped ? STOPPED_LINGER_MILLISECONDS : LINGER_MILLISECONDS;
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
  for (epact_letter *letter; (letter = take_early(net));) epact_letter_free(letter);
  pthread_mutex_destroy(&net->queue_lock);
  free(net->dealer);
  free(net->endpoint);
  free(net);
}
