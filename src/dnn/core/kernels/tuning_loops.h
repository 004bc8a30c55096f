/* Sizes of the loops over elements: activations, losses, reductions, sparse rows. Included by one_precision.h only.
 *
 * LANES, WIDTH, BLOCK_ROWS, STRIP and MAX_ROWS decide the order of additions: changing them changes the last bits of
 * results. benchmarks/training.py set them; benchmarks/sparse.py those of sparse rows.
 */
#ifndef DNN_TUNING_LOOPS_H
#define DNN_TUNING_LOOPS_H

/* running sums side by side in a sum over a row; add_lanes adds exactly 16 */
#define LANES 16
/* columns that are summed together, and rows that are summed by themselves before their sums are added */
#define WIDTH 64
#define BLOCK_ROWS 128
/* elements of a row, or of several short rows, that are in a buffer on the stack at the same time */
#define STRIP 2048
/* rows of a block whose losses are on the stack */
#define MAX_ROWS 256
/* elements; a short bias is repeated until it fills at most this many, and is then added to several rows at once */
#define PATTERN 128
/* elements from row to row of a square block that is transposed without AVX2; a power of 4 */
#define SIDE 16
/* elements of a sparse row whose rows of B are prefetched before they are needed */
#define STORED_AHEAD 8
/* vectors of a strip of columns whose sums are in registers: of a product, and of a gradient, which has two sums per
 * column: benchmarks/piecewise.py */
#define GATHER_VECTORS 8
#if defined(__AVX512F__)
#define GRADIENT_VECTORS 8
#else
#define GRADIENT_VECTORS 4
#endif
/* rows of a sparse batch whose elements are prefetched before they are sorted */
#define ROWS_AHEAD 4
/* bytes of such a row of B that are prefetched at most: the processor prefetches the rest by itself */
#define STORED_BYTES 1024

#endif
