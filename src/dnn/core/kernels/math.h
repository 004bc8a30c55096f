/* The types and constants of one precision, and functions of one value. Part of one_precision.h, once per SIZE.
 *
 * The functions have neither branches nor calls into libm, so that the compiler vectorizes loops that call them. Their
 * errors are at most 4 ulp. A NaN gives a NaN, infinities give the limits.
 */

#ifndef DNN_KERNELS_MATH_H
#define DNN_KERNELS_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

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
#define POLY_11(x, c, ...) ((c) + (x) * POLY_10(x, __VA_ARGS__))
#define POLY_12(x, c, ...) ((c) + (x) * POLY_11(x, __VA_ARGS__))

#endif

#undef REAL
#undef BITS
#undef NAME
#undef REAL_C
#undef MANTISSA
#undef BIAS
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_TAIL
#undef LOG_TAIL
#undef ERFCX_CENTER
#undef ERFCX_PLACE
#undef ERFCX_SERIES
#undef ERF_SERIES
#undef EXP_LOW
#undef EXP_HIGH
#undef EXPM1_LOW
#undef TANH_HIGH
#undef ERFC_HIGH
#undef GELU_HIGH
#undef TINY
#undef SMALLEST_NORMAL
#undef LOG2_E
#undef ROUNDER
#undef MANTISSA_MASK

/* The polynomials were fitted by weighted least squares at 120 Chebyshev points with 50 digits (mpmath). The
 * coefficients were rounded one after the other, the lowest first, and the others fitted again after each. The bounds
 * are for the error relative to the function, with rounded coefficients in exact arithmetic.
 *   EXP_TAIL(r) = (exp(r) - 1 - r) / r^2          |r| <= 0.3475: 2^-30.9 of expm1(r); double 2^-61.5
 *   LOG_TAIL(f) = (log(1 + f) - f + f^2/2) / f^3  sqrt(1/2) - 1 <= f <= sqrt(2) - 1: 2^-30.0 of log(1 + f);
 *                                                 double 2^-58.9
 *   ERFCX_SERIES(u) = (1 + 9/8 a) exp(a^2) erfc(a) - 1    t = p / (a + p), u = t - ERFCX_CENTER,
 *                     p = ERFCX_PLACE, 0 <= a <= ERFC_HIGH: 2^-26.4 of the function plus 1; double 2^-55.8
 *   ERF_SERIES(x^2) = erf(x) / x - 1              |x| <= 0.75: 2^-29.2 of erf(x); double 2^-56.3
 * Even and odd powers are separate polynomials, so that the processor computes the two halves at the same time.
 * LN2_HIGH has so few bits that its product with an exponent is exact. */
#if SIZE == 4
#define REAL float
#define BITS uint32_t
#define NAME(x) x##_f32
#define REAL_C(x) x##f
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
#define ERFCX_PLACE 2.5f
#define ERFCX_CENTER 0.625f
#define ERFCX_SERIES(u, u2)                                                                                 \
    (POLY_5(u2, -0.135739192f, 0.0447220206f, -0.970988691f, 0.20562239f, -0.0648756698f) +                 \
     (u) * POLY_5(u2, 0.498899102f, -0.677929103f, -0.471242815f, 0.2699292f, -0.126014411f))
#define ERF_SERIES(s, s2)                                                                                   \
    (POLY_3(s2, 0.128379166f, 0.112833843f, 0.00511456793f) +                                               \
     (s) * POLY_3(s2, -0.3761262f, -0.0268348251f, -0.000675031857f))
#define EXP_LOW -104.0f   /* exp of it is 0 */
#define EXP_HIGH 89.0f    /* exp of it is infinite */
#define EXPM1_LOW -18.0f  /* expm1 of it is -1 */
#define TANH_HIGH 10.0f   /* tanh of it is 1 */
#define ERFC_HIGH 10.3f   /* erfc of it is 0 */
#define GELU_HIGH 15.0f   /* gelu of minus it is 0 */
#define TINY 0x1p-26f     /* below it expm1(x) and log1p(x) are x */
#define SMALLEST_NORMAL 0x1p-126f
#else
#define REAL double
#define BITS uint64_t
#define NAME(x) x##_f64
#define REAL_C(x) x
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
#define ERFCX_PLACE 4.0
#define ERFCX_CENTER 0.5625
#define ERFCX_SERIES(u, u2)                                                                                 \
    (POLY_12(u2, -0.22082532059721388, 0.4619142308139596, -0.50520977196496752, -2.6003871388482005,       \
             -2.6618105096918709, -0.25123041974961335, 0.36361533256592199, -0.16473440818622639,          \
             0.062411121240851457, -0.023980471172624404, 0.0098566427136168085, -0.0032262915195540253) +  \
     (u) * POLY_11(u2, 0.43886082409836918, 0.19188711918008877, -1.5592362593823954, -3.0863154857948376,  \
                   -1.4973998075579233, 0.41573767776486947, 0.0088898334894811967, -0.066223105887992642,  \
                   0.049074535174206166, -0.027410578828530742, 0.0099496672152611862))
