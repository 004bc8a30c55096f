"""Values and arrays at the limits of what can be held: addresses, byte order, strides, large integers."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import dnn
from dnn import Network

HUGE = 10**400


def misaligned(array):
    """The same values at an address that is no multiple of their size."""
    array = np.asarray(array)
    memory = np.zeros(array.nbytes + 1, np.uint8)
    found = memory[1:].view(array.dtype).reshape(array.shape)
    found[...] = array
    assert not found.flags.aligned
    return found


def swapped(array):
    return np.asarray(array).astype(np.asarray(array).dtype.newbyteorder())


def strided(array):
    wide = np.zeros((*array.shape, 2), array.dtype)
    wide[..., 0] = array
    return wide[..., 0]


HOWS = [misaligned, swapped, strided]


@pytest.mark.parametrize("how", HOWS)
def test_inputs_of_any_memory_are_read(how, isa):
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        X, w = rng.standard_normal((20, 3)).astype(dtype), rng.uniform(1, 2, 20)
        classes, reals = rng.integers(0, 4, 20), rng.standard_normal((20, 4)).astype(dtype)
        probabilities = np.full((20, 4), 0.25, dtype)
        masks = [None, rng.random((20, 5)) < 0.5]

        def run(f, output, y, X=X, w=w, classes=classes, masks=masks, dtype=dtype):
            net = Network([3, 5, 4], output=output, dropout=0.5, dtype=dtype, random_state=0)
            net.fit(f(X), f(y), sample_weight=f(w), epochs=2, batch_size=8, random_state=0,
                    X_val=f(X), y_val=f(y), sample_weight_val=f(w),
                    order=lambda epoch: f(np.arange(20)))  # fmt: skip
            cost, grad = net.loss_and_gradient(f(X), f(y), sample_weight=f(w))
            out, cache = net.forward(f(X), training=True, masks=[None, f(masks[1].astype(np.int32))])
            vjp, dX = net.backward(cache, f(out))
            net.optimizer("adam").step(f(vjp))
            rows = [net(f(X[:1])), net(f(X[0])), net(f(X)), net.losses(f(X), f(y))]
            return [np.asarray(a).tobytes() for a in (net.params, cost, grad, out, vjp, dX, *rows)]

        for output, y in (("softmax", classes), ("softmax", probabilities), ("identity", reals)):
            assert run(how, output, y) == run(np.asarray, output, y)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (misaligned, "aligned"),
        (swapped, "byte order"),
        (strided, "contiguous"),
        (np.asfortranarray, "contiguous"),
    ],
)
def test_out_says_what_is_wrong_with_its_memory(how, words):
    net, X = Network([3, 2], random_state=0), np.zeros((4, 3), np.float32)
    for call in (net, net.predictor()):
        with pytest.raises(ValueError, match=f"out must be .*{words}"):
            call(X, out=how(np.zeros((4, 2), np.float32)))


@pytest.mark.parametrize(
    "sizes", [[2**62, 4], [2**31, 2**31, 2**31], [10**30, 1], [1, 10**30], [1, 2**62], [2**40] * 3, [HUGE, 1]]
)
def test_networks_too_large_to_have_addresses(sizes):
    with pytest.raises(ValueError, match="layers must"):
        Network(sizes)
    with pytest.raises(ValueError, match=r"units must|layers must|number of inputs must"):
        Network(sizes[0], [dnn.Dense(units) for units in sizes[1:]])
    if sizes[0] == 1:
        with pytest.raises(ValueError, match=r"hidden_layer_sizes must|layers must"):
            dnn.MLPRegressor(hidden_layer_sizes=sizes[1:]).fit([[1.0], [2.0]], [1.0, 2.0])


def fit(**more):
    Network([2, 1]).fit([[1, 2], [3, 4]], [1, 2], **more)


@pytest.mark.parametrize("value", [HUGE, -HUGE, Fraction(HUGE), Fraction(HUGE, 3)])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("alpha", lambda v: fit(alpha=v)),
        ("clip_norm", lambda v: fit(clip_norm=v)),
        ("min_delta", lambda v: fit(min_delta=v)),
        ("max_seconds", lambda v: fit(max_seconds=v)),
        ("ema", lambda v: fit(ema=v)),
        ("rate", dnn.SGD),
        ("momentum", lambda v: dnn.SGD(0.1, momentum=v)),
        ("epsilon", lambda v: dnn.Adam(epsilon=v)),
        ("dropout", lambda v: Network([2, 2, 1], dropout=v)),
        ("delta", dnn.Huber),
        ("alpha", lambda v: dnn.MLPRegressor(alpha=v).fit([[1.0], [2.0]], [1.0, 2.0])),
        ("tol", lambda v: dnn.MLPClassifier(tol=v).fit([[1.0], [2.0]], [0, 1])),
        (
            "learning_rate_init",
            lambda v: dnn.MLPRegressor(learning_rate_init=v).fit([[1.0], [2.0]], [1.0, 2.0]),
        ),
        ("X", lambda v: Network([2, 1])([[1, v]])),
        ("X", lambda v: Network([2, 1])([1, v])),
        ("y", lambda v: Network([2, 1]).fit([[1, 2]], [v])),
        ("sample_weight", lambda v: fit(sample_weight=[1, v])),
    ],
)  # fmt: skip
def test_numbers_beyond_a_float(name, call, value):
    with pytest.raises(ValueError, match=rf"{name} must .*about -?1?e?.*e\+(399|400)"):
        call(value)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("epochs", lambda v: fit(epochs=v)),
        ("batch_size", lambda v: fit(batch_size=v)),
        ("n_threads", lambda v: fit(n_threads=v)),
        ("units", dnn.Dense),
        ("seed", lambda v: Network([2, 2, 1], dropout=0.5).forward([[1, 2]], training=True, seed=v)),
        ("max_iter", lambda v: dnn.MLPRegressor(max_iter=v).fit([[1.0], [2.0]], [1.0, 2.0])),
        ("batch_size", lambda v: dnn.MLPRegressor(batch_size=v).fit([[1.0], [2.0]], [1.0, 2.0])),
    ],
)
def test_integers_beyond_the_core(name, call):
    for value in (2**64, 10**30, HUGE):
        with pytest.raises(ValueError, match=f"{name} must be at most .*, got"):
            call(value)


def test_large_seeds_are_seeds():
    for seed in (2**64, HUGE):
        assert (
            Network([2, 1], random_state=seed).params.tobytes()
            == Network([2, 1], random_state=seed).params.tobytes()
        )
    net = Network([2, 8, 1], dropout=0.5, random_state=0)
    net.forward([[1, 2]], training=True, seed=2**64 - 1)


def test_a_decimal_is_no_number_here():
    with pytest.raises(TypeError, match="alpha must be a number, got Decimal"):
        fit(alpha=Decimal(1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_predictions_convert_as_large_ones_do(dtype):
    """One row and a few take a path of their own through the core: the same bits, the same errors."""
    net = Network([3, 4, 2], dtype=dtype, random_state=0)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, 3)) * [1, 1e-30, 1e10]
    for rows in (X, X.astype(np.float32), (1e3 * X).astype(np.int64), X.astype(np.longdouble)):
        many = net(np.repeat(rows, 1000, axis=0))[::1000]
        lists = rows.tolist() if rows.dtype != np.longdouble else rows.astype(float).tolist()
        scalars = [list(row) for row in rows]
        for found in (net(rows), net(lists), net(scalars), net.predictor()(lists), net(tuple(lists))):
            np.testing.assert_array_equal(found, many, strict=True)
        for i in range(5):
            for row in (rows[i], lists[i], scalars[i], lists[i : i + 1]):
                np.testing.assert_array_equal(np.atleast_2d(net(row)), many[i : i + 1])
    # NaN and infinity pass, booleans and whole numbers of any size count
    assert np.isnan(net([float("nan"), 0, 0])).all() and np.isnan(net(np.array([np.nan, 0, 0]))).all()
    assert np.isfinite(net([True, 2**60, -(2**53) - 1])).all()
    np.testing.assert_array_equal(net([1, 2**53 + 1, 0]), net(np.array([[1, 2**53 + 1, 0]] * 100))[0])


def test_small_predictions_refuse_as_large_ones_do():
    net = Network([3, 1], random_state=0)
    for X in ([1e39, 0, 0], np.array([0, -1e39, 0]), [[0, 0, 0], [0, 1e39, 0]], np.full((2, 3), 1e39)):
        with pytest.raises(ValueError, match=r"X must fit float32, got 1e\+39"):
            net(X)
    for X in ([1, 2], [[1, 2]], [[1, 2, 3], [1, 2]], [], [[]], np.zeros((2, 2)), np.zeros(4), 1.0):
        with pytest.raises(ValueError, match="X must"):
            net(X)
    for X in ([1, 2, "a"], [[1, 2, 3j]], np.array([1, 2, 3j]), [1, 2, [3]]):
        with pytest.raises((TypeError, ValueError), match="X must"):
            net(X)
