"""Training on rows that are read block by block: the same bits as on arrays, and however they are read."""

import signal
import threading
import time
import tracemalloc
from itertools import chain, pairwise
from unittest import mock

import numpy as np
import pytest

from dnn import SGD, Adam, Cosine, InverseScaling, Network, OnPlateau, Stream, sources
from dnn.training import options
from dnn.training.stream import StreamRun

RNG = np.random.default_rng(0)
N = 300
X = RNG.normal(size=(N, 6)).astype("float32")
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
WEIGHTS = RNG.uniform(0.1, 2.0, N)
VALIDATION = {"X_val": X[:60], "y_val": CLASSES[:60]}


class Blocks:
    """The rows of arrays in blocks, each in parts of at most so many rows; may fail at the n-th read."""

    def __init__(self, *arrays, block_rows=40, part_rows=1000, n_rows=N):
        self.arrays = arrays
        self.part_rows = part_rows
        self.edges = [*range(0, len(arrays[0]), block_rows), len(arrays[0])]
        self.n_blocks, self.n_rows = len(self.edges) - 1, n_rows
        self.read_blocks, self.fails_at = [], None

    def read(self, block):
        self.read_blocks.append(block)
        if len(self.read_blocks) == self.fails_at:
            raise FileNotFoundError(f"No such file: block {block}")
        for begin in range(self.edges[block], self.edges[block + 1], self.part_rows):
            end = min(begin + self.part_rows, self.edges[block + 1])
            yield tuple(array[begin:end] for array in self.arrays)


def network(dropout=0.0, seed=3):
    return Network([6, 12, 8, 3], output="softmax", dropout=dropout, random_state=seed)


def fitted(source, dropout=0.1, seed=3, **how):
    net = network(dropout, seed)
    history = net.fit(source, **{"epochs": 4, "batch_size": 32, "optimizer": Adam(0.01), **how})
    return net.params.copy(), history


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "dnn-stream"]


