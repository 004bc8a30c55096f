/* Dropout of dense rows and of the stored elements of sparse rows. Part of one_precision.h. */

static void NAME(dropout)(ptrdiff_t n_rows, ptrdiff_t n_cols, const uint8_t *masks, ptrdiff_t ldm,
                          uint64_t key, ptrdiff_t first_row, double rate, const void *A_, ptrdiff_t lda,
                          void *D_, ptrdiff_t ldd)
{
    const REAL *A = A_, factor = (REAL)(1 / (1 - rate));
    REAL *D = D_;
    ASSERT_BLOCK(n_rows, n_cols, lda);
    ASSERT_BLOCK(n_rows, n_cols, ldd);
    assert(0 <= rate && rate < 1 && (!masks || n_rows <= 1 || ldm >= n_cols));
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
            const uint32_t low_key = (uint32_t)row_key, high_key = (uint32_t)(row_key >> 32);
            IN_PLACE
            for (ptrdiff_t c = 0; c < n_cols; c++)
                d[c] = a[c] * (random_bits((uint32_t)c, low_key, high_key) >= first_kept ? factor : 0);
        }
    }
}

static void NAME(drop_stored)(ptrdiff_t n, const int32_t *columns, uint64_t key, ptrdiff_t row, double rate,
                              const void *values_, void *out_)
{
    const REAL *values = values_, factor = (REAL)(1 / (1 - rate));
    REAL *out = out_;
    const uint32_t first_kept = first_kept_of(rate);
    const uint64_t row_key = next_random(key ^ next_random((uint64_t)row));
    const uint32_t low_key = (uint32_t)row_key, high_key = (uint32_t)(row_key >> 32);
    assert(n >= 0 && 0 <= rate && rate < 1);
    IN_PLACE
    for (ptrdiff_t k = 0; k < n; k++)
        out[k] = values[k] * (random_bits((uint32_t)columns[k], low_key, high_key) >= first_kept ? factor : 0);
}
