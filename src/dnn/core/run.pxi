# A Run, part of _core.pyx: the Setup and the Jobs of a team, the memory that they own, and the arrays that they point at.


cdef int N_TEAMS = 0  # teams in this process; written with the GIL held
cdef int ASSUMED = 0  # members of every team whose size the caller does not give; 0: as many as make it faster


def assume_threads(int n=0):
    """Use n threads wherever the caller does not give their number, however little the work is; 0: as many as make it
    faster. For tests."""
    global ASSUMED
    ASSUMED = n


cdef int N_BLAS = 0   # threads that BLAS has had memory for


cdef int check_blas_memory(const Job* job, int n_threads) except -1:
    """Raise MemoryError if BLAS cannot get memory for so many threads: OpenBLAS itself would retry forever."""
    global N_BLAS
    cdef double value = 0
    cdef void* memory
    if job.setup.kernels.lanes or n_threads <= N_BLAS:
        return 0
    memory = malloc(<size_t>(n_threads - N_BLAS) * DNN_BLAS_THREAD_BYTES)
    if memory == NULL:
        raise MemoryError(f"no memory for products on {n_threads} threads")
    free(memory)
    if N_BLAS == 0:  # the first call of BLAS allocates the memory of this thread
        blas_gemm(job, <char*>&value, 1, False, <char*>&value, 1, <char*>&value, 1, 1, 1, 1)
    N_BLAS = n_threads
    return 0


ctypedef void (*work_t)(void* jobs, int me) noexcept nogil


cdef void run_on_members(Shared* shared, Job** jobs, work_t work, int n) noexcept nogil:
    """Call work(jobs, m) on members m = 0 .. n - 1."""
    cdef int m
    for m in range(n):
        jobs[m].n_members = n
    if n > 1:
        dnn_team_run(shared.team, n, work, jobs)
    else:
        work(jobs, 0)


