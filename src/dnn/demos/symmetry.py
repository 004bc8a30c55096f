"""Units of a layer that start equal stay equal: zero, constant and random initial weights."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Full, Network, NoProgressWarning, Normal
from ..inspection.plotting import COLORS
from . import sheet
from .descent import Places
from .points import flower

UNITS = 4


class Start(NamedTuple):
    """Weights of the first feature by step (steps + 1, units), the largest spread, costs, accuracy."""

    weights: np.ndarray
    spread: float
    costs: list[float]
    accuracy: float


class Measured(NamedTuple):
    """The results for each kind of initial weights."""

    starts: dict[str, Start]


def measure(quick: bool = False) -> Measured:
    """Return the results of 2-4-1 on the flower from three starts, by gradient descent, rate 1.2."""
    X, y = flower()
    inits: dict[str, Any] = {"all 0": "zeros", "all 0.5": Full(0.5), "random x 0.01": Normal(0.01)}
    found = {}
    for name, init in inits.items():
        net = Network([2, UNITS, 1], activation="tanh", output="sigmoid", init=init, random_state=2)
        places = Places(net)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoProgressWarning)  # zeros make none, as intended
            history = net.fit(
                X, y, optimizer=SGD(1.2), epochs=10 if quick else 1500, batch_size=None,
                callbacks=[places.add],
            )  # fmt: skip
        every = np.array(places.seen)[:, : 2 * UNITS].reshape(-1, 2, UNITS)  # W1
        spread = float((every.max(axis=2) - every.min(axis=2)).max())
        right = 100 * float(np.mean((net(X)[:, 0] > 0.5) == y))
        found[name] = Start(every[:, 0], spread, history.loss, right)
    return Measured(found)


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = ["The flower and a hidden layer of four tanh units, with three kinds of initial weights.\n"]
    lines.append("initial weights units differ at most by   cost first    last accuracy")
    for name, start in m.starts.items():
        lines.append(
            f"{name:16}{start.spread:23.3g}{start.costs[0]:13.4f}{start.costs[-1]:8.4f}"
            f"{start.accuracy:7.1f} %"
        )
    lines.append(
        "\nEqual units get equal gradients, so that they stay equal: four units work like one. With zeros,\n"
        "they do not learn at all: their outputs are 0, and the zero weights after them stop the gradient.\n"
        "Random values, however small, break the symmetry."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: the weights of the four units during training."""
    figure, axes = sheet(3.6, 1, 3, sharey=True)
    for ax, (name, start) in zip(axes, m.starts.items(), strict=True):
        for unit in range(UNITS):
            # Each line is thinner than the one before, so that coinciding lines remain visible.
            ax.plot(start.weights[:, unit], color=COLORS[unit], linewidth=9 - 2.3 * unit)
        ax.set_title(f"{name}\n{start.accuracy:.0f} % correct")
        ax.set_xlabel("step")
        ax.set_xticks([0, 1000] if len(start.weights) > 1000 else [0, 10])
    axes[0].set_ylabel("a weight of each of the 4 units")
    return figure
