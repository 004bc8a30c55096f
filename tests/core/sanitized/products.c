/* The products, dense and of piecewise-linear columns, at edge shapes, on memory that ends where the matrices end, against
 * sums in double. Run under AddressSanitizer. */
#include "core/kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double get(const void *x, ptrdiff_t i, int size)
{
    return size == 4 ? ((const float *)x)[i] : ((const double *)x)[i];
}

static void *make(ptrdiff_t n, int size)
{
    void *x = malloc((size_t)(n > 0 ? n : 1) * (size_t)size);
    for (ptrdiff_t i = 0; i < n; i++) {
        const double v = (double)(rand() % 2000 - 1000) / 1000;
        if (size == 4)
            ((float *)x)[i] = (float)v;
        else
            ((double *)x)[i] = v;
    }
    return x;
}

static long compare(const char *what, double found, double wanted, int size, ptrdiff_t depth)
{
    const double bound = (size == 4 ? 2e-6 : 4e-15) * (double)(depth + 4);
    if (found - wanted <= bound && wanted - found <= bound)
        return 0;
    printf("%s: %g, not %g\n", what, found, wanted);
    return 1;
}

/* Rows that are ld elements apart, or, with rows, at any places; from a column on. */
static DnnMatrix matrix(void *at, ptrdiff_t ld, void *const *rows, ptrdiff_t column)
{
    const DnnMatrix m = {rows ? NULL : at, rows ? 0 : ld, (const void *const *)rows, column};
    return m;
}

static long try_shape(const DnnKernels *k, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K)
{
    const int size = k->size;
    long wrong = 0;
    void *A = make(M * K, size), *B = make(K * N, size), *T = make(N * K, size), *bias = make(N, size);
    void *S = make(M * N, size), *C = make(M * N, size), *D = make(M * N, size), *G = make(K * N, size);
    void *H = make(K * N, size);
    void **rows = malloc((size_t)(M + 1) * sizeof *rows), *workspace = aligned_alloc(64, DNN_WORKSPACE_BYTES);
    for (ptrdiff_t r = 0; r < M; r++)
        rows[r] = (char *)A + r * K * size;
    const DnnMatrix a = matrix(A, K, NULL, 0), gathered = matrix(NULL, 0, rows, 0), b = matrix(B, N, NULL, 0);
    const DnnMatrix t = matrix(T, K, NULL, 0), c_ = matrix(C, N, NULL, 0), d_ = matrix(D, N, NULL, 0);
    const DnnMatrix g_ = matrix(G, N, NULL, 0), h = matrix(H, N, NULL, 0);
    DnnEpilogue epilogue = {DNN_EPILOGUE_RELU, bias, matrix(S, N, NULL, 0)};
    k->gemm_nn(M, N, K, &a, &b, &c_, &epilogue, workspace);
    epilogue.kind = DNN_EPILOGUE_NONE;
    k->gemm_nt(M, N, K, &gathered, &t, &d_, &epilogue, workspace);
    for (ptrdiff_t m = 0; m < M; m++)
        for (ptrdiff_t n = 0; n < N; n++) {
            double c = get(bias, n, size), d = c;
            for (ptrdiff_t i = 0; i < K; i++) {
                c += get(A, m * K + i, size) * get(B, i * N + n, size);
                d += get(A, m * K + i, size) * get(T, n * K + i, size);
            }
            wrong += compare("gemm_nn", get(C, m * N + n, size), c < 0 ? 0 : c, size, K);
            wrong += compare("gemm_nt", get(D, m * N + n, size), d, size, K);
        }
    epilogue.kind = DNN_EPILOGUE_RELU_SLOPE;
    epilogue.bias = NULL;
    k->gemm_nn(M, N, K, &gathered, &b, &c_, &epilogue, workspace);
    k->gemm_tn(M, K, N, &a, &c_, &h, workspace, NULL);
    k->gemm_tn(M, K, N, &gathered, &c_, &g_, workspace, NULL);
    wrong += memcmp(G, H, (size_t)(K * N * size)) != 0; /* to the bit, wherever rows stand */
    for (ptrdiff_t i = 0; i < K; i++)
        for (ptrdiff_t n = 0; n < N; n++) {
            double g = 0;
            for (ptrdiff_t m = 0; m < M; m++) {
                g += get(A, m * K + i, size) * get(C, m * N + n, size);
                if (i == 0 && get(S, m * N + n, size) <= 0)
                    wrong += compare("slope", get(C, m * N + n, size), 0, size, K);
            }
            wrong += compare("gemm_tn", get(G, i * N + n, size), g, size, M * (K + 1));
        }
    free(A), free(B), free(T), free(bias), free(S), free(C), free(D), free(G), free(H), free(rows), free(workspace);
    return wrong;
}

