"""How fast is training on a sparse X, such as words of texts, and how much memory does it need?

The texts are drawn at random with the shape of 20 newsgroups: 11,314 rows and 130,107 columns, words with
Zipf frequencies, a thousandth of the elements stored, as tf-idf in float64. The contenders are the
MLPClassifiers of dnn and scikit-learn, with the same parameters and 100 hidden units. The times are those of
an epoch of each solver (a fit of two epochs minus a fit of one, which excludes drawing the initial weights;
for L-BFGS, of an iteration) and of `predict` for 2000 rows. The contenders are timed alternately, on one
thread and on two, and the figures are medians. The memory is the peak of a fit minus the resident memory
before it, in a fresh process (Linux only).

    python benchmarks/sparse.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import measuring
import numpy as np
from memory import resident

NAME = "sparse"
SHAPE = (11_314, 130_107)
QUICK = (1500, 20_000)
WORDS = 170  # per text, with repetitions
SOLVERS: dict[str, dict[str, Any]] = {
    "plain sgd": {"solver": "sgd", "momentum": 0.0, "alpha": 0.0},
    "sgd": {"solver": "sgd"},
    "adam": {"solver": "adam"},
    "lbfgs": {"solver": "lbfgs"},
}
LABELS = {"lbfgs": "iteration, lbfgs", "predict": "predict, 2000 rows"}
NAMES = ("scikit-learn", "dnn")


def texts(shape: tuple[int, int]) -> tuple[Any, np.ndarray]:
    """Return tf-idf of random texts (N, I) and their classes: a seventh of the words depend on the class."""
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import TfidfTransformer

    n, m = shape
    rng = np.random.default_rng(0)
    y = rng.integers(0, 20, n)
    lengths = np.maximum(1, rng.lognormal(np.log(WORDS), 0.8, n)).astype(int)
    rows = np.repeat(np.arange(n), lengths)
    frequencies = 1 / np.arange(1, m + 1)
    words = np.searchsorted(np.cumsum(frequencies / frequencies.sum()), rng.random(len(rows))).clip(0, m - 1)
    of_class = rng.random(len(rows)) < 1 / 7
    words[of_class] = (words[of_class] * 7919 + 31 * y[rows[of_class]]) % m
    counts = sp.csr_matrix((np.ones(len(rows)), (rows, rng.permutation(m)[words])), shape=shape)
    return TfidfTransformer().fit_transform(counts), y


def estimator(name: str, threads: int, **options: Any) -> Any:
    """Return a classifier of a contender with this number of threads; scikit-learn uses those of BLAS."""
    import sklearn.neural_network

    import dnn

    options = {"random_state": 0, "n_iter_no_change": 10**6, **options}
    if name == "dnn":
        return dnn.MLPClassifier(n_threads=threads, **options)
    return sklearn.neural_network.MLPClassifier(**options)


def seconds(what: str, name: str, threads: int, X: Any, y: np.ndarray) -> float:
    """Return the time of an epoch or iteration of a solver, or of a prediction."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads):
        if what == "predict":
            est = estimator(name, threads, max_iter=1).fit(X[:200], y[:200])
            some = X[:2000]
            est.predict(some)
            began = time.perf_counter()
            est.predict(some)
            return time.perf_counter() - began
        more = 4 if what == "lbfgs" else 2
        took = []
        for n_iter in (1, more):
            est = estimator(name, threads, max_iter=n_iter, **SOLVERS[what])
            began = time.perf_counter()
            est.fit(X, y)
            took.append(time.perf_counter() - began)
        return (took[1] - took[0]) / (more - 1)


def peak(what: str, name: str, shape: tuple[int, int]) -> float:
    """Return the peak memory of a fit, as a multiple of the parameters."""
    case = json.dumps([what, name, shape])
    command = [sys.executable, __file__, "--child", case]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def child(what: str, name: str, shape: list[int]) -> None:
    warnings.simplefilter("ignore")
    X, y = texts((shape[0], shape[1]))
    estimator(name, 2, max_iter=1, **SOLVERS[what]).fit(X[:300, :100], y[:300])
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    est = estimator(name, 2, max_iter=2, **SOLVERS[what]).fit(X, y)
    print((resident("VmHWM") - before) / sum(array.nbytes for array in est.coefs_))


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    warnings.simplefilter("ignore")
    shape = QUICK if options.quick else SHAPE
    repeats = 1 if options.quick else min(3, options.repeats)
    figures = []
    X, y = texts(shape)
    for what in (*SOLVERS, "predict"):
        times: dict[str, list[float]] = {}
        for _ in range(repeats if what != "predict" else 3 * repeats):
            for threads in (1, 2):
                for name in NAMES:
                    took = seconds(what, name, threads, X, y)
                    times.setdefault(f"{name} {threads}", []).append(took)
        peaks = {}
        if what != "predict" and os.path.exists("/proc/self/clear_refs"):
            peaks = {name: peak(what, name, shape) for name in NAMES}
        figures.append({"what": what, "shape": shape, "stored": X.nnz, "times": times, "peaks": peaks})
        print(table(figures[-1:]), flush=True)
    return figures


def table(figures: list[dict[str, Any]]) -> str:
    body = []
    for f in figures:
        medians = {key: statistics.median(times) for key, times in f["times"].items()}
        body.append(
            [
                LABELS.get(f["what"], f"epoch, {f['what']}"),
                *(measuring.duration(medians[f"{name} {t}"]) for t in (1, 2) for name in NAMES),
                *(f"{f['peaks'][name]:.1f}" if f["peaks"] else "" for name in NAMES),
            ]
        )
    heads = [f"{name}, {t}" for t in ("1 thread", "2 threads", "peak / parameters") for name in NAMES]
    return measuring.markdown(["", *heads], body)


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*json.loads(sys.argv[2]))
    else:
        measuring.main(sys.modules[__name__])
