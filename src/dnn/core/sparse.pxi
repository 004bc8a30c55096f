# The first layer of a sparse X, part of _core.pyx: Z = X W forward and dW = X' dZ backward, in time proportional to the
# stored elements of X.
#
# Forward, a row of Z is the sum of the rows of W that belong to the columns of the stored elements, times these elements.
# Backward, a tile of dW belongs to 2 ** block_bits columns of X, and reads the elements of the batch in these columns.
# So each step sorts the elements of its batch by blocks of columns, with a counting sort, which leaves the elements of
# a block in the order of the rows; sums are added in this order. An example:
#
#     batch, by rows (column -> value)    blocks of two columns, as entries (column in the block, row, value)
#     row 0:  1 -> a, 3 -> b              columns 0 1:  (1, 0, a) (0, 1, c)
#     row 1:  0 -> c, 2 -> d              columns 2 3:  (1, 0, b) (0, 1, d) (0, 2, e)
#     row 2:  2 -> e
#
# If an update leaves a weight unchanged whose gradient is 0 (an optimizer without state, no penalty, no running
# average), only the rows of W whose columns occur in the batch are updated. Otherwise every weight is updated.
#
# Segments are groups of columns for piecewise-linear encodings of numbers: 1 in the bins below the number, a part t of its own
# bin, and 0 above. Only t is stored, in the column of this bin. An example with a plain column and two segments:
#
#     column        0   | 1    2    3  | 4    5          segments = -1, 1, 1, 1, 4, 4
#     stored        x   |           t  |      u
#     stands for    x   | 1    1    t  | 1    u
#     z =           x W[0] + (P[3] + t W[3]) + (P[5] + u W[5]),   P[3] = W[1] + W[2],  P[5] = W[4]
#
# P are the sums of the rows of W before a row in its segment. They are derived from W as W' is: computed at the start of a
# run, and again for each tile of W that an update has changed, which has whole segments. Thus a number costs two rows of
# weights, whatever the number of bins.
#
# The gradient goes the opposite way: dW[k] is the sum of t dZ over the elements in column k, and of dZ over the elements in
# later columns of its segment. Elements are sorted by single columns here, so that both sums stay in registers while a
# segment is read from its last column to its first.

cdef enum:
    STRIP = 256  # elements of a row whose values after dropout are on the stack at the same time: 2 KB in double precision


cdef inline Py_ssize_t row_of(const Job* job, Py_ssize_t r) noexcept nogil:
    """Return the number in X of row r of the batch."""
    return job.batch.begin + r if job.batch.order == NULL else job.batch.order[r]


cdef void sparse_forward(const Job* job, Py_ssize_t r, Py_ssize_t n, Py_ssize_t o0, Py_ssize_t o1) noexcept nogil:
    """Compute rows r .. r + n and columns o0 .. o1 of Z = X W in the first layer."""
    cdef const Setup* setup = job.setup
    cdef const Op* op = &setup.ops[0]
    cdef DnnMatrix Z = job.slots[op.dst].Z
    cdef const char* W = job.params + (op.W + o0) * setup.size
    cdef const char* values
    cdef char* z
    cdef double strip[STRIP]
    cdef Py_ssize_t i, k, n_values, end
    for i in range(r, r + n):
        z = row(job, Z, i) + o0 * setup.size
        k, end = setup.csr.indptr[row_of(job, i)], setup.csr.indptr[row_of(job, i) + 1]
        if setup.csr.segments != NULL:
            setup.kernels.gather_segments(end - k, setup.csr.indices + k, setup.csr.data + k * setup.size, setup.csr.segments,
                                          o1 - o0, W, job.Wt[0] + o0 * setup.size, op.n_out, z)
            continue
        memset(z, 0, (o1 - o0) * setup.size)
        while k < end:
            n_values = min(end - k, STRIP) if drops(job, 0) else end - k
            values = after_dropout(job, i, k, n_values, <char*>strip)
            setup.kernels.gather_add(n_values, setup.csr.indices + k, values, o1 - o0, W, op.n_out, z)
            k += n_values


