"""The figures of a report as SVG that a page contains: they take its colors, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np

from .._optional import need
from .plotting import BLUE, VERMILION

FEW_SHARE = 0.001  # of the rows; points of fewer rows say nothing about calibration
# Colors that the page replaces by its own; no drawing has them otherwise
INK, GRID = "#010203", "#040506"
VARIABLES = {
    INK: "currentColor",
    GRID: "var(--line)",
    BLUE.lower(): "var(--blue)",
    VERMILION.lower(): "var(--red)",
}
STYLE = {
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": GRID,
    "grid.linewidth": 0.6, "axes.axisbelow": True, "font.size": 10, "svg.fonttype": "none",
    "legend.frameon": False,
}  # fmt: skip


def svg_of(draw: Callable[[Any], None], title: str, size: tuple[float, float] = (5.6, 3.6)) -> str:
    """Return a drawing as an SVG element.

    Parameters
    ----------
    draw : callable
        ``draw(ax)`` draws on matplotlib axes.
    title : str
        What a screen reader says.
    size : tuple of float
        Width and height in inches, of 72 units each.

    Examples
    --------
    >>> svg_of(lambda ax: ax.plot([0, 1]), "a line")[:31]
    '<svg role="img" aria-label="a l'
    """
    matplotlib = need("matplotlib", "a report", "plot")
    figure = need("matplotlib.figure", "a report", "plot").Figure
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        drawn = figure(figsize=size, layout="constrained")
        draw(drawn.subplots())
        file = io.StringIO()
        drawn.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(
        r' id="[A-Za-z0-9.]+_\d+"', "", text
    )  # which nothing refers to, and the next figure has again
    for color, variable in VARIABLES.items():
        text = text.replace(color, variable)
    text = re.sub(r"\s*\n\s*", "\n", re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2))
    start = f'<svg role="img" aria-label="{escape(title)}" style="max-width:{6.2 * size[0]:.1f}rem" '
    return text.replace("<svg ", start, 1)


def learning_curves(
    loss: np.ndarray | None, val_loss: np.ndarray | None, best: np.ndarray, name: str
) -> Callable[[Any], None]:
    """Return the drawing of the losses (n_members, n_epochs) of all members, or of one of the two kinds."""

    def draw(ax: Any) -> None:
        values: list[np.ndarray] = []
        for curves, color, style, label in (
            (loss, BLUE, "-", "training"),
            (val_loss, VERMILION, "--", "validation"),
        ):
            for number, curve in enumerate([] if curves is None else curves):
                epochs = np.arange(1, len(curve) + 1)
                ax.plot(epochs, curve, style, color=color, lw=1, label="" if number else label)
                values.append(curve[np.isfinite(curve)])
        for curve, at in zip([] if val_loss is None else val_loss, best.tolist(), strict=False):
            if at >= 0:
                ax.plot(at + 1, curve[at], "o", color=VERMILION, ms=5)
        known = np.concatenate(values)
        if len(known) and known.min() > 0 and known.max() > 10 * known.min():
            ax.set_yscale("log")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="epoch", ylabel=name)
        ax.legend()

    return draw


def calibration(bins: np.ndarray, xlabel: str, ylabel: str) -> Callable[[Any], None]:
    """Return the drawing of stated against true shares, with (3, n_bins): weight, stated, true."""

    def draw(ax: Any) -> None:
        total, said, true = bins[:, bins[0] >= max(FEW_SHARE * bins[0].sum(), 1e-300)]
        ax.plot([0, 1], [0, 1], color=INK, lw=1, ls=":")
        ax.plot(said, true, color=BLUE, lw=1.2)
        ax.scatter(said, true, s=12 + 220 * total / bins[0].sum(), color=BLUE, zorder=3)
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel=xlabel, ylabel=ylabel)

    return draw


def roc(rates: np.ndarray) -> Callable[[Any], None]:
    """Return the drawing of a ROC curve (2, n): false and true positive rates."""

    def draw(ax: Any) -> None:
        ax.plot([0, 1], [0, 1], color=INK, lw=1, ls=":")
        ax.plot(*rates, color=BLUE, lw=2)
        ax.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="false positive rate", ylabel="true positive rate")

    return draw


def predictions(points: np.ndarray) -> Callable[[Any], None]:
    """Return the drawing of predictions against targets (2, n): targets, predictions."""

    def draw(ax: Any) -> None:
        true, predicted = points
        ax.scatter(predicted, true, s=9, color=BLUE, alpha=0.45, linewidths=0)
        ends = [points.min(), points.max()]
        ax.plot(ends, ends, color=INK, lw=1, ls=":")
        ax.set(xlabel="predicted", ylabel="true")

    return draw


def residuals(counts: np.ndarray, edges: np.ndarray) -> Callable[[Any], None]:
    """Return the drawing of a histogram of residuals, as shares of the rows in percent."""

    def draw(ax: Any) -> None:
        ax.bar(edges[:-1], 100 * counts / counts.sum(), np.diff(edges), align="edge", color=BLUE, lw=0)
        ax.axvline(0, color=INK, lw=1, ls=":")
        ax.set(xlabel="true value - prediction", ylabel="rows in %")

    return draw


def coverage(levels: np.ndarray) -> Callable[[Any], None]:
    """Return the drawing of the share of targets inside of intervals (2, n): asked for, measured."""

    def draw(ax: Any) -> None:
        ax.plot([50, 100], [50, 100], color=INK, lw=1, ls=":")
        ax.plot(*(100 * levels), "o-", color=BLUE, lw=1.5, ms=5)
        ax.set(xlim=(48, 101), ylim=(min(48, 100 * levels[1].min() - 2), 101))
        ax.set(xlabel="level of the interval in %", ylabel="targets inside in %")

    return draw


def importances(names: list[str], mean: np.ndarray, std: np.ndarray, metric: str) -> Callable[[Any], None]:
    """Return the drawing of importances, the largest on top."""

    def draw(ax: Any) -> None:
        shown = [name if len(name) <= 28 else name[:25] + "..." for name in names]
        ax.barh(range(len(names)), mean, color=BLUE, height=0.7, lw=0)
        ax.errorbar(mean, range(len(names)), xerr=std, fmt="none", ecolor=INK, elinewidth=1)
        ax.set_yticks(range(len(names)), shown, parse_math=False)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set(xlabel=metric)

    return draw
