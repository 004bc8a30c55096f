"""Time contenders in turns, and tell on which machine: what the benchmarks of the programs share."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))


def options(doc: str, quick: str, threads: int | None = 1, **numbers: int) -> argparse.Namespace:
    """Parse the arguments of a benchmark, and limit all libraries to the threads that they ask for.

    doc: the docstring of the benchmark; quick: what ``--quick`` does; threads: the default of ``--threads``,
    None for a benchmark that has no such option; numbers: other options, with their defaults.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=quick)
    if threads is not None:
        numbers["threads"] = threads
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    found = parser.parse_args()
    if threads is not None:
        use_threads(found.threads)
    return found


def use_threads(n: int) -> None:
    """Limit all libraries to n threads; must be called before NumPy, dnn and PyTorch are imported."""
    for name in ("DNN", "OMP", "OPENBLAS", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = str(n)


def machine() -> str:
    """Return one line about the processor, the threads and the versions of the libraries."""
    import numpy as np

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":")[1].strip() if lines else model
    libraries = [f"NumPy {np.__version__}"]
    if torch := pytorch():
        libraries.append(f"PyTorch {torch.__version__}")
    return f"{model}, {os.environ['DNN_NUM_THREADS']} thread(s), {', '.join(libraries)}"


def pytorch():
    """Return the module torch, limited to our number of threads, or None if it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(int(os.environ["DNN_NUM_THREADS"]))
    return torch


def seconds_of(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what a call returns, and its wall-clock and processor time in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def in_turns(
    contenders: dict[str, Callable[[], object]], rounds: int, warm_up: bool = False
) -> dict[str, tuple[float, float]]:
    """Call all contenders in each round; return the medians of wall-clock and processor time in seconds.

    warm_up: whether a first round is not counted.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for i in range(-warm_up, rounds):
        for name, run in contenders.items():
            _, wall, cpu = seconds_of(run)
            if i >= 0:
                times[name].append((wall, cpu))
    return {name: tuple(map(statistics.median, zip(*t, strict=True))) for name, t in times.items()}


def print_times(medians: dict[str, tuple[float, float]], what: str) -> None:
    """Print a line for each contender, and how many times faster the first one is than each other one."""
    print(f"{what}: medians in seconds of wall-clock time (of processor time)")
    first = next(iter(medians.values()))
    for name, (wall, cpu) in medians.items():
        print(f"  {name:17} {wall:7.3f} ({cpu:.3f}), ratio {wall / first[0]:.2f} ({cpu / first[1]:.2f})")
    if len(medians) == 1:
        print("  PyTorch is not installed, so that there is nothing to compare with.")


def print_range(name: str, values: Iterable[float], unit: str = "") -> None:
    """Print the median and the range of a figure over seeds."""
    values = list(values)
    middle = statistics.median(values)
    print(f"  {name:28} {middle:7.2f}{unit} ({min(values):.2f} to {max(values):.2f}, {len(values)} seeds)")
