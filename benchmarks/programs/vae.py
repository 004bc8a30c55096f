"""How low is the loss of examples/vae.py, how long does an epoch take, and how long one of PyTorch's?

Prints the test losses of full trainings over several seeds, with dnn and with PyTorch at equal settings; the time of an
epoch of the training with 20 values, both libraries in turn, on one and on two threads; and where the time of dnn's
epoch goes.

    python benchmarks/programs/vae.py [--quick] [--seeds 3] [--epochs 10]

Needs MNIST (DNN_DATA). Without PyTorch it measures dnn alone.
"""

import argparse
import importlib.util
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import vae
from mnist import mnist

TORCH = importlib.util.find_spec("torch") is not None


def torch_training(X, n_code, seed):
    """Return the model of PyTorch's example, its loss, and a function that trains it for steps of given rates."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(seed)
    X = torch.from_numpy(X)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(784, 400), nn.SiLU(), nn.Linear(400, 2 * n_code))
            self.decoder = nn.Sequential(nn.Linear(n_code, 400), nn.SiLU(), nn.Linear(400, 784))

        def loss(self, X):
            mean, log_var = self.encoder(X).chunk(2, dim=1)
            logits = self.decoder(mean + torch.exp(log_var / 2) * torch.randn_like(mean))
            cross_entropy = F.binary_cross_entropy_with_logits(logits, X, reduction="sum")
            return (cross_entropy + (log_var.exp() + mean**2 - 1 - log_var).sum() / 2) / len(X)

    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), lr=vae.RATE, fused=True)

    def epoch(rate_of=None):
        for i, rows in enumerate(torch.randperm(len(X)).split(vae.BATCH_SIZE)):
            if rate_of is not None:
                optimizer.param_groups[0]["lr"] = rate_of(i)
            optimizer.zero_grad()
            model.loss(X[rows]).backward()
            optimizer.step()

    return model, epoch


def torch_loss(X, X_test, n_code, n_epochs, seed):
    """Return the test loss after a training with the same rates as in the example."""
    import torch

    model, epoch = torch_training(X, n_code, seed)
    per_epoch = -(-len(X) // vae.BATCH_SIZE)
    for e in range(n_epochs):
        epoch(lambda i, e=e: vae.RATE * min(1, 5 * (1 - (e * per_epoch + i) / (n_epochs * per_epoch))))
    with torch.no_grad():
        return model.loss(torch.from_numpy(X_test)).item()


def our_epoch(X):
    """Return a function that trains for an epoch, as `vae.train` does, without a test."""
    rng = np.random.default_rng(0)
    nets = vae.networks(784, 400, 20, rng)
    states = [net.optimizer(vae.Adam(vae.RATE)) for net in nets]

    def epoch():
        order = rng.permutation(len(X))
        for begin in range(0, len(X), vae.BATCH_SIZE):
            batch = X[order[begin : begin + vae.BATCH_SIZE]]
            noise = rng.standard_normal((len(batch), 20), dtype=X.dtype)
            for state, grad in zip(states, vae.gradients(*nets, batch, noise), strict=True):
                state.step(grad, vae.RATE)

    return nets, states, epoch


def shares(X):
    """Return the share of an epoch that each call takes; what remains is NumPy's."""
    nets, states, epoch = our_epoch(X)
    seconds = {}

    def timed(name, call):
        def run(*args, **kwargs):
            begin = time.perf_counter()
            result = call(*args, **kwargs)
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - begin
            return result

        return run

    for role, net, state in zip(("encoder", "decoder"), nets, states, strict=True):
        net.forward = timed(f"{role} forward", net.forward)
        net.backward = timed(f"{role} backward", net.backward)
        state.step = timed(f"{role} step", state.step)
    begin = time.perf_counter()
    epoch()
    total = time.perf_counter() - begin
    return {name: s / total for name, s in seconds.items()} | {"NumPy": 1 - sum(seconds.values()) / total}


def seconds_of(call):
    """Return wall-clock and processor time of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def times(X, n_repeats):
    for n_threads in (1, 2):
        os.environ["DNN_NUM_THREADS"] = str(n_threads)
        runs = {"dnn": our_epoch(X)[2]}
        if TORCH:
            import torch

            torch.set_num_threads(n_threads)
            runs["PyTorch"] = torch_training(X, 20, 0)[1]
        found = {name: [] for name in runs}
        for repeat in range(n_repeats + 1):
            for name, run in runs.items():
                if repeat:  # the first epoch warms up
                    found[name].append(seconds_of(run))
                else:
                    run()
        for name, each in found.items():
            wall, cpu = (statistics.median(column) for column in zip(*each, strict=True))
            print(f"  {n_threads} thread(s), {name:8}{wall:7.2f} s, processor time{cpu:7.2f} s")
        if TORCH:
            for which, i in (("wall clock", 0), ("processor time", 1)):
                ratios = [b[i] / a[i] for a, b in zip(found["dnn"], found["PyTorch"], strict=True)]
                low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
                print(f"    PyTorch / dnn, {which}: {middle:.2f} ({low:.2f} to {high:.2f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="6,000 pictures, 2 epochs, 2 seeds")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.epochs = 2, 2
    X, _, X_test, _ = mnist(6_000, 1_000) if options.quick else mnist()
    model = (
        [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        if os.path.exists("/proc/cpuinfo")
        else [platform.processor()]
    )
    print(f"processor: {model[0]}, cores: {os.cpu_count()}, load before: {os.getloadavg()[0]:.1f}")
    if not TORCH:
        print("PyTorch is not installed, so dnn is measured alone.")

    print(f"time of an epoch of {len(X):,} pictures, median of {2 if options.quick else 5}")
    times(X, 2 if options.quick else 5)
    os.environ["DNN_NUM_THREADS"] = "1"
    for name, share in sorted(shares(X).items(), key=lambda item: -item[1]):
        print(f"    {name:18}{share:6.1%}")

    print(f"test loss after {options.epochs} epochs, in nats per picture")
    for n_code in (20, 2):
        ours, theirs = [], []
        for seed in range(options.seeds if n_code == 20 else 1):
            curve = vae.train(X, X_test, n_code, options.epochs, np.random.default_rng(seed))[2]
            ours.append(curve[-1].sum())
            if TORCH and n_code == 20:
                theirs.append(torch_loss(X, X_test, n_code, options.epochs, seed))
        for name, each in (("dnn", ours), ("PyTorch", theirs)):
            if each:
                print(
                    f"  code of {n_code:2}, {name:8} median {statistics.median(each):.1f}, "
                    f"{min(each):.1f} to {max(each):.1f} over {len(each)} seed(s)"
                )


if __name__ == "__main__":
    main()
