# The gradient of a weight tile and its update, part of _core.pyx.
#
# A tile of dW = A_prev' dZ is summed over all rows of the batch, and the optimizer is applied to it while it is in the
# cache: a fused update. If the whole gradient is needed before the first update (clipping by norm, L-BFGS, `backward`),
# it is written to `grad`, and a second sweep over the tiles updates the parameters.


cdef void gradient_part(const Job* job, const Tile* tile, Py_ssize_t r, Py_ssize_t n, char* dW, Py_ssize_t ld,
                        char* db, const DnnPrefetch* prefetch) noexcept nogil:
    """Compute a tile of dW = A_prev' dZ over rows r .. r + n, and db, the sums of the tile's columns of dZ, unless db is
    NULL. prefetch: matrices to fetch into the cache meanwhile, or NULL."""
    cdef const Setup* setup = job.setup
    cdef const Op* op = &setup.ops[tile.op]
    cdef DnnMatrix A = rows_from(job, job.slots[op.src].A, r), dZ = rows_from(job, job.slots[op.dst].dZ, r), C
    cdef Py_ssize_t rows = tile.i1 - tile.i0, columns = tile.o1 - tile.o0
    cdef const char* dZ_tile = <char*>dZ.at + tile.o0 * setup.size
    A.column, dZ.column = tile.i0, tile.o0
    if not setup.choices[tile.op].native:
        blas_gemm(job, dW, ld, True, <char*>A.at + tile.i0 * setup.size, A.ld, dZ_tile, dZ.ld, rows, columns, n)
    elif not setup.choices[tile.op].grad_transposed:
        C = matrix(dW, ld)
        setup.kernels.gemm_tn(n, rows, columns, &A, &dZ, &C, job.scratch.workspace, prefetch)
    else:  # the lanes of vectors run along the inputs: dW' = dZ' A_prev
        C = matrix(dW if columns == 1 and ld == 1 else job.scratch.transposed, rows)
        setup.kernels.gemm_tn(n, columns, rows, &dZ, &A, &C, job.scratch.workspace, prefetch)
        if C.at != dW:
            setup.kernels.transpose(columns, rows, C.at, rows, dW, ld)
    if db != NULL:
        setup.kernels.column_sums(n, columns, dZ_tile, dZ.ld, db)


