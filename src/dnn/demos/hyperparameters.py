"""A search over hundreds of small networks: learning rate, iterations, layers, units, and four more."""

from __future__ import annotations

import time
import warnings
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from .. import SGD, History, Network, NoProgressWarning, fit_many
from . import sheet
from .points import moons

RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
EPOCHS = (5, 20, 80)
LAYERS = (1, 2, 3)
UNITS = (4, 16)
ACTIVATIONS = ("relu", "tanh")
MOMENTA = (0.0, 0.9)
BATCHES = (16, 128)
ALPHAS = (0.0, 0.1)
# Axes of the errors
NAMES = ("activation", "momentum", "batch", "alpha", "layers x units", "rate", "epochs")
NOISE = 0.25


class Measured(NamedTuple):
    """Validation errors in percent, along `NAMES`; the best combination and its test error."""

    wrong: np.ndarray
    best: tuple[int, ...]
    test: float
    seconds: float
    n_nets: int


def errors(net: Network, X: np.ndarray, y: np.ndarray) -> float:
    """Return the share of points that a network misclassifies, in percent.

    Examples
    --------
    >>> errors(Network([1, 1], output="sigmoid", init="zeros"), np.zeros((4, 1)), np.array([0, 0, 0, 1]))
    25.0
    """
    return 100 * float(np.mean((net(X)[:, 0] > 0.5) != y))


def measure(quick: bool = False) -> Measured:
    """Return the errors of networks trained on 200 points, selected on 500 others, tested on 2000 more."""
    X, y = moons(200, noise=NOISE, seed=1)
    X_val, y_val = moons(500, noise=NOISE, seed=2)
    X_test, y_test = moons(2000, noise=NOISE, seed=3)
    rates, lengths = (RATES[:2], (1, 2)) if quick else (RATES, EPOCHS)
    choices = list(product(ACTIVATIONS, MOMENTA, BATCHES, ALPHAS, product(LAYERS, UNITS), rates))
    wrong = np.full((len(choices), len(lengths)), 50.0)  # no better than chance, for those that diverge
    began = time.perf_counter()
    nets, each = [], []
    for activation, momentum, batch, alpha, (layers, units), rate in choices:
        net = Network([2, *[units] * layers, 1], activation=activation, output="sigmoid", random_state=0)
        state = net.optimizer(SGD(rate, momentum=momentum))
        nets.append(net)
        each.append({"optimizer": state, "batch_size": batch, "alpha": alpha})
    going = list(range(len(nets)))  # those that have not diverged
    kept: Network | None = None
    for column, (done, epochs) in enumerate(pairwise((0, *lengths))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoProgressWarning)
            ended = fit_many(
                [nets[i] for i in going], X, y, each=[each[i] for i in going], epochs=epochs - done,
                diverged="return",
            )  # fmt: skip
        going = [i for i, history in zip(going, ended, strict=True) if isinstance(history, History)]
        lowest = wrong.min()
        for i in going:
            wrong[i, column] = errors(nets[i], X_val, y_val)
        if wrong.min() < lowest:
            kept = nets[int(wrong[:, column].argmin())].copy()
    best = int(wrong.argmin())
    assert kept is not None
    seconds = time.perf_counter() - began
    shape = (
        len(ACTIVATIONS), len(MOMENTA), len(BATCHES), len(ALPHAS), len(LAYERS) * len(UNITS), len(rates),
        len(lengths),
    )  # fmt: skip
    place = tuple(int(i) for i in np.unravel_index(best, shape))
    # The test points are used only once, for the selected network.
    return Measured(np.reshape(wrong, shape), place, errors(kept, X_test, y_test), seconds, len(choices))


def values_of(m: Measured) -> tuple[tuple[Any, ...], ...]:
    """Return the values along each axis of the errors."""
    lengths = EPOCHS if m.wrong.shape[-1] == len(EPOCHS) else (1, 2)
    return ACTIVATIONS, MOMENTA, BATCHES, ALPHAS, tuple(product(LAYERS, UNITS)), RATES, lengths


def tell(m: Measured) -> str:
    """Return the results as text."""
    values = values_of(m)
    lines = [
        f"{m.n_nets} networks with 1 to 3 hidden layers, trained on two moons and evaluated after "
        f"{', '.join(map(str, values[-1]))} epochs: {m.seconds:.1f} s.\n"
    ]
    lines.append("validation error in percent, median over all other hyper-parameters")
    medians = {}
    for axis, (name, each) in enumerate(zip(NAMES, values, strict=True)):
        others = tuple(i for i in range(m.wrong.ndim) if i != axis)
        medians[name] = np.median(m.wrong, axis=others)
        said = (" x ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in each)
        pairs = (f"{value}: {found:.1f}" for value, found in zip(said, medians[name], strict=False))
        lines.append(f"{name:16}" + "  ".join(pairs))
    chosen = ", ".join(f"{n} {v[i]}" for n, v, i in zip(NAMES, values, m.best, strict=True))
    spread = {name: float(np.ptp(found)) for name, found in medians.items()}
    first, second = sorted(spread, key=lambda name: -spread[name])[:2]
    lines.append(
        f"\nThe best combination has an error of {m.wrong[m.best]:.1f} % on the validation points:\n"
        f"   {chosen}."
    )
    lines.append(
        f"On the test points, used once and only for this network, the error is {m.test:.1f} %. The "
        "validation error\nis too optimistic, because it was used to select this network among "
        f"{m.wrong.size:,}. The medians differ most\nby {first} ({spread[first]:.1f} points), then by "
        f"{second} ({spread[second]:.1f})."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: a grid of error maps, in which light means a small error."""
    activations, momenta, _, _, sizes, rates, lengths = values_of(m)
    n_rates = m.wrong.shape[5]
    rows = list(product(range(len(activations)), range(len(momenta))))
    figure, axes = sheet(7.6, len(rows), len(lengths), sharex=True, sharey=True, squeeze=False)
    # The best over batch size and penalty, which have the least influence
    shown = m.wrong.min(axis=(2, 3))
    for row, (a, mu) in enumerate(rows):
        for column, epochs in enumerate(lengths):
            ax = axes[row, column]
            image = ax.imshow(shown[a, mu, ..., column], cmap="cividis_r", vmin=5, vmax=25, aspect="auto")
            if (a, mu, column) == (m.best[0], m.best[1], m.best[6]):
                ax.plot(m.best[5], m.best[4], "*", color="black", markersize=16)
            if row == 0:
                ax.set_title(f"{epochs} epochs", fontsize=14)
            if column == 0:
                ax.set_ylabel(f"{activations[a]}\n{'momentum' if momenta[mu] else 'no mom.'}", fontsize=14)
            ax.spines[:].set_visible(False)
            ax.set_xticks(range(1, n_rates, 2), [f"{rate:g}" for rate in rates[1:n_rates:2]])
            ax.set_yticks(range(len(sizes)), [f"{k} x {n}" for k, n in sizes], fontsize=10)
            ax.tick_params(length=0)
    figure.supxlabel("learning rate; down: layers x units", fontsize=14)
    bar = figure.colorbar(image, ax=axes, shrink=0.5, pad=0.02)
    bar.set_label("validation error, %")
    return figure
