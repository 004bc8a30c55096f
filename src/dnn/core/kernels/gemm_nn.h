/* gemm_nn: C (M, N) = epilogue(A (M, K) B (K, N) + bias). The product of the forward pass, Z = A W, and of the backward pass,
 * dA = dZ W' with W' in place of W. Part of one_precision.h.
 *
 * The five loops around the micro-kernel, from the outside:
 *
 *     for k in K by KC                              a block of summands; partial sums of C wait in C itself
 *         for r in M by MC            pack A (MC, KC) in slivers        [AVX2, from PACK_A_ROWS rows on]
 *             for c in N by NC        pack B (KC, NC) in panels         [where PACKS_B says so]
 *                 for panel in NC by NR
 *                     for block in MC by MR         nn_block: MR x NR of C stay in registers while KC summands run
 *
 * The lanes of vectors are columns of B and C. MR and NR of a block vary: BLOCKS in tuning_*.h has the heights for each width.
 *
 * The order of additions: a sum is cut into blocks of at most KC summands, of equal length; each is summed from the front, and
 * the sums of the blocks are added from the front; the bias is added to the first. It is a function of K alone: a row of A gives
 * the same bits in any tile, on any thread, among any number of rows.
 *
 * What BLAS does not offer, and is why these kernels exist: rows of A that are read through pointers; an epilogue that is applied
 * before an element leaves its register; packing only where many rows pay for it, so that a single row stays cheap; and that
 * order of additions.
 *
 * The compiler unrolls every loop whose bounds are constants here and keeps `sum` in registers: look at the assembler after a
 * change.
 */

/* Blocks by falling height: a block is taken if it leaves no row, or half as many as it has, because a block of one or two rows
 * reads as much of B as a full one. */
#define HEIGHT_FITS(height, left) ((left) == (height) || 2 * (left) >= 3 * (height))
/* Blocks of packed A begin where a sliver does. */
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
    const REAL *A, *B;             /* first row of B in this block of summands; A too, if it is packed */
    const REAL *bias, *slope;
    REAL *C;
    const void *const *rows;       /* of A, or NULL */
    ptrdiff_t lda, ldb, ldc, lds;
    ptrdiff_t k, depth;            /* the block of summands */
    MASK mask;                     /* of the last vector */
    bool part;                     /* the last vector is not full */
    bool first, last;              /* block of summands */
    bool packed;                   /* B is packed, and in the cache */
    bool slivers;                  /* A is packed in slivers */
    int epilogue;
} NAME(Panel);

/* Prefetch what a block of C reads or writes when its sum has been computed: a long sum takes longer than the memory. */
INLINE void NAME(prefetch_rows)(const int n_rows, const int n_vectors, const REAL *at, ptrdiff_t ld)
{
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_vectors; j += 64 / (int)sizeof(vreal))
            __builtin_prefetch(at + i * ld + j * N_LANES, 1);
}

