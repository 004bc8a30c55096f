"""How does the training time grow with the width, the depth and the batch size?

All networks use float32, Adam, ReLU and ten classes. The width grows in networks with two hidden layers as
wide as their input, the depth in networks with 64 units per layer, and the batch size in 64-128-128-10. The
times are those of one step.

    python benchmarks/scaling.py [--full] [--quick] [--json FILE] [--pictures FOLDER]
"""

import argparse
import sys
from typing import Any

import measuring
from work import Work

NAME = "scaling"
BATCH = 128
SWEEPS = {
    "width": [2**k for k in range(2, 12)],
    "depth": [1, 2, 4, 8, 16, 32],
    "rows": [2**k for k in range(0, 15, 2)],
}
TITLES = {
    "width": "time per step against width: w-w-w-10, 128 rows",
    "depth": "time per step against depth: 64 units per layer, 128 rows",
    "rows": "time per step against batch size: 64-128-128-10",
}
LABELS = {"width": "width", "depth": "hidden layers", "rows": "batch size"}


def work_of(sweep: str, value: int, few: bool) -> Work:
    if sweep == "width":
        sizes, batch = (value, value, value, 10), BATCH
    elif sweep == "depth":
        sizes, batch = (64, *[64] * value, 10), BATCH
    else:
        sizes, batch = (64, 128, 128, 10), value
    # An epoch has many steps, so that its beginning is negligible, unless this takes too long. It has at
    # least as many rows as scikit-learn needs to see each class once.
    flops = Work(sizes, batch).training_flops
    steps = max(2, min(64, int((2e9 if few else 1e10) / flops)))
    return Work(sizes, max(steps, -(-10 // batch)) * batch, batch)


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    figures = []
    names = [name for name in pool.names if name != "loops"]  # too slow here
    for sweep, values in SWEEPS.items():
        for value in values[::2] if options.quick else values:
            work = work_of(sweep, value, not options.full)
            figure = pool.compare("training", work, only=names)
            steps = work.rows // work.batch
            for cases in figure["times"].values():
                for case in cases.values():
                    case["median"] /= steps
                    case["all"] = [seconds / steps for seconds in case["all"]]
            figure |= {"sweep": sweep, "value": value, "flops": figure["flops"] // steps}
            figures.append(figure)
            print(f"{sweep:6}{value:6}  {measuring.line(figure)}", flush=True)
    return measuring.finish(figures, pool)


def table(figures: list[dict[str, Any]]) -> str:
    parts = []
    for sweep in SWEEPS:
        part = [figure for figure in figures if figure["sweep"] == sweep]
        parts.append(TITLES[sweep][0].upper() + TITLES[sweep][1:] + ".")
        parts.append(measuring.times_table(part, lambda figure: f"{figure['value']:,}", LABELS[sweep]))
    parts += [measuring.left_out(figures), measuring.spread(figures)]
    return "\n\n".join(part for part in parts if part)


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    found = {}
    for sweep in SWEEPS:
        part = [figure for figure in figures if figure["sweep"] == sweep]
        x = [figure["value"] for figure in part]
        found[f"scaling_{sweep}"] = measuring.lines(part, x, LABELS[sweep], TITLES[sweep])
    return found


if __name__ == "__main__":
    measuring.main(sys.modules[__name__])
