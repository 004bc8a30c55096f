"""Proximal policy optimization (PPO) learns to balance a pole on a cart within seconds.

A plain policy gradient uses each step of the cart once, because the policy has changed afterwards. PPO uses
it twenty times, because its objective stops rewarding a change once the probability of an action has changed
by a fifth. The program learns with this limit, without it, and with one use of each step, at two learning
rates. An update is two calls of `fit`: one for the actor, with a loss of a few lines, one for the critic.

Papers: Schulman et al. 2017, "Proximal policy optimization algorithms" (arXiv:1707.06347, equation 7), and
2016, "High-dimensional continuous control using generalized advantage estimation" (arXiv:1506.02438, equation
16). The cart is CartPole-v1 of gymnasium, and the settings are those of the rl-baselines3-zoo.

Run it: ``dnn demo ppo`` or ``python examples/ppo.py`` (about ten seconds).
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from actions import Categorical
from cartpole import CartPole, episode_returns

from dnn import Adam, Network, NoProgressWarning, Schedule


@dataclass(frozen=True)
class Settings:
    """How to learn; the defaults are those of the rl-baselines3-zoo for CartPole-v1."""

    n_copies: int = 8  # of the body, which act side by side
    n_steps: int = 32  # of each copy, between two updates
    epochs: int = 20  # uses of each step
    batch_size: int = 256
    discount: float = 0.98  # of rewards, per step (gamma in the papers)
    trace: float = 0.8  # how far a surprise is credited to earlier actions (lambda in the papers)
    rate: float = 1e-3  # of Adam; falls to 0 as a straight line, and so does the limit
    limit: float = 0.2  # change of a probability that the objective still rewards (epsilon in the paper)
    total: int = 100_000  # steps of all copies together


def clipped_loss(actions, limit):
    """Return PPO's objective as a loss for `fit`, whose y is (action, old log-probability, advantage)."""

    def loss(y, logits):
        action, old, advantage = y.T
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        log_p, d_log_p = actions.log_prob(action, logits)
        ratio = np.exp(log_p - old)
        gain = np.minimum(ratio * advantage, np.clip(ratio, 1 - limit, 1 + limit) * advantage)
        # The minimum has a slope only where it is its first term.
        rewarded = np.where(advantage > 0, ratio < 1 + limit, ratio > 1 - limit)
        return -gain, -(rewarded * ratio * advantage)[:, None] * d_log_p

    return loss


def estimate_advantages(reward, value, next_value, terminated, over, settings):
    """Return by how much (T, n) each action was better than the critic expected.

    A surprise is a reward and the value of where it led, less the value of where it began. It is credited to
    its action and, discounted, to those before it in the episode (generalized advantage estimation).
    """
    surprise = reward + settings.discount * next_value * ~terminated - value
    for t in reversed(range(len(surprise) - 1)):
        surprise[t] += settings.discount * settings.trace * ~over[t] * surprise[t + 1]
    return surprise


def collect(environment, actions, actor, n_steps, rng):
    """Act for n_steps; return what was seen, done, received, who ended, and what was reached: (T, n, ...)."""
    steps = []
    for _ in range(n_steps):
        seen = environment.observation
        action = actions.sample(actor(seen), rng)
        steps.append((seen, action, *environment.step(action)[1:]))
    return map(np.array, zip(*steps, strict=True))


class Linear(Schedule):
    """A rate that falls to 0 within a number of steps."""

    def __init__(self, rate, n_steps):
        self.rate, self.n_steps = rate, n_steps

    def rates(self, first, n, steps_per_epoch):
        """Return the rates (n,) of steps first, first + 1, ..."""
        return self.rate * (1 - np.arange(first, first + n) / self.n_steps)