/* The gradient of m units behind rows of `width` numbers, some columns of them: on the left they may be copied, on the right
 * streamed, as they stand and through pointers, and each time the bits are the same. */
static long try_rows(const DnnKernels *k, ptrdiff_t n, ptrdiff_t m, ptrdiff_t width, ptrdiff_t begin)
{
    const int size = k->size;
    const ptrdiff_t cols = width - begin;
    long wrong = 0;
    void *X = make(n * width, size), *Z = make(n * m, size), *G = make(cols * m, size), *H = make(cols * m, size);
    void **rows = malloc((size_t)n * sizeof *rows), *workspace = aligned_alloc(64, DNN_WORKSPACE_BYTES);
    for (ptrdiff_t r = 0; r < n; r++)
        rows[r] = (char *)X + r * width * size;
    const DnnMatrix x = matrix(X, width, NULL, begin), z = matrix(Z, m, NULL, 0), g_ = matrix(G, m, NULL, 0);
    const DnnMatrix across = matrix(H, cols, NULL, 0), along = matrix(H, m, NULL, 0);
    k->gemm_tn(n, cols, m, &x, &z, &g_, workspace, NULL);
    for (ptrdiff_t c = 0; c < cols; c++)
        for (ptrdiff_t i = 0; i < m; i++) {
            double g = 0;
            for (ptrdiff_t r = 0; r < n; r++)
                g += get(X, r * width + begin + c, size) * get(Z, r * m + i, size);
            wrong += compare("rows", get(G, c * m + i, size), g, size, n);
        }
    for (int pointers = 0; pointers < 2; pointers++) {
        const DnnMatrix through = matrix(X, width, pointers ? rows : NULL, begin);
        k->gemm_tn(n, m, cols, &z, &through, &across, workspace, NULL);
        for (ptrdiff_t c = 0; c < cols; c++)
            for (ptrdiff_t i = 0; i < m; i++)
                wrong += get(H, i * cols + c, size) != get(G, c * m + i, size);
        k->gemm_tn(n, cols, m, &through, &z, &along, workspace, NULL);
        wrong += memcmp(G, H, (size_t)(cols * m * size)) != 0;
    }
    free(X), free(Z), free(G), free(H), free(rows), free(workspace);
    return wrong;
}

