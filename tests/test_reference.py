"""The oracle against finite differences, laws, hand-computed steps, SciPy and scikit-learn."""

from itertools import pairwise

import numpy as np
import pytest
import reference as ref
from scipy import special
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

FITTING = [
    (loss, output)
    for loss in dict.fromkeys(k[0] for k in ref.LOSSES)
    for output in ref.ACTIVATIONS
    if ref.fits(loss, output)
]
KINKED = {"relu", "leaky_relu"}


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
    return rng.normal(size=(n_rows, n_outputs))


def draw_away_from_kinks(sizes, activations, n_rows):
    """A net and rows such that no step of finite differences crosses a kink, with rows on both its sides."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        weights, biases = draw_net(rng, sizes)
        X = rng.normal(size=(n_rows, sizes[0]))
        cache = ref.forward(weights, biases, activations, X)
        kinked = [Z for (Z, _), name in zip(cache, activations, strict=True) if name in KINKED]
        if all(np.abs(Z).min() > 1e-3 and Z.min() < 0 < Z.max() for Z in kinked):
            return rng, weights, biases, X
    raise AssertionError("no seed keeps away from the kinks")


def relative_error(g, h):
    return np.linalg.norm(g - h) / (np.linalg.norm(g) + np.linalg.norm(h))


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss, output", FITTING)
@pytest.mark.parametrize("hidden", ref.ACTIVATIONS)
def test_gradient_against_finite_differences(hidden, loss, output, weighted, alpha):
    sizes, activations = [4, 5, 3, 3], [hidden, hidden, output]
    rng, weights, biases, X = draw_away_from_kinks(sizes, activations, n_rows=7)
    y = draw_targets(rng, output, 7, 3)
    # One row counts for nothing, as class weights or masks may ask.
    w = np.append(0.0, rng.uniform(0.5, 2, size=6)) if weighted else None

    def cost(params):
        return ref.cost_and_gradient(*ref.unflatten(params, sizes), activations, X, y, loss, w, alpha)[0]

    _, gradient = ref.cost_and_gradient(weights, biases, activations, X, y, loss, w, alpha)
    assert relative_error(gradient, ref.finite_difference(cost, ref.flatten(weights, biases))) < 1e-7


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("output", ref.ACTIVATIONS)
def test_backward_of_any_d_out(output, scores):
    sizes, activations = [4, 5, 3], ["tanh", output]
    rng, weights, biases, X = draw_away_from_kinks(sizes, activations, n_rows=6)
    d_out = rng.normal(size=(6, 3))

    def inner_product(params):
        n = X.size
        cache = ref.forward(*ref.unflatten(params[n:], sizes), activations, params[:n].reshape(X.shape))
        return (d_out * cache[-1][0 if scores else 1]).sum()

    cache = ref.forward(weights, biases, activations, X)
    dW, db, dX = ref.backward(weights, activations, X, cache, d_out, scores=scores)
    gradient = np.concatenate([dX.ravel(), ref.flatten(dW, db)])
    params = np.concatenate([X.ravel(), ref.flatten(weights, biases)])
    assert relative_error(gradient, ref.finite_difference(inner_product, params)) < 1e-7


@pytest.mark.parametrize("key", ref.LOSSES)
def test_slope_of_each_loss(key):
    rng = np.random.default_rng(0)
    S = rng.normal(size=(5, 3))
    # Rows of probabilities may miss a sum of 1 by this much.
    Y = draw_targets(rng, key[1], 5, 3) * (1 + 1e-5)
    per_row_loss, d_scores = ref.LOSSES[key]
    numeric = ref.finite_difference(lambda s: per_row_loss(s.reshape(S.shape), Y).sum(), S.ravel())
    assert relative_error(d_scores(S, Y).ravel(), numeric) < 1e-8


def test_activations_against_scipy():
    Z = np.array([[-1000.0, -30.0, -1.0], [0.0, 1.0, 1000.0]])
    f = {name: pair[0](Z) for name, pair in ref.ACTIVATIONS.items()}
    np.testing.assert_allclose(f["sigmoid"], special.expit(Z), rtol=1e-15)
    np.testing.assert_allclose(f["softmax"], special.softmax(Z, axis=1), rtol=1e-15)
    np.testing.assert_array_equal(f["relu"], [[0, 0, 0], [0, 1, 1000]])
    np.testing.assert_array_equal(f["leaky_relu"], [[-10, -0.3, -0.01], [0, 1, 1000]])


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


def test_log_loss_of_huge_scores():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        per_row_loss, d_scores = ref.LOSSES["log_loss", "sigmoid"]
        S, Y = np.array([[1000.0], [1000.0], [-1000.0], [-1000.0]]), np.array([0.0, 1.0, 0.0, 1.0])
        np.testing.assert_array_equal(per_row_loss(S, Y), [1000, 0, 0, 1000])
        np.testing.assert_array_equal(d_scores(S, Y)[:, 0], [1, 0, 0, -1])
        per_row_loss, d_scores = ref.LOSSES["log_loss", "softmax"]
        S, classes = np.array([[1000.0, 0.0, -1000.0]] * 3), np.array([0, 1, 2])
        np.testing.assert_array_equal(per_row_loss(S, classes), [0, 1000, 2000])
        np.testing.assert_array_equal(d_scores(S, classes), [[0, 0, 0], [1, -1, 0], [1, 0, -1]])
        # Each row has a largest score of its own.
        S = np.array([[1000.0, 1000.0], [-1000.0, -1000.0]])
        np.testing.assert_allclose(per_row_loss(S, np.array([0, 1])), np.log(2), rtol=1e-15)
        np.testing.assert_array_equal(d_scores(S, np.array([0, 1])), [[-0.5, 0.5], [0.5, -0.5]])


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


@pytest.mark.parametrize("loss, output", [("log_loss", "identity"), ("squared_error", "softmax")])
def test_loss_that_does_not_fit_the_output(loss, output):
    weights, biases = draw_net(np.random.default_rng(0), [2, 3])
    with pytest.raises(ValueError, match="does not fit"):
        ref.cost_and_gradient(weights, biases, [output], np.ones((1, 2)), np.ones((1, 3)), loss)


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


def test_penalty_leaves_biases_alone():
    rng = np.random.default_rng(0)
    weights, biases = draw_net(rng, [4, 5, 2])
    net = weights, biases, ["tanh", "identity"], rng.normal(size=(5, 4)), rng.normal(size=(5, 2))
    cost, gradient = ref.cost_and_gradient(*net, "squared_error")
    cost_alpha, gradient_alpha = ref.cost_and_gradient(*net, "squared_error", alpha=0.5)
    squares = sum(np.sum(W**2) for W in weights)
    np.testing.assert_allclose(cost_alpha - cost, 0.5 / (2 * 5) * squares, rtol=1e-13)
    penalty = ref.flatten([0.5 / 5 * W for W in weights], [np.zeros_like(b) for b in biases])
    np.testing.assert_allclose(gradient_alpha - gradient, penalty, rtol=1e-12, atol=1e-15)


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
    sizes, activations = [4, 5, 3], ["leaky_relu", output]
    weights, biases = draw_net(rng, sizes, np.float32)
    X, y = rng.normal(size=(7, 4)).astype("f4"), draw_targets(rng, output, 7, 3).astype("f4")
    cost, gradient = ref.cost_and_gradient(weights, biases, activations, X, y, loss, alpha=0.1)
    assert cost.dtype == gradient.dtype == np.float32
    double = [[a.astype("f8") for a in arrays] for arrays in (weights, biases)]
    exact_cost, exact = ref.cost_and_gradient(*double, activations, X.astype("f8"), y, loss, alpha=0.1)
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
# m = 5/2, v = 19/4, their corrections 3/4 and 7/16.
@pytest.mark.parametrize(
    "optimizer, first, second_change",
    [
        (ref.SGD(), 0, -2),
        (ref.SGD(momentum=0.5), 0, -2.5),
        (ref.SGD(momentum=0.5, nesterov=True), -0.5, -3.25),
        (ref.SGD(momentum=0.5, averaged=True), 0.5, -1.25),
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
