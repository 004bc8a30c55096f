"""Numbers and category codes of a table as the sparse inputs of a network.

A row of inputs is a chain of segments, one or more per number and category: a segment begins at a column,
and holds ones except for its last element. A one-hot code is a segment of one element; the piecewise-linear
code of a value in bin j is a segment of j + 1 elements, the last of which is how far the value is into its
bin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ...data.piecewise import MAX_BINS, PiecewiseRows
from ...data.sparse import SparseRows

N_FOLDS = 5
SMOOTHING = 10.0  # so many rows at the mean of all are added to each level
RARE = 2  # levels of at most so many rows share one input
FEW_LEVELS = 9  # up to so many levels are one-hot only
MANY_LEVELS = 256  # above, inputs of their own would cost more weights than the rows of a level can train
MOST_FREQUENT = 64  # and only so many levels have one,
BUCKETS = 128  # while the others share so many
CLIP = 3.0
SPLITS = 7  # of a number by the target
# A split must explain so many times the variance over the number of rows. The best split of a number that has
# nothing to do with the target explains about 8 times that.
NOISE = 10.0
CATEGORY_ARRAYS = ("inputs", "table")
BLOCK = 8192  # rows that are encoded at once, so that their segments stay in the cache


def smooth_clip(x: np.ndarray) -> np.ndarray:
    """Return x / sqrt(1 + (x / 3)^2), which lies in (-3, 3): the smooth clipping of RealMLP.

    References
    ----------
    .. [1] Holzmueller, Grinsztajn, Steinwart. Better by default: strong pre-tuned MLPs and boosted trees on
       tabular data. arXiv 2407.04491, section 3.

    Examples
    --------
    >>> smooth_clip(np.array([0.0, 1e9])).round(3).tolist()
    [0.0, 3.0]
    """
    return x / np.sqrt(1.0 + np.square(x / CLIP))


def bin_edges(known: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the edges of at most n_bins bins; none for two values, where the scaled number says all.

    A value that holds more than 1 / n_bins of the rows has an edge of its own; the others are quantiles of
    the rest.

    Parameters
    ----------
    known : ndarray of shape (n,)
        Values that are not missing.
    n_bins : int

    Returns
    -------
    ndarray of shape (n_edges,), float64
        Ascending, the least and the largest value included; or empty.

    Examples
    --------
    >>> bin_edges(np.array([0.0] * 50 + [1.0, 2.0, 3.0, 4.0, 5.0]), 3).tolist()
    [0.0, 1.0, 3.0, 5.0]
    """
    values, counts = np.unique(known, return_counts=True)
    if len(values) > n_bins + 1:
        heavy = counts > len(known) / n_bins
        rest = np.repeat(values[~heavy], counts[~heavy])
        shares = np.linspace(0, 1, n_bins + 1 - int(np.count_nonzero(heavy)))
        quantiles = rest[np.round(shares * (len(rest) - 1)).astype(np.intp)]
        values = np.unique(np.concatenate([values[heavy], quantiles]))
    return values if len(values) > 2 else values[:0]


@dataclass
class NumberCode:
    """How one number is encoded: scaled, whether it is missing, and its bins.

    Attributes
    ----------
    median : float
        What missing values are read as.
    factor : float
        (value - median) * factor is clipped smoothly.
    indicator : bool
        Whether there is an input that is 1 for missing values.
    edges : ndarray of shape (n_bins + 1,)
        Empty without bins.
    """

    median: float
    factor: float
    indicator: bool
    edges: np.ndarray

    @property
    def n_bins(self) -> int:
        """Number of inputs of the piecewise-linear code."""
        return max(0, len(self.edges) - 1)

    @property
    def width(self) -> int:
        """Number of inputs."""
        return 1 + self.indicator + self.n_bins


@dataclass
class CategoryCode:
    """How one category is encoded: one-hot, by target statistics, and by frequency.

    Attributes
    ----------
    inputs : ndarray of shape (n_levels + 1,), int32
        Input of each code among those of the category, -1 for none.
    table : ndarray of shape (n_levels + 1, n_statistics + 1) or (n_levels + 1, 0), float32
        Scaled target statistics of each code, then its scaled log frequency.
    """

    inputs: np.ndarray
    table: np.ndarray

    @property
    def n_inputs(self) -> int:
        """Number of one-hot inputs."""
        return int(self.inputs.max()) + 1

    @property
    def shared(self) -> np.ndarray:
        """Whether each one-hot input (n_inputs,) is that of several levels."""
        found: np.ndarray = np.bincount(self.inputs[self.inputs >= 0]) > 1
        return found

    @property
    def width(self) -> int:
        """Number of inputs."""
        return self.n_inputs + int(self.table.shape[1])


