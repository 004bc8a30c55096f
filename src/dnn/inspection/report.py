"""A report of a table estimator: one HTML file, which needs no other file and no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import need
from . import report_figures as figures

MOST_BARS = 20  # of importances
MOST_COLUMNS = 200  # of the table that are listed
WORDS = {
    "log_loss": "log loss",
    "accuracy": "accuracy, the share of right predictions",
    "balanced_accuracy": "balanced accuracy, the mean share of right predictions of each class",
    "roc_auc": "area under the ROC curve",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "r2": "R\u00b2, the explained share of the variance",
    "squared_error": "squared error / 2, of the standardized target",
    "absolute_error": "absolute error of the standardized target",
}
LOW = {"log_loss", "rmse", "mae"}
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title><style>
:root {{ --ink: #1c1f23; --paper: #fff; --line: #d0d4d9; --blue: #0072b2; --red: #c04f00; }}
@media (prefers-color-scheme: dark) {{
:root {{ --ink: #e4e6e9; --paper: #16181b; --line: #43484f; --blue: #56b4e9; --red: #f08c3c; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
margin: 0 auto; padding: 1.5rem; }}
h1 {{ font-size: 1.6rem; margin: 0 0 .5rem; }} h2 {{ font-size: 1.2rem; margin: 2rem 0 .5rem; }}
table {{ border-collapse: collapse; font-size: .9rem; }} .wide {{ overflow-x: auto; }}
th, td {{ text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line);
vertical-align: top; }}
td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
figure {{ margin: 1rem 0; }} figure svg {{ width: 100%; height: auto; color: var(--ink); }}
figcaption, .note {{ font-size: .95rem; max-width: 46rem; }} .wide + figcaption {{ margin-top: .5rem; }}
svg text {{ font-family: system-ui, sans-serif !important; }}
.matrix td, .matrix th {{ padding: .2rem .3rem; text-align: center; border: 1px solid var(--line);
font-size: {small}rem; min-width: 1.1rem; }}
.matrix th {{ font-weight: 600; max-width: 9rem; overflow-wrap: anywhere; }}
</style></head><body>
{body}
</body></html>
"""


def write_report(est: Any, path: Path, X: Any, y: Any) -> None:
    """Write the report of a fitted table estimator; see `TableClassifier.report`."""
    if (X is None) != (y is None):
        raise ValueError(f"X and y must be given both or not at all, got only {'X' if y is None else 'y'}")
    need("matplotlib", "a report", "plot")
    importance = None if X is None else est.feature_importance(X, y, random_state=0)
    body = "\n".join(section for section in sections(est, importance) if section)
    small = 0.85 if len(est.summary_.get("confusion", ())) <= 12 else 0.65
    page = PAGE.format(title=f"Report of a {type(est).__name__}", small=small, body=body)

    path.write_text(page, encoding="utf-8")


def sections(est: Any, importance: Any) -> Iterable[str]:
    """Return the sections of a report in their order."""
    summary = est.summary_
    yield _head(est, summary)
    yield _scores(est, summary)
    yield _learning(est, summary)
    if "confusion" in summary:
        yield _calibration(est, summary)
        yield _confusion(summary)
        yield _roc(est, summary)
    else:
        yield _regression(summary)
    if importance is not None:
        yield _importance(importance)
    yield _data(est)
    yield _parameters(est)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], numeric: Iterable[int] = ()) -> str:
    """Return an HTML table; the columns in `numeric` are aligned to the right.

    Examples
    --------
    >>> table(["a"], [["<b>"]])
    '<div class="wide"><table><tr><th>a</th></tr><tr><td>&lt;b&gt;</td></tr></table></div>'
    """
    right = set(numeric)

    def line(cells: Sequence[Any], tag: str) -> str:
        marks = (' class="n"' if at in right else "" for at in range(len(cells)))
        filled = (f"<{tag}{mark}>{escape(str(c))}</{tag}>" for c, mark in zip(cells, marks, strict=True))
        return f"<tr>{''.join(filled)}</tr>"

    lines = ([line(head, "th")] if head else []) + [line(row, "td") for row in rows]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def figure(draw: Any, title: str, caption: str, size: tuple[float, float] = (5.6, 3.6)) -> str:
    """Return a drawing with its caption."""
    svg = figures.svg_of(draw, title, size)
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def number(value: float) -> str:
    """Return a figure of four digits.

    Examples
    --------
    >>> number(0.123456), number(1234567.0), number(12.0)
    ('0.1235', '1,234,567', '12')
    """
    return f"{value:,.0f}" if abs(value) >= 10000 else f"{value:.4g}"


