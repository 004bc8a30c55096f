"""Test error against the number of rows for three network sizes: more data suit larger networks."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from .. import Adam, Network
from ..inspection.plotting import BLUE, COLORS, VERMILION
from . import sheet
from .digits import load, shifted

UNITS = (3, 10, 128)
STEPS = 1500


class Measured(NamedTuple):
    """Test errors as shares, (network sizes, numbers of rows), and the seconds of each size."""

    rows: list[int]
    wrong: np.ndarray
    seconds: list[float]


def measure(quick: bool = False) -> Measured:
    """Return the errors, each the mean over three draws of rows and weights."""
    train, _, test = load()
    many = shifted(train)
    rows = [50, 200] if quick else [30, 100, 300, 1000, 3000, 11637]
    wrong = np.zeros((len(UNITS), len(rows)))
    seconds = [0.0] * len(UNITS)
    draws = 1 if quick else 3
    for draw_ in range(draws):
        order = np.random.default_rng(draw_).permutation(len(many.y))
        for i, units in enumerate(UNITS):
            for j, n in enumerate(rows):
                some = order[:n]
                net = Network([64, units, 10], output="softmax", random_state=draw_)
                epochs = max(1, (100 if quick else STEPS) * 64 // n)
                began = time.perf_counter()
                net.fit(many.X[some], many.y[some], optimizer=Adam(5e-3), epochs=epochs, batch_size=64)
                seconds[i] += (time.perf_counter() - began) / draws / len(rows)
                wrong[i, j] += np.mean(net(test.X).argmax(axis=1) != test.y) / draws
    return Measured(rows, wrong, seconds)


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = ["Handwritten digits: test errors in percent of networks of three sizes.\n"]
    lines.append(f"{'hidden units':>12}" + "".join(f"{n:>9,}" for n in m.rows) + "  training pictures")
    lines += [
        f"{units:12}" + "".join(f"{100 * each:9.1f}" for each in wrong) + f"  {1000 * s:.0f} ms per network"
        for units, wrong, s in zip(UNITS, m.wrong, m.seconds, strict=True)
    ]
    small, large = m.wrong[0], m.wrong[-1]
    lines.append(
        f"\nFrom {m.rows[-2]:,} to {m.rows[-1]:,} pictures, the error of the small network goes from "
        f"{100 * small[-2]:.0f} to {100 * small[-1]:.0f} %: its\n"
        f"capacity is too small. The large network still improves, from {100 * large[-2]:.1f} to "
        f"{100 * large[-1]:.1f} %. More data suit a\n"
        "larger network, and both need more computation, which is why the three grew together."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: one line per network size."""
    figure, ax = sheet(4.6)
    for units, wrong, color, marker in zip(UNITS, m.wrong, (COLORS[4], VERMILION, BLUE), "^so", strict=True):
        ax.loglog(m.rows, 100 * wrong, color=color, marker=marker)
        ax.text(
            m.rows[-1] * 1.12, 100 * wrong[-1], f"{units} hidden units", color=color, va="center",
            fontsize=15, fontweight="bold",
        )  # fmt: skip
    ax.set_xlabel("training pictures")
    ax.set_title("test error, in %")
    ax.set_xlim(right=m.rows[-1] * 8)
    ax.set_xticks(m.rows, [f"{n:,}" for n in m.rows], fontsize=12)
    ax.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
    ax.minorticks_off()
    return figure
