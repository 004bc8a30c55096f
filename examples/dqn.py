"""A deep Q-network (DQN) learns what each push of a cart is worth, and thereby to balance a pole.

The network answers one question: if the cart is pushed left or right now, and as well as possible later on,
what will be collected? It learns from answers one step later, on moves drawn from a memory. A copy of it, the
target network, gives these answers, so that it does not chase itself: between two copies, learning is a
regression, and one call of `fit`. Values of at most 1 can be learned by log loss, like probabilities; the
program compares this with the usual loss, and with all settings of the zoo.

Papers: Mnih et al. 2015, "Human-level control through deep reinforcement learning" (Nature 518, p. 529,
algorithm 1); for values learned like probabilities, Farebrother et al. 2024, "Stop regressing: training value
functions via classification" (arXiv:2403.03950). The cart is CartPole-v1 of gymnasium, and the settings are
those of the rl-baselines3-zoo, except for those that `Settings` and SCALE change.

Run it: ``dnn demo dqn`` or ``python examples/dqn.py`` (about half a minute).
"""

from dataclasses import dataclass

import numpy as np
from cartpole import CartPole, episode_returns
from scipy.special import expit

from dnn import Adam, Cosine, Network

N_CARTS, BATCH_SIZE, CAPACITY = 8, 64, 100_000  # carts side by side; moves in a batch and in the memory
MOVES, UPDATES = 256, 128  # a round: so many moves of all carts together, then so many steps of Adam
WARM_UP, EXPLORATION, LEAST = 4, 0.16, 0.04  # rounds before the first update; exploring: see `learn`
TRIAL_ROUNDS, N_TRIALS = 8, 20  # the policy is tried out every so many rounds, in so many episodes
# Makes observations about equally large: otherwise the angle, at most 0.2, counts too little.
SCALE = np.array([1, 0.5, 5, 0.5], "float32")


@dataclass(frozen=True)
class Settings:
    """How to learn; the defaults are what worked best, see the page of this program."""

    probability: bool = True  # rewards are 1 - discount, values are in [0, 1], and the loss is log loss;
    #                           False: rewards are 1, values are below 1 / (1 - discount), Huber's loss
    rate: float = 1e-3  # of Adam; it falls to 0
    discount: float = 0.995  # of rewards, per step (gamma in the paper): they count for about 200 steps
    scaled: bool = True  # observations are multiplied by SCALE


RUNS = {  # name: settings, color
    "values as probabilities": (Settings(), "#0072b2"),
    "Huber's loss": (Settings(probability=False, rate=2.3e-3), "#d55e00"),
    "as in the zoo": (Settings(False, 2.3e-3, 0.99, scaled=False), "#777777"),
}


class Memory:
    """The last moves: what was seen, done, received, then seen, and whether the pole fell (replay memory)."""

    def __init__(self, n_inputs):
        self.n_moves = 0
        shapes = [(CAPACITY, n_inputs), CAPACITY, CAPACITY, (CAPACITY, n_inputs), CAPACITY]
        self.columns = [np.zeros(shape, "float32") for shape in shapes]

    def add(self, *moves):
        """Store one move of each cart; the oldest moves are overwritten."""
        rows = np.arange(self.n_moves, self.n_moves + len(moves[0])) % CAPACITY
        for column, values in zip(self.columns, moves, strict=True):
            column[rows] = values
        self.n_moves += len(rows)

    def draw(self, n, rng):
        """Return n moves, drawn at random."""
        rows = rng.integers(min(self.n_moves, CAPACITY), size=n)
        return [column[rows] for column in self.columns]


def loss_of(settings):
    """Return the loss for `fit`, whose y is (action, target): only the action that was taken has a target."""

    def loss(y, logits):
        chosen, target = np.arange(logits.shape[1]) == y[:, :1], y[:, 1]
        z = logits[chosen]
        if settings.probability:
            return np.logaddexp(0, z) - target * z, chosen * (expit(z) - target)[:, None]
        error = z - target
        slope = np.clip(error, -1, 1)
        return slope * (error - slope / 2), chosen * slope[:, None]

    return loss


def targets(target, reward, reached, fell, discount):
    """Return the values (n,) that moves should have: the reward, and what the target network then expects."""
    return reward + discount * (1 - fell) * target(reached).max(axis=1)  # after a fall there is nothing


