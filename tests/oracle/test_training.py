"""The optimizers and the training of the oracle agree with hand-computed steps and scikit-learn."""

import numpy as np
import pytest
import reference as ref
from oracle_draws import draw_net
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer


# The first two steps from p = 1 with gradients 2 and 4 and rate 1/2. Adam: m = 1, v = 1 with corrections 1/2
# and 1/4; then m = 5/2, v = 19/4 with corrections 3/4 and 7/16. RMSProp has the v of Adam.
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
    "oracle, sklearn_optimizer, rate_name",
    [
        (lambda: ref.SGD(0.9), lambda p: SGDOptimizer([p], nesterov=False), "learning_rate"),
        (lambda: ref.SGD(0.9, nesterov=True), lambda p: SGDOptimizer([p]), "learning_rate"),
        # The epsilon is so large that its place matters.
        (
            lambda: ref.Adam(epsilon=0.1, epsilon_form="uncorrected"),
            lambda p: AdamOptimizer([p], epsilon=0.1),
            "learning_rate_init",
        ),
    ],
    ids=["momentum", "nesterov", "adam"],
)
def test_optimizers_against_scikit_learn(oracle, sklearn_optimizer, rate_name):
    rng = np.random.default_rng(0)
    p = rng.normal(size=20)
    expected = p.copy()
    oracle, sklearn_optimizer = oracle(), sklearn_optimizer(expected)
    for rate in (0.1, 0.1, 0.05, 0.3, 0.01, 0.01):
        g = rng.normal(size=20)
        p = oracle.step(p, g, rate)
        setattr(sklearn_optimizer, rate_name, rate)
        sklearn_optimizer.update_params([expected], [g])
        np.testing.assert_allclose(p, expected, rtol=1e-12)


class KeepsStart:
    """Stores the initial parameters that scikit-learn draws as start_."""

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
        # There is no penalty, because scikit-learn does not divide it by the number of outputs.
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
    # This equals one epoch over the rows in their order of visits, because batches of 4 divide the rows.
    visited = np.concatenate(orders)
    how = dict(batch_size=4, rates=[0.1] * 6)
    params, _, costs = fit_small(X, y, orders=orders, sample_weight=w, **how)
    laid_out = fit_small(X[visited], y[visited], orders=[None], sample_weight=w[visited], **how)
    np.testing.assert_allclose(params, laid_out[0], rtol=1e-12)
    np.testing.assert_allclose(costs, laid_out[2], rtol=1e-12)


def test_fit_takes_one_rate_per_step():
    X, y = draw_rows(8)
    rates = [0.1, 0.0, 0.2] * 3
    params, _, costs = fit_small(X, y, optimizer=ref.SGD(), rates=rates)
    # A step with rate 0 changes nothing, as if its batch did not exist.
    w = np.array([1.0, 1, 1, 0, 0, 0, 1, 1])
    skipping, _, skipping_costs = fit_small(X, y, optimizer=ref.SGD(), rates=rates, sample_weight=w)
    np.testing.assert_allclose(params, skipping, rtol=1e-12)
    np.testing.assert_allclose(np.delete(costs, [1, 4, 7]), np.delete(skipping_costs, [1, 4, 7]), rtol=1e-12)
    np.testing.assert_array_equal(skipping_costs[[1, 4, 7]], 0)


def test_a_skipped_batch_is_no_step_of_the_optimizer():
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
    """Return the initial parameters of fit_small, and their gradient."""
    weights, biases = draw_net(np.random.default_rng(1), [4, 5, 2])
    gradient = ref.cost_and_gradient(weights, biases, NET, X, y, "squared_error", **kwargs)[1]
    return ref.flatten(weights, biases), gradient


IS_WEIGHT = np.repeat([True, False, True, False], [4 * 5, 5, 5 * 2, 2])


def test_a_gradient_of_large_norm_is_clipped():
    X, y = draw_rows(8)
    start, gradient = start_and_gradient(X, y, **PENALTIES)
    norm = np.sqrt((gradient**2).sum())
    how = dict(optimizer=ref.SGD(), orders=[None], **FULL, **PENALTIES)
    for clip_norm, length in ((norm / 3, norm / 3), (2 * norm, norm), (None, norm)):
        params, _, _ = fit_small(X, y, clip_norm=clip_norm, **how)
        np.testing.assert_allclose(params, start - 0.1 * gradient * length / norm, rtol=1e-12)


def test_weight_decay_is_decoupled_from_the_step():
    X, y = draw_rows(8)
    start, gradient = start_and_gradient(X, y)
    # The gradient is computed before the decay, which this optimizer does not see.
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
    # The other layers are trained as before, and only their gradients count for the norm.
    expected = start * np.where(IS_WEIGHT, 1 - 0.1 * 0.5, 1) - 0.1 * gradient / 2
    np.testing.assert_allclose(params, np.where(moves, expected, start), rtol=1e-12)
    params, _, _ = fit_small(X, y, optimizer=ref.Adam(), **how)
    np.testing.assert_array_equal(params[~moves], start[~moves])
    assert (params[moves] != start[moves]).all()


def test_mean_of_the_parameters():
    X, y = draw_rows(8)
    w = np.append(np.ones(5), [0, 0, 0])
    start, _ = start_and_gradient(X, y)
    # The second batch of 5 rows has weights of 0 and is skipped.
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
