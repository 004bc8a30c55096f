"""Inputs may have any address, byte order and strides; `out` must have the right ones."""

import numpy as np
import pytest

from dnn import Network


def misaligned(array):
    """Return the same values at an address that is not a multiple of their size."""
    array = np.asarray(array)
    memory = np.zeros(array.nbytes + 1, np.uint8)
    found = memory[1:].view(array.dtype).reshape(array.shape)
    found[...] = array
    assert not found.flags.aligned
    return found


def swapped(array):
    return np.asarray(array).astype(np.asarray(array).dtype.newbyteorder())


def strided(array):
    wide = np.zeros((*array.shape, 2), array.dtype)
    wide[..., 0] = array
    return wide[..., 0]


HOWS = [misaligned, swapped, strided]


@pytest.mark.parametrize("how", HOWS)
def test_inputs_of_any_memory_layout_are_read(how, isa):
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        X, w = rng.standard_normal((20, 3)).astype(dtype), rng.uniform(1, 2, 20)
        classes, reals = rng.integers(0, 4, 20), rng.standard_normal((20, 4)).astype(dtype)
        probabilities = np.full((20, 4), 0.25, dtype)
        masks = [None, rng.random((20, 5)) < 0.5]

        def run(f, output, y, X=X, w=w, classes=classes, masks=masks, dtype=dtype):
            net = Network([3, 5, 4], output=output, dropout=0.5, dtype=dtype, random_state=0)
            net.fit(f(X), f(y), sample_weight=f(w), epochs=2, batch_size=8, random_state=0,
                    X_val=f(X), y_val=f(y), sample_weight_val=f(w),
                    order=lambda epoch: f(np.arange(20)))  # fmt: skip
            cost, grad = net.loss_and_gradient(f(X), f(y), sample_weight=f(w))
            out, cache = net.forward(f(X), training=True, masks=[None, f(masks[1].astype(np.int32))])
            vjp, dX = net.backward(cache, f(out))
            net.optimizer("adam").step(f(vjp))
            rows = [net(f(X[:1])), net(f(X[0])), net(f(X)), net.losses(f(X), f(y))]
            return [np.asarray(a).tobytes() for a in (net.params, cost, grad, out, vjp, dX, *rows)]

        for output, y in (("softmax", classes), ("softmax", probabilities), ("identity", reals)):
            assert run(how, output, y) == run(np.asarray, output, y)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (misaligned, "aligned"),
        (swapped, "byte order"),
        (strided, "contiguous"),
        (np.asfortranarray, "contiguous"),
    ],
)
def test_errors_name_the_wrong_memory_layout_of_out(how, words):
    net, X = Network([3, 2], random_state=0), np.zeros((4, 3), np.float32)
    for call in (net, net.predictor()):
        with pytest.raises(ValueError, match=f"out must be .*{words}"):
            call(X, out=how(np.zeros((4, 2), np.float32)))
