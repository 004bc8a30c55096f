"""How many threads are right, on a quiet machine and beside a process that keeps one core busy?

dnn with n_threads 1, 2 and "auto". Wanted: quiet, "auto" never takes over 1.1 times the better of one and
two; beside the neighbour, nothing takes over 1.3 times what one thread takes beside it.

    python benchmarks/threads.py [--full] [--quick] [--json FILE]
"""

import argparse
import copy
import dataclasses
import statistics
import subprocess
import sys
from contextlib import contextmanager
from typing import Any

import measuring
import prediction
import training
from work import Work

NAME = "threads"
SPIN = "while True: pass"


@contextmanager
def neighbour():
    """Keep one core busy; which one is the system's choice."""
    process = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def pieces(options: argparse.Namespace) -> list[tuple[str, Work]]:
    found = []
    for work in training.WORK:
        if options.full:
            work = dataclasses.replace(work, part=None)
        found.append(("training", work))
    return found + [("prediction", work) for work in prediction.WORK]


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    figures = []
    settings = copy.copy(pool.options)
    # A fit that finds its neighbour changes its mind while it runs: give it time.
    pool.options.seconds = 2 * settings.seconds
    for task, work in pieces(options):
        for busy in (False, True):
            if busy:
                with neighbour():
                    figure = pool.compare(task, work, only=["dnn"], threads=(1, 2, None))
            else:
                figure = pool.compare(task, work, only=["dnn"], threads=(1, 2, None))
            figure["neighbour"] = busy
            figures.append(figure)
            print(f"{'busy' if busy else 'quiet':6}", row(figure), flush=True)
    pool.options.seconds = settings.seconds
    return measuring.finish(figures, pool)


def row(figure: dict[str, Any]) -> list[str]:
    """Return times on 1, 2, "auto" threads, and the last two over what they are held against."""
    cases = figure["times"].get("dnn", {})
    cells = [measuring.duration(cases[t]["median"]) if t in cases else "-" for t in ("1", "2", "auto")]
    if figure["neighbour"]:
        ratios = [over(cases, "2", "1"), over(cases, "auto", "1")]
    else:
        found = [value for value in (over(cases, "auto", "1"), over(cases, "auto", "2")) if value]
        ratios = [max(found, default=None)]
    return cells + [measuring.digits(value) if value else "-" for value in ratios]


def over(cases: dict[str, Any], some: str, others: str) -> float | None:
    """Return the median of the ratios within a round: what else the machine does cancels out."""
    if some not in cases or others not in cases:
        return None
    return statistics.median(a / b for a, b in zip(cases[some]["all"], cases[others]["all"], strict=True))


def table(figures: list[dict[str, Any]]) -> str:
    parts = []
    for busy, head in (
        (False, ["quiet", "1 thread", "2", "auto", "auto / better of 1, 2"]),
        (True, ["beside a busy process", "1 thread", "2", "auto", "2 / 1", "auto / 1"]),
    ):
        part = [figure for figure in figures if figure["neighbour"] is busy]
        describe = {"training": training.describe, "prediction": prediction.describe}
        parts.append(measuring.markdown(head, ([describe[f["task"]](f), *row(f)] for f in part)))
    parts += [measuring.left_out(figures), measuring.spread(figures)]
    return "\n\n".join(part for part in parts if part)


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    measuring.main(sys.modules[__name__])
