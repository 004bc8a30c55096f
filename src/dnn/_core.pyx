"""The compiled heart: what a network computes, how, and the loop that trains it.

Read from top to bottom. A `Plan` is a list of operations, each a dense layer Z = A_prev W + b, A = f(Z). A
`Schedule` cuts the work into a fixed grid of tiles and gives everything its place in one block of memory.
A `Job` holds every pointer of a run. A step of gradient descent is two phases over the grid:

    rows      for each tile of rows, all layers: forward, the loss and its gradient, back to the inputs
    weights   for each tile of a weight matrix: dW = A_prev' dZ over all rows of the batch, then the update

Arithmetic is in two places only: products are calls of BLAS (`product`), everything else is a kernel of
`_kernels.h`. What is left here is addresses and order. Numbers are addressed as bytes, `size` apart, so that
one code serves both precisions. Nothing below `nogil` allocates or touches a Python object; what is checked
is checked by the callers (`network.py`, `training.py`), and in `_run.pxi` as far as memory safety needs it.

The grid is a function of shapes, precision and BLAS. Whoever does a tile, and wherever a run is cut into
calls, the bits of the result are the same; sums over tiles are taken in the order of the tiles.
"""

import os
import sys
from collections import namedtuple

import numpy as np

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.math cimport INFINITY, isfinite, sqrt
from libc.stdint cimport int64_t, uint64_t, uint8_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

include "_machine.pxi"  # KERNELS, GEMM, CALL_LIMIT; the tables
include "_plan.pxi"     # Plan, Schedule


# ---------------------------------------------------------------------------------------------------------
# Job: every pointer of a run
# ---------------------------------------------------------------------------------------------------------

cdef struct Matrix:
    char* at
    Py_ssize_t ld  # numbers from one row to the next

cdef struct Slot:
    Matrix Z, A     # scores; what the next layer reads
    Matrix V        # what the slope is computed from: A before dropout, or Z
    Matrix dZ

cdef struct Job:
    const Op* ops
    int n_ops
    const DnnKernels* kernels
    gemm_t gemm
    int size                    # bytes of a number
    # the grid
    Py_ssize_t tile_rows, n_weight_tiles
    const Tile* tiles
    # parameters and what belongs to them
    char* params
    char* buffers               # running statistics: none yet
    char* state                 # (slots, P)
    char* grad                  # (P,) where the whole gradient is wanted, else NULL
    Py_ssize_t n_params
    # the reader: dense rows
    const char* X
    Py_ssize_t ldx              # numbers from one row of X to the next
    Py_ssize_t n_rows           # of X
    const int64_t* order        # rows of X in the order of the batch; NULL: as they stand,
    Py_ssize_t begin            # from this one on
    bint copied                 # rows are copied together for the first layer, not read where they stand
    # what is wanted of the outputs
    int loss
    double* loss_par
    void* python_loss           # in place of a loss of the table, a Python function; NULL: none
    bint outputs                # the loss is computed from the outputs, not from the scores
    const char* Y               # (n_rows, n_outputs), or
    const int64_t* classes      # (n_rows,)
    const double* weights       # (n_rows,) or NULL
    double alpha, l1            # penalties
    # the optimizer
    int optimizer
    double hyper[DNN_MAX_HYPER]
    double scalars[DNN_MAX_SCALARS]
    double rate                 # of this step
    double weight_decay         # W -= rate * weight_decay * W
    double clip_norm            # of the whole gradient at most; 0: as it is
    char* mean                  # (P,), a running average of the parameters, or NULL
    double mean_rate            # mean += mean_rate * (params - mean)
    const char* frozen          # (n_ops,), not 0 where nothing is updated; NULL: nowhere
    int64_t step                # updates done since the state was fresh
    Py_ssize_t batch
    # dropout
    bint training               # numbers are dropped where the plan says so
    uint64_t seed
    const uint8_t** masks       # of each operation's src, (n_rows, n_in), not 0 where kept; or NULL: drawn
    # what a pass over all rows reads and writes besides
    char* out                   # (n_rows, n_outputs)
    double* losses              # (n_rows,)
    Matrix d_out                # (n_rows, n_outputs), with respect to the outputs; NULL: to the scores
    char* dX                    # (n_rows, n_inputs) where it is wanted, else NULL
    # the work space
    Slot* slots
    char** Wt
    char* dA                    # scratch: rows of a tile
    char* Y_tile
    int64_t* classes_tile
    double* w_tile
    char* G                     # scratch: a weight tile, then a bias
    double* row_sums            # a number a tile of rows
    double* tile_sums           # a number a weight tile
    # when the last signal was looked for
    double unheard, heard


