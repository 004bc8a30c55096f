/* gemm_nn: C (M, N) = epilogue(A (M, K) B (K, N) + bias). The matrix product of the forward pass, Z = A W, and of the
 * backward pass, dA = dZ W' with W' in place of W. Part of one_precision.h.
 *
 * The five loops around the micro-kernel, outermost first:
 *
 *     for k in K by KC                              a block of summands; partial sums of C are stored in C itself
 *         for r in M by MC            pack A (MC, KC) in slivers        [AVX2, from PACK_A_ROWS rows on]
 *             for c in N by NC        pack B (KC, NC) in panels         [if PACKS_B is true]
 *                 for panel in NC by NR
 *                     for block in MC by MR         nn_block: MR x NR of C are in registers during KC summands
 *
 * The lanes of vectors are columns of B and C. MR and NR of a block vary: BLOCKS_4 to BLOCKS_1 in tuning_avx2.h and
 * tuning_avx512.h have the heights for each number of vectors.
 *
 * The order of additions: a sum is cut into blocks of at most KC summands, of equal length. Each block is summed from
 * its first to its last summand, and the sums of the blocks are added in order; the bias is added to the first. This is
 * a function of K alone: a row of A gives the same bits in any tile, on any thread, among any number of rows.
 *
 * These kernels exist because BLAS does not offer four things: rows of A that are read through pointers; an epilogue that is
 * applied before an element leaves its register; packing only if there are enough rows to make it worthwhile, so that a
 * single row is fast; and this order of additions.
 *
 * The compiler must unroll every loop with constant bounds in a block, and keep `sum` in registers: check the assembly
 * after a change.
 */

/* Whether a block of `height` rows is used if `left` rows are left; BLOCKS tries tall blocks first. It is used if it
 * leaves no row, or at least half as many as it has, because a block of one or two rows reads as much of B as a full
 * block. */
#define HEIGHT_FITS(height, left) ((left) == (height) || 2 * (left) >= 3 * (height))
/* The same, but blocks of packed A begin where a sliver begins. */
#define TAKE_BLOCK(height, left, slivers) \
    (PACKS_SLIVERS && (slivers) ? (height) <= MR && (left) >= (height) : HEIGHT_FITS(height, left))
#define BLOCKS(BLOCK) BLOCKS_4(BLOCK) BLOCKS_3(BLOCK) BLOCKS_2(BLOCK) BLOCKS_1(BLOCK)
#define BLOCKS_OF(n_vectors, BLOCK) \
    switch (n_vectors) { \
    case 4: BLOCKS_4(BLOCK) break; \
    case 3: BLOCKS_3(BLOCK) break; \
    case 2: BLOCKS_2(BLOCK) break; \
    default: BLOCKS_1(BLOCK) \
    }

_Static_assert(!PACKS_SLIVERS || NC_PANELS * KC * NR * SIZE + NN_PACK_A_BYTES <= DNN_WORKSPACE_BYTES, "packed operands");

/* One panel of C, as the micro-kernel sees it. */
typedef struct {
    const REAL *A;                 /* the whole of A; or its slivers for this block of summands */
    const REAL *B;                 /* the panel, from the first row of this block of summands on */
    const REAL *bias, *slope;      /* for the panel's columns, or NULL */
    REAL *C;
    const void *const *rows;       /* of A, or NULL */
    ptrdiff_t lda, ldb, ldc, lds;
    ptrdiff_t k, depth;            /* the block of summands: k .. k + depth */
    MASK mask;                     /* of the last vector */
    bool part;                     /* the last vector is not full */
    bool first, last;              /* this is the first, the last block of summands */
    bool packed;                   /* B is packed, and in the cache */
    bool slivers;                  /* A is packed in slivers */
    int epilogue;
} NAME(Panel);

/* Prefetches the rows that a block reads or writes after its sum: computing a long sum takes longer than fetching them. */
INLINE void NAME(prefetch_rows)(const int n_rows, const int n_vectors, const REAL *at, ptrdiff_t ld)
{
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_vectors; j += 64 / (int)sizeof(vreal))
            __builtin_prefetch(at + i * ld + j * N_LANES, 1);
}

/* The micro-kernel: rows r .. r + n_rows of a panel of n_vectors vectors. part: the last vector is not full. prefetch:
 * whether B is prefetched. */
