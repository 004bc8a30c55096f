# The kernels for this machine, part of _core.pyx: the tables of their names, the instruction sets, the BLAS.

cdef extern from "core/kernels/kernels.h" nogil:
    enum: DNN_MAX_PAR, DNN_MAX_HYPER, DNN_MAX_SCALARS, DNN_N_ISA, DNN_WORKSPACE_BYTES
    enum: DNN_EPILOGUE_NONE, DNN_EPILOGUE_RELU, DNN_EPILOGUE_RELU_SLOPE

    ctypedef struct DnnActivation:
        const char* name
        int row_wise, slope_from_z
        const char* init
        int output, n_par
        double par0

    ctypedef struct DnnLoss:
        const char* id
        const char* name
        const char* output
        int classes, n_par
        double low, high

    ctypedef struct DnnOptimizer:
        const char* name
        int n_slots, n_hyper, whole_gradient

    const DnnActivation* dnn_activations
    const DnnLoss* dnn_losses
    const DnnOptimizer* dnn_optimizers
    const char** dnn_functions

    ctypedef struct DnnMatrix:
        void* at
        Py_ssize_t ld
        const void** rows
        Py_ssize_t column

    ctypedef struct DnnEpilogue:
        int kind
        const void* bias
        DnnMatrix slope

    ctypedef struct DnnPrefetchMatrix:
        const char* at
        Py_ssize_t stride
        int transposed

    ctypedef struct DnnPrefetch:
        int n
        DnnPrefetchMatrix* matrix

    ctypedef struct DnnKernels:
        const char* isa
        int size
        void (*activate)(int, const double*, Py_ssize_t, Py_ssize_t, const void*,
                         void*, Py_ssize_t, void*, Py_ssize_t) noexcept nogil
        void (*slope)(int, const double*, Py_ssize_t, Py_ssize_t, const void*, Py_ssize_t,
                      const void*, Py_ssize_t, void*, Py_ssize_t) noexcept nogil
        double (*loss)(int, const double*, Py_ssize_t, Py_ssize_t, const void*, Py_ssize_t,
                       const void*, Py_ssize_t, const int64_t*, const double*, double,
                       void*, Py_ssize_t, double*) noexcept nogil
        double (*penalty)(Py_ssize_t, Py_ssize_t, const void*, Py_ssize_t, double, double,
                          void*, Py_ssize_t) noexcept nogil
        void (*update)(int, const double*, Py_ssize_t, Py_ssize_t, void*, Py_ssize_t,
                       const void*, Py_ssize_t, void*, Py_ssize_t) noexcept nogil
        void (*column_sums)(Py_ssize_t, Py_ssize_t, const void*, Py_ssize_t, void*) noexcept nogil
        void (*transpose)(Py_ssize_t, Py_ssize_t, const void*, Py_ssize_t, void*, Py_ssize_t) noexcept nogil
        int (*all_finite)(Py_ssize_t, const void*) noexcept nogil
        void (*map)(int, Py_ssize_t, const void*, void*) noexcept nogil
        double (*sum_squares)(Py_ssize_t, const void*) noexcept nogil
        void (*scale)(Py_ssize_t, Py_ssize_t, double, void*, Py_ssize_t) noexcept nogil
        void (*add)(Py_ssize_t, const void*, const void*, void*) noexcept nogil
        void (*average)(Py_ssize_t, double, const void*, void*) noexcept nogil
        void (*dropout)(Py_ssize_t, Py_ssize_t, const uint8_t*, Py_ssize_t, uint64_t, Py_ssize_t, double,
                        const void*, Py_ssize_t, void*, Py_ssize_t) noexcept nogil
        void (*drop_stored)(Py_ssize_t, const int32_t*, uint64_t, Py_ssize_t, double, const void*, void*) noexcept nogil
        void (*gather_add)(Py_ssize_t, const int32_t*, const void*, Py_ssize_t, const void*, Py_ssize_t,
                           void*) noexcept nogil
        void (*scatter_add)(Py_ssize_t, const int32_t*, const int32_t*, const void*, Py_ssize_t, const void*, Py_ssize_t,
                            void*, Py_ssize_t, uint8_t*) noexcept nogil
        void (*sort_stored)(Py_ssize_t, const int64_t*, Py_ssize_t, const int64_t*, const int32_t*, const void*, Py_ssize_t,
                            Py_ssize_t, Py_ssize_t, int64_t*, int64_t*, int32_t*, void*) noexcept nogil
        void (*gather_segments)(Py_ssize_t, const int32_t*, const void*, const int32_t*, Py_ssize_t, const void*, const void*,
                                Py_ssize_t, void*) noexcept nogil
        void (*gradient_segments)(Py_ssize_t, const int32_t*, const int64_t*, const int32_t*, const void*, Py_ssize_t,
                                  const void*, Py_ssize_t, void*, Py_ssize_t) noexcept nogil
        int lanes
        void (*gemm_nn)(Py_ssize_t, Py_ssize_t, Py_ssize_t, const DnnMatrix*, const DnnMatrix*, const DnnMatrix*,
                        const DnnEpilogue*, void*) noexcept nogil
        void (*gemm_nt)(Py_ssize_t, Py_ssize_t, Py_ssize_t, const DnnMatrix*, const DnnMatrix*, const DnnMatrix*,
                        const DnnEpilogue*, void*) noexcept nogil
        void (*gemm_tn)(Py_ssize_t, Py_ssize_t, Py_ssize_t, const DnnMatrix*, const DnnMatrix*, const DnnMatrix*, void*,
                        const DnnPrefetch*) noexcept nogil

    const DnnKernels* dnn_kernels(int isa, int precision)
    uint64_t dnn_key(uint64_t seed, int64_t step, int layer)
    void dnn_scalars(int optimizer, const double* hyper, double rate, int64_t step, double* scalars)
    void dnn_gather(Py_ssize_t n_rows, Py_ssize_t row_bytes, const char* X, Py_ssize_t stride,
                    const int64_t* order, char* out, Py_ssize_t ld)
    void* dnn_pages(size_t n_bytes)
    unsigned dnn_flush_subnormals()
    void dnn_flush_restore(unsigned mode)
    double dnn_seconds()

