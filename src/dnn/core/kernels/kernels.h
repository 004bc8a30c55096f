/* The contract of the kernels: the tables of activations, losses and optimizers, and one table of function pointers per
 * instruction set and precision.
 *
 * A kernel works on blocks of rows: n_rows rows of n_cols contiguous elements, with ld >= n_cols elements from one row
 * to the next (any ld if there is at most one row). Sizes are at least 0. `void *` points at elements of the table's
 * precision, aligned as the compiler aligns them. Blocks do not overlap, unless a kernel's comment allows it. No kernel
 * allocates, locks or fails. A result depends on the values of the arguments and on the shape of the block, never on
 * the address of the block. Preconditions are checked by assertions if a kernel is compiled without NDEBUG, as
 * tests/core/test_sanitizers.py does.
 *
 * To add an activation or a loss: one row here, its formulas in activations.h or losses.h, one line in
 * tests/reference.py. An optimizer: one row here, its formula in optimizers.h, its scalars in baseline.c, and a frozen
 * class in optimizers.py.
 */
#ifndef DNN_KERNELS_H
#define DNN_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* ROW(name, row_wise, slope_from_z, init, output, n_par, par0)
 *   row_wise      a row's outputs depend on all its pre-activations
 *   slope_from_z  the slope is computed from the pre-activations Z; otherwise from the outputs A
 *   init          the default initializer of the layer's weights
 *   output        it may be the activation of the last layer
 *   n_par, par0   number of parameters, and the default of the first one */
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
 *   name       the name in the public interface
 *   output     the output activation that the loss is computed for, from the logits; "": it is computed from the
 *              outputs of any element-wise activation
 *   classes    targets may be given as class indices
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
 *   n_slots         elements of state per parameter
 *   n_hyper         number of hyper-parameters, without the learning rate
 *   whole_gradient  the first update needs the whole gradient */
#define DNN_OPTIMIZERS(ROW)          \
    ROW(sgd, 0, 0, 0)                \
    ROW(momentum, 1, 1, 0)           \
    ROW(nesterov, 1, 1, 0)           \
    ROW(averaged, 1, 1, 0)           \
    ROW(adam, 2, 4, 0)               \
    ROW(rmsprop, 1, 2, 0)            \
    ROW(rmsprop_momentum, 2, 3, 0)

/* Functions of one value, for tests of their accuracy. ROW(name) */
#define DNN_FUNCTIONS(ROW) \
    ROW(exp)               \
    ROW(expm1)             \
    ROW(log1p)             \
    ROW(tanh)              \
    ROW(sigmoid)           \
    ROW(erf)               \
    ROW(erfc)              \
    ROW(log)

/* Bytes of the workspace in which matrix products pack operands. The caller provides it, because a stack may be small. */
#define DNN_WORKSPACE_BYTES (1312 * 1024)

/* Kinds of epilogue */
#define DNN_EPILOGUE_NONE 0
#define DNN_EPILOGUE_RELU 1
#define DNN_EPILOGUE_RELU_SLOPE 2 /* elements become 0 where the slope matrix is 0 or below; NaN counts as above 0 */

#define DNN_MAX_PAR 2      /* parameters of an activation */
#define DNN_MAX_HYPER 4    /* hyper-parameters of an optimizer, without the learning rate */
#define DNN_MAX_SCALARS 8  /* scalars of an update */
#define DNN_MAX_PREFETCH 4 /* the matrices of an update: parameters, two slots of an optimizer, W' */

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

/* Each table ends with a row whose first member is NULL. */
extern const DnnActivation dnn_activations[];
extern const DnnLoss dnn_losses[];
extern const DnnOptimizer dnn_optimizers[];
extern const char *const dnn_functions[];

/* A matrix. Element (r, c) is at[r * ld + column + c] if rows is NULL. Otherwise it is rows[r][column + c], so that
 * rows can be read in any order without copying them. The matrix of a result has neither rows nor a column. */