cdef void sum_segments(const Job* job, Py_ssize_t i0, Py_ssize_t i1, Py_ssize_t o0, Py_ssize_t o1) noexcept nogil:
    """Compute the sums P of W within segments: for each of rows i0 .. i1, which are whole segments, the sum of the rows of the
    segment before it, in columns o0 .. o1. Rows of plain columns of X are not written."""
    cdef const Setup* setup = job.setup
    cdef const Op* op = &setup.ops[0]
    cdef Py_ssize_t i, ld = op.n_out * setup.size
    cdef const char* w
    cdef char* p
    for i in range(i0, i1):
        w, p = job.params + (op.W + o0) * setup.size + i * ld, job.Wt[0] + o0 * setup.size + i * ld
        if setup.csr.segments[i] == i:
            memset(p, 0, (o1 - o0) * setup.size)
        elif setup.csr.segments[i] >= 0:
            setup.kernels.add(o1 - o0, p - ld, w - ld, p)


cdef inline const char* after_dropout(const Job* job, Py_ssize_t r, Py_ssize_t k, Py_ssize_t n, char* strip) noexcept nogil:
    """Return the values of elements k .. k + n of X after dropout. They are in row r of the batch; with dropout they are
    written to `strip`, and must be at most STRIP."""
    cdef const Setup* setup = job.setup
    cdef const char* values = setup.csr.data + k * setup.size
    if not drops(job, 0):
        return values
    setup.kernels.drop_stored(n, setup.csr.indices + k, dnn_key(setup.seed, job.step, 0), r, setup.ops[0].dropout, values,
                              strip)
    return strip


cdef void group_entries(Job* job, Py_ssize_t n) noexcept nogil:
    """Sort the elements of a batch of n rows by blocks of columns, as the weights phase reads them. Every member counts all
    elements, and writes the entries of its share of the blocks, so that no member waits for another."""
    cdef const Setup* setup = job.setup
    cdef Entries entries = job.shared.entries
    cdef const int32_t* columns = setup.csr.indices
    cdef int64_t* begins = job.scratch.blocks.begins
    cdef int64_t* next = job.scratch.blocks.next
    cdef Py_ssize_t first = share(job, job.scratch.blocks.n, job.me), last = share(job, job.scratch.blocks.n, job.me + 1)
    cdef Py_ssize_t r, k, end, n_values, i, block, entry
    cdef int bits = job.scratch.blocks.bits
    cdef const char* values
    cdef double strip[STRIP]
    if is_frozen(job, 0):
        return
    if setup.csr.segments != NULL:
        setup.kernels.sort_stored(n, job.batch.order, job.batch.begin, setup.csr.indptr, columns, setup.csr.data,
                                  job.scratch.blocks.n, first, last, begins, next, entries.rows, entries.values)
        return
    memset(begins, 0, (job.scratch.blocks.n + 1) * sizeof(int64_t))
    for r in range(n):
        for k in range(setup.csr.indptr[row_of(job, r)], setup.csr.indptr[row_of(job, r) + 1]):
            begins[(columns[k] >> bits) + 1] += 1
    for block in range(job.scratch.blocks.n):
        next[block] = begins[block]
        begins[block + 1] += begins[block]
    for r in range(n):
        k, end = setup.csr.indptr[row_of(job, r)], setup.csr.indptr[row_of(job, r) + 1]
        while k < end:
            n_values = min(end - k, STRIP)
            values = after_dropout(job, r, k, n_values, <char*>strip)
            for i in range(n_values):
                block = columns[k + i] >> bits
                if not first <= block < last:
                    continue
                entry = next[block]
                next[block] += 1
                entries.columns[entry] = columns[k + i] & ((1 << bits) - 1)
                entries.rows[entry] = <int32_t>r
                if setup.size == 4:
                    (<float*>entries.values)[entry] = (<const float*>values)[i]
                else:
                    (<double*>entries.values)[entry] = (<const double*>values)[i]
            k += n_values


cdef inline bint only_touched(const Job* job) noexcept nogil:
    """Return whether an update leaves weights with a gradient of 0 unchanged."""
    cdef const Setup* setup = job.setup
    return setup.grad == NULL and setup.csr.segments == NULL and dnn_optimizers[setup.optimizer.index].n_slots == 0 \
        and job.mean == NULL and setup.loss.alpha == 0 and setup.loss.l1 == 0 and setup.optimizer.weight_decay == 0


