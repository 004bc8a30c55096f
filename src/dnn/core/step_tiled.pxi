# The tiled step, part of _core.pyx: the general kind of step, for every network, loss and optimizer.
#
# A step has two phases over a fixed grid of tiles (see Layout). An example with 2 members, a batch of 8 rows in 4 tiles of
# rows, and one layer whose weights (4, 4) are in 2 tiles:
#
#     phase 1, rows          member 0                         member 1
#                            tiles 0 and 1: rows 0 - 3        tiles 2 and 3: rows 4 - 7
#     reads                  its rows of X and y; all of W, b, W'
#     computes               forward through all layers, the loss, dZ of each layer from the last to the first
#     writes                 its rows of A and dZ;            its rows of A and dZ;
#                            row_sums[0], row_sums[1]         row_sums[2], row_sums[3]
#     ------------------------------------------ barrier ------------------------------------------
#     cost.loss              every member adds row_sums in the order of the tiles, and gets the same bits
#     phase 2, weights       weight tile 0: W[0:2, :], b      weight tile 1: W[2:4, :]
#     reads                  all 8 rows of A and dZ; its tile of the optimizer's state
#     computes               dW = A' dZ over the 8 rows, the penalty and its gradient, the update
#     writes                 its tile of W, b, W' and the state; tile_sums of its tile
#     ------------------------------------------ barrier ------------------------------------------
#     cost.penalty           every member adds tile_sums in the order of the tiles
#
# Some steps have more barriers:
# - Members share wide first layers by columns (forward_columns): one barrier after each of these layers.
# - A custom loss: one barrier before member 0 calls it, and one after.
# - The whole gradient is needed before the first update (clipping), or an update would take too long to be interrupted:
#   phase 2 only writes dW to `grad`; after its barrier a second sweep over the weight tiles updates, and ends with
#   another barrier.
#
# Which member computes a tile changes no bit of it: sums within a tile do not depend on other tiles, and sums over tiles are
# added in tile order.

