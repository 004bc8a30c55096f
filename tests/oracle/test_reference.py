"""The oracle against finite differences, laws, hand-computed steps, SciPy and scikit-learn."""

from itertools import pairwise, product

import numpy as np
import pytest
import reference as ref
from scipy import special
from sklearn._loss.loss import AbsoluteError, HalfPoissonLoss, PinballLoss
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

# Each with its usual parameters and, where it has any, with others.
ACTIVATIONS = [*ref.ACTIVATIONS, ("leaky_relu", 0.3), ("elu", 0.4), ("selu", 0.8, 1.7)]
LOSSES = [
    *dict.fromkeys(name for name, _ in ref.LOSSES),
    ("huber", 0.3),
    ("quantile", (0.1, 0.5, 0.8)),
    ("log_loss", 0.2),
]
FITTING = [(loss, output) for loss, output in product(LOSSES, ACTIVATIONS) if ref.fits(loss, output)]
KINKED = {"relu", "leaky_relu", "elu", "selu"}


def draw_net(rng, sizes, dtype=np.float64):
    weights = [rng.normal(size=shape).astype(dtype) for shape in pairwise(sizes)]
    biases = [rng.normal(size=n).astype(dtype) for n in sizes[1:]]
    return weights, biases


def draw_targets(rng, output, n_rows, n_outputs):
    """Targets that any loss of this output takes, none of them an extreme."""
    if output == "softmax":
        return rng.dirichlet(np.ones(n_outputs), size=n_rows)
    if output == "sigmoid":
        return rng.uniform(size=(n_rows, n_outputs))
    if output in ("exp", "softplus"):
        return rng.poisson(1.5, size=(n_rows, n_outputs)).astype(float)
    return rng.normal(size=(n_rows, n_outputs))


def draw_masks(rng, n_rows, n_inputs):
    """Masks of dropout for layers with so many inputs, each of another rate."""
    rates = [0.2 + 0.1 * layer for layer in range(len(n_inputs))]
    return [(rng.random((n_rows, n)) >= rate, rate) for n, rate in zip(n_inputs, rates, strict=True)]


def near_kink(loss, S, Y):
    """Whether a residual is so near a kink of the loss that finite differences may cross it."""
    name, parameters = ref.split(loss)
    kink = {"absolute_error": 0, "quantile": 0, "huber": parameters[0] if parameters else 1.0}.get(name)
    return kink is not None and np.abs(np.abs(S - Y) - kink).min() < 1e-3


def draw_away_from_kinks(sizes, activations, n_rows, loss="squared_error", dropout=False):
    """A net, rows, targets and masks such that no step of finite differences crosses a kink.

    Of an activation's kink there are rows on both sides. No exp of exp takes the outputs out of all bounds.
    """
    for seed in range(100):
        rng = np.random.default_rng(seed)
        weights, biases = draw_net(rng, sizes)
        X = rng.normal(size=(n_rows, sizes[0]))
        y = draw_targets(rng, activations[-1], n_rows, sizes[-1])
        masks = draw_masks(rng, n_rows, sizes[:-1]) if dropout else None
        with np.errstate(over="ignore"):
            cache = ref.forward(weights, biases, activations, X, masks)
        names = [ref.split(activation)[0] for activation in activations]
        kinked = [Z for (Z, _), name in zip(cache, names, strict=True) if name in KINKED]
        if (
            all(np.abs(Z).min() > 1e-3 and Z.min() < 0 < Z.max() for Z in kinked)
            and min(np.abs(W).min() for W in weights) > 1e-3
            and np.abs(cache[-1][1]).max() < 100
            and not near_kink(loss, cache[-1][1], y)
        ):
            return rng, weights, biases, X, y, masks
    raise AssertionError("no seed keeps away from the kinks")


def relative_error(g, h):
    return np.linalg.norm(g - h) / (np.linalg.norm(g) + np.linalg.norm(h))


def assert_gradient(hidden, loss, output, weighted=False, alpha=0.0, l1=0.0, dropout=False):
    """The gradient of the cost of a small net is that of finite differences."""
    sizes, activations = [2, 3, 2, 3], [*hidden, output]
    rng, weights, biases, X, y, masks = draw_away_from_kinks(sizes, activations, 6, loss, dropout)
    # One row counts for nothing, as class weights or masks may ask.
    w = np.append(0.0, rng.uniform(0.5, 2, size=5)) if weighted else None

    def cost_and_gradient(params):
        net = *ref.unflatten(params, sizes), activations
        return ref.cost_and_gradient(*net, X, y, loss, w, alpha, l1, masks)

    params = ref.flatten(weights, biases)
    numeric = ref.finite_difference(lambda params: cost_and_gradient(params)[0], params)
    assert relative_error(cost_and_gradient(params)[1], numeric) < 1e-7


@pytest.mark.parametrize("loss, output", FITTING)
@pytest.mark.parametrize("hidden", list(zip(ACTIVATIONS[::2], [*ACTIVATIONS[1::2], "tanh"], strict=True)))
def test_gradient_against_finite_differences(hidden, loss, output):
    # Of the options, each case takes some.
    case = ACTIVATIONS.index(hidden[0]) * len(FITTING) + FITTING.index((loss, output))
    weighted, alpha, l1, dropout = np.random.default_rng(case).integers(2, size=4)
    assert_gradient(hidden, loss, output, weighted, 0.7 * alpha, 0.4 * l1, dropout)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("l1", [0.0, 0.4])
