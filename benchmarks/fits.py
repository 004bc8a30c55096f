"""Should independent trainings run side by side, or one after the other with all threads?

A search, a cross-validation and several seeds are many trainings that do not depend on each other. Each row
of the first table is a network and a batch size. As many networks as there are threads are trained side by
side, each by one thread (A), and one after the other, each by all threads (B); one network is also trained
by one thread (C). Each is repeated in turns; the figures are medians of the ratios within a turn:

    speed-up     C's time / the time of one of B's trainings: how much sooner one network is ready
    gain         B's time / A's time: how many more networks are ready in the same time if each has one core

The second table has the times of a grid search of scikit-learn on its digits (6 candidates, 3 folds), with
each of joblib's ways to run it: of the first search, with the start of the workers, and of later ones. The
third has the time in which Optuna's storages take the figure of an epoch.

    python benchmarks/fits.py [--threads 2] [--rounds 9] [--seconds 0.05] [--only rule,search,storage]
"""

import argparse
import itertools
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dnn import MLPClassifier, Network, _threads

SHAPES = [
    [4, 16, 1],
    [8, 64, 64, 1],
    [64, 100, 10],
    [128, 128, 128, 10],
    [256, 256, 10],
    [512, 512, 10],
    [1024, 1024, 10],
]
BATCHES = [64, 128, 256]
SPEED_UPS = (1.5, 1.8)
GAIN = 1.1


class Case:
    """Networks of one shape, trained with one batch size for about so many seconds."""

    def __init__(self, sizes: list[int], batch: int, n_threads: int, seconds: float) -> None:
        self.name = "-".join(map(str, sizes))
        self.batch, self.n_threads = batch, n_threads
        self.flops = 6 * batch * sum(a * b for a, b in itertools.pairwise(sizes))
        rng = np.random.default_rng(0)
        rows = batch * max(4, min(64, int(1e9 / self.flops)))
        self.X = rng.standard_normal((rows, sizes[0])).astype(np.float32)
        classes = sizes[-1] > 1
        self.y = rng.integers(0, sizes[-1], rows) if classes else self.X[:, :1].copy()
        output = "softmax" if classes else "identity"
        self.nets = [Network(sizes, output=output, random_state=seed) for seed in range(n_threads)]
        self.epochs = 1
        while (taken := self.timed(self.one)) < seconds / 4:
            self.epochs *= 2
        self.epochs = max(1, round(self.epochs * seconds / taken))
        self.speed_ups: list[float] = []
        self.gains: list[float] = []

    def fit(self, net: Network, n_threads: int) -> None:
        net.fit(self.X, self.y, epochs=self.epochs, batch_size=self.batch, n_threads=n_threads)

    def one(self) -> None:
        self.fit(self.nets[0], 1)

    def in_turn(self) -> None:
        for net in self.nets:
            self.fit(net, self.n_threads)

    def side_by_side(self) -> None:
        with ThreadPoolExecutor(self.n_threads) as pool:
            list(pool.map(lambda net: self.fit(net, 1), self.nets))

    @staticmethod
    def timed(run: Callable[[], None]) -> float:
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin

    def measure(self) -> None:
        one, in_turn, beside = map(self.timed, (self.one, self.in_turn, self.side_by_side))
        self.speed_ups.append(one / (in_turn / self.n_threads))
        self.gains.append(in_turn / beside)

    @property
    def speed_up(self) -> float:
        return statistics.median(self.speed_ups)

    @property
    def gain(self) -> float:
        return statistics.median(self.gains)


def rule(n_threads: int, rounds: int, seconds: float) -> None:
    """Print the first table, and what follows from it."""
    cases = [Case(sizes, batch, n_threads, seconds) for sizes in SHAPES for batch in BATCHES]
    for _ in range(rounds):
        for case in cases:
            case.measure()
    cases.sort(key=lambda case: case.flops)
    print(
        f"| network | batch | Mflop per step | speed-up by {n_threads} threads | gain of a network per core |"
    )
    print("|---|---:|---:|---:|---:|")
    for case in cases:
        print(
            f"| {case.name} | {case.batch} | {case.flops / 1e6:.3g} | {case.speed_up:.2f} | {case.gain:.2f} |"
        )
    for least in SPEED_UPS:
        said = limit(cases, lambda case, least=least: case.speed_up >= least)
        print(f"one network is at least {least} times as fast with {n_threads} threads: {said}")
    said = limit(cases, lambda case: case.gain < GAIN)
    print(f"a network per core trains less than {GAIN} times as many networks: {said}")


