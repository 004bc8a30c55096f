"""Each of the three versions of dnn.course gives the figures that the course prints."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from course_cases import agree
from course_versions import VERSIONS, WithArrays, same

from dnn import NoProgressWarning
from dnn.course import compiled, loops, vectorized

CLOSE = {"rtol": 0, "atol": 1e-12}

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
    # relu(Z) is positive where Z is, so that A may replace Z.
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
    found = {
        name: UNIT[case.name](WithArrays(version), case.inputs, settings)
        for name, version in VERSIONS.items()
    }
    decimals = 7 if case.name == "l2_backward" else None
    printed = {name: value for name, value in found["vectorized"].items() if name in case.expected}
    assert printed
    agree(case, decimals=decimals, **printed)
    same(found["loops"], found["vectorized"], **CLOSE)
    same(found["compiled"], found["vectorized"], **CLOSE)


# Trained cases: three steps in loops, fifty in NumPy, and all steps in the compiled version


@pytest.fixture
def task(case, request):
    """Return X, Y, the test set or None, and the arguments of `model`, or of `optimize` for one unit."""
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


def trained(version, task, steps=None):
    """Return parameters and costs after the given number of passes, or after all."""
    how = task.how if steps is None else task.how | {"num_iterations": steps}
    version = WithArrays(version)
    if "layer_dims" in how:
        return version.model(task.X, task.Y, **how)
    params, _, costs = version.optimize(np.zeros((len(task.X), 1)), 0.0, task.X, task.Y, **how)
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
    # The last of the five mini-batches in every thousandth pass
    "opt_model_gd": {"cost_every_1000": slice(4, None, 5000)},
    "opt_model_momentum": {"cost_every_1000": slice(4, None, 5000)},
    "opt_model_adam_eps_inside": {"cost_every_1000": slice(4, None, 5000)},
    "opt_model_5000_gd": {},
    "opt_model_5000_momentum": {},
    "opt_model_5000_adam": {},
}


# Larger tolerances, in percent or as a share, for figures that depend on rounding (see test_networks)
LOOSE = {"planar_5000_nh20": 0.5, "planar_model_nh4": 1.0, "init_model_x10": 0.02}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::dnn.NoProgressWarning")
@pytest.mark.parametrize("case", TRAINED, indirect=True)
def test_first_steps_of_trained_cases_agree(case, task):
    """Loops take three steps and NumPy fifty; with mini-batches, one pass and ten passes."""
    batches = "mini_batch_size" in task.how
    for version, steps in ((vectorized, 10 if batches else 50), (loops, 1 if batches else 3)):
        if (
            version is loops and len(task.X) == 12288
        ):  # only some cats, because each takes a tenth of a second in loops
            task.X, task.Y = task.X[:, :12], task.Y[:, :12]
        parameters, costs = trained(version, task, steps)
        by_core, costs_by_core = trained(compiled, task, steps)
        same(parameters, by_core, rtol=0, atol=1e-9)
        # If outputs round to 0 or 1, the cost of the course is infinite; the core computes a finite cost from
        # the logits.
        finite = np.isfinite(costs)
        assert finite.all() or case.name == "init_model_x10"
        np.testing.assert_allclose(
            np.array(costs)[finite], np.array(costs_by_core)[finite], rtol=0, atol=1e-9
        )


@pytest.mark.long
@pytest.mark.parametrize("case", TRAINED, indirect=True)
def test_trained_cases_of_the_compiled_version(case, task):
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
