/* Sizes and thresholds that hold for every instruction set: how work is cut into tiles, which kind of step a network takes,
 * and when threads are worth their cost. The sizes of the matrix kernels are in tuning_gemm.h, tuning_avx2.h and
 * tuning_avx512.h, those of the other kernels in tuning_loops.h.
 *
 * Each value has its unit, its meaning, and the benchmark that set it, which is in the title of its section unless the value
 * names another. "elements" are of either precision; "flops" count a multiplication and an addition as two. A change of
 * a size of the grid (the sections of row tiles and weight tiles) changes the order of additions, and with it the last
 * bits of results.
 */
#ifndef DNN_TUNING_H
#define DNN_TUNING_H

/* ---- row tiles: benchmarks/training.py, benchmarks/scaling.py ---- */

/* row tiles of a pass at most, and what their number is a multiple of if it is larger: 4, 8, 12 or 16 tiles can be
 * shared about evenly by two, three and four members */
#define DNN_ROW_TILES_MAX 16
#define DNN_ROW_TILES_MULTIPLE 4
/* rows of a tile at least, if a batch has them: enough for a matrix product */
#define DNN_TILE_ROWS_MIN 16
/* rows that go through the layers at once, at most; without gradients fewer, because two buffers of activations are
 * reused */
#define DNN_BLOCK_ROWS 512
#define DNN_BLOCK_ROWS_PREDICT 256
/* rows that the layout of a prediction is made for, at most: tiles no longer grow above it */
#define DNN_PREDICT_ROWS (DNN_ROW_TILES_MAX * DNN_BLOCK_ROWS_PREDICT)
/* With BLAS: elements of the activations of a tile, all layers together (a quarter of an L2 of 1 MB), and bounds of its
 * rows */
#define DNN_BLAS_TILE_VALUES 65536
#define DNN_BLAS_TILE_ROWS_MIN 64
#define DNN_BLAS_TILE_ROWS_MAX 1024

/* ---- rows of buffers: benchmarks/products.py ---- */

/* elements; shorter rows are contiguous, because kernels run through several of them at once */
#define DNN_PADDED_ROW_ELEMENTS 16
/* bytes; a row whose length is a multiple of this is padded by a cache line, or rows would share few lines of the cache */
#define DNN_ALIAS_BYTES 512
/* bytes; rows a multiple of this apart share lines of L1. With AVX2, gemm_tn with fewer than DNN_STREAM_ROWS_MAX rows
 * of C then reads the rows of B in sequence; such rows are best on the right-hand side. */
#define DNN_L1_ALIAS_BYTES 4096
#define DNN_STREAM_ROWS_MAX 48
/* rows, and bytes of the longest row, from which a pass that does not gather rows has a workspace for packing: with fewer,
 * obtaining the memory takes longer than packing saves */
#define DNN_WORKSPACE_ROWS 32
#define DNN_WORKSPACE_ROW_BYTES 1024

/* ---- weight tiles: benchmarks/training.py ---- */

/* elements of a tile; its gradient, its weights and two slots of Adam's state stay in L2 */
#define DNN_TILE_VALUES 12288
/* elements; the same where sums are long (batches of DNN_TILE_LONG_ROWS rows), or where the whole gradient is stored */
#define DNN_TILE_VALUES_LONG 49152
/* elements; the same with AVX2 in such batches: 384 x 512, because packing takes a sixth of the time of a tile of 192 x
 * 256 */
#define DNN_TILE_VALUES_PACKED 196608
/* rows of a batch */
#define DNN_TILE_LONG_ROWS 512
/* elements; the smallest tile */
#define DNN_TILE_VALUES_MIN 2048
/* rows of a tile are a multiple of this, which blocks of 4, 6, 8 and 12 rows divide */
#define DNN_TILE_HEIGHT_MULTIPLE 24
/* columns; 1 KB of float32, because shorter pieces of rows are fetched slowly (Adam: 1 ns per weight instead of 0.3) */
#define DNN_TILE_COLUMNS 256
/* tiles of all weights at least, so that the shares of members are about equal: benchmarks/scaling.py */
#define DNN_TILES 32
/* elements that cost as much as the fixed cost of a tile */
#define DNN_TILE_COST 256
/* rows of dW that cost as much as db */
#define DNN_TILE_BIAS_ROWS 8
/* elements, and rows, of a tile of the first layer's weights where X is sparse: benchmarks/sparse.py. Each update
 * searches the rows of a tile for those that a batch has touched. */
