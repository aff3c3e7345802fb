/* How the processes of a job find each other: each binds what is free and tells rank 0, whose address is
 * known to all; when all have come, rank 0 tells everyone's. */
#include "net.h"

#include "keep.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define REGISTER_EVERY 0.05 /* seconds between registrations, until the members are known */

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

/* 1: a frame is there, 0: not yet; negative: interrupted, or the socket failed. */
static int wait_readable(epact_net *net, double seconds)
{
  zmq_pollitem_t item = { net->router, 0, ZMQ_POLLIN, 0 };
  int ready = zmq_poll(&item, 1, (long)(seconds * 1000));
  if (ready < 0 && zmq_errno() != EINTR) return epact_net_fail("cannot wait at", net->endpoint[net->rank]);
  int code = net->interrupted ? net->interrupted() : EPACT_OK;
  return code ? code : ready > 0;
}

static int take_registration(epact_net *net, const epact_message *m, int32_t *workers)
{
  if (m->kind != EPACT_M_REGISTER || m->shard < 1 || m->shard >= net->size || m->slot < 1 ||
      !epact_endpoint_is_local(m->text) || strlen(m->text) >= EPACT_ENDPOINT_BYTES) {
    return EPACT_OK;
  }
  const char *known = net->endpoint[m->shard];
  if (*known && !strcmp(known, m->text)) return EPACT_OK; /* told again until it hears the members */
  if (*known) {
    return epact_fail(EPACT_E_JOB, "rank %d came twice: at %s and at %s", m->shard, known, m->text);
  }
  workers[m->shard] = m->slot;
  snprintf(net->endpoint[m->shard], EPACT_ENDPOINT_BYTES, "%s", m->text);
  int code = epact_net_connect(net, m->shard);
  if (code) return code;
  if (m->cursor != net->snapshot_every) {
    return epact_fail(EPACT_E_JOB, "rank 0 takes a snapshot every %" PRId64 " clocks (0: none), rank %d every %" PRId64,
                      net->snapshot_every, m->shard, m->cursor);
  }
  if (m->final == net->deterministic) return EPACT_OK;
  return epact_fail(EPACT_E_JOB, "rank 0 is%s deterministic, rank %d is%s", net->deterministic ? "" : " not", m->shard,
                    m->final ? "" : " not");
}

static int announce_members(epact_net *net, const int32_t *workers)
{
  size_t bytes = (size_t)net->size * (EPACT_ENDPOINT_BYTES + 16), length = 0;
  char *text = epact_malloc(bytes);
  if (!text) return EPACT_E_NOMEM;
  for (int rank = 0; rank < net->size; rank++) {
    length += (size_t)snprintf(text + length, bytes - length, "%d %s\n", workers[rank], net->endpoint[rank]);
  }
  int code = EPACT_OK;
  for (int rank = 1; rank < net->size && !code; rank++) {
    epact_message members = { .kind = EPACT_M_MEMBERS,
                              .shard = net->rank,
                              .slot = -1,
                              .applied = (int64_t)net->begin->run,
                              .cursor = net->begin->snapshot,
                              .clock = net->begin->clock,
                              .text = text };
    code = epact_net_send_now(net, rank, &members);
  }
  free(text);
  return code;
}

/* Nobody waits for a job that cannot begin. */
void epact_net_call_off(epact_net *net)
{
  char reason[512];
  int cause = epact_error_code();
  snprintf(reason, sizeof reason, "%s", epact_error_message());
  for (int rank = 0; net->dealer && rank < net->size; rank++) {
    epact_message stop = { .kind = EPACT_M_STOP, .shard = net->rank, .slot = -1, .text = reason };
    if (!net->dealer[rank]) continue;
    if (net->started)
      epact_net_send(net, rank, &stop);
    else
      epact_net_send_now(net, rank, &stop);
  }
  epact_fail(cause, "%s", reason);
}

static int gather_members(epact_net *net, int32_t *workers, double end)
{
  char missing[256];
  while (missing_ranks(net, missing, sizeof missing)) {
    if (epact_now() > end) {
      return epact_fail(EPACT_E_TIMEOUT, "waited %g s at %s for rank %s to register%s", net->patience, net->endpoint[0],
                        missing, net->strangers ? " (frames of another job came instead)" : "");
    }
    int ready = wait_readable(net, REGISTER_EVERY);
    if (ready < 0) return ready;
    if (!ready) continue;
    epact_letter *letter = epact_net_receive(net);
    if (!letter) continue;
    int code = take_registration(net, &letter->decoded.message, workers);
    epact_letter_free(letter);
    if (code) return code;
  }
  return announce_members(net, workers);
}

static int take_members(epact_net *net, const char *text, int32_t *workers)
{
  for (int rank = 0; rank < net->size; rank++) {
    int used = 0;
    char endpoint[EPACT_ENDPOINT_BYTES];
    if (sscanf(text, "%d %255s\n%n", &workers[rank], endpoint, &used) != 2 || !used || workers[rank] < 1) {
      return epact_fail(EPACT_E_PROTO, "the list of members is malformed");
    }
    text += used;
    if (rank == net->rank || rank == 0) continue;
    snprintf(net->endpoint[rank], EPACT_ENDPOINT_BYTES, "%s", endpoint);
    int code = epact_net_connect(net, rank);
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
      epact_message self = { .kind = EPACT_M_REGISTER,
                             .shard = net->rank,
                             .slot = own_workers,
                             .cursor = net->snapshot_every,
                             .final = net->deterministic,
                             .text = net->endpoint[net->rank] };
      int code = epact_net_send_now(net, 0, &self);
      if (code) return code;
      next = epact_now() + REGISTER_EVERY;
    }
    int ready = wait_readable(net, REGISTER_EVERY);
    if (ready < 0) return ready;
    if (!ready) continue;
    epact_letter *letter = epact_net_receive(net);
    if (!letter) continue;
    if (letter->decoded.message.kind == EPACT_M_STOP) {
      int stopped = epact_fail(EPACT_E_STOPPED, "%s", letter->decoded.message.text);
      epact_letter_free(letter);
      return stopped;
    }
    if (letter->decoded.message.kind != EPACT_M_MEMBERS) { /* of a process that has heard them before this one */
      letter->next = NULL;
      *net->early_end = letter;
      net->early_end = &letter->next;
      continue;
    }
    const epact_message *m = &letter->decoded.message;
    *net->begin = (epact_beginning){ (uint64_t)m->applied, m->cursor, m->clock };
    int code = take_members(net, m->text, workers);
    epact_letter_free(letter);
    return code;
  }
}

int epact_net_register(epact_net *net, int32_t *workers, double end)
{
  return net->rank == 0 ? gather_members(net, workers, end) : register_self(net, workers, end);
}
