"""Checks of a gradient by finite differences of the cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks as checks
from ..data import arrays as data
from ..losses import Loss
from ..network import Network

# Up to ALL parameters are all checked; of more parameters, DRAWN random ones and random directions.
ALL = 2000
DRAWN = 500
DIRECTIONS = 20


def check_gradient(
    net: Network,
    X: Any,
    y: Any,
    *,
    loss: Loss = "auto",
    sample_weight: Any = None,
    alpha: float = 0.0,
    l1: float = 0.0,
    gradient: Any = None,
    epsilon: float = 1e-6,
    random_state: int | checks.Random | None = 0,
    explain: bool = False,
) -> float:
    """Return the relative difference ``|g - g'| / (|g| + |g'|)`` of a gradient g and finite differences g'.

    Everything is computed in float64 on copies. g' is the central difference ``(J(p + e) - J(p - e)) / 2e``
    of the cost, for each parameter if there are at most 2000, otherwise for 500 random parameters and along
    20 random directions. About 1e-7 or less means a correct gradient, 1e-3 or more a wrong one. A kink (relu
    at 0) within epsilon also causes a difference.

    Parameters
    ----------
    net : Network
    X : array_like (N, I)
    y : array_like
        Targets, as in `Network.fit`.
    loss, sample_weight, alpha, l1
        As in `Network.fit`. Dropout is off.
    gradient : array_like (P,), default None
        The gradient to check; None: the network's own.
    epsilon : float above 0, default 1e-6
        The step e. Smaller steps suffer from rounding, larger ones from curvature.
    random_state : None, int, Generator or RandomState, default 0
        Source of the random parameters and directions.
    explain : bool, default False
        Print one forward and backward pass, with shapes and values for each formula. For a wrong gradient,
        also print which parameters are wrong and the most likely mistake: * instead of @, a missing 1/m, ...

    References
    ----------
    Andrew Ng, Improving deep neural networks, week 1: gradient checking.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import Network, check_gradient
    >>> rng = np.random.default_rng(0)
    >>> net = Network([4, 5, 3], activation="tanh", output="softmax", random_state=1)
    >>> check_gradient(net, rng.normal(size=(6, 4)), [0, 1, 2, 0, 1, 2]) < 1e-7
    True
    """
    epsilon = checks.check_real("epsilon", epsilon, 0.0, above=True)
    rng = checks.generator_of(random_state)
    twin = Network(net.n_inputs, list(net.layers), init="zeros", dtype="float64")
    twin.params[:] = net.params
    arguments: dict[str, Any] = {"loss": loss, "sample_weight": sample_weight, "alpha": alpha, "l1": l1}

    def cost(change: np.ndarray) -> float:
        kept = twin.params.copy()
        twin.params[:] += change
        value, _ = twin.loss_and_gradient(X, y, **arguments)
        twin.params[:] = kept
        return value

    if gradient is None:
        _, g = twin.loss_and_gradient(X, y, **arguments)
    else:
        g = data.numbers(gradient, "gradient").astype(np.float64)
        if g.shape != twin.params.shape:
            raise ValueError(f"gradient must have shape {twin.params.shape}, got {g.shape}")

    n = twin.n_params
    looked_at = np.arange(n) if n <= ALL else np.sort(rng.permutation(n)[:DRAWN])
    directions = [np.bincount([i], minlength=n).astype(np.float64) for i in looked_at]
    if n > ALL:
        directions += [d / np.linalg.norm(d) for d in rng.standard_normal((DIRECTIONS, n))]
    exact = np.array([d @ g for d in directions])
    found = np.array([(cost(epsilon * d) - cost(-epsilon * d)) / (2 * epsilon) for d in directions])
    size = float(np.linalg.norm(exact) + np.linalg.norm(found))
    difference = float(np.linalg.norm(exact - found)) / size if size else 0.0
    if explain:
        from . import explanation

        print(explanation.explain(explanation.Pass.of(twin, X, y, arguments), g, difference))
    return difference
