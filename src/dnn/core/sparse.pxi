# The first layer of a sparse X, part of _core.pyx: Z = X W forward, dW = X' dZ back, at the cost of what X stores.
#
# Forward, a row of X is a sum of the rows of W at its columns. Back, a tile of dW holds 2 ** block_bits columns of X, and
# wants their elements of a batch together. So each step puts the elements of its batch in order by blocks of columns, as
# a counting sort does: a block's elements stay in the order of the rows, and with them the order of every sum.
#
#     batch, by rows            blocks of two columns: 0 1 | 2 3
#     row 0:  1 -> a, 3 -> b    0 1:  (1, 0, a) (0, 1, c)                      (column in the block, row, value)
#     row 1:  0 -> c, 2 -> d    2 3:  (1, 0, b) (0, 1, d) (0, 2, e)
#     row 2:  2 -> e
#
# An optimizer without a state, and nothing that moves a weight whose gradient is 0, updates only the rows of W whose
# columns occur in the batch. All others go through every weight, as they must.

cdef enum:
    STRIP = 256  # elements of a row whose values after dropout are on the stack at a time


cdef inline Py_ssize_t row_of(const Job* job, Py_ssize_t r) noexcept nogil:
    """The row of X that is row r of the batch."""
    return job.begin + r if job.order == NULL else job.order[r]


cdef void sparse_forward(const Job* job, Py_ssize_t r, Py_ssize_t n, Py_ssize_t o0, Py_ssize_t o1) noexcept nogil:
    """Z = X W of the first layer: rows r .. r + n, columns o0 .. o1."""
    cdef const Op* op = &job.ops[0]
    cdef Matrix Z = job.slots[op.dst].Z
    cdef const char* W = job.params + (op.W + o0) * job.size
    cdef const char* values
    cdef char* z
    cdef double strip[STRIP]
    cdef Py_ssize_t i, k, some, end
    for i in range(r, r + n):
        z = row(job, Z, i) + o0 * job.size
        memset(z, 0, (o1 - o0) * job.size)
        k, end = job.csr.indptr[row_of(job, i)], job.csr.indptr[row_of(job, i) + 1]
        while k < end:
            some = min(end - k, STRIP) if drops(job, 0) else end - k
            values = after_dropout(job, i, k, some, <char*>strip)
            job.kernels.gather_add(some, job.csr.indices + k, values, o1 - o0, W, op.n_out, z)
            k += some


cdef inline const char* after_dropout(const Job* job, Py_ssize_t r, Py_ssize_t k, Py_ssize_t n, char* strip) noexcept nogil:
    """The values of elements k .. k + n, of row r of the batch; at most STRIP of them where something is dropped."""
    cdef const char* values = job.csr.data + k * job.size
    if not drops(job, 0):
        return values
    job.kernels.drop_stored(n, job.csr.indices + k, dnn_key(job.seed, job.step, 0), r, job.ops[0].dropout, values, strip)
    return strip


cdef void group_entries(Job* job, Py_ssize_t n) noexcept nogil:
    """The elements of the n rows of a batch by blocks of columns, as the weights phase reads them. Every member counts all
    of them, and puts those of its share of blocks in their places: none waits for another."""
    cdef Entries to = job.shared.entries
    cdef const int32_t* columns = job.csr.indices
    cdef int64_t* begins = job.blocks.begins
    cdef int64_t* next = job.blocks.next
    cdef Py_ssize_t first = share(job, job.blocks.n, job.me), last = share(job, job.blocks.n, job.me + 1)
    cdef Py_ssize_t r, k, end, some, i, block, at
    cdef int bits = job.blocks.bits
    cdef const char* values
    cdef double strip[STRIP]
    if is_frozen(job, 0):
        return
    memset(begins, 0, (job.blocks.n + 1) * sizeof(int64_t))
    for r in range(n):
        for k in range(job.csr.indptr[row_of(job, r)], job.csr.indptr[row_of(job, r) + 1]):
            begins[(columns[k] >> bits) + 1] += 1
    for block in range(job.blocks.n):
        next[block] = begins[block]
        begins[block + 1] += begins[block]
    for r in range(n):
        k, end = job.csr.indptr[row_of(job, r)], job.csr.indptr[row_of(job, r) + 1]
        while k < end:
            some = min(end - k, STRIP)
            values = after_dropout(job, r, k, some, <char*>strip)
            for i in range(some):
                block = columns[k + i] >> bits
                if not first <= block < last:
                    continue
                at = next[block]
                next[block] += 1
                to.columns[at] = columns[k + i] & ((1 << bits) - 1)
                to.rows[at] = <int32_t>r
                if job.size == 4:
                    (<float*>to.values)[at] = (<const float*>values)[i]
                else:
                    (<double*>to.values)[at] = (<const double*>values)[i]
            k += some


