"""The learning-rate finder: a short trial run that suggests a learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import optimizers
from .._checks import Random, check_integer, check_real, generator_of
from ..network import Network
from ..training.problem import examples_of

# The trial run ends if the loss exceeds its lowest value by this many times the size of the first losses.
DIVERGED = 3.0
# A fall of the loss by less than this fraction of its size does not count.
ROUNDING = 1e-5
# Number of steps that define the size of the first losses, and share of the run over which losses are
# smoothed.
FIRST, SMOOTHED = 10, 0.1


@dataclass(frozen=True, eq=False)
class RateCurve:
    """The loss against the learning rate, as measured by `find_rate`.

    Attributes
    ----------
    rates : ndarray (n,)
        The rate of each step, increasing, until the loss diverged.
    losses : ndarray (n,)
        The smoothed loss before each step, without the differences between batches.
    rate : float
        The suggested rate: a tenth of the rate at which `losses` is lowest.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import RateCurve
    >>> RateCurve(np.array([1e-3, 1e-2, 1e-1]), np.array([0.7, 0.5, 0.9]), 1e-3).rate
    0.001
    """

    rates: np.ndarray
    losses: np.ndarray
    rate: float

    def plot(self, ax: Any = None) -> Any:
        """Draw the curve on matplotlib axes `ax`, or on new ones if None, and return them.

        Examples
        --------
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from dnn import RateCurve
        >>> curve = RateCurve(np.array([1e-3, 1e-2, 1e-1]), np.array([0.7, 0.5, 0.9]), 1e-3)
        >>> curve.plot(Figure().subplots()).get_xlabel()
        'rate'
        """
        from . import plotting

        return plotting.rate_curve(self, ax)


def find_rate(
    net: Network,
    X: Any,
    y: Any,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    n_steps: int = 100,
    optimizer: str | optimizers.Optimizer = "adam",
    batch_size: int = 128,
    loss: Any = "auto",
    random_state: int | Random | None = 0,
) -> RateCurve:
    """Return the loss as the learning rate increases from step to step, and a suggested rate.

    A copy of the network is trained for `n_steps` steps, or until its loss diverges; the network itself is
    not changed. The suggested rate is for this optimizer and batch size.

    Parameters
    ----------
    net : Network
        An untrained network: a trained one needs a different rate.
    X : array_like (N, I)
    y : array_like
        Targets, as in `Network.fit`.
    lowest, highest : float above 0, default 1e-7 and 10
        The first and the last rate; each rate is the same multiple of the previous one. The defaults are
        fastai's, and include every likely rate for inputs scaled to about unit variance.
    n_steps : int, at least 10, default 100
        More steps give a smoother curve.
    optimizer : str or optimizer, default "adam"
        The optimizer; its own rate is not used.
    batch_size : int, at least 1, default 128
        Rows per step, as in the training for which the rate is used; at most N.
    loss : default "auto"
        As in `Network.fit`.
    random_state : None, int, Generator or RandomState, default 0
        Source of the order of the rows.

    Returns
    -------
    RateCurve

    Raises
    ------
    ValueError, TypeError
        As in `Network.fit` for X, y and loss; or if no rate lowered the loss.

    Notes
    -----
    The suggestion is a tenth of the rate with the lowest smoothed loss, which is fastai's first rule: at the
    lowest loss itself, the loss has already stopped falling. On 8 tasks with 3 optimizers and batches of 32
    and 128, the suggestion was within a factor of ten of the best constant rate for five epochs in 44 of 48
    cases. In the other cases, all with plain gradient descent, the best rate was up to 30 times higher. The
    other common rule, the rate of the steepest fall, often chose a rate at which the loss fell by chance.

    Losses are averaged as in fastai: exponentially, with bias correction, over a tenth of the steps. Before
    that, the difficulty of each batch for the untrained network is subtracted from its loss, so that the rest
    is the effect of training.

    References
    ----------
    Smith (2017), Cyclical learning rates for training neural networks, section 3.3.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from dnn import Adam, Network, find_rate
    >>> X, y = load_digits(return_X_y=True)
    >>> net = Network([64, 100, 10], output="softmax", random_state=0)
    >>> found = find_rate(net, X / 16, y)
    >>> 1e-3 < found.rate < 1e-1
    True
    >>> history = net.fit(X / 16, y, optimizer=Adam(found.rate), epochs=5)
    >>> bool((net(X / 16).argmax(axis=1) == y).mean() > 0.95)
    True
    """
    lowest = check_real("lowest", lowest, 0.0, above=True)
    highest = check_real("highest", highest, lowest, above=True)
    n_steps = check_integer("n_steps", n_steps, 10)
    batch_size = check_integer("batch_size", batch_size, 1)
    rng = generator_of(random_state)
    # All rows at once, so that an error names the row as the caller counts it
    _, rows, _ = examples_of(net, X, y, loss)
    targets = np.asarray(y)
    twin = net.copy()
    state = twin.optimizer(optimizer)

    rates = np.geomspace(lowest, highest, n_steps)
    batches = _batches(len(rows), batch_size, n_steps, rng)
    keep = 1 - 1 / (SMOOTHED * n_steps)
    costs: list[float] = []
    given: list[float] = []  # loss of each batch for the untrained network
    changes: list[float] = []  # smoothed effect of training on this loss
    average = 0.0
    for n_done, (rate, batch) in enumerate(zip(rates, batches, strict=True), 1):
        cost, grad = twin.loss_and_gradient(rows[batch], targets[batch], loss=loss)
        if not np.isfinite(cost):
            break
        costs.append(cost)
        given.append(float(net.losses(rows[batch], targets[batch], loss=loss).mean()))
        average = keep * average + (1 - keep) * (cost - given[-1])
        changes.append(average / (1 - keep**n_done))  # corrects the bias towards the initial 0
        size = max(map(abs, costs[:FIRST]))
        if changes[-1] - min(changes) > DIVERGED * size:
            break
        state.step(grad, float(rate))
    if not costs:
        raise ValueError("net must have a finite loss before training, got none: scale X and y")
    best = int(np.argmin(changes))
    if -changes[best] <= ROUNDING * size:
        raise ValueError(f"lowest must be a rate at which the loss falls, got {lowest:g}, and it never fell")
    losses = np.array(changes) + np.mean(given)
    return RateCurve(rates[: len(losses)], losses, float(rates[best]) / 10)


def _batches(n: int, batch_size: int, n_batches: int, rng: Random) -> list[np.ndarray]:
    """Return the row numbers of each batch. All batches are full, and leftover rows are not used."""
    size = min(batch_size, n)
    each = n // size
    orders = [rng.permutation(n)[: each * size].reshape(each, size) for _ in range(-(-n_batches // each))]
    return list(np.concatenate(orders)[:n_batches])
