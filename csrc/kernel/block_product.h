/* Products of the rows of two matrices. Private.
 *
 * What dgemm and dsyrk do, for Gram matrices and their factors, by our own hand for the reason that dense.h gives: rows
 * of numbers that follow each other, a hundred long or so. */
#ifndef EPACT_KERNEL_BLOCK_PRODUCT_H
#define EPACT_KERNEL_BLOCK_PRODUCT_H

#include <stdint.h>

/* Rows of numbers, `stride` apart. */
typedef struct {
  const double *value;
  int64_t count, stride;
} row_block;

/* c[i * stride + j] += factor * a_i'b_j, over `depth` numbers of each row, for j <= i + diagonal; above that c may have
 * changed or not. */
void block_product(row_block a, row_block b, int64_t depth, double factor, int64_t diagonal, double *c, int64_t stride);

#endif
