/* Packing: operands are copied in the order in which the micro-kernels read them. Part of one_precision.h.
 *
 *     B (KC, NC) in panels of NR columns              A (MC, KC) in slivers of MR rows
 *     row 0:  b00 b01 .. | b0,NR ..                   a00 a10 a20 a30 | a01 a11 a21 a31 | ...     first sliver
 *     row 1:  b10 b11 .. | b1,NR ..                   a40 a50 a60 a70 | a41 ...                   second sliver
 *     panel 0: b00 b01 .. b10 b11 ..  panel 1: ...
 *
 * A sliver is the part of A that MR rows of C depend on, in the order in which the micro-kernel reads it: it shares no
 * cache lines with values that are not needed, and is on one page instead of MR pages.
 */

/* Returns the columns of the next panel, if `left` columns are left. Four vectors that are left become two panels of
 * two vectors, instead of one of three and one of one. */
INLINE ptrdiff_t NAME(panel_width)(ptrdiff_t left)
{
    return NR == 3 * N_LANES && left > NR && left <= 4 * N_LANES ? 2 * N_LANES : min_(NR, left);
}

/* Packs `width` columns of n rows of a matrix, from `column` on, with ld elements from row to row of the copy; a full
 * panel (width == NR) is the fastest case. Rows of a wide matrix share few lines of the cache, and each is on a
 * different page; the rows of a panel are contiguous. */
static void NAME(pack_panel)(ptrdiff_t n, ptrdiff_t width, const REAL *A, ptrdiff_t lda, const void *const *rows,
                             ptrdiff_t column, REAL *to, ptrdiff_t ld)
{
    const ptrdiff_t whole = width / N_LANES * N_LANES;
    const MASK mask = MASK_OF(width - whole);
    for (ptrdiff_t r = 0; r < n; r++, A += lda, to += ld) {
        const REAL *a = (rows ? (const REAL *)rows[r] : A) + column;
        if (width == NR)
            UNROLL
            for (int j = 0; j < NR; j += N_LANES) {
                __builtin_prefetch(a + PACK_AHEAD * lda + j);
                STORE(to + j, LOAD(a + j));
            }
        else {
            for (ptrdiff_t j = 0; j < whole; j += N_LANES)
                STORE(to + j, LOAD(a + j));
            if (whole < width)
                STORE_PART(mask, to + whole, LOAD_PART(mask, a + whole));
        }
    }
}

/* Packs n_cols columns of n rows of B in panels, one after the other. Full panels are packed together row by row,
 * because their rows are contiguous in B. */
static void NAME(pack_panels)(ptrdiff_t n, ptrdiff_t n_cols, const REAL *B, ptrdiff_t ldb, REAL *to)
{
    ptrdiff_t whole = 0;
    while (n_cols - whole * NR >= NR && NAME(panel_width)(n_cols - whole * NR) == NR)
        whole++;
    if (whole > 1)
        for (ptrdiff_t r = 0; r < n; r++) {
            const REAL *b = B + r * ldb;
            REAL *panel = to + r * NR;
            for (ptrdiff_t c = 0; c < whole * NR; c += 64 / SIZE)
                __builtin_prefetch(b + PACK_AHEAD * ldb + c);
            for (ptrdiff_t q = 0; q < whole; q++, b += NR, panel += n * NR)
                UNROLL
                for (int j = 0; j < NR; j += N_LANES)
                    STORE(panel + j, LOAD(b + j));
        }
    else
        whole = 0;
    for (ptrdiff_t c = whole * NR, width; c < n_cols; c += width, whole++) {
        width = NAME(panel_width)(n_cols - c);
        NAME(pack_panel)(n, width, B + c, ldb, NULL, 0, to + whole * n * NR, NR);
    }
}

/* Packs slivers of A for gemm_nn: MR rows each, summand by summand, for the summands k .. k + depth. */
static void NAME(pack_slivers)(ptrdiff_t n_rows, ptrdiff_t depth, const REAL *A, ptrdiff_t lda, const void *const *rows,
                               ptrdiff_t k, REAL *to)
{
    for (ptrdiff_t r = 0; r < n_rows; r += MR, to += MR * depth) {
        const REAL *a[MR];
        for (int i = 0; i < MR; i++) {
            const ptrdiff_t row = min_(r + i, n_rows - 1); /* rows after the last one repeat it, and are not used */
            a[i] = (rows ? (const REAL *)rows[row] : A + row * lda) + k;
        }
        for (ptrdiff_t d = 0; d < depth; d++)
            for (int i = 0; i < MR; i++)
                to[MR * d + i] = a[i][d];
    }
}

/* Packs slivers of A for gemm_tn: MR columns each of n rows of A, `ld` elements from sliver to sliver. */
static void NAME(pack_sliver_columns)(ptrdiff_t n, ptrdiff_t width, const REAL *A, ptrdiff_t lda, const void *const *rows,
                                      ptrdiff_t column, REAL *to, ptrdiff_t ld)
{
    for (ptrdiff_t r = 0; r < n; r++, A += lda, to += MR) {
        const REAL *a = (rows ? (const REAL *)rows[r] : A) + column;
        ptrdiff_t i = 0;
        for (ptrdiff_t c = 0; !rows && c < width; c += 64 / SIZE)
            __builtin_prefetch(a + PACK_SLIVERS_AHEAD * lda + c);
        for (; i + MR <= width; i += MR)
            memcpy(to + i / MR * ld, a + i, MR * SIZE);
        memcpy(to + i / MR * ld, a + i, (size_t)(width - i) * SIZE);
    }
}
