"""A refused call changes nothing, for every parameter of the estimators and every argument of every call."""

import copy
import pickle
import threading
import types

import numpy as np
import pytest
import scipy.sparse as sp

import dnn
from dnn import MLPClassifier, MLPRegressor, Network

rng = np.random.default_rng(0)
X = rng.normal(size=(30, 4))
Y = {MLPClassifier: np.repeat(["cat", "dog"], 15), MLPRegressor: X[:, 0] * 2}
OTHER = {MLPClassifier: np.tile(["up", "down"], 15), MLPRegressor: X[:, 1] - 5}
BOTH = [MLPClassifier, MLPRegressor]

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]  # the same on every Python


def contents(thing, seen=None):
    """Return the contents of an object for a comparison by ==: arrays as bits, generators as their state."""
    seen = {} if seen is None else seen
    if id(thing) in seen:
        return seen[id(thing)]
    seen[id(thing)] = f"object {len(seen)}"
    if isinstance(thing, np.ndarray):
        items = thing.tolist() if thing.dtype == object else thing.tobytes()
        return "array", thing.dtype.str, thing.shape, items
    if isinstance(thing, (np.random.Generator, np.random.RandomState)):
        bits = thing.bit_generator if isinstance(thing, np.random.Generator) else thing._bit_generator
        return "generator", repr(bits.state)
    if isinstance(thing, dict):
        return {name: contents(item, seen) for name, item in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing).__name__, [contents(item, seen) for item in thing]
    if isinstance(thing, (types.FunctionType, types.BuiltinFunctionType, type, type(threading.Lock()))):
        return id(thing)
    if type(thing).__module__.endswith("_core"):
        return id(thing)
    if hasattr(thing, "__dict__") and type(thing).__module__.startswith(("dnn", __name__)):
        return type(thing).__name__, contents(vars(thing), seen)
    return repr(thing)


def unchanged(thing, call, kinds=(TypeError, ValueError)):
    """Assert that a call is refused and leaves the object unchanged."""
    before = contents(thing)
    with pytest.raises(kinds) as refused:
        call()
    assert contents(thing) == before
    return str(refused.value)


# Invalid values for each parameter
WRONG = {
    "hidden_layer_sizes": [-1, 0, "10", None, 2.5, (10, "relu"), (3, 0), {"a": 1}],
    "activation": ["rellu", 3, None, ["relu"] * 5, (64, 64), dnn.Dense(3), np.ones(3)],
    "solver": ["admm", None, 3, dnn.Dropout(0.1), dnn.Adam],
    "init": ["hee", 3, None, [np.ones((4, 3))], [np.ones((2, 2)), np.ones((2, 2))], np.ones((4, 3))],
    "dropout": [1.0, -0.1, "a", None, [0.1], [0.1, 2.0]],
    "dtype": ["float16", 3, None, int],
    "batch_size": [0, -1, 2.5, "all", None, [1]],
    "n_iter_no_change": [0, -1, 2.5, "a", None, np.nan],
    "max_iter": [0, -1, 2.5, "a", None, np.inf],
    "max_fun": [0, -1, 2.5, "a", None],
    "shuffle": ["yes", None, 2, "True"],
    "nesterovs_momentum": ["yes", None, 2],
    "early_stopping": ["yes", None, 2],
    "progress": ["yes", None, 2],
    "warm_start": ["yes", None, 2],
    "verbose": ["yes", None, -1, 1.5],
    "random_state": [-1, "a", 1.5, 2**40, np.random.default_rng(0)],
    "schedule": [0.1, "cosine", dnn.Cosine],
    "clip_norm": [0, -1, "a", np.nan, True],
    "max_seconds": [0, -1, "a", np.nan],
    "weight_decay": [-1, "a", np.nan],
    "callbacks": [print, None, 3, [3], "print", [None]],
    "scoring": ["nonsense", 3, ["r2"]],
    "learning_rate": ["fast", None, 3],
    "n_threads": [0, -1, 2.5, "all", None, 65],
    "class_weight": [
        [0, 1],
        np.array([2]),
        "balance",
        3,
        {"mouse": 1},
        {"cat": -1},
        {"cat": np.nan},
        {"cat": "a"},
    ],
    "label_smoothing": [1.0, -0.1, "a", None, np.nan],
    "loss": ["log_loss", "mse", 3, None, (64, 64), dnn.Huber, dnn.LogLoss(), len],
    "validation_fraction": [1.0, -0.1, "a", None, np.nan, 2],
}
NUMBERS = [-1, "a", None, np.nan, np.inf, True, [0.1], np.ones(2)]  # alpha, l1, tol, ...


