"""The three versions of dnn.course refuse the same arguments with the same errors."""

import doctest
import inspect
from fractions import Fraction

import numpy as np
import pytest
from course_versions import VERSIONS, example, given, same

from dnn.course import arguments, checks, compiled, loops, vectorized

PARAMETERS, X, Y = example((3, 4, 2), "sigmoid", m=8)
AL, CACHES = vectorized.L_model_forward(X, PARAMETERS, "tanh", keep_prob=0.8, seed=1)
FIRST = CACHES[0]
GRADS = {f"d{name}": np.full(P.shape, 0.5) for name, P in PARAMETERS.items()}
Z = FIRST[1]

# A valid call of each function for all three versions
CALLS = {
    **{name: {"Z": Z} for name in ("sigmoid", "tanh", "relu", "leaky_relu", "softmax")},
    **{
        f"{name}_backward": {"dA": Z + 1, "cache": Z} for name in ("sigmoid", "tanh", "relu", "leaky_relu")
    },
    "linear_forward": {"A": X, "W": PARAMETERS["W1"], "b": PARAMETERS["b1"]},
    "linear_activation_forward": {
        "A_prev": X, "W": PARAMETERS["W1"], "b": PARAMETERS["b1"], "activation": "tanh"
    },
    "L_model_forward": {
        "X": X, "parameters": PARAMETERS, "activation": "tanh", "output": "sigmoid", "keep_prob": 0.8,
        "seed": 1
    },
    "compute_cost": {"AL": AL, "Y": Y, "output": "sigmoid", "parameters": PARAMETERS, "lambd": 0.1},
    "linear_backward": {"dZ": Z, "cache": FIRST[0], "lambd": 0.1},
    "linear_activation_backward": {"dA": Z, "cache": FIRST, "activation": "tanh", "lambd": 0.1},
    "L_model_backward": {
        "AL": AL, "Y": Y, "caches": list(CACHES), "activation": "tanh", "lambd": 0.1, "keep_prob": 0.8
    },
    "dropout": {"A": Z, "keep_prob": 0.8, "rng": np.random.RandomState(1)},
    "dropout_backward": {"dA": Z, "D": np.ones_like(Z), "keep_prob": 0.8},
    "initialize_parameters": {"layer_dims": [3, 4, 2], "initialization": "random", "scale": 0.1, "seed": 1},
    "initialize_velocity": {"parameters": PARAMETERS},
    "initialize_adam": {"parameters": PARAMETERS},
    "update_parameters": {"parameters": PARAMETERS, "grads": GRADS, "learning_rate": 0.1},
    "update_parameters_with_momentum": {
        "parameters": PARAMETERS, "grads": GRADS, "v": GRADS, "beta": 0.9, "learning_rate": 0.1
    },
    "update_parameters_with_rmsprop": {
        "parameters": PARAMETERS, "grads": GRADS, "s": GRADS, "learning_rate": 0.1, "beta": 0.9,
        "epsilon": 1e-8
    },
    "update_parameters_with_adam": {
        "parameters": PARAMETERS, "grads": GRADS, "v": GRADS, "s": GRADS, "t": 2, "learning_rate": 0.1,
        "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "epsilon_inside": True
    },
    "random_mini_batches": {"X": X, "Y": Y, "mini_batch_size": 3, "seed": 0},
    "propagate": {"w": np.ones((3, 1)), "b": 0.5, "X": X, "Y": Y[:1]},
    "optimize": {
        "w": np.ones((3, 1)), "b": 0.5, "X": X, "Y": Y[:1], "num_iterations": 2, "learning_rate": 0.1
    },
    "predict": {"parameters": PARAMETERS, "X": X, "activation": "tanh", "output": "sigmoid"},
    "model": {
        "X": X, "Y": Y, "layer_dims": [3, 4, 2], "activation": "tanh", "output": "sigmoid",
        "initialization": "random", "scale": 0.1, "seed": 1, "optimizer": "adam", "learning_rate": 0.1,
        "num_iterations": 2, "mini_batch_size": 3, "beta": 0.9, "beta1": 0.9, "beta2": 0.99,
        "epsilon": 1e-8, "epsilon_inside": True, "lambd": 0.1, "keep_prob": 0.8
    },
}  # fmt: skip