cdef inline bint only_touched(const Job* job) noexcept nogil:
    """Whether an update leaves weights alone whose gradient is 0."""
    return job.grad == NULL and dnn_optimizers[job.optimizer].n_slots == 0 and job.mean == NULL \
        and job.alpha == 0 and job.l1 == 0 and job.weight_decay == 0


cdef void sparse_gradient(const Job* job, const Tile* tile, Py_ssize_t n, char* dW, Py_ssize_t ld, char* db,
                          bint touched) noexcept nogil:
    """A tile of dW = X' dZ over the n rows of the batch; with `touched`, no row of it that the batch does not touch. Those
    that it does are `seen` then. With the first tile of a column of tiles db."""
    cdef Matrix dZ = job.slots[job.ops[0].dst].dZ
    cdef Entries batch = job.shared.entries
    cdef Py_ssize_t block = tile.i0 >> job.blocks.bits, i
    cdef Py_ssize_t first = job.blocks.begins[block], columns = tile.o1 - tile.o0
    memset(job.blocks.seen, 0, tile.i1 - tile.i0)
    job.kernels.scatter_add(job.blocks.begins[block + 1] - first, batch.columns + first, batch.rows + first,
                            batch.values + first * job.size, columns, dZ.at + tile.o0 * job.size, dZ.ld, dW, ld,
                            job.blocks.seen)
    if not touched:
        for i in range(tile.i1 - tile.i0):
            if not job.blocks.seen[i]:
                memset(dW + i * ld * job.size, 0, columns * job.size)
    if tile.i0 == 0:
        job.kernels.column_sums(n, columns, dZ.at + tile.o0 * job.size, dZ.ld, db)


cdef void update_touched(const Job* job, const Tile* tile, const char* dW, Py_ssize_t ld, const char* db) noexcept nogil:
    """The optimizer on the rows of a tile of W that the batch touches, and with the first of a column of tiles on b."""
    cdef const Op* op = &job.ops[0]
    cdef Py_ssize_t i = 0, rows = tile.i1 - tile.i0, columns = tile.o1 - tile.o0, begin
    while i < rows:
        begin = i
        while i < rows and job.blocks.seen[i]:
            i += 1
        if i > begin:
            update_part(job, op, op.W + (tile.i0 + begin) * op.n_out + tile.o0, i - begin, columns, op.n_out,
                        dW + begin * ld * job.size, ld)
        i += 1
    if tile.i0 == 0:
        update_part(job, op, op.b + tile.o0, 1, columns, columns, db, columns)


cdef Py_ssize_t largest_batch(const Job* job, const int64_t* order, Py_ssize_t first, Py_ssize_t n_steps) noexcept nogil:
    """The most elements that a batch of some steps has; order: of whole epochs, or NULL."""
    cdef Py_ssize_t steps_per_epoch = (job.n_rows + job.batch - 1) // job.batch, largest = 0, s, r, x, begin, n
    for s in range(first, first + n_steps):
        begin, n = s % steps_per_epoch * job.batch, 0
        for r in range(begin, min(begin + job.batch, job.n_rows)):
            x = r if order == NULL else order[s // steps_per_epoch * job.n_rows + r]
            n += job.csr.indptr[x + 1] - job.csr.indptr[x]
        largest = max(largest, n)
    return largest
