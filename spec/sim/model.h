/* The omniscient model: what every worker has ever added, clock by clock, and whether a view of the
 * tables can be explained by it.
 *
 * A view is explained when each worker q has one clock t_q such that the view holds exactly q's
 * increments tagged < t_q. Every worker counts, in a column of its own, the clocks in which it touched
 * a row, so t_q can be told from the counts (up to clocks in which it did not touch the row), and the
 * columns that all workers share must then be the sum of their parts to the last unit. */
#ifndef EPACT_SPEC_SIM_MODEL_H
#define EPACT_SPEC_SIM_MODEL_H

#include "job.h"

#include <math.h>

typedef double model_rows[PAIRS][MAX_COLS];

struct model {
  /* before[q][t][table]: the sum of q's increments tagged < t. Row t = clock + 1 is being made. */
  model_rows before[MAX_WORKERS][MAX_CLOCKS + 3 + MAX_LIVES]
                   [MAX_TABLES];  /* one who has finished does so again in each life */
  int64_t published[MAX_WORKERS]; /* clocks */
  bool finished[MAX_WORKERS];
  int64_t gone[MAX_WORKERS][MAX_SHARDS]; /* given up there: its clocks < this are in; EPACT_FOREVER: it was not */
  int64_t seen[MAX_WORKERS][MAX_TABLES][2 * PAIRS][MAX_WORKERS]; /* reader, ..., writer: reads never go back */
};

static void model_clock(struct model *model, int slot, bool final)
{
  int64_t clock = ++model->published[slot];
  memcpy(model->before[slot][clock + 1], model->before[slot][clock], sizeof model->before[slot][clock]);
  model->finished[slot] = final;
}

static inline bool model_gave_up(const struct model *model, int slot, int shards)
{
  bool any = false;
  for (int s = 0; s < shards; s++) any = any || model->gone[slot][s] != EPACT_FOREVER;
  return any;
}

static inline void model_add(struct model *model, int slot, int table, int pair, int col, double delta)
{
  model->before[slot][model->published[slot] + 1][table][pair][col] += delta;
}

/* One view: rows that were read together from one shard. */
typedef struct {
  const char *what;
  int reader, table, shard;
  int64_t need;   /* every worker's increments tagged < need must be there */
  int64_t own;    /* and exactly the reader's own tagged < own */
  uint32_t pairs; /* in the view */
  const double (*value)[MAX_COLS];
} model_view;

typedef struct {
  int64_t low, high;
} span;

static void fail_view(job *j, const model_view *view, const char *invariant, int pair, int writer, double have,
                      double low, double high)
{
  violate(j,
          "%s: %s by worker %d at clock %" PRId64 " (need %" PRId64 ") of table %d pair %d shard %d: "
          "column %d is %.17g, expected %.17g .. %.17g",
          invariant, view->what, view->reader, j->model->published[view->reader], view->need, view->table, pair,
          view->shard, writer, have, low, high);
}

/* Narrows the clocks of writer q to those that explain its count in one row. */
static bool narrow(job *j, const model_view *view, int pair, int q, span *t)
{
  const struct model *model = j->model;
  double have = view->value[pair][q];
  span all = *t;
  while (t->low <= t->high && model->before[q][t->low][view->table][pair][q] != have) t->low++;
  while (t->high >= t->low && model->before[q][t->high][view->table][pair][q] != have) t->high--;
  if (t->low <= t->high) return true;
  double low = model->before[q][all.low][view->table][pair][q], high = model->before[q][all.high][view->table][pair][q];
  const char *invariant = q == view->reader ? "I3 read-my-writes"
                          : have < low      ? "I2 staleness"
                          : have > high     ? "I2 unpublished"
                                            : "I5 atomicity";
  fail_view(j, view, invariant, pair, q, have, low, high);
  return false;
}

static span clocks_of(const job *j, const model_view *view, int q)
{
  const struct model *model = j->model;
  int64_t published = model->published[q];
  if (q == view->reader) return (span){ view->own, view->own };
  int64_t gone = model->gone[q][view->shard];
  if (gone < published) published = gone;
  span t = { view->need < published ? view->need : published, published };
  if (j->settings.deterministic) {
    int64_t clock = model->published[view->reader];
    t.low = t.high = clock < published ? clock : published;
  }
  return t;
}

/* `seen` (may be NULL): by pair and writer, the clocks seen before; it moves on. */
static void explain(job *j, const model_view *view, int64_t (*seen)[MAX_WORKERS])
{
  const struct model *model = j->model;
  span t[MAX_WORKERS];
  for (int q = 0; q < j->settings.workers; q++) {
    t[q] = clocks_of(j, view, q);
    for (int k = 0; k < PAIRS; k++) {
      if (view->pairs >> k & 1 && !narrow(j, view, k, q, &t[q])) return;
    }
  }
  for (int k = 0; k < PAIRS; k++) {
    if (!(view->pairs >> k & 1)) continue;
    for (int col = j->settings.workers; col < j->settings.workers + SHARED; col++) {
      double sum = 0, have = view->value[k][col];
      for (int q = 0; q < j->settings.workers; q++) sum += model->before[q][t[q].low][view->table][k][col];
      bool equal = j->settings.deterministic ? fabs(have - sum) <= 1e-9 : have == sum;
      if (!equal) fail_view(j, view, "I1 conservation", k, col, have, sum, sum);
    }
    for (int q = 0; seen && q < j->settings.workers; q++) {
      if (q == view->reader) continue;
      if (t[q].high < seen[k][q]) {
        fail_view(j, view, "I4 reads go forward", k, q, (double)t[q].high, (double)seen[k][q], (double)seen[k][q]);
      }
      if (t[q].low > seen[k][q]) seen[k][q] = t[q].low;
    }
  }
}

