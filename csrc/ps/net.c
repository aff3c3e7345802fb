/* Frames between the processes of a job, over ZeroMQ: each process binds one ROUTER, to receive, and
 * connects two DEALERs to every other, to send: one for long frames, one for what must not queue behind them.
 * One thread receives; any thread sends, under a lock, since to wake another that sends would take longer.
 * Routing ids are not used: a frame says who sent it. */
#include "net.h"

#include "keep.h"

#include "../base/fault.h"
#include "../base/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <zmq.h>

#define REGISTER_WITHIN 60.0 /* seconds a process waits for the others to come, at most */
#define MOST_JOINS 1024      /* processes that may join a job, one after another */
#define ENCRYPTION_BYTES 64  /* of a message, at most: CURVE adds 33 */
#define ENCRYPTING_THREADS 3
#define LINGER_MILLISECONDS 5000
#define CONNECT_MILLISECONDS 2000       /* then anew: the kernel's own waits for a lost SYN double, to 15 s and more */
#define STOPPED_LINGER_MILLISECONDS 200 /* only the reason is left to be told, maybe to a dead process */

int epact_net_fail(const char *what, const char *endpoint)
{
  return epact_fail(EPACT_E_SYSTEM, "%s %s: %s", what, endpoint, zmq_strerror(zmq_errno()));
}

/* ---- sockets ---- */

/* ZeroMQ's own heartbeats stay off: they would close a connection that is only slow, with the frames on it,
 * and ours (net_liveness.c) decide who is lost. `endpoint`: what it is for. */
static void *new_socket(epact_net *net, int type, const char *endpoint)
{
  void *socket = zmq_socket(net->context, type);
  int linger = LINGER_MILLISECONDS, unlimited = 0;
  int64_t largest = (int64_t)(sizeof(epact_part) + EPACT_PART_BYTES + ENCRYPTION_BYTES);
  int sixth = strchr(endpoint, '[') != NULL, connect = CONNECT_MILLISECONDS;
  if (!socket) return NULL;
  zmq_setsockopt(socket, ZMQ_IPV6, &sixth, sizeof sixth);
  zmq_setsockopt(socket, ZMQ_CONNECT_TIMEOUT, &connect, sizeof connect);
  zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
  zmq_setsockopt(socket, ZMQ_SNDHWM, &unlimited, sizeof unlimited);
  zmq_setsockopt(socket, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
  zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest);
  if (!epact_security_socket(socket)) return socket;
  zmq_close(socket);
  return NULL;
}

