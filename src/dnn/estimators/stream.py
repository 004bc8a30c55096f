"""The training of an estimator on a source, whose rows are read block by block, and its validation on one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks as checks
from .. import _threads as threads
from ..data.classes import balanced, class_counts, targets_of
from ..data.streams import Stream, StreamedRows, first_part, first_rows, stream_of
from ..losses import LossSpec, loss_of
from ..network import Network
from ..training.problem import Problem, losses_of_rows
from ..training.validation import StreamedValidation, Total, refuse_arrays
from .convergence import TrainingSetup
from .labels import Labels
from .validation import Validation, given_validation, validation_on

if TYPE_CHECKING:
    from .base import BaseMLP

ENDLESS = 1 << 40  # rows of a source that does not know its number: a batch is never clamped to it


def set_up_streamed(
    est: BaseMLP,
    X: Any,
    y: Any,
    sample_weight: Any,
    validation: tuple[Any, Any, Any],
    incremental: bool,
    rng: Any,
    **saving: Any,
) -> TrainingSetup | None:
    """Check everything that a training on a source needs, and return it; None if X is none.

    est: a draft that a refusal discards.
    """
    stream = stream_of(X)
    if stream is None:
        return None
    if incremental:
        raise TypeError("X must be an array for partial_fit, got a source: fit reads it block by block")
    refuse_arrays(y=y, sample_weight=sample_weight)
    hidden = est._check_parameters()
    if est._is_lbfgs():
        raise ValueError(
            f"solver must be one that takes steps with a source, got {est.solver!r}, which needs all rows at "
            "once: 'adam' is the default"
        )
    if est.early_stopping and validation[0] is None:
        raise ValueError(
            "early_stopping must come with X_val and y_val, or a source as X_val, where X is a source: no "
            "rows of it can be set aside"
        )
    n_rows = stream.source.n_rows
    if n_rows is None and est.learning_rate == "invscaling" and est.solver == "sgd" and est.schedule is None:
        raise ValueError(
            "learning_rate must be 'constant' or 'adaptive' with a source whose n_rows is None, got "
            "'invscaling': tell the source how many rows it has"
        )
    first = not est.warm_start or "coefs_" not in vars(est)
    allowed = est._precision(first)
    some_X, some_y = first_part(stream)
    _read_columns(est, stream, some_X.shape[1], first)
    weights = est._read_streamed_labels(stream, some_y, first)
    n_outputs = est._n_outputs(_encoded(est, some_y, "y"))
    net = est._prepare([some_X.shape[1], *hidden, n_outputs], first, some_X.dtype, allowed, rng)
    spec = loss_of(est._loss(), net.layers[-1].info.name, net.n_outputs)
    rows = _streamed_rows(est, net, spec, stream, weights)
    validated_on = streamed_validation(est, net, spec, validation)
    if validated_on is None and (held_out := given_validation(est, net, validation)) is not None:
        validated_on = validation_on(est, net, spec, held_out, varied=True)
    divisor = net.n_outputs if spec.name == "squared_error" else 1
    penalties = float(est.alpha), float(est.l1), threads.check_n_threads(est.n_threads)
    problem = Problem(net.plan, net.params, *first_rows(rows), spec, *penalties, divisor)
    options = est._fit_options(
        est.max_iter,
        ENDLESS if n_rows is None else n_rows,
        streamed=rows,
        shuffle=bool(est.shuffle),
        **saving,
    )
    return est._setup(net, problem, options, validated_on, n_rows or 0, first, False, rng)


def _read_columns(est: BaseMLP, stream: Stream, n_features: int, first: bool) -> None:
    """Set number and names of the columns, or compare them with those of the call before."""
    names = getattr(stream.source, "features", None)
    known = names is not None and len(names) == n_features and all(isinstance(name, str) for name in names)
    found = np.asarray(names, object) if known else None
    if first:
        est.n_features_in_ = n_features
        est.__dict__.pop("feature_names_in_", None)
        if found is not None:
            est.feature_names_in_ = found
        return
    if n_features != est.n_features_in_:
        raise ValueError(
            f"X has {n_features} features, but {type(est).__name__} is expecting {est.n_features_in_} "
            "features as input"
        )
    before = getattr(est, "feature_names_in_", None)
    if found is not None and before is not None and found.tolist() != before.tolist():
        raise ValueError(
            f"X must have the columns of the call before, {before.tolist()}, got {found.tolist()}"
        )


def _encoded(est: BaseMLP, y: np.ndarray, name: str) -> np.ndarray:
    """Return targets of a part of a source as the network is trained on them."""
    return est._encode(y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y, name)


def _streamed_rows(
    est: BaseMLP, net: Network, spec: LossSpec, stream: Stream, class_weight: Any, suffix: str = ""
) -> StreamedRows:
    def encode(y: np.ndarray, name: str) -> np.ndarray:
        return _encoded(est, y, name)

    return StreamedRows(stream, spec, net.n_inputs, net.n_outputs, net.dtype, class_weight, suffix, encode)


def labels_of_source(stream: Stream, some_y: np.ndarray) -> tuple[Labels, np.ndarray]:
    """Return the labels of a source, and the number of rows (K,) of each; none for several labels at once.

    All of its targets are read: some_y are those of the first part.
    """
    if some_y.ndim == 2 and some_y.shape[1] > 1:
        labels = Labels(some_y)
        for y in targets_of(stream):
            Labels(y)
        return labels, np.zeros(0, np.int64)
    found, counts = class_counts(stream, check=Labels)
    return Labels(found), counts


def streamed_class_weight(est: Any, counts: np.ndarray) -> dict[int, float] | None:
    """Return class_weight of a classifier as weights of class indices, for classes with so many rows."""
    if est.class_weight is None:
        return None
    if est._labels.kind == "multilabel-indicator":
        raise ValueError("class_weight must be None for several labels at once with a source")
    if isinstance(est.class_weight, str):
        checks.check_name("class_weight", est.class_weight, ("balanced",))
        weights = balanced(counts)
    else:
        weights = est._class_weights(est._encode(est.classes_), False)
    return dict(enumerate(weights.tolist()))


def streamed_validation(
    est: BaseMLP, net: Network, spec: LossSpec, validation: tuple[Any, Any, Any]
) -> Validation | None:
    """Return loss and score on a validation set that is a source; None if it is none."""
    stream = stream_of(validation[0])
    if stream is None:
        return None
    refuse_arrays(y_val=validation[1], sample_weight_val=validation[2])
    scoring = est._default_scoring() if est.scoring is None else est.scoring
    if est.scoring is not None and not (isinstance(scoring, str) and scoring == "loss"):
        raise ValueError(
            f"scoring must be None or 'loss' with a source as X_val, got {scoring!r}: give X_val and y_val "
            "as arrays"
        )
    rows = _streamed_rows(est, net, spec, stream, est._streamed_class_weight_val(stream), "_val")
    return StreamedScore(scoring, est, net, StreamedValidation(net.plan, net.params, rows))


class StreamedScore(Validation):
    """A validation set that is read block by block: loss and score come from one pass.

    Parameters
    ----------
    name : "loss", "accuracy" or "r2"
    est : estimator
    net : Network
    rows : StreamedValidation
    """

    def __init__(self, name: str, est: BaseMLP, net: Network, rows: StreamedValidation) -> None:
        super().__init__(name, "X_val", rows.mean_loss, None)
        self.est = est
        self.net = net
        self.rows = rows

    def check(self) -> tuple[float, float]:
        """Return loss and score."""
        if self.name == "loss":
            return super().check()
        rows, est = self.rows, self.est
        loss, right, spread = Total("sample_weight_val"), Total("sample_weight_val"), Spread()
        is_finite = True
        for X, targets, weights in rows.parts():
            loss.add(losses_of_rows(rows.plan, rows.params, X, rows.rows.spec, targets), weights)
            outputs = est._forward(self.net, X)
            is_finite = is_finite and bool(np.isfinite(outputs).all())
            if not is_finite or (weights is not None and not weights.any()):
                continue
            y: Any = targets.classes if targets.Y is None else targets.Y
            if self.name == "r2":
                spread.add(y, outputs, weights)
            else:
                n = len(X) if weights is None else float(weights.sum())
                right.add(np.array([est._score_of(outputs, y, weights, True)]), np.array([n]))
        if not is_finite:
            return loss.mean, np.nan
        return loss.mean, spread.r2 if self.name == "r2" else right.mean


class Spread:
    """R2 of predictions that come in parts, by the formula of Chan, Golub and LeVeque for sums of squares.

    Examples
    --------
    >>> spread = Spread()
    >>> y, predicted = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [4.0]])
    >>> spread.add(y[:1], predicted[:1], None)
    >>> spread.add(y[1:], predicted[1:], None)
    >>> round(spread.r2, 3)
    0.5
    """

    def __init__(self) -> None:
        self.weight = 0.0
        self.mean: Any = 0.0
        self.squares: Any = 0.0  # of the differences to the mean
        self.errors: Any = 0.0  # squared
        self.low: Any = np.inf
        self.high: Any = -np.inf

    def add(self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> None:
        """Add targets and predictions (n, O) with weights (n,); None: of 1."""
        y, w = y.astype(np.float64), np.ones(len(y)) if weights is None else weights
        seen = y[w > 0]
        self.low, self.high = np.minimum(self.low, seen.min(axis=0)), np.maximum(self.high, seen.max(axis=0))
        n = float(w.sum())
        mean = w @ y / n
        apart = mean - self.mean
        self.squares += w @ (y - mean) ** 2 + apart**2 * self.weight * n / (self.weight + n)
        self.errors += w @ (y - outputs) ** 2
        self.weight += n
        self.mean = self.mean + apart * n / self.weight

    @property
    def r2(self) -> float:
        """The mean R2 of the outputs; NaN where all targets are equal."""
        varied = self.high > self.low
        if not np.any(varied):
            return np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            of_outputs = 1 - self.errors / self.squares
        # As scikit-learn has it for an output whose targets are all equal
        of_outputs = np.where(varied, of_outputs, np.where(self.errors > 0, 0.0, 1.0))
        return float(np.mean(of_outputs))
