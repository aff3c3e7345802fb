/* What the lasso on one core allocates, under faults: every piece says so, and nothing is lost. */
#ifndef EPACT_SPEC_FAULTS_LASSO_H
#define EPACT_SPEC_FAULTS_LASSO_H

#include "sweep.h"

enum { LASSO_ROWS = 40, LASSO_COLUMNS = 90, LASSO_ENTRIES = 10 };

/* Random columns, the last third of them equal to others; sparse or dense. */
static epact_columns columns_of_lasso(bool sparse, double *squared_norm, double *y)
{
  static int64_t start[LASSO_COLUMNS + 1];
  static uint32_t row[LASSO_COLUMNS * LASSO_ENTRIES];
  static double value[LASSO_COLUMNS * LASSO_ROWS];
  epact_rng rng = { 5 };
  int64_t at = 0;
  for (int64_t j = 0; j < LASSO_COLUMNS; j++) {
    if (j == LASSO_COLUMNS * 2 / 3) rng.counter = 5;
    for (int64_t i = 0; i < LASSO_ROWS; i++) {
      const double drawn = epact_rng_normal(&rng);
      if (!sparse) value[at++] = drawn;
      if (!sparse || (i + j) % LASSO_ROWS >= LASSO_ENTRIES) continue;
      row[at] = (uint32_t)i;
      value[at++] = drawn;
    }
    start[j + 1] = at;
  }
  for (int64_t i = 0; i < LASSO_ROWS; i++) y[i] = epact_rng_normal(&rng);
  const epact_columns x = { .rows = LASSO_ROWS,
                            .columns = LASSO_COLUMNS,
                            .start = sparse ? start : NULL,
                            .index = sparse ? row : NULL,
                            .value = value };
  epact_columns_squared_norm(&x, squared_norm);
  return x;
}

/* Looks, takes some columns, sweeps and steps, so often that everything has grown. */
static int solve_lasso(bool sparse)
{
  static double squared_norm[LASSO_COLUMNS], y[LASSO_ROWS], residual[LASSO_ROWS];
  const epact_columns x = columns_of_lasso(sparse, squared_norm, y);
  const epact_lasso_penalty penalty = { .l1 = 0.01 };
  epact_lasso_certificate certificate;
  epact_lasso_screened screened;
  epact_lasso_swept swept;
  epact_lasso_step step;
  epact_lasso_set *set = epact_lasso_set_new(&x, squared_norm, y);
  int code = set ? EPACT_OK : epact_error_code();
  if (!code) epact_lasso_set_largest(set, &penalty, y);
  for (int round = 0; !code && round < 12; round++) {
    epact_lasso_set_refresh(set, residual);
    code = epact_lasso_set_screen(set, &penalty, penalty.l1, 0, residual, 20, &certificate, &screened);
    if (!code) {
      const int64_t taken = epact_lasso_set_take(set);
      if (taken < 0) code = (int)taken;
    }
    if (!code) code = epact_lasso_set_prepare(set);
    if (!code) code = epact_lasso_set_sweep(set, &penalty, 20, 1e-9, residual, &swept);
    for (int turn = 0; !code && turn < 5; turn++) {
      code = epact_lasso_set_newton(set, &penalty, residual, &step);
      if (!code) code = epact_lasso_set_sweep(set, &penalty, 20, 1e-9, residual, &swept);
    }
  }
  if (!code) {
    double objective, gap;
    epact_lasso_set_refresh(set, residual);
    epact_lasso_set_screen(set, &penalty, penalty.l1, 0, residual, 0, &certificate, &screened);
    epact_lasso_gap(&certificate, penalty.l1, 0, &objective, &gap);
    EXPECT(gap < 1e-6 * objective, "the gap is %g of %g", gap, objective);
  }
  epact_release(set);
  return code;
}

static int solve_dense_lasso(void)
{
  return solve_lasso(false);
}

static int solve_sparse_lasso(void)
{
  return solve_lasso(true);
}

static void play_lasso(void)
{
  static const scene scenes[] = {
    { "dense lasso", solve_dense_lasso, NULL, 1, false },
    { "sparse lasso", solve_sparse_lasso, NULL, 1, false },
  };
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) sweep(&scenes[i], EPACT_FAULT_MALLOC);
}

#endif
