"""Measure contenders side by side: processes, interleaved runs, medians, tables, pictures."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import pickle
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import peers
from work import Work, start

HERE = Path(__file__).parent
# Allowed distance of the parameters from NumPy's in float64 after three steps, relative to their movement.
TOLERANCE = 1e-3
PREDICTION_TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
MOST = 20_000  # full-batch steps per run, at most
PAUSE = 0.03  # seconds, in which spinning threads of the previous contender go to sleep


class Worker:
    """A contender in its own process."""

    def __init__(self, name: str, threads: int | None, isa: str | None) -> None:
        self.name, self.threads = name, threads
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "peers.py"), name, str(threads or 0)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=peers.environment(threads, isa),
        )

    def ask(self, *request: Any) -> Any:
        pickle.dump(request, self.process.stdin)
        self.process.stdin.flush()
        try:
            answer = pickle.load(self.process.stdout)
        except EOFError:
            raise RuntimeError(f"{self.name}: its process ended ({self.process.wait()})") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Pool:
    """The contenders of a run, with one process per number of threads, which lives until the end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.workers: dict[tuple[str, int | None], Worker] = {}
        self.rates: dict[str, float] = {}
        wanted = [name for name, peer in peers.CONTENDERS.items() if not peer.asked]
        if options.contenders:
            wanted = [name.strip() for name in options.contenders.split(",")]
            for name in wanted:
                if name not in peers.CONTENDERS:
                    raise SystemExit(f"--contenders must be from {', '.join(peers.CONTENDERS)}, got {name!r}")
        if options.compile:
            wanted.append("PyTorch compiled")
        self.names = []
        for name in wanted:
            if without := peers.missing(name):
                print(f"{name} is excluded: {', '.join(without)} not installed", flush=True)
            else:
                self.names.append(name)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def worker(self, name: str, threads: int | None) -> Worker:
        key = name, threads
        if key not in self.workers or self.workers[key].process.poll() is not None:
            self.workers[key] = Worker(name, threads, self.options.isa)
        return self.workers[key]

    def rate(self, dtype: str) -> float:
        """Return the best rate of large matrix products on two threads so far, in flops per second."""
        for name in ("NumPy", "PyTorch"):
            if not peers.missing(name):
                time.sleep(PAUSE)
                self.rates[dtype] = max(self.rates.get(dtype, 0), self.worker(name, 2).ask("products", dtype))
        return self.rates[dtype]

    def compare(
        self, task: str, work: Work, *, only: Iterable[str] | None = None, threads: Sequence[int | None] = ()
    ) -> dict[str, Any]:
        """Return the figures of all contenders for a piece of work.

        Parameters
        ----------
        task : "training" or "prediction"
        only : names, default None
            None: all contenders of this run.
        threads : ints, default ()
            Numbers of threads to use instead of each contender's own; None leaves the number to the library.
        """
        options = self.options
        names = [n for n in self.names if peers.can(n, task) and (only is None or n in only)]
        left_out: dict[str, str] = {}
        times: dict[tuple[str, int | None], list[float]] = {}
        counts, checks = {}, {}
        scale = work.rows / work.in_memory if task == "training" else 1
        reference = expected(task, work)
        for name in names:
            for n_threads in threads or peers.CONTENDERS[name].threads:
                worker = self.worker(name, n_threads)
                try:
                    distance = check(worker, task, work, reference)
                    worker.ask("make", task, work, work.in_memory)
                    counts[name, n_threads] = calibrate(
                        worker, options.seconds, MOST if task == "training" else 10**6
                    )
                except NotImplementedError as reason:
                    left_out[f"{name}, {n_threads} thread{'s' * (n_threads != 1)}"] = str(reason)
                    continue
                except RuntimeError as error:
                    left_out[f"{name}, {n_threads} thread{'s' * (n_threads != 1)}"] = f"failed: {error}"
                    print(f"{work.name}: {name} failed: {error}", flush=True)
                    continue
                checks[name] = max(distance, checks.get(name, 0))
                times[name, n_threads] = []
        for repeat in range(options.repeats):
            # The order is reversed in every second run, so that a contender does not always run after the
            # same one.
            for case in list(times)[:: -1 if repeat % 2 else 1]:
                time.sleep(PAUSE)
                seconds = self.workers[case].ask("run", counts[case])
                times[case].append(scale * seconds / counts[case])
        found: dict[str, Any] = {}
        for (name, n_threads), values in times.items():
            found.setdefault(name, {})[str(n_threads or "auto")] = {
                "median": statistics.median(values),
                "all": values,
            }
        self.rate(work.dtype)
        return {
            "task": task, "network": work.name, **dataclasses.asdict(work), "n_params": work.n_params,
            "flops": work.training_flops if task == "training" else work.prediction_flops,
            "times": found, "distances": checks, "left_out": left_out,
        }  # fmt: skip


