"""Does examples/safe_cart.py keep its limits on crashes with every seed, and at which price?

Prints crashes per 1,000 steps after learning, how many seeds keep the limit, and the pay per step. The
PyTorch program (ppo_torch.py) has the same carts and settings.

    python benchmarks/programs/safe_cart.py [--quick] [--seeds 10] [--threads 1]
"""

from dataclasses import replace

from side_by_side import in_turns, machine, options, print_range, print_times, pytorch


def main():
    given = options(__doc__, "two seeds, and fewer steps", seeds=10)

    import numpy as np
    import ppo_torch
    import safe_cart
    from ppo import train

    print(machine())
    found = [safe_cart.main(given.quick, seed) for seed in range(2 if given.quick else given.seeds)]
    for limit in found[0]:
        each = [run[limit] for run in found]
        print("no limit" if limit is None else f"limit of {limit} crashes per 1,000 steps")
        print_range("crashes per 1,000 steps", [run["crashes"] for run in each])
        print_range("pay per step", [run["pay"] for run in each])
        print_range("share of the pay", [run[limit]["pay"] / run[None]["pay"] for run in found])
        print_range("crashes while learning", [(run["record"][:, 0] * 5).sum() for run in each])
        if limit is not None:
            print(f"    kept with {sum(run['crashes'] <= limit for run in each)} of {len(each)} seeds")

    settings = replace(safe_cart.SETTINGS, total=20_000 if given.quick else 100_000)

    def carts(rng):
        copies = safe_cart.SafeCart(settings.n_copies, rng, 5)
        copies.n_actions = 3
        return copies

    rng = np.random.default_rng(0)
    contenders = {"dnn": lambda: train(carts(rng), safe_cart.ACTIONS, settings, rng)}
    if pytorch():
        contenders["PyTorch"] = lambda: ppo_torch.train(carts(rng), False, settings, rng)
    print_times(in_turns(contenders, 1), f"{settings.total:,} steps")


if __name__ == "__main__":
    main()
