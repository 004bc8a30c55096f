"""Rounds on a Dask cluster whose workers die, stop, leave and join: the same bits, or a clear error in time.

Processes are killed by what they compute, at the moment in question, and once, so that each run is the same.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial

import dask
import numpy as np
import pytest
from clusters import local_cluster
from distributed import Client, LocalCluster

from dnn import Network
from dnn.distributed import dask as on_dask
from dnn.distributed import rounds
from dnn.distributed.dask import Workers

pytestmark = pytest.mark.long

OPTIONS = {"epochs": 3, "rounds_per_epoch": 1, "random_state": 0}
N_SHARDS = 6


@pytest.fixture(scope="module")
def client():
    """Return a client of two workers, which are processes, and are started again when they die."""
    with (
        local_cluster(n_workers=2, processes=True, memory_limit=0, silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def workers_in_threads(n_workers):
    """Return a client of a cluster for one test: its workers are threads of this process."""
    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=False, dashboard_address=":0",
            memory_limit=0, silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        yield client


@pytest.fixture
def workers(client):
    """Return an engine of two workers; afterwards no task is left."""
    client.cluster.scale(2)
    client.wait_for_workers(2, timeout=20)
    engine = Workers(client, timeout=15)
    yield engine
    engine.release()
    pause = threading.Event()
    for _ in range(500):
        if not client.cluster.scheduler.tasks:
            break
        pause.wait(0.02)
    assert not client.cluster.scheduler.tasks


def rows_of(k):
    rng = np.random.default_rng(k)
    X = rng.normal(size=(32, 3))
    return X, X.sum(axis=1)


def shards_that(act, at, path):
    """Return sources, of which number 4 does something when it is read for the time `at`, counted from 0.

    Their class is pickled as a whole, because workers cannot import this file.
    """
    data = [rows_of(k) for k in range(N_SHARDS)]

    class Acting:
        n_blocks, n_rows = 1, 32

        def __init__(self, k):
            self.k = k

        def read(self, block):
            if self.k == 4 and act is not None:
                (path / f"read{len(list(path.iterdir()))}").touch()
                if len(list(path.iterdir())) == at + 1:
                    act()
            yield data[self.k]

    return [Acting(k) for k in range(N_SHARDS)]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fitted(shards, engine=None, seconds=60, **options):
    """Return the parameters after a training, which has to end in time."""
    net = Network([3, 4, 1], random_state=0)
    raised = []

    def fit():
        try:
            rounds.fit(net, shards, engine=engine, **(OPTIONS | options))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"fit has not ended in {seconds} s"
    if raised:
        raise raised.pop()
    return net.params


@pytest.fixture
def expected(tmp_path):
    return fitted(shards_that(None, 0, tmp_path))


@pytest.mark.parametrize("n_workers", [2, 4])
def test_processes_have_the_bits_of_one(client, workers, expected, tmp_path, n_workers):
    client.cluster.scale(n_workers)
    client.wait_for_workers(n_workers, timeout=20)
    for _ in range(3):
        np.testing.assert_array_equal(fitted(shards_that(None, 0, tmp_path), workers), expected)


@pytest.mark.parametrize("at", [0, 2])
def test_a_worker_is_killed_in_a_round(workers, expected, tmp_path, at, monkeypatch):
    monkeypatch.setattr(on_dask, "POLL", 0.002)  # so that the states of lost tasks are seen
    found = fitted(shards_that(die, at, tmp_path), workers)
    n_reads = len(list(tmp_path.iterdir()))
    (tmp_path / "calm").mkdir()
    fitted(shards_that(int, 0, tmp_path / "calm"))
    assert n_reads == len(list((tmp_path / "calm").iterdir())) + 1  # a read was done again
    np.testing.assert_array_equal(found, expected)


def test_a_worker_is_killed_while_shards_are_placed(client, workers, tmp_path):
    data = [rows_of(k) for k in range(N_SHARDS)]

    def shard(k):
        if k == 4 and not (tmp_path / "dead").exists():
            (tmp_path / "dead").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return data[k]

    found = fitted([dask.delayed(shard)(k) for k in range(N_SHARDS)], workers)
    assert (tmp_path / "dead").exists()
    np.testing.assert_array_equal(found, fitted(data))


class KillsTheHolder(Workers):
    """An engine whose worker that has the last sum is killed before the sum is fetched, once."""

    killed = False

    def wait(self, futures, last=None):
        super().wait(futures, last)
        if last is not None and not self.killed:
            self.killed = True
            address = self.client.who_has([last])[last.key][0]
            pid = self.client.run(os.getpid, workers=[address])[address]
            os.kill(pid, signal.SIGKILL)


def test_a_worker_is_killed_before_its_sum_is_fetched(client, workers, expected, tmp_path):
    engine = KillsTheHolder(client, timeout=15)
    found = fitted(shards_that(None, 0, tmp_path), engine)
    engine.release()
    assert engine.killed
    np.testing.assert_array_equal(found, expected)


class Scaling(Workers):
    """An engine whose cluster gets other numbers of workers in each round, at last none for a while."""

    def total(self, *args):
        n = self.numbers.pop(0) if self.numbers else 1
        self.client.cluster.scale(n)
        if not n:
            threading.Timer(0.5, self.client.cluster.scale, (1,)).start()
        return super().total(*args)


def test_workers_join_and_leave_in_a_round(expected, tmp_path):
    with workers_in_threads(1) as client:
        engine = Scaling(client, timeout=15)
        engine.numbers = [3, 1, 0]
        found = fitted(shards_that(None, 0, tmp_path), engine)
    np.testing.assert_array_equal(found, expected)


def test_a_shard_that_kills_every_worker(client, workers, tmp_path, monkeypatch):
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    with pytest.raises(
        RuntimeError, match="died one after another; their logs say why: where a shard is too"
    ) as raised:
        fitted(shards_that(die, 0, tmp_path), workers)
    assert type(raised.value.__cause__).__name__ == "KilledWorker"


def test_an_error_on_a_worker(workers, tmp_path):
    def raise_error():
        raise MemoryError("no 8 GiB for an array")

    with pytest.raises(MemoryError, match="no 8 GiB"):
        fitted(shards_that(raise_error, 1, tmp_path), workers)


def test_stopped_workers_end_in_a_timeout(client, tmp_path):
    engine = Workers(client, timeout=1.5)
    client.wait_for_workers(2, timeout=20)
    pids = list(client.run(os.getpid).values())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError, match=r"no task finished in timeout=1.5 s, .* with \d workers?$"):
            fitted(shards_that(None, 0, tmp_path), engine)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_no_worker_at_all(tmp_path):
    with (
        workers_in_threads(0) as client,
        pytest.raises(TimeoutError, match=r"no task finished in timeout=0.5 s, of 1 .* with no worker$"),
    ):
        fitted(shards_that(None, 0, tmp_path), Workers(client, timeout=0.5))


class Restarting(Workers):
    """An engine whose cluster is restarted in a round."""

    def wait(self, futures, last=None):
        if last is not None:
            self.client.restart(wait_for_workers=False)
        super().wait(futures, last)


def test_the_cluster_is_restarted_in_a_round(tmp_path):
    with (
        workers_in_threads(1) as client,
        pytest.raises(ConnectionError, match=r"^the scheduler of Dask is gone or was restarted"),
    ):
        fitted(shards_that(None, 0, tmp_path), Restarting(client, timeout=15))


@pytest.fixture
def processes(tmp_path):
    """Return a function that starts a scheduler and a worker as processes of their own."""
    started = []
    path = tmp_path / "scheduler.json"

    def start():
        for kind, *options in (("scheduler", "--port", "0", "--host", "127.0.0.1"), ("worker", "--no-nanny")):
            command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard"]
            command += ["--scheduler-file", str(path), *options]
            started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        for _ in range(1000):
            if path.exists():
                return started[0], path
            threading.Event().wait(0.02)
        raise AssertionError("the scheduler has not started")

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def test_the_scheduler_is_killed_in_a_round_and_the_checkpoint_resumed(processes, expected, tmp_path):
    (tmp_path / "reads").mkdir()
    scheduler, path = processes()
    shards = shards_that(partial(os.kill, scheduler.pid, signal.SIGKILL), 2, tmp_path / "reads")
    options = {"checkpoint": tmp_path / "checkpoint", "resume": True}
    with (
        Client(scheduler_file=str(path), set_as_default=False, timeout=20) as other,
        pytest.raises(ConnectionError, match=r"^the scheduler of Dask is gone"),
    ):
        fitted(shards, Workers(other, timeout=15), **options)
    with workers_in_threads(1) as client:
        found = fitted(shards_that(None, 0, tmp_path), Workers(client, timeout=15), **options)
    np.testing.assert_array_equal(found, expected)
