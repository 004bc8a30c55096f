"""Training in rounds: the whole method against NumPy, and the laws that hold for every engine."""

import math

import numpy as np
import pytest
import reference
from order_engines import Grouped, Pickled, Processes, Threads, Twice

from dnn import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Huber,
    InverseScaling,
    Network,
    NoProgressWarning,
    OnPlateau,
    StepDecay,
    WarmUp,
)
from dnn.distributed import rounds
from dnn.distributed.rounds import Nesterov

SIZES = [4, 5, 3, 2]
ACTIVATIONS = ["tanh", "tanh", "identity"]


def drawn_seed(random_state):
    """Return the seed that a training in rounds draws from a random state."""
    return int.from_bytes(np.random.default_rng(random_state).bytes(8), "little")


def shards_of(sizes, n_inputs=4, n_outputs=2, weighted=False, dtype="float32"):
    rng = np.random.default_rng(len(sizes))
    W = np.random.default_rng(0).normal(size=(n_inputs, n_outputs))
    shards = []
    for n in sizes:
        X = rng.normal(size=(n, n_inputs)).astype(dtype)
        Y = np.tanh(X @ W).astype(dtype)
        w = rng.integers(0, 3, n) + rng.uniform(size=n).round(2)
        shards.append((X, Y, w) if weighted else (X, Y))
    return shards


def network(dtype="float32", dropout=0.0):
    return Network(SIZES, activation="tanh", dropout=dropout, dtype=dtype, random_state=1)


# The oracle


def oracle(net, shards, seed, epochs, n_parts, batch, optimizer, outer, rate, **options):
    """Return the parameters and the loss of each round of local SGD, in plain NumPy.

    optimizer: makes one of `reference`; rate(epochs): the learning rate after so many epochs.
    """
    params = reference.flatten(net.weights, net.biases)
    velocity = np.zeros_like(params)
    state, losses = vars(optimizer()), []
    for epoch in range(epochs):
        for part in range(n_parts):
            found = []
            for k, (X, Y, *w) in enumerate(shards):
                order = np.random.default_rng([seed, k, epoch]).permutation(len(X))
                n_steps = math.ceil(len(X) / batch)
                steps = range(*(math.ceil(n_steps * p / n_parts) for p in (part, part + 1)))
                local, own = params, optimizer()
                vars(own).update(state)
                weight = cost = n = 0.0
                for step in steps:
                    rows = order[step * batch : (step + 1) * batch]
                    w_rows = w[0][rows] if w else None
                    loss, grad = reference.cost_and_gradient(
                        *reference.unflatten(local, SIZES), ACTIVATIONS, X[rows], Y[rows], "squared_error",
                        w_rows, least=0.01 * w[0].mean() if w else 0.0, **options,
                    )  # fmt: skip
                    local = own.step(local, grad, rate(epoch + step / n_steps))
                    weight += len(rows) if w_rows is None else w_rows.sum()
                    cost += loss * len(rows)
                    n += len(rows)
                if n:
                    found.append((weight, local, vars(own), cost, n))
            losses.append(sum(f[3] for f in found) / sum(f[4] for f in found) if found else np.nan)
            if not found:
                continue
            weights = [f[0] for f in found]
            average = np.average([f[1] for f in found], axis=0, weights=weights)
            for name in state:
                if name in ("v", "m"):
                    state[name] = np.average([f[2][name] for f in found], axis=0, weights=weights)
                elif name == "t":
                    state[name] = max(f[2][name] for f in found)
            if outer is None:
                params = average
            else:
                d = params - average
                velocity = outer.momentum * velocity + d
                params = params - outer.rate * (outer.momentum * velocity + d)
    return params, losses


