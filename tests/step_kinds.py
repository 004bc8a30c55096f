"""Networks that are trained by each kind of step: layer sizes and the number of rows."""

NETWORKS = {
    "feature_major": ([3, 5, 4, 1], 40),  # an example is a column
    "feature_major, wide": ([16, 16, 1], 100),
    "linear": ([2, 1], 33),
    "replicated": ([7, 20, 9, 3], 37),  # with one barrier per step; each batch has two parts
    "replicated, one row": ([7, 20, 9, 1], 2),
    "two phases": ([60, 300, 20, 2], 50),
    "columns": ([120, 520, 20, 2], 50),  # each member takes columns of the first layer
    "narrow behind wide": ([4100, 6, 2], 50),  # by inner products, of blocks that are packed
    # The gradient streams these rows, in blocks of the sum.
    "narrow behind rows of 4 KB": ([512, 20, 1], 600),
}
