"""The compiled heart: what a network computes, how, and the loop that trains it.

Read from top to bottom. A `Plan` is a list of operations, each a dense layer Z = A_prev W + b, A = f(Z). A
`Layout` cuts the work into a fixed grid of tiles and gives everything its place in one block of memory.
A `Job` holds every pointer of a run. A step of gradient descent is two phases over the grid:

    rows      for each tile of rows, all layers: forward, the loss and its gradient, back to the inputs
    weights   for each tile of a weight matrix: dW = A_prev' dZ over all rows of the batch, then the update

The first layer of a sparse X is a sparse product, forward and back, in a grid of the same kind (`core/sparse.pxi`).

A team of threads walks the grid (`core/team.h`): each member has a Job of its own, which shares what is worked on and
owns its scratch, and runs the same code; barriers stand between the phases. A small net takes another way, with one
barrier a step (`replicated_step`), a tiny one a third (`feature_major_step`).

Arithmetic is in C: products in `core/kernels/products.h` (or BLAS, on an instruction set that these are not written for),
everything else in `core/kernels/body.h`. What is left here is addresses and order. Numbers are addressed as bytes,
`size` apart, so that one code serves both precisions. Nothing below `nogil` allocates or touches a Python object;
what is checked is checked by the callers (`network.py`, `training/`), and in `core/run.pxi` as far as memory safety
needs it.

The grid is a function of shapes, precision, instruction set and BLAS. Whoever does a tile, and wherever a run is
cut into calls, the bits of the result are the same; sums over tiles are taken in the order of the tiles.
"""

import os
import sys
from collections import namedtuple

import numpy as np

from . import _threads as threads

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.math cimport INFINITY, fabs, isfinite, sqrt
from libc.stdint cimport int32_t, int64_t, uint64_t, uint8_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cnp.import_array()

include "core/machine.pxi"  # KERNELS, GEMM, CALL_LIMIT; the tables
include "core/plan.pxi"     # Plan, Layout


# ---------------------------------------------------------------------------------------------------------
# Job: every pointer of a run, for one member of the team
# ---------------------------------------------------------------------------------------------------------

cdef class Run  # core/run.pxi: a job with its memory

cdef struct Matrix:
    char* at
    Py_ssize_t ld  # numbers from one row to the next

cdef struct Slot:
    Matrix Z, A     # pre-activations; what the next layer reads
    Matrix V        # what the slope is computed from: A before dropout, or Z
    Matrix dZ

cdef struct Cost:      # of a batch, before its step
    double loss         # the weighted mean of its losses
    double penalty      # what L2 and L1 add

cdef struct Job

cdef struct Shared:  # what the members of a team tell each other
    DnnTeam* team
    const Job* leader           # member 0's
    void* run                   # the Run, where Python is called
    bint stop                   # a signal's handler, or a loss in Python, has raised: leave at the next barrier
    # the steps to do
    const int64_t* order
    const double* rates
    Cost* costs
    Py_ssize_t first, n_steps
    Py_ssize_t done             # steps that were good
    double began, late          # when all members had come; seconds that the first waited for them
    Cost cost                   # of a pass over all rows
    Entries entries

cdef struct Job:
    Shared* shared
    int me, n_members
    long round                  # of claims, the last of this run: members go through the same ones
    const Op* ops
    const KernelChoice* choices
    int n_ops
    const DnnKernels* kernels
    gemm_t gemm
    int size                    # bytes of a number
    # the grid
    Py_ssize_t tile_rows, block_rows, n_weight_tiles, n_claims
    int n_columns               # of the first layers whose forward pass members share by columns
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
    bint fresh                  # what is derived from the parameters is to be made anew
    const void** row_table      # a pointer to each row of the batch, where they are read where they stand;
    const void** rows           # this table, or NULL where the batch is a block of X or was copied
    bint sparse                 # X is sparse: csr stands in its place
    Csr csr
    Blocks blocks
    bint feature_major                  # examples lie in columns: see feature_major_step
    Py_ssize_t cached_begin, batch_cached # the rows that X' holds
    # what is wanted of the outputs
    int loss
    double* loss_par
    void* python_loss           # in place of a loss of the table, a Python function; NULL: none
    bint outputs                # the loss is computed from the outputs, not from the logits
    const char* Y               # (n_rows, n_outputs), or
    const int64_t* classes      # (n_rows,)
    const double* weights       # (n_rows,) or NULL
    double alpha, l1            # penalties
    double least                # the weight that a row of a batch has at least, on average, in its penalties
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
    Matrix d_out                # (n_rows, n_outputs), with respect to the outputs; NULL: to the logits
    char* dX                    # (n_rows, n_inputs) where it is wanted, else NULL
    # the work space that all share
    Slot* slots
    char** Wt                   # W' of each operation, where it is kept
    char* partial_grads                  # (2, N_SHARDS, P): gradients of parts of a batch, by turns
    double* row_sums            # a number a tile of rows
    double* tile_sums           # two numbers a weight tile: of the penalty, of the squared gradient
    DnnClaim* claims            # on the weight tiles, and behind them on vectors of columns
    # scratch of this member
    char* dA                    # rows of a block
    char* Y_tile
    int64_t* classes_tile
    double* w_tile
    char* G                     # a bias and a weight tile, or all parameters
    char* transposed                # the same transposed
    char* workspace                 # of products: see DNN_WORKSPACE_BYTES; NULL where they copy nothing
    # when the last signal was looked for
    double flops_since_poll, last_poll

