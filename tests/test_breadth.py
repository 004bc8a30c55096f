"""The breadth: dropout, class weights, losses of one's own, L-BFGS, frozen layers, copies, memory maps."""

import pickle
import threading
import time

import numpy as np
import pytest
from scipy import optimize
from test_network import examples

import dnn
from dnn import LBFGS, SGD, Adam, Network, RMSprop
from dnn.training import diagnosis

SIZES = [7, 19, 11, 3]


def small(dtype="float64", seed=0, **options):
    return Network(SIZES, activation="tanh", output="softmax", dtype=dtype, random_state=seed, **options)


def problem(n=60, dtype="float64"):
    return examples(n, SIZES, "log_loss", "softmax", dtype)


# Dropout


def test_dropout_is_for_training_only():
    X, _ = problem()
    net, plain = small(dropout=0.5), small()
    np.testing.assert_array_equal(net(X), plain(X))
    np.testing.assert_array_equal(net.forward(X)[0], plain.forward(X)[0])
    assert (net.forward(X, training=True)[0] != plain(X)).any()
    y = np.zeros(60, int)
    assert net.losses(X, y).tobytes() == plain.losses(X, y).tobytes()
    np.testing.assert_array_equal(net.loss_and_gradient(X, y)[1], plain.loss_and_gradient(X, y)[1])


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_share_and_scale_of_dropout(isa, activation):
    net = Network([40, 300, 2], activation=activation, dropout=[0.25, 0.6], random_state=0)
    X = np.ones((500, 40), np.float32)
    _, cache = net.forward(X, training=True, seed=3)
    A = cache.A[0]
    kept = A != 0
    hidden = net.forward(X * 0, training=True)[1]  # relu(0) is 0 either way: look at another
    assert hidden.A[0].shape == A.shape
    if activation == "tanh":
        assert abs(kept.mean() - 0.4) < 4 * np.sqrt(0.24 / kept.size)
        # what is kept is divided by 1 - rate: the mean stays
        assert np.abs(A).max() <= 1 / 0.4 + 1e-6


def test_masks_depend_on_seed_step_layer_row_and_unit_alone(isa):
    X = np.ones((300, 7))
    net = small(dropout=[0.5, 0.5, 0.5])
    A = [a.copy() for a in net.forward(X, training=True, seed=1)[1].A]
    again = net.forward(X, training=True, seed=1)[1].A
    other = net.forward(X, training=True, seed=2)[1].A
    assert all((a == b).all() for a, b in zip(A, again, strict=True))
    assert (A[0] != other[0]).any()
    for begin in (1, 64, 299):  # rows keep their masks however many come with them
        part = net.forward(X[:begin], training=True, seed=1)[1].A
        assert ((part[0] != 0) == (A[0][:begin] != 0)).all()
    wide = small("float32", dropout=[0.5, 0.5, 0.5]).forward(X, training=True, seed=1)[1].A
    assert ((wide[0] != 0) == (A[0] != 0)).all()


def test_gradients_through_dropout():
    X, _ = problem(20)
    net = small(dropout=[0.2, 0.5, 0.3])
    d_out = np.random.default_rng(0).normal(size=(20, 3))

    def value(params):
        net.params[:] = params
        return float((net.forward(X, training=True, seed=5)[0] * d_out).sum())

    start = net.params.copy()
    grad, dX = net.backward(net.forward(X, training=True, seed=5)[1], d_out)
    direction = np.random.default_rng(1).normal(size=start.size)
    found = (value(start + 1e-6 * direction) - value(start - 1e-6 * direction)) / 2e-6
    assert abs(found - grad @ direction) < 1e-6 * abs(found)
    net.params[:] = start
    moved = np.random.default_rng(2).normal(size=X.shape)
    ends = [
        float((net.forward(X + s * moved, training=True, seed=5)[0] * d_out).sum()) for s in (1e-6, -1e-6)
    ]
    assert abs((ends[0] - ends[1]) / 2e-6 - (dX * moved).sum()) < 1e-6


@pytest.mark.parametrize("batch_size", [None, 16])
def test_dropout_in_pieces_is_dropout_in_one(batch_size):
    X, y = problem()
    whole, pieces = (small("float32", dropout=0.3) for _ in range(2))
    losses = whole.fit(X, y, epochs=5, batch_size=batch_size, shuffle=False).loss
    state, found = pieces.optimizer(Adam(1e-3)), []
    for epochs in (2, 3):
        found += pieces.fit(X, y, optimizer=state, epochs=epochs, batch_size=batch_size, shuffle=False).loss
    assert pieces.params.tobytes() == whole.params.tobytes() and found == losses