def changed(A, value, at=(0, -1)):
    B = np.array(A, object if isinstance(value, str) else float)
    B[at] = value
    return B


def matrices(A, anyone=False):
    """Yield invalid values for a matrix; with `anyone`, other shapes are valid."""
    yield from (None, 1.0, "a", object(), {}, [], [[]], [1.0, 2.0], [[1.0], [2.0, 3.0]])
    yield from (A[0], A[None], A[:, :0], A[:0])
    if not anyone:
        yield from (A.T if len(A) != A.shape[1] else A[:, :-1], np.vstack([A, A]))
    yield from (changed(A, value) for value in (np.nan, np.inf, -np.inf, "a"))
    yield A + 1j
    yield np.ma.masked_invalid(changed(A, np.nan))


def dicts(found, anyone=False, fewer=True):
    """Yield invalid values for a dict of matrices."""
    yield from (None, 1.0, [], {}, "a")
    for name, P in found.items():
        if fewer:
            yield {each: value for each, value in found.items() if each != name}
        yield from (found | {name: bad} for bad in matrices(P, anyone))


def caches_of(cache):
    yield from (None, 1.0, (), cache[:1], (*cache, cache[0], cache[0]))
    for i, part in enumerate(cache):
        bads = caches_of(part) if isinstance(part, tuple) else matrices(part)
        yield from ((*cache[:i], bad, *cache[i + 1 :]) for bad in bads)


# These functions accept a part of the parameters or gradients.
FEWER = ("initialize_velocity", "initialize_adam", "update_parameters")
BELOW_0 = [-0.1, -np.inf, np.inf, np.nan, None, "0.1", 1j, [0.1], np.array([0.1]), True, 10**400]
SHARES = [1.0, 1.5, *BELOW_0]
COUNTS = [0, -1, 2.0, 2.5, np.nan, None, "2", [2], True]
NAMES = [None, 1, "", "rellu", "RELU", "identity", ["tanh"], b"tanh"]
BAD = {
    "activation": NAMES,
    "output": [*NAMES, "relu", "tanh"],
    "initialization": NAMES,
    "optimizer": [*NAMES, "adm", "sgd"],
    "keep_prob": [0.0, 0, 1.5, *BELOW_0],
    "lambd": BELOW_0,
    "learning_rate": BELOW_0,
    "scale": BELOW_0,
    "b": [np.nan, np.inf, None, "0", np.zeros((1, 1)), [0.5], 1j, True],
    "beta": SHARES,
    "beta1": SHARES,
    "beta2": SHARES,
    "epsilon": [0.0, *BELOW_0],
    "epsilon_inside": [None, 1, "yes", np.ones(2)],
    "t": COUNTS,
    "num_iterations": COUNTS,
    "mini_batch_size": [bad for bad in COUNTS if bad is not None],
    "seed": [-1, 2**32, 1.0, "1", True, [1], np.random.RandomState(0)],
    "rng": [None, 1, np.random.default_rng(0), "RandomState"],
    "layer_dims": [
        None, 3, "3", [], [3], [[3, 4, 2]], [3, 0, 2], [3, -4, 2], [3, 4.0, 2], [3, 4, None], [4, 4, 2],
        [3, 4, 1], [3, True, 2], [3, 2**62, 2], np.array([3.0, 2.0]), {3: 4}
    ],
}  # fmt: skip


