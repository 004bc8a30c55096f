# The backward pass over rows, part of _core.pyx: from dZ of the last layer to dZ of the first, with W' as the right-hand
# matrix of each product. W' is a copy that every update of W updates too: reading W itself by columns is several times
# slower.


cdef void slope_tile(const Job* job, const Op* op, Py_ssize_t r, Py_ssize_t n, const char* dA,
                     Py_ssize_t ldda) noexcept nogil:
    """Compute dZ = dA f'(Z) for rows r .. r + n of an operation's outputs. The first row of dA is row r."""
    cdef Slot* slot = &job.slots[op.dst]
    job.setup.kernels.slope(op.activation, op.par, n, op.n_out, row(job, slot.V, r), slot.V.ld, dA, ldda,
                            row(job, slot.dZ, r), slot.dZ.ld)


cdef int lowest(const Job* job) noexcept nogil:
    """Return the first layer that gradients are propagated through: no layer before it is trained, and dX is not computed
    unless it is layer 0."""
    cdef int i = 0
    if job.setup.dX != NULL:
        return 0
    while i < job.setup.n_ops and is_frozen(job, i):
        i += 1
    return i + 1


cdef void backward_block(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Compute dZ of all layers but the last from dZ of the last layer, for rows r .. r + n: dA_prev = dZ W', and
    dZ_prev = dA_prev f'(Z_prev)."""
    cdef const Setup* setup = job.setup
    cdef int i, size = setup.size
    cdef const Op* op
    cdef DnnMatrix dZ, dA, W
    cdef DnnEpilogue epilogue
    cdef Slot* src
    cdef bint fused
    for i in range(setup.n_ops - 1, lowest(job) - 1, -1):
        op = &setup.ops[i]
        src = &job.slots[op.src]
        dZ = rows_from(job, job.slots[op.dst].dZ, r)
        # An epilogue of the product applies the slope of relu, unless dropout comes in between, or writing dZ would
        # overwrite the matrix that the slope is computed from
        fused = setup.choices[i].native and op.src > 0 and setup.ops[op.src - 1].activation == RELU \
            and not drops(job, op.src) and src.V.at != src.dZ.at
        if fused:
            dA = rows_from(job, src.dZ, r)
        elif op.src == 0:
            dA = matrix(setup.dX + r * op.n_in * size, op.n_in)
        else:
            dA = matrix(job.scratch.dA, leading(op.n_in, size))
        W = matrix(job.Wt[i], leading(op.n_in, size))
        if setup.choices[i].native:
            epilogue.kind = DNN_EPILOGUE_RELU_SLOPE if fused else DNN_EPILOGUE_NONE
            epilogue.bias = NULL
            epilogue.slope = rows_from(job, src.V, r)
            setup.kernels.gemm_nn(n, op.n_in, op.n_out, &dZ, &W, &dA, &epilogue, job.scratch.workspace)
        else:
            blas_gemm(job, <char*>dA.at, dA.ld, False, <char*>dZ.at, dZ.ld, <char*>W.at, W.ld, n, op.n_in, op.n_out)
        if drops(job, op.src):
            drop(job, op.src, r, n, <char*>dA.at, dA.ld, <char*>dA.at, dA.ld)
        if op.src > 0 and not fused:
            slope_tile(job, &setup.ops[op.src - 1], r, n, <char*>dA.at, dA.ld)
        if interrupted(job, op, n):
            return


cdef inline bint keeps_transposed(const Job* job, int i) noexcept nogil:
    """Return whether a layer has W' beside W, because gradients are propagated through it, or because gemm_nt computes
    it. The transpose of a single column is the column itself, see `bind_transposed`."""
    cdef const KernelChoice* choice = &job.setup.choices[i]
    return job.setup.ops[i].n_out > 1 and (choice.inner_product or (
        job.setup.propagates and choice.Wt >= 0 and i >= lowest(job)))


cdef void transpose_part(const Job* job, int i, Py_ssize_t i0, Py_ssize_t i1, Py_ssize_t o0,
                         Py_ssize_t o1) noexcept nogil:
    """Transpose rows i0 .. i1 and columns o0 .. o1 of a layer's W into its W'."""
    cdef const Setup* setup = job.setup
    cdef const Op* op = &setup.ops[i]
    cdef Py_ssize_t ld = leading(op.n_in, setup.size)
    setup.kernels.transpose(i1 - i0, o1 - o0, job.params + (op.W + i0 * op.n_out + o0) * setup.size, op.n_out,
                            job.Wt[i] + (o0 * ld + i0) * setup.size, ld)


cdef void derive(const Job* job) noexcept nogil:
    """Compute again everything that is derived from the parameters, which Python code may have written since the last call:
    W' of every layer that needs it, the sums of W within the segments of X, and the copies of the parameters. Within a call,
    updates change all of these together."""
    cdef const Setup* setup = job.setup
    cdef int i
    cdef Py_ssize_t n, slots = dnn_optimizers[setup.optimizer.index].n_slots
    cdef const Job* leader
    if setup.step_kind == STEP_REPLICATED:
        leader = job.shared.leader
        if job.me > 0:
            memcpy(job.params, leader.params, setup.n_params * setup.size)
            memcpy(job.state, leader.state, slots * setup.n_params * setup.size)
        transpose_replica(job)
        return
    if setup.csr.segments != NULL:
        n = setup.ops[0].n_out
        sum_segments(job, 0, setup.ops[0].n_in, share(job, n, job.me), share(job, n, job.me + 1))
    for i in range(setup.n_ops):
        if keeps_transposed(job, i):
            n = setup.ops[i].n_in
            transpose_part(job, i, share(job, n, job.me), share(job, n, job.me + 1), 0, setup.ops[i].n_out)
