"""Sample and class weights matter by ratio only, for any size and any ratio that float64 represents."""

import warnings

import numpy as np
import pytest
import reference
from networks import oracle, small_examples, small_network
from scipy import sparse
from step_kinds import NETWORKS

import dnn
from dnn import SGD, Adam, LogLoss, Network
from dnn.data import arrays as data
from dnn.training.problem import LEAST_WEIGHT

SCALES = [2.0**120, 1e36, 1e300, 1e-300, 2.0**-1060]


def rows(n, n_inputs, n_outputs, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, n_inputs))
    w = rng.integers(12, 128, n) / 64  # with few digits, so that subnormal numbers represent them too
    y = np.sin(X @ rng.standard_normal((n_inputs, n_outputs)) / n_inputs**0.5)
    return X, y, w


def spread(w, scale):
    """Return scaled weights; the scale is reduced if they would overflow."""
    return w * min(scale, 1.7e308 / w.max())


def squared(y, logits):
    """Return half the squared error, as a custom loss."""
    r = logits - y
    return 0.5 * (r**2).sum(axis=1), r


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_step_kind_depends_on_ratios_of_weights(kind, dtype, scale):
    sizes, n = NETWORKS[kind]
    X, y, w = rows(n, sizes[0], sizes[-1])
    found = []
    for weights in (w, spread(w, scale)):
        net = Network(sizes, activation="tanh", dtype=dtype, random_state=0)
        history = net.fit(
            X, y, sample_weight=weights, optimizer=SGD(0.05), epochs=2, batch_size=max(1, n // 3)
        )
        found.append((net.params.copy(), history.loss))
    rtol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=rtol, atol=rtol)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=rtol)


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", squared], ids=["squared", "absolute", "custom"]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", SCALES)
def test_cost_gradient_and_val_loss_depend_on_ratios_of_weights(loss, dtype, scale):
    X, y, w = rows(60, 4, 2)
    net = Network([4, 6, 2], dtype=dtype, random_state=0)
    huge = spread(w, scale)
    # For weights of extreme size, the penalty is that of weights with mean 1.
    want = net.loss_and_gradient(X, y, loss=loss, sample_weight=w / w.mean(), alpha=0.3, l1=0.1)
    cost, grad = net.loss_and_gradient(X, y, loss=loss, sample_weight=huge, alpha=0.3, l1=0.1)
    rtol = 1e-5 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(cost, want[0], rtol=rtol)
    np.testing.assert_allclose(grad, want[1], rtol=rtol, atol=rtol)
    if loss == "squared_error" and dtype == "float64":
        W, b, activations = oracle(net)
        expected = reference.cost_and_gradient(W, b, activations, X, y, loss, w / w.mean(), 0.3, 0.1)
        np.testing.assert_allclose(cost, expected[0], rtol=1e-11)
        np.testing.assert_allclose(grad, expected[1], rtol=1e-11, atol=1e-13)
    history = net.fit(X, y, loss=loss, X_val=X, y_val=y, sample_weight_val=huge, epochs=1, optimizer=SGD(0.0))
    np.testing.assert_allclose(
        history.val_loss, np.average(net.losses(X, y, loss=loss), weights=w), rtol=1e-12
    )


