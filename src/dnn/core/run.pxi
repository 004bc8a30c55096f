# What Python calls, part of _core.pyx: arrays bound to a Job, a pass over rows, a training.

cdef bytes INT64 = b"lq"
cdef bytes INT32 = b"il"


cdef inline char letter_of(int number) noexcept:
    """The letter of a type of numbers that a job may read; 0 for any other."""
    if number == cnp.NPY_FLOAT:
        return c"f"
    if number == cnp.NPY_DOUBLE:
        return c"d"
    if number == cnp.NPY_INT:
        return c"i"
    if number == cnp.NPY_LONG:
        return c"l"
    if number == cnp.NPY_LONGLONG:
        return c"q"
    return c"B" if number == cnp.NPY_UBYTE else 0


cdef class ArrayRef:
    """An array whose memory a job points at: rows of equal length, the numbers of a row contiguous."""

    cdef object array  # keeps the memory where it is
    cdef char* at
    cdef Py_ssize_t n_rows, n_cols, ld
    cdef int size

    def __cinit__(self, array, bytes formats, bint writable=False):
        if not cnp.PyArray_Check(array):
            raise TypeError(f"an array is wanted, got {type(array).__name__}")
        cdef cnp.ndarray a = <cnp.ndarray>array
        cdef char letter = letter_of(cnp.PyArray_TYPE(a))
        cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(a)
        cdef int ndim = cnp.PyArray_NDIM(a)
        # int64 is "l" or "q" by platform, int32 "i" or "l": either must have its bytes
        if letter == 0 or letter not in formats or cnp.PyArray_ISBYTESWAPPED(a) or not 1 <= ndim <= 2 \
                or (formats == INT64 and size != 8) or (formats == INT32 and size != 4):
            raise TypeError(f"an array of {formats!r} with 1 or 2 axes is wanted, got {array.dtype} {array.shape}")
        if writable and not cnp.PyArray_ISWRITEABLE(a):
            raise ValueError("an array that may be written is wanted")
        self.array, self.at, self.size = array, <char*>cnp.PyArray_DATA(a), size
        self.n_rows = cnp.PyArray_DIM(a, 0)
        self.n_cols = cnp.PyArray_DIM(a, 1) if ndim == 2 else 1
        self.ld = cnp.PyArray_STRIDE(a, 0) // size if self.n_rows > 1 and self.n_cols else self.n_cols
        if self.n_rows == 0 or self.n_cols == 0:
            return  # nothing is read
        if <uintptr_t>self.at % size or self.ld < self.n_cols \
                or (self.n_rows > 1 and cnp.PyArray_STRIDE(a, 0) % size) \
                or (ndim == 1 and self.ld != 1) \
                or (ndim == 2 and self.n_cols > 1 and cnp.PyArray_STRIDE(a, 1) != size):
            raise ValueError("rows must be aligned, and their numbers contiguous")


cdef ArrayRef bind(array, Py_ssize_t n_rows, Py_ssize_t n_cols, bytes formats, bint writable=False):
    """A contiguous array of a certain shape; n_rows = -1: any number."""
    cdef ArrayRef ref = ArrayRef(array, formats, writable)
    if (n_rows >= 0 and ref.n_rows != n_rows) or ref.n_cols != n_cols or ref.ld != n_cols:
        raise ValueError(f"a contiguous array ({n_rows}, {n_cols}) is wanted, "
                         f"got ({ref.n_rows}, {ref.n_cols})")
    return ref


cdef class SparseMatrix:
    """A sparse X (n_rows, n_columns) by rows (CSR), which stands where the functions of the core take an array X.

    SparseMatrix(indptr, indices, data, n_columns): int64 (n_rows + 1,), int32 and float (n_stored,). A row may name
    a column twice, whose values are added, and in any order. The arrays are kept, not copied, and checked once, here: they must
    not be written while this lives.
    """

    cdef readonly Py_ssize_t n_rows, n_columns, n_stored
    cdef readonly int size
    cdef Csr csr
    cdef list ref

    def __cinit__(self, indptr, indices, data, Py_ssize_t n_columns):
        cdef ArrayRef p = bind(indptr, -1, 1, INT64), x = bind(indices, -1, 1, INT32), v = bind(data, -1, 1, b"fd")
        cdef const int64_t* begins = <const int64_t*>p.at
        cdef const int32_t* columns = <const int32_t*>x.at
        cdef Py_ssize_t r, k
        cdef int32_t low = 0, high = 0
        cdef bint falls = False
        if p.n_rows < 1 or begins[0] != 0 or begins[p.n_rows - 1] > min(x.n_rows, v.n_rows):
            raise ValueError("indptr must begin with 0 and end with the number of elements stored at most")
        with nogil:
            for r in range(p.n_rows - 1):
                falls = falls or begins[r + 1] < begins[r]
            for k in range(begins[p.n_rows - 1]):
                low, high = min(low, columns[k]), max(high, columns[k])
        if falls:
            raise ValueError("indptr must not fall")
        if low < 0 or (high >= n_columns and begins[p.n_rows - 1] > 0):
            raise ValueError(f"indices must be columns 0 .. {n_columns - 1}, got {low if low < 0 else high}")
        self.n_rows, self.n_columns, self.n_stored = p.n_rows - 1, n_columns, begins[p.n_rows - 1]
        self.size, self.ref = v.size, [p, x, v]
        self.csr = Csr(begins, columns, v.at, <double>self.n_stored / max(1, self.n_rows))


cdef enum:
    FLOPS_PER_MEMBER = 10000000  # of one pass: a thread is made and ended in the time of some of them
    # Of a call that keeps the GIL: 20 us or so. To take it back costs 5 ms where another Python thread is busy.
    FLOPS_HELD = 1000000
    ROW_COST = 100             # of a row besides its products, in flops
    CONVERTED = 65536          # values at most that a small prediction converts itself
    NUMBERS_HELD = 50000       # that a call keeps the GIL for which reads or updates each once
    FLOPS_PER_UPDATE = 20       # of a weight: how many flops of a product take as long
    FLOPS_PER_TRY = 200000000    # of steps after which it is looked whether the team was kept waiting: 1 ms or 2

cdef double SLICE = 0.001  # seconds: a member that comes later had its core taken
cdef enum:
    TRIES_PER_SAMPLE = 64    # of which one is short, and done alone to know how long a step takes so
cdef double WAITED = 0.35  # of the time: more, and one member does better alone
cdef double PAUSE = 0.01   # seconds that it then goes on alone at first; up to 8 times as long if that recurs

cdef int N_TEAMS = 0  # that are at work in this process; written with the GIL held
cdef int ASSUMED = 0  # members of a team wherever their number is left to us; 0: as many as help


def assume_threads(int n=0):
    """Let n threads work wherever their number is left to us, whatever the work; 0: as many as help. For tests."""
    global ASSUMED
    ASSUMED = n


