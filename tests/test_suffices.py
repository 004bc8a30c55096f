"""The interface suffices for losses and loops that `fit` does not know: forward, backward and step alone."""

import numpy as np
import pytest
from scipy.special import expit

from dnn import Adam, Network


def test_adversarial_net_finds_a_ring_of_gaussians(seed=0):
    rng = np.random.default_rng(seed)
    angles = np.arange(8) * np.pi / 4
    centers, std = 2 * np.column_stack([np.cos(angles), np.sin(angles)]), 0.05
    n, n_steps, rate = 128, 5000, 2e-3
    generator = Network([2, 64, 64, 2], activation="tanh", random_state=rng)
    discriminator = Network([2, 64, 64, 1], activation="leaky_relu", random_state=rng)
    # The usual beta1 of adversarial nets: an opponent that moves makes old gradients misleading
    generator_adam = generator.optimizer(Adam(rate, beta1=0.5))
    discriminator_adam = discriminator.optimizer(Adam(rate, beta1=0.5))
    is_real = np.repeat([[1.0], [0.0]], n, axis=0)

    for step in range(n_steps):
        fade = 1 - step / n_steps
        fake, generator_cache = generator.forward(rng.standard_normal((n, 2)))
        real = centers[rng.integers(8, size=n)] + std * rng.standard_normal((n, 2))
        # Noise on all the discriminator sees, fading out: modes overlap at first, so none is out of reach
        noise = 0.3 * fade * rng.standard_normal((2 * n, 2))

        scores, cache = discriminator.forward(np.vstack([real, fake]) + noise, scores=True)
        d_scores = (expit(scores) - is_real) / n  # of the log loss
        grad, _ = discriminator.backward(cache, d_scores, wrt="params")
        discriminator_adam.step(grad, rate * fade)

        scores, cache = discriminator.forward(fake + noise[n:], scores=True)
        d_scores = (expit(scores) - 1) / n  # of -log D(fake): not saturated where the fakes are seen through
        _, d_fake = discriminator.backward(cache, d_scores, wrt="input")
        grad, _ = generator.backward(generator_cache, d_fake, wrt="params")
        generator_adam.step(grad, rate * fade)

    samples = generator(rng.standard_normal((2000, 2)))
    distances = np.linalg.norm(samples[:, None] - centers, axis=2)
    near = distances.min(axis=1) < 4 * std
    hits = np.bincount(distances.argmin(axis=1)[near], minlength=8)
    # Of 2,000 samples 250 belong to each mode; of an even ring a quarter would be near, 64 to a mode
    assert hits.min() >= 100
    assert near.mean() >= 0.8


def test_autoencoder_beats_pca_and_its_loop_is_fit(seed=0):
    datasets = pytest.importorskip("sklearn.datasets", reason="the digits come with scikit-learn")
    rng = np.random.default_rng(seed)
    X = rng.permutation(datasets.load_digits().data / 16)
    X_train, X_test = X[:1400], X[1400:]
    n_components, batch_size, n_epochs, rate = 8, 32, 100, 2e-3
    net = Network(
        [64, 64, n_components, 64, 64],
        activation=["relu", "identity", "relu"], output="sigmoid", dtype="float64", random_state=rng,
    )  # fmt: skip

    def train(net, adam, rows, rate):
        for begin in range(0, len(rows), batch_size):
            batch = X_train[rows[begin : begin + batch_size]]
            out, cache = net.forward(batch)
            grad, _ = net.backward(cache, (out - batch) / len(batch), wrt="params")  # of 1/2n |out - x|^2
            adam.step(grad, rate)

    # The loop and fit, from the same start: one epoch of 5 steps, the last of them a short one
    rows = np.arange(4 * batch_size + 7)
    start = net.params.copy()
    net.fit(
        X_train[rows], X_train[rows],
        loss="squared_error", optimizer=Adam(rate), epochs=1, batch_size=batch_size, shuffle=False,
    )  # fmt: skip
    fitted = net.params.copy()
    net.params[:] = start
    train(net, net.optimizer(Adam(rate)), rows, rate)
    assert np.abs(fitted - start).max() > rate
    np.testing.assert_allclose(net.params, fitted, rtol=1e-9, atol=1e-11)

    net.params[:] = start
    adam = net.optimizer(Adam(rate))
    for epoch in range(n_epochs):
        train(net, adam, rng.permutation(len(X_train)), rate * (1 - epoch / n_epochs))

    mean = X_train.mean(axis=0)
    V = np.linalg.svd(X_train - mean, full_matrices=False)[2][:n_components]
    of_pca = X_test - mean - (X_test - mean) @ V.T @ V
    of_net = X_test - net(X_test)
    assert (of_net**2).sum() <= 0.75 * (of_pca**2).sum()


def move_cart_poles(state, right):
    """A step of 0.02 s for rows of position, velocity, angle, angular velocity (Barto and others, 1983)."""
    gravity, cart, pole, half_length, tau = 9.8, 1.0, 0.1, 0.5, 0.02
    _, velocity, angle, spin = state.T
    sin, cos, total = np.sin(angle), np.cos(angle), cart + pole
    push = (np.where(right, 10.0, -10.0) + pole * half_length * spin**2 * sin) / total
    angular = (gravity * sin - cos * push) / (half_length * (4 / 3 - pole * cos**2 / total))
    linear = push - pole * half_length * angular * cos / total
    return state + tau * np.column_stack([velocity, linear, spin, angular])


def play_cart_poles(net, rng, n, n_steps=200):
    """States (T, n, 4), pushes to the right (T, n), and whether the pole was still up (T, n)."""
    state, up = rng.uniform(-0.05, 0.05, (n, 4)), np.ones(n, bool)
    steps = []
    while len(steps) < n_steps and up.any():
        right = rng.random(n) < net(state)[:, 0]
        steps.append((state, right, up))
        state = np.where(up[:, None], move_cart_poles(state, right), state)  # what fell stays where it is
        up = up & (np.abs(state[:, 0]) <= 2.4) & (np.abs(state[:, 2]) <= np.radians(12))
    return tuple(map(np.array, zip(*steps, strict=True)))


def test_policy_gradient_balances_a_cart_pole(seed=0):
    rng = np.random.default_rng(seed)
    policy = Network([4, 32, 1], activation="tanh", output="sigmoid", random_state=rng)  # P(push right)
    adam = policy.optimizer(Adam(0.02))
    for _ in range(80):
        states, right, up = play_cart_poles(policy, rng, 32)
        to_go = np.cumsum(up[::-1], axis=0)[::-1]  # a reward of 1 for each step that the pole is up
        baseline = to_go.sum(axis=1, keepdims=True) / up.sum(axis=1, keepdims=True)
        advantage = (to_go - baseline)[up]
        advantage /= advantage.std() + 1e-8
        scores, cache = policy.forward(states[up], scores=True)
        # Of -mean(advantage log P(what was done)): the log loss of the pushes, weighted, also below 0
        d_scores = advantage[:, None] * (expit(scores) - right[up][:, None]) / len(scores)
        grad, _ = policy.backward(cache, d_scores, wrt="params")
        adam.step(grad)
    up = play_cart_poles(policy, rng, 200)[2]
    assert up.sum(axis=0).mean() >= 190  # steps, of 200 at most; a policy without training has some 20
