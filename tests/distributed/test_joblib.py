"""Rounds on processes of joblib have the bits of the plain engine, also after processes were killed."""

import gc
import signal
from pathlib import Path

import numpy as np
import pytest
from round_engines import Deadly, check_bits, check_groups, few, fit

from dnn import DivergedError
from dnn.distributed.joblib import Workers

joblib = pytest.importorskip("joblib", reason="needs joblib: pip install 'dnn-core[dev]'")
pytestmark = pytest.mark.long  # processes take a second to start


DIVERGES = (np.ones((4, 3)), np.full(4, 1e30))  # in the second round, as there is one batch


@pytest.fixture(autouse=True)
def bounded():
    """End a test that waits for ever."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module", autouse=True)
def no_process_left():
    yield
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True, kill_workers=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder that joblib writes to."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def start(n_jobs=2):
    """Return an engine that maps the small arrays of these tests; with equal options, processes are kept."""
    return Workers(n_jobs, max_nbytes=200)


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_same_bits(n_jobs):
    with start(n_jobs) as workers:
        check_bits(workers, "float32")
        check_bits(workers, "float64")
        check_groups(workers)


def files(folder):
    """Return the files below a folder, and when they were written."""
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*.pkl")}


def test_shards_are_written_once(folder):
    """The arrays X and y of three shards, and of a validation shard; no parameters, which change."""
    found = []
    with start() as workers:
        shards = [(np.repeat(X, 5, axis=0), np.repeat(y, 5)) for X, y in few()]
        fit(
            shards, workers, epochs=3, sizes=(3, 40, 1), validation=[(np.ones((60, 3)), np.ones(60))],
            callbacks=[lambda event: found.append(files(folder))],
        )  # fmt: skip
        assert len(found) == 6
        assert len(found[0]) == 8
        assert all(each == found[0] for each in found)
    assert not files(folder)


def test_memory_maps_are_not_copied(folder):
    """Of two shards with the same rows, the one in memory is written, but not the memory map."""
    X = np.ones((20, 3), dtype="float32")
    np.save(folder.parent / "X.npy", X)
    shards = [(X, np.ones(20)), (np.load(folder.parent / "X.npy", mmap_mode="r"), np.ones(20))]
    found = []
    with start() as workers:
        fit(shards, workers, sizes=(3, 1), callbacks=[lambda event: found.append(files(folder))])
    assert [len(each) for each in found] == [1, 1]


def test_files_are_removed_after_an_error(folder):
    with pytest.raises(DivergedError), start() as workers:
        fit(few(DIVERGES), workers, callbacks=[lambda event: 1 / len(files(folder))])
    assert not files(folder)


def test_files_are_removed_with_the_engine(folder):
    workers = start()
    fit(few(), workers)
    assert files(folder)
    del workers
    gc.collect()
    assert not files(folder)


def test_killed_process(tmp_path):
    """The round is computed again: to the same bits, and not for ever."""
    (tmp_path / "often").mkdir()
    (tmp_path / "once").mkdir()
    plain, _ = fit(few(Deadly(tmp_path, 0)))
    workers = start()
    net, _ = fit(few(Deadly(tmp_path / "once", 1)), workers)
    assert len(list((tmp_path / "once").iterdir())) == 1
    assert net.params.tobytes() == plain.params.tobytes()
    with pytest.raises(RuntimeError, match="processes were killed in 3 tries of a round"):
        fit(few(Deadly(tmp_path / "often", 99)), workers)
    assert len(list((tmp_path / "often").iterdir())) == 3


def use_other_processes(event):
    if event.epoch == 0:
        joblib.Parallel(n_jobs=2)([joblib.delayed(abs)(-1)] * 4)


def end_processes(event):
    if event.epoch == 0:
        joblib.externals.loky.get_reusable_executor().shutdown(wait=True)


@pytest.mark.parametrize("callback", [use_other_processes, end_processes])
def test_other_uses_of_joblib(callback, folder):
    """A callback may use joblib with other options, which ends the processes of the engine."""
    with start() as workers:
        net, _ = fit(few(), workers, epochs=2, callbacks=[callback])
    assert net.params.tobytes() == fit(few(), epochs=2)[0].params.tobytes()
    assert not files(folder)


def test_errors_name_the_shard():
    workers = start()
    with pytest.raises(ValueError, match=r"^shard 3: X must be finite, got nan in row 0, column 1"):
        fit(few((np.array([[0, np.nan, 0]]), [1])), workers)
    with pytest.raises(DivergedError, match=r"^shard 3: training diverged in epoch 0") as caught:
        fit(few(DIVERGES), workers)
    assert caught.value.epoch == 0
    with pytest.raises(ValueError, match="n_jobs"):
        Workers(0)
