"""Combinations of all that the tables allow, drawn at random, against the oracle and finite differences."""

from functools import partial

import numpy as np
import pytest
import reference

import dnn
from dnn import SGD, Adam, AdamW, RMSprop, _core
from dnn.layers import OUTPUTS
from dnn.losses import loss_of
from dnn.training.options import FitOptions

HIDDEN = [name for name, info in _core.ACTIVATIONS.items() if not info.row_wise]
LOSSES = list(dict.fromkeys(row.name for row in _core.LOSSES.values()))
OPTIMIZERS = [
    (SGD(0.05), lambda: reference.SGD()),
    (SGD(0.05, 0.8), lambda: reference.SGD(momentum=0.8)),
    (SGD(0.05, 0.8, nesterov=True), lambda: reference.SGD(momentum=0.8, nesterov=True)),
    (SGD(0.05, 0.8, averaged=True), lambda: reference.SGD(momentum=0.8, averaged=True)),
    (Adam(0.01), lambda: reference.Adam()),
    (Adam(0.01, 0.8, 0.99, 1e-4, "uncorrected"), lambda: reference.Adam(0.8, 0.99, 1e-4, "uncorrected")),
    (Adam(0.01, 0.8, 0.99, 1e-4, "inside"), lambda: reference.Adam(0.8, 0.99, 1e-4, "inside")),
    (AdamW(0.01, weight_decay=0.3), lambda: reference.Adam()),
    (RMSprop(0.01, 0.8, 1e-4), lambda: reference.RMSProp(0.8, 1e-4)),
    (RMSprop(0.01, 0.8, 1e-4, 0.7), lambda: reference.RMSProp(0.8, 1e-4, 0.7)),
]


def pick(rng, options):
    return options[rng.integers(len(options))]


def draw(seed):
    """A network, X, y and everything else of a training."""
    rng = np.random.default_rng(seed)
    n_layers = rng.integers(1, 4)
    sizes = rng.integers(1, 12, n_layers + 1).tolist()
    while True:
        output, loss = pick(rng, OUTPUTS), pick(rng, LOSSES)
        try:
            loss_of(loss, output, sizes[-1])
        except ValueError:
            continue
        if output != "softmax" or sizes[-1] > 1:
            break
    hidden = [pick(rng, HIDDEN) for _ in range(n_layers - 1)]
    # parameters of one's own for some activations
    own = {"leaky_relu": (dnn.LeakyReLU(0.2), ("leaky_relu", 0.2)), "elu": (dnn.ELU(0.7), ("elu", 0.7))}
    ours = [own[name][0] if name in own and rng.random() < 0.5 else name for name in hidden]
    theirs = [own[name][1] if ours[i] != name else name for i, name in enumerate(hidden)]
    dropout = [pick(rng, [0.0, 0.3, 0.6]) for _ in range(n_layers)]
    net = dnn.Network(
        sizes, activation=ours, output=output, dropout=dropout, dtype="float64", random_state=seed
    )
    for b in net.biases:
        b[:] = rng.normal(size=b.shape) * 0.2
    if "exp" in (*hidden, output):
        net.params[:] *= 0.3
    n = int(rng.integers(1, 30))
    X = rng.normal(size=(n, sizes[0]))
    K = sizes[-1]
    spec, oracle_loss = loss, loss
    if loss == "poisson":
        y = rng.poisson(1.5, size=(n, K)).astype(float)
    elif loss == "log_loss":
        y = rng.random((n, K)) if output == "sigmoid" else rng.integers(0, K, n)
        if output == "softmax" and rng.random() < 0.5:
            y = rng.dirichlet(np.ones(K), n)
        smoothing = pick(rng, [0.0, 0.1])
        spec, oracle_loss = dnn.LogLoss(smoothing), ("log_loss", smoothing)
    else:
        y = rng.normal(size=(n, K))
        if loss == "huber":
            spec, oracle_loss = dnn.Huber(0.4), ("huber", 0.4)
        elif loss == "quantile":
            levels = tuple(np.sort(rng.uniform(0.05, 0.95, K)))
            spec, oracle_loss = dnn.Quantile(levels), ("quantile", levels)
    options = {
        "sample_weight": pick(rng, [None, rng.random(n) + 0.1]),
        "alpha": pick(rng, [0.0, 0.4]),
        "l1": pick(rng, [0.0, 0.2]),
    }
    activations = [*theirs, output]
    return net, activations, X, y, spec, oracle_loss, options, rng