OPTIMIZERS = {
    "sgd": (SGD, reference.SGD),
    "momentum": (lambda rate: SGD(rate, momentum=0.9), lambda: reference.SGD(0.9)),
    "nesterov": (
        lambda rate: SGD(rate, momentum=0.8, nesterov=True),
        lambda: reference.SGD(0.8, nesterov=True),
    ),
    "adam": (Adam, reference.Adam),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("outer", [None, Nesterov(), Nesterov(0.4, 0.5)], ids=["average", "diloco", "slow"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("n_parts", [1, 3, 7])  # of 7 parts, two have no step in any shard
def test_the_whole_method_is_that_of_numpy(name, outer, weighted, n_parts):
    """Shards of different sizes, one without rows, and one with fewer steps than an epoch has rounds."""
    optimizer_of, plain = OPTIMIZERS[name]
    shards = shards_of([23, 0, 9, 4, 16], weighted=weighted, dtype="float64")
    net = network("float64")
    alike = {"alpha": 0.01, "l1": 0.002}
    expected, losses = oracle(
        net, shards, drawn_seed(5), 4, n_parts, 5, plain, outer, lambda epochs: 0.02, **alike
    )
    history = rounds.fit(
        net, shards, epochs=4, rounds_per_epoch=n_parts, outer=outer, batch_size=5,
        optimizer=optimizer_of(0.02), random_state=5, **alike,
    )  # fmt: skip
    np.testing.assert_allclose(net.params, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)
    assert sum(history.n_rows) == 4 * 52 and history.n_skipped == [0] * len(history.loss)
    assert len(history.loss) == len(history.rate) == len(history.round_seconds) == 4 * n_parts
    assert history.stopped_by == "epochs" and history.loss_name == "squared_error"


@pytest.mark.parametrize("n_parts", [1, 4])
def test_each_shard_has_the_rates_of_its_own_fraction_of_an_epoch(n_parts):
    shards = shards_of([40, 10, 17], dtype="float64")
    net = network("float64")
    expected, _ = oracle(
        net, shards, drawn_seed(0), 3, n_parts, 5, reference.SGD, None,
        lambda epochs: 0.1 * (1 + math.cos(math.pi * min(epochs / 2.5, 1))) / 2,
    )  # fmt: skip
    rounds.fit(
        net, shards, epochs=3, rounds_per_epoch=n_parts, outer=None, optimizer=SGD(Cosine(0.1, epochs=2.5)),
        batch_size=5, random_state=0,
    )  # fmt: skip
    np.testing.assert_allclose(net.params, expected, rtol=0, atol=1e-12)


# One shard is Network.fit


def fitted_alone(net, shard, seed, optimizer, epochs, **options):
    """Train with Network.fit, in the order and with the dropout of shard 0."""
    state = net.optimizer(optimizer)
    state.seed = int(np.random.SeedSequence([seed, 0]).generate_state(1, np.uint64)[0])
    X, y, w = (*shard, None)[:3]
    return net.fit(
        X, y, sample_weight=w, optimizer=state, epochs=epochs, batch_size=16,
        order=lambda epoch: np.random.default_rng([seed, 0, epoch]).permutation(len(X)), **options,
    )  # fmt: skip


SCHEDULES = {
    "constant": Constant(0.02),
    "step decay": StepDecay(0.02, every=1),
    "cosine": Cosine(0.02, epochs=4),
    "warm-up": WarmUp(1.5, 0.02),
    "inverse": InverseScaling(0.02),
    "plateau": OnPlateau(0.3, patience=1),
    "warm-up, plateau": WarmUp(0.3, OnPlateau(0.3, patience=1)),
}


@pytest.mark.parametrize("n_parts", [1, 3, 7, 50])
@pytest.mark.parametrize("name", SCHEDULES)
def test_one_shard_has_the_bits_of_network_fit(name, n_parts):
    (shard,) = shards_of([77], weighted=True)
    one, several = network(dropout=0.2), network(dropout=0.2)
    optimizer = Adam(SCHEDULES[name])
    alike = {"alpha": 0.01, "l1": 0.001, "clip_norm": 0.5}
    expected = fitted_alone(one, shard, drawn_seed(3), optimizer, 5, **alike)
    history = rounds.fit(
        several, [shard], epochs=5, rounds_per_epoch=n_parts, outer=None, optimizer=optimizer, batch_size=16,
        random_state=3, **alike,
    )  # fmt: skip
    np.testing.assert_array_equal(several.params, one.params)
    assert history.rate[::n_parts] == expected.rate
    if n_parts == 1:
        np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-15)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_one_shard_of_classes_with_class_weights(output):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = (X[:, 0] > 0).astype(int)
    one, several = (
        Network([4, 6, 1 if output == "sigmoid" else 2], output=output, random_state=0) for _ in range(2)
    )
    fitted_alone(one, (X, y), drawn_seed(0), Adam(0.01), 3, class_weight={0: 3.0})
    history = rounds.fit(
        several, [(X, y)], epochs=3, outer=None, optimizer=Adam(0.01), random_state=0, class_weight={0: 3.0},
        validation=[(X[:9], y[:9]), (X[9:30], y[9:30])],
    )  # fmt: skip
    if history.best_epoch == 11:
        np.testing.assert_array_equal(several.params, one.params)
    # As in Network.fit, the weights of classes are not those of the validation set
    assert min(history.val_loss) == pytest.approx(several.losses(X[:30], y[:30]).mean(), rel=1e-6)
    assert history.best_epoch == np.argmin(history.val_loss)


def test_a_custom_loss_and_a_loss_with_a_parameter():
    def squared(y, logits):
        return ((logits - y) ** 2).sum(axis=1) / 2, logits - y

    (shard,) = shards_of([50])
    for loss in (squared, Huber(0.3)):
        one, several = network(), network()
        fitted_alone(one, shard, drawn_seed(0), Adam(0.01), 2, loss=loss)
        rounds.fit(
            several, [shard], epochs=2, outer=None, optimizer=Adam(0.01), batch_size=16, loss=loss,
            random_state=0,
        )  # fmt: skip
        np.testing.assert_array_equal(several.params, one.params)


def test_frozen_layers_stay_and_the_bits_are_those_of_network_fit():
    (shard,) = shards_of([50])
    one, several = network(), network()
    for net in (one, several):
        net.freeze(0, -1)
    fitted_alone(one, shard, drawn_seed(0), AdamW(0.01, weight_decay=0.1), 2)
    before = several.copy()
    decay = AdamW(0.01, weight_decay=0.1)
    rounds.fit(several, [shard], epochs=2, outer=None, optimizer=decay, batch_size=16, random_state=0)
    np.testing.assert_array_equal(several.params, one.params)
    rounds.fit(several, shards_of([20, 30]), epochs=2, outer=rounds.Nesterov(), random_state=0)
    for layer in (0, 2):
        np.testing.assert_array_equal(several.weights[layer], before.weights[layer])
    assert (several.weights[1] != one.weights[1]).any()


# Laws


def fitted(engine=None, shards=None, dropout=0.3, random_state=7, **options):
    net = network(dropout=dropout)
    shards = shards_of([33, 8, 0, 50, 20], weighted=True) if shards is None else shards
    usual = {"epochs": 3, "rounds_per_epoch": 2, "batch_size": 16, "outer": rounds.Nesterov()}
    options = {**usual, "validation": shards[:2], **options}
    history = rounds.fit(net, shards, engine=engine, random_state=random_state, **options)
    seconds = {"seconds": 0, "round_seconds": 0}
    return net.params.tobytes(), history.to_dict() | seconds


@pytest.mark.parametrize("engine", [Twice, Threads, Pickled, Grouped])
def test_the_bits_do_not_depend_on_the_engine(engine):
    assert fitted(engine()) == fitted()
    rate = {"optimizer": SGD(WarmUp(1, OnPlateau(0.1, patience=1)), momentum=0.9), "loss": Huber(0.5)}
    assert fitted(engine(), **rate) == fitted(**rate)


@pytest.mark.long
def test_other_processes_give_the_same_bits():
    engine = Processes()
    try:
        assert fitted(engine) == fitted()
    finally:
        engine.close()


@pytest.mark.parametrize("n_shards", [33, 1100])
def test_many_shards_are_summed_in_a_tree(n_shards):
    shards = shards_of([2] * n_shards)
    few = {"shards": shards, "epochs": 1, "rounds_per_epoch": 1, "validation": shards[:40]}
    assert fitted(**few) == fitted(Grouped(), **few)


def test_equal_shards_give_the_bits_of_one():
    """All rows of a batch are the same, so that the order of the rows, which differs, has no influence."""
    X, Y = np.ones((32, 4), "float32"), np.full((32, 2), 0.5, "float32")
    options = {"dropout": 0, "validation": ()}
    params, history = fitted(shards=[(X, Y)] * 5, **options)
    one, history_of_one = fitted(shards=[(X, Y)], **options)
    assert params == one and history["n_rows"] == [5 * n for n in history_of_one["n_rows"]]
    np.testing.assert_allclose(history["loss"], history_of_one["loss"], rtol=1e-15)


def test_shards_differ_in_order_and_dropout_and_so_do_seeds():
    assert fitted() == fitted() != fitted(random_state=8)
    still = {"dropout": 0.0, "epochs": 1, "rounds_per_epoch": 1}
    X, Y = np.ones((32, 4), "float32"), np.full((32, 2), 0.5, "float32")
    same_rows = {"shards": [(X, Y)] * 2, "validation": ()}
    assert fitted(**same_rows, **still) == fitted(random_state=8, **same_rows, **still)
    still["dropout"] = 0.5  # now only the masks differ
    assert fitted(**same_rows, **still)[0] != fitted(random_state=8, **same_rows, **still)[0]
    assert fitted(**same_rows, **still)[0] != fitted(shards=[(X, Y)], validation=(), **still)[0]


def test_the_order_of_the_shards_counts_and_random_state_takes_generators():
    shards = shards_of([33, 20])
    assert fitted(shards=shards) != fitted(shards=shards[::-1], validation=shards)
    for make in (np.random.default_rng, np.random.RandomState):
        assert fitted(random_state=make(2)) == fitted(random_state=make(2))
    assert fitted(random_state=np.random.default_rng(7)) == fitted(random_state=7)
    assert fitted(random_state=None) != fitted(random_state=None)


def test_weights_of_0_leave_rows_and_shards_out():
    """The sums have a further 0 only: the bits are the same; weights matter by their ratio only."""
    shards = shards_of([20, 30], weighted=True)
    idle = (np.ones((9, 4)), np.ones((9, 2)), np.zeros(9))
    small = {"dropout": 0, "validation": ()}
    assert fitted(shards=[*shards, idle], **small) == fitted(shards=shards, **small)
    halved = [(X, Y, w / 2) for X, Y, w in shards]
    assert fitted(shards=halved, **small) == fitted(shards=shards, **small)


def test_a_shard_whose_classes_weigh_nothing_is_left_out():
    X, y = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2
    shards = [(X, y), (X[y == 0], y[y == 0])]
    nets = [Network([4, 2], output="softmax", random_state=0) for _ in range(2)]
    for net, n in zip(nets, (1, 2), strict=True):
        history = rounds.fit(net, shards[:n], epochs=2, class_weight={0: 0}, random_state=0)
        assert sum(history.n_rows) == 80
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


def test_nothing_that_is_given_is_changed():
    shards = shards_of([20, 30], weighted=True)
    before = [[array.copy() for array in shard] for shard in shards]
    for shard in shards:
        for array in shard:
            array.flags.writeable = False
    fitted(shards=shards)
    for shard, arrays in zip(shards, before, strict=True):
        for one, two in zip(shard, arrays, strict=True):
            np.testing.assert_array_equal(one, two)


# Validation, callbacks and the end of a training


def test_the_weights_of_the_best_round_are_in_place():
    shards = shards_of([30, 20])
    seen = []
    net = network()
    history = rounds.fit(
        net, shards, epochs=99, outer=None, batch_size=5, validation=shards_of([10, 0, 5]), patience=5,
        optimizer=Adam(0.05), random_state=0,
        callbacks=[lambda event: seen.append(event.net.params.copy())],
    )  # fmt: skip
    assert history.stopped_by == "patience" and 0 < history.best_epoch < len(history.loss) - 1
    assert history.best_epoch == int(np.argmin(history.val_loss))
    np.testing.assert_array_equal(net.params, seen[history.best_epoch])
    X, Y = (np.concatenate(parts) for parts in zip(*shards_of([10, 0, 5]), strict=True))
    assert min(history.val_loss) == pytest.approx(net.losses(X, Y).mean(), rel=1e-6)


def test_validation_is_weighted():
    shards, validation = shards_of([30]), shards_of([10, 25], weighted=True)
    net = network()
    history = rounds.fit(net, shards, epochs=1, rounds_per_epoch=1, validation=validation, random_state=0)
    X, Y, w = (np.concatenate(parts) for parts in zip(*validation, strict=True))
    assert history.val_loss == [pytest.approx(np.average(net.losses(X, Y), weights=w), rel=1e-6)]


def test_a_plateau_watches_the_loss_of_epochs():
    """Not that of its last round."""
    rates = []
    history = rounds.fit(
        network(), shards_of([64]), epochs=8, rounds_per_epoch=4, outer=None, batch_size=16, random_state=0,
        optimizer=SGD(OnPlateau(0.01, patience=1, threshold=0.5)),
    )  # fmt: skip
    rate, lowest = 0.01, math.inf
    for epoch in range(8):
        rates += [rate] * 4
        loss = np.mean(history.loss[4 * epoch : 4 * epoch + 4])
        rate, lowest = (rate, loss) if loss < lowest / 2 else (rate / 2, lowest)
    assert history.rate == rates and rates[-1] < 0.01


def test_callbacks_see_rounds_and_may_stop():
    seen = []

    def callback(event):
        seen.append((event.epoch, len(event.history.loss)))
        if event.epoch == 4:
            event.stop()

    net = network()
    history = rounds.fit(net, shards_of([30]), epochs=20, batch_size=16, callbacks=[callback], random_state=0)
    assert seen == [(k, k + 1) for k in range(5)] and history.stopped_by == "callback"
    assert history.n_rows[:4] == [16, 0, 14, 0] and np.isfinite(history.loss[:4]).tolist() == [1, 0, 1, 0]


def test_a_callback_may_write_parameters_but_not_train():
    net, twin = network(), network()
    shards = shards_of([30])
    rounds.fit(net, shards, epochs=1, callbacks=[lambda e: e.net.params.fill(0.0)], random_state=0)
    assert not net.params.any()
    with pytest.raises(RuntimeError, match="must not be called on a network that is in training"):
        rounds.fit(twin, shards, epochs=1, callbacks=[lambda e: e.net.fit(*shards[0], epochs=1)])
    with pytest.raises(RuntimeError, match=r"rounds\.fit must not be called on a network that is in train"):
        twin.fit(*shards[0], epochs=1, callbacks=[lambda e: rounds.fit(e.net, shards, epochs=1)])
    rounds.fit(twin, shards, epochs=1)  # it is free again


def test_max_seconds_ends_after_a_round():
    history = rounds.fit(network(), shards_of([30]), epochs=10**6, max_seconds=1e-9)
    assert history.stopped_by == "max_seconds" and len(history.loss) == 1
    assert history.seconds >= history.round_seconds[0] > 0


def test_progress_counts_rounds(capsys):
    pytest.importorskip("tqdm", reason="needs tqdm: pip install 'dnn-core[dev]'")
    rounds.fit(network(), shards_of([30]), epochs=2, progress=True)
    shown = capsys.readouterr().err
    assert "8/8" in shown and "round" in shown and "epoch" not in shown


def test_a_validation_loss_that_is_never_finite_is_warned_of():
    (X, Y), net = shards_of([30])[0], network()
    with pytest.warns(NoProgressWarning, match="val_loss on validation was not finite") as caught:
        history = rounds.fit(net, [(X, Y)], epochs=1, validation=[(X, Y * np.float32(1e30))])
    assert caught[0].filename == __file__
    assert history.best_epoch is None and history.stopped_by == "epochs"


def test_a_network_learns_from_shards_that_are_alike():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(4000, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    shards = [(X[k:3000:8], y[k:3000:8]) for k in range(8)]
    net = Network([2, 16, 16, 1], output="sigmoid", random_state=0)
    rounds.fit(net, shards, epochs=20, random_state=0)
    assert ((net(X[3000:])[:, 0] > 0.5) == y[3000:]).mean() > 0.97


def test_defaults_depend_on_the_number_of_shards():
    shards = [(X, Y) for X, Y in shards_of([40] * 17)]
    for n, batch_size, rate, n_parts, outer in (
        (4, 32, 0.002, 4, None),
        (16, 16, 0.002, 4, rounds.Nesterov(1.0, 0.5)),
        (17, 8, 0.004, 8, rounds.Nesterov(1.0, 0.7)),
    ):
        nets = [network(), network()]
        one = rounds.fit(nets[0], shards[:n], epochs=1, random_state=0)
        two = rounds.fit(
            nets[1], shards[:n], epochs=1, random_state=0, batch_size=batch_size, optimizer=Adam(rate),
            rounds_per_epoch=n_parts, outer=outer,
        )  # fmt: skip
        assert len(one.loss) == n_parts
        np.testing.assert_array_equal(one.rate, two.rate)
        np.testing.assert_array_equal(nets[0].params, nets[1].params)
