"""Activations and their slopes, the regions of vanishing slopes, and the same network trained with each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Network
from ..inspection.explanation import slope
from ..inspection.plotting import COLORS
from . import sheet
from .points import moons

NAMES = ("sigmoid", "tanh", "relu", "leaky_relu")
STYLES = ("-", "--", "-.", ":")
DEPTH = 5
# A slope below this value counts as small. relu has slope 0, which stops gradients; leaky relu keeps 0.01.
SMALL = 0.05
GRAYS = ("#e9e9e9", "#b5b5b5")  # for small slopes and for 0


class Measured(NamedTuple):
    """Z, and for each activation A, slopes, costs, shares of slopes equal to 0 and below 0.05, accuracy."""

    Z: np.ndarray
    A: dict[str, np.ndarray]
    slopes: dict[str, np.ndarray]
    costs: dict[str, list[float]]
    none: dict[str, float]
    small: dict[str, float]
    accuracy: dict[str, float]


def measure(quick: bool = False) -> Measured:
    """Return the curves of the activations, and the results of training five hidden layers with each."""
    Z = np.linspace(-5, 5, 201)[:, None]
    X, y = moons(400)
    A, slopes, costs, none, small, accuracy = {}, {}, {}, {}, {}, {}
    for name in NAMES:
        one = Network([1, 1, 1], activation=name, init="zeros", dtype="float64")
        for W in one.weights:
            W[...] = 1.0
        A[name] = one(Z)[:, 0]
        slopes[name] = slope(name, Z)[:, 0]
        net = Network([2, *[16] * DEPTH, 1], activation=name, output="sigmoid", random_state=0)
        history = net.fit(X, y, optimizer=SGD(0.1, momentum=0.9), epochs=5 if quick else 200, batch_size=50)
        costs[name] = history.loss
        # The slopes by which a gradient is multiplied on its way to the first layer
        _, cache = net.forward(X)
        found = [slope(name, np.asarray(each, np.float64)) for each in cache.Z[:-1]]
        every = np.concatenate(found, axis=1)
        none[name], small[name] = float(np.mean(every == 0)), float(np.mean(every < SMALL))
        accuracy[name] = 100 * float(np.mean((net(X)[:, 0] > 0.5) == y))
    return Measured(Z[:, 0], A, slopes, costs, none, small, accuracy)


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = ["Four activations, and the same network, 2-16-16-16-16-16-1, trained with each on two moons.\n"]
    lines.append(
        "activation  slope: largest   at z = 4  at z = -4   0, trained  below 0.05"
        "  cost first   last  accuracy"
    )
    for name in NAMES:
        right, left = (np.interp(z, m.Z, m.slopes[name]) for z in (4, -4))
        lines.append(
            f"{name:12}{m.slopes[name].max():14.2f}{right:12.4f}{left:11.4f}{100 * m.none[name]:11.0f} %"
            f"{100 * m.small[name]:10.0f} %"
            f"{m.costs[name][0]:12.3f}{m.costs[name][-1]:7.3f}{m.accuracy[name]:8.1f} %"
        )
    passed = 0.25**DEPTH
    lines.append(
        "\nOn its way to the first layer, a gradient is multiplied by a slope in each layer. The slope of "
        f"the\nsigmoid is at most 1/4: after {DEPTH} layers at most {passed:.4f} is left, so that the deep "
        "network learns\nnothing for many epochs. The slope of tanh is 1 at z = 0 and vanishes for large "
        f"|z|. The slope of\nrelu is 1 for z > 0 and 0 otherwise: {100 * m.none['relu']:.0f} % of the "
        "slopes after training are 0. leaky relu has a\nslope of 0.01 there, so that the gradient never "
        "vanishes completely."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: the activations and their slopes above, the costs below."""
    figure, _ = sheet(6.6)
    figure.clear()
    grid = figure.add_gridspec(2, 4, height_ratios=[1, 1.3])
    for i, (name, color) in enumerate(zip(NAMES, COLORS, strict=False)):
        ax = figure.add_subplot(grid[0, i])
        ax.axhline(0, color="#bbbbbb", linewidth=1)
        for limit, gray in ((SMALL, GRAYS[0]), (1e-12, GRAYS[1])):
            ax.fill_between(m.Z, -1.2, 2.2, where=m.slopes[name] < limit, color=gray, linewidth=0)
        ax.plot(m.Z, m.A[name], color=color, linewidth=3)
        ax.plot(m.Z, m.slopes[name], color="black", linewidth=1.6, linestyle="--")
        ax.set_title(name)
        ax.set_ylim(-1.2, 2.2)
        ax.set_xlim(-5, 5)
        ax.set_xticks([-4, 0, 4])
        ax.set_yticks([-1, 0, 1, 2])
        ax.tick_params(labelleft=i == 0)
    below = figure.add_subplot(grid[1, :])
    for name, color, style in zip(NAMES, COLORS, STYLES, strict=False):
        below.plot(range(1, len(m.costs[name]) + 1), m.costs[name], color=color, linestyle=style, label=name)
    below.set_yscale("log")
    below.set_xlabel("epoch")
    below.set_title("cost of the same deep network with each activation")
    figure.legend(*below.get_legend_handles_labels(), loc="outside lower center", fontsize=14, ncols=4)
    figure.suptitle("dashed: slope; light gray: slope below 0.05; dark gray: slope 0", fontsize=15)
    return figure
