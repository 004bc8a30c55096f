"""Optimizers, schedules, initializers and layers are immutable, and compare by their contents."""

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, replace

import pytest

import dnn

VALUES = [
    dnn.Adam(beta1=0.5),
    dnn.AdamW(0.1, weight_decay=0.2),
    dnn.SGD(dnn.StepDecay(0.1, every=3), momentum=0.9),
    dnn.RMSprop(),
    dnn.LBFGS(),
    dnn.Cosine(0.1, 7),
    dnn.Normal(0.3),
    dnn.Full(2.0),
    dnn.Zeros(),
    dnn.Dense(3, "tanh"),
    dnn.Dropout(0.5),
    dnn.ELU(2.0),
    dnn.LeakyReLU(),
    dnn.Huber(2.0),
    dnn.Quantile((0.1, 0.9)),
    dnn.LogLoss(0.1, cap=None),
]
named = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@named
def test_copies_are_equal(value):
    others = [copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value)), replace(value)]
    others.append(eval(repr(value), vars(dnn)))  # the repr of a value creates an equal value
    for other in others:
        assert other == value
        assert hash(other) == hash(value)
        assert type(other) is type(value)


@named
def test_values_of_other_contents_or_classes_are_not_equal(value):
    assert [other for other in VALUES if other == value] == [value]
    assert value != asdict(value)


@named
def test_nothing_can_be_changed(value):
    before = repr(value)
    for name in (*type(value).__slots__, "something"):
        with pytest.raises(AttributeError, match=name):
            setattr(value, name, 1)
    for name in type(value).__slots__:
        with pytest.raises(FrozenInstanceError, match=name):
            delattr(value, name)
    assert repr(value) == before
    assert not hasattr(value, "__dict__")


def test_equal_values_have_equal_hashes():
    assert dnn.Adam(beta1=0.5) != dnn.Adam(beta1=0.6)
    assert dnn.Adam() == dnn.Adam(0.001)
    assert len({dnn.Adam(), dnn.Adam(0.001), dnn.Adam(0.002)}) == 2


def test_custom_classes_may_have_more_attributes():
    """A subclass of a schedule may have more attributes, which may change; the fields stay frozen."""

    class Counting(dnn.Constant):
        def rates(self, first, n, steps_per_epoch):
            self.calls = getattr(self, "calls", 0) + 1
            return super().rates(first, n, steps_per_epoch)

    schedule = Counting(0.1)
    for _ in range(3):
        schedule.rates(0, 2, 1)
    assert schedule.calls == 3
    del schedule.calls
    with pytest.raises(FrozenInstanceError, match="rate"):
        schedule.rate = 0.2
