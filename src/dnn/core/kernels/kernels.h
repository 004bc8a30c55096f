/* The element-wise and small kernels: the tables of their names, and one table of pointers per
 * instruction set and precision.
 *
 * A kernel works on blocks of rows: n_rows rows of n_cols contiguous numbers, ld numbers from one row to
 * the next. `void *` stands for numbers of the table's precision. Nothing here allocates, locks or fails.
 * A number that comes out depends on the numbers that go in and on the block's shape, never on the
 * address of the block.
 *
 * To add an activation or a loss: one row here, its formulas in body.h, one line in
 * tests/reference.py. An optimizer also needs a frozen class in optimizers.py.
 */
#ifndef DNN_KERNELS_H
#define DNN_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* ROW(name, row_wise, slope_from_z, init, output, n_par, par0)
 *   row_wise      a row's outputs depend on all its pre-activations
 *   slope_from_z  the slope is computed from the pre-activations Z; otherwise from the outputs A
 *   init          the initializer that fits the weights before it
 *   output        it may be the last layer's
 *   n_par, par0   number of parameters and the default of the first */
#define DNN_ACTIVATIONS(ROW)                     \
    ROW(identity, 0, 0, "xavier", 1, 0, 0.0)     \
    ROW(sigmoid, 0, 0, "xavier", 1, 0, 0.0)      \
    ROW(tanh, 0, 0, "xavier", 1, 0, 0.0)         \
    ROW(relu, 0, 0, "he", 0, 0, 0.0)             \
    ROW(leaky_relu, 0, 0, "he", 0, 1, 0.01)      \
    ROW(softmax, 1, 0, "xavier", 1, 0, 0.0)      \
    ROW(elu, 0, 0, "he", 0, 1, 1.0)              \
    ROW(selu, 0, 0, "lecun", 0, 0, 0.0)          \
    ROW(gelu, 0, 1, "he", 0, 0, 0.0)             \
    ROW(gelu_tanh, 0, 1, "he", 0, 0, 0.0)        \
    ROW(silu, 0, 1, "he", 0, 0, 0.0)             \
    ROW(mish, 0, 1, "he", 0, 0, 0.0)             \
    ROW(softplus, 0, 0, "xavier", 1, 0, 0.0)     \
    ROW(exp, 0, 0, "xavier", 1, 0, 0.0)

/* ROW(id, name, output, classes, n_par, low, high)
 *   name       what users call it
 *   output     the output activation it is computed for, from the logits; "" where it is computed from the
 *              outputs of any element-wise activation
 *   classes    targets may be given as class numbers
 *   n_par      number of parameters; -1: one for each column of the outputs
 *   low, high  range of the targets */
#define DNN_LOSSES(ROW)                                                               \
    ROW(squared_error, "squared_error", "", 0, 0, -INFINITY, INFINITY)                \
    ROW(log_loss_sigmoid, "log_loss", "sigmoid", 0, 2, 0.0, 1.0)                      \
    ROW(log_loss_softmax, "log_loss", "softmax", 1, 2, 0.0, 1.0)                      \
    ROW(absolute_error, "absolute_error", "", 0, 0, -INFINITY, INFINITY)              \
    ROW(huber, "huber", "", 0, 1, -INFINITY, INFINITY)                                \
    ROW(quantile, "quantile", "", 0, -1, -INFINITY, INFINITY)                         \
    ROW(poisson_exp, "poisson", "exp", 0, 0, 0.0, INFINITY)                           \
    ROW(poisson_softplus, "poisson", "softplus", 0, 0, 0.0, INFINITY)

/* ROW(name, n_slots, n_hyper, whole_gradient)
 *   n_slots         numbers of state a parameter
 *   n_hyper         hyper-parameters besides the rate
 *   whole_gradient  an update needs the whole gradient first */
#define DNN_OPTIMIZERS(ROW)          \
    ROW(sgd, 0, 0, 0)                \
    ROW(momentum, 1, 1, 0)           \
    ROW(nesterov, 1, 1, 0)           \
    ROW(averaged, 1, 1, 0)           \
    ROW(adam, 2, 4, 0)               \
    ROW(rmsprop, 1, 2, 0)            \
    ROW(rmsprop_momentum, 2, 3, 0)