#define ERF_SERIES(s, s2)                                                                                   \
    (POLY_6(s2, 0.12837916709551259, 0.11283791670959023, 0.0052239776260702515, 0.00012055311665541862,    \
            1.6437740678604767e-06, 1.1658560770046648e-08) +                                               \
     (s) * POLY_5(s2, -0.37612638903183887, -0.026866170645543464, -0.00085483268011218904,                 \
                  -1.4924700385736058e-05, -1.5995396852777714e-07))
#define EXP_LOW -746.0
#define EXP_HIGH 710.0
#define EXPM1_LOW -38.0
#define TANH_HIGH 20.0
#define ERFC_HIGH 27.5
#define GELU_HIGH 39.0
#define TINY 0x1p-55
#define SMALLEST_NORMAL 0x1p-1022
#endif
#define LOG2_E REAL_C(1.4426950408889634)
#define ROUNDER (REAL_C(1.5) * ((BITS)1 << MANTISSA)) /* adding it rounds to an integer, which is then in the low bits */
#define MANTISSA_MASK (((BITS)1 << MANTISSA) - 1)

/* ---- functions of one value ---- */

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

static inline REAL NAME(abs_)(REAL x)
{
    return NAME(real)(NAME(bits)(x) & ~((BITS)1 << (8 * SIZE - 1)));
}