/* Piecewise-linear columns: `groups` segments of `bins` columns, of which each row stores one element, and a plain column. */
static long try_segments(const DnnKernels *k, ptrdiff_t n, ptrdiff_t groups, ptrdiff_t bins, ptrdiff_t m)
{
    const int size = k->size;
    const ptrdiff_t plain = groups * bins, stored = groups + 1, cols = plain + 1;
    long wrong = 0;
    void *V = make(n * stored, size), *W = make(cols * m, size), *P = make(cols * m, size), *Z = make(n * m, size);
    void *G = make(cols * m, size), *z = make(m, size), *sorted = make(n * stored, size);
    int32_t *segments = malloc((size_t)cols * 4), *columns = malloc((size_t)(n * stored) * 4);
    int32_t *rows = malloc((size_t)(n * stored) * 4);
    int64_t *indptr = malloc((size_t)(n + 1) * 8), *begins = malloc((size_t)(cols + 1) * 8);
    int64_t *next = malloc((size_t)cols * 8);
    for (ptrdiff_t i = 0; i < cols; i++) {
        segments[i] = i < plain ? (int32_t)(i / bins * bins) : -1;
        if (segments[i] == i)
            memset((char *)P + i * m * size, 0, (size_t)(m * size));
        else if (segments[i] >= 0)
            k->add(m, (char *)P + (i - 1) * m * size, (char *)W + (i - 1) * m * size, (char *)P + i * m * size);
    }
    for (ptrdiff_t r = 0; r <= n; r++)
        indptr[r] = r * stored;
    for (ptrdiff_t e = 0; e < n * stored; e++) {
        const ptrdiff_t g = e % stored;
        columns[e] = (int32_t)(g < groups ? g * bins + rand() % bins : plain);
    }
    for (ptrdiff_t r = 0; r < n; r++) {
        const int32_t *own = columns + r * stored;
        k->gather_segments(stored, own, (char *)V + r * stored * size, segments, m, W, P, m, z);
        for (ptrdiff_t c = 0; c < m; c++) {
            double sum = 0;
            for (ptrdiff_t e = 0; e < stored; e++) {
                for (ptrdiff_t i = e < groups ? segments[own[e]] : own[e]; i < own[e]; i++)
                    sum += get(W, i * m + c, size);
                sum += get(V, r * stored + e, size) * get(W, own[e] * m + c, size);
            }
            wrong += compare("segments", get(z, c, size), sum, size, cols * bins);
        }
    }
    k->sort_stored(n, NULL, 0, indptr, columns, V, cols, 0, cols, begins, next, rows, sorted);
    k->gradient_segments(cols, segments, begins, rows, sorted, m, Z, m, G, m);
    for (ptrdiff_t i = 0; i < cols; i++)
        for (ptrdiff_t c = 0; c < m; c++) {
            double sum = 0;
            for (ptrdiff_t e = 0; e < n * stored; e++)
                if (columns[e] == i || (segments[i] >= 0 && segments[columns[e]] == segments[i] && columns[e] > i))
                    sum += (columns[e] == i ? get(V, e, size) : 1) * get(Z, e / stored * m + c, size);
            wrong += compare("gradient of segments", get(G, i * m + c, size), sum, size, n * bins);
        }
    free(V), free(W), free(P), free(Z), free(G), free(z), free(sorted), free(segments), free(columns), free(rows);
    free(indptr), free(begins), free(next);
    return wrong;
}

int main(void)
{
    static const ptrdiff_t some[] = {1, 2, 3, 5, 8, 13, 16, 17, 31, 48, 65};
    const int n = sizeof some / sizeof *some;
    long wrong = 0, tables = 0;
    for (int isa = 0; isa < DNN_N_ISA; isa++)
        for (int precision = 0; precision < 2; precision++) {
            const DnnKernels *k = dnn_kernels(isa, precision);
            if (!k)
                continue;
            for (int m = 0; m < n; m++)
                wrong += try_segments(k, some[m], m % 4, 1 + m % 7, some[(5 * m) % n]);
            wrong += try_segments(k, 70, 9, 24, 128) + try_segments(k, 64, 2, 256, 130) + try_segments(k, 9, 3, 1, 257);
            if (!k->lanes)
                continue;
            tables++;
            for (int m = 0; m < n; m++)
                for (int c = 0; c < n; c++)
                    for (int d = 0; d < n; d += 3)
                        wrong += try_shape(k, some[m], some[c], some[(d + m + c) % n]);
            wrong += try_shape(k, 13, 70, 1100) + try_shape(k, 1100, 70, 13) + try_shape(k, 3, 5, 4100);
            /* Rows enough, and wide enough, for panels that are copied together */
            wrong += try_shape(k, 97, 300, 600) + try_shape(k, 96, 257, 13) + try_shape(k, 100, 303, 1);
            /* The same for the gradient, whose gathered rows take two strips */
            wrong += try_shape(k, 520, 300, 200) + try_shape(k, 150, 7, 4100) + try_shape(k, 129, 8, 4099);
            /* The same for rows that are copied in slivers, in two groups, and a gradient whose A is */
            wrong += try_shape(k, 1099, 70, 600) + try_shape(k, 259, 301, 51);
            /* Rows that fall on the same lines of L1: streamed in two blocks of a sum, in all heights and parts of a vector;
             * copied alone, as they are many units' or half a way apart; and for comparison rows that do not */
            wrong += try_rows(k, 517, 20, 1024, 3) + try_rows(k, 263, 47, 1024, 0) + try_rows(k, 208, 1, 1024, 1005);
            wrong += try_rows(k, 21, 60, 1024, 7) + try_rows(k, 40, 3, 512, 500) + try_rows(k, 17, 5, 1031, 0);
            wrong += try_shape(k, 1, 300, 600) + try_shape(k, 5, 9, 0);
        }
    printf("%ld wrong in %ld tables\n", wrong, tables);
    return wrong != 0 || tables == 0;
}