cdef extern from "core/kernels/sampling.h" nogil:
    enum: DNN_SAMPLING_ALIGNED

    ctypedef struct DnnSampling:
        void (*bernoulli)(uint64_t, uint64_t, Py_ssize_t, Py_ssize_t, const void*, void*) noexcept nogil
        void (*normal)(uint64_t, uint64_t, Py_ssize_t, Py_ssize_t, void*) noexcept nogil

    const DnnSampling* dnn_sampling_baseline
    const DnnSampling* dnn_sampling_avx2
    const DnnSampling* dnn_sampling_avx512

cdef extern from "core/kernels/tuning.h" nogil:
    enum: DNN_ROW_TILES_MAX, DNN_ROW_TILES_MULTIPLE, DNN_TILE_ROWS_MIN, DNN_BLOCK_ROWS, DNN_BLOCK_ROWS_PREDICT
    enum: DNN_PREDICT_ROWS, DNN_BLAS_TILE_VALUES, DNN_BLAS_TILE_ROWS_MIN, DNN_BLAS_TILE_ROWS_MAX
    enum: DNN_PADDED_ROW_ELEMENTS, DNN_ALIAS_BYTES, DNN_L1_ALIAS_BYTES, DNN_STREAM_ROWS_MAX
    enum: DNN_WORKSPACE_ROWS, DNN_WORKSPACE_ROW_BYTES
    enum: DNN_TILE_VALUES, DNN_TILE_VALUES_LONG, DNN_TILE_VALUES_PACKED, DNN_TILE_LONG_ROWS, DNN_TILE_VALUES_MIN
    enum: DNN_TILE_HEIGHT_MULTIPLE, DNN_TILE_COLUMNS, DNN_TILES, DNN_TILE_COST, DNN_TILE_BIAS_ROWS
    enum: DNN_SPARSE_TILE_VALUES, DNN_SPARSE_TILE_ROWS
    enum: DNN_COLUMNS_INPUTS, DNN_COLUMNS_TILES, DNN_PIECE_VECTORS_AVX2, DNN_PIECE_VECTORS_AVX512
    enum: DNN_INNER_PRODUCT_OUTPUTS
    enum: DNN_INNER_PRODUCT_INPUTS_AVX2, DNN_INNER_PRODUCT_VECTORS_AVX2, DNN_INNER_PRODUCT_TWELFTHS_AVX2
    enum: DNN_INNER_PRODUCT_INPUTS_AVX512, DNN_INNER_PRODUCT_VECTORS_AVX512, DNN_INNER_PRODUCT_TWELFTHS_AVX512
    enum: DNN_GRAD_TRANSPOSED_TENTHS_AVX2, DNN_GRAD_TRANSPOSED_TENTHS_AVX512
    enum: DNN_REPLICATED_PARAMS, DNN_REPLICATED_BYTES
    enum: DNN_FEATURE_MAJOR_UNITS, DNN_FEATURE_MAJOR_ROWS, DNN_FEATURE_MAJOR_BYTES
    const double DNN_FUSED_FLOPS, DNN_FUSED_FLOPS_AVX2, DNN_FUSED_FLOPS_AVX512
    enum: DNN_FLOPS_PER_MEMBER, DNN_BLOCKS_PER_MEMBER, DNN_TEAM_ROWS, DNN_FLOPS_PER_UPDATE
    const double DNN_TEAM_FLOPS, DNN_TEAM_FLOPS_FEW_ROWS, DNN_STEP_FLOPS_PER_MEMBER, DNN_STEP_FLOPS
    enum: DNN_FLOPS_HELD, DNN_ROW_COST, DNN_VALUES_HELD, DNN_SMALL_BATCH_ROWS, DNN_VALUES_CONVERTED, DNN_LAYOUTS_KEPT
    enum: DNN_FLOPS_PER_TRIAL, DNN_SHORT_STEPS, DNN_TRIAL_FRACTION, DNN_TRIALS_PER_SAMPLE, DNN_BAD_TRIALS, DNN_PAUSES_MAX
    const double DNN_SLICE, DNN_SHORT_TRIAL, DNN_WAITED, DNN_PAUSE
    enum: DNN_DRAWS_PER_MEMBER, DNN_DRAWS_PER_POLL
    enum: DNN_RBM_TILE_ROWS, DNN_RBM_TILE_VALUES, DNN_RBM_TILES
    const double DNN_POLL_FLOPS, DNN_POLL_SECONDS, DNN_LAYER_POLL_FLOPS
    const double DNN_CALL_LIMIT_SMALL_MATRIX, DNN_CALL_LIMIT
    enum: DNN_CALL_COLUMNS, DNN_CALL_DEPTH, DNN_CALL_ROWS, DNN_CALL_MIN, DNN_BLAS_THREAD_BYTES

