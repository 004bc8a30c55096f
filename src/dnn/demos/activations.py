"""Activations with their slopes, where the slopes vanish, and the same net trained with each."""

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
# A slope below this is called small. Relu has 0, with which nothing comes through; leaky relu keeps 0.01.
SMALL = 0.05
GRAYS = ("#e9e9e9", "#b5b5b5")  # small, and 0


class Measured(NamedTuple):
    """Z, and by activation A, slopes, costs, shares of slopes that are 0 and below 0.05, accuracy."""

    Z: np.ndarray
    A: dict[str, np.ndarray]
    slopes: dict[str, np.ndarray]
    costs: dict[str, list[float]]
    none: dict[str, float]
    small: dict[str, float]
    accuracy: dict[str, float]


def measure(quick: bool = False) -> Measured:
    """Return the curves, and what training a net of five hidden layers comes to with each."""
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
        # Of the product of slopes that a gradient has to pass on its way to the first layer
        _, cache = net.forward(X)
        found = [slope(name, np.asarray(each, np.float64)) for each in cache.Z[:-1]]
        every = np.concatenate(found, axis=1)
        none[name], small[name] = float(np.mean(every == 0)), float(np.mean(every < SMALL))
        accuracy[name] = 100 * float(np.mean((net(X)[:, 0] > 0.5) == y))
    return Measured(Z[:, 0], A, slopes, costs, none, small, accuracy)


def tell(m: Measured) -> str:
    """Return the numbers in words."""
    lines = ["Four activations, and the same net, 2-16-16-16-16-16-1, trained with each on two moons.\n"]
    lines.append(
        "activation  slope: largest   at z = 4  at z = -4   0, trained  below 0.05  cost first   last  right"
    )
    for name in NAMES:
        right, left = (np.interp(z, m.Z, m.slopes[name]) for z in (4, -4))
        lines.append(
            f"{name:12}{m.slopes[name].max():14.2f}{right:12.4f}{left:11.4f}{100 * m.none[name]:11.0f} %"
            f"{100 * m.small[name]:10.0f} %"
            f"{m.costs[name][0]:12.3f}{m.costs[name][-1]:7.3f}{m.accuracy[name]:6.1f} %"
        )
    passed = 0.25**DEPTH
    lines.append(
        "\nA gradient on its way to the first layer is multiplied by a slope in each. The sigmoid's is at\n"
        f"most 1/4: through {DEPTH} layers at most {passed:.4f} is left, and the deep net waits before it\n"
        "learns. tanh has a slope of 1 in the middle, and vanishes far out. relu has 1 where z > 0, and 0\n"
        f"elsewhere: {100 * m.none['relu']:.0f} % of the slopes after training. leaky relu has 0.01 there:\n"
        "little comes through, but never nothing."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: above the activations and their slopes, below the costs."""
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
    below.set_title("cost of the same deep net with each")
    figure.legend(*below.get_legend_handles_labels(), loc="outside lower center", fontsize=14, ncols=4)
    figure.suptitle("dashed: the slope; light gray: below 0.05; dark: 0", fontsize=15)
    return figure
