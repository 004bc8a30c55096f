"""Forward passes, losses, gradients and vector-Jacobian products equal those of the oracle."""

import gc
import itertools
import weakref
import zlib

import numpy as np
import pytest
import reference
from networks import examples, oracle, small_examples, small_network

import dnn
from dnn import RMSprop, _core, layers, losses

HIDDEN = [name for name, info in _core.ACTIVATIONS.items() if not info.row_wise]
OUTPUTS = layers.OUTPUTS
# Sizes of 1, primes, sizes around multiples of SIMD widths, and products that take several calls of BLAS
SHAPES = [
    (1, [1, 1]),
    (3, [2, 1, 2]),
    (5, [3, 7, 2]),
    (17, [13, 15, 16, 3]),
    (64, [31, 33, 17]),
    (130, [64, 65, 1]),
    (151, [300, 129, 5]),
    (1100, [5, 4, 2]),
]
TOLERANCE = {"float64": 1e-11, "float32": 2e-4}


def losses_of(output):
    """Return the names of the losses that fit an output activation."""
    names = []
    for name in dict.fromkeys(row.name for row in _core.LOSSES.values()):
        try:
            losses.loss_of(name, output, 3)
        except ValueError:
            continue
        names.append(name)
    return names


PAIRS = [(output, loss) for output in OUTPUTS for loss in losses_of(output)]


def make(sizes, hidden, output, dtype="float64", seed=0):
    """Return a network with biases that are not zero."""
    rng = np.random.default_rng(seed)
    net = dnn.Network(sizes, activation=hidden, output=output, dtype=dtype, random_state=rng)
    for b in net.biases:
        b[:] = rng.normal(size=b.shape) * 0.3
    if "exp" in (hidden, output):
        net.params[:] *= 0.1  # exp of exp overflows soon
    return net


def close(a, b, dtype):
    scale = max(1.0, float(np.abs(b).max(initial=0)))
    np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("output", "loss"), PAIRS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_everything_agrees_with_the_oracle(isa_drawn, hidden, output, loss, dtype):
    # Each case draws an instruction set and two shapes, so that every function meets each of them many times.
    drawn = np.random.default_rng(zlib.crc32(f"{hidden}{output}{loss}{dtype}".encode()))
    isa_drawn(drawn)
    fitting = [shape for shape in SHAPES if output != "softmax" or shape[1][-1] > 1]
    for i in drawn.permutation(len(fitting))[:2]:
        n, sizes = fitting[i]
        net = make(sizes, hidden, output, dtype)
        X, y = examples(n, sizes, loss, output, dtype)
        weights, biases, activations = oracle(net)
        X64 = X.astype(np.float64)
        passed = reference.forward(weights, biases, activations, X64)

        close(net(X), passed[-1][1], dtype)
        out, cache = net.forward(X)
        close(out, passed[-1][1], dtype)
        close(net.forward(X, logits=True)[0], passed[-1][0], dtype)
        for (Z, A), Z_found, A_found in zip(passed, cache.Z, cache.A, strict=True):
            close(Z_found, Z, dtype)
            close(A_found, A, dtype)

        key = reference.fits(loss, output)
        S = passed[-1][0] if key[1] else passed[-1][1]
        y64 = y if y.dtype.kind == "i" else y.astype(np.float64)
        close(net.losses(X, y, loss=loss), reference.LOSSES[key][0](S, y64), dtype)

        rng = np.random.default_rng(2)
        w = rng.random(n) + 0.1
        for weight, alpha in itertools.product((None, w), (0.0, 0.7)):
            cost, grad = net.loss_and_gradient(X, y, loss=loss, sample_weight=weight, alpha=alpha)
            cost64, grad64 = reference.cost_and_gradient(
                weights, biases, activations, X64, y64, loss, sample_weight=weight, alpha=alpha
            )
            close(cost, cost64, dtype)
            close(grad, grad64, dtype)

        d_out = rng.normal(size=out.shape).astype(dtype)
        for logits in (False, True):
            _, cache = net.forward(X, logits=logits)
            grad, dX = net.backward(cache, d_out)
            dW, db, dX64 = reference.backward(weights, activations, X64, passed, d_out, logits=logits)
            close(grad, reference.flatten(dW, db), dtype)
            close(dX, dX64, dtype)


