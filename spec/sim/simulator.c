/* The parameter server's protocol under a virtual network, one seed a job, every step checked against
 * a model that knows all. A failure prints the seed; --seed S --verbose shows every message of it.
 *
 *   simulator [--seeds N] [--first S]     N jobs; exit status 1 at the first violation
 *   simulator --seed S [--verbose]        one job
 *   simulator --plant NAME [--seeds N]    with a planted bug; exit status 0 when it was found */
#include "life.h"

enum { MOST_EVENTS = 400000, ANARCHY_EVENTS = 6000 };

/* ---- settings ---- */

static table_plan random_plan(epact_rng *rng, int number, int cols, bool deterministic)
{
  static const int type[] = { EPACT_I64, EPACT_F64, EPACT_I64, EPACT_F64, EPACT_I32, EPACT_F32 };
  table_plan plan;
  int form = (int)epact_rng_below(rng, 3); /* dense, dense with sparse updates, sparse */
  snprintf(plan.name, sizeof plan.name, "table %d", number);
  plan.schema = (epact_schema){ .type = type[deterministic ? 1 : epact_rng_below(rng, 6)],
                                .rows = chance(rng, 0.6) ? PAIRS + MIRROR : 0,
                                .cols = cols,
                                .sparse = form == 2,
                                .sparse_updates = form > 0,
                                .changes = form > 0 && chance(rng, 0.6),
                                .push = chance(rng, 0.5) };
  plan.schema.id = epact_table_id(plan.name);
  return plan;
}

/* Filters that a view cannot tell from none: what is added in one clock are whole numbers below 2^11, so that as f16
 * nothing is left of them, but for deterministic jobs. Filters that keep increments are in filters.c. */
static void draw_filters(job *j, uint64_t seed)
{
  epact_rng rng = epact_rng_stream(seed, 4, 0);
  for (int t = 0; t < j->settings.tables; t++) {
    table_plan *plan = &j->plan[t];
    bool real = plan->schema.type == EPACT_F32 || plan->schema.type == EPACT_F64;
    int encoding = (int)epact_rng_below(&rng, plan->schema.type == EPACT_F64 ? 3 : 2);
    plan->filter = (epact_table_options){ .zero = chance(&rng, 0.5), .sparse_updates = plan->schema.sparse_updates };
    if (real && !j->settings.deterministic) {
      plan->filter.precision = encoding == 2 ? EPACT_AS_F32 : encoding ? EPACT_AS_F16 : EPACT_AS_TYPE;
    }
  }
}

/* What the workers do. */
static void draw_program(job *j, uint64_t seed)
{
  epact_rng rng = epact_rng_stream(seed, 1, 0);
  job_settings *o = &j->settings;
  o->deterministic = chance(&rng, 0.25);
  o->workers = (int32_t)between(&rng, 1, 6);
  o->tables = (int32_t)between(&rng, 1, MAX_TABLES);
  o->cut_every = chance(&rng, 0.5) ? between(&rng, 1, 7) : 0;
  o->hostile = !o->deterministic && chance(&rng, 0.3);
  o->anarchy = o->hostile && chance(&rng, 0.4);
  if (o->hostile) o->workers++;
  o->lost = !o->deterministic && !o->anarchy && o->workers > 1 && chance(&rng, 0.25)
                ? (int32_t)epact_rng_below(&rng, o->workers - 1)
                : -1;
  o->joins = !o->deterministic && !o->hostile && o->workers > 1 && chance(&rng, 0.25);
  for (int t = 0; t < o->tables; t++) j->plan[t] = random_plan(&rng, t, o->workers + SHARED, o->deterministic);
  draw_filters(j, seed);
  int32_t clocks = (int32_t)between(&rng, 1, MAX_CLOCKS);
  for (int q = 0; q < o->workers; q++) {
    sim_worker *w = &j->worker[q];
    w->job = j;
    w->program = epact_rng_stream(seed, 2, (uint64_t)q);
    w->clocks = chance(&rng, 0.7) ? clocks : (int32_t)between(&rng, 0, clocks);
    w->acts_left = 2;
    for (int t = 0; t < o->tables; t++) {
      int64_t s = between(&rng, 0, 5);
      w->staleness[t] = o->deterministic ? 0 : s == 5 ? EPACT_ASYNC : s;
    }
  }
  if (o->hostile) j->worker[o->workers - 1].clocks = 0;
}

