"""Input checks by scikit-learn, with errors that also say where the value is and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight, validate_data

from ..data import arrays as data
from ..data import blocks, non_numeric
from ..data.blocks import BlockRows
from ..data.sparse import SparseRows


def validated(est: Any, X: Any, y: Any = "no_validation", *, name: str = "X", **settings: Any) -> Any:
    """Return X, or X and y, as scikit-learn's ``validate_data`` does.

    Its errors keep their type and words, which users search for. The value that is not a number, its row and
    its column are added, and X is called by the name of the argument.

    Parameters
    ----------
    est : estimator
        Its n_features_in_ and feature_names_in_ are compared, or with ``reset=True`` set.
    X, y : array_like
    name : str, default "X"
        Name of the argument: X_val is checked in the same way as X.
    **settings
        Further arguments of ``validate_data``.

    Examples
    --------
    >>> from dnn import MLPRegressor
    >>> try:
    ...     validated(MLPRegressor(), [[1.0, "?"]], dtype="numeric", reset=True)
    ... except ValueError as error:
    ...     print(str(error)[:48])
    X must hold numbers, got '?' in row 0, column 1:
    """
    non_numeric.refuse_times(X, name)
    try:
        checked = validate_data(est, X, y, **settings)
    except (TypeError, ValueError) as error:
        raise type(error)(_better(str(error), X, y, name, settings)) from None
    if isinstance(checked, np.ndarray) and checked.dtype.kind == "O":
        # From a table with extension types, which scikit-learn does not check
        return data.numbers(X, name)
    return checked


def _better(text: str, X: Any, y: Any, name: str, settings: dict[str, Any]) -> str:
    """Return the text of an error with further information on X and y."""
    if X is None:
        return f"{name} must be an array, got None ({text})"
    found = None if hasattr(X, "tocsr") else non_numeric.explain(X, name)
    if found is not None:
        return f"{name} must hold numbers, got {found} ({text})"
    if "inconsistent numbers of samples" in text:
        return f"{text}: {name} must have as many rows as y"
    if name != "X":
        text = re.sub(r"\bX\b", name, text)
        if name not in text:
            text = f"{name}: {text}"
    if settings.get("y_numeric") and not isinstance(y, str):
        found = non_numeric.explain(y, "y")
        if found is not None:
            return f"y must hold numbers, got {found} ({text})"
    if "NaN" in text or "infinity" in text:
        found = non_numeric.nonfinite(y if "Input y" in text else X)
    return text if found is None else f"{text}\nThe first is {found}."


def weights_of(sample_weight: Any, X: Any) -> np.ndarray:
    """Return the weights of the rows of X as scikit-learn reads them: a scalar is the weight of all rows."""
    try:
        weights: np.ndarray = _check_sample_weight(sample_weight, X)
    except (TypeError, ValueError) as error:
        wrong = (
            None if hasattr(sample_weight, "tocsr") else non_numeric.explain(sample_weight, "sample_weight")
        )
        if wrong is None:
            raise
        raise type(error)(f"sample_weight must hold numbers, got {wrong} ({error})") from None
    return weights


def layers_given(
    coefs: Any, intercepts: Any, own: Sequence[np.ndarray], n_features: int | None, n_outputs: int | None
) -> list[np.ndarray]:
    """Return the arrays of coefs_ and then of intercepts_ that a user has set, checked: a chain of layers.

    Parameters
    ----------
    coefs, intercepts : list of array_like
    own : sequence of ndarray
        The views of the network, which need no check.
    n_features, n_outputs : int or None
        Inputs of the first layer and outputs of the last one; None where they are not known yet.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not form a chain, NaN, and values that are not numbers.
    """
    for name, arrays in (("coefs_", coefs), ("intercepts_", intercepts)):
        if isinstance(arrays, str) or not hasattr(arrays, "__len__") or not len(arrays):
            raise TypeError(f"{name} must be a list with an array for each layer, got {arrays!r}")
    if len(coefs) != len(intercepts):
        raise ValueError(
            f"intercepts_ must have an array for each of {len(coefs)} in coefs_, got {len(intercepts)}"
        )
    found: list[np.ndarray] = []
    n_in = n_features
    for layer, W in enumerate(coefs):
        array = data.numbers(W, f"coefs_[{layer}]")
        n_out = n_outputs if layer + 1 == len(coefs) else None
        expected = tuple("any number" if n is None else n for n in (n_in, n_out))
        if array.ndim != 2 or 0 in array.shape or any(
            n is not None and n != size for n, size in zip((n_in, n_out), array.shape, strict=True)
        ):  # fmt: skip
            shape = f"({expected[0]}, {expected[1]})"
            raise ValueError(f"coefs_[{layer}] must have shape {shape}, got {array.shape}")
        n_in = array.shape[1]
        found.append(array)
    for layer, b in enumerate(intercepts):
        array = data.numbers(b, f"intercepts_[{layer}]")
        if array.shape != found[layer].shape[1:]:
            raise ValueError(
                f"intercepts_[{layer}] must have shape {found[layer].shape[1:]}, got {array.shape}"
            )
        found.append(array)
    names = [f"{name}[{layer}]" for name in ("coefs_", "intercepts_") for layer in range(len(coefs))]
    for name, array in zip(names, found, strict=True):
        if not any(array is view for view in own):
            data.refuse_nonfinite(np.ascontiguousarray(array, dtype=np.float64), name)
    return found


def conversion_settings(X: Any, dtype: Any) -> dict[str, Any]:
    """Return how scikit-learn is to convert X: not a memory map, which it would copy whole."""
    if blocks.is_mapped(X):
        return {"accept_sparse": ["csr", "csc"], "dtype": "numeric", "order": None}
    return {"accept_sparse": ["csr", "csc"], "dtype": dtype, "order": "C"}


def network_dtype(dtype: np.dtype[Any], allowed: Any) -> Any:
    """Return the precision of a network for X of a dtype: the one that is allowed, or one of several."""
    if not isinstance(allowed, tuple):
        return allowed
    return dtype if dtype in allowed else allowed[0]


def rows_of(X: Any, dtype: np.dtype[Any], name: str = "X", fits: bool = True) -> Any:
    """Return X, which scikit-learn has checked, as rows that the core can read.

    `fits` looks for values of a memory map that overflow now, not when they are read.
    """
    if hasattr(X, "tocsr"):
        return SparseRows(X, dtype, name)
    rows = data.features(X, dtype, X.shape[1], name=name, finite=False)
    if isinstance(rows, BlockRows) and fits:
        rows.check()
    return rows


def take_rows(rows: Any, which: np.ndarray) -> Any:
    """Return the given rows of an array, of SparseRows or BlockRows, as the same type; None for None.

    Those of a large memory map are not read yet.
    """
    if rows is None:
        return None
    if isinstance(rows, SparseRows):
        return rows.take(which)
    if (
        isinstance(rows, np.ndarray)
        and rows.ndim == 2
        and rows.nbytes > blocks.BLOCK
        and blocks.is_mapped(rows)
    ):
        rows = BlockRows(rows, rows.dtype)
    return rows.take(which) if isinstance(rows, BlockRows) else rows[which]
