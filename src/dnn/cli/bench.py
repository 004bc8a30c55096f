"""``dnn bench``: how fast this machine trains and predicts, and scikit-learn beside it."""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np

import dnn

from .progress import bar

NETWORKS = ((2, 4, 1), (8, 64, 64, 1), (64, 100, 10), (784, 128, 10))
PRODUCT = 1024  # the size of the matrices of one product
ROWS, VALUES = 2**16, 2**22  # of X, at most: 16 MB
PREDICTED = 2**14  # rows, at most
SLOTS = {True: (3, 0.03), False: (5, 0.1)}  # turns, and the seconds for each measurement, if quick or not
PAUSE = 0.05  # seconds, in which the threads of scikit-learn's BLAS go to sleep


class Timing:
    """One thing to measure: run(n) repeats it n times.

    Parameters
    ----------
    run : callable
    units : int, default 1
        What the seconds are divided by: the rows of one repetition, for example.
    n : int, default 1
        How often run repeats it at first.
    most : int, default 1
        A larger n is a multiple of this one.
    """

    def __init__(self, run: Callable[[int], object], units: int = 1, n: int = 1, most: int = 1) -> None:
        self.run, self.units, self.n, self.most = run, units, n, most
        self.seconds: list[float] = []  # per unit

    def measure(self, slot: float) -> None:
        """Measure once, for at least half of so many seconds: n grows until it takes that long."""
        while (taken := self._time()) < slot / 2:
            n = math.ceil(self.n * min(10.0, max(2.0, slot / taken)))
            self.n = n if n < self.most else n // self.most * self.most
        self.seconds.append(taken / (self.n * self.units))

    def _time(self) -> float:
        start = time.perf_counter()
        self.run(self.n)
        return time.perf_counter() - start


