"""Validation on entry: every argument becomes an array that the core can read, or raises one clear error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .. import _core
from .._checks import check_real, shown
from ..losses import LossSpec
from . import blocks, non_numeric
from .blocks import BlockRows

# Weights from 2^-600 to 2^600 can be summed in double, times any loss.
WEIGHT_EXPONENT = 600
# Weights whose mean is between this and its inverse keep their size in the penalties.
ORDINARY_WEIGHT = 2.0**20

RowArray: TypeAlias = np.ndarray | BlockRows


class Targets(NamedTuple):
    """Targets: Y (N, O) in the core's precision, or classes (N,) int64, or any array for a custom loss.

    Y is an array, or `BlockRows` of a large memory map, in which case X is `BlockRows` too.
    """

    Y: Any = None
    classes: np.ndarray | None = None
    any: np.ndarray | None = None


def features(
    X: Any, dtype: np.dtype[Any], n_features: int, *, name: str = "X", finite: bool = True
) -> RowArray:
    """Return X as rows (N, n_features) that the core can read, without a copy if possible.

    A 1-d x of n_features values is one row. With `finite`, NaN and infinity are errors. A memory map that
    must be converted and is larger than a block becomes `BlockRows`.
    """
    # In most calls no conversion is needed, and a custom training loop should not spend time on further
    # checks.
    if (
        type(X) is np.ndarray
        and X.dtype == dtype
        and X.ndim == 2
        and X.shape[1] == n_features
        and X.flags.c_contiguous
        and X.flags.aligned
    ):
        if finite:
            refuse_nonfinite(X, name)
        return X
    array = numbers(X, name)
    wanted = f"{name} must have shape (n_samples, {n_features})"
    if array.ndim == 1 and array.shape[0] == n_features:
        array = array[None, :]
    elif array.ndim == 1 and n_features == 1:
        raise ValueError(f"{wanted}, got {array.shape}: did you mean {name}[:, None]?")
    elif array.ndim != 2 or array.shape[1] != n_features:
        hint = f": did you mean {name}.T?" if array.ndim == 2 and array.shape[0] == n_features else ""
        raise ValueError(f"{wanted}, got {array.shape}{hint}")
    rows = _convert(array, dtype, name)
    if finite:
        for begin, block in _blocks(rows, array.dtype):
            refuse_nonfinite(block, name, X, begin)
    return rows


def examples(
    X: Any, y: Any, spec: LossSpec, n_features: int, n_outputs: int, dtype: np.dtype[Any], suffix: str = ""
) -> tuple[RowArray, Targets]:
    """Return rows and targets of a loss, at least one of each; the suffix is added to their names."""
    rows = features(X, dtype, n_features, name="X" + suffix)
    if not len(rows):
        raise ValueError(f"X{suffix} must have at least one row, got shape {rows.shape}")
    return matched(rows, targets(y, spec, len(rows), n_outputs, dtype, name="y" + suffix))


def matched(X: Any, targets: Targets) -> tuple[Any, Targets]:
    """Return rows and targets, the rows as `BlockRows` if the targets are.

    With a sparse X, which the core reads as a whole, the targets are converted as a whole.
    """
    if isinstance(targets.Y, BlockRows):
        if isinstance(X, np.ndarray):
            X = BlockRows(X, X.dtype)
        elif not isinstance(X, BlockRows):
            targets = targets._replace(Y=targets.Y[:])
    return X, targets


def targets(
    y: Any, spec: LossSpec, n_samples: int, n_outputs: int, dtype: np.dtype[Any], *, name: str = "y"
) -> Targets:
    """Return the targets of a loss for n_samples rows."""
    if spec.function is not None:
        array = array_of(y, name)
        if array.ndim == 0 or len(array) != n_samples:
            raise ValueError(f"{name} must have {n_samples} rows, as X has, got shape {array.shape}")
        return Targets(any=array)
    loss = spec.info
    array = numbers(y, name)
    if loss.classes and array.ndim == 1:
        _check_rows(array, n_samples, name)
        return Targets(None, _classes(array, n_outputs, name))
    wanted = f"{name} must have shape ({n_samples}, {n_outputs})"
    if n_outputs == 1:
        wanted += f" or ({n_samples},)"
    elif loss.classes:
        wanted += f", or ({n_samples},) with classes 0 .. {n_outputs - 1}"
    several = loss.n_par < 0 and n_outputs > 1  # quantiles
    if array.ndim == 1 and (n_outputs == 1 or several):
        array = array[:, None]
    if array.ndim == 2 and array.shape[1] == 1 and several:  # one target and several quantiles
        array = np.repeat(array, n_outputs, axis=1)
    if array.ndim != 2 or array.shape[1] != n_outputs or array.shape[0] != n_samples:
        hint = ""
        if array.ndim == 2 and array.shape == (n_outputs, n_samples):
            hint = f": did you mean {name}.T?"
        elif loss.classes and array.shape == (n_samples, 1):
            hint = f": did you mean {name}.ravel()?"
        raise ValueError(f"{wanted}, got {np.shape(y)}{hint}")
    Y = _convert(array, dtype, name, contiguous=True)
    for begin, block in _blocks(Y):
        _check_targets(block, loss, name, begin)
    return Targets(Y, None)


def _check_targets(Y: np.ndarray, loss: _core.LossInfo, name: str, first: int) -> None:
    """Raise unless targets are valid for a loss; `first` is the number of their first row."""
    refuse_nonfinite(Y, name, first=first)
    if not Y.size:
        return
    low, high = Y.min(), Y.max()
    if low < loss.low or high > loss.high:
        wanted = f"in [{loss.low:g}, {loss.high:g}]" if loss.high < np.inf else f"at least {loss.low:g}"
        raise ValueError(f"{name} must be {wanted} for {loss.name}, got {low if low < loss.low else high:g}")
    if loss.classes:
        sums = Y.sum(axis=1, dtype=np.float64)
        worst = int(np.argmax(np.abs(sums - 1)))
        if abs(sums[worst] - 1) > 1e-5:
            raise ValueError(f"rows of {name} must sum to 1, got {sums[worst]:g} in row {first + worst}")


def weights(sample_weight: Any, n_samples: int, *, name: str = "sample_weight") -> np.ndarray | None:
    """Return the weights of the rows (n_samples,) in float64, or None."""
    if sample_weight is None:
        return None
    array = numbers(sample_weight, name)
    if array.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), got {array.shape}")
    array = _vector(array, np.dtype(np.float64), name)
    refuse_nonfinite(array, name)
    if (array < 0).any():
        raise ValueError(f"{name} must not be negative, got {array.min():g} in row {int(array.argmin())}")
    if not array.any():
        raise ValueError(f"{name} must not be 0 in every row")
    return product_of_weights(array)


def product_of_weights(*factors: np.ndarray) -> np.ndarray:
    """Return the product of the weights of each row, in a range in which sums neither overflow nor underflow.

    Ordinary weights are unchanged. Others are multiplied by a power of two, which changes no digit, because
    only the ratios of weights matter.
    """
    with np.errstate(over="ignore", under="ignore"):
        found: np.ndarray = np.prod(factors, axis=0)
        positive = found[np.all([factor > 0 for factor in factors], axis=0)]
        largest = 2.0**WEIGHT_EXPONENT
        if not positive.size or (positive.min() >= 1 / largest and positive.max() <= largest):
            return found if len(factors) > 1 else factors[0]
        # Each factor is scaled first, so that the product keeps the ratios of both
        found = np.prod([_with_exponent(factor, WEIGHT_EXPONENT - 100) for factor in factors], axis=0)
        return _with_exponent(found, WEIGHT_EXPONENT)


def weighed(place: str, **kinds: np.ndarray | None) -> np.ndarray | None:
    """Return the product of several kinds of weights; it must be above 0 for some row of the place."""
    given = {name: array for name, array in kinds.items() if array is not None}
    if not given:
        return None
    found = product_of_weights(*given.values())
    if not found.any():
        hint = ": another validation_fraction or random_state divides the rows differently"
        raise ValueError(
            f"{' times '.join(given)} must leave a row with a weight above 0 in {place}, got none"
            f"{hint if 'validation_fraction' in place else ''}"
        )
    return found


def score_weights(sample_weight: Any) -> Any:
    """Return weights in a range that scikit-learn's scores can sum; scikit-learn validates them."""
    array = sample_weight if sample_weight is None else np.asarray(sample_weight)
    if array is None or array.dtype.kind not in "iuf" or not array.size:
        return sample_weight
    given = array.astype(np.float64)
    found = product_of_weights(given)
    return sample_weight if found is given else found


