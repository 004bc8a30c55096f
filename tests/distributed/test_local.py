"""What a worker does in a round: shards in memory and sources, as a function of the arguments alone."""

import pickle

import numpy as np
import pytest
import reference

from dnn import (
    SGD,
    Adam,
    Constant,
    Cosine,
    Huber,
    InverseScaling,
    Network,
    OnPlateau,
    Quantile,
    Schedule,
    Stream,
    WarmUp,
    sources,
)
from dnn.distributed import rounds
from dnn.distributed.local import BlocksOf, LocalTraining, RoundPart, State

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 4)).astype("float32")
Y = np.tanh(X[:, :2]).astype("float32")


class Recorded:
    """A source that records which blocks were read; its blocks have different numbers of rows."""

    def __init__(self, bounds, n_rows="known"):
        self.bounds = bounds
        self.n_blocks = len(bounds) - 1
        self.n_rows = bounds[-1] if n_rows == "known" else None
        self.blocks = []

    def read(self, block):
        self.blocks.append(block)
        rows = slice(*self.bounds[block : block + 2])
        yield X[rows], Y[rows]


def network(dtype="float32", **options):
    return Network([4, 5, 2], activation="tanh", dtype=dtype, random_state=0, **options)


def state_of(net, optimizer):
    return State(net.optimizer(optimizer).slots, 0)


@pytest.mark.parametrize("n", [0, 1, 2, 5, 16, 97])
@pytest.mark.parametrize("n_parts", [1, 2, 7, 40])
def test_parts_divide_an_epoch_and_the_first_one_has_a_step(n, n_parts):
    parts = [RoundPart(0, part, n_parts, Constant(0.1)).share(n) for part in range(n_parts)]
    assert [step for part in parts for step in part] == list(range(n))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1 and (sizes[0] == max(sizes))


@pytest.mark.parametrize("n_parts", [1, 3, 8, 20])
def test_every_block_is_read_once_per_epoch_in_another_order(n_parts):
    source = Recorded([0, 11, 12, 30, 40, 55, 70, 99, 100])
    first = list(source.blocks)
    seen = []
    history = rounds.fit(
        network(), [source], epochs=3, rounds_per_epoch=n_parts, random_state=0, batch_size=8,
        callbacks=[lambda event: seen.append(list(source.blocks))],
    )  # fmt: skip
    assert not first and seen[0][:8] == list(range(8))  # which are looked at before anything is changed
    epochs = [sorted(source.blocks[8 * epoch : 8 * epoch + 8]) for epoch in range(4)]
    assert epochs == [list(range(8))] * 4 and len(source.blocks) == 32
    assert len({tuple(source.blocks[8 * epoch : 8 * epoch + 8]) for epoch in (1, 2, 3)}) == 3
    assert sum(history.n_rows) == 300
    per_round = [len(seen[0]) - 8, *np.diff([len(blocks) for blocks in seen])]
    assert max(per_round) - min(per_round) <= 1
    assert [n > 0 for n in history.n_rows] == [n > 0 for n in per_round]


class Noted(Schedule):
    """A schedule that notes the steps for which it is asked."""

    def __init__(self):
        self.asked = []

    def rates(self, first, n, steps_per_epoch):
        self.asked.append((first, n, steps_per_epoch))
        return 0.1 / (1 + np.arange(first, first + n))


def test_the_steps_of_several_buffers_follow_each_other():
    stream = Stream(Recorded([0, 30, 60, 100]), buffer_rows=16)
    schedule = Noted()
    history = rounds.fit(
        network(),
        [stream],
        epochs=2,
        rounds_per_epoch=1,
        optimizer=SGD(schedule),
        batch_size=8,
        random_state=0,
    )
    assert history.n_rows == [100, 100] and history.rate == [0.1, 0.1 / 14]
    buffers = [2, 2, 2, 2, 2, 2, 1]
    firsts = np.cumsum([0, *buffers, *buffers]).tolist()
    assert schedule.asked == [(first, n, 13) for first, n in zip(firsts, buffers * 2, strict=False)]


