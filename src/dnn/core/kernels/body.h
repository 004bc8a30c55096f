/* Formulas and loops of the kernels, in one precision.
 *
 * baseline.c, avx2.c and avx512.c each include this file twice, with SIZE 4 and with
 * SIZE 8 (bytes of a number), and are compiled with flags of their own: the loops are plain C, which the
 * compiler turns into vector code. What makes that possible, and keeps results the same bits wherever a
 * block stands:
 * - No call into libm: exp, log, tanh, erf and their like are written in math.h, without branches.
 * - Element-wise loops give the same bits in vectors as one by one, so neither tails nor alignment matter.
 *   Where two products are added, only one is fused with the sum, and code with a branch may not fuse the
 *   same one as vectors do: write such a sum so that it has one product (see silu_slope).
 * - Sums are written in fixed lanes. Without -ffast-math the compiler keeps their order.
 *
 * To add an element-wise activation: its row in kernels.h, and NAME(<name>_value), NAME(<name>_slope) here.
 * A row-wise one: NAME(<name>_activate), NAME(<name>_backward), as softmax has. A loss: NAME(<name>_block),
 * written by ELEMENTWISE_LOSS if it is a sum over the elements. A function of one number: its row, and
 * NAME(<name>) in math.h.
 */

#ifndef DNN_KERNELS_BODY_H
#define DNN_KERNELS_BODY_H

#include "kernels.h"

#include <math.h>
#include <string.h>

#define LANES 16       /* running sums side by side */
#define STRIP 2048     /* numbers of a row, or of several short rows, in a buffer on the stack */
#define MAX_ROWS 256   /* rows of a block whose losses are kept on the stack */
#define PATTERN 128    /* a short row of b, repeated, fills at most this many numbers */
#define WIDTH 64       /* columns summed together */
#define BLOCK_ROWS 128 /* rows summed by themselves */
#define SIDE 16        /* of a square that is transposed; a power of 4 */
#define STORED_AHEAD 8 /* elements of a sparse row whose rows of B are fetched before they are needed */
#define STORED_BYTES 1024 /* bytes of such a row at most: the processor goes on by itself */

/* Loops copy the parameters of an activation, so that the compiler may keep them in registers. */
_Static_assert(DNN_MAX_PAR == 2, "ELEMENTWISE_0 copies two parameters");

/* Before a loop that may run in place (output and input the same block, element by element): without it the
 * compiler checks for overlap at run time and goes through such blocks one by one. */
#if defined(__clang__)
#define IN_PLACE _Pragma("clang loop vectorize(assume_safety)")
#else
#define IN_PLACE _Pragma("GCC ivdep")
#endif

/* Before the loop over the lanes: gcc unrolls it before it looks for vectors, and then finds none. */
#if defined(__clang__)
#define EACH_LANE
#else
#define EACH_LANE _Pragma("GCC unroll 1")
#endif

