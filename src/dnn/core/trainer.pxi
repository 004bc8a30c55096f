# A Trainer, part of _core.pyx: a network in training, a chunk of steps per call.


cdef double flops_per_step(const Job* job) noexcept nogil:
    """Return the flops of a step; for a sparse X with those of its updates, which may take longer than its products."""
    cdef const Setup* setup = job.setup
    cdef double flops = PASSES_PER_STEP * flops_per_row(job) * setup.batch_rows
    if setup.sparse and not only_touched(job):
        flops += DNN_FLOPS_PER_UPDATE * <double>setup.n_params
    return flops


def training_layout(Plan plan, int size, Py_ssize_t batch, loss, optimizer, *, bint gather=False, two_sweeps=None,
                    SparseMatrix sparse=None):
    """Return the layout of a training with LossArgs and OptimizerArgs on batches of so many rows. gather: rows are read in a
    given order. two_sweeps: whether the whole gradient is stored before an update; None: only if it must be, or if a fused
    update could not be interrupted in time. sparse: X if it is sparse."""
    cdef const DnnKernels* kernels = KERNELS[size == 8]
    cdef int index = optimizer.index
    cdef double flops = 2.0 * plan.n_params * batch
    cdef double limit = max(DNN_FUSED_FLOPS, kernels.lanes * (
        DNN_FUSED_FLOPS_AVX2 if has_vectors_of(kernels, AVX2_BYTES) else DNN_FUSED_FLOPS_AVX512))
    if dnn_optimizers[index].whole_gradient or optimizer.clip_norm > 0:
        two_sweeps = True
    elif two_sweeps is None:
        # The gradient of a sparse X is the smaller part of an update, which can be interrupted in time
        two_sweeps = sparse is None and flops > limit
    if sparse is not None and sparse.csr.segments != NULL and plan.ops[0].dropout > 0:
        raise ValueError(f"dropout must be 0 for the inputs if X has segments, got {plan.ops[0].dropout:g}")
    return Layout(plan, size, batch, TRAIN, gather=gather, outputs=of_outputs(plan, loss), gradient=two_sweeps, dropout=True,
                  called=loss.function is not None, slots=dnn_optimizers[index].n_slots, sparse=sparse)


