"""The table estimators on data of a Dask cluster: an encoder learned on a sample, members trained in rounds.

The raw rows stay on the workers, which encode them once for all members. A member is trained in rounds on
all folds of each shard except for one; the rows of that fold are gathered on one worker, where they choose
the best round of the member, and tell at the end how far its predictions can be trusted.
"""

from __future__ import annotations

import time
from dataclasses import replace
from os import PathLike
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state

from .. import _checks as checks
from .._optional import need
from ..data.classes import balanced
from ..estimators.parameters import adopt, draft_of
from ..estimators.tables.encoder import TableEncoder
from ..estimators.tables.knots import Knots
from ..estimators.tables.models import TableClassifier, TableRegressor
from ..training.history import History
from .dask import SHARDS, Workers, joined, shards_of
from .dask_estimators import DaskEstimator, kept
from .rounds import Nesterov
from .table_members import Members, held_out_of, result_of
from .table_shards import (
    encoded_shard,
    encoder_of,
    fold_sizes,
    learned_encoder,
    look,
    sampled_rows,
    separated,
    share_of,
)

FOLDS = 8  # an eighth of the rows chooses the best round of a member,
HELD_OUT = 100_000  # but no more rows than these, which one worker holds


class DaskTable(DaskEstimator):
    """The base of `DaskTableClassifier` and `DaskTableRegressor`."""

    DEFAULTS: ClassVar[dict[str, Any]] = {"n_members": 4, "patience": 12}
    OWN = ("client", "n_shards", "sample_rows", "rounds_per_epoch", "outer", "timeout")

    def __init__(
        self,
        *,
        client: Any = None,
        n_shards: int = SHARDS,
        sample_rows: int = 100_000,
        rounds_per_epoch: int = 2,
        outer: Nesterov | None = Nesterov(1.0, 0.5),  # noqa: B008 - immutable
        timeout: float = 600.0,
        **params: Any,
    ) -> None:
        self.client = client
        self.n_shards = n_shards
        self.sample_rows = sample_rows
        self.rounds_per_epoch = rounds_per_epoch
        self.outer = outer
        self.timeout = timeout
        self._take(params)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit to a raw table on a Dask cluster and return self.

        Parameters
        ----------
        X : Dask dataframe or array, or path of Parquet files, such as "/data/*.parquet", or list of paths
            Cells may be numbers, text, booleans, dates, or missing. Paths are read by the workers, which all
            must see them.
        y : Dask series or array, or str
            Labels, or numbers, in the partitions of X; or the name of the column of X that is the target.
        sample_weight : Dask series or array, or str, default None
            Weights of the rows, in the same way.

        Raises
        ------
        ConnectionError, TimeoutError
            If the scheduler or all workers are gone.
        TypeError, ValueError
            For parameters and columns that cannot be used, by name. The estimator is unchanged then.
        """
        draft = draft_of(self)
        draft._fit(X, y, sample_weight)
        adopt(self, draft)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        begin = time.perf_counter()
        local = self.LOCAL(**{name: getattr(self, name) for name in self.LOCAL._get_param_names()})
        hidden = local._check_parameters()
        if local.time_limit is not None:
            raise ValueError(f"time_limit must be None on a cluster, got {local.time_limit!r}")
        checks.check_integer("sample_rows", self.sample_rows, 2)
        checks.check_integer("rounds_per_epoch", self.rounds_per_epoch, 1)
        rng = check_random_state(local.random_state)
        seed_encoder, seed_folds = (int(rng.randint(2**31)) for _ in range(2))
        engine = Workers(self.client, timeout=self.timeout)
        shards = kept(engine, raw_shards(frame_of(X), y, sample_weight, self.n_shards))
        known = self._survey(engine, shards, local)
        encoder = TableEncoder(n_bins=local.n_bins, task=self.TASK, random_state=seed_encoder)
        light = draft_of(local)  # for the workers
        light.progress, light.random_state = False, None
        encoded = self._encoded(engine, shards, known, light, encoder, seed_folds)
        del shards  # the workers need them no more, except where one of them dies
        folds = np.sum([result_of(engine, each) for each in encoded.sizes], axis=0)
        usable = np.flatnonzero(folds)
        if len(usable) < 2:
            raise ValueError("sample_weight must be above 0 in at least 2 rows")
        local.encoder_ = result_of(engine, encoded.encoder)
        local.n_features_in_ = local.encoder_.n_features_in_
        if hasattr(local.encoder_, "feature_names_in_"):
            local.feature_names_in_ = local.encoder_.feature_names_in_
        recipe = local._recipe(hidden, known.n_rows)
        if local.batch_size == "auto":
            recipe = replace(recipe, batch=batch_of(recipe.batch, len(encoded.shards)))
        seeds = [int(rng.randint(2**31)) for _ in range(local.n_members)]
        knots = Knots.of(local.encoder_)
        members = Members(
            light, engine, encoded.shards, recipe, self.rounds_per_epoch, self.outer, knots
        ).train([int(usable[m % len(usable)]) for m in range(local.n_members)], seeds)  # fmt: skip
        local.members_ = [member.net for member in members]
        local.histories_ = [member.history for member in members]
        local._conclude(*held_out_of(members), known.n_rows, time.perf_counter() - begin)
        if local.progress:
            print(
                f"{type(self).__name__}: {local._metric()} {local.validation_score_:.4g} on rows that the "
                f"networks had not seen; {len(members)} networks, {time.perf_counter() - begin:.1f} s"
            )
        self.local_ = local
        self.n_features_in_ = local.n_features_in_
        if hasattr(local, "feature_names_in_"):
            self.feature_names_in_ = local.feature_names_in_

    TASK: ClassVar[str]

    def _learn_target(self, local: Any, parts: list[tuple[Any, ...]]) -> np.ndarray | None:
        """Learn the target from what the shards tell of it; return weights of the classes."""
        raise NotImplementedError

    def _survey(self, engine: Workers, shards: list[Any], local: Any) -> Known:
        """Let the local estimator learn the target from all rows; return what else is known of them."""
        survey = need("dask", "dnn.distributed.dask", "dask").delayed(look, pure=False)
        futures = engine.client.compute([survey(k, shard, local) for k, shard in enumerate(shards)])
        engine.wait(futures)
        found = engine.client.gather(futures)
        firsts = np.cumsum([0, *(n for n, _ in found)])
        if firsts[-1] < 2:
            raise ValueError(f"X must have at least 2 rows, got {firsts[-1]}")
        of_classes = self._learn_target(local, [part for n, part in found if n])
        return Known(firsts, of_classes)

    def _encoded(
        self, engine: Workers, shards: list[Any], known: Known, local: Any, encoder: TableEncoder, seed: int
    ) -> Placed:
        """Return the encoder and the encoded shards, as futures, made by one graph."""
        delayed = need("dask", "dnn.distributed.dask", "dask").delayed
        which = sample_of(known.n_rows, self.sample_rows, np.random.default_rng(seed))
        sample = []
        for k, shard in enumerate(shards):
            first, end = known.firsts[k : k + 2]
            rows = which[np.searchsorted(which, first) : np.searchsorted(which, end)] - first
            sample.append((rows, delayed(sampled_rows, pure=False)(shard, rows, local)))
        learn = delayed(learned_encoder, pure=False)
        learned = learn([part for rows, part in sample if len(rows)], encoder, known.n_rows)
        ends = np.cumsum([len(rows) for rows, _ in sample])
        n_folds = folds_for(known.n_rows, local.n_members)
        encode = delayed(encoded_shard, pure=False)
        share = delayed(share_of, pure=False)
        encoded = [
            encode(
                k, shard, share(learned, int(end) - len(rows), int(end)), rows, local, known.of_classes,
                n_folds, seed, int(known.firsts[k]),
            )
            for k, (shard, (rows, _), end) in enumerate(zip(shards, sample, ends, strict=True))
        ]  # fmt: skip
        count = delayed(fold_sizes, pure=False)
        tasks = [
            delayed(encoder_of, pure=False)(learned),
            *encoded,
            *(count(each, n_folds) for each in encoded),
        ]
        futures = engine.client.compute(tasks)
        engine.wait(futures)
        n = len(shards)
        return Placed(futures[0], futures[1 : n + 1], futures[n + 1 :])

    def _row(self) -> Any:
        columns = self.to_local().encoder_.columns_.columns
        return {column.name: [None] for column in columns}

    def predict(self, X: Any) -> Any:
        """Return the predictions, lazily for data of Dask.

        Parameters
        ----------
        X : Dask dataframe or array, path or list of paths, or table in memory (n_samples, n_features)

        Returns
        -------
        Dask series or array, or ndarray
        """
        return self._lazily("predict", frame_of(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy, or R^2, of the predictions, for data of Dask computed on the cluster.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, or in memory.
        """
        X = frame_of(X)
        y, sample_weight = (
            _column(X, each, name) for each, name in ((y, "y"), (sample_weight, "sample_weight"))
        )
        return super().score(X, y, sample_weight)

    @property
    def validation_score_(self) -> float:
        """The metric of rows that a member has not been trained on."""
        score: float = self.to_local().validation_score_
        return score

    @property
    def histories_(self) -> list[History]:
        """The histories of the members, with an element per round."""
        histories: list[History] = self.to_local().histories_
        return histories


