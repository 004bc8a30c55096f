"""A network from the operations of another library's model: affine maps, activations, dropout, normalization.

In other libraries the activation, the dropout and the normalization of a layer are layers themselves, in any
order. `Chain` receives these operations in the order of the data, and folds them into dense layers
``A = f(drop(A_prev) @ W + b)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from .._checks import check_real
from ..layers import OUTPUTS, Activation, Dense, Dropout, activation_of
from ..network import Network

# f(m z) = m f(z) for m >= 0: dropout before the function and dropout after it are the same.
_HOMOGENEOUS = ("identity", "relu", "leaky_relu")


def kind_of(layer: Any, method: str) -> str:
    """Return the name of the class that defines the `method` by which a layer computes its outputs.

    A subclass that computes something else is thus not mistaken for the class that it extends, and one that
    computes the same is recognized.

    Examples
    --------
    >>> class Linear:
    ...     def forward(self, x): ...
    >>> class Named(Linear): ...
    >>> class Noisy(Linear):
    ...     def forward(self, x): ...
    >>> kind_of(Named(), "forward"), kind_of(Noisy(), "forward")
    ('Linear', 'Noisy')
    """
    defining = (cls for cls in type(layer).__mro__ if method in vars(cls))
    return next(defining, type(layer)).__name__


def refuse(where: str, what: str) -> NoReturn:
    """Raise the error for a layer that cannot become a part of a network.

    Examples
    --------
    >>> refuse("module[3].act", "Conv2d is not supported")
    Traceback (most recent call last):
    ValueError: module[3].act: Conv2d is not supported
    """
    raise ValueError(f"{where}: {what}")


@dataclass
class _Layer:
    """A layer that is being built, and the paths of what gave it its W and its activation."""

    rate: float
    W: np.ndarray
    b: np.ndarray
    where: str
    activation: Activation = "identity"
    activation_where: str = ""


class Chain:
    """The layers of a network, built from operations in the order of the data.

    Sums and products of parameters are computed in float64. A normalization is folded into the layer before
    it, or, where an activation or dropout is in between, into the layer after it. An operation that no layer
    can take gets an additional layer, whose W is the unit matrix or another diagonal matrix: an activation
    after another one, dropout at the end, or a last activation that `Network` does not allow, such as relu.

    `where` is the path of an operation in the model that is read; errors begin with it.

    Examples
    --------
    >>> import numpy as np
    >>> chain = Chain()
    >>> chain.affine(np.ones((3, 2), np.float32), None, "layers[0]")
    >>> chain.scale([2.0, 3.0], [0.0, 1.0], "layers[1]")
    >>> chain.activation("relu", "layers[2]")
    >>> chain.dropout(0.5, "layers[3]")
    >>> chain.affine(np.ones((2, 1), np.float32), [0.5], "layers[4]")
    >>> net = chain.network("model")
    >>> net
    Network([3, 2, 1], activation=['relu'], output='identity', dropout=[0.0, 0.5], dtype='float32')
    >>> net.weights[0].tolist(), net.biases[0].tolist()
    ([[2.0, 3.0], [2.0, 3.0], [2.0, 3.0]], [0.0, 1.0])
    """

    def __init__(self) -> None:
        self.dtype = "float32"
        self._layers: list[_Layer] = []
        # These wait for the next layer: first the dropout, then the scale and the shift of its inputs.
        self._rate = 0.0
        self._scaling: tuple[np.ndarray, np.ndarray] | None = None

    def affine(self, W: Any, b: Any, where: str) -> None:
        """Append ``A @ W + b``: a layer, with W (n_in, n_out), and b (n_out,) or None for zeros."""
        if np.asarray(W).dtype == np.float64:
            self.dtype = "float64"
        W = self._array(W, "weights", where, 2)
        b = np.zeros(W.shape[1]) if b is None else self._array(b, "biases", where, 1)
        self._check_width(len(W), where)
        if len(b) != W.shape[1]:
            refuse(where, f"there must be {W.shape[1]} biases, one for each unit, got {len(b)}")
        if self._scaling is not None:
            scale, shift = self._scaling
            W, b = scale[:, None] * W, b + shift @ W
        self._layers.append(_Layer(self._rate, W, b, where))
        self._rate, self._scaling = 0.0, None

    def scale(self, scale: Any, shift: Any, where: str) -> None:
        """Append ``A * scale + shift``, both (n,): a normalization as it is in predictions.

        If it is folded into the next layer, dropout between the two drops the inputs of the normalization.
        """
        scale, shift = (self._array(each, "factors and shifts", where, 1) for each in (scale, shift))
        self._check_width(len(scale), where)
        last = self._layers[-1] if self._layers else None
        if self._scaling is not None:
            before, offset = self._scaling
            self._scaling = before * scale, offset * scale + shift
        elif last is None or last.activation != "identity" or self._rate:
            self._scaling = scale, shift
        else:
            last.W, last.b = last.W * scale, last.b * scale + shift

    def activation(self, activation: Activation, where: str) -> None:
        """Append an activation: a name, or an object with a parameter."""
        try:
            name, par = activation_of(activation)
        except (TypeError, ValueError) as error:
            refuse(where, str(error))
        if name == "identity":
            return
        last = self._layers[-1] if self._layers else None
        dropped = self._rate and name not in _HOMOGENEOUS
        if last is None or last.activation != "identity" or self._scaling is not None or dropped:
            self._add_diagonal(where, f"the activation {name}")
        # An object with the default parameter is written as a name
        self._layers[-1].activation = name if activation_of(name)[1] == par else activation
        self._layers[-1].activation_where = where

    def dropout(self, rate: Any, where: str) -> None:
        """Append dropout, whose rate is the share that is dropped."""
        rate = check_real(f"{where}: the rate of dropout", rate, 0.0, 1.0)
        self._rate = 1 - (1 - self._rate) * (1 - rate) if self._rate else rate

    def network(self, where: str) -> Network:
        """Return the network: in float64 if one of the weights was, otherwise in float32."""
        if self._width() is None:
            refuse(where, "the model must have a dense layer, got none")
        waiting = self._rate or self._scaling is not None
        if waiting or (self._layers and _name(self._layers[-1]) not in OUTPUTS):
            self._add_diagonal(where, "the model")
        for layer in self._layers:
            if _name(layer) == "softmax" and (layer is not self._layers[-1] or len(layer.b) == 1):
                refuse(layer.activation_where, "softmax must be the last activation, of at least 2 units")
        spec: list[Dense | Dropout] = []
        most = np.finfo(self.dtype).max
        for layer in self._layers:
            if max(abs(layer.W).max(), abs(layer.b).max()) > most:
                refuse(layer.where, f"folded parameters must be at most {most:g} in {self.dtype}, got more")
            spec += [Dropout(layer.rate)] if layer.rate else []
            spec += [Dense(len(layer.b), layer.activation)]
        pairs = [(layer.W, layer.b) for layer in self._layers]
        return Network(len(self._layers[0].W), spec, init=pairs, dtype=self.dtype)

    def _array(self, values: Any, what: str, where: str, ndim: int) -> np.ndarray:
        """Return parameters in float64, checked, a copy."""
        array = np.asarray(values)
        if array.ndim != ndim or 0 in array.shape or array.dtype.kind not in "fiu":
            refuse(where, f"{what} must be real, with {ndim} axes, got {array.dtype} of shape {array.shape}")
        if not np.isfinite(array).all():
            refuse(where, f"{what} must be finite, got NaN or infinity")
        return array.astype(np.float64)

    def _check_width(self, n: int, where: str) -> None:
        """Refuse an operation on n columns after one that gives another number."""
        width = self._width()
        if width is not None and n != width:
            refuse(where, f"there must be {width} inputs, as the part before gives, got {n}")

    def _width(self) -> int | None:
        """Return the number of columns that the chain gives so far, if it is known."""
        if self._scaling is not None:
            return len(self._scaling[0])
        return len(self._layers[-1].b) if self._layers else None

    def _add_diagonal(self, where: str, what: str) -> None:
        """Append a layer for what waits and for what comes next, where no layer can take it."""
        width = self._width()
        if width is None:
            refuse(where, f"{what} must come after a dense layer, got none before it")
        self.affine(np.eye(width, dtype=np.float32), None, where)


def _name(layer: _Layer) -> str:
    """Return the name of the activation of a layer."""
    return activation_of(layer.activation)[0]