/* Which workers live in one process, and how much it keeps of other processes' rows. */
static void draw_processes(job *j)
{
  static const int64_t rows[] = { 1, 3, 8, 1000 };
  static const size_t bytes[] = { 300, 1500, 1 << 20, 1 << 20 }, part[] = { 1, 200, 8 << 20, 8 << 20 };
  epact_rng *rng = &j->network;
  job_settings *o = &j->settings;
  int32_t last = o->workers - 1;
  double together = epact_uniform_inline(rng);
  for (int q = 1; q < o->workers; q++) { /* who is hostile, or joins, is alone */
    bool same = chance(rng, together) && !((o->hostile || o->joins) && q == last);
    o->home[q] = o->home[q - 1] + !same;
  }
  o->processes = o->home[last] + 1;
  o->mirror_rows = rows[epact_rng_below(rng, 4)];
  o->mirror_bytes = bytes[epact_rng_below(rng, 4)];
  o->push_bytes = part[epact_rng_below(rng, 4)];
}

/* What happens to their messages. */
static void draw_network(job *j, uint64_t seed)
{
  j->network = epact_rng_stream(seed, 3, 0);
  epact_rng *rng = &j->network;
  job_settings *o = &j->settings;
  bool lossy = chance(rng, 0.7);
  o->shards = (int32_t)between(rng, 1, MAX_SHARDS);
  o->lose = lossy ? 0.3 * epact_uniform_inline(rng) : 0;
  o->repeat = lossy ? 0.2 * epact_uniform_inline(rng) : 0;
  o->linger = chance(rng, 0.5) ? 0.1 * epact_uniform_inline(rng) : 0;
  o->delay = between(rng, 1, 60);
  o->in_order = !lossy && chance(rng, 0.5);
  o->resend = lossy;
  o->patience = o->delay * between(rng, 2, 12);
  o->heal = between(rng, 0, 60) * o->delay * 5;
  draw_processes(j);
}

static void print_settings(const job *j, uint64_t seed, uint64_t network_seed)
{
  const job_settings *o = &j->settings;
  char text[96];
  printf("seed %" PRIu64 " network %" PRIu64 ": %d workers, %d shards%s%s, lose %.2f, repeat %.2f, delay %" PRId64
         "%s, heal at %" PRId64 "\n",
         seed, network_seed, o->workers, o->shards, o->deterministic ? ", deterministic" : "",
         o->anarchy   ? ", anarchy"
         : o->hostile ? ", the last one hostile"
                      : "",
         o->lose, o->repeat, o->delay, o->in_order ? " in order" : "", o->heal);
  for (int t = 0; t < o->tables; t++) {
    printf("  %s: %s, sent as %s%s; staleness", j->plan[t].name,
           epact_schema_text(&j->plan[t].schema, text, sizeof text), epact_encoding_name(j->plan[t].filter.precision),
           j->plan[t].filter.zero ? " without zeros" : "");
    for (int q = 0; q < o->workers; q++) {
      if (j->worker[q].staleness[t] == EPACT_ASYNC)
        printf(" async");
      else
        printf(" %" PRId64, j->worker[q].staleness[t]);
    }
    putchar('\n');
  }
}

/* ---- one job ---- */

