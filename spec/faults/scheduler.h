/* What the scheduler allocates, under faults: what fails leaves policies and filters as they were. */
#ifndef EPACT_SPEC_FAULTS_SCHEDULER_H
#define EPACT_SPEC_FAULTS_SCHEDULER_H

#include "sweep.h"

enum { SCHEDULER_COLUMNS = 400 };

/* Column j has an entry in row j / 2: pairs of equal ones. */
static epact_columns pairs_of_columns(void)
{
  static int64_t start[SCHEDULER_COLUMNS + 1];
  static uint32_t row[SCHEDULER_COLUMNS];
  static double value[SCHEDULER_COLUMNS];
  for (uint32_t j = 0; j < SCHEDULER_COLUMNS; j++) {
    start[j + 1] = j + 1;
    row[j] = j / 2;
    value[j] = 1;
  }
  return (epact_columns){
    .rows = SCHEDULER_COLUMNS / 2, .columns = SCHEDULER_COLUMNS, .start = start, .index = row, .value = value
  };
}

static int sample(void)
{
  uint32_t drawn[300];
  double step[300];
  epact_rng rng = { 1 };
  epact_sampler *sampler = NULL, *uniform = NULL;
  int code = epact_sampler_new(300, 1, -1, &sampler);
  if (!code) code = epact_sampler_uniform(300, &uniform);
  for (int64_t count = 3; !code && count <= 300; count *= 10) {
    int64_t n = epact_sampler_draw(sampler, &rng, count, drawn);
    for (int64_t i = 0; i < n; i++) step[i] = (double)i;
    code = n < 0 ? (int)n : epact_sampler_feed(sampler, n, drawn, step);
    if (!code && (n = epact_sampler_draw(uniform, &rng, count, drawn)) < 0) code = (int)n;
    if (!code) code = epact_sampler_check(uniform, n, drawn);
  }
  epact_release(sampler);
  epact_release(uniform);
  return code;
}

/* A batch of `wanted` of the columns from `first` on: one of each pair, if it can be had. */
static int schedule_batch(epact_dependency *dependency, int64_t wanted, uint32_t first, uint32_t *batch)
{
  uint32_t offered[SCHEDULER_COLUMNS];
  int64_t flying, waiting, left, still;
  for (uint32_t i = 0; i < SCHEDULER_COLUMNS; i++) offered[i] = (first + i) % SCHEDULER_COLUMNS;
  epact_dependency_flight(dependency, &flying);
  epact_dependency_waiting(dependency, &waiting);
  int64_t count = epact_dependency_begin(dependency, wanted, SCHEDULER_COLUMNS, batch);
  if (count >= 0) count = epact_dependency_offer(dependency, SCHEDULER_COLUMNS, offered, batch);
  if (count >= 0) {
    epact_dependency_end(dependency, batch, 0);
    EXPECT(count == wanted, "%" PRId64 " of %" PRId64 " were scheduled", count, wanted);
    return EPACT_OK;
  }
  epact_dependency_flight(dependency, &left);
  epact_dependency_waiting(dependency, &still);
  EXPECT(left == flying && still == waiting, "what failed has changed what is in flight or waits");
  return (int)count;
}

static int check_dependency(void)
{
  static double norm[SCHEDULER_COLUMNS];
  uint32_t batch[SCHEDULER_COLUMNS];
  const epact_columns x = pairs_of_columns();
  for (int j = 0; j < SCHEDULER_COLUMNS; j++) norm[j] = 1;
  epact_dependency *dependency = NULL;
  int code = epact_dependency_new(&x, norm, 0.5, 1, 4096, &dependency);
  if (!code) code = schedule_batch(dependency, 4, 0, batch); /* 0 2 4 6; 1 3 5 are dropped */
  if (!code) code = epact_dependency_land(dependency, 4, batch);
  if (!code) code = schedule_batch(dependency, 150, 0, batch);
  if (!code) code = epact_dependency_restore(dependency, 0, batch, 150, batch);
  epact_release(dependency);
  return code;
}

static int balance_and_cluster(void)
{
  uint32_t item[200], part[200], block[SCHEDULER_COLUMNS];
  double work[200], norm[SCHEDULER_COLUMNS];
  epact_balance_loads loads;
  epact_balance *balance = NULL;
  int code = epact_balance_new(3, 1.1, &balance);
  for (uint32_t i = 0; i < 200; i++) {
    item[i] = i;
    work[i] = 1 + i % 7;
  }
  for (int64_t count = 20; !code && count <= 200; count *= 10) {
    const int64_t there = epact_balance_offer(balance, count, item, work);
    if (there < 0) {
      code = (int)there;
      break;
    }
    epact_balance_deal(balance, count, &loads);
    EXPECT(loads.largest <= 1.1 * loads.mean, "the loads are balanced");
    epact_balance_end(balance, item, part);
    for (uint32_t i = 0; i < 200; i++) item[i] = i;
  }
  epact_release(balance);
  const epact_columns x = pairs_of_columns();
  for (int j = 0; j < SCHEDULER_COLUMNS; j++) norm[j] = 1;
  if (!code) code = epact_cluster_columns(&x, norm, SCHEDULER_COLUMNS / 2, block);
  for (int j = 0; !code && j < SCHEDULER_COLUMNS; j += 2) EXPECT(block[j] == block[j + 1], "pairs are blocks");
  return code;
}

static void play_scheduler(void)
{
  static const scene scenes[] = {
    { "sampler", sample, NULL, 1, false },
    { "dependency check", check_dependency, NULL, 1, false },
    { "balance and clusters", balance_and_cluster, NULL, 1, false },
  };
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) sweep(&scenes[i], EPACT_FAULT_MALLOC);
}

#endif