cdef enum Status:
    GOOD, NOT_FINITE, STOPPED


cdef inline Py_ssize_t n_tiles(const Job* job, Py_ssize_t n_rows) noexcept nogil:
    return (n_rows + job.tile_rows - 1) // job.tile_rows


cdef inline Py_ssize_t share(const Job* job, Py_ssize_t n, int member) noexcept nogil:
    """Where a member's share of n things begins; the next member's begins where it ends."""
    return n * member // job.n_members


cdef inline char* row(const Job* job, Matrix M, Py_ssize_t r) noexcept nogil:
    return M.at + r * M.ld * job.size


cdef inline void barrier(const Job* job) noexcept nogil:
    if job.n_members > 1:
        dnn_team_barrier(job.shared.team, job.me)


cdef void begin_rounds(Job* job) noexcept nogil:
    """Called by each member at the start of a run, before a barrier."""
    job.round = 0
    if job.me == 0 and job.n_claims > 0:
        memset(job.claims, 0, job.n_claims * sizeof(DnnClaim))


cdef void poll_signals(Job* job, double flops) noexcept nogil:
    """Let Python's signal handlers run, so that Ctrl-C ends a call: every 0.05 s, counted first in flops as
    that costs nothing. Called where a step can be interrupted with the parameters whole, and before a barrier."""
    cdef double now
    if job.me > 0:
        return
    job.flops_since_poll += flops
    if job.flops_since_poll < 5e7:
        return
    job.flops_since_poll = 0
    now = dnn_seconds()
    if now - job.last_poll < 0.05:
        return
    job.last_poll = now
    check_signals(job)


cdef void check_signals(Job* job) noexcept with gil:
    """Run the handlers of signals that have come. A function of its own: one that holds a Python object takes the GIL
    wherever it is left, also where it has not used the object."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Run>job.shared.run).raised = error
        job.shared.stop = True


# ---------------------------------------------------------------------------------------------------------
# Products by BLAS
# ---------------------------------------------------------------------------------------------------------

cdef void blas_gemm(const Job* job, char* C, Py_ssize_t ldc, bint transposed, const char* A, Py_ssize_t lda,
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


cdef void read_block(const Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Rows r .. r + n of a batch, as the first layer reads them; rows that stay where they stand are not copied."""
    cdef Py_ssize_t n_in = job.ops[0].n_in
    cdef Matrix A = job.slots[0].A
    cdef char* to = row(job, A, r)
    if not job.copied:
        return
    if job.order != NULL:
        dnn_gather(n, n_in * job.size, job.X, job.ldx * job.size, job.order + r, to, A.ld * job.size)
        if drops(job, 0):
            drop(job, 0, r, n, to, A.ld, to, A.ld)
    elif drops(job, 0):
        drop(job, 0, r, n, job.X + (job.begin + r) * job.ldx * job.size, job.ldx, to, A.ld)


cdef inline const void** rows_of(const Job* job, int slot, Py_ssize_t r) noexcept nogil:
    """Pointers to the rows of a slot from r on, or NULL where they stand in order."""
    return job.rows + r if slot == 0 and job.rows != NULL else NULL


