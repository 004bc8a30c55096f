"""The forward and backward pass of J = 3(a + bc), step by step, and of a whole network."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import Network
from ..inspection.drawing import BLUE, FONT, VERMILION, Drawing
from . import sheet

NUDGE = 1e-3
EXAMPLE = ((0.5, -1.0), 1)


class Measured(NamedTuple):
    """Values of the graph, their slopes, finite differences for a, b and c, and the network."""

    values: dict[str, float]
    slopes: dict[str, float]
    nudged: dict[str, float]
    net: Network


def forward(a: float, b: float, c: float) -> dict[str, float]:
    """Return every value of J = 3(a + bc).

    Examples
    --------
    >>> forward(5, 3, 2)["J"]
    33
    """
    u = b * c
    v = a + u
    return {"a": a, "b": b, "c": c, "u": u, "v": v, "J": 3 * v}


def backward(values: dict[str, float]) -> dict[str, float]:
    """Return the derivative of J by each value, from right to left, by the chain rule.

    Examples
    --------
    >>> slopes = backward(forward(5, 3, 2))
    >>> slopes["a"], slopes["b"], slopes["c"]
    (3, 6, 9)
    """
    J = 1
    v = J * 3
    u = v * 1
    a = v * 1
    b = u * values["c"]
    c = u * values["b"]
    return {"a": a, "b": b, "c": c, "u": u, "v": v, "J": J}


def measure(quick: bool = False) -> Measured:
    """Return the course's example, a = 5, b = 3, c = 2, and a network with an example."""
    start = {"a": 5.0, "b": 3.0, "c": 2.0}
    values = forward(**start)
    nudged = {
        name: (forward(**(start | {name: value + NUDGE}))["J"] - values["J"]) / NUDGE
        for name, value in start.items()
    }
    net = Network([2, 3, 1], activation="tanh", output="sigmoid", random_state=2)
    return Measured(values, backward(values), nudged, net)


def tell(m: Measured) -> str:
    """Return the results as text."""
    v, s = m.values, m.slopes
    nudged = ", ".join(f"{name}: {slope:.3f}" for name, slope in m.nudged.items())
    x, y = EXAMPLE
    return (
        "J = 3(a + bc), computed as u = bc, v = a + u, J = 3v.\n\n"
        f"Forward:    b = {v['b']:g}, c = {v['c']:g}: u = {v['u']:g};  a = {v['a']:g}: v = {v['v']:g};  "
        f"J = {v['J']:g}\n"
        f"Backward:   dJ/dv = {s['v']:g};  dJ/du = dJ/da = {s['u']:g};  dJ/db = {s['u']:g} c = {s['b']:g};  "
        f"dJ/dc = {s['u']:g} b = {s['c']:g}\n"
        f"Finite differences with a nudge of {NUDGE:g}: {nudged}\n\n"
        f"A network is such a graph. For x = {x}, y = {y}, the forward pass computes every value once,\n"
        "up to the cost, and the backward pass computes every slope once, from the slope to its right."
    )


def graph(m: Measured) -> Drawing:
    """Return the drawing of J = 3(a + bc)."""
    drawing = Drawing(720, 235)
    places = {
        "a": (70, 45), "b": (70, 120), "c": (70, 195), "u": (260, 155), "v": (440, 90), "J": (625, 90)
    }  # fmt: skip
    formulas = {"u": "u = bc", "v": "v = a + u", "J": "J = 3v"}
    for start, end in (("a", "v"), ("b", "u"), ("c", "u"), ("u", "v"), ("v", "J")):
        (x1, y1), (x2, y2) = places[start], places[end]
        half = 78 if end in formulas else 45
        begin = 78 if start in formulas else 40
        target = y1 + (y2 - y1) * 0.8
        drawing.arrow(x1 + begin, y1, x2 - half, target if abs(y2 - y1) > 20 else y2)
    for name, (x, y) in places.items():
        drawing.box(x, y, 152 if name in formulas else 80, 36, fill="#e8f1f8")
        words = formulas.get(name, name)
        drawing.text(x, y, f"{words} = {m.values[name]:g}", size=FONT, bold=True, color=BLUE)
        drawing.text(x, y + 30, f"dJ/d{name} = {m.slopes[name]:g}", size=FONT - 1, color=VERMILION)
    return drawing


def draw(m: Measured) -> Any:
    """Return the picture: the graph above, the network below."""
    figure, (above, below) = sheet(7.2, 2, 1, height_ratios=[1, 1.45])
    figure.set_layout_engine(None)
    above.set_position([0.01, 0.64, 0.98, 0.34])
    below.set_position([0.05, 0.0, 0.9, 0.62])
    graph(m).on(above)
    m.net.draw(*EXAMPLE).on(below)
    return figure
