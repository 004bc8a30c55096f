/* Block sizes of the matrix kernels with AVX-512: 32 registers of 64 bytes. See tuning_gemm.h. Included once per
 * precision. */

/* columns of a panel: four vectors */
#define NR (4 * N_LANES)
/* vectors of columns that gemm_nn computes at once for a single row */
#define GEMV_VECTORS 16
/* BLOCK(rows, vectors): the blocks of C that fit the registers, tallest first */
#define BLOCKS_4(BLOCK) BLOCK(6, 4) BLOCK(5, 4) BLOCK(4, 4) BLOCK(3, 4) BLOCK(2, 4) BLOCK(1, 4)
#define BLOCKS_3(BLOCK) BLOCK(8, 3) BLOCK(6, 3) BLOCK(4, 3) BLOCK(2, 3) BLOCK(1, 3)
#define BLOCKS_2(BLOCK) BLOCK(12, 2) BLOCK(10, 2) BLOCK(8, 2) BLOCK(6, 2) BLOCK(4, 2) BLOCK(2, 2) BLOCK(1, 2)
#define BLOCKS_1(BLOCK) BLOCK(16, 1) BLOCK(8, 1) BLOCK(4, 1) BLOCK(2, 1) BLOCK(1, 1)
/* whether A is packed in slivers; panels of B that are packed together (NC = NC_PANELS * NR) */
#define PACKS_SLIVERS false
#define NC_PANELS 1
/* whether gemm_nn packs a panel of B, of `depth` rows that are ld elements apart */
#define PACKS_B(depth, ld) ((ld) * SIZE >= PACK_B_STRIDE)
/* whether a block prefetches its panel of B: always, because the panel is larger than L1 */
#define PREFETCHES_B(packed, r) true
/* rows that are prefetched while panels are packed */
#define PACK_AHEAD PREFETCH_ROWS

/* gemm_tn: summands of a block */
#define KC_TN KC
/* rows of C up to which half panels of B are used, because these stay in L1 from block to block */
#define TN_HALF_PANEL_ROWS 24
/* rows of C from which B is packed, if TN_PACKS_B is true of its n rows as well; whether A is packed if B is; bytes of
 * A that are packed together */
#define TN_PACK_ROWS 192
#define TN_PACKS_B(n, ld) ((n) >= 256 && (ld) * SIZE >= PACK_B_STRIDE)
#define TN_PACKS_A false
#define PACK_A_BYTES (112 * 4 * KC)
/* whether the n rows of B are read in sequence for n_rows rows of C: never */
#define TN_STREAMS(n_rows, n, ld) false

/* gemm_nt: rows and columns of a block at most; BLOCK(rows, columns) for a C of one or two columns, and for all blocks */
#define NT_MR 4
#define NT_NR 5
#define NT_NARROW_BLOCKS(BLOCK) \
    BLOCK(1, 1) BLOCK(1, 2) BLOCK(2, 1) BLOCK(2, 2) BLOCK(3, 1) BLOCK(3, 2) BLOCK(4, 1) BLOCK(4, 2)
#define NT_BLOCKS(BLOCK) \
    BLOCK(1, 1) BLOCK(1, 2) BLOCK(1, 3) BLOCK(1, 4) BLOCK(1, 5) BLOCK(2, 1) BLOCK(2, 2) BLOCK(2, 3) BLOCK(2, 4) \
    BLOCK(2, 5) BLOCK(3, 1) BLOCK(3, 2) BLOCK(3, 3) BLOCK(3, 4) BLOCK(3, 5) BLOCK(4, 1) BLOCK(4, 2) BLOCK(4, 3) \
    BLOCK(4, 4) BLOCK(4, 5)
/* columns of C up to which T is packed piece by piece, and bytes of a piece: it fits L1 together with rows of A */
#define NT_PACK_COLUMNS (2 * N_LANES)
#define NT_PACK_BYTES 28672

/* unrolling of the loops over summands: none */
#define UNROLL_SUM_2
#define UNROLL_SUM_4
