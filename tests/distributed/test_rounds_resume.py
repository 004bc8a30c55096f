"""Checkpoints of rounds: a training that was interrupted anywhere ends with the bits of one that was not."""

import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from order_engines import Threads

import dnn
from dnn import SGD, Adam, Dense, Huber, ModelFormatError, Network, OnPlateau, Schedule, WarmUp
from dnn.distributed import rounds
from dnn.distributed.rounds import Engine, Nesterov

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 4)).astype("float32")
Y = np.tanh(X[:, :2] * X[:, 2:])
SHARDS = [(X[k:120:3], Y[k:120:3]) for k in range(3)]
VALIDATION = [(X[120:], Y[120:])]


class Interrupted(Exception):
    """Ends a training in the middle of a round, as a lost connection would."""


class Fails(Engine):
    """An engine that fails in a round; of the calls, one is for the sizes of shards."""

    def __init__(self, n_rounds):
        self.left = n_rounds

    def total(self, function, placed, *common):
        if len(common) == 3:  # a round
            self.left -= 1
            if self.left < 0:
                raise Interrupted
        return super().total(function, placed, *common)


def network(dropout=0.0, seed=1):
    return Network([4, 6, 2], activation="tanh", dropout=dropout, random_state=seed)


CASES = {
    "defaults": {},
    "average, momentum": {"outer": None, "optimizer": SGD(0.05, momentum=0.9)},
    "validated": {"validation": VALIDATION, "patience": 3, "optimizer": Adam(0.1)},
    "plateau": {"optimizer": SGD(WarmUp(0.5, OnPlateau(0.5, patience=1))), "validation": VALIDATION},
    "plateau of the loss": {"optimizer": SGD(OnPlateau(0.5, patience=1, threshold=0.5)), "outer": None},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n_rounds", [0, 1, 3, 10])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, name, n_rounds):
    case = {"epochs": 4, "rounds_per_epoch": 3, **CASES[name]}
    whole, interrupted, resumed = network(0.2), network(0.2), network(0.2, seed=5)
    expected = rounds.fit(whole, SHARDS, random_state=3, **case)
    file = tmp_path / "rounds.checkpoint"
    case |= {"checkpoint": file}
    n_rounds = min(n_rounds, len(expected.loss) - 1)
    with pytest.raises(Interrupted):
        rounds.fit(interrupted, SHARDS, engine=Fails(n_rounds), random_state=3, **case)
    assert file.exists() == (n_rounds > 0)
    if not file.exists():  # then it begins, with the weights and the random state that are given
        resumed.params[:] = network(0.2).params
    # The random state is that of the file, and another engine may go on
    history = rounds.fit(
        resumed, SHARDS, engine=Threads(), random_state=4 if n_rounds else 3, resume=True, **case
    )
    np.testing.assert_array_equal(resumed.params, whole.params)
    seconds = {"seconds": 0, "round_seconds": 0}
    np.testing.assert_equal(history.to_dict() | seconds, expected.to_dict() | seconds)
    assert len(history.round_seconds) == len(history.loss)
    assert history.seconds >= sum(history.round_seconds)


def test_resuming_what_is_complete_returns_it(tmp_path):
    file = tmp_path / "rounds.checkpoint"
    how = {"epochs": 2, "validation": VALIDATION, "checkpoint": file}
    net, other = network(), network(seed=9)
    history = rounds.fit(net, SHARDS, random_state=0, **how)
    again = rounds.fit(other, SHARDS, resume=True, **how)
    np.testing.assert_array_equal(other.params, net.params)
    np.testing.assert_equal(again.to_dict() | {"seconds": 0}, history.to_dict() | {"seconds": 0})


def test_the_time_before_the_interruption_counts(tmp_path):
    how = {"epochs": 9, "rounds_per_epoch": 1, "checkpoint": tmp_path / "rounds.checkpoint"}
    with pytest.raises(Interrupted):
        rounds.fit(network(), SHARDS, engine=Fails(3), callbacks=[lambda event: time.sleep(0.1)], **how)
    history = rounds.fit(network(), SHARDS, resume=True, max_seconds=0.2, **how)
    assert history.stopped_by == "max_seconds" and len(history.loss) == 4 and history.seconds > 0.2


def test_without_resume_a_training_begins_and_the_file_is_written_anew(tmp_path):
    file = tmp_path / "rounds.checkpoint"
    one, two = network(), network()
    rounds.fit(one, SHARDS, epochs=2, random_state=0, checkpoint=file)
    before = file.read_bytes()
    rounds.fit(two, SHARDS, epochs=2, random_state=1, checkpoint=file)
    assert file.read_bytes() != before and (one.params != two.params).any()


class Halves(Schedule):
    """A schedule of a user, whose repr has an address."""

    def rates(self, first, n, steps_per_epoch):
        return 0.02 * 0.5 ** (np.arange(first, first + n) // steps_per_epoch)


def test_a_schedule_of_a_user_is_resumed(tmp_path):
    whole, resumed = network(), network()
    file = tmp_path / "rounds.checkpoint"
    rounds.fit(whole, SHARDS, epochs=3, optimizer=Adam(Halves()), random_state=0)
    with pytest.raises(Interrupted):
        rounds.fit(
            network(), SHARDS, epochs=3, optimizer=Adam(Halves()), random_state=0, checkpoint=file,
            engine=Fails(5),
        )  # fmt: skip
    keep = [Halves() for _ in range(3)]  # so that the next one has another address
    rounds.fit(resumed, SHARDS, epochs=3, optimizer=Adam(Halves()), checkpoint=file, resume=True)
    np.testing.assert_array_equal(resumed.params, whole.params)
    assert len(keep) == 3


class Watching(Halves):
    """A schedule that a file cannot hold, as it changes with the training."""

    watches = True


def frozen(net):
    net.freeze(0)
    return net


DIFFERING = {
    "network": [
        (lambda: Network([4, 7, 2], activation="tanh"), {}),
        (lambda: Network([4, 6, 2]), {}),
        (lambda: network(dropout=0.1), {}),
        (lambda: frozen(network()), {}),
        (lambda: Network([4, 6, 2], activation="tanh", dtype="float64"), {}),
        (lambda: Network(4, [Dense(6, "tanh"), Dense(2, "tanh")]), {"loss": "squared_error"}),
    ],
    "loss": [(network, {"loss": "absolute_error"}), (network, {"loss": Huber(0.5)})],
    "penalties": [(network, {"alpha": 0.1}), (network, {"l1": 0.1})],
    "optimizer": [
        (network, {"optimizer": Adam(0.1)}),
        (network, {"optimizer": Adam(2e-3, beta1=0.8)}),
        (network, {"optimizer": SGD(0.1)}),
        (network, {"optimizer": dnn.AdamW(2e-3, weight_decay=0.1)}),
    ],
    "clip_norm": [(network, {"clip_norm": 1.0})],
    "batch_size": [(network, {"batch_size": 17})],
    "epochs": [(network, {"epochs": 3})],
    "rounds_per_epoch": [(network, {"rounds_per_epoch": 3})],
    "outer": [(network, {"outer": Nesterov()}), (network, {"outer": Nesterov(0.7, 0.8)})],
    "patience": [(network, {"patience": 9}), (network, {"min_delta": 0.1})],
    "shards": [
        (network, {"shards": SHARDS[:2]}),
        (network, {"shards": [*SHARDS[:2], (X[:5], Y[:5])]}),
        (network, {"validation": [(X[130:], Y[130:])]}),
        (network, {"validation": ()}),
    ],
}


@pytest.mark.parametrize("name", DIFFERING)
def test_a_file_of_another_training_is_refused_by_name(tmp_path, name):
    file = tmp_path / "rounds.checkpoint"
    alike = {"epochs": 2, "validation": VALIDATION, "checkpoint": file}
    rounds.fit(network(), SHARDS, random_state=0, **alike)
    content = file.read_bytes()
    for make, changed in DIFFERING[name]:
        net, rng = make(), np.random.default_rng(0)
        before, state = net.params.copy(), rng.bit_generator.state
        options = {"shards": SHARDS, **alike, "random_state": rng, "resume": True, **changed}
        with pytest.raises(ValueError, match=f"must be of the same training to resume it.* {name}: "):
            rounds.fit(net, options.pop("shards"), **options)
        np.testing.assert_array_equal(net.params, before)
        assert file.read_bytes() == content and rng.bit_generator.state == state


def test_class_weights_are_compared(tmp_path):
    file = tmp_path / "rounds.checkpoint"
    shards = [(X, (X[:, 0] > 0).astype(int))]

    def fit(weight, **options):
        net = Network([4, 2], output="softmax", random_state=0)
        rounds.fit(net, shards, epochs=1, class_weight=weight, checkpoint=file, **options)

    fit({0: 2.0})
    with pytest.raises(ValueError, match=r"differs in class_weight: \{0: 2.0\} there, \{1: 2.0\} here"):
        fit({1: 2.0}, resume=True)


def test_what_a_file_cannot_hold_is_refused_before_anything_is_changed(tmp_path):
    file, net = tmp_path / "rounds.checkpoint", network()
    before = net.params.copy()
    with pytest.raises(TypeError, match="schedule"):
        rounds.fit(net, SHARDS, optimizer=SGD(Watching()), checkpoint=file)
    np.testing.assert_array_equal(net.params, before)
    assert not file.exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"resume": True}, ValueError, "resume must come with checkpoint, got none"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be a path or None, got 3"),
        ({"checkpoint": "f", "resume": 1}, TypeError, "resume must be"),
    ],
)
def test_options_of_checkpoints(options, error, message):
    with pytest.raises(error, match=message):
        rounds.fit(network(), SHARDS, **options)


