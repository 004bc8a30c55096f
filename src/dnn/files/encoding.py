"""Values as JSON and arrays, and back: an explicit list of classes, and no code from a file."""

from __future__ import annotations

import math
from dataclasses import fields
from importlib import import_module
from typing import Any

import numpy as np

from . import ModelFormatError
from .container import DTYPES, Arrays

# Every class whose objects a file may hold, by module. A name in a file that is not here is an error: nothing
# else is ever imported or called.
_MODULES = {
    "optimizers": "SGD Adam AdamW RMSprop LBFGS",
    "losses": "Huber Quantile LogLoss",
    "layers": "LeakyReLU ELU",
    "schedules": "Constant Cosine Exponential InverseScaling OneCycle OnPlateau StepDecay WarmUp Plateau",
    "initializers": "Full Glorot He LeCun Normal Uniform Xavier Zeros",
    "training.history": "History StreamHistory",
    "distributed.rounds": "RoundHistory",
    "estimators.optimizer": "SklearnLearningRate",
}
CLASSES = {name: module for module, names in _MODULES.items() for name in names.split()}
# Objects that change as they work, so that their constructor would forget: their attributes.
WORKING = {
    "Plateau": ("spec", "rate", "lowest", "waited"),
    "SklearnLearningRate": ("kind", "rate", "now", "power", "first", "seen", "n_samples", "started"),
}
NUMERIC = frozenset(DTYPES.values())
TYPES = {"numpy.float32": np.float32, "numpy.float64": np.float64, "float": float}  # as values of dtype
DEEPEST = 32
MOST_BITS = 4096  # of an integer: Python reads no more than about 14,000 in JSON
# The state of each generator of NumPy: the greatest value of integers, dtype and length of arrays. A position
# that is out of range would let NumPy read other memory.
_BUFFERED: dict[str, Any] = {"has_uint32": 1, "uinteger": 2**32 - 1}
_PCG: dict[str, Any] = {"state": {"state": 2**128 - 1, "inc": 2**128 - 1}, **_BUFFERED}
STATES: dict[str, dict[str, Any]] = {
    "PCG64": _PCG,
    "PCG64DXSM": _PCG,
    "SFC64": {"state": {"state": ("uint64", 4)}, **_BUFFERED},
    "Philox": {
        "state": {"counter": ("uint64", 4), "key": ("uint64", 2)}, "buffer": ("uint64", 4), "buffer_pos": 4,
        **_BUFFERED,
    },
    "MT19937": {"state": {"key": ("uint32", 624), "pos": 624}},
}  # fmt: skip


def class_of(name: str) -> type:
    """Return a class of the list by its name."""
    found: type = getattr(import_module(f"dnn.{CLASSES[name]}"), name)
    return found


def attributes_of(kind: type) -> tuple[str, ...]:
    """Return the names of what an object of a class of the list consists of."""
    return WORKING.get(kind.__name__) or tuple(field.name for field in fields(kind))


def members(item: Any, where: str, *names: str) -> list[Any]:
    """Return the values of a JSON object that must have these keys and no others, in the order of the names.

    Examples
    --------
    >>> members({"b": 1, "a": 2}, "the layer", "a", "b")
    [2, 1]
    """
    if not isinstance(item, dict) or item.keys() != set(names):
        got = sorted(item) if isinstance(item, dict) else type(item).__name__
        raise ModelFormatError(f"{where} must be an object with {', '.join(names)}, got {got}")
    return [item[name] for name in names]


def whole(item: Any, where: str, low: int = 0, high: int = 2**63 - 1) -> int:
    """Return an integer in low .. high."""
    if type(item) is not int or not low <= item <= high:
        raise ModelFormatError(f"{where} must be a whole number in {low} .. {high}, got {item!r}")
    return item


def listed(item: Any, where: str) -> list[Any]:
    """Return a list."""
    if type(item) is not list:
        raise ModelFormatError(f"{where} must be a list, got {type(item).__name__}")
    return item


def shown(value: Any) -> str:
    """Return what an error says of a value of a user."""
    try:
        text = repr(value)
    except Exception:  # of a huge integer, or of the user's own __repr__
        return "an object without repr"
    return text if len(text) < 200 else text[:200] + " ..."


