"""Laws of the oracle, for targets, weights, penalties, masks, softmax, rows and precision."""

import numpy as np
import pytest
import reference as ref
from oracle_draws import FITTING, draw_masks, draw_net, draw_targets, relative_error


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


def test_whether_a_loss_fits_does_not_depend_on_its_parameters():
    assert ref.fits(("huber", 2.0), ("elu", 0.4)) == ("huber", None)
    assert ref.fits(("log_loss", 0.1), "softmax") == ("log_loss", "softmax")
    assert ref.fits(("log_loss", 0.1), ("elu", 0.4)) is ref.fits("poisson", "sigmoid") is None


def test_integer_weights_are_repetitions():
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
    # Its weights are divided by 1 - rate.
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
    # A shift changes nothing, so that the gradient along it is 0.
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
