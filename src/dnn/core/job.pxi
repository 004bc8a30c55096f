# The data of a run, part of _core.pyx:
#
#     Setup     constant from the first step to the last. All members point at the same one.
#     Shared    the data that members exchange: the steps to do, whether to stop, the elements of a sparse batch.
#     Job       one per member: its view of the batch, its parameters and count of updates, its scratch memory.
#
# Elements are addressed as bytes, `setup.size` apart, so that the same code serves both precisions.


cdef class Run  # core/run.pxi: owns the memory

cdef enum:
    PASSES_PER_STEP = 3    # matrix products of a step, in flops of a forward pass: forward, backward, gradient

cdef struct Cost:          # of a batch, before its step
    double loss            # the weighted mean of its losses
    double penalty         # the L2 and L1 penalties

# The rows of one layer: slot 0 is the inputs, slot l the outputs of layer l.
cdef struct Slot:
    DnnMatrix Z            # pre-activations
    DnnMatrix A            # the input of the next layer: activations, after dropout
    DnnMatrix V            # the matrix that the slope is computed from: A before dropout, or Z
    DnnMatrix dZ           # gradient of the cost with respect to Z

cdef struct Loss:
    int index              # in the table of losses
    double* par            # its parameters
    void* function         # a custom loss in Python, instead of a loss of the table; or NULL
    bint from_outputs      # computed from the outputs; otherwise from the logits
    const char* Y          # targets: (n_rows, n_outputs), or
    const int64_t* classes # (n_rows,)
    const double* weights  # (n_rows,); NULL: all are 1
    double alpha, l1       # factors of the penalties on W
    double least_weight    # penalties are divided by at least this weight per row of a batch

cdef struct Optimizer:
    int index              # in the table of optimizers
    double hyper[DNN_MAX_HYPER]
    double weight_decay    # W -= rate * weight_decay * W
    double clip_norm       # the largest norm of the whole gradient; 0: no clipping
    double mean_rate       # mean += mean_rate * (params - mean)
    const char* frozen     # (n_ops,), not 0 for layers that are not updated; NULL: all are updated

cdef struct Setup:
    const Op* ops
    const KernelChoice* choices
    int n_ops
    const DnnKernels* kernels
    gemm_t gemm            # the BLAS routine
    int size               # bytes of an element
    Py_ssize_t n_params
    # the grid: see Layout
    StepKind step_kind
    Py_ssize_t tile_rows, block_rows, n_weight_tiles, n_claims
    int n_columns          # number of first layers whose forward pass members share by columns
    const Tile* tiles
    # the inputs: dense rows, or a sparse matrix
    const char* X
    Py_ssize_t ldx         # elements from one row of X to the next
    Py_ssize_t n_rows      # of X
    bint copied            # the rows of a batch are copied into slot 0; otherwise they are read from X itself
    bint sparse
    Csr csr
    # the objective and the optimizer
    Loss loss
    Optimizer optimizer
    Py_ssize_t batch_rows  # rows per step
    bint propagates        # gradients are propagated back through the layers, which reads W'
    bint training          # units are dropped with the rates of the plan
    uint64_t seed          # of the dropout masks
    const uint8_t** masks  # (n_rows, n_in) for each operation's inputs, not 0 where kept; NULL: drawn from the seed
    # results of passes over all rows; NULL where a pass does not produce them
    char* out              # outputs (n_rows, n_outputs)
    double* losses         # (n_rows,)
    DnnMatrix d_out        # (n_rows, n_outputs): gradient with respect to the outputs; at = NULL: dZ of the last slot
    char* dX               # (n_rows, n_inputs)
    char* grad             # (n_params,): the whole gradient, where it is needed before an update
    bint adds              # the gradient is added to what `grad` holds
    # the work space that all members share
    char* partial_grads    # (2, N_SHARDS, n_params): see core/step_replicated.pxi
    double* row_sums       # (row tiles,): loss of each tile of rows; replicated step: (N_SHARDS, 2)
    double* tile_sums      # (n_weight_tiles, 2): the penalty of each weight tile, and the sum of its squared gradient
    DnnClaim* claims       # one per weight tile, then one per vector of columns

