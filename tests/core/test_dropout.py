"""Dropout in training: what is kept differs from step to step as the reference draws it."""

import numpy as np
import pytest
import reference

import dnn
from dnn import SGD, Network

# One for each kind of step: with one barrier, with tiles, with tiles and the whole gradient.
SIZES = {"small": [6, 20, 10, 3], "tiles": [30, 500, 40, 3]}
RATES = (0.2, 0.5, 0.3)


@pytest.mark.parametrize("more", [{}, {"clip_norm": 0.1}, {"loss": "custom"}], ids=["", "clipped", "custom"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_steps_drop_what_the_reference_drops(sizes, more, isa):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, sizes[0])), rng.standard_normal((50, sizes[-1]))
    net = Network(sizes, activation="tanh", dropout=RATES, dtype="float64", random_state=0)
    state = net.optimizer(SGD(0.1))
    expected = net.params.copy()
    if "loss" in more:
        more = {"loss": lambda y, z: (((z - y) ** 2).sum(axis=1) / 2, z - y)}
    activations = ["tanh", "tanh", "identity"]
    step = 0
    for epochs in (2, 1):  # the second fit goes on where the first ended
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
def test_masks_of_a_sparse_table_are_those_of_a_dense_one():
    sparse = pytest.importorskip("scipy.sparse")
    X = sparse.random(60, 40, 0.2, format="csr", random_state=0)
    y = np.random.default_rng(0).standard_normal(60)
    ask = {"hidden_layer_sizes": (8,), "max_iter": 2, "batch_size": 20, "random_state": 0}
    nets = [dnn.MLPRegressor(**ask, dropout=[0.3, 0.3]).fit(table, y) for table in (X, X.toarray())]
    for W, V in zip(*(net.coefs_ for net in nets), strict=True):
        np.testing.assert_allclose(W, V, rtol=1e-7, atol=1e-9)
