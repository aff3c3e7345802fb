/* A simulated worker: a small random program whose blocking calls are states. It does what worker.c's
 * functions do, but every row is fetched by message. */
#ifndef EPACT_SPEC_SIM_WORKER_H
#define EPACT_SPEC_SIM_WORKER_H

#include "keeping.h"

static uint32_t random_pairs(epact_rng *rng)
{
  return 1 + (uint32_t)epact_rng_below(rng, (1 << PAIRS) - 1);
}

/* Draws the next act of the program: the same whatever the network does. */
static act next_act(sim_worker *w)
{
  const job_settings *o = &w->job->settings;
  epact_rng *rng = &w->program;
  if (w->reopen) { /* the tables it had when its state was saved */
    int32_t table = __builtin_ctz(w->reopen);
    w->reopen &= w->reopen - 1;
    return (act){ ACT_OPEN, table, 0 };
  }
  if (w->client.clock >= w->clocks) return (act){ ACT_FINISH, 0, 0 };
  if (w->acts_left-- <= 0) {
    w->acts_left = (int32_t)between(rng, 0, 4);
    return (act){ w->client.clock % 5 == 4 ? ACT_BARRIER : ACT_CLOCK, 0, 0 };
  }
  int32_t table = (int32_t)epact_rng_below(rng, o->tables);
  uint32_t pairs = random_pairs(rng);
  double choice = epact_uniform_inline(rng);
  if (!w->table[table]) {
    w->acts_left++;
    return (act){ ACT_OPEN, table, 0 };
  }
  bool late = o->joins && w->client.slot == o->workers - 1; /* who joins reads no changes */
  if (w->job->plan[table].schema.changes && !late && choice < 0.25) return (act){ ACT_CHANGES, table, 0 };
  return (act){ choice < 0.6 ? ACT_READ : ACT_INCREMENT, table, pairs };
}

/* ---- increments ---- */

/* By one of the ways there are, from the program's stream. */
static int increment_cell(epact_table *table, int64_t row, uint32_t col, double delta, int way)
{
  int type = table->schema.type;
  double dense[MAX_COLS] = { 0 };
  if (way == 1 && (type == EPACT_F64 || type == EPACT_F32)) {
    double half = delta / 2;
    return epact_table_inc_sparse(table, row, 1, &col, &half, 2);
  }
  if (way == 2 && type == EPACT_F64) {
    dense[col] = delta;
    return epact_table_inc_row(table, row, dense);
  }
  if (way == 3 && type == EPACT_I64 && row <= UINT32_MAX) {
    int64_t whole = (int64_t)delta;
    uint32_t short_row = (uint32_t)row;
    return epact_table_inc_many(table, 1, &short_row, &col, &whole);
  }
  return epact_table_inc(table, row, col, delta);
}

static void add_to_pair(sim_worker *w, int t, int k, uint32_t col, double delta)
{
  int way = (int)epact_rng_below(&w->program, 6);
  for (int twin = 0; twin < 2; twin++) {
    if (increment_cell(w->table[t], pair_row(&w->table[t]->schema, k, twin), col, delta, way)) {
      violate(w->job, "increment: %s", epact_error_message());
    }
  }
  model_add(w->job->model, w->client.slot, t, k, (int)col, delta);
}

static void increment(sim_worker *w, const act *a)
{
  const job *j = w->job;
  for (int k = 0; k < PAIRS; k++) {
    if (!(a->pairs >> k & 1)) continue;
    if (!(w->counted[a->table] >> k & 1)) add_to_pair(w, a->table, k, (uint32_t)w->client.slot, 1);
    w->counted[a->table] |= UINT32_C(1) << k;
    for (int64_t n = between(&w->program, 0, 2); n > 0; n--) {
      uint32_t col = (uint32_t)(j->settings.workers + epact_rng_below(&w->program, SHARED));
      double delta = (double)between(&w->program, -50, 50);
      if (j->settings.deterministic && w->table[a->table]->schema.type == EPACT_F64) {
        delta += epact_uniform_inline(&w->program);
      }
      add_to_pair(w, a->table, k, col, delta);
      if (chance(&w->program, 0.1)) add_to_pair(w, a->table, k, col, -delta);
    }
  }
}

/* ---- reads ---- */

