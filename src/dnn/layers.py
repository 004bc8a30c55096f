"""Layers, dropout and activations: the parts of a network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from . import _core
from ._checks import check_integer, check_name, check_real
from ._frozen import value


@value
class LeakyReLU:
    """The activation leaky_relu, ``z`` above 0 and ``slope z`` below, with your own slope.

    Parameters
    ----------
    slope : float, at least 0, default 0.01, as in the paper

    References
    ----------
    Maas, Hannun and Ng (2013), Rectifier nonlinearities improve neural network acoustic models, section 2.

    Examples
    --------
    >>> from dnn import Dense, LeakyReLU
    >>> Dense(64, LeakyReLU(0.2)).activation
    LeakyReLU(slope=0.2)
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        check_real("slope", self.slope, 0.0)


@value
class ELU:
    """The activation elu, ``z`` above 0 and ``alpha (exp(z) - 1)`` below, with your own alpha.

    Parameters
    ----------
    alpha : float, at least 0, default 1, as in the paper

    References
    ----------
    Clevert, Unterthiner and Hochreiter (2016), Fast and accurate deep network learning by exponential linear
    units, equation 15.

    Examples
    --------
    >>> from dnn import ELU, Dense
    >>> Dense(64, ELU(0.5)).activation
    ELU(alpha=0.5)
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_real("alpha", self.alpha, 0.0)


Activation: TypeAlias = str | LeakyReLU | ELU


def activation_of(activation: Any) -> tuple[str, tuple[float, ...]]:
    """Return the name of an activation in the core's table, and its parameters."""
    if isinstance(activation, LeakyReLU):
        return "leaky_relu", (float(activation.slope),)
    if isinstance(activation, ELU):
        return "elu", (float(activation.alpha),)
    info = _core.ACTIVATIONS[check_name("activation", activation, _core.ACTIVATIONS)]
    return info.name, (info.par0,) * info.n_par


@value
class Dropout:
    """Drops inputs of the next layer, in training only; the remaining ones are divided by 1 - rate.

    Parameters
    ----------
    rate : float in [0, 1)
        Share of the inputs that are dropped.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), Dropout: a simple way to prevent
    neural networks from overfitting, section 4, in the inverted form of the course.

    Examples
    --------
    >>> from dnn import Dense, Dropout, Network
    >>> Network(8, [Dense(64, "relu"), Dropout(0.2), Dense(1)]).dropout
    (0.0, 0.2)
    """

    rate: float

    def __post_init__(self) -> None:
        check_real("rate", self.rate, 0.0, 1.0)


@value
class Dense:
    """A dense layer: ``A = f(A_prev @ W + b)``.

    Parameters
    ----------
    units : int, at least 1
        Number of outputs of the layer.
    activation : str, LeakyReLU or ELU, default "identity"
        The function f: identity, sigmoid (or logistic), tanh, relu, leaky_relu, elu, selu, gelu, gelu_tanh,
        silu (or swish), mish, softplus, exp, softmax.

    Examples
    --------
    >>> from dnn import Dense, Network
    >>> Network(8, [Dense(64, "relu"), Dense(1)]).n_params
    641
    """

    units: int
    activation: Activation = "identity"

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", check_integer("units", self.units, 1))
        if not isinstance(self.activation, (LeakyReLU, ELU)):
            object.__setattr__(self, "activation", activation_of(self.activation)[0])

    @property
    def info(self) -> _core.ActivationInfo:
        """The activation's entry in the table of the core."""
        return _core.ACTIVATIONS[activation_of(self.activation)[0]]


# Parameters, an optimizer's state and copies of them must be addressable with 63 bits.
MOST_PARAMS = 2**56

OUTPUTS = tuple(info.name for info in _core.ACTIVATIONS.values() if info.output)


