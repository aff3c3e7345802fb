/* Processes that are lost while the job goes on, and processes that join it. Rank 0 decides and tells all; the
 * shards take slots away, or add them, each at its own time (shard.h). On the net's thread. */
#include "net.h"

#include "../base/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define FENCE_EVERY 1.0 /* seconds between what one process that was given up is told */

/* ---- losing ---- */

static int give_up(epact_net *net, int rank, const char *reason)
{
  if (net->gone[rank]) return EPACT_OK;
  net->gone[rank] = true;
  net->peer[rank].reason = epact_strdup(reason);
  epact_process_give_up(net->process, rank);
  return EPACT_OK;
}

int epact_members_lose(epact_net *net, int rank, const char *reason)
{
  int code = EPACT_OK;
  if (net->rank != 0) {
    epact_message suspect = { .kind = EPACT_M_SUSPECT, .shard = 0, .slot = -1, .cursor = rank, .text = reason };
    return epact_net_send(net, 0, &suspect);
  }
  fprintf(stderr, "epact: %s; the others go on\n", reason);
  for (int other = 1; other < net->size && !code; other++) {
    epact_message gone = { .kind = EPACT_M_GONE, .shard = other, .slot = -1, .cursor = rank, .text = reason };
    if (other != rank && !net->gone[other]) code = epact_net_send(net, other, &gone);
  }
  return code ? code : give_up(net, rank, reason);
}

void epact_members_fence(epact_net *net, int rank)
{
  epact_peer *peer = &net->peer[rank];
  double now = epact_now();
  char reason[512];
  if (now - peer->fenced < FENCE_EVERY) return;
  peer->fenced = now;
  snprintf(reason, sizeof reason, "this process was given up: %s [E_FENCED]", peer->reason ? peer->reason : "");
  epact_message stop = { .kind = EPACT_M_STOP, .shard = rank, .slot = -1, .text = reason };
  epact_net_send(net, rank, &stop);
}

/* ---- joining ---- */

static int count_workers(const epact_process *process, int rank)
{
  int count = 0;
  for (int slot = 0; slot < process->slots; slot++) count += process->slot_rank[slot] == rank;
  return count;
}

/* What a process that joins must know: as MEMBERS, with its rank and where the shards are. */
static int welcome(epact_net *net, int rank)
{
  const epact_process *process = net->process;
  size_t bytes = (size_t)net->size * (EPACT_ENTRY_BYTES + 16) + 1, length = 0;
  char *text = epact_malloc(bytes);
  if (!text) return EPACT_E_NOMEM;
  for (int r = 0; r < net->size; r++) {
    char entry[EPACT_ENTRY_BYTES];
    epact_entry_write(net, r, entry);
    length += (size_t)snprintf(text + length, bytes - length, "%d %s\n", count_workers(process, r),
                               net->gone[r] ? "gone" : entry);
  }
  epact_message members = { .kind = EPACT_M_MEMBERS,
                            .shard = net->rank,
                            .slot = rank,
                            .request = (uint32_t)net->servers,
                            .cursor = -1,
                            .text = text };
  int code = epact_net_send(net, rank, &members);
  free(text);
  return code;
}

/* The shard of this process lets the workers of `rank` in, and tells them where they begin. */
static int admit_here(epact_net *net, int rank, int first, int workers)
{
  epact_process *process = net->process;
  int64_t clock;
  int code = epact_process_admit(process, rank, first, workers, &clock);
  epact_message answer = { .kind = EPACT_M_ADMITTED, .shard = net->rank, .slot = first, .clock = clock, .text = "" };
  if (code == EPACT_E_STOPPED) { /* too late: the job is over */
    epact_liveness_parted(net, rank);
    answer.kind = EPACT_M_STOP;
    answer.text = epact_error_message();
  } else if (code)
    return code;
  return process->serves ? epact_net_send(net, rank, &answer) : EPACT_OK;
}

static int announce(epact_net *net, int rank, int first, int workers)
{
  char entry[EPACT_ENTRY_BYTES];
  int code = EPACT_OK;
  epact_entry_write(net, rank, entry);
  for (int other = 1; other < net->size && !code; other++) {
    epact_message admit = {
      .kind = EPACT_M_ADMIT, .shard = other, .slot = first, .cursor = rank, .request = (uint32_t)workers, .text = entry
    };
    if (other != rank && !net->gone[other]) code = epact_net_send(net, other, &admit);
  }
  return code ? code : admit_here(net, rank, first, workers);
}

