"""Learning within a limit on failures: a cart that is paid for working close to the end of its track.

Gusts push the cart about, and the pay is highest where the next gust may push it off the track. A learner
that only counts the pay crashes once in a hundred steps. Here crashes have a limit. They get a price, which
the learner pays like any loss of reward, and the price rises while there are more crashes than aimed at,
and falls while there are fewer: the multiplier of a Lagrangian. The learner is that of examples/ppo.py,
unchanged. It aims at half the limit, because the number of crashes fluctuates about what is aimed at.

Papers: Altman 1999, "Constrained Markov decision processes" (the Lagrangian); Ray, Achiam and Amodei 2019,
"Benchmarking safe exploration in deep reinforcement learning" (PPO-Lagrangian). The cart is our own.

Run it: ``dnn demo safe_cart`` or ``python examples/safe_cart.py`` (about twelve seconds).
"""

from dataclasses import replace

import numpy as np
from actions import Categorical
from cartpole import Environment
from ppo import Settings, train

LIMITS = (None, 10, 5, 3)  # crashes per 1,000 steps
ACTIONS = Categorical(3)  # push to the left, none, push to the right
SETTINGS = Settings(
    n_copies=64, epochs=10, batch_size=512, discount=0.97, trace=0.95, rate=3e-3, total=400_000
)


class SafeCart(Environment):
    """Carts (position, velocity) on tracks from -1 to 1; one that leaves its track starts again.

    Parameters
    ----------
    n, rng
        As in `Environment`.
    limit : float or None
        Crashes per 1,000 steps; None: their price stays 0.

    Attributes
    ----------
    price : float
        What a crash costs now.
    record : list of (crashes per 1,000 steps, mean pay per step, price)
        One entry for each `WINDOW` steps.
    """

    WINDOW, SPEED = 5000, 4.0  # steps between two changes of the price, and the largest change
    n_inputs, time_limit = 2, 10**9  # without an end: the carts go on

    def __init__(self, n, rng, limit=None):
        self.limit, self.price, self.record = limit, 0.0, []
        self.crashes, self.pay, self.steps = 0, 0.0, 0
        super().__init__(n, rng)

    def start(self, n):
        """Return n states (n, 2) about the middle, at rest."""
        return np.column_stack([self.rng.uniform(-0.5, 0.5, n), np.zeros(n)])

    def observe(self, state):
        """Return position and velocity (n, 2)."""
        return state.astype(np.float32)

    def move(self, state, action):
        """Return the states one step later, the pay less the price of crashes, and that nothing ends."""
        position, velocity = state.T
        velocity = velocity + 0.1 * (action - 1 + self.rng.standard_normal(len(state)))  # push and gust
        position = position + 0.1 * velocity
        crashed = np.abs(position) > 1
        pay = np.where(crashed, 0.0, np.maximum(position, 0) ** 4)
        state = np.column_stack([position, velocity])
        state[crashed] = self.start(np.count_nonzero(crashed))
        reward = pay - self.price * crashed
        self.count(crashed, pay)
        return state, reward, np.zeros(len(state), bool)

    def count(self, crashed, pay):
        """Record crashes and pay, and after each window of steps change the price."""
        self.crashes += np.count_nonzero(crashed)
        self.pay += pay.sum()
        self.steps += len(pay)
        if self.steps >= self.WINDOW:
            rate = 1000 * self.crashes / self.steps
            self.record.append((rate, self.pay / self.steps, self.price))
            if self.limit is not None:
                excess = rate / (self.limit / 2) - 1  # relative to the aim
                # An unskilled cart crashes all the time; the clip keeps the price from rising without end.
                self.price = max(0.0, self.price + self.SPEED * np.clip(excess, -1, 1))
            self.crashes, self.pay, self.steps = 0, 0.0, 0


def measure(actor, rng, n_steps=200_000):
    """Return crashes per 1,000 steps and the mean pay per step, with actions drawn as in learning."""
    carts = SafeCart(400, rng)
    while len(carts.record) * carts.WINDOW < n_steps:
        carts.step(ACTIONS.sample(actor(carts.observation), rng))
    return np.mean(carts.record, axis=0)[:2]


def main(quick=True, seed=0):
    """Learn with each limit, and return what came of it.

    Parameters
    ----------
    quick : bool, default True
        True: without a limit and with one of 5 only, 130,000 steps each; False: all limits, 400,000 steps.
    seed : int, default 0

    Returns
    -------
    dict
        By limit (crashes per 1,000 steps, or None): crashes per 1,000 steps and pay per step after learning;
        record (n_windows, 3): crashes, pay and price while learning (see `SafeCart`).
    """
    found = {}
    settings = replace(SETTINGS, total=130_000) if quick else SETTINGS
    for limit in (None, 5) if quick else LIMITS:
        rng = np.random.default_rng(seed)
        carts = SafeCart(settings.n_copies, rng, limit)
        actor, _ = train(carts, ACTIONS, settings, rng)
        crashes, pay = measure(actor, rng)
        found[limit] = {"crashes": crashes, "pay": pay, "record": np.array(carts.record)}
    return found


def tell(found):
    """Return the results in words."""
    best = found[None]["pay"]
    lines = ["After learning, per 1,000 steps:"]
    for limit, each in found.items():
        name = "no limit" if limit is None else f"at most {limit} crashes"
        lines.append(
            f"  {name}: {each['crashes']:.1f} crashes, {each['pay'] / best:.0%} of the pay without a limit"
        )
    return "\n".join(lines)


def draw(found):
    """Return a figure of crashes while learning, of their price, and of the trade-off."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    crashes, price, trade = figure.subplots(1, 3)
    colors = dict(zip(LIMITS, ("#777777", "#e69f00", "#0072b2", "#009e73"), strict=True))
    for limit, each in found.items():
        name = "no limit" if limit is None else f"limit {limit}"
        thousand = SafeCart.WINDOW / 1000 * np.arange(1, len(each["record"]) + 1)
        crashes.plot(thousand, each["record"][:, 0], color=colors[limit], label=name)
        price.plot(thousand, each["record"][:, 2], color=colors[limit])
        trade.plot(each["crashes"], each["pay"], "o", color=colors[limit])
        if limit is not None:
            trade.axvline(limit, color=colors[limit], ls=":")
    crashes.set(title="crashes per 1,000 steps", xlabel="thousand steps", ylim=(0, 20))
    price.set(title="price of a crash", xlabel="thousand steps")
    trade.set(title="after learning", xlabel="crashes per 1,000 steps", ylabel="pay per step", xlim=(0, None))
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-safe_cart.png", dpi=150)
