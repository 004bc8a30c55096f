/* Products of matrices, in one precision and one instruction set: part of body.h.
 *
 * Three shapes of product are all that a dense network needs. In each, a block of the result stays in vector
 * registers while the sum runs:
 *   product    C = A B      lanes are columns of B: forward (Z = A W) and back (dA = dZ W')
 *   dots       C = A T'     lanes are places of the sum: forward where there are few outputs
 *   gradient   C = A' B     the sum runs over rows: dW = A' dZ
 * What BLAS does not offer, and is the reason for them: rows that are read where they stand, through pointers;
 * the bias, the activation or its slope applied before a number leaves its register; packing only where many rows
 * pay for it, so that one row costs no more than its share; and an order of additions that is a function of the
 * length of the sum alone. Whatever the tile, the thread or the number of rows, the same row gives the same bits.
 *
 * The order: a sum is cut into blocks of at most KC (over rows, KC_ROWS), each is summed from the front, and the
 * sums of the blocks are added from the front. The bias comes first. Dots: a sum a lane, from the front, and the sums of the lanes;
 * with one column four such sums by turns, with two columns two.
 *
 * The compiler unrolls everything whose bounds are constants here, and keeps `sum` in registers: look at the
 * assembler after a change.
 */

#ifndef DNN_PRODUCTS_H
#define DNN_PRODUCTS_H

#include <immintrin.h>
#include <stdbool.h>

#define KC 512      /* of a block of a sum: long enough that results are rarely fetched and stored again */
/* Of dot products: rows that pieces are worth it for, and rows whose sums wait meanwhile. */
#define DOT_LEAST 32
#define DOT_GROUP 128
#define DOT_SUMS 4 /* vectors that a row's dot products with one or two columns are summed in: an addition takes four cycles */
/* A panel of B is copied together before its product where it is read by so many rows, and its own lie so far apart. */
#define PACK_ROWS 64
#define PACK_BYTES 1024
/* A product of so many rows copies of B as many panels at once as lie side by side there, and A in slivers. */
#define MANY_ROWS 192
#define MANY_COPIED (512 * 4 * KC) /* bytes of A that it copies together: a call of 512 rows copies B once */
/* A sliver: the numbers that blocks of MR_SLIVER rows of C multiply by, in the order that they do. What other rows have in
 * the same lines of the cache would take room there, and from row to row there is a page. */
#define MR_SLIVER 4
#define STREAM_ROWS 6 /* of B that are read at once */
#define STREAM_BYTES 16384 /* of C: with rows of B it stays in L1 */
#define STREAM_BLOCKS(BLOCK) BLOCK(6) BLOCK(3) BLOCK(2) BLOCK(1)
/* n rows that begin on the same lines of L1, which keeps eight of each, or on a half of a way (2048 bytes), two sets of them. */
#define COLLIDE(n, ld, bytes) ((n) >= 16 && (ld) * SIZE % (bytes) == 0)
#define AHEAD 16                /* rows that are fetched ahead where a sum runs over rows */

#define INLINE static inline __attribute__((always_inline))
/* Before each loop over a block: gcc leaves `sum` in memory where it unrolls one of them too late. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL_2 _Pragma("clang loop unroll_count(2)")
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#define UNROLL_2 _Pragma("GCC unroll 2")
#define UNROLL_4 _Pragma("GCC unroll 4")
#endif

#if !defined(__AVX512F__)
INLINE float sum_of_8(__m256 v)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}

INLINE double sum_of_4(__m256d v)
{
    const __m128d x = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}
#endif

#endif

#if SIZE == 4 && defined(__AVX512F__)
#define vreal __m512
#define N_LANES 16
#define MASK __mmask16
#define MASK_OF(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD _mm512_loadu_ps
#define LOAD_PART(mask, p) _mm512_maskz_loadu_ps(mask, p)
#define STORE _mm512_storeu_ps
#define STORE_PART(mask, p, v) _mm512_mask_storeu_ps(p, mask, v)
#define SET _mm512_set1_ps
#define ADD _mm512_add_ps
#define FMA _mm512_fmadd_ps
#define MAX _mm512_max_ps
#define SUM _mm512_reduce_add_ps
#define WHERE_ABOVE_0(v, x) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LE_OQ), x, _mm512_setzero_ps())
#elif SIZE == 8 && defined(__AVX512F__)
#define vreal __m512d
#define N_LANES 8
#define MASK __mmask8
#define MASK_OF(n) ((__mmask8)((1u << (n)) - 1))
#define LOAD _mm512_loadu_pd
#define LOAD_PART(mask, p) _mm512_maskz_loadu_pd(mask, p)
#define STORE _mm512_storeu_pd
#define STORE_PART(mask, p, v) _mm512_mask_storeu_pd(p, mask, v)
#define SET _mm512_set1_pd
#define ADD _mm512_add_pd
#define FMA _mm512_fmadd_pd
#define MAX _mm512_max_pd
#define SUM _mm512_reduce_add_pd
#define WHERE_ABOVE_0(v, x) _mm512_mask_blend_pd(_mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_LE_OQ), x, _mm512_setzero_pd())
#elif SIZE == 4
#define vreal __m256
#define N_LANES 8
#define MASK __m256i
#define MASK_OF(n) _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define LOAD _mm256_loadu_ps
#define LOAD_PART(mask, p) _mm256_maskload_ps(p, mask)
#define STORE _mm256_storeu_ps
#define STORE_PART(mask, p, v) _mm256_maskstore_ps(p, mask, v)
#define SET _mm256_set1_ps
#define ADD _mm256_add_ps
#define FMA _mm256_fmadd_ps
#define MAX _mm256_max_ps
#define SUM sum_of_8
#define WHERE_ABOVE_0(v, x) _mm256_andnot_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_LE_OQ), x)
#else
#define vreal __m256d
#define N_LANES 4
#define MASK __m256i
#define MASK_OF(n) _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)(n)), _mm256_setr_epi64x(0, 1, 2, 3))
#define LOAD _mm256_loadu_pd
#define LOAD_PART(mask, p) _mm256_maskload_pd(p, mask)
#define STORE _mm256_storeu_pd
#define STORE_PART(mask, p, v) _mm256_maskstore_pd(p, mask, v)
#define SET _mm256_set1_pd
#define ADD _mm256_add_pd
#define FMA _mm256_fmadd_pd
#define MAX _mm256_max_pd
#define SUM sum_of_4
#define WHERE_ABOVE_0(v, x) _mm256_andnot_pd(_mm256_cmp_pd(v, _mm256_setzero_pd(), _CMP_LE_OQ), x)
#endif

/* Registers: AVX-512 has 32, AVX2 16. A panel is as wide as a block of the result. Blocks by falling height: one is
 * taken where it leaves no row, or half as many as it has, as a block of a row or two reads as much of B as a full one. */
