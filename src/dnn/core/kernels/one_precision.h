/* All kernels of one precision and one instruction set, and the table of their addresses.
 *
 * baseline.c, avx2.c and avx512.c each include this file twice, with SIZE 4 and with SIZE 8 (bytes of an element), and are
 * compiled with the flags of their instruction set. Except for the matrix products, the kernels are loops in plain C,
 * which the compiler vectorizes. Three rules make that possible, and keep the bits of results independent of where a
 * block is in memory:
 * - No function of libm is called: exp, log, tanh, erf and so on are in math.h, without branches.
 * - Element-wise loops give the same bits in vector code and in scalar code, so that neither remainders nor alignment
 *   matter. If two products are added, the compiler fuses only one of them with the addition, and scalar code with a
 *   branch may fuse a different one than vector code: write such a sum so that it has one product (see silu_slope).
 * - Sums are written in fixed lanes. Without -ffast-math the compiler keeps their order.
 *
 * To add an element-wise activation: its row in kernels.h, and NAME(<name>_value) and NAME(<name>_slope) in activations.h. A
 * row-wise activation: NAME(<name>_activate) and NAME(<name>_backward), as softmax has. A loss: its row, and
 * NAME(<name>_block) in losses.h, which ELEMENTWISE_LOSS defines if the loss is a sum over elements. A function of one
 * value: its row, and NAME(<name>) in math.h.
 */

#ifndef DNN_ONE_PRECISION_H
#define DNN_ONE_PRECISION_H

#include "kernels.h"
#include "tuning.h"
#include "tuning_gemm.h"
#include "tuning_loops.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Loops copy the parameters of an activation, so that the compiler may keep them in registers. */
_Static_assert(DNN_MAX_PAR == 2, "ELEMENTWISE_0 copies two parameters");
_Static_assert(LANES == 16, "add_lanes adds 16 lanes");

/* The sizes of a block of rows; one of at most one row may have any ld. */
#define ASSERT_BLOCK(n_rows, n_cols, ld) assert((n_rows) >= 0 && (n_cols) >= 0 && ((n_rows) <= 1 || (ld) >= (n_cols)))

/* Before a loop that may run in place (output and input are the same block, element by element): without it the
 * compiler tests for overlap at run time, and computes such blocks by scalar code. */
#if defined(__clang__)
#define IN_PLACE _Pragma("clang loop vectorize(assume_safety)")
#else
#define IN_PLACE _Pragma("GCC ivdep")
#endif

/* Before the loop over the lanes: gcc would unroll it before it vectorizes, and then could not vectorize it. */
#if defined(__clang__)
#define EACH_LANE
#else
#define EACH_LANE _Pragma("GCC unroll 1")
#endif