#define DNN_SPARSE_TILE_VALUES 16384
#define DNN_SPARSE_TILE_ROWS 4096

/* ---- layers that members share by columns: benchmarks/scaling.py ---- */

/* inputs per row of a batch; a layer with more inputs has more weights to move than activations */
#define DNN_COLUMNS_INPUTS 2
/* columns of tiles that such a layer has at least, one for each of two members: narrower pieces of rows are fetched
 * slowly */
#define DNN_COLUMNS_TILES 2
/* vectors of columns of a piece that a member claims: one panel of gemm_nn with AVX-512, two with AVX2 */
#define DNN_PIECE_VECTORS_AVX2 6
#define DNN_PIECE_VECTORS_AVX512 4

/* ---- the kernel of a layer: benchmarks/products.py, benchmarks/training.py ---- */

/* outputs; a layer with at most so many is computed by gemm_nt, because gemm_nn would use a quarter of each vector */
#define DNN_INNER_PRODUCT_OUTPUTS 4
/* A layer in training is computed by gemm_nt too, if it has at least so many inputs, its outputs fill at most so many
 * vectors, and fill at most so many twelfths of their lanes (AVX2: or if they fill one vector at most) */
#define DNN_INNER_PRODUCT_INPUTS_AVX2 128
#define DNN_INNER_PRODUCT_VECTORS_AVX2 4
#define DNN_INNER_PRODUCT_TWELFTHS_AVX2 10
#define DNN_INNER_PRODUCT_INPUTS_AVX512 1024
#define DNN_INNER_PRODUCT_VECTORS_AVX512 2
#define DNN_INNER_PRODUCT_TWELFTHS_AVX512 9
/* tenths; the gradient is computed as its transpose if that takes less than this share of the vectors: transposing the
 * result costs the rest */
#define DNN_GRAD_TRANSPOSED_TENTHS_AVX2 9
#define DNN_GRAD_TRANSPOSED_TENTHS_AVX512 8

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
/* flops of the gradient of a step: in all, and per lane of a vector of each instruction set. A fused update that has
 * begun must be completed. Above these values it may take 0.2 s, and the whole gradient is stored first. One thread
 * does about 1e11 flops per second with AVX-512, on some processors twice that, and 8.5e10 with AVX2; half of it in
 * double precision. */
#define DNN_FUSED_FLOPS 1e9
#define DNN_FUSED_FLOPS_AVX2 2.2e9
#define DNN_FUSED_FLOPS_AVX512 1.2e9

/* ---- threads: benchmarks/threads.py, benchmarks/scaling.py ---- */

/* flops of a pass over rows per member: about the cost of starting and ending a thread */
#define DNN_FLOPS_PER_MEMBER 10000000
/* blocks of a pass over rows that each member computes at least, so that members whose cores are busy take fewer */
#define DNN_BLOCKS_PER_MEMBER 2
/* A training has one member if a step has fewer flops than the first value; or fewer than the second, and fewer rows
 * than the third. Two members were 1.2 to 1.3 times as fast as one at 1e6 to 1.4e7 flops. */
#define DNN_TEAM_FLOPS 1e6
#define DNN_TEAM_FLOPS_FEW_ROWS 1e7
#define DNN_TEAM_ROWS 64
/* flops of a step for each member after the first */
#define DNN_STEP_FLOPS_PER_MEMBER 1e6
/* flops that take as long as the fixed cost of a step */
#define DNN_STEP_FLOPS 1e4
/* flops of a matrix product that take as long as the update of one weight */
#define DNN_FLOPS_PER_UPDATE 20

