"""Hundreds of small nets in seconds: rate, layers, units, activation, momentum, mini-batch, penalty."""

from __future__ import annotations

import time
import warnings
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from .. import SGD, DivergedError, Network, NoProgressWarning
from . import sheet
from .points import moons

RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LAYERS = (1, 2, 3)
UNITS = (4, 16)
ACTIVATIONS = ("relu", "tanh")
MOMENTA = (0.0, 0.9)
BATCHES = (16, 128)
ALPHAS = (0.0, 0.1)
EPOCHS = 40


class Measured(NamedTuple):
    """Test points taken wrong, in percent: by activation, momentum, batch, alpha, layers x units, rate."""

    wrong: np.ndarray
    seconds: float
    n_nets: int


def measure(quick: bool = False) -> Measured:
    """Return the errors on 1000 points of nets that have seen 200."""
    X, y = moons(200, noise=0.25, seed=1)
    X_test, y_test = moons(1000, noise=0.25, seed=2)
    rates = RATES[:2] if quick else RATES
    shape = (len(ACTIVATIONS), len(MOMENTA), len(BATCHES), len(ALPHAS), len(LAYERS) * len(UNITS), len(rates))
    choices = product(ACTIVATIONS, MOMENTA, BATCHES, ALPHAS, product(LAYERS, UNITS), rates)
    wrong = []
    began = time.perf_counter()
    for activation, momentum, batch, alpha, (layers, units), rate in choices:
        net = Network([2, *[units] * layers, 1], activation=activation, output="sigmoid", random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoProgressWarning)
            try:
                net.fit(
                    X, y, optimizer=SGD(rate, momentum=momentum), epochs=1 if quick else EPOCHS,
                    batch_size=batch, alpha=alpha,
                )  # fmt: skip
            except DivergedError:
                wrong.append(50.0)  # no better than chance
                continue
        wrong.append(100 * float(np.mean((net(X_test)[:, 0] > 0.5) != y_test)))
    return Measured(np.reshape(wrong, shape), time.perf_counter() - began, len(wrong))


def tell(m: Measured) -> str:
    """Return the numbers in words."""
    names = ("activation", "momentum", "batch", "alpha", "layers x units", "rate")
    values: tuple[Any, ...] = (ACTIVATIONS, MOMENTA, BATCHES, ALPHAS, list(product(LAYERS, UNITS)), RATES)
    lines = [
        f"{m.n_nets} nets of 1 to 3 hidden layers on two moons, {EPOCHS} epochs each: {m.seconds:.1f} s, "
        f"{1000 * m.seconds / m.n_nets:.1f} ms a net.\n"
    ]
    lines.append("test error, in percent: median over all else")
    for axis, (name, each) in enumerate(zip(names, values, strict=True)):
        others = tuple(i for i in range(m.wrong.ndim) if i != axis)
        medians = np.median(m.wrong, axis=others)
        said = (" x ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in each)
        pairs = (f"{value}: {found:.1f}" for value, found in zip(said, medians, strict=False))
        lines.append(f"{name:16}" + "  ".join(pairs))
    best = np.unravel_index(m.wrong.argmin(), m.wrong.shape)
    chosen = ", ".join(f"{n} {v[int(i)]}" for n, v, i in zip(names, values, best, strict=True))
    lines.append(f"\nBest, {m.wrong.min():.1f} %: {chosen}.")
    lines.append("The rate decides first, and momentum and small batches act like a larger one.")
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: small multiples, light is good."""
    rows = [(a, mu) for a in range(2) for mu in range(2)]
    columns = [(b, p) for b in range(2) for p in range(2)]
    figure, axes = sheet(7.6, len(rows), len(columns), sharex=True, sharey=True)
    best = np.unravel_index(m.wrong.argmin(), m.wrong.shape)
    for row, (a, mu) in enumerate(rows):
        for column, (b, p) in enumerate(columns):
            ax = axes[row, column]
            image = ax.imshow(m.wrong[a, mu, b, p], cmap="cividis_r", vmin=5, vmax=25, aspect="auto")
            if (a, mu, b, p) == tuple(int(i) for i in best[:4]):
                ax.plot(int(best[5]), int(best[4]), "*", color="black", markersize=16)
            if row == 0:
                ax.set_title(f"batch {BATCHES[b]}\n{'L2' if ALPHAS[p] else 'no L2'}", fontsize=14)
            if column == 0:
                momentum = "momentum" if MOMENTA[mu] else "no mom."
                ax.set_ylabel(f"{ACTIVATIONS[a]}\n{momentum}", fontsize=14)
            ax.spines[:].set_visible(False)
            ax.set_xticks(
                range(1, m.wrong.shape[-1], 2), [f"{rate:g}" for rate in RATES[1 : m.wrong.shape[-1] : 2]]
            )
            ax.set_yticks(range(6), [f"{k} x {n}" for k, n in product(LAYERS, UNITS)], fontsize=10)
            ax.tick_params(length=0)
    figure.supxlabel("learning rate; down: layers x units", fontsize=14)
    bar = figure.colorbar(image, ax=axes, shrink=0.5, pad=0.02)
    bar.set_label("test error, %")
    return figure
