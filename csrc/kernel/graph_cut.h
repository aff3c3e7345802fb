/* Graph cuts, relaxed: lock-free steps on rows that threads share.
 *
 *   minimise  sum over edges (u, v, w) of w ||x_u - x_v||_1
 *
 * over one row x_v of the simplex { x >= 0, sum x = 1 } of `labels` numbers for each vertex; some vertices are fixed to
 * a label, their row is its unit vector (Niu, Recht, Re, Wright, NIPS 2011; the relaxation: Calinescu, Karloff, Rabani,
 * JCSS 60, 2000). Rounded to labels an edge costs 0, or 2 w where it is cut: the optimum is at most twice the smallest
 * cut, and with 2 labels it is twice the smallest cut. Edges have no direction.
 *
 * A step is that of one edge, in a metric that gives each vertex its degree d_v, the weights of its edges: a component of
 * x_u moves towards that of x_v by step w / d_u, that of x_v towards x_u by step w / d_v (not at all when it is fixed),
 * or where they would pass, both to the point between that divides their way as these numbers do. That is the proximal
 * step, and the subgradient step wherever they do not meet. Then both rows are projected on the simplex. All edges of a
 * vertex together move it by at most `step`, whatever the weights are.
 *
 * Hogwild!: any number of threads make steps on the same rows. Numbers are read and written whole, in no order
 * (relaxed atomics), and nothing is locked: of two steps on a vertex at the same time one may be lost, and a row may mix
 * the numbers of both until epact_cut_settle. */
#ifndef EPACT_KERNEL_GRAPH_CUT_H
#define EPACT_KERNEL_GRAPH_CUT_H

#include "../base/base.h"

enum { EPACT_CUT_LABELS = 256 /* the most there may be */ };

/** A graph as arrays of `count` edges. A view: it owns nothing. */
typedef struct {
  int64_t vertices, count;
  int32_t labels;
  const uint32_t *source, *target;
  const double *weight; /* NULL: all 1 */
  const int32_t *fixed; /* [vertices]: the label, or -1: free */
} epact_cut_graph;

/** An edge as steps want it: w / d of either end. The target's is 0 when it is fixed; the source never is. */
typedef struct {
  uint32_t source, target;
  float pull_source, pull_target;
} epact_cut_edge;

/** EPACT_OK when vertices are below `vertices`, weights finite and not negative, and fixed labels below `labels`, each
 * of which has a vertex. Otherwise EPACT_E_MISUSE; the sentence names the edge, vertex or label. To be called once: the
 * functions below trust the graph. */
EPACT_API int epact_cut_check(const epact_cut_graph *graph);

/** The sum of the weights at each vertex, of edges that can move a row: no loop, not weightless, not between two
 * fixed vertices. */
EPACT_API void epact_cut_degrees(const epact_cut_graph *graph, double *degree);

/** The edges of part `part` of `parts` among those that can move a row, dealt at random from the stream of `seed`, in
 * random order. Returns their number; `edge` may be NULL: only that. */
EPACT_API int64_t epact_cut_deal(const epact_cut_graph *graph, const double *degree, uint64_t seed, int64_t part,
                                 int64_t parts, epact_cut_edge *edge);

/** Rows first .. end - 1 of x [vertices x labels]: unit vectors of fixed vertices, 1 / labels of the others. */
EPACT_API void epact_cut_begin(const epact_cut_graph *graph, int64_t first, int64_t end, float *x);

/** A step on each of the edges in this order; `step` is finite. Any threads may do so at the same time. */
EPACT_API void epact_cut_steps(const epact_cut_edge *edge, int64_t count, int32_t labels, float step, float *x);

/** Projects rows first .. end - 1 on the simplex. No other thread may write to these. */
EPACT_API void epact_cut_settle(int32_t labels, int64_t first, int64_t end, float *x);

/** The sum of w ||x_u - x_v||_1 over edges first .. end - 1. *cut (may be NULL): that of w over those whose ends have
 * different labels once rounded. */
EPACT_API double epact_cut_objective(const epact_cut_graph *graph, int64_t first, int64_t end, const float *x,
                                     double *cut);

/** The label of vertices first .. end - 1: where the row is largest, the lowest of several. */
EPACT_API void epact_cut_round(int32_t labels, int64_t first, int64_t end, const float *x, double *label);

#endif
