/* Snapshots of a simulated job: what epact_keep does with a thread, by events. Each process has a binder and a keeper
 * over the one simulated folder; SAVED and DURABLE travel over the virtual network, which loses them at times. */
#ifndef EPACT_SPEC_SIM_KEEPING_H
#define EPACT_SPEC_SIM_KEEPING_H

#include "model.h"
#include "network.h"

/* What a worker keeps for itself. */
typedef struct {
  int64_t slot, clock;
  epact_rng program;
  int32_t acts_left;
  uint32_t open;
  uint64_t digest, own; /* of all it has read; of the sum of its increments */
} sim_state;

static uint64_t own_digest(const job *j, int slot, int64_t clock)
{
  uint64_t digest = 0;
  for (int t = 0; t < j->settings.tables; t++) {
    for (int k = 0; k < PAIRS; k++) {
      for (int col = 0; col < MAX_COLS; col++) digest = digest_value(digest, j->model->before[slot][clock][t][k][col]);
    }
  }
  return digest;
}

/* ---- the queue of a process ---- */

static void schedule(sim_keep *k)
{
  job *j = k->job;
  if (k->scheduled) return;
  k->scheduled = true;
  int64_t pause = chance(&j->fate, 0.1) ? j->settings.delay * 20 : j->settings.delay;
  push_event(j, (event){ .kind = EVENT_DISK, .time = j->now + 1 + epact_rng_below(&j->fate, pause), .shard = k->rank });
}

static void queue_task(sim_keep *k, const sim_task *task)
{
  sim_task *t = epact_malloc(sizeof *t), **end = &k->queue;
  if (!t) {
    violate(k->job, "memory: %s", epact_error_message());
    return;
  }
  *t = *task;
  t->next = NULL;
  while (*end) end = &(*end)->next;
  *end = t;
  schedule(k);
}

static void close_keep(sim_keep *k)
{
  while (k->queue) {
    sim_task *t = k->queue;
    k->queue = t->next;
    epact_records_free(&t->piece.records);
    free(t);
  }
  epact_binder_close(&k->binder);
  epact_keeper_close(&k->keeper);
  memset(k, 0, sizeof *k);
}

/* ---- messages between processes ---- */

static void hear(sim_keep *k, const epact_message *m)
{
  sim_task t = { .message = *m };
  t.message.text = "";
  if (k->job->plant == PLANT_REMOVE && m->kind == EPACT_M_DURABLE) t.message.cursor = m->clock + 1;
  queue_task(k, &t);
}

/* In anarchy: a keeper hears lies about its files. */
static void hear_hostile(job *j, const epact_message *m)
{
  if (j->settings.snapshots && j->settings.anarchy) hear(&j->keep[m->shard], m);
}

/* The first ones of a life come through, as nobody begins before; later ones nobody sends again. */
static void send_kept(job *j, const epact_message *m)
{
  bool first = m->clock <= j->begins, noisy = j->now < j->settings.heal && !first;
  if (noisy && chance(&j->fate, j->settings.lose)) {
    trace_message(j, "lost", m);
    j->counts.lost++;
    return;
  }
  for (int copies = noisy && chance(&j->fate, j->settings.repeat) ? 2 : 1; copies > 0; copies--) {
    event e = { .kind = EVENT_TO_KEEPER, .shard = m->shard };
    e.time = j->now + 1 + epact_rng_below(&j->fate, j->settings.delay);
    if (noisy && chance(&j->fate, j->settings.linger)) e.time += j->settings.delay * 30;
    e.frame = epact_malloc(epact_wire_size(m) + 8);
    if (!e.frame || epact_wire_encode(m, job_id(j), e.frame, &e.bytes)) {
      violate(j, "encoding: %s", epact_error_message());
      free(e.frame);
      return;
    }
    push_event(j, e);
  }
}

