"""What workers do with the shards of a raw table: a survey, a sample, the encoded rows, and their scores.

All are tasks: functions of their arguments alone, which pickle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin

from ..data import arrays as data
from ..data.piecewise import PiecewiseRows
from ..data.sparse import SparseRows
from ..estimators.tables.encoder import TableEncoder
from ..estimators.tables.knots import Knots
from ..estimators.tables.members import folds_of, logits_of
from .dask import joined
from .local import LocalTraining


class Shard(NamedTuple):
    """Encoded rows with a weight above 0.

    Attributes
    ----------
    kinds : list of SparseRows
        The rows as inputs of the encoder, and as those of `Knots` if there are numbers with bins.
    y : ndarray (n,)
        Targets as the networks are trained on them.
    weights : ndarray (n,) or None
    folds : ndarray (n,)
        The fold of each row.
    """

    kinds: list[SparseRows]
    y: np.ndarray
    weights: np.ndarray | None
    folds: np.ndarray

    def part(self, which: np.ndarray) -> Shard:
        """Return some rows."""
        weights = None if self.weights is None else self.weights[which]
        return Shard([rows.take(which) for rows in self.kinds], self.y[which], weights, self.folds[which])

    def given(self) -> tuple[Any, ...]:
        """Return the rows of the only kind, as a shard of rounds."""
        (rows,) = self.kinds
        return (rows, self.y) if self.weights is None else (rows, self.y, self.weights)


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Begin the message of an error about data with the place."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{place}: {error}") from error


def separated(shard: tuple[Any, ...], y: str | None, sample_weight: str | None) -> tuple[Any, Any, Any]:
    """Return X, y and sample_weight, of which the last two may be columns of X."""
    if y is None:
        found: tuple[Any, Any, Any] = (*shard, None)[:3]
        return found
    (X,) = shard
    names = [y] if sample_weight is None else [y, sample_weight]
    return X.drop(columns=names), X[y], None if sample_weight is None else X[sample_weight]


def look(k: int, shard: tuple[Any, Any, Any], local: Any) -> tuple[int, tuple[Any, ...]]:
    """Return the number of rows of a shard, and what it tells of the target; check target and weights."""
    X, y, sample_weight = shard
    with _named(f"shard {k}"):
        n = len(X)
        if len(y) != n:
            raise ValueError(f"y must have {n} rows, as X has, got {len(y)}")
        if not n:
            return 0, ()
        y = local._checked_target(y)
        _weights(sample_weight, n)
        if not isinstance(local, ClassifierMixin):
            return n, (n, float(y.mean()), float(y.var()) * n, float(y.min()), float(y.max()))
        if y.dtype.kind == "f" and (y % 1).any():
            value = y[np.flatnonzero(y % 1)[0]]
            raise ValueError(f"y must hold labels of classes, got the number {value:g}")
        return n, np.unique(y, return_counts=True)


def _weights(sample_weight: Any, n: int) -> np.ndarray | None:
    """Return the weights of the rows of a shard (n,), which may all be 0."""
    if sample_weight is None:
        return None
    found = data.converted(sample_weight, np.dtype(np.float64), "sample_weight")
    if found.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), got {found.shape}")
    data.refuse_nonfinite(found, "sample_weight")
    if (found < 0).any():
        raise ValueError(
            f"sample_weight must not be negative, got {found.min():g} in row {int(found.argmin())}"
        )
    return found


def _coded(local: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the target as networks are trained on it, and as the encoder learns from it."""
    y = local._checked_target(y)
    if not isinstance(local, ClassifierMixin):
        return local._scaled(y), y
    codes = np.searchsorted(local.classes_, y).astype(np.int64)
    return codes, codes


def sampled_rows(shard: tuple[Any, Any, Any], rows: np.ndarray, local: Any) -> tuple[Any, np.ndarray]:
    """Return some rows of a shard, X and y."""
    X, y, _ = shard
    some = X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]
    return some, _coded(local, np.asarray(y)[rows])[1]


def learned_encoder(
    parts: list[tuple[Any, np.ndarray]], encoder: TableEncoder, n_rows: int
) -> tuple[TableEncoder, list[np.ndarray]]:
    """Return the encoder, and the statistics of the rows from which it learned, out of fold."""
    X, y = joined(parts)
    if len(X) == n_rows:
        return encoder, encoder._learn(X, y, out_of_fold=True)[2]
    with _named(f"among {len(X)} rows drawn of {n_rows}"):
        return encoder, encoder._learn(X, y, out_of_fold=True)[2]


