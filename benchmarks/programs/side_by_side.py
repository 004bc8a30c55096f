"""Time contenders in turns, and tell on which machine: what the benchmarks of the programs share."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))


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


def in_turns(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Call all contenders in each round; return the medians of wall-clock and processor time in seconds."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: tuple(map(statistics.median, zip(*t, strict=True))) for name, t in times.items()}


def print_times(medians: dict[str, tuple[float, float]], what: str) -> None:
    """Print a line for each contender, and how many times faster the first one is than each other one."""
    print(f"{what}: medians in seconds of wall-clock time (of processor time)")
    first = next(iter(medians.values()))
    for name, (wall, cpu) in medians.items():
        print(f"  {name:10} {wall:7.3f} ({cpu:.3f}), ratio {wall / first[0]:.2f} ({cpu / first[1]:.2f})")
    if len(medians) == 1:
        print("  PyTorch is not installed, so that there is nothing to compare with.")


def print_range(name: str, values: Iterable[float], unit: str = "") -> None:
    """Print the median and the range of a figure over seeds."""
    values = list(values)
    middle = statistics.median(values)
    print(f"  {name:28} {middle:7.2f}{unit} ({min(values):.2f} to {max(values):.2f}, {len(values)} seeds)")
