"""Checks of arguments. An error names the parameter, the expected value and the given value."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

# A string, because NumPy imports its generators on first use, which takes a quarter of its import time.
Random: TypeAlias = "np.random.Generator | np.random.RandomState"
MOST = 2**63 - 1  # the largest integer in the core
SYNONYMS = {"logistic": "sigmoid", "swish": "silu"}


def check_integer(name: str, value: Any, at_least: int, at_most: float = MOST) -> int:
    """Return an integer between at_least and at_most, by default the largest one in the core."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    number = int(value)
    if number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {shown(value)}")
    if number > at_most:
        raise ValueError(f"{name} must be at most {at_most}, got {shown(value)}")
    return number


def check_real(name: str, value: Any, low: float, below: float = math.inf, *, above: bool = False) -> float:
    """Return a finite float in [low, below), or in (low, below) with `above`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an integer or a fraction
        number = math.inf if value > 0 else -math.inf  # type: ignore[operator]
    if not math.isfinite(number) or number < low or number >= below or (above and number == low):
        wanted = "finite"
        if low > -math.inf:
            wanted += f" and above {low:g}" if above else f" and at least {low:g}"
        if below < math.inf:
            wanted += f" and below {below:g}"
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    return number


def shown(value: Any) -> str:
    """Return a value as an error shows it: integers and fractions of many digits by their magnitude.

    Examples
    --------
    >>> shown(0.5), shown(-(10**400))
    ('0.5', 'about -1e+400')
    """
    if not isinstance(value, numbers.Rational):
        return repr(value)
    top, bottom = int(value.numerator), int(value.denominator)
    if abs(top) < 10**30 * bottom:
        return str(value) if isinstance(value, numbers.Integral) else repr(value)
    power = math.log10(abs(top)) - math.log10(bottom)
    return f"about {'-' if top < 0 else ''}1e+{round(power)}"


def check_boolean(name: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_name(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return a name from a list; the error suggests the closest name."""
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
    """Return the random generator for None, a seed, a Generator or a RandomState."""
    if isinstance(random_state, (np.random.Generator, np.random.RandomState)):
        return random_state
    if random_state is None:
        return np.random.default_rng()
    return np.random.default_rng(check_integer("random_state", random_state, 0, math.inf))


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