class Encoder:
    """Makes JSON of values; what is an array goes to `arrays`, by the name of the place where it was.

    Examples
    --------
    >>> from dnn import SGD
    >>> Encoder().value(SGD(0.1).momentum, "momentum"), Encoder().value((1, float("inf")), "a pair")
    (0.0, {'type': 'tuple', 'items': [1, {'type': 'float', 'value': 'inf'}]})
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def array(self, array: np.ndarray, where: str) -> str:
        """Keep an array, and return its name."""
        if where in self.arrays:  # by long keys of a dict, which are cut
            where = f"{where} ({len(self.arrays)})"
        self.arrays[where] = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)
        return where

    def value(self, value: Any, where: str, depth: int = 0) -> Any:
        """Return a value as JSON, or raise TypeError that says where it stands.

        Parameters
        ----------
        value : object
        where : str
            Its place, as the user knows it: ``init[0]``.
        depth : int, default 0
            How many containers it stands in.
        """
        kind = type(value)
        if depth > DEEPEST:
            raise TypeError(f"{where} cannot be saved: it is nested too deeply")
        if value is None or kind in (bool, str) or (kind is int and value.bit_length() <= MOST_BITS):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"type": "float", "value": repr(value)}
        if kind is list and len(value) > 8 and all(type(item) is float for item in value):
            return {"type": "floats", "array": self.array(np.array(value), where)}
        if kind in (list, tuple):
            items = [self.value(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
            return items if kind is list else {"type": "tuple", "items": items}
        if kind is dict:
            places = [(key, item, f"{where}[{shown(key)}]") for key, item in value.items()]
            pairs = [
                [self.value(key, f"a key of {where}", depth + 1), self.value(item, place, depth + 1)]
                for key, item, place in places
            ]
            return {"type": "dict", "items": pairs}
        if kind is np.ndarray:
            return {"type": "array", **self.labels(value, where)}
        if isinstance(value, np.generic) and (kind is np.str_ or value.dtype.name in NUMERIC):
            dtype = "str" if kind is np.str_ else value.dtype.name
            return {"type": "scalar", "dtype": dtype, "value": self.value(value.item(), where, depth + 1)}
        if isinstance(value, np.dtype) and value.isnative and value.name in NUMERIC:
            return {"type": "dtype", "name": value.name}
        if kind is type and value in TYPES.values():
            return {"type": "class", "name": next(name for name in TYPES if TYPES[name] is value)}
        if kind in (np.random.Generator, np.random.RandomState):
            return self.generator(value, where)
        if kind.__name__ in CLASSES and kind is class_of(kind.__name__):
            names = attributes_of(kind)
            if getattr(value, "__dict__", {}).keys() - set(names):
                raise TypeError(
                    f"{where} cannot be saved: it must have no attributes of your own, got {shown(value)}"
                )
            made = {name: self.value(getattr(value, name), f"{where}.{name}", depth + 1) for name in names}
            return {"type": kind.__name__, "fields": made}
        raise TypeError(
            f"{where} cannot be saved: it must be of numbers, strings, arrays and objects of dnn, without "
            f"functions and objects of your own class, got {shown(value)} of "
            f"{kind.__module__}.{kind.__qualname__}"
        )

    def labels(self, array: np.ndarray, where: str) -> dict[str, Any]:
        """Return an array of numbers, strings or objects as JSON and an array: strings as code points."""
        dtype = array.dtype.name if array.dtype.kind != "U" else "str"
        if dtype in NUMERIC:
            return {"dtype": dtype, "array": self.array(array, where)}
        if dtype == "str":
            return {"dtype": "str", "array": self.array(_code_points(array), where)}
        if dtype == "object":
            items = array.ravel().tolist()
            if items and all(type(item) is str for item in items):
                plain = np.array(items)
                if plain.astype(object).tolist() == items:  # NumPy drops a NUL at the end
                    points = _code_points(plain.reshape(array.shape))
                    return {"dtype": "strings", "array": self.array(points, where)}
            if len(items) <= 100_000:
                made = [self.value(item, f"{where}[{i}]", 1) for i, item in enumerate(items)]
                return {"dtype": "object", "shape": list(array.shape), "items": made}
        raise TypeError(
            f"{where} cannot be saved: its dtype must be of numbers or strings, got {array.dtype}"
        )

    def generator(self, rng: Any, where: str) -> dict[str, Any]:
        """Return a generator of NumPy as JSON and an array."""
        legacy = isinstance(rng, np.random.RandomState)
        state = rng.get_state(legacy=False) if legacy else rng.bit_generator.state
        name = state["bit_generator"]
        if name not in STATES:
            raise TypeError(f"{where} cannot be saved: its bit generator must be one of NumPy's, got {name}")
        found = {
            "type": type(rng).__name__, "bit_generator": name,
            "state": self._state(state, STATES[name], where),
        }  # fmt: skip
        if legacy:
            found["gauss"] = self.value(float(state["gauss"]), where) if state["has_gauss"] else None
        return found

    def _state(self, state: Any, form: dict[str, Any], where: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, expected in form.items():
            item = state[name]
            if isinstance(expected, dict):
                found[name] = self._state(item, expected, f"{where}.{name}")
            elif isinstance(expected, tuple):
                found[name] = self.array(np.asarray(item, expected[0]), f"{where}.{name}")
            else:
                found[name] = int(item)
        return found


def _code_points(array: np.ndarray) -> np.ndarray:
    """Return an array of strings (...) as their code points (..., width)."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)
    return array.reshape(*array.shape, 1).view(np.uint32)


