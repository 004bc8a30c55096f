"""Memory maps of any real dtype are converted in blocks of rows, and give the bits of a converted array."""

import tracemalloc

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import dnn
from dnn import LBFGS, SGD, Adam, MLPClassifier, MLPRegressor, Network
from dnn.data import arrays as data
from dnn.data import blocks

N, I = 700, 6
DTYPES = ["?", "i1", "u2", ">i4", "i8", "f2", ">f4", "f4", "f8", ">f8", "g"]
FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Set the size of blocks to 64 rows of float32, so that the maps in these tests have many blocks."""
    monkeypatch.setattr(blocks, "BLOCK", 64 * I * 4)


@pytest.fixture
def mapped(tmp_path):
    """Return a function that writes an array to a file and returns a read-only memory map of it."""
    number = iter(range(1000))

    def of(array, order="C", offset=0, mode="r"):
        array = np.asarray(array)
        path = tmp_path / str(next(number))
        made = np.memmap(path, array.dtype, "w+", offset, array.shape, order)
        made[...] = array
        made.flush()
        return np.memmap(path, array.dtype, mode, offset, array.shape, order)

    return of


def values(dtype="f8", n=N, columns=I, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, columns)) * 2
    return (X > 0) if dtype == "?" else (np.abs(X) if "u" in dtype else X).astype(dtype)


def is_read_in_blocks(X, dtype=FLOAT32):
    return isinstance(data.features(X, dtype, X.shape[1]), blocks.BlockRows)


LAYOUTS = {
    "C": lambda X, mapped: mapped(X),
    "F": lambda X, mapped: mapped(X, order="F"),
    "copy on write": lambda X, mapped: mapped(X, mode="c"),
    "every second row": lambda X, mapped: mapped(np.repeat(X, 2, axis=0))[::2],
    "every second column": lambda X, mapped: mapped(np.repeat(X, 2, axis=1))[:, ::2],
    "backwards": lambda X, mapped: mapped(X[::-1])[::-1],
    "misaligned": lambda X, mapped: mapped(X, offset=3),
    "plain view": lambda X, mapped: np.asarray(mapped(X)),
    "view of a view": lambda X, mapped: np.asarray(mapped(np.repeat(X, 2, axis=0)))[::2].view(),
    "of a buffer": lambda X, mapped: np.frombuffer(mapped(X)._mmap, X.dtype).reshape(X.shape),
    "joblib's strides": lambda X, mapped: np.lib.stride_tricks.as_strided(mapped(X), X.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout_gives_the_bits_of_an_array(dtype, layout, mapped):
    X = values(dtype)
    M = LAYOUTS[layout](X, mapped)
    np.testing.assert_array_equal(M, X)
    y = values(seed=1)[:, :2]
    native = dtype == "f4" and layout not in ("F", "every second column", "backwards", "misaligned")
    assert is_read_in_blocks(M) is not native
    nets = [Network([I, 7, 2], random_state=0) for _ in range(2)]
    for net, rows in zip(nets, (X, M), strict=True):
        net.fit(rows, y, epochs=2, batch_size=32, X_val=rows, y_val=y)
    assert nets[0].params.tobytes() == nets[1].params.tobytes()
    np.testing.assert_array_equal(nets[0](M), nets[0](X))
    np.testing.assert_array_equal(nets[0].losses(M, y), nets[0].losses(X, y))


TASKS = {
    "squared_error": (dict(output="identity"), lambda: values("f8", columns=3, seed=1), {}),
    "classes": (dict(output="softmax"), lambda: np.arange(N) % 3, {}),
    "probabilities": (dict(output="softmax"), lambda: np.eye(3)[np.arange(N) % 3], {}),
    "balanced": (dict(output="softmax"), lambda: np.arange(N) % 3 % 2, {"class_weight": "balanced"}),
    "several at once": (dict(output="sigmoid"), lambda: values("f8", columns=3, seed=1) > 0, {}),
    "own loss": (
        dict(output="identity"),
        lambda: values("f8", columns=3, seed=1),
        {"loss": lambda y, z: (((z - y) ** 2).sum(axis=1) / 2, z - y)},
    ),
    "dropout": (dict(dropout=0.3), lambda: values("f8", columns=3, seed=1), {}),
    "no shuffling": ({}, lambda: values("f8", columns=3, seed=1), {"shuffle": False}),
    "an order": (
        {},
        lambda: values("f8", columns=3, seed=1),
        {"order": lambda epoch: np.random.default_rng(epoch).integers(N, size=N)},
    ),
    "all rows": ({}, lambda: values("f8", columns=3, seed=1), {"batch_size": None}),
    "all rows, dropout": (dict(dropout=0.3), lambda: values("f8", columns=3), {"batch_size": None}),
    "one batch": ({}, lambda: values("f8", columns=3, seed=1), {"batch_size": N}),
    "large batches": ({}, lambda: values("f8", columns=3, seed=1), {"batch_size": 300}),
    "penalties, clipping, average": (
        {},
        lambda: values("f8", columns=3, seed=1),
        {"alpha": 0.1, "l1": 0.01, "clip_norm": 0.05, "ema": 0.9},
    ),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_argument_may_be_a_memory_map(task, dtype, mapped):
    spec, make, options = TASKS[task]
    other = "f4" if dtype == "float64" else "f8"
    X, X_val, y = values(other), values(other, seed=2), make()
    w, w_val = (np.random.default_rng(s).random(N).astype(">f4") for s in (3, 4))
    stored = y.astype(">i2") if y.ndim == 1 else y if y.dtype == bool else y.astype(other)
    nets = [Network([I, 9, 3], dtype=dtype, random_state=0, **spec) for _ in range(2)]
    histories = [
        net.fit(
            as_given(X), as_given(stored), sample_weight=as_given(w), X_val=as_given(X_val),
            y_val=as_given(stored), sample_weight_val=as_given(w_val),
            **{"epochs": 3, "batch_size": 32, "random_state": 0, **options},
        )
        for net, as_given in zip(nets, (np.array, mapped), strict=True)
    ]  # fmt: skip
    assert nets[0].params.tobytes() == nets[1].params.tobytes()
    assert histories[0].loss == histories[1].loss and histories[0].val_loss == histories[1].val_loss


OPTIMIZERS = [SGD(0.1), SGD(0.1, 0.9), Adam(1e-2), dnn.AdamW(1e-2), dnn.RMSprop(1e-2)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)
@pytest.mark.parametrize("options", [{}, {"alpha": 0.1, "clip_norm": 0.1, "ema": 0.8}, {"batch_size": 300}])
def test_a_large_batch_is_summed_over_blocks(optimizer, options, mapped, monkeypatch):
    """The gradient is a sum over blocks of rows, so that only its last bits may differ."""
    monkeypatch.setattr(blocks, "HELD", 0)
    monkeypatch.setattr("dnn.training.trainers.HELD", 0)
    X, y = values("f4"), values("f4", columns=3, seed=1)
    w = np.random.default_rng(3).random(N)
    w[:300] = 0  # a batch of 300 rows is skipped
    nets = [Network([I, 9, 3], dtype="float64", random_state=0) for _ in range(2)]
    histories = []
    for net, as_given in zip(nets, (np.array, mapped), strict=True):
        net.freeze(1)
        state = net.optimizer(optimizer)
        options = {"batch_size": None, "shuffle": False, "epochs": 5, **options}
        histories.append(net.fit(as_given(X), as_given(y), sample_weight=w, optimizer=state, **options))
        assert state.n_steps == (5 if options["batch_size"] is None else 10)
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=0, atol=1e-12)
    np.testing.assert_allclose(histories[0].loss, histories[1].loss, rtol=1e-12)


def test_divergence_of_a_large_batch_is_reported(mapped, monkeypatch):
    monkeypatch.setattr("dnn.training.trainers.HELD", 0)
    X = values("f8")
    for clip_norm in (None, 1e-3):
        net = Network([I, 9, 1], random_state=0)
        net.params[:] *= 1e37
        with pytest.raises(dnn.DivergedError):
            net.fit(mapped(X), X[:, 0], optimizer=SGD(1.0), batch_size=None, epochs=9, clip_norm=clip_norm)


def test_other_calls_read_memory_maps(mapped):
    X, y = values("f8"), values("f8", columns=3, seed=1)
    M, Y = mapped(X), mapped(y)
    net = Network([I, 9, 3], random_state=0)
    out = np.empty((N, 3), np.float32)
    assert net(M, out=out) is out
    np.testing.assert_array_equal(out, net(X))
    np.testing.assert_array_equal(net.predictor()(M), net(X))
    np.testing.assert_array_equal(net.predict(M), net(X))
    outputs, cache = net.forward(M)
    np.testing.assert_array_equal(outputs, net.forward(X)[0])
    grad = net.backward(cache, mapped(np.ones((N, 3))))[0]
    np.testing.assert_array_equal(grad, net.backward(net.forward(X)[1], np.ones((N, 3)))[0])
    for one, other in zip(net.loss_and_gradient(X, y), net.loss_and_gradient(M, Y), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)
    assert dnn.check_gradient(net, mapped(X.astype("f4")), Y) < 1e-7
    found = [dnn.find_rate(net, *given, n_steps=20, batch_size=32) for given in ((X, y), (M, Y))]
    np.testing.assert_array_equal(found[0].losses, found[1].losses)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stored", ["f4", "f8", "i2"])
def test_lbfgs_reads_memory_maps(dtype, stored, mapped):
    X = values(stored)
    y = np.stack([X[:, 0] * 0.5, X[:, 1]], axis=1).astype(stored)
    nets = [Network([I, 4, 2], dtype=dtype, activation="tanh", random_state=0) for _ in range(2)]
    for net, as_given in zip(nets, (np.array, mapped), strict=True):
        net.fit(as_given(X), as_given(y), optimizer=LBFGS(), epochs=5, alpha=0.1)
    np.testing.assert_allclose(
        nets[0].params, nets[1].params, rtol=0, atol=1e-4 if dtype == "float32" else 1e-8
    )


@pytest.mark.parametrize("columns", [0, 2])
@pytest.mark.parametrize("optimizer", ["lbfgs", "sgd"])
def test_a_custom_loss_reads_memory_mapped_targets_of_any_shape(columns, optimizer, mapped, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 64 * 4)
    X, y = values("f4"), values("f8", columns=2, seed=1)
    y = y if columns else y[:, 0].copy()

    def squares(y, logits):
        error = logits - y.reshape(len(y), -1)
        return (error**2).sum(axis=1), 2 * error

    nets = [Network([I, 4, columns or 1], activation="tanh", random_state=0) for _ in range(2)]
    for net, as_given in zip(nets, (np.array, mapped), strict=True):
        net.fit(as_given(X), as_given(y), loss=squares, optimizer=optimizer, epochs=3)
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=0, atol=1e-4)


@pytest.mark.parametrize("columns", [0, 3])
@pytest.mark.parametrize("options", [{}, {"solver": "lbfgs"}, {"early_stopping": True}])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sparse_x_with_memory_mapped_targets(columns, options, mapped, monkeypatch):
    sparse = pytest.importorskip("scipy.sparse")
    monkeypatch.setattr(blocks, "BLOCK", 64 * 4)
    X, y = values("f4"), values("f8", columns=3, seed=1)
    X[X < 1] = 0
    X, y = sparse.csr_array(X), y if columns else y[:, 0].copy()
    fitted = []
    for as_given in (np.array, mapped):
        made = MLPRegressor(hidden_layer_sizes=8, max_iter=3, random_state=0, dtype="float32", **options)
        validation = {} if "early_stopping" in options else {"X_val": X, "y_val": as_given(y)}
        fitted.append(made.fit(X, as_given(y), **validation))
    one, other = fitted
    assert one._net.params.tobytes() == other._net.params.tobytes()
    assert one.validation_scores_ == other.validation_scores_


def test_wrong_values_are_refused_on_entry(mapped):
    net = Network([I, 3], random_state=0)
    before = net.params.copy()
    X, y = values(), values(columns=3)
    for value, message in (
        (np.nan, "X must be finite, got nan in row 600, column 2"),
        (-np.inf, "X must be finite, got -inf in row 600, column 2"),
        (1e300, r"X must fit float32, got 1e\+300: scale it, or use dtype='float64'"),
    ):
        wrong = X.copy()
        wrong[600, 2] = value
        M = mapped(wrong)
        assert isinstance(data.features(M, FLOAT32, I, finite=False), blocks.BlockRows)
        for call in (
            lambda M=M: net.fit(M, y),
            lambda M=M: net.losses(M, y),
            lambda M=M: net.loss_and_gradient(M, y),
            lambda M=M: dnn.find_rate(net, M, y),
            lambda M=M: net.fit(M, y, optimizer="lbfgs"),
        ):
            with pytest.raises(ValueError, match=message):
                call()
        with pytest.raises(ValueError, match=message.replace("X", "X_val", 1)):
            net.fit(X, y, X_val=M, y_val=y)
        with pytest.raises(ValueError, match=message.replace("X", "y", 1)):
            Network([I, I]).fit(X, M)
        out = np.zeros((N, 3), np.float32)
        if value == 1e300:
            with pytest.raises(ValueError, match=message):
                net(M, out=out)
            assert not out.any()
        else:
            np.testing.assert_array_equal(net(M), net(wrong))
            assert not np.isfinite(net(M)[600]).any() and np.isfinite(net(M)[:600]).all()
    with pytest.raises(TypeError, match="X must hold real numbers, got complex128"):
        net.fit(mapped(X.astype(complex)), y)
    with pytest.raises(ValueError, match=r"got \(6, 700\): did you mean X.T"):
        net.fit(mapped(X.T), y)
    probabilities = np.eye(I)[np.arange(N) % I]
    probabilities[650, (650 + 1) % I] += 0.5
    with pytest.raises(ValueError, match=r"rows of y must sum to 1, got 1\.5 in row 650"):
        Network([I, I], output="softmax").fit(X, mapped(probabilities))
    with pytest.raises(ValueError, match=r"y must be in \[0, 1\] for log_loss, got -?\d"):
        Network([I, I], output="sigmoid").fit(X, mapped(X))
    weights = np.ones(N)
    weights[7] = -1
    with pytest.raises(ValueError, match="sample_weight must not be negative, got -1 in row 7"):
        net.fit(X, y, sample_weight=mapped(weights.astype("f4")))
    np.testing.assert_array_equal(net.params, before)


ESTIMATORS = [
    (MLPRegressor, {}),
    (MLPRegressor, {"early_stopping": True}),
    (MLPRegressor, {"early_stopping": True, "scoring": "neg_mean_absolute_error"}),
    (MLPRegressor, {"solver": "lbfgs"}),
    (MLPRegressor, {"dtype": "float32"}),
    (MLPClassifier, {}),
    (MLPClassifier, {"early_stopping": True, "dtype": "float32"}),
]


@pytest.mark.parametrize(("kind", "options"), ESTIMATORS)
@pytest.mark.parametrize("dtype", ["f8", "f4", ">f4", "i2", "f2", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_read_memory_maps(kind, options, dtype, order, mapped):
    X = values(dtype)
    y = np.arange(N) % 3 if kind is MLPClassifier else values("f8", columns=2, seed=1)
    fitted = []
    for as_given in (np.array, lambda array: mapped(array, order=order)):
        made = kind(hidden_layer_sizes=8, max_iter=5, random_state=0, **options)
        fitted.append(made.fit(as_given(X), mapped(y), X_val=None))
    one, other = (each._net for each in fitted)
    assert one.dtype == other.dtype
    exact = options.get("solver") != "lbfgs"
    np.testing.assert_allclose(one.params, other.params, rtol=0, atol=0 if exact else 1e-6)
    M = mapped(X, order=order)
    asked = fitted[0].predict(X)
    np.testing.assert_array_equal(fitted[0].predict(M), asked)
    np.testing.assert_array_equal(fitted[0].hidden_layer(M), fitted[0].hidden_layer(X))
    np.testing.assert_array_equal(fitted[0].input_gradient(M), fitted[0].input_gradient(X))
    np.testing.assert_array_equal(fitted[0].predictor()(M), fitted[0].predictor()(X))
    if exact and not options.get("early_stopping"):
        fitted[0].partial_fit(X, y)
        np.testing.assert_array_equal(one.params, fitted[1].partial_fit(M, y)._net.params)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_validate_on_memory_maps(mapped):
    X, y = values("i4"), values("f8", columns=2, seed=1)
    one, other = (
        MLPRegressor(hidden_layer_sizes=8, max_iter=3, random_state=0, dtype="float32") for _ in range(2)
    )
    one.fit(X, y, X_val=X, y_val=y)
    other.fit(mapped(X), mapped(y), X_val=mapped(X), y_val=mapped(y))
    assert one.validation_scores_ == other.validation_scores_
    wrong = values("f8")
    wrong[3, 2] = 1e300
    with pytest.raises(ValueError, match=r"X must fit float32, got 1e\+300"):
        one.fit(mapped(wrong), y)


# Maps that are not small

COLUMNS = 64


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return a memory map of 128 MB of float64, which is 64 MB in float32."""
    X = np.memmap(tmp_path_factory.mktemp("large") / "X", np.float64, "w+", shape=(250_000, COLUMNS))
    block = values(n=1000, columns=COLUMNS)
    for begin in range(0, len(X), 1000):
        X[begin : begin + 1000] = block
    np.memmap(X.filename.with_name("zeros"), np.float32, "w+", shape=X.shape)
    return X


