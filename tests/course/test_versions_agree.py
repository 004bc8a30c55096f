"""The three versions of dnn.course, loops, NumPy and compiled, give the same results."""

import doctest
import importlib
import inspect

import numpy as np
import pytest
from course_versions import VERSIONS, WithArrays, example, given, same

from dnn import SGD, Network
from dnn.course import compiled, loops, vectorized
from dnn.course.compiled.core import rows

CLOSE = {"rtol": 0, "atol": 1e-12}

# The versions agree with each other, with Network, and with finite differences


SIZES = [(1, 1, 1), (3, 4, 1), (5, 7, 3, 2), (4, 2)]


def step(course, parameters, X, Y, activation, output, rate=0.1):
    AL, caches = course.L_model_forward(X, parameters, activation, output)
    cost = course.compute_cost(AL, Y, output)
    grads = course.L_model_backward(AL, Y, caches, activation)
    return AL, cost, grads, course.update_parameters(parameters, grads, rate)


CASES = [
    (sizes, activation, output)
    for sizes in SIZES
    for activation in ("relu", "leaky_relu", "sigmoid", "tanh")
    for output in ("sigmoid", "softmax")
    if output == "sigmoid" or sizes[-1] > 1
]


@pytest.mark.parametrize(("sizes", "activation", "output"), CASES)
def test_three_versions_agree(sizes, activation, output):
    parameters, X, Y = example(sizes, output)
    found = AL, cost, grads, updated = step(vectorized, parameters, X, Y, activation, output)
    close = {"rtol": 0, "atol": 1e-12}
    same(step(loops, *given(loops, (parameters, X, Y)), activation, output), found, **close)
    by_core = step(compiled, parameters, X, Y, activation, output)
    for layer in range(1, len(sizes) - 1):
        assert by_core[2][f"dA{layer}"].shape == grads[f"dA{layer}"].shape  # computed when it is read
    same(by_core, found, **close)
    with pytest.raises(KeyError, match="dA9"):
        by_core[2]["dA9"]

    net = Network(list(sizes), activation=activation, output=output, dtype="float64")
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
        W[:], b[:] = parameters[f"W{layer}"].T, parameters[f"b{layer}"][:, 0]
    _, cache = net.forward(X.T, logits=True)
    np.testing.assert_allclose(net(X.T).T, AL, **close)
    # The course's dA0 is m times the derivative of the cost.
    _, dX = net.backward(cache, (AL - Y).T)
    np.testing.assert_allclose(dX.T, grads["dA0"], **close)
    history = net.fit(X.T, Y.T, optimizer=SGD(0.1), epochs=1, batch_size=None)
    np.testing.assert_allclose(history.loss, [cost], **close)
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
        np.testing.assert_allclose(W.T, updated[f"W{layer}"], **close)
        np.testing.assert_allclose(b[:, None], updated[f"b{layer}"], **close)


@pytest.mark.parametrize(("sizes", "activation", "output"), CASES)
def test_gradients_are_those_of_the_cost(sizes, activation, output):
    parameters, X, Y = example(sizes, output)
    _, _, grads, _ = step(vectorized, parameters, X, Y, activation, output)

    def cost():
        return vectorized.compute_cost(
            vectorized.L_model_forward(X, parameters, activation, output)[0], Y, output
        )

    e = 1e-6
    for name, P in parameters.items():
        for index in np.ndindex(P.shape):
            kept = P[index]
            P[index] = kept + e
            above = cost()
            P[index] = kept - e
            below = cost()
            P[index] = kept
            assert grads["d" + name][index] == pytest.approx((above - below) / (2 * e), abs=1e-7)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh", "softmax"])
def test_activations_agree_for_large_inputs(name):
    """Inputs include those for which e^z overflows."""
    Z = np.array([[-1e4, -800.0, -1.0, 0.0, 3.0, 800.0], [1e4, 0.0, 2.0, 0.0, -3.0, 799.0]])
    A, _ = getattr(vectorized, name)(Z)
    np.testing.assert_allclose(getattr(loops, name)(Z.tolist())[0], A, rtol=1e-14, atol=0)
    # The core flushes subnormal numbers to 0.
    np.testing.assert_allclose(getattr(compiled, name)(Z)[0], A, rtol=1e-14, atol=1e-300)
    assert np.isfinite(A).all()
    if name != "softmax":
        dA = np.arange(12.0).reshape(2, 6)
        backward = f"{name}_backward"
        dZ = getattr(vectorized, backward)(dA, Z)
        np.testing.assert_allclose(getattr(loops, backward)(dA.tolist(), Z.tolist()), dZ, rtol=1e-14, atol=0)
        np.testing.assert_allclose(getattr(compiled, backward)(dA, Z), dZ, **CLOSE)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_the_cost_of_a_certain_prediction_is_0_or_infinite(output):
    AL = [[1.0, 0.0], [0.0, 1.0]]
    wrong = [[0.0, 1.0], [1.0, 0.0]]
    for version in VERSIONS.values():
        assert WithArrays(version).compute_cost(np.array(AL), np.array(AL), output) == 0
        assert WithArrays(version).compute_cost(np.array(AL), np.array(wrong), output) == np.inf