#define HEIGHT_FITS(height, left) ((left) == (height) || 2 * (left) >= 3 * (height))
/* Blocks of slivers begin where one does. */
#define TAKE_BLOCK(height, left, slivers) (SLIVERS && (slivers) ? (height) <= MR_SLIVER && (left) >= (height) : HEIGHT_FITS(height, left))
#define BLOCKS(BLOCK) BLOCKS_4(BLOCK) BLOCKS_3(BLOCK) BLOCKS_2(BLOCK) BLOCKS_1(BLOCK)
#define BLOCKS_OF(n_vectors, BLOCK) \
    switch (n_vectors) { \
    case 4: BLOCKS_4(BLOCK) break; \
    case 3: BLOCKS_3(BLOCK) break; \
    case 2: BLOCKS_2(BLOCK) break; \
    default: BLOCKS_1(BLOCK) \
    }
#if defined(__AVX512F__)
#define NR (4 * N_LANES)
#define GEMV_VECTORS 16
#define BLOCKS_4(BLOCK) BLOCK(6, 4) BLOCK(5, 4) BLOCK(4, 4) BLOCK(3, 4) BLOCK(2, 4) BLOCK(1, 4)
#define BLOCKS_3(BLOCK) BLOCK(8, 3) BLOCK(6, 3) BLOCK(4, 3) BLOCK(2, 3) BLOCK(1, 3)
#define BLOCKS_2(BLOCK) BLOCK(12, 2) BLOCK(10, 2) BLOCK(8, 2) BLOCK(6, 2) BLOCK(4, 2) BLOCK(2, 2) BLOCK(1, 2)
#define BLOCKS_1(BLOCK) BLOCK(16, 1) BLOCK(8, 1) BLOCK(4, 1) BLOCK(2, 1) BLOCK(1, 1)
#define NARROW_ROWS 24 /* of A' B, at most, that take half panels: these stay in L1 from block to block */
#define STREAMS(n_rows, n, ld) false
#define COPY_A false
#define PACK_A_BYTES (112 * 4 * KC) /* bytes of A that are copied together where a sum runs over rows */
#define SLIVERS false
#define PACK_TILE 192
#define PANELS 1
#define KC_ROWS KC /* of a block of a sum over rows */
#define COPY_AHEAD AHEAD /* rows that are fetched ahead where they are copied */
#define PACKS(depth, ld) ((ld) * SIZE >= PACK_BYTES)
#define PACKS_ROWS(n, ld) ((n) >= 256 && (ld) * SIZE >= PACK_BYTES) /* of a sum over n rows, for PACK_TILE rows of C */
#define PREFETCHES_B(packed, r) true /* a block fetches its panel of B ahead: the panel is longer than L1 */
#define UNROLL_SUM_2
#define UNROLL_SUM_4
#define DOT_ROWS 4
#define DOT_NARROW(BLOCK) BLOCK(1, 1) BLOCK(1, 2) BLOCK(2, 1) BLOCK(2, 2) BLOCK(3, 1) BLOCK(3, 2) BLOCK(4, 1) BLOCK(4, 2)
#define DOT_COLUMNS 5
#define DOT_MOST (2 * N_LANES) /* columns that are taken in pieces of their sums */
#define DOT_PIECE 28672        /* bytes of a piece of the columns: with rows it fits L1 */
#define DOT_BLOCKS(BLOCK) \
    BLOCK(1, 1) BLOCK(1, 2) BLOCK(1, 3) BLOCK(1, 4) BLOCK(1, 5) BLOCK(2, 1) BLOCK(2, 2) BLOCK(2, 3) BLOCK(2, 4) \
    BLOCK(2, 5) BLOCK(3, 1) BLOCK(3, 2) BLOCK(3, 3) BLOCK(3, 4) BLOCK(3, 5) BLOCK(4, 1) BLOCK(4, 2) BLOCK(4, 3) \
    BLOCK(4, 4) BLOCK(4, 5)
