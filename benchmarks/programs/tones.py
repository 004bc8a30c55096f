"""examples/tones.py at full size on several seeds, and an epoch of its network beside PyTorch.

Medians and ranges of the right keys at three levels of noise are printed. The epochs of dnn and of PyTorch,
with the same layers, batch size, Adam, L2 penalty and precision, are timed alternately.

    python benchmarks/programs/tones.py [--quick] [--threads 1] [--seeds 10]
"""

import statistics

import side_by_side

options = side_by_side.options(__doc__, "two seeds of the quick program, and fewer windows", seeds=10)

import numpy as np  # noqa: E402
import tones  # noqa: E402

BATCH_SIZE, HIDDEN, RATE, ALPHA = 128, 256, 2e-3, 0.1
LEVELS = (-6, -3, 0)


def accuracies(n_seeds, quick):
    """Print the right keys of all methods over seeds."""
    right, units = {}, []
    for seed in range(n_seeds):
        found = tones.main(quick=quick, seed=seed)
        units.append(len(tones.tuned(found["filters"])))
        columns = [list(found["decibels"]).index(level) for level in LEVELS]
        for name, shares in found["right"].items():
            right.setdefault(name, []).append([shares[i] for i in columns])
    print(f"right keys at {LEVELS} dB, median and range of {n_seeds} seeds")
    for name, shares in right.items():
        figures = (
            f"{statistics.median(s):.1%} ({min(s):.1%} to {max(s):.1%})" for s in zip(*shares, strict=True)
        )
        print(f"  {name:<42}{'   '.join(figures)}")
    print(f"  units in use: {statistics.median(units):.0f} ({min(units)} to {max(units)}) of {HIDDEN}")


def with_dnn(X, y):
    """Return a function that trains for an epoch."""
    from dnn import Adam, Network

    net = Network([X.shape[1], HIDDEN, len(tones.KEYS)], output="softmax", random_state=0)
    adam = net.optimizer(Adam(RATE))
    options = {"epochs": 1, "batch_size": BATCH_SIZE, "alpha": ALPHA}
    return lambda: net.fit(X, y, optimizer=adam, **options)


def with_torch(X, y):
    """Return the same for PyTorch."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(X.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(tones.KEYS)))
    # Adam adds weight_decay * W to the gradient; dnn's penalty is alpha / batch, and leaves biases alone
    weights = [p for p in net.parameters() if p.ndim == 2]
    biases = [p for p in net.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": ALPHA / BATCH_SIZE}, {"params": biases}]
    adam = torch.optim.Adam(groups, lr=RATE, fused=True)
    X, y = torch.from_numpy(X), torch.from_numpy(y)

    def epoch():
        for batch in torch.randperm(len(X)).split(BATCH_SIZE):
            loss = nn.functional.cross_entropy(net(X[batch]), y[batch])
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()

    return epoch


def times(quick):
    """Print the time of an epoch; those of both libraries alternate."""
    n = 20_000 if quick else 100_000
    rng = np.random.default_rng(0)
    X, y = tones.sounds(n, rng.uniform(-9, 9, n), rng)
    contenders = {"dnn": with_dnn(X, y)}
    if side_by_side.pytorch():
        contenders["PyTorch"] = with_torch(X, y)
    medians = side_by_side.in_turns(contenders, 3 if quick else 7, warm_up=True)
    side_by_side.print_times(medians, f"an epoch of {n:,} windows")


if __name__ == "__main__":
    print(side_by_side.machine())
    times(options.quick)
    accuracies(2 if options.quick else options.seeds, options.quick)
