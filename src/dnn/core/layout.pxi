# A Layout, part of _core.pyx: how a plan is computed. It cuts the work into a grid of tiles, chooses the kernels and
# the kind of step, and assigns every buffer its place in one block of memory. It is a function of the shapes, the
# precision, the instruction set and the BLAS. Thresholds are in core/kernels/tuning.h.
#
# The matrices of a slot share memory where they can. Z are the pre-activations, A is the input of the next layer, V is the
# matrix that the slope is computed from, dZ is the gradient with respect to Z. "=" means the same memory.
#
#     purpose                          Z                    A              V                        dZ
#     PREDICT                          = A                  two buffers    = A                      none
#                                                           in turn
#     CACHE (forward for a caller)     cache block          cache block    = Z or = A (1)           work space
#     DROPPED (the same in training)   cache block          cache block    as CACHE; cache block    work space
#                                                                          where units are dropped
#     TRAIN, hidden layer              = V                  work space     = A, or = dZ (2)         work space
#     TRAIN, last layer, loss of       = dZ                 = dZ           = dZ                     work space
#         the logits
#
#     (1) = Z where the slope is computed from Z (gelu, silu, mish), = A where it is computed from A (all others)
#     (2) = dZ where the slope is computed from Z, or where units are dropped: the matrix that the slope is computed from is
#         stored there until dZ overwrites it. The loss of the last layer overwrites the logits with their gradient likewise.


cdef enum Purpose:
    PREDICT  # only the last outputs are needed
    CACHE    # Z and A of every layer are kept, in a block of memory that belongs to the caller
    DROPPED  # the same in training: A is kept after dropout, and V beside it
    TRAIN    # a training step: Z, A and dZ of the rows of a batch

cdef enum StepKind:
    STEP_TILED          # core/step_tiled.pxi
    STEP_REPLICATED     # core/step_replicated.pxi
    STEP_FEATURE_MAJOR  # core/step_feature_major.pxi

cdef enum:
    N_SHARDS = 2  # parts of a batch in a replicated step
    LINE = 64     # bytes of a cache line
    GAP = 192     # bytes between buffers, which keep them from beginning on the same set of lines of the cache

cdef struct Place:         # where the matrices of a slot begin: bytes from the start of their block; -1: none
    Py_ssize_t A, Z, dZ, V
    Py_ssize_t ld          # elements from one row to the next

cdef struct KernelChoice:  # how an operation is computed
    bint native            # by the matrix kernels of core/kernels; otherwise by BLAS
    bint inner_product     # forward by gemm_nt, because few outputs would leave most lanes of a vector empty
    bint grad_transposed   # the gradient as dW' = dZ' A_prev, which is then transposed
    Py_ssize_t Wt          # where W' begins: bytes from the start of the work space (replicated step: scratch); -1: none

cdef struct Tile:          # rows i0 .. i1 and columns o0 .. o1 of the weights of an operation; with i0 = 0, of its bias too
    int op
    Py_ssize_t i0, i1, o0, o1
    double middle          # the tile's middle on a scale of cost from 0 to 1, which decides its owner: see cut_weights


cdef class SparseMatrix  # core/arguments.pxi


cdef inline Py_ssize_t leading(Py_ssize_t n, int size) noexcept nogil:
    """Return the leading dimension for rows of n elements: the elements from one row to the next."""
    if n < DNN_PADDED_ROW_ELEMENTS:
        return n
    n = (n * size + LINE - 1) // LINE * LINE // size
    if n * size % DNN_ALIAS_BYTES == 0:
        n += LINE // size
    return n


