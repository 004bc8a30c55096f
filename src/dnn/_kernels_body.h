/* Formulas and loops of the kernels, in one precision.
 *
 * _kernels_base.c, _kernels_avx2.c and _kernels_avx512.c each include this file twice, with SIZE 4 and with
 * SIZE 8 (bytes of a number), and are compiled with flags of their own: the loops are plain C, which the
 * compiler turns into vector code. What makes that possible, and keeps results the same bits wherever a
 * block stands:
 * - No call into libm: exp, expm1, log1p, tanh and sigmoid are written here, without branches.
 * - Element-wise loops give the same bits in vectors as one by one, so neither tails nor alignment matter.
 * - Sums are written in fixed lanes. Without -ffast-math the compiler keeps their order.
 *
 * To add an element-wise activation: its row in _kernels.h, and NAME(<name>_value), NAME(<name>_slope) here.
 * A row-wise one: NAME(<name>_activate), NAME(<name>_backward), as softmax has. A loss: NAME(<name>_block),
 * written by ELEMENTWISE_LOSS if it is a sum over the elements.
 */

#ifndef DNN_KERNELS_BODY_H
#define DNN_KERNELS_BODY_H

#include "_kernels.h"

#include <math.h>
#include <string.h>

#define LANES 16       /* running sums side by side */
#define STRIP 2048     /* numbers of a row, or of several short rows, in a buffer on the stack */
#define MAX_ROWS 256   /* rows of a block whose losses are kept on the stack */
#define PATTERN 128    /* a short row of b, repeated, fills at most this many numbers */
#define WIDTH 64       /* columns summed together */
#define BLOCK_ROWS 128 /* rows summed by themselves */
#define SIDE 16        /* of a square that is transposed; a power of 4 */

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

/* c0 + c1 x + c2 x^2 + ... */
#define POLY_1(x, c) (c)
#define POLY_2(x, c, ...) ((c) + (x) * POLY_1(x, __VA_ARGS__))
#define POLY_3(x, c, ...) ((c) + (x) * POLY_2(x, __VA_ARGS__))
#define POLY_4(x, c, ...) ((c) + (x) * POLY_3(x, __VA_ARGS__))
#define POLY_5(x, c, ...) ((c) + (x) * POLY_4(x, __VA_ARGS__))
#define POLY_6(x, c, ...) ((c) + (x) * POLY_5(x, __VA_ARGS__))
#define POLY_7(x, c, ...) ((c) + (x) * POLY_6(x, __VA_ARGS__))
#define POLY_8(x, c, ...) ((c) + (x) * POLY_7(x, __VA_ARGS__))
#define POLY_9(x, c, ...) ((c) + (x) * POLY_8(x, __VA_ARGS__))
#define POLY_10(x, c, ...) ((c) + (x) * POLY_9(x, __VA_ARGS__))

/* A table of kernels; suffix: f32 or f64. */
#define KERNELS(isa, suffix, size)                                                                          \
    {isa, size, activate_##suffix, slope_##suffix, loss_##suffix, penalty_##suffix, update_##suffix,        \
     column_sums_##suffix, transpose_##suffix, all_finite_##suffix, map_##suffix}

static inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b)
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

#endif

/* Polynomials: weighted least squares at 120 Chebyshev points in 50 digits (mpmath), the coefficients rounded
 * from the lowest up and the rest fitted again after each. Bounds are of the error relative to the function,
 * coefficients rounded, in exact arithmetic.
 *   EXP_TAIL(r) = (exp(r) - 1 - r) / r^2          |r| <= 0.3475: 2^-30.9 of expm1(r); double 2^-61.5
 *   LOG_TAIL(f) = (log(1 + f) - f + f^2/2) / f^3  sqrt(1/2) - 1 <= f <= sqrt(2) - 1: 2^-30.0 of log(1 + f);
 *                                                 double 2^-58.9
 * Even and odd powers apart: the two halves are computed at the same time.
 * LN2_HIGH has so few bits that its product with an exponent is exact. */
