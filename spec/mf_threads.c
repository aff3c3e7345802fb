/* Two threads on one matrix factorisation. In Hogwild! they race, as is intended, and find what one finds; on cells of
 * one stratum they share nothing, which is the thread sanitizer's to say, and the bits are those of one thread. */
#include "kernel/kernel.h"

#include "base/internal.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USERS = 100, ITEMS = 80, RATINGS = 4000, FACTORS = 8, STRIDE = FACTORS + 1, EPOCHS = 30, BLOCKS = 2 };

typedef struct {
  uint32_t user[RATINGS], item[RATINGS];
  float value[RATINGS];
} arrays;

typedef struct {
  float user[USERS * STRIDE], item[ITEMS * STRIDE];
} rows;

typedef struct {
  const epact_mf_model *model;
  const epact_mf_ratings *ratings;
  int64_t first, end;
  int code;
} job;

static const epact_mf_rates rates = { 0.02F, 0.02F, 0.02F, 0.02F };
static int failures;

static void expect(bool held, const char *what)
{
  if (held) return;
  failures++;
  fprintf(stderr, "mf_threads: %s (%s)\n", what, epact_error_message());
}

/* Ratings of rank 3 with biases and a little noise. */
static void make(arrays *a)
{
  static double user[USERS][4], item[ITEMS][4];
  epact_rng rng = epact_rng_stream(7, 0, 0);
  for (int u = 0; u < USERS; u++)
    for (int f = 0; f < 4; f++) user[u][f] = epact_rng_normal(&rng) * 0.6;
  for (int i = 0; i < ITEMS; i++)
    for (int f = 0; f < 4; f++) item[i][f] = epact_rng_normal(&rng) * 0.6;
  for (int t = 0; t < RATINGS; t++) {
    const int64_t u = epact_rng_below(&rng, USERS), i = epact_rng_below(&rng, ITEMS);
    double value = 3 + user[u][3] + item[i][3] + 0.1 * epact_rng_normal(&rng);
    for (int f = 0; f < 3; f++) value += user[u][f] * item[i][f];
    a->user[t] = (uint32_t)u;
    a->item[t] = (uint32_t)i;
    a->value[t] = (float)value;
  }
}

static epact_mf_model begin(rows *r)
{
  expect(epact_mf_init(r->user, 0, USERS, STRIDE, FACTORS, 0, 0.1, 1) == EPACT_OK, "init of users");
  expect(epact_mf_init(r->item, 0, ITEMS, STRIDE, FACTORS, 1, 0.1, 1) == EPACT_OK, "init of items");
  return (epact_mf_model){ USERS, ITEMS, STRIDE, FACTORS, 3, r->user, r->item };
}

static void *run_hogwild(void *context)
{
  job *j = context;
  j->code = epact_mf_hogwild(j->model, j->ratings, j->first, j->end, &rates, NULL);
  return NULL;
}

static void *run_cell(void *context)
{
  job *j = context;
  j->code = epact_mf_sgd(j->model, j->ratings, j->first, j->end, &rates, NULL);
  return NULL;
}

/* Both jobs, in two threads or one after the other. */
static void run(void *(*f)(void *), job *two, bool threads)
{
  pthread_t other;
  if (threads) expect(pthread_create(&other, NULL, f, &two[1]) == 0, "a thread");
  f(&two[0]);
  if (threads) {
    pthread_join(other, NULL);
  } else {
    f(&two[1]);
  }
  expect(!two[0].code && !two[1].code, "steps");
}

static double hogwild(const epact_mf_ratings *ratings, bool threads)
{
  static rows r;
  const epact_mf_model model = begin(&r);
  const int64_t half = threads ? RATINGS / 2 : RATINGS; /* alone: all ratings, and no second job */
  job two[2] = { { &model, ratings, 0, half, 0 }, { &model, ratings, half, RATINGS, 0 } };
  for (int epoch = 0; epoch < EPOCHS; epoch++) run(run_hogwild, two, threads);
  return sqrt(epact_mf_squared_error(&model, ratings, 0, RATINGS, -HUGE_VAL, HUGE_VAL) / RATINGS);
}

static void rotation(const epact_mf_ratings *ratings, rows *r, bool threads)
{
  static arrays sorted;
  const int64_t user_cut[] = { 0, USERS / 2, USERS }, item_cut[] = { 0, ITEMS / 2, ITEMS };
  const epact_mf_cuts cuts = { BLOCKS, BLOCKS, NULL, NULL, user_cut, item_cut };
  int64_t start[BLOCKS * BLOCKS + 1];
  const epact_mf_model model = begin(r);
  expect(epact_mf_grid(ratings, &cuts, 0, BLOCKS, sorted.user, sorted.item, sorted.value, start) == EPACT_OK, "grid");
  const epact_mf_ratings grid = { RATINGS, sorted.user, sorted.item, sorted.value };
  for (int stratum = 0; stratum < EPOCHS * BLOCKS; stratum++) {
    job two[BLOCKS];
    for (int part = 0; part < BLOCKS; part++) {
      const int cell = part * BLOCKS + (part + stratum) % BLOCKS;
      two[part] = (job){ &model, &grid, start[cell], start[cell + 1], 0 };
    }
    run(run_cell, two, threads);
  }
}

int main(void)
{
  static arrays given, mixed;
  static rows one, two;
  make(&given);
  const epact_mf_ratings in_order = { RATINGS, given.user, given.item, given.value };
  expect(epact_mf_shuffle(&in_order, 3, 0, RATINGS, mixed.user, mixed.item, mixed.value) == EPACT_OK, "shuffle");
  const epact_mf_ratings ratings = { RATINGS, mixed.user, mixed.item, mixed.value };

  const double alone = hogwild(&ratings, false), together = hogwild(&ratings, true);
  printf("training RMSE of one thread %.5f, of two that race %.5f\n", alone, together);
  expect(alone < 0.2, "one thread finds the factors");
  expect(fabs(together - alone) < 0.02 * alone, "two threads find them as well");

  rotation(&ratings, &one, false);
  rotation(&ratings, &two, true);
  expect(!memcmp(&one, &two, sizeof one), "cells of a stratum have the bits of one thread");
  return failures > 0;
}
