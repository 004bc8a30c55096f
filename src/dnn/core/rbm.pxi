# Restricted Boltzmann machines, part of _core.pyx: steps of contrastive divergence, a chunk of them per call.
#
# A step has two phases, with a barrier after each:
#
#     phase 1, rows      for each tile of rows: the hidden units of the data; n_gibbs steps of the Markov chains
#     phase 2, weights   for each tile of rows of W: dW = H_data' V_data - H_chain' V_chain, the update of W, and its copy W'
#
# Rows of the data and of the chains are stacked, and the hidden units of the chains are negated, so that the difference of
# the two products is one product:
#
#     V (2n, n_visible)  [ data  ]        H (2n, n_hidden)  [   sigmoid(V_data W' + c)  ]
#                        [ chain ]                          [ - sigmoid(V_chain W' + c) ]
#
# Draws are functions of the seed, the number of the call (2 n_gibbs per step), row and unit: see core/sampling.pxi. Therefore,
# and because the grid of tiles depends on shapes only, neither the number of threads nor the chunks change a bit.


cdef class RbmTrainer

cdef int SGD = OPTIMIZERS["sgd"].index


cdef inline size_t whole_lines(size_t n_bytes) noexcept nogil:
    """Return n_bytes, rounded up to whole cache lines."""
    return (n_bytes + LINE - 1) // LINE * LINE


cdef struct Rbm:
    Setup setup                        # kernels, precision, BLAS
    Shared shared
    Job** jobs                         # of all members
    Py_ssize_t n_hidden, n_visible, batch
    Py_ssize_t tile_height, n_tiles    # rows of a tile of W, and how many tiles W has
    int n_gibbs                        # Gibbs steps of the chains per update
    bint persistent                    # chains go on from step to step; otherwise each step starts them at its data
    double rate
    uint64_t seed, call                # of the draws; call: the number of the next one
    const char* X
    Py_ssize_t ldx, n_rows, first      # first: the row that the next batch begins with
    char* W                            # (n_hidden, n_visible)
    char* Wt                           # (n_visible, n_hidden): its transpose
    char* c                            # (n_hidden,)
    char* b                            # (n_visible,)
    char* chains                       # (batch, n_hidden)
    char* V
    char* H


cdef void rbm_product(const Job* job, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, const char* A, const char* B, const char* bias,
                      char* C) noexcept nogil:
    """C (M, N) = A (M, K) B (K, N) + bias."""
    cdef const Setup* setup = job.setup
    cdef DnnMatrix left = matrix(A, K), right = matrix(B, N), result = matrix(C, N)
    cdef DnnEpilogue epilogue
    if setup.kernels.lanes:
        epilogue.kind, epilogue.bias = DNN_EPILOGUE_NONE, bias
        setup.kernels.gemm_nn(M, N, K, &left, &right, &result, &epilogue, job.scratch.workspace)
    else:
        blas_gemm(job, C, N, False, A, K, B, N, M, N, K)
        setup.kernels.activate(IDENTITY, NULL, M, N, bias, C, N, C, N)