/* ---- shards ---- */

/* After every step of a shard. */
static void check_shard(job *j, int s)
{
  const epact_shard *shard = &j->shard[s];
  const struct model *model = j->model;
  if (shard->minimum < j->minimum[s]) {
    violate(j, "I4 monotonic: the minimum clock of shard %d went from %" PRId64 " to %" PRId64, s, j->minimum[s],
            shard->minimum);
  }
  j->minimum[s] = shard->minimum;
  for (int q = 0; q < j->settings.workers; q++) {
    if (j->settings.joins && !j->counts.joined && q == j->settings.workers - 1) continue; /* it has not begun */
    if (!model->finished[q] && model->gone[q][s] == EPACT_FOREVER && shard->minimum > model->published[q] &&
        q < shard->slots) {
      violate(j, "I4 minimum: shard %d says %" PRId64 ", worker %d has published %" PRId64, s, shard->minimum, q,
              model->published[q]);
    }
    if (q >= shard->slots) continue;
    const epact_slot *slot = &shard->slot[q];
    const epact_link *link = &j->worker[q].client.link[s];
    int64_t freed = model->published[q] - (link->batches - link->kept); /* clocks the client need not send again */
    if (slot->applied != EPACT_FOREVER && freed > slot->applied + 1) {
      violate(j, "I1 retention: worker %d dropped clock %" PRId64 ", of which shard %d has applied %" PRId64, q,
              freed - 1, s, slot->applied + 1);
    }
  }
}

static double shard_cell(const epact_shard_table *table, int64_t row, int64_t col)
{
  uint32_t index = table ? epact_store_find(&table->store, row) : EPACT_NO_INDEX;
  if (index == EPACT_NO_INDEX) return 0;
  if (!table->schema.sparse) return epact_value_at(table->schema.type, epact_store_values(&table->store, index), col);
  const epact_sparse_row *cells = &table->store.cells[index];
  uint32_t slot = epact_sparse_row_find(cells, (uint32_t)col);
  return slot == EPACT_NO_INDEX ? 0 : epact_value_at(table->schema.type, cells->value, slot);
}

static uint64_t digest_value(uint64_t digest, double value)
{
  uint64_t bits;
  value += 0.0; /* an absent cell and -0.0 are the same number */
  memcpy(&bits, &value, sizeof bits);
  return epact_mix64(digest ^ bits) + UINT64_C(0x9e3779b97f4a7c15);
}

/* Whether a shard's master copies hold each worker's increments tagged < clock, once, and nothing else. Returns the
 * digest of the cells. */
static uint64_t check_masters(job *j, int s, int64_t clock, const char *invariant, uint64_t digest)
{
  const epact_shard *shard = &j->shard[s];
  for (int table = 0; table < j->settings.tables; table++) {
    const epact_shard_table *master = epact_shard_find_table(shard, epact_table_id(j->plan[table].name));
    for (int k = 0; k < PAIRS; k++) {
      if (pair_shard(j, table, k) != s) continue;
      for (int col = 0; col < j->settings.workers + SHARED; col++) {
        double sum = 0, have = shard_cell(master, pair_row(&j->plan[table].schema, k, false), col),
               twin = shard_cell(master, pair_row(&j->plan[table].schema, k, true), col);
        for (int q = 0; q < j->settings.workers; q++) {
          int64_t published = j->model->published[q], gone = j->model->gone[q][s];
          if (gone < published) published = gone;
          sum += j->model->before[q][clock < published ? clock : published][table][k][col];
        }
        bool equal = j->settings.deterministic ? fabs(have - sum) <= 1e-9 : have == sum;
        if (!equal || twin != have) {
          violate(j, "%s: shard %d table %d pair %d column %d is %.17g and %.17g, the increments are %.17g", invariant,
                  s, table, k, col, have, twin, sum);
        }
        digest = digest_value(digest, have);
      }
    }
  }
  return digest;
}

/* I6: at a cut the tables are those of a clock. */
static void check_cut(job *j, int s)
{
  j->counts.cuts++;
  if (!j->settings.anarchy) check_masters(j, s, j->shard[s].minimum, "I6 cut", 0);
}

/* I1 at the end: the master copies hold every increment once. Returns the digest of all cells. */
static uint64_t check_tables(job *j)
{
  uint64_t digest = 0;
  for (int table = 0; table < j->settings.tables; table++) {
    for (int k = 0; k < PAIRS; k++) {
      const epact_shard *shard = &j->shard[pair_shard(j, table, k)];
      const epact_shard_table *master = epact_shard_find_table(shard, epact_table_id(j->plan[table].name));
      for (int col = 0; master && col < j->settings.workers + SHARED; col++) {
        digest = digest_value(digest, shard_cell(master, pair_row(&master->schema, k, false), col));
      }
    }
  }
  for (int s = 0; s < j->settings.shards; s++) check_masters(j, s, EPACT_FOREVER, "I1 conservation", 0);
  return digest;
}

#endif
