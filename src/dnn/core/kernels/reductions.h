/* Sums, checks and other loops over elements. Part of one_precision.h. */

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

/* Returns `size` with the sign of x, or x itself if it is 0 or NaN. */
static inline REAL NAME(signed_step)(REAL x, REAL size)
{
    return x > 0 ? size : x < 0 ? -size : x;
}

static inline double NAME(sum_of_magnitudes)(ptrdiff_t n, const REAL *x, ptrdiff_t step)
{
    LANE_SUM(n, (double)NAME(abs_)(x[i * step]));
}

/* Returns the largest element that is not NaN, -inf if there is none. */
static inline REAL NAME(max_)(ptrdiff_t n, const REAL *x)
{
    REAL largest = -(REAL)INFINITY;
    ptrdiff_t i = 0;
    if (n >= LANES) {
        REAL lane[LANES];
        for (int l = 0; l < LANES; l++)
            lane[l] = largest;
        for (; i + LANES <= n; i += LANES) {
            EACH_LANE
            for (int l = 0; l < LANES; l++)
                lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
        }
        for (int l = 0; l < LANES; l++)
            largest = lane[l] > largest ? lane[l] : largest;
    }
    for (; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* row_sums[r] += sum of row r of X, whose rows are contiguous. */
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

/* Multiplies row r of X by factors[r] * unit, which is rounded to REAL once. */
static void NAME(scale_rows)(ptrdiff_t n_rows, ptrdiff_t n_cols, const double *restrict factors, double unit,
                             REAL *restrict X, ptrdiff_t ldx)
{
    if (n_cols == 1 && ldx == 1)
        for (ptrdiff_t r = 0; r < n_rows; r++)
            X[r] *= (REAL)(factors[r] * unit);
    else
        for (ptrdiff_t r = 0; r < n_rows; r++)
            for (ptrdiff_t c = 0; c < n_cols; c++)
                X[r * ldx + c] *= (REAL)(factors[r] * unit);
}

/* out += sums over the rows of X, where n_cols <= WIDTH and `times` rows together fill at most WIDTH lanes. A call with
 * a constant n_cols keeps the lanes in registers. An example with n_cols = 3, times = 2:
 *
 *     lanes      a0 a1 a2 b0 b1 b2     row 0, row 1
 *              + c0 c1 c2 d0 d1 d2     row 2, row 3
 *     out     += the first three lanes + the last three lanes */
static inline void NAME(add_block_sums)(ptrdiff_t n_rows, ptrdiff_t times, ptrdiff_t n_cols, const REAL *X,
                                        ptrdiff_t ldx, REAL *restrict out)
{
    assert(times >= 1 && times * n_cols <= WIDTH);
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

/* Blocks of BLOCK_ROWS rows are summed first, and then added, so that the error grows with BLOCK_ROWS + n_rows / BLOCK_ROWS
 * instead of n_rows. Blocks of short rows have several times as many rows: as many as fit side by side. */
static void NAME(column_sums)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *X_, ptrdiff_t ldx, void *out_)
{
    const REAL *X = X_;
    REAL *out = out_;
    const ptrdiff_t times = n_rows > 0 ? min_(rows_within(WIDTH, n_cols), n_rows) : 1;
    ASSERT_BLOCK(n_rows, n_cols, ldx);
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

static int NAME(all_finite)(ptrdiff_t n, const void *x_)
{
    const REAL *x = x_;
    REAL lane[WIDTH] = {0}, sum = 0;
    ptrdiff_t i = 0;
    assert(n >= 0);
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
    const REAL real_factor = (REAL)factor;
    ASSERT_BLOCK(n_rows, n_cols, ldx);
    if (ldx == n_cols)
        n_cols *= n_rows, n_rows = 1;
    for (ptrdiff_t r = 0; r < n_rows; r++)
        for (ptrdiff_t c = 0; c < n_cols; c++)
            X[r * ldx + c] *= real_factor;
}

static void NAME(add)(ptrdiff_t n, const void *x_, const void *y_, void *sum_)
{
    const REAL *x = x_, *y = y_;
    REAL *sum = sum_;
    assert(n >= 0);
    IN_PLACE
    for (ptrdiff_t i = 0; i < n; i++)
        sum[i] = x[i] + y[i];
}

static void NAME(average)(ptrdiff_t n, double rate, const void *x_, void *mean_)
{
    const REAL *restrict x = x_, real_rate = (REAL)rate;
    REAL *restrict mean = mean_;
    assert(n >= 0);
    for (ptrdiff_t i = 0; i < n; i++)
        mean[i] += real_rate * (x[i] - mean[i]);
}