cdef void rbm_rows(Rbm* rbm, Job* job, Py_ssize_t first, uint64_t call, Py_ssize_t n, Py_ssize_t r,
                   Py_ssize_t rows) noexcept nogil:
    """Compute rows r .. r + rows of a batch of n rows of X, which begins with row `first`: the hidden units of the data, and
    the chains. call: the number of the first draw of the step."""
    cdef const DnnKernels* kernels = rbm.setup.kernels
    cdef const DnnSampling* sampling = &SAMPLING[rbm.setup.size == 8]
    cdef Py_ssize_t n_hidden = rbm.n_hidden, n_visible = rbm.n_visible, i
    cdef Py_ssize_t row_bytes = n_visible * rbm.setup.size, hidden_bytes = n_hidden * rbm.setup.size
    cdef char* V_data = rbm.V + r * row_bytes
    cdef char* V_chain = rbm.V + (n + r) * row_bytes
    cdef char* H_data = rbm.H + r * hidden_bytes
    cdef char* H_chain = rbm.H + (n + r) * hidden_bytes
    cdef char* state = rbm.chains + r * hidden_bytes if rbm.persistent else job.scratch.dA
    for i in range(rows):
        memcpy(V_data + i * row_bytes, rbm.X + (first + r + i) * rbm.ldx * rbm.setup.size, row_bytes)
    rbm_product(job, rows, n_hidden, n_visible, V_data, rbm.Wt, rbm.c, H_data)
    if not rbm.persistent:
        sampling.bernoulli(rbm.seed, call, r * n_hidden, rows * n_hidden, H_data, state)
        call += 1
    kernels.activate(SIGMOID, NULL, rows, n_hidden, NULL, H_data, n_hidden, H_data, n_hidden)
    for i in range(rbm.n_gibbs):
        rbm_product(job, rows, n_visible, n_hidden, state, rbm.W, rbm.b, V_chain)
        sampling.bernoulli(rbm.seed, call, r * n_visible, rows * n_visible, V_chain, V_chain)
        rbm_product(job, rows, n_hidden, n_visible, V_chain, rbm.Wt, rbm.c, H_chain)
        if rbm.persistent or i + 1 < rbm.n_gibbs:
            sampling.bernoulli(rbm.seed, call + 1, r * n_hidden, rows * n_hidden, H_chain, state)
        call += 2
        if poll_is_due(job, rows * 4.0 * n_hidden * n_visible):
            check_rbm_signals(rbm)
        if rbm.shared.stop:
            return
    kernels.activate(SIGMOID, NULL, rows, n_hidden, NULL, H_chain, n_hidden, H_chain, n_hidden)
    kernels.scale(rows, n_hidden, -1, H_chain, n_hidden)


cdef void rbm_add(const Rbm* rbm, double factor, Py_ssize_t n, const char* change, char* to) noexcept nogil:
    """to (n,) += factor change (n,), by the kernel of gradient descent."""
    cdef double scalars[DNN_MAX_SCALARS]
    memset(scalars, 0, sizeof(scalars))
    scalars[0] = -factor
    rbm.setup.kernels.update(SGD, scalars, 1, n, to, n, change, n, NULL, 0)


cdef void rbm_weights(const Rbm* rbm, const Job* job, Py_ssize_t n, Py_ssize_t tile) noexcept nogil:
    """Update a tile of W after a batch of n rows; the two tiles that follow those of W are the biases."""
    cdef const DnnKernels* kernels = rbm.setup.kernels
    cdef Py_ssize_t n_hidden = rbm.n_hidden, n_visible = rbm.n_visible, size = rbm.setup.size
    cdef Py_ssize_t begin = tile * rbm.tile_height, height = min(rbm.tile_height, n_hidden - begin)
    cdef double rate = rbm.rate / n
    cdef char* G = job.scratch.G
    cdef DnnMatrix A, B, C
    if tile == rbm.n_tiles:
        kernels.column_sums(2 * n, n_hidden, rbm.H, n_hidden, G)
        rbm_add(rbm, rate, n_hidden, G, rbm.c)
    elif tile > rbm.n_tiles:
        kernels.column_sums(n, n_visible, rbm.V, n_visible, G)
        rbm_add(rbm, rate, n_visible, G, rbm.b)
        kernels.column_sums(n, n_visible, rbm.V + n * n_visible * size, n_visible, G)
        rbm_add(rbm, -rate, n_visible, G, rbm.b)
    else:
        if kernels.lanes:
            A, B, C = DnnMatrix(rbm.H, n_hidden, NULL, begin), matrix(rbm.V, n_visible), matrix(G, n_visible)
            kernels.gemm_tn(2 * n, height, n_visible, &A, &B, &C, job.scratch.workspace, NULL)
        else:
            blas_gemm(job, G, n_visible, True, rbm.H + begin * size, n_hidden, rbm.V, n_visible, height, n_visible, 2 * n)
        rbm_add(rbm, rate, height * n_visible, G, rbm.W + begin * n_visible * size)
        kernels.transpose(height, n_visible, rbm.W + begin * n_visible * size, n_visible, rbm.Wt + begin * size, n_hidden)


