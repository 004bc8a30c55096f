"""Demonstrations: what a first course on neural networks claims, measured and drawn.

A demonstration is a module with three functions: ``measure`` finds the numbers, ``tell`` puts them into
words, ``draw`` into a picture. With ``quick=True`` the work is cut down to what a test needs. ``FILES`` says
which files of the user's a demonstration can take. ``extra``, where there is one, writes more files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from ..optional import need

# Name of the demonstration, and what it shows; in the order of the course
DEMOS = {
    "vectorization": "loops, NumPy and compiled: a dot product, a layer, a training step",
    "housing": "house prices: one feature and a line, more features, a hidden layer",
    "scale": "test error against rows for three sizes of net",
    "logistic": "pictures told apart by a single unit: costs, weights, learning rates",
    "descent": "gradient descent as a path: rates too small, right, too large, and momentum",
    "computation-graph": "J = 3(a + bc) forwards and backwards, then a whole network",
    "activations": "activations with their slopes, and the same net trained with each",
    "linear": "hidden layers without a non-linearity are one matrix",
    "symmetry": "from zeros, the units of a layer stay equal for ever",
    "saturation": "large first weights flatten tanh, and learning is slow",
    "planar": "a flower, with 1 to 50 hidden units, and a film of the boundary",
    "depth": "parity of n bits: one hidden layer against a deep net",
    "digits": "handwritten digits: accuracy, what the first layer looks for, what the hidden layer sees",
    "hyperparameters": "hundreds of small nets: rate, layers, units, activation, momentum, batch, penalty",
}

# Demonstrations on data that come with scikit-learn, unless files of the user's are given
WITH_SKLEARN = {"housing", "scale", "logistic", "digits"}

STYLE: Any = {
    "font.size": 14,
    "axes.titlesize": 15,
    "axes.labelsize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2.2,
    "legend.frameon": False,
}


def demo(name: str) -> Any:
    """Return the module of a demonstration.

    Examples
    --------
    >>> demo("computation-graph").__name__
    'dnn.demos.computation_graph'
    """
    return import_module(f".{name.replace('-', '_')}", __name__)


def picture(name: str, measured: Any) -> Any:
    """Return the matplotlib figure of what was measured."""
    with need("matplotlib", f"dnn demo {name}", "plot").rc_context(STYLE):
        return demo(name).draw(measured)


def run(name: str, folder: Path, files: list[Path]) -> None:
    """Measure, print what came out, and write ``dnn-NAME.png``, and more where there is more.

    Parameters
    ----------
    name : str
        One of `DEMOS`.
    folder : Path
        Where the picture goes; it must exist.
    files : list of Path
        Files of the user's, at most as many as the demonstration's ``FILES``.
    """
    need("matplotlib", f"dnn demo {name}", "plot")
    if name in WITH_SKLEARN and not files:
        need("sklearn", f"dnn demo {name}", "sklearn")
    module = demo(name)
    measured = module.measure(*files)
    print(module.tell(measured))
    path = folder / f"dnn-{name}.png"
    picture(name, measured).savefig(path, dpi=150)
    print(f"\nPicture: {path}")
    for more in module.extra(measured, folder) if hasattr(module, "extra") else ():
        print(f"         {more}")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let NumPy's products and dnn have one thread each while it lasts: times are then of the work alone.

    NumPy's BLAS would take all cores, and be many times slower where they are busy.

    Examples
    --------
    >>> with one_thread():
    ...     "DNN_NUM_THREADS" in os.environ
    True
    """
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]
    except ImportError:  # scikit-learn brings it
        threadpool_limits = nullcontext
    before = os.environ.get("DNN_NUM_THREADS")
    os.environ["DNN_NUM_THREADS"] = "1"
    try:
        with threadpool_limits(1):
            yield
    finally:
        if before is None:
            del os.environ["DNN_NUM_THREADS"]
        else:
            os.environ["DNN_NUM_THREADS"] = before


def sheet(height: float, rows: int = 1, columns: int = 1, **settings: Any) -> tuple[Any, Any]:
    """Return a figure 8 inches wide, which needs no display, and its axes."""
    figure = need("matplotlib.figure", "a demonstration", "plot").Figure(
        figsize=(8, height), layout="constrained"
    )
    return figure, figure.subplots(rows, columns, **settings)