/* The SSP rule, in the model's own words. */
static int64_t needed(const sim_worker *w, int table)
{
  int64_t clock = w->job->model->published[w->client.slot], staleness = w->staleness[table];
  int64_t need = staleness == EPACT_ASYNC || staleness > clock ? 0 : clock - staleness;
  return need > w->floor ? need : w->floor;
}

static bool row_is_fresh(epact_table *table, int k, bool twin)
{
  return epact_table_get(table, pair_row(&table->schema, k, twin)) != NULL;
}

/* As fetch_remote of worker.c. */
static void go_on_reading(sim_worker *w)
{
  bool asks = false;
  if (epact_read_step(&w->reading, &asks)) violate(w->job, "read: %s", epact_error_message());
  if (w->mirror->dropped && epact_client_unsubscribe(&w->client)) {
    violate(w->job, "unsubscribe: %s", epact_error_message());
  }
}

static void ask_rows(sim_worker *w, const act *a)
{
  epact_table *table = w->table[a->table];
  int64_t count = 0;
  for (int k = 0; k < PAIRS; k++) {
    for (int twin = 0; twin < 2 && a->pairs >> k & 1; twin++) {
      w->asked[count++] = pair_row(&table->schema, k, twin);
    }
  }
  if (epact_read_begin(&w->reading, table, epact_table_need(table), count, w->asked)) {
    violate(w->job, "read: %s", epact_error_message());
  }
  go_on_reading(w);
}

static const epact_cached *cached_row(const epact_table *table, int k, bool twin)
{
  return &table->cached[epact_store_find(&table->cache, pair_row(&table->schema, k, twin))];
}

/* What a worker sees of a pair's rows; twins of one view are equal. */
static bool look_at_pair(sim_worker *w, const act *a, int k, double (*value)[PAIRS][MAX_COLS])
{
  job *j = w->job;
  epact_table *table = w->table[a->table];
  for (int twin = 0; twin < 2; twin++) {
    if (!row_is_fresh(table, k, twin)) {
      violate(j, "I2 freshness: worker %d at clock %" PRId64 ": pair %d of table %d is stale after its read",
              w->client.slot, w->client.clock, k, a->table);
      return false;
    }
    for (int col = 0; col < table->schema.cols; col++) {
      value[twin][k][col] = epact_table_cell(table, pair_row(&table->schema, k, twin), col);
      w->digest = digest_value(w->digest, value[twin][k][col]);
    }
  }
  if (cached_row(table, k, false)->answered != cached_row(table, k, true)->answered) return true;
  for (int col = 0; col < table->schema.cols; col++) {
    if (value[0][k][col] == value[1][k][col]) continue;
    violate(j, "I5 atomicity: worker %d at clock %" PRId64 ": table %d pair %d column %d is %.17g and %.17g",
            w->client.slot, w->client.clock, a->table, k, col, value[0][k][col], value[1][k][col]);
    return false;
  }
  return true;
}

static void check_read(sim_worker *w, const act *a)
{
  job *j = w->job;
  epact_table *table = w->table[a->table];
  double value[2][PAIRS][MAX_COLS];
  for (int k = 0; k < PAIRS; k++) {
    if (!(a->pairs >> k & 1)) continue;
    if (!look_at_pair(w, a, k, value)) return;
    j->counts.rows += 2;
  }
  j->counts.reads++;
  for (int twin = 0; twin < 2; twin++) {
    for (uint32_t left = a->pairs; left;) { /* rows that came with the same answer, or state, are one view */
      int first = __builtin_ctz(left);
      model_view view = { "a read",
                          w->client.slot,
                          a->table,
                          pair_shard(j, a->table, first),
                          needed(w, a->table),
                          w->client.clock + 1,
                          0,
                          (const double(*)[MAX_COLS])value[twin] };
      for (int k = first; k < PAIRS; k++) {
        if (left >> k & 1 && cached_row(table, k, twin)->answered == cached_row(table, first, twin)->answered)
          view.pairs |= UINT32_C(1) << k;
      }
      explain(j, &view, &j->model->seen[w->client.slot][a->table][twin * PAIRS]);
      left &= ~view.pairs;
    }
  }
}

/* ---- changes ---- */

static int row_pair(const epact_schema *schema, int64_t row)
{
  for (int k = 0; k < PAIRS; k++) {
    if (pair_row(schema, k, false) == row) return k;
    if (pair_row(schema, k, true) == row) return k + PAIRS;
  }
  return -1;
}