cdef double flops_per_rbm_row(const Rbm* rbm) noexcept nogil:
    """Return the flops of a step for each row of its batch."""
    return 2.0 * rbm.n_hidden * rbm.n_visible * (3 + 2 * rbm.n_gibbs)


cdef void check_rbm_signals(Rbm* rbm) noexcept with gil:
    """Run the handlers of pending signals."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<RbmTrainer>rbm.shared.run).raised = error
        rbm.shared.stop = True


cdef void run_rbm_steps(void* arg, int me) noexcept nogil:
    """Perform shared.n_steps steps, as each member of a team does."""
    cdef Rbm* rbm = <Rbm*>arg
    cdef Job* job = rbm.jobs[me]
    cdef Shared* shared = &rbm.shared
    cdef Py_ssize_t n, n_tiles, rows, tile, s, first = rbm.first
    cdef uint64_t call = rbm.call
    cdef unsigned mode = dnn_flush_subnormals()
    job.n_barriers = 0
    barrier(job)
    if me == 0:
        shared.began, shared.late = dnn_seconds(), dnn_team_waited(shared.team) if job.n_members > 1 else 0
    for s in range(shared.n_steps):
        n = min(rbm.batch, rbm.n_rows - first)
        n_tiles = (n + DNN_RBM_TILE_ROWS - 1) // DNN_RBM_TILE_ROWS
        rows = (n + n_tiles - 1) // n_tiles
        for tile in range(share(job, n_tiles, me), share(job, n_tiles, me + 1)):
            if shared.stop:
                break
            rbm_rows(rbm, job, first, call, n, tile * rows, max(0, min(rows, n - tile * rows)))
        barrier(job)
        if job.stopped:
            break
        for tile in range(share(job, rbm.n_tiles + 2, me), share(job, rbm.n_tiles + 2, me + 1)):
            # A model of which some units were updated, and others were not, is as good as any other
            if shared.stop:
                break
            rbm_weights(rbm, job, n, tile)
            if poll_is_due(job, n * 4.0 * rbm.tile_height * rbm.n_visible):
                check_rbm_signals(rbm)
        barrier(job)
        if job.stopped:
            break
        first += n
        call += 2 * <uint64_t>rbm.n_gibbs
        if me == 0:
            shared.done = s + 1
    if me == 0:
        rbm.first, rbm.call = first, call
    dnn_flush_restore(mode)


cdef class RbmTrainer:
    """A restricted Boltzmann machine in training. `steps` may be called any number of times: where one call ends and the next
    begins changes no bit, if each call but the last of an epoch has whole batches.

    RbmTrainer(W, c, b, chains, batch=, rate=, n_gibbs=, persistent=, seed=, call=, n_threads=): the weights W (H, V), the
    biases c (H,) of hidden and b (V,) of visible units, and the states (batch, H) of the hidden units of the chains are
    trained in place. A batch is followed by an update with rate / its number of rows. seed, call: of the draws, see
    `bernoulli`.
    """

    cdef Rbm rbm
    cdef char* memory
    cdef object raised
    cdef list refs
    cdef Throttle throttle
    cdef int n_threads

    def __cinit__(self, W, c, b, chains, *, Py_ssize_t batch, double rate, int n_gibbs, bint persistent, uint64_t seed,
                  uint64_t call=0, int n_threads=0):
        cdef Rbm* rbm = &self.rbm
        cdef ArrayRef w = ArrayRef(W, b"fd", True)
        cdef bytes format = b"f" if w.size == 4 else b"d"
        cdef Py_ssize_t H = w.n_rows, V = w.n_cols, size = w.size
        if w.ld != V or H < 1 or V < 1 or batch < 1 or n_gibbs < 1:
            raise ValueError("W must be contiguous and not empty, batch and n_gibbs at least 1")
        self.refs = [w, bind(c, H, 1, format, True), bind(b, V, 1, format, True), bind(chains, batch, H, format, True)]
        rbm.W, rbm.c = w.at, (<ArrayRef>self.refs[1]).at
        rbm.b, rbm.chains = (<ArrayRef>self.refs[2]).at, (<ArrayRef>self.refs[3]).at
        rbm.n_hidden, rbm.n_visible, rbm.batch, rbm.rate = H, V, batch, rate
        rbm.n_gibbs, rbm.persistent, rbm.seed, rbm.call = n_gibbs, persistent, seed, call
        rbm.n_tiles = max(1, min(H, DNN_RBM_TILES, H * V // DNN_RBM_TILE_VALUES))
        rbm.tile_height = (H + rbm.n_tiles - 1) // rbm.n_tiles
        rbm.n_tiles = (H + rbm.tile_height - 1) // rbm.tile_height
        rbm.setup.size, rbm.setup.kernels = size, KERNELS[size == 8]
        if not rbm.setup.kernels.lanes:
            load_blas()
            rbm.setup.gemm = GEMM[size == 8]
        rbm.shared.run = <void*>self
        self.n_threads = self.members(n_threads)
        self.allocate(self.n_threads)

    def __dealloc__(self):
        self.close()
        free(self.memory)

    cdef int members(self, int n_threads) except -1:
        """Return how many members a step can keep busy."""
        cdef double flops = self.rbm.batch * flops_per_rbm_row(&self.rbm)
        cdef int n = n_threads or ASSUMED
        if n == 0:
            n = threads.available()
            n = 1 if flops < DNN_TEAM_FLOPS else <int>min((n + N_TEAMS) // (N_TEAMS + 1), 1 + flops / DNN_STEP_FLOPS_PER_MEMBER)
        if not self.rbm.setup.kernels.lanes and CALL_LIMIT == INFINITY:
            return 1  # an unknown BLAS may use several threads itself
        return <int>max(1, min(n, max(self.rbm.n_tiles + 2, (self.rbm.batch + DNN_RBM_TILE_ROWS - 1) // DNN_RBM_TILE_ROWS)))

    cdef int allocate(self, int n) except -1:
        """Allocate the memory that members share, and the jobs and scratch memory of n members."""
        cdef Rbm* rbm = &self.rbm
        cdef Py_ssize_t size = rbm.setup.size, H = rbm.n_hidden, V = rbm.n_visible
        cdef size_t V_bytes = whole_lines(2 * rbm.batch * V * size), H_bytes = whole_lines(2 * rbm.batch * H * size)
        cdef size_t W_bytes = whole_lines(H * V * size), G_bytes = whole_lines(max(rbm.tile_height * V, H) * size)
        cdef size_t state_bytes = whole_lines(min(rbm.batch, DNN_RBM_TILE_ROWS) * H * size), job_bytes = whole_lines(sizeof(Job))
        cdef size_t table_bytes = whole_lines(n * sizeof(Job*))
        cdef size_t n_bytes = V_bytes + H_bytes + W_bytes + table_bytes + n * (
            G_bytes + state_bytes + job_bytes + DNN_WORKSPACE_BYTES) + LINE
        cdef char* at
        cdef int m
        self.memory = <char*>dnn_pages(n_bytes)
        if self.memory == NULL:
            raise MemoryError(f"no memory for a batch and its chains of {n_bytes} bytes")
        at = next_line(self.memory)
        rbm.V, rbm.H, rbm.Wt = at, at + V_bytes, at + V_bytes + H_bytes
        at += V_bytes + H_bytes + W_bytes
        rbm.jobs = <Job**>at
        at += table_bytes
        for m in range(n):
            memset(at, 0, sizeof(Job))
            rbm.jobs[m] = <Job*>at
            rbm.jobs[m].setup, rbm.jobs[m].shared, rbm.jobs[m].me = &rbm.setup, &rbm.shared, m
            rbm.jobs[m].last_poll = dnn_seconds()
            at += job_bytes
            rbm.jobs[m].scratch.G, rbm.jobs[m].scratch.dA = at, at + G_bytes
            rbm.jobs[m].scratch.workspace = at + G_bytes + state_bytes
            at += G_bytes + state_bytes + DNN_WORKSPACE_BYTES
        check_blas_memory(rbm.jobs[0], n)
        return 0

    def close(self):
        """End the threads. `steps` may be called again, and then starts new ones."""
        global N_TEAMS
        if self.rbm.shared.team != NULL:
            N_TEAMS -= 1
            dnn_team_free(self.rbm.shared.team)
            self.rbm.shared.team = NULL

    @property
    def call(self):
        """Number of the next draw."""
        return self.rbm.call

    def steps(self, X):
        """Train on the rows of X (N, V) in their order, in batches of which the last may be shorter."""
        global N_TEAMS
        cdef Rbm* rbm = &self.rbm
        cdef ArrayRef x = ArrayRef(X, b"f" if rbm.setup.size == 4 else b"d")
        cdef int n = self.n_threads
        if x.n_cols != rbm.n_visible:
            raise ValueError(f"X must have {rbm.n_visible} columns, got {x.n_cols}")
        rbm.X, rbm.ldx, rbm.n_rows, rbm.first = x.at, x.ld, x.n_rows, 0
        if rbm.shared.team != NULL and not dnn_team_is_here(rbm.shared.team):
            self.close()  # this process is a fork of the one that started the threads, and has none of them
        if n > 1 and rbm.shared.team == NULL:
            rbm.shared.team = dnn_team_new(n)
            if rbm.shared.team == NULL:
                raise MemoryError(f"no memory for a team of {n} threads")
            N_TEAMS += 1
            n = dnn_team_size(rbm.shared.team)
            self.throttle = None
        if self.throttle is None:
            self.throttle = Throttle(n, rbm.batch * flops_per_rbm_row(rbm) + DNN_STEP_FLOPS)
        with nogil:
            run_rbm_adaptive(rbm, self.throttle)
        if self.raised is not None:
            error, self.raised, rbm.shared.stop = self.raised, None, False
            raise error


cdef void run_rbm_adaptive(Rbm* rbm, Throttle throttle) noexcept nogil:
    """Do the steps in trials, each with as many members as the throttle decides."""
    cdef Py_ssize_t left = (rbm.n_rows + rbm.batch - 1) // rbm.batch
    cdef Py_ssize_t trial_steps
    cdef double now
    cdef int m, n
    rbm.setup.kernels.transpose(rbm.n_hidden, rbm.n_visible, rbm.W, rbm.n_visible, rbm.Wt, rbm.n_hidden)
    while left > 0 and not rbm.shared.stop:
        n = throttle.plan_trial(dnn_seconds(), left, &trial_steps)
        rbm.shared.n_steps, rbm.shared.done = trial_steps, 0
        for m in range(n):
            rbm.jobs[m].n_members = n
        if n > 1:
            dnn_team_run(rbm.shared.team, n, run_rbm_steps, rbm)
        else:
            run_rbm_steps(rbm, 0)
        now = dnn_seconds()
        left -= rbm.shared.done
        if rbm.shared.done < trial_steps:
            break
        throttle.observe(now, n, trial_steps, now - rbm.shared.began,
                         dnn_team_waited(rbm.shared.team) - rbm.shared.late if n > 1 else 0, rbm.shared.late)
