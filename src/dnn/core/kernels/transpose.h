/* T (n_cols, n_rows) = X'. Part of one_precision.h.
 *
 * With AVX2, squares of vectors are transposed in registers, which is 2 to 4 times as fast as the compiler's code for
 * the other version. The baseline and AVX-512 use the other version, which is plain C; the two have not been compared
 * with AVX-512.
 */

#if defined(__AVX2__) && !defined(__AVX512F__)

/* Transposes a square of N_LANES vectors. */
INLINE void NAME(transpose_square)(vreal *v)
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

/* Transposes a square that has fewer rows or columns than lanes. */
static void NAME(transpose_rest)(ptrdiff_t n_rows, ptrdiff_t n_cols, const REAL *X, ptrdiff_t ldx, REAL *T, ptrdiff_t ldt)
{
    const MASK across = MASK_OF(n_cols), down = MASK_OF(n_rows);
    vreal v[N_LANES];
    for (int i = 0; i < N_LANES; i++)
        v[i] = i < n_rows ? LOAD_PART(across, X + i * ldx) : SET(0);
    NAME(transpose_square)(v);
    for (int i = 0; i < n_cols; i++)
        STORE_PART(down, T + i * ldt, v[i]);
}

static void NAME(transpose)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *X_, ptrdiff_t ldx, void *T_, ptrdiff_t ldt)
{
    const REAL *X = X_;
    REAL *T = T_;
    ASSERT_BLOCK(n_rows, n_cols, ldx);
    ASSERT_BLOCK(n_cols, n_rows, ldt);
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
            NAME(transpose_square)(v);
            UNROLL
            for (int i = 0; i < N_LANES; i++)
                STORE(t + i * ldt, v[i]);
        }
}

#else

/* A perfect shuffle of a square block of SIDE * SIDE elements, SIDE = 2^k: its first and its second half are
 * interleaved. The index of an element in binary is k digits of its row, then k digits of its column; a perfect shuffle
 * rotates these digits by one place, so that k of them exchange rows and columns. Compilers vectorize this loop as an
 * interleaving of vectors. An example with SIDE = 2, where one shuffle is enough:  a b | c d  ->  a c | b d */
static inline void NAME(shuffle)(const REAL *restrict from, REAL *restrict to)
{
    for (int i = 0; i < SIDE * SIDE / 2; i++) {
        to[2 * i] = from[i];
        to[2 * i + 1] = from[i + SIDE * SIDE / 2];
    }
}

static void NAME(transpose)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *X_, ptrdiff_t ldx, void *T_,
                            ptrdiff_t ldt)
{
    const REAL *restrict X = X_;
    REAL *restrict T = T_;
    const ptrdiff_t whole_rows = n_rows / SIDE * SIDE, whole_cols = n_cols / SIDE * SIDE;
    REAL block[SIDE * SIDE], shuffled[SIDE * SIDE];
    ASSERT_BLOCK(n_rows, n_cols, ldx);
    ASSERT_BLOCK(n_cols, n_rows, ldt);
    for (ptrdiff_t c = 0; c < whole_cols; c += SIDE)
        for (ptrdiff_t r = 0; r < whole_rows; r += SIDE) {
            for (int i = 0; i < SIDE; i++)
                memcpy(block + i * SIDE, X + (r + i) * ldx + c, SIDE * sizeof *X);
            for (int side = 1; side < SIDE; side *= 4) { /* two shuffles at a time */
                NAME(shuffle)(block, shuffled);
                NAME(shuffle)(shuffled, block);
            }
            for (int i = 0; i < SIDE; i++)
                memcpy(T + (c + i) * ldt + r, block + i * SIDE, SIDE * sizeof *T);
        }
    for (ptrdiff_t c = 0; c < n_cols; c++)
        for (ptrdiff_t r = c < whole_cols ? whole_rows : 0; r < n_rows; r++)
            T[c * ldt + r] = X[r * ldx + c];
}

#endif
