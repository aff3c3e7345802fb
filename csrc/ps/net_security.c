/* Who may talk to this process. With keys every tcp connection is CURVE: encrypted, both sides proven, and
 * only public keys that the folder of keys lists are admitted (ZAP, RFC 27), by a thread of its own, since
 * others come while this process still waits for the root. The same thread hears of handshakes that fail
 * before a key is looked at. */
#include "net.h"

#include "../base/fault.h"
#include "../base/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define DOMAIN "epact"
#define HANDSHAKE_MILLISECONDS 5000
#define REFUSED_SECONDS 0.8 /* a handshake that breaks off, again and again for as long, is a refusal ... */
#define AGAIN_SECONDS 3.0   /* ... unless it was so long in between: then it waits for lost packets */
#define ZAP_PARTS 7

struct epact_door {
  epact_net *net;
  void *zap, *monitor; /* either may be NULL */
  pthread_t thread;
};

bool epact_net_event(void *monitor, int *number, int64_t *value)
{
  zmq_msg_t event, endpoint;
  unsigned char head[6] = { 0 };
  zmq_msg_init(&event);
  bool got = zmq_msg_recv(&event, monitor, ZMQ_DONTWAIT) >= 0;
  if (got && zmq_msg_size(&event) >= sizeof head) memcpy(head, zmq_msg_data(&event), sizeof head);
  bool more = got && zmq_msg_more(&event);
  zmq_msg_close(&event);
  while (more) {
    zmq_msg_init(&endpoint);
    more = zmq_msg_recv(&endpoint, monitor, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&endpoint);
    zmq_msg_close(&endpoint);
  }
  uint16_t n;
  uint32_t v;
  memcpy(&n, head, sizeof n);
  memcpy(&v, head + 2, sizeof v);
  *number = n;
  *value = v;
  return got;
}

/* A PAIR that hears of `events` of a socket. */
static void *open_monitor(epact_net *net, void *watched, int number, int events)
{
  char endpoint[64];
  snprintf(endpoint, sizeof endpoint, "inproc://epact-%p-%d", (const void *)net, number);
  void *monitor = zmq_socket(net->context, ZMQ_PAIR);
  if (!monitor) return NULL;
  if (!zmq_socket_monitor(watched, endpoint, events) && !zmq_connect(monitor, endpoint)) return monitor;
  zmq_close(monitor);
  return NULL;
}

/* ---- the client's side ---- */

int epact_security_watch(epact_net *net, void *dealer, int rank)
{
  int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
               ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
               ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
  net->monitor[rank] = open_monitor(net, dealer, rank, events);
  return net->monitor[rank] ? EPACT_OK : epact_net_fail("cannot watch", net->endpoint[rank]);
}

int epact_security_client(epact_net *net, void *dealer, int rank)
{
  if (!net->keys) return EPACT_OK;
  if (zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, net->key[rank], EPACT_KEY_BYTES) ||
      zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, net->keys->public_key, EPACT_KEY_BYTES) ||
      zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, net->keys->secret_key, EPACT_KEY_BYTES)) {
    return epact_net_fail("cannot set the keys for", net->endpoint[rank]);
  }
  return EPACT_OK;
}

int epact_security_event(const epact_net *net, int rank, int number, int64_t value, epact_broken_off *broken)
{
  const char *endpoint = net->endpoint[rank];
  if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) *broken = (epact_broken_off){ 0, 0 };
  if (number == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
    return epact_fail(EPACT_E_AUTH, "rank %d at %s does not admit this process's key %.8s...", rank, endpoint,
                      net->keys ? net->keys->public_key : "(none)");
  }
  if (number == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL && value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) {
    return epact_fail(EPACT_E_AUTH, "rank %d at %s %s", rank, endpoint,
                      net->keys ? "works without keys, this process with keys"
                                : "wants keys (EPACT_KEYS), this process has none");
  }
  if (number != ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL && number != ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) return EPACT_OK;
  double now = epact_now();
  if (now - broken->last > AGAIN_SECONDS) broken->first = now;
  broken->last = now;
  if (number == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL && now - broken->first < REFUSED_SECONDS) return EPACT_OK;
  /* Also where the other side was first to see that one comes with keys and the other without. */
  return epact_fail(
      EPACT_E_AUTH, "rank %d at %s breaks off the handshake: it %s, or is no process of Epact", rank, endpoint,
      net->keys ? "has another key than this process expects, works without keys" : "wants keys (EPACT_KEYS)");
}

