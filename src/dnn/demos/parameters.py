"""Parameters and hyper-parameters: training finds the parameters, and you choose the hyper-parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Network
from ..inspection.plotting import BLUE, COLORS, VERMILION
from . import sheet
from .descent import Places
from .points import flower

# Hyper-parameters: BASE gives good results, and each further run changes one of them.
BASE: dict[str, Any] = {"learning rate": 1.2, "iterations": 2000, "hidden units": 4, "activation": "tanh"}
CHANGES: dict[str, Any] = {"learning rate": 0.01, "iterations": 50, "hidden units": 2, "activation": "relu"}


class Run(NamedTuple):
    """Hyper-parameters, the parameters after each step (steps + 1, P), costs, and the validation error."""

    chosen: dict[str, Any]
    found: np.ndarray
    costs: list[float]
    wrong: float  # of new points, in percent


class Measured(NamedTuple):
    """A run with the hyper-parameters of `BASE`, and one run for each change."""

    runs: list[Run]


def train(chosen: dict[str, Any], quick: bool) -> Run:
    """Return a run of gradient descent with full batches, from the same seed."""
    X, y = flower()
    X_val, y_val = flower(seed=2)
    net = Network(
        [2, chosen["hidden units"], 1], activation=chosen["activation"], output="sigmoid", random_state=0
    )
    places = Places(net)
    steps = min(chosen["iterations"], 10) if quick else chosen["iterations"]
    history = net.fit(
        X, y, optimizer=SGD(chosen["learning rate"]), epochs=steps, batch_size=None, callbacks=[places.add]
    )
    wrong = 100 * float(np.mean((net(X_val)[:, 0] > 0.5) != y_val))
    return Run(chosen, np.array(places.seen), history.loss, wrong)


def measure(quick: bool = False) -> Measured:
    """Return the runs."""
    choices = [BASE, *(BASE | {name: value} for name, value in CHANGES.items())]
    return Measured([train(chosen, quick) for chosen in choices])


def tell(m: Measured) -> str:
    """Return the results as text."""
    base = m.runs[0]
    n = base.found.shape[1]
    lines = ["The course's flower and a network with one hidden layer: five choices of hyper-parameters.\n"]
    lines.append(f"{'hyper-parameters, chosen':52}{'parameters, found':>22}{'cost':>8}{'error':>8}")
    for run in m.runs:
        said = ", ".join(f"{name} {value}" for name, value in run.chosen.items())
        lines.append(f"{said:68}{run.found.shape[1]:6}{run.costs[-1]:8.3f}{run.wrong:6.1f} %")
    moved = float(np.abs(base.found[-1] - base.found[0]).max())
    lines.append(
        f"\nThe {n} parameters of the first run, W and b of each layer, change in each step, by up to "
        f"{moved:.1f} in\ntotal. The {len(BASE)} hyper-parameters do not change during training, but they "
        "determine which parameters\nit finds. They are chosen by experiment, on points that are not used "
        "for training."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: the parameters during training, and the error for each choice."""
    figure, (left, right) = sheet(4.6, 1, 2, width_ratios=[1, 1.15])
    base = m.runs[0]
    units = base.chosen["hidden units"]
    n_first = 3 * units  # W1 and b1 of two features
    for k in range(base.found.shape[1]):
        color, style = (BLUE, "-") if k < n_first else (VERMILION, "--")
        left.plot(base.found[:, k], color=color, linestyle=style, linewidth=1.6)
    left.set_xticks([0, len(base.costs) // 2, len(base.costs)])
    left.set_xlabel("iteration")
    left.set_title(f"found: {base.found.shape[1]} parameters\n(dashed: last layer)")
    names = ["base choice", *(f"{name} {value}" for name, value in CHANGES.items())]
    wrong = [run.wrong for run in m.runs]
    bars = right.barh(range(len(names)), wrong, color=[BLUE, *[COLORS[5]] * len(CHANGES)], height=0.5)
    for name, bar, value in zip(names, bars, wrong, strict=True):
        right.text(0, bar.get_y() - 0.06, name, va="bottom", fontsize=13)
        right.text(value, bar.get_y() + 0.25, f" {value:.1f}", va="center", fontweight="bold")
    right.invert_yaxis()
    right.set_ylim(len(names) - 0.5, -0.8)
    right.set_xlim(0, 1.2 * max(wrong))
    right.set_yticks([])
    right.set_xticks([0, 20, 40])
    right.set_title("chosen: hyper-parameters\n(error on new points, %)")
    return figure
