"""The descriptor of `partial_fit`, which an estimator has only if its parameters allow single iterations."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from types import MethodType
from typing import Any


class NoPartialFitError(AttributeError, ValueError):
    """The estimator has no `partial_fit`: an AttributeError for `hasattr`, a ValueError as in scikit-learn.

    Examples
    --------
    >>> from dnn import MLPRegressor
    >>> hasattr(MLPRegressor(solver="lbfgs"), "partial_fit")
    False
    """


class available_for_steps:
    """A method that an estimator has only if its parameters allow single iterations.

    Examples
    --------
    >>> from dnn import MLPRegressor
    >>> hasattr(MLPRegressor(), "partial_fit")
    True
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method
        update_wrapper(self, method)  # type: ignore[arg-type]

    def __get__(self, est: Any, kind: Any = None) -> Any:
        if est is None:
            return self.method
        if est._is_lbfgs():
            raise NoPartialFitError(
                "partial_fit does not support solver='lbfgs', which needs all rows at once"
            )
        if est.early_stopping:
            raise NoPartialFitError(
                "partial_fit does not support early_stopping=True: its caller has the epochs"
            )
        return MethodType(self.method, est)
