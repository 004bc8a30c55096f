/* gemm_tn: C (M, N) = A' B over K rows of A (K, M) and B (K, N): the gradient dW = A_prev' dZ, summed over the rows of
 * a batch. A and B may be given by pointers to their rows, and by their first column. Part of one_precision.h.
 *
 *     for k in K by KC_TN                         a block of summands: rows of A and B
 *         for i in M by MC             pack A (KC_TN, MC), in slivers with AVX2      [gathered rows, or if worthwhile]
 *             for panel in N by NR     pack B (KC_TN, NR)                            [gathered rows, or if worthwhile]
 *                 for block in MC by MR           tn_block: MR x NR of C are in registers; meanwhile, the matrices that
 *                                                 an update of this block reads and writes are prefetched
 *
 * The order of additions: a sum is cut into blocks of at most KC_TN summands, of equal length. Each block is summed
 * from its first to its last summand, and the sums of the blocks are added in order. This is a function of K alone.
 */

_Static_assert(KC * NR * SIZE + PACK_A_BYTES <= DNN_WORKSPACE_BYTES, "packed operands of a sum over rows");
_Static_assert(DNN_STREAM_ROWS_MAX * 2 * sizeof(vreal) <= STREAM_BYTES && STREAM_BYTES <= DNN_WORKSPACE_BYTES,
               "columns and sums of rows that are read in sequence");

/* The micro-kernel: n_rows rows of n_vectors vectors of C, over n rows of A and B. part: the last vector is not full.
 * prefetch: whether A is prefetched. first: C is overwritten; otherwise the sum is added to it. */
INLINE void NAME(tn_block)(const int n_rows, const int n_vectors, const bool part, const bool prefetch, ptrdiff_t n,
                           const REAL *a, ptrdiff_t lda, const REAL *b, ptrdiff_t ldb, MASK mask, bool first, REAL *C,
                           ptrdiff_t ldc)
{
    vreal sum[BLOCK_ROWS_MAX][BLOCK_VECTORS_MAX];
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            sum[i][j] = SET(0);
    UNROLL_SUM_2
    for (ptrdiff_t r = 0; r < n; r++) {
        vreal row[BLOCK_VECTORS_MAX]; /* row r of B */
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            row[j] = part && j == n_vectors - 1 ? LOAD_PART(mask, b + j * N_LANES) : LOAD(b + j * N_LANES);
        if (prefetch)
            __builtin_prefetch(a + PREFETCH_ROWS * lda);
        UNROLL
        for (int i = 0; i < n_rows; i++) {
            const vreal factor = SET(a[i]);
            UNROLL
            for (int j = 0; j < n_vectors; j++)
                sum[i][j] = FMA(factor, row[j], sum[i][j]);
        }
        a += lda;
        b += ldb;
    }
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_vectors; j++) {
            REAL *c = C + i * ldc + j * N_LANES;
            if (part && j == n_vectors - 1)
                STORE_PART(mask, c, first ? sum[i][j] : ADD(LOAD_PART(mask, c), sum[i][j]));
            else
                STORE(c, first ? sum[i][j] : ADD(LOAD(c), sum[i][j]));
        }
}

#define BLOCK(R, N)                                                                                          \
    static __attribute__((noinline)) void NAME(tn_##R##_##N)(                                                \
        bool part, ptrdiff_t n, const REAL *a, ptrdiff_t lda, const REAL *b, ptrdiff_t ldb, MASK mask,       \
        bool first, REAL *C, ptrdiff_t ldc)                                                                  \
    {                                                                                                        \
        if (part)                                                                                            \
            NAME(tn_block)(R, N, true, true, n, a, lda, b, ldb, mask, first, C, ldc);                        \
        else if (PACKS_SLIVERS && lda == MR) /* slivers are in L1: there is nothing to prefetch */           \
            NAME(tn_block)(R, N, false, false, n, a, MR, b, ldb, mask, first, C, ldc);                       \
        else                                                                                                 \
            NAME(tn_block)(R, N, false, true, n, a, lda, b, ldb, mask, first, C, ldc);                       \
    }