def _with_exponent(array: np.ndarray, exponent: int) -> np.ndarray:
    """Return an array multiplied by the power of two that gives its largest value this exponent."""
    found: np.ndarray = np.ldexp(array, exponent - np.frexp(array.max())[1])
    return found


def penalty_unit(weights: np.ndarray | None) -> float:
    """Return the weight that counts as one row in the penalties: 1, or the mean if it is far from 1."""
    mean = 1.0 if weights is None else float(weights.mean())
    return 1.0 if 1 / ORDINARY_WEIGHT <= mean <= ORDINARY_WEIGHT else mean


def class_weights(class_weight: Any, targets: Targets, n_outputs: int) -> np.ndarray | None:
    """Return weights of the rows (N,) from weights of their classes, or None."""
    if class_weight is None:
        return None
    classes = targets.classes
    if classes is None and targets.Y is not None and n_outputs == 1:
        Y = targets.Y[:]
        classes = Y[:, 0].astype(np.int64) if np.isin(Y, (0, 1)).all() else None
    if classes is None:
        raise ValueError(
            "class_weight must come with class numbers: y of 0 and 1, or 0 .. O - 1 with softmax"
        )
    n_classes = max(n_outputs, 2)
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(classes, minlength=n_classes)
        of_class = len(classes) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    elif isinstance(class_weight, Mapping):
        of_class = np.ones(n_classes)
        for label, weight in class_weight.items():
            if label not in range(n_classes):
                raise ValueError(f"class_weight must be of classes 0 .. {n_classes - 1}, got {label!r}")
            of_class[label] = check_real(f"class_weight of {label}", weight, 0.0)
    else:
        raise TypeError(f"class_weight must be 'balanced' or a dict, got {class_weight!r}")
    found: np.ndarray = of_class[classes]
    return found


