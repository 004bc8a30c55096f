"""Shards, and trainings in rounds, that every engine must compute to the bits of the plain one."""

import os
import signal
from pathlib import Path

import numpy as np

from dnn import Network
from dnn.distributed import rounds


class Deadly:
    """A source of four rows that kills the process that reads it, the first few times."""

    n_blocks, n_rows = 1, 4

    def __init__(self, folder, times):
        self.folder = folder
        self.times = times

    def read(self, block):
        n_killed = len(list(Path(self.folder).iterdir()))
        if n_killed < self.times:
            Path(self.folder, str(n_killed)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield np.ones((4, 3)), np.ones(4)


def few(*more, n=3):
    """Return n shards of 20 rows of three features, and more shards."""
    X = np.random.default_rng(0).normal(size=(n, 20, 3))
    return [*((X[k], X[k].sum(axis=1)) for k in range(n)), *more]


def fit(shards, engine=None, *, sizes=(3, 4, 1), dtype="float32", dropout=0.0, **options):
    """Train on some shards; return the network and the history."""
    net = Network(list(sizes), dtype=dtype, dropout=dropout, random_state=0)
    options = {"epochs": 1, "rounds_per_epoch": 2, "random_state": 0, **options}
    return net, rounds.fit(net, shards, engine=engine, **options)


def check_bits(engine, dtype):
    """Check parameters and figures: weights, dropout, penalties, validation, and an outer momentum."""
    rng = np.random.default_rng(1)
    shards = []
    for n in (40, 33, 0, 7, 60):
        X = rng.normal(size=(n, 3))
        shards.append((X, X.sum(axis=1), rng.uniform(0.1, 2, size=n)))
    options = {"dtype": dtype, "dropout": 0.2, "epochs": 3, "alpha": 0.01, "validation": shards[:2]}
    plain, expected = fit(shards, **options)
    net, history = fit(shards, engine, **options)
    assert net.params.dtype == dtype and net.params.tobytes() == plain.params.tobytes()
    assert history.loss == expected.loss and history.val_loss == expected.val_loss
    assert history.n_rows == expected.n_rows


def check_groups(engine):
    """Check that more than 32 shards are summed in the same groups."""
    shards = few(n=67)
    plain, _ = fit(shards, dtype="float64")
    assert fit(shards, engine, dtype="float64")[0].params.tobytes() == plain.params.tobytes()