CALLS = {
    "fit": lambda net, X: net.fit(X, X, epochs=1),
    "fit, as it stands": lambda net, X: net.fit(X, X, epochs=1, shuffle=False),
    "fit, all rows": lambda net, X: net.fit(X, X, epochs=2, batch_size=None),
    "validation": lambda net, X: net.fit(X[:100], X[:100], X_val=X, y_val=X, epochs=2),
    "losses": lambda net, X: net.losses(X, X),
    "loss_and_gradient": lambda net, X: net.loss_and_gradient(X, X),
    "find_rate": lambda net, X: dnn.find_rate(net, X, X, n_steps=10),
    "lbfgs": lambda net, X: net.fit(X, X, optimizer="lbfgs", epochs=2),
}


def estimator(X, **options):
    with pytest.warns(ConvergenceWarning):
        MLPRegressor(hidden_layer_sizes=2, max_iter=1, dtype="float32", **options).fit(X, X[:, 0])


CALLS |= {
    "lbfgs, of float32": lambda net, X: net.fit(as_float32(X), as_float32(X), optimizer="lbfgs", epochs=2),
    "estimator": lambda net, X: estimator(X),
    "early stopping": lambda net, X: estimator(X, early_stopping=True),
}


def as_float32(X):
    """Return a map of zeros of the same size in float32, which L-BFGS needs in float64."""
    return np.memmap(X.filename.with_name("zeros"), np.float32, "r", shape=X.shape)


