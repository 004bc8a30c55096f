"""Checkpoints: a training that is interrupted anywhere and resumed ends with the bits of one that was not."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import dnn
from dnn import SGD, Adam, MLPClassifier, MLPRegressor, ModelFormatError, OnPlateau, WarmUp
from dnn.training.resume import CheckpointFile

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 6)).astype("float32")
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
Y = np.c_[np.tanh(X[:, 0]), X[:, 1] * X[:, 2]]
VALIDATION = {"X_val": X[:60], "y_val": CLASSES[:60]}


class Interrupted(Exception):
    """Ends a training between two epochs, as a killed process would, without a checkpoint at the end."""


def stop_after(n):
    seen = []

    def callback(event):
        seen.append(event.epoch)
        if len(seen) == n:
            raise Interrupted

    return callback


CASES = {
    "adam": {"optimizer": Adam(0.01)},
    "momentum, averaged": {"optimizer": SGD(0.05, momentum=0.9), "ema": 0.9, "batch_size": 17},
    "all rows": {"batch_size": None, "alpha": 0.1},
    "validated": {**VALIDATION, "patience": 4, "optimizer": Adam(0.05)},
    "plateau": {**VALIDATION, "optimizer": SGD(WarmUp(3, OnPlateau(0.1, patience=1)))},
    "steps recorded": {"record": "step", "clip_norm": 0.1},
    "order given": {"order": lambda epoch: np.random.default_rng(epoch).permutation(300)},
}


def network(dropout=0.0):
    return dnn.Network([6, 12, 8, 3], output="softmax", dropout=dropout, random_state=3)


def same(one, two):
    assert one.to_dict() | {"seconds": 0} == two.to_dict() | {"seconds": 0}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("stop", [1, 7])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, name, stop):
    case = {"epochs": 11, **CASES[name]}
    whole = network()
    expected = whole.fit(X, CLASSES, **case)
    file = tmp_path / "run.checkpoint"
    with pytest.raises(Interrupted):
        network().fit(X, CLASSES, checkpoint=file, every=1, callbacks=[stop_after(stop + 1)], **case)
    resumed = network()
    history = resumed.fit(X, CLASSES, checkpoint=file, every=1, resume=True, callbacks=[id], **case)
    np.testing.assert_array_equal(resumed.params, whole.params)
    same(history, expected)
    # Both go on from there alike: the random states are the same
    np.testing.assert_array_equal(
        resumed.fit(X, CLASSES, epochs=2).loss, whole.fit(X, CLASSES, epochs=2).loss
    )


def test_dropout_and_several_epochs_per_chunk(tmp_path):
    whole, resumed = network(dropout=0.2), network(dropout=0.2)
    whole.fit(X, CLASSES, epochs=40)
    file = tmp_path / "run.checkpoint"
    calls = []

    def order(epoch):  # is asked for several epochs ahead
        calls.append(epoch)
        if epoch == 30:
            raise Interrupted
        return np.random.default_rng(epoch).permutation(300)

    whole = network(dropout=0.2)
    whole.fit(X, CLASSES, epochs=40, order=lambda e: np.random.default_rng(e).permutation(300))
    with pytest.raises(Interrupted):
        network(dropout=0.2).fit(X, CLASSES, epochs=40, order=order, checkpoint=file, every=4)
    assert file.exists() and max(calls) == 30
    how = {"order": lambda e: np.random.default_rng(e).permutation(300), "every": 4}
    resumed.fit(X, CLASSES, epochs=40, checkpoint=file, resume=True, **how)
    np.testing.assert_array_equal(resumed.params, whole.params)


ESTIMATORS = {
    "classifier": (lambda: MLPClassifier(12, max_iter=12, random_state=0, early_stopping=True), CLASSES),
    "sgd, adaptive": (
        lambda: MLPClassifier(
            12, solver="sgd", learning_rate="adaptive", max_iter=30, random_state=0, tol=0.05,
            n_iter_no_change=2,
        ),
        CLASSES,
    ),
    "regressor": (lambda: MLPRegressor(hidden_layer_sizes=8, alpha=0.1, max_iter=9, random_state=1), Y),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:max_iter=")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_resumes_to_the_same_bits(tmp_path, name):
    make, y = ESTIMATORS[name]
    expected = make().fit(X, y)
    file = tmp_path / "run.checkpoint"
    with pytest.raises(Interrupted):
        make().set_params(callbacks=[stop_after(6)]).fit(X, y, checkpoint=file, every=1)
    resumed = make().set_params(callbacks=[id]).fit(X, y, checkpoint=file, every=1, resume=True)
    for one, two in zip(
        resumed.coefs_ + resumed.intercepts_, expected.coefs_ + expected.intercepts_, strict=True
    ):
        np.testing.assert_array_equal(one, two)
    for attribute in ("loss_curve_", "n_iter_", "t_", "validation_scores_", "best_loss_", "loss_"):
        assert getattr(resumed, attribute) == getattr(expected, attribute), attribute


SCRIPT = """
    import sys, numpy as np, dnn
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 20)).astype("float32")
    y = np.tanh(X[:, :1])
    net = dnn.Network([20, 64, 32, 1], dropout=0.1, random_state=1)
    print("begins", flush=True)
    net.fit(X, y, epochs=int(sys.argv[2]), checkpoint=sys.argv[1], every=0.01, resume=True)
    np.save(sys.argv[1] + ".npy", net.params)