class DaskTableClassifier(ClassifierMixin, DaskTable):  # type: ignore[misc]
    """`TableClassifier` on raw tables of a Dask cluster.

    The rows stay on the workers. The encoder learns the columns from a sample of them, and the labels from
    all rows; then each member is trained in rounds, on all workers, and a part of the rows that it does not
    see chooses its best round. With numbers in the table, half of the members get them as values at the edges
    of bins, unless one of both kinds of inputs is worse.

    Parameters
    ----------
    client : distributed.Client or None, default None
        None: the present one.
    n_shards : int, at least 1, default 16
        Partitions are divided among so many shards, at most one each. The result depends on it, but not on
        the number of workers.
    sample_rows : int, at least 2, default 100_000
        Rows from which the encoder learns, drawn evenly from all shards; all rows if there are no more. One
        worker holds them. Levels and missing cells that are only in other rows are read as unknown.
    rounds_per_epoch : int, at least 1, default 2
    outer : Nesterov or None, default Nesterov(1.0, 0.5)
        See `dnn.distributed.rounds.fit`. The momentum is lower than usual: with 0.9 the validation score of
        small tables rises and falls.
    timeout : float above 0, default 600
        See `dnn.distributed.dask.Workers`.
    **params
        Those of `TableClassifier`, of which three differ: n_members=4, because members take longer here;
        patience=12 epochs; and batch_size="auto" is that of one process divided by n_shards, at least 16
        rows, so that all shards together do as many rows per step. time_limit must be None. An eighth of the
        rows, and at most 100,000, choose the best round.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
    validation_score_ : float
        The metric of rows that a member has not been trained on.
    histories_ : list of History
        One for each member, with an element per round.
    n_features_in_, feature_names_in_
        As in `TableClassifier`; all other attributes, except for ``oof_``, are those of ``to_local()``.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> from distributed import Client
    >>> from dnn.distributed.dask import DaskTableClassifier
    >>> jobs = ["cook", "pilot", "cook", None, "pilot", "cook"]
    >>> table = {"age": [23, 41, 35, 58, 29, 62] * 20, "job": jobs * 20, "hired": ["no", "yes"] * 60}
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     rows = dd.from_dict(table, npartitions=4)
    ...     clf = DaskTableClassifier(n_members=2, epochs=20, random_state=0).fit(rows, "hired")
    ...     clf.predict(rows).compute().head(2).tolist()
    ['no', 'yes']
    >>> clf.to_local().predict({"age": [30, 60], "job": ["pilot", "cook"]}).tolist()
    ['no', 'yes']
    """

    LOCAL = TableClassifier
    TASK = "classification"
    score = DaskTable.score  # that of the mixin would come first

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted."""
        classes: np.ndarray = self.to_local().classes_
        return classes

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class (n_samples, n_classes), lazily for data of Dask.

        Parameters
        ----------
        X : Dask dataframe or array, path or list of paths, or table in memory (n_samples, n_features)
        """
        return self._lazily("predict_proba", frame_of(X), self.classes_)

    def _learn_target(self, local: Any, parts: list[tuple[Any, ...]]) -> np.ndarray | None:
        labels, counts = (np.concatenate(each) for each in zip(*parts, strict=True))
        local.classes_, place = np.unique(labels, return_inverse=True)
        n = len(local.classes_)
        if n < 2:
            raise ValueError(f"y must have at least 2 classes, got only 1: {local.classes_.tolist()[0]!r}")
        if local.class_weight is None:
            return None
        weights = local._row_weights(np.arange(n), None)  # of the classes, and checks of the parameter
        if isinstance(local.class_weight, str):
            weights = balanced(np.bincount(place, weights=counts))
        return np.asarray(weights)


