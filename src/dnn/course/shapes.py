"""Checks of shapes. The errors name the expected shape, the given shape, and the likely mistake."""

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


def check_columns(found: tuple[int, ...], name: str = "X") -> None:
    """Raise ValueError unless a shape is (features, examples), with at least one of each.

    Examples
    --------
    >>> check_columns((209, 64, 64, 3))
    Traceback (most recent call last):
    ValueError: X must have shape (features, examples), got (209, 64, 64, 3): is each row a picture? Use \
X.reshape(209, -1).T
    """
    said = f"{name} must have shape (features, examples), got {found}"
    if len(found) == 1:
        raise ValueError(f"{said}: is it one example? Use {name}[:, None]")
    if len(found) > 2:
        raise ValueError(f"{said}: is each row a picture? Use {name}.reshape({found[0]}, -1).T")
    if len(found) != 2 or 0 in found:
        raise ValueError(f"{said}: there must be at least one of each")


def check_layer(A: Any, W: Any, b: Any, names: tuple[str, str, str] = ("A", "W", "b")) -> None:
    """Raise ValueError unless the shapes of A (n_prev, m), W (n, n_prev) and b (n, 1) match.

    Parameters
    ----------
    A, W, b : array or list of rows
    names : tuple of str, default ("A", "W", "b")
        Their names in the error.

    Examples
    --------
    >>> check_layer([[1.0, 2.0]], [[3.0], [4.0]], [[0.0], [0.0]])
    >>> check_layer([[1.0], [2.0]], [[3.0]], [[0.0]], ("X", "W1", "b1"))
    Traceback (most recent call last):
    ValueError: X must have shape (features, examples), got (2, 1): are the examples in rows? Use X.T
    """
    a, w, bias = shape(A), shape(W), shape(b)
    named_A, named_W, named_b = names
    if len(w) != 2 or 0 in w:
        raise ValueError(f"{named_W} must have shape (units, units of the previous layer), got {w}")
    n, n_prev = w
    check_columns(a, named_A)
    if a[0] != n_prev:
        if a[1] == n_prev:
            raise _in_rows(named_A, a)
        if a[0] == n:
            raise ValueError(
                f"{named_W} must have shape (units, units of the previous layer), got {w}, and {named_A} has "
                f"{a[0]} rows: is {named_W} transposed? Use {named_W}.T"
            )
        raise ValueError(
            f"{named_W} must have as many columns as {named_A} has rows, got {named_W} of shape {w} and "
            f"{named_A} of shape {a}"
        )
    if bias != (n, 1):
        hint = {(n,): f": use {named_b}[:, None]", (1, n): f": use {named_b}.T"}.get(bias, "")
        raise ValueError(f"{named_b} must have shape ({n}, 1), one value per unit, got {bias}{hint}")


def _in_rows(name: str, found: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"{name} must have shape (features, examples), got {found}: are the examples in rows? Use {name}.T"
    )


def check_network(X: Any, parameters: Mapping[str, Any]) -> None:
    """Raise ValueError unless the shapes of X (n_x, m), or None, and of the layers W1, b1, W2, ... match.

    Examples
    --------
    >>> check_network([[1.0]], {"W1": [[1.0], [2.0]], "b1": [[0.0], [0.0]], "W2": [[1.0]], "b2": [[0.0]]})
    Traceback (most recent call last):
    ValueError: W2 must have shape (units, 2), got (1, 1): W1 has shape (2, 1), which is 2 units
    """
    L = len(parameters) // 2
    if not L or set(parameters) != {f"{P}{layer}" for P in "Wb" for layer in range(1, L + 1)}:
        names = ", ".join(map(str, parameters))
        raise ValueError(f"parameters must be W1, b1, W2, b2, ..., got {names or 'none'}")
    if X is None:
        X = _column(parameters["W1"])
    check_layer(X, parameters["W1"], parameters["b1"], ("X", "W1", "b1"))
    for layer in range(2, L + 1):
        before, W = shape(parameters[f"W{layer - 1}"]), shape(parameters[f"W{layer}"])
        if len(W) != 2 or W[1] != before[0]:
            raise ValueError(
                f"W{layer} must have shape (units, {before[0]}), got {W}: W{layer - 1} has shape {before}, "
                f"which is {before[0]} units"
            )
        W_b = parameters[f"W{layer}"], parameters[f"b{layer}"]
        check_layer(_column(W_b[0]), *W_b, ("A", f"W{layer}", f"b{layer}"))


