"""How much faster are the estimators than scikit-learn's, and are they as accurate?

The benchmark times whole calls of `fit` with the same parameters, dtype and iterations, `predict` of one row,
and a grid search. Each figure is the median at the better of one and two threads; the runs are interleaved.
With --scores it prints a table of scores on test rows instead: for each solver a whole `fit`, averaged over
five seeds. The table includes the California data if DNN_DATA names the data folder.

    python benchmarks/estimators.py [--repeats 5] [--only fit] [--scores [DATA ...]]
"""

import argparse
import os
import statistics
import time
import timeit
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import sklearn.datasets
import sklearn.neural_network
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import dnn

GRID = {
    "alpha": [1e-5, 1e-4, 1e-3, 1e-2],
    "learning_rate_init": [1e-3, 3e-3, 1e-2],
    "hidden_layer_sizes": [50, 100],
}
SOLVERS = ("adam", "sgd", "lbfgs")


def kinds(name):
    """Return the classes of scikit-learn and of dnn."""
    return {"scikit-learn": getattr(sklearn.neural_network, name), "dnn": getattr(dnn, name)}


def california(n=20640):
    """Return random rows of the shape of the California data: eight columns and a skewed target."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 8))
    y = np.exp(0.5 * np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] * X[:, 2] + 0.2 * rng.standard_normal(n))
    return X, y


def real_california(return_X_y=True):
    """Return the California table without its text column; missing values become the median."""
    path = Path(os.environ["DNN_DATA"]) / "california_housing/housing.csv"
    table = np.genfromtxt(path, delimiter=",", skip_header=1)[:, :9]
    X = np.where(np.isnan(table[:, :8]), np.nanmedian(table[:, :8], axis=0), table[:, :8])
    return X, table[:, 8] / 1e5


def works():
    """Yield name, estimator, X, y, parameters, iterations, and the target ratio in float32."""
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    yield "digits", "MLPClassifier", X / 16, y, {}, 30, 6.0
    yield "20640 x 8", "MLPRegressor", *california(), {"hidden_layer_sizes": (100,)}, 5, 8.0
    rng = np.random.default_rng(0)
    X = rng.random((60000, 784), dtype=np.float32) * (rng.random((60000, 784)) < 0.2)
    yield (
        "60000 x 784",
        "MLPClassifier",
        X,
        rng.integers(0, 10, 60000),
        {"hidden_layer_sizes": (128,)},
        1,
        2.2,
    )


def medians(runs, repeats):
    """Return the median seconds of each run by name, at the better of one and two threads."""
    times = {}
    for _ in range(repeats):
        for (name, threads), run in runs.items():
            with threadpool_limits(threads):
                began = time.perf_counter()
                run(threads)
                times.setdefault((name, threads), []).append(time.perf_counter() - began)
    found = {}
    for (name, threads), seconds in times.items():
        median = statistics.median(seconds)
        if name not in found or median < found[name][0]:
            found[name] = median, threads
    return found


def with_threads(est, threads):
    """Return the estimator with this number of threads; scikit-learn's threads are those of BLAS."""
    return est.set_params(n_threads=threads) if type(est).__module__.startswith("dnn") else est


def report(what, found, wanted):
    (sklearn_time, a), (dnn_time, b) = found["scikit-learn"], found["dnn"]
    unit, scale = ("ms", 1e3) if sklearn_time > 1e-3 else ("us", 1e6)
    print(
        f"{what:32} {scale * sklearn_time:10.1f} {unit} ({a}) {scale * dnn_time:10.1f} {unit} ({b})"
        f" {sklearn_time / dnn_time:7.1f} times as fast, target {wanted:g}",
        flush=True,
    )


def fit(repeats):
    for name, kind, X, y, options, n_iter, wanted in works():
        for dtype in ("float32", "float64"):
            rows = X.astype(dtype)

            def run(cls, threads, rows=rows, y=y, options=options, n_iter=n_iter):
                est = cls(max_iter=n_iter, n_iter_no_change=n_iter, random_state=0, **options)
                with_threads(est, threads).fit(rows, y)
                assert est.n_iter_ == n_iter

            runs = {
                (label, threads): (lambda threads, cls=cls: run(cls, threads))
                for threads in (1, 2)
                for label, cls in kinds(kind).items()
            }
            goal = wanted if dtype == "float32" else max(1.05, 0.6 * wanted)
            report(f"fit {name} {dtype}", medians(runs, repeats), goal)


