"""Refusals of rounds: one clear error that names the shard, and nothing is changed."""

import pickle

import numpy as np
import pytest
from order_engines import Pickled

from dnn import LBFGS, SGD, Cosine, DivergedError, InverseScaling, Network, OnPlateau, Stream, sources
from dnn.distributed import rounds
from dnn.distributed.rounds import Engine

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4)).astype("float32")
Y = RNG.normal(size=(20, 2)).astype("float32")
GOOD = (X, Y)


def network(output="identity"):
    return Network([4, 3, 2], activation="tanh", output=output, random_state=0)


def with_value(array, row, column, value):
    array = np.array(array)
    array[row, column] = value
    return array


def three(shard):
    return [GOOD, GOOD, GOOD, shard]


class Unreadable:
    """A source whose second block cannot be read."""

    n_blocks, n_rows = 3, 30

    def __init__(self, error):
        self.error = error

    def read(self, block):
        if block == 1:
            raise self.error
        yield np.ones((10, 4)), np.ones((10, 2))


BLOCKS = {"X": with_value(np.tile(X, (3, 1)), 45, 2, np.inf), "y": np.tile(Y, (3, 1))}
REFUSED = {
    "nan in a shard": (
        {"shards": three((with_value(X, 7, 2, np.nan), Y))},
        ValueError,
        r"^shard 3: X must be finite, got nan in row 7, column 2$",
    ),
    "infinity in y": (
        {"shards": [GOOD, (X, with_value(Y, 3, 1, np.inf))]},
        ValueError,
        r"^shard 1: y must be finite, got inf in row 3, column 1$",
    ),
    "width": (
        {"shards": [GOOD, (X[:, :3], Y)]},
        ValueError,
        r"^shard 1: X must have shape \(n_samples, 4\), got \(20, 3\)$",
    ),
    "width of y": (
        {"shards": [GOOD, (X, X)]},
        ValueError,
        r"^shard 1: y must have shape \(20, 2\), got \(20, 4\)$",
    ),
    "rows of y": ({"shards": [(X, Y[:5])]}, ValueError, r"^shard 0: y must have shape \(20, 2\), got"),
    "labels": (
        {"shards": [(X, np.arange(20) % 2), (X, np.arange(20) % 3)], "output": "softmax"},
        ValueError,
        r"^shard 1: y must .*classes 0 \.\. 1, got 2",
    ),
    "negative weight": (
        {"shards": [GOOD, (X, Y, np.arange(20) - 1.0)]},
        ValueError,
        r"^shard 1: sample_weight must not be negative, got -1 in row 0$",
    ),
    "number of weights": (
        {"shards": [(X, Y, np.zeros(19))]},
        ValueError,
        r"^shard 0: sample_weight must have shape \(20,\), got \(19,\)$",
    ),
    "text": ({"shards": [(np.full((20, 4), "a"), Y)]}, TypeError, "^shard 0: X must"),
    "array as a shard": (
        {"shards": [GOOD, [X, Y]]},
        TypeError,
        r"^shard 1: a shard must be \(X, y\), .*got list",
    ),
    "four arrays": ({"shards": [(X, Y, None, None)]}, TypeError, "^shard 0: a shard must be"),
    "one shard as shards": (
        {"shards": (X, Y)},
        TypeError,
        r"^shards must be a list of shards such as \(X, y\), got tuple$",
    ),
    "an array": ({"shards": X}, TypeError, "^shards must be a list of shards .*got ndarray"),
    "a source": ({"shards": sources.arrays(X, Y)}, TypeError, "^shards must be a list of shards"),
    "no shard": ({"shards": []}, ValueError, "^shards must have at least one shard, got none$"),
    "no rows": (
        {"shards": [(X[:0], Y[:0])] * 3},
        ValueError,
        "^shards must have at least one row with a weight above 0, got none$",
    ),
    "no weight": (
        {"shards": [(X, Y, np.zeros(20)), (X[:0], Y[:0])]},
        ValueError,
        "^shards must have at least one row with a weight above 0, got none$",
    ),
    "no row of validation": (
        {"validation": [(X[:0], Y[:0])]},
        ValueError,
        "^validation shards must have at least one row with a weight above 0, got none$",
    ),
    "validation": (
        {"validation": [GOOD, (with_value(X, 0, 0, np.nan), Y)]},
        ValueError,
        "^validation shard 1: X must be finite, got nan in row 0, column 0$",
    ),
    "one shard as validation": ({"validation": (X, Y)}, TypeError, "^validation must be a list of shards"),
    "validation is none": (
        {"validation": None},
        TypeError,
        "^validation must be a list of shards .*got NoneType",
    ),
    "L-BFGS": (
        {"optimizer": "lbfgs"},
        ValueError,
        "optimizer must be one that takes steps in rounds, got LBFGS",
    ),
    "L-BFGS, an object": ({"optimizer": LBFGS()}, ValueError, "optimizer must be one that takes steps"),
    "balanced": (
        {"class_weight": "balanced"},
        ValueError,
        "^class_weight must be a dict or None in rounds, got 'balanced'$",
    ),
    "class_weight": ({"class_weight": [1, 2]}, TypeError, r"^class_weight must be a dict or None in rounds"),
    "class": (
        {"shards": [(X, np.arange(20) % 2)], "output": "softmax", "class_weight": {2: 1.0}},
        ValueError,
        r"class_weight must be of classes 0 \.\. 1, got 2",
    ),
    "engine": (
        {"engine": "dask"},
        TypeError,
        "^engine must be an Engine, such as Workers.client., got 'dask'$",
    ),
    "class of an engine": ({"engine": Engine}, TypeError, "^engine must be an Engine"),
    "outer": ({"outer": "none"}, TypeError, r"^outer must be Nesterov\(...\), None or 'auto', got 'none'$"),
    "class of outer": ({"outer": rounds.Nesterov}, TypeError, "^outer must be"),
    "patience": ({"patience": 3}, ValueError, "^patience must come with validation, got none$"),
    "patience 0": ({"patience": 0, "validation": [GOOD]}, ValueError, "^patience must be at least 1, got 0$"),
    "epochs": ({"epochs": 0}, ValueError, "^epochs must be at least 1, got 0$"),
    "epochs as a float": ({"epochs": 2.0}, TypeError, "^epochs must be a whole number, got 2.0$"),
    "rounds_per_epoch": ({"rounds_per_epoch": 0}, ValueError, "^rounds_per_epoch must be at least 1, got 0$"),
    "batch_size": ({"batch_size": None}, TypeError, "^batch_size must be a whole number, got None$"),
    "alpha": ({"alpha": -1.0}, ValueError, "^alpha must be"),
    "l1": ({"l1": np.nan}, ValueError, "^l1 must be"),
    "clip_norm": ({"clip_norm": 0.0}, ValueError, "^clip_norm must be"),
    "min_delta": ({"min_delta": -1.0}, ValueError, "^min_delta must be"),
    "max_seconds": ({"max_seconds": 0.0}, ValueError, "^max_seconds must be"),
    "callbacks": ({"callbacks": print}, TypeError, "^callbacks must be a list of functions"),
    "n_threads": ({"n_threads": 0}, ValueError, "^n_threads must be"),
    "progress": ({"progress": 1}, TypeError, "^progress must be"),
    "random_state": ({"random_state": -1}, ValueError, "^random_state must be"),
    "loss": ({"loss": "log_loss"}, ValueError, "^loss 'log_loss' must have an output of"),
    "optimizer": ({"optimizer": "adan"}, ValueError, "^optimizer must be one of"),
    "bad row of a source": (
        {"shards": [GOOD, sources.arrays(BLOCKS["X"], BLOCKS["y"], block_rows=10)]},
        ValueError,
        "^shard 1: column 2 of X must be finite and fit float32, got inf in row 45; ",
    ),
    "width of a source": (
        {"shards": [sources.arrays(X[:, :3], Y)]},
        ValueError,
        r"^shard 0: X must have shape \(n_samples, 4\), got \(20, 3\)$",
    ),
    "a source with bad rows only": (
        {"shards": [Stream(sources.arrays(X * np.nan, Y), on_bad_rows="skip")]},
        ValueError,
        "^shard 0: the source must have at least one good row, got none$",
    ),
    "an error whose class takes other arguments": (
        {"shards": [Unreadable(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad byte"))]},
        ValueError,
        "^shard 0: 'utf-8' codec can't decode byte 0xff",
    ),
    "a file that cannot be read": (
        {"shards": [GOOD, Unreadable(OSError("disk on fire"))]},
        OSError,
        "block 1 of the source, in epoch 0, could not be read: disk on fire",
    ),
    "a validation file that cannot be read": (
        {"validation": [Unreadable(OSError("disk on fire"))], "rounds_per_epoch": 1},
        OSError,
        "block 1 of the source",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_changes_nothing(tmp_path, name):
    options, error, message = REFUSED[name]
    options = {"shards": [GOOD, GOOD], **options}
    net = network(options.pop("output", "identity"))
    before, drawn = net.params.copy(), np.random.default_rng(0)
    file = tmp_path / "rounds.checkpoint"
    options = {"random_state": drawn, "epochs": 1, "checkpoint": file, **options}
    with pytest.raises(error, match=message) as caught:
        rounds.fit(net, options.pop("shards"), **options)
    np.testing.assert_array_equal(net.params, before)
    assert not file.exists() and drawn.bit_generator.state == np.random.default_rng(0).bit_generator.state
    if error is OSError:
        assert any("shard" in note for note in caught.value.__notes__)
    net.optimizer("sgd").step(np.zeros_like(before))  # it is not locked any more


def test_a_source_that_does_not_know_its_rows_takes_rates_that_need_no_epoch():
    source = sources.function(lambda: iter([(X, Y)]))
    with pytest.raises(ValueError, match=r"^shard 1: rate must be a number, InverseScaling or OnPlateau"):
        rounds.fit(network(), [GOOD, source], optimizer=SGD(Cosine(0.1, 3)))
    for rate in (0.1, OnPlateau(0.1), InverseScaling(0.1)):
        rounds.fit(network(), [GOOD, source], optimizer=SGD(rate), epochs=1)


def test_a_diverged_shard_is_named_and_the_weights_of_the_round_before_are_in_place():
    seen = []
    bad = (X, np.where(np.arange(20)[:, None] == 11, np.float32(1e30), Y))
    net = network()
    before = net.params.copy()
    with pytest.raises(
        DivergedError, match=r"^shard 2: training diverged in epoch 0: .*not finite"
    ) as caught:
        rounds.fit(net, [GOOD, GOOD, bad], optimizer=SGD(0.1), rounds_per_epoch=1, random_state=0)
    np.testing.assert_array_equal(net.params, before)
    assert caught.value.epoch == 0
    with pytest.raises(DivergedError, match=r"^shard 0: training diverged in epoch") as caught:
        rounds.fit(
            net, [GOOD], optimizer=SGD(40.0), epochs=900, outer=None, random_state=0,
            callbacks=[lambda event: seen.append(event.net.params.copy())], loss="squared_error",
        )  # fmt: skip
    assert seen and np.isfinite(net.params).all()
    np.testing.assert_array_equal(net.params, seen[-1])


def test_a_last_step_that_overflows_is_a_divergence():
    """No loss shows it, as there is no further one."""
    net = network()
    before = net.params.copy()
    with pytest.raises(DivergedError, match=r"^shard 1: .*a weight is not finite"):
        rounds.fit(
            net, [GOOD, (X, Y * np.float32(1e15))], optimizer=SGD(1e30), batch_size=20, rounds_per_epoch=1
        )
    np.testing.assert_array_equal(net.params, before)


def test_a_diverged_error_survives_pickling():
    with pytest.raises(DivergedError) as caught:
        rounds.fit(network(), [GOOD, (X, Y * np.float32(1e30))], optimizer=SGD(0.1), random_state=0)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and str(again).startswith("shard 1: training diverged in epoch 0")
    assert (again.epoch, again.args) == (caught.value.epoch, caught.value.args)
    assert np.array_equal(again.last_loss, caught.value.last_loss, equal_nan=True)


def test_with_validation_a_diverged_training_leaves_the_best_weights():
    seen = []
    net = network()
    with pytest.raises(DivergedError):
        rounds.fit(
            net, [GOOD], optimizer=SGD(40.0), epochs=900, outer=None, random_state=0, validation=[GOOD],
            callbacks=[lambda event: seen.append((event.history.val_loss[-1], event.net.params.copy()))],
        )  # fmt: skip
    np.testing.assert_array_equal(net.params, min(seen, key=lambda each: each[0])[1])


def test_an_average_that_overflows_is_a_divergence():
    """Each shard is finite, but the outer step is longer than they are."""

    class Far(Engine):
        def total(self, function, placed, *common):
            total = super().total(function, placed, *common)
            return total._replace(params=total.params * 1e30 if total.params.size else total.params)

    net = Network([4, 2], random_state=0)
    net.params[:] = 1e10
    with pytest.raises(DivergedError, match="the average has a weight that is not finite"):
        rounds.fit(net, [GOOD], engine=Far(), epochs=1, random_state=0)
    assert (net.params == np.float32(1e10)).all()


def test_a_bad_row_that_only_a_round_finds_is_named_by_another_process_too():
    net = network()
    before = net.params.copy()
    source = sources.arrays(
        with_value(np.tile(X, (20, 1)), 345, 2, np.inf), np.tile(Y, (20, 1)), block_rows=10
    )
    with pytest.raises(ValueError, match=r"^shard 1: column 2 of X .*got inf in row 345"):
        rounds.fit(net, [GOOD, source], engine=Pickled(), rounds_per_epoch=1)
    np.testing.assert_array_equal(net.params, before)


def test_an_interrupt_leaves_the_weights_of_the_round_before():
    seen = []

    class Interrupts(Engine):
        def total(self, function, placed, *common):
            if len(seen) == 3:
                raise KeyboardInterrupt
            return super().total(function, placed, *common)

    net = network()
    with pytest.raises(KeyboardInterrupt):
        rounds.fit(
            net, [GOOD], engine=Interrupts(), random_state=0, batch_size=5,
            callbacks=[lambda event: seen.append(event.net.params.copy())],
        )  # fmt: skip
    np.testing.assert_array_equal(net.params, seen[-1])
    assert net.fit(X, Y, epochs=1).stopped_by == "epochs"  # it is not locked any more
