/* Signs of life. Every process tells every other at least once a heartbeat that it is there. One that was
 * not heard for a lease, or whose connection stays closed, is lost: as long as it is needed, that is
 * an error which names it. Everything here runs on the net's thread. */
#include "net.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define DEFAULT_LEASE 10.0
#define RECONNECT_SECONDS 1.0 /* a closed connection may come back within */

struct epact_peer {
  void *monitor; /* of the DEALER to it; NULL for this process */
  double heard;  /* when its last frame came */
  double cut;    /* when its connection closed; 0 while it is open */
};

static void endpoint_of_monitor(const epact_net *net, int rank, char *endpoint, size_t bytes)
{
  snprintf(endpoint, bytes, "inproc://epact-%p-%d", (const void *)net, rank);
}

int epact_liveness_open(epact_net *net, double lease)
{
  char endpoint[64];
  net->lease = lease > 0 ? lease : DEFAULT_LEASE;
  net->heartbeat = net->lease < 4 ? net->lease / 4 : 1;
  net->ticked = net->beaten = epact_now();
  net->peer = epact_calloc((size_t)net->size, sizeof *net->peer);
  if (!net->peer) return EPACT_E_NOMEM;
  for (int rank = 0; rank < net->size; rank++) {
    epact_peer *peer = &net->peer[rank];
    peer->heard = net->ticked;
    if (rank == net->rank) continue;
    endpoint_of_monitor(net, rank, endpoint, sizeof endpoint);
    int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED;
    peer->monitor = zmq_socket(net->context, ZMQ_PAIR);
    if (!peer->monitor || zmq_socket_monitor(net->dealer[rank], endpoint, events) ||
        zmq_connect(peer->monitor, endpoint)) {
      return epact_net_fail("cannot watch", net->endpoint[rank]);
    }
  }
  return EPACT_OK;
}

void epact_liveness_close(epact_net *net)
{
  for (int rank = 0; net->peer && rank < net->size; rank++) {
    if (!net->peer[rank].monitor) continue;
    zmq_socket_monitor(net->dealer[rank], NULL, 0);
    zmq_close(net->peer[rank].monitor);
  }
  free(net->peer);
  net->peer = NULL;
}

void epact_liveness_heard(epact_net *net, int rank)
{
  if (rank >= 0 && rank < net->size) net->peer[rank].heard = epact_now();
}

/* An event is two parts: its number (u16) and value (u32), then the endpoint. */
static void take_events(epact_peer *peer, double now)
{
  for (;;) {
    zmq_msg_t event, endpoint;
    uint16_t number = 0;
    zmq_msg_init(&event);
    bool got = zmq_msg_recv(&event, peer->monitor, ZMQ_DONTWAIT) >= 0;
    if (got && zmq_msg_size(&event) >= sizeof number) memcpy(&number, zmq_msg_data(&event), sizeof number);
    bool more = got && zmq_msg_more(&event);
    zmq_msg_close(&event);
    if (more) {
      zmq_msg_init(&endpoint);
      zmq_msg_recv(&endpoint, peer->monitor, ZMQ_DONTWAIT);
      zmq_msg_close(&endpoint);
    }
    if (!got) return;
    if (number == ZMQ_EVENT_CONNECTED) peer->cut = 0;
    if (number == ZMQ_EVENT_DISCONNECTED && !(peer->cut > 0)) peer->cut = now;
  }
}

/* A process may go when its workers have finished and so have ours, whose rows it serves. */
static bool is_needed(epact_process *process, int rank, int *first, int *last, int64_t *clock)
{
  bool needed = false;
  *first = -1;
  *clock = EPACT_FOREVER;
  pthread_rwlock_rdlock(&process->shard_lock);
  for (int slot = 0; slot < process->slots; slot++) {
    int64_t applied = process->shard.slot[slot].applied;
    bool its = process->slot_rank[slot] == rank;
    if (its) {
      *first = *first < 0 ? slot : *first;
      *last = slot;
      *clock = applied < *clock ? applied : *clock;
    }
    needed = needed || ((its || process->slot_rank[slot] == process->rank) && applied != EPACT_FOREVER);
  }
  pthread_rwlock_unlock(&process->shard_lock);
  return needed;
}

static void report_loss(epact_net *net, int rank, double now)
{
  epact_peer *peer = &net->peer[rank];
  char workers[64], clock_text[64] = "had finished", reason[512];
  int first, last = 0;
  int64_t clock;
  if (!is_needed(net->process, rank, &first, &last, &clock)) return;
  snprintf(workers, sizeof workers, first == last ? "worker %d" : "workers %d .. %d", first, last);
  if (clock != EPACT_FOREVER) snprintf(clock_text, sizeof clock_text, "last heard of at clock %" PRId64, clock + 1);
  bool cut = peer->cut > 0;
  snprintf(reason, sizeof reason, "rank %d was lost (%s, %s): %s %.1f s ago [E_LOST]", rank, workers, clock_text,
           cut ? "its connection closed" : "its last sign of life came", now - (cut ? peer->cut : peer->heard));
  epact_process_stop(net->process, reason);
}

long epact_liveness_tick(epact_net *net)
{
  double now = epact_now();
  /* A process that was paused itself has not heard the others for reasons of its own. */
  if (now - net->ticked > net->lease / 2) {
    for (int rank = 0; rank < net->size; rank++) net->peer[rank].heard = now;
  }
  net->ticked = now;
  bool beat = now - net->beaten >= net->heartbeat;
  if (beat) net->beaten = now;
  for (int rank = 0; rank < net->size; rank++) {
    epact_peer *peer = &net->peer[rank];
    if (!peer->monitor) continue;
    take_events(peer, now);
    if (beat) {
      epact_message sign = { .kind = EPACT_M_HEARTBEAT, .shard = net->rank, .slot = -1, .text = "" };
      epact_net_send_now(net, rank, &sign); /* who cannot be sent to is found lost soon enough */
    }
    bool silent = now - peer->heard > net->lease, closed = peer->cut > 0 && now - peer->cut > RECONNECT_SECONDS;
    if ((silent || closed) && !epact_process_stopped(net->process)) report_loss(net, rank, now);
  }
  return (long)(net->heartbeat * 500); /* twice a heartbeat */
}
