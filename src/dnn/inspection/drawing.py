"""Drawings in SVG, which need no other package and which notebooks show, or on matplotlib axes."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import check_integer
from .._optional import need
from ..data import arrays as data
from ..losses import Loss
from ..network import Network
from .explanation import Pass

# Colors of Okabe and Ito, safe for color-blind readers; negative weights are also dashed, for print
BLUE, VERMILION, GRAY = "#0072B2", "#D55E00", "#777777"
FONT = 17
RADIUS = 25
COLUMN, ROW, TOP = 178, 76, 66


class Drawing:
    """Lines, circles, boxes and text on a sheet; y grows downwards. Notebooks show it.

    Parameters
    ----------
    width, height : float
        The size of the sheet.

    Examples
    --------
    >>> drawing = Drawing(100, 50)
    >>> drawing.line(0, 0, 100, 50)
    >>> drawing.svg().count("<line")
    1
    """

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self.items: list[dict[str, Any]] = []

    def line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        *,
        color: str = GRAY,
        width: float = 1.5,
        dashed: bool = False,
        title: str = "",
    ) -> None:
        """Draw a line; the title is its tooltip."""
        self.items.append(
            {"kind": "line", "x": (x1, x2), "y": (y1, y2), "color": color, "width": width, "dashed": dashed,
             "title": title}
        )  # fmt: skip

    def arrow(self, x1: float, y1: float, x2: float, y2: float, *, color: str = GRAY) -> None:
        """Draw an arrow from one point to another."""
        self.line(x1, y1, x2, y2, color=color)
        along = np.array([x2 - x1, y2 - y1]) / np.hypot(x2 - x1, y2 - y1)
        across = np.array([-along[1], along[0]])
        for side in (-1, 1):
            x, y = np.array([x2, y2]) - 9 * along + side * 5 * across
            self.line(x2, y2, float(x), float(y), color=color)

    def circle(self, x: float, y: float, radius: float, *, fill: str = "white", color: str = "black") -> None:
        """Draw a circle."""
        self.items.append({"kind": "circle", "x": x, "y": y, "radius": radius, "fill": fill, "color": color})

    def box(self, x: float, y: float, width: float, height: float, *, fill: str = "white") -> None:
        """Draw a box; x and y are its center."""
        self.items.append({"kind": "box", "x": x, "y": y, "width": width, "height": height, "fill": fill})

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = FONT,
        color: str = "black",
        bold: bool = False,
        halo: bool = False,
    ) -> None:
        """Write text, centered on a point; a white halo separates it from lines behind it."""
        self.items.append(
            {"kind": "text", "x": x, "y": y, "words": words, "size": size, "color": color, "bold": bold,
             "halo": halo}
        )  # fmt: skip

    def svg(self) -> str:
        """Return the drawing as SVG."""
        parts = [_svg(item) for item in self.items]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" style="max-width: 100%; height: auto" font-family="sans-serif">'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
        )

    def _repr_svg_(self) -> str:
        return self.svg()

    def save(self, path: str | Path) -> None:
        """Write the drawing to an SVG file."""
        Path(path).write_text(self.svg(), encoding="utf-8")

    def on(self, ax: Any) -> Any:
        """Draw on matplotlib axes, and return them."""
        patches = need("matplotlib.patches", "a drawing on axes", "plot")
        Circle, Rectangle = patches.Circle, patches.Rectangle
        withStroke = need("matplotlib.patheffects", "a drawing on axes", "plot").withStroke

        ax.set_xlim(0, self.width)
        ax.set_ylim(self.height, 0)
        ax.set_aspect("equal")
        ax.set_axis_off()
        # Points per unit of the drawing, so that text and lines keep their relative size
        box = ax.get_position()
        inches = ax.figure.get_size_inches() * (box.width, box.height)
        scale = 72 * min(inches[0] / self.width, inches[1] / self.height)
        for z, item in enumerate(self.items, 2):
            kind, x, y = item["kind"], item["x"], item["y"]
            if kind == "line":
                style = (0, (4, 2)) if item["dashed"] else "-"
                ax.plot(x, y, color=item["color"], lw=item["width"] * scale, ls=style, zorder=z)
            elif kind == "circle":
                colors = {"facecolor": item["fill"], "edgecolor": item["color"]}
                ax.add_patch(Circle((x, y), item["radius"], **colors, lw=1.5 * scale, zorder=z))
            elif kind == "box":
                w, h = item["width"], item["height"]
                corner = x - w / 2, y - h / 2
                ax.add_patch(Rectangle(corner, w, h, fc=item["fill"], ec="black", lw=1.5 * scale, zorder=z))
            else:
                weight = "bold" if item["bold"] else "normal"
                halo = [withStroke(linewidth=4 * scale, foreground="white")] if item["halo"] else []
                ax.text(
                    x, y, item["words"], fontsize=item["size"] * scale, color=item["color"],
                    fontweight=weight, ha="center", va="center", zorder=z,
                    path_effects=halo,
                )  # fmt: skip
        return ax


def _svg(item: dict[str, Any]) -> str:
    x, y = item["x"], item["y"]
    if item["kind"] == "line":
        dashes = ' stroke-dasharray="6 4"' if item["dashed"] else ""
        title = f"<title>{escape(item['title'])}</title>" if item["title"] else ""
        return (
            f'<line x1="{x[0]:.1f}" y1="{y[0]:.1f}" x2="{x[1]:.1f}" y2="{y[1]:.1f}" stroke="{item["color"]}" '
            f'stroke-width="{item["width"]:.2f}"{dashes}>{title}</line>'
        )
    if item["kind"] == "circle":
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{item["radius"]:.1f}" fill="{item["fill"]}" '
            f'stroke="{item["color"]}" stroke-width="1.5"/>'
        )
    if item["kind"] == "box":
        w, h = item["width"], item["height"]
        return (
            f'<rect x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" rx="5" '
            f'fill="{item["fill"]}" stroke="black" stroke-width="1.5"/>'
        )
    more = ' font-weight="bold"' if item["bold"] else ""
    if item["halo"]:
        more += ' stroke="white" stroke-width="4" paint-order="stroke"'
    return (
        f'<text x="{x:.1f}" y="{y + 0.35 * item["size"]:.1f}" font-size="{item["size"]:g}" '
        f'fill="{item["color"]}" text-anchor="middle"{more}>'
        f"{escape(item['words'])}</text>"
    )


def short(value: float) -> str:
    """Return a number in about five characters."""
    if value and (abs(value) < 0.005 or abs(value) >= 1000):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.2g}" if abs(value) >= 100 else f"{value:.2f}"


def draw_network(
    net: Network, x: Any = None, y: Any = None, *, loss: Loss = "auto", most: int = 10
) -> Drawing:
    """Return a drawing of a network: see `Network.draw`.

    Examples
    --------
    >>> from dnn import Network
    >>> draw_network(Network([2, 3, 1], random_state=0)).svg().count("<circle")
    6
    """
    sizes = [net.n_inputs, *(layer.units for layer in net.layers)]
    most = check_integer("most", most, 3)
    shown = [_shown(n, most) for n in sizes]
    rows = max(len(units) for units in shown)
    drawing = Drawing(COLUMN * len(sizes), TOP + ROW * rows + 40)
    middle = TOP + ROW * rows / 2

    def place(column: int, k: int) -> tuple[float, float]:
        units = shown[column]
        return COLUMN * (column + 0.5), middle + ROW * (k - (len(units) - 1) / 2)

    values, slopes, cost = _values(net, x, y, loss)
    _edges(drawing, net, shown, place)
    for column, units in enumerate(shown):
        for k, unit in enumerate(units):
            cx, cy = place(column, k)
            if unit < 0:
                drawing.text(cx, cy, "⋮", size=24)
                continue
            drawing.circle(cx, cy, RADIUS)
            if values:
                drawing.text(cx, cy, short(values[column][unit]), size=FONT - 1)
            if slopes:
                words = "∂ " + short(slopes[column][unit])
                drawing.text(cx, cy + RADIUS + 11, words, size=FONT - 1, color=VERMILION, halo=True)
        name = "X" if not column else f"A{column} = {net.layers[column - 1].info.name}(Z{column})"
        head = COLUMN * (column + 0.5)
        drawing.text(head, 18, name, bold=True)
        unit_word = "input" if not column else "unit"
        drawing.text(head, 40, f"{sizes[column]:,} {unit_word}{'s' if sizes[column] > 1 else ''}", color=GRAY)
    foot = "weights: blue if positive, dashed if negative"
    if slopes:
        foot = f"∂: slopes of the cost J = {cost:.4g}"
    drawing.text(drawing.width / 2, drawing.height - 14, foot, size=FONT - 2, color=GRAY)
    return drawing


def _shown(n: int, most: int) -> list[int]:
    """Return the units that are drawn; -1 stands for the omitted ones."""
    if n <= most:
        return list(range(n))
    return [*range(most - 2), -1, n - 1]


def _edges(drawing: Drawing, net: Network, shown: list[list[int]], place: Any) -> None:
    for column, W in enumerate(net.weights):
        largest = float(np.abs(W).max()) or 1.0
        for k, i in enumerate(shown[column]):
            for j, unit in enumerate(shown[column + 1]):
                if i < 0 or unit < 0:
                    continue
                w = float(W[i, unit])
                drawing.line(
                    *place(column, k), *place(column + 1, j), width=0.3 + 4 * abs(w) / largest,
                    color=BLUE if w >= 0 else VERMILION, dashed=w < 0,
                    title=f"W{column + 1}[{i}, {unit}] = {w:.4g}",
                )  # fmt: skip


def _values(
    net: Network, x: Any, y: Any, loss: Loss
) -> tuple[list[np.ndarray], list[np.ndarray], float | None]:
    """Return the outputs of the units of each column for one example, and the slopes of its cost."""
    if x is None:
        if y is not None:
            raise ValueError("x must come with y, got none")
        return [], [], None
    x = data.numbers(x, "x").astype(np.float64).reshape(1, -1)
    if x.size != net.n_inputs:
        raise ValueError(f"x must be one example of {net.n_inputs} values, got {x.size}")
    twin = Network(net.n_inputs, list(net.layers), init="zeros", dtype="float64")
    twin.params[:] = net.params
    _, cache = twin.forward(x)
    values = [x[0], *(A[0] for A in cache.A)]
    if y is None:
        return values, [], None
    how = {"loss": loss, "sample_weight": None, "alpha": 0.0, "l1": 0.0}
    passed = Pass.of(twin, x, np.reshape(y, (1, -1)) if np.ndim(y) else np.array([y]), how)
    # With respect to X and to A of the hidden layers; for the last layer with respect to Z, as every loss has
    # it
    slopes, dZ = [passed.d_logits[0]], passed.d_logits
    for layer in range(len(twin.layers) - 1, -1, -1):
        dA = dZ @ twin.weights[layer].T
        slopes.insert(0, dA[0])
        dZ = dA * passed.slopes[layer - 1] if layer else dA
    return values, slopes, passed.cost
