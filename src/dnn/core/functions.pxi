# Functions on arrays that Python calls, part of _core.pyx: aligned arrays, one update, a check for finite values, the layer
# used in the course, element-wise functions.


def aligned_bytes(Py_ssize_t n_bytes):
    """Return an array of n_bytes bytes that begins on a cache line, so that its rows are read and written faster."""
    cdef cnp.npy_intp n = n_bytes + LINE
    cdef cnp.ndarray block = cnp.PyArray_EMPTY(1, &n, cnp.NPY_UBYTE, 0)
    cdef char* at = <char*>cnp.PyArray_DATA(block)
    cdef Py_ssize_t skip = next_line(at) - at
    return block[skip:skip + n_bytes]


def zeros(shape, dtype):
    """Return an array of zeros that begins on a cache line. NumPy's large arrays begin 16 bytes after the start of a
    line, so that each vector of weights crosses two lines: an epoch of 784-512-512-10 took an eighth longer (AVX2)."""
    dtype = np.dtype(dtype)
    cdef Py_ssize_t n_bytes = dtype.itemsize
    for n in shape:
        n_bytes *= n
    array = aligned_bytes(n_bytes).view(dtype).reshape(shape)
    array.fill(0)
    return array


def update(Plan plan, params, grad, optimizer, double rate, int64_t step):
    """Perform update number `step` (1, 2, ...) of params (P,) with the gradient grad (P,), in place. optimizer:
    OptimizerArgs, whose clipping and running average are not used here."""
    cdef ArrayRef p = ArrayRef(params, b"fd", True), g, s, f
    cdef bytes format = b"f" if p.size == 4 else b"d"
    cdef Job job
    cdef Setup setup
    memset(&job, 0, sizeof(Job))
    memset(&setup, 0, sizeof(Setup))
    job.setup = &setup
    setup.ops, setup.n_ops, setup.n_params, setup.size = plan.ops, plan.n_ops, plan.n_params, p.size
    setup.kernels = KERNELS[p.size == 8]
    if p.n_rows != plan.n_params or p.n_cols != 1:
        raise ValueError(f"params must have shape ({plan.n_params},), got ({p.n_rows}, {p.n_cols})")
    g = bind(grad, plan.n_params, 1, format)
    job.params, setup.grad, job.rate = p.at, g.at, rate
    set_hyper(&setup.optimizer, optimizer)
    if dnn_optimizers[setup.optimizer.index].n_slots:
        s = bind(optimizer.state, dnn_optimizers[setup.optimizer.index].n_slots, plan.n_params, format, True)
        job.state = s.at
    if optimizer.frozen is not None:
        f = bind(optimizer.frozen, plan.n_ops, 1, b"B")
        setup.optimizer.frozen = f.at
    dnn_scalars(setup.optimizer.index, setup.optimizer.hyper, rate, step, job.scalars)
    if plan.n_params <= DNN_VALUES_HELD:
        update_all(&job)
    else:
        with nogil:
            update_all(&job)


cdef void update_all(const Job* job) noexcept nogil:
    """Update all parameters that are not frozen."""
    cdef const Setup* setup = job.setup
    cdef const Op* op
    cdef int i
    cdef unsigned mode = dnn_flush_subnormals()
    for i in range(setup.n_ops):
        op = &setup.ops[i]
        if not is_frozen(job, i):
            update_part(job, op, op.W, 1, op.b - op.W, op.b - op.W, setup.grad + op.W * setup.size, op.b - op.W)
            update_part(job, op, op.b, 1, op.n_out, op.n_out, setup.grad + op.b * setup.size, op.n_out)
    dnn_flush_restore(mode)


def average(params, other, double rate):
    """params += rate (other - params) for two vectors (P,), in place; with a rate of 1 a copy."""
    cdef ArrayRef p = ArrayRef(params, b"fd", True)
    cdef ArrayRef q = bind(other, p.n_rows, 1, b"f" if p.size == 4 else b"d")
    cdef const DnnKernels* kernels = KERNELS[p.size == 8]
    if p.n_cols != 1 or p.at == q.at:
        raise ValueError("two vectors in different memory are expected")
    if p.n_rows <= DNN_VALUES_HELD:
        average_all(kernels, p.n_rows, rate, q.at, p.at)
    else:
        with nogil:
            average_all(kernels, p.n_rows, rate, q.at, p.at)


