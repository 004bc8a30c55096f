"""Networks that are trained by each kind of step: layer sizes and the number of rows."""

NETWORKS = {
    "feature_major": ([3, 5, 4, 1], 40),  # examples in columns
    "feature_major, wide": ([16, 16, 1], 100),
    "linear": ([2, 1], 33),
    "replicated": ([7, 20, 9, 3], 37),  # one barrier a step, two parts of a batch
    "replicated, one row": ([7, 20, 9, 1], 2),
    "two phases": ([60, 300, 20, 2], 50),
    "columns": ([120, 520, 20, 2], 50),  # of the first layer for each member
    "narrow behind wide": ([4100, 6, 2], 50),  # by dots, in pieces that are copied together
    "narrow behind rows of 4 KB": ([512, 20, 1], 600),  # which its gradient streams, in blocks of the sum
}
