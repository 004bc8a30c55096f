"""How long does `import dnn` take after `import numpy`, and how large is the package on disk?

python benchmarks/start.py [--quick] [--json FILE]

The size is that of the package that Python finds: run it with dnn installed from a wheel, because a checkout
has the programs of examples/ elsewhere.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import measuring

NAME = "start"
TIMED = """
import time
begin = time.perf_counter()
import numpy
middle = time.perf_counter()
import dnn
print(middle - begin, time.perf_counter() - middle)
"""
# File types of an installed package; a checkout also has sources in the same folder.
INSTALLED = {".py", ".pyi", ".typed", ".so", ".pyd"}


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    import dnn

    # Modules are compiled once, as by pip when it installs them, even if the environment disables this
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times = []
    for repeat in range(4 * options.repeats + 1):
        done = subprocess.run(
            [sys.executable, "-c", TIMED], capture_output=True, text=True, check=True, env=environment
        )
        if repeat:  # the first run fills the file cache and may compile
            times.append([float(value) for value in done.stdout.split()])
    files = [path for path in Path(dnn.__file__).parent.rglob("*") if path.suffix in INSTALLED]
    return [
        {
            "numpy": statistics.median(numpy for numpy, _ in times),
            "dnn": statistics.median(dnn for _, dnn in times),
            "all": times,
            "bytes": sum(os.path.getsize(path) for path in files),
        }
    ]


def table(figures: list[dict[str, Any]]) -> str:
    (f,) = figures
    return measuring.markdown(
        ["", "import numpy", "import dnn after it", "installed package without its dependencies, MB"],
        [
            [
                "measured",
                measuring.duration(f["numpy"]),
                measuring.duration(f["dnn"]),
                f"{f['bytes'] / 1e6:.2f}",
            ]
        ],
    )


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    measuring.main(sys.modules[__name__])
