/* gemm_nt: C (M, N) = epilogue(A (M, K) T' + bias), T (N, K). Part of one_precision.h.
 *
 * The lanes of vectors are summands: each element of C is an inner product of a row of A and a row of T. This is the forward
 * product of layers with few outputs, for which gemm_nn would leave most lanes of a vector empty, and the gradient of a
 * feature-major step.
 *
 *     for group in M by NT_GROUP_ROWS
 *         for k in K by a piece                    pack T (N, piece); partial sums, a vector each, are in the workspace
 *             for block of NT_MR rows
 *                 for block of NT_NR columns       nt_block: NT_MR x NT_NR vectors of sums are in registers
 *
 * A sum is cut into pieces only if rows of A are read several times, for several blocks of columns. Pieces are so short
 * that rows of A and packed T stay in L1.
 *
 * The order of additions: each lane adds its summands in order, independently of the pieces; then the lanes are added.
 * If C has one column, consecutive vectors of summands are added to four sums in turn, with two columns to two sums,
 * which are added before the lanes. This is a function of K and N.
 */

_Static_assert(NT_PACK_BYTES + NT_GROUP_ROWS * NT_PACK_COLUMNS * sizeof(vreal) <= DNN_WORKSPACE_BYTES, "packed T and sums");
_Static_assert(NT_PACK_BYTES % 64 == 0, "sums on a cache line");

/* The micro-kernel: n_rows x n_columns inner products of the rows a[i] of A with rows of T. sums: the partial sums of
 * earlier pieces, a vector each, with n_cols vectors from row to row; they are read unless `first`, and written unless
 * `last`. */
INLINE void NAME(nt_block)(const int n_rows, const int n_columns, const REAL *const *a, const REAL *T, ptrdiff_t ldt,
                           ptrdiff_t depth, vreal *sums, ptrdiff_t n_cols, bool first, bool last, int epilogue,
                           const REAL *bias, REAL *C, ptrdiff_t ldc)
{
    vreal sum[NT_MR][NT_NR];
    if (first) {
        UNROLL
        for (int i = 0; i < n_rows; i++)
            UNROLL
            for (int j = 0; j < n_columns; j++)
                sum[i][j] = SET(0);
    } else {
        UNROLL
        for (int i = 0; i < n_rows; i++)
            UNROLL
            for (int j = 0; j < n_columns; j++)
                sum[i][j] = sums[i * n_cols + j];
    }
    ptrdiff_t k = 0;
    UNROLL_SUM_2
    for (; k + N_LANES <= depth; k += N_LANES) {
        vreal row[NT_MR];
        UNROLL
        for (int i = 0; i < n_rows; i++)
            row[i] = LOAD(a[i] + k);
        UNROLL
        for (int j = 0; j < n_columns; j++) {
            const vreal column = LOAD(T + j * ldt + k);
            UNROLL
            for (int i = 0; i < n_rows; i++)
                sum[i][j] = FMA(row[i], column, sum[i][j]);
        }
    }
    if (k < depth) {
        const MASK mask = MASK_OF(depth - k);
        UNROLL
        for (int j = 0; j < n_columns; j++) {
            const vreal column = LOAD_PART(mask, T + j * ldt + k);
            UNROLL
            for (int i = 0; i < n_rows; i++)
                sum[i][j] = FMA(LOAD_PART(mask, a[i] + k), column, sum[i][j]);
        }
    }
    if (!last) {
        UNROLL
        for (int i = 0; i < n_rows; i++)
            UNROLL
            for (int j = 0; j < n_columns; j++)
                sums[i * n_cols + j] = sum[i][j];
        return;
    }
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_columns; j++) {
            REAL v = SUM(sum[i][j]);
            if (bias)
                v = bias[j] + v;
            if (epilogue == DNN_EPILOGUE_RELU)
                v = v < 0 ? 0 : v;
            C[i * ldc + j] = v;
        }
}

/* The micro-kernel for a C of one or two columns: each of its elements is summed in n_sums vectors in turn, because the
 * additions of a single row would otherwise wait for each other. */
INLINE void NAME(nt_narrow_block)(const int n_rows, const int n_columns, const int n_sums, const REAL *const *a,
                                  const REAL *T, ptrdiff_t ldt, ptrdiff_t depth, int epilogue, const REAL *bias, REAL *C,
                                  ptrdiff_t ldc)
{
    vreal sum[NT_MR][2][NT_SUMS];
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_columns; j++)
            UNROLL
            for (int q = 0; q < n_sums; q++)
                sum[i][j][q] = SET(0);
    ptrdiff_t k = 0;
    for (; k + n_sums * N_LANES <= depth; k += n_sums * N_LANES)
        UNROLL
        for (int q = 0; q < n_sums; q++)
            UNROLL
            for (int j = 0; j < n_columns; j++) {
                const vreal column = LOAD(T + j * ldt + k + q * N_LANES);
                UNROLL
                for (int i = 0; i < n_rows; i++)
                    sum[i][j][q] = FMA(LOAD(a[i] + k + q * N_LANES), column, sum[i][j][q]);
            }
    UNROLL
    for (int q = 0; q < n_sums; q++) {
        const ptrdiff_t left = depth - k - q * N_LANES;
        if (left <= 0)
            break;
        const MASK mask = MASK_OF(left < N_LANES ? left : N_LANES);
        UNROLL
        for (int j = 0; j < n_columns; j++) {
            const vreal column = LOAD_PART(mask, T + j * ldt + k + q * N_LANES);
            UNROLL
            for (int i = 0; i < n_rows; i++)
                sum[i][j][q] = FMA(LOAD_PART(mask, a[i] + k + q * N_LANES), column, sum[i][j][q]);
        }
    }
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_columns; j++) {
            UNROLL
            for (int half = n_sums / 2; half > 0; half /= 2)
                UNROLL
                for (int q = 0; q < half; q++)
                    sum[i][j][q] = ADD(sum[i][j][q], sum[i][j][q + half]);
            REAL v = SUM(sum[i][j][0]);
            if (bias)
                v = bias[j] + v;
            if (epilogue == DNN_EPILOGUE_RELU)
                v = v < 0 ? 0 : v;
            C[i * ldc + j] = v;
        }
}