@pytest.mark.parametrize("version", VERSIONS)
def test_names_are_checked(version):
    course = WithArrays(VERSIONS[version])
    parameters, X, Y = example((2, 3, 1), "sigmoid")
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        course.model(X, Y, [2, 3, 1], optimizer="adm")
    with pytest.raises(ValueError, match="initialization must be one of he"):
        course.initialize_parameters([2, 1], "hee")
    with pytest.raises(ValueError, match="did you mean 'relu'"):
        course.L_model_forward(X, parameters, "rellu")
    with pytest.raises(ValueError, match="output must be one of sigmoid, softmax"):
        course.compute_cost(Y, Y, "tanh")


@pytest.mark.parametrize("optimizer", ["gd", "momentum", "rmsprop", "adam"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"mini_batch_size": 4},
        {"mini_batch_size": 20, "keep_prob": 0.8},
        {"lambd": 0.5},
        {"keep_prob": 0.8},
    ],
    ids=str,
)
def test_models_agree(optimizer, more):
    _, X, Y = example((3, 4, 1), "sigmoid", m=10)
    how = more | {"optimizer": optimizer, "learning_rate": 0.05, "num_iterations": 4, "activation": "tanh"}
    found = {name: WithArrays(version).model(X, Y, [3, 4, 1], **how) for name, version in VERSIONS.items()}
    assert len(found["compiled"][1]) == (12 if more == {"mini_batch_size": 4} else 4)
    same(found["loops"], found["vectorized"], **CLOSE)
    same(found["compiled"], found["vectorized"], **CLOSE)


@pytest.mark.parametrize("initialization", ["zeros", "random", "xavier", "he"])
def test_first_parameters_agree(initialization):
    found = [
        version.initialize_parameters([5, 4, 2], initialization, 0.3, seed=7) for version in VERSIONS.values()
    ]
    same(found[0], found[1], rtol=1e-15)
    same(found[2], found[1], rtol=1e-15)


def test_a_softmax_model_and_its_classes():
    _, X, Y = example((3, 4, 3), "softmax", m=12)
    how = {"output": "softmax", "num_iterations": 5, "learning_rate": 0.5}
    found = [WithArrays(version).model(X, Y, [3, 4, 3], **how) for version in VERSIONS.values()]
    same(found[0], found[1], **CLOSE)
    same(found[2], found[1], **CLOSE)
    classes = [WithArrays(version).predict(found[1][0], X, output="softmax") for version in VERSIONS.values()]
    assert np.shape(classes[0]) == (1, 12)
    assert np.array_equal(classes[0], classes[1]) and np.array_equal(classes[2], classes[1])


@pytest.mark.parametrize(("lambd", "keep_prob"), [(0.5, 1.0), (0.0, 0.7), (0.5, 0.7)])
def test_backward_with_a_penalty_and_with_dropout(lambd, keep_prob):
    parameters, X, Y = example((3, 4, 2, 1), "sigmoid")
    found = []
    for version in map(WithArrays, VERSIONS.values()):
        AL, caches = version.L_model_forward(X, parameters, "tanh", "sigmoid", keep_prob, 5)
        grads = version.L_model_backward(np.array(AL), Y, caches, "tanh", lambd, keep_prob)
        assert len(grads["dA2"]) == 2
        found.append((AL, grads))
    same(found[0], found[1], **CLOSE)
    same(found[2], found[1], **CLOSE)


def test_backward_accepts_caches_of_another_pass():
    """The compiled version accepts the caches of NumPy, and an activation that the forward pass had not."""
    parameters, X, Y = example((3, 4, 2, 1), "sigmoid")
    AL, caches = vectorized.L_model_forward(X, parameters, "tanh")
    expected = vectorized.L_model_backward(AL, Y, caches, "tanh")
    same(compiled.L_model_backward(AL, Y, caches, "tanh"), expected, **CLOSE)
    _, own = compiled.L_model_forward(X, parameters, "tanh")
    same(
        compiled.L_model_backward(AL, Y, own, "relu"),
        vectorized.L_model_backward(AL, Y, caches, "relu"),
        **CLOSE,
    )


def test_columns_become_rows_without_a_copy():
    X = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    assert np.shares_memory(rows(X), X) and not np.shares_memory(rows(X.copy(order="C")), X)
    (_, cache), *_ = [compiled.L_model_forward(X, compiled.initialize_parameters([3, 2, 1], seed=0))]
    assert np.shares_memory(cache.core.X, X)


def test_float32_inputs_stay_float32():
    parameters, X, _ = example((3, 4, 1), "sigmoid")
    AL, caches = compiled.L_model_forward(X.astype(np.float32), parameters)
    assert AL.dtype == caches[0][1].dtype == np.float32
    np.testing.assert_allclose(AL, vectorized.L_model_forward(X, parameters)[0], rtol=1e-5)


