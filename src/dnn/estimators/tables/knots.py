"""The same functions of a number with other parameters: values at the edges of bins, not rises over bins.

With the piecewise-linear code of `TableEncoder` the first layer has for each number and unit a weight per
bin: how much the unit's input rises over the bin. A network may as well learn the unit's input at each edge.
Both are the same piecewise-linear functions, and each can be rewritten as the other exactly, but gradient
steps differ: a step on one rise moves all values beyond it, while a step on one value stays local. Tables
whose numbers are labels in truth, with a meaning of each value, are learned better by values at the edges;
smooth ones by rises.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...network import Network


class Knots:
    """The change from rises over bins to values at edges; ``encode(form="knots")`` gives inputs for these.

    Parameters
    ----------
    bins : list of (int, int)
        First input and number of the bins of each number.
    n_inputs : int

    Examples
    --------
    >>> from dnn import Network
    >>> knots = Knots([(0, 2)], 2)
    >>> net = Network([3, 1], init=[([[1.0], [5.0], [6.0]], [0.0])])
    >>> [array.tolist() for array in (*knots.network(net).weights, *knots.network(net).biases)]
    [[[4.0], [1.0]], [1.0]]
    """

    def __init__(self, bins: list[tuple[int, int]], n_inputs: int) -> None:
        from scipy.sparse import csr_array

        self.bins, self.n_inputs = bins, n_inputs
        rises, column = [], 0  # of each input before the change: its column after it
        column_of = np.empty(n_inputs, np.int64)
        firsts = {first for first, _ in bins}
        for i in range(n_inputs):
            if i in firsts:
                rises.append(column)
                column += 1  # the first edge
            column_of[i] = column
            column += 1
        self.n_outputs = column
        self.first_edges = np.array(rises, dtype=np.int64)
        binned = np.concatenate([np.arange(first, first + n) for first, n in bins] or [np.empty(0, np.int64)])
        # An input of a bin adds to the edge above, and takes from the edge below
        row = np.concatenate([np.arange(n_inputs), binned])
        where = np.concatenate([column_of, column_of[binned] - 1])
        sign = np.concatenate([np.ones(n_inputs, np.float32), -np.ones(len(binned), np.float32)])
        self.change = csr_array((sign, (row, where)), shape=(n_inputs, self.n_outputs))

    @classmethod
    def of(cls, encoder: Any) -> Knots:
        """Return the change for the inputs of an encoder."""
        bins = [
            (part.stop - len(edges) + 1, len(edges) - 1)
            for part, edges in zip(encoder.number_slices_, encoder.edges_, strict=True)
            if len(edges) > 1
        ]
        return cls(bins, encoder.n_features_out_)

    def network(self, net: Network) -> Network:
        """Return a network on the encoder's inputs that computes what `net` computes on those of `encode`."""
        W, b = net.weights[0].astype(np.float64), net.biases[0].astype(np.float64)
        layers = [self.n_inputs, *(layer.units for layer in net.layers)]
        first = self.change @ W, b + W[self.first_edges].sum(axis=0)
        return Network(
            layers, activation=[layer.activation for layer in net.layers[:-1]],
            output=net.layers[-1].activation, dropout=net.dropout, dtype=net.dtype, random_state=0,
            init=[first, *zip(net.weights[1:], net.biases[1:], strict=True)],
        )  # fmt: skip
