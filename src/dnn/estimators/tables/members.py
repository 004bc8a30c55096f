"""The members of a table estimator: networks of one shape, each trained on all folds of the rows but one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ...data import arrays as data
from ...data.sparse import SparseRows
from ...losses import LossSpec
from ...network import Network
from ...optimizers import AdamW
from ...predictor import write_outputs
from ...schedules import Cosine
from ...training.history import DivergedError, History
from ...training.options import FitOptions
from ...training.problem import Problem

SCALES = np.exp(np.linspace(-1.2, 0.4, 13))  # reciprocal temperatures that are tried after each epoch


@dataclass(frozen=True)
class Recipe:
    """How a member is made and trained; the table estimators have these as parameters, with their reasons."""

    hidden: tuple[int, ...]
    activation: Any
    output: str
    n_outputs: int
    dropout: float
    rate: float
    beta2: float
    weight_decay: float
    batch: int
    epochs: int
    patience: int | None


class Examples(NamedTuple):
    """Encoded rows with their targets and weights."""

    rows: SparseRows
    y: np.ndarray  # classes (N,), int64, or standardized targets (N,), float32
    weights: np.ndarray | None

    def problem(self, net: Network, spec: LossSpec, which: np.ndarray) -> Problem:
        """Return the problem of some rows."""
        rows = self.rows.take(which)
        y = self.y[which]
        targets = data.targets(y, spec, len(y), net.n_outputs, net.dtype)
        rows, targets = data.matched(rows, targets)
        weights = None if self.weights is None else self.weights[which]
        return Problem(net.plan, net.params, rows, targets, weights, spec, n_threads=1)


class Fold(NamedTuple):
    """The numbers of the rows that a member is trained on, and of those that it does not see."""

    train: np.ndarray
    val: np.ndarray


class Member(NamedTuple):
    """A trained network, what happened, and its logits (n, O) for the rows that it has not seen.

    kind: the inputs of the network, 0 for those of the encoder, 1 for those of `Knots`.
    """

    net: Network
    history: History
    rows: np.ndarray
    logits: np.ndarray
    kind: int

    @property
    def best(self) -> float:
        """The loss, or score, of its best epoch."""
        losses, epoch = self.history.val_loss, self.history.best_epoch
        return np.inf if epoch is None else losses[epoch]


def refinement(logits: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """Return the log loss of classes (n,) at its best temperature, from logits (n, 1) or (n, K).

    Training goes on to separate the classes better long after its probabilities have become too certain, and
    a temperature mends at the end. So the best epoch is the one of the lowest log loss after that.

    References
    ----------
    Berta, Holzmueller, Jordan and Bach (2025), Rethinking early stopping: refine, then calibrate. arXiv
    2501.19195.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.array([[1.5], [1.5], [1.5], [-1.5]])
    >>> y = np.array([1, 1, 0, 0])
    >>> round(refinement(z, y, None), 2), round(refinement(2 * z, y, None), 2)
    (0.56, 0.56)
    """
    if logits.shape[1] == 1:
        gaps = np.where(y[:, None] == 1, -logits, logits).astype(np.float64)
    else:
        gaps = logits.astype(np.float64) - logits[np.arange(len(y)), y][:, None]
        gaps = np.delete(gaps.ravel(), np.arange(len(y)) * logits.shape[1] + y).reshape(len(y), -1)

    def cost(scale: float) -> float:
        return float(np.average(np.logaddexp(0.0, _log_sum(gaps * scale)), weights=weights))

    return min(map(cost, SCALES))


def _log_sum(z: np.ndarray) -> np.ndarray:
    """Return log(sum(exp(z))) of each row (n,)."""
    if z.shape[1] == 1:
        found: np.ndarray = z[:, 0]
        return found
    most = z.max(axis=1)
    found = most + np.log(np.exp(z - most[:, None]).sum(axis=1))
    return found


Score = Callable[[np.ndarray, np.ndarray], float]


def train_member(
    examples: Examples,
    fold: Fold,
    recipe: Recipe,
    spec: LossSpec,
    seed: int,
    score: Score | None,
    n_threads: int,
    max_seconds: float | None = None,
    kind: int = 0,
) -> Member:
    """Return a member trained on some rows, with the weights of its best epoch on the others.

    score: ``score(logits, which)`` is a figure of the validation rows, low is good; None: the loss.
    """
    for attempt in range(3):
        net = Network(
            [examples.rows.shape[1], *recipe.hidden, recipe.n_outputs], activation=recipe.activation,
            output=recipe.output, dropout=[0.0, *[recipe.dropout] * len(recipe.hidden)], random_state=seed,
        )  # fmt: skip
        problem, held_out = (
            replace(examples.problem(net, spec, which), n_threads=n_threads) for which in fold
        )
        rate = Cosine(recipe.rate / 4**attempt, recipe.epochs)
        try:
            optimizer = net.optimizer(AdamW(rate, beta2=recipe.beta2, weight_decay=recipe.weight_decay))
            options = _options(net, recipe, held_out, fold.val, score, max_seconds)
            history = net._train(problem, optimizer, options, np.random.default_rng(seed))
            break
        except DivergedError:
            if attempt == 2:
                raise
    return Member(net, history, fold.val, logits_of(net, held_out.X), kind)


def _options(
    net: Network, recipe: Recipe, held_out: Problem, val: np.ndarray, score: Score | None,
    max_seconds: float | None,
) -> FitOptions:  # fmt: skip
    """Return the options of the training of a member."""

    def validate() -> float:
        return held_out.mean_loss() if score is None else score(logits_of(net, held_out.X), val)

    return FitOptions(
        epochs=recipe.epochs, batch_size=recipe.batch, validate=validate, patience=recipe.patience,
        max_seconds=max_seconds,
    )  # fmt: skip


def logits_of(net: Network, rows: Any, n_threads: int = 1) -> np.ndarray:
    """Return the logits (N, O) of a member."""
    out = np.empty((len(rows), net.n_outputs), net.dtype)
    write_outputs(net.plan, net.params, rows, out, True, n_threads)
    return out


def folds_of(
    strata: np.ndarray | None, groups: np.ndarray | None, n: int, n_folds: int, rng: Any
) -> np.ndarray:
    """Return the number of the fold (N,) of each row: equal parts, of each class, and whole groups.

    Examples
    --------
    >>> import numpy as np
    >>> folds = folds_of(np.array([0, 0, 1, 1]), None, 4, 2, np.random.RandomState(0))
    >>> sorted(folds[:2].tolist()), sorted(folds[2:].tolist())
    ([0, 1], [0, 1])
    """
    if groups is not None:
        from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

        kind = GroupKFold if strata is None else StratifiedGroupKFold
        splits = kind(n_folds, shuffle=True, random_state=rng)
        found = np.zeros(n, dtype=np.int64)
        for fold, (_, held_out) in enumerate(splits.split(np.zeros((n, 1)), strata, groups)):
            found[held_out] = fold
        return found
    order = rng.permutation(n)
    if strata is not None:  # the rows of a class one after another, so that they go round the folds
        order = order[np.argsort(strata[order], kind="stable")]
    found = np.empty(n, dtype=np.int64)
    found[order] = np.arange(n) % n_folds
    return found


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the probabilities (N, K) of logits, (N, 1) of two classes or (N, K), divided by a temperature.

    Examples
    --------
    >>> import numpy as np
    >>> probabilities(np.zeros((1, 1))).tolist(), probabilities(np.zeros((1, 4))).tolist()
    ([[0.5, 0.5]], [[0.25, 0.25, 0.25, 0.25]])
    """
    z = logits.astype(np.float64) / temperature
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], axis=1)
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


def temperature_of(logits: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """Return the temperature in 1/4 .. 4 with the lowest log loss.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks, section 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.array([[4.0], [4.0], [4.0], [-4.0]])  # one of four is wrong with a probability of 2 %
    >>> round(temperature_of(z, np.array([1, 1, 0, 0]), None), 1)
    3.6
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(y))

    def cost(log_temperature: float) -> float:
        p = probabilities(logits, math.exp(log_temperature))[rows, y]
        return -float(np.average(np.log(np.maximum(p, 1e-12)), weights=weights))

    found = minimize_scalar(cost, bounds=(-math.log(4), math.log(4)), method="bounded")
    return math.exp(float(found.x))
