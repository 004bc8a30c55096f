# A Plan, part of _core.pyx: a list of the operations of a network. It depends on neither a precision nor a number of rows.


cdef enum OpKind:
    DENSE  # dst.Z = src.A W + b, dst.A = f(dst.Z)

cdef struct Op:
    int kind
    int src, dst        # slots: slot 0 is the inputs, slot l the outputs of layer l
    Py_ssize_t n_in, n_out
    Py_ssize_t W, b     # where W (n_in, n_out) and b (n_out,) begin in the parameters, in elements
    int activation
    double par[DNN_MAX_PAR]
    double dropout      # probability that a unit of src is dropped in training


cdef class Plan:
    """The operations of a network, in order.

    Plan(n_inputs, layers), layers: [(units, name of the activation, its parameters, dropout before the layer), ...].
    All parameters are in one vector, layer by layer: W (n_in, n_out) by rows, then b (n_out,).

    widest: units of the widest slot; width: units of all slots together.
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
        """Return the units of a slot, its elements per row: slot 0 is the inputs, slot l the outputs of layer l."""
        if not 0 <= slot <= self.n_ops:
            raise IndexError(f"slot must be in 0 .. {self.n_ops}, got {slot}")
        return self.ops[slot - 1].n_out if slot else self.n_inputs

    def offsets(self, int layer):
        """Return where the parameters of a layer (0, 1, ...) are: (begin of W, begin of b, end of b). W (n_in, n_out) is in
        C order. Python code gets this order from here only."""
        if not 0 <= layer < self.n_ops:
            raise IndexError(f"layer must be in 0 .. {self.n_ops - 1}, got {layer}")
        cdef const Op* op = &self.ops[layer]
        return op.W, op.b, op.b + op.n_out

    @property
    def dropout(self):
        """Return whether units are dropped in training."""
        return any(self.ops[i].dropout for i in range(self.n_ops))

    cdef Layout layout(self, int size, Py_ssize_t n_rows, int purpose, SparseMatrix sparse=None):
        """Return the layout of a forward pass. A few layouts are kept, because calls with the same shape follow each
        other."""
        key = (size, n_rows, purpose, KERNELS[size == 8].lanes, sparse is not None,
               sparse is not None and sparse.csr.segments != NULL)
        layout = self.layouts.get(key)
        if layout is None:
            layout = Layout(self, size, n_rows, purpose, sparse=sparse)
            if len(self.layouts) >= DNN_LAYOUTS_KEPT:
                self.layouts.clear()
            self.layouts[key] = layout
        return layout
