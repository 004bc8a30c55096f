"""Pickling and copying of everything public: all protocols, deepcopy, copy, joblib, other processes."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from networks import small_examples, small_network

import dnn
from dnn import (
    ELU,
    LBFGS,
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Dense,
    DivergedError,
    Dropout,
    Event,
    Exponential,
    Full,
    He,
    History,
    Huber,
    InverseScaling,
    LeakyReLU,
    LeCun,
    LogLoss,
    MLPClassifier,
    MLPRegressor,
    Network,
    Normal,
    OneCycle,
    OnPlateau,
    Quantile,
    RateCurve,
    RMSprop,
    StepDecay,
    Uniform,
    WarmUp,
    Xavier,
    Zeros,
)

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)

ROUND_TRIPS = {
    **{f"protocol {p}": lambda thing, p=p: pickle.loads(pickle.dumps(thing, p)) for p in range(6)},
    "pickle._Pickler": lambda thing: pickle.loads(pickle._dumps(thing)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
every_round_trip = pytest.mark.parametrize("round_trip", ROUND_TRIPS.values(), ids=ROUND_TRIPS)


class Counting(StepDecay):
    """A subclass of a schedule that has a state."""

    def __init__(self, rate):
        StepDecay.__init__(self, rate)
        self.asked = 0

    def rates(self, first, n, steps_per_epoch):
        self.asked += 1
        return super().rates(first, n, steps_per_epoch)


class Tagged(Network):
    """A subclass of Network with an additional attribute."""


def counting():
    schedule = Counting(0.1)
    schedule.asked = 7
    return schedule


VALUES = [
    SGD(0.1, 0.9, nesterov=True), Adam(OneCycle(0.1, 5)), AdamW(), RMSprop(momentum=0.5), LBFGS(history=3),
    Constant(0.1), Cosine(0.1, 5), Exponential(0.1, 0.5), InverseScaling(0.1), OneCycle(0.1, 5),
    OnPlateau(0.1), StepDecay(0.1), WarmUp(2, Cosine(0.1, 3)), counting(), Huber(2.0), Quantile((0.1, 0.9)),
    LogLoss(0.1),
    Dense(3, LeakyReLU(0.2)), Dropout(0.1), ELU(0.5), LeakyReLU(0.1), Full(0.5), He("uniform"), LeCun(),
    Normal(0.1), Uniform(0.1), Xavier(), Zeros(), History("log_loss", loss=[1.0]),
    dnn.StreamHistory("log_loss", n_rows=[3]),
]  # fmt: skip


@every_round_trip
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values(value, round_trip):
    again = round_trip(value)
    assert again == value and type(again) is type(value)
    assert getattr(again, "asked", None) == getattr(value, "asked", None)


def test_everything_public_is_tested_here():
    """A new public class needs a line in this file."""
    held = {type(value) for value in VALUES}
    held |= {
        dnn.Network,
        dnn.OptimizerState,
        dnn.Predictor,
        dnn.Cache,
        dnn.Event,
        dnn.RateCurve,
        dnn.DivergedError,
        dnn.Sampler,  # in test_sampler.py
        dnn.Stream,
    }
    abstract = {dnn.RowSource, dnn.Schedule, dnn.Initializer, dnn.NoProgressWarning, dnn.ModelFormatError}
    public = {getattr(dnn, name) for name in dnn.__all__}
    assert {each for each in public if isinstance(each, type)} <= held | abstract


@every_round_trip
def test_streams(round_trip):
    stream = dnn.Stream(dnn.sources.arrays(X, Y), buffer_rows=8, on_bad_rows="skip")
    again = round_trip(stream)
    assert (again.buffer_rows, again.prefetch, again.on_bad_rows) == (8, 1, "skip")
    nets = [Network([3, 1], random_state=0) for _ in range(2)]
    for net, given in zip(nets, (stream, again), strict=True):
        net.fit(given, epochs=2, batch_size=4)
    assert nets[0].params.tobytes() == nets[1].params.tobytes()


@every_round_trip
def test_histories_events_and_curves(round_trip):
    net = Network([3, 1], random_state=0)
    history = net.fit(X, Y, epochs=2)
    assert round_trip(history) == history
    event = Event(net, 1, history)
    event.stop()
    again = round_trip(event)
    assert again.stopped and again.epoch == 1 and again.history == history
    np.testing.assert_array_equal(again.net.params, net.params)
    curve = RateCurve(np.arange(3.0), np.ones(3), 0.1)
    np.testing.assert_array_equal(round_trip(curve).rates, curve.rates)
    error = DivergedError(3, 0.5, "it ran away")
    assert str(round_trip(error)) == str(error) and round_trip(error).epoch == 3
    for warning in (dnn.NoProgressWarning("slow"), dnn.ModelFormatError("slow")):
        assert round_trip(warning).args == ("slow",)


@every_round_trip
def test_networks(round_trip):
    net = Tagged([3, 4, 1], activation=LeakyReLU(0.3), dropout=0.2, random_state=0)
    net.freeze(0)
    net.fit(X, Y, epochs=2)
    net.tag = ["mine"]
    again = round_trip(net)
    assert type(again) is Tagged and again.frozen == net.frozen and again.tag == ["mine"]
    assert again.params.tobytes() == net.params.tobytes() and again.params is not net.params
    assert again.weights[0].base is not None and np.shares_memory(again.weights[0], again.params)
    for twin in (
        net,
        again,
    ):  # orders and masks are equal, because the state of the random numbers was copied
        twin.fit(X, Y, epochs=2, batch_size=8)
    assert again.params.tobytes() == net.params.tobytes()


OPTIMIZERS = [
    SGD(0.1), SGD(0.1, 0.9), SGD(0.1, 0.9, nesterov=True), Adam(), Adam(OnPlateau(0.1)), AdamW(0.01),
    RMSprop(momentum=0.5), Adam(WarmUp(2, OnPlateau(0.1))), Adam(counting()),
]  # fmt: skip


def steps(net, state, n):
    for i in range(n):
        _, cache = net.forward(X, training=True, seed=i)
        grad, _ = net.backward(cache, cache.A[-1] - Y, wrt="params")
        state.step(grad)
        state.schedule.observe(1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", OPTIMIZERS, ids=repr)
def test_a_custom_loop_continues_from_a_checkpoint(spec, dtype):
    """The loop gives the bits of an uninterrupted one, and the state still belongs to its network."""
    net = Network([3, 4, 1], dropout=0.2, random_state=0, dtype=dtype)
    state = net.optimizer(spec)
    steps(net, state, 3)
    held = {name: round_trip((net, state)) for name, round_trip in ROUND_TRIPS.items() if name != "copy"}
    alone = {name: round_trip(state) for name, round_trip in ROUND_TRIPS.items() if name != "copy"}
    steps(net, state, 4)
    for name, (twin, its) in [*held.items(), *((name, (state.net, state)) for name, state in alone.items())]:
        assert its.params is twin.params and its.net is twin, name
        assert its.n_steps == 3
        steps(twin, its, 4)
        assert twin.params.tobytes() == net.params.tobytes(), name
        assert its.slots.tobytes() == state.slots.tobytes(), name


def test_a_state_before_its_network():
    """The order in the tuple does not matter, nor does a network that refers to its state."""
    net = Network([3, 1], random_state=0)
    net.state = net.optimizer("adam")
    for round_trip in (round_trip for name, round_trip in ROUND_TRIPS.items() if name != "copy"):
        state, twin = round_trip((net.state, net))
        assert state.net is twin and twin.state is state and state.params is twin.params


def test_a_copied_state_has_its_own_moments():
    net = Network([3, 1], random_state=0)
    state = net.optimizer(Adam(OnPlateau(0.1)))
    steps(net, state, 2)
    twin = copy.copy(state)
    assert twin.net is net and not np.shares_memory(twin.slots, state.slots)
    assert twin.schedule is not state.schedule
    steps(net, twin, 1)
    assert (state.n_steps, twin.n_steps) == (2, 3)


def test_a_fit_continues_from_a_checkpoint():
    net = Network([3, 4, 1], dropout=0.2, random_state=0)
    state = net.optimizer(Adam(0.01))
    net.fit(X, Y, optimizer=state, epochs=2, batch_size=8)
    twin, its = pickle.loads(pickle.dumps((net, state)))
    net.fit(X, Y, optimizer=state, epochs=3, batch_size=8)
    twin.fit(X, Y, optimizer=its, epochs=3, batch_size=8)
    assert twin.params.tobytes() == net.params.tobytes()
    with pytest.raises(ValueError, match="optimizer must be a state of this network"):
        net.fit(X, Y, optimizer=its)


@every_round_trip
def test_predictors(round_trip):
    net = Network([3, 4, 2], output="softmax", random_state=0)
    predict = net.predictor()
    again = round_trip(predict)
    net.params[:] = 0
    out = np.empty((40, 2), np.float32)
    for twin in (again, round_trip(again)):
        assert twin(X).tobytes() == predict(X).tobytes() == twin(X, out=out).tobytes()
        assert twin(X[0]).tobytes() == predict(X[0]).tobytes() and twin(X[:1].tolist()).shape == (1, 2)


LABELS = np.where(X[:, 0] > 0, "yes", "no")


@every_round_trip
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs", dnn.RMSprop(WarmUp(1, OnPlateau(0.01)))], ids=str)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.filterwarnings("ignore")
def test_estimators(kind, solver, round_trip):
    if solver == "sgd":
        options = {"learning_rate": "adaptive"}
    else:
        options = {"dropout": 0.1} if solver == "adam" else {}
    est = kind(
        hidden_layer_sizes=4, solver=solver, max_iter=5, random_state=0, warm_start="optimizer", **options
    )
    y = LABELS if kind is MLPClassifier else X[:, 0]
    unfitted = round_trip(est)
    est.fit(X, y)
    again = round_trip(est)
    np.testing.assert_array_equal(again.predict(X), est.predict(X))
    assert unfitted.fit(X, y).coefs_[0].tobytes() == est.coefs_[0].tobytes()
    assert again.history_ == est.history_ and again.get_params() == est.get_params()
    methods = ["predict", "predict_proba"] if kind is MLPClassifier else [None]
    for method in methods:
        predict = est.predictor(method) if method else est.predictor()
        np.testing.assert_array_equal(round_trip(predict)(X), predict(X))
    if round_trip is copy.copy or solver == "lbfgs":  # a shallow copy has the same network
        return
    for twin in (est, again):
        twin.partial_fit(X, y)
    assert again.coefs_[0].tobytes() == est.coefs_[0].tobytes()


@every_round_trip
def test_the_error_of_pickling_a_cache(round_trip):
    _, cache = Network([3, 1]).forward(X)
    for thing in (cache, [cache]) if round_trip is not copy.copy else (cache,):
        with pytest.raises(TypeError, match=r"a Cache must not be pickled or copied: .* call forward again"):
            round_trip(thing)


def ask(predict, rows):
    return predict(rows)


def one_step(net, state):
    steps(net, state, 1)
    return net, state


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_other_processes(start):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {start}")
    net = Network([3, 4, 1], random_state=0)
    est = MLPClassifier(4, tol=9.0, random_state=0).fit(X, LABELS)
    state = net.optimizer("adam")
    asked = [net.predictor(), net, est.predict, est.predictor("predict_proba")]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(start)) as pool:
        for predict in asked:
            np.testing.assert_array_equal(pool.submit(ask, predict, X).result(60), predict(X))
        there, its = pool.submit(one_step, net, state).result(60)
    steps(net, state, 1)
    assert there.params.tobytes() == net.params.tobytes() and its.net is there


def test_joblib(tmp_path):
    joblib = pytest.importorskip("joblib")
    net = Network([3, 400, 1], random_state=0)  # large enough for joblib to map its arrays
    state = net.optimizer("adam")
    steps(net, state, 1)
    joblib.dump((net, state, net.predictor()), tmp_path / "all.joblib")
    for mode in (None, "r", "c"):
        twin, its, predict = joblib.load(tmp_path / "all.joblib", mmap_mode=mode)
        assert its.params is twin.params
        np.testing.assert_array_equal(predict(X), net(X))
        steps(twin, its, 1)
    steps(net, state, 1)
    assert twin.params.tobytes() == net.params.tobytes()
    answers = joblib.Parallel(2, max_nbytes=100)(joblib.delayed(ask)(net.predictor(), X) for _ in range(2))
    np.testing.assert_array_equal(answers[0], net(X))


def test_copies_and_pickles_are_the_same_network():
    X, y = small_examples()
    net = small_network(dropout=0.2)
    net.freeze(1)
    net.fit(X, y, epochs=2)
    for twin in (net.copy(), pickle.loads(pickle.dumps(net))):
        assert twin.params.tobytes() == net.params.tobytes() and not np.shares_memory(twin.params, net.params)
        assert twin.frozen == net.frozen and twin.dropout == net.dropout and twin.layers == net.layers
        original = net.copy()
        original.fit(X, y, epochs=2, batch_size=16)
        twin.fit(X, y, epochs=2, batch_size=16)  # its random numbers continue in the same way
        assert twin.params.tobytes() == original.params.tobytes()


def test_the_tables_of_the_core_are_pickled_by_name():
    """Otherwise pickle cannot send what a worker computes, and cloudpickle sends their classes whole."""
    for table in (dnn._core.ACTIVATIONS, dnn._core.LOSSES, dnn._core.OPTIMIZERS):
        for info in table.values():
            assert pickle.loads(pickle.dumps(info)) == info
