"""scikit-learn's estimators on data of a Dask cluster: fitted in rounds, applied lazily."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .. import _checks as checks
from .._optional import need
from ..data.classes import balanced
from ..data.streams import Stream, read_alike
from ..estimators.classifier import MLPClassifier
from ..estimators.optimizer import SklearnLearningRate
from ..estimators.parameters import adopt, draft_of
from ..estimators.regressor import MLPRegressor
from ..estimators.tables.models import is_missing_label
from . import rounds
from .dask import SHARDS, Workers, shards_of
from .local import LocalTraining
from .rounds import Nesterov, RoundHistory, is_auto

HEAD = 256  # rows by which a model is set up


class DaskEstimator(BaseEstimator):  # type: ignore[misc]
    """The base of estimators that are fitted on a Dask cluster, and hold a local one when they are fitted.

    Their parameters are those of the local estimator, and some of their own.
    """

    LOCAL: ClassVar[Any]
    DEFAULTS: ClassVar[dict[str, Any]] = {}  # that differ from those of the local estimator
    OWN: ClassVar[tuple[str, ...]]

    def _take(self, params: dict[str, Any]) -> None:
        """Set the parameters of the local estimator."""
        self.__dict__.update(self.LOCAL(**{**self.DEFAULTS, **params}).get_params(deep=False))

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted([*cls.OWN, *cls.LOCAL._get_param_names()])

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "client": None}  # a connection stays where it is

    def to_local(self) -> Any:
        """Return the fitted estimator for data in memory, which needs no Dask: it saves and exports.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        check_is_fitted(self, "local_")
        return self.local_

    def _row(self) -> Any:
        """Return a row that the local estimator accepts."""
        raise NotImplementedError

    def _lazily(self, method: str, X: Any, columns: Any = None) -> Any:
        """Return the results of a method of the local estimator: see `lazily`."""
        local = self.to_local()
        if not hasattr(X, "to_delayed"):
            return getattr(local, method)(X)
        return lazily(local, method, X, getattr(local, method)(self._row()), columns)

    def predict(self, X: Any) -> Any:
        """Return the predictions, lazily for data of Dask.

        Parameters
        ----------
        X : Dask array or dataframe, or what `predict` of the local estimator takes (n_samples, n_features)

        Returns
        -------
        Dask array or series, or ndarray
        """
        return self._lazily("predict", X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score of `to_local`, for data of Dask computed on the cluster.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, or in memory.
        """
        dask = need("dask", "dnn.distributed.dask", "dask")
        X, y, sample_weight = dask.compute(self.predict(X), y, sample_weight)
        mixin = ClassifierMixin if isinstance(self, ClassifierMixin) else RegressorMixin
        found: float = mixin.score(_Given(), X, y, sample_weight)
        return found


class _Given:
    """Predicts what it is given."""

    def predict(self, X: Any) -> Any:
        return X


class DaskMLP(DaskEstimator):
    """The base of `DaskMLPClassifier` and `DaskMLPRegressor`."""

    # A rate twice as high, because averages move less far than one long run
    DEFAULTS: ClassVar[dict[str, Any]] = {"learning_rate_init": 0.002}
    OWN = ("client", "n_shards", "rounds_per_epoch", "outer", "timeout")

    def __init__(
        self,
        *,
        client: Any = None,
        n_shards: int = SHARDS,
        rounds_per_epoch: int | str = "auto",
        outer: Nesterov | str | None = "auto",
        timeout: float = 600.0,
        **params: Any,
    ) -> None:
        self.client = client
        self.n_shards = n_shards
        self.rounds_per_epoch = rounds_per_epoch
        self.outer = outer
        self.timeout = timeout
        self._take(params)

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        checkpoint: Any = None,
        resume: bool = False,
    ) -> Any:
        """Fit to data of Dask in rounds and return self.

        Parameters
        ----------
        X, y, sample_weight
            Arrays or dataframes of Dask with the same chunks of rows, or X alone, a source of `dnn.sources`
            whose files all workers can read.
        X_val, y_val, sample_weight_val : default None
            A validation set of the same kinds: the weights of the round with the lowest loss on it are in
            place at the end. ``early_stopping=True`` needs it.
        checkpoint, resume : path, default None; bool, default False
            A file that is written after each round, from which `fit` continues to the same bits.

        Raises
        ------
        ConnectionError, TimeoutError
            If the scheduler or all workers are gone.
        TypeError, ValueError
            For parameters and data that cannot be used. The estimator is unchanged then.
        """
        draft = draft_of(self)
        draft._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), checkpoint, resume)
        adopt(self, draft)
        return self

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any, Any], checkpoint: Any,
        resume: bool,
    ) -> None:  # fmt: skip
        params = {name: getattr(self, name) for name in self.LOCAL._get_param_names()}
        early_stopping = checks.check_boolean("early_stopping", params["early_stopping"])
        if early_stopping and validation[0] is None:
            raise ValueError("early_stopping=True must come with X_val and y_val on a cluster, got none")
        if isinstance(params["solver"], str) and params["solver"] == "lbfgs":
            raise ValueError("solver must take steps on a cluster, such as 'adam' or 'sgd', got 'lbfgs'")
        for name, wanted in (("warm_start", False), ("shuffle", True), ("scoring", None)):
            if params[name] is not wanted and params[name] != wanted:
                raise ValueError(f"{name} must be {wanted} on a cluster, got {params[name]!r}")
        engine = Workers(self.client, timeout=self.timeout)
        shards = kept(engine, shards_of(X, y, sample_weight, self.n_shards))
        held_out = []
        if validation[0] is not None or validation[1] is not None:
            held_out = kept(engine, shards_of(*validation, self.n_shards, "_val"))
        survey = _survey(engine, shards, issubclass(self.LOCAL, ClassifierMixin))
        balanced = isinstance(params.get("class_weight"), str)
        if balanced:
            params["class_weight"] = survey.balanced(params["class_weight"])
        # Of the options that look at the rows, those few do not speak for all
        local = self.LOCAL(**{**params, "early_stopping": False, "batch_size": "auto", "callbacks": ()})
        rng = local._generator()
        setup = local._set_up(*survey.head, None, (None, None, None), True, survey.classes, rng)
        net, spec = setup.net, setup.optimizer.spec
        if isinstance(spec.rate, SklearnLearningRate):
            spec.rate.begin(0, 0, survey.n_rows)
        auto = rounds.defaults_for(len(shards))
        n_parts: Any = auto.rounds_per_epoch if is_auto(self.rounds_per_epoch) else self.rounds_per_epoch
        checks.check_integer("rounds_per_epoch", n_parts, 1)
        batch_size = auto.batch_size if is_auto(params["batch_size"]) else params["batch_size"]
        training = replace(
            LocalTraining.of(
                net, loss=local._loss(), optimizer=spec, batch_size=batch_size, alpha=local.alpha,
                l1=local.l1, clip_norm=local.clip_norm,
            ),
            divisor=setup.problem.divisor, weight_decay=setup.optimizer.weight_decay,
        )  # fmt: skip
        rule = _Tolerance(local, spec.rate, n_parts, early_stopping)
        options = {
            "patience": local.n_iter_no_change * n_parts if early_stopping else None,
            "min_delta": local.tol if early_stopping else 0.0, "max_seconds": local.max_seconds,
            "callbacks": (*params["callbacks"], rule), "progress": local.progress, "checkpoint": checkpoint,
            "resume": resume,
        }  # fmt: skip
        history = rounds.train(
            net, training, _encoded(shards, local), local.max_iter, n_parts, self.outer, engine,
            _encoded(held_out, local), rng, options,
        )  # fmt: skip
        if history.stopped_by == "callback" and rule.ended:
            history.stopped_by = "tol"
        if balanced:
            params["class_weight"] = "balanced"
        vars(local).update(params)
        _record(local, history, n_parts)
        self.local_ = local
        self.n_features_in_ = local.n_features_in_
        if hasattr(local, "feature_names_in_"):
            self.feature_names_in_ = local.feature_names_in_

    @property
    def network_(self) -> Any:
        """The fitted network."""
        return self.to_local().network_

    @property
    def history_(self) -> RoundHistory:
        """The history of the training, with an element per round."""
        history: RoundHistory = self.to_local().history_
        return history

    def _row(self) -> Any:
        local = self.to_local()
        row = np.zeros((1, local.n_features_in_))
        if not hasattr(local, "feature_names_in_"):
            return row
        return need("pandas", "a dataframe of Dask", "dask").DataFrame(row, columns=local.feature_names_in_)


class DaskMLPClassifier(ClassifierMixin, DaskMLP):  # type: ignore[misc]
    """`MLPClassifier` on data of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client or None, default None
        None: the present one.
    n_shards, rounds_per_epoch, outer, timeout
        See `dnn.distributed.dask.fit` and `dnn.distributed.rounds.fit`.
    **params
        Those of `MLPClassifier`, with its defaults, except for learning_rate_init=0.002, and
        batch_size="auto", which is that of `dnn.distributed.rounds.fit`.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
    network_, history_, n_features_in_
        As in `MLPClassifier`; the history is a `RoundHistory`.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from dnn.distributed.dask import DaskMLPClassifier
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     X = da.random.default_rng(0).normal(size=(1000, 2), chunks=(100, 2))
    ...     clf = DaskMLPClassifier(max_iter=20, random_state=0).fit(X, X[:, 0] > X[:, 1])
    ...     clf.predict(X[:4]).compute().shape
    (4,)
    >>> clf.to_local().predict([[2.0, -2.0]]).tolist()
    [True]
    """

    LOCAL = MLPClassifier
    score = DaskEstimator.score  # that of the mixin would come first

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted."""
        classes: np.ndarray = self.to_local().classes_
        return classes

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class (n_samples, n_classes), lazily for data of Dask.

        Parameters
        ----------
        X : Dask array or dataframe, or array_like (n_samples, n_features)
        """
        return self._lazily("predict_proba", X, self.classes_)


class DaskMLPRegressor(RegressorMixin, DaskMLP):  # type: ignore[misc]
    """`MLPRegressor` on data of a Dask cluster.

    Parameters
    ----------
    client, n_shards, rounds_per_epoch, outer, timeout
        As in `DaskMLPClassifier`.
    **params
        Those of `MLPRegressor`, with its defaults, except for learning_rate_init=0.002 and batch_size="auto".

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from dnn.distributed.dask import DaskMLPRegressor
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     X = da.random.default_rng(0).normal(size=(1000, 2), chunks=(100, 2))
    ...     reg = DaskMLPRegressor(max_iter=40, random_state=0).fit(X, X.sum(axis=1))
    ...     round(reg.score(X, X.sum(axis=1)), 1)
    1.0
    """

    LOCAL = MLPRegressor
    score = DaskEstimator.score


def lazily(model: Any, method: str, X: Any, example: np.ndarray, columns: Any = None) -> Any:
    """Return a method's results for data X of Dask, lazily: a Dask array, or a series or dataframe.

    example: its result for one row (1, ...); columns: names of the columns of a dataframe.
    """
    shared = need("dask", "dnn.distributed.dask", "dask").delayed(model, pure=True)
    if hasattr(X, "rechunk"):
        options: dict[str, Any] = {"drop_axis": 1} if example.ndim == 1 else {
            "chunks": (X.chunks[0], (example.shape[1],))
        }  # fmt: skip
        X = X.rechunk({1: -1})
        return X.map_blocks(_apply, method, model=shared, meta=example[:0], dtype=example.dtype, **options)
    pandas = need("pandas", "a dataframe of Dask", "dask")
    if example.ndim == 1:
        meta = pandas.Series(example, name=method)[:0]  # of an empty array, pandas would not see text
    else:
        meta = pandas.DataFrame(example[:0], columns=range(example.shape[1]) if columns is None else columns)
    return X.map_partitions(_apply_to_frame, method, meta, model=shared, meta=meta)


def _apply(X: Any, method: str, model: Any) -> Any:
    return getattr(model, method)(X)


def _apply_to_frame(X: Any, method: str, meta: Any, model: Any) -> Any:
    if not len(X):
        return meta
    names = {"name": meta.name} if meta.ndim == 1 else {"columns": meta.columns}
    return type(meta)(getattr(model, method)(X), index=X.index, **names)


class _Tolerance:
    """A callback that ends a training whose loss does not fall by tol any more, as scikit-learn does."""

    def __init__(self, local: Any, rate: Any, n_parts: int, early_stopping: bool) -> None:
        self.tol = local.tol
        self.limit = local.n_iter_no_change
        self.rate = rate
        self.n_parts = n_parts
        self.applies = not early_stopping
        self.ended = False

    def __call__(self, event: Any) -> None:
        """Look at the epochs so far, which may come from a checkpoint."""
        curve = _per_epoch(event.history, self.n_parts)
        if not self.applies or len(event.history.loss) % self.n_parts or not curve:
            return
        best, n_stale = math.inf, 0
        for loss in curve:
            if n_stale > self.limit:
                n_stale = 0  # an adaptive rate was lowered then
            n_stale = n_stale + 1 if loss > best - self.tol else 0
            best = min(best, loss)
        if n_stale > self.limit and not (isinstance(self.rate, SklearnLearningRate) and self.rate.slower()):
            self.ended = True
            event.stop()


def _per_epoch(history: RoundHistory, n_parts: int) -> list[float]:
    """Return the loss of each complete epoch."""
    n = len(history.loss) // n_parts * n_parts
    losses, rows = (np.reshape(each[:n], (-1, n_parts)) for each in (history.loss, history.n_rows))
    sums: np.ndarray = np.where(rows > 0, losses * rows, 0).sum(axis=1)
    curve: list[float] = (sums / np.maximum(rows.sum(axis=1), 1)).tolist()
    return curve


def _record(local: Any, history: RoundHistory, n_parts: int) -> None:
    """Write the attributes that a training of the local estimator has."""
    curve = _per_epoch(history, n_parts)
    local.history_ = history
    local.loss_curve_ = curve
    local.loss_ = curve[-1] if curve else history.loss[-1]
    local.best_loss_ = min(curve, default=local.loss_)
    local.n_iter_ = max(1, len(curve))
    local.t_ = sum(history.n_rows)


class Survey(NamedTuple):
    """What all shards tell before a model is made."""

    n_rows: int
    classes: np.ndarray | None
    counts: np.ndarray | None  # of the classes, None with several labels at once
    head: tuple[Any, Any]  # some rows X and y

    def balanced(self, class_weight: str) -> dict[Any, float]:
        """Return the weight of each class that makes all classes weigh the same, as this word asks for."""
        if class_weight != "balanced":
            raise ValueError(f'class_weight must be a dict, "balanced" or None, got {class_weight!r}')
        if self.classes is None or self.counts is None:
            raise ValueError("class_weight must be None where y has several labels at once, got 'balanced'")
        return dict(zip(self.classes.tolist(), balanced(self.counts).tolist(), strict=True))


def _survey(engine: Workers, shards: list[Any], classify: bool) -> Survey:
    """Return the number of rows, the classes and some rows, of all shards."""
    delayed = need("dask", "dnn.distributed.dask", "dask").delayed(_look, pure=False)
    futures = engine.client.compute([delayed(k, shard, classify) for k, shard in enumerate(shards)])
    engine.wait(futures)
    found = [each for each in engine.client.gather(futures) if each[0]]
    if not found:
        raise ValueError("X must have at least one row, got none")
    n_rows = sum(each[0] for each in found)
    if not classify:
        return Survey(n_rows, None, None, found[0][3])
    if found[0][1] is None:  # several labels at once, each 0 or 1
        return Survey(n_rows, np.arange(2), None, found[0][3])
    classes, where = np.unique(np.concatenate([each[1] for each in found]), return_inverse=True)
    counts = np.bincount(where, weights=np.concatenate([each[2] for each in found]))
    return Survey(n_rows, classes, counts, found[0][3])


def _look(k: int, shard: Any, classify: bool) -> tuple[int, Any, Any, Any]:
    """Return the rows of shard k, its labels and their counts, and some of its rows."""
    n_rows, head = 0, None
    labels: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    for X, y, *_ in _parts(shard):
        y = np.asarray(y)
        if not len(y):
            continue
        n_rows += len(y)
        head = (X[:HEAD], y[:HEAD]) if head is None else head
        if classify:
            _refuse_missing(k, y)
        if classify and (y.ndim == 1 or y.shape[1] == 1):
            found = np.unique(y.ravel(), return_counts=True)
            labels, counts = [*labels, found[0]], [*counts, found[1]]
    if not labels:
        return n_rows, None, None, head
    return n_rows, np.concatenate(labels), np.concatenate(counts), head


def _refuse_missing(k: int, y: np.ndarray) -> None:
    """Raise for a missing label, which would be a class of its own."""
    missing = np.zeros(len(y), bool)
    if y.dtype.kind == "f":
        missing = ~np.isfinite(y.reshape(len(y), -1)).all(axis=1)
    elif y.dtype.kind == "O" and y.ndim == 1:
        missing = np.array([is_missing_label(label) for label in y.tolist()])
    if missing.any():
        row = int(np.argmax(missing))
        raise ValueError(f"shard {k}: y must have no missing labels, got {y[row]!r} in row {row}")


def _parts(shard: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a shard, in one or several parts."""
    if not isinstance(shard, Stream):
        yield shard
        return
    for block in range(shard.source.n_blocks):
        yield from shard.source.read(block)


def kept(engine: Workers, shards: list[Any]) -> list[Any]:
    """Return shards that the workers keep: futures; a stream is read each time."""
    if isinstance(shards[0], Stream):
        return shards
    engine.check()
    futures: list[Any] = engine.client.compute(shards)
    engine.wait(futures)
    return futures


def _encoded(shards: list[Any], local: Any) -> list[Any]:
    """Return shards as the network is trained on them."""
    light = type(local)(**local.get_params(deep=False))
    light.callbacks, light.random_state = (), None
    for name in ("_labels", "classes_", "n_features_in_", "feature_names_in_"):
        if hasattr(local, name):
            setattr(light, name, getattr(local, name))
    encode = need("dask", "dnn.distributed.dask", "dask").delayed(encoded, pure=False)
    return [
        read_alike(shard, Encoded(shard.source, light)) if isinstance(shard, Stream) else encode(shard, light)
        for shard in shards
    ]


def encoded(shard: tuple[Any, ...], local: Any) -> tuple[Any, ...]:
    """Return a shard (X, y) or (X, y, sample_weight) with targets as the network of an estimator has them."""
    X, y, *weights = shard
    if not len(y):
        return (np.zeros((0, local.n_features_in_)), np.zeros(0))
    targets = local._encode(y)
    of_classes = local._class_weights(targets, True)
    if of_classes is not None:
        weights = [of_classes * np.asarray(weights[0]) if weights else of_classes]
    return (X, targets, *weights)


class Encoded:
    """A source whose targets are those of the network of an estimator.

    Parameters
    ----------
    source : RowSource
    local : MLPClassifier or MLPRegressor
    """

    def __init__(self, source: Any, local: Any) -> None:
        self.source = source
        self.local = local
        self.n_blocks, self.n_rows = source.n_blocks, source.n_rows
        for name in ("features", "place"):
            if hasattr(source, name):
                setattr(self, name, getattr(source, name))

    def read(self, block: int) -> Iterator[tuple[Any, ...]]:
        """Yield the parts of a block."""
        for part in self.source.read(block):
            yield encoded(part, self.local)