@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "hidden, loss, output", [(["gelu"] * 2, "poisson", "exp"), (["relu"] * 2, "log_loss", "softmax")]
)
def test_gradient_with_all_options(hidden, loss, output, weighted, alpha, l1, dropout):
    assert_gradient(hidden, loss, output, weighted, alpha, l1, dropout)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("output", ACTIVATIONS)
def test_backward_of_any_d_out(output, logits, dropout):
    sizes, activations = [4, 5, 3], ["tanh", output]
    rng, weights, biases, X, _, masks = draw_away_from_kinks(sizes, activations, 6, dropout=dropout)
    d_out = rng.normal(size=(6, 3))

    def inner_product(params):
        net = *ref.unflatten(params[X.size :], sizes), activations
        cache = ref.forward(*net, params[: X.size].reshape(X.shape), masks)
        return (d_out * cache[-1][0 if logits else 1]).sum()

    cache = ref.forward(weights, biases, activations, X, masks)
    dW, db, dX = ref.backward(weights, activations, X, cache, d_out, logits=logits)
    gradient = np.concatenate([dX.ravel(), ref.flatten(dW, db)])
    params = np.concatenate([X.ravel(), ref.flatten(weights, biases)])
    assert relative_error(gradient, ref.finite_difference(inner_product, params)) < 1e-7


