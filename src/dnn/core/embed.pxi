# Models for C, part of _core.pyx: the functions behind include/dnn.h, and the snapshots of models that they work on.

cdef extern from "include/dnn.h" nogil:
    enum: DNN_API_VERSION
    const char* DNN_API_NAME
    enum: DNN_OK, DNN_ERROR_ARGUMENT, DNN_ERROR_FILE, DNN_ERROR_FORMAT, DNN_ERROR_MISSING, DNN_ERROR_UNSUPPORTED
    enum: DNN_ERROR_PRECISION, DNN_ERROR_MEMORY, DNN_ERROR_PYTHON

    ctypedef struct DnnModel:
        pass

    ctypedef struct DnnAPI:
        int version
        size_t size
        int (*open)(const char*, DnnModel**) noexcept
        int (*from_object)(PyObject*, DnnModel**) noexcept
        void (*close)(DnnModel*) noexcept
        Py_ssize_t (*n_inputs)(const DnnModel*) noexcept
        Py_ssize_t (*n_outputs)(const DnnModel*) noexcept
        int (*is_double)(const DnnModel*) noexcept
        int (*predict_float)(const DnnModel*, const float*, Py_ssize_t, float*) noexcept
        int (*predict_double)(const DnnModel*, const double*, Py_ssize_t, double*) noexcept
        const char* (*last_error)() noexcept

cdef extern from * nogil:
    """
    static _Thread_local char dnn_message[512]; /* of the last error on this thread */
    """
    char dnn_message[512]

cdef enum:
    EMBED_STACK_BYTES = 16384  # slots and activations of a call up to this size are on the stack of its thread

cdef enum Decode:      # what is made of the outputs: see dnn.predictor.Decoding
    DECODE_NOTHING
    DECODE_QUANTILES   # sorted in each row
    DECODE_BINARY      # of one logit, the probabilities of two classes
    DECODE_ONE_CLASS   # its probability is 1

cdef dict DECODES = {"outputs": DECODE_NOTHING, "multiclass": DECODE_NOTHING, "multilabel": DECODE_NOTHING,
                     "quantiles": DECODE_QUANTILES, "binary": DECODE_BINARY, "one_class": DECODE_ONE_CLASS}
cdef int SIGMOID = ACTIVATIONS["sigmoid"].index

cdef struct Embedded:       # what a DnnModel* points at; constant, so that any number of threads may read it
    Job job                 # a copy of it, with slots and a workspace of its own, computes a call
    Decode decode
    Py_ssize_t n_inputs, n_outputs
    Py_ssize_t block_rows   # rows that go through the layers at once
    Py_ssize_t ld           # elements per row of a buffer of activations
    bint packs              # the matrix products of many rows have a workspace
    PyObject* owner         # the EmbeddedModel, whose reference the holder of the DnnModel* owns


cdef class EmbeddedModel:
    """A snapshot of a network for C.

    EmbeddedModel(plan, params, kind): kind is that of a `dnn.predictor.Decoding`; params are not copied, and must not be
    written to.
    """

    cdef Run run
    cdef Embedded model

    def __cinit__(self, Plan plan, params, str kind):
        cdef Embedded* model = &self.model
        # The blocks of rows are those of `predict`, and so are the bits. The run is for one row, because each call has its own
        # memory for activations: the run only has W'
        cdef Layout layout = Layout(plan, params.dtype.itemsize, DNN_PREDICT_ROWS, PREDICT)
        self.run = Run(plan, Layout(plan, layout.size, 1, PREDICT), params)
        derive(&self.run.job)
        model.decode = DECODES[kind]
        if model.decode == DECODE_BINARY:  # from the logit, because 1 - p would lose digits
            self.run.setup.loss.from_outputs = False
        memcpy(&model.job, &self.run.job, sizeof(Job))
        model.n_inputs = plan.n_inputs
        model.n_outputs = 2 if model.decode == DECODE_BINARY else plan.n_outputs
        model.block_rows, model.packs = layout.block_rows, layout.workspace >= 0
        model.ld = leading(layout.widest, layout.size)
        model.owner = <PyObject*>self