@pytest.mark.parametrize(("output", "loss"), PAIRS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_finite_differences(hidden, output, loss):
    sizes = [4, 9, 6, 3]
    net = make(sizes, hidden, output, seed=zlib.crc32(hidden.encode()))
    X, y = examples(8, sizes, loss, output)
    options = {"loss": loss, "sample_weight": np.linspace(0.2, 2, 8), "alpha": 0.5, "l1": 0.3}
    assert dnn.check_gradient(net, X, y, **options) < 1e-6


@pytest.mark.parametrize("output", OUTPUTS)
def test_gradient_of_the_inputs(output):
    net = make([3, 5, 4], "tanh", output)
    rng = np.random.default_rng(0)
    X, d_out = rng.normal(size=(6, 3)), rng.normal(size=(6, 4))
    _, cache = net.forward(X)
    _, dX = net.backward(cache, d_out)
    found = reference.finite_difference(lambda x: (d_out * net(x.reshape(6, 3))).sum(), X.ravel())
    np.testing.assert_allclose(dX.ravel(), found, atol=1e-8)


def test_backward_computes_only_wrt_and_may_be_repeated():
    net = make([3, 5, 2], "tanh", "softmax")
    X = np.random.default_rng(0).normal(size=(6, 3))
    out, cache = net.forward(X)
    d_out = np.ones_like(out) * [1.0, -2.0]
    grad, dX = net.backward(cache, d_out)
    net.forward(-X)  # a cache owns its arrays
    net(X)
    only, none = net.backward(cache, d_out, wrt="params")
    assert none is None and only.tobytes() == grad.tobytes()
    none, only = net.backward(cache, d_out, wrt="input")
    assert none is None and only.tobytes() == dX.tobytes()


def test_mini_batches_add_up_to_the_whole():
    net = make([3, 5, 2], "relu", "softmax")
    X, y = examples(100, [3, 5, 2], "log_loss", "softmax")
    _, whole = net.loss_and_gradient(X, y)
    parts = [net.loss_and_gradient(X[i : i + 10], y[i : i + 10])[1] for i in range(0, 100, 10)]
    np.testing.assert_allclose(np.mean(parts, axis=0), whole, atol=1e-14)


def test_laws_of_softmax():
    net = make([3, 4], "relu", "softmax")
    X = np.random.default_rng(0).normal(size=(9, 3))
    before = net(X)
    np.testing.assert_allclose(before.sum(axis=1), 1, rtol=1e-15)
    net.biases[0][:] += 100.0  # softmax does not change if all logits are shifted
    np.testing.assert_allclose(net(X), before, rtol=1e-12)
    rows = np.random.default_rng(1).permutation(9)
    np.testing.assert_array_equal(net(X[rows]), net(X)[rows])


def test_a_probability_row_is_a_class():
    net = make([3, 4], "relu", "softmax")
    X, y = examples(9, [3, 4], "log_loss", "softmax")
    one_hot = np.eye(4)[y]
    np.testing.assert_allclose(net.losses(X, y), net.losses(X, one_hot), rtol=1e-14)
    np.testing.assert_allclose(
        net.loss_and_gradient(X, y)[1], net.loss_and_gradient(X, one_hot)[1], atol=1e-15
    )


def test_losses_of_large_logits_are_finite():
    net = dnn.Network([1, 1], output="sigmoid", init="zeros", dtype="float32")
    net.weights[0][:] = 1
    np.testing.assert_allclose(net.losses([[1000.0], [-1000.0]], [0, 1]), [1000, 1000])
    np.testing.assert_allclose(net.losses([[1000.0], [-1000.0]], [1, 0]), [0, 0])
    net = dnn.Network([2, 2], output="softmax", init="zeros", dtype="float32")
    net.weights[0][:] = np.eye(2)
    np.testing.assert_allclose(net.losses([[1000.0, 0.0], [1000.0, 0.0]], [1, 0]), [1000, 0])


def test_float32_stays_near_float64():
    sizes = [50, 80, 60, 10]
    wide, narrow = make(sizes, "relu", "softmax", "float64"), make(sizes, "relu", "softmax", "float32")
    narrow.params[:] = wide.params
    X = np.random.default_rng(0).normal(size=(200, 50))
    assert np.abs(wide(X) - narrow(X)).max() < 1e-5


def test_nan_stays_in_its_row(isa):
    for output in OUTPUTS:
        net = make([4, 20, 17, 3], "relu", output, "float32")
        X = np.random.default_rng(0).normal(size=(70, 4))
        clean = net(X)
        X[5, 2] = np.nan
        out = net(X)
        assert np.isnan(out[5]).all()
        rest = np.arange(70) != 5
        np.testing.assert_array_equal(out[rest], clean[rest])


def test_one_row_and_no_rows():
    net = make([4, 3, 2], "tanh", "identity")
    x = np.arange(4.0)
    assert net(x).shape == (2,)
    np.testing.assert_allclose(net(x), net(x[None, :])[0], rtol=1e-15)
    out, cache = net.forward(x)
    grad, dx = net.backward(cache, np.ones(2))
    assert out.shape == (2,) and dx.shape == (4,)
    assert net(np.zeros((0, 4))).shape == (0, 2)
    out, cache = net.forward(np.zeros((0, 4)))
    grad, dX = net.backward(cache, np.zeros((0, 2)))
    assert dX.shape == (0, 4) and not grad.any()


def test_out():
    net = make([4, 3, 2], "tanh", "identity", "float32")
    X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    out = np.empty((5, 2), np.float32)
    assert net(X, out=out) is out
    np.testing.assert_array_equal(out, net(X))


def test_parameters_are_one_vector_written_at_any_time():
    net = dnn.Network([3, 4, 2], random_state=0)
    assert net.n_params == 3 * 4 + 4 + 4 * 2 + 2
    assert all(np.shares_memory(view, net.params) for view in (*net.weights, *net.biases))
    np.testing.assert_array_equal(
        net.params,
        np.concatenate([a.ravel() for pair in zip(net.weights, net.biases, strict=True) for a in pair]),
    )
    before = net(np.ones(3))
    net.biases[-1][:] += 1
    np.testing.assert_allclose(net(np.ones(3)), before + 1, rtol=1e-6)
    with pytest.raises(AttributeError):
        net.params = np.zeros(net.n_params)


def test_initializers():
    for name, scale in (
        ("he", 2 / 400),
        ("xavier_normal", 2 / 700),
        ("he_uniform", 2 / 400),
        ("xavier", 2 / 700),
    ):
        W = dnn.Network([400, 300], init=name, random_state=0).weights[0]
        assert abs(W.std() / np.sqrt(scale) - 1) < 0.02, name
        if name in ("he_uniform", "xavier"):
            assert abs(W).max() <= np.sqrt(3 * scale)
    net = dnn.Network([400, 300, 200, 10], activation=["relu", "tanh"], random_state=0)
    assert abs(net.weights[0].std() / np.sqrt(2 / 400) - 1) < 0.02  # "auto": He before relu
    assert abs(net.weights[1].std() / np.sqrt(2 / 500) - 1) < 0.02  # Xavier for the others
    assert not any(b.any() for b in net.biases)
    drawn = np.random.RandomState(3).randn(5, 4).T * 0.01
    net = dnn.Network([4, 5], init="normal", dtype="float64", random_state=np.random.RandomState(3))
    np.testing.assert_array_equal(net.weights[0], drawn)


def test_one_seed_fixes_everything():
    X, y = examples(50, [3, 2], "log_loss", "softmax")
    nets = [dnn.Network([3, 8, 2], output="softmax", random_state=7) for _ in range(2)]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    for net in nets:
        net.fit(X, y, epochs=3, batch_size=16)
    assert nets[0].params.tobytes() == nets[1].params.tobytes()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002  unchanged


def test_layers_and_sizes_define_the_same_network():
    a = dnn.Network([3, 4, 2], activation="tanh", output="softmax", random_state=0)
    b = dnn.Network(3, [dnn.Dense(4, "tanh"), dnn.Dense(2, "softmax")], random_state=0)
    assert a.layers == b.layers and a.params.tobytes() == b.params.tobytes()
    assert dnn.Network([3, 4, 1], activation="logistic", output="logistic").layers[0].activation == "sigmoid"


def test_summary_adds_up():
    text = dnn.Network([12288, 20, 7, 5, 1], output="sigmoid").summary()
    assert "(12288, 20)" in text and "245,780" in text and "(N, 20)" in text
    assert "245,973" in text.splitlines()[5]  # all parameters
    assert f"{2 * (12288 * 20 + 140 + 35 + 5):,}" in text.splitlines()[5]


def test_check_gradient_finds_a_planted_fault():
    net = make(
        [6, 50, 40, 3], "tanh", "softmax"
    )  # with more than 2000 parameters, drawn parameters and directions are checked
    assert net.n_params > 2000
    X, y = examples(8, [6, 3], "log_loss", "softmax")
    _, grad = net.loss_and_gradient(X, y)
    assert dnn.check_gradient(net, X, y, gradient=grad) < 1e-7
    grad[10:40] *= -1
    assert dnn.check_gradient(net, X, y, gradient=grad) > 1e-3


def affine(output, logits, y, loss, dtype="float64"):
    """Return losses and the gradient of their sum with respect to the logits, which are the biases."""
    logits = np.asarray(logits, dtype)
    net = dnn.Network([1, len(logits)], output=output, init="zeros", dtype=dtype)
    net.biases[0][:] = logits
    X = np.zeros((1, 1), dtype)
    return net.losses(X, y, loss=loss)[0], net.loss_and_gradient(X, y, loss=loss)[1][len(logits) :]


@pytest.mark.parametrize("loss", ["absolute_error", dnn.Quantile((0.2, 0.9))])
def test_a_residual_of_zero_has_no_slope(loss):
    value, slope = affine("identity", [1.5, -2], [[1.5, -2]], loss)
    assert value == 0 and not slope.any()


def test_slopes_at_zero_are_those_from_below():
    for activation, slope in ((dnn.LeakyReLU(0.2), 0.2), (dnn.ELU(0.5), 0.5)):
        net = dnn.Network([1, 1, 1], activation=activation, init="zeros", dtype="float64")
        for W in net.weights:
            W[:] = 1
        _, cache = net.forward(np.zeros((1, 1)))
        assert net.backward(cache, np.ones((1, 1)), wrt="input")[1] == slope


def test_poisson_is_accurate_where_it_is_small_or_its_mean_vanishes():
    t = 1e-6
    value, slope = affine("exp", [np.log(3) + t], [[3.0]], "poisson")
    np.testing.assert_allclose(value, 3 * (t**2 / 2 + t**3 / 6), rtol=1e-8)
    np.testing.assert_allclose(slope, 3 * np.expm1(t), rtol=1e-8)
    for dtype, z in (("float32", -200.0), ("float64", -800.0)):
        value, slope = affine("softplus", [z], [[2.0]], "poisson", dtype)
        np.testing.assert_allclose(value, -2 + 2 * (np.log(2) - z), rtol=1e-6)
        np.testing.assert_allclose(slope, [-2], rtol=1e-6)


@pytest.mark.parametrize("n", [3, 20, 35])
@pytest.mark.parametrize("best", [0, -1])
def test_a_small_log_loss_of_softmax_keeps_its_digits(n, best):
    logits = np.full(n, -60.0)
    logits[best] = 0
    value, slope = affine("softmax", logits, [np.arange(n)[best]], "log_loss")
    np.testing.assert_allclose(value, (n - 1) * np.exp(-60), rtol=1e-12)
    np.testing.assert_allclose(slope[best], -(n - 1) * np.exp(-60), rtol=1e-12)
    # the largest logit occurs twice
    value, slope = affine("softmax", [3.0] * 2 + [1.0] * (n - 2), [0], "log_loss")
    total = 2 + (n - 2) * np.exp(-2)
    np.testing.assert_allclose(value, np.log(total), rtol=1e-12)
    np.testing.assert_allclose(slope[:2], [1 / total - 1, 1 / total], rtol=1e-12)


def test_softmax_of_large_logits_is_finite(isa):
    net = dnn.Network([1, 3], output="softmax", init="zeros", dtype="float32")
    net.biases[0][:] = [1000, 999, -1000]
    np.testing.assert_allclose(net([[0.0]]), [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0]], rtol=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "probabilities", "quantile"])