@pytest.mark.parametrize(
    "loss, output",
    [(loss, output) for loss in LOSSES for name, output in ref.LOSSES if ref.split(loss)[0] == name],
)
def test_slope_of_each_loss(loss, output):
    rng = np.random.default_rng(0)
    S = rng.normal(size=(20, 3))
    # Rows of probabilities may miss a sum of 1 by this much.
    Y = draw_targets(rng, output, 20, 3) * (1 + 1e-5)
    name, parameters = ref.split(loss)
    per_row_loss, d_logits = ref.LOSSES[name, output]
    numeric = ref.finite_difference(
        lambda s: per_row_loss(s.reshape(S.shape), Y, *parameters).sum(), S.ravel()
    )
    assert relative_error(d_logits(S, Y, *parameters).ravel(), numeric) < 1e-8


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if a != "softmax"])
def test_slope_of_each_activation(activation):
    name, parameters = ref.split(activation)
    f, backward = ref.ACTIVATIONS[name]
    Z, eps = np.arange(-15, 15, 0.19), 1e-5
    numeric = (f(Z + eps, *parameters) - f(Z - eps, *parameters)) / (2 * eps)
    np.testing.assert_allclose(backward(Z, np.ones_like(Z), *parameters), numeric, rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(backward(Z, 2 * Z, *parameters) / 2, backward(Z, Z, *parameters))


def test_activations_against_scipy():
    Z = np.concatenate([np.linspace(-40, 40, 1001), [-1000.0, -1.0, 0.0, 1.0, 700.0]])[:, None]
    expected = {
        "identity": Z,
        "sigmoid": special.expit(Z),
        "tanh": np.sinh(np.clip(Z, -40, 40)) / np.cosh(np.clip(Z, -40, 40)),
        "relu": (Z + abs(Z)) / 2,
        "leaky_relu": np.maximum(Z, Z / 100),
        ("leaky_relu", 0.3): np.maximum(Z, 0.3 * Z),
        "elu": np.maximum(Z, 0) + special.boxcox(np.exp(np.minimum(Z, 0)), 1),
        ("elu", 0.4): np.maximum(Z, 0) + 0.4 * special.expm1(np.minimum(Z, 0)),
        "selu": 1.0507009873554805 * np.where(Z > 0, Z, 1.6732632423543772 * special.expm1(np.minimum(Z, 0))),
        ("selu", 0.8, 1.7): 0.8 * np.where(Z > 0, Z, 1.7 * special.expm1(np.minimum(Z, 0))),
        "gelu": 0.5 * Z * special.erfc(-Z / np.sqrt(2)),
        "gelu_tanh": 0.5 * Z * (1 + np.tanh(np.sqrt(2 / np.pi) * (Z + 0.044715 * Z**3))),
        "silu": Z * special.expit(Z),
        "mish": Z * np.tanh(np.logaddexp(0, Z)),
        "softplus": -special.log_expit(-Z),
        "exp": 1 / np.exp(-np.maximum(Z, -700)),
        "softmax": special.softmax(Z, axis=1),
    }
    assert set(expected) == set(ACTIVATIONS)
    for activation, values in expected.items():
        name, parameters = ref.split(activation)
        found = ref.ACTIVATIONS[name][0](Z, *parameters)
        error = np.abs(found - values) / np.maximum(np.maximum(np.abs(values), np.abs(Z)), 1e-300)
        assert error.max() < 1e-15, activation
    Z = np.random.default_rng(0).normal(scale=30, size=(50, 4))
    np.testing.assert_allclose(ref.softmax(Z), special.softmax(Z, axis=1), rtol=1e-13)


@pytest.mark.parametrize("dtype, huge", [("f8", 1e300), ("f4", 1e30), ("f8", 800.0), ("f4", 110.0)])
def test_activations_of_huge_scores(dtype, huge):
    """Their value below and above 0, and their slope."""
    limits = {
        "identity": (-huge, huge, 1, 1),
        "sigmoid": (0, 1, 0, 0),
        "tanh": (-1, 1, 0, 0),
        "leaky_relu": (-0.01 * huge, huge, 0.01, 1),
        "elu": (-1, huge, 0, 1),
        "selu": (-ref.SCALE * ref.ALPHA, ref.SCALE * huge, 0, ref.SCALE),
    }
    rows = set(ref.ACTIVATIONS) - {"softmax", "exp"}
    Z = np.array([-huge, huge], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for name in rows:
            f, backward = ref.ACTIVATIONS[name]
            found = np.concatenate([f(Z), backward(Z, np.ones_like(Z))])
            assert found.dtype == Z.dtype
            # All others tend to relu.
            expected = limits.get(name, (0, huge, 0, 1))
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-40, err_msg=name)


def test_slope_at_a_kink_is_the_left_one():
    for activation, slope in {
        "relu": 0,
        ("leaky_relu", 0.3): 0.3,
        ("elu", 0.4): 0.4,
        ("selu", 2, 3): 6,
    }.items():
        name, parameters = ref.split(activation)
        assert ref.ACTIVATIONS[name][1](np.zeros(1), np.ones(1), *parameters) == pytest.approx(slope)


def test_losses_against_scipy():
    rng = np.random.default_rng(0)
    S = rng.normal(scale=10, size=(50, 4))
    Y = rng.uniform(size=(50, 4))
    expected = -(Y * special.log_expit(S) + (1 - Y) * special.log_expit(-S)).sum(axis=1)
    np.testing.assert_allclose(ref.LOSSES["log_loss", "sigmoid"][0](S, Y), expected, rtol=1e-13)
    Y = rng.dirichlet(np.ones(4), size=50)
    expected = -(Y * special.log_softmax(S, axis=1)).sum(axis=1)
    np.testing.assert_allclose(ref.LOSSES["log_loss", "softmax"][0](S, Y), expected, rtol=1e-13)
    np.testing.assert_array_equal(
        ref.LOSSES["squared_error", None][0](np.array([[1.0, 2.0]]), np.array([[4.0, 0.0]])), [6.5]
    )
    Y = rng.normal(scale=10, size=(50, 4))
    expected = special.huber(3.0, S - Y).sum(axis=1)
    np.testing.assert_allclose(ref.LOSSES["huber", None][0](S, Y, 3.0), expected, rtol=1e-13)
    Y = rng.poisson(1.5, size=(50, 4)).astype(float)
    expected = special.kl_div(Y, np.exp(S)).sum(axis=1)
    np.testing.assert_allclose(ref.LOSSES["poisson", "exp"][0](S, Y), expected, rtol=1e-12)
    expected = special.kl_div(Y, np.logaddexp(0, S)).sum(axis=1)
    np.testing.assert_allclose(ref.LOSSES["poisson", "softplus"][0](S, Y), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "theirs, loss, output",
    [
        (AbsoluteError(), "absolute_error", None),
        (PinballLoss(quantile=0.8), ("quantile", (0.8,)), None),
        (HalfPoissonLoss(), "poisson", "exp"),
    ],
)
def test_losses_against_scikit_learn(theirs, loss, output):
    rng = np.random.default_rng(0)
    s, y = rng.normal(size=100), rng.poisson(1.5, size=100).astype(float)
    name, parameters = ref.split(loss)
    per_row_loss, d_logits = ref.LOSSES[name, output]
    expected, slope = theirs.loss_gradient(y, s)
    if name == "poisson":
        expected = expected + theirs.constant_to_optimal_zero(y)
    np.testing.assert_allclose(per_row_loss(s[:, None], y, *parameters), expected, rtol=1e-12)
    np.testing.assert_allclose(d_logits(s[:, None], y, *parameters)[:, 0], slope, rtol=1e-12)


def test_poisson_is_least_where_the_target_is_met():
    y = np.array([0.5, 1.0, 7.0])
    for output, s in (("exp", np.log(y)), ("softplus", np.log(np.expm1(y)))):
        per_row_loss, d_logits = ref.LOSSES["poisson", output]
        np.testing.assert_allclose(per_row_loss(s[:, None], y), 0, atol=1e-14)
        np.testing.assert_allclose(d_logits(s[:, None], y), 0, atol=1e-14)


def test_poisson_of_huge_scores():
    y = np.array([0.0, 2.0, 0.0, 2.0])
    constant = y * np.log([1, 2, 1, 2]) - y
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for output, S, a in (("softplus", 1000.0, 1000.0), ("exp", 700.0, np.exp(700.0))):
            per_row_loss, d_logits = ref.LOSSES["poisson", output]
            S, a = np.array([[-S]] * 2 + [[S]] * 2), np.array([0.0, 0.0, a, a])
            log_a = np.where(a > 0, np.log(np.maximum(a, 1)), S[:, 0])
            np.testing.assert_allclose(per_row_loss(S, y), a - y * log_a + constant, rtol=1e-13, atol=1e-300)
            expected = [0, -2, 1, 1 - 2 / 1000] if output == "softplus" else a - y
            np.testing.assert_allclose(d_logits(S, y)[:, 0], expected, rtol=1e-13, atol=1e-300)
    S = np.array([[-39.9], [-40.1]])
    loss = ref.LOSSES["poisson", "softplus"][0](S, np.ones(2))
    np.testing.assert_allclose(loss, -S[:, 0] - 1, rtol=1e-15)


def test_quantiles_share_a_target():
    rng = np.random.default_rng(0)
    S, y, levels = rng.normal(size=(20, 3)), rng.normal(size=20), (0.1, 0.5, 0.9)
    for function in ref.LOSSES["quantile", None]:
        each = [function(S[:, [k]], y, levels[k : k + 1]).reshape(20, -1) for k in range(3)]
        for Y in (y, y[:, None], np.tile(y[:, None], 3)):
            together = function(S, Y, levels).reshape(20, -1)
            expected = sum(each) if together.shape[1] == 1 else np.hstack(each)
            np.testing.assert_allclose(together, expected, rtol=1e-14)
    # With half and half, and no parameters, it is half the absolute error.
    for f, g in zip(ref.LOSSES["quantile", None], ref.LOSSES["absolute_error", None], strict=True):
        np.testing.assert_allclose(f(S, y), g(S, np.tile(y[:, None], 3)) / 2, rtol=1e-14)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile", ("quantile", (0.1, 0.5, 0.8))])
def test_no_slope_where_the_target_is_met(loss):
    name, parameters = ref.split(loss)
    np.testing.assert_array_equal(ref.LOSSES[name, None][1](np.ones((2, 3)), np.ones((2, 3)), *parameters), 0)


def test_label_smoothing_mixes_in_the_loss_of_all_classes():
    rng = np.random.default_rng(0)
    S, classes, y, s = rng.normal(size=(20, 4)), rng.integers(4, size=20), rng.uniform(size=(20, 4)), 0.3
    for function in ref.LOSSES["log_loss", "softmax"]:
        all_classes = sum(function(S, np.full(20, k)) for k in range(4)) / 4
        mixed = (1 - s) * function(S, classes) + s * all_classes
        np.testing.assert_allclose(function(S, classes, s), mixed, rtol=1e-12)
    for function in ref.LOSSES["log_loss", "sigmoid"]:
        both = (function(S, np.zeros((20, 4))) + function(S, np.ones((20, 4)))) / 2
        np.testing.assert_allclose(function(S, y, s), (1 - s) * function(S, y) + s * both, rtol=1e-12)


def test_log_loss_of_huge_scores():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        per_row_loss, d_logits = ref.LOSSES["log_loss", "sigmoid"]
        S, Y = np.array([[1000.0], [1000.0], [-1000.0], [-1000.0]]), np.array([0.0, 1.0, 0.0, 1.0])
        np.testing.assert_array_equal(per_row_loss(S, Y), [1000, 0, 0, 1000])
        np.testing.assert_array_equal(d_logits(S, Y)[:, 0], [1, 0, 0, -1])
        per_row_loss, d_logits = ref.LOSSES["log_loss", "softmax"]
        S, classes = np.array([[1000.0, 0.0, -1000.0]] * 3), np.array([0, 1, 2])
        np.testing.assert_array_equal(per_row_loss(S, classes), [0, 1000, 2000])
        np.testing.assert_array_equal(d_logits(S, classes), [[0, 0, 0], [1, -1, 0], [1, 0, -1]])
        # Each row has a largest score of its own.
        S = np.array([[1000.0, 1000.0], [-1000.0, -1000.0]])
        np.testing.assert_allclose(per_row_loss(S, np.array([0, 1])), np.log(2), rtol=1e-15)
        np.testing.assert_array_equal(d_logits(S, np.array([0, 1])), [[-0.5, 0.5], [0.5, -0.5]])


def test_log_loss_of_a_sure_row_keeps_its_digits():
    loss = ref.LOSSES["log_loss", "sigmoid"][0](np.array([[40.0], [-40.0]]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(loss, np.exp(-40), rtol=1e-15)


def test_classes_are_rows_with_a_single_one():
    rng = np.random.default_rng(0)
    weights, biases = draw_net(rng, [4, 5, 3])
    X, classes = rng.normal(size=(6, 4)), np.array([0, 2, 1, 1, 0, 2])
    net = weights, biases, ["tanh", "softmax"], X
    cost, gradient = ref.cost_and_gradient(*net, classes, "log_loss")
    cost_rows, gradient_rows = ref.cost_and_gradient(*net, np.eye(3)[classes], "log_loss")
    assert cost == cost_rows
    np.testing.assert_array_equal(gradient, gradient_rows)


@pytest.mark.parametrize("loss, output", [("squared_error", "identity"), ("log_loss", "sigmoid")])
def test_single_output_takes_one_dimensional_targets(loss, output):
    rng = np.random.default_rng(0)
    weights, biases = draw_net(rng, [4, 5, 1])
    X, y = rng.normal(size=(6, 4)), draw_targets(rng, output, 6, 1)
    net = weights, biases, ["tanh", output], X
    cost, gradient = ref.cost_and_gradient(*net, y, loss)
    cost_1d, gradient_1d = ref.cost_and_gradient(*net, y[:, 0], loss)
    assert cost == cost_1d
    np.testing.assert_array_equal(gradient, gradient_1d)


@pytest.mark.parametrize(
    "loss, output",
    [
        ("log_loss", "identity"),
        ("squared_error", "softmax"),
        ("poisson", "relu"),
        (("huber", 2.0), "softmax"),
    ],
)
def test_loss_that_does_not_fit_the_output(loss, output):
    weights, biases = draw_net(np.random.default_rng(0), [2, 3])
    with pytest.raises(ValueError, match="does not fit"):
        ref.cost_and_gradient(weights, biases, [output], np.ones((1, 2)), np.ones((1, 3)), loss)


def test_parameters_do_not_matter_to_what_fits():
    assert ref.fits(("huber", 2.0), ("elu", 0.4)) == ("huber", None)
    assert ref.fits(("log_loss", 0.1), "softmax") == ("log_loss", "softmax")
    assert ref.fits(("log_loss", 0.1), ("elu", 0.4)) is ref.fits("poisson", "sigmoid") is None


def test_weights_are_repetitions():
    rng = np.random.default_rng(0)
    weights, biases = draw_net(rng, [4, 5, 2])
    X, y, w = rng.normal(size=(5, 4)), rng.normal(size=(5, 2)), np.array([1.0, 3.0, 0.0, 2.0, 1.0])
    net = weights, biases, ["tanh", "identity"]
    weighted = ref.cost_and_gradient(*net, X, y, "squared_error", w, alpha=0.3)
    times = w.astype(int)
    repeated = ref.cost_and_gradient(
        *net, X.repeat(times, axis=0), y.repeat(times, axis=0), "squared_error", alpha=0.3
    )
    np.testing.assert_allclose(weighted[0], repeated[0], rtol=1e-14)
    np.testing.assert_allclose(weighted[1], repeated[1], rtol=1e-12, atol=1e-15)


def test_penalties_leave_biases_alone():
    rng = np.random.default_rng(0)
    weights, biases = draw_net(rng, [4, 5, 2])
    weights[0][1, 2] = 0
    net = weights, biases, ["tanh", "identity"], rng.normal(size=(5, 4)), rng.normal(size=(5, 2))
    cost, gradient = ref.cost_and_gradient(*net, "squared_error")
    squares, sizes = sum(np.sum(W**2) for W in weights), sum(np.sum(abs(W)) for W in weights)
    for alpha, l1 in ((0.5, 0.0), (0.0, 0.3), (0.5, 0.3)):
        cost_more, gradient_more = ref.cost_and_gradient(*net, "squared_error", alpha=alpha, l1=l1)
        np.testing.assert_allclose(cost_more - cost, alpha / (2 * 5) * squares + l1 / 5 * sizes, rtol=1e-13)
        penalty = [alpha / 5 * W + l1 / 5 * np.where(W > 0, 1, np.where(W < 0, -1, 0)) for W in weights]
        penalty = ref.flatten(penalty, [np.zeros_like(b) for b in biases])
        np.testing.assert_allclose(gradient_more - gradient, penalty, rtol=1e-12, atol=1e-15)


def test_dropping_a_unit_for_all_rows_is_a_net_without_it():
    rng = np.random.default_rng(0)
    weights, biases = draw_net(rng, [4, 5, 3])
    X, y, w = rng.normal(size=(6, 4)), rng.normal(size=(6, 3)), rng.uniform(size=6)
    units = np.array([0, 1, 0, 1, 1], bool)
    inputs = np.array([1, 0, 1, 1], bool)
    masks = [(np.tile(inputs, (6, 1)), 0.25), (np.tile(units, (6, 1)), 0.5)]
    cost, gradient = ref.cost_and_gradient(
        weights, biases, ["mish", "identity"], X, y, "squared_error", w, masks=masks
    )
    # Its weights stand in for what is dropped.
    small = [weights[0][inputs][:, units] / 0.75, weights[1][units] / 0.5], [biases[0][units], biases[1]]
    X = X[:, inputs]
    expected_cost, expected = ref.cost_and_gradient(*small, ["mish", "identity"], X, y, "squared_error", w)
    np.testing.assert_allclose(cost, expected_cost, rtol=1e-13)
    dW, db = ref.unflatten(gradient, [4, 5, 3])
    dW_small, db_small = ref.unflatten(expected, [3, 3, 3])
    np.testing.assert_allclose(dW[0][inputs][:, units], dW_small[0] / 0.75, rtol=1e-12)
    np.testing.assert_allclose(dW[1][units], dW_small[1] / 0.5, rtol=1e-12)
    np.testing.assert_allclose(db[0][units], db_small[0], rtol=1e-12)
    np.testing.assert_allclose(db[1], db_small[1], rtol=1e-12)
    for dropped in (dW[0][~inputs], dW[0][:, ~units], dW[1][~units], db[0][~units]):
        np.testing.assert_array_equal(dropped, 0)


def test_masks_of_rate_zero_change_nothing():
    rng = np.random.default_rng(0)
    weights, biases = draw_net(rng, [4, 5, 2])
    net = weights, biases, ["tanh", "identity"], rng.normal(size=(5, 4)), rng.normal(size=(5, 2)), "huber"
    cost, gradient = ref.cost_and_gradient(*net)
    for masks in ([None, None], [(np.ones((5, 4), bool), 0.0), (np.ones((5, 5), bool), 0.0)]):
        found_cost, found = ref.cost_and_gradient(*net, masks=masks)
        assert found_cost == cost
        np.testing.assert_array_equal(found, gradient)


def test_class_weights_are_sample_weights():
    y = np.array([2, 0, 1, 0])
    for class_weight in ([0.5, 3.0, 1.0], {0: 0.5, 1: 3.0, 2: 1.0}):
        for labels in (y, y[:, None]):
            np.testing.assert_array_equal(ref.class_weights(class_weight, labels), [1, 0.5, 3, 0.5])


def test_laws_of_softmax():
    rng = np.random.default_rng(0)
    Z, shift = rng.normal(scale=5, size=(20, 4)), rng.normal(scale=100, size=(20, 1))
    A = ref.softmax(Z)
    np.testing.assert_allclose(A.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(ref.softmax(Z + shift), A, rtol=1e-12)
    classes = rng.integers(4, size=20)
    for function in ref.LOSSES["log_loss", "softmax"]:
        np.testing.assert_allclose(function(Z + shift, classes), function(Z, classes), rtol=1e-10, atol=1e-12)
    # Since a shift changes nothing, no slope points along it.
    np.testing.assert_allclose(ref.softmax_backward(Z, rng.normal(size=Z.shape)).sum(axis=1), 0, atol=1e-15)


@pytest.mark.parametrize("output", ref.ACTIVATIONS)
def test_permuted_rows_permute_outputs(output):
    rng = np.random.default_rng(0)
    weights, biases = draw_net(rng, [4, 5, 3])
    X, order = rng.normal(size=(7, 4)), rng.permutation(7)
    cache = ref.forward(weights, biases, ["relu", output], X)
    permuted = ref.forward(weights, biases, ["relu", output], X[order])
    np.testing.assert_allclose(permuted[-1][1], cache[-1][1][order], rtol=1e-13)


@pytest.mark.parametrize("loss, output", FITTING)
def test_precision_is_that_of_the_input(loss, output):
    rng = np.random.default_rng(0)
    activations, options = ["leaky_relu", output], dict(alpha=0.1, l1=0.2, masks=draw_masks(rng, 7, [4, 5]))
    weights, biases = draw_net(rng, [4, 5, 3], np.float32)
    X, y = rng.normal(size=(7, 4)).astype("f4"), draw_targets(rng, output, 7, 3).astype("f4")
    cost, gradient = ref.cost_and_gradient(weights, biases, activations, X, y, loss, **options)
    assert cost.dtype == gradient.dtype == np.float32
    double = [[a.astype("f8") for a in arrays] for arrays in (weights, biases)]
    exact_cost, exact = ref.cost_and_gradient(*double, activations, X.astype("f8"), y, loss, **options)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(cost, exact_cost, rtol=1e-5)
    assert relative_error(gradient, exact) < 1e-5


def test_flatten_goes_layer_by_layer():
    weights = [np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]), np.array([[8.0], [9.0]])]
    biases = [np.array([6.0, 7.0]), np.array([10.0])]
    params = ref.flatten(weights, biases)
    np.testing.assert_array_equal(params, np.arange(11))
    for parts, views in zip((weights, biases), ref.unflatten(params, [3, 2, 1]), strict=True):
        for part, view in zip(parts, views, strict=True):
            np.testing.assert_array_equal(part, view)


# From p = 1 with gradients 2 and 4 and rate 1/2. Adam: m = 1, v = 1, their corrections 1/2 and 1/4; then
# m = 5/2, v = 19/4, their corrections 3/4 and 7/16. RMSProp: v as Adam's.
@pytest.mark.parametrize(
    "optimizer, first, second_change",
    [
        (ref.SGD(), 0, -2),
        (ref.SGD(momentum=0.5), 0, -2.5),
        (ref.SGD(momentum=0.5, nesterov=True), -0.5, -3.25),
        (ref.SGD(momentum=0.5, averaged=True), 0.5, -1.25),
        (ref.RMSProp(0.75, 0.5), 1 / 3, -2 / (np.sqrt(19 / 4) + 0.5)),
        (ref.RMSProp(0.75, 0.5, 0.5), 1 / 3, -1 / 3 - 2 / (np.sqrt(19 / 4) + 0.5)),
        (ref.Adam(0.5, 0.75, 0.5, "paper"), 0.6, -5 / 3 / (np.sqrt(76 / 7) + 0.5)),
        (ref.Adam(0.5, 0.75, 0.5, "uncorrected"), 2 / 3, -5 / 3 * np.sqrt(7 / 16) / (np.sqrt(19 / 4) + 0.5)),
        (ref.Adam(0.5, 0.75, 0.5, "inside"), 1 - 1 / np.sqrt(4.5), -5 / 3 / np.sqrt(76 / 7 + 0.5)),
    ],
)
def test_first_two_steps_by_hand(optimizer, first, second_change):
    p1 = optimizer.step(np.array([1.0]), np.array([2.0]), 0.5)
    p2 = optimizer.step(p1, np.array([4.0]), 0.5)
    np.testing.assert_allclose([p1[0], p2[0]], [first, first + second_change], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    "ours, theirs, rate_name",
    [
        (lambda: ref.SGD(0.9), lambda p: SGDOptimizer([p], nesterov=False), "learning_rate"),
        (lambda: ref.SGD(0.9, nesterov=True), lambda p: SGDOptimizer([p]), "learning_rate"),
        # With an epsilon that is felt, so that its place matters.
        (
            lambda: ref.Adam(epsilon=0.1, epsilon_form="uncorrected"),
            lambda p: AdamOptimizer([p], epsilon=0.1),
            "learning_rate_init",
        ),
    ],
    ids=["momentum", "nesterov", "adam"],
)
def test_optimizers_against_scikit_learn(ours, theirs, rate_name):
    rng = np.random.default_rng(0)
    p = rng.normal(size=20)
    expected = p.copy()
    ours, theirs = ours(), theirs(expected)
    for rate in (0.1, 0.1, 0.05, 0.3, 0.01, 0.01):
        g = rng.normal(size=20)
        p = ours.step(p, g, rate)
        setattr(theirs, rate_name, rate)
        theirs.update_params([expected], [g])
        np.testing.assert_allclose(p, expected, rtol=1e-12)


class KeepsStart:
    """Keeps the parameters that scikit-learn draws before the first step, as start_."""

    def _initialize(self, *args):
        super()._initialize(*args)
        self.start_ = [W.copy() for W in self.coefs_], [b.copy() for b in self.intercepts_]


class Regressor(KeepsStart, MLPRegressor):
    pass


class Classifier(KeepsStart, MLPClassifier):
    pass


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "solver, optimizer",
    [
        (dict(solver="sgd", momentum=0.9), lambda: ref.SGD(0.9, nesterov=True)),
        (dict(solver="sgd", momentum=0.9, nesterovs_momentum=False), lambda: ref.SGD(0.9)),
        (dict(solver="sgd", momentum=0.0), ref.SGD),
        (dict(solver="adam"), lambda: ref.Adam(epsilon_form="uncorrected")),
    ],
    ids=["nesterov", "momentum", "plain", "adam"],
)
@pytest.mark.parametrize(
    "output, n_outputs, hidden, alpha",
    [
        ("identity", 1, "tanh", 0.5),
        # Without a penalty, which scikit-learn does not divide by the number of outputs.
        ("identity", 3, "relu", 0.0),
        ("sigmoid", 1, "relu", 0.5),
        ("sigmoid", 3, "sigmoid", 0.5),
        ("softmax", 3, "tanh", 0.5),
    ],
)
def test_fit_against_scikit_learn(output, n_outputs, hidden, alpha, solver, optimizer, weighted):
    rng = np.random.default_rng(0)
    n_rows, epochs, batch_size = 53, 8, 10
    X = rng.normal(size=(n_rows, 4))
    if output == "softmax":
        y = np.append(np.arange(n_outputs), rng.integers(n_outputs, size=n_rows - n_outputs))
    else:
        y = X @ rng.normal(size=(4, n_outputs)) + rng.normal(size=(n_rows, n_outputs))
        if output == "sigmoid":
            y = (y > 0).astype(int)
        if n_outputs == 1:
            y = y[:, 0]
    w = rng.uniform(0.5, 2, size=n_rows) if weighted else None

    net = (Regressor if output == "identity" else Classifier)(
        hidden_layer_sizes=(6, 5),
        activation="logistic" if hidden == "sigmoid" else hidden,
        alpha=alpha,
        batch_size=batch_size,
        learning_rate_init=0.01,
        max_iter=epochs,
        n_iter_no_change=np.inf,
        shuffle=False,
        random_state=0,
        **solver,
    ).fit(X, y, sample_weight=w)

    params, losses, _ = ref.fit(
        *net.start_,
        [hidden, hidden, output],
        X,
        y,
        loss="squared_error" if output == "identity" else "log_loss",
        optimizer=optimizer(),
        rates=[0.01] * (epochs * 6),
        orders=[None] * epochs,
        batch_size=batch_size,
        sample_weight=w,
        alpha=alpha,
    )
    np.testing.assert_allclose(
        losses / (n_outputs if output == "identity" else 1), net.loss_curve_, rtol=1e-9
    )
    np.testing.assert_allclose(params, ref.flatten(net.coefs_, net.intercepts_), rtol=1e-7, atol=1e-10)


def fit_small(X, y, **kwargs):
    weights, biases = draw_net(np.random.default_rng(1), [4, 5, 2])
    how = dict(loss="squared_error", optimizer=ref.SGD(0.5), rates=[0.1] * 9, orders=[None] * 3, batch_size=3)
    return ref.fit(weights, biases, ["tanh", "identity"], X, y, **{**how, **kwargs})


def draw_rows(n_rows):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_rows, 4)), rng.normal(size=(n_rows, 2))


