"""The kinds of training step, which the sizes of the network choose: each equals a custom training loop."""

import pickle

import numpy as np
import pytest
from step_kinds import NETWORKS

from dnn import SGD, Adam, Huber, Network, _core

ELEMENTWISE = [name for name, info in _core.ACTIVATIONS.items() if not info.row_wise]


def compare(sizes, n, batch, net, optimizer, *, weighted=False, loss="auto", alpha=0.0, l1=0.0, n_threads=1):
    """Train two copies for three epochs, with fit and with a loop of loss_and_gradient and step."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((n, sizes[0]))
    y = rng.uniform(0.1, 0.9, (n, sizes[-1]))
    w = rng.uniform(0.5, 2, n) if weighted else None
    other = net.copy()
    state = other.optimizer(optimizer)
    costs = []
    for _ in range(3):
        for begin in range(0, n, batch):
            rows = slice(begin, begin + batch)
            cost, grad = other.loss_and_gradient(
                X[rows], y[rows], loss=loss, sample_weight=None if w is None else w[rows], alpha=alpha, l1=l1
            )
            state.step(grad)
            costs.append(cost)
    history = net.fit(
        X, y, loss=loss, optimizer=optimizer, epochs=3, batch_size=batch, shuffle=False, sample_weight=w,
        alpha=alpha, l1=l1, record="step", n_threads=n_threads,
    )  # fmt: skip
    np.testing.assert_allclose(history.step_loss, costs, rtol=1e-9)
    np.testing.assert_allclose(net.params, other.params, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("activation", ELEMENTWISE)
def test_activations(kind, activation, isa):
    sizes, n = NETWORKS[kind]
    net = Network(sizes, activation=activation, dtype="float64", random_state=0)
    # Hidden units of exp diverge at rates at which the others train.
    rate = 1e-6 if activation == "exp" else 0.05
    compare(sizes, n, max(2, n * 2 // 3), net, SGD(rate), n_threads=2)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(
    "output, loss",
    [
        ("sigmoid", "log_loss"),
        ("sigmoid", "squared_error"),
        ("softplus", "poisson"),
        ("exp", "poisson"),
        ("identity", Huber(0.3)),
        ("tanh", "absolute_error"),
    ],
)
def test_outputs_and_losses(kind, output, loss):
    sizes, n = NETWORKS[kind]
    net = Network(sizes, activation="tanh", output=output, dtype="float64", random_state=0)
    compare(sizes, n, n, net, Adam(0.01), loss=loss, weighted=True, alpha=0.3, l1=0.05, n_threads=2)


@pytest.mark.parametrize("kind", NETWORKS)
def test_frozen_layers(kind):
    sizes, n = NETWORKS[kind]
    for layer in range(len(sizes) - 1):
        net = Network(sizes, dtype="float64", random_state=0)
        net.freeze(layer)
        before = net.weights[layer].copy(), net.biases[layer].copy()
        compare(sizes, n, n, net, SGD(0.05, momentum=0.9), alpha=0.1)
        np.testing.assert_array_equal(net.weights[layer], before[0])
        np.testing.assert_array_equal(net.biases[layer], before[1])


@pytest.mark.parametrize("kind", NETWORKS)
def test_clipping_and_orders(kind):
    """Training with `order` equals training on rows that were put in that order before."""
    sizes, n = NETWORKS[kind]
    rng = np.random.default_rng(0)
    X, y, order = rng.standard_normal((n, sizes[0])), rng.standard_normal((n, sizes[-1])), rng.permutation(n)
    nets = [Network(sizes, dtype="float64", random_state=0) for _ in range(2)]
    how = {"epochs": 2, "batch_size": max(1, n // 2), "clip_norm": 0.1, "optimizer": Adam(0.01)}
    nets[0].fit(X, y, order=lambda epoch: order, n_threads=3, **how)
    nets[1].fit(X[order], y[order], shuffle=False, **how)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


def test_x_and_parameters_may_change_in_a_callback():
    """Copies that a call derives from X and the parameters are not used by the next call."""
    sizes = [2, 3, 1]
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 2)), rng.standard_normal((40, 1))
    net = Network(sizes, dtype="float64", random_state=0)

    def change(event):
        X[:] = -X
        net.params[:] *= 0.9

    other, Z = net.copy(), X.copy()
    net.fit(X, y, optimizer=SGD(0.1), epochs=3, batch_size=None, callbacks=[change])
    state = other.optimizer(SGD(0.1))
    for _ in range(3):
        state.step(other.loss_and_gradient(Z, y)[1])
        Z *= -1
        other.params[:] *= 0.9
    np.testing.assert_allclose(net.params, other.params, rtol=1e-10)


def test_training_computes_what_prediction_does(isa):
    """After a wide input, training uses inner products and prediction uses panels."""
    sizes, n = NETWORKS["narrow behind wide"]
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((n, sizes[0])), rng.standard_normal((n, sizes[-1]))
    net = Network(sizes, activation="tanh", dtype="float64", random_state=0)
    cost, _ = net.loss_and_gradient(X, y)
    np.testing.assert_allclose(cost, net.losses(X, y).mean(), rtol=1e-12)
    np.testing.assert_allclose(net.fit(X, y, epochs=1, batch_size=None).loss[0], cost, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_address_of_x(dtype, isa):
    """Unaligned rows are divided at other columns than aligned ones."""
    n, width = 37, 512
    numbers = np.random.default_rng(2).standard_normal((n, width)).astype(dtype)
    found = []
    for begin in range(17):
        memory = _core.zeros((n * width + begin,), dtype)[begin:]
        X = memory.reshape(n, width)
        X[:] = numbers
        net = Network([width, 5, 2], dtype=dtype, random_state=0)
        y = numbers[:, :2]
        net.fit(X, y, loss="squared_error", optimizer=Adam(0.01), epochs=2, batch_size=20, shuffle=False)
        found.append(net.params)
    for begin, params in enumerate(found):
        np.testing.assert_array_equal(params, found[0], err_msg=f"X begins {begin} numbers behind a line")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", range(576, 592))
def test_members_share_whole_columns(dtype, width, isa):
    """The last share of columns may begin after all full vectors."""
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((256, 300)).astype(dtype), rng.standard_normal((256, 2)).astype(dtype)
    found = []
    for n_threads in (1, 2, 3):
        net = Network([300, width, 2], dtype=dtype, random_state=0)
        for _ in range(3):  # each fit and each epoch starts the work sharing again
            net.fit(X, y, loss="squared_error", epochs=2, batch_size=128, shuffle=False, n_threads=n_threads)
        found.append(net.params.copy())
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_weights_are_aligned_to_cache_lines():
    net = Network([30, 200, 3], random_state=0)
    for each in (net, net.copy(), pickle.loads(pickle.dumps(net))):
        assert each.params.__array_interface__["data"][0] % 64 == 0
        assert each.optimizer(Adam()).slots.__array_interface__["data"][0] % 64 == 0