def _column(W: Any) -> list[list[float]]:
    """Return an example of zeros with the number of inputs of W (n, n_prev)."""
    return [[0.0]] * (shape(W) or (0,))[-1]


def check_dims(X: Any, layer_dims: list[int]) -> None:
    """Raise ValueError unless layer_dims begins with the number of features of X (n_x, m).

    Examples
    --------
    >>> check_dims([[1.0, 2.0]], [3, 1])
    Traceback (most recent call last):
    ValueError: layer_dims must begin with the number of features, 1, got 3 for X of shape (1, 2)
    """
    found = shape(X)
    check_columns(found)
    n_x = layer_dims[0]
    if found[0] != n_x and found[1] == n_x:
        raise _in_rows("X", found)
    if found[0] != n_x:
        raise ValueError(
            f"layer_dims must begin with the number of features, {found[0]}, got {n_x} for X of shape {found}"
        )


def check_unit(w: Any, X: Any) -> None:
    """Raise ValueError unless the shapes of w (n_x, 1) and X (n_x, m) of logistic regression match.

    Examples
    --------
    >>> check_unit([[1.0, 2.0]], [[1.0], [3.0]])
    Traceback (most recent call last):
    ValueError: w must have shape (n_x, 1), a weight for each feature, got (1, 2): use w.T
    """
    weights, found = shape(w), shape(X)
    if len(weights) != 2 or weights[1] != 1 or not weights[0]:
        hint = ": use w[:, None]" if len(weights) == 1 else ": use w.T" if weights[:1] == (1,) else ""
        raise ValueError(f"w must have shape (n_x, 1), a weight for each feature, got {weights}{hint}")
    check_columns(found)
    if found[0] != weights[0] and found[1] == weights[0]:
        raise _in_rows("X", found)
    if found[0] != weights[0]:
        raise ValueError(
            f"w must have a weight for each feature of X, got w of shape {weights} and X of shape {found}"
        )


def check_same(wanted: Any, A: Any, names: tuple[str, str] = ("AL", "Y")) -> None:
    """Raise ValueError unless A has the shape of another matrix (n, m).

    Parameters
    ----------
    wanted : array, list of rows, or tuple of int
        The other matrix, or its shape.
    A : array or list of rows
        The matrix to check.
    names : tuple of str, default ("AL", "Y")
        Their names in the error.

    Examples
    --------
    >>> check_same([[0.5, 0.5]], [[1.0], [0.0]])
    Traceback (most recent call last):
    ValueError: Y must have the shape of AL, (1, 2), got (2, 1): are the examples in rows? Use Y.T
    """
    right = wanted if isinstance(wanted, tuple) else shape(wanted)
    found = shape(A)
    if found == right:
        return
    said = f"{names[1]} must have the shape of {names[0]}, {right}, got {found}"
    if len(right) == 2 and found == right[::-1]:
        raise ValueError(f"{said}: are the examples in rows? Use {names[1]}.T")
    if len(right) == 2 and right[0] == 1 and found == right[1:]:
        raise ValueError(f"{said}: use {names[1]}[None, :]")
    raise ValueError(said)


def check_examples(X: Any, Y: Any) -> None:
    """Raise ValueError unless Y (n_y, m) has as many columns as X (n_x, m).

    Examples
    --------
    >>> check_examples([[1.0, 2.0, 3.0]], [[0], [1], [0]])
    Traceback (most recent call last):
    ValueError: Y must have a column for each of the 3 examples of X, got shape (3, 1): are the examples in \
rows? Use Y.T
    """
    m, found = shape(X)[1], shape(Y)
    if len(found) == 2 and found[1] == m:
        return
    said = f"Y must have a column for each of the {m} examples of X, got shape {found}"
    if found == (m,):
        raise ValueError(f"{said}: use Y[None, :]")
    if found[:1] == (m,):
        raise ValueError(f"{said}: are the examples in rows? Use Y.T")
    raise ValueError(said)