def test_fit_follows_the_order_of_each_epoch():
    X, y = draw_rows(8)
    orders = list(np.random.default_rng(2).permuted(np.tile(np.arange(8), (3, 1)), axis=1))
    w = np.arange(1.0, 9.0)
    # The same as one epoch over the rows laid out as they are visited: batches of 4 leave no short one.
    visited = np.concatenate(orders)
    how = dict(batch_size=4, rates=[0.1] * 6)
    params, _, costs = fit_small(X, y, orders=orders, sample_weight=w, **how)
    laid_out = fit_small(X[visited], y[visited], orders=[None], sample_weight=w[visited], **how)
    np.testing.assert_allclose(params, laid_out[0], rtol=1e-12)
    np.testing.assert_allclose(costs, laid_out[2], rtol=1e-12)


def test_fit_takes_one_rate_a_step():
    X, y = draw_rows(8)
    rates = [0.1, 0.0, 0.2] * 3
    params, _, costs = fit_small(X, y, optimizer=ref.SGD(), rates=rates)
    # A step of rate 0 changes nothing: its batch might as well not have been there.
    w = np.array([1.0, 1, 1, 0, 0, 0, 1, 1])
    skipping, _, skipping_costs = fit_small(X, y, optimizer=ref.SGD(), rates=rates, sample_weight=w)
    np.testing.assert_allclose(params, skipping, rtol=1e-12)
    np.testing.assert_allclose(np.delete(costs, [1, 4, 7]), np.delete(skipping_costs, [1, 4, 7]), rtol=1e-12)
    np.testing.assert_array_equal(skipping_costs[[1, 4, 7]], 0)


