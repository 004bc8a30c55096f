/* Block sizes and thresholds of the matrix kernels that hold for every instruction set, in the letters of BLIS: a block
 * of C in registers has MR rows and NR columns, a block of summands has KC of them, MC rows of A and NC columns of B
 * are packed together. The others are in tuning_avx2.h and tuning_avx512.h. benchmarks/products.py set the values that
 * depend on a kernel alone, benchmarks/training.py those that depend on what is in the caches between two products.
 *
 * KC, KC_TN of each instruction set, and NT_SUMS decide the order of additions: changing them changes the last bits of
 * results.
 */
#ifndef DNN_TUNING_GEMM_H
#define DNN_TUNING_GEMM_H

/* summands of a block; so many that blocks of C are rarely loaded and stored again */
#define KC 512
/* rows of a sliver of packed A: the height of the blocks of C that read slivers */
#define MR 4
/* rows and vectors of the largest block of C in registers, on any instruction set */
#define BLOCK_ROWS_MAX 16
#define BLOCK_VECTORS_MAX 4
/* rows of A from which packing panels of B is worthwhile, and bytes from row to row of B from which it is */
#define PACK_B_ROWS 64
#define PACK_B_STRIDE 1024
/* rows of A from which gemm_nn packs A in slivers too, and bytes of A that it packs together (MC * KC * SIZE): a call
 * with 512 rows packs B once */
#define PACK_A_ROWS 192
#define NN_PACK_A_BYTES (512 * 4 * KC)
/* rows that are prefetched ahead of a sum over rows; for a single row of C, which reads longer pieces of rows of B */
#define PREFETCH_ROWS 16
#define GEMV_PREFETCH_ROWS 4
/* rows of A that are prefetched while slivers of its columns are packed */
#define PACK_SLIVERS_AHEAD 4
/* whether n rows begin on the same lines of L1, which has eight of each; or, with half the distance, on two sets of lines */
#define ALIASES_IN_L1(n, ld, bytes) ((n) >= 16 && (ld) * SIZE % (bytes) == 0)

/* gemm_nt: rows of A from which packing T is worthwhile; rows whose partial sums are in memory meanwhile; vectors in
 * which an inner product is summed if C has a single column (with two columns, half as many): an addition takes four
 * cycles */
#define NT_PACK_ROWS 32
#define NT_GROUP_ROWS 128
#define NT_SUMS 4

/* gemm_tn: rows of packed A, a multiple of most block heights, so that few blocks are cut at the end of MC rows */
#define TN_PACK_MULTIPLE 48
/* panels of C from which a shorter first panel is worthwhile that aligns the others with cache lines */
#define TN_ALIGN_PANELS 4
/* gemm_tn, rows of B read in sequence (AVX2): rows of B that are read together; bytes of C that stay in L1 with them */
#define STREAM_ROWS 6
#define STREAM_BYTES 16384
/* BLOCK(rows of B): heights, tallest first */
#define STREAM_BLOCKS(BLOCK) BLOCK(6) BLOCK(3) BLOCK(2) BLOCK(1)

#endif
