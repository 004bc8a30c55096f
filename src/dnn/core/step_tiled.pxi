# The tiled step, part of _core.pyx: the general kind of step, for every network, loss and optimizer.
#
# A step has two phases over a fixed grid of tiles (see Layout). An example with 2 members, a batch of 8 rows in 4 tiles of
# rows, and one layer whose weights (4, 4) are in 2 tiles:
#
#     phase 1, rows          member 0                         member 1
#                            rows 0 1, then rows 2 3          rows 4 5, then rows 6 7
#     reads                  its rows of X and y; all of W, b, W'
#     computes               forward through all layers, loss, backward through all layers
#     writes                 its rows of A and dZ; row_sums[0], row_sums[1] | row_sums[2], row_sums[3]
#     ------------------------------------------ barrier ------------------------------------------
#     cost.loss              every member adds row_sums in the order of the tiles: all come to the same bits
#     phase 2, weights       weight tile 0: W[0:2, :], b      weight tile 1: W[2:4, :]
#     reads                  all 8 rows of A and dZ; its tile of the optimizer's state
#     computes               dW = A' dZ over the 8 rows, penalty, update
#     writes                 its tile of W, b, W' and the state; tile_sums of its tile
#     ------------------------------------------ barrier ------------------------------------------
#     cost.penalty           every member adds tile_sums in the order of the tiles
#
# Which member computes a tile changes no bit of it: sums within a tile do not depend on other tiles, and sums over tiles are
# taken in tile order.