def masks(
    given: Any, rates: Sequence[float], n_inputs: Sequence[int], n_samples: int
) -> list[np.ndarray | None] | None:
    """Return the dropout mask of the inputs of each layer, (N, n_in) uint8, or None without dropout."""
    if given is None:
        return None
    if isinstance(given, str) or not hasattr(given, "__len__") or getattr(given, "ndim", 1) == 0:
        raise TypeError(f"masks must be a list, one for the inputs of each layer, got {given!r}")
    if len(given) != len(rates):
        raise ValueError(f"masks must be {len(rates)}, one for the inputs of each layer, got {len(given)}")
    found: list[np.ndarray | None] = []
    for layer, (mask, rate, n_in) in enumerate(zip(given, rates, n_inputs, strict=True)):
        if (mask is None) != (rate == 0):
            raise ValueError(
                f"masks[{layer}] must be {'None' if rate == 0 else 'given'}: the rate is {rate:g}"
            )
        if mask is not None:
            array = np.asarray(mask)
            if array.shape != (n_samples, n_in):
                raise ValueError(f"masks[{layer}] must have shape {(n_samples, n_in)}, got {array.shape}")
            mask = np.ascontiguousarray(array != 0).view(np.uint8)
        found.append(mask)
    return found


def writable(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], X: Any) -> np.ndarray:
    """Return `out`, if results of this shape and dtype can be written to it while X is read."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an array, got {out!r}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"out must be {dtype} {shape}, got {described(out.dtype)} {out.shape}")
    if not out.flags.c_contiguous:
        raise ValueError(f"out must be contiguous, in C order, got strides {out.strides} for shape {shape}")
    if not out.flags.aligned:
        raise ValueError(
            f"out must be aligned: its address a multiple of {dtype.itemsize} bytes, got {out.ctypes.data}"
        )
    if not out.flags.writeable:
        raise ValueError("out must be writable, got a read-only array")
    if np.may_share_memory(out, X.source if isinstance(X, BlockRows) else X):
        raise ValueError("out must not overlap X")
    return out


def described(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype, with its byte order if it is not the machine's."""
    return dtype.name if dtype.isnative else f"{dtype.name} in the other byte order ({dtype.str})"


def converted(value: Any, dtype: np.dtype[Any], name: str) -> np.ndarray:
    """Return an array of real numbers in a dtype, contiguous and aligned."""
    return _vector(numbers(value, name), dtype, name)


