/* The loops of block_product.c. A template: define LANES, DOWN and ACROSS (of a tile), FUSED(a, b, c) = a b + c on
 * vectors, NAME(base) and TARGET before including it. */

typedef double NAME(vector) __attribute__((vector_size(LANES * sizeof(double)), aligned(8), may_alias));

/* Rows beyond the end are the last one again, and are not stored. */
TARGET static void NAME(tile)(row_block a, int64_t i, row_block b, int64_t j, int64_t depth, double factor, double *c,
                              int64_t stride)
{
  NAME(vector) sum[DOWN][ACROSS] = { 0 };
  const double *down[DOWN], *across[ACROSS];
  int64_t k = 0;
  for (int64_t r = 0; r < DOWN; r++) down[r] = a.value + (i + r < a.count ? i + r : a.count - 1) * a.stride;
  for (int64_t s = 0; s < ACROSS; s++) across[s] = b.value + (j + s < b.count ? j + s : b.count - 1) * b.stride;
  for (; k + LANES <= depth; k += LANES) {
    NAME(vector) here[DOWN];
    for (int r = 0; r < DOWN; r++) here[r] = *(const NAME(vector) *)(down[r] + k);
    for (int s = 0; s < ACROSS; s++) {
      const NAME(vector) other = *(const NAME(vector) *)(across[s] + k);
      for (int r = 0; r < DOWN; r++) sum[r][s] = FUSED(here[r], other, sum[r][s]);
    }
  }
  for (int r = 0; r < DOWN && i + r < a.count; r++)
    for (int s = 0; s < ACROSS && j + s < b.count; s++) {
      double total = 0;
      for (int lane = 0; lane < LANES; lane++) total += sum[r][s][lane];
      for (int64_t rest = k; rest < depth; rest++) total += down[r][rest] * across[s][rest];
      c[(i + r) * stride + j + s] += factor * total;
    }
}

/* Some rows of a stay in the nearest cache while those of b go by. */
TARGET static void NAME(product)(row_block a, row_block b, int64_t depth, double factor, int64_t diagonal, double *c,
                                 int64_t stride)
{
  enum { NEAR = 8 * DOWN };
  for (int64_t first = 0; first < a.count; first += NEAR) {
    const int64_t end = a.count - first < NEAR ? a.count : first + NEAR;
    for (int64_t j = 0; j < b.count && j < end + diagonal; j += ACROSS)
      for (int64_t i = first; i < end; i += DOWN)
        if (j < i + DOWN + diagonal) NAME(tile)(a, i, b, j, depth, factor, c, stride);
  }
}

#undef LANES
#undef DOWN
#undef ACROSS
#undef FUSED
#undef NAME
#undef TARGET
