"""How much more time does a custom training loop take than fit?

A loop of forward, d_out in NumPy, backward and step is timed alternately with fit in the same process: on
8-64-64-1 with batches of 64, and also of 8 and 512, to separate the cost of the calls from that of their
work; and on 4-256-256-2, a common network of reinforcement learning. The loss is squared_error, whose d_out
takes the least time in NumPy. A loop of small batches uses one thread, because a team of threads lives only
as long as a call; fit keeps one team for all steps, and is therefore timed with one thread too.

    python benchmarks/custom_loop.py [--quick] [--json FILE]
"""

import argparse
import statistics
import sys
import time
from functools import partial
from typing import Any

import measuring
import numpy as np

NAME = "custom_loop"
WORK = (([8, 64, 64, 1], 8), ([8, 64, 64, 1], 64), ([8, 64, 64, 1], 512), ([4, 256, 256, 2], 64))


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    import dnn

    rng = np.random.default_rng(0)
    figures = []
    for sizes, batch in WORK:
        steps = 60 if options.quick else 300
        X = rng.standard_normal((steps * batch, sizes[0]), dtype=np.float32)
        y = rng.standard_normal((len(X), sizes[-1]), dtype=np.float32)
        first = dnn.Network(sizes, random_state=0).params.copy()
        by_hand, by_fit = dnn.Network(sizes), dnn.Network(sizes)
        how = {"optimizer": dnn.Adam(1e-3), "epochs": 1, "batch_size": batch, "shuffle": False}

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

        alone = partial(fit, how=how | {"n_threads": 1})
        runs = {"fit": fit, "loop": loop, "fit, 1 thread": alone, "NumPy": numpy_alone}
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
        over = {
            f"over {name}": statistics.median(a - b for a, b in zip(times["loop"], times[name], strict=True))
            for name in ("fit", "fit, 1 thread")
        }
        shape = "-".join(map(str, sizes))
        figures.append({"sizes": shape, "batch": batch, "steps": steps, **median, **over, "all": times})
    return figures


def table(figures: list[dict[str, Any]]) -> str:
    columns = {
        "fit": "fit, per step",
        "fit, 1 thread": "fit on one thread, per step",
        "loop": "loop, per step",
        "over fit": "loop - fit",
        "over fit, 1 thread": "loop - fit on one thread",
        "NumPy": "slices and d_out in the loop",
    }
    body = [[f["sizes"], str(f["batch"]), *(measuring.duration(f[key]) for key in columns)] for f in figures]
    return measuring.markdown(["network", "batch size", *columns.values()], body)


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    measuring.main(sys.modules[__name__])
