"""A piece of work: a network, its data, and how it is trained. It is the same for every contender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 1e-3


@dataclass(frozen=True)
class Work:
    sizes: tuple[int, ...]
    rows: int  # per epoch, or per prediction
    batch: int | None = None  # None: all rows, one step
    optimizer: str = "Adam"  # or "descent"
    dtype: str = "float32"
    part: int | None = None  # number of rows that are timed, before scaling to all rows; None: all

    @property
    def name(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def one_unit(self) -> bool:
        return self.sizes[-1] == 1

    @property
    def n_params(self) -> int:
        return sum((i + 1) * o for i, o in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def in_memory(self) -> int:
        """Rows that the contenders hold."""
        return self.part or self.rows

    @property
    def training_flops(self) -> int:
        """Flops of the matrix products of an epoch: forward, dW, and dX except for the first layer."""
        products = [i * o for i, o in zip(self.sizes, self.sizes[1:], strict=False)]
        return 2 * self.rows * (3 * sum(products) - products[0])

    @property
    def prediction_flops(self) -> int:
        return 2 * self.rows * sum(i * o for i, o in zip(self.sizes, self.sizes[1:], strict=False))


def start(work: Work) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return He normal weights (in, out) and small biases; the same values in both precisions."""
    rng = np.random.default_rng(0)
    weights, biases = [], []
    for i, o in zip(work.sizes, work.sizes[1:], strict=False):
        weights.append((rng.standard_normal((i, o), "f") * np.float32((2 / i) ** 0.5)).astype(work.dtype))
        biases.append((rng.standard_normal(o, "f") * np.float32(0.01)).astype(work.dtype))
    return weights, biases


def rows(work: Work, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return X (n, I) and classes y (n,). As many consecutive rows as there are classes have all classes."""
    X = np.random.default_rng(1).standard_normal((n, work.sizes[0]), "f").astype(work.dtype, copy=False)
    classes = max(work.sizes[-1], 2)
    return X, (np.arange(n) * 7919 % classes).astype(np.int64)  # 7919 is a prime


def one_hot(work: Work, y: np.ndarray) -> np.ndarray:
    """Return targets (n, O): a column of zeros and ones for one unit."""
    return (y[:, None] if work.one_unit else np.eye(work.sizes[-1])[y]).astype(work.dtype)