static void emit_from_keeper(void *context, const epact_message *message)
{
  sim_keep *k = context;
  epact_message m = *message;
  if (k->job->plant == PLANT_FAILED) m.code = 0;
  k->job->counts.messages++;
  trace_message(k->job, "tell", &m);
  if (m.shard == k->rank)
    hear(k, &m);
  else
    send_kept(k->job, &m);
}

/* ---- pieces ---- */

static int pretend_to_write(void *context, const char *name, const void *data, size_t bytes)
{
  (void)context, (void)name, (void)data, (void)bytes;
  return EPACT_OK;
}

static void emit_nothing(void *context, const epact_message *message)
{
  (void)context, (void)message;
}

/* Tells first and writes later. */
static void promise_part(sim_keep *k, const epact_piece *piece)
{
  epact_disk pretended = *k->keeper.disk;
  pretended.write = pretend_to_write;
  k->keeper.disk = &pretended;
  epact_keeper_save(&k->keeper, piece->clock, &piece->records);
  k->keeper.disk = &k->job->disk.disk;
}

static void put_piece(void *context, const epact_piece *piece)
{
  sim_keep *k = context;
  sim_task t = { .piece = *piece };
  plant_kind plant = k->job->plant;
  bool turns = piece->kind == EPACT_PIECE_TURN && piece->clock > k->job->begins;
  if (plant == PLANT_PART && piece->kind == EPACT_PIECE_PART) promise_part(k, piece);
  if (plant == PLANT_TURN && turns) t.piece.clock--;
  if (plant == PLANT_LATE_TURN && turns) {
    k->late_turn = piece->clock;
    return;
  }
  queue_task(k, &t);
  if (k->late_turn && piece->kind == EPACT_PIECE_JOURNAL) {
    t.piece = (epact_piece){ .kind = EPACT_PIECE_TURN, .clock = k->late_turn };
    k->late_turn = 0;
    queue_task(k, &t);
  }
}

static int write_piece(sim_keep *k, const epact_piece *piece)
{
  bool told = k->job->plant == PLANT_PART && piece->kind == EPACT_PIECE_PART;
  k->job->counts.journaled += piece->kind == EPACT_PIECE_JOURNAL;
  if (told) k->keeper.outbox.emit = emit_nothing;
  int code = epact_keeper_write(&k->keeper, piece);
  k->keeper.outbox.emit = emit_from_keeper;
  return code;
}

static void draw_disk(job *j)
{
  bool fails = j->settings.disk_fails && j->now < j->settings.heal;
  if (fails && chance(&j->fate, 0.005)) j->full_until = j->now + j->settings.delay * between(&j->fate, 1, 40);
  j->disk.full = fails && j->now < j->full_until;
  j->disk.sync_fails = fails ? 0.005 : 0;
  j->disk.write_fails = fails ? 0.1 : 0;
}

/* Some pieces of a cut: the shard makes steps before the next ones. */
static void copy_pieces(sim_keep *k)
{
  job *j = k->job;
  const epact_shard *shard = &j->shard[k->rank];
  for (int64_t n = between(&j->fate, 1, 3); n > 0; n--) epact_binder_copy(&k->binder);
  for (int t = 0; t < shard->tables && j->plant == PLANT_HALF_COPY; t++) {
    epact_table_cut *cut = shard->table[t]->cut;
    if (cut) memset(cut->copied, 1, cut->rows / cut->stride + 1);
  }
  schedule(k);
}

