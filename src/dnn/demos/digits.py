"""Handwritten digits: training a classifier, the time of a step written three ways, and the hidden layers."""

from __future__ import annotations

import time
from collections.abc import Callable
from inspect import unwrap
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Adam, History, Network
from .._optional import need
from ..course import loops, vectorized
from ..inspection import plotting
from . import STYLE, one_thread, sheet

LAYERS = [64, 200, 10]
EPOCHS = 30
BATCH_SIZE = 128
RATE = 3e-3

# For the training step written three ways
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
    """Return scikit-learn's 1797 pictures as 1293 training, 144 validation and 360 test pictures."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=360, stratify=y, random_state=0)
    X, X_val, y, y_val = train_test_split(X, y, test_size=144, stratify=y, random_state=0)
    return Part(X, y), Part(X_val, y_val), Part(X_test, y_test)


def shifted(pictures: Part) -> Part:
    """Return the pictures, and copies moved by half a pixel and by one pixel in four directions, (9 N, 64).

    A digit that is moved a little remains the same digit.
    """
    images = pictures.X.reshape(-1, 8, 8)
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    moved = [framed[:, 1:-1, :-2], framed[:, 1:-1, 2:], framed[:, :-2, 1:-1], framed[:, 2:, 1:-1]]
    half = [(images + image) / 2 for image in moved]
    X = np.concatenate([images, *half, *moved])
    return Part(X.reshape(-1, 64), np.tile(pictures.y, 9))


def train(random_state: int = 0, progress: bool = False) -> tuple[Network, History]:
    """Return a trained network and its history. The test pictures are not used."""
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
    """Seconds of one training step, written three ways, and the largest difference of the results."""

    loops: float
    vectorized: float
    compiled: float
    difference: float


def compare(pictures: Part) -> Comparison:
    """Time one step of gradient descent on all pictures, in float64 and from the same weights."""
    net = Network(LAYERS, output="softmax", dtype="float64", random_state=0)
    start = net.params.copy()
    parameters: dict[str, np.ndarray] = {}
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
        # Examples are columns in the course, so that W is transposed. Copies are needed as the network is
        # trained.
        parameters |= {f"W{layer}": W.T.copy(), f"b{layer}": b[:, None].copy()}
    X, Y = pictures.X.T.copy(), np.eye(10)[pictures.y].T.copy()

    def step(course: Any, X: Any, Y: Any, parameters: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        # Without the validation of arguments, so that the times are those of the computation
        names = ("L_model_forward", "compute_cost", "L_model_backward", "update_parameters")
        forward, cost_of, backward, update = (unwrap(getattr(course, name)) for name in names)
        AL, caches = forward(X, parameters, output="softmax")
        cost = cost_of(AL, Y, output="softmax")
        return cost, update(parameters, backward(AL, Y, caches), STEP_RATE)

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

    seconds: dict[Callable[[int], Any], list[float]] = {numpy_steps: [], compiled_steps: []}
    with one_thread():
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
    """Train, test, compare and draw: print the results, write ``dnn-demo.png`` and ``dnn-digits.png``.

    Parameters
    ----------
    folder : Path
        The folder for the pictures; it must exist.
    progress : bool, default False
        Show a progress bar.
    """
    rc_context = need("matplotlib", "dnn demo digits", "plot").rc_context
    need("sklearn", "dnn demo digits", "sklearn")
    pictures, validation, test = load()
    n = len(pictures.y)
    print("A network learns to read handwritten digits: 1797 pictures of 8 x 8 pixels from scikit-learn.")
    print(
        f"Training set: {n} pictures, each also moved by half a pixel and by one pixel in four directions:\n"
        f"{9 * n:,} rows."
    )
    print(
        f"Validation set: {len(validation.y)} pictures. The weights of the epoch with the lowest val_loss "
        "are kept."
    )
    print(f"Test set: {len(test.y)} pictures, which are not used for training.\n")
    net, history = train(progress=progress)
    print(net.summary())
    print(
        f"\n{EPOCHS} epochs of Adam, rate {RATE:g}, batch size {BATCH_SIZE}: {history.seconds:.2f} s. "
        "First and last epochs of the learning curve:\n"
    )
    print("epoch    loss  val_loss")
    best = history.best_epoch
    for epoch in sorted({0, 1, best or 0, EPOCHS - 2, EPOCHS - 1}):
        kept = "  lowest: weights are kept" if epoch == best else ""
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
        f"\nFrom the same weights, all three compute the same cost and {net.n_params:,} parameters; they "
        f"differ by at most\n{compared.difference:.1e}. The times are those of one thread. The loops were "
        f"timed once, NumPy and compiled alternately,\nas the median of {RUNS} runs of {STEPS} steps, the "
        "compiled steps as whole calls of fit. Loops and\nNumPy are those of dnn.course; as in the course, "
        "they also compute the gradient of the inputs (dA0).\n"
    )

    path = folder / "dnn-demo.png"
    _draw(path, history, test, predictions)
    print(f"Picture: {path}")
    inside = measure()
    path = folder / "dnn-digits.png"
    with rc_context(STYLE):
        draw(inside).savefig(path, dpi=150)
    print(f"         {path}, with these results:\n\n{tell(inside)}")


def _draw(path: Path, history: History, test: Part, predictions: np.ndarray) -> None:
    from matplotlib.figure import Figure

    # A figure without pyplot needs no display and leaves nothing open.
    figure = Figure(figsize=(8, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    plotting.learning_curve(history, left)
    wrong = predictions != test.y
    # Misclassified pictures come first, the others in their order
    shown = np.argsort(~wrong, kind="stable")[:20]
    plotting.digits(test.X[shown].reshape(-1, 8, 8), predictions[shown], test.y[shown], right)
    right.set_title(f"{wrong.size - wrong.sum()} of {wrong.size} classified correctly")
    figure.savefig(path, dpi=150)


# The hidden layers of a small network: the page of the gallery

INSIDE = [64, 24, 12, 10]
# Ten colors that are safe for color-blind readers: Paul Tol's "muted" and a gray. The numerals differ too.
TEN = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#C9A227", "#CC6677", "#882255", "#AA4499",
    "#555555",
)  # fmt: skip


class Inside(NamedTuple):
    """A small network, the test pictures, and two principal components of its last hidden layer."""

    net: Network
    test: Part
    places: np.ndarray
    between: list[float]  # share of the variance between digits, in percent: of pixels, of each layer
    near: float  # pictures whose nearest neighbor in the plane is the same digit, in percent
    near_of_pixels: float
    accuracy: float


def plane(A: np.ndarray) -> np.ndarray:
    """Return the first two principal components (N, 2) of the rows.

    Examples
    --------
    >>> np.abs(plane(np.array([[0.0, 0.0, 1.0], [2.0, 0.0, 1.0]]))).tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """
    centered = A - A.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    places: np.ndarray = centered @ axes[:2].T
    return places


def between_classes(A: np.ndarray, y: np.ndarray) -> float:
    """Return the share of the variance of the rows, in percent, that lies between the class means.

    Examples
    --------
    >>> between_classes(np.array([[0.0], [0.0], [5.0], [5.0]]), np.array([1, 1, 2, 2]))
    100.0
    """
    centered = A - A.mean(axis=0)
    means = np.array([centered[y == k].mean(axis=0) for k in np.unique(y)])
    of_row = means[np.searchsorted(np.unique(y), y)]
    return 100 * float((of_row**2).sum() / (centered**2).sum())


def same_as_nearest(A: np.ndarray, y: np.ndarray) -> float:
    """Return the share of rows, in percent, that have the same class as their nearest neighbor.

    Examples
    --------
    >>> same_as_nearest(np.array([[0.0], [0.1], [5.0], [5.1]]), np.array([1, 1, 2, 3]))
    50.0
    """
    distance = ((A[:, None] - A[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    return 100 * float(np.mean(y[distance.argmin(axis=1)] == y))


def measure(quick: bool = False) -> Inside:
    """Return a network with few hidden units, and measures of its layers' outputs for the test pictures."""
    pictures, _, test = load()
    net = Network(INSIDE, activation="tanh", output="softmax", random_state=1)
    seen = shifted(pictures)
    net.fit(*seen, optimizer=Adam(RATE), epochs=1 if quick else EPOCHS, batch_size=BATCH_SIZE, alpha=1.0)
    out, cache = net.forward(test.X)
    layers = [np.asarray(A, np.float64) for A in (test.X, *cache.A[:-1])]
    places = plane(layers[-1])
    return Inside(
        net, test, places, [between_classes(A, test.y) for A in layers], same_as_nearest(places, test.y),
        same_as_nearest(plane(test.X), test.y), 100 * float(np.mean(out.argmax(axis=1) == test.y)),
    )  # fmt: skip


