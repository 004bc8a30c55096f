"""Benefits of depth: units for the parity of n bits, and a zigzag learned by one to three hidden layers."""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from .. import Adam, Network, NoProgressWarning
from ..inspection.plotting import BLUE, VERMILION
from . import sheet

# Hidden layers of networks with about the same number of parameters: 298, 286, 298
SHAPES: tuple[tuple[int, ...], ...] = ((99,), (15, 15), (11, 11, 11))
FOLDS = 3
SEEDS = 5
EPOCHS = 100


class Trained(NamedTuple):
    """Networks on the zigzag: number of parameters, test errors (root mean square), the median curve."""

    n_params: int
    errors: list[float]
    curve: np.ndarray


class Measured(NamedTuple):
    """Hidden units of constructions for parity, and networks trained on parity and on the zigzag."""

    bits: list[int]
    patterns: list[int]
    deep: list[int]
    parity: dict[int, int]  # from bits to units of one layer; 0 if no tried number learned it
    table: np.ndarray  # of four bits: inputs, outputs of the layers, parity, (16, 7)
    tried: tuple[int, ...]
    x: np.ndarray
    zigzag: dict[tuple[int, ...], Trained]


def bits_of(n: int) -> np.ndarray:
    """Return all patterns of n bits, (2^n, n).

    Examples
    --------
    >>> bits_of(2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    return np.array(list(product((0.0, 1.0), repeat=n)))


def of_patterns(n: int) -> Network:
    """Return a network of one hidden layer with a unit for every pattern of odd parity: 2^(n-1) relu units.

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
    """Return a deep relu network for n = 2, 4, 8, ...: layers compute ``relu(a - b) + relu(b - a)``.

    This is a xor b. The next layer computes the sums. The layers have n units, then n / 2, ..., then 2.

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
        # The inputs of xor are single bits in the first layer, and sums of two units later
        width = 1 if layer == 0 else 2
        for pair in range(W.shape[1] // 2):
            a = slice(2 * pair * width, (2 * pair + 1) * width)
            b = slice((2 * pair + 1) * width, (2 * pair + 2) * width)
            W[a, 2 * pair], W[b, 2 * pair] = 1, -1
            W[a, 2 * pair + 1], W[b, 2 * pair + 1] = -1, 1
    net.weights[-1][...] = 1.0
    return net


def parity(X: np.ndarray) -> np.ndarray:
    """Return 1 for each row with an odd number of ones, else 0."""
    odd: np.ndarray = X.sum(axis=1) % 2
    return odd


def zigzag(x: np.ndarray) -> np.ndarray:
    """Return the line from -1 to 1, folded three times into 2^3 pieces that go up and down over 0 .. 1.

    Two relu units can compute a fold, and each layer can fold the output of the previous one.

    Examples
    --------
    >>> zigzag(np.array([0.0, 0.125, 0.25, 1.0])).tolist()
    [-1.0, 1.0, -1.0, -1.0]
    """
    y = x
    for _ in range(FOLDS):
        y = 1 - np.abs(2 * y - 1)
    return 2 * y - 1


def on_zigzag(hidden: tuple[int, ...], seeds: int, epochs: int) -> Trained:
    """Return the results of training relu networks with these hidden layers on the zigzag."""
    x = np.random.default_rng(1).uniform(size=2000)
    across = np.linspace(0, 1, 801)
    X, X_test = (np.sqrt(12) * (each[:, None] - 0.5) for each in (x, across))
    nets, errors = [], []
    for seed in range(seeds):
        net = Network([1, *hidden, 1], random_state=seed)
        net.fit(X, zigzag(x), optimizer=Adam(5e-3), epochs=epochs, batch_size=64)
        nets.append(net)
        errors.append(float(np.sqrt(np.mean((net(X_test)[:, 0] - zigzag(across)) ** 2))))
    middle = nets[int(np.argsort(errors)[seeds // 2])]
    return Trained(middle.n_params, errors, middle(X_test)[:, 0])


def learns(n: int, units: int, seed: int, epochs: int) -> bool:
    """Return whether one hidden layer of this many units learns all 2^n patterns."""
    X = bits_of(n)
    net = Network([n, units, 1], activation="tanh", output="sigmoid", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoProgressWarning)
        net.fit(2 * X - 1, parity(X), optimizer=Adam(0.02), epochs=epochs, batch_size=min(64, len(X)))
    return bool(((net(2 * X - 1)[:, 0] > 0.5) == parity(X)).all())


def measure(quick: bool = False) -> Measured:
    """Return the results. Both constructions are checked on every pattern."""
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
    found = {hidden: on_zigzag(hidden, 1 if quick else SEEDS, 2 if quick else EPOCHS) for hidden in SHAPES}
    return Measured(
        every, [2 ** (n - 1) for n in every], [2 * (n - 1) for n in every], trained, table, tried,
        np.linspace(0, 1, 801), found,
    )  # fmt: skip


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = ["Parity: is the number of ones among n bits odd? Number of hidden units of two constructions:\n"]
    lines.append("bits                               " + "".join(f"{n:8}" for n in m.bits[::2]))
    lines.append("one layer, unit per pattern 2^(n-1)" + "".join(f"{n:8,}" for n in m.patterns[::2]))
    lines.append("deep, pairs of pairs        2(n-1) " + "".join(f"{n:8}" for n in m.deep[::2]))
    found = ", ".join(f"{n} bits {units or 'none'}" for n, units in m.parity.items())
    lines.append(
        "\nBoth networks are constructed, and correct for every pattern of 2, 4 and 8 bits. The course "
        "counts\ngates: a hidden layer of gates detects single patterns, a deep network computes xor of "
        "xor. Units\nthat add their inputs need no depth for parity. The smallest hidden layer of tanh "
        f"units that learned\nit by training (of {', '.join(map(str, m.tried))} units, with three starts "
        f"each):\n{found}.\n"
    )
    lines.append(
        f"Training benefits from depth on a line folded {FOLDS} times, a zigzag of {2**FOLDS} pieces. "
        "These relu\nnetworks have about the same number of parameters and take the same number of steps:\n"
    )
    lines.append(f"{'hidden layers':16}{'parameters':>11}{'test error: median':>21}{'best':>8}{'worst':>8}")
    for hidden, net in m.zigzag.items():
        lines.append(
            f"{'-'.join(map(str, hidden)):16}{net.n_params:11}{np.median(net.errors):21.3f}"
            f"{min(net.errors):8.3f}{max(net.errors):8.3f}"
        )
    lines.append(
        f"\n{2**FOLDS} units in one layer could represent the zigzag, but {SHAPES[0][0]} do not learn it. "
        "Three layers usually\ndo: each can fold the output of the previous one."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: units for parity, outputs of the deep network, and the learned zigzags."""
    figure, _ = sheet(7.8)
    figure.clear()
    grid = figure.add_gridspec(2, 6, height_ratios=[1.15, 1])
    left, right = figure.add_subplot(grid[0, :3]), figure.add_subplot(grid[0, 3:])
    left.semilogy(m.bits, m.patterns, color=VERMILION, marker="s")
    left.semilogy(m.bits, m.deep, color=BLUE, marker="o")
    left.text(
        m.bits[-1] * 0.72, m.patterns[-1] * 0.5, "one layer,\na unit per pattern", color=VERMILION,
        ha="right", va="center", fontweight="bold",
    )  # fmt: skip
    left.text(m.bits[-1], m.deep[-1] * 0.3, "deep", color=BLUE, ha="right", fontweight="bold")
    left.set_xlabel("bits")
    left.set_title("parity: number of hidden units")
    _table(m.table, right)
    for i, (hidden, net) in enumerate(m.zigzag.items()):
        ax = figure.add_subplot(grid[1, 2 * i : 2 * i + 2])
        ax.plot(m.x, zigzag(m.x), color="#bbbbbb", linewidth=4)
        ax.plot(m.x, net.curve, color=VERMILION if len(hidden) == 1 else BLUE, linewidth=1.8)
        ax.set_ylim(-1.4, 1.4)
        ax.set_xticks([0, 1])
        ax.set_yticks([-1, 1] if i == 0 else [])
        layers = f"{len(hidden)} layer{'s' if len(hidden) > 1 else ''}: {'-'.join(map(str, hidden))}"
        ax.set_title(f"{layers}\nerror {np.median(net.errors):.2f}", fontsize=14)
        if i == 1:
            ax.set_xlabel(f"a zigzag (gray), learned with about {round(net.n_params, -2)} parameters")
    return figure


def _table(table: np.ndarray, ax: Any) -> None:
    """Draw the outputs of the layers of the deep network for parity, with a row for each pattern."""
    blue = np.array([0.0, 0.447, 0.698])
    picture = np.where(table[:, :, None] > 0.5, blue, 0.93)
    # Gaps separate the layers.
    gap = np.ones((len(picture), 1, 3))
    picture = np.concatenate([picture[:, :4], gap, picture[:, 4:6], gap, picture[:, 6:]], axis=1)
    ax.imshow(picture, aspect="auto")
    ax.set_xticks([1.5, 5.5, 8], ["4 bits", "xor of\npairs", "xor of\nboth"])
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_yticks(np.arange(-0.5, 16), minor=True)
    ax.set_xticks(np.arange(-0.5, 9), minor=True)
    ax.grid(which="minor", color="white", linewidth=2)
    ax.tick_params(which="minor", length=0)
    ax.set_title("outputs of the deep layers")