def learn(settings, n_rounds, n_hidden, seed):
    """Learn, and return the network of the best trial, the last network, and the trials (n_trials, 4).

    The probability of a random move falls from 1 to LEAST as a straight line, during the first EXPLORATION of
    the rounds. The policy is tried out on carts of its own, from which nothing is learned. Of each trial:
    moves so far, the mean length of its episodes, their value as it came true, and as the network had
    predicted it, both as parts of the largest value.
    """
    rng = np.random.default_rng(seed)
    carts, trial_carts, memory = CartPole(N_CARTS, rng), CartPole(N_TRIALS, rng), Memory(CartPole.n_inputs)
    sizes = [carts.n_inputs, n_hidden, n_hidden, carts.n_actions]
    net = Network(sizes, output="sigmoid" if settings.probability else "identity", random_state=rng)
    adam = net.optimizer(Adam(Cosine(settings.rate, n_rounds - WARM_UP)))
    target, best, loss, trials = net.copy(), net.copy(), loss_of(settings), []
    unit = 1 - settings.discount if settings.probability else 1  # a reward
    scale = SCALE if settings.scaled else np.ones_like(SCALE)
    seen = carts.reset() * scale
    for i in range(n_rounds):
        random = max(LEAST, 1 - (1 - LEAST) * i / (EXPLORATION * n_rounds))
        for _ in range(MOVES // N_CARTS):
            drawn = rng.integers(carts.n_actions, size=N_CARTS)
            action = np.where(rng.random(N_CARTS) < random, drawn, net(seen).argmax(axis=1))
            next_seen, reward, fell, _, reached = carts.step(action)
            memory.add(seen, action, unit * reward, reached * scale, fell)
            seen = next_seen * scale
        if i >= WARM_UP:  # as the target network does not change within a round, the round is a regression
            target.polyak_update(net, 1)
            moves = memory.draw(UPDATES * BATCH_SIZE, rng)
            y = np.column_stack([moves[1], targets(target, *moves[2:], settings.discount)])
            net.fit(moves[0], y, loss=loss, optimizer=adam, epochs=1, batch_size=BATCH_SIZE, shuffle=False)
        if (i + 1) % TRIAL_ROUNDS == 0:
            lengths = play(net, trial_carts, scale)
            came_true = np.mean(1 - settings.discount**lengths)
            predicted = net(trial_carts.reset() * scale).max(axis=1).mean() * (1 - settings.discount) / unit
            if lengths.mean() >= max((trial[1] for trial in trials), default=0):
                best.polyak_update(net, 1)
            trials.append(((i + 1) * MOVES, lengths.mean(), came_true, predicted))
    return best, net, np.array(trials)


def play(net, carts, scale=SCALE):
    """Return the lengths of an episode of each cart, with the action of the largest value in each step."""
    return episode_returns(carts, lambda seen: net(seen * scale).argmax(axis=1))


def score(net, settings, seed):
    """Return the mean length of 100 new episodes."""
    carts = CartPole(100, np.random.default_rng([seed, 1]))
    return play(net, carts, SCALE if settings.scaled else 1).mean()


def main(quick=True, seed=0):
    """Learn with all settings, and return scores and trials.

    Parameters
    ----------
    quick : bool, default True
        True: 96 rounds of 256 moves, with 128 hidden units per layer, with the first settings only; False:
        195 rounds, or 49,920 moves, with 256 units, with all three settings.
    seed : int, default 0

    Returns
    -------
    dict
        Of run, dicts: "best" and "last" are the scores of the network of the best trial and of the last one;
        "trials" are those of `learn`.
    """
    found = {}
    for name, (settings, _) in list(RUNS.items())[: 1 if quick else None]:
        best, last, trials = learn(settings, *((96, 128) if quick else (195, 256)), seed)
        scores = {"best": score(best, settings, seed), "last": score(last, settings, seed)}
        found[name] = scores | {"trials": trials}
    return found


def tell(found):
    """Return the scores in words."""
    lines = ["Steps for which the pole stays up, of 500, as a mean over 100 new episodes:"]
    for name, run in found.items():
        lines.append(f"  {name}: {run['best']:.1f} after the best trial, {run['last']:.1f} at the end")
    lines.append(f"Each of {len(run['trials'])} trials had {N_TRIALS} episodes, beside those learned from.")
    return "\n".join(lines)


def draw(found):
    """Return a figure of the trials, and of predicted values beside those that came true."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    lengths, values = figure.subplots(1, 2)
    for name, run in found.items():
        (moves, length, came_true, predicted), color = run["trials"].T, RUNS[name][1]
        lengths.plot(moves / 1000, length, color=color, label=name)
        values.plot(moves / 1000, predicted, color=color)
        values.plot(moves / 1000, came_true, ":", color=color)
    lengths.set(title="steps for which the pole stays up in trials", xlabel="thousand moves", ylim=(0, 520))
    figure.legend(*lengths.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    values.set(title="value of the start, as part of the largest", xlabel="thousand moves")
    for style, label in (("-", "predicted"), (":", "came true")):
        values.plot([], [], style, color="black", label=label)
    values.legend(frameon=False, fontsize="small")
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-dqn.png", dpi=150)