cdef void rows_tiles(Job* job, Py_ssize_t n, double total, bint forward, bint backward) noexcept nogil:
    """Compute this member's share of the row tiles of a batch of n rows, `forward` up to the last layer and `backward` from
    dZ of the last layer, with the loss in between if both are given. A block of several tiles goes through the layers at
    once. The tiles differ by at most one row; the shares differ by at most one tile."""
    cdef const Setup* setup = job.setup
    cdef int first_layer = forward_columns(job, n) if forward else 0
    cdef Py_ssize_t tiles = n_tiles(job, n), t = share(job, tiles, job.me), end = share(job, tiles, job.me + 1)
    cdef Py_ssize_t block_tiles, r, rows, tile, begin
    cdef Py_ssize_t tiles_per_block = setup.block_rows // setup.tile_rows
    cdef double flops = (PASSES_PER_STEP - 1) * flops_per_row(job)  # all but the gradient
    while t < end and not job.shared.stop:
        block_tiles = min(tiles_per_block, end - t)
        r = n * t // tiles
        rows = n * (t + block_tiles) // tiles - r
        if forward:
            read_block(job, r, rows)
            forward_block(job, first_layer, r, rows)
        if forward and backward:
            for tile in range(t, t + block_tiles):
                begin = n * tile // tiles
                setup.row_sums[tile] = loss_tile(job, begin, n * (tile + 1) // tiles - begin, 1 / total, True, NULL)
        if backward:
            backward_block(job, r, rows)
        t += block_tiles
        poll_signals(job, flops * rows)


cdef void rows_phase(Job* job, Py_ssize_t n, double total, Cost* cost) noexcept nogil:
    """Compute forward, loss and backward for a batch of n rows whose sample weights sum to `total`."""
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
    """Pass rows and logits to the Python function, which replaces the logits by their gradient in place. Return the sum of
    the weighted losses."""
    cdef const Setup* setup = job.setup
    cdef DnnMatrix Z = job.slots[setup.n_ops].dZ  # Z and dZ of the last layer share their memory, see layout.pxi
    cdef Py_ssize_t n_out = setup.ops[setup.n_ops - 1].n_out
    cdef char[::1] memory = <char[:n * Z.ld * setup.size]><char*>Z.at
    try:
        logits = np.ndarray((n, n_out), f"f{setup.size}", memory, 0, (Z.ld * setup.size, setup.size))
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
    """Compute the first layers of a batch of n rows by columns: each member computes some columns of the outputs, for all
    rows. Return the number of these layers.

    If a layer has far more weights than the batch has activations, moving weights between cores takes longer than moving
    activations. A weight that one member has updated and another reads travels from cache to cache, and travels back to be
    updated again: 1 to 8 ns per cache line. Therefore members compute the columns whose weights they update themselves,
    which are in their own L2 cache, and exchange activations. An example of work stealing with 2 members and a layer of
    16 columns in vectors of 2 lanes and pieces of 4 columns:

        columns          0 - 3   4 - 7 | 8 - 11  12 - 15
        updated by         member 0    |    member 1         the `owner` of the weight tiles, which are cut by columns here
        share of         0       0     | 1       1
        claimed by       0       0     | 1       0           member 1 came late, when member 0 had taken its last piece

    A member computes the pieces of its own share from the front. Then it takes pieces of another member's share from
    the end, as long as the other has not begun the piece before, as in `next_tile`. The claim of a piece is at its
    first vector of columns, counted from the start of the layer."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t lanes = setup.kernels.lanes, n_out, begin, end, o0, columns, r, rows, piece, n_pieces
    cdef Py_ssize_t piece_columns = lanes * (DNN_PIECE_VECTORS_AVX512 if has_vectors_of(setup.kernels, AVX512_BYTES)
                                             else DNN_PIECE_VECTORS_AVX2)
    cdef DnnClaim* claims = setup.claims + setup.n_weight_tiles
    cdef int i, whose
    if job.n_members == 1:
        return 0
    for i in range(setup.n_columns):
        n_out = setup.ops[i].n_out
        job.round += 1
        for whose in range(job.me, job.me + job.n_members):  # the member's own share, then the others'
            whose %= job.n_members
            begin = share(job, n_out // lanes, whose) * lanes
            end = share(job, n_out // lanes, whose + 1) * lanes if whose + 1 < job.n_members else n_out
            n_pieces = (end - begin + piece_columns - 1) // piece_columns
            for piece in range(n_pieces):
                o0 = begin + (piece if whose == job.me else n_pieces - 1 - piece) * piece_columns
                columns = min(piece_columns, end - o0)
                # Of another's share: its first piece, and the one that follows a claimed one, are left to their owner
                if whose != job.me and (o0 == begin or dnn_claimed(&claims[(o0 - piece_columns) // lanes], job.round)):
                    break
                if not dnn_claim(&claims[o0 // lanes], job.round):
                    continue
                r = 0
                while r < n and not job.shared.stop:
                    rows = min(setup.block_rows, n - r)
                    forward_layer(job, i, r, rows, o0, o0 + columns)
                    poll_signals(job, 2.0 * rows * setup.ops[i].n_in * columns)
                    r += rows
        barrier(job)
    return setup.n_columns


cdef inline int owner(const Job* job, Py_ssize_t t) noexcept nogil:
    """Return the member that a weight tile belongs to. Shares are as equal in cost as the tiles allow, and are the same in
    every step, so that a member finds its weights and their state in its own cache."""
    return <int>(job.setup.tiles[t].middle * job.n_members)


cdef Py_ssize_t next_tile(const Job* job, Py_ssize_t t) noexcept nogil:
    """Return the weight tile that this member computes after tile t, or -1 if none is left; t = -1 at the start of a round.

    A member claims the tiles of its own share in order. When none of them is left, it steals tiles that another member has
    not claimed, from the end of the other's share, because that member's core may be busy with another process. An example
    with 8 tiles and 2 members:

        tile         0  1  2  3 | 4  5  6  7
        owner        0  0  0  0 | 1  1  1  1
        claimed by   0  0  0  0 | 1  1  .  0       member 0 is done, takes 7, and leaves 6 to member 1

    A member that steals leaves one unclaimed tile of a share to its owner, who would have computed it before its weights had
    reached the other core: in the code, `last` is taken only if a tile of the same share before it is unclaimed too. A claim
    is one atomic exchange of the round's number, for which no member waits."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t last = -1  # unclaimed tile of another member, the last of those not yet passed over
    if t < 0 or owner(job, t) == job.me:
        for t in range(t + 1, setup.n_weight_tiles):
            if owner(job, t) == job.me and (job.n_members == 1 or dnn_claim(&setup.claims[t], job.round)):
                return t
    if job.n_members == 1:
        return -1
    for t in range(setup.n_weight_tiles - 1, -1, -1):
        if owner(job, t) == job.me or dnn_claimed(&setup.claims[t], job.round):
            continue
        if last >= 0 and owner(job, t) == owner(job, last) and dnn_claim(&setup.claims[last], job.round):
            return last
        last = t
    return -1


cdef double sum_tiles(const Job* job, int which) noexcept nogil:
    """Return the sum over the weight tiles, in their order, of the penalties (which = 0) or of the squared gradient (1)."""
    cdef double total = 0
    cdef Py_ssize_t t
    for t in range(job.setup.n_weight_tiles):
        total += job.setup.tile_sums[2 * t + which]
    return total


cdef Status weights_phase(Job* job, Py_ssize_t n, double total, bint update, Cost* cost) noexcept nogil:
    """Compute dW and db of every layer over the n rows of a batch. Without `grad`, update each tile at once; with `grad`,
    write them there and, if `update` is set, clip and update in a second sweep. Penalties are divided by `total`."""
    cdef const Setup* setup = job.setup
    cdef const Tile* tile
    cdef const Op* op
    cdef double norm
    cdef char* dW
    cdef char* db
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
    barrier(job)  # t is -1 again, for the second sweep
    cost.penalty = sum_tiles(job, 0)
    if setup.grad == NULL or not update:
        return GOOD
    if job.stopped:
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
        dW, db = setup.grad + W * setup.size, setup.grad + b * setup.size
        if norm > setup.optimizer.clip_norm:  # never without clipping: then both are 0
            setup.kernels.scale(tile.i1 - tile.i0, columns, setup.optimizer.clip_norm / norm, dW, op.n_out)
            if tile.i0 == 0:
                setup.kernels.scale(1, columns, setup.optimizer.clip_norm / norm, db, columns)
        update_tile(job, tile, dW, op.n_out, db)
    barrier(job)
    return GOOD


cdef Status tiled_step(Job* job, Py_ssize_t n, double total, double rate, Cost* cost) noexcept nogil:
    """Perform a step of the optimizer on a batch of n rows whose sample weights sum to `total`."""
    cdef const Setup* setup = job.setup
    cdef Status status
    rows_phase(job, n, total, cost)
    if job.stopped:
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