/* A table of kernels; suffix: f32 or f64. */
#define KERNELS(isa, suffix, size)                                                                          \
    {isa, size, activate_##suffix, slope_##suffix, loss_##suffix, penalty_##suffix, update_##suffix,        \
     column_sums_##suffix, transpose_##suffix, all_finite_##suffix, map_##suffix, sum_squares_##suffix,     \
     scale_##suffix, add_##suffix, average_##suffix, dropout_##suffix, drop_stored_##suffix, gather_add_##suffix,        \
     scatter_add_##suffix, PRODUCTS(suffix, size)}
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

/* Rows of n_cols numbers that `numbers` hold, at least one. */
static inline ptrdiff_t rows_within(ptrdiff_t numbers, ptrdiff_t n_cols)
{
    return n_cols > 0 && n_cols < numbers ? numbers / n_cols : 1;
}

static inline double add_lanes(const double *lane)
{
    double sum[LANES / 2];
    for (int l = 0; l < LANES / 2; l++)
        sum[l] = lane[l] + lane[l + LANES / 2];
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* Returns the sum of `term`, an expression in i = 0 .. n - 1. */
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

/* splitmix64: the number that follows `state`. */
static inline uint64_t next_random(uint64_t state)
{
    state += 0x9e3779b97f4a7c15;
    state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
    state = (state ^ (state >> 27)) * 0x94d049bb133111eb;
    return state ^ (state >> 31);
}

/* 32 random bits of a column, from the two halves of its row's key. The second half comes in between: rows
 * whose first halves are a few columns apart would otherwise repeat each other. Rounds of C. Wellons' lowbias32;
 * without the factor before them neighboring columns are correlated (3e-4). */
static inline uint32_t random_bits(uint32_t column, uint32_t one, uint32_t two)
{
    uint32_t x = column * 0x9e3779b9 + one;
    x = (x ^ (x >> 16)) * 0x7feb352d;
    x = (x ^ (x >> 15) ^ two) * 0x846ca68b;
    return x ^ (x >> 16);
}

/* Random bits below this drop a unit: the smallest integer from rate 2^32 on. */
static inline uint32_t first_kept_of(double rate)
{
    const double share = rate * 0x1p32;
    const uint32_t whole = (uint32_t)share;
    return whole + (whole < share && whole < UINT32_MAX);
}

#endif

#include "math.h"

#if defined(__AVX2__)
#include "products.h"
#endif

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
    maps[function](n, x, y);
}

/* ---- rows ---- */

static inline double NAME(sum)(ptrdiff_t n, const REAL *x)
{
    LANE_SUM(n, (double)x[i]);
}

static inline double NAME(dot)(ptrdiff_t n, const REAL *x, const REAL *y)
{
    LANE_SUM(n, (double)x[i] * (double)y[i]);
}

static inline double NAME(sum_of_squares)(ptrdiff_t n, const REAL *x, ptrdiff_t step)
{
    LANE_SUM(n, (double)x[i * step] * (double)x[i * step]);
}

/* size with the sign of x; 0 and NaN stay. */
static inline REAL NAME(signed_step)(REAL x, REAL size)
{
    return x > 0 ? size : x < 0 ? -size : x;
}

static inline double NAME(sum_of_magnitudes)(ptrdiff_t n, const REAL *x, ptrdiff_t step)
{
    LANE_SUM(n, (double)NAME(abs_)(x[i * step]));
}

/* The largest number, NaN passed over (-inf if there is nothing else). */
static inline REAL NAME(max_)(ptrdiff_t n, const REAL *x)
{
    REAL top = -(REAL)INFINITY;
    ptrdiff_t i = 0;
    if (n >= LANES) {
        REAL lane[LANES];
        for (int l = 0; l < LANES; l++)
            lane[l] = top;
        for (; i + LANES <= n; i += LANES) {
            EACH_LANE
            for (int l = 0; l < LANES; l++)
                lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
        }
        for (int l = 0; l < LANES; l++)
            top = lane[l] > top ? lane[l] : top;
    }
    for (; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

/* row_sums[r] += sum of row r of X, rows one behind the other. */
static void NAME(add_row_sums)(ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *restrict X,
                               double *restrict row_sums)
{
    if (n_cols == 1)
        for (ptrdiff_t r = 0; r < n_rows; r++)
            row_sums[r] += X[r];
    else
        for (ptrdiff_t r = 0; r < n_rows; r++)
            row_sums[r] += NAME(sum)(n_cols, X + r * n_cols);
}

/* Row r of X times by[r] * unit, which is rounded to REAL once. */
static void NAME(scale_rows)(ptrdiff_t n_rows, ptrdiff_t n_cols, const double *restrict by, double unit,
                             REAL *restrict X, ptrdiff_t ldx)
{
    if (n_cols == 1 && ldx == 1)
        for (ptrdiff_t r = 0; r < n_rows; r++)
            X[r] *= (REAL)(by[r] * unit);
    else
        for (ptrdiff_t r = 0; r < n_rows; r++)
            for (ptrdiff_t c = 0; c < n_cols; c++)
                X[r * ldx + c] *= (REAL)(by[r] * unit);
}

/* ---- activations ---- */

static inline REAL NAME(identity_value)(REAL z, const REAL *par)
{
    (void)par;
    return z;
}

static inline REAL NAME(identity_slope)(REAL a, const REAL *par)
{
    (void)a, (void)par;
    return 1;
}

static inline REAL NAME(sigmoid_value)(REAL z, const REAL *par)
{
    (void)par;
    return NAME(sigmoid)(z);
}

static inline REAL NAME(sigmoid_slope)(REAL a, const REAL *par)
{
    (void)par;
    return a * (1 - a);
}

static inline REAL NAME(tanh_value)(REAL z, const REAL *par)
{
    (void)par;
    return NAME(tanh)(z);
}

/* Not 1 - a^2, which loses the last bits of a near 1. */
static inline REAL NAME(tanh_slope)(REAL a, const REAL *par)
{
    (void)par;
    return (1 - a) * (1 + a);
}

/* Comparisons are written so that NaN takes the open side. */
static inline REAL NAME(relu_value)(REAL z, const REAL *par)
{
    (void)par;
    return z < 0 ? 0 : z;
}

static inline REAL NAME(relu_slope)(REAL a, const REAL *par)
{
    (void)par;
    return a <= 0 ? REAL_C(0.0) : REAL_C(1.0);
}

static inline REAL NAME(leaky_relu_value)(REAL z, const REAL *par)
{
    return z < 0 ? par[0] * z : z;
}

static inline REAL NAME(leaky_relu_slope)(REAL a, const REAL *par)
{
    return a <= 0 ? par[0] : 1;
}

static inline REAL NAME(elu_value)(REAL z, const REAL *par)
{
    const REAL below = par[0] * NAME(expm1_inside)(z < EXPM1_LOW ? EXPM1_LOW : z);
    return z < 0 ? below : z;
}

static inline REAL NAME(elu_slope)(REAL a, const REAL *par)
{
    return a > 0 ? 1 : a + par[0];
}

/* Klambauer et al. (2017), section 2: alpha and scale that keep mean 0 and variance 1. */
#define SELU_SCALE 1.0507009873554805
#define SELU_BOTTOM (1.0507009873554805 * 1.6732632423543772)

static inline REAL NAME(selu_value)(REAL z, const REAL *par)
{
    (void)par;
    const REAL below = (REAL)SELU_BOTTOM * NAME(expm1_inside)(z < EXPM1_LOW ? EXPM1_LOW : z);
    return z < 0 ? below : (REAL)SELU_SCALE * z;
}

static inline REAL NAME(selu_slope)(REAL a, const REAL *par)
{
    (void)par;
    return a > 0 ? (REAL)SELU_SCALE : a + (REAL)SELU_BOTTOM;
}

#undef SELU_SCALE
#undef SELU_BOTTOM

/* With Phi the normal distribution function and phi its density, a = |z|:
 * z Phi(z) = max(z, 0) - a Phi(-a),  Phi(z) + z phi(z) = 1 - p or p, where p = Phi(-a) - a phi(a). Both tails
 * are products with exp(-a^2 / 2): no digits are lost in them. */
static inline REAL NAME(gelu_value)(REAL z, const REAL *par)
{
    (void)par;
    const REAL a = NAME(within)(NAME(abs_)(z), GELU_HIGH);
    BITS n;
    REAL below;
    const REAL q = NAME(gauss_reduced)(a, REAL_C(0.5), &n);
    const REAL w = NAME(erfcx_reduced)(a * REAL_C(0.70710678118654752), &below);
    const REAL tail = NAME(scaled)((REAL_C(0.5) * a) * (1 + (q + (w + q * w))) / below, n);
    return (z < 0 ? 0 : z) - tail;
}

static inline REAL NAME(gelu_slope)(REAL z, const REAL *par)
{
    (void)par;
    const REAL a = NAME(within)(NAME(abs_)(z), GELU_HIGH);
    BITS n;
    REAL below;
    const REAL q = NAME(gauss_reduced)(a, REAL_C(0.5), &n);
    const REAL w = NAME(erfcx_reduced)(a * REAL_C(0.70710678118654752), &below);
    const REAL p = NAME(scaled)((1 + q) * (REAL_C(0.5) * (1 + w) / below - a * REAL_C(0.39894228040143268)), n);
    return z < 0 ? p : 1 - p;
}

/* z sigmoid(w), w = z (b + c z^2): 1/2 (1 + tanh(w / 2)) = sigmoid(w). sqrt(8 / pi) = b, c = 0.044715 b. The
 * slope is s (1 + z w' (1 - s)), s = sigmoid(w). */
#define GELU_B REAL_C(1.5957691216057308)
#define GELU_C REAL_C(0.071354816272600241)

static inline REAL NAME(gelu_tanh_value)(REAL z, const REAL *par)
{
    (void)par;
    const REAL inside = NAME(within)(z, GELU_HIGH);
    const REAL w = inside * (GELU_B + GELU_C * (inside * inside));
    const REAL e = NAME(exp_below)(-NAME(abs_)(w));
    return (z < 0 ? inside * e : z) / (1 + e);
}

static inline REAL NAME(gelu_tanh_slope)(REAL z, const REAL *par)
{
    (void)par;
    z = NAME(within)(z, GELU_HIGH);
    const REAL square = z * z, w = z * (GELU_B + GELU_C * square);
    const REAL e = NAME(exp_below)(-NAME(abs_)(w)), share = 1 / (1 + e);
    const REAL zw = z * (GELU_B + 3 * GELU_C * square);
    return (z < 0 ? e : 1) * share * (1 + zw * ((z < 0 ? 1 : e) * share));
}

#undef GELU_B
#undef GELU_C

/* z s and s (1 + z (1 - s)), s = sigmoid(z). */
static inline REAL NAME(silu_value)(REAL z, const REAL *par)
{
    (void)par;
    const REAL e = NAME(exp_below)(-NAME(abs_)(z));
    return (z < 0 ? NAME(within)(z, -EXP_LOW) * e : z) / (1 + e);
}

static inline REAL NAME(silu_slope)(REAL z, const REAL *par)
{
    (void)par;
    z = NAME(within)(z, -EXP_LOW);
    const REAL e = NAME(exp_below)(-NAME(abs_)(z)), share = 1 / (1 + e);
    return (z < 0 ? e : 1) * share * (1 + z * ((z < 0 ? 1 : e) * share));
}

/* z t and t + z (1 - t^2) sigmoid(z), t = tanh(log(1 + exp(z))). With e = exp(-|z|), and with f = e for z < 0,
 * 1 otherwise: t = f top / bottom, 1 - t^2 = 4 (e / f)^2 (1 + e)^2 / bottom^2, sigmoid(z) = f / (1 + e). */
static inline REAL NAME(mish_value)(REAL z, const REAL *par)
{
    (void)par;
    const REAL e = NAME(exp_below)(-NAME(abs_)(z)), c0 = z < 0 ? 2 : 1, c2 = z < 0 ? 1 : 2;
    const REAL top = c0 + c2 * e, bottom = c0 + e * (2 + c2 * e);
    return (z < 0 ? NAME(within)(z, -EXP_LOW) * e : z) * (top / bottom);
}

static inline REAL NAME(mish_slope)(REAL z, const REAL *par)
{
    (void)par;
    z = NAME(within)(z, -EXP_LOW);
    const REAL e = NAME(exp_below)(-NAME(abs_)(z)), c0 = z < 0 ? 2 : 1, c2 = z < 0 ? 1 : 2;
    const REAL top = c0 + c2 * e, share = 1 / (c0 + e * (2 + c2 * e));
    const REAL product = 4 * z * (z < 0 ? 1 : e * e) * (1 + e);
    return (z < 0 ? e : 1) * share * (top + product * share);
}

static inline REAL NAME(softplus_value)(REAL z, const REAL *par)
{
    (void)par;
    return (z < 0 ? 0 : z) + NAME(log1p_of_unit)(NAME(exp_below)(-NAME(abs_)(z)));
}

/* sigmoid(z) = 1 - exp(-a) */
static inline REAL NAME(softplus_slope)(REAL a, const REAL *par)
{
    (void)par;
    return -NAME(expm1_inside)(-a < EXPM1_LOW ? EXPM1_LOW : -a);
}

static inline REAL NAME(exp_value)(REAL z, const REAL *par)
{
    (void)par;
    return NAME(exp)(z);
}

static inline REAL NAME(exp_slope)(REAL a, const REAL *par)
{
    (void)par;
    return a;
}

/* The rows are shifted, then exp runs through them as one if they are contiguous (rows may be short). */
static void NAME(softmax_activate)(const REAL *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *Z,
                                   ptrdiff_t ldz, REAL *A, ptrdiff_t lda)
{
    (void)par;
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const REAL *z = Z + r * ldz;
        REAL *a = A + r * lda;
        const REAL top = NAME(max_)(n_cols, z);
        IN_PLACE
        for (ptrdiff_t c = 0; c < n_cols; c++)
            a[c] = z[c] - top;
    }
    const ptrdiff_t runs = lda == n_cols ? 1 : n_rows, run = lda == n_cols ? n_rows * n_cols : n_cols;
    for (ptrdiff_t r = 0; r < runs; r++)
        for (ptrdiff_t i = 0; i < run; i++)
            A[r * lda + i] = NAME(exp_below)(A[r * lda + i]);
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        REAL *a = A + r * lda;
        const REAL share = (REAL)(1 / NAME(sum)(n_cols, a));
        for (ptrdiff_t c = 0; c < n_cols; c++)
            a[c] *= share;
    }
}

static void NAME(softmax_backward)(const REAL *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *A,
                                   ptrdiff_t lda, const REAL *dA, ptrdiff_t ldda, REAL *dZ, ptrdiff_t lddz)
{
    (void)par;
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const REAL *a = A + r * lda, *da = dA + r * ldda;
        REAL *dz = dZ + r * lddz;
        const REAL mean = (REAL)NAME(dot)(n_cols, a, da);
        IN_PLACE
        for (ptrdiff_t c = 0; c < n_cols; c++)
            dz[c] = a[c] * (da[c] - mean);
    }
}