def wrong_parameters():
    for kind in BOTH:
        for name in kind().get_params():
            for number, value in enumerate(WRONG.get(name, NUMBERS)):
                yield pytest.param(kind, name, value, id=f"{kind.__name__}-{name}-{number}")
            if name not in ("hidden_layer_sizes", "activation", "init", "dropout", "class_weight"):
                yield pytest.param(kind, name, np.ones(2), id=f"{kind.__name__}-{name}-array")


def fitted(kind, **options):
    options = {"hidden_layer_sizes": 3, "max_iter": 3, "random_state": np.random.RandomState(0), **options}
    return kind(**options).fit(X, Y[kind])


@pytest.mark.parametrize(("kind", "name", "value"), list(wrong_parameters()))
def test_a_wrong_parameter(kind, name, value):
    for warm_start in (False, True):
        est = fitted(kind, warm_start=warm_start)
        answers = est.predict(X)
        before = est.get_params()[name]
        est.set_params(**{name: value})
        y = Y[kind] if warm_start else OTHER[kind]
        message = unchanged(est, lambda: est.fit(X + 1, y))  # noqa: B023
        assert name in message, message
        if name not in ("early_stopping", "solver", "max_iter"):
            unchanged(est, lambda: est.partial_fit(X + 1, Y[kind]))  # noqa: B023
        est.set_params(**{name: before})
        np.testing.assert_array_equal(est.predict(X), answers)
    est = kind().set_params(**{name: value})
    unchanged(est, lambda: est.fit(X, Y[kind]))
    with pytest.raises(Exception, match="not fitted yet"):
        est.predict(X)
    if kind is MLPClassifier and name not in ("early_stopping", "solver", "max_iter"):
        unchanged(est, lambda: est.partial_fit(X, Y[kind], classes=["cat", "dog"]))
        with pytest.raises(Exception, match="not fitted yet"):
            est.predict(X)


def with_value(array, where, value):
    changed = np.array(array, dtype=object if isinstance(value, str) else None)
    changed[where] = value
    return changed


def wrong_arguments(kind, other):
    """Yield the name of an argument, and the arguments of a call that is refused because of it."""
    y = Y[kind]
    ones = np.ones(30)
    for wrong in (
        None, "a", X[:20], X[:, 0], X[None], X * 1j, with_value(X, (3, 2), np.nan),
        with_value(X, (3, 2), np.inf), with_value(X, (3, 2), "?"), X[:0], [[1, [2, 3]]] * 30,
        sp.csr_array(X[:20]), X.astype("M8[s]"),
    ):  # fmt: skip
        yield "X", (wrong, other), {}
        yield "X_val", (X, other), {"X_val": wrong if wrong is not None else X[:20], "y_val": other}
    for wrong in (None, "a", other[:20], other[None], np.stack([other] * 3)[None], sp.csr_array(X)):
        yield "y", (X, wrong), {}
    for wrong in (
        "a",
        other[:20],
        other[None],
        3.0,
        [["a"], ["b", "c"]],
        np.array(["x"] * 30),
        np.full(30, 1j),
    ):
        yield "y_val", (X, other), {"X_val": X, "y_val": wrong}
    if kind is MLPRegressor:
        for wrong in (with_value(other, 3, np.nan), with_value(other, 3, "1,5"), other * 1j):
            yield "y", (X, wrong), {}
            yield "y_val", (X, other), {"X_val": X, "y_val": wrong}
    else:
        yield "y", (X, X[:, 0]), {}  # not labels
        yield "y", (X, with_value(y.astype(object), 3, np.nan)), {}
    for wrong in (
        ones[:20],
        -ones,
        ones * 0,
        ones * np.nan,
        np.array(["a"] * 30),
        np.ones((30, 1)),
        "a",
        ones * 1j,
    ):
        yield "sample_weight", (X, other, wrong), {}
        yield "sample_weight_val", (X, other), {"X_val": X, "y_val": other, "sample_weight_val": wrong}
    yield "X_val", (X, other), {"y_val": other}
    yield "y_val", (X, other), {"X_val": X}
    yield "X_val", (X, other), {"sample_weight_val": ones}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("kind", BOTH)
