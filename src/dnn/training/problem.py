"""What a training minimizes: the mean of a loss over rows, and the penalties on the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._checks import check_real
from ..data import arrays as data
from ..data.arrays import Targets
from ..data.blocks import BlockRows
from ..data.sparse import SparseRows, core_rows
from ..losses import Loss, LossFunction, LossSpec, loss_of

if TYPE_CHECKING:
    from ..network import Network

STEP = 2e5  # flops that take as long as the part of a step that is independent of its size
UPDATE = 20.0  # flops per weight, where X is sparse and most of a step is the update
# The weights of a batch count in its penalties as at least this share of what so many rows weigh on average.
# Otherwise a batch whose weights are tiny beside the others' would be all penalty: with exponentially aging
# weights in their order, alpha / sum w overflows float32, and is useless long before.
LEAST_WEIGHT = 0.01


@dataclass
class Problem:
    """What a training minimizes: the mean of a loss over rows, and the penalties. Everything is checked.

    Parameters
    ----------
    plan : Plan
        Of the network.
    params : ndarray (P,)
        Its parameters, which are trained in place.
    X : ndarray (N, I), SparseRows or BlockRows
        An array, or the rows of a sparse matrix or of a memory map.
    targets : Targets
    weights : ndarray (N,) or None
        Of the rows.
    loss : LossSpec
    alpha, l1 : float, default 0
        Factors of the penalties.
    n_threads : int, default 0
        0: as many as the work can use.
    divisor : int, default 1
        The costs that are reported have the loss, but not the penalties, divided by it; scikit-learn does so
        with the number of outputs, and trains on the sum.
    unit, least : float
        The weight that counts as one row in the penalties, and what a row of a batch weighs at least, on
        average, in its penalties. They are computed from the weights where they are not given: the problem
        of some of the rows keeps those of all rows.
    """

    plan: _core.Plan
    params: np.ndarray
    X: np.ndarray | SparseRows | BlockRows
    targets: Targets
    weights: np.ndarray | None
    loss: LossSpec
    alpha: float = 0.0
    l1: float = 0.0
    n_threads: int = 0
    divisor: int = 1
    unit: float = 0.0
    least: float = -1.0

    def __post_init__(self) -> None:
        if not self.unit:
            self.unit = data.penalty_unit(self.weights)
        if self.least < 0:
            self.least = 0.0 if self.weights is None else LEAST_WEIGHT * float(self.weights.mean())

    @property
    def penalties(self) -> tuple[float, float]:
        """The factors alpha and l1 in the unit of these weights."""
        return self.alpha * self.unit, self.l1 * self.unit

    def loss_args(self) -> _core.LossArgs:
        """Return the loss, its targets, the weights and the penalties, as the core takes them."""
        alpha, l1 = self.penalties
        return _core.LossArgs(
            self.loss.info.index, self.loss.par, self.targets.Y, self.targets.classes, self.weights,
            self.python_loss(), alpha, l1, self.least,
        )  # fmt: skip

    def python_loss(self) -> Callable[[Any, np.ndarray], float] | None:
        """Return the function that the core calls for a custom loss: it turns logits into their gradient."""
        function = self.loss.function
        if function is None:
            return None

        def call(rows: Any, logits: np.ndarray) -> float:
            losses, d_logits = call_custom_loss(function, self.targets, rows, logits)
            w = np.ones(len(logits)) if self.weights is None else self.weights[rows]
            logits[...] = d_logits * (w / w.sum())[:, None]
            return float(w @ losses)

        return call

    def cost_and_gradient(self, params: np.ndarray, grad: np.ndarray) -> tuple[float, float]:
        """Return the loss and the penalty at params (P,); write the gradient of their sum to grad (P,)."""
        if isinstance(self.X, BlockRows):
            return self._cost_and_gradient_by_tiles(self.X, params, grad)
        return _core.cost_and_gradient(
            self.plan, params, core_rows(self.X), self.loss_args(), grad, self.n_threads
        )

    def _cost_and_gradient_by_tiles(
        self, X: BlockRows, params: np.ndarray, grad: np.ndarray
    ) -> tuple[float, float]:
        """Sum over tiles of rows; each has the share of the penalties that it has of the total weight."""
        total = float(len(X) if self.weights is None else self.weights.sum())
        penalized = max(total, self.least * len(X))
        part, loss, penalty = np.empty_like(grad), 0.0, 0.0
        grad[:] = 0
        for rows in X.tiles():
            tile = replace(self, X=X[rows], targets=targets_of(self.targets, rows))
            if self.weights is not None:
                tile.weights = self.weights[rows]
            share = float(len(tile.X) if tile.weights is None else tile.weights.sum()) / total
            if share:
                tile.alpha, tile.l1 = (factor * share * total / penalized for factor in (self.alpha, self.l1))
                tile_loss, tile_penalty = tile.cost_and_gradient(params, part)
                loss += share * tile_loss
                penalty += share * tile_penalty
                grad += share * part
        return loss, penalty

    def mean_loss(self) -> float:
        """Return the weighted mean of the losses of all rows with the present parameters."""
        of_rows = losses_of_rows(self.plan, self.params, self.X, self.loss, self.targets)
        return float(np.average(of_rows, weights=self.weights))

    def losses_of(self, rows: Any) -> np.ndarray:
        """Return the loss of each of the given rows with the present parameters."""
        if not isinstance(self.X, np.ndarray):
            part = self.take(rows)
            return losses_of_rows(self.plan, self.params, part.X, self.loss, part.targets)
        X = np.ascontiguousarray(self.X[rows])
        return losses_of_rows(self.plan, self.params, X, self.loss, targets_of(self.targets, rows))

    def take(self, rows: Any) -> Problem:
        """Return the problem of the given rows; sparse rows stay sparse, those of a memory map unread."""
        assert not isinstance(self.X, np.ndarray)
        Y = self.targets.Y
        targets = targets_of(self.targets._replace(Y=None), rows)
        if Y is not None:
            Y = Y.take(rows) if isinstance(Y, BlockRows) else np.ascontiguousarray(Y[rows])
            targets = targets._replace(Y=Y)
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, X=self.X.take(rows), targets=targets, weights=weights)

    def column_moments(self, n_rows: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (I,) of the columns over every step-th row.

        Of a sparse X, about n_rows rows are read.
        """
        if isinstance(self.X, SparseRows):
            return self.X.column_moments(max(1, len(self.X) // n_rows))
        X = np.asarray(self.X[::step], dtype=np.float64)
        return X.mean(axis=0), X.std(axis=0)

    def flops_per_step(self, batch: int, stateless: bool) -> float:
        """Return the number of flops that take as long as one step; stateless: the optimizer has no state."""
        if not isinstance(self.X, SparseRows):
            return 6.0 * self.plan.n_params * batch + STEP
        first = self.plan.n_inputs * self.plan.units(1)
        stored = self.X.n_stored / max(1, len(self.X)) * self.plan.units(1)
        flops = 6.0 * (self.plan.n_params - first + stored) * batch + STEP
        return flops if stateless and not self.alpha and not self.l1 else flops + UPDATE * first


def targets_of(targets: Targets, rows: Any) -> Targets:
    """Return the targets of the given rows."""
    return Targets(*(None if t is None else np.ascontiguousarray(t[rows]) for t in targets))


def call_custom_loss(
    function: LossFunction, targets: Targets, rows: Any, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a custom loss returns for the given rows: losses (n,) and d_logits (n, O), checked."""
    assert targets.any is not None
    returned = function(targets.any[rows], logits.copy())
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"loss must return (losses, d_logits), got {type(returned).__name__}")
    losses, d_logits = np.asarray(returned[0], dtype=np.float64), np.asarray(returned[1])
    if losses.shape != logits.shape[:1] or d_logits.shape != logits.shape:
        raise ValueError(
            f"loss must return losses {logits.shape[:1]} and d_logits {logits.shape}, "
            f"got {losses.shape} and {d_logits.shape}"
        )
    return losses, d_logits


def losses_of_rows(
    plan: _core.Plan,
    params: np.ndarray,
    X: np.ndarray | SparseRows | BlockRows,
    loss: LossSpec,
    targets: Targets,
) -> np.ndarray:
    """Return the loss of each row (N,), without penalties and dropout."""
    out = np.empty(len(X))
    if isinstance(X, BlockRows):
        for rows in X.tiles():
            out[rows] = losses_of_rows(plan, params, X[rows], loss, targets_of(targets, rows))
        return out
    if loss.function is None:
        args = _core.LossArgs(loss.info.index, loss.par, targets.Y, targets.classes)
        _core.losses(plan, params, core_rows(X), args, out)
        return out
    for begin in range(0, len(X), 4096):
        rows = slice(begin, begin + 4096)
        part = X.take(rows) if isinstance(X, SparseRows) else X[rows]
        logits = np.empty((len(part), plan.n_outputs), params.dtype)
        _core.predict(plan, params, core_rows(part), logits, True)
        out[rows] = call_custom_loss(loss.function, targets, rows, logits)[0]
    return out


def examples_of(
    net: Network, X: Any, y: Any, loss: Loss, suffix: str = ""
) -> tuple[LossSpec, data.RowArray, Targets]:
    """Return the loss, the rows and the targets of a network, checked; the suffix is that of their names."""
    spec = loss_of(loss, net.layers[-1].info.name, net.n_outputs)
    return spec, *data.examples(X, y, spec, net.n_inputs, net.n_outputs, net.dtype, suffix)


def loss_and_gradient(
    self: Network,
    X: Any,
    y: Any,
    *,
    loss: Loss = "auto",
    sample_weight: Any = None,
    alpha: float = 0.0,
    l1: float = 0.0,
) -> tuple[float, np.ndarray]:
    """Return the cost of all rows, penalties included, and its gradient (P,), without dropout.

    Parameters
    ----------
    X : array_like (N, I)
    y, loss, sample_weight, alpha, l1
        As in `fit`.

    Examples
    --------
    >>> from dnn import Network
    >>> cost, grad = Network([2, 1], init="zeros").loss_and_gradient([[1, 2]], [3])
    >>> cost, grad.tolist()
    (4.5, [-3.0, -6.0, -3.0])
    """
    spec, rows, targets = examples_of(self, X, y, loss)
    weights = data.weights(sample_weight, len(rows))
    alpha, l1 = check_real("alpha", alpha, 0.0), check_real("l1", l1, 0.0)
    grad = np.empty(self.n_params, self.dtype)
    problem = Problem(self.plan, self.params, rows, targets, weights, spec, alpha, l1)
    return sum(problem.cost_and_gradient(self.params, grad)), grad


def losses(self: Network, X: Any, y: Any, *, loss: Loss = "auto") -> np.ndarray:
    """Return the loss of each example (N,), float64, without penalties. Its mean is the cost.

    Parameters
    ----------
    X : array_like (N, I)
    y, loss
        As in `fit`.

    Examples
    --------
    >>> from dnn import Network
    >>> Network([2, 1], init="zeros").losses([[1, 2], [3, 4]], [1, 2]).tolist()
    [0.5, 2.0]
    """
    spec, rows, targets = examples_of(self, X, y, loss)
    return losses_of_rows(self.plan, self.params, rows, spec, targets)