BLOCKS(BLOCK)
#undef BLOCK

/* Prefetches the parts of other matrices that are read or written when this block of C has been computed. Prefetching
 * all of them before the product would take as long as memory takes, because few cache lines can be in flight at the
 * same time. */
INLINE void NAME(prefetch_block)(const DnnPrefetch *prefetch, ptrdiff_t i, ptrdiff_t j, const int n_rows,
                                 const int n_vectors)
{
    for (int k = 0; k < prefetch->n; k++) {
        const ptrdiff_t stride = prefetch->matrix[k].stride;
        const bool transposed = prefetch->matrix[k].transposed;
        const char *at = prefetch->matrix[k].at + (transposed ? j * stride + i * SIZE : i * stride + j * SIZE);
        const int rows = transposed ? n_vectors * N_LANES : n_rows;
        const int bytes = transposed ? n_rows * SIZE : n_vectors * (int)sizeof(vreal);
        for (int r = 0; r < rows; r++, at += stride)
            for (int b = 0; b < bytes; b += 64)
                __builtin_prefetch(at + b, 1, 2);
    }
}

/* A block of summands for n_rows rows and all columns of C, from n rows of A and B; the columns of B begin at `column`.
 * slivers: A is packed in slivers that are lda apart; otherwise it has rows. packed: memory for a panel of B; NULL: B
 * is not packed. i0: the first of these rows of C in the matrices to prefetch. */
static void NAME(tn_piece)(ptrdiff_t n, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *a, ptrdiff_t lda, bool slivers,
                           const REAL *B, ptrdiff_t ldb, const void *const *rows, ptrdiff_t column, ptrdiff_t panel,
                           REAL *packed, bool first, REAL *C, ptrdiff_t ldc, const DnnPrefetch *prefetch, ptrdiff_t i0)
{
    /* All rows may begin at the same distance after the start of a cache line, as those of NumPy's large arrays do. If
     * the first panel is shorter by that distance, no vector of the other panels crosses two lines. */
    const bool skewed = !packed && ldb * SIZE % 64 == 0 && n_cols >= TN_ALIGN_PANELS * panel;
    const ptrdiff_t skew = skewed ? (ptrdiff_t)((uintptr_t)(B + column) % 64 / SIZE) : 0;
    for (ptrdiff_t j = 0, width; j < n_cols; j += width) {
        width = j == 0 && skew ? panel - skew : min_(panel, NAME(panel_width)(n_cols - j));
        const ptrdiff_t step = packed ? NR : ldb;
        const int n_vectors = (int)((width + N_LANES - 1) / N_LANES);
        const MASK mask = MASK_OF(width - (n_vectors - 1) * N_LANES);
        const REAL *b = packed ? packed : B + column + j;
        ptrdiff_t i = 0;
        if (packed)
            NAME(pack_panel)(n, width, B, ldb, rows, column + j, packed, NR);
#define BLOCK(R, N)                                                                                          \
    for (; TAKE_BLOCK(R, n_rows - i, slivers); i += R) {                                                     \
        if (prefetch)                                                                                        \
            NAME(prefetch_block)(prefetch, i0 + i, j, R, N);                                                 \
        NAME(tn_##R##_##N)(width % N_LANES != 0, n, slivers ? a + i / MR * lda + i % MR : a + i,             \
                           slivers ? MR : lda, b, step, mask, first, C + i * ldc + j, ldc);                  \
    }
        BLOCKS_OF(n_vectors, BLOCK)
#undef BLOCK
    }
}

/* The micro-kernel for a C of few rows: vectors of `height` rows of B are in registers, and some columns of C are in
 * L1. Rows of B are read once and in sequence, because panels of them would share few lines of the cache. The order of
 * additions is that of tn_block. */