typedef struct {
    void *at;
    ptrdiff_t ld;            /* elements from one row to the next */
    const void *const *rows; /* the address of each row, or NULL */
    ptrdiff_t column;        /* the first column */
} DnnMatrix;

/* The operations that gemm_nn and gemm_nt apply to an element of C before it leaves its register: they add a bias (N,),
 * unless it is NULL, and then apply `kind`. */
typedef struct {
    int kind;
    const void *bias;
    DnnMatrix slope; /* (M, N), for DNN_EPILOGUE_RELU_SLOPE only, which gemm_nt does not have */
} DnnEpilogue;

/* Matrices that an update will read or write once C is computed. gemm_tn prefetches them block by block of C, while it
 * computes. */
typedef struct {
    const char *at;
    ptrdiff_t stride; /* bytes from one row to the next */
    int transposed;   /* 0: the matrix has the shape of C, 1: the shape of C' */
} DnnPrefetchMatrix;

typedef struct {
    int n;
    DnnPrefetchMatrix matrix[DNN_MAX_PREFETCH];
} DnnPrefetch;

typedef struct {
    const char *isa; /* "baseline", "avx2", "avx512" */
    int size;        /* bytes of an element */

    /* Z += b (n_cols,), unless b is NULL; then A = f(Z). par: the activation's n_par parameters. A may be Z itself. */
    void (*activate)(int activation, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const void *b,
                     void *Z, ptrdiff_t ldz, void *A, ptrdiff_t lda);

    /* dZ = dA f'(Z). V is A or Z, as slope_from_z of the activation says. dZ may be dA or V itself.
     * softmax: the product of dA with the full Jacobian, dZ_k = A_k (dA_k - sum_j A_j dA_j). */
    void (*slope)(int activation, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const void *V,
                  ptrdiff_t ldv, const void *dA, ptrdiff_t ldda, void *dZ, ptrdiff_t lddz);

    /* Returns sum_r w_r loss_r. Unless dS is NULL, dS = scale w_r dloss_r/dS; dS may be S itself. Unless losses (n_rows,) is
     * NULL, losses[r] = loss_r, without its weight.
     *
     * S: the logits; or the outputs, if `output` of the loss is "". Targets: Y (n_rows, n_cols), or, if Y is NULL, classes
     * (n_rows,) in 0 .. n_cols - 1, for a loss with `classes`. w: (n_rows,), in double for either precision, or NULL
     * for ones. par: the parameters of the loss.
     *   log_loss  the label smoothing s, 0 for none: the targets become (1 - s) y + s / 2 (sigmoid), or
     *             (1 - s) y + s sum y / n_cols (softmax; a class index counts as y = 1 in its column);
     *             and the value that a row's loss is clipped to, 0 for none: its gradient is not clipped
     *   huber     delta
     *   quantile  the level of each column */
    double (*loss)(int loss, const double *par, ptrdiff_t n_rows, ptrdiff_t n_cols, const void *S,
                   ptrdiff_t lds, const void *Y, ptrdiff_t ldy, const int64_t *classes, const double *w,
                   double scale, void *dS, ptrdiff_t ldds, double *losses);

    /* Returns l2 / 2 sum W^2 + l1 sum |W|. Unless G is NULL, G += l2 W + l1 sign(W), where sign(0) is 0. */
    double (*penalty)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *W, ptrdiff_t ldw, double l2, double l1,
                      void *G, ptrdiff_t ldg);

    /* One step of an optimizer on a block of parameters P with gradient G. State: slot k of the block is at k * slot
     * elements after S, with ldp elements from one row to the next; S is not used if the optimizer has no slots.
     * scalars: from dnn_scalars. */
    void (*update)(int optimizer, const double *scalars, ptrdiff_t n_rows, ptrdiff_t n_cols, void *P,
                   ptrdiff_t ldp, const void *G, ptrdiff_t ldg, void *S, ptrdiff_t slot);

    /* out (n_cols,) = sums over the rows of X. */
    void (*column_sums)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *X, ptrdiff_t ldx, void *out);

    /* T (n_cols, n_rows) = X'. */
    void (*transpose)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *X, ptrdiff_t ldx, void *T,
                      ptrdiff_t ldt);

    /* Returns 1 if each of n elements is finite, otherwise 0. */
    int (*all_finite)(ptrdiff_t n, const void *x);

    /* y = f(x) for n elements, where f is a row of DNN_FUNCTIONS. y may be x itself. */
    void (*map)(int function, ptrdiff_t n, const void *x, void *y);

    /* Returns the sum of the squares of n elements. */
    double (*sum_squares)(ptrdiff_t n, const void *x);

    /* X *= factor, which is rounded to the precision first. */
    void (*scale)(ptrdiff_t n_rows, ptrdiff_t n_cols, double factor, void *X, ptrdiff_t ldx);

    /* sum = x + y for n elements; sum may be x or y itself. */
    void (*add)(ptrdiff_t n, const void *x, const void *y, void *sum);

    /* mean += rate (x - mean) for n elements. */
    void (*average)(ptrdiff_t n, double rate, const void *x, void *mean);

    /* D = A / (1 - rate) where a unit is kept, 0 A where it is dropped, so that a NaN remains visible. 0 <= rate < 1. D
     * may be A itself. masks: (n_rows, n_cols), not 0 where a unit is kept; or NULL: the mask is a hash of key (see
     * dnn_key), row (first_row for the first one) and column. */
    void (*dropout)(ptrdiff_t n_rows, ptrdiff_t n_cols, const uint8_t *masks, ptrdiff_t ldm, uint64_t key,
                    ptrdiff_t first_row, double rate, const void *A, ptrdiff_t lda, void *D, ptrdiff_t ldd);

    /* The kernels for a sparse matrix take its stored elements: n `values` with their `columns`, which are at least 0. */

    /* out = the values of a row after dropout: the same bits as those of the dense row. out may be values itself. */
    void (*drop_stored)(ptrdiff_t n, const int32_t *columns, uint64_t key, ptrdiff_t row, double rate,
                        const void *values, void *out);

    /* c (n_cols,) += sum_k values[k] B[columns[k], :], added in the order of k: a row of a sparse matrix times B. */
    void (*gather_add)(ptrdiff_t n, const int32_t *columns, const void *values, ptrdiff_t n_cols, const void *B,
                       ptrdiff_t ldb, void *c);

    /* C[columns[k], :] += values[k] B[rows[k], :] for k = 0 .. n - 1: a block of rows of X' B. The first time that a
     * row of C occurs, it is overwritten: seen[columns[k]] is 0 before, and 1 after that. */
    void (*scatter_add)(ptrdiff_t n, const int32_t *columns, const int32_t *rows, const void *values,
                        ptrdiff_t n_cols, const void *B, ptrdiff_t ldb, void *C, ptrdiff_t ldc, uint8_t *seen);

    /* c (n_cols,) = sum_k P[columns[k], :] + values[k] B[columns[k], :], added in the order of k, without P if
     * segments[columns[k]] < 0. P has ldb elements from one row to the next, as B. */
    void (*gather_segments)(ptrdiff_t n, const int32_t *columns, const void *values, const int32_t *segments,
                            ptrdiff_t n_cols, const void *B, const void *P, ptrdiff_t ldb, void *c);

    /* C (n, n_cols) = the gradient that belongs to gather_segments, for n columns of the sparse matrix. Column i has the
     * elements begins[i] .. begins[i + 1], whose `values` are multiplied with B[rows[k], :]; if segments[i] >= 0, rows of B
     * of later columns with the same segments[i] are added with factor 1. */
    void (*gradient_segments)(ptrdiff_t n, const int32_t *segments, const int64_t *begins, const int32_t *rows,
                              const void *values, ptrdiff_t n_cols, const void *B, ptrdiff_t ldb, void *C, ptrdiff_t ldc);

    /* Sorts the elements of n_rows rows of a sparse matrix in CSR format, rows order[0], order[1], ..., or, if order is NULL,
     * rows begin, begin + 1, ..., by their n_columns columns; elements of a column stay in the order of the rows. begins
     * (n_columns + 1,) = where the elements of each column begin. Those of columns first .. last are written: rows = their
     * rows, counted from 0, and out = their values. next (n_columns,) is memory that this needs. */
    void (*sort_stored)(ptrdiff_t n_rows, const int64_t *order, ptrdiff_t begin, const int64_t *indptr,
                        const int32_t *columns, const void *values, ptrdiff_t n_columns, ptrdiff_t first, ptrdiff_t last,
                        int64_t *begins, int64_t *next, int32_t *rows, void *out);

    /* Matrix products: see gemm_nn.h, gemm_nt.h and gemm_tn.h.
     * lanes: elements of a vector; 0: this table has no matrix products, and BLAS is used.
     * workspace: DNN_WORKSPACE_BYTES for packed operands, on a cache line; or NULL, unless gemm_tn reads A or B through
     * rows. */
    int lanes;

    /* C (M, N) = epilogue(A (M, K) B (K, N) + bias). A may have rows; no matrix has a column. */
    void (*gemm_nn)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DnnMatrix *A, const DnnMatrix *B, const DnnMatrix *C,
                    const DnnEpilogue *epilogue, void *workspace);

    /* C (M, N) = epilogue(A (M, K) T' + bias), T (N, K). A may have rows; no matrix has a column. */
    void (*gemm_nt)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DnnMatrix *A, const DnnMatrix *T, const DnnMatrix *C,
                    const DnnEpilogue *epilogue, void *workspace);

    /* C (M, N) = A' B over K rows of A (K, M) and B (K, N). A and B may have rows and columns. prefetch may be NULL. */
    void (*gemm_tn)(ptrdiff_t K, ptrdiff_t M, ptrdiff_t N, const DnnMatrix *A, const DnnMatrix *B, const DnnMatrix *C,
                    void *workspace, const DnnPrefetch *prefetch);
} DnnKernels;

