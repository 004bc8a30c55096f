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

/* Every caller counts all elements, and writes those of its own columns. Rows in a random order are not in the cache of
 * the core, and are prefetched. */
static void NAME(sort_stored)(ptrdiff_t n_rows, const int64_t *order, ptrdiff_t begin, const int64_t *indptr,
                              const int32_t *columns, const void *values_, ptrdiff_t n_columns, ptrdiff_t first,
                              ptrdiff_t last, int64_t *restrict begins, int64_t *restrict next, int32_t *restrict rows,
                              void *out_)
{
    const REAL *values = values_;
    REAL *restrict out = out_;
    assert(n_rows >= 0 && 0 <= first && first <= last && last <= n_columns);
    memset(begins, 0, (size_t)(n_columns + 1) * sizeof *begins);
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const ptrdiff_t x = order ? order[r] : begin + r;
        if (r + ROWS_AHEAD < n_rows) {
            const ptrdiff_t ahead = order ? order[r + ROWS_AHEAD] : x + ROWS_AHEAD;
            for (ptrdiff_t k = indptr[ahead]; k < indptr[ahead + 1]; k += 64 / 4) {
                __builtin_prefetch(columns + k);
                __builtin_prefetch(values + k);
            }
        }
        for (ptrdiff_t k = indptr[x]; k < indptr[x + 1]; k++)
            begins[columns[k] + 1]++;
    }
    for (ptrdiff_t c = 0; c < n_columns; c++) {
        next[c] = begins[c];
        begins[c + 1] += begins[c];
    }
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        const ptrdiff_t x = order ? order[r] : begin + r;
        for (ptrdiff_t k = indptr[x]; k < indptr[x + 1]; k++) {
            const ptrdiff_t c = columns[k];
            if (first <= c && c < last) {
                rows[next[c]] = (int32_t)r;
                out[next[c]++] = values[k];
            }
        }
    }
}
