# A step of a small net, part of _core.pyx: with one barrier (replicated_step), or with examples in columns (feature_major_step).

cdef Status replicated_step(Job* job, Py_ssize_t n, double total, double rate, Cost* cost) noexcept nogil:
    """A step with one barrier, for a net whose weights are few: the batch is cut into N_SHARDS parts, whatever
    the number of members, each with a gradient of its own. Every member adds these up and updates parameters
    and state of its own: to do it twice takes less time than to hand the results over."""
    cdef Py_ssize_t half = (n + N_SHARDS - 1) // N_SHARDS, r, rows, P = job.n_params
    cdef char* grads = job.partial_grads + (job.step % 2) * N_SHARDS * P * job.size
    cdef char* part
    cdef Tile tile
    cdef const Op* op
    cdef int p, i
    for p in range(N_SHARDS):
        if p % job.n_members != job.me:
            continue
        r = min(p * half, n)
        rows = min(half, n - r)
        part = grads + p * P * job.size
        read_block(job, r, rows)
        forward_block(job, 0, r, rows)
        job.row_sums[2 * p + job.step % 2] = loss_tile(job, r, rows, 1 / total, True, NULL)
        backward_block(job, r, rows)
        for i in range(job.n_ops):
            op = &job.ops[i]
            if not is_frozen(job, i):
                tile = Tile(i, 0, op.n_in, 0, op.n_out, 0)
                gradient_part(job, &tile, r, rows, part + op.W * job.size, op.n_out, part + op.b * job.size,
                              NULL)
    poll_signals(job, 3 * flops_per_row(job) * n + 1e4)  # a step of the smallest net costs about that
    barrier(job)
    if job.shared.stop:
        return STOPPED
    for p in range(N_SHARDS):
        cost.loss += job.row_sums[2 * p + job.step % 2]
    cost.loss /= total
    if not isfinite(cost.loss):
        return NOT_FINITE
    for p in range(1, N_SHARDS):
        job.kernels.add(P, grads if p == 1 else job.G, grads + p * P * job.size, job.G)
    return apply(job, max(total, job.least * n), rate, cost)


cdef Status apply(Job* job, double total, double rate, Cost* cost) noexcept nogil:
    """The end of a step whose whole gradient stands in G: the penalty, divided by total, clipping, the optimizer, W'."""
    cdef const Op* op
    cdef double norm = 0
    cdef Tile tile
    cdef int i
    for i in range(job.n_ops):
        op = &job.ops[i]
        if job.alpha != 0 or job.l1 != 0:
            cost.penalty += job.kernels.penalty(op.n_in, op.n_out, job.params + op.W * job.size, op.n_out, job.alpha / total,
                                           job.l1 / total, NULL if is_frozen(job, i) else job.G + op.W * job.size, op.n_out)
        if is_frozen(job, i):
            memset(job.G + op.W * job.size, 0, (op.n_in + 1) * op.n_out * job.size)
    if job.clip_norm > 0:
        norm = sqrt(job.kernels.sum_squares(job.n_params, job.G))
        if not isfinite(norm):
            return NOT_FINITE
    if norm > job.clip_norm:
        job.kernels.scale(1, job.n_params, job.clip_norm / norm, job.G, job.n_params)
    dnn_scalars(job.optimizer, job.hyper, rate, job.step + 1, job.scalars)
    job.rate = rate
    if job.frozen == NULL and job.weight_decay == 0:
        update_part(job, &job.ops[0], 0, 1, job.n_params, job.n_params, job.G, job.n_params)  # all at once
        if not job.feature_major:
            transpose_replica(job)
    else:
        for i in range(job.n_ops):
            op = &job.ops[i]
            if not is_frozen(job, i):
                tile = Tile(i, 0, op.n_in, 0, op.n_out, 0)
                update_tile(job, &tile, job.G + op.W * job.size, op.n_out, job.G + op.b * job.size)
    if job.feature_major:
        transpose_weights(job)
    job.step += 1
    return GOOD if isfinite(cost.penalty) else NOT_FINITE


cdef void transpose_replica(const Job* job) noexcept nogil:
    """W' of every layer that needs it, all by this member, for itself."""
    cdef int i
    for i in range(job.n_ops):
        if keeps_transposed(job, i):
            transpose_part(job, i, 0, job.ops[i].n_in, 0, job.ops[i].n_out)


cdef void transpose_weights(const Job* job) noexcept nogil:
    """[W; b]' of each layer."""
    cdef int i
    cdef const Op* op
    for i in range(job.n_ops):
        op = &job.ops[i]
        job.kernels.transpose(op.n_in + 1, op.n_out, job.params + op.W * job.size, op.n_out, job.Wt[i], op.n_in + 1)


