"""Compile the C source of a model, run it, and compare it with Python."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .. import _core
from ..predictor import write_outputs
from .stack import Stack

N_ROWS = 64
# A difference that is always allowed, relative to the outputs: a hundred roundings in float32, where Python
# may happen to make none. In float64 it is a million, which a network may make of one, far below any mistake.
ALLOWED = {"float32": 1e-5, "float64": 1e-9}
# How many times as far from exact outputs as Python C may be in float32: their sums have another order
FACTOR = 8
REFUSED = "Nothing was written. verify=False writes the source without this comparison."

# Reads rows from standard input; writes the outputs of each, and its class or -1
MAIN = """\
#include <stdio.h>
#include "{file}.h"

int main(void)
{{
    static {real} x[{NAME}_N_INPUTS], y[{NAME}_N_OUTPUTS];
    while (fread(x, sizeof x, 1, stdin) == 1) {{
        {name}_predict(x, y);
        const int label = {label};
        fwrite(y, sizeof y, 1, stdout);
        fwrite(&label, sizeof label, 1, stdout);
    }}
    return 0;
}}
"""


def compiler() -> list[str] | None:
    """Return the command of the C compiler: CC, cc, gcc or clang, the first that is there; or None."""
    for command in (shlex.split(os.environ.get("CC", "")), ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    return None


def compare(stack: Stack, name: str, file: str, texts: dict[str, str]) -> tuple[str | None, float | None]:
    """Return the compiler, and the largest difference between C and Python relative to the outputs.

    Parameters
    ----------
    stack : Stack
    name : str
        What the identifiers of the source begin with.
    file : str
        Name of the files, without their suffixes.
    texts : dict
        Their texts, by suffix: ".h" and ".c".

    Returns
    -------
    compiler : str or None
        None: there is none.
    difference : float or None
        None: nothing was compared, as there is no compiler, or no row that has finite outputs.

    Raises
    ------
    RuntimeError
        If the source does not compile or run, or if the difference is larger than rounding explains.
    """
    command = compiler()
    if command is None:
        return None, None
    X = np.random.default_rng(0).standard_normal((N_ROWS, stack.n_inputs)).astype(stack.dtype)
    exact, python = (predictions(stack, X, dtype) for dtype in ("float64", stack.dtype.name))
    Y, labels = _run(command, stack, name, file, texts, X)
    expected = classes(stack, Y)
    if expected is not None and not np.array_equal(labels, expected):
        row = int((labels != expected).argmax())
        raise RuntimeError(
            f"{name}_classify, compiled by {shlex.join(command)}, gives {labels[row]} for the probabilities "
            f"{Y[row].tolist()}. {REFUSED}"
        )
    finite = np.isfinite(exact).all(axis=1) & np.isfinite(python).all(axis=1)
    if not finite.any():
        return shlex.join(command), None
    Y, exact, python = Y[finite], exact[finite], python[finite]
    # Where the outputs of a row happen to be near 0, those of the others say how large they are
    size = np.abs(exact).max(axis=1)
    size = np.maximum(size, np.median(size))[:, None] + np.finfo(stack.dtype).tiny
    allowed = ALLOWED[stack.dtype.name] + FACTOR * (np.abs(python - exact) / size).max()
    difference = (np.abs(Y - exact) / size).max(axis=1)
    if not (difference <= allowed).all():
        row = int((~(difference <= allowed)).argmax())
        raise RuntimeError(
            f"the C source, compiled by {shlex.join(command)}, gives {Y[row].tolist()} for a row "
            f"for which Python gives {python[row].tolist()}. {REFUSED}"
        )
    return shlex.join(command), float(difference.max())


def predictions(stack: Stack, X: np.ndarray, dtype: str) -> np.ndarray:
    """Return what predict writes for the rows of X, computed by the core in a precision."""
    layers = [(len(layer.b), layer.activation, layer.par, 0.0) for layer in stack.layers]
    plan = _core.Plan(stack.n_inputs, layers)
    params = _core.zeros((plan.n_params,), np.dtype(dtype))
    for i, layer in enumerate(stack.layers):
        W, b, end = plan.offsets(i)
        params[W:b], params[b:end] = layer.W.ravel(), layer.b
    outputs = np.empty((len(X), stack.n_outputs), dtype)
    write_outputs(plan, params, X.astype(dtype), outputs)
    if stack.kind == "one_class":
        return np.ones_like(outputs)
    if stack.kind == "binary":
        return np.hstack([1 - outputs, outputs])
    return np.sort(outputs, axis=1) if stack.kind == "quantiles" else outputs


def classes(stack: Stack, Y: np.ndarray) -> np.ndarray | None:
    """Return the index of the class (N,) for probabilities (N, K), or None where no class is predicted."""
    if stack.kind == "binary":
        return Y[:, 1] > 0.5
    return Y.argmax(axis=1) if stack.kind in ("one_class", "multiclass") else None


def _run(
    command: list[str], stack: Stack, name: str, file: str, texts: dict[str, str], X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the compiled source gives for the rows of X: predictions (N, K) and classes (N,)."""
    K = len(predictions(stack, X[:1], stack.dtype.name)[0])
    label = f"{name}_classify(x)" if classes(stack, np.zeros((1, 2))) is not None else "-1"
    real = "float" if stack.dtype == np.float32 else "double"
    main = MAIN.format(file=file, name=name, NAME=name.upper(), real=real, label=label)
    with tempfile.TemporaryDirectory() as folder:
        for path, text in ((file + ".h", texts[".h"]), (file + ".c", texts[".c"]), (file + "-main.c", main)):
            Path(folder, path).write_text(text, encoding="ascii")
        build = [*command, "-std=c99", "-O1", "-o", f"{file}-run", f"{file}.c", f"{file}-main.c", "-lm"]
        built = subprocess.run(build, cwd=folder, capture_output=True, text=True, errors="replace")
        if built.returncode:
            raise RuntimeError(
                f"{shlex.join(command)} must compile the C source, and says: {built.stderr}{REFUSED}"
            )
        program = str(Path(folder, f"{file}-run"))
        try:
            ran = subprocess.run([program], input=X.tobytes(), capture_output=True)
        except OSError as error:  # made for another machine
            raise RuntimeError(
                f"what {shlex.join(command)} makes must run here: {error}. {REFUSED}"
            ) from None
    rows = np.dtype([("y", stack.dtype, (K,)), ("label", np.intc)])
    if ran.returncode or len(ran.stdout) != len(X) * rows.itemsize:
        raise RuntimeError(
            f"the C source, compiled by {shlex.join(command)}, ends with {ran.returncode}. {REFUSED}"
        )
    found = np.frombuffer(ran.stdout, rows)
    return found["y"], found["label"]