def layers_of(
    sizes: Any, spec: Any, activation: Any, output: Any, dropout: Any
) -> tuple[int, tuple[Dense, ...], tuple[float, ...]]:
    """Return the number of inputs, the layers, and the dropout rate before each layer."""
    if spec is not None:
        if activation != "relu" or output != "identity" or dropout != 0.0:
            raise ValueError("activation, output and dropout must not be given if the layers specify them")
        n_inputs = check_integer("the number of inputs", sizes, 1)
        layers, rates = _layers_and_dropout(spec)
    else:
        n_inputs, layers = _layers_of_sizes(sizes, activation, output)
        rates = _dropout_rates(dropout, len(layers))
    sizes = [n_inputs, *(layer.units for layer in layers)]
    n_params = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
    if n_params > MOST_PARAMS:
        raise ValueError(
            f"layers must have at most {MOST_PARAMS:.2g} parameters, got sizes "
            f"[{', '.join(map(str, sizes))}] with {n_params:.2g}"
        )
    for layer in layers[:-1]:
        if layer.info.row_wise:
            raise ValueError(f"the activation of a hidden layer must not be {layer.activation!r}")
    last = layers[-1]
    check_name("output", last.info.name, OUTPUTS)
    if last.activation == "softmax" and last.units == 1:
        raise ValueError(
            "output softmax must have at least 2 units, got 1: use output='sigmoid' for one unit"
        )
    return n_inputs, layers, rates


def _layers_of_sizes(sizes: Any, activation: Any, output: Any) -> tuple[int, tuple[Dense, ...]]:
    several = isinstance(sizes, (Sequence, np.ndarray)) and not isinstance(sizes, (str, bytes))
    if not several or np.ndim(sizes) == 0 or len(sizes) < 2:
        raise TypeError(
            "layers must be a list of sizes, inputs first and outputs last, such as [64, 100, 10], "
            f"got {sizes!r}"
        )
    n_inputs, *units = (check_integer("a size in layers", size, 1) for size in sizes)
    n_hidden = len(units) - 1
    if not isinstance(output, (LeakyReLU, ELU)):
        check_name("output", output, OUTPUTS)
    if isinstance(activation, Activation):
        activation = [activation] * n_hidden
    elif not isinstance(activation, Sequence) or len(activation) != n_hidden:
        raise ValueError(
            f"activation must be one name, or {n_hidden} for {n_hidden} hidden layers, got {activation!r}"
        )
    return n_inputs, tuple(Dense(u, a) for u, a in zip(units, [*activation, output], strict=True))


def _dropout_rates(dropout: Any, n_layers: int) -> tuple[float, ...]:
    """Return the rate before each layer, from one rate for all hidden layers, or from one per layer."""
    several = isinstance(dropout, (Sequence, np.ndarray)) and not isinstance(dropout, (str, bytes))
    if not several or np.ndim(dropout) == 0:
        return (0.0, *(check_real("dropout", dropout, 0.0, 1.0),) * (n_layers - 1))
    if len(dropout) != n_layers:
        raise ValueError(
            f"dropout must be one rate, or {n_layers}, for the inputs and for {n_layers - 1} hidden layers, "
            f"got {dropout!r}"
        )
    return tuple(check_real("dropout", rate, 0.0, 1.0) for rate in dropout)


def _layers_and_dropout(spec: Any) -> tuple[tuple[Dense, ...], tuple[float, ...]]:
    if isinstance(spec, (Dense, Dropout)) or not isinstance(spec, Sequence) or not spec:
        raise TypeError(f"layers must be a list of Dense and Dropout, at least one Dense, got {spec!r}")
    layers: list[Dense] = []
    rates: list[float] = []
    for i, layer in enumerate(spec):
        if isinstance(layer, Dense):
            before = spec[i - 1] if i else None
            layers.append(layer)
            rates.append(float(before.rate) if isinstance(before, Dropout) else 0.0)
        elif not isinstance(layer, Dropout):
            raise TypeError(f"layers must be a list of Dense and Dropout, got {layer!r}")
        elif i + 1 == len(spec) or not isinstance(spec[i + 1], Dense):
            raise ValueError("Dropout must be followed by a Dense layer, whose inputs it drops")
    return tuple(layers), tuple(rates)