/* Each shard hears of a worker that is lost, or that joins, at its own time. */
static void plan_changes(job *j)
{
  const job_settings *o = &j->settings;
  int64_t lost_at = between(&j->network, 0, o->delay * 60), joins_at = between(&j->network, 0, o->delay * 40);
  for (int s = 0; s < o->shards; s++) {
    event lost = { .kind = EVENT_EVICT, .shard = s, .slot = o->lost };
    event admitted = { .kind = EVENT_ADMIT, .shard = s, .slot = o->workers - 1 };
    lost.time = lost_at + epact_rng_below(&j->network, o->delay * 4);
    admitted.time = joins_at + epact_rng_below(&j->network, o->delay * 4);
    j->admitted[s] = -1;
    if (o->lost >= 0) push_event(j, lost);
    if (o->joins) push_event(j, admitted);
  }
}

static bool open_job(job *j)
{
  job_settings *o = &j->settings;
  if (o->snapshots) {
    open_lives(j);
    return !failed(j);
  }
  bool ordered = o->deterministic && j->plant != PLANT_UNORDERED;
  int code = EPACT_OK;
  for (int s = 0; s < o->shards && !code; s++) {
    code = epact_shard_init(&j->shard[s], s, o->shards, o->workers - o->joins, ordered);
    if (code) break;
    epact_shard_begin(&j->shard[s], 0, o->cut_every);
    code = settle_shard(j, s);
  }
  if (!code) code = open_mirrors(j);
  for (int q = 0; q < o->workers && !code; q++) {
    epact_outbox outbox = { emit_from_client, &j->worker[q] };
    code = epact_client_init(&j->worker[q].client, q, o->workers, o->shards, -1, outbox);
    j->worker[q].client.mirror = j->worker[q].mirror;
    for (int s = 0; s < o->shards; s++) j->model->gone[q][s] = EPACT_FOREVER;
    if (o->joins && q == o->workers - 1) continue; /* it comes later */
    wake(j, EVENT_RUN, q, 1 + epact_rng_below(&j->network, o->delay));
    if (o->resend) wake(j, EVENT_RESEND, q, o->patience);
  }
  plan_changes(j);
  if (code) violate(j, "opening: %s", epact_error_message());
  return !code;
}

static void close_job(job *j)
{
  while (j->events) {
    event e = pop_event(j);
    free(e.frame);
  }
  free(j->heap);
  if (!j->down) close_life(j);
  j->counts.torn = j->disk.torn;
  j->counts.failures = j->disk.failed;
  disk_close(&j->disk);
}

/* Changes name the slot they came from: those would tell at once. */
static bool keeps_changes(const job *j)
{
  bool any = false;
  for (int t = 0; t < j->settings.tables; t++) any = any || j->plan[t].schema.changes;
  return any;
}

/* The staged batches of the first two workers change places: what is applied is the same, in another order. */
static void swap_batches(job *j, epact_shard *shard)
{
  epact_slot *slot = shard->slot;
  if (j->settings.workers < 2 || !slot[0].staged_count || !slot[1].staged_count) return;
  epact_staged *a = &slot[0].staged[0], *b = &slot[1].staged[0];
  if (a->clock != b->clock || keeps_changes(j) || !chance(&j->network, 0.5)) return;
  epact_batch *batch = a->batch;
  a->batch = b->batch;
  b->batch = batch;
}

static void pass_cuts(job *j, int s)
{
  epact_outbox outbox = { emit_from_shard, j };
  while (epact_shard_at_cut(&j->shard[s]) && !failed(j)) {
    TRACE(j, "cut of shard %d at clock %" PRId64, s, j->shard[s].cut);
    check_cut(j, s);
    if (j->settings.snapshots) keep_cut(j, s);
    if (epact_shard_pass_cut(&j->shard[s], &outbox)) violate(j, "a shard failed: %s", epact_error_message());
    check_shard(j, s);
  }
}

