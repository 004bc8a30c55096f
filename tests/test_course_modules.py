"""dnn.course: loops, NumPy and compiled give the same, and what the course prints."""

# ruff: noqa: F811, the fixtures are those of test_course

import doctest
import importlib
import inspect
from contextlib import nullcontext
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from test_course import agree, case, cats, circles, course, flower, football, moons  # noqa: F401

from dnn import SGD, Network, NoProgressWarning
from dnn.course import compiled, loops, vectorized
from dnn.course.compiled.core import rows

WAYS = {"loops": loops, "vectorized": vectorized, "compiled": compiled}
CLOSE = {"rtol": 0, "atol": 1e-12}


def given(way, value):
    """Arrays, alone or within dicts, tuples and lists, as a way takes them: the loops take lists."""
    if isinstance(value, dict):
        return {name: given(way, each) for name, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(given(way, each) for each in value)
    return value.tolist() if way is loops and isinstance(value, np.ndarray) else value


class Handed:
    """A way whose functions take arrays: what goes in is converted."""

    def __init__(self, way):
        self.way = way

    def __getattr__(self, name):
        function = getattr(self.way, name)
        return lambda *args, **settings: function(*given(self.way, args), **given(self.way, settings))


def same(found, expected, **close):
    """Hold nested results against each other, number by number."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            same(found[name], expected[name], **close)
    elif isinstance(expected, (tuple, list)) and not np.isscalar(expected[0]):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other, **close)
    else:
        np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), **close)


# Unit cases of the course


def parameters_of(inputs, prefix=""):
    return {
        name: value for name, value in vars(inputs).items() if name.removeprefix(prefix)[0] in "Wb" and
        name.startswith(prefix)
    }  # fmt: skip


def weights(c, inputs, settings):
    init = {"init_he": "he"}.get(settings["name"], "random")
    return c.initialize_parameters(settings["sizes"], init, settings.get("scale", 0.01), settings["seed"])


def linear_activation_backward(c, inputs, settings):
    A = inputs.A if hasattr(inputs, "A") else inputs.A_prev
    cache = ((A, inputs.W, np.zeros((len(inputs.W), 1))), inputs.Z)
    dA_prev, dW, db = c.linear_activation_backward(inputs.dA, cache, "sigmoid")
    return {"dA_prev": dA_prev, "dW": dW, "db": db}


def linear_backward(c, inputs, settings):
    dA_prev, dW, db = c.linear_backward(inputs.dZ, (inputs.A, inputs.W, np.zeros((len(inputs.W), 1))))
    return {"dA_prev": dA_prev, "dW": dW, "db": db}


def planar_forward(c, inputs, settings):
    A2, caches = c.L_model_forward(inputs.X, parameters_of(inputs), "tanh")
    (_, Z1), ((A1, _, _), Z2) = caches
    return {"means_Z1_A1_Z2_A2": [np.mean(P) for P in (Z1, A1, Z2, A2)]}


def planar_backward(c, inputs, settings):
    b1, b2 = np.zeros((4, 1)), np.zeros((1, 1))
    first = ((inputs.X, np.zeros((4, 2)), b1), np.arctanh(inputs.A1))
    grads = c.L_model_backward(inputs.A2, inputs.Y, [first, ((inputs.A1, inputs.W2, b2), inputs.A2)], "tanh")
    return {name: grads[name] for name in ("dW1", "db1", "dW2", "db2")}


def l2_backward(c, inputs, settings):
    A = [inputs.X, inputs.A1, inputs.A2, inputs.A3]
    # relu(Z) is above 0 where Z is, so A will do for Z.
    caches = [
        ((A[i - 1], W, np.zeros((len(W), 1))), A[i])
        for i, W in enumerate((inputs.W1, inputs.W2, inputs.W3), 1)
    ]
    grads = c.L_model_backward(inputs.A3, inputs.Y, caches, "relu", settings["lambda"])
    return {name: grads[name] for name in ("dW1", "dW2", "dW3")}


def updated(c, inputs, settings):
    parameters = parameters_of(inputs)
    grads = parameters_of(inputs, "d")
    return c.update_parameters(parameters, grads, settings["learning_rate"])


def momentum(c, inputs, settings):
    parameters, grads = parameters_of(inputs), parameters_of(inputs, "d")
    v = c.initialize_velocity(parameters)
    parameters, v = c.update_parameters_with_momentum(
        parameters, grads, v, settings["beta"], settings["learning_rate"]
    )
    return parameters | {f"v_{name}": value for name, value in v.items()}


def adam(c, inputs, settings):
    parameters, grads = parameters_of(inputs), parameters_of(inputs, "d")
    v, s = c.initialize_adam(parameters)
    parameters, _, s = c.update_parameters_with_adam(
        parameters, grads, v, s, settings["t"], settings["learning_rate"]
    )
    return parameters | {f"s_{name}": s[name] for name in ("dW1", "db1", "db2")}


def mini_batches(c, inputs, settings):
    batches = c.random_mini_batches(inputs.X, inputs.Y, 64, 0)
    return {"sizes": [len(X[0]) for X, _ in batches], "first_row_first_3": batches[0][0][0][:3]}


def logistic_regression(c, inputs, settings):
    params, grads, _ = c.optimize(
        inputs.w, float(inputs.b), inputs.X, inputs.Y, settings["iterations"], settings["learning_rate"]
    )
    return params | grads


def propagated(c, inputs, settings):
    grads, cost = c.propagate(inputs.w, float(inputs.b), inputs.X, inputs.Y)
    return grads | {"cost": cost}


def gradcheck(c, inputs, settings):
    theta = inputs.theta.reshape(1, 1)
    J, cache = c.linear_forward(inputs.x.reshape(1, 1), theta, np.zeros((1, 1)))
    return {"J": J, "dtheta": c.linear_backward(np.ones((1, 1)), cache)[1]}


def logistic_predictions(c, inputs, settings):
    return {"predictions": c.predict({"W1": inputs.w.T, "b1": inputs.b.reshape(1, 1)}, inputs.X)}


def activated(c, inputs, settings):
    return {
        name: c.linear_activation_forward(inputs.A, inputs.W, inputs.b, name)[0]
        for name in ("sigmoid", "relu")
    }


def deep(c, inputs, settings):
    AL, caches = c.L_model_forward(inputs.X, parameters_of(inputs))
    return {"AL": AL, "caches": len(caches)}


UNIT = {
    "sigmoid_points": lambda c, i, s: {"s": c.sigmoid(i.z[None, :])[0][0]},
    "logreg_propagate_2017": propagated,
    "logreg_propagate_v5": propagated,
    "logreg_optimize_2017": logistic_regression,
    "logreg_optimize_v5": logistic_regression,
    "logreg_predict_v5": logistic_predictions,
    "planar_init": weights,
    "planar_forward_2017": planar_forward,
    "planar_forward_v6c": planar_forward,
    "planar_cost_v6c": lambda c, i, s: {"cost": c.compute_cost(i.A2, i.Y)},
    "planar_backward_v6c": planar_backward,
    "planar_update": updated,
    "planar_predict": lambda c, i, s: {
        "predictions_mean": np.mean(c.predict(parameters_of(i), i.X, "tanh"))
    },
    "init_2layer_2017": weights,
    "init_2layer_v8": weights,
    "init_deep_5_4_3": weights,
    "linear_forward_2017": lambda c, i, s: {"Z": c.linear_forward(i.A, i.W, i.b)[0]},
    "linear_forward_v8": lambda c, i, s: {"Z": c.linear_forward(i.A, i.W, i.b)[0]},
    "linear_activation_forward_2017": activated,
    "linear_activation_forward_v8": activated,
    "L_model_forward_2017": deep,
    "L_model_forward_v8_2hidden": deep,
    "compute_cost_2017": lambda c, i, s: {"cost": c.compute_cost(i.AL, i.Y)},
    "compute_cost_v8a": lambda c, i, s: {"cost": c.compute_cost(i.AL, i.Y)},
    "linear_backward_v8": linear_backward,
    "linear_backward_v8a": linear_backward,
    "linear_activation_backward_2017_sigmoid": linear_activation_backward,
    "linear_activation_backward_v8_sigmoid": linear_activation_backward,
    "update_parameters_v8": updated,
    "gradcheck_1d": gradcheck,
    "init_random_x10": weights,
    "init_he": weights,
    "l2_cost": lambda c, i, s: {
        "cost": c.compute_cost(i.A3, i.Y, "sigmoid", parameters_of(i), s["lambda"])
    },
    "l2_backward": l2_backward,
    "dropout_forward": lambda c, i, s: {
        "A3": c.L_model_forward(i.X, parameters_of(i), "relu", "sigmoid", s["keep_prob"], 1)[0]
    },
    "opt_gd_step": updated,
    "opt_momentum_step": momentum,
    "opt_adam_step_t2": adam,
    "opt_mini_batches": mini_batches,
}  # fmt: skip


@pytest.mark.parametrize("case", UNIT, indirect=True)
def test_unit_cases(case, course):
    settings = case.settings | {"name": case.name}
    if UNIT[case.name] is weights:
        (_, settings["seed"]), *draws = course[case.name]["inputs"]["draws"]
        settings["sizes"] = [draws[0][2][1], *(shape[0] for _, _, shape in draws)]
    found = {name: UNIT[case.name](Handed(way), case.inputs, settings) for name, way in WAYS.items()}
    decimals = 7 if case.name == "l2_backward" else None
    printed = {name: value for name, value in found["vectorized"].items() if name in case.expected}
    assert printed
    agree(case, decimals=decimals, **printed)
    same(found["loops"], found["vectorized"], **CLOSE)
    same(found["compiled"], found["vectorized"], **CLOSE)


# Trained cases: three steps of loops, fifty of NumPy, all of them compiled


@pytest.fixture
def task(case, request):
    """X, Y, the test set or None, and how `model` is to be called, or for logistic regression `optimize`."""
    name, settings = case.name, case.settings
    rate, steps = settings["learning_rate"], settings.get("iterations") or settings.get("epochs")
    how = {"learning_rate": rate, "num_iterations": steps, "seed": settings.get("init_seed", 3)}
    test = None
    if name.startswith("logreg_cat"):
        X, Y, *test = request.getfixturevalue("cats")
        how = {"learning_rate": rate, "num_iterations": steps}
    elif name == "cat_two_layer_v8":
        X, Y, *test = request.getfixturevalue("cats")
        how |= {"layer_dims": [12288, 7, 1], "initialization": "random", "seed": 1}
    elif name.startswith("planar"):
        X, Y = (case.inputs.X, case.inputs.Y) if "nn_model" in name else request.getfixturevalue("flower")
        sizes = [2, settings["hidden_units"], 1]
        how |= {"layer_dims": sizes, "initialization": "random", "seed": 2, "activation": "tanh"}
    elif name.startswith("init_model"):
        X, Y, *test = request.getfixturevalue("circles")
        start = {"zeros": "zeros", "x10": "random", "he": "he"}[name.removeprefix("init_model_")]
        how |= {"layer_dims": [2, 10, 5, 1], "initialization": start, "scale": 10.0}
    elif name.startswith("reg_model"):
        X, Y, *test = request.getfixturevalue("football")
        how |= {"layer_dims": [2, 20, 3, 1], "initialization": "xavier"}
        how["keep_prob"] = settings.get("keep_prob", 1.0)
    else:
        points, labels, _ = request.getfixturevalue("moons")
        X, Y = points.T, labels[None, :]
        method = name.replace("5000_", "").removeprefix("opt_model_").removesuffix("_eps_inside")
        how |= {"layer_dims": [2, 5, 2, 1], "optimizer": method, "mini_batch_size": 64}
        how["epsilon_inside"] = name.endswith("inside")
    return SimpleNamespace(X=X, Y=Y, test=test, how=how)


def trained(way, task, steps=None):
    """Parameters and costs after so many passes, or all."""
    how = task.how if steps is None else task.how | {"num_iterations": steps}
    way = Handed(way)
    if "layer_dims" in how:
        return way.model(task.X, task.Y, **how)
    params, _, costs = way.optimize(np.zeros((len(task.X), 1)), 0.0, task.X, task.Y, **how)
    b = params["b"]
    w = np.asarray(params["w"])
    return {"W1": w.T, "b1": np.array([[b]])}, costs


TRAINED = {
    "logreg_cat_model": {"cost_every_100": slice(None, None, 100)},
    "logreg_cat_lr_0.01": {},
    "logreg_cat_lr_0.001": {},
    "logreg_cat_lr_0.0001": {},
    "planar_nn_model_v6c": {},
    "planar_nn_model_lr1.02": {"cost_every_1000": slice(None, None, 1000)},
    "planar_model_nh4": {"cost_every_1000_to_7000": slice(0, 8000, 1000)},
    "planar_5000_nh1": {},
    "planar_5000_nh2": {},
    "planar_5000_nh3": {},
    "planar_5000_nh4": {},
    "planar_5000_nh20": {},
    "cat_two_layer_v8": {"cost_every_100": slice(None, None, 100)},
    "init_model_zeros": {"cost_every_1000": slice(None, None, 1000)},
    "init_model_x10": {},
    "init_model_he": {"cost_every_1000": slice(None, None, 1000)},
    "reg_model_none": {"cost_0_10000_20000": slice(None, None, 10000)},
    "reg_model_dropout": {"cost_0_10000_20000": slice(None, None, 10000)},
    # The last of the five mini-batches of every thousandth pass
    "opt_model_gd": {"cost_every_1000": slice(4, None, 5000)},
    "opt_model_momentum": {"cost_every_1000": slice(4, None, 5000)},
    "opt_model_adam_eps_inside": {"cost_every_1000": slice(4, None, 5000)},
    "opt_model_5000_gd": {},
    "opt_model_5000_momentum": {},
    "opt_model_5000_adam": {},
}
# Percent or shares in which the figure is held loosely: the path depends on rounding (see test_course)
LOOSE = {"planar_5000_nh20": 0.5, "planar_model_nh4": 1.0, "init_model_x10": 0.02}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::dnn.NoProgressWarning")
@pytest.mark.parametrize("case", TRAINED, indirect=True)
def test_trained_cases_begin_alike(case, task):
    """Three steps of loops, fifty of NumPy (of mini-batches one pass, and ten)."""
    batches = "mini_batch_size" in task.how
    for way, steps in ((vectorized, 10 if batches else 50), (loops, 1 if batches else 3)):
        if (
            way is loops and len(task.X) == 12288
        ):  # some of the cats: each takes the loops a tenth of a second
            task.X, task.Y = task.X[:, :12], task.Y[:, :12]
        parameters, costs = trained(way, task, steps)
        by_core, costs_by_core = trained(compiled, task, steps)
        same(parameters, by_core, rtol=0, atol=1e-9)
        # Where outputs come to be 0 or 1 to the last bit the course's cost is infinite; the core's, from the
        # logits, never is.
        finite = np.isfinite(costs)
        assert finite.all() or case.name == "init_model_x10"
        np.testing.assert_allclose(
            np.array(costs)[finite], np.array(costs_by_core)[finite], rtol=0, atol=1e-9
        )


@pytest.mark.long
@pytest.mark.parametrize("case", TRAINED, indirect=True)
def test_trained_cases_compiled_to_the_end(case, task):
    stuck = pytest.warns(NoProgressWarning) if case.name == "init_model_zeros" else nullcontext()
    with stuck:
        parameters, costs = trained(compiled, task)
    agree(case, **{name: costs[every] for name, every in TRAINED[case.name].items()})
    if case.name.startswith("opt_model_5000"):
        sizes = np.array([64, 64, 64, 64, 44])
        means = np.reshape(costs, (-1, 5)) @ sizes / 300
        agree(case, mean_cost_every_1000=means[::1000])
    if "nn_model" in case.name:
        agree(case, decimals=8, **parameters)
        assert costs[0] == pytest.approx(0.692739, abs=1e-6)

    activation = task.how.get("activation", "relu")

    def share_right(X, Y):
        return float(np.mean(compiled.predict(parameters, X, activation) == Y))

    loose = LOOSE.get(case.name, 1e-6)
    for name, expected in case.expected.items():
        if "accuracy" in name:
            part = task.test if name.startswith("test") else (task.X, task.Y)
            scale = 100 if "percent" in name else 1
            assert scale * share_right(*part) == pytest.approx(float(expected), abs=loose), name


# The functions against each other, the network, and finite differences

SIZES = [(1, 1, 1), (3, 4, 1), (5, 7, 3, 2), (4, 2)]


def example(sizes, output, m=6, seed=1):
    """Parameters, X and Y as arrays in the course's shapes."""
    rng = np.random.default_rng(seed)
    parameters = {}
    for layer, (n_prev, n) in enumerate(pairwise(sizes), 1):
        parameters[f"W{layer}"] = rng.normal(size=(n, n_prev))
        parameters[f"b{layer}"] = rng.normal(size=(n, 1))
    X = rng.normal(size=(sizes[0], m))
    if output == "softmax":
        return parameters, X, np.eye(sizes[-1])[:, rng.integers(sizes[-1], size=m)]
    return parameters, X, rng.integers(2, size=(sizes[-1], m)).astype(float)


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
def test_three_ways_agree(sizes, activation, output):
    parameters, X, Y = example(sizes, output)
    found = AL, cost, grads, updated = step(vectorized, parameters, X, Y, activation, output)
    close = {"rtol": 0, "atol": 1e-12}
    same(step(loops, *given(loops, (parameters, X, Y)), activation, output), found, **close)
    by_core = step(compiled, parameters, X, Y, activation, output)
    for layer in range(1, len(sizes) - 1):
        assert by_core[2][f"dA{layer}"].shape == grads[f"dA{layer}"].shape  # computed when it is asked for
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
def test_activations_agree_far_out(name):
    """Also where e^z would overflow."""
    Z = np.array([[-1e4, -800.0, -1.0, 0.0, 3.0, 800.0], [1e4, 0.0, 2.0, 0.0, -3.0, 799.0]])
    A, _ = getattr(vectorized, name)(Z)
    np.testing.assert_allclose(getattr(loops, name)(Z.tolist())[0], A, rtol=1e-14, atol=0)
    # The core flushes what is below the smallest normal number to 0
    np.testing.assert_allclose(getattr(compiled, name)(Z)[0], A, rtol=1e-14, atol=1e-300)
    assert np.isfinite(A).all()
    if name != "softmax":
        dA = np.arange(12.0).reshape(2, 6)
        backward = f"{name}_backward"
        dZ = getattr(vectorized, backward)(dA, Z)
        np.testing.assert_allclose(getattr(loops, backward)(dA.tolist(), Z.tolist()), dZ, rtol=1e-14, atol=0)
        np.testing.assert_allclose(getattr(compiled, backward)(dA, Z), dZ, **CLOSE)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_the_cost_of_a_sure_answer_is_0_or_infinite(output):
    AL = [[1.0, 0.0], [0.0, 1.0]]
    wrong = [[0.0, 1.0], [1.0, 0.0]]
    for way in WAYS.values():
        assert Handed(way).compute_cost(np.array(AL), np.array(AL), output) == 0
        assert Handed(way).compute_cost(np.array(AL), np.array(wrong), output) == np.inf


@pytest.mark.parametrize("way", WAYS)
def test_names_are_checked(way):
    course = Handed(WAYS[way])
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
    found = {name: Handed(way).model(X, Y, [3, 4, 1], **how) for name, way in WAYS.items()}
    assert len(found["compiled"][1]) == (12 if more == {"mini_batch_size": 4} else 4)
    same(found["loops"], found["vectorized"], **CLOSE)
    same(found["compiled"], found["vectorized"], **CLOSE)


@pytest.mark.parametrize("initialization", ["zeros", "random", "xavier", "he"])
def test_first_parameters_agree(initialization):
    found = [way.initialize_parameters([5, 4, 2], initialization, 0.3, seed=7) for way in WAYS.values()]
    same(found[0], found[1], rtol=1e-15)
    same(found[2], found[1], rtol=1e-15)


def test_a_softmax_model_and_its_classes():
    _, X, Y = example((3, 4, 3), "softmax", m=12)
    how = {"output": "softmax", "num_iterations": 5, "learning_rate": 0.5}
    found = [Handed(way).model(X, Y, [3, 4, 3], **how) for way in WAYS.values()]
    same(found[0], found[1], **CLOSE)
    same(found[2], found[1], **CLOSE)
    classes = [Handed(way).predict(found[1][0], X, output="softmax") for way in WAYS.values()]
    assert np.shape(classes[0]) == (1, 12)
    assert np.array_equal(classes[0], classes[1]) and np.array_equal(classes[2], classes[1])


@pytest.mark.parametrize(("lambd", "keep_prob"), [(0.5, 1.0), (0.0, 0.7), (0.5, 0.7)])
def test_backward_with_a_penalty_and_with_dropout(lambd, keep_prob):
    parameters, X, Y = example((3, 4, 2, 1), "sigmoid")
    found = []
    for way in map(Handed, WAYS.values()):
        AL, caches = way.L_model_forward(X, parameters, "tanh", "sigmoid", keep_prob, 5)
        grads = way.L_model_backward(np.array(AL), Y, caches, "tanh", lambd, keep_prob)
        assert len(grads["dA2"]) == 2
        found.append((AL, grads))
    same(found[0], found[1], **CLOSE)
    same(found[2], found[1], **CLOSE)


def test_caches_of_another_pass_go_backward_too():
    """NumPy's caches in the core's backward, and another activation than that of the pass."""
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


def test_columns_are_rows_without_a_copy():
    X = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    assert np.shares_memory(rows(X), X) and not np.shares_memory(rows(X.copy(order="C")), X)
    (_, cache), *_ = [compiled.L_model_forward(X, compiled.initialize_parameters([3, 2, 1], seed=0))]
    assert np.shares_memory(cache.core.X, X)


def test_float32_stays():
    parameters, X, _ = example((3, 4, 1), "sigmoid")
    AL, caches = compiled.L_model_forward(X.astype(np.float32), parameters)
    assert AL.dtype == caches[0][1].dtype == np.float32
    np.testing.assert_allclose(AL, vectorized.L_model_forward(X, parameters)[0], rtol=1e-5)


# What does not fit


@pytest.mark.parametrize("way", WAYS)
def test_shape_errors_name_the_slip(way):
    c = Handed(WAYS[way])
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


def test_the_error_of_the_course():
    """A learner whose pictures are in rows."""
    with pytest.raises(ValueError) as raised:
        vectorized.model(np.zeros((209, 12288)), np.zeros((1, 209)), [12288, 7, 1])
    wanted = "X must have shape (features, examples), got (209, 12288): are the examples in rows? Use X.T"
    assert str(raised.value) == wanted


# Side by side


PARTS = ("activations", "layers", "training")


@pytest.mark.parametrize("name", ["dnn.course.shapes", *(f"dnn.course.{w}.{p}" for w in WAYS for p in PARTS)])
def test_examples_run(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed


def test_the_three_have_the_same_functions():
    for name in vectorized.__all__:
        functions = [getattr(way, name) for way in WAYS.values()]
        assert all(inspect.getdoc(function) for function in functions), name
        arguments = [
            [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()]
            for function in functions
        ]
        assert arguments[0] == arguments[1] == arguments[2], name
    assert loops.__all__ == vectorized.__all__ == compiled.__all__
