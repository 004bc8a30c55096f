/* The products of a sparse matrix with segments: see core/sparse.pxi. Part of one_precision.h.
 *
 * A strip of columns of the result is in registers while all elements of a row, or of a segment, are read. A strip of the
 * gradient has two sums per column, and a vector of B is in a register too.
 */

#if defined(__AVX2__)
/* Calls a function for strips of the n_cols columns from left to right, from column j on: of `most` vectors (4 or 8), then
 * of 4, 2 and 1, and last for the lanes that remain. */
#define EACH_STRIP(most, function, ...)                                                                      \
    for (ptrdiff_t j = 0, left = n_cols, width; j < n_cols; j += width, left -= width) {                     \
        const MASK mask = MASK_OF(left < N_LANES ? left : 0);                                                \
        if (left >= (width = most * N_LANES))                                                                \
            function(most, true, mask, __VA_ARGS__);                                                         \
        else if (left >= (width = 4 * N_LANES))                                                              \
            function(4, true, mask, __VA_ARGS__);                                                            \
        else if (left >= (width = 2 * N_LANES))                                                              \
            function(2, true, mask, __VA_ARGS__);                                                            \
        else if (left >= (width = N_LANES))                                                                  \
            function(1, true, mask, __VA_ARGS__);                                                            \
        else                                                                                                 \
            function(1, false, mask, __VA_ARGS__);                                                           \
    }

INLINE vreal NAME(load_piece)(const REAL *p, const bool whole, MASK mask)
{
    return whole ? LOAD(p) : LOAD_PART(mask, p);
}

INLINE void NAME(store_piece)(REAL *p, vreal v, const bool whole, MASK mask)
{
    if (whole)
        STORE(p, v);
    else
        STORE_PART(mask, p, v);
}

/* The strip has n_vectors whole vectors, or the first lanes of one vector, which the mask has. */
INLINE void NAME(gather_strip)(const int n_vectors, const bool whole, MASK mask, ptrdiff_t n,
                               const int32_t *columns, const REAL *values, const int32_t *segments,
                               const REAL *B, const REAL *P, ptrdiff_t ldb, REAL *c)
{
    vreal sum[GATHER_VECTORS];
    UNROLL
    for (int j = 0; j < n_vectors; j++)
        sum[j] = SET(0);
    for (ptrdiff_t k = 0; k < n; k++) {
        const ptrdiff_t at = columns[k] * ldb;
        const vreal v = SET(values[k]);
        if (segments[columns[k]] >= 0)
            UNROLL
            for (int j = 0; j < n_vectors; j++)
                sum[j] = ADD(sum[j], NAME(load_piece)(P + at + j * N_LANES, whole, mask));
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            sum[j] = FMA(v, NAME(load_piece)(B + at + j * N_LANES, whole, mask), sum[j]);
    }
    UNROLL
    for (int j = 0; j < n_vectors; j++)
        NAME(store_piece)(c + j * N_LANES, sum[j], whole, mask);
}

INLINE void NAME(gradient_strip)(const int n_vectors, const bool whole, MASK mask, ptrdiff_t n,
                                 const int32_t *segments, const int64_t *begins, const int32_t *rows,
                                 const REAL *values, const REAL *B, ptrdiff_t ldb, REAL *C, ptrdiff_t ldc)
{
    vreal sum[GRADIENT_VECTORS], above[GRADIENT_VECTORS]; /* above: of the elements in later columns of the segment */
    UNROLL
    for (int j = 0; j < n_vectors; j++)
        above[j] = SET(0);
    for (ptrdiff_t i = n - 1; i >= 0; i--) {
        const bool plain = segments[i] < 0;
        if (plain || i + 1 == n || segments[i + 1] != segments[i])
            UNROLL
            for (int j = 0; j < n_vectors; j++)
                above[j] = SET(0);
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            sum[j] = above[j];
        if (plain)
            for (int64_t k = begins[i]; k < begins[i + 1]; k++) {
                const vreal v = SET(values[k]);
                const REAL *b = B + rows[k] * ldb;
                UNROLL
                for (int j = 0; j < n_vectors; j++)
                    sum[j] = FMA(v, NAME(load_piece)(b + j * N_LANES, whole, mask), sum[j]);
            }
        else
            for (int64_t k = begins[i]; k < begins[i + 1]; k++) {
                const vreal v = SET(values[k]);
                const REAL *b = B + rows[k] * ldb;
                UNROLL
                for (int j = 0; j < n_vectors; j++) {
                    const vreal x = NAME(load_piece)(b + j * N_LANES, whole, mask);
                    sum[j] = FMA(v, x, sum[j]);
                    above[j] = ADD(above[j], x);
                }
            }
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            NAME(store_piece)(C + i * ldc + j * N_LANES, sum[j], whole, mask);
    }
}

