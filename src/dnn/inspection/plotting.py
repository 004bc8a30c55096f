"""Plots with matplotlib (``dnn-core[plot]``), also legible in print, without color, and 400 pixels wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._optional import need
from ..training.history import History
from .rate_finder import RateCurve

# Two of the colors of Okabe and Ito, safe for color-blind readers; in gray one is darker.
BLUE, VERMILION = "#0072B2", "#D55E00"
# All of them, for classes; each class also has a different marker.
COLORS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
MARKERS = "o^sDvPX*"


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    return need("matplotlib.pyplot", "a plot", "plot").subplots(layout="constrained")[1]


def learning_curve(history: History, ax: Any = None) -> Any:
    """Draw loss and val_loss against epochs and return the axes.

    The scale is logarithmic if the losses span more than a factor of ten. A dot marks the epoch whose weights
    were kept.

    Parameters
    ----------
    history : History
        From `Network.fit`.
    ax : matplotlib Axes, default None
        The axes to draw on; None: a new figure.

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
    # The name of the curve that ends higher stands above its end, the other one below, so that they do not
    # overlap.
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

    The scale of the rates is logarithmic. The plot is cut off above the first loss plus the fall of the loss.

    Parameters
    ----------
    curve : RateCurve
        From `find_rate`.
    ax : matplotlib Axes, default None
        The axes to draw on; None: a new figure.

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
    """Draw pictures of digits in rows of five, each with its prediction below, and return the axes.

    Misclassified pictures have a frame and also their true label.

    Parameters
    ----------
    images : ndarray (n, height, width)
        0 is white, the highest value black.
    predictions, labels : array_like of int (n,)
        The predicted and the true digits.
    ax : matplotlib Axes, default None
        The axes to draw on; None: a new figure.

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


def boundary(net: Any, X: Any, y: Any, ax: Any = None, *, resolution: int = 200) -> Any:
    """Draw the decision regions of a classifier of two features, and return the axes.

    Each region has the color of its class, paler where the network is less certain. The examples have the
    full color.

    Parameters
    ----------
    net : Network or callable
        Called with rows (M, 2), returns probabilities (M, 1) of class 1, or (M, O) of O classes. Objects with
        ``predict_proba``, such as scikit-learn's classifiers, are accepted too.
    X : array_like (N, 2)
    y : array_like of int (N,)
        Classes from 0, at most eight.
    ax : matplotlib Axes, default None
        The axes to draw on; None: a new figure.
    resolution : int, default 200
        Number of points per side.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from dnn import Network
    >>> net = Network([2, 3, 1], output="sigmoid", random_state=0)
    >>> ax = boundary(net, [[0, 0], [1, 1]], [0, 1], Figure().subplots())
    >>> len(ax.images), len(ax.collections) >= 2
    (1, True)
    """
    ax = _axes(ax)
    X, y = np.asarray(X, np.float64), np.asarray(y).ravel().astype(int)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X must have shape (n_samples, 2), got {X.shape}")
    margin = 0.08 * (X.max(axis=0) - X.min(axis=0)) + 1e-9
    (left, bottom), (right, top) = X.min(axis=0) - margin, X.max(axis=0) + margin
    across, up = np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)
    points = np.stack([each.ravel() for each in np.meshgrid(across, up)], axis=1)
    proba = np.asarray(net.predict_proba(points) if hasattr(net, "predict_proba") else net(points))
    if proba.ndim == 1 or proba.shape[1] == 1:
        proba = np.stack([1 - proba.ravel(), proba.ravel()], axis=1)
    colors = np.array([_rgb(color) for color in COLORS])[: proba.shape[1]]
    sure = (proba.max(axis=1) - 1 / proba.shape[1]) / (1 - 1 / proba.shape[1])
    tint = (0.12 + 0.38 * sure)[:, None]
    picture = (1 - tint) + tint * colors[proba.argmax(axis=1)]
    ax.imshow(
        picture.reshape(resolution, resolution, 3), extent=(left, right, bottom, top), origin="lower",
        aspect="auto", interpolation="bilinear",
    )  # fmt: skip
    for k in range(proba.shape[1] - 1):
        edge = (proba[:, k] - np.delete(proba, k, axis=1).max(axis=1)).reshape(resolution, resolution)
        if edge.min() < 0 < edge.max():
            ax.contour(across, up, edge, levels=[0], colors="black", linewidths=1.5)
    for k in np.unique(y):
        of_class = X[y == k]
        ax.scatter(*of_class.T, s=16, color=COLORS[k], marker=MARKERS[k], edgecolor="white", linewidth=0.4)
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def _rgb(color: str) -> tuple[float, float, float]:
    """Return the red, green and blue of ``"#rrggbb"``, from 0 to 1."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def weights(
    net: Any, ax: Any = None, *, layer: int = 0, shape: tuple[int, int] | None = None, columns: int = 8
) -> Any:
    """Draw the weights of a layer and return the axes: orange is negative, white 0, purple positive.

    Parameters
    ----------
    net : Network
    ax : matplotlib Axes, default None
        The axes to draw on; None: a new figure.
    layer : int, default 0
        The layer, counted from 0.
    shape : (height, width), default None
        Draw the weights of each unit as a picture of this shape; None: draw one matrix, with inputs as rows
        and units as columns.
    columns : int, default 8
        Number of pictures per row.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from dnn import Network
    >>> net = Network([64, 10, 3], random_state=0)
    >>> weights(net, Figure().subplots(), shape=(8, 8)).images[0].get_array().shape
    (19, 73)
    """
    ax = _axes(ax)
    W = np.asarray(net.weights[layer], np.float64)
    if shape is not None:
        height, width = shape
        if height * width != len(W):
            raise ValueError(f"shape must have {len(W)} pixels, one for each input, got {shape}")
        n = W.shape[1]
        columns = min(columns, n)
        rows = -(-n // columns)
        # Each unit has its own scale, which shows its pattern and not its strength
        pictures = (W / np.maximum(np.abs(W).max(axis=0), 1e-300)).T.reshape(n, height, width)
        sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
        for unit, picture in enumerate(pictures):
            row, column = divmod(unit, columns)
            y, x = 1 + row * (height + 1), 1 + column * (width + 1)
            sheet[y : y + height, x : x + width] = picture
        ax.set_axis_off()
        W = sheet
    else:
        ax.set_xlabel("unit", fontsize=13)
        ax.set_ylabel("input", fontsize=13)
    largest = np.nanmax(np.abs(W)) or 1.0
    ax.imshow(W, cmap="PuOr", vmin=-largest, vmax=largest, aspect="equal" if shape else "auto")
    return ax


def confusion(y_true: Any, y_pred: Any, ax: Any = None, *, labels: Sequence[Any] | None = None) -> Any:
    """Draw a confusion matrix with counts, and return the axes.

    Parameters
    ----------
    y_true, y_pred : array_like (N,)
        True classes, which are the rows, and predicted classes, which are the columns.
    ax : matplotlib Axes, default None
        The axes to draw on; None: a new figure.
    labels : sequence, default None
        The classes in the order to draw; None: all that occur, sorted.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = confusion([0, 0, 1], [0, 1, 1], Figure().subplots())
    >>> [text.get_text() for text in ax.texts]
    ['1', '1', '', '1']
    """
    ax = _axes(ax)
    y_true, y_pred = np.asarray(y_true).ravel(), np.asarray(y_pred).ravel()
    if y_true.shape != y_pred.shape:
        raise ValueError(f"y_pred must have {len(y_true)} classes, like y_true, got {len(y_pred)}")
    named = list(np.unique(np.concatenate([y_true, y_pred]))) if labels is None else list(labels)
    counts = np.array([[np.sum((y_true == a) & (y_pred == b)) for b in named] for a in named])
    # The diagonal would dominate the rest, so that the errors have their own scale.
    wrong = counts * ~np.eye(len(named), dtype=bool)
    share = wrong / max(wrong.max(), 1)
    blue, orange = np.array(_rgb(BLUE)), np.array(_rgb(VERMILION))
    picture = 1 - 0.75 * share[:, :, None] * (1 - orange)
    on = np.arange(len(named))
    picture[on, on] = 0.75 + 0.25 * blue
    ax.imshow(picture)
    size = 13 if len(named) <= 6 else 11
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            bold = "bold" if i == j else "normal"
            ax.text(
                j, i, str(count) if count else "", ha="center", va="center", fontsize=size, fontweight=bold
            )
    ax.set_xticks(on, [str(label) for label in named], fontsize=12)
    ax.set_yticks(on, [str(label) for label in named], fontsize=12)
    ax.set_xlabel("predicted class", fontsize=13)
    ax.set_ylabel("true class", fontsize=13)
    ax.set_title(f"{np.trace(counts)} of {counts.sum()} correct", fontsize=13)
    return ax


def residuals(y_true: Any, y_pred: Any, ax: Any = None) -> Any:
    """Draw the residuals of a regression against its predictions, and return the axes.

    Parameters
    ----------
    y_true, y_pred : array_like (N,) or (N, 1)
    ax : matplotlib Axes, default None
        The axes to draw on; None: a new figure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> residuals([1.0, 2.0], [[1.5], [2.0]], Figure().subplots()).get_title()
    'root mean square error 0.354'
    """
    ax = _axes(ax)
    y_true, y_pred = np.ravel(y_true).astype(float), np.ravel(y_pred).astype(float)
    if y_true.shape != y_pred.shape:
        raise ValueError(f"y_pred must have {len(y_true)} values, like y_true, got {len(y_pred)}")
    missed = y_true - y_pred
    ax.scatter(y_pred, missed, s=14, color=BLUE, alpha=max(0.15, min(0.8, 300 / len(missed))), linewidth=0)
    ax.axhline(0, color=VERMILION, linewidth=2)
    ax.set_xlabel("predicted", fontsize=13)
    ax.set_ylabel("true - predicted", fontsize=13)
    ax.set_title(f"root mean square error {np.sqrt(np.mean(missed**2)):.3g}", fontsize=13)
    ax.tick_params(labelsize=12)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