cdef void sparse_gradient(const Job* job, const Tile* tile, Py_ssize_t n, char* dW, Py_ssize_t ld, char* db,
                          bint touched) noexcept nogil:
    """Compute a tile of dW = X' dZ over the n rows of the batch, and db if it is the first tile of a column of tiles. With
    `touched`, rows whose columns do not occur in the batch are not written; `seen` is not 0 for those that do occur."""
    cdef const Setup* setup = job.setup
    cdef DnnMatrix dZ = job.slots[setup.ops[0].dst].dZ
    cdef Entries entries = job.shared.entries
    cdef Py_ssize_t block = tile.i0 >> job.scratch.blocks.bits, i
    cdef Py_ssize_t first = job.scratch.blocks.begins[block], columns = tile.o1 - tile.o0
    memset(job.scratch.blocks.seen, 0, tile.i1 - tile.i0)
    setup.kernels.scatter_add(job.scratch.blocks.begins[block + 1] - first, entries.columns + first, entries.rows + first,
                              entries.values + first * setup.size, columns, dZ.at + tile.o0 * setup.size, dZ.ld, dW, ld,
                              job.scratch.blocks.seen)
    if not touched:
        for i in range(tile.i1 - tile.i0):
            if not job.scratch.blocks.seen[i]:
                memset(dW + i * ld * setup.size, 0, columns * setup.size)
    if tile.i0 == 0:
        setup.kernels.column_sums(n, columns, dZ.at + tile.o0 * setup.size, dZ.ld, db)


cdef void segments_gradient(const Job* job, const Tile* tile, Py_ssize_t n, char* dW, Py_ssize_t ld, char* db) noexcept nogil:
    """Compute a tile of dW, which has whole segments, over the n rows of the batch, and db if it is the first tile of a
    column of tiles."""
    cdef const Setup* setup = job.setup
    cdef DnnMatrix dZ = job.slots[setup.ops[0].dst].dZ
    cdef Py_ssize_t columns = tile.o1 - tile.o0
    setup.kernels.gradient_segments(tile.i1 - tile.i0, setup.csr.segments + tile.i0, job.scratch.blocks.begins + tile.i0,
                                    job.shared.entries.rows, job.shared.entries.values, columns,
                                    dZ.at + tile.o0 * setup.size, dZ.ld, dW, ld)
    if tile.i0 == 0:
        setup.kernels.column_sums(n, columns, dZ.at + tile.o0 * setup.size, dZ.ld, db)


cdef void update_touched(const Job* job, const Tile* tile, const char* dW, Py_ssize_t ld, const char* db) noexcept nogil:
    """Update the rows of a tile of W whose columns occur in the batch; for the first tile of a column of tiles, b too."""
    cdef const Op* op = &job.setup.ops[0]
    cdef Py_ssize_t i = 0, rows = tile.i1 - tile.i0, columns = tile.o1 - tile.o0, begin
    while i < rows:
        begin = i
        while i < rows and job.scratch.blocks.seen[i]:
            i += 1
        if i > begin:
            update_part(job, op, op.W + (tile.i0 + begin) * op.n_out + tile.o0, i - begin, columns, op.n_out,
                        dW + begin * ld * job.setup.size, ld)
        i += 1
    if tile.i0 == 0:
        update_part(job, op, op.b + tile.o0, 1, columns, columns, db, columns)


cdef Py_ssize_t largest_batch(const Job* job, const int64_t* order, Py_ssize_t first, Py_ssize_t n_steps) noexcept nogil:
    """Return the largest number of elements in a batch of the next steps. order: the row numbers of whole epochs, or
    NULL."""
    cdef const Setup* setup = job.setup
    cdef Py_ssize_t steps_per_epoch = (setup.n_rows + setup.batch_rows - 1) // setup.batch_rows, largest = 0
    cdef Py_ssize_t s, r, x, begin, n
    for s in range(first, first + n_steps):
        begin, n = s % steps_per_epoch * setup.batch_rows, 0
        for r in range(begin, min(begin + setup.batch_rows, setup.n_rows)):
            x = r if order == NULL else order[s // steps_per_epoch * setup.n_rows + r]
            n += setup.csr.indptr[x + 1] - setup.csr.indptr[x]
        largest = max(largest, n)
    return largest
