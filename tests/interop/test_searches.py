"""Searches whose trainings run in other processes: of joblib, of a Dask cluster, and of an Optuna study."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from itertools import chain

import numpy as np
import pytest
import search_workers
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from dnn import MLPClassifier, _threads

joblib = pytest.importorskip("joblib")
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
GRID = {"hidden_layer_sizes": [(8,), (32,)], "alpha": [1e-4, 10.0]}


@contextmanager
def at_most(seconds):
    """Raise an error in a test that waits for longer, for a worker that never answers."""

    def late(number, frame):
        raise TimeoutError(f"no result after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


@pytest.fixture(scope="module")
def client():
    """Return the client of a cluster of two processes, each with one thread."""
    distributed = pytest.importorskip("distributed")
    from clusters import local_cluster

    with (
        at_most(60),
        local_cluster(n_workers=2) as cluster,
        distributed.Client(cluster) as client,
    ):
        signal.alarm(0)
        yield client


def search(digits, est=None, **changes):
    est = MLPClassifier(max_iter=15, random_state=0) if est is None else est
    return GridSearchCV(est, GRID, **{"cv": 3, **changes}).fit(*digits)


@pytest.fixture(scope="module")
def alone(digits):
    return search(digits)


def check_same(found, alone):
    assert found.best_params_ == alone.best_params_
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(found.cv_results_[name], alone.cv_results_[name])
    assert len(set(alone.cv_results_["mean_test_score"])) > 2


def test_a_grid_search_on_a_cluster(client, digits, alone):
    with at_most(60), joblib.parallel_config(backend="dask"):
        check_same(search(digits), alone)


def test_networks_train_on_one_thread_in_workers_of_a_cluster(client, monkeypatch):
    """A worker process has one thread of its own, and `n_threads="auto"` takes no more."""
    monkeypatch.delenv("DNN_NUM_THREADS", raising=False)
    assert set(client.run(_threads.available).values()) == {1}


def test_networks_share_the_cores_in_processes_of_joblib(monkeypatch):
    monkeypatch.delenv("DNN_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with at_most(60), joblib.parallel_config(backend="loky", n_jobs=2):
        found = joblib.Parallel()(joblib.delayed(_threads.available)() for _ in range(2))
    assert found == [max(1, _threads.available() // 2)] * 2


def test_a_grid_search_on_a_cluster_survives_a_worker(client, digits, alone, tmp_path):
    """Every array that the candidates share is on all workers before one of them ends."""
    est = search_workers.DiesOnce(str(tmp_path / "died"), max_iter=15, random_state=0)
    workers = set(client.run(os.getpid).values())
    folds = list(StratifiedKFold(3).split(*digits))
    shared = [*digits, *chain.from_iterable(folds)]
    with at_most(60), joblib.parallel_config(backend="dask", scatter=shared):
        found = search(digits, est, refit=False, cv=folds)
    assert (tmp_path / "died").exists() and not workers <= set(client.run(os.getpid).values())
    check_same(found, alone)


def test_a_grid_search_in_processes_ends_with_a_worker(digits, alone, tmp_path):
    """Then a second search has new workers."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    est = search_workers.DiesOnce(str(tmp_path / "died"), max_iter=15, random_state=0)
    with at_most(60), joblib.parallel_config(backend="loky", n_jobs=2):
        with pytest.raises(TerminatedWorkerError):
            search(digits, est, refit=False)
        check_same(search(digits, est, refit=False), alone)


@pytest.fixture
def study(tmp_path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = search_workers.open_storage(tmp_path / "journal")
    study = optuna.create_study(study_name="digits", storage=storage)
    for number, candidate in enumerate(search_workers.candidates()):
        study.enqueue_trial(candidate, user_attrs={"candidate": number})
    return study


def start(folder, n_trials, *more):
    command = [
        sys.executable,
        search_workers.__file__,
        str(folder / "journal"),
        str(n_trials),
        *map(str, more),
    ]
    environment = dict(os.environ, DNN_NUM_THREADS="1")
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def check_trials(study):
    """Each candidate was trained once, and to the same loss as in this process."""
    from optuna.trial import FixedTrial, TrialState

    done = study.get_trials(states=[TrialState.COMPLETE])
    numbers = [trial.user_attrs["candidate"] for trial in done]
    candidates = search_workers.candidates()
    assert sorted(numbers) == list(range(len(candidates)))
    for trial, number in zip(done, numbers, strict=True):
        assert trial.params == candidates[number]
        fixed = FixedTrial(candidates[number])
        fixed.set_user_attr("candidate", number)
        assert trial.value == search_workers.objective(fixed)
    return done


def test_two_processes_share_a_study(study, tmp_path):
    workers = [start(tmp_path, 3) for _ in range(2)]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors
    done = check_trials(study)
    assert len(study.trials) == len(done)
    pids = {trial.user_attrs["process"] for trial in done}
    assert pids == {worker.pid for worker in workers}


def test_a_trial_of_a_process_that_died_is_repeated(study, tmp_path):
    from optuna.trial import TrialState

    worker = start(tmp_path, 3, tmp_path / "died")
    worker.communicate(timeout=60)
    assert worker.returncode == -signal.SIGKILL
    (trial,) = study.get_trials(states=[TrialState.RUNNING])
    study.tell(trial.number, state=TrialState.FAIL)
    study.enqueue_trial(search_workers.candidates()[1], trial.user_attrs)
    study.optimize(search_workers.objective, n_trials=5)
    check_trials(study)
