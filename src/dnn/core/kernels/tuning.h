/* Sizes and thresholds that hold for every instruction set: how work is cut into tiles, which kind of step a network takes,
 * when threads are worth their cost. Those of the matrix kernels differ by instruction set: tuning_avx2.h, tuning_avx512.h.
 *
 * Each has its unit, its meaning, and the benchmark that set it. "values" are elements of either precision. A change of a
 * size of the grid (DNN_TILE_*, DNN_N_SHARDS, ...) changes the order of additions, and with it the last bits of results.
 */
#ifndef DNN_TUNING_H
#define DNN_TUNING_H

/* ---- weight tiles: benchmarks/training.py ---- */

/* values; gradient, weights and two slots of Adam's state of a tile stay in L2 */
#define DNN_TILE_VALUES 12288
/* values; the same where sums are long (batches of DNN_TILE_LONG_ROWS rows), or where the whole gradient is stored */
#define DNN_TILE_VALUES_LONG 49152
/* values; the same with AVX2 in such batches: 384 x 512, because packing takes a sixth of the time of a tile of 192 x 256 */
#define DNN_TILE_VALUES_PACKED 196608
/* rows of a batch */
#define DNN_TILE_LONG_ROWS 512
/* values; the smallest tile */
#define DNN_TILE_VALUES_MIN 2048
/* flops of the gradient of a step, in all, and per lane of a vector of each instruction set. A fused update that has begun must
 * be ended: above these it may take 0.2 s, and the whole gradient is stored first. One thread does about 1e11 flops per second
 * with AVX-512, on some processors twice that, and 8.5e10 with AVX2; half of it in double precision. */
#define DNN_FUSED_FLOPS 1e9
#define DNN_FUSED_FLOPS_AVX2 2.2e9
#define DNN_FUSED_FLOPS_AVX512 1.2e9
/* columns; 1 KB of float32, because shorter pieces of rows are fetched slowly (Adam: 1 ns per weight instead of 0.3) */
#define DNN_TILE_COLUMNS 256
/* tiles of all weights at least, so that shares of members are about equal: benchmarks/scaling.py */
#define DNN_TILES 32
/* values that cost as much as the fixed cost of a tile */
#define DNN_TILE_COST 256
/* values, and rows, of a tile of the first layer's weights where X is sparse: benchmarks/sparse.py. Each update looks
 * through the rows of a tile for those that a batch has touched. */
#define DNN_SPARSE_TILE_VALUES 16384
#define DNN_SPARSE_TILE_ROWS 4096

/* ---- kinds of step: benchmarks/training.py, two threads ---- */

/* parameters; below, a replicated step is 11 to 19 % faster than a tiled one, above it is slower */
#define DNN_REPLICATED_PARAMS 20000
/* bytes of the activations of a shard, which is not cut into blocks */
#define DNN_REPLICATED_BYTES (1 << 20)
/* units of the widest layer; above, vectors along the units are more than half full */
#define DNN_FEATURE_MAJOR_UNITS 16
/* rows of a batch at least */
#define DNN_FEATURE_MAJOR_ROWS 16
/* bytes of the activations of a batch: they stay in L2 */
#define DNN_FEATURE_MAJOR_BYTES (1 << 18)
/* inputs per row of a batch; above, members share a layer by columns, because it has more weights to move than activations:
 * benchmarks/scaling.py */
#define DNN_COLUMNS_INPUTS 2
/* outputs; up to so many a layer is computed by gemm_nt, because gemm_nn would use a quarter of each vector */
#define DNN_INNER_PRODUCT_OUTPUTS 4

/* ---- threads: benchmarks/threads.py, benchmarks/scaling.py ---- */

/* flops of a pass over rows per member: about what it costs to start and end a thread */
#define DNN_FLOPS_PER_MEMBER 10000000
/* flops of a call that keeps the GIL, about 20 us: taking it back may cost 5 ms (benchmarks/gil.py) */
#define DNN_FLOPS_HELD 1000000
/* flops that cost as much as a row besides its products */
#define DNN_ROW_COST 100
/* flops of a product that take as long as the update of one weight */
#define DNN_FLOPS_PER_UPDATE 20
/* flops that take as long as the fixed cost of a step */
#define DNN_STEP_FLOPS 1e4
/* values that a call reads or updates once while it keeps the GIL */
#define DNN_VALUES_HELD 50000
/* values that a small prediction converts by itself (benchmarks/prediction.py) */
#define DNN_VALUES_CONVERTED 65536

/* ---- the throttle: see core/throttle.pxi; benchmarks/threads.py beside a busy process ---- */

/* flops of a try: 1 to 2 ms */
#define DNN_FLOPS_PER_TRY 200000000
/* of so many tries one is short and done by one member, to know how long a step takes then */
#define DNN_TRIES_PER_SAMPLE 64
/* seconds; a member that arrives later has lost its core to another process for a slice of time */
#define DNN_SLICE 0.001
/* share of the time that the first member may wait for the others; above, it is faster alone */
#define DNN_WAITED 0.35
/* seconds that one member goes on alone at first; up to DNN_PAUSES_MAX times as long if the team is kept waiting again */
#define DNN_PAUSE 0.01
#define DNN_PAUSES_MAX 8

/* ---- signals ---- */

/* flops between two looks at the clock, seconds between two calls of Python's handlers: Ctrl-C is answered within 0.2 s */
#define DNN_POLL_FLOPS 5e7
#define DNN_POLL_SECONDS 0.05
/* flops of a layer of one block that lets handlers run between layers */
#define DNN_LAYER_POLL_FLOPS 5e8

/* ---- BLAS, where there are no kernels of our own: benchmarks/products.py ---- */

/* columns and depth of a call of a product that is cut: with 64 rows just under a million multiply-adds */
#define DNN_CALL_COLUMNS 64
#define DNN_CALL_DEPTH 240

#endif