class DaskTableRegressor(RegressorMixin, DaskTable):  # type: ignore[misc]
    """`TableRegressor` on raw tables of a Dask cluster.

    The rows stay on the workers. The encoder learns the columns from a sample of them, and the scale of
    the target from all rows; then each member is trained in rounds, on all workers, and a part of the rows
    that it does not see chooses its best round. With numbers in the table, half of the members get them as
    values at the edges of bins, unless one of both kinds of inputs is worse.

    Parameters
    ----------
    client : distributed.Client or None, default None
        None: the present one.
    n_shards : int, at least 1, default 16
        Partitions are divided among so many shards, at most one each. The result depends on it, but not on
        the number of workers.
    sample_rows : int, at least 2, default 100_000
        Rows from which the encoder learns, drawn evenly from all shards; all rows if there are no more. One
        worker holds them. Levels and missing cells that are only in other rows are read as unknown.
    rounds_per_epoch : int, at least 1, default 2
    outer : Nesterov or None, default Nesterov(1.0, 0.5)
        See `dnn.distributed.rounds.fit`. The momentum is lower than usual: with 0.9 the validation score of
        small tables rises and falls.
    timeout : float above 0, default 600
        See `dnn.distributed.dask.Workers`.
    **params
        Those of `TableRegressor`, of which three differ: n_members=4, because members take longer here;
        patience=12 epochs; and batch_size="auto" is that of one process divided by n_shards, at least 16
        rows, so that all shards together do as many rows per step. time_limit must be None. An eighth of the
        rows, and at most 100,000, choose the best round.

    Attributes
    ----------
    validation_score_ : float
        The metric of rows that a member has not been trained on.
    histories_ : list of History
        One for each member, with an element per round.
    n_features_in_, feature_names_in_
        As in `TableRegressor`; all other attributes, except for ``oof_``, are those of ``to_local()``.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> from distributed import Client
    >>> from dnn.distributed.dask import DaskTableRegressor
    >>> sizes = np.linspace(20, 90, 400)
    >>> rent = 20 * sizes + np.array([300, 100] * 200)
    >>> table = {"size": sizes, "city": ["Bern", "Basel"] * 200, "rent": rent}
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     rows = dd.from_dict(table, npartitions=4)
    ...     reg = DaskTableRegressor(n_members=2, epochs=20, random_state=0).fit(rows, "rent")
    >>> reg.to_local().predict({"size": [50.0], "city": ["Bern"]}).round(-2).tolist()
    [1300.0]
    """

    LOCAL = TableRegressor
    TASK = "regression"
    score = DaskTable.score

    def _learn_target(self, local: Any, parts: list[tuple[Any, ...]]) -> np.ndarray | None:
        n, means, squares, lows, highs = (np.array(each) for each in zip(*parts, strict=True))
        mean = float(np.average(means, weights=n))
        variance = float(squares.sum() + (n * np.square(means - mean)).sum()) / float(n.sum())
        local._mean, local._scale = mean, float(np.sqrt(variance)) or 1.0
        local._low, local._high = float(lows.min()), float(highs.max())
        return None