cdef size_t BLAS_BYTES = 34 << 20  # address space that OpenBLAS takes for each thread which is in a call
cdef int N_BLAS = 0                # threads for which it has been there


cdef int look_for_blas_memory(const Job* job, int n_threads) except -1:
    """Raise where BLAS cannot have memory for so many threads: OpenBLAS itself would try for ever."""
    global N_BLAS
    cdef double number = 0
    cdef void* memory
    if job.kernels.lanes or n_threads <= N_BLAS:
        return 0
    memory = malloc((n_threads - N_BLAS) * BLAS_BYTES)
    if memory == NULL:
        raise MemoryError(f"no memory for products on {n_threads} threads")
    free(memory)
    if N_BLAS == 0:  # the first call takes it
        blas_gemm(job, <char*>&number, 1, False, <char*>&number, 1, <char*>&number, 1, 1, 1, 1)
    N_BLAS = n_threads
    return 0


ctypedef void (*work_t)(void* jobs, int me) noexcept nogil

cdef void run_on_members(Shared* shared, Job** jobs, work_t work, int n) noexcept nogil:
    """Let n members work."""
    cdef int m
    for m in range(n):
        jobs[m].n_members = n
    if n > 1:
        dnn_team_run(shared.team, n, work, jobs)
    else:
        work(jobs, 0)


