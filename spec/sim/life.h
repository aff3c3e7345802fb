/* The lives of a simulated job: everything dies at once, with the power or without; it is resumed from the disk, on any
 * number of shards, and the model goes back with it. What must hold then is I6: the tables have exactly the increments
 * tagged < the clock at which it is resumed, the states are of that clock, and it is no less than what was promised. */
#ifndef EPACT_SPEC_SIM_LIFE_H
#define EPACT_SPEC_SIM_LIFE_H

#include "worker.h"

/* ---- the end of a life ---- */

static void close_life(job *j)
{
  for (int s = 0; s < j->settings.shards; s++) {
    close_keep(&j->keep[s]);
    epact_shard_free(&j->shard[s]);
  }
  close_clients(j);
}

/* Frames in flight go on, and come to nobody or to the next life. */
static void crash(job *j, bool power)
{
  TRACE(j, "%s", power ? "the power fails" : "the job stops");
  j->counts.crashes++;
  close_life(j);
  if (power) disk_loses_power(&j->disk);
  j->disk.stopped = false;
  j->disk.stops_after = -1;
  j->down = true;
  if (j->life + 2 >= MAX_LIVES) { /* it has had its share of trouble */
    j->settings.crashes = 0;
    if (j->settings.heal > j->now) j->settings.heal = j->now;
  }
  push_event(j, (event){ .kind = EVENT_START, .time = j->now + 1 + epact_rng_below(&j->fate, j->settings.delay * 20) });
}

static void meet_crash(job *j)
{
  j->settings.crashes--;
  switch (epact_rng_below(&j->fate, 6)) {
  case 0:
    crash(j, true);
    break;
  case 1:
    crash(j, false);
    break;
  default: /* in the middle of some writing */
    j->disk.stops_after = epact_rng_below(&j->fate, 6);
  }
}

/* ---- the model goes back ---- */

static void rewind_model(job *j, int64_t clock)
{
  struct model *model = j->model;
  for (int q = 0; q < j->settings.workers; q++) {
    size_t bytes = sizeof model->before[q][0];
    for (int64_t t = model->published[q] + 1; t <= clock; t++) /* it had finished before */
      memcpy(model->before[q][t], model->before[q][model->published[q]], bytes);
    memcpy(model->before[q][clock + 1], model->before[q][clock], bytes);
    model->published[q] = clock;
    model->finished[q] = false;
    for (int s = 0; s < MAX_SHARDS; s++) model->gone[q][s] = EPACT_FOREVER;
  }
  memset(model->seen, 0, sizeof model->seen);
}

/* A worker without its changes begins as one that has read the tables. */
static void rebase_changes(job *j, int slot, int64_t clock)
{
  sim_worker *w = &j->worker[slot];
  memset(w->changed, 0, sizeof w->changed);
  for (int t = 0; t < j->settings.tables; t++) {
    for (int k = 0; k < PAIRS; k++) {
      for (int col = 0; col < MAX_COLS; col++) {
        for (int q = 0; q < j->settings.workers; q++) {
          if (q != slot) w->changed[t][k][col] += j->model->before[q][clock][t][k][col];
        }
        w->changed[t][k + PAIRS][col] = w->changed[t][k][col];
      }
    }
  }
}

/* ---- resuming ---- */

static void revive_worker(job *j, int slot, int64_t clock)
{
  sim_worker *w = &j->worker[slot];
  epact_outbox outbox = { emit_from_client, w };
  if (epact_client_init(&w->client, slot, j->settings.workers, j->settings.shards, -1, outbox))
    violate(j, "opening: %s", epact_error_message());
  w->client.mirror = w->mirror;
  epact_client_begin(&w->client, clock);
  /* Only a deterministic job must do the same again. */
  if (!w->restored || !j->settings.deterministic) {
    uint64_t another = j->settings.deterministic ? 0 : 100 * (uint64_t)j->life;
    w->program = epact_rng_stream(j->seed, 2 + another, (uint64_t)slot);
  }
  if (!w->restored) {
    w->acts_left = 2;
    w->reopen = 0;
    if (clock <= w->clocks) w->digest = 0; /* else it had finished, and reads no more */
  }
  memset(w->table, 0, sizeof w->table);
  memset(w->counted, 0, sizeof w->counted);
  w->floor = 0;
  w->blocked = w->done = w->must_save = false;
  rebase_changes(j, slot, clock);
}

