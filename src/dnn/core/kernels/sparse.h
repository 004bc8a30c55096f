/* Products with a sparse matrix, by its stored elements. Part of one_precision.h. */

static inline void NAME(prefetch_row)(const REAL *row, ptrdiff_t n_cols)
{
    const ptrdiff_t n_bytes = min_(n_cols * (ptrdiff_t)sizeof *row, STORED_BYTES);
    for (ptrdiff_t at = 0; at < n_bytes; at += 64)
        __builtin_prefetch((const char *)row + at);
}

/* Four elements are computed together. The bits are those of one element after another: each adds one product, in order. */
static void NAME(gather_add)(ptrdiff_t n, const int32_t *columns, const void *values_, ptrdiff_t n_cols,
                             const void *B_, ptrdiff_t ldb, void *c_)
{
    const REAL *values = values_, *B = B_;
    REAL *restrict c = c_;
    ptrdiff_t k = 0;
    assert(n >= 0 && n_cols >= 0 && ldb >= n_cols);
    for (; k + 4 <= n; k += 4) {
        assert(columns[k] >= 0 && columns[k + 1] >= 0 && columns[k + 2] >= 0 && columns[k + 3] >= 0);
        const REAL *restrict b0 = B + columns[k] * ldb, *restrict b1 = B + columns[k + 1] * ldb;
        const REAL *restrict b2 = B + columns[k + 2] * ldb, *restrict b3 = B + columns[k + 3] * ldb;
        const REAL v0 = values[k], v1 = values[k + 1], v2 = values[k + 2], v3 = values[k + 3];
        for (ptrdiff_t ahead = k + STORED_AHEAD; ahead < min_(k + STORED_AHEAD + 4, n); ahead++)
            NAME(prefetch_row)(B + columns[ahead] * ldb, n_cols);
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
    assert(n >= 0 && n_cols >= 0 && ldc >= n_cols);
    for (ptrdiff_t k = 0; k < n; k++) {
        assert(columns[k] >= 0 && rows[k] >= 0);
        const REAL *restrict b = B + rows[k] * ldb, v = values[k];
        REAL *restrict c = C + columns[k] * ldc;
        if (k + STORED_AHEAD < n)
            NAME(prefetch_row)(B + rows[k + STORED_AHEAD] * ldb, n_cols);
        if (seen[columns[k]])
            for (ptrdiff_t j = 0; j < n_cols; j++)
                c[j] += v * b[j];
        else
            for (ptrdiff_t j = 0; j < n_cols; j++)
                c[j] = v * b[j];
        seen[columns[k]] = 1;
    }
}
