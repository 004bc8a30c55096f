"""The compiled heart: what a network computes, how, and the loop that trains it.

Read from top to bottom. A `Plan` is a list of operations, each a dense layer Z = A_prev W + b, A = f(Z). A
`Schedule` cuts the work into a fixed grid of tiles and gives everything its place in one block of memory.
A `Job` holds every pointer of a run. A step of gradient descent is two phases over the grid:

    rows      for each tile of rows, all layers: forward, the loss and its gradient, back to the inputs
    weights   for each tile of a weight matrix: dW = A_prev' dZ over all rows of the batch, then the update

Arithmetic is in two places only: products are calls of BLAS (`product`), everything else is a kernel of
`_kernels.h`. What is left here is addresses and order. Numbers are addressed as bytes, `size` apart, so that
one code serves both precisions. Nothing below `nogil` allocates or touches a Python object; what is checked
is checked by the callers (`network.py`, `training.py`), and here only as far as memory safety needs it.

The grid is a function of shapes, precision and BLAS. Whoever does a tile, and wherever a run is cut into
calls, the bits of the result are the same; sums over tiles are taken in the order of the tiles.
"""

import os
from collections import namedtuple

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.math cimport INFINITY, isfinite
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc

include "_machine.pxi"  # KERNELS, GEMM, CALL_LIMIT; the tables
include "_plan.pxi"     # Plan, Schedule


# ---------------------------------------------------------------------------------------------------------
# Job: every pointer of a run
# ---------------------------------------------------------------------------------------------------------

cdef struct Matrix:
    char* at
    Py_ssize_t ld  # numbers from one row to the next

cdef struct Slot:
    Matrix A, Z, dZ

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
    # what is wanted of the outputs
    int loss
    double loss_par[DNN_MAX_PAR]
    bint outputs                # the loss is computed from the outputs, not from the scores
    const char* Y               # (n_rows, n_outputs), or
    const int64_t* classes      # (n_rows,)
    const double* weights       # (n_rows,) or NULL
    double alpha
    # the optimizer
    int optimizer
    double hyper[DNN_MAX_HYPER]
    double scalars[DNN_MAX_SCALARS]
    int64_t step                # updates done since the state was fresh
    Py_ssize_t batch
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