class Known(NamedTuple):
    """What is known of all rows: the number of the first row of each shard, and weights of the classes."""

    firsts: np.ndarray
    of_classes: np.ndarray | None

    @property
    def n_rows(self) -> int:
        """Number of all rows."""
        return int(self.firsts[-1])


class Placed(NamedTuple):
    """Futures of the encoder, of the encoded shards, and of their number of rows in each fold."""

    encoder: Any
    shards: list[Any]
    sizes: list[Any]


def batch_of(batch: int, n_shards: int) -> int:
    """Return the rows per step of a shard, of those of one process.

    All shards together do as many rows per step as one process, unless that were less than 16 per shard.

    Examples
    --------
    >>> batch_of(256, 1), batch_of(256, 8), batch_of(256, 100)
    (256, 32, 16)
    """
    return min(batch, max(16, batch // n_shards))


def folds_for(n_rows: int, n_members: int) -> int:
    """Return the number of folds, of which each member does not see one.

    Examples
    --------
    >>> folds_for(1000, 4), folds_for(1000, 10), folds_for(10**7, 4), folds_for(3, 4)
    (8, 10, 100, 3)
    """
    return min(n_rows, max(FOLDS, n_members, -(-n_rows // HELD_OUT)))


def sample_of(n_rows: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sorted numbers of n rows, one drawn from each of n equal parts; all if there are no more.

    Examples
    --------
    >>> sample_of(5, 9, np.random.default_rng(0)).tolist()
    [0, 1, 2, 3, 4]
    >>> sample_of(1000, 4, np.random.default_rng(0)).tolist()
    [159, 317, 510, 754]
    """
    bounds = np.arange(min(n, n_rows) + 1, dtype=np.int64) * n_rows // min(n, n_rows)
    return bounds[:-1] + (rng.random(len(bounds) - 1) * np.diff(bounds)).astype(np.int64)


# Data


def frame_of(X: Any) -> Any:
    """Return a table: a dataframe of Dask for paths of Parquet files, and others as they are."""
    paths = X if isinstance(X, (list, tuple)) else [X]
    if not paths or not all(isinstance(path, (str, PathLike)) for path in paths):
        return X
    frames = need("dask.dataframe", "a path of Parquet files", "dask")
    return frames.read_parquet([str(path) for path in paths] if len(paths) > 1 else str(paths[0]))


def _column(X: Any, given: Any, name: str) -> Any:
    """Return the column of X that is given by its name, and others as they are."""
    if not isinstance(given, str):
        return given
    if given not in getattr(X, "columns", ()):
        raise ValueError(f"{name} must be a column of X, got {given!r}")
    return X[given]


def raw_shards(X: Any, y: Any, sample_weight: Any, n_shards: int) -> list[Any]:
    """Return the shards (X, y, sample_weight) of a table of Dask, as Delayed."""
    if y is None:
        raise ValueError("y must be a series of Dask or the name of a column of X, got None")
    separate = need("dask", "dnn.distributed.dask", "dask").delayed(separated, pure=False)
    names = [each for each in (y, sample_weight) if isinstance(each, str)]
    if not names:
        return [separate(shard, None, None) for shard in shards_of(X, y, sample_weight, n_shards)]
    if not isinstance(y, str) or not isinstance(sample_weight, (str, type(None))):
        raise TypeError("y and sample_weight must both be names of columns of X, or both be data of Dask")
    if not hasattr(X, "to_delayed"):
        raise TypeError(f"X must be a dataframe of Dask or a path of Parquet files, got {type(X).__name__}")
    for name, given in (("y", y), ("sample_weight", sample_weight)):
        _column(X, given, name)
    # In one piece, as X without a column and the column alone would be two computations
    chunks = [(chunk,) for chunk in X.to_delayed()]
    n = min(checks.check_integer("n_shards", n_shards, 1), len(chunks))
    join = need("dask", "dnn.distributed.dask", "dask").delayed(joined, pure=False)
    return [separate(join(chunks[k::n]), y, sample_weight) for k in range(n)]
