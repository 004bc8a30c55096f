"""How much does a network cost among several that are trained at once?

`fit_many` trains 8 networks of one shape on the same rows, each by one thread, and `fit` trains one of them
with all threads. Both are timed alternately; the figures are medians. Then scikit-learn's GridSearchCV tries
6 candidates in 3 folds on its digits: one after the other, in processes, and in threads.

    python benchmarks/many.py [--threads 2]
"""

import argparse
import statistics
import time
import warnings

import numpy as np

from dnn import MLPClassifier, Network, fit_many

SHAPES = {"8-64-64-1": [8, 64, 64, 1], "64-100-10": [64, 100, 10]}
N, ROWS, EPOCHS, REPEATS = 8, 4000, 20, 9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    for name, sizes in SHAPES.items():
        X = rng.standard_normal((ROWS, sizes[0])).astype(np.float32)
        y = rng.integers(0, sizes[-1], ROWS) if sizes[-1] > 1 else X[:, :1].copy()
        output = "softmax" if sizes[-1] > 1 else "identity"
        options = {"epochs": EPOCHS, "batch_size": 64}
        times: dict[str, list[float]] = {"one": [], "eight": []}
        for _ in range(REPEATS):
            nets = [Network(sizes, output=output, random_state=seed) for seed in range(N)]
            begin = time.perf_counter()
            nets[0].fit(X, y, n_threads=given.threads, **options)
            times["one"].append(time.perf_counter() - begin)
            nets = [Network(sizes, output=output, random_state=seed) for seed in range(N)]
            begin = time.perf_counter()
            fit_many(nets, X, y, n_threads=given.threads, **options)
            times["eight"].append(time.perf_counter() - begin)
        one, eight = (statistics.median(values[1:]) for values in times.values())
        print(f"{name}, {given.threads} threads: one {one:.3f} s, {N} {eight:.3f} s, ratio {eight / one:.2f}")
    grid_search(given.threads)


def grid_search(n_jobs: int) -> None:
    """Print how long the same grid search takes with each of joblib's ways to run it."""
    import joblib
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV

    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    grid = {"hidden_layer_sizes": [(16,), (64,), (64, 64)], "alpha": [1e-4, 1e-2]}
    modes = {
        "one after the other": ("threading", 1),
        "processes": ("loky", n_jobs),
        "threads": ("threading", n_jobs),
    }
    times: dict[str, list[float]] = {mode: [] for mode in modes}
    for _ in range(REPEATS):
        for mode, (backend, jobs) in modes.items():
            search = GridSearchCV(MLPClassifier(max_iter=60, random_state=0), grid, cv=3, refit=False)
            begin = time.perf_counter()
            with joblib.parallel_config(backend=backend, n_jobs=jobs):
                search.fit(X / 16, y)
            times[mode].append(time.perf_counter() - begin)
    for mode, seconds in times.items():
        print(f"grid search, {n_jobs} jobs, {mode}: {statistics.median(seconds[1:]):.2f} s")


if __name__ == "__main__":
    main()