def test_skipped_batch_is_no_step_of_the_optimizer():
    X, y = draw_rows(6)
    w = np.array([1.0, 1, 1, 0, 0, 0])
    params, losses, costs = fit_small(X, y, optimizer=ref.Adam(), rates=[0.1] * 6, sample_weight=w, alpha=0.2)
    alone = fit_small(X[:3], y[:3], optimizer=ref.Adam(), rates=[0.1] * 3, alpha=0.2)
    np.testing.assert_allclose(params, alone[0], rtol=1e-12)
    np.testing.assert_allclose(costs[::2], alone[2], rtol=1e-12)
    np.testing.assert_allclose(losses, alone[1] / 2, rtol=1e-12)


def test_history_weighs_batches_by_their_rows():
    X, y = draw_rows(8)
    _, losses, costs = fit_small(X, y, alpha=0.3)
    np.testing.assert_allclose(losses, costs.reshape(3, 3) @ [3 / 8, 3 / 8, 2 / 8], rtol=1e-12)


@pytest.mark.parametrize("batch_size", [None, 8, 100])
def test_full_batch_is_gradient_descent(batch_size):
    X, y = draw_rows(8)
    weights, biases = draw_net(np.random.default_rng(1), [4, 5, 2])
    start = ref.flatten(weights, biases)
    params, losses, costs = fit_small(
        X, y, optimizer=ref.SGD(), rates=[0.1], orders=[None], batch_size=batch_size, alpha=0.3
    )
    net = weights, biases, ["tanh", "identity"]
    cost, gradient = ref.cost_and_gradient(*net, X, y, "squared_error", alpha=0.3)
    np.testing.assert_allclose([losses[0], costs[0]], cost, rtol=1e-12)
    np.testing.assert_allclose(params, start - 0.1 * gradient, rtol=1e-12)