/* An endpoint of an earlier job of this process may take a moment to be free again. */
int epact_net_bind(epact_net *net, const char *endpoint, double end)
{
  while (zmq_bind(net->router, endpoint)) {
    if (zmq_errno() == EADDRNOTAVAIL || zmq_errno() == ENODEV)
      return epact_fail(EPACT_E_AGAIN, "%s is no address of this machine", endpoint);
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

int epact_net_dial(epact_net *net, int rank, void **dealer, bool watched)
{
  *dealer = new_socket(net, ZMQ_DEALER, net->endpoint[rank]);
  if (!*dealer) return epact_net_fail("cannot open a socket for", net->endpoint[rank]);
  int code = watched ? epact_security_watch(net, *dealer, rank) : EPACT_OK;
  if (!code) code = epact_security_client(net, *dealer, rank);
  if (code) return code;
  if (zmq_connect(*dealer, net->endpoint[rank])) return epact_net_fail("cannot connect to", net->endpoint[rank]);
  return EPACT_OK;
}

int epact_net_connect(epact_net *net, int rank)
{
  pthread_mutex_lock(&net->send_lock);
  int code = epact_net_dial(net, rank, &net->dealer[rank], true);
  pthread_mutex_unlock(&net->send_lock);
  return code;
}

/* ---- opening ---- */

static int prepare(epact_net *net, const epact_process_options *options)
{
  net->joins = options->join != 0;
  net->capacity = options->size + (options->elastic || options->join ? MOST_JOINS : 0) + 1; /* the last is nobody's */
  net->rank = options->join ? net->capacity - 1 : options->rank;                            /* until it is told */
  net->size = options->size;
  net->servers = options->servers > 0 ? options->servers : options->size;
  net->job = options->job;
  net->deterministic = options->deterministic != 0;
  net->journal = options->snapshots && options->journal;
  net->snapshot_every = options->snapshots ? options->snapshot_every : 0;
  net->interrupted = options->interrupted;
  net->wake[0] = net->wake[1] = -1;
  net->early_end = &net->early;
  pthread_mutex_init(&net->send_lock, NULL);
  epact_refusals_init(&net->refusals, net->rank);
  size_t size = (size_t)net->capacity;
  net->context = zmq_ctx_new();
  net->dealer = epact_calloc(size, sizeof *net->dealer);
  net->spares = epact_spares_new();
  net->slow = epact_calloc(size, sizeof *net->slow);
  net->monitor = epact_calloc(size, sizeof *net->monitor);
  net->endpoint = epact_calloc(size, EPACT_ENDPOINT_BYTES);
  net->key = epact_calloc(size, EPACT_KEY_BYTES);
  net->assembly = epact_calloc(size, sizeof *net->assembly);
  net->number = epact_calloc(size, sizeof *net->number);
  net->gone = epact_calloc(size, sizeof *net->gone);
  if (!net->context) return epact_net_fail("cannot make sockets for", options->root);
  if (!net->gone || !net->spares || !net->dealer || !net->slow || !net->monitor || !net->endpoint || !net->key ||
      !net->number || !net->assembly)
    return EPACT_E_NOMEM;
  /* Two DEALERs, the monitor of one and its other end for every process. */
  int sockets = zmq_ctx_get(net->context, ZMQ_MAX_SOCKETS), need = 4 * net->capacity + 64;
  if (sockets < need) zmq_ctx_set(net->context, ZMQ_MAX_SOCKETS, need);
  /* A connection belongs to one of ZeroMQ's threads: what encrypts a long frame must not hold up the others. */
  if (options->keys && *options->keys) zmq_ctx_set(net->context, ZMQ_IO_THREADS, ENCRYPTING_THREADS);
  net->number[0] = net->job;
  if (getrandom(&net->number[net->rank], sizeof *net->number, 0) != sizeof *net->number)
    return epact_fail(EPACT_E_SYSTEM, "cannot draw a number: %s", strerror(errno));
  if (epact_fault(EPACT_FAULT_OPEN) || pipe(net->wake))
    return epact_fail(EPACT_E_SYSTEM, "cannot open a pipe: %s", strerror(errno));
  for (int i = 0; i < 2; i++) fcntl(net->wake[i], F_SETFL, fcntl(net->wake[i], F_GETFL) | O_NONBLOCK);
  return EPACT_OK;
}

int epact_net_open(epact_net **result, const epact_process_options *options, int32_t *workers,
                   struct epact_beginning *begin)
{
  int code = epact_root_check(options->root);
  if (code) return code;
  epact_net *net = epact_calloc(1, sizeof *net);
  if (!net) return EPACT_E_NOMEM;
  *result = net;
  net->begin = begin;
  if ((code = prepare(net, options)) || (code = epact_security_open(net, options))) return code;
  if (net->keys) {
    memcpy(net->key[0], net->keys->root, EPACT_KEY_BYTES);
    memcpy(net->key[net->rank], net->keys->public_key, EPACT_KEY_BYTES);
  }
  if (!(net->router = new_socket(net, ZMQ_ROUTER, options->root)))
    return epact_net_fail("cannot open a socket for", options->root);
  if (strncmp(options->root, "ipc://", 6) && (code = epact_security_server(net))) return code;

  bool impatient = options->timeout > 0 && options->timeout < REGISTER_WITHIN;
  net->patience = impatient ? options->timeout : REGISTER_WITHIN;
  double end = epact_now() + net->patience;
  const char *address = options->address && *options->address ? options->address : NULL;
  if (net->rank == 0) {
    code = epact_root_bind(net, options->root, address, end);
    return code ? code : epact_net_register(net, workers, end);
  }
  char own[EPACT_ENDPOINT_BYTES];
  code = epact_root_find(net, options->root, address, end, own);
  if (!code) code = epact_net_bind(net, own, end);
  if (code == EPACT_E_AGAIN) code = epact_fail(EPACT_E_SYSTEM, "%s (EPACT_ADDRESS)", epact_error_message());
  if (!code) code = epact_net_connect(net, 0);
  return code ? code : epact_net_register(net, workers, end);
}

/* ---- the thread ---- */

/* Frames a process must not believe: of a slot that is not the sender's, an answer to somebody else's worker. */
static bool belongs(const epact_process *process, const epact_message *m)
{
  bool to_shard = m->kind >= EPACT_M_CREATE && m->kind <= EPACT_M_UNSUBSCRIBE;
  bool to_worker = m->kind >= EPACT_M_CREATED && m->kind <= EPACT_M_PUSH;
  if (to_shard)
    return process->serves && m->slot >= 0 && m->slot < process->slots && process->slot_rank[m->slot] == m->sender;
  return to_worker && m->slot >= process->first_slot && m->slot < process->first_slot + process->workers &&
         m->shard >= 0 && m->shard < process->servers && m->shard == m->sender;
}

static void take_frame(epact_net *net, epact_letter *letter)
{
  epact_process *process = net->process;
  const epact_message *m = &letter->decoded.message;
  bool fenced = m->sender < net->size && net->gone[m->sender];
  if (m->kind == EPACT_M_REGISTER && m->shard == -1) {
    if (epact_members_join(net, letter)) epact_process_stop(process, epact_error_message());
  } else if (m->kind == EPACT_M_REGISTER) { /* may be sent again before its sender knows the members */
    const char *known = m->shard >= 0 && m->shard < net->size ? net->endpoint[m->shard] : "";
    if (!*known || strncmp(m->text, known, strlen(known)) != 0)
      epact_refuse(&net->refusals, EPACT_REFUSED_SENDER, "a registration of rank %d at %.64s: the job has begun%s%s",
                   m->shard, m->text, *known ? " with it at " : "", known);
  } else if (!epact_net_is_from(net, letter)) {
    epact_refuse(&net->refusals, EPACT_REFUSED_SENDER, "a frame that claims to come from rank %d", m->sender);
  } else if (fenced) {
    epact_members_fence(net, m->sender);
  } else if (m->kind == EPACT_M_STOP) {
    epact_process_stop_here(process, m->text, false);
  } else if (m->kind >= EPACT_M_SUSPECT && m->kind <= EPACT_M_ADMITTED) {
    epact_liveness_heard(net, m->sender);
    if (epact_members_take(net, m)) epact_process_stop(process, epact_error_message());
  } else if (m->kind == EPACT_M_SAVED || m->kind == EPACT_M_DURABLE) {
    epact_liveness_heard(net, m->sender);
    if (process->keep) epact_keep_take(process->keep, m);
  } else if (m->kind == EPACT_M_MEMBERS || m->kind == EPACT_M_HEARTBEAT) {
    epact_liveness_heard(net, m->sender);
    if (m->kind == EPACT_M_HEARTBEAT && m->final) epact_liveness_parted(net, m->sender);
  } else if (!belongs(process, m)) {
    epact_refuse(&net->refusals, EPACT_REFUSED_SENDER, "a frame of rank %d for worker %d", m->sender, m->slot);
  } else if (m->kind == EPACT_M_PUSH) {
    epact_liveness_heard(net, m->sender);
    if (epact_process_mirror(process, m)) epact_process_stop(process, epact_error_message());
  } else if (m->kind >= EPACT_M_CREATED) {
    epact_liveness_heard(net, m->sender);
    if (m->kind == EPACT_M_ACK && m->clock == EPACT_FOREVER)
      epact_liveness_settled(net, m->sender, m->slot - process->first_slot);
    if (m->kind == EPACT_M_ROWS && epact_process_mirror(process, m)) epact_process_stop(process, epact_error_message());
    epact_worker_post(&process->worker[m->slot - process->first_slot], letter);
    return;
  } else {
    epact_liveness_heard(net, m->sender);
    if (epact_process_step(process, NULL, m)) epact_process_stop(process, epact_error_message());
  }
  epact_letter_free(letter);
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
  while (!atomic_load(&net->closing)) {
    zmq_pollitem_t item[2] = { { net->router, 0, ZMQ_POLLIN, 0 }, { NULL, net->wake[0], ZMQ_POLLIN, 0 } };
    if (zmq_poll(item, 2, epact_liveness_tick(net)) < 0 && zmq_errno() != EINTR) break;
    epact_letter *letter;
    size_t taken = 0;
    for (int i = 0; i < 64 && taken < EPACT_TAKEN_BYTES && (letter = epact_net_receive(net, &taken)); i++)
      take_frame(net, letter);
    if (net->failure) epact_process_stop(net->process, "out of memory for a frame of another process");
  }
  return NULL;
}

int epact_net_start(epact_net *net, epact_process *process, double lease)
{
  net->process = process;
  int code = epact_liveness_open(net, lease);
  if (code) return code;
  int error = epact_thread_create(&net->thread, move_frames, net);
  if (error) return epact_fail(EPACT_E_SYSTEM, "cannot start the network thread: %s", strerror(error));
  net->started = true;
  return EPACT_OK;
}

void epact_net_tell_stop(epact_net *net, const char *reason)
{
  epact_message stop = { .kind = EPACT_M_STOP, .shard = net->rank, .slot = -1, .text = reason };
  for (int rank = 0; rank < net->size; rank++) {
    if (rank != net->rank && !net->gone[rank]) epact_net_send(net, rank, &stop);
  }
}

void epact_net_place(const epact_net *net, int32_t *rank, int32_t *size, int32_t *servers)
{
  *rank = net->rank;
  *size = net->size;
  *servers = net->servers;
}

/* What is queued for who reads no more is not waited for. */
static void close_dealer(const epact_net *net, int rank, void *dealer)
{
  bool waits = net->started && !atomic_load(&net->process->stopped) && !epact_liveness_has_left(net, rank);
  int linger = waits ? LINGER_MILLISECONDS : STOPPED_LINGER_MILLISECONDS;
  if (!dealer) return;
  zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof linger);
  zmq_close(dealer);
}

void epact_net_close(epact_net *net)
{
  if (!net) return;
  if (net->started) {
    atomic_store(&net->closing, true);
    ssize_t written = write(net->wake[1], "", 1);
    (void)written; /* the thread looks up twice a heartbeat in any case */
    pthread_join(net->thread, NULL);
  }
  epact_liveness_rest(net);
  epact_liveness_last_look(net);
  for (int rank = 0; net->dealer && rank < net->capacity; rank++) {
    /* An event that finds nobody to take it any more would not be freed. */
    if (net->dealer[rank] && net->monitor[rank]) zmq_socket_monitor(net->dealer[rank], NULL, 0);
    close_dealer(net, rank, net->dealer[rank]);
  }
  for (int rank = 0; net->slow && rank < net->capacity; rank++) close_dealer(net, rank, net->slow[rank]);
  epact_liveness_close(net);
  for (int rank = 0; net->monitor && rank < net->capacity; rank++) {
    if (net->monitor[rank]) zmq_close(net->monitor[rank]);
  }
  if (net->router) zmq_close(net->router);
  if (net->context) zmq_ctx_term(net->context); /* sends what is queued, for at most the linger time */
  epact_security_close(net);
  epact_refusals_tick(&net->refusals, true);
  for (int i = 0; i < 2; i++) {
    if (net->wake[i] >= 0) close(net->wake[i]);
  }
  for (epact_letter *letter; (letter = take_early(net));) epact_letter_free(letter);
  pthread_mutex_destroy(&net->send_lock);
  pthread_mutex_destroy(&net->refusals.lock);
  epact_parts_close(net);
  epact_spares_free(net->spares);
  epact_keys_free(net->keys);
  free(net->dealer);
  free(net->slow);
  free(net->monitor);
  free(net->endpoint);
  free(net->key);
  free(net->number);
  free(net->gone);
  free(net);
}
