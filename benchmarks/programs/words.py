"""examples/words.py at full size on several splits, and an epoch of its network beside PyTorch.

The accuracies are those of the test paragraphs of random splits; medians and ranges are printed, and those of
the differences to logistic regression on the same split. The epochs of dnn and of PyTorch (an EmbeddingBag
that adds the rows of W of the words, dropout, Adam, the same batch size and precision) are timed alternately.

    python benchmarks/programs/words.py [--quick] [--threads 1] [--splits 5]
"""

import statistics
import warnings
from functools import partial

import side_by_side

options = side_by_side.options(__doc__, "one split, and fewer epochs", splits=5)

import numpy as np  # noqa: E402
import words  # noqa: E402

BATCH_SIZE, HIDDEN, RATE, DROPOUT = 64, 128, 2e-3, 0.5


def spread(values, form):
    """Return median and range as text."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def accuracies(n_splits):
    """Print the accuracies of all classifiers on several splits."""
    texts, y, docstrings = words.paragraphs(words.NAMES)
    H = words.hashed(texts)
    n_words, n_columns = len({word for text in texts for word in text}), len(np.unique(H.indices))
    print(
        f"{len(texts)} paragraphs, {n_words} words in {n_columns} columns, {H.nnz / len(texts):.0f} in a row"
    )
    found = {}
    for seed in range(n_splits):
        train, val, test = words.split(docstrings, np.random.default_rng(seed))
        X = words.weighted(H, train)
        data = X, y, train, val
        models = {
            "logistic regression": words.logistic_regression(*data, (3, 10, 30, 100)),
            "network": words.network(*data, seed),
            "network without hidden layer": words.network(*data, seed, hidden=(), rate=1e-2),
            "network, linear hidden layer": words.network(*data, seed, activation="identity"),
        }
        for name, model in models.items():
            found.setdefault(name, []).append(model.score(X[test], y[test]))
    print(f"accuracy on the test paragraphs of {n_splits} splits, and minus that of logistic regression")
    for name, shares in found.items():
        ahead = [a - b for a, b in zip(shares, found["logistic regression"], strict=True)]
        print(f"  {name:<30}{spread(shares, '.1%')}   {spread(ahead, '+.1%')}")


def epoch_of_dnn(X, y):
    """Return a function that trains for some epochs and returns the classifier."""
    from dnn import MLPClassifier

    def train(epochs):
        return MLPClassifier(
            (HIDDEN,), learning_rate_init=RATE, batch_size=BATCH_SIZE, dropout=DROPOUT, max_iter=epochs,
            n_iter_no_change=epochs, random_state=0,
        ).fit(X, y)  # fmt: skip

    return train


def epoch_of_torch(X, y):
    """Return the same for PyTorch."""
    import torch
    from torch import nn

    targets = torch.from_numpy(y)

    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.EmbeddingBag(X.shape[1], HIDDEN, mode="sum")
            self.bias = nn.Parameter(torch.zeros(HIDDEN))
            bound = (6 / (X.shape[1] + HIDDEN)) ** 0.5  # scikit-learn's first weights, which dnn draws too
            nn.init.uniform_(self.first.weight, -bound, bound)
            self.rest = nn.Sequential(nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, int(y.max()) + 1))

        def forward(self, rows):
            arrays = rows.indices.astype(np.int64), rows.indptr[:-1].astype(np.int64)
            columns, offsets = map(torch.from_numpy, arrays)
            hidden = self.first(columns, offsets, per_sample_weights=torch.from_numpy(rows.data)) + self.bias
            return self.rest(hidden)

        def score(self, X, y):
            self.eval()
            with torch.no_grad():
                return float((self(X).argmax(axis=1).numpy() == y).mean())

    def train(epochs):
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        net = Bag()
        adam = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
        for _ in range(epochs):
            order = rng.permutation(X.shape[0])
            for begin in range(0, len(order), BATCH_SIZE):
                batch = order[begin : begin + BATCH_SIZE]
                loss = nn.functional.cross_entropy(net(X[batch]), targets[batch])
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()
        return net

    return train


def times(quick):
    """Print the time of an epoch, the fits being timed alternately."""
    texts, y, docstrings = words.paragraphs(words.NAMES)
    train, _, test = words.split(docstrings, np.random.default_rng(0))
    X = words.weighted(words.hashed(texts), train)
    contenders = {"dnn": epoch_of_dnn(X[train], y[train])}
    if side_by_side.pytorch():
        contenders["PyTorch"] = epoch_of_torch(X[train], y[train])
    epochs = 2 if quick else 8
    for name, fit in contenders.items():
        net = fit(epochs)  # warms up, too
        print(f"  {name} after {epochs} epochs: {net.score(X[test], y[test]):.1%} right")
    fits = {name: partial(fit, epochs) for name, fit in contenders.items()}
    medians = side_by_side.in_turns(fits, 1 if quick else 3)
    side_by_side.print_times(medians, f"{epochs} epochs of {len(train)} paragraphs")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the number of epochs is given, and ends before convergence
    print(side_by_side.machine())
    times(options.quick)
    accuracies(1 if options.quick else options.splits)