NET = ["tanh", "identity"]
FULL = dict(batch_size=None, rates=[0.1] * 9)
PENALTIES = dict(alpha=0.3, l1=0.2)


def start_and_gradient(X, y, **kwargs):
    """The parameters that fit_small starts from, and the gradient there."""
    weights, biases = draw_net(np.random.default_rng(1), [4, 5, 2])
    gradient = ref.cost_and_gradient(weights, biases, NET, X, y, "squared_error", **kwargs)[1]
    return ref.flatten(weights, biases), gradient


IS_WEIGHT = np.repeat([True, False, True, False], [4 * 5, 5, 5 * 2, 2])


def test_a_long_gradient_is_clipped():
    X, y = draw_rows(8)
    start, gradient = start_and_gradient(X, y, **PENALTIES)
    norm = np.sqrt((gradient**2).sum())
    how = dict(optimizer=ref.SGD(), orders=[None], **FULL, **PENALTIES)
    for clip_norm, length in ((norm / 3, norm / 3), (2 * norm, norm), (None, norm)):
        params, _, _ = fit_small(X, y, clip_norm=clip_norm, **how)
        np.testing.assert_allclose(params, start - 0.1 * gradient * length / norm, rtol=1e-12)


def test_weight_decay_goes_beside_the_step():
    X, y = draw_rows(8)
    start, gradient = start_and_gradient(X, y)
    # As the gradient is that before the decay, and this optimizer does not see it.
    step = ref.Adam().step(start, gradient, 0.1) - start
    params, _, costs = fit_small(X, y, optimizer=ref.Adam(), orders=[None], weight_decay=0.5, **FULL)
    np.testing.assert_allclose(params, start * np.where(IS_WEIGHT, 1 - 0.1 * 0.5, 1) + step, rtol=1e-12)
    assert costs[0] == fit_small(X, y, orders=[None], **FULL)[2][0]