#if SIZE == 4
#define REAL float
#define BITS uint32_t
#define NAME(x) x##_f32
#define C(x) x##f
#define MANTISSA 23
#define BIAS 127
#define LN2_HIGH 0.693145751953125f
#define LN2_LOW 1.42860682e-06f
#define EXP_TAIL(r, r2)                                                                                     \
    (POLY_3(r2, 0.5f, 0.0416664779f, 0.00139337417f) +                                                      \
     (r) * POLY_3(r2, 0.166666657f, 0.00833356846f, 0.000197419591f))
#define LOG_TAIL(f, f2)                                                                                     \
    (POLY_5(f2, 0.333333105f, 0.200022265f, 0.14217563f, 0.119054131f, 0.0668415576f) +                     \
     (f) * POLY_4(f2, -0.250000149f, -0.166677266f, -0.124097466f, -0.116551459f))
#define EXP_LOW -104.0f   /* exp of it is 0 */
#define EXP_HIGH 89.0f    /* exp of it is infinite */
#define EXPM1_LOW -18.0f  /* expm1 of it is -1 */
#define TANH_HIGH 10.0f   /* tanh of it is 1 */
#define TINY 0x1p-26f     /* below it expm1(x) and log1p(x) are x */
#else
#define REAL double
#define BITS uint64_t
#define NAME(x) x##_f64
#define C(x) x
#define MANTISSA 52
#define BIAS 1023
#define LN2_HIGH 0.69314718055989033
#define LN2_LOW 5.4979230187083712e-14
#define EXP_TAIL(r, r2)                                                                                     \
    (POLY_6(r2, 0.5, 0.041666666666666602, 0.0013888888888928361, 2.4801587227691094e-05,                   \
             2.7557361519780348e-07, 2.0886847174331918e-09) +                                              \
     (r) * POLY_5(r2, 0.16666666666666677, 0.0083333333333213983, 0.00019841269886771231,                   \
             2.755724350255661e-06, 2.5109302832455765e-08))
#define LOG_TAIL(f, f2)                                                                                     \
    (POLY_10(f2, 0.33333333333333476, 0.19999999999941268, 0.14285714294225754, 0.11111110499055007,        \
             0.09090934030380117, 0.076917020037022638, 0.066753647525492801, 0.058153425305335293,         \
             0.054313792171365359, 0.056558256266931256) +                                                  \
     (f) * POLY_10(f2, -0.24999999999998809, -0.16666666666944835, -0.1249999997896505,                     \
             -0.10000000538929539, -0.083333412305913498, -0.071420776829255822, -0.06269049941823425,      \
             -0.05330159935315653, -0.062747202345330003, -0.023924976893093135))
#define EXP_LOW -746.0
#define EXP_HIGH 710.0
#define EXPM1_LOW -38.0
#define TANH_HIGH 20.0
#define TINY 0x1p-55
#endif
#define LOG2_E C(1.4426950408889634)
#define ROUNDER (C(1.5) * ((BITS)1 << MANTISSA)) /* adding it rounds to an integer, kept in the low bits */
#define MANTISSA_MASK (((BITS)1 << MANTISSA) - 1)

/* ---- functions of one number ---- */

static inline BITS NAME(bits)(REAL x)
{
    BITS n;
    memcpy(&n, &x, sizeof n);
    return n;
}

static inline REAL NAME(real)(BITS n)
{
    REAL x;
    memcpy(&x, &n, sizeof x);
    return x;
}

static inline REAL NAME(magnitude)(REAL x)
{
    return NAME(real)(NAME(bits)(x) & ~((BITS)1 << (8 * SIZE - 1)));
}

static inline REAL NAME(root)(REAL x)
{
#if SIZE == 4
    return sqrtf(x);
#else
    return sqrt(x);
#endif
}

static inline REAL NAME(with_sign)(REAL x, REAL sign)
{
    const BITS mask = (BITS)1 << (8 * SIZE - 1);
    return NAME(real)((NAME(bits)(x) & ~mask) | (NAME(bits)(sign) & mask));
}

/* expm1(r), where x = n ln 2 + r and |r| <= ln(2)/2. n may be negative: it is kept modulo 2^32 or 2^64. */
static inline REAL NAME(expm1_reduced)(REAL x, BITS *n)
{
    const REAL shifted = x * LOG2_E + ROUNDER, whole = shifted - ROUNDER;
    const REAL r = (x - whole * LN2_HIGH) - whole * LN2_LOW;
    *n = NAME(bits)(shifted) - NAME(bits)(ROUNDER);
    const REAL r2 = r * r;
    return r + r2 * EXP_TAIL(r, r2);
}