cdef void decode_rows(const Embedded* model, Py_ssize_t n, char* out) noexcept nogil:
    """Replace the outputs of n rows of the network by the predictions."""
    cdef const Setup* setup = model.job.setup
    if model.decode == DECODE_QUANTILES:
        if setup.size == 4:
            sort_rows(n, model.n_outputs, <float*>out)
        else:
            sort_rows(n, model.n_outputs, <double*>out)
    elif model.decode == DECODE_BINARY:
        if setup.size == 4:
            both_signs(n, <float*>out)
        else:
            both_signs(n, <double*>out)
        setup.kernels.activate(SIGMOID, NULL, n, 2, NULL, out, 2, out, 2)
    elif model.decode == DECODE_ONE_CLASS:
        if setup.size == 4:
            fill_ones(n, <float*>out)
        else:
            fill_ones(n, <double*>out)


ctypedef fused real:
    float
    double


cdef void sort_rows(Py_ssize_t n_rows, Py_ssize_t n_cols, real* rows) noexcept nogil:
    """Sort each row in rising order, NaN last, as NumPy does."""
    cdef Py_ssize_t r, c, k
    cdef real* y
    cdef real value
    for r in range(n_rows):
        y = rows + r * n_cols
        for c in range(1, n_cols):
            value, k = y[c], c
            while k > 0 and (y[k - 1] > value or (y[k - 1] != y[k - 1] and value == value)):
                y[k] = y[k - 1]
                k -= 1
            y[k] = value


cdef void fill_ones(Py_ssize_t n, real* out) noexcept nogil:
    """Write n ones."""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = 1


cdef void both_signs(Py_ssize_t n_rows, real* rows) noexcept nogil:
    """Write (-z, z) for the logit z of each row; the logits are in the second half of the rows, the last one at its end: a
    row never overwrites a logit that is still to be read."""
    cdef Py_ssize_t r
    cdef real z
    for r in range(n_rows):
        z = rows[n_rows + r]
        rows[2 * r], rows[2 * r + 1] = -z, z


cdef int predict_embedded(const Embedded* model, const char* X, Py_ssize_t n_rows, char* out) noexcept nogil:
    """Write the predictions for X (n_rows, n_inputs) to out (n_rows, n_outputs), and return a code."""
    cdef char on_stack[EMBED_STACK_BYTES]
    cdef char* memory = NULL
    cdef const Setup* setup = model.job.setup
    cdef Py_ssize_t size = setup.size, rows = min(n_rows, model.block_rows), r = 0, n, n_last
    cdef Py_ssize_t slots_bytes = ((setup.n_ops + 1) * <Py_ssize_t>sizeof(Slot) + LINE - 1) // LINE * LINE
    cdef Py_ssize_t buffer_bytes = (rows * model.ld * size + LINE - 1) // LINE * LINE + GAP
    cdef bint packs = model.packs and rows >= DNN_WORKSPACE_ROWS
    cdef Py_ssize_t needed = slots_bytes + 2 * buffer_bytes + (DNN_WORKSPACE_BYTES if packs else 0) + LINE
    cdef char* at = on_stack
    cdef Job job
    cdef Slot* slot
    cdef unsigned mode
    cdef int i
    if needed > EMBED_STACK_BYTES:
        at = memory = <char*>malloc(needed)
        if memory == NULL:
            return failed(DNN_ERROR_MEMORY, "no memory for %lld bytes of activations", needed)
    at = next_line(at)
    memcpy(&job, &model.job, sizeof(Job))
    job.slots = <Slot*>at
    at += slots_bytes
    for i in range(1, setup.n_ops):
        slot = &job.slots[i]
        slot.Z = slot.A = slot.V = matrix(at + i % 2 * buffer_bytes, leading(setup.ops[i - 1].n_out, setup.size))
    job.scratch.workspace = next_line(at + 2 * buffer_bytes) if packs else NULL
    n_last = setup.ops[setup.n_ops - 1].n_out
    mode = dnn_flush_subnormals()
    while r < n_rows:
        n = min(rows, n_rows - r)
        job.slots[0].A = matrix(X + r * model.n_inputs * size, model.n_inputs)
        at = out + r * model.n_outputs * size
        slot = &job.slots[setup.n_ops]
        slot.Z = slot.A = slot.V = matrix(at + n * (model.n_outputs - n_last) * size, n_last)
        for i in range(setup.n_ops):
            forward_layer(&job, i, 0, n, 0, setup.ops[i].n_out)
        decode_rows(model, n, at)
        r += n
    dnn_flush_restore(mode)
    free(memory)
    return DNN_OK


