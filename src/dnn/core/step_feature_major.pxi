# The feature-major step, part of _core.pyx: for tiny networks with one output, computed by one member.
#
# With examples in rows, a layer of 4 units would fill a quarter of a vector of 16 lanes. Here examples are in columns, as in
# the course: each row of A' is one unit for all examples, and the examples fill the lanes. A' has a last row of ones. In the
# parameters b follows W, so that [W; b] is already one matrix, and bias and weights are one product. An example: a
# layer with 2 inputs and 4 units, and 8 rows in the batch:
#
#     A'  (3, 8)    x0 of 8 rows          [W; b]' (4, 3)    w00 w10 b0
#                   x1 of 8 rows                            w01 w11 b1
#                   1  1  1  1 ...                          w02 w12 b2
#                                                           w03 w13 b3
#     Z' = [W; b]' A'          (4, 8)  gemm_nn, lanes along the examples
#     [dW; db] = A' dZ         (3, 4)  gemm_nt of A' and dZ': each element is an inner product over the examples
#     dA' = W dZ'              (2, 8)  gemm_nn
#
# A single member reads X, y and the parameters, and writes the parameters, so that there are no barriers. X' of a batch is
# kept for the next step, which reads the same rows if a batch is all rows.

cdef void transpose_weights(const Job* job) noexcept nogil:
    """Transpose [W; b] of each layer into Wt."""
    cdef const Setup* setup = job.setup
    cdef int i
    cdef const Op* op
    for i in range(setup.n_ops):
        op = &setup.ops[i]
        setup.kernels.transpose(op.n_in + 1, op.n_out, job.params + op.W * setup.size, op.n_out, job.Wt[i], op.n_in + 1)


cdef void transpose_batch(Job* job, Py_ssize_t n) noexcept nogil:
    """Transpose the n rows of a batch into A' of slot 0, unless it still holds them from the last step."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t n_in = setup.ops[0].n_in
    cdef DnnMatrix A = job.slots[0].A
    if job.batch.order != NULL:
        dnn_gather(n, n_in * setup.size, setup.X, setup.ldx * setup.size, job.batch.order, job.scratch.dA, n_in * setup.size)
        setup.kernels.transpose(n, n_in, job.scratch.dA, n_in, A.at, A.ld)
    elif job.batch.cached_begin != job.batch.begin or job.batch.cached_rows != n:
        setup.kernels.transpose(n, n_in, setup.X + job.batch.begin * setup.ldx * setup.size, setup.ldx, A.at, A.ld)
        job.batch.cached_begin, job.batch.cached_rows = job.batch.begin, n


cdef Status feature_major_step(Job* job, Py_ssize_t n, double total, double rate, Cost* cost) noexcept nogil:
    """Perform a step of the optimizer on a batch of n rows whose sample weights sum to `total`."""
    cdef const Setup* setup = job.setup
    cdef int i, size = setup.size, activation
    cdef const Op* op
    cdef Slot* src
    cdef Slot* dst
    cdef DnnMatrix* f
    cdef DnnMatrix W, dW, dZ, dA
    cdef DnnEpilogue epilogue
    cdef bint last
    epilogue.bias = NULL  # the bias is the last row of [W; b]
    transpose_batch(job, n)
    for i in range(setup.n_ops):
        op, last = &setup.ops[i], i == setup.n_ops - 1
        src, dst = &job.slots[i], &job.slots[i + 1]
        f = &dst.A if dnn_activations[op.activation].slope_from_z else &dst.V
        activation = IDENTITY if last and not setup.loss.from_outputs else op.activation
        epilogue.kind = DNN_EPILOGUE_RELU if activation == RELU else DNN_EPILOGUE_NONE
        W = matrix(job.Wt[i], op.n_in + 1)
        setup.kernels.gemm_nn(op.n_out, n, op.n_in + 1, &W, &src.A, &dst.Z, &epilogue, NULL)
        if f.at != dst.Z.at or (activation != IDENTITY and activation != RELU):
            setup.kernels.activate(activation, op.par, op.n_out, n, NULL, dst.Z.at, dst.Z.ld if not last else n,
                                   f.at, f.ld if not last else n)
    cost.loss = loss_tile(job, 0, n, 1 / total, True, NULL) / total
    poll_signals(job, PASSES_PER_STEP * flops_per_row(job) * n + DNN_STEP_FLOPS)
    if job.shared.stop:  # there is a single member, and no barrier
        return STOPPED
    if not isfinite(cost.loss):
        return NOT_FINITE  # nothing has been changed
    for i in range(setup.n_ops - 1, -1, -1):
        op, last = &setup.ops[i], i == setup.n_ops - 1
        src, dst = &job.slots[i], &job.slots[i + 1]
        epilogue.kind = DNN_EPILOGUE_NONE
        if last:  # one output: [dW; db] is a column, and is computed as a row, which takes fewer blocks
            dW = matrix(job.scratch.G + op.W * size, op.n_in + 1)
            dZ = matrix(dst.dZ.at, n)  # the column of dZ as a row
            setup.kernels.gemm_nt(1, op.n_in + 1, n, &dZ, &src.A, &dW, &epilogue, NULL)
        else:
            dW = matrix(job.scratch.G + op.W * size, op.n_out)
            setup.kernels.gemm_nt(op.n_in + 1, op.n_out, n, &src.A, &dst.dZ, &dW, &epilogue, NULL)
        if i < lowest(job):
            continue
        activation = setup.ops[i - 1].activation
        W = matrix(job.params + op.W * size, op.n_out)
        if activation == RELU:
            epilogue.kind = DNN_EPILOGUE_RELU_SLOPE
            epilogue.slope = src.A
            setup.kernels.gemm_nn(op.n_in, n, op.n_out, &W, &dst.dZ, &src.dZ, &epilogue, NULL)
        else:
            dA = matrix(job.scratch.dA, src.dZ.ld)
            setup.kernels.gemm_nn(op.n_in, n, op.n_out, &W, &dst.dZ, &dA, &epilogue, NULL)
            setup.kernels.slope(activation, setup.ops[i - 1].par, op.n_in, n, src.V.at, src.V.ld, job.scratch.dA, src.dZ.ld,
                                src.dZ.at, src.dZ.ld)
    return apply_gradient(job, max(total, setup.loss.least_weight * n), rate, cost)