cdef void transpose_batch(Job* job, Py_ssize_t n) noexcept nogil:
    """X' of the n rows of a batch, unless they are those of the last step, as where a batch is all rows."""
    cdef Py_ssize_t n_in = job.ops[0].n_in
    cdef Matrix A = job.slots[0].A
    if job.order != NULL:
        dnn_gather(n, n_in * job.size, job.X, job.ldx * job.size, job.order, job.dA, n_in * job.size)
        job.kernels.transpose(n, n_in, job.dA, n_in, A.at, A.ld)
    elif job.cached_begin != job.begin or job.batch_cached != n:
        job.kernels.transpose(n, n_in, job.X + job.begin * job.ldx * job.size, job.ldx, A.at, A.ld)
        job.cached_begin, job.batch_cached = job.begin, n


cdef Status feature_major_step(Job* job, Py_ssize_t n, double total, double rate, Cost* cost) noexcept nogil:
    """A step of a net of few units and one output, whose rows would not fill a vector: examples lie in columns,
    as in the course, and fill the lanes. A' (n_in + 1, n) has a last row of ones, and [W; b] stand in the
    parameters as one matrix, so that Z' = [W; b]' A', and [dW; db] = A' dZ, are a product each."""
    cdef int i
    cdef const Op* op
    cdef Slot src, dst
    cdef Matrix f
    cdef bint last
    cdef int activation, size = job.size
    transpose_batch(job, n)
    for i in range(job.n_ops):
        op, last = &job.ops[i], i == job.n_ops - 1
        src, dst = job.slots[i], job.slots[i + 1]
        f = dst.A if dnn_activations[op.activation].slope_from_z else dst.V
        activation = IDENTITY if last and not job.outputs else op.activation
        job.kernels.gemm_nn(DNN_EPILOGUE_RELU if activation == RELU else DNN_EPILOGUE_NONE, op.n_out, n, op.n_in + 1, job.Wt[i],
                            op.n_in + 1, NULL, src.A.at, src.A.ld, NULL, NULL, 0, dst.Z.at, dst.Z.ld, NULL)
        if f.at != dst.Z.at or (activation != IDENTITY and activation != RELU):
            job.kernels.activate(activation, op.par, op.n_out, n, NULL, dst.Z.at, dst.Z.ld if not last else n,
                                 f.at, f.ld if not last else n)
    cost.loss = loss_tile(job, 0, n, 1 / total, True, NULL) / total
    poll_signals(job, 3 * flops_per_row(job) * n + 1e4)
    if job.shared.stop:
        return STOPPED
    if not isfinite(cost.loss):
        return NOT_FINITE
    for i in range(job.n_ops - 1, -1, -1):
        op, last = &job.ops[i], i == job.n_ops - 1
        src, dst = job.slots[i], job.slots[i + 1]
        if last:  # a column; as a row it is computed in fewer blocks
            job.kernels.gemm_nt(DNN_EPILOGUE_NONE, 1, op.n_in + 1, n, dst.dZ.at, n, NULL, src.A.at, src.A.ld, NULL,
                             job.G + op.W * size, op.n_in + 1, NULL)
        else:
            job.kernels.gemm_nt(DNN_EPILOGUE_NONE, op.n_in + 1, op.n_out, n, src.A.at, src.A.ld, NULL, dst.dZ.at, dst.dZ.ld, NULL,
                             job.G + op.W * size, op.n_out, NULL)
        if i < lowest(job):
            continue
        activation = job.ops[i - 1].activation
        if activation == RELU:
            job.kernels.gemm_nn(DNN_EPILOGUE_RELU_SLOPE, op.n_in, n, op.n_out, job.params + op.W * size, op.n_out, NULL,
                                dst.dZ.at, dst.dZ.ld, NULL, src.A.at, src.A.ld, src.dZ.at, src.dZ.ld, NULL)
        else:
            job.kernels.gemm_nn(DNN_EPILOGUE_NONE, op.n_in, n, op.n_out, job.params + op.W * size, op.n_out, NULL,
                                dst.dZ.at, dst.dZ.ld, NULL, NULL, 0, job.dA, src.dZ.ld, NULL)
            job.kernels.slope(activation, job.ops[i - 1].par, op.n_in, n, src.V.at, src.V.ld, job.dA, src.dZ.ld,
                              src.dZ.at, src.dZ.ld)
    return apply(job, max(total, job.least * n), rate, cost)
