"""What custom training loops are made of: added gradients and moving averages of networks."""

import numpy as np
import pytest

from dnn import Network


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [[3, 5, 2], [4, 70, 300, 1], [700, 9, 3]], ids=str)
def test_gradients_of_several_losses_are_added(sizes, dtype, isa):
    net = Network(sizes, activation="tanh", output="sigmoid", dtype=dtype, random_state=0)
    rng = np.random.default_rng(0)
    given = np.full(net.n_params, 7, dtype)
    total, parts = given.copy(), []
    for n, add in ((5, False), (40, True), (1, True)):
        out, cache = net.forward(rng.normal(size=(n, sizes[0])))
        d_out = rng.normal(size=out.shape).astype(dtype)
        parts.append(net.backward(cache, d_out, wrt="params")[0])
        grad, dX = net.backward(cache, d_out, out=total, add=add)
        assert grad is total and dX.tobytes() == net.backward(cache, d_out, wrt="input")[1].tobytes()
    assert total.tobytes() == (parts[0] + parts[1] + parts[2]).tobytes()


def test_the_gradient_of_frozen_layers_is_added_too():
    net = Network([3, 4, 1], dtype="float64", random_state=0)
    out, cache = net.forward(np.ones((2, 3)))
    grad, _ = net.backward(cache, out)
    net.freeze(0)
    net.backward(cache, out, out=grad, add=True)
    assert grad.tobytes() == (2 * net.backward(cache, out)[0]).tobytes() and grad[: 3 * 4].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_polyak_update(dtype, isa):
    net, source = (Network([5, 33, 2], dtype=dtype, random_state=seed) for seed in (0, 1))
    before, views = net.params.copy(), (net.params, *net.weights, *net.biases)
    source.biases[0][:] = 3
    given = source.params.copy()
    net.polyak_update(source, 0)
    assert net.params.tobytes() == before.tobytes()
    net.polyak_update(source, 0.3)
    expected = 0.7 * before.astype(float) + 0.3 * given.astype(float)
    np.testing.assert_allclose(net.params, expected, rtol=0, atol=2 * np.finfo(dtype).eps)
    net.polyak_update(net, 0.5)
    np.testing.assert_allclose(net.params, expected, rtol=0, atol=2 * np.finfo(dtype).eps)
    net.polyak_update(source, 1)
    assert net.params.tobytes() == source.params.tobytes() == given.tobytes()
    assert all(new is old for new, old in zip((net.params, *net.weights, *net.biases), views, strict=True))


def test_polyak_update_waits_for_no_training_and_ends_the_life_of_caches():
    net, source = Network([2, 1], random_state=0), Network([2, 1], random_state=1)
    _, cache = net.forward(np.ones((1, 2)))
    net.polyak_update(source, 0.1)
    with pytest.raises(ValueError, match="after the last step or fit"):
        net.backward(cache, np.ones((1, 1)))
    refused = []

    def call(event):
        for mover in (event.net.polyak_update, source.polyak_update):
            try:
                mover(source, 0.5)
            except RuntimeError as error:
                refused.append(str(error))

    net.fit(np.ones((4, 2)), np.ones(4), epochs=1, callbacks=[call])
    assert refused == ["polyak_update must not be called on a network that is in training"]
    net.polyak_update(source, 1)  # the lock is free again
    assert net.params.tobytes() == source.params.tobytes()
