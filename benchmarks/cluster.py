"""What does a round of training cost on a Dask cluster, beside the work on the shards?

    python benchmarks/cluster.py [--quick] [--repeats 3] [--shards 1000] [--parameters 100000]
                                 [--terabytes 10] [--megabytes-per-second 100] [--link 1.25]

Prints the seconds of a round for shards of one row, so that almost all of it is the scheduler, the network
and the sums: the median over rounds, by shards S, parameters P and workers W (processes of this machine); and
the bytes that workers got from each other, as they count them, beside those of the model,

    12 P (W - 1 + (S + 2 T) (1 - 1 / W)),    with T sums of sums,

for the parameters and the state of Adam (3 values of 4 bytes per parameter) at each worker but one, and for
the results of the shards (3 x 4) and the sums (3 x 8) that are not where they are summed. Then the model

    seconds = a + b tasks + c P + d S P / min(W, cores) + e bytes

is fitted to the logarithms: b is the scheduler's time for a task; c that of the 60 P bytes through scheduler
and client; d that of a result, which is made and summed; e that of the bytes between workers. Last, its
extrapolation to a large cluster, where a worker that sums gets 32 results through its link (--link, GB/s).
Fewer bytes are counted than in the model where few shards of one row are moved to the worker that has the
parameters, as large ones are not.
"""

import argparse
import itertools
import os
import statistics
from typing import Any, NamedTuple

import numpy as np
from distributed import Client, LocalCluster
from scipy.optimize import least_squares

from dnn import Adam, Network
from dnn.distributed import rounds
from dnn.distributed.averages import GROUP, groups_of
from dnn.distributed.dask import Workers

N_INPUTS = 9
SHARDS, PARAMS, WORKERS = (4, 16, 64, 256), (1_000, 100_000, 1_000_000), (1, 2, 4)
MOST = 64e6  # shards times parameters; more takes minutes on a machine with two cores


class Cell(NamedTuple):
    """A measurement: seconds and bytes of a round."""

    shards: int
    params: int
    workers: int
    seconds: float
    bytes: float


def n_sums(n_shards: int) -> int:
    """Return the number of sums of a round."""
    n = len(groups_of(range(n_shards)))
    return n if n == 1 else n + n_sums(n)


def n_tasks(n_shards: int) -> int:
    """Return the number of tasks of a round."""
    return 1 + n_shards + n_sums(n_shards)


def bytes_between(n_shards: int, n_params: int, n_workers: int) -> float:
    """Return the bytes that workers get from each other in a round."""
    sent = n_shards + 2 * (n_sums(n_shards) - 1)
    return 12 * n_params * (n_workers - 1 + sent * (1 - 1 / n_workers))


def received(client: Client) -> float:
    """Return the bytes that the workers have got from each other."""

    def of(dask_worker: Any) -> int:
        return sum(each["total"] for each in dask_worker.transfer_incoming_log)

    return float(sum(client.run(of).values()))