def tell(m: Inside) -> str:
    """Return the results as text."""
    pixels, first, second = m.between
    sizes = "-".join(map(str, INSIDE))
    return (
        f"A {sizes} network classifies {m.accuracy:.1f} % of the test pictures correctly. The first units "
        "detect strokes\nand empty regions: ink on purple pixels activates a unit, ink on orange inhibits "
        f"it. Layer by layer,\npictures of the same digit move together. Between digits lie {pixels:.0f} % "
        f"of the variance of the pixels,\n{first:.0f} % of that of the first hidden layer, and "
        f"{second:.0f} % of that of the second. In the first two\nprincipal components of the second "
        f"layer, {m.near:.0f} % of the pictures have a nearest neighbor of the\nsame digit (of the pixels: "
        f"{m.near_of_pixels:.0f} %)."
    )


def draw(m: Inside) -> Any:
    """Return the picture: the weights of the first units, and the plane of the last hidden layer."""
    figure, (left, right) = sheet(4.4, 1, 2, width_ratios=[1, 1.2])
    plotting.weights(m.net, left, shape=(8, 8), columns=4)
    left.set_title("weights of the first layer")
    for digit in range(10):
        color = TEN[digit]
        for x, y in m.places[m.test.y == digit]:
            right.text(
                x, y, str(digit), color=color, fontsize=11, fontweight="bold", ha="center", va="center"
            )
    low, high = m.places.min(axis=0), m.places.max(axis=0)
    margin = 0.04 * (high - low)
    right.set_xlim(low[0] - margin[0], high[0] + margin[0])
    right.set_ylim(low[1] - margin[1], high[1] + margin[1])
    right.set_xticks([])
    right.set_yticks([])
    right.set_title("last hidden layer, 2 components")
    return figure