@pytest.mark.parametrize("prefetch", [0, 1])
def test_a_source_of_one_block_is_numpy(prefetch):
    """The rows are permuted after the blocks, by the same generator."""
    net = network("float64")
    stream = Stream(
        sources.arrays(X.astype("float64"), Y.astype("float64"), block_rows=100), prefetch=prefetch
    )
    training = LocalTraining.of(net, optimizer=Adam(0.01), batch_size=30)
    steps = RoundPart(2, 0, 1, Cosine(0.01, epochs=5))
    found = training.local_round(net.params, state_of(net, Adam()), training.shard(stream), (8, 3), steps)
    rng = np.random.default_rng([8, 3, 2])
    rng.integers(1)
    rng.permuted(np.zeros((1, 1)), axis=1)
    rng.permuted(np.zeros((1, 1)), axis=1)
    order = rng.permutation(100)
    expected, losses, _ = reference.fit(
        net.weights, net.biases, ["tanh", "identity"], X.astype("float64"), Y.astype("float64"),
        loss="squared_error", optimizer=reference.Adam(), rates=Cosine(0.01, epochs=5).rates(8, 4, 4),
        orders=[order], batch_size=30,
    )  # fmt: skip
    np.testing.assert_allclose(found.params, expected, rtol=0, atol=1e-13)
    assert found.loss == pytest.approx(losses[0], rel=1e-13)
    assert (found.n_rows, found.weight, found.state.n_steps, found.n_skipped) == (100, 100.0, 4, 0)


def test_bad_rows_that_are_skipped_are_counted():
    bad = X.copy()
    bad[[3, 50, 51]] = np.nan
    stream = Stream(sources.arrays(bad, Y, block_rows=10), on_bad_rows="skip")
    shards = [stream, (X, Y), stream]
    history = rounds.fit(network(), shards, epochs=2, rounds_per_epoch=2, random_state=0, validation=[stream])
    assert sum(history.n_rows) == 2 * (97 + 100 + 97) and sum(history.n_skipped) == 2 * 6
    good = np.isfinite(bad).all(axis=1)
    net = network()
    val_loss = rounds.fit(net, [(X, Y)], epochs=1, rounds_per_epoch=1, validation=[stream]).val_loss
    assert val_loss == [pytest.approx(net.losses(X[good], Y[good]).mean(), rel=1e-6)]


def test_blocks_with_bad_rows_only():
    bad = X.copy()
    bad[20:40] = np.inf
    stream = Stream(sources.arrays(bad, Y, block_rows=10), on_bad_rows="skip")
    history = rounds.fit(network(), [stream], epochs=1, rounds_per_epoch=10, random_state=0)
    assert sorted(history.n_rows) == [0, 0] + [10] * 8 and sorted(history.n_skipped) == [0] * 8 + [10, 10]
    assert np.isnan(history.loss).sum() == 2


def test_a_source_with_weights_is_numpy_too():
    w = RNG.uniform(0, 2, 100)
    net = network("float64")
    rows = X.astype("float64"), Y.astype("float64"), w
    arrays, source = rows, sources.arrays(*rows, block_rows=100)
    options = {"epochs": 1, "rounds_per_epoch": 1, "batch_size": 100, "optimizer": SGD(0.1), "outer": None}
    twin = net.copy()
    rounds.fit(net, [arrays, (X, Y)], **options)
    rounds.fit(twin, [source, (X, Y)], **options)
    np.testing.assert_allclose(twin.params, net.params, rtol=0, atol=1e-13)  # a batch has all rows


def test_the_rate_of_a_source_that_does_not_know_its_rows_goes_on():
    source = Recorded([0, 25, 50, 75, 100], n_rows=None)
    history = rounds.fit(
        network(), [source], epochs=2, rounds_per_epoch=2, batch_size=5, optimizer=SGD(InverseScaling(0.3)),
        random_state=0,
    )  # fmt: skip
    assert history.rate == pytest.approx([0.3 / (1 + done) ** 0.5 for done in (0, 10, 20, 30)])
    plateau = SGD(OnPlateau(0.3, patience=1, threshold=0.99))
    history = rounds.fit(network(), [source], epochs=3, rounds_per_epoch=1, optimizer=plateau, random_state=0)
    assert history.rate == [0.3, 0.3, 0.15]