INLINE void NAME(nn_block)(const int n_rows, const int n_vectors, const bool part, const bool prefetch,
                           const bool slivers, const NAME(Panel) *p, ptrdiff_t r)
{
    vreal sum[BLOCK_ROWS_MAX][BLOCK_VECTORS_MAX];
    const REAL *a[BLOCK_ROWS_MAX], *b = p->B, *sliver = slivers ? p->A + r * p->depth : p->B;
    const ptrdiff_t depth = p->depth, ldb = p->ldb;
    UNROLL
    for (int i = 0; !slivers && i < n_rows; i++)
        a[i] = (p->rows ? (const REAL *)p->rows[r + i] : p->A + (r + i) * p->lda) + p->k;
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            sum[i][j] = SET(0);
    if (slivers)
        NAME(prefetch_rows)(n_rows, n_vectors, p->C + r * p->ldc, p->ldc);
    if (slivers && p->last && p->epilogue == DNN_EPILOGUE_RELU_SLOPE)
        NAME(prefetch_rows)(n_rows, n_vectors, p->slope + r * p->lds, p->lds);
    UNROLL_SUM_4
    for (ptrdiff_t k = 0; k < depth; k++) {
        vreal row[BLOCK_VECTORS_MAX]; /* row k of B */
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            row[j] = part && j == n_vectors - 1 ? LOAD_PART(p->mask, b + j * N_LANES) : LOAD(b + j * N_LANES);
        UNROLL
        for (int j = 0; prefetch && j < n_vectors; j += 64 / (int)sizeof(vreal))
            __builtin_prefetch(b + PREFETCH_ROWS * ldb + j * N_LANES);
        UNROLL
        for (int i = 0; i < n_rows; i++) {
            const vreal factor = SET(slivers ? sliver[i] : a[i][k]);
            UNROLL
            for (int j = 0; j < n_vectors; j++)
                sum[i][j] = FMA(factor, row[j], sum[i][j]);
        }
        b += ldb;
        sliver += MR;
    }
    /* Conditions are tested once per block. Testing them for each vector would take as long as a short sum. */
    REAL *c = p->C + r * p->ldc;
    const ptrdiff_t ldc = p->ldc, lds = p->lds;
    if (!p->first) {
        UNROLL
        for (int i = 0; i < n_rows; i++)
            UNROLL
            for (int j = 0; j < n_vectors; j++) {
                const REAL *c_ij = c + i * ldc + j * N_LANES;
                sum[i][j] = ADD(part && j == n_vectors - 1 ? LOAD_PART(p->mask, c_ij) : LOAD(c_ij), sum[i][j]);
            }
    } else if (p->bias) {
        UNROLL
        for (int j = 0; j < n_vectors; j++) {
            const REAL *bias_j = p->bias + j * N_LANES;
            const vreal bias = part && j == n_vectors - 1 ? LOAD_PART(p->mask, bias_j) : LOAD(bias_j);
            UNROLL
            for (int i = 0; i < n_rows; i++)
                sum[i][j] = ADD(bias, sum[i][j]);
        }
    }
    if (p->last && p->epilogue == DNN_EPILOGUE_RELU) {
        UNROLL
        for (int i = 0; i < n_rows; i++)
            UNROLL
            for (int j = 0; j < n_vectors; j++)
                sum[i][j] = MAX(SET(0), sum[i][j]); /* a NaN remains: MAX returns its second operand if one is NaN */
    } else if (p->last && p->epilogue == DNN_EPILOGUE_RELU_SLOPE) {
        UNROLL
        for (int i = 0; i < n_rows; i++)
            UNROLL
            for (int j = 0; j < n_vectors; j++) {
                const REAL *s = p->slope + (r + i) * lds + j * N_LANES;
                sum[i][j] = WHERE_ABOVE_0(part && j == n_vectors - 1 ? LOAD_PART(p->mask, s) : LOAD(s), sum[i][j]);
            }
    }
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_vectors; j++) {
            if (part && j == n_vectors - 1)
                STORE_PART(p->mask, c + i * ldc + j * N_LANES, sum[i][j]);
            else
                STORE(c + i * ldc + j * N_LANES, sum[i][j]);
        }
}