/* One piece of work of one process; a negative code ends the job. */
static int run_task(sim_keep *k)
{
  job *j = k->job;
  if (k->binder.copying && (!k->queue || chance(&j->fate, 0.7))) {
    copy_pieces(k);
    return EPACT_OK;
  }
  if (!k->queue) epact_binder_flush(&k->binder, j->shard[k->rank].minimum);
  sim_task *t = k->queue;
  if (!t) return EPACT_OK;
  k->queue = t->next;
  draw_disk(j);
  int code = t->message.kind ? epact_keeper_step(&k->keeper, &t->message) : write_piece(k, &t->piece);
  TRACE(j, "rank %d %s of clock %" PRId64 ": %s", k->rank,
        t->message.kind                        ? "hears"
        : t->piece.kind == EPACT_PIECE_PART    ? "writes its part"
        : t->piece.kind == EPACT_PIECE_JOURNAL ? "writes its journal"
                                               : "turns its journal",
        t->message.kind ? t->message.clock : t->piece.clock, code ? epact_error_message() : "done");
  if (code == EPACT_E_PROTO && j->settings.anarchy) code = EPACT_OK;
  epact_records_free(&t->piece.records);
  free(t);
  /* A process does not open before its first snapshot is durable: what the keeper begins with, nobody has been told. */
  if (k->keeper.durable >= j->begins && k->keeper.durable > j->promised) j->promised = k->keeper.durable;
  if (k->queue || k->binder.log.count || k->binder.copying) schedule(k);
  return code;
}

/* ---- what shards and workers hand in ---- */

static void keep_record(void *context, const epact_message *message)
{
  sim_keep *k = context;
  if (epact_binder_record(&k->binder, message, k->job->shard[k->rank].minimum))
    violate(k->job, "journal: %s", epact_error_message());
  if (k->binder.started) schedule(k);
}

/* The shard is at a cut. */
static void keep_cut(job *j, int s)
{
  int64_t applied[MAX_WORKERS];
  epact_shard *shard = &j->shard[s];
  for (int q = 0; q < shard->slots; q++) {
    applied[q] = shard->slot[q].applied;
    if (j->plant == PLANT_FINISHED) shard->slot[q].applied = 0;
  }
  if (epact_binder_cut(&j->keep[s].binder, shard)) violate(j, "cut: %s", epact_error_message());
  for (int q = 0; q < shard->slots; q++) shard->slot[q].applied = applied[q];
  schedule(&j->keep[s]);
}

static void keep_pass(sim_worker *w, bool final, const sim_state *state)
{
  job *j = w->job;
  int rank = rank_of(j, w->client.slot), local = w->client.slot - first_slot(j, rank);
  epact_binder *binder = &j->keep[rank].binder;
  if (j->plant == PLANT_EARLY_STATE) binder->cut = EPACT_FOREVER;
  int64_t clock = w->client.clock;
  size_t bytes = state ? sizeof *state : 0;
  if (final && j->plant == PLANT_LAST_STATE) state = NULL;
  if (final ? epact_binder_finish(binder, local, clock, state, bytes)
            : epact_binder_pass(binder, local, clock, state, bytes))
    violate(j, "pass: %s", epact_error_message());
  if (binder->log.count && binder->started) schedule(&j->keep[rank]);
}

/* Before its next act, or when it has finished. */
static void hand_in_state(sim_worker *w, bool final)
{
  job *j = w->job;
  sim_state state;
  memset(&state, 0, sizeof state);
  state.slot = w->client.slot;
  state.clock = w->client.clock;
  state.program = w->program;
  state.acts_left = w->acts_left;
  state.digest = w->digest;
  state.own = own_digest(j, w->client.slot, w->client.clock);
  for (int t = 0; t < j->settings.tables; t++) state.open |= (uint32_t)(w->table[t] != NULL) << t;
  if (j->plant == PLANT_STATE && chance(&j->fate, 0.2)) state.own = own_digest(j, w->client.slot, --state.clock);
  w->must_save = false;
  keep_pass(w, final, &state);
}

/* After a clock: as pass_cut of worker.c. */
static void pass_clock(sim_worker *w, bool final)
{
  const job *j = w->job;
  if (!j->settings.snapshots) return;
  bool cut = w->client.clock % j->settings.cut_every == 0;
  if (final && w->keeps_state)
    hand_in_state(w, true);
  else if (final)
    keep_pass(w, true, NULL);
  else if (w->keeps_state)
    w->must_save = cut || j->settings.journal;
  else if (cut)
    keep_pass(w, false, NULL);
}

#endif
