# What is computed, and how it is batch_cached out, part of _core.pyx: Plan and Layout.

# ---------------------------------------------------------------------------------------------------------
# Plan: what is computed
# ---------------------------------------------------------------------------------------------------------

cdef enum OpKind:
    DENSE  # dst.Z = src.A W + b, dst.A = f(dst.Z)

cdef struct Op:
    int kind
    int src, src2, dst  # slots: 0 holds the inputs, l what layer l gives; src2 = -1: a dense layer reads one
    Py_ssize_t n_in, n_out
    Py_ssize_t W, b     # where they begin in the parameters, in numbers
    Py_ssize_t buffers  # where its running statistics begin; a dense layer has none
    int activation
    double par[DNN_MAX_PAR]
    double dropout      # rate at which the numbers of src are dropped in training


cdef class Plan:
    """What a network computes, as a list of operations. Knows no precision and no number of rows.

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
            op.src, op.src2, op.dst = self.n_ops, -1, self.n_ops + 1
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
        """Numbers a row of a slot: the inputs are slot 0, layer l gives slot l."""
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
        """Whether anything is dropped in training."""
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


# ---------------------------------------------------------------------------------------------------------
# Layout: how it is computed
# ---------------------------------------------------------------------------------------------------------

cdef enum Purpose:
    PREDICT  # only the last outputs are wanted: two buffers of a tile's rows take turns
    CACHE    # Z and A of every layer are kept, each on its own, in a block of the caller's
    DROPPED  # the same in training: what dropout leaves of A is kept beside what the slope needs
    TRAIN    # what a step needs: A of hidden layers, and dZ, which holds the logits until they are used

cdef struct Place:  # of a slot's rows; bytes from the start of its block, -1 where it has none
    Py_ssize_t A, Z, dZ
    Py_ssize_t V    # what the slope is computed from: A before dropout, or Z
    Py_ssize_t ld   # numbers from one row to the next

cdef struct KernelChoice: # how an operation is computed
    bint native        # by kernels of core/kernels/products.h, else by BLAS
    bint inner_product   # forward with lanes along the inputs: few outputs would leave most lanes of a vector empty
    bint grad_transposed # dW' = dZ' A_prev, then transposed: the same for dW
    Py_ssize_t Wt   # place of W' in the work space, -1: none

cdef struct Tile:   # rows i0 .. i1 and columns o0 .. o1 of the weights of an operation
    int op
    Py_ssize_t i0, i1, o0, o1
    double at          # where its middle stands, by cost, among those that are shared out together: 0 .. 1

cdef enum:
    TILE_NUMBERS = 12288  # of a weight tile, at most: gradient, weights and Adam's state stay in L2
    TILE_MOST = 49152     # the same where the sums are long, of a batch of so many rows, or the gradient is wanted
    TILE_ROWS = 512       # whole: operands are copied together for it
    TILE_COPIED = 196608  # the same on AVX2, of such a batch: 384 x 512, as copying is a sixth of the time of 192 x 256
    TILE_LEAST = 2048
    TILE_COLUMNS = 256    # a kilobyte in a row: shorter pieces are fetched slowly (Adam: 1 ns a weight, not 0.3)
    TILES = 32            # or more, so that members' shares are equal
    TILE_COST = 256      # of a tile besides its numbers, in numbers
    CALL_COLUMNS = 64    # of a call of BLAS that is cut: with 240 deep and 64 rows just under a million
    CALL_DEPTH = 240
    DOT_OUTPUTS = 4      # at most so many outputs are computed by dots: vectors would be a quarter full
    COLUMNS_INPUTS = 2   # for each row of a batch, at least, of layers whose columns members share: see forward_columns
    SPARSE_TILE = 16384   # elements of a tile of the first layer's weights at most, where X is sparse,
    SPARSE_ROWS = 4096    # and rows: what is looked through to find those that a batch has touched
    N_SHARDS = 2          # of a batch, where a net is small: see replicated_step
    LINE = 64            # bytes of a cache line

# A net of fewer parameters takes replicated_step: summing and updating twice is cheaper than a second barrier, and than
# the lines of the cache that one core has written and another reads. Measured: 11 to 19 % faster; slower above.
cdef Py_ssize_t REPLICATED_PARAMS = 20000
cdef enum:
    FEATURE_MAJOR_UNITS = 16       # of a layer at most, where examples lie in columns: vectors would be half full otherwise
    FEATURE_MAJOR_ROWS = 16        # of a batch at least
    FEATURE_MAJOR_BYTES = 1 << 18  # of a batch at most: it stays in L2
cdef Py_ssize_t REPLICATED_BYTES = 1 << 20  # of a part's rows, which are not cut into blocks


cdef inline Py_ssize_t leading(Py_ssize_t n, int size) noexcept nogil:
    """Numbers from one row of n to the next."""
    if n < 16:
        return n  # narrow rows are contiguous: kernels run through them as through one long row
    n = (n * size + LINE - 1) // LINE * LINE // size
    if n * size % 512 == 0:
        n += LINE // size  # rows a multiple of 512 bytes apart would fall on few lines of the cache
    return n


cdef class Layout:
    """The grid of tiles and the layout of the work space, for up to n_rows rows of `size` bytes a number.

    cache_bytes: bytes of the block that holds Z and A of a forward pass for the caller (CACHE); work: bytes that the
    members of a team share; scratch: bytes that each has for itself. With TRAIN: gather, rows are taken in an
    order; outputs, the loss is computed from the outputs and not from the logits; gradient, the whole gradient
    is wanted in one vector; dropout, numbers are dropped where the plan says so; called, the loss is a Python
    function; slots, of the optimizer. sparse: X is sparse, and the first layer is computed as core/sparse.pxi says.

    A tile of rows is what sums are taken over: a sum is the sum of those of the tiles. A block is what goes through the
    layers at once: some tiles, as products of our own give the same bits for any number of rows; one where BLAS
    computes.
    """

    cdef Plan plan
    cdef readonly int size, purpose
    cdef readonly Py_ssize_t n_rows, tile_rows, block_rows, n_row_tiles, n_weight_tiles, cache_bytes, work, scratch
    cdef readonly bint replicated, feature_major
    cdef readonly int n_columns  # of the first layers: members share their forward pass by columns
    cdef readonly bint sparse
    cdef int block_bits          # of a sparse X: 2 ** block_bits columns are a block
    cdef Py_ssize_t n_blocks     # of columns
    cdef Py_ssize_t widest       # what a row of a hidden layer, of the outputs, or of a dense X needs at most
    cdef bint gather, outputs, dropout
    cdef Py_ssize_t tile_numbers, tile_columns
    cdef const DnnKernels* kernels
    cdef Place* places
    cdef Tile* tiles
    cdef KernelChoice* choices
    cdef Py_ssize_t grad, partial_grads, row_sums, tile_sums, claims, n_claims  # in the work space
    cdef Py_ssize_t dA, Y, classes, w, G, transposed, workspace, rows, params, state  # in the scratch
    cdef Py_ssize_t block_begins, block_next, seen

    def __cinit__(self, Plan plan, int size, Py_ssize_t n_rows, int purpose, bint gather=False,
                  bint outputs=False, bint gradient=False, bint dropout=False, bint called=False, int slots=0,
                  bint sparse=False):
        cdef Py_ssize_t i, n
        self.sparse = sparse
        self.widest = 0 if sparse else plan.n_inputs
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
        self.replicated = purpose == TRAIN and native and not called and not sparse and 1 < n_rows \
            and plan.n_params < REPLICATED_PARAMS and n_rows // N_SHARDS * plan.width * size <= REPLICATED_BYTES
        self.feature_major = purpose == TRAIN and native and not called and not sparse and self.is_feature_major()
        self.replicated = self.replicated and not self.feature_major
        self.tile_numbers = TILE_MOST if native and (gradient or n_rows >= TILE_ROWS) else TILE_NUMBERS
        self.tile_columns = TILE_COLUMNS
        if native and self.kernels.lanes * size == 32 and n_rows >= TILE_ROWS:
            self.tile_numbers, self.tile_columns = TILE_COPIED, 2 * TILE_COLUMNS
        self.cut_rows(native)
        self.count_columns(native)
        self.cut_columns()
        self.place_slots()

        n = max(self.tile_numbers, SPARSE_TILE) if sparse else self.tile_numbers
        for i in range(plan.n_ops):
            self.choose(&self.choices[i], &plan.ops[i], native, i)
        self.cut_weights()
        if purpose != PREDICT:
            if self.feature_major:
                n = plan.n_params
            if self.replicated:
                n = plan.n_params
                self.partial_grads = self.take(2 * N_SHARDS * n * size)
                self.params = self.take_scratch(n * size)
                self.state = self.take_scratch(slots * n * size)
            self.G = self.take_scratch((n + self.tile_columns) * size)
            self.transposed = self.take_scratch(n * size)
            self.tile_sums = self.take(2 * self.n_weight_tiles * sizeof(double))
            self.n_claims = self.n_weight_tiles
            if self.n_columns > 0:
                self.n_claims += plan.widest // self.kernels.lanes + 1  # and one for the rest
            self.claims = self.take(self.n_claims * sizeof(DnnClaim))
            self.row_sums = self.take(max(self.n_row_tiles, 2 * N_SHARDS) * sizeof(double))
        self.grad = self.take(plan.n_params * size) if gradient and not self.replicated and not self.feature_major else -1
        # Gathered rows are copied, and wide ones; a call of few rows has no time to find the room
        self.workspace = self.take_scratch(DNN_WORKSPACE_BYTES) if native and not self.feature_major and (
            gather or (n_rows >= 32 and self.widest * size >= 1024)) else -1
        self.dA = self.take_scratch(self.block_rows * leading(self.widest, size) * size)
        self.Y = self.take_scratch(self.tile_rows * plan.n_outputs * size)
        self.classes = self.take_scratch(self.tile_rows * sizeof(int64_t))
        self.w = self.take_scratch(self.tile_rows * sizeof(double))
        self.rows = self.take_scratch(n_rows * sizeof(void*) if gather and not sparse else 0)
        if sparse and purpose == TRAIN:
            self.block_begins = self.take_scratch((self.n_blocks + 1) * sizeof(int64_t))
            self.block_next = self.take_scratch(self.n_blocks * sizeof(int64_t))
            self.seen = self.take_scratch(1 << self.block_bits)

    cdef bint is_feature_major(self):
        """Whether a step takes feature_major_step."""
        cdef int i
        cdef Plan plan = self.plan
        if plan.n_outputs > 1 or plan.widest > FEATURE_MAJOR_UNITS or self.n_rows < FEATURE_MAJOR_ROWS \
                or self.n_rows * (plan.width + plan.n_ops) * self.size > FEATURE_MAJOR_BYTES:
            return False
        for i in range(plan.n_ops):
            if self.drops(i) or dnn_activations[plan.ops[i].activation].row_wise:
                return False
        return True

    cdef void cut_rows(self, bint native):
        cdef Py_ssize_t n = self.n_rows, tiles
        if self.feature_major:
            self.tile_rows = self.block_rows = n
        elif self.replicated:
            self.tile_rows = self.block_rows = (n + N_SHARDS - 1) // N_SHARDS
        elif native:
            # Numbers of tiles that two, three and four members share well; rows enough for a product
            tiles = (n + 15) // 16
            tiles = 16 if tiles >= 16 else 12 if tiles >= 12 else 8 if tiles >= 8 else 4 if tiles >= 4 else tiles
            self.block_rows = 256 if self.purpose == PREDICT else 512
            self.tile_rows = max(1, min(self.block_rows, (n + tiles - 1) // max(tiles, 1)))
        else:
            # A tile's activations should fit a quarter of L2 (a megabyte), with rows enough for products.
            self.tile_rows = max(64, min(1024, 65536 // self.plan.width // 64 * 64))
            self.tile_rows = self.block_rows = max(1, min(self.tile_rows, n))
        self.n_row_tiles = (n + self.tile_rows - 1) // self.tile_rows

    cdef void count_columns(self, bint native):
        """How many of the first layers have far more weights than a batch has numbers to hand on. A share of columns is
        a column of tiles or more: cut narrower, rows of weights would be too short."""
        cdef Plan plan = self.plan
        cdef const Op* op
        if self.purpose != TRAIN or not native or self.replicated or self.feature_major or self.sparse or plan.dropout:
            return
        while self.n_columns < plan.n_ops - 1:
            op = &plan.ops[self.n_columns]
            if op.n_out < 2 * self.tile_columns or op.n_in < COLUMNS_INPUTS * self.n_rows \
                    or dnn_activations[op.activation].row_wise:
                return
            self.n_columns += 1

    cdef void cut_columns(self):
        """A sparse X in blocks of columns: a power of two of them, as each element of a batch is put into its block."""
        cdef Py_ssize_t columns = max(1, min(self.plan.ops[0].n_out, self.tile_columns))
        cdef Py_ssize_t elements = max(TILE_LEAST, min(SPARSE_TILE, self.plan.n_params // TILES))
        if not self.sparse:
            return
        while (2 << self.block_bits) * columns <= elements and 2 << self.block_bits <= SPARSE_ROWS:
            self.block_bits += 1
        self.n_blocks = ((self.plan.n_inputs - 1) >> self.block_bits) + 1

    cdef void choose(self, KernelChoice* choice, const Op* op, bint native, Py_ssize_t i):
        """The kernels of an operation: a function of its shape, the precision and the instruction set."""
        cdef Py_ssize_t lanes = self.kernels.lanes, vectors = (op.n_out + lanes - 1) // lanes if native else 0
        cdef bint avx512 = lanes * self.size == 64
        choice.native = native
        if self.sparse and i == 0:
            choice.Wt = -1
            return
        # In training W' is made with the update; a prediction of few rows could not pay for it
        choice.inner_product = native and op.n_out <= DOT_OUTPUTS
        if native and self.purpose == TRAIN:  # long sums, where vectors would be a quarter empty (AVX2: a sixth, or one alone)
            if avx512:
                choice.inner_product |= op.n_in >= 1024 and vectors <= 2 and 4 * op.n_out <= 3 * vectors * lanes
            else:
                choice.inner_product |= op.n_in >= 128 and (vectors == 1 or (vectors <= 4 and 6 * op.n_out <= 5 * vectors * lanes))
        # Fewer vectors, by so many that they pay for turning the result; or rows of X that fall on the same lines of L1,
        # which are best read as they lie
        choice.grad_transposed = native and 10 * op.n_out * ((op.n_in + lanes - 1) // lanes) < (8 if avx512 else 9) * op.n_in * vectors
        choice.grad_transposed |= native and not avx512 and i == 0 and op.n_out < DNN_STREAM_ROWS_MAX and op.n_in * self.size % DNN_L1_ALIAS_BYTES == 0
        choice.Wt = -1
        # The gradient of the inputs is for callers only
        if op.n_out == 1 and not self.feature_major:
            return  # W' is W
        if choice.inner_product or (self.purpose != PREDICT and i >= (self.purpose == TRAIN and not self.feature_major)):
            choice.Wt = op.n_out * leading(op.n_in + self.feature_major, self.size) * self.size
            choice.Wt = self.take_scratch(choice.Wt) if self.replicated else self.take(choice.Wt)

    def __dealloc__(self):
        free(self.places)
        free(self.tiles)
        free(self.choices)

    cdef Py_ssize_t take(self, Py_ssize_t n_bytes):
        """Room in the work space. Buffers begin on a line of their own, and not all on the same set of lines."""
        cdef Py_ssize_t start = self.work
        self.work = start + (n_bytes + LINE - 1) // LINE * LINE + 3 * LINE
        return start

    cdef Py_ssize_t take_scratch(self, Py_ssize_t n_bytes):
        """Room in the scratch of each member."""
        cdef Py_ssize_t start = self.scratch
        self.scratch = start + (n_bytes + LINE - 1) // LINE * LINE + 3 * LINE
        return start

    cdef bint drops(self, int slot):
        """Whether numbers of a slot are dropped on the way to the layer that reads it."""
        return self.dropout and slot < self.plan.n_ops and self.plan.ops[slot].dropout > 0

    cdef void place_slots(self):
        cdef Plan plan = self.plan
        cdef Py_ssize_t l
        cdef Py_ssize_t turn[2]
        cdef Py_ssize_t n_rows = self.block_rows if self.purpose == PREDICT else self.n_rows
        cdef Place* place
        cdef Op* op
        if self.purpose == PREDICT:
            for l in range(2):
                turn[l] = self.take_scratch(n_rows * leading(self.widest, self.size) * self.size)
        if self.feature_major:
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
            self.place_slot(place, l, n_rows * place.ld * self.size, turn[l % 2],
                            dnn_activations[op.activation].slope_from_z, self.drops(l))

    cdef void place_feature_major(self):
        """Slots in columns, with a row of ones below A; but the last, whose one row is a column as well."""
        cdef Py_ssize_t ld = leading(self.n_rows, self.size), l
        cdef Plan plan = self.plan
        for l in range(plan.n_ops):
            self.place_slot(&self.places[l], l, (self.plan.units(l) + 1) * ld * self.size, 0,
                            l > 0 and dnn_activations[plan.ops[l - 1].activation].slope_from_z, False)
            self.places[l].ld = ld
        self.place_slot(&self.places[plan.n_ops], plan.n_ops, ld * self.size, 0,
                        dnn_activations[plan.ops[plan.n_ops - 1].activation].slope_from_z, False)
        self.places[plan.n_ops].ld = 1

    cdef void place_slot(self, Place* place, Py_ssize_t l, Py_ssize_t n_bytes, Py_ssize_t turn,
                         bint slope_from_z, bint drops):
        if self.purpose == PREDICT:
            place.A = place.Z = place.V = turn
            place.dZ = -1
            return
        place.dZ = self.take(n_bytes)
        if self.purpose == TRAIN:
            if l == self.plan.n_ops and not self.outputs:
                place.A = place.Z = place.V = place.dZ  # the loss turns logits into their gradient in place
            else:
                place.A = self.take(n_bytes)
                # Z is used up by the activation. What the slope needs besides A waits in dZ, which takes its
                # place at the end
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
        """Room in the block that is kept for the caller."""
        cdef Py_ssize_t start = self.cache_bytes
        self.cache_bytes = start + (n_bytes + LINE - 1) // LINE * LINE
        return start

    cdef void cut_weights(self):
        """Weight matrices in tiles of rows that the kernels take six at a time: row of tiles by row of tiles, or column
        by column where a member is to have columns."""
        cdef Py_ssize_t n = 0, first = 0, down, across, i0, o0, rows, columns, t
        cdef Py_ssize_t numbers = max(TILE_LEAST, min(self.tile_numbers, self.plan.n_params // TILES))
        cdef double cost = 0, of_tile
        cdef int k, fill
        cdef Op* op
        if self.purpose == PREDICT:
            return
        for fill in range(2):
            n = 0
            for k in range(self.plan.n_ops):
                op = &self.plan.ops[k]
                columns = min(op.n_out, self.tile_columns)
                rows = 1 << self.block_bits if self.sparse and k == 0 else max(24, numbers // columns // 24 * 24)
                down, across = (op.n_in + rows - 1) // rows, (op.n_out + columns - 1) // columns
                for t in range(down * across):
                    if fill:
                        i0 = (t % down if k < self.n_columns else t // across) * rows
                        o0 = (t // down if k < self.n_columns else t % across) * columns
                        of_tile = TILE_COST + min(rows, op.n_in - i0) * min(columns, op.n_out - o0)
                        if i0 == 0:
                            of_tile += 8 * columns  # db: as long as some rows of dW
                        self.tiles[n] = Tile(k, i0, min(i0 + rows, op.n_in), o0, min(o0 + columns, op.n_out),
                                             cost + of_tile / 2)
                        cost += of_tile
                    n += 1
                # A layer whose columns members share is shared out by itself, so that they are the same columns
                if fill and (k < self.n_columns or k == self.plan.n_ops - 1):
                    for t in range(first, n):
                        self.tiles[t].at /= cost
                    first, cost = n, 0
            if not fill:
                self.tiles = <Tile*>malloc(max(n, 1) * sizeof(Tile))
                if self.tiles == NULL:
                    raise MemoryError("no memory for the layout")
        self.n_weight_tiles = n

    def place(self, int slot):
        """(offset of Z, offset of A, bytes from row to row) of a slot in the block that is kept."""
        if not 1 <= slot <= self.plan.n_ops:
            raise IndexError(f"slot must be in 1 .. {self.plan.n_ops}, got {slot}")
        cdef Place* p = &self.places[slot]
        return p.Z, p.A, p.ld * self.size


# ---------------------------------------------------------------------------------------------------------
# A sparse X: see core/sparse.pxi
# ---------------------------------------------------------------------------------------------------------

cdef struct Csr:     # X by rows
    const int64_t* indptr   # (n_rows + 1,): where the elements of each row begin
    const int32_t* indices  # their columns
    const char* data        # their values
    double stored_per_row     # elements of a row, on average

cdef struct Entries: # the elements of a batch, by blocks of columns, in the order of the rows in each; all members share them
    int32_t* columns        # counted from the block's first
    int32_t* rows           # of the batch
    char* values
    Py_ssize_t capacity

cdef struct Blocks:  # of columns; in the scratch of a member
    int bits                # 2 ** bits columns are a block
    Py_ssize_t n
    int64_t* begins         # (n + 1,): where the entries of each block begin
    int64_t* next           # (n,): where its next one goes
    uint8_t* seen           # (2 ** bits,): the rows of a tile of weights that a batch has touched
