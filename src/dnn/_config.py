"""The versions, the instruction set, the BLAS and the threads with which dnn computes here."""

from __future__ import annotations

from typing import Any, Literal, overload

from . import _core, _threads

# What dnn can do without, by the names of the distributions
OPTIONAL = (
    "scikit-learn", "matplotlib", "tqdm", "pandas", "polars", "onnx", "skl2onnx", "torch", "h5py"
)  # fmt: skip


@overload
def show_config(*, as_dict: Literal[False] = False) -> None: ...
@overload
def show_config(*, as_dict: Literal[True]) -> dict[str, Any]: ...
def show_config(*, as_dict: bool = False) -> dict[str, Any] | None:
    """Print the versions, the instruction set, the BLAS and the threads with which dnn computes here.

    A report of an error should contain it. The command ``dnn config`` prints the same.

    Parameters
    ----------
    as_dict : bool, default False
        Return a dictionary, which JSON can hold, and print nothing.

    Returns
    -------
    None, or dict
        "dnn", "python", "platform", "numpy", "scipy" and "safetensors" are strings; "instruction_set" is the
        one in use, and "instruction_sets" lists those of this processor; "blas" is the name of SciPy's BLAS;
        "threads" is the largest number that "auto" uses; "optional" has the version of each optional
        package, or None for one that is not installed.

    Raises
    ------
    TypeError
        If as_dict is not a bool.

    Examples
    --------
    >>> import dnn
    >>> found = dnn.show_config(as_dict=True)
    >>> found["instruction_set"] in found["instruction_sets"], found["threads"] >= 1
    (True, True)
    """
    if not isinstance(as_dict, bool):
        raise TypeError(f"as_dict must be a bool, got {as_dict!r}")
    import platform

    found: dict[str, Any] = {
        "dnn": _version("dnn-core"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _version(name) for name in ("numpy", "scipy", "safetensors")},
        "instruction_set": _core.isa(),
        "instruction_sets": list(_core.available_isas()),
        "blas": _core.load_blas()["name"],
        "threads": _threads.available(),
        "optional": {name: _version(name) for name in OPTIONAL},
    }
    if as_dict:
        return found
    optional = found.pop("optional")
    for name, item in found.items():
        text = ", ".join(item) if isinstance(item, list) else item
        print(f"{name.replace('_', ' '):17} {'not installed' if text is None else text}")
    print("\noptional packages")
    for name, item in optional.items():
        print(f"{name:17} {item or 'not installed'}")
    return None


def _version(distribution: str) -> str | None:
    """Return the version of a distribution, None if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # takes longer to import than dnn

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