def predict(repeats):
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    for dtype in ("float32", "float64"):
        rows = X.astype(dtype)
        x = rows[:1].copy()
        fitted = {
            name: cls(max_iter=5, random_state=0).fit(rows, y) for name, cls in kinds("MLPClassifier").items()
        }
        calls = {name: est.predict for name, est in fitted.items()} | {"predictor": fitted["dnn"].predictor()}
        times = {name: [] for name in calls}
        for _ in range(repeats):
            for name, call in calls.items():
                times[name].append(timeit.timeit(partial(call, x), number=1000) / 1000)
        found = {name: (statistics.median(seconds), 1) for name, seconds in times.items()}
        report(f"predict one row {dtype}", found, 8)
        report(f"predictor, one row {dtype}", found | {"dnn": found["predictor"]}, 40)


def grid(repeats):
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)

    def search(est, n_jobs=1):
        GridSearchCV(est, GRID, cv=5, n_jobs=n_jobs).fit(X, y)

    options = {"max_iter": 20, "n_iter_no_change": 20, "random_state": 0}
    runs = {
        (label, threads): (lambda threads, cls=cls: search(with_threads(cls(**options), threads)))
        for threads in (1, 2)
        for label, cls in kinds("MLPClassifier").items()
    }
    report("grid search, 24 x 5 fits", medians(runs, repeats), 5)
    ways = {"n_jobs=1": (1, "auto"), "n_jobs=2, n_threads=1": (2, 1), "n_jobs=2": (2, "auto")}
    search(dnn.MLPClassifier(**options), 2)  # starts the workers
    times = {way: [] for way in ways}
    for _ in range(repeats):
        for way, (n_jobs, n_threads) in ways.items():
            began = time.perf_counter()
            search(dnn.MLPClassifier(n_threads=n_threads, **options), n_jobs)
            times[way].append(time.perf_counter() - began)
    found = {way: statistics.median(seconds) for way, seconds in times.items()}
    best = min(seconds for way, seconds in found.items() if way != "n_jobs=2")
    print(", ".join(f"{way}: {seconds:.2f} s" for way, seconds in found.items()))
    print(
        f"warm workers take {found['n_jobs=2'] / best:.2f} times as long as the better of the others, "
        "target at most 1.1"
    )


def scores(chosen):
    """Print a table in Markdown: accuracy or R2 in percent on a fourth of the rows."""
    sets = {
        "digits": sklearn.datasets.load_digits,
        "breast cancer": sklearn.datasets.load_breast_cancer,
        "wine": sklearn.datasets.load_wine,
        "iris": sklearn.datasets.load_iris,
        "diabetes": sklearn.datasets.load_diabetes,
    }
    if "DNN_DATA" in os.environ:
        sets["California"] = real_california
    print("| data | solver | scikit-learn | dnn |\n|---|---|---|---|")
    for name, load in sets.items():
        if chosen and name not in chosen:
            continue
        X, y = load(return_X_y=True)
        y = (y - y.mean()) / y.std() if name == "diabetes" else y
        kind = "MLPRegressor" if name in ("diabetes", "California") else "MLPClassifier"
        for solver in SOLVERS:
            found = {}
            for seed in range(5):
                parts = train_test_split(X, y, random_state=seed)
                for label, cls in kinds(kind).items():
                    est = make_pipeline(StandardScaler(), cls(solver=solver, random_state=seed))
                    est.fit(parts[0], parts[2])
                    found.setdefault(label, []).append(100 * est.score(parts[1], parts[3]))
            cells = " | ".join(f"{statistics.mean(values):.2f}" for values in found.values())
            print(f"| {name} | {solver} | {cells} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("fit", "predict", "grid"))
    parser.add_argument("--scores", nargs="*", metavar="DATA", help="names of data sets; default: all")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.scores is not None:
        with threadpool_limits(1):
            scores(args.scores)
        return
    print(
        f"dnn {dnn.__version__}, scikit-learn {sklearn.__version__}; the number of threads is in parentheses"
    )
    for part in (fit, predict, grid):
        if args.only in (None, part.__name__):
            part(args.repeats)


if __name__ == "__main__":
    main()