def split_edges(known: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return edges on both sides of the values where the mean target changes most.

    They are those of a regression tree of this number alone; between the two edges of a split the code jumps,
    so that a network finds a threshold as a tree does. [1]_ takes the splits themselves as edges.

    Parameters
    ----------
    known : ndarray of shape (n,)
    targets : ndarray of shape (n, k)
        Of each class, 0 or 1, or numbers.

    References
    ----------
    .. [1] Gorishniy, Rubachev, Babenko. On embeddings for numerical features in tabular deep learning.
       arXiv 2203.05556, section 3.2.2.

    Examples
    --------
    >>> split_edges(np.arange(20.0), np.repeat([[0.0], [1.0]], 10, axis=0)).tolist()
    [9.0, 10.0]
    """
    from sklearn.tree import DecisionTreeRegressor

    values, ranks = np.unique(known, return_inverse=True)
    if not targets.shape[1] or len(values) < 3:
        return values[:0]
    n = len(known)
    tree = DecisionTreeRegressor(
        max_leaf_nodes=SPLITS + 1, min_samples_leaf=max(3, n // 500),
        min_impurity_decrease=NOISE / n * float(targets.var(axis=0).mean()), random_state=0,
    )  # fmt: skip
    tree.fit(ranks[:, None], targets)  # ranks, as the tree reads float32, which large values do not fit
    above = np.ceil(tree.tree_.threshold[tree.tree_.feature == 0]).astype(np.int64)
    edges: np.ndarray = values[np.union1d(above - 1, above)]
    return edges


def learn_number(values: np.ndarray, n_bins: int, targets: np.ndarray | None = None) -> NumberCode:
    """Return how a number is encoded.

    Parameters
    ----------
    values : ndarray of shape (n,)
        NaN is missing.
    n_bins : int
        0 for no bins.

    Examples
    --------
    >>> code = learn_number(np.array([1.0, 2.0, 3.0, np.nan]), n_bins=4)
    >>> code.median, code.factor, code.indicator, code.edges.tolist()
    (2.0, 1.0, True, [1.0, 2.0, 3.0])
    """
    missing = np.isnan(values)
    known = values[~missing]
    low, median, high = (float(q) for q in np.quantile(known, [0.25, 0.5, 0.75]))
    spread = high - low
    if spread == 0:
        spread = float(np.ptp(known)) / 2
    factor = 1 / spread if spread > 1e-300 else 0.0
    edges = bin_edges(known, n_bins) if n_bins else known[:0]
    if targets is not None and len(edges):
        edges = np.union1d(edges, split_edges(known, targets[~missing]))
    return NumberCode(median, factor, bool(missing.any()), edges)


def target_sums(codes: np.ndarray, targets: np.ndarray, n_codes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of rows (n_codes,) and the sums of the targets (n_codes, k) of each code."""
    counts = np.bincount(codes, minlength=n_codes).astype(np.float64)
    sums = [np.bincount(codes, weights=target, minlength=n_codes) for target in targets.T]
    return counts, np.stack(sums, axis=1) if sums else np.zeros((n_codes, 0))


def smoothed_means(counts: np.ndarray, sums: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return the mean target (n_codes, k) of each code, drawn to the mean of all rows where there are few."""
    means: np.ndarray = (sums + SMOOTHING * prior) / (counts[:, None] + SMOOTHING)
    return means


def learn_category(
    codes: np.ndarray, n_levels: int, targets: np.ndarray, folds: np.ndarray | None
) -> tuple[CategoryCode, np.ndarray]:
    """Return how a category is encoded, and its statistics (n, m) for these rows themselves.

    Parameters
    ----------
    codes : ndarray of shape (n,)
        From 1 to n_levels.
    n_levels : int
    targets : ndarray of shape (n, k)
        Of which statistics are kept.
    folds : ndarray of shape (n,) or None
        The target statistics of a row are those of the rows in other folds, so that they do not tell its
        own target. None if the second result is not used.

    Examples
    --------
    >>> code, own = learn_category(np.array([1, 2, 2]), 2, np.zeros((3, 1)), None)
    >>> code.inputs.tolist(), code.n_inputs, code.width, own.shape
    ([-1, 0, 1], 2, 2, (3, 0))
    """
    n, n_codes = len(codes), n_levels + 1
    counts, sums = target_sums(codes, targets, n_codes)
    inputs = np.full(n_codes, -1, np.int32)
    # A level of one row is not rare in a table of thirty rows
    own = counts > min(RARE, n // 50)
    own[0] = False
    if n_levels > MANY_LEVELS:
        own[np.argsort(-counts, kind="stable")[MOST_FREQUENT:]] = False
    n_own, others = int(np.count_nonzero(own)), np.flatnonzero(~own[1:]) + 1
    inputs[own] = np.arange(n_own)
    # In turn, so that all buckets have as many levels: the hashing trick, without collisions by chance
    inputs[others] = n_own + np.arange(len(others)) % (BUCKETS if n_levels > MANY_LEVELS else 1)
    if n_levels <= FEW_LEVELS:
        nothing = np.zeros((n_codes, 0), np.float32)
        return CategoryCode(inputs, nothing), nothing[codes]

    prior = targets.mean(axis=0)
    means = smoothed_means(counts, sums, prior)
    # Out of fold, too, statistics are scaled by the moments over all rows, so that they mean the same
    frequency = np.log1p(counts)[:, None]
    center, scale = _moments(np.hstack([means, frequency]), counts)

    def table_of(means: np.ndarray) -> np.ndarray:
        return smooth_clip((np.hstack([means, frequency]) - center) * scale).astype(np.float32)

    code = CategoryCode(inputs, table_of(means))
    rows = code.table[codes]
    if folds is not None:
        for fold in range(N_FOLDS):
            inside = folds == fold
            counts_in, sums_in = target_sums(codes[inside], targets[inside], n_codes)
            rows[inside] = table_of(smoothed_means(counts - counts_in, sums - sums_in, prior))[codes[inside]]
    return code, rows


def _moments(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the reciprocal of the standard deviation over the rows; 0 if that is 0."""
    mean = np.average(values, axis=0, weights=counts)
    deviation = np.sqrt(np.average(np.square(values - mean), axis=0, weights=counts))
    return mean, np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-12)


class Encoding:
    """How the numbers and categories of a table are encoded.

    Parameters
    ----------
    numbers : list of NumberCode
    categories : list of CategoryCode

    Attributes
    ----------
    number_slices, category_slices : list of slice
        Inputs of each number and category.
    width : int
        Number of inputs.

    Examples
    --------
    >>> none = np.empty((3, 0), np.int32)
    >>> encoding, _ = learn_encoding(np.array([[0.0], [1.0], [2.0]]), none, [], n_bins=2)
    >>> encoding.encode(np.array([[1.5]]), none[:1]).toarray()
    array([[0.49319696, 1.        , 0.5       ]], dtype=float32)
    """

    def __init__(self, numbers: Sequence[NumberCode], categories: Sequence[CategoryCode]) -> None:
        self.numbers, self.categories = list(numbers), list(categories)
        widths = [code.width for code in self.numbers] + [code.width for code in self.categories]
        bounds = np.cumsum([0, *widths]).tolist()
        slices = [slice(first, end) for first, end in pairwise(bounds)]
        n = len(self.numbers)
        self.number_slices, self.category_slices = slices[:n], slices[n:]
        self.width: int = bounds[-1]

    @property
    def segments(self) -> np.ndarray:
        """The first column of the bins (width,) that each column is in, -1 for other columns."""
        found = np.full(self.width, -1, np.int32)
        for code, place in zip(self.numbers, self.number_slices, strict=True):
            found[place.stop - code.n_bins : place.stop] = place.stop - code.n_bins
        return found

    def rows(
        self, numbers: np.ndarray, codes: np.ndarray, statistics: Sequence[np.ndarray] | None = None
    ) -> SparseRows:
        """Return the inputs of a network as the core reads them fastest.

        Parameters
        ----------
        numbers, codes, statistics
            See `encode`.

        Examples
        --------
        >>> none = np.empty((3, 0), np.int32)
        >>> encoding, _ = learn_encoding(np.array([[0.0], [1.0], [2.0]]), none, [], n_bins=2)
        >>> encoding.rows(np.array([[1.5]]), none[:1]).n_stored
        2
        """
        dtype = np.dtype(np.float32)
        if max((code.n_bins for code in self.numbers), default=0) > MAX_BINS:
            return SparseRows(self.encode(numbers, codes, statistics), dtype)
        return PiecewiseRows(self.encode(numbers, codes, statistics, form="segments"), self.segments, dtype)

    def encode(
        self,
        numbers: np.ndarray,
        codes: np.ndarray,
        statistics: Sequence[np.ndarray] | None = None,
        *,
        form: str = "inputs",
    ) -> Any:
        """Return the inputs of a network.

        Parameters
        ----------
        numbers : ndarray of shape (n, n_numbers), float64
            NaN is missing.
        codes : ndarray of shape (n, n_categories), int32
        statistics : list of ndarray, optional
            For each category, what stands in the place of its table for these rows (see `learn_category`).

        Returns
        -------
        scipy.sparse.csr_array of shape (n, width), float32
            With sorted int32 indices.

        Examples
        --------
        See the class.
        """
        from scipy.sparse import csr_array

        n = len(numbers)
        blocks = [
            self._segments(
                numbers[at : at + BLOCK],
                codes[at : at + BLOCK],
                None if statistics is None else [each[at : at + BLOCK] for each in statistics],
                form,
            )
            for at in range(0, max(n, 1), BLOCK)
        ]
        counts = np.concatenate([[0], *(block[2] for block in blocks)])
        indptr = np.cumsum(counts, dtype=np.int64)
        if indptr[-1] < 2**31:
            indptr = indptr.astype(np.int32)
        data, indices = (np.concatenate([block[i] for block in blocks]) for i in (0, 1))
        width = self.width
        if form == "knots":
            width += sum(code.n_bins > 0 for code in self.numbers)
        matrix = csr_array((data, indices.astype(indptr.dtype, copy=False), indptr), shape=(n, width))
        matrix.has_sorted_indices = True
        return matrix

    def _segments(
        self, numbers: np.ndarray, codes: np.ndarray, statistics: Sequence[np.ndarray] | None, form: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the elements of some rows, their columns, and the number of elements per row."""
        n = len(numbers)
        firsts: list[Any] = []  # for each segment: its first column, its length, its last element
        lengths: list[Any] = []
        lasts: list[Any] = []

        def segment(first: Any, length: Any, last: Any) -> None:
            firsts.append(first)
            lengths.append(length)
            lasts.append(last)

        shift = 0  # columns that "knots" has more up to here
        for values, code, place in zip(numbers.T, self.numbers, self.number_slices, strict=True):
            missing = np.isnan(values)
            known = np.where(missing, code.median, values) if missing.any() else values
            first = place.start + shift
            segment(first, 1, smooth_clip(np.clip((known - code.median) * code.factor, -1e9, 1e9)))
            if code.indicator:
                first += 1
                segment(first, missing, 1.0)
            if code.n_bins:
                at, share = bins_of(known, code.edges)
                if form == "knots":
                    segment(first + 1 + at, 1, 1 - share)
                    segment(first + 2 + at, 1, share)
                    shift += 1
                    continue
                segment(first + 1, np.where(share > 0, at + 1, at), np.where(share > 0, share, 1.0))
        for index, (code_of, place) in enumerate(zip(self.categories, self.category_slices, strict=True)):
            column = codes[:, index]
            inputs = code_of.inputs[column]
            segment(place.start + shift + inputs, inputs >= 0, 1.0)
            rows = code_of.table[column] if statistics is None else statistics[index]
            for offset, values in enumerate(rows.T):
                segment(place.start + shift + code_of.n_inputs + offset, 1, values)

        shape = (n, len(firsts))
        first_of, length_of, last_of = (
            np.empty(shape, np.int32),
            np.empty(shape, np.int32),
            np.empty(shape, np.float32),
        )
        for target, columns in ((first_of, firsts), (length_of, lengths), (last_of, lasts)):
            for place_of, column in enumerate(columns):
                target[:, place_of] = column
        if form == "segments":
            first_of += np.maximum(length_of - 1, 0)
            np.minimum(length_of, 1, out=length_of)
        ends = np.cumsum(length_of, dtype=np.int32).reshape(shape)
        total = int(ends[-1, -1]) if ends.size else 0
        places = first_of - (ends - length_of)
        indices = np.arange(total, dtype=np.int32) + np.repeat(places.ravel(), length_of.ravel())
        data = np.ones(total, np.float32)
        filled = length_of > 0
        data[ends[filled] - 1] = last_of[filled]
        return data, indices, length_of.sum(axis=1)

    def get_arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays.

        Examples
        --------
        >>> list(Encoding([NumberCode(0.0, 1.0, False, np.empty(0))], []).get_arrays())
        ['numbers.median', 'numbers.factor', 'numbers.indicator', 'numbers.n_edges', 'numbers.edges']
        """
        arrays = {
            "numbers.median": np.array([code.median for code in self.numbers], np.float64),
            "numbers.factor": np.array([code.factor for code in self.numbers], np.float64),
            "numbers.indicator": np.array([code.indicator for code in self.numbers], np.bool_),
            "numbers.n_edges": np.array([len(code.edges) for code in self.numbers], np.int64),
            "numbers.edges": np.concatenate([np.empty(0), *(code.edges for code in self.numbers)]),
        }
        for at, code in enumerate(self.categories):
            arrays |= {f"categories.{at}.{name}": getattr(code, name) for name in CATEGORY_ARRAYS}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Encoding:
        """Return the encoding of which `get_arrays` returned the arrays.

        Parameters
        ----------
        arrays : dict

        Examples
        --------
        >>> Encoding.from_arrays(Encoding([], []).get_arrays()).width
        0
        """
        names = ("median", "factor", "indicator", "n_edges")
        medians, factors, indicators, n_edges = (arrays[f"numbers.{name}"].tolist() for name in names)
        edges = np.split(arrays["numbers.edges"], np.cumsum(n_edges, dtype=np.intp)[:-1])
        numbers = [NumberCode(*each) for each in zip(medians, factors, indicators, edges, strict=False)]
        categories: list[CategoryCode] = []
        while f"categories.{len(categories)}.inputs" in arrays:
            at = len(categories)
            categories.append(CategoryCode(*(arrays[f"categories.{at}.{name}"] for name in CATEGORY_ARRAYS)))
        return cls(numbers, categories)


def bins_of(values: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bin (n,) of each value and how far (n,), from 0 to 1, the value is into the bin.

    The inputs before the bin are 1, that of the bin is the share, and the others are 0: equations 1 and 2
    of [1]_, except that values outside of the edges are read as the nearest edge. There the equations go on
    without a bound, and one mistyped number would drown all other inputs of its row.

    Parameters
    ----------
    values : ndarray of shape (n,)
    edges : ndarray of shape (n_bins + 1,)

    References
    ----------
    .. [1] Gorishniy, Rubachev, Babenko. On embeddings for numerical features in tabular deep learning.
       arXiv 2203.05556.

    Examples
    --------
    >>> at, share = bins_of(np.array([-1.0, 0.5, 1.0, 7.0]), np.array([0.0, 1.0, 3.0]))
    >>> at.tolist(), share.tolist()
    ([0, 0, 0, 1], [0.0, 0.5, 1.0, 1.0])
    """
    at = np.searchsorted(edges[1:-1], values, side="left")
    low, high = edges[at], edges[at + 1]
    return at, np.clip((values - low) / (high - low), 0.0, 1.0)


def learn_encoding(
    numbers: np.ndarray,
    codes: np.ndarray,
    n_levels: Sequence[int],
    targets: np.ndarray | None = None,
    *,
    n_bins: int = 24,
    folds: np.ndarray | None = None,
) -> tuple[Encoding, list[np.ndarray]]:
    """Return how a table is encoded, and the statistics of its own rows for `Encoding.encode`.

    Parameters
    ----------
    numbers : ndarray of shape (n, n_numbers)
    codes : ndarray of shape (n, n_categories)
    n_levels : list of int
        Of each category.
    targets : ndarray of shape (n, k), optional
        Of which target statistics are kept.
    n_bins : int, default 24
        0 for no bins.
    folds : ndarray of shape (n,), optional
        The fold 0 .. 4 of each row; see `learn_category`.

    Examples
    --------
    See `Encoding`.
    """
    if targets is None:
        targets = np.empty((len(numbers), 0))
    pairs = [learn_category(column, n, targets, folds) for column, n in zip(codes.T, n_levels, strict=True)]
    encoding = Encoding(
        [learn_number(column, n_bins, targets) for column in numbers.T], [code for code, _ in pairs]
    )
    return encoding, [rows for _, rows in pairs]
