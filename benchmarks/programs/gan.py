"""Does the generator of examples/gan.py find all modes for each seed, and how long do its steps take?

Prints the time of 1,000 steps with pairs, on the ring and on the digits, beside PyTorch's, in turn, on one
thread; then, for each setting, the modes at the end, the fewest modes in the second half, and the share of
points within three standard deviations, over several seeds; and the same for the digits.

    python benchmarks/programs/gan.py [--quick] [--seeds 10]

Needs scikit-learn for the digits. Without PyTorch it measures dnn alone.
"""

import itertools

import numpy as np
import side_by_side  # finds the examples

import gan  # isort: skip

from dnn import Network

SIZES = {"ring": ([2, 64, 64, 2], [4, 64, 64, 1]), "digits": ([16, 128, 128, 64], [128, 128, 128, 1])}


def real_points(which, rng):
    """Return a function of n that draws real points."""
    if which == "ring":
        return lambda n: gan.ring(n, rng)
    from sklearn.datasets import load_digits

    X = (load_digits().data / 16).astype(np.float32)
    return lambda n: X[rng.integers(len(X), size=n)]


def our_steps(which, n_steps):
    """Return a function that trains from the beginning, as the example does, without looks in between."""

    def run():
        rng = np.random.default_rng(0)
        hidden, output = ("tanh", "identity") if which == "ring" else ("relu", "sigmoid")
        sizes, sizes_of_discriminator = SIZES[which]
        generator = Network(sizes, activation=hidden, output=output, random_state=rng)
        discriminator = Network(sizes_of_discriminator, activation="leaky_relu", random_state=rng)
        real = real_points(which, rng)
        gan.train(real, generator, discriminator, 2, True, 1e-3, n_steps, lambda generator: 0, rng)

    return run


def torch_steps(which, n_steps):
    """Return the same of PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    def net(sizes, hidden, output):
        layers = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), hidden()]
        return nn.Sequential(*layers[:-1], output())

    def run():
        rng = np.random.default_rng(0)
        hidden, output = (nn.Tanh, nn.Identity) if which == "ring" else (nn.ReLU, nn.Sigmoid)
        sizes, sizes_of_discriminator = SIZES[which]
        generator = net(sizes, hidden, output)
        discriminator = net(sizes_of_discriminator, lambda: nn.LeakyReLU(0.01), nn.Identity)
        adams = [
            torch.optim.Adam(each.parameters(), 1e-3, betas=(0.5, 0.999), fused=True)
            for each in (generator, discriminator)
        ]
        real, n = real_points(which, rng), gan.BATCH_SIZE
        ones, zeros = torch.ones(n // 2, 1), torch.zeros(n // 2, 1)
        for step in range(n_steps):
            for adam in adams:
                adam.param_groups[0]["lr"] = 1e-3 * (1 - step / n_steps)
            fake = generator(torch.randn(n, sizes[0]))
            seen = torch.cat([torch.from_numpy(real(n)), fake.detach()]).reshape(n, -1)
            adams[1].zero_grad()
            logits = discriminator(seen)
            F.binary_cross_entropy_with_logits(logits, torch.cat([ones, zeros]), reduction="sum").backward()
            # As in the example, both networks are updated with the gradients at the same parameters.
            discriminator.requires_grad_(False)
            adams[0].zero_grad()
            F.binary_cross_entropy_with_logits(discriminator(fake.reshape(n // 2, -1)), ones).backward()
            discriminator.requires_grad_(True)
            for adam in adams:
                adam.step()

    return run


def main():
    options = side_by_side.options(__doc__, "100 steps, and the quick size of the program", seeds=10)
    seeds = range(2 if options.quick else options.seeds)
    print(side_by_side.machine())
    n_steps = 100 if options.quick else 1000
    for which in SIZES:
        contenders = {"dnn": our_steps(which, n_steps)}
        if side_by_side.pytorch():
            contenders["PyTorch"] = torch_steps(which, n_steps)
        times = side_by_side.in_turns(contenders, 5, warm_up=True)
        side_by_side.print_times(times, f"{n_steps:,} steps, {which}")

    found = [gan.main(quick=options.quick, seed=seed) for seed in seeds]
    for name in gan.SETTINGS:
        runs = [one["ring"][name][0] for one in found]
        side_by_side.print_range("modes at the end", [gan.modes_found(run[-1]) for run in runs])
        side_by_side.print_range("fewest, second half", [gan.modes_found(run[50:]).min() for run in runs])
        side_by_side.print_range("within 3 std", [100 * run[-1].sum() for run in runs], " %")
        print(
            f"    ring, {name}: modes at the end for each seed", *(gan.modes_found(run[-1]) for run in runs)
        )
    for name in found[0]["digits"]:
        rarest = [100 * one["digits"][name][0][-10:].mean(axis=0).min() for one in found]
        side_by_side.print_range(f"{name}: rarest", rarest, " %")


if __name__ == "__main__":
    main()
