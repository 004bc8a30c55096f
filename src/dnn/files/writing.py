"""Files that are written as a whole or not at all: models, checkpoints, sources and tables of predictions."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@contextmanager
def replacing(*paths: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, ...]]:
    """Give a new file for each path, open for bytes; at the end they take the places of the files there.

    At any moment the old or the new file is there, also if the process is killed or the power fails. Of
    several files, none is replaced before all are on the disk. A file that is replaced keeps its permissions,
    and a link continues to point to it. On any exception the new files are removed; what a process that was
    killed leaves behind is files ``.dnn-....tmp`` in the same folder.

    Parameters
    ----------
    *paths : str or path

    Raises
    ------
    OSError
        If a file cannot be written, with the path that was given.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/text") as (file,):
    ...         size = file.write(b"whole")
    ...     os.listdir(folder)
    ['text']
    """
    given = [os.fspath(path) for path in paths]
    places = [os.path.realpath(path) for path in given]
    drafts = [os.path.join(os.path.dirname(place), f".dnn-{secrets.token_hex(8)}.tmp") for place in places]
    files: list[BinaryIO] = []
    try:
        for draft, place in zip(drafts, places, strict=True):
            mode = _mode_of(place)
            files.append(os.fdopen(os.open(draft, FLAGS, 0o666 if mode is None else 0o600), "wb"))
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(files[-1].fileno(), stat.S_IMODE(mode))
        yield tuple(files)
        for file in files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        for draft, place in zip(drafts, places, strict=True):
            os.replace(draft, place)
    except BaseException as error:
        for file in files:
            with suppress(OSError):  # closing writes what is left
                file.close()
        for draft in drafts:
            with suppress(OSError):
                os.unlink(draft)
        if not isinstance(error, OSError) or error.errno is None or error.filename not in (None, *drafts):
            raise  # the error is not one of these files
        what = f"{error.strerror}: nothing was saved, and a file that was there is as it was"
        its = drafts.index(error.filename) if error.filename else 0
        raise OSError(error.errno, what, given[its]) from None
    for folder in {os.path.dirname(place) for place in places}:
        _sync_folder(folder)


def _mode_of(place: str) -> int | None:
    """Return the mode of the file that is to be replaced, None if there is none; raise if it must stay."""
    try:
        mode = os.stat(place).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if not (stat.S_ISREG(mode) and os.access(place, os.W_OK)):
        raise PermissionError(errno.EACCES, "The file that is there is read-only, or no regular file")
    return mode


def _sync_folder(folder: str) -> None:
    """Bring the names of new files to the disk, so that they too outlive a loss of power."""
    if os.name != "posix":  # Windows opens no folders
        return
    with suppress(OSError):  # the file is there; some file systems cannot do more
        at = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(at)
        finally:
            os.close(at)
