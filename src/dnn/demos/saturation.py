"""Large first weights flatten tanh, so that slopes vanish and learning is slow; tiny ones fade out."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Network, NoProgressWarning, Normal
from ..plotting import BLUE, COLORS, VERMILION
from . import sheet
from .points import moons

SIZES = [2, 16, 16, 16, 16, 16, 1]


class Start(NamedTuple):
    """Outputs of the last hidden layer before training, share of slopes below 0.1, and the costs."""

    outputs: np.ndarray
    flat: float
    costs: list[float]


class Measured(NamedTuple):
    """By scale of the first weights, what came of it."""

    starts: dict[str, Start]


def measure(quick: bool = False) -> Measured:
    """Return the same net from small, Xavier and large first weights."""
    X, y = moons(400)
    inits: dict[str, Any] = {"x 0.01": Normal(0.01), "Xavier": "xavier", "x 10": Normal(10.0)}
    found = {}
    for name, init in inits.items():
        net = Network(SIZES, activation="tanh", output="sigmoid", init=init, random_state=0)
        _, cache = net.forward(X)
        outputs = np.concatenate([A.ravel() for A in cache.A[:-1]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoProgressWarning)  # the small start stands still: the point
            history = net.fit(
                X, y, optimizer=SGD(0.1, momentum=0.9), epochs=5 if quick else 150, batch_size=50
            )
        found[name] = Start(outputs, float(np.mean(1 - outputs**2 < 0.1)), history.loss)
    return Measured(found)


def tell(m: Measured) -> str:
    """Return the numbers in words."""
    lines = [
        "Five hidden layers of 16 tanh units on two moons; first weights small, of Xavier's scale, large.\n"
    ]
    lines.append("first weights   slopes below 0.1   cost: first   after 20 epochs    last")
    for name, start in m.starts.items():
        middle = start.costs[min(19, len(start.costs) - 1)]
        lines.append(
            f"{name:16}{100 * start.flat:14.0f} %{start.costs[0]:14.3f}{middle:18.3f}{start.costs[-1]:8.3f}"
        )
    lines.append(
        "\nThe slope of tanh is 1 - a^2: where a is close to -1 or 1 the unit is flat, and hardly any\n"
        "gradient passes. Weights near 0 keep a near 0, and a deep net fades out. Xavier's scale, a\n"
        "variance of about 1/n, keeps what comes in and what goes out alike."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: what the units put out at the start, and the costs."""
    figure, _ = sheet(5.8)
    figure.clear()
    grid = figure.add_gridspec(2, 3, height_ratios=[1, 1.25])
    colors = (COLORS[4], BLUE, VERMILION)
    for i, ((name, start), color) in enumerate(zip(m.starts.items(), colors, strict=True)):
        ax = figure.add_subplot(grid[0, i])
        ax.hist(start.outputs, bins=np.linspace(-1, 1, 31), color=color)
        ax.set_title(f"{name}: {100 * start.flat:.0f} % flat")
        ax.set_yticks([])
        ax.set_xticks([-1, 0, 1])
        ax.spines["left"].set_visible(False)
    below = figure.add_subplot(grid[1, :])
    styles = ("-.", "-", "--")
    for (name, start), color, style in zip(m.starts.items(), colors, styles, strict=True):
        below.plot(range(1, len(start.costs) + 1), start.costs, color=color, linestyle=style, label=name)
    below.set_yscale("log")
    below.set_xlabel("epoch")
    below.set_title("above: tanh outputs at the start; below: cost while learning")
    below.legend(title="first weights", loc="upper right", ncols=3, fontsize=15)
    return figure
