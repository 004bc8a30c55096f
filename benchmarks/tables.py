"""How accurate are the table estimators on raw tables, next to gradient boosting, and what do they cost?

Every model is fitted with its default parameters, one configuration for all sets, on the same rows: a
permutation of each set is split 80/20, and at most 15,000 rows of the first part are trained on. The error is
the log loss, or the RMSE divided by the standard deviation of the target. CatBoost is given text columns as
categories, LightGBM, XGBoost and scikit-learn's HistGradientBoosting as pandas' categorical dtype, as their
documentation advises; dates, which none of them reads, become year, month, day of the week and day number.
TableClassifier and TableRegressor are given the table as pandas reads it. Every model has two threads; the
cost is the processor time of `fit`, because other programs may use the same machine.

    python benchmarks/tables.py [--folder DATA] [--sets adult,ames] [--splits 0,1,2] [--models dnn,catboost]
    [--results FILE]

Results are kept in FILE (JSON), so that a run may be ended and goes on later. Models that are not installed
are left out.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MAX_ROWS = 15_000
PEERS = ("catboost", "lightgbm", "xgboost", "hist_gradient_boosting")


def table(folder: Path, name: str) -> tuple[Any, Any, str]:
    """Return the columns of a set, its target and its task."""
    import pandas as pd

    about = json.loads((folder / "sets.json").read_text())[name]
    frame = pd.read_csv(folder / f"{name}.csv.gz")
    return frame, frame.pop(about["target"]), about["task"]


def split(n: int, seed: int, max_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows to train on and of those to test."""
    order = np.random.default_rng(1000 + seed).permutation(n)
    n_train = int(0.8 * n)
    return order[:n_train][:max_rows], order[n_train:]


def without_dates(frame: Any) -> Any:
    """Return a table whose dates are numbers: year, month, day of the week and day number."""
    import pandas as pd

    frame = frame.copy()
    for name in frame.columns:
        column = frame[name]
        if (
            pd.api.types.is_numeric_dtype(column)
            or not column.astype(str).str.fullmatch(r"\d+/\d+/\d+").all()
        ):
            continue
        first = column.astype(str).str.split("/", expand=True)[0].astype(int)
        date = pd.to_datetime(column, dayfirst=bool(first.max() > 12), format="mixed")
        parts = {"year": date.dt.year, "month": date.dt.month, "weekday": date.dt.weekday}
        parts["day"] = (date - date.min()).dt.days
        frame = frame.drop(columns=name).assign(
            **{f"{name}_{part}": values for part, values in parts.items()}
        )
    return frame


def categorical(frame: Any) -> Any:
    import pandas as pd

    frame = without_dates(frame)
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype("category")
    return frame


def as_text(frame: Any) -> tuple[Any, list[str]]:
    import pandas as pd

    frame = without_dates(frame)
    names = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    for name in names:
        frame[name] = frame[name].astype(object).fillna("missing").astype(str)
    return frame, names


def catboost(task: str, n_threads: int, seed: int) -> tuple[Any, Callable[[Any], Any]]:
    from catboost import CatBoostClassifier, CatBoostRegressor

    class Fitted:
        def fit(self, X: Any, y: Any) -> Any:
            kind = CatBoostRegressor if task == "regression" else CatBoostClassifier
            names = [
                name
                for name in X.columns
                if X[name].dtype == object or str(X[name].dtype) in ("str", "string")
            ]
            model = kind(
                thread_count=n_threads,
                random_seed=seed,
                verbose=False,
                allow_writing_files=False,
                cat_features=names,
            )
            return model.fit(X, y)

    return Fitted(), lambda frame: as_text(frame)[0]


def lightgbm(task: str, n_threads: int, seed: int) -> tuple[Any, Callable[[Any], Any]]:
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMRegressor if task == "regression" else LGBMClassifier
    return kind(n_jobs=n_threads, random_state=seed, verbose=-1), lambda X: plain_names(categorical(X))


def plain_names(frame: Any) -> Any:
    """LightGBM refuses some characters of names."""
    return frame.set_axis([f"x{i}" for i in range(frame.shape[1])], axis=1)


def xgboost(task: str, n_threads: int, seed: int) -> tuple[Any, Callable[[Any], Any]]:
    from xgboost import XGBClassifier, XGBRegressor

    kind = XGBRegressor if task == "regression" else XGBClassifier
    return kind(n_jobs=n_threads, random_state=seed, enable_categorical=True), lambda X: plain_names(
        categorical(X)
    )


def hist_gradient_boosting(task: str, n_threads: int, seed: int) -> tuple[Any, Callable[[Any], Any]]:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return kind(random_state=seed, categorical_features="from_dtype"), lambda X: with_few_levels(
        categorical(X)
    )