cdef struct Shared:
    DnnTeam* team
    const Job* leader      # the job of member 0
    void* run              # the Run, for code that calls Python
    bint stop              # a signal handler or a custom loss has raised; written by member 0
    bint stop_at[2]        # the value of `stop` when member 0 came to the last barriers: see `barrier`
    # the steps to do
    const int64_t* order   # (epochs, n_rows) row numbers; NULL: the rows in sequence
    const double* rates    # (n_steps,)
    Cost* costs            # (n_steps,)
    Py_ssize_t first       # number of the first step, counted from the first epoch in `order`
    Py_ssize_t n_steps
    Py_ssize_t done        # steps that ended with finite values
    double began           # time when all members had arrived
    double late            # seconds that the first member waited for the last one to arrive
    Cost cost              # of a pass over all rows
    Entries entries        # of a sparse batch

cdef struct Batch:         # the rows of a step
    const int64_t* order   # row numbers of X; NULL: the rows of X in sequence, from row `begin` on
    Py_ssize_t begin
    Py_ssize_t cached_begin, cached_rows  # the rows whose transpose is still in slot 0 of a feature-major step

cdef struct Scratch:       # memory of one member
    char* dA               # gradients with respect to A, for a block of rows
    char* Y_tile           # gathered targets, classes and weights of a tile of rows
    int64_t* classes_tile
    double* w_tile
    char* G                # gradient of a weight tile and of its bias; or of all parameters
    char* transposed       # the transposed gradient of a weight tile
    char* workspace        # DNN_WORKSPACE_BYTES for packed operands of matrix products; NULL: nothing is packed
    const void** row_pointers  # (n_rows,): the address of each row of a batch in X
    Blocks blocks          # of a sparse X

cdef struct Job:
    const Setup* setup
    Shared* shared
    int me, n_members      # the member's number 0, 1, ..., and how many members take part
    long round             # number of the last round of claims: all members go through the same rounds
    unsigned n_barriers    # barriers of this run
    bint stopped           # whether all members leave: the same for all of them after each barrier
    # parameters; each member of a replicated step has its copy
    char* params           # (n_params,)
    char* state            # (n_slots, n_params)
    char* mean             # (n_params,): running average of the parameters, or NULL
    int64_t step           # updates that the state has seen
    double rate            # learning rate of this step
    double scalars[DNN_MAX_SCALARS]
    bint fresh             # the parameters may have changed since the last run: W' and copies must be made again
    Slot* slots
    char** Wt              # W' of each operation that has one
    Batch batch
    Scratch scratch
    double flops_since_poll, last_poll  # since Python's signal handlers last ran; the time when they did

cdef enum Status:
    GOOD, NOT_FINITE, STOPPED


cdef inline Py_ssize_t n_tiles(const Job* job, Py_ssize_t n_rows) noexcept nogil:
    return (n_rows + job.setup.tile_rows - 1) // job.setup.tile_rows


cdef inline Py_ssize_t share(const Job* job, Py_ssize_t n, int member) noexcept nogil:
    """Return where a member's share of 0 .. n begins; it ends where the next member's share begins."""
    return n * member // job.n_members


cdef inline char* row(const Job* job, DnnMatrix M, Py_ssize_t r) noexcept nogil:
    """Return the address of row r of a matrix without row pointers."""
    return <char*>M.at + r * M.ld * job.setup.size


cdef inline DnnMatrix rows_from(const Job* job, DnnMatrix M, Py_ssize_t r) noexcept nogil:
    """Return a matrix without its first r rows."""
    if M.rows != NULL:
        return DnnMatrix(NULL, 0, M.rows + r, 0)
    return DnnMatrix(<char*>M.at + r * M.ld * job.setup.size, M.ld, NULL, 0)


cdef inline DnnMatrix matrix(const void* at, Py_ssize_t ld) noexcept nogil:
    """Return the matrix at an address, with ld elements from one row to the next."""
    return DnnMatrix(<void*>at, ld, NULL, 0)