"""


def killed(folder, n_kills):
    """The parameters of a training that is killed n times at random moments, and resumed each time."""
    rng, script = random.Random(0), folder / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    file = folder / f"run {n_kills}"
    kills = 0
    while not os.path.exists(f"{file}.npy"):
        process = subprocess.Popen([sys.executable, script, file, "60"], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"begins\n"
        if kills < n_kills:
            time.sleep(rng.uniform(0.0, 0.1))
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        process.stdout.close()
    return np.load(f"{file}.npy")


@pytest.mark.parametrize("n_kills", [3, pytest.param(30, marks=pytest.mark.long)])
def test_killed_at_random_moments(tmp_path, n_kills):
    np.testing.assert_array_equal(killed(tmp_path, n_kills), killed(tmp_path, 0))


def test_a_state_is_written_once(tmp_path, monkeypatch):
    written = []
    write = CheckpointFile.write

    def counting(file, state, epoch):
        written.append(epoch)
        write(file, state, epoch)

    monkeypatch.setattr(CheckpointFile, "write", counting)
    network().fit(X, CLASSES, epochs=7, checkpoint=tmp_path / "run.checkpoint", every=2)
    assert written == [2, 4, 6, 7]
    written.clear()
    network().fit(X, CLASSES, epochs=6, checkpoint=tmp_path / "another.checkpoint", every=2)
    assert written == [2, 4, 6]


def test_a_finished_training_is_not_repeated(tmp_path):
    file, net = tmp_path / "run.checkpoint", network()
    history = net.fit(X, CLASSES, epochs=5, checkpoint=file)
    again = network()
    same(again.fit(X, CLASSES, epochs=5, checkpoint=file, resume=True), history)
    np.testing.assert_array_equal(again.params, net.params)


DIFFERENT = {
    "epochs: 5 there, 6 here": {"epochs": 6},
    "optimizer: ": {"optimizer": Adam(0.5, beta1=0.5)},
    "penalties: alpha 0, l1 0 there, alpha 1, l1 0 here": {"alpha": 1.0},
    "batch_size: 128 there, 64 here": {"batch_size": 64},
    "loss: ": {"loss": dnn.LogLoss(label_smoothing=0.1)},
    "X: 300 rows": {"X": X + 1},
    "y: ": {"y": CLASSES[::-1]},
    "sample_weight: None there": {"sample_weight": np.arange(1.0, 301.0)},
    "X_val: None there": VALIDATION,
}


@pytest.mark.parametrize("message", DIFFERENT)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, message):
    file, net = tmp_path / "run.checkpoint", network()
    net.fit(X, CLASSES, epochs=5, checkpoint=file)
    other, before = network(), network().params.copy()
    how = {"X": X, "y": CLASSES, "epochs": 5, **DIFFERENT[message]}
    with pytest.raises(ValueError, match="checkpoint must be of the same training .*" + message):
        other.fit(checkpoint=file, resume=True, **how)
    np.testing.assert_array_equal(other.params, before)
    wider = dnn.Network([6, 13, 8, 3], output="softmax", random_state=3)
    with pytest.raises(ValueError, match="differs in network: "):
        wider.fit(X, CLASSES, epochs=5, checkpoint=file, resume=True)


def test_what_cannot_be_a_checkpoint_is_refused_at_once(tmp_path):
    class Mine(dnn.schedules.Schedule):
        watches = True

        def rates(self, first, n, steps_per_epoch):
            return np.full(n, 0.1)

        def start(self):
            return self

    class Stateless(Mine):
        watches = False

    file, net = tmp_path / "run.checkpoint", network()
    network().fit(X, CLASSES, optimizer=SGD(Stateless()), checkpoint=file, epochs=2)
    before = net.params.copy()
    with pytest.raises(TypeError, match=r"^schedule cannot be saved"):
        net.fit(X, CLASSES, optimizer=SGD(Mine()), checkpoint=file)
    with pytest.raises(ValueError, match="checkpoint must not be given with L-BFGS"):
        net.fit(X, CLASSES, optimizer="lbfgs", checkpoint=file)
    for how, error, message in (
        ({"resume": True}, ValueError, "resume must come with checkpoint"),
        ({"every": 3}, ValueError, "every must come with checkpoint"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be a path"),
        ({"checkpoint": file, "every": 0}, ValueError, "every must be at least 1, got 0"),
        ({"checkpoint": file, "every": -1.0}, ValueError, "every must be finite and above 0"),
    ):
        with pytest.raises(error, match=message):
            net.fit(X, CLASSES, **how)
    net.save(file)
    with pytest.raises(ModelFormatError, match="must be a checkpoint"):
        net.fit(X, CLASSES, checkpoint=file, resume=True)
    np.testing.assert_array_equal(net.params, before)