cdef void update_part(const Job* job, const Op* op, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t columns,
                      Py_ssize_t ld, const char* G, Py_ssize_t ldg) noexcept nogil:
    """Apply the optimizer to rows x columns parameters of an operation. `first` is the index of the first one in the
    vector of all parameters; rows are ld elements apart. Weight decay applies to W, that is to parameters before
    op.b."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t r
    if setup.optimizer.weight_decay > 0 and first < op.b:
        setup.kernels.scale(rows, columns, 1 - job.rate * setup.optimizer.weight_decay, job.params + first * setup.size, ld)
    setup.kernels.update(setup.optimizer.index, job.scalars, rows, columns, job.params + first * setup.size, ld, G, ldg,
                         job.state + first * setup.size, setup.n_params)
    if job.mean != NULL:
        for r in range(rows):
            setup.kernels.average(columns, setup.optimizer.mean_rate, job.params + (first + r * ld) * setup.size,
                                  job.mean + (first + r * ld) * setup.size)


cdef inline void add_prefetch(DnnPrefetch* prefetch, const char* at, Py_ssize_t stride, bint transposed) noexcept nogil:
    prefetch.matrix[prefetch.n] = DnnPrefetchMatrix(at, stride, transposed)
    prefetch.n += 1


cdef void prefetch_tile(const Job* job, const Tile* tile, DnnPrefetch* prefetch) noexcept nogil:
    """List the matrices that an update of a weight tile reads and writes."""
    cdef const Setup* setup = job.setup
    cdef const Op* op = &setup.ops[tile.op]
    cdef Py_ssize_t W = op.W + tile.i0 * op.n_out + tile.o0, ldt = leading(op.n_in, setup.size)
    cdef bint transposed = setup.choices[tile.op].grad_transposed
    cdef int k
    prefetch.n = 0
    add_prefetch(prefetch, job.params + W * setup.size, op.n_out * setup.size, transposed)
    for k in range(dnn_optimizers[setup.optimizer.index].n_slots):
        add_prefetch(prefetch, job.state + (k * setup.n_params + W) * setup.size, op.n_out * setup.size, transposed)
    if keeps_transposed(job, tile.op):
        add_prefetch(prefetch, job.Wt[tile.op] + (tile.o0 * ldt + tile.i0) * setup.size, ldt * setup.size, not transposed)


cdef inline void add_to(const Job* job, Py_ssize_t n, char* total, const char* part) noexcept nogil:
    """Add n elements of one vector to another."""
    job.setup.kernels.add(n, total, part, total)


cdef void weights_tile(const Job* job, Py_ssize_t t, Py_ssize_t n, double total) noexcept nogil:
    """Compute weight tile t of dW over the n rows of the batch, and db if it is the first tile of a column of tiles.
    Write or add them to `grad` if there is one; otherwise apply the optimizer to them while they are in the cache.

    Penalties are divided by `total`. The tile's penalty, and with clipping the sum of its squared gradient, are written to
    row t of tile_sums.
    """
    cdef const Setup* setup = job.setup
    cdef const Tile* tile = &setup.tiles[t]
    cdef const Op* op = &setup.ops[tile.op]
    cdef Py_ssize_t rows = tile.i1 - tile.i0, columns = tile.o1 - tile.o0, r
    cdef Py_ssize_t W = op.W + tile.i0 * op.n_out + tile.o0, b = op.b + tile.o0
    cdef bint fused = setup.grad == NULL, adds = setup.adds, in_scratch = fused or adds
    cdef char* dW = job.scratch.G if in_scratch else setup.grad + W * setup.size
    cdef char* db = job.scratch.G + rows * columns * setup.size if in_scratch else setup.grad + b * setup.size
    cdef Py_ssize_t ld = columns if in_scratch else op.n_out
    cdef double* sums = setup.tile_sums + 2 * t
    cdef DnnPrefetch prefetch
    cdef bint sparse = setup.sparse and tile.op == 0, touched = sparse and only_touched(job)
    sums[0] = sums[1] = 0
    if is_frozen(job, tile.op):
        dW = NULL
    elif sparse and setup.csr.segments != NULL:
        segments_gradient(job, tile, n, dW, ld, db)
    elif sparse:
        sparse_gradient(job, tile, n, dW, ld, db, touched)
    else:
        if fused:
            prefetch_tile(job, tile, &prefetch)
        gradient_part(job, tile, 0, n, dW, ld, db if tile.i0 == 0 else NULL, &prefetch if fused else NULL)
    if setup.loss.alpha != 0 or setup.loss.l1 != 0:
        sums[0] = setup.kernels.penalty(rows, columns, job.params + W * setup.size, op.n_out,
                                        setup.loss.alpha / total, setup.loss.l1 / total, dW, ld)
    if dW == NULL:
        return
    if setup.optimizer.clip_norm > 0:
        for r in range(rows):
            sums[1] += setup.kernels.sum_squares(columns, dW + r * ld * setup.size)
        if tile.i0 == 0:
            sums[1] += setup.kernels.sum_squares(columns, db)
    if touched:
        update_touched(job, tile, dW, ld, db)
    elif fused:
        update_tile(job, tile, dW, ld, db)
    elif adds:
        for r in range(rows):
            add_to(job, columns, setup.grad + (W + r * op.n_out) * setup.size, dW + r * columns * setup.size)
        if tile.i0 == 0:
            add_to(job, columns, setup.grad + b * setup.size, db)


cdef void update_tile(const Job* job, const Tile* tile, const char* dW, Py_ssize_t ld,
                      const char* db) noexcept nogil:
    """Apply the optimizer to a tile of W and, if it is the first of a column of tiles, to its part of b; then update W' and
    the sums within segments."""
    cdef const Op* op = &job.setup.ops[tile.op]
    cdef Py_ssize_t rows = tile.i1 - tile.i0, columns = tile.o1 - tile.o0
    update_part(job, op, op.W + tile.i0 * op.n_out + tile.o0, rows, columns, op.n_out, dW, ld)
    if tile.i0 == 0:
        update_part(job, op, op.b + tile.o0, 1, columns, columns, db, columns)
    if job.setup.step_kind != STEP_FEATURE_MAJOR and keeps_transposed(job, tile.op):
        transpose_part(job, tile.op, tile.i0, tile.i1, tile.o0, tile.o1)
    if tile.op == 0 and job.setup.csr.segments != NULL:
        sum_segments(job, tile.i0, tile.i1, tile.o0, tile.o1)
