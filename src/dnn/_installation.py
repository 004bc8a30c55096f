"""The folder of the header for C, and a warning if another distribution has files in the package's folder."""

from __future__ import annotations

import os
import re
import warnings

# The distribution is dnn-core. 'dnn' belongs to another project, and installs a package of the same name.
_NAMESAKE = re.compile(r"dnn-\d[^-]*(-py[\d.]+)?\.(dist|egg)-info", re.IGNORECASE)


def get_include() -> str:
    """Return the folder of `dnn.h`, to compile C, C++ or Cython code that opens models.

    Examples
    --------
    >>> import os
    >>> os.path.exists(os.path.join(get_include(), "dnn.h"))
    True
    """
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")


def warn_of_namesake(package: str) -> None:
    """Warn if the distribution 'dnn' owns files in the folder `package`.

    Only the names of files next to the folder are read, because importlib.metadata takes longer than
    importing dnn.
    """
    beside, name = os.path.split(package)
    try:
        found = [each for each in os.listdir(beside) if _NAMESAKE.fullmatch(each)]
    except OSError:  # imported from an archive, or the folder is not readable
        return
    owners = [each for each in found if _owns(os.path.join(beside, each), name)]
    if not owners:
        return
    warnings.warn(
        f"{owners[0]} says that another distribution, 'dnn', has installed files in {package}, the folder of "
        "dnn-core, and may have replaced some: run 'pip uninstall dnn', then 'pip install --force-reinstall "
        "--no-deps dnn-core'",
        UserWarning,
        stacklevel=3,
    )


def _owns(metadata: str, package: str) -> bool:
    """Return whether a distribution lists files of the package; one without a list may own all."""
    for name in ("RECORD", "SOURCES.txt"):
        try:
            with open(os.path.join(metadata, name), encoding="utf-8", errors="replace") as lines:
                return any(line.startswith(package + "/") for line in lines)
        except OSError:
            continue
    return True
