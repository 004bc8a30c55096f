"""Models of Keras become networks with the same predictions."""

import doctest
import os
import re
from pathlib import Path

import numpy as np
import pages
import pytest

import dnn
from dnn.interop import keras as interop

# Keras 3.15 calls NumPy 2 as NumPy 1 was called.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


@pytest.fixture(scope="module")
def keras():
    """Keras 3 on PyTorch: from_keras does not see the backend, and TensorFlow takes gigabytes."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    reason = "needs Keras and PyTorch: pip install keras torch==2.13.0"
    pytest.importorskip("torch", reason=reason)
    return pytest.importorskip("keras", reason=reason)


def activations(keras):
    """Return every supported activation of one unit at a time: names, functions and layers."""
    names = [name for name in interop._ACTIVATIONS if name != "softmax"]
    layers = keras.layers
    return [
        *names, "elu", "leaky_relu", keras.activations.tanh, layers.ReLU(), layers.ReLU(negative_slope=0.2),
        layers.LeakyReLU(), layers.LeakyReLU(negative_slope=0.1), layers.ELU(), layers.ELU(alpha=0.3),
        layers.Activation("silu"),
    ]  # fmt: skip


def fresh(keras, activation):
    """Return an activation that is in no model yet."""
    is_layer = isinstance(activation, keras.layers.Layer)
    return type(activation).from_config(activation.get_config()) if is_layer else activation


def check(model, dtype="float32", n=40):
    """Check that the network of a model has its predictions, and return it."""
    X = np.random.default_rng(0).normal(size=(n, *model.input_shape[1:])).astype(dtype)
    net = dnn.from_keras(model)
    assert net.dtype == dtype
    expected = model(X, training=False).detach().numpy()
    np.testing.assert_allclose(
        net(X.reshape(n, -1)), expected, rtol=0, atol=1e-6 * max(1, abs(expected).max())
    )
    return net


def normalization(keras, rng, n, **options):
    """Return a BatchNormalization that has seen data."""
    layer = keras.layers.BatchNormalization(**options)
    layer.build((None, n))
    layer.set_weights([rng.uniform(0.5, 2, each.shape) for each in layer.get_weights()])
    return layer


def draw(keras, seed):
    """Return a random model: a Sequential, or a functional one of the same layers."""
    layers, rng = keras.layers, np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    n_inputs = width = int(rng.integers(1, 9))

    def others(n):
        """Layers that keep the width, in any order."""
        choices = [
            lambda: layers.Dropout(rng.uniform(0, 0.9)),
            lambda: normalization(
                keras, rng, width, scale=bool(rng.integers(2)), center=bool(rng.integers(2))
            ),
            lambda: layers.Flatten(),
            lambda: layers.Activation("linear"),
        ]
        return [choices[rng.integers(4)]() for _ in range(n)]

    def activation():
        # exp of exp soon overflows
        choices = [each for each in activations(keras) if each not in ("exponential",)]
        return choices[rng.integers(len(choices))]

    found = others(rng.integers(2))
    for _ in range(rng.integers(1, 4)):
        width = int(rng.integers(1, 13))
        inner = activation() if rng.integers(2) else None
        block = [layers.Dense(width, inner, use_bias=bool(rng.random() < 0.8), bias_initializer="normal")]
        block += others(rng.integers(2))
        if rng.integers(2):
            outer = activation()
            block += [outer if isinstance(outer, layers.Layer) else layers.Activation(outer)]
        block += others(rng.integers(3))
        found += block
        if rng.random() < 0.2:
            found += [keras.Sequential([keras.Input((width,)), layers.Dense(width, activation())])]
    if width > 1 and rng.random() < 0.3:
        found += [layers.Softmax() if rng.integers(2) else layers.Activation("softmax")]
    if rng.integers(2):
        return keras.Sequential([keras.Input((n_inputs,)), *found])
    x = outputs = keras.Input((n_inputs,))
    for layer in found:
        outputs = layer(outputs)
    return keras.Model(x, outputs)


@pytest.mark.parametrize("seed", range(20))
def test_random_models(keras, seed):
    check(draw(keras, seed))


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 200, 20))
def test_100_random_models(keras, first):
    for seed in range(first, first + 20):
        check(draw(keras, seed))


@pytest.mark.parametrize("number", range(len(interop._ACTIVATIONS) + 9))
def test_every_activation(keras, number):
    """In a layer, and as a layer."""
    activation = activations(keras)[number]
    keras.utils.set_random_seed(number)
    outer = fresh(keras, activation)
    outer = outer if isinstance(outer, keras.layers.Layer) else keras.layers.Activation(outer)
    small = keras.initializers.RandomUniform(-0.3, 0.3)  # because of exp(exp(z))
    layers = [keras.layers.Dense(7, activation, kernel_initializer=small), keras.layers.Dense(3), outer]
    net = check(keras.Sequential([keras.Input((5,)), *layers]))
    assert net.layers[0].activation == net.layers[1].activation
    assert net.layers[0].activation != "identity" or activation == "linear"


def test_float64(keras):
    """The weights stay in float64; Keras on PyTorch nevertheless multiplies matrices in float32."""
    layer = keras.layers.Dense(3, dtype="float64")
    net = check(keras.Sequential([keras.Input((4,)), layer]), "float64")
    np.testing.assert_array_equal(net.weights[0], layer.get_weights()[0], strict=True)


def test_dropout_and_normalization(keras):
    """Normalization is folded into a layer before or after it, and dropout keeps its place."""
    layers, rng = keras.layers, np.random.default_rng(0)
    model = keras.Sequential([
        keras.Input((4,)), layers.Dropout(0.1), layers.Dense(6, use_bias=False), normalization(keras, rng, 6),
        layers.ReLU(), layers.Dropout(0.2), normalization(keras, rng, 6), layers.Dense(3, layers.Softmax()),
    ])  # fmt: skip
    net = check(model)
    assert net.dropout == (0.1, 0.2)
    assert [layer.activation for layer in net.layers] == ["relu", "softmax"]


def test_flatten_first(keras):
    """The rows of the network are the flattened inputs."""
    layers = [
        keras.Input((3, 2)),
        keras.layers.Flatten(),
        keras.layers.Dense(4, "relu"),
        keras.layers.Dense(1),
    ]
    assert check(keras.Sequential(layers)).n_inputs == 6


def test_a_layer_that_is_used_twice(keras):
    x = keras.Input((4,))
    dense = keras.layers.Dense(4, "tanh")
    net = check(keras.Model(x, dense(dense(x))))
    assert len(net.layers) == 2
    np.testing.assert_array_equal(net.weights[0], net.weights[1])


def test_the_network_is_independent(keras):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    before = [each.copy() for each in model.get_weights()]
    dnn.from_keras(model).params[:] = 0
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def chain(keras, *layers):
    return keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3), *layers])


def relu(x):
    """A function that has the name of one of Keras by chance."""
    return 2 * x


def branches(keras, join):
    """Return a model that is no chain."""
    x = keras.Input((4,))
    hidden = keras.layers.Dense(4, "relu")(x)
    return keras.Model(x, join(x, hidden))


ONLY = "as it is set, is not supported, only Sequential, Functional, InputLayer, Dense, Activation, "
REFUSED = {
    "unknown": (lambda k: chain(k, k.layers.GaussianNoise(0.1, name="a")), f"model.a: GaussianNoise, {ONLY}"),
    "nested": (
        lambda k: chain(k, k.Sequential([k.Input((3,)), k.layers.PReLU(name="a")], name="inner")),
        f"model.inner.a: PReLU, {ONLY}",
    ),
    "function": (
        lambda k: chain(k, k.layers.Dense(2, "softsign", name="a")),
        f"model.a: softsign, {ONLY}",
    ),
    "function of the user": (
        lambda k: chain(k, k.layers.Dense(2, relu, name="a")),
        f"model.a: relu, {ONLY}",
    ),
    "relu6": (lambda k: chain(k, k.layers.ReLU(max_value=6, name="a")), f"model.a: ReLU, {ONLY}"),
    "threshold": (lambda k: chain(k, k.layers.ReLU(threshold=1, name="a")), f"model.a: ReLU, {ONLY}"),
    "softmax of rows": (lambda k: chain(k, k.layers.Softmax(axis=0, name="a")), f"model.a: Softmax, {ONLY}"),
    "hidden softmax": (
        lambda k: chain(k, k.layers.Softmax(name="a"), k.layers.Dense(2)),
        "model.a: softmax must be the last activation, of at least 2 units",
    ),
    "noise shape": (
        lambda k: chain(k, k.layers.Dropout(0.5, noise_shape=(1, 3), name="a")),
        f"model.a: Dropout, {ONLY}",
    ),
    "rate": (
        lambda k: chain(k, k.layers.Dropout(1.0, name="a")),
        "model.a: the rate of dropout must be finite and at least 0 and below 1, got 1.0",
    ),
    "channels first": (
        lambda k: chain(k, k.layers.Flatten(data_format="channels_first", name="a")),
        f"model.a: Flatten, {ONLY}",
    ),
    "not built": (
        lambda k: k.Sequential([k.layers.Dense(3, name="a")]),
        "model.a: Dense must have weights: give the model an input, or build it",
    ),
    "addition": (lambda k: branches(k, lambda x, hidden: x + hidden), "model.add"),
    "two outputs": (
        lambda k: branches(k, lambda x, hidden: [hidden, k.layers.Dense(1)(hidden)]),
        "model: the layers must be a chain from one input to one output",
    ),
    "branches": (
        lambda k: branches(k, lambda x, hidden: k.layers.Dense(4)(x) + k.layers.Dense(4)(x)),
        "model: the layers must be a chain from one input to one output",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_models_are_named_by_their_path(keras, case):
    build, text = REFUSED[case]
    with pytest.raises(ValueError, match="^" + re.escape(text)):
        dnn.from_keras(build(keras))


def test_model_with_its_own_call(keras):
    class Doubled(keras.Sequential):
        def call(self, *args, **options):
            return 2 * super().call(*args, **options)

    with pytest.raises(ValueError, match=rf"^model: Doubled, {ONLY}"):
        dnn.from_keras(Doubled([keras.Input((2,)), keras.layers.Dense(1)]))


def test_lora(keras):
    layer = keras.layers.Dense(3, name="a")
    model = keras.Sequential([keras.Input((2,)), layer])
    layer.enable_lora(1)
    with pytest.raises(ValueError, match=r"^model\.a: Dense must have neither LoRA nor quantized weights$"):
        dnn.from_keras(model)


def test_examples(keras):
    """The example of the docstring, which is skipped elsewhere because it needs Keras."""
    (test,) = (each for each in doctest.DocTestFinder().find(interop) if each.examples)
    for example in test.examples:
        assert example.options.pop(doctest.SKIP)
    assert doctest.DocTestRunner().run(test) == doctest.TestResults(0, 3)


def test_the_page(keras):
    """The code of the page that needs Keras, which the tests of the pages leave out."""
    page = (Path(__file__).parents[2] / "docs/guide/other_libraries.md").read_text()
    pages.run(page.split("\n## Keras\n")[1].replace("```py\n", "```python\n"))


# Without Keras: objects that look like its models are enough


class Layer:
    def __init__(self, weights=(), **attributes):
        self.weights, self.name = list(weights), "a"
        vars(self).update(attributes)

    def get_weights(self):
        return self.weights

    def call(self, x):
        raise AssertionError("no code of a layer is run")


def layer_class(name):
    return type(name, (Layer,), {"call": Layer.call})


def test_without_keras():
    def relu(x): ...

    relu.__module__ = "keras.src.activations.activations"
    weights = [np.full((3, 1), 2.0, np.float32), np.full(1, -1.0, np.float32)]
    dense = layer_class("Dense")(weights, use_bias=True, activation=relu)
    model = layer_class("Sequential")(layers=[dense, layer_class("LeakyReLU")(negative_slope=0.5)])
    net = dnn.from_keras(model)
    assert net([[1, 2, 3], [-1, -2, -3]]).tolist() == [[11.0], [0.0]]
    dense.activation = lambda x: x
    with pytest.raises(ValueError, match=r"^model\.a: <lambda>, as it is set, is not supported"):
        dnn.from_keras(model)


def test_no_model():
    with pytest.raises(TypeError, match=r"^model must be a model of Keras, got list$"):
        dnn.from_keras([1, 2])
