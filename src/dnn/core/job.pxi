# The data of a run, part of _core.pyx: what is constant, what belongs to a batch, and what each member of the team owns.
#
#     Setup     constant from the first step to the last. All members point at the same one.
#     Shared    what the members tell each other: the steps to do, whether to stop, the elements of a sparse batch.
#     Job       one per member: its rows of the batch, its place in the optimizer's steps, its scratch memory.
#
# Elements are addressed as bytes, `setup.size` apart, so that one code serves both precisions.


cdef class Run  # core/run.pxi: owns the memory

cdef struct Cost:          # of a batch, before its step
    double loss            # the weighted mean of its losses
    double penalty         # what L2 and L1 add

# A slot holds the rows of one layer: slot 0 the inputs, slot l what layer l gives.
cdef struct Slot:
    DnnMatrix Z            # pre-activations
    DnnMatrix A            # what the next layer reads: activations, after dropout
    DnnMatrix V            # what the slope is computed from: A before dropout, or Z
    DnnMatrix dZ           # gradient of the cost with respect to Z

cdef struct Loss:
    int index              # in the table of losses
    double* par            # its parameters
    void* function         # a custom loss in Python instead of one of the table, or NULL
    bint from_outputs      # computed from the outputs; otherwise from the logits
    const char* Y          # (n_rows, n_outputs), or
    const int64_t* classes # (n_rows,)
    const double* weights  # (n_rows,) or NULL for ones
    double alpha, l1       # penalties on W
    double least_weight    # penalties divide by at least this weight per row of a batch

cdef struct Optimizer:
    int index              # in the table of optimizers
    double hyper[DNN_MAX_HYPER]
    double weight_decay    # W -= rate * weight_decay * W
    double clip_norm       # the largest norm of the whole gradient; 0: no clipping
    double mean_rate       # mean += mean_rate * (params - mean)
    const char* frozen     # (n_ops,), not 0 for layers that are not updated; NULL: none

cdef struct Setup:
    const Op* ops
    const KernelChoice* choices
    int n_ops
    const DnnKernels* kernels
    gemm_t gemm            # of the BLAS
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
    bint copied            # rows are copied side by side for the first layer, not read where they are
    bint sparse
    Csr csr
    # what is minimized, and how
    Loss loss
    Optimizer optimizer
    Py_ssize_t batch_rows  # rows per step
    bint training          # units are dropped where the plan says so
    uint64_t seed          # of the dropout masks
    const uint8_t** masks  # (n_rows, n_in) of each operation's inputs, not 0 where kept; NULL: drawn from the seed
    # results of passes over all rows; NULL where a pass does not produce them
    char* out              # outputs (n_rows, n_outputs)
    double* losses         # (n_rows,)
    DnnMatrix d_out        # (n_rows, n_outputs): gradient with respect to the outputs; NULL: to the logits
    char* dX               # (n_rows, n_inputs)
    char* grad             # (n_params,): the whole gradient, where it is needed before an update
    # the work space that all members share
    char* partial_grads    # (2, N_SHARDS, n_params): see core/step_replicated.pxi
    double* row_sums       # loss of each tile of rows
    double* tile_sums      # of each weight tile: its penalty, and the sum of its squared gradient
    DnnClaim* claims       # one per weight tile, then one per vector of columns

cdef struct Shared:
    DnnTeam* team
    const Job* leader      # member 0's
    void* run              # the Run, where Python is called
    bint stop              # a signal handler or a custom loss has raised: leave at the next barrier
    # the steps to do
    const int64_t* order
    const double* rates
    Cost* costs
    Py_ssize_t first, n_steps
    Py_ssize_t done        # steps that ended with finite values
    double began           # when all members had arrived
    double late            # seconds that the first member waited for the last one to arrive
    Cost cost              # of a pass over all rows
    Entries entries        # of a sparse batch

cdef struct Batch:         # the rows of a step
    const int64_t* order   # row numbers of X; NULL: the rows of X in sequence,
    Py_ssize_t begin       # from this one on
    Py_ssize_t cached_begin, cached_rows  # the rows whose transpose a feature-major step still holds

cdef struct Scratch:       # memory of one member
    char* dA               # gradients of a block of rows
    char* Y_tile           # targets, classes and weights of a tile of rows
    int64_t* classes_tile
    double* w_tile
    char* G                # gradient of a weight tile and its bias; or of all parameters
    char* transposed       # the same, transposed
    char* workspace        # for packed operands of products: DNN_WORKSPACE_BYTES; NULL where nothing is packed
    const void** row_table # a pointer to each row of a batch, where rows are read where they are
    Blocks blocks          # of a sparse X