def short(metric: str) -> str:
    """Return the name of a metric in a few words.

    Examples
    --------
    >>> short("r2"), short("mae")
    ('R\u00b2', 'mean absolute error')
    """
    return WORDS[metric].partition(",")[0]


def _head(est: Any, summary: dict[str, Any]) -> str:
    net = est.members_[0]
    sizes = "-".join(str(size) for size in (net.n_inputs, *(layer.units for layer in net.layers)))
    rows = [
        ("trained", f"{summary['fitted_at']}, in {summary['seconds']:.1f} s, by dnn {summary['version']}"),
        ("rows", f"{summary['n_rows']:,}"),
        ("columns", f"{est.n_features_in_}, encoded as {est.encoder_.n_features_out_:,} inputs"),
        ("model", f"the average of {len(est.members_)} networks {sizes}"),
    ]
    if hasattr(est, "classes_"):
        names = [str(label) for label in est.classes_[:6].tolist()]
        more = f", and {len(est.classes_) - 6} more" if len(est.classes_) > 6 else ""
        rows.append(("classes", f"{len(est.classes_)}: {', '.join(names)}{more}"))
    else:
        low, high = summary["target_range"]
        rows.append(("target", f"{number(low)} .. {number(high)}"))
    return f"<h1>Report of a {type(est).__name__}</h1>{table([], rows)}"


def _scores(est: Any, summary: dict[str, Any]) -> str:
    constant = summary["constant_scores"]
    rows = []
    for name, value in summary["scores"].items():
        rows.append((WORDS[name], "low" if name in LOW else "high", number(value), number(constant[name])))
    metric = est._metric()
    note = (
        f"Every row was predicted by networks that were not trained on it; the {short(metric)} is the "
        "validation score. It chose the best epoch of each network, so that new rows may be predicted "
        "slightly worse, and by all networks together slightly better."
    )
    head = ["score", "good if", "this model", "a constant prediction"]
    return f'<h2>Scores</h2>{table(head, rows, (2, 3))}<p class="note">{escape(note)}</p>'


def _learning(est: Any, summary: dict[str, Any]) -> str:
    best, loss, val = summary["best_epoch"], summary["loss"], summary["val_loss"]
    name = WORDS.get(summary["loss_name"], summary["loss_name"])
    known = best[best >= 0] + 1
    caption = "Each network has one line for the rows it was trained on and one for the rows it was not. "
    if len(known):
        caption += f"A dot marks the epoch whose weights were kept: {known.min()} to {known.max()}. "
    caption += "Training lines that fall while validation lines rise show rows that are learned by heart."
    if est.dropout:
        caption += " Training losses include dropout, so that they may be higher."
    metric = est._metric()
    if metric == est.METRICS[0]:  # the validation loss chose the epochs
        draw = figures.learning_curves(loss, val, best, name)
        return "<h2>Learning curves</h2>" + figure(draw, "Loss of each network by epoch", caption)
    draw = figures.learning_curves(loss, None, best, name)
    first = figure(draw, "Training loss of each network by epoch", caption)
    draw = figures.learning_curves(None, np.abs(val), best, short(metric))
    second = figure(draw, "Validation score of each network by epoch", f"The {short(metric)} of those rows.")
    return f"<h2>Learning curves</h2>{first}{second}"


def _calibration(est: Any, summary: dict[str, Any]) -> str:
    error = 100 * summary["calibration_error"]
    if len(est.classes_) == 2:
        label = str(est.classes_[1])
        axes = f"predicted probability of {label}", f"true share of {label}"
        sense = f"Among rows with a predicted probability of 70 % for {label}, 70 % should be {label}"
    else:
        axes = "probability of the predicted class", "share of right predictions"
        sense = "Among rows whose predicted class has a probability of 70 %, 70 % should be predicted right"
    caption = (
        f"{sense}: points on the dotted line are calibrated, and larger ones stand for more rows. "
        f"The expected calibration error, the mean distance from the line, is {error:.2g} percentage points."
    )
    draw = figures.calibration(summary["calibration"], *axes)
    return "<h2>Calibration</h2>" + figure(draw, "Predicted and true shares", caption, (4.6, 4.2))