cdef inline void barrier(Job* job) noexcept nogil:
    """Wait until all members have called this, and set `stopped` to the same value for all of them.

    `stop` itself would not do. Member 0 may go on and set it before a slow member has read it: that member would leave, and
    the others would wait for it at the next barrier forever. Two places suffice, because member 0 writes the first one again
    only after a barrier to which the slow member came after it had read it."""
    if job.n_members == 1:
        job.stopped = job.shared.stop
        return
    job.n_barriers += 1
    if job.me == 0:
        job.shared.stop_at[job.n_barriers % 2] = job.shared.stop
    dnn_team_barrier(job.shared.team, job.me)
    job.stopped = job.shared.stop_at[job.n_barriers % 2]


cdef void begin_rounds(Job* job) noexcept nogil:
    """Reset the counts of rounds and barriers. Each member calls this at the start of a run, before the first barrier."""
    cdef const Setup* setup = job.setup
    job.round, job.n_barriers = 0, 0
    if job.me == 0 and setup.n_claims > 0:
        memset(setup.claims, 0, setup.n_claims * sizeof(DnnClaim))


cdef void poll_signals(Job* job, double flops) noexcept nogil:
    """Let Python run its signal handlers every DNN_POLL_SECONDS, so that Ctrl-C ends a call. `flops` is the work since the
    last call of this function: reading the clock takes longer than counting, and is done only after DNN_POLL_FLOPS. Call
    this where a step can be interrupted with the parameters intact, and before a barrier. Only member 0 polls."""
    if poll_is_due(job, flops):
        check_signals(job)


cdef bint poll_is_due(Job* job, double flops) noexcept nogil:
    """Return whether the time of the next poll has come."""
    cdef double now
    if job.me > 0:
        return False
    job.flops_since_poll += flops
    if job.flops_since_poll < DNN_POLL_FLOPS:
        return False
    job.flops_since_poll = 0
    now = dnn_seconds()
    if now - job.last_poll < DNN_POLL_SECONDS:
        return False
    job.last_poll = now
    return True


cdef void check_signals(Job* job) noexcept with gil:
    """Run the handlers of pending signals. This is a separate function because Cython takes the GIL at each exit of a
    function that has a Python object, even if the object was not used."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Run>job.shared.run).raised = error
        job.shared.stop = True


cdef inline bint is_frozen(const Job* job, int i) noexcept nogil:
    """Return whether the parameters of a layer are not updated."""
    return job.setup.optimizer.frozen != NULL and job.setup.optimizer.frozen[i]


cdef inline double flops_of(const Job* job, const Op* op) noexcept nogil:
    """Return the flops of a layer's matrix product for one row."""
    return 2.0 * op.n_out * (job.setup.csr.stored_per_row if job.setup.sparse and op.src == 0 else op.n_in)


cdef double flops_per_row(const Job* job) noexcept nogil:
    """Return the flops of a forward pass for one row."""
    cdef double flops = 0
    cdef int i
    for i in range(job.setup.n_ops):
        flops += flops_of(job, &job.setup.ops[i])
    return flops


cdef double weight_of(const Job* job, Py_ssize_t n) noexcept nogil:
    """Return the sum of the sample weights of a batch of n rows; n if there are none."""
    cdef const double* weights = job.setup.loss.weights
    cdef double total = 0
    cdef Py_ssize_t r
    if weights == NULL:
        return n
    for r in range(n):
        total += weights[job.batch.begin + r if job.batch.order == NULL else job.batch.order[r]]
    return total


cdef void set_batch_rows(Job* job, Py_ssize_t begin) noexcept nogil:
    """Read the rows of X in sequence, from row `begin` on."""
    cdef const Setup* setup = job.setup
    job.batch.begin = begin
    if not setup.copied and not setup.sparse:
        job.slots[0].A = matrix(setup.X + begin * setup.ldx * setup.size, setup.ldx)


cdef void set_batch_order(Job* job, const int64_t* order, Py_ssize_t n) noexcept nogil:
    """Read the n rows of X whose numbers are given."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t r
    job.batch.order = order
    if not setup.copied and not setup.sparse:
        job.slots[0].A = DnnMatrix(NULL, 0, job.scratch.row_pointers, 0)
        for r in range(n):
            job.scratch.row_pointers[r] = setup.X + order[r] * setup.ldx * setup.size