cdef class Run:
    """The Setup and the Jobs of a team, with the memory that they own and the arrays that they point at.

    Run(plan, layout, params) sets the parts of Setup and Job that every pass uses; methods set the others. `start_team`
    makes the jobs of the other members from the job of member 0.
    """

    cdef Setup setup
    cdef Job job          # of member 0
    cdef Job** jobs       # of all members
    cdef Shared shared
    cdef readonly object raised  # an exception of a signal handler or a custom loss, which `end` raises
    cdef Plan plan
    cdef Layout layout
    cdef list refs        # keeps alive the arrays and objects that the structs point at
    cdef bytes format     # format letter of the precision
    cdef Job* only        # without a team, `jobs` points at this pointer to `job`
    cdef char* tables     # the tables of slots and of W' of member 0
    cdef char* work       # the work space, then the scratch memory of member 0
    cdef char* more_memory  # jobs, tables and scratch memory of members 1, 2, ...
    cdef const uint8_t** masks

    def __cinit__(self, Plan plan, Layout layout, params, bint writable=False):
        cdef Job* job = &self.job
        self.plan, self.layout = plan, layout
        self.refs = []
        self.format = b"f" if layout.size == 4 else b"d"
        self.shared.run = <void*>self
        self.jobs = &self.only
        self.only = job
        job.setup, job.shared, job.n_members = &self.setup, &self.shared, 1
        self.shared.leader = job
        self.setup.ops, self.setup.n_ops, self.setup.n_params = plan.ops, plan.n_ops, plan.n_params
        self.setup.choices, self.setup.kernels = layout.choices, layout.kernels
        self.setup.size = layout.size
        self.setup.gemm = GEMM[self.setup.size == 8]
        self.setup.step_kind = <StepKind>layout.step_kind
        self.setup.tile_rows, self.setup.block_rows = layout.tile_rows, layout.block_rows
        self.setup.n_columns = layout.n_columns
        self.setup.propagates = layout.purpose == TRAIN  # `backward` sets it too
        self.setup.tiles, self.setup.n_weight_tiles = layout.tiles, layout.n_weight_tiles
        job.params = self.bind(params, plan.n_params, 1, writable)
        self.setup.loss.from_outputs = True
        self.setup.sparse, job.scratch.blocks.bits, job.scratch.blocks.n = layout.sparse, layout.block_bits, layout.n_blocks
        job.last_poll = dnn_seconds()
        self.tables = <char*>calloc(1, self.tables_bytes() + LINE)
        if self.tables == NULL:
            raise MemoryError("no memory for a network's layers")
        self.work = <char*>dnn_pages(layout.work + layout.scratch + 2 * LINE)
        if self.work == NULL:
            raise MemoryError(f"no memory for a work space of {layout.work + layout.scratch} bytes")
        self.bind_tables(job, self.tables)
        self.masks = <const uint8_t**>calloc(max(plan.n_ops, 1), sizeof(uint8_t*))
        if self.masks == NULL:
            raise MemoryError("no memory for a network's layers")
        self.bind_work(job, next_line(self.work))
        self.bind_scratch(job, next_line(self.work + layout.work + LINE))
        check_blas_memory(job, 1)

    def __dealloc__(self):
        self.stop_team()
        free(self.tables)
        free(self.work)
        free(self.shared.entries.values)
        free(self.setup.loss.par)
        free(self.masks)

    cdef char* bind(self, array, Py_ssize_t n_rows, Py_ssize_t n_cols, bint writable=False,
                    formats=None) except NULL:
        """Check an array, keep it alive, and return where its elements begin."""
        ref = bind(array, n_rows, n_cols, formats or self.format, writable)
        self.refs.append(ref)
        return (<ArrayRef>ref).at

    cdef size_t tables_bytes(self):
        """Return the bytes of a job's tables of slots and of W'."""
        return (self.plan.n_ops + 1) * (sizeof(Slot) + sizeof(char*))

    cdef void bind_tables(self, Job* job, char* tables):
        """Point at a job's tables of slots and of W'."""
        job.slots = <Slot*>tables
        job.Wt = <char**>(tables + (self.plan.n_ops + 1) * sizeof(Slot))

    cdef void bind_work(self, Job* job, char* work):
        """Point into the work space that members share."""
        cdef Layout layout = self.layout
        cdef Place* place
        cdef int i
        for i in range(self.setup.n_ops + 1):
            place = &layout.places[i]
            if layout.purpose == TRAIN:
                self.bind_slot(job, i, work)
            if place.dZ >= 0:
                job.slots[i].dZ = matrix(work + place.dZ, place.ld)
        if layout.step_kind != STEP_REPLICATED:
            self.bind_transposed(job, work)
        self.setup.tile_sums = <double*>(work + layout.tile_sums)
        self.setup.claims, self.setup.n_claims = <DnnClaim*>(work + layout.claims), layout.n_claims
        self.setup.row_sums = <double*>(work + layout.row_sums)
        self.setup.grad = work + layout.grad if layout.grad >= 0 else NULL
        self.setup.partial_grads = work + layout.partial_grads if layout.step_kind == STEP_REPLICATED else NULL
        if layout.step_kind == STEP_FEATURE_MAJOR:
            for i in range(self.setup.n_ops):
                self.fill_ones(row(job, job.slots[i].A, self.plan.units(i)), layout.n_rows)

    cdef void bind_scratch(self, Job* job, char* scratch):
        """Point into the scratch memory of a member."""
        cdef Layout layout = self.layout
        cdef int i
        if layout.purpose == PREDICT:
            for i in range(self.setup.n_ops + 1):
                self.bind_slot(job, i, scratch)
        if layout.step_kind == STEP_REPLICATED:
            if job.me > 0:
                job.params, job.state = scratch + layout.params, scratch + layout.state
            self.bind_transposed(job, scratch)
        job.scratch.G = scratch + layout.G
        job.scratch.transposed = scratch + layout.transposed
        job.scratch.workspace = scratch + layout.workspace if layout.workspace >= 0 else NULL
        job.scratch.dA = scratch + layout.dA
        job.scratch.Y_tile = scratch + layout.Y
        job.scratch.classes_tile = <int64_t*>(scratch + layout.classes)
        job.scratch.w_tile = <double*>(scratch + layout.w)
        job.scratch.row_pointers = <const void**>(scratch + layout.rows)
        job.scratch.blocks.begins = <int64_t*>(scratch + layout.block_begins)
        job.scratch.blocks.next = <int64_t*>(scratch + layout.block_next)
        job.scratch.blocks.seen = <uint8_t*>(scratch + layout.seen)

    cdef void bind_transposed(self, Job* job, char* block):
        """Point at W' of each layer. The transpose of a single column is the column itself. Of the first layer of an X with
        segments, these are the sums within segments."""
        cdef int i
        for i in range(self.setup.n_ops):
            if self.setup.ops[i].n_out == 1 and self.setup.step_kind != STEP_FEATURE_MAJOR \
                    and not (i == 0 and self.layout.segmented):
                job.Wt[i] = job.params + self.setup.ops[i].W * self.setup.size
            else:
                job.Wt[i] = block + self.layout.choices[i].Wt

    cdef void fill_ones(self, char* at, Py_ssize_t n):
        """Write n ones."""
        cdef Py_ssize_t i
        for i in range(n):
            if self.setup.size == 4:
                (<float*>at)[i] = 1
            else:
                (<double*>at)[i] = 1

    cdef void bind_slot(self, Job* job, int i, char* block):
        """Point a slot at its rows in a block of memory."""
        cdef Place* place = &self.layout.places[i]
        cdef Slot* slot = &job.slots[i]
        if place.A >= 0:
            slot.A = matrix(block + place.A, place.ld)
            self.setup.copied = self.setup.copied or i == 0
        if place.Z >= 0:
            slot.Z = matrix(block + place.Z, place.ld)
        if place.V >= 0:
            slot.V = matrix(block + place.V, place.ld)

    cdef int start_team(self, int n) except -1:
        """Start a team of up to n members, whose jobs are copies of the first one's, and return its size."""
        global N_TEAMS
        cdef Job* job
        cdef size_t tables_bytes = self.tables_bytes(), bytes_per_member
        cdef char* at
        cdef int m
        if n <= 1 or self.shared.team != NULL:
            return 1
        self.shared.team = dnn_team_new(n)
        if self.shared.team == NULL:
            raise MemoryError(f"no memory for a team of {n} threads")
        N_TEAMS += 1
        n = dnn_team_size(self.shared.team)
        bytes_per_member = (sizeof(Job) + tables_bytes + self.layout.scratch + 3 * LINE) // LINE * LINE
        self.more_memory = <char*>malloc(n * (bytes_per_member + sizeof(Job*)) + LINE)
        if self.more_memory == NULL:
            raise MemoryError(f"no memory for {n} threads of {bytes_per_member} bytes each")
        self.jobs = <Job**>next_line(self.more_memory)
        self.jobs[0] = &self.job
        for m in range(1, n):
            at = next_line(<char*>(self.jobs + n)) + (m - 1) * bytes_per_member
            job = self.jobs[m] = <Job*>at
            memcpy(job, &self.job, sizeof(Job))
            job.me = m
            self.bind_tables(job, at + sizeof(Job))
            memcpy(job.slots, self.job.slots, tables_bytes)
            self.bind_scratch(job, next_line(at + sizeof(Job) + tables_bytes))
            if self.layout.step_kind == STEP_REPLICATED:  # all members update; only member 0 maintains the average
                job.mean = NULL
        check_blas_memory(&self.job, n)
        return n

    cdef void stop_team(self):
        """End the threads of the team."""
        global N_TEAMS
        if self.shared.team != NULL:
            N_TEAMS -= 1
            dnn_team_free(self.shared.team)
            self.shared.team = NULL
        free(self.more_memory)
        self.more_memory = NULL
        self.only = &self.job
        self.jobs = &self.only

    cdef int run_members(self, work_t work, int n, double flops) except -1:
        """Call `work`, which takes so many flops, on n members; then raise the exception of a signal handler or custom
        loss."""
        if n == 1 and flops <= DNN_FLOPS_HELD:
            run_on_members(&self.shared, self.jobs, work, n)
        else:
            with nogil:
                run_on_members(&self.shared, self.jobs, work, n)
        return self.end()

    cdef int end(self) except -1:
        """Raise the exception that a signal handler or a custom loss has raised during the run, if any."""
        if self.raised is not None:
            error, self.raised, self.shared.stop = self.raised, None, False
            raise error
        return 0

    cdef int over_all(self, work_t work, int n_threads, double flops_per_row) except -1:
        """Call `work`, a pass over all rows, on as many members as it can keep busy."""
        cdef double flops = flops_per_row * self.setup.n_rows
        return self.run_members(work, self.start_team(members_for(n_threads, flops, self.layout)),
                                flops + <double>DNN_ROW_COST * self.setup.n_rows)

    cdef void drop(self, uint64_t seed, masks):
        """Drop units as in training. masks: an array or None for the inputs of each operation; None: masks drawn from the
        seed."""
        self.setup.training, self.setup.seed = True, seed
        if masks is not None:
            self.setup.masks = self.masks
            for i, mask in enumerate(masks):
                if mask is not None:
                    self.masks[i] = <uint8_t*>self.bind(mask, self.setup.n_rows, self.plan.ops[i].n_in, False, b"B")

    cdef void read(self, X):
        """Set X (N, I), an array or a SparseMatrix, and begin with its first row."""
        cdef ArrayRef ref
        cdef SparseMatrix sparse
        if isinstance(X, SparseMatrix) != self.layout.sparse:
            raise TypeError("X must be sparse if its layout is for a sparse X, and only then")
        if self.layout.sparse:
            sparse = X
            if sparse.n_columns != self.plan.n_inputs or sparse.size != self.setup.size:
                raise ValueError(f"X must have {self.plan.n_inputs} columns of {self.setup.size} bytes, got "
                                 f"{sparse.n_columns} of {sparse.size}")
            if (sparse.csr.segments != NULL) != self.layout.segmented or not self.layout.cut_for(sparse):
                raise ValueError("X must have the same segments as the X of its layout")
            self.refs.append(sparse)
            self.setup.csr, self.setup.n_rows = sparse.csr, sparse.n_rows
            set_batch_rows(&self.job, 0)
            return
        ref = ArrayRef(X, self.format)
        if ref.n_cols != self.plan.n_inputs:
            raise ValueError(f"X must have {self.plan.n_inputs} columns, got {ref.n_cols}")
        self.refs.append(ref)
        self.setup.X, self.setup.ldx, self.setup.n_rows = ref.at, ref.ld, ref.n_rows
        set_batch_rows(&self.job, 0)

    cdef int reserve(self, Py_ssize_t capacity) except -1:
        """Allocate memory for the elements of a batch of a sparse X."""
        cdef Entries* entries = &self.shared.entries
        if capacity <= entries.capacity:
            return 0
        free(entries.values)
        entries.capacity = 0
        entries.values = <char*>malloc(capacity * (self.setup.size + 2 * sizeof(int32_t)))
        if entries.values == NULL:
            raise MemoryError(f"no memory for the {capacity} elements of a batch")
        entries.columns = <int32_t*>(entries.values + capacity * self.setup.size)
        entries.rows = entries.columns + capacity
        entries.capacity = capacity
        return 0

    cdef void bind_cache_block(self, cache_block):
        """Point at Z and A of every slot in the caller's block, which begins on a cache line."""
        cdef char* at = self.bind(cache_block, self.layout.cache_bytes, 1, True, b"B")
        cdef int i
        for i in range(self.setup.n_ops + 1):
            self.bind_slot(&self.job, i, at)

    cdef void set_loss(self, args):
        """Set the loss, its targets, the weights of the rows and the penalties, from LossArgs."""
        cdef Loss* loss = &self.setup.loss
        loss.index = args.index
        if args.function is not None:
            self.refs.append(args.function)
            loss.function = <void*>args.function
        loss.par = <double*>calloc(max(len(args.par), 2), sizeof(double))
        if loss.par == NULL:
            raise MemoryError("no memory for the parameters of the loss")
        for i, value in enumerate(args.par):
            loss.par[i] = value
        loss.from_outputs = of_outputs(self.plan, args)
        if args.Y is not None:
            loss.Y = self.bind(args.Y, self.setup.n_rows, self.plan.n_outputs)
        if args.classes is not None:
            loss.classes = <const int64_t*>self.bind(args.classes, self.setup.n_rows, 1, False, INT64)
        if args.weights is not None:
            loss.weights = <const double*>self.bind(args.weights, self.setup.n_rows, 1, False, b"d")
        loss.alpha, loss.l1, loss.least_weight = args.alpha, args.l1, args.least_weight

    cdef void set_optimizer(self, args):
        """Set the optimizer and its state, from OptimizerArgs."""
        cdef Optimizer* optimizer = &self.setup.optimizer
        set_hyper(optimizer, args)
        optimizer.clip_norm, optimizer.mean_rate = args.clip_norm, args.mean_rate
        if dnn_optimizers[optimizer.index].n_slots:
            self.job.state = self.bind(args.state, dnn_optimizers[optimizer.index].n_slots, self.plan.n_params, True)
        if args.mean is not None:
            self.job.mean = self.bind(args.mean, self.plan.n_params, 1, True)
        if args.frozen is not None:
            optimizer.frozen = self.bind(args.frozen, self.plan.n_ops, 1, False, b"B")


