"""Values: small immutable objects, such as optimizers, schedules, initializers and layers."""

from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Make a class like ``dataclass(frozen=True, slots=True)``, in a sixth of the time.

    The dataclass compiles six methods for each class, which took a third of the time of ``import dnn``. Here
    each class has only its own ``__init__``, and all classes share the other methods.
    """
    made = dataclass(eq=False, repr=False, slots=True)(cls)
    for name, method in SHARED.items():
        if name not in cls.__dict__:
            setattr(made, name, method)
    return made


def contents(self: Any) -> list[Any]:
    """Return the contents of the fields of a value, in order."""
    return [getattr(self, field.name) for field in fields(self)]


class Shared:
    """The methods that all values share."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)  # type: ignore
        return f"{type(self).__qualname__}({shown})"

    def __eq__(self, other: object) -> bool:
        return contents(self) == contents(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *contents(self)))

    def __setattr__(self, name: str, item: object) -> None:
        if name in self.__dataclass_fields__ and hasattr(self, name):  # type: ignore # __init__ has set it
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, item)

    def __delattr__(self, name: str) -> None:
        if name in self.__dataclass_fields__:  # type: ignore
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        object.__delattr__(self, name)

    def __getstate__(self) -> tuple[list[Any], dict[str, Any]]:
        return contents(self), getattr(self, "__dict__", {})  # a subclass may have more

    def __setstate__(self, state: tuple[list[Any], dict[str, Any]]) -> None:
        for field, item in zip(fields(self), state[0], strict=True):  # type: ignore
            object.__setattr__(self, field.name, item)
        if state[1]:
            self.__dict__.update(state[1])


SHARED = {name: item for name, item in vars(Shared).items() if callable(item)}