def expected(task: str, work: Work) -> Any:
    """Return NumPy's float64 result: parameters after three steps, by (batch size, epsilon); or outputs."""
    exact = dataclasses.replace(work, dtype="float64")
    if task == "prediction":
        return peers.NumPy(1).prediction(exact, work.in_memory).result()
    found = {}
    for batch in {work.batch or work.rows, 4}:
        few = dataclasses.replace(exact, batch=batch if work.batch else None)
        for corrected in (True, False) if work.optimizer == "Adam" else (True,):
            numpy = peers.NumPy(1)
            numpy.corrected = corrected
            run = numpy.training(few, rows_of_check(few) if work.batch else batch)
            run.reset()
            run.run(1 if work.batch else 3)
            found[batch, corrected] = [p.copy() for part in run.result() for p in part]
    return found


def rows_of_check(work: Work) -> int:
    """Return the rows of three batches, or of as many as hold every class, which scikit-learn needs."""
    if work.batch is None:
        return work.rows
    return max(3, -(-work.sizes[-1] // work.batch)) * work.batch


def check(worker: Worker, task: str, work: Work, reference: Any) -> float:
    """Return the distance of a contender's result from NumPy's; raise RuntimeError if it is too large."""
    if task == "prediction":
        worker.ask("make", task, work, work.in_memory)
        outputs = worker.ask("result", 1)
        reference = reference[: len(outputs)]  # loops compute only some rows
        distance = float(abs(outputs.reshape(reference.shape) - reference).max())
        allowed = PREDICTION_TOLERANCE[work.dtype]
    else:
        batch = 4 if worker.name == "loops" else work.batch or work.rows
        few = dataclasses.replace(work, batch=batch if work.batch else None)
        worker.ask("make", task, few, rows_of_check(few) if work.batch else batch)
        parts = worker.ask("result", 1 if work.batch else 3)
        # scikit-learn adds Adam's epsilon to the square root before the bias correction.
        exact = reference[batch, worker.name != "scikit-learn" or work.optimizer != "Adam"]
        first = [p.astype("float64") for part in start(work) for p in part]
        ours = [p for part in parts for p in part]
        way = math.sqrt(sum(((p - q) ** 2).sum() for p, q in zip(exact, first, strict=True)))
        off = math.sqrt(sum(((p - q) ** 2).sum() for p, q in zip(exact, ours, strict=True)))
        size = math.sqrt(sum((p**2).sum() for p in exact))
        distance = off / way
        # The result is rounded to the last digit of the parameters, which matters if the steps are small.
        allowed = TOLERANCE + 3 * float(np.finfo(work.dtype).eps) * size / way
    if not distance <= allowed:
        raise RuntimeError(f"different result: distance {distance:.2g} from NumPy, allowed {allowed:.2g}")
    return distance


def calibrate(worker: Worker, seconds: float, most: int) -> int:
    """Return how many epochs, steps or calls take about this time."""
    if worker.ask("run", 1) > 5 * seconds:  # warms up, compiles
        return 1
    count = 1
    while True:
        taken = worker.ask("run", count)
        if taken >= seconds / 3 or count >= most:
            return max(1, min(most, math.ceil(count * seconds / taken)))
        count = min(most, math.ceil(count * min(20, 0.7 * seconds / taken)))


# Figures


def best(figure: dict[str, Any], name: str) -> tuple[float, str] | None:
    """Return the better of a contender's medians, and its number of threads; None if it did not take part."""
    times = figure["times"].get(name)
    return min((case["median"], threads) for threads, case in times.items()) if times else None


def finish(figures: list[dict[str, Any]], pool: Pool) -> list[dict[str, Any]]:
    """Add the floor, from the best rate of the whole run."""
    for figure in figures:
        figure["product_rate"] = pool.rates[figure["dtype"]]
        figure["floor"] = figure["flops"] / figure["product_rate"]
    return figures


def duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size * (2 if size > 1 else 1) or unit == "µs":
            return f"{digits(seconds / size)} {unit}"
    raise AssertionError


def digits(value: float) -> str:
    """Return three significant digits, as none of the times is resolved finer."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if value else "0"


SECONDS = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6}
DURATION = re.compile(rf"([\d.,]+) ({'|'.join(SECONDS)})( \(\d+\))?")


def one_unit(head: Sequence[str], body: Iterable[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Return the table with one unit per column of durations, the smallest one in it, named in the head."""
    heads, rows = list(head), [list(row) for row in body]
    for column in range(1, len(heads)):
        cells = [DURATION.fullmatch(row[column]) for row in rows]
        units = [cell[2] for cell in cells if cell]
        if not units or any(not cell and row[column] != "-" for cell, row in zip(cells, rows, strict=True)):
            continue
        unit = min(units, key=SECONDS.__getitem__)
        heads[column] += f", {unit}"
        for cell, row in zip(cells, rows, strict=True):
            if cell:
                value = float(cell[1].replace(",", "")) * SECONDS[cell[2]] / SECONDS[unit]
                row[column] = (f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else digits(value)) + (
                    cell[3] or ""
                )
    return heads, rows


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    head, body = one_unit(head, body)
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body)])


