"""How long does a prediction take, as a whole call from Python?

X is a C-contiguous float32 array (or the library's own array, made before), also if it has one row. The
outputs are probabilities and are first compared with NumPy's in float64.

    python benchmarks/prediction.py [--isa avx2] [--quick] [--json FILE] [--pictures FOLDER]
"""

import argparse
import sys
from typing import Any

import measuring
from work import Work

NAME = "prediction"
WORK = [
    Work((4, 64, 64, 2), 1),
    Work((64, 100, 10), 1),
    Work((784, 512, 512, 10), 1),
    Work((4, 64, 64, 2), 100_000),
    Work((64, 100, 10), 100_000),
    Work((784, 512, 512, 10), 1000),
]
SWEEP = (64, 100, 10)
ROWS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    figures = []
    sweep = ROWS[::2] if options.quick else ROWS
    for work in [*WORK, *(Work(SWEEP, n) for n in sweep if Work(SWEEP, n) not in WORK)]:
        figures.append(pool.compare("prediction", work))
        print(measuring.line(figures[-1]), flush=True)
    return measuring.finish(figures, pool)


def describe(figure: dict[str, Any]) -> str:
    rows = f"{figure['rows']:,} rows" if figure["rows"] > 1 else "one row"
    return f"{figure['network']}, {rows}"


def listed(figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of WORK; the others are for the picture."""
    return figures[: len(WORK)]


def swept(figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted((f for f in figures if tuple(f["sizes"]) == SWEEP), key=lambda figure: figure["rows"])


def table(figures: list[dict[str, Any]]) -> str:
    parts = [measuring.table(listed(figures), describe, "time per call, float32")]
    if single := one_thread(figures):
        parts.append(single)
    parts.append("Time against the number of rows:")
    parts.append(measuring.times_table(swept(figures), describe, "time per call, float32"))
    parts += [measuring.left_out(figures), measuring.spread(figures)]
    return "\n\n".join(part for part in parts if part)


def one_thread(figures: list[dict[str, Any]]) -> str:
    """Return a table of dnn and ONNX Runtime, both on one thread."""
    body = []
    for figure in listed(figures):
        dnn_time, onnx_time = (figure["times"].get(name, {}).get("1") for name in ("dnn", "ONNX Runtime"))
        if dnn_time and onnx_time:
            dnn_time, onnx_time = dnn_time["median"], onnx_time["median"]
            times = measuring.duration(dnn_time), measuring.duration(onnx_time)
            body.append([describe(figure), *times, measuring.digits(onnx_time / dnn_time)])
    return measuring.markdown(["one thread each", "dnn", "ONNX Runtime", "ratio"], body) if body else ""


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    rows = swept(figures)
    return {
        NAME: measuring.dots(
            listed(figures),
            [describe(f).replace("100,000", "100k").replace(", ", "\n") for f in listed(figures)],
            "prediction: time / dnn's time",
            floor=False,
        ),
        "prediction_rows": measuring.lines(
            rows, [figure["rows"] for figure in rows], "rows", "a prediction by 64-100-10"
        ),
    }


if __name__ == "__main__":
    measuring.main(sys.modules[__name__])
