"""Large initial weights saturate tanh; small ones suit one hidden layer, as in the course, but not five."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Network, NoProgressWarning, Normal
from ..inspection.plotting import BLUE, COLORS, VERMILION
from . import sheet
from .points import flower

UNITS = 16
DEPTHS = (1, 5)
EPOCHS = 150
FLAT = 0.1
INITS: dict[str, Any] = {"x 0.01": Normal(0.01), "Xavier": "xavier", "x 10": Normal(10.0)}


class Start(NamedTuple):
    """Outputs of the hidden layers before training, share of slopes below 0.1, costs, accuracy in percent."""

    outputs: np.ndarray
    last: float  # mean absolute output of the last hidden layer
    flat: float
    costs: list[float]
    accuracy: float


class Measured(NamedTuple):
    """The results for each number of hidden layers and each scale of the initial weights."""

    starts: dict[int, dict[str, Start]]


def measure(quick: bool = False) -> Measured:
    """Return the results for one and five hidden layers, with small, Xavier and large initial weights."""
    X, y = flower()
    found: dict[int, dict[str, Start]] = {}
    for depth in DEPTHS:
        found[depth] = {}
        for name, init in INITS.items():
            sizes = [2, *[UNITS] * depth, 1]
            net = Network(sizes, activation="tanh", output="sigmoid", init=init, random_state=0)
            _, cache = net.forward(X)
            outputs = np.concatenate([A.ravel() for A in cache.A[:-1]])
            last = float(np.abs(cache.A[-2]).mean())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NoProgressWarning)  # as intended
                history = net.fit(
                    X, y, optimizer=SGD(0.1, momentum=0.9), epochs=5 if quick else EPOCHS, batch_size=50
                )
            right = 100 * float(np.mean((net(X)[:, 0] > 0.5) == y))
            flat = float(np.mean(1 - outputs**2 < FLAT))
            found[depth][name] = Start(outputs, last, flat, history.loss, right)
    return Measured(found)


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = [
        "The course's flower and layers of 16 tanh units; initial weights small, of Xavier's scale, large.\n"
    ]
    lines.append(
        f"hidden layers  init           slopes below {FLAT:g}  cost: first  after 20 epochs   last accuracy"
    )
    for depth, starts in m.starts.items():
        for name, start in starts.items():
            middle = start.costs[min(19, len(start.costs) - 1)]
            lines.append(
                f"{depth:13}  {name:14}{100 * start.flat:15.0f} %{start.costs[0]:13.3f}{middle:17.3f}"
                f"{start.costs[-1]:7.3f}{start.accuracy:7.1f} %"
            )
    small, large = (m.starts[1][name] for name in ("x 0.01", "x 10"))
    faded = m.starts[5]["x 0.01"].last
    lines.append(
        "\nThe slope of tanh is 1 - a^2: if a is close to -1 or 1, the unit is saturated, and hardly any\n"
        f"gradient passes. With x 10 the first cost is {large.costs[0]:.1f}. The network with one hidden "
        "layer recovers,\nbecause its last layer learns from the saturated outputs; the one with five "
        f"reaches only {m.starts[5]['x 10'].accuracy:.1f} %.\nThe course's x 0.01 is good for one hidden "
        f"layer: {small.accuracy:.1f} %. In five layers the signal vanishes: the\noutputs of the last one "
        f"are about {faded:.0e}, and the network learns nothing. Xavier's scale, with a\n"
        "variance of about 1/n, keeps the variance of inputs and outputs alike at any depth."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: the outputs of the units before training, and the costs of both networks."""
    figure, _ = sheet(6.8)
    figure.clear()
    grid = figure.add_gridspec(2, 6, height_ratios=[1, 1.6])
    colors = (COLORS[4], BLUE, VERMILION)
    for i, ((name, start), color) in enumerate(zip(m.starts[5].items(), colors, strict=True)):
        ax = figure.add_subplot(grid[0, 2 * i : 2 * i + 2])
        ax.hist(start.outputs, bins=np.linspace(-1, 1, 31), color=color)
        ax.set_title(f"{name}: {100 * start.flat:.0f} % saturated")
        ax.set_yticks([])
        ax.set_xticks([-1, 0, 1])
        ax.spines["left"].set_visible(False)
        if i == 1:
            ax.set_xlabel("tanh outputs before training, five hidden layers")
    below: list[Any] = []
    for i, (depth, starts) in enumerate(m.starts.items()):
        ax = figure.add_subplot(grid[1, 3 * i : 3 * i + 3], sharey=below[0] if below else None)
        below.append(ax)
        for (name, start), color, style in zip(starts.items(), colors, ("-.", "-", "--"), strict=True):
            ax.plot(range(1, len(start.costs) + 1), start.costs, color=color, linestyle=style, label=name)
        ax.set_yscale("log")
        ax.set_xlabel("epoch")
        ax.set_title(f"cost: {'one hidden layer' if depth == 1 else 'five hidden layers'}")
        ax.tick_params(labelleft=i == 0)
    figure.legend(
        *below[0].get_legend_handles_labels(), title="initial weights", loc="outside lower center", ncols=3
    )
    return figure
