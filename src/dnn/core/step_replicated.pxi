# The replicated step, part of _core.pyx: for networks with few parameters, with one barrier instead of two.
#
# Every member has its own copy of the parameters and of the optimizer's state, and every member performs every update.
# Updating twice takes less time than a second barrier and moving the updated weights between cores. An example with 2
# members and 8 rows. A batch always has N_SHARDS = 2 shards, so that the bits do not depend on the number of members; a
# team has at most that many members (see Trainer.useful_members):
#
#                            member 0                            member 1
#     reads                  rows 0 - 3, its copy of params      rows 4 - 7, its copy of params
#     computes               forward, loss, backward, and then dW and db of all layers over its 4 rows
#     writes                 partial_grads[parity][0],           partial_grads[parity][1],
#                            row_sums[0][parity]                 row_sums[1][parity]
#     ------------------------------------------ barrier ------------------------------------------
#     reads                  both partial gradients, both row_sums
#     computes               in G: the sum of the gradients in shard order, the penalty's gradient, clipping;
#                            then the update of all parameters
#     writes                 its copy of params, state, W'       its copy of params, state, W'
#
# No barrier is needed before the next step, because partial_grads and row_sums have two sets of places: even steps use one,
# odd steps the other (parity = step modulo 2), so that a fast member does not overwrite what a slow one still reads. It
# cannot be two steps ahead, because there is a barrier in each. Member 0's copy of the parameters is the caller's
# array. A single member computes both shards.

cdef Status replicated_step(Job* job, Py_ssize_t n, double total, double rate, Cost* cost) noexcept nogil:
    """Perform a step of the optimizer on a batch of n rows whose sample weights sum to `total`."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t rows_per_shard = (n + N_SHARDS - 1) // N_SHARDS, r, rows, P = setup.n_params
    cdef int parity = job.step % 2
    cdef char* partial_grads = setup.partial_grads + parity * N_SHARDS * P * setup.size
    cdef char* grad
    cdef Tile tile
    cdef const Op* op
    cdef int shard, i
    for shard in range(N_SHARDS):
        if shard % job.n_members != job.me:
            continue
        r = min(shard * rows_per_shard, n)
        rows = min(rows_per_shard, n - r)
        grad = partial_grads + shard * P * setup.size
        read_block(job, r, rows)
        forward_block(job, 0, r, rows)
        setup.row_sums[2 * shard + parity] = loss_tile(job, r, rows, 1 / total, True, NULL)
        backward_block(job, r, rows)
        for i in range(setup.n_ops):
            op = &setup.ops[i]
            if not is_frozen(job, i):
                tile = Tile(i, 0, op.n_in, 0, op.n_out, 0)  # the whole of W
                gradient_part(job, &tile, r, rows, grad + op.W * setup.size, op.n_out, grad + op.b * setup.size, NULL)
    poll_signals(job, PASSES_PER_STEP * flops_per_row(job) * n + DNN_STEP_FLOPS)
    barrier(job)
    if job.stopped:
        return STOPPED
    for shard in range(N_SHARDS):
        cost.loss += setup.row_sums[2 * shard + parity]
    cost.loss /= total
    if not isfinite(cost.loss):
        return NOT_FINITE  # nothing has been changed
    for shard in range(1, N_SHARDS):
        setup.kernels.add(P, partial_grads if shard == 1 else job.scratch.G, partial_grads + shard * P * setup.size,
                          job.scratch.G)
    return apply_gradient(job, max(total, setup.loss.least_weight * n), rate, cost)


cdef Status apply_gradient(Job* job, double total, double rate, Cost* cost) noexcept nogil:
    """End a replicated or feature-major step, whose whole gradient is in G: add the gradient of the penalty (divided by
    total), clip, update all parameters, and compute W' again."""
    cdef const Setup* setup = job.setup
    cdef const Op* op
    cdef char* dW
    cdef double norm = 0  # without clipping it stays 0, which is not above a clip_norm of 0
    cdef Tile tile
    cdef int i
    for i in range(setup.n_ops):
        op = &setup.ops[i]
        dW = job.scratch.G + op.W * setup.size
        if setup.loss.alpha != 0 or setup.loss.l1 != 0:
            cost.penalty += setup.kernels.penalty(op.n_in, op.n_out, job.params + op.W * setup.size, op.n_out,
                                                  setup.loss.alpha / total, setup.loss.l1 / total,
                                                  NULL if is_frozen(job, i) else dW, op.n_out)
        if is_frozen(job, i):  # its part of G was not computed, and must not count in the norm; b follows W
            memset(dW, 0, (op.n_in + 1) * op.n_out * setup.size)
    if setup.optimizer.clip_norm > 0:
        norm = sqrt(setup.kernels.sum_squares(setup.n_params, job.scratch.G))
        if not isfinite(norm):
            return NOT_FINITE
    if norm > setup.optimizer.clip_norm:
        setup.kernels.scale(1, setup.n_params, setup.optimizer.clip_norm / norm, job.scratch.G, setup.n_params)
    dnn_scalars(setup.optimizer.index, setup.optimizer.hyper, rate, job.step + 1, job.scalars)
    job.rate = rate
    if setup.optimizer.frozen == NULL and setup.optimizer.weight_decay == 0:
        # All parameters are updated as one row
        update_part(job, &setup.ops[0], 0, 1, setup.n_params, setup.n_params, job.scratch.G, setup.n_params)
        if setup.step_kind != STEP_FEATURE_MAJOR:
            transpose_replica(job)
    else:  # update_tile transposes too
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
    """Compute W' of every layer that needs it, from this member's copy of the parameters."""
    cdef const Setup* setup = job.setup
    cdef int i
    for i in range(setup.n_ops):
        if keeps_transposed(job, i):
            transpose_part(job, i, 0, setup.ops[i].n_in, 0, setup.ops[i].n_out)