def test_the_rate_of_a_source_is_that_of_its_fraction_of_an_epoch():
    source = Recorded([0, 25, 50, 75, 100])
    history = rounds.fit(
        network(), [source], epochs=2, rounds_per_epoch=4, batch_size=5, optimizer=SGD(Cosine(0.3, epochs=2)),
        random_state=0,
    )  # fmt: skip
    assert history.rate == pytest.approx(Cosine(0.3, epochs=2).rates(0, 8, 4).tolist())


def test_a_local_round_changes_nothing_that_is_given():
    net = network(dropout=0.2)
    training = LocalTraining.of(net, optimizer=Adam(0.01))
    shard, state = training.shard((X, Y)), state_of(net, Adam())
    for array in (state.slots, shard.X, shard.targets.Y):
        array.flags.writeable = False
    params = net.params.copy()
    params.flags.writeable = False
    one, two = (
        rounds.local_round(training, params, state, shard, (1, 2), RoundPart(0, 0, 1, Constant(0.01)))
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.params, two.params)
    np.testing.assert_array_equal(one.state.slots, two.state.slots)
    assert (one.params != params).any() and one.state.slots.any() and not state.slots.any()


def test_training_is_small_and_pickles():
    """It has no parameters: its size is that of its names."""
    for loss in ("auto", "absolute_error", Huber(2.0), Quantile((0.1, 0.9))):
        net = Network([784, 512, 2], dropout=0.1, random_state=0)
        net.freeze(0)
        training = LocalTraining.of(net, loss=loss, optimizer=Adam(WarmUp(1, OnPlateau(0.1))), clip_norm=1.0)
        content = pickle.dumps(training)
        assert len(content) < 1500 and pickle.loads(content) == training
    shard = training.shard((X[:, :1].repeat(784, axis=1), Y))
    again = pickle.loads(pickle.dumps(shard))
    np.testing.assert_array_equal(again.X, shard.X)
    assert training.shard(again) is again


def test_the_network_of_a_training_is_like_the_one_that_is_given():
    net = Network([4, 5, 2], activation=["elu"], output="softplus", dropout=[0.1, 0.5], dtype="float64")
    net.freeze(1)
    twin = LocalTraining.of(net).network(net.params)
    np.testing.assert_array_equal(twin.params, net.params)
    for name in ("layers", "dropout", "frozen", "dtype", "n_inputs"):
        assert getattr(twin, name) == getattr(net, name)


def test_arrays_are_converted_once_and_not_copied_without_need():
    training = LocalTraining.of(network())
    assert np.shares_memory(training.shard((X, Y)).X, X)
    shard = training.shard((X.astype(">f8").tolist(), Y.tolist(), [1] * 100))
    np.testing.assert_array_equal(shard.X, X)
    assert shard.X.dtype == "float32" and shard.weights.dtype == "float64" and shard.weight == 100


def test_shards_may_be_tables_and_memory_maps(tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install 'dnn-core[dev]'")
    table = pandas.DataFrame(X, columns=list("abcd"))
    mapped = np.memmap(tmp_path / "X.bin", dtype="float64", mode="w+", shape=X.shape)
    mapped[:] = X
    nets = [network() for _ in range(3)]
    for net, given in zip(nets, (X, table, mapped), strict=True):
        rounds.fit(net, [(given, Y, pandas.Series(np.ones(100)))], epochs=1, random_state=0)
        np.testing.assert_array_equal(net.params, nets[0].params)


def test_some_blocks_of_a_source():
    whole = sources.arrays(X, Y, block_rows=10)
    some = BlocksOf(whole, [7, 2, 5])
    assert some.n_blocks == 3 and some.n_rows == 30
    assert BlocksOf(Recorded([0, 50, 100], n_rows=None), [1]).n_rows is None
    np.testing.assert_array_equal(next(some.read(1))[0], X[20:30])
    assert BlocksOf(some, [2]).place(0, 4) == "row 54"
    assert BlocksOf(Recorded([0, 50, 100]), [1]).place(0, 4) == "row 4 of block 1"
