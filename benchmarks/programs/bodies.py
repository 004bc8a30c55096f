"""Does examples/bodies.py reach the scores of the zoo with every seed, and how long does it learn?

The scores are means over 500 episodes of gymnasium's environments (without gymnasium, of their twins). The
PyTorch program (ppo_torch.py) has the same bodies and settings.

    python benchmarks/programs/bodies.py [--quick] [--seeds 10] [--threads 1]
"""

from dataclasses import replace

from side_by_side import in_turns, machine, options, print_range, print_times, pytorch


def main():
    given = options(__doc__, "two seeds, and fewer steps", seeds=10)

    import numpy as np
    import ppo_torch
    from bodies import BODIES
    from cartpole import episode_returns, judge
    from ppo import greedy, train

    def score(name, policy, seed):
        try:
            return judge(name, policy, 500, seed).mean()
        except ImportError:
            return episode_returns(BODIES[name][0](500, np.random.default_rng(seed)), policy).mean()

    print(machine())
    for name, (body, actions, settings, zoo) in BODIES.items():
        if given.quick:
            settings = replace(settings, total=20_000)

        def learn(seed, body=body, actions=actions, settings=settings):
            rng = np.random.default_rng(seed)
            return train(body(settings.n_copies, rng), actions, settings, rng)[0]

        seeds = range(2 if given.quick else given.seeds)
        scores = [score(name, greedy(actions, learn(seed)), seed) for seed in seeds]
        print_range(name, scores)
        print(
            f"    at least the {zoo} of the zoo: {sum(x >= zoo for x in scores)} of {len(seeds)} seeds",
            flush=True,
        )
        settings = replace(settings, total=min(settings.total, 100_000))
        contenders = {"dnn": lambda learn=learn, settings=settings: learn(0, settings=settings)}
        if pytorch():
            rng, continuous = np.random.default_rng(0), actions.n_outputs == 2
            copies = body(settings.n_copies, rng)
            copies.n_actions = actions.n_outputs
            given_torch = (copies, continuous, settings, rng)
            contenders["PyTorch"] = lambda given=given_torch: ppo_torch.train(*given)
        print_times(in_turns(contenders, 1), f"{name}, {settings.total:,} steps")


if __name__ == "__main__":
    main()