cdef class Trainer:
    """A network in training. `steps` may be called any number of times: where one call ends and the next begins changes
    no bit.

    Trainer(plan, layout, params, X, loss, optimizer, batch=, step=, seed=, n_threads=): params (P,) are trained in place on
    the rows of X (N, I), with LossArgs and OptimizerArgs. batch: rows per step; step: updates that the state has seen; seed:
    for the dropout masks; n_threads: 0 for as many as make steps faster.
    """

    cdef Run run
    cdef Throttle throttle   # None: no team was started
    cdef int n_threads

    def __cinit__(self, Plan plan, Layout layout, params, X, loss, optimizer, *, Py_ssize_t batch, int64_t step=0,
                  uint64_t seed=0, int n_threads=0):
        self.run = Run(plan, layout, params, True)
        cdef Setup* setup = &self.run.setup
        self.run.read(X)
        if not 1 <= batch <= layout.n_rows:
            raise ValueError(f"batch must be in 1 .. {layout.n_rows}, got {batch}")
        self.run.set_loss(loss)
        self.run.set_optimizer(optimizer)
        if setup.optimizer.clip_norm > 0 and setup.grad == NULL and layout.step_kind == STEP_TILED:
            raise ValueError("clip_norm must have a layout that stores the whole gradient")
        setup.batch_rows, self.run.job.step = batch, step
        if setup.grad != NULL and setup.optimizer.frozen != NULL:  # the gradient of frozen layers stays 0
            memset(setup.grad, 0, plan.n_params * setup.size)
        if plan.dropout:
            self.run.drop(seed, None)
        self.n_threads = n_threads

    def close(self):
        """End the threads. `steps` may be called again, and then starts new ones."""
        self.run.stop_team()
        self.throttle = None

    cdef int useful_members(self) except -1:
        """Return the number of members that a step can keep busy."""
        cdef Layout layout = self.run.layout
        cdef double flops = flops_per_step(&self.run.job)
        cdef int n = self.n_threads or ASSUMED
        if n == 0:
            if flops < DNN_TEAM_FLOPS or (flops < DNN_TEAM_FLOPS_FEW_ROWS and self.run.setup.batch_rows < DNN_TEAM_ROWS):
                return 1
            n = threads.available()
            n = <int>min((n + N_TEAMS) // (N_TEAMS + 1), 1 + flops / DNN_STEP_FLOPS_PER_MEMBER)
        if not layout.kernels.lanes and CALL_LIMIT == INFINITY:
            return 1  # an unknown BLAS may use several threads itself
        if layout.step_kind == STEP_FEATURE_MAJOR:
            return 1
        return max(1, min(n, N_SHARDS if layout.step_kind == STEP_REPLICATED
                          else max(layout.n_row_tiles, layout.n_weight_tiles)))

    @property
    def kept_waiting(self):
        """Trials in a row in which the first member waited too long for the others."""
        return 0 if self.throttle is None else self.throttle.kept_waiting

    @property
    def step(self):
        """Updates that the state has seen."""
        return self.run.job.step

    @step.setter
    def step(self, int64_t value):
        self.run.job.step = value

    def steps(self, order, rates, costs, Py_ssize_t first):
        """Do len(rates) steps, and write the loss and the penalty of each, before its update, to costs (n_steps, 2).

        Return how many steps were done. These are fewer than len(rates) if a cost was not finite; that cost is then the last
        one written.

        order (epochs, N): the row numbers of each epoch; None: rows in sequence. The first step is batch number `first` of
        the first of these epochs. An example with 2 epochs of 10 rows, batches of 4, first = 1 and 4 rates, where the last
        batch of an epoch is shorter:

            order        [epoch 0:  a b c d | e f g h | i j ]  [epoch 1:  k l m n | o p q r | s t ]
            step                    (done)    rates[0]  rates[1]          rates[2]  rates[3]
        """
        cdef Job* job = &self.run.job
        cdef const Setup* setup = job.setup
        cdef Shared* shared = &self.run.shared
        cdef ArrayRef rates_ref = bind(rates, -1, 1, b"d"), costs_ref = bind(costs, -1, 2, b"d", True), order_ref
        cdef const int64_t* rows = NULL
        cdef Py_ssize_t steps_per_epoch = (setup.n_rows + setup.batch_rows - 1) // setup.batch_rows
        cdef Py_ssize_t done = 0, n_steps = rates_ref.n_rows, i
        cdef double flops = flops_per_step(job) + DNN_STEP_FLOPS
        if costs_ref.n_rows < n_steps:
            raise ValueError(f"costs must have {n_steps} rows or more, got {costs_ref.n_rows}")
        if (order is not None) != self.run.layout.gather:
            raise ValueError("order must be given if the layout gathers rows, and only then")
        if order is not None:
            order_ref = bind(order, -1, setup.n_rows, INT64)
            if order_ref.n_rows * steps_per_epoch < first + n_steps:
                raise ValueError(f"order must cover {first + n_steps} batches")
            rows = <const int64_t*>order_ref.at
            for i in range(order_ref.n_rows * order_ref.n_cols):
                if not 0 <= rows[i] < setup.n_rows:
                    raise ValueError(f"order must hold row numbers in 0 .. {setup.n_rows - 1}, got {rows[i]}")
        if setup.sparse:
            self.run.reserve(largest_batch(job, rows, first, n_steps))
        shared.order, shared.rates = rows, <const double*>rates_ref.at
        shared.costs, shared.first = <Cost*>costs_ref.at, first
        if shared.team != NULL and not dnn_team_is_here(shared.team):
            self.close()  # this process is a fork of the one that started the threads, and has none of them
        if self.throttle is None:
            self.throttle = Throttle(self.run.start_team(self.useful_members()), flops)
        # A short call keeps the GIL: taking it back may take longer than the steps
        if self.throttle.n_members == 1 and (flops + <double>DNN_ROW_COST * setup.batch_rows) * n_steps <= DNN_FLOPS_HELD:
            done = run_steps_adaptive(shared, self.run.jobs, self.throttle, n_steps)
        else:
            with nogil:
                done = run_steps_adaptive(shared, self.run.jobs, self.throttle, n_steps)
        self.run.end()
        return done


cdef Py_ssize_t run_steps_adaptive(Shared* shared, Job** jobs, Throttle throttle, Py_ssize_t n_steps) noexcept nogil:
    """Do n_steps steps in trials of several steps, each with as many members as the throttle decides. Return how many steps
    were done."""
    cdef Job* job = jobs[0]
    cdef Py_ssize_t done = 0, trial_steps
    cdef double now
    cdef int m, n
    cdef bint stale = False  # whether member 0 has gone on alone, so that the copies of the other members are out of date
    while done < n_steps:
        n = throttle.plan_trial(dnn_seconds(), n_steps - done, &trial_steps)
        shared.n_steps, shared.done = trial_steps, 0
        job.fresh = done == 0
        for m in range(1, n):
            jobs[m].step = job.step
            jobs[m].fresh = job.fresh or (stale and job.setup.step_kind == STEP_REPLICATED)
        stale = n < throttle.n_members
        run_on_members(shared, jobs, run_steps, n)
        now = dnn_seconds()
        done += shared.done
        shared.rates += shared.done
        shared.costs += shared.done
        shared.first += shared.done
        if shared.done < trial_steps or shared.stop:
            break
        throttle.observe(now, n, trial_steps, now - shared.began,
                         dnn_team_waited(shared.team) - shared.late if n > 1 else 0, shared.late)
    return done
