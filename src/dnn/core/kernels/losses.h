/* Losses and their gradients. Part of one_precision.h.
 *
 * NAME(<name>_term) returns the loss of one output s with target y, and writes its gradient to ds. par is the parameter
 * of the loss, or of the column. NAME(<name>_run) does the same for contiguous elements. NAME(<name>_block) works on at
 * most MAX_ROWS rows (one row, if n_cols > STRIP): it adds the losses to row_loss, and writes dS times scale, without
 * the sample weights.
 */

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

/* c (r - c/2), where c = r clipped to -delta .. delta: r^2/2, or delta (|r| - delta/2). */
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

/* The loss of a mean m = exp(log_m): m - y + y log(y / m), which is y (exp(t) - 1 - t) with t = log(m / y). Near t = 0
 * its terms cancel, and the series of exp replaces them; 0.34 is within the range of EXP_TAIL. */
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

/* For very negative z, m = softplus(z) underflows: there log m is z, and sigmoid(z) / m is 1. */
static inline REAL NAME(poisson_softplus_term)(REAL z, REAL y, REAL par, REAL *dz)
{
    (void)par;
    const REAL e = NAME(exp_below)(-NAME(abs_)(z));
    const REAL m = (z < 0 ? 0 : z) + NAME(log1p_of_unit)(e);
    const REAL ratio = (z < 0 ? e : 1) / ((1 + e) * m);
    *dz = (m - y) * (z < EXPM1_LOW ? 1 : ratio);
    return NAME(poisson_term)(m, z < EXPM1_LOW ? z : NAME(log)(m), y);
}

/* Writes par of each column, repeated for n_rows rows. */
static void NAME(repeat_par)(ptrdiff_t n_rows, ptrdiff_t n_cols, const double *par, REAL *repeated)
{
    for (ptrdiff_t c = 0; c < n_cols; c++)
        repeated[c] = (REAL)par[c];
    for (ptrdiff_t done = n_cols; done < n_rows * n_cols; done *= 2)
        memcpy(repeated + done, repeated, (size_t)min_(done, n_rows * n_cols - done) * sizeof *repeated);
}

/* Computes the terms of n contiguous elements, and their gradients times scale; ds may be s itself. par: one value per
 * element, or, with of_columns == 0, one value for all of them. */
