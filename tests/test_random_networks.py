"""Random combinations of the tables' entries agree with the oracle and finite differences."""

from functools import partial

import numpy as np
import pytest
import reference
from random_networks import OPTIMIZERS, draw, pick

import dnn
from dnn.training.options import FitOptions


@pytest.mark.parametrize("hundred", range(10))
def test_gradients_and_dropout_of_random_networks(hundred):
    for seed in range(hundred * 100, hundred * 100 + 100):
        net, activations, X, y, spec, oracle_loss, options, rng = draw(seed)
        weights, biases = [W.copy() for W in net.weights], [b.copy() for b in net.biases]

        # The gradient agrees with the oracle, and along a direction with finite differences.
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

        # Forward and backward passes agree with given dropout masks.
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
def test_trainings_of_random_networks(fifty, monkeypatch):
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