/* exp(x) for x <= EXP_HIGH, or NaN. 2^n by two factors: one would overflow before its time, and round twice
 * below the normal numbers. */
static inline REAL NAME(exp_below)(REAL x)
{
    x = x < EXP_LOW ? EXP_LOW : x; /* so written, NaN stays */
    BITS n;
    const REAL q = NAME(expm1_reduced)(x, &n);
    const BITS both = n + 2 * BIAS, half = both >> 1;
    return (1 + q) * NAME(real)(half << MANTISSA) * NAME(real)((both - half) << MANTISSA);
}

static inline REAL NAME(exp)(REAL x)
{
    return NAME(exp_below)(x > EXP_HIGH ? EXP_HIGH : x);
}

/* 2^n (q + 1) - 1, halved in between because 2^n alone may overflow. EXPM1_LOW <= x <= EXP_HIGH. */
static inline REAL NAME(expm1_inside)(REAL x)
{
    BITS n;
    const REAL q = NAME(expm1_reduced)(x, &n);
    const REAL half = NAME(real)((n + (BIAS - 1)) << MANTISSA);
    return 2 * (q * half + (half - C(0.5)));
}

static inline REAL NAME(expm1)(REAL x)
{
    REAL inside = x < EXPM1_LOW ? EXPM1_LOW : x;
    inside = inside > EXP_HIGH ? EXP_HIGH : inside;
    const REAL y = NAME(expm1_inside)(inside);
    return NAME(magnitude)(x) < TINY ? x : y; /* keeps -0 and the last bit of subnormals */
}

/* u = 1 + x rounded, lost what the rounding lost (exactly: Knuth's sum of two). 1 + x = 2^k (1 + f) with
 * sqrt(1/2) <= 1 + f < sqrt(2), where f takes in lost, so that f = x exactly while k = 0. x > -1, finite. */
static inline REAL NAME(log1p_inside)(REAL x)
{
    const REAL u = 1 + x, part = u - 1;
    const REAL lost = (1 - (u - part)) + (x - part);
    const BITS sqrt_half = NAME(bits)(C(0.70710678118654752));
    const BITS above = NAME(bits)(u) - sqrt_half, exponent = above & ~MANTISSA_MASK;
    const REAL whole = NAME(real)(((exponent + ((BITS)BIAS << MANTISSA)) >> MANTISSA) |
                                  NAME(bits)((REAL)((BITS)1 << MANTISSA)));
    const REAL k = whole - (REAL)(((BITS)1 << MANTISSA) + BIAS);
    /* 2^(1-k) rather than 2^-k: the latter has no bits when k = BIAS + 1. */
    const REAL scale = NAME(real)(NAME(bits)(C(2.0)) - exponent);
    const REAL f = (NAME(real)((above & MANTISSA_MASK) + sqrt_half) - 1) + (C(0.5) * lost) * scale;
    const REAL f2 = f * f;
    return k * LN2_HIGH + (f + (f2 * (f * LOG_TAIL(f, f2) - C(0.5)) + k * LN2_LOW));
}

static inline REAL NAME(log1p)(REAL x)
{
    const REAL inside = NAME(magnitude)(x) < TINY ? x : NAME(log1p_inside)(x);
    const REAL below = x == -1 ? -(REAL)INFINITY : (REAL)NAN;
    return x > -1 ? (x == (REAL)INFINITY ? x : inside) : below;
}

static inline REAL NAME(tanh)(REAL x)
{
    REAL a = NAME(magnitude)(x);
    a = a > TANH_HIGH ? TANH_HIGH : a;
    const REAL e = NAME(expm1_inside)(2 * a);
    return NAME(with_sign)(e / (e + 2), x);
}

