"""Does examples/ppo.py balance the pole with every seed, and how long do it and other libraries learn?

The scores are means over 100 episodes of gymnasium's CartPole-v1 (without it, of its twin). The PyTorch
program (ppo_torch.py) uses the same carts; Stable-Baselines3 has the settings of the rl-baselines3-zoo, and
moves the carts of gymnasium.

    python benchmarks/programs/ppo.py [--quick] [--seeds 10] [--rounds 1] [--threads 1]
"""

from dataclasses import replace

from side_by_side import in_turns, machine, options, print_range, print_times, pytorch


def stable_baselines(total):
    """Return a function that learns with Stable-Baselines3, or None if it is not installed."""
    try:
        import gymnasium
        from stable_baselines3 import PPO
        from stable_baselines3.common.env_util import make_vec_env
    except ImportError:
        return None
    del gymnasium

    def learn():
        learner = PPO(
            "MlpPolicy", make_vec_env("CartPole-v1", n_envs=8, seed=0), n_steps=32, batch_size=256,
            n_epochs=20, gae_lambda=0.8, gamma=0.98, ent_coef=0.0, learning_rate=lambda left: 1e-3 * left,
            clip_range=lambda left: 0.2 * left, seed=0, device="cpu",
        )  # fmt: skip
        learner.learn(total)

    return learn


def main():
    given = options(__doc__, "two seeds, and fewer steps", seeds=10, rounds=1)
    n_seeds, rounds = (2, 1) if given.quick else (given.seeds, given.rounds)

    import numpy as np
    import ppo
    import ppo_torch
    from actions import Categorical
    from cartpole import CartPole, episode_returns, judge

    actions = Categorical(CartPole.n_actions)

    def learn(settings, seed):
        rng = np.random.default_rng(seed)
        return ppo.train(CartPole(settings.n_copies, rng), actions, settings, rng)[0]

    def score(actor, seed):
        policy = ppo.greedy(actions, actor)
        try:
            return judge("CartPole-v1", policy, 100, seed).mean()
        except ImportError:
            return episode_returns(CartPole(100, np.random.default_rng(seed)), policy).mean()

    print(machine())
    total = 20_000 if given.quick else 100_000
    print("steps of 500, over 100 episodes:")
    for rate in (1e-3, 3e-3):
        for way, (changes, _) in ppo.WAYS.items():
            settings = replace(ppo.Settings(rate=rate, total=total), **changes)
            scores = [score(learn(settings, seed), seed) for seed in range(n_seeds)]
            print_range(f"{rate:g}, {way}", scores)
            print(f"    475 or more: {sum(x >= 475 for x in scores)} of {n_seeds} seeds", flush=True)

    settings = ppo.Settings(total=total)
    contenders = {"dnn": lambda: learn(settings, 0)}
    if pytorch():
        rng = np.random.default_rng(0)
        contenders["PyTorch"] = lambda: ppo_torch.train(CartPole(8, rng), False, settings, rng)
    if learn_sb3 := stable_baselines(total):
        contenders["SB3"] = learn_sb3
    print_times(in_turns(contenders, rounds), f"{total:,} steps with the settings of the zoo")


if __name__ == "__main__":
    main()
