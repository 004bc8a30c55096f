"""How much does a busy Python thread slow down dnn, compared with a busy process?

Both use processor time. The thread also competes for the GIL, which the core releases during a call. The goal
is that a fit takes at most 1.3 times as long with the thread as with the process.

    python benchmarks/gil.py [--quick] [--json FILE]
"""

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import measuring
import numpy as np
from threads import neighbor

NAME = "gil"


def works() -> dict[str, Callable[[], Any]]:
    """Return the functions to time, each of which takes some tens of milliseconds."""
    import dnn

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20000, 8)).astype("f4"), rng.standard_normal(20000)
    pixels, digits = rng.standard_normal((2000, 784)).astype("f4"), np.arange(2000) % 10
    small = dnn.Network([8, 64, 64, 1], random_state=0)
    wide = dnn.Network([784, 128, 10], output="softmax", random_state=0)

    def custom_loop() -> None:
        adam = small.optimizer("adam")
        for _ in range(300):
            out, cache = small.forward(X[:64])
            adam.step(small.backward(cache, out, wrt="params")[0])

    return {
        "fit, 8-64-64-1": lambda: small.fit(X, y, epochs=8, batch_size=64, n_threads=1),
        "fit, 784-128-10": lambda: wide.fit(pixels, digits, epochs=5, n_threads=1),
        "fit, 784-128-10, 2 threads": lambda: wide.fit(pixels, digits, epochs=5, n_threads=2),
        "fit with a validation set, 8-64-64-1": lambda: small.fit(
            X[:2000], y[:2000], epochs=20, X_val=X[:500], y_val=y[:500], n_threads=1
        ),
        "custom loop, 8-64-64-1": custom_loop,
        "predict 20,000 rows, 8-64-64-1": lambda: [small(X) for _ in range(10)],
    }


@contextmanager
def busy_thread() -> Any:
    """Keep a Python thread of this process busy."""
    done = threading.Event()

    def spin() -> None:
        while not done.is_set():
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    figures = []
    for name, work in works().items():
        work()
        times: dict[str, list[float]] = {"process": [], "thread": []}
        for _ in range(options.repeats):  # alternately, so that other load affects both
            for beside, busy in (("process", neighbor), ("thread", busy_thread)):
                with busy():
                    time.sleep(0.1)
                    begin = time.perf_counter()
                    work()
                    times[beside].append(time.perf_counter() - begin)
        figures.append({"work": name, "times": times})
        print(row(figures[-1]), flush=True)
    return figures


def row(figure: dict[str, Any]) -> list[str]:
    """Return the medians with a busy process and thread, and the median of the ratios within a round."""
    process, thread = figure["times"]["process"], figure["times"]["thread"]
    ratio = statistics.median(t / p for t, p in zip(thread, process, strict=True))
    medians = [measuring.duration(statistics.median(times)) for times in (process, thread)]
    return [figure["work"], *medians, measuring.digits(ratio)]


def table(figures: list[dict[str, Any]]) -> str:
    head = ["", "with a busy process", "with a busy Python thread", "thread / process"]
    return measuring.markdown(head, [row(figure) for figure in figures])


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    measuring.main(sys.modules[__name__])