@pytest.mark.parametrize("hundred", range(10))
def test_a_thousand_combinations(hundred):
    for seed in range(hundred * 100, hundred * 100 + 100):
        net, activations, X, y, spec, oracle_loss, options, rng = draw(seed)
        weights, biases = [W.copy() for W in net.weights], [b.copy() for b in net.biases]

        # the gradient, against the oracle and finite differences along a direction
        cost, grad = net.loss_and_gradient(X, y, loss=spec, **options)
        cost_oracle, grad_oracle = reference.cost_and_gradient(
            weights, biases, activations, X, y, oracle_loss, **options
        )
        size = max(1.0, float(np.linalg.norm(grad_oracle)))
        assert abs(cost - cost_oracle) <= 1e-10 * max(1.0, abs(cost_oracle)), seed
        assert np.linalg.norm(grad - grad_oracle) <= 1e-9 * size, seed
        direction = rng.normal(size=net.n_params)
        direction /= np.linalg.norm(direction)
        start, ends = net.params.copy(), []
        for side in (1e-6, -1e-6):
            net.params[:] = start + side * direction
            ends.append(net.loss_and_gradient(X, y, loss=spec, **options)[0])
        net.params[:] = start
        exact, found = direction @ grad, (ends[0] - ends[1]) / 2e-6
        assert abs(exact - found) <= 1e-6 * max(1.0, abs(exact) + abs(found), abs(cost)), seed

        # dropout with given masks, forward and backward
        masks = [
            (rng.random((len(X), len(W))) >= rate) if rate else None
            for W, rate in zip(weights, net.dropout, strict=True)
        ]
        out, cache = net.forward(X, training=True, masks=masks)
        dropped = [
            None if mask is None else (mask, rate) for mask, rate in zip(masks, net.dropout, strict=True)
        ]
        passed = reference.forward(weights, biases, activations, X, masks=dropped)
        np.testing.assert_allclose(out, passed[-1][1], rtol=0, atol=1e-10 * max(1, np.abs(out).max()))
        d_out = rng.normal(size=out.shape)
        grad, dX = net.backward(cache, d_out)
        dW, db, dX_oracle = reference.backward(weights, activations, X, passed, d_out)
        oracle = reference.flatten(dW, db)
        assert np.linalg.norm(grad - oracle) <= 1e-9 * max(1.0, np.linalg.norm(oracle)), seed
        assert np.linalg.norm(dX - dX_oracle) <= 1e-9 * max(1.0, np.linalg.norm(dX_oracle)), seed


@pytest.mark.parametrize("fifty", range(4))
@pytest.mark.filterwarnings("ignore::dnn.NoProgressWarning")
def test_whole_trainings(fifty, monkeypatch):
    for seed in range(fifty * 50, fifty * 50 + 50):
        net, activations, X, y, spec, oracle_loss, options, rng = draw(seed)
        if any(net.dropout):
            layers = [dnn.Dense(layer.units, layer.activation) for layer in net.layers]
            net = dnn.Network(net.n_inputs, layers, dtype="float64", random_state=seed)
        if "exp" in [activation for activation in activations if isinstance(activation, str)]:
            net.params[:] *= 0.3
        optimizer, make = pick(rng, OPTIMIZERS)
        epochs, batch = 3, int(rng.integers(1, len(X) + 1))
        clip = pick(rng, [None, 0.5])
        ema = pick(rng, [None, 0.9])
        frozen = [int(i) for i in range(len(net.layers)) if rng.random() < 0.2]
        net.freeze(*frozen)
        two = None if clip else pick(rng, [None, True])
        monkeypatch.setattr("dnn.network.FitOptions", partial(FitOptions, two_sweeps=two))
        orders = [rng.permutation(len(X)) for _ in range(epochs)]
        n_steps = epochs * -(-len(X) // batch)
        weights, biases = [W.copy() for W in net.weights], [b.copy() for b in net.biases]
        history = net.fit(
            X, y, loss=spec, optimizer=optimizer, epochs=epochs, batch_size=batch, clip_norm=clip, ema=ema,
            order=lambda epoch, orders=orders: orders[epoch], record="step", **options,
        )  # fmt: skip
        found = reference.fit(
            weights, biases, activations, X, y, loss=oracle_loss, optimizer=make(), orders=orders,
            batch_size=batch, rates=np.full(n_steps, optimizer.rate), clip_norm=clip, ema=ema, frozen=frozen,
            weight_decay=getattr(optimizer, "weight_decay", 0.0), **options,
        )  # fmt: skip
        params = found[0] if ema is None else found[-1]
        np.testing.assert_allclose(history.loss, found[1], rtol=1e-8, atol=1e-9, err_msg=str(seed))
        np.testing.assert_allclose(history.step_loss, found[2], rtol=1e-8, atol=1e-9, err_msg=str(seed))
        scale = max(1.0, float(np.abs(params).max()))
        np.testing.assert_allclose(net.params, params, rtol=0, atol=1e-8 * scale, err_msg=str(seed))