#define ELEMENTWISE_0(name)                                                                                  \
    static void NAME(name##_activate)(const REAL *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *Z,    \
                                      ptrdiff_t ldz, REAL *A, ptrdiff_t lda)                                 \
    {                                                                                                        \
        const REAL own[DNN_MAX_PAR] = {par[0], par[1]}; /* A may overwrite par, as far as C knows */         \
        if (ldz == n_cols && lda == n_cols)                                                                  \
            n_cols *= n_rows, n_rows = 1;                                                                    \
        for (ptrdiff_t r = 0; r < n_rows; r++) {                                                             \
            IN_PLACE                                                                                         \
            for (ptrdiff_t c = 0; c < n_cols; c++)                                                           \
                A[r * lda + c] = NAME(name##_value)(Z[r * ldz + c], own);                                    \
        }                                                                                                    \
    }                                                                                                        \
    static void NAME(name##_backward)(const REAL *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *V,    \
                                      ptrdiff_t ldv, const REAL *dA, ptrdiff_t ldda, REAL *dZ,               \
                                      ptrdiff_t lddz)                                                        \
    {                                                                                                        \
        const REAL own[DNN_MAX_PAR] = {par[0], par[1]};                                                      \
        if (ldv == n_cols && ldda == n_cols && lddz == n_cols)                                               \
            n_cols *= n_rows, n_rows = 1;                                                                    \
        for (ptrdiff_t r = 0; r < n_rows; r++) {                                                             \
            IN_PLACE                                                                                         \
            for (ptrdiff_t c = 0; c < n_cols; c++)                                                           \
                dZ[r * lddz + c] = dA[r * ldda + c] * NAME(name##_slope)(V[r * ldv + c], own);               \
        }                                                                                                    \
    }
#define ELEMENTWISE_1(name)
#define ROW(name, row_wise, slope_from_z, init, output, n_par, par0) ELEMENTWISE_##row_wise(name)
DNN_ACTIVATIONS(ROW)
#undef ROW
#undef ELEMENTWISE_0
#undef ELEMENTWISE_1

/* Contiguous short rows are taken several at a time, with b repeated as often. */
static void NAME(add_bias)(ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *restrict b, REAL *restrict Z,
                           ptrdiff_t ldz)
{
    REAL pattern[PATTERN];
    ptrdiff_t n_rest = 0;
    if (ldz == n_cols && n_cols <= PATTERN / 2 && n_rows > 1) {
        const ptrdiff_t times = min_(rows_within(PATTERN, n_cols), n_rows);
        for (ptrdiff_t t = 0; t < times; t++)
            for (ptrdiff_t c = 0; c < n_cols; c++)
                pattern[t * n_cols + c] = b[c];
        n_rest = n_rows % times * n_cols;
        n_rows /= times;
        ldz = n_cols *= times;
        b = pattern;
    }
    for (ptrdiff_t r = 0; r < n_rows; r++)
        for (ptrdiff_t c = 0; c < n_cols; c++)
            Z[r * ldz + c] += b[c];
    for (ptrdiff_t c = 0; c < n_rest; c++)
        Z[n_rows * ldz + c] += b[c];
}

static void NAME(activate)(int activation, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols,
                           const void *b, void *Z_, ptrdiff_t ldz, void *A_, ptrdiff_t lda)
{
#define ROW(name, row_wise, slope_from_z, init, output, n_par, par0) NAME(name##_activate),
    static void (*const blocks[])(const REAL *, ptrdiff_t, ptrdiff_t, const REAL *, ptrdiff_t, REAL *,
                                  ptrdiff_t) = {DNN_ACTIVATIONS(ROW)};
#undef ROW
    REAL *Z = Z_, *A = A_, real_par[DNN_MAX_PAR] = {0};
    for (int i = 0; i < dnn_activations[activation].n_par; i++)
        real_par[i] = (REAL)par[i];
    /* Several passes over a block: the block stays in L1. */
    const ptrdiff_t step = n_rows * n_cols <= 2 * STRIP ? n_rows : rows_within(2 * STRIP, n_cols);
    for (ptrdiff_t r = 0; r < n_rows; r += step) {
        const ptrdiff_t rows = min_(step, n_rows - r);
        if (b)
            NAME(add_bias)(rows, n_cols, b, Z + r * ldz, ldz);
        blocks[activation](real_par, rows, n_cols, Z + r * ldz, ldz, A + r * lda, lda);
    }
}

static void NAME(slope)(int activation, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols,
                        const void *V, ptrdiff_t ldv, const void *dA, ptrdiff_t ldda, void *dZ,
                        ptrdiff_t lddz)
{
#define ROW(name, row_wise, slope_from_z, init, output, n_par, par0) NAME(name##_backward),
    static void (*const blocks[])(const REAL *, ptrdiff_t, ptrdiff_t, const REAL *, ptrdiff_t, const REAL *,
                                  ptrdiff_t, REAL *, ptrdiff_t) = {DNN_ACTIVATIONS(ROW)};
#undef ROW
    REAL real_par[DNN_MAX_PAR] = {0};
    for (int i = 0; i < dnn_activations[activation].n_par; i++)
        real_par[i] = (REAL)par[i];
    blocks[activation](real_par, n_rows, n_cols, V, ldv, dA, ldda, dZ, lddz);
}

/* ---- losses ----
 * A block function works on at most MAX_ROWS rows (one, if n_cols > STRIP): it adds to row_loss, and writes
 * dS without the weights. A term is one output's share and its gradient; par: the loss's parameter, or the
 * column's. */

static inline REAL NAME(squared_error_term)(REAL s, REAL y, REAL par, REAL *ds)
{
    (void)par;
    *ds = s - y;
    return REAL_C(0.5) * (s - y) * (s - y);
}

static inline REAL NAME(absolute_error_term)(REAL s, REAL y, REAL par, REAL *ds)
{
    (void)par;
    *ds = NAME(signed_step)(s - y, 1);
    return NAME(abs_)(s - y);
}

/* c (r - c/2) with c = r held within delta: r^2/2, or delta (|r| - delta/2). */
static inline REAL NAME(huber_term)(REAL s, REAL y, REAL delta, REAL *ds)
{
    const REAL r = s - y, c = NAME(within)(r, delta);
    *ds = c;
    return c * (r - REAL_C(0.5) * c);
}

static inline REAL NAME(quantile_term)(REAL s, REAL y, REAL level, REAL *ds)
{
    const REAL r = s - y;
    const REAL slope = r > 0 ? 1 - level : r < 0 ? -level : r;
    *ds = slope;
    return slope * r;
}

/* The loss of a mean m = exp(log_m): m - y + y log(y / m), which is y (exp(t) - 1 - t) with t = log(m / y);
 * near t = 0 its terms cancel, and the series of exp takes their place. */
static inline REAL NAME(poisson_term)(REAL m, REAL log_m, REAL y)
{
    const REAL t = log_m - (y > 0 ? NAME(log)(y) : 0), t2 = t * t;
    const int near = NAME(abs_)(t) < REAL_C(0.34) && y > 0;
    return near ? y * (t2 * EXP_TAIL(t, t2)) : (m - y) - y * t;
}

static inline REAL NAME(poisson_exp_term)(REAL z, REAL y, REAL par, REAL *dz)
{
    (void)par;
    const REAL m = NAME(exp)(z);
    *dz = m - y;
    return NAME(poisson_term)(m, z, y);
}

/* As z falls, m = softplus(z) underflows: log m -> z, and sigmoid(z) / m -> 1. */
static inline REAL NAME(poisson_softplus_term)(REAL z, REAL y, REAL par, REAL *dz)
{
    (void)par;
    const REAL e = NAME(exp_below)(-NAME(abs_)(z));
    const REAL m = (z < 0 ? 0 : z) + NAME(log1p_of_unit)(e);
    const REAL ratio = (z < 0 ? e : 1) / ((1 + e) * m);
    *dz = (m - y) * (z < EXPM1_LOW ? 1 : ratio);
    return NAME(poisson_term)(m, z < EXPM1_LOW ? z : NAME(log)(m), y);
}

/* par of each column, repeated for n_rows rows. */
static void NAME(repeat_par)(ptrdiff_t n_rows, ptrdiff_t n_cols, const double *par, REAL *repeated)
{
    for (ptrdiff_t c = 0; c < n_cols; c++)
        repeated[c] = (REAL)par[c];
    for (ptrdiff_t done = n_cols; done < n_rows * n_cols; done *= 2)
        memcpy(repeated + done, repeated, (size_t)min_(done, n_rows * n_cols - done) * sizeof *repeated);
}

/* A run of numbers, one behind the other: terms, and slopes times scale, which may take the place of s. par: of each
 * number, or with of_columns == 0 the first of all. */
#define RUN_OF_TERMS(name, of_columns)                                                                       \
    static void NAME(name##_run)(ptrdiff_t n, const REAL *s, const REAL *y, const REAL *par, REAL scale,     \
                                 REAL *term, REAL *ds)                                                       \
    {                                                                                                        \
        const REAL only = par[0];                                                                            \
        IN_PLACE                                                                                             \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                  \
            REAL slope;                                                                                      \
            term[i] = NAME(name##_term)(s[i], y[i], of_columns ? par[i] : only, &slope);                     \
            ds[i] = scale * slope;                                                                           \
        }                                                                                                    \
    }
RUN_OF_TERMS(squared_error, 0)
RUN_OF_TERMS(absolute_error, 0)
RUN_OF_TERMS(huber, 0)
RUN_OF_TERMS(quantile, 1)
RUN_OF_TERMS(poisson_exp, 0)
RUN_OF_TERMS(poisson_softplus, 0)
#undef RUN_OF_TERMS

/* log(1 + exp(-z)), or with y for 1 the like; sigmoid(z) - y from p and 1 - p, neither of which is got by subtraction:
 * accurate where the loss is small. In three loops: of one, whose numbers each wait for some sixty operations, one after
 * the other, a processor has few under way at once. */
static void NAME(log_loss_sigmoid_run)(ptrdiff_t n, const REAL *z, const REAL *y, const REAL *par, REAL scale,
                                       REAL *term, REAL *dz)
{
    const REAL keep = 1 - par[0], even = REAL_C(0.5) * par[0];
    REAL e[STRIP];
    for (ptrdiff_t i = 0; i < n; i++)
        e[i] = NAME(exp_below)(-NAME(abs_)(z[i]));
    IN_PLACE
    for (ptrdiff_t i = 0; i < n; i++)
        term[i] = ((z[i] >= 0 ? z[i] : 0) - (y[i] * keep + even) * z[i]) + NAME(log1p_of_unit)(e[i]);
    IN_PLACE
    for (ptrdiff_t i = 0; i < n; i++) {
        const REAL target = y[i] * keep + even;
        const REAL with = z[i] >= 0 ? 1 : e[i], without = z[i] >= 0 ? e[i] : 1;
        dz[i] = scale * (((1 - target) * with - target * without) / (1 + e[i]));
    }
}

/* of_columns: 1 if each column has its own parameter. */
#define ELEMENTWISE_LOSS(name, of_columns)                                                                   \
    static void NAME(name##_block)(const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *S,     \
                                   ptrdiff_t lds, const REAL *Y, ptrdiff_t ldy, const int64_t *classes,      \
                                   double scale, REAL *dS, ptrdiff_t ldds, double *row_loss)                 \
    {                                                                                                        \
        (void)classes;                                                                                       \
        REAL terms[STRIP], slopes[STRIP], pars[of_columns ? STRIP : 1];                                      \
        pars[0] = (REAL)par[0];                                                                              \
        for (ptrdiff_t c = 0; c < n_cols; c += STRIP) {                                                      \
            const ptrdiff_t width = min_(STRIP, n_cols - c);                                              \
            const int flat = lds == n_cols && ldy == n_cols && (!dS || ldds == n_cols) && n_cols <= STRIP;   \
            const ptrdiff_t runs = flat ? 1 : n_rows, run = flat ? n_rows * n_cols : width;                  \
            if (of_columns)                                                                                  \
                NAME(repeat_par)(flat ? n_rows : 1, width, par + c, pars);                                   \
            for (ptrdiff_t r = 0; r < runs; r++)                                                             \
                NAME(name##_run)(run, S + r * lds + c, Y + r * ldy + c, pars, (REAL)scale, terms + r * run,           \
                                 dS ? dS + r * ldds + c : slopes);                                           \
            NAME(add_row_sums)(n_rows, width, terms, row_loss);                                              \
        }                                                                                                    \
    }
ELEMENTWISE_LOSS(squared_error, 0)
ELEMENTWISE_LOSS(log_loss_sigmoid, 0)
ELEMENTWISE_LOSS(absolute_error, 0)
ELEMENTWISE_LOSS(huber, 0)
ELEMENTWISE_LOSS(quantile, 1)
ELEMENTWISE_LOSS(poisson_exp, 0)
ELEMENTWISE_LOSS(poisson_softplus, 0)
#undef ELEMENTWISE_LOSS

static inline double NAME(dot_shifted)(ptrdiff_t n, const REAL *y, const REAL *z, REAL top)
{
    LANE_SUM(n, (double)y[i] * (double)(z[i] - top));
}

static inline double NAME(sum_shifted)(ptrdiff_t n, const REAL *z, REAL top)
{
    LANE_SUM(n, (double)(z[i] - top));
}

/* E = exp(Z - the row's top), NaN also where Z is -inf: an infinite score must show in the loss. */
static void NAME(shifted_exp)(ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *restrict Z, ptrdiff_t ldz,
                              const REAL *restrict tops, REAL *restrict E)
{
    for (ptrdiff_t r = 0; r < n_rows; r++)
        for (ptrdiff_t c = 0; c < n_cols; c++)
            E[r * n_cols + c] = Z[r * ldz + c] - tops[r];
    for (ptrdiff_t i = 0; i < n_rows * n_cols; i++)
        E[i] = NAME(exp_below)(E[i]) + 0 * E[i];
}

/* The sum of the numbers that are not 1; ones += how many are. */
static inline double NAME(sum_without_ones)(ptrdiff_t n, const REAL *e, double *ones)
{
    double lane[LANES] = {0}, sum;
    REAL count[LANES] = {0}, n_ones = 0;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        EACH_LANE
        for (int l = 0; l < LANES; l++) {
            const REAL one = e[i + l] == 1 ? 1 : 0;
            count[l] += one;
            lane[l] += (double)(e[i + l] - one);
        }
    }
    for (int l = 0; l < LANES; l++)
        n_ones += count[l];
    sum = add_lanes(lane);
    for (; i < n; i++) {
        const REAL one = e[i] == 1 ? 1 : 0;
        n_ones += one;
        sum += (double)(e[i] - one);
    }
    *ones += (double)n_ones;
    return sum;
}

/* others[r] += sum of the numbers of row r that are not 1, ones[r] += how many are. Short rows go side by
 * side, column by column. */
static void NAME(add_sums_and_ones)(ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *restrict E,
                                    double *restrict others, double *restrict ones)
{
    if (n_cols < LANES)
        for (ptrdiff_t c = 0; c < n_cols; c++)
            for (ptrdiff_t r = 0; r < n_rows; r++) {
                const REAL e = E[r * n_cols + c], one = e == 1 ? 1 : 0;
                ones[r] += (double)one;
                others[r] += (double)(e - one);
            }
    else
        for (ptrdiff_t r = 0; r < n_rows; r++)
            others[r] += NAME(sum_without_ones)(n_cols, E + r * n_cols, &ones[r]);
}

/* The numerator of dz below. */
static inline REAL NAME(softmax_numerator)(REAL e, REAL y, REAL sum_y, REAL sum_e, REAL rest)
{
    const REAL with = e == 1 ? sum_y - y : e * sum_y;
    const REAL without = y * (e == 1 ? rest : sum_e);
    return with - without;
}

/* With t = z - (the row's top), e = exp(t), rest = sum e - 1 (the sum without a largest term, added up
 * without it):  loss = log1p(rest) sum y - sum y t,  dz = (e sum y - y sum e) / sum e.
 * Where e = 1 the last numerator is (sum y - y) - y rest: no digits are lost where the loss is small.
 * Smoothing makes y into keep y + base, its sum stays. */
static void NAME(log_loss_softmax_block)(const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *S,
                                         ptrdiff_t lds, const REAL *Y, ptrdiff_t ldy, const int64_t *classes,
                                         double scale, REAL *dS, ptrdiff_t ldds, double *row_loss)
{
    const double smoothing = par[0];
    const REAL keep = (REAL)(1 - smoothing);
    REAL E[STRIP], tops[MAX_ROWS], rest[MAX_ROWS], logs[MAX_ROWS];
    double others[MAX_ROWS], ones[MAX_ROWS], y_sum[MAX_ROWS], yt_sum[MAX_ROWS];

    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const REAL *z = S + r * lds, *y = Y ? Y + r * ldy : NULL;
        others[r] = ones[r] = 0;
        tops[r] = NAME(max_)(n_cols, z);
        y_sum[r] = y ? NAME(sum)(n_cols, y) : 1;
        yt_sum[r] = y ? NAME(dot_shifted)(n_cols, y, z, tops[r]) : (double)z[classes[r]] - (double)tops[r];
        if (smoothing != 0)
            yt_sum[r] = (1 - smoothing) * yt_sum[r] +
                        smoothing * y_sum[r] / (double)n_cols * NAME(sum_shifted)(n_cols, z, tops[r]);
    }
    for (ptrdiff_t c = 0; c < n_cols; c += STRIP) {
        const ptrdiff_t width = min_(STRIP, n_cols - c);
        NAME(shifted_exp)(n_rows, width, S + c, lds, tops, E);
        NAME(add_sums_and_ones)(n_rows, width, E, others, ones);
    }
    for (ptrdiff_t r = 0; r < n_rows; r++)
        rest[r] = (REAL)(others[r] + (ones[r] - 1));
    for (ptrdiff_t r = 0; r < n_rows; r++)
        logs[r] = NAME(log1p_inside)(rest[r]);
    for (ptrdiff_t r = 0; r < n_rows; r++)
        row_loss[r] += logs[r] * y_sum[r] - yt_sum[r];
    if (!dS)
        return;

    for (ptrdiff_t c = 0; c < n_cols; c += STRIP) {
        const ptrdiff_t width = min_(STRIP, n_cols - c);
        if (n_cols > STRIP) /* E holds another strip */
            NAME(shifted_exp)(n_rows, width, S + c, lds, tops, E);
        for (ptrdiff_t r = 0; r < n_rows; r++) {
            const REAL *e = E + r * width;
            REAL *ds = dS + r * ldds + c;
            const double e_sum = others[r] + ones[r];
            const REAL factor = (REAL)(scale / e_sum), sum_e = (REAL)e_sum, sum_rest = rest[r];
            const REAL sum_y = (REAL)y_sum[r], base = (REAL)(smoothing * y_sum[r] / (double)n_cols);
            if (Y) {
                const REAL *y = Y + r * ldy + c;
                for (ptrdiff_t k = 0; k < width; k++)
                    ds[k] = NAME(softmax_numerator)(e[k], keep * y[k] + base, sum_y, sum_e, sum_rest) * factor;
            } else {
                if (smoothing != 0)
                    for (ptrdiff_t k = 0; k < width; k++)
                        ds[k] = NAME(softmax_numerator)(e[k], base, 1, sum_e, sum_rest) * factor;
                else
                    for (ptrdiff_t k = 0; k < width; k++)
                        ds[k] = e[k] * factor;
                const ptrdiff_t k = (ptrdiff_t)classes[r] - c;
                if (0 <= k && k < width)
                    ds[k] = NAME(softmax_numerator)(e[k], keep + base, 1, sum_e, sum_rest) * factor;
            }
        }
    }
}