cdef inline Py_ssize_t n_tiles(const Job* job, Py_ssize_t n_rows) noexcept nogil:
    return (n_rows + job.tile_rows - 1) // job.tile_rows


cdef inline char* row(const Job* job, Matrix M, Py_ssize_t r) noexcept nogil:
    return M.at + r * M.ld * job.size


cdef int listen(Job* job, double flops) except -1 nogil:
    """Let Python's signal handlers run, so that Ctrl-C ends a call: every 0.05 s, counted first in flops as
    that costs nothing. Called only where a step can be abandoned with the parameters whole."""
    job.unheard += flops
    if job.unheard < 5e7:
        return 0
    job.unheard = 0
    cdef double now = dnn_seconds()
    if now - job.heard < 0.05:
        return 0
    job.heard = now
    with gil:
        PyErr_CheckSignals()
    return 0


# ---------------------------------------------------------------------------------------------------------
# Products
# ---------------------------------------------------------------------------------------------------------

cdef void product(const Job* job, char* C, Py_ssize_t ldc, bint transposed, const char* A, Py_ssize_t lda,
                  const char* B, Py_ssize_t ldb, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K) noexcept nogil:
    """C (M, N) = A (M, K) B (K, N); with `transposed`, A is given as (K, M). All by rows.

    BLAS counts columns first: it is given C' = B' A'. A product above CALL_LIMIT is cut into calls below it;
    the cuts depend on the shape alone, and with them the order of the additions.
    """
    cdef Py_ssize_t m, n, k, rows = M, columns = N, depth = K
    cdef int64_t bm, bn, bk, la = lda, lb = ldb, lc = ldc
    cdef float one_s = 1, zero_s = 0
    cdef double one_d = 1, zero_d = 0
    cdef void* one = <void*>&one_s if job.size == 4 else <void*>&one_d
    cdef void* zero = <void*>&zero_s if job.size == 4 else <void*>&zero_d
    cdef char* plain = "N"
    cdef char* trans = "T"
    if <double>M * N * K > CALL_LIMIT:
        columns = min(N, CALL_COLUMNS)
        depth = min(K, CALL_DEPTH, max(8, <Py_ssize_t>(CALL_LIMIT / (columns * min(M, 64)))))
        rows = min(M, max(8, <Py_ssize_t>(CALL_LIMIT / (columns * depth))))
        if K > depth:  # pieces of equal depth
            depth = (K + (K + depth - 1) // depth - 1) // ((K + depth - 1) // depth)
    m = 0
    while m < M:
        bm = min(rows, M - m)
        n = 0
        while n < N:
            bn = min(columns, N - n)
            k = 0
            while True:  # once even for K = 0: no rows give a gradient of 0
                bk = min(depth, K - k)
                job.gemm(plain, trans if transposed else plain, &bn, &bm, &bk, one,
                         B + (k * ldb + n) * job.size, &lb,
                         A + ((k * lda + m) if transposed else (m * lda + k)) * job.size, &la,
                         one if k else zero, C + (m * ldc + n) * job.size, &lc)
                k += depth
                if k >= K:
                    break
            n += columns
        m += rows


# ---------------------------------------------------------------------------------------------------------
# Phase 1: rows
# ---------------------------------------------------------------------------------------------------------

cdef inline bint drops(const Job* job, int slot) noexcept nogil:
    return job.training and slot < job.n_ops and job.ops[slot].dropout > 0


cdef void drop(const Job* job, int slot, Py_ssize_t r, Py_ssize_t n, const char* A, Py_ssize_t lda,
               char* D, Py_ssize_t ldd) noexcept nogil:
    """D = rows r .. r + n of a slot after dropout, or of its gradient: both are masked alike."""
    cdef const Op* op = &job.ops[slot]
    cdef const uint8_t* masks = NULL if job.masks == NULL else job.masks[slot]
    if masks != NULL:
        masks += r * op.n_in
    job.kernels.dropout(n, op.n_in, masks, op.n_in, dnn_key(job.seed, job.step, slot), r, op.dropout,
                        A, lda, D, ldd)


cdef void read_tile(const Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Rows r .. r + n of a batch, as the first layer reads them; rows that stay as they stand are not copied."""
    cdef Py_ssize_t n_in = job.ops[0].n_in
    cdef Matrix A = job.slots[0].A
    cdef char* to = row(job, A, r)
    if job.order != NULL:
        dnn_gather(n, n_in * job.size, job.X, job.ldx * job.size, job.order + r, to, A.ld * job.size)
        if drops(job, 0):
            drop(job, 0, r, n, to, A.ld, to, A.ld)
    elif drops(job, 0):
        drop(job, 0, r, n, job.X + (job.begin + r) * job.ldx * job.size, job.ldx, to, A.ld)


cdef void forward_tile(const Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Rows r .. r + n through all layers: Z = A_prev W + b, A = f(Z), dropout."""
    cdef int i
    cdef const Op* op
    cdef Slot src, dst
    cdef Matrix f
    cdef bint scores
    for i in range(job.n_ops):
        op = &job.ops[i]
        src, dst = job.slots[op.src], job.slots[op.dst]
        product(job, row(job, dst.Z, r), dst.Z.ld, False, row(job, src.A, r), src.A.ld,
                job.params + op.W * job.size, op.n_out, n, op.n_out, op.n_in)
        scores = i == job.n_ops - 1 and not job.outputs
        f = dst.A if dnn_activations[op.activation].slope_from_z else dst.V
        job.kernels.activate(IDENTITY if scores else op.activation, op.par, n, op.n_out,
                             job.params + op.b * job.size, row(job, dst.Z, r), dst.Z.ld, row(job, f, r), f.ld)
        if drops(job, op.dst):
            drop(job, op.dst, r, n, row(job, f, r), f.ld, row(job, dst.A, r), dst.A.ld)


cdef double loss_tile(const Job* job, Py_ssize_t r, Py_ssize_t n, double scale, bint gradient,
                      double* losses) noexcept nogil:
    """Sum of the weighted losses of rows r .. r + n; with `gradient`, dZ of the last layer, times scale."""
    cdef const Op* op = &job.ops[job.n_ops - 1]
    cdef Slot out = job.slots[op.dst]
    cdef const int64_t* order = job.order
    cdef const char* Y = NULL
    cdef const int64_t* classes = NULL
    cdef const double* w = NULL
    cdef Py_ssize_t y_bytes = op.n_out * job.size, first = job.begin + r if order == NULL else 0
    cdef double total
    if order != NULL:
        order += r
    if job.Y != NULL:
        dnn_gather(n, y_bytes, job.Y + first * y_bytes, y_bytes, order, job.Y_tile, y_bytes)
        Y = job.Y_tile
    else:
        dnn_gather(n, 8, <const char*>(job.classes + first), 8, order, <char*>job.classes_tile, 8)
        classes = job.classes_tile
    if job.weights != NULL:
        dnn_gather(n, 8, <const char*>(job.weights + first), 8, order, <char*>job.w_tile, 8)
        w = job.w_tile
    if not job.outputs:
        return job.kernels.loss(job.loss, job.loss_par, n, op.n_out, row(job, out.Z, r), out.Z.ld,
                                Y, op.n_out, classes, w, scale,
                                row(job, out.dZ, r) if gradient else NULL, out.dZ.ld, losses)
    total = job.kernels.loss(job.loss, job.loss_par, n, op.n_out, row(job, out.A, r), out.A.ld,
                             Y, op.n_out, classes, w, scale, job.dA if gradient else NULL, op.n_out, losses)
    if gradient:
        slope_tile(job, op, r, n, job.dA, op.n_out)
    return total


cdef void slope_tile(const Job* job, const Op* op, Py_ssize_t r, Py_ssize_t n, const char* dA,
                     Py_ssize_t ldda) noexcept nogil:
    """dZ = dA f'(Z) of an operation's rows r .. r + n; dA holds these rows alone."""
    cdef Slot slot = job.slots[op.dst]
    job.kernels.slope(op.activation, op.par, n, op.n_out, row(job, slot.V, r), slot.V.ld, dA, ldda,
                      row(job, slot.dZ, r), slot.dZ.ld)


cdef int lowest(const Job* job) noexcept nogil:
    """The first layer that has to be propagated through: below it nothing is learnt, or asked for."""
    cdef int i = 0
    if job.dX != NULL:
        return 0
    while i < job.n_ops and job.frozen != NULL and job.frozen[i]:
        i += 1
    return i + 1


cdef void backward_tile(const Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """From dZ of the last layer, rows r .. r + n: dA_prev = dZ W', dZ_prev = dA_prev f'(Z_prev)."""
    cdef int i
    cdef const Op* op
    cdef Matrix dZ, dA
    for i in range(job.n_ops - 1, lowest(job) - 1, -1):
        op = &job.ops[i]
        dZ = job.slots[op.dst].dZ
        if op.src == 0:
            dA = Matrix(job.dX + r * op.n_in * job.size, op.n_in)
        else:
            dA = Matrix(job.dA, leading(op.n_in, job.size))
        product(job, dA.at, dA.ld, False, row(job, dZ, r), dZ.ld, job.Wt[i], leading(op.n_in, job.size),
                n, op.n_in, op.n_out)
        if drops(job, op.src):
            drop(job, op.src, r, n, dA.at, dA.ld, dA.at, dA.ld)
        if op.src > 0:
            slope_tile(job, &job.ops[op.src - 1], r, n, dA.at, dA.ld)


cdef void transpose_weights(const Job* job) noexcept nogil:
    """W' of every layer that something is propagated through: products with W' in place are several times
    slower. Made anew for every pass: parameters may be written at any time between two."""
    cdef int i
    cdef const Op* op
    for i in range(lowest(job), job.n_ops):
        op = &job.ops[i]
        job.kernels.transpose(op.n_in, op.n_out, job.params + op.W * job.size, op.n_out,
                              job.Wt[i], leading(op.n_in, job.size))


cdef double flops_a_row(const Job* job) noexcept nogil:
    cdef double weights = 0
    cdef int i
    for i in range(job.n_ops):
        weights += <double>job.ops[i].n_in * job.ops[i].n_out
    return 2 * weights


# ---------------------------------------------------------------------------------------------------------
# Phase 2: weights
# ---------------------------------------------------------------------------------------------------------

cdef void update_part(const Job* job, const Op* op, Py_ssize_t at, Py_ssize_t rows, Py_ssize_t columns,
                      Py_ssize_t ld, const char* G, Py_ssize_t ldg) noexcept nogil:
    """The optimizer on rows x columns parameters of an operation, from number `at` on, ld apart."""
    if job.weight_decay > 0 and at < op.b:
        job.kernels.scale(rows, columns, 1 - job.rate * job.weight_decay, job.params + at * job.size, ld)
    job.kernels.update(job.optimizer, job.scalars, rows, columns, job.params + at * job.size, ld, G, ldg,
                       job.state + at * job.size, job.n_params)


cdef void weights_tile(const Job* job, Py_ssize_t t, Py_ssize_t n, double total) noexcept nogil:
    """A tile of dW = A_prev' dZ over n rows, with the first tile of a column of tiles db = sum of dZ; into the
    gradient where it is wanted whole, else straight into the optimizer while they are in the cache.

    total: sum of the sample weights; tile_sums[t] is the tile's part of the penalty.
    """
    cdef Tile tile = job.tiles[t]
    cdef const Op* op = &job.ops[tile.op]
    cdef Matrix A = job.slots[op.src].A, dZ = job.slots[op.dst].dZ
    cdef Py_ssize_t rows = tile.i1 - tile.i0, columns = tile.o1 - tile.o0
    cdef Py_ssize_t W = op.W + tile.i0 * op.n_out + tile.o0, b = op.b + tile.o0
    cdef const char* dZ_columns = dZ.at + tile.o0 * job.size
    cdef bint frozen = job.frozen != NULL and job.frozen[tile.op]
    cdef bint fused = job.grad == NULL
    cdef char* dW = job.G if fused else job.grad + W * job.size
    cdef char* db = job.G + TILE_NUMBERS * job.size if fused else job.grad + b * job.size
    cdef Py_ssize_t ld = columns if fused else op.n_out
    if frozen:
        dW = NULL
    else:
        product(job, dW, ld, True, A.at + tile.i0 * job.size, A.ld, dZ_columns, dZ.ld, rows, columns, n)
    job.tile_sums[t] = 0
    if job.alpha != 0 or job.l1 != 0:
        job.tile_sums[t] = job.kernels.penalty(rows, columns, job.params + W * job.size, op.n_out,
                                               job.alpha / total, job.l1 / total, dW, ld)
    if frozen:
        return
    if fused:
        update_part(job, op, W, rows, columns, op.n_out, dW, ld)
    if tile.i0 == 0:
        job.kernels.column_sums(n, columns, dZ_columns, dZ.ld, db)
        if fused:
            update_part(job, op, b, 1, columns, columns, db, columns)


# ---------------------------------------------------------------------------------------------------------
# A batch, a step, a run
# ---------------------------------------------------------------------------------------------------------

cdef double weight_of(const Job* job, Py_ssize_t n) noexcept nogil:
    """Sum of the sample weights of a batch of n rows: n where there are none."""
    cdef double total = 0
    cdef Py_ssize_t r
    if job.weights == NULL:
        return n
    for r in range(n):
        total += job.weights[job.begin + r if job.order == NULL else job.order[r]]
    return total


cdef void aim_at_rows(Job* job, Py_ssize_t begin) noexcept nogil:
    """Read rows as they stand in X, from row begin on."""
    job.begin = begin
    if not job.copied:
        job.slots[0].A = Matrix(<char*>job.X + begin * job.ldx * job.size, job.ldx)


cdef int rows_phase(Job* job, Py_ssize_t n, double total, double* cost) except -1 nogil:
    """Forward, loss and backward for the n rows of a batch; total: the sum of their weights."""
    cdef Py_ssize_t t, r, rows
    cdef double flops = 2 * flops_a_row(job)
    transpose_weights(job)
    cost[0] = 0
    if job.python_loss != NULL:
        return python_rows_phase(job, n, total, cost)
    for t in range(n_tiles(job, n)):
        r = t * job.tile_rows
        rows = min(job.tile_rows, n - r)
        read_tile(job, r, rows)
        forward_tile(job, r, rows)
        job.row_sums[t] = loss_tile(job, r, rows, 1 / total, True, NULL)
        backward_tile(job, r, rows)
        listen(job, flops * rows)
    for t in range(n_tiles(job, n)):
        cost[0] += job.row_sums[t]
    cost[0] /= total
    return 0


cdef int python_rows_phase(Job* job, Py_ssize_t n, double total, double* cost) except -1 nogil:
    """The same with a loss in Python, which is called once, between forward and backward."""
    cdef Py_ssize_t t, r
    for t in range(n_tiles(job, n)):
        r = t * job.tile_rows
        read_tile(job, r, min(job.tile_rows, n - r))
        forward_tile(job, r, min(job.tile_rows, n - r))
    with gil:
        cost[0] = call_python_loss(job, n) / total
    for t in range(n_tiles(job, n)):
        r = t * job.tile_rows
        backward_tile(job, r, min(job.tile_rows, n - r))
    return 0


cdef double call_python_loss(Job* job, Py_ssize_t n) except? -1:
    """Hand rows and scores to the function, which turns the scores into their gradient in place."""
    cdef Matrix S = job.slots[job.n_ops].dZ
    cdef Py_ssize_t n_out = job.ops[job.n_ops - 1].n_out
    cdef char[::1] memory = <char[:n * S.ld * job.size]>S.at
    scores = np.ndarray((n, n_out), f"f{job.size}", memory, 0, (S.ld * job.size, job.size))
    if job.order == NULL:
        rows = slice(job.begin, job.begin + n)
    else:
        rows = np.asarray(<int64_t[:n]>(<int64_t*>job.order)).copy()
    return (<object>job.python_loss)(rows, scores)


cdef int weights_phase(Job* job, Py_ssize_t n, double total, double* cost) except -1 nogil:
    """dW and db of every layer, into the gradient or the optimizer; the penalty is added to the cost."""
    cdef Py_ssize_t t
    for t in range(job.n_weight_tiles):
        weights_tile(job, t, n, total)
        if job.grad != NULL:
            listen(job, 2.0 * n * (job.tiles[t].i1 - job.tiles[t].i0) * (job.tiles[t].o1 - job.tiles[t].o0))
    for t in range(job.n_weight_tiles):
        cost[0] += job.tile_sums[t]
    return 0


cdef int update_phase(const Job* job) noexcept nogil:
    """The optimizer, after the whole gradient is known. Returns 1 where its norm is not finite."""
    cdef const Op* op
    cdef double norm
    cdef int i
    if job.clip_norm > 0:
        norm = sqrt(job.kernels.sum_squares(job.n_params, job.grad))
        if not isfinite(norm):
            return 1
        if norm > job.clip_norm:
            job.kernels.scale(1, job.n_params, job.clip_norm / norm, job.grad, job.n_params)
    for i in range(job.n_ops):
        op = &job.ops[i]
        if job.frozen == NULL or not job.frozen[i]:
            update_part(job, op, op.W, 1, op.b - op.W, op.b - op.W, job.grad + op.W * job.size, op.b - op.W)
            update_part(job, op, op.b, 1, op.n_out, op.n_out, job.grad + op.b * job.size, op.n_out)
    return 0


cdef int one_step(Job* job, Py_ssize_t n, double rate, double* cost) except -1 nogil:
    """One step of the optimizer on a batch of n rows. Returns 1 where its cost is not finite."""
    cdef double total = weight_of(job, n)
    cost[0] = 0
    if total == 0:
        return 0  # nobody asked for anything: the batch is skipped
    rows_phase(job, n, total, cost)
    if not isfinite(cost[0]):
        return 1  # nothing was changed
    dnn_scalars(job.optimizer, job.hyper, rate, job.step + 1, job.scalars)
    job.rate = rate
    weights_phase(job, n, total, cost)
    if job.grad != NULL and update_phase(job):
        return 1
    if job.mean != NULL:
        job.kernels.average(job.n_params, job.mean_rate, job.params, job.mean)
    job.step += 1
    return not isfinite(cost[0])


cdef Py_ssize_t run_steps(Job* job, const int64_t* order, const double* rates, double* costs,
                          Py_ssize_t first, Py_ssize_t n_steps) except -1 nogil:
    """Steps number first .. first + n_steps of an endless row of epochs. Returns how many were good."""
    cdef Py_ssize_t a_epoch = (job.n_rows + job.batch - 1) // job.batch
    cdef Py_ssize_t s, epoch, begin, n
    for s in range(n_steps):
        epoch = (first + s) // a_epoch
        begin = (first + s) % a_epoch * job.batch
        n = min(job.batch, job.n_rows - begin)
        if order == NULL:
            aim_at_rows(job, begin)
        else:
            job.order = order + epoch * job.n_rows + begin
        if one_step(job, n, rates[s], &costs[s]):
            return s
        listen(job, 1e4)  # a step of the smallest net costs about that
    return n_steps


include "_run.pxi"  # what Python calls: predict, losses, forward, backward, cost_and_gradient, Trainer, update
