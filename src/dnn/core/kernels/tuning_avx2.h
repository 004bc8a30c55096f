/* Block sizes of the matrix kernels with AVX2: 16 registers of 32 bytes. See tuning_gemm.h. Included once per precision. */

/* columns of a panel: three vectors */
#define NR (3 * N_LANES)
/* vectors of columns that gemm_nn computes at once for a single row */
#define GEMV_VECTORS 8
/* BLOCK(rows, vectors): the blocks of C that fit the registers, tallest first */
#define BLOCKS_4(BLOCK)
#define BLOCKS_3(BLOCK) BLOCK(4, 3) BLOCK(3, 3) BLOCK(2, 3) BLOCK(1, 3)
#define BLOCKS_2(BLOCK) BLOCK(6, 2) BLOCK(5, 2) BLOCK(4, 2) BLOCK(3, 2) BLOCK(2, 2) BLOCK(1, 2)
#define BLOCKS_1(BLOCK) BLOCK(12, 1) BLOCK(10, 1) BLOCK(8, 1) BLOCK(6, 1) BLOCK(4, 1) BLOCK(2, 1) BLOCK(1, 1)
/* whether A is packed in slivers; panels of B that are packed together (NC = NC_PANELS * NR): 576 bytes of each row of
 * B, which are nine consecutive cache lines */
#define PACKS_SLIVERS true
#define NC_PANELS 6
/* whether gemm_nn packs a panel of B, of `depth` rows that are ld elements apart: these are spread over more than L1 */
#define PACKS_B(depth, ld) ((depth) * (ld) * SIZE > 32768)
/* whether a block prefetches its panel of B: the first block of rows, of a panel that was not packed */
#define PREFETCHES_B(packed, r) (!(packed) && (r) == 0)
/* rows that are prefetched while panels are packed: L1 has room for 8 rows that are 8 KB apart */
#define PACK_AHEAD 6

/* gemm_tn: summands of a block; with so many, packed A is as wide as a weight tile, and B is packed once for it */
#define KC_TN 256
/* rows of C up to which half panels of B are used: never */
#define TN_HALF_PANEL_ROWS 0
/* rows of C from which B is packed, if TN_PACKS_B is true as well: the n rows of B are larger than L2, or many (128
 * rows 2 KB apart are read faster without packing). Whether A is packed if B is; bytes of A that are packed together: a
 * tile of 384 rows */
#define TN_PACK_ROWS 48
#define TN_PACKS_B(n, ld) ((n) * (ld) * SIZE >= 524288 || ((n) >= 256 && (ld) * SIZE >= PACK_B_STRIDE))
#define TN_PACKS_A true
#define PACK_A_BYTES (200 * 4 * KC)
/* whether the n rows of B are read in sequence for n_rows rows of C: these are few, and the rows of B share lines of L1 */
#define TN_STREAMS(n_rows, n, ld) ((n_rows) < DNN_STREAM_ROWS_MAX && ALIASES_IN_L1(n, ld, DNN_L1_ALIAS_BYTES))

/* gemm_nt: rows and columns of a block at most; BLOCK(rows, columns) for a C of one or two columns, and for all blocks */
#define NT_MR 3
#define NT_NR 4
#define NT_NARROW_BLOCKS(BLOCK) BLOCK(1, 1) BLOCK(1, 2) BLOCK(2, 1) BLOCK(2, 2) BLOCK(3, 1) BLOCK(3, 2)
#define NT_BLOCKS(BLOCK) \
    BLOCK(1, 1) BLOCK(1, 2) BLOCK(1, 3) BLOCK(1, 4) BLOCK(2, 1) BLOCK(2, 2) BLOCK(2, 3) BLOCK(2, 4) BLOCK(3, 1) \
    BLOCK(3, 2) BLOCK(3, 3) BLOCK(3, 4)
/* columns of C up to which T is packed piece by piece, and bytes of a piece: it fits L1 together with rows of A */
#define NT_PACK_COLUMNS (4 * N_LANES)
#define NT_PACK_BYTES 24576

/* unrolling of the loops over summands: fewer instructions per summand make a difference if two threads share a core */
#define UNROLL_SUM_2 UNROLL_2
#define UNROLL_SUM_4 UNROLL_4
