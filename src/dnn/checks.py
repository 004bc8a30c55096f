"""Checks of what a caller says. The voice of an error: the parameter, what was wanted, what came."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

# A string: NumPy imports its generators when they are first asked for, a quarter of the time that it takes.
Random: TypeAlias = "np.random.Generator | np.random.RandomState"
SYNONYMS = {"logistic": "sigmoid", "swish": "silu"}


def check_integer(name: str, value: Any, at_least: int) -> int:
    """Return a whole number that is at least so large."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return int(value)


def check_real(name: str, value: Any, low: float, below: float = math.inf, *, above: bool = False) -> float:
    """Return a finite float in [low, below), or in (low, below) with `above`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not math.isfinite(number) or number < low or number >= below or (above and number == low):
        wanted = "finite"
        if low > -math.inf:
            wanted += f" and above {low:g}" if above else f" and at least {low:g}"
        if below < math.inf:
            wanted += f" and below {below:g}"
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return number


def check_boolean(name: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_name(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return a name that is in a list; the error suggests the nearest."""
    allowed = list(allowed)
    if not isinstance(value, str):
        hint = f": did you mean {value.__name__}()?" if isinstance(value, type) else ""
        raise TypeError(f"{name} must be one of {', '.join(allowed)}, got {value!r}{hint}")
    known = SYNONYMS.get(value, value)
    if known in allowed:
        return known
    near = difflib.get_close_matches(value.lower(), [*allowed, *SYNONYMS], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}{hint}")


def generator_of(random_state: Any) -> Random:
    """Return the source of random numbers: None, a seed, a Generator or RandomState."""
    if isinstance(random_state, (np.random.Generator, np.random.RandomState)):
        return random_state
    if random_state is None:
        return np.random.default_rng()
    return np.random.default_rng(check_integer("random_state", random_state, 0))


def check_dtype(dtype: Any) -> np.dtype[Any]:
    """Return float32 or float64."""
    try:
        name = "" if dtype is None else np.dtype(dtype).name
    except TypeError:
        name = ""
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}")
    found: np.dtype[Any] = np.dtype(name)
    return found