def train(environment, actions, settings, rng):
    """Learn, and return the actor (Network) and the learning curve.

    The curve (n_updates, 2) has the number of steps so far, and the mean return of the episodes that ended
    since the update before (NaN if none did).
    """
    s, n_rows = settings, settings.n_copies * settings.n_steps
    n_updates = -(-s.total // n_rows)
    adam = Adam(Linear(s.rate, n_updates * s.epochs * -(-n_rows // s.batch_size)))
    actor, critic = (
        Network([environment.n_inputs, 64, 64, n_outputs], activation="tanh", random_state=rng)
        for n_outputs in (actions.n_outputs, 1)
    )
    actor.weights[-1][:] *= 0.01  # at first all actions are about as probable
    actor_adam, critic_adam = actor.optimizer(adam), critic.optimizer(adam)
    options = {"epochs": s.epochs, "batch_size": s.batch_size, "clip_norm": 0.5}
    curve = []
    for update in range(n_updates):
        environment.returns.clear()
        steps = collect(environment, actions, actor.predictor(), s.n_steps, rng)
        seen, action, reward, terminated, truncated, reached = steps
        X, action = seen.reshape(n_rows, -1), action.ravel()
        value = critic(X).reshape(reward.shape)
        next_value = critic(reached.reshape(n_rows, -1)).reshape(reward.shape)
        advantage = estimate_advantages(reward, value, next_value, terminated, terminated | truncated, s)
        y = np.column_stack([action, actions.log_prob(action, actor(X))[0], advantage.ravel()])
        loss = clipped_loss(actions, s.limit * (1 - update / n_updates))
        actor.fit(X, y, loss=loss, optimizer=actor_adam, **options)
        with (
            warnings.catch_warnings()
        ):  # once no pole falls, all targets are alike, and a constant is as good
            warnings.simplefilter("ignore", NoProgressWarning)
            critic.fit(X, (value + advantage).ravel(), optimizer=critic_adam, **options)
        curve.append(((update + 1) * n_rows, np.mean(environment.returns or [np.nan])))
    return actor, np.array(curve)


def greedy(actions, actor):
    """Return the policy that takes the best action."""
    return lambda seen: actions.best(actor(seen))


WAYS = {  # name: settings, color
    "PPO: 20 uses, with limit": ({}, "#0072b2"),
    "20 uses, without limit": ({"limit": np.inf}, "#d55e00"),
    "one use of each step": ({"epochs": 1}, "#777777"),
}


def main(quick=True, seed=0):
    """Learn in each of three ways, and return scores and learning curves.

    Parameters
    ----------
    quick : bool, default True
        True: 50,000 steps at the higher rate only; False: 100,000 steps at both rates.
    seed : int, default 0

    Returns
    -------
    dict
        scores, curves: dicts by rate, of dicts by way: the mean return over 100 episodes of at most 500 steps
        when the best action is always taken; and the learning curve (see `train`).
    """
    scores, curves, actions = {}, {}, Categorical(CartPole.n_actions)
    for rate in (3e-3,) if quick else (1e-3, 3e-3):
        scores[rate], curves[rate] = {}, {}
        for way, (changes, _) in WAYS.items():
            rng = np.random.default_rng(seed)
            settings = replace(Settings(rate=rate, total=50_000 if quick else 100_000), **changes)
            actor, curves[rate][way] = train(CartPole(settings.n_copies, rng), actions, settings, rng)
            scores[rate][way] = episode_returns(CartPole(100, rng), greedy(actions, actor)).mean()
    return {"scores": scores, "curves": curves}


def tell(found):
    """Return the scores in words."""
    lines = ["Steps for which the pole stays up, of 500, as a mean over 100 episodes:"]
    for rate, scores in found["scores"].items():
        lines += [f"  learning rate {rate:g}, {way}: {score:.1f}" for way, score in scores.items()]
    return "\n".join(lines)


def draw(found):
    """Return a figure of the objective and of the learning curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    objective, *panels = figure.subplots(1, 1 + len(found["curves"]))
    ratio = np.linspace(0.4, 1.6, 200)
    for advantage, style in ((1, "-"), (-1, "--")):
        gain = np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
        objective.plot(ratio, gain, style, color="#0072b2", label=f"advantage {advantage:+d}")
    objective.set(title="PPO's objective", xlabel="new / old probability", xticks=[0.8, 1, 1.2])
    objective.legend(frameon=False)
    for panel, (rate, curves) in zip(panels, found["curves"].items(), strict=True):
        for way, curve in curves.items():
            steps, returns = curve[~np.isnan(curve[:, 1])].T
            width = max(1, len(returns) // 50)
            smooth = np.convolve(returns, np.ones(width) / width, "valid")
            panel.plot(steps[width - 1 :] / 1000, smooth, color=WAYS[way][1], label=way)
        panel.set(title=f"learning rate {rate:g}", xlabel="thousand steps", ylim=(0, 520))
    panels[0].set_ylabel("steps for which the pole stays up")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-ppo.png", dpi=150)
