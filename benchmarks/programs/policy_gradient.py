"""Does examples/policy_gradient.py balance the pole with every seed, and how long do it and PyTorch learn?

The scores are means over 100 episodes of gymnasium's CartPole-v1 (without it, of its twin). The PyTorch
program has the same carts, network, optimizer and baseline.

    python benchmarks/programs/policy_gradient.py [--quick] [--seeds 10] [--rounds 1] [--threads 1]
"""

from side_by_side import in_turns, machine, options, print_range, print_times, pytorch


def train_torch(n_updates, rng):
    """Learn with a baseline in PyTorch, as `policy_gradient.train` does."""
    import numpy as np
    import torch
    from cartpole import CartPole
    from policy_gradient import N_CARTS, RATE
    from torch import nn

    actor = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
    adam, carts = torch.optim.Adam(actor.parameters(), lr=RATE), CartPole(N_CARTS, rng)
    for _ in range(n_updates):
        carts.reset()
        playing, steps = np.ones(carts.n, bool), []
        while playing.any():
            seen = carts.observation
            with torch.no_grad():
                push = rng.random(carts.n) < torch.sigmoid(actor(torch.from_numpy(seen)))[:, 0].numpy()
            _, _, terminated, truncated, _ = carts.step(push)
            steps.append((seen, push, playing))
            playing = playing & ~(terminated | truncated)
        states, push, playing = map(np.array, zip(*steps, strict=True))
        to_go = np.cumsum(playing[::-1], axis=0)[::-1] * 1.0
        to_go -= to_go.sum(axis=1, keepdims=True) / playing.sum(axis=1, keepdims=True)
        advantage = to_go[playing]
        advantage /= np.sqrt(np.mean(advantage**2)) + 1e-8
        loss = nn.functional.binary_cross_entropy_with_logits(
            actor(torch.from_numpy(states[playing]))[:, 0],
            torch.from_numpy(push[playing].astype(np.float32)),
            torch.from_numpy(advantage.astype(np.float32)),
        )
        adam.zero_grad()
        loss.backward()
        adam.step()


def main():
    given = options(__doc__, "two seeds, and fewer steps", seeds=10, rounds=1)

    import numpy as np
    import policy_gradient
    from cartpole import CartPole, episode_returns, judge

    def score(actor, seed):
        policy = policy_gradient.best_push(actor)
        try:
            return judge("CartPole-v1", policy, 100, seed).mean()
        except ImportError:
            return episode_returns(CartPole(100, np.random.default_rng(seed)), policy).mean()

    print(machine())
    n_seeds, n_updates = (2, 40) if given.quick else (given.seeds, 250)
    noises = {True: [], False: []}
    for seed in range(n_seeds):
        actor, _ = policy_gradient.train(60, True, np.random.default_rng(seed))
        for kind, values in noises.items():
            values.append(policy_gradient.noise(actor, kind, np.random.default_rng(seed)))
    for kind, name in policy_gradient.NAMES.items():
        runs = [policy_gradient.train(n_updates, kind, np.random.default_rng(s)) for s in range(n_seeds)]
        scores = [score(actor, seed) for seed, (actor, _) in enumerate(runs)]
        print(name)
        print_range("steps of 500, best pushes", scores)
        print(f"    475 or more: {sum(x >= 475 for x in scores)} of {n_seeds} seeds")
        print_range("last 50 updates, drawn", [lengths[-50:].mean() for _, lengths in runs])
        print_range("the worst of them", [lengths[-50:].min() for _, lengths in runs])
        print_range("first update with 475", [np.argmax(lengths >= 475) for _, lengths in runs])
        print_range("steps of all carts", [lengths.sum() * policy_gradient.N_CARTS for _, lengths in runs])
        print_range("noise after 60 updates", noises[kind])

    contenders = {"dnn": lambda: policy_gradient.train(n_updates, True, np.random.default_rng(0))}
    if pytorch():
        contenders["PyTorch"] = lambda: train_torch(n_updates, np.random.default_rng(0))
    print_times(in_turns(contenders, 1 if given.quick else given.rounds), f"{n_updates} updates")


if __name__ == "__main__":
    main()