cdef void forward_layer(const Job* job, int i, Py_ssize_t r, Py_ssize_t n, Py_ssize_t o0, Py_ssize_t o1) noexcept nogil:
    """Rows r .. r + n, columns o0 .. o1 of a layer: Z = A_prev W + b, A = f(Z), dropout. All columns, except for a layer that
    members share by columns."""
    cdef const Op* op = &job.ops[i]
    cdef Slot src = job.slots[op.src], dst = job.slots[op.dst]
    cdef Matrix f = dst.A if dnn_activations[op.activation].slope_from_z else dst.V
    cdef int activation = IDENTITY if i == job.n_ops - 1 and not job.outputs else op.activation, epilogue
    cdef char* W = job.params + (op.W + o0) * job.size
    cdef char* b = job.params + (op.b + o0) * job.size
    cdef char* Z = row(job, dst.Z, r) + o0 * job.size
    if i == 0 and job.sparse:
        sparse_forward(job, r, n, o0, o1)
    elif not job.choices[i].native:
        blas_gemm(job, Z, dst.Z.ld, False, row(job, src.A, r), src.A.ld, W, op.n_out, n, op.n_out, op.n_in)
    else:
        epilogue = DNN_EPILOGUE_RELU if activation == RELU and f.at == dst.Z.at else DNN_EPILOGUE_NONE
        if job.choices[i].inner_product:
            job.kernels.gemm_nt(epilogue, n, op.n_out, op.n_in, row(job, src.A, r), src.A.ld, rows_of(job, op.src, r),
                             job.Wt[i], leading(op.n_in, job.size), b, Z, dst.Z.ld, job.workspace)
        else:
            job.kernels.gemm_nn(epilogue, n, o1 - o0, op.n_in, row(job, src.A, r), src.A.ld, rows_of(job, op.src, r), W,
                                op.n_out, b, NULL, 0, Z, dst.Z.ld, job.workspace)
        b = NULL
    if b != NULL or f.at != dst.Z.at or (activation != IDENTITY and activation != RELU):
        job.kernels.activate(activation, op.par, n, o1 - o0, b, Z, dst.Z.ld, row(job, f, r) + o0 * job.size, f.ld)
    if drops(job, op.dst):
        drop(job, op.dst, r, n, row(job, f, r), f.ld, row(job, dst.A, r), dst.A.ld)


cdef inline double flops_of(const Job* job, const Op* op) noexcept nogil:
    """Of a layer's product for a row."""
    return 2.0 * op.n_out * (job.csr.stored_per_row if job.sparse and op.src == 0 else op.n_in)


cdef inline bint interrupted(Job* job, const Op* op, Py_ssize_t n) noexcept nogil:
    """Whether a signal's handler has raised; a layer that takes milliseconds for n rows lets the handlers run."""
    cdef double flops = n * flops_of(job, op)
    if flops > 5e8:
        poll_signals(job, flops)
        return job.shared.stop
    return False


