"""Points of the plane in two classes, the data of several demonstrations."""

from __future__ import annotations

import numpy as np


def flower(n: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the course's flower: points X (n, 2) and their classes y (n,), which alternate between petals.

    The course uses seed 1. Other seeds give other points of the same distribution.

    Examples
    --------
    >>> X, y = flower()
    >>> X.shape, y.tolist().count(1)
    ((400, 2), 200)
    """
    rng = np.random.RandomState(seed)
    half = n // 2
    parts = []
    for label in (0, 1):
        t = np.linspace(label * 3.12, (label + 1) * 3.12, half) + rng.standard_normal(half) * 0.2
        r = 4 * np.sin(4 * t) + rng.standard_normal(half) * 0.2
        parts.append(np.stack([r * np.sin(t), r * np.cos(t)], axis=1))
    return np.concatenate(parts), np.repeat([0, 1], half)


def moons(n: int, noise: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return two interleaved half moons: points X (n, 2) and their classes y (n,).

    Examples
    --------
    >>> X, y = moons(10)
    >>> X.shape, int(y.sum())
    ((10, 2), 5)
    """
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    angle = np.pi * rng.uniform(size=n)
    X = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    X[y == 1] = [1.0, 0.5] - X[y == 1]
    return X + rng.normal(scale=noise, size=(n, 2)), y