class Case:
    """A network with its data, and what is measured of it: by name, of dnn and of scikit-learn."""

    def __init__(self, sizes: Sequence[int], batch: int, with_sklearn: bool) -> None:
        self.sizes, self.batch = tuple(sizes), batch
        products = [a * b for a, b in pairwise(sizes)]
        self.n_params = sum(products) + sum(sizes[1:])
        # For a row: the products forward, for dW, and for dA of all layers but the first
        self.flops = 2 * (3 * sum(products) - products[0])
        n_classes = sizes[-1]
        # The steps of an epoch; scikit-learn needs an example of each class
        self.least = -(-n_classes // batch)
        self.most = max(self.least, min(ROWS, VALUES // sizes[0]) // batch)
        # Roughly 10 ms: a single step says little where others use the processor too
        self.first = max(self.least, min(100, int(2e8 / (batch * self.flops))))
        n_rows = self.most * batch
        self.X = np.random.default_rng(0).standard_normal((n_rows, sizes[0]), np.float32)
        self.y: np.ndarray
        if n_classes > 2:
            self.y = np.arange(n_rows) % n_classes
        else:  # each output says yes or no
            y = (np.arange(n_rows * n_classes) % 3 == 0).astype(int)
            self.y = y.reshape(-1, 2) if n_classes == 2 else y
        self.dnn = self._of_dnn()
        self.sklearn = self._of_sklearn() if with_sklearn else {}

    def _of_dnn(self) -> dict[str, Timing]:
        net = dnn.Network(self.sizes, output="softmax" if self.sizes[-1] > 2 else "sigmoid", random_state=0)

        def train(n: int) -> None:
            rows = self.batch * min(n, self.most)
            epochs = max(1, n // self.most)
            net.fit(self.X[:rows], self.y[:rows], epochs=epochs, batch_size=self.batch)

        predictor = net.predictor()
        return {
            "train": Timing(train, 1, self.first, self.most),
            **self._predictions(predictor, self.X[0], predictor),
        }

    def _of_sklearn(self) -> dict[str, Timing]:
        from sklearn.neural_network import MLPClassifier

        def train(n: int) -> Any:
            rows = self.batch * min(n, self.most)
            epochs = max(1, n // self.most)
            return MLPClassifier(
                self.sizes[1:-1], batch_size=self.batch, alpha=0.0, max_iter=epochs, tol=0.0,
                n_iter_no_change=epochs + 1, random_state=0,  # nothing ends it earlier
            ).fit(self.X[:rows], self.y[:rows])  # fmt: skip

        predict = train(self.least).predict_proba
        return {
            "train": Timing(train, 1, max(self.least, self.first // 10), self.most),
            **self._predictions(predict, self.X[:1], predict),
        }

    def _predictions(self, of_row: Any, row: np.ndarray, of_rows: Any) -> dict[str, Timing]:
        rows = self.X[:PREDICTED]

        def repeated(function: Any, X: np.ndarray) -> Callable[[int], None]:
            def run(n: int) -> None:
                for each in repeat(X, n):
                    function(each)

            return run

        return {"row": Timing(repeated(of_row, row)), "rows": Timing(repeated(of_rows, rows), len(rows))}

    def results(self, peak: float) -> dict[str, Any]:
        """Return the figures; peak: flops per second of one product."""
        found = {name: statistics.median(timing.seconds) for name, timing in self.dnn.items()}
        other = {name: statistics.median(timing.seconds) for name, timing in self.sklearn.items()}
        rate = self.flops * self.batch / found["train"]
        result: dict[str, Any] = {
            "network": "-".join(map(str, self.sizes)), "parameters": self.n_params,
            "training": {
                "seconds_per_step": found["train"], "rows_per_second": self.batch / found["train"],
                "gflops": rate / 1e9, "fraction_of_product": rate / peak,
            },
            "prediction": {
                "seconds_for_one_row": found["row"], "rows_per_second": 1 / found["rows"],
                "rows_at_once": self.dnn["rows"].units,
            },
            "sklearn": None,
        }  # fmt: skip
        if other:
            result["sklearn"] = {
                "seconds_per_step": other["train"], "seconds_for_one_row": other["row"],
                "rows_per_second": 1 / other["rows"],
                "ratios": {name: other[name] / found[name] for name in found},
            }  # fmt: skip
        return result


def product() -> Timing:
    """Return the timing of one product of two matrices of 1024 x 1024, by the kernels of dnn."""
    net = dnn.Network([PRODUCT, PRODUCT], random_state=0)
    X = np.random.default_rng(0).standard_normal((PRODUCT, PRODUCT), np.float32)
    out = np.empty_like(X)

    def run(n: int) -> None:
        for _ in range(n):
            net(X, out=out)

    return Timing(run, 2 * PRODUCT**3)


def measure(
    networks: Sequence[Sequence[int]] = NETWORKS,
    batch: int = 128,
    threads: int | None = None,
    quick: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Measure everything in turn, several times, and return the medians.

    Parameters
    ----------
    networks : sequence of sequences of int
        The sizes of each network, inputs first.
    batch : int, default 128
        Rows of a training step, as in `Network.fit`.
    threads : int, default None
        At most so many threads; None: as many as the machine has.
    quick : bool, default False
        Three short turns instead of five.
    progress : bool, default False
        Show a bar, if standard error is a terminal.
    """
    turns, slot = SLOTS[quick]
    with_sklearn = find_spec("sklearn") is not None
    with _at_most(threads, with_sklearn), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # trainings as short as these do not converge
        machine = {"processor": _processor(), **dnn.show_config(as_dict=True)}
        optional = machine.pop("optional")
        machine["scikit_learn"] = optional["scikit-learn"] if with_sklearn else None
        peak = product()
        cases = [Case(sizes, batch, with_sklearn) for sizes in networks]
        ours = [peak, *(timing for case in cases for timing in case.dnn.values())]
        others = [timing for case in cases for timing in case.sklearn.values()]
        with bar((turns + 1) * len(ours + others), " measurements", progress) as advance:
            done = 0
            for turn in range(turns + 1):
                for timing in ours + others:
                    timing.measure(slot)
                    if not turn:  # this one only prepares
                        timing.seconds.clear()
                    done += 1
                    advance(done)
                if others:
                    time.sleep(PAUSE)
    fastest = 1 / min(peak.seconds)
    return {
        "machine": machine, "batch": batch, "dtype": "float32", "turns": turns, "quick": quick,
        "product_gflops": fastest / 1e9, "networks": [case.results(fastest) for case in cases],
    }  # fmt: skip


@contextmanager
def _at_most(threads: int | None, with_sklearn: bool) -> Iterator[None]:
    """Limit the threads of dnn, and of the BLAS of scikit-learn."""
    before = os.environ.get("DNN_NUM_THREADS")
    with ExitStack() as stack:
        if threads is not None:
            os.environ["DNN_NUM_THREADS"] = str(threads)
            if with_sklearn:
                from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

                stack.enter_context(threadpool_limits(threads))
        try:
            yield
        finally:
            os.environ.pop("DNN_NUM_THREADS", None)
            if before is not None:
                os.environ["DNN_NUM_THREADS"] = before


def _processor() -> str:
    """Return the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def text_of(found: dict[str, Any]) -> str:
    """Return the figures as lines of at most 80 characters."""
    machine, networks = found["machine"], found["networks"]
    with_other = machine["scikit_learn"] is not None
    versions = f"dnn {machine['dnn']}, Python {machine['python']}, NumPy {machine['numpy']}"
    if with_other:
        versions += f", scikit-learn {machine['scikit_learn']}"
    n = machine["threads"]
    lines = [
        f"{machine['processor']}, {machine['instruction_set']}, {n} thread{'s' * (n > 1)}", versions,
        f"BLAS: {machine['blas']}"[:80],
        f"One product of matrices, {PRODUCT} x {PRODUCT}: {found['product_gflops']:.0f} GFLOP/s", "",
        f"Training with Adam in float32, {found['batch']} rows per step",
    ]  # fmt: skip
    training = [
        ["", "rows/s", "us/step", "GFLOP/s", "of product", *["scikit-learn us", "ratio"] * with_other]
    ]
    for item in networks:
        its, other = item["training"], item["sklearn"]
        cells = [
            f"{its['rows_per_second']:,.0f}", _digits(1e6 * its["seconds_per_step"]), _digits(its["gflops"]),
            f"{its['fraction_of_product']:.0%}",
        ]  # fmt: skip
        if other:
            cells += [_digits(1e6 * other["seconds_per_step"]), _digits(other["ratios"]["train"])]
        training.append([item["network"], *cells])
    lines += [*_table(training), "", "Prediction"]
    one = ["one row us", *["scikit-learn us", "ratio"] * with_other]
    prediction = [["", *one, "rows/s", *["ratio"] * with_other]]
    for item in networks:
        its, other = item["prediction"], item["sklearn"]
        cells = [_digits(1e6 * its["seconds_for_one_row"]), f"{its['rows_per_second']:,.0f}"]
        if other:
            one = [_digits(1e6 * other["seconds_for_one_row"]), _digits(other["ratios"]["row"])]
            cells = [cells[0], *one, cells[1], _digits(other["ratios"]["rows"])]
        prediction.append([item["network"], *cells])
    lines += [*_table(prediction), "", f"Medians of {found['turns']} turns."]
    if with_other:
        lines[-1] += " Ratio: the time of scikit-learn's MLP / that of dnn."
    return "\n".join(lines)


def _table(rows: list[list[str]]) -> list[str]:
    """Return lines with aligned columns: the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{row[0]:{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]


def _digits(value: float) -> str:
    """Return a number with three digits."""
    return f"{value:,.{max(0, 2 - math.floor(math.log10(max(value, 1e-3))))}f}"
