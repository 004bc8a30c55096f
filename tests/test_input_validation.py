"""Arguments give the right result or one clear error, and a refused call changes nothing."""

import threading

import numpy as np
import pytest
from scipy import sparse

import dnn
from dnn import SGD, Adam, Dense, He, Network, Normal, StepDecay

X = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(10, 2)).astype(np.float32)
CLASSES = np.arange(10) % 3


def regression():
    return Network([4, 5, 2], random_state=0)


def classification():
    return Network([4, 5, 3], output="softmax", random_state=0)


def yes_or_no():
    return Network([4, 1], output="sigmoid", random_state=0)


def changed(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


SPECS = [
    (lambda: Network([4]), TypeError, r"layers must be a list of sizes.*got \[4\]"),
    (lambda: Network(4), TypeError, "layers must be a list of sizes"),
    (lambda: Network([]), TypeError, "layers must be a list of sizes"),
    (lambda: Network([4, 0, 2]), ValueError, "a size in layers must be at least 1, got 0"),
    (lambda: Network([4, 2.5]), TypeError, "a size in layers must be a whole number, got 2.5"),
    (lambda: Network([4, True]), TypeError, "whole number, got True"),
    (lambda: Network([0, 2]), ValueError, "at least 1, got 0"),
    (lambda: Network([4, 3, 2], activation="rleu"), ValueError, "got 'rleu'; did you mean 'relu'"),
    (lambda: Network([4, 3, 2], activation="softmax"), ValueError, "hidden layer must not be 'softmax'"),
    (lambda: Network([4, 3, 2], activation=["relu", "tanh"]), ValueError, "one name, or 1 for 1 hidden"),
    (lambda: Network([4, 3, 2], activation=3), ValueError, "one name, or 1 for 1 hidden"),
    (lambda: Network([4, 3, 2], output="sofmax"), ValueError, "did you mean 'softmax'"),
    (lambda: Network([4, 3, 2], output="relu"), ValueError, "output must be one of"),
    (lambda: Network([4, 1], output="softmax"), ValueError, "at least 2 units, got 1"),
    (lambda: Network(4, [Dense(3, "relu"), Dense(1, "softmax")]), ValueError, "at least 2 units"),
    (lambda: Network(4, [Dense(2)], output="sigmoid"), ValueError, "must not be given"),
    (lambda: Network(4, [Dense(2)], activation="tanh"), ValueError, "must not be given"),
    (lambda: Network(4, [3, 2]), TypeError, "list of Dense and Dropout, got 3"),
    (lambda: Network(4, []), TypeError, "list of Dense and Dropout, at least one"),
    (lambda: Network(0, [Dense(2)]), ValueError, "number of inputs must be at least 1, got 0"),
    (lambda: Network([4, 2], init="hee"), ValueError, "did you mean 'he'"),
    (lambda: Network([4, 2], init=3), TypeError, "init must be one of"),
    (lambda: Network([4, 2], dtype="float16"), ValueError, "dtype must be float32 or float64"),
    (lambda: Network([4, 2], dtype="flaot"), ValueError, "dtype must be float32 or float64"),
    (lambda: Network([4, 2], random_state=-1), ValueError, "random_state must be at least 0, got -1"),
    (lambda: Network([4, 2], random_state="x"), TypeError, "random_state must be a whole number"),
    (lambda: Dense(0), ValueError, "units must be at least 1, got 0"),
    (lambda: Dense(3, "gellu"), ValueError, "activation must be one of"),
    (lambda: SGD(-0.1), ValueError, "rate must be finite and at least 0, got -0.1"),
    (lambda: SGD(float("nan")), ValueError, "rate must be finite"),
    (lambda: SGD("fast"), TypeError, "rate must be a number, got 'fast'"),
    (lambda: SGD(0.1, momentum=1.0), ValueError, "momentum must be finite and at least 0 and below 1"),
    (lambda: SGD(0.1, nesterov=True), ValueError, "nesterov must have a momentum above 0"),
    (lambda: SGD(0.1, 0.9, nesterov=True, averaged=True), ValueError, "must not both be True"),
    (lambda: Adam(beta2=1.5), ValueError, "beta2 must be finite and at least 0 and below 1"),
    (lambda: Adam(epsilon=-1), ValueError, "epsilon must be finite and at least 0"),
    (lambda: Adam(epsilon_form="papre"), ValueError, "did you mean 'paper'"),
    (lambda: StepDecay(0.1, factor=2.0), ValueError, "factor must be finite and above 0 and below 1"),
    (lambda: StepDecay(0.1, every=0), ValueError, "every must be at least 1, got 0"),
    (lambda: Normal(-1.0), ValueError, "scale must be finite and at least 0"),
    (lambda: He("nromal"), ValueError, "did you mean 'normal'"),
]


@pytest.mark.parametrize(("make", "kind", "message"), SPECS)
def test_a_spec_is_checked_when_it_is_made(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


BAD_FITS = [
    (
        regression,
        changed(X, (3, 2), np.nan),
        Y,
        {},
        ValueError,
        "X must be finite, got nan in row 3, column 2",
    ),
    (
        regression,
        changed(X, (0, 0), np.inf),
        Y,
        {},
        ValueError,
        "X must be finite, got inf in row 0, column 0",
    ),
    (
        regression,
        X,
        changed(Y, (9, 1), np.nan),
        {},
        ValueError,
        "y must be finite, got nan in row 9, column 1",
    ),
    (regression, X.T, Y, {}, ValueError, r"\(n_samples, 4\), got \(4, 10\): did you mean X.T\?"),
    (regression, X[:, :3], Y, {}, ValueError, r"X must have shape \(n_samples, 4\), got \(10, 3\)"),
    (regression, X[None], Y, {}, ValueError, r"X must have shape \(n_samples, 4\), got \(1, 10, 4\)"),
    (regression, X[:0], Y[:0], {}, ValueError, "X must have at least one row"),
    (regression, np.zeros((10, 0)), Y, {}, ValueError, r"X must have shape \(n_samples, 4\), got \(10, 0\)"),
    (regression, X, Y.T, {}, ValueError, r"y must have shape \(10, 2\), got \(2, 10\): did you mean y.T\?"),
    (regression, X, Y[:9], {}, ValueError, r"y must have shape \(10, 2\), got \(9, 2\)"),
    (regression, X, Y[:, 0], {}, ValueError, r"y must have shape \(10, 2\), got \(10,\)"),
    (regression, X, Y * 1j, {}, TypeError, "y must hold real numbers, got complex"),
    (regression, X * 1j, Y, {}, TypeError, "X must hold real numbers, got complex"),
    (regression, X.astype(str), Y, {}, TypeError, "X must hold real numbers, got <U"),
    (regression, [["a"] * 4] * 10, Y, {}, TypeError, "X must hold real numbers"),
    (regression, [[object()] * 4] * 10, Y, {}, TypeError, "X must hold numbers, got objects"),
    (
        regression,
        [[1, 2, 3, 4], [1, 2]],
        Y,
        {},
        ValueError,
        "X must be an array, got rows of different lengths",
    ),
    (regression, sparse.csr_matrix(X), Y, {}, TypeError, r"X must be dense, got a sparse csr.*X.toarray\(\)"),
    (
        regression,
        X.astype(np.float64) * 1e300,
        Y,
        {},
        ValueError,
        "X must fit float32, got .*dtype='float64'",
    ),
    (regression, np.ma.masked_greater(X, 1), Y, {}, ValueError, "X must not be masked"),
    (
        classification,
        X,
        changed(CLASSES, 5, 3),
        {},
        ValueError,
        r"y must hold classes 0 .. 2, got 3 in row 5",
    ),
    (classification, X, changed(CLASSES, 5, -1), {}, ValueError, "got -1 in row 5"),
    (classification, X, CLASSES + 0.5, {}, ValueError, "y must hold whole numbers 0 .. 2"),
    (classification, X, CLASSES[:9], {}, ValueError, "y must have 10 rows, as X has, got 9"),
    (classification, X, CLASSES[:, None], {}, ValueError, r"did you mean y.ravel\(\)\?"),
    (classification, X, np.eye(3)[CLASSES] * 2, {}, ValueError, r"y must be in \[0, 1\]"),
    (
        classification,
        X,
        np.eye(3)[CLASSES] * 0.9,
        {},
        ValueError,
        "rows of y must sum to 1, got 0.9 in row 0",
    ),
    (classification, X, np.array(list("abcabcabca")), {}, TypeError, "y must hold real numbers"),
    (yes_or_no, X, CLASSES, {}, ValueError, r"y must be in \[0, 1\] for log_loss, got 2"),
    (yes_or_no, X, -CLASSES, {}, ValueError, r"y must be in \[0, 1\] for log_loss, got -2"),
    (
        regression,
        X,
        Y,
        {"loss": "log_loss"},
        ValueError,
        "must have an output of sigmoid or softmax, got 'identity'",
    ),
    (
        classification,
        X,
        CLASSES,
        {"loss": "squared_error"},
        ValueError,
        "must have an output of an element-wise",
    ),
    (regression, X, Y, {"loss": "squared_eror"}, ValueError, "did you mean 'squared_error'"),
    (regression, X, Y, {"optimizer": "adma"}, ValueError, "did you mean 'adam'"),
    (regression, X, Y, {"optimizer": 0.1}, TypeError, "optimizer must be one of"),
    (regression, X, Y, {"optimizer": regression().optimizer("sgd")}, ValueError, "a state of this network"),
    (regression, X, Y, {"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
    (regression, X, Y, {"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    (regression, X, Y, {"batch_size": 2.0}, TypeError, "batch_size must be a whole number"),
    (regression, X, Y, {"alpha": -1}, ValueError, "alpha must be finite and at least 0, got -1"),
    (regression, X, Y, {"sample_weight": np.ones(9)}, ValueError, r"sample_weight must have shape \(10,\)"),
    (regression, X, Y, {"sample_weight": -np.ones(10)}, ValueError, "sample_weight must not be negative"),
    (
        regression,
        X,
        Y,
        {"sample_weight": np.zeros(10)},
        ValueError,
        "sample_weight must not be 0 in every row",
    ),
    (regression, X, Y, {"sample_weight": np.full(10, np.nan)}, ValueError, "sample_weight must be finite"),
    (regression, X, Y, {"patience": 3}, ValueError, "patience must come with X_val"),
    (regression, X, Y, {"X_val": X}, ValueError, "y_val must be given"),
    (regression, X, Y, {"y_val": Y}, ValueError, "X_val must be given"),
    (regression, X, Y, {"X_val": X.T, "y_val": Y}, ValueError, r"X_val must have shape .* X_val.T"),
    (regression, X, Y, {"X_val": X, "y_val": Y.T}, ValueError, r"y_val must have shape .* y_val.T"),
    (regression, X, Y, {"order": [1, 2]}, TypeError, "order must be a function"),
    (regression, X, Y, {"order": lambda epoch: [0, 1]}, ValueError, "order must give 10 row numbers"),
    (regression, X, Y, {"order": lambda epoch: np.arange(10) + 1}, ValueError, "row numbers 0 .. 9"),
]


@pytest.mark.parametrize(("make", "X", "y", "options", "kind", "message"), BAD_FITS)
def test_a_refused_fit_changes_nothing(make, X, y, options, kind, message):
    net = make()
    before = net.params.copy()
    with pytest.raises(kind, match=message):
        net.fit(X, y, **options)
    np.testing.assert_array_equal(net.params, before)
    net.fit(np.zeros((3, 4)), np.zeros((3, 2)) if net.n_outputs == 2 else np.zeros(3, int), epochs=1)


def test_one_dimensional_x():
    net = Network([1, 1], random_state=0)
    with pytest.raises(ValueError, match=r"got \(10,\): did you mean X\[:, None\]\?"):
        net.fit(np.arange(10.0), np.arange(10.0))
    with pytest.raises(ValueError, match=r"X must have shape \(n_samples, 4\), got \(3,\)"):
        regression()(np.zeros(3))
    net.fit(np.arange(10.0)[:, None], np.arange(10.0), epochs=1)
    net.fit(np.arange(10.0)[:, None], np.arange(10.0)[:, None], epochs=1)


def test_wrong_calls_of_forward_backward_and_step():
    net = regression()
    out, cache = net.forward(X)
    for call, kind, message in (
        (lambda: net.backward(cache, out.T), ValueError, r"d_out must have shape \(10, 2\), got \(2, 10\)"),
        (lambda: net.backward(cache, out[:9]), ValueError, "d_out must have shape"),
        (lambda: net.backward(cache, out * 1j), TypeError, "d_out must hold real numbers"),
        (lambda: net.backward(regression().forward(X)[1], out), ValueError, "this network's forward"),
        (lambda: net.backward(None, out), ValueError, "this network's forward"),
        (lambda: net.backward(cache, out, wrt="inputs"), ValueError, "did you mean 'input'"),
        (lambda: net.optimizer("sgd").step(np.zeros(3)), ValueError, "grad must have shape"),
        (lambda: net.optimizer("sgd").step(net.params, rate=-1), ValueError, "rate must be finite"),
        (
            lambda: net(X, out=np.zeros((10, 2))),
            ValueError,
            r"out must be float32 \(10, 2\), got float64 \(10, 2\)",
        ),
        (lambda: net(X, out=np.zeros((9, 2), "f4")), ValueError, "out must be float32"),
        (lambda: net(X, out=np.zeros((2, 10), "f4").T), ValueError, "in C order"),
        (lambda: net(X, out=[0.0]), TypeError, "out must be an array"),
        (lambda: dnn.check_gradient(net, X, Y, gradient=np.zeros(3)), ValueError, "gradient must have shape"),
    ):
        with pytest.raises(kind, match=message):
            call()
    net.optimizer("sgd").step(net.params * 0)
    with pytest.raises(ValueError, match="a forward after the last step"):
        net.backward(cache, out)  # a cache of the old weights and the new weights together give no gradient
    single = Network([4, 1], random_state=0)
    out, cache = single.forward(X)
    np.testing.assert_array_equal(single.backward(cache, out)[0], single.backward(cache, out.ravel())[0])
    with pytest.raises(ValueError, match=r"got \(10, 10\): did you mean y\[:, None\]\?"):
        single.backward(cache, out - Y[:, 0])
    square = Network([2, 2], random_state=0)
    shared = np.zeros((5, 2), np.float32)
    with pytest.raises(ValueError, match="out must not overlap X"):
        square(shared, out=shared)
    frozen = np.zeros((10, 2), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writable"):
        net(X, out=frozen)


def laid_out(array):
    """The same elements in every layout that NumPy has."""
    yield "read-only", np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
    yield "every other row", np.repeat(array, 2, axis=0)[::2]
    yield "every other column", np.repeat(array, 2, axis=1)[:, ::2]
    yield "some columns", np.hstack([array, array])[:, : array.shape[1]]
    yield "backwards", array[::-1][::-1]
    yield "reversed", np.ascontiguousarray(array[::-1])[::-1]
    yield "reversed columns", np.ascontiguousarray(array[:, ::-1])[:, ::-1]
    yield "Fortran", np.asfortranarray(array)
    yield "broadcast rows", np.broadcast_to(array[:1], array.shape)
    yield "little-endian, said so", array.astype(array.dtype.newbyteorder("<"))
    yield "big-endian", array.astype(array.dtype.newbyteorder(">"))
    yield "float64", array.astype(np.float64)
    yield "list", array.tolist()
    yield "objects", array.astype(object)
    unaligned = np.zeros(array.nbytes + 1, np.uint8)[1:]
    unaligned[:] = np.frombuffer(array.tobytes(), np.uint8)
    yield "unaligned", unaligned.view(array.dtype).reshape(array.shape)


def small_integers(array):
    for dtype in (
        "int8",
        "uint8",
        "int16",
        "int32",
        "int64",
        "uint64",
        "float16",
        "bool",
        ">i4",
        "longdouble",
    ):
        yield dtype, (np.abs(array) > 0.5).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_layout_and_real_dtype_gives_the_same_results(dtype):
    for name, given in [*laid_out(X), *small_integers(X)]:
        plain = np.array(np.asarray(given, dtype=np.float64), dtype=dtype, order="C")
        a, b = (Network([4, 5, 2], dtype=dtype, random_state=0) for _ in range(2))
        np.testing.assert_array_equal(a(given), a(plain), err_msg=name)
        np.testing.assert_array_equal(a.forward(given)[0], a.forward(plain)[0], err_msg=name)
        a.fit(given, Y, epochs=2, batch_size=3, shuffle=False)
        b.fit(plain, Y, epochs=2, batch_size=3, shuffle=False)
        assert a.params.tobytes() == b.params.tobytes(), name
    for name, given in laid_out(Y):
        a, b = (Network([4, 5, 2], dtype=dtype, random_state=0) for _ in range(2))
        a.fit(X, given, epochs=2, batch_size=3)
        b.fit(X, np.array(np.asarray(given, dtype=np.float64), dtype=dtype), epochs=2, batch_size=3)
        assert a.params.tobytes() == b.params.tobytes(), name
    for classes in (CLASSES.astype(t) for t in ("int8", "uint8", "int32", ">i8", "uint64", "float32")):
        a, b = (Network([4, 3], output="softmax", dtype=dtype, random_state=0) for _ in range(2))
        a.fit(X, classes, epochs=2)
        b.fit(X, CLASSES, epochs=2)
        assert a.params.tobytes() == b.params.tobytes(), classes.dtype


def test_x_in_the_right_layout_is_not_copied():
    from dnn.data import arrays as data

    for given in (X, X[::2], X[:, :3], np.hstack([X, X])[:, :4]):
        read = data.features(given, np.dtype(np.float32), given.shape[1])
        assert np.shares_memory(read, X) or np.shares_memory(read, given)
        assert read.strides == given.strides


def test_prediction_checks_overflow_but_not_nan():
    net = regression()
    assert np.isnan(net(changed(X, (0, 0), np.nan))[0]).all()
    net(changed(X, (0, 0), np.inf))  # prediction accepts infinite inputs
    with pytest.raises(ValueError, match="X must fit float32"):
        net(changed(X.astype(np.float64), (0, 0), 1e300))
    net(changed(X.astype(np.float64), (0, 0), np.inf))  # it was infinite before the conversion


def test_threads_may_predict_together():
    net = classification()
    expected = net(X).tobytes()
    wrong = []

    def work():
        for _ in range(200):
            out, cache = net.forward(X)
            net.backward(cache, out)
            if net(X).tobytes() != expected:
                wrong.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