/* ---- the server's side ---- */

/* The request's parts as text; the key of a CURVE client is 32 bytes. */
typedef struct {
  char id[256], address[64], mechanism[16];
  size_t id_bytes, key_bytes;
  uint8_t key[32];
} zap_request;

static bool receive_request(void *zap, zap_request *request)
{
  memset(request, 0, sizeof *request);
  bool more = true;
  for (int part = 0; more; part++) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, zap, ZMQ_DONTWAIT) < 0) {
      zmq_msg_close(&message);
      return false;
    }
    size_t bytes = zmq_msg_size(&message);
    const void *data = zmq_msg_data(&message);
    if (part == 1 && bytes <= sizeof request->id) memcpy(request->id, data, request->id_bytes = bytes);
    if (part == 3 && bytes < sizeof request->address) memcpy(request->address, data, bytes);
    if (part == 5 && bytes < sizeof request->mechanism) memcpy(request->mechanism, data, bytes);
    if (part == 6 && bytes == sizeof request->key) memcpy(request->key, data, request->key_bytes = bytes);
    more = zmq_msg_more(&message);
    zmq_msg_close(&message);
  }
  return true;
}

/* Admitted under its public key as the user id, which comes with each of its messages. */
static void answer_request(epact_door *door)
{
  zap_request request;
  char key[EPACT_KEY_BYTES] = "";
  if (!receive_request(door->zap, &request)) return;
  bool curve = !strcmp(request.mechanism, "CURVE") && request.key_bytes == sizeof request.key &&
               zmq_z85_encode(key, request.key, sizeof request.key);
  bool good = curve && epact_keys_allow(door->net->keys, key);
  const char *status = good ? "200" : "400", *text = good ? "" : "key not listed", *user = good ? key : "";
  zmq_send(door->zap, "1.0", 3, ZMQ_SNDMORE);
  zmq_send(door->zap, request.id, request.id_bytes, ZMQ_SNDMORE);
  zmq_send(door->zap, status, 3, ZMQ_SNDMORE);
  zmq_send(door->zap, text, strlen(text), ZMQ_SNDMORE);
  zmq_send(door->zap, user, strlen(user), ZMQ_SNDMORE);
  zmq_send(door->zap, "", 0, 0);
  if (!good) {
    epact_refuse(&door->net->refusals, EPACT_REFUSED_KEY, "a connection from %s: its key %.8s... is not listed",
                 request.address, *key ? key : "(none)");
  }
}

/* A connection that ends before its handshake says nothing: whoever is stopped meanwhile does the same. */
static void take_door_events(epact_door *door)
{
  int number;
  int64_t value;
  while (epact_net_event(door->monitor, &number, &value)) {
    epact_refusal_book *book = &door->net->refusals;
    if (number == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) epact_refuse(book, EPACT_REFUSED_HANDSHAKE, NULL);
    if (number != ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) continue;
    bool mismatch = value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH;
    epact_refuse(book, EPACT_REFUSED_HANDSHAKE, "a connection: %s",
                 mismatch          ? door->net->keys ? "it comes without keys" : "it comes with keys, this job has none"
                 : door->net->keys ? "its handshake does not fit this process's key"
                                   : "it does not speak the protocol");
  }
}