cdef class Run:
    """The Jobs of a team, with the memory that they native and the arrays that they point at.

    Run(plan, layout, params) is what every pass needs; the methods add what each kind wants to the first
    member's job; `start_team` makes the others' of it.
    """

    cdef Job job          # of member 0
    cdef Job** jobs       # of all members
    cdef Shared shared
    cdef readonly object raised  # an exception of a signal's handler or a loss in Python, to be raised at the end
    cdef Plan plan
    cdef Layout layout
    cdef list ref
    cdef bytes format  # of a number of the job's precision
    cdef Job* only        # what `jobs` is where there is no team
    cdef char* memory
    cdef char* work
    cdef char* more_memory  # of members 1, 2, ...
    cdef const uint8_t** masks

    def __cinit__(self, Plan plan, Layout layout, params, bint writable=False):
        cdef Job* job = &self.job
        self.plan, self.layout = plan, layout
        self.ref = []
        self.format = b"f" if layout.size == 4 else b"d"
        self.shared.run = <void*>self
        self.jobs = &self.only
        self.only = job
        job.shared, job.n_members = &self.shared, 1
        self.shared.leader = job
        job.ops, job.n_ops, job.n_params = plan.ops, plan.n_ops, plan.n_params
        job.choices, job.kernels = layout.choices, layout.kernels
        job.size = layout.size
        job.gemm = GEMM[job.size == 8]
        job.tile_rows, job.block_rows = layout.tile_rows, layout.block_rows
        job.n_columns = layout.n_columns
        job.tiles, job.n_weight_tiles = layout.tiles, layout.n_weight_tiles
        job.params = self.bind(params, plan.n_params, 1, writable)
        job.outputs = True
        job.sparse, job.blocks.bits, job.blocks.n = layout.sparse, layout.block_bits, layout.n_blocks
        job.last_poll = dnn_seconds()
        cdef size_t pointers = self.pointers()
        self.memory = <char*>calloc(1, pointers + LINE)
        if self.memory == NULL:
            raise MemoryError("no memory for a network's layers")
        self.work = <char*>dnn_pages(layout.work + layout.scratch + 2 * LINE)
        if self.work == NULL:
            raise MemoryError(f"no memory for a work space of {layout.work + layout.scratch} bytes")
        self.bind_tables(job, self.memory)
        self.masks = <const uint8_t**>calloc(max(plan.n_ops, 1), sizeof(uint8_t*))
        if self.masks == NULL:
            raise MemoryError("no memory for a network's layers")
        self.bind_work(job, next_line(self.work))
        self.bind_scratch(job, next_line(self.work + layout.work + LINE))
        look_for_blas_memory(job, 1)

    def __dealloc__(self):
        self.stop_team()
        free(self.memory)
        free(self.work)
        free(self.shared.entries.values)
        free(self.job.loss_par)
        free(self.masks)

    cdef char* bind(self, array, Py_ssize_t n_rows, Py_ssize_t n_cols, bint writable=False,
                    formats=None) except NULL:
        ref = bind(array, n_rows, n_cols, formats or self.format, writable)
        self.ref.append(ref)
        return (<ArrayRef>ref).at

    cdef size_t pointers(self):
        """Bytes of a job's tables of slots and of transposed weights."""
        return (self.plan.n_ops + 1) * (sizeof(Slot) + sizeof(char*))

    cdef void bind_tables(self, Job* job, char* memory):
        """A job's own tables of slots and of transposed weights."""
        job.slots = <Slot*>memory
        job.Wt = <char**>(memory + (self.plan.n_ops + 1) * sizeof(Slot))

    cdef void bind_work(self, Job* job, char* work):
        """Point into the work space that all share; what is kept for the caller is aimed at by `bind_cache_block`."""
        cdef Layout layout = self.layout
        cdef Place* place
        cdef int i
        job.feature_major = layout.feature_major
        for i in range(job.n_ops + 1):
            place = &layout.places[i]
            if layout.purpose == TRAIN:
                self.bind_slot(job, i, work)
            if place.dZ >= 0:
                job.slots[i].dZ = Matrix(work + place.dZ, place.ld)
        if not layout.replicated:
            self.bind_transposed(job, work)
        job.tile_sums = <double*>(work + layout.tile_sums)
        job.claims, job.n_claims = <DnnClaim*>(work + layout.claims), layout.n_claims
        job.row_sums = <double*>(work + layout.row_sums)
        job.grad = work + layout.grad if layout.grad >= 0 else NULL
        job.partial_grads = work + layout.partial_grads if layout.replicated else NULL
        if job.feature_major:
            for i in range(job.n_ops):
                self.fill_ones(row(job, job.slots[i].A, self.plan.units(i)), layout.n_rows)

    cdef void bind_scratch(self, Job* job, char* scratch):
        """Point into the scratch of a member."""
        cdef Layout layout = self.layout
        cdef int i
        if layout.purpose == PREDICT:
            for i in range(job.n_ops + 1):
                self.bind_slot(job, i, scratch)
        if layout.replicated:
            if job.me > 0:
                job.params, job.state = scratch + layout.params, scratch + layout.state
            self.bind_transposed(job, scratch)
        job.G = scratch + layout.G
        job.transposed = scratch + layout.transposed
        job.workspace = scratch + layout.workspace if layout.workspace >= 0 else NULL
        job.dA = scratch + layout.dA
        job.Y_tile = scratch + layout.Y
        job.classes_tile = <int64_t*>(scratch + layout.classes)
        job.w_tile = <double*>(scratch + layout.w)
        job.row_table = <const void**>(scratch + layout.rows)
        job.blocks.begins = <int64_t*>(scratch + layout.block_begins)
        job.blocks.next = <int64_t*>(scratch + layout.block_next)
        job.blocks.seen = <uint8_t*>(scratch + layout.seen)

    cdef void bind_transposed(self, Job* job, char* block):
        """Point at W' of each layer; of one output it is W itself."""
        cdef int i
        for i in range(job.n_ops):
            if job.ops[i].n_out == 1 and not job.feature_major:
                job.Wt[i] = job.params + job.ops[i].W * job.size
            else:
                job.Wt[i] = block + self.layout.choices[i].Wt

    cdef void fill_ones(self, char* at, Py_ssize_t n):
        """Ones."""
        cdef Py_ssize_t i
        for i in range(n):
            if self.job.size == 4:
                (<float*>at)[i] = 1
            else:
                (<double*>at)[i] = 1

    cdef void bind_slot(self, Job* job, int i, char* block):
        cdef Place* place = &self.layout.places[i]
        cdef Slot* slot = &job.slots[i]
        if place.A >= 0:
            slot.A = Matrix(block + place.A, place.ld)
            job.copied = job.copied or i == 0
        if place.Z >= 0:
            slot.Z = Matrix(block + place.Z, place.ld)
        if place.V >= 0:
            slot.V = Matrix(block + place.V, place.ld)

    cdef int start_team(self, int n) except -1:
        """A team of up to n members, whose jobs are copies of the first's. Returns how many they are."""
        global N_TEAMS
        cdef Job* job
        cdef size_t pointers = self.pointers(), each
        cdef char* at
        cdef int m
        if n <= 1 or self.shared.team != NULL:
            return 1
        self.shared.team = dnn_team_new(n)
        if self.shared.team == NULL:
            raise MemoryError(f"no memory for a team of {n} threads")
        N_TEAMS += 1
        n = dnn_team_size(self.shared.team)
        each = (sizeof(Job) + pointers + self.layout.scratch + 3 * LINE) // LINE * LINE
        self.more_memory = <char*>malloc(n * (each + sizeof(Job*)) + LINE)
        if self.more_memory == NULL:
            raise MemoryError(f"no memory for {n} threads of {each} bytes each")
        self.jobs = <Job**>next_line(self.more_memory)
        self.jobs[0] = &self.job
        for m in range(1, n):
            at = next_line(<char*>(self.jobs + n)) + (m - 1) * each
            job = self.jobs[m] = <Job*>at
            memcpy(job, &self.job, sizeof(Job))
            job.me = m
            self.bind_tables(job, at + sizeof(Job))
            memcpy(job.slots, self.job.slots, pointers)
            self.bind_scratch(job, next_line(at + sizeof(Job) + pointers))
            if self.layout.replicated:  # a copy of its own, and nobody's else
                job.mean = NULL
        look_for_blas_memory(&self.job, n)
        return n

    cdef void stop_team(self):
        """End the team."""
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
        """Let n members do work of so many flops, and raise what was raised meanwhile."""
        if n == 1 and flops <= FLOPS_HELD:
            run_on_members(&self.shared, self.jobs, work, n)
        else:
            with nogil:
                run_on_members(&self.shared, self.jobs, work, n)
        return self.end()

    cdef int end(self) except -1:
        """Raise what was raised meanwhile."""
        if self.raised is not None:
            error, self.raised, self.shared.stop = self.raised, None, False
            raise error
        return 0

    cdef int over_all(self, work_t work, int n_threads, double flops_per_row) except -1:
        """Do work over all rows, by as many members as it feeds."""
        cdef double flops = flops_per_row * self.job.n_rows
        return self.run_members(work, self.start_team(members_for(n_threads, flops, self.layout)),
                       flops + <double>ROW_COST * self.job.n_rows)

    cdef void drop(self, uint64_t seed, masks):
        """Drop numbers in training: masks of each operation's inputs, None for drawn ones."""
        self.job.training, self.job.seed = True, seed
        if masks is not None:
            self.job.masks = self.masks
            for i, mask in enumerate(masks):
                if mask is not None:
                    self.masks[i] = <uint8_t*>self.bind(mask, self.job.n_rows, self.plan.ops[i].n_in, False, b"B")

    cdef void read(self, X):
        """The rows that are read: X (N, I), an array or a SparseMatrix."""
        cdef ArrayRef ref
        cdef SparseMatrix sparse
        if isinstance(X, SparseMatrix) != self.layout.sparse:
            raise TypeError("X must be sparse where its layout is, and only there")
        if self.layout.sparse:
            sparse = X
            if sparse.n_columns != self.plan.n_inputs or sparse.size != self.job.size:
                raise ValueError(f"X must have {self.plan.n_inputs} columns of {self.job.size} bytes, got "
                                 f"{sparse.n_columns} of {sparse.size}")
            self.ref.append(sparse)
            self.job.csr, self.job.n_rows = sparse.csr, sparse.n_rows
            set_batch_rows(&self.job, 0)
            return
        ref = ArrayRef(X, self.format)
        if ref.n_cols != self.plan.n_inputs:
            raise ValueError(f"X must have {self.plan.n_inputs} columns, got {ref.n_cols}")
        self.ref.append(ref)
        self.job.X, self.job.ldx, self.job.n_rows = ref.at, ref.ld, ref.n_rows
        set_batch_rows(&self.job, 0)

    cdef int reserve(self, Py_ssize_t capacity) except -1:
        """Room for the elements of a batch of a sparse X."""
        cdef Entries* entries = &self.shared.entries
        if capacity <= entries.capacity:
            return 0
        free(entries.values)
        entries.capacity = 0
        entries.values = <char*>malloc(capacity * (self.job.size + 2 * sizeof(int32_t)))
        if entries.values == NULL:
            raise MemoryError(f"no memory for the {capacity} elements of a batch")
        entries.columns = <int32_t*>(entries.values + capacity * self.job.size)
        entries.rows = entries.columns + capacity
        entries.capacity = capacity
        return 0

    cdef void bind_cache_block(self, cache_block):
        """Aim at Z and A in the caller's block, which begins on a line of the cache."""
        cdef char* at = self.bind(cache_block, self.layout.cache_bytes, 1, True, b"B")
        cdef int i
        for i in range(self.job.n_ops + 1):
            self.bind_slot(&self.job, i, at)

    cdef void set_loss(self, int loss, par, Y, classes, weights, python_loss):
        """The loss, its targets Y (N, O) or classes (N,), and the weights (N,) of the rows."""
        cdef Job* job = &self.job
        job.loss = loss
        if python_loss is not None:
            self.ref.append(python_loss)
            job.python_loss = <void*>python_loss
        job.loss_par = <double*>calloc(max(len(par), 2), sizeof(double))
        if job.loss_par == NULL:
            raise MemoryError("no memory for the parameters of the loss")
        for i, value in enumerate(par):
            job.loss_par[i] = value
        job.outputs = of_outputs(self.plan, loss, python_loss)
        if Y is not None:
            job.Y = self.bind(Y, job.n_rows, self.plan.n_outputs)
        if classes is not None:
            job.classes = <const int64_t*>self.bind(classes, job.n_rows, 1, False, INT64)
        if weights is not None:
            job.weights = <const double*>self.bind(weights, job.n_rows, 1, False, b"d")