static double NAME(loss)(int loss, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const void *S_,
                         ptrdiff_t lds, const void *Y_, ptrdiff_t ldy, const int64_t *classes,
                         const double *w, double scale, void *dS_, ptrdiff_t ldds, double *losses)
{
#define ROW(id, name, output, classes, n_par, low, high) NAME(id##_block),
    static void (*const blocks[])(const double *, ptrdiff_t, ptrdiff_t, const REAL *, ptrdiff_t, const REAL *,
                                  ptrdiff_t, const int64_t *, double, REAL *, ptrdiff_t,
                                  double *) = {DNN_LOSSES(ROW)};
#undef ROW
    static const double none[1] = {0};
    if (dnn_losses[loss].n_par == 0)
        par = none;
    const double cap = dnn_losses[loss].n_par == 2 ? par[1] : 0;
    /* Neither a weight nor the scale, which is 1 / (their sum), need be in the range of REAL; their product is. So
     * the scale hands its power of two to the weights while they are doubles: no digit changes by that. */
    double unit = 1;
    if (w) {
        int exponent;
        scale = frexp(scale, &exponent);
        unit = ldexp(1, exponent);
    }
    const REAL *S = S_, *Y = Y_;
    REAL *dS = dS_;
    const ptrdiff_t step = min_(rows_within(STRIP, n_cols), MAX_ROWS);
    double total = 0;
    for (ptrdiff_t r = 0; r < n_rows; r += step) {
        const ptrdiff_t rows = min_(step, n_rows - r);
        double row_loss[MAX_ROWS];
        memset(row_loss, 0, (size_t)rows * sizeof *row_loss);
        blocks[loss](par, rows, n_cols, S + r * lds, lds, Y ? Y + r * ldy : NULL, ldy,
                     classes ? classes + r : NULL, scale, dS ? dS + r * ldds : NULL, ldds, row_loss);
        for (ptrdiff_t i = 0; cap > 0 && i < rows; i++) {
            /* With a cap the figure is scikit-learn's, which for y = 0 and one column is log(1 - p): where p
             * is near 1 its rounding shows, by a hundredth of the loss and more. S may hold dS by now,
             * but e^-z is 1 / (e^loss - 1). In float32 nobody compares so closely. */
            if (row_loss[i] > 8 && n_cols == 1 && sizeof(REAL) == 8 && Y && Y[(r + i) * ldy] == 0)
                row_loss[i] = -log(1 - 1 / (1 + 1 / expm1(row_loss[i])));
            row_loss[i] = row_loss[i] > cap ? cap : row_loss[i];
        }
        if (losses)
            memcpy(losses + r, row_loss, (size_t)rows * sizeof *losses);
        if (w)
            for (ptrdiff_t i = 0; i < rows; i++)
                row_loss[i] *= w[r + i];
        if (w && dS)
            NAME(scale_rows)(rows, n_cols, w + r, unit, dS + r * ldds, ldds);
        total += sum_of_doubles(rows, row_loss);
    }
    return total;
}