cdef void rows_tiles(Job* job, Py_ssize_t n, double total, bint forward, bint backward) noexcept nogil:
    """Compute this member's share of the row tiles of a batch of n rows, as many tiles at once as a block holds. The tiles
    differ by at most one row, and so do the shares."""
    cdef const Setup* setup = job.setup
    cdef int first = forward_columns(job, n) if forward else 0
    cdef Py_ssize_t tiles = n_tiles(job, n), t = share(job, tiles, job.me), last = share(job, tiles, job.me + 1)
    cdef Py_ssize_t some, r, rows, tile, begin
    cdef Py_ssize_t tiles_per_block = setup.block_rows // setup.tile_rows
    cdef double flops = 2 * flops_per_row(job)
    while t < last and not job.shared.stop:
        some = min(tiles_per_block, last - t)
        r = n * t // tiles
        rows = n * (t + some) // tiles - r
        if forward:
            read_block(job, r, rows)
            forward_block(job, first, r, rows)
        if forward and backward:
            for tile in range(t, t + some):
                begin = n * tile // tiles
                setup.row_sums[tile] = loss_tile(job, begin, n * (tile + 1) // tiles - begin, 1 / total, True, NULL)
        if backward:
            backward_block(job, r, rows)
        t += some
        poll_signals(job, flops * rows)


cdef void rows_phase(Job* job, Py_ssize_t n, double total, Cost* cost) noexcept nogil:
    """Forward, loss and backward for a batch of n rows whose sample weights sum to `total`."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t t
    cost.loss = 0
    if setup.sparse:
        group_entries(job, n)
    if setup.loss.function != NULL:  # member 0 calls it once, between forward and backward
        rows_tiles(job, n, total, True, False)
        barrier(job)
        if job.me == 0:
            setup.row_sums[0] = 0
            if not job.shared.stop:
                setup.row_sums[0] = call_custom_loss(job, n)
        barrier(job)
        rows_tiles(job, n, total, False, True)
        barrier(job)
        cost.loss = setup.row_sums[0] / total
        return
    rows_tiles(job, n, total, True, True)
    barrier(job)
    for t in range(n_tiles(job, n)):
        cost.loss += setup.row_sums[t]
    cost.loss /= total


cdef double call_custom_loss(Job* job, Py_ssize_t n) noexcept with gil:
    """Hand rows and logits to the Python function, which replaces the logits by their gradient in place."""
    cdef const Setup* setup = job.setup
    cdef DnnMatrix S = job.slots[setup.n_ops].dZ
    cdef Py_ssize_t n_out = setup.ops[setup.n_ops - 1].n_out
    cdef char[::1] memory = <char[:n * S.ld * setup.size]><char*>S.at
    try:
        logits = np.ndarray((n, n_out), f"f{setup.size}", memory, 0, (S.ld * setup.size, setup.size))
        if job.batch.order == NULL:
            rows = slice(job.batch.begin, job.batch.begin + n)
        else:
            rows = np.asarray(<int64_t[:n]>(<int64_t*>job.batch.order)).copy()
        return (<object>setup.loss.function)(rows, logits)
    except BaseException as error:
        (<Run>job.shared.run).raised = error
        job.shared.stop = True
        return 0


cdef int forward_columns(Job* job, Py_ssize_t n) noexcept nogil:
    """Compute the first layers of a batch of n rows with each member computing some columns of the outputs, for all rows.
    Return the number of these layers.

    Where a layer has far more weights than the batch has activations, moving weights between cores takes longer than moving
    activations. A weight that one member has updated and another reads travels from cache to cache, and travels back to be
    updated again: 1 to 8 ns per cache line. So members compute the columns whose weights they update themselves, which are
    in their own L2 cache, and exchange activations. Two members, a layer of 8 columns in vectors of 2:

        columns      0 1 | 2 3 | 4 5 | 6 7
        updated by    member 0 | member 1      (`owner` of the weight tiles, cut by columns in these layers)
        computed by   member 0 | member 1      member 1 is late: member 0 takes 6 7 when it has done 0 1 and 2 3

    A member takes pieces that another has not begun from the end of the other's share, as `next_tile` does."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t lanes = setup.kernels.lanes, n_out, share0, share1, o0, some, r, rows, piece, n_pieces
    cdef Py_ssize_t wide = lanes * (4 if lanes * setup.size == 64 else 6)  # one panel of gemm_nn, or two
    cdef DnnClaim* claims = setup.claims + setup.n_weight_tiles
    cdef int i, whose
    if job.n_members == 1:
        return 0
    for i in range(setup.n_columns):
        n_out = setup.ops[i].n_out
        job.round += 1
        for whose in range(job.me, job.me + job.n_members):  # its own share, then the others'
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
                    rows = min(setup.block_rows, n - r)
                    forward_layer(job, i, r, rows, o0, o0 + some)
                    poll_signals(job, 2.0 * rows * setup.ops[i].n_in * some)
                    r += rows
        barrier(job)
    return setup.n_columns


cdef inline int owner(const Job* job, Py_ssize_t t) noexcept nogil:
    """The member that a weight tile belongs to. Shares are as equal in cost as tiles allow, and are the same in every step,
    so that a member finds its weights and their state in its own cache."""
    return <int>(job.setup.tiles[t].at * job.n_members)


cdef Py_ssize_t next_tile(const Job* job, Py_ssize_t t) noexcept nogil:
    """Return the weight tile that this member computes after tile t, -1 if none is left.

    A member claims its own tiles in order. When it has none left it takes tiles that another member has not claimed, from
    the end of the other's share, because that member's core may be busy with another process. 8 tiles, 2 members:

        tile         0  1  2  3 | 4  5  6  7
        owner        0  0  0  0 | 1  1  1  1
        claimed by   0  0  0  0 | 1  1  .  0       member 0 is done, takes 7, and leaves 6 to member 1

    The last free tile of a share is left to its owner, who would have computed it before its weights had reached the other
    core. A claim is one atomic exchange of the round's number; nobody waits."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t free = -1
    if t < 0 or owner(job, t) == job.me:
        for t in range(t + 1, setup.n_weight_tiles):
            if owner(job, t) == job.me and (job.n_members == 1 or dnn_claim(&setup.claims[t], job.round)):
                return t
    if job.n_members == 1:
        return -1
    for t in range(setup.n_weight_tiles - 1, -1, -1):
        if owner(job, t) == job.me or dnn_claimed(&setup.claims[t], job.round):
            continue
        if free >= 0 and owner(job, t) == owner(job, free) and dnn_claim(&setup.claims[free], job.round):
            return free
        free = t
    return -1


cdef double sum_tiles(const Job* job, int which) noexcept nogil:
    """Sum over the weight tiles, in their order: which = 0 for the penalties, 1 for the squared gradient."""
    cdef double total = 0
    cdef Py_ssize_t t
    for t in range(job.setup.n_weight_tiles):
        total += job.setup.tile_sums[2 * t + which]
    return total


cdef Status weights_phase(Job* job, Py_ssize_t n, double total, bint update, Cost* cost) noexcept nogil:
    """Compute dW and db of every layer and hand them to the optimizer, or write them to `grad`. Penalties are divided by
    `total`."""
    cdef const Setup* setup = job.setup
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
        tile = &setup.tiles[t]
        weights_tile(job, t, n, total)
        if setup.grad != NULL:
            if job.shared.stop:
                break
            poll_signals(job, n * flops_of(job, &setup.ops[tile.op]) * (tile.i1 - tile.i0) / setup.ops[tile.op].n_in)
    barrier(job)
    cost.penalty = sum_tiles(job, 0)
    if setup.grad == NULL or not update:
        return GOOD
    if job.shared.stop:
        return STOPPED
    norm = 0
    if setup.optimizer.clip_norm > 0:
        norm = sqrt(sum_tiles(job, 1))
        if not isfinite(norm):
            return NOT_FINITE
    job.round += 1
    while True:
        t = next_tile(job, t)
        if t < 0:
            break
        tile = &setup.tiles[t]
        op = &setup.ops[tile.op]
        columns = tile.o1 - tile.o0
        W, b = op.W + tile.i0 * op.n_out + tile.o0, op.b + tile.o0
        if is_frozen(job, tile.op):
            continue
        if norm > setup.optimizer.clip_norm:
            setup.kernels.scale(tile.i1 - tile.i0, columns, setup.optimizer.clip_norm / norm, setup.grad + W * setup.size, op.n_out)
            if tile.i0 == 0:
                setup.kernels.scale(1, columns, setup.optimizer.clip_norm / norm, setup.grad + b * setup.size, columns)
        update_tile(job, tile, setup.grad + W * setup.size, op.n_out, setup.grad + b * setup.size)
    barrier(job)
    return GOOD


cdef Status tiled_step(Job* job, Py_ssize_t n, double total, double rate, Cost* cost) noexcept nogil:
    """A step of the optimizer on a batch of n rows whose weights sum to `total`."""
    cdef const Setup* setup = job.setup
    cdef Status status
    rows_phase(job, n, total, cost)
    if job.shared.stop:
        return STOPPED
    if not isfinite(cost.loss):
        return NOT_FINITE  # nothing has been changed
    dnn_scalars(setup.optimizer.index, setup.optimizer.hyper, rate, job.step + 1, job.scalars)
    job.rate = rate
    status = weights_phase(job, n, max(total, setup.loss.least_weight * n), True, cost)
    if status != GOOD:
        return status
    job.step += 1
    return GOOD if isfinite(cost.penalty) else NOT_FINITE