/* Functions of one number, for tests of their accuracy. ROW(name) */
#define DNN_FUNCTIONS(ROW) \
    ROW(exp)               \
    ROW(expm1)             \
    ROW(log1p)             \
    ROW(tanh)              \
    ROW(sigmoid)           \
    ROW(erf)               \
    ROW(erfc)              \
    ROW(log)

/* Bytes of the workspace in which matrix products pack operands. The caller hands it in, because a stack may be small. */
#define DNN_WORKSPACE_BYTES (1312 * 1024)

/* Rows that are a multiple of so many bytes apart share lines of L1. With AVX2, gemm_tn with fewer than DNN_STREAM_ROWS_MAX rows of C
 * reads the rows of B in sequence then; such rows are best on the right-hand side. */
#define DNN_L1_ALIAS_BYTES 4096
#define DNN_STREAM_ROWS_MAX 48

/* Kinds of epilogue */
#define DNN_EPILOGUE_NONE 0
#define DNN_EPILOGUE_RELU 1
#define DNN_EPILOGUE_RELU_SLOPE 2 /* 0 where the slope matrix is not above 0 */

#define DNN_MAX_PAR 2     /* parameters of an activation */
#define DNN_MAX_HYPER 4   /* hyper-parameters of an optimizer, the rate apart */
#define DNN_MAX_SCALARS 8 /* scalars of an update */
#define DNN_MAX_PREFETCH 4  /* parameters, an optimizer's slots, W' */

typedef struct {
    const char *name;
    int row_wise, slope_from_z;
    const char *init;
    int output, n_par;
    double par0;
} DnnActivation;

typedef struct {
    const char *id, *name, *output;
    int classes, n_par;
    double low, high;
} DnnLoss;

typedef struct {
    const char *name;
    int n_slots, n_hyper, whole_gradient;
} DnnOptimizer;

/* Each ends with a row whose first member is NULL. */
extern const DnnActivation dnn_activations[];
extern const DnnLoss dnn_losses[];
extern const DnnOptimizer dnn_optimizers[];
extern const char *const dnn_functions[];

/* A matrix. Element (r, c) is at[r * ld + column + c]; or, where rows is not NULL, rows[r][column + c]: rows that are read where
 * they are, in any order. A result has its elements at `at`. */
typedef struct {
    void *at;
    ptrdiff_t ld; /* elements from one row to the next */
    const void *const *rows;
    ptrdiff_t column;
} DnnMatrix;

/* What gemm_nn and gemm_nt do with an element of C before it leaves its register: add a bias (n_cols,), unless that is NULL, and
 * then by `kind`. */
typedef struct {
    int kind;
    const void *bias;
    DnnMatrix slope; /* of the shape of C: what DNN_EPILOGUE_RELU_SLOPE looks at */
} DnnEpilogue;

/* Matrices that an update will read or write once C is computed. They are fetched into the cache block by block of C, so that
 * fetching takes no time of its own. */
typedef struct {
    const char *at;
    ptrdiff_t stride; /* bytes from row to row */
    int transposed;   /* 0: of the shape of C, 1: of C' */
} DnnPrefetchMatrix;

typedef struct {
    int n;
    DnnPrefetchMatrix matrix[DNN_MAX_PREFETCH];
} DnnPrefetch;

