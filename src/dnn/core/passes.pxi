# Passes over all rows of X that Python calls, part of _core.pyx: predict, losses, forward, backward, cost_and_gradient.


ctypedef void (*block_t)(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil


cdef void over_rows(Job* job, block_t block) noexcept nogil:
    """Call block(job, r, n) for all rows of X, block by block. A member that has finished a block takes the next one,
    so that a member whose core is busy with another process takes fewer."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t rows_per_block = setup.block_rows, r = 0, n
    cdef double flops = flops_per_row(job)
    cdef unsigned mode = dnn_flush_subnormals()
    if job.n_members > 1:  # blocks are whole tiles; n: how many, rounded, for DNN_BLOCKS_PER_MEMBER blocks per member
        n = (setup.n_rows // (DNN_BLOCKS_PER_MEMBER * job.n_members) + setup.tile_rows // 2) // setup.tile_rows
        rows_per_block = max(1, min(rows_per_block // setup.tile_rows, n)) * setup.tile_rows
        r = dnn_team_next(job.shared.team) * rows_per_block
    while r < setup.n_rows and not job.shared.stop:
        n = min(rows_per_block, setup.n_rows - r)
        block(job, r, n)
        poll_signals(job, flops * n)
        r = dnn_team_next(job.shared.team) * rows_per_block if job.n_members > 1 else r + rows_per_block
    dnn_flush_restore(mode)


cdef void predict_block(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Predict the rows of one block, whose activations are in scratch memory, and write the outputs to `out`."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t n_out = setup.ops[setup.n_ops - 1].n_out
    cdef Slot* last = &job.slots[setup.n_ops]
    set_batch_rows(job, r)
    last.Z = last.A = last.V = matrix(setup.out + r * n_out * setup.size, n_out)
    forward_block(job, 0, 0, n)


cdef void losses_block(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Compute the loss of each row of a block, tile by tile, because scratch memory holds the targets of a tile."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t i = 0
    set_batch_rows(job, r)
    forward_block(job, 0, 0, n)
    while i < n:
        loss_tile(job, i, min(setup.tile_rows, n - i), 1, False, setup.losses + r + i)
        i += setup.tile_rows


cdef void forward_cached_block(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Compute Z and A of a block of rows, which are kept for the caller."""
    read_block(job, r, n)
    forward_block(job, 0, r, n)


cdef void predict_rows(void* jobs, int me) noexcept nogil:
    derive_for_all((<Job**>jobs)[me])
    over_rows((<Job**>jobs)[me], predict_block)


cdef void losses_rows(void* jobs, int me) noexcept nogil:
    derive_for_all((<Job**>jobs)[me])
    over_rows((<Job**>jobs)[me], losses_block)


cdef void forward_cached_rows(void* jobs, int me) noexcept nogil:
    derive_for_all((<Job**>jobs)[me])
    over_rows((<Job**>jobs)[me], forward_cached_block)


cdef void derive_for_all(Job* job) noexcept nogil:
    """Compute W' of every layer that needs it, and wait until all members have done so."""
    derive(job)
    begin_rounds(job)
    barrier(job)


cdef void vjp_block(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Propagate the gradient of a block of rows back to the inputs."""
    cdef const Setup* setup = job.setup
    if setup.d_out.at != NULL:
        slope_tile(job, &setup.ops[setup.n_ops - 1], r, n, row(job, setup.d_out, r), setup.d_out.ld)
    backward_block(job, r, n)


cdef void vjp_rows(void* jobs, int me) noexcept nogil:
    """Compute a vector-Jacobian product over all rows."""
    cdef Job* job = (<Job**>jobs)[me]
    cdef Cost cost
    cdef unsigned mode
    derive_for_all(job)
    over_rows(job, vjp_block)
    barrier(job)
    if job.setup.grad != NULL and not job.stopped:
        mode = dnn_flush_subnormals()
        weights_phase(job, job.setup.n_rows, 1, False, &cost)
        dnn_flush_restore(mode)


cdef void cost_rows(void* jobs, int me) noexcept nogil:
    """Compute loss, penalty and gradient over all rows."""
    cdef Job* job = (<Job**>jobs)[me]
    cdef Cost cost
    cdef double total = weight_of(job, job.setup.n_rows)
    cdef unsigned mode = dnn_flush_subnormals()
    derive_for_all(job)
    rows_phase(job, job.setup.n_rows, total, &cost)
    if not job.stopped:
        weights_phase(job, job.setup.n_rows, total, False, &cost)
    dnn_flush_restore(mode)
    if me == 0:
        job.shared.cost = cost


def predict(Plan plan, params, X, out, bint logits=False, int n_threads=0):
    """Write the outputs for the rows of X (N, I) to out (N, O); with `logits`, write the last Z instead."""
    cdef Run run = predicting(plan, params, X)
    run.setup.loss.from_outputs = not logits
    run.setup.out = run.bind(out, run.setup.n_rows, plan.n_outputs, True)
    run.over_all(predict_rows, n_threads, flops_per_row(&run.job))


def losses(Plan plan, params, X, loss, out, int n_threads=0):
    """Write the loss of each row of X (N, I), without weights and penalties, to out (N,) float64. loss: LossArgs."""
    cdef Run run = predicting(plan, params, X)
    run.set_loss(loss)
    run.setup.losses = <double*>run.bind(out, run.setup.n_rows, 1, True, b"d")
    run.over_all(losses_rows, n_threads, flops_per_row(&run.job))


cdef Run predicting(Plan plan, params, X):
    """Return a run over the rows of X (N, I) whose scratch memory has the activations of one block of rows."""
    cdef Py_ssize_t n_rows
    cdef int size
    n_rows, size = rows_and_size(X)
    cdef Run run = Run(plan, plan.layout(size, min(n_rows, DNN_PREDICT_ROWS), PREDICT, sparse_or_none(X)), params)
    run.read(X)
    return run


def cache_layout(Plan plan, int size, Py_ssize_t n_rows, bint training=False):
    """Return the layout of a forward pass over n_rows rows that keeps Z and A; in training, the activations before dropout
    too."""
    return plan.layout(size, n_rows, DROPPED if training and plan.dropout else CACHE)


cdef Run caching(Plan plan, Layout layout, params, X, cache_block, seed, masks):
    """Return a run over the rows of X (N, I) whose Z and A are in the array `cache_block`."""
    cdef Run run = Run(plan, layout, params)
    run.read(X)
    if layout.purpose == DROPPED:
        run.drop(seed, masks)
    if run.setup.n_rows > layout.n_rows:
        raise ValueError(f"the layout is for {layout.n_rows} rows, got {run.setup.n_rows}")
    run.bind_cache_block(cache_block)
    return run


def forward(Plan plan, Layout layout, params, X, cache_block, seed, masks, bint logits=False):
    """Write Z and A of every layer for the rows of X (N, I) to the array `cache_block`, and return a copy of the last A, or
    with `logits` of the last Z.

    With a layout for training, units are dropped. masks: for each layer's inputs (N, n_in) uint8, or None if none of them is
    dropped; or None instead of the list for masks drawn from the seed.
    """
    cdef Run run = caching(plan, layout, params, X, cache_block, seed, masks)
    cdef Slot* last = &run.job.slots[run.setup.n_ops]
    cdef DnnMatrix found = last.Z if logits else last.A
    cdef Py_ssize_t row_bytes = plan.n_outputs * run.setup.size, r
    cdef cnp.npy_intp shape[2]
    run.over_all(forward_cached_rows, 0, flops_per_row(&run.job))
    shape[0], shape[1] = run.setup.n_rows, plan.n_outputs
    cdef cnp.ndarray out = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT if run.setup.size == 4 else cnp.NPY_DOUBLE, 0)
    cdef char* at = <char*>cnp.PyArray_DATA(out)
    for r in range(run.setup.n_rows):
        memcpy(at + r * row_bytes, row(&run.job, found, r), row_bytes)
    return out


def backward(Plan plan, Layout layout, params, X, cache_block, seed, masks, d_out, bint logits, grad, dX,
             bint add=False):
    """Write the vector-Jacobian product of a forward pass to grad (P,), or with `add` add it to what grad holds, and to dX
    (N, I), unless these are None.

    d_out (N, O): the gradient with respect to the outputs, or, with `logits`, with respect to the last Z.
    """
    cdef Run run = caching(plan, layout, params, X, cache_block, seed, masks)
    cdef Job* job = &run.job
    cdef DnnMatrix d = matrix(run.bind(d_out, run.setup.n_rows, plan.n_outputs), plan.n_outputs)
    if logits:
        job.slots[run.setup.n_ops].dZ = d  # it is only read from here on
    else:
        run.setup.d_out = d
    run.setup.propagates = True
    if grad is not None:
        run.setup.grad, run.setup.adds = run.bind(grad, plan.n_params, 1, True), add
    if dX is not None:
        run.setup.dX = run.bind(dX, run.setup.n_rows, plan.n_inputs, True)
    run.over_all(vjp_rows, 0, (PASSES_PER_STEP - 1) * flops_per_row(job))


def cost_and_gradient(Plan plan, params, X, loss, grad, int n_threads=0):
    """Return the mean loss of all rows of X (N, I), and the penalty; write the gradient of their sum to grad (P,). loss:
    LossArgs. No units are dropped."""
    cdef Py_ssize_t n_rows
    cdef int size
    n_rows, size = rows_and_size(X)
    cdef SparseMatrix sparse = sparse_or_none(X)
    # With `called` the layout is that of a tiled step, whose phases this pass uses
    cdef Layout layout = Layout(plan, size, n_rows, TRAIN, outputs=of_outputs(plan, loss), called=True, sparse=sparse)
    cdef Run run = Run(plan, layout, params)
    run.read(X)
    if sparse is not None:
        run.reserve(sparse.n_stored)
    run.set_loss(loss)
    run.setup.grad = run.bind(grad, plan.n_params, 1, True)
    run.over_all(cost_rows, n_threads, PASSES_PER_STEP * flops_per_row(&run.job))
    return run.shared.cost.loss, run.shared.cost.penalty
