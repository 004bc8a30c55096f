"""Models of Keras: `dnn.from_keras` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..layers import ELU, LeakyReLU
from ..network import Network
from .chain import Chain, kind_of, refuse

_ACTIVATIONS = {
    "exponential": "exp",
    "gelu": "gelu",
    "linear": "identity",
    "mish": "mish",
    "relu": "relu",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "softmax": "softmax",
    "softplus": "softplus",
    "swish": "silu",
    "tanh": "tanh",
}
_SUPPORTED = (
    "Sequential, Functional, InputLayer, Dense, Activation, ReLU, LeakyReLU, ELU, Softmax, "
    "BatchNormalization, Dropout, Flatten, and the activations elu, leaky_relu, " + ", ".join(_ACTIVATIONS)
)


def from_keras(model: Any) -> Network:
    """Return a network that computes what a model of Keras predicts.

    Only attributes and ``get_weights()`` of the layers are read, so that any backend of Keras 3 will do. The
    model is not changed.

    Parameters
    ----------
    model : keras.Sequential or keras.Model
        A chain of layers from one input to one output: Dense, whose activation may be a name or a layer,
        Activation, ReLU, LeakyReLU, ELU, Softmax, Dropout, BatchNormalization, InputLayer, Flatten, and
        models of these. The model must have weights, which it has once it knows its input.

    Returns
    -------
    Network
        In float64 if a kernel of the model is, otherwise in float32; independent of the model.
        BatchNormalization is folded into a Dense layer beside it; dropout between the two then drops the
        inputs of the normalization. A part that no Dense layer can take, such as a ReLU at the end, gets an
        additional layer, whose W is diagonal. If the model begins with Flatten, the rows of the network are
        those of ``X.reshape(len(X), -1)``.

    Raises
    ------
    ValueError
        For a layer that cannot become a part of a network, or a model that is not a chain; the error begins
        with the path of the layer, such as ``model.dense_1``.
    TypeError
        For anything that is not a layer.

    Examples
    --------
    >>> import dnn, keras  # doctest: +SKIP
    >>> layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]  # doctest: +SKIP
    >>> dnn.from_keras(keras.Sequential(layers))  # doctest: +SKIP
    Network([4, 8, 1], activation=['relu'], output='identity', dtype='float32')
    """
    if not hasattr(model, "call"):
        raise TypeError(f"model must be a model of Keras, got {type(model).__name__}")
    chain = Chain()
    _append(chain, model, "model")
    return chain.network("model")


def _append(chain: Chain, layer: Any, where: str) -> None:
    """Append a layer, or all layers of a model, to a chain."""
    kind = kind_of(layer, "call")
    if kind in ("Sequential", "Functional"):
        for child in _layers(layer, kind, where):
            _append(chain, child, f"{where}.{child.name}")
    elif kind == "Dense":
        if getattr(layer, "lora_rank", None) or getattr(layer, "quantization_mode", None):
            refuse(where, "Dense must have neither LoRA nor quantized weights")
        W, *b = _weights(layer, where)
        chain.affine(W, b[0] if layer.use_bias else None, where)
        _append_activation(chain, layer.activation, where)
    elif kind == "BatchNormalization":
        chain.scale(*_normalization(layer, where), where)
    elif kind == "Dropout" and getattr(layer, "noise_shape", None) is None:
        chain.dropout(layer.rate, where)
    elif kind == "Activation":
        _append_activation(chain, layer.activation, where)
    elif kind != "InputLayer" and not (kind == "Flatten" and layer.data_format == "channels_last"):
        _append_activation(chain, layer, where)


def _layers(model: Any, kind: str, where: str) -> Iterator[Any]:
    """Yield the layers of a model in the order of the data; it must be a chain."""
    if kind == "Sequential":
        yield from model.layers
        return
    # Operations by their distance from the outputs
    nodes = model._nodes_by_depth
    if len(model.inputs) != 1 or len(model.outputs) != 1 or any(len(each) != 1 for each in nodes.values()):
        refuse(where, "the layers must be a chain from one input to one output")
    for depth in sorted(nodes, reverse=True):
        yield nodes[depth][0].operation


def _append_activation(chain: Chain, activation: Any, where: str) -> None:
    """Append an activation: a function of Keras, or a layer."""
    try:
        found = _activation(activation)
    except (TypeError, ValueError) as error:
        refuse(where, str(error))
    if found is None:
        name = getattr(activation, "__name__", None) or type(activation).__name__
        refuse(where, f"{name}, as it is set, is not supported, only {_SUPPORTED}")
    chain.activation(found, where)


def _activation(activation: Any) -> Any:
    """Return the activation of dnn that a function or a layer of Keras is; None if there is none."""
    name = getattr(activation, "__name__", None)
    if name is not None:
        if activation.__module__.partition(".")[0] not in ("keras", "tf_keras"):
            return None  # a function of the user's, which has the name by chance
        if name == "leaky_relu":
            return LeakyReLU(*activation.__defaults__)
        return "elu" if name == "elu" else _ACTIVATIONS.get(name)
    kind = kind_of(activation, "call")
    if kind == "LeakyReLU":
        return LeakyReLU(activation.negative_slope)
    if kind == "ReLU" and activation.max_value is None and activation.threshold == 0:
        return LeakyReLU(activation.negative_slope) if activation.negative_slope else "relu"
    if kind == "ELU":
        return ELU(activation.alpha)
    if kind == "Softmax" and activation.axis in (-1, 1):
        return "softmax"
    return _activation(activation.activation) if kind == "Activation" else None


def _normalization(layer: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and shift of a BatchNormalization as it predicts."""
    if layer.axis not in (-1, 1, [-1], [1]):
        refuse(where, f"BatchNormalization must have the axis of the columns, -1, got {layer.axis!r}")
    weights = [np.asarray(each, np.float64) for each in _weights(layer, where)]
    gamma = weights.pop(0) if layer.scale else 1.0
    beta = weights.pop(0) if layer.center else 0.0
    mean, var = weights
    scale = gamma / np.sqrt(var + layer.epsilon)
    return scale, beta - mean * scale


def _weights(layer: Any, where: str) -> list[np.ndarray]:
    """Return the weights of a layer, which it must have."""
    weights: list[np.ndarray] = layer.get_weights()
    if not weights:
        refuse(where, f"{type(layer).__name__} must have weights: give the model an input, or build it")
    return weights
