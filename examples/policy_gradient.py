"""A policy gradient (REINFORCE with a baseline) learns to balance a pole on a cart.

The algorithm is that of Williams 1992 (Machine Learning 8, p. 229), the cart and pole are those of Barto,
Sutton and Anderson 1983 (IEEE Transactions on Systems, Man, and Cybernetics 13, p. 834). A batch of 32 carts
is simulated at once with NumPy arrays.

Run it: ``python examples/policy_gradient.py`` (about five seconds).
"""

import numpy as np
from scipy.special import expit

from dnn import Adam, Network

GRAVITY, CART, POLE, HALF_LENGTH, TAU = 9.8, 1.0, 0.1, 0.5, 0.02  # SI units; TAU: seconds per step


def move(state, right):
    """Return the states (n, 4) one step later: position, velocity, angle, angular velocity."""
    _, velocity, angle, spin = state.T
    sin, cos, total = np.sin(angle), np.cos(angle), CART + POLE
    push = (np.where(right, 10.0, -10.0) + POLE * HALF_LENGTH * spin**2 * sin) / total
    angular = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4 / 3 - POLE * cos**2 / total))
    linear = push - POLE * HALF_LENGTH * angular * cos / total
    return state + TAU * np.column_stack([velocity, linear, spin, angular])


def play(policy, rng, n, n_steps=200):
    """Return states (T, n, 4), pushes to the right (T, n), and whether each pole was still up (T, n)."""
    state, up = rng.uniform(-0.05, 0.05, (n, 4)), np.ones(n, bool)
    steps = []
    while len(steps) < n_steps and up.any():
        right = rng.random(n) < policy(state)[:, 0]
        steps.append((state, right, up))
        state = np.where(up[:, None], move(state, right), state)  # a cart whose pole fell does not move
        up = up & (np.abs(state[:, 0]) <= 2.4) & (np.abs(state[:, 2]) <= np.radians(12))
    return tuple(map(np.array, zip(*steps, strict=True)))


def main(quick=True, seed=0):
    """Train the policy and return the number of steps for which it keeps the pole up.

    Parameters
    ----------
    quick : bool, default True
        True: 80 updates; False: 200 updates.
    seed : int, default 0

    Returns
    -------
    dict
        steps: mean over 200 games of at most 200 steps each. An untrained policy reaches about 20.
    """
    rng = np.random.default_rng(seed)
    # The output is the probability of a push to the right.
    policy = Network([4, 32, 1], activation="tanh", output="sigmoid", random_state=rng)
    adam = policy.optimizer(Adam(0.02))
    for _ in range(80 if quick else 200):
        states, right, up = play(policy, rng, 32)
        to_go = np.cumsum(up[::-1], axis=0)[::-1]  # a reward of 1 for each step in which the pole is up
        baseline = to_go.sum(axis=1, keepdims=True) / up.sum(axis=1, keepdims=True)
        advantage = (to_go - baseline)[up]
        advantage /= advantage.std() + 1e-8
        logits, cache = policy.forward(states[up], logits=True)
        # The gradient of -mean(advantage log P(push)): the log loss of the pushes, weighted by the advantage
        d_logits = advantage[:, None] * (expit(logits) - right[up][:, None]) / len(logits)
        grad, _ = policy.backward(cache, d_logits, wrt="params")
        adam.step(grad)
    return {"steps": play(policy, rng, 200)[2].sum(axis=0).mean()}


if __name__ == "__main__":
    print(f"The pole stays up for {main()['steps']:.0f} of 200 steps, averaged over 200 games.")