/* ---- short calls: benchmarks/gil.py, benchmarks/prediction.py ---- */

/* flops of a call that keeps the GIL, about 20 us: taking the GIL back may cost 5 ms */
#define DNN_FLOPS_HELD 1000000
/* flops that cost as much as a row, apart from its products */
#define DNN_ROW_COST 100
/* elements that a call reads or updates once while it keeps the GIL */
#define DNN_VALUES_HELD 50000
/* rows of a small batch at most, and elements that a small batch converts itself */
#define DNN_SMALL_BATCH_ROWS 64
#define DNN_VALUES_CONVERTED 65536
/* layouts of passes that a plan keeps for the next calls */
#define DNN_LAYOUTS_KEPT 16

/* ---- the throttle: see core/throttle.pxi; benchmarks/threads.py beside a busy process ---- */

/* flops of a trial: 1 to 2 ms */
#define DNN_FLOPS_PER_TRIAL 200000000
/* steps; a step is short if a trial has more than so many of them */
#define DNN_SHORT_STEPS 8
/* fraction of a trial, 1 / this, after a trial that went badly: beside a busy process a step may take a hundred times
 * as long */
#define DNN_TRIAL_FRACTION 16
/* one of so many trials is a fraction and is done by one member, to know how long a step takes alone */
#define DNN_TRIALS_PER_SAMPLE 64
/* seconds; a member that arrives later than this has lost its core to another process for a time slice */
#define DNN_SLICE 0.001
/* seconds; in a shorter trial a lost time slice is enough evidence */
#define DNN_SHORT_TRIAL 0.02
/* fraction of the time that the first member may wait for the others; above, it is faster alone */
#define DNN_WAITED 0.35
/* trials in a row that must go badly, otherwise, before one member goes on alone */
#define DNN_BAD_TRIALS 2
/* seconds that one member goes on alone at first; up to DNN_PAUSES_MAX times as long if the team is kept waiting again */
#define DNN_PAUSE 0.01
#define DNN_PAUSES_MAX 8

/* ---- random draws and restricted Boltzmann machines: benchmarks/sampling.py, benchmarks/programs/rbm.py ---- */

/* values for each member: about 10 times the cost of starting a thread; and between two looks at Python's signals */
#define DNN_DRAWS_PER_MEMBER 1000000
#define DNN_DRAWS_PER_POLL 16777216
/* rows of a tile of a batch at most; elements of a tile of the weights at least, and the number of tiles at most */
#define DNN_RBM_TILE_ROWS 32
#define DNN_RBM_TILE_VALUES 8192
#define DNN_RBM_TILES 32

/* ---- signals: tests/core/test_threads.py ---- */

/* flops between two readings of the clock, seconds between two calls of Python's handlers: Ctrl-C is answered within
 * 0.2 s */
#define DNN_POLL_FLOPS 5e7
#define DNN_POLL_SECONDS 0.05
/* flops of a layer of one block, above which handlers run between layers */
#define DNN_LAYER_POLL_FLOPS 5e8

/* ---- BLAS, where there are no matrix kernels: benchmarks/products.py ---- */

/* multiply-adds; OpenBLAS computes a call of at most so many on the calling thread: by its kernels for small matrices
 * (AVX-512), and elsewhere */
#define DNN_CALL_LIMIT_SMALL_MATRIX 1e6
#define DNN_CALL_LIMIT 262144
/* A product above the limit is cut into calls of at most so many columns and so deep a sum, which with so many rows are just
 * under a million multiply-adds; each call has at least DNN_CALL_MIN rows and as many summands */
#define DNN_CALL_COLUMNS 64
#define DNN_CALL_DEPTH 240
#define DNN_CALL_ROWS 64
#define DNN_CALL_MIN 8
/* bytes of address space that OpenBLAS allocates for each thread that calls it */
#define DNN_BLAS_THREAD_BYTES (34 << 20)

#endif
