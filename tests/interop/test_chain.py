"""Operations of another library, folded into dense layers, compute what they compute one by one."""

import re

import numpy as np
import pytest
import reference

import dnn
from dnn import ELU, LeakyReLU, _core
from dnn.interop.chain import Chain, kind_of
from dnn.layers import OUTPUTS, activation_of

ELEMENTWISE = [name for name, info in _core.ACTIVATIONS.items() if not info.row_wise and name != "exp"]


def apply(chain, X, operation, where, rng, width):
    """Append a random operation to a chain, and return what it makes of X."""
    if operation == "affine":
        W = rng.normal(size=(X.shape[1], width)) / np.sqrt(X.shape[1])
        b = None if rng.random() < 0.3 else rng.normal(size=width)
        chain.affine(W, b, where)
        return X @ W + (0 if b is None else b)
    if operation == "scale":
        scale, shift = rng.uniform(0.5, 2, X.shape[1]), rng.normal(size=X.shape[1])
        chain.scale(scale, shift, where)
        return X * scale + shift
    if operation == "dropout":
        chain.dropout(rng.uniform(0.1, 0.5), where)
        return X
    chain.activation(operation, where)
    name, parameters = activation_of(operation)
    return reference.ACTIVATIONS[name][0](X, *parameters)


def draw(seed):
    """Return a network made of random operations, its inputs and the outputs of the operations."""
    rng = np.random.default_rng(seed)
    chain, X = Chain(), rng.normal(size=(9, rng.integers(1, 6)))
    outputs = X
    kinds = ["affine", "scale", "dropout", *ELEMENTWISE, LeakyReLU(0.3), ELU(0.6)]
    start = ["dropout"] * rng.integers(2) + ["scale"] * rng.integers(2) + ["affine"]
    drawn = [kinds[min(rng.integers(24), len(kinds) - 1) if rng.random() < 0.5 else rng.integers(3)]
             for _ in range(rng.integers(8))]  # fmt: skip
    for i, operation in enumerate([*start, *drawn]):
        outputs = apply(chain, outputs, operation, f"operation {i}", rng, int(rng.integers(2, 7)))
    if rng.random() < 0.3 and outputs.shape[1] > 1:
        outputs = apply(chain, outputs, "softmax", "last", rng, 0)
    return chain.network("model"), X, outputs


@pytest.mark.parametrize("seed", range(50))
def test_random_operations(seed):
    net, X, expected = draw(seed)
    assert net.dtype == np.float64
    np.testing.assert_allclose(net(X), expected, rtol=0, atol=1e-12 * max(1, abs(expected).max()))


def built(*operations, n=3):
    """Return the network of operations on n columns, given by their names, or the rate of dropout."""
    chain = Chain()
    for i, operation in enumerate(operations):
        where = f"m[{i}]"
        if operation == "affine":
            chain.affine(np.eye(n, dtype=np.float32), None, where)
        elif operation == "scale":
            chain.scale(np.full(n, 2.0), np.ones(n), where)
        elif isinstance(operation, float):
            chain.dropout(operation, where)
        else:
            chain.activation(operation, where)
    return chain.network("m")


STRUCTURES = {
    # operations: the activations, the rates of dropout, the diagonals of W
    ("affine", "scale", "relu"): (["relu", "identity"], [0, 0], [2, 1]),
    ("affine", "relu", "scale", "affine"): (["relu", "identity"], [0, 0], [1, 2]),
    ("scale", "affine", "tanh"): (["tanh"], [0], [2]),
    ("scale", "scale", "affine"): (["identity"], [0], [4]),
    (0.5, "affine"): (["identity"], [0.5], [1]),
    (0.5, "scale", "affine"): (["identity"], [0.5], [2]),
    ("scale", 0.5, "affine"): (["identity"], [0.5], [2]),
    ("affine", "tanh", 0.5, "affine"): (["tanh", "identity"], [0, 0.5], [1, 1]),
    # Dropout before relu is dropout after it, but not so before tanh
    ("affine", 0.5, "relu", "affine"): (["relu", "identity"], [0, 0.5], [1, 1]),
    ("affine", 0.5, "tanh"): (["identity", "tanh"], [0, 0.5], [1, 1]),
    ("affine", 0.5, "scale", "relu", "affine"): (["identity", "relu", "identity"], [0, 0.5, 0], [1, 2, 1]),
    ("affine", 0.5, "scale"): (["identity", "identity"], [0, 0.5], [1, 2]),
    ("affine", 0.5, 0.5, "affine"): (["identity", "identity"], [0, 0.75], [1, 1]),
    ("affine", 0.0): (["identity"], [0], [1]),
    ("affine", "sigmoid", 0.5): (["sigmoid", "identity"], [0, 0.5], [1, 1]),
    ("affine", "relu", "sigmoid"): (["relu", "sigmoid"], [0, 0], [1, 1]),
    ("affine", "relu", "scale"): (["relu", "identity"], [0, 0], [1, 2]),
    ("affine", "identity", "scale", "identity", "tanh"): (["tanh"], [0], [2]),
}


