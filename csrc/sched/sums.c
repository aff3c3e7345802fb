/* A tree of sums: see sums.h. */
#include "sums.h"

static int64_t lines_of(int64_t count)
{
  return (count + SUMS_WIDTH - 1) / SUMS_WIDTH;
}

static double line_sum(const double *line)
{
  return ((line[0] + line[1]) + (line[2] + line[3])) + ((line[4] + line[5]) + (line[6] + line[7]));
}

int sums_init(sums_tree *tree, int64_t count, double weight)
{
  size_t start[SUMS_LEVELS] = { 0 };
  *tree = (sums_tree){ 0 };
  for (int64_t size = count;; size = lines_of(size)) {
    start[tree->levels++] = tree->numbers;
    tree->numbers += (size_t)lines_of(size) * SUMS_WIDTH;
    if (size <= SUMS_WIDTH) break;
  }
  tree->memory = epact_object_raw(tree->numbers * sizeof(double));
  if (!tree->memory) return EPACT_E_NOMEM;
  for (size_t i = 0; i < tree->numbers; i++) tree->memory[i] = i < (size_t)count ? weight : 0;
  for (int i = 0; i < tree->levels; i++) tree->level[i] = tree->memory + start[i];
  sums_build(tree, count);
  return EPACT_OK;
}

void sums_free(sums_tree *tree)
{
  epact_release(tree->memory);
  *tree = (sums_tree){ 0 };
}

void sums_build(sums_tree *tree, int64_t count)
{
  int64_t size = count;
  for (int i = 0; i + 1 < tree->levels; i++) {
    size = lines_of(size);
    for (int64_t line = 0; line < size; line++) tree->level[i + 1][line] = line_sum(tree->level[i] + line * SUMS_WIDTH);
  }
  tree->total = line_sum(tree->level[tree->levels - 1]);
}

/* Level by level and not item by item: what one item waits for from memory does not keep the others. */
void sums_refresh(sums_tree *tree, int64_t n, const uint32_t *item, uint32_t *scratch)
{
  for (int i = 0; i + 1 < tree->levels; i++) {
    const double *below = tree->level[i];
    double *above = tree->level[i + 1];
    for (int64_t k = 0; k < n; k++) {
      const uint32_t line = (i ? scratch[k] : item[k]) / SUMS_WIDTH;
      scratch[k] = line;
      above[line] = line_sum(below + (size_t)line * SUMS_WIDTH);
    }
  }
  tree->total = line_sum(tree->level[tree->levels - 1]);
}

/* Where the rounding of sums leaves `at` beyond the line's last weight: the last one that is not 0. */
static int last_weight(const double *line)
{
  int child = SUMS_WIDTH - 1;
  while (child > 0 && !(line[child] > 0)) child--;
  return child;
}

/* The weight of a line into whose share `at` falls; `at` becomes the place within it. Without a branch that depends on
 * chance. */
static inline int child_of(const double *line, double *at)
{
  double sum = 0, below = 0;
  int child = 0;
  for (int i = 0; i < SUMS_WIDTH - 1; i++) {
    sum += line[i];
    const int past = *at >= sum;
    child += past;
    below = past ? sum : below;
  }
  if (EPACT_UNLIKELY(!(line[child] > 0))) child = last_weight(line);
  const double rest = *at - below, most = line[child] * (1 - 0x1p-53);
  *at = rest < most ? rest : most;
  return child;
}

void sums_find(const sums_tree *tree, int64_t n, double *at, uint32_t *item)
{
  for (int64_t k = 0; k < n; k++) item[k] = 0;
  for (int i = tree->levels - 1; i >= 0; i--) {
    const double *next = i ? tree->level[i - 1] : NULL;
    for (int64_t k = 0; k < n; k++) {
      const int child = child_of(tree->level[i] + (size_t)item[k] * SUMS_WIDTH, &at[k]);
      item[k] = item[k] * SUMS_WIDTH + (uint32_t)child;
      if (next) __builtin_prefetch(next + (size_t)item[k] * SUMS_WIDTH);
    }
  }
}
