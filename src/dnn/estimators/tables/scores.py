"""The scores of a table estimator, and what it keeps of its training for a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

from ...training.history import History

CLASSIFICATION = ("log_loss", "accuracy", "balanced_accuracy", "roc_auc")
REGRESSION = ("rmse", "mae")
GROWS = frozenset({"accuracy", "balanced_accuracy", "roc_auc", "r2"})  # high figures are good
CLASSES_SHOWN = 30  # of a confusion matrix; the rarest classes of more share its last row and column
CONFIDENCE_BINS = 15
POINTS = 1000  # of predictions against targets
CURVE_POINTS = 101
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def score_of(metric: str, y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
    """Return a figure of predictions.

    Parameters
    ----------
    metric : str
        One of CLASSIFICATION, REGRESSION, or "r2".
    y : ndarray (n,)
        Classes 0 .. K - 1, or numbers.
    predicted : ndarray (n, K) or (n,)
        Probabilities, or numbers.
    weights : ndarray (n,) or None

    Examples
    --------
    >>> score_of("mae", np.array([1.0, 2.0]), np.array([1.0, 4.0]), None)
    1.0
    >>> score_of("accuracy", np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]), None)
    0.5
    """
    match metric:
        case "log_loss":
            return float(log_loss(y, predicted, sample_weight=weights, labels=range(predicted.shape[1])))
        case "accuracy":
            return float(accuracy_score(y, predicted.argmax(axis=1), sample_weight=weights))
        case "balanced_accuracy":
            return float(balanced_accuracy_score(y, predicted.argmax(axis=1), sample_weight=weights))
        case "roc_auc":
            if predicted.shape[1] == 2:
                return float(roc_auc_score(y, predicted[:, 1], sample_weight=weights))
            labels = range(predicted.shape[1])
            return float(
                roc_auc_score(y, predicted, sample_weight=weights, multi_class="ovr", labels=list(labels))
            )
        case "mae":
            return float(np.average(np.abs(predicted - y), weights=weights))
    squares = float(np.average(np.square(predicted - y), weights=weights))
    if metric == "rmse":
        return float(np.sqrt(squares))
    variance = float(np.average(np.square(y - np.average(y, weights=weights)), weights=weights))
    return 1 - squares / variance if variance else float("nan")


def training_summary(histories: Sequence[History], n_rows: int, seconds: float) -> dict[str, Any]:
    """Return what a report says about the training: plain numbers, texts and arrays.

    Examples
    --------
    >>> summary = training_summary([History("log_loss", loss=[2.0], val_loss=[3.0])], 9, 0.5)
    >>> summary["n_rows"], summary["val_loss"].tolist(), summary["stopped_by"]
    (9, [[3.0]], [''])
    """
    from ... import __version__

    return {
        "version": __version__,
        "fitted_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": round(seconds, 1),
        "n_rows": n_rows,
        "loss_name": histories[0].loss_name,
        "loss": _padded([history.loss for history in histories]),
        "val_loss": _padded([history.val_loss for history in histories]),
        "best_epoch": np.array([-1 if h.best_epoch is None else h.best_epoch for h in histories]),
        "stopped_by": [history.stopped_by for history in histories],
    }


def _padded(curves: list[list[float]]) -> np.ndarray:
    """Return curves of different lengths as one array (n_curves, longest), NaN behind their ends."""
    found = np.full((len(curves), max(map(len, curves))), np.nan)
    for row, curve in zip(found, curves, strict=True):
        row[: len(curve)] = curve
    return found


def classification_summary(
    y: np.ndarray, p: np.ndarray, weights: np.ndarray | None, classes: np.ndarray
) -> dict[str, Any]:
    """Return scores, calibration, confusion and, for two classes, the ROC curve.

    Parameters
    ----------
    y : ndarray (n,)
        Classes 0 .. K - 1.
    p : ndarray (n, K)
        Probabilities by members that have not seen the row.
    weights : ndarray (n,) or None
    classes : ndarray (K,)

    Examples
    --------
    >>> y, p = np.array([0, 1, 1, 0]), np.array([[0.8, 0.2], [0.1, 0.9], [0.6, 0.4], [0.7, 0.3]])
    >>> found = classification_summary(y, p, None, np.array(["no", "yes"]))
    >>> found["confusion"].tolist(), found["confusion_labels"], found["scores"]["roc_auc"]
    ([[2.0, 0.0], [1.0, 1.0]], ['no', 'yes'], 1.0)
    """
    w = np.ones(len(y)) if weights is None else weights
    n_classes = p.shape[1]
    sizes = np.bincount(y, weights=w, minlength=n_classes)
    present = np.count_nonzero(sizes) == n_classes
    names = [name for name in CLASSIFICATION if present or name in ("log_loss", "accuracy")]
    constant = np.broadcast_to(np.maximum(sizes, 1e-9) / np.maximum(sizes, 1e-9).sum(), p.shape)
    binary = n_classes == 2
    confidence = p[:, 1] if binary else p.max(axis=1)
    hit = (y == 1) if binary else (y == p.argmax(axis=1))
    place = np.minimum((confidence * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)
    total, said, true = (
        np.bincount(place, weights=w * each, minlength=CONFIDENCE_BINS) for each in (1.0, confidence, hit)
    )
    shown = np.sort(np.argsort(-sizes, kind="stable")[:CLASSES_SHOWN])
    code = np.full(n_classes, len(shown))
    code[shown] = np.arange(len(shown))
    k = len(shown) + (n_classes > len(shown))
    pairs = code[y] * k + code[p.argmax(axis=1)]
    labels = [str(label) for label in classes[shown].tolist()]
    if k > len(shown):
        labels.append(f"{n_classes - len(shown)} others")
    found: dict[str, Any] = {
        "scores": {name: score_of(name, y, p, weights) for name in names},
        "constant_scores": {name: score_of(name, y, constant, weights) for name in names},
        "calibration_error": float(np.abs(said - true).sum() / w.sum()),
        "calibration": np.stack([total, _ratio(said, total), _ratio(true, total)]),
        "confusion": np.bincount(pairs, weights=w, minlength=k * k).reshape(k, k),
        "confusion_labels": labels,
        "class_weights": sizes,
    }
    if binary and present:
        order = np.argsort(-p[:, 1], kind="stable")
        ends = np.r_[np.flatnonzero(np.diff(p[order, 1])), len(y) - 1]  # equal probabilities come together
        rates = np.stack([np.cumsum(w[order] * (y[order] == label))[ends] for label in (0, 1)])
        rates = np.concatenate([np.zeros((2, 1)), rates / rates[:, -1:]], axis=1)
        # Of the corners of the curve so many as can be told apart: even steps along its length
        length = np.r_[0, np.cumsum(np.abs(np.diff(rates)).sum(axis=0))]
        grid = np.linspace(0, length[-1], CURVE_POINTS)
        found["roc"] = np.stack([np.interp(grid, length, rate) for rate in rates])
    return found


def _ratio(part: np.ndarray, total: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.divide(part, total, out=np.full(len(total), np.nan), where=total > 0)
    return found


def regression_summary(
    y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None, metric: str
) -> dict[str, Any]:
    """Return scores, points of predictions against targets, residuals, and the coverage of intervals.

    The coverage is that of intervals made from one half of the rows, on the other half.

    Parameters
    ----------
    y, predicted : ndarray (n,)
        Predicted by members that have not seen the row.
    weights : ndarray (n,) or None
    metric : str
        Scores are compared with those of its best constant prediction: the mean for "rmse", the median for
        "mae".

    Examples
    --------
    >>> y = np.linspace(0, 1, 99)
    >>> found = regression_summary(y, y + 0.25, None, "rmse")
    >>> found["scores"]["mae"], found["coverage"].shape, found["points"].shape
    (0.25, (2, 7), (2, 99))
    """
    names = (*REGRESSION, "r2")
    constant = np.full(len(y), np.median(y) if metric == "mae" else np.average(y, weights=weights))
    residual = y - predicted
    distance = np.abs(residual)
    covered = np.zeros((2, len(LEVELS)))
    for half in (0, 1):
        inside, outside = distance[half::2], distance[1 - half :: 2]
        if len(inside) and len(outside):
            places = np.minimum(np.ceil(np.array(LEVELS) * (len(inside) + 1)), len(inside)).astype(int) - 1
            covered[1] += (outside[:, None] <= np.sort(inside)[places]).mean(axis=0) / 2
    covered[0] = LEVELS
    some = np.unique(np.linspace(0, len(y) - 1, min(POINTS, len(y))).astype(int))
    some = np.argsort(y, kind="stable")[some]  # evenly along the sorted targets, so that both ends are seen
    limit = max(float(np.quantile(distance, 0.99)), 1e-9 * float(np.abs(y).max()), 1e-300)
    counts, edges = np.histogram(np.clip(residual, -limit, limit), 41, (-limit, limit), weights=weights)
    return {
        "scores": {name: score_of(name, y, predicted, weights) for name in names},
        "constant_scores": {name: score_of(name, y, constant, weights) for name in names},
        "points": np.stack([y[some], predicted[some]]),
        "residual_counts": counts.astype(np.float64),
        "residual_edges": edges,
        "coverage": covered,
        "target_range": np.array([y.min(), y.max()]),
    }
