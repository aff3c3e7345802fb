/* How the processes of a job find each other: each binds what is free and tells rank 0, whose address is
 * known to all; when all have come, rank 0 tells everyone's. With its endpoint each tells the number that it
 * has drawn, which frames to it must carry, and its public key. */
#include "net.h"

#include "keep.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define ENTRY "%s %016" PRIx64 " %s"
#define SCAN_ENTRY "%255s %" SCNx64 " %40s"

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

void epact_entry_write(const epact_net *net, int rank, char *text)
{
  snprintf(text, EPACT_ENTRY_BYTES, ENTRY, net->endpoint[rank], net->number[rank],
           *net->key[rank] ? net->key[rank] : "-");
}

/* An endpoint that leads out of this machine, or whose name must be looked up, is
 * none of this job's where the root is not such a one. */
bool epact_entry_read(const epact_net *net, const char *text, epact_entry *e, int *used)
{
  *used = 0;
  if (sscanf(text, SCAN_ENTRY "%n", e->endpoint, &e->number, e->key, used) != 3 || !*used) return false;
  if (!strcmp(e->key, "-")) e->key[0] = 0;
  return !*e->key == !net->keys && epact_endpoint_is_numeric(e->endpoint) &&
         !strncmp(e->endpoint, net->endpoint[0], 6) &&
         (!epact_endpoint_is_local(net->endpoint[0]) || epact_endpoint_is_local(e->endpoint));
}