class Decoder:
    """Makes values of JSON again; each class is one of the list."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays

    def value(self, item: Any, where: str, depth: int = 0) -> Any:
        """Return the value that `Encoder.value` has made JSON of.

        Parameters
        ----------
        item : object
        where : str
            Its place, for errors.
        depth : int, default 0
            How many containers it stands in.
        """
        if depth > DEEPEST:
            raise ModelFormatError(f"{where} must not be nested so deeply")
        if type(item) is list:
            return [self.value(each, f"{where}[{i}]", depth + 1) for i, each in enumerate(item)]
        if type(item) is not dict:
            return item
        name = item.get("type")
        if type(name) is not str:
            raise ModelFormatError(f"{where} must say its type, got {item!r}")
        if name in CLASSES:
            return self._object(name, members(item, where, "type", "fields")[1], where, depth)
        how = getattr(self, f"_{name}", None) if name in self.TAGS else None
        if how is None:
            raise ModelFormatError(f"{where} must be of a known type, got {name!r}")
        return how(item, where, depth)

    TAGS = frozenset(
        ("float", "floats", "tuple", "dict", "array", "scalar", "dtype", "class", "Generator", "RandomState")
    )

    def _float(self, item: Any, where: str, depth: int) -> float:
        text = members(item, where, "type", "value")[1]
        if text not in ("nan", "inf", "-inf"):
            raise ModelFormatError(f"{where} must be nan, inf or -inf, got {text!r}")
        return float(text)

    def _floats(self, item: Any, where: str, depth: int) -> list[float]:
        found = self.take(members(item, where, "type", "array")[1], where, "float64")
        if found.ndim != 1:
            raise ModelFormatError(f"{where} must have one dimension, got shape {found.shape}")
        values: list[float] = found.tolist()
        return values

    def _tuple(self, item: Any, where: str, depth: int) -> tuple[Any, ...]:
        items = listed(members(item, where, "type", "items")[1], where)
        return tuple(self.value(items, where, depth))

    def _dict(self, item: Any, where: str, depth: int) -> dict[Any, Any]:
        found = {}
        for pair in listed(members(item, where, "type", "items")[1], where):
            if len(listed(pair, where)) != 2:
                raise ModelFormatError(f"{where} must have pairs of a key and a value")
            key = self.value(pair[0], f"a key of {where}", depth + 1)
            if not isinstance(key, (str, int, float, bool, np.generic, type(None))) or key in found:
                raise ModelFormatError(f"{where} must have each key once, a number or a string, got {key!r}")
            found[key] = self.value(pair[1], f"{where}[{key!r}]", depth + 1)
        return found

    def _array(self, item: Any, where: str, depth: int) -> np.ndarray:
        return self.labels({name: each for name, each in item.items() if name != "type"}, where)

    def _scalar(self, item: Any, where: str, depth: int) -> Any:
        _, dtype, value = members(item, where, "type", "dtype", "value")
        if dtype not in (*NUMERIC, "str"):
            raise ModelFormatError(f"{where} must be of a known dtype, got {dtype!r}")
        value = self.value(value, where, depth + 1)
        if type(value) not in ((str,) if dtype == "str" else (bool, int, float)):
            raise ModelFormatError(f"{where} must be one number or string, got {value!r}")
        with np.errstate(over="ignore"):
            return np.str_(value) if dtype == "str" else np.dtype(dtype).type(value)

    def _dtype(self, item: Any, where: str, depth: int) -> np.dtype[Any]:
        name = members(item, where, "type", "name")[1]
        if name not in NUMERIC:
            raise ModelFormatError(f"{where} must be a known dtype, got {name!r}")
        found: np.dtype[Any] = np.dtype(name)
        return found

    def _class(self, item: Any, where: str, depth: int) -> type:
        name = members(item, where, "type", "name")[1]
        if name not in TYPES:
            raise ModelFormatError(f"{where} must be one of {', '.join(TYPES)}, got {name!r}")
        return TYPES[name]

    def _object(self, name: str, item: Any, where: str, depth: int) -> Any:
        kind = class_of(name)
        names = attributes_of(kind)
        given = zip(names, members(item, where, *names), strict=True)
        found = {each: self.value(value, f"{where}.{each}", depth + 1) for each, value in given}
        if name in WORKING:
            made: Any = object.__new__(kind)
            for each, value in found.items():
                expected = {"kind": "str", "spec": "OnPlateau"}.get(each)
                fits = type(value) in (int, float) if expected is None else type(value).__name__ == expected
                if not fits:
                    raise ModelFormatError(f"{where}.{each} must be {expected or 'a number'}, got {value!r}")
            vars(made).update(found)
            return made
        return kind(**found)

    def _Generator(self, item: Any, where: str, depth: int) -> Any:
        _, name, state = members(item, where, "type", "bit_generator", "state")
        bits, its = self._bits(name, state, where)
        bits.state = its
        return np.random.Generator(bits)

    def _RandomState(self, item: Any, where: str, depth: int) -> Any:
        _, name, state, gauss = members(item, where, "type", "bit_generator", "state", "gauss")
        bits, its = self._bits(name, state, where)
        normal = 0.0 if gauss is None else self.value(gauss, where)
        if type(normal) is not float:
            raise ModelFormatError(f"gauss of {where} must be a number, got {normal!r}")
        rng = np.random.RandomState(bits)
        rng.set_state({**its, "has_gauss": int(gauss is not None), "gauss": normal})
        return rng

    def _bits(self, name: Any, state: Any, where: str) -> tuple[Any, dict[str, Any]]:
        """Return a bit generator of NumPy and the state, checked, that it is to have."""
        if type(name) is not str or name not in STATES:
            raise ModelFormatError(f"{where} must be of {', '.join(STATES)}, got {name!r}")
        found = {"bit_generator": name, **self._state(state, STATES[name], where)}
        return getattr(np.random, name)(0), found

    def _state(self, state: Any, form: dict[str, Any], where: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for (name, expected), item in zip(form.items(), members(state, where, *form), strict=True):
            place = f"{where}.{name}"
            if isinstance(expected, dict):
                found[name] = self._state(item, expected, place)
            elif isinstance(expected, tuple):
                found[name] = self.take(item, place, expected[0], (expected[1],))
            else:
                found[name] = whole(item, place, 0, expected)
        return found

    def take(self, name: Any, where: str, dtype: Any = None, shape: Any = None) -> np.ndarray:
        """Return an array by what the document says is its name."""
        if type(name) is not str:
            raise ModelFormatError(f"{where} must name an array, got {name!r}")
        return self.arrays.take(name, dtype, shape)

    def labels(self, item: Any, where: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return an array of numbers, strings or objects; a shape is checked before anything is read."""
        if not isinstance(item, dict) or item.get("dtype") not in (*NUMERIC, "str", "strings", "object"):
            raise ModelFormatError(f"{where} must be an array of a known dtype, got {item!r}")
        dtype = item["dtype"]
        if dtype == "object":
            _, its, items = members(item, where, "dtype", "shape", "items")
            its = tuple(whole(n, f"the shape of {where}") for n in listed(its, where))
            if len(its) > 32 or math.prod(its) != len(listed(items, where)) or shape not in (None, its):
                raise ModelFormatError(f"{where} must have shape {shape or its}, got {len(items)} items")
            objects = np.empty(len(items), object)
            for i, each in enumerate(items):  # an item may be a list, which NumPy would take apart
                objects[i] = self.value(each, where, 1)
            return objects.reshape(its)
        name = members(item, where, "dtype", "array")[1]
        if dtype in NUMERIC:
            return self.take(name, where, dtype, shape)
        whole_shape = self.arrays.check(name, "uint32") if type(name) is str else ()
        if len(whole_shape) < 1 or not whole_shape[-1] or (shape is not None and whole_shape[:-1] != shape):
            raise ModelFormatError(f"{where} must be strings of shape {shape}, got {whole_shape[:-1]}")
        points = self.take(name, where, "uint32")
        if points.size and points.max() > 0x10FFFF:
            raise ModelFormatError(f"{where} must have characters of Unicode only")
        strings: np.ndarray = points.view(f"U{whole_shape[-1]}").reshape(whole_shape[:-1])
        return strings.astype(object) if dtype == "strings" else strings