/* Returns x, clipped to -limit .. limit; NaN if x is NaN. */
static inline REAL NAME(within)(REAL x, REAL limit)
{
    x = x < -limit ? -limit : x;
    return x > limit ? limit : x;
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

/* Returns expm1(r), where x + low = n ln 2 + r and |r| <= ln(2)/2. n may be negative: it is represented modulo 2^32 or
 * 2^64. */
static inline REAL NAME(expm1_reduced)(REAL x, REAL low, BITS *n)
{
    const REAL shifted = x * LOG2_E + ROUNDER, whole = shifted - ROUNDER;
    const REAL r = (x - whole * LN2_HIGH) - (whole * LN2_LOW - low);
    *n = NAME(bits)(shifted) - NAME(bits)(ROUNDER);
    const REAL r2 = r * r;
    return r + r2 * EXP_TAIL(r, r2);
}

/* Returns 2^n y, by two factors: a single factor might overflow although the result does not, and subnormal results would be
 * rounded twice. */
static inline REAL NAME(scaled)(REAL y, BITS n)
{
    const BITS both = n + 2 * BIAS, half = both >> 1;
    return y * NAME(real)(half << MANTISSA) * NAME(real)((both - half) << MANTISSA);
}

/* Returns exp(x) for x <= EXP_HIGH or NaN. */
static inline REAL NAME(exp_below)(REAL x)
{
    x = x < EXP_LOW ? EXP_LOW : x; /* written such that a NaN remains */
    BITS n;
    const REAL q = NAME(expm1_reduced)(x, 0, &n);
    return NAME(scaled)(1 + q, n);
}

static inline REAL NAME(exp)(REAL x)
{
    return NAME(exp_below)(x > EXP_HIGH ? EXP_HIGH : x);
}

/* Returns expm1(x) = 2^n (q + 1) - 1 for EXPM1_LOW <= x <= EXP_HIGH, computed as twice its half, because 2^n may
 * overflow. */
static inline REAL NAME(expm1_inside)(REAL x)
{
    BITS n;
    const REAL q = NAME(expm1_reduced)(x, 0, &n);
    const REAL half = NAME(real)((n + (BIAS - 1)) << MANTISSA);
    return 2 * (q * half + (half - REAL_C(0.5)));
}

static inline REAL NAME(expm1)(REAL x)
{
    REAL inside = x < EXPM1_LOW ? EXPM1_LOW : x;
    inside = inside > EXP_HIGH ? EXP_HIGH : inside;
    const REAL y = NAME(expm1_inside)(inside);
    return NAME(abs_)(x) < TINY ? x : y; /* preserves -0 and the last bit of subnormals */
}

/* Returns f, where u = 2^k (1 + f) and sqrt(1/2) <= 1 + f < sqrt(2). scale = 2^(1-k), because 2^-k is not a normal number if
 * k = BIAS + 1. u must be positive and normal. */
static inline REAL NAME(log_reduced)(REAL u, REAL *k, REAL *scale)
{
    const BITS sqrt_half = NAME(bits)(REAL_C(0.70710678118654752));
    const BITS above = NAME(bits)(u) - sqrt_half, exponent = above & ~MANTISSA_MASK;
    const REAL whole = NAME(real)(((exponent + ((BITS)BIAS << MANTISSA)) >> MANTISSA) |
                                  NAME(bits)((REAL)((BITS)1 << MANTISSA)));
    *k = whole - (REAL)(((BITS)1 << MANTISSA) + BIAS);
    *scale = NAME(real)(NAME(bits)(REAL_C(2.0)) - exponent);
    return NAME(real)((above & MANTISSA_MASK) + sqrt_half) - 1;
}

/* Returns k ln 2 + log(1 + f). */
static inline REAL NAME(log_sum)(REAL k, REAL f)
{
    const REAL f2 = f * f;
    return k * LN2_HIGH + (f + (f2 * (f * LOG_TAIL(f, f2) - REAL_C(0.5)) + k * LN2_LOW));
}

static inline REAL NAME(log)(REAL x)
{
    const int small = x < SMALLEST_NORMAL;
    REAL k, scale;
    const REAL f = NAME(log_reduced)(small ? x * (REAL)((BITS)1 << MANTISSA) : x, &k, &scale);
    const REAL inside = NAME(log_sum)(small ? k - MANTISSA : k, f);
    const REAL below = x == 0 ? -(REAL)INFINITY : (REAL)NAN;
    return x > 0 ? (x == (REAL)INFINITY ? x : inside) : below;
}

/* Returns log(1 + x) for finite x > -1. u is 1 + x rounded, and lost is the rounding error, exactly (Knuth's TwoSum). f
 * is corrected by lost, so that it is exactly x while k = 0. */
static inline REAL NAME(log1p_inside)(REAL x)
{
    const REAL u = 1 + x, part = u - 1;
    const REAL lost = (1 - (u - part)) + (x - part);
    REAL k, scale;
    const REAL f = NAME(log_reduced)(u, &k, &scale);
    return NAME(log_sum)(k, f + (REAL_C(0.5) * lost) * scale);
}

/* Returns log(1 + x) for 0 <= x <= 1, as in the loss of a sigmoid: if 1 + x is below sqrt(2), f = x; otherwise 1 + x is
 * halved. */
static inline REAL NAME(log1p_of_unit)(REAL x)
{
    const int low = x < REAL_C(0.41421356237309505);
    return NAME(log_sum)(low ? 0 : 1, low ? x : REAL_C(0.5) * (x - 1));
}

static inline REAL NAME(log1p)(REAL x)
{
    const REAL inside = NAME(abs_)(x) < TINY ? x : NAME(log1p_inside)(x);
    const REAL below = x == -1 ? -(REAL)INFINITY : (REAL)NAN;
    return x > -1 ? (x == (REAL)INFINITY ? x : inside) : below;
}

static inline REAL NAME(tanh)(REAL x)
{
    REAL a = NAME(abs_)(x);
    a = a > TANH_HIGH ? TANH_HIGH : a;
    const REAL e = NAME(expm1_inside)(2 * a);
    return NAME(with_sign)(e / (e + 2), x);
}

static inline REAL NAME(sigmoid)(REAL x)
{
    const REAL e = NAME(exp_below)(-NAME(abs_)(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}

/* Returns q and n, where exp(-weight x^2) = 2^n (1 + q). exp multiplies the relative error of x^2 by x^2, so the square
 * is computed in two parts, of which the high one is exact. weight must be a power of 2, and weight x^2 <= -2 EXP_LOW. */
static inline REAL NAME(gauss_reduced)(REAL x, REAL weight, BITS *n)
{
    const REAL high = NAME(real)(NAME(bits)(x) & ~(((BITS)1 << ((MANTISSA + 2) / 2)) - 1));
    return NAME(expm1_reduced)(-weight * (high * high), -weight * ((x - high) * (x + high)), n);
}

/* Returns w, where exp(a^2) erfc(a) = (1 + w) / below and 0 <= a <= ERFC_HIGH. Near a = 0, where t changes fastest, w
 * is almost constant (9/8 is close to -erfc'(0)), so that the rounding of t has little effect. */
static inline REAL NAME(erfcx_reduced)(REAL a, REAL *below)
{
    const REAL t = ERFCX_PLACE / (a + ERFCX_PLACE), u = t - ERFCX_CENTER, u2 = u * u;
    *below = 1 + REAL_C(1.125) * a;
    return ERFCX_SERIES(u, u2);
}

/* Returns erfc(a) for a >= 0. */
static inline REAL NAME(erfc_above)(REAL a)
{
    a = a > ERFC_HIGH ? ERFC_HIGH : a;
    BITS n;
    REAL below;
    const REAL q = NAME(gauss_reduced)(a, 1, &n), w = NAME(erfcx_reduced)(a, &below);
    return NAME(scaled)((1 + (q + (w + q * w))) / below, n);
}

static inline REAL NAME(erfc)(REAL x)
{
    const REAL tail = NAME(erfc_above)(NAME(abs_)(x));
    return x < 0 ? 2 - tail : tail;
}

static inline REAL NAME(erf)(REAL x)
{
    const REAL a = NAME(abs_)(x), s = x * x, s2 = s * s;
    const REAL near = x + x * ERF_SERIES(s, s2);
    return a < REAL_C(0.75) ? near : NAME(with_sign)(1 - NAME(erfc_above)(a), x);
}