/* ---- penalty and optimizers ---- */

static double NAME(penalty)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *W_, ptrdiff_t ldw, double l2,
                            double l1, void *G_, ptrdiff_t ldg)
{
    const REAL *restrict W = W_, l2_real = (REAL)l2, l1_real = (REAL)l1;
    REAL *restrict G = G_;
    double squares = 0, magnitudes = 0;
    if (n_cols == 1) {
        squares = ldw == 1 ? NAME(sum_of_squares)(n_rows, W, 1) : NAME(sum_of_squares)(n_rows, W, ldw);
        if (l1 != 0)
            magnitudes = NAME(sum_of_magnitudes)(n_rows, W, ldw);
    } else
        for (ptrdiff_t r = 0; r < n_rows; r++) {
            squares += NAME(sum_of_squares)(n_cols, W + r * ldw, 1);
            if (l1 != 0)
                magnitudes += NAME(sum_of_magnitudes)(n_cols, W + r * ldw, 1);
        }
    if (G && ldw == n_cols && ldg == n_cols)
        n_cols *= n_rows, n_rows = 1;
    for (ptrdiff_t r = 0; G && r < n_rows; r++) {
        const REAL *restrict w = W + r * ldw;
        REAL *restrict g = G + r * ldg;
        if (l1 != 0)
            for (ptrdiff_t c = 0; c < n_cols; c++) {
                const REAL signed_step = NAME(signed_step)(w[c], l1_real);
                g[c] += l2_real * w[c] + signed_step;
            }
        else
            for (ptrdiff_t c = 0; c < n_cols; c++)
                g[c] += l2_real * w[c];
    }
    return l2 / 2 * squares + l1 * magnitudes;
}