/* The micro-kernel: rows r .. r + n_rows of a panel of n_vectors vectors. */
INLINE void NAME(nn_block)(const int n_rows, const int n_vectors, const bool part, const bool fetch,
                              const bool slivers, const NAME(Panel) *p, ptrdiff_t r)
{
    vreal sum[16][4];
    const REAL *a[16], *b = p->B, *sliver = slivers ? p->A + r * p->depth : p->B;
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
        vreal column[4];
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            column[j] = part && j == n_vectors - 1 ? LOAD_PART(p->mask, b + j * N_LANES) : LOAD(b + j * N_LANES);
        UNROLL
        for (int j = 0; fetch && j < n_vectors; j += 64 / (int)sizeof(vreal))
            __builtin_prefetch(b + PREFETCH_ROWS * ldb + j * N_LANES);
        UNROLL
        for (int i = 0; i < n_rows; i++) {
            const vreal number = SET(slivers ? sliver[i] : a[i][k]);
            UNROLL
            for (int j = 0; j < n_vectors; j++)
                sum[i][j] = FMA(number, column[j], sum[i][j]);
        }
        b += ldb;
        sliver += MR;
    }
    /* Conditions are tested once per block: tested for each vector, they would take as long as a short sum. */
    REAL *c = p->C + r * p->ldc;
    const ptrdiff_t ldc = p->ldc, lds = p->lds;
    if (!p->first) {
        UNROLL
        for (int i = 0; i < n_rows; i++)
            UNROLL
            for (int j = 0; j < n_vectors; j++) {
                const REAL *at = c + i * ldc + j * N_LANES;
                sum[i][j] = ADD(part && j == n_vectors - 1 ? LOAD_PART(p->mask, at) : LOAD(at), sum[i][j]);
            }
    } else if (p->bias) {
        UNROLL
        for (int j = 0; j < n_vectors; j++) {
            const REAL *at = p->bias + j * N_LANES;
            const vreal bias = part && j == n_vectors - 1 ? LOAD_PART(p->mask, at) : LOAD(at);
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
                sum[i][j] = MAX(SET(0), sum[i][j]); /* NaN stays: MAX returns its second operand then */
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
    static __attribute__((noinline)) void NAME(nn_##R##_##N)(const NAME(Panel) *p, ptrdiff_t r)           \
    {                                                                                                        \
        if (PACKS_SLIVERS && R <= MR && p->slivers) {                                                          \
            if (p->part)                                                                                     \
                NAME(nn_block)(R, N, true, false, true, p, r);                                            \
            else                                                                                             \
                NAME(nn_block)(R, N, false, false, true, p, r);                                           \
        } else if (p->part)                                                                                  \
            NAME(nn_block)(R, N, true, true, false, p, r);                                                \
        else if (PREFETCHES_B(p->packed, r))                                                                      \
            NAME(nn_block)(R, N, false, true, false, p, r);                                               \
        else                                                                                                 \
            NAME(nn_block)(R, N, false, false, false, p, r);                                              \
    }
BLOCKS(BLOCK)
#undef BLOCK

/* A single row of C, GEMV_VECTORS vectors of it: B is read in longer pieces, which memory delivers faster. */
static void NAME(gemv_row)(const NAME(Panel) *p)
{
    vreal sum[GEMV_VECTORS];
    const REAL *a = (p->rows ? (const REAL *)p->rows[0] : p->A) + p->k, *b = p->B;
    UNROLL
    for (int j = 0; j < GEMV_VECTORS; j++)
        sum[j] = SET(0);
    for (ptrdiff_t k = 0; k < p->depth; k++) {
        const vreal number = SET(a[k]);
        UNROLL
        for (int j = 0; j < GEMV_VECTORS; j++) {
            __builtin_prefetch(b + PREFETCH_ROWS / 4 * p->ldb + j * N_LANES);
            sum[j] = FMA(number, LOAD(b + j * N_LANES), sum[j]);
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

/* All rows of a panel of n vectors, in blocks. */
static void NAME(panel)(int n_vectors, ptrdiff_t n_rows, const NAME(Panel) *p)
{
    ptrdiff_t r = 0;
#define BLOCK(R, N)                                                                                          \
    for (; TAKE_BLOCK(R, n_rows - r, p->slivers); r += R)                                                         \
        NAME(nn_##R##_##N)(p, r);
    BLOCKS_OF(n_vectors, BLOCK)
#undef BLOCK
}

static void NAME(gemm_nn)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DnnMatrix *A, const DnnMatrix *B, const DnnMatrix *C,
                          const DnnEpilogue *epilogue, void *workspace)
{
    assert(!A->column && !B->rows && !C->rows && (uintptr_t)workspace % 64 == 0);
    assert(epilogue->kind != DNN_EPILOGUE_RELU_SLOPE || epilogue->slope.rows == NULL);
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
            const ptrdiff_t some = min_(mc, M - r);
            ptrdiff_t c = 0;
            if (pack_a)
                NAME(pack_slivers)(some, p.depth, a ? a + r * lda : NULL, lda, A->rows ? A->rows + r : NULL, p.k, slivers);
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
                p.B = pack ? p.B + p.depth * NR : b + p.k * ldb + c;
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
                NAME(panel)(n_vectors, some, &p);
            }
        }
        if (K == 0) /* B has no rows: C is the bias */
            break;
    }
}
