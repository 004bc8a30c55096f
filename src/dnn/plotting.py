"""Pictures, with matplotlib (``dnn[plot]``). Legible in print, for the colour-blind, and 400 pixels wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .history import History
from .rate_finder import RateCurve

# Two of the colors of Okabe and Ito, told apart by everyone; in gray one is darker.
BLUE, VERMILION = "#0072B2", "#D55E00"


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(layout="constrained")[1]


def learning_curve(history: History, ax: Any = None) -> Any:
    """Draw loss and val_loss against epochs and return the axes.

    The scale is logarithmic where the losses span more than a factor of ten. A dot marks the epoch whose
    weights were kept.

    Parameters
    ----------
    history : History
        From `Network.fit`.
    ax : matplotlib Axes, default None
        Where to draw; None: in a new figure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from dnn import Network
    >>> history = Network([1, 1]).fit([[0.0], [1.0]], [1.0, 3.0], epochs=5)
    >>> learning_curve(history, Figure().subplots()).get_xlabel()
    'epoch'
    """
    ax = _axes(ax)
    curves = [("loss", history.loss, BLUE, "-")]
    if history.val_loss:
        curves.append(("val_loss", history.val_loss, VERMILION, "--"))
    # The name of the curve that ends higher stands above its end, the other below: they never meet.
    curves.sort(key=lambda curve: curve[1][-1], reverse=True)
    for place, (name, values, color, dashes) in zip(("bottom", "top"), curves, strict=False):
        epochs = np.arange(1, len(values) + 1)
        ax.plot(epochs, values, color=color, linestyle=dashes, linewidth=2, label=name)
        ax.annotate(
            name,
            (epochs[-1], values[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            ha="left",
            va=place,
            color=color,
            fontsize=13,
        )
    if history.best_epoch is not None:
        kept = history.best_epoch + 1, history.val_loss[history.best_epoch]
        ax.plot(*kept, "o", color=VERMILION, markersize=8)
        ax.annotate(
            "kept",
            kept,
            (0, -8),
            textcoords="offset points",
            ha="center",
            va="top",
            color=VERMILION,
            fontsize=13,
        )
    every = np.concatenate([values for _, values, _, _ in curves])
    if every.min() > 0 and every.max() > 10 * every.min():
        ax.set_yscale("log")
    ax.margins(y=0.1)
    ax.set_xlabel("epoch", fontsize=13)
    ax.set_title(history.loss_name, fontsize=13)
    ax.tick_params(labelsize=12)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def rate_curve(curve: RateCurve, ax: Any = None) -> Any:
    """Draw the loss against the rate and return the axes; a dot marks the rate to train with.

    The scale of the rates is logarithmic. What rises above the first loss by more than the fall is cut off.

    Parameters
    ----------
    curve : RateCurve
        From `find_rate`.
    ax : matplotlib Axes, default None
        Where to draw; None: in a new figure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from dnn import Network, find_rate
    >>> curve = find_rate(Network([1, 1], random_state=0), [[0.0], [1.0]], [1.0, 3.0])
    >>> rate_curve(curve, Figure().subplots()).get_xscale()
    'log'
    """
    ax = _axes(ax)
    ax.plot(curve.rates, curve.losses, color=BLUE, linewidth=2)
    ax.set_xscale("log")
    low, first = curve.losses.min(), curve.losses[0]
    fall = first - low or 1.0
    ax.set_ylim(low - 0.15 * fall, min(curve.losses.max(), first + fall) + 0.15 * fall)
    # The rate may lie between two steps, or before the first
    place = curve.rate, np.interp(np.log(curve.rate), np.log(curve.rates), curve.losses)
    ax.plot(*place, "o", color=VERMILION, markersize=8)
    ax.annotate(
        f"{curve.rate:.2g}",
        place,
        xytext=(-8, -6),
        textcoords="offset points",
        ha="right",
        va="top",
        color=VERMILION,
        fontsize=13,
    )
    ax.set_xlabel("rate", fontsize=13)
    ax.set_title("loss", fontsize=13)
    ax.tick_params(labelsize=12)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def digits(
    images: np.ndarray,
    predictions: Sequence[int] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    ax: Any = None,
) -> Any:
    """Draw pictures of digits in rows of five, below each what it was taken for, and return the axes.

    Wrong ones stand in a frame, and it is said what they are.

    Parameters
    ----------
    images : ndarray (n, height, width)
        0 is white, the highest value black.
    predictions, labels : array_like of int (n,)
        What they were taken for, and what they are.
    ax : matplotlib Axes, default None
        Where to draw; None: in a new figure.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> ax = digits(np.eye(8)[None], [1], [7], Figure().subplots())
    >>> [text.get_text() for text in ax.texts]
    ['1, is 7']
    """
    from matplotlib.patches import Rectangle

    ax = _axes(ax)
    columns = 5
    width, height = 1.25, 1.55  # of a cell; the picture is 1 x 1
    for place, (image, prediction, label) in enumerate(zip(images, predictions, labels, strict=True)):
        row, column = divmod(place, columns)
        x, y = column * width, row * height
        ax.imshow(image, cmap="gray_r", vmin=0, extent=(x, x + 1, y + 1, y))
        wrong = prediction != label
        if wrong:
            ax.add_patch(
                Rectangle((x, y), 1, 1, fill=False, edgecolor=VERMILION, linewidth=2.5, clip_on=False)
            )
        ax.text(
            x + 0.5,
            y + 1.08,
            f"{prediction}, is {label}" if wrong else f"{prediction}",
            ha="center",
            va="top",
            fontsize=12,
            color=VERMILION if wrong else "black",
            fontweight="bold" if wrong else "normal",
        )
    rows = -(-len(images) // columns)
    ax.set_xlim(-0.05, columns * width - 0.2)
    ax.set_ylim(rows * height, -0.05)
    ax.set_axis_off()
    return ax
