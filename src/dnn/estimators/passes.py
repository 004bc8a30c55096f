"""Passes over rows that return more than the outputs: outputs of a hidden layer, gradients of the inputs."""

from __future__ import annotations

import os
from math import prod
from typing import Any

import numpy as np

from ..data.sparse import SparseRows
from ..network import Network

# Rows per pass: besides the result, only the cache of one forward pass is held in memory
ROWS_PER_PASS = 4096


def hidden_layer(net: Network, rows: np.ndarray | SparseRows, layer: int) -> np.ndarray:
    """Return the outputs of a hidden layer (0, 1, ...) (N, units), its activation applied.

    Examples
    --------
    >>> from dnn import Network
    >>> net = Network([1, 2, 1], init=[([[1, -1]], [0, 0]), ([[1], [1]], [0])])
    >>> hidden_layer(net, np.array([[3.0]], "float32"), 0).tolist()
    [[3.0, 0.0]]
    """
    if isinstance(rows, SparseRows):
        net, rows = _after_first_product(net, rows)
    pieces = (rows[i : i + ROWS_PER_PASS] for i in range(0, len(rows), ROWS_PER_PASS))
    return np.concatenate([net.forward(piece)[1].A[layer] for piece in pieces])


def input_gradient(net: Network, rows: np.ndarray | SparseRows, logits: bool) -> np.ndarray:
    """Return the gradient (N, O, I) of the outputs, or of the logits, with respect to the inputs.

    Raises
    ------
    MemoryError
        If it is larger than the memory of the machine.

    Examples
    --------
    >>> from dnn import Network
    >>> net = Network([2, 1], init=[([[3], [4]], [0])])
    >>> input_gradient(net, np.array([[1.0, 1.0]], "float32"), False).tolist()
    [[[3.0, 4.0]]]
    """
    gradient = _room_for((len(rows), net.n_outputs, net.n_inputs), net.dtype)
    first = None
    if isinstance(rows, SparseRows):
        first = net.weights[0].T
        net, rows = _after_first_product(net, rows)
    for begin in range(0, len(rows), ROWS_PER_PASS):
        piece = slice(begin, begin + ROWS_PER_PASS)
        out, cache = net.forward(rows[piece], logits=logits)
        for k in range(net.n_outputs):
            d_out = np.zeros_like(out)
            d_out[:, k] = 1
            dX = net.backward(cache, d_out, wrt="input")[1]
            if first is None:
                gradient[piece, k] = dX
            else:
                np.matmul(dX, first, out=gradient[piece, k])
    return gradient


def _after_first_product(net: Network, rows: SparseRows) -> tuple[Network, np.ndarray]:
    """Return X W of the first layer, and a network that continues from there: its first W is the identity."""
    W, *others = net.weights
    units = W.shape[1]
    pairs = list(zip([np.eye(units), *others], net.biases, strict=True))
    after = Network(units, list(net.layers), init=pairs, dtype=net.dtype)
    return after, np.ascontiguousarray(rows.product(W))


def _room_for(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array for the gradient of the inputs, or raise if the machine has no room for it."""
    n_bytes = prod(shape) * dtype.itemsize
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if n_bytes > memory:
            raise MemoryError(
                f"X must have fewer rows here: the gradient at {shape[0]} rows, of {shape[1]} outputs by "
                f"{shape[2]} inputs, has {n_bytes / 1e9:.0f} GB, and this machine {memory / 1e9:.0f} GB"
            )
    return np.empty(shape, dtype)