static int take_state(void *context, const epact_message *message)
{
  job *j = context;
  sim_state state;
  if (message->blob_bytes != sizeof state || message->slot < 0 || message->slot >= j->settings.workers) {
    violate(j, "I6 state: %zu bytes for worker %d", message->blob_bytes, message->slot);
    return EPACT_OK;
  }
  memcpy(&state, message->blob, sizeof state);
  sim_worker *w = &j->worker[message->slot];
  /* The state of a worker that had finished is as good at every later clock: it has done nothing since. */
  int64_t published = j->model->published[message->slot];
  bool fits = message->final ? state.clock <= j->begins : state.clock == j->begins;
  if (state.slot != message->slot || state.clock != message->clock || !fits ||
      state.own != own_digest(j, message->slot, j->begins < published ? j->begins : published)) {
    violate(j, "I6 state: worker %d gets one of worker %" PRId64 " at clock %" PRId64 ", the job begins at %" PRId64,
            message->slot, state.slot, state.clock, j->begins);
  }
  w->program = state.program;
  w->acts_left = state.acts_left;
  w->digest = state.digest;
  w->reopen = state.open;
  w->restored = true;
  return EPACT_OK;
}

/* Whoever had a state to keep at that clock gets it back. */
static void check_states(job *j)
{
  for (int q = 0; q < j->settings.workers; q++) {
    const sim_worker *w = &j->worker[q];
    if (w->restored || !w->keeps_state || !j->begins) continue;
    violate(j, "I6 state: worker %d gets none at clock %" PRId64, q, j->begins);
  }
}

static bool is_promise_kept(const job *j, int64_t clock)
{
  int64_t most = 0;
  for (int q = 0; q < j->settings.workers; q++) most = j->model->published[q] > most ? j->model->published[q] : most;
  return clock >= (j->promised == EPACT_FOREVER ? most : j->promised);
}

/* What the disk has: its clock, or 0 and a new run when it has nothing. false: it cannot be read. */
static bool find_recovery(job *j, epact_recovery *r)
{
  int code = epact_recovery_find(&j->disk.disk, -1, r);
  if (code && code != EPACT_E_SNAPSHOT) {
    violate(j, "I6 recovery: %s", epact_error_message());
    return false;
  }
  if (code) { /* nothing was ever promised, or it is broken now */
    if (j->promised >= 0) violate(j, "I6 promise: clock %" PRId64 ", and now %s", j->promised, epact_error_message());
    r->clock = 0;
    r->manifest.clock = -1;
    return !failed(j);
  }
  if (j->plant == PLANT_CLOCK) r->clock++;
  if (!is_promise_kept(j, r->clock))
    violate(j, "I6 promise: clock %" PRId64 " was durable, the disk has clock %" PRId64, j->promised, r->clock);
  return r->clock <= MAX_CLOCKS + MAX_LIVES;
}

static int open_rank(job *j, int s, epact_recovery *r)
{
  job_settings *o = &j->settings;
  sim_keep *k = &j->keep[s];
  int32_t slot = first_slot(j, s), workers = first_slot(j, s + 1) - slot;
  *k = (sim_keep){ .job = j, .rank = s };
  k->binder = (epact_binder){ .run = j->run,
                              .first_slot = slot,
                              .workers = workers,
                              .every = o->cut_every,
                              .journal = o->journal,
                              .put = put_piece,
                              .context = k,
                              .piece_bytes = 64 };
  k->keeper = (epact_keeper){ .disk = &j->disk.disk,
                              .outbox = { emit_from_keeper, k },
                              .run = j->run,
                              .rank = s,
                              .shards = o->shards,
                              .processes = o->shards,
                              .slots = o->workers,
                              .first_slot = slot,
                              .workers = workers,
                              .every = o->cut_every,
                              .deterministic = o->deterministic,
                              .journal = o->journal,
                              .life = j->plant == PLANT_LIFE ? 0 : (uint32_t)j->life };
  int code = epact_shard_init(&j->shard[s], s, o->shards, o->workers, o->deterministic);
  if (!code) code = epact_binder_open(&k->binder, j->begins);
  if (!code) code = epact_keeper_open(&k->keeper, r->manifest.clock, j->begins);
  if (code) return code;
  epact_shard_begin(&j->shard[s], j->begins, o->cut_every);
  if ((code = settle_shard(j, s))) return code;
  j->minimum[s] = j->begins;
  const epact_part_reader reader = {
    .shard = &j->shard[s], .state = take_state, .context = j, .first_slot = slot, .slots = workers
  };
  if (r->manifest.clock >= 0) code = epact_recovery_load(&j->disk.disk, r, &reader);
  if (!code && j->plant == PLANT_REPLAY) code = epact_journal_replay(&r->journal, r->clock, &reader);
  for (int i = 0; i < workers && !code; i++) {
    if (j->worker[slot + i].keeps_state) code = epact_binder_expect(&k->binder, i);
    if (j->plant == PLANT_NO_STATE) k->binder.keeps[i] = false;
  }
  if (o->journal) {
    j->shard[s].keep = keep_record;
    j->shard[s].keeper = k;
  }
  return code;
}