def _confusion(summary: dict[str, Any]) -> str:
    counts, labels = summary["confusion"], summary["confusion_labels"]
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    few = len(labels) <= 12
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    lines = [f"<tr><th>true \\ predicted</th>{head}</tr>"]
    for row, (label, line) in enumerate(zip(labels, shares, strict=True)):
        cells = []
        for column, share in enumerate(line):
            text = f"{share:.1f}" if few else f"{share:.0f}" if share >= 0.5 else ""
            color = "--blue" if row == column else "--red"
            tint = 0.6 * share if row == column else min(60.0, 2 * share)
            style = (
                f"background:color-mix(in srgb,var({color}) {tint:.0f}%,transparent)" if tint >= 0.5 else ""
            )
            cells.append(f'<td style="{style}">{text}</td>' if style else f"<td>{text}</td>")
        lines.append(f'<tr><th scope="row">{escape(label)}</th>{"".join(cells)}</tr>')
    wrong = counts - np.diag(np.diag(counts))
    pairs = [divmod(int(at), len(labels)) for at in np.argsort(-wrong, axis=None)[:3]]
    listed = "; ".join(
        f"{labels[i]} as {labels[j]} ({shares[i, j]:.1f} %)" for i, j in pairs if wrong[i, j] > 0 and i != j
    )
    caption = "Each row shows, in percent, how the rows of one class were predicted; blue cells are right."
    if listed:
        caption += f" The most frequent mistakes: {listed}."
    grid = f'<div class="wide"><table class="matrix">{"".join(lines)}</table></div>'
    return f"<h2>Confusion matrix</h2><figure>{grid}<figcaption>{escape(caption)}</figcaption></figure>"


def _roc(est: Any, summary: dict[str, Any]) -> str:
    if "roc" not in summary:
        return ""
    label = str(est.classes_[1])
    area = summary["scores"]["roc_auc"]
    caption = (
        f"For each threshold of the probability of {label}, how many rows of {label} are found (up) and "
        f"how many others are taken for them (right). The area below the curve, {area:.3f}, is how often a "
        f"row of {label} gets a higher probability than one of the other class; the dotted line is chance."
    )
    return "<h2>ROC curve</h2>" + figure(figures.roc(summary["roc"]), "ROC curve", caption, (4.6, 4.2))


def _regression(summary: dict[str, Any]) -> str:
    counts, edges = summary["residual_counts"], summary["residual_edges"]
    n = summary["points"].shape[1]
    levels = summary["coverage"]
    at = int(np.flatnonzero(levels[0] == 0.9)[0])
    return "".join(
        [
            "<h2>Predicted and true values</h2>",
            figure(
                figures.predictions(summary["points"]),
                "True values against predicted values",
                f"Each of {n} points is a row, chosen evenly among small and large targets; a perfect "
                "prediction lies on the dotted line.",
                (4.8, 4.4),
            ),
            "<h2>Residuals</h2>",
            figure(
                figures.residuals(counts, edges),
                "Histogram of residuals",
                "How far predictions are off: rows on the right were predicted too low. The 1 % of the rows "
                "that are farthest off stand in the outermost bars.",
            ),
            "<h2>Intervals</h2>",
            figure(
                figures.coverage(levels),
                "Coverage of prediction intervals",
                "How many targets lie in the intervals of predict_interval, which were made from one half of "
                "the rows and measured on the other half: those of 90 % hold "
                f"{100 * levels[1, at]:.1f} % of the targets. All intervals of a level have the same width: "
                "they may be too wide for some rows and too narrow for others.",
                (4.6, 3.8),
            ),
        ]
    )


def _importance(importance: Any) -> str:
    n = min(MOST_BARS, len(importance.names))
    draw = figures.importances(
        importance.names[:n],
        importance.mean[:n],
        importance.std[:n],
        f"by how much the {short(importance.metric)} gets worse",
    )
    caption = (
        f"By how much the {short(importance.metric)} of the given rows, {number(importance.baseline)}, gets "
        "worse if the cells of a column are shuffled among the rows; lines are the standard deviation of the "
        "repeats. Of columns that say the same, each may look unimportant."
    )
    left = len(importance.names) - n
    caption += f" The other {left} columns matter less." if left else ""
    size = 5.6, 0.9 + 0.24 * n
    return "<h2>Importance of the columns</h2>" + figure(draw, "Importance of the columns", caption, size)


def _data(est: Any) -> str:
    rows = est.encoder_.description()
    head = ["column", "kind", "missing", "range or levels", "inputs", "remark"]
    more = (
        f"<p>The other {len(rows) - MOST_COLUMNS} columns are not listed.</p>"
        if len(rows) > MOST_COLUMNS
        else ""
    )
    return f"<h2>Data</h2>{table(head, rows[:MOST_COLUMNS], (2, 4))}{more}"


def _parameters(est: Any) -> str:
    defaults = type(est)().get_params()
    rows = [
        (name, repr(value), "" if repr(value) == repr(defaults[name]) else f"default: {defaults[name]!r}")
        for name, value in est.get_params().items()
    ]
    return f"<h2>Parameters</h2>{table(['parameter', 'value', ''], rows)}"
