"""Cat or not: the figures of the full run, the course's networks, other pictures, and PyTorch's time.

What is timed is the training of 300-100-1 for 10 epochs on the 10,450 crops of the 209 pictures, without
making the crops. PyTorch's program has the same network, batches, optimizer, rates, class weights, precision
and number of threads.

Run it: ``python benchmarks/programs/cats.py [--quick] [--threads 1]`` (about three minutes).
"""

import os

import side_by_side

options = side_by_side.options(__doc__, "the program's quick mode, and one round")

import cats as program  # noqa: E402
import numpy as np  # noqa: E402

from dnn import SGD, Adam, Cosine, Network, Normal, fit_many  # noqa: E402

N_EPOCHS, BATCH_SIZE = 10, 64


def course(X, y, X_test, y_test, seeds):
    """Print the accuracies of both networks of the course, trained as in the course."""
    X, X_test = (pictures.reshape(len(pictures), -1) / np.float32(255) for pictures in (X, X_test))
    for hidden, init in (([7], Normal(0.01)), ([20, 7, 5], "lecun")):
        sizes = [12288, *hidden, 1]
        nets = [Network(sizes, output="sigmoid", init=init, random_state=seed) for seed in seeds]
        fit_many(nets, X, y, optimizer=SGD(0.0075), epochs=2500, batch_size=None)
        for name, rows, targets in (("training", X, y), ("test", X_test, y_test)):
            right = (100 * np.mean((net(rows)[:, 0] > 0.5) == targets) for net in nets)
            side_by_side.print_range(f"{'-'.join(map(str, sizes))}, {name}", right, " %")


def dnn_training(rows, targets):
    """Return a function that trains the network of the crops."""

    def train():
        net = Network([rows.shape[1], 100, 1], output="sigmoid", random_state=0)
        adam = Adam(Cosine(1e-3, N_EPOCHS * -(-len(rows) // BATCH_SIZE)))
        net.fit(
            rows, targets, optimizer=adam, epochs=N_EPOCHS, batch_size=BATCH_SIZE, class_weight="balanced"
        )

    return train


def pytorch_training(torch, rows, targets):
    """Return a function that does the same in PyTorch."""
    X, y = torch.from_numpy(rows), torch.from_numpy(targets).float()
    weights = len(y) / (2 * torch.where(y == 1, y.sum(), len(y) - y.sum()))

    def train():
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Linear(X.shape[1], 100), torch.nn.ReLU(), torch.nn.Linear(100, 1), torch.nn.Flatten(0)
        )
        adam = torch.optim.Adam(net.parameters(), 1e-3)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, N_EPOCHS * -(-len(X) // BATCH_SIZE))
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        for _ in range(N_EPOCHS):
            for batch in torch.randperm(len(X)).split(BATCH_SIZE):
                adam.zero_grad()
                loss(net(X[batch]), y[batch], weights[batch]).backward()
                adam.step()
                rates.step()

    return train


def main():
    print(side_by_side.machine())
    X, y, X_test, y_test, _ = program.cats()
    print(program.tell(program.main(options.quick)))
    try:
        os.environ["DNN_DATA"] = ""  # now the photographs of scikit-image, in the quick mode
        print(program.tell(program.main(quick=True)))
    except ImportError as error:
        print(error)
    if not options.quick:
        course(X, y, X_test, y_test, range(3))
    views = program.crops(X, 5)
    rows, targets = views.reshape(-1, views.shape[2]), np.tile(y, len(views))
    contenders = {"dnn": dnn_training(rows, targets)}
    if torch := side_by_side.pytorch():
        contenders["PyTorch"] = pytorch_training(torch, rows, targets)
    medians = side_by_side.in_turns(contenders, 1 if options.quick else 7)
    side_by_side.print_times(medians, f"{N_EPOCHS} epochs on {len(rows)} crops")


if __name__ == "__main__":
    main()