/* A table of kernels; suffix: f32 or f64. */
#define KERNELS(isa, suffix, size)                                                                          \
    {isa, size, activate_##suffix, slope_##suffix, loss_##suffix, penalty_##suffix, update_##suffix,        \
     column_sums_##suffix, transpose_##suffix, all_finite_##suffix, map_##suffix, sum_squares_##suffix,     \
     scale_##suffix, add_##suffix, average_##suffix, dropout_##suffix, drop_stored_##suffix,                 \
     gather_add_##suffix, scatter_add_##suffix, gather_segments_##suffix, gradient_segments_##suffix,        \
     sort_stored_##suffix, PRODUCTS(suffix, size)}
#if defined(__AVX512F__)
#define PRODUCTS(suffix, size) 64 / size, gemm_nn_##suffix, gemm_nt_##suffix, gemm_tn_##suffix
#elif defined(__AVX2__)
#define PRODUCTS(suffix, size) 32 / size, gemm_nn_##suffix, gemm_nt_##suffix, gemm_tn_##suffix
#else
#define PRODUCTS(suffix, size) 0, NULL, NULL, NULL
#endif

static inline ptrdiff_t min_(ptrdiff_t a, ptrdiff_t b)
{
    return a < b ? a : b;
}

/* Returns how many rows of n_cols elements fit in n elements, at least 1. */
static inline ptrdiff_t rows_within(ptrdiff_t n, ptrdiff_t n_cols)
{
    return n_cols > 0 && n_cols < n ? n / n_cols : 1;
}

static inline double add_lanes(const double *lane)
{
    double sum[LANES / 2];
    for (int l = 0; l < LANES / 2; l++)
        sum[l] = lane[l] + lane[l + LANES / 2];
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* The body of a function that returns the sum of `term`, an expression in i, over i = 0 .. n - 1. */
#define LANE_SUM(n, term)                                                                                    \
    double sum = 0;                                                                                          \
    ptrdiff_t start = 0;                                                                                     \
    if (n >= LANES) {                                                                                        \
        double lane[LANES] = {0};                                                                            \
        for (; start + LANES <= n; start += LANES) {                                                         \
            EACH_LANE                                                                                        \
            for (int l = 0; l < LANES; l++) {                                                                \
                const ptrdiff_t i = start + l;                                                               \
                lane[l] += term;                                                                             \
            }                                                                                                \
        }                                                                                                    \
        sum = add_lanes(lane);                                                                               \
    }                                                                                                        \
    for (ptrdiff_t i = start; i < n; i++)                                                                    \
        sum += term;                                                                                         \
    return sum

static double sum_of_doubles(ptrdiff_t n, const double *x)
{
    LANE_SUM(n, x[i]);
}

/* splitmix64: returns the value that follows `state`. */
static inline uint64_t next_random(uint64_t state)
{
    state += 0x9e3779b97f4a7c15;
    state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
    state = (state ^ (state >> 27)) * 0x94d049bb133111eb;
    return state ^ (state >> 31);
}

/* Returns 32 random bits for a column, from the two halves of its row's key. The second half is mixed in between the rounds:
 * otherwise the bits of rows whose first halves differ by a few times the factor would be shifted copies of each other.
 * The rounds are those of C. Wellons' lowbias32; without the factor before them, neighboring columns are correlated
 * (3e-4). */
static inline uint32_t random_bits(uint32_t column, uint32_t low_key, uint32_t high_key)
{
    uint32_t x = column * 0x9e3779b9 + low_key;
    x = (x ^ (x >> 16)) * 0x7feb352d;
    x = (x ^ (x >> 15) ^ high_key) * 0x846ca68b;
    return x ^ (x >> 16);
}

/* Returns the smallest integer that is at least rate 2^32. A unit is dropped if its random bits are below it. */
static inline uint32_t first_kept_of(double rate)
{
    const double bound = rate * 0x1p32;
    const uint32_t whole = (uint32_t)bound;
    return whole + (whole < bound && whole < UINT32_MAX);
}

#endif

#include "math.h"

#if defined(__AVX2__)
#include "simd.h"
#if defined(__AVX512F__)
#include "tuning_avx512.h"
#else
#include "tuning_avx2.h"
#endif
#include "pack.h"
#include "gemm_nn.h"
#include "gemm_nt.h"
#include "gemm_tn.h"
#endif
#include "transpose.h"

#include "reductions.h"
#include "activations.h"
#include "losses.h"
#include "optimizers.h"
#include "dropout.h"
#include "sparse.h"
#include "segments.h"

#define ROW(name)                                                                                            \
    static void NAME(map_##name)(ptrdiff_t n, const REAL *x, REAL *y)                                        \
    {                                                                                                        \
        IN_PLACE                                                                                             \
        for (ptrdiff_t i = 0; i < n; i++)                                                                    \
            y[i] = NAME(name)(x[i]);                                                                         \
    }
DNN_FUNCTIONS(ROW)
#undef ROW

static void NAME(map)(int function, ptrdiff_t n, const void *x, void *y)
{
#define ROW(name) NAME(map_##name),
    static void (*const maps[])(ptrdiff_t, const REAL *, REAL *) = {DNN_FUNCTIONS(ROW)};
#undef ROW
    assert(n >= 0 && 0 <= function && function < (int)(sizeof maps / sizeof *maps));
    maps[function](n, x, y);
}

#undef SIZE