static void deliver_to_shard(job *j, epact_message *m)
{
  epact_outbox outbox = { emit_from_shard, j };
  epact_section torn;
  plant_at_shard(j, m, &torn);
  epact_shard *shard = &j->shard[m->shard];
  bool early = j->plant == PLANT_CUT && m->kind == EPACT_M_BATCH && m->clock >= shard->cut;
  if (early) shard->cut = EPACT_FOREVER;
  if (j->plant == PLANT_ORDER && j->settings.deterministic) swap_batches(j, shard);
  epact_table_cut *cut[MAX_TABLES] = { NULL };
  for (int t = 0; t < shard->tables && t < MAX_TABLES && j->plant == PLANT_LATE_COPY; t++) {
    cut[t] = shard->table[t]->cut;
    shard->table[t]->cut = NULL;
  }
  if (epact_shard_step(shard, m, &outbox)) violate(j, "a shard failed: %s", epact_error_message());
  for (int t = 0; t < MAX_TABLES && cut[t]; t++) shard->table[t]->cut = cut[t];
  j->counts.unsubscribed += m->kind == EPACT_M_UNSUBSCRIBE;
  check_shard(j, m->shard);
  if (early) check_cut(j, m->shard);
  pass_cuts(j, m->shard);
}

static bool was_given_up(const job *j, int slot)
{
  bool any = false;
  for (int s = 0; s < j->settings.shards; s++) {
    any = any || (slot < j->shard[s].slots && j->shard[s].slot[slot].incarnation > 0);
  }
  return any;
}

static void deliver_to_client(job *j, epact_message *m)
{
  sim_worker *w = &j->worker[m->slot];
  bool waited = is_waiting(w);
  plant_at_client(j, m, &w->client);
  if (step_mirror(j, w->mirror, m)) violate(j, "a mirror failed: %s", epact_error_message());
  if (m->kind == EPACT_M_PUSH) return;
  if (epact_client_step(&w->client, m)) violate(j, "a client failed: %s", epact_error_message());
  bool hostile = j->settings.hostile && m->slot == j->settings.workers - 1;
  if (w->client.refused_code == EPACT_E_FENCED && was_given_up(j, m->slot)) {
    w->done = true; /* it learns that it was given up */
    return;
  }
  if (w->client.refused_code && !hostile) violate(j, "a shard refused: %s", w->client.refused_text);
  check_shard(j, m->shard);
  if (waited && w->blocked && !is_waiting(w)) run_worker(w);
}

/* The hostile worker has finished on every shard: nobody waits for it. */
static bool attackers_turn(const job *j)
{
  if (!j->settings.hostile) return false;
  for (int s = 0; s < j->settings.shards && !j->settings.anarchy; s++) {
    if (j->shard[s].slot[j->settings.workers - 1].applied != EPACT_FOREVER) return false;
  }
  return true;
}

/* Of an earlier life: it must be refused. */
static void fence(job *j, const event *e)
{
  epact_decoded decoded;
  int code = epact_wire_decode(e->frame, e->bytes, job_id(j), &decoded);
  j->counts.fenced++;
  if (!code) epact_decoded_free(&decoded);
  if (!code && e->life != j->life && j->plant != PLANT_FENCE) violate(j, "a frame of an earlier life is believed");
}

static void deliver(job *j, const event *e)
{
  epact_decoded decoded;
  if (j->down || (e->life != j->life && (j->plant != PLANT_FENCE || e->shard >= j->settings.shards))) {
    fence(j, e);
    return;
  }
  if (attackers_turn(j) && chance(&j->network, 0.3)) attack(j, e);
  if (epact_wire_decode(e->frame, e->bytes, job_id(j), &decoded)) {
    violate(j, "decoding: %s", epact_error_message());
    return;
  }
  trace_message(j, "deliver", &decoded.message);
  if (e->kind == EVENT_TO_SHARD)
    deliver_to_shard(j, &decoded.message);
  else if (e->kind == EVENT_TO_KEEPER)
    hear(&j->keep[e->shard], &decoded.message);
  else
    deliver_to_client(j, &decoded.message);
  epact_decoded_free(&decoded);
}