typedef struct {
    const char *isa; /* "baseline", "avx2", "avx512" */
    int size;        /* bytes of a number */

    /* Z += b (n_cols; NULL: nothing is added), then A = f(Z). A may be Z itself. */
    void (*activate)(int activation, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const void *b,
                     void *Z, ptrdiff_t ldz, void *A, ptrdiff_t lda);

    /* dZ = dA f'. V holds A or Z, as the activation's row says. dZ may be dA or V itself.
     * softmax: the product with its full Jacobian, dZ_k = A_k (dA_k - sum_j A_j dA_j). */
    void (*slope)(int activation, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const void *vreal,
                  ptrdiff_t ldv, const void *dA, ptrdiff_t ldda, void *dZ, ptrdiff_t lddz);

    /* Returns sum_r w_r loss_r; dS (NULL: not wanted; may be S itself) = scale w_r dloss_r/dS;
     * losses (NULL: not wanted): (n_rows,), loss_r without its weight. par: as many numbers as the loss has
     *   log_loss  label smoothing s, 0 for none: the targets become (1 - s) y + s / 2 (sigmoid),
     *             (1 - s) y + s sum y / n_cols (softmax; class numbers alike);
     *             and what a row's loss is cut to, its gradient not; 0: nothing
     *   huber     delta
     *   quantile  the level of each column
     * S: logits, or outputs where the loss's row names no output. Targets: Y (n_rows, n_cols), or, where Y
     * is NULL, classes (n_rows,) in 0 .. n_cols - 1. w: (n_rows,) or NULL for ones; double always. */
    double (*loss)(int loss, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const void *S,
                   ptrdiff_t lds, const void *Y, ptrdiff_t ldy, const int64_t *classes, const double *w,
                   double scale, void *dS, ptrdiff_t ldds, double *losses);

    /* Returns l2 / 2 sum W^2 + l1 sum |W|; G (NULL: not wanted) += l2 W + l1 sign W, where sign 0 is 0. */
    double (*penalty)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *W, ptrdiff_t ldw, double l2, double l1,
                      void *G, ptrdiff_t ldg);

    /* One step of an optimizer on a block of parameters P with gradient G. State: slot k of a block stands
     * k * slot numbers behind S, laid out as P. scalars: from dnn_scalars. */
    void (*update)(int optimizer, const double *scalars, ptrdiff_t n_rows, ptrdiff_t n_cols, void *P,
                   ptrdiff_t ldp, const void *G, ptrdiff_t ldg, void *S, ptrdiff_t slot);

    /* out (n_cols,) = sums over the rows of X. */
    void (*column_sums)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *X, ptrdiff_t ldx, void *out);

    /* T (n_cols, n_rows) = X'. */
    void (*transpose)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *X, ptrdiff_t ldx, void *T,
                      ptrdiff_t ldt);

    /* 1 if each of n numbers is finite, else 0. */
    int (*all_finite)(ptrdiff_t n, const void *x);

    /* y = f(x), n numbers, f a row of DNN_FUNCTIONS. */
    void (*map)(int function, ptrdiff_t n, const void *x, void *y);

    /* Returns the sum of the squares of n numbers. */
    double (*sum_squares)(ptrdiff_t n, const void *x);

    /* X *= factor. */
    void (*scale)(ptrdiff_t n_rows, ptrdiff_t n_cols, double factor, void *X, ptrdiff_t ldx);

    /* sum = x + y, n numbers; sum may be x. */
    void (*add)(ptrdiff_t n, const void *x, const void *y, void *sum);

    /* mean += rate (x - mean), n numbers. */
    void (*average)(ptrdiff_t n, double rate, const void *x, void *mean);

    /* D = A / (1 - rate) where a unit is kept, 0 A where it is dropped: a NaN stays in sight. D may be A
     * itself. masks: (n_rows, n_cols), not 0 where a unit is kept; or NULL: drawn, a hash of key (dnn_key),
     * row (first_row for the first one here) and column. 0 <= rate < 1. */
    void (*dropout)(ptrdiff_t n_rows, ptrdiff_t n_cols, const uint8_t *masks, ptrdiff_t ldm, uint64_t key,
                    ptrdiff_t first_row, double rate, const void *A, ptrdiff_t lda, void *D, ptrdiff_t ldd);

    /* A sparse matrix, by what is stored: n elements, `values` at `columns`. */

    /* out = values after dropout of a row: those of a dense row with its zeros, bit for bit. out may be values itself. */
    void (*drop_stored)(ptrdiff_t n, const int32_t *columns, uint64_t key, ptrdiff_t row, double rate,
                        const void *values, void *out);

    /* c (n_cols,) += sum_k values[k] B[columns[k], :], in the order of k: a row of a sparse matrix times B. */
    void (*gather_add)(ptrdiff_t n, const int32_t *columns, const void *values, ptrdiff_t n_cols, const void *B,
                       ptrdiff_t ldb, void *c);

    /* C[columns[k], :] += values[k] B[rows[k], :], k = 0 .. n - 1: a block of rows of X' B. A row of C that is not
     * `seen` yet is overwritten, whatever it holds, and seen then. */
    void (*scatter_add)(ptrdiff_t n, const int32_t *columns, const int32_t *rows, const void *values,
                        ptrdiff_t n_cols, const void *B, ptrdiff_t ldb, void *C, ptrdiff_t ldc, uint8_t *seen);

    /* Matrix products: see gemm_nn.h, gemm_nt.h and gemm_tn.h. C must not overlap the others.
     * lanes: elements of a vector; 0: this table has no products, use BLAS.
     * workspace: DNN_WORKSPACE_BYTES on a cache line, for packed operands; or NULL, which is allowed unless gemm_tn is given rows. */
    int lanes;

    /* C (M, N) = epilogue(A (M, K) B (K, N) + bias). */
    void (*gemm_nn)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DnnMatrix *A, const DnnMatrix *B, const DnnMatrix *C,
                    const DnnEpilogue *epilogue, void *workspace);

    /* C (M, N) = epilogue(A (M, K) T' + bias), T (N, K). */
    void (*gemm_nt)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DnnMatrix *A, const DnnMatrix *T, const DnnMatrix *C,
                    const DnnEpilogue *epilogue, void *workspace);

    /* C (M, N) = A' B over K rows of A (K, M) and B (K, N). prefetch: or NULL. */
    void (*gemm_tn)(ptrdiff_t K, ptrdiff_t M, ptrdiff_t N, const DnnMatrix *A, const DnnMatrix *B, const DnnMatrix *C,
                    void *workspace, const DnnPrefetch *prefetch);
} DnnKernels;

