"""Demonstrations that measure and draw the statements of a first course on neural networks.

A demonstration is a module with three functions: ``measure`` computes the results, ``tell`` describes them in
words, and ``draw`` draws them. With ``quick=True``, ``measure`` does only as much work as a test needs.
``FILES`` describes the user's files that a demonstration accepts. An optional function ``extra`` writes more
files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from .._optional import need

# Name and description of each demonstration, in the order of the course
DEMOS = {
    "vectorization": "loops, NumPy and compiled: a dot product, a layer, a training step",
    "housing": "house prices, or a column of your CSV: one feature, all features, a hidden layer",
    "scale": "test error against the number of rows, for three network sizes",
    "logistic": "pictures classified by a single unit: costs, weights, learning rates",
    "cost": "the loss of one example, and the cost: the mean of all losses",
    "derivative": "the derivative as the slope of a tangent, of a^2 and of a network's cost",
    "descent": "gradient descent as a path: learning rate too small, good, too large; momentum",
    "computation-graph": "forward and backward pass of J = 3(a + bc), then of a whole network",
    "activations": "activations and their slopes, and the same network trained with each",
    "linear": "hidden layers without a non-linearity are equivalent to one matrix",
    "symmetry": "units of a layer that start equal stay equal",
    "saturation": "initial weights too small, good, too large, in one hidden layer and in five",
    "planar": "the flower data with 1 to 50 hidden units, and an animation of the boundary",
    "depth": "benefits of depth: units for parity, and a zigzag learned by 1 to 3 hidden layers",
    "digits": "handwritten digits: accuracy, first-layer weights, activations of the last hidden layer",
    "parameters": "parameters, which training finds, and hyper-parameters, which you choose",
    "hyperparameters": "a search over hundreds of small networks, and a test of the best one",
}

# Demonstrations that use data of scikit-learn if the user gives no files
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
    """Return the results as a matplotlib figure."""
    with need("matplotlib", f"dnn demo {name}", "plot").rc_context(STYLE):
        return demo(name).draw(measured)


def run(name: str, folder: Path, files: list[Path], **settings: Any) -> None:
    """Measure, print the results, and write ``dnn-NAME.png`` and any additional files.

    Parameters
    ----------
    name : str
        One of `DEMOS`.
    folder : Path
        The folder for the picture; it must exist.
    files : list of Path
        The user's files, at most as many as in the demonstration's ``FILES``.
    **settings
        Arguments of its ``measure``, such as ``target`` of housing.
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
    """Limit NumPy's BLAS and dnn to one thread each within the context, so that times are comparable.

    Otherwise, NumPy's BLAS would use all cores, and would be many times slower if they are busy.

    Examples
    --------
    >>> with one_thread():
    ...     "DNN_NUM_THREADS" in os.environ
    True
    """
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]
    except ImportError:  # installed with scikit-learn
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
    """Return a figure 8 inches wide, which does not need a display, and its axes."""
    figure = need("matplotlib.figure", "a demonstration", "plot").Figure(
        figsize=(8, height), layout="constrained"
    )
    return figure, figure.subplots(rows, columns, **settings)