#else
#define NR (3 * N_LANES)
#define GEMV_VECTORS 8
#define BLOCKS_4(BLOCK)
#define BLOCKS_3(BLOCK) BLOCK(4, 3) BLOCK(3, 3) BLOCK(2, 3) BLOCK(1, 3)
#define BLOCKS_2(BLOCK) BLOCK(6, 2) BLOCK(5, 2) BLOCK(4, 2) BLOCK(3, 2) BLOCK(2, 2) BLOCK(1, 2)
#define BLOCKS_1(BLOCK) BLOCK(12, 1) BLOCK(10, 1) BLOCK(8, 1) BLOCK(6, 1) BLOCK(4, 1) BLOCK(2, 1) BLOCK(1, 1)
#define NARROW_ROWS 0
#define STREAMS(n_rows, n, ld) ((n_rows) < DNN_STREAM_ROWS_MAX && COLLIDE(n, ld, DNN_L1_ALIAS_BYTES)) /* C has few rows, those of B collide */
#define COPY_A true
#define PACK_A_BYTES (200 * 4 * KC) /* a tile of 384 rows: B is copied once for it */
#define SLIVERS true
#define PACK_TILE 48
#define PANELS 6 /* that are copied at once for many rows: 576 bytes of each row of B, nine lines that follow each other */
#define KC_ROWS 256 /* a copy of A is then as wide as a tile, and B is copied once for it */
#define COPY_AHEAD 6   /* of rows 8 KB apart L1 holds 8 */
#define PACKS(depth, ld) ((depth) * (ld) * SIZE > 32768) /* panels of B lie scattered over more than L1 */
/* The same where the sum runs over n rows: over L2, or many rows. 128 rows 2 KB apart are read faster as they stand. */
#define PACKS_ROWS(n, ld) ((n) * (ld) * SIZE >= 524288 || ((n) >= 256 && (ld) * SIZE >= PACK_BYTES))
#define PREFETCHES_B(packed, r) (!(packed) && (r) == 0) /* the first block of rows, of a panel that was not copied */
#define UNROLL_SUM_2 UNROLL_2 /* instructions are what a core waits for that another program shares */
#define UNROLL_SUM_4 UNROLL_4
#define DOT_ROWS 3
#define DOT_NARROW(BLOCK) BLOCK(1, 1) BLOCK(1, 2) BLOCK(2, 1) BLOCK(2, 2) BLOCK(3, 1) BLOCK(3, 2)
#define DOT_COLUMNS 4
#define DOT_MOST (4 * N_LANES)
#define DOT_PIECE 24576
#define DOT_BLOCKS(BLOCK) \
    BLOCK(1, 1) BLOCK(1, 2) BLOCK(1, 3) BLOCK(1, 4) BLOCK(2, 1) BLOCK(2, 2) BLOCK(2, 3) BLOCK(2, 4) BLOCK(3, 1) \
    BLOCK(3, 2) BLOCK(3, 3) BLOCK(3, 4)
#endif

_Static_assert(KC * NR * SIZE + PACK_A_BYTES <= DNN_WORKSPACE_BYTES, "copies of a sum over rows");
_Static_assert(!SLIVERS || PANELS * KC * NR * SIZE + MANY_COPIED <= DNN_WORKSPACE_BYTES, "copies of a product of many rows");
_Static_assert(DNN_STREAM_ROWS_MAX * 2 * sizeof(vreal) <= STREAM_BYTES && STREAM_BYTES <= DNN_WORKSPACE_BYTES, "columns and sums that are streamed");
_Static_assert(DOT_PIECE + DOT_GROUP * DOT_MOST * sizeof(vreal) <= DNN_WORKSPACE_BYTES, "columns and sums of dots");

/* ---- C = A B ---- */

typedef struct {
    const REAL *A, *B, *bias, *slope; /* B: its first row in the block of the sum; A alike, if in slivers */
    REAL *C;
    const void *const *rows;       /* of A, or NULL */
    ptrdiff_t lda, ldb, ldc, lds;
    ptrdiff_t k, depth;            /* the block of the sum */
    MASK mask;                     /* of the last vector */
    bool part, first, last;        /* that vector is masked; the first, the last block */
    bool packed;                   /* B was copied together, and is in the cache */
    bool slivers;                  /* A was copied in slivers */
    int epilogue;
} NAME(Panel);

/* What a block looks at when its sum has run: a long one takes longer than the memory. */
INLINE void NAME(fetch_rows)(const int n_rows, const int n_vectors, const REAL *at, ptrdiff_t ld)
{
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_vectors; j += 64 / (int)sizeof(vreal))
            __builtin_prefetch(at + i * ld + j * N_LANES, 1);
}

