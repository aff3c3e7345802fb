/* Steps on shared rows for graph cuts: see graph_cut.h for the problem. */
#include "graph_cut.h"

#include "../base/internal.h"

#include <math.h>

enum { DEAL_STREAM = 0x637574, AHEAD = 12 /* edges; their rows are on the way into the cache */ };

#define INLINE static inline __attribute__((always_inline))

static double weight_of(const epact_cut_graph *graph, int64_t e)
{
  return graph->weight ? graph->weight[e] : 1;
}

/* Whether a step on the edge can change anything. */
static bool pulls(const epact_cut_graph *graph, int64_t e)
{
  const uint32_t u = graph->source[e], v = graph->target[e];
  return u != v && weight_of(graph, e) > 0 && (graph->fixed[u] < 0 || graph->fixed[v] < 0);
}

static int check_fixed(const epact_cut_graph *graph)
{
  bool used[EPACT_CUT_LABELS] = { false };
  if (graph->labels < 1 || graph->labels > EPACT_CUT_LABELS)
    return epact_fail(EPACT_E_MISUSE, "%d labels are not between 1 and %d", graph->labels, EPACT_CUT_LABELS);
  for (int64_t v = 0; v < graph->vertices; v++) {
    const int32_t label = graph->fixed[v];
    if (label >= graph->labels)
      return epact_fail(EPACT_E_MISUSE, "vertex %lld: label %d is not below %d", (long long)v, label, graph->labels);
    if (label >= 0) used[label] = true;
  }
  for (int32_t label = 0; label < graph->labels; label++)
    if (!used[label]) return epact_fail(EPACT_E_MISUSE, "no vertex is fixed to label %d", label);
  return EPACT_OK;
}

int epact_cut_check(const epact_cut_graph *graph)
{
  double all = 0;
  for (int64_t e = 0; e < graph->count; e++) {
    const uint32_t u = graph->source[e], v = graph->target[e];
    const double weight = weight_of(graph, e);
    if (u >= graph->vertices || v >= graph->vertices)
      return epact_fail(EPACT_E_MISUSE, "edge %lld: vertex %u is not below %lld", (long long)e,
                        u >= graph->vertices ? u : v, (long long)graph->vertices);
    if (!(weight >= 0) || isinf(weight))
      return epact_fail(EPACT_E_MISUSE, "edge %lld from %u to %u: the weight is %g, not a finite number >= 0",
                        (long long)e, u, v, weight);
    all += weight;
  }
  if (isinf(2 * all)) return epact_fail(EPACT_E_MISUSE, "the sum of all weights is not finite");
  return check_fixed(graph);
}

void epact_cut_degrees(const epact_cut_graph *graph, double *degree)
{
  for (int64_t v = 0; v < graph->vertices; v++) degree[v] = 0;
  for (int64_t e = 0; e < graph->count; e++) {
    if (!pulls(graph, e)) continue;
    degree[graph->source[e]] += weight_of(graph, e);
    degree[graph->target[e]] += weight_of(graph, e);
  }
}

static epact_cut_edge edge_of(const epact_cut_graph *graph, const double *degree, int64_t e)
{
  const bool turn = graph->fixed[graph->source[e]] >= 0;
  const uint32_t u = turn ? graph->target[e] : graph->source[e], v = turn ? graph->source[e] : graph->target[e];
  const double weight = weight_of(graph, e);
  return (epact_cut_edge){ u, v, (float)(weight / degree[u]), graph->fixed[v] < 0 ? (float)(weight / degree[v]) : 0 };
}

static void shuffle(epact_rng *rng, epact_cut_edge *edge, int64_t count)
{
  for (int64_t i = count - 1; i > 0; i--) {
    const int64_t j = (int64_t)(epact_uniform_inline(rng) * (double)(i + 1));
    const epact_cut_edge other = edge[j];
    edge[j] = edge[i];
    edge[i] = other;
  }
}

int64_t epact_cut_deal(const epact_cut_graph *graph, const double *degree, uint64_t seed, int64_t part, int64_t parts,
                       epact_cut_edge *edge)
{
  epact_rng deal = epact_rng_stream(seed, DEAL_STREAM, 0);
  epact_rng order = epact_rng_stream(seed, DEAL_STREAM, (uint64_t)part + 1);
  int64_t count = 0;
  for (int64_t e = 0; e < graph->count; e++) {
    if ((int64_t)(epact_uniform_inline(&deal) * (double)parts) != part || !pulls(graph, e)) continue;
    if (edge) edge[count] = edge_of(graph, degree, e);
    count++;
  }
  if (edge) shuffle(&order, edge, count);
  return count;
}

void epact_cut_begin(const epact_cut_graph *graph, int64_t first, int64_t end, float *x)
{
  const int32_t labels = graph->labels;
  for (int64_t v = first; v < end; v++)
    for (int32_t l = 0; l < labels; l++)
      x[v * labels + l] = graph->fixed[v] < 0 ? 1 / (float)labels : (float)(graph->fixed[v] == l);
}

INLINE float read_shared(const float *from)
{
  float value;
  __atomic_load(from, &value, __ATOMIC_RELAXED);
  return value;
}

INLINE void write_shared(float *to, float value)
{
  __atomic_store(to, &value, __ATOMIC_RELAXED);
}

/* The nearest point of the simplex: max(row - theta, 0), where theta makes the sum 1. Starting from all numbers, those
 * that theta would make 0 are left out until there is none (Michelot, JOTA 50, 1986): no sorting, no scratch. */
