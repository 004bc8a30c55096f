"""Shards of sparse rows: they are sent as they are, and trained as dense ones."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array

from dnn import Network
from dnn.data.piecewise import PiecewiseRows
from dnn.data.sparse import SparseRows
from dnn.distributed import rounds
from dnn.distributed.local import LocalTraining

RNG = np.random.default_rng(0)
TABLE = np.where(RNG.uniform(size=(60, 5)) < 0.4, RNG.uniform(size=(60, 5)), 0).astype(np.float32)
Y = TABLE[:, 0] - 2 * TABLE[:, 3]
FLOAT32 = np.dtype(np.float32)


def rows_of(kind, which=slice(None)):
    """Return rows of the table: plain, or with a segment of three bins."""
    matrix = csr_array(TABLE[which])
    return (
        SparseRows(matrix, FLOAT32) if kind == "plain" else PiecewiseRows(matrix, [-1, -1, 2, 2, 2], FLOAT32)
    )


def moved(data):
    """Return a buffer with the same bytes at an address that is not aligned."""
    store = bytearray(len(data) + 1)
    store[1:] = data
    return memoryview(store)[1:]


@pytest.mark.parametrize("kind", ["plain", "piecewise"])
def test_rows_pickle_and_are_aligned_again(kind):
    rows = rows_of(kind)
    buffers = []
    text = pickle.dumps(rows, protocol=5, buffer_callback=buffers.append)
    again = pickle.loads(text, buffers=[moved(buffer.raw()) for buffer in buffers])
    assert type(again) is type(rows) and again.shape == rows.shape
    np.testing.assert_array_equal(again[:], rows[:])
    net = Network([5, 1], random_state=0)
    shard = LocalTraining.of(net).shard((again, Y))
    assert LocalTraining.of(net).loss_of(net.params, shard) is not None


@pytest.mark.parametrize("kind", ["plain", "piecewise"])
def test_sparse_shards_are_trained_as_dense_ones(kind):
    found = []
    for sparse in (True, False):
        shards = [
            (rows if sparse else rows[:], Y[k::3])
            for k, rows in ((k, rows_of(kind, slice(k, None, 3))) for k in range(3))
        ]
        net = Network([5, 4, 1], random_state=0)
        history = rounds.fit(net, [*shards, (rows_of(kind, slice(0, 0)), Y[:0])], epochs=3, random_state=0)
        found.append((net.params, history.loss))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4)


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match="shard 0: X must have 4 columns, got 5"):
        rounds.fit(Network([4, 1]), [(rows_of("plain"), Y)])
