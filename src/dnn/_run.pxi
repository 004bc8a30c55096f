# What Python calls, part of _core.pyx: arrays bound to a Job, a pass over rows, a training.

cdef bytes INT64 = b"lq"
cdef bytes NATIVE = b"@=<" if sys.byteorder == "little" else b"@=>"


cdef class Bound:
    """An array whose memory a job points at: rows of equal length, the numbers of a row contiguous."""

    cdef object array  # keeps the memory where it is
    cdef char* at
    cdef Py_ssize_t n_rows, n_cols, ld
    cdef int size

    def __cinit__(self, array, bytes formats, bint writable=False):
        cdef Py_buffer view
        PyObject_GetBuffer(array, &view, PyBUF_FORMAT | PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
        try:
            # One letter, behind a mark of the native byte order or none; int64 is "l" or "q" by platform, and
            # either must have 8 bytes
            letter = (<bytes>view.format).lstrip(NATIVE)
            if len(letter) != 1 or letter not in formats or not 1 <= view.ndim <= 2 \
                    or (formats == INT64 and view.itemsize != 8):
                raise TypeError(f"an array of {formats!r} with 1 or 2 axes is wanted, got {view.format!r}")
            self.array, self.at, self.size = array, <char*>view.buf, view.itemsize
            self.n_rows = view.shape[0]
            self.n_cols = view.shape[1] if view.ndim == 2 else 1
            self.ld = view.strides[0] // view.itemsize if self.n_rows > 1 else self.n_cols
            if <uintptr_t>view.buf % view.itemsize or self.ld < self.n_cols \
                    or (self.n_rows > 1 and view.strides[0] % view.itemsize) \
                    or (view.ndim == 1 and self.ld != 1) \
                    or (view.ndim == 2 and self.n_cols > 1 and view.strides[1] != view.itemsize):
                raise ValueError("rows must be aligned, and their numbers contiguous")
        finally:
            PyBuffer_Release(&view)


cdef Bound bind(array, Py_ssize_t n_rows, Py_ssize_t n_cols, bytes formats, bint writable=False):
    """A contiguous array of a certain shape; n_rows = -1: any number."""
    cdef Bound bound = Bound(array, formats, writable)
    if (n_rows >= 0 and bound.n_rows != n_rows) or bound.n_cols != n_cols or bound.ld != n_cols:
        raise ValueError(f"a contiguous array ({n_rows}, {n_cols}) is wanted, "
                         f"got ({bound.n_rows}, {bound.n_cols})")
    return bound


cdef class Run:
    """A Job with the memory that it owns and the arrays that it points at.

    Run(plan, schedule, params) is what every pass needs; the methods add what each kind wants.
    """

    cdef Job job
    cdef Plan plan
    cdef Schedule schedule
    cdef list bound
    cdef bytes format  # of a number of the job's precision
    cdef char* memory
    cdef const uint8_t** masks

    def __cinit__(self, Plan plan, Schedule schedule, params, bint writable=False):
        cdef Job* job = &self.job
        self.plan, self.schedule = plan, schedule
        self.bound = []
        self.format = b"f" if schedule.size == 4 else b"d"
        job.ops, job.n_ops, job.n_params = plan.ops, plan.n_ops, plan.n_params
        job.size = schedule.size
        job.kernels = KERNELS[job.size == 8]
        job.gemm = GEMM[job.size == 8]
        job.tile_rows, job.tiles, job.n_weight_tiles = schedule.tile_rows, schedule.tiles, schedule.n_weight_tiles
        job.params = self.bind(params, plan.n_params, 1, writable)
        job.outputs = True
        job.heard = dnn_seconds()
        job.slots = <Slot*>calloc(plan.n_ops + 1, sizeof(Slot))
        job.Wt = <char**>calloc(max(plan.n_ops, 1), sizeof(char*))
        self.masks = <const uint8_t**>calloc(max(plan.n_ops, 1), sizeof(uint8_t*))
        self.memory = <char*>malloc(schedule.work + LINE)
        if job.slots == NULL or job.Wt == NULL or self.masks == NULL or self.memory == NULL:
            raise MemoryError(f"no memory for a work space of {schedule.work} bytes")
        self.aim(self.memory + (LINE - <uintptr_t>self.memory % LINE) % LINE)

    def __dealloc__(self):
        free(self.job.slots)
        free(self.job.Wt)
        free(self.job.loss_par)
        free(self.masks)
        free(self.memory)

    cdef char* bind(self, array, Py_ssize_t n_rows, Py_ssize_t n_cols, bint writable=False,
                    formats=None) except NULL:
        bound = bind(array, n_rows, n_cols, formats or self.format, writable)
        self.bound.append(bound)
        return (<Bound>bound).at

    cdef void aim(self, char* work):
        """Point into the work space; Z and A that are kept for the caller are aimed at by `keep`."""
        cdef Job* job = &self.job
        cdef Schedule schedule = self.schedule
        cdef Place* place
        cdef int i
        for i in range(job.n_ops + 1):
            place = &schedule.places[i]
            if schedule.purpose in (PREDICT, TRAIN):
                self.aim_slot(i, work)
            if place.dZ >= 0:
                job.slots[i].dZ = Matrix(work + place.dZ, place.ld)
        for i in range(job.n_ops):
            job.Wt[i] = work + schedule.Wt[i]
        job.G = work + schedule.G
        job.tile_sums = <double*>(work + schedule.tile_sums)
        job.row_sums = <double*>(work + schedule.row_sums)
        job.grad = work + schedule.grad if schedule.grad >= 0 else NULL
        job.dA = work + schedule.dA
        job.Y_tile = work + schedule.Y
        job.classes_tile = <int64_t*>(work + schedule.classes)
        job.w_tile = <double*>(work + schedule.w)

    cdef void aim_slot(self, int i, char* block):
        cdef Place* place = &self.schedule.places[i]
        cdef Slot* slot = &self.job.slots[i]
        if place.A >= 0:
            slot.A = Matrix(block + place.A, place.ld)
            self.job.copied = self.job.copied or i == 0
        if place.Z >= 0:
            slot.Z = Matrix(block + place.Z, place.ld)
        if place.V >= 0:
            slot.V = Matrix(block + place.V, place.ld)

    cdef void drop(self, uint64_t seed, masks):
        """Drop numbers in training: masks of each operation's inputs, None for drawn ones."""
        self.job.training, self.job.seed = True, seed
        if masks is not None:
            self.job.masks = self.masks
            for i, mask in enumerate(masks):
                if mask is not None:
                    self.masks[i] = <uint8_t*>self.bind(mask, self.job.n_rows, self.plan.ops[i].n_in, False, b"B")

    cdef void read(self, X):
        """The rows that are read: X (N, I)."""
        cdef Bound bound = Bound(X, self.format)
        if bound.n_cols != self.plan.n_inputs:
            raise ValueError(f"X must have {self.plan.n_inputs} columns, got {bound.n_cols}")
        self.bound.append(bound)
        self.job.X, self.job.ldx, self.job.n_rows = bound.at, bound.ld, bound.n_rows
        aim_at_rows(&self.job, 0)

    cdef void keep(self, kept):
        """Aim at Z and A in the caller's block, which begins on a line of the cache."""
        cdef char* at = self.bind(kept, self.schedule.kept, 1, True, b"B")
        cdef int i
        for i in range(self.job.n_ops + 1):
            self.aim_slot(i, at)

    cdef void want(self, int loss, par, Y, classes, weights, python_loss):
        """The loss, its targets Y (N, O) or classes (N,), and the weights (N,) of the rows."""
        cdef Job* job = &self.job
        job.loss = loss
        if python_loss is not None:
            self.bound.append(python_loss)
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


ctypedef void (*tile_t)(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil

cdef void predict_tile(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """The work space holds the rows of one tile; the outputs go to their place at once."""
    cdef Py_ssize_t n_out = job.ops[job.n_ops - 1].n_out
    cdef Slot* last = &job.slots[job.n_ops]
    aim_at_rows(job, r)
    last.Z = last.A = last.V = Matrix(job.out + r * n_out * job.size, n_out)
    forward_tile(job, 0, n)

cdef void losses_tile(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    aim_at_rows(job, r)
    forward_tile(job, 0, n)
    loss_tile(job, 0, n, 1, False, job.losses + r)

cdef void cache_tile(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    read_tile(job, r, n)
    forward_tile(job, r, n)

cdef void product_tile(Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """The rows of a vector-Jacobian product."""
    if job.d_out.at != NULL:
        slope_tile(job, &job.ops[job.n_ops - 1], r, n, row(job, job.d_out, r), job.d_out.ld)
    backward_tile(job, r, n)

cdef int over_rows(Job* job, tile_t tile) except -1 nogil:
    """Do something with all rows of X, tile by tile."""
    cdef Py_ssize_t t, r, n
    cdef double flops = flops_a_row(job)
    for t in range(n_tiles(job, job.n_rows)):
        r = t * job.tile_rows
        n = min(job.tile_rows, job.n_rows - r)
        tile(job, r, n)
        listen(job, flops * n)
    return 0


def predict(Plan plan, params, X, out, bint scores=False):
    """Outputs of each row of X (N, I), or with `scores` the last Z, written to out (N, O)."""
    cdef Run run = predicting(plan, params, X)
    cdef unsigned mode
    run.job.outputs = not scores
    run.job.out = run.bind(out, run.job.n_rows, plan.n_outputs, True)
    with nogil:
        mode = dnn_flush_subnormals()
        try:
            over_rows(&run.job, predict_tile)
        finally:
            dnn_flush_restore(mode)


def losses(Plan plan, params, X, int loss, par, Y, classes, out):
    """The loss of each row of X (N, I) without penalties, written to out (N,), float64."""
    cdef Run run = predicting(plan, params, X)
    cdef unsigned mode
    run.want(loss, par, Y, classes, None, None)
    run.job.losses = <double*>run.bind(out, run.job.n_rows, 1, True, b"d")
    with nogil:
        mode = dnn_flush_subnormals()
        try:
            over_rows(&run.job, losses_tile)
        finally:
            dnn_flush_restore(mode)


cdef Run predicting(Plan plan, params, X):
    """A run over the rows of X (N, I) that keeps no more of them than a tile."""
    cdef Bound rows = Bound(X, b"fd")
    cdef Run run = Run(plan, plan.schedule(rows.size, min(rows.n_rows, 4096), PREDICT), params)
    run.read(X)
    return run


def cache_schedule(Plan plan, int size, Py_ssize_t n_rows, bint training=False):
    """The schedule of a forward pass over n_rows rows that keeps Z and A; in training, before dropout too."""
    return plan.schedule(size, n_rows, DROPPED if training and plan.dropout else CACHE)


cdef Run caching(Plan plan, Schedule schedule, params, X, kept, seed, masks):
    """A run over the rows of X (N, I) whose Z and A stand in the block `kept`."""
    cdef Run run = Run(plan, schedule, params)
    run.read(X)
    if schedule.purpose == DROPPED:
        run.drop(seed, masks)
    if run.job.n_rows > schedule.n_rows:
        raise ValueError(f"the schedule is for {schedule.n_rows} rows, got {run.job.n_rows}")
    run.keep(kept)
    return run


def forward(Plan plan, Schedule schedule, params, X, kept, seed, masks):
    """Z and A of every layer for each row of X (N, I), written to the block `kept`.

    With a schedule for training, dropout: masks, for each layer's inputs (N, n_in) uint8 or None, or None for
    masks drawn from the seed.
    """
    cdef Run run = caching(plan, schedule, params, X, kept, seed, masks)
    cdef unsigned mode
    with nogil:
        mode = dnn_flush_subnormals()
        try:
            over_rows(&run.job, cache_tile)
        finally:
            dnn_flush_restore(mode)


def backward(Plan plan, Schedule schedule, params, X, kept, seed, masks, d_out, bint scores, grad, dX):
    """The vector-Jacobian product of a forward pass: grad (P,) and dX (N, I), each where it is not None.

    d_out (N, O): with respect to the outputs, or, with `scores`, to the last Z.
    """
    cdef Run run = caching(plan, schedule, params, X, kept, seed, masks)
    cdef Job* job = &run.job
    cdef double cost = 0
    cdef unsigned mode
    cdef Matrix d = Matrix(run.bind(d_out, job.n_rows, plan.n_outputs), plan.n_outputs)
    if scores:
        job.slots[job.n_ops].dZ = d  # only read from here on
    else:
        job.d_out = d
    if grad is not None:
        job.grad = run.bind(grad, plan.n_params, 1, True)
    if dX is not None:
        job.dX = run.bind(dX, job.n_rows, plan.n_inputs, True)
    with nogil:
        mode = dnn_flush_subnormals()
        try:
            transpose_weights(job)
            over_rows(job, product_tile)
            if job.grad != NULL:
                weights_phase(job, job.n_rows, 1, &cost)
        finally:
            dnn_flush_restore(mode)


def cost_and_gradient(Plan plan, params, X, int loss, par, Y, classes, weights, python_loss,
                      double alpha, double l1, grad):
    """Cost of all rows of X (N, I), penalties included; its gradient is written to grad (P,). No dropout."""
    cdef Bound rows = Bound(X, b"fd")
    cdef bint outputs = of_outputs(plan, loss, python_loss)
    cdef Run run = Run(plan, Schedule(plan, rows.size, rows.n_rows, TRAIN, outputs=outputs), params)
    cdef Job* job = &run.job
    cdef double cost = 0, total
    cdef unsigned mode
    run.read(X)
    run.want(loss, par, Y, classes, weights, python_loss)
    job.alpha, job.l1 = alpha, l1
    job.grad = run.bind(grad, plan.n_params, 1, True)
    with nogil:
        mode = dnn_flush_subnormals()
        try:
            total = weight_of(job, job.n_rows)
            rows_phase(job, job.n_rows, total, &cost)
            weights_phase(job, job.n_rows, total, &cost)
        finally:
            dnn_flush_restore(mode)
    return cost


cdef bint of_outputs(Plan plan, int loss, python_loss):
    """Whether a loss is computed from the outputs, and not from the scores."""
    return python_loss is None and dnn_losses[loss].output[0] == 0 \
        and plan.ops[plan.n_ops - 1].activation != IDENTITY


cdef class Trainer:
    """A network in training. `steps` may be called as often as wanted: where calls end changes no bit.

    params (P,) and state (slots, P) are trained in place; step: updates that the state has seen. X (N, I), Y
    (N, O) or classes (N,), weights (N,) float64 or None; batch: rows a step. python_loss(rows, scores), if not
    None: turns the scores (n, O) of these rows of X into their gradient, in place, and returns the sum of the
    weighted losses. mean (P,), or None: becomes the running average of the parameters. frozen (n_ops,) uint8, or
    None. seed: of dropout.
    """

    cdef Run run

    def __cinit__(self, Plan plan, Schedule schedule, params, X, *, int loss, par, Y, classes, weights, python_loss,
                  double alpha, double l1, Py_ssize_t batch, int optimizer, hyper, double weight_decay,
                  double clip_norm, state, int64_t step, mean, double mean_rate, frozen, uint64_t seed):
        self.run = Run(plan, schedule, params, True)
        cdef Job* job = &self.run.job
        self.run.read(X)
        if not 1 <= batch <= schedule.n_rows:
            raise ValueError(f"batch must be in 1 .. {schedule.n_rows}, got {batch}")
        if clip_norm > 0 and job.grad == NULL:
            raise ValueError("clip_norm must have a schedule of two sweeps")
        self.run.want(loss, par, Y, classes, weights, python_loss)
        job.alpha, job.l1, job.batch, job.optimizer, job.step = alpha, l1, batch, optimizer, step
        job.weight_decay, job.clip_norm, job.mean_rate = weight_decay, clip_norm, mean_rate
        for i, value in enumerate(hyper):
            job.hyper[i] = value
        if dnn_optimizers[optimizer].n_slots:
            job.state = self.run.bind(state, dnn_optimizers[optimizer].n_slots, plan.n_params, True)
        if mean is not None:
            job.mean = self.run.bind(mean, plan.n_params, 1, True)
        if frozen is not None:
            job.frozen = self.run.bind(frozen, plan.n_ops, 1, False, b"B")
        if job.grad != NULL:  # that of frozen layers stays 0
            memset(job.grad, 0, plan.n_params * job.size)
        if plan.dropout:
            self.run.drop(seed, None)

    @property
    def step(self):
        """Updates that the state has seen."""
        return self.run.job.step

    @step.setter
    def step(self, int64_t value):
        self.run.job.step = value

    def steps(self, order, rates, costs, Py_ssize_t first):
        """Do len(rates) steps; the cost of each, before its update, is written to costs. Returns how many
        were done: fewer than asked for where a loss was not finite, whose cost is then the last written.

        order (epochs, N): rows of X in the order of each epoch, None for as they stand; the first step is
        batch number `first` of the first of these epochs.
        """
        cdef Job* job = &self.run.job
        cdef Bound r = bind(rates, -1, 1, b"d"), c = bind(costs, -1, 1, b"d", True), o
        cdef const int64_t* rows = NULL
        cdef Py_ssize_t a_epoch = (job.n_rows + job.batch - 1) // job.batch
        cdef Py_ssize_t done = 0, n_steps = r.n_rows, i
        cdef unsigned mode
        if c.n_rows < n_steps:
            raise ValueError(f"costs must have {n_steps} rows or more, got {c.n_rows}")
        if (order is not None) != self.run.schedule.gather:
            raise ValueError("order must be given where rows are gathered, and only there")
        if order is not None:
            o = bind(order, -1, job.n_rows, INT64)
            if o.n_rows * a_epoch < first + n_steps:
                raise ValueError(f"order must cover {first + n_steps} batches")
            rows = <const int64_t*>o.at
            for i in range(o.n_rows * o.n_cols):
                if not 0 <= rows[i] < job.n_rows:
                    raise ValueError(f"order must hold row numbers in 0 .. {job.n_rows - 1}, got {rows[i]}")
        cdef double* written = <double*>c.at
        cdef const double* rate = <const double*>r.at
        with nogil:
            mode = dnn_flush_subnormals()
            try:
                done = run_steps(job, rows, rate, written, first, n_steps)
            finally:
                dnn_flush_restore(mode)
        return done


def train_schedule(Plan plan, int size, Py_ssize_t batch, bint gather, int loss, python_loss, int optimizer,
                   two_sweeps=None):
    """The schedule of a training. two_sweeps: None lets it decide."""
    cdef double flops = 2.0 * plan.n_params * batch
    if dnn_optimizers[optimizer].whole_gradient:
        two_sweeps = True
    elif two_sweeps is None:
        # An update that has begun must be ended: one that may take 0.05 s is not begun before it is sure
        two_sweeps = flops > 1e9
    return Schedule(plan, size, batch, TRAIN, gather=gather, outputs=of_outputs(plan, loss, python_loss),
                    gradient=two_sweeps, dropout=True)


def update(Plan plan, params, grad, state, int optimizer, hyper, double weight_decay, double rate, int64_t step,
           frozen):
    """Update number `step` (1, 2, ...) of params (P,) by grad (P,); state (slots, P) in place."""
    cdef Bound p = Bound(params, b"fd", True), g, s, f
    cdef bytes format = b"f" if p.size == 4 else b"d"
    cdef Job job
    cdef unsigned mode
    memset(&job, 0, sizeof(Job))
    job.ops, job.n_ops, job.n_params, job.size = plan.ops, plan.n_ops, plan.n_params, p.size
    job.kernels = KERNELS[p.size == 8]
    if p.n_rows != plan.n_params or p.n_cols != 1:
        raise ValueError(f"params must have shape ({plan.n_params},), got ({p.n_rows}, {p.n_cols})")
    g = bind(grad, plan.n_params, 1, format)
    job.params, job.grad = p.at, g.at
    job.optimizer, job.rate, job.weight_decay = optimizer, rate, weight_decay
    for i, value in enumerate(hyper):
        job.hyper[i] = value
    if dnn_optimizers[optimizer].n_slots:
        s = bind(state, dnn_optimizers[optimizer].n_slots, plan.n_params, format, True)
        job.state = s.at
    if frozen is not None:
        f = bind(frozen, plan.n_ops, 1, b"B")
        job.frozen = f.at
    with nogil:
        mode = dnn_flush_subnormals()
        dnn_scalars(optimizer, job.hyper, rate, step, job.scalars)
        update_phase(&job)
        dnn_flush_restore(mode)


def all_finite(array):
    """True if every number of an array of floats is finite."""
    cdef Bound x = Bound(array, b"fd")
    cdef int finite
    cdef Py_ssize_t r
    with nogil:
        finite = 1
        if x.ld == x.n_cols:
            finite = KERNELS[x.size == 8].all_finite(x.n_rows * x.n_cols, x.at)
        else:
            for r in range(x.n_rows):
                finite = finite and KERNELS[x.size == 8].all_finite(x.n_cols, x.at + r * x.ld * x.size)
    return bool(finite)


def elementwise(name, x, out):
    """out = f(x), both (n,), f a name in FUNCTIONS. Subnormal numbers are kept here."""
    cdef Bound source = Bound(x, b"fd")
    cdef Bound written = bind(out, source.n_rows, 1, b"f" if source.size == 4 else b"d", True)
    KERNELS[source.size == 8].map(FUNCTIONS[name], source.n_rows, source.at, written.at)
