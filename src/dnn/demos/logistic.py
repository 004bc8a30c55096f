"""Pictures classified by a single unit: the cost, the weights as a picture, and four learning rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Network
from ..inspection.plotting import BLUE, COLORS, VERMILION
from . import sheet

FILES = (
    "the course's cats as HDF5 files for training (train_catvnoncat.h5)",
    "and for the test (test_catvnoncat.h5)",
)
CATS = (0.01, 0.005, 0.001, 0.0001)
DIGITS = (10.0, 1.0, 0.1, 0.01)


class Measured(NamedTuple):
    """Costs and accuracies for each learning rate, and the weights of the unit as a picture."""

    what: str
    costs: dict[float, list[float]]
    accuracy: dict[float, tuple[float, float]]  # training and test, in percent
    rate: float  # the rate whose weights are drawn
    picture: np.ndarray
    pictures: np.ndarray  # examples of each class


def load(train: Path | None, test: Path | None) -> tuple[str, list[np.ndarray], tuple[int, ...]]:
    """Return the question, X and y for training and test, and the shape of a picture."""
    if train is not None:
        if test is None:
            raise ValueError(
                "the cats must come as two files, one for training and one for the test, got one"
            )
        import h5py

        found = {}
        for path in (train, test):  # in either order
            with h5py.File(path) as file:
                part = next((part for part in ("train", "test") if f"{part}_set_x" in file), None)
                if part is None:
                    raise ValueError(f"{path} must have train_set_x or test_set_x, like the course's files")
                X, y = file[f"{part}_set_x"][:], file[f"{part}_set_y"][:]
            found[part] = [X.reshape(len(X), -1) / 255, y]
        if len(found) < 2:
            raise ValueError(f"the two files must have train_set_x and test_set_x, got twice {part}_set_x")
        return "is it a cat?", found["train"] + found["test"], (64, 64, 3)
    from .digits import load as load_digits

    pictures, validation, tested = load_digits()
    X = np.concatenate([pictures.X, validation.X])
    y = np.concatenate([pictures.y, validation.y])
    # 3 and 8 differ in the left halves of their loops
    chosen, held = np.isin(y, (3, 8)), np.isin(tested.y, (3, 8))
    parts = [X[chosen], y[chosen] == 3, tested.X[held], tested.y[held] == 3]
    return "is it a 3 or an 8?", parts, (8, 8)


def measure(train: Path | None = None, test: Path | None = None, *, quick: bool = False) -> Measured:
    """Return the costs of gradient descent with full batches and zero initial weights, for four rates."""
    what, (X, y, X_test, y_test), shape = load(train, test)
    rates, steps = (CATS, 2000) if len(shape) == 3 else (DIGITS, 500)
    costs, accuracy, weights = {}, {}, {}
    for rate in rates:
        net = Network([X.shape[1], 1], output="sigmoid", init="zeros", dtype="float64")
        history = net.fit(X, y, optimizer=SGD(rate), epochs=20 if quick else steps, batch_size=None)
        costs[rate] = history.loss
        right = [100 * float(np.mean((net(A)[:, 0] > 0.5) == b)) for A, b in ((X, y), (X_test, y_test))]
        accuracy[rate] = right[0], right[1]
        weights[rate] = net.weights[0].reshape(shape)
    rate = rates[1]
    picture = weights[rate].mean(axis=2) if len(shape) == 3 else weights[rate]
    some = np.concatenate([X[y == 1][:3], X[y == 0][:3]])
    return Measured(what, costs, accuracy, rate, picture, some.reshape(6, *shape))


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = [f"Logistic regression: one unit with a weight for each pixel answers: {m.what}\n"]
    lines.append("learning rate  cost: first    last  accuracy: training        test")
    for rate, costs in m.costs.items():
        seen, unseen = m.accuracy[rate]
        lines.append(f"{rate:13g}{costs[0]:13.4f}{costs[-1]:8.4f}{seen:18.1f} %{unseen:10.1f} %")
    slow, fast = min(m.costs), max(m.costs)
    wild = max(m.costs[fast]) > m.costs[fast][0]
    lines.append(
        f"\nEach took {len(m.costs[slow])} steps. With a rate of {slow:g} the cost falls slowly; with "
        f"{fast:g} it {'oscillates at first' if wild else 'falls fastest'}. There is a\n"
        "weight for each pixel, so that the weights form a picture: bright pixels on purple are evidence "
        "for\nyes, those on orange for no."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: the costs for four rates, and the weights."""
    figure, (left, right) = sheet(4.2, 1, 2, width_ratios=[1.25, 1])
    styles = zip((VERMILION, BLUE, COLORS[2], COLORS[7]), ("--", "-", "-.", ":"), "so^D", strict=True)
    for (rate, costs), (color, style, marker) in zip(m.costs.items(), styles, strict=True):
        # The course shows every hundredth cost. With a rate that is too large, the cost jumps at each step.
        every = max(1, len(costs) // 20)
        left.plot(
            range(0, len(costs), every), costs[::every], color=color, linestyle=style, marker=marker,
            markersize=5, label=f"{rate:g}",
        )  # fmt: skip
    left.set_ylim(0, 1.6 * m.costs[m.rate][0])
    left.set_xticks([0, len(costs) // 2, len(costs)])
    left.set_xlabel(f"step, every {every}th")
    left.set_title("cost for each learning rate")
    left.legend(handlelength=2.2, loc="upper right", ncols=2, frameon=True, framealpha=1, edgecolor="white")
    largest = np.abs(m.picture).max()
    right.imshow(m.picture, cmap="PuOr", vmin=-largest, vmax=largest)
    right.set_title(f"weights of the unit\n{m.what}")
    right.set_axis_off()
    return figure