@pytest.mark.parametrize("frozen", [0, 1])
def test_frozen_layers_stay(frozen):
    X, y = draw_rows(8)
    start, gradient = start_and_gradient(X, y, **PENALTIES)
    moves = (np.arange(start.size) >= 25) == (frozen == 0)
    norm = np.sqrt((gradient[moves] ** 2).sum())
    how = dict(frozen=(frozen,), weight_decay=0.5, clip_norm=norm / 2, **PENALTIES)
    params, _, _ = fit_small(X, y, optimizer=ref.SGD(), orders=[None], **how, **FULL)
    # The others move as ever, and only their gradient has a length.
    expected = start * np.where(IS_WEIGHT, 1 - 0.1 * 0.5, 1) - 0.1 * gradient / 2
    np.testing.assert_allclose(params, np.where(moves, expected, start), rtol=1e-12)
    params, _, _ = fit_small(X, y, optimizer=ref.Adam(), **how)
    np.testing.assert_array_equal(params[~moves], start[~moves])
    assert (params[moves] != start[moves]).all()


def test_mean_of_the_parameters():
    X, y = draw_rows(8)
    w = np.append(np.ones(5), [0, 0, 0])
    start, _ = start_and_gradient(X, y)
    # Of batches of 5, the second has no weight: it is no step.
    how = dict(batch_size=5, rates=[0.1] * 6, sample_weight=w, weight_decay=0.1)
    after = [fit_small(X, y, orders=[None] * n, **how)[0] for n in (1, 2, 3)]
    params, _, _, mean = fit_small(X, y, ema=0.75, **how)
    np.testing.assert_array_equal(params, after[-1])
    expected = start * 0.75**3 + after[0] * 0.25 * 0.75**2 + after[1] * 0.25 * 0.75 + after[2] * 0.25
    np.testing.assert_allclose(mean, expected, rtol=1e-12)


def test_fit_takes_masks_for_each_batch():
    X, y = draw_rows(8)
    rng = np.random.default_rng(2)
    masks = [[(rng.random((n, 4)) < 0.8, 0.2), (rng.random((n, 5)) < 0.5, 0.5)] for n in (3, 3, 2)]
    params, _, costs = fit_small(X, y, optimizer=ref.SGD(), orders=[None], masks=masks)
    p, _ = start_and_gradient(X, y)
    for rows, mask, cost in zip(np.split(np.arange(8), [3, 6]), masks, costs, strict=True):
        net = *ref.unflatten(p, [4, 5, 2]), NET
        expected, gradient = ref.cost_and_gradient(*net, X[rows], y[rows], "squared_error", masks=mask)
        np.testing.assert_allclose(cost, expected, rtol=1e-13)
        p = p - 0.1 * gradient
    np.testing.assert_allclose(params, p, rtol=1e-12)
