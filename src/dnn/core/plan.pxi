# What is computed, part of _core.pyx: a Plan is a list of operations. It knows no precision and no number of rows.


cdef enum OpKind:
    DENSE  # dst.Z = src.A W + b, dst.A = f(dst.Z)

cdef struct Op:
    int kind
    int src, dst        # slots: 0 holds the inputs, slot l what layer l gives
    Py_ssize_t n_in, n_out
    Py_ssize_t W, b     # where W (n_in, n_out) and b (n_out,) begin in the parameters, in elements
    int activation
    double par[DNN_MAX_PAR]
    double dropout      # the rate at which units of src are dropped in training


cdef class Plan:
    """What a network computes, as a list of operations.

    Plan(n_inputs, layers), layers: [(units, name of the activation, its parameters, dropout before it), ...].
    Parameters stand in one vector, layer by layer: W (n_in, n_out) by rows, then b (n_out,).
    """

    cdef Op* ops
    cdef readonly int n_ops
    cdef readonly Py_ssize_t n_inputs, n_outputs, n_params, widest, width
    cdef dict layouts

    def __cinit__(self, Py_ssize_t n_inputs, layers):
        load_blas()
        self.ops = <Op*>calloc(max(len(layers), 1), sizeof(Op))
        if self.ops == NULL:
            raise MemoryError("no memory for the plan")
        self.n_inputs = self.n_outputs = self.widest = self.width = n_inputs
        cdef Op* op
        for units, name, par, dropout in layers:
            op = &self.ops[self.n_ops]
            op.kind = DENSE
            op.src, op.dst = self.n_ops, self.n_ops + 1
            op.n_in, op.n_out = self.n_outputs, units
            op.W = self.n_params
            op.b = op.W + op.n_in * op.n_out
            op.activation = ACTIVATIONS[name].index
            op.dropout = dropout
            for i, value in enumerate(par):
                op.par[i] = value
            self.n_params = op.b + op.n_out
            self.n_outputs = op.n_out
            self.widest = max(self.widest, op.n_out)
            self.width += op.n_out
            self.n_ops += 1
        self.layouts = {}

    def __dealloc__(self):
        free(self.ops)

    def units(self, int slot):
        """Units of a slot, elements per row: the inputs are slot 0, layer l gives slot l."""
        if not 0 <= slot <= self.n_ops:
            raise IndexError(f"slot must be in 0 .. {self.n_ops}, got {slot}")
        return self.ops[slot - 1].n_out if slot else self.n_inputs

    def offsets(self, int layer):
        """Where the parameters of a layer (0, 1, ...) stand: (first of W, first of b, end of b). W (n_in, n_out) is in
        C order. No other place knows this order."""
        if not 0 <= layer < self.n_ops:
            raise IndexError(f"layer must be in 0 .. {self.n_ops - 1}, got {layer}")
        cdef const Op* op = &self.ops[layer]
        return op.W, op.b, op.b + op.n_out

    @property
    def dropout(self):
        """Whether units are dropped in training."""
        return any(self.ops[i].dropout for i in range(self.n_ops))

    cdef Layout layout(self, int size, Py_ssize_t n_rows, int purpose, bint sparse=False):
        """The layout of a forward pass; the last few are kept, as calls of one shape follow each other."""
        key = (size, n_rows, purpose, KERNELS[size == 8].lanes, sparse)
        found = self.layouts.get(key)
        if found is None:
            found = Layout(self, size, n_rows, purpose, sparse=sparse)
            if len(self.layouts) >= 16:
                self.layouts.clear()
            self.layouts[key] = found
        return found
