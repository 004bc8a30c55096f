"""TableEncoder: a raw table as the inputs of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ... import _checks as checks
from ...data.sparse import SparseRows
from .columns import FEW_ROWS, Column, Columns, learn
from .encoding import FEW_LEVELS, N_FOLDS, CategoryCode, Encoding, NumberCode, learn_encoding
from .row import RowEncoder

STATE_VERSION = 1
MANY_CLASSES = 100  # the splits of numbers by so many classes would take longer than the training


class TableEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Encodes raw tables as inputs of a network: numbers, categories, booleans, dates, missing values.

    The kind of each column is inferred from its dtype and its contents; `describe` prints what was inferred.

    - A number is scaled by its quartiles and clipped smoothly to (-3, 3) [1]_, and has a piecewise-linear
      code of up to `n_bins` bins [2]_, and of 14 more if `fit` is given y: on both sides of the values where
      the mean target changes most. Missing values are read as the median; if `fit` saw some, an input
      tells which they are.
    - A category is one-hot. Levels of one or two rows share one input, and missing is a level. More than 9
      levels have target statistics as well, if `fit` is given y, and the logarithm of their frequency. Of
      more than 256 levels the 64 most frequent ones have inputs of their own, and the others share one:
      most other levels have too few rows to train a weight for each of them, and their statistics say most
      of what can be known.
    - A date becomes its year, month, day, weekday, hour, day number, and sine and cosine of the phase of
      the year, as far as these differ.
    - Text that holds numbers or dates is read as such. Columns that are constant, missing throughout, or
      identifiers are dropped.

    Target statistics are out of fold in `fit_transform`, so that a row's own target is not in its inputs,
    and of all rows in `transform`. Levels that `fit` has not seen are encoded as zeros, and by statistics
    as an average row.

    Parameters
    ----------
    task : {"auto", "classification", "regression"}, default "auto"
        What y is. With "auto", floats are numbers, and all else is classes.
    n_bins : int, default 24
        The most bins of a number: [2]_ found little difference between 20 and 100.
    piecewise : bool, default True
        Whether numbers have bins.
    dense : bool, default False
        Whether `transform` returns an ndarray and not a sparse array. Most elements are 0.
    kinds : dict, optional
        Kinds of columns that you know better, by name: "number", "boolean", "category", "date" or "dropped".
    random_state : int, RandomState or None, default None
        Draws the folds of the target statistics.

    Attributes
    ----------
    columns_ : Columns
        What was inferred for each column, and how a table becomes `numbers` and `codes`.
    encoding_ : Encoding
        How numbers and codes are encoded.
    edges_ : list of ndarray of shape (n_bins + 1,)
        Edges of the bins of each number, empty without bins.
    number_slices_, category_slices_ : list of slice
        Columns of the output that belong to each number and each category.
    n_features_in_ : int
        Number of columns of the table.
    n_features_out_ : int
        Number of columns of the output.
    feature_names_in_ : ndarray of shape (n_columns,), str
        Names of the columns, if the table has names.

    References
    ----------
    .. [1] Holzmueller, Grinsztajn, Steinwart. Better by default: strong pre-tuned MLPs and boosted trees on
       tabular data. arXiv 2407.04491.
    .. [2] Gorishniy, Rubachev, Babenko. On embeddings for numerical features in tabular deep learning.
       arXiv 2203.05556, equations 1 and 2.

    Examples
    --------
    >>> from dnn import TableEncoder
    >>> table = {"age": [31, 60, 45, None], "job": ["cook", "pilot", "cook", "?"]}
    >>> encoder = TableEncoder(n_bins=2)
    >>> encoder.fit_transform(table).toarray().round(2)
    array([[-0.92,  0.  ,  0.  ,  0.  ,  0.  ,  1.  ,  0.  ],
           [ 0.98,  0.  ,  1.  ,  1.  ,  0.  ,  0.  ,  1.  ],
           [ 0.  ,  0.  ,  1.  ,  0.  ,  0.  ,  1.  ,  0.  ],
           [ 0.  ,  1.  ,  1.  ,  0.  ,  1.  ,  0.  ,  0.  ]], dtype=float32)
    >>> encoder.get_feature_names_out().tolist()
    ['age', 'age_missing', 'age_bin1', 'age_bin2', 'job=<missing>', 'job=cook', 'job=pilot']
    """

    def __init__(
        self,
        *,
        task: str = "auto",
        n_bins: int = 24,
        piecewise: bool = True,
        dense: bool = False,
        kinds: Mapping[str, str] | None = None,
        random_state: Any = None,
    ) -> None:
        self.task = task
        self.n_bins = n_bins
        self.piecewise = piecewise
        self.dense = dense
        self.kinds = kinds
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> TableEncoder:
        """Learn the columns of a table and return self.

        Parameters
        ----------
        X : table
            A table of pandas, polars or pyarrow, a dict of columns, a list of dicts, a NumPy array with two
            axes or with named fields, or a list of rows.
        y : array_like of shape (n,) or (n, k), optional
            Classes or numbers, for the target statistics of categories with many levels.

        Raises
        ------
        TypeError, ValueError
            If X is no table, a cell cannot be read, no column is left, or a column equals the target.

        Examples
        --------
        >>> from dnn import TableEncoder
        >>> TableEncoder().fit([[1.0, "a"], [2.0, "b"]]).n_features_out_
        3
        """
        self._learn(X, y, out_of_fold=False)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Learn the columns of a table and return it encoded, with target statistics out of fold.

        Parameters
        ----------
        X : table
            See `fit`.
        y : array_like of shape (n,) or (n, k), optional
            Classes or numbers.

        Returns
        -------
        csr_array of shape (n, n_outputs), float32
            An ndarray with ``dense=True``.

        Examples
        --------
        >>> from dnn import TableEncoder
        >>> TableEncoder(dense=True, piecewise=False).fit_transform({"size": [1, 2, 3]}).tolist()
        [[-0.9486833214759827], [0.0], [0.9486833214759827]]
        """
        learned = self._learn(X, y, out_of_fold=True)
        return self._output(self.encoding_.encode(*learned))

    def transform(self, X: Any) -> Any:
        """Return a table encoded.

        Parameters
        ----------
        X : table
            See `fit`; also one row as a dict. Columns that `fit` has not seen are ignored, those that X
            lacks are read as missing, with a warning.

        Returns
        -------
        csr_array of shape (n, n_outputs), float32
            An ndarray with ``dense=True``.

        Raises
        ------
        TypeError, ValueError
            If X is no table, has none of the columns, or a column of numbers or dates holds something else.

        Examples
        --------
        >>> from dnn import TableEncoder
        >>> encoder = TableEncoder(dense=True).fit({"on": [True, False]})
        >>> encoder.transform({"on": [1, 0, None]}).tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
        """
        check_is_fitted(self)
        return self._output(self.encoding_.encode(*self.columns_.read(X)))

    def fit_rows(self, X: Any, y: Any = None) -> tuple[SparseRows, SparseRows]:
        """Learn the columns of a table and return its rows for the core: as inputs, and as `Knots`.

        Parameters
        ----------
        X, y
            See `fit_transform`.

        Examples
        --------
        >>> from dnn import TableEncoder
        >>> [rows.shape for rows in TableEncoder(n_bins=2).fit_rows({"size": [1, 2, 3]})]
        [(3, 3), (3, 4)]
        """
        learned = self._learn(X, y, out_of_fold=True)
        knots = self.encoding_.encode(*learned, form="knots")
        return self.encoding_.rows(*learned), SparseRows(knots, np.dtype(np.float32))

    def row_encoder(self) -> RowEncoder:
        """Return a function that encodes one row, a dict, in microseconds.

        Examples
        --------
        >>> from dnn import TableEncoder
        >>> encode = TableEncoder(piecewise=False).fit({"size": [1, 2, 3]}).row_encoder()
        >>> encode({"size": 2})
        array([[0.]], dtype=float32)
        """
        check_is_fitted(self)
        return RowEncoder(self.columns_, self.encoding_)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names (n_outputs,) of the columns of the output.

        Parameters
        ----------
        input_features : array_like of str, optional
            Must be the names of the columns in `fit`, if given.

        Examples
        --------
        >>> from dnn import TableEncoder
        >>> TableEncoder().fit({"job": ["cook", "pilot", "cook"]}).get_feature_names_out().tolist()
        ['job=cook', 'job=pilot']
        """
        check_is_fitted(self)
        known = [column.name for column in self.columns_.columns]
        if input_features is not None and list(input_features) != known:
            raise ValueError(
                f"input_features must be the columns of fit, {known}, got {list(input_features)}"
            )
        names: list[str] = []
        for name, number in zip(self.columns_.number_names, self.encoding_.numbers, strict=True):
            names += [name, f"{name}_missing"] if number.indicator else [name]
            names += [f"{name}_bin{at}" for at in range(1, number.n_bins + 1)]
        for column, category in zip(self._categories(), self.encoding_.categories, strict=True):
            shared = category.shared
            one = np.count_nonzero(shared) == 1
            inputs = [f"{column.name}=<rare{'' if one else at}>" for at in np.cumsum(shared).tolist()]
            for level, at in zip(column.levels, category.inputs[1:].tolist(), strict=True):
                if not shared[at]:
                    inputs[at] = f"{column.name}={'<missing>' if level is None else level}"
            names += inputs
            names += [f"{column.name}_target{at}" for at in range(1, category.table.shape[1])]
            names += [f"{column.name}_frequency"] if category.table.shape[1] else []
        return np.array(names, dtype=object)

    def describe(self) -> str:
        """Return a text with one line per column: kind, missing values, range or levels, outputs, remarks.

        Examples
        --------
        >>> from dnn import TableEncoder
        >>> table = {"age": ["31", "60", "?"], "job": ["cook", "pilot", "cook"], "unit": ["kg"] * 3}
        >>> print(TableEncoder().fit(table).describe())
        column  kind      missing  range or levels     outputs  remark
        age     number    33.3 %   31 .. 60            2        numbers in text
        job     category           2: 'cook', 'pilot'  2
        unit    dropped                                         constant: 'kg'
        """
        lines = [("column", "kind", "missing", "range or levels", "outputs", "remark"), *self.description()]
        widths = [max(len(line[at]) for line in lines) for at in range(6)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def description(self) -> list[tuple[str, ...]]:
        """Return what `describe` prints: for each column its name, kind, missing values, and so on.

        Examples
        --------
        >>> from dnn import TableEncoder
        >>> TableEncoder().fit({"age": [31, 60, 45]}).description()
        [('age', 'number', '', '31 .. 60', '3', '2 bins')]
        """
        check_is_fitted(self)
        numbers, categories = iter(self.encoding_.numbers), iter(self.encoding_.categories)
        lines: list[tuple[str, ...]] = []
        for column in self.columns_.columns:
            codes: list[NumberCode | CategoryCode] = [next(numbers) for _ in column.number_names]
            if column.is_category():
                codes = [next(categories)]
            share = 100 * column.missing
            missing = "" if share == 0 else "< 0.1 %" if share < 0.1 else f"{share:.1f} %"
            width = str(sum(code.width for code in codes)) if codes else ""
            lines.append(
                (column.name, column.kind, missing, _contents(column), width, _remark(column, codes))
            )
        return lines

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what was learned, for a model file: plain values as JSON can hold them, and arrays.

        Examples
        --------
        >>> from dnn import TableEncoder
        >>> values, arrays = TableEncoder().fit({"size": [1, 2, 3]}).get_state()
        >>> TableEncoder.from_state(values, arrays).transform({"size": [2]}).toarray().tolist()
        [[0.0, 1.0, 0.0]]
        """
        check_is_fitted(self)
        seed = self.random_state  # a generator cannot be written, and prediction does not need it
        params = {
            "task": self.task,
            "n_bins": int(self.n_bins),
            "piecewise": bool(self.piecewise),
            "dense": bool(self.dense),
            "kinds": None if self.kinds is None else {str(name): kind for name, kind in self.kinds.items()},
            "random_state": int(seed) if isinstance(seed, (int, np.integer)) else None,
        }
        values = {"version": STATE_VERSION, "params": params, **self.columns_.get_state()}
        return values, self.encoding_.get_arrays()

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TableEncoder:
        """Return the fitted encoder whose `get_state` returned these values and arrays.

        Parameters
        ----------
        values : dict
        arrays : dict of ndarray

        Raises
        ------
        ValueError
            If a later version of dnn made the state.

        Examples
        --------
        >>> from dnn import TableEncoder
        >>> TableEncoder.from_state(*TableEncoder().fit([[1.0], [2.0]]).get_state()).n_features_in_
        1
        """
        if values["version"] > STATE_VERSION:
            raise ValueError(f"the state must be of version {STATE_VERSION}, got {values['version']}")
        encoder = cls(**values["params"])
        encoder._take(Columns.from_state(values), Encoding.from_arrays(arrays))
        return encoder

    # Inner parts

    def _take(self, columns: Columns, encoding: Encoding) -> None:
        """Set the fitted attributes."""
        self.columns_, self.encoding_ = columns, encoding
        self.edges_ = [code.edges for code in encoding.numbers]
        self.number_slices_, self.category_slices_ = encoding.number_slices, encoding.category_slices
        self.n_features_in_, self.n_features_out_ = len(columns.columns), encoding.width
        self.__dict__.pop("feature_names_in_", None)
        if columns.named:
            self.feature_names_in_ = np.array([column.name for column in columns.columns], dtype=object)

    def _learn(self, X: Any, y: Any, out_of_fold: bool) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Learn everything; return the numbers, the codes and the statistics of the rows of X."""
        checks.check_name("task", self.task, ("auto", "classification", "regression"))
        n_bins = checks.check_integer("n_bins", self.n_bins, 1, 1000)
        piecewise = checks.check_boolean("piecewise", self.piecewise)
        checks.check_boolean("dense", self.dense)
        rng = check_random_state(self.random_state)
        columns, numbers, codes = learn(X, self.kinds)
        levels = [len(column.levels) for column in columns.columns if column.is_category()]
        targets = None
        if y is not None:
            classes, targets = _targets(y, self.task, len(numbers))
            if columns.named:  # in an array without names, as in many a test, it may be meant
                _refuse_target(columns, numbers, codes, classes, np.asarray(y))
            if classes is not None and (max(levels, default=0) > FEW_LEVELS or classes.max() < MANY_CLASSES):
                targets = (classes[:, None] == np.arange(1, classes.max() + 1)).astype(np.float64)
        folds = rng.permutation(len(numbers)) % N_FOLDS if out_of_fold else None
        encoding, statistics = learn_encoding(
            numbers, codes, levels, targets, n_bins=n_bins if piecewise else 0, folds=folds
        )
        self._take(columns, encoding)
        return numbers, codes, statistics

    def _output(self, matrix: Any) -> Any:
        return matrix.toarray() if self.dense else matrix

    def _categories(self) -> list[Column]:
        return [column for column in self.columns_.columns if column.is_category()]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "encoding_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _targets(y: Any, task: str, n_rows: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the classes (n,) and None, or None and the standardized numbers (n, k)."""
    values = np.asarray(y)
    if values.ndim not in (1, 2) or len(values) != n_rows:
        raise ValueError(
            f"y must have one target for each of the {n_rows} rows of X, got shape {values.shape}"
        )
    if task == "classification" or (task == "auto" and values.dtype.kind != "f"):
        if values.ndim == 2:
            raise ValueError(f"y must have shape ({n_rows},) for classes, got {values.shape}")
        try:
            return np.unique(values, return_inverse=True)[1], None
        except TypeError:
            raise TypeError(
                "y must hold classes of one type, got several types that cannot be ordered"
            ) from None
    try:
        targets = values.reshape(n_rows, -1).astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"y must hold numbers for regression, got {values.dtype}") from None
    wrong = ~np.isfinite(targets).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"y must hold finite numbers, got {values[row]} in row {row}")
    deviation = targets.std(axis=0)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    return None, (targets - targets.mean(axis=0)) * scale


