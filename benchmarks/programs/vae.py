"""How low is the loss of examples/vae.py, how long does an epoch take, and how long one of PyTorch's?

Prints the time of an epoch of the training with 20 values, both libraries in turn, on two threads and on one,
and where the time of dnn's epoch goes; then the test losses of full trainings over several seeds, with dnn
and with PyTorch at equal settings.

    python benchmarks/programs/vae.py [--quick] [--seeds 3] [--epochs 10]

Needs MNIST (DNN_DATA). Without PyTorch it measures dnn alone.
"""

import time

import numpy as np
import side_by_side  # finds the examples

import vae  # isort: skip
from mnist import mnist  # isort: skip


def torch_training(X, n_code, seed):
    """Return the model of the example in PyTorch, and a function that trains it for an epoch."""
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


def main():
    options = side_by_side.options(__doc__, "6,000 pictures, 2 epochs, 2 seeds", None, seeds=3, epochs=10)
    if options.quick:
        options.seeds, options.epochs = 2, 2
    X, _, X_test, _ = mnist(6_000, 1_000) if options.quick else mnist()
    rounds = 2 if options.quick else 3
    for n_threads in (2, 1):
        side_by_side.use_threads(n_threads)
        print(side_by_side.machine())
        contenders = {"dnn": our_epoch(X)[2]}
        if side_by_side.pytorch():
            contenders["PyTorch"] = torch_training(X, 20, 0)[1]
        side_by_side.print_times(
            side_by_side.in_turns(contenders, rounds, warm_up=True), f"an epoch of {len(X):,} pictures"
        )
    for name, share in sorted(shares(X).items(), key=lambda item: -item[1]):
        print(f"    {name:18}{share:6.1%}")

    print(f"test loss after {options.epochs} epochs, in nats per picture")
    for n_code in (20, 2):
        seeds = range(options.seeds if n_code == 20 else 1)
        ours = [vae.train(X, X_test, n_code, options.epochs, np.random.default_rng(s))[2][-1] for s in seeds]
        side_by_side.print_range(f"code of {n_code}, dnn", [both.sum() for both in ours])
        if side_by_side.pytorch() and n_code == 20:
            of_torch = [torch_loss(X, X_test, n_code, options.epochs, seed) for seed in seeds[:2]]
            side_by_side.print_range(f"code of {n_code}, PyTorch", of_torch)


if __name__ == "__main__":
    main()
