"""A validation set that is read block by block: the figures of arrays, in constant memory."""

import threading
import tracemalloc

import numpy as np
import pytest

from dnn import Adam, Network, Quantile, Stream, sources
from dnn.training import validation

RNG = np.random.default_rng(0)
N, M = 300, 170
X = RNG.normal(size=(N, 6)).astype("float32")
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
X_VAL = RNG.normal(size=(M, 6))
CLASSES_VAL = (X_VAL[:, 0] + X_VAL[:, 1] > 0).astype(int) + (X_VAL[:, 2] > 1)
WEIGHTS_VAL = RNG.uniform(0.0, 2.0, M)
HOW = {"epochs": 4, "batch_size": 32, "optimizer": Adam(0.01)}


def network(dtype="float32", sizes=(6, 12, 3), output="softmax"):
    return Network(sizes, output=output, dtype=dtype, random_state=3)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "dnn-stream"]


def source_val(*weights, block_rows=40, **how):
    return Stream(sources.arrays(X_VAL, CLASSES_VAL, *weights, block_rows=block_rows), **how)


@pytest.mark.parametrize("weights", [(), (WEIGHTS_VAL,)], ids=["plain", "weighted"])
@pytest.mark.parametrize("streamed", [False, True], ids=["arrays", "streamed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_is_that_of_arrays(dtype, streamed, weights, monkeypatch):
    monkeypatch.setattr(validation, "BUFFER_ROWS", 64)
    examples = (sources.arrays(X, CLASSES, block_rows=50),) if streamed else (X, CLASSES)
    arrays = dict(zip(("X_val", "y_val", "sample_weight_val"), (X_VAL, CLASSES_VAL, *weights), strict=False))
    of_arrays, of_source = network(dtype), network(dtype)
    expected = of_arrays.fit(*examples, **arrays, **HOW, patience=3)
    for prefetch in (0, 2):
        of_source = network(dtype)
        val = source_val(*weights, prefetch=prefetch)
        found = of_source.fit(*examples, X_val=val, **HOW, patience=3)
        np.testing.assert_allclose(found.val_loss, expected.val_loss, rtol=1e-12)
        assert found.best_epoch == expected.best_epoch
        np.testing.assert_array_equal(of_source.params, of_arrays.params)


def test_other_losses_and_shapes():
    y = np.c_[X_VAL[:, 0], X_VAL[:, 1] ** 2]
    cases = (
        ({"loss": "huber"}, y, 2),
        ({"loss": Quantile((0.1, 0.9))}, y[:, 0], 2),
        ({"loss": lambda y, z: (np.abs(z[:, 0] - y[:, 0]), np.sign(z - y))}, y[:, :1], 1),
    )
    for how, y_val, n_outputs in cases:
        train = X[:M], y_val
        losses = []
        for given in ({"X_val": X_VAL, "y_val": y_val}, {"X_val": sources.arrays(X_VAL, y_val)}):
            net = network(sizes=(6, 8, n_outputs), output="identity")
            losses.append(net.fit(*train, **given, **how, epochs=2).val_loss)
        np.testing.assert_allclose(*losses, rtol=1e-12)


def test_bad_rows_are_left_out_or_named():
    spoilt = X_VAL.copy()
    spoilt[150, 4] = np.nan
    good = np.delete(np.arange(M), 150)
    source = sources.arrays(spoilt, CLASSES_VAL, block_rows=40)
    expected = network().fit(X, CLASSES, X_val=X_VAL[good], y_val=CLASSES_VAL[good], **HOW).val_loss
    found = network().fit(X, CLASSES, X_val=Stream(source, on_bad_rows="skip"), **HOW).val_loss
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"column 4 of X_val must be finite .*, got nan in row 150"):
        network().fit(X, CLASSES, X_val=Stream(source, buffer_rows=20), **HOW)  # after an epoch
    weightless = sources.arrays(X_VAL, CLASSES_VAL, np.zeros(M))
    with pytest.raises(ValueError, match="sample_weight_val must not be 0 in every row"):
        network().fit(X, CLASSES, X_val=weightless, **HOW)


class Failing:
    """A source whose blocks cannot be read from the third epoch on."""

    n_blocks, n_rows = 2, 80

    def __init__(self):
        self.n_read = 0

    def read(self, block):
        self.n_read += 1
        if self.n_read > 6:  # 2 for the checks on entry, and per epoch
            raise FileNotFoundError(f"No such file: block {block}")
        yield X_VAL[:40], CLASSES_VAL[:40]


def test_a_source_that_fails_leaves_the_best_weights():
    net, twin = network(), network()
    with pytest.raises(OSError, match="block 0 of X_val, could not be read: No such file"):
        net.fit(X, CLASSES, X_val=Failing(), random_state=0, **HOW)
    twin.fit(X, CLASSES, X_val=X_VAL[:40], y_val=CLASSES_VAL[:40], random_state=0, **{**HOW, "epochs": 2})
    np.testing.assert_array_equal(net.params, twin.params)


REFUSED = {
    "y_val must not be given with a source": {"X_val": source_val(), "y_val": CLASSES_VAL},
    "sample_weight_val must not be given with a source": {
        "X_val": source_val(),
        "sample_weight_val": WEIGHTS_VAL,
    },
    r"X_val must have shape \(n_samples, 6\), got \(170, 5\)": {
        "X_val": sources.arrays(X_VAL[:, :5], CLASSES_VAL)
    },
    r"y_val must hold classes 0 .. 2, got 3 in row": {"X_val": sources.arrays(X_VAL, CLASSES_VAL + 1)},
    "X_val must have at least one good row, got none": {
        "X_val": Stream(sources.arrays(X_VAL + np.nan, CLASSES_VAL), on_bad_rows="skip")
    },
    "y_val must be given with the validation set": {"X_val": X_VAL},
    "X_val must be given with the validation set": {"y_val": source_val()},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused_changes_nothing(message):
    net, twin = network(), network()
    with pytest.raises(ValueError, match=message):
        net.fit(X, CLASSES, **REFUSED[message])
    assert net.fit(X, CLASSES, epochs=1).loss == twin.fit(X, CLASSES, epochs=1).loss


def test_a_checkpoint_of_another_validation_set_is_refused(tmp_path):
    how = {**HOW, "checkpoint": tmp_path / "run", "every": 1}
    history = network().fit(X, CLASSES, X_val=source_val(), **how)
    again = network().fit(X, CLASSES, X_val=source_val(), **how, resume=True)
    assert again.val_loss == history.val_loss
    others = (
        (source_val(block_rows=50), "source of X_val: 5 blocks, 170 rows, raise bad rows there, 4 blocks"),
        (source_val(WEIGHTS_VAL), "sample_weight_val: None there"),
        (Stream(sources.arrays(X_VAL + 1, CLASSES_VAL, block_rows=40)), "X_val: "),
    )
    for other, message in others:
        with pytest.raises(ValueError, match=f"checkpoint must be of the same training .*{message}"):
            network().fit(X, CLASSES, X_val=other, **how, resume=True)


def test_memory_does_not_grow_with_the_validation_set():
    """48 MB of rows are read in buffers of at most 4 MB."""

    class Generated:
        n_blocks, n_rows = 48, 48 * 2000

        def read(self, block):
            rows = np.full((2000, 64), block / 48)  # 1 MB
            yield rows, rows[:, 0]

    net = Network([64, 4, 1], random_state=0)
    tracemalloc.start()
    try:
        net.fit(X[:64].repeat(11, axis=1)[:, :64], X[:64, 0], X_val=Generated(), epochs=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 14e6