cdef extern from "core/team.h" nogil:
    ctypedef struct DnnTeam:
        pass
    DnnTeam* dnn_team_new(int n)
    int dnn_team_size(const DnnTeam* team)
    void dnn_team_run(DnnTeam* team, int n, void (*work)(void*, int) noexcept nogil, void* arg)
    long dnn_team_next(DnnTeam* team)
    ctypedef struct DnnClaim:
        pass
    bint dnn_claim(DnnClaim* claim, long round)
    bint dnn_claimed(const DnnClaim* claim, long round)
    void dnn_team_barrier(DnnTeam* team, int member)
    double dnn_team_waited(const DnnTeam* team)
    int dnn_team_is_here(const DnnTeam* team)
    void dnn_team_free(DnnTeam* team)


# ---------------------------------------------------------------------------------------------------------
# The tables of activations, losses, optimizers and functions, as Python reads them
# ---------------------------------------------------------------------------------------------------------

ActivationInfo = namedtuple("ActivationInfo", "index name row_wise slope_from_z init output n_par par0", module="dnn._core")
LossInfo = namedtuple("LossInfo", "index id name output classes n_par low high", module="dnn._core")
OptimizerInfo = namedtuple("OptimizerInfo", "index name n_slots n_hyper whole_gradient", module="dnn._core")

