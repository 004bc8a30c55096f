"""Parity of n bits: units needed by one hidden layer against a deep net, and what the deep one computes."""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from .. import Adam, Network, NoProgressWarning
from ..plotting import BLUE, COLORS, VERMILION
from . import sheet


class Measured(NamedTuple):
    """Hidden units by number of bits: by construction, and the fewest with which training succeeded."""

    bits: list[int]
    patterns: list[int]
    deep: list[int]
    trained: dict[int, int]  # bits to units; 0 where none of those tried did
    table: np.ndarray  # of four bits: inputs, what the layers compute, parity, (16, 7)
    tried: tuple[int, ...]


def bits_of(n: int) -> np.ndarray:
    """Return all patterns of n bits, (2^n, n).

    Examples
    --------
    >>> bits_of(2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    return np.array(list(product((0.0, 1.0), repeat=n)))


def of_patterns(n: int) -> Network:
    """Return one hidden layer with a unit for every pattern of odd parity: 2^(n-1) units of relu.

    The unit of a pattern p is ``relu(sum_i (2 p_i - 1) x_i - sum_i p_i + 1)``: 1 for p, 0 for all others.

    Examples
    --------
    >>> of_patterns(2)(bits_of(2)).ravel().tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    odd = bits_of(n)[bits_of(n).sum(axis=1) % 2 == 1]
    net = Network([n, len(odd), 1], init="zeros", dtype="float64")
    net.weights[0][...] = 2 * odd.T - 1
    net.biases[0][...] = 1 - odd.sum(axis=1)
    net.weights[1][...] = 1.0
    return net


def of_pairs(n: int) -> Network:
    """Return a deep net of relu for n = 2, 4, 8, ...: a layer takes pairs, ``relu(a - b) + relu(b - a)``.

    That is a xor b. The sums are left to the next layer: n units, then n / 2, ..., then 2.

    Examples
    --------
    >>> net = of_pairs(4)
    >>> [layer.units for layer in net.layers]
    [4, 2, 1]
    """
    sizes = [n]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] if len(sizes) == 1 else sizes[-1] // 2)
    net = Network(sizes, init="zeros", dtype="float64")
    for layer, W in enumerate(net.weights[:-1]):
        # What xor was before: single bits first, then sums of two units
        width = 1 if layer == 0 else 2
        for pair in range(W.shape[1] // 2):
            a = slice(2 * pair * width, (2 * pair + 1) * width)
            b = slice((2 * pair + 1) * width, (2 * pair + 2) * width)
            W[a, 2 * pair], W[b, 2 * pair] = 1, -1
            W[a, 2 * pair + 1], W[b, 2 * pair + 1] = -1, 1
    net.weights[-1][...] = 1.0
    return net


def parity(X: np.ndarray) -> np.ndarray:
    """Return 1 where the number of ones in a row is odd."""
    odd: np.ndarray = X.sum(axis=1) % 2
    return odd


def learns(n: int, units: int, seed: int, epochs: int) -> bool:
    """Return whether training one hidden layer of so many units gets all 2^n patterns right."""
    X = bits_of(n)
    net = Network([n, units, 1], activation="tanh", output="sigmoid", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoProgressWarning)
        net.fit(2 * X - 1, parity(X), optimizer=Adam(0.02), epochs=epochs, batch_size=min(64, len(X)))
    return bool(((net(2 * X - 1)[:, 0] > 0.5) == parity(X)).all())


def measure(quick: bool = False) -> Measured:
    """Return the counts. Both constructions are checked on every pattern."""
    bits = [2, 4] if quick else [2, 4, 8]
    for n in bits:
        X = bits_of(n)
        for net in (of_patterns(n), of_pairs(n)):
            if not np.array_equal(net(X)[:, 0], parity(X)):
                raise AssertionError(f"{net!r} does not compute the parity of {n} bits")
    tried = (1, 2, 4, 8, 16, 32)
    trained = {}
    for n in [2] if quick else [2, 3, 4, 5, 6, 7, 8]:
        works = (
            units for units in tried for seed in range(3) if learns(n, units, seed, 300 if quick else 600)
        )
        trained[n] = next(works, 0)
    X = bits_of(4)
    _, cache = of_pairs(4).forward(X)
    pairs = [cache.A[0][:, :2].sum(axis=1), cache.A[0][:, 2:].sum(axis=1)]
    table = np.column_stack([X, *pairs, cache.A[-1][:, 0]])
    every = list(range(2, 4)) if quick else list(range(2, 17))
    return Measured(every, [2 ** (n - 1) for n in every], [2 * (n - 1) for n in every], trained, table, tried)


def tell(m: Measured) -> str:
    """Return the numbers in words."""
    lines = ["Parity: is the number of ones among n bits odd? Hidden units needed.\n"]
    lines.append("bits                               " + "".join(f"{n:8}" for n in m.bits[::2]))
    lines.append("one layer, a unit a pattern 2^(n-1)" + "".join(f"{n:8,}" for n in m.patterns[::2]))
    lines.append("deep, pairs by pairs        2(n-1) " + "".join(f"{n:8}" for n in m.deep[::2]))
    found = ", ".join(f"{n} bits {units or 'none'}" for n, units in m.trained.items())
    lines.append(
        "\nBoth are built here, and right for every pattern of 2, 4 and 8 bits. The course counts gates: a\n"
        "hidden layer of gates sees single patterns, a deep one takes xor of xor. Units that add can do\n"
        "more: one hidden layer of tanh, trained, came to it with (the fewest of\n"
        f"{', '.join(map(str, m.tried))}; three starts each) {found}."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: units against bits, and what the deep net's layers compute."""
    figure, (left, right) = sheet(4.8, 1, 2, width_ratios=[1.2, 1])
    left.semilogy(m.bits, m.patterns, color=VERMILION, marker="s")
    left.semilogy(m.bits, m.deep, color=BLUE, marker="o")
    learnt = {n: units for n, units in m.trained.items() if units}
    left.semilogy(list(learnt), list(learnt.values()), color=COLORS[7], marker="^", linestyle=":")
    left.text(
        m.bits[-1] * 0.72, m.patterns[-1] * 0.5, "one layer,\na unit a pattern", color=VERMILION,
        ha="right", va="center", fontweight="bold",
    )  # fmt: skip
    left.text(m.bits[-1], m.deep[-1] * 0.45, "deep", color=BLUE, ha="right", fontweight="bold")
    left.text(
        m.bits[len(m.bits) // 2], m.deep[-1] * 1.4, "one layer, trained", color=COLORS[7], fontweight="bold"
    )
    left.set_xlabel("bits")
    left.set_title("hidden units for parity")
    blue = np.array([0.0, 0.447, 0.698])
    picture = np.where(m.table[:, :, None] > 0.5, blue, 0.93)
    # Gaps set the layers apart.
    gap = np.ones((len(picture), 1, 3))
    picture = np.concatenate([picture[:, :4], gap, picture[:, 4:6], gap, picture[:, 6:]], axis=1)
    right.imshow(picture, aspect="auto")
    right.set_xticks([1.5, 5.5, 8], ["4 bits", "xor of\npairs", "xor of\nboth"])
    right.set_yticks([])
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
    right.set_yticks(np.arange(-0.5, 16), minor=True)
    right.set_xticks(np.arange(-0.5, 9), minor=True)
    right.grid(which="minor", color="white", linewidth=2)
    right.tick_params(which="minor", length=0)
    right.set_title("what its layers compute")
    return figure