static inline REAL NAME(sigmoid)(REAL x)
{
    const REAL e = NAME(exp_below)(-NAME(magnitude)(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}

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

/* The largest number, NaN passed over (-inf if there is nothing else). */
static inline REAL NAME(largest)(ptrdiff_t n, const REAL *x)
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

/* Row r of X times by[r]. */
static void NAME(scale_rows)(ptrdiff_t n_rows, ptrdiff_t n_cols, const double *restrict by, REAL *restrict X,
                             ptrdiff_t ldx)
{
    if (n_cols == 1 && ldx == 1)
        for (ptrdiff_t r = 0; r < n_rows; r++)
            X[r] *= (REAL)by[r];
    else
        for (ptrdiff_t r = 0; r < n_rows; r++)
            for (ptrdiff_t c = 0; c < n_cols; c++)
                X[r * ldx + c] *= (REAL)by[r];
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
    return a <= 0 ? C(0.0) : C(1.0);
}

static inline REAL NAME(leaky_relu_value)(REAL z, const REAL *par)
{
    return z < 0 ? par[0] * z : z;
}

static inline REAL NAME(leaky_relu_slope)(REAL a, const REAL *par)
{
    return a <= 0 ? par[0] : 1;
}

/* The rows are shifted, then exp runs through them as one if they are contiguous (rows may be short). */
static void NAME(softmax_activate)(const REAL *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *Z,
                                   ptrdiff_t ldz, REAL *A, ptrdiff_t lda)
{
    (void)par;
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const REAL *z = Z + r * ldz;
        REAL *a = A + r * lda;
        const REAL top = NAME(largest)(n_cols, z);
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
#define ROW(name, row_wise, slope_from_z, relu_like, n_par, par0) ELEMENTWISE_##row_wise(name)
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
        const ptrdiff_t times = smaller(rows_within(PATTERN, n_cols), n_rows);
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
#define ROW(name, row_wise, slope_from_z, relu_like, n_par, par0) NAME(name##_activate),
    static void (*const blocks[])(const REAL *, ptrdiff_t, ptrdiff_t, const REAL *, ptrdiff_t, REAL *,
                                  ptrdiff_t) = {DNN_ACTIVATIONS(ROW)};
#undef ROW
    REAL *Z = Z_, *A = A_, real_par[DNN_MAX_PAR] = {0};
    for (int i = 0; i < dnn_activations[activation].n_par; i++)
        real_par[i] = (REAL)par[i];
    /* Several passes over a block: the block stays in L1. */
    const ptrdiff_t step = n_rows * n_cols <= 2 * STRIP ? n_rows : rows_within(2 * STRIP, n_cols);
    for (ptrdiff_t r = 0; r < n_rows; r += step) {
        const ptrdiff_t rows = smaller(step, n_rows - r);
        if (b)
            NAME(add_bias)(rows, n_cols, b, Z + r * ldz, ldz);
        blocks[activation](real_par, rows, n_cols, Z + r * ldz, ldz, A + r * lda, lda);
    }
}

static void NAME(slope)(int activation, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols,
                        const void *V, ptrdiff_t ldv, const void *dA, ptrdiff_t ldda, void *dZ,
                        ptrdiff_t lddz)
{
#define ROW(name, row_wise, slope_from_z, relu_like, n_par, par0) NAME(name##_backward),
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
 * dS without the weights. */

static inline REAL NAME(squared_error_term)(REAL s, REAL y, REAL *ds)
{
    *ds = s - y;
    return C(0.5) * (s - y) * (s - y);
}

/* sigmoid(z) - y from p and 1 - p, neither of which is got by subtraction: accurate where the loss is small. */
static inline REAL NAME(log_loss_sigmoid_term)(REAL z, REAL y, REAL *dz)
{
    const REAL e = NAME(exp_below)(-NAME(magnitude)(z));
    const REAL with = z >= 0 ? 1 : e, without = z >= 0 ? e : 1;
    *dz = ((1 - y) * with - y * without) / (1 + e);
    return ((z >= 0 ? z : 0) - y * z) + NAME(log1p_inside)(e);
}

#define ELEMENTWISE_LOSS(name)                                                                               \
    static void NAME(name##_block)(ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *S, ptrdiff_t lds,         \
                                   const REAL *Y, ptrdiff_t ldy, const int64_t *classes, double scale,       \
                                   REAL *dS, ptrdiff_t ldds, double *row_loss)                               \
    {                                                                                                        \
        (void)classes;                                                                                       \
        REAL terms[STRIP], slopes[STRIP];                                                                    \
        const REAL real_scale = (REAL)scale;                                                                 \
        for (ptrdiff_t c = 0; c < n_cols; c += STRIP) {                                                      \
            const ptrdiff_t width = smaller(STRIP, n_cols - c);                                              \
            const int flat = lds == n_cols && ldy == n_cols && (!dS || ldds == n_cols) && n_cols <= STRIP;   \
            const ptrdiff_t runs = flat ? 1 : n_rows, run = flat ? n_rows * n_cols : width;                  \
            for (ptrdiff_t r = 0; r < runs; r++) {                                                           \
                const REAL *s = S + r * lds + c, *y = Y + r * ldy + c;                                       \
                REAL *term = terms + r * run, *ds = dS ? dS + r * ldds + c : slopes;                         \
                IN_PLACE                                                                                     \
                for (ptrdiff_t i = 0; i < run; i++) {                                                        \
                    REAL slope;                                                                              \
                    term[i] = NAME(name##_term)(s[i], y[i], &slope);                                         \
                    ds[i] = real_scale * slope;                                                              \
                }                                                                                            \
            }                                                                                                \
            NAME(add_row_sums)(n_rows, width, terms, row_loss);                                              \
        }                                                                                                    \
    }
ELEMENTWISE_LOSS(squared_error)
ELEMENTWISE_LOSS(log_loss_sigmoid)
#undef ELEMENTWISE_LOSS

static inline double NAME(dot_shifted)(ptrdiff_t n, const REAL *y, const REAL *z, REAL top)
{
    LANE_SUM(n, (double)y[i] * (double)(z[i] - top));
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

/* With t = z - (the row's top), e = exp(t), rest = sum e - 1 (the sum without a largest term, added up
 * without it):  loss = log1p(rest) sum y - sum y t,  dz = (e sum y - y sum e) / sum e.
 * Where e = 1 the last numerator is (sum y - y) - y rest: no digits are lost where the loss is small. */
static void NAME(log_loss_softmax_block)(ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *S, ptrdiff_t lds,
                                         const REAL *Y, ptrdiff_t ldy, const int64_t *classes, double scale,
                                         REAL *dS, ptrdiff_t ldds, double *row_loss)
{
    REAL E[STRIP], tops[MAX_ROWS], rest[MAX_ROWS], logs[MAX_ROWS];
    double others[MAX_ROWS], ones[MAX_ROWS], y_sum[MAX_ROWS], yt_sum[MAX_ROWS];

    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const REAL *z = S + r * lds, *y = Y ? Y + r * ldy : NULL;
        others[r] = ones[r] = 0;
        tops[r] = NAME(largest)(n_cols, z);
        y_sum[r] = y ? NAME(sum)(n_cols, y) : 1;
        yt_sum[r] = y ? NAME(dot_shifted)(n_cols, y, z, tops[r]) : (double)z[classes[r]] - (double)tops[r];
    }
    for (ptrdiff_t c = 0; c < n_cols; c += STRIP) {
        const ptrdiff_t width = smaller(STRIP, n_cols - c);
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
        const ptrdiff_t width = smaller(STRIP, n_cols - c);
        if (n_cols > STRIP) /* E holds another strip */
            NAME(shifted_exp)(n_rows, width, S + c, lds, tops, E);
        for (ptrdiff_t r = 0; r < n_rows; r++) {
            const REAL *e = E + r * width;
            REAL *ds = dS + r * ldds + c;
            const double e_sum = others[r] + ones[r];
            const REAL factor = (REAL)(scale / e_sum);
            if (Y) {
                const REAL *y = Y + r * ldy + c;
                const REAL sum_y = (REAL)y_sum[r], sum_e = (REAL)e_sum, sum_rest = rest[r];
                for (ptrdiff_t k = 0; k < width; k++) {
                    const REAL with = e[k] == 1 ? sum_y - y[k] : e[k] * sum_y;
                    const REAL without = y[k] * (e[k] == 1 ? sum_rest : sum_e);
                    ds[k] = (with - without) * factor;
                }
            } else {
                for (ptrdiff_t k = 0; k < width; k++)
                    ds[k] = e[k] * factor;
                const ptrdiff_t k = (ptrdiff_t)classes[r] - c;
                if (0 <= k && k < width)
                    ds[k] = (e[k] == 1 ? -rest[r] : e[k] - (REAL)e_sum) * factor;
            }
        }
    }
}

static double NAME(loss)(int loss, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const void *S_,
                         ptrdiff_t lds, const void *Y_, ptrdiff_t ldy, const int64_t *classes,
                         const double *w, double scale, void *dS_, ptrdiff_t ldds, double *losses)
{
#define ROW(id, name, output, classes) NAME(id##_block),
    static void (*const blocks[])(ptrdiff_t, ptrdiff_t, const REAL *, ptrdiff_t, const REAL *, ptrdiff_t,
                                  const int64_t *, double, REAL *, ptrdiff_t, double *) = {DNN_LOSSES(ROW)};
#undef ROW
    (void)par;
    const REAL *S = S_, *Y = Y_;
    REAL *dS = dS_;
    const ptrdiff_t step = smaller(rows_within(STRIP, n_cols), MAX_ROWS);
    double total = 0;
    for (ptrdiff_t r = 0; r < n_rows; r += step) {
        const ptrdiff_t rows = smaller(step, n_rows - r);
        double row_loss[MAX_ROWS];
        memset(row_loss, 0, (size_t)rows * sizeof *row_loss);
        blocks[loss](rows, n_cols, S + r * lds, lds, Y ? Y + r * ldy : NULL, ldy,
                     classes ? classes + r : NULL, scale, dS ? dS + r * ldds : NULL, ldds, row_loss);
        if (losses)
            memcpy(losses + r, row_loss, (size_t)rows * sizeof *losses);
        if (w)
            for (ptrdiff_t i = 0; i < rows; i++)
                row_loss[i] *= w[r + i];
        if (w && dS)
            NAME(scale_rows)(rows, n_cols, w + r, dS + r * ldds, ldds);
        total += sum_of_doubles(rows, row_loss);
    }
    return total;
}

/* ---- penalty and optimizers ---- */

static double NAME(penalty)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *W_, ptrdiff_t ldw, double l2,
                            void *G_, ptrdiff_t ldg)
{
    const REAL *restrict W = W_, l2_real = (REAL)l2;
    REAL *restrict G = G_;
    double total = 0;
    if (n_cols == 1)
        total = ldw == 1 ? NAME(sum_of_squares)(n_rows, W, 1) : NAME(sum_of_squares)(n_rows, W, ldw);
    else
        for (ptrdiff_t r = 0; r < n_rows; r++)
            total += NAME(sum_of_squares)(n_cols, W + r * ldw, 1);
    if (!G)
        return total;
    if (ldw == n_cols && ldg == n_cols)
        n_cols *= n_rows, n_rows = 1;
    for (ptrdiff_t r = 0; r < n_rows; r++)
        for (ptrdiff_t c = 0; c < n_cols; c++)
            G[r * ldg + c] += l2_real * W[r * ldw + c];
    return total;
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
    const ptrdiff_t times = n_rows > 0 ? smaller(rows_within(WIDTH, n_cols), n_rows) : 1;
    memset(out, 0, (size_t)n_cols * sizeof *out);
    for (ptrdiff_t r = 0; r < n_rows; r += times * BLOCK_ROWS) {
        const ptrdiff_t rows = smaller(times * BLOCK_ROWS, n_rows - r);
        for (ptrdiff_t c = 0; c < n_cols; c += WIDTH) {
            const REAL *x = X + r * ldx + c;
            if (n_cols - c >= WIDTH)
                NAME(add_block_sums)(rows, 1, WIDTH, x, ldx, out + c);
            else
                NAME(add_block_sums)(rows, times, n_cols - c, x, ldx, out + c);
        }
    }
}

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

#undef SIZE
#undef REAL
#undef BITS
#undef NAME
#undef C
#undef MANTISSA
#undef BIAS
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_TAIL
#undef LOG_TAIL
#undef EXP_LOW
#undef EXP_HIGH
#undef EXPM1_LOW
#undef TANH_HIGH
#undef TINY
#undef LOG2_E
#undef ROUNDER
#undef MANTISSA_MASK