# Shape errors


@pytest.mark.parametrize("version", VERSIONS)
def test_shape_errors_point_to_the_likely_mistake(version):
    c = WithArrays(VERSIONS[version])
    parameters, X, Y = example((3, 4, 1), "sigmoid")

    def check(message, function, *args, **settings):
        with pytest.raises(ValueError) as raised:
            function(*args, **settings)
        assert message in str(raised.value)

    in_rows = "X must have shape (features, examples), got (6, 3): are the examples in rows? Use X.T"
    check(in_rows, c.L_model_forward, X.T, parameters)
    check(in_rows, c.predict, parameters, X.T)
    check(in_rows, c.model, X.T, Y, [3, 4, 1])
    check(in_rows, c.propagate, np.zeros((3, 1)), 0.0, X.T, Y)
    check(
        "A must have shape (features, examples), got (6, 3)",
        c.linear_forward,
        X.T,
        parameters["W1"],
        parameters["b1"],
    )
    transposed = parameters | {"W1": parameters["W1"].T}
    check("got (3, 4), and X has 3 rows: is W1 transposed? Use W1.T", c.L_model_forward, X, transposed)
    flat = parameters | {"b1": parameters["b1"].ravel()}
    check("b1 must have shape (4, 1), one value per unit, got (4,): use b1[:, None]",
          c.L_model_forward, X, flat)  # fmt: skip
    check(
        "b2 must have shape (1, 1), one value per unit, got (2, 1)",
        c.L_model_forward,
        X,
        parameters | {"b2": np.zeros((2, 1))},
    )
    check(
        "W2 must have shape (units, 4), got (1, 5)",
        c.L_model_forward,
        X,
        parameters | {"W2": np.zeros((1, 5))},
    )
    check(
        "X must have shape (features, examples), got (3,): is it one example?",
        c.L_model_forward,
        X[:, 0],
        parameters,
    )
    check("must be W1, b1, W2, b2, ..., got W1, B1", c.L_model_forward, X, {"W1": X, "B1": X})
    AL, caches = c.L_model_forward(X, parameters)
    check(
        "Y must have the shape of AL, (1, 6), got (6, 1): are the examples in rows?",
        c.compute_cost,
        np.array(AL),
        Y.T,
    )
    check("got (6,): use Y[None, :]", c.compute_cost, np.array(AL), Y[0])
    check("Y.T", c.L_model_backward, np.array(AL), Y.T, caches)
    check("a column for each of the 6 examples of X, got shape (1, 5)", c.random_mini_batches, X, Y[:, :-1])
    check("6 examples of X, got shape (6, 1): are the examples in rows?", c.random_mini_batches, X, Y.T)
    check("6 examples of X, got shape (6,): use Y[None, :]", c.random_mini_batches, X, Y[0])
    check("dW1 must have the shape of W1, (4, 3), got (3, 4)", c.update_parameters, parameters,
          {"d" + name: P.T for name, P in parameters.items()}, 0.1)  # fmt: skip
    check("dZ must have the shape of Z, (4, 6), got (6, 4)", c.linear_backward, np.zeros((6, 4)),
          (X, parameters["W1"], parameters["b1"]))  # fmt: skip


def test_error_for_examples_in_rows():
    """The pictures of a learner are in rows."""
    with pytest.raises(ValueError) as raised:
        vectorized.model(np.zeros((209, 12288)), np.zeros((1, 209)), [12288, 7, 1])
    wanted = "X must have shape (features, examples), got (209, 12288): are the examples in rows? Use X.T"
    assert str(raised.value) == wanted


# Side by side


PARTS = ("activations", "layers", "training")


@pytest.mark.parametrize(
    "name", ["dnn.course.shapes", *(f"dnn.course.{w}.{p}" for w in VERSIONS for p in PARTS)]
)
def test_examples_run(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed


def test_the_three_have_the_same_functions():
    for name in vectorized.__all__:
        functions = [getattr(version, name) for version in VERSIONS.values()]
        assert all(inspect.getdoc(function) for function in functions), name
        arguments = [
            [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()]
            for function in functions
        ]
        assert arguments[0] == arguments[1] == arguments[2], name
    assert loops.__all__ == vectorized.__all__ == compiled.__all__


def test_compiled_functions_read_arrays_that_are_not_aligned():
    rng = np.random.default_rng(0)
    aligned = [rng.normal(size=shape) for shape in ((3, 10), (2, 3), (2, 1))]
    given = []
    for array in aligned:
        given.append(np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape))
        given[-1][:] = array
        assert not given[-1].flags.aligned
    for arrays in (aligned, given):
        Z, cache = compiled.linear_forward(*arrays)
        found = [Z, *compiled.linear_backward(arrays[0][:2], cache), compiled.relu(arrays[0])[0]]
        if arrays is aligned:
            expected = found
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