ACTIVATIONS = {}
LOSSES = {}
OPTIMIZERS = {}
FUNCTIONS = {}


cdef void read_tables():
    cdef int i = 0
    cdef DnnActivation activation
    cdef DnnLoss loss
    cdef DnnOptimizer optimizer
    while dnn_activations[i].name != NULL:
        activation = dnn_activations[i]
        name = activation.name.decode()
        ACTIVATIONS[name] = ActivationInfo(
            i, name, bool(activation.row_wise), bool(activation.slope_from_z), activation.init.decode(),
            bool(activation.output), activation.n_par, activation.par0)
        i += 1
    i = 0
    while dnn_losses[i].id != NULL:
        loss = dnn_losses[i]
        name = loss.id.decode()
        LOSSES[name] = LossInfo(
            i, name, loss.name.decode(), loss.output.decode(), bool(loss.classes), loss.n_par, loss.low, loss.high)
        i += 1
    i = 0
    while dnn_optimizers[i].name != NULL:
        optimizer = dnn_optimizers[i]
        name = optimizer.name.decode()
        OPTIMIZERS[name] = OptimizerInfo(
            i, name, optimizer.n_slots, optimizer.n_hyper, bool(optimizer.whole_gradient))
        i += 1
    i = 0
    while dnn_functions[i] != NULL:
        FUNCTIONS[dnn_functions[i].decode()] = i
        i += 1


read_tables()
cdef int IDENTITY = ACTIVATIONS["identity"].index
cdef int RELU = ACTIVATIONS["relu"].index


# ---------------------------------------------------------------------------------------------------------
# Instruction sets
# ---------------------------------------------------------------------------------------------------------

# Every name that DNN_ISA may have on some processor, in the order of dnn_kernels.
ISA_NAMES = ("baseline", "avx2", "avx512")
cdef const DnnKernels* KERNELS[2]  # the tables in use, for float32 and float64
cdef const DnnSampling* SAMPLING   # the same for random draws

cdef enum:
    AVX2_BYTES = 32    # bytes of a vector
    AVX512_BYTES = 64


cdef inline bint has_vectors_of(const DnnKernels* kernels, int n_bytes) noexcept nogil:
    """Return whether the matrix kernels use vectors of n_bytes: AVX2_BYTES, AVX512_BYTES. The baseline has no matrix
    kernels."""
    return kernels.lanes * kernels.size == n_bytes


def available_isas():
    """Return the names of the instruction sets that this build has and this processor supports, narrowest first."""
    return tuple(ISA_NAMES[i] for i in range(DNN_N_ISA) if dnn_kernels(i, 0) != NULL)


def select_isa(name=None):
    """Use the kernels of an instruction set from now on, in the whole process; the widest if name is None.

    This is meant for tests and for DNN_ISA. Choose before anything is computed, because another instruction set gives other
    last bits.
    """
    global SAMPLING
    available = available_isas()
    if name is None:
        name = available[-1]
    if name not in available:
        raise ValueError(f"DNN_ISA must be one of {', '.join(available)} on this processor, got {name!r}")
    for precision in range(2):
        KERNELS[precision] = dnn_kernels(ISA_NAMES.index(name), precision)
    SAMPLING = dnn_sampling_avx512 if name == "avx512" else dnn_sampling_avx2 if name == "avx2" else dnn_sampling_baseline


def isa():
    """Return the name of the instruction set in use."""
    return KERNELS[0].isa.decode()