void epact_entry_keep(epact_net *net, int rank, const epact_entry *e)
{
  memcpy(net->endpoint[rank], e->endpoint, sizeof e->endpoint);
  memcpy(net->key[rank], e->key, sizeof e->key);
  net->number[rank] = e->number;
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

static int take_registration(epact_net *net, const epact_letter *letter, int32_t *workers)
{
  const epact_message *m = &letter->decoded.message;
  epact_entry e;
  int used;
  bool good = m->kind == EPACT_M_REGISTER && m->shard >= 1 && m->shard < net->size && m->slot >= 1 &&
              epact_entry_read(net, m->text, &e, &used) && !m->text[used];
  if (!good) {
    epact_refuse(&net->refusals, EPACT_REFUSED_MALFORMED, "a registration that does not fit this job");
    return EPACT_OK;
  }
  if (strcmp(e.key, letter->user) != 0) {
    epact_refuse(&net->refusals, EPACT_REFUSED_SENDER, "a registration of rank %d under a key that is not its own",
                 m->shard);
    return EPACT_OK;
  }
  const char *known = net->endpoint[m->shard];
  if (*known && !strcmp(known, e.endpoint)) return EPACT_OK; /* told again until it hears the members */
  if (*known) {
    return epact_fail(EPACT_E_JOB, "rank %d came twice: at %s and at %s", m->shard, known, e.endpoint);
  }
  workers[m->shard] = m->slot;
  epact_entry_keep(net, m->shard, &e);
  int code = epact_net_connect(net, m->shard);
  if (code) return code;
  if (m->cursor != net->snapshot_every) {
    return epact_fail(EPACT_E_JOB, "rank 0 takes a snapshot every %" PRId64 " clocks (0: none), rank %d every %" PRId64,
                      net->snapshot_every, m->shard, m->cursor);
  }
  if ((m->code != 0) != net->journal) {
    return epact_fail(EPACT_E_JOB, "rank 0 keeps %s journal, rank %d %s", net->journal ? "a" : "no", m->shard,
                      m->code ? "does" : "does not");
  }
  if (m->request != (uint32_t)net->servers) {
    return epact_fail(EPACT_E_JOB, "rank 0 has shards on %d processes, rank %d on %" PRIu32, net->servers, m->shard,
                      m->request);
  }
  if (m->final == net->deterministic) return EPACT_OK;
  return epact_fail(EPACT_E_JOB, "rank 0 is%s deterministic, rank %d is%s", net->deterministic ? "" : " not", m->shard,
                    m->final ? "" : " not");
}

char *epact_members_text(const epact_net *net, const int32_t *workers)
{
  size_t bytes = (size_t)net->size * (EPACT_ENTRY_BYTES + 16) + 1, length = 0;
  char *text = epact_malloc(bytes);
  if (!text) return NULL;
  for (int rank = 0; rank < net->size; rank++) {
    char line[EPACT_ENTRY_BYTES];
    epact_entry_write(net, rank, line);
    length += (size_t)snprintf(text + length, bytes - length, "%d %s\n", workers[rank], line);
  }
  return text;
}

static int announce_members(epact_net *net, const int32_t *workers)
{
  if (net->begin->refused) return epact_fail(EPACT_E_STOPPED, "%s", net->begin->refused);
  char *text = epact_members_text(net, workers);
  int code = text ? EPACT_OK : EPACT_E_NOMEM;
  for (int rank = 1; rank < net->size && !code; rank++) {
    epact_message members = { .kind = EPACT_M_MEMBERS,
                              .shard = net->rank,
                              .slot = -1,
                              .request = (uint32_t)net->servers,
                              .applied = (int64_t)net->begin->run,
                              .cursor = net->begin->snapshot,
                              .clock = net->begin->clock,
                              .table = net->begin->life,
                              .text = text };
    code = epact_net_send(net, rank, &members);
  }
  free(text);
  return code;
}

/* Nobody waits for a job that cannot begin. */
void epact_net_call_off(epact_net *net)
{
  char reason[512];
  int cause = epact_error_code();
  if (!net->number) return; /* memory was short before anybody could be told anything */
  if (net->joins) return;   /* the others were at work without this one; they find it lost */
  bool stranger = net->rank != 0 && net->number[0] == net->job; /* not told the members' numbers */
  if (stranger) return;
  snprintf(reason, sizeof reason, "%s", epact_error_message());
  for (int rank = 0; net->dealer && rank < net->size; rank++) {
    epact_message stop = { .kind = EPACT_M_STOP, .shard = net->rank, .slot = -1, .text = reason };
    if (!net->dealer[rank]) continue;
    epact_net_send(net, rank, &stop);
  }
  epact_fail(cause, "%s", reason);
}

static int fail_missing(epact_net *net, const char *missing)
{
  const char *hint = "";
  if (epact_refusals_of(&net->refusals, EPACT_REFUSED_JOB)) hint = " (frames of another job came instead)";
  if (epact_refusals_of(&net->refusals, EPACT_REFUSED_HANDSHAKE) ||
      epact_refusals_of(&net->refusals, EPACT_REFUSED_KEY))
    hint = " (connections without the right key were refused)";
  return epact_fail(EPACT_E_TIMEOUT, "waited %g s at %s for rank %s to register%s", net->patience, net->endpoint[0],
                    missing, hint);
}

static int gather_members(epact_net *net, int32_t *workers, double end)
{
  char missing[256];
  while (missing_ranks(net, missing, sizeof missing)) {
    if (epact_now() > end) return fail_missing(net, missing);
    int ready = wait_readable(net, REGISTER_EVERY);
    if (ready < 0) return ready;
    if (!ready) continue;
    size_t bytes = 0;
    epact_letter *letter = epact_net_receive(net, &bytes);
    if (net->failure) return net->failure;
    if (!letter) continue;
    int code = take_registration(net, letter, workers);
    epact_letter_free(letter);
    if (code) return code;
  }
  return announce_members(net, workers);
}

/* Who joins is told its rank; what it knows of itself moves there. */
static int take_place(epact_net *net, const epact_message *m)
{
  if (!net->joins) return EPACT_OK;
  int from = net->rank, to = m->slot;
  if (to < 1 || to >= from || m->request < 1) return epact_fail(EPACT_E_PROTO, "the place in the job is malformed");
  memcpy(net->endpoint[to], net->endpoint[from], sizeof net->endpoint[to]);
  memcpy(net->key[to], net->key[from], sizeof net->key[to]);
  net->number[to] = net->number[from];
  net->rank = to;
  net->size = to + 1;
  net->servers = (int32_t)m->request;
  return EPACT_OK;
}

/* A process that is gone has no endpoint. */
static int take_member(epact_net *net, int rank, const char **text, int32_t *workers)
{
  int used = 0;
  epact_entry e;
  bool counted = sscanf(*text, "%d %n", workers, &used) == 1 && used && *workers >= 1;
  *text += used;
  if (counted && net->joins && !strncmp(*text, "gone\n", 5)) {
    *text += 5;
    net->gone[rank] = true;
    return EPACT_OK;
  }
  bool good = counted && (rank == 0 ? sscanf(*text, SCAN_ENTRY "%n", e.endpoint, &e.number, e.key, &used) == 3
                                    : epact_entry_read(net, *text, &e, &used));
  if (!good || (*text)[used] != '\n') return epact_fail(EPACT_E_PROTO, "the list of members is malformed");
  *text += used + 1;
  if (rank == 0) net->number[0] = e.number;
  if (rank == net->rank || rank == 0) return EPACT_OK;
  epact_entry_keep(net, rank, &e);
  return epact_net_connect(net, rank);
}

static int take_members(epact_net *net, const epact_message *m, int32_t *workers)
{
  const char *text = m->text;
  int code = take_place(net, m);
  *net->begin = (epact_beginning){ (uint64_t)m->applied, m->cursor, m->clock, m->table, NULL };
  for (int rank = 0; rank < net->size && !code; rank++) code = take_member(net, rank, &text, &workers[rank]);
  return code;
}

int epact_net_ask_to_join(epact_net *net, int workers)
{
  char text[EPACT_ENTRY_BYTES];
  epact_entry_write(net, net->rank, text);
  epact_message self = { .kind = EPACT_M_REGISTER, .shard = -1, .slot = workers, .text = text };
  return epact_net_send(net, 0, &self);
}

/* A handshake with rank 0 that will not succeed. */
static int check_welcome(epact_net *net, epact_broken_off *broken)
{
  int number, code = EPACT_OK;
  int64_t value;
  while (!code && epact_net_event(net->monitor[0], &number, &value)) {
    code = epact_security_event(net, 0, number, value, broken);
  }
  return code;
}

static int send_registration(epact_net *net, int workers)
{
  char text[EPACT_ENTRY_BYTES];
  epact_entry_write(net, net->rank, text);
  epact_message self = { .kind = EPACT_M_REGISTER,
                         .shard = net->joins ? -1 : net->rank,
                         .slot = workers,
                         .request = (uint32_t)net->servers,
                         .cursor = net->snapshot_every,
                         .code = net->journal ? -1 : 0,
                         .final = net->deterministic,
                         .text = text };
  return epact_net_send(net, 0, &self);
}

static int register_self(epact_net *net, int32_t *workers, double end)
{
  int own_workers = workers[net->joins ? 0 : net->rank];
  double next = 0;
  epact_broken_off broken = { 0, 0 };
  for (;;) {
    int code = check_welcome(net, &broken);
    if (code) return code;
    if (epact_now() > end && net->joins) {
      return epact_fail(EPACT_E_TIMEOUT,
                        "a process that wants to join waited %g s for rank 0 at %s: is there a job, and is it elastic?",
                        net->patience, net->endpoint[0]);
    }
    if (epact_now() > end) {
      return epact_fail(EPACT_E_TIMEOUT, "rank %d waited %g s for rank 0 at %s%s", net->rank, net->patience,
                        net->endpoint[0],
                        broken.last > 0 ? " (somebody is there, but no handshake has ended: a process of Epact?)" : "");
    }
    if (epact_now() >= next) {
      if ((code = send_registration(net, own_workers))) return code;
      next = epact_now() + REGISTER_EVERY;
    }
    int ready = wait_readable(net, REGISTER_EVERY);
    if (ready < 0) return ready;
    if (!ready) continue;
    size_t bytes = 0;
    epact_letter *letter = epact_net_receive(net, &bytes);
    if (net->failure) return net->failure;
    if (!letter) continue;
    epact_message_kind kind = letter->decoded.message.kind;
    bool from_root = letter->decoded.message.sender == 0 && epact_net_is_from(net, letter);
    if (kind == EPACT_M_STOP && epact_net_is_from(net, letter)) {
      int stopped = epact_fail(EPACT_E_STOPPED, "%s", letter->decoded.message.text);
      epact_letter_free(letter);
      return stopped;
    }
    if (kind != EPACT_M_MEMBERS || !from_root) { /* of a process that has heard them before this one */
      letter->next = NULL;
      *net->early_end = letter;
      net->early_end = &letter->next;
      continue;
    }
    code = take_members(net, &letter->decoded.message, workers);
    epact_letter_free(letter);
    return code;
  }
}

int epact_net_register(epact_net *net, int32_t *workers, double end)
{
  return net->rank == 0 ? gather_members(net, workers, end) : register_self(net, workers, end);
}
