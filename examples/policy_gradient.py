"""A policy gradient (REINFORCE with a baseline) learns to balance a pole on a cart.

The actor is a network whose output is the probability of a push to the right. It plays, and each push is made
more probable in proportion to the rewards that followed it, less a baseline: what follows on average at this
step. The baseline makes the gradient less noisy, most of all when nearly all goes well and there is nothing
left to reward. The program learns with and without one, and measures the noise.

Papers: Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement
learning" (Machine Learning 8, p. 229, equation 6); Barto, Sutton and Anderson 1983 (the cart). The cart is
CartPole-v1 of gymnasium.

Run it: ``dnn demo policy_gradient`` or ``python examples/policy_gradient.py`` (about five seconds).
"""

import numpy as np
from cartpole import CartPole, episode_returns
from scipy.special import expit

from dnn import Adam, Network

N_CARTS, RATE = 8, 0.01


def play(carts, actor, rng):
    """Play an episode with each cart; return states (T, n, 4), pushes, and who was still playing (T, n).

    A cart whose episode has ended starts again, but what it does then is not used.
    """
    carts.reset()
    probability, playing, steps = actor.predictor(), np.ones(carts.n, bool), []
    while playing.any():
        seen = carts.observation
        push = rng.random(carts.n) < probability(seen)[:, 0]  # to the right
        _, _, terminated, truncated, _ = carts.step(push)
        steps.append((seen, push, playing))
        playing = playing & ~(terminated | truncated)
    return map(np.array, zip(*steps, strict=True))


def policy_gradient(actor, states, push, playing, with_baseline):
    """Return the gradient (P,) of a loss whose descent makes those pushes more probable that paid off."""
    to_go = np.cumsum(playing[::-1], axis=0)[::-1] * 1.0  # a reward of 1 for each step
    if with_baseline:  # the mean at this step over the carts that still play
        to_go -= to_go.sum(axis=1, keepdims=True) / playing.sum(axis=1, keepdims=True)
    advantage = to_go[playing]
    advantage /= np.sqrt(np.mean(advantage**2)) + 1e-8  # so that one learning rate suits all stages
    logits, cache = actor.forward(states[playing], logits=True)
    # The log loss of the pushes has the gradient p - push; each step weighs as much as its advantage.
    d_logits = advantage[:, None] * (expit(logits) - push[playing][:, None]) / len(logits)
    return actor.backward(cache, d_logits, wrt="params")[0]


def noise(actor, with_baseline, rng, n_batches=20):
    """Return the root mean square distance of the gradient from its mean, divided by the mean's length."""
    carts = CartPole(N_CARTS, rng)
    batches = (play(carts, actor, rng) for _ in range(n_batches))
    grads = np.array([policy_gradient(actor, *batch, with_baseline) for batch in batches], dtype=float)
    mean = grads.mean(axis=0)
    return np.sqrt(np.mean(np.sum((grads - mean) ** 2, axis=1))) / np.linalg.norm(mean)


def train(n_updates, with_baseline, rng):
    """Learn, and return the actor and the mean length of the episodes before each update (n_updates,)."""
    actor = Network([4, 32, 1], activation="tanh", output="sigmoid", random_state=rng)
    adam, carts, lengths = actor.optimizer(Adam(RATE)), CartPole(N_CARTS, rng), []
    for _ in range(n_updates):
        states, push, playing = play(carts, actor, rng)
        adam.step(policy_gradient(actor, states, push, playing, with_baseline))
        lengths.append(playing.sum() / carts.n)
    return actor, np.array(lengths)


def main(quick=True, seed=0):
    """Learn with and without a baseline, and return scores, learning curves and the noise of the gradient.

    Parameters
    ----------
    quick : bool, default True
        True: 90 updates; False: 250 updates.
    seed : int, default 0

    Returns
    -------
    dict
        scores, lengths, noise: dicts by whether there is a baseline. The mean steps, of 500, over 100
        episodes with the more probable push always; the mean length of the episodes at each update; and the
        noise of both gradients (see `noise`) for one actor, which was trained with a baseline in 60 updates.
    """
    scores, lengths = {}, {}
    for with_baseline in (True, False):
        rng = np.random.default_rng(seed)
        actor, lengths[with_baseline] = train(90 if quick else 250, with_baseline, rng)
        scores[with_baseline] = episode_returns(CartPole(100, rng), best_push(actor)).mean()
    actor, _ = train(60, True, np.random.default_rng(seed))
    found = {kind: noise(actor, kind, np.random.default_rng(seed)) for kind in (True, False)}
    return {"scores": scores, "lengths": lengths, "noise": found}


def best_push(actor):
    """Return the policy that pushes to the more probable side."""
    return lambda seen: (actor(seen)[:, 0] > 0.5).astype(int)


NAMES = {True: "with a baseline", False: "without a baseline"}


def tell(found):
    """Return the results in words."""
    lines = []
    for kind, name in NAMES.items():
        last = found["lengths"][kind][-50:]
        lines.append(
            f"{name}: {found['scores'][kind]:.1f} steps of 500 with the best pushes; with drawn pushes, in "
            f"the last 50 updates, {last.mean():.1f}, and {last.min():.1f} at worst; noise of the gradient "
            f"after 60 updates: {found['noise'][kind]:.2f}"
        )
    return "\n".join(lines)


def draw(found):
    """Return a figure of the learning curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    for kind, color in ((False, "#d55e00"), (True, "#0072b2")):
        axes.plot(found["lengths"][kind], color=color, label=NAMES[kind])
    axes.set(xlabel="update, from 8 episodes each", ylabel="steps for which the pole stays up", ylim=(0, 520))
    axes.legend(frameon=False, loc="lower right")
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-policy_gradient.png", dpi=150)
