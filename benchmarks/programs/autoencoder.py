"""How much better are the codes of examples/autoencoder.py than PCA's, and how long does the training take?

Prints the time of an epoch of the training on MNIST and of PyTorch's, in turn, on two threads and on one,
then the figures of the full program over several seeds.

    python benchmarks/programs/autoencoder.py [--quick] [--seeds 2]

Needs MNIST (DNN_DATA) and scikit-learn. Without PyTorch it measures dnn alone.
"""

import itertools

import side_by_side  # finds the examples

import autoencoder  # isort: skip
from mnist import mnist  # isort: skip

from dnn import Adam, Network

SIZES = [784, 512, 128, 8, 128, 512, 784]


def our_epoch(X):
    """Return a function that trains for an epoch with the settings of the program."""
    activation = ["silu", "silu", "identity", "silu", "silu"]
    net = Network(SIZES, activation=activation, output="sigmoid", dropout=[0.05] + [0] * 5, random_state=0)
    state = net.optimizer(Adam(1e-3))
    return lambda: net.fit(X, X, loss="squared_error", optimizer=state, epochs=1, batch_size=64)


def torch_epoch(X):
    """Return the same of PyTorch."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    X = torch.from_numpy(X)
    layers = [nn.Dropout(0.05)]
    for n_in, n_out in itertools.pairwise(SIZES):
        layers += [nn.Linear(n_in, n_out), nn.Identity() if n_out == 8 else nn.SiLU()]
    layers[-1] = nn.Sigmoid()
    net = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def epoch():
        for rows in torch.randperm(len(X)).split(64):
            batch = X[rows]
            optimizer.zero_grad()
            (((net(batch) - batch) ** 2).sum() / (2 * len(batch))).backward()
            optimizer.step()

    return epoch


def main():
    options = side_by_side.options(__doc__, "small digits only, and 6,000 pictures", None, seeds=2)
    X = mnist(6_000 if options.quick else 60_000)[0]
    for n_threads in (2, 1):
        side_by_side.use_threads(n_threads)
        print(side_by_side.machine())
        contenders = {"dnn": our_epoch(X)}
        if side_by_side.pytorch():
            contenders["PyTorch"] = torch_epoch(X)
        times = side_by_side.in_turns(contenders, 3, warm_up=True)
        side_by_side.print_times(times, f"an epoch of {len(X):,} pictures")

    found = [autoencoder.main(quick=options.quick, seed=seed) for seed in range(options.seeds)]
    print(autoencoder.tell(found[0]))
    for data in found[0]["figures"]:
        each = [one["figures"][data] for one in found]
        shares = [figures["network"]["error"] / figures["PCA"]["error"] for figures in each]
        side_by_side.print_range(f"{data}: error / PCA's", shares)
        for name in each[0]:
            same = [100 * figures[name]["same"] for figures in each]
            side_by_side.print_range(f"{data}, {name}: same digit", same, " %")


if __name__ == "__main__":
    main()