INLINE void NAME(stream_block)(const int height, const int n_vectors, const bool part, MASK mask, const bool first,
                               ptrdiff_t n_rows, const REAL *a, ptrdiff_t lda, const REAL *const *b, ptrdiff_t column,
                               REAL *C, ptrdiff_t ldc)
{
    vreal row[STREAM_ROWS][2];
    UNROLL
    for (int r = 0; r < height; r++)
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            row[r][j] = part ? LOAD_PART(mask, b[r] + column) : LOAD(b[r] + column + j * N_LANES);
    for (REAL *c = C + column; n_rows > 0; n_rows--, a++, c += ldc) {
        vreal sum[2];
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            sum[j] = first ? SET(0) : part ? LOAD_PART(mask, c) : LOAD(c + j * N_LANES);
        UNROLL
        for (int r = 0; r < height; r++) {
            const vreal factor = SET(a[r * lda]);
            UNROLL
            for (int j = 0; j < n_vectors; j++)
                sum[j] = FMA(factor, row[r][j], sum[j]);
        }
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            if (part)
                STORE_PART(mask, c, sum[j]);
            else
                STORE(c + j * N_LANES, sum[j]);
    }
}

#define BLOCK(R)                                                                                             \
    static __attribute__((noinline)) void NAME(stream_##R)(bool first, ptrdiff_t n_rows, ptrdiff_t n_cols,   \
                                                           const REAL *a, ptrdiff_t lda,                     \
                                                           const REAL *const *b, REAL *C, ptrdiff_t ldc)     \
    {                                                                                                        \
        const MASK mask = MASK_OF(n_cols % N_LANES);                                                         \
        ptrdiff_t j = 0;                                                                                     \
        for (; j + 2 * N_LANES <= n_cols; j += 2 * N_LANES)                                                  \
            if (first)                                                                                       \
                NAME(stream_block)(R, 2, false, mask, true, n_rows, a, lda, b, j, C, ldc);                   \
            else                                                                                             \
                NAME(stream_block)(R, 2, false, mask, false, n_rows, a, lda, b, j, C, ldc);                  \
        if (j + N_LANES <= n_cols) {                                                                         \
            NAME(stream_block)(R, 1, false, mask, first, n_rows, a, lda, b, j, C, ldc);                      \
            j += N_LANES;                                                                                    \
        }                                                                                                    \
        if (j < n_cols)                                                                                      \
            NAME(stream_block)(R, 1, true, mask, first, n_rows, a, lda, b, j, C, ldc);                       \
    }
STREAM_BLOCKS(BLOCK)
#undef BLOCK

/* C for few rows. sums: STREAM_BYTES for the sums of a block of summands, which are then added to those of the blocks
 * before it. */
