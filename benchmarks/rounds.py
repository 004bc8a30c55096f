"""How accurate is a network that was trained in rounds over shards, next to one process with the same passes?

    python benchmarks/rounds.py [--seeds 3] [--epochs 10] [--quick]

MNIST with 784-128-10 and 10 epochs, from the folder of data (see CONTRIBUTING.md), and synthetic events like
those of the Higgs data set: 200,000 rows of 28 inputs, of which 7 are functions of the others, with
28-128-64-1 and 10 epochs. One process trains with the defaults of `Network.fit`, batches of 128 and
Adam(1e-3), and the rounds with those of `rounds.fit`, which depend on the number of shards. "plain" is local
SGD without what these add: batches of 128, Adam(1e-3), four rounds per epoch, no momentum. "sorted" are
shards of rows that are sorted by label, the hardest case: each shard has one or two classes.
"""

import argparse
import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from dnn import Adam, Network
from dnn.distributed import rounds

DATA = Path(os.environ.get("DNN_DATA", Path(__file__).parents[2] / "shared" / "data")) / "mnist_idx"
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "plain": {"batch_size": 128, "optimizer": Adam(1e-3), "rounds_per_epoch": 4, "outer": None},
    "sorted": {},
    "sorted, 64 rounds": {"rounds_per_epoch": 64},
}
SHARDS = (2, 4, 8, 16, 32, 64)


def mnist() -> tuple[np.ndarray, ...]:
    """Return MNIST: X, y, and those of the test."""

    def read(name: str, head: int) -> np.ndarray:
        with gzip.open(next(DATA.glob(f"{name}*"))) as file:
            return np.frombuffer(file.read(), np.uint8, offset=head)

    parts = []
    for name in ("train", "t10k"):
        parts += [read(f"{name}-images", 16).reshape(-1, 784).astype(np.float32) / 255]
        parts += [read(f"{name}-labels", 8).astype(int)]
    return tuple(parts)


def events() -> tuple[np.ndarray, ...]:
    """Return synthetic events: X, y, and those of the test."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300_000, 28)).astype(np.float32)
    for i in range(7):  # as the invariant masses, which are functions of the momenta
        X[:, 21 + i] = np.hypot(X[:, 3 * i], X[:, 3 * i + 1]) * np.exp(0.3 * X[:, 3 * i + 2]) - 1.3
    np.clip(X, -8, 8, out=X)
    z = X[:, 21] * X[:, 22] - X[:, 23] ** 2 + np.abs(X[:, 24]) + np.sin(2 * X[:, 0]) * X[:, 5] + X[:, 25]
    y = (rng.random(len(X)) < expit(2 * (z - np.median(z)))).astype(int)
    return X[:200_000], y[:200_000], X[200_000:], y[200_000:]


def accuracy(net: Network, X: np.ndarray, y: np.ndarray) -> float:
    """Return the share of right predictions in percent."""
    out = net.predict(X)
    found = out.argmax(axis=1) if out.shape[1] > 1 else out[:, 0] > 0.5
    return 100 * float((found == y).mean())


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="two epochs, and 4 and 16 shards")
    given = parser.parse_args()
    epochs, counts = (2, (4, 16)) if given.quick else (given.epochs, SHARDS)
    for name, read, layers, output in (
        ("MNIST", mnist, [784, 128, 10], "softmax"),
        ("events", events, [28, 128, 64, 1], "sigmoid"),
    ):
        X, y, X_test, y_test = read()
        one = []
        for seed in range(given.seeds):
            net = Network(layers, output=output, random_state=seed)
            net.fit(X, y, epochs=epochs, n_threads=1)
            one.append(accuracy(net, X_test, y_test))
        print(f"{name}, {epochs} epochs, {given.seeds} seeds: one process {np.mean(one):.2f} %", flush=True)
        print(f"{'shards':>20}" + "".join(f"{n:>8}" for n in counts))
        for kind, options in OPTIONS.items():
            print(f"{kind:>20}", end="", flush=True)
            for n in counts:
                found = []
                for seed in range(given.seeds):
                    rng = np.random.default_rng(seed)
                    order = np.argsort(y, kind="stable") if "sorted" in kind else rng.permutation(len(X))
                    shards = [(X[rows], y[rows]) for rows in np.array_split(order, n)]
                    net = Network(layers, output=output, random_state=seed)
                    rounds.fit(net, shards, epochs=epochs, random_state=seed, **options)
                    found.append(accuracy(net, X_test, y_test))
                print(f"{np.mean(found):8.2f}", end="", flush=True)
            print(flush=True)
        print()


if __name__ == "__main__":
    main()
