"""The derivative as the slope of a tangent, found by ever smaller nudges, of functions and of a cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import Network
from ..inspection.plotting import BLUE, COLORS, VERMILION
from . import sheet
from .points import moons

# The course's examples: a function, a place, and the derivative there
FUNCTIONS: dict[str, tuple[Callable[[float], float], float, float]] = {
    "3a": (lambda a: 3 * a, 2.0, 3.0),
    "a^2": (lambda a: a * a, 2.0, 4.0),
    "a^3": (lambda a: a**3, 2.0, 12.0),
    "log a": (math.log, 2.0, 0.5),
}
NUDGES = (1.0, 0.1, 0.001)
WEIGHT = 0  # the parameter of the network that is nudged


class Measured(NamedTuple):
    """Slopes for each function and nudge, and the cost of a network as a function of one weight."""

    slopes: dict[str, list[float]]
    weights: np.ndarray
    costs: np.ndarray
    weight: float
    cost: float
    by_backward: float
    by_nudging: float


def slope(f: Callable[[float], float], a: float, nudge: float) -> float:
    """Return the slope of the line through f(a) and f(a + nudge): height divided by width.

    Examples
    --------
    >>> round(slope(lambda a: a * a, 2.0, 0.001), 3)
    4.001
    """
    return (f(a + nudge) - f(a)) / nudge


def measure(quick: bool = False) -> Measured:
    """Return the slopes, and for a network the slopes from the backward pass and from nudging."""
    slopes = {name: [slope(f, a, nudge) for nudge in NUDGES] for name, (f, a, _) in FUNCTIONS.items()}
    X, y = moons(100)
    net = Network([2, 3, 1], activation="tanh", output="sigmoid", dtype="float64", random_state=1)
    cost, gradient = net.loss_and_gradient(X, y)
    at = float(net.params[WEIGHT])

    def cost_of(weight: float) -> float:
        net.params[WEIGHT] = weight
        return net.loss_and_gradient(X, y)[0]

    weights = np.linspace(at - 4, at + 4, 20 if quick else 200)
    costs = np.array([cost_of(weight) for weight in weights])
    by_nudging = (cost_of(at + 1e-6) - cost_of(at - 1e-6)) / 2e-6
    return Measured(slopes, weights, costs, at, cost, float(gradient[WEIGHT]), by_nudging)


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = ["The slope at a = 2: the change of f(a), divided by the nudge of a.\n"]
    lines.append(f"{'f(a)':8}" + "".join(f"{f'nudge {nudge:g}':>14}" for nudge in NUDGES) + "    derivative")
    lines += [
        f"{name:8}" + "".join(f"{found:14.4f}" for found in slopes) + f"{FUNCTIONS[name][2]:14.4f}"
        for name, slopes in m.slopes.items()
    ]
    lines.append(
        "\nThe smaller the nudge, the closer the line is to the tangent, whose slope is the derivative.\n"
        "A cost is a function of each weight. For one weight of a 2-3-1 network, with the value "
        f"{m.weight:.3f},\nthe backward pass gives the slope {m.by_backward:.6f}, and nudging gives "
        f"{m.by_nudging:.6f}. A step of descent\n"
        f"moves this weight {'down' if m.by_backward > 0 else 'up'}, and the cost falls."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: lines that approach the tangent of a^2, and the tangent of a cost."""
    figure, (left, right) = sheet(4.4, 1, 2)
    a = np.linspace(0, 4, 100)
    left.plot(a, a**2, color="black")
    f, at, derivative = FUNCTIONS["a^2"]
    for nudge, color, style in ((1.5, COLORS[5], ":"), (0.75, COLORS[4], "--")):
        left.plot(a, f(at) + slope(f, at, nudge) * (a - at), color=color, linestyle=style)
        left.plot(at + nudge, f(at + nudge), "o", color=color, markersize=8)
        left.text(
            4.05, f(at) + slope(f, at, nudge) * (4 - at), f"{slope(f, at, nudge):g}", color=color, va="center"
        )
    left.plot(a, f(at) + derivative * (a - at), color=VERMILION, linewidth=3)
    left.text(4.05, f(at) + derivative * (4 - at) - 0.6, f"{derivative:g}", color=VERMILION, va="center")
    left.plot(at, f(at), "o", color="black", markersize=9)
    left.set_xlim(0, 4.6)
    left.set_ylim(-4, 17)
    left.set_xticks([0, 2, 4])
    left.set_yticks([0, 4, 16])
    left.set_xlabel("a")
    left.set_title("a²: slopes of lines\nthrough a = 2, tangent in red")
    right.plot(m.weights, m.costs, color=BLUE)
    near = m.weight + np.array([-2.2, 2.2])
    right.plot(near, m.cost + m.by_backward * (near - m.weight), color=VERMILION, linewidth=3)
    right.plot(m.weight, m.cost, "o", color="black", markersize=9)
    right.set_xlabel("a weight of a network")
    right.set_title(f"its cost: slope {m.by_backward:.3f}\nfrom the backward pass")
    return figure