static void NAME(tn_stream)(ptrdiff_t n, ptrdiff_t step, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *A, ptrdiff_t lda,
                            const REAL *B, ptrdiff_t ldb, const void *const *rows, ptrdiff_t column, REAL *C,
                            ptrdiff_t ldc, REAL *sums)
{
    const ptrdiff_t max_width = STREAM_BYTES / SIZE / n_rows / (2 * N_LANES) * (2 * N_LANES);
    for (ptrdiff_t j = 0, width; j < n_cols; j += width) {
        width = min_(max_width, n_cols - j);
        for (ptrdiff_t k = 0; k < n; k += step) {
            REAL *to = k == 0 ? C + j : sums;
            const ptrdiff_t ld = k == 0 ? ldc : max_width, end = min_(k + step, n);
            for (ptrdiff_t r = k; r < end;) {
                const REAL *a = A + r * lda, *b[STREAM_ROWS];
                for (int i = 0; i < STREAM_ROWS && r + i < end; i++)
                    b[i] = (rows ? (const REAL *)rows[r + i] : B + (r + i) * ldb) + column + j;
#define BLOCK(R)                                                                                             \
    if (end - r >= R) {                                                                                      \
        NAME(stream_##R)(r == k, n_rows, width, a, lda, b, to, ld);                                          \
        r += R;                                                                                              \
        continue;                                                                                            \
    }
                STREAM_BLOCKS(BLOCK)
#undef BLOCK
            }
            for (ptrdiff_t i = 0; k > 0 && i < n_rows; i++)
                for (ptrdiff_t c = 0; c < width; c++)
                    C[i * ldc + j + c] += sums[i * max_width + c];
        }
    }
}

/* Row pointers in the innermost loop would cost 5 % for A and as much for B, so gathered rows are packed. Rows that
 * share lines of L1 are packed too, because the loop would take up to twice as long. Packing needs the workspace;
 * without it A and B must not have row pointers. */
static void NAME(gemm_tn)(ptrdiff_t K, ptrdiff_t M, ptrdiff_t N, const DnnMatrix *A, const DnnMatrix *B, const DnnMatrix *C,
                          void *workspace, const DnnPrefetch *prefetch)
{
    assert(!C->rows && !C->column && (workspace || (!A->rows && !B->rows)) && (uintptr_t)workspace % 64 == 0);
    assert(!prefetch || (0 <= prefetch->n && prefetch->n <= DNN_MAX_PREFETCH));
    ASSERT_BLOCK(K, A->column + M, A->rows ? A->column + M : A->ld);
    ASSERT_BLOCK(K, B->column + N, B->rows ? B->column + N : B->ld);
    ASSERT_BLOCK(M, N, C->ld);
    const ptrdiff_t lda = A->ld, ldb = B->ld, ldc = C->ld, i0 = A->column, j0 = B->column;
    const ptrdiff_t n_blocks = K > KC_TN ? (K + KC_TN - 1) / KC_TN : 1, step = (K + n_blocks - 1) / n_blocks;
    const ptrdiff_t panel = M <= TN_HALF_PANEL_ROWS ? NR / 2 : NR;
    const bool pack = B->rows || (workspace && M >= TN_PACK_ROWS && TN_PACKS_B(K, ldb));
    const bool pack_a =
        A->rows || (TN_PACKS_A && (pack || (workspace && ALIASES_IN_L1(K, lda, DNN_L1_ALIAS_BYTES / 2))));
    const bool slivers = PACKS_SLIVERS && pack && N > N_LANES;
    REAL *c = C->at, *packed = pack ? workspace : NULL, *packed_a = pack_a ? (REAL *)workspace + KC * NR : NULL;
    ptrdiff_t mc = M, ld = lda;
    if (workspace && !A->rows && K > 0 && TN_STREAMS(M, K, ldb)) {
        NAME(tn_stream)(K, step, M, N, (const REAL *)A->at + i0, lda, B->at, ldb, B->rows, j0, c, ldc, workspace);
        return;
    }
    if (K == 0)
        for (ptrdiff_t i = 0; i < M; i++)
            memset(c + i * ldc, 0, (size_t)N * SIZE);
    else if (pack_a) { /* an odd number of cache lines from row to row, or sliver to sliver, uses all sets of the cache */
        ld = slivers ? ((MR * step * SIZE + 63) / 64 | 1) * (64 / SIZE) : ((PACK_A_BYTES / 64 / step - 1) | 1) * (64 / SIZE);
        mc = (slivers ? PACK_A_BYTES / SIZE / ld * MR : ld) / TN_PACK_MULTIPLE * TN_PACK_MULTIPLE;
    }
    for (ptrdiff_t k = 0; k < K; k += step) {
        const ptrdiff_t depth = min_(step, K - k);
        const REAL *a = A->rows ? NULL : (const REAL *)A->at + k * lda, *b = B->rows ? NULL : (const REAL *)B->at + k * ldb;
        const void *const *rows = A->rows ? A->rows + k : NULL;
        for (ptrdiff_t i = 0; i < M; i += mc) {
            const ptrdiff_t height = min_(mc, M - i);
            if (slivers)
                NAME(pack_sliver_columns)(depth, height, a, lda, rows, i0 + i, packed_a, ld);
            else if (pack_a)
                NAME(pack_panel)(depth, height, a, lda, rows, i0 + i, packed_a, ld);
            NAME(tn_piece)(depth, height, N, pack_a ? packed_a : a + i0 + i, ld, slivers, b, ldb,
                           B->rows ? B->rows + k : NULL, j0, panel, packed, k == 0, c + i * ldc, ldc,
                           k == 0 ? prefetch : NULL, i);
        }
    }
}