/* As save_beginning of keep.c. */
static void save_beginning(job *j, int s)
{
  sim_keep *k = &j->keep[s];
  epact_records part = { NULL, 0, 0, 0 };
  int code = epact_part_begin(&part, &j->shard[s], j->begins, j->run);
  for (int q = first_slot(j, s); q < first_slot(j, s + 1) && !code; q++) {
    const sim_worker *w = &j->worker[q];
    sim_state state;
    memset(&state, 0, sizeof state);
    state = (sim_state){ q, j->begins, w->program, w->acts_left, w->reopen, w->digest, own_digest(j, q, j->begins) };
    if (w->restored) code = epact_part_state(&part, q, j->begins, &state, sizeof state, j->run);
  }
  if (!code) code = epact_part_end(&part, j->run);
  if (code) violate(j, "the first part: %s", epact_error_message());
  put_piece(k, &(epact_piece){ .kind = EPACT_PIECE_PART, .clock = j->begins, .records = part });
}

/* The clock at which this life begins is durable: the workers of the process begin. */
static void start_rank(job *j, int s)
{
  sim_keep *k = &j->keep[s];
  k->started = true;
  epact_binder_start(&k->binder);
  for (int q = first_slot(j, s); q < first_slot(j, s + 1); q++) {
    wake(j, EVENT_RUN, q, 1 + epact_rng_below(&j->network, j->settings.delay));
    if (j->settings.resend) wake(j, EVENT_RESEND, q, j->settings.patience);
  }
}

static void start_if_durable(job *j, int s)
{
  if (!j->keep[s].started && j->keep[s].keeper.durable >= j->begins) start_rank(j, s);
}

/* After anarchy a job may not be one that can be resumed. */
static void give_up(job *j)
{
  close_life(j);
  j->down = true;
}

static void begin_life(job *j, epact_recovery *r)
{
  job_settings *o = &j->settings;
  int code = EPACT_OK;
  j->down = false;
  j->begins = r->clock;
  j->run = r->manifest.clock >= 0 ? r->manifest.run : epact_mix64(j->seed + (uint64_t)j->life) & INT64_MAX;
  for (int q = 0; q < o->workers; q++) j->worker[q].restored = false;
  for (int s = 0; s < o->shards; s++) {
    if (!code && (code = open_rank(j, s, r))) violate(j, "I6 recovery: %s", epact_error_message());
  }
  if (code) {
    give_up(j);
    return;
  }
  for (int s = 0; s < o->shards && !failed(j); s++) check_masters(j, s, j->begins, "I6 recovery", 0);
  check_states(j);
  rewind_model(j, j->begins);
  if (open_mirrors(j)) violate(j, "opening: %s", epact_error_message());
  for (int q = 0; q < o->workers; q++) revive_worker(j, q, j->begins);
  for (int s = 0; s < o->shards && r->manifest.clock != j->begins; s++) save_beginning(j, s);
  for (int s = 0; s < o->shards && !failed(j); s++) start_if_durable(j, s);
  /* What a crash left in the system's memory may reach further than was promised, and go with the power. */
  if (j->promised == EPACT_FOREVER) j->promised = j->begins;
  if (o->crashes > 0)
    push_event(j, (event){ .kind = EVENT_CRASH, .time = j->now + between(&j->fate, 1, o->delay * 120) });
}