def test_a_file_of_another_kind_is_refused(tmp_path):
    file, net = tmp_path / "model.dnn", network()
    network().save(file)
    content = file.read_bytes()
    with pytest.raises(ModelFormatError, match="must be a checkpoint"):
        rounds.fit(net, SHARDS, checkpoint=file, resume=True)
    assert file.read_bytes() == content
    # A checkpoint of Network.fit
    net.fit(X, Y, epochs=1, checkpoint=file)
    with pytest.raises(ValueError, match="must be of the same training"):
        rounds.fit(net, SHARDS, checkpoint=file, resume=True)


SCRIPT = """
    import sys, time, numpy as np
    from dnn import Network
    from dnn.distributed import rounds
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4)).astype("float32")
    shards = [(X[k::4], np.tanh(X[k::4, :1])) for k in range(4)]
    net = Network([4, 16, 1], dropout=0.1, random_state=1)

    def tell(event):
        print(event.epoch, flush=True)
        time.sleep(0.002)

    rounds.fit(net, shards, epochs=10, callbacks=[tell], random_state=2, checkpoint=sys.argv[1], resume=True)
    np.save(sys.argv[1] + ".npy", net.params)
"""


def run_script(script, file, kill_after=None):
    """Run the script until its end, or kill it after a round; return the rounds that it did."""
    command = [sys.executable, str(script), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        seen = []
        for line in process.stdout:
            seen.append(int(line))
            if kill_after is not None and seen[-1] >= kill_after:
                process.kill()
    assert process.returncode == (0 if kill_after is None else -signal.SIGKILL)
    return seen


@pytest.mark.long
def test_a_killed_process_is_resumed_to_the_same_bits(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    assert run_script(script, tmp_path / "whole") == list(range(40))
    file = tmp_path / "killed"
    first = run_script(script, file, kill_after=3)
    second = run_script(script, file, kill_after=20)
    last = run_script(script, file)
    assert 3 <= second[0] <= first[-1] + 1 and 20 <= last[0] <= second[-1] + 1 and last[-1] == 39
    np.testing.assert_array_equal(np.load(f"{file}.npy"), np.load(tmp_path / "whole.npy"))