#define BLOCK(R, N)                                                                                          \
    _Static_assert(R <= BLOCK_ROWS_MAX && N <= BLOCK_VECTORS_MAX, "the largest block");                      \
    static __attribute__((noinline)) void NAME(nn_##R##_##N)(const NAME(Panel) *p, ptrdiff_t r)              \
    {                                                                                                        \
        if (PACKS_SLIVERS && R <= MR && p->slivers) {                                                        \
            if (p->part)                                                                                     \
                NAME(nn_block)(R, N, true, false, true, p, r);                                               \
            else                                                                                             \
                NAME(nn_block)(R, N, false, false, true, p, r);                                              \
        } else if (p->part)                                                                                  \
            NAME(nn_block)(R, N, true, true, false, p, r);                                                   \
        else if (PREFETCHES_B(p->packed, r))                                                                 \
            NAME(nn_block)(R, N, false, true, false, p, r);                                                  \
        else                                                                                                 \
            NAME(nn_block)(R, N, false, false, false, p, r);                                                 \
    }
BLOCKS(BLOCK)
#undef BLOCK

/* GEMV_VECTORS vectors of a C of a single row: B is read in longer pieces of its rows, which is faster. */
static void NAME(gemv_row)(const NAME(Panel) *p)
{
    vreal sum[GEMV_VECTORS];
    const REAL *a = (p->rows ? (const REAL *)p->rows[0] : p->A) + p->k, *b = p->B;
    UNROLL
    for (int j = 0; j < GEMV_VECTORS; j++)
        sum[j] = SET(0);
    for (ptrdiff_t k = 0; k < p->depth; k++) {
        const vreal factor = SET(a[k]);
        UNROLL
        for (int j = 0; j < GEMV_VECTORS; j++) {
            __builtin_prefetch(b + GEMV_PREFETCH_ROWS * p->ldb + j * N_LANES);
            sum[j] = FMA(factor, LOAD(b + j * N_LANES), sum[j]);
        }
        b += p->ldb;
    }
    UNROLL
    for (int j = 0; j < GEMV_VECTORS; j++) {
        REAL *c = p->C + j * N_LANES;
        vreal v = sum[j];
        if (!p->first)
            v = ADD(LOAD(c), v);
        else if (p->bias)
            v = ADD(LOAD(p->bias + j * N_LANES), v);
        if (p->last && p->epilogue == DNN_EPILOGUE_RELU)
            v = MAX(SET(0), v);
        STORE(c, v);
    }
}

/* All rows of a panel of n_vectors vectors, in blocks. */
static void NAME(panel)(int n_vectors, ptrdiff_t n_rows, const NAME(Panel) *p)
{
    ptrdiff_t r = 0;
#define BLOCK(R, N)                                                                                          \
    for (; TAKE_BLOCK(R, n_rows - r, p->slivers); r += R)                                                    \
        NAME(nn_##R##_##N)(p, r);
    BLOCKS_OF(n_vectors, BLOCK)
#undef BLOCK
}

static void NAME(gemm_nn)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DnnMatrix *A, const DnnMatrix *B, const DnnMatrix *C,
                          const DnnEpilogue *epilogue, void *workspace)
{
    assert(!A->column && !B->column && !C->column && !B->rows && !C->rows && (uintptr_t)workspace % 64 == 0);
    assert(epilogue->kind != DNN_EPILOGUE_RELU_SLOPE || (!epilogue->slope.rows && !epilogue->slope.column));
    ASSERT_BLOCK(M, K, A->rows ? K : A->ld);
    ASSERT_BLOCK(K, N, B->ld);
    ASSERT_BLOCK(M, N, C->ld);
    const REAL *a = A->at, *b = B->at, *bias = epilogue->bias;
    const REAL *slope = epilogue->kind == DNN_EPILOGUE_RELU_SLOPE ? epilogue->slope.at : NULL;
    const ptrdiff_t lda = A->ld, ldb = B->ld, ldc = C->ld, lds = slope ? epilogue->slope.ld : 0;
    REAL *c_at = C->at;
    const ptrdiff_t n_blocks = K > KC ? (K + KC - 1) / KC : 1, step = (K + n_blocks - 1) / n_blocks;
    const bool pack = workspace && M >= PACK_B_ROWS && PACKS_B(step, ldb);
    const bool pack_a = PACKS_SLIVERS && pack && M >= PACK_A_ROWS;
    const ptrdiff_t mc = pack_a ? NN_PACK_A_BYTES / SIZE / step / MR * MR : M;
    REAL *packed = workspace, *slivers = pack_a ? packed + NC_PANELS * KC * NR : NULL;
    NAME(Panel) p = {.A = pack_a ? slivers : a, .lda = lda, .rows = A->rows, .ldb = pack ? NR : ldb, .ldc = ldc, .lds = lds,
                     .packed = pack, .slivers = pack_a, .epilogue = epilogue->kind};
    for (p.k = 0; p.k == 0 || p.k < K; p.k += step) {
        p.depth = min_(step, K - p.k);
        p.first = p.k == 0;
        p.last = p.k + step >= K;
        for (ptrdiff_t r = 0; r < M; r += mc) {
            const ptrdiff_t height = min_(mc, M - r);
            ptrdiff_t c = 0;
            if (pack_a)
                NAME(pack_slivers)(height, p.depth, a ? a + r * lda : NULL, lda, A->rows ? A->rows + r : NULL, p.k, slivers);
            if (M == 1 && epilogue->kind != DNN_EPILOGUE_RELU_SLOPE)
                for (; c + GEMV_VECTORS * N_LANES <= N; c += GEMV_VECTORS * N_LANES) {
                    p.B = b + p.k * ldb + c;
                    p.bias = bias ? bias + c : NULL;
                    p.C = c_at + c;
                    NAME(gemv_row)(&p);
                }
            for (ptrdiff_t width, packed_to = 0; c < N; c += width) {
                width = NAME(panel_width)(N - c);
                const int n_vectors = (int)((width + N_LANES - 1) / N_LANES);
                p.B = pack ? p.B + p.depth * NR : b + p.k * ldb + c; /* the next packed panel, or the columns in B */
                if (pack && c == packed_to) {
                    for (int i = 0; i < (pack_a ? NC_PANELS : 1) && packed_to < N; i++)
                        packed_to += NAME(panel_width)(N - packed_to);
                    NAME(pack_panels)(p.depth, packed_to - c, b + p.k * ldb + c, ldb, packed);
                    p.B = packed;
                }
                p.part = width % N_LANES != 0;
                p.mask = MASK_OF(width - (n_vectors - 1) * N_LANES);
                p.bias = bias ? bias + c : NULL;
                p.slope = slope ? slope + r * lds + c : NULL;
                p.C = c_at + r * ldc + c;
                NAME(panel)(n_vectors, height, &p);
            }
        }
        if (K == 0) /* B has no rows: C is the bias */
            break;
    }
}
