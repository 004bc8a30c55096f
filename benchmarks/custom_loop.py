"""How much more time does a custom training loop take than fit?

A loop of forward, d_out in NumPy, backward and step is timed alternately with fit in the same process, on
8-64-64-1 with batches of 64, and also of 8 and 512, to separate the cost of the calls from that of their
work. The loss is squared_error, whose d_out takes the least time in NumPy.

    python benchmarks/custom_loop.py [--quick] [--json FILE]
"""

import argparse
import inspect
import statistics
import sys
import time
from functools import partial
from typing import Any

import measuring
import numpy as np

NAME = "custom_loop"
SIZES = [8, 64, 64, 1]
BATCHES = (8, 64, 512)


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    import dnn

    rng = np.random.default_rng(0)
    figures = []
    for batch in BATCHES:
        steps = 60 if options.quick else 300
        X = rng.standard_normal((steps * batch, SIZES[0]), dtype=np.float32)
        y = rng.standard_normal((len(X), 1), dtype=np.float32)
        first = dnn.Network(SIZES, random_state=0).params.copy()
        by_hand, by_fit = dnn.Network(SIZES), dnn.Network(SIZES)
        how = {"optimizer": dnn.Adam(1e-3), "epochs": 1, "batch_size": batch, "shuffle": False}
        one = {"n_threads": 1} if "n_threads" in inspect.signature(by_fit.fit).parameters else None

        def loop(net=by_hand, X=X, y=y, batch=batch) -> float:
            state = net.optimizer(dnn.Adam(1e-3))
            begin = time.perf_counter()
            for i in range(0, len(X), batch):
                out, cache = net.forward(X[i : i + batch])
                d_out = (out - y[i : i + batch]) / batch
                grad, _ = net.backward(cache, d_out, wrt="params")
                state.step(grad)
            return time.perf_counter() - begin

        def numpy_alone(X=X, y=y, batch=batch) -> float:
            out = y[:batch].copy()
            begin = time.perf_counter()
            for i in range(0, len(X), batch):
                X[i : i + batch]
                (out - y[i : i + batch]) / batch
            return time.perf_counter() - begin

        def fit(net=by_fit, X=X, y=y, how=how) -> float:
            begin = time.perf_counter()
            net.fit(X, y, **how)
            return time.perf_counter() - begin

        runs = {"fit": fit, "loop": loop, "NumPy": numpy_alone}
        if one:
            runs["fit, 1 thread"] = partial(fit, how=how | one)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for repeat in range(4 * options.repeats + 1):
            by_hand.params[:] = first
            for name, run in runs.items():
                if name.startswith("fit"):
                    by_fit.params[:] = first
                seconds = run()
                if repeat:  # the first warms up
                    times[name].append(seconds / steps)
            if not repeat:
                np.testing.assert_allclose(by_hand.params, by_fit.params, rtol=0, atol=1e-4)
        median = {name: statistics.median(values) for name, values in times.items()}
        # Within a round, other load on the machine cancels out.
        over = statistics.median(a - b for a, b in zip(times["loop"], times["fit"], strict=True))
        figures.append({"batch": batch, "steps": steps, **median, "over": over, "all": times})
    return figures


def table(figures: list[dict[str, Any]]) -> str:
    columns = {
        "fit": "fit, per step",
        "fit, 1 thread": "fit on one thread, per step",
        "loop": "loop, per step",
        "over": "loop - fit",
        "NumPy": "slices and d_out in the loop",
    }
    columns = {key: head for key, head in columns.items() if key in figures[0]}
    body = [[str(f["batch"]), *(measuring.duration(f[key]) for key in columns)] for f in figures]
    return measuring.markdown(["8-64-64-1, batch size", *columns.values()], body)


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    measuring.main(sys.modules[__name__])