def test_a_wrong_argument(kind, warm_start, early_stopping, solver):
    for name, arguments, named in wrong_arguments(kind, Y[kind] if warm_start else OTHER[kind]):
        options = {"warm_start": warm_start, "early_stopping": early_stopping, "solver": solver}
        est = fitted(kind, **options)
        answers = est.predict(X)
        message = unchanged(est, lambda: est.fit(*arguments, **named))  # noqa: B023
        np.testing.assert_array_equal(est.predict(X), answers)
        if "_val" in name:
            assert name in message, (name, message)
        new = kind(random_state=np.random.RandomState(1), **options)
        unchanged(new, lambda: new.fit(*arguments, **named))  # noqa: B023
        with pytest.raises(Exception, match="not fitted yet"):
            new.predict(X)
        if solver == "adam" and not early_stopping and not named:
            unchanged(est, lambda: est.partial_fit(*arguments))  # noqa: B023
            np.testing.assert_array_equal(est.predict(X), answers)
            classes = {"classes": ["up", "down"]} if kind is MLPClassifier else {}
            unchanged(new, lambda: new.partial_fit(*arguments, **classes))  # noqa: B023


def test_a_refused_fit_does_not_relabel():
    """Labels must not be stored before the weights are validated, or the old weights would predict "up"."""
    est = fitted(MLPClassifier)
    with pytest.raises(ValueError, match="sample_weight"):
        est.fit(X, OTHER[MLPClassifier], sample_weight=np.ones(3))
    assert set(est.predict(X)) <= {"cat", "dog"} and est.classes_.tolist() == ["cat", "dog"]


@pytest.mark.parametrize("classes", ["ab", None, [], 3, [["a"], ["b"]], [None, "a"], ["cat"], [0.5, 1.5]])
def test_wrong_classes(classes):
    est = MLPClassifier()
    unchanged(est, lambda: est.partial_fit(X, Y[MLPClassifier], classes=classes))
    est.partial_fit(X, OTHER[MLPClassifier], classes=["up", "down"])
    if classes is not None:
        unchanged(est, lambda: est.partial_fit(X, OTHER[MLPClassifier], classes=classes))


@pytest.mark.parametrize("kind", BOTH)
def test_names_of_columns(kind):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    est = kind(3, max_iter=3) if kind is MLPClassifier else kind(hidden_layer_sizes=3, max_iter=3)
    est.fit(frame, Y[kind])
    for other in (frame[["a", "b"]], frame.rename(columns={"a": "z"}), X, X[:, :2]):
        unchanged(est, lambda: est.fit(other, OTHER[kind], sample_weight=np.ones(3)))  # noqa: B023
    assert est.feature_names_in_.tolist() == list("abcd") and est.n_features_in_ == 4
    est.fit(X[:, :2], OTHER[kind])
    assert not hasattr(est, "feature_names_in_") and est.n_features_in_ == 2


@pytest.mark.parametrize("kind", BOTH)
def test_set_params(kind):
    est = fitted(kind)
    for wrong in (
        {"alpha": 1.0, "bogus": 2},
        {"alpha": 1.0, "solver__rate": 2},
        {"alpha": 1.0, "Alpha": 1.0},
    ):
        unchanged(est, lambda: est.set_params(**wrong), (ValueError, AttributeError))  # noqa: B023
    assert est.set_params(alpha=1.0) is est and est.alpha == 1.0