def bad_values(function, name, value):
    """Yield invalid values for an argument of a function, made from a valid value."""
    if name in BAD and not (name == "b" and isinstance(value, np.ndarray)):
        # Sizes that do not fit X and Y are errors of functions that take them.
        skipped = ([4, 4, 2], [3, 4, 1]) if function != "model" and name == "layer_dims" else ()
        yield from (bad for bad in BAD[name] if not (isinstance(bad, list) and bad in skipped))
        if name == "mini_batch_size" and function == "random_mini_batches":
            yield None
    elif isinstance(value, dict):
        yield from dicts(
            value, function.startswith("initialize"), function not in FEWER or name != "parameters"
        )
        if name == "s":
            yield value | {"dW1": -value["dW1"]}
    elif name == "caches":
        yield from (None, 1.0, [], "a", value[:1], value[::-1], [each[:2] for each in value])
        yield from ([*value[:i], bad, *value[i + 1 :]] for i in (0, 1) for bad in caches_of(value[i]))
    elif name == "cache" and isinstance(value, tuple):
        yield from caches_of(value)
    else:
        # Nothing else must have the same shape, as for the first argument or the only one.
        first = (function, name) in {
            ("dropout", "A"),
            ("random_mini_batches", "X"),
            ("random_mini_batches", "Y"),
        }
        yield from matrices(value, anyone=first or name == "Z")
        if name in ("AL", "D") or (name == "Y" and function != "random_mini_batches"):
            yield from (changed(value, bad) for bad in (-1.0, 2.0, 1.001, -0.001))
        if name == "Y" and function != "random_mini_batches":
            yield 2 * value - 1


def outcome(version, function, settings):
    """Return the error of a call, or its result."""
    settings = {name: given(version, value) for name, value in settings.items()}
    try:
        return getattr(version, function)(**settings)
    except Exception as error:
        return type(error), str(error)


FOREIGN = (
    "NoneType",
    "object has no attribute",
    "broadcast",
    "subscriptable",
    "epochs",
    " batch_size",
    "row 6",
)


@pytest.mark.parametrize(
    ("function", "name"), [(function, name) for function, call in CALLS.items() for name in call]
)
def test_the_three_versions_raise_the_same_errors(function, name):
    call = CALLS[function]
    tried = 0
    for bad in bad_values(function, name, call[name]):
        errors = [outcome(version, function, call | {name: bad}) for version in VERSIONS.values()]
        assert errors[0] == errors[1] == errors[2], (bad, errors)
        kind, message = errors[0]
        assert kind in (TypeError, ValueError), (bad, message)
        assert len(message) < 300 and not any(word in message for word in FOREIGN), message
        # The error names an argument of the caller, or a part of it.
        parts = {
            "parameters": "W b",
            "grads": "d",
            "cache": "A_prev W b Z D Z",
            "caches": "A_prev W b Z D AL",
        }
        words = [*call, *parts.get(name, "").split()]
        assert any(word in message for word in words), message
        tried += 1
    assert tried >= 3


def test_every_function_and_argument_is_tested():
    assert set(CALLS) == set(vectorized.__all__)
    for function, call in CALLS.items():
        check = inspect.signature(getattr(checks, function))
        assert list(call) == list(check.parameters)
        for version in VERSIONS.values():
            found = inspect.signature(getattr(version, function))
            assert [(p.name, p.default, p.kind) for p in found.parameters.values()] == [
                (p.name, p.default, p.kind) for p in check.parameters.values()
            ]