def encoder_of(learned: tuple[TableEncoder, list[np.ndarray]]) -> TableEncoder:
    """Return the encoder alone."""
    return learned[0]


def share_of(
    learned: tuple[TableEncoder, list[np.ndarray]], begin: int, end: int
) -> tuple[TableEncoder, list[np.ndarray]]:
    """Return the encoder and the statistics of the rows of one shard."""
    return learned[0], [each[begin:end] for each in learned[1]]


def encoded_shard(
    k: int, shard: tuple[Any, Any, Any], share: tuple[TableEncoder, list[np.ndarray]], sampled: np.ndarray,
    local: Any, of_classes: np.ndarray | None, n_folds: int, seed: int, first: int,
) -> Shard:  # fmt: skip
    """Return an encoded shard.

    The statistics of rows that the encoder has learned from are out of fold, as in `TableEncoder.fit_rows`.
    """
    encoder, own = share
    X, y, sample_weight = shard
    y, _ = _coded(local, y)
    n = len(y)
    if n:
        with _named(f"shard {k}"):
            numbers, codes = encoder.columns_.read(X)
    else:  # which is no table
        numbers, codes = encoder.columns_.convert({}, 0)
    statistics = [code.table[codes[:, at]] for at, code in enumerate(encoder.encoding_.categories)]
    for table, of_sampled in zip(statistics, own, strict=True):
        table[sampled] = of_sampled
    kinds = [encoder.encoding_.rows(numbers, codes, statistics)]
    if len(Knots.of(encoder).bins):
        knots = encoder.encoding_.encode(numbers, codes, statistics, form="knots")
        kinds.append(SparseRows(knots, np.dtype(np.float32)))
    weights = _weights(sample_weight, n)
    if of_classes is not None:
        weights = of_classes[y] if weights is None else of_classes[y] * weights
    rng = np.random.default_rng([seed, k])
    # Each shard begins with another fold, so that folds are alike where shards have few rows
    strata = y if isinstance(local, ClassifierMixin) else None
    folds = (folds_of(strata, None, n, n_folds, rng) + first) % n_folds
    whole = Shard(kinds, y, weights, folds)
    return whole if weights is None or weights.all() else whole.part(np.flatnonzero(weights))


def fold_sizes(shard: Shard, n_folds: int) -> np.ndarray:
    """Return the number of rows in each fold."""
    return np.bincount(shard.folds, minlength=n_folds)


def seen_by(shard: Shard, fold: int, kind: int) -> tuple[Any, ...]:
    """Return the rows that a member is trained on."""
    return shard._replace(kinds=[shard.kinds[kind]]).part(np.flatnonzero(shard.folds != fold)).given()


def unseen_by(shard: Shard, fold: int, kind: int) -> Shard:
    """Return the rows that a member does not see."""
    return shard._replace(kinds=[shard.kinds[kind]]).part(np.flatnonzero(shard.folds == fold))


def together(parts: list[Shard]) -> Shard:
    """Return the rows, of one kind, of several shards in one."""
    from scipy.sparse import vstack

    all_rows = [part.kinds[0] for part in parts]
    matrix = vstack([rows.matrix for rows in all_rows], format="csr")
    dtype, segments = all_rows[0].dtype, all_rows[0].segments
    rows = SparseRows(matrix, dtype) if segments is None else PiecewiseRows(matrix, segments, dtype)
    y, folds = (np.concatenate(each) for each in zip(*((part.y, part.folds) for part in parts), strict=True))
    weights = [part.weights for part in parts if part.weights is not None]
    return Shard([rows], y, np.concatenate(weights) if weights else None, folds)


def score_of_member(held_out: Shard, training: LocalTraining, local: Any, params: np.ndarray) -> float:
    """Return the score of a member on rows that it has not seen, low where it is good."""
    measure = local._epoch_score()
    if measure is not None:
        logits = logits_of(training.network(params), held_out.kinds[0])
        return float(measure(logits, held_out.y, held_out.weights))
    found = training.loss_of(params, training.shard(held_out.given()))
    return found.loss * found.n_rows / found.weight


def held_out_logits(held_out: Shard, training: LocalTraining, params: np.ndarray) -> tuple[Any, ...]:
    """Return the logits of rows that a member has not seen, and their targets and weights."""
    logits = logits_of(training.network(params), held_out.kinds[0])
    return logits, held_out.y, held_out.weights
