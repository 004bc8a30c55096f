"""What can be asked of a contender, and the times of its calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def seconds(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


@dataclass
class Run:
    """The operations of a contender for a piece of work."""

    reset: Callable[[], None]  # to the initial weights and a fresh optimizer; not timed
    run: Callable[[int], float]  # the given number of epochs, steps or calls; returns seconds
    result: Callable[[], Any]  # (weights, biases), or the outputs


def best_rate(product: Callable[[int], Callable[[], object]]) -> float:
    rate = 0.0
    for n in (1024, 2048):
        run = product(n)
        run()
        for _ in range(8):
            rate = max(rate, 2 * n**3 / seconds(run))
    return rate


def calls(predict: Callable[[], Any], result: Callable[[Any], np.ndarray] = np.asarray) -> Run:
    def many(count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            predict()
        return time.perf_counter() - begin

    return Run(lambda: None, many, lambda: result(predict()))
