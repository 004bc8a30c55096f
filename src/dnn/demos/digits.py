"""Handwritten digits: a network learns to read them, and one training step is done in three ways."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Adam, History, Network, plotting
from ..course import loops, vectorized

LAYERS = [64, 200, 10]
EPOCHS = 30
BATCH_SIZE = 128
RATE = 3e-3

# Of the step that is done in three ways
ROWS = 200
STEP_RATE = 0.1
STEPS = 50
RUNS = 7
TOLERANCE = 1e-9


class Part(NamedTuple):
    """Pictures X (N, 64), pixels in 0 .. 1, and the digits y (N,) that they show."""

    X: np.ndarray
    y: np.ndarray


def load() -> tuple[Part, Part, Part]:
    """Return scikit-learn's 1797 pictures as 1293 to train with, 144 to validate and 360 to test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=360, stratify=y, random_state=0)
    X, X_val, y, y_val = train_test_split(X, y, test_size=144, stratify=y, random_state=0)
    return Part(X, y), Part(X_val, y_val), Part(X_test, y_test)


def shifted(pictures: Part) -> Part:
    """Return the pictures and each of them moved by half a pixel and by one in four directions, (9 N, 64).

    A digit stays the same digit when the hand that writes it moves a little.
    """
    images = pictures.X.reshape(-1, 8, 8)
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    moved = [framed[:, 1:-1, :-2], framed[:, 1:-1, 2:], framed[:, :-2, 1:-1], framed[:, 2:, 1:-1]]
    half = [(images + image) / 2 for image in moved]
    X = np.concatenate([images, *half, *moved])
    return Part(X.reshape(-1, 64), np.tile(pictures.y, 9))


def train(random_state: int = 0, progress: bool = False) -> tuple[Network, History]:
    """Return a network that has learnt to read, and how it went. The test pictures stay unseen."""
    pictures, validation, _ = load()
    net = Network(LAYERS, output="softmax", random_state=random_state)
    history = net.fit(
        *shifted(pictures),
        X_val=validation.X,
        y_val=validation.y,
        optimizer=Adam(RATE),
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        progress=progress,
    )
    return net, history


class Comparison(NamedTuple):
    """Seconds that one training step takes in each way, and the largest difference between their results."""

    loops: float
    vectorized: float
    compiled: float
    difference: float