cdef void forward_tile(const Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Rows r .. r + n through all layers: Z = A_prev W + b, A = f(Z)."""
    cdef int i
    cdef const Op* op
    cdef Slot src, dst
    cdef bint scores
    for i in range(job.n_ops):
        op = &job.ops[i]
        src, dst = job.slots[op.src], job.slots[op.dst]
        product(job, row(job, dst.Z, r), dst.Z.ld, False, row(job, src.A, r), src.A.ld,
                job.params + op.W * job.size, op.n_out, n, op.n_out, op.n_in)
        scores = i == job.n_ops - 1 and not job.outputs
        job.kernels.activate(IDENTITY if scores else op.activation, op.par, n, op.n_out,
                             job.params + op.b * job.size, row(job, dst.Z, r), dst.Z.ld,
                             row(job, dst.A, r), dst.A.ld)


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
    cdef Matrix V = slot.Z if dnn_activations[op.activation].slope_from_z else slot.A
    job.kernels.slope(op.activation, op.par, n, op.n_out, row(job, V, r), V.ld, dA, ldda,
                      row(job, slot.dZ, r), slot.dZ.ld)


cdef void backward_tile(const Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """From dZ of the last layer, rows r .. r + n: dA_prev = dZ W', dZ_prev = dA_prev f'(Z_prev)."""
    cdef int i
    cdef const Op* op
    cdef Matrix dZ
    cdef Py_ssize_t ld
    for i in range(job.n_ops - 1, -1, -1):
        op = &job.ops[i]
        dZ = job.slots[op.dst].dZ
        if op.src == 0:
            if job.dX != NULL:
                product(job, job.dX + r * op.n_in * job.size, op.n_in, False, row(job, dZ, r), dZ.ld,
                        job.Wt[i], leading(op.n_in, job.size), n, op.n_in, op.n_out)
            continue
        ld = leading(op.n_in, job.size)
        product(job, job.dA, ld, False, row(job, dZ, r), dZ.ld, job.Wt[i], ld, n, op.n_in, op.n_out)
        slope_tile(job, &job.ops[op.src - 1], r, n, job.dA, ld)


cdef void transpose_weights(const Job* job) noexcept nogil:
    """W' of every layer that something is propagated through: products with W' in place are several times
    slower. Made anew for every pass: parameters may be written at any time between two."""
    cdef int i
    cdef const Op* op
    for i in range(job.n_ops):
        op = &job.ops[i]
        if op.src > 0 or job.dX != NULL:
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

cdef void weights_tile(const Job* job, Py_ssize_t t, Py_ssize_t n, double l2) noexcept nogil:
    """A tile of dW = A_prev' dZ over n rows, with the first tile of a column of tiles db = sum of dZ; into the
    gradient where it is wanted whole, else straight into the optimizer while they are in the cache.

    l2: alpha over the sum of the sample weights; where it is not 0, tile_sums[t] is the tile's sum of W^2.
    """
    cdef Tile tile = job.tiles[t]
    cdef const Op* op = &job.ops[tile.op]
    cdef Matrix A = job.slots[op.src].A, dZ = job.slots[op.dst].dZ
    cdef Py_ssize_t rows = tile.i1 - tile.i0, columns = tile.o1 - tile.o0
    cdef Py_ssize_t W = op.W + tile.i0 * op.n_out + tile.o0, b = op.b + tile.o0
    cdef const char* dZ_columns = dZ.at + tile.o0 * job.size
    cdef bint fused = job.grad == NULL
    cdef char* dW = job.G if fused else job.grad + W * job.size
    cdef char* db = job.G + TILE_NUMBERS * job.size if fused else job.grad + b * job.size
    cdef Py_ssize_t ld = columns if fused else op.n_out
    product(job, dW, ld, True, A.at + tile.i0 * job.size, A.ld, dZ_columns, dZ.ld, rows, columns, n)
    if l2 != 0:
        job.tile_sums[t] = job.kernels.penalty(rows, columns, job.params + W * job.size, op.n_out, l2, dW, ld)
    if fused:
        job.kernels.update(job.optimizer, job.scalars, rows, columns, job.params + W * job.size, op.n_out,
                           dW, ld, job.state + W * job.size, job.n_params)
    if tile.i0 == 0:
        job.kernels.column_sums(n, columns, dZ_columns, dZ.ld, db)
        if fused:
            job.kernels.update(job.optimizer, job.scalars, 1, columns, job.params + b * job.size, columns,
                               db, columns, job.state + b * job.size, job.n_params)


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
    job.slots[0].A = Matrix(<char*>job.X + begin * job.ldx * job.size, job.ldx)


cdef int rows_phase(Job* job, Py_ssize_t n, double total, double* cost) except -1 nogil:
    """Forward, loss and backward for the n rows of a batch; total: the sum of their weights."""
    cdef Py_ssize_t t, r, rows, n_in = job.ops[0].n_in
    cdef double flops = 2 * flops_a_row(job)
    transpose_weights(job)
    cost[0] = 0
    for t in range(n_tiles(job, n)):
        r = t * job.tile_rows
        rows = min(job.tile_rows, n - r)
        if job.order != NULL:
            dnn_gather(rows, n_in * job.size, job.X, job.ldx * job.size, job.order + r,
                       row(job, job.slots[0].A, r), job.slots[0].A.ld * job.size)
        forward_tile(job, r, rows)
        job.row_sums[t] = loss_tile(job, r, rows, 1 / total, True, NULL)
        backward_tile(job, r, rows)
        listen(job, flops * rows)
    for t in range(n_tiles(job, n)):
        cost[0] += job.row_sums[t]
    cost[0] /= total
    return 0


cdef int weights_phase(Job* job, Py_ssize_t n, double total, double* cost) except -1 nogil:
    """dW and db of every layer, into the gradient or the optimizer; the penalty is added to the cost."""
    cdef Py_ssize_t t
    cdef double l2 = job.alpha / total, squares = 0
    for t in range(job.n_weight_tiles):
        weights_tile(job, t, n, l2)
        if job.grad != NULL:
            listen(job, 2.0 * n * (job.tiles[t].i1 - job.tiles[t].i0) * (job.tiles[t].o1 - job.tiles[t].o0))
    if l2 != 0:
        for t in range(job.n_weight_tiles):
            squares += job.tile_sums[t]
        cost[0] += l2 / 2 * squares
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
    weights_phase(job, n, total, cost)
    if job.grad != NULL:
        job.kernels.update(job.optimizer, job.scalars, 1, job.n_params, job.params, job.n_params,
                           job.grad, job.n_params, job.state, job.n_params)
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


# ---------------------------------------------------------------------------------------------------------
# What Python calls
# ---------------------------------------------------------------------------------------------------------

cdef bytes INT64 = b"lq"


cdef class Bound:
    """An array whose memory a job points at: rows of equal length, the numbers of a row contiguous."""

    cdef object array  # keeps the memory where it is
    cdef char* at
    cdef Py_ssize_t n_rows, n_cols, ld
    cdef int size

    def __cinit__(self, array, bytes formats, bint writable=False):
        cdef Py_buffer view
        PyObject_GetBuffer(array, &view, PyBUF_FORMAT | PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
        try:
            # One letter, native byte order; int64 is "l" or "q" by platform, and either must have 8 bytes
            if len(<bytes>view.format) != 1 or <bytes>view.format not in formats or not 1 <= view.ndim <= 2 \
                    or (formats == INT64 and view.itemsize != 8):
                raise TypeError(f"an array of {formats!r} with 1 or 2 axes is wanted, got {view.format!r}")
            self.array, self.at, self.size = array, <char*>view.buf, view.itemsize
            self.n_rows = view.shape[0]
            self.n_cols = view.shape[1] if view.ndim == 2 else 1
            self.ld = view.strides[0] // view.itemsize if self.n_rows > 1 else self.n_cols
            if <uintptr_t>view.buf % view.itemsize or self.ld < self.n_cols \
                    or (self.n_rows > 1 and view.strides[0] % view.itemsize) \
                    or (view.ndim == 1 and self.ld != 1) \
                    or (view.ndim == 2 and self.n_cols > 1 and view.strides[1] != view.itemsize):
                raise ValueError("rows must be aligned, and their numbers contiguous")
        finally:
            PyBuffer_Release(&view)


cdef Bound bind(array, Py_ssize_t n_rows, Py_ssize_t n_cols, bytes formats, bint writable=False):
    """A contiguous array of a certain shape; n_rows = -1: any number."""
    cdef Bound bound = Bound(array, formats, writable)
    if (n_rows >= 0 and bound.n_rows != n_rows) or bound.n_cols != n_cols or bound.ld != n_cols:
        raise ValueError(f"a contiguous array ({n_rows}, {n_cols}) is wanted, "
                         f"got ({bound.n_rows}, {bound.n_cols})")
    return bound


cdef class Run:
    """A Job with the memory that it owns and the arrays that it points at.

    Run(plan, schedule, params) is what every pass needs; the methods add what each kind wants.
    """

    cdef Job job
    cdef Plan plan
    cdef Schedule schedule
    cdef list bound
    cdef bytes format  # of a number of the job's precision
    cdef char* memory

    def __cinit__(self, Plan plan, Schedule schedule, params, bint writable=False):
        cdef Job* job = &self.job
        self.plan, self.schedule = plan, schedule
        self.bound = []
        self.format = b"f" if schedule.size == 4 else b"d"
        job.ops, job.n_ops, job.n_params = plan.ops, plan.n_ops, plan.n_params
        job.size = schedule.size
        job.kernels = KERNELS[job.size == 8]
        job.gemm = GEMM[job.size == 8]
        job.tile_rows, job.tiles, job.n_weight_tiles = schedule.tile_rows, schedule.tiles, schedule.n_weight_tiles
        job.params = self.bind(params, plan.n_params, 1, writable)
        job.outputs = True
        job.heard = dnn_seconds()
        job.slots = <Slot*>calloc(plan.n_ops + 1, sizeof(Slot))
        job.Wt = <char**>calloc(max(plan.n_ops, 1), sizeof(char*))
        self.memory = <char*>malloc(schedule.work + LINE)
        if job.slots == NULL or job.Wt == NULL or self.memory == NULL:
            raise MemoryError(f"no memory for a work space of {schedule.work} bytes")
        self.aim(self.memory + (LINE - <uintptr_t>self.memory % LINE) % LINE)

    def __dealloc__(self):
        free(self.job.slots)
        free(self.job.Wt)
        free(self.memory)

    cdef char* bind(self, array, Py_ssize_t n_rows, Py_ssize_t n_cols, bint writable=False,
                    formats=None) except NULL:
        bound = bind(array, n_rows, n_cols, formats or self.format, writable)
        self.bound.append(bound)
        return (<Bound>bound).at

    cdef void aim(self, char* work):
        """Point into the work space; Z and A that are kept for the caller are aimed at by `keep`."""
        cdef Job* job = &self.job
        cdef Schedule schedule = self.schedule
        cdef Place* place
        cdef int i
        for i in range(job.n_ops + 1):
            place = &schedule.places[i]
            if place.A >= 0 and schedule.purpose != CACHE:
                job.slots[i].A = Matrix(work + place.A, place.ld)
            if place.Z >= 0 and schedule.purpose != CACHE:
                job.slots[i].Z = Matrix(work + place.Z, place.ld)
            if place.dZ >= 0:
                job.slots[i].dZ = Matrix(work + place.dZ, place.ld)
        for i in range(job.n_ops):
            job.Wt[i] = work + schedule.Wt[i]
        job.G = work + schedule.G
        job.tile_sums = <double*>(work + schedule.tile_sums)
        job.row_sums = <double*>(work + schedule.row_sums)
        job.grad = work + schedule.grad if schedule.grad >= 0 else NULL
        job.dA = work + schedule.dA
        job.Y_tile = work + schedule.Y
        job.classes_tile = <int64_t*>(work + schedule.classes)
        job.w_tile = <double*>(work + schedule.w)

    cdef void read(self, X):
        """The rows that are read: X (N, I)."""
        cdef Bound bound = Bound(X, self.format)
        if bound.n_cols != self.plan.n_inputs:
            raise ValueError(f"X must have {self.plan.n_inputs} columns, got {bound.n_cols}")
        self.bound.append(bound)
        self.job.X, self.job.ldx, self.job.n_rows = bound.at, bound.ld, bound.n_rows
        if not self.schedule.gather:
            aim_at_rows(&self.job, 0)

    cdef void keep(self, kept):
        """Aim at Z and A in the caller's block, which begins on a line of the cache."""
        cdef char* at = self.bind(kept, self.schedule.kept, 1, True, b"B")
        cdef Place* place
        cdef int i
        for i in range(1, self.job.n_ops + 1):
            place = &self.schedule.places[i]
            self.job.slots[i].Z = Matrix(at + place.Z, place.ld)
            self.job.slots[i].A = Matrix(at + place.A, place.ld)

    cdef void want(self, int loss, par, Y, classes, weights):
        """The loss, its targets Y (N, O) or classes (N,), and the weights (N,) of the rows."""
        cdef Job* job = &self.job
        cdef int last = self.plan.ops[self.plan.n_ops - 1].activation
        job.loss = loss
        for i, value in enumerate(par):
            job.loss_par[i] = value
        job.outputs = dnn_losses[loss].output[0] == 0 and last != IDENTITY
        if Y is not None:
            job.Y = self.bind(Y, job.n_rows, self.plan.n_outputs)
        else:
            job.classes = <const int64_t*>self.bind(classes, job.n_rows, 1, False, INT64)
        if weights is not None:
            job.weights = <const double*>self.bind(weights, job.n_rows, 1, False, b"d")


ctypedef void (*tile_t)(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil

cdef void predict_tile(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """The work space holds the rows of one tile; the outputs go to their place at once."""
    cdef Py_ssize_t n_out = job.ops[job.n_ops - 1].n_out
    cdef Slot* last = &job.slots[job.n_ops]
    aim_at_rows(job, r)
    last.Z = last.A = Matrix(job.out + r * n_out * job.size, n_out)
    forward_tile(job, 0, n)

cdef void losses_tile(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    aim_at_rows(job, r)
    forward_tile(job, 0, n)
    loss_tile(job, 0, n, 1, False, job.losses + r)

cdef void cache_tile(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    forward_tile(job, r, n)

cdef void product_tile(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """The rows of a vector-Jacobian product."""
    if job.d_out.at != NULL:
        slope_tile(job, &job.ops[job.n_ops - 1], r, n, row(job, job.d_out, r), job.d_out.ld)
    backward_tile(job, r, n)

cdef int over_rows(Job* job, tile_t tile) except -1 nogil:
    """Do something with all rows of X, tile by tile."""
    cdef Py_ssize_t t, r, n
    cdef double flops = flops_a_row(job)
    for t in range(n_tiles(job, job.n_rows)):
        r = t * job.tile_rows
        n = min(job.tile_rows, job.n_rows - r)
        tile(job, r, n)
        listen(job, flops * n)
    return 0


def predict(Plan plan, params, X, out):
    """Outputs of each row of X (N, I), written to out (N, O)."""
    cdef Run run = predicting(plan, params, X)
    cdef unsigned mode
    run.job.out = run.bind(out, run.job.n_rows, plan.n_outputs, True)
    with nogil:
        mode = dnn_flush_subnormals()
        try:
            over_rows(&run.job, predict_tile)
        finally:
            dnn_flush_restore(mode)


def losses(Plan plan, params, X, int loss, par, Y, classes, out):
    """The loss of each row of X (N, I) without penalties, written to out (N,), float64."""
    cdef Run run = predicting(plan, params, X)
    cdef unsigned mode
    run.want(loss, par, Y, classes, None)
    run.job.losses = <double*>run.bind(out, run.job.n_rows, 1, True, b"d")
    with nogil:
        mode = dnn_flush_subnormals()
        try:
            over_rows(&run.job, losses_tile)
        finally:
            dnn_flush_restore(mode)


cdef Run predicting(Plan plan, params, X):
    """A run over the rows of X (N, I) that keeps no more of them than a tile."""
    cdef Bound rows = Bound(X, b"fd")
    cdef Run run = Run(plan, plan.schedule(rows.size, min(rows.n_rows, 4096), PREDICT), params)
    run.read(X)
    return run


def cache_schedule(Plan plan, int size, Py_ssize_t n_rows):
    """The schedule of a forward pass over n_rows rows that keeps Z and A."""
    return plan.schedule(size, n_rows, CACHE)


cdef Run caching(Plan plan, Schedule schedule, params, X, kept):
    """A run over the rows of X (N, I) whose Z and A stand in the block `kept`."""
    cdef Run run = Run(plan, schedule, params)
    run.read(X)
    if run.job.n_rows > schedule.n_rows:
        raise ValueError(f"the schedule is for {schedule.n_rows} rows, got {run.job.n_rows}")
    run.keep(kept)
    return run


def forward(Plan plan, Schedule schedule, params, X, kept):
    """Z and A of every layer for each row of X (N, I), written to the block `kept`."""
    cdef Run run = caching(plan, schedule, params, X, kept)
    cdef unsigned mode
    with nogil:
        mode = dnn_flush_subnormals()
        try:
            over_rows(&run.job, cache_tile)
        finally:
            dnn_flush_restore(mode)


def backward(Plan plan, Schedule schedule, params, X, kept, d_out, bint scores, grad, dX):
    """The vector-Jacobian product of a forward pass: grad (P,) and dX (N, I), each where it is not None.

    d_out (N, O): with respect to the outputs, or, with `scores`, to the last Z.
    """
    cdef Run run = caching(plan, schedule, params, X, kept)
    cdef Job* job = &run.job
    cdef double cost = 0
    cdef unsigned mode
    cdef Matrix d = Matrix(run.bind(d_out, job.n_rows, plan.n_outputs), plan.n_outputs)
    if scores:
        job.slots[job.n_ops].dZ = d  # only read from here on
    else:
        job.d_out = d
    if grad is not None:
        job.grad = run.bind(grad, plan.n_params, 1, True)
    if dX is not None:
        job.dX = run.bind(dX, job.n_rows, plan.n_inputs, True)
    with nogil:
        mode = dnn_flush_subnormals()
        try:
            transpose_weights(job)
            over_rows(job, product_tile)
            if job.grad != NULL:
                weights_phase(job, job.n_rows, 1, &cost)
        finally:
            dnn_flush_restore(mode)


def cost_and_gradient(Plan plan, params, X, int loss, par, Y, classes, weights, double alpha, grad):
    """Cost of all rows of X (N, I), penalties included; its gradient is written to grad (P,)."""
    cdef Bound rows = Bound(X, b"fd")
    cdef bint outputs = dnn_losses[loss].output[0] == 0 and plan.ops[plan.n_ops - 1].activation != IDENTITY
    cdef Run run = Run(plan, Schedule(plan, rows.size, rows.n_rows, TRAIN, outputs=outputs), params)
    cdef Job* job = &run.job
    cdef double cost = 0, total
    cdef unsigned mode
    run.read(X)
    run.want(loss, par, Y, classes, weights)
    job.alpha = alpha
    job.grad = run.bind(grad, plan.n_params, 1, True)
    with nogil:
        mode = dnn_flush_subnormals()
        try:
            total = weight_of(job, job.n_rows)
            rows_phase(job, job.n_rows, total, &cost)
            weights_phase(job, job.n_rows, total, &cost)
        finally:
            dnn_flush_restore(mode)
    return cost


cdef class Trainer:
    """A network in training. `steps` may be called as often as wanted: where calls end changes no bit.

    params (P,) and state (slots, P) are trained in place; step: updates that the state has seen. X (N, I), Y
    (N, O) or classes (N,), weights (N,) float64 or None; batch: rows a step.
    """

    cdef Run run

    def __cinit__(self, Plan plan, Schedule schedule, params, X, int loss, par, Y, classes, weights,
                  double alpha, Py_ssize_t batch, int optimizer, hyper, state, int64_t step):
        self.run = Run(plan, schedule, params, True)
        cdef Job* job = &self.run.job
        self.run.read(X)
        if not 1 <= batch <= schedule.n_rows:
            raise ValueError(f"batch must be in 1 .. {schedule.n_rows}, got {batch}")
        self.run.want(loss, par, Y, classes, weights)
        job.alpha, job.batch, job.optimizer, job.step = alpha, batch, optimizer, step
        for i, value in enumerate(hyper):
            job.hyper[i] = value
        if dnn_optimizers[optimizer].n_slots:
            job.state = self.run.bind(state, dnn_optimizers[optimizer].n_slots, plan.n_params, True)

    @property
    def step(self):
        """Updates that the state has seen."""
        return self.run.job.step

    @step.setter
    def step(self, int64_t value):
        self.run.job.step = value

    def steps(self, order, rates, costs, Py_ssize_t first):
        """Do len(rates) steps; the cost of each, before its update, is written to costs. Returns how many
        were done: fewer than asked for where a loss was not finite, whose cost is then the last written.

        order (epochs, N): rows of X in the order of each epoch, None for as they stand; the first step is
        batch number `first` of the first of these epochs.
        """
        cdef Job* job = &self.run.job
        cdef Bound r = bind(rates, -1, 1, b"d"), c = bind(costs, -1, 1, b"d", True), o
        cdef const int64_t* rows = NULL
        cdef Py_ssize_t a_epoch = (job.n_rows + job.batch - 1) // job.batch
        cdef Py_ssize_t done = 0, n_steps = r.n_rows, i
        cdef unsigned mode
        if c.n_rows < n_steps:
            raise ValueError(f"costs must have {n_steps} rows or more, got {c.n_rows}")
        if (order is not None) != self.run.schedule.gather:
            raise ValueError("order must be given where rows are gathered, and only there")
        if order is not None:
            o = bind(order, -1, job.n_rows, INT64)
            if o.n_rows * a_epoch < first + n_steps:
                raise ValueError(f"order must cover {first + n_steps} batches")
            rows = <const int64_t*>o.at
            for i in range(o.n_rows * o.n_cols):
                if not 0 <= rows[i] < job.n_rows:
                    raise ValueError(f"order must hold row numbers in 0 .. {job.n_rows - 1}, got {rows[i]}")
        cdef double* written = <double*>c.at
        cdef const double* rate = <const double*>r.at
        with nogil:
            mode = dnn_flush_subnormals()
            try:
                done = run_steps(job, rows, rate, written, first, n_steps)
            finally:
                dnn_flush_restore(mode)
        return done


def train_schedule(Plan plan, int size, Py_ssize_t batch, bint gather, int loss, int optimizer, two_sweeps=None):
    """The schedule of a training. two_sweeps: None lets it decide."""
    cdef bint outputs = dnn_losses[loss].output[0] == 0 and plan.ops[plan.n_ops - 1].activation != IDENTITY
    cdef double flops = 2.0 * plan.n_params * batch
    if two_sweeps is None or dnn_optimizers[optimizer].whole_gradient:
        # An update that has begun must be ended: one that may take 0.05 s is not begun before it is sure
        two_sweeps = flops > 1e9 or dnn_optimizers[optimizer].whole_gradient
    return Schedule(plan, size, batch, TRAIN, gather=gather, outputs=outputs, gradient=two_sweeps)


def update(int optimizer, hyper, double rate, int64_t step, params, grad, state):
    """Update number `step` (1, 2, ...) of params (P,) by grad (P,); state (slots, P) in place."""
    cdef Bound p = Bound(params, b"fd", True)
    cdef bytes format = b"f" if p.size == 4 else b"d"
    cdef Bound g = bind(grad, p.n_rows, 1, format), s
    cdef double h[DNN_MAX_HYPER]
    cdef double scalars[DNN_MAX_SCALARS]
    cdef char* slots = NULL
    cdef const DnnKernels* kernels = KERNELS[p.size == 8]
    cdef unsigned mode
    for i, value in enumerate(hyper):
        h[i] = value
    if dnn_optimizers[optimizer].n_slots:
        s = bind(state, dnn_optimizers[optimizer].n_slots, p.n_rows, format, True)
        slots = s.at
    with nogil:
        mode = dnn_flush_subnormals()
        dnn_scalars(optimizer, h, rate, step, scalars)
        kernels.update(optimizer, scalars, 1, p.n_rows, p.at, p.n_rows, g.at, p.n_rows, slots, p.n_rows)
        dnn_flush_restore(mode)


def all_finite(array):
    """True if every number of an array of floats is finite."""
    cdef Bound x = Bound(array, b"fd")
    cdef int finite
    cdef Py_ssize_t r
    with nogil:
        finite = 1
        if x.ld == x.n_cols:
            finite = KERNELS[x.size == 8].all_finite(x.n_rows * x.n_cols, x.at)
        else:
            for r in range(x.n_rows):
                finite = finite and KERNELS[x.size == 8].all_finite(x.n_cols, x.at + r * x.ld * x.size)
    return bool(finite)


def elementwise(name, x, out):
    """out = f(x), both (n,), f a name in FUNCTIONS. Subnormal numbers are kept here."""
    cdef Bound source = Bound(x, b"fd")
    cdef Bound written = bind(out, source.n_rows, 1, b"f" if source.size == 4 else b"d", True)
    KERNELS[source.size == 8].map(FUNCTIONS[name], source.n_rows, source.at, written.at)
