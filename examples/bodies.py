"""The same learner in other bodies: PPO swings up a double pendulum, and balances a weakly driven pendulum.

`train` of examples/ppo.py knows nothing of carts. It is given a body, its kind of actions, and settings.
Here it learns to swing the tip of Acrobot-v1, two links driven only at the joint between them, above a
line, and to swing up and balance Pendulum-v1, with a motor that is too weak to lift it. The first has three
actions, the second a torque, drawn from a Gaussian whose mean and spread are the outputs of the actor. The
bodies are NumPy twins of those of gymnasium, and the scores to reach are those of the rl-baselines3-zoo.

Sources: Sutton 1996, "Generalization in reinforcement learning" (Acrobot); Schulman et al. 2017,
arXiv:1707.06347, section 6.1 (Gaussian actions).

Run it: ``dnn demo bodies`` or ``python examples/bodies.py`` (about ten seconds).
"""

from dataclasses import replace

import numpy as np
from actions import Categorical, Gaussian
from cartpole import Environment, episode_returns
from ppo import Settings, greedy, train


def wrap(angle):
    """Return angles in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


class Acrobot(Environment):
    """Two links that hang from a pivot; -1 per step until the tip is a link's length above the pivot.

    The state is the angle of the first link from straight down, that of the second from the first, and their
    velocities; actions 0, 1 and 2 are torques of -1, 0 and 1 at the joint between the links.
    """

    n_inputs, time_limit = 6, 500

    def start(self, n):
        """Return n states (n, 4) that hang almost still."""
        return self.rng.uniform(-0.1, 0.1, (n, 4))

    def observe(self, state):
        """Return cosines and sines of the angles, and the velocities (n, 6)."""
        first, second, *velocities = state.T
        seen = [np.cos(first), np.sin(first), np.cos(second), np.sin(second), *velocities]
        return np.array(seen, np.float32).T

    def move(self, state, action):
        """Return the states 0.2 seconds later (Runge-Kutta), the rewards, and who has reached the goal."""
        state, torque = state.T, action - 1.0
        k1 = self.slope(state, torque)
        k2 = self.slope(state + 0.1 * k1, torque)
        k3 = self.slope(state + 0.1 * k2, torque)
        k4 = self.slope(state + 0.2 * k3, torque)
        first, second, v1, v2 = state + 0.2 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        done = -np.cos(first) - np.cos(first + second) > 1
        v1, v2 = np.clip(v1, -4 * np.pi, 4 * np.pi), np.clip(v2, -9 * np.pi, 9 * np.pi)
        return np.column_stack([wrap(first), wrap(second), v1, v2]), np.where(done, 0.0, -1.0), done

    @staticmethod
    def slope(state, torque):
        """Return the derivatives (4, n) by Sutton's equations; masses, lengths and inertias are 1."""
        first, second, v1, v2 = state
        cos, sin = np.cos(second), np.sin(second)
        d1, d2, phi2 = 3.5 + cos, 1.25 + 0.5 * cos, 4.9 * np.sin(first + second)
        phi1 = 14.7 * np.sin(first) + phi2 - (0.5 * v2**2 + v1 * v2) * sin
        a2 = (torque + d2 / d1 * phi1 - 0.5 * v1**2 * sin - phi2) / (1.25 - d2**2 / d1)
        return np.array([v1, v2, -(d2 * a2 + phi1) / d1, a2])


class Pendulum(Environment):
    """A rod (angle from upright, velocity) that a torque of at most 2 turns; rewarded for standing still."""

    n_inputs, time_limit = 3, 200

    def start(self, n):
        """Return n states (n, 2): any angle, small velocity."""
        return self.rng.uniform([-np.pi, -1], [np.pi, 1], (n, 2))

    def observe(self, state):
        """Return cosine and sine of the angle, and the velocity (n, 3)."""
        angle, velocity = state.T
        return np.array([np.cos(angle), np.sin(angle), velocity], np.float32).T

    def move(self, state, action):
        """Return the states 0.05 seconds later, the rewards, and that no episode ends by itself."""
        (angle, velocity), torque = state.T, np.clip(action, -2, 2)
        reward = -(wrap(angle) ** 2 + 0.1 * velocity**2 + 0.001 * torque**2)
        velocity = np.clip(velocity + 0.05 * (15 * np.sin(angle) + 3 * torque), -8, 8)
        return np.column_stack([angle + 0.05 * velocity, velocity]), reward, np.zeros(len(state), bool)