cdef struct Job:
    const Setup* setup
    Shared* shared
    int me, n_members
    long round             # number of the last round of claims: all members go through the same rounds
    # parameters; members of a replicated step have copies of their own
    char* params           # (n_params,)
    char* state            # (n_slots, n_params)
    char* mean             # (n_params,): running average of the parameters, or NULL
    int64_t step           # updates that the state has seen
    double rate            # learning rate of this step
    double scalars[DNN_MAX_SCALARS]
    bint fresh             # what is derived from the parameters must be derived again
    Slot* slots
    char** Wt              # W' of each operation that keeps it
    Batch batch
    Scratch scratch
    # since Python's signals were last looked at
    double flops_since_poll, last_poll

cdef enum Status:
    GOOD, NOT_FINITE, STOPPED


cdef inline Py_ssize_t n_tiles(const Job* job, Py_ssize_t n_rows) noexcept nogil:
    return (n_rows + job.setup.tile_rows - 1) // job.setup.tile_rows


cdef inline Py_ssize_t share(const Job* job, Py_ssize_t n, int member) noexcept nogil:
    """Where a member's share of n things begins; the next member's begins where it ends."""
    return n * member // job.n_members


cdef inline char* row(const Job* job, DnnMatrix M, Py_ssize_t r) noexcept nogil:
    """Address of row r of a matrix."""
    return <char*>M.at + r * M.ld * job.setup.size


cdef inline DnnMatrix rows_from(const Job* job, DnnMatrix M, Py_ssize_t r) noexcept nogil:
    """A matrix without its first r rows."""
    if M.rows != NULL:
        return DnnMatrix(NULL, 0, M.rows + r, 0)
    return DnnMatrix(<char*>M.at + r * M.ld * job.setup.size, M.ld, NULL, 0)


cdef inline DnnMatrix matrix(const void* at, Py_ssize_t ld) noexcept nogil:
    """Rows that are ld elements apart."""
    return DnnMatrix(<void*>at, ld, NULL, 0)


cdef inline void barrier(const Job* job) noexcept nogil:
    if job.n_members > 1:
        dnn_team_barrier(job.shared.team, job.me)


cdef void begin_rounds(Job* job) noexcept nogil:
    """Called by each member at the start of a run, before a barrier."""
    cdef const Setup* setup = job.setup
    job.round = 0
    if job.me == 0 and setup.n_claims > 0:
        memset(setup.claims, 0, setup.n_claims * sizeof(DnnClaim))


cdef void poll_signals(Job* job, double flops) noexcept nogil:
    """Let Python run its signal handlers every 0.05 s, so that Ctrl-C ends a call. The clock is read only after some
    work, which is counted in flops because counting costs nothing. This is called where a step can be interrupted with
    the parameters intact, and before a barrier."""
    cdef double now
    if job.me > 0:
        return
    job.flops_since_poll += flops
    if job.flops_since_poll < DNN_POLL_FLOPS:
        return
    job.flops_since_poll = 0
    now = dnn_seconds()
    if now - job.last_poll < DNN_POLL_SECONDS:
        return
    job.last_poll = now
    check_signals(job)


cdef void check_signals(Job* job) noexcept with gil:
    """Run the handlers of pending signals. This is a function by itself because Cython takes the GIL at each exit of a
    function that holds a Python object, also where the object was not used."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Run>job.shared.run).raised = error
        job.shared.stop = True


cdef inline bint is_frozen(const Job* job, int i) noexcept nogil:
    """Whether the parameters of a layer are not updated."""
    return job.setup.optimizer.frozen != NULL and job.setup.optimizer.frozen[i]


cdef inline double flops_of(const Job* job, const Op* op) noexcept nogil:
    """Flops of a layer's product for one row."""
    return 2.0 * op.n_out * (job.setup.csr.stored_per_row if job.setup.sparse and op.src == 0 else op.n_in)


cdef double flops_per_row(const Job* job) noexcept nogil:
    """Flops of a forward pass for one row."""
    cdef double flops = 0
    cdef int i
    for i in range(job.setup.n_ops):
        flops += flops_of(job, &job.setup.ops[i])
    return flops


cdef double weight_of(const Job* job, Py_ssize_t n) noexcept nogil:
    """Sum of the sample weights of a batch of n rows; without sample weights, n."""
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
        job.slots[0].A = DnnMatrix(NULL, 0, job.scratch.row_table, 0)
        for r in range(n):
            job.scratch.row_table[r] = setup.X + order[r] * setup.ldx * setup.size