/* Once more, on as many shards as there are today. */
static void start_life(job *j)
{
  epact_recovery r;
  memset(&r, 0, sizeof r);
  bool found = find_recovery(j, &r);
  j->life++;
  j->counts.resumed += found && r.manifest.clock >= 0;
  if (found && chance(&j->fate, 0.5)) j->settings.shards = (int32_t)between(&j->fate, 1, MAX_SHARDS);
  TRACE(j, "life %d begins at clock %" PRId64 " of the snapshot at %" PRId64 ", on %d shards", j->life, r.clock,
        r.manifest.clock, j->settings.shards);
  if (found && (uint32_t)j->life <= r.journal.life) violate(j, "a journal of life %u", r.journal.life);
  if (found) begin_life(j, &r);
  epact_recovery_free(&r);
}

static void work(job *j, int s)
{
  sim_keep *k = &j->keep[s];
  k->scheduled = false;
  int code = run_task(k);
  if (code || j->disk.stopped)
    crash(j, j->disk.stopped || chance(&j->fate, 0.5));
  else
    start_if_durable(j, s);
}

/* ---- the first one ---- */

/* From streams of their own: jobs without snapshots are as they were. */
static void draw_lives(job *j, uint64_t seed, uint64_t network_seed, bool disturbed)
{
  epact_rng rng = epact_rng_stream(seed, 4, 0);
  job_settings *o = &j->settings;
  j->seed = seed;
  j->promised = -1;
  j->fate = epact_rng_stream(network_seed, 5, 0);
  disk_open(&j->disk, epact_rng_stream(network_seed, 6, 0));
  j->disk.sync_lies = j->plant == PLANT_SYNC;
  j->disk.believed = j->plant == PLANT_CRC;
  o->snapshots = o->cut_every && o->lost < 0 && !o->joins && chance(&rng, 0.85);
  if (!o->snapshots) return;
  o->journal = chance(&rng, 0.75);
  for (int q = 0; q < o->workers; q++) {
    bool keeps = chance(&rng, 0.85);
    j->worker[q].keeps_state = o->deterministic || keeps;
  }
  bool crashes = chance(&j->fate, 0.8), fails = chance(&j->fate, 0.3);
  o->crashes = crashes && disturbed ? (int32_t)between(&j->fate, 1, 5) : 0;
  o->disk_fails = fails && disturbed;
}

static void open_lives(job *j)
{
  epact_recovery r;
  memset(&r, 0, sizeof r);
  r.manifest.clock = -1;
  j->life = 1;
  begin_life(j, &r);
}

/* Whether what was found fills new shards, and with what it should (unless `lies`: then it need not). */
static bool load_all(job *j, epact_recovery *r, bool lies)
{
  int code = EPACT_OK;
  j->begins = r->clock;
  for (int s = 0; s < j->settings.shards && !code && !failed(j); s++) {
    code = open_rank(j, s, r);
    if (!code && !lies) check_masters(j, s, r->clock, "I6 recovery", 0);
  }
  return !code;
}

/* Files that were damaged are refused with a sentence, or what they lack is not believed to be there. With checksums
 * that fit they may say what they like: nothing breaks. */
static void attack_disk(job *j)
{
  epact_recovery r;
  sim_disk *d = &j->disk;
  for (int n = 0; n < 4 && d->files && !failed(j); n++) {
    sim_file *file = &d->file[epact_rng_below(&j->fate, d->files)], good = *file;
    bool lies = n == 3;
    j->counts.mutated++;
    if (!file->bytes || !(file->data = mutate(&j->fate, good.data, &file->bytes))) continue;
    if (lies) repair_records(file);
    bool was_anarchy = j->settings.anarchy;
    j->settings.anarchy = lies;
    int code = epact_recovery_find(&d->disk, -1, &r);
    if (!code && r.clock <= MAX_CLOCKS + MAX_LIVES && load_all(j, &r, lies))
      TRACE(j, "%s was damaged, and harmed nobody", file->name);
    else
      j->counts.refused++;
    j->settings.anarchy = was_anarchy;
    if (!code) epact_recovery_free(&r);
    close_life(j);
    free(file->data);
    *file = good;
  }
}

/* After the end the disk still has what was promised. */
static void check_disk(job *j)
{
  epact_recovery r;
  memset(&r, 0, sizeof r);
  bool found = find_recovery(j, &r);
  close_life(j);
  if (found && !load_all(j, &r, false)) violate(j, "I6 recovery: %s", epact_error_message());
  close_life(j);
  epact_recovery_free(&r);
  if (j->plant == PLANT_NONE && chance(&j->fate, 0.3)) attack_disk(j);
}

#endif
