# The SmallBatchPredictor, part of _core.pyx: predictions for a few rows.


cdef int64_t EXACT = 1 << 53  # integers up to this are exact in double


cdef class SmallBatchPredictor:
    """Computes the outputs of a network for a few rows, with as little overhead as possible. The work space is kept
    from call to call. A call holds the GIL throughout, so that calls cannot overlap.

    SmallBatchPredictor(plan, params, fallback): if X is not a small batch, `predict` returns fallback(X).
    """

    cdef Plan plan
    cdef object params, fallback
    cdef Run run             # for up to n_rows rows
    cdef Py_ssize_t n_rows
    cdef int type_num, size  # NumPy's number of the dtype of params, and the bytes of an element
    cdef char* converted     # rows of another dtype, or of a list

    def __cinit__(self, Plan plan, params, fallback):
        self.plan, self.params, self.fallback = plan, params, fallback
        self.type_num, self.size = params.dtype.num, params.dtype.itemsize
        # So few rows that other threads do not wait long for the GIL: about 20 us
        self.n_rows = max(1, min(DNN_SMALL_BATCH_ROWS, DNN_FLOPS_HELD // (2 * max(1, plan.n_params))))

    def __dealloc__(self):
        free(self.converted)

    def predict(self, X):
        """Return the outputs (N, O) for the rows of X (N, I), (O,) for one row (I,)."""
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
            if cnp.PyArray_TYPE(a) != self.type_num:
                if not self.convert_array(a, shape[0] * self.plan.n_inputs):
                    return self.fallback(X)
                rows = self.converted
        else:
            return self.fallback(X)
        if self.run is None or self.run.layout.kernels != KERNELS[self.size == 8]:
            self.run = Run(self.plan, Layout(self.plan, self.size, self.n_rows, PREDICT), self.params)
        out = cnp.PyArray_EMPTY(ndim, &shape[2 - ndim], self.type_num, 0)
        job = &self.run.job
        self.run.setup.X, self.run.setup.ldx = rows, self.plan.n_inputs
        self.run.setup.out = <char*>cnp.PyArray_DATA(out)
        mode = dnn_flush_subnormals()
        derive(job)
        predict_block(job, 0, shape[0])
        dnn_flush_restore(mode)
        return out

    cdef bint has_room(self, Py_ssize_t n) except -1:
        """Return whether n elements are few enough to be converted here, and allocate memory for them if they are."""
        if n > DNN_VALUES_CONVERTED:
            return False
        if self.converted == NULL:
            self.converted = <char*>malloc(min(DNN_VALUES_CONVERTED, self.n_rows * self.plan.n_inputs) * self.size)
            if self.converted == NULL:
                raise MemoryError("no memory for converted rows")
        return True

    cdef bint convert_array(self, cnp.ndarray a, Py_ssize_t n) except -1:
        """Convert the n elements of an array of the other precision, or of int64. Return False if there are too many, if one
        overflows, or if the array is of another type."""
        cdef int type_num = cnp.PyArray_TYPE(a)
        cdef const double* doubles = <const double*>cnp.PyArray_DATA(a)
        cdef const float* floats = <const float*>doubles
        cdef const int64_t* integers = <const int64_t*>doubles
        cdef float* single
        cdef Py_ssize_t i
        cdef int overflows = 0
        if not self.has_room(n):
            return False
        single = <float*>self.converted
        if type_num == cnp.NPY_FLOAT:
            for i in range(n):
                (<double*>self.converted)[i] = floats[i]
        elif type_num == cnp.NPY_DOUBLE:
            for i in range(n):
                single[i] = <float>doubles[i]
                overflows |= (fabs(single[i]) == INFINITY) & (fabs(doubles[i]) != INFINITY)
        elif type_num == cnp.NPY_INT64:
            for i in range(n):
                if self.size == 8:
                    (<double*>self.converted)[i] = <double>integers[i]
                else:
                    single[i] = <float>integers[i]
        else:
            return False
        return not overflows

    cdef bint convert_list(self, list X, int ndim) except -1:
        """Convert a list of numbers (I,), or a list of lists (N, I). Return False if there are too many, or if an item
        is not a number, overflows, or is an integer that is not exact in double."""
        cdef Py_ssize_t n_inputs = self.plan.n_inputs, r, c
        cdef list items = X
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
                items = <list>X[r]
            if len(items) != n_inputs:
                return False
            for c in range(n_inputs):
                x = items[c]
                if isinstance(x, float):  # this includes NumPy's float64
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
