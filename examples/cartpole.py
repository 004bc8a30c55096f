"""CartPole-v1 of gymnasium with NumPy arrays: many carts, each with a pole to balance, move in one call.

The carts are those of Barto, Sutton and Anderson 1983 (IEEE Transactions on Systems, Man, and Cybernetics 13,
p. 834), with the constants and limits of gymnasium's CartPole-v1, from which they differ by less than 1e-6.
`Environment` is the part that is the same for all bodies: it starts each copy again when its episode ends.
"""

import numpy as np

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, TAU = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02  # SI units; TAU: time per step
TRACK, TILT = 2.4, np.radians(12)  # an episode ends when the cart or the pole goes beyond


class Environment:
    """Copies of a body that move side by side; one whose episode ends starts again within the same step.

    A kind of body has `start(n)`, which returns n states; `observe(state)`, which returns what a learner sees
    of them; `move(state, action)`, which returns the states one step later, the rewards, and whose episode
    ends by itself; and `time_limit`, the number of steps after which an episode is cut off.

    Parameters
    ----------
    n : int
        Number of copies.
    rng : Generator
        Draws the states in which episodes start.
    """

    def __init__(self, n, rng):
        self.n, self.rng = n, rng
        self.reset()

    def reset(self):
        """Start an episode with every copy, and return the observations (n, n_inputs)."""
        self.state, self.time = self.start(self.n), np.zeros(self.n, int)
        return self.observe(self.state)

    def step(self, action):
        """Move every copy by one step.

        Parameters
        ----------
        action : ndarray (n,) or (n, n_actions)

        Returns
        -------
        observation : ndarray (n, n_inputs)
            Where the next step starts: a new start for copies whose episode has ended.
        reward : ndarray (n,)
        terminated, truncated : ndarray (n,) of bool
            Whose episode ended by itself, and whose was cut off by the time limit. No rewards follow the
            first; after the second they would have, but are not seen. Both may be true.
        reached : ndarray (n, n_inputs)
            The observations before the new starts: where the actions have led.
        """
        self.state, reward, terminated = self.move(self.state, action)
        self.time += 1
        truncated = self.time >= self.time_limit
        reached = observation = self.observe(self.state)
        over = terminated | truncated
        if over.any():
            self.state[over], self.time[over] = self.start(np.count_nonzero(over)), 0
            observation = self.observe(self.state)
        return observation, reward, terminated, truncated, reached


class CartPole(Environment):
    """Carts (position, velocity, angle, angular velocity) that are pushed left (action 0) or right (1).

    Examples
    --------
    >>> carts = CartPole(2, np.random.default_rng(0))
    >>> observation, reward, terminated, truncated, reached = carts.step(np.array([0, 1]))
    >>> observation.shape, reward.tolist(), np.sign(reached[:, 1]).tolist()
    ((2, 4), [1.0, 1.0], [-1.0, 1.0])
    """

    n_inputs, n_actions, time_limit = 4, 2, 500

    def start(self, n):
        """Return n states (n, 4) near the middle, with the pole nearly upright."""
        return self.rng.uniform(-0.05, 0.05, (n, 4))

    def observe(self, state):
        """Return the states (n, 4) in single precision, as gymnasium does, which moves them in double."""
        return state.astype(np.float32)

    def move(self, state, action):
        """Return the states (n, 4) one step later, rewards of 1, and who is beyond a limit."""
        _, velocity, angle, spin = state.T
        sin, cos, total = np.sin(angle), np.cos(angle), CART + POLE
        push = ((2 * action - 1) * FORCE + POLE * HALF_LENGTH * spin**2 * sin) / total
        angular = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4 / 3 - POLE * cos**2 / total))
        linear = push - POLE * HALF_LENGTH * angular * cos / total
        state = state + TAU * np.array([velocity, linear, spin, angular]).T
        failed = (np.abs(state[:, 0]) > TRACK) | (np.abs(state[:, 2]) > TILT)
        return state, np.ones(len(state)), failed


def episode_returns(environment, policy):
    """Return the sum of the rewards (n,) of one episode of each copy.

    Parameters
    ----------
    environment : Environment
        Is reset first.
    policy : callable
        ``policy(observations)`` returns the actions.
    """
    observation, returns, going = environment.reset(), np.zeros(environment.n), np.ones(environment.n, bool)
    while going.any():
        observation, reward, terminated, truncated, _ = environment.step(policy(observation))
        returns += reward * going
        going &= ~(terminated | truncated)
    return returns