def refuse_nonfinite(array: np.ndarray, name: str, given: Any = None, first: int = 0) -> None:
    """Raise if an array of floats has NaN or infinity, with the place in the error.

    first: the number of the first row. given: the table before the conversion, which may have column names.
    """
    if array.size and not _core.all_finite(array):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        place = non_numeric.place_of(given, (first + where[0], *where[1:]))
        raise ValueError(f"{name} must be finite, got {array[where]} in {place}")


def array_of(value: Any, name: str) -> np.ndarray:
    """Return an array of any dtype; a memory map remains one."""
    try:
        return value if isinstance(value, np.memmap) else np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, got {non_numeric.ragged(value)}") from error


def numbers(value: Any, name: str) -> np.ndarray:
    """Return an array of real numbers of any dtype."""
    if hasattr(value, "tocsr"):
        raise TypeError(
            f"{name} must be dense, got a sparse {type(value).__name__}: did you mean {name}.toarray()?"
        )
    if value is None:
        raise TypeError(f"{name} must be an array, got None")
    if hasattr(value, "get_columns"):
        non_numeric.refuse_times(value, name)
    if isinstance(value, np.ma.MaskedArray) and value.mask.any():
        raise ValueError(f"{name} must not be masked, got {int(value.mask.sum())} masked values")
    array = array_of(value, name)
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except OverflowError:
            where = next(i for i in np.ndindex(array.shape) if _too_large(array[i]))
            place = non_numeric.place_of(value, where)
            raise ValueError(f"{name} must fit float64, got {shown(array[where])} in {place}") from None
        except (TypeError, ValueError):
            found = non_numeric.explain(value, name) or "others"
            raise TypeError(f"{name} must hold numbers, got objects that are not: {found}") from None
    if array.dtype.kind not in "biuf":
        found = non_numeric.explain(value, name) or "others"
        raise TypeError(f"{name} must hold real numbers, got {array.dtype}: {found}")
    return array


def _too_large(value: Any) -> bool:
    try:
        float(value)
    except OverflowError:
        return True
    return False


def _convert(array: np.ndarray, dtype: np.dtype[Any], name: str, contiguous: bool = False) -> RowArray:
    """Return rows (N, K) in a dtype, with contiguous rows or as a whole; raise if a value overflows."""
    n_columns = array.shape[1]
    stride = array.strides[0] if len(array) > 1 else n_columns * dtype.itemsize
    if (
        array.dtype == dtype
        and array.flags.aligned
        and (n_columns <= 1 or array.strides[1] == dtype.itemsize)
        and stride >= n_columns * dtype.itemsize
        and stride % dtype.itemsize == 0
        and (array.flags.c_contiguous or not contiguous)
    ):
        return array
    if array.size * dtype.itemsize > blocks.BLOCK and blocks.is_mapped(array):
        return BlockRows(array, dtype, name)
    return _vector(array, dtype, name)


def _vector(array: np.ndarray, dtype: np.dtype[Any], name: str) -> np.ndarray:
    """Return an array in a dtype and C order, copied if necessary; raise if a value overflows."""
    try:
        with np.errstate(over="raise"):
            return np.require(array, dtype, ["C", "A"])
    except FloatingPointError:
        raise blocks.too_large(array, dtype, name) from None


def _blocks(rows: RowArray, stored: np.dtype[Any] | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks of rows, each with the number of its first row; nothing for integers, which are finite."""
    if stored is not None and stored.kind != "f":
        return
    if isinstance(rows, BlockRows):
        for tile in rows.tiles():
            yield tile.start, rows[tile]
    else:
        yield 0, rows


def _check_rows(array: np.ndarray, n_samples: int, name: str) -> None:
    if array.shape[0] != n_samples:
        raise ValueError(f"{name} must have {n_samples} rows, as X has, got {array.shape[0]}")


def _classes(array: np.ndarray, n_outputs: int, name: str) -> np.ndarray:
    """Return class numbers in 0 .. n_outputs - 1 as int64."""
    with np.errstate(invalid="ignore"):
        classes = np.require(array, np.int64, ["C", "A"])
    if array.dtype.kind == "f" and not np.array_equal(classes, array):
        raise ValueError(f"{name} must hold whole numbers 0 .. {n_outputs - 1}, got fractions")
    wrong = (classes < 0) | (classes >= n_outputs)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"{name} must hold classes 0 .. {n_outputs - 1}, got {array[row]} in row {row}")
    return classes