static int add_peer(epact_net *net, int rank, const epact_entry *entry)
{
  epact_entry_keep(net, rank, entry);
  int code = epact_net_connect(net, rank);
  if (!code) net->size = rank + 1;
  if (!code) net->peer[rank].heard = epact_now();
  return code;
}

static int first_slot_of(const epact_process *process, int rank)
{
  int slot = 0;
  while (slot < process->slots && process->slot_rank[slot] != rank) slot++;
  return slot;
}

/* Tells a process that asks to join why it may not, once: by the connection of a rank that nobody has. */
static void decline(epact_net *net, const epact_entry *entry, const char *reason)
{
  int spare = net->capacity - 1;
  epact_message stop = { .kind = EPACT_M_STOP, .shard = spare, .slot = -1, .text = reason };
  if (net->number[spare] == entry->number) return;
  epact_refuse(&net->refusals, EPACT_REFUSED_SENDER, "a process that wants to join: %s", reason);
  epact_entry_keep(net, spare, entry);
  pthread_mutex_lock(&net->send_lock);
  if (net->dealer[spare]) zmq_close(net->dealer[spare]);
  net->dealer[spare] = NULL;
  int code = epact_net_dial(net, spare, &net->dealer[spare], false);
  pthread_mutex_unlock(&net->send_lock);
  if (!code) epact_net_send(net, spare, &stop);
}

int epact_members_join(epact_net *net, const epact_letter *letter)
{
  epact_process *process = net->process;
  const epact_message *m = &letter->decoded.message;
  epact_entry entry;
  int used;
  if (net->rank != 0 || !epact_entry_read(net, m->text, &entry, &used) || m->text[used] || m->slot < 1 ||
      strcmp(entry.key, letter->user) != 0) {
    epact_refuse(&net->refusals, EPACT_REFUSED_SENDER, "a process that wants to join but may not");
    return EPACT_OK;
  }
  for (int rank = process->size; rank < net->size; rank++) { /* it asks again until all have answered */
    if (net->number[rank] != entry.number || net->gone[rank]) continue;
    int first = first_slot_of(process, rank), code = welcome(net, rank);
    return code ? code : announce(net, rank, first, count_workers(process, rank));
  }
  int rank = net->size;
  bool over = epact_process_is_over(process);
  if (!process->elastic || over || rank >= net->capacity - 1 || process->slots + m->slot > EPACT_MAX_SLOTS) {
    decline(net, &entry,
            !process->elastic ? "the job is not elastic"
            : over            ? "all workers have finished"
                              : "there is no room for one more process");
    return EPACT_OK;
  }
  int first = process->slots, code = add_peer(net, rank, &entry);
  if (!code) fprintf(stderr, "epact: rank %d joins with workers %d .. %d\n", rank, first, first + m->slot - 1);
  if (!code) code = announce(net, rank, first, m->slot);
  return code ? code : welcome(net, rank);
}

static int take_admit(epact_net *net, const epact_message *m)
{
  epact_entry entry;
  int used;
  if (m->sender != 0 || m->cursor < net->process->size || m->cursor > net->size || m->cursor >= net->capacity - 1 ||
      m->slot < 0 || m->request < 1 || m->request > EPACT_MAX_SLOTS || !epact_entry_read(net, m->text, &entry, &used)) {
    epact_refuse(&net->refusals, EPACT_REFUSED_SENDER, "a process that joins, as rank %d says", m->sender);
    return EPACT_OK;
  }
  int rank = (int)m->cursor, code = rank == net->size ? add_peer(net, rank, &entry) : EPACT_OK;
  return code ? code : admit_here(net, rank, m->slot, (int)m->request);
}

int epact_members_take(epact_net *net, const epact_message *m)
{
  epact_process *process = net->process;
  bool known = m->cursor > 0 && m->cursor < net->size;
  switch (m->kind) {
  case EPACT_M_SUSPECT:
    if (net->rank != 0 || !known || net->gone[m->cursor] || m->cursor < net->servers || m->cursor == m->sender)
      return EPACT_OK;
    return process->go_on || m->cursor >= process->size ? epact_members_lose(net, (int)m->cursor, m->text) : EPACT_OK;
  case EPACT_M_GONE:
    return m->sender == 0 && known ? give_up(net, (int)m->cursor, m->text) : EPACT_OK;
  case EPACT_M_ADMIT:
    return take_admit(net, m);
  default:
    if (process->joins && m->sender < process->servers) epact_process_admitted(process, m->sender, m->clock);
    return EPACT_OK;
  }
}
