"""Does dnn choose a good number of threads, on an idle machine and while another process keeps one core busy?

dnn runs with n_threads 1, 2 and "auto". There are two goals. On an idle machine, "auto" takes at most 1.1
times as long as the better of one and two threads. With a busy core, everything takes at most 1.3 times as
long as one thread.

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
def neighbor():
    """Keep one core busy, which the operating system chooses."""
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
    # A fit reacts to the busy core while it runs, which needs some time.
    pool.options.seconds = 2 * settings.seconds
    for task, work in pieces(options):
        for busy in (False, True):
            if busy:
                with neighbor():
                    figure = pool.compare(task, work, only=["dnn"], threads=(1, 2, None))
            else:
                figure = pool.compare(task, work, only=["dnn"], threads=(1, 2, None))
            figure["neighbor"] = busy
            figures.append(figure)
            print(f"{'busy' if busy else 'quiet':6}", row(figure), flush=True)
    pool.options.seconds = settings.seconds
    return measuring.finish(figures, pool)


def row(figure: dict[str, Any]) -> list[str]:
    """Return the times with 1, 2 and "auto" threads, and the ratios to their references."""
    cases = figure["times"].get("dnn", {})
    cells = [measuring.duration(cases[t]["median"]) if t in cases else "-" for t in ("1", "2", "auto")]
    if figure["neighbor"]:
        ratios = [over(cases, "2", "1"), over(cases, "auto", "1")]
    else:
        found = [value for value in (over(cases, "auto", "1"), over(cases, "auto", "2")) if value]
        ratios = [max(found, default=None)]
    return cells + [measuring.digits(value) if value else "-" for value in ratios]


def over(cases: dict[str, Any], some: str, others: str) -> float | None:
    """Return the median of the ratios within a round, in which other load on the machine cancels out."""
    if some not in cases or others not in cases:
        return None
    return statistics.median(a / b for a, b in zip(cases[some]["all"], cases[others]["all"], strict=True))


def table(figures: list[dict[str, Any]]) -> str:
    parts = []
    for busy, head in (
        (False, ["idle machine", "1 thread", "2 threads", "auto", "auto / better of 1, 2"]),
        (True, ["one busy core", "1 thread", "2 threads", "auto", "2 / 1", "auto / 1"]),
    ):
        part = [figure for figure in figures if figure["neighbor"] is busy]
        describe = {"training": training.describe, "prediction": prediction.describe}
        parts.append(measuring.markdown(head, ([describe[f["task"]](f), *row(f)] for f in part)))
    parts += [measuring.left_out(figures), measuring.spread(figures)]
    return "\n\n".join(part for part in parts if part)


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    measuring.main(sys.modules[__name__])
