"""fit_many: every network gets what it gets alone, one error ends all, and nothing keeps running."""

import concurrent.futures
import threading
import time

import numpy as np
import pytest

from dnn import SGD, Adam, DivergedError, Network, fit_many
from dnn.training.many import run_many

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 5))
Y = np.sin(X[:, 0]) + X[:, 1]


def networks(n=5):
    return [Network([5, 8, 1], dropout=0.2, random_state=seed) for seed in range(n)]


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7, "auto"])
def test_every_network_gets_the_bits_that_it_gets_alone(n_threads):
    nets, alone = networks(), networks()
    each = [
        {"optimizer": Adam(rate), "epochs": epochs}
        for rate, epochs in zip([0.1, 0.01, 1e-3, 0.02, 0.3], [3, 9, 1, 5, 2], strict=True)
    ]
    histories = fit_many(nets, X, Y, each=each, batch_size=16, epochs=99, n_threads=n_threads)
    for net, twin, history, given in zip(nets, alone, histories, each, strict=True):
        expected = twin.fit(X, Y, batch_size=16, **given)
        assert np.array_equal(net.params, twin.params)
        assert history.loss == expected.loss and len(history.loss) == given["epochs"]


def test_rows_and_validation_rows():
    rows, val = np.arange(0, 60), np.arange(60, 90)
    w = RNG.random(90)
    net, twin = Network([5, 8, 1], random_state=0), Network([5, 8, 1], random_state=0)
    options = {"epochs": 6, "batch_size": 10, "patience": 3}
    (history,) = fit_many([net], X, Y, each=[{"rows": rows, "rows_val": val}], sample_weight=w, **options)
    expected = twin.fit(
        X[rows],
        Y[rows],
        X_val=X[val],
        y_val=Y[val],
        sample_weight=w[rows],
        sample_weight_val=w[val],
        **options,
    )
    assert history.val_loss == expected.val_loss and np.array_equal(net.params, twin.params)


def test_callbacks_are_called():
    seen = []
    fit_many(networks(2), X, Y, epochs=3, callbacks=[lambda event: seen.append(event.epoch)], n_threads=2)
    assert sorted(seen) == [0, 0, 1, 1, 2, 2]


def test_the_error_of_one_ends_the_others():
    before = set(threading.enumerate())
    nets = networks(2)
    given = [{"optimizer": SGD(1e-6)}, {"optimizer": SGD(1e30)}]
    with pytest.raises(ValueError, match="diverged"):
        fit_many(nets, X, Y, each=given, epochs=10**6, n_threads=2)
    assert not any("ThreadPool" in thread.name for thread in set(threading.enumerate()) - before)
    nets[0].fit(X, Y, epochs=1)  # is not locked


def test_a_diverged_training_may_be_returned():
    nets = networks(2)
    given = [{"optimizer": SGD(1e30)}, {"optimizer": SGD(0.01)}]
    error, history = fit_many(nets, X, Y, each=given, epochs=3, diverged="return")
    assert isinstance(error, DivergedError) and len(history.loss) == 3


def test_ctrl_c_ends_all(monkeypatch):
    def interrupted(futures, return_when):
        raise KeyboardInterrupt

    monkeypatch.setattr(concurrent.futures, "wait", interrupted)
    begin = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        fit_many(networks(3), X, Y, epochs=10**7, n_threads=2)
    assert time.perf_counter() - begin < 30


def test_threads_are_shared_out():
    found = run_many([lambda n_threads: n_threads] * 2, 5)
    assert found == [2, 2]
    assert run_many([lambda n_threads: n_threads], 5) == [5]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"nets": []}, ValueError, "nets must have at least one network, got none"),
        ({"each": [{}]}, ValueError, "each must have 5 entries, one for each network, got 1"),
        ({"each": [{"rows": [99]}] * 5}, ValueError, r"each\[0\]\['rows'\] must be row numbers 0 .. 89"),
        ({"each": [{"rows": [0.5]}] * 5}, ValueError, r"must be row numbers \(n,\), got float64 \(1,\)"),
        ({"checkpoint": "x"}, ValueError, "checkpoint must be given to fit"),
        ({"random_state": np.random.default_rng(0)}, TypeError, "must be an integer or None"),
        ({"diverged": "ignore"}, ValueError, "diverged must be"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
        ({"X": X[:, :4]}, ValueError, "X must have shape"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_is_refused(kwargs, error, message):
    nets = networks()
    given = {"nets": nets, "X": X, "y": Y, **kwargs}
    with pytest.raises(error, match=message):
        fit_many(given.pop("nets"), given.pop("X"), given.pop("y"), **given)
    assert all(np.array_equal(net.params, twin.params) for net, twin in zip(nets, networks(), strict=True))


def test_a_network_twice_and_two_precisions():
    net = networks(1)[0]
    with pytest.raises(ValueError, match="got a network twice"):
        fit_many([net, net], X, Y)
    with pytest.raises(ValueError, match=r"nets must have one precision, got \['float32', 'float64'\]"):
        fit_many([net, Network([5, 1], dtype="float64")], X, Y)