/* What an update reads, in the order of dnn_scalars: see there. One row of parameters p, its gradient g and
 * its state u, v. */
#define UPDATE(name)                                                                                         \
    static void NAME(name##_update)(const REAL *s, ptrdiff_t n, REAL *restrict p, const REAL *restrict g,    \
                                    REAL *restrict u, REAL *restrict v)

UPDATE(sgd)
{
    (void)u, (void)v;
    const REAL rate = s[0];
    for (ptrdiff_t i = 0; i < n; i++)
        p[i] -= rate * g[i];
}

UPDATE(momentum)
{
    (void)v;
    const REAL rate = s[0], mu = s[1];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = mu * u[i] - rate * g[i];
        p[i] += u[i];
    }
}

UPDATE(nesterov)
{
    (void)v;
    const REAL rate = s[0], mu = s[1];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = mu * u[i] - rate * g[i];
        p[i] += mu * u[i] - rate * g[i];
    }
}

UPDATE(averaged)
{
    (void)v;
    const REAL rate = s[0], mu = s[1], one_minus_mu = s[2];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = mu * u[i] + one_minus_mu * g[i];
        p[i] -= rate * u[i];
    }
}

/* Root and quotient are exact: approximations with corrections were slower. */
UPDATE(adam)
{
    const REAL a = s[0], beta1 = s[1], one_minus_beta1 = s[2], beta2 = s[3], one_minus_beta2 = s[4];
    const REAL c = s[5], inside = s[6], outside = s[7];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = beta1 * u[i] + one_minus_beta1 * g[i];
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i]);
        p[i] -= a * u[i] / (NAME(root)(c * v[i] + inside) + outside);
    }
}

