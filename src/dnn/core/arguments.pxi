# The arguments of the core's functions, part of _core.pyx: arrays, and groups of arguments. Other modules validate the
# arguments of a user; the checks here are those that memory safety depends on: dtype, shape, alignment, contiguous rows.


cdef bytes INT64 = b"lq"
cdef bytes INT32 = b"il"


cdef inline char letter_of(int number) noexcept:
    """Return the format letter of a NumPy type that the core may read, 0 for any other type."""
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
    """An array whose memory a job points at: rows of equal length, the elements of a row contiguous."""

    cdef object array  # keeps the memory alive
    cdef char* at
    cdef Py_ssize_t n_rows, n_cols, ld
    cdef int size

    def __cinit__(self, array, bytes formats, bint writable=False):
        if not cnp.PyArray_Check(array):
            raise TypeError(f"an array is expected, got {type(array).__name__}")
        cdef cnp.ndarray a = <cnp.ndarray>array
        cdef char letter = letter_of(cnp.PyArray_TYPE(a))
        cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(a)
        cdef int ndim = cnp.PyArray_NDIM(a)
        # int64 is "l" or "q" depending on the platform, int32 is "i" or "l": the number of bytes must be right too
        if letter == 0 or letter not in formats or cnp.PyArray_ISBYTESWAPPED(a) or not 1 <= ndim <= 2 \
                or (formats == INT64 and size != 8) or (formats == INT32 and size != 4):
            raise TypeError(f"an array of {formats!r} with 1 or 2 axes is expected, got {array.dtype} {array.shape}")
        if writable and not cnp.PyArray_ISWRITEABLE(a):
            raise ValueError("a writable array is expected")
        self.array, self.at, self.size = array, <char*>cnp.PyArray_DATA(a), size
        self.n_rows = cnp.PyArray_DIM(a, 0)
        self.n_cols = cnp.PyArray_DIM(a, 1) if ndim == 2 else 1
        self.ld = cnp.PyArray_STRIDE(a, 0) // size if self.n_rows > 1 and self.n_cols else self.n_cols
        if self.n_rows == 0 or self.n_cols == 0:
            return  # no element is read
        if <uintptr_t>self.at % size or self.ld < self.n_cols \
                or (self.n_rows > 1 and cnp.PyArray_STRIDE(a, 0) % size) \
                or (ndim == 1 and self.ld != 1) \
                or (ndim == 2 and self.n_cols > 1 and cnp.PyArray_STRIDE(a, 1) != size):
            raise ValueError("rows must be aligned, and their elements contiguous")


cdef ArrayRef bind(array, Py_ssize_t n_rows, Py_ssize_t n_cols, bytes formats, bint writable=False):
    """Return a reference to a contiguous array of the given shape; n_rows = -1: any number of rows."""
    cdef ArrayRef ref = ArrayRef(array, formats, writable)
    if (n_rows >= 0 and ref.n_rows != n_rows) or ref.n_cols != n_cols or ref.ld != n_cols:
        raise ValueError(f"a contiguous array ({n_rows}, {n_cols}) is expected, "
                         f"got ({ref.n_rows}, {ref.n_cols})")
    return ref


cdef class SparseMatrix:
    """A sparse X (n_rows, n_columns) in CSR format, which the functions of the core accept in place of an array X.

    SparseMatrix(indptr, indices, data, n_columns, segments=None): int64 (n_rows + 1,), int32 and float (n_stored,). The
    columns of a row may be in any order; the values of a column that occurs twice are added. segments: int32 (n_columns,),
    the first column of the segment that each column is in, -1 for plain columns; an element of a segment stands for its
    value in its own column and for 1 in those of the segment before it (core/sparse.pxi). None: all columns are plain. The
    arrays are not copied, and are checked only here: they must not be written to while the SparseMatrix is in use.
    """

    cdef readonly Py_ssize_t n_rows, n_columns, n_stored
    cdef readonly int size
    cdef Csr csr
    cdef list refs

    def __cinit__(self, indptr, indices, data, Py_ssize_t n_columns, segments=None):
        cdef ArrayRef p = bind(indptr, -1, 1, INT64), x = bind(indices, -1, 1, INT32), v = bind(data, -1, 1, b"fd")
        cdef const int64_t* begins = <const int64_t*>p.at
        cdef const int32_t* columns = <const int32_t*>x.at
        cdef const int32_t* first = NULL
        cdef Py_ssize_t r, k, c
        cdef int32_t low = 0, high = 0
        cdef bint decreases = False
        if p.n_rows < 1 or begins[0] != 0 or begins[p.n_rows - 1] > min(x.n_rows, v.n_rows):
            raise ValueError("indptr must begin with 0 and end with at most the number of stored elements")
        with nogil:
            for r in range(p.n_rows - 1):
                decreases = decreases or begins[r + 1] < begins[r]
            for k in range(begins[p.n_rows - 1]):
                low, high = min(low, columns[k]), max(high, columns[k])
        if decreases:
            raise ValueError("indptr must not decrease")
        if low < 0 or (high >= n_columns and begins[p.n_rows - 1] > 0):
            raise ValueError(f"indices must be columns 0 .. {n_columns - 1}, got {low if low < 0 else high}")
        self.n_rows, self.n_columns, self.n_stored = p.n_rows - 1, n_columns, begins[p.n_rows - 1]
        self.size, self.refs = v.size, [p, x, v]
        if segments is not None:
            self.refs.append(bind(segments, n_columns, 1, INT32))
            first = <const int32_t*>(<ArrayRef>self.refs[3]).at
            for c in range(n_columns):
                if first[c] != -1 and first[c] != c and (c == 0 or first[c] < 0 or first[c] != first[c - 1]):
                    raise ValueError(f"segments must be -1 or the first column of a segment without gaps, got {first[c]} for "
                                     f"column {c}")
        self.csr = Csr(begins, columns, v.at, <double>self.n_stored / max(1, self.n_rows), first)


cdef SparseMatrix sparse_or_none(X):
    """Return X if it is sparse, otherwise None."""
    return X if isinstance(X, SparseMatrix) else None


cdef tuple rows_and_size(X):
    """Return the number of rows of X, and the bytes of an element."""
    cdef ArrayRef ref
    if isinstance(X, SparseMatrix):
        return (<SparseMatrix>X).n_rows, (<SparseMatrix>X).size
    ref = ArrayRef(X, b"fd")
    return ref.n_rows, ref.size


# The loss and its data. index and par: a loss of the table and its parameters; or function(rows, logits), which replaces the
# logits (n, O) of these rows of X by their gradient, and returns the sum of the weighted losses. Targets are Y (N, O) or
# classes (N,) int64; weights (N,) float64. Penalties are divided by the sum of a batch's weights, or by least_weight times
# its number of rows if that is more.
LossArgs = namedtuple(
    "LossArgs", "index par Y classes weights function alpha l1 least_weight",
    defaults=(None, None, None, None, 0.0, 0.0, 0.0))

# The optimizer: its index in the table, its hyper-parameters (see dnn_scalars), its state (n_slots, P), which is updated in
# place, mean (P,), to which the running average of the parameters is written, and frozen (n_ops,) uint8, not 0 for
# layers that are not updated.
OptimizerArgs = namedtuple(
    "OptimizerArgs", "index hyper state weight_decay clip_norm mean mean_rate frozen",
    defaults=(0.0, 0.0, None, 0.0, None))
