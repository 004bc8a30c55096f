"""Dense capsules: the laws of squashing and routing, the gradient by finite differences, and the figures."""

import capsules as program
import numpy as np
import pytest


@pytest.fixture(scope="module")
def model():
    model = program.Capsules(np.random.default_rng(0), dtype="float64")
    model.W *= 3  # longer vectors than at the start of a training, so that all parts of the gradient count
    return model


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(1)
    return rng.random((5, 784)), np.array([0, 3, 3, 9, 5])


def test_squash_keeps_the_direction_and_bounds_the_length():
    s = np.array([[3.0, 4.0], [0.03, 0.04], [0.0, 0.0]])
    np.testing.assert_allclose(
        program.squash(s), [[15 / 26, 20 / 26], [0.03 * 0.05 / 1.0025, 0.002 / 1.0025], [0, 0]]
    )


def test_gradient_of_squash():
    rng = np.random.default_rng(2)
    s, dv, h = (
        rng.standard_normal((6, 4)) * [[0.01], [0.1], [1], [1], [3], [10]],
        rng.standard_normal((6, 4)),
        1e-6,
    )
    ds = np.zeros_like(s)
    for k in range(4):
        move = h * np.eye(4)[k]
        ds[:, k] = np.sum(dv * (program.squash(s + move) - program.squash(s - move)), axis=1) / (2 * h)
    np.testing.assert_allclose(program.squash_backward(s, dv), ds, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(program.squash_backward(np.zeros((1, 4)), dv[:1]), 0)


def test_gradient_of_the_margin_loss():
    lengths, targets, h = np.array([[0.5, 0.3, 0.05], [0.95, 0.2, 0.7]]), np.eye(3)[[0, 2]], 1e-6
    loss, d_lengths = program.margin_loss(lengths, targets)
    assert loss == pytest.approx((0.4**2 + 0.5 * 0.2**2 + 0.5 * (0.85**2 + 0.1**2) + 0.2**2) / 2)
    for place in np.ndindex(2, 3):
        move = np.zeros((2, 3))
        move[place] = h
        up, down = (program.margin_loss(lengths + d, targets)[0] for d in (move, -move))
        assert d_lengths[place] == pytest.approx((up - down) / (2 * h), abs=1e-8)


def test_routing_prefers_votes_that_agree():
    """Eight capsules agree on digit 1 and contradict each other on the other nine; a ninth is an outlier."""
    rng = np.random.default_rng(3)
    votes = rng.standard_normal((9, 1, 10, 16))
    votes[:8, :, 1] = rng.standard_normal(16)
    votes[8, :, 1] *= -1
    for n_iterations in (1, 2, 3):
        c = program.route(votes, n_iterations)
        np.testing.assert_allclose(c.sum(axis=2), 1)
        if n_iterations == 1:
            np.testing.assert_allclose(c, 0.1)
    assert c[:8, 0, 1].min() > 0.9
    assert c[8, 0, 1] < 0.1


@pytest.mark.parametrize("part", range(3), ids=("primary", "votes", "decoder"))
def test_gradient_with_constant_couplings(model, batch, part):
    """Central differences of the cost along the gradient of each network's parameters, and across it."""
    X, y = batch
    couplings = model.forward(X)[1][3]
    assert np.ptp(couplings) > 1e-3  # they are not those of the first iteration
    grad = model.gradients(X, y)[1][part]
    params, start = model.networks[part].params, model.networks[part].params.copy()
    rng, h = np.random.default_rng(part), 1e-6  # so small that hardly a ReLU crosses 0
    for _ in range(3):
        direction = grad * rng.random(len(grad))
        direction /= np.linalg.norm(direction)
        costs = []
        for step in (h, -h):
            params[:] = start + step * direction
            costs.append(model.gradients(X, y, couplings)[0])
        params[:] = start
        assert (costs[0] - costs[1]) / (2 * h) == pytest.approx(grad @ direction, rel=1e-5)


def test_variations_move_one_dimension_each(model):
    v = np.arange(16) / 20
    pictures = program.variations(model, v, 7)
    assert pictures.shape == (16, 7, 784)
    masked = np.zeros((10, 16))
    masked[7] = v
    np.testing.assert_allclose(pictures[:, 3], np.tile(model.decoder(masked.ravel()), (16, 1)))
    masked[7, 4] += program.STEPS[5]
    np.testing.assert_allclose(pictures[4, 5], model.decoder(masked.ravel()))


@pytest.mark.long
def test_figures(data_folder, monkeypatch):
    """Five seeds gave 92.3 to 93.1 % and an error of 0.85 of that of the mean picture."""
    monkeypatch.setenv("DNN_DATA", str(data_folder))
    found = program.main(quick=True)
    assert found["accuracy"][-1] >= 89
    assert found["error"] <= 0.92 * found["mean_error"]
    assert np.ptp(found["variations"], axis=2).max(axis=2).min() > 0.01  # each dimension changes something
    assert f"{found['accuracy'][-1]:.2f} %" in program.tell(found)
    assert len(program.draw(found).axes) == 3