/* u: the mean square. */
UPDATE(rmsprop)
{
    (void)v;
    const REAL rate = s[0], rho = s[1], one_minus_rho = s[2], epsilon = s[3];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = rho * u[i] + one_minus_rho * (g[i] * g[i]);
        p[i] -= rate * g[i] / (NAME(root)(u[i]) + epsilon);
    }
}

/* u: the mean square, v: the momentum. */
UPDATE(rmsprop_momentum)
{
    const REAL rate = s[0], rho = s[1], one_minus_rho = s[2], epsilon = s[3], mu = s[4];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = rho * u[i] + one_minus_rho * (g[i] * g[i]);
        v[i] = mu * v[i] + g[i] / (NAME(root)(u[i]) + epsilon);
        p[i] -= rate * v[i];
    }
}
#undef UPDATE

static void NAME(update)(int optimizer, const double *scalars, ptrdiff_t n_rows, ptrdiff_t n_cols, void *P_,
                         ptrdiff_t ldp, const void *G_, ptrdiff_t ldg, void *S_, ptrdiff_t slot)
{
#define ROW(name, n_slots, n_hyper, whole_gradient) NAME(name##_update),
    static void (*const rows[])(const REAL *, ptrdiff_t, REAL *, const REAL *, REAL *,
                                REAL *) = {DNN_OPTIMIZERS(ROW)};
#undef ROW
    REAL *P = P_, *S = S_, real_scalars[DNN_MAX_SCALARS];
    const REAL *G = G_;
    const int n_slots = dnn_optimizers[optimizer].n_slots;
    for (int i = 0; i < DNN_MAX_SCALARS; i++)
        real_scalars[i] = (REAL)scalars[i];
    if (ldp == n_cols && ldg == n_cols)
        n_cols *= n_rows, n_rows = 1;
    for (ptrdiff_t r = 0; r < n_rows; r++)
        rows[optimizer](real_scalars, n_cols, P + r * ldp, G + r * ldg, n_slots > 0 ? S + r * ldp : NULL,
                        n_slots > 1 ? S + slot + r * ldp : NULL);
}

/* ---- sums, transpose, checks ---- */

/* out += sums over the rows of X, which are as long as WIDTH or shorter, `times` of them side by side. A width
 * known to the compiler keeps the lanes in registers. */
static inline void NAME(add_block_sums)(ptrdiff_t n_rows, ptrdiff_t times, ptrdiff_t n_cols, const REAL *X,
                                        ptrdiff_t ldx, REAL *restrict out)
{
    REAL lane[WIDTH] = {0};
    const ptrdiff_t whole = n_rows / times, n_rest = n_rows % times;
    if (times == 1 || ldx == n_cols)
        for (ptrdiff_t r = 0; r < whole; r++)
            for (ptrdiff_t c = 0; c < times * n_cols; c++)
                lane[c] += X[r * times * ldx + c];
    else
        for (ptrdiff_t r = 0; r < whole; r++)
            for (ptrdiff_t t = 0; t < times; t++)
                for (ptrdiff_t c = 0; c < n_cols; c++)
                    lane[t * n_cols + c] += X[(r * times + t) * ldx + c];
    for (ptrdiff_t t = 0; t < n_rest; t++)
        for (ptrdiff_t c = 0; c < n_cols; c++)
            lane[t * n_cols + c] += X[(whole * times + t) * ldx + c];
    for (; times > 1; times -= times / 2)
        for (ptrdiff_t c = 0; c < times / 2 * n_cols; c++)
            lane[c] += lane[c + (times - times / 2) * n_cols];
    for (ptrdiff_t c = 0; c < n_cols; c++)
        out[c] += lane[c];
}

/* Blocks of BLOCK_ROWS rows (of short rows, as many times that as fit side by side) are summed by themselves:
 * the error grows with BLOCK_ROWS + n_rows / BLOCK_ROWS, not with n_rows. */
static void NAME(column_sums)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *X_, ptrdiff_t ldx, void *out_)
{
    const REAL *X = X_;
    REAL *out = out_;
    const ptrdiff_t times = n_rows > 0 ? min_(rows_within(WIDTH, n_cols), n_rows) : 1;
    memset(out, 0, (size_t)n_cols * sizeof *out);
    for (ptrdiff_t r = 0; r < n_rows; r += times * BLOCK_ROWS) {
        const ptrdiff_t rows = min_(times * BLOCK_ROWS, n_rows - r);
        for (ptrdiff_t c = 0; c < n_cols; c += WIDTH) {
            const REAL *x = X + r * ldx + c;
            if (n_cols - c >= WIDTH)
                NAME(add_block_sums)(rows, 1, WIDTH, x, ldx, out + c);
            else
                NAME(add_block_sums)(rows, times, n_cols - c, x, ldx, out + c);
        }
    }
}

#if !defined(__AVX2__) || defined(__AVX512F__) /* otherwise it is in products.h */
/* A square block of SIDE * SIDE numbers, SIDE = 2^k, seen as one row of them: place number in binary, row
 * digits then column digits. A perfect shuffle (first half and second half interleaved) turns these digits by
 * one place, so k of them swap rows and columns. Compilers know the loop as vector interleaving. */
static inline void NAME(shuffle)(const REAL *restrict from, REAL *restrict to)
{
    for (int i = 0; i < SIDE * SIDE / 2; i++) {
        to[2 * i] = from[i];
        to[2 * i + 1] = from[i + SIDE * SIDE / 2];
    }
}

static void NAME(transpose)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *X_, ptrdiff_t ldx, void *T_,
                            ptrdiff_t ldt)
{
    const REAL *restrict X = X_;
    REAL *restrict T = T_;
    const ptrdiff_t whole_rows = n_rows / SIDE * SIDE, whole_cols = n_cols / SIDE * SIDE;
    REAL one[SIDE * SIDE], two[SIDE * SIDE];
    for (ptrdiff_t c = 0; c < whole_cols; c += SIDE)
        for (ptrdiff_t r = 0; r < whole_rows; r += SIDE) {
            for (int i = 0; i < SIDE; i++)
                memcpy(one + i * SIDE, X + (r + i) * ldx + c, SIDE * sizeof *X);
            for (int side = 1; side < SIDE; side *= 4) {
                NAME(shuffle)(one, two);
                NAME(shuffle)(two, one);
            }
            for (int i = 0; i < SIDE; i++)
                memcpy(T + (c + i) * ldt + r, one + i * SIDE, SIDE * sizeof *T);
        }
    for (ptrdiff_t c = 0; c < n_cols; c++)
        for (ptrdiff_t r = c < whole_cols ? whole_rows : 0; r < n_rows; r++)
            T[c * ldt + r] = X[r * ldx + c];
}
#endif

