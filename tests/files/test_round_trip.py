"""What is loaded from a file is what was saved: every attribute, every bit, and the training that goes on."""

import copy
import dataclasses
import json

import numpy as np
import pytest
from saved_models import CLASS, ESTIMATORS, MODELS, NETWORKS, NUMBER, X, facts, fitted, outputs, regressor

import dnn
from dnn import LBFGS, SGD, Adam, MLPClassifier, MLPRegressor, Network
from dnn.files.encoding import CLASSES


def saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model")
    return dnn.load(tmp_path / "model")


@pytest.mark.parametrize("name", MODELS)
def test_everything_comes_back(name, tmp_path):
    model = MODELS[name]()
    again = saved_and_loaded(model, tmp_path)
    assert type(again) is type(model)
    expected = {key: item for key, item in model.__getstate__().items() if key != "oof_"}
    assert facts(again.__getstate__()) == facts(expected)
    if "unfitted" not in name:
        assert outputs(again).tobytes() == outputs(model).tobytes()
        assert outputs(again).dtype == outputs(model).dtype


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_train_on_as_a_copy_does(name, tmp_path):
    net = NETWORKS[name]()
    again, copied = saved_and_loaded(net, tmp_path), net.copy()
    y = CLASS if net.n_outputs == 3 else NUMBER
    for twin in (again, copied):
        twin.fit(X, y, epochs=3, batch_size=16)
    assert again.params.tobytes() == copied.params.tobytes() != net.params.tobytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_train_on_as_a_copy_does(name, tmp_path):
    est = ESTIMATORS[name]()
    again, copied = saved_and_loaded(est, tmp_path), copy.deepcopy(est)
    y = NUMBER
    if isinstance(est, MLPClassifier):
        several = len(est.classes_) == est.n_outputs_ and outputs(est).sum(axis=1).max() > 1.01
        y = (X > 0).astype(int) if several else est.classes_[CLASS % len(est.classes_)]
    for twin in (again, copied):
        if hasattr(twin, "partial_fit"):
            twin.partial_fit(X, y).partial_fit(X, y)
        if twin.warm_start == "optimizer" or isinstance(twin.random_state, np.random.RandomState):
            twin.fit(X, y)
            twin.network_.fit(X, twin.network_(X), epochs=1)
    if "unfitted" not in name:
        assert facts(without_seconds(again)) == facts(without_seconds(copied))


def without_seconds(est):
    est.history_.seconds = 0.0
    return est


def test_a_shared_generator_stays_one(tmp_path):
    again = saved_and_loaded(MODELS["regressor generator"](), tmp_path)
    assert again.__getstate__()["_net"].__getstate__()["_rng"] is again.random_state


def test_a_learning_rate_that_adapts_stays_one(tmp_path):
    again = saved_and_loaded(MODELS["classifier bool"](), tmp_path)
    optimizer = again.__getstate__()["_optimizer"]
    assert optimizer.kept["schedule"] is optimizer.spec.rate


PARAMETERS = [
    ("hidden_layer_sizes", (3, [4, (5,)], np.int64(6))),
    ("hidden_layer_sizes", np.array([3, 4])),
    ("activation", ("relu", dnn.LeakyReLU(0.2), dnn.ELU(np.float32(0.5)))),
    ("solver", SGD(dnn.Exponential(0.1, 0.5), momentum=0.9, nesterov=True)),
    ("solver", Adam(dnn.WarmUp(2, dnn.Cosine(0.1, 3)), epsilon_form="inside")),
    ("solver", dnn.AdamW()),
    ("solver", dnn.RMSprop(dnn.StepDecay(0.1))),
    ("solver", LBFGS(history=3, max_evaluations=None)),
    ("schedule", dnn.OneCycle(0.1, 5)),
    ("schedule", dnn.InverseScaling(0.1)),
    ("schedule", dnn.WarmUp(1, dnn.Constant(0.1))),
    ("schedule", dnn.OnPlateau(0.1).start()),
    ("init", [dnn.He("uniform"), dnn.LeCun(), dnn.Normal(0.1), dnn.Uniform(0.1), dnn.Xavier(), dnn.Zeros()]),
    ("init", [np.arange(12.0).reshape(4, 3)[:, ::-1].T, (np.eye(2), None), dnn.Full(0.5)]),
    ("n_iter_no_change", float("inf")),
    ("tol", -0.0),
    ("tol", float("nan")),
    ("alpha", 5e-324),
    ("alpha", np.float64("-inf")),
    ("alpha", np.float16(0.1)),
    ("shuffle", np.True_),
    ("random_state", 2**100),
    ("random_state", np.random.RandomState(np.random.PCG64(3))),
    ("scoring", "bälanced\n\ud800\x00"),
    ("scoring", np.str_("loss")),
    ("dtype", np.float32),
    ("dtype", np.dtype("float64")),
    ("dtype", float),
    ("callbacks", []),
    ("dropout", [0.1] * 20),
    ("verbose", {"a": {1: (), None: [None]}, True: 1.5, "": np.array(["x", "yy"])}),
    ("verbose", np.array(["ab", "a\x00", "a\x00"], object)),
    ("verbose", np.array([["ab", "\U0001f40d"]], object)),
    ("verbose", np.array([None, 1, (2.5, "x"), [3]], object)),
    ("verbose", np.array(3.5)),
    ("verbose", np.zeros((2, 0, 3), np.uint16)),
    ("verbose", np.array([], "U5")),
]