def _refuse_target(
    columns: Columns, numbers: np.ndarray, codes: np.ndarray, classes: np.ndarray | None, y: np.ndarray
) -> None:
    """Raise an error for a column that is the target; tiny tables may hold such a column by chance."""
    if len(numbers) < FEW_ROWS:
        return
    names = {column.name for column in columns.columns if column.kind == "number"}
    if classes is None:
        outputs = y.reshape(len(y), -1).T
        if y.dtype.kind == "f":  # in single precision, the target is a rounded column
            with np.errstate(over="ignore"):
                numbers = numbers.astype(y.dtype)
        for name, values in zip(columns.number_names, numbers.T, strict=True):
            if name in names and any(np.array_equal(values, each) for each in outputs):
                raise ValueError(f"X must not hold the target, but column {name!r} equals y: leave it out")
        return
    n_classes = int(classes.max()) + 1
    found = [(name, codes[:, at].astype(np.float64)) for at, name in enumerate(columns.category_names)]
    found += [
        (name, values) for name, values in zip(columns.number_names, numbers.T, strict=True) if name in names
    ]
    for name, values in found:
        if n_classes < 2 or np.isnan(values).any() or len(np.unique(values[:1000])) > n_classes:
            continue
        levels, index = np.unique(values, return_inverse=True)
        if len(levels) == n_classes and len(np.unique(index * n_classes + classes)) == n_classes:
            raise ValueError(
                f"X must not hold the target, but the values of column {name!r} stand for the classes of y "
                "one to one: leave it out"
            )


