"""Packages that dnn can do without: imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def need(module: str, what: str, extra: str) -> Any:
    """Return a module of a package that may not be there, or raise ImportError, which says how to install it.

    Parameters
    ----------
    module : str
        What is imported.
    what : str
        What needs it, as the subject of a sentence.
    extra : str
        The extra of dnn-core that it comes with.

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
            raise  # the package is there, and lacks something itself
        raise ImportError(f"{what} needs {package}: pip install 'dnn-core[{extra}]'") from error
