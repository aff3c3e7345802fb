/* Signs of life. Every process tells every other at least once a heartbeat that it is there, from a thread of its own:
 * the net's may be busy with a large batch. One that was not heard for a lease, or whose connection stays closed, is
 * lost: as long as it is needed, that is an error which names it. All but the heartbeats runs on the net's thread. */
#include "net.h"

#include "../base/fault.h"
#include "../base/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define DEFAULT_LEASE 10.0
#define TICK_SECONDS 0.002    /* between two looks at all processes, however many frames come */
#define RECONNECT_SECONDS 1.0 /* a closed connection may come back within */

/* To the first `ranks` processes. A worker without a shard that has parted reads no more. */
static void send_signs(epact_net *net, int ranks)
{
  epact_message sign = { .kind = EPACT_M_HEARTBEAT, .shard = net->rank, .slot = -1, .final = net->parts, .text = "" };
  for (int rank = 0; rank < ranks; rank++) {
    if (rank == net->rank || net->gone[rank] || (rank >= net->servers && net->peer[rank].parted)) continue;
    if (!net->peer[rank].is_cut) epact_net_send(net, rank, &sign); /* else it would only be waited for in the end */
  }
}

static void *beat(void *argument)
{
  epact_net *net = argument;
  pthread_mutex_lock(&net->rest_lock);
  while (!net->rests) {
    struct timespec deadline = epact_deadline_after(net->heartbeat);
    if (pthread_cond_timedwait(&net->rest, &net->rest_lock, &deadline) == 0) continue;
    send_signs(net, net->size);
  }
  pthread_mutex_unlock(&net->rest_lock);
  return NULL;
}

static int start_heart(epact_net *net)
{
  pthread_mutex_init(&net->rest_lock, NULL);
  epact_condition_init(&net->rest);
  int error = epact_thread_create(&net->heart, beat, net);
  if (error) return epact_fail(EPACT_E_SYSTEM, "cannot start the thread of heartbeats: %s", strerror(error));
  net->beats = true;
  return EPACT_OK;
}

void epact_liveness_rest(epact_net *net)
{
  if (!net->beats) return;
  pthread_mutex_lock(&net->rest_lock);
  net->rests = true;
  pthread_cond_signal(&net->rest);
  pthread_mutex_unlock(&net->rest_lock);
  pthread_join(net->heart, NULL);
  pthread_mutex_destroy(&net->rest_lock);
  pthread_cond_destroy(&net->rest);
  net->beats = false;
}

int epact_liveness_open(epact_net *net, double lease)
{
  net->lease = lease > 0 ? lease : DEFAULT_LEASE;
  net->heartbeat = net->lease < 4 ? net->lease / 4 : 1;
  net->ticked = epact_now();
  net->peer = epact_calloc((size_t)net->capacity, sizeof *net->peer);
  if (!net->peer) return EPACT_E_NOMEM;
  for (int rank = 0; rank < net->size; rank++) net->peer[rank].heard = net->ticked;
  return start_heart(net);
}

void epact_liveness_close(epact_net *net)
{
  for (int rank = 0; net->peer && rank < net->capacity; rank++) {
    free(net->peer[rank].reason);
    free(net->peer[rank].settled);
  }
  free(net->peer);
  net->peer = NULL;
}

void epact_liveness_heard(epact_net *net, int rank)
{
  if (net->peer && rank >= 0 && rank < net->size) net->peer[rank].heard = epact_now();
}

void epact_liveness_settled(epact_net *net, int rank, int local)
{
  epact_peer *peer = &net->peer[rank];
  if (!peer->settled) peer->settled = epact_calloc((size_t)net->process->workers, sizeof *peer->settled);
  if (!peer->settled || peer->settled[local]) return; /* short of memory: it stays needed */
  peer->settled[local] = true;
  peer->settled_count++;
}

void epact_net_part(epact_net *net)
{
  if (!atomic_exchange(&net->parts, true)) send_signs(net, net->servers); /* the others do not wait for it */
}

void epact_liveness_parted(epact_net *net, int rank)
{
  if (!atomic_exchange(&net->peer[rank].parted, true)) epact_process_wake(net->process);
}

bool epact_net_all_parted(const epact_net *net)
{
  for (int rank = 0; rank < net->size; rank++) {
    if (rank != net->rank && !net->gone[rank] && !net->peer[rank].parted) return false;
  }
  return true;
}

static bool is_closed(const epact_peer *peer, double now)
{
  return peer->cut > 0 && now - peer->cut > RECONNECT_SECONDS;
}

bool epact_liveness_has_left(const epact_net *net, int rank)
{
  if (net->gone[rank] || !net->peer) return net->gone[rank];
  const epact_peer *peer = &net->peer[rank];
  return is_closed(peer, epact_now()) || (peer->parted && (rank >= net->servers || peer->cut > 0));
}