def with_few_levels(frame: Any) -> Any:
    """HistGradientBoosting takes at most 255 levels: the rarer ones become missing."""
    for name in frame.columns:
        if str(frame[name].dtype) == "category" and len(frame[name].cat.categories) > 255:
            common = frame[name].value_counts().index[:254]
            frame[name] = frame[name].astype(object).where(frame[name].isin(common)).astype("category")
    return frame


def dnn(task: str, n_threads: int, seed: int, **options: Any) -> tuple[Any, Callable[[Any], Any]]:
    from dnn import TableClassifier, TableRegressor

    kind = TableRegressor if task == "regression" else TableClassifier
    return kind(n_threads=n_threads, random_state=seed, **options), lambda X: X


def realmlp(task: str, n_threads: int, seed: int) -> tuple[Any, Callable[[Any], Any]]:
    """RealMLP-TD with its defaults, told that the log loss counts, as its documentation advises."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    if task == "regression":
        return RealMLP_TD_Regressor(device="cpu", random_state=seed, n_threads=n_threads), categorical
    options = {"val_metric_name": "cross_entropy", "use_ls": False}
    return RealMLP_TD_Classifier(device="cpu", random_state=seed, n_threads=n_threads, **options), categorical


def tabm(task: str, n_threads: int, seed: int) -> tuple[Any, Callable[[Any], Any]]:
    """TabM with its defaults; see `realmlp`."""
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    if task == "regression":
        return TabM_D_Regressor(device="cpu", random_state=seed, n_threads=n_threads), categorical
    options = {"val_metric_name": "cross_entropy"}
    return TabM_D_Classifier(device="cpu", random_state=seed, n_threads=n_threads, **options), categorical


SLOW = (realmlp, tabm)  # minutes for each set, so that they run only when they are asked for
MODELS = {f.__name__: f for f in (dnn, catboost, lightgbm, xgboost, hist_gradient_boosting)}


EVERY_MODEL = MODELS | {f.__name__: f for f in SLOW}


def encoded_target(y: Any, task: str) -> np.ndarray:
    if task == "regression":
        return np.asarray(y, dtype=float)
    return np.unique(np.asarray(y).astype(str), return_inverse=True)[1]


def calibration_error(probabilities: np.ndarray, y: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error of the most probable class, over bins of equal width."""
    best, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    place = np.minimum((best * bins).astype(int), bins - 1)
    return float(sum(abs(best[place == b].sum() - right[place == b].sum()) for b in range(bins)) / len(y))


def chance_calibration_error(probabilities: np.ndarray, draws: int = 50) -> float:
    """Return the mean calibration error if these probabilities were right: labels are drawn from them."""
    rng = np.random.default_rng(0)
    edges = np.cumsum(probabilities, axis=1)[:, :-1]
    drawn = ((rng.random((len(edges), 1)) > edges).sum(axis=1) for _ in range(draws))
    return float(np.mean([calibration_error(probabilities, labels) for labels in drawn]))


def measure(
    folder: Path, name: str, seed: int, model: str, n_threads: int, max_rows: int, **options: Any
) -> dict[str, Any]:
    """Return the figures of one model on one split of a set."""
    from sklearn.metrics import log_loss, roc_auc_score

    frame, target, task = table(folder, name)
    y = encoded_target(target, task)
    train, test = split(len(y), seed, max_rows)
    estimator, prepared = EVERY_MODEL[model](task, n_threads, seed, **options)
    X = prepared(frame)  # of all rows: the categories of both parts are known to the peers
    begin, cpu = time.perf_counter(), time.process_time()
    fitted = estimator.fit(X.iloc[train].reset_index(drop=True), y[train])
    found = {"seconds": time.perf_counter() - begin, "cpu": time.process_time() - cpu}
    rows = X.iloc[test].reset_index(drop=True)
    begin = time.perf_counter()
    if task == "regression":
        predicted = np.asarray(fitted.predict(rows)).ravel()
        found["error"] = float(np.sqrt(np.mean((predicted - y[test]) ** 2)) / y.std())
    else:
        p = np.asarray(fitted.predict_proba(rows))
        p = np.clip(p, 1e-7, 1 - 1e-7) if task == "binary" else np.clip(p, 1e-7, 1)
        p /= p.sum(axis=1, keepdims=True)
        found["error"] = float(log_loss(y[test], p, labels=np.arange(y.max() + 1)))
        found["accuracy"] = float(np.mean(p.argmax(axis=1) == y[test]))
        auc = {"y_score": p[:, 1]} if task == "binary" else {"y_score": p, "multi_class": "ovr"}
        found["auc"] = float(roc_auc_score(y[test], **auc))
        found["calibration"] = calibration_error(p, y[test])
        found["calibration_by_chance"] = chance_calibration_error(p)
    found["predict"] = time.perf_counter() - begin
    if model == "dnn" and task == "regression":
        low, high = fitted.predict_interval(rows, 0.9).T
        found["coverage"] = float(np.mean((low <= y[test]) & (y[test] <= high)))
    return found


