/* Products of rows: see block_product.h. */
#include "block_product.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define LANES 2
#define DOWN 3
#define ACROSS 4
#define FUSED(a, b, c) ((a) * (b) + (c))
#define NAME(base) base##_narrow
#define TARGET
#include "block_product_tile.h"

#ifdef __x86_64__
#define LANES 4
#define DOWN 3
#define ACROSS 4
#define FUSED(a, b, c) (_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c)))
#define NAME(base) base##_wide
#define TARGET __attribute__((target("avx2,fma")))
#include "block_product_tile.h"

#define LANES 8
#define DOWN 4
#define ACROSS 6
#define FUSED(a, b, c) (_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c)))
#define NAME(base) base##_widest
#define TARGET __attribute__((target("avx512f")))
#include "block_product_tile.h"
#endif

void block_product(row_block a, row_block b, int64_t depth, double factor, int64_t diagonal, double *c, int64_t stride)
{
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f")) {
    product_widest(a, b, depth, factor, diagonal, c, stride);
    return;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    product_wide(a, b, depth, factor, diagonal, c, stride);
    return;
  }
#endif
  product_narrow(a, b, depth, factor, diagonal, c, stride);
}
