# The RowEnsemble, part of _core.pyx: one row of a table to the logits of several networks, in microseconds.
#
# The first layers of the networks stand side by side, so that one product serves all of them. A row of the table selects few
# rows of these weights, the `vectors` (V, width): one for each level of a category, and for each number
#
#     its scaled value    times the vector `scaled`
#     its bin k           (1 - t) C[k] + t C[k + 1],  t: how far it is into the bin,  C[k]: the sum of the weights of bins 0 .. k - 1
#     if it is missing    the vector `missing`, in place of both
#
# vectors[0] are the biases. The networks behind the first layer are predicted one after the other.

cdef double CLIP = 3.0   # of a scaled number, smoothly: see dnn.estimators.tables.encoding
cdef double FAR = 1e300  # larger numbers, and scaled numbers above FAR_SCALED, are left to the code for whole tables
cdef double FAR_SCALED = 1e9


cdef class RowEnsemble:
    """Computes the logits of networks of one shape for a row of a table.

    RowEnsemble(plan, rests, vectors, medians, factors, begins, edges, places, order, n_cells): plan: that of a whole network,
    whose first activation is used; rests: [(plan, params), ...] of the networks behind the first layer, or [] if they have one
    layer only. vectors (V, n_networks * units), float32. For each number: medians and factors (n,) that scale it; begins
    (n + 1,) of its edges in `edges`; places (n, 3) in vectors of its `scaled`, `missing` and first C; order (n,): its place
    among the n_cells cells of a row. The arrays are not copied, and must not be written to.
    """

    cdef Plan plan
    cdef list runs
    cdef cnp.ndarray vectors, medians, factors, begins, edges, places, order
    cdef Py_ssize_t n_numbers, n_cells, width, n_networks, n_outputs
    cdef char* memory           # the pre-activations (width,), then the values and columns of the vectors of a row
    cdef int32_t* columns
    cdef float* values
    cdef Py_ssize_t n, room     # vectors of this row; at most so many

    def __cinit__(self, Plan plan, list rests, vectors, medians, factors, begins, edges, places, order, Py_ssize_t n_cells):
        self.plan, self.vectors = plan, vectors
        self.medians, self.factors, self.begins, self.edges = medians, factors, begins, edges
        self.places, self.order = places, order
        self.n_numbers, self.n_cells, self.width = len(medians), n_cells, vectors.shape[1]
        self.runs = [Run(each, Layout(each, 4, 1, PREDICT), params) for each, params in rests]
        for run in self.runs:
            derive(&(<Run>run).job)
        self.n_networks = self.width // plan.units(1)
        self.n_outputs = plan.n_outputs
        self.room = 3 * self.n_numbers + len(vectors)
        self.memory = <char*>malloc((self.width + 2 * self.room) * 4 + LINE)
        if self.memory == NULL:
            raise MemoryError("no memory for a row of a table")
        self.values = <float*>(self.memory + self.width * 4)
        self.columns = <int32_t*>(self.values + self.room)

    def __dealloc__(self):
        free(self.memory)

    cdef inline void append(self, Py_ssize_t column, double value) noexcept:
        self.columns[self.n], self.values[self.n] = <int32_t>column, <float>value
        self.n += 1

    cdef bint add_number(self, Py_ssize_t i, double value) noexcept:
        """Add the vectors of a number. Return False if it is too large."""
        cdef const int64_t* places = <const int64_t*>cnp.PyArray_DATA(self.places) + 3 * i
        cdef const int64_t* begins = <const int64_t*>cnp.PyArray_DATA(self.begins) + i
        cdef const double* edges = <const double*>cnp.PyArray_DATA(self.edges) + begins[0]
        cdef Py_ssize_t low = 0, high = begins[1] - begins[0] - 1, middle
        cdef double z, t
        if value != value:
            self.append(places[1], 1)
            return True
        z = (value - (<const double*>cnp.PyArray_DATA(self.medians))[i]) * (<const double*>cnp.PyArray_DATA(self.factors))[i]
        if not (-FAR < value < FAR and -FAR_SCALED < z < FAR_SCALED):
            return False
        t = z / CLIP
        self.append(places[0], z / sqrt(1 + t * t))
        if high < 1:
            return True
        while high - low > 1:  # edges[low] < value <= edges[high], or one of them is the first or the last edge
            middle = (low + high) // 2
            if edges[middle] < value:
                low = middle
            else:
                high = middle
        t = min(max((value - edges[low]) / (edges[high] - edges[low]), 0.0), 1.0)
        self.append(places[2] + low, 1 - t)
        self.append(places[2] + high, t)
        return True

    cdef logits_of_row(self, extra):
        """Return the logits (n_networks, n_outputs) of the vectors that were added, and of pre-activations `extra`."""
        cdef const DnnKernels* kernels = KERNELS[0]
        cdef const Op* op = &self.plan.ops[0]
        cdef cnp.npy_intp shape[2]
        cdef cnp.ndarray out
        cdef float* z = <float*>self.memory
        cdef Run run
        cdef Py_ssize_t m, units = self.width // self.n_networks
        cdef unsigned mode
        shape[0], shape[1] = self.n_networks, self.n_outputs
        out = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT, 0)
        mode = dnn_flush_subnormals()
        memcpy(z, cnp.PyArray_DATA(self.vectors), self.width * 4)
        kernels.gather_add(self.n, self.columns, self.values, self.width, cnp.PyArray_DATA(self.vectors), self.width, z)
        if extra is not None:
            kernels.add(self.width, z, cnp.PyArray_DATA(<cnp.ndarray>extra), z)
        if self.runs:
            kernels.activate(op.activation, op.par, 1, self.width, NULL, z, self.width, z, self.width)
            for m in range(self.n_networks):
                run = <Run>self.runs[m]
                run.setup.X, run.setup.ldx = <const char*>(z + m * units), units
                run.setup.out = <char*>cnp.PyArray_DATA(out) + m * self.n_outputs * 4
                predict_block(&run.job, 0, 1)
        else:
            memcpy(cnp.PyArray_DATA(out), z, self.width * 4)
        dnn_flush_restore(mode)
        return out

    def logits(self, list cells, list places, extra):
        """Return the logits (n_networks, n_outputs) of a row.

        cells: a number each, None if it is missing, `...` if it is in `extra`; places: the vectors of categories; extra
        (width,), float32, or None: pre-activations of everything else. If a cell is no number, or is too large, the result is
        the index of this cell.
        """
        cdef Py_ssize_t i
        cdef object cell
        cdef double value
        if len(cells) != self.n_numbers or len(places) > self.room - 3 * self.n_numbers:
            raise ValueError(f"cells must have length {self.n_numbers}, got {len(cells)}")
        self.n = 0
        for i in range(self.n_numbers):
            cell = cells[i]
            if cell is Ellipsis:
                continue
            if cell is None:
                value = NAN
            elif isinstance(cell, float):  # this includes NumPy's float64
                value = cell
            elif type(cell) is int and -EXACT <= cell <= EXACT:
                value = cell
            else:
                return i
            if not self.add_number(i, value):
                return i
        for cell in places:
            i = cell
            if not 0 <= i < len(self.vectors):
                raise IndexError(f"places must be in 0 .. {len(self.vectors) - 1}, got {i}")
            self.append(i, 1)
        return self.logits_of_row(extra)

    def logits_of_array(self, cnp.ndarray row):
        """Return the logits (n_networks, n_outputs) of an array (n_cells,) of float64, or None if it is of another kind or
        has a number that is too large."""
        cdef Py_ssize_t i
        cdef const double* cells = <const double*>cnp.PyArray_DATA(row)
        cdef const int64_t* order = <const int64_t*>cnp.PyArray_DATA(self.order)
        if cnp.PyArray_TYPE(row) != cnp.NPY_DOUBLE or not cnp.PyArray_ISCARRAY_RO(row) or cnp.PyArray_NDIM(row) != 1 \
                or cnp.PyArray_DIM(row, 0) != self.n_cells:
            return None
        self.n = 0
        for i in range(self.n_numbers):
            if not self.add_number(i, cells[order[i]]):
                return None
        return self.logits_of_row(None)