cdef void forward_block(Job* job, int first, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Rows r .. r + n through all layers from the first on."""
    cdef int i
    for i in range(first, job.n_ops):
        forward_layer(job, i, r, n, 0, job.ops[i].n_out)
        if interrupted(job, &job.ops[i], n):
            return


cdef int forward_columns(Job* job, Py_ssize_t n) noexcept nogil:
    """The first layers of a batch of n rows, each member its columns; returns how many layers they were.

    Weights that a member has updated, and another reads, cross from core to core, and cross again to be written: 1 to 8 ns
    a line of the cache, by how far the cores are. A member that computes the columns whose weights it will update, as
    shares of weight tiles are cut there, has them in its own L2, and hands on rows of outputs, which are fewer. Pieces
    that another has not come to are taken as in next_tile."""
    cdef Py_ssize_t lanes = job.kernels.lanes, n_out, share0, share1, o0, some, r, rows, piece, n_pieces
    cdef Py_ssize_t wide = lanes * (4 if lanes * job.size == 64 else 6)  # a panel of products, or two
    cdef DnnClaim* claims = job.claims + job.n_weight_tiles
    cdef int i, whose
    if job.n_members == 1:
        return 0
    for i in range(job.n_columns):
        n_out = job.ops[i].n_out
        job.round += 1
        for whose in range(job.me, job.me + job.n_members):  # its own share, then what others have not come to
            whose %= job.n_members
            share0 = share(job, n_out // lanes, whose) * lanes
            share1 = share(job, n_out // lanes, whose + 1) * lanes if whose + 1 < job.n_members else n_out
            n_pieces = (share1 - share0 + wide - 1) // wide
            for piece in range(n_pieces):
                o0 = share0 + (piece if whose == job.me else n_pieces - 1 - piece) * wide
                some = min(wide, share1 - o0)
                if whose != job.me and (o0 == share0 or dnn_claimed(&claims[(o0 - wide) // lanes], job.round)):
                    break
                if not dnn_claim(&claims[o0 // lanes], job.round):
                    continue
                r = 0
                while r < n and not job.shared.stop:
                    rows = min(job.block_rows, n - r)
                    forward_layer(job, i, r, rows, o0, o0 + some)
                    poll_signals(job, 2.0 * rows * job.ops[i].n_in * some)
                    r += rows
        barrier(job)
    return job.n_columns


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
    if order == NULL:  # where they stand
        Y = NULL if job.Y == NULL else job.Y + first * y_bytes
        classes = NULL if job.classes == NULL else job.classes + first
        w = NULL if job.weights == NULL else job.weights + first
    else:
        if job.Y != NULL:
            dnn_gather(n, y_bytes, job.Y, y_bytes, order + r, job.Y_tile, y_bytes)
            Y = job.Y_tile
        else:
            dnn_gather(n, 8, <const char*>job.classes, 8, order + r, <char*>job.classes_tile, 8)
            classes = job.classes_tile
        if job.weights != NULL:
            dnn_gather(n, 8, <const char*>job.weights, 8, order + r, <char*>job.w_tile, 8)
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


cdef void backward_block(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """From dZ of the last layer, rows r .. r + n: dA_prev = dZ W', dZ_prev = dA_prev f'(Z_prev)."""
    cdef int i
    cdef const Op* op
    cdef Matrix dZ, dA
    cdef Slot src
    cdef bint fused
    for i in range(job.n_ops - 1, lowest(job) - 1, -1):
        op = &job.ops[i]
        dZ, src = job.slots[op.dst].dZ, job.slots[op.src]
        # The slope at once: unless dropout comes between, or writing dZ would destroy what it is computed from
        fused = job.choices[i].native and op.src > 0 and job.ops[op.src - 1].activation == RELU \
            and not drops(job, op.src) and src.V.at != src.dZ.at
        if fused:
            dA = Matrix(row(job, src.dZ, r), src.dZ.ld)
        elif op.src == 0:
            dA = Matrix(job.dX + r * op.n_in * job.size, op.n_in)
        else:
            dA = Matrix(job.dA, leading(op.n_in, job.size))
        if job.choices[i].native:
            job.kernels.gemm_nn(DNN_EPILOGUE_RELU_SLOPE if fused else DNN_EPILOGUE_NONE, n, op.n_in, op.n_out, row(job, dZ, r), dZ.ld,
                                NULL, job.Wt[i], leading(op.n_in, job.size), NULL, row(job, src.V, r), src.V.ld,
                                dA.at, dA.ld, job.workspace)
        else:
            blas_gemm(job, dA.at, dA.ld, False, row(job, dZ, r), dZ.ld, job.Wt[i], leading(op.n_in, job.size),
                    n, op.n_in, op.n_out)
        if drops(job, op.src):
            drop(job, op.src, r, n, dA.at, dA.ld, dA.at, dA.ld)
        if op.src > 0 and not fused:
            slope_tile(job, &job.ops[op.src - 1], r, n, dA.at, dA.ld)
        if interrupted(job, op, n):
            return


cdef inline bint keeps_transposed(const Job* job, int i) noexcept nogil:
    """Whether W' of a layer is kept beside W: something is propagated back through it, or it is computed by dots.
    A column is its own transpose, see `bind_transposed`."""
    return job.ops[i].n_out > 1 and (job.choices[i].inner_product or (job.choices[i].Wt >= 0 and i >= lowest(job)))


cdef void transpose_part(const Job* job, int i, Py_ssize_t i0, Py_ssize_t i1, Py_ssize_t o0,
                         Py_ssize_t o1) noexcept nogil:
    """Rows i0 .. i1, columns o0 .. o1 of a layer's W into its W'."""
    cdef const Op* op = &job.ops[i]
    cdef Py_ssize_t ld = leading(op.n_in, job.size)
    job.kernels.transpose(i1 - i0, o1 - o0, job.params + (op.W + i0 * op.n_out + o0) * job.size, op.n_out,
                          job.Wt[i] + (o0 * ld + i0) * job.size, ld)


cdef void derive(const Job* job) noexcept nogil:
    """What a call from Python derives from the parameters, anew, as they may have been written since the last: W'
    of every layer that needs it, as products with W' in place are several times slower, and the copies of
    members that have their own. Within a call the updates keep all this."""
    cdef int i
    cdef Py_ssize_t n, slots = dnn_optimizers[job.optimizer].n_slots
    cdef const Job* leader
    if job.partial_grads != NULL:
        leader = job.shared.leader
        if job.me > 0:
            memcpy(job.params, leader.params, job.n_params * job.size)
            memcpy(job.state, leader.state, slots * job.n_params * job.size)
        transpose_replica(job)
        return
    for i in range(job.n_ops):
        if keeps_transposed(job, i):
            n = job.ops[i].n_in
            transpose_part(job, i, share(job, n, job.me), share(job, n, job.me + 1), 0, job.ops[i].n_out)


cdef double flops_per_row(const Job* job) noexcept nogil:
    cdef double flops = 0
    cdef int i
    for i in range(job.n_ops):
        flops += flops_of(job, &job.ops[i])
    return flops


# ---------------------------------------------------------------------------------------------------------
# Phase 2: weights
# ---------------------------------------------------------------------------------------------------------

cdef void gradient_part(const Job* job, const Tile* tile, Py_ssize_t r, Py_ssize_t n, char* dW, Py_ssize_t ld,
                        char* db, const DnnPrefetch* prefetch) noexcept nogil:
    """A tile of dW = A_prev' dZ over rows r .. r + n, and db (NULL: not wanted), the sum of its columns of dZ."""
    cdef const Op* op = &job.ops[tile.op]
    cdef Matrix A = job.slots[op.src].A, dZ = job.slots[op.dst].dZ
    cdef Py_ssize_t rows = tile.i1 - tile.i0, columns = tile.o1 - tile.o0
    cdef const char* dZ_at = row(job, dZ, r)
    cdef const char* A_at = row(job, A, r)
    cdef char* transposed
    if not job.choices[tile.op].native:
        blas_gemm(job, dW, ld, True, A_at + tile.i0 * job.size, A.ld, dZ_at + tile.o0 * job.size, dZ.ld, rows, columns, n)
    elif not job.choices[tile.op].grad_transposed:
        job.kernels.gemm_tn(n, rows, columns, A_at, A.ld, rows_of(job, op.src, r), tile.i0, dZ_at, dZ.ld, NULL, tile.o0,
                             dW, ld, job.workspace, prefetch)
    else:  # lanes along the inputs: dW' = dZ' A_prev
        transposed = dW if columns == 1 and ld == 1 else job.transposed
        job.kernels.gemm_tn(n, columns, rows, dZ_at, dZ.ld, NULL, tile.o0, A_at, A.ld, rows_of(job, op.src, r), tile.i0,
                             transposed, rows, job.workspace, prefetch)
        if transposed != dW:
            job.kernels.transpose(columns, rows, transposed, rows, dW, ld)
    if db != NULL:
        job.kernels.column_sums(n, columns, dZ_at + tile.o0 * job.size, dZ.ld, db)


cdef void update_part(const Job* job, const Op* op, Py_ssize_t at, Py_ssize_t rows, Py_ssize_t columns,
                      Py_ssize_t ld, const char* G, Py_ssize_t ldg) noexcept nogil:
    """The optimizer on rows x columns parameters of an operation, from number `at` on, ld apart."""
    cdef Py_ssize_t r
    if job.weight_decay > 0 and at < op.b:
        job.kernels.scale(rows, columns, 1 - job.rate * job.weight_decay, job.params + at * job.size, ld)
    job.kernels.update(job.optimizer, job.scalars, rows, columns, job.params + at * job.size, ld, G, ldg,
                       job.state + at * job.size, job.n_params)
    if job.mean != NULL:
        for r in range(rows):
            job.kernels.average(columns, job.mean_rate, job.params + (at + r * ld) * job.size,
                                job.mean + (at + r * ld) * job.size)


cdef inline bint is_frozen(const Job* job, int i) noexcept nogil:
    return job.frozen != NULL and job.frozen[i]


cdef inline void add_prefetch(DnnPrefetch* prefetch, const char* at, Py_ssize_t stride, bint transposed) noexcept nogil:
    prefetch.matrix[prefetch.n] = DnnPrefetchMatrix(at, stride, transposed)
    prefetch.n += 1


cdef void prefetch_tile(const Job* job, const Tile* tile, DnnPrefetch* prefetch) noexcept nogil:
    """What an update of a tile of weights reads and writes."""
    cdef const Op* op = &job.ops[tile.op]
    cdef Py_ssize_t W = op.W + tile.i0 * op.n_out + tile.o0, ldt = leading(op.n_in, job.size)
    cdef bint transposed = job.choices[tile.op].grad_transposed
    cdef int k
    prefetch.n = 0
    add_prefetch(prefetch, job.params + W * job.size, op.n_out * job.size, transposed)
    for k in range(dnn_optimizers[job.optimizer].n_slots):
        add_prefetch(prefetch, job.state + (k * job.n_params + W) * job.size, op.n_out * job.size, transposed)
    if keeps_transposed(job, tile.op):
        add_prefetch(prefetch, job.Wt[tile.op] + (tile.o0 * ldt + tile.i0) * job.size, ldt * job.size, not transposed)


cdef void weights_tile(const Job* job, Py_ssize_t t, Py_ssize_t n, double total) noexcept nogil:
    """A tile of dW over the n rows of the batch, with the first tile of a column of tiles db; into the gradient
    where it is wanted whole, else straight into the optimizer while they are in the cache.

    total: what the penalties are divided by; tile_sums[t] becomes the tile's part of the penalty and the sum of its
    squared gradient, where that is asked for.
    """
    cdef const Tile* tile = &job.tiles[t]
    cdef const Op* op = &job.ops[tile.op]
    cdef Py_ssize_t rows = tile.i1 - tile.i0, columns = tile.o1 - tile.o0, r
    cdef Py_ssize_t W = op.W + tile.i0 * op.n_out + tile.o0, b = op.b + tile.o0
    cdef bint fused = job.grad == NULL
    cdef char* dW = job.G if fused else job.grad + W * job.size
    cdef char* db = job.G + rows * columns * job.size if fused else job.grad + b * job.size
    cdef Py_ssize_t ld = columns if fused else op.n_out
    cdef double* sums = job.tile_sums + 2 * t
    cdef DnnPrefetch prefetch
    cdef bint sparse = job.sparse and tile.op == 0, touched = sparse and only_touched(job)
    sums[0] = sums[1] = 0
    if is_frozen(job, tile.op):
        dW = NULL
    elif sparse:
        sparse_gradient(job, tile, n, dW, ld, db, touched)
    else:
        if fused:
            prefetch_tile(job, tile, &prefetch)
        gradient_part(job, tile, 0, n, dW, ld, db if tile.i0 == 0 else NULL, &prefetch if fused else NULL)
    if job.alpha != 0 or job.l1 != 0:
        sums[0] = job.kernels.penalty(rows, columns, job.params + W * job.size, op.n_out,
                                      job.alpha / total, job.l1 / total, dW, ld)
    if dW == NULL:
        return
    if job.clip_norm > 0:
        for r in range(rows):
            sums[1] += job.kernels.sum_squares(columns, dW + r * ld * job.size)
        if tile.i0 == 0:
            sums[1] += job.kernels.sum_squares(columns, db)
    if touched:
        update_touched(job, tile, dW, ld, db)
    elif fused:
        update_tile(job, tile, dW, ld, db)


cdef void update_tile(const Job* job, const Tile* tile, const char* dW, Py_ssize_t ld,
                      const char* db) noexcept nogil:
    """The optimizer on a tile of W and, with the first of a column of tiles, of b; then W' follows W."""
    cdef const Op* op = &job.ops[tile.op]
    cdef Py_ssize_t rows = tile.i1 - tile.i0, columns = tile.o1 - tile.o0
    update_part(job, op, op.W + tile.i0 * op.n_out + tile.o0, rows, columns, op.n_out, dW, ld)
    if tile.i0 == 0:
        update_part(job, op, op.b + tile.o0, 1, columns, columns, db, columns)
    if not job.feature_major and keeps_transposed(job, tile.op):
        transpose_part(job, tile.op, tile.i0, tile.i1, tile.o0, tile.o1)


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


cdef void set_batch_rows(Job* job, Py_ssize_t begin) noexcept nogil:
    """Read rows as they stand in X, from row begin on."""
    job.begin = begin
    if not job.copied and not job.sparse:
        job.slots[0].A = Matrix(<char*>job.X + begin * job.ldx * job.size, job.ldx)


cdef void set_batch_order(Job* job, const int64_t* order, Py_ssize_t n) noexcept nogil:
    """Read the n rows of X that an order names."""
    cdef Py_ssize_t r
    job.order = order
    if not job.copied and not job.sparse:
        job.rows = job.row_table
        for r in range(n):
            job.rows[r] = job.X + order[r] * job.ldx * job.size


cdef void rows_tiles(Job* job, Py_ssize_t n, double total, bint forward, bint backward) noexcept nogil:
    """This member's share of the tiles of the n rows of a batch, as many at once as a block holds. Tiles differ by a
    row at most, so that shares do too."""
    cdef int first = forward_columns(job, n) if forward else 0
    cdef Py_ssize_t tiles = n_tiles(job, n), t = share(job, tiles, job.me), last = share(job, tiles, job.me + 1)
    cdef Py_ssize_t some, r, rows, tile, begin
    cdef Py_ssize_t rows_per_block = job.block_rows // job.tile_rows
    cdef double flops = 2 * flops_per_row(job)
    while t < last and not job.shared.stop:
        some = min(rows_per_block, last - t)
        r = n * t // tiles
        rows = n * (t + some) // tiles - r
        if forward:
            read_block(job, r, rows)
            forward_block(job, first, r, rows)
        if forward and backward:
            for tile in range(t, t + some):
                begin = n * tile // tiles
                job.row_sums[tile] = loss_tile(job, begin, n * (tile + 1) // tiles - begin, 1 / total, True, NULL)
        if backward:
            backward_block(job, r, rows)
        t += some
        poll_signals(job, flops * rows)


cdef void rows_phase(Job* job, Py_ssize_t n, double total, Cost* cost) noexcept nogil:
    """Forward, loss and backward for the n rows of a batch; total: the sum of their weights."""
    cdef Py_ssize_t t
    cost.loss = 0
    if job.sparse:
        group_entries(job, n)
    if job.python_loss != NULL:  # called once, between forward and backward
        rows_tiles(job, n, total, True, False)
        barrier(job)
        if job.me == 0:
            job.row_sums[0] = 0
            if not job.shared.stop:
                job.row_sums[0] = call_python_loss(job, n)
        barrier(job)
        rows_tiles(job, n, total, False, True)
        barrier(job)
        cost.loss = job.row_sums[0] / total
        return
    rows_tiles(job, n, total, True, True)
    barrier(job)
    for t in range(n_tiles(job, n)):
        cost.loss += job.row_sums[t]
    cost.loss /= total


cdef double call_python_loss(Job* job, Py_ssize_t n) noexcept with gil:
    """Hand rows and logits to the function, which turns the logits into their gradient in place."""
    cdef Matrix S = job.slots[job.n_ops].dZ
    cdef Py_ssize_t n_out = job.ops[job.n_ops - 1].n_out
    cdef char[::1] memory = <char[:n * S.ld * job.size]>S.at
    try:
        logits = np.ndarray((n, n_out), f"f{job.size}", memory, 0, (S.ld * job.size, job.size))
        if job.order == NULL:
            rows = slice(job.begin, job.begin + n)
        else:
            rows = np.asarray(<int64_t[:n]>(<int64_t*>job.order)).copy()
        return (<object>job.python_loss)(rows, logits)
    except BaseException as error:
        (<Run>job.shared.run).raised = error
        job.shared.stop = True
        return 0


cdef inline int owner(const Job* job, Py_ssize_t t) noexcept nogil:
    """The member whose a weight tile is. Shares are as equal in cost as tiles allow, and a member has the same weights
    in every step."""
    return <int>(job.tiles[t].at * job.n_members)


cdef Py_ssize_t next_tile(const Job* job, Py_ssize_t t) noexcept nogil:
    """The weight tile that this member takes after tile t of its round, -1 if none is left: its own in their order, then
    those that another has not come to, from the end of its share, as a core that others use as well is late. The last
    is left to its owner, who would be done with it before its weights had crossed."""
    cdef Py_ssize_t free = -1
    if t < 0 or owner(job, t) == job.me:
        for t in range(t + 1, job.n_weight_tiles):
            if owner(job, t) == job.me and (job.n_members == 1 or dnn_claim(&job.claims[t], job.round)):
                return t
    if job.n_members == 1:
        return -1
    for t in range(job.n_weight_tiles - 1, -1, -1):
        if owner(job, t) == job.me or dnn_claimed(&job.claims[t], job.round):
            continue
        if free >= 0 and owner(job, t) == owner(job, free) and dnn_claim(&job.claims[free], job.round):
            return free
        free = t
    return -1


cdef double sum_tiles(const Job* job, int which) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t t
    for t in range(job.n_weight_tiles):
        total += job.tile_sums[2 * t + which]
    return total


cdef Status weights_phase(Job* job, Py_ssize_t n, double total, bint update, Cost* cost) noexcept nogil:
    """dW and db of every layer, into the gradient or the optimizer; the penalty is divided by total."""
    cdef const Tile* tile
    cdef const Op* op
    cdef double norm
    cdef Py_ssize_t W, b, columns
    cdef Py_ssize_t t = -1
    job.round += 1
    while True:
        t = next_tile(job, t)
        if t < 0:
            break
        tile = &job.tiles[t]
        weights_tile(job, t, n, total)
        if job.grad != NULL:
            if job.shared.stop:
                break
            poll_signals(job, n * flops_of(job, &job.ops[tile.op]) * (tile.i1 - tile.i0) / job.ops[tile.op].n_in)
    barrier(job)
    cost.penalty = sum_tiles(job, 0)
    if job.grad == NULL or not update:
        return GOOD
    if job.shared.stop:
        return STOPPED
    norm = 0
    if job.clip_norm > 0:
        norm = sqrt(sum_tiles(job, 1))
        if not isfinite(norm):
            return NOT_FINITE
    job.round += 1
    while True:
        t = next_tile(job, t)
        if t < 0:
            break
        tile = &job.tiles[t]
        op = &job.ops[tile.op]
        columns = tile.o1 - tile.o0
        W, b = op.W + tile.i0 * op.n_out + tile.o0, op.b + tile.o0
        if is_frozen(job, tile.op):
            continue
        if norm > job.clip_norm:
            job.kernels.scale(tile.i1 - tile.i0, columns, job.clip_norm / norm, job.grad + W * job.size, op.n_out)
            if tile.i0 == 0:
                job.kernels.scale(1, columns, job.clip_norm / norm, job.grad + b * job.size, columns)
        update_tile(job, tile, job.grad + W * job.size, op.n_out, job.grad + b * job.size)
    barrier(job)
    return GOOD


cdef Status one_step(Job* job, Py_ssize_t n, double rate, Cost* cost) noexcept nogil:
    """One step of the optimizer on a batch of n rows."""
    cdef double total = weight_of(job, n)
    cdef Status status
    cost.loss = cost.penalty = 0
    if total == 0:
        return GOOD  # nobody asked for anything: the batch is skipped
    if job.partial_grads != NULL:
        return replicated_step(job, n, total, rate, cost)
    if job.feature_major:
        return feature_major_step(job, n, total, rate, cost)
    rows_phase(job, n, total, cost)
    if job.shared.stop:
        return STOPPED
    if not isfinite(cost.loss):
        return NOT_FINITE  # nothing was changed
    dnn_scalars(job.optimizer, job.hyper, rate, job.step + 1, job.scalars)
    job.rate = rate
    status = weights_phase(job, n, max(total, job.least * n), True, cost)
    if status != GOOD:
        return status
    job.step += 1
    return GOOD if isfinite(cost.penalty) else NOT_FINITE


include "core/sparse.pxi" # the first layer of a sparse X
include "core/small_steps.pxi"  # replicated_step, feature_major_step: the ways of small nets


cdef void run_steps(void* arg, int me) noexcept nogil:
    """Steps number first .. first + n_steps of an endless row of epochs, by each member of a team."""
    cdef Job* job = (<Job**>arg)[me]
    cdef Shared* shared = job.shared
    cdef Py_ssize_t steps_per_epoch = (job.n_rows + job.batch - 1) // job.batch
    cdef Py_ssize_t s, epoch, begin, n
    cdef Cost cost
    cdef Status status = GOOD
    cdef unsigned mode = dnn_flush_subnormals()
    if job.fresh and job.feature_major:
        transpose_weights(job)
        job.batch_cached = -1
    elif job.fresh:
        derive(job)
    begin_rounds(job)
    barrier(job)
    if me == 0:
        shared.began, shared.late = dnn_seconds(), dnn_team_waited(shared.team) if job.n_members > 1 else 0
    for s in range(shared.n_steps):
        epoch = (shared.first + s) // steps_per_epoch
        begin = (shared.first + s) % steps_per_epoch * job.batch
        n = min(job.batch, job.n_rows - begin)
        if shared.order == NULL:
            set_batch_rows(job, begin)
        else:
            set_batch_order(job, shared.order + epoch * job.n_rows + begin, n)
        status = one_step(job, n, shared.rates[s], &cost)
        if me == 0 and status != STOPPED:
            shared.costs[s] = cost
        if status != GOOD:
            break
        if me == 0:
            shared.done = s + 1
    dnn_flush_restore(mode)


include "core/run.pxi"  # what Python calls: predict, losses, forward, backward, cost_and_gradient, Trainer, update
