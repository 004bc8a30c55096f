"""Model files: what `save` writes, `load` gives back, and no code runs on loading."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..network import Network


class ModelFormatError(ValueError):
    """A file is no model file, is damaged, or was written in a newer format; the message says what is wrong.

    Examples
    --------
    >>> import dnn, tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     try:
    ...         dnn.load(file.name)
    ...     except dnn.ModelFormatError as error:
    ...         print(str(error)[-43:])
    the file must have at least 8 bytes, got 0.
    """


def save(self: Any, path: str | os.PathLike[str]) -> None:
    """Write everything to a file, from which `dnn.load` returns the same.

    The file appears as a whole: until it is complete and on the disk, a file that was there stays as it is.

    Parameters
    ----------
    path : str or path
        Where the file is written, by any name; a file that is there is replaced, and keeps its permissions.

    Raises
    ------
    TypeError
        For what a file cannot hold, by its name: a function, such as a callback, an object of your own class,
        an attribute that dnn does not know.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import dnn, os, tempfile
    >>> net = dnn.Network([4, 8, 1], random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(os.path.join(folder, "net.safetensors"))
    ...     again = dnn.load(os.path.join(folder, "net.safetensors"))
    >>> bool((again.params == net.params).all())
    True
    """
    from . import container, models

    name = _path(path)
    container.write(name, *models.describe(self))


def load(path: str | os.PathLike[str]) -> Network | Any:
    """Return the network or the estimator that `save` wrote to a file.

    It predicts the same bits on the same kind of machine, and trains on as a copy would. Loading runs no code
    from the file, whoever wrote it. Files of every released version of the format load.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Network, MLPClassifier, MLPRegressor, TableClassifier or TableRegressor
        Of a table estimator everything but `oof_`, which has a value for each row of the training data.

    Raises
    ------
    ModelFormatError
        If the file is damaged, no model file, or of a newer format; also if the network does not give the
        outputs that were stored with it.
    OSError
        If the file cannot be read.
    ImportError
        For an estimator, if scikit-learn is not installed.

    Examples
    --------
    >>> import dnn, os, tempfile
    >>> reg = dnn.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0).fit([[0.0], [1.0]], [1.0, 3.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     reg.save(os.path.join(folder, "line.safetensors"))
    ...     again = dnn.load(os.path.join(folder, "line.safetensors"))
    >>> again.predict([[2.0]]).round(2).tolist()
    [5.0]
    """
    from . import container, models

    name = _path(path)
    try:
        with container.opened(name) as (document, arrays):
            return models.restore(document, arrays)
    except ModelFormatError as error:
        what = str(error)
        if len(what) > 400:  # a name from the file may have megabytes
            what = what[:400] + " ..."
        raise ModelFormatError(f"{name} cannot be loaded: {what}.") from None


def _path(path: Any) -> str:
    """Return a path as a string."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(f"path must be a str or a path such as pathlib.Path, got {path!r}")
    return os.fspath(path)