def test_many_outputs(isa, loss):
    """There are more outputs than a kernel processes at a time."""
    n, n_outputs = 3, 4999
    rng = np.random.default_rng(0)
    output = "identity" if loss == "quantile" else "softmax"
    net = make([4, n_outputs], "relu", output)
    X, y = rng.normal(size=(n, 4)), rng.integers(0, n_outputs, n)
    spec, oracle_loss = "auto", "log_loss"
    if loss == "probabilities":
        y = rng.dirichlet(np.ones(n_outputs), n)
    if loss == "quantile":
        y, levels = rng.normal(size=(n, n_outputs)), tuple(np.linspace(0.001, 0.999, n_outputs))
        spec, oracle_loss = dnn.Quantile(levels), ("quantile", levels)
    cost, grad = net.loss_and_gradient(X, y, loss=spec)
    expected = reference.cost_and_gradient(*oracle(net), X, y, oracle_loss)
    np.testing.assert_allclose(cost, expected[0], rtol=1e-12)
    np.testing.assert_allclose(grad, expected[1], rtol=0, atol=1e-13)
    np.testing.assert_allclose(net(X), reference.forward(*oracle(net), X)[-1][1], rtol=1e-11)


def test_a_network_is_freed_with_its_last_reference():
    """No reference cycle keeps the parameters until the garbage collector runs."""
    gc.disable()
    try:
        net = dnn.Network([3, 4, 1], random_state=0)
        net(np.zeros((2, 3), "float32")), net(np.zeros((500, 3))), net.predictor()([[1, 2, 3]])
        net.fit(np.zeros((9, 3)), np.zeros(9), epochs=2)
        gone = weakref.ref(net), weakref.ref(net.params)
        del net
        assert all(reference() is None for reference in gone)
    finally:
        gc.enable()


def test_frozen_layers_stay():
    X, y = small_examples()
    for options in ({}, {"clip_norm": 0.1}, {"optimizer": RMSprop(1e-2)}, {"optimizer": "adamw"}):
        net = small_network()
        before = [W.copy() for W in (*net.weights, *net.biases)]
        net.freeze(0, -1)
        assert net.frozen == (True, False, True)
        net.fit(X, y, epochs=3, **options)
        state = net.optimizer("sgd")
        state.step(np.ones(net.n_params))
        changed = [(a != b).any() for a, b in zip(before, (*net.weights, *net.biases), strict=True)]
        assert changed == [False, True, False, False, True, False]
        net.freeze()
        net.fit(X, y, epochs=1)
        assert (net.weights[0] != before[0]).any()
    with pytest.raises(ValueError, match=r"layers 0 .. 2, got 3"):
        net.freeze(3)