#define RUN_OF_TERMS(name, of_columns)                                                                       \
    static void NAME(name##_run)(ptrdiff_t n, const REAL *s, const REAL *y, const REAL *par, REAL scale,     \
                                 REAL *term, REAL *ds)                                                       \
    {                                                                                                        \
        const REAL par0 = par[0];                                                                            \
        IN_PLACE                                                                                             \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                  \
            REAL slope;                                                                                      \
            term[i] = NAME(name##_term)(s[i], y[i], of_columns ? par[i] : par0, &slope);                     \
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

/* The loss is log(1 + exp(z)) - y z. Its gradient sigmoid(z) - y is computed as (1 - y) p - y (1 - p), where neither p
 * nor 1 - p comes from a subtraction, so that it is accurate where the loss is small. There are three loops, because
 * each element of a single loop would be a chain of some sixty dependent operations, of which a processor can overlap
 * only a few. */
static void NAME(log_loss_sigmoid_run)(ptrdiff_t n, const REAL *z, const REAL *y, const REAL *par, REAL scale,
                                       REAL *term, REAL *dz)
{
    const REAL keep = 1 - par[0], base = REAL_C(0.5) * par[0]; /* label smoothing makes y into keep y + base */
    REAL e[STRIP];
    assert(n <= STRIP);
    for (ptrdiff_t i = 0; i < n; i++)
        e[i] = NAME(exp_below)(-NAME(abs_)(z[i]));
    IN_PLACE
    for (ptrdiff_t i = 0; i < n; i++)
        term[i] = ((z[i] >= 0 ? z[i] : 0) - (y[i] * keep + base) * z[i]) + NAME(log1p_of_unit)(e[i]);
    IN_PLACE
    for (ptrdiff_t i = 0; i < n; i++) {
        const REAL target = y[i] * keep + base;
        const REAL p = z[i] >= 0 ? 1 : e[i], one_minus_p = z[i] >= 0 ? e[i] : 1; /* both times 1 + e */
        dz[i] = scale * (((1 - target) * p - target * one_minus_p) / (1 + e[i]));
    }
}

/* The block function of a loss that is a sum over elements. of_columns: 1 if each column has a parameter. */
#define ELEMENTWISE_LOSS(name, of_columns)                                                                   \
    static void NAME(name##_block)(const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *S,     \
                                   ptrdiff_t lds, const REAL *Y, ptrdiff_t ldy, const int64_t *classes,      \
                                   double scale, REAL *dS, ptrdiff_t ldds, double *row_loss)                 \
    {                                                                                                        \
        (void)classes;                                                                                       \
        REAL terms[STRIP], slopes[STRIP], pars[of_columns ? STRIP : 1];                                      \
        pars[0] = (REAL)par[0];                                                                              \
        for (ptrdiff_t c = 0; c < n_cols; c += STRIP) {                                                      \
            const ptrdiff_t width = min_(STRIP, n_cols - c);                                                 \
            const int flat = lds == n_cols && ldy == n_cols && (!dS || ldds == n_cols) && n_cols <= STRIP;   \
            const ptrdiff_t n_runs = flat ? 1 : n_rows, run_length = flat ? n_rows * n_cols : width;         \
            if (of_columns)                                                                                  \
                NAME(repeat_par)(flat ? n_rows : 1, width, par + c, pars);                                   \
            for (ptrdiff_t r = 0; r < n_runs; r++)                                                           \
                NAME(name##_run)(run_length, S + r * lds + c, Y + r * ldy + c, pars, (REAL)scale,            \
                                 terms + r * run_length, dS ? dS + r * ldds + c : slopes);                   \
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

static inline double NAME(dot_shifted)(ptrdiff_t n, const REAL *y, const REAL *z, REAL shift)
{
    LANE_SUM(n, (double)y[i] * (double)(z[i] - shift));
}

static inline double NAME(sum_shifted)(ptrdiff_t n, const REAL *z, REAL shift)
{
    LANE_SUM(n, (double)(z[i] - shift));
}

/* E = exp(Z - largest element of the row), but NaN where Z is -inf, so that an infinite logit makes the loss NaN. */
static void NAME(shifted_exp)(ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *restrict Z, ptrdiff_t ldz,
                              const REAL *restrict largest, REAL *restrict E)
{
    for (ptrdiff_t r = 0; r < n_rows; r++)
        for (ptrdiff_t c = 0; c < n_cols; c++)
            E[r * n_cols + c] = Z[r * ldz + c] - largest[r];
    for (ptrdiff_t i = 0; i < n_rows * n_cols; i++)
        E[i] = NAME(exp_below)(E[i]) + 0 * E[i];
}

/* Returns the sum of the elements that are not 1; ones += the number of those that are. */
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

/* others[r] += the sum of the elements of row r that are not 1; ones[r] += the number of those that are. Short rows are
 * summed side by side, column by column. */
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

/* The numerator of dz, see log_loss_softmax_block. */
static inline REAL NAME(softmax_numerator)(REAL e, REAL y, REAL sum_y, REAL sum_e, REAL rest)
{
    const REAL plus = e == 1 ? sum_y - y : e * sum_y;
    const REAL minus = y * (e == 1 ? rest : sum_e);
    return plus - minus;
}

/* With t = z - (largest z of the row), e = exp(t) and rest = sum e - 1, which is computed without adding the largest term:
 * loss = log1p(rest) sum y - sum y t,  dz = (e sum y - y sum e) / sum e.
 * Where e = 1 the last numerator is computed as (sum y - y) - y rest, which loses no digits where the loss is small. Label
 * smoothing makes y into keep y + base, which has the same sum. */
static void NAME(log_loss_softmax_block)(const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *S,
                                         ptrdiff_t lds, const REAL *Y, ptrdiff_t ldy, const int64_t *classes,
                                         double scale, REAL *dS, ptrdiff_t ldds, double *row_loss)
{
    const double smoothing = par[0];
    const REAL keep = (REAL)(1 - smoothing);
    REAL E[STRIP], largest[MAX_ROWS], rest[MAX_ROWS], logs[MAX_ROWS];
    double others[MAX_ROWS], ones[MAX_ROWS], y_sum[MAX_ROWS], yt_sum[MAX_ROWS];

    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const REAL *z = S + r * lds, *y = Y ? Y + r * ldy : NULL;
        assert(y || (0 <= classes[r] && classes[r] < n_cols));
        others[r] = ones[r] = 0;
        largest[r] = NAME(max_)(n_cols, z);
        y_sum[r] = y ? NAME(sum)(n_cols, y) : 1;
        yt_sum[r] = y ? NAME(dot_shifted)(n_cols, y, z, largest[r]) : (double)z[classes[r]] - (double)largest[r];
        if (smoothing != 0)
            yt_sum[r] = (1 - smoothing) * yt_sum[r] +
                        smoothing * y_sum[r] / (double)n_cols * NAME(sum_shifted)(n_cols, z, largest[r]);
    }
    for (ptrdiff_t c = 0; c < n_cols; c += STRIP) {
        const ptrdiff_t width = min_(STRIP, n_cols - c);
        NAME(shifted_exp)(n_rows, width, S + c, lds, largest, E);
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
        if (n_cols > STRIP) /* E is that of the last strip */
            NAME(shifted_exp)(n_rows, width, S + c, lds, largest, E);
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
    assert(0 <= loss && loss < (int)(sizeof blocks / sizeof *blocks));
    ASSERT_BLOCK(n_rows, n_cols, lds);
    assert(Y_ ? n_rows <= 1 || ldy >= n_cols : classes && dnn_losses[loss].classes);
    assert(!dS_ || n_rows <= 1 || (ldds >= n_cols && (dS_ != S_ || ldds == lds)));
    static const double none[1] = {0};
    if (dnn_losses[loss].n_par == 0)
        par = none;
    const double cap = dnn_losses[loss].n_par == 2 ? par[1] : 0;
    /* Neither a weight nor the scale, which is 1 / (their sum), need be in the range of REAL; their product is. So the
     * scale's power of two is moved to the weights, which are doubles. That changes no digit. */
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
            /* With a cap the loss is that of scikit-learn, which for y = 0 and one column computes log(1 - p). For a
             * loss above 8, p is so near 1 that its rounding changes the loss in double precision, by a hundredth and
             * more. dS may have overwritten S by now, but e^-z is 1 / (e^loss - 1). In float32 the difference is not
             * compared. */
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