def test_bad_dropout():
    X, _ = problem()
    for call, message in (
        (lambda: small(dropout=1.0), "dropout must be finite and at least 0 and below 1, got 1.0"),
        (lambda: small(dropout=[0.1, 0.2]), "one rate, or 3, for the inputs and for 2 hidden"),
        (lambda: Network(3, [dnn.Dense(2), dnn.Dropout(0.5)]), "Dropout must be followed by a Dense"),
        (lambda: small().forward(X, masks=[None] * 3), "masks must come with training=True"),
        (lambda: small(dropout=0.5).forward(X, training=True, masks=[None] * 3), r"masks\[1\] must be given"),
        (
            lambda: small(dropout=0.5).forward(
                X, training=True, masks=[None, np.ones((60, 5)), np.ones((60, 11))]
            ),
            r"masks\[1\] must have shape \(60, 19\), got \(60, 5\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# Weights, losses


def test_class_weights_are_weights_of_the_rows():
    X, y = problem()
    a, b, c = small(), small(), small()
    a.fit(X, y, class_weight={0: 3.0, 2: 0.5}, epochs=3, shuffle=False)
    b.fit(X, y, sample_weight=np.array([3.0, 1, 0.5])[y], epochs=3, shuffle=False)
    np.testing.assert_array_equal(a.params, b.params)
    c.fit(X, y, class_weight="balanced", epochs=3, shuffle=False)
    b = small()
    b.fit(X, y, sample_weight=(60 / 3 / np.bincount(y))[y], epochs=3, shuffle=False)
    np.testing.assert_allclose(c.params, b.params, rtol=1e-12)
    for weights, message in (
        ({3: 1.0}, "classes 0 .. 2, got 3"),
        ({0: -1.0}, "class_weight of 0 must be finite and at least 0"),
        ({0: 0, 1: 0, 2: 0}, "leave a row"),
    ):
        with pytest.raises(ValueError, match=message):
            small().fit(X, y, class_weight=weights)
    with pytest.raises(ValueError, match="class numbers"):
        Network([7, 1]).fit(X, y + 0.5, class_weight="balanced")


def half_square(y, logits):
    residual = logits - y
    return (residual**2).sum(axis=1) / 2, residual


@pytest.mark.parametrize("options", [{}, {"alpha": 0.2, "l1": 0.1}, {"clip_norm": 0.1}, {"batch_size": None}])
def test_a_loss_in_python_is_as_good_as_one_of_the_table(options):
    X, y = examples(50, [7, 2], "squared_error", "identity")
    w = np.linspace(0.1, 2, 50)
    a, b = (Network([7, 9, 2], dtype="float64", dropout=0.2, random_state=0) for _ in range(2))
    options = {"batch_size": 16, "sample_weight": w, "epochs": 4, "X_val": X, "y_val": y, **options}
    one = a.fit(X, y, **options)
    two = b.fit(X, y, loss=half_square, **options)
    np.testing.assert_allclose(a.params, b.params, rtol=0, atol=1e-13)
    np.testing.assert_allclose(one.loss, two.loss, rtol=1e-12)
    np.testing.assert_allclose(one.val_loss, two.val_loss, rtol=1e-12)
    assert two.loss_name == "half_square"
    np.testing.assert_allclose(a.losses(X, y), b.losses(X, y, loss=half_square), rtol=1e-9)
    np.testing.assert_allclose(
        b.loss_and_gradient(X, y, loss=half_square)[1], b.loss_and_gradient(X, y)[1], atol=1e-14
    )
    assert dnn.check_gradient(b, X, y, loss=half_square) < 1e-8


def test_a_loss_in_python_may_fail():
    X, y = examples(50, [7, 2], "squared_error", "identity")
    net = Network([7, 2], random_state=0)
    before = net.params.copy()

    def broken(y, logits):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        net.fit(X, y, loss=broken)
    for wrong, kind, message in (
        (lambda y, s: s, TypeError, r"loss must return \(losses, d_logits\)"),
        (lambda y, s: (s, s), ValueError, r"loss must return losses \(50,\) and d_logits \(50, 2\)"),
    ):
        with pytest.raises(kind, match=message):
            net.fit(X, y, loss=wrong)
    np.testing.assert_array_equal(net.params, before)


def test_one_target_for_several_quantiles():
    X, y = examples(40, [3, 1], "squared_error", "identity")
    levels = dnn.Quantile((0.1, 0.5, 0.9))
    net = Network([3, 3], dtype="float64", random_state=0)
    one = net.losses(X, y, loss=levels)
    np.testing.assert_array_equal(one, net.losses(X, np.repeat(y, 3, axis=1), loss=levels))
    np.testing.assert_array_equal(one, net.losses(X, y.ravel(), loss=levels))
    # putting crossed outputs in order never raises the loss
    rng = np.random.default_rng(0)
    S = rng.normal(size=(40, 3))
    tau = np.array([0.1, 0.5, 0.9])

    def pinball(S):
        return np.maximum(tau * (y - S), (tau - 1) * (y - S)).sum(axis=1)

    assert (pinball(np.sort(S, axis=1)) <= pinball(S) + 1e-12).all()
    with pytest.raises(ValueError, match="1 level, or 3 for 3 outputs, got 2"):
        net.losses(X, y, loss=dnn.Quantile((0.1, 0.9)))
    with pytest.raises(ValueError, match="levels must increase"):
        dnn.Quantile((0.9, 0.1))


def test_poisson_wants_counts():
    net = Network([3, 1], output="exp", random_state=0)
    with pytest.raises(ValueError, match="y must be at least 0 for poisson, got -1"):
        net.fit(np.zeros((2, 3)), [1, -1])
    assert net.fit(np.zeros((2, 3)), [1, 2], epochs=1).loss_name == "poisson"


# L-BFGS


def test_lbfgs_finds_what_scipy_finds():
    X, y = problem()
    net = small()
    history = net.fit(X, y, optimizer=LBFGS(), alpha=1.0, epochs=200)
    twin = small()

    def cost(params):
        twin.params[:] = params
        return twin.loss_and_gradient(X, y, alpha=1.0)

    found = optimize.minimize(
        cost, small().params.copy(), jac=True, method="L-BFGS-B",
        options={"maxiter": 200, "maxcor": 10, "gtol": 1e-5, "ftol": 1e-12, "maxfun": 20000, "maxls": 50},
    )  # fmt: skip
    np.testing.assert_allclose(net.params, found.x, atol=1e-12)
    assert history.stopped_by in ("converged", "epochs") and history.loss == sorted(
        history.loss, reverse=True
    )


def test_lbfgs_by_name_in_float32_frozen_and_watched():
    X, y = problem()
    net = small("float32")
    net.freeze(0)
    before = net.weights[0].copy()
    seen = []
    history = net.fit(
        X, y, optimizer="lbfgs", epochs=30, X_val=X, y_val=y,
        callbacks=[lambda event: seen.append(event.epoch) or (event.epoch == 5 and event.stop())],
    )  # fmt: skip
    assert seen == list(range(6)) and history.stopped_by == "callback" and len(history.val_loss) == 6
    np.testing.assert_array_equal(net.weights[0], before)
    assert history.loss[-1] < history.loss[0]
    for options in ({"clip_norm": 1.0}, {"ema": 0.9}, {"order": np.arange}):
        with pytest.raises(ValueError, match="must not be given with L-BFGS"):
            net.fit(X, y, optimizer="lbfgs", **options)
    with pytest.raises(ValueError, match="dropout must have an optimizer that takes steps"):
        small(dropout=0.1).fit(X, y, optimizer="lbfgs")
    with pytest.raises(ValueError, match="takes steps, got LBFGS"):
        net.optimizer("lbfgs")


# Frozen layers, clipping, averages, time


def test_frozen_layers_stay():
    X, y = problem()
    for options in ({}, {"clip_norm": 0.1}, {"optimizer": RMSprop(1e-2)}, {"optimizer": "adamw"}):
        net = small()
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


def test_a_clipped_step_has_that_length():
    X, y = problem()
    net = small()
    before = net.params.copy()
    net.fit(X, y, optimizer=SGD(1.0), epochs=1, batch_size=None, clip_norm=1e-3)
    assert abs(np.linalg.norm(net.params - before) - 1e-3) < 1e-12


def test_weight_decay_is_never_on_biases():
    net = small()
    net.biases[0][:] = 1
    weights, biases = [W.copy() for W in net.weights], [b.copy() for b in net.biases]
    net.optimizer(dnn.AdamW(0.1, weight_decay=0.5)).step(np.zeros(net.n_params))
    for W, before in zip(net.weights, weights, strict=True):
        np.testing.assert_allclose(W, 0.95 * before, rtol=1e-15)
    for b, before in zip(net.biases, biases, strict=True):
        np.testing.assert_array_equal(b, before)


def test_averaged_weights_are_what_is_looked_at():
    X, y = problem()
    net, seen = small(), []
    history = net.fit(
        X, y, ema=0.9, epochs=6, optimizer=Adam(0.05), X_val=X, y_val=y, batch_size=16,
        callbacks=[lambda event: seen.append(event.net.params.copy())],
    )  # fmt: skip
    assert history.best_epoch == 5
    assert (net.params != seen[-1]).any()  # the average, not the last
    np.testing.assert_allclose(net.losses(X, y).mean(), history.val_loss[-1], rtol=1e-12)


def test_max_seconds_and_records():
    X, y = problem()
    net = small()
    began = time.perf_counter()
    history = net.fit(X, y, epochs=10**9, max_seconds=0.2)
    assert history.stopped_by == "max_seconds" and time.perf_counter() - began < 5
    history = net.fit(X, y, epochs=3, batch_size=16, record="step")
    assert len(history.step_loss) == 12 and len(history.loss) == 3
    shares = np.array([16, 16, 16, 12]) / 60
    np.testing.assert_allclose(np.reshape(history.step_loss, (3, 4)) @ shares, history.loss, rtol=1e-12)
    with pytest.raises(ValueError, match="did you mean 'step'"):
        net.fit(X, y, record="steps")


# Copies


def test_copies_and_pickles_are_the_same_network():
    X, y = problem()
    net = small(dropout=0.2)
    net.freeze(1)
    net.fit(X, y, epochs=2)
    for twin in (net.copy(), pickle.loads(pickle.dumps(net))):
        assert twin.params.tobytes() == net.params.tobytes() and not np.shares_memory(twin.params, net.params)
        assert twin.frozen == net.frozen and twin.dropout == net.dropout and twin.layers == net.layers
        original = net.copy()
        original.fit(X, y, epochs=2, batch_size=16)
        twin.fit(X, y, epochs=2, batch_size=16)  # its random numbers go on alike
        assert twin.params.tobytes() == original.params.tobytes()


def test_a_predictor_is_a_snapshot():
    X, y = problem()
    net = small()
    predict, before = net.predictor(), net(X)
    net.fit(X, y, epochs=2)
    np.testing.assert_array_equal(predict(X), before)
    assert predict(X[0]).shape == (3,)
    out = np.empty((60, 3))
    assert predict(X, out=out) is out


def test_two_networks_train_at_once():
    X, y = problem(5000, "float32")

    def work(net):
        net.fit(X, y, epochs=3, batch_size=16)

    alone = small("float32", dropout=0.1)
    work(alone)
    nets = [small("float32", dropout=0.1) for _ in range(2)]
    threads = [threading.Thread(target=work, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {net.params.tobytes() for net in nets} == {alone.params.tobytes()}


# Training explains itself


def test_divergence_says_what_can_be_measured():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    X[:, 3] *= 4e5
    y = rng.normal(size=200)
    with pytest.raises(dnn.DivergedError, match=r"inputs unscaled: column 3 has a spread of [34]\.?\d*e\+05"):
        Network([5, 8, 1], random_state=0).fit(X, y, optimizer=SGD(0.1), epochs=50)
    X[:, 3] /= 4e5
    with pytest.raises(dnn.DivergedError, match=r"rate too high: the loss rose \d+ steps in a row"):
        Network([5, 8, 1], random_state=0).fit(X, y, optimizer=SGD(30.0), epochs=500, batch_size=None)


def test_no_progress_says_what_can_be_measured():
    X, _ = problem(100)
    net = Network([7, 64, 64, 3], output="softmax", random_state=0)
    net.biases[1][:] = -100  # no row wakes these units
    with pytest.warns(dnn.NoProgressWarning, match=r"64 of 64 units dead in layer 2"):
        net.fit(X, np.zeros(100, int) + np.arange(100) % 3, optimizer=SGD(1e-9), epochs=100)
    targets = np.random.default_rng(0).normal(size=100) * 1e4
    with pytest.warns(dnn.NoProgressWarning, match=r"targets unscaled: a spread of 9\.6e\+03"):
        Network([7, 4, 1], random_state=0).fit(X, targets, optimizer=SGD(1e-12), epochs=100)
    assert not diagnosis.no_progress([3, 2, 1, 0.5, 0.4], 1000)
    assert not diagnosis.no_progress([1.0] * 9, 99) and diagnosis.no_progress([1.0] * 9, 100)


# Data larger than is comfortable


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


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "elu"])
@pytest.mark.parametrize("batch_size", [None, 60])
def test_a_step_with_dropout_is_forward_backward_and_step(activation, batch_size):
    """The masks of the first step of a fit are those of its seed: `fit` and a loop are one thing."""
    X, y = problem()
    nets = [Network(SIZES, activation=activation, output="softmax", dropout=[0.1, 0.4, 0.3], dtype="float64",
                    random_state=0) for _ in range(2)]  # fmt: skip
    state = nets[0].optimizer(SGD(0.1))
    nets[0].fit(X, y, optimizer=state, epochs=1, batch_size=batch_size, shuffle=False)
    P, cache = nets[1].forward(X, training=True, seed=state.seed, logits=True)
    P = np.exp(P - P.max(axis=1, keepdims=True))
    d_logits = (P / P.sum(axis=1, keepdims=True) - np.eye(3)[y]) / len(X)
    nets[1].optimizer(SGD(0.1)).step(nets[1].backward(cache, d_logits, wrt="params")[0])
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=0, atol=1e-14)
