/* Activations and their slopes. Part of one_precision.h.
 *
 * NAME(<name>_value) is f(z). NAME(<name>_slope) is f'(z), computed from a = f(z), or from z if the activation has
 * slope_from_z in kernels.h. In comments e = exp(-|z|).
 */

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

/* Comparisons are written so that a NaN is returned, and the slope of a NaN is 1. */
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

/* Klambauer et al. (2017), section 2: with this alpha and scale, outputs have mean 0 and variance 1 if inputs do. */
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
 * z Phi(z) = max(z, 0) - a Phi(-a),  Phi(z) + z phi(z) = 1 - p or p, where p = Phi(-a) - a phi(a). Both tails are
 * products with exp(-a^2 / 2), so that they lose no digits to cancellation. */
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
    const REAL e = NAME(exp_below)(-NAME(abs_)(w)), inverse = 1 / (1 + e);
    const REAL zw = z * (GELU_B + 3 * GELU_C * square);
    return (z < 0 ? e : 1) * inverse * (1 + zw * ((z < 0 ? 1 : e) * inverse));
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
    const REAL e = NAME(exp_below)(-NAME(abs_)(z)), inverse = 1 / (1 + e);
    return (z < 0 ? e : 1) * inverse * (1 + z * ((z < 0 ? 1 : e) * inverse));
}

/* z t and t + z (1 - t^2) sigmoid(z), t = tanh(log(1 + exp(z))). With e = exp(-|z|), and with f = e for z < 0,
 * 1 otherwise: t = f numer / denom, 1 - t^2 = 4 (e / f)^2 (1 + e)^2 / denom^2, sigmoid(z) = f / (1 + e). */
static inline REAL NAME(mish_value)(REAL z, const REAL *par)
{
    (void)par;
    const REAL e = NAME(exp_below)(-NAME(abs_)(z)), c0 = z < 0 ? 2 : 1, c2 = z < 0 ? 1 : 2;
    const REAL numer = c0 + c2 * e, denom = c0 + e * (2 + c2 * e);
    return (z < 0 ? NAME(within)(z, -EXP_LOW) * e : z) * (numer / denom);
}

static inline REAL NAME(mish_slope)(REAL z, const REAL *par)
{
    (void)par;
    z = NAME(within)(z, -EXP_LOW);
    const REAL e = NAME(exp_below)(-NAME(abs_)(z)), c0 = z < 0 ? 2 : 1, c2 = z < 0 ? 1 : 2;
    const REAL numer = c0 + c2 * e, inverse = 1 / (c0 + e * (2 + c2 * e));
    const REAL product = 4 * z * (z < 0 ? 1 : e * e) * (1 + e);
    return (z < 0 ? e : 1) * inverse * (numer + product * inverse);
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

/* The rows are shifted by their largest element. Then exp runs through all rows in one loop if they are contiguous,
 * because rows may be short. */
static void NAME(softmax_activate)(const REAL *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *Z,
                                   ptrdiff_t ldz, REAL *A, ptrdiff_t lda)
{
    (void)par;
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const REAL *z = Z + r * ldz;
        REAL *a = A + r * lda;
        const REAL largest = NAME(max_)(n_cols, z);
        IN_PLACE
        for (ptrdiff_t c = 0; c < n_cols; c++)
            a[c] = z[c] - largest;
    }
    const ptrdiff_t n_runs = lda == n_cols ? 1 : n_rows, run_length = lda == n_cols ? n_rows * n_cols : n_cols;
    for (ptrdiff_t r = 0; r < n_runs; r++)
        for (ptrdiff_t i = 0; i < run_length; i++)
            A[r * lda + i] = NAME(exp_below)(A[r * lda + i]);
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        REAL *a = A + r * lda;
        const REAL factor = (REAL)(1 / NAME(sum)(n_cols, a));
        for (ptrdiff_t c = 0; c < n_cols; c++)
            a[c] *= factor;
    }
}