#define DNN_FLOAT32 0
#define DNN_FLOAT64 1
#define DNN_N_ISA 3
/* A table that this build does not have has isa == NULL. */
extern const DnnKernels dnn_kernels_baseline[2], dnn_kernels_avx2[2], dnn_kernels_avx512[2];

/* Returns the table of an instruction set (0 baseline, 1 avx2, 2 avx512) and a precision, or NULL if this build or this
 * processor does not have the instruction set. */
const DnnKernels *dnn_kernels(int isa, int precision);

/* Computes the DNN_MAX_SCALARS scalars of step number `step` (1, 2, ...) of an optimizer, in double. hyper (n_hyper,):
 *   momentum, nesterov, averaged   mu
 *   adam                           beta1, beta2, epsilon, and the form: 0 as in the paper; 1 epsilon is added to the
 *                                  uncorrected root; 2 epsilon is inside the root
 *   rmsprop                        rho, epsilon
 *   rmsprop_momentum               rho, epsilon, mu (slot 0: mean square, slot 1: momentum) */
void dnn_scalars(int optimizer, const double *hyper, double rate, int64_t step, double *scalars);

/* Returns the key of a layer's dropout masks at a step. */
uint64_t dnn_key(uint64_t seed, int64_t step, int layer);

/* Copies n_rows rows of row_bytes: row i is from X + order[i] * stride to out + i * ld. stride and ld are in bytes. */
void dnn_gather(ptrdiff_t n_rows, ptrdiff_t row_bytes, const char *X, ptrdiff_t stride, const int64_t *order,
                char *out, ptrdiff_t ld);

/* Returns n_bytes of memory, on large pages if the system has them and if there are enough bytes: fewer pages make address
 * translation faster. NULL: no memory. The caller frees it by free. */
void *dnn_pages(size_t n_bytes);

/* Treats subnormal values as zero on this thread until dnn_flush_restore is called with the returned mode. */
unsigned dnn_flush_subnormals(void);
void dnn_flush_restore(unsigned mode);

/* Returns the time of a monotonic clock, in seconds. */
double dnn_seconds(void);

#endif