def _contents(column: Column) -> str:
    """Return the range or the levels of a column for `describe`."""
    if column.kind == "number":
        return f"{column.low:.6g} .. {column.high:.6g}"
    if column.kind == "date":
        low, high = (
            str(np.datetime64(int(s), "s"))[:16].replace("T00:00", "") for s in (column.low, column.high)
        )
        return f"{low} .. {high}"
    if column.is_category():
        levels = [level for level in column.levels if level is not None]
        shown = ", ".join(repr(level if len(level) <= 20 else level[:17] + "...") for level in levels[:3])
        return f"{len(levels)}: {shown}{', ...' if len(levels) > 3 else ''}"
    return ""


def _remark(column: Column, codes: list[NumberCode | CategoryCode]) -> str:
    """Return the remark of `describe`."""
    remarks = [column.remark] if column.remark else []
    if column.kind == "date":
        remarks.append("as " + ", ".join(column.parts))
    for code in codes:
        if isinstance(code, CategoryCode):
            shared = np.flatnonzero(code.shared)
            outputs = "one output" if len(shared) == 1 else f"{len(shared)} outputs"
            rare = np.count_nonzero(np.isin(code.inputs, shared))
            remarks += [f"rare levels in {outputs}: {rare}"] if rare else []
            n_statistics = code.table.shape[1] - 1
            remarks += (
                ["target statistics and frequency" if n_statistics else "frequency"]
                if n_statistics >= 0
                else []
            )
        elif column.kind == "number" and code.n_bins:
            remarks.append(f"{code.n_bins} bins")
    return "; ".join(remarks)