cdef int set_hyper(Optimizer* optimizer, args) except -1:
    """Set the index, the hyper-parameters and the weight decay of an optimizer, from OptimizerArgs."""
    optimizer.index, optimizer.weight_decay = args.index, args.weight_decay
    for i, value in enumerate(args.hyper):
        optimizer.hyper[i] = value
    return 0


cdef bint of_outputs(Plan plan, args):
    """Return whether the loss of LossArgs is computed from the outputs, and not from the logits."""
    return args.function is None and dnn_losses[<int>args.index].output[0] == 0 \
        and plan.ops[plan.n_ops - 1].activation != IDENTITY


cdef inline char* next_line(char* at) noexcept nogil:
    """Return the address of the first cache line that begins at or after an address."""
    return at + (LINE - <uintptr_t>at % LINE) % LINE


cdef int members_for(int n_threads, double flops, Layout layout) except -1:
    """Return the number of members for a pass of so many flops: n_threads; if that is 0, as many as make it faster."""
    cdef int n = n_threads or ASSUMED
    if n == 0:
        if flops < 2 * DNN_FLOPS_PER_MEMBER:
            return 1
        n = threads.available()
        n = <int>min(flops / DNN_FLOPS_PER_MEMBER, (n + N_TEAMS) // (N_TEAMS + 1))
    if not layout.kernels.lanes and CALL_LIMIT == INFINITY:
        return 1  # an unknown BLAS may use several threads itself
    return max(1, min(n, layout.n_row_tiles))
