/* Block sizes and thresholds of the matrix kernels that hold for every instruction set, in BLIS's letters: MR rows and NR columns
 * of a block of C in registers, KC summands of a block, MC rows of A and NC columns of B that are packed together. The rest is
 * in tuning_avx2.h and tuning_avx512.h. benchmarks/products.py set those of the kernels by themselves, benchmarks/training.py
 * those that depend on what stays in the caches between two products.
 *
 * KC, and KC_TN of each instruction set, decide the order of additions: changing them changes the last bits of results.
 */
#ifndef DNN_TUNING_GEMM_H
#define DNN_TUNING_GEMM_H

/* summands; so long that blocks of C are rarely loaded and stored again */
#define KC 512
/* rows of a sliver of packed A: the height of blocks that read slivers */
#define MR 4
/* rows of A that are worth packing panels of B for, and bytes from row to row of B above which that pays */
#define PACK_B_ROWS 64
#define PACK_B_STRIDE 1024
/* rows of A from which gemm_nn packs A in slivers too, and bytes of A that it packs together (MC * KC): a call with 512 rows
 * packs B once */
#define PACK_A_ROWS 192
#define NN_PACK_A_BYTES (512 * 4 * KC)
/* rows that are fetched ahead of a sum over rows */
#define PREFETCH_ROWS 16
/* n rows that begin on the same lines of L1, which holds eight of each; or, with half the distance, on two sets of lines */
#define ALIASES_IN_L1(n, ld, bytes) ((n) >= 16 && (ld) * SIZE % (bytes) == 0)

/* gemm_nt: rows of A that are worth packing T for; rows whose partial sums wait in memory meanwhile; vectors that the inner
 * products of one or two columns are summed in (an addition takes four cycles) */
#define NT_PACK_ROWS 32
#define NT_GROUP_ROWS 128
#define NT_SUMS 4

/* gemm_tn, rows of B read in sequence (AVX2): rows of B that are read at once; bytes of C that stay in L1 with them */
#define STREAM_ROWS 6
#define STREAM_BYTES 16384
#define STREAM_BLOCKS(BLOCK) BLOCK(6) BLOCK(3) BLOCK(2) BLOCK(1)

#endif
