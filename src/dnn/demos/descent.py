"""Gradient descent as a path: learning rates too small, good and too large, and momentum."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Event, Network
from ..inspection.plotting import BLUE, VERMILION
from . import sheet

STEPS = 60
START = (-1.5, 2.5)


class Path(NamedTuple):
    """The path of a descent, (steps + 1, 2), with its rate, its momentum and the costs."""

    name: str
    rate: float
    momentum: float
    places: np.ndarray
    costs: np.ndarray


class Measured(NamedTuple):
    """Four paths over the cost J(w, b) of a line through points X (N, 1), y (N,), and its curvatures."""

    X: np.ndarray
    y: np.ndarray
    paths: list[Path]
    steepest: float
    flattest: float


class Places:
    """A callback that records the parameters of a network."""

    def __init__(self, net: Network) -> None:
        self.seen = [net.params.copy()]

    def add(self, event: Event) -> None:
        """Record the present parameters."""
        self.seen.append(event.net.params.copy())


def cost(X: np.ndarray, y: np.ndarray, w: Any, b: Any) -> Any:
    """Return J of the line w x + b, for scalars or arrays w and b.

    Examples
    --------
    >>> float(cost(np.array([[1.0]]), np.array([3.0]), 1.0, 1.0))
    0.5
    """
    w, b = np.asarray(w)[..., None], np.asarray(b)[..., None]
    return 0.5 * np.mean((w * X[:, 0] + b - y) ** 2, axis=-1)


def measure(quick: bool = False) -> Measured:
    """Return the paths. The rates follow from the curvature: descent needs a rate below 2 / steepest."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-0.2, 1.8, (40, 1))
    y = 1.5 * X[:, 0] + 0.5 + 0.1 * rng.normal(size=40)
    both = np.column_stack([X[:, 0], np.ones(len(X))])
    flattest, steepest = np.linalg.eigvalsh(both.T @ both / len(X))
    rates = {
        "too small": (0.03 / steepest, 0.0),
        "good": (1.0 / steepest, 0.0),
        "too large": (2.03 / steepest, 0.0),
        "small, with momentum": (0.03 / steepest, 0.9),
    }
    paths = []
    for name, (rate, momentum) in rates.items():
        net = Network([1, 1], dtype="float64")
        net.params[:] = START
        places = Places(net)
        net.fit(
            X, y, optimizer=SGD(rate, momentum=momentum), epochs=5 if quick else STEPS, batch_size=None,
            callbacks=[places.add],
        )  # fmt: skip
        found = np.array(places.seen)
        paths.append(Path(name, rate, momentum, found, cost(X, y, found[:, 0], found[:, 1])))
    return Measured(X, y, paths, float(steepest), float(flattest))


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = [
        "A line w x + b fitted to points: the cost J(w, b) is a valley, and descent goes down in steps.\n"
    ]
    lines.append(f"{'':22}{'rate':>7}{'momentum':>10}{'J first':>10}{'J last':>12}   (after {STEPS} steps)")
    for path in m.paths:
        lines.append(
            f"{path.name:22}{path.rate:7.3f}{path.momentum:10.1f}{path.costs[0]:10.3f}{path.costs[-1]:12.4g}"
        )
    lines.append(
        f"\nAcross the valley, the curvature is {m.steepest:.2f}: a rate above 2/{m.steepest:.2f} = "
        f"{2 / m.steepest:.2f} diverges. Along the valley,\n"
        f"it is only {m.flattest:.3f}, {m.steepest / m.flattest:.0f} times less: a rate that is good in "
        "one direction is slow in the other.\n"
        "Momentum accumulates steps in the same direction."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: four paths on the same surface."""
    figure, axes = sheet(6.2, 2, 2, sharex=True, sharey=True)
    w, b = np.meshgrid(np.linspace(-2.6, 4.6, 120), np.linspace(-2.8, 4.2, 120))
    surface = cost(m.X, m.y, w, b)
    lowest = m.paths[1].places[-1]
    for ax, path in zip(axes.ravel(), m.paths, strict=True):
        ax.contourf(w, b, np.log10(surface + 0.01), levels=14, cmap="Greys_r", alpha=0.55)
        color = VERMILION if path.name == "too large" else BLUE
        ax.plot(*path.places.T, color=color, marker="o", markersize=4, linewidth=1.6)
        ax.plot(*START, "o", color="black", markersize=9)
        ax.plot(*lowest, "*", color="black", markersize=16)
        ax.set_title(f"{path.name}: J = {path.costs[-1]:.2g}")
        ax.set_xlim(-2.6, 4.6)
        ax.set_ylim(-2.8, 4.2)
        ax.set_xticks([])
        ax.set_yticks([])
    for ax in axes[1]:
        ax.set_xlabel("w")
    for ax in axes[:, 0]:
        ax.set_ylabel("b", rotation=0)
    return figure
