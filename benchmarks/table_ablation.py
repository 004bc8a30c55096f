"""What is each part of the table estimators worth, and what does it cost?

Every part is changed alone, and the error is compared with that of the defaults, on rows that neither was
trained on. These are a fifth of the training rows of the first split of `tables.py`, so that no choice was
made on the rows that are tested there; at most 6,000 rows are used. The figures are geometric means over all
sets.

    python benchmarks/table_ablation.py [--folder DATA] [--sets adult,ames] [--results FILE]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from tables import encoded_target, split, table

from dnn import TableClassifier, TableEncoder, TableRegressor
from dnn.estimators.tables import base, encoding
from dnn.estimators.tables import models as estimators

MAX_ROWS = 6000


def patched(*patches: Any) -> Callable[[], Any]:
    """Return a function that changes parts of the estimators for the length of a with statement."""

    @contextmanager
    def change() -> Iterator[None]:
        with ExitStack() as stack:
            for target, name, value in patches:
                stack.enter_context(mock.patch.object(target, name, value))
            yield

    return change


VARIANTS: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {
    "default": ({}, patched()),
    "1 member": ({"n_members": 1}, patched()),
    "4 members": ({"n_members": 4}, patched()),
    "16 members": ({"n_members": 16}, patched()),
    "no bins": ({}, patched((base, "TableEncoder", partial(TableEncoder, piecewise=False)))),
    "no edges at splits": ({}, patched((encoding, "split_edges", lambda known, targets: known[:0]))),
    "12 bins": ({"n_bins": 12}, patched()),
    "48 bins": ({"n_bins": 48}, patched()),
    "rises over bins only": ({}, patched((base, "RACES", ((2**63, 0),)))),
    "epoch by the loss": ({}, patched((TableClassifier, "_epoch_score", base.BaseTable._epoch_score))),
    "no temperature": ({}, patched((estimators, "temperature_of", lambda logits, y, weights: 1.0))),
    "beta2 exchanged": ({}, patched((TableClassifier, "BETA2", 0.95), (TableRegressor, "BETA2", 0.999))),
    "relu": ({"activation": "relu"}, patched()),
    "64-64": ({"hidden_layer_sizes": (64, 64)}, patched()),
    "256-256": ({"hidden_layer_sizes": (256, 256)}, patched()),
    "128-128-128": ({"hidden_layer_sizes": (128, 128, 128)}, patched()),
    "no dropout": ({"dropout": 0.0}, patched()),
    "dropout 0.2": ({"dropout": 0.2}, patched()),
    "weight decay 0.1": ({"weight_decay": 0.1}, patched()),
    "rate 0.004": ({"learning_rate_init": 0.004}, patched()),
    "rate 0.016": ({"learning_rate_init": 0.016}, patched()),
    "30 epochs": ({"epochs": 30}, patched()),
    "90 epochs": ({"epochs": 90, "patience": 24}, patched()),
}


def measure(folder: Path, name: str, variant: str) -> dict[str, float]:
    """Return the error of a variant, and the time of the processor in `fit`."""
    frame, target, task = table(folder, name)
    y = encoded_target(target, task)
    rows, _ = split(len(y), 0, MAX_ROWS)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    train, test = rows[: int(0.8 * len(rows))], rows[int(0.8 * len(rows)) :]
    options, change = VARIANTS[variant]
    kind = TableRegressor if task == "regression" else TableClassifier
    with change():
        begin = time.process_time()
        est = kind(random_state=0, n_threads=2, **options).fit(
            frame.iloc[train].reset_index(drop=True), y[train]
        )
        cpu = time.process_time() - begin
        rest = frame.iloc[test].reset_index(drop=True)
        if task == "regression":
            return {"error": float(np.sqrt(np.mean((est.predict(rest) - y[test]) ** 2))), "cpu": cpu}
        p = est.predict_proba(rest)
        place = np.searchsorted(est.classes_, y[test])
        return {"error": float(-np.log(np.clip(p[np.arange(len(test)), place], 1e-7, 1)).mean()), "cpu": cpu}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "../shared/data/tables")
    parser.add_argument("--sets", default="all")
    parser.add_argument("--results", type=Path, default=Path("build/table_ablation.json"))
    given = parser.parse_args()
    about = json.loads((given.folder / "sets.json").read_text())
    names = list(about) if given.sets == "all" else given.sets.split(",")
    results = json.loads(given.results.read_text()) if given.results.exists() else {}
    for name in names:
        for variant in VARIANTS:
            key = f"{name}/{variant}"
            if key not in results:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    results[key] = measure(given.folder, name, variant)
                given.results.parent.mkdir(parents=True, exist_ok=True)
                given.results.write_text(json.dumps(results, indent=1))
    print(f"{'part':24}{'error':>8}{'worse':>8}{'without the extremes':>22}{'time':>8}")
    for variant in VARIANTS:
        ratios = [
            results[f"{name}/{variant}"]["error"] / results[f"{name}/default"]["error"] for name in names
        ]
        logs = np.sort(np.log(ratios))
        cpu = [sum(results[f"{name}/{v}"]["cpu"] for name in names) for v in (variant, "default")]
        inner = np.exp(logs[1:-1].mean()) if len(logs) > 2 else np.nan
        print(
            f"{variant:24}{np.exp(logs.mean()):8.3f}{sum(r > 1 for r in ratios):5} / {len(names)}"
            f"{inner:16.3f}{cpu[0] / cpu[1]:14.2f}"
        )


if __name__ == "__main__":
    main()