static void NAME(gather_segments)(ptrdiff_t n, const int32_t *columns, const void *values_, const int32_t *segments,
                                  ptrdiff_t n_cols, const void *B_, const void *P_, ptrdiff_t ldb, void *c_)
{
    const REAL *values = values_, *B = B_, *P = P_;
    REAL *c = c_;
    assert(n >= 0 && n_cols >= 0 && ldb >= n_cols);
    EACH_STRIP(GATHER_VECTORS, NAME(gather_strip), n, columns, values, segments, B + j, P + j, ldb, c + j)
}

static void NAME(gradient_segments)(ptrdiff_t n, const int32_t *segments, const int64_t *begins, const int32_t *rows,
                                    const void *values_, ptrdiff_t n_cols, const void *B_, ptrdiff_t ldb, void *C_,
                                    ptrdiff_t ldc)
{
    const REAL *values = values_, *B = B_;
    REAL *C = C_;
    assert(n >= 0 && n_cols >= 0 && ldc >= n_cols);
    EACH_STRIP(GRADIENT_VECTORS, NAME(gradient_strip), n, segments, begins, rows, values, B + j, ldb, C + j, ldc)
}
#undef EACH_STRIP
#else
static void NAME(gather_segments)(ptrdiff_t n, const int32_t *columns, const void *values_, const int32_t *segments,
                                  ptrdiff_t n_cols, const void *B_, const void *P_, ptrdiff_t ldb, void *c_)
{
    const REAL *values = values_, *B = B_, *P = P_;
    REAL *restrict c = c_;
    assert(n >= 0 && n_cols >= 0 && ldb >= n_cols);
    memset(c, 0, (size_t)n_cols * sizeof *c);
    for (ptrdiff_t k = 0; k < n; k++) {
        const REAL *restrict b = B + columns[k] * ldb, *restrict p = P + columns[k] * ldb, v = values[k];
        if (segments[columns[k]] >= 0)
            for (ptrdiff_t j = 0; j < n_cols; j++)
                c[j] += p[j] + v * b[j];
        else
            for (ptrdiff_t j = 0; j < n_cols; j++)
                c[j] += v * b[j];
    }
}

static void NAME(gradient_segments)(ptrdiff_t n, const int32_t *segments, const int64_t *begins, const int32_t *rows,
                                    const void *values_, ptrdiff_t n_cols, const void *B_, ptrdiff_t ldb, void *C_,
                                    ptrdiff_t ldc)
{
    const REAL *values = values_, *B = B_;
    REAL *C = C_;
    assert(n >= 0 && n_cols >= 0 && ldc >= n_cols);
    for (ptrdiff_t i = 0; i < n; i++)
        memset(C + i * ldc, 0, (size_t)n_cols * sizeof *C);
    for (ptrdiff_t i = n - 1; i >= 0; i--) {
        const bool before = i > 0 && segments[i] >= 0 && segments[i - 1] == segments[i];
        REAL *restrict c = C + i * ldc, *restrict d = before ? c - ldc : c;
        if (before) /* the sums of the columns after it, so far in c, go on to the column before */
            memcpy(d, c, (size_t)n_cols * sizeof *C);
        for (int64_t k = begins[i]; k < begins[i + 1]; k++) {
            const REAL *restrict b = B + rows[k] * ldb, v = values[k];
            for (ptrdiff_t j = 0; j < n_cols; j++)
                c[j] += v * b[j];
            for (ptrdiff_t j = 0; before && j < n_cols; j++)
                d[j] += b[j];
        }
    }
}
#endif