def contenders_of(figures: Iterable[dict[str, Any]]) -> list[str]:
    present = {name for figure in figures for name in figure["times"]}
    return [name for name in peers.CONTENDERS if name in present]


def times_table(figures: list[dict[str, Any]], describe: Callable[[dict[str, Any]], str], what: str) -> str:
    """Return medians, each with the better number of threads in parentheses."""
    names = contenders_of(figures)
    body = []
    for figure in figures:
        row = [describe(figure), duration(figure["floor"])]
        for name in names:
            found = best(figure, name)
            row.append(f"{duration(found[0])} ({found[1]})" if found else "-")
        body.append(row)
    return markdown([f"{what} (threads)", "floor", *names], body)


def table(figures: list[dict[str, Any]], describe: Callable[[dict[str, Any]], str], what: str) -> str:
    """Return two tables: the times, and their ratios to dnn's time."""
    parts = [times_table(figures, describe, what)]
    names = [name for name in contenders_of(figures) if name != "dnn"]
    body = []
    for figure in figures:
        if ours := best(figure, "dnn"):
            others = [best(figure, name) for name in names]
            ratios = [digits(found[0] / ours[0]) if found else "-" for found in others]
            body.append([describe(figure), *ratios, digits(ours[0] / figure["floor"])])
    if body:
        parts.append(markdown(["time / dnn's time", *names, "dnn / floor"], body))
    return "\n\n".join(parts)


def brief(figure: dict[str, Any]) -> str:
    name = figure["network"]
    return name if len(name) <= 20 else f"{name[:10]}...{name[-7:]}"


def line(figure: dict[str, Any]) -> str:
    """Return a line about the last measurement, to show progress."""
    found = {name: best(figure, name) for name in contenders_of([figure])}
    return f"{brief(figure):22}" + ", ".join(
        f"{name} {duration(value[0])} ({value[1]})" for name, value in found.items()
    )


def left_out(figures: list[dict[str, Any]]) -> str:
    reasons: dict[tuple[str, str], list[str]] = {}
    for figure in figures:
        for name, why in figure["left_out"].items():
            reasons.setdefault((name, why), []).append(brief(figure))
    parts = [f"{name} ({why}): {', '.join(dict.fromkeys(works))}" for (name, why), works in reasons.items()]
    return "Excluded: " + "; ".join(parts) + "." if parts else ""


def spread(figures: Iterable[dict[str, Any]]) -> str:
    """Return how much repeated runs differ, as a sentence: it tells how exact the figures are."""
    found = []
    for figure in figures:
        for cases in figure["times"].values():
            for case in cases.values():
                low, middle, high = (float(np.quantile(case["all"], q)) for q in (0.25, 0.5, 0.75))
                found.append((high - low) / middle)
    if not found:
        return ""
    usual, bad = (round(100 * float(np.quantile(found, q))) for q in (0.5, 1))
    return f"Interquartile range of a contender's runs: typically {usual} % of the median, {bad} % at most."


