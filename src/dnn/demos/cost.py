"""The loss of one example, and the cost: the mean of all losses, which training minimizes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Network
from ..inspection.plotting import BLUE, COLORS, VERMILION
from . import sheet

# Hours of study, and whether the test was passed; two students are exceptions to the rule
HOURS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
PASSED = (0, 0, 1, 0, 1, 1, 0, 1)
STEPS = 300
RATE = 0.5


class Measured(NamedTuple):
    """Predictions and losses of each example before and after training, and the cost before each step."""

    first: np.ndarray
    last: np.ndarray
    losses_first: np.ndarray
    losses_last: np.ndarray
    costs: list[float]
    cost_last: float


def measure(quick: bool = False) -> Measured:
    """Return the results of logistic regression on eight students, with zero initial weights."""
    X, y = np.array(HOURS)[:, None], np.array(PASSED)
    net = Network([1, 1], output="sigmoid", init="zeros", dtype="float64")
    first, losses_first = net(X)[:, 0], net.losses(X, y)
    history = net.fit(X, y, optimizer=SGD(RATE), epochs=20 if quick else STEPS, batch_size=None)
    cost_last, _ = net.loss_and_gradient(X, y)
    return Measured(first, net(X)[:, 0], losses_first, net.losses(X, y), history.loss, cost_last)


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = [
        "Eight students: hours of study x, test passed (y = 1) or not. One unit predicts a = P(y = 1).\n"
    ]
    lines.append("   x   y   a first   loss first   a last   loss last")
    lines += [
        f"{x:4.1f}{y:4}{a:10.3f}{before:13.3f}{b:9.3f}{after:12.3f}"
        for x, y, a, before, b, after in zip(
            HOURS, PASSED, m.first, m.losses_first, m.last, m.losses_last, strict=True
        )
    ]
    lines.append(f"{'cost, the mean':18}{m.costs[0]:13.3f}{m.cost_last:21.3f}")
    up = int(np.sum(m.losses_last > m.losses_first))
    lines.append(
        "\nThe loss -(y log a + (1 - y) log(1 - a)) belongs to one example. The cost is the mean of the\n"
        f"losses, and descent lowers only the cost: {len(m.costs)} steps take it from {m.costs[0]:.3f} to "
        f"{m.cost_last:.3f}, while the loss\nof {up} of the {len(HOURS)} examples, the exceptions to the "
        "rule, rises."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: the loss curves with the examples, and the losses with the cost."""
    figure, (left, right) = sheet(4.4, 1, 2)
    a = np.linspace(0.02, 0.98, 200)
    y = np.array(PASSED)
    left.plot(a, -np.log(a), color=BLUE)
    left.plot(a, -np.log(1 - a), color=VERMILION, linestyle="--")
    left.text(0.03, 3.0, "y = 1:  -log a", color=BLUE, ha="left", va="center", backgroundcolor="white")
    left.text(0.55, 2.3, "y = 0:\n-log(1 - a)", color=VERMILION, ha="center", va="center")
    for label, color, marker in ((1, BLUE, "o"), (0, VERMILION, "s")):
        left.plot(m.last[y == label], m.losses_last[y == label], marker, color=color, markersize=9)
    left.set_xlabel("prediction a")
    left.set_title("loss of one example")
    left.set_ylim(0, 3.6)
    places = np.arange(len(y))
    colors = [BLUE if label else VERMILION for label in y]
    right.bar(places, m.losses_last, color=colors, width=0.65)
    right.plot([-0.5, 7.6], [m.costs[0]] * 2, color=COLORS[7], linewidth=2.5, linestyle="--")
    right.plot([-0.5, 7.6], [m.cost_last] * 2, color=COLORS[7], linewidth=2.5)
    for cost, when, va in ((m.costs[0], "before", "bottom"), (m.cost_last, "after", "top")):
        right.text(7.7, cost, f"{cost:.2f}\n{when}", va=va, ha="left", fontweight="bold", fontsize=13)
    right.set_xlim(-0.6, 9.6)
    right.set_xticks(places, [f"{x:g}" for x in HOURS], fontsize=12)
    right.set_xlabel("hours of study")
    right.set_title("cost: the mean of the losses")
    return figure
