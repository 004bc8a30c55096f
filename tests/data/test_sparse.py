"""A sparse X trains and predicts as the dense X does, at a cost of the stored elements only."""

import json
import subprocess
import sys

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from random_networks import OPTIMIZERS, draw, pick
from sklearn.exceptions import ConvergenceWarning
from training_warnings import quietly

import dnn
from dnn import SGD, Adam, AdamW, MLPClassifier, MLPRegressor, RMSprop, _core
from dnn.data import arrays as data
from dnn.data.sparse import SparseRows
from dnn.losses import loss_of
from dnn.training.options import FitOptions
from dnn.training.problem import Problem, losses_of_rows

N_THREADS = (1, 2, 3, 5)


def sparse_matrix(n, m, density=0.1, seed=0, dtype=np.float64):
    """Return a random sparse matrix, some of whose rows and columns are empty."""
    rng = np.random.default_rng(seed)
    X = sp.random_array((n, m), density=density, rng=rng, data_sampler=rng.standard_normal, format="lil")
    X[n // 2] = 0
    X[:, m // 3] = 0
    return sp.csr_array(X).astype(dtype)


def problem_of(net, X, y, loss, sample_weight=None, alpha=0.0, l1=0.0, n_threads=0):
    """Return the training problem of a sparse X, or of the same rows as a dense array."""
    spec = loss_of(loss, net.layers[-1].info.name, net.n_outputs)
    targets = data.targets(y, spec, X.shape[0], net.n_outputs, net.dtype)
    rows = SparseRows(X, net.dtype) if sp.issparse(X) else np.ascontiguousarray(X, net.dtype)
    return Problem(net.plan, net.params, rows, targets, sample_weight, spec, alpha, l1, n_threads=n_threads)


def train(net, X, y, *, loss, optimizer, orders=None, seed=0, epochs=2, batch_size=7, **settings):
    """Train as `Network.fit` does, with a sparse X too; settings are those of the problem or of the fit."""
    names = settings.keys() & {"sample_weight", "alpha", "l1", "n_threads"}
    problem = problem_of(net, X, y, loss, **{name: settings.pop(name) for name in names})
    if orders:
        settings["order"], epochs = orders.__getitem__, len(orders)
    options = FitOptions(epochs=epochs, batch_size=batch_size, record="step", **settings)
    return net._train(problem, net.optimizer(optimizer), options, np.random.default_rng(seed))


def few_stored(X, rng):
    """Return X with most of its elements set to 0, dense and sparse."""
    X = np.where(rng.random(X.shape) < 0.4, X, 0)
    return X, sp.csr_array(X)


@pytest.mark.parametrize("fifty", range(4))
def test_gradients_of_random_networks(fifty, isa_drawn):
    """Gradients and losses equal those of the oracle, for all losses, activations, weights and penalties."""
    for seed in range(fifty * 50, fifty * 50 + 50):
        net, activations, X, y, spec, oracle_loss, options, rng = draw(seed)
        isa_drawn(rng)
        X, S = few_stored(X, rng)
        problem = problem_of(net, S, y, spec, **options)
        grad = np.empty(net.n_params)
        cost = sum(problem.cost_and_gradient(net.params, grad))
        exact = reference.cost_and_gradient(
            net.weights, net.biases, activations, X, y, oracle_loss, **options
        )
        assert abs(cost - exact[0]) <= 1e-10 * max(1.0, abs(exact[0])), seed
        assert np.linalg.norm(grad - exact[1]) <= 1e-9 * max(1.0, np.linalg.norm(exact[1])), seed
        direction = rng.normal(size=net.n_params)
        direction /= np.linalg.norm(direction)
        unused = np.empty_like(grad)
        above, below = (
            sum(problem.cost_and_gradient(net.params + side * direction, unused)) for side in (1e-6, -1e-6)
        )
        slope, found = direction @ grad, (above - below) / 2e-6
        assert abs(slope - found) <= 1e-6 * max(1.0, abs(slope) + abs(found), abs(cost)), seed
        of_rows = losses_of_rows(problem.plan, net.params, problem.X, problem.loss, problem.targets)
        np.testing.assert_allclose(of_rows, net.losses(X, y, loss=spec), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("fifty", range(4))
@pytest.mark.filterwarnings("ignore::dnn.NoProgressWarning")
def test_trainings_of_random_networks(fifty, isa_drawn):
    """Trainings equal those of the oracle, for every optimizer, one and two sweeps, and all options."""
    for seed in range(fifty * 50, fifty * 50 + 50):
        net, activations, X, y, spec, oracle_loss, options, rng = draw(seed)
        isa_drawn(rng)
        X, S = few_stored(X, rng)
        layers = [dnn.Dense(layer.units, layer.activation) for layer in net.layers]
        net = dnn.Network(net.n_inputs, layers, dtype="float64", random_state=seed)
        if "exp" in [activation for activation in activations if isinstance(activation, str)]:
            net.params[:] *= 0.3
        optimizer, make = pick(rng, OPTIMIZERS)
        batch = int(rng.integers(1, len(X) + 1))
        rules = {"batch_size": batch, "clip_norm": pick(rng, [None, 0.5]), "ema": pick(rng, [None, 0.9])}
        if pick(rng, [True, False]):
            options |= {"alpha": 0.0, "l1": 0.0}  # only the weights that a batch touches are updated
        frozen = [int(i) for i in range(len(net.layers)) if rng.random() < 0.2]
        net.freeze(*frozen)
        orders = [rng.permutation(len(X)) for _ in range(3)]
        weights, biases = [W.copy() for W in net.weights], [b.copy() for b in net.biases]
        history = train(
            net, S, y, loss=spec, optimizer=optimizer, orders=orders, two_sweeps=pick(rng, [None, True]),
            **rules, **options,
        )  # fmt: skip
        found = reference.fit(
            weights, biases, activations, X, y, loss=oracle_loss, optimizer=make(), orders=orders,
            frozen=frozen, rates=np.full(3 * -(-len(X) // batch), optimizer.rate),
            weight_decay=getattr(optimizer, "weight_decay", 0.0), **rules, **options,
        )  # fmt: skip
        np.testing.assert_allclose(history.step_loss, found[2], rtol=1e-8, atol=1e-9, err_msg=str(seed))
        np.testing.assert_allclose(net.params, found[0] if rules["ema"] is None else found[-1], rtol=0,
            atol=1e-8 * max(1.0, float(np.abs(found[0]).max())), err_msg=str(seed))  # fmt: skip


WIDE = [  # units of the first layer: one, some, more than a tile of columns, more than a block of columns
    ("one unit", [5000, 1], 40, 0.01),
    ("many columns", [20_000, 24, 3], 60, 0.001),
    ("wide layer", [700, 600, 3], 40, 0.05),
    ("large batch", [900, 20, 3], 1200, 0.02),
]
STEPS = [
    ("touched", SGD(0.1), {}),
    ("penalty", SGD(0.1), {"alpha": 0.3, "l1": 0.01}),
    ("momentum", SGD(0.1, 0.9), {}),
    ("clipped", SGD(0.1), {"clip_norm": 0.01}),
    ("averaged", SGD(0.1), {"ema": 0.8}),
    ("decay", AdamW(0.01, weight_decay=0.1), {"alpha": 0.1}),
    ("rmsprop", RMSprop(0.01), {}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "sizes", "n", "density"), WIDE, ids=[row[0] for row in WIDE])
@pytest.mark.parametrize(("step", "optimizer", "options"), STEPS, ids=[row[0] for row in STEPS])
def test_wide_sparse_inputs_train_as_dense_ones(
    kind, sizes, n, density, step, optimizer, options, dtype, isa
):
    """There are several blocks of columns and tiles of units. Results equal those of dense rows with the same
    dropout masks, and have the same bits for any number of threads and any chunking.
    """
    X = sparse_matrix(n, sizes[0], density)
    y = np.arange(n) % 3 if sizes[-1] == 3 else np.asarray(X.sum(axis=1))
    output, loss = ("softmax", "log_loss") if sizes[-1] == 3 else ("identity", "squared_error")
    batch = 600 if n > 1000 else 16
    rate = [0.3, *[0.2] * (len(sizes) - 2)]

    def trained(X, **settings):
        net = dnn.Network(sizes, output=output, dropout=rate, dtype=dtype, random_state=0)
        settings = {"epochs": 3, "batch_size": batch, **options, **settings}
        history = train(net, X, y, loss=loss, optimizer=optimizer, **settings)
        return net.params.copy(), history.step_loss

    dense = trained(X.toarray())
    sparse = [trained(X, n_threads=k, chunk=c) for k, c in zip(N_THREADS, (5e9, 1, 1, 5e9), strict=True)]
    close = 1e-9 if dtype == "float64" else 2e-3
    np.testing.assert_allclose(sparse[0][1], dense[1], rtol=close)
    np.testing.assert_allclose(sparse[0][0], dense[0], rtol=0, atol=close * max(1, np.abs(dense[0]).max()))
    for params, costs in sparse[1:]:
        np.testing.assert_array_equal(params, sparse[0][0])
        assert costs == sparse[0][1]


def test_a_full_batch_gives_the_same_bits_for_any_number_of_threads(isa):
    X = sparse_matrix(3000, 2000, 0.01)
    net = dnn.Network([2000, 40, 3], output="softmax", dtype="float64", random_state=0)
    found = []
    for n_threads in N_THREADS:
        problem = problem_of(net, X, np.arange(3000) % 3, "log_loss", n_threads=n_threads)
        grad, out = np.empty(net.n_params), np.empty((3000, 3))
        _core.predict(net.plan, net.params, problem.X.core, out, False, n_threads)
        found.append((problem.cost_and_gradient(net.params, grad), grad, out))
    for cost, grad, out in found[1:]:
        assert cost == found[0][0]
        np.testing.assert_array_equal(grad, found[0][1])
        np.testing.assert_array_equal(out, found[0][2])
    np.testing.assert_allclose(found[0][2], net(X.toarray()), rtol=1e-12)
    one = np.empty((1, 3))
    _core.predict(net.plan, net.params, SparseRows(X[[7]], net.dtype).core, one)
    np.testing.assert_array_equal(one[0], found[0][2][7])


def test_gradient_descent_leaves_untouched_weights_unchanged():
    """Penalties, weight decay and momentum change all weights."""
    X = sparse_matrix(50, 3000, 0.001)
    y = np.arange(50) % 2
    touched = np.diff(sp.csc_array(X).indptr) > 0
    assert 20 < touched.sum() < 1000
    for optimizer, options, moves in (
        (SGD(0.5), {}, False),
        (Adam(0.01), {}, False),
        (SGD(0.5), {"alpha": 0.1}, True),
        (SGD(0.5), {"l1": 0.1}, True),
        (AdamW(0.01), {}, True),
    ):
        net = dnn.Network([3000, 4, 1], output="sigmoid", dtype="float64", random_state=0)
        before = net.weights[0].copy()
        train(net, X, y, loss="log_loss", optimizer=optimizer, **options)
        changed = (net.weights[0] != before).any(axis=1)
        assert changed[touched].mean() > 0.9
        assert changed[~touched].all() if moves else not changed[~touched].any()


# The estimators


def duplicated(X):
    """Return the same matrix with each element stored as two summands, in another order, and stored zeros."""
    X = sp.coo_array(X)
    rows, columns = np.append(X.coords[0], X.coords[0]), np.append(X.coords[1], X.coords[1])
    values = np.append(0.25 * X.data, 0.75 * X.data)
    rows, columns, values = np.append(rows, 0), np.append(columns, 3), np.append(values, 0.0)
    order = np.random.default_rng(0).permutation(len(values))
    order = order[np.argsort(rows[order], kind="stable")]
    indptr = np.searchsorted(rows[order], np.arange(X.shape[0] + 1))
    return sp.csr_array((values[order], columns[order], indptr), shape=X.shape)


def long_indices(X):
    X = sp.csr_array(X)
    X.indptr, X.indices = X.indptr.astype(np.int64), X.indices.astype(np.int64)
    return X


def read_only(X):
    X = sp.csr_array(X)
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    return X


FORMS = {
    "csr_matrix": sp.csr_matrix, "csr_array": sp.csr_array, "csc": sp.csc_array, "coo": sp.coo_array,
    "lil": sp.lil_matrix, "dok": sp.dok_array, "dia": sp.dia_array, "bsr": sp.bsr_array,
    "duplicates": duplicated, "int64": long_indices, "read-only": read_only,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_every_sparse_format(form, solver):
    X = sparse_matrix(60, 40)
    y = np.arange(60) % 3
    given = FORMS[form](X)
    before = {
        name: getattr(given, name).copy() for name in ("data", "indices", "indptr") if hasattr(given, name)
    }
    options = {"solver": solver, "max_iter": 5, "random_state": 0}
    dense, sparse = quietly(MLPClassifier(9, **options), X.toarray(), y), MLPClassifier(9, **options)
    quietly(sparse, given, y)
    np.testing.assert_allclose(sparse.coefs_[0], dense.coefs_[0], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(sparse.predict_proba(given), dense.predict_proba(X.toarray()), rtol=1e-7)
    assert sparse.score(given, y) == dense.score(X.toarray(), y)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(given, name), array)
        assert getattr(given, name).dtype == array.dtype


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float32, np.float64])
def test_every_dtype_of_stored_values(dtype):
    X = (abs(sparse_matrix(60, 40)) * 3).astype(dtype)
    y = np.asarray(X.sum(axis=1), float) + np.arange(60)
    dense, sparse = (
        quietly(MLPRegressor(hidden_layer_sizes=9, max_iter=5, random_state=0), rows, y)
        for rows in (X.toarray(), X)
    )
    assert sparse.coefs_[0].dtype == (np.float32 if dtype is np.float32 else np.float64)
    np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(sparse.predict(X), dense.predict(X.toarray()), rtol=1e-4, atol=1e-5)


OPTIONS = {
    "sgd": {"solver": "sgd", "alpha": 0.0, "momentum": 0.0},
    "momentum": {"solver": "sgd"},
    "input dropout": {"dropout": (0.4, 0.2)},
    "penalties": {"l1": 0.01, "weight_decay": 0.1},
    "clipped": {"clip_norm": 0.05},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "own score": {"early_stopping": True, "scoring": "f1_macro"},
    "classes": {"class_weight": {"a": 2.0}, "label_smoothing": 0.1},
    "rms": {"solver": "rmsprop", "schedule": dnn.OnPlateau(0.01)},
    "whole batch": {"batch_size": 60, "shuffle": False},
    "two layers": {"hidden_layer_sizes": (9, 5), "activation": "gelu"},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "lbfgs": {"solver": "lbfgs"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_method_of_an_estimator(name):
    """fit with weights and a validation set, a warm start, partial_fit and all methods of prediction."""
    X, V = sparse_matrix(60, 40), sparse_matrix(20, 40, seed=1)
    y, w = (
        np.array(["a", "b", "c"])[np.arange(60) % 3],
        np.random.default_rng(0).integers(0, 3, 60).astype(float),
    )
    ours = []
    for turn in (lambda A: A.toarray(), lambda A: A):
        est = MLPClassifier(**{"hidden_layer_sizes": 9, "max_iter": 3, "random_state": 0, **OPTIONS[name]})
        own = {} if "early_stopping" in OPTIONS[name] else {"X_val": turn(V), "y_val": y[:20]}
        quietly(est, turn(X), y, sample_weight=w, **own)
        curves = [*est.loss_curve_, *(est.validation_scores_ or ())]
        quietly(est.set_params(warm_start=True, max_iter=2), turn(X), y)
        if hasattr(est, "partial_fit"):
            est.partial_fit(turn(X), y)
        asked = [est.predict_proba(turn(V)), est.decision_function(turn(V)), est.input_gradient(turn(V))]
        if est.hidden_layer_sizes != ():
            asked += [est.hidden_layer(turn(V), 0), est.hidden_layer(turn(V))]
        ours.append([np.array(curves), est.coefs_[0], *asked, np.array(est.score(turn(V), y[:20]))])
    for dense, sparse in zip(*ours, strict=True):
        assert dense.shape == sparse.shape
        np.testing.assert_allclose(sparse, dense, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "poisson", dnn.Quantile((0.2, 0.8))]
)
def test_every_loss_of_the_regressor(loss):
    X = sparse_matrix(60, 40)
    y = np.abs(np.asarray(X.sum(axis=1)))
    y = np.column_stack([y, y + 1]) if loss == "squared_error" else y
    dense, sparse = (
        quietly(MLPRegressor(loss, 9, max_iter=5, random_state=0, early_stopping=True), rows, y)
        for rows in (X.toarray(), X)
    )
    np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(sparse.predict(X), dense.predict(X.toarray()), rtol=1e-8)
    np.testing.assert_allclose(
        sparse.input_gradient(X), dense.input_gradient(X.toarray()), rtol=1e-7, atol=1e-12
    )


def test_empty_rows_are_rows_of_zeros():
    X, y = sp.csr_array((30, 50)), np.arange(30) % 2
    dense, sparse = (
        quietly(MLPClassifier(4, max_iter=3, random_state=0), rows, y) for rows in (X.toarray(), X)
    )
    np.testing.assert_allclose(sparse.predict_proba(X), dense.predict_proba(X.toarray()), rtol=1e-12)
    np.testing.assert_array_equal(sparse.coefs_[0].shape, (50, 4))


def test_means_and_standard_deviations_of_columns():
    X = sparse_matrix(60, 40) * 1000 + sp.csr_array(np.full((60, 1), 1e6) * (np.arange(40) == 7))
    for rows in (X, duplicated(X)):
        mean, std = SparseRows(rows, np.dtype("float64")).column_moments(2)
        np.testing.assert_allclose(mean, X.toarray()[::2].mean(axis=0), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(std, X.toarray()[::2].std(axis=0), rtol=1e-9, atol=1e-9)
    with pytest.warns(ConvergenceWarning, match=r"column 7 has a spread of .* around 1e\+06"):
        MLPClassifier(2, max_iter=1).fit(X, np.arange(60) % 2)


def test_wrong_arguments():
    X, y = sparse_matrix(30, 50), np.arange(30) % 2
    est = quietly(MLPClassifier(4, max_iter=2, random_state=0), X.astype(np.float32), y)
    for value in (np.nan, np.inf):
        bad = X.copy()
        bad.data[3] = value
        for call in (est.predict, est.input_gradient, est.hidden_layer, lambda rows: est.fit(rows, y)):
            with pytest.raises(ValueError, match=r"NaN|infinity"):
                call(bad)
    large = X.copy()
    large.data[3] = 1e300
    with pytest.raises(ValueError, match=r"X must fit float32, got 1e\+300: scale it"):
        est.predict(large)
    with pytest.raises(ValueError, match="51 features"):
        est.predict(sparse_matrix(30, 51))
    with pytest.raises(ValueError, match="fewer than"):
        SparseRows(sp.csr_array((1, 1 << 31)), np.dtype("float32"))
    for indices, indptr, match in (
        ([0, 50], [0, 1, 2], r"columns 0 \.\. 49, got 50"),
        ([0, -1], [0, 1, 2], r"columns 0 \.\. 49, got -1"),
        ([0, 1], [0, 2, 1], "decrease"),
        ([0, 1], [0, 1, 3], "indptr"),
        ([0, 1], [1, 1, 2], "indptr"),
    ):
        with pytest.raises(ValueError, match=match):
            _core.SparseMatrix(np.array(indptr, np.int64), np.array(indices, np.int32), np.ones(2), 50)


def test_an_input_gradient_larger_than_memory():
    X = sp.random_array((20_000, 100_000), density=1e-6, format="csr", rng=np.random.default_rng(0))
    est = quietly(MLPClassifier(2, max_iter=1, batch_size=20_000, random_state=0), X, np.arange(20_000) % 90)
    with pytest.raises(MemoryError, match=r"20000 rows, of 90 outputs by 100000 inputs, has 1440 GB"):
        est.input_gradient(X)
    assert est.input_gradient(X[:2]).shape == (2, 90, 100_000)


CHILD = """
import json, sys, warnings
from pathlib import Path
import numpy as np, scipy.sparse as sp
from dnn import MLPClassifier
warnings.simplefilter("ignore")

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))

n, m, stored = 2000, 60_000, 100
rng = np.random.default_rng(0)
values, columns = rng.random(n * stored, np.float32), rng.integers(0, m, n * stored)
X = sp.csr_array((values, columns, np.arange(n + 1) * stored), (n, m))
y = np.arange(n) % 2
options = json.loads(sys.argv[1])
MLPClassifier(4, max_iter=2, **options).fit(X[:, :50], y).predict(X[:, :50])
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
est = MLPClassifier(100, max_iter=2, n_threads=2, **options).fit(X, y)
est.predict(X), est.hidden_layer(X)
print((status("VmHWM") - before) / est._net.params.nbytes)
"""


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("options", "state"),
    [({"solver": "sgd", "momentum": 0.0, "alpha": 0.0}, 0), ({"solver": "sgd"}, 1), ({"solver": "adam"}, 2)],
)
def test_memory(options, state):
    """Training needs two copies of the parameters and of the optimizer state, one of them as a backup, and
    14 MB, most of which is workspace for matrix products and rows of a batch. Dense rows would have 480 MB.
    """
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(options)], capture_output=True, text=True, check=True
    )
    assert float(ran.stdout) < 2 * (1 + state) + 0.6