@pytest.mark.parametrize("call", CALLS)
def test_memory_of_training_does_not_grow_with_a_memory_map(call, large, monkeypatch):
    """In an autoencoder the targets are a map too. A float32 copy of the map would have 64 MB."""
    monkeypatch.setattr(blocks, "BLOCK", 1 << 21)
    net = Network([COLUMNS, 8, COLUMNS], random_state=0)
    CALLS["lbfgs"](net.copy(), large[:100])  # modules that are imported on first use are not counted
    CALLS[call](net.copy(), large[:100])
    tracemalloc.start()
    try:
        CALLS[call](net, large)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    vectors = 4 * 8 * len(large)  # orders of rows, losses
    assert peak < 16e6 + vectors, peak


def test_memory_of_prediction_does_not_grow_with_a_memory_map(large, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 1 << 21)
    net = Network([COLUMNS, 8, 1], random_state=0)
    small = MLPRegressor(hidden_layer_sizes=8, max_iter=1, dtype="float32").partial_fit(
        large[:100], large[:100, 0]
    )
    out = np.empty((len(large), 1), np.float32)
    tracemalloc.start()
    try:
        for call in (lambda: net(large, out=out), lambda: net(large), lambda: small.predict(large)):
            tracemalloc.reset_peak()
            call()
            assert tracemalloc.get_traced_memory()[1] < 16e6
    finally:
        tracemalloc.stop()


