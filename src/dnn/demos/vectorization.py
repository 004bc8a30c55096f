"""Loops, NumPy and compiled: times of a dot product of a million elements, a layer, and a training step."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Network
from ..course import compiled, loops, vectorized
from ..inspection.plotting import BLUE, COLORS, VERMILION
from . import one_thread, sheet

WAYS = ("loops", "NumPy", "compiled")
PICTURES = 209  # number of the course's cat pictures
LOOPED = 11  # number of pictures for the loops, whose time is proportional to it
HIDDEN = (20, 7, 5, 1)


class Measured(NamedTuple):
    """Seconds of a dot product, a layer and a training step, for each implementation and size."""

    dot_sizes: list[int]
    dot: dict[str, list[float]]
    layer_sizes: list[int]
    layer: dict[str, list[float]]
    step_sizes: list[int]
    step: dict[str, list[float]]


def seconds(work: Callable[[], object], least: float = 0.02, runs: int = 5) -> float:
    """Return the median time of a call, in runs of as many calls as take `least` seconds."""
    began = time.perf_counter()
    work()
    once = time.perf_counter() - began
    if once > 20 * least:
        return once
    calls = max(1, int(least / max(once, 1e-7)))
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        for _ in range(calls):
            work()
        taken.append((time.perf_counter() - began) / calls)
    return median(taken)


def looped_dot(a: list[float], b: list[float]) -> float:
    """Return the dot product, element by element.

    Examples
    --------
    >>> looped_dot([1.0, 2.0], [3.0, 4.0])
    11.0
    """
    c = 0.0
    for i in range(len(a)):
        c += a[i] * b[i]
    return c


def dot(n: int, rng: np.random.Generator) -> dict[str, float]:
    """Return the seconds of a dot product of n elements; the compiled one is a network of one unit."""
    a, b = rng.uniform(size=n), rng.uniform(size=n)
    as_lists = a.tolist(), b.tolist()
    net = Network([n, 1], init="zeros", dtype="float64")
    net.weights[0][:, 0] = b
    predictor = net.predictor()
    found = looped_dot(*as_lists), float(a @ b), float(predictor(a)[0])
    if not np.allclose(found, found[0], rtol=1e-9):
        raise AssertionError(f"the three dot products differ: {found}")
    works = (lambda: looped_dot(*as_lists), lambda: a @ b, lambda: predictor(a))
    return {way: seconds(work) for way, work in zip(WAYS, works, strict=True)}


def layer(n: int, rng: np.random.Generator) -> dict[str, float]:
    """Return the seconds of a layer with n inputs and n units for 64 examples."""
    A, W, b = rng.normal(size=(n, 64)), rng.normal(size=(n, n)), rng.normal(size=(n, 1))
    lists = A.tolist(), W.tolist(), b.tolist()
    return {
        "loops": seconds(lambda: loops.layers.linear_activation_forward(*lists, "tanh")),
        "NumPy": seconds(lambda: vectorized.layers.linear_activation_forward(A, W, b, "tanh")),
        "compiled": seconds(lambda: compiled.layers.linear_activation_forward(A, W, b, "tanh")),
    }


def step(n: int, rng: np.random.Generator, looped: int = LOOPED) -> dict[str, float]:
    """Return the seconds of a step of gradient descent: n-20-7-5-1 on 209 pictures of n pixels, float32."""
    X = rng.uniform(size=(n, PICTURES)).astype(np.float32)
    Y = rng.integers(0, 2, (1, PICTURES)).astype(np.float32)
    parameters = {
        name: P.astype(np.float32)
        for name, P in vectorized.initialize_parameters([n, *HIDDEN], "xavier", seed=1).items()
    }

    def descend(course: Any, X: Any, Y: Any, parameters: Any) -> Any:
        # These functions do not validate their arguments, so that the times are those of the computation.
        AL, caches = course.layers.L_model_forward(X, parameters)
        course.layers.compute_cost(AL, Y)
        grads = course.layers.L_model_backward(AL, Y, caches)
        return course.training.update_parameters(parameters, grads, 0.0075)

    few = X[:, :looped].tolist(), Y[:, :looped].tolist(), {name: P.tolist() for name, P in parameters.items()}
    net = Network([n, *HIDDEN], output="sigmoid", random_state=1)
    rows, targets = np.ascontiguousarray(X.T), np.ascontiguousarray(Y.T)
    steps = 20

    def fit() -> object:
        return net.fit(rows, targets, optimizer=SGD(0.0075), epochs=steps, batch_size=None)

    began = time.perf_counter()
    descend(loops, *few)
    by_loops = (time.perf_counter() - began) * PICTURES / looped
    return {
        "loops": by_loops,
        "NumPy": seconds(lambda: descend(vectorized, X, Y, parameters)),
        "compiled": seconds(fit) / steps,
    }


def measure(quick: bool = False) -> Measured:
    """Return the times on one thread; the three implementations run one after the other."""
    rng = np.random.default_rng(0)
    dots = [100, 1000] if quick else [100, 1000, 10_000, 100_000, 1_000_000]
    layers = [4, 8] if quick else [4, 16, 64, 128]
    steps = [12, 48] if quick else [48, 192, 768, 3072, 12288]

    def table(sizes: list[int], work: Callable[[int], dict[str, float]]) -> dict[str, list[float]]:
        found = [work(n) for n in sizes]
        return {way: [each[way] for each in found] for way in WAYS}

    with one_thread():
        return Measured(
            dots, table(dots, lambda n: dot(n, rng)),
            layers, table(layers, lambda n: layer(n, rng)),
            steps, table(steps, lambda n: step(n, rng)),
        )  # fmt: skip


def said(value: float) -> str:
    """Return a time with its unit."""
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if value * scale >= 1 or unit == "us":
            return f"{value * scale:.3g} {unit}"
    raise AssertionError


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = ["The same computation as Python loops, in NumPy, and compiled (dnn), on one thread.\n"]
    named = (
        (f"dot product of {m.dot_sizes[-1]:,} elements", m.dot),
        (f"layer of {m.layer_sizes[-1]} units, 64 examples", m.layer),
        (f"step of {m.step_sizes[-1]}-20-7-5-1, 209 pictures, float32", m.step),
    )
    lines.append(f"{'':50}{'loops':>9}{'NumPy':>9}{'compiled':>10}{'loops/':>10}{'NumPy/':>10}")
    lines.append(f"{'':50}{'':28}{'compiled':>10}{'compiled':>10}")
    for name, taken in named:
        a, b, c = (taken[way][-1] for way in WAYS)
        lines.append(f"{name:50}{said(a):>9}{said(b):>9}{said(c):>10}{a / c:10,.0f}{b / c:10.1f}")
    lines.append(
        "\nIn NumPy, a dot product and a layer are one call already, so that little is left to gain. A step\n"
        "consists of many products and other operations; compiled, all of them and all steps are one call.\n"
        f"(The loops are timed with {LOOPED} of the 209 pictures, and the time is scaled to all.)"
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: times against sizes, on logarithmic scales."""
    figure, axes = sheet(4.2, 1, 3)
    parts = (
        ("a dot product", "elements", m.dot_sizes, m.dot),
        ("a layer", "units", m.layer_sizes, m.layer),
        ("a training step", "pixels per picture", m.step_sizes, m.step),
    )
    for ax, (title, across, sizes, taken) in zip(axes, parts, strict=True):
        for way, color, marker in zip(WAYS, (COLORS[7], VERMILION, BLUE), "s^o", strict=True):
            ax.loglog(sizes, taken[way], color=color, marker=marker, label=way)
        ends = {way: taken[way][-1] for way in WAYS}
        ratio = ends["loops"] / ends["compiled"]
        ax.annotate(
            "", (sizes[-1], ends["compiled"]), (sizes[-1], ends["loops"]),
            arrowprops={"arrowstyle": "<->", "color": "#777777"},
        )  # fmt: skip
        middle = np.sqrt(ends["loops"] * ends["compiled"])
        ax.text(
            sizes[-1] * 0.8, middle, f"{ratio:,.0f} x", ha="right", va="center",
            fontweight="bold", fontsize=15,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip
        ax.set_title(title)
        ax.set_xlabel(across)
    axes[0].set_ylabel("seconds")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