def scaled(figures: Iterable[dict[str, Any]]) -> str:
    """Return a sentence that lists the figures scaled from a part of the rows, or an empty string."""
    parts = [f"{f['network']}: {f['part']} of {f['rows']} rows" for f in figures if f["part"]]
    return "Timed on a part of the rows and scaled to all: " + "; ".join(parts) + "." if parts else ""


# Output


def machine(pool: Pool) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for name in pool.names:
        for package in peers.CONTENDERS[name].packages:
            versions[package] = metadata.version(package)
    model = platform.processor() or platform.machine()
    flags: list[str] = []
    if os.path.exists("/proc/cpuinfo"):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() == "flags":
                flags = value.split()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found: dict[str, Any] = {
        "processor": model,
        "cores": cores,
        "instruction sets": ", ".join(f for f in ("avx2", "avx512f") if f in flags),
        "system": platform.platform(),
        "date": time.strftime("%Y-%m-%d"),
        "load before": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "versions": versions,
    }
    if "dnn" in pool.names:
        found |= pool.worker("dnn", 1).ask("versions")
    return found


def parser(doc: str) -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=doc.splitlines()[0])
    found.add_argument(
        "--quick", action="store_true", help="a few short runs, to check that everything works"
    )
    found.add_argument("--full", action="store_true", help="use all rows, even if an epoch takes seconds")
    found.add_argument(
        "--repeats", type=int, help="number of runs per contender (5; with --quick 3, with --full 9)"
    )
    found.add_argument("--seconds", type=float, help="approximate time of a run (0.2; with --quick 0.03)")
    found.add_argument("--contenders", help=f"a comma-separated selection of {', '.join(peers.CONTENDERS)}")
    found.add_argument("--compile", action="store_true", help="add PyTorch with torch.compile")
    found.add_argument(
        "--isa", choices=["avx2"], help="disable AVX-512 in all contenders that have a setting for it"
    )
    found.add_argument("--json", type=Path, help="write the machine and the figures to this file")
    found.add_argument("--pictures", type=Path, help="write the pictures to this folder")
    return found


def options_of(found: argparse.ArgumentParser) -> argparse.Namespace:
    options = found.parse_args()
    options.repeats = options.repeats or (3 if options.quick else 9 if options.full else 5)
    options.seconds = options.seconds or (0.03 if options.quick else 0.2)
    return options


def main(question: Any) -> None:
    """Run one benchmark from the command line: a module with NAME, measure, table and draw."""
    found = parser(question.__doc__)
    if hasattr(question, "arguments"):
        question.arguments(found)
    options = options_of(found)
    with Pool(options) as pool:
        about = machine(pool)
        print(describe_machine(about), end="\n\n", flush=True)
        figures = question.measure(pool, options)
    print(question.table(figures))
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "figures": {question.NAME: figures}}, indent=1))
    if options.pictures:
        draw(question, figures, options.pictures)


