"""How well does examples/dqn.py balance the pole, how long does it learn, and how long Stable-Baselines3?

Prints, for each of ten seeds, the mean length of 100 new episodes with the network of the best trial and with
the last one, and the seconds that learning and trials took; and the seconds of both libraries, in turn, for
equal numbers of moves and updates, with 8 carts, networks of 4-256-256-2, batches of 64 and Huber's loss in
both, without trials. (Stable-Baselines3 also clips the norm of the gradient, to 10, and moves the carts one
by one.)

    python benchmarks/programs/dqn.py [--quick] [--seeds 10] [--runs 1] [--discount 0.99] [--rounds 44]
        [--threads 2]

`--runs 3` learns with all three settings of the example. Without Stable-Baselines3 it measures dnn alone.
"""

import argparse
import os
import platform
import statistics
from dataclasses import replace
from functools import partial

from side_by_side import in_turns, print_times, pytorch, seconds_of, use_threads


def scores(name, seeds, rounds, units, discount=None):
    """Print and return the scores of a run for some seeds."""
    import dqn

    rows = []
    settings = dqn.RUNS[name][0] if discount is None else replace(dqn.RUNS[name][0], discount=discount)
    for seed in seeds:
        call = partial(dqn.learn, settings, rounds, units, seed)
        (best, last, trials), wall, cpu = seconds_of(call)
        row = [dqn.score(net, settings, seed) for net in (best, last)]
        rows.append([*row, wall, cpu])
        episodes, moves = len(trials) * dqn.N_TRIALS, trials[:, 1].sum() * dqn.N_TRIALS
        print(f"  seed {seed}: best trial {row[0]:.1f}, at the end {row[1]:.1f}; {wall:.1f} s,", end=" ")
        print(f"{cpu:.1f} s of the processor; trials: {episodes} episodes, {moves:,.0f} moves", flush=True)
    columns = [sorted(column) for column in zip(*rows, strict=True)]
    for what, each in zip(("best trial", "at the end", "seconds", "processor"), columns, strict=True):
        print(f"  {what}: median {statistics.median(each):.1f}, from {each[0]:.1f} to {each[-1]:.1f}")
    reached = [sum(score >= 475 for score in column) for column in columns[:2]]
    print(f"  475 or more: {reached[0]} of {len(rows)} seeds, at the end {reached[1]}")


def ours(rounds):
    """Learn with the settings of the zoo, without trials."""
    import dqn

    trial_rounds, dqn.TRIAL_ROUNDS = dqn.TRIAL_ROUNDS, rounds + 1
    dqn.learn(dqn.RUNS["as in the zoo"][0], rounds, 256, 0)
    dqn.TRIAL_ROUNDS = trial_rounds


def peer_of(rounds):
    """Return a function that learns with Stable-Baselines3, as many moves and updates; None without it."""
    import dqn

    try:
        from stable_baselines3 import DQN
        from stable_baselines3.common.env_util import make_vec_env
    except ImportError:
        return None

    def learn():
        model = DQN(
            "MlpPolicy", make_vec_env("CartPole-v1", n_envs=dqn.N_CARTS, seed=0), learning_rate=2.3e-3,
            batch_size=dqn.BATCH_SIZE, buffer_size=dqn.CAPACITY, learning_starts=dqn.WARM_UP * dqn.MOVES,
            gamma=0.99, target_update_interval=10, train_freq=dqn.MOVES // dqn.N_CARTS,
            gradient_steps=dqn.UPDATES, exploration_fraction=dqn.EXPLORATION, exploration_final_eps=dqn.LEAST,
            policy_kwargs={"net_arch": [256, 256]}, seed=0, device="cpu",
        )  # fmt: skip
        model.learn(rounds * dqn.MOVES)
        assert model._n_updates == (rounds - dqn.WARM_UP) * dqn.UPDATES, model._n_updates

    return learn


def main():
    """Parse the arguments, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="2 seeds of the example's quick size, short timings"
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=1, help="how many of the example's runs")
    parser.add_argument(
        "--rounds", type=int, default=44, help="rounds of 256 moves that are timed beside the peer"
    )
    parser.add_argument("--discount", type=float, help="of rewards, instead of that of each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    use_threads(options.threads)
    import dqn

    import dnn

    isa = dnn.show_config(as_dict=True)["instruction_set"]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {isa}, {options.threads} threads")
    seeds, rounds, units = (2, 96, 128) if options.quick else (options.seeds, 195, 256)
    for name in list(dqn.RUNS)[: options.runs]:
        print(f"\n{name}: {rounds} rounds, {units} units per layer")
        scores(name, range(seeds), rounds, units, options.discount)
    rounds, repeats = (12, 2) if options.quick else (options.rounds, options.repeats)
    n_updates = (rounds - dqn.WARM_UP) * dqn.UPDATES
    print(f"\n{rounds * dqn.MOVES:,} moves and {n_updates:,} updates, settings of the zoo")
    contenders = {"dnn": lambda: ours(rounds)}
    if (peer := peer_of(rounds)) is not None:
        pytorch()  # limits its threads
        contenders["Stable-Baselines3"] = peer
    else:
        print("  Stable-Baselines3 is excluded: not installed")
    print_times(in_turns(contenders, repeats), f"medians of {repeats}")


if __name__ == "__main__":
    main()