@pytest.mark.parametrize("kind", BOTH)
def test_a_network_in_training_elsewhere(kind):
    est = fitted(kind, warm_start=True)
    with est._net._write_lock.writing("fit"):
        # The counter of changes is incremented at the end of the block.
        unchanged(est, lambda: est.fit(X, Y[kind]), RuntimeError)


@pytest.mark.parametrize("kind", BOTH)
def test_a_shared_source_of_random_numbers(kind):
    """A refused call draws no random numbers, so that the next call gives the same result."""
    states = np.random.RandomState(5), np.random.RandomState(5)
    a, b = (kind(early_stopping=True, max_iter=3, random_state=state) for state in states)
    for wrong in (np.ones(3), "a"):
        with pytest.raises((TypeError, ValueError)):
            a.fit(X, Y[kind], X_val=X, y_val=Y[kind], sample_weight_val=wrong)
    for est in (a, b):
        est.fit(X, Y[kind])
    np.testing.assert_array_equal(a.predict(X), b.predict(X))
    assert a.coefs_[0].tobytes() == b.coefs_[0].tobytes()


def hand_set(est, coefs, intercepts):
    if coefs is not None:
        est.coefs_ = coefs
    if intercepts is not None:
        est.intercepts_ = intercepts


W, B = [np.ones((4, 3)), np.ones((3, 1))], [np.ones(3), np.ones(1)]
SETS = [
    (W, "a", "intercepts_ must be a list"),
    (3, B, "coefs_ must be a list"),
    ([], [], "coefs_ must be a list"),
    (W, B[:1], "intercepts_ must have an array for each of 2"),
    ([np.ones((4, 3)), np.ones((2, 1))], B, r"coefs_\[1\] must have shape \(3, 1\), got \(2, 1\)"),
    ([np.ones((5, 3)), np.ones((3, 1))], B, r"coefs_\[0\] must have shape \(4, any number\), got \(5, 3\)"),
    ([np.ones((4, 3)), np.ones((3, 2))], [np.ones(3), np.ones(2)], r"coefs_\[1\] must have shape \(3, 1\)"),
    ([np.ones(4), np.ones((3, 1))], B, r"coefs_\[0\] must have shape"),
    (W, [np.ones(2), np.ones(1)], r"intercepts_\[0\] must have shape \(3,\), got \(2,\)"),
    ([np.full((4, 3), np.nan), W[1]], B, r"coefs_\[0\] must be finite, got nan in row 0, column 0"),
    (W, [np.ones(3), np.full(1, np.inf)], r"intercepts_\[1\] must be finite, got inf in row 0"),
    ([np.full((4, 3), "a"), W[1]], B, r"coefs_\[0\] must hold real numbers"),
]


@pytest.mark.parametrize(("coefs", "intercepts", "message"), SETS)
@pytest.mark.parametrize("kind", BOTH)
def test_wrong_weights_set_by_hand(kind, coefs, intercepts, message):
    est = fitted(kind, warm_start=True)
    hand_set(est, coefs, intercepts)
    net = est._net.params.copy()
    for call in (lambda: est.predict(X), lambda: est.fit(X, Y[kind]), lambda: pickle.dumps(est)):
        with pytest.raises((TypeError, ValueError), match=message):
            call()
    np.testing.assert_array_equal(est._net.params, net)


def test_weights_set_by_hand_before_a_fit():
    reg = MLPRegressor(hidden_layer_sizes=3)
    hand_set(reg, W, B)
    np.testing.assert_allclose(reg.predict(np.ones((2, 4))), [16.0, 16.0])
    clf = MLPClassifier(3)
    hand_set(clf, W, B)
    for call in (
        clf.predict,
        clf.predict_proba,
        clf.decision_function,
        clf.predict_log_proba,
        lambda X: clf.predictor(),
    ):
        with pytest.raises(Exception, match="coefs_ are set, but do not say which labels"):
            call(X)
    clf.partial_fit(
        X, Y[MLPClassifier], classes=["cat", "dog"]
    )  # the labels are known now, and training continued from W
    assert abs(clf.coefs_[0] - 1).max() < 0.01
    assert set(clf.predict(X)) <= {"cat", "dog"}