#define DNN_FLOAT32 0
#define DNN_FLOAT64 1
#define DNN_N_ISA 3
/* Rows in rising order of width: baseline, avx2, avx512. A table that this build does not hold has
 * isa == NULL. */
extern const DnnKernels dnn_kernels_baseline[2], dnn_kernels_avx2[2], dnn_kernels_avx512[2];

/* The tables of row 0 .. DNN_N_ISA - 1 and a precision, or NULL where this build or this processor
 * lacks the instruction set. */
const DnnKernels *dnn_kernels(int isa, int precision);

/* The scalars of step number `step` (1, 2, ...) of an optimizer, in double. hyper: n_hyper numbers.
 *   momentum, nesterov, averaged   mu
 *   adam                           beta1, beta2, epsilon, form (0 paper, 1 uncorrected, 2 inside)
 *   rmsprop                        rho, epsilon
 *   rmsprop_momentum               rho, epsilon, mu (slot 0: mean square, slot 1: momentum) */
void dnn_scalars(int optimizer, const double *hyper, double rate, int64_t step, double *scalars);

/* The key of a layer's dropout masks at a step. */
uint64_t dnn_key(uint64_t seed, int64_t step, int layer);

/* Rows of row_bytes each, order[i] * stride bytes behind X, copied one behind the other, ld bytes apart. */
void dnn_gather(ptrdiff_t n_rows, ptrdiff_t row_bytes, const char *X, ptrdiff_t stride, const int64_t *order,
                char *out, ptrdiff_t ld);

/* Memory of its own pages, large ones where the system gives them, so that far apart places are found fast. NULL: there
 * is none left. To be freed by free. */
void *dnn_pages(size_t n_bytes);

/* Subnormal numbers become zero on this thread until dnn_flush_restore; returns what to restore. */
unsigned dnn_flush_subnormals(void);
void dnn_flush_restore(unsigned mode);

/* A steady clock, in seconds. */
double dnn_seconds(void);

#endif
