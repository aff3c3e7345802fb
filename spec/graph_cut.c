/* Hogwild! under real threads, for the thread sanitizer above all: a grid whose left side is pulled to one label and
 * whose right side to the others, cut by several threads that step on the same rows. Whatever they overtake, rows end
 * on the simplex and the objective near the optimum, which is known: the wall between the halves. */
#include "kernel/graph_cut.h"

#include "base/internal.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>

enum {
  SIDE = 16,
  PIXELS = SIDE * SIDE,
  MOST_LABELS = 5,
  EDGES = 2 * SIDE * (SIDE - 1) + PIXELS,
  THREADS = 4,
  EPOCHS = 80
};

static int failures;

static void expect(bool held, const char *what, int labels)
{
  if (held) return;
  fprintf(stderr, "graph_cut: %s (%d labels)\n", what, labels);
  failures++;
}

typedef struct {
  const epact_cut_edge *edge;
  int64_t count;
  int32_t labels;
  float *x;
  pthread_barrier_t *barrier;
} share;

static void *step_on_rows(void *given)
{
  const share *mine = given;
  float step = 0.5F;
  for (int epoch = 0; epoch < EPOCHS; epoch++, step *= 0.9F) {
    epact_cut_steps(mine->edge, mine->count, mine->labels, step, mine->x);
    if (epoch % 10 == 9) pthread_barrier_wait(mine->barrier);
  }
  return NULL;
}

/* Vertex PIXELS + l is label l. The left half belongs to label 0, the right half to the last; weights: 1 between
 * neighbours, 4 to the label. The optimum cuts the SIDE edges of the wall: 2 each. */
static epact_cut_graph grid(int32_t labels, uint32_t *source, uint32_t *target, double *weight, int32_t *fixed)
{
  int64_t count = 0;
  for (uint32_t i = 0; i < PIXELS; i++) {
    const bool left = i % SIDE < SIDE / 2;
    const uint32_t to[3] = { (i + 1) % SIDE ? i + 1 : i, i + SIDE < PIXELS ? i + SIDE : i,
                             PIXELS + (left ? 0 : (uint32_t)labels - 1) };
    for (int k = 0; k < 3; k++) {
      if (to[k] == i) continue;
      source[count] = k % 2 ? to[k] : i;
      target[count] = k % 2 ? i : to[k];
      weight[count++] = k == 2 ? 4 : 1;
    }
  }
  for (int32_t v = 0; v < PIXELS + labels; v++) fixed[v] = v < PIXELS ? -1 : v - PIXELS;
  return (epact_cut_graph){ PIXELS + labels, count, labels, source, target, weight, fixed };
}

static void cut_by_threads(int32_t labels)
{
  static uint32_t source[EDGES], target[EDGES];
  static double weight[EDGES], degree[PIXELS + MOST_LABELS];
  static int32_t fixed[PIXELS + MOST_LABELS];
  static epact_cut_edge edge[THREADS][EDGES];
  static float x[(PIXELS + MOST_LABELS) * MOST_LABELS];
  const epact_cut_graph graph = grid(labels, source, target, weight, fixed);
  pthread_barrier_t barrier;
  pthread_t thread[THREADS];
  share mine[THREADS];
  int64_t dealt = 0;
  double cut;
  expect(graph.count == EDGES && epact_cut_check(&graph) == EPACT_OK, "the grid is a graph", labels);
  epact_cut_degrees(&graph, degree);
  epact_cut_begin(&graph, 0, graph.vertices, x);
  pthread_barrier_init(&barrier, NULL, THREADS);
  for (int i = 0; i < THREADS; i++) {
    mine[i] = (share){ edge[i], epact_cut_deal(&graph, degree, 7, i, THREADS, edge[i]), labels, x, &barrier };
    dealt += mine[i].count;
  }
  expect(dealt == EDGES, "every edge is dealt once", labels);
  for (int i = 0; i < THREADS; i++)
    expect(!pthread_create(&thread[i], NULL, step_on_rows, &mine[i]), "a thread starts", labels);
  for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
  pthread_barrier_destroy(&barrier);
  epact_cut_settle(labels, 0, graph.vertices, x);
  for (int64_t v = 0; v < graph.vertices; v++) {
    double sum = 0;
    for (int32_t l = 0; l < labels; l++) {
      expect(x[v * labels + l] >= 0, "no number is negative", labels);
      sum += (double)x[v * labels + l];
    }
    expect(fabs(sum - 1) < 1e-5, "a row is on the simplex", labels);
  }
  const double objective = epact_cut_objective(&graph, 0, graph.count, x, &cut);
  expect(cut == SIDE, "the cut is the wall", labels);
  expect(fabs(objective - 2 * SIDE) < 0.02 * 2 * SIDE, "the objective is near the optimum", labels);
}

int main(void)
{
  for (int32_t labels = 2; labels <= MOST_LABELS; labels++) cut_by_threads(labels);
  if (!failures) printf("graph_cut: %d threads, 2 to %d labels\n", THREADS, MOST_LABELS);
  return failures != 0;
}