@pytest.mark.parametrize("operations", STRUCTURES, ids=str)
def test_structure(operations):
    activations, rates, diagonals = STRUCTURES[operations]
    net = built(*operations)
    assert [layer.activation for layer in net.layers] == activations
    assert list(net.dropout) == rates
    for W, diagonal in zip(net.weights, diagonals, strict=True):
        np.testing.assert_array_equal(W, diagonal * np.eye(3))
    assert net.dtype == np.float32


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if name not in OUTPUTS])
def test_last_activation_that_is_no_output(name):
    """An additional layer passes it through without a rounding."""
    net, plain = built("affine", name), built("affine")
    X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    hidden = dnn.Network([3, 3, 3], activation=name, init=[(np.eye(3), np.zeros(3))] * 2)
    assert len(net.layers) == 2 and len(plain.layers) == 1
    np.testing.assert_array_equal(net(X), hidden.forward(X)[1].A[1])


ERRORS = {
    "width": (
        lambda c: (c.affine(np.ones((2, 3)), None, "m[0]"), c.affine(np.ones((2, 3)), None, "m[1]")),
        "m[1]: there must be 3 inputs, as the part before gives, got 2",
    ),
    "width of a normalization": (
        lambda c: (c.affine(np.ones((2, 3)), None, "m[0]"), c.scale(np.ones(2), np.ones(2), "m[1]")),
        "m[1]: there must be 3 inputs, as the part before gives, got 2",
    ),
    "width after a normalization": (
        lambda c: (c.scale(np.ones(2), np.ones(2), "m[0]"), c.affine(np.ones((3, 3)), None, "m[1]")),
        "m[1]: there must be 2 inputs, as the part before gives, got 3",
    ),
    "biases": (
        lambda c: c.affine(np.ones((2, 3)), np.ones(2), "m[0]"),
        "m[0]: there must be 3 biases, one for each unit, got 2",
    ),
    "axes": (
        lambda c: c.affine(np.ones(2), None, "m[0]"),
        "m[0]: weights must be real, with 2 axes, got float64 of shape (2,)",
    ),
    "complex": (
        lambda c: c.affine(np.ones((1, 1), complex), None, "m[0]"),
        "m[0]: weights must be real, with 2 axes, got complex128 of shape (1, 1)",
    ),
    "nan": (
        lambda c: c.affine([[np.nan]], None, "m[0]"),
        "m[0]: weights must be finite, got NaN or infinity",
    ),
    "overflow": (
        lambda c: (
            c.affine(np.full((1, 1), 1e30, np.float32), None, "m[0]"),
            c.scale([1e30], [0.0], "m[1]"),
        ),
        "m[0]: folded parameters must be at most 3.40282e+38 in float32, got more",
    ),
    "rate": (
        lambda c: c.dropout(1.0, "m[0]"),
        "m[0]: the rate of dropout must be finite and at least 0 and below 1, got 1.0",
    ),
    "unknown": (lambda c: c.activation("rleu", "m[0]"), "m[0]: activation must be one of identity, "),
    "activation first": (
        lambda c: c.activation("relu", "m[0]"),
        "m[0]: the activation relu must come after a dense layer, got none before it",
    ),
    "dropout alone": (
        lambda c: c.dropout(0.5, "m[0]"),
        "m: the model must have a dense layer, got none",
    ),
    "nothing": (lambda c: None, "m: the model must have a dense layer, got none"),
    "hidden softmax": (
        lambda c: (
            c.affine(np.ones((2, 3)), None, "m[0]"),
            c.activation("softmax", "m[1]"),
            c.affine(np.ones((3, 3)), None, "m[2]"),
        ),
        "m[1]: softmax must be the last activation, of at least 2 units",
    ),
    "softmax of one unit": (
        lambda c: (c.affine(np.ones((2, 1)), None, "m[0]"), c.activation("softmax", "m[1]")),
        "m[1]: softmax must be the last activation, of at least 2 units",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_begin_with_the_path(case):
    append, text = ERRORS[case]

    def build():
        chain = Chain()
        append(chain)
        chain.network("m")

    with pytest.raises(ValueError, match="^" + re.escape(text)):
        build()


def test_the_arrays_are_copies():
    W, b = np.ones((2, 3)), np.ones(3)
    chain = Chain()
    chain.affine(W, b, "m[0]")
    chain.scale(np.full(3, 2.0), np.zeros(3), "m[1]")
    net = chain.network("m")
    assert (W == 1).all() and (b == 1).all()
    W[:] = 5
    assert (net.weights[0] == 2).all()


def test_kind_of_an_object_without_the_method():
    assert kind_of(3, "forward") == "int"
