"""What does not fit is said in the learner's words: the shape that came, what was wanted, the likely slip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def shape(A: Any) -> tuple[int, ...]:
    """Return the shape of an array, or of a list of rows.

    Examples
    --------
    >>> shape([[1.0, 2.0, 3.0]])
    (1, 3)
    """
    found = getattr(A, "shape", None)
    if found is not None:
        return tuple(found)
    if not isinstance(A, (list, tuple)):
        return ()
    return (len(A), *(shape(A[0]) if A else ()))


def check_layer(A: Any, W: Any, b: Any, names: tuple[str, str, str] = ("A", "W", "b")) -> None:
    """Raise ValueError where A (n_prev, m), W (n, n_prev) and b (n, 1) do not fit each other.

    Parameters
    ----------
    A, W, b : array or list of rows
    names : tuple of str, default ("A", "W", "b")
        How the error calls them.

    Examples
    --------
    >>> check_layer([[1.0, 2.0]], [[3.0], [4.0]], [[0.0], [0.0]])
    >>> check_layer([[1.0], [2.0]], [[3.0]], [[0.0]], ("X", "W1", "b1"))
    Traceback (most recent call last):
    ValueError: X has shape (2, 1): examples in rows? dnn.course wants (features, examples): X.T
    """
    a, w, bias = shape(A), shape(W), shape(b)
    named_A, named_W, named_b = names
    if len(w) != 2:
        raise ValueError(f"{named_W} has shape {w}: dnn.course wants (units, units of the layer before)")
    n, n_prev = w
    if len(a) == 1:
        raise ValueError(
            f"{named_A} has shape {a}: one example? dnn.course wants (features, examples): {named_A}[:, None]"
        )
    if len(a) != 2:
        raise ValueError(f"{named_A} has shape {a}: dnn.course wants (features, examples)")
    if a[0] != n_prev:
        if a[1] == n_prev:
            raise ValueError(
                f"{named_A} has shape {a}: examples in rows? dnn.course wants (features, examples): "
                f"{named_A}.T"
            )
        if a[0] == n:
            raise ValueError(
                f"{named_W} has shape {w}: transposed? dnn.course wants (units, units of the layer before), "
                f"and {named_A} has {a[0]} rows: {named_W}.T"
            )
        raise ValueError(
            f"{named_W} has shape {w} and {named_A} has shape {a}: in W A the columns of {named_W} must be "
            f"as many as the rows of {named_A}"
        )
    if bias != (n, 1):
        hint = {(n,): f": {named_b}[:, None]", (1, n): f": {named_b}.T"}.get(bias, "")
        raise ValueError(f"{named_b} has shape {bias}: dnn.course wants ({n}, 1), one number a unit{hint}")


def check_network(X: Any, parameters: Mapping[str, Any]) -> None:
    """Raise ValueError where X (n_x, m) and the layers W1, b1, W2, ... do not fit each other.

    Examples
    --------
    >>> check_network([[1.0]], {"W1": [[1.0], [2.0]], "b1": [[0.0], [0.0]], "W2": [[1.0]], "b2": [[0.0]]})
    Traceback (most recent call last):
    ValueError: W2 has shape (1, 1): dnn.course wants (units, 2): W1 has shape (2, 1), 2 units
    """
    L = len(parameters) // 2
    if not L or any(f"{P}{layer}" not in parameters for P in "Wb" for layer in range(1, L + 1)):
        raise ValueError(f"parameters must be W1, b1, W2, b2, ..., got {', '.join(parameters) or 'none'}")
    check_layer(X, parameters["W1"], parameters["b1"], ("X", "W1", "b1"))
    for layer in range(2, L + 1):
        before, W = shape(parameters[f"W{layer - 1}"]), shape(parameters[f"W{layer}"])
        if len(W) != 2 or W[1] != before[0]:
            raise ValueError(
                f"W{layer} has shape {W}: dnn.course wants (units, {before[0]}): W{layer - 1} has shape "
                f"{before}, {before[0]} units"
            )
        stand_in = [[0.0]] * W[1]
        check_layer(
            stand_in, parameters[f"W{layer}"], parameters[f"b{layer}"], ("A", f"W{layer}", f"b{layer}")
        )


def check_same(wanted: Any, A: Any, names: tuple[str, str] = ("AL", "Y")) -> None:
    """Raise ValueError where A does not have the shape of another matrix (n, m).

    Parameters
    ----------
    wanted : array, list of rows, or tuple of int
        The other matrix, or its shape.
    A : array or list of rows
        What must be of that shape.
    names : tuple of str, default ("AL", "Y")
        How the error calls the two.

    Examples
    --------
    >>> check_same([[0.5, 0.5]], [[1.0], [0.0]])
    Traceback (most recent call last):
    ValueError: Y has shape (2, 1) and AL (1, 2): examples in rows? dnn.course wants them in columns: Y.T
    """
    right = wanted if isinstance(wanted, tuple) else shape(wanted)
    found = shape(A)
    if found == right:
        return
    said = f"{names[1]} has shape {found} and {names[0]} {right}"
    if len(right) == 2 and found == right[::-1]:
        raise ValueError(f"{said}: examples in rows? dnn.course wants them in columns: {names[1]}.T")
    if len(right) == 2 and right[0] == 1 and found == right[1:]:
        raise ValueError(f"{said}: dnn.course wants one row: {names[1]}[None, :]")
    raise ValueError(f"{said}: they must be the same")


def check_examples(X: Any, Y: Any) -> None:
    """Raise ValueError where Y (n_y, m) does not have a column for each of those of X (n_x, m).

    Examples
    --------
    >>> check_examples([[1.0, 2.0, 3.0]], [[0], [1], [0]])
    Traceback (most recent call last):
    ValueError: Y has shape (3, 1) and X (1, 3): examples in rows? dnn.course wants them in columns: Y.T
    """
    m, found = shape(X)[1], shape(Y)
    if len(found) == 2 and found[1] == m:
        return
    said = f"Y has shape {found} and X {shape(X)}"
    if found == (m,):
        raise ValueError(f"{said}: dnn.course wants one row: Y[None, :]")
    if found[:1] == (m,):
        raise ValueError(f"{said}: examples in rows? dnn.course wants them in columns: Y.T")
    raise ValueError(f"{said}: they must have as many columns, one for each example")
