"""A description of one forward and backward pass, and the most likely mistake behind a wrong gradient.

The mistake is not guessed. Each common mistake is made here on purpose, in each layer and in all of them, and
the resulting gradient is compared with the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layers import Dense
from ..network import Network

# Relative difference below which two gradients count as equal, even if one was computed in float32
SAME = 1e-4


@dataclass
class Pass:
    """A forward and backward pass in float64. Lists begin with layer 1. Gradients are those of the cost."""

    net: Network
    X: np.ndarray
    Z: list[np.ndarray]
    A: list[np.ndarray]
    slopes: list[np.ndarray]  # g'(Z) of the hidden layers
    d_logits: np.ndarray  # of the last Z, with the factor 1/m
    cost: float
    m: float  # number of rows, or the sum of their weights
    alpha: float
    l1: float

    @classmethod
    def of(cls, net: Network, X: np.ndarray, y: Any, how: dict[str, Any]) -> Pass:
        """Return the pass of a float64 network over rows X; `how` has the arguments of the cost."""
        X = np.atleast_2d(np.asarray(X, np.float64))
        _, cache = net.forward(X, logits=True)
        cost, _ = net.loss_and_gradient(X, y, **how)
        Z, A = [np.array(each) for each in cache.Z], [np.array(each) for each in cache.A]
        weight = how["sample_weight"]
        weight = np.ones(len(X)) if weight is None else np.asarray(weight, np.float64)
        m = float(weight.sum())
        slopes = [slope(layer.activation, z) for layer, z in zip(net.layers[:-1], Z[:-1], strict=True)]
        # A layer with the identity matrix has the last Z as its logits. For one row, the gradient of its b is
        # that of the loss with respect to Z.
        last = Network(net.n_outputs, [net.layers[-1]], init="zeros", dtype="float64")
        last.weights[0][...] = np.eye(net.n_outputs)
        y = np.asarray(y)
        rows = [
            last.loss_and_gradient(Z[-1][i : i + 1], y[i : i + 1], loss=how["loss"])[1][-net.n_outputs :]
            for i in range(len(X))
        ]
        d_logits = np.array(rows) * weight[:, None] / m
        return cls(net, X, Z, A, slopes, d_logits, cost, m, how["alpha"], how["l1"])

    def backward(self, mistake: str = "", where: tuple[int, ...] = ()) -> list[np.ndarray]:
        """Return dW1, db1, dW2, ..., with a mistake in some layers; ValueError if shapes forbid it."""
        found: list[np.ndarray] = []
        dZ = self.d_logits
        for layer in range(len(self.A), 0, -1):
            W = self.net.weights[layer - 1]
            A_prev = self.A[layer - 2] if layer > 1 else self.X
            made = mistake if layer in where else ""
            dW, db = self._of_layer(made, A_prev, dZ, self.A[layer - 1])
            penalty = (self.alpha * W + self.l1 * np.sign(W)) / self.m
            scale = {"no penalty": 0.0, "penalty without 1/m": self.m}.get(made, 1.0)
            dW = dW + scale * penalty
            if made == "dW transposed":
                dW = dW.T.reshape(W.shape)
            if made == "no 1/m":
                dW, db = dW * self.m, db * self.m
            found[:0] = [_shaped(dW, W.shape), _shaped(db, W.shape[1:])]
            if layer > 1:
                dZ = self._before(made, layer, dZ, W)
        return found

    def _of_layer(
        self, made: str, A_prev: np.ndarray, dZ: np.ndarray, A: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        dW = A_prev.T * dZ if made == "dW: * for @" else A_prev.T @ dZ
        if made == "dW: A for A_prev":
            dW = A.T @ dZ
        if made == "db: no axis":
            return dW, np.full(dZ.shape[1], dZ.sum())
        return dW, dZ.sum(axis=1 if made == "db: other axis" else 0)

    def _before(self, made: str, layer: int, dZ: np.ndarray, W: np.ndarray) -> np.ndarray:
        """Return dZ of the previous layer."""
        if made == "dA: * for @":
            dA = dZ * W.T
        elif made == "dA: W for W.T":
            dA = dZ @ W
        else:
            dA = dZ @ W.T
        g, Z, A = self.slopes[layer - 2], self.Z[layer - 2], self.A[layer - 2]
        name = self.net.layers[layer - 2].info.name
        dA = _shaped(dA, Z.shape)
        if made == "no slope":
            return dA
        if made == "slope: @ for *":
            return _shaped(dA @ g, Z.shape)
        if made == "slope: of A":
            g = slope(self.net.layers[layer - 2].activation, A)
        elif made == "slope: Z for A" and name in ("tanh", "sigmoid"):
            g = 1 - Z**2 if name == "tanh" else Z * (1 - Z)
        dZ_before: np.ndarray = dA * g
        return dZ_before


MISTAKES = {
    "no 1/m": "the 1/m is missing: the gradient is a sum over the examples, and should be their mean",
    "dW transposed": "dW{l} is transposed: here W is (n_in, n_out), the transpose of the course's",
    "dW: * for @": "* instead of @: dW{l} = A{p}.T @ dZ{l} is a matrix product",
    "dW: A for A_prev": "the wrong A: dW{l} = A{p}.T @ dZ{l} has the inputs of the layer, not its outputs",
    "db: no axis": "the sum in db{l} has no axis and gives a scalar: sum dZ{l} over the examples, axis 0",
    "db: other axis": "db{l} is summed over the wrong axis: sum dZ{l} over the examples, axis 0",
    "dA: * for @": "* instead of @: dA{p} = dZ{l} @ W{l}.T is a matrix product",
    "dA: W for W.T": "a transpose is missing: dA{p} = dZ{l} @ W{l}.T, not @ W{l}",
    "no slope": "the slope is missing: dZ{p} = dA{p} * g'(Z{p}), not dA{p}",
    "slope: @ for *": "@ instead of *: dZ{p} = dA{p} * g'(Z{p}) is an element-wise product",
    "slope: Z for A": "the slope has Z instead of A: for tanh it is 1 - A{p}**2, for sigmoid A{p} (1 - A{p})",
    "slope: of A": "the slope is evaluated at A: dZ{p} = dA{p} * g'(Z{p}), not g'(A{p})",
    "no penalty": "the penalty is missing: dW{l} must include alpha/m W{l}",
    "penalty without 1/m": "the 1/m of the penalty is missing: alpha/m W{l}",
}


def slope(activation: Any, Z: np.ndarray) -> np.ndarray:
    """Return g'(Z) (N, n) of an activation, computed by the core."""
    n = Z.shape[1]
    net = Network(n, [Dense(n, activation), Dense(n)], init="zeros", dtype="float64")
    for W in net.weights:
        W[...] = np.eye(n)
    _, cache = net.forward(Z)
    return net.backward(cache, np.ones_like(Z), wrt="input")[1]