INLINE void NAME(panel_block)(const int n_rows, const int n_vectors, const bool part, const bool fetch,
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
        NAME(fetch_rows)(n_rows, n_vectors, p->C + r * p->ldc, p->ldc);
    if (slivers && p->last && p->epilogue == DNN_EPILOGUE_RELU_SLOPE)
        NAME(fetch_rows)(n_rows, n_vectors, p->slope + r * p->lds, p->lds);
    UNROLL_SUM_4
    for (ptrdiff_t k = 0; k < depth; k++) {
        vreal column[4];
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            column[j] = part && j == n_vectors - 1 ? LOAD_PART(p->mask, b + j * N_LANES) : LOAD(b + j * N_LANES);
        UNROLL
        for (int j = 0; fetch && j < n_vectors; j += 64 / (int)sizeof(vreal))
            __builtin_prefetch(b + AHEAD * ldb + j * N_LANES);
        UNROLL
        for (int i = 0; i < n_rows; i++) {
            const vreal number = SET(slivers ? sliver[i] : a[i][k]);
            UNROLL
            for (int j = 0; j < n_vectors; j++)
                sum[i][j] = FMA(number, column[j], sum[i][j]);
        }
        b += ldb;
        sliver += MR_SLIVER;
    }
    /* What is asked once for the block: asked for each vector, it would take as long as a short sum. */
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
                sum[i][j] = MAX(SET(0), sum[i][j]); /* NaN stays: the second operand comes out */
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
    static __attribute__((noinline)) void NAME(panel_##R##_##N)(const NAME(Panel) *p, ptrdiff_t r)           \
    {                                                                                                        \
        if (SLIVERS && R <= MR_SLIVER && p->slivers) {                                                          \
            if (p->part)                                                                                     \
                NAME(panel_block)(R, N, true, false, true, p, r);                                            \
            else                                                                                             \
                NAME(panel_block)(R, N, false, false, true, p, r);                                           \
        } else if (p->part)                                                                                  \
            NAME(panel_block)(R, N, true, true, false, p, r);                                                \
        else if (PREFETCHES_B(p->packed, r))                                                                      \
            NAME(panel_block)(R, N, false, true, false, p, r);                                               \
        else                                                                                                 \
            NAME(panel_block)(R, N, false, false, false, p, r);                                              \
    }
BLOCKS(BLOCK)
#undef BLOCK

/* One row, GEMV_VECTORS vectors: B is read once, and in longer pieces, which the memory gives faster. */
static void NAME(wide_row)(const NAME(Panel) *p)
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
            __builtin_prefetch(b + AHEAD / 4 * p->ldb + j * N_LANES);
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

/* Columns of the next panel, where so many are left: two panels of two vectors rather than one of three and a rest. */
INLINE ptrdiff_t NAME(panel_width)(ptrdiff_t left)
{
    return NR == 3 * N_LANES && left > NR && left <= 4 * N_LANES ? 2 * N_LANES : min_(NR, left);
}

/* All rows of a panel of n vectors. */
static void NAME(panel)(int n_vectors, ptrdiff_t n_rows, const NAME(Panel) *p)
{
    ptrdiff_t r = 0;
#define BLOCK(R, N)                                                                                          \
    for (; TAKE_BLOCK(R, n_rows - r, p->slivers); r += R)                                                         \
        NAME(panel_##R##_##N)(p, r);
    BLOCKS_OF(n_vectors, BLOCK)
#undef BLOCK
}

/* Columns of a matrix, n rows of them one behind the other: where it is wide its rows fall on few lines of the cache,
 * and on a page each. */
static void NAME(copy_strip)(ptrdiff_t n, ptrdiff_t width, const REAL *A, ptrdiff_t lda, const void *const *rows,
                             ptrdiff_t column, REAL *to, ptrdiff_t ld)
{
    const ptrdiff_t whole = width / N_LANES * N_LANES;
    const MASK mask = MASK_OF(width - whole);
    for (ptrdiff_t r = 0; r < n; r++, A += lda, to += ld) {
        const REAL *a = (rows ? (const REAL *)rows[r] : A) + column;
        if (width == NR)
            UNROLL
            for (int j = 0; j < NR; j += N_LANES) {
                __builtin_prefetch(a + COPY_AHEAD * lda + j);
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

/* So many columns of n rows of B, panel by panel: whole ones side by side, as they lie there. */
static void NAME(copy_panels)(ptrdiff_t n, ptrdiff_t n_cols, const REAL *B, ptrdiff_t ldb, REAL *to)
{
    ptrdiff_t whole = 0;
    while (n_cols - whole * NR >= NR && NAME(panel_width)(n_cols - whole * NR) == NR)
        whole++;
    if (whole > 1)
        for (ptrdiff_t r = 0; r < n; r++) {
            const REAL *b = B + r * ldb;
            REAL *at = to + r * NR;
            for (ptrdiff_t c = 0; c < whole * NR; c += 64 / SIZE)
                __builtin_prefetch(b + COPY_AHEAD * ldb + c);
            for (ptrdiff_t q = 0; q < whole; q++, b += NR, at += n * NR)
                UNROLL
                for (int j = 0; j < NR; j += N_LANES)
                    STORE(at + j, LOAD(b + j));
        }
    else
        whole = 0;
    for (ptrdiff_t c = whole * NR, width; c < n_cols; c += width, whole++) {
        width = NAME(panel_width)(n_cols - c);
        NAME(copy_strip)(n, width, B + c, ldb, NULL, 0, to + whole * n * NR, NR);
    }
}

/* Rows of A in slivers, of the sum the numbers k .. k + depth. */
static void NAME(copy_slivers)(ptrdiff_t n_rows, ptrdiff_t depth, const REAL *A, ptrdiff_t lda, const void *const *rows,
                               ptrdiff_t k, REAL *to)
{
    for (ptrdiff_t r = 0; r < n_rows; r += MR_SLIVER, to += MR_SLIVER * depth) {
        const REAL *a[MR_SLIVER];
        for (int i = 0; i < MR_SLIVER; i++) {
            const ptrdiff_t at = min_(r + i, n_rows - 1); /* the last row again: nobody looks at it */
            a[i] = (rows ? (const REAL *)rows[at] : A + at * lda) + k;
        }
        for (ptrdiff_t d = 0; d < depth; d++)
            for (int i = 0; i < MR_SLIVER; i++)
                to[MR_SLIVER * d + i] = a[i][d];
    }
}

static void NAME(gemm_nn)(int epilogue, ptrdiff_t n_rows, ptrdiff_t n_cols, ptrdiff_t depth, const void *A_,
                          ptrdiff_t lda, const void *const *rows, const void *B_, ptrdiff_t ldb,
                          const void *bias_, const void *slope, ptrdiff_t lds, void *C, ptrdiff_t ldc, void *workspace)
{
    const REAL *A = A_, *B = B_, *bias = bias_;
    const ptrdiff_t n_blocks = depth > KC ? (depth + KC - 1) / KC : 1, step = (depth + n_blocks - 1) / n_blocks;
    const bool pack = workspace && n_rows >= PACK_ROWS && PACKS(step, ldb), many = SLIVERS && pack && n_rows >= MANY_ROWS;
    const ptrdiff_t group = many ? MANY_COPIED / SIZE / step / MR_SLIVER * MR_SLIVER : n_rows;
    REAL *packed = workspace, *strip = many ? packed + PANELS * KC * NR : NULL;
    NAME(Panel) p = {.A = many ? strip : A, .lda = lda, .rows = rows, .ldb = pack ? NR : ldb, .ldc = ldc, .lds = lds,
                     .packed = pack, .slivers = many, .epilogue = epilogue};
    for (p.k = 0; p.k == 0 || p.k < depth; p.k += step) {
        p.depth = min_(step, depth - p.k);
        p.first = p.k == 0;
        p.last = p.k + step >= depth;
        for (ptrdiff_t r = 0; r < n_rows; r += group) {
            const ptrdiff_t some = min_(group, n_rows - r);
            ptrdiff_t c = 0;
            if (many)
                NAME(copy_slivers)(some, p.depth, A ? A + r * lda : NULL, lda, rows ? rows + r : NULL, p.k, strip);
            if (n_rows == 1 && epilogue != DNN_EPILOGUE_RELU_SLOPE)
                for (; c + GEMV_VECTORS * N_LANES <= n_cols; c += GEMV_VECTORS * N_LANES) {
                    p.B = B + p.k * ldb + c;
                    p.bias = bias ? bias + c : NULL;
                    p.C = (REAL *)C + c;
                    NAME(wide_row)(&p);
                }
            for (ptrdiff_t width, copied = 0; c < n_cols; c += width) {
                width = NAME(panel_width)(n_cols - c);
                const int n_vectors = (int)((width + N_LANES - 1) / N_LANES);
                p.B = pack ? p.B + p.depth * NR : B + p.k * ldb + c;
                if (pack && c == copied) {
                    for (int i = 0; i < (many ? PANELS : 1) && copied < n_cols; i++)
                        copied += NAME(panel_width)(n_cols - copied);
                    NAME(copy_panels)(p.depth, copied - c, B + p.k * ldb + c, ldb, packed);
                    p.B = packed;
                }
                p.part = width % N_LANES != 0;
                p.mask = MASK_OF(width - (n_vectors - 1) * N_LANES);
                p.bias = bias ? bias + c : NULL;
                p.slope = slope ? (const REAL *)slope + r * lds + c : NULL;
                p.C = (REAL *)C + r * ldc + c;
                NAME(panel)(n_vectors, some, &p);
            }
        }
        if (depth == 0) /* no rows of B: C is the bias */
            break;
    }
}

/* ---- C = A T' ---- */

/* sums: of the block so far, a vector each, n_cols apart from row to row; read unless first, written unless last. */
INLINE void NAME(dot_block)(const int n_rows, const int n_columns, const REAL *const *a, const REAL *T, ptrdiff_t ldt,
                            ptrdiff_t depth, vreal *sums, ptrdiff_t n_cols, bool first, bool last, int epilogue,
                            const REAL *bias, REAL *C, ptrdiff_t ldc)
{
    vreal sum[DOT_ROWS][DOT_COLUMNS];
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
        vreal row[DOT_ROWS];
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

/* The same for all columns where they are one or two: a number of C is the sum of n_sums vectors, to which the vectors of
 * the sum go by turns, as a row alone would otherwise wait for each addition to end. */
INLINE void NAME(dot_narrow)(const int n_rows, const int n_columns, const int n_sums, const REAL *const *a, const REAL *T,
                             ptrdiff_t ldt, ptrdiff_t depth, int epilogue, const REAL *bias, REAL *C, ptrdiff_t ldc)
{
    vreal sum[DOT_ROWS][2][DOT_SUMS];
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

static void NAME(dots_narrow)(ptrdiff_t n_rows, ptrdiff_t n_cols, ptrdiff_t depth, const REAL *A, ptrdiff_t lda,
                              const void *const *rows, const REAL *T, ptrdiff_t ldt, int epilogue, const REAL *bias, REAL *C,
                              ptrdiff_t ldc)
{
    for (ptrdiff_t r = 0; r < n_rows;) {
        const int height = (int)min_(DOT_ROWS, n_rows - r);
        const REAL *a[DOT_ROWS];
        for (int i = 0; i < height; i++)
            a[i] = rows ? (const REAL *)rows[r + i] : A + (r + i) * lda;
        switch (8 * height + (int)n_cols) {
#define CASE(R, N)                                                                                           \
    case 8 * R + N:                                                                                          \
        NAME(dot_narrow)(R, N, DOT_SUMS / N, a, T, ldt, depth, epilogue, bias, C + r * ldc, ldc);              \
        break;
            DOT_NARROW(CASE)
#undef CASE
        }
        r += height;
    }
}

/* One piece of the sum, for all rows and columns. */
static void NAME(dot_piece)(ptrdiff_t n_rows, ptrdiff_t n_cols, ptrdiff_t depth, const REAL *A, ptrdiff_t lda,
                            const void *const *rows, ptrdiff_t k, const REAL *T, ptrdiff_t ldt, vreal *sums, bool first,
                            bool last, int epilogue, const REAL *bias, REAL *C, ptrdiff_t ldc)
{
    for (ptrdiff_t r = 0; r < n_rows;) {
        const int height = (int)min_(DOT_ROWS, n_rows - r);
        const REAL *a[DOT_ROWS];
        for (int i = 0; i < height; i++)
            a[i] = (rows ? (const REAL *)rows[r + i] : A + (r + i) * lda) + k;
        for (ptrdiff_t c = 0; c < n_cols; c += DOT_COLUMNS)
            switch (8 * height + (int)min_(DOT_COLUMNS, n_cols - c)) {
#define CASE(R, N)                                                                                           \
    case 8 * R + N:                                                                                          \
        NAME(dot_block)(R, N, a, T + c * ldt, ldt, depth, sums ? sums + r * n_cols + c : NULL, n_cols, first, last, epilogue, \
                        bias ? bias + c : NULL, C + r * ldc + c, ldc);                                       \
        break;
                DOT_BLOCKS(CASE)
#undef CASE
            }
        r += height;
    }
}

/* Where rows are read again for further columns, the sum is cut into pieces short enough that rows and the columns, which
 * are copied together, stay in L1. Sums wait in memory meanwhile: the order of additions is that of one piece. */
static void NAME(gemm_nt)(int epilogue, ptrdiff_t n_rows, ptrdiff_t n_cols, ptrdiff_t depth, const void *A_,
                       ptrdiff_t lda, const void *const *rows, const void *T_, ptrdiff_t ldt, const void *bias,
                       void *C_, ptrdiff_t ldc, void *workspace)
{
    const REAL *A = A_, *T = T_;
    REAL *C = C_, *packed = workspace;
    if (n_cols == 1 || n_cols == 2) {
        NAME(dots_narrow)(n_rows, n_cols, depth, A, lda, rows, T, ldt, epilogue, bias, C, ldc);
        return;
    }
    vreal *sums = workspace ? (vreal *)((char *)workspace + DOT_PIECE) : NULL;
    const ptrdiff_t piece = DOT_PIECE / SIZE / (n_cols > 0 ? n_cols : 1) / N_LANES * N_LANES;
    if (!workspace || n_rows < DOT_LEAST || n_cols <= DOT_COLUMNS || n_cols > DOT_MOST || depth < 2 * piece) {
        NAME(dot_piece)(n_rows, n_cols, depth, A, lda, rows, 0, T, ldt, NULL, true, true, epilogue, bias, C, ldc);
        return;
    }
    for (ptrdiff_t r = 0; r < n_rows; r += DOT_GROUP)
        for (ptrdiff_t k = 0; k < depth; k += piece) {
            const ptrdiff_t some = min_(piece, depth - k);
            NAME(copy_strip)(n_cols, some, T, ldt, NULL, k, packed, piece);
            NAME(dot_piece)(min_(DOT_GROUP, n_rows - r), n_cols, some, A ? A + r * lda : NULL, lda,
                            rows ? rows + r : NULL, k, packed, piece, sums, k == 0, k + piece >= depth, epilogue, bias,
                            C + r * ldc, ldc);
        }
}

/* ---- C = A' B ---- */

INLINE void NAME(gradient_block)(const int n_rows, const int n_vectors, const bool part, const bool fetch, ptrdiff_t n,
                                 const REAL *a, ptrdiff_t lda, const REAL *b, ptrdiff_t ldb, MASK mask, bool first, REAL *C,
                                 ptrdiff_t ldc)
{
    vreal sum[16][4];
    UNROLL
    for (int i = 0; i < n_rows; i++)
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            sum[i][j] = SET(0);
    UNROLL_SUM_2
    for (ptrdiff_t r = 0; r < n; r++) {
        vreal column[4];
        UNROLL
        for (int j = 0; j < n_vectors; j++)
            column[j] = part && j == n_vectors - 1 ? LOAD_PART(mask, b + j * N_LANES) : LOAD(b + j * N_LANES);
        if (fetch)
            __builtin_prefetch(a + AHEAD * lda);
        UNROLL
        for (int i = 0; i < n_rows; i++) {
            const vreal number = SET(a[i]);
            UNROLL
            for (int j = 0; j < n_vectors; j++)
                sum[i][j] = FMA(number, column[j], sum[i][j]);
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
    static __attribute__((noinline)) void NAME(gradient_##R##_##N)(                                          \
        bool part, ptrdiff_t n, const REAL *a, ptrdiff_t lda, const REAL *b, ptrdiff_t ldb, MASK mask, bool first,    \
        REAL *C, ptrdiff_t ldc)                                                                              \
    {                                                                                                        \
        if (part)                                                                                            \
            NAME(gradient_block)(R, N, true, true, n, a, lda, b, ldb, mask, first, C, ldc);                  \
        else if (SLIVERS && lda == MR_SLIVER) /* in L1: nothing is to be fetched */                             \
            NAME(gradient_block)(R, N, false, false, n, a, MR_SLIVER, b, ldb, mask, first, C, ldc);             \
        else                                                                                                 \
            NAME(gradient_block)(R, N, false, true, n, a, lda, b, ldb, mask, first, C, ldc);                 \
    }
BLOCKS(BLOCK)
#undef BLOCK

/* A block of what is wanted once C is computed. Fetched all at once, ahead of the product, it would take the time that
 * the memory takes: few lines can be under way. */
INLINE void NAME(fetch_block)(const DnnPrefetch *prefetch, ptrdiff_t i, ptrdiff_t j, const int n_rows, const int n_vectors)
{
    for (int k = 0; k < prefetch->n; k++) {
        const ptrdiff_t stride = prefetch->matrix[k].stride;
        const bool transposed = prefetch->matrix[k].transposed;
        const char *at = prefetch->matrix[k].at + (transposed ? j * stride + i * SIZE : i * stride + j * SIZE);
        const int rows = transposed ? n_vectors * N_LANES : n_rows, bytes = transposed ? n_rows * SIZE : n_vectors * (int)sizeof(vreal);
        for (int r = 0; r < rows; r++, at += stride)
            for (int b = 0; b < bytes; b += 64)
                __builtin_prefetch(at + b, 1, 2);
    }
}

/* Columns of n rows of A in slivers, ld numbers apart. */
static void NAME(copy_columns)(ptrdiff_t n, ptrdiff_t width, const REAL *A, ptrdiff_t lda, const void *const *rows,
                               ptrdiff_t column, REAL *to, ptrdiff_t ld)
{
    for (ptrdiff_t r = 0; r < n; r++, A += lda, to += MR_SLIVER) {
        const REAL *a = (rows ? (const REAL *)rows[r] : A) + column;
        ptrdiff_t i = 0;
        for (ptrdiff_t at = 0; !rows && at < width; at += 64 / SIZE)
            __builtin_prefetch(a + 4 * lda + at);
        for (; i + MR_SLIVER <= width; i += MR_SLIVER)
            memcpy(to + i / MR_SLIVER * ld, a + i, MR_SLIVER * SIZE);
        memcpy(to + i / MR_SLIVER * ld, a + i, (size_t)(width - i) * SIZE);
    }
}

/* A block of the sum: all columns for rows 0 .. n_rows of C, from n rows of A and B, b columns of which start at column.
 * slivers: of A, lda apart, or A by rows. packed: room for a panel of B, or NULL for B where it stands. i0: the first row
 * in what is wanted. */
static void NAME(gradient_piece)(ptrdiff_t n, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *a, ptrdiff_t lda, bool slivers,
                                 const REAL *B, ptrdiff_t ldb, const void *const *rows, ptrdiff_t column, ptrdiff_t panel,
                                 REAL *packed, bool first, REAL *C, ptrdiff_t ldc, const DnnPrefetch *prefetch,
                                 ptrdiff_t i0)
{
    /* Rows that all begin so far behind a line of the cache, as those of NumPy's large arrays do: with a first panel that
     * is shorter by that, no vector of the others lies on two lines. */
    const bool skewed = !packed && ldb * SIZE % 64 == 0 && n_cols >= 4 * panel;
    const ptrdiff_t skew = skewed ? (ptrdiff_t)((uintptr_t)(B + column) % 64 / SIZE) : 0;
    for (ptrdiff_t j = 0, width; j < n_cols; j += width) {
        width = j == 0 && skew ? panel - skew : min_(panel, NAME(panel_width)(n_cols - j));
        const ptrdiff_t step = packed ? NR : ldb;
        const int n_vectors = (int)((width + N_LANES - 1) / N_LANES);
        const MASK mask = MASK_OF(width - (n_vectors - 1) * N_LANES);
        const REAL *b = packed ? packed : B + column + j;
        ptrdiff_t i = 0;
        if (packed)
            NAME(copy_strip)(n, width, B, ldb, rows, column + j, packed, NR);
#define BLOCK(R, N)                                                                                          \
    for (; TAKE_BLOCK(R, n_rows - i, slivers); i += R) {                                                          \
        if (prefetch)                                                                                          \
            NAME(fetch_block)(prefetch, i0 + i, j, R, N);                                                      \
        NAME(gradient_##R##_##N)(width % N_LANES != 0, n, slivers ? a + i / MR_SLIVER * lda + i % MR_SLIVER : a + i, \
                                 slivers ? MR_SLIVER : lda, b, step, mask, first, C + i * ldc + j, ldc);        \
    }
        BLOCKS_OF(n_vectors, BLOCK)
#undef BLOCK
    }
}

/* Few rows of C: numbers of some rows of B wait in registers, and C, so many columns of it, in L1. Rows of B are read once,
 * as they lie: panels of them would fall on few lines of the cache. Additions are in gradient_block's order. */
INLINE void NAME(stream_block)(const int height, const int n_vectors, const bool part, MASK mask, const bool first,
                               ptrdiff_t n_rows, const REAL *a, ptrdiff_t lda, const REAL *const *b, ptrdiff_t column, REAL *C,
                               ptrdiff_t ldc)
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
            const vreal number = SET(a[r * lda]);
            UNROLL
            for (int j = 0; j < n_vectors; j++)
                sum[j] = FMA(number, row[r][j], sum[j]);
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
    static __attribute__((noinline)) void NAME(stream_##R)(bool first, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *a, \
                                                           ptrdiff_t lda, const REAL *const *b, REAL *C, ptrdiff_t ldc)   \
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

/* sums: room for STREAM_BYTES, for blocks of the sum that are added to those before them. */
static void NAME(gradient_stream)(ptrdiff_t n, ptrdiff_t step, ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *A, ptrdiff_t lda,
                                  const REAL *B, ptrdiff_t ldb, const void *const *rows, ptrdiff_t column, REAL *C,
                                  ptrdiff_t ldc, REAL *sums)
{
    const ptrdiff_t most = STREAM_BYTES / SIZE / n_rows / (2 * N_LANES) * (2 * N_LANES);
    for (ptrdiff_t j = 0, width; j < n_cols; j += width) {
        width = min_(most, n_cols - j);
        for (ptrdiff_t k = 0; k < n; k += step) {
            REAL *to = k == 0 ? C + j : sums;
            const ptrdiff_t ld = k == 0 ? ldc : most, end = min_(k + step, n);
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
                    C[i * ldc + j + c] += sums[i * most + c];
        }
    }
}

/* Pointers in the innermost loop would cost 5 % for A and as much for B: rows that are gathered are copied together,
 * of A as many columns at once as the strip holds; those that collide too, or the loop takes up to twice as long. They need
 * the workspace bytes; without, nothing else is copied. */
static void NAME(gemm_tn)(ptrdiff_t n, ptrdiff_t n_rows, ptrdiff_t n_cols, const void *A_, ptrdiff_t lda,
                           const void *const *rows_a, ptrdiff_t i0, const void *B_, ptrdiff_t ldb,
                           const void *const *rows_b, ptrdiff_t j0, void *C_, ptrdiff_t ldc, void *workspace,
                           const DnnPrefetch *prefetch)
{
    const ptrdiff_t n_blocks = n > KC_ROWS ? (n + KC_ROWS - 1) / KC_ROWS : 1;
    const ptrdiff_t step = (n + n_blocks - 1) / n_blocks;
    const ptrdiff_t panel = n_rows <= NARROW_ROWS ? NR / 2 : NR;
    const bool pack = rows_b || (workspace && n_rows >= PACK_TILE && PACKS_ROWS(n, ldb));
    const bool copy = rows_a || (COPY_A && (pack || (workspace && COLLIDE(n, lda, DNN_L1_ALIAS_BYTES / 2)))), slivers = SLIVERS && pack && n_cols > N_LANES;
    REAL *C = C_, *packed = pack ? workspace : NULL, *strip = copy ? (REAL *)workspace + KC * NR : NULL;
    ptrdiff_t width = n_rows, ld = lda;
    if (workspace && !rows_a && n > 0 && STREAMS(n_rows, n, ldb)) {
        NAME(gradient_stream)(n, step, n_rows, n_cols, (const REAL *)A_ + i0, lda, B_, ldb, rows_b, j0, C, ldc, workspace);
        return;
    }
    if (n == 0)
        for (ptrdiff_t i = 0; i < n_rows; i++)
            memset(C + i * ldc, 0, (size_t)n_cols * SIZE);
    else if (copy) { /* an odd number of lines from row to row, or sliver to sliver: they fall on all sets of the cache */
        ld = slivers ? ((MR_SLIVER * step * SIZE + 63) / 64 | 1) * (64 / SIZE) : ((PACK_A_BYTES / 64 / step - 1) | 1) * (64 / SIZE);
        width = (slivers ? PACK_A_BYTES / SIZE / ld * MR_SLIVER : ld) / 48 * 48; /* which blocks of any height divide */
    }
    for (ptrdiff_t r = 0; r < n; r += step) {
        const ptrdiff_t some = min_(step, n - r);
        const REAL *A = rows_a ? NULL : (const REAL *)A_ + r * lda, *B = rows_b ? NULL : (const REAL *)B_ + r * ldb;
        const void *const *from = rows_a ? rows_a + r : NULL;
        for (ptrdiff_t i = 0; i < n_rows; i += width) {
            const ptrdiff_t height = min_(width, n_rows - i);
            if (slivers)
                NAME(copy_columns)(some, height, A, lda, from, i0 + i, strip, ld);
            else if (copy)
                NAME(copy_strip)(some, height, A, lda, from, i0 + i, strip, ld);
            NAME(gradient_piece)(some, height, n_cols, copy ? strip : A + i0 + i, ld, slivers, B, ldb, rows_b ? rows_b + r : NULL,
                                 j0, panel, packed, r == 0, C + i * ldc, ldc, r == 0 ? prefetch : NULL, i);
        }
    }
}

/* ---- T = X' ---- */

/* On AVX2 2 to 4 times as fast as what the compiler makes of the plain loop in body.h. AVX-512 has that one:
 * there nobody has compared them. */
#if !defined(__AVX512F__)

/* Rows of a square of vectors become columns. */
INLINE void NAME(turn)(vreal *v)
{
#if SIZE == 4
    vreal a[8], b[8];
    UNROLL
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 8; i += 4)
        UNROLL
        for (int k = 0; k < 2; k++) {
            b[i + 2 * k] = _mm256_shuffle_ps(a[i + k], a[i + 2 + k], 0x44);
            b[i + 2 * k + 1] = _mm256_shuffle_ps(a[i + k], a[i + 2 + k], 0xee);
        }
    UNROLL
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
#else
    vreal a[4];
    UNROLL
    for (int i = 0; i < 4; i += 2) {
        a[i] = _mm256_unpacklo_pd(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_pd(v[i], v[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 2; i++) {
        v[i] = _mm256_permute2f128_pd(a[i], a[i + 2], 0x20);
        v[i + 2] = _mm256_permute2f128_pd(a[i], a[i + 2], 0x31);
    }
#endif
}

/* A square, or what is left of one. */
static void NAME(transpose_rest)(ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *X, ptrdiff_t ldx, REAL *T, ptrdiff_t ldt)
{
    const MASK across = MASK_OF(n_cols), down = MASK_OF(n_rows);
    vreal v[N_LANES];
    for (int i = 0; i < N_LANES; i++)
        v[i] = i < n_rows ? LOAD_PART(across, X + i * ldx) : SET(0);
    NAME(turn)(v);
    for (int i = 0; i < n_cols; i++)
        STORE_PART(down, T + i * ldt, v[i]);
}

static void NAME(transpose)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *X_, ptrdiff_t ldx, void *T_, ptrdiff_t ldt)
{
    const REAL *X = X_;
    REAL *T = T_;
    for (ptrdiff_t c = 0; c < n_cols; c += N_LANES)
        for (ptrdiff_t r = 0; r < n_rows; r += N_LANES) {
            const REAL *x = X + r * ldx + c;
            REAL *t = T + c * ldt + r;
            if (n_rows - r < N_LANES || n_cols - c < N_LANES) {
                NAME(transpose_rest)(min_(N_LANES, n_rows - r), min_(N_LANES, n_cols - c), x, ldx, t, ldt);
                continue;
            }
            vreal v[N_LANES];
            UNROLL
            for (int i = 0; i < N_LANES; i++)
                v[i] = LOAD(x + i * ldx);
            NAME(turn)(v);
            UNROLL
            for (int i = 0; i < N_LANES; i++)
                STORE(t + i * ldt, v[i]);
        }
}
#endif

#undef vreal
#undef N_LANES
#undef MASK
#undef MASK_OF
#undef LOAD
#undef LOAD_PART
#undef STORE
#undef STORE_PART
#undef SET
#undef ADD
#undef FMA
#undef MAX
#undef SUM
#undef WHERE_ABOVE_0
#undef NR
#undef GEMV_VECTORS
#undef BLOCKS
#undef NARROW_ROWS
#undef STREAMS
#undef COPY_A
#undef PACK_A_BYTES
#undef SLIVERS
#undef PACK_TILE
#undef PANELS
#undef TAKE_BLOCK
#undef KC_ROWS
#undef COPY_AHEAD
#undef PACKS
#undef PACKS_ROWS
#undef PREFETCHES_B
#undef UNROLL_SUM_2
#undef UNROLL_SUM_4
#undef HEIGHT_FITS
#undef BLOCKS_OF
#undef BLOCKS_4
#undef BLOCKS_3
#undef BLOCKS_2
#undef BLOCKS_1
#undef DOT_ROWS
#undef DOT_COLUMNS
#undef DOT_MOST
#undef DOT_PIECE
#undef DOT_BLOCKS
