"""The gradients of the oracle agree with finite differences."""

import numpy as np
import pytest
import reference as ref
from oracle_draws import ACTIVATIONS, FITTING, LOSSES, draw_masks, draw_net, draw_targets, relative_error

KINKED = {"relu", "leaky_relu", "elu", "selu"}


def near_kink(loss, S, Y):
    """Return whether a residual is so close to a kink of the loss that finite differences may cross it."""
    name, parameters = ref.split(loss)
    kink = {"absolute_error": 0, "quantile": 0, "huber": parameters[0] if parameters else 1.0}.get(name)
    return kink is not None and np.abs(np.abs(S - Y) - kink).min() < 1e-3


def draw_away_from_kinks(sizes, activations, n_rows, loss="squared_error", dropout=False):
    """Return a network, rows, targets and masks such that no step of finite differences crosses a kink.

    There are rows on both sides of the kink of each activation, and exp of exp does not overflow.
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


def assert_gradient(hidden, loss, output, weighted=False, alpha=0.0, l1=0.0, dropout=False):
    """Assert that the gradient of the cost of a small network agrees with finite differences."""
    sizes, activations = [2, 3, 2, 3], [*hidden, output]
    rng, weights, biases, X, y, masks = draw_away_from_kinks(sizes, activations, 6, loss, dropout)
    # One row has a weight of 0.
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
    # Each case takes some of the options.
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
    # The sum of a row of probabilities may differ from 1 by this tolerance.
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