static void add_changes(sim_worker *w, int t)
{
  job *j = w->job;
  const epact_table *table = w->table[t];
  for (int64_t i = 0; i < table->changed_count; i++) {
    const epact_section *section = &table->changed[i];
    for (int64_t r = 0; r < section->rows; r++) {
      int k = row_pair(&table->schema, section->row[r]);
      for (int64_t c = 0; c < (section->start ? section->start[r + 1] - section->start[r] : section->cols); c++) {
        int64_t cell = section->start ? section->start[r] + c : r * section->cols + c;
        int64_t col = section->start ? section->col[cell] : c;
        if (k < 0 || col >= table->schema.cols) {
          violate(j, "I6 changes: row %" PRId64 " column %" PRId64 " was never incremented", section->row[r], col);
          return;
        }
        w->changed[t][k][col] += epact_value_at(section->type, section->value, cell);
      }
    }
  }
}

static void check_changes(sim_worker *w, const act *a)
{
  job *j = w->job;
  int t = a->table;
  add_changes(w, t);
  j->counts.changes++;
  for (int k = 0; k < PAIRS; k++) {
    for (int col = 0; col < j->settings.workers + SHARED; col++) {
      w->digest = digest_value(w->digest, w->changed[t][k][col]);
      if (w->changed[t][k][col] == w->changed[t][k + PAIRS][col]) continue;
      violate(j, "I6 changes: worker %d: table %d pair %d column %d sums to %.17g and %.17g", w->client.slot, t, k, col,
              w->changed[t][k][col], w->changed[t][k + PAIRS][col]);
      return;
    }
  }
  for (int s = 0; s < j->settings.shards; s++) {
    model_view view = { "changes", w->client.slot, t, s, needed(w, t), 0, 0, (const double(*)[MAX_COLS])w->changed[t] };
    for (int k = 0; k < PAIRS; k++) {
      if (pair_shard(j, t, k) == s) view.pairs |= UINT32_C(1) << k;
    }
    explain(j, &view, NULL);
  }
}

static void ask_changes(sim_worker *w, const act *a)
{
  epact_table *table = w->table[a->table];
  epact_table_drop_changes(table);
  for (int s = 0; s < w->job->settings.shards; s++) {
    if (epact_client_ask(&w->client, s, EPACT_M_CHANGES, table, epact_table_need(table), NULL)) {
      violate(w->job, "changes: %s", epact_error_message());
    }
  }
}

/* ---- clocks ---- */

static void publish(sim_worker *w, bool final)
{
  if (epact_client_clock(&w->client, final)) violate(w->job, "clock: %s", epact_error_message());
  memset(w->counted, 0, sizeof w->counted);
  model_clock(w->job->model, w->client.slot, final);
  pass_clock(w, final);
}

/* As epact_worker_barrier. */
static void start_barrier(sim_worker *w)
{
  epact_client *client = &w->client;
  client->flush = true;
  publish(w, false);
  w->floor = client->clock;
  client->floor = w->job->plant == PLANT_FLOOR ? 0 : client->clock;
  for (int i = 0; i < client->tables; i++) {
    epact_table *table = client->table[i];
    for (uint32_t k = 0; k < table->cached_capacity; k++) {
      if (table->cached[k].valid_before && table->cached[k].stamp < client->floor) table->cached[k].valid_before = 0;
    }
  }
  for (int s = 0; s < client->shards; s++) {
    if (epact_client_ask(client, s, EPACT_M_WAIT, NULL, client->clock, NULL)) {
      violate(w->job, "barrier: %s", epact_error_message());
    }
  }
}

static void check_barrier(sim_worker *w)
{
  job *j = w->job;
  j->counts.barriers++;
  for (int q = 0; q < j->settings.workers; q++) {
    if (j->model->finished[q] || j->model->published[q] >= w->client.clock) continue;
    if (model_gave_up(j->model, q, j->settings.shards) || (j->settings.joins && q == j->settings.workers - 1)) continue;
    violate(j, "I2 barrier: worker %d passed the barrier of clock %" PRId64 ", worker %d is at %" PRId64,
            w->client.slot, w->client.clock, q, j->model->published[q]);
  }
}

/* ---- one act ---- */

