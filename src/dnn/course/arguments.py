"""Checks of the kinds of arguments of the course: numbers, names, matrices, caches and labels.

The errors use the terms of the course and name the place of a wrong value: row and column, feature or unit,
and example.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _core
from .._checks import check_name
from .shapes import check_dims, check_layer, check_network, check_same, check_unit, shape

HIDDEN = ("relu", "leaky_relu", "sigmoid", "tanh")
OUTPUTS = ("sigmoid", "softmax")
# In float32 a sum of probabilities has a rounding error of about 1e-7 for each of them
SUM_TOLERANCE = 1e-5
LARGEST = int(np.finfo(np.float64).max)
# This many parameters take 512 GiB
MOST_PARAMETERS = 2**36


def said(value: Any) -> str:
    """Return a short description of a value, the same for an array as for a list.

    Examples
    --------
    >>> said([[1.0, 2.0]]), said("adm")
    ('values of shape (1, 2)', "'adm'")
    """
    if isinstance(value, (np.ndarray, list, tuple)):
        return f"values of shape {shape(value)}"
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, numbers.Number, np.bool_)):
        return reprlib.repr(value)
    return f"a {type(value).__name__}"


# Numbers and names


def number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, ends: str = "[)", more: str = ""
) -> None:
    """Raise unless a value is a finite number from low to high; `ends` tells which of the two are included.

    Examples
    --------
    >>> number("keep_prob", 1.5, 0, 1, ends="(]")
    Traceback (most recent call last):
    ValueError: keep_prob must be above 0 and at most 1, got 1.5
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {said(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    above = found > low or (found == low and ends[0] == "[")
    below = found < high or (found == high and ends[1] == "]")
    if math.isfinite(found) and above and below:
        return
    wanted = []
    if low > -math.inf:
        wanted.append(f"{'at least' if ends[0] == '[' else 'above'} {low:g}")
    if high < math.inf:
        wanted.append(f"{'at most' if ends[1] == ']' else 'below'} {high:g}")
    if len(wanted) < 2:
        wanted.insert(0, "finite")
    raise ValueError(f"{name} must be {' and '.join(wanted)}, got {said(value)}{more}")


def whole_number(name: str, value: Any, low: int, high: int | None = None) -> None:
    """Raise unless a value is an integer that is at least low, and at most high.

    Examples
    --------
    >>> whole_number("mini_batch_size", 0, 1)
    Traceback (most recent call last):
    ValueError: mini_batch_size must be at least 1, got 0
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {said(value)}")
    if int(value) < low or (high is not None and int(value) > high):
        upper = "" if high is None else f" and at most {high}"
        raise ValueError(f"{name} must be at least {low}{upper}, got {said(value)}")


def seed(value: Any) -> None:
    """Raise unless a value is None or a seed for NumPy's legacy generator."""
    if value is not None:
        whole_number("seed", value, 0, 2**32 - 1)


def learning_rate(value: Any) -> None:
    """Raise unless a value is a learning rate."""
    number("learning_rate", value, 0)


def lambd(value: Any) -> None:
    """Raise unless a value is a penalty strength."""
    number("lambd", value, 0)


def keep_prob(value: Any) -> None:
    """Raise unless a value is the share of the units that dropout keeps."""
    number("keep_prob", value, 0, 1, ends="(]", more=": it is the share of units that is kept")


def averaging(**named: Any) -> None:
    """Raise unless values are decay rates of moving averages, such as beta."""
    for name, value in named.items():
        number(name, value, 0, 1)


def epsilon(value: Any) -> None:
    """Raise unless a value is a valid epsilon, which keeps a denominator from being 0."""
    number("epsilon", value, 0, ends="()")


def true_or_false(name: str, value: Any) -> None:
    """Raise unless a value is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {said(value)}")


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise unless a value is one of the allowed names."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(allowed)}, got {said(value)}")
    check_name(name, value, allowed)


def layer_dims(value: Any) -> None:
    """Raise unless a value is a list of at least two layer sizes, n_x first.

    Examples
    --------
    >>> layer_dims([4, 0, 1])
    Traceback (most recent call last):
    ValueError: layer_dims[1] must be at least 1, got 0
    """
    if not isinstance(value, (list, tuple, np.ndarray)) or len(shape(value)) != 1:
        raise TypeError(f"layer_dims must be a list of integers, got {said(value)}")
    if len(value) < 2:
        raise ValueError(f"layer_dims must have at least two sizes, n_x and n_y, got {len(value)}")
    for i, n in enumerate(value):
        whole_number(f"layer_dims[{i}]", n, 1)
    sizes = [int(n) for n in value]
    total = sum(n * (n_prev + 1) for n_prev, n in pairwise(sizes))
    if total > MOST_PARAMETERS:
        raise ValueError(f"layer_dims must fit in memory, got sizes with {total} parameters")


# Matrices


def form(name: str, A: Any) -> None:
    """Raise unless A is an array or a list of rows of equal length."""
    if type(A) is np.ndarray and A.ndim and len(A):
        return
    if isinstance(A, list):
        lengths = [len(row) if _is_row(row) else -1 for row in A]
        for i, length in enumerate(lengths):
            if length != lengths[0]:
                raise ValueError(
                    f"{name} must have rows of equal length, got {_counted(lengths[0])} in row 0 and "
                    f"{_counted(length)} in row {i}"
                )
    elif not isinstance(A, np.ndarray):
        raise TypeError(f"{name} must be an array or a list of rows, got {_type(A)}")
    if shape(A)[:1] == (0,):
        raise ValueError(f"{name} must have at least one row and one column, got none")


def _type(A: Any) -> str:
    return "None" if A is None else f"a {type(A).__name__}"


def _is_row(row: Any) -> bool:
    return isinstance(row, (list, tuple)) or (isinstance(row, np.ndarray) and row.ndim > 0)


def _counted(length: int) -> str:
    return "no row" if length < 0 else f"{length} value{'' if length == 1 else 's'}"


def values(name: str, A: Any, row: str = "") -> np.ndarray:
    """Return a matrix as an array; raise unless all values are finite numbers.

    Parameters
    ----------
    name : str
    A : array or list of rows
        A matrix whose form and shape are valid.
    row : str, default ""
        The meaning of a row: "feature", "unit" or "output"; the columns are then examples.

    Examples
    --------
    >>> values("X", [[1.0, float("nan")]], "feature")
    Traceback (most recent call last):
    ValueError: X must be finite, got nan at X[0, 1]: feature 0 of example 1
    """
    if type(A) is np.ndarray and A.dtype.kind == "f" and _finite(A):
        return A
    array = np.asarray(A)
    if array.dtype.kind not in "biuf" or isinstance(A, np.ma.MaskedArray):
        for i, of_row in enumerate(A.tolist() if isinstance(A, np.ndarray) else A):
            for j, value in enumerate(of_row):
                if not isinstance(value, (numbers.Real, np.bool_)):
                    shown = repr(str(value)) if isinstance(value, str) else str(value)
                    raise TypeError(f"{name} must be numeric, got {shown} at {_at(name, i, j, row)}")
                size: Any = abs(value)
                if size > LARGEST:  # an integer or a fraction, which may be arbitrarily large
                    raise ValueError(f"{name} must be finite, got inf at {_at(name, i, j, row)}")
        array = array.astype(np.float64)
    if not _finite(array):
        i, j = (int(k) for k in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite, got {float(array[i, j])} at {_at(name, i, j, row)}")
    return array


def _at(name: str, i: int, j: int, row: str) -> str:
    return f"{name}[{i}, {j}]" + (f": {row} {i} of example {j}" if row else "")


def _finite(array: np.ndarray) -> bool:
    if array.dtype.kind != "f":
        return True
    if array.itemsize in (4, 8) and array.dtype.isnative and array.flags.aligned and array.flags.forc:
        return _core.all_finite(array if array.flags.c_contiguous else array.T)  # the core reads rows
    return bool(np.isfinite(array).all())


def within(
    name: str, array: np.ndarray, row: str = "", low: float = 0.0, high: float = 1.0, more: str = ""
) -> None:
    """Raise unless the values of a matrix are between low and high.

    Examples
    --------
    >>> within("Y", np.array([[0, 2]]), "output")
    Traceback (most recent call last):
    ValueError: Y must be between 0 and 1, got 2 at Y[0, 1]: output 0 of example 1
    """
    if array.min() < low or array.max() > high:
        wrong = (array < low) | (array > high)
        i, j = (int(k) for k in np.argwhere(wrong)[0])
        wanted = f"between {low:g} and {high:g}" if high < math.inf else f"at least {low:g}"
        raise ValueError(f"{name} must be {wanted}, got {array[i, j]:g} at {_at(name, i, j, row)}{more}")


def matrix(name: str, A: Any, row: str = "") -> np.ndarray:
    """Return a matrix as an array; raise unless it has rows and columns of finite numbers."""
    form(name, A)
    found = shape(A)
    if len(found) != 2 or 0 in found:
        raise ValueError(
            f"{name} must have two dimensions, at least one row and one column, got shape {found}"
        )
    return values(name, A, row)


def same_shape(other: Any, A: Any, names: tuple[str, str], row: str = "") -> np.ndarray:
    """Return a matrix as an array; raise unless it has the shape of another and is finite."""
    form(names[1], A)
    check_same(other, A, names)
    return values(names[1], A, row)


def layer(A: Any, W: Any, b: Any, names: tuple[str, str, str] = ("A", "W", "b"), row: str = "unit") -> None:
    """Raise unless A (n_prev, m), W (n, n_prev) and b (n, 1) form a layer."""
    for name, each in zip(names, (A, W, b), strict=True):
        form(name, each)
    check_layer(A, W, b, names)
    values(names[0], A, row)
    values(names[1], W)
    values(names[2], b)


def network(X: Any, parameters: Any, output: str = "sigmoid") -> None:
    """Raise unless X (n_x, m), or None, and the layers W1, b1, W2, ... form a network."""
    if X is not None:
        form("X", X)
    mapping("parameters", parameters)
    for name, each in parameters.items():
        form(str(name), each)
    check_network(X, parameters)
    if X is not None:
        values("X", X, "feature")
    for name, each in parameters.items():
        values(name, each)
    if output == "softmax":
        several_classes(shape(parameters[f"W{len(parameters) // 2}"])[0])


def several_classes(n: int) -> None:
    """Raise unless a softmax has at least two units."""
    if n < 2:
        raise ValueError(
            "output 'softmax' must have at least 2 classes, got 1 unit: use 'sigmoid' for yes or no"
        )


def first_layer(X: Any, sizes: list[int]) -> None:
    """Raise unless the sizes begin with the number of features of X (n_x, m)."""
    form("X", X)
    check_dims(X, sizes)
    values("X", X, "feature")


def logistic(w: Any, b: Any, X: Any, Y: Any) -> None:
    """Raise unless w (n_x, 1), b, X (n_x, m) and Y (1, m) are valid for logistic regression."""
    form("w", w)
    form("X", X)
    check_unit(w, X)
    values("w", w)
    number("b", b)
    values("X", X, "feature")
    labels(Y, (1, shape(X)[1]), "A")


# Labels


def labels(Y: Any, wanted: tuple[int, ...], other: str, output: str = "sigmoid") -> None:
    """Raise unless Y has the shape of the outputs and values between 0 and 1.

    Examples
    --------
    >>> labels([[-1, 1, 1]], (1, 3), "AL")
    Traceback (most recent call last):
    ValueError: Y must be between 0 and 1, got -1 at Y[0, 0]: output 0 of example 0: are the \
labels -1 and 1? Use (Y + 1) / 2
    """
    form("Y", Y)
    n, m = wanted
    if output == "softmax" and shape(Y) in ((1, m), (m,)):
        raise ValueError(
            f"Y must have the shape of {other}, {wanted}, with one-hot columns, got {shape(Y)}: are these "
            f"class indices? Use np.eye({n})[np.ravel(Y)].T"
        )
    check_same(wanted, Y, (other, "Y"))
    array = values("Y", Y, "output")
    signs = array.size and array.min() == -1 and ((array == -1) | (array == 1)).all()
    more = ": are the labels -1 and 1? Use (Y + 1) / 2" if signs else ""
    within("Y", array, "output", more=more)
    if output == "softmax":
        shares("Y", array, ": use one-hot columns")


def shares(name: str, array: np.ndarray, more: str = "") -> None:
    """Raise unless the columns of a matrix sum to 1."""
    sums = array.sum(axis=0, dtype=np.float64)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        j = int(np.argmax(off))
        raise ValueError(
            f"{name} must have columns that sum to 1 for a softmax, got {sums[j]:g} for example {j}{more}"
        )


# Dicts and caches


def mapping(name: str, value: Any) -> None:
    """Raise unless a value is a dict."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of matrices, got {said(value)}")


def parameters(value: Any) -> None:
    """Raise unless a value is a non-empty dict of matrices with any names."""
    mapping("parameters", value)
    if not value:
        raise ValueError("parameters must be W1, b1, W2, b2, ..., got none")
    for name, each in value.items():
        matrix(str(name), each)


def like(name: str, found: Any, parameters: Mapping[str, Any], exactly: bool = True) -> dict[str, np.ndarray]:
    """Return gradients or averages as arrays; raise unless there is one for each of the parameters.

    With `exactly` there must be no others.

    Examples
    --------
    >>> like("grads", {"dW1": [[1.0]]}, {"W1": [[1.0]], "b1": [[1.0]]})
    Traceback (most recent call last):
    ValueError: grads must have dW1, db1, one for each of W1, b1; got dW1
    """
    mapping(name, found)
    wanted = [f"d{each}" for each in parameters]
    if any(d not in found for d in wanted) or (exactly and len(found) != len(wanted)):
        raise ValueError(
            f"{name} must have {', '.join(wanted)}, one for each of {', '.join(map(str, parameters))}; "
            f"got {', '.join(map(str, found)) or 'none'}"
        )
    arrays = {}
    for each, d in zip(parameters, wanted, strict=True):
        called = d if name == "grads" else f"{name}[{d!r}]"
        arrays[called] = same_shape(parameters[each], found[d], (each, called))
    return arrays


def squares(found: Any, parameters: Mapping[str, Any]) -> None:
    """Raise unless s has an average of squared gradients for each of the parameters."""
    for name, array in like("s", found, parameters).items():
        within(name, array, high=math.inf)


def cache(value: Any, name: str = "cache", number: str = "") -> tuple[int, int]:
    """Return the shape of Z; raise unless a cache is (A_prev, W, b) of a layer."""
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise TypeError(f"{name} must be (A_prev, W, b) from the forward pass, got {_parts(value)}")
    A_prev, W, b = value
    layer(A_prev, W, b, (f"A_prev{number}", f"W{number}", f"b{number}"))
    return shape(W)[0], shape(A_prev)[1]


def activation_cache(
    value: Any, name: str = "cache", number: str = "", dropped: bool = False
) -> tuple[int, int]:
    """Return the shape of Z; raise unless a cache is ((A_prev, W, b), Z), with D if `dropped`."""
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise TypeError(f"{name} must be ((A_prev, W, b), Z) from the forward pass, got {_parts(value)}")
    if dropped and len(value) < 3:
        raise ValueError(
            f"{name} must have D, the dropout mask, got none: was keep_prob 1 in the forward pass?"
        )
    wanted = cache(value[0], f"{name}[0]", number)
    same_shape(wanted, value[1], (f"W{number} A_prev{number}", f"Z{number}"), "unit")
    if len(value) > 2:
        D = same_shape(wanted, value[2], (f"Z{number}", f"D{number}"), "unit")
        within(f"D{number}", D, "unit")
    return wanted


def caches(value: Any, dropped: bool) -> tuple[int, int]:
    """Return the shape of AL; raise unless there is a cache for each layer and their shapes match."""
    if not isinstance(value, (list, tuple)) or not value:
        raise TypeError(f"caches must be a list with a cache for each layer, got {said(value)}")
    found = (0, 0)
    for i, each in enumerate(value):
        before = found
        found = activation_cache(each, f"caches[{i}]", str(i + 1), dropped and i + 1 < len(value))
        if i:
            check_same(before, each[0][0], (f"Z{i}", f"A_prev{i + 1}"))
    return found


def _parts(value: Any) -> str:
    return f"{len(value)} parts" if isinstance(value, (tuple, list)) else said(value)
