/* What the machine and ZeroMQ can do by themselves: the limits beside which spec/bench/transport.lua prints Epact's
 * figures. Nothing of Epact is in here. Built as build/bench/limits.so by `make bench`. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- raw ZeroMQ: a ROUTER in one process, a DEALER in the other, messages of one part ---- */

typedef struct {
  void *context, *socket;
  char *buffer; /* what is sent, and `capacity` bytes long */
  size_t capacity;
} limit_raw;

/* Both sides know the secret of the server: it guards nothing. */
static void use_curve(void *socket, int listens)
{
  uint8_t bytes[32];
  char secret[41], public[41], own_public[41], own_secret[41];
  int one = 1;
  for (int i = 0; i < 32; i++) bytes[i] = (uint8_t)(i + 1);
  zmq_z85_encode(secret, bytes, sizeof bytes);
  zmq_curve_public(public, secret);
  if (listens) {
    zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, 40);
    return;
  }
  zmq_curve_keypair(own_public, own_secret);
  zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, public, 40);
  zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own_public, 40);
  zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, own_secret, 40);
}

void limit_raw_close(limit_raw *raw);

/* port 0: a ROUTER listens, on a free port; else a DEALER connects to it. NULL: it could not. */
limit_raw *limit_raw_open(int port, int curve, size_t capacity)
{
  limit_raw *raw = calloc(1, sizeof *raw);
  char endpoint[64] = "tcp://127.0.0.1:*";
  int unlimited = 0, linger = 0;
  if (!raw) return NULL;
  raw->context = zmq_ctx_new();
  raw->socket = zmq_socket(raw->context, port ? ZMQ_DEALER : ZMQ_ROUTER);
  raw->buffer = malloc(capacity);
  raw->capacity = capacity;
  if (raw->buffer) memset(raw->buffer, 1, capacity);
  zmq_setsockopt(raw->socket, ZMQ_SNDHWM, &unlimited, sizeof unlimited);
  zmq_setsockopt(raw->socket, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
  zmq_setsockopt(raw->socket, ZMQ_LINGER, &linger, sizeof linger);
  if (curve) use_curve(raw->socket, !port);
  if (port) snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", port);
  if (raw->buffer && !(port ? zmq_connect(raw->socket, endpoint) : zmq_bind(raw->socket, endpoint))) return raw;
  limit_raw_close(raw);
  return NULL;
}

int limit_raw_port(const limit_raw *raw)
{
  char endpoint[64];
  size_t bytes = sizeof endpoint;
  if (zmq_getsockopt(raw->socket, ZMQ_LAST_ENDPOINT, endpoint, &bytes)) return -1;
  return atoi(strrchr(endpoint, ':') + 1);
}

void limit_raw_close(limit_raw *raw)
{
  if (raw->socket) zmq_close(raw->socket);
  zmq_ctx_term(raw->context);
  free(raw->buffer);
  free(raw);
}

/* The DEALER sends `count` messages and waits for a word that all are there; the seconds it took. */
double limit_raw_push(limit_raw *raw, size_t bytes, int count)
{
  char word[8];
  double begin = now();
  for (int i = 0; i < count; i++) {
    if (zmq_send(raw->socket, raw->buffer, bytes, 0) < 0) return -1;
  }
  return zmq_recv(raw->socket, word, sizeof word, 0) < 0 ? -1 : now() - begin;
}

static int take(limit_raw *raw, zmq_msg_t *identity)
{
  zmq_msg_t body;
  zmq_msg_init(&body);
  int got = zmq_msg_recv(identity, raw->socket, 0) < 0 ? -1 : zmq_msg_recv(&body, raw->socket, 0);
  zmq_msg_close(&body);
  return got;
}

static int answer(limit_raw *raw, zmq_msg_t *identity, size_t bytes)
{
  if (zmq_msg_send(identity, raw->socket, ZMQ_SNDMORE) < 0) return -1;
  return zmq_send(raw->socket, raw->buffer, bytes, 0);
}

/* The ROUTER's side: takes `count` messages; answers with `bytes` to each, or (each == 0) to the last. */
int limit_raw_serve(limit_raw *raw, size_t bytes, int count, int each)
{
  int code = 0;
  for (int i = 0; i < count && code >= 0; i++) {
    zmq_msg_t identity;
    zmq_msg_init(&identity);
    code = take(raw, &identity);
    if (code >= 0 && (each || i == count - 1)) code = answer(raw, &identity, bytes);
    zmq_msg_close(&identity);
  }
  return code < 0 ? -1 : 0;
}

/* `count` requests of `sent` bytes one after another; seconds[i], where it is wanted: of each. */
double limit_raw_ask(limit_raw *raw, size_t sent, int count, double *seconds)
{
  double begin = now();
  for (int i = 0; i < count; i++) {
    zmq_msg_t body;
    double one = now();
    zmq_msg_init(&body);
    if (zmq_send(raw->socket, raw->buffer, sent, 0) < 0 || zmq_msg_recv(&body, raw->socket, 0) < 0) return -1;
    zmq_msg_close(&body);
    if (seconds) seconds[i] = now() - one;
  }
  return now() - begin;
}

/* ---- memory ---- */

/* What publishing cannot do without: each increment read once, each value read and written. */
void limit_add(double *restrict value, const double *restrict delta, int64_t n)
{
  for (int64_t i = 0; i < n; i++) value[i] += delta[i];
}

/* Increments of cells as a program alone with its array would make them. */
void limit_add_cells(double *value, int64_t cols, int64_t n, const uint32_t *row, const uint32_t *col,
                     const double *delta)
{
  for (int64_t i = 0; i < n; i++) value[row[i] * cols + col[i]] += delta[i];
}

/* ... and with a hash of cells: open addressing, 2^bits places, keys all ones at first. */
void limit_add_hashed(uint64_t *key, double *value, unsigned bits, int64_t n, const uint32_t *row, const uint32_t *col,
                      const double *delta)
{
  uint64_t mask = (UINT64_C(1) << bits) - 1;
  for (int64_t i = 0; i < n; i++) {
    uint64_t cell = (uint64_t)row[i] << 32 | col[i];
    uint64_t at = cell * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits);
    while (key[at] != cell && key[at] != UINT64_MAX) at = (at + 1) & mask;
    key[at] = cell;
    value[at] += delta[i];
  }
}
