# The forward pass over rows, part of _core.pyx: products, bias, activation, dropout, and the loss of the last layer.


cdef void blas_gemm(const Job* job, char* C, Py_ssize_t ldc, bint transposed, const char* A, Py_ssize_t lda,
                    const char* B, Py_ssize_t ldb, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K) noexcept nogil:
    """C (M, N) = A (M, K) B (K, N) by BLAS; with `transposed`, A is given as (K, M). All in C order.

    BLAS expects Fortran order: it computes C' = B' A'. OpenBLAS starts threads for products above CALL_LIMIT. Such a product
    is therefore cut into calls below the limit. The cuts, and with them the order of the additions, depend on the shape
    alone. An example with a limit of 1e6 multiply-adds: M, N, K = 128, 100, 784 is cut into calls of at most 65 rows, 64
    columns and 196 summands, in this order:

        for rows 0 - 64, then 65 - 127:    for columns 0 - 63, then 64 - 99:    for k = 0 - 195, ..., 588 - 783:    C += A B
    """
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t m, n, k, rows = M, columns = N, depth = K
    # rows, columns and summands of a call, and the leading dimensions, as BLAS reads them
    cdef int64_t bm, bn, bk, la = lda, lb = ldb, lc = ldc
    cdef float one_s = 1, zero_s = 0
    cdef double one_d = 1, zero_d = 0
    cdef void* one = <void*>&one_s if setup.size == 4 else <void*>&one_d
    cdef void* zero = <void*>&zero_s if setup.size == 4 else <void*>&zero_d
    cdef char* plain = "N"
    cdef char* trans = "T"
    if <double>M * N * K > CALL_LIMIT:
        columns = min(N, DNN_CALL_COLUMNS)
        depth = min(K, DNN_CALL_DEPTH, max(DNN_CALL_MIN, <Py_ssize_t>(CALL_LIMIT / (columns * min(M, DNN_CALL_ROWS)))))
        rows = min(M, max(DNN_CALL_MIN, <Py_ssize_t>(CALL_LIMIT / (columns * depth))))
        if K > depth:  # as many pieces, of equal depth
            depth = (K + (K + depth - 1) // depth - 1) // ((K + depth - 1) // depth)
    m = 0
    while m < M:
        bm = min(rows, M - m)
        n = 0
        while n < N:
            bn = min(columns, N - n)
            k = 0
            while True:  # once even for K = 0: the gradient of no rows is 0
                bk = min(depth, K - k)
                setup.gemm(plain, trans if transposed else plain, &bn, &bm, &bk, one,
                         B + (k * ldb + n) * setup.size, &lb,
                         A + ((k * lda + m) if transposed else (m * lda + k)) * setup.size, &la,
                         one if k else zero, C + (m * ldc + n) * setup.size, &lc)
                k += depth
                if k >= K:
                    break
            n += columns
        m += rows


cdef inline bint drops(const Job* job, int slot) noexcept nogil:
    """Return whether units of a slot are dropped before the next layer reads it."""
    cdef const Setup* setup = job.setup
    return setup.training and slot < setup.n_ops and setup.ops[slot].dropout > 0


cdef void drop(const Job* job, int slot, Py_ssize_t r, Py_ssize_t n, const char* A, Py_ssize_t lda,
               char* D, Py_ssize_t ldd) noexcept nogil:
    """Write rows r .. r + n of a slot to D, after dropout: of its activations, or of their gradient, with the same mask."""
    cdef const Setup* setup = job.setup
    cdef const Op* op = &setup.ops[slot]
    cdef const uint8_t* masks = NULL
    if setup.masks != NULL and setup.masks[slot] != NULL:
        masks = setup.masks[slot] + r * op.n_in
    setup.kernels.dropout(n, op.n_in, masks, op.n_in, dnn_key(setup.seed, job.step, slot), r, op.dropout,
                          A, lda, D, ldd)


cdef void read_block(const Job* job, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Copy rows r .. r + n of a batch to slot 0, after dropout, unless the first layer reads them from X."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t n_in = setup.ops[0].n_in
    cdef DnnMatrix A = job.slots[0].A
    cdef char* copy
    if not setup.copied:
        return
    copy = row(job, A, r)
    if job.batch.order != NULL:
        dnn_gather(n, n_in * setup.size, setup.X, setup.ldx * setup.size, job.batch.order + r, copy, A.ld * setup.size)
        if drops(job, 0):
            drop(job, 0, r, n, copy, A.ld, copy, A.ld)
    elif drops(job, 0):
        drop(job, 0, r, n, setup.X + (job.batch.begin + r) * setup.ldx * setup.size, setup.ldx, copy, A.ld)


cdef void forward_layer(const Job* job, int i, Py_ssize_t r, Py_ssize_t n, Py_ssize_t o0, Py_ssize_t o1) noexcept nogil:
    """Compute rows r .. r + n and columns o0 .. o1 of layer i: Z = A_prev W + b, A = f(Z), dropout. The columns are all
    columns of the layer, except where members share it by columns."""
    cdef const Setup* setup = job.setup
    cdef const Op* op = &setup.ops[i]
    cdef int size = setup.size
    cdef Slot* dst = &job.slots[op.dst]
    # f(Z) is written to this matrix; dropout then reads it and writes A
    cdef DnnMatrix* f = &dst.A if dnn_activations[op.activation].slope_from_z else &dst.V
    # A loss of the logits computes the last activation itself
    cdef int activation = IDENTITY if i == setup.n_ops - 1 and not setup.loss.from_outputs else op.activation
    cdef char* b = job.params + (op.b + o0) * size
    cdef DnnMatrix A = rows_from(job, job.slots[op.src].A, r), B
    cdef DnnMatrix Z = matrix(row(job, dst.Z, r) + o0 * size, dst.Z.ld)
    cdef DnnEpilogue epilogue
    if i == 0 and setup.sparse:
        sparse_forward(job, r, n, o0, o1)
    elif not setup.choices[i].native:
        blas_gemm(job, <char*>Z.at, Z.ld, False, <char*>A.at, A.ld, job.params + (op.W + o0) * size, op.n_out, n, op.n_out,
                  op.n_in)
    else:
        epilogue.kind = DNN_EPILOGUE_RELU if activation == RELU and f.at == dst.Z.at else DNN_EPILOGUE_NONE
        epilogue.bias = b
        if setup.choices[i].inner_product:
            B = matrix(job.Wt[i], leading(op.n_in, size))
            setup.kernels.gemm_nt(n, op.n_out, op.n_in, &A, &B, &Z, &epilogue, job.scratch.workspace)
        else:
            B = matrix(job.params + (op.W + o0) * size, op.n_out)
            setup.kernels.gemm_nn(n, o1 - o0, op.n_in, &A, &B, &Z, &epilogue, job.scratch.workspace)
        b = NULL  # the matrix product has added it
    if b != NULL or f.at != dst.Z.at or (activation != IDENTITY and activation != RELU):
        setup.kernels.activate(activation, op.par, n, o1 - o0, b, Z.at, Z.ld, row(job, f[0], r) + o0 * size, f.ld)
    if drops(job, op.dst):
        drop(job, op.dst, r, n, row(job, f[0], r), f.ld, row(job, dst.A, r), dst.A.ld)


cdef inline bint interrupted(Job* job, const Op* op, Py_ssize_t n) noexcept nogil:
    """Return whether a signal handler has raised. A layer that takes milliseconds for n rows lets the handlers run."""
    cdef double flops = n * flops_of(job, op)
    if flops > DNN_LAYER_POLL_FLOPS:
        poll_signals(job, flops)
        return job.shared.stop
    return False


cdef void forward_block(Job* job, int first, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """Compute rows r .. r + n of all layers from layer `first` on."""
    cdef const Setup* setup = job.setup
    cdef int i
    for i in range(first, setup.n_ops):
        forward_layer(job, i, r, n, 0, setup.ops[i].n_out)
        if interrupted(job, &setup.ops[i], n):
            return


cdef double loss_tile(const Job* job, Py_ssize_t r, Py_ssize_t n, double scale, bint gradient,
                      double* losses) noexcept nogil:
    """Return the sum of the weighted losses of rows r .. r + n; with `gradient`, also write dZ of the last layer, times
    scale. losses (n,): NULL, or the unweighted loss of each row is written there."""
    cdef const Setup* setup = job.setup
    cdef const Op* op = &setup.ops[setup.n_ops - 1]
    cdef Slot* out = &job.slots[op.dst]
    cdef const int64_t* order = job.batch.order
    cdef const char* Y = NULL
    cdef const int64_t* classes = NULL
    cdef const double* w = NULL
    cdef Py_ssize_t y_bytes = op.n_out * setup.size, first = job.batch.begin + r if order == NULL else 0
    cdef double total
    if order == NULL:  # in sequence: they need not be copied
        if setup.loss.Y != NULL:
            Y = setup.loss.Y + first * y_bytes
        if setup.loss.classes != NULL:
            classes = setup.loss.classes + first
        if setup.loss.weights != NULL:
            w = setup.loss.weights + first
    else:
        if setup.loss.Y != NULL:
            dnn_gather(n, y_bytes, setup.loss.Y, y_bytes, order + r, job.scratch.Y_tile, y_bytes)
            Y = job.scratch.Y_tile
        else:
            dnn_gather(n, sizeof(int64_t), <const char*>setup.loss.classes, sizeof(int64_t), order + r,
                       <char*>job.scratch.classes_tile, sizeof(int64_t))
            classes = job.scratch.classes_tile
        if setup.loss.weights != NULL:
            dnn_gather(n, sizeof(double), <const char*>setup.loss.weights, sizeof(double), order + r,
                       <char*>job.scratch.w_tile, sizeof(double))
            w = job.scratch.w_tile
    if not setup.loss.from_outputs:
        return setup.kernels.loss(setup.loss.index, setup.loss.par, n, op.n_out, row(job, out.Z, r), out.Z.ld,
                                  Y, op.n_out, classes, w, scale,
                                  row(job, out.dZ, r) if gradient else NULL, out.dZ.ld, losses)
    total = setup.kernels.loss(setup.loss.index, setup.loss.par, n, op.n_out, row(job, out.A, r), out.A.ld,
                               Y, op.n_out, classes, w, scale, job.scratch.dA if gradient else NULL, op.n_out, losses)
    if gradient:
        slope_tile(job, op, r, n, job.scratch.dA, op.n_out)
    return total
