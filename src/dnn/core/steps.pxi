
# The steps of a chunk, part of _core.pyx: which rows each step reads, and which kind of step it is.


cdef Status one_step(Job* job, Py_ssize_t n, double rate, Cost* cost) noexcept nogil:
    """Perform one step of the optimizer on a batch of n rows."""
    cdef double total = weight_of(job, n)
    cost.loss = cost.penalty = 0
    if total == 0:
        return GOOD  # all sample weights of this batch are zero: it is skipped
    if job.setup.step_kind == STEP_REPLICATED:
        return replicated_step(job, n, total, rate, cost)
    if job.setup.step_kind == STEP_FEATURE_MAJOR:
        return feature_major_step(job, n, total, rate, cost)
    return tiled_step(job, n, total, rate, cost)


cdef void run_steps(void* arg, int me) noexcept nogil:
    """Perform the n_steps steps from step `first` on, as each member of a team does. Steps are numbered through all epochs:
    step s is batch s % steps_per_epoch of epoch s // steps_per_epoch."""
    cdef Job* job = (<Job**>arg)[me]
    cdef Shared* shared = job.shared
    cdef Py_ssize_t steps_per_epoch = (job.setup.n_rows + job.setup.batch_rows - 1) // job.setup.batch_rows
    cdef Py_ssize_t s, epoch, begin, n
    cdef Cost cost
    cdef Status status = GOOD
    cdef unsigned mode = dnn_flush_subnormals()
    if job.fresh and job.setup.step_kind == STEP_FEATURE_MAJOR:
        transpose_weights(job)
        job.batch.cached_rows = -1
    elif job.fresh:
        derive(job)
    begin_rounds(job)
    barrier(job)
    if me == 0:
        shared.began, shared.late = dnn_seconds(), dnn_team_waited(shared.team) if job.n_members > 1 else 0
    for s in range(shared.n_steps):
        epoch = (shared.first + s) // steps_per_epoch
        begin = (shared.first + s) % steps_per_epoch * job.setup.batch_rows
        n = min(job.setup.batch_rows, job.setup.n_rows - begin)
        if shared.order == NULL:
            set_batch_rows(job, begin)
        else:
            set_batch_order(job, shared.order + epoch * job.setup.n_rows + begin, n)
        status = one_step(job, n, shared.rates[s], &cost)
        if me == 0 and status != STOPPED:
            shared.costs[s] = cost
        if status != GOOD:
            break
        if me == 0:
            shared.done = s + 1
    dnn_flush_restore(mode)
