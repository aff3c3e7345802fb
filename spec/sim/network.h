/* The virtual network: frames in flight ordered by their time of arrival; loss, repetition, delay,
 * partitions; the planted bugs and the mutated frames. Every message travels as an encoded frame. */
#ifndef EPACT_SPEC_SIM_NETWORK_H
#define EPACT_SPEC_SIM_NETWORK_H

#include "checksum.h"
#include "job.h"

/* ---- events: a binary heap by (time, order) ---- */

static bool earlier(const event *a, const event *b)
{
  return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static void push_event(job *j, event e)
{
  if (j->events == j->event_capacity) {
    int64_t capacity = j->event_capacity ? j->event_capacity * 2 : 256;
    if (epact_grow(&j->heap, (size_t)capacity, sizeof *j->heap)) {
      violate(j, "memory: %s", epact_error_message());
      free(e.frame);
      return;
    }
    j->event_capacity = capacity;
  }
  e.order = j->order++;
  e.life = j->life;
  int64_t at = j->events++;
  for (; at > 0 && earlier(&e, &j->heap[(at - 1) / 2]); at = (at - 1) / 2) j->heap[at] = j->heap[(at - 1) / 2];
  j->heap[at] = e;
}

static event pop_event(job *j)
{
  event first = j->heap[0], last = j->heap[--j->events];
  int64_t at = 0;
  for (int64_t child = 1; child < j->events; child = 2 * at + 1) {
    if (child + 1 < j->events && earlier(&j->heap[child + 1], &j->heap[child])) child++;
    if (!earlier(&j->heap[child], &last)) break;
    j->heap[at] = j->heap[child];
    at = child;
  }
  j->heap[at] = last;
  return first;
}

static void wake(job *j, event_kind kind, int slot, int64_t after)
{
  push_event(j, (event){ .time = j->now + after, .kind = kind, .slot = slot });
}

/* ---- messages ---- */

static const char *const kind_name[EPACT_M_KINDS] = {
  "?",     "CREATE",   "BATCH",   "READ",    "CHANGES",  "WAIT",    "UNSUBSCRIBE", "CREATED",   "ACK",     "ROWS",
  "FEED",  "REACHED",  "REFUSED", "PUSH",    "REGISTER", "MEMBERS", "STOP",        "HEARTBEAT", "SUSPECT", "GONE",
  "ADMIT", "ADMITTED", "SAVED",   "DURABLE", "PART",     "STATE",   "SYNCED",      "END"
};

static void trace_message(const job *j, const char *what, const epact_message *m)
{
  TRACE(j,
        "%-8s %-7s shard %d worker %d request %" PRIu32 " clock %" PRId64 " applied %" PRId64 " cursor %" PRId64
        "%s%s%s",
        what, kind_name[m->kind], m->shard, m->slot, m->request, m->clock, m->applied, m->cursor,
        m->final ? " final" : "", *m->text ? " " : "", m->text);
}

static bool is_answer(epact_message_kind kind)
{
  return kind >= EPACT_M_CREATED;
}

static int64_t arrival(job *j, const epact_message *m)
{
  const job_settings *o = &j->settings;
  int64_t delay = 1 + epact_rng_below(&j->network, o->delay);
  if (j->now < o->heal && chance(&j->network, o->linger)) delay *= 30;
  int64_t time = j->now + delay, *last = &j->last_arrival[m->shard][m->slot][is_answer(m->kind)];
  if (o->in_order && time <= *last) time = *last + 1;
  if (time > *last) *last = time;
  return time;
}

static void enqueue(job *j, const epact_message *m)
{
  event e = { .time = arrival(j, m), .kind = is_answer(m->kind) ? EVENT_TO_CLIENT : EVENT_TO_SHARD };
  e.shard = m->shard;
  e.slot = m->slot;
  e.frame = epact_malloc(epact_wire_size(m) + 8);
  if (!e.frame || epact_wire_encode(m, job_id(j), e.frame, &e.bytes)) {
    violate(j, "encoding: %s", epact_error_message());
    free(e.frame);
    return;
  }
  push_event(j, e);
}

static bool is_lost(job *j, const epact_message *m)
{
  if (j->now >= j->settings.heal) return false;
  int64_t *cut = &j->cut_until[m->shard][m->slot];
  if (j->settings.lose > 0 && chance(&j->network, 0.002)) *cut = j->now + j->settings.delay * 20;
  return j->now < *cut || chance(&j->network, j->settings.lose);
}

/* ---- planted bugs ---- */

/* On the way out. */
static void plant_when_sent(job *j, epact_message *m)
{
  epact_rng *rng = &j->network;
  switch (j->plant) {
  case PLANT_NEED:
    if ((m->kind == EPACT_M_READ || m->kind == EPACT_M_CHANGES) && m->clock > 0) m->clock--;
    break;
  case PLANT_STAMP:
    if (m->kind == EPACT_M_ROWS && m->clock < EPACT_FOREVER) m->clock++;
    break;
  case PLANT_NO_OVERLAY:
    if (m->kind == EPACT_M_ROWS) m->applied = EPACT_FOREVER;
    break;
  case PLANT_FEED_SKIP:
    if (m->kind == EPACT_M_FEED && chance(rng, 0.3)) m->cursor++;
    break;
  case PLANT_FEED_REPEAT:
    if (m->kind == EPACT_M_FEED && chance(rng, 0.3)) m->cursor--;
    break;
  case PLANT_FINAL:
    if (m->kind == EPACT_M_BATCH && chance(rng, 0.02)) m->final = true;
    break;
  default:
    break;
  }
}

/* A batch without its last row. */
static void tear(epact_message *m, epact_section *torn)
{
  *torn = m->section[m->sections - 1];
  torn->rows--;
  m->section = torn;
  m->sections = 1;
}

/* Before the shard sees it. */
static void plant_at_shard(job *j, epact_message *m, epact_section *torn)
{
  if (j->plant == PLANT_UNSUBSCRIBED && m->kind == EPACT_M_UNSUBSCRIBE) m->cursor = INT64_MAX;
  const epact_slot *slot = &j->shard[m->shard].slot[m->slot];
  if (m->kind != EPACT_M_BATCH || slot->finishing) return;
  if (j->plant == PLANT_TWICE && m->clock <= slot->received) m->clock = slot->received + 1;
  if (j->plant == PLANT_GAP && m->clock > slot->received + 1) m->clock = slot->received + 1;
  if (j->plant == PLANT_TORN && m->sections && m->section[m->sections - 1].rows && chance(&j->network, 0.05))
    tear(m, torn);
}

/* Before the client sees it. */
static void plant_at_client(job *j, epact_message *m, epact_client *client)
{
  epact_link *link = &client->link[m->shard];
  if (j->plant == PLANT_OLD_ANSWER && link->waiting && m->kind == EPACT_M_ROWS && link->asked.kind == EPACT_M_READ &&
      link->asked.table == m->table) {
    m->request = link->asked.request;
  }
  if (j->plant == PLANT_OVERLAY_MORE && m->kind == EPACT_M_ROWS) m->applied = link->acknowledged - 1;
  if (j->plant == PLANT_FORGET && link->batches > link->kept && chance(&j->network, 0.02)) {
    epact_message ack = { .kind = EPACT_M_ACK, .shard = m->shard, .clock = link->batch[link->kept].clock };
    epact_client_step(client, &ack);
  }
}

/* What the mirror sees: a process's own copy of a message, with the planted bug in it. */
static int step_mirror(job *j, epact_mirror *mirror, const epact_message *message)
{
  epact_message m = *message;
  epact_section section[3];
  int64_t all[MAX_WORKERS];
  bool push = m.kind == EPACT_M_PUSH;
  int applied = push ? 0 : 1;
  if ((!push && m.kind != EPACT_M_ROWS) || m.sections > 3) return epact_mirror_step(mirror, &m);
  for (int i = 0; i < m.sections; i++) section[i] = m.section[i];
  if (m.sections) m.section = section;
  j->counts.pushes += push;
  if (j->plant == PLANT_PUSH_GAP && push) m.applied = 0;
  if (j->plant == PLANT_PUSH_EARLY && push) m.final = true;
  if (j->plant == PLANT_PUSH_CELLS && push && section[2].rows) section[2].rows--;
  epact_mirror_table *table = epact_mirror_find_table(mirror, m.table);
  if (j->plant == PLANT_MIRROR_OLD && !push && table && table->link[m.shard].part_version > (uint64_t)m.cursor) {
    m.cursor = (int64_t)table->link[m.shard].part_version;
  }
  if (j->plant == PLANT_BARE_COPY && m.sections > applied && section[applied].rows <= MAX_WORKERS) {
    for (int i = 0; i < MAX_WORKERS; i++) all[i] = INT64_C(1) << 40;
    section[applied].value = all;
  }
  return epact_mirror_step(mirror, &m);
}

/* ---- sending ---- */

static void send_message(job *j, const epact_message *message)
{
  epact_message m = *message;
  trace_message(j, "send", &m);
  j->counts.messages++;
  plant_when_sent(j, &m);
  if (is_lost(j, &m)) {
    trace_message(j, "lost", &m);
    j->counts.lost++;
    if (j->plant == PLANT_EARLY_ACK && m.kind == EPACT_M_BATCH) {
      epact_message ack = { .kind = EPACT_M_ACK, .shard = m.shard, .slot = m.slot, .clock = m.clock, .text = "" };
      enqueue(j, &ack);
    }
    return;
  }
  enqueue(j, &m);
  if (j->now < j->settings.heal && chance(&j->network, j->settings.repeat)) {
    j->counts.repeated++;
    enqueue(j, &m);
  }
}

static void emit_from_client(void *context, const epact_message *message)
{
  send_message(((sim_worker *)context)->job, message);
}

static void emit_from_shard(void *context, const epact_message *message)
{
  send_message(context, message);
}

/* ---- hostile frames ---- */

/* Bits flipped, bytes overwritten, words set to extremes, the end cut off or extended; *bytes changes. */
static char *mutate(epact_rng *rng, const char *frame, size_t *bytes)
{
  static const int64_t extreme[] = {
    -1, 0, 1, 7, INT32_MAX, INT64_C(1) << 32, INT64_MAX, INT64_MIN, INT64_C(1) << 53, 0x0101010101010101, 2, 64
  };
  size_t length = *bytes;
  if (chance(rng, 0.2)) length = (size_t)epact_rng_below(rng, (int64_t)length + 1);
  if (chance(rng, 0.05)) length = *bytes + (size_t)epact_rng_below(rng, 64);
  char *copy = epact_calloc(1, length + 16);
  if (!copy) return NULL;
  memcpy(copy, frame, length < *bytes ? length : *bytes);
  for (int64_t n = between(rng, 0, 3); n >= 0 && length; n--) {
    size_t at = (size_t)epact_rng_below(rng, (int64_t)length);
    switch (epact_rng_below(rng, 3)) {
    case 0:
      copy[at] ^= (char)(1 << epact_rng_below(rng, 8));
      break;
    case 1:
      copy[at] = (char)epact_rng_inline(rng);
      break;
    default:
      at &= ~(size_t)7;
      if (at + 8 <= length) memcpy(copy + at, &extreme[epact_rng_below(rng, sizeof extreme / sizeof *extreme)], 8);
    }
  }
  *bytes = length;
  return copy;
}

/* A table of a hostile CREATE that this test could not pay for: that much memory is the peer's right. */
static bool is_too_large(const epact_message *m)
{
  return m->kind == EPACT_M_CREATE &&
         (m->schema->cols > 1 << 12 || (m->schema->rows && m->schema->rows > (1 << 24) / m->schema->cols));
}

static bool is_name_of_job(const job *j, const epact_message *m)
{
  for (int i = 0; m->kind == EPACT_M_CREATE && i < j->settings.tables; i++) {
    if (!strcmp(j->plan[i].name, m->text)) return true;
  }
  return false;
}

static void hear_hostile(job *j, const epact_message *m);

/* What a decoder accepts of a hostile frame with a good checksum goes on, from the hostile slot; in
 * anarchy from and to anybody. */
static void step_hostile(job *j, epact_message *m)
{
  epact_outbox outbox = { emit_from_shard, j };
  int32_t last = j->settings.workers - 1;
  int code = EPACT_OK;
  if (is_too_large(m) || m->shard < 0 || m->shard >= j->settings.shards) return;
  if (!j->settings.anarchy) {
    if (is_answer(m->kind) || is_name_of_job(j, m)) return;
    m->slot = last;
  }
  if (m->slot < 0 || m->slot > last) m->slot = last;
  if (m->kind == EPACT_M_SAVED || m->kind == EPACT_M_DURABLE)
    hear_hostile(j, m);
  else if (is_answer(m->kind))
    code = m->kind == EPACT_M_PUSH || step_mirror(j, j->worker[m->slot].mirror, m)
               ? EPACT_OK
               : epact_client_step(&j->worker[m->slot].client, m);
  else
    code = epact_shard_step(&j->shard[m->shard], m, &outbox);
  if (code && !j->settings.anarchy) violate(j, "hostile: a step failed: %s", epact_error_message());
}

static void attack(job *j, const event *e)
{
  epact_rng *rng = &j->network;
  size_t bytes = e->bytes;
  char *copy = mutate(rng, e->frame, &bytes);
  if (!copy) return;
  bool changed = bytes != e->bytes || memcmp(copy, e->frame, bytes) != 0;
  bool repaired = bytes >= 16 && chance(rng, 0.7);
  if (repaired) checksum(copy, bytes);
  epact_decoded decoded;
  int code = epact_wire_decode(copy, bytes, job_id(j), &decoded);
  j->counts.mutated++;
  j->counts.refused += code != 0;
  if (!code) {
    if (changed && !repaired) violate(j, "hostile: a damaged frame passed its checksum");
    if (repaired) step_hostile(j, &decoded.message);
    epact_decoded_free(&decoded);
  }
  free(copy);
}

#endif