def summary(results: dict[str, Any], names: list[str], models: list[str], base: str = "catboost") -> str:
    """Return the table of errors relative to those of CatBoost, each the mean of the same splits."""

    def means(name: str, model: str, what: str) -> tuple[float, float]:
        splits = [
            key.split("/")[1] for key in results if key.startswith(f"{name}/") and key.endswith(f"/{model}")
        ]
        pairs = [[results.get(f"{name}/{s}/{m}", {}).get(what) for m in (model, base)] for s in splits]
        found = [(own, other) for own, other in pairs if own is not None and other is not None]
        own, other = np.mean(found, axis=0) if found else (np.nan, np.nan)
        return float(own), float(other)

    lines = [
        f"{'error / CatBoost' if base == 'catboost' else base:16}" + "".join(f"{m[:12]:>14}" for m in models)
    ]
    ratios: dict[str, list[float]] = {m: [] for m in models}
    for name in names:
        for m in models:
            own, other = means(name, m, "error")
            ratios[m].append(own / other)
        lines.append(f"{name:16}" + "".join(f"{ratios[m][-1]:14.3f}" for m in models))
    for m in models:
        r = np.array(ratios[m])
        r = r[np.isfinite(r)]
        if not len(r):
            continue
        cpu = np.array([means(name, m, "cpu") for name in names])
        auc, accuracy = (
            np.nanmean([np.subtract(*means(name, m, what)) for name in names]) for what in ("auc", "accuracy")
        )
        spent = np.nansum(cpu, axis=0)
        lines += [
            f"{m}: geometric mean {np.exp(np.log(r).mean()):.3f}, median {np.median(r):.3f}, "
            f"at most 1 on {int((r <= 1).sum())} of {len(r)} sets, largest {r.max():.3f};",
            f"    time of the processor / CatBoost's: median {np.nanmedian(cpu[:, 0] / cpu[:, 1]):.2f}, "
            f"sum {spent[0] / spent[1]:.2f}; AUC {auc:+.4f}, accuracy {accuracy:+.4f}",
        ]
    return "\n".join(lines)


def markdown(results: dict[str, Any], names: list[str], models: list[str], base: str = "catboost") -> str:
    """Return the table of the documentation: errors over CatBoost's, and seconds of the processor."""

    def values(name: str, model: str, what: str) -> list[float]:
        keys = [key for key in results if key.startswith(f"{name}/") and key.endswith(f"/{model}")]
        return [results[key][what] for key in keys if what in results[key]]

    others = " | ".join(m.replace("_", " ") for m in models if m != base)
    lines = [
        f"| set | CatBoost | {others} | CPU seconds, dnn / CatBoost |",
        "|---|---:|" + "---:|" * len(models),
    ]
    for name in names:
        error = float(np.mean(values(name, base, "error")))
        cells = [
            f"{np.mean(values(name, m, 'error')) / error:.3f}"
            for m in models
            if m != base and values(name, m, "error")
        ]
        cpu = [f"{np.mean(values(name, m, 'cpu')):.1f}" for m in ("dnn", base)]
        lines.append(f"| {name} | {error:.4f} | {' | '.join(cells)} | {' / '.join(cpu)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "../shared/data/tables")
    parser.add_argument("--sets", default="all")
    parser.add_argument("--splits", default="0,1,2")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-rows", type=int, default=MAX_ROWS)
    parser.add_argument("--results", type=Path, default=Path("build/tables.json"))
    parser.add_argument("--markdown", action="store_true", help="also print the table of the documentation")
    parser.add_argument("--options", default="{}", help="parameters of the table estimators, JSON")
    given = parser.parse_args()
    names = (
        list(json.loads((given.folder / "sets.json").read_text()))
        if given.sets == "all"
        else given.sets.split(",")
    )
    models = given.models.split(",")
    results = json.loads(given.results.read_text()) if given.results.exists() else {}
    for seed in map(int, given.splits.split(",")):
        for name in names:
            for model in models:
                key = f"{name}/{seed}/{model}"
                if key in results:
                    continue
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        options = json.loads(given.options) if model == "dnn" else {}
                        results[key] = measure(
                            given.folder, name, seed, model, given.threads, given.max_rows, **options
                        )
                except ImportError as error:
                    print(f"{model} is left out: {error}")
                    models = [m for m in models if m != model]
                    break
                print(key, {what: round(value, 4) for what, value in results[key].items()}, flush=True)
                given.results.parent.mkdir(parents=True, exist_ok=True)
                given.results.write_text(json.dumps(results, indent=1))
    print(summary(results, names, models))
    if given.markdown:
        print(markdown(results, names, models))


if __name__ == "__main__":
    main()