cdef inline char* next_line(char* at) noexcept nogil:
    """The first line of the cache that begins at an address or behind it."""
    return at + (LINE - <uintptr_t>at % LINE) % LINE


cdef int members_for(int n_threads, double flops, Layout layout) except -1:
    """Members of a team for work of so many flops in one pass: n_threads where given, 0 for as many as help."""
    cdef int n = n_threads or ASSUMED
    if n == 0:
        if flops < 2 * FLOPS_PER_MEMBER:
            return 1
        n = threads.available()
        n = <int>min(flops / FLOPS_PER_MEMBER, (n + N_TEAMS) // (N_TEAMS + 1))
    if not layout.kernels.lanes and CALL_LIMIT == INFINITY:
        return 1  # a BLAS that was never measured has threads of its own
    return max(1, min(n, layout.n_row_tiles))


ctypedef void (*block_t)(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil

cdef void over_rows(Job* job, block_t block) noexcept nogil:
    """Do something with all rows of X, block by block, each by the member that is free: one whose core another
    process wants does fewer."""
    cdef Py_ssize_t rows_per_block = job.block_rows, r = 0, n
    cdef double flops = flops_per_row(job)
    cdef unsigned mode = dnn_flush_subnormals()
    if job.n_members > 1:  # pieces enough for all, of whole tiles
        n = (job.n_rows // (2 * job.n_members) + job.tile_rows // 2) // job.tile_rows
        rows_per_block = max(1, min(rows_per_block // job.tile_rows, n)) * job.tile_rows
        r = dnn_team_next(job.shared.team) * rows_per_block
    while r < job.n_rows and not job.shared.stop:
        n = min(rows_per_block, job.n_rows - r)
        block(job, r, n)
        poll_signals(job, flops * n)
        r = dnn_team_next(job.shared.team) * rows_per_block if job.n_members > 1 else r + rows_per_block
    dnn_flush_restore(mode)

cdef void predict_block(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """The scratch holds the rows of one block; the outputs go to their place at once."""
    cdef Py_ssize_t n_out = job.ops[job.n_ops - 1].n_out
    cdef Slot* last = &job.slots[job.n_ops]
    set_batch_rows(job, r)
    last.Z = last.A = last.V = Matrix(job.out + r * n_out * job.size, n_out)
    forward_block(job, 0, 0, n)

cdef void losses_block(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    set_batch_rows(job, r)
    forward_block(job, 0, 0, n)
    while i < n:  # a tile's targets fit the scratch
        loss_tile(job, i, min(job.tile_rows, n - i), 1, False, job.losses + r + i)
        i += job.tile_rows

cdef void forward_cached_block(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
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
    derive(job)
    begin_rounds(job)
    barrier(job)

cdef void vjp_block(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """The rows of a vector-Jacobian product."""
    if job.d_out.at != NULL:
        slope_tile(job, &job.ops[job.n_ops - 1], r, n, row(job, job.d_out, r), job.d_out.ld)
    backward_block(job, r, n)

cdef void vjp_rows(void* jobs, int me) noexcept nogil:
    """A vector-Jacobian product."""
    cdef Job* job = (<Job**>jobs)[me]
    cdef Cost cost
    cdef unsigned mode
    derive_for_all(job)
    over_rows(job, vjp_block)
    barrier(job)
    if job.grad != NULL and not job.shared.stop:
        mode = dnn_flush_subnormals()
        weights_phase(job, job.n_rows, 1, False, &cost)
        dnn_flush_restore(mode)

cdef void cost_rows(void* jobs, int me) noexcept nogil:
    """Cost and gradient; the cost into the first of the sums of the tiles."""
    cdef Job* job = (<Job**>jobs)[me]
    cdef Cost cost
    cdef double total = weight_of(job, job.n_rows)
    cdef unsigned mode = dnn_flush_subnormals()
    derive_for_all(job)
    rows_phase(job, job.n_rows, total, &cost)
    if not job.shared.stop:
        weights_phase(job, job.n_rows, total, False, &cost)
    dnn_flush_restore(mode)
    if me == 0:
        job.shared.cost = cost


def predict(Plan plan, params, X, out, bint logits=False, int n_threads=0):
    """Outputs of each row of X (N, I), or with `logits` the last Z, written to out (N, O)."""
    cdef Run run = predicting(plan, params, X)
    run.job.outputs = not logits
    run.job.out = run.bind(out, run.job.n_rows, plan.n_outputs, True)
    run.over_all(predict_rows, n_threads, flops_per_row(&run.job))


def losses(Plan plan, params, X, int loss, par, Y, classes, out, int n_threads=0):
    """The loss of each row of X (N, I) without penalties, written to out (N,), float64."""
    cdef Run run = predicting(plan, params, X)
    run.set_loss(loss, par, Y, classes, None, None)
    run.job.losses = <double*>run.bind(out, run.job.n_rows, 1, True, b"d")
    run.over_all(losses_rows, n_threads, flops_per_row(&run.job))


cdef Run predicting(Plan plan, params, X):
    """A run over the rows of X (N, I) that keeps no more of them than a tile."""
    cdef Py_ssize_t n_rows
    cdef int size
    n_rows, size = rows_and_size(X)
    cdef Run run = Run(plan, plan.layout(size, min(n_rows, 4096), PREDICT, isinstance(X, SparseMatrix)), params)
    run.read(X)
    return run


cdef tuple rows_and_size(X):
    """Rows of X, and bytes of an element."""
    cdef ArrayRef ref
    if isinstance(X, SparseMatrix):
        return (<SparseMatrix>X).n_rows, (<SparseMatrix>X).size
    ref = ArrayRef(X, b"fd")
    return ref.n_rows, ref.size


cdef int64_t EXACT = 1 << 53  # whole numbers up to this are the same in double


cdef class SmallBatchPredictor:
    """A network's outputs for few rows, with as little as possible around the arithmetic: the work space is kept from
    call to call, which the GIL, held meanwhile, makes safe.

    SmallBatchPredictor(plan, params, fallback): what does not fit is handed to the function fallback(X).
    """

    cdef Plan plan
    cdef object params, fallback
    cdef Run run            # for up to n_rows rows
    cdef Py_ssize_t n_rows
    cdef int number, size   # of the dtype
    cdef char* converted    # rows of another dtype, or of a list

    def __cinit__(self, Plan plan, params, fallback):
        self.plan, self.params, self.fallback = plan, params, fallback
        self.number, self.size = params.dtype.num, params.dtype.itemsize
        # So few that others who want the GIL are not kept waiting: some 20 us
        self.n_rows = max(1, min(64, FLOPS_HELD // (2 * max(1, plan.n_params))))

    def __dealloc__(self):
        free(self.converted)

    def predict(self, X):
        """Outputs (N, O) for the rows of X (N, I), (O,) for a row (I,)."""
        cdef cnp.ndarray a, out
        cdef cnp.npy_intp shape[2]
        cdef const char* rows
        cdef Job* job
        cdef int ndim
        cdef unsigned mode
        shape[1] = self.plan.n_outputs
        if type(X) is list:
            ndim = 2 if X and type(X[0]) is list else 1
            shape[0] = len(X) if ndim == 2 else 1
            if not 1 <= shape[0] <= self.n_rows or not self.convert_list(X, ndim):
                return self.fallback(X)
            rows = self.converted
        elif type(X) is np.ndarray:
            a = <cnp.ndarray>X
            ndim = cnp.PyArray_NDIM(a)
            if not cnp.PyArray_ISCARRAY_RO(a) or not 1 <= ndim <= 2 \
                    or cnp.PyArray_DIM(a, ndim - 1) != self.plan.n_inputs:
                return self.fallback(X)
            shape[0] = cnp.PyArray_DIM(a, 0) if ndim == 2 else 1
            if not 1 <= shape[0] <= self.n_rows:
                return self.fallback(X)
            rows = <const char*>cnp.PyArray_DATA(a)
            if cnp.PyArray_TYPE(a) != self.number:
                if not self.convert_array(a, shape[0] * self.plan.n_inputs):
                    return self.fallback(X)
                rows = self.converted
        else:
            return self.fallback(X)
        if self.run is None or self.run.layout.kernels != KERNELS[self.size == 8]:
            self.run = Run(self.plan, Layout(self.plan, self.size, self.n_rows, PREDICT), self.params)
        out = cnp.PyArray_EMPTY(ndim, &shape[2 - ndim], self.number, 0)
        job = &self.run.job
        job.X, job.ldx = rows, self.plan.n_inputs
        job.out = <char*>cnp.PyArray_DATA(out)
        mode = dnn_flush_subnormals()
        derive(job)
        predict_block(job, 0, shape[0])
        dnn_flush_restore(mode)
        return out

    cdef bint has_room(self, Py_ssize_t n) except -1:
        """Whether n values are few enough to be converted here; there is room for them then."""
        if n > CONVERTED:
            return False
        if self.converted == NULL:
            self.converted = <char*>malloc(min(CONVERTED, self.n_rows * self.plan.n_inputs) * self.size)
            if self.converted == NULL:
                raise MemoryError("no memory for converted rows")
        return True

    cdef bint convert_array(self, cnp.ndarray a, Py_ssize_t n) except -1:
        """The n values of an array of the other precision, or of int64; False: they do not fit, or are of another type."""
        cdef int number = cnp.PyArray_TYPE(a)
        cdef const double* x = <const double*>cnp.PyArray_DATA(a)
        cdef const float* y = <const float*>x
        cdef const int64_t* z = <const int64_t*>x
        cdef float* single
        cdef Py_ssize_t i
        cdef int lost = 0
        if not self.has_room(n):
            return False
        single = <float*>self.converted
        if number == cnp.NPY_FLOAT:
            for i in range(n):
                (<double*>self.converted)[i] = y[i]
        elif number == cnp.NPY_DOUBLE:
            for i in range(n):
                single[i] = <float>x[i]
                lost |= (fabs(single[i]) == INFINITY) & (fabs(x[i]) != INFINITY)
        elif number == cnp.NPY_INT64:
            for i in range(n):
                if self.size == 8:
                    (<double*>self.converted)[i] = <double>z[i]
                else:
                    single[i] = <float>z[i]
        else:
            return False
        return not lost

    cdef bint convert_list(self, list X, int ndim) except -1:
        """The numbers of a list (I,), or of lists (N, I); False: something else stands there, or it does not fit."""
        cdef Py_ssize_t n_inputs = self.plan.n_inputs, r, c
        cdef list one = X
        cdef double value
        cdef float* single
        cdef object x
        if not self.has_room(n_inputs * len(X) if ndim == 2 else n_inputs):
            return False
        single = <float*>self.converted
        for r in range(len(X) if ndim == 2 else 1):
            if ndim == 2:
                if type(X[r]) is not list:
                    return False
                one = <list>X[r]
            if len(one) != n_inputs:
                return False
            for c in range(n_inputs):
                x = one[c]
                if isinstance(x, float):  # NumPy's are
                    value = x
                elif type(x) is int and -EXACT <= x <= EXACT:
                    value = x
                else:
                    return False
                if self.size == 8:
                    (<double*>self.converted)[r * n_inputs + c] = value
                    continue
                single[r * n_inputs + c] = <float>value
                if fabs(single[r * n_inputs + c]) == INFINITY and fabs(value) != INFINITY:
                    return False
        return True


def aligned_bytes(Py_ssize_t n_bytes):
    """An array of so many bytes that begins on a line of the cache: rows that do are read and written faster."""
    cdef cnp.npy_intp n = n_bytes + LINE
    cdef cnp.ndarray block = cnp.PyArray_EMPTY(1, &n, cnp.NPY_UBYTE, 0)
    cdef char* at = <char*>cnp.PyArray_DATA(block)
    cdef Py_ssize_t skip = next_line(at) - at
    return block[skip:skip + n_bytes]


def zeros(shape, dtype):
    """An array of zeros whose memory begins on a line of the cache. Large arrays of NumPy's begin in the midst of one, and
    vectors of weights then lie on two lines each: an epoch of 784-512-512-10 took an eighth longer (AVX2)."""
    dtype = np.dtype(dtype)
    cdef Py_ssize_t n_bytes = dtype.itemsize
    for n in shape:
        n_bytes *= n
    array = aligned_bytes(n_bytes).view(dtype).reshape(shape)
    array.fill(0)
    return array


def cache_layout(Plan plan, int size, Py_ssize_t n_rows, bint training=False):
    """The layout of a forward pass over n_rows rows that keeps Z and A; in training, before dropout too."""
    return plan.layout(size, n_rows, DROPPED if training and plan.dropout else CACHE)


cdef Run caching(Plan plan, Layout layout, params, X, cache_block, seed, masks):
    """A run over the rows of X (N, I) whose Z and A stand in the block `cache_block`."""
    cdef Run run = Run(plan, layout, params)
    run.read(X)
    if layout.purpose == DROPPED:
        run.drop(seed, masks)
    if run.job.n_rows > layout.n_rows:
        raise ValueError(f"the layout is for {layout.n_rows} rows, got {run.job.n_rows}")
    run.bind_cache_block(cache_block)
    return run


def forward(Plan plan, Layout layout, params, X, cache_block, seed, masks):
    """Z and A of every layer for each row of X (N, I), written to the block `cache_block`.

    With a layout for training, dropout: masks, for each layer's inputs (N, n_in) uint8 or None, or None for
    masks drawn from the seed.
    """
    cdef Run run = caching(plan, layout, params, X, cache_block, seed, masks)
    run.over_all(forward_cached_rows, 0, flops_per_row(&run.job))


def backward(Plan plan, Layout layout, params, X, cache_block, seed, masks, d_out, bint logits, grad, dX):
    """The vector-Jacobian product of a forward pass: grad (P,) and dX (N, I), each where it is not None.

    d_out (N, O): with respect to the outputs, or, with `logits`, to the last Z.
    """
    cdef Run run = caching(plan, layout, params, X, cache_block, seed, masks)
    cdef Job* job = &run.job
    cdef Matrix d = Matrix(run.bind(d_out, job.n_rows, plan.n_outputs), plan.n_outputs)
    if logits:
        job.slots[job.n_ops].dZ = d  # only read from here on
    else:
        job.d_out = d
    if grad is not None:
        job.grad = run.bind(grad, plan.n_params, 1, True)
    if dX is not None:
        job.dX = run.bind(dX, job.n_rows, plan.n_inputs, True)
    run.over_all(vjp_rows, 0, 2 * flops_per_row(job))


def cost_and_gradient(Plan plan, params, X, int loss, par, Y, classes, weights, python_loss,
                      double alpha, double l1, grad, int n_threads=0):
    """Mean loss of all rows of X (N, I), and penalty; the gradient of their sum is written to grad (P,). No dropout."""
    cdef Py_ssize_t n_rows
    cdef int size
    n_rows, size = rows_and_size(X)
    cdef bint outputs = of_outputs(plan, loss, python_loss), sparse = isinstance(X, SparseMatrix)
    # A Python function as the loss may be called once only: no parts
    cdef Layout layout = Layout(plan, size, n_rows, TRAIN, outputs=outputs, called=True, sparse=sparse)
    cdef Run run = Run(plan, layout, params)
    cdef Job* job = &run.job
    run.read(X)
    if sparse:
        run.reserve((<SparseMatrix>X).n_stored)
    run.set_loss(loss, par, Y, classes, weights, python_loss)
    job.alpha, job.l1 = alpha, l1
    job.grad = run.bind(grad, plan.n_params, 1, True)
    run.over_all(cost_rows, n_threads, 3 * flops_per_row(job))
    return run.shared.cost.loss, run.shared.cost.penalty


cdef bint of_outputs(Plan plan, int loss, python_loss):
    """Whether a loss is computed from the outputs, and not from the logits."""
    return python_loss is None and dnn_losses[loss].output[0] == 0 \
        and plan.ops[plan.n_ops - 1].activation != IDENTITY


cdef class Trainer:
    """A network in training. `steps` may be called as often as wanted: where calls end changes no bit.

    params (P,) and state (slots, P) are trained in place; step: updates that the state has seen. X (N, I), Y
    (N, O) or classes (N,), weights (N,) float64 or None; least: the penalties of a batch are divided by the sum of its
    weights, or by its rows times this where that is more; batch: rows a step. python_loss(rows, logits), if not
    None: turns the logits (n, O) of these rows of X into their gradient, in place, and returns the sum of the
    weighted losses. mean (P,), or None: becomes the running average of the parameters. frozen (n_ops,) uint8, or
    None. seed: of dropout.
    """

    cdef Run run
    cdef int n_threads, n_members
    cdef readonly int kept_waiting  # tries in a row in which the team was
    cdef bint team_started, trusted    # the last try did not keep the team waiting: the next may be longer
    cdef double alone_until, pause  # when the team is tried again after it was kept waiting; the length of that
    cdef double alone               # seconds of a step by one member, where steps are short; 0: not known
    cdef Py_ssize_t tries

    def __cinit__(self, Plan plan, Layout layout, params, X, *, int loss, par, Y, classes, weights, python_loss,
                  double alpha, double l1, double least, Py_ssize_t batch, int optimizer, hyper, double weight_decay,
                  double clip_norm, state, int64_t step, mean, double mean_rate, frozen, uint64_t seed,
                  int n_threads=0):
        self.run = Run(plan, layout, params, True)
        cdef Job* job = &self.run.job
        self.run.read(X)
        if not 1 <= batch <= layout.n_rows:
            raise ValueError(f"batch must be in 1 .. {layout.n_rows}, got {batch}")
        if clip_norm > 0 and job.grad == NULL and not layout.replicated and not layout.feature_major:
            raise ValueError("clip_norm must have a layout of two sweeps")
        self.run.set_loss(loss, par, Y, classes, weights, python_loss)
        job.alpha, job.l1, job.least = alpha, l1, least
        job.batch, job.optimizer, job.step = batch, optimizer, step
        job.weight_decay, job.clip_norm, job.mean_rate = weight_decay, clip_norm, mean_rate
        for i, value in enumerate(hyper):
            job.hyper[i] = value
        if dnn_optimizers[optimizer].n_slots:
            job.state = self.run.bind(state, dnn_optimizers[optimizer].n_slots, plan.n_params, True)
        if mean is not None:
            job.mean = self.run.bind(mean, plan.n_params, 1, True)
        if frozen is not None:
            job.frozen = self.run.bind(frozen, plan.n_ops, 1, False, b"B")
        if job.grad != NULL and frozen is not None:  # theirs stays 0
            memset(job.grad, 0, plan.n_params * job.size)
        if plan.dropout:
            self.run.drop(seed, None)
        self.n_threads, self.n_members, self.pause = n_threads, 1, PAUSE

    def close(self):
        """End the threads. `steps` may be called again, and makes new ones."""
        self.run.stop_team()
        self.team_started = False

    cdef int useful_members(self) except -1:
        """Members of the team that a step can feed."""
        cdef Layout layout = self.run.layout
        cdef double flops = flops_per_step(&self.run.job)
        cdef int n = self.n_threads or ASSUMED
        if n == 0:
            if flops < 1e6 or (flops < 1e7 and self.run.job.batch < 64):
                return 1
            n = threads.available()
            n = <int>min((n + N_TEAMS) // (N_TEAMS + 1), 1 + flops / 1e6)
        if not layout.kernels.lanes and CALL_LIMIT == INFINITY:
            return 1  # a BLAS that was never measured has threads of its own
        if layout.feature_major:
            return 1
        return max(1, min(n, N_SHARDS if layout.replicated else max(layout.n_row_tiles, layout.n_weight_tiles)))

    @property
    def step(self):
        """Updates that the state has seen."""
        return self.run.job.step

    @step.setter
    def step(self, int64_t value):
        self.run.job.step = value

    def steps(self, order, rates, costs, Py_ssize_t first):
        """Do len(rates) steps; loss and penalty of each, before its update, are written to costs (n_steps, 2).
        Returns how many were done: fewer than asked for where a cost was not finite, which is then the last written.

        order (epochs, N): rows of X in the order of each epoch, None for as they stand; the first step is
        batch number `first` of the first of these epochs.
        """
        cdef Job* job = &self.run.job
        cdef ArrayRef r = bind(rates, -1, 1, b"d"), c = bind(costs, -1, 2, b"d", True), o
        cdef const int64_t* rows = NULL
        cdef Py_ssize_t steps_per_epoch = (job.n_rows + job.batch - 1) // job.batch
        cdef Py_ssize_t done = 0, n_steps = r.n_rows, i
        if c.n_rows < n_steps:
            raise ValueError(f"costs must have {n_steps} rows or more, got {c.n_rows}")
        if (order is not None) != self.run.layout.gather:
            raise ValueError("order must be given where rows are gathered, and only there")
        if order is not None:
            o = bind(order, -1, job.n_rows, INT64)
            if o.n_rows * steps_per_epoch < first + n_steps:
                raise ValueError(f"order must cover {first + n_steps} batches")
            rows = <const int64_t*>o.at
            for i in range(o.n_rows * o.n_cols):
                if not 0 <= rows[i] < job.n_rows:
                    raise ValueError(f"order must hold row numbers in 0 .. {job.n_rows - 1}, got {rows[i]}")
        if job.sparse:
            self.run.reserve(largest_batch(job, rows, first, n_steps))
        self.run.shared.order, self.run.shared.rates = rows, <const double*>r.at
        self.run.shared.costs, self.run.shared.first = <Cost*>c.at, first
        if self.run.shared.team != NULL and not dnn_team_is_here(self.run.shared.team):
            self.close()  # a child of a fork
        if not self.team_started:
            self.n_members, self.team_started = self.run.start_team(self.useful_members()), True
        cdef double flops = flops_per_step(job) + 1e4
        if self.n_members == 1 and (flops + <double>ROW_COST * job.batch) * n_steps <= FLOPS_HELD:
            done = self.run_steps_adaptive(&self.run.shared, self.run.jobs, n_steps, flops)
        else:
            with nogil:
                done = self.run_steps_adaptive(&self.run.shared, self.run.jobs, n_steps, flops)
        self.run.end()
        return done

    cdef Py_ssize_t run_steps_adaptive(self, Shared* shared, Job** jobs, Py_ssize_t n_steps, double flops) noexcept nogil:
        """The steps, of so many flops each, as many at a time as show whether the team is kept waiting, by another process that wants the core
        of one of its members, or slower than one alone, where cores are far from each other. Then one goes on alone,
        and the team is tried again later. No bit depends on that."""
        cdef Job* job = jobs[0]
        cdef Py_ssize_t done = 0, some, steps_per_try
        cdef double took, waited
        cdef int m, n
        cdef bint sample, short_steps = 8 * flops < FLOPS_PER_TRY
        cdef bint stale = False  # whether the copies of members 1, 2, ... are of before
        steps_per_try = n_steps if self.n_members == 1 else max(1, <Py_ssize_t>(FLOPS_PER_TRY / flops))
        while done < n_steps:
            n = self.n_members if dnn_seconds() >= self.alone_until else 1
            sample = n > 1 and short_steps and self.tries % TRIES_PER_SAMPLE == 1  # the first try wakes the team
            self.tries += 1
            if sample:
                n = 1
            # Beside a busy process a step may take a hundred times as long: few of them tell
            some = min(steps_per_try if not sample and (n == 1 or self.trusted) else max(1, steps_per_try // 16), n_steps - done)
            shared.n_steps, shared.done = some, 0
            job.fresh = done == 0
            for m in range(1, n):
                jobs[m].step = job.step
                jobs[m].fresh = job.fresh or (stale and job.partial_grads != NULL)
            stale = n < self.n_members
            run_on_members(shared, jobs, run_steps, n)
            took = dnn_seconds() - shared.began
            done += shared.done
            shared.rates += shared.done
            shared.costs += shared.done
            shared.first += shared.done
            if shared.done < some or shared.stop:
                break
            if n == 1:
                self.alone = took / some
                continue
            # To wake a member from its sleep may take as long as a short try, and tells nothing, except where it took a slice of time
            waited = dnn_team_waited(shared.team) - shared.late
            if shared.late > SLICE:
                waited, took = waited + shared.late, took + shared.late
            if waited > WAITED * took or (short_steps and self.alone > 0 and took > self.alone * some):
                self.kept_waiting += 1
                self.trusted = False
                # Once may be chance, except for a whole slice of time, in few steps, or where it has been so before
                if self.kept_waiting == 2 or (took < 0.02 and (waited > SLICE or self.pause > PAUSE)):
                    self.kept_waiting = 0
                    self.alone_until = dnn_seconds() + self.pause
                    self.pause = min(2 * self.pause, 8 * PAUSE)
            else:
                self.kept_waiting, self.pause, self.trusted = 0, PAUSE, True
        return done


cdef double flops_per_step(const Job* job) noexcept nogil:
    """Of a training; of a sparse X the updates too, as they may take longer than the products."""
    cdef double flops = 3 * flops_per_row(job) * job.batch
    if job.sparse and not only_touched(job):
        flops += FLOPS_PER_UPDATE * <double>job.n_params
    return flops


def training_layout(Plan plan, int size, Py_ssize_t batch, bint gather, int loss, python_loss, int optimizer,
                   two_sweeps=None, bint sparse=False):
    """The layout of a training. two_sweeps: None lets it decide."""
    cdef Py_ssize_t lanes = KERNELS[size == 8].lanes
    cdef double flops = 2.0 * plan.n_params * batch, limit = max(1e9, (2.2e9 if lanes * size == 32 else 1.2e9) * lanes)
    if dnn_optimizers[optimizer].whole_gradient:
        two_sweeps = True
    elif two_sweeps is None and sparse:
        two_sweeps = False  # the gradient is the smaller part of an update, and need not be stored whole
    elif two_sweeps is None:
        # An update that has begun must be ended: one that may take 0.2 s is not begun before it is sure. One thread
        # does some 1e11 flops a second with AVX-512, on some processors twice that, and 8.5e10 with AVX2; half of it in
        # double precision.
        two_sweeps = flops > limit
    return Layout(plan, size, batch, TRAIN, gather=gather, outputs=of_outputs(plan, loss, python_loss),
                    gradient=two_sweeps, dropout=True, called=python_loss is not None,
                    slots=dnn_optimizers[optimizer].n_slots, sparse=sparse)


def update(Plan plan, params, grad, state, int optimizer, hyper, double weight_decay, double rate, int64_t step,
           frozen):
    """Update number `step` (1, 2, ...) of params (P,) by grad (P,); state (slots, P) in place."""
    cdef ArrayRef p = ArrayRef(params, b"fd", True), g, s, f
    cdef bytes format = b"f" if p.size == 4 else b"d"
    cdef Job job
    cdef int i
    memset(&job, 0, sizeof(Job))
    job.ops, job.n_ops, job.n_params, job.size = plan.ops, plan.n_ops, plan.n_params, p.size
    job.kernels = KERNELS[p.size == 8]
    if p.n_rows != plan.n_params or p.n_cols != 1:
        raise ValueError(f"params must have shape ({plan.n_params},), got ({p.n_rows}, {p.n_cols})")
    g = bind(grad, plan.n_params, 1, format)
    job.params, job.grad = p.at, g.at
    job.optimizer, job.rate, job.weight_decay = optimizer, rate, weight_decay
    for i in range(len(hyper)):
        job.hyper[i] = hyper[i]
    if dnn_optimizers[optimizer].n_slots:
        s = bind(state, dnn_optimizers[optimizer].n_slots, plan.n_params, format, True)
        job.state = s.at
    if frozen is not None:
        f = bind(frozen, plan.n_ops, 1, b"B")
        job.frozen = f.at
    dnn_scalars(optimizer, job.hyper, rate, step, job.scalars)
    if plan.n_params <= NUMBERS_HELD:
        update_all(&job)
    else:
        with nogil:
            update_all(&job)


cdef void update_all(const Job* job) noexcept nogil:
    """An update of all parameters that are not frozen."""
    cdef const Op* op
    cdef int i
    cdef unsigned mode = dnn_flush_subnormals()
    for i in range(job.n_ops):
        op = &job.ops[i]
        if not is_frozen(job, i):
            update_part(job, op, op.W, 1, op.b - op.W, op.b - op.W, job.grad + op.W * job.size, op.b - op.W)
            update_part(job, op, op.b, 1, op.n_out, op.n_out, job.grad + op.b * job.size, op.n_out)
    dnn_flush_restore(mode)


def all_finite(array):
    """True if every number of an array of floats is finite."""
    cdef ArrayRef x = ArrayRef(array, b"fd")
    cdef const DnnKernels* kernels = KERNELS[x.size == 8]
    cdef bint finite
    if x.n_rows * x.n_cols <= NUMBERS_HELD:
        return rows_finite(kernels, x.n_rows, x.n_cols, x.at, x.ld)
    with nogil:
        finite = rows_finite(kernels, x.n_rows, x.n_cols, x.at, x.ld)
    return finite


cdef bint rows_finite(const DnnKernels* kernels, Py_ssize_t n_rows, Py_ssize_t n_cols, const char* at,
                      Py_ssize_t ld) noexcept nogil:
    cdef Py_ssize_t r
    if ld == n_cols:
        return kernels.all_finite(n_rows * n_cols, at)
    for r in range(n_rows):
        if not kernels.all_finite(n_cols, at + r * ld * kernels.size):
            return False
    return True


def layer_in_columns(name, A_prev, W, b):
    """Z = W A_prev + b and A = f(Z), both (n, m), of A_prev (n_prev, m), W (n, n_prev) and b (n, 1): examples in columns,
    all C-contiguous and of one dtype. f: an element-wise activation of the table. One thread, and nothing is transposed."""
    cdef ArrayRef a = ArrayRef(A_prev, b"fd")
    cdef bytes format = b"f" if a.size == 4 else b"d"
    cdef ArrayRef w = bind(W, -1, a.n_rows, format), bias = bind(b, w.n_rows, 1, format)
    cdef cnp.npy_intp shape[2]
    cdef cnp.ndarray Z, A
    cdef int activation = ACTIVATIONS[name].index
    cdef Job job
    if a.ld != a.n_cols or dnn_activations[activation].row_wise:
        raise ValueError("A_prev must be contiguous, and the activation element-wise")
    memset(&job, 0, sizeof(Job))
    job.size, job.kernels, job.gemm = a.size, KERNELS[a.size == 8], GEMM[a.size == 8]
    if not job.kernels.lanes:
        load_blas()
        job.gemm = GEMM[a.size == 8]
        look_for_blas_memory(&job, 1)
    shape[0], shape[1] = w.n_rows, a.n_cols
    Z = A = cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(<cnp.ndarray>A_prev), 0)
    if activation != IDENTITY:
        A = cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(<cnp.ndarray>A_prev), 0)
    cdef char* z = <char*>cnp.PyArray_DATA(Z)
    cdef char* f = <char*>cnp.PyArray_DATA(A)
    if 2.0 * w.n_rows * a.n_rows * a.n_cols + <double>ROW_COST * w.n_rows <= FLOPS_HELD:
        columns_forward(&job, activation, w.n_rows, a.n_cols, a.n_rows, w.at, a.at, bias.at, z, f)
    else:
        with nogil:
            columns_forward(&job, activation, w.n_rows, a.n_cols, a.n_rows, w.at, a.at, bias.at, z, f)
    return Z, A


cdef void columns_forward(const Job* job, int activation, Py_ssize_t n, Py_ssize_t m, Py_ssize_t n_prev, const char* W,
                          const char* A_prev, const char* b, char* Z, char* A) noexcept nogil:
    cdef unsigned mode = dnn_flush_subnormals()
    cdef double par[DNN_MAX_PAR]
    cdef Py_ssize_t r, c
    if job.kernels.lanes:
        job.kernels.gemm_nn(DNN_EPILOGUE_NONE, n, m, n_prev, W, n_prev, NULL, A_prev, m, NULL, NULL, 0, Z, m, NULL)
    else:
        blas_gemm(job, Z, m, False, W, n_prev, A_prev, m, n, m, n_prev)
    for r in range(n):
        for c in range(m):
            if job.size == 4:
                (<float*>Z)[r * m + c] += (<const float*>b)[r]
            else:
                (<double*>Z)[r * m + c] += (<const double*>b)[r]
    if activation != IDENTITY:
        memset(par, 0, sizeof(par))
        par[0] = dnn_activations[activation].par0
        job.kernels.activate(activation, par, 1, n * m, NULL, Z, n * m, A, n * m)
    dnn_flush_restore(mode)


def elementwise(name, x, out):
    """out = f(x), both (n,), f a name in FUNCTIONS. Subnormal numbers are kept here."""
    cdef ArrayRef source = ArrayRef(x, b"fd")
    cdef ArrayRef written = bind(out, source.n_rows, 1, b"f" if source.size == 4 else b"d", True)
    KERNELS[source.size == 8].map(FUNCTIONS[name], source.n_rows, source.at, written.at)