@pytest.mark.parametrize("alpha", [0.0, 1e-4, 0.01])
@pytest.mark.parametrize("newest_first", [False, True])
def test_weights_that_decay_below_float32(alpha, newest_first):
    """The oldest batches weigh 1e-44 and less; the ratios within a batch still matter."""
    n, batch, epochs = 2000, 100, 3
    X, y, _ = rows(n, 5, 1)
    w = 0.95 ** np.arange(n)[:: 1 if newest_first else -1]
    assert w.min() < 1e-44
    nets = {dtype: Network([5, 16, 1], dtype=dtype, random_state=0) for dtype in ("float32", "float64")}
    W, b, activations = oracle(nets["float64"])
    params, losses, _ = reference.fit(
        W, b, activations, X, y, loss="squared_error", optimizer=reference.Adam(), orders=[None] * epochs,
        batch_size=batch, rates=np.full(epochs * n // batch, 0.01), sample_weight=w, alpha=alpha,
    )  # fmt: skip
    for dtype, rtol in (("float32", 1e-3), ("float64", 1e-9)):
        net = nets[dtype]
        history = net.fit(
            X, y, sample_weight=w, optimizer=Adam(0.01), epochs=epochs, batch_size=batch, shuffle=False,
            alpha=alpha,
        )  # fmt: skip
        np.testing.assert_allclose(history.loss, losses, rtol=rtol)
        np.testing.assert_allclose(net.params, params, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [0.0, 1e-4])
def test_a_time_series_with_decaying_weights(dtype, alpha):
    """The weights are 0.995^age, in order of time, with the default penalty of the estimators."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20000, 5))
    y = np.sin(X[:, 0]) + X[:, 1] / 2 + 0.05 * rng.standard_normal(20000)
    w = 0.995 ** np.arange(20000)[::-1]
    X = X.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # max_iter is reached
        est = dnn.MLPRegressor(hidden_layer_sizes=32, shuffle=False, max_iter=20, alpha=alpha, random_state=0)
        est.fit(X, y, sample_weight=w)
    assert est.score(X, y, sample_weight=w) > (0.97 if alpha else 0.99)


def test_ratios_over_the_range_of_float64():
    X, y, _ = rows(40, 3, 1)
    w = np.geomspace(1e-300, 1e7, 40)
    half = np.repeat([1e-300, 1e7], 20)  # one batch of each weight
    for dtype in ("float32", "float64"):
        net, twin = (Network([3, 8, 1], dtype=dtype, random_state=0) for _ in range(2))
        net.fit(X, y, sample_weight=half, batch_size=20, shuffle=False, epochs=5)
        twin.fit(X, y, batch_size=20, shuffle=False, epochs=5)
        np.testing.assert_allclose(net.params, twin.params, rtol=1e-5, atol=1e-6)
        cost, _ = net.loss_and_gradient(X, y, sample_weight=w)
        np.testing.assert_allclose(cost, np.average(net.losses(X, y), weights=w), rtol=1e-6)


def test_a_batch_of_zero_weights_is_skipped():
    X, y, w = rows(40, 3, 1)
    w[:20] = 0
    for scale in (1.0, 1e-310, 1e300):
        net = Network([3, 8, 1], random_state=0)
        state = net.optimizer("sgd")
        history = net.fit(
            X, y, sample_weight=spread(w, scale), batch_size=20, shuffle=False, epochs=1, optimizer=state,
            record="step",
        )  # fmt: skip
        assert state.n_steps == 1 and history.step_loss[0] == 0 < history.step_loss[1]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_depend_on_ratios_of_weights(solver, dtype, kind, scale):
    X, y, w = rows(120, 4, 1)
    y, labels = y[:, 0], (y[:, 0] > 0).astype(int)
    X, found = kind(X.astype(dtype)), []
    options = {"solver": solver, "max_iter": 8, "random_state": 0, "alpha": 0.0, "tol": 0.0}
    for weights, of_classes in ((w, {0: 1, 1: 3}), (spread(w, scale), {0: 1 / scale, 1: 3 / scale})):
        if not np.isfinite(list(of_classes.values())).all():
            of_classes = {0: 1e300, 1: 3e300}
        reg = dnn.MLPRegressor(hidden_layer_sizes=8, early_stopping=True, **options)
        reg.fit(X, y, sample_weight=weights)
        clf = dnn.MLPClassifier(8, class_weight=of_classes, **options).fit(X, labels, sample_weight=weights)
        figures = [*reg.loss_curve_, reg.loss_, reg.score(X, y, sample_weight=weights), clf.loss_]
        figures += [clf.score(X, labels, sample_weight=weights), *np.ravel(clf.coefs_[0])]
        if solver == "adam":
            figures += [reg.best_validation_score_]
            clf = dnn.MLPClassifier(8, class_weight=of_classes, random_state=0, alpha=0.0)
            for _ in range(3):
                clf.partial_fit(X, labels, sample_weight=weights, classes=[0, 1])
            figures += clf.loss_curve_
        found.append(figures)
    rtol = 1e-4 if dtype == "float32" or solver == "lbfgs" else 1e-9
    np.testing.assert_allclose(found[1], found[0], rtol=rtol, atol=rtol)


def test_ordinary_weights_are_not_rescaled():
    w = np.array([0.0, 1e-3, 5.0, 2.0**300])
    assert data.product_of_weights(w) is w
    assert data.product_of_weights(w[:3], w[:3]).tolist() == (w[:3] * w[:3]).tolist()
    # scikit-learn's penalty depends on the size of the weights, and so does dnn's for ordinary sizes.
    assert data.penalty_unit(np.full(3, 1e-5)) == data.penalty_unit(np.full(3, 1e5)) == 1
    assert data.penalty_unit(np.full(4, 1e-9)) == 1e-9 and data.penalty_unit(None) == 1
    # Scaling by a power of two changes no ratio, also for subnormal numbers.
    w = np.array([0.0, 3.0, 7.0, 1.0]) * 2.0**-1070
    found = data.product_of_weights(w)
    assert (found / found[3]).tolist() == [0.0, 3.0, 7.0, 1.0] and found.max() > 1e100
    # The product of two weights preserves the ratios of both.
    found = data.product_of_weights(np.array([1e-150, 2e-150]), np.array([1e-170, 1e-170]))
    np.testing.assert_allclose(found[1] / found[0], 2)
    found = data.product_of_weights(np.array([1e200, 1e200]), np.array([1e200, 3e100]))
    np.testing.assert_allclose(found[0] / found[1], 1e100 / 3)


def test_weights_of_one_give_the_same_bits_as_no_weights():
    for output, loss in (("identity", "squared_error"), ("softmax", LogLoss(0.1)), ("sigmoid", "log_loss")):
        X, y, _ = rows(50, 4, 3)
        y = np.abs(y) / np.abs(y).sum(axis=1, keepdims=True)
        nets = [Network([4, 6, 3], output=output, random_state=0) for _ in range(2)]
        for net, weights in zip(nets, (None, np.ones(50)), strict=True):
            net.fit(X, y, loss=loss, sample_weight=weights, epochs=3, batch_size=13, shuffle=False)
        np.testing.assert_array_equal(nets[0].params, nets[1].params)


def test_the_penalty_of_a_batch_of_tiny_weights_is_bounded():
    """alpha / (sum of weights) is limited by the sum that a hundredth of an average batch has."""
    X, y, _ = rows(40, 3, 1)
    w = np.repeat([1e-9, 1.0], 20)
    net = Network([3, 1], dtype="float64", random_state=0)
    before = net.params.copy()
    history = net.fit(
        X, y, sample_weight=w, batch_size=20, shuffle=False, epochs=1, alpha=0.5, optimizer=SGD(0.0),
        record="step",
    )  # fmt: skip
    W = before[:3]
    penalties = 0.25 * (W @ W) / np.array([0.01 * w.mean() * 20, 20.0])
    losses = net.losses(X, y).reshape(2, 20).mean(axis=1)
    np.testing.assert_allclose(history.step_loss, losses + penalties, rtol=1e-9)
    assert LEAST_WEIGHT == 0.01


def test_errors_of_weights_that_are_all_zero():
    X, y, _ = rows(60, 3, 1)
    y, labels = y[:, 0], np.repeat([0, 1], 30)
    first, none = np.r_[1.0, np.zeros(59)], np.zeros(60)
    fits = [
        (lambda: dnn.MLPRegressor(early_stopping=True, random_state=0).fit(X, y, sample_weight=first),
         "sample_weight must leave a row with a weight above 0 in the 6 rows that validation_fraction=0.1"),
        (lambda: dnn.MLPClassifier(early_stopping=True, random_state=0, class_weight={0: 0.0, 1: 1.0}).fit(
            X, np.r_[np.zeros(57), np.ones(3)].astype(int)),
         "class_weight must leave a row with a weight above 0 in the 6 rows that validation_fraction=0.1"),
        (lambda: dnn.MLPRegressor().fit(X, y, X_val=X, y_val=y, sample_weight_val=none),
         "sample_weight_val must not be 0 in every row"),
        (lambda: dnn.MLPClassifier(class_weight={0: 0}).fit(X, labels, X_val=X[:9], y_val=labels[:9]),
         "class_weight must leave a row with a weight above 0 in X_val and y_val"),
        (lambda: dnn.MLPClassifier(class_weight={0: 0.0}).fit(X, labels, sample_weight=1.0 - labels),
         "sample_weight times class_weight must leave a row with a weight above 0 in X,"),
        (lambda: Network([3, 1], output="sigmoid").fit(
            X, labels, class_weight={0: 0.0}, sample_weight=1.0 - labels),
         "sample_weight times class_weight must leave a row with a weight above 0 in X,"),
        (lambda: Network([3, 1], output="sigmoid").fit(X, labels, class_weight={0: 0.0, 1: 0.0}),
         "class_weight must leave a row with a weight above 0 in X,"),
        (lambda: Network([3, 1]).fit(X, y, X_val=X, y_val=y, sample_weight_val=none),
         "sample_weight_val must not be 0 in every row"),
    ]  # fmt: skip
    for fit, message in fits:
        with pytest.raises(ValueError, match=message):
            fit()
    # All weights above 0 are in the validation set
    aside = None
    for row in range(60):
        w = np.zeros(60)
        w[row] = 1.0
        with pytest.raises(ValueError, match=r"validation_fraction=0\.1") as caught:
            dnn.MLPRegressor(early_stopping=True, random_state=0).fit(X, y, sample_weight=w)
        aside = str(caught.value) if "leaves to train on" in str(caught.value) else aside
    assert "leaves to train on, got none" in aside


def test_class_weights_are_weights_of_the_rows():
    X, y = small_examples()
    a, b, c = small_network(), small_network(), small_network()
    a.fit(X, y, class_weight={0: 3.0, 2: 0.5}, epochs=3, shuffle=False)
    b.fit(X, y, sample_weight=np.array([3.0, 1, 0.5])[y], epochs=3, shuffle=False)
    np.testing.assert_array_equal(a.params, b.params)
    c.fit(X, y, class_weight="balanced", epochs=3, shuffle=False)
    b = small_network()
    b.fit(X, y, sample_weight=(60 / 3 / np.bincount(y))[y], epochs=3, shuffle=False)
    np.testing.assert_allclose(c.params, b.params, rtol=1e-12)
    for weights, message in (
        ({3: 1.0}, "classes 0 .. 2, got 3"),
        ({0: -1.0}, "class_weight of 0 must be finite and at least 0"),
        ({0: 0, 1: 0, 2: 0}, "leave a row"),
    ):
        with pytest.raises(ValueError, match=message):
            small_network().fit(X, y, class_weight=weights)
    with pytest.raises(ValueError, match="class numbers"):
        Network([7, 1]).fit(X, y + 0.5, class_weight="balanced")
