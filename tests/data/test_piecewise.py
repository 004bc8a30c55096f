"""Rows with piecewise-linear columns train and predict as the dense rows that they stand for do."""

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from random_networks import OPTIMIZERS, draw, pick

import dnn
from dnn import SGD, Adam, AdamW, RMSprop, _core
from dnn.data import arrays as data
from dnn.data.piecewise import PiecewiseRows
from dnn.data.sparse import SparseRows
from dnn.losses import loss_of
from dnn.predictor import write_outputs
from dnn.training.options import FitOptions
from dnn.training.problem import Problem, losses_of_rows

N_THREADS = (1, 2, 3, 5)


def segments_of(widths):
    """Return the segments of parts with so many columns: a number with k bins for k, plain columns for -k."""
    begins = np.cumsum([0, *np.abs(widths)])
    parts = [np.full(abs(w), b if w > 0 else -1) for w, b in zip(widths, begins, strict=False)]
    return np.concatenate(parts).astype(np.int32)


def random_rows(n, segments, rng, density=0.7):
    """Return a sparse matrix: elements of plain columns, and one per segment, unless it is missing."""
    rows, columns, values = [], [], []
    plain, firsts = np.flatnonzero(segments < 0), np.unique(segments[segments >= 0])
    for r in range(n):
        chosen = plain[rng.random(len(plain)) < density]
        numbers = firsts[rng.random(len(firsts)) < max(density, 0.8)]
        bins = [f + rng.integers((segments == f).sum()) for f in numbers]
        order = rng.permutation(len(chosen) + len(bins))
        rows += [r] * len(order)
        columns += list(np.append(chosen, bins)[order])
        # A number at an edge between bins has the value 0 or 1
        values += list(
            np.append(rng.normal(size=len(chosen)), rng.choice([0, 1, rng.random()], len(bins)))[order]
        )
    indptr = np.searchsorted(rows, np.arange(n + 1))
    return sp.csr_array(
        (np.array(values, float), np.array(columns, np.int32), indptr), shape=(n, len(segments))
    )


def widths_within(n, rng):
    """Return widths of parts that have n columns together."""
    widths = []
    while n:
        widths.append(int(rng.integers(1, n + 1)) * pick(rng, [-1, 1, 1]))
        n -= abs(widths[-1])
    return widths


def problem_of(net, rows, y, loss, **options):
    spec = loss_of(loss, net.layers[-1].info.name, net.n_outputs)
    targets = data.targets(y, spec, len(rows), net.n_outputs, net.dtype)
    options = {"sample_weight": None, **options}
    return Problem(net.plan, net.params, rows, targets, options.pop("sample_weight"), spec, **options)


def train(net, rows, y, loss, optimizer, n_threads=0, sample_weight=None, alpha=0.0, l1=0.0, **settings):
    problem = problem_of(
        net, rows, y, loss, sample_weight=sample_weight, alpha=alpha, l1=l1, n_threads=n_threads
    )
    options = FitOptions(record="step", **settings)
    return net._train(problem, net.optimizer(optimizer), options, np.random.default_rng(0))


def without_dropout(net, seed):
    layers = [dnn.Dense(layer.units, layer.activation) for layer in net.layers]
    return dnn.Network(net.n_inputs, layers, dtype="float64", random_state=seed)