/* All rows of a C of one or two columns. */
static void NAME(nt_narrow)(ptrdiff_t n_rows, ptrdiff_t n_cols, ptrdiff_t depth, const REAL *A, ptrdiff_t lda,
                            const void *const *rows, const REAL *T, ptrdiff_t ldt, int epilogue, const REAL *bias, REAL *C,
                            ptrdiff_t ldc)
{
    for (ptrdiff_t r = 0; r < n_rows;) {
        const int height = (int)min_(NT_MR, n_rows - r);
        const REAL *a[NT_MR];
        for (int i = 0; i < height; i++)
            a[i] = rows ? (const REAL *)rows[r + i] : A + (r + i) * lda;
        switch (8 * height + (int)n_cols) {
#define CASE(R, N)                                                                                           \
    case 8 * R + N:                                                                                          \
        NAME(nt_narrow_block)(R, N, NT_SUMS / N, a, T, ldt, depth, epilogue, bias, C + r * ldc, ldc);        \
        break;
            NT_NARROW_BLOCKS(CASE)
#undef CASE
        }
        r += height;
    }
}

/* One piece of all sums: summands k .. k + depth of rows of A, and the first `depth` columns of T. */
static void NAME(nt_piece)(ptrdiff_t n_rows, ptrdiff_t n_cols, ptrdiff_t depth, const REAL *A, ptrdiff_t lda,
                           const void *const *rows, ptrdiff_t k, const REAL *T, ptrdiff_t ldt, vreal *sums, bool first,
                           bool last, int epilogue, const REAL *bias, REAL *C, ptrdiff_t ldc)
{
    for (ptrdiff_t r = 0; r < n_rows;) {
        const int height = (int)min_(NT_MR, n_rows - r);
        const REAL *a[NT_MR];
        for (int i = 0; i < height; i++)
            a[i] = (rows ? (const REAL *)rows[r + i] : A + (r + i) * lda) + k;
        for (ptrdiff_t c = 0; c < n_cols; c += NT_NR)
            switch (8 * height + (int)min_(NT_NR, n_cols - c)) {
#define CASE(R, N)                                                                                           \
    case 8 * R + N:                                                                                          \
        NAME(nt_block)(R, N, a, T + c * ldt, ldt, depth, sums ? sums + r * n_cols + c : NULL, n_cols, first, \
                       last, epilogue, bias ? bias + c : NULL, C + r * ldc + c, ldc);                        \
        break;
                NT_BLOCKS(CASE)
#undef CASE
            }
        r += height;
    }
}

static void NAME(gemm_nt)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DnnMatrix *A, const DnnMatrix *T, const DnnMatrix *C,
                          const DnnEpilogue *epilogue, void *workspace)
{
    assert(!A->column && !T->column && !C->column && !T->rows && !C->rows && (uintptr_t)workspace % 64 == 0);
    assert(epilogue->kind != DNN_EPILOGUE_RELU_SLOPE);
    ASSERT_BLOCK(M, K, A->rows ? K : A->ld);
    ASSERT_BLOCK(N, K, T->ld);
    ASSERT_BLOCK(M, N, C->ld);
    const ptrdiff_t lda = A->ld, ldt = T->ld, ldc = C->ld;
    const REAL *a = A->at, *t = T->at, *bias = epilogue->bias;
    REAL *c = C->at, *packed = workspace;
    if (N == 1 || N == 2) {
        NAME(nt_narrow)(M, N, K, a, lda, A->rows, t, ldt, epilogue->kind, bias, c, ldc);
        return;
    }
    vreal *sums = workspace ? (vreal *)((char *)workspace + NT_PACK_BYTES) : NULL;
    const ptrdiff_t piece = NT_PACK_BYTES / SIZE / (N > 0 ? N : 1) / N_LANES * N_LANES;
    if (!workspace || M < NT_PACK_ROWS || N <= NT_NR || N > NT_PACK_COLUMNS || K < 2 * piece) {
        NAME(nt_piece)(M, N, K, a, lda, A->rows, 0, t, ldt, NULL, true, true, epilogue->kind, bias, c, ldc);
        return;
    }
    for (ptrdiff_t r = 0; r < M; r += NT_GROUP_ROWS)
        for (ptrdiff_t k = 0; k < K; k += piece) {
            const ptrdiff_t depth = min_(piece, K - k);
            NAME(pack_panel)(N, depth, t, ldt, NULL, k, packed, piece);
            NAME(nt_piece)(min_(NT_GROUP_ROWS, M - r), N, depth, a ? a + r * lda : NULL, lda,
                           A->rows ? A->rows + r : NULL, k, packed, piece, sums, k == 0, k + piece >= K,
                           epilogue->kind, bias, c + r * ldc, ldc);
        }
}
