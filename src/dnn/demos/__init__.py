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

from .._optional import need

# Name of the demonstration, and what it shows; in the order of the course
DEMOS = {
    "vectorization": "loops, NumPy and compiled: a dot product, a layer, a training step",
    "housing": "house prices (or a column of your CSV): a line, all features, a hidden layer",
    "scale": "test error against rows for three sizes of net",
    "logistic": "pictures told apart by a single unit: costs, weights, learning rates",
    "cost": "the loss of one example, and the cost, the mean of all losses",
    "derivative": "a derivative as the slope of a tangent: of a^2, and of a network's cost",
    "descent": "gradient descent as a path: rates too small, right, too large, and momentum",
    "computation-graph": "J = 3(a + bc) forwards and backwards, then a whole network",
    "activations": "activations with their slopes, and the same net trained with each",
    "linear": "hidden layers without a non-linearity are one matrix",
    "symmetry": "from zeros, the units of a layer stay equal for ever",
    "saturation": "first weights too large, right, too small: one hidden layer and five",
    "planar": "a flower, with 1 to 50 hidden units, and a film of the boundary",
    "depth": "where depth pays: gates for parity, and a zigzag learnt by 1 to 3 layers",
    "digits": "handwritten digits: accuracy, what the first layer looks for, what the hidden layer sees",
    "parameters": "what training finds, and what is chosen before it",
    "hyperparameters": "hundreds of small nets: rate, iterations, layers and more; chosen, then tested",
}

# Demonstrations on data that come with scikit-learn, unless files of the user's are given
WITH_SKLEARN = {"scale", "logistic", "digits"}

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


def run(name: str, folder: Path, files: list[Path], **settings: Any) -> None:
    """Measure, print what came out, and write ``dnn-NAME.png``, and more where there is more.

    Parameters
    ----------
    name : str
        One of `DEMOS`.
    folder : Path
        Where the picture goes; it must exist.
    files : list of Path
        Files of the user's, at most as many as the demonstration's ``FILES``.
    **settings
        Of its ``measure``: ``target`` of housing.
    """
    need("matplotlib", f"dnn demo {name}", "plot")
    if name in WITH_SKLEARN and not files:
        need("sklearn", f"dnn demo {name}", "sklearn")
    module = demo(name)
    measured = module.measure(*files, **settings)
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