def describe_machine(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    rest = [f"{key}: {value}" for key, value in about.items() if key not in ("versions",)]
    return "; ".join(rest) + f"; {versions}"


# Pictures: Okabe and Ito's colors, a marker for each contender, and names at the ends of the lines

STYLE = {
    "dnn": ("#0072B2", "o"),
    "dnn predictor": ("#0072B2", "1"),
    "PyTorch": ("#D55E00", "s"),
    "PyTorch compiled": ("#D55E00", "x"),
    "JAX": ("#009E73", "^"),
    "ONNX Runtime": ("#CC79A7", "D"),
    "scikit-learn": ("#E69F00", "v"),
    "NumPy": ("#56B4E9", "P"),
    "loops": ("#7F7F7F", "*"),
    "floor": ("black", ""),
}


def draw(question: Any, figures: list[dict[str, Any]], folder: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        print("The pictures are not drawn, because matplotlib is not installed.")
        return
    matplotlib.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in question.draw(figures).items():
        figure.savefig(folder / f"{name}.png", dpi=100)


def axes(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    ax = Figure(figsize=(width, height), layout="constrained").subplots()
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=14)
    ax.set_axisbelow(True)
    return ax


def short(value: float) -> str:
    """Return a round number for an axis."""
    return f"{value / 1000:g}k" if value >= 1000 and value % 1000 == 0 else f"{value:g}"


def lines(figures: list[dict[str, Any]], x: Sequence[float], x_label: str, title: str) -> Any:
    """Return a log-log picture of times against x, with one line per contender and one for the floor."""
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    ax = axes(6.4, 5.8)
    ends, lowest = [], math.inf
    for name in [*contenders_of(figures), "floor"]:
        points = []
        for at, figure in zip(x, figures, strict=True):
            found = (figure["floor"], "") if name == "floor" else best(figure, name)
            if found:
                points.append((at, found[0]))
        color, mark = STYLE[name]
        ax.plot(
            *zip(*points, strict=True),
            color=color,
            marker=mark,
            markersize=8,
            linewidth=3.5 if name == "dnn" else 1.2 if name == "dnn predictor" else 2,
            linestyle="--" if name == "floor" else "-",
            zorder=3 if name == "dnn" else 2,
        )
        ends.append((points[-1][1], name, color))
        if name != "floor":
            lowest = min(lowest, *(time for _, time in points))
    ax.set_xscale("log")
    ax.set_yscale("log")
    # For small networks the floor is far below all times, and showing all of it would compress the other
    # lines.
    ax.set_ylim(bottom=min(lowest / 3, ends[-1][0] / 1.5))
    low, high = ax.get_ylim()
    # The names stand next to the last points. Names that would overlap are moved apart, up and down alike.
    ends.sort()
    gap = (high / low) ** 0.055
    places = [max(end[0], low) for end in ends]
    for _ in range(1000):
        for i in range(len(places) - 1):
            if places[i + 1] < places[i] * gap:
                middle = math.sqrt(places[i] * places[i + 1])
                places[i], places[i + 1] = middle / gap**0.501, middle * gap**0.501
    for (_, name, color), place in zip(ends, places, strict=True):
        ax.annotate(
            name,
            (1.01, place),
            xycoords=("axes fraction", "data"),
            color=color,
            va="center",
            fontsize=14,
            fontweight="bold" if name == "dnn" else "normal",
            annotation_clip=False,
        )
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: re.sub(r"\.0+ ", " ", duration(value))))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_minor_locator(NullLocator())
    every = 2 if len(x) > 6 else 1
    ax.set_xticks(list(x)[::every], [short(value) for value in list(x)[::every]])
    ax.set_xlabel(x_label, fontsize=15)
    ax.set_title(title, fontsize=15, loc="left")
    ax.grid(True, which="major", color="#DDDDDD", linewidth=0.8)
    return ax.figure


def dots(figures: list[dict[str, Any]], labels: Sequence[str], title: str, floor: bool = True) -> Any:
    """Return a picture of the ratios of the peers' times to dnn's, with a row of dots per piece of work."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ax = axes(6.4, 1.6 + 0.62 * len(figures))
    every = [1.0]
    # dnn is the line at 1. Loops are thousands of times slower and would compress the rest of the picture;
    # so would the floor of tiny networks, which is far below all times.
    names = [name for name in contenders_of(figures) if name not in ("dnn", "loops")]
    for name in ["floor"] * floor + names:
        points = []
        for row, figure in enumerate(figures):
            ours = best(figure, "dnn")
            other = (figure["floor"], "") if name == "floor" else best(figure, name)
            if ours and other and (name != "floor" or other[0] > 0.1 * ours[0]):
                points.append((other[0] / ours[0], row))
        if points:
            color, mark = STYLE[name]
            edge = {} if mark in ("", "x", "1") else {"markeredgecolor": "white"}
            width = 1 if edge else 2.5
            ax.plot(
                *zip(*points, strict=True),
                mark or "|",
                color=color,
                markersize=13,
                label=name,
                markeredgewidth=width,
                **edge,
            )
            every += [value for value, _ in points]
    ax.axvline(1, color=STYLE["dnn"][0], linewidth=3.5, zorder=1, label="dnn")
    ax.set_xscale("log")
    ax.set_xlim(min(every) / 1.25, max(every) * 1.25)
    ax.set_yticks(range(len(figures)), labels, fontsize=14)
    ax.invert_yaxis()
    # Ticks at 1 and 3, or in a narrow range at 1, 2 and 5
    steps = (1, 3) if max(every) > 20 * min(every) else (1, 2, 5)
    ax.xaxis.set_major_locator(FixedLocator([step * 10.0**k for k in range(-3, 5) for step in steps]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_title(title, fontsize=15, loc="left")
    ax.grid(True, axis="x", color="#DDDDDD", linewidth=0.8)
    ax.figure.legend(
        *ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=13, frameon=False
    )
    return ax.figure