static void resend(job *j, int slot)
{
  sim_worker *w = &j->worker[slot];
  if (epact_client_resend(&w->client)) violate(j, "resending: %s", epact_error_message());
  bool gone = w->done && was_given_up(j, slot);
  if (!gone && (!w->done || epact_client_unacknowledged(&w->client))) wake(j, EVENT_RESEND, slot, j->settings.patience);
}

/* Killed, or so slow that it is taken for dead and goes on until it is told. */
static void evict(job *j, int s, int slot)
{
  epact_outbox outbox = { emit_from_shard, j };
  epact_slot *place = &j->shard[s].slot[slot];
  sim_worker *w = &j->worker[slot];
  if (j->plant == PLANT_EVICT && !place->finishing) place->received++;
  if (!place->finishing && place->applied != EPACT_FOREVER) j->model->gone[slot][s] = place->received + 1;
  TRACE(j, "shard %d gives up worker %d after clock %" PRId64, s, slot, place->received);
  if (!w->done && chance(&j->network, 0.5)) w->done = true;
  if (epact_shard_evict(&j->shard[s], slot, &outbox)) violate(j, "a shard failed: %s", epact_error_message());
  check_shard(j, s);
  pass_cuts(j, s);
  j->counts.evicted++;
}

static void join(job *j)
{
  sim_worker *w = &j->worker[j->settings.workers - 1];
  int64_t low = EPACT_FOREVER, *minimum = j->admitted;
  for (int s = 0; s < j->settings.shards; s++) low = minimum[s] < low ? minimum[s] : low;
  for (int s = 0; s < j->settings.shards && j->plant == PLANT_JOIN; s++) minimum[s] = low;
  if (epact_client_join(&w->client, minimum)) violate(j, "joining: %s", epact_error_message());
  j->model->published[w->client.slot] = w->client.clock;
  TRACE(j, "worker %d joins at clock %" PRId64, w->client.slot, w->client.clock);
  j->counts.joined++;
  wake(j, EVENT_RUN, w->client.slot, 1);
  if (j->settings.resend) wake(j, EVENT_RESEND, w->client.slot, j->settings.patience);
}

static void admit(job *j, int s, int slot)
{
  bool all = true;
  if (j->worker[slot].done) return; /* it has heard that it comes too late */
  int code = epact_shard_admit(&j->shard[s], slot, 1);
  if (code == EPACT_E_STOPPED) { /* the job is over here: elsewhere it is given up again */
    j->worker[slot].done = true;
    for (int i = 0; i < j->settings.shards; i++) {
      event gone = { .kind = EVENT_EVICT, .time = j->now + j->settings.delay, .shard = i, .slot = slot };
      if (j->admitted[i] >= 0) push_event(j, gone);
    }
    return;
  }
  if (code) violate(j, "admitting: %s", epact_error_message());
  j->admitted[s] = j->shard[s].minimum;
  for (int i = 0; i < j->settings.shards; i++) all = all && j->admitted[i] >= 0;
  if (all) wake(j, EVENT_JOIN, slot, 1 + epact_rng_below(&j->network, j->settings.delay));
}

static void take_event(job *j, event *e)
{
  j->now = e->time;
  j->counts.steps++;
  if (!e->frame && e->life != j->life) return;
  if (!e->frame && j->down && e->kind != EVENT_START) return;
  switch (e->kind) {
  case EVENT_RUN:
    run_worker(&j->worker[e->slot]);
    break;
  case EVENT_RESEND:
    resend(j, e->slot);
    break;
  case EVENT_EVICT:
    evict(j, e->shard, e->slot);
    break;
  case EVENT_ADMIT:
    admit(j, e->shard, e->slot);
    break;
  case EVENT_JOIN:
    join(j);
    break;
  case EVENT_DISK:
    work(j, e->shard);
    break;
  case EVENT_CRASH:
    meet_crash(j);
    break;
  case EVENT_START:
    start_life(j);
    break;
  default:
    deliver(j, e);
  }
  free(e->frame);
}