def compare(pictures: Part) -> Comparison:
    """Return what one step on all the pictures takes: gradient descent in float64, from the same weights."""
    net = Network(LAYERS, output="softmax", dtype="float64", random_state=0)
    start = net.params.copy()
    parameters: dict[str, np.ndarray] = {}
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
        # Examples are columns in the course, hence W transposed. Copies: the network goes on to train.
        parameters |= {f"W{layer}": W.T.copy(), f"b{layer}": b[:, None].copy()}
    X, Y = pictures.X.T.copy(), np.eye(10)[pictures.y].T.copy()

    def step(course: Any, X: Any, Y: Any, parameters: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        AL, caches = course.L_model_forward(X, parameters, output="softmax")
        cost = course.compute_cost(AL, Y, output="softmax")
        grads = course.L_model_backward(AL, Y, caches)
        return cost, course.update_parameters(parameters, grads, STEP_RATE)

    def numpy_steps(n: int) -> tuple[float, dict[str, np.ndarray]]:
        new = parameters
        for _ in range(n):
            cost, new = step(vectorized, X, Y, new)
        return cost, new

    def compiled_steps(n: int) -> float:
        net.params[:] = start
        return net.fit(*pictures, optimizer=SGD(STEP_RATE), epochs=n, batch_size=None).loss[-1]

    lists = X.tolist(), Y.tolist(), {name: P.tolist() for name, P in parameters.items()}
    began = time.perf_counter()
    results = [step(loops, *lists)]
    loops_seconds = time.perf_counter() - began

    results.append(numpy_steps(1))
    cost = compiled_steps(1)
    compiled = np.append(net.params, cost)
    difference = max(float(np.abs(_flat(*result) - compiled).max()) for result in results)
    if not difference <= TOLERANCE:
        raise AssertionError(f"loops, NumPy and compiled differ by {difference:g}, more than {TOLERANCE:g}")

    # scikit-learn brings it.
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    seconds: dict[Callable[[int], Any], list[float]] = {numpy_steps: [], compiled_steps: []}
    # One thread for both: NumPy's BLAS would take all cores, and be many times slower where they are busy.
    with threadpool_limits(1):
        # In turns, so that what else the machine does falls on both.
        for _ in range(RUNS):
            for way, taken in seconds.items():
                began = time.perf_counter()
                way(STEPS)
                taken.append((time.perf_counter() - began) / STEPS)
    return Comparison(
        loops_seconds, median(seconds[numpy_steps]), median(seconds[compiled_steps]), difference
    )


def _flat(cost: float, parameters: dict[str, Any]) -> np.ndarray:
    """Return the course's parameters in the order of Network.params, and the cost (P + 1,)."""
    return np.concatenate([*(np.transpose(P).ravel() for P in parameters.values()), [cost]])


def run(folder: Path, progress: bool = False) -> None:
    """Train, test, compare and draw: print what happened, and write ``dnn-demo.png``.

    Parameters
    ----------
    folder : Path
        Where the picture goes; it must exist.
    progress : bool, default False
        Show a progress bar.
    """
    pictures, validation, test = load()
    n = len(pictures.y)
    print("A network learns to read digits: 1797 pictures of 8 x 8 pixels, which come with scikit-learn.")
    print(f"{n} train it, each also moved by half a pixel and by one in four directions: {9 * n:,} rows;")
    print(f"{len(validation.y)} validate it: the weights of the epoch with the lowest val_loss are kept;")
    print(f"{len(test.y)} test it: it never sees them before.\n")
    net, history = train(progress=progress)
    print(net.summary())
    print(
        f"\n{EPOCHS} epochs of Adam, rate {RATE:g}, {BATCH_SIZE} rows a step: {history.seconds:.2f} s. "
        "The ends of the learning curve:\n"
    )
    print("epoch    loss  val_loss")
    best = history.best_epoch
    for epoch in sorted({0, 1, best or 0, EPOCHS - 2, EPOCHS - 1}):
        kept = "  lowest: kept" if epoch == best else ""
        print(f"{epoch + 1:5}{history.loss[epoch]:8.4f}{history.val_loss[epoch]:10.4f}{kept}")

    predictions = net(test.X).argmax(axis=1)
    right = predictions == test.y
    print(f"\nTest accuracy: {100 * right.mean():.2f} % ({right.sum()} of {right.size})\n")

    print(
        f"One training step (forward, cost, backward, gradient descent) of {'-'.join(map(str, LAYERS))} "
        f"on {ROWS} pictures, float64:\n"
    )
    compared = compare(Part(pictures.X[:ROWS], pictures.y[:ROWS]))
    print(f"{'':18}{'milliseconds':>12}{'loops / this':>15}{'NumPy / this':>15}")
    loops_ms, numpy_ms, compiled_ms = (1000 * seconds for seconds in compared[:3])
    print(f"Python loops      {loops_ms:12,.3f}")
    print(f"vectorized NumPy  {numpy_ms:12,.3f}{loops_ms / numpy_ms:15,.0f}")
    by_loops, by_numpy = loops_ms / compiled_ms, numpy_ms / compiled_ms
    print(f"compiled, dnn     {compiled_ms:12,.3f}{by_loops:15,.0f}{by_numpy:15.1f}")
    print(
        f"\nFrom the same weights, all come to the same cost and {net.n_params:,} parameters; they differ\n"
        f"by at most {compared.difference:.1e}. Timed, on one thread: the loops once; NumPy and compiled in\n"
        f"turns, the median of {RUNS} runs of {STEPS} steps, the compiled ones as whole calls of fit. Loops\n"
        "and NumPy are dnn.course: as in the course, they find the gradient of the inputs too (dA0).\n"
    )

    path = folder / "dnn-demo.png"
    _draw(path, history, test, predictions)
    print(f"Picture: {path}")


def _draw(path: Path, history: History, test: Part, predictions: np.ndarray) -> None:
    from matplotlib.figure import Figure

    # A figure by itself, without pyplot: needs no display, and nothing is left open.
    figure = Figure(figsize=(8, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    plotting.learning_curve(history, left)
    wrong = predictions != test.y
    # The wrong ones first, the others as they come
    shown = np.argsort(~wrong, kind="stable")[:20]
    plotting.digits(test.X[shown].reshape(-1, 8, 8), predictions[shown], test.y[shown], right)
    right.set_title(f"{wrong.size - wrong.sum()} of {wrong.size} read right")
    figure.savefig(path, dpi=150)