cdef class Layout:
    """The grid of tiles and the places of all buffers, for up to n_rows rows of `size` bytes per element.

    Arguments for TRAIN: gather, rows are read in a given order; outputs, the loss is computed from the outputs and not from
    the logits; gradient, the whole gradient is stored before an update; dropout, units are dropped with the rates of the
    plan; called, the loss is a Python function; slots, the number of slots of the optimizer. sparse: X if it is sparse
    (core/sparse.pxi), of which only the segments are used.

    Sums over rows are sums over tiles of rows. A block of rows goes through the layers at once. It is several tiles with the
    matrix kernels, which give the same bits for any number of rows; with BLAS it is one tile.

    cache_bytes, work, scratch: bytes of the block that a forward pass keeps for its caller, of the work space that members
    share, and of the scratch memory of each member.
    """

    cdef Plan plan
    cdef readonly int size, purpose
    cdef readonly Py_ssize_t n_rows, tile_rows, block_rows, n_row_tiles, n_weight_tiles, cache_bytes, work, scratch
    cdef readonly int step_kind
    cdef readonly int n_columns  # number of first layers whose forward pass members share by columns
    cdef readonly bint sparse
    cdef bint segmented          # a sparse X has segments
    cdef int block_bits          # 2 ** block_bits columns of a sparse X without segments are a block
    cdef Py_ssize_t n_blocks     # blocks of columns of a sparse X
    cdef Py_ssize_t n_cuts, longest  # with segments: the number of tiles of W by rows, and the rows of the longest one
    cdef int32_t* cuts           # with segments: (n_cuts + 1,) where these tiles begin; otherwise NULL
    cdef Py_ssize_t widest       # elements of the longest row: of a layer's outputs, or of a dense X
    cdef bint gather, outputs, dropout
    cdef Py_ssize_t tile_values, tile_columns
    cdef const DnnKernels* kernels
    cdef Place* places
    cdef Tile* tiles
    cdef KernelChoice* choices
    cdef Py_ssize_t grad, partial_grads, row_sums, tile_sums, claims, n_claims  # in the work space
    cdef Py_ssize_t dA, Y, classes, w, G, transposed, workspace, rows, params, state  # in the scratch
    cdef Py_ssize_t block_begins, block_next, seen

    def __cinit__(self, Plan plan, int size, Py_ssize_t n_rows, int purpose, bint gather=False,
                  bint outputs=False, bint gradient=False, bint dropout=False, bint called=False, int slots=0,
                  SparseMatrix sparse=None):
        cdef Py_ssize_t i, n
        self.sparse = sparse is not None
        self.segmented = self.sparse and sparse.csr.segments != NULL
        self.widest = 0 if self.sparse else plan.n_inputs
        for i in range(plan.n_ops):
            self.widest = max(self.widest, plan.ops[i].n_out)
        self.plan, self.size, self.purpose = plan, size, purpose
        self.n_rows, self.gather, self.outputs = n_rows, gather, outputs
        self.dropout = dropout or purpose == DROPPED
        self.kernels = KERNELS[size == 8]
        self.places = <Place*>calloc(plan.n_ops + 1, sizeof(Place))
        self.choices = <KernelChoice*>calloc(max(plan.n_ops, 1), sizeof(KernelChoice))
        if self.places == NULL or self.choices == NULL:
            raise MemoryError("no memory for the layout")
        cdef bint native = self.kernels.lanes > 0
        # Only a tiled step can call a loss once for the whole batch, or read a sparse X
        self.step_kind = STEP_TILED
        if purpose == TRAIN and native and not called and not self.sparse:
            self.step_kind = self.choose_step()
        self.tile_values = DNN_TILE_VALUES_LONG if native and (gradient or n_rows >= DNN_TILE_LONG_ROWS) else DNN_TILE_VALUES
        self.tile_columns = DNN_TILE_COLUMNS
        if has_vectors_of(self.kernels, AVX2_BYTES) and n_rows >= DNN_TILE_LONG_ROWS:
            self.tile_values, self.tile_columns = DNN_TILE_VALUES_PACKED, 2 * DNN_TILE_COLUMNS
        self.cut_rows(native)
        self.count_columns(native)
        if self.sparse:
            self.cut_columns(sparse)
        self.place_slots()

        n = self.tile_values
        if self.sparse:
            n = max(n, DNN_SPARSE_TILE_VALUES, self.longest * min(plan.ops[0].n_out, self.tile_columns))
        for i in range(plan.n_ops):
            self.choose(&self.choices[i], &plan.ops[i], native, i)
        self.cut_weights()
        if purpose != PREDICT:
            if self.step_kind == STEP_FEATURE_MAJOR:
                n = plan.n_params
            if self.step_kind == STEP_REPLICATED:
                n = plan.n_params
                self.partial_grads = self.take(2 * N_SHARDS * n * size)
                self.params = self.take_scratch(n * size)
                self.state = self.take_scratch(slots * n * size)
            self.G = self.take_scratch((n + self.tile_columns) * size)
            self.transposed = self.take_scratch(n * size)
            self.tile_sums = self.take(2 * self.n_weight_tiles * sizeof(double))
            self.n_claims = self.n_weight_tiles
            if self.n_columns > 0:
                self.n_claims += plan.widest // self.kernels.lanes + 1  # and one for the remainder
            self.claims = self.take(self.n_claims * sizeof(DnnClaim))
            self.row_sums = self.take(max(self.n_row_tiles, 2 * N_SHARDS) * sizeof(double))
        self.grad = self.take(plan.n_params * size) if gradient and self.step_kind == STEP_TILED else -1
        # Matrix products pack gathered rows, and wide ones
        self.workspace = -1
        if native and self.step_kind != STEP_FEATURE_MAJOR and (
                gather or (n_rows >= DNN_WORKSPACE_ROWS and self.widest * size >= DNN_WORKSPACE_ROW_BYTES)):
            self.workspace = self.take_scratch(DNN_WORKSPACE_BYTES)
        self.dA = self.take_scratch(self.block_rows * leading(self.widest, size) * size)
        self.Y = self.take_scratch(self.tile_rows * plan.n_outputs * size)
        self.classes = self.take_scratch(self.tile_rows * sizeof(int64_t))
        self.w = self.take_scratch(self.tile_rows * sizeof(double))
        self.rows = self.take_scratch(n_rows * sizeof(void*) if gather and not self.sparse else 0)
        if self.sparse and purpose == TRAIN:
            self.block_begins = self.take_scratch((self.n_blocks + 1) * sizeof(int64_t))
            self.block_next = self.take_scratch(self.n_blocks * sizeof(int64_t))
            self.seen = self.take_scratch(1 << self.block_bits)

    cdef StepKind choose_step(self):
        """Return the kind of step for a plan, a precision and a number of rows: the sizes alone decide."""
        cdef Plan plan = self.plan
        cdef bint tiny = plan.n_outputs == 1 and plan.widest <= DNN_FEATURE_MAJOR_UNITS \
            and self.n_rows >= DNN_FEATURE_MAJOR_ROWS \
            and self.n_rows * (plan.width + plan.n_ops) * self.size <= DNN_FEATURE_MAJOR_BYTES
        cdef int i
        for i in range(plan.n_ops):
            tiny = tiny and not self.drops(i) and not dnn_activations[plan.ops[i].activation].row_wise
        if tiny:
            return STEP_FEATURE_MAJOR
        if self.n_rows > 1 and plan.n_params < DNN_REPLICATED_PARAMS \
                and self.n_rows // N_SHARDS * plan.width * self.size <= DNN_REPLICATED_BYTES:
            return STEP_REPLICATED
        return STEP_TILED

    cdef void cut_rows(self, bint native):
        """Cut the rows into tiles, and set how many rows a block has. Examples with the matrix kernels: 40 rows are 3 tiles
        of at most 14 rows; 100 rows, which would be 7 tiles of 16, are 4 tiles of 25; 1000 rows are 16 tiles of at most
        63."""
        cdef Py_ssize_t n = self.n_rows, tiles
        if self.step_kind == STEP_FEATURE_MAJOR:
            self.tile_rows = self.block_rows = n
        elif self.step_kind == STEP_REPLICATED:
            self.tile_rows = self.block_rows = (n + N_SHARDS - 1) // N_SHARDS
        elif native:
            tiles = min((n + DNN_TILE_ROWS_MIN - 1) // DNN_TILE_ROWS_MIN, DNN_ROW_TILES_MAX)
            if tiles >= DNN_ROW_TILES_MULTIPLE:
                tiles -= tiles % DNN_ROW_TILES_MULTIPLE
            self.block_rows = DNN_BLOCK_ROWS_PREDICT if self.purpose == PREDICT else DNN_BLOCK_ROWS
            self.tile_rows = max(1, min(self.block_rows, (n + tiles - 1) // max(tiles, 1)))
        else:
            self.tile_rows = DNN_BLAS_TILE_VALUES // self.plan.width // DNN_BLAS_TILE_ROWS_MIN * DNN_BLAS_TILE_ROWS_MIN
            self.tile_rows = max(DNN_BLAS_TILE_ROWS_MIN, min(DNN_BLAS_TILE_ROWS_MAX, self.tile_rows))
            self.tile_rows = self.block_rows = max(1, min(self.tile_rows, n))
        self.n_row_tiles = (n + self.tile_rows - 1) // self.tile_rows

    cdef void count_columns(self, bint native):
        """Count the first layers that have far more weights than a batch has activations: members share these by columns,
        see forward_columns."""
        cdef Plan plan = self.plan
        cdef const Op* op
        if self.purpose != TRAIN or not native or self.step_kind != STEP_TILED or self.sparse or plan.dropout:
            return
        while self.n_columns < plan.n_ops - 1:
            op = &plan.ops[self.n_columns]
            if op.n_out < DNN_COLUMNS_TILES * self.tile_columns or op.n_in < DNN_COLUMNS_INPUTS * self.n_rows \
                    or dnn_activations[op.activation].row_wise:
                return
            self.n_columns += 1

    cdef int cut_columns(self, SparseMatrix sparse) except -1:
        """Cut a sparse X into blocks of columns. Their width is a power of two, so that a shift gives the block of an
        element's column. A block of columns of X is a block of rows of W.

        With segments, a block is one column, and a tile of W has the rows of whole segments and of plain columns, as many as
        fit."""
        cdef Py_ssize_t columns = max(1, min(self.plan.ops[0].n_out, self.tile_columns)), n_inputs = self.plan.n_inputs
        cdef Py_ssize_t tile_values = max(DNN_TILE_VALUES_MIN, min(DNN_SPARSE_TILE_VALUES, self.plan.n_params // DNN_TILES))
        cdef Py_ssize_t c, end
        cdef const int32_t* first = sparse.csr.segments
        while (2 << self.block_bits) * columns <= tile_values and 2 << self.block_bits <= DNN_SPARSE_TILE_ROWS:
            self.block_bits += 1
        self.n_blocks = ((n_inputs - 1) >> self.block_bits) + 1
        if not self.segmented or self.purpose != TRAIN:
            return 0
        if sparse.n_columns != n_inputs:
            raise ValueError(f"X must have {n_inputs} columns, got {sparse.n_columns}")
        self.cuts = <int32_t*>malloc((n_inputs + 1) * sizeof(int32_t))
        if self.cuts == NULL:
            raise MemoryError("no memory for the layout")
        c = self.cuts[0] = 0
        while c < n_inputs:  # columns c .. end are a segment or a plain column
            end = c + 1
            while end < n_inputs and first[end] == c:
                end += 1
            if end - self.cuts[self.n_cuts] > 1 << self.block_bits and c > self.cuts[self.n_cuts]:
                self.n_cuts += 1
                self.cuts[self.n_cuts] = <int32_t>c
            self.longest = max(self.longest, end - self.cuts[self.n_cuts])
            c = end
        self.n_cuts += 1
        self.cuts[self.n_cuts] = <int32_t>n_inputs
        self.block_bits, self.n_blocks = 0, n_inputs
        return 0

    cdef bint cut_for(self, SparseMatrix sparse):
        """Return whether no tile of W cuts a segment of a sparse X."""
        cdef Py_ssize_t i
        for i in range(1, self.n_cuts):
            if 0 <= sparse.csr.segments[self.cuts[i]] < self.cuts[i]:
                return False
        return True

    cdef void choose(self, KernelChoice* choice, const Op* op, bint native, Py_ssize_t i):
        """Choose the kernels of operation i, by its shape, the precision and the instruction set, and place its W'."""
        cdef Py_ssize_t lanes = self.kernels.lanes, vectors_in, vectors_out, bytes_Wt
        cdef bint avx512 = has_vectors_of(self.kernels, AVX512_BYTES), needs_Wt
        choice.native = native
        choice.Wt = -1
        if self.sparse and i == 0:
            if self.segmented:  # in place of W', the sums within segments, in the shape of W
                choice.Wt = self.take(op.n_in * op.n_out * self.size)
            return
        if native:
            # Vectors that a row of W, or a column, fills
            vectors_out, vectors_in = (op.n_out + lanes - 1) // lanes, (op.n_in + lanes - 1) // lanes
            # gemm_nt needs W'. In training, updates compute it anyway; for a prediction of few rows it would cost too much
            choice.inner_product = op.n_out <= DNN_INNER_PRODUCT_OUTPUTS
            if self.purpose == TRAIN and avx512:
                choice.inner_product |= op.n_in >= DNN_INNER_PRODUCT_INPUTS_AVX512 \
                    and vectors_out <= DNN_INNER_PRODUCT_VECTORS_AVX512 \
                    and 12 * op.n_out <= DNN_INNER_PRODUCT_TWELFTHS_AVX512 * vectors_out * lanes
            elif self.purpose == TRAIN:
                choice.inner_product |= op.n_in >= DNN_INNER_PRODUCT_INPUTS_AVX2 \
                    and (vectors_out == 1 or (vectors_out <= DNN_INNER_PRODUCT_VECTORS_AVX2
                                              and 12 * op.n_out <= DNN_INNER_PRODUCT_TWELFTHS_AVX2 * vectors_out * lanes))
            # dW' = dZ' A_prev has n_out rows of vectors_in vectors, dW = A_prev' dZ has n_in rows of vectors_out vectors
            choice.grad_transposed = 10 * op.n_out * vectors_in < op.n_in * vectors_out * (
                DNN_GRAD_TRANSPOSED_TENTHS_AVX512 if avx512 else DNN_GRAD_TRANSPOSED_TENTHS_AVX2)
            # Rows of X that share lines of L1 are best read in sequence, which gemm_tn does with its right-hand matrix
            choice.grad_transposed |= not avx512 and i == 0 and op.n_out < DNN_STREAM_ROWS_MAX \
                and op.n_in * self.size % DNN_L1_ALIAS_BYTES == 0
        if self.step_kind == STEP_FEATURE_MAJOR:
            needs_Wt, bytes_Wt = True, op.n_out * leading(op.n_in + 1, self.size) * self.size  # [W; b]'
        elif op.n_out == 1:
            return  # the transpose of a column is the column itself
        else:  # in training, no gradient is propagated through the first layer
            needs_Wt = choice.inner_product or (self.purpose != PREDICT and (self.purpose != TRAIN or i > 0))
            bytes_Wt = op.n_out * leading(op.n_in, self.size) * self.size
        if needs_Wt:
            choice.Wt = self.take_scratch(bytes_Wt) if self.step_kind == STEP_REPLICATED else self.take(bytes_Wt)

    def __dealloc__(self):
        free(self.places)
        free(self.tiles)
        free(self.choices)
        free(self.cuts)

    cdef Py_ssize_t take(self, Py_ssize_t n_bytes):
        """Take n_bytes of the work space, and return where they begin: on a cache line."""
        cdef Py_ssize_t start = self.work
        self.work = start + (n_bytes + LINE - 1) // LINE * LINE + GAP
        return start

    cdef Py_ssize_t take_scratch(self, Py_ssize_t n_bytes):
        """Take n_bytes of the scratch memory of each member, and return where they begin."""
        cdef Py_ssize_t start = self.scratch
        self.scratch = start + (n_bytes + LINE - 1) // LINE * LINE + GAP
        return start

    cdef bint drops(self, int slot):
        """Return whether units of a slot are dropped before the next layer reads it."""
        return self.dropout and slot < self.plan.n_ops and self.plan.ops[slot].dropout > 0

    cdef void place_slots(self):
        """Place the matrices of all slots, as the table at the head of this file shows."""
        cdef Plan plan = self.plan
        cdef Py_ssize_t l
        cdef Py_ssize_t buffers[2]
        cdef Py_ssize_t n_rows = self.block_rows if self.purpose == PREDICT else self.n_rows
        cdef Place* place
        cdef Op* op
        if self.purpose == PREDICT:
            for l in range(2):
                buffers[l] = self.take_scratch(n_rows * leading(self.widest, self.size) * self.size)
        if self.step_kind == STEP_FEATURE_MAJOR:
            self.place_feature_major()
            return
        place = &self.places[0]
        place.ld = leading(plan.n_inputs, self.size)
        place.Z = place.dZ = place.V = -1
        place.A = -1
        if self.purpose == DROPPED and self.drops(0):
            place.A = self.take_cached(n_rows * place.ld * self.size)
        elif self.purpose == TRAIN and not self.sparse and (self.drops(0) or (self.gather and not self.kernels.lanes)):
            place.A = self.take(n_rows * place.ld * self.size)
        for l in range(1, plan.n_ops + 1):
            place, op = &self.places[l], &self.plan.ops[l - 1]
            place.ld = leading(op.n_out, self.size)
            self.place_slot(place, l, n_rows * place.ld * self.size, buffers[l % 2],
                            dnn_activations[op.activation].slope_from_z, self.drops(l))

    cdef void place_feature_major(self):
        """Place slots with examples in columns and a row of ones below A. The last slot has one unit: its single row needs
        no ones, and is a column at the same time."""
        cdef Py_ssize_t ld = leading(self.n_rows, self.size), l
        cdef Plan plan = self.plan
        for l in range(plan.n_ops):
            self.place_slot(&self.places[l], l, (self.plan.units(l) + 1) * ld * self.size, 0,
                            l > 0 and dnn_activations[plan.ops[l - 1].activation].slope_from_z, False)
            self.places[l].ld = ld
        self.place_slot(&self.places[plan.n_ops], plan.n_ops, ld * self.size, 0,
                        dnn_activations[plan.ops[plan.n_ops - 1].activation].slope_from_z, False)
        self.places[plan.n_ops].ld = 1

    cdef void place_slot(self, Place* place, Py_ssize_t l, Py_ssize_t n_bytes, Py_ssize_t buffer,
                         bint slope_from_z, bint drops):
        """Place the matrices of slot l, of n_bytes each; without gradients all of them in `buffer`."""
        if self.purpose == PREDICT:
            place.A = place.Z = place.V = buffer
            place.dZ = -1
            return
        place.dZ = self.take(n_bytes)
        if self.purpose == TRAIN:
            if l == self.plan.n_ops and not self.outputs:
                place.A = place.Z = place.V = place.dZ  # the loss replaces the logits by their gradient
            else:
                place.A = self.take(n_bytes)
                place.V = place.dZ if slope_from_z or drops else place.A
                place.Z = place.V
            return
        place.Z = self.take_cached(n_bytes)
        place.A = self.take_cached(n_bytes)
        if slope_from_z:
            place.V = place.Z
        else:
            place.V = self.take_cached(n_bytes) if self.purpose == DROPPED and drops else place.A

    cdef Py_ssize_t take_cached(self, Py_ssize_t n_bytes):
        """Take n_bytes of the block that is kept for the caller, and return where they begin."""
        cdef Py_ssize_t start = self.cache_bytes
        self.cache_bytes = start + (n_bytes + LINE - 1) // LINE * LINE
        return start

    cdef void cut_weights(self):
        """Cut the weight matrices into tiles, and place each tile on a scale of cost from 0 to 1. An example: a layer
        with 48 inputs and 600 outputs, cut into tiles of 24 rows and 256 columns. The numbers are the order of the
        tiles:

            in row order:    0  1  2       in column order, where members     0  2  4
                             3  4  5       share the layer by columns:        1  3  5

            cost:   0 |--0--|--1--|2|--3--|--4--|5| 1      members own equal lengths of this scale: of two members, member 0
                                    ^                      owns the tiles whose middles are before the middle of the scale

        A layer that members share by columns has a scale from 0 to 1 of its own, so that a member owns the same columns in
        forward_columns. All other layers together have one scale."""
        cdef Py_ssize_t n = 0, first = 0, tile_rows, tile_columns, n_down, n_across, i0, i1, o0, t
        cdef const int32_t* cuts
        cdef Py_ssize_t values = max(DNN_TILE_VALUES_MIN, min(self.tile_values, self.plan.n_params // DNN_TILES))
        cdef double cost = 0, tile_cost
        cdef int k, sweep
        cdef Op* op
        if self.purpose == PREDICT:
            return
        for sweep in range(2):  # the first counts the tiles, the second writes them
            n = 0
            for k in range(self.plan.n_ops):
                op = &self.plan.ops[k]
                tile_columns = min(op.n_out, self.tile_columns)
                tile_rows = values // tile_columns // DNN_TILE_HEIGHT_MULTIPLE * DNN_TILE_HEIGHT_MULTIPLE
                tile_rows = 1 << self.block_bits if self.sparse and k == 0 else max(DNN_TILE_HEIGHT_MULTIPLE, tile_rows)
                n_down, n_across = (op.n_in + tile_rows - 1) // tile_rows, (op.n_out + tile_columns - 1) // tile_columns
                cuts = self.cuts if k == 0 else NULL
                if cuts != NULL:
                    n_down = self.n_cuts
                for t in range(n_down * n_across):
                    if sweep == 1:
                        i0 = (t % n_down if k < self.n_columns else t // n_across) * tile_rows
                        i1 = min(i0 + tile_rows, op.n_in)
                        if cuts != NULL:
                            i0, i1 = cuts[t // n_across], cuts[t // n_across + 1]
                        o0 = (t // n_down if k < self.n_columns else t % n_across) * tile_columns
                        tile_cost = DNN_TILE_COST + (i1 - i0) * min(tile_columns, op.n_out - o0)
                        if i0 == 0:
                            tile_cost += DNN_TILE_BIAS_ROWS * tile_columns
                        self.tiles[n] = Tile(k, i0, i1, o0, min(o0 + tile_columns, op.n_out), cost + tile_cost / 2)
                        cost += tile_cost
                    n += 1
                if sweep == 1 and (k < self.n_columns or k == self.plan.n_ops - 1):
                    for t in range(first, n):
                        self.tiles[t].middle /= cost
                    first, cost = n, 0
            if sweep == 0:
                self.tiles = <Tile*>malloc(max(n, 1) * sizeof(Tile))
                if self.tiles == NULL:
                    raise MemoryError("no memory for the layout")
        self.n_weight_tiles = n

    def place(self, int slot):
        """Return (offset of Z, offset of A, bytes from row to row) of a slot in the block that is kept for the caller."""
        if not 1 <= slot <= self.plan.n_ops:
            raise IndexError(f"slot must be in 1 .. {self.plan.n_ops}, got {slot}")
        cdef Place* p = &self.places[slot]
        return p.Z, p.A, p.ld * self.size


# ---- data of a sparse X: see core/sparse.pxi ----

cdef struct Csr:            # X by rows, in CSR format
    const int64_t* indptr   # (n_rows + 1,): where the elements of each row begin
    const int32_t* indices  # their columns
    const char* data        # their values
    double stored_per_row   # average number of elements per row
    const int32_t* segments # (n_columns,): the first column of the segment of each column, -1 if it is plain; NULL: all are

cdef struct Entries:        # the elements of a batch by blocks of columns, in row order within a block; members share them
    int32_t* columns        # counted from the first column of the block
    int32_t* rows           # of the batch
    char* values
    Py_ssize_t capacity     # elements that there is memory for

cdef struct Blocks:         # blocks of columns; each member has its own
    int bits                # a block is 2 ** bits columns; with segments, one column
    Py_ssize_t n            # number of blocks
    int64_t* begins         # (n + 1,): where the entries of each block begin
    int64_t* next           # (n,): where the next entry of each block is written
    uint8_t* seen           # (2 ** bits,): not 0 for the rows of a weight tile that a batch has touched