/* Liveness: when nothing is in flight any more, everybody has finished and is acknowledged. */
static void check_end(job *j)
{
  for (int s = 0; s < j->settings.shards && j->settings.snapshots; s++) {
    if (!j->keep[s].started) violate(j, "I8 liveness: rank %d waits for the first snapshot", s);
    if (j->keep[s].queue) violate(j, "I8 liveness: rank %d has something left to write", s);
  }
  for (int q = 0; q < j->settings.workers - j->settings.hostile; q++) {
    const sim_worker *w = &j->worker[q];
    if (was_given_up(j, q)) continue;
    if (!w->done) {
      violate(j, "I8 liveness: worker %d waits for ever at clock %" PRId64 " of %d (%s)", q, w->client.clock, w->clocks,
              act_name[w->present.kind]);
    }
    if (epact_client_unacknowledged(&w->client)) {
      violate(j, "I8 liveness: %" PRId64 " batches of worker %d were never acknowledged",
              epact_client_unacknowledged(&w->client), q);
    }
  }
  for (int s = 0; s < j->settings.shards; s++) {
    if (j->shard[s].minimum != EPACT_FOREVER) {
      violate(j, "I8 liveness: shard %d ends at clock %" PRId64, s, j->shard[s].minimum);
    }
    if (j->shard[s].parked_count) violate(j, "I8 liveness: shard %d still has requests parked", s);
  }
}

/* One job; returns the digest of everything read and of the final tables. */
static uint64_t run_job(job *j, uint64_t seed, uint64_t network_seed, bool disturbed)
{
  int64_t most = MOST_EVENTS;
  draw_program(j, seed);
  draw_network(j, network_seed);
  draw_lives(j, seed, network_seed, disturbed);
  if (j->verbose) print_settings(j, seed, network_seed);
  if (j->settings.anarchy) most = ANARCHY_EVENTS;
  bool open = open_job(j);
  while (open && j->events && !failed(j) && j->counts.steps < most) {
    event e = pop_event(j);
    take_event(j, &e);
  }
  if (j->counts.steps >= most) violate(j, "I8 liveness: no end after %" PRId64 " events", most);
  uint64_t digest = 0;
  if (open && !failed(j) && !j->settings.anarchy) {
    check_end(j);
    digest = check_tables(j);
    /* A job that is resumed reads what it would have read, but for changes, which begin anew. */
    for (int q = 0; q < j->settings.workers && !(j->settings.snapshots && keeps_changes(j)); q++)
      digest = epact_mix64(digest ^ j->worker[q].digest) + (uint64_t)q;
    if (j->settings.snapshots) check_disk(j);
  }
  close_job(j);
  return digest;
}

/* ---- many jobs ---- */

typedef struct {
  uint64_t first, seeds;
  bool verbose;
  plant_kind plant;
} options;

static void add_counts(job_counts *sum, const job_counts *more)
{
  sum->steps += more->steps;
  sum->messages += more->messages;
  sum->lost += more->lost;
  sum->repeated += more->repeated;
  sum->reads += more->reads;
  sum->rows += more->rows;
  sum->changes += more->changes;
  sum->barriers += more->barriers;
  sum->mutated += more->mutated;
  sum->refused += more->refused;
  sum->cuts += more->cuts;
  sum->joined += more->joined;
  sum->evicted += more->evicted;
  sum->crashes += more->crashes;
  sum->resumed += more->resumed;
  sum->journaled += more->journaled;
  sum->torn += more->torn;
  sum->failures += more->failures;
  sum->fenced += more->fenced;
  sum->pushes += more->pushes;
  sum->hits += more->hits;
  sum->dropped += more->dropped;
  sum->unsubscribed += more->unsubscribed;
}