INLINE void project(float *row, int32_t labels)
{
  float theta = -HUGE_VALF;
  int32_t left = labels + 1;
  for (;;) {
    float sum = -1;
    int32_t above = 0;
    for (int32_t l = 0; l < labels; l++) {
      sum += row[l] > theta ? row[l] : 0;
      above += row[l] > theta;
    }
    if (above >= left || above == 0) break;
    left = above;
    theta = sum / (float)above;
  }
  for (int32_t l = 0; l < labels; l++) row[l] = row[l] > theta ? row[l] - theta : 0;
}

/* Two numbers approach each other by pull_a and pull_b, or meet where these divide their way: exactly, so that later
 * they are seen to be equal; and at b when that is held, pull_b = 0. No branches: they would be guessed. */
INLINE void approach(float *a, float *b, float pull_a, float pull_b, float share_b)
{
  const float apart = *b - *a, meeting = *b - apart * share_b;
  const bool near = fabsf(apart) <= pull_a + pull_b;
  *a = near ? meeting : *a + copysignf(pull_a, apart);
  *b = near ? meeting : *b - copysignf(pull_b, apart);
}

/* What b has of the way to where it meets a. */
INLINE float share_of(float pull_a, float pull_b)
{
  return pull_b > 0 ? pull_b / (pull_a + pull_b) : 0;
}

INLINE void fetch(const epact_cut_edge *edge, int64_t labels, float *x)
{
  __builtin_prefetch(x + edge->source * labels, 1);
  __builtin_prefetch(x + edge->target * labels, 1);
}

/* A row of two is a number p and 1 - p, and what approaches stays between: nothing to project. */
static void steps_of_two(const epact_cut_edge *edge, int64_t count, float step, float *x)
{
  for (int64_t e = 0; e < count; e++) {
    fetch(&edge[e + AHEAD < count ? e + AHEAD : e], 2, x);
    float *const u = x + (int64_t)edge[e].source * 2, *const v = x + (int64_t)edge[e].target * 2;
    float p = read_shared(u), q = read_shared(v);
    if (p == q) continue;
    const float pull_u = step * edge[e].pull_source, pull_v = step * edge[e].pull_target;
    approach(&p, &q, pull_u, pull_v, share_of(pull_u, pull_v));
    write_shared(u, p);
    write_shared(u + 1, 1 - p);
    if (edge[e].pull_target == 0) continue;
    write_shared(v, q);
    write_shared(v + 1, 1 - q);
  }
}

INLINE void steps_of(const epact_cut_edge *edge, int64_t count, int32_t labels, float step, float *x)
{
  float a[EPACT_CUT_LABELS], b[EPACT_CUT_LABELS];
  for (int64_t e = 0; e < count; e++) {
    fetch(&edge[e + AHEAD < count ? e + AHEAD : e], labels, x);
    float *const u = x + (int64_t)edge[e].source * labels, *const v = x + (int64_t)edge[e].target * labels;
    const float pull_u = step * edge[e].pull_source, pull_v = step * edge[e].pull_target;
    bool differ = false;
    for (int32_t l = 0; l < labels; l++) {
      a[l] = read_shared(u + l);
      b[l] = read_shared(v + l);
      differ |= a[l] != b[l];
    }
    if (!differ) continue; /* most edges, in the end: no line of the cache is taken from another thread for them */
    const float share = share_of(pull_u, pull_v);
    for (int32_t l = 0; l < labels; l++) approach(&a[l], &b[l], pull_u, pull_v, share);
    project(a, labels);
    for (int32_t l = 0; l < labels; l++) write_shared(u + l, a[l]);
    if (edge[e].pull_target == 0) continue;
    project(b, labels);
    for (int32_t l = 0; l < labels; l++) write_shared(v + l, b[l]);
  }
}

void epact_cut_steps(const epact_cut_edge *edge, int64_t count, int32_t labels, float step, float *x)
{
  switch (labels) {
  case 2:
    steps_of_two(edge, count, step, x);
    break;
  case 3:
    steps_of(edge, count, 3, step, x);
    break;
  case 4:
    steps_of(edge, count, 4, step, x);
    break;
  default:
    steps_of(edge, count, labels, step, x);
  }
}

void epact_cut_settle(int32_t labels, int64_t first, int64_t end, float *x)
{
  for (int64_t v = first; v < end; v++) {
    float *const row = x + v * labels;
    if (labels == 2)
      row[1] = 1 - row[0];
    else
      project(row, labels);
  }
}

INLINE int32_t largest(const float *row, int32_t labels)
{
  int32_t best = 0;
  for (int32_t l = 1; l < labels; l++)
    if (row[l] > row[best]) best = l;
  return best;
}

INLINE double objective_of(const epact_cut_graph *graph, int32_t labels, int64_t first, int64_t end, const float *x,
                           double *cut)
{
  double sum = 0, parted = 0;
  for (int64_t e = first; e < end; e++) {
    const float *const u = x + (int64_t)graph->source[e] * labels, *const v = x + (int64_t)graph->target[e] * labels;
    double apart = 0;
    for (int32_t l = 0; l < labels; l++) apart += fabs((double)u[l] - (double)v[l]);
    sum += weight_of(graph, e) * apart;
    parted += largest(u, labels) != largest(v, labels) ? weight_of(graph, e) : 0;
  }
  *cut = parted;
  return sum;
}

double epact_cut_objective(const epact_cut_graph *graph, int64_t first, int64_t end, const float *x, double *cut)
{
  double unused;
  double *const to = cut ? cut : &unused;
  if (graph->labels == 2) return objective_of(graph, 2, first, end, x, to);
  if (graph->labels == 3) return objective_of(graph, 3, first, end, x, to);
  return objective_of(graph, graph->labels, first, end, x, to);
}

void epact_cut_round(int32_t labels, int64_t first, int64_t end, const float *x, double *label)
{
  for (int64_t v = first; v < end; v++) label[v] = largest(x + v * labels, labels);
}
