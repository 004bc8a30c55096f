"""How long does an epoch of training take? With a full batch, an epoch is one step.

The networks have ReLU hidden layers and the log loss of a sigmoid or a softmax, and read the rows in the
given order. First every contender takes the same three steps from the same weights; contenders with a
different result are excluded and listed.

    python benchmarks/training.py [--float64] [--only 784,64] [--isa avx2] [--full] [--json FILE]
"""

import argparse
import dataclasses
import sys
from typing import Any

import measuring
from work import Work

NAME = "training"
WORK = [  # rows: a multiple of the batch; part: rows that are timed without --full
    Work((2, 4, 1), 400, None, "descent"),
    Work((12288, 20, 7, 5, 1), 209, None, "descent"),
    Work((8, 64, 64, 1), 20640 // 64 * 64, 64),
    Work((64, 100, 10), 1797 // 200 * 200, 200),
    Work((784, 128, 10), 60000 // 128 * 128, 128, part=6400),
    Work((784, 512, 512, 10), 60000 // 128 * 128, 128, part=6400),
    Work((1024, 2048, 2048, 1000), 8192, 1024, "descent"),  # a part would count fresh memory several times
]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--float64", action="store_true", help="measure in double precision")
    parser.add_argument("--only", help="comma-separated beginnings of the names of networks")


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    figures = []
    only = tuple((getattr(options, "only", None) or "").split(","))
    for work in WORK:
        if not work.name.startswith(only):
            continue
        if options.full:
            work = dataclasses.replace(work, part=None)
        elif options.quick and work.part:
            work = dataclasses.replace(work, part=max(1, work.part // work.batch // 5) * work.batch)
        if getattr(options, "float64", False):
            work = dataclasses.replace(work, dtype="float64")
        figures.append(pool.compare("training", work))
        print(measuring.line(figures[-1]), flush=True)
    return measuring.finish(figures, pool)


def describe(figure: dict[str, Any]) -> str:
    name = "gradient descent" if figure["optimizer"] == "descent" else figure["optimizer"]
    batch = f"batch {figure['batch']}, {name}" if figure["batch"] else "full batch"
    return f"{figure['network']}, {figure['rows']} rows, {batch}"


def table(figures: list[dict[str, Any]]) -> str:
    return "\n\n".join(
        part
        for part in (
            measuring.table(figures, describe, f"time per epoch, {figures[0]['dtype']}"),
            measuring.scaled(figures),
            measuring.left_out(figures),
            measuring.spread(figures),
        )
        if part
    )


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    labels = [figure["network"].replace("12288-20-7-5-1", "12288-20-…-1") for figure in figures]
    labels = [label.replace("1024-2048-2048-1000", "1024-2048-…-1000") for label in labels]
    return {NAME: measuring.dots(figures, labels, "training: time / dnn's time")}


if __name__ == "__main__":
    measuring.main(sys.modules[__name__])
