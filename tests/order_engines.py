"""Engines that compute rounds in other ways; all of them must give the same bits."""

import pickle
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np

from dnn.distributed.averages import groups_of, total_of
from dnn.distributed.rounds import Engine, sum_in_order


def assert_same(one, two):
    """Fail unless two results of a shard have the same bits."""
    for a, b in zip((*one[:1], *one[1], *one[2:]), (*two[:1], *two[1], *two[2:]), strict=True):
        np.testing.assert_array_equal(a, b)


class Twice(Engine):
    """Computes the shards in a random order, each twice, and what it computed first it throws away."""

    def __init__(self):
        self.random = random.Random(0)

    def total(self, function, placed, *common):
        results = {}
        for k in self.random.sample(range(len(placed)), len(placed)):
            lost = function(k, placed[k], *common)
            results[k] = function(k, placed[k], *common)
            assert_same(lost, results[k])
        return sum_in_order([results[k] for k in range(len(placed))])


class Threads(Engine):
    """Computes all shards at the same time, in threads."""

    def total(self, function, placed, *common):
        with ThreadPoolExecutor(4) as pool:
            done = pool.map(lambda k: function(k, placed[k], *common), range(len(placed)))
            return sum_in_order(list(done))


class Pickled(Engine):
    """Pickles everything that goes to a shard and comes from it."""

    def place(self, function, items):
        return [pickle.dumps(pickle.loads(pickle.dumps(function))(k, item)) for k, item in enumerate(items)]

    def total(self, function, placed, *common):
        sent = pickle.dumps((function, common))
        results = []
        for k, shard in enumerate(placed):
            received, arguments = pickle.loads(sent)
            results.append(pickle.dumps(received(k, pickle.loads(shard), *arguments)))
        return sum_in_order([pickle.loads(result) for result in results])


class Grouped(Engine):
    """Sums the groups first, the last one first, as if each were on a machine of its own."""

    def total(self, function, placed, *common):
        sums = [function(k, shard, *common) for k, shard in enumerate(placed)]
        while True:
            groups = groups_of(sums)
            sums = [total_of(group) for group in reversed(groups)][::-1]
            if len(sums) == 1:
                return sums[0]


class Processes(Engine):
    """Computes in two other processes, which are spawned; it must be closed."""

    def __init__(self):
        self.pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"))

    def total(self, function, placed, *common):
        futures = [self.pool.submit(function, k, shard, *common) for k, shard in enumerate(placed)]
        return sum_in_order([future.result() for future in futures])

    def close(self):
        self.pool.shutdown()
