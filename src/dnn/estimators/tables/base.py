"""The base of the table estimators: an ensemble of networks on an encoded table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ... import _checks as checks
from ... import _threads as threads
from ..._optional import need
from ...data.streams import Stream, is_source
from ...files import save
from ...layers import activation_of
from ...losses import LossSpec, loss_of
from ...training.many import run_many
from ..parameters import adopt, draft_of
from .encoder import TableEncoder
from .inspection import TableInspection
from .knots import Knots
from .members import Examples, Fold, Member, Recipe, Score, folds_of, train_member
from .passes import predicted
from .scores import score_of, training_summary

FOLDS = 8  # an eighth of the rows chooses the best epoch of a member
SHORT_EPOCHS = 12  # where time_limit allows no more of them in all members, it is rather fewer members
# Rows, and on how many parts of them both kinds of inputs are tried: the fewer the rows, the noisier is one
# part.
RACES = ((2000, 8), (6000, 4), (2**63, 2))
CLOSE = 0.05  # kinds whose losses differ by less are mixed, as members that differ gain more from each other
RESERVE = 0.9  # share of time_limit that is planned; the rest is for what differs from the plan


class Plan(NamedTuple):
    """How many members are trained, for how many epochs, and for how long at most."""

    n_members: int
    epochs: int
    seconds: float | None
    n_races: int  # folds on which both kinds of inputs are tried


class BaseTable(TableInspection, BaseEstimator):  # type: ignore[misc]
    """The base of `TableClassifier` and `TableRegressor`: an ensemble of networks on an encoded table."""

    METRICS: tuple[str, ...] = ()
    BETA2 = 0.999  # of AdamW
    save = save

    def __init__(
        self,
        *,
        metric: str | None = None,
        n_members: int = 10,
        hidden_layer_sizes: Any = (128, 128),
        activation: Any = "silu",
        epochs: int = 90,
        patience: int | None = 24,
        learning_rate_init: float = 0.008,
        weight_decay: float = 0.02,
        dropout: float = 0.1,
        batch_size: int | str = "auto",
        n_bins: int = 24,
        time_limit: float | None = None,
        n_threads: int | str = "auto",
        random_state: Any = None,
        progress: bool = False,
    ) -> None:
        self.metric = metric
        self.n_members = n_members
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.epochs = epochs
        self.patience = patience
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.batch_size = batch_size
        self.n_bins = n_bins
        self.time_limit = time_limit
        self.n_threads = n_threads
        self.random_state = random_state
        self.progress = progress

    # What the classifier and the regressor define

    def _checked_target(self, y: Any) -> np.ndarray:
        """Return labels or numbers (n,) as they were given, without missing ones."""
        raise NotImplementedError

    def _read_target(self, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the target as the networks are trained on it, and classes or numbers as given; learn it."""
        raise NotImplementedError

    def _row_weights(self, y: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        """Return the weights of the rows, class weights included."""
        raise NotImplementedError

    def _output(self) -> tuple[str, int]:
        """Return the activation and the number of the outputs."""
        raise NotImplementedError

    def _unscaled(self, target: np.ndarray) -> np.ndarray:
        """Return the target as it was given, or as classes."""
        return target

    def _decoded(self, logits: np.ndarray) -> np.ndarray:
        """Return the predictions, or the probabilities, of one member from its logits (n, O)."""
        raise NotImplementedError

    def _finish(self, logits: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn from the logits of rows that their networks have not seen."""
        raise NotImplementedError

    def _complete(self) -> None:
        """Learn what depends on everything else."""

    def _combined(self, logits: list[np.ndarray]) -> np.ndarray:
        """Return the predictions, or the probabilities, that the logits (n, O) of the members mean."""
        raise NotImplementedError

    def _summary(self, y: np.ndarray, oof: np.ndarray, weights: np.ndarray | None) -> dict[str, Any]:
        """Return what a report shows of predictions of rows that their networks have not seen."""
        raise NotImplementedError

    # Training

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, groups: Any = None) -> Any:
        """Fit to a raw table and return self.

        Parameters
        ----------
        X : table (n_samples, n_features)
            A DataFrame of pandas or polars, a table of pyarrow, a dict of columns, or an array; cells may be
            numbers, text, booleans, dates, or missing.
        y : array_like (n_samples,)
            Labels, or numbers.
        sample_weight : array_like (n_samples,), default None
        groups : array_like (n_samples,), default None
            Rows of one group are never on both sides of an inner split.

        Raises
        ------
        ValueError, TypeError
            For parameters or columns that cannot be used, by name. The estimator is unchanged then.
        """
        draft = draft_of(self)
        draft._fit(X, y, sample_weight, groups)
        adopt(self, draft)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        begin = time.perf_counter()
        hidden = self._check_parameters()
        rng = check_random_state(self.random_state)
        _check_table(X)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        target, plain = self._read_target(y)
        n = len(target)
        if n < 2:
            raise ValueError(f"X must have at least 2 rows, got n_samples={n}")
        encoder = TableEncoder(
            n_bins=self.n_bins, task="classification" if target.dtype.kind == "i" else "regression",
            random_state=int(rng.randint(2**31)),
        )  # fmt: skip
        kinds = [Examples(rows, target, None) for rows in encoder.fit_rows(X, plain)]
        if len(kinds[0].rows) != n:
            raise ValueError(f"y must have {len(kinds[0].rows)} rows, as X has, got {n}")
        weights = self._row_weights(target, sample_weight)
        self.encoder_ = encoder
        self.n_features_in_ = encoder.n_features_in_
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        if groups is not None:
            groups = np.asarray(groups)
            if groups.shape != (n,):
                raise ValueError(f"groups must have shape ({n},), got {groups.shape}")
        recipe = self._recipe(hidden, n)
        # A weight of 0 leaves a row out
        counted = np.arange(n) if weights is None else np.flatnonzero(weights)
        folds = self._folds(target, groups, counted, rng)
        knots = Knots.of(encoder)
        kinds = [each._replace(weights=weights) for each in kinds]
        members = self._train(kinds if len(knots.bins) else kinds[:1], folds, recipe, rng, begin)
        members = [
            member._replace(net=knots.network(member.net)) if member.kind else member for member in members
        ]
        self.members_ = [member.net for member in members]
        self.histories_ = [member.history for member in members]
        logits, seen = np.zeros((n, recipe.n_outputs)), np.zeros(n)
        for member in members:
            logits[member.rows] += member.logits
            seen[member.rows] += 1
        which = np.flatnonzero(seen)
        logits[which] /= seen[which, None]
        w = None if weights is None else weights[which]
        seconds = time.perf_counter() - begin
        oof = self._conclude(logits[which], target[which], w, n, seconds)
        self.oof_ = np.full((n, *oof.shape[1:]), np.nan)
        self.oof_[which] = oof
        if self.progress:
            print(
                f"{type(self).__name__}: {self._metric()} {self.validation_score_:.4g} on rows that the "
                f"networks had not seen; {len(members)} networks, {time.perf_counter() - begin:.1f} s"
            )

    def _recipe(self, hidden: tuple[int, ...], n: int) -> Recipe:
        """Return how members are trained on a table of n rows."""
        output, n_outputs = self._output()
        batch = int(np.clip(n // 40, 64, 256)) if self.batch_size == "auto" else int(self.batch_size)
        return Recipe(
            hidden, self.activation, output, n_outputs, float(self.dropout), float(self.learning_rate_init),
            self.BETA2, float(self.weight_decay), batch, self.epochs, self.patience,
        )  # fmt: skip

    def _conclude(
        self, logits: np.ndarray, target: np.ndarray, weights: np.ndarray | None, n: int, seconds: float
    ) -> np.ndarray:
        """Learn from the logits of rows that their networks have not seen; return the predictions of these.

        n, seconds: the number of all rows, and the time of the training.
        """
        if weights is not None and not weights.any():
            weights = None
        self._finish(logits, target, weights)
        oof = self._decoded(logits)
        self.validation_score_ = score_of(self._metric(), self._unscaled(target), oof, weights)
        self.summary_ = training_summary(self.histories_, n, seconds)
        self.summary_ |= self._summary(target, oof, weights)
        self._complete()
        return oof

    def _check_parameters(self) -> tuple[int, ...]:
        """Check the parameters; return the sizes of the hidden layers."""
        if self.metric is not None:
            checks.check_name("metric", self.metric, self.METRICS)
        checks.check_integer("n_members", self.n_members, 1)
        sizes = self.hidden_layer_sizes
        sizes = (sizes,) if isinstance(sizes, (int, np.integer)) else tuple(sizes)
        hidden = tuple(checks.check_integer("hidden_layer_sizes", size, 1) for size in sizes)
        activation_of(self.activation)
        checks.check_integer("epochs", self.epochs, 1)
        if self.patience is not None:
            checks.check_integer("patience", self.patience, 1)
        checks.check_real("learning_rate_init", self.learning_rate_init, 0.0, above=True)
        checks.check_real("weight_decay", self.weight_decay, 0.0)
        checks.check_real("dropout", self.dropout, 0.0, 1.0)
        if not (isinstance(self.batch_size, str) and self.batch_size == "auto"):
            checks.check_integer("batch_size", self.batch_size, 1)
        checks.check_integer("n_bins", self.n_bins, 1)
        if self.time_limit is not None:
            checks.check_real("time_limit", self.time_limit, 0.0, above=True)
        threads.check_n_threads(self.n_threads)
        if checks.check_boolean("progress", self.progress):
            need("tqdm.auto", "progress=True", "all")
        return hidden

    def _folds(self, target: np.ndarray, groups: Any, counted: np.ndarray, rng: Any) -> list[Fold]:
        """Return for each member the rows that it is trained on, and those that it does not see."""
        strata = target[counted] if target.dtype.kind == "i" else None
        if groups is not None:
            groups = groups[counted]
        n_folds = min(FOLDS, len(counted) if groups is None else len(np.unique(groups)))
        if n_folds < 2:
            what = "groups must have" if groups is not None else "sample_weight must not be 0, except for"
            raise ValueError(f"{what} at least 2 different values, got {n_folds}")
        found: list[Fold] = []
        while len(found) < self.n_members:  # more members than folds have splits of their own
            folds = folds_of(strata, groups, len(counted), n_folds, rng)
            found += [Fold(counted[folds != fold], counted[folds == fold]) for fold in range(n_folds)]
        return found[: self.n_members]

    def _train(
        self, kinds: list[Examples], folds: list[Fold], recipe: Recipe, rng: Any, begin: float
    ) -> list[Member]:
        """Train the members: some of each kind of inputs, then the others of the kinds that do better."""
        seeds = [int(rng.randint(2**31)) for _ in folds]
        spec = loss_of(self._loss(), recipe.output, recipe.n_outputs)
        n_threads = threads.check_n_threads(self.n_threads) or threads.available()
        plan = self._plan(kinds[0], folds, recipe, spec, n_threads, begin)
        recipe = replace(recipe, epochs=plan.epochs)
        score = self._score(kinds[0])
        trained: dict[tuple[int, int], Member] = {}
        bar = None
        if self.progress:
            bar = need("tqdm.auto", "progress=True", "all").tqdm(total=plan.n_members, unit="network")

        def job(fold: int, kind: int) -> Callable[[int], None]:
            def train(n_threads: int) -> None:
                trained[fold, kind] = train_member(
                    kinds[kind], folds[fold], recipe, spec, seeds[fold], score, n_threads, plan.seconds, kind
                )
                if bar is not None:
                    bar.update()

            return train

        def train(pairs: list[tuple[int, int]]) -> None:
            run_many([job(*pair) for pair in pairs if pair not in trained], n_threads)

        try:
            chosen = [0]
            if len(kinds) > 1 and plan.n_races:
                if bar is not None:
                    bar.total += plan.n_races
                train([(fold, kind) for fold in range(plan.n_races) for kind in range(len(kinds))])
                best = [
                    float(np.mean([trained[fold, kind].best for fold in range(plan.n_races)]))
                    for kind in range(len(kinds))
                ]
                chosen = [
                    kind for kind in range(len(kinds)) if best[kind] - min(best) <= CLOSE * abs(min(best))
                ]
                chosen.sort(key=lambda kind: best[kind])
            pairs = [(fold, chosen[fold % len(chosen)]) for fold in range(plan.n_members)]
            train(pairs)
        finally:
            if bar is not None:
                bar.close()
        return [trained[pair] for pair in pairs]

    def _plan(
        self, examples: Examples, folds: list[Fold], recipe: Recipe, spec: LossSpec, n_threads: int,
        begin: float,
    ) -> Plan:  # fmt: skip
        """Return how many members are trained, and for how long, so that time_limit is kept."""
        n_races = min(len(folds), next(races for most, races in RACES if len(folds[0].train) <= most))
        if self.time_limit is None:
            return Plan(len(folds), recipe.epochs, None, n_races)
        left = RESERVE * self.time_limit - (time.perf_counter() - begin)
        one = replace(recipe, epochs=1)
        start = time.perf_counter()
        trial = train_member(examples, folds[0], one, spec, 0, None, 1, max(0.1 * left, 1e-3))
        trained = trial.history.seconds
        left -= time.perf_counter() - start
        if trial.history.stopped_by == "max_seconds":  # within the first epoch
            return Plan(min(n_threads, len(folds)), 1, max(left, 1e-3), 0)
        n_epochs = left * n_threads / max(trained, 1e-6)  # in all
        n_members = int(np.clip(n_epochs // SHORT_EPOCHS, min(n_threads, len(folds)), len(folds)))
        n_waves = -(-n_members // n_threads)
        epochs = int(np.clip(n_epochs // (n_waves * n_threads), 1, recipe.epochs))
        if n_epochs < (len(folds) + n_races) * recipe.epochs:
            n_races = 0  # there is no time to find out
        n_waves += -(-n_races // n_threads)
        return Plan(n_members, epochs, max(left / n_waves, 1e-3), n_races)

    def _loss(self) -> Any:
        """Return the loss of the members."""
        return "auto"

    def _metric(self) -> str:
        """Return the name of the metric."""
        return self.METRICS[0] if self.metric is None else self.metric

    def _score(self, examples: Examples) -> Score | None:
        """Return a function of logits and row numbers, low where a member is good; None: the loss is that."""
        measure = self._epoch_score()
        if measure is None:
            return None

        def score(logits: np.ndarray, which: np.ndarray) -> float:
            weights = None if examples.weights is None else examples.weights[which]
            return measure(logits, examples.y[which], weights)

        return score

    def _epoch_score(self) -> Callable[[np.ndarray, np.ndarray, np.ndarray | None], float] | None:
        """Return a function of logits, targets and weights that chooses the epoch; None: the loss does."""
        return None

    # Predictions

    def _predicted(self, X: Any) -> np.ndarray:
        """Return the predictions, or the probabilities, for a raw table."""
        check_is_fitted(self)
        _check_table(X, self)
        return predicted(self.encoder_, self.members_, X, self._combined, self.n_threads)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "members_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _check_table(X: Any, est: BaseTable | None = None) -> None:
    """Raise for an array that is no table, or does not have the columns of a fitted estimator `est`."""
    if isinstance(X, Stream) or is_source(X):
        raise TypeError(
            f"X must be a table in memory, got a {type(X).__name__}, which is read block by block: encode "
            "rows with a TableEncoder, and give a source of them to MLPClassifier, MLPRegressor or Network"
        )
    if hasattr(X, "tocsr"):
        raise TypeError(
            f"X must be a dense table, got a sparse {type(X).__name__}: sparse data is not supported"
        )
    shape = np.shape(X) if isinstance(X, np.ndarray) and X.dtype.names is None else None
    if shape is None:
        return
    if len(shape) != 2:
        raise ValueError(
            f"X must have two dimensions, rows and columns, got shape {shape}. Reshape your data: "
            "X.reshape(-1, 1) if it is one column, X.reshape(1, -1) if it is one row"
        )
    for axis, what in enumerate(("sample", "feature")):
        if not shape[axis]:
            raise ValueError(
                f"X must have rows and columns, got 0 {what}(s) (shape={shape}) while a minimum of 1 is "
                "required."
            )
    if est is not None and shape[1] != est.n_features_in_:
        raise ValueError(
            f"X has {shape[1]} features, but {type(est).__name__} is expecting {est.n_features_in_} features "
            "as input"
        )