@pytest.mark.filterwarnings("ignore::dnn.NoProgressWarning")
def test_random_networks(isa_drawn):
    """Gradients, losses and trainings equal those of the oracle on the dense rows, for all options."""
    for seed in range(1000, 1100):
        net, activations, X, y, spec, oracle_loss, options, rng = draw(seed)
        isa_drawn(rng)
        net = without_dropout(net, seed)
        if "exp" in [activation for activation in activations if isinstance(activation, str)]:
            net.params[:] *= 0.3
        segments = segments_of(widths_within(net.n_inputs, rng))
        matrix = random_rows(len(X), segments, rng)
        rows, X = PiecewiseRows(matrix, segments, net.dtype), reference.piecewise(matrix, segments)

        problem, grad = problem_of(net, rows, y, spec, **options), np.empty(net.n_params)
        cost = sum(problem.cost_and_gradient(net.params, grad))
        exact = reference.cost_and_gradient(
            net.weights, net.biases, activations, X, y, oracle_loss, **options
        )
        assert abs(cost - exact[0]) <= 1e-10 * max(1.0, abs(exact[0])), seed
        assert np.linalg.norm(grad - exact[1]) <= 1e-9 * max(1.0, np.linalg.norm(exact[1])), seed
        of_rows = losses_of_rows(problem.plan, net.params, rows, problem.loss, problem.targets)
        np.testing.assert_allclose(of_rows, net.losses(X, y, loss=spec), rtol=1e-9, atol=1e-10)

        optimizer, make = pick(rng, OPTIMIZERS)
        batch = int(rng.integers(1, len(X) + 1))
        rules = {"batch_size": batch, "clip_norm": pick(rng, [None, 0.5]), "ema": pick(rng, [None, 0.9])}
        frozen = [int(i) for i in range(len(net.layers)) if rng.random() < 0.2]
        net.freeze(*frozen)
        orders = [rng.permutation(len(X)) for _ in range(3)]
        weights, biases = [W.copy() for W in net.weights], [b.copy() for b in net.biases]
        history = train(
            net, rows, y, spec, optimizer, order=orders.__getitem__, epochs=3,
            two_sweeps=pick(rng, [None, True]), **rules, **options,
        )  # fmt: skip
        found = reference.fit(
            weights, biases, activations, X, y, loss=oracle_loss, optimizer=make(), orders=orders,
            frozen=frozen, rates=np.full(3 * -(-len(X) // batch), optimizer.rate),
            weight_decay=getattr(optimizer, "weight_decay", 0.0), **rules, **options,
        )  # fmt: skip
        np.testing.assert_allclose(history.step_loss, found[2], rtol=1e-8, atol=1e-9, err_msg=str(seed))
        np.testing.assert_allclose(net.params, found[0] if rules["ema"] is None else found[-1], rtol=0,
            atol=1e-8 * max(1.0, float(np.abs(found[0]).max())), err_msg=str(seed))  # fmt: skip


SHAPES = [  # widths of the parts, units of the first layer
    ("one unit", [24] * 6 + [-5], [1]),
    ("plain columns first", [-20, *[9] * 12, -3], [33, 3]),
    ("several tiles", [256, -1, 1, 255, -300, *[24] * 8, -1], [24, 3]),
    ("several tiles of units", [100, -40, 30, 30, 7], [600, 3]),
]
STEPS = [
    ("sgd", SGD(0.02), {}),
    ("adam", Adam(0.01), {}),
    ("penalties", SGD(0.02, 0.9), {"alpha": 0.3, "l1": 0.01}),
    ("clipped", RMSprop(0.001), {"clip_norm": 0.01}),
    ("averaged", AdamW(0.01, weight_decay=0.1), {"ema": 0.8}),
]


@pytest.mark.parametrize(("kind", "widths", "units"), SHAPES, ids=[row[0] for row in SHAPES])
@pytest.mark.parametrize(("step", "optimizer", "options"), STEPS, ids=[row[0] for row in STEPS])
def test_wide_rows_train_as_dense_ones(kind, widths, units, step, optimizer, options, isa):
    """20 steps equal those of dense rows; the bits depend on neither threads nor chunking."""
    rng = np.random.default_rng(0)
    case = [row[0] for row in SHAPES].index(kind) + [row[0] for row in STEPS].index(step)
    dtype = ("float32", "float64")[case % 2]
    segments = segments_of(widths)
    matrix = random_rows(64, segments, rng, density=0.2)
    X = reference.piecewise(matrix, segments)
    y = np.arange(64) % 3 if units[-1] == 3 else rng.normal(size=64)
    output, loss = ("softmax", "log_loss") if units[-1] == 3 else ("identity", "squared_error")

    def trained(rows, **settings):
        net = dnn.Network([len(segments), *units], output=output, dtype=dtype, random_state=0)
        history = train(net, rows, y, loss, optimizer, epochs=5, batch_size=16, **options, **settings)
        return net.params.copy(), history.step_loss

    dense = trained(X.astype(dtype))
    rows = PiecewiseRows(matrix, segments, np.dtype(dtype))
    found = [
        trained(rows, n_threads=k, chunk=chunk) for k, chunk in zip(N_THREADS, (5e9, 1, 1, 5e9), strict=True)
    ]
    close = 1e-9 if dtype == "float64" else 2e-3
    np.testing.assert_allclose(found[0][1], dense[1], rtol=close)
    np.testing.assert_allclose(found[0][0], dense[0], rtol=0, atol=close * max(1, np.abs(dense[0]).max()))
    for params, costs in found[1:]:
        np.testing.assert_array_equal(params, found[0][0])
        assert costs == found[0][1]


def example(n=3000, seed=0):
    segments = segments_of([-3, 5, 24, -30, 1, 60])
    matrix = random_rows(n, segments, np.random.default_rng(seed), density=0.1)
    return matrix, segments


def test_a_full_batch_gives_the_same_bits_for_any_number_of_threads(isa):
    matrix, segments = example()
    net = dnn.Network([len(segments), 40, 3], output="softmax", dtype="float64", random_state=0)
    rows, found = PiecewiseRows(matrix, segments, net.dtype), []
    for n_threads in N_THREADS:
        problem = problem_of(net, rows, np.arange(3000) % 3, "log_loss", n_threads=n_threads)
        grad, out = np.empty(net.n_params), np.empty((3000, 3))
        write_outputs(net.plan, net.params, rows, out, n_threads=n_threads)
        found.append((problem.cost_and_gradient(net.params, grad), grad, out))
    for cost, grad, out in found[1:]:
        assert cost == found[0][0]
        np.testing.assert_array_equal(grad, found[0][1])
        np.testing.assert_array_equal(out, found[0][2])
    np.testing.assert_allclose(found[0][2], net(reference.piecewise(matrix, segments)), rtol=1e-12)
    one = np.empty((1, 3))
    write_outputs(net.plan, net.params, rows.take([7]), one)
    np.testing.assert_array_equal(one[0], found[0][2][7])


def test_parameters_that_a_callback_writes_are_used():
    matrix, segments = example(60)
    X, y = reference.piecewise(matrix, segments), np.arange(60.0) / 60

    def halve(event):
        event.net.params[:] *= 0.5

    found = []
    for rows in (X, PiecewiseRows(matrix, segments, np.dtype("float64"))):
        net = dnn.Network([len(segments), 8, 1], dtype="float64", random_state=0)
        history = train(net, rows, y, "squared_error", Adam(0.01), epochs=4, batch_size=20, callbacks=[halve])
        found.append(np.append(history.loss, net.params))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-12)


def test_rows_are_read_as_those_of_an_array():
    matrix, segments = example(50)
    X = reference.piecewise(matrix, segments)
    rows = PiecewiseRows(matrix, segments, np.dtype("float64"))
    assert rows.shape == X.shape and len(rows) == 50 and rows.n_stored == matrix.nnz
    np.testing.assert_allclose(rows[:], X)
    np.testing.assert_allclose(rows[[3, 1]], X[[3, 1]])
    np.testing.assert_allclose(rows.take(slice(10, 20))[:], X[10:20])
    W = np.random.default_rng(1).normal(size=(X.shape[1], 4))
    np.testing.assert_allclose(rows.product(W), X @ W, atol=1e-12)
    np.testing.assert_allclose(rows.column_moments(2), (X[::2].mean(axis=0), X[::2].std(axis=0)), atol=1e-12)
    single = rows.astype("float32")
    assert single.dtype == single[:].dtype == np.float32 and isinstance(single, PiecewiseRows)
    assert rows.astype("float64") is rows
    for wide in (single, rows.take([])):
        np.testing.assert_array_equal(wide.segments, segments)
    plain = PiecewiseRows(matrix, np.full(X.shape[1], -1), np.dtype("float64"))
    np.testing.assert_array_equal(plain[:], SparseRows(matrix, np.dtype("float64"))[:])


def test_wrong_arguments():
    matrix, segments = example(20)
    dtype, n = np.dtype("float32"), len(segments)
    for wrong, match in (
        (segments[1:], rf"integer for each of the {n} columns of X, got int32 \({n - 1},\)"),
        (segments * 0.5, "got float64"),
        (np.where(segments == 3, 2, segments), "got 2 for column 3"),
        (np.where(np.arange(n) == 5, -1, segments), "got 3 for column 6"),
        (np.where(segments == -1, -2, segments), "got -2 for column 0"),
    ):
        with pytest.raises(ValueError, match=match):
            PiecewiseRows(matrix, wrong, dtype)
    wide = sp.csr_array((2, 300))
    with pytest.raises(ValueError, match="at most 256 columns each, got 257 from column 43 on"):
        PiecewiseRows(wide, segments_of([-43, 257]), dtype)
    rows, y = PiecewiseRows(matrix, segments, dtype), np.zeros(20)
    net = dnn.Network([n, 4, 1], dropout=(0.2, 0.1), random_state=0)
    before = net.params.copy()
    with pytest.raises(ValueError, match=r"dropout must be 0 for the inputs if X has segments, got 0\.2"):
        train(net, rows, y, "squared_error", Adam(0.01), epochs=1, batch_size=5)
    np.testing.assert_array_equal(net.params, before)


def test_a_layout_is_for_the_segments_of_its_x():
    matrix, segments = example(20)
    net = dnn.Network([len(segments), 300, 1], random_state=0)
    rows, others = (
        PiecewiseRows(matrix, given, net.dtype).core
        for given in (segments, segments_of([-1, 40, 40, 1, 40, -1]))
    )
    plain = SparseRows(matrix, net.dtype).core
    problem = problem_of(net, PiecewiseRows(matrix, segments, net.dtype), np.zeros(20), "squared_error")
    loss, optimizer = problem.loss_args(), _core.OptimizerArgs(0, (), None)
    for of_layout, given in ((rows, others), (rows, plain), (plain, rows)):
        layout = _core.training_layout(net.plan, 4, 5, loss, optimizer, sparse=of_layout)
        with pytest.raises(ValueError, match="same segments as the X of its layout"):
            _core.Trainer(net.plan, layout, net.params, given, loss, optimizer, batch=5)
