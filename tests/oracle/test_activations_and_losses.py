"""The activations and losses of the oracle agree with SciPy, scikit-learn and their limits."""

import numpy as np
import pytest
import reference as ref
from oracle_draws import ACTIVATIONS
from scipy import special
from sklearn._loss.loss import AbsoluteError, HalfPoissonLoss, PinballLoss


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
def test_activations_of_huge_logits(dtype, huge):
    """For huge logits, activations have their limits below and above 0, and so have their slopes."""
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
            # The others tend to relu.
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
    "sklearn_loss, loss, output",
    [
        (AbsoluteError(), "absolute_error", None),
        (PinballLoss(quantile=0.8), ("quantile", (0.8,)), None),
        (HalfPoissonLoss(), "poisson", "exp"),
    ],
)
def test_losses_against_scikit_learn(sklearn_loss, loss, output):
    rng = np.random.default_rng(0)
    s, y = rng.normal(size=100), rng.poisson(1.5, size=100).astype(float)
    name, parameters = ref.split(loss)
    per_row_loss, d_logits = ref.LOSSES[name, output]
    expected, slope = sklearn_loss.loss_gradient(y, s)
    if name == "poisson":
        expected = expected + sklearn_loss.constant_to_optimal_zero(y)
    np.testing.assert_allclose(per_row_loss(s[:, None], y, *parameters), expected, rtol=1e-12)
    np.testing.assert_allclose(d_logits(s[:, None], y, *parameters)[:, 0], slope, rtol=1e-12)


def test_poisson_is_smallest_at_the_target():
    y = np.array([0.5, 1.0, 7.0])
    for output, s in (("exp", np.log(y)), ("softplus", np.log(np.expm1(y)))):
        per_row_loss, d_logits = ref.LOSSES["poisson", output]
        np.testing.assert_allclose(per_row_loss(s[:, None], y), 0, atol=1e-14)
        np.testing.assert_allclose(d_logits(s[:, None], y), 0, atol=1e-14)


def test_poisson_of_huge_logits():
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
    # Without parameters the level is 1/2, which is half the absolute error.
    for f, g in zip(ref.LOSSES["quantile", None], ref.LOSSES["absolute_error", None], strict=True):
        np.testing.assert_allclose(f(S, y), g(S, np.tile(y[:, None], 3)) / 2, rtol=1e-14)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile", ("quantile", (0.1, 0.5, 0.8))])
def test_the_slope_is_zero_at_the_target(loss):
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


def test_log_loss_of_huge_logits():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        per_row_loss, d_logits = ref.LOSSES["log_loss", "sigmoid"]
        S, Y = np.array([[1000.0], [1000.0], [-1000.0], [-1000.0]]), np.array([0.0, 1.0, 0.0, 1.0])
        np.testing.assert_array_equal(per_row_loss(S, Y), [1000, 0, 0, 1000])
        np.testing.assert_array_equal(d_logits(S, Y)[:, 0], [1, 0, 0, -1])
        per_row_loss, d_logits = ref.LOSSES["log_loss", "softmax"]
        S, classes = np.array([[1000.0, 0.0, -1000.0]] * 3), np.array([0, 1, 2])
        np.testing.assert_array_equal(per_row_loss(S, classes), [0, 1000, 2000])
        np.testing.assert_array_equal(d_logits(S, classes), [[0, 0, 0], [1, -1, 0], [1, 0, -1]])
        # Each row has a different largest logit.
        S = np.array([[1000.0, 1000.0], [-1000.0, -1000.0]])
        np.testing.assert_allclose(per_row_loss(S, np.array([0, 1])), np.log(2), rtol=1e-15)
        np.testing.assert_array_equal(d_logits(S, np.array([0, 1])), [[-0.5, 0.5], [0.5, -0.5]])


def test_log_loss_of_a_certain_row_is_accurate():
    loss = ref.LOSSES["log_loss", "sigmoid"][0](np.array([[40.0], [-40.0]]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(loss, np.exp(-40), rtol=1e-15)