static void open_table(sim_worker *w, int t)
{
  const table_plan *plan = &w->job->plan[t];
  bool mirrored = plan->schema.push || w->mirror->slots > 1;
  if (mirrored && epact_mirror_add_table(w->mirror, &plan->schema)) violate(w->job, "open: %s", epact_error_message());
  w->table[t] = epact_client_open(&w->client, plan->name, &plan->schema, w->staleness[t], mirrored);
  if (w->table[t])
    epact_filter_init(&w->table[t]->filter, &plan->filter);
  else
    violate(w->job, "open: %s", epact_error_message());
}

static const char *const act_name[] = { "open", "increment", "read", "changes", "clock", "barrier", "finish" };

static void begin_act(sim_worker *w)
{
  if (w->must_save) hand_in_state(w, false);
  w->present = next_act(w);
  TRACE(w->job, "worker %d clock %" PRId64 ": %s table %d pairs %x", w->client.slot, w->client.clock,
        act_name[w->present.kind], w->present.table, w->present.pairs);
  switch (w->present.kind) {
  case ACT_OPEN:
    open_table(w, w->present.table);
    break;
  case ACT_INCREMENT:
    increment(w, &w->present);
    break;
  case ACT_READ:
    ask_rows(w, &w->present);
    break;
  case ACT_CHANGES:
    ask_changes(w, &w->present);
    break;
  case ACT_CLOCK:
    publish(w, false);
    break;
  case ACT_BARRIER:
    start_barrier(w);
    break;
  case ACT_FINISH:
    publish(w, true);
    w->done = true;
  }
}

static void end_act(sim_worker *w)
{
  if (w->present.kind == ACT_READ) {
    check_read(w, &w->present);
    epact_read_end(&w->reading);
  }
  if (w->present.kind == ACT_CHANGES) check_changes(w, &w->present);
  if (w->present.kind == ACT_BARRIER) check_barrier(w);
}

static bool is_waiting(const sim_worker *w)
{
  for (int s = 0; s < w->client.shards; s++) {
    if (epact_client_waits(&w->client, s)) return true;
  }
  return false;
}

/* Runs one act, or goes on with one whose answers have come. */
static void run_worker(sim_worker *w)
{
  if (w->done || is_waiting(w)) return;
  if (w->blocked && w->present.kind == ACT_READ) {
    go_on_reading(w);
    if (is_waiting(w)) return;
  }
  if (w->blocked)
    end_act(w);
  else
    begin_act(w);
  w->blocked = !w->blocked && !w->done;
  if (w->blocked && is_waiting(w)) return; /* an answer wakes it */
  if (!w->done) wake(w->job, EVENT_RUN, w->client.slot, 1 + epact_rng_below(&w->job->network, w->job->settings.delay));
}

/* ---- processes ---- */

/* The shard knows which workers share a mirror. */
static int settle_shard(job *j, int s)
{
  j->shard[s].push_bytes = j->settings.push_bytes;
  return epact_shard_settle(&j->shard[s], j->settings.home);
}

static int open_mirrors(job *j)
{
  const job_settings *o = &j->settings;
  int code = EPACT_OK;
  for (int p = 0, q = 0; p < o->processes && !code; p++) {
    int first = q;
    while (q < o->workers && o->home[q] == p) j->worker[q++].mirror = &j->mirror[p];
    code = epact_mirror_init(&j->mirror[p], o->shards, first, q - first, o->mirror_rows, o->mirror_bytes);
  }
  return code;
}

static void count_mirrors(job *j)
{
  for (int p = 0; p < j->settings.processes; p++) {
    for (int t = 0; t < j->mirror[p].tables; t++) j->counts.dropped += (int64_t)j->mirror[p].table[t]->evicted;
  }
  for (int q = 0; q < j->settings.workers; q++) {
    const epact_client *client = &j->worker[q].client;
    for (int t = 0; t < client->tables; t++) j->counts.hits += (int64_t)client->table[t]->stats.hits;
  }
}

/* The workers and what their processes hold of others' rows, with what they have counted. */
static void close_clients(job *j)
{
  count_mirrors(j);
  for (int q = 0; q < j->settings.workers; q++) {
    sim_worker *w = &j->worker[q];
    if (w->blocked && w->present.kind == ACT_READ) epact_read_end(&w->reading);
    w->blocked = false;
    epact_client_free(&w->client);
  }
  for (int p = 0; p < j->settings.processes; p++) epact_mirror_free(&j->mirror[p]);
}

#endif
