"""How much memory does fit need at its peak?

Each case runs in a fresh process, in which a small fit has loaded all code. The figure is the peak of the
resident memory (VmHWM) minus the resident memory before X was made. It is compared with the sum of X, y, 7 x
parameters, 2 x batch size x sum of the layer widths, 24 bytes x rows, and threads x tile. Linux only.

    python benchmarks/memory.py [--quick] [--json FILE]
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import measuring
import numpy as np
from work import RATE, Work

NAME = "memory"
TILE = 1 << 20  # bytes per thread, about the size of an L2 cache
WORK = [
    Work((8, 64, 64, 1), 1_000_000, 64),
    Work((784, 128, 10), 60000, 128),
    Work((784, 512, 512, 10), 60000, 128),
    Work((784, 512, 512, 10), 60000, 4096),
    Work((1024, 2048, 2048, 1000), 8192, 1024),
    Work((256, 256, 10), 100_000, None),
]


def resident(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(key)


def child(work: Work) -> None:
    """Print the bytes that X, y, a network and its fit add to this process at the peak."""
    import dnn

    def fit(work: Work) -> None:
        rng = np.random.default_rng(0)
        X = np.empty((work.rows, work.sizes[0]), work.dtype)
        rng.standard_normal(out=X, dtype=work.dtype)
        y = np.arange(work.rows) % max(work.sizes[-1], 2)
        net = dnn.Network(work.sizes, output="sigmoid" if work.one_unit else "softmax", random_state=0)
        net.fit(X, y, optimizer=dnn.Adam(RATE), epochs=1, batch_size=work.batch)

    fit(Work((4, 4, 2), 200, 64))
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    fit(work)
    print(resident("VmHWM") - before)


def allowed(work: Work, threads: int) -> dict[str, int]:
    size = np.dtype(work.dtype).itemsize
    rows = work.batch or work.rows
    return {
        "X": work.rows * work.sizes[0] * size,
        "y": work.rows * 8,
        "parameters": 7 * work.n_params * size,
        "batch": 2 * rows * sum(work.sizes) * size,
        "rows": 24 * work.rows,
        "tiles": threads * TILE,
    }


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    if not os.path.exists("/proc/self/clear_refs"):
        print("The memory benchmark needs /proc of Linux.")
        return []
    figures = []
    threads = len(os.sched_getaffinity(0))
    for work in WORK[:: 3 if options.quick else 1]:
        peaks = []
        for _ in range(1 if options.quick else 3):
            command = [sys.executable, __file__, "--child", json.dumps(dataclasses.asdict(work))]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(int(done.stdout))
        parts = allowed(work, threads)
        figures.append(
            {
                "network": work.name,
                **dataclasses.asdict(work),
                "peak": max(peaks),
                "all": peaks,
                "allowed": sum(parts.values()),
                "parts": parts,
            }
        )
    return figures


def table(figures: list[dict[str, Any]]) -> str:
    body = []
    for f in figures:
        mb = [f"{value / 1e6:.1f}" for value in (f["parts"]["X"], f["allowed"], f["peak"])]
        name = f"{f['network']}, {f['rows']:,} rows, batch {f['batch'] or 'all'}, Adam"
        body.append([name, *mb, f"{f['peak'] / f['allowed']:.2f}"])
    return measuring.markdown(["peak of fit, MB", "X", "formula", "measured", "measured / formula"], body)


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        case = json.loads(sys.argv[2])
        child(Work(**case | {"sizes": tuple(case["sizes"])}))
    else:
        measuring.main(sys.modules[__name__])
