"""How much a table estimator relies on each raw column: permutation importance, and gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ... import _checks as checks
from ...data import arrays as data
from .. import passes
from .columns import Column
from .encoding import CLIP, Encoding, NumberCode, bins_of
from .passes import blocks_of, over_blocks
from .scores import GROWS, score_of


@dataclass(frozen=True)
class FeatureImportance:
    """How much worse the predictions are if the cells of a column are shuffled, the largest first.

    Attributes
    ----------
    names : list of str
        The columns of the table.
    mean, std : ndarray (n_columns,)
        Of the repeats: by how much the metric is worse than `baseline`; the standard deviation says how much
        the shuffling itself contributes.
    repeats : ndarray (n_columns, n_repeats)
    metric : str
    baseline : float
        The metric without shuffling.

    Examples
    --------
    >>> print(FeatureImportance(["age"], np.array([0.25]), np.array([0.01]), np.array([[0.25]]), "mae", 1.5))
    mae 1.5; it is worse by so much if a column is shuffled:
    age  0.25  +- 0.01
    """

    names: list[str]
    mean: np.ndarray
    std: np.ndarray
    repeats: np.ndarray
    metric: str
    baseline: float

    def __str__(self) -> str:
        means, spreads = ([f"{value:.3g}" for value in values] for values in (self.mean, self.std))
        name, mean = max(map(len, self.names)), max(map(len, means))
        lines = [
            f"{a:<{name}}  {b:<{mean}}  +- {c}" for a, b, c in zip(self.names, means, spreads, strict=True)
        ]
        return "\n".join(
            [f"{self.metric} {self.baseline:.4g}; it is worse by so much if a column is shuffled:", *lines]
        )


def codes_of_labels(classes: np.ndarray, y: Any) -> np.ndarray:
    """Return the classes (n,) 0 .. K - 1 of labels.

    Raises
    ------
    ValueError
        For a label that `fit` has not seen.

    Examples
    --------
    >>> codes_of_labels(np.array(["no", "yes"]), ["yes", "no"]).tolist()
    [1, 0]
    """
    labels = np.asarray(y).ravel()
    table = {label: code for code, label in enumerate(classes.tolist())}
    try:
        return np.array([table[label] for label in labels.tolist()], dtype=np.int64)
    except KeyError as error:
        raise ValueError(f"y must hold labels of fit, got {error.args[0]!r}") from None


def feature_importance(
    est: Any, X: Any, y: Any, n_repeats: int, metric: str | None, random_state: Any
) -> FeatureImportance:
    """Return the permutation importance of each raw column; see `TableClassifier.feature_importance`."""
    n_repeats = checks.check_integer("n_repeats", n_repeats, 1)
    metric = est._metric() if metric is None else checks.check_name("metric", metric, est.METRICS)
    if hasattr(est, "classes_"):
        target = codes_of_labels(est.classes_, y)
        if metric == "roc_auc" and len(np.unique(target)) < len(est.classes_):
            raise ValueError("y must hold all classes of fit for metric='roc_auc'")
    else:
        target = np.asarray(data.converted(np.asarray(y).ravel(), np.dtype(np.float64), "y"))
        data.refuse_nonfinite(target, "y")
    rng = check_random_state(random_state)
    encoded = est.encoder_.transform(X).tocsr()
    n = encoded.shape[0]
    if len(target) != n:
        raise ValueError(f"y must have {n} rows, as X has, got {len(target)}")

    def score(place: slice, order: np.ndarray | None) -> float:
        """Return the metric, with the inputs of one column shuffled."""

        def inputs(block: slice) -> np.ndarray:
            dense: np.ndarray = encoded[block].toarray()
            if order is not None:
                dense[:, place] = own[order[block]].toarray()
            return dense

        found = over_blocks(est.members_, est._combined, n, inputs, est.n_threads)
        return score_of(metric, target, found, None)

    sign = -1 if metric in GROWS else 1
    baseline = score(slice(0), None)
    orders = [rng.permutation(n) for _ in range(n_repeats)]  # the same ones for all columns
    columns = est.encoder_.columns_.columns
    repeats = np.zeros((len(columns), n_repeats))
    for row, place in zip(repeats, slices_of(est.encoder_.encoding_, columns), strict=True):
        if place is not None:
            own = encoded[:, place]
            row[:] = [sign * (score(place, order) - baseline) for order in orders]
    mean = repeats.mean(axis=1)
    first = np.argsort(-mean, kind="stable")
    return FeatureImportance(
        [columns[at].name for at in first], mean[first], repeats.std(axis=1)[first], repeats[first], metric,
        baseline,
    )  # fmt: skip


def slices_of(encoding: Encoding, columns: list[Column]) -> list[slice | None]:
    """Return for each column of a table its inputs, None for a dropped one."""
    numbers, categories = iter(encoding.number_slices), iter(encoding.category_slices)
    found: list[slice | None] = []
    for column in columns:
        own = [next(numbers) for _ in column.number_names]
        if column.is_category():
            own = [next(categories)]
        found.append(slice(own[0].start, own[-1].stop) if own else None)
    return found


def input_gradient(est: Any, X: Any) -> np.ndarray:
    """Return the gradient with respect to numeric raw columns; see `TableClassifier.input_gradient`."""
    encoder, members = est.encoder_, est.members_
    numbers, codes = encoder.columns_.read(X)
    columns = encoder.columns_.columns
    n, n_outputs = len(numbers), members[0].n_outputs
    found = np.full((n, n_outputs, len(columns)), np.nan)
    for block in blocks_of(n, encoder.encoding_.width * n_outputs):
        dense = encoder.encoding_.encode(numbers[block], codes[block]).toarray()
        wrt_inputs = np.mean([passes.input_gradient(net, dense, True) for net in members], axis=0)
        at = 0
        for index, column in enumerate(columns):
            if column.kind == "dropped":
                found[block, :, index] = 0
            elif column.kind == "number":
                values, place = numbers[block, at], encoder.number_slices_[at]
                found[block, :, index] = _of_number(
                    encoder.encoding_.numbers[at], values, wrt_inputs[..., place]
                )
            at += len(column.number_names)
    return found if n_outputs > 1 else found[:, 0]


def _of_number(code: NumberCode, values: np.ndarray, wrt_inputs: np.ndarray) -> np.ndarray:
    """Return the gradient (n, O) with respect to a number from that of its inputs (n, O, width)."""
    t = (values - code.median) * code.factor / CLIP
    slope = code.factor * (1 + np.square(t)) ** -1.5  # of the smooth clip
    found: np.ndarray = wrt_inputs[:, :, 0] * slope[:, None]
    if code.n_bins:
        at, share = bins_of(np.where(np.isnan(values), code.median, values), code.edges)
        inside = (share > 0) & (values <= code.edges[at + 1])  # an edge belongs to the bin below it
        per_unit = np.where(inside, 1 / np.diff(code.edges)[at], 0.0)
        bins = wrt_inputs[:, :, 1 + code.indicator :]
        found += bins[np.arange(len(values)), :, at] * per_unit[:, None]
    return found