# Network


def network(**options):
    return Network([4, 3, 2], random_state=0, dropout=[0.0, 0.2], **options)


T = np.ones((30, 2))
BAD_FITS = [
    *(((wrong, T), {}) for wrong in (None, "a", X[:20], X.T, X * 1j, with_value(X, (0, 0), np.nan), X[:0])),
    *(((X, wrong), {}) for wrong in (None, "a", T[:20], T.T, T * 1j, with_value(T, (0, 0), np.nan))),
    *(
        ((X, T), {name: wrong})
        for name, values in {
            "loss": ["mse", 3, dnn.Huber, "log_loss", dnn.Quantile((0.1, 0.5, 0.9))],
            "optimizer": ["adma", 3, None, dnn.Adam, dnn.LBFGS(), "lbfgs", network().optimizer("sgd")],
            "epochs": [0, 1.5, "a", None], "batch_size": [0, 1.5, "a"],
            "sample_weight": [np.ones(3), "a", -np.ones(30), np.zeros(30), np.full(30, np.nan)],
            "class_weight": [[0, 1], np.array([2]), "balanced", {0: 1.0}, 3],
            "alpha": [-1, "a", None, np.nan], "l1": [-1, "a", None, np.nan],
            "clip_norm": [0, "a", np.nan], "ema": [1.0, "a", -1], "patience": [0, 2.5, "a", 3],
            "min_delta": [-1, "a", None], "max_seconds": [0, "a"], "shuffle": ["yes", None, 2],
            "order": [3, [0, 1], lambda i: [0, 1], lambda i: np.full(30, 30), lambda i: np.ones(30)],
            "record": ["all", 3, None], "callbacks": [print, 3, [3], None, "a"],
            "n_threads": [0, "all", 65, None], "random_state": [-1, "a", 1.5], "progress": ["yes", None, 2],
            "X_val": [X], "y_val": [T], "sample_weight_val": [np.ones(30)],
        }.items()
        for wrong in values
    ),
    *(((X, T), {"X_val": wrong, "y_val": T}) for wrong in (X.T, "a", with_value(X, (0, 0), np.nan), X[:20])),
    *(((X, T), {"X_val": X, "y_val": wrong}) for wrong in (T.T, "a", with_value(T, (0, 0), np.nan), T[:20])),
    *(
        ((X, T), {"X_val": X, "y_val": T, "sample_weight_val": wrong})
        for wrong in (np.ones(3), "a", np.zeros(30))
    ),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "named"), BAD_FITS)
def test_fit_of_a_network(arguments, named):
    net = network()
    net.freeze(0)
    _, cache = net.forward(X)
    message = unchanged(net, lambda: net.fit(*arguments, **named))
    if len(named) == 1:
        assert next(iter(named)) in message or "dropout" in message or "_val must be given" in message, (
            message
        )
    net.backward(cache, T)  # no step has been taken since
    if "optimizer" not in named:
        state = net.optimizer("adam")
        unchanged([net, state], lambda: net.fit(*arguments, **{**named, "optimizer": state}))


