"""The file: arrays and a JSON document in the format safetensors, checked on reading, written as a whole."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import ModelFormatError
from .writing import replacing

# To parse a header takes at most about 5 bytes of memory for each of its bytes and 100 for each structural
# character: 25 MB and 0.1 s at these limits, which are checked before. One layer takes about 230 bytes and 39
# characters, so that there may be 3300.
MOST_HEADER = 2**21
MOST_MARKS = 2**17
MARKS = b"[]{},:"
OTHERS = bytes(set(range(256)) - set(MARKS))
DTYPES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "U8": "uint8",
    "U16": "uint16", "U32": "uint32", "U64": "uint64", "F16": "float16", "F32": "float32", "F64": "float64",
}  # fmt: skip
_DTYPES = {name: np.dtype(dtype) for name, dtype in DTYPES.items()}  # dtype.name takes microseconds


class Arrays:
    """The arrays of an open file. Each is taken once, so that no file asks for more memory than its size.

    Parameters
    ----------
    header : dict
        Of the file: for each array "dtype" and "shape".
    file : safetensors.safe_open
        The open file, which is mapped: what is read of it counts as memory of the process.
    """

    def __init__(self, header: dict[str, Any], file: Any) -> None:
        self.left = header
        self.file = file

    def check(self, name: str, dtype: Any = None, shape: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return the shape of an array; raise if it is missing or differs from what is expected."""
        if name not in self.left:
            raise ModelFormatError(f"the array {name!r} must be there once, got none that is left")
        found, its = self.left[name]["dtype"], tuple(self.left[name]["shape"])
        if found not in DTYPES or (dtype is not None and _DTYPES[found] != np.dtype(dtype)):
            expected = "a known dtype" if dtype is None else f"dtype {np.dtype(dtype).name}"
            raise ModelFormatError(f"the array {name!r} must have {expected}, got {found}")
        if shape is not None and its != shape:
            raise ModelFormatError(f"the array {name!r} must have shape {shape}, got {its}")
        return its

    def take(self, name: str, dtype: Any = None, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return an array, checked."""
        shape = self.check(name, dtype, shape)
        found: np.ndarray = self.file.get_tensor(name)
        if found.shape != shape or found.dtype != _DTYPES[self.left.pop(name)["dtype"]]:
            raise ModelFormatError(f"the array {name!r} must not change while it is read")
        return found

    def take_into(self, name: str, out: np.ndarray) -> None:
        """Write an array to another one of the same shape and dtype, by blocks of rows of about 1 MB."""
        self.check(name, out.dtype, out.shape)
        del self.left[name]
        rows = self.file.get_slice(name)
        step = max(1, 2**20 * len(out) // out.nbytes)
        for i in range(0, len(out), step):
            end = min(i + step, len(out))  # a slice that ends later makes older versions panic
            out[i:end] = rows[i:end]

    def end(self) -> None:
        """Raise if arrays are left."""
        if self.left:
            raise ModelFormatError(
                f"the arrays {sorted(self.left)[:3]!r} must be part of the model, got others"
            )


@contextmanager
def opened(path: str) -> Iterator[tuple[Any, Arrays]]:
    """Give the document and the arrays of a file, checked: the arrays are read when they are taken."""
    from safetensors import SafetensorError, safe_open

    header = _header(path)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not isinstance(metadata.get("dnn"), str):
        raise ModelFormatError("the metadata must have an entry 'dnn', which makes it a model file of dnn")
    document = parsed(metadata["dnn"].encode("utf-8", "replace"), "the entry 'dnn'")
    try:
        with safe_open(path, "np") as file:
            yield document, Arrays(header, file)
    except SafetensorError as error:
        raise ModelFormatError(f"the arrays cannot be read: {error}") from None


def _header(path: str) -> dict[str, Any]:
    """Return the header of a file, checked as far as it can be before the arrays are read."""
    info = os.stat(path)
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, "path must be a file, got a folder", path)
    if not stat.S_ISREG(info.st_mode):
        raise ModelFormatError("path must be a regular file, got a device or a pipe")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ModelFormatError(f"the file must have at least 8 bytes, got {size}")
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise ModelFormatError(
                f"it is truncated, or no model file: its header must fit in {size - 8} bytes, got {length}"
            )
        if length > MOST_HEADER:
            raise ModelFormatError(f"the header must have at most {MOST_HEADER} bytes, got {length}")
        text = file.read(length)
    header = parsed(text, "the header")
    if not isinstance(header, dict):
        raise ModelFormatError(f"the header must be a JSON object, got {type(header).__name__}")
    n_bytes = 0
    for name, entry in header.items():
        if name != "__metadata__":
            n_bytes += _bytes_of(name, entry)
    if n_bytes != size - 8 - length:
        raise ModelFormatError(
            f"the arrays must have {n_bytes} bytes together, got {size - 8 - length}: the file is damaged"
        )
    return header


def _bytes_of(name: str, entry: Any) -> int:
    """Return the number of bytes of an array by its entry in the header, checked."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ModelFormatError(f"the array {name!r} must have dtype, shape and data_offsets")
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ModelFormatError(f"the array {name!r} must have one of the dtypes {', '.join(DTYPES)}")
    if not isinstance(shape, list) or len(shape) > 32 or any(type(n) is not int or n < 0 for n in shape):
        raise ModelFormatError(f"the array {name!r} must have a shape of whole numbers")
    if max(shape, default=0) >= 2**63:
        raise ModelFormatError(f"the array {name!r} must have fewer than 2**63 rows and columns")
    return math.prod(shape) * _DTYPES[dtype].itemsize


def parsed(text: bytes, what: str) -> Any:
    """Return what JSON says: without duplicate keys, NaN, and more structure than there is time to parse.

    Examples
    --------
    >>> parsed(b'{"a": [1, 2.5]}', "the header")
    {'a': [1, 2.5]}
    """
    marks = len(text.translate(None, OTHERS))
    if marks > MOST_MARKS:
        raise ModelFormatError(f"{what} must have at most {MOST_MARKS} structural characters, got {marks}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, item in pairs:
            if name in found:
                raise ModelFormatError(f"{what} must have each key once, got {name!r} again")
            found[name] = item
        return found

    def constant(name: str) -> Any:
        raise ModelFormatError(f"{what} must be standard JSON, got {name}")

    def real(digits: str) -> float:
        found = float(digits)
        return found if math.isfinite(found) else constant(digits)

    try:
        return json.loads(
            text.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant, parse_float=real
        )
    except ModelFormatError:
        raise
    except RecursionError:
        raise ModelFormatError(f"{what} must not be nested so deeply") from None
    except ValueError as error:  # of JSON, of UTF-8, and of integers with more digits than Python reads
        raise ModelFormatError(f"{what} must be JSON in UTF-8: {error}") from None


def write(path: str, document: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a document and arrays to a file, as a whole or not at all."""
    from safetensors.numpy import save

    data = save(arrays, {"dnn": json.dumps(document, allow_nan=False, separators=(",", ":"))})
    length = int.from_bytes(data[:8], "little")
    if length > MOST_HEADER or len(data[8 : 8 + length].translate(None, OTHERS)) > MOST_MARKS:
        raise ValueError(
            f"the model must have fewer layers and settings: a file describes them in at most {MOST_HEADER} "
            f"bytes and {MOST_MARKS} structural characters, got {length} bytes"
        )
    with replacing(path) as (file,):
        file.write(data)