# joblib passes large arrays as memory maps, of float64 here, to networks of float32.


@pytest.mark.parametrize("max_nbytes", [1000, "1M"])
def test_joblib_trains_networks_in_parallel(max_nbytes):
    joblib = pytest.importorskip("joblib")
    X, y = values(n=20_000, columns=10), values(n=20_000, columns=2, seed=1)  # 1.6 MB
    weights = np.linspace(0.1, 1, len(X))

    def fitted(
        seed, X, y, weights
    ):  # an inner function is pickled by value, so that workers need not import this file
        net = Network([10, 8, 2], random_state=seed)
        net.fit(X, y, sample_weight=weights, epochs=2, X_val=X, y_val=y, n_threads=1)
        return isinstance(X, np.memmap), net.params, net(X)

    found = joblib.Parallel(n_jobs=2, max_nbytes=max_nbytes)(
        joblib.delayed(fitted)(seed, X, y, weights) for seed in range(3)
    )
    for seed, (was_mapped, params, outputs) in enumerate(found):
        assert was_mapped
        _, expected, expected_outputs = fitted(seed, X, y, weights)
        np.testing.assert_array_equal(params, expected)
        np.testing.assert_array_equal(outputs, expected_outputs)


def test_a_memory_map_is_read_by_rows(tmp_path):
    rng = np.random.default_rng(0)
    path, n = tmp_path / "X", 3000
    X = np.memmap(path, np.float32, "w+", shape=(n, 40))
    X[:] = rng.normal(size=X.shape)
    y = np.memmap(tmp_path / "y", np.float32, "w+", shape=(n, 1))
    y[:] = X[:, :1]
    w = np.memmap(tmp_path / "w", np.float64, "w+", shape=(n,))
    w[:] = 1 + rng.random(n)
    from dnn.data import arrays as data

    assert np.shares_memory(data.features(X, np.dtype(np.float32), 40), X)
    assert np.shares_memory(data.weights(w, n), w)
    a, b = (Network([40, 16, 1], random_state=0) for _ in range(2))
    a.fit(X, y, sample_weight=w, epochs=2)
    b.fit(np.array(X), np.array(y), sample_weight=np.array(w), epochs=2)
    assert a.params.tobytes() == b.params.tobytes()
    np.testing.assert_array_equal(a(X), a(np.array(X)))
