"""Optional packages, which are imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def need(module: str, what: str, extra: str) -> Any:
    """Return a module of an optional package, or raise an ImportError that tells how to install it.

    Parameters
    ----------
    module : str
        The module to import.
    what : str
        The feature that needs it, as the subject of a sentence.
    extra : str
        The extra of dnn-core that installs it.

    Examples
    --------
    >>> need("json", "a file", "all").dumps([1])
    '[1]'
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise  # the package is installed, and lacks a dependency
        raise ImportError(f"{what} needs {package}: pip install 'dnn-core[{extra}]'") from error
