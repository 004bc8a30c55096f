"""A fitted model as a stack of layers and what is made of its outputs: what every export is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers import activation_of
from ..network import Network

if TYPE_CHECKING:
    from ..estimators.base import BaseMLP


@dataclass(frozen=True)
class StackLayer:
    """A dense layer: A = f(A_prev @ W + b), W (n_in, n_out), b (n_out,), copies."""

    W: np.ndarray
    b: np.ndarray
    activation: str
    par: tuple[float, ...] = ()


@dataclass(frozen=True)
class Stack:
    """Layers, and what predictions are made of their outputs: see `dnn.predictor.Decoding`."""

    layers: tuple[StackLayer, ...]
    dtype: np.dtype[Any]
    kind: str = "outputs"
    classes: np.ndarray | None = None

    @property
    def n_inputs(self) -> int:
        """Columns of X."""
        return len(self.layers[0].W)

    @property
    def n_outputs(self) -> int:
        """Units of the last layer."""
        return len(self.layers[-1].b)


def stack_of(model: Network | BaseMLP) -> Stack:
    """Return the stack of a network or of a fitted estimator.

    Examples
    --------
    >>> from dnn import Network
    >>> stack = stack_of(Network([3, 4, 2], output="softmax", random_state=0))
    >>> stack.n_inputs, [layer.activation for layer in stack.layers], stack.kind
    (3, ['relu', 'softmax'], 'outputs')
    """
    kind, classes = "outputs", None
    net = model
    if not isinstance(model, Network):
        if not hasattr(model, "decoding"):
            raise TypeError(f"model must be a Network or an MLP estimator of dnn, got {type(model).__name__}")
        net, (kind, classes) = model.network_, model.decoding()
    assert isinstance(net, Network)
    parts = zip(net.layers, net.weights, net.biases, strict=True)
    layers = tuple(StackLayer(W.copy(), b.copy(), *activation_of(dense.activation)) for dense, W, b in parts)
    return Stack(layers, net.dtype, kind, classes)