static void *keep_door(void *argument)
{
  epact_door *door = argument;
  for (;;) {
    zmq_pollitem_t item[2];
    int items = 0;
    if (door->zap) item[items++] = (zmq_pollitem_t){ door->zap, 0, ZMQ_POLLIN, 0 };
    if (door->monitor) item[items++] = (zmq_pollitem_t){ door->monitor, 0, ZMQ_POLLIN, 0 };
    if (zmq_poll(item, items, -1) < 0 && zmq_errno() != EINTR) break; /* the context ends */
    if (door->zap) answer_request(door);
    if (door->monitor) take_door_events(door);
  }
  if (door->zap) zmq_close(door->zap);
  if (door->monitor) zmq_close(door->monitor);
  return NULL;
}

int epact_security_server(epact_net *net)
{
  static const int yes = 1;
  if (net->keys && (zmq_setsockopt(net->router, ZMQ_CURVE_SERVER, &yes, sizeof yes) ||
                    zmq_setsockopt(net->router, ZMQ_CURVE_SECRETKEY, net->keys->secret_key, EPACT_KEY_BYTES) ||
                    zmq_setsockopt(net->router, ZMQ_ZAP_DOMAIN, DOMAIN, strlen(DOMAIN)))) {
    return epact_net_fail("cannot set the keys of", "the server's side");
  }
  epact_door *door = epact_calloc(1, sizeof *door);
  if (!door) return EPACT_E_NOMEM;
  door->net = net;
  int code = EPACT_OK;
  door->monitor = open_monitor(net, net->router, net->capacity,
                               ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL);
  if (!door->monitor) code = epact_net_fail("cannot watch", "the server's side");
  if (!code && net->keys) {
    door->zap = zmq_socket(net->context, ZMQ_REP);
    if (!door->zap || zmq_bind(door->zap, "inproc://zeromq.zap.01"))
      code = epact_net_fail("cannot bind", "the authenticator");
  }
  if (!code && (errno = epact_thread_create(&door->thread, keep_door, door)))
    code = epact_fail(EPACT_E_SYSTEM, "cannot start the authenticator's thread: %s", strerror(errno));
  if (!code) {
    net->door = door;
    return EPACT_OK;
  }
  if (door->zap) zmq_close(door->zap);
  if (door->monitor) zmq_close(door->monitor);
  free(door);
  return code;
}

void epact_security_close(epact_net *net)
{
  if (!net->door) return;
  pthread_join(net->door->thread, NULL);
  free(net->door);
  net->door = NULL;
}

/* ---- rules ---- */

int epact_security_open(epact_net *net, const epact_process_options *options)
{
  bool ipc = !strncmp(options->root, "ipc://", 6); /* the file system says who may connect */
  if (options->keys && *options->keys && !ipc) return epact_keys_read(options->keys, &net->keys);
  if (epact_endpoint_is_local(options->root) || options->insecure) return EPACT_OK;
  return epact_fail(
      EPACT_E_AUTH,
      "%s can be reached from other machines, and this job has no keys. Do one of these:\n"
      "  with keys: run `epact keygen DIR` once, copy DIR to every node (it is secret), and set the option "
      "keys = \"DIR\" or EPACT_KEYS=DIR on all;\n"
      "  on one machine: set EPACT_ROOT=tcp://127.0.0.1:PORT or EPACT_ROOT=ipc://PATH;\n"
      "  where you trust everybody who can reach this network: set the option insecure = true or "
      "EPACT_INSECURE=1",
      options->root);
}

int epact_security_socket(void *socket)
{
  int handshake = HANDSHAKE_MILLISECONDS, keepalive = 1;
  return zmq_setsockopt(socket, ZMQ_HANDSHAKE_IVL, &handshake, sizeof handshake) ||
                 zmq_setsockopt(socket, ZMQ_TCP_KEEPALIVE, &keepalive, sizeof keepalive)
             ? epact_net_fail("cannot set up", "a socket")
             : EPACT_OK;
}
