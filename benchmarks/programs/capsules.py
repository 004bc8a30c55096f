"""Dense capsules on MNIST: the accuracy of the full run, what each part adds, and an epoch beside PyTorch.

The parts are measured on 20,000 pictures: one and two routing iterations in place of three, no
reconstruction, no shifted pictures; and a plain dense network 784-512-256-10, shifted alike. PyTorch's
program computes the same cost by autograd, with couplings that are found without gradients; the networks, the
batches, the optimizer, the precision and the number of threads are the same.

Run it: ``python benchmarks/programs/capsules.py [--quick] [--threads 1]`` (about three minutes).
"""

import side_by_side

options = side_by_side.options(__doc__, "the program's quick mode, and a tenth of the rest", seeds=1)

import capsules as program  # noqa: E402
import numpy as np  # noqa: E402
from mnist import mnist  # noqa: E402

from dnn import Network  # noqa: E402


def parts(data, n_epochs, seeds):
    """Print the accuracies without one part of the program each."""
    X, y, X_test, y_test = data
    print(f"percent of the test pictures after {n_epochs} epochs on {len(X)} pictures")

    def trained(seed, n_iterations=3, **constants):
        before = {name: getattr(program, name) for name in constants}
        vars(program).update(constants)
        rng = np.random.default_rng(seed)
        model = program.Capsules(rng, n_iterations)
        program.train(model, X, y, n_epochs, rng)
        vars(program).update(before)
        return program.accuracy(model, X_test, y_test)

    variants = {
        "as it is": {},
        "two routing iterations": {"n_iterations": 2},
        "one: no routing": {"n_iterations": 1},
        "no reconstruction": {"RECONSTRUCTION": 0.0},
        "no shifts": {"MAX_SHIFT": 0},
    }
    for name, changes in variants.items():
        side_by_side.print_range(name, (trained(seed, **changes) for seed in seeds), " %")
    side_by_side.print_range("784-512-256-10", (plain(data, n_epochs, seed) for seed in seeds), " %")


def plain(data, n_epochs, seed):
    """Return the accuracy of a dense network without capsules, trained like them."""
    X, y, X_test, y_test = data
    rng = np.random.default_rng(seed)
    net = Network([784, 512, 256, 10], output="softmax", random_state=rng)

    class Plain:
        networks = (net,)

        def gradients(self, X, y):
            loss, grad = net.loss_and_gradient(X, y)
            return loss, (grad,)

    program.train(Plain(), X, y, n_epochs, rng)
    return 100 * np.mean(net(X_test).argmax(axis=1) == y_test)


def pytorch_epoch(torch, X, y):
    """Return a function that trains the same capsules for one epoch in PyTorch."""
    from torch import nn
    from torch.nn import functional as F

    p, d, n_digits, d_digit = program.N_PRIMARY, program.D_PRIMARY, program.N_DIGITS, program.D_DIGIT

    def squash(s):
        n = torch.linalg.vector_norm(s, dim=-1, keepdim=True)
        return n / (1 + n**2) * s

    class Capsules(nn.Module):
        def __init__(self):
            super().__init__()
            self.primary = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, p * d))
            self.W = nn.Parameter(0.07 * torch.randn(p, d, n_digits * d_digit))
            first = nn.Linear(n_digits * d_digit, 256)
            last = nn.Linear(512, 784)
            self.decoder = nn.Sequential(first, nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), last, nn.Sigmoid())

        def forward(self, X, targets):
            u = squash(self.primary(X).view(-1, p, d)).transpose(0, 1)
            votes = (u @ self.W).view(p, -1, n_digits, d_digit)
            with torch.no_grad():
                b = torch.zeros(votes.shape[:3])
                for _ in range(2):
                    v = squash(torch.einsum("inj,injd->njd", b.softmax(2), votes))
                    b += torch.einsum("injd,njd->inj", votes, v)
                c = b.softmax(2)
            v = squash(torch.einsum("inj,injd->njd", c, votes))
            return v, self.decoder((targets[:, :, None] * v).flatten(1))

    torch.manual_seed(0)
    model = Capsules()
    adam = torch.optim.Adam(model.parameters(), program.RATE)
    most = program.MAX_SHIFT
    padded = F.pad(torch.from_numpy(X).view(-1, 28, 28), (most,) * 4)
    shifted = padded.unfold(1, 28, 1).unfold(2, 28, 1)
    digits = torch.from_numpy(y)

    def epoch():
        for rows in torch.randperm(len(X)).split(program.BATCH_SIZE):
            down, right = torch.randint(2 * most + 1, (2, len(rows)))
            batch = shifted[rows, down, right].flatten(1)
            targets = F.one_hot(digits[rows], n_digits).float()
            v, drawn = model(batch, targets)
            lengths = torch.linalg.vector_norm(v, dim=2)
            margins = targets * F.relu(0.9 - lengths) ** 2 + 0.5 * (1 - targets) * F.relu(lengths - 0.1) ** 2
            loss = (margins.sum() + program.RECONSTRUCTION * ((drawn - batch) ** 2).sum()) / len(batch)
            adam.zero_grad()
            loss.backward()
            adam.step()

    return epoch


def main():
    print(side_by_side.machine())
    X, y, *test = mnist()
    for seed in range(options.seeds):
        print(f"seed {seed}: {program.tell(program.main(quick=options.quick, seed=seed))}")
    n, seeds = (2000, range(1)) if options.quick else (20_000, range(2))
    parts((X[:n], y[:n], *test), 5, seeds)
    n = 2000 if options.quick else 12_000
    model, rng = program.Capsules(np.random.default_rng(0)), np.random.default_rng(0)
    contenders = {"dnn": lambda: program.train(model, X[:n], y[:n], 1, rng)}
    if torch := side_by_side.pytorch():
        contenders["PyTorch"] = pytorch_epoch(torch, X[:n], y[:n])
    medians = side_by_side.in_turns(contenders, 2 if options.quick else 7)
    side_by_side.print_times(medians, f"an epoch of {n} pictures")


if __name__ == "__main__":
    main()