def _shaped(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array if it has the shape; other shapes would have failed in the code of the user."""
    if array.shape != shape:
        raise ValueError(f"{array.shape} for {shape}")
    return array


def explain(passed: Pass, gradient: np.ndarray, difference: float) -> str:
    """Return the pass with a line for each formula, and the errors of a gradient (P,)."""
    lines = [
        "One forward and backward pass. Rows are examples, so that W1 is the transpose of the course's W1.",
        "The values are the first row of each matrix.",
        "",
        *_forward(passed),
        "",
        *_backward(passed),
        "",
        f"Relative difference of the gradient and finite differences: {difference:.1e}"
        + (": correct." if difference < 1e-5 else ": wrong." if difference > 1e-3 else ": doubtful."),
    ]
    return "\n".join([*lines, *_findings(passed, gradient)])


def _values(A: np.ndarray) -> str:
    row = np.atleast_2d(A)[0]
    shown = " ".join(f"{value: .4g}" for value in row[:4])
    return f"[{shown}{' ...' if len(row) > 4 else ''}]"


def _line(formula: str, shapes: str, A: np.ndarray) -> str:
    return f"  {formula:27} {shapes:34} {_values(A)}"


def _forward(passed: Pass) -> Iterator[str]:
    yield _line("X", f"{passed.X.shape}", passed.X)
    before, named = passed.X, "X"
    for layer, (W, b, Z, A, spec) in enumerate(
        zip(passed.net.weights, passed.net.biases, passed.Z, passed.A, passed.net.layers, strict=True), 1
    ):
        shapes = f"{before.shape} @ {W.shape} + {b.shape}"
        yield _line(f"Z{layer} = {named} @ W{layer} + b{layer}", shapes, Z)
        yield _line(f"A{layer} = {spec.info.name}(Z{layer})", f"{A.shape}", A)
        before, named = A, f"A{layer}"
    penalty = " + penalties" if passed.alpha or passed.l1 else ""
    yield f"  J = mean of the losses{penalty} = {passed.cost:.6g}"


def _backward(passed: Pass) -> Iterator[str]:
    L = len(passed.A)
    dZ = passed.d_logits
    yield _line(f"dZ{L} = dJ/dZ{L}, with 1/m", f"{dZ.shape}", dZ)
    penalty = f" + {passed.alpha / passed.m:.3g} W" if passed.alpha else ""
    grads = passed.backward()
    for layer in range(L, 0, -1):
        W, A_prev = passed.net.weights[layer - 1], passed.A[layer - 2] if layer > 1 else passed.X
        named = f"A{layer - 1}" if layer > 1 else "X"
        dW, db = grads[2 * layer - 2 : 2 * layer]
        more = f"{penalty}{layer}" if penalty else ""
        yield _line(f"dW{layer} = {named}.T @ dZ{layer}{more}", f"{A_prev.T.shape} @ {dZ.shape}", dW)
        yield _line(f"db{layer} = dZ{layer}.sum(axis=0)", f"{db.shape}", db)
        if layer > 1:
            dA = dZ @ W.T
            yield _line(f"dA{layer - 1} = dZ{layer} @ W{layer}.T", f"{dZ.shape} @ {W.T.shape}", dA)
            dZ = dA * passed.slopes[layer - 2]
            name = passed.net.layers[layer - 2].info.name
            yield _line(f"dZ{layer - 1} = dA{layer - 1} * {name}'(Z{layer - 1})", f"{dZ.shape}", dZ)


def _off(g: np.ndarray, right: np.ndarray) -> float:
    size = float(np.linalg.norm(g) + np.linalg.norm(right))
    return float(np.linalg.norm(g - right)) / size if size else 0.0


def _findings(passed: Pass, gradient: np.ndarray) -> Iterator[str]:
    """Yield the wrong parts of a gradient, and the mistake that gives exactly these values."""
    right = passed.backward()
    cuts = np.cumsum([part.size for part in right])[:-1]
    given = [part.reshape(r.shape) for part, r in zip(np.split(gradient, cuts), right, strict=True)]
    names = [f"d{letter}{layer}" for layer in range(1, len(passed.A) + 1) for letter in "Wb"]
    wrong = [i for i, (g, r) in enumerate(zip(given, right, strict=True)) if _off(g, r) > SAME]
    for i in wrong:
        worst = np.unravel_index(np.abs(given[i] - right[i]).argmax(), right[i].shape)
        place = ", ".join(str(int(k)) for k in worst)
        yield (
            f"  {names[i]} differs by {_off(given[i], right[i]):.1e}, most at [{place}]: "
            f"{given[i][worst]:.4g}, should be {right[i][worst]:.4g}"
        )
    if not wrong:
        return
    yield "Likely mistake:"
    made = _slip(passed, lambda parts: all(_off(g, p) < SAME for g, p in zip(given, parts, strict=True)))
    if made:
        yield f"  {made}"
        return
    for i in reversed(wrong):
        yield f"  {names[i]}: {_slip_of_part(passed, given[i], right[i], i)}"


def _slip(passed: Pass, fits: Callable[[list[np.ndarray]], bool]) -> str:
    L = len(passed.A)
    for mistake, said in MISTAKES.items():
        for where in [*((layer,) for layer in range(L, 0, -1)), tuple(range(1, L + 1))]:
            try:
                parts = passed.backward(mistake, where)
            except ValueError:
                continue
            if fits(parts):
                layer = where[0] if len(where) == 1 else L
                words = said.format(l=layer, p=layer - 1).replace("A0", "X")
                return words + (", in every layer" if len(where) > 1 else f" (layer {layer})")
    return ""


def _slip_of_part(passed: Pass, g: np.ndarray, right: np.ndarray, i: int) -> str:
    made = _slip(passed, lambda parts: _off(g, parts[i]) < SAME)
    if made:
        return made
    factor = float((g * right).sum() / (right * right).sum()) if right.any() else 0.0
    if factor and _off(g, factor * right) < SAME:
        return "the sign is wrong" if abs(factor + 1) < SAME else f"too large by a factor of {factor:.4g}"
    return "none of the known mistakes gives this"
