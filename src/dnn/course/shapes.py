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


def check_columns(found: tuple[int, ...], name: str = "X") -> None:
    """Raise ValueError where a shape is not (features, examples), at least one of each.

    Examples
    --------
    >>> check_columns((209, 64, 64, 3))
    Traceback (most recent call last):
    ValueError: X has shape (209, 64, 64, 3): a picture for each row? dnn.course wants (features, examples): \
X.reshape(209, -1).T
    """
    said = f"{name} has shape {found}"
    wanted = "dnn.course wants (features, examples)"
    if len(found) == 1:
        raise ValueError(f"{said}: one example? {wanted}: {name}[:, None]")
    if len(found) > 2:
        raise ValueError(f"{said}: a picture for each row? {wanted}: {name}.reshape({found[0]}, -1).T")
    if len(found) != 2 or 0 in found:
        raise ValueError(f"{said}: {wanted}, at least one of each")


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
    if len(w) != 2 or 0 in w:
        raise ValueError(f"{named_W} has shape {w}: dnn.course wants (units, units of the layer before)")
    n, n_prev = w
    check_columns(a, named_A)
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
    """Raise ValueError where X (n_x, m), or None, and the layers W1, b1, W2, ... do not fit each other.

    Examples
    --------
    >>> check_network([[1.0]], {"W1": [[1.0], [2.0]], "b1": [[0.0], [0.0]], "W2": [[1.0]], "b2": [[0.0]]})
    Traceback (most recent call last):
    ValueError: W2 has shape (1, 1): dnn.course wants (units, 2): W1 has shape (2, 1), 2 units
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
                f"W{layer} has shape {W}: dnn.course wants (units, {before[0]}): W{layer - 1} has shape "
                f"{before}, {before[0]} units"
            )
        W_b = parameters[f"W{layer}"], parameters[f"b{layer}"]
        check_layer(_column(W_b[0]), *W_b, ("A", f"W{layer}", f"b{layer}"))


def _column(W: Any) -> list[list[float]]:
    """Return an example that fits W (n, n_prev)."""
    return [[0.0]] * (shape(W) or (0,))[-1]


def check_dims(X: Any, layer_dims: list[int]) -> None:
    """Raise ValueError where X (n_x, m) does not have the features that layer_dims begins with.

    Examples
    --------
    >>> check_dims([[1.0, 2.0]], [3, 1])
    Traceback (most recent call last):
    ValueError: layer_dims begins with 3 and X has shape (1, 2): it must begin with the number of features, 1
    """
    found = shape(X)
    check_columns(found)
    n_x = layer_dims[0]
    if found[0] != n_x and found[1] == n_x:
        raise ValueError(f"X has shape {found}: examples in rows? dnn.course wants (features, examples): X.T")
    if found[0] != n_x:
        raise ValueError(
            f"layer_dims begins with {n_x} and X has shape {found}: it must begin with the number of "
            f"features, {found[0]}"
        )


def check_unit(w: Any, X: Any) -> None:
    """Raise ValueError where w (n_x, 1) and X (n_x, m) of logistic regression do not fit each other.

    Examples
    --------
    >>> check_unit([[1.0, 2.0]], [[1.0], [3.0]])
    Traceback (most recent call last):
    ValueError: w has shape (1, 2): dnn.course wants (n_x, 1), a weight for each feature: w.T
    """
    weights, found = shape(w), shape(X)
    if len(weights) != 2 or weights[1] != 1 or not weights[0]:
        hint = ": w[:, None]" if len(weights) == 1 else ": w.T" if weights[:1] == (1,) else ""
        raise ValueError(f"w has shape {weights}: dnn.course wants (n_x, 1), a weight for each feature{hint}")
    check_columns(found)
    if found[0] != weights[0] and found[1] == weights[0]:
        raise ValueError(f"X has shape {found}: examples in rows? dnn.course wants (features, examples): X.T")
    if found[0] != weights[0]:
        raise ValueError(f"w has shape {weights} and X {found}: there must be a weight for each feature")


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