def measured(client: Client, n_shards: int, n_params: int, n_workers: int, repeats: int) -> Cell:
    """Return what a round takes, without the first one."""
    net = Network([N_INPUTS, n_params // (N_INPUTS + 2), 1], random_state=0)
    x = np.ones((1, N_INPUTS), np.float32)
    engine = Workers(client, timeout=60)
    before: list[float] = []

    def note(event: Any) -> None:
        if not event.epoch:
            before.append(received(client))

    history = rounds.fit(
        net, [(x, x[:, 0])] * n_shards, epochs=repeats + 1, rounds_per_epoch=1, optimizer=Adam(1e-6),
        engine=engine, callbacks=[note], random_state=0,
    )  # fmt: skip
    engine.release()
    seconds = statistics.median(history.round_seconds[1:])
    return Cell(n_shards, net.n_params, n_workers, seconds, (received(client) - before[0]) / repeats)


def columns(n_shards: int, n_params: int, n_workers: int) -> list[float]:
    """Return the columns of the model."""
    at_once = min(n_workers, len(os.sched_getaffinity(0)))
    results = n_shards * n_params / at_once
    return [1.0, n_tasks(n_shards), n_params, results, bytes_between(n_shards, n_params, n_workers)]


def fitted(cells: list[Cell]) -> np.ndarray:
    """Return a to e, which are positive."""
    A = np.array([columns(*cell[:3]) for cell in cells])
    scale = A.max(axis=0)
    seconds = np.array([cell.seconds for cell in cells])
    start = np.log(np.full(len(scale), seconds.max() / len(scale)))
    found = least_squares(lambda logs: np.log(A / scale @ np.exp(logs) / seconds), start, loss="soft_l1").x
    factors: np.ndarray = np.exp(found) / scale
    return factors


def extrapolate(model: np.ndarray, given: argparse.Namespace) -> None:
    """Print what a round costs on a large cluster, with a worker for each shard."""
    n, P = given.shards, given.parameters
    at_work = given.terabytes * 1e6 / n / given.megabytes_per_second / given.rounds_per_epoch
    parts = {
        "scheduler: b tasks": model[1] * n_tasks(n),
        "bytes through scheduler and client: c P": model[2] * P,
        "the result of a shard: d P": model[3] * P,
        f"{GROUP} results to a worker that sums: {GROUP} x 12 P / link": GROUP * 12 * P / given.link / 1e9,
        f"the same bytes on its processor: {GROUP} x 12 P e": GROUP * 12 * P * model[4],
    }
    print(
        f"\n{n} shards on {n} workers, P = {P:,}, {given.terabytes:g} TB in {given.rounds_per_epoch} rounds: "
        f"{at_work:.1f} s of work on a shard in a round at {given.megabytes_per_second:g} MB/s, and"
    )
    for name, seconds in parts.items():
        print(f"  {seconds:8.3f} s  {name}")
    total = model[0] + sum(parts.values())
    print(f"  {total:8.3f} s  in all, {total / (total + at_work):.1%} of a round")


def main() -> None:
    """Measure, fit and extrapolate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer cells")
    parser.add_argument("--repeats", type=int, default=3)
    for name, n in (("shards", 1000), ("parameters", 100_000), ("rounds-per-epoch", 4)):
        parser.add_argument(f"--{name}", type=int, default=n)
    for name, value in (("terabytes", 10.0), ("megabytes-per-second", 100.0), ("link", 1.25)):
        parser.add_argument(f"--{name}", type=float, default=value)
    given = parser.parse_args()
    cells = []
    for n_workers in WORKERS[1:2] if given.quick else WORKERS:
        with (
            LocalCluster(
                n_workers=n_workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0
            ) as cluster,
            Client(cluster) as client,
        ):
            for n_params, n_shards in itertools.product(PARAMS, SHARDS):
                if n_shards * n_params <= (MOST / 10 if given.quick else MOST):
                    cells.append(measured(client, n_shards, n_params, n_workers, given.repeats))
    model = fitted(cells)
    print("workers  shards  parameters  seconds   model  error   MB between workers: counted    model")
    errors = []
    for cell in cells:
        told = float(model @ columns(*cell[:3]))
        errors.append(told / cell.seconds - 1)
        print(
            f"{cell.workers:7}  {cell.shards:6}  {cell.params:10,}  {cell.seconds:7.3f} {told:7.3f}  "
            f"{errors[-1]:+5.0%} {cell.bytes / 1e6:29.1f} {bytes_between(*cell[:3]) / 1e6:8.1f}"
        )
    a, b, c, d, e = model
    print(
        f"\nseconds = {a:.3f} + {b * 1e3:.2f}e-3 tasks + {c * 1e9:.1f}e-9 P + "
        f"{d * 1e9:.1f}e-9 S P / min(W, cores) + {e * 1e9:.1f}e-9 bytes\n"
        f"error: median {np.median(np.abs(errors)):.0%}, largest {np.max(np.abs(errors)):.0%}"
    )
    extrapolate(model, given)


if __name__ == "__main__":
    main()
