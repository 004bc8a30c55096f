"""Dropout: masks, their gradients, and training with them, where each step draws the masks of the oracle."""

import numpy as np
import pytest
import reference
from networks import SMALL_SIZES, small_examples, small_network

import dnn
from dnn import SGD, Adam, Network

# Networks whose steps have one barrier, and whose steps have tiles.
SIZES = {"small": [6, 20, 10, 3], "tiles": [30, 500, 40, 3]}
RATES = (0.2, 0.5, 0.3)


@pytest.mark.parametrize("more", [{}, {"clip_norm": 0.1}, {"loss": "custom"}], ids=["", "clipped", "custom"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_steps_draw_the_masks_of_the_oracle(sizes, more, isa):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, sizes[0])), rng.standard_normal((50, sizes[-1]))
    net = Network(sizes, activation="tanh", dropout=RATES, dtype="float64", random_state=0)
    state = net.optimizer(SGD(0.1))
    expected = net.params.copy()
    if "loss" in more:
        more = {"loss": lambda y, z: (((z - y) ** 2).sum(axis=1) / 2, z - y)}
    activations = ["tanh", "tanh", "identity"]
    step = 0
    for epochs in (2, 1):  # the second fit continues with the state of the first
        net.fit(X, Y, optimizer=state, epochs=epochs, batch_size=20, shuffle=False, **more)
        for _ in range(epochs):
            for begin in (0, 20, 40):
                rows = slice(begin, begin + 20)
                masks = reference.draw_masks(RATES, sizes[:-1], len(X[rows]), state.seed, step)
                weights, biases = reference.unflatten(expected, sizes)
                _, grad = reference.cost_and_gradient(
                    weights, biases, activations, X[rows], Y[rows], "squared_error", masks=masks
                )
                norm = np.linalg.norm(grad)
                if norm > more.get("clip_norm", np.inf):
                    grad *= more["clip_norm"] / norm
                expected -= 0.1 * grad
                step += 1
        assert state.n_steps == step
        np.testing.assert_allclose(net.params, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.filterwarnings("ignore:max_iter")
def test_sparse_and_dense_inputs_get_the_same_masks():
    sparse = pytest.importorskip("scipy.sparse")
    X = sparse.random(60, 40, 0.2, format="csr", random_state=0)
    y = np.random.default_rng(0).standard_normal(60)
    ask = {"hidden_layer_sizes": (8,), "max_iter": 2, "batch_size": 20, "random_state": 0}
    nets = [dnn.MLPRegressor(**ask, dropout=[0.3, 0.3]).fit(table, y) for table in (X, X.toarray())]
    for W, V in zip(*(net.coefs_ for net in nets), strict=True):
        np.testing.assert_allclose(W, V, rtol=1e-7, atol=1e-9)


def test_dropout_is_for_training_only():
    X, _ = small_examples()
    net, plain = small_network(dropout=0.5), small_network()
    np.testing.assert_array_equal(net(X), plain(X))
    np.testing.assert_array_equal(net.forward(X)[0], plain.forward(X)[0])
    assert (net.forward(X, training=True)[0] != plain(X)).any()
    y = np.zeros(60, int)
    assert net.losses(X, y).tobytes() == plain.losses(X, y).tobytes()
    np.testing.assert_array_equal(net.loss_and_gradient(X, y)[1], plain.loss_and_gradient(X, y)[1])


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_dropout_keeps_the_stated_share_and_rescales(isa, activation):
    net = Network([40, 300, 2], activation=activation, dropout=[0.25, 0.6], random_state=0)
    X = np.ones((500, 40), np.float32)
    _, cache = net.forward(X, training=True, seed=3)
    A = cache.A[0]
    kept = A != 0
    hidden = net.forward(X * 0, training=True)[1]
    assert hidden.A[0].shape == A.shape
    if activation == "tanh":
        assert abs(kept.mean() - 0.4) < 4 * np.sqrt(0.24 / kept.size)
        # kept units are divided by 1 - rate, which preserves the mean
        assert np.abs(A).max() <= 1 / 0.4 + 1e-6


def test_masks_depend_on_seed_step_layer_row_and_unit_alone(isa):
    X = np.ones((300, 7))
    net = small_network(dropout=[0.5, 0.5, 0.5])
    A = [a.copy() for a in net.forward(X, training=True, seed=1)[1].A]
    again = net.forward(X, training=True, seed=1)[1].A
    other = net.forward(X, training=True, seed=2)[1].A
    assert all((a == b).all() for a, b in zip(A, again, strict=True))
    assert (A[0] != other[0]).any()
    for begin in (1, 64, 299):  # the mask of a row does not depend on the number of rows
        part = net.forward(X[:begin], training=True, seed=1)[1].A
        assert ((part[0] != 0) == (A[0][:begin] != 0)).all()
    wide = small_network("float32", dropout=[0.5, 0.5, 0.5]).forward(X, training=True, seed=1)[1].A
    assert ((wide[0] != 0) == (A[0] != 0)).all()


def test_gradients_through_dropout():
    X, _ = small_examples(20)
    net = small_network(dropout=[0.2, 0.5, 0.3])
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
def test_two_fits_with_dropout_equal_one_long_fit(batch_size):
    X, y = small_examples()
    whole, pieces = (small_network("float32", dropout=0.3) for _ in range(2))
    losses = whole.fit(X, y, epochs=5, batch_size=batch_size, shuffle=False).loss
    state, found = pieces.optimizer(Adam(1e-3)), []
    for epochs in (2, 3):
        found += pieces.fit(X, y, optimizer=state, epochs=epochs, batch_size=batch_size, shuffle=False).loss
    assert pieces.params.tobytes() == whole.params.tobytes() and found == losses


def test_wrong_dropout_arguments():
    X, _ = small_examples()
    for call, message in (
        (lambda: small_network(dropout=1.0), "dropout must be finite and at least 0 and below 1, got 1.0"),
        (lambda: small_network(dropout=[0.1, 0.2]), "one rate, or 3, for the inputs and for 2 hidden"),
        (lambda: Network(3, [dnn.Dense(2), dnn.Dropout(0.5)]), "Dropout must be followed by a Dense"),
        (lambda: small_network().forward(X, masks=[None] * 3), "masks must come with training=True"),
        (
            lambda: small_network(dropout=0.5).forward(X, training=True, masks=[None] * 3),
            r"masks\[1\] must be given",
        ),
        (
            lambda: small_network(dropout=0.5).forward(
                X, training=True, masks=[None, np.ones((60, 5)), np.ones((60, 11))]
            ),
            r"masks\[1\] must have shape \(60, 19\), got \(60, 5\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "elu"])
@pytest.mark.parametrize("batch_size", [None, 60])
def test_a_step_with_dropout_equals_forward_backward_and_step(activation, batch_size):
    """The masks of the first step of a fit are those that `forward` draws from its seed."""
    X, y = small_examples()
    options = {"activation": activation, "output": "softmax", "dropout": [0.1, 0.4, 0.3], "dtype": "float64"}
    nets = [Network(SMALL_SIZES, **options, random_state=0) for _ in range(2)]
    state = nets[0].optimizer(SGD(0.1))
    nets[0].fit(X, y, optimizer=state, epochs=1, batch_size=batch_size, shuffle=False)
    P, cache = nets[1].forward(X, training=True, seed=state.seed, logits=True)
    P = np.exp(P - P.max(axis=1, keepdims=True))
    d_logits = (P / P.sum(axis=1, keepdims=True) - np.eye(3)[y]) / len(X)
    nets[1].optimizer(SGD(0.1)).step(nets[1].backward(cache, d_logits, wrt="params")[0])
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=0, atol=1e-14)