# body, its kind of actions, settings, and the score of PPO in the rl-baselines3-zoo, which is one run's
BODIES = {
    "Acrobot-v1": (
        Acrobot,
        Categorical(3),
        Settings(64, 64, 10, 256, 0.99, 0.94, 3e-3, total=600_000),
        -73.5,
    ),
    "Pendulum-v1": (Pendulum, Gaussian(), Settings(4, 512, 10, 64, 0.95, 0.9, 2e-3), -172.2),
}


def watch(environment, policy):
    """Return the states (T, n, ...) until the first copy's episode ends."""
    states, over = [environment.state], False
    while not over:
        _, _, terminated, truncated, _ = environment.step(policy(environment.observation))
        over = terminated[0] or truncated[0]
        states.append(environment.state)
    return np.array(states[:-1])  # the last one is a new start


def main(quick=True, seed=0):
    """Learn with each body, and return scores, learning curves and movements.

    Parameters
    ----------
    quick : bool, default True
        True: an eighth of the steps for the Acrobot, half of them for the pendulum.
    seed : int, default 0

    Returns
    -------
    dict
        scores, curves, movements: dicts by name of the mean return of the best actions over 500 episodes, the
        learning curve (see `ppo.train`), and the states (T, 12, ...) of twelve copies.
    """
    found = {"scores": {}, "curves": {}, "movements": {}}
    for name, (body, actions, settings, _) in BODIES.items():
        if quick:
            settings = replace(settings, total=settings.total // (8 if name == "Acrobot-v1" else 2))
        rng = np.random.default_rng(seed)
        actor, found["curves"][name] = train(body(settings.n_copies, rng), actions, settings, rng)
        policy = greedy(actions, actor)
        found["scores"][name] = episode_returns(body(500, rng), policy).mean()
        found["movements"][name] = watch(body(12, rng), policy)
    return found


def tell(found):
    """Return the scores in words."""
    return "\n".join(
        f"{name}: a mean return of {score:.1f} over 500 episodes ({BODIES[name][3]} in the zoo)"
        for name, score in found["scores"].items()
    )


def draw(found):
    """Return a figure of the learning curves and of what the bodies do in the end."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    curves, movements = figure.subplots(2, 2)
    for panel, (name, curve) in zip(curves, found["curves"].items(), strict=True):
        steps, returns = curve[~np.isnan(curve[:, 1])].T
        panel.plot(steps / 1000, returns, color="#0072b2", label="episodes while learning")
        panel.axhline(BODIES[name][3], color="#d55e00", ls="--", label="rl-baselines3-zoo, after learning")
        panel.set(title=name, xlabel="thousand steps", ylabel="return")
    curves[0].legend(frameon=False)
    first, second = found["movements"]["Acrobot-v1"][:, 0, :2].T
    x = np.cumsum([0 * first, np.sin(first), np.sin(first + second)], axis=0)
    y = -np.cumsum([0 * first, np.cos(first), np.cos(first + second)], axis=0)
    for t in range(len(first)):
        movements[0].plot(x[:, t], y[:, t], color=colormaps["viridis"](t / len(first)))
    movements[0].axhline(1, color="#d55e00", ls="--")
    movements[0].set(title=f"{len(first)} steps, from violet to yellow", aspect="equal", xticks=[], yticks=[])
    angle = found["movements"]["Pendulum-v1"][..., 0]
    movements[1].plot(np.degrees(wrap(angle)), ".", ms=2, color="#0072b2")
    movements[1].set(
        title="12 starts", xlabel="step", ylabel="angle from upright (degrees)", yticks=[-180, 0, 180]
    )
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-bodies.png", dpi=150)