def limit(cases: list[Case], holds: Callable[[Case], bool]) -> str:
    """Return from which flops per step on something holds for all cases, which are sorted."""
    fails = [i for i, case in enumerate(cases) if not holds(case)]
    first = fails[-1] + 1 if fails else 0
    if first == len(cases):
        return "at no size measured"
    return f"from {cases[first].flops / 1e6:.3g} Mflop per step on"


def search(n_jobs: int, rounds: int) -> None:
    """Print how long the same grid search takes with each of joblib's ways to run it."""
    import joblib
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV

    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    grid = {"hidden_layer_sizes": [(16,), (64,), (64, 64)], "alpha": [1e-4, 1e-2]}
    modes = {
        "one after the other": ("threading", 1, "auto"),
        "threads": ("threading", n_jobs, "auto"),
        "threads, n_threads=1": ("threading", n_jobs, 1),
        "processes (loky)": ("loky", n_jobs, "auto"),
    }
    with ExitStack() as stack:
        begin = time.perf_counter()
        try:
            from distributed import Client, LocalCluster
        except ModuleNotFoundError:
            print("dask is excluded: distributed is not installed")
        else:
            cluster = stack.enter_context(
                LocalCluster(n_workers=n_jobs, threads_per_worker=1, dashboard_address=":0")
            )
            stack.enter_context(Client(cluster))
            modes["processes (dask)"] = ("dask", n_jobs, "auto")
        start = time.perf_counter() - begin
        times: dict[str, list[float]] = {mode: [] for mode in modes}
        for _ in range(rounds + 1):
            for mode, (backend, jobs, n_threads) in modes.items():
                est = MLPClassifier(max_iter=60, n_threads=n_threads, random_state=0)
                with joblib.parallel_config(backend=backend, n_jobs=jobs):
                    times[mode].append(
                        Case.timed(lambda est=est: GridSearchCV(est, grid, cv=3, refit=False).fit(X / 16, y))
                    )
    times.get("processes (dask)", [0.0])[0] += start
    alone = times["one after the other"]
    print(f"| grid search, {n_jobs} workers | first, s | later, s | speed-up |")
    print("|---|---:|---:|---:|")
    for mode, (first, *later) in times.items():
        ratio = statistics.median(a / b for a, b in zip(alone[1:], later, strict=True))
        print(f"| {mode} | {first:.1f} | {statistics.median(later):.2f} | {ratio:.2f} |")


def storage(rounds: int) -> None:
    """Print how long the storages of Optuna take to store the figure of an epoch."""
    try:
        import optuna
    except ModuleNotFoundError:
        print("the storages are excluded: optuna is not installed")
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("| storage | ms per report and should_prune |")
    print("|---|---:|")
    with tempfile.TemporaryDirectory() as folder:
        backend = optuna.storages.journal.JournalFileBackend(str(Path(folder) / "journal"))
        storages = {
            "memory": None,
            "journal file": optuna.storages.JournalStorage(backend),
            "SQLite": f"sqlite:///{folder}/study.db",
        }
        for name, kept in storages.items():
            study = optuna.create_study(storage=kept, pruner=optuna.pruners.MedianPruner())
            times = []
            for _ in range(6 + rounds):  # the median pruner begins after 5 trials
                trial = study.ask()
                begin = time.perf_counter()
                for epoch in range(10):
                    trial.report(0.0, epoch)
                    trial.should_prune()
                times.append((time.perf_counter() - begin) / 10)
                study.tell(trial, 0.0)
            print(f"| {name} | {1e3 * statistics.median(times[6:]):.2g} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=_threads.available())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.05, help="of one training by one thread")
    parser.add_argument("--only", default="rule,search,storage")
    given = parser.parse_args()
    if given.threads < 2:
        parser.error("--threads must be at least 2: one thread trains one network after the other")
    chosen = given.only.split(",")
    if "rule" in chosen:
        rule(given.threads, given.rounds, given.seconds)
    if "search" in chosen:
        search(given.threads, given.rounds)
    if "storage" in chosen:
        storage(given.rounds)


if __name__ == "__main__":
    main()