/* A deterministic job runs over two networks. Returns whether all invariants held. */
static bool run_seed(const options *o, uint64_t seed, job *j, struct model *model, job_counts *sum)
{
  uint64_t digest[2] = { 0, 0 };
  for (int network = 0; network < 2; network++) {
    memset(j, 0, sizeof *j);
    memset(model, 0, sizeof *model);
    j->model = model;
    j->plant = o->plant;
    j->verbose = o->verbose;
    digest[network] = run_job(j, seed, seed + (uint64_t)network * 1000003, network || !j->settings.deterministic);
    add_counts(sum, &j->counts);
    if (failed(j)) return false;
    if (!j->settings.deterministic) return true;
  }
  if (digest[0] != digest[1]) violate(j, "determinism: two networks give different bits");
  return !failed(j);
}

static int run_seeds(const options *o)
{
  job *j = epact_malloc(sizeof *j);
  struct model *model = epact_malloc(sizeof *model);
  job_counts sum = { 0 };
  uint64_t seed = o->first, end = o->first + o->seeds;
  bool held = j && model;
  while (held && seed < end) held = run_seed(o, seed++, j, model, &sum);
  if (j && !held) {
    printf("%sseed %" PRIu64 " of %" PRIu64 "..%" PRIu64 ": %s\n",
           o->plant ? "planted bug found: " : "FAILED: ", seed - 1, o->first, end - 1, j->failure);
  }
  printf("%" PRIu64 " seeds, %" PRId64 " events, %" PRId64 " messages (%" PRId64 " lost, %" PRId64
         " repeated), %" PRId64 " reads of %" PRId64 " rows, %" PRId64 " changes, %" PRId64 " barriers, %" PRId64
         " hostile frames (%" PRId64 " refused), %" PRId64 " cuts, %" PRId64 " joined, %" PRId64 " given up, %" PRId64
         " crashes, %" PRId64 " resumed, %" PRId64 " journals written, %" PRId64 " torn, %" PRId64
         " failures of a disk, %" PRId64 " frames of earlier lives, %" PRId64 " pushes, %" PRId64
         " mirror hits, %" PRId64 " evictions, %" PRId64 " unsubscriptions\n",
         seed - o->first, sum.steps, sum.messages, sum.lost, sum.repeated, sum.reads, sum.rows, sum.changes,
         sum.barriers, sum.mutated, sum.refused, sum.cuts, sum.joined, sum.evicted, sum.crashes, sum.resumed,
         sum.journaled, sum.torn, sum.failures, sum.fenced, sum.pushes, sum.hits, sum.dropped, sum.unsubscribed);
  free(j);
  free(model);
  return o->plant ? held : !held;
}

static int usage(void)
{
  fprintf(stderr, "usage: simulator [--seeds N] [--first S] [--seed S] [--verbose] [--plant NAME]\nplants:");
  for (int i = 1; i < PLANTS; i++) fprintf(stderr, " %s", plant_name[i]);
  fputc('\n', stderr);
  return 2;
}

static bool is_option(const char *given, const char *name, char **value)
{
  return !strcmp(given, name) && *value;
}

int main(int count, char **argument)
{
  options o = { .first = 1, .seeds = 1000 };
  for (int i = 1; i < count; i++) {
    char **value = &argument[i + 1];
    if (!strcmp(argument[i], "--verbose")) {
      o.verbose = true;
      continue;
    }
    if (is_option(argument[i], "--seeds", value))
      o.seeds = strtoull(*value, NULL, 0);
    else if (is_option(argument[i], "--first", value))
      o.first = strtoull(*value, NULL, 0);
    else if (is_option(argument[i], "--seed", value)) {
      o.first = strtoull(*value, NULL, 0);
      o.seeds = 1;
    } else if (is_option(argument[i], "--plant", value)) {
      while (o.plant < PLANTS && strcmp(plant_name[o.plant], *value)) o.plant++;
      if (o.plant == PLANTS) return usage();
    } else
      return usage();
    i++;
  }
  return run_seeds(&o);
}