@pytest.mark.parametrize("function", CALLS)
def test_valid_arguments_give_the_same_results(function):
    def of(version):
        call = CALLS[function]
        if "rng" in call:
            call = call | {"rng": np.random.RandomState(1)}
        return outcome(version, function, call)

    expected = of(vectorized)
    assert not (isinstance(expected, tuple) and isinstance(expected[0], type)), expected
    if function in ("L_model_forward", "random_mini_batches", "linear_forward", "linear_activation_forward"):
        expected, *others = (of(version)[0] for version in (vectorized, loops, compiled))
    else:
        others = [of(version) for version in (loops, compiled)]
    for found in others:
        if function == "L_model_backward":  # the compiled version computes "dA1" when it is read
            found = {each: found[each] for each in expected}
        same(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("function", CALLS)
def test_missing_and_unknown_arguments(function):
    name = next(iter(CALLS[function]))
    fewer = {each: value for each, value in CALLS[function].items() if each != name}
    for call in (fewer, CALLS[function] | {"colour": 1}):
        errors = [outcome(version, function, call) for version in VERSIONS.values()]
        assert errors[0] == errors[1] == errors[2] and errors[0][0] is TypeError
        assert errors[0][1].startswith(f"{function}() ")


@pytest.mark.parametrize("version", VERSIONS)
def test_errors_use_the_words_of_the_course(version):
    """Errors give places as in the course, where features are rows and examples are columns."""
    c = VERSIONS[version]

    def said(function, **changes):
        return outcome(c, function, CALLS[function] | changes)[1]

    wrong = changed(X, np.nan, (0, 6))
    assert said("model", X=wrong) == "X must be finite, got nan at X[0, 6]: feature 0 of example 6"
    assert said("model", keep_prob=1.5) == (
        "keep_prob must be above 0 and at most 1, got 1.5: it is the share of units that is kept"
    )
    assert said("model", Y=2 * Y - 1).endswith("are the labels -1 and 1? Use (Y + 1) / 2")
    assert said("model", Y=changed(Y, 2.0, (1, 3))) == (
        "Y must be between 0 and 1, got 2 at Y[1, 3]: output 1 of example 3"
    )
    assert "'softmax' must have at least 2 classes" in said("model", output="softmax", layer_dims=[3, 4, 1])
    assert "np.eye(2)[np.ravel(Y)].T" in said("model", output="softmax", Y=Y[0])
    assert said("model", output="softmax", Y=np.ones((2, 8))) == (
        "Y must have columns that sum to 1 for a softmax, got 2 for example 0: use one-hot columns"
    )
    assert said("compute_cost", output="softmax", AL=np.full((2, 8), 0.3)).startswith("AL must have columns")
    assert said("model", layer_dims=[4, 4, 2]) == (
        "layer_dims must begin with the number of features, 3, got 4 for X of shape (3, 8)"
    )
    assert said("model", X=np.zeros((8, 5, 5, 3))).endswith("is each row a picture? Use X.reshape(8, -1).T")
    assert "lambd 0.1" in said("compute_cost", parameters=None)
    assert "did you mean 'adam'?" in said("model", optimizer="adm")


@pytest.mark.parametrize("rate", [1e300, 1e308])
def test_a_training_that_diverges(rate):
    for function in ("optimize", "model"):
        call = CALLS[function] | {"learning_rate": rate, "X": 1e20 * X, "num_iterations": 4}
        if function == "model":
            call |= {"optimizer": "gd", "keep_prob": 1.0, "mini_batch_size": None, "activation": "relu"}
        with np.errstate(all="ignore"):
            errors = [outcome(version, function, call) for version in VERSIONS.values()]
        assert errors[0] == errors[1] == errors[2]
        assert errors[0][0] is ValueError and f"a learning_rate below {rate:g}" in errors[0][1]


def test_other_number_types_give_the_same_results():
    """Lists instead of arrays, arrays instead of lists, small integers, fractions and aliases."""
    small = np.array([[3, 200, 0], [7, 1, 255]], np.uint8)
    for name in ("sigmoid", "tanh", "relu", "leaky_relu", "softmax"):
        found = [
            getattr(version, name)(each)[0]
            for version in VERSIONS.values()
            for each in (small, small.tolist())
        ]
        for each in found:
            np.testing.assert_allclose(each, found[0], rtol=1e-14)
    for version in VERSIONS.values():
        call = CALLS["model"] | {
            "activation": "sigmoid",
            "output": "sigmoid",
            "layer_dims": np.array([3, 4, 2]),
        }
        expected = version.model(**call)
        other = {"X": X.tolist(), "Y": Y == 1, "activation": "logistic", "output": "logistic"}
        other |= {"learning_rate": Fraction(1, 10), "layer_dims": (3, 4, 2), "lambd": np.array(0.1)}
        same(version.model(**call | other), expected, rtol=1e-12)
        by_float16 = version.sigmoid(np.array([[-20000.0, 3.0]], np.float16))[0]
        np.testing.assert_allclose(by_float16, [[0, 1 / (1 + np.exp(-3))]], rtol=1e-12)


def test_valid_arrays_are_not_copied():
    _, cache = vectorized.relu(X)
    assert cache is X
    _, caches = compiled.L_model_forward(X, PARAMETERS)
    assert checks.arrays(caches) is caches and checks.arrays(PARAMETERS) is PARAMETERS


@pytest.mark.parametrize("module", [arguments, checks], ids=lambda module: module.__name__)
def test_examples_run(module):
    failed, tried = doctest.testmod(module)
    assert tried and not failed