CASES = {
    "dropout, Adam": {"dropout": 0.2},
    "penalties": {"alpha": 0.1, "l1": 0.01, "clip_norm": 0.5},
    "averaged": {"ema": 0.9, "optimizer": SGD(0.05, momentum=0.9)},
    "validated": {**VALIDATION, "patience": 2, "optimizer": Adam(0.1), "epochs": 20},
    "schedule": {"optimizer": SGD(Cosine(0.1, epochs=4))},
    "plateau": {"optimizer": SGD(OnPlateau(0.5, patience=1)), "epochs": 9},
    "steps recorded": {"record": "step"},
    "in sequence": {"shuffle": False},
    "class weights": {"class_weight": {0: 0.5, 1: 3.0}},
    "balanced": {"class_weight": "balanced"},
    "large batch": {"batch_size": 1000},
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_one_buffer_gives_the_bits_of_arrays(name, weighted):
    case = {"epochs": 4, "batch_size": 32, **CASES[name]}
    weights = {"sample_weight": WEIGHTS} if weighted else {}
    dropout = case.pop("dropout", 0.0)
    of_arrays, of_source = network(dropout), network(dropout)
    expected = of_arrays.fit(X, CLASSES, **weights, **case).to_dict()
    found = of_source.fit(sources.arrays(X, CLASSES, **weights), **case).to_dict()
    np.testing.assert_array_equal(of_source.params, of_arrays.params)
    assert {**expected, "seconds": 0} == {name: found[name] if name != "seconds" else 0 for name in expected}
    # Both go on from there alike: the random states are the same
    one, two = (net.fit(X, CLASSES, epochs=1).loss for net in (of_source, of_arrays))
    assert one == two


def test_weights_of_very_different_size_with_a_penalty():
    weights = np.exp(-np.arange(N) / 3.0)
    how = {"alpha": 0.1, "shuffle": False, "epochs": 2, "batch_size": 32}
    of_arrays, of_source = network(), network()
    of_arrays.fit(X, CLASSES, sample_weight=weights, **how)
    of_source.fit(sources.arrays(X, CLASSES, weights), **how)
    np.testing.assert_array_equal(of_source.params, of_arrays.params)


def test_the_bits_depend_on_rows_and_seed_only(monkeypatch):
    rows = (X, CLASSES, WEIGHTS)
    expected, history = fitted(Stream(Blocks(*rows), buffer_rows=70))
    assert history.n_rows == [N] * 4 and history.stopped_by == "epochs"
    for prefetch in (0, 1, 2, 9):
        for n_threads, part_rows in ((1, 3), (2, 40), (3, 7)):
            source = Stream(Blocks(*rows, part_rows=part_rows), buffer_rows=70, prefetch=prefetch)
            params, again = fitted(source, n_threads=n_threads)
            np.testing.assert_array_equal(params, expected)
            assert again.loss == history.loss
    made = StreamRun.__init__

    def one_step_per_chunk(run, *args):
        made(run, *args)
        run.steps_per_chunk = 1

    monkeypatch.setattr(StreamRun, "__init__", one_step_per_chunk)
    np.testing.assert_array_equal(fitted(Stream(Blocks(*rows), buffer_rows=70))[0], expected)
    assert (fitted(Stream(Blocks(*rows), buffer_rows=100))[0] != expected).any()
    assert (fitted(Stream(Blocks(*rows), buffer_rows=70), random_state=1)[0] != expected).any()


def batches_of(source, batch_size=32, epochs=2, **how):
    """The row numbers of each batch, by a custom loss whose targets are the numbers."""
    seen = []

    def loss(y, logits):
        seen.append(y.tolist())
        return np.zeros(len(y)), np.zeros_like(logits)

    net = Network([6, 3], random_state=0)
    # Copies of the last good weights would compute losses as well
    with mock.patch("dnn.training.checkpoint.STEPS_PER_COPY", 1 << 60):
        history = net.fit(source, loss=loss, batch_size=batch_size, epochs=epochs, record="step", **how)
    return seen[: len(history.step_loss)]


def test_each_row_is_visited_once_and_only_the_last_batch_is_short():
    stream = Stream(Blocks(X, np.arange(N), block_rows=7, part_rows=5), buffer_rows=70)
    batches = batches_of(stream)
    assert [len(batch) for batch in batches] == ([32] * 9 + [12]) * 2
    epochs = [list(chain(*batches[begin : begin + 10])) for begin in (0, 10)]
    for rows in epochs:
        assert sorted(rows) == list(range(N))
    assert epochs[0] != epochs[1]
    blocks = [row // 7 for row in epochs[0][:64]]  # of the first buffer, of 64 rows
    assert 9 < len(set(blocks)) < 13 and max(blocks) - min(blocks) > 20
    assert sum(one == two for one, two in pairwise(blocks)) < 20


def test_each_buffer_has_rows_from_all_over_the_source():
    """200 sorted blocks: the share of each tenth of them in a buffer is even, and buffers are about equal."""
    blocks = Blocks(np.zeros((2000, 6), "f4"), np.arange(2000), block_rows=10, n_rows=2000)
    batches = batches_of(Stream(blocks, buffer_rows=410), batch_size=10, epochs=1)
    for begin in range(0, 200, 40):  # of 400 rows, which are 5 buffers
        tenths = np.bincount(np.array(batches[begin : begin + 40]).ravel() // 200)
        assert abs(tenths - 40).max() <= 10  # a block more or less; of independent blocks up to five
    first = [np.array(batches_of(Stream(blocks, buffer_rows=410), 10, random_state=s)[0]) for s in (1, 2)]
    assert (first[0] != first[1]).any()


def test_the_sequence_without_shuffling():
    batches = batches_of(Stream(Blocks(X, np.arange(N)), buffer_rows=64), shuffle=False, epochs=1)
    assert list(chain(*batches)) == list(range(N))


@pytest.mark.long
def test_rows_sorted_by_label_are_learned_as_well_as_shuffled_ones():
    datasets = pytest.importorskip("sklearn.datasets")
    digits, labels = datasets.load_digits(return_X_y=True)
    mixed = np.random.default_rng(0).permutation(len(digits))
    train, test = mixed[:1400], mixed[1400:]
    train = train[np.argsort(labels[train], kind="stable")]
    Z, y = digits[train] / 16, labels[train]

    def accuracy(source, *y, epochs=30, seed=0):
        net = Network([64, 32, 10], output="softmax", random_state=seed)
        net.fit(source, *y, optimizer=Adam(0.003), epochs=epochs, batch_size=32)
        return np.mean(net(digits[test] / 16).argmax(axis=1) == labels[test])

    def stream(block_rows):
        return Stream(Blocks(Z, y, block_rows=block_rows, n_rows=1400), buffer_rows=320)

    shuffled, in_blocks = (
        np.mean([accuracy(*given, seed=seed) for seed in range(3)]) for given in ((Z, y), (stream(10),))
    )
    assert shuffled > 0.97 and in_blocks > shuffled - 0.01
    # One block is read in sequence, and its rows are mixed in each buffer only
    assert accuracy(stream(1400), epochs=3) < accuracy(stream(10), epochs=3) - 0.1


class Interrupted(Exception):
    """Ends a training as a killed process would, without a checkpoint at the end."""


RESUMED = {
    "blocks": {},
    "sequence": {"block_rows": N, "n_rows": None, "optimizer": SGD(InverseScaling(0.1), momentum=0.9)},
    "weights": {"weights": True, "alpha": 0.1, "ema": 0.8},
    "unshuffled": {"shuffle": False},
    "validated": {**VALIDATION, "patience": 3, "optimizer": Adam(0.05)},
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_training_ends_with_the_same_bits(name, tmp_path, monkeypatch):
    """It is interrupted after every step of two epochs: in buffers, between them, and between epochs."""
    case = dict(RESUMED[name])
    spoilt = X.copy()
    spoilt[[1, 5, 170]] = np.nan
    weights = (WEIGHTS,) if case.pop("weights", False) else ()
    kind = {key: case.pop(key) for key in ("block_rows", "n_rows") if key in case}

    def source():
        blocks = Blocks(spoilt, CLASSES, *weights, **kind)
        return Stream(blocks, buffer_rows=70, on_bad_rows="skip")

    made, chunk = StreamRun.__init__, StreamRun.chunk
    left = None

    def short_chunks(run, *args):
        made(run, *args)
        run.steps_per_chunk = 1

    def interrupted(run, *args):
        nonlocal left
        if left is not None:
            left -= 1
            if left < 0:
                raise Interrupted
        chunk(run, *args)

    monkeypatch.setattr(StreamRun, "__init__", short_chunks)
    monkeypatch.setattr(StreamRun, "chunk", interrupted)
    expected, history = fitted(source(), **case)
    assert history.n_skipped == [3] * len(history.loss)
    for steps in (1, 3, 6, 14):
        file, left = tmp_path / f"{steps}", steps
        with pytest.raises(Interrupted):
            fitted(source(), checkpoint=file, every=1e-9, **case)
        left = None
        # From another seed: the checkpoint has the states of all random numbers
        params, again = fitted(source(), seed=steps, checkpoint=file, every=1, resume=True, **case)
        np.testing.assert_array_equal(params, expected)
        assert again.to_dict() | {"seconds": 0} == history.to_dict() | {"seconds": 0}


def test_a_checkpoint_of_another_source_is_refused(tmp_path):
    file = tmp_path / "run"
    fitted(Stream(Blocks(X, CLASSES), buffer_rows=70), checkpoint=file)
    for other, message in (
        (Stream(Blocks(X, CLASSES), buffer_rows=71), "buffer_rows: 70 there, 71 here"),
        (Stream(Blocks(X, CLASSES, block_rows=50), buffer_rows=70), "source: 8 blocks, 300 rows, raise"),
        (Stream(Blocks(X + 1, CLASSES), buffer_rows=70), "X: "),
    ):
        with pytest.raises(ValueError, match=f"checkpoint must be of the same training .*{message}"):
            fitted(other, checkpoint=file, resume=True)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_a_source_that_fails_leaves_the_last_good_weights(prefetch, tmp_path):
    expected, _ = fitted(Stream(Blocks(X, CLASSES), buffer_rows=64, prefetch=0))
    blocks, file, net = Blocks(X, CLASSES), tmp_path / "run", network(0.1)
    blocks.fails_at = 27  # in the third epoch; 7 are read for the checks on entry
    how = {"epochs": 4, "batch_size": 32, "optimizer": Adam(0.01), "checkpoint": file, "every": 1}
    with pytest.raises(FileNotFoundError) as caught:
        net.fit(Stream(blocks, buffer_rows=64, prefetch=prefetch), **how)
    message = str(caught.value)
    assert "of the source, in epoch 2, could not be read: No such file: block" in message
    assert "The last good weights are in place; with a checkpoint, resume=True continues" in message
    assert np.isfinite(net.params).all() and (net.params != network(0.1).params).any()
    resumed = network(0.1)
    resumed.fit(Stream(Blocks(X, CLASSES), buffer_rows=64, prefetch=prefetch), **how, resume=True)
    np.testing.assert_array_equal(resumed.params, expected)


@pytest.mark.parametrize("n_rows", [10, 299, 1000])
def test_a_wrong_number_of_rows_is_noticed(n_rows):
    with pytest.warns(UserWarning, match=f"n_rows of the source is {n_rows}, and it gave 300 rows") as caught:
        _, history = fitted(Stream(Blocks(X, CLASSES, n_rows=n_rows), buffer_rows=64), record="step")
    assert caught[0].filename == __file__
    assert history.n_rows == [N] * 4 and len(history.step_loss) == 40


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals of threads")
def test_ctrl_c_is_answered_while_the_source_is_slow():
    class Slow(Blocks):
        def read(self, block):
            for part in super().read(block):
                if len(self.read_blocks) == 12:
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                    time.sleep(0.1)
                yield part

    net, begun = network(0.1), time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        net.fit(Stream(Slow(X, CLASSES), buffer_rows=64), epochs=1000)
    assert time.perf_counter() - begun < 5 and np.isfinite(net.params).all()


def test_errors_of_a_source_pass_unchanged():
    class Failing(Blocks):
        def read(self, block):
            yield from super().read(block)
            if len(self.read_blocks) > 4:
                raise KeyError("my own")

    with pytest.raises(KeyError, match="my own") as caught:
        fitted(Failing(X, CLASSES))
    assert caught.value.__notes__[0].startswith("while dnn read block ")


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_training_that_stops_early_ends_the_thread(prefetch):
    blocks = Blocks(X, CLASSES)
    source = Stream(blocks, buffer_rows=64, prefetch=prefetch)
    _, history = fitted(source, epochs=50, callbacks=[lambda event: event.stop()])
    assert history.stopped_by == "callback" and len(history.loss) == 1
    assert len(blocks.read_blocks) <= 7 + 2 * blocks.n_blocks  # 7 for the checks on entry
    with pytest.raises(KeyboardInterrupt):

        def stop(event):
            raise KeyboardInterrupt

        fitted(source, callbacks=[stop])
    _, history = fitted(source, epochs=50, max_seconds=1e-9)
    assert history.stopped_by == "max_seconds"


def bad(place, value):
    rows = [X.copy(), CLASSES.astype(float), WEIGHTS.copy()]
    rows[place][170] = value
    return rows


@pytest.mark.parametrize("prefetch", [0, 1])
def test_bad_rows_are_named_or_left_out(prefetch):
    for place, name, value in ((0, "column 0 of X", np.nan), (1, "y", np.nan), (2, "sample_weight", np.inf)):
        rows = bad(place, value)
        net = network(0.1)
        with pytest.raises(ValueError, match=rf"^{name} must be finite .*, got {value} in row 170; Stream"):
            net.fit(Stream(sources.arrays(*rows, block_rows=40), buffer_rows=70, prefetch=prefetch))
        source = Stream(Blocks(*rows), buffer_rows=70, prefetch=prefetch, on_bad_rows="skip")
        params, history = fitted(source)
        assert history.n_rows == [N - 1] * 4 and history.n_skipped == [1] * 4
        assert history.skipped == ["row 10 of block 4"]
        good = np.delete(np.arange(N), 170)
        whole = sources.arrays(X[good], CLASSES[good], WEIGHTS[good])
        in_one = Stream(sources.arrays(*rows), on_bad_rows="skip", prefetch=prefetch)
        np.testing.assert_array_equal(fitted(in_one)[0], fitted(whole)[0])
        assert (params != fitted(whole)[0]).any()


def test_values_that_overflow_are_bad_rows():
    wide = X.astype(float)
    wide[2, 3] = 1e300
    with pytest.raises(
        ValueError, match=r"column 3 of X must be finite and fit float32, got 1e\+300 in row 2"
    ):
        fitted(sources.arrays(wide, CLASSES))
    assert fitted(Stream(sources.arrays(wide, CLASSES), on_bad_rows="skip"))[1].n_skipped == [1] * 4


def test_an_epoch_may_end_with_bad_rows():
    spoilt = X.copy()
    spoilt[64:] = np.nan
    source = Stream(Blocks(spoilt, CLASSES), buffer_rows=64, on_bad_rows="skip")
    assert fitted(source, shuffle=False)[1].n_rows == [64] * 4
    assert len(fitted(source, shuffle=False)[1].skipped) == 10
    spoilt[:] = np.nan
    with pytest.raises(ValueError, match="the source must have at least one good row, got none"):
        fitted(source)


def late(y=CLASSES, weights=None):
    """Rows that are wrong after those that are checked on entry."""
    return Blocks(X, y, *(() if weights is None else (weights,)))


NEGATIVE = np.where(np.arange(N) == 290, -1, CLASSES)
REFUSED = {
    "y must not be given with a source": lambda: fitted(Blocks(X, CLASSES), y=CLASSES),
    "sample_weight must not be given with a source": lambda: fitted(
        Blocks(X, CLASSES), sample_weight=WEIGHTS
    ),
    "class_weight must be 'balanced' or a dict": lambda: fitted(Blocks(X, CLASSES), class_weight="even"),
    "y must hold classes 0 .. 2, got -1$": lambda: fitted(late(NEGATIVE), class_weight="balanced"),
    "class_weight must come with class numbers": lambda: fitted(
        Blocks(X, np.eye(3)[CLASSES]), class_weight="balanced"
    ),
    "batch_size must be a number of rows": lambda: fitted(Blocks(X, CLASSES), batch_size=None),
    "order must not be given": lambda: fitted(Blocks(X, CLASSES), order=np.arange),
    "got LBFGS": lambda: fitted(Blocks(X, CLASSES), dropout=0.0, optimizer="lbfgs"),
    "rate must be a number, InverseScaling or OnPlateau .* got Cosine": lambda: fitted(
        Blocks(X, CLASSES, n_rows=None), optimizer=SGD(Cosine(0.1, epochs=4))
    ),
    r"X must have shape \(n_samples, 6\), got \(40, 5\)": lambda: fitted(Blocks(X[:, :5], CLASSES)),
    "source.read must yield": lambda: fitted(Blocks(X)),
    r"y must hold classes 0 .. 2, got 3 in row .*, in the rows from row 0 of block 0 on": lambda: fitted(
        Blocks(X, CLASSES + 1)
    ),
    "y must hold classes 0 .. 2, got -1 in row .* of block 7 on": lambda: fitted(late(NEGATIVE)),
    "y must have one dtype and shape in all parts, got <U3 .* after <U2": lambda: fitted(
        sources.function(lambda: iter([(X, ["ab"] * N), (X, ["abc"] * N)])),
        loss=lambda y, z: (z[:, 0], np.ones_like(z)),
    ),
    "sample_weight must be .* at least 0": lambda: fitted(late(weights=WEIGHTS - 1)),
    "buffer_rows must be at least 1": lambda: Stream(Blocks(X, CLASSES), buffer_rows=0),
    "prefetch must be at least 0": lambda: Stream(Blocks(X, CLASSES), prefetch=-1),
    "on_bad_rows must be one of raise, skip": lambda: Stream(Blocks(X, CLASSES), on_bad_rows="drop"),
    "source must have n_blocks, n_rows and read": lambda: Stream(X),
    "n_blocks of source must be at least 1": lambda: Stream(Blocks(X[:0], CLASSES)),
    "X must hold numbers|X must be an array|X must have shape": lambda: fitted(iter([(X, CLASSES)])),
    "y must be an array, got None": lambda: fitted(X),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(message):
    with pytest.raises((TypeError, ValueError), match=message):
        REFUSED[message]()


@pytest.mark.parametrize(
    "how",
    [{"y": CLASSES}, {"optimizer": SGD(Cosine(0.1, epochs=4))}, {"source": Blocks(X + np.nan, CLASSES)}],
)
def test_a_refused_call_changes_nothing(how):
    net, twin = network(0.1), network(0.1)
    with pytest.raises(ValueError):
        net.fit(how.pop("source", Blocks(X, CLASSES, n_rows=None)), **how)
    assert net.fit(X, CLASSES, epochs=1).loss == twin.fit(X, CLASSES, epochs=1).loss
    np.testing.assert_array_equal(net.params, twin.params)


def test_the_progress_bar_counts_rows(monkeypatch):
    class Bar:
        def __init__(self, **how):
            self.how, self.n, self.shown = how, 0, {}
            bars.append(self)

        def update(self, n=1):
            self.n += n

        def set_postfix(self, shown):
            self.shown = shown

        def close(self):
            self.closed = True

    bars = []
    monkeypatch.setattr(options, "_progress_bar_type", lambda: Bar)
    fitted(Stream(Blocks(X, CLASSES), buffer_rows=70), progress=True)
    fitted(Stream(Blocks(X, CLASSES, n_rows=None), buffer_rows=70), progress=True)
    for bar, total in zip(bars, (4 * N, None), strict=True):
        assert bar.n == 4 * N and bar.how["total"] == total and "rows" in bar.how["unit"] and bar.closed
        assert "loss" in bar.shown


def test_memory_does_not_grow_with_the_source():
    """96 MB of rows are read in buffers of 2 MB, by two of them and the block that is read."""

    class Generated:
        n_blocks, n_rows = 96, 96 * 2000

        def read(self, block):
            rows = np.full((2000, 64), block / 96)  # 1 MB
            yield rows, rows[:, 0]

    net = Network([64, 4, 1], random_state=0)
    stream = Stream(Generated(), buffer_rows=1 << 13)
    net.copy().fit(sources.arrays(X[:1].repeat(11, axis=1)[:, :64], X[:1, 0]), epochs=1)
    tracemalloc.start()
    try:
        net.fit(stream, epochs=1, batch_size=256)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10e6
