"""One network as an entry of the document and arrays, and back, checked by the outputs stored with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers import ELU, Dense, Dropout, LeakyReLU, layers_of
from . import ModelFormatError
from .encoding import Decoder, Encoder, listed, members, shown, whole

if TYPE_CHECKING:
    from ..network import Network

PROBE_ROWS = 4
TOLERANCE = {"float32": 1e-3, "float64": 1e-6}  # of the outputs on another processor


def describe_network(
    net: Network, state: dict[str, Any], encoder: Encoder, rng: Any = None, place: str = ""
) -> dict[str, Any]:
    """Return the entry of a network, its parameters and its outputs for some inputs.

    rng: random_state of its estimator; where that is the generator of the network too, it remains one object.
    place: what the names of its arrays begin with, where there are several networks.
    """
    known = {"n_inputs", "layers", "dropout", "n_outputs", "dtype", "frozen", "_rng", "_params"}
    others = sorted(state.keys() - known)
    if others:
        raise TypeError(
            f"{others[0]} cannot be saved: it is an attribute of your own, got {shown(state[others[0]])}"
        )
    layers = []
    for i, (dense, dropout, frozen) in enumerate(zip(net.layers, net.dropout, net.frozen, strict=True)):
        encoder.array(net.weights[i], f"{place}layers.{i}.W")
        encoder.array(net.biases[i], f"{place}layers.{i}.b")
        activation = encoder.value(dense.activation, f"the activation of layer {i}")
        layers.append({"units": dense.units, "activation": activation, "dropout": dropout, "frozen": frozen})
    X = np.random.default_rng(0).standard_normal((PROBE_ROWS, net.n_inputs)).astype(net.dtype)
    encoder.array(X, f"{place}probe.X")
    encoder.array(net(X), f"{place}probe.outputs")
    return {
        "n_inputs": net.n_inputs, "dtype": net.dtype.name, "layers": layers,
        "random": None if state["_rng"] is rng else encoder.generator(state["_rng"], f"{place}random"),
    }  # fmt: skip


def restore_network(item: Any, decoder: Decoder, rng: Any = None, place: str = "") -> Network:
    """Return a network; every size is compared with the arrays before any memory is taken."""
    from ..network import Network

    n_inputs, dtype, layers, random = members(item, "the network", "n_inputs", "dtype", "layers", "random")
    n_inputs = n_in = whole(n_inputs, "n_inputs", 1)
    if dtype not in ("float32", "float64"):
        raise ModelFormatError(f"the dtype of the network must be float32 or float64, got {dtype!r}")
    spec: list[Dense | Dropout] = []
    frozen_layers = []
    for i, layer in enumerate(listed(layers, "layers")):
        name = f"layer {i}"
        units, activation, dropout, frozen = members(layer, name, "units", "activation", "dropout", "frozen")
        units, activation = (
            whole(units, f"units of {name}", 1),
            decoder.value(activation, f"activation of {name}"),
        )
        if (
            type(activation) not in (str, LeakyReLU, ELU)
            or type(frozen) is not bool
            or type(dropout) is not float
        ):
            raise ModelFormatError(f"{name} must have an activation, a rate of dropout, and be frozen or not")
        decoder.arrays.check(f"{place}layers.{i}.W", dtype, (n_in, units))
        decoder.arrays.check(f"{place}layers.{i}.b", dtype, (units,))
        spec += [Dropout(dropout), Dense(units, activation)] if dropout else [Dense(units, activation)]
        frozen_layers += [i] if frozen else []
        n_in = units
    layers_of(n_inputs, spec, "relu", "identity", 0.0)
    decoder.arrays.check(f"{place}probe.X", dtype, (PROBE_ROWS, n_inputs))
    decoder.arrays.check(f"{place}probe.outputs", dtype, (PROBE_ROWS, n_in))
    if random is not None:
        if not isinstance(random, dict) or random.get("type") not in ("Generator", "RandomState"):
            raise ModelFormatError(f"random must be a generator of NumPy, got {random!r}")
        rng = decoder.value(random, f"{place}random")
    elif not isinstance(rng, np.random.RandomState):
        raise ModelFormatError("random must be a generator of NumPy, got none")
    net = Network(n_inputs, spec, init="zeros", dtype=dtype, random_state=rng)
    for i, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        decoder.arrays.take_into(f"{place}layers.{i}.W", W)
        decoder.arrays.take_into(f"{place}layers.{i}.b", b)
    if frozen_layers:
        net.freeze(*frozen_layers)
    _check_probe(net, decoder.arrays.take(f"{place}probe.X"), decoder.arrays.take(f"{place}probe.outputs"))
    return net


def _check_probe(net: Network, X: np.ndarray, expected: np.ndarray) -> None:
    """Raise if a network does not give the outputs (4, O) for X (4, I) that it gave when it was saved.

    Another processor sums in another order, so that an error may be as large as that of the terms of the last
    sums, |A| |W| + |b|; exp multiplies it by its value. Outputs that are not finite are not compared.
    """
    found, cache = net.forward(X)
    A = cache.A[-2] if len(net.layers) > 1 else X
    with np.errstate(all="ignore"):
        terms = np.abs(A, dtype=np.float64) @ np.abs(net.weights[-1]) + np.abs(net.biases[-1])
        if net.layers[-1].info.name == "exp":
            terms *= np.maximum(1, np.abs(expected))
        right = np.abs(found - expected) <= TOLERANCE[net.dtype.name] * terms
    right |= ~np.isfinite(expected)
    if not right.all():
        row, column = np.argwhere(~right)[0].tolist()
        raise ModelFormatError(
            f"the network must give the outputs that are stored with it, {expected[row, column]:g} in row "
            f"{row}, column {column}, got {found[row, column]:g}: the file was damaged, or changed"
        )