def test_other_calls_of_a_network():
    net = network()
    state = net.optimizer("adam")
    _, cache = net.forward(X)
    both = [net, state, net.params]
    for call in (
        lambda: net.forward(X[:, :2]), lambda: net.forward("a"),
        lambda: net.forward(X, training=True, seed=-1), lambda: net.forward(X, training=True, masks=[None]),
        lambda: net.forward(X, masks=[None, None]),
        lambda: net.forward(X, training=True, masks=3), lambda: net.forward(X, training="yes"),
        lambda: net.forward(X, training=True, masks=[None, np.ones((2, 2))]),
        lambda: net.forward(X, logits="yes"),
        lambda: net.backward(cache, T[:3]), lambda: net.backward(cache, "a"), lambda: net.backward(None, T),
        lambda: net.backward(cache, T, wrt="all"), lambda: net.backward(cache, T * 1j),
        lambda: net.backward(cache, T, wrt=3),
        lambda: net.backward(cache, T, add=True), lambda: net.backward(cache, T, out=3),
        lambda: net.backward(cache, T, out=net.params.copy(), add=1),
        lambda: net.backward(cache, T, out=np.ones(3, "float32")),
        lambda: net.backward(cache, T, out=net.params.astype(float)),
        lambda: net.backward(cache, T, out=net.params.copy(), wrt="input"),
        lambda: net.polyak_update(3, 0.5), lambda: net.polyak_update(Network([4, 3, 1]), 0.5),
        lambda: net.polyak_update(Network([4, *(len(b) for b in net.biases)], dtype="float64"), 0.5),
        lambda: net.polyak_update(net.copy(), -0.1), lambda: net.polyak_update(net.copy(), 1.01),
        lambda: net.polyak_update(net.copy(), np.nan), lambda: net.polyak_update(net.copy(), "a"),
        lambda: state.step(np.ones(3)), lambda: state.step("a"), lambda: state.step(net.params, -1),
        lambda: state.step(net.params, "a"), lambda: state.step(net.params, np.nan), lambda: state.step(None),
        lambda: net.optimizer("adma"), lambda: net.optimizer(dnn.LBFGS()), lambda: net.optimizer(3),
        lambda: net.freeze(2), lambda: net.freeze(-3), lambda: net.freeze(0, "a"), lambda: net.freeze([0, 1]),
        lambda: net.freeze(0.0), lambda: net.freeze(True), lambda: net.freeze(np.array([0, 1])),
        lambda: net.loss_and_gradient(X, T[:3]), lambda: net.loss_and_gradient(X, T, alpha=-1),
        lambda: net.loss_and_gradient(X, T, l1="a"), lambda: net.loss_and_gradient(X, T, loss="mse"),
        lambda: net.loss_and_gradient(X, T, sample_weight=np.ones(3)),
        lambda: net.losses(X, T[:3]), lambda: net.losses(X, T, loss="mse"), lambda: net(X[:, :2]),
        lambda: net(X, out=np.ones(3)), lambda: net("a"), lambda: net(X, out=3),
        lambda: dnn.check_gradient(net, X, T[:3]), lambda: dnn.find_rate(net, X, T, n_steps=3),
        lambda: dnn.find_rate(net, X, T[:3]),
    ):  # fmt: skip
        unchanged(both, call)


@pytest.mark.parametrize(
    ("name", "value"),
    [("params", 0), ("weights", ()), ("biases", ()), ("frozen", (True,)), ("dropout", (0.5, 0.5)),
     ("layers", ()), ("dtype", np.float64), ("n_inputs", 3), ("n_outputs", 3), ("n_params", 3)],
)  # fmt: skip
def test_read_only_attributes_of_a_network(name, value):
    net = network()
    unchanged(net, lambda: setattr(net, name, value), AttributeError)
    net.name = "mine"  # users may add attributes, which are copied
    assert copy.deepcopy(net).name == pickle.loads(pickle.dumps(net)).name == "mine"


def test_a_given_source_of_random_numbers_is_drawn_from_only_once_all_is_checked():
    source = np.random.default_rng(0)
    before = repr(source.bit_generator.state)
    for wrong in ([np.ones((4, 3)), np.ones((2, 2))], ["he", np.ones((2, 2))], ["he", "hee"], [(3, 4), "he"]):
        with pytest.raises((TypeError, ValueError)):
            Network([4, 3, 2], init=wrong, random_state=source)
        assert repr(source.bit_generator.state) == before
    with pytest.raises(ValueError, match="order must give"):
        network().fit(X, T, order=lambda epoch: [1], random_state=source)
    assert repr(source.bit_generator.state) == before


def test_an_error_while_training_is_no_refusal():
    """After an error during training the weights are those of the last step, which a callback has seen."""
    est = MLPRegressor(hidden_layer_sizes=3, callbacks=[lambda event: 1 / 0], random_state=0)
    with pytest.raises(ZeroDivisionError):
        est.fit(X, Y[MLPRegressor])
    assert est.predict(X).shape == (30,) and est.n_features_in_ == 4