def kernel_addresses():
    """Return the address of each kernel in use: {(name, bytes of an element): address}. Tests call kernels by address."""
    addresses = {}
    for precision in range(2):
        k = KERNELS[precision]
        for name, address in (
            ("activate", <uintptr_t>k.activate), ("slope", <uintptr_t>k.slope), ("loss", <uintptr_t>k.loss),
            ("penalty", <uintptr_t>k.penalty), ("update", <uintptr_t>k.update),
            ("column_sums", <uintptr_t>k.column_sums), ("transpose", <uintptr_t>k.transpose),
            ("all_finite", <uintptr_t>k.all_finite), ("map", <uintptr_t>k.map),
            ("sum_squares", <uintptr_t>k.sum_squares), ("scale", <uintptr_t>k.scale),
            ("add", <uintptr_t>k.add), ("average", <uintptr_t>k.average), ("dropout", <uintptr_t>k.dropout),
            ("drop_stored", <uintptr_t>k.drop_stored), ("gather_add", <uintptr_t>k.gather_add),
            ("scatter_add", <uintptr_t>k.scatter_add), ("sort_stored", <uintptr_t>k.sort_stored),
            ("gather_segments", <uintptr_t>k.gather_segments), ("gradient_segments", <uintptr_t>k.gradient_segments),
            ("gemm_nn", <uintptr_t>k.gemm_nn), ("gemm_nt", <uintptr_t>k.gemm_nt), ("gemm_tn", <uintptr_t>k.gemm_tn),
        ):
            addresses[name, k.size] = address
    return addresses


try:
    select_isa(os.environ.get("DNN_ISA") or None)
except ValueError as error:
    raise ImportError(str(error)) from None


# ---------------------------------------------------------------------------------------------------------
# BLAS
# ---------------------------------------------------------------------------------------------------------

# One type for sgemm and dgemm of SciPy, which differ only in the type of their elements. Integers are passed as int64_t: a
# BLAS that reads `int` finds the same value in the first half (little-endian), and a BLAS built for 64 bits (SciPy >= 1.18
# from source) reads all of it.
ctypedef void (*gemm_t)(char*, char*, int64_t*, int64_t*, int64_t*, void*, const void*, int64_t*,
                        const void*, int64_t*, void*, void*, int64_t*) noexcept nogil

cdef gemm_t GEMM[2]  # sgemm, dgemm; NULL until load_blas
# Multiply-adds of a call; a call of at most so many stays on the calling thread, and is as fast as larger ones.
cdef double CALL_LIMIT = 0
cdef object BLAS = None


def load_blas():
    """Load sgemm and dgemm from SciPy, once; return a dictionary that describes the BLAS.

    Importing `scipy.linalg.cython_blas` takes a quarter of a second. It is therefore postponed until a network is created.
    """
    global CALL_LIMIT, BLAS
    if BLAS is not None:
        return BLAS
    import ctypes

    from scipy.linalg import cython_blas

    for i, routine in enumerate(("sgemm", "dgemm")):
        capsule = cython_blas.__pyx_capi__[routine]
        signature = PyCapsule_GetName(capsule).decode()
        wide = "int64_t *" in signature
        if not wide and ("int *" not in signature or sys.byteorder != "little"):
            raise ImportError(f"dnn does not know this interface of scipy.linalg.cython_blas: {signature}")
        GEMM[i] = <gemm_t>PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))

    library = ctypes.CDLL(cython_blas.__file__)  # its symbols include those of the BLAS that it loads
    core = config = None
    for prefix, suffix in (("scipy_", ""), ("scipy_", "64_"), ("", ""), ("", "64_")):
        try:
            get_core = getattr(library, f"{prefix}openblas_get_corename{suffix}")
            get_config = getattr(library, f"{prefix}openblas_get_config{suffix}")
        except AttributeError:
            continue
        get_core.restype = get_config.restype = ctypes.c_char_p
        core, config = get_core().decode(), get_config().decode()
        break
    if core is None:  # MKL, Accelerate, ...: one call per tile, and this BLAS chooses its threads
        CALL_LIMIT = INFINITY
    elif core in ("SkylakeX", "Cooperlake", "SapphireRapids"):  # OpenBLAS has kernels for small matrices
        CALL_LIMIT = DNN_CALL_LIMIT_SMALL_MATRIX
    else:  # OpenBLAS on other processors: larger calls wake its threads
        CALL_LIMIT = DNN_CALL_LIMIT
    BLAS = {"name": config or "unknown", "core": core or "unmeasured", "call_limit": CALL_LIMIT, "wide": wide}
    return BLAS
