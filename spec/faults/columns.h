/* What coordinate descent on groups and on working sets allocates, under faults. */
#ifndef EPACT_SPEC_FAULTS_COLUMNS_H
#define EPACT_SPEC_FAULTS_COLUMNS_H

#include "sweep.h"

enum { DESCENT_ROWS = 30, DESCENT_COLUMNS = 120 };

/* Dense columns that have much in common. */
static epact_columns alike_columns(void)
{
  static double value[DESCENT_ROWS * DESCENT_COLUMNS];
  epact_rng rng = { 7 };
  for (int k = 0; k < DESCENT_ROWS * DESCENT_COLUMNS; k++)
    value[k] = k % DESCENT_ROWS % 3 + 0.1 * epact_rng_uniform(&rng);
  return (epact_columns){ .rows = DESCENT_ROWS, .columns = DESCENT_COLUMNS, .value = value };
}

/* Ten groups of two columns, and one of a hundred. */
static int descend_by_groups(void)
{
  static int64_t start[12];
  static uint32_t member[DESCENT_COLUMNS], active[11];
  static double weight[11];
  double b[DESCENT_COLUMNS] = { 0 }, y[DESCENT_ROWS], residual[DESCENT_ROWS], again[DESCENT_ROWS];
  for (uint32_t g = 0; g < 11; g++) {
    start[g + 1] = g < 10 ? 2 * (g + 1) : DESCENT_COLUMNS;
    weight[g] = 1;
    active[g] = g;
  }
  for (uint32_t j = 0; j < DESCENT_COLUMNS; j++) member[j] = j;
  for (int i = 0; i < DESCENT_ROWS; i++) residual[i] = y[i] = i % 3 + i % 2;
  const epact_columns x = alike_columns();
  const epact_column_groups groups = { 11, start, member, weight };
  epact_group_lasso *state = epact_group_lasso_new(&x, &groups);
  int code = state ? EPACT_OK : epact_error_code();
  for (int turn = 0; turn < 4 && !code; turn++) {
    code = epact_group_lasso_keep(state, active, 11, turn == 0, b, residual);
    if (!code) code = epact_group_lasso_sweep(state, active, 11, 0.5, 0, b, residual);
  }
  if (state) { /* also after a fault in the middle of a sweep */
    epact_group_lasso_residual(state, y, b, again);
    for (int i = 0; i < DESCENT_ROWS; i++)
      EXPECT(again[i] - residual[i] < 1e-9 && residual[i] - again[i] < 1e-9, "b and the residual belong together");
  }
  epact_release(state);
  return code;
}

/* Steps that get a factor, of a loss without a penalty to speak of. */
static int descend_on_working_set(void)
{
  static uint32_t list[DESCENT_COLUMNS];
  double u[DESCENT_ROWS], d[DESCENT_ROWS], w[DESCENT_COLUMNS] = { 0 }, c[DESCENT_COLUMNS], step[DESCENT_COLUMNS];
  double move[DESCENT_ROWS], slope, violation;
  int settled;
  const epact_columns x = alike_columns();
  const epact_loss loss = { .kind = EPACT_SQUARED };
  const epact_active_options options = { .l1 = 1e-3, .most = 60, .share = 1e-9 };
  for (int i = 0; i < DESCENT_ROWS; i++) {
    u[i] = i % 3 + i % 2;
    d[i] = 1;
  }
  epact_active *active = epact_active_new(&x, &loss, 1e-3, NULL);
  int64_t code = active ? EPACT_OK : epact_error_code();
  if (!code) {
    epact_active_gradient(active, NULL, 0, u, c);
    const int64_t count = epact_active_choose(active, c, w, 1e-3, DESCENT_COLUMNS, list, &violation);
    for (int turn = 0; turn < 3 && code >= 0; turn++)
      code = epact_active_step(active, &options, list, count, u, d, w, step, move, &slope, &settled);
    EXPECT(code < 0 || slope < -1, "the step goes down, with a factor or without");
  }
  epact_release(active);
  return code < 0 ? (int)code : EPACT_OK;
}

static void play_columns(void)
{
  static const scene scenes[] = {
    { "groups", descend_by_groups, NULL, 1, false },
    { "working set", descend_on_working_set, NULL, 1, true },
  };
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) sweep(&scenes[i], EPACT_FAULT_MALLOC);
}

#endif
