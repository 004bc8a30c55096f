"""Validation of the arguments of each function of the course, by a check of the same name and arguments.

The functions in the modules of `dnn.course.loops`, `vectorized` and `compiled` only compute. The three
packages export them through `checked`, which validates the arguments first. Therefore all three raise the
same errors, and training validates its data once.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from .._checks import SYNONYMS
from . import arguments
from .shapes import check_examples, shape

P = ParamSpec("P")
R = TypeVar("R")

INITIALIZATIONS = ("he", "xavier", "random", "zeros")
OPTIMIZERS = ("gd", "momentum", "rmsprop", "adam")
# Smaller dtypes would overflow, for example in -z of uint8 or w^2 of int8.
COMPUTED_WITH = (np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.int64))


def checked(function: Callable[P, R], convert: Callable[[Any], Any]) -> Callable[P, R]:
    """Return a function that validates and converts its arguments, and calls the given function.

    Parameters
    ----------
    function : callable
        A function with the name of one of the checks below.
    convert : `lists` or `arrays`
        The form in which matrices are passed on.

    Examples
    --------
    >>> def relu(Z):
    ...     return [[max(0.0, z) for z in row] for row in Z], Z
    >>> checked(relu, lists)([[-1.0, float("nan")]])
    Traceback (most recent call last):
    ValueError: Z must be finite, got nan at Z[0, 1]: unit 0 of example 1
    """
    check: Callable[..., None] = globals()[function.__name__]

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given: list[Any] = [_plain(value) for value in args]
        named: dict[str, Any] = {name: _plain(value) for name, value in kwargs.items()}
        check(*given, **named)
        return function(*map(convert, given), **{name: convert(value) for name, value in named.items()})

    return call


def _plain(value: Any) -> Any:
    """Return the standard name for a synonym, and scalars as numbers that can be multiplied with arrays."""
    if isinstance(value, str):
        return SYNONYMS.get(value, value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value.item()
    if isinstance(value, Fraction) and abs(value) < 2**1000:
        return float(value)
    return value


def lists(value: Any) -> Any:
    """Return arrays, alone or in dicts, lists and tuples, as lists of rows; other values are unchanged.

    Examples
    --------
    >>> lists((np.eye(2), {"b1": np.zeros((1, 1))}))
    ([[1.0, 0.0], [0.0, 1.0]], {'b1': [[0.0]]})
    """
    if isinstance(value, np.ndarray):
        return value.tolist()
    return _each(value, lists)


def arrays(value: Any) -> Any:
    """Return lists of rows, alone or in dicts, lists and tuples, as arrays; other values are unchanged.

    Examples
    --------
    >>> A, X = arrays(([[1, 2]], np.zeros((1, 2), np.uint8)))
    >>> A.tolist(), A.dtype.name, X.dtype.name
    ([[1.0, 2.0]], 'float64', 'float64')
    """
    if type(value) is np.ndarray and value.dtype in COMPUTED_WITH:
        return value
    if isinstance(value, np.ndarray):
        # A subclass such as np.matrix has different arithmetic.
        plain = value if type(value) in (np.ndarray, np.memmap) else np.asarray(value)
        return plain if plain.dtype in COMPUTED_WITH else plain.astype(np.float64)
    return np.array(value, np.float64) if _is_matrix(value) else _each(value, arrays)


def _is_matrix(value: Any) -> bool:
    """Return whether a value is a list of rows, and not a list of matrices or caches."""
    return isinstance(value, list) and all(
        row.ndim == 1 if isinstance(row, np.ndarray) else isinstance(row, (list, tuple)) and _flat(row)
        for row in value
    )


def _flat(row: Any) -> bool:
    return not any(isinstance(x, (list, tuple, dict, np.ndarray)) for x in row)


def _each(value: Any, convert: Callable[[Any], Any]) -> Any:
    """Return a dict, list or tuple with converted values, or the same object if no value changes."""
    if isinstance(value, dict):
        found = {name: convert(each) for name, each in value.items()}
        return value if all(found[name] is each for name, each in value.items()) else found
    if isinstance(value, (list, tuple)) and not _flat(value):
        listed = [convert(each) for each in value]
        if all(new is old for new, old in zip(listed, value, strict=True)):
            return value
        return tuple(listed) if isinstance(value, tuple) else listed
    return value


def diverged(learning_rate: float) -> ValueError:
    """Return the error for training that diverges.

    Examples
    --------
    >>> "Try a learning_rate below 10" in str(diverged(10.0))
    True
    """
    return ValueError(
        "training diverged: the cost or a parameter is no longer finite. "
        f"Try a learning_rate below {learning_rate:g}, or scale the features to about unit variance."
    )


# The functions of the course


def sigmoid(Z: Any) -> None:
    """Raise unless the arguments of `sigmoid` are valid."""
    arguments.matrix("Z", Z, "unit")


def tanh(Z: Any) -> None:
    """Raise unless the arguments of `tanh` are valid."""
    arguments.matrix("Z", Z, "unit")


def relu(Z: Any) -> None:
    """Raise unless the arguments of `relu` are valid."""
    arguments.matrix("Z", Z, "unit")


def leaky_relu(Z: Any) -> None:
    """Raise unless the arguments of `leaky_relu` are valid."""
    arguments.matrix("Z", Z, "unit")


def softmax(Z: Any) -> None:
    """Raise unless the arguments of `softmax` are valid."""
    arguments.matrix("Z", Z, "unit")


def _slope(dA: Any, cache: Any) -> None:
    arguments.matrix("cache", cache, "unit")
    arguments.same_shape(cache, dA, ("cache", "dA"), "unit")


def sigmoid_backward(dA: Any, cache: Any) -> None:
    """Raise unless the arguments of `sigmoid_backward` are valid."""
    _slope(dA, cache)


def tanh_backward(dA: Any, cache: Any) -> None:
    """Raise unless the arguments of `tanh_backward` are valid."""
    _slope(dA, cache)


def relu_backward(dA: Any, cache: Any) -> None:
    """Raise unless the arguments of `relu_backward` are valid."""
    _slope(dA, cache)


def leaky_relu_backward(dA: Any, cache: Any) -> None:
    """Raise unless the arguments of `leaky_relu_backward` are valid."""
    _slope(dA, cache)


def linear_forward(A: Any, W: Any, b: Any) -> None:
    """Raise unless the arguments of `linear_forward` are valid."""
    arguments.layer(A, W, b)


def linear_activation_forward(A_prev: Any, W: Any, b: Any, activation: Any) -> None:
    """Raise unless the arguments of `linear_activation_forward` are valid."""
    arguments.one_of("activation", activation, (*arguments.HIDDEN, "softmax"))
    arguments.layer(A_prev, W, b, ("A_prev", "W", "b"))


def L_model_forward(
    X: Any,
    parameters: Any,
    activation: Any = "relu",
    output: Any = "sigmoid",
    keep_prob: Any = 1.0,
    seed: Any = None,
) -> None:
    """Raise unless the arguments of `L_model_forward` are valid."""
    arguments.one_of("activation", activation, arguments.HIDDEN)
    arguments.one_of("output", output, arguments.OUTPUTS)
    arguments.keep_prob(keep_prob)
    arguments.seed(seed)
    arguments.form("X", X)
    arguments.network(X, parameters, output)


def compute_cost(AL: Any, Y: Any, output: Any = "sigmoid", parameters: Any = None, lambd: Any = 0.0) -> None:
    """Raise unless the arguments of `compute_cost` are valid."""
    arguments.one_of("output", output, arguments.OUTPUTS)
    arguments.lambd(lambd)
    array = arguments.matrix("AL", AL, "output")
    arguments.within("AL", array, "output")
    if output == "softmax":
        arguments.several_classes(len(array))
        arguments.shares("AL", array)
    arguments.labels(Y, array.shape, "AL", output)
    if parameters is not None:
        arguments.network(None, parameters)
    elif lambd > 0:
        raise ValueError(f"parameters must be given with lambd, got None and lambd {lambd:g}")


def linear_backward(dZ: Any, cache: Any, lambd: Any = 0.0) -> None:
    """Raise unless the arguments of `linear_backward` are valid."""
    arguments.lambd(lambd)
    arguments.same_shape(arguments.cache(cache), dZ, ("Z", "dZ"), "unit")


def linear_activation_backward(dA: Any, cache: Any, activation: Any, lambd: Any = 0.0) -> None:
    """Raise unless the arguments of `linear_activation_backward` are valid."""
    arguments.one_of("activation", activation, arguments.HIDDEN)
    arguments.lambd(lambd)
    arguments.same_shape(arguments.activation_cache(cache), dA, ("Z", "dA"), "unit")


def L_model_backward(
    AL: Any, Y: Any, caches: Any, activation: Any = "relu", lambd: Any = 0.0, keep_prob: Any = 1.0
) -> None:
    """Raise unless the arguments of `L_model_backward` are valid."""
    arguments.one_of("activation", activation, arguments.HIDDEN)
    arguments.lambd(lambd)
    arguments.keep_prob(keep_prob)
    wanted = arguments.caches(caches, dropped=keep_prob < 1)
    arguments.within("AL", arguments.same_shape(wanted, AL, (f"Z{len(caches)}", "AL"), "output"), "output")
    arguments.labels(Y, wanted, "AL")


def dropout(A: Any, keep_prob: Any, rng: Any) -> None:
    """Raise unless the arguments of `dropout` are valid."""
    arguments.matrix("A", A, "unit")
    arguments.keep_prob(keep_prob)
    if not isinstance(rng, np.random.RandomState):
        raise TypeError(f"rng must be a np.random.RandomState, got {arguments.said(rng)}")


def dropout_backward(dA: Any, D: Any, keep_prob: Any) -> None:
    """Raise unless the arguments of `dropout_backward` are valid."""
    arguments.matrix("dA", dA, "unit")
    arguments.within("D", arguments.same_shape(dA, D, ("dA", "D"), "unit"), "unit")
    arguments.keep_prob(keep_prob)


def initialize_parameters(
    layer_dims: Any, initialization: Any = "he", scale: Any = 0.01, seed: Any = None
) -> None:
    """Raise unless the arguments of `initialize_parameters` are valid."""
    arguments.layer_dims(layer_dims)
    arguments.one_of("initialization", initialization, INITIALIZATIONS)
    arguments.number("scale", scale, 0)
    arguments.seed(seed)


def _gradients(parameters: Any, grads: Any, learning_rate: Any) -> None:
    arguments.parameters(parameters)
    arguments.like("grads", grads, parameters, exactly=False)  # grads also has dA0, ...
    arguments.learning_rate(learning_rate)


def update_parameters(parameters: Any, grads: Any, learning_rate: Any) -> None:
    """Raise unless the arguments of `update_parameters` are valid."""
    _gradients(parameters, grads, learning_rate)


def initialize_velocity(parameters: Any) -> None:
    """Raise unless the arguments of `initialize_velocity` are valid."""
    arguments.parameters(parameters)


def initialize_adam(parameters: Any) -> None:
    """Raise unless the arguments of `initialize_adam` are valid."""
    arguments.parameters(parameters)


def update_parameters_with_momentum(
    parameters: Any, grads: Any, v: Any, beta: Any, learning_rate: Any
) -> None:
    """Raise unless the arguments of `update_parameters_with_momentum` are valid."""
    _gradients(parameters, grads, learning_rate)
    arguments.like("v", v, parameters)
    arguments.averaging(beta=beta)


def update_parameters_with_rmsprop(
    parameters: Any, grads: Any, s: Any, learning_rate: Any, beta: Any = 0.9, epsilon: Any = 1e-8
) -> None:
    """Raise unless the arguments of `update_parameters_with_rmsprop` are valid."""
    _gradients(parameters, grads, learning_rate)
    arguments.squares(s, parameters)
    arguments.averaging(beta=beta)
    arguments.epsilon(epsilon)


def update_parameters_with_adam(
    parameters: Any,
    grads: Any,
    v: Any,
    s: Any,
    t: Any,
    learning_rate: Any = 0.01,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    epsilon: Any = 1e-8,
    epsilon_inside: Any = True,
) -> None:
    """Raise unless the arguments of `update_parameters_with_adam` are valid."""
    _gradients(parameters, grads, learning_rate)
    arguments.like("v", v, parameters)
    arguments.squares(s, parameters)
    arguments.whole_number("t", t, 1)
    arguments.averaging(beta1=beta1, beta2=beta2)
    arguments.epsilon(epsilon)
    arguments.true_or_false("epsilon_inside", epsilon_inside)


def random_mini_batches(X: Any, Y: Any, mini_batch_size: Any = 64, seed: Any = 0) -> None:
    """Raise unless the arguments of `random_mini_batches` are valid."""
    arguments.whole_number("mini_batch_size", mini_batch_size, 1)
    arguments.seed(seed)
    arguments.matrix("X", X, "feature")
    arguments.form("Y", Y)
    check_examples(X, Y)
    arguments.matrix("Y", Y, "output")


def propagate(w: Any, b: Any, X: Any, Y: Any) -> None:
    """Raise unless the arguments of `propagate` are valid."""
    arguments.logistic(w, b, X, Y)


def optimize(w: Any, b: Any, X: Any, Y: Any, num_iterations: Any, learning_rate: Any) -> None:
    """Raise unless the arguments of `optimize` are valid."""
    arguments.logistic(w, b, X, Y)
    arguments.whole_number("num_iterations", num_iterations, 1)
    arguments.learning_rate(learning_rate)


def predict(parameters: Any, X: Any, activation: Any = "relu", output: Any = "sigmoid") -> None:
    """Raise unless the arguments of `predict` are valid."""
    L_model_forward(X, parameters, activation, output)


def model(
    X: Any,
    Y: Any,
    layer_dims: Any,
    activation: Any = "relu",
    output: Any = "sigmoid",
    *,
    initialization: Any = "he",
    scale: Any = 0.01,
    seed: Any = 3,
    optimizer: Any = "gd",
    learning_rate: Any = 0.0075,
    num_iterations: Any = 3000,
    mini_batch_size: Any = None,
    beta: Any = 0.9,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    epsilon: Any = 1e-8,
    epsilon_inside: Any = True,
    lambd: Any = 0.0,
    keep_prob: Any = 1.0,
) -> None:
    """Raise unless the arguments of `model` are valid."""
    initialize_parameters(layer_dims, initialization, scale, seed)
    arguments.one_of("activation", activation, arguments.HIDDEN)
    arguments.one_of("output", output, arguments.OUTPUTS)
    arguments.one_of("optimizer", optimizer, OPTIMIZERS)
    arguments.learning_rate(learning_rate)
    arguments.whole_number("num_iterations", num_iterations, 1)
    if mini_batch_size is not None:
        arguments.whole_number("mini_batch_size", mini_batch_size, 1)
    arguments.averaging(beta=beta, beta1=beta1, beta2=beta2)
    arguments.epsilon(epsilon)
    arguments.true_or_false("epsilon_inside", epsilon_inside)
    arguments.lambd(lambd)
    arguments.keep_prob(keep_prob)
    sizes = [int(n) for n in layer_dims]
    arguments.first_layer(X, sizes)
    if output == "softmax":
        arguments.several_classes(sizes[-1])
    arguments.labels(Y, (sizes[-1], shape(X)[1]), "AL", output)
