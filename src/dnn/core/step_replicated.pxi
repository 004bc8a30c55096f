# The replicated step, part of _core.pyx: for networks of few parameters, with one barrier instead of two.
#
# Every member has its own copy of the parameters and of the optimizer's state, and every member does every update. To update
# twice takes less time than a second barrier and the travel of updated weights between cores. An example with 2 members and
# 8 rows (N_SHARDS = 2 shards, whatever the number of members, so that the bits do not depend on it):
#
#                            member 0                          member 1
#     reads                  rows 0 - 3, its copy of params    rows 4 - 7, its copy of params
#     computes               forward, loss, backward, dW and db over its 4 rows
#     writes                 partial_grads[turn][0],           partial_grads[turn][1],
#                            row_sums of shard 0               row_sums of shard 1
#     ------------------------------------------ barrier ------------------------------------------
#     reads                  both partial gradients
#     computes               their sum in shard order, penalty, clipping, the update of all parameters
#     writes                 its copy of params, state, W'     its copy of params, state, W'
#
# No barrier is needed before the next step: partial_grads and row_sums have two sets of places, used in turn (turn = step
# modulo 2), so that a fast member does not overwrite what a slow one still reads. Member 0's copy is the caller's array. With
# one member it computes both shards.

cdef Status replicated_step(Job* job, Py_ssize_t n, double total, double rate, Cost* cost) noexcept nogil:
    """A step on a batch of n rows whose sample weights sum to `total`."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t half = (n + N_SHARDS - 1) // N_SHARDS, r, rows, P = setup.n_params
    cdef char* grads = setup.partial_grads + (job.step % 2) * N_SHARDS * P * setup.size
    cdef char* part
    cdef Tile tile
    cdef const Op* op
    cdef int p, i
    for p in range(N_SHARDS):
        if p % job.n_members != job.me:
            continue
        r = min(p * half, n)
        rows = min(half, n - r)
        part = grads + p * P * setup.size
        read_block(job, r, rows)
        forward_block(job, 0, r, rows)
        setup.row_sums[2 * p + job.step % 2] = loss_tile(job, r, rows, 1 / total, True, NULL)
        backward_block(job, r, rows)
        for i in range(setup.n_ops):
            op = &setup.ops[i]
            if not is_frozen(job, i):
                tile = Tile(i, 0, op.n_in, 0, op.n_out, 0)
                gradient_part(job, &tile, r, rows, part + op.W * setup.size, op.n_out, part + op.b * setup.size,
                              NULL)
    poll_signals(job, 3 * flops_per_row(job) * n + DNN_STEP_FLOPS)
    barrier(job)
    if job.shared.stop:
        return STOPPED
    for p in range(N_SHARDS):
        cost.loss += setup.row_sums[2 * p + job.step % 2]
    cost.loss /= total
    if not isfinite(cost.loss):
        return NOT_FINITE
    for p in range(1, N_SHARDS):
        setup.kernels.add(P, grads if p == 1 else job.scratch.G, grads + p * P * setup.size, job.scratch.G)
    return apply(job, max(total, setup.loss.least_weight * n), rate, cost)


cdef Status apply(Job* job, double total, double rate, Cost* cost) noexcept nogil:
    """The end of a step whose whole gradient is in G: penalty (divided by total), clipping, update, W'."""
    cdef const Setup* setup = job.setup
    cdef const Op* op
    cdef double norm = 0
    cdef Tile tile
    cdef int i
    for i in range(setup.n_ops):
        op = &setup.ops[i]
        if setup.loss.alpha != 0 or setup.loss.l1 != 0:
            cost.penalty += setup.kernels.penalty(op.n_in, op.n_out, job.params + op.W * setup.size, op.n_out, setup.loss.alpha / total,
                                           setup.loss.l1 / total, NULL if is_frozen(job, i) else job.scratch.G + op.W * setup.size, op.n_out)
        if is_frozen(job, i):
            memset(job.scratch.G + op.W * setup.size, 0, (op.n_in + 1) * op.n_out * setup.size)
    if setup.optimizer.clip_norm > 0:
        norm = sqrt(setup.kernels.sum_squares(setup.n_params, job.scratch.G))
        if not isfinite(norm):
            return NOT_FINITE
    if norm > setup.optimizer.clip_norm:
        setup.kernels.scale(1, setup.n_params, setup.optimizer.clip_norm / norm, job.scratch.G, setup.n_params)
    dnn_scalars(setup.optimizer.index, setup.optimizer.hyper, rate, job.step + 1, job.scalars)
    job.rate = rate
    if setup.optimizer.frozen == NULL and setup.optimizer.weight_decay == 0:
        update_part(job, &setup.ops[0], 0, 1, setup.n_params, setup.n_params, job.scratch.G, setup.n_params)  # all at once
        if setup.step_kind != STEP_FEATURE_MAJOR:
            transpose_replica(job)
    else:
        for i in range(setup.n_ops):
            op = &setup.ops[i]
            if not is_frozen(job, i):
                tile = Tile(i, 0, op.n_in, 0, op.n_out, 0)
                update_tile(job, &tile, job.scratch.G + op.W * setup.size, op.n_out, job.scratch.G + op.b * setup.size)
    if setup.step_kind == STEP_FEATURE_MAJOR:
        transpose_weights(job)
    job.step += 1
    return GOOD if isfinite(cost.penalty) else NOT_FINITE


cdef void transpose_replica(const Job* job) noexcept nogil:
    """Compute this member's own W' of every layer that needs it."""
    cdef const Setup* setup = job.setup
    cdef int i
    for i in range(setup.n_ops):
        if keeps_transposed(job, i):
            transpose_part(job, i, 0, setup.ops[i].n_in, 0, setup.ops[i].n_out)