static void note_event(epact_peer *peer, int number, double now)
{
  if (number == ZMQ_EVENT_CONNECTED) peer->cut = 0;
  if (number == ZMQ_EVENT_DISCONNECTED && !(peer->cut > 0)) peer->cut = now;
  peer->is_cut = peer->cut > 0;
}

/* E_AUTH when the other side will not have us. */
static int take_events(epact_net *net, int rank, double now)
{
  epact_peer *peer = &net->peer[rank];
  int number, code = EPACT_OK;
  int64_t value;
  while (!code && epact_net_event(net->monitor[rank], &number, &value)) {
    note_event(peer, number, now);
    /* Who has closed for good, and whose port another may use by now, is lost and not unkind. */
    if (!(peer->cut > 0)) code = epact_security_event(net, rank, number, value, &peer->broken);
  }
  return code;
}

/* A process may go when its workers have finished, and its shard has told all others' that their last batches are
 * applied: who has not heard that waits for it. Who holds no shard knows nothing of others' workers. */
static bool is_needed(const epact_net *net, int rank, int *first, int *last, int64_t *clock)
{
  epact_process *process = net->process;
  bool needed = false;
  *first = -1;
  *clock = EPACT_FOREVER;
  pthread_rwlock_rdlock(&process->shard_lock);
  for (int slot = 0; slot < process->slots; slot++) {
    int64_t applied = process->serves && slot < process->shard.slots ? process->shard.slot[slot].applied : -1;
    bool its = process->slot_rank[slot] == rank;
    if (its) {
      *first = *first < 0 ? slot : *first;
      *last = slot;
      *clock = applied < *clock ? applied : *clock;
    }
    needed = needed || (process->serves && its && applied != EPACT_FOREVER);
  }
  pthread_rwlock_unlock(&process->shard_lock);
  return needed || (rank < process->servers && net->peer[rank].settled_count < process->workers);
}

void epact_liveness_last_look(epact_net *net)
{
  int number;
  int64_t value;
  for (int rank = 0; net->peer && rank < net->size; rank++) {
    while (net->monitor[rank] && epact_net_event(net->monitor[rank], &number, &value))
      note_event(&net->peer[rank], number, epact_now());
  }
}

static void report_loss(epact_net *net, int rank, double now)
{
  epact_peer *peer = &net->peer[rank];
  char workers[64], clock_text[64] = "had finished", reason[512];
  int first, last = 0;
  int64_t clock;
  if (!is_needed(net, rank, &first, &last, &clock)) return;
  snprintf(workers, sizeof workers, first == last ? "worker %d" : "workers %d .. %d", first, last);
  if (clock != EPACT_FOREVER) snprintf(clock_text, sizeof clock_text, "last heard of at clock %" PRId64, clock + 1);
  bool cut = peer->cut > 0;
  snprintf(reason, sizeof reason, "rank %d was lost (%s, %s): %s %.1f s ago [E_LOST]", rank, workers, clock_text,
           cut ? "its connection closed" : "its last sign of life came", now - (cut ? peer->cut : peer->heard));
  if (rank >= net->servers && (net->process->go_on || rank >= net->process->size)) {
    if (net->rank == 0 || now - peer->fenced > net->heartbeat) epact_members_lose(net, rank, reason);
    peer->fenced = now;
    return;
  }
  /* The others may do without this process: what it believes to be lost is not lost to them. */
  bool tell = net->rank < net->servers || !net->process->go_on;
  epact_process_stop_here(net->process, reason, tell);
}

long epact_liveness_tick(epact_net *net)
{
  double now = epact_now();
  long wait = (long)(net->heartbeat * 500); /* twice a heartbeat */
  if (now - net->ticked < TICK_SECONDS) return wait;
  /* A process that was paused itself has not heard the others for reasons of its own. */
  if (now - net->ticked > net->lease / 2) {
    for (int rank = 0; rank < net->size; rank++) net->peer[rank].heard = now;
  }
  net->ticked = now;
  epact_refusals_tick(&net->refusals, false);
  for (int rank = 0; rank < net->size; rank++) {
    epact_peer *peer = &net->peer[rank];
    if (!net->monitor[rank] || net->gone[rank]) continue;
    if (take_events(net, rank, now) && !epact_process_stopped(net->process)) {
      char reason[512];
      snprintf(reason, sizeof reason, "%s [E_AUTH]", epact_error_message());
      epact_process_stop(net->process, reason);
    }
    bool silent = now - peer->heard > net->lease;
    if (!silent && !is_closed(peer, now)) continue;
    epact_liveness_parted(net, rank);
    if (!epact_process_stopped(net->process)) report_loss(net, rank, now);
  }
  return wait;
}