@pytest.mark.parametrize(
    ("name", "value"), PARAMETERS, ids=[f"{i} {name}" for i, (name, _) in enumerate(PARAMETERS)]
)
def test_parameters_of_every_type(name, value, tmp_path):
    again = saved_and_loaded(MLPRegressor(**{name: value}), tmp_path)
    assert facts(getattr(again, name)) == facts(value)


def test_arrays_come_back_in_the_byte_order_of_the_machine(tmp_path):
    again = saved_and_loaded(MLPRegressor(init=[np.arange(6, dtype=">f4").reshape(2, 3)[::-1]]), tmp_path)
    assert facts(again.init) == facts([np.arange(6, dtype="=f4").reshape(2, 3)[::-1]])


def test_every_value_may_be_saved():
    """A class that is new needs its place in CLASSES."""
    values = {name for name in dnn.__all__ if dataclasses.is_dataclass(getattr(dnn, name))}
    assert values - set(CLASSES) == {"Dense", "Dropout", "RateCurve"}  # no parameters
    assert {"SGD", "History", "WarmUp"} <= values


def test_losses_of_every_type(tmp_path):
    for loss in ("poisson", dnn.Huber(2.0), dnn.Quantile((0.1, 0.9)), dnn.Quantile()):
        assert saved_and_loaded(MLPRegressor(loss), tmp_path).loss == loss


def test_weights_that_are_not_finite(tmp_path):
    net = Network([3, 4, 2], random_state=0)
    net.params[::5] = np.nan
    net.params[1::5] = np.inf
    again = saved_and_loaded(net, tmp_path)
    assert again.params.tobytes() == net.params.tobytes()


@pytest.mark.filterwarnings("ignore")
def test_a_training_that_diverged(tmp_path):
    est = MLPRegressor(hidden_layer_sizes=4, solver="sgd", learning_rate_init=1e6, early_stopping=True, tol=0)
    est.fit(X, NUMBER * 1e30)
    assert np.isnan(est.loss_)
    again = saved_and_loaded(est, tmp_path)
    assert facts(again.__getstate__()) == facts(est.__getstate__())


def test_coefs_that_were_assigned(tmp_path):
    est = regressor()
    est.coefs_[0] = est.coefs_[0] * 2
    assert saved_and_loaded(est, tmp_path).predict(X).tobytes() == est.predict(X).tobytes()
    alone = MLPRegressor()
    alone.coefs_, alone.intercepts_ = [np.ones((3, 1))], [np.ones(1)]
    assert saved_and_loaded(alone, tmp_path).predict(X).tobytes() == alone.predict(X).tobytes()


def test_tables_of_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=["a", "b", "c"])
    est = fitted(MLPClassifier(4, max_iter=2), table, y=pandas.Series(CLASS).map({0: "x", 1: "y", 2: "z"}))
    again = saved_and_loaded(est, tmp_path)
    assert again.feature_names_in_.tolist() == ["a", "b", "c"] and again.classes_.dtype == est.classes_.dtype
    assert (again.predict(table) == est.predict(table)).all()
    with pytest.raises(ValueError, match="feature names"):
        again.predict(table.rename(columns={"a": "z"}))


def test_one_model_gives_one_file(tmp_path):
    """Its bytes depend on nothing else, so that files can be compared."""
    est = MODELS["classifier strings"]()
    est.save(tmp_path / "a")
    copy.deepcopy(est).save(tmp_path / "b")
    dnn.load(tmp_path / "a").save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_other_programs_can_read_the_arrays(tmp_path):
    """As `docs/model_files.md` says."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    net = Network([3, 4, 2], random_state=0)
    net.save(tmp_path / "model")
    arrays = load_file(tmp_path / "model")
    for i, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        np.testing.assert_array_equal(arrays[f"layers.{i}.W"], W)
        np.testing.assert_array_equal(arrays[f"layers.{i}.b"], b)
    with safe_open(tmp_path / "model", "np") as file:
        document = json.loads(file.metadata()["dnn"])
    assert (document["format"], document["kind"], document["dnn"]) == (1, "Network", dnn.__version__)


def test_a_parameter_that_is_younger_than_the_file_has_its_default(tmp_path):
    from fuzz_files import joined, split

    MLPRegressor(alpha=0.5).save(tmp_path / "model")
    header, rest = split((tmp_path / "model").read_bytes())
    document = json.loads(header["__metadata__"]["dnn"])
    del document["parameters"]["alpha"]
    header["__metadata__"]["dnn"] = json.dumps(document)
    (tmp_path / "model").write_bytes(joined(header, rest))
    assert dnn.load(tmp_path / "model").alpha == MLPRegressor().alpha