static void NAME(softmax_backward)(const REAL *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *A,
                                   ptrdiff_t lda, const REAL *dA, ptrdiff_t ldda, REAL *dZ, ptrdiff_t lddz)
{
    (void)par;
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const REAL *a = A + r * lda, *da = dA + r * ldda;
        REAL *dz = dZ + r * lddz;
        const REAL weighted_mean = (REAL)NAME(dot)(n_cols, a, da); /* sum_j A_j dA_j */
        IN_PLACE
        for (ptrdiff_t c = 0; c < n_cols; c++)
            dz[c] = a[c] * (da[c] - weighted_mean);
    }
}

/* ELEMENTWISE_<row_wise>(name) defines the functions of an element-wise activation, and nothing for a row-wise one. */
#define ELEMENTWISE_0(name)                                                                                  \
    static void NAME(name##_activate)(const REAL *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *Z,    \
                                      ptrdiff_t ldz, REAL *A, ptrdiff_t lda)                                 \
    {                                                                                                        \
        const REAL copied[DNN_MAX_PAR] = {par[0], par[1]}; /* by the rules of C, A might overlap par */      \
        if (ldz == n_cols && lda == n_cols)                                                                  \
            n_cols *= n_rows, n_rows = 1;                                                                    \
        for (ptrdiff_t r = 0; r < n_rows; r++) {                                                             \
            IN_PLACE                                                                                         \
            for (ptrdiff_t c = 0; c < n_cols; c++)                                                           \
                A[r * lda + c] = NAME(name##_value)(Z[r * ldz + c], copied);                                 \
        }                                                                                                    \
    }                                                                                                        \
    static void NAME(name##_backward)(const REAL *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *V,    \
                                      ptrdiff_t ldv, const REAL *dA, ptrdiff_t ldda, REAL *dZ,               \
                                      ptrdiff_t lddz)                                                        \
    {                                                                                                        \
        const REAL copied[DNN_MAX_PAR] = {par[0], par[1]};                                                   \
        if (ldv == n_cols && ldda == n_cols && lddz == n_cols)                                               \
            n_cols *= n_rows, n_rows = 1;                                                                    \
        for (ptrdiff_t r = 0; r < n_rows; r++) {                                                             \
            IN_PLACE                                                                                         \
            for (ptrdiff_t c = 0; c < n_cols; c++)                                                           \
                dZ[r * lddz + c] = dA[r * ldda + c] * NAME(name##_slope)(V[r * ldv + c], copied);            \
        }                                                                                                    \
    }
#define ELEMENTWISE_1(name)
#define ROW(name, row_wise, slope_from_z, init, output, n_par, par0) ELEMENTWISE_##row_wise(name)
DNN_ACTIVATIONS(ROW)
#undef ROW
#undef ELEMENTWISE_0
#undef ELEMENTWISE_1

/* Z += b. If rows are short and contiguous, b is repeated, and added to several rows at once. */
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
    assert(0 <= activation && activation < (int)(sizeof blocks / sizeof *blocks));
    ASSERT_BLOCK(n_rows, n_cols, ldz);
    ASSERT_BLOCK(n_rows, n_cols, lda);
    REAL *Z = Z_, *A = A_, real_par[DNN_MAX_PAR] = {0};
    for (int i = 0; i < dnn_activations[activation].n_par; i++)
        real_par[i] = (REAL)par[i];
    /* There are several passes over a block, which is so small that it stays in L1. */
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
    assert(0 <= activation && activation < (int)(sizeof blocks / sizeof *blocks));
    ASSERT_BLOCK(n_rows, n_cols, ldv);
    ASSERT_BLOCK(n_rows, n_cols, ldda);
    ASSERT_BLOCK(n_rows, n_cols, lddz);
    REAL real_par[DNN_MAX_PAR] = {0};
    for (int i = 0; i < dnn_activations[activation].n_par; i++)
        real_par[i] = (REAL)par[i];
    blocks[activation](real_par, n_rows, n_cols, V, ldv, dA, ldda, dZ, lddz);
}