static int NAME(all_finite)(ptrdiff_t n, const void *x_)
{
    const REAL *x = x_;
    REAL lane[WIDTH] = {0}, sum = 0;
    ptrdiff_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        for (int l = 0; l < WIDTH; l++)
            lane[l] += 0 * x[i + l]; /* NaN unless x is finite */
    for (; i < n; i++)
        sum += 0 * x[i];
    for (int l = 0; l < WIDTH; l++)
        sum += lane[l];
    return sum == 0;
}

static double NAME(sum_squares)(ptrdiff_t n, const void *x)
{
    return NAME(sum_of_squares)(n, x, 1);
}

static void NAME(scale)(ptrdiff_t n_rows, ptrdiff_t n_cols, double factor, void *X_, ptrdiff_t ldx)
{
    REAL *X = X_;
    const REAL by = (REAL)factor;
    if (ldx == n_cols)
        n_cols *= n_rows, n_rows = 1;
    for (ptrdiff_t r = 0; r < n_rows; r++)
        for (ptrdiff_t c = 0; c < n_cols; c++)
            X[r * ldx + c] *= by;
}

static void NAME(add)(ptrdiff_t n, const void *x_, const void *y_, void *sum_)
{
    const REAL *x = x_, *y = y_;
    REAL *sum = sum_;
    IN_PLACE
    for (ptrdiff_t i = 0; i < n; i++)
        sum[i] = x[i] + y[i];
}

static void NAME(average)(ptrdiff_t n, double rate, const void *x_, void *mean_)
{
    const REAL *restrict x = x_, by = (REAL)rate;
    REAL *restrict mean = mean_;
    for (ptrdiff_t i = 0; i < n; i++)
        mean[i] += by * (x[i] - mean[i]);
}

static void NAME(dropout)(ptrdiff_t n_rows, ptrdiff_t n_cols, const uint8_t *masks, ptrdiff_t ldm,
                          uint64_t key, ptrdiff_t first_row, double rate, const void *A_, ptrdiff_t lda,
                          void *D_, ptrdiff_t ldd)
{
    const REAL *A = A_, factor = (REAL)(1 / (1 - rate));
    REAL *D = D_;
    if (masks && ldm == n_cols && lda == n_cols && ldd == n_cols)
        n_cols *= n_rows, n_rows = 1;
    const uint32_t first_kept = first_kept_of(rate);
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const REAL *a = A + r * lda;
        REAL *d = D + r * ldd;
        if (masks) {
            const uint8_t *mask = masks + r * ldm;
            IN_PLACE
            for (ptrdiff_t c = 0; c < n_cols; c++)
                d[c] = a[c] * (mask[c] ? factor : 0);
        } else {
            const uint64_t row_key = next_random(key ^ next_random((uint64_t)(first_row + r)));
            const uint32_t one = (uint32_t)row_key, two = (uint32_t)(row_key >> 32);
            IN_PLACE
            for (ptrdiff_t c = 0; c < n_cols; c++)
                d[c] = a[c] * (random_bits((uint32_t)c, one, two) >= first_kept ? factor : 0);
        }
    }
}

/* ---- a sparse matrix, by what is stored ---- */

static void NAME(drop_stored)(ptrdiff_t n, const int32_t *columns, uint64_t key, ptrdiff_t row, double rate,
                              const void *values_, void *out_)
{
    const REAL *values = values_, factor = (REAL)(1 / (1 - rate));
    REAL *out = out_;
    const uint32_t first_kept = first_kept_of(rate);
    const uint64_t row_key = next_random(key ^ next_random((uint64_t)row));
    const uint32_t one = (uint32_t)row_key, two = (uint32_t)(row_key >> 32);
    IN_PLACE
    for (ptrdiff_t k = 0; k < n; k++)
        out[k] = values[k] * (random_bits((uint32_t)columns[k], one, two) >= first_kept ? factor : 0);
}

static inline void NAME(fetch)(const REAL *row, ptrdiff_t n_cols)
{
    const ptrdiff_t n_bytes = min_(n_cols * (ptrdiff_t)sizeof *row, STORED_BYTES);
    for (ptrdiff_t at = 0; at < n_bytes; at += 64)
        __builtin_prefetch((const char *)row + at);
}

/* The sums are the same bits however many elements are taken at once: each adds one product, in order. */
static void NAME(gather_add)(ptrdiff_t n, const int32_t *columns, const void *values_, ptrdiff_t n_cols,
                             const void *B_, ptrdiff_t ldb, void *c_)
{
    const REAL *values = values_, *B = B_;
    REAL *restrict c = c_;
    ptrdiff_t k = 0;
    for (; k + 4 <= n; k += 4) {
        const REAL *restrict b0 = B + columns[k] * ldb, *restrict b1 = B + columns[k + 1] * ldb;
        const REAL *restrict b2 = B + columns[k + 2] * ldb, *restrict b3 = B + columns[k + 3] * ldb;
        const REAL v0 = values[k], v1 = values[k + 1], v2 = values[k + 2], v3 = values[k + 3];
        for (ptrdiff_t ahead = k + STORED_AHEAD; ahead < min_(k + STORED_AHEAD + 4, n); ahead++)
            NAME(fetch)(B + columns[ahead] * ldb, n_cols);
        for (ptrdiff_t j = 0; j < n_cols; j++) {
            REAL sum = c[j];
            sum += v0 * b0[j];
            sum += v1 * b1[j];
            sum += v2 * b2[j];
            sum += v3 * b3[j];
            c[j] = sum;
        }
    }
    for (; k < n; k++) {
        const REAL *restrict b = B + columns[k] * ldb, v = values[k];
        for (ptrdiff_t j = 0; j < n_cols; j++)
            c[j] += v * b[j];
    }
}

static void NAME(scatter_add)(ptrdiff_t n, const int32_t *columns, const int32_t *rows, const void *values_,
                              ptrdiff_t n_cols, const void *B_, ptrdiff_t ldb, void *C_, ptrdiff_t ldc,
                              uint8_t *seen)
{
    const REAL *values = values_, *B = B_;
    REAL *C = C_;
    for (ptrdiff_t k = 0; k < n; k++) {
        const REAL *restrict b = B + rows[k] * ldb, v = values[k];
        REAL *restrict c = C + columns[k] * ldc;
        if (k + STORED_AHEAD < n)
            NAME(fetch)(B + rows[k + STORED_AHEAD] * ldb, n_cols);
        if (seen[columns[k]])
            for (ptrdiff_t j = 0; j < n_cols; j++)
                c[j] += v * b[j];
        else
            for (ptrdiff_t j = 0; j < n_cols; j++)
                c[j] = v * b[j];
        seen[columns[k]] = 1;
    }
}

#undef SIZE