cdef void average_all(const DnnKernels* kernels, Py_ssize_t n, double rate, const char* other, char* params) noexcept nogil:
    cdef unsigned mode = dnn_flush_subnormals()
    if rate == 1:
        memcpy(params, other, n * kernels.size)
    else:
        kernels.average(n, rate, other, params)
    dnn_flush_restore(mode)


def all_finite(array):
    """Return whether every element of a float array is finite."""
    cdef ArrayRef x = ArrayRef(array, b"fd")
    cdef const DnnKernels* kernels = KERNELS[x.size == 8]
    cdef bint finite
    if x.n_rows * x.n_cols <= DNN_VALUES_HELD:
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
    """Return Z = W A_prev + b and A = f(Z), both (n, m), for A_prev (n_prev, m), W (n, n_prev) and b (n, 1). Examples are in
    columns, all arrays are C-contiguous and of one dtype, and f is an element-wise activation of the table. One thread
    computes this, without transposing a matrix."""
    cdef ArrayRef a = ArrayRef(A_prev, b"fd")
    cdef bytes format = b"f" if a.size == 4 else b"d"
    cdef ArrayRef w = bind(W, -1, a.n_rows, format), bias = bind(b, w.n_rows, 1, format)
    cdef cnp.npy_intp shape[2]
    cdef cnp.ndarray Z, A
    cdef int activation = ACTIVATIONS[name].index
    cdef Job job
    cdef Setup setup
    if a.ld != a.n_cols or dnn_activations[activation].row_wise:
        raise ValueError("A_prev must be contiguous, and the activation element-wise")
    memset(&job, 0, sizeof(Job))
    memset(&setup, 0, sizeof(Setup))
    job.setup = &setup
    setup.size, setup.kernels = a.size, KERNELS[a.size == 8]
    if not setup.kernels.lanes:
        load_blas()
        setup.gemm = GEMM[a.size == 8]
        check_blas_memory(&job, 1)
    shape[0], shape[1] = w.n_rows, a.n_cols
    Z = A = cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(<cnp.ndarray>A_prev), 0)
    if activation != IDENTITY:
        A = cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(<cnp.ndarray>A_prev), 0)
    cdef char* z = <char*>cnp.PyArray_DATA(Z)
    cdef char* f = <char*>cnp.PyArray_DATA(A)
    if 2.0 * w.n_rows * a.n_rows * a.n_cols + <double>DNN_ROW_COST * w.n_rows <= DNN_FLOPS_HELD:
        columns_forward(&job, activation, w.n_rows, a.n_cols, a.n_rows, w.at, a.at, bias.at, z, f)
    else:
        with nogil:
            columns_forward(&job, activation, w.n_rows, a.n_cols, a.n_rows, w.at, a.at, bias.at, z, f)
    return Z, A


cdef void columns_forward(const Job* job, int activation, Py_ssize_t n, Py_ssize_t m, Py_ssize_t n_prev, const char* W,
                          const char* A_prev, const char* b, char* Z, char* A) noexcept nogil:
    cdef const Setup* setup = job.setup
    cdef DnnMatrix left = matrix(W, n_prev), right = matrix(A_prev, m), C = matrix(Z, m)
    cdef DnnEpilogue epilogue
    cdef unsigned mode = dnn_flush_subnormals()
    cdef double par[DNN_MAX_PAR]
    cdef Py_ssize_t r, c
    if setup.kernels.lanes:
        epilogue.kind, epilogue.bias = DNN_EPILOGUE_NONE, NULL
        setup.kernels.gemm_nn(n, m, n_prev, &left, &right, &C, &epilogue, NULL)
    else:
        blas_gemm(job, Z, m, False, W, n_prev, A_prev, m, n, m, n_prev)
    for r in range(n):
        for c in range(m):
            if setup.size == 4:
                (<float*>Z)[r * m + c] += (<const float*>b)[r]
            else:
                (<double*>Z)[r * m + c] += (<const double*>b)[r]
    if activation != IDENTITY:
        memset(par, 0, sizeof(par))
        par[0] = dnn_activations[activation].par0
        setup.kernels.activate(activation, par, 1, n * m, NULL, Z, n * m, A, n * m)
    dnn_flush_restore(mode)


def elementwise(name, x, out):
    """Write f(x) (n,) to out (n,), where f is a name in FUNCTIONS. Subnormal values stay subnormal here, unlike in
    networks."""
    cdef ArrayRef source = ArrayRef(x, b"fd")
    cdef ArrayRef target = bind(out, source.n_rows, 1, b"f" if source.size == 4 else b"d", True)
    KERNELS[source.size == 8].map(FUNCTIONS[name], source.n_rows, source.at, target.at)