cdef int failed(int code, const char* message, Py_ssize_t value) noexcept nogil:
    """Keep the message of an error, with at most one value, and return its code."""
    snprintf(dnn_message, sizeof(dnn_message), message, <long long>value)
    return code


# ---- the functions of the interface ----

cdef int api_open(const char* path, DnnModel** model) noexcept with gil:
    if path == NULL or model == NULL:
        return failed(DNN_ERROR_ARGUMENT, "path and model must not be NULL", 0)
    return opened_by("opened", <bytes>path, model)


cdef int api_from_object(PyObject* source, DnnModel** model) noexcept with gil:
    if source == NULL or model == NULL:
        return failed(DNN_ERROR_ARGUMENT, "object and model must not be NULL", 0)
    return opened_by("embedded", <object>source, model)


cdef int opened_by(str function, source, DnnModel** model) noexcept:
    """Open a model by a function of dnn.interop.embedding, and return a code."""
    cdef EmbeddedModel opened
    cdef int code = DNN_ERROR_PYTHON
    model[0] = NULL
    try:
        from .files import ModelFormatError
        from .interop import embedding
        try:
            opened = getattr(embedding, function)(source)
            Py_INCREF(opened)
            model[0] = <DnnModel*>&opened.model
            return DNN_OK
        except ModelFormatError:
            code = DNN_ERROR_FORMAT
            raise
        except OSError:
            code = DNN_ERROR_FILE
            raise
        except ImportError:
            code = DNN_ERROR_MISSING
            raise
        except MemoryError:
            code = DNN_ERROR_MEMORY
            raise
        except (TypeError, ValueError):
            code = DNN_ERROR_UNSUPPORTED
            raise
    except BaseException as error:
        try:
            text = (str(error) or type(error).__name__).encode("utf-8", "replace")
            snprintf(dnn_message, sizeof(dnn_message), "%s", <const char*>text)
        except BaseException:
            failed(code, "an exception without a message", 0)
        if isinstance(error, KeyboardInterrupt):
            PyErr_SetInterrupt()  # C cannot raise it: Python will, as soon as it runs again
        return code


cdef void api_close(DnnModel* model) noexcept with gil:
    if model != NULL:
        Py_DECREF(<object>(<Embedded*>model).owner)


cdef Py_ssize_t api_n_inputs(const DnnModel* model) noexcept nogil:
    return (<const Embedded*>model).n_inputs


cdef Py_ssize_t api_n_outputs(const DnnModel* model) noexcept nogil:
    return (<const Embedded*>model).n_outputs


cdef int api_is_double(const DnnModel* model) noexcept nogil:
    return (<const Embedded*>model).job.setup.size == 8


cdef int api_predict(const Embedded* model, const char* X, Py_ssize_t n_rows, char* out, int size) noexcept nogil:
    if model == NULL:
        return failed(DNN_ERROR_ARGUMENT, "model must not be NULL", 0)
    if model.job.setup.size != size:
        return failed(DNN_ERROR_PRECISION, "the model computes in double: call dnn_predict_double" if size == 4 else
                      "the model computes in float: call dnn_predict_float", 0)
    if n_rows < 0:
        return failed(DNN_ERROR_ARGUMENT, "n_rows must be at least 0, got %lld", n_rows)
    if n_rows == 0:
        return DNN_OK
    if X == NULL or out == NULL:
        return failed(DNN_ERROR_ARGUMENT, "X and out must not be NULL", 0)
    return predict_embedded(model, X, n_rows, out)


cdef int api_predict_float(const DnnModel* model, const float* X, Py_ssize_t n_rows, float* out) noexcept nogil:
    return api_predict(<const Embedded*>model, <const char*>X, n_rows, <char*>out, sizeof(float))


cdef int api_predict_double(const DnnModel* model, const double* X, Py_ssize_t n_rows, double* out) noexcept nogil:
    return api_predict(<const Embedded*>model, <const char*>X, n_rows, <char*>out, sizeof(double))


cdef const char* api_last_error() noexcept nogil:
    return dnn_message


cdef DnnAPI API
API.version, API.size = DNN_API_VERSION, sizeof(DnnAPI)
API.open, API.from_object, API.close = api_open, api_from_object, api_close
API.n_inputs, API.n_outputs, API.is_double = api_n_inputs, api_n_outputs, api_is_double
API.predict_float, API.predict_double = api_predict_float, api_predict_double
API.last_error = api_last_error
_C_API = PyCapsule_New(&API, DNN_API_NAME, NULL)
