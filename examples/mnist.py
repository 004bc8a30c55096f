"""MNIST, the handwritten digits that several programs of this folder learn."""

import gzip
import os
from pathlib import Path

import numpy as np


def mnist(n_train=60_000, n_test=10_000):
    """Return MNIST's pictures and digits: X_train, y_train, X_test, y_test.

    The files are those of the original set (``train-images-idx3-ubyte.gz`` and so on). They are looked for in
    the folder ``mnist_idx`` of the folder that the environment variable DNN_DATA names, or in ``mnist_idx``.

    Parameters
    ----------
    n_train, n_test : int
        The number of pictures of each part; default: all of them.

    Returns
    -------
    X_train : ndarray of shape (n_train, 784), float32
        Grey values from 0 to 1.
    y_train : ndarray of shape (n_train,), int64
    X_test : ndarray of shape (n_test, 784), float32
    y_test : ndarray of shape (n_test,), int64

    Raises
    ------
    FileNotFoundError
        If the files are not there; the message says where they were looked for.
    """
    folder = Path(os.environ.get("DNN_DATA", "")) / "mnist_idx"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"this program needs the four files of MNIST (train-images-idx3-ubyte.gz ...) in "
            f"{folder.resolve()}; set DNN_DATA to the folder that contains mnist_idx"
        )
    X_train, y_train = _part(folder, "train", n_train)
    X_test, y_test = _part(folder, "t10k", n_test)
    return X_train, y_train, X_test, y_test


def _part(folder, name, n):
    """Return the first n pictures (n, 784) and digits (n,) of a part; IDX headers have 16 and 8 bytes."""
    with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + 784 * n), np.uint8, offset=16)
    with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz") as file:
        digits = np.frombuffer(file.read(8 + n), np.uint8, offset=8)
    return (pixels.reshape(-1, 784) / np.float32(255)).astype(np.float32), digits.astype(np.int64)
