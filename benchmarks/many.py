"""How much does a network cost among several that are trained at once?

`fit_many` trains 8 networks of one shape on the same rows, each by one thread, and `fit` trains one of them
with all threads. Both are timed alternately; the figures are medians.

    python benchmarks/many.py [--threads 2]
"""

import argparse
import statistics
import time

import numpy as np

from dnn import Network, fit_many

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


if __name__ == "__main__":
    main()
